// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pools for tests of the code that needs only the tables.
 */
#include <kunit/resource.h>
#include <linux/slab.h>
#include <linux/stat.h>
#include <linux/xarray.h>

#include "fixture_pool.h"

static void gmfs_test_pool_free(void *data)
{
	struct gmfs_test_pool *p = data;
	u32 i;

	for (i = 0; i < GMFS_TEST_FILES; i++)
		gmfs_map_destroy(&p->maps[i]);
	gmfs_alloc_exit(&p->t);
	kvfree(p->meta);
}

static void gmfs_test_file(struct kunit *test, struct gmfs_test_pool *p, u32 file)
{
	struct guestmemfs_inode *di;

	KUNIT_ASSERT_EQ(test, gmfs_inode_alloc(&p->t, S_IFREG | 0600, &p->ino[file]), 0);
	di = &p->t.inodes[p->ino[file]];
	di->parent = cpu_to_le32(GUESTMEMFS_ROOT_INO);
	di->name_len = cpu_to_le16(1);
	di->name[0] = 'a' + file;
}

struct gmfs_test_pool *gmfs_test_pool(struct kunit *test, const struct gmfs_range *ranges, u32 nr)
{
	struct gmfs_test_pool *p = kunit_kzalloc(test, sizeof(*p), GFP_KERNEL);
	static const u8 uuid[16] = "a test of a pool";
	struct gmfs_complaint c;
	u32 i;

	KUNIT_ASSERT_NOT_NULL(test, p);
	for (i = 0; i < GMFS_TEST_FILES; i++) {
		gmfs_map_init(&p->maps[i]);
		p->map[i] = &p->maps[i];
	}
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, gmfs_test_pool_free, p), 0);
	KUNIT_ASSERT_EQ(test, gmfs_format_size(ranges, nr, 0, &p->meta_size), 0);
	p->meta = kvzalloc(p->meta_size, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p->meta);
	/* gmfs_format_make() must not rely on zeroed memory. */
	memset(p->meta, 0xa5, p->meta_size);
	KUNIT_ASSERT_EQ(test, gmfs_format_make(p->meta, GMFS_TEST_META_BASE, p->meta_size, 0, uuid,
					       ranges, nr, 0), 0);
	KUNIT_ASSERT_EQ(test, gmfs_format_open(&p->t, p->meta, GMFS_TEST_META_BASE, p->meta_size,
					       &c), 0);
	KUNIT_ASSERT_EQ(test, gmfs_alloc_init(&p->t), 0);
	for (i = 0; i < GMFS_TEST_FILES; i++)
		gmfs_test_file(test, p, i);
	return p;
}

/* Returns the block of the pool at block @logical of a file, or GMFS_NO_BLOCK. */
u32 gmfs_test_block(struct kunit *test, struct gmfs_test_pool *p, u32 file, u64 logical)
{
	struct gmfs_run run;

	gmfs_map_lookup(&p->t, p->map[file], logical, &run);
	KUNIT_EXPECT_EQ(test, run.logical, logical);
	KUNIT_EXPECT_GT(test, run.count, 0);
	return run.block;
}

/* Returns the number of extents of a file. */
u32 gmfs_test_extents(struct gmfs_test_pool *p, u32 file)
{
	MA_STATE(mas, &p->map[file]->tree, 0, 0);
	void *entry;
	u32 nr = 0;

	mas_for_each(&mas, entry, ULONG_MAX)
		nr++;
	return nr;
}

/* Checks that gmfs_check() accepts the tables and finds the same extents as the maps. */
void gmfs_test_check(struct kunit *test, struct gmfs_test_pool *p)
{
	struct gmfs_complaint c = {};
	struct gmfs_index index;
	u32 i, at = 0;
	void *entry;
	int err;

	err = gmfs_check(&p->t, &index, &c);
	KUNIT_ASSERT_EQ_MSG(test, err, 0, "%s %llu %s", c.table, c.entry, c.what);
	/* The extents of detached blocks are before those of files. */
	for (i = 0; i <= GMFS_TEST_FILES; i++) {
		MA_STATE(mas, i ? &p->map[i - 1]->tree : &p->t.detached.tree, 0, 0);

		mas_for_each(&mas, entry, ULONG_MAX)
			if (at < index.nr)
				KUNIT_EXPECT_EQ(test, index.slots[at++], xa_to_value(entry));
	}
	KUNIT_EXPECT_EQ(test, index.nr, at);
	KUNIT_EXPECT_EQ(test, p->t.free_blocks,
			p->t.nr_blocks - bitmap_weight(p->t.bitmap, p->t.nr_blocks));
	gmfs_index_free(&index);
}
