// SPDX-License-Identifier: GPL-2.0-only
/*
 * Privileges: the root of a container, idmapped mounts, and the memory that a memory cgroup is
 * charged for.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/membarrier.h>
#include <linux/mount.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "fixture.h"

/* The user ID outside of the container that root has in it. */
#define CONTAINER	100000
#define MAP		"0 100000 65536\n"

static bool write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	bool done = fd >= 0 && write(fd, text, strlen(text)) == strlen(text);

	close(fd);
	return done;
}

static bool write_maps(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/uid_map", pid);
	if (!write_text(path, MAP))
		return false;
	snprintf(path, sizeof(path), "/proc/%d/gid_map", pid);
	return write_text(path, MAP);
}

/*
 * Forks a child that is root in its own user and mount namespaces when this returns in it. Returns
 * like fork(), -1 on failure in either process.
 */
static pid_t fork_container(void)
{
	int ready[2], go[2];
	char c = 0;
	pid_t pid;

	if (pipe(ready) || pipe(go))
		return -1;
	pid = fork();
	if (!pid) {
		if (unshare(CLONE_NEWUSER | CLONE_NEWNS) || write(ready[1], &c, 1) != 1 ||
		    read(go[0], &c, 1) != 1 || setresgid(0, 0, 0) || setresuid(0, 0, 0))
			return -1;
		return 0;
	}
	close(ready[1]);
	if (pid > 0 && (read(ready[0], &c, 1) != 1 || !write_maps(pid) ||
			write(go[1], &c, 1) != 1))
		pid = -1;
	close(ready[0]);
	close(go[0]);
	close(go[1]);
	return pid;
}

#define CHECK(condition) do {							\
	if (!(condition)) {							\
		printf("# line %d: %s, errno %d\n", __LINE__, #condition, errno);	\
		fflush(stdout);							\
		_exit(1);							\
	}									\
} while (0)

static int exit_status(pid_t pid)
{
	int status;

	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* @dir is a directory that all users may write to, @mnt the mount of the pool. */
static void in_container(int dir, const char *mnt)
{
	int fd;

	CHECK(getuid() == 0);
	CHECK(ERR(syscall(SYS_mount, "x", "/tmp", "guestmemfs", 0, NULL)) == EPERM);
	CHECK(ERR(syscall(SYS_mount, NULL, mnt, NULL, 32 /* MS_REMOUNT */, NULL)) == EPERM);
	CHECK(ERR(syscall(SYS_umount2, mnt, 0)) == EINVAL);
	CHECK(ERR(openat(dir, "secret", O_RDONLY)) == EACCES);
	CHECK(ERR(openat(dir, "public", O_RDWR)) == EACCES);
	CHECK(openat(dir, "public", O_RDONLY) >= 0);
	CHECK(ERR(fchmodat(dir, "public", 0666, 0)) == EPERM);
	CHECK(ERR(fchownat(dir, "public", 0, 0, 0)) == EPERM);
	CHECK(ERR(unlinkat(dir, "public", 0)) == EPERM);
	CHECK(ERR(openat(dir, "inner/new", O_RDWR | O_CREAT, 0600)) == EACCES);
	CHECK(ERR(mkdirat(dir, "inner/new", 0700)) == EACCES);
	fd = openat(dir, "own", O_RDWR | O_CREAT | O_EXCL, 0600);
	CHECK(fd >= 0);
	CHECK(!ftruncate(fd, BLOCK));
	CHECK(!fallocate(fd, 0, 0, BLOCK));
	CHECK(map_file(fd, 0, BLOCK) != MAP_FAILED);
	/* The user ID is not mapped in this namespace. */
	CHECK(ERR(fchown(fd, 70000, -1)) == EINVAL);
	CHECK(!fchown(fd, 1000, 1000));
}

TEST_F(in_pool, container)
{
	struct stat st;
	pid_t pid;
	int dir;

	close(file_make(&self->p, "secret", BLOCK));
	close(file_make(&self->p, "public", BLOCK));
	ASSERT_EQ(0, chmod(pool_path(&self->p, "secret"), 0600));
	ASSERT_EQ(0, mkdir(pool_path(&self->p, "inner"), 0755));
	ASSERT_EQ(0, chmod(self->p.dir, 01777));
	ASSERT_EQ(0, chmod(self->p.base, 0755));
	dir = open(self->p.dir, O_PATH | O_DIRECTORY);
	ASSERT_GE(dir, 0);
	pid = fork_container();
	if (!pid) {
		in_container(dir, self->p.mnt);
		_exit(0);
	}
	ASSERT_GT(pid, 0);
	EXPECT_EQ(0, exit_status(pid));
	ASSERT_EQ(0, stat(pool_path(&self->p, "own"), &st));
	EXPECT_EQ(CONTAINER + 1000, st.st_uid);
	EXPECT_EQ(CONTAINER + 1000, st.st_gid);
	ASSERT_EQ(0, stat(pool_path(&self->p, "public"), &st));
	EXPECT_EQ(0, st.st_uid);
	EXPECT_EQ(0644, st.st_mode & 07777);
}

/* Returns a descriptor of a user namespace with MAP. */
static int namespace_fd(void)
{
	pid_t pid = fork_container();
	char path[64];
	int fd;

	if (!pid)
		for (;;)
			pause();
	if (pid < 0)
		return -1;
	snprintf(path, sizeof(path), "/proc/%d/ns/user", pid);
	fd = open(path, O_RDONLY);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return fd;
}

/* Returns a descriptor of an idmapped mount of the directory: files of root belong to CONTAINER. */
static int idmapped_mount(const char *dir)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP };
	int ns = namespace_fd(), mnt;

	if (ns < 0)
		return -1;
	mnt = syscall(SYS_open_tree, AT_FDCWD, dir, OPEN_TREE_CLONE | O_CLOEXEC);
	attr.userns_fd = ns;
	if (mnt >= 0 && syscall(SYS_mount_setattr, mnt, "", AT_EMPTY_PATH, &attr, sizeof(attr))) {
		close(mnt);
		mnt = -1;
	}
	close(ns);
	return mnt;
}

