// SPDX-License-Identifier: GPL-2.0-only
/*
 * Moving memory from one file to another one, and exchanging it: GUESTMEMFS_IOC_MOVE.
 * gmem_move_test does so with guests.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixture.h"
#include "leaves.h"
#include "move.h"
#include "pins.h"

#define PUNCH	(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)

TEST_F(in_pool, arguments)
{
	int a = file_make(&self->p, "a", 4 * BLOCK), b = file_make(&self->p, "b", 4 * BLOCK);
	struct guestmemfs_move arg = { .size = sizeof(arg), .from_fd = a, .length = BLOCK };
	struct guestmemfs_move bad[] = {
		{ .size = 40, .length = BLOCK }, { .size = sizeof(arg), .length = 0 },
		{ .size = sizeof(arg), .length = PAGE },
		{ .size = sizeof(arg), .length = BLOCK + PAGE },
		{ .size = sizeof(arg), .length = BLOCK, .offset = PAGE },
		{ .size = sizeof(arg), .length = BLOCK, .from_offset = BLOCK - PAGE },
		{ .size = sizeof(arg), .length = BLOCK, .flags = 4 },
		{ .size = sizeof(arg), .length = BLOCK, .flags = 1U << 31 },
		{ .size = sizeof(arg), .length = BLOCK, .offset = 4 * BLOCK },
		{ .size = sizeof(arg), .length = BLOCK, .from_offset = 4 * BLOCK },
		{ .size = sizeof(arg), .length = 3 * BLOCK, .offset = 2 * BLOCK },
		{ .size = sizeof(arg), .length = 2 * BLOCK, .offset = -BLOCK },
		{ .size = sizeof(arg), .length = 2 * BLOCK, .from_offset = -BLOCK },
		{ .size = sizeof(arg), .length = 1UL << 63, .offset = 1UL << 63 },
	};
	unsigned int i;
	int ro, other;

	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		TH_LOG("case %u", i);
		bad[i].from_fd = a;
		EXPECT_EQ(EINVAL, ERR(ioctl(b, GUESTMEMFS_IOC_MOVE, &bad[i])));
		bad[i].flags |= EXCHANGE;
		EXPECT_EQ(EINVAL, ERR(ioctl(b, GUESTMEMFS_IOC_MOVE, &bad[i])));
	}
	EXPECT_EQ(EFAULT, ERR(ioctl(b, GUESTMEMFS_IOC_MOVE, NULL)));
	arg.size = PAGE + 1;
	EXPECT_EQ(E2BIG, ERR(ioctl(b, GUESTMEMFS_IOC_MOVE, &arg)));
	EXPECT_EQ(EBADF, move(-1, 0, b, 0, BLOCK, 0));
	EXPECT_EQ(EBADF, move(open(self->p.dir, O_PATH), 0, b, 0, BLOCK, 0));
	EXPECT_EQ(EINVAL, move(open(self->p.dir, O_RDONLY), 0, b, 0, BLOCK, 0));
	EXPECT_EQ(ENOTTY, move(a, 0, open(self->p.dir, O_RDONLY), 0, BLOCK, 0));
	other = memfd_create("other", 0);
	ASSERT_EQ(0, ftruncate(other, 4 * BLOCK));
	EXPECT_EQ(EXDEV, move(other, 0, b, 0, BLOCK, 0));
	/* Both files must be open for reading and writing. */
	ro = open(pool_path(&self->p, "a"), O_RDONLY);
	EXPECT_EQ(EACCES, move(ro, 0, b, 0, BLOCK, 0));
	EXPECT_EQ(EACCES, move(b, 0, ro, 0, BLOCK, 0));
	ro = open(pool_path(&self->p, "a"), O_WRONLY);
	EXPECT_EQ(EACCES, move(ro, 0, b, 0, BLOCK, MOVE_ZERO));
	/* The same file, with parts that overlap. */
	EXPECT_EQ(EINVAL, move(a, 0, a, 0, BLOCK, EXCHANGE));
	EXPECT_EQ(EINVAL, move(a, 0, a, BLOCK, 2 * BLOCK, EXCHANGE));
	EXPECT_EQ(EINVAL, move(a, BLOCK, a, 0, 2 * BLOCK, 0));
	EXPECT_EQ(0, move(a, 0, a, 2 * BLOCK, 2 * BLOCK, 0));
	EXPECT_EQ(0, move(a, 0, b, 0, 4 * BLOCK, 0));
	EXPECT_EQ(0, file_sectors(a) + file_sectors(b));
}

