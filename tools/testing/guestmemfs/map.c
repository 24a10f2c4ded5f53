// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests the extents of a file: lookups, punches, joins, and failing allocations.
 */
#include <stdlib.h>

#include "../../../fs/guestmemfs/tables/extmap.h"
#include "tables_pool.h"

static void check_run(const struct pool *p, u32 file, u64 logical, u64 count, u32 block)
{
	struct gmfs_run run = {};

	gmfs_map_lookup(&p->t, &p->map[file], logical, &run);
	CHECK_EQ(run.logical, logical);
	CHECK_EQ(run.count, count);
	CHECK_EQ(run.block, block);
}

static void lookup_edges(const void *arg)
{
	const u64 top = GMFS_MAX_LOGICAL;
	struct pool p;
	u32 a, b0, b1, b2;

	(void)arg;
	pool_make_gib(&p, 2);
	a = pool_file(&p);
	check_run(&p, a, 0, top, GMFS_NO_BLOCK);
	check_run(&p, a, top - 1, 1, GMFS_NO_BLOCK);
	CHECK_EQ(pool_fill(&p, a, 0, 1), 0);
	CHECK_EQ(pool_fill(&p, a, top - 3, 3), 0);
	CHECK_EQ(pool_fill(&p, a, 1000, 10), 0);
	b0 = pool_block(&p, a, 0);
	b1 = pool_block(&p, a, 1000);
	b2 = pool_block(&p, a, top - 3);
	check_run(&p, a, 0, 1, b0);
	check_run(&p, a, 1, 999, GMFS_NO_BLOCK);
	check_run(&p, a, 999, 1, GMFS_NO_BLOCK);
	check_run(&p, a, 1000, 10, b1);
	check_run(&p, a, 1009, 1, b1 + 9);
	check_run(&p, a, 1010, top - 3 - 1010, GMFS_NO_BLOCK);
	check_run(&p, a, top - 3, 3, b2);
	check_run(&p, a, top - 1, 1, b2 + 2);
	pool_check(&p);
	CHECK_EQ(pool_punch(&p, a, top - 1, 1), 0);
	check_run(&p, a, top - 1, 1, GMFS_NO_BLOCK);
	CHECK_EQ(pool_punch(&p, a, 0, top), 0);
	check_run(&p, a, 0, top, GMFS_NO_BLOCK);
	CHECK_EQ(p.t.free_blocks, 2 * GROUP);
	pool_check(&p);
	pool_free(&p);
}

/* Punches every possible range in and around an extent of 20 blocks at 10. */
static void punch_everywhere(const void *arg)
{
	const u64 first = 10, last = 30, top = 40;
	u64 from, to, i;
	struct pool p;
	u32 a, block;

	(void)arg;
	pool_make_gib(&p, 1);
	a = pool_file(&p);
	for (from = 0; from < top; from++) {
		for (to = from; to <= top; to++) {
			CHECK_EQ(pool_fill(&p, a, first, last - first), 0);
			block = pool_block(&p, a, first);
			CHECK_EQ(pool_punch(&p, a, from, to - from), 0);
			for (i = 0; i < top; i++) {
				bool there = i >= first && i < last && (i < from || i >= to);

				CHECK_EQ(pool_block(&p, a, i),
					 there ? block + (i - first) : GMFS_NO_BLOCK);
			}
			pool_check(&p);
			gmfs_map_clear(&p.t, &p.map[a]);
			CHECK_EQ(p.t.free_blocks, GROUP);
		}
	}
	pool_free(&p);
}

