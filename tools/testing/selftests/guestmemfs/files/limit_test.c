// SPDX-License-Identifier: GPL-2.0-only
/*
 * Limits of a guestmemfs mount: size= and nr_inodes=.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "harness.h"
#include "util.h"

FIXTURE(limit)
{
	int nr;
	struct pool p;
	uint64_t used;		/* blocks used by other files */
	uint64_t inodes;	/* inodes in use by others */
	uint64_t total;
};

static int remount(const struct pool *p, const char *format, unsigned long value)
{
	char options[64];

	snprintf(options, sizeof(options), format, value);
	return mount(NULL, p->mnt, NULL, MS_REMOUNT, options);
}

FIXTURE_SETUP(limit)
{
	int nodes[MAX_POOLS];
	struct statfs st;

	self->nr = pool_nodes(nodes);
	if (!self->nr)
		SKIP(return, "no pool on this machine");
	/* Use the pool of the last node, which has the least memory on most test machines. */
	ASSERT_TRUE(pool_setup(&self->p, nodes[self->nr - 1]));
	ASSERT_EQ(0, statfs(self->p.mnt, &st));
	self->total = st.f_blocks;
	self->used = st.f_blocks - st.f_bfree;
	self->inodes = st.f_files - st.f_ffree;
	catch_faults();
}

FIXTURE_TEARDOWN_PARENT(limit)
{
	if (!self->nr)
		return;
	remount(&self->p, "size=0,nr_inodes=%lu", 0);
	EXPECT_STREQ("", pool_teardown(&self->p) ?: "");
}

static int limit_blocks(const struct pool *p, uint64_t blocks)
{
	return remount(p, "size=%luk", blocks * (BLOCK / KIB));
}

TEST_F(limit, size)
{
	int fd = file_make(&self->p, "file", 0), other = file_make(&self->p, "other", GIB);
	struct statfs st;
	unsigned char *p;

	ASSERT_EQ(0, limit_blocks(&self->p, self->used + 4));
	ASSERT_EQ(0, statfs(self->p.mnt, &st));
	EXPECT_EQ(self->used + 4, st.f_blocks);
	EXPECT_EQ(4, st.f_bfree);
	EXPECT_EQ(4, st.f_bavail);
	EXPECT_EQ(ENOSPC, ERR(fallocate(fd, 0, 0, 5 * BLOCK)));
	EXPECT_EQ(0, file_sectors(fd));
	EXPECT_EQ(0, lseek(fd, 0, SEEK_END));
	ASSERT_EQ(0, fallocate(fd, 0, 0, 3 * BLOCK));
	EXPECT_EQ(1, pool_free_blocks(&self->p));
	/* A fault that could allocate a gigabyte allocates the blocks that the limit leaves. */
	p = map_file(other, 0, GIB);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, poke(p, 1));
	EXPECT_EQ(BLOCK_SECTORS, file_sectors(other));
	EXPECT_EQ(FAULT(SIGBUS), poke(p + BLOCK, 1));
	EXPECT_EQ(0, pool_free_blocks(&self->p));
	EXPECT_EQ(ENOSPC, ERR(fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, 4 * BLOCK)));
	EXPECT_EQ(3 * BLOCK, lseek(fd, 0, SEEK_END));
	/* Blocks that are freed can be allocated again. */
	ASSERT_EQ(0, ftruncate(fd, 2 * BLOCK));
	EXPECT_EQ(0, poke(p + BLOCK, 1));
	/* A limit below the blocks in use is refused, and changes nothing. */
	EXPECT_EQ(EINVAL, ERR(limit_blocks(&self->p, self->used + 3)));
	EXPECT_EQ(EINVAL, ERR(remount(&self->p, "size=%lu", 1)));
	EXPECT_EQ(0, pool_free_blocks(&self->p));
	/* A higher limit is accepted, and rounded up to whole blocks. */
	ASSERT_EQ(0, remount(&self->p, "size=%lu", (self->used + 5) * BLOCK - 4095));
	EXPECT_EQ(1, pool_free_blocks(&self->p));
	ASSERT_EQ(0, mount(NULL, self->p.mnt, NULL, MS_REMOUNT, NULL));
	EXPECT_EQ(1, pool_free_blocks(&self->p));
	ASSERT_EQ(0, remount(&self->p, "size=%lu", 0));
	EXPECT_EQ(self->p.free_blocks - 4, pool_free_blocks(&self->p));
	munmap(p, GIB);
}

