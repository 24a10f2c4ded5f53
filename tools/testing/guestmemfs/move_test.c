// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests moves of blocks from one file to another, and exchanges. states-random.c and
 * reserve-random.c compare random ones with a model.
 */
#include <stdlib.h>

#include "../../../fs/guestmemfs/tables/extmap.h"
#include "states.h"

/* Moves blocks from file 0 to file 1, and checks the tables after each step. Returns the steps. */
static u32 move_in_steps(struct pool *p, u64 from, u64 to, u64 count)
{
	struct gmfs_move mv = pool_exchange(p, 0, from, 1, to, count);
	u64 all = p->map[0].blocks + p->map[1].blocks;
	struct gmfs_complaint c = {};
	struct gmfs_index index;
	u32 steps = 0;
	bool more;

	gmfs_move_count(&mv);
	CHECK_EQ(gmfs_move_begin(&mv), 0);
	do {
		more = gmfs_move_step(&mv);
		steps++;
		CHECK_EQ(gmfs_check(&p->t, &index, &c), 0);
		gmfs_index_free(&index);
		CHECK_EQ(p->map[0].blocks + p->map[1].blocks, all);
		CHECK_EQ(p->t.free_blocks + all, p->t.total_blocks);
	} while (more);
	gmfs_move_end(&mv);
	CHECK_EQ(mv.from, count);
	pool_check(p);
	return steps;
}

/* 64 GiB take one step, remain one extent that can be mapped by 1 GiB, and belong to the file. */
static void move_gigabytes(const void *arg)
{
	struct gmfs_entry entry;
	struct pool p;
	u32 a, b, i, block;

	(void)arg;
	pool_make_gib(&p, 66);
	a = pool_file(&p);
	b = pool_file(&p);
	pool_size(&p, a, 64 * GROUP);
	pool_size(&p, b, 65 * GROUP);
	CHECK_EQ(pool_fill(&p, a, 0, 64 * GROUP), 0);
	block = pool_block(&p, a, 0);
	CHECK_EQ(move_in_steps(&p, 0, GROUP, 64 * GROUP), 1);
	CHECK_EQ(p.map[a].blocks, 0);
	CHECK_EQ(pool_extents(&p, a), 0);
	CHECK_EQ(pool_extents(&p, b), 1);
	for (i = 1; i <= 64; i++) {
		CHECK(gmfs_map_entry(&p.t, &p.map[b], i * PAGES_GIB, BIT(18) | BIT(9), &entry));
		CHECK_EQ(entry.order, 18);
		CHECK_EQ(entry.block, block + (i - 1) * GROUP);
	}
	/* A hole is filled with what it had: the group is its new owner's. */
	CHECK_EQ(pool_punch(&p, b, 5 * GROUP + 7, 3), 0);
	CHECK_EQ(pool_fill(&p, a, 0, 100), 0);
	CHECK(pool_block(&p, a, 0) >= 64 * GROUP);
	CHECK_EQ(pool_fill(&p, b, 5 * GROUP + 7, 3), 0);
	CHECK_EQ(pool_block(&p, b, 5 * GROUP + 7), block + 4 * GROUP + 7);
	pool_reopen(&p);
	CHECK_EQ(pool_block(&p, b, GROUP), block);
	pool_check(&p);
	pool_free(&p);
}

/*
 * A gigabyte that is moved block by block, in a random order, belongs to its new owner in the end,
 * though it had an owner for each part of the way: a hole is filled with what it had.
 */
static void move_piecewise(const void *arg)
{
	u32 a, b, i, block;
	struct pool p;

	(void)arg;
	pool_make_gib(&p, 2);
	a = pool_file(&p);
	b = pool_file(&p);
	pool_size(&p, a, GROUP);
	pool_size(&p, b, GROUP);
	CHECK_EQ(pool_fill(&p, a, 0, GROUP), 0);
	block = pool_block(&p, a, 0);
	for (i = 0; i < GROUP; i++) {
		CHECK_EQ(pool_move(&p, a, 37 * i % GROUP, b, 37 * i % GROUP, 1, false), 0);
		recount(&p.t);
	}
	pool_check(&p);
	CHECK_EQ(pool_extents(&p, b), 1);
	CHECK_EQ(pool_punch(&p, b, 100, 3), 0);
	CHECK_EQ(pool_fill(&p, a, 0, 5), 0);
	CHECK(pool_block(&p, a, 0) / GROUP != block / GROUP);
	CHECK_EQ(pool_fill(&p, b, 100, 3), 0);
	CHECK_EQ(pool_block(&p, b, 100), block + 100);
	CHECK_EQ(pool_extents(&p, b), 1);
	pool_free(&p);
}

