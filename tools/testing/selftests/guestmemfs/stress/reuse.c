// SPDX-License-Identifier: GPL-2.0
/*
 * reuse DIR TASKS SECONDS: each task takes memory of a pool, looks for a byte that is not zero,
 * fills the memory and gives it back, in all ways that a file has. The memory of one task goes to
 * another, or is being zeroed, or has been; a byte of a former file is the error that is looked
 * for. With 0 seconds the tasks go on until they are killed.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "size.h"

#define BLOCK		(2UL << 20)
#define MOST_BLOCKS	64
#define ALL		(MOST_BLOCKS * BLOCK)

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE	23
#endif

/* Not zero, in no byte. */
#define OLD_BYTES	0x6f6c642062797465UL

static const char *const ways[] = { "fallocate", "populate", "fallocate of parts" };

/* Memory of the pool that a file has, in @ways[@way]. False if the pool has none left. */
static bool take(int fd, uint64_t *p, unsigned long len, unsigned int way)
{
	unsigned long at;
	int rc = 0;

	switch (way) {
	case 0:
		rc = fallocate(fd, 0, 0, len);
		break;
	case 1:
		rc = madvise(p, len, MADV_POPULATE_WRITE);
		break;
	default:
		/* From the end, so that the blocks have no order. */
		for (at = len; !rc && at; at -= BLOCK)
			rc = fallocate(fd, 0, at - BLOCK, BLOCK);
	}
	if (rc && errno != ENOSPC && errno != EFAULT)
		err(1, "%s", ways[way]);
	return !rc;
}

static void look(const uint64_t *p, unsigned long len, const char *how)
{
	for (unsigned long i = 0; i < len / sizeof(*p); i++)
		if (p[i])
			errx(1, "byte %#lx after %s: %#lx", i * sizeof(*p), how, p[i]);
}

static void fill(uint64_t *p, unsigned long len)
{
	for (unsigned long i = 0; i < len / sizeof(*p); i++)
		p[i] = OLD_BYTES;
}

/* Gives back a part of the file that is still mapped, and looks at what takes its place. */
static void give_back(int fd, uint64_t *p, unsigned long len, unsigned int way)
{
	unsigned long half = len / 2 / BLOCK * BLOCK;

	if (way == 1) {
		if (ftruncate(fd, half) || ftruncate(fd, len))
			err(1, "ftruncate");
	} else if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, half, len - half)) {
		err(1, "punch");
	}
	if (madvise((char *)p + half, len - half, MADV_POPULATE_WRITE)) {
		if (errno != EFAULT && errno != ENOSPC)
			err(1, "populate");
		return;
	}
	look((uint64_t *)((char *)p + half), len - half, way == 1 ? "ftruncate" : "punch");
	fill((uint64_t *)((char *)p + half), len - half);
}

/* Returns true if the pool had memory for the file. */
static bool use_file(const char *path, unsigned int random)
{
	unsigned int way = random % 3;
	unsigned long len = (random / 3 % MOST_BLOCKS + 1) * BLOCK;
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	uint64_t *p;
	bool taken;

	if (fd < 0 || ftruncate(fd, len))
		err(1, "%s", path);
	p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (p == MAP_FAILED)
		err(1, "mmap");
	taken = take(fd, p, len, way);
	if (taken) {
		look(p, len, ways[way]);
		fill(p, len);
		if (random >> 16 & 1)
			give_back(fd, p, len, random >> 17 & 1);
	}
	/* The mapping goes after the name half of the times. */
	if (random >> 18 & 1)
		munmap(p, len);
	if (unlink(path))
		err(1, "unlink of %s", path);
	if (!(random >> 18 & 1))
		munmap(p, len);
	close(fd);
	return taken;
}

static unsigned long seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

static void task(const char *dir, unsigned long nr, unsigned long length)
{
	unsigned long end = seconds() + length, used = 0, i;
	unsigned int random;
	char path[PATH_MAX];

	for (i = 0; !length || seconds() < end; i++) {
		if (getrandom(&random, sizeof(random), 0) != sizeof(random))
			err(1, "getrandom");
		snprintf(path, sizeof(path), "%s/reuse.%lu.%lu", dir, nr, i);
		used += use_file(path, random);
	}
	printf("%lu: %lu files\n", nr, used);
	/* A task without memory has shown nothing. */
	if (used < 2)
		errx(1, "too few");
	exit(0);
}

int main(int argc, char **argv)
{
	unsigned long tasks, length, i;
	int status, rc = 0;

	if (argc != 4 || !parse_size(argv[2], &tasks) || !parse_size(argv[3], &length) || !tasks)
		errx(2, "usage: reuse DIR TASKS SECONDS");
	for (i = 0; i < tasks; i++) {
		switch (fork()) {
		case -1:
			err(1, "fork");
		case 0:
			task(argv[1], i, length);
		}
	}
	while (wait(&status) > 0)
		if (status)
			rc = 1;
	return rc;
}
