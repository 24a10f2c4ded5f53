// SPDX-License-Identifier: GPL-2.0-only
/*
 * File handles of guestmemfs: a handle finds a file regardless of its name, as long as it is the
 * same file of the same pool. vm/tests/names uses handles across a kexec.
 */
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "fixture.h"

#define FID_TYPE	0x67
#define FID_BYTES	24
#define NR_NEW		500
#ifndef AT_HANDLE_FID
#define AT_HANDLE_FID	0x200
#endif
#ifndef AT_HANDLE_CONNECTABLE
#define AT_HANDLE_CONNECTABLE	0x2
#endif

union handle {
	struct file_handle h;
	char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
};

static int handle_get(const char *path, union handle *handle, int flags)
{
	int mount_id;

	memset(handle, 0, sizeof(*handle));
	handle->h.handle_bytes = MAX_HANDLE_SZ;
	return name_to_handle_at(AT_FDCWD, path, &handle->h, &mount_id, flags);
}

static int handle_open(const char *mnt, union handle *handle, int flags)
{
	int dir = open(mnt, O_RDONLY | O_DIRECTORY), fd, err;

	fd = open_by_handle_at(dir, &handle->h, flags);
	err = errno;
	close(dir);
	errno = err;
	return fd;
}

static ino_t ino_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? 0 : st.st_ino;
}

TEST_F(in_pool, finds_a_file_without_its_name)
{
	int fd = file_make(&self->p, "file", BLOCK), again;
	ino_t ino = ino_of(fd);
	union handle handle;
	unsigned char *p;

	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, mkdir(pool_path(&self->p, "dir"), 0700));
	ASSERT_EQ(0, handle_get(pool_path(&self->p, "file"), &handle, 0));
	EXPECT_EQ(FID_TYPE, handle.h.handle_type);
	EXPECT_EQ(FID_BYTES, handle.h.handle_bytes);
	p = map_file(fd, 0, BLOCK);
	ASSERT_NE(MAP_FAILED, p);
	p[7] = 77;
	munmap(p, BLOCK);
	close(fd);
	ASSERT_EQ(0, rename(pool_path(&self->p, "file"), pool_path(&self->p, "dir/other")));
	ASSERT_EQ(0, pool_remount(&self->p));
	again = handle_open(self->p.mnt, &handle, O_RDWR);
	ASSERT_GE(again, 0);
	EXPECT_EQ(ino, ino_of(again));
	p = map_file(again, 0, BLOCK);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(77, p[7]);
	munmap(p, BLOCK);
	close(again);
	/* The file has a name again: it can be unlinked, and its handle is stale then. */
	EXPECT_EQ(0, unlink(pool_path(&self->p, "dir/other")));
	EXPECT_EQ(ESTALE, ERR(handle_open(self->p.mnt, &handle, O_RDONLY)));
}

/*
 * A new file may reuse the inode number of an old one, with another generation, so that the old
 * handle does not find it.
 */
TEST_F(in_pool, generations)
{
	union handle first, second;
	int fd = file_make(&self->p, "file", 0), round;
	ino_t ino = ino_of(fd);

	ASSERT_GE(fd, 0);
	close(fd);
	for (round = 0; round < 3; round++) {
		ASSERT_EQ(0, handle_get(pool_path(&self->p, "file"), &first, 0));
		ASSERT_EQ(0, unlink(pool_path(&self->p, "file")));
		if (round == 1)
			ASSERT_EQ(0, pool_remount(&self->p));
		fd = file_make(&self->p, "file", 0);
		ASSERT_GE(fd, 0);
		EXPECT_EQ(ino, ino_of(fd));
		close(fd);
		if (round == 2)
			ASSERT_EQ(0, pool_remount(&self->p));
		ASSERT_EQ(0, handle_get(pool_path(&self->p, "file"), &second, 0));
		EXPECT_NE(0, memcmp(&first, &second, sizeof(first)));
		EXPECT_EQ(ESTALE, ERR(handle_open(self->p.mnt, &first, O_RDONLY)));
		fd = handle_open(self->p.mnt, &second, O_RDONLY);
		EXPECT_GE(fd, 0);
		close(fd);
	}
}