/* Many small extents, of which every second one has converted pages. */
static void move_pieces(const void *arg)
{
	const u64 nr = 200;
	u32 blocks[200], b, i;
	struct pool p;

	(void)arg;
	CHECK_EQ(states_pool(&p, 2), 0);
	b = pool_file(&p);
	for (i = 0; i < nr; i++) {
		CHECK_EQ(pool_fill(&p, 0, 2 * i, 1), 0);
		blocks[i] = pool_block(&p, 0, 2 * i);
		if (i % 2)
			CHECK_EQ(pool_convert(&p, 0, 2 * i * PAGES, (2 * i + 1) * PAGES, true), 0);
	}
	CHECK_EQ(pool_convert(&p, b, 0, 700 * PAGES, true), 0);
	CHECK(move_in_steps(&p, 0, 300, 2 * nr) > 5);
	for (i = 0; i < nr; i++) {
		CHECK_EQ(pool_block(&p, b, 300 + 2 * i), blocks[i]);
		states_run_is(&p, b, 300 + 2 * i, 1, ALLOCATED | CONVERTED);
		states_run_is(&p, b, 301 + 2 * i, 1, CONVERTED);
		CHECK_EQ(pool_block(&p, 0, 2 * i), GMFS_NO_BLOCK);
		if (i % 2)
			states_run_is(&p, 0, 2 * i, 1, CONVERTED);
	}
	/* And back, which leaves the states as they were. */
	CHECK_EQ(pool_move(&p, b, 300, 0, 0, 2 * nr, false), 0);
	states_run_is(&p, b, 0, 700, CONVERTED);
	CHECK_EQ(pool_extents(&p, b), 1);
	CHECK_EQ(pool_extents(&p, 0), nr);
	pool_check(&p);
	pool_free(&p);
}

/* Blocks with pages of both kinds exchange their frames; the pages stay what they are. */
static void move_mixed(const void *arg)
{
	struct pool p;
	u32 a, b, x, y;

	(void)arg;
	a = states_pool(&p, 1);
	b = pool_file(&p);
	CHECK_EQ(pool_fill(&p, a, 0, 3), 0);
	CHECK_EQ(pool_fill(&p, b, 0, 2), 0);
	CHECK_EQ(pool_convert(&p, a, PAGES + 5, PAGES + 9, true), 0);
	CHECK_EQ(pool_convert(&p, b, PAGES + 300, PAGES + 301, true), 0);
	CHECK_EQ(pool_convert(&p, b, 2 * PAGES + 1, 2 * PAGES + 2, true), 0);
	x = pool_block(&p, a, 0);
	y = pool_block(&p, b, 0);
	CHECK_EQ(pool_move(&p, a, 0, b, 0, 3, true), 0);
	CHECK_EQ(pool_block(&p, a, 0), y);
	CHECK_EQ(pool_block(&p, a, 1), y + 1);
	CHECK_EQ(pool_block(&p, a, 2), GMFS_NO_BLOCK);
	CHECK_EQ(pool_block(&p, b, 0), x);
	CHECK_EQ(pool_block(&p, b, 2), x + 2);
	states_page_is(&p, a, PAGES + 5, PAGES + 9, ALLOCATED | CONVERTED);
	states_page_is(&p, b, PAGES + 300, PAGES + 301, ALLOCATED | CONVERTED);
	states_page_is(&p, b, 2 * PAGES + 1, 2 * PAGES + 2, ALLOCATED | CONVERTED);
	CHECK(test_bit(x, p.t.unzeroed) && test_bit(x + 2, p.t.unzeroed));
	CHECK(test_bit(y, p.t.unzeroed) && test_bit(y + 1, p.t.unzeroed));
	CHECK_EQ(states_used_maps(&p), 1 + 3);
	pool_check(&p);
	pool_reopen(&p);
	pool_check(&p);
	pool_free(&p);
}

/* Contents are kept: only blocks that were unzeroed before are so after the move. */
static void move_keeps(const void *arg)
{
	struct pool p;
	u32 a, b, i;

	(void)arg;
	pool_make_gib(&p, 1);
	a = pool_file(&p);
	b = pool_file(&p);
	CHECK_EQ(pool_fill(&p, a, 0, 71), 0);
	for (i = 0; i < 71; i++)
		clear_bit(pool_block(&p, a, i), p.t.unzeroed);
	set_bit(pool_block(&p, a, 33), p.t.unzeroed);
	CHECK_EQ(pool_move(&p, a, 0, b, 7, 70, false), 0);
	for (i = 0; i < 70; i++)
		CHECK_EQ(test_bit(pool_block(&p, b, 7 + i), p.t.unzeroed), i == 33);
	CHECK_EQ(pool_move(&p, a, 0, b, 7, 70, true), 0);
	for (i = 0; i < 70; i++)
		CHECK(test_bit(pool_block(&p, a, i), p.t.unzeroed));
	CHECK(!test_bit(pool_block(&p, a, 70), p.t.unzeroed));
	pool_free(&p);
}

