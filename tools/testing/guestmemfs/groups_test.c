// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests groups of blocks and their owners: which files get whole groups, and that the counters of
 * groups are what counting all blocks gives.
 */
#include <stdlib.h>

#include "../../../fs/guestmemfs/tables/groups.h"
#include "tables_pool.h"

/* Returns how many of the first groups of a file can be mapped by entries of 1 GiB. */
static u32 whole_groups(struct pool *p, u32 file, u32 groups)
{
	u32 i, nr = 0;

	for (i = 0; i < groups; i++) {
		struct gmfs_run run;

		gmfs_map_lookup(&p->t, &p->map[file], i * GROUP, &run);
		nr += run.block != GMFS_NO_BLOCK && run.block % GROUP == 0 && run.count >= GROUP;
	}
	return nr;
}

#define TURN_GROUPS	3

static const u32 turns[] = { 1, 2, 10 };

/* Files that are filled in turn, block by block, all get whole groups. */
static void in_turn(const void *arg)
{
	u32 nr = *(const u32 *)arg, i, at;
	struct pool p;

	pool_make_gib(&p, nr * TURN_GROUPS + 2);
	CHECK_EQ(pool_fill(&p, pool_file(&p), 0, 1), 0);
	for (i = 1; i <= nr; i++)
		pool_size(&p, pool_file(&p), TURN_GROUPS * GROUP);
	for (at = 0; at < TURN_GROUPS * GROUP; at++)
		for (i = 1; i <= nr; i++)
			CHECK_EQ(pool_fill(&p, i, at, 1), 0);
	for (i = 1; i <= nr; i++)
		CHECK_EQ(whole_groups(&p, i, TURN_GROUPS), TURN_GROUPS);
	CHECK_EQ(gmfs_full_groups(&p.t), 1);
	pool_check(&p);
	pool_free(&p);
}

/* The same if the files are filled in random order. */
static void in_turn_anywhere(const void *arg)
{
	u64 seed = 21, r;
	struct pool p;
	u32 i;

	(void)arg;
	pool_make_gib(&p, 4 * TURN_GROUPS);
	for (i = 0; i < 4; i++)
		pool_size(&p, pool_file(&p), TURN_GROUPS * GROUP);
	for (i = 0; i < 40000; i++) {
		r = pool_random(&seed);
		CHECK_EQ(pool_fill(&p, r % 4, (r >> 8) % (TURN_GROUPS * GROUP), 1), 0);
	}
	for (i = 0; i < 4; i++) {
		CHECK_EQ(pool_fill(&p, i, 0, TURN_GROUPS * GROUP), 0);
		CHECK_EQ(whole_groups(&p, i, TURN_GROUPS), TURN_GROUPS);
	}
	pool_check(&p);
	pool_free(&p);
}

/* Small files of any size fill one group before another free group is broken. */
static void small_files_fill_a_group(const void *arg)
{
	u32 i, blocks = 0;
	u64 seed = 22;
	struct pool p;

	(void)arg;
	pool_make_gib(&p, 4);
	for (i = 0; i < POOL_FILES; i++)
		pool_file(&p);
	for (i = 0; blocks < 2 * GROUP; i++) {
		u32 count = 1 + pool_random(&seed) % 6;

		CHECK_EQ(pool_fill(&p, i % POOL_FILES, i / POOL_FILES * 10, count), 0);
		blocks += count;
		CHECK_EQ(gmfs_full_groups(&p.t), 4 - (blocks + GROUP - 1) / GROUP);
	}
	pool_check(&p);
	pool_free(&p);
}

/* The last blocks of a file, less than a group, are put into a group that is broken already. */
static void tail_breaks_no_group(const void *arg)
{
	struct pool p;
	u32 a, b;

	(void)arg;
	pool_make_gib(&p, 4);
	a = pool_file(&p);
	b = pool_file(&p);
	pool_size(&p, b, GROUP + 100);
	CHECK_EQ(pool_fill(&p, a, 0, 300), 0);
	CHECK_EQ(pool_fill(&p, b, 0, GROUP + 100), 0);
	CHECK_EQ(whole_groups(&p, b, 1), 1);
	CHECK_EQ(pool_block(&p, b, GROUP) / GROUP, pool_block(&p, a, 0) / GROUP);
	CHECK_EQ(gmfs_full_groups(&p.t), 2);
	pool_check(&p);
	pool_free(&p);
}