/*
 * As in other filesystems, the handle of an unlinked file works as long as the file is open. Until
 * then, its inode number is not reused.
 */
TEST_F(in_pool, unlinked_and_open)
{
	int fd = file_make(&self->p, "file", 0), again, other;
	union handle handle;

	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, handle_get(pool_path(&self->p, "file"), &handle, 0));
	ASSERT_EQ(0, unlink(pool_path(&self->p, "file")));
	again = handle_open(self->p.mnt, &handle, O_RDWR);
	EXPECT_GE(again, 0);
	EXPECT_EQ(ino_of(fd), ino_of(again));
	close(fd);
	other = file_make(&self->p, "other", 0);
	EXPECT_NE(ino_of(again), ino_of(other));
	close(again);
	close(other);
	EXPECT_EQ(ESTALE, ERR(handle_open(self->p.mnt, &handle, O_RDONLY)));
}

/* A mapping keeps an unlinked file like an open descriptor. */
TEST_F(in_pool, unlinked_and_mapped)
{
	int fd = file_make(&self->p, "file", BLOCK), other;
	ino_t ino = ino_of(fd);
	union handle handle;
	void *p = map_file(fd, 0, BLOCK);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, handle_get(pool_path(&self->p, "file"), &handle, 0));
	close(fd);
	ASSERT_EQ(0, unlink(pool_path(&self->p, "file")));
	other = file_make(&self->p, "other", 0);
	EXPECT_NE(ino, ino_of(other));
	fd = handle_open(self->p.mnt, &handle, O_RDWR);
	EXPECT_EQ(ino, ino_of(fd));
	close(fd);
	munmap(p, BLOCK);
	EXPECT_EQ(ESTALE, ERR(handle_open(self->p.mnt, &handle, O_RDONLY)));
	/* A new file gets the lowest free inode number. */
	fd = file_make(&self->p, "file", 0);
	EXPECT_EQ(ino, ino_of(fd));
	close(fd);
	close(other);
}

/* A file that is made without a name, and gets one later. */
TEST_F(in_pool, nameless)
{
	int fd = open(self->p.dir, O_TMPFILE | O_RDWR, 0600), again;
	char from[32], path[256] = "";
	union handle handle;
	int mount_id;

	ASSERT_GE(fd, 0);
	handle.h.handle_bytes = MAX_HANDLE_SZ;
	ASSERT_EQ(0, name_to_handle_at(fd, "", &handle.h, &mount_id, AT_EMPTY_PATH));
	again = handle_open(self->p.mnt, &handle, O_RDWR);
	EXPECT_EQ(ino_of(fd), ino_of(again));
	close(again);
	snprintf(from, sizeof(from), "/proc/self/fd/%d", fd);
	ASSERT_EQ(0, linkat(AT_FDCWD, from, AT_FDCWD, pool_path(&self->p, "name"),
			    AT_SYMLINK_FOLLOW));
	again = handle_open(self->p.mnt, &handle, O_RDWR);
	EXPECT_EQ(ino_of(fd), ino_of(again));
	/* The path of the descriptor has the new name. */
	snprintf(from, sizeof(from), "/proc/self/fd/%d", again);
	EXPECT_LT(0, readlink(from, path, sizeof(path) - 1));
	EXPECT_STREQ(pool_path(&self->p, "name"), path);
	close(again);
	close(fd);
	again = handle_open(self->p.mnt, &handle, O_RDWR);
	EXPECT_GE(again, 0);
	close(again);
	EXPECT_EQ(0, unlink(pool_path(&self->p, "name")));
	EXPECT_EQ(ESTALE, ERR(handle_open(self->p.mnt, &handle, O_RDWR)));
}