/* Parts of one file that touch each other, in both orders, with and without states. */
static void move_within(const void *arg)
{
	const u64 parts[][2] = { { 10, 20 }, { 20, 10 }, { 10, 40 }, { 0, 10 }, { 30, 20 } };
	u32 i, block[60], kind;
	struct gmfs_state s;
	struct pool p;
	u64 at, x, y;

	(void)arg;
	for (kind = 0; kind < 16; kind++) {
		CHECK_EQ(states_pool(&p, 1), 0);
		for (i = 0; i < 4; i++)
			if (kind & BIT(i))
				CHECK_EQ(pool_fill(&p, 0, 10 * i + i % 2, 10 - i % 2), 0);
		CHECK_EQ(pool_convert(&p, 0, (kind % 3 ? 15 : 0) * PAGES, 23 * PAGES, true), 0);
		for (i = 0; i < ARRAY_SIZE(parts); i++) {
			for (at = 0; at < 60; at++)
				block[at] = pool_block(&p, 0, at);
			CHECK_EQ(pool_move(&p, 0, parts[i][0], 0, parts[i][1], 10, false), 0);
			pool_check(&p);
			for (at = 0; at < 10; at++) {
				x = parts[i][0] + at;
				y = parts[i][1] + at;
				CHECK_EQ(pool_block(&p, 0, x), block[y]);
				CHECK_EQ(pool_block(&p, 0, y), block[x]);
			}
			gmfs_map_state(&p.t, &p.map[0], 15 * PAGES, &s);
			CHECK(s.converted);
			gmfs_map_state(&p.t, &p.map[0], 23 * PAGES, &s);
			CHECK(!s.converted);
		}
		CHECK_EQ(p.t.promised_blockless, 0);
		pool_free(&p);
	}
}

/* To the last block of the largest file. */
static void move_to_end(const void *arg)
{
	const u64 last = GMFS_MAX_LOGICAL - 10;
	struct pool p;
	u32 a, b;

	(void)arg;
	a = states_pool(&p, 1);
	b = pool_file(&p);
	CHECK_EQ(pool_fill(&p, a, 0, 10), 0);
	CHECK_EQ(pool_convert(&p, b, (last + 3) * PAGES, TOP, true), 0);
	CHECK_EQ(move_in_steps(&p, 0, last, 10), 1);
	states_run_is(&p, b, last + 3, 7, ALLOCATED | CONVERTED);
	CHECK_EQ(pool_move(&p, b, last, a, 0, 10, false), 0);
	CHECK_EQ(p.map[a].blocks, 10);
	CHECK_EQ(pool_extents(&p, b), 1);
	pool_check(&p);
	pool_free(&p);
}

/* A part that stays reserved needs other blocks; the new place needs none any more. */
static void move_reserved(const void *arg)
{
	struct pool_copy copy;
	struct pool p;
	u32 a, b;

	(void)arg;
	pool_make_gib(&p, 1);
	a = pool_file(&p);
	b = pool_file(&p);
	CHECK_EQ(pool_fill(&p, a, 0, 300), 0);
	CHECK_EQ(pool_reserve(&p, a, 0, 300), 0);
	pool_keep(&p, &copy);
	CHECK_EQ(pool_move(&p, a, 0, b, 0, 213, false), -ENOSPC);
	pool_unchanged(&p, &copy);
	CHECK_EQ(p.t.promised_blocks, 0);
	CHECK_EQ(pool_move(&p, a, 0, b, 0, 212, false), 0);
	CHECK_EQ(p.t.promised_blocks, 212);
	CHECK_EQ(gmfs_blocks_left(&p.t), 0);
	/* The way back needs nothing, and releases what is reserved. */
	CHECK_EQ(pool_move(&p, b, 0, a, 0, 212, false), 0);
	CHECK_EQ(p.t.promised_blocks, 0);
	/* Both places are reserved. */
	CHECK_EQ(pool_reserve(&p, b, 0, 212), 0);
	CHECK_EQ(gmfs_blocks_left(&p.t), 0);
	CHECK_EQ(pool_move(&p, a, 0, b, 0, 212, false), 0);
	CHECK_EQ(p.t.promised_blocks, 212);
	/* A part that gets blocks later does not help a part that loses blocks before. */
	CHECK_EQ(pool_fill(&p, a, 0, 100), 0);
	CHECK_EQ(pool_punch(&p, b, 112, 100), 0);
	CHECK_EQ(p.t.promised_blocks, 212);
	pool_unreserve(&p, b, 0, 100);
	CHECK_EQ(pool_fill(&p, b, 300, 0 + gmfs_blocks_left(&p.t)), 0);
	CHECK_EQ(gmfs_blocks_left(&p.t), 0);
	CHECK_EQ(pool_move(&p, b, 0, b, 112, 100, false), 0);
	CHECK_EQ(p.t.promised_blocks, 112);
	pool_check(&p);
	pool_free(&p);
	free(copy.meta);
}

