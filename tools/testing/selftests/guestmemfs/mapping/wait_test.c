// SPDX-License-Identifier: GPL-2.0-only
/*
 * Signals during the zeroing of memory, and access to a file while another task allocates its
 * blocks. A killed task ends, even if the kernel itself accesses the memory for it, and an
 * interrupted task runs its signal handler at once.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

#include "fixture.h"

#define PUNCH	(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define ATTEMPTS	4

static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000L + t.tv_nsec;
}

/* The kernel stores to the mapping: read() of a tmpfs file does not check for signals meanwhile. */
static void by_read(char *p, size_t len, int other)
{
	if (read(other, p, len) != (ssize_t)len)
		_exit(1);
}

/* The kernel loads from the mapping. */
static void by_write(char *p, size_t len, int other)
{
	if (write(other, p, len) != (ssize_t)len)
		_exit(1);
}

/* The kernel stores to the mapping; a futex operation cannot drop mmap_lock for the fault. */
static void by_futex(char *p, size_t len, int other)
{
	static uint32_t word;
	size_t at;

	(void)other;
	for (at = 0; at < len; at += BLOCK)
		if (syscall(SYS_futex, &word, FUTEX_WAKE_OP | FUTEX_PRIVATE_FLAG, 1, 1, p + at,
			    FUTEX_OP(FUTEX_OP_ADD, 1, FUTEX_OP_CMP_EQ, 0)) < 0)
			_exit(1);
}

static void by_store(char *p, size_t len, int other)
{
	size_t at;

	(void)other;
	for (at = 0; at < len; at += PAGE)
		__atomic_store_n(p + at, 1, __ATOMIC_RELAXED);
}

struct way {
	const char *what;
	void (*touch)(char *p, size_t len, int other);
};

static const struct way ways[] = {
	{ "a store",	by_store },
	{ "read()",	by_read },
	{ "write()",	by_write },
	{ "a futex",	by_futex },
};

/* Starts a child that maps the file and touches all of it. */
static pid_t start_touching(const struct way *way, int fd, size_t len)
{
	int other = memfd_create("other", 0);
	pid_t pid = ftruncate(other, len) ? -1 : fork();
	char *p;

	if (!pid) {
		p = map_file(fd, 0, len);
		if (p == MAP_FAILED)
			_exit(2);
		way->touch(p, len, other);
		_exit(0);
	}
	close(other);
	return pid;
}

static bool has_died(pid_t pid, int *status)
{
	int i;

	for (i = 0; i < 100; i++, usleep(100000))
		if (waitpid(pid, status, WNOHANG) == pid)
			return true;
	return false;
}

static void kill_while_zeroing(struct __test_metadata *_metadata, const struct pool *p,
			       const struct way *way, size_t len)
{
	int fd = file_make(p, "file", len), status = 0;
	pid_t pid;
	bool dead;

	ASSERT_GE(fd, 0);
	pid = start_touching(way, fd, len);
	ASSERT_GT(pid, 0);
	while (file_sectors(fd) < 16 * BLOCK_SECTORS && !waitpid(pid, &status, WNOHANG))
		usleep(1000);
	kill(pid, SIGKILL);
	dead = has_died(pid, &status);
	printf("# %s of %zu MiB: %s\n", way->what, len / MIB, dead ? "killed" : "does not die");
	EXPECT_TRUE(dead);
	/* Allocate the memory that the child is waiting for, so that it can end. */
	if (!dead && !fallocate(fd, 0, 0, len))
		waitpid(pid, &status, 0);
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	close(fd);
	unlink(pool_path(p, "file"));
}

/* Sizes below use a fault for each block of 2 MiB, or one fault for a gigabyte. */
TEST_F(in_pool, killed)
{
	int i;

	if (self->p.free_blocks < GIB / BLOCK)
		SKIP(return, "needs 1 GiB free");
	for (i = 0; i < ARRAY_SIZE(ways); i++) {
		kill_while_zeroing(_metadata, &self->p, &ways[i], GIB - BLOCK);
		kill_while_zeroing(_metadata, &self->p, &ways[i], GIB);
	}
}

