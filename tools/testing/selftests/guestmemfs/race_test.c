// SPDX-License-Identifier: GPL-2.0-only
/*
 * Everything at once: faults of all sizes against all that takes memory away.
 * A byte of a file is zero or what was written to that file; at the end all
 * blocks are free, and zero when they come back.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <pthread.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include "kselftest_harness.h"
#include "util.h"

#define PUNCH		(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define NR_FILES	3
#define SMALL_SIZE	(8 * BLOCK)
#define BIG_SIZE	(GIB + 4 * BLOCK)
#define SECONDS		8
#define MOST_SECONDS	200

static const struct pool *pool;
static int fds[NR_FILES];
static bool stop;
static unsigned long done[16];
static unsigned long wrong;

FIXTURE(race)
{
	int nr;
	struct pool p;
};

FIXTURE_SETUP(race)
{
	int nodes[MAX_POOLS];

	self->nr = pool_nodes(nodes);
	if (!self->nr)
		SKIP(return, "no pool on this machine");
	ASSERT_TRUE(pool_setup(&self->p, nodes[0]));
	pool = &self->p;
	catch_faults();
}

FIXTURE_TEARDOWN_PARENT(race)
{
	if (self->nr)
		EXPECT_STREQ("", pool_teardown(&self->p) ?: "");
}

static bool stopped(void)
{
	return __atomic_load_n(&stop, __ATOMIC_RELAXED);
}

static unsigned int next_random(unsigned int *state)
{
	/* xorshift: the same for everybody, from a seed that is logged. */
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

/* One file is for 1 GiB entries, which take long to zero; mostly it is the others. */
static int random_file(unsigned int *state)
{
	return next_random(state) % 16 ? 1 + next_random(state) % (NR_FILES - 1) : 0;
}

static off_t size_of(int file)
{
	return file ? SMALL_SIZE : BIG_SIZE;
}

/* Mostly near the start, so that they meet. */
static off_t random_offset(unsigned int *state, int file)
{
	off_t range = next_random(state) % 4 ? SMALL_SIZE : size_of(file);

	return ((off_t)next_random(state) << 12) % range;
}

static unsigned char tag_of(int file)
{
	return 0x41 + file;
}

/* A byte of another file, or of one before this one, must never be seen. */
static void check_byte(int file, int value)
{
	if (value > 0 && value != tag_of(file))
		__atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
}