/* A group that is freed in pieces is whole again in the end, and has no owner. */
static void given_back_in_pieces(const void *arg)
{
	struct pool p;
	u32 a, b, i;

	(void)arg;
	pool_make_gib(&p, 2);
	a = pool_file(&p);
	b = pool_file(&p);
	CHECK_EQ(pool_fill(&p, a, 0, 2 * GROUP), 0);
	for (i = 0; i < GROUP; i++) {
		CHECK_EQ(gmfs_full_groups(&p.t), 0);
		CHECK_EQ(p.t.groups[0].ino, p.ino[a]);
		CHECK_EQ(pool_punch(&p, a, i * 37 % GROUP, 1), 0);
		pool_check(&p);
	}
	CHECK_EQ(p.t.groups[0].ino, 0);
	CHECK_EQ(gmfs_full_groups(&p.t), 1);
	CHECK_EQ(pool_fill(&p, b, GROUP, GROUP), 0);
	CHECK_EQ(pool_block(&p, b, GROUP), 0);
	CHECK_EQ(p.t.groups[0].ino, p.ino[b]);
	pool_check(&p);
	pool_free(&p);
}

/*
 * A group with blocks of two files is not claimed. It is claimed again when the blocks of the file
 * that does not own it have been freed.
 */
static void claim_is_spoiled(const void *arg)
{
	struct pool p;
	u32 a, b;

	(void)arg;
	pool_make_gib(&p, 2);
	a = pool_file(&p);
	b = pool_file(&p);
	pool_size(&p, a, 2 * GROUP);
	CHECK_EQ(pool_fill(&p, a, 0, 10), 0);
	CHECK_EQ(pool_fill(&p, a, GROUP, 400), 0);
	CHECK(p.t.groups[0].claimed && p.t.groups[1].claimed);
	/* Of the claimed groups the one with most free blocks is used, also for the next block. */
	CHECK_EQ(pool_fill(&p, b, 0, 1), 0);
	CHECK_EQ(pool_fill(&p, b, 1, 1), 0);
	CHECK_EQ(pool_block(&p, b, 0) / GROUP, 0);
	CHECK_EQ(pool_block(&p, b, 1) / GROUP, 0);
	CHECK(!p.t.groups[0].claimed && p.t.groups[1].claimed);
	CHECK_EQ(p.t.groups[0].ino, p.ino[a]);
	pool_check(&p);
	CHECK_EQ(pool_punch(&p, b, 0, 2), 0);
	CHECK(p.t.groups[0].claimed);
	CHECK_EQ(pool_fill(&p, a, 10, GROUP - 10), 0);
	CHECK_EQ(whole_groups(&p, a, 1), 1);
	pool_check(&p);
	pool_free(&p);
}

/* The next kernel finds the same owners of groups. */
static void claims_come_back(const void *arg)
{
	struct pool p;
	u32 a, b;

	(void)arg;
	pool_make_gib(&p, 3);
	a = pool_file(&p);
	b = pool_file(&p);
	CHECK_EQ(pool_fill(&p, a, 0, GROUP), 0);
	CHECK_EQ(pool_punch(&p, a, 100, 50), 0);
	pool_reopen(&p);
	pool_check(&p);
	CHECK_EQ(p.t.groups[0].ino, p.ino[a]);
	CHECK_EQ(pool_fill(&p, b, 0, 10), 0);
	CHECK_EQ(pool_block(&p, b, 0) / GROUP, 1);
	CHECK_EQ(pool_fill(&p, a, 100, 50), 0);
	CHECK_EQ(whole_groups(&p, a, 1), 1);
	pool_check(&p);
	pool_free(&p);
}

/*
 * The owner of a group only decides about places: if blocks are freed with another inode or offset
 * than they were taken with, the counts of free blocks stay right.
 */