static int64_t handled;

static void note_time(int sig)
{
	(void)sig;
	__atomic_store_n(&handled, now(), __ATOMIC_RELAXED);
}

/* Returns how long the first store to a gigabyte takes, which zeroes all of it. */
static int64_t first_store(const struct pool *p)
{
	int fd = file_make(p, "file", GIB);
	char *at = map_file(fd, 0, GIB);
	int64_t begin = now(), end = begin;

	if (at != MAP_FAILED) {
		__atomic_store_n(at, 1, __ATOMIC_SEQ_CST);
		end = now();
		munmap(at, GIB);
	}
	close(fd);
	unlink(pool_path(p, "file"));
	return end - begin;
}

/*
 * A signal handler runs before the gigabyte is zeroed completely. Another machine may have the
 * processor at a bad moment: one of several attempts has to be good.
 */
TEST_F(in_pool, interrupted)
{
	struct itimerval timer = {};
	int64_t whole = 0, begin, end = 0;
	int i;

	if (self->p.free_blocks < GIB / BLOCK)
		SKIP(return, "needs 1 GiB free");
	signal(SIGALRM, note_time);
	for (i = 0; i < ATTEMPTS && (!i || end >= whole / 2); i++) {
		whole = first_store(&self->p);
		ASSERT_GT(whole, 0);
		/* On a slow machine that is more than a second. */
		timer.it_value.tv_sec = whole / 8 / 1000000000;
		timer.it_value.tv_usec = whole / 8 % 1000000000 / 1000;
		__atomic_store_n(&handled, 0, __ATOMIC_RELAXED);
		begin = now();
		ASSERT_EQ(0, setitimer(ITIMER_REAL, &timer, NULL));
		EXPECT_GT(first_store(&self->p), 0);
		end = __atomic_load_n(&handled, __ATOMIC_RELAXED);
		ASSERT_NE(0, end);
		end -= begin;
		printf("# a gigabyte in %ld us, the signal after %ld us, handled after %ld us\n",
		       (long)whole / 1000, (long)whole / 8 / 1000, (long)end / 1000);
	}
	EXPECT_LT(end, whole / 2);
}

struct allocation {
	int fd;
	int err;
	bool done;
};

static void *allocate(void *arg)
{
	struct allocation *a = arg;

	a->err = ERR(fallocate(a->fd, 0, 0, GIB));
	__atomic_store_n(&a->done, true, __ATOMIC_SEQ_CST);
	return NULL;
}

/* While fallocate() zeroes blocks, other tasks can change the file and its directory. */
TEST_F(in_pool, nobody_waits_for_fallocate)
{
	struct allocation a = { .fd = file_make(&self->p, "file", GIB) };
	pthread_t thread;
	int other;

	if (self->p.free_blocks < GIB / BLOCK)
		SKIP(return, "needs 1 GiB free");
	ASSERT_EQ(0, pthread_create(&thread, NULL, allocate, &a));
	while (file_sectors(a.fd) < GIB / 512)
		usleep(100);
	EXPECT_EQ(0, fchmod(a.fd, 0644));
	EXPECT_EQ(0, fallocate(a.fd, PUNCH, 0, BLOCK));
	EXPECT_EQ(0, unlink(pool_path(&self->p, "file")));
	other = file_make(&self->p, "other", BLOCK);
	EXPECT_GE(other, 0);
	EXPECT_FALSE(__atomic_load_n(&a.done, __ATOMIC_SEQ_CST));
	pthread_join(thread, NULL);
	EXPECT_EQ(0, a.err);
	EXPECT_EQ((GIB - BLOCK) / 512, file_sectors(a.fd));
	close(a.fd);
	close(other);
	unlink(pool_path(&self->p, "other"));
}

TEST_HARNESS_MAIN
