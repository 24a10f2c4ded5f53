// SPDX-License-Identifier: GPL-2.0-only
/*
 * Operations that guestmemfs refuses, besides those in file_test, with the errnos of other
 * filesystems: calls with the wrong kind of descriptor, operations for other kinds of filesystems,
 * and the effect of a process's limits and locks.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#include "fixture.h"

static char buf[1024];

/* Closes the descriptor, if there is one. Returns the errno. */
static int opened(int fd)
{
	int err = ERR(fd);

	if (fd >= 0)
		close(fd);
	return err;
}

static int op_read(int fd)	{ return ERR(read(fd, buf, 1)); }
static int op_write(int fd)	{ return ERR(write(fd, buf, 1)); }
static int op_truncate(int fd)	{ return ERR(ftruncate(fd, BLOCK)); }
static int op_allocate(int fd)	{ return ERR(fallocate(fd, 0, 0, 1)); }
static int op_sync(int fd)	{ return ERR(fsync(fd)); }
static int op_sync_data(int fd)	{ return ERR(fdatasync(fd)); }
static int op_sync_fs(int fd)	{ return ERR(syncfs(fd)); }
static int op_list(int fd)	{ return ERR(syscall(SYS_getdents64, fd, buf, sizeof(buf))); }
static int op_chmod(int fd)	{ return ERR(fchmod(fd, 0700)); }
static int op_chown(int fd)	{ return ERR(fchown(fd, 0, 0)); }
static int op_touch(int fd)	{ return ERR(futimens(fd, NULL)); }
static int op_chdir(int fd)	{ return ERR(fchdir(fd)) ?: ERR(chdir("/")); }
static int op_look_up(int fd)	{ return ERR(faccessat(fd, "none", F_OK, 0)); }
static int op_whole(int fd)	{ return ERR(lseek(fd, 0, SEEK_SET)); }
static int op_end(int fd)	{ return ERR(lseek(fd, 0, SEEK_END)); }
static int op_no_whence(int fd)	{ return ERR(lseek(fd, 0, 99)); }
static int op_data(int fd)	{ return ERR(lseek(fd, 0, SEEK_DATA)); }
static int op_flock(int fd)	{ return ERR(flock(fd, LOCK_EX | LOCK_NB)); }
static int op_reopen(int fd)	{ return opened(openat(fd, ".", O_RDONLY)); }

static int op_stat(int fd)
{
	struct stat st;

	return ERR(fstat(fd, &st));
}

static int op_statfs(int fd)
{
	struct statfs st;

	return ERR(fstatfs(fd, &st));
}

static int op_map(int fd)
{
	void *p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);

	return p == MAP_FAILED ? errno : ERR(munmap(p, PAGE));
}

static int op_map_to_write(int fd)
{
	void *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return p == MAP_FAILED ? errno : ERR(munmap(p, PAGE));
}

/*
 * A file opened for reading and writing, for reading, for writing, and with O_PATH; a directory
 * opened for reading, and with O_PATH.
 */
enum { RW, RD, WR, PATH, DIR, DIR_PATH, NR_FDS };

static const char * const fd_names[] = { "rw", "rd", "wr", "path", "dir", "dir, path" };

struct op {
	const char *name;
	int (*run)(int fd);
	int err[NR_FDS];
};

#define OK		0
#define OP(name, ...)	{ #name, op_##name, { __VA_ARGS__ } }

