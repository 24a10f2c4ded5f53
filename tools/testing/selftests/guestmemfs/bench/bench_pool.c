// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counts the instructions of operations that touch no byte of the memory, on files that are larger
 * than the memory of the machine's host: bench_pool DIRECTORY-OF-A-POOL GIB... It needs a machine
 * whose clock advances by a nanosecond with each instruction. See the VM test bench-large.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cost.h"
#include "systems.h"
#include "util.h"

/* So many that the median is of an operation that no timer has interrupted, or the usual number. */
#define ROUNDS	15

static void measure(const struct system *s, int fd, size_t size)
{
	long began;
	char *p;

	if (!file_allocate_unzeroed(fd, size))
		errx(1, "no file of %zu bytes", size);
	began = now();
	p = map_reserved(fd, 0, size);
	sample("large_mmap_allocated", size, now() - began);
	if (p == MAP_FAILED)
		err(1, "%s: mmap of %zu bytes", s->name, size);
	munmap(p, size);
	began = now();
	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, size))
		err(1, "%s: punching %zu bytes", s->name, size);
	sample("large_punch", size, now() - began);
	began = now();
	p = map_reserved(fd, 0, size);
	sample("large_mmap_reserving", size, now() - began);
	if (p == MAP_FAILED)
		err(1, "%s: mmap of %zu bytes", s->name, size);
	munmap(p, size);
}

int main(int argc, char **argv)
{
	const struct system *s = &systems[0];
	int i, round;

	if (argc < 3)
		errx(2, "usage: bench_pool DIRECTORY GIB...");
	pool_dir = argv[1];
	for (i = 2; i < argc; i++) {
		size_t size = strtoul(argv[i], NULL, 0) * GIB;
		int fd = system_file(s, size);

		for (round = 0; round < ROUNDS; round++)
			measure(s, fd, size);
		close(fd);
	}
	samples_print(s);
	return 0;
}
