// SPDX-License-Identifier: GPL-2.0-only
/*
 * Absent pages in a frozen pool: what is recorded for the next kernel, and that nothing of it is
 * left after a thaw. And the last page of a block whose hole has no room in the tables.
 */
#include <kunit/static_stub.h>
#include <linux/falloc.h>
#include <linux/pagemap.h>
#include <linux/slab.h>

#include "fixture_file.h"

#define PUNCH	(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)

/* These replace the functions of windows, as there is no memory behind a block. */
static struct gmfs_window *prepare_nothing(u64 phys, size_t len)
{
	struct gmfs_window *window = kzalloc_obj(*window);

	if (window)
		window->va = kvmalloc(len, GFP_KERNEL);
	return window;
}

static int map_nothing(struct gmfs_window *window)
{
	return 0;
}

static void unmap_nothing(struct gmfs_window *window)
{
}

static void put_nothing(struct gmfs_window *window)
{
	kvfree(window->va);
	kfree(window);
}

/* A file whose blocks are allocated and zeroed. */
static struct gmfs_test_file *begin(struct kunit *test)
{
	struct gmfs_test_file *t = gmfs_test_begin(test);

	kunit_activate_static_stub(test, gmfs_window_prepare, prepare_nothing);
	kunit_activate_static_stub(test, gmfs_window_map, map_nothing);
	kunit_activate_static_stub(test, gmfs_window_unmap, unmap_nothing);
	kunit_activate_static_stub(test, gmfs_window_put, put_nothing);
	KUNIT_ASSERT_EQ(test, gmfs_file_allocate(t->inode, 0, GMFS_TEST_FILE_BLOCKS, GMFS_PRESENT),
			0);
	bitmap_zero(t->pool.tables.unzeroed, t->pool.tables.nr_blocks);
	return t;
}

/* Punches pages @first to @last - 1 of the file. */
static void punch(struct kunit *test, struct gmfs_test_file *t, pgoff_t first, pgoff_t last)
{
	KUNIT_EXPECT_EQ(test, guestmemfs_fallocate(t->file, PUNCH, (loff_t)first << PAGE_SHIFT,
						   (loff_t)(last - first) << PAGE_SHIFT), 0);
}

/* A page is used, as by a fault. */
static void use(struct kunit *test, struct gmfs_test_file *t, pgoff_t page)
{
	filemap_invalidate_lock_shared(t->inode->i_mapping);
	KUNIT_EXPECT_GE(test, gmfs_absent_present(t->inode, page, page + 1), 0);
	filemap_invalidate_unlock_shared(t->inode->i_mapping);
}

static bool is_absent(struct gmfs_test_file *t, pgoff_t page)
{
	guard(rwsem_read)(&GUESTMEMFS_I(t->inode)->map_lock);
	return gmfs_absent_any(t->inode, page, page + 1);
}

/* Red if a page that a VMM uses between the freeze and the kexec is absent in the next kernel. */
static void used_in_a_frozen_pool(struct kunit *test)
{
	const pgoff_t start = 3 * GUESTMEMFS_BLOCK_PAGES;
	struct gmfs_test_file *t = begin(test);
	struct gmfs_tables *tables = &t->pool.tables;
	struct gmfs_absence a;

	punch(test, t, start + 1, start + 4);
	punch(test, t, start + GUESTMEMFS_BLOCK_PAGES, start + GUESTMEMFS_BLOCK_PAGES + 1);
	KUNIT_EXPECT_EQ(test, gmfs_absent_records(tables), 0);
	gmfs_pool_freeze(&t->pool);
	KUNIT_EXPECT_EQ(test, gmfs_absent_records(tables), 2);
	gmfs_absent_read(tables, 0, &a);
	KUNIT_EXPECT_EQ(test, a.ino, t->inode->i_ino);
	KUNIT_EXPECT_EQ(test, a.logical, 3);
	KUNIT_EXPECT_EQ(test, a.pages[0], 0xe);
	use(test, t, start + 2);
	KUNIT_EXPECT_EQ(test, a.pages[0], 0xa);
	/* The last absent page of a block: the record stays, without a page. */
	use(test, t, start + GUESTMEMFS_BLOCK_PAGES);
	gmfs_absent_read(tables, 1, &a);
	KUNIT_EXPECT_TRUE(test, bitmap_empty(a.pages, GUESTMEMFS_BLOCK_PAGES));
	/* A second freeze does not write the records anew, nor does its thaw remove them. */
	gmfs_pool_freeze(&t->pool);
	gmfs_pool_thaw(&t->pool);
	KUNIT_EXPECT_EQ(test, gmfs_absent_records(tables), 2);
	gmfs_pool_thaw(&t->pool);
	KUNIT_EXPECT_TRUE(test, is_absent(t, start + 1));
	KUNIT_EXPECT_FALSE(test, is_absent(t, start + 2));
	KUNIT_EXPECT_TRUE(test, is_absent(t, start + 3));
	KUNIT_EXPECT_FALSE(test, is_absent(t, start + GUESTMEMFS_BLOCK_PAGES));
}