static const struct op ops[] = {
	/*			rw	 rd	  wr	   path	    dir	     dir, path */
	OP(read,		EINVAL,  EINVAL,  EBADF,   EBADF,   EISDIR,  EBADF),
	OP(write,		EINVAL,  EBADF,   EINVAL,  EBADF,   EBADF,   EBADF),
	OP(truncate,		OK,      EINVAL,  OK,      EBADF,   EINVAL,  EBADF),
	OP(allocate,		OK,      EBADF,   OK,      EBADF,   EBADF,   EBADF),
	OP(sync,		OK,      OK,      OK,      EBADF,   OK,      EBADF),
	OP(sync_data,		OK,      OK,      OK,      EBADF,   OK,      EBADF),
	OP(sync_fs,		OK,      OK,      OK,      EBADF,   OK,      EBADF),
	OP(list,		ENOTDIR, ENOTDIR, ENOTDIR, EBADF,   OK,      EBADF),
	OP(chmod,		OK,      OK,      OK,      EBADF,   OK,      EBADF),
	OP(chown,		OK,      OK,      OK,      EBADF,   OK,      EBADF),
	OP(touch,		OK,      OK,      OK,      EBADF,   OK,      EBADF),
	OP(chdir,		ENOTDIR, ENOTDIR, ENOTDIR, ENOTDIR, OK,      OK),
	OP(look_up,		ENOTDIR, ENOTDIR, ENOTDIR, ENOTDIR, ENOENT,  ENOENT),
	OP(reopen,		ENOTDIR, ENOTDIR, ENOTDIR, ENOTDIR, OK,      OK),
	OP(whole,		OK,      OK,      OK,      EBADF,   OK,      EBADF),
	OP(end,			OK,      OK,      OK,      EBADF,   EINVAL,  EBADF),
	OP(no_whence,		EINVAL,  EINVAL,  EINVAL,  EBADF,   EINVAL,  EBADF),
	OP(data,		OK,      OK,      OK,      EBADF,   EINVAL,  EBADF),
	OP(flock,		OK,      OK,      OK,      EBADF,   OK,      EBADF),
	OP(stat,		OK,      OK,      OK,      OK,      OK,      OK),
	OP(statfs,		OK,      OK,      OK,      OK,      OK,      OK),
	OP(map,			OK,      OK,      EACCES,  EBADF,   ENODEV,  EBADF),
	OP(map_to_write,	OK,      EACCES,  EACCES,  EBADF,   EACCES,  EBADF),
};

TEST_F(in_pool, descriptors)
{
	static const int flags[] = { O_RDWR, O_RDONLY, O_WRONLY, O_PATH, O_RDONLY, O_PATH };
	unsigned int i, k;
	int fd;

	fd = file_make(&self->p, "file", BLOCK);
	ASSERT_EQ(0, fallocate(fd, 0, 0, BLOCK));
	close(fd);
	ASSERT_EQ(0, mkdir(pool_path(&self->p, "dir"), 0700));
	for (i = 0; i < ARRAY_SIZE(ops); i++) {
		for (k = 0; k < NR_FDS; k++) {
			fd = open(pool_path(&self->p, k < DIR ? "file" : "dir"), flags[k]);
			ASSERT_GE(fd, 0);
			EXPECT_EQ(ops[i].err[k], ops[i].run(fd))
				TH_LOG("%s, %s", ops[i].name, fd_names[k]);
			close(fd);
		}
	}
}

struct no_ioctl {
	const char *name;
	unsigned long cmd;
	int file;
	int dir;
};

#define IOCTL(cmd, file, dir)	{ #cmd, cmd, file, dir }

static const struct no_ioctl ioctls[] = {
	IOCTL(FIBMAP,			EINVAL,		ENOTTY),
	IOCTL(FIFREEZE,			EOPNOTSUPP,	EOPNOTSUPP),
	IOCTL(FITRIM,			ENOTTY,		ENOTTY),
	IOCTL(FICLONERANGE,		EOPNOTSUPP,	EISDIR),
	IOCTL(FS_IOC_GETVERSION,	ENOTTY,		ENOTTY),
	IOCTL(FS_IOC_GETFSLABEL,	ENOTTY,		ENOTTY),
};

/* Ioctls for filesystems with disk blocks, or with features that guestmemfs does not have. */
TEST_F(in_pool, ioctls)
{
	union {
		int block;
		struct file_clone_range range;
		char room[512];
	} arg;
	int fd = file_make(&self->p, "file", BLOCK), dir = open(self->p.dir, O_RDONLY);
	unsigned int i;

	ASSERT_GE(fd, 0);
	ASSERT_GE(dir, 0);
	for (i = 0; i < ARRAY_SIZE(ioctls); i++) {
		memset(&arg, 0, sizeof(arg));
		if (ioctls[i].cmd == FICLONERANGE)
			arg.range.src_fd = fd;
		EXPECT_EQ(ioctls[i].file, ERR(ioctl(fd, ioctls[i].cmd, &arg)))
			TH_LOG("%s", ioctls[i].name);
		EXPECT_EQ(ioctls[i].dir, ERR(ioctl(dir, ioctls[i].cmd, &arg)))
			TH_LOG("%s of a directory", ioctls[i].name);
	}
	EXPECT_EQ(0, file_sectors(fd));
	close(dir);
	close(fd);
}

