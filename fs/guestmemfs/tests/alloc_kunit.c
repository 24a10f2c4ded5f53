// SPDX-License-Identifier: GPL-2.0-only
/*
 * The allocator and the extents of files. The tests in tools/testing/guestmemfs are more
 * thorough; these run with the bitmaps, sort() and memory allocation of the kernel.
 */
#include <linux/string.h>

#include "fixture_pool.h"

#define GROUP	GUESTMEMFS_GROUP_BLOCKS

static const struct gmfs_range odd_ranges[] = {
	{ SZ_1G - SZ_128M, SZ_128M },
	{ 2ULL * SZ_1G, SZ_1G },
	{ 4ULL * SZ_1G + SZ_256M, 3 * SZ_128M },
};

static const struct gmfs_range two_gib = { 16ULL * SZ_1G, 2ULL * SZ_1G };

static int fill(struct gmfs_test_pool *p, u32 file, u64 logical, u64 count)
{
	return gmfs_map_fill(&p->t, p->map[file], p->ino[file], logical, count);
}

static int punch(struct gmfs_test_pool *p, u32 file, u64 logical, u64 count)
{
	return gmfs_map_edit(&p->t, p->map[file], GMFS_PUNCH, logical, count);
}

static void block_numbers_fit_addresses(struct kunit *test)
{
	struct gmfs_test_pool *p = gmfs_test_pool(test, odd_ranges, ARRAY_SIZE(odd_ranges));
	u32 i;

	KUNIT_EXPECT_EQ(test, p->t.free_blocks, 64 + 512 + 192);
	for (i = 0; i < ARRAY_SIZE(odd_ranges); i++) {
		u32 first = le32_to_cpu(p->t.ranges[i].first_block);
		u32 end = gmfs_block_range_end(&p->t, first);

		KUNIT_EXPECT_EQ(test, gmfs_block_phys(&p->t, first), odd_ranges[i].base);
		KUNIT_EXPECT_EQ(test, gmfs_block_phys(&p->t, end - 1) + GMFS_BLOCK_SIZE,
				odd_ranges[i].base + odd_ranges[i].size);
		KUNIT_EXPECT_EQ(test, first % GROUP, (odd_ranges[i].base >> 21) % GROUP);
		KUNIT_EXPECT_EQ(test, find_next_bit(p->t.bitmap, end, first), end);
	}
	gmfs_test_check(test, p);
}

static void whole_gigabytes_first(struct kunit *test)
{
	struct gmfs_test_pool *p = gmfs_test_pool(test, odd_ranges, ARRAY_SIZE(odd_ranges));
	u64 phys;

	KUNIT_ASSERT_EQ(test, fill(p, 0, 0, GROUP + 10), 0);
	phys = gmfs_block_phys(&p->t, gmfs_test_block(test, p, 0, 0));
	KUNIT_EXPECT_EQ(test, phys, odd_ranges[1].base);
	KUNIT_EXPECT_EQ(test, gmfs_test_block(test, p, 0, GROUP - 1),
			gmfs_test_block(test, p, 0, 0) + GROUP - 1);
	gmfs_test_check(test, p);
}

static void small_files_leave_gigabytes_whole(struct kunit *test)
{
	struct gmfs_test_pool *p = gmfs_test_pool(test, &two_gib, 1);

	KUNIT_ASSERT_EQ(test, fill(p, 0, 0, 10), 0);
	KUNIT_ASSERT_EQ(test, fill(p, 1, 0, 10), 0);
	KUNIT_ASSERT_EQ(test, fill(p, 2, 0, GROUP), 0);
	KUNIT_EXPECT_EQ(test, gmfs_test_block(test, p, 2, 0) % GROUP, 0);
	KUNIT_EXPECT_EQ(test, gmfs_test_extents(p, 2), 1);
	gmfs_test_check(test, p);
}

static void punched_blocks_come_back(struct kunit *test)
{
	struct gmfs_test_pool *p = gmfs_test_pool(test, &two_gib, 1);
	u32 block;

	KUNIT_ASSERT_EQ(test, fill(p, 0, 0, GROUP), 0);
	block = gmfs_test_block(test, p, 0, 0);
	KUNIT_ASSERT_EQ(test, punch(p, 0, 100, 30), 0);
	KUNIT_EXPECT_EQ(test, gmfs_test_extents(p, 0), 2);
	KUNIT_EXPECT_EQ(test, gmfs_test_block(test, p, 0, 100), GMFS_NO_BLOCK);
	gmfs_test_check(test, p);
	KUNIT_ASSERT_EQ(test, fill(p, 0, 110, 20), 0);
	KUNIT_ASSERT_EQ(test, fill(p, 0, 100, 10), 0);
	KUNIT_EXPECT_EQ(test, gmfs_test_block(test, p, 0, 100), block + 100);
	KUNIT_EXPECT_EQ(test, gmfs_test_extents(p, 0), 1);
	gmfs_test_check(test, p);
}

static void released_blocks_are_unzeroed(struct kunit *test)
{
	struct gmfs_test_pool *p = gmfs_test_pool(test, &two_gib, 1);
	u32 block, i;

	KUNIT_ASSERT_EQ(test, fill(p, 0, 0, GROUP), 0);
	block = gmfs_test_block(test, p, 0, 0);
	bitmap_zero(p->t.unzeroed, p->t.nr_blocks);
	KUNIT_ASSERT_EQ(test, punch(p, 0, 63, 66), 0);
	for (i = 0; i < GROUP; i++)
		KUNIT_EXPECT_EQ(test, test_bit(block + i, p->t.unzeroed), i >= 63 && i < 129);
}

