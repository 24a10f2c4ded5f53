// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests blocks in files with private and shared pages: allocated, punched, and detached while they
 * are pinned.
 */
#include "states.h"

/*
 * The allocator ignores whether pages are converted: a gigabyte of several kinds gets a whole
 * group, and is one extent when all pages have been converted to one kind.
 */
static void fill_keeps_the_group(const void *arg)
{
	u32 a, b, block, i;
	struct pool p;

	(void)arg;
	a = states_pool(&p, 3);
	b = pool_file(&p);
	/* Break a group: it has a run long enough for each of the pieces, but must not be used. */
	CHECK_EQ(pool_fill(&p, b, 0, 1), 0);
	CHECK_EQ(pool_convert(&p, a, 100 * PAGES + 5, 101 * PAGES + 9, true), 0);
	CHECK_EQ(pool_convert(&p, a, 300 * PAGES, 400 * PAGES, true), 0);
	CHECK_EQ(pool_convert(&p, a, GROUP * PAGES, GROUP * PAGES + 1, true), 0);
	CHECK_EQ(pool_fill(&p, a, 0, 2 * GROUP), 0);
	block = pool_block(&p, a, 0);
	CHECK_EQ(block % GROUP, 0);
	for (i = 0; i < GROUP; i++)
		CHECK_EQ(pool_block(&p, a, i), block + i);
	block = pool_block(&p, a, GROUP);
	CHECK_EQ(block % GROUP, 0);
	for (i = 0; i < GROUP; i++)
		CHECK_EQ(pool_block(&p, a, GROUP + i), block + i);
	pool_check(&p);
	CHECK_EQ(pool_convert(&p, a, 0, 2 * PAGES_GIB, false), 0);
	CHECK_EQ(pool_extents(&p, a), 1);
	pool_free(&p);
}

/* A gigabyte of which all pages are converted gets a whole group, too. */
static void fill_converted_group(const void *arg)
{
	struct pool p;
	u32 a, b;

	(void)arg;
	a = states_pool(&p, 2);
	b = pool_file(&p);
	CHECK_EQ(pool_fill(&p, b, 0, 1), 0);
	CHECK_EQ(pool_convert(&p, a, 0, 2 * PAGES_GIB, true), 0);
	CHECK_EQ(pool_fill(&p, a, GROUP, GROUP), 0);
	states_run_is(&p, a, GROUP, GROUP, ALLOCATED | CONVERTED);
	CHECK_EQ(pool_block(&p, a, GROUP) % GROUP, 0);
	states_run_is(&p, a, 0, GROUP, CONVERTED);
	CHECK_EQ(pool_extents(&p, a), 2);
	pool_check(&p);
	pool_free(&p);
}

/* Punched blocks are allocated in place again, even next to holes of another kind. */
static void fill_in_place(const void *arg)
{
	u32 a, b, block, first = *(const u32 *)arg, i;
	struct pool p;

	a = states_pool(&p, 2);
	b = pool_file(&p);
	CHECK_EQ(pool_fill(&p, a, 0, GROUP), 0);
	CHECK_EQ(pool_fill(&p, b, 0, GROUP), 0);
	block = pool_block(&p, a, 0);
	CHECK_EQ(pool_convert(&p, a, 20 * PAGES + 1, 24 * PAGES, true), 0);
	CHECK_EQ(pool_punch(&p, a, 10, 30), 0);
	/* Punch some blocks of a fuller group: without a goal the allocator would choose those. */
	CHECK_EQ(pool_punch(&p, b, 7, 3), 0);
	for (i = 0; i < 30; i++) {
		u32 at = 10 + (first + i * 7) % 30;

		CHECK_EQ(pool_fill(&p, a, at, 1), 0);
		CHECK_EQ(pool_block(&p, a, at), block + at);
	}
	pool_check(&p);
	CHECK_EQ(pool_convert(&p, a, 0, PAGES_GIB, true), 0);
	CHECK_EQ(pool_extents(&p, a), 1);
	pool_free(&p);
}

static const u32 in_place_first[] = { 0, 11, 29 };

