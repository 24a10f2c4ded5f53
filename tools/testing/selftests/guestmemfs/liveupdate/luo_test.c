// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files of guestmemfs in sessions of the Live Update Orchestrator, as far as it can be tested
 * without a kexec: files that can be preserved, operations that a preserved file refuses, and that
 * the end of a session allows them again.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/limits.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"
#include "luo.h"
#include "move.h"
#include "util.h"

#define PUNCH	(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define MANY	200

FIXTURE(luo)
{
	bool pool;
	struct pool p;
	int luo;
	int session;
};

FIXTURE_SETUP(luo)
{
	int nodes[MAX_POOLS];

	if (!pool_nodes(nodes))
		SKIP(return, "no pool on this machine");
	if (access("/dev/liveupdate", F_OK))
		SKIP(return, "no liveupdate=on on the command line");
	ASSERT_TRUE(pool_setup(&self->p, nodes[0]));
	self->pool = true;
	catch_faults();
	self->luo = luo_open();
	ASSERT_GE(self->luo, 0);
	self->session = luo_create(self->luo, "luo_test");
	ASSERT_GE(self->session, 0);
}

/* The process of the test has ended here, and its sessions with it. */
FIXTURE_TEARDOWN_PARENT(luo)
{
	if (self->pool)
		EXPECT_STREQ("", pool_teardown(&self->p) ?: "");
}

static off_t size_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? -1 : st.st_size;
}

/* Makes a file of four blocks with a pattern. */
static int make_filled(const struct pool *p, const char *name)
{
	int fd = file_make(p, name, 4 * BLOCK);
	void *map = fd < 0 ? MAP_FAILED : map_file(fd, 0, 4 * BLOCK);

	if (map == MAP_FAILED)
		return -1;
	fill(map, 4 * BLOCK, 5);
	munmap(map, 4 * BLOCK);
	return fd;
}

static bool still_filled(int fd)
{
	void *map = map_file(fd, 0, 4 * BLOCK);
	bool ret = map != MAP_FAILED && is_filled(map, 4 * BLOCK, 5);

	munmap(map, 4 * BLOCK);
	return ret;
}

TEST_F(luo, nothing_is_taken_out)
{
	int to = file_make(&self->p, "to", 8 * BLOCK);
	int fd = make_filled(&self->p, "file"), other, i;
	const char *path = pool_path(&self->p, "file");

	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, luo_preserve_fd(self->session, 1, fd));
	other = open(path, O_RDWR);
	ASSERT_GE(other, 0);
	for (i = 0; i < 2; i++) {
		int f = i ? other : fd;

		EXPECT_EQ(EBUSY, ERR(fallocate(f, PUNCH, 0, BLOCK)));
		EXPECT_EQ(EBUSY, ERR(fallocate(f, PUNCH, 10, 10)));
		EXPECT_EQ(EBUSY, ERR(fallocate(f, FALLOC_FL_ZERO_RANGE, BLOCK, BLOCK)));
		EXPECT_EQ(EBUSY, ERR(fallocate(f, FALLOC_FL_ZERO_RANGE, 10, 10)));
		EXPECT_EQ(EBUSY, ERR(ftruncate(f, 4 * BLOCK - 1)));
		EXPECT_EQ(EBUSY, ERR(ftruncate(f, 0)));
		EXPECT_EQ(EBUSY, move(f, 0, to, 0, BLOCK, 0));
		EXPECT_EQ(EBUSY, move(f, 0, to, 0, BLOCK, EXCHANGE));
		EXPECT_EQ(EBUSY, move(to, 0, f, 0, BLOCK, EXCHANGE));
	}
	EXPECT_EQ(0, file_sectors(to));
	EXPECT_EQ(EBUSY, ERR(truncate(path, BLOCK)));
	EXPECT_EQ(EBUSY, ERR(open(path, O_RDWR | O_TRUNC)));
	EXPECT_EQ(4 * BLOCK, size_of(fd));
	EXPECT_EQ(4 * BLOCK_SECTORS, file_sectors(fd));
	EXPECT_TRUE(still_filled(fd));
}

