// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests operations in several steps, with full tables: other operations that come between two steps
 * must not take entries that the first one needs.
 */
#include "states.h"
#include "test.h"

/* Makes a pool with 64 blocks, 511 maps, and room for 960 extents without blocks. */
static void steps_pool(struct pool *p)
{
	const struct gmfs_range range = { 896 * MIB, 128 * MIB };

	pool_make(p, &range, 1);
}

static void steps_full_of_states(struct pool *p, u32 file, u32 left)
{
	u64 i;

	for (i = 0; p->t.nr_blockless + left < 960; i++)
		CHECK_EQ(pool_convert(p, file, 2 * i * PAGES, (2 * i + 1) * PAGES, true), 0);
}

static void steps_begin(struct gmfs_edit *ed)
{
	gmfs_edit_count(ed);
	CHECK_EQ(gmfs_edit_begin(ed), 0);
}

static void steps_end(struct gmfs_edit *ed)
{
	while (gmfs_edit_step(ed))
		;
	gmfs_edit_end(ed);
}

/* A conversion frees one map in a middle step, and needs it again in the last step. */
static void maps_are_not_stolen(const void *arg)
{
	struct gmfs_edit ed;
	struct pool p;
	u32 a, b;
	u64 i;

	(void)arg;
	steps_pool(&p);
	a = pool_file(&p);
	b = pool_file(&p);
	CHECK_EQ(pool_convert(&p, a, PAGES + 1, PAGES + 2, true), 0);
	for (i = 1; i < 100; i++)
		CHECK_EQ(pool_convert(&p, a, 2 * i * PAGES, (2 * i + 1) * PAGES, true), 0);
	for (i = 0; i < 510; i++)
		CHECK_EQ(pool_convert(&p, b, i * PAGES + 1, i * PAGES + 2, true), 0);
	CHECK_EQ(p.t.free_maps, 0);
	ed = pool_edit(&p, a, GMFS_CONVERT, 1, 250 * PAGES);
	ed.converted = true;
	steps_begin(&ed);
	CHECK(gmfs_edit_step(&ed));
	CHECK_EQ(p.t.free_maps, 1);
	CHECK_EQ(pool_convert(&p, b, 600 * PAGES + 1, 600 * PAGES + 2, true), -ENOSPC);
	steps_end(&ed);
	CHECK_EQ(p.t.free_maps, 0);
	states_run_is(&p, a, 0, 1, MIXED);
	pool_check(&p);
	pool_free(&p);
}

/* A conversion joins extents without blocks, and needs the entries for holes in later steps. */
static void states_are_not_stolen(const void *arg)
{
	struct gmfs_edit ed;
	u32 a, b, states;
	struct pool p;
	u64 i;

	(void)arg;
	steps_pool(&p);
	a = pool_file(&p);
	b = pool_file(&p);
	for (i = 0; i < 100; i++)
		CHECK_EQ(pool_convert(&p, a, i * PAGES + 1, i * PAGES + 2, true), 0);
	for (i = 0; i < 60; i++)
		CHECK_EQ(pool_fill(&p, a, 101 + 2 * i, 1), 0);
	steps_full_of_states(&p, b, 0);
	CHECK_EQ(pool_convert(&p, b, TOP - PAGES, TOP, true), -ENOSPC);
	ed = pool_edit(&p, a, GMFS_CONVERT, 0, 221 * PAGES);
	ed.converted = true;
	steps_begin(&ed);
	CHECK(gmfs_edit_step(&ed));
	states = p.t.nr_blockless;
	CHECK(states < 960);
	CHECK_EQ(pool_convert(&p, b, TOP - PAGES, TOP, true), -ENOSPC);
	steps_end(&ed);
	CHECK(p.t.nr_blockless > states);
	pool_check(&p);
	CHECK_EQ(pool_convert(&p, b, TOP - PAGES, TOP, true), 0);
	pool_check(&p);
	pool_free(&p);
}

static struct gmfs_fill steps_fill(struct pool *p, u32 file, u64 from, u64 end)
{
	struct gmfs_fill fill = {
		.t	= &p->t,
		.map	= &p->map[file],
		.ino	= p->ino[file],
		.from	= from,
		.end	= end,
		.more	= true,
	};

	CHECK_EQ(gmfs_fill_cover(&fill), 0);
	CHECK_EQ(gmfs_fill_begin(&fill), 0);
	return fill;
}

/* As in gmfs_file_filled(), no other operation may come between gmfs_fill_end() and the edit. */
static void steps_undo(struct pool *p, u32 file, struct gmfs_fill *fill)
{
	struct gmfs_edit ed = pool_edit(p, file, GMFS_ABORT, fill->from * PAGES, fill->end * PAGES);

	gmfs_fill_uncover(fill);
	gmfs_edit_count(&ed);
	gmfs_fill_end(fill);
	CHECK_EQ(gmfs_edit_begin(&ed), 0);
	steps_end(&ed);
}

