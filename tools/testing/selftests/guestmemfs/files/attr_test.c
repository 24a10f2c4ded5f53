// SPDX-License-Identifier: GPL-2.0-only
/*
 * Attributes of files and directories of guestmemfs: which users may change them, and which
 * operations change them as a side effect.
 */
#include <fcntl.h>
#include <grp.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "fixture.h"

#ifndef __NR_file_getattr
#define __NR_file_getattr	468
#define __NR_file_setattr	469
#endif

static mode_t mode_of(const struct pool *p, const char *name)
{
	struct stat st;

	return stat(pool_path(p, name), &st) ? 0 : st.st_mode;
}

static gid_t gid_of(const struct pool *p, const char *name)
{
	struct stat st;

	return stat(pool_path(p, name), &st) ? -1 : st.st_gid;
}

/* Runs @check as an unprivileged user. Returns the result of @check, or -1. */
static int as_user(const struct pool *p, int (*check)(const struct pool *p))
{
	int status;
	pid_t pid;

	if (chmod(p->base, 0755) || chmod(p->dir, 01777))
		return -1;
	pid = fork();
	if (!pid) {
		if (setgroups(0, NULL) || setresgid(1000, 1000, 1000) ||
		    setresuid(1000, 1000, 1000))
			_exit(255);
		_exit(check(p));
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) ?
	       WEXITSTATUS(status) : -1;
}

TEST_F(in_pool, umask)
{
	umask(027);
	close(open(pool_path(&self->p, "file"), O_RDWR | O_CREAT, 0666));
	ASSERT_EQ(0, mkdir(pool_path(&self->p, "dir"), 0777));
	ASSERT_EQ(0, mknod(pool_path(&self->p, "node"), S_IFREG | 0666, 0));
	umask(022);
	EXPECT_EQ(S_IFREG | 0640, mode_of(&self->p, "file"));
	EXPECT_EQ(S_IFDIR | 0750, mode_of(&self->p, "dir"));
	EXPECT_EQ(S_IFREG | 0640, mode_of(&self->p, "node"));
}

/*
 * New files in a set-group-ID directory get the group of the directory, and new directories get the
 * set-group-ID bit, too.
 */
TEST_F(in_pool, setgid_directory)
{
	struct stat st;
	int fd, round;

	ASSERT_EQ(0, mkdir(pool_path(&self->p, "d"), 0755));
	ASSERT_EQ(0, chown(pool_path(&self->p, "d"), 1000, 4321));
	ASSERT_EQ(0, chmod(pool_path(&self->p, "d"), 02775));
	close(file_make(&self->p, "d/file", 0));
	ASSERT_EQ(0, mkdir(pool_path(&self->p, "d/sub"), 0700));
	fd = open(pool_path(&self->p, "d"), O_TMPFILE | O_RDWR, 0600);
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(4321, st.st_gid);
	close(fd);
	for (round = 0; round < 2; round++) {
		EXPECT_EQ(4321, gid_of(&self->p, "d/file"));
		EXPECT_EQ(S_IFREG | 0644, mode_of(&self->p, "d/file"));
		EXPECT_EQ(4321, gid_of(&self->p, "d/sub"));
		EXPECT_EQ(S_IFDIR | 02700, mode_of(&self->p, "d/sub"));
		ASSERT_EQ(0, pool_remount(&self->p));
	}
	ASSERT_EQ(0, chmod(pool_path(&self->p, "d"), 0775));
	close(file_make(&self->p, "d/plain", 0));
	EXPECT_EQ(0, gid_of(&self->p, "d/plain"));
}

static int changes_own_file(const struct pool *p)
{
	int fd = file_make(p, "own", 2 * BLOCK);

	if (fchmod(fd, 06777) || fallocate(fd, 0, 0, BLOCK))
		return 1;
	if (mode_of(p, "own") != (S_IFREG | 0777))
		return 2;
	if (fchmod(fd, 06777) || fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, BLOCK))
		return 3;
	if (mode_of(p, "own") != (S_IFREG | 0777))
		return 4;
	if (fchmod(fd, 06777) || ftruncate(fd, BLOCK))
		return 5;
	if (mode_of(p, "own") != (S_IFREG | 0777))
		return 6;
	if (fchmod(fd, 06777) || fchown(fd, 1000, 1000))
		return 7;
	if (mode_of(p, "own") != (S_IFREG | 0777))
		return 8;
	/* The set-group-ID bit of a file that its group cannot execute is not cleared. */
	if (fchmod(fd, 02767) || fchown(fd, 1000, 1000))
		return 9;
	return mode_of(p, "own") == (S_IFREG | 02767) ? 0 : 10;
}

