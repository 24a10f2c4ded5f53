// SPDX-License-Identifier: GPL-2.0-only
/*
 * userfaultfd on mappings of a file: the end of a registration, and of tasks that wait for a page.
 */
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "userfault_fixture.h"

/* Accesses the memory until it has these entries, or for ten seconds. */
static void wait_for_leaves(unsigned char *p, size_t size, unsigned long pud, unsigned long pmd)
{
	struct leaves l = {};
	int i;

	for (i = 0; i < 100; i++) {
		look(p, size, BLOCK);
		if (count_leaves(p, size, &l) && l.pud == pud && l.pmd == pmd)
			break;
		usleep(100000);
	}
}

/* When the registration ends, memory that was filled by pages gets its huge entries back. */
TEST_F(in_pool, huge_again)
{
	size_t size = GIB + 2 * BLOCK, at;
	unsigned char *src = source(BLOCK), *p;
	struct uffd u;
	int fd;

	if (self->p.free_blocks < GIB / BLOCK + 2)
		SKIP(return, "needs 1 GiB free");
	p = registered(&self->p, &u, size, MISSING, &fd);
	ASSERT_NE(MAP_FAILED, p);
	/* A whole gigabyte has to be allocated as one. */
	ASSERT_EQ(0, fallocate(fd, 0, 0, GIB));
	ASSERT_TRUE(punch(fd, 0, PAGE));
	for (at = GIB; at < size; at += BLOCK)
		ASSERT_EQ(0, uffd_copy(&u, p + at, src, BLOCK, NULL));
	ASSERT_EQ(0, uffd_copy(&u, p, src, PAGE, NULL));
	look(p, GIB, PAGE);
	EXPECT_LEAVES(p, size, 0, 0, size / PAGE, "registered");
	ASSERT_EQ(0, uffd_unregister(&u, p, size));
	wait_for_leaves(p, size, 1, 2);
	EXPECT_LEAVES(p, size, 1, 2, 0, "after the end of the registration");
	for (at = GIB; at < size; at += BLOCK)
		EXPECT_EQ(0, memcmp(p + at, src, BLOCK));
	uffd_close(&u);
}

/* Parts of it, in an order in which one is before all others, and one behind them. */
TEST_F(in_pool, huge_again_in_parts)
{
	static const int order[] = { 3, 4, 1, 7, 0, 6, 2, 5 };
	const size_t nr = ARRAY_SIZE(order);
	unsigned char *src = source(nr * BLOCK), *p;
	struct uffd u;
	size_t i;
	int fd;

	p = registered(&self->p, &u, nr * BLOCK, MISSING, &fd);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, uffd_copy(&u, p, src, nr * BLOCK, NULL));
	for (i = 0; i < nr; i++)
		ASSERT_EQ(0, uffd_unregister(&u, p + order[i] * BLOCK, BLOCK));
	wait_for_leaves(p, nr * BLOCK, 0, nr);
	EXPECT_LEAVES(p, nr * BLOCK, 0, nr, 0, "after the end of all registrations");
	EXPECT_EQ(0, memcmp(p, src, nr * BLOCK));
	uffd_close(&u);
}

/* Returns how many VMAs begin in a range. */
static int vmas(const void *p, size_t len)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	uintptr_t start;
	char line[256];
	int nr = 0;

	if (!maps)
		return -1;
	while (fgets(line, sizeof(line), maps))
		if (sscanf(line, "%lx-", &start) == 1)
			nr += start - (uintptr_t)p < len;
	fclose(maps);
	return nr;
}

/* A VMA that was split for a registration is not merged again. That of other memory is. */
TEST_F(in_pool, split_for_good)
{
	int fd = file_make(&self->p, "file", 3 * BLOCK), other = memfd_create("other", 0);
	char *p = map_file(fd, 0, 3 * BLOCK), *q;
	struct uffd u;

	ASSERT_NE(MAP_FAILED, (void *)p);
	ASSERT_EQ(0, ftruncate(other, 3 * BLOCK));
	q = map_file(other, 0, 3 * BLOCK);
	ASSERT_NE(MAP_FAILED, (void *)q);
	ASSERT_TRUE(uffd_open(&u, 0));
	ASSERT_EQ(0, uffd_register(&u, p, 3 * BLOCK, MISSING));
	ASSERT_EQ(0, uffd_unregister(&u, p, 3 * BLOCK));
	EXPECT_EQ(1, vmas(p, 3 * BLOCK));
	ASSERT_EQ(0, uffd_register(&u, p + BLOCK, BLOCK, MISSING));
	EXPECT_EQ(3, vmas(p, 3 * BLOCK));
	ASSERT_EQ(0, uffd_unregister(&u, p + BLOCK, BLOCK));
	EXPECT_EQ(3, vmas(p, 3 * BLOCK));
	ASSERT_EQ(0, uffd_register(&u, q + BLOCK, BLOCK, MISSING));
	EXPECT_EQ(3, vmas(q, 3 * BLOCK));
	ASSERT_EQ(0, uffd_unregister(&u, q + BLOCK, BLOCK));
	EXPECT_EQ(1, vmas(q, 3 * BLOCK));
	uffd_close(&u);
}