/* guestmemfs files cannot be swap files. */
TEST_F(in_pool, swap)
{
	int fd = file_make(&self->p, "file", 0);

	if (access("/proc/swaps", F_OK))
		SKIP(return, "no swap in this kernel");
	ASSERT_EQ(0, fallocate(fd, 0, 0, 2 * BLOCK));
	close(fd);
	EXPECT_EQ(EINVAL, ERR(swapon(pool_path(&self->p, "file"), 0)));
	EXPECT_EQ(0, unlink(pool_path(&self->p, "file")));
}

static const char * const xattrs[] = {
	"user.a", "trusted.a", "security.a", "system.a", "system.posix_acl_access",
	"system.posix_acl_default",
};

TEST_F(in_pool, xattrs)
{
	/* A POSIX ACL of version 2 with three entries, like chmod 750. */
	static const unsigned char acl[] = {
		2, 0, 0, 0, 1, 0, 7, 0, 255, 255, 255, 255, 4, 0, 5, 0, 255, 255, 255, 255,
		32, 0, 0, 0, 255, 255, 255, 255,
	};
	static const char * const names[] = { "file", "dir" };
	unsigned int i, k;

	close(file_make(&self->p, "file", 0));
	ASSERT_EQ(0, mkdir(pool_path(&self->p, "dir"), 0700));
	for (i = 0; i < ARRAY_SIZE(xattrs); i++) {
		for (k = 0; k < ARRAY_SIZE(names); k++) {
			const char *path = pool_path(&self->p, names[k]);

			EXPECT_EQ(EOPNOTSUPP, ERR(setxattr(path, xattrs[i], acl, sizeof(acl), 0)))
				TH_LOG("%s", xattrs[i]);
			EXPECT_EQ(EOPNOTSUPP, ERR(getxattr(path, xattrs[i], buf, sizeof(buf))))
				TH_LOG("%s", xattrs[i]);
			EXPECT_EQ(EOPNOTSUPP, ERR(removexattr(path, xattrs[i])))
				TH_LOG("%s", xattrs[i]);
			EXPECT_EQ(0, listxattr(path, buf, sizeof(buf)));
		}
	}
}

struct open_flags {
	int flags;
	int err;
};

static const struct open_flags open_flags[] = {
	{ O_RDWR | O_NOFOLLOW,					OK },
	{ O_RDWR | O_EXCL,					OK },
	{ O_RDWR | O_APPEND | O_SYNC | O_NONBLOCK | O_NOATIME,	OK },
	{ O_RDWR | O_DIRECTORY,					ENOTDIR },
	{ O_RDWR | O_DIRECT,					EINVAL },
	{ O_RDWR | O_CREAT | O_DIRECTORY,			EINVAL },
};

/* Some flags need features that guestmemfs lacks, some need each other, and some have no effect. */
TEST_F(in_pool, flags_of_open)
{
	int fd = file_make(&self->p, "file", BLOCK);
	unsigned int i;

	close(fd);
	for (i = 0; i < ARRAY_SIZE(open_flags); i++) {
		EXPECT_EQ(open_flags[i].err,
			  opened(open(pool_path(&self->p, "file"), open_flags[i].flags, 0600)))
			TH_LOG("case %u", i);
	}
	EXPECT_EQ(EINVAL, opened(open(pool_path(&self->p, "new"), O_CREAT | O_DIRECTORY, 0700)));
	EXPECT_EQ(ENOENT, ERR(access(pool_path(&self->p, "new"), F_OK)));
	fd = open(pool_path(&self->p, "file"), O_RDWR);
	EXPECT_EQ(EINVAL, ERR(fcntl(fd, F_SETFL, O_DIRECT)));
	EXPECT_EQ(0, fcntl(fd, F_SETFL, O_APPEND));
	/* O_APPEND affects only write(), so ftruncate() works. */
	EXPECT_EQ(0, ftruncate(fd, 0));
	close(fd);
}

