// SPDX-License-Identifier: GPL-2.0-only
/*
 * Populating while other threads map, unmap and truncate: they get the mmap_lock in between, and no
 * thread reaches memory that was freed. Also checks what remains of an allocation whose process was
 * killed.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/mman.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "fixture.h"

#define MANY	64
#define FEW	(4 * BLOCK)
#define RW	(PROT_READ | PROT_WRITE)

struct rival {
	char *area;
	int fd;
	bool stop;
	long rounds;
};

static long rounds_of(const struct rival *r)
{
	return __atomic_load_n(&r->rounds, __ATOMIC_RELAXED);
}

static bool stopped(struct rival *r)
{
	return __atomic_load_n(&r->stop, __ATOMIC_RELAXED);
}

/* Maps and unmaps, which needs the mmap_lock that populating holds. */
static void *map_and_unmap(void *arg)
{
	struct rival *r = arg;

	while (!stopped(r)) {
		char *p = mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p != MAP_FAILED && !munmap(p, PAGE))
			__atomic_fetch_add(&r->rounds, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* The other thread gets the mmap_lock during populating and not only before and after it. */
TEST_F(in_pool, beside_others)
{
	struct rival r = {};
	long before, most = 0;
	pthread_t thread;
	int i;

	if (self->p.free_blocks < MANY)
		SKIP(return, "the pool is too small");
	ASSERT_EQ(0, pthread_create(&thread, NULL, map_and_unmap, &r));
	for (i = 0; i < 6; i++) {
		int fd = file_make(&self->p, "file", MANY * BLOCK);
		char *p;

		before = rounds_of(&r);
		p = mmap(NULL, MANY * BLOCK, RW, MAP_SHARED | (i % 2 ? MAP_POPULATE : 0), fd, 0);
		EXPECT_NE(MAP_FAILED, p);
		if (i % 2 == 0)
			EXPECT_EQ(0, madvise(p, MANY * BLOCK, MADV_POPULATE_WRITE));
		if (rounds_of(&r) - before > most)
			most = rounds_of(&r) - before;
		EXPECT_EQ(MANY * BLOCK_SECTORS, file_sectors(fd));
		munmap(p, MANY * BLOCK);
		close(fd);
		unlink(pool_path(&self->p, "file"));
	}
	__atomic_store_n(&r.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	printf("# populate: another thread mapped and unmapped %ld times meanwhile\n", most);
	EXPECT_GE(most, 4);
}

static void *cut_and_grow(void *arg)
{
	struct rival *r = arg;
	long bad = 0;

	while (!stopped(r)) {
		bad += !!ftruncate(r->fd, 0);
		bad += !!ftruncate(r->fd, FEW);
	}
	return (void *)bad;
}

/* Replaces the populated area itself by another mapping. */
static void *map_over(void *arg)
{
	struct rival *r = arg;
	long bad = 0;

	while (!stopped(r)) {
		bad += mmap(r->area + 3 * BLOCK, BLOCK, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
			    -1, 0) == MAP_FAILED;
		bad += map_at(r->area, r->fd, 0, FEW) == MAP_FAILED;
	}
	return (void *)bad;
}

TEST_F(in_pool, against_others)
{
	void *(*const rivals[])(void *) = { cut_and_grow, map_over };
	int which, i;

	for (which = 0; which < ARRAY_SIZE(rivals); which++) {
		struct rival r = { .fd = file_make(&self->p, "file", FEW) };
		pthread_t thread;
		void *bad;

		r.area = map_file(r.fd, 0, FEW);
		ASSERT_NE(MAP_FAILED, r.area);
		ASSERT_EQ(0, pthread_create(&thread, NULL, rivals[which], &r));
		for (i = 0; i < 100; i++) {
			int err = ERR(madvise(r.area, FEW, MADV_POPULATE_WRITE));

			EXPECT_TRUE(!err || (err == EFAULT && !which))
				TH_LOG("errno %d", err);
			err = ERR(mlock(r.area, FEW));
			EXPECT_TRUE(!err || (err == ENOMEM && !which))
				TH_LOG("errno %d", err);
		}
		__atomic_store_n(&r.stop, true, __ATOMIC_RELAXED);
		pthread_join(thread, &bad);
		EXPECT_EQ(0, (long)bad);
		munmap(r.area, FEW);
		close(r.fd);
		ASSERT_EQ(0, unlink(pool_path(&self->p, "file")));
		EXPECT_EQ(self->p.free_blocks, pool_free_blocks(&self->p));
	}
}

#define LONG	(MANY * BLOCK)

static int take_fallocate(int fd)	{ return fallocate(fd, 0, 0, LONG); }
static int take_zero(int fd)		{ return fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, LONG); }

static int take_populate(int fd)
{
	return madvise(map_file(fd, 0, LONG), LONG, MADV_POPULATE_WRITE);
}

struct taking {
	const char *what;
	int (*run)(int fd);
	bool there;	/* the blocks are allocated before, and have a pattern in them */
	bool whole;	/* all blocks are allocated or none */
};

static const struct taking takings[] = {
	{ "fallocate",		take_fallocate,	false,	true },
	{ "zero range",		take_zero,	true,	true },
	{ "populate",		take_populate,	false,	false },
};

/* Has the call begun? The number of blocks or the change time changes before a block is zeroed. */
static bool begun(int fd, const struct stat *before)
{
	struct stat st;

	return fstat(fd, &st) || st.st_blocks != before->st_blocks ||
	       st.st_mtim.tv_sec != before->st_mtim.tv_sec ||
	       st.st_mtim.tv_nsec != before->st_mtim.tv_nsec;
}

/*
 * Blocks that were allocated before the kill stay allocated, and are zero, even if they had not
 * been zeroed by then.
 */
TEST_F(in_pool, killed)
{
	struct stat before;
	int i, k, status;
	pid_t pid;
	char *p;

	if (self->p.free_blocks < LONG / BLOCK)
		SKIP(return, "the pool is too small");
	for (i = 0; i < ARRAY_SIZE(takings); i++) {
		const struct taking *c = &takings[i];
		int fd = file_make(&self->p, "file", LONG);

		p = map_file(fd, 0, LONG);
		ASSERT_NE(MAP_FAILED, p);
		fill(p, LONG, i);
		if (!c->there) {
			ASSERT_EQ(0, ftruncate(fd, 0));
			ASSERT_EQ(0, ftruncate(fd, LONG));
		}
		usleep(20000);
		ASSERT_EQ(0, fstat(fd, &before));
		pid = fork();
		ASSERT_GE(pid, 0);
		if (!pid)
			_exit(c->run(fd) ? 1 : 0);
		for (k = 0; k < 600000 && !begun(fd, &before); k++)
			usleep(100);
		EXPECT_TRUE(begun(fd, &before));
		kill(pid, SIGKILL);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		printf("# %s: %s, with %lu of %lu blocks\n", c->what,
		       WIFSIGNALED(status) ? "killed" : "done", file_sectors(fd) / BLOCK_SECTORS,
		       LONG / BLOCK);
		EXPECT_TRUE(WIFSIGNALED(status) || !WEXITSTATUS(status));
		if (c->whole)
			EXPECT_EQ(LONG / 512, file_sectors(fd));
		EXPECT_EQ(self->p.free_blocks - file_sectors(fd) / BLOCK_SECTORS,
			  pool_free_blocks(&self->p));
		EXPECT_TRUE(is_zero(p, LONG))
			TH_LOG("%s", c->what);
		munmap(p, LONG);
		close(fd);
		ASSERT_EQ(0, unlink(pool_path(&self->p, "file")));
		EXPECT_EQ(self->p.free_blocks, pool_free_blocks(&self->p));
	}
}

TEST_HARNESS_MAIN