TEST_F(in_pool, directories)
{
	union handle handle, root;
	int fd, file;

	ASSERT_EQ(0, mkdir(pool_path(&self->p, "dir"), 0700));
	ASSERT_EQ(0, mkdir(pool_path(&self->p, "dir/sub"), 0700));
	ASSERT_EQ(0, handle_get(pool_path(&self->p, "dir/sub"), &handle, 0));
	ASSERT_EQ(0, handle_get(self->p.mnt, &root, 0));
	ASSERT_EQ(0, pool_remount(&self->p));
	fd = handle_open(self->p.mnt, &handle, O_RDONLY | O_DIRECTORY);
	ASSERT_GE(fd, 0);
	file = openat(fd, "file", O_RDWR | O_CREAT | O_EXCL, 0600);
	EXPECT_GE(file, 0);
	close(file);
	EXPECT_EQ(0, access(pool_path(&self->p, "dir/sub/file"), F_OK));
	EXPECT_EQ(EISDIR, ERR(handle_open(self->p.mnt, &handle, O_RDWR)));
	EXPECT_EQ(0, unlinkat(fd, "file", 0));
	close(fd);
	EXPECT_EQ(0, rmdir(pool_path(&self->p, "dir/sub")));
	EXPECT_EQ(ESTALE, ERR(handle_open(self->p.mnt, &handle, O_RDONLY)));
	fd = handle_open(self->p.mnt, &root, O_RDONLY | O_DIRECTORY);
	EXPECT_GE(fd, 0);
	close(fd);
	ASSERT_EQ(0, handle_get(pool_path(&self->p, "dir"), &handle, 0));
	EXPECT_EQ(0, handle_get(self->p.mnt, &root, 0));
	EXPECT_NE(0, memcmp(&handle, &root, sizeof(root)));
}

/* A handle with a wrong byte or length finds no file, in particular no other file. */
TEST_F(in_pool, wrong_handles)
{
	union handle good, bad;
	int i;

	close(file_make(&self->p, "file", 0));
	ASSERT_EQ(0, handle_get(pool_path(&self->p, "file"), &good, 0));
	for (i = 0; i < FID_BYTES; i++) {
		bad = good;
		bad.h.f_handle[i] ^= 0x80;
		EXPECT_EQ(ESTALE, ERR(handle_open(self->p.mnt, &bad, O_RDONLY)))
			TH_LOG("byte %d", i);
	}
	/*
	 * The last four bytes are the generation; some filesystems accept any file for generation
	 * 0.
	 */
	bad = good;
	memset(bad.h.f_handle + FID_BYTES - 4, 0, 4);
	EXPECT_EQ(ESTALE, ERR(handle_open(self->p.mnt, &bad, O_RDONLY)));
	bad = good;
	bad.h.handle_type = 1;
	EXPECT_EQ(ESTALE, ERR(handle_open(self->p.mnt, &bad, O_RDONLY)));
	bad = good;
	bad.h.handle_bytes = FID_BYTES - 4;
	EXPECT_EQ(ESTALE, ERR(handle_open(self->p.mnt, &bad, O_RDONLY)));
	bad.h.handle_bytes = 0;
	EXPECT_EQ(EINVAL, ERR(handle_open(self->p.mnt, &bad, O_RDONLY)));
	bad.h.handle_bytes = MAX_HANDLE_SZ + 1;
	EXPECT_EQ(EINVAL, ERR(handle_open(self->p.mnt, &bad, O_RDONLY)));
	/* The handle is stale on a filesystem of another type. */
	EXPECT_EQ(ESTALE, ERR(handle_open("/dev/shm", &good, O_RDONLY)));
	i = handle_open(self->p.mnt, &good, O_RDONLY);
	EXPECT_GE(i, 0);
	close(i);
}