TEST_F(limit, percent)
{
	struct statfs st;

	ASSERT_EQ(0, remount(&self->p, "size=%lu%%", 100));
	ASSERT_EQ(0, statfs(self->p.mnt, &st));
	EXPECT_EQ(self->total, st.f_blocks);
	EXPECT_EQ(self->p.free_blocks, st.f_bfree);
	if (self->used > self->total / 2)
		SKIP(return, "more than half of the pool is in use");
	/* Percentages are rounded down to blocks; the blocks of a pool are a multiple of 64. */
	ASSERT_EQ(0, remount(&self->p, "size=%lu%%", 51));
	ASSERT_EQ(0, statfs(self->p.mnt, &st));
	EXPECT_EQ(self->total * 51 / 100, st.f_blocks);
	ASSERT_EQ(0, remount(&self->p, "size=%lu%%", 50));
	ASSERT_EQ(0, statfs(self->p.mnt, &st));
	EXPECT_EQ(self->total / 2, st.f_blocks);
	/* A limit above the size of the pool is the size of the pool. */
	ASSERT_EQ(0, limit_blocks(&self->p, 2 * self->total));
	ASSERT_EQ(0, statfs(self->p.mnt, &st));
	EXPECT_EQ(self->total, st.f_blocks);
}

TEST_F(limit, nr_inodes)
{
	struct statfs st;
	int fd;

	ASSERT_EQ(0, remount(&self->p, "nr_inodes=%lu", self->inodes + 2));
	ASSERT_EQ(0, statfs(self->p.mnt, &st));
	EXPECT_EQ(self->inodes + 2, st.f_files);
	EXPECT_EQ(2, st.f_ffree);
	close(file_make(&self->p, "one", 0));
	ASSERT_EQ(0, mkdir(pool_path(&self->p, "two"), 0700));
	EXPECT_EQ(ENOSPC, ERR(file_make(&self->p, "three", 0)));
	EXPECT_EQ(ENOSPC, ERR(mkdir(pool_path(&self->p, "three"), 0700)));
	EXPECT_EQ(ENOSPC, ERR(open(self->p.dir, O_TMPFILE | O_RDWR, 0600)));
	EXPECT_EQ(ENOENT, ERR(access(pool_path(&self->p, "three"), F_OK)));
	EXPECT_EQ(0, rename(pool_path(&self->p, "one"), pool_path(&self->p, "three")));
	EXPECT_EQ(EINVAL, ERR(remount(&self->p, "nr_inodes=%lu", self->inodes + 1)));
	EXPECT_EQ(0, unlink(pool_path(&self->p, "three")));
	fd = open(self->p.dir, O_TMPFILE | O_RDWR, 0600);
	EXPECT_GE(fd, 0);
	EXPECT_EQ(ENOSPC, ERR(file_make(&self->p, "four", 0)));
	close(fd);
	ASSERT_EQ(0, remount(&self->p, "nr_inodes=%lu", 0));
	ASSERT_EQ(0, statfs(self->p.mnt, &st));
	EXPECT_EQ(self->inodes + 1, st.f_files - st.f_ffree);
}

struct value_case {
	const char *options;
	int err;
};