#define ENDS	24

/* A process whose registration ends by an ioctl, by closing the descriptor, or with itself. */
static void end_at_once(struct pool *pool, int how)
{
	unsigned char *src = source(4 * BLOCK), *p;
	struct uffd u;
	int fd;

	p = registered(pool, &u, 64 * BLOCK, MISSING, &fd);
	/* The next process makes the file anew. */
	if (p == MAP_FAILED || unlink(pool_path(pool, "file")) ||
	    uffd_copy(&u, p + BLOCK, src, 4 * BLOCK, NULL))
		_exit(1);
	if (how == 0 && uffd_unregister(&u, p, 64 * BLOCK))
		_exit(2);
	if (how == 1)
		uffd_close(&u);
	_exit(0);
}

/* The work that gives huge entries back does not keep the filesystem in use. */
TEST_F(in_pool, unmounted_at_once)
{
	int i, status;
	pid_t pid;

	for (i = 0; i < ENDS; i++) {
		pid = fork();
		if (!pid)
			end_at_once(&self->p, i % 3);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		ASSERT_EQ(0, status);
		ASSERT_EQ(0, ERR(umount(self->p.mnt)));
		ASSERT_EQ(0, pool_mount_at(self->nodes[0], self->p.mnt, 0));
	}
}

static void ignore(int signal)
{
}

struct sleeper {
	unsigned char *p;
	int got;
};

static void *sleep_in_fault(void *arg)
{
	struct sleeper *s = arg;

	s->got = peek(s->p);
	return NULL;
}

/* A thread that waits for a page handles signals. */
TEST_F(in_pool, signals)
{
	struct sigaction act = { .sa_handler = ignore };
	unsigned char *src = source(BLOCK), *p;
	struct sleeper s;
	pthread_t thread;
	struct uffd u;
	int fd;

	p = registered(&self->p, &u, BLOCK, MISSING, &fd);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, sigaction(SIGUSR1, &act, NULL));
	s.p = p + PAGE;
	ASSERT_EQ(0, pthread_create(&thread, NULL, sleep_in_fault, &s));
	ASSERT_EQ((char *)p + PAGE, uffd_fault(&u));
	pthread_kill(thread, SIGUSR1);
	/* The fault comes again. */
	ASSERT_EQ((char *)p + PAGE, uffd_fault(&u));
	ASSERT_EQ(0, uffd_copy(&u, p + PAGE, src, PAGE, NULL));
	pthread_join(thread, NULL);
	EXPECT_EQ(src[0], s.got);
	uffd_close(&u);
}

/* Returns only in the process that called it. */
static pid_t child_in_fault(int fd, int *told)
{
	struct sleeper s;
	pthread_t thread;
	struct uffd u;
	pid_t pid;

	if (pipe(told))
		return -1;
	pid = fork();
	if (pid)
		return pid;
	s.p = map_file(fd, 0, BLOCK);
	if (s.p == MAP_FAILED || !uffd_open(&u, 0) || uffd_register(&u, s.p, BLOCK, MISSING) ||
	    pthread_create(&thread, NULL, sleep_in_fault, &s) || !uffd_fault(&u) ||
	    write(told[1], "", 1) != 1)
		_exit(1);
	pthread_join(thread, NULL);
	_exit(2);
}

/* A process that waits for a page that nobody fills can be killed. */
TEST_F(in_pool, killed_in_a_fault)
{
	int fd = file_make(&self->p, "file", BLOCK), status, told[2];
	pid_t pid = child_in_fault(fd, told);
	char byte;

	ASSERT_LT(0, pid);
	/* A child that has failed has told nothing. */
	close(told[1]);
	ASSERT_EQ(1, read(told[0], &byte, 1));
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

TEST_HARNESS_MAIN
