// SPDX-License-Identifier: GPL-2.0-only
/*
 * The times of files and directories in guestmemfs: the range of values, that they are kept, and
 * how access changes them. effect_test has the changes by each operation.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include "fixture.h"

static bool equal(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* Times before 1970 and after 2038, 2106 and 2446, with nanoseconds. */
static const struct timespec values[] = {
	{ 0, 0 },
	{ 0, 1 },
	{ 1, 999999999 },
	{ -1, 999999999 },
	{ -315593940, 0 },
	{ -0x80000000L, 1 },
	{ -0x80000001L, 2 },
	{ 0x7fffffff, 999999999 },
	{ 0x80000000, 0 },
	{ 0xffffffff, 123456789 },
	{ 0x100000000, 1 },
	{ 0x37fffffff, 999999999 },
	{ 0x380000000, 5 },
	{ 253402300799, 999999999 },
};

TEST_F(in_pool, values)
{
	unsigned int i, k, round;
	char name[16];
	struct stat st;

	for (i = 0; i < ARRAY_SIZE(values); i++) {
		struct timespec times[2];

		times[0] = values[i];
		times[1] = values[(i + 1) % ARRAY_SIZE(values)];
		for (k = 0; k < 2; k++) {
			snprintf(name, sizeof(name), "%c%u", "fd"[k], i);
			ASSERT_EQ(0, k ? mkdir(pool_path(&self->p, name), 0700) :
				  mknod(pool_path(&self->p, name), S_IFREG | 0600, 0));
			ASSERT_EQ(0, utimensat(AT_FDCWD, pool_path(&self->p, name), times, 0));
		}
	}
	for (round = 0; round < 2; round++) {
		for (i = 0; i < 2 * ARRAY_SIZE(values); i++) {
			snprintf(name, sizeof(name), "%c%u", "fd"[i % 2], i / 2);
			ASSERT_EQ(0, stat(pool_path(&self->p, name), &st));
			EXPECT_TRUE(equal(values[i / 2], st.st_atim))
				TH_LOG("%s, round %u: %ld.%09ld", name, round, st.st_atim.tv_sec,
				       st.st_atim.tv_nsec);
			k = (i / 2 + 1) % ARRAY_SIZE(values);
			EXPECT_TRUE(equal(values[k], st.st_mtim))
				TH_LOG("%s, round %u: %ld.%09ld", name, round, st.st_mtim.tv_sec,
				       st.st_mtim.tv_nsec);
		}
		ASSERT_EQ(0, pool_remount(&self->p));
	}
}

static struct timespec btime(const char *path)
{
	struct timespec t = {};
	struct statx stx;

	if (!statx(AT_FDCWD, path, 0, STATX_BTIME, &stx) && stx.stx_mask & STATX_BTIME) {
		t.tv_sec = stx.stx_btime.tv_sec;
		t.tv_nsec = stx.stx_btime.tv_nsec;
	}
	return t;
}

/* All times of a new file are the time of its creation. The birth time never changes. */
TEST_F(in_pool, born)
{
	static const char * const names[] = { "file", "dir", "node", "linked" };
	const struct timespec old[2] = { { 1, 0 }, { 1, 0 } };
	struct timespec before, birth;
	char from[32];
	struct stat st;
	unsigned int i;
	int fd;

	clock_gettime(CLOCK_REALTIME_COARSE, &before);
	usleep(20000);
	close(file_make(&self->p, names[0], 0));
	ASSERT_EQ(0, mkdir(pool_path(&self->p, names[1]), 0700));
	ASSERT_EQ(0, mknod(pool_path(&self->p, names[2]), S_IFREG | 0600, 0));
	fd = open(self->p.dir, O_TMPFILE | O_RDWR, 0600);
	ASSERT_GE(fd, 0);
	snprintf(from, sizeof(from), "/proc/self/fd/%d", fd);
	ASSERT_EQ(0, linkat(AT_FDCWD, from, AT_FDCWD, pool_path(&self->p, names[3]),
			    AT_SYMLINK_FOLLOW));
	close(fd);
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		const char *path = pool_path(&self->p, names[i]);

		ASSERT_EQ(0, stat(path, &st));
		birth = btime(path);
		EXPECT_TRUE(birth.tv_sec > before.tv_sec ||
			    (birth.tv_sec == before.tv_sec && birth.tv_nsec > before.tv_nsec))
			TH_LOG("%s", names[i]);
		EXPECT_TRUE(equal(birth, st.st_atim));
		EXPECT_TRUE(equal(birth, st.st_mtim));
		/* linkat() has changed the change time of the file that got its name later. */
		if (i < 3)
			EXPECT_TRUE(equal(birth, st.st_ctim));
		usleep(20000);
		ASSERT_EQ(0, utimensat(AT_FDCWD, path, old, 0));
		EXPECT_TRUE(equal(birth, btime(path)));
		ASSERT_EQ(0, pool_remount(&self->p));
		EXPECT_TRUE(equal(birth, btime(path)));
	}
}

