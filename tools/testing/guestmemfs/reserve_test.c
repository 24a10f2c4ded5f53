// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests blocks that are reserved for files: which files can allocate them, and how many are left.
 */
#include <stdlib.h>

#include "tables_pool.h"

#define MANY	200

/* Only the file itself can use reserved blocks. Blocks that it has already are not reserved. */
static void others_get_nothing(const void *arg)
{
	struct pool p;
	u32 a, b;

	(void)arg;
	pool_make_gib(&p, 1);
	a = pool_file(&p);
	b = pool_file(&p);
	CHECK_EQ(pool_fill(&p, a, 100, 50), 0);
	CHECK_EQ(pool_reserve(&p, a, 0, 400), 0);
	CHECK_EQ(p.t.promised_blocks, 350);
	CHECK_EQ(gmfs_blocks_left(&p.t), GROUP - 400);
	CHECK_EQ(gmfs_blocks_free(&p.t), GROUP - 50);
	CHECK_EQ(pool_fill(&p, b, 0, GROUP - 399), -ENOSPC);
	CHECK_EQ(pool_reserve(&p, b, 0, GROUP - 399), -ENOSPC);
	CHECK_EQ(pool_fill(&p, b, 0, GROUP - 400), 0);
	CHECK_EQ(gmfs_blocks_left(&p.t), 0);
	/* The file itself cannot use them for another part, either. */
	CHECK_EQ(pool_fill(&p, a, 400, 1), -ENOSPC);
	CHECK_EQ(pool_fill(&p, a, 399, 2), -ENOSPC);
	pool_check(&p);
	CHECK_EQ(pool_fill(&p, a, 399, 1), 0);
	CHECK_EQ(pool_fill(&p, a, 0, 400), 0);
	CHECK_EQ(p.t.promised_blocks, 0);
	CHECK_EQ(p.t.free_blocks, 0);
	pool_unreserve(&p, a, 0, 400);
	pool_check(&p);
	pool_free(&p);
}

/* Blocks reserved by two holders count once, and are released with the second holder. */
static void two_count_once(const void *arg)
{
	struct pool p;
	u32 a;

	(void)arg;
	pool_make_gib(&p, 1);
	a = pool_file(&p);
	CHECK_EQ(pool_reserve(&p, a, 0, 300), 0);
	CHECK_EQ(pool_reserve(&p, a, 200, 300), 0);
	CHECK_EQ(p.t.promised_blocks, 500);
	CHECK_EQ(pool_covers(&p, a), 3);
	CHECK_EQ(pool_reserve(&p, a, 0, 500), 0);
	CHECK_EQ(p.t.promised_blocks, 500);
	pool_unreserve(&p, a, 0, 300);
	CHECK_EQ(p.t.promised_blocks, 500);
	pool_unreserve(&p, a, 0, 500);
	CHECK_EQ(p.t.promised_blocks, 300);
	CHECK_EQ(pool_covers(&p, a), 1);
	pool_check(&p);
	pool_unreserve(&p, a, 200, 300);
	CHECK_EQ(p.t.promised_blocks, 0);
	CHECK_EQ(pool_covers(&p, a), 0);
	pool_free(&p);
}

/* Adjacent reservations are one range. */
static void ranges_are_merged(const void *arg)
{
	struct pool p;
	u32 a, i;

	(void)arg;
	pool_make_gib(&p, 1);
	a = pool_file(&p);
	for (i = 0; i < MANY; i++)
		CHECK_EQ(pool_reserve(&p, a, i * 77 % MANY, 1), 0);
	CHECK_EQ(pool_covers(&p, a), 1);
	CHECK_EQ(p.t.promised_blocks, MANY);
	for (i = 0; i < MANY; i++)
		pool_unreserve(&p, a, i * 33 % MANY, 1);
	CHECK_EQ(pool_covers(&p, a), 0);
	CHECK_EQ(p.t.promised_blocks, 0);
	pool_free(&p);
}