/* The nearest block on either side is the goal, whatever kind of hole lies in between. */
static void fill_beside_states(const void *arg)
{
	struct pool p;
	u32 a, block;

	(void)arg;
	a = states_pool(&p, 2);
	CHECK_EQ(pool_fill(&p, a, 0, 4), 0);
	CHECK_EQ(pool_convert(&p, a, 4 * PAGES, 7 * PAGES + 1, true), 0);
	block = pool_block(&p, a, 0);
	CHECK_EQ(pool_fill(&p, a, 9, 1), 0);
	CHECK_EQ(pool_block(&p, a, 9), block + 9);
	CHECK_EQ(pool_fill(&p, a, 5, 1), 0);
	CHECK_EQ(pool_block(&p, a, 5), block + 5);
	gmfs_map_clear(&p.t, &p.map[a]);
	pool_size(&p, a, GROUP);
	CHECK_EQ(pool_fill(&p, a, GROUP - 4, 4), 0);
	CHECK_EQ(pool_convert(&p, a, (GROUP - 8) * PAGES - 1, (GROUP - 4) * PAGES, true), 0);
	block = pool_block(&p, a, GROUP - 4);
	CHECK_EQ(pool_fill(&p, a, GROUP - 10, 1), 0);
	CHECK_EQ(pool_block(&p, a, GROUP - 10), block - 6);
	pool_check(&p);
	pool_free(&p);
}

/* Punched pages keep their character, and are one extent in whatever order they were punched. */
static void punch_keeps_character(const void *arg)
{
	struct pool p;
	u32 a, i;

	(void)arg;
	a = states_pool(&p, 1);
	CHECK_EQ(pool_fill(&p, a, 0, 40), 0);
	CHECK_EQ(pool_convert(&p, a, 10 * PAGES, 30 * PAGES + 7, true), 0);
	for (i = 0; i < 40; i += 2)
		CHECK_EQ(pool_punch(&p, a, i, 1), 0);
	pool_check(&p);
	for (i = 1; i < 40; i += 2)
		CHECK_EQ(pool_punch(&p, a, i, 1), 0);
	CHECK_EQ(pool_extents(&p, a), 2);
	states_run_is(&p, a, 10, 20, CONVERTED);
	states_run_is(&p, a, 30, 1, MIXED);
	states_page_is(&p, a, 10 * PAGES, 30 * PAGES + 7, CONVERTED);
	CHECK_EQ(p.t.free_blocks, GROUP);
	pool_check(&p);
	pool_reopen(&p);
	states_run_is(&p, a, 10, 20, CONVERTED);
	states_run_is(&p, a, 30, 1, MIXED);
	gmfs_map_clear(&p.t, &p.map[a]);
	CHECK_EQ(p.t.nr_blockless, 0);
	pool_check(&p);
	pool_free(&p);
}

/* The offsets of detached blocks are holes that keep their character, and can be used at once. */
static void detach_and_fill_again(const void *arg)
{
	u32 a, block, i;
	struct pool p;

	(void)arg;
	a = states_pool(&p, 1);
	CHECK_EQ(pool_fill(&p, a, 0, 20), 0);
	block = pool_block(&p, a, 0);
	CHECK_EQ(pool_convert(&p, a, 8 * PAGES, 12 * PAGES + 3, true), 0);
	states_pin(&p, a, 5, 10);
	CHECK_EQ(pool_punch(&p, a, 5, 10), 0);
	states_run_is(&p, a, 5, 3, 0);
	states_run_is(&p, a, 8, 4, CONVERTED);
	states_run_is(&p, a, 12, 1, MIXED);
	states_run_is(&p, a, 13, 2, 0);
	states_page_is(&p, a, 8 * PAGES, 12 * PAGES + 3, CONVERTED);
	CHECK_EQ(p.map[a].blocks, 10);
	/* The blocks are adjacent, and none has a character any more: they are one extent. */
	CHECK_EQ(map_extents(&p.t.detached), 1);
	CHECK_EQ(p.t.detached.blocks, 10);
	CHECK_EQ(p.t.free_blocks, GROUP - 20);
	pool_check(&p);
	/* Convert and fill the holes: the blocks are others. */
	CHECK_EQ(pool_convert(&p, a, 5 * PAGES, 6 * PAGES, true), 0);
	CHECK_EQ(pool_convert(&p, a, 9 * PAGES + 1, 10 * PAGES, false), 0);
	states_run_is(&p, a, 5, 1, CONVERTED);
	states_run_is(&p, a, 9, 1, MIXED);
	CHECK_EQ(pool_fill(&p, a, 0, 15), 0);
	CHECK_EQ(p.t.free_blocks, GROUP - 30);
	for (i = 0; i < 15; i++)
		CHECK_EQ(pool_block(&p, a, i) == block + i, i < 5);
	states_run_is(&p, a, 5, 1, ALLOCATED | CONVERTED);
	states_run_is(&p, a, 9, 1, ALLOCATED | MIXED);
	pool_check(&p);
	/* A punch of the whole file leaves the detached blocks alone. */
	CHECK_EQ(pool_punch(&p, a, 0, 20), 0);
	CHECK_EQ(p.t.free_blocks, GROUP - 10);
	CHECK_EQ(p.t.detached.blocks, 10);
	pool_check(&p);
	/* Blocks without pins are freed, from the middle of the extent. */
	pool_unpin_frames(&p, (block + 9) * PAGES, (block + 11) * PAGES);
	CHECK_EQ(p.t.free_blocks, GROUP - 8);
	CHECK_EQ(map_extents(&p.t.detached), 2);
	states_page_is(&p, a, 8 * PAGES, 9 * PAGES + 1, CONVERTED);
	pool_check(&p);
	pool_unpin_frames(&p, (block + 5) * PAGES, (block + 9) * PAGES);
	pool_unpin_frames(&p, (block + 11) * PAGES, (block + 15) * PAGES);
	CHECK_EQ(p.t.free_blocks, GROUP);
	CHECK_EQ(map_extents(&p.t.detached), 0);
	CHECK_EQ(pool_fill(&p, a, 0, 20), 0);
	pool_check(&p);
	pool_free(&p);
}