/* Also where the preserved file has a hole, an exchange could take it away. */
TEST_F(luo, holes_are_not_exchanged)
{
	int fd = make_filled(&self->p, "file"), other = make_filled(&self->p, "other");

	ASSERT_EQ(0, ftruncate(fd, 8 * BLOCK));
	ASSERT_EQ(0, luo_preserve_fd(self->session, 1, fd));
	EXPECT_EQ(EBUSY, move(other, 0, fd, 4 * BLOCK, BLOCK, EXCHANGE));
	EXPECT_EQ(EBUSY, move(fd, 4 * BLOCK, other, 0, BLOCK, EXCHANGE));
	EXPECT_EQ(0, move(other, 0, fd, 4 * BLOCK, BLOCK, 0));
}

/* A file with blocks after its end, and a hole before them, cannot be preserved either. */
TEST_F(luo, nothing_behind_the_end)
{
	int fd = make_filled(&self->p, "file");

	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, fallocate(fd, FALLOC_FL_KEEP_SIZE, 6 * BLOCK, BLOCK));
	ASSERT_EQ(0, luo_preserve_fd(self->session, 1, fd));
	EXPECT_EQ(EBUSY, ERR(ftruncate(fd, 4 * BLOCK)));
	EXPECT_EQ(5 * BLOCK_SECTORS, file_sectors(fd));
}

TEST_F(luo, it_can_grow)
{
	int fd = make_filled(&self->p, "file"), from = make_filled(&self->p, "from");
	char *p;

	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, luo_preserve_fd(self->session, 1, fd));
	EXPECT_EQ(0, ftruncate(fd, 4 * BLOCK));
	EXPECT_EQ(0, ftruncate(fd, 8 * BLOCK));
	EXPECT_EQ(0, fallocate(fd, 0, 5 * BLOCK, BLOCK));
	EXPECT_EQ(0, move(from, 0, fd, 4 * BLOCK, BLOCK, 0));
	EXPECT_EQ(0, fallocate(fd, 0, 8 * BLOCK, BLOCK));
	EXPECT_EQ(0, fallocate(fd, FALLOC_FL_KEEP_SIZE, 9 * BLOCK, BLOCK));
	EXPECT_EQ(9 * BLOCK, size_of(fd));
	EXPECT_EQ(EBUSY, ERR(ftruncate(fd, 8 * BLOCK)));
	p = map_file(fd, 0, 9 * BLOCK);
	ASSERT_NE(MAP_FAILED, p);
	/* Write to a hole and to an allocated block. */
	EXPECT_EQ(0, poke(p + 6 * BLOCK, 1));
	EXPECT_EQ(0, poke(p + 100, 1));
	EXPECT_EQ(9 * BLOCK_SECTORS, file_sectors(fd));
	EXPECT_EQ(0, fchmod(fd, 0400));
	EXPECT_EQ(0, fchown(fd, 7, 8));
}

/* A mapping from before preservation and one from after it have the same contents. */
TEST_F(luo, mapped)
{
	int fd = make_filled(&self->p, "file");
	char *before, *during;

	ASSERT_GE(fd, 0);
	before = map_file(fd, 0, 4 * BLOCK);
	ASSERT_NE(MAP_FAILED, before);
	ASSERT_EQ(0, luo_preserve_fd(self->session, 1, fd));
	during = map_file(fd, 0, 4 * BLOCK);
	ASSERT_NE(MAP_FAILED, during);
	EXPECT_EQ(0, poke(before + BLOCK, 77));
	EXPECT_EQ(77, peek(during + BLOCK));
	ASSERT_EQ(0, close(self->session));
	EXPECT_EQ(0, poke(during + BLOCK, 78));
	EXPECT_EQ(78, peek(before + BLOCK));
}