/* A lock by one open file excludes the same lock by another one. */
TEST_F(in_pool, locks)
{
	struct flock first = { .l_type = F_WRLCK, .l_start = 5, .l_len = 10 }, second = first;
	int a = file_make(&self->p, "file", 0), b = open(pool_path(&self->p, "file"), O_RDWR);

	ASSERT_GE(a, 0);
	ASSERT_GE(b, 0);
	ASSERT_EQ(0, fcntl(a, F_OFD_SETLK, &first));
	EXPECT_EQ(EAGAIN, ERR(fcntl(b, F_OFD_SETLK, &second)));
	EXPECT_EQ(0, fcntl(b, F_OFD_GETLK, &second));
	EXPECT_EQ(F_WRLCK, second.l_type);
	EXPECT_EQ(5, second.l_start);
	second.l_start = 15;
	second.l_pid = 0;
	EXPECT_EQ(0, fcntl(b, F_OFD_SETLK, &second));
	ASSERT_EQ(0, flock(a, LOCK_EX));
	EXPECT_EQ(EWOULDBLOCK, ERR(flock(b, LOCK_SH | LOCK_NB)));
	close(a);
	EXPECT_EQ(0, flock(b, LOCK_SH | LOCK_NB));
	second.l_start = 5;
	EXPECT_EQ(0, fcntl(b, F_OFD_SETLK, &second));
	close(b);
}

#ifndef F_SETDELEG
#define F_GETDELEG	(1024 + 15)
#define F_SETDELEG	(1024 + 16)

struct delegation {
	uint32_t d_flags;
	uint16_t d_type;
	uint16_t __pad;
};
#endif

/* The holder of a directory delegation is told before the directory changes. */
TEST_F(in_pool, delegation_of_a_directory)
{
	struct delegation given = { .d_type = F_RDLCK };
	int dir = open(self->p.dir, O_RDONLY | O_DIRECTORY);

	ASSERT_GE(dir, 0);
	/* Directories have delegations (F_SETDELEG) in place of leases. */
	EXPECT_EQ(EINVAL, ERR(fcntl(dir, F_SETLEASE, F_RDLCK)));
	ASSERT_EQ(0, fcntl(dir, F_SETDELEG, &given));
	given.d_type = F_UNLCK;
	EXPECT_EQ(0, fcntl(dir, F_GETDELEG, &given));
	EXPECT_EQ(F_RDLCK, given.d_type);
	given.d_type = F_UNLCK;
	EXPECT_EQ(0, fcntl(dir, F_SETDELEG, &given));
	EXPECT_EQ(0, mkdir(pool_path(&self->p, "d"), 0700));
	close(dir);
}

/* Guest memory counts for RLIMIT_AS, and not for RLIMIT_DATA. */
TEST_F(in_pool, limits_of_the_process)
{
	const struct rlimit none = { PAGE, RLIM_INFINITY }, some = { 512 * MIB, RLIM_INFINITY };
	int fd = file_make(&self->p, "file", GIB);
	unsigned char *p;

	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, setrlimit(RLIMIT_DATA, &none));
	ASSERT_EQ(0, setrlimit(RLIMIT_RSS, &none));
	EXPECT_EQ(ENOMEM, ERR(mmap(NULL, BLOCK, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)));
	p = map_file(fd, 0, 4 * BLOCK);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, poke(p, 1));
	EXPECT_EQ(0, madvise(p, 4 * BLOCK, MADV_POPULATE_WRITE));
	ASSERT_EQ(0, setrlimit(RLIMIT_AS, &some));
	EXPECT_EQ(ENOMEM, ERR(map_file(fd, 0, GIB)));
	EXPECT_EQ(4 * BLOCK_SECTORS, file_sectors(fd));
	munmap(p, 4 * BLOCK);
	close(fd);
}

TEST_HARNESS_MAIN
