// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mounting pools of guestmemfs: options, privileges, and properties of a mount.
 */
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <linux/magic.h>

#include "fixture.h"

struct options_case {
	const char *options;
	int err;
};

static const struct options_case options_cases[] = {
	{ "node=",			EINVAL },
	{ "node",			EINVAL },
	{ "node=x",			EINVAL },
	{ "node=-1",			EINVAL },
	{ "node=1.5",			EINVAL },
	{ "node=0,",			0 },
	{ "node=0x0",			0 },
	{ "node=4294967296",		EINVAL },
	{ "node=18446744073709551616",	EINVAL },
	{ "nodes=0",			EINVAL },
	{ "size=0,node=0",		0 },
	{ "uid=0",			EINVAL },
	{ "nonsense",			EINVAL },
	{ "node=0,nonsense",		EINVAL },
	{ "node=9999",			ENXIO },
	{ "node=4294967294",		ENXIO },
	{ "node=4294967295",		ENXIO },
};

TEST_F(in_pool, options)
{
	char path[128];
	int i;

	if (self->p.node)
		SKIP(return, "the first pool is not on node 0");
	ASSERT_EQ(0, pool_place(&self->p, path, sizeof(path)));
	for (i = 0; i < ARRAY_SIZE(options_cases); i++) {
		const struct options_case *c = &options_cases[i];
		int err = ERR(mount("x", path, "guestmemfs", 0, c->options));

		EXPECT_EQ(c->err, err)
			TH_LOG("options '%s'", c->options);
		if (!err)
			EXPECT_EQ(0, umount(path));
	}
}

TEST_F(in_pool, without_node)
{
	char path[128];
	int err;

	ASSERT_EQ(0, pool_place(&self->p, path, sizeof(path)));
	err = ERR(pool_mount_at(-1, path, 0));
	EXPECT_EQ(self->nr > 1 ? EINVAL : 0, err);
	if (!err)
		EXPECT_EQ(0, umount(path));
}

/* The message for a mount of a pool that does not exist. */
TEST_F(in_pool, message)
{
	char said[512] = "";
	int fd = syscall(SYS_fsopen, "guestmemfs", 0);

	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, syscall(SYS_fsconfig, fd, 1 /* FSCONFIG_SET_STRING */, "node", "9999", 0));
	EXPECT_EQ(ENXIO,
		  ERR(syscall(SYS_fsconfig, fd, 6 /* FSCONFIG_CMD_CREATE */, NULL, NULL, 0)));
	ASSERT_GT(read(fd, said, sizeof(said) - 1), 0);
	EXPECT_NE(NULL, strstr(said, "no pool on node 9999, there are pools on nodes 0"))
		TH_LOG("said: %s", said);
	close(fd);
}

TEST_F(in_pool, twice_is_the_same)
{
	char path[128], file[160];
	struct stat one, two;

	ASSERT_EQ(0, pool_place(&self->p, path, sizeof(path)));
	ASSERT_EQ(0, pool_mount_at(self->p.node, path, 0));
	ASSERT_EQ(0, stat(self->p.mnt, &one));
	ASSERT_EQ(0, stat(path, &two));
	EXPECT_EQ(one.st_dev, two.st_dev);
	EXPECT_EQ(one.st_ino, two.st_ino);
	close(file_make(&self->p, "file", 12345));
	snprintf(file, sizeof(file), "%s%s/file", path, self->p.dir + strlen(self->p.mnt));
	ASSERT_EQ(0, stat(file, &two));
	EXPECT_EQ(12345, two.st_size);
	EXPECT_EQ(0, umount(path));
	EXPECT_EQ(0, stat(pool_path(&self->p, "file"), &one));
}

TEST_F(in_pool, pools_are_separate)
{
	struct stat one, two;
	struct statfs s1, s2;
	char path[128];

	if (self->nr < 2)
		SKIP(return, "one pool only");
	ASSERT_EQ(0, pool_place(&self->p, path, sizeof(path)));
	ASSERT_EQ(0, pool_mount_at(self->nodes[1], path, 0));
	ASSERT_EQ(0, stat(self->p.mnt, &one));
	ASSERT_EQ(0, stat(path, &two));
	EXPECT_NE(one.st_dev, two.st_dev);
	ASSERT_EQ(0, statfs(self->p.mnt, &s1));
	ASSERT_EQ(0, statfs(path, &s2));
	EXPECT_NE(0, memcmp(&s1.f_fsid, &s2.f_fsid, sizeof(s1.f_fsid)));
	EXPECT_EQ(0, umount(path));
}

