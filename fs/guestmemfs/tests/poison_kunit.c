// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel does not write to poisoned frames, which user space cannot see: it has no mapping of
 * them.
 */
#include <kunit/static_stub.h>
#include <linux/falloc.h>
#include <linux/pagemap.h>
#include <linux/string.h>

#include "fixture_file.h"

#define OLD	0x55

/*
 * In the place of the functions of windows: all blocks have the same memory. Turns red if a window
 * has entries that map a poisoned frame together with the pages beside it.
 */
static struct gmfs_window *prepare_buffer(u64 phys, size_t len)
{
	struct kunit *test = kunit_get_current_test();
	static struct gmfs_window window;
	u8 *buffer = test->priv;

	KUNIT_EXPECT_NE(test, (phys | len) & (GMFS_BLOCK_SIZE - 1), 0);
	window.va = buffer + (phys & (GMFS_BLOCK_SIZE - 1));
	return &window;
}

static int map_buffer(struct gmfs_window *window)
{
	return 0;
}

static void leave_buffer(struct gmfs_window *window)
{
}

/* A file with one block, of which the page @bad is poisoned. */
static struct gmfs_test_file *poison_begin(struct kunit *test, pgoff_t bad)
{
	struct gmfs_test_file *t = gmfs_test_begin(test);
	struct gmfs_tables *tables = &t->pool.tables;
	struct gmfs_run run;

	test->priv = kunit_kmalloc(test, GMFS_BLOCK_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, test->priv);
	memset(test->priv, OLD, GMFS_BLOCK_SIZE);
	kunit_activate_static_stub(test, gmfs_window_prepare, prepare_buffer);
	kunit_activate_static_stub(test, gmfs_window_map, map_buffer);
	kunit_activate_static_stub(test, gmfs_window_unmap, leave_buffer);
	kunit_activate_static_stub(test, gmfs_window_put, leave_buffer);
	KUNIT_ASSERT_EQ(test, gmfs_file_allocate(t->inode, 0, 1, GMFS_PRESENT), 0);
	bitmap_zero(tables->unzeroed, tables->nr_blocks);
	gmfs_map_lookup(tables, GUESTMEMFS_I(t->inode)->map, 0, &run);
	KUNIT_ASSERT_TRUE(test, gmfs_poisoned_add(&t->pool.poisoned,
						  (u64)run.block * GUESTMEMFS_BLOCK_PAGES + bad));
	return t;
}

/* Are the bytes from @from to before @to old ones, or else zero? */
static void expect_bytes(struct kunit *test, size_t from, size_t to, u8 value)
{
	KUNIT_EXPECT_NULL_MSG(test, memchr_inv(test->priv + from, value, to - from),
			      "from %zu to %zu", from, to);
}

static void a_block_is_zeroed_around(struct kunit *test, pgoff_t bad)
{
	struct gmfs_test_file *t = poison_begin(test, bad);
	struct gmfs_run run;

	gmfs_map_lookup(&t->pool.tables, GUESTMEMFS_I(t->inode)->map, 0, &run);
	gmfs_mark_unzeroed(&t->pool.tables, run.block, 1);
	filemap_invalidate_lock(t->inode->i_mapping);
	KUNIT_EXPECT_EQ(test, gmfs_zero_blocks(t->inode, run.block, 1, false), 0);
	filemap_invalidate_unlock(t->inode->i_mapping);
	KUNIT_EXPECT_FALSE(test, test_bit(run.block, t->pool.tables.unzeroed));
	expect_bytes(test, 0, bad * PAGE_SIZE, 0);
	expect_bytes(test, bad * PAGE_SIZE, (bad + 1) * PAGE_SIZE, OLD);
	expect_bytes(test, (bad + 1) * PAGE_SIZE, GMFS_BLOCK_SIZE, 0);
}

static void zeroing_a_block(struct kunit *test)
{
	a_block_is_zeroed_around(test, 7);
}

static void zeroing_a_block_at_its_ends(struct kunit *test)
{
	a_block_is_zeroed_around(test, 0);
	kunit_deactivate_static_stub(test, gmfs_window_prepare);
	kunit_deactivate_static_stub(test, gmfs_window_map);
	kunit_deactivate_static_stub(test, gmfs_window_unmap);
	kunit_deactivate_static_stub(test, gmfs_window_put);
	a_block_is_zeroed_around(test, GUESTMEMFS_BLOCK_PAGES - 1);
}

static void punching_a_part(struct kunit *test)
{
	const int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	struct gmfs_test_file *t = poison_begin(test, 7);
	const size_t page = 7 * PAGE_SIZE;

	/* Both ends in pages beside it. */
	KUNIT_EXPECT_EQ(test, guestmemfs_fallocate(t->file, punch, page - 100, PAGE_SIZE + 200), 0);
	expect_bytes(test, 0, page - 100, OLD);
	expect_bytes(test, page - 100, page, 0);
	expect_bytes(test, page, page + PAGE_SIZE, OLD);
	expect_bytes(test, page + PAGE_SIZE, page + PAGE_SIZE + 100, 0);
	expect_bytes(test, page + PAGE_SIZE + 100, GMFS_BLOCK_SIZE, OLD);
	/* One end in it, and both. */
	KUNIT_EXPECT_EQ(test, guestmemfs_fallocate(t->file, punch, page - 200, 300), 0);
	KUNIT_EXPECT_EQ(test, guestmemfs_fallocate(t->file, punch, page + 4000, 300), 0);
	KUNIT_EXPECT_EQ(test, guestmemfs_fallocate(t->file, punch, page + 10, 20), 0);
	expect_bytes(test, page - 200, page, 0);
	expect_bytes(test, page, page + PAGE_SIZE, OLD);
	expect_bytes(test, page + PAGE_SIZE, page + 4300, 0);
	/* The new end of the file is in it. */
	KUNIT_EXPECT_EQ(test, gmfs_file_resize(&nop_mnt_idmap, t->inode, page + 50, NULL), 0);
	KUNIT_EXPECT_EQ(test, gmfs_file_resize(&nop_mnt_idmap, t->inode, GMFS_BLOCK_SIZE, NULL), 0);
	expect_bytes(test, page, page + PAGE_SIZE, OLD);
	expect_bytes(test, page + PAGE_SIZE, GMFS_BLOCK_SIZE, 0);
}

static struct kunit_case gmfs_poison_cases[] = {
	KUNIT_CASE(zeroing_a_block),
	KUNIT_CASE(zeroing_a_block_at_its_ends),
	KUNIT_CASE(punching_a_part),
	{}
};

static struct kunit_suite gmfs_poison_suite = {
	.name		= "guestmemfs_poison",
	.test_cases	= gmfs_poison_cases,
};

kunit_test_suite(gmfs_poison_suite);