/* As user CONTAINER, makes files through the idmapped mount, which belong to root in the pool. */
static void as_container_root(int mnt)
{
	char path[64], *p;
	int fd;

	CHECK(!setresgid(CONTAINER, CONTAINER, CONTAINER));
	CHECK(!setresuid(CONTAINER, CONTAINER, CONTAINER));
	fd = openat(mnt, "file", O_RDWR);
	CHECK(fd >= 0);
	CHECK(!fchmod(fd, 0640));
	CHECK(!ftruncate(fd, 2 * BLOCK));
	p = map_file(fd, 0, 2 * BLOCK);
	CHECK(p != MAP_FAILED);
	CHECK(!poke(p + BLOCK, 7));
	CHECK(openat(mnt, "new", O_RDWR | O_CREAT | O_EXCL, 0600) >= 0);
	CHECK(!mkdirat(mnt, "dir", 0700));
	CHECK(!renameat(mnt, "new", mnt, "dir/new"));
	fd = openat(mnt, ".", O_TMPFILE | O_RDWR, 0600);
	CHECK(fd >= 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	CHECK(!linkat(AT_FDCWD, path, mnt, "linked", AT_SYMLINK_FOLLOW));
	CHECK(ERR(openat(mnt, "other", O_RDWR)) == EACCES);
	CHECK(ERR(fchown(fd, CONTAINER + 5, -1)) == EPERM);
	CHECK(ERR(fchown(fd, 5, -1)) == EOVERFLOW);
}

TEST_F(in_pool, idmapped)
{
	struct stat st;
	pid_t pid;
	int mnt;

	close(file_make(&self->p, "file", BLOCK));
	close(file_make(&self->p, "other", BLOCK));
	ASSERT_EQ(0, chmod(pool_path(&self->p, "other"), 0600));
	ASSERT_EQ(0, chown(pool_path(&self->p, "other"), 5, 5));
	mnt = idmapped_mount(self->p.dir);
	ASSERT_GE(mnt, 0);
	ASSERT_EQ(0, fstatat(mnt, "file", &st, 0));
	EXPECT_EQ(CONTAINER, st.st_uid);
	EXPECT_EQ(CONTAINER, st.st_gid);
	ASSERT_EQ(0, fstatat(mnt, "other", &st, 0));
	EXPECT_EQ(CONTAINER + 5, st.st_uid);
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		as_container_root(mnt);
		_exit(0);
	}
	EXPECT_EQ(0, exit_status(pid));
	/* On the mount without the map, root owns the files. */
	ASSERT_EQ(0, stat(pool_path(&self->p, "dir/new"), &st));
	EXPECT_EQ(0, st.st_uid);
	EXPECT_EQ(0, st.st_gid);
	ASSERT_EQ(0, stat(pool_path(&self->p, "linked"), &st));
	EXPECT_EQ(0, st.st_uid);
	EXPECT_EQ(0, st.st_gid);
	ASSERT_EQ(0, stat(pool_path(&self->p, "file"), &st));
	EXPECT_EQ(0640, st.st_mode & 07777);
	EXPECT_EQ(2 * BLOCK, st.st_size);
	/* The real root is not mapped by the idmapped mount, so it cannot make files there. */
	EXPECT_EQ(EOVERFLOW, ERR(openat(mnt, "new", O_RDWR | O_CREAT, 0600)));
	EXPECT_EQ(EOVERFLOW, ERR(openat(mnt, ".", O_TMPFILE | O_RDWR, 0600)));
	EXPECT_EQ(0, fchownat(mnt, "other", CONTAINER + 6, -1, 0));
	ASSERT_EQ(0, stat(pool_path(&self->p, "other"), &st));
	EXPECT_EQ(6, st.st_uid);
	EXPECT_EQ(EOVERFLOW, ERR(fchownat(mnt, "other", 6, -1, 0)));
	close(mnt);
}