static void map_and_touch(unsigned int *state, int file, size_t displaced)
{
	static __thread char *area;
	off_t size = size_of(file);
	char *p;
	int i;

	if (!area)
		area = reserve(BIG_SIZE, GIB);
	p = map_at(area + displaced, fds[file], 0, size);
	for (i = 0; p != MAP_FAILED && i < 100 && !stopped(); i++) {
		off_t at = random_offset(state, file);

		check_byte(file, peek(p + at));
		poke(p + at, tag_of(file));
		check_byte(file, peek(p + at));
	}
	/* The area stays reserved. */
	mmap(area + displaced, size, PROT_NONE,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

static void touch_1g(unsigned int *state)
{
	map_and_touch(state, 0, 0);
}

static void touch_2m(unsigned int *state)
{
	map_and_touch(state, random_file(state), BLOCK);
}

static void touch_4k(unsigned int *state)
{
	map_and_touch(state, random_file(state), PAGE);
}

static void punch(unsigned int *state)
{
	int file = random_file(state);
	off_t at = random_offset(state, file);

	fallocate(fds[file], PUNCH, at, 1 + next_random(state) % (3 * BLOCK));
}

static void resize(unsigned int *state)
{
	int file = random_file(state);

	if (ftruncate(fds[file], random_offset(state, file)) ||
	    ftruncate(fds[file], size_of(file)))
		__atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
}

static void allocate(unsigned int *state)
{
	int file = random_file(state);
	off_t at = random_offset(state, file);

	fallocate(fds[file], FALLOC_FL_KEEP_SIZE, at, 1 + next_random(state) % (3 * BLOCK));
}

static void change_names(unsigned int *state)
{
	char one[128], two[128];
	unsigned int flags = next_random(state) % 2 ? RENAME_EXCHANGE : 0;

	snprintf(one, sizeof(one), "%s/n%u", pool->dir, next_random(state) % 4);
	snprintf(two, sizeof(two), "%s/n%u", pool->dir, next_random(state) % 4);
	syscall(SYS_renameat2, AT_FDCWD, one, AT_FDCWD, two, flags);
}

/* A file with blocks that is gone at once, by its name or by its descriptor. */
static void make_and_unlink(unsigned int *state)
{
	char name[128];
	int fd;

	snprintf(name, sizeof(name), "%s/n%u", pool->dir, next_random(state) % 4);
	fd = open(name, O_RDWR | O_CREAT, 0600);
	if (fd < 0)
		return;
	if (!ftruncate(fd, BLOCK)) {
		char *p = map_file(fd, 0, BLOCK);

		if (p != MAP_FAILED) {
			poke(p, 0x99);
			unlink(name);
			poke(p + PAGE, 0x99);
			munmap(p, BLOCK);
		}
	}
	close(fd);
}

static void mount_and_unmount(unsigned int *state)
{
	char path[96];

	(void)state;
	snprintf(path, sizeof(path), "%s/other", pool->base);
	mkdir(path, 0700);
	if (pool_mount_at(pool->node, path, 0) || umount(path))
		__atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
}

static void (*const actions[])(unsigned int *state) = {
	touch_1g, touch_2m, touch_2m, touch_4k, punch, resize, allocate, change_names,
	make_and_unlink, mount_and_unmount,
};

static void *run(void *arg)
{
	size_t i = (size_t)arg;
	unsigned int state = 2463534242U + i;

	while (!stopped()) {
		actions[i](&state);
		done[i]++;
		/* Processors are few: let those on who fault. */
		usleep(next_random(&state) % 1000);
	}
	return NULL;
}

/* Everybody has been at it. */
static bool have_begun(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(actions); i++)
		if (!__atomic_load_n(&done[i], __ATOMIC_RELAXED))
			return false;
	return true;
}

TEST_F_TIMEOUT(race, all_against_all, 300)
{
	pthread_t threads[ARRAY_SIZE(actions)];
	const size_t all = self->p.free_blocks;
	int fd, bad = 0;
	char name[16], *p;
	size_t i;

	for (i = 0; i < NR_FILES; i++) {
		snprintf(name, sizeof(name), "file%zu", i);
		fds[i] = file_make(&self->p, name, size_of(i));
		ASSERT_GE(fds[i], 0);
	}
	for (i = 0; i < ARRAY_SIZE(actions); i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, run, (void *)i));
	sleep(SECONDS);
	/* More on a machine that is slow. */
	for (i = 0; i < MOST_SECONDS && !have_begun(); i++)
		sleep(1);
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (i = 0; i < ARRAY_SIZE(actions); i++) {
		ASSERT_EQ(0, pthread_join(threads[i], NULL));
		/* Somebody who never came to anything has tested nothing. */
		EXPECT_GT(done[i], 0);
		TH_LOG("action %zu: %lu times", i, done[i]);
	}
	EXPECT_EQ(0, wrong);
	for (i = 0; i < NR_FILES; i++) {
		close(fds[i]);
		snprintf(name, sizeof(name), "file%zu", i);
		EXPECT_EQ(0, unlink(pool_path(&self->p, name)));
	}
	for (i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "n%zu", i);
		unlink(pool_path(&self->p, name));
	}
	EXPECT_EQ(all, pool_free_blocks(&self->p));
	ASSERT_EQ(0, pool_remount(&self->p));
	EXPECT_EQ(all, pool_free_blocks(&self->p));
	fd = file_make(&self->p, "all", 0);
	ASSERT_EQ(0, fallocate(fd, 0, 0, all * BLOCK));
	p = map_file(fd, 0, all * BLOCK);
	ASSERT_NE(MAP_FAILED, p);
	for (i = 0; i < all; i++)
		bad += !is_zero(p + i * BLOCK, BLOCK);
	EXPECT_EQ(0, bad);
}

TEST_HARNESS_MAIN