/* The last block of a file whose end is in it has bytes that must not be seen again. */
TEST_F(in_pool, end_of_file)
{
	int a = file_make(&self->p, "a", 2 * BLOCK), b = file_make(&self->p, "b", 4 * BLOCK);

	ASSERT_EQ(0, fallocate(a, 0, 0, 2 * BLOCK));
	ASSERT_EQ(0, ftruncate(a, BLOCK + PAGE));
	EXPECT_EQ(EINVAL, move(a, BLOCK, b, 0, BLOCK, 0));
	EXPECT_EQ(EINVAL, move(b, 0, a, BLOCK, BLOCK, 0));
	EXPECT_EQ(EINVAL, move(a, 0, b, 0, 2 * BLOCK, MOVE_ZERO));
	EXPECT_EQ(0, move(a, 0, b, 0, BLOCK, 0));
}

TEST_F(in_pool, contents)
{
	int a = file_make(&self->p, "a", 8 * BLOCK), b = file_make(&self->p, "b", 8 * BLOCK);
	char *p = map_file(a, 0, 8 * BLOCK), *q = map_file(b, 0, 8 * BLOCK);
	uint64_t free;
	struct stat st;

	ASSERT_TRUE(p != MAP_FAILED && q != MAP_FAILED);
	fill(p, BLOCK, 1);
	fill(p + 2 * BLOCK, 2 * BLOCK, 2);
	fill(q, BLOCK, 3);
	free = pool_free_blocks(&self->p);
	ASSERT_EQ(0, futimens(a, (struct timespec[]){ { 1, 0 }, { 1, 0 } }));
	ASSERT_EQ(0, futimens(b, (struct timespec[]){ { 1, 0 }, { 1, 0 } }));
	/* One block, a hole, and two blocks. */
	ASSERT_EQ(0, move(a, 0, b, 4 * BLOCK, 4 * BLOCK, 0));
	EXPECT_EQ(free, pool_free_blocks(&self->p));
	EXPECT_EQ(0, file_sectors(a));
	EXPECT_EQ(4 * BLOCK_SECTORS, file_sectors(b));
	EXPECT_TRUE(is_filled(q, BLOCK, 3));
	EXPECT_TRUE(is_filled(q + 4 * BLOCK, BLOCK, 1));
	EXPECT_TRUE(is_filled(q + 6 * BLOCK, 2 * BLOCK, 2));
	EXPECT_EQ(free, pool_free_blocks(&self->p));
	fstat(a, &st);
	EXPECT_LT(1, st.st_mtime);
	fstat(b, &st);
	EXPECT_LT(1, st.st_mtime);
	/*
	 * The file has a hole, which reads as zeroes, and nothing of what is written there leaks.
	 */
	EXPECT_TRUE(is_zero(p, 8 * BLOCK));
	fill(p, 8 * BLOCK, 9);
	EXPECT_TRUE(is_filled(q + 4 * BLOCK, BLOCK, 1));
	/* And back, through a file without a name, zeroed. */
	ASSERT_EQ(0, unlink(pool_path(&self->p, "b")));
	EXPECT_EQ(EEXIST, move(b, 4 * BLOCK, a, 0, BLOCK, 0));
	ASSERT_EQ(0, fallocate(a, PUNCH, 0, 8 * BLOCK));
	ASSERT_EQ(0, move(b, 0, a, 0, 8 * BLOCK, MOVE_ZERO));
	EXPECT_EQ(4 * BLOCK_SECTORS, file_sectors(a));
	EXPECT_TRUE(is_zero(p, 8 * BLOCK));
}