/* A set-user-ID program does not run as its owner, because mounts are noexec. */
TEST_F(in_pool, set_user_id)
{
	int fd = file_make(&self->p, "program", BLOCK);
	char *p = map_file(fd, 0, BLOCK);

	ASSERT_NE(MAP_FAILED, p);
	memcpy(p, "#!/bin/true\n", 12);
	munmap(p, BLOCK);
	ASSERT_EQ(0, fchmod(fd, 06755));
	close(fd);
	fd = open(pool_path(&self->p, "program"), O_RDONLY);
	ASSERT_GE(fd, 0);
	EXPECT_EQ(EACCES, ERR(execl(pool_path(&self->p, "program"), "program", NULL)));
	EXPECT_EQ(EACCES, ERR(syscall(SYS_execveat, fd, "", NULL, NULL, AT_EMPTY_PATH)));
}

#define GROUP_MAX	"33554432"
#define GUEST		(256 * BLOCK)
#define NR_FILES	3000

static long group_current(const char *group)
{
	char path[256], text[64] = "";
	int fd;

	snprintf(path, sizeof(path), "%s/memory.current", group);
	fd = open(path, O_RDONLY);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return -1;
	close(fd);
	return atol(text);
}

/*
 * Runs in a memory cgroup with a limit of 32 MiB. Values are not exact: each CPU has a cached
 * charge.
 */