/* The root of a user namespace cannot mount a pool in its own mount namespace. */
TEST_F(in_pool, not_in_a_user_namespace)
{
	int status;
	pid_t pid = fork();

	ASSERT_GE(pid, 0);
	if (!pid) {
		if (unshare(CLONE_NEWUSER | CLONE_NEWNS))
			_exit(200);
		/* It can mount a tmpfs, but no pool. */
		if (mount("t", "/tmp", "tmpfs", 0, NULL))
			_exit(201);
		_exit(ERR(pool_mount_at(self->p.node, "/tmp", 0)));
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFEXITED(status));
	EXPECT_EQ(EPERM, WEXITSTATUS(status));
}

TEST_F(in_pool, not_by_a_user)
{
	int status;
	pid_t pid = fork();

	ASSERT_GE(pid, 0);
	if (!pid) {
		if (setresgid(1000, 1000, 1000) || setresuid(1000, 1000, 1000))
			_exit(200);
		_exit(ERR(pool_mount_at(self->p.node, "/tmp", 0)));
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFEXITED(status));
	EXPECT_EQ(EPERM, WEXITSTATUS(status));
}

/* Programs cannot be executed from guest memory: mounts are always noexec. */
TEST_F(in_pool, noexec)
{
	static const char script[] = "#!/bin/true\n";
	int fd = file_make(&self->p, "program", BLOCK);
	char *p;

	ASSERT_GE(fd, 0);
	p = map_file(fd, 0, BLOCK);
	ASSERT_NE(MAP_FAILED, p);
	memcpy(p, script, sizeof(script));
	EXPECT_EQ(EPERM, ERR(mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0)));
	EXPECT_EQ(EACCES, ERR(mprotect(p, PAGE, PROT_READ | PROT_EXEC)));
	ASSERT_EQ(0, fchmod(fd, 0755));
	close(fd);
	EXPECT_EQ(EACCES, ERR(execl(pool_path(&self->p, "program"), "program", NULL)));
}

TEST_F(in_pool, remount)
{
	char options[32];

	EXPECT_EQ(0, ERR(mount(NULL, self->p.mnt, NULL, MS_REMOUNT, NULL)));
	snprintf(options, sizeof(options), "node=%d", self->p.node);
	EXPECT_EQ(0, ERR(mount(NULL, self->p.mnt, NULL, MS_REMOUNT, options)));
	snprintf(options, sizeof(options), "node=%d", self->p.node + 1);
	EXPECT_EQ(EINVAL, ERR(mount(NULL, self->p.mnt, NULL, MS_REMOUNT, options)));
	EXPECT_EQ(EINVAL, ERR(mount(NULL, self->p.mnt, NULL, MS_REMOUNT, "nonsense")));
}

TEST_F(in_pool, read_only)
{
	int fd = file_make(&self->p, "file", 2 * BLOCK);
	unsigned char *p;

	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, fallocate(fd, 0, 0, BLOCK));
	p = map_file(fd, 0, BLOCK);
	ASSERT_NE(MAP_FAILED, p);
	p[0] = 77;
	EXPECT_EQ(EBUSY, ERR(mount(NULL, self->p.mnt, NULL, MS_REMOUNT | MS_RDONLY, NULL)));
	munmap(p, BLOCK);
	close(fd);
	ASSERT_EQ(0, mount(NULL, self->p.mnt, NULL, MS_REMOUNT | MS_RDONLY, NULL));
	EXPECT_EQ(EROFS, ERR(open(pool_path(&self->p, "new"), O_CREAT | O_RDWR, 0600)));
	EXPECT_EQ(EROFS, ERR(open(pool_path(&self->p, "file"), O_RDWR)));
	EXPECT_EQ(EROFS, ERR(mkdir(pool_path(&self->p, "dir"), 0700)));
	EXPECT_EQ(EROFS, ERR(unlink(pool_path(&self->p, "file"))));
	EXPECT_EQ(EROFS, ERR(rename(pool_path(&self->p, "file"), pool_path(&self->p, "new"))));
	EXPECT_EQ(EROFS, ERR(truncate(pool_path(&self->p, "file"), 0)));
	EXPECT_EQ(EROFS, ERR(chmod(pool_path(&self->p, "file"), 0600)));
	fd = open(pool_path(&self->p, "file"), O_RDONLY);
	ASSERT_GE(fd, 0);
	p = mmap(NULL, 2 * BLOCK, PROT_READ, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(77, peek(p));
	/* Reading a hole on a read-only filesystem allocates nothing. */
	EXPECT_EQ(FAULT(SIGBUS), peek(p + BLOCK));
	EXPECT_EQ(BLOCK_SECTORS, file_sectors(fd));
	munmap(p, 2 * BLOCK);
	close(fd);
	ASSERT_EQ(0, mount(NULL, self->p.mnt, NULL, MS_REMOUNT, NULL));
}