TEST_F(in_pool, exchange)
{
	int a = file_make(&self->p, "a", 8 * BLOCK), b = file_make(&self->p, "b", 8 * BLOCK);
	char *p = map_file(a, 0, 8 * BLOCK), *q = map_file(b, 0, 8 * BLOCK);

	ASSERT_TRUE(p != MAP_FAILED && q != MAP_FAILED);
	fill(p, 3 * BLOCK, 1);
	fill(q + 2 * BLOCK, 4 * BLOCK, 2);
	ASSERT_EQ(0, move(a, 0, b, 0, 8 * BLOCK, EXCHANGE));
	EXPECT_EQ(4 * BLOCK_SECTORS, file_sectors(a));
	EXPECT_EQ(3 * BLOCK_SECTORS, file_sectors(b));
	EXPECT_TRUE(is_filled(q, 3 * BLOCK, 1));
	EXPECT_TRUE(is_filled(p + 2 * BLOCK, 4 * BLOCK, 2));
	EXPECT_TRUE(is_zero(p, 2 * BLOCK) && is_zero(q + 3 * BLOCK, 5 * BLOCK));
	/* Two parts of one file that adjoin. */
	fill(p, 8 * BLOCK, 5);
	ASSERT_EQ(0, move(a, 0, a, 4 * BLOCK, 4 * BLOCK, EXCHANGE));
	ASSERT_EQ(0, move(a, 4 * BLOCK, a, 0, 2 * BLOCK, EXCHANGE));
	ASSERT_EQ(0, move(a, 6 * BLOCK, a, 2 * BLOCK, 2 * BLOCK, EXCHANGE));
	EXPECT_TRUE(is_filled(p, 8 * BLOCK, 5));
	ASSERT_EQ(0, move(a, 0, b, 0, 8 * BLOCK, EXCHANGE | MOVE_ZERO));
	EXPECT_TRUE(is_zero(p, 8 * BLOCK) && is_zero(q, 8 * BLOCK));
}

/* What is in the way is reported, and nothing is changed. */
TEST_F(in_pool, in_the_way)
{
	int a = file_make(&self->p, "a", 8 * BLOCK), b = file_make(&self->p, "b", 8 * BLOCK);
	char *p = map_file(a, 0, 8 * BLOCK);
	struct move_end end;

	ASSERT_NE(MAP_FAILED, (void *)p);
	fill(p, 8 * BLOCK, 1);
	ASSERT_EQ(0, fallocate(b, 0, 5 * BLOCK, BLOCK));
	end = move_part(a, 0, b, 0, 8 * BLOCK, 0);
	EXPECT_EQ(EEXIST, end.err);
	EXPECT_TRUE(end.in_target);
	EXPECT_EQ(5 * BLOCK, end.offset);
	ASSERT_EQ(0, pin(a, 3 * BLOCK + 7 * PAGE, 2 * BLOCK));
	end = move_part(a, 2 * BLOCK, b, 0, 4 * BLOCK, 0);
	EXPECT_EQ(EAGAIN, end.err);
	EXPECT_FALSE(end.in_target);
	EXPECT_EQ(3 * BLOCK + 7 * PAGE, end.offset);
	end = move_part(b, 0, a, 2 * BLOCK, 4 * BLOCK, EXCHANGE);
	EXPECT_EQ(EAGAIN, end.err);
	EXPECT_TRUE(end.in_target);
	EXPECT_EQ(3 * BLOCK + 7 * PAGE, end.offset);
	EXPECT_EQ(EAGAIN, move(a, 5 * BLOCK, b, 0, BLOCK, MOVE_ZERO));
	EXPECT_TRUE(is_filled(p, 8 * BLOCK, 1));
	EXPECT_EQ(8 * BLOCK_SECTORS, file_sectors(a));
	EXPECT_EQ(BLOCK_SECTORS, file_sectors(b));
	/* Blocks around the pinned ones can be moved. */
	EXPECT_EQ(0, move(a, 6 * BLOCK, b, 0, 2 * BLOCK, 0));
	EXPECT_EQ(0, move(a, 0, b, 2 * BLOCK, 3 * BLOCK, 0));
	EXPECT_EQ(0, unpin_all(a));
	end = move_part(a, 3 * BLOCK, b, 6 * BLOCK, BLOCK, 0);
	EXPECT_EQ(0, end.err);
	EXPECT_EQ(0, end.offset);
}