static void full_means_enospc(struct kunit *test)
{
	struct gmfs_test_pool *p = gmfs_test_pool(test, odd_ranges, ARRAY_SIZE(odd_ranges));

	KUNIT_ASSERT_EQ(test, fill(p, 0, 0, p->t.total_blocks), 0);
	KUNIT_EXPECT_EQ(test, p->t.free_blocks, 0);
	KUNIT_EXPECT_EQ(test, fill(p, 1, 0, 1), -ENOSPC);
	KUNIT_EXPECT_EQ(test, gmfs_test_extents(p, 1), 0);
	gmfs_test_check(test, p);
	KUNIT_ASSERT_EQ(test, punch(p, 0, 17, 2), 0);
	KUNIT_EXPECT_EQ(test, fill(p, 1, 0, 3), -ENOSPC);
	KUNIT_EXPECT_EQ(test, fill(p, 1, 0, 2), 0);
	gmfs_test_check(test, p);
}

/* The extent table has room even if no two blocks of a file are adjacent. */
static void worst_fragmentation(struct kunit *test)
{
	struct gmfs_test_pool *p = gmfs_test_pool(test, &two_gib, 1);
	u32 i;

	KUNIT_ASSERT_EQ(test, fill(p, 0, 0, 2 * GROUP), 0);
	for (i = 0; i < 2 * GROUP; i += 2)
		KUNIT_ASSERT_EQ(test, punch(p, 0, i, 1), 0);
	for (i = 0; i < GROUP; i++)
		KUNIT_ASSERT_EQ(test, fill(p, 1, 2 * i, 1), 0);
	KUNIT_EXPECT_EQ(test, p->t.free_blocks, 0);
	KUNIT_EXPECT_EQ(test, gmfs_test_extents(p, 0) + gmfs_test_extents(p, 1), 2 * GROUP);
	KUNIT_EXPECT_LE(test, le32_to_cpu(p->t.super->live.used_extents), p->t.nr_extents);
	gmfs_test_check(test, p);
	gmfs_map_clear(&p->t, p->map[0]);
	gmfs_map_clear(&p->t, p->map[1]);
	KUNIT_EXPECT_EQ(test, p->t.free_blocks, 2 * GROUP);
	gmfs_test_check(test, p);
}

static void lookup_at_the_edges(struct kunit *test)
{
	struct gmfs_test_pool *p = gmfs_test_pool(test, &two_gib, 1);
	struct gmfs_run run;

	gmfs_map_lookup(&p->t, p->map[0], 0, &run);
	KUNIT_EXPECT_EQ(test, run.count, GMFS_MAX_LOGICAL);
	KUNIT_ASSERT_EQ(test, fill(p, 0, GMFS_MAX_LOGICAL - 2, 2), 0);
	gmfs_map_lookup(&p->t, p->map[0], 5, &run);
	KUNIT_EXPECT_EQ(test, run.count, GMFS_MAX_LOGICAL - 7);
	KUNIT_EXPECT_EQ(test, run.block, GMFS_NO_BLOCK);
	gmfs_map_lookup(&p->t, p->map[0], GMFS_MAX_LOGICAL - 1, &run);
	KUNIT_EXPECT_EQ(test, run.count, 1);
	KUNIT_EXPECT_NE(test, run.block, GMFS_NO_BLOCK);
	gmfs_test_check(test, p);
}

static void inode_generations_grow(struct kunit *test)
{
	struct gmfs_test_pool *p = gmfs_test_pool(test, &two_gib, 1);
	u32 ino = p->ino[1], again;

	KUNIT_EXPECT_EQ(test, le32_to_cpu(p->t.inodes[ino].generation), 1);
	gmfs_inode_free(&p->t, ino);
	KUNIT_EXPECT_EQ(test, le32_to_cpu(p->t.inodes[ino].mode), 0);
	KUNIT_ASSERT_EQ(test, gmfs_inode_alloc(&p->t, S_IFDIR, &again), 0);
	KUNIT_EXPECT_EQ(test, again, ino);
	KUNIT_EXPECT_EQ(test, le32_to_cpu(p->t.inodes[ino].generation), 2);
}

static struct kunit_case gmfs_alloc_cases[] = {
	KUNIT_CASE(block_numbers_fit_addresses),
	KUNIT_CASE(whole_gigabytes_first),
	KUNIT_CASE(small_files_leave_gigabytes_whole),
	KUNIT_CASE(punched_blocks_come_back),
	KUNIT_CASE(released_blocks_are_unzeroed),
	KUNIT_CASE(full_means_enospc),
	KUNIT_CASE(worst_fragmentation),
	KUNIT_CASE(lookup_at_the_edges),
	KUNIT_CASE(inode_generations_grow),
	{}
};

static struct kunit_suite gmfs_alloc_suite = {
	.name		= "guestmemfs_alloc",
	.test_cases	= gmfs_alloc_cases,
};

kunit_test_suite(gmfs_alloc_suite);
