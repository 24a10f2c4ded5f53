// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files of guestmemfs: the operations that are possible, the operations that are refused, and the
 * attributes that are kept.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <linux/fs.h>

#include "fixture.h"

TEST_F(in_pool, create)
{
	struct stat st;
	int fd;

	umask(022);
	fd = open(pool_path(&self->p, "file"), O_RDWR | O_CREAT | O_EXCL, 0666);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(S_IFREG | 0644, st.st_mode);
	EXPECT_EQ(0, st.st_size);
	EXPECT_EQ(0, st.st_blocks);
	EXPECT_EQ(1, st.st_nlink);
	EXPECT_EQ(BLOCK, st.st_blksize);
	EXPECT_EQ(EEXIST, ERR(open(pool_path(&self->p, "file"), O_RDWR | O_CREAT | O_EXCL, 0666)));
	EXPECT_EQ(EEXIST, ERR(mkdir(pool_path(&self->p, "file"), 0777)));
	EXPECT_EQ(ENOTDIR, ERR(open(pool_path(&self->p, "file/x"), O_RDWR | O_CREAT, 0666)));
	EXPECT_EQ(ENOENT, ERR(open(pool_path(&self->p, "none/x"), O_RDWR | O_CREAT, 0666)));
	EXPECT_EQ(EISDIR, ERR(open(self->p.dir, O_RDWR)));
	close(fd);
}

/* O_TRUNC frees the blocks, like truncate(). */
TEST_F(in_pool, truncate_on_open)
{
	int fd = file_make(&self->p, "file", 0);

	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, fallocate(fd, 0, 0, 2 * BLOCK));
	close(fd);
	EXPECT_EQ(self->p.free_blocks - 2, pool_free_blocks(&self->p));
	fd = open(pool_path(&self->p, "file"), O_RDWR | O_TRUNC);
	ASSERT_GE(fd, 0);
	EXPECT_EQ(0, file_sectors(fd));
	EXPECT_EQ(0, lseek(fd, 0, SEEK_END));
	EXPECT_EQ(self->p.free_blocks, pool_free_blocks(&self->p));
	close(fd);
}

TEST_F(in_pool, unlinked_while_open)
{
	int fd = file_make(&self->p, "file", 2 * BLOCK), again;
	unsigned char *p;

	ASSERT_GE(fd, 0);
	p = map_file(fd, 0, 2 * BLOCK);
	ASSERT_NE(MAP_FAILED, p);
	p[5] = 55;
	ASSERT_EQ(0, unlink(pool_path(&self->p, "file")));
	EXPECT_EQ(ENOENT, ERR(open(pool_path(&self->p, "file"), O_RDWR)));
	/* The name can be used again, while the blocks stay allocated for the mapping. */
	again = file_make(&self->p, "file", BLOCK);
	ASSERT_GE(again, 0);
	EXPECT_EQ(55, p[5]);
	p[BLOCK] = 66;
	EXPECT_EQ(self->p.free_blocks - 2, pool_free_blocks(&self->p));
	EXPECT_EQ(0, fallocate(fd, 0, 0, 3 * BLOCK));
	EXPECT_EQ(self->p.free_blocks - 3, pool_free_blocks(&self->p));
	munmap(p, 2 * BLOCK);
	EXPECT_EQ(self->p.free_blocks - 3, pool_free_blocks(&self->p));
	close(fd);
	EXPECT_EQ(self->p.free_blocks, pool_free_blocks(&self->p));
	close(again);
}

#define REFUSED(expected, call) do {					\
	int _err = ERR(call);						\
									\
	EXPECT_EQ(expected, _err)					\
		TH_LOG("%s", #call);					\
} while (0)