static void owner_is_a_hint(const void *arg)
{
	struct pool p;

	(void)arg;
	pool_make_gib(&p, 1);
	gmfs_take(&p.t, 0, 100, 5, 0);
	gmfs_claim(&p.t, 0, 100, 5, 0);
	recount_blocks(&p.t);
	gmfs_release(&p.t, 0, 40, 6, 0);
	recount_blocks(&p.t);
	gmfs_release(&p.t, 40, 30, 5, 40);
	gmfs_release(&p.t, 70, 30, 5, 71);
	recount_blocks(&p.t);
	CHECK_EQ(gmfs_full_groups(&p.t), 1);
	CHECK_EQ(p.t.groups[0].ino, 0);
	pool_free(&p);
}

/*
 * gmfs_largest_free() and gmfs_full_groups() may be called without the pool's lock and read any
 * values then. They must not read beyond the tables.
 */
static void largest_free_of_nonsense(const void *arg)
{
	u64 seed = 23;
	struct pool p;
	u32 i, n;

	(void)arg;
	pool_make_gib(&p, 3);
	for (n = 0; n < 100; n++) {
		for (i = 0; i < p.t.nr_groups; i++)
			p.t.groups[i].longest = pool_random(&seed);
		for (i = 0; i < p.t.nr_blocks / BITS_PER_LONG; i++)
			p.t.bitmap[i] = pool_random(&seed) % 3 ? 0 : pool_random(&seed);
		gmfs_largest_free(&p.t);
		gmfs_full_groups(&p.t);
	}
	pool_free(&p);
}

#define MODEL_STEPS	4000
#define MODEL_MAX	8192

/* The inode that has each block, and the offset in the file. */
struct model {
	struct pool p;
	u32 ino[MODEL_MAX];
	u64 logical[MODEL_MAX];
	u64 seed;
};

static void model_check(const struct model *m)
{
	const struct gmfs_tables *t = &m->p.t;
	u32 group, i;

	recount_blocks(t);
	for (group = 0; group < t->nr_groups; group++) {
		const struct gmfs_group *g = &t->groups[group];
		u32 owned = 0;

		for (i = group * GROUP; i < (group + 1) * GROUP; i++)
			owned += m->ino[i] && m->ino[i] == g->ino &&
				 i % GROUP == m->logical[i] % GROUP &&
				 m->logical[i] / GROUP == g->file_group;
		CHECK_EQ(g->owned, owned);
	}
	for (i = 0; i < t->nr_blocks; i++)
		if (m->ino[i])
			CHECK(test_bit(i, t->bitmap));
}

static void model_take(struct model *m, u64 r)
{
	struct gmfs_tables *t = &m->p.t;
	struct gmfs_want want = {
		.ino = 2 + r % 4, .logical = (r >> 4) % (3 * GROUP), .goal = GMFS_NO_BLOCK,
		.count = 1 + (r >> 20) % (r >> 16 & 3 ? 20 : 3 * GROUP), .own = r >> 60 & 1,
	};
	u32 block, run, i;

	if (!t->free_blocks)
		return;
	if (r >> 61 & 1)
		want.goal = find_next_zero_bit(t->bitmap, t->nr_blocks,
					       (r >> 32) % t->nr_blocks);
	if (r >> 62 & 1)
		want.logical = round_down(want.logical, (u64)GROUP);
	run = gmfs_find_run(t, &want, &block);
	CHECK(run && run <= want.count);
	run = r >> 63 ? run : 1 + (r >> 40) % run;
	for (i = 0; i < run; i++) {
		CHECK(!test_bit(block + i, t->bitmap));
		CHECK(gmfs_block_range(t, block) == gmfs_block_range(t, block + i));
		m->ino[block + i] = want.ino;
		m->logical[block + i] = want.logical + i;
	}
	gmfs_take(t, block, run, want.ino, want.logical);
}