/* On a read-only mount of a filesystem that is writable, reading a hole does allocate. */
TEST_F(in_pool, read_only_here)
{
	int fd = file_make(&self->p, "file", 2 * BLOCK);
	unsigned char *p;

	ASSERT_GE(fd, 0);
	close(fd);
	ASSERT_EQ(0, mount(NULL, self->p.mnt, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL));
	EXPECT_EQ(EROFS, ERR(open(pool_path(&self->p, "file"), O_RDWR)));
	fd = open(pool_path(&self->p, "file"), O_RDONLY);
	ASSERT_GE(fd, 0);
	p = mmap(NULL, 2 * BLOCK, PROT_READ, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, peek(p + BLOCK));
	EXPECT_EQ(BLOCK_SECTORS, file_sectors(fd));
	munmap(p, 2 * BLOCK);
	close(fd);
	ASSERT_EQ(0, mount(NULL, self->p.mnt, NULL, MS_REMOUNT | MS_BIND, NULL));
}

TEST_F(in_pool, options_are_shown)
{
	char line[4096], dir[4096], type[64], options[256], want[32];
	FILE *mounts = fopen("/proc/self/mounts", "r");
	bool found = false;

	ASSERT_NE(NULL, mounts);
	snprintf(want, sizeof(want), "rw,relatime,node=%d", self->p.node);
	while (fgets(line, sizeof(line), mounts)) {
		if (sscanf(line, "%*s %4095s %63s %255s", dir, type, options) != 3 ||
		    strcmp(dir, self->p.mnt))
			continue;
		found = true;
		EXPECT_STREQ("guestmemfs", type);
		EXPECT_STREQ(want, options);
	}
	fclose(mounts);
	EXPECT_TRUE(found);
}

TEST_F(in_pool, statfs)
{
	struct statfs before, after;
	struct stat st;
	int fd;

	ASSERT_EQ(0, stat(self->p.mnt, &st));
	EXPECT_EQ(1, st.st_ino);
	ASSERT_EQ(0, statfs(self->p.mnt, &before));
	EXPECT_EQ(GUESTMEMFS_MAGIC, before.f_type);
	EXPECT_EQ(BLOCK, before.f_bsize);
	EXPECT_EQ(BLOCK, before.f_frsize);
	EXPECT_EQ(255, before.f_namelen);
	/* Pools consist of sections of 128 MiB, so their blocks are a multiple of 64. */
	EXPECT_GT(before.f_blocks, 0);
	EXPECT_EQ(0, before.f_blocks % 64);
	EXPECT_LE(before.f_bfree, before.f_blocks);
	EXPECT_EQ(before.f_bfree, before.f_bavail);
	EXPECT_LT(before.f_ffree, before.f_files);
	/*
	 * f_files includes the root directory. A small pool has a minimum of 16382 inodes besides
	 * it.
	 */
	EXPECT_GE(before.f_files, before.f_blocks + 1022 + 1);
	if (before.f_blocks < 8 * GIB / BLOCK)
		EXPECT_EQ(16382 + 1, before.f_files);
	EXPECT_NE(0, before.f_fsid.__val[0] | before.f_fsid.__val[1]);
	fd = file_make(&self->p, "file", 0);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, fallocate(fd, 0, 0, 3 * BLOCK + 1));
	close(fd);
	ASSERT_EQ(0, statfs(self->p.mnt, &after));
	EXPECT_EQ(before.f_blocks, after.f_blocks);
	EXPECT_EQ(before.f_bfree - 4, after.f_bfree);
	EXPECT_EQ(before.f_bavail - 4, after.f_bavail);
	EXPECT_EQ(before.f_files, after.f_files);
	EXPECT_EQ(before.f_ffree - 1, after.f_ffree);
	ASSERT_EQ(0, pool_remount(&self->p));
	ASSERT_EQ(0, statfs(self->p.mnt, &before));
	EXPECT_EQ(after.f_bfree, before.f_bfree);
	EXPECT_EQ(after.f_ffree, before.f_ffree);
	EXPECT_EQ(0, memcmp(&before.f_fsid, &after.f_fsid, sizeof(before.f_fsid)));
}