/* Guest memory can only be mapped: the kernel never copies it. */
TEST_F(in_pool, read_and_write_are_refused)
{
	char buf[64] = "";
	struct iovec iov = { buf, sizeof(buf) };
	int fd = file_make(&self->p, "file", BLOCK);
	int other = file_make(&self->p, "other", BLOCK);
	int zero = open("/proc/self/exe", O_RDONLY);
	int pipes[2], sock[2];

	ASSERT_GE(fd, 0);
	ASSERT_GE(other, 0);
	ASSERT_GE(zero, 0);
	ASSERT_EQ(0, pipe(pipes));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sock));
	ASSERT_EQ(4, write(pipes[1], "abcd", 4));
	REFUSED(EINVAL, read(fd, buf, 1));
	REFUSED(EINVAL, write(fd, buf, 1));
	REFUSED(EINVAL, pread(fd, buf, 1, 0));
	REFUSED(EINVAL, pwrite(fd, buf, 1, 0));
	REFUSED(EINVAL, readv(fd, &iov, 1));
	REFUSED(EINVAL, writev(fd, &iov, 1));
	REFUSED(EINVAL, preadv2(fd, &iov, 1, 0, RWF_NOWAIT));
	REFUSED(EINVAL, splice(fd, NULL, pipes[1], NULL, 1, 0));
	REFUSED(EINVAL, splice(pipes[0], NULL, fd, NULL, 1, 0));
	REFUSED(EINVAL, sendfile(sock[0], fd, NULL, 1));
	REFUSED(EINVAL, sendfile(fd, zero, NULL, 1));
	REFUSED(EINVAL, copy_file_range(fd, NULL, other, NULL, 1, 0));
	REFUSED(EINVAL, open(pool_path(&self->p, "file"), O_RDWR | O_DIRECT));
	REFUSED(EOPNOTSUPP, ioctl(other, FICLONE, fd));
	REFUSED(ENOTTY, ioctl(fd, _IO('x', 200)));
	/* readahead() and fadvise() succeed and do nothing. No call has allocated a block. */
	EXPECT_EQ(0, readahead(fd, 0, PAGE));
	EXPECT_EQ(0, posix_fadvise(fd, 0, BLOCK, POSIX_FADV_WILLNEED));
	EXPECT_EQ(0, file_sectors(fd));
	EXPECT_EQ(0, file_sectors(other));
	EXPECT_EQ(0, fsync(fd));
	EXPECT_EQ(0, fdatasync(fd));
	EXPECT_EQ(0, flock(fd, LOCK_EX | LOCK_NB));
}

TEST_F(in_pool, lease)
{
	const char *path = pool_path(&self->p, "file");
	int fd = file_make(&self->p, "file", 0);

	/* SIGIO tells the holder of a lease that another task wants it broken. */
	signal(SIGIO, SIG_IGN);
	ASSERT_EQ(0, fcntl(fd, F_SETLEASE, F_WRLCK));
	EXPECT_EQ(F_WRLCK, fcntl(fd, F_GETLEASE));
	REFUSED(EAGAIN, open(path, O_RDONLY | O_NONBLOCK));
	ASSERT_EQ(0, fcntl(fd, F_SETLEASE, F_UNLCK));
	EXPECT_LE(0, open(path, O_RDONLY | O_NONBLOCK));
}

/* RLIMIT_FSIZE limits the size of files: calls fail with EFBIG and send SIGXFSZ. */
TEST_F(in_pool, limit_on_file_size)
{
	const struct rlimit limit = { 2 * BLOCK, RLIM_INFINITY };
	int fd = file_make(&self->p, "file", BLOCK);
	const struct timespec at_once = {};
	struct stat st;
	sigset_t set;

	ASSERT_GE(fd, 0);
	sigemptyset(&set);
	sigaddset(&set, SIGXFSZ);
	ASSERT_EQ(0, sigprocmask(SIG_BLOCK, &set, NULL));
	ASSERT_EQ(0, setrlimit(RLIMIT_FSIZE, &limit));
	REFUSED(EFBIG, ftruncate(fd, 2 * BLOCK + 1));
	EXPECT_EQ(SIGXFSZ, sigtimedwait(&set, NULL, &at_once));
	REFUSED(EFBIG, fallocate(fd, 0, 2 * BLOCK, 1));
	EXPECT_EQ(SIGXFSZ, sigtimedwait(&set, NULL, &at_once));
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(BLOCK, st.st_size);
	EXPECT_EQ(0, st.st_blocks);
	/* Calls succeed up to the limit, and also if they do not change the size. */
	EXPECT_EQ(0, ftruncate(fd, 2 * BLOCK));
	EXPECT_EQ(0, fallocate(fd, 0, 2 * BLOCK - 1, 1));
	EXPECT_EQ(0, fallocate(fd, FALLOC_FL_KEEP_SIZE, 2 * BLOCK, 1));
	EXPECT_EQ(EAGAIN, ERR(sigtimedwait(&set, NULL, &at_once)));
	EXPECT_EQ(2 * BLOCK_SECTORS, file_sectors(fd));
}