/* Red if a page clears a bit of the map table after a thaw, where other blocks have their maps. */
static void used_after_a_thaw(struct kunit *test)
{
	struct gmfs_test_file *t = begin(test);
	struct gmfs_tables *tables = &t->pool.tables;
	pgoff_t page;

	for (page = 0; page < GMFS_TEST_FILE_BLOCKS * GUESTMEMFS_BLOCK_PAGES;
	     page += GUESTMEMFS_BLOCK_PAGES)
		punch(test, t, page, page + 8);
	gmfs_pool_freeze(&t->pool);
	KUNIT_EXPECT_EQ(test, gmfs_absent_records(tables), GMFS_TEST_FILE_BLOCKS);
	gmfs_pool_thaw(&t->pool);
	KUNIT_EXPECT_EQ(test, gmfs_absent_records(tables), 0);
	KUNIT_EXPECT_EQ(test, le32_to_cpu(tables->super->live.nr_absent), 0);
	KUNIT_EXPECT_EQ(test, le32_to_cpu(tables->super->live.absent_hop), 0);
	memset(tables->maps, 0xff, 16 * sizeof(*tables->maps));
	for (page = 0; page < GMFS_TEST_FILE_BLOCKS * GUESTMEMFS_BLOCK_PAGES;
	     page += GUESTMEMFS_BLOCK_PAGES)
		use(test, t, page);
	KUNIT_EXPECT_NULL(test, memchr_inv(tables->maps, 0xff, 16 * sizeof(*tables->maps)));
	memset(tables->maps, 0, 16 * sizeof(*tables->maps));
}

/* Pages without a record are absent until the kexec, and in this kernel after a thaw. */
static void no_room_for_records(struct kunit *test)
{
	struct gmfs_test_file *t = begin(test);
	u32 maps = t->pool.tables.nr_maps;

	punch(test, t, 1, 2);
	punch(test, t, GUESTMEMFS_BLOCK_PAGES, GUESTMEMFS_BLOCK_PAGES + 1);
	t->pool.tables.nr_maps = 2;
	gmfs_pool_freeze(&t->pool);
	KUNIT_EXPECT_EQ(test, gmfs_absent_records(&t->pool.tables), 1);
	use(test, t, GUESTMEMFS_BLOCK_PAGES);
	KUNIT_EXPECT_TRUE(test, is_absent(t, 1));
	gmfs_pool_thaw(&t->pool);
	t->pool.tables.nr_maps = maps;
	KUNIT_EXPECT_TRUE(test, is_absent(t, 1));
	KUNIT_EXPECT_FALSE(test, is_absent(t, GUESTMEMFS_BLOCK_PAGES));
}

/*
 * The block has a private page, which the hole must keep in an extent. Red if the punch of the last
 * page fails for want of one, where the punch of any other page does not.
 */
static void no_room_for_a_hole(struct kunit *test)
{
	struct gmfs_test_file *t = begin(test);
	pgoff_t conflict;

	KUNIT_EXPECT_EQ(test, gmfs_convert(t->inode, 5, 6, true, &conflict), 0);
	punch(test, t, 0, GUESTMEMFS_BLOCK_PAGES - 1);
	t->pool.tables.promised_blockless = t->pool.tables.nr_extents;
	punch(test, t, GUESTMEMFS_BLOCK_PAGES - 1, GUESTMEMFS_BLOCK_PAGES);
	KUNIT_EXPECT_EQ(test, GUESTMEMFS_I(t->inode)->map->blocks, GMFS_TEST_FILE_BLOCKS);
	KUNIT_EXPECT_TRUE(test, is_absent(t, 5));
	KUNIT_EXPECT_TRUE(test, is_absent(t, GUESTMEMFS_BLOCK_PAGES - 1));
	/* Once there is room, any page of it will do. */
	t->pool.tables.promised_blockless = 0;
	punch(test, t, 7, 8);
	KUNIT_EXPECT_EQ(test, GUESTMEMFS_I(t->inode)->map->blocks, GMFS_TEST_FILE_BLOCKS - 1);
	KUNIT_EXPECT_TRUE(test, gmfs_file_is_private(t->inode, 5));
	KUNIT_EXPECT_FALSE(test, is_absent(t, 5));
}

/*
 * A kernel that must not write to the tables cannot remove the records. Red if a page is used that
 * is absent in a record.
 */
static void never_written(struct kunit *test)
{
	struct gmfs_test_file *t = begin(test);

	punch(test, t, 1, 2);
	t->pool.tables.read_only = true;
	filemap_invalidate_lock_shared(t->inode->i_mapping);
	KUNIT_EXPECT_EQ(test, gmfs_absent_present(t->inode, 1, 2), -EROFS);
	filemap_invalidate_unlock_shared(t->inode->i_mapping);
	KUNIT_EXPECT_TRUE(test, is_absent(t, 1));
	gmfs_pool_freeze(&t->pool);
	KUNIT_EXPECT_EQ(test, le32_to_cpu(t->pool.tables.super->live.absent_hop), 0);
	gmfs_pool_thaw(&t->pool);
	t->pool.tables.read_only = false;
}

static struct kunit_case gmfs_absent_cases[] = {
	KUNIT_CASE(used_in_a_frozen_pool),
	KUNIT_CASE(used_after_a_thaw),
	KUNIT_CASE(no_room_for_records),
	KUNIT_CASE(no_room_for_a_hole),
	KUNIT_CASE(never_written),
	{}
};

static struct kunit_suite gmfs_absent_suite = {
	.name		= "guestmemfs_absent",
	.test_cases	= gmfs_absent_cases,
};

kunit_test_suite(gmfs_absent_suite);