/* A pool with a mapped file cannot be unmounted, and a lazy unmount keeps the mapping. */
TEST_F(in_pool, busy_while_mapped)
{
	int fd = file_make(&self->p, "file", BLOCK);
	unsigned char *p, *q;

	ASSERT_GE(fd, 0);
	p = map_file(fd, 0, BLOCK);
	ASSERT_NE(MAP_FAILED, p);
	close(fd);
	p[0] = 1;
	EXPECT_EQ(EBUSY, ERR(umount(self->p.mnt)));
	ASSERT_EQ(0, umount2(self->p.mnt, MNT_DETACH));
	ASSERT_EQ(0, pool_mount_at(self->p.node, self->p.mnt, 0));
	fd = open(pool_path(&self->p, "file"), O_RDWR);
	ASSERT_GE(fd, 0);
	q = map_file(fd, 0, BLOCK);
	ASSERT_NE(MAP_FAILED, q);
	EXPECT_EQ(1, q[0]);
	p[1] = 2;
	EXPECT_EQ(2, q[1]);
	munmap(p, BLOCK);
	munmap(q, BLOCK);
	close(fd);
	EXPECT_EQ(0, pool_remount(&self->p));
}

/* Mounts, allocates and unmounts for five seconds. Returns an errno. */
static int mount_again_and_again(int node, const char *path)
{
	time_t end = time(NULL) + 5;
	int err = 0, fd;

	while (!err && time(NULL) < end) {
		err = ERR(pool_mount_at(node, path, 0));
		if (err)
			break;
		fd = open(path, O_TMPFILE | O_RDWR, 0600);
		err = fd < 0 ? errno : ERR(fallocate(fd, 0, 0, BLOCK));
		close(fd);
		if (umount(path))
			err = errno;
	}
	return err;
}

/*
 * Unmounts race with mounts: the end of one superblock must not remove what the next one has made.
 */
TEST_F(in_pool, unmount_against_mount)
{
	char path[128];
	int i, status;
	pid_t pids[3];

	ASSERT_EQ(0, umount(self->p.mnt));
	for (i = 0; i < ARRAY_SIZE(pids); i++) {
		snprintf(path, sizeof(path), "%s/m%d", self->p.base, i);
		ASSERT_EQ(0, mkdir(path, 0700));
		pids[i] = fork();
		ASSERT_GE(pids[i], 0);
		if (!pids[i])
			_exit(mount_again_and_again(self->p.node, path));
	}
	for (i = 0; i < ARRAY_SIZE(pids); i++) {
		ASSERT_EQ(pids[i], waitpid(pids[i], &status, 0));
		ASSERT_TRUE(WIFEXITED(status));
		EXPECT_EQ(0, WEXITSTATUS(status));
	}
	ASSERT_EQ(0, pool_mount_at(self->p.node, self->p.mnt, 0));
	EXPECT_EQ(self->p.free_blocks, pool_free_blocks(&self->p));
}

TEST_F(in_pool, files_are_kept)
{
	struct stat st;
	uint64_t *p;
	int fd;

	ASSERT_EQ(0, mkdir(pool_path(&self->p, "a"), 0711));
	ASSERT_EQ(0, mkdir(pool_path(&self->p, "a/b"), 0700));
	/*
	 * Make a tree in which the inode of a file has a lower number than that of its directory.
	 */
	fd = file_make(&self->p, "early", 5 * BLOCK + 4567);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, mkdir(pool_path(&self->p, "late"), 0700));
	ASSERT_EQ(0, rename(pool_path(&self->p, "early"), pool_path(&self->p, "late/early")));
	p = map_file(fd, 0, 5 * BLOCK);
	ASSERT_NE(MAP_FAILED, p);
	fill(p, BLOCK, 1);
	fill((char *)p + 3 * BLOCK, BLOCK, 2);
	munmap(p, 5 * BLOCK);
	close(fd);
	ASSERT_EQ(0, pool_remount(&self->p));
	ASSERT_EQ(0, stat(pool_path(&self->p, "a"), &st));
	EXPECT_EQ(S_IFDIR | 0711, st.st_mode);
	EXPECT_EQ(3, st.st_nlink);
	EXPECT_EQ(0, stat(pool_path(&self->p, "a/b"), &st));
	EXPECT_EQ(2, st.st_nlink);
	EXPECT_EQ(ENOENT, ERR(stat(pool_path(&self->p, "early"), &st)));
	fd = open(pool_path(&self->p, "late/early"), O_RDWR);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(5 * BLOCK + 4567, st.st_size);
	EXPECT_EQ(2 * BLOCK_SECTORS, st.st_blocks);
	p = map_file(fd, 0, 5 * BLOCK);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_TRUE(is_filled(p, BLOCK, 1));
	EXPECT_TRUE(is_zero((char *)p + BLOCK, BLOCK));
	EXPECT_TRUE(is_filled((char *)p + 3 * BLOCK, BLOCK, 2));
	close(fd);
}

TEST_HARNESS_MAIN