TEST_F(in_pool, kinds_that_do_not_exist)
{
	char buf[8];
	int fd = file_make(&self->p, "file", 0);

	ASSERT_GE(fd, 0);
	REFUSED(EPERM, link(pool_path(&self->p, "file"), pool_path(&self->p, "new")));
	REFUSED(EPERM, symlink("file", pool_path(&self->p, "new")));
	REFUSED(EPERM, mknod(pool_path(&self->p, "new"), S_IFIFO | 0600, 0));
	REFUSED(EPERM, mknod(pool_path(&self->p, "new"), S_IFSOCK | 0600, 0));
	REFUSED(EPERM, mknod(pool_path(&self->p, "new"), S_IFCHR | 0600, 0x103));
	REFUSED(EPERM, mknod(pool_path(&self->p, "new"), S_IFBLK | 0600, 0x103));
	REFUSED(EOPNOTSUPP, fsetxattr(fd, "user.a", "b", 1, 0));
	REFUSED(EOPNOTSUPP, fsetxattr(fd, "trusted.a", "b", 1, 0));
	REFUSED(EOPNOTSUPP, fgetxattr(fd, "user.a", buf, sizeof(buf)));
	REFUSED(EOPNOTSUPP, fremovexattr(fd, "user.a"));
	EXPECT_EQ(0, flistxattr(fd, buf, sizeof(buf)));
	EXPECT_EQ(ENOENT, ERR(access(pool_path(&self->p, "new"), F_OK)));
	close(fd);
	/* mknod() can make an ordinary file. */
	EXPECT_EQ(0, mknod(pool_path(&self->p, "new"), S_IFREG | 0600, 0));
}

TEST_F(in_pool, attributes_are_kept)
{
	const struct timespec times[2] = { { 1234567890, 123456789 }, { -5, 999999999 } };
	struct statx before, after;
	struct stat st;

	close(file_make(&self->p, "file", 4711));
	ASSERT_EQ(0, chown(pool_path(&self->p, "file"), 70000, 80000));
	ASSERT_EQ(0, chmod(pool_path(&self->p, "file"), 06751));
	ASSERT_EQ(0, utimensat(AT_FDCWD, pool_path(&self->p, "file"), times, 0));
	ASSERT_EQ(0, mkdir(pool_path(&self->p, "dir"), 0700));
	ASSERT_EQ(0, chmod(pool_path(&self->p, "dir"), 01777));
	ASSERT_EQ(0, chmod(self->p.dir, 0750));
	ASSERT_EQ(0, statx(AT_FDCWD, pool_path(&self->p, "file"), 0, STATX_ALL, &before));
	EXPECT_NE(0, before.stx_mask & STATX_BTIME);
	EXPECT_NE(0, before.stx_btime.tv_sec);
	EXPECT_EQ(before.stx_btime.tv_sec / 1000, before.stx_ctime.tv_sec / 1000);
	ASSERT_EQ(0, pool_remount(&self->p));
	ASSERT_EQ(0, statx(AT_FDCWD, pool_path(&self->p, "file"), 0, STATX_ALL, &after));
	EXPECT_EQ(0, memcmp(&before.stx_btime, &after.stx_btime, sizeof(after.stx_btime)));
	EXPECT_EQ(0, memcmp(&before.stx_ctime, &after.stx_ctime, sizeof(after.stx_ctime)));
	EXPECT_EQ(before.stx_ino, after.stx_ino);
	EXPECT_EQ(1234567890, after.stx_atime.tv_sec);
	EXPECT_EQ(123456789, after.stx_atime.tv_nsec);
	EXPECT_EQ(-5, after.stx_mtime.tv_sec);
	EXPECT_EQ(999999999, after.stx_mtime.tv_nsec);
	EXPECT_EQ(S_IFREG | 06751, after.stx_mode);
	EXPECT_EQ(70000, after.stx_uid);
	EXPECT_EQ(80000, after.stx_gid);
	EXPECT_EQ(4711, after.stx_size);
	ASSERT_EQ(0, stat(pool_path(&self->p, "dir"), &st));
	EXPECT_EQ(S_IFDIR | 01777, st.st_mode);
	ASSERT_EQ(0, stat(self->p.dir, &st));
	EXPECT_EQ(S_IFDIR | 0750, st.st_mode);
}

