// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files of guestmemfs without a name: O_TMPFILE, and linkat(), which gives them one.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>

#include "fixture.h"

static int tmpfile_make(const struct pool *p, int flags)
{
	return open(p->dir, O_TMPFILE | O_RDWR | flags, 0640);
}

static int give_name(const struct pool *p, int fd, const char *name)
{
	char from[32];

	snprintf(from, sizeof(from), "/proc/self/fd/%d", fd);
	return linkat(AT_FDCWD, from, AT_FDCWD, pool_path(p, name), AT_SYMLINK_FOLLOW);
}

static uint64_t free_inodes(const struct pool *p)
{
	struct statfs st;

	return statfs(p->mnt, &st) ? 0 : st.f_ffree;
}

static int entries(const struct pool *p)
{
	DIR *dir = opendir(p->dir);
	int n = 0;

	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n - 2;
}

TEST_F(in_pool, nameless)
{
	uint64_t inodes = free_inodes(&self->p);
	struct stat st;
	unsigned char *p;
	int fd;

	umask(022);
	fd = tmpfile_make(&self->p, 0);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(S_IFREG | 0640, st.st_mode);
	EXPECT_EQ(0, st.st_nlink);
	EXPECT_EQ(0, st.st_blocks);
	EXPECT_EQ(0, entries(&self->p));
	EXPECT_EQ(inodes - 1, free_inodes(&self->p));
	ASSERT_EQ(0, fallocate(fd, 0, 0, 2 * BLOCK));
	p = map_file(fd, 0, 2 * BLOCK);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, poke(p + BLOCK, 3));
	close(fd);
	/* The mapping keeps the file and its blocks. */
	EXPECT_EQ(3, peek(p + BLOCK));
	EXPECT_EQ(self->p.free_blocks - 2, pool_free_blocks(&self->p));
	munmap(p, 2 * BLOCK);
	EXPECT_EQ(self->p.free_blocks, pool_free_blocks(&self->p));
	EXPECT_EQ(inodes, free_inodes(&self->p));
}

TEST_F(in_pool, gets_a_name)
{
	int fd = tmpfile_make(&self->p, 0), again;
	struct stat st, before;
	unsigned char *p;

	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, fallocate(fd, 0, 0, BLOCK));
	p = map_file(fd, 0, BLOCK);
	ASSERT_NE(MAP_FAILED, p);
	fill(p, BLOCK, 4);
	munmap(p, BLOCK);
	ASSERT_EQ(0, mkdir(pool_path(&self->p, "dir"), 0700));
	close(file_make(&self->p, "there", 0));
	EXPECT_EQ(EEXIST, ERR(give_name(&self->p, fd, "there")));
	EXPECT_EQ(ENOENT, ERR(give_name(&self->p, fd, "none/name")));
	EXPECT_EQ(ENOTDIR, ERR(give_name(&self->p, fd, "there/name")));
	ASSERT_EQ(0, fstat(fd, &before));
	EXPECT_EQ(0, before.st_nlink);
	ASSERT_EQ(0, give_name(&self->p, fd, "dir/name"));
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(1, st.st_nlink);
	EXPECT_EQ(before.st_ino, st.st_ino);
	/* The file has a name now, and hard links are not supported. */
	EXPECT_EQ(EPERM, ERR(give_name(&self->p, fd, "second")));
	EXPECT_EQ(ENOENT, ERR(access(pool_path(&self->p, "second"), F_OK)));
	close(fd);
	ASSERT_EQ(0, pool_remount(&self->p));
	again = open(pool_path(&self->p, "dir/name"), O_RDWR);
	ASSERT_GE(again, 0);
	ASSERT_EQ(0, fstat(again, &st));
	EXPECT_EQ(before.st_ino, st.st_ino);
	EXPECT_EQ(BLOCK_SECTORS, st.st_blocks);
	p = map_file(again, 0, BLOCK);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_TRUE(is_filled(p, BLOCK, 4));
	/* Like any other file, it is freed when it is unlinked and closed. */
	EXPECT_EQ(0, unlink(pool_path(&self->p, "dir/name")));
	munmap(p, BLOCK);
	EXPECT_EQ(ENOENT, ERR(give_name(&self->p, again, "name")));
	close(again);
	EXPECT_EQ(self->p.free_blocks, pool_free_blocks(&self->p));
}

/* With O_EXCL, linkat() is refused, and the last close frees the file. */
TEST_F(in_pool, stays_nameless)
{
	int fd = tmpfile_make(&self->p, O_EXCL);

	ASSERT_GE(fd, 0);
	EXPECT_EQ(ENOENT, ERR(give_name(&self->p, fd, "name")));
	EXPECT_EQ(EBUSY, ERR(umount(self->p.mnt)));
	close(fd);
	EXPECT_EQ(0, entries(&self->p));
	ASSERT_EQ(0, pool_remount(&self->p));
	EXPECT_EQ(0, entries(&self->p));
}

TEST_F(in_pool, refused)
{
	char path[160];
	int status;
	pid_t pid;

	close(file_make(&self->p, "file", 0));
	EXPECT_EQ(EINVAL, ERR(open(self->p.dir, O_TMPFILE | O_RDONLY, 0600)));
	EXPECT_EQ(ENOTDIR, ERR(open(pool_path(&self->p, "file"), O_TMPFILE | O_RDWR, 0600)));
	EXPECT_EQ(ENOENT, ERR(open(pool_path(&self->p, "none"), O_TMPFILE | O_RDWR, 0600)));
	snprintf(path, sizeof(path), "%s/sub", self->p.dir);
	ASSERT_EQ(0, mkdir(path, 0755));
	ASSERT_EQ(0, chmod(self->p.base, 0755));
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		if (setresgid(1000, 1000, 1000) || setresuid(1000, 1000, 1000))
			_exit(200);
		/* The user can search the directory, and not write to it. */
		if (access(path, R_OK | X_OK))
			_exit(201);
		_exit(ERR(open(path, O_TMPFILE | O_RDWR, 0600)));
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFEXITED(status));
	EXPECT_EQ(EACCES, WEXITSTATUS(status));
	EXPECT_EQ(EPERM, ERR(link(pool_path(&self->p, "file"), pool_path(&self->p, "new"))));
	EXPECT_EQ(EPERM, ERR(link(path, pool_path(&self->p, "new"))));
}

TEST_HARNESS_MAIN