/* An extent table without room for one more extent without blocks. */
static void move_full(const void *arg)
{
	struct pool_copy copy;
	struct pool p;
	u32 a, b, nr;

	(void)arg;
	a = states_pool(&p, 1);
	b = pool_file(&p);
	CHECK_EQ(pool_fill(&p, a, 0, 10), 0);
	CHECK_EQ(pool_convert(&p, a, 2 * PAGES, 5 * PAGES, true), 0);
	CHECK_EQ(pool_convert(&p, b, 0, 5 * PAGES, true), 0);
	CHECK_EQ(pool_convert(&p, b, 10 * PAGES, 30 * PAGES, true), 0);
	nr = p.t.nr_extents;
	p.t.nr_extents = p.t.total_blocks + GMFS_SPARE_EXTENTS + 2;
	pool_keep(&p, &copy);
	CHECK_EQ(pool_move(&p, a, 0, b, 40, 10, false), -ENOSPC);
	CHECK_EQ(pool_move(&p, a, 5, b, 15, 5, false), -ENOSPC);
	pool_unchanged(&p, &copy);
	/* One more here, and one less there. */
	CHECK_EQ(pool_move(&p, a, 0, b, 0, 5, false), 0);
	p.t.nr_extents = nr;
	states_run_is(&p, a, 2, 3, CONVERTED);
	pool_check(&p);
	pool_free(&p);
	free(copy.meta);
}

/*
 * A move that adds extents without blocks at first, and takes as many away later, needs room for
 * them in between. Each part has @nr blocks with states and then as many without.
 */
static void move_peak(const void *arg)
{
	const u32 nr = 200;
	struct pool_copy copy;
	u32 a, b, i, room;
	struct pool p;

	(void)arg;
	a = states_pool(&p, 2);
	b = pool_file(&p);
	CHECK_EQ(pool_fill(&p, a, 0, nr), 0);
	CHECK_EQ(pool_fill(&p, b, nr, nr), 0);
	for (i = 0; i < 2 * nr; i++)
		CHECK_EQ(pool_convert(&p, a, i * PAGES + 1, i * PAGES + 2, true), 0);
	CHECK_EQ(p.t.nr_blockless, nr);
	room = p.t.nr_extents;
	for (i = 0; i <= nr; i += nr / 2) {
		p.t.nr_extents = p.t.total_blocks + GMFS_SPARE_EXTENTS + nr + i;
		pool_keep(&p, &copy);
		if (i < nr) {
			CHECK_EQ(pool_move(&p, a, 0, b, 0, 2 * nr, true), -ENOSPC);
			pool_unchanged(&p, &copy);
		} else {
			CHECK_EQ(pool_move(&p, a, 0, b, 0, 2 * nr, true), 0);
		}
		free(copy.meta);
	}
	p.t.nr_extents = room;
	CHECK_EQ(p.t.nr_blockless, nr);
	pool_check(&p);
	pool_free(&p);
}

/* The largest file has two extents without blocks, which cannot be merged. */
static void move_long(const void *arg)
{
	const u64 half = GMFS_MAX_LOGICAL / 2;
	struct pool p;
	u32 a, b, nr;

	(void)arg;
	a = states_pool(&p, 1);
	b = pool_file(&p);
	CHECK_EQ(pool_convert(&p, b, 0, TOP, true), 0);
	CHECK_EQ(pool_extents(&p, b), 2);
	CHECK_EQ(pool_fill(&p, a, 1, 1), 0);
	nr = p.t.nr_extents;
	p.t.nr_extents = p.t.total_blocks + GMFS_SPARE_EXTENTS + 2;
	if (pool_move(&p, a, 0, b, half, 2, false)) {
		p.t.nr_extents++;
		CHECK_EQ(pool_move(&p, a, 0, b, half, 2, false), 0);
	}
	p.t.nr_extents = nr;
	pool_check(&p);
	pool_free(&p);
}

void move_tests(void)
{
	TEST(move_gigabytes);
	TEST(move_piecewise);
	TEST(move_pieces);
	TEST(move_mixed);
	TEST(move_keeps);
	TEST(move_within);
	TEST(move_to_end);
	TEST(move_reserved);
	TEST(move_full);
	TEST(move_peak);
	TEST(move_long);
}