TEST_F(in_pool, permissions)
{
	int status;
	pid_t pid;

	close(file_make(&self->p, "file", BLOCK));
	ASSERT_EQ(0, chmod(pool_path(&self->p, "file"), 0640));
	ASSERT_EQ(0, chmod(self->p.base, 0755));
	ASSERT_EQ(0, chmod(self->p.dir, 0755));
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		if (setresgid(1000, 1000, 1000) || setresuid(1000, 1000, 1000))
			_exit(1);
		if (ERR(open(pool_path(&self->p, "file"), O_RDONLY)) != EACCES)
			_exit(2);
		if (ERR(open(pool_path(&self->p, "new"), O_RDWR | O_CREAT, 0600)) != EACCES)
			_exit(3);
		if (ERR(unlink(pool_path(&self->p, "file"))) != EACCES)
			_exit(4);
		if (ERR(chmod(pool_path(&self->p, "file"), 0666)) != EPERM)
			_exit(5);
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFEXITED(status));
	EXPECT_EQ(0, WEXITSTATUS(status));
}

/* st_blocks counts the blocks of the file, no matter which call has allocated or freed them. */
TEST_F(in_pool, blocks_are_true)
{
	int fd = file_make(&self->p, "file", 16 * BLOCK);
	unsigned char *p;

	ASSERT_GE(fd, 0);
	EXPECT_EQ(0, file_sectors(fd));
	ASSERT_EQ(0, fallocate(fd, 0, BLOCK - 1, 2));
	EXPECT_EQ(2 * BLOCK_SECTORS, file_sectors(fd));
	p = map_file(fd, 0, 16 * BLOCK);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, peek(p + BLOCK));
	EXPECT_EQ(2 * BLOCK_SECTORS, file_sectors(fd));
	EXPECT_EQ(0, peek(p + 7 * BLOCK));
	EXPECT_EQ(3 * BLOCK_SECTORS, file_sectors(fd));
	EXPECT_EQ(0, poke(p + 9 * BLOCK, 1));
	EXPECT_EQ(4 * BLOCK_SECTORS, file_sectors(fd));
	ASSERT_EQ(0, fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, BLOCK, BLOCK));
	EXPECT_EQ(3 * BLOCK_SECTORS, file_sectors(fd));
	ASSERT_EQ(0, ftruncate(fd, 7 * BLOCK + 1));
	EXPECT_EQ(2 * BLOCK_SECTORS, file_sectors(fd));
	ASSERT_EQ(0, pool_free_blocks(&self->p) != self->p.free_blocks - 2);
	munmap(p, 16 * BLOCK);
	close(fd);
	ASSERT_EQ(0, pool_remount(&self->p));
	fd = open(pool_path(&self->p, "file"), O_RDWR);
	EXPECT_EQ(2 * BLOCK_SECTORS, file_sectors(fd));
	ASSERT_EQ(0, ftruncate(fd, 0));
	EXPECT_EQ(0, file_sectors(fd));
	close(fd);
}