/* Operations that change a file clear its set-user-ID and set-group-ID bits. */
TEST_F(in_pool, setuid_is_cleared)
{
	EXPECT_EQ(0, as_user(&self->p, changes_own_file));
}

static int changes_what_is_not_his(const struct pool *p)
{
	const struct timespec times[2] = { { 1, 0 }, { 1, 0 } };
	const char *path = pool_path(p, "file");

	if (ERR(chmod(path, 0600)) != EPERM)
		return 1;
	if (ERR(chown(path, 1000, -1)) != EPERM)
		return 2;
	if (ERR(utimensat(AT_FDCWD, path, times, 0)) != EPERM)
		return 3;
	if (ERR(utimensat(AT_FDCWD, path, NULL, 0)) != EACCES)
		return 4;
	if (ERR(truncate(path, 0)) != EACCES)
		return 5;
	/* The directory has the sticky bit. */
	if (ERR(unlink(path)) != EPERM)
		return 6;
	if (ERR(rename(path, pool_path(p, "new"))) != EPERM)
		return 7;
	close(file_make(p, "own", 0));
	if (ERR(rename(pool_path(p, "own"), pool_path(p, "file"))) != EPERM)
		return 8;
	path = pool_path(p, "own");
	if (ERR(chown(path, 0, -1)) != EPERM || ERR(chown(path, -1, 4321)) != EPERM)
		return 9;
	/* The user is not in the group of this file, so chmod() clears its set-group-ID bit. */
	if (chmod(pool_path(p, "given"), 02755) || mode_of(p, "given") != (S_IFREG | 0755))
		return 10;
	return rename(pool_path(p, "own"), pool_path(p, "new")) || unlink(pool_path(p, "new")) ?
	       11 : 0;
}

TEST_F(in_pool, not_the_owner)
{
	close(file_make(&self->p, "file", 0));
	close(file_make(&self->p, "given", 0));
	ASSERT_EQ(0, chown(pool_path(&self->p, "given"), 1000, 4321));
	EXPECT_EQ(0, as_user(&self->p, changes_what_is_not_his));
}

/* As in other filesystems without inode flags, no file can be made immutable or append-only. */
TEST_F(in_pool, inode_flags_are_refused)
{
	static const char * const names[] = { "file", "dir" };
	struct fsxattr x = {};
	unsigned int i;

	close(file_make(&self->p, "file", 0));
	ASSERT_EQ(0, mkdir(pool_path(&self->p, "dir"), 0700));
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		const char *path = pool_path(&self->p, names[i]);
		int fd = open(path, O_RDONLY), flags = FS_IMMUTABLE_FL;
		char attr[24] = {};

		ASSERT_GE(fd, 0);
		EXPECT_EQ(ENOTTY, ERR(ioctl(fd, FS_IOC_SETFLAGS, &flags)));
		flags = FS_APPEND_FL;
		EXPECT_EQ(ENOTTY, ERR(ioctl(fd, FS_IOC_SETFLAGS, &flags)));
		EXPECT_EQ(ENOTTY, ERR(ioctl(fd, FS_IOC_GETFLAGS, &flags)));
		EXPECT_EQ(ENOTTY, ERR(ioctl(fd, FS_IOC_FSGETXATTR, &x)));
		EXPECT_EQ(ENOTTY, ERR(ioctl(fd, FS_IOC_FSSETXATTR, &x)));
		EXPECT_EQ(EOPNOTSUPP, ERR(syscall(__NR_file_getattr, AT_FDCWD, path, attr,
						  sizeof(attr), 0)));
		EXPECT_EQ(EOPNOTSUPP, ERR(syscall(__NR_file_setattr, AT_FDCWD, path, attr,
						  sizeof(attr), 0)));
		close(fd);
	}
}