/* Blocks freed by a hole are reserved for the file again, until the reservation is released. */
static void punched_stays_promised(const void *arg)
{
	struct pool p;
	u32 a, b;

	(void)arg;
	pool_make_gib(&p, 1);
	a = pool_file(&p);
	b = pool_file(&p);
	CHECK_EQ(pool_fill(&p, a, 0, GROUP), 0);
	CHECK_EQ(pool_reserve(&p, a, 0, GROUP / 2), 0);
	CHECK_EQ(pool_punch(&p, a, 0, GROUP), 0);
	CHECK_EQ(p.t.promised_blocks, GROUP / 2);
	CHECK_EQ(pool_fill(&p, b, 0, GROUP / 2 + 1), -ENOSPC);
	CHECK_EQ(pool_fill(&p, b, 0, GROUP / 2), 0);
	CHECK_EQ(pool_fill(&p, a, 0, GROUP / 2), 0);
	/* Instead of pinned blocks, others are reserved. There is none for the first block. */
	CHECK_EQ(pool_punch(&p, b, 1, GROUP / 2 - 1), 0);
	CHECK_EQ(pool_pin(&p, a, 0, GROUP / 2 * GUESTMEMFS_BLOCK_PAGES), 0);
	CHECK_EQ(pool_punch(&p, a, 0, GROUP / 2), -ENOSPC);
	CHECK_EQ(p.t.promised_blocks, 0);
	CHECK_EQ(p.t.detached.blocks, 0);
	CHECK_EQ(pool_punch(&p, a, 1, GROUP / 2 - 1), 0);
	CHECK_EQ(p.t.promised_blocks, GROUP / 2 - 1);
	CHECK_EQ(gmfs_blocks_left(&p.t), 0);
	CHECK_EQ(pool_fill(&p, b, GROUP / 2, 1), -ENOSPC);
	pool_check(&p);
	pool_end_pins(&p);
	pool_settle(&p);
	CHECK_EQ(p.t.promised_blocks, GROUP / 2 - 1);
	CHECK_EQ(pool_fill(&p, b, 1, GROUP / 2), -ENOSPC);
	CHECK_EQ(pool_fill(&p, b, 1, GROUP / 2 - 1), 0);
	CHECK_EQ(pool_fill(&p, a, 0, GROUP / 2), 0);
	pool_unreserve(&p, a, 0, GROUP / 2);
	pool_check(&p);
	pool_free(&p);
}

/* Reservations at the end of the largest file, and of more blocks than any pool has. */
static void edges(const void *arg)
{
	const u64 top = GMFS_MAX_LOGICAL;
	struct pool p;
	u32 a;

	(void)arg;
	pool_make_gib(&p, 1);
	a = pool_file(&p);
	CHECK_EQ(pool_reserve(&p, a, 0, top), -ENOSPC);
	CHECK_EQ(pool_covers(&p, a), 0);
	CHECK_EQ(pool_reserve(&p, a, top - GROUP, GROUP), 0);
	CHECK_EQ(pool_reserve(&p, a, top - 1, 1), 0);
	CHECK_EQ(pool_reserve(&p, a, 0, 1), -ENOSPC);
	CHECK_EQ(pool_fill(&p, a, top - GROUP, GROUP), 0);
	CHECK_EQ(pool_reserve(&p, a, 0, 1), -ENOSPC);
	CHECK_EQ(pool_reserve(&p, a, 7, 0), 0);
	pool_unreserve(&p, a, 7, 0);
	pool_unreserve(&p, a, top - 1, 1);
	CHECK_EQ(pool_covers(&p, a), 1);
	pool_unreserve(&p, a, top - GROUP, GROUP);
	pool_check(&p);
	pool_free(&p);
}

/*
 * More reserved ranges than one step under gmfs_pool.lock handles: a fill and a punch need several
 * steps, and the extents must be joined in the end.
 */
static void many_ranges(const void *arg)
{
	struct pool p;
	u32 a, i;

	(void)arg;
	pool_make_gib(&p, 1);
	a = pool_file(&p);
	pool_size(&p, a, GROUP);
	for (i = 0; i < MANY; i++)
		CHECK_EQ(pool_reserve(&p, a, i * 2, 1), 0);
	CHECK_EQ(pool_covers(&p, a), MANY);
	CHECK_EQ(pool_fill(&p, a, 0, GROUP), 0);
	CHECK_EQ(p.t.promised_blocks, 0);
	CHECK_EQ(pool_extents(&p, a), 1);
	pool_check(&p);
	CHECK_EQ(pool_punch(&p, a, 0, GROUP), 0);
	CHECK_EQ(p.t.promised_blocks, MANY);
	CHECK_EQ(pool_extents(&p, a), 0);
	pool_check(&p);
	for (i = 0; i < MANY; i++)
		pool_unreserve(&p, a, i * 2, 1);
	CHECK_EQ(p.t.promised_blocks, 0);
	pool_free(&p);
}