/* Operations that change the times of a file, and operations that must not. */
TEST_F(in_pool, times_change)
{
	const struct timespec old[2] = { { 1, 0 }, { 1, 0 } };
	int fd = file_make(&self->p, "file", BLOCK);
	struct stat st;

	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, futimens(fd, old));
	ASSERT_EQ(0, ftruncate(fd, BLOCK + 1));
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_NE(1, st.st_mtim.tv_sec);
	ASSERT_EQ(0, futimens(fd, old));
	ASSERT_EQ(0, fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE));
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_NE(1, st.st_mtim.tv_sec);
	ASSERT_EQ(0, futimens(fd, old));
	ASSERT_EQ(0, lseek(fd, 0, SEEK_SET));
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(1, st.st_mtim.tv_sec);
	close(fd);
	ASSERT_EQ(0, utimensat(AT_FDCWD, self->p.dir, old, 0));
	ASSERT_EQ(0, unlink(pool_path(&self->p, "file")));
	ASSERT_EQ(0, stat(self->p.dir, &st));
	EXPECT_NE(1, st.st_mtim.tv_sec);
}

struct seek_case {
	off_t offset;
	int whence;
	off_t result;		/* or negative errno */
};

TEST_F(in_pool, seek)
{
	const struct seek_case cases[] = {
		{ 0,			SEEK_DATA,	2 * BLOCK },
		{ 0,			SEEK_HOLE,	0 },
		{ 5,			SEEK_HOLE,	5 },
		{ 2 * BLOCK - 1,	SEEK_DATA,	2 * BLOCK },
		{ 2 * BLOCK,		SEEK_DATA,	2 * BLOCK },
		{ 2 * BLOCK + 5,	SEEK_DATA,	2 * BLOCK + 5 },
		{ 2 * BLOCK,		SEEK_HOLE,	5 * BLOCK },
		{ 4 * BLOCK,		SEEK_HOLE,	5 * BLOCK },
		{ 5 * BLOCK,		SEEK_DATA,	8 * BLOCK },
		{ 8 * BLOCK,		SEEK_HOLE,	8 * BLOCK + 100 },
		{ 8 * BLOCK + 99,	SEEK_DATA,	8 * BLOCK + 99 },
		{ 8 * BLOCK + 100,	SEEK_DATA,	-ENXIO },
		{ 8 * BLOCK + 100,	SEEK_HOLE,	-ENXIO },
		{ -1,			SEEK_DATA,	-ENXIO },
		{ -1,			SEEK_HOLE,	-ENXIO },
		{ 0,			SEEK_END,	8 * BLOCK + 100 },
		{ -100,			SEEK_END,	8 * BLOCK },
		{ -1,			SEEK_SET,	-EINVAL },
		{ INT64_MAX,		SEEK_SET,	-EINVAL },
		{ INT64_MAX,		SEEK_DATA,	-ENXIO },
	};
	int fd = file_make(&self->p, "file", 8 * BLOCK + 100), i;

	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, fallocate(fd, 0, 2 * BLOCK, 2 * BLOCK));
	/*
	 * The next blocks are allocated by other calls, and are adjacent data for lseek() all the
	 * same.
	 */
	ASSERT_EQ(0, fallocate(fd, 0, 4 * BLOCK, 1));
	ASSERT_EQ(0, fallocate(fd, FALLOC_FL_KEEP_SIZE, 8 * BLOCK, 3 * BLOCK));
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		off_t result = lseek(fd, cases[i].offset, cases[i].whence);

		if (result == -1)
			result = -errno;
		EXPECT_EQ(cases[i].result, result)
			TH_LOG("offset %ld, whence %d", cases[i].offset, cases[i].whence);
	}
	close(fd);
}

TEST_HARNESS_MAIN