/* A fill frees the entries of holes. They stay reserved, since undoing the fill needs them. */
static void states_are_kept_for_the_undoing(const void *arg)
{
	struct gmfs_fill fill;
	struct pool p;
	u32 a, b;

	(void)arg;
	steps_pool(&p);
	a = pool_file(&p);
	b = pool_file(&p);
	CHECK_EQ(pool_convert(&p, a, 0, 50 * PAGES, true), 0);
	steps_full_of_states(&p, b, 0);
	fill = steps_fill(&p, a, 0, 50);
	CHECK_EQ(gmfs_fill_step(&fill), 0);
	CHECK_EQ(p.t.nr_blockless, 959);
	CHECK_EQ(pool_convert(&p, b, TOP - PAGES, TOP, true), -ENOSPC);
	steps_undo(&p, a, &fill);
	CHECK_EQ(p.t.nr_blockless, 960);
	CHECK_EQ(p.t.free_blocks, 64);
	states_run_is(&p, a, 0, 50, CONVERTED);
	pool_check(&p);
	pool_free(&p);
}

/* A fault in a part that a fill in progress has not reached gets a block reserved for the fill. */
static void faults_draw_on_fills(const void *arg)
{
	struct gmfs_fill fill;
	struct pool p;
	u32 a, b;

	(void)arg;
	steps_pool(&p);
	a = pool_file(&p);
	b = pool_file(&p);
	fill = steps_fill(&p, a, 0, 64);
	CHECK_EQ(gmfs_blocks_left(&p.t), 0);
	CHECK_EQ(pool_fill(&p, b, 63, 1), -ENOSPC);
	CHECK_EQ(pool_fill(&p, a, 70, 1), -ENOSPC);
	CHECK_EQ(pool_fill(&p, a, 63, 2), -ENOSPC);
	/* A fault that fails takes no block. */
	shim_allocations = 0;
	shim_fail_from = 1;
	CHECK_EQ(pool_fill(&p, a, 1, 1), -ENOMEM);
	shim_fail_from = 0;
	CHECK_EQ(p.t.promised_blocks, 64);
	CHECK_EQ(pool_fill(&p, a, 63, 1), 0);
	CHECK_EQ(p.t.promised_blocks, 63);
	while (gmfs_fill_step(&fill))
		;
	CHECK_EQ(p.t.promised_blocks, 0);
	steps_undo(&p, a, &fill);
	/* The block of the fault is kept when the fill is undone. */
	CHECK_EQ(p.t.free_blocks, 63);
	CHECK(pool_block(&p, a, 63) != GMFS_NO_BLOCK);
	pool_check(&p);
	pool_free(&p);
}

/* Until a fill has been undone, no other file can allocate its blocks. */
static void fills_that_fail_give_all_back(const void *arg)
{
	struct gmfs_fill fill;
	struct pool p;
	u32 a, b;

	(void)arg;
	steps_pool(&p);
	a = pool_file(&p);
	b = pool_file(&p);
	CHECK_EQ(pool_reserve(&p, a, 0, 10), 0);
	fill = steps_fill(&p, a, 0, 60);
	CHECK_EQ(gmfs_fill_step(&fill), 0);
	CHECK_EQ(p.t.free_blocks, 4);
	CHECK_EQ(p.t.promised_blocks, 0);
	CHECK_EQ(pool_fill(&p, b, 0, 5), -ENOSPC);
	steps_undo(&p, a, &fill);
	/* All blocks are free again, but those of the reservation stay reserved. */
	CHECK_EQ(p.t.free_blocks, 64);
	CHECK_EQ(p.t.promised_blocks, 10);
	CHECK_EQ(pool_fill(&p, b, 0, 55), -ENOSPC);
	CHECK_EQ(pool_fill(&p, b, 0, 54), 0);
	pool_unreserve(&p, a, 0, 10);
	pool_check(&p);
	pool_free(&p);
}

/* The count of an extent has 32 bits, so the largest hole needs two extents. */
static void largest_hole_is_counted(const void *arg)
{
	struct pool p;
	u32 a, b;

	(void)arg;
	steps_pool(&p);
	a = pool_file(&p);
	b = pool_file(&p);
	steps_full_of_states(&p, b, 1);
	CHECK_EQ(pool_convert(&p, a, 0, TOP, true), -ENOSPC);
	CHECK_EQ(pool_convert(&p, b, 0, PAGES, false), 0);
	CHECK_EQ(pool_convert(&p, a, 0, TOP, true), 0);
	CHECK_EQ(pool_extents(&p, a), 2);
	CHECK_EQ(p.t.nr_blockless, 960);
	pool_check(&p);
	/* If one of the two extents exists already, only one more is needed. */
	CHECK_EQ(pool_convert(&p, a, 0, 5 * PAGES, false), 0);
	CHECK_EQ(pool_convert(&p, a, 6 * PAGES, TOP, false), 0);
	CHECK_EQ(p.t.nr_blockless, 959);
	CHECK_EQ(pool_convert(&p, a, 0, TOP, true), 0);
	CHECK_EQ(p.t.nr_blockless, 960);
	pool_check(&p);
	pool_free(&p);
}

void steps_tests(void)
{
	TEST(maps_are_not_stolen);
	TEST(states_are_not_stolen);
	TEST(states_are_kept_for_the_undoing);
	TEST(faults_draw_on_fills);
	TEST(fills_that_fail_give_all_back);
	TEST(largest_hole_is_counted);
}