TEST_F(luo, all_is_as_before_when_the_session_goes)
{
	int fd = make_filled(&self->p, "file"), i;

	ASSERT_GE(fd, 0);
	for (i = 0; i < 3; i++) {
		int session = luo_create(self->luo, "again");

		ASSERT_GE(session, 0);
		ASSERT_EQ(0, luo_preserve_fd(session, i, fd));
		EXPECT_EQ(EBUSY, ERR(fallocate(fd, PUNCH, 0, BLOCK)));
		ASSERT_EQ(0, close(session));
		EXPECT_TRUE(i || still_filled(fd));
		EXPECT_EQ(0, fallocate(fd, PUNCH, 0, BLOCK));
		EXPECT_EQ(0, ftruncate(fd, BLOCK));
		EXPECT_EQ(0, file_sectors(fd));
		EXPECT_EQ(0, fallocate(fd, 0, 0, 4 * BLOCK));
	}
}

TEST_F(luo, unlinked)
{
	int fd = make_filled(&self->p, "file"), again;

	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, luo_preserve_fd(self->session, 1, fd));
	EXPECT_EQ(0, unlink(pool_path(&self->p, "file")));
	EXPECT_EQ(ENOENT, ERR(access(pool_path(&self->p, "file"), F_OK)));
	EXPECT_EQ(EBUSY, ERR(fallocate(fd, PUNCH, 0, BLOCK)));
	EXPECT_TRUE(still_filled(fd));
	/* The name can be used for another file. */
	again = file_make(&self->p, "file", BLOCK);
	EXPECT_GE(again, 0);
	EXPECT_EQ(0, ftruncate(again, 0));
	/* Only the session has the file open now, so its end frees the file. */
	ASSERT_EQ(0, close(fd));
	EXPECT_EQ(self->p.free_blocks - 4, pool_free_blocks(&self->p));
	ASSERT_EQ(0, close(self->session));
	EXPECT_EQ(self->p.free_blocks, pool_free_blocks(&self->p));
}

TEST_F(luo, unlinked_before)
{
	int fd = make_filled(&self->p, "file");

	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, unlink(pool_path(&self->p, "file")));
	ASSERT_EQ(0, luo_preserve_fd(self->session, 1, fd));
	ASSERT_EQ(0, close(fd));
	EXPECT_EQ(self->p.free_blocks - 4, pool_free_blocks(&self->p));
	ASSERT_EQ(0, close(self->session));
	EXPECT_EQ(self->p.free_blocks, pool_free_blocks(&self->p));
}

TEST_F(luo, renamed)
{
	int fd = make_filled(&self->p, "file"), over = file_make(&self->p, "over", BLOCK);
	char from[PATH_MAX], to[PATH_MAX];

	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, luo_preserve_fd(self->session, 1, fd));
	snprintf(from, sizeof(from), "%s", pool_path(&self->p, "file"));
	snprintf(to, sizeof(to), "%s", pool_path(&self->p, "to"));
	EXPECT_EQ(0, rename(from, to));
	/* A rename that replaces the preserved file removes its name, and nothing else. */
	EXPECT_EQ(0, rename(pool_path(&self->p, "over"), to));
	EXPECT_TRUE(still_filled(fd));
	EXPECT_EQ(self->p.free_blocks - 4, pool_free_blocks(&self->p));
	close(over);
	close(fd);
	ASSERT_EQ(0, close(self->session));
	EXPECT_EQ(self->p.free_blocks, pool_free_blocks(&self->p));
}

TEST_F(luo, only_once)
{
	int fd = make_filled(&self->p, "file"), one = file_make(&self->p, "one", BLOCK);
	int again = open(pool_path(&self->p, "file"), O_RDONLY);
	int other = luo_create(self->luo, "other");

	ASSERT_GE(fd, 0);
	ASSERT_GE(again, 0);
	ASSERT_GE(other, 0);
	ASSERT_EQ(0, luo_preserve_fd(self->session, 1, fd));
	EXPECT_EQ(EEXIST, ERR(luo_preserve_fd(self->session, 1, fd)));
	EXPECT_EQ(EEXIST, ERR(luo_preserve_fd(self->session, 1, one)));
	EXPECT_EQ(EBUSY, ERR(luo_preserve_fd(self->session, 2, fd)));
	EXPECT_EQ(EBUSY, ERR(luo_preserve_fd(self->session, 2, again)));
	EXPECT_EQ(EBUSY, ERR(luo_preserve_fd(other, 1, fd)));
	EXPECT_EQ(EBUSY, ERR(luo_preserve_fd(other, 1, again)));
	/* A refused call has changed nothing. */
	EXPECT_EQ(EBUSY, ERR(fallocate(fd, PUNCH, 0, BLOCK)));
	ASSERT_EQ(0, luo_preserve_fd(other, 1, one));
	ASSERT_EQ(0, close(self->session));
	EXPECT_EQ(0, fallocate(fd, PUNCH, 0, BLOCK));
	EXPECT_EQ(EBUSY, ERR(ftruncate(one, 0)));
	EXPECT_EQ(0, luo_preserve_fd(other, 2, again));
	EXPECT_EQ(EBUSY, ERR(fallocate(fd, PUNCH, 0, BLOCK)));
}

