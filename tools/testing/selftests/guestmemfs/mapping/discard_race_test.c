// SPDX-License-Identifier: GPL-2.0-only
/*
 * Several threads access one mapping, remove it from the page tables with MADV_DONTNEED, and punch
 * holes into its file, for RACE_SECONDS. A thread must not reach a block of the file after the
 * block was punched out and given to another file, and the kernel must not find a bad entry: the
 * test machine checks the log.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <sys/mman.h>
#include <time.h>

#include "fixture.h"

#define PUNCH		(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define SECONDS		"8"
#define MORE_SECONDS	200
#define SIZE		GIB
/* The offset of the block that is punched out, given to the other file, and allocated again. */
#define VICTIM		(7 * BLOCK)
#define SHARED_TAG	0x41
#define OTHER_TAG	0x99
/* Threads write one byte in each of this many pages of a block. */
#define NR_PLACES	8

static char *map;
static int shared, other;
static bool stop;
static unsigned long wrong, exchanges;

static bool stopped(void)
{
	return __atomic_load_n(&stop, __ATOMIC_RELAXED);
}

static void is_wrong(const char *what, long detail)
{
	if (__atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED) < 10)
		printf("# wrong: %s, %#lx\n", what, detail);
}

static unsigned int next_random(unsigned int *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

static void touch(unsigned int *state)
{
	size_t block = next_random(state) % (SIZE / BLOCK) * BLOCK;
	char *p;
	int value;

	/* Prefer the block that the other file may have now. */
	if (next_random(state) % 4)
		block = VICTIM;
	p = map + block + next_random(state) % NR_PLACES * PAGE;
	poke(p, SHARED_TAG);
	value = peek(p);
	/* The value is SIGBUS while the other file has the only free block, or 0 after a punch. */
	if (value > 0 && value != SHARED_TAG)
		is_wrong("a byte of the shared file", value);
}

static void discard_all(unsigned int *state)
{
	(void)state;
	if (madvise(map, SIZE, MADV_DONTNEED))
		is_wrong("MADV_DONTNEED of all", errno);
}

static void discard_some(unsigned int *state)
{
	size_t from = next_random(state) % (SIZE / PAGE) * PAGE;
	size_t len = 1 + next_random(state) % (SIZE - from);

	if (next_random(state) % 2)
		discard_all(state);
	else if (madvise(map + from, len, MADV_DONTNEED))
		is_wrong("MADV_DONTNEED of a part", errno);
}

/*
 * The other file now has the block that the shared file has lost: no byte of it may be written
 * through the mapping of the shared file.
 */
static void use_other(void)
{
	char *p = map_file(other, 0, BLOCK);
	int i, k;

	if (p == MAP_FAILED) {
		is_wrong("mmap", errno);
		return;
	}
	for (i = 0; i < NR_PLACES; i++)
		if (peek(p + i * PAGE))
			is_wrong("a byte of a new block", peek(p + i * PAGE));
	for (k = 0; k < 20; k++) {
		for (i = 0; i < NR_PLACES; i++)
			poke(p + i * PAGE, OTHER_TAG);
		usleep(100);
		for (i = 0; i < NR_PLACES; i++)
			if (peek(p + i * PAGE) != OTHER_TAG)
				is_wrong("a byte of the other file", peek(p + i * PAGE));
	}
	munmap(p, BLOCK);
}

/*
 * Moves the block to the other file and back. The pool has no other free block: a fault in the hole
 * gets this block, or SIGBUS.
 */
static void exchange(unsigned int *state)
{
	usleep(next_random(state) % 40000);
	if (fallocate(shared, PUNCH, VICTIM, BLOCK))
		is_wrong("punching", errno);
	if (!fallocate(other, 0, 0, BLOCK)) {
		use_other();
		exchanges++;
		if (fallocate(other, PUNCH, 0, BLOCK))
			is_wrong("punching the other file", errno);
	}
	/* Fill the hole, so that the gigabyte can have one entry again. */
	if (fallocate(shared, 0, VICTIM, BLOCK))
		is_wrong("filling the hole", errno);
}

static void (*const actions[])(unsigned int *state) = {
	touch, touch, touch, touch, discard_all, discard_some, exchange,
};

static void *run(void *arg)
{
	unsigned int state = 2463534242U + (size_t)arg;

	while (!stopped())
		actions[(size_t)arg](&state);
	return NULL;
}

static time_t seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

TEST_F_TIMEOUT(in_pool, one_mapping, 1200)
{
	int length = atoi(getenv("RACE_SECONDS") ?: SECONDS), rest;
	pthread_t threads[ARRAY_SIZE(actions)];
	time_t last;
	size_t i;

	if (self->p.free_blocks < SIZE / BLOCK)
		SKIP(return, "needs 1 GiB free");
	shared = file_make(&self->p, "shared", SIZE);
	other = file_make(&self->p, "other", BLOCK);
	rest = file_make(&self->p, "rest", 0);
	map = map_at(reserve(SIZE, GIB), shared, 0, SIZE);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, fallocate(shared, 0, 0, SIZE));
	if (pool_free_blocks(&self->p))
		ASSERT_EQ(0, fallocate(rest, 0, 0, pool_free_blocks(&self->p) * BLOCK));
	ASSERT_EQ(0, pool_free_blocks(&self->p));
	for (i = 0; i < ARRAY_SIZE(actions); i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, run, (void *)i));
	sleep(length);
	last = seconds() + MORE_SECONDS;
	while (!__atomic_load_n(&exchanges, __ATOMIC_RELAXED) && seconds() < last)
		sleep(1);
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (i = 0; i < ARRAY_SIZE(actions); i++)
		ASSERT_EQ(0, pthread_join(threads[i], NULL));
	TH_LOG("another file had the block %lu times", exchanges);
	EXPECT_GT(exchanges, 0);
	EXPECT_EQ(0, wrong);
	EXPECT_EQ(SIZE / 512, file_sectors(shared));
	ASSERT_EQ(0, munmap(map, SIZE));
	close(shared);
	close(other);
	close(rest);
}

TEST_HARNESS_MAIN