static void in_group(const struct pool *pool, const char *group)
{
	char path[256], name[32], *p;
	long before, now;
	size_t i;
	int fd;

	snprintf(path, sizeof(path), "%s/cgroup.procs", group);
	CHECK(write_text(path, "0"));
	/* The charge of ordinary memory shows that the counter works. */
	before = group_current(group);
	p = mmap(NULL, 8 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(p != MAP_FAILED);
	memset(p, 1, 8 * MIB);
	now = group_current(group);
	printf("# charged: %ld KiB for 8 MiB of ordinary memory\n", (now - before) >> 10);
	CHECK(before >= 0 && now - before > 7 * (long)MIB);
	CHECK(!munmap(p, 8 * MIB));
	/*
	 * Half a gigabyte of guest memory, mapped by large entries, is charged with less than 1
	 * MiB.
	 */
	before = group_current(group);
	fd = file_make(pool, "guest", GUEST);
	p = map_file(fd, 0, GUEST);
	CHECK(p != MAP_FAILED);
	for (i = 0; i < GUEST; i += BLOCK)
		CHECK(!poke(p + i, 1));
	CHECK(file_sectors(fd) == GUEST / 512);
	now = group_current(group);
	printf("# charged: %ld KiB for %lu MiB of a guest\n", (now - before) >> 10, GUEST / MIB);
	/* The difference may be negative, because a cached charge was returned. */
	CHECK(now - before < (long)MIB);
	CHECK(!munmap(p, GUEST));
	/* The page tables are charged if entries are small: 4 KiB for each 2 MiB. */
	before = group_current(group);
	p = map_file(fd, 0, GUEST);
	CHECK(p != MAP_FAILED && !madvise(p, GUEST, MADV_NOHUGEPAGE));
	for (i = 0; i < GUEST; i += BLOCK)
		CHECK(!poke(p + i, 1));
	now = group_current(group);
	printf("# charged: %ld KiB for its page tables\n", (now - before) >> 10);
	CHECK(now - before > (long)MIB / 2 && now - before < 4 * (long)MIB);
	CHECK(!munmap(p, GUEST));
	close(fd);
	/* Inodes and dentries are charged. */
	before = group_current(group);
	for (i = 0; i < NR_FILES; i++) {
		snprintf(name, sizeof(name), "%zu", i);
		fd = file_make(pool, name, 0);
		CHECK(fd >= 0 && !close(fd));
	}
	now = group_current(group);
	printf("# charged: %ld KiB for %d files\n", (now - before) >> 10, NR_FILES);
	CHECK(now - before > (long)MIB);
}

/* Waits until inodes that were freed are no longer charged: RCU frees their memory. */
static long group_at_rest(const char *group)
{
	long last, now;
	int i, same = 0;

	/* Waits for a grace period, after which the memory is freed soon. */
	syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
	last = group_current(group);
	for (i = 0; i < 100 && same < 3; i++) {
		usleep(100000);
		now = group_current(group);
		same = now == last ? same + 1 : 0;
		last = now;
	}
	return last;
}

/* The group is charged for the inodes that a mount loads. */
static void mount_in_group(const struct pool *pool, const char *group)
{
	char path[256];
	long before, now;

	snprintf(path, sizeof(path), "%s/cgroup.procs", group);
	CHECK(write_text(path, "0"));
	before = group_at_rest(group);
	CHECK(!pool_mount_at(pool->node, pool->mnt, 0));
	now = group_current(group);
	printf("# charged: %ld KiB for a mount of %d files\n", (now - before) >> 10, NR_FILES);
	CHECK(before >= 0 && now - before > (long)MIB);
}

TEST_F(in_pool, memory_cgroup)
{
	char root[128], group[160], path[192];
	pid_t pid;

	if (self->p.free_blocks < GUEST / BLOCK)
		SKIP(return, "the pool is too small");
	snprintf(root, sizeof(root), "%s/cgroup", self->p.base);
	ASSERT_EQ(0, mkdir(root, 0700));
	if (syscall(SYS_mount, "none", root, "cgroup2", 0, NULL))
		SKIP(return, "no cgroups");
	snprintf(path, sizeof(path), "%s/cgroup.subtree_control", root);
	snprintf(group, sizeof(group), "%s/guestmemfs-test", root);
	rmdir(group);
	if (!write_text(path, "+memory") || mkdir(group, 0700))
		SKIP(return, "no memory cgroups");
	snprintf(path, sizeof(path), "%s/memory.max", group);
	ASSERT_TRUE(write_text(path, GROUP_MAX));
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		in_group(&self->p, group);
		_exit(0);
	}
	EXPECT_EQ(0, exit_status(pid));
	ASSERT_EQ(0, syscall(SYS_umount2, self->p.mnt, 0));
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		mount_in_group(&self->p, group);
		_exit(0);
	}
	EXPECT_EQ(0, exit_status(pid));
	EXPECT_EQ(0, rmdir(group));
	EXPECT_EQ(0, syscall(SYS_umount2, root, 0));
}

TEST_HARNESS_MAIN
