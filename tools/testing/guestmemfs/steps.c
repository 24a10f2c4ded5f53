// SPDX-License-Identifier: GPL-2.0-only
/*
 * Changes in steps: what others may do between two of them, with tables that are full.
 */
#include "states.h"
#include "test.h"

/* 64 blocks, 511 maps, and 960 extents without blocks at the most. */
static void steps_pool(struct pool *p)
{
	const struct gmfs_range range = { 896 * MIB, 128 * MIB };

	pool_make(p, &range, 1);
}

static void steps_full_of_states(struct pool *p, u32 file, u32 left)
{
	u64 i;

	for (i = 0; p->t.nr_states + left < 960; i++)
		CHECK_EQ(pool_convert(p, file, 2 * i * PAGES, (2 * i + 1) * PAGES, true), 0);
}

static void steps_begin(struct gmfs_edit *ed)
{
	CHECK_EQ(gmfs_edit_count(ed), 0);
	CHECK_EQ(gmfs_edit_begin(ed), 0);
}

static void steps_end(struct gmfs_edit *ed)
{
	while (gmfs_edit_step(ed))
		;
	gmfs_edit_end(ed);
}

/* One map is given back by a block on the way, and taken by the first block in the end. */
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

/* States that become one are needed again for holes further on. */
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
	states = p.t.nr_states;
	CHECK(states < 960);
	CHECK_EQ(pool_convert(&p, b, TOP - PAGES, TOP, true), -ENOSPC);
	steps_end(&ed);
	CHECK(p.t.nr_states > states);
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

	CHECK_EQ(gmfs_fill_count(&fill), 0);
	CHECK_EQ(gmfs_fill_begin(&fill), 0);
	return fill;
}

/* As the kernel does: nobody comes between the end of the fill and the begin of the edit. */
static void steps_undo(struct pool *p, u32 file, struct gmfs_fill *fill)
{
	struct gmfs_edit ed = pool_edit(p, file, GMFS_ABORT, fill->from * PAGES, fill->end * PAGES);

	CHECK_EQ(gmfs_edit_count(&ed), 0);
	gmfs_fill_end(fill);
	CHECK_EQ(gmfs_edit_begin(&ed), 0);
	steps_end(&ed);
}

/* A fill that is undone needs the states again that it had no need of. */
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
	CHECK_EQ(p.t.nr_states, 959);
	CHECK_EQ(pool_convert(&p, b, TOP - PAGES, TOP, true), -ENOSPC);
	steps_undo(&p, a, &fill);
	CHECK_EQ(p.t.nr_states, 960);
	CHECK_EQ(p.t.free_blocks, 64);
	states_run_is(&p, a, 0, 50, CONVERTED);
	pool_check(&p);
	pool_free(&p);
}

/* A fault where a fill has not come yet gets a block that was promised to the fill. */
static void fills_lend_blocks(const void *arg)
{
	struct gmfs_fill fill;
	struct pool p;
	u64 lent;
	u32 a;

	(void)arg;
	steps_pool(&p);
	a = pool_file(&p);
	fill = steps_fill(&p, a, 0, 64);
	CHECK_EQ(gmfs_blocks_left(&p.t), 0);
	CHECK_EQ(pool_fill(&p, a, 70, 1), -ENOSPC);
	CHECK_EQ(gmfs_fill_lend(&fill, 63, 2), 0);
	lent = gmfs_fill_lend(&fill, 63, 1);
	CHECK_EQ(lent, 1);
	CHECK_EQ(gmfs_blocks_left(&p.t), 1);
	gmfs_fill_return(&fill, lent);
	CHECK_EQ(gmfs_blocks_left(&p.t), 0);
	CHECK_EQ(gmfs_fill_lend(&fill, 63, 1), 1);
	CHECK_EQ(pool_fill(&p, a, 63, 1), 0);
	while (gmfs_fill_step(&fill))
		;
	steps_undo(&p, a, &fill);
	/* What the fault got is not undone. */
	CHECK_EQ(p.t.free_blocks, 63);
	CHECK(pool_block(&p, a, 63) != GMFS_NO_BLOCK);
	pool_check(&p);
	pool_free(&p);
}

/* The count of an extent has 32 bits: the largest hole is two. */
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
	CHECK_EQ(p.t.nr_states, 960);
	pool_check(&p);
	/* With one that is there already there are no more of them. */
	CHECK_EQ(pool_convert(&p, a, 0, 5 * PAGES, false), 0);
	CHECK_EQ(pool_convert(&p, a, 6 * PAGES, TOP, false), 0);
	CHECK_EQ(p.t.nr_states, 959);
	CHECK_EQ(pool_convert(&p, a, 0, TOP, true), 0);
	CHECK_EQ(p.t.nr_states, 960);
	pool_check(&p);
	pool_free(&p);
}

void steps_tests(void)
{
	TEST(maps_are_not_stolen);
	TEST(states_are_not_stolen);
	TEST(states_are_kept_for_the_undoing);
	TEST(fills_lend_blocks);
	TEST(largest_hole_is_counted);
}