TEST_F(in_pool, of_another_pool)
{
	union handle handle;
	char path[128];

	if (self->nr < 2)
		SKIP(return, "one pool only");
	ASSERT_EQ(0, pool_place(&self->p, path, sizeof(path)));
	ASSERT_EQ(0, pool_mount_at(self->nodes[1], path, 0));
	/* The roots of both pools have the same inode number and generation. */
	ASSERT_EQ(0, handle_get(self->p.mnt, &handle, 0));
	EXPECT_EQ(ESTALE, ERR(handle_open(path, &handle, O_RDONLY)));
	EXPECT_EQ(0, umount(path));
}

TEST_F(in_pool, room_and_flags)
{
	union handle handle, fid;
	int mount_id, room;

	memset(&handle, 0, sizeof(handle));
	for (room = 0; room <= FID_BYTES; room++) {
		handle.h.handle_bytes = room;
		EXPECT_EQ(room < FID_BYTES ? EOVERFLOW : 0,
			  ERR(name_to_handle_at(AT_FDCWD, self->p.dir, &handle.h, &mount_id, 0)));
		EXPECT_EQ(FID_BYTES, handle.h.handle_bytes);
	}
	EXPECT_EQ(0, handle_get(self->p.dir, &fid, AT_HANDLE_FID));
	EXPECT_EQ(0, memcmp(handle.h.f_handle, fid.h.f_handle, FID_BYTES));
	/*
	 * A connectable handle has the parent in it, for NFS exports with subtree checks.
	 * guestmemfs has none.
	 */
	EXPECT_EQ(EOPNOTSUPP, ERR(handle_get(self->p.dir, &fid, AT_HANDLE_CONNECTABLE)));
}

/* As soon as a name can be seen, the file can be found by its handle. */
TEST_F(in_pool, as_soon_as_the_name)
{
	union handle handle;
	int status, i, fd;
	char name[16];
	pid_t pid;

	if (self->p.free_inodes < 2 * NR_NEW)
		SKIP(return, "too few inodes");
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		for (i = 0; i < NR_NEW; i++) {
			snprintf(name, sizeof(name), "new%d", i);
			if (i % 2 ? mkdir(pool_path(&self->p, name), 0700) :
				    mknod(pool_path(&self->p, name), S_IFREG | 0600, 0))
				_exit(1);
		}
		_exit(0);
	}
	for (i = 0; i < NR_NEW; i++) {
		snprintf(name, sizeof(name), "new%d", i);
		while (handle_get(pool_path(&self->p, name), &handle, 0))
			ASSERT_EQ(ENOENT, errno);
		fd = handle_open(self->p.mnt, &handle, O_RDONLY);
		EXPECT_GE(fd, 0)
			TH_LOG("%s: %m", name);
		close(fd);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFEXITED(status));
	EXPECT_EQ(0, WEXITSTATUS(status));
}

/*
 * Opening by handle needs CAP_DAC_READ_SEARCH in the initial user namespace, because it bypasses
 * the permissions of directories.
 */
TEST_F(in_pool, not_for_everybody)
{
	union handle handle;
	int status, who;
	pid_t pid;

	ASSERT_EQ(0, chmod(self->p.base, 0755));
	ASSERT_EQ(0, chmod(self->p.mnt, 0755));
	ASSERT_EQ(0, chmod(self->p.dir, 0755));
	for (who = 0; who < 2; who++) {
		pid = fork();
		ASSERT_GE(pid, 0);
		if (!pid) {
			if (who ? unshare(CLONE_NEWUSER | CLONE_NEWNS) :
				  setresgid(1000, 1000, 1000) || setresuid(1000, 1000, 1000))
				_exit(200);
			if (handle_get(self->p.dir, &handle, 0))
				_exit(201);
			/*
			 * Other filesystems allow this to the root of a user namespace for a
			 * directory.
			 */
			_exit(ERR(handle_open(self->p.mnt, &handle, O_RDONLY | O_DIRECTORY)));
		}
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		ASSERT_TRUE(WIFEXITED(status));
		EXPECT_EQ(EPERM, WEXITSTATUS(status))
			TH_LOG("who %d", who);
	}
}

TEST_HARNESS_MAIN