/* A gigabyte stays one, and what is left of another one is mapped by smaller entries. */
TEST_F(in_pool, gigabytes)
{
	char *p, *q;
	int a, b;

	if (self->p.free_blocks < 2 * GIB / BLOCK)
		SKIP(return, "needs 2 GiB free");
	a = file_make(&self->p, "a", 2 * GIB);
	b = file_make(&self->p, "b", 3 * GIB);
	p = map_file(a, 0, 2 * GIB);
	q = map_file(b, 0, 3 * GIB);
	ASSERT_TRUE(p != MAP_FAILED && q != MAP_FAILED);
	ASSERT_EQ(0, touch(p, 2 * GIB, GIB));
	fill(p + GIB / 2, BLOCK, 4);
	EXPECT_LEAVES(p, 2 * GIB, 2, 0, 0, "before");
	ASSERT_EQ(0, move(a, 0, b, 2 * GIB, GIB, 0));
	ASSERT_EQ(0, move(a, GIB + GIB / 2, b, GIB + GIB / 2, GIB / 2, 0));
	ASSERT_EQ(0, touch(q + 2 * GIB, GIB, GIB));
	EXPECT_LEAVES(q, 3 * GIB, 1, 0, 0, "moved");
	EXPECT_TRUE(is_filled(q + 2 * GIB + GIB / 2, BLOCK, 4));
	ASSERT_EQ(0, touch(q + GIB + GIB / 2, 2 * BLOCK, BLOCK));
	EXPECT_LEAVES(q, 3 * GIB, 1, 2, 0, "and half a gigabyte");
	EXPECT_LEAVES(p, GIB, 0, 0, 0, "a hole");
	ASSERT_EQ(0, look(p + GIB, GIB / 2, GIB / 4));
	EXPECT_LEAVES(p, 2 * GIB, 0, 2, 0, "the other half");
	/* The second half comes back: one gigabyte, mapped by one entry at the next fault. */
	ASSERT_EQ(0, move(b, GIB + GIB / 2, a, GIB + GIB / 2, GIB / 2, 0));
	ASSERT_EQ(0, touch(p + GIB + GIB / 2, BLOCK, BLOCK));
	EXPECT_LEAVES(p, 2 * GIB, 1, 0, 0, "a gigabyte again");
}

/* A mapping that reserves memory keeps what it has reserved. */
TEST_F(in_pool, reserved)
{
	uint64_t all = self->p.free_blocks - self->p.reserved_blocks;
	int a = file_make(&self->p, "a", 16 * BLOCK), b = file_make(&self->p, "b", 16 * BLOCK);
	int rest = file_make(&self->p, "rest", all * BLOCK);
	char *p = map_reserved(a, 0, 16 * BLOCK);

	ASSERT_NE(MAP_FAILED, (void *)p);
	fill(p, 16 * BLOCK, 1);
	ASSERT_EQ(0, fallocate(rest, 0, 0, (all - 20) * BLOCK));
	EXPECT_EQ(ENOSPC, move(a, 0, b, 0, 5 * BLOCK, 0));
	EXPECT_TRUE(is_filled(p, 16 * BLOCK, 1));
	ASSERT_EQ(0, move(a, 0, b, 0, 4 * BLOCK, 0));
	EXPECT_EQ(ENOSPC, ERR(fallocate(rest, 0, (all - 20) * BLOCK, BLOCK)));
	EXPECT_EQ(0, fallocate(a, 0, 0, 4 * BLOCK));
	ASSERT_EQ(0, munmap(p, 16 * BLOCK));
	EXPECT_EQ(0, move(a, 4 * BLOCK, b, 4 * BLOCK, 12 * BLOCK, 0));
}