static const struct value_case value_cases[] = {
	{ "size",			EINVAL },
	{ "size=",			EINVAL },
	{ "size=x",			EINVAL },
	{ "size=-1",			EINVAL },
	{ "size=1.5G",			EINVAL },
	{ "size=1GB",			EINVAL },
	{ "size=0x40000000",		EINVAL },
	{ "size=0%",			EINVAL },
	{ "size=101%",			EINVAL },
	{ "size=16777216T",		EINVAL },
	{ "size=18446744073709551616",	EINVAL },
	{ "size=16777215T",		0 },
	{ "size=18446744073709551615",	0 },
	{ "size=1%,size=0",		0 },
	{ "nr_inodes",			EINVAL },
	{ "nr_inodes=",			EINVAL },
	{ "nr_inodes=-1",		EINVAL },
	{ "nr_inodes=50%",		EINVAL },
	{ "nr_inodes=1",		EINVAL },	/* root and this directory are two */
	{ "nr_inodes=1M",		0 },
	{ "nr_inodes=18446744073709551615", 0 },
	{ "nr_blocks=5",		EINVAL },
};

TEST_F(limit, values)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(value_cases); i++) {
		const struct value_case *c = &value_cases[i];

		EXPECT_EQ(c->err, ERR(mount(NULL, self->p.mnt, NULL, MS_REMOUNT, c->options)))
			TH_LOG("options '%s'", c->options);
	}
}

/* All mounts of a pool share one limit. */
TEST_F(limit, second_mount)
{
	char path[128], options[64], other[64];

	snprintf(options, sizeof(options), "node=%d,size=%luk", self->p.node,
		 (self->used + 8) * (BLOCK / KIB));
	snprintf(other, sizeof(other), "node=%d,size=%luk", self->p.node,
		 (self->used + 9) * (BLOCK / KIB));
	ASSERT_EQ(0, pool_place(&self->p, path, sizeof(path)));
	/* No mount has set a limit yet, so this mount may set one. */
	ASSERT_EQ(0, mount("x", path, "guestmemfs", 0, options));
	EXPECT_EQ(8, pool_free_blocks(&self->p));
	ASSERT_EQ(0, umount(path));
	EXPECT_EQ(EBUSY, ERR(mount("x", path, "guestmemfs", 0, other)));
	EXPECT_EQ(8, pool_free_blocks(&self->p));
	ASSERT_EQ(0, mount("x", path, "guestmemfs", 0, options));
	ASSERT_EQ(0, umount(path));
	ASSERT_EQ(0, pool_mount_at(self->p.node, path, 0));
	EXPECT_EQ(8, pool_free_blocks(&self->p));
	ASSERT_EQ(0, umount(path));
}

TEST_F(limit, second_mount_of_inodes)
{
	char path[128], options[64], other[64];
	struct statfs st;

	snprintf(options, sizeof(options), "node=%d,nr_inodes=300", self->p.node);
	snprintf(other, sizeof(other), "node=%d,nr_inodes=301", self->p.node);
	ASSERT_EQ(0, pool_place(&self->p, path, sizeof(path)));
	ASSERT_EQ(0, mount("x", path, "guestmemfs", 0, options));
	ASSERT_EQ(0, umount(path));
	EXPECT_EQ(EBUSY, ERR(mount("x", path, "guestmemfs", 0, other)));
	ASSERT_EQ(0, statfs(self->p.mnt, &st));
	EXPECT_EQ(300, st.f_files);
	ASSERT_EQ(0, mount("x", path, "guestmemfs", 0, options));
	ASSERT_EQ(0, umount(path));
}

/* Limits end with the last unmount; they are not stored in the pool. */
TEST_F(limit, gone_with_the_mount)
{
	char options[64];
	int fd = file_make(&self->p, "file", 0);

	ASSERT_EQ(0, fallocate(fd, 0, 0, 3 * BLOCK));
	close(fd);
	ASSERT_EQ(0, limit_blocks(&self->p, self->used + 5));
	ASSERT_EQ(0, pool_remount(&self->p));
	EXPECT_EQ(self->p.free_blocks - 3, pool_free_blocks(&self->p));
	ASSERT_EQ(0, umount(self->p.mnt));
	snprintf(options, sizeof(options), "node=%d,size=%luk", self->p.node,
		 (self->used + 2) * (BLOCK / KIB));
	EXPECT_EQ(EINVAL, ERR(mount("x", self->p.mnt, "guestmemfs", 0, options)));
	snprintf(options, sizeof(options), "node=%d,size=%luk", self->p.node,
		 (self->used + 3) * (BLOCK / KIB));
	ASSERT_EQ(0, mount("x", self->p.mnt, "guestmemfs", 0, options));
	EXPECT_EQ(0, pool_free_blocks(&self->p));
}