/* Stores to a mapping do not change the times of the file. */
TEST_F(in_pool, stores)
{
	int fd = file_make(&self->p, "file", 4 * BLOCK);
	struct stat before, st;
	unsigned char *p;
	int i;

	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, fallocate(fd, 0, 0, BLOCK));
	p = map_file(fd, 0, 4 * BLOCK);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, fstat(fd, &before));
	usleep(20000);
	/* Store to allocated blocks and to holes. */
	for (i = 0; i < 4; i++)
		EXPECT_EQ(0, poke(p + i * BLOCK, 1));
	EXPECT_EQ(0, msync(p, 4 * BLOCK, MS_SYNC));
	EXPECT_EQ(0, fsync(fd));
	munmap(p, 4 * BLOCK);
	close(fd);
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, stat(pool_path(&self->p, "file"), &st));
		EXPECT_EQ(4 * BLOCK_SECTORS, st.st_blocks);
		EXPECT_TRUE(equal(before.st_atim, st.st_atim));
		EXPECT_TRUE(equal(before.st_mtim, st.st_mtim));
		EXPECT_TRUE(equal(before.st_ctim, st.st_ctim));
		ASSERT_EQ(0, pool_remount(&self->p));
	}
}

struct use {
	const char *options;
	unsigned long flags;
	/*
	 * Does a second mapping, or a second listing, change the access time? The other times are
	 * old.
	 */
	bool file[2];
	bool dir[2];
};

static const struct use uses[] = {
	{ "relatime",	MS_RELATIME,			{ true, false },	{ true, false } },
	{ "strictatime", MS_STRICTATIME,		{ true, true },		{ true, true } },
	{ "noatime",	MS_NOATIME,			{ false, false },	{ false, false } },
	{ "nodiratime",	MS_NODIRATIME | MS_STRICTATIME,	{ true, true },		{ false, false } },
};

static void use(const struct pool *p, int fd)
{
	int dir = open(p->dir, O_RDONLY | O_DIRECTORY);
	void *m = map_file(fd, 0, BLOCK);
	char buf[512];

	usleep(20000);
	while (syscall(SYS_getdents64, dir, buf, sizeof(buf)) > 0)
		;
	close(dir);
	munmap(m, BLOCK);
}

/* Mapping a file and listing a directory count as access. */
TEST_F(in_pool, use)
{
	const struct timespec old[2] = { { 1, 0 }, { 2, 0 } };
	struct stat before, st;
	unsigned int i, k;
	int fd = file_make(&self->p, "file", BLOCK);

	ASSERT_GE(fd, 0);
	for (i = 0; i < ARRAY_SIZE(uses); i++) {
		const struct use *c = &uses[i];

		ASSERT_EQ(0, mount(NULL, self->p.mnt, NULL, MS_REMOUNT | MS_BIND | c->flags, NULL));
		ASSERT_EQ(0, futimens(fd, old));
		ASSERT_EQ(0, utimensat(AT_FDCWD, self->p.dir, old, 0));
		for (k = 0; k < 2; k++) {
			ASSERT_EQ(0, fstat(fd, &before));
			usleep(20000);
			use(&self->p, fd);
			ASSERT_EQ(0, fstat(fd, &st));
			EXPECT_EQ(c->file[k], !equal(before.st_atim, st.st_atim))
				TH_LOG("%s: the file, use %u", c->options, k);
			EXPECT_TRUE(equal(before.st_mtim, st.st_mtim));
			EXPECT_TRUE(equal(before.st_ctim, st.st_ctim));
		}
		ASSERT_EQ(0, utimensat(AT_FDCWD, self->p.dir, old, 0));
		for (k = 0; k < 2; k++) {
			ASSERT_EQ(0, stat(self->p.dir, &before));
			usleep(20000);
			use(&self->p, fd);
			ASSERT_EQ(0, stat(self->p.dir, &st));
			EXPECT_EQ(c->dir[k], !equal(before.st_atim, st.st_atim))
				TH_LOG("%s: the directory, use %u", c->options, k);
			EXPECT_TRUE(equal(before.st_mtim, st.st_mtim));
		}
	}
	close(fd);
}

TEST_HARNESS_MAIN