/* The limits of a mount are those of the pool, whose use a move does not change. */
TEST_F(in_pool, full)
{
	uint64_t all = self->p.free_blocks - self->p.reserved_blocks;
	int a = file_make(&self->p, "a", all * BLOCK), b = file_make(&self->p, "b", all * BLOCK);

	ASSERT_EQ(0, fallocate(a, 0, 0, all * BLOCK));
	ASSERT_EQ(0, move(a, 0, b, 0, all * BLOCK, 0));
	EXPECT_EQ(self->p.reserved_blocks, pool_free_blocks(&self->p));
	EXPECT_EQ(all * BLOCK_SECTORS, file_sectors(b));
	close(a);
	close(b);
	ASSERT_EQ(0, pool_remount(&self->p));
	b = open(pool_path(&self->p, "b"), O_RDWR);
	EXPECT_EQ(all * BLOCK_SECTORS, file_sectors(b));
}

TEST_F(in_pool, another_pool)
{
	int b = file_make(&self->p, "b", BLOCK), other;
	char dir[4096], path[4200];

	if (self->nr < 2)
		SKIP(return, "only one pool on this machine");
	ASSERT_EQ(0, pool_place(&self->p, dir, sizeof(dir)));
	ASSERT_EQ(0, pool_mount_at(self->nodes[1], dir, 0));
	snprintf(path, sizeof(path), "%s/move_test", dir);
	other = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
	EXPECT_EQ(0, ftruncate(other, BLOCK));
	EXPECT_EQ(EXDEV, move(other, 0, b, 0, BLOCK, 0));
	EXPECT_EQ(EXDEV, move(b, 0, other, 0, BLOCK, EXCHANGE));
	EXPECT_EQ(0, unlink(path));
	close(other);
	EXPECT_EQ(0, umount(dir));
}

/* An error that cannot be written is found before anything is moved. */
TEST_F(in_pool, error_cannot_be_written)
{
	int a = file_make(&self->p, "a", BLOCK), b = file_make(&self->p, "b", BLOCK);
	struct guestmemfs_move *arg;

	arg = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, arg);
	*arg = (struct guestmemfs_move){ .size = sizeof(*arg), .from_fd = a, .length = BLOCK };
	ASSERT_EQ(0, fallocate(a, 0, 0, BLOCK));
	ASSERT_EQ(0, mprotect(arg, PAGE, PROT_READ));
	EXPECT_EQ(EFAULT, ERR(ioctl(b, GUESTMEMFS_IOC_MOVE, arg)));
	EXPECT_EQ(BLOCK_SECTORS, file_sectors(a));
	EXPECT_EQ(0, file_sectors(b));
}

/* More extents than are moved at once while a lock is held. */
#define PIECES	100
#define KILLS	50

/**
 * struct watcher - a thread that looks at a file while its memory is exchanged
 * @fd: the file, which has either no memory or a block at its start
 * @stop: set to end it
 * @torn: it has found the first memory behind the start
 */
struct watcher {
	int fd;
	int stop;
	int torn;
};

static void *watch(void *arg)
{
	struct watcher *w = arg;

	while (!__atomic_load_n(&w->stop, __ATOMIC_RELAXED))
		w->torn |= lseek(w->fd, 0, SEEK_DATA) > 0;
	return NULL;
}

/* All of it or nothing, for a task that is killed and for those that look. */
TEST_F(in_pool, all_or_nothing)
{
	const size_t len = 2 * PIECES * BLOCK;
	int a = file_make(&self->p, "a", len), b = file_make(&self->p, "b", len), status, i;
	struct watcher w = { .fd = a };
	pthread_t thread;
	uint64_t has;
	pid_t pid;

	for (i = 0; i < PIECES; i++)
		ASSERT_EQ(0, fallocate(a, 0, 2 * i * BLOCK, BLOCK));
	ASSERT_EQ(0, pthread_create(&thread, NULL, watch, &w));
	for (i = 0; i < KILLS; i++) {
		pid = fork();
		if (!pid) {
			while (!move(a, 0, b, 0, len, EXCHANGE))
				;
			_exit(1);
		}
		ASSERT_LT(0, pid);
		usleep(i * 100);
		ASSERT_EQ(0, kill(pid, SIGKILL));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		has = file_sectors(a);
		EXPECT_TRUE(!has || has == PIECES * BLOCK_SECTORS);
		EXPECT_EQ(PIECES * BLOCK_SECTORS, has + file_sectors(b));
	}
	__atomic_store_n(&w.stop, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	EXPECT_EQ(0, w.torn);
}

TEST_HARNESS_MAIN