/* A fill in progress keeps its blocks reserved, even if mappings begin and end meanwhile. */
static void fill_and_mappings(const void *arg)
{
	struct gmfs_fill fill = {};
	struct pool p;
	u32 a, b;

	(void)arg;
	pool_make_gib(&p, 1);
	a = pool_file(&p);
	b = pool_file(&p);
	fill = (struct gmfs_fill){
		.t = &p.t, .map = &p.map[a], .ino = p.ino[a], .from = 0, .end = GROUP,
	};
	CHECK_EQ(pool_reserve(&p, a, 0, 100), 0);
	CHECK_EQ(gmfs_fill_cover(&fill), 0);
	CHECK_EQ(fill.missing, GROUP);
	CHECK_EQ(fill.uncovered, GROUP - 100);
	CHECK_EQ(gmfs_fill_begin(&fill), 0);
	CHECK_EQ(gmfs_blocks_left(&p.t), 0);
	pool_unreserve(&p, a, 0, 100);
	CHECK_EQ(pool_fill(&p, b, 0, 1), -ENOSPC);
	/* A fault, and a reservation of blocks that the fill has reserved already. */
	CHECK_EQ(pool_fill(&p, a, 300, 1), 0);
	CHECK_EQ(pool_reserve(&p, a, 200, 200), 0);
	CHECK_EQ(p.t.promised_blocks, GROUP - 1);
	/* The fill is given up. */
	gmfs_fill_uncover(&fill);
	gmfs_fill_end(&fill);
	CHECK_EQ(p.t.promised_blocks, 199);
	CHECK_EQ(pool_fill(&p, b, 0, GROUP - 199), -ENOSPC);
	CHECK_EQ(gmfs_fill_cover(&fill), 0);
	CHECK_EQ(gmfs_fill_begin(&fill), 0);
	while (gmfs_fill_step(&fill) > 0)
		;
	CHECK_EQ(p.t.free_blocks, 0);
	gmfs_fill_uncover(&fill);
	gmfs_fill_end(&fill);
	CHECK_EQ(gmfs_map_edit(&p.t, &p.map[a], GMFS_ABORT, 0, GROUP), 0);
	CHECK_EQ(p.t.free_blocks, GROUP - 1);
	CHECK_EQ(p.t.promised_blocks, 199);
	/* A fill that there is no room for. */
	CHECK_EQ(pool_fill(&p, b, 0, 1), 0);
	CHECK_EQ(gmfs_fill_cover(&fill), 0);
	CHECK_EQ(gmfs_fill_begin(&fill), -ENOSPC);
	gmfs_fill_uncover(&fill);
	CHECK_EQ(pool_covers(&p, a), 1);
	pool_unreserve(&p, a, 200, 200);
	pool_check(&p);
	pool_free(&p);
}

/* Lets each allocation of a reservation fail in turn. Returns the number of allocations. */
static u32 reserve_failing(struct pool *p, u32 file, u64 from, u64 count)
{
	u32 covers = pool_covers(p, file), promised = p->t.promised_blocks, fail;
	int err;

	for (fail = 1; ; fail++) {
		shim_allocations = 0;
		shim_fail_from = fail;
		err = pool_reserve(p, file, from, count);
		shim_fail_from = 0;
		if (!err)
			return fail - 1;
		CHECK_EQ(err, -ENOMEM);
		CHECK_EQ(pool_covers(p, file), covers);
		CHECK_EQ(p->t.promised_blocks, promised);
		pool_check(p);
	}
}

/* Releasing a reservation must not fail, even if no allocation succeeds. */
static void unreserve_failing(struct pool *p, u32 file, u64 from, u64 count)
{
	shim_allocations = 0;
	shim_fail_from = 1;
	pool_unreserve(p, file, from, count);
	shim_fail_from = 0;
}

/* If an allocation fails, nothing is reserved. */
static void without_memory(const void *arg)
{
	u32 a, i, failed = 0;
	struct pool p;

	(void)arg;
	pool_make_gib(&p, 1);
	a = pool_file(&p);
	for (i = 0; i < MANY; i++)
		CHECK_EQ(pool_reserve(&p, a, i * 2, 1), 0);
	for (i = 0; i < MANY; i++) {
		failed += reserve_failing(&p, a, i, MANY + i % 7);
		if (i % 3)
			unreserve_failing(&p, a, i, MANY + i % 7);
		pool_check(&p);
	}
	CHECK(failed > 20);
	for (i = 0; i < MANY; i++) {
		unreserve_failing(&p, a, i * 2, 1);
		if (i % 3 == 0)
			unreserve_failing(&p, a, i, MANY + i % 7);
	}
	CHECK_EQ(pool_covers(&p, a), 0);
	CHECK_EQ(p.t.promised_blocks, 0);
	pool_free(&p);
}

void reserve_tests(void)
{
	TEST(others_get_nothing);
	TEST(two_count_once);
	TEST(ranges_are_merged);
	TEST(punched_stays_promised);
	TEST(edges);
	TEST(many_ranges);
	TEST(fill_and_mappings);
	TEST(without_memory);
}