/* Punches ranges of several extents with holes between them. */
static void punch_across(const void *arg)
{
	u64 from, to, i;
	struct pool p;
	u32 a;

	(void)arg;
	pool_make_gib(&p, 1);
	a = pool_file(&p);
	for (from = 0; from < 24; from++) {
		for (to = from + 1; to <= 24; to++) {
			for (i = 1; i < 24; i += 6)
				CHECK_EQ(pool_fill(&p, a, i, 4), 0);
			CHECK_EQ(pool_punch(&p, a, from, to - from), 0);
			for (i = 0; i < 24; i++) {
				bool there = i % 6 >= 1 && i % 6 < 5 && (i < from || i >= to);

				CHECK_EQ(pool_block(&p, a, i) != GMFS_NO_BLOCK, there);
			}
			pool_check(&p);
		}
	}
	pool_free(&p);
}

static void neighbours_join(const void *arg)
{
	struct pool p;
	u32 a;

	(void)arg;
	pool_make_gib(&p, 1);
	a = pool_file(&p);
	CHECK_EQ(pool_fill(&p, a, 0, 10), 0);
	CHECK_EQ(pool_fill(&p, a, 10, 10), 0);
	CHECK_EQ(pool_extents(&p, a), 1);
	CHECK_EQ(pool_fill(&p, a, 30, 10), 0);
	CHECK_EQ(pool_extents(&p, a), 2);
	/* The new extent is joined with both neighbours. */
	CHECK_EQ(pool_fill(&p, a, 20, 10), 0);
	CHECK_EQ(pool_extents(&p, a), 1);
	check_run(&p, a, 0, 40, pool_block(&p, a, 0));
	CHECK_EQ(le32_to_cpu(p.t.super->live.used_extents), 2);
	pool_check(&p);
	pool_free(&p);
}

/* Consecutive block numbers of two ranges are two extents. */
static void ranges_do_not_join(const void *arg)
{
	const struct gmfs_range ranges[] = { { GIB, GIB }, { 2 * GIB, GIB } };
	struct pool p;
	u32 a;

	(void)arg;
	pool_make(&p, ranges, 2);
	a = pool_file(&p);
	CHECK_EQ(pool_fill(&p, a, 0, 2 * GROUP), 0);
	CHECK_EQ(pool_block(&p, a, GROUP), pool_block(&p, a, GROUP - 1) + 1);
	CHECK_EQ(pool_extents(&p, a), 2);
	pool_check(&p);
	pool_free(&p);
}

/* Filling holes does not move the blocks that are there already. */
static void fill_keeps_blocks(const void *arg)
{
	struct pool p;
	u32 a, b, i, blocks[60];

	(void)arg;
	pool_make_gib(&p, 1);
	a = pool_file(&p);
	b = pool_file(&p);
	for (i = 0; i < 60; i += 6) {
		CHECK_EQ(pool_fill(&p, a, i, 2), 0);
		CHECK_EQ(pool_fill(&p, b, i, 3), 0);
	}
	for (i = 0; i < 60; i++)
		blocks[i] = pool_block(&p, a, i);
	CHECK_EQ(pool_fill(&p, a, 0, 60), 0);
	for (i = 0; i < 60; i++) {
		CHECK(pool_block(&p, a, i) != GMFS_NO_BLOCK);
		if (blocks[i] != GMFS_NO_BLOCK)
			CHECK_EQ(pool_block(&p, a, i), blocks[i]);
	}
	CHECK_EQ(p.map[a].blocks, 60);
	pool_check(&p);
	/* Filling the same range again changes nothing. */
	CHECK_EQ(pool_fill(&p, a, 0, 60), 0);
	CHECK_EQ(p.map[a].blocks, 60);
	pool_check(&p);
	pool_free(&p);
}

typedef int (*pool_op)(struct pool *p);

static int op_fill(struct pool *p)
{
	return pool_fill(p, 0, 0, 200);
}

static int op_fill_hole(struct pool *p)
{
	return pool_fill(p, 1, 30, 100);
}

static int op_punch_middle(struct pool *p)
{
	return pool_punch(p, 1, 23, 3);
}

static int op_punch_ends(struct pool *p)
{
	return pool_punch(p, 1, 5, 100);
}