TEST_F(luo, only_files)
{
	int dir = open(self->p.dir, O_RDONLY | O_DIRECTORY), root = open(self->p.mnt, O_RDONLY);
	int fd = file_make(&self->p, "file", BLOCK), path, ends[2];

	ASSERT_GE(fd, 0);
	ASSERT_GE(dir, 0);
	path = open(pool_path(&self->p, "file"), O_PATH);
	ASSERT_GE(path, 0);
	ASSERT_EQ(0, pipe(ends));
	EXPECT_EQ(ENOENT, ERR(luo_preserve_fd(self->session, 1, dir)));
	EXPECT_EQ(ENOENT, ERR(luo_preserve_fd(self->session, 1, root)));
	EXPECT_EQ(ENOENT, ERR(luo_preserve_fd(self->session, 1, ends[0])));
	EXPECT_EQ(ENOENT, ERR(luo_preserve_fd(self->session, 1, self->session)));
	EXPECT_EQ(EBADF, ERR(luo_preserve_fd(self->session, 1, path)));
	EXPECT_EQ(EBADF, ERR(luo_preserve_fd(self->session, 1, 1000)));
	EXPECT_EQ(0, luo_preserve_fd(self->session, 1, fd));
}

TEST_F(luo, an_empty_one)
{
	int fd = file_make(&self->p, "file", 0);

	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, luo_preserve_fd(self->session, 1, fd));
	EXPECT_EQ(0, ftruncate(fd, BLOCK));
	EXPECT_EQ(EBUSY, ERR(ftruncate(fd, 0)));
}

TEST_F(luo, the_pool_stays_mounted)
{
	int fd = make_filled(&self->p, "file");

	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, luo_preserve_fd(self->session, 1, fd));
	ASSERT_EQ(0, close(fd));
	EXPECT_EQ(EBUSY, ERR(umount(self->p.mnt)));
	ASSERT_EQ(0, close(self->session));
	EXPECT_EQ(0, pool_remount(&self->p));
}

/* Preserving a file of a read-only pool fails and changes nothing in the pool. */
TEST_F(luo, read_only)
{
	int fd = make_filled(&self->p, "file");

	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, close(fd));
	ASSERT_EQ(0, mount(NULL, self->p.mnt, NULL, MS_REMOUNT | MS_RDONLY, NULL));
	fd = open(pool_path(&self->p, "file"), O_RDONLY);
	ASSERT_GE(fd, 0);
	EXPECT_EQ(EROFS, ERR(luo_preserve_fd(self->session, 1, fd)));
	ASSERT_EQ(0, mount(NULL, self->p.mnt, NULL, MS_REMOUNT, NULL));
	EXPECT_EQ(0, luo_preserve_fd(self->session, 1, fd));
}

TEST_F(luo, many)
{
	char name[32];
	int fds[MANY], i;

	for (i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "file%d", i);
		fds[i] = file_make(&self->p, name, BLOCK);
		ASSERT_GE(fds[i], 0);
		ASSERT_EQ(0, luo_preserve_fd(self->session, i, fds[i]));
	}
	for (i = 0; i < MANY; i++)
		EXPECT_EQ(EBUSY, ERR(ftruncate(fds[i], 0)));
	ASSERT_EQ(0, close(self->session));
	for (i = 0; i < MANY; i++)
		EXPECT_EQ(0, ftruncate(fds[i], 0));
}

TEST_HARNESS_MAIN