/* Frees some blocks that are consecutive in the pool and in one file, from a random one on. */
static void model_release(struct model *m, u64 r)
{
	u32 nr_blocks = m->p.t.nr_blocks, block = r % nr_blocks, most = 1 + (r >> 32) % 900;
	u32 ino, run = 0;
	u64 logical;

	while (block < nr_blocks && !m->ino[block])
		block++;
	if (block == nr_blocks)
		return;
	ino = m->ino[block];
	logical = m->logical[block];
	while (run < most && block + run < nr_blocks && m->ino[block + run] == ino &&
	       m->logical[block + run] == logical + run)
		m->ino[block + run++] = 0;
	gmfs_release(&m->p.t, block, run, ino, logical);
}

struct model_case {
	const char *name;
	struct gmfs_range ranges[6];
	u32 nr;
	u64 seed;
};

static const struct model_case model_cases[] = {
	{ "whole groups", { { 4 * GIB, 5 * GIB } }, 1, 31 },
	{ "ranges that begin and end inside of groups",
	  { { 640 * MIB, 384 * MIB }, { 2 * GIB, GIB }, { 3 * GIB, GIB + 128 * MIB },
	    { 5 * GIB - 256 * MIB, 2 * GIB } }, 4, 32 },
	{ "sections", { { 128 * MIB, 128 * MIB }, { 384 * MIB, 128 * MIB },
	  { 896 * MIB, 128 * MIB }, { GIB, 128 * MIB }, { 3 * GIB, GIB },
	  { 5 * GIB - 128 * MIB, 256 * MIB } }, 6, 33 },
	{ "one section", { { 256 * MIB, 128 * MIB } }, 1, 34 },
};

/* Random operations, in phases in which more is allocated, or more is freed. */
static void model(const void *arg)
{
	const struct model_case *c = arg;
	struct model *m = calloc(1, sizeof(*m));
	u32 i;

	CHECK(m);
	m->seed = c->seed;
	pool_make(&m->p, c->ranges, c->nr);
	CHECK(m->p.t.nr_groups * GROUP <= MODEL_MAX);
	for (i = 0; i < MODEL_STEPS; i++) {
		u64 r = pool_random(&m->seed);

		if (pool_random(&m->seed) % 100 < (i / 200 % 2 ? 30 : 70))
			model_take(m, r);
		else
			model_release(m, r);
		model_check(m);
	}
	pool_free(&m->p);
	free(m);
}

/* A pool of 128 ranges, none of which has a whole group. */
static void many_ranges(const void *arg)
{
	struct gmfs_range ranges[GUESTMEMFS_MAX_RANGES];
	struct pool p;
	u32 a, b, i;

	(void)arg;
	for (i = 0; i < GUESTMEMFS_MAX_RANGES; i++)
		ranges[i] = (struct gmfs_range){ i * 256 * MIB, 128 * MIB };
	pool_make(&p, ranges, GUESTMEMFS_MAX_RANGES);
	a = pool_file(&p);
	b = pool_file(&p);
	pool_size(&p, a, 4 * GROUP);
	for (i = 0; i < 4 * GROUP; i++) {
		CHECK_EQ(pool_fill(&p, a, i, 1), 0);
		CHECK_EQ(pool_fill(&p, b, 3 * i, 1), 0);
	}
	CHECK_EQ(gmfs_full_groups(&p.t), 0);
	pool_check(&p);
	CHECK_EQ(pool_punch(&p, b, 0, 12 * GROUP), 0);
	CHECK_EQ(pool_fill(&p, a, 4 * GROUP, 4 * GROUP), 0);
	CHECK_EQ(p.t.free_blocks, 128 * 64 - 8 * GROUP);
	pool_check(&p);
	pool_free(&p);
}

void groups_tests(void)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(turns); i++)
		test_add(in_turn, &turns[i], "groups: touched in turn, %u files", turns[i]);
	TEST(in_turn_anywhere);
	TEST(small_files_fill_a_group);
	TEST(tail_breaks_no_group);
	TEST(given_back_in_pieces);
	TEST(claim_is_spoiled);
	TEST(claims_come_back);
	TEST(owner_is_a_hint);
	TEST(largest_free_of_nonsense);
	for (i = 0; i < ARRAY_SIZE(model_cases); i++)
		test_add(model, &model_cases[i], "groups: against a model, %s",
			 model_cases[i].name);
	TEST(many_ranges);
}