static int op_check(struct pool *p)
{
	struct gmfs_complaint c = {};
	struct gmfs_index index;
	int err = gmfs_check(&p->t, &index, &c);

	if (!err)
		gmfs_index_free(&index);
	return err;
}

static const struct gmfs_range goal_ranges[] = { { 896 * MIB, 128 * MIB }, { 2 * GIB, GIB } };

/* The next block number may be in another range, which is elsewhere in memory. */
static void goal_behind_the_range(const void *arg)
{
	struct pool p;
	u32 a;

	(void)arg;
	pool_make(&p, goal_ranges, 2);
	a = pool_file(&p);
	CHECK_EQ(pool_fill(&p, a, 100, 64), 0);
	CHECK_EQ(pool_block(&p, a, 163), 511);
	CHECK_EQ(pool_fill(&p, a, 164, 1), 0);
	CHECK_EQ(pool_block(&p, a, 164), 512);
	pool_check(&p);
	pool_free(&p);
}

/* A block that was punched is allocated in the same place, even if another group is fuller. */
static void goal_at_the_range(const void *arg)
{
	struct pool p;
	u32 a, b;

	(void)arg;
	pool_make(&p, goal_ranges, 2);
	a = pool_file(&p);
	b = pool_file(&p);
	CHECK_EQ(pool_fill(&p, a, 10, 64), 0);
	CHECK_EQ(pool_fill(&p, b, 0, GROUP), 0);
	CHECK_EQ(pool_block(&p, a, 10), 448);
	CHECK_EQ(pool_punch(&p, a, 10, 1), 0);
	CHECK_EQ(pool_punch(&p, a, 70, 1), 0);
	CHECK_EQ(pool_punch(&p, b, 5, 1), 0);
	CHECK_EQ(pool_fill(&p, a, 10, 1), 0);
	CHECK_EQ(pool_block(&p, a, 10), 448);
	pool_check(&p);
	pool_free(&p);
}

struct memory_case {
	const char *name;
	pool_op op;
};

static const struct memory_case memory_cases[] = {
	{ "fill", op_fill },
	{ "fill holes", op_fill_hole },
	{ "punch the middle", op_punch_middle },
	{ "punch over extents", op_punch_ends },
	{ "check", op_check },
};

static void memory_pool(struct pool *p, u32 extents)
{
	u32 b, i;

	pool_make_gib(p, 1);
	pool_file(p);
	b = pool_file(p);
	for (i = 0; i < 5; i++)
		CHECK_EQ(pool_fill(p, b, 20 * i, 10), 0);
	for (i = 0; i < extents; i++)
		CHECK_EQ(pool_fill(p, b, 1000 + 2 * i, 1), 0);
}

static void no_memory(const void *arg)
{
	pool_no_memory(memory_pool, ((const struct memory_case *)arg)->op);
}

/* gmfs_map_clear() needs no memory, so that an inode can always be evicted. */
static void clear_without_memory(const void *arg)
{
	struct pool p;

	(void)arg;
	memory_pool(&p, 0);
	shim_allocations = 0;
	shim_fail_from = 1;
	gmfs_map_clear(&p.t, &p.map[1]);
	shim_fail_from = 0;
	CHECK_EQ(shim_allocations, 0);
	CHECK_EQ(pool_extents(&p, 1), 0);
	CHECK_EQ(p.t.free_blocks, GROUP);
	pool_check(&p);
	pool_free(&p);
}

void map_tests(void)
{
	u32 i;

	TEST(lookup_edges);
	TEST(punch_everywhere);
	TEST(punch_across);
	TEST(neighbours_join);
	TEST(ranges_do_not_join);
	TEST(fill_keeps_blocks);
	TEST(goal_behind_the_range);
	TEST(goal_at_the_range);
	for (i = 0; i < ARRAY_SIZE(memory_cases); i++)
		test_add(no_memory, &memory_cases[i], "no memory: %s", memory_cases[i].name);
	TEST(clear_without_memory);
}