static int64_t nsec(struct timespec t)
{
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* Returns which times of a file an operation has changed: 'a', 'm', 'c'. */
static const char *changed(const struct pool *p, const char *name, const struct stat *before)
{
	static char which[4];
	struct stat st;
	int n = 0;

	if (stat(pool_path(p, name), &st))
		return "none";
	if (nsec(st.st_atim) != nsec(before->st_atim))
		which[n++] = 'a';
	if (nsec(st.st_mtim) != nsec(before->st_mtim))
		which[n++] = 'm';
	if (nsec(st.st_ctim) != nsec(before->st_ctim))
		which[n++] = 'c';
	which[n] = 0;
	return which;
}

/* Waits until the clock has advanced, and stores the times of the directory and of a file in it. */
static void look(const struct pool *p, struct stat *dir, struct stat *file)
{
	usleep(20000);
	stat(p->dir, dir);
	stat(pool_path(p, "file"), file);
}

TEST_F(in_pool, which_times_change)
{
	const struct timespec omit[2] = { { 0, UTIME_OMIT }, { 0, UTIME_NOW } };
	int fd = file_make(&self->p, "file", BLOCK);
	struct stat dir, file;

	ASSERT_GE(fd, 0);
	look(&self->p, &dir, &file);
	ASSERT_EQ(0, fchmod(fd, 0600));
	EXPECT_STREQ("c", changed(&self->p, "file", &file));
	EXPECT_STREQ("", changed(&self->p, ".", &dir));
	look(&self->p, &dir, &file);
	ASSERT_EQ(0, fchown(fd, 1, 1));
	EXPECT_STREQ("c", changed(&self->p, "file", &file));
	look(&self->p, &dir, &file);
	ASSERT_EQ(0, futimens(fd, omit));
	EXPECT_STREQ("mc", changed(&self->p, "file", &file));
	look(&self->p, &dir, &file);
	ASSERT_EQ(0, fallocate(fd, 0, 0, BLOCK));
	EXPECT_STREQ("mc", changed(&self->p, "file", &file));
	look(&self->p, &dir, &file);
	ASSERT_EQ(0, rename(pool_path(&self->p, "file"), pool_path(&self->p, "x")));
	ASSERT_EQ(0, rename(pool_path(&self->p, "x"), pool_path(&self->p, "file")));
	EXPECT_STREQ("c", changed(&self->p, "file", &file));
	EXPECT_STREQ("mc", changed(&self->p, ".", &dir));
	look(&self->p, &dir, &file);
	ASSERT_EQ(0, mkdir(pool_path(&self->p, "sub"), 0700));
	EXPECT_STREQ("mc", changed(&self->p, ".", &dir));
	look(&self->p, &dir, &file);
	ASSERT_EQ(0, rmdir(pool_path(&self->p, "sub")));
	EXPECT_STREQ("mc", changed(&self->p, ".", &dir));
	EXPECT_STREQ("", changed(&self->p, "file", &file));
	/* An operation that fails changes no times. */
	look(&self->p, &dir, &file);
	EXPECT_EQ(EEXIST, ERR(mkdir(pool_path(&self->p, "file"), 0700)));
	EXPECT_EQ(ENOTDIR, ERR(rmdir(pool_path(&self->p, "file"))));
	EXPECT_EQ(EFBIG, ERR(ftruncate(fd, INT64_MAX)));
	EXPECT_STREQ("", changed(&self->p, "file", &file));
	EXPECT_STREQ("", changed(&self->p, ".", &dir));
	ASSERT_EQ(0, unlink(pool_path(&self->p, "file")));
	ASSERT_EQ(0, fstat(fd, &dir));
	EXPECT_NE(nsec(file.st_ctim), nsec(dir.st_ctim));
	EXPECT_EQ(nsec(file.st_mtim), nsec(dir.st_mtim));
	close(fd);
}

/* lazytime delays nothing, because guestmemfs has no writeback. */
TEST_F(in_pool, times_are_kept_with_lazytime)
{
	const struct timespec old[2] = { { 1, 0 }, { 1, 0 } };
	int fd = file_make(&self->p, "file", BLOCK);
	struct stat st, after;
	unsigned char *p;

	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, mount(NULL, self->p.mnt, NULL, MS_REMOUNT | MS_LAZYTIME, NULL));
	ASSERT_EQ(0, futimens(fd, old));
	p = map_file(fd, 0, BLOCK);
	ASSERT_NE(MAP_FAILED, p);
	munmap(p, BLOCK);
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_NE(1, st.st_atim.tv_sec);
	EXPECT_EQ(1, st.st_mtim.tv_sec);
	close(fd);
	ASSERT_EQ(0, pool_remount(&self->p));
	ASSERT_EQ(0, stat(pool_path(&self->p, "file"), &after));
	EXPECT_EQ(nsec(st.st_atim), nsec(after.st_atim));
	EXPECT_EQ(nsec(st.st_mtim), nsec(after.st_mtim));
}

TEST_HARNESS_MAIN
