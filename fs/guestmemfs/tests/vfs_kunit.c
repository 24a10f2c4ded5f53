// SPDX-License-Identifier: GPL-2.0-only
/*
 * Operations of the filesystem that user space cannot test: export by nfsd, mounts after a
 * kexec has begun, and FIEMAP of blocks that are not zeroed yet.
 */
#include <linux/err.h>
#include <linux/exportfs.h>
#include <linux/fiemap.h>
#include <linux/mount.h>

#include "fixture_file.h"

/* nfsd is refused, although files can be opened by handle. */
static void not_to_be_exported(struct kunit *test)
{
	KUNIT_EXPECT_TRUE(test, exportfs_can_decode_fh(&guestmemfs_export_operations));
	KUNIT_EXPECT_FALSE(test, exportfs_may_export(&guestmemfs_export_operations));
}

static struct gmfs_pool *some_pool(void)
{
	struct gmfs_pool *pool;

	list_for_each_entry(pool, &gmfs_pools, list)
		if (!pool->refused)
			return pool;
	return NULL;
}

/* The tests run at boot, when no pool is in use, so a pool can be frozen for a moment. */
static struct vfsmount *mount_in_a_freeze(struct gmfs_pool *pool)
{
	struct vfsmount *mnt;

	gmfs_pool_freeze(pool);
	mnt = gmfs_mount_pool(pool);
	gmfs_pool_thaw(pool);
	return mnt;
}

static void not_to_be_mounted_in_a_freeze(struct kunit *test)
{
	struct gmfs_pool *pool = some_pool();
	struct vfsmount *mnt;

	if (!pool)
		kunit_skip(test, "this machine has no pool: boot with guestmemfs=");
	mnt = mount_in_a_freeze(pool);
	KUNIT_EXPECT_PTR_EQ(test, mnt, ERR_PTR(-EBUSY));
	if (!IS_ERR(mnt))
		mntput(mnt);
}

/* A second mount of a pool does not change its tables, so a freeze does not matter. */
static void mounted_again_in_a_freeze(struct kunit *test)
{
	struct gmfs_pool *pool = some_pool();
	struct vfsmount *mnt, *again;

	if (!pool)
		kunit_skip(test, "this machine has no pool: boot with guestmemfs=");
	mnt = gmfs_mount_pool(pool);
	KUNIT_ASSERT_FALSE(test, IS_ERR(mnt));
	again = mount_in_a_freeze(pool);
	KUNIT_EXPECT_FALSE(test, IS_ERR(again));
	if (!IS_ERR(again)) {
		KUNIT_EXPECT_PTR_EQ(test, again->mnt_sb, mnt->mnt_sb);
		mntput(again);
	}
	mntput(mnt);
}

static u32 pieces(struct kunit *test, struct gmfs_test_file *t)
{
	struct fiemap_extent_info info = {};

	KUNIT_EXPECT_EQ(test, guestmemfs_fiemap(t->inode, &info, 0, FIEMAP_MAX_OFFSET), 0);
	return info.fi_extents_mapped;
}

/* FIEMAP reports unzeroed blocks like zeroed ones, and does not zero them. */
static void not_zeroed_is_memory(struct kunit *test)
{
	struct gmfs_test_file *t = gmfs_test_begin(test);
	struct gmfs_tables *tables = &t->pool.tables;
	struct gmfs_run run;

	KUNIT_ASSERT_EQ(test, gmfs_file_allocate(t->inode, 1, 2, GMFS_PRESENT), 0);
	KUNIT_ASSERT_EQ(test, gmfs_file_allocate(t->inode, 5, 1, GMFS_PRESENT), 0);
	KUNIT_EXPECT_EQ(test, pieces(test, t), 2);
	gmfs_map_lookup(tables, GUESTMEMFS_I(t->inode)->map, 1, &run);
	KUNIT_ASSERT_EQ(test, run.count, 2);
	KUNIT_EXPECT_TRUE(test, test_bit(run.block, tables->unzeroed));
	KUNIT_EXPECT_TRUE(test, test_and_clear_bit(run.block + 1, tables->unzeroed));
	KUNIT_EXPECT_EQ(test, pieces(test, t), 2);
}

static struct kunit_case gmfs_vfs_cases[] = {
	KUNIT_CASE(not_to_be_exported),
	KUNIT_CASE(not_to_be_mounted_in_a_freeze),
	KUNIT_CASE(mounted_again_in_a_freeze),
	KUNIT_CASE(not_zeroed_is_memory),
	{}
};

static struct kunit_suite gmfs_vfs_suite = {
	.name		= "guestmemfs_vfs",
	.test_cases	= gmfs_vfs_cases,
};

kunit_test_suite(gmfs_vfs_suite);