/* A pool has at least one inode for each block, so that blocks run out first. */
TEST_F(limit, full_of_small_files)
{
	uint64_t blocks = self->p.free_blocks, i;
	unsigned char *p;
	char name[16];
	int fd;

	if (blocks > 4096)
		SKIP(return, "%lu blocks take too long", (unsigned long)blocks);
	for (i = 0; i <= blocks; i++) {
		snprintf(name, sizeof(name), "f%lu", (unsigned long)i);
		fd = file_make(&self->p, name, BLOCK);
		ASSERT_GE(fd, 0);
		ASSERT_EQ(i < blocks ? 0 : ENOSPC, ERR(fallocate(fd, 0, 0, 1)));
		p = map_file(fd, 0, BLOCK);
		ASSERT_NE(MAP_FAILED, p);
		ASSERT_EQ(i < blocks ? 0 : FAULT(SIGBUS), poke(p, i % 251));
		munmap(p, BLOCK);
		close(fd);
	}
	EXPECT_EQ(0, pool_free_blocks(&self->p));
	ASSERT_EQ(0, pool_remount(&self->p));
	EXPECT_EQ(0, pool_free_blocks(&self->p));
	for (i = 0; i < blocks; i++) {
		snprintf(name, sizeof(name), "f%lu", (unsigned long)i);
		fd = open(pool_path(&self->p, name), O_RDONLY);
		ASSERT_EQ(BLOCK_SECTORS, file_sectors(fd));
		p = mmap(NULL, BLOCK, PROT_READ, MAP_SHARED, fd, 0);
		ASSERT_NE(MAP_FAILED, p);
		ASSERT_EQ(i % 251, peek(p));
		munmap(p, BLOCK);
		close(fd);
	}
	/* The file without a block can allocate the block of a file that is removed. */
	ASSERT_EQ(0, unlink(pool_path(&self->p, "f3")));
	snprintf(name, sizeof(name), "f%lu", (unsigned long)blocks);
	fd = open(pool_path(&self->p, name), O_RDWR);
	EXPECT_EQ(0, fallocate(fd, 0, 0, BLOCK));
	EXPECT_EQ(0, pool_free_blocks(&self->p));
	close(fd);
}

static bool is_shown(const struct pool *p, const char *what)
{
	char line[4096], dir[4096], options[256];
	FILE *mounts = fopen("/proc/self/mounts", "r");
	bool found = false;

	while (mounts && fgets(line, sizeof(line), mounts))
		if (sscanf(line, "%*s %4095s %*s %255s", dir, options) == 2 &&
		    !strcmp(dir, p->mnt))
			found = strstr(options, what);
	if (mounts)
		fclose(mounts);
	return found;
}

TEST_F(limit, shown)
{
	EXPECT_FALSE(is_shown(&self->p, "size="));
	EXPECT_FALSE(is_shown(&self->p, "nr_inodes="));
	ASSERT_EQ(0, remount(&self->p, "size=8G,nr_inodes=%lu", 12345));
	EXPECT_TRUE(is_shown(&self->p, ",size=8388608k,nr_inodes=12345"));
	ASSERT_EQ(0, remount(&self->p, "nr_inodes=%lu", 0));
	EXPECT_TRUE(is_shown(&self->p, ",size=8388608k"));
	EXPECT_FALSE(is_shown(&self->p, "nr_inodes="));
}

TEST_HARNESS_MAIN