/* An operation on no blocks, inside of an extent, changes nothing and takes no entry. */
static void nothing_to_do(const void *arg)
{
	struct gmfs_tables t;
	struct pool p;
	u32 a;

	(void)arg;
	a = states_pool(&p, 1);
	CHECK_EQ(pool_fill(&p, a, 0, 20), 0);
	t = p.t;
	CHECK_EQ(pool_fill(&p, a, 5, 0), 0);
	CHECK_EQ(pool_punch(&p, a, 5, 0), 0);
	CHECK_EQ(pool_pin(&p, a, 5 * PAGES + 3, 5 * PAGES + 3), 0);
	pool_unpin(&p, a, 5 * PAGES + 3, 5 * PAGES + 3);
	pool_settle(&p);
	CHECK_EQ(pool_convert(&p, a, 5 * PAGES + 3, 5 * PAGES + 3, true), 0);
	CHECK(!memcmp(&t, &p.t, sizeof(t)));
	CHECK_EQ(states_used_extents(&p), 1);
	pool_check(&p);
	pool_free(&p);
}

/* The next kernel has no pins, and frees detached blocks. Offsets keep their character. */
static void detached_is_dropped(const void *arg)
{
	struct pool p;
	u32 a, b;

	(void)arg;
	a = states_pool(&p, 1);
	b = pool_file(&p);
	CHECK_EQ(pool_fill(&p, a, 0, 20), 0);
	CHECK_EQ(pool_fill(&p, b, 0, 20), 0);
	CHECK_EQ(pool_convert(&p, a, 8 * PAGES, 30 * PAGES, true), 0);
	CHECK_EQ(pool_convert(&p, a, 17 * PAGES, 17 * PAGES + 1, false), 0);
	states_pin(&p, a, 0, 20);
	CHECK_EQ(pool_punch(&p, a, 0, 3), 0);
	CHECK_EQ(pool_punch(&p, a, 6, 6), 0);
	CHECK_EQ(pool_punch(&p, a, 12, 8), 0);
	CHECK_EQ(map_extents(&p.t.detached), 2);
	pool_reopen(&p);
	CHECK_EQ(p.t.detached.blocks, 17);
	CHECK_EQ(p.t.free_blocks, GROUP - 40);
	pool_settle(&p);
	CHECK_EQ(p.t.detached.blocks, 17);
	pool_check(&p);
	pool_end_pins(&p);
	pool_reopen(&p);
	pool_settle(&p);
	CHECK_EQ(p.t.detached.blocks, 0);
	CHECK_EQ(p.t.free_blocks, GROUP - 23);
	states_run_is(&p, a, 0, 3, 0);
	states_run_is(&p, a, 3, 3, ALLOCATED);
	states_run_is(&p, a, 6, 2, 0);
	states_run_is(&p, a, 8, 9, CONVERTED);
	states_run_is(&p, a, 17, 1, MIXED);
	states_run_is(&p, a, 18, 12, CONVERTED);
	CHECK_EQ(pool_extents(&p, a), 4);
	pool_check(&p);
	pool_free(&p);
}

void states_blocks_tests(void)
{
	u32 i;

	TEST(fill_keeps_the_group);
	TEST(fill_converted_group);
	for (i = 0; i < ARRAY_SIZE(in_place_first); i++)
		test_add(fill_in_place, &in_place_first[i], "fill_in_place: from %u on",
			 in_place_first[i]);
	TEST(fill_beside_states);
	TEST(punch_keeps_character);
	TEST(detach_and_fill_again);
	TEST(nothing_to_do);
	TEST(detached_is_dropped);
}
