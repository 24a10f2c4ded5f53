// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests which free blocks gmfs_find_run() chooses: compares its answer with that of a plain search,
 * which looks at every block and uses only the owners of groups from the tables.
 */
#include <stdlib.h>

#include "../../../fs/guestmemfs/tables/groups.h"
#include "tables_pool.h"

static bool is_free(const struct gmfs_tables *t, u32 block)
{
	return block < t->nr_blocks && !test_bit(block, t->bitmap);
}

/* Returns the number of free blocks from @block on, at most @want, and not beyond @end. */
static u32 ref_run(const struct gmfs_tables *t, u32 block, u32 end, u32 want)
{
	u32 run = 0;

	while (run < want && block + run < end && is_free(t, block + run))
		run++;
	return run;
}

/*
 * The largest run of free blocks. A run does not cross the end of a range, since the next range is
 * elsewhere in memory even if its block numbers follow.
 */
static u32 ref_largest(const struct gmfs_tables *t)
{
	u32 i, block, best = 0;

	for (i = 0; i < t->nr_ranges; i++) {
		u32 end;

		block = le32_to_cpu(t->ranges[i].first_block);
		for (end = gmfs_block_range_end(t, block); block < end; block++)
			best = max(best, ref_run(t, block, end, end - block));
	}
	return best;
}

static u32 ref_group_free(const struct gmfs_tables *t, u32 group)
{
	u32 i, nr = 0;

	for (i = 0; i < GROUP; i++)
		nr += is_free(t, group * GROUP + i);
	return nr;
}

static u32 ref_nr_groups(const struct gmfs_tables *t)
{
	return (t->nr_blocks + GROUP - 1) / GROUP;
}

/* Returns the first block of the first group that is entirely free, or GMFS_NO_BLOCK. */
static u32 ref_full_group(const struct gmfs_tables *t)
{
	u32 group;

	for (group = 0; group < ref_nr_groups(t); group++)
		if (ref_group_free(t, group) == GROUP)
			return group;
	return GMFS_NO_BLOCK;
}

struct answer {
	u32 block;
	u32 run;
};

/* The shortest run in a group that fits, or else the longest one; of equal runs the first. */
static struct answer ref_group_run(const struct gmfs_tables *t, u32 group, u32 want)
{
	u32 end = (group + 1) * GROUP, block, run;
	struct answer best = {};

	for (block = group * GROUP; block < end; block += run + 1) {
		run = ref_run(t, block, end, GROUP);
		if (best.run < want ? run > best.run : run >= want && run < best.run)
			best = (struct answer){ block, run };
	}
	best.run = min(best.run, want);
	return best;
}

/*
 * Is @got a right answer for the groups that are partly free and are claimed, or not, as @claimed
 * says? It has to be in a group whose longest run is the shortest one that fits, or else in a group
 * with the longest run of all. If several groups are equal, any of them is right.
 */
static bool ref_is_best(const struct gmfs_tables *t, const struct answer *got, bool claimed,
			u32 want, bool largest)
{
	struct answer here = ref_group_run(t, got->block / GROUP, want);
	u32 best = 0, group;

	for (group = 0; group < ref_nr_groups(t); group++) {
		u32 longest = ref_group_run(t, group, GROUP).run;

		if (longest == GROUP || t->groups[group].claimed != claimed)
			continue;
		if (best < want || largest ? longest > best : longest >= want && longest < best)
			best = longest;
	}
	return best == ref_group_run(t, got->block / GROUP, GROUP).run &&
	       t->groups[got->block / GROUP].claimed == claimed &&
	       got->block == here.block && got->run == here.run;
}

static bool ref_has_broken(const struct gmfs_tables *t, bool claimed)
{
	u32 group, nr;

	for (group = 0; group < ref_nr_groups(t); group++) {
		nr = ref_group_free(t, group);
		if (nr && nr < GROUP && t->groups[group].claimed == claimed)
			return true;
	}
	return false;
}

/* The run that the goal of @want gives, or one of 0 blocks if the goal must not be used. */
static struct answer ref_goal(const struct gmfs_tables *t, const struct gmfs_want *want)
{
	u32 offset = want->logical % GROUP, goal = want->goal, group = goal / GROUP, run = 0;
	const struct gmfs_group *g = &t->groups[group];
	bool full = goal != GMFS_NO_BLOCK && ref_group_free(t, group) == GROUP;

	if (goal == GMFS_NO_BLOCK)
		return (struct answer){};
	if (!offset && want->count >= GROUP) {
		if (goal % GROUP == 0)
			run = ref_run(t, goal, gmfs_block_range_end(t, goal), want->count);
		return (struct answer){ goal, round_down(run, (u32)GROUP) };
	}
	if (g->ino != want->ino || g->file_group != want->logical / GROUP) {
		if (g->claimed || (full && !(want->own && goal % GROUP == offset)))
			return (struct answer){};
		if (!full && want->own && !offset && ref_full_group(t) != GMFS_NO_BLOCK)
			return (struct answer){};
	}
	if (g->claimed)
		goal = group * GROUP + offset;
	run = min(want->count, GROUP - offset);
	return (struct answer){ goal, ref_run(t, goal, (group + 1) * GROUP, run) };
}

static bool ref_suits(const struct gmfs_tables *t, const struct gmfs_want *want,
		      const struct answer *got)
{
	u32 offset = want->logical % GROUP, count = min(want->count, GROUP - offset);
	struct answer goal = ref_goal(t, want);

	if (goal.run)
		return got->block == goal.block && got->run == goal.run;
	if (ref_full_group(t) != GMFS_NO_BLOCK) {
		bool own = want->own || count == GROUP;

		if (own || !ref_has_broken(t, false))
			return ref_group_free(t, got->block / GROUP) == GROUP &&
			       got->run == count && (got->block % GROUP == offset) == own &&
			       got->block % GROUP + count <= GROUP;
	}
	if (ref_has_broken(t, false))
		return ref_is_best(t, got, false, count, false);
	return ref_is_best(t, got, true, count, true);
}

static void find_compare(const struct gmfs_tables *t, u32 goal, u64 logical, u32 count, bool own)
{
	const struct gmfs_want want = {
		.ino = 7, .logical = logical, .count = count, .goal = goal, .own = own,
	};
	struct answer got = {};

	got.run = gmfs_find_run(t, &want, &got.block);
	CHECK(got.run && got.run <= count);
	CHECK_EQ(ref_run(t, got.block, gmfs_block_range_end(t, got.block), got.run), got.run);
	if (!ref_suits(t, &want, &got))
		FAIL("goal %#x, offset %llu, %u blocks, own %d: %u at %u", goal,
		     (unsigned long long)logical, count, own, got.run, got.block);
}

/* Takes all blocks of a group except those of some runs, each given as first block and count. */
static void leave(struct pool *p, u32 group, const u32 (*runs)[2], u32 nr)
{
	u32 i, at = 0;

	for (i = 0; i <= nr; i++) {
		u32 first = i < nr ? runs[i][0] : GROUP;

		if (first > at)
			gmfs_take(&p->t, group * GROUP + at, first - at, 0, 0);
		if (i < nr)
			at = first + runs[i][1];
	}
}

#define CASE_GROUPS	4
#define CASE_RUNS	4

struct find_case {
	const char *name;
	/* The free runs of each group: first block and count. */
	u32 left[CASE_GROUPS][CASE_RUNS][2];
	u64 logical;
	u32 want;
	/* The expected answer. */
	u32 group;
	u32 block;
	u32 run;
	bool own;
};

#define WHOLE		{ { 0, GROUP } }

static const struct find_case find_cases[] = {
	{ "no group is broken: a whole one, as far in as the file is",
	  { { }, WHOLE, WHOLE }, 700, 5, 1, 188, 5, true },
	{ "no group is broken, and the file does not own it: elsewhere in a whole one",
	  { { }, WHOLE, WHOLE }, 700, 5, 1, 0, 5 },
	{ "no group is broken, and a single block is wanted",
	  { WHOLE, WHOLE }, 3, 1, 0, 0, 1 },
	{ "no group is broken, and the begin of a file is wanted: behind it",
	  { WHOLE, WHOLE }, 0, 10, 0, 1, 10 },
	{ "a whole gigabyte wanted, and the first is whole",
	  { WHOLE, { { 0, 511 } } }, 512, 1024, 0, 0, 512 },
	{ "a whole gigabyte wanted, and the last is whole",
	  { { }, { { 0, 511 } }, { { 1, 511 } }, WHOLE }, 512, 512, 3, 0, 512 },
	{ "the tightest that fits, before the others",
	  { { { 3, 50 } }, { { 7, 90 } }, { { 9, 200 } } }, 0, 40, 0, 3, 40 },
	{ "the tightest that fits, between the others",
	  { { { 3, 90 } }, { { 7, 50 } }, { { 9, 200 } } }, 0, 40, 1, 7, 40 },
	{ "the tightest that fits, behind the others",
	  { { { 3, 200 } }, { { 7, 90 } }, { { 9, 50 } } }, 0, 40, 2, 9, 40 },
	{ "the tightest that fits, exactly",
	  { { { 3, 41 } }, { { 7, 40 } }, { { 9, 39 } } }, 0, 40, 1, 7, 40 },
	{ "fuller, but in pieces: passed over",
	  { { { 3, 90 } }, { { 7, 30 }, { 100, 30 } } }, 0, 40, 0, 3, 40 },
	{ "fuller, but in pieces, comes first",
	  { { { 7, 30 }, { 100, 30 } }, { { 3, 90 } } }, 0, 40, 1, 3, 40 },
	{ "none fits, no whole one: the longest, before the others",
	  { { { 3, 30 } }, { { 7, 20 } }, { { 9, 10 } } }, 0, 40, 0, 3, 30 },
	{ "none fits: the longest, behind the others",
	  { { { 3, 10 } }, { { 7, 20 } }, { { 9, 30 } } }, 0, 40, 2, 9, 30 },
	{ "none fits: the longest, in the group with the least left",
	  { { { 3, 10 }, { 20, 10 }, { 40, 10 } }, { { 7, 12 } } }, 0, 40, 1, 7, 12 },
	{ "none fits, and one is whole: it stays whole",
	  { { { 3, 30 } }, { { 7, 39 } }, WHOLE }, 513, 40, 1, 7, 39 },
	{ "none fits, and one is whole, for a file that owns it: the whole one",
	  { { { 3, 30 } }, { { 7, 39 } }, WHOLE }, 513, 40, 2, 1, 40, true },
	{ "one fits, and one is whole: the broken one",
	  { { { 3, 30 } }, { { 7, 40 } }, WHOLE }, 513, 40, 1, 7, 40 },
	{ "one fits, and one is whole, for a file that owns it: the whole one",
	  { { { 3, 30 } }, { { 7, 40 } }, WHOLE }, 513, 40, 2, 1, 40, true },
	{ "one fits that lacks one block to be whole",
	  { { { 1, 511 } }, WHOLE }, 1, 511, 0, 1, 511 },
	{ "the first block of a group is taken",
	  { { { 1, 40 } } }, 0, 40, 0, 1, 40 },
	{ "the last block of a group is free",
	  { { { 511, 1 } }, { { 100, 2 } } }, 0, 1, 0, 511, 1 },
	{ "a run does not go on in the next group",
	  { { { 500, 12 } }, { { 0, 30 } } }, 0, 40, 1, 0, 30 },
	{ "the shortest run of a group that fits",
	  { { { 3, 10 }, { 30, 60 }, { 100, 41 }, { 300, 50 } } }, 0, 40, 0, 100, 40 },
	{ "two runs as long: the first",
	  { { { 3, 10 }, { 30, 20 }, { 100, 20 }, { 300, 15 } } }, 0, 40, 0, 30, 20 },
	{ "groups with nothing left",
	  { { }, { }, { { 3, 60 } }, { } }, 0, 40, 2, 3, 40 },
	{ "cut off at the end of the file's gigabyte",
	  { { { 3, 60 } } }, 502, 40, 0, 3, 10 },
	{ "cut off at the end of the file's gigabyte, in a whole one",
	  { WHOLE }, 502, 40, 0, 502, 10, true },
	{ "a whole gigabyte wanted, none whole: the longest run",
	  { { { 3, 60 } }, { { 0, 511 } } }, 512, 1024, 1, 0, 511 },
};

static void find_case(const void *arg)
{
	const struct find_case *c = arg;
	struct gmfs_want want = {
		.logical = c->logical, .count = c->want, .goal = GMFS_NO_BLOCK, .own = c->own,
	};
	struct pool p;
	u32 i, n, block = 0;

	pool_make_gib(&p, CASE_GROUPS);
	for (i = 0; i < CASE_GROUPS; i++) {
		for (n = 0; n < CASE_RUNS && c->left[i][n][1]; n++)
			;
		leave(&p, i, c->left[i], n);
	}
	CHECK_EQ(gmfs_find_run(&p.t, &want, &block), c->run);
	CHECK_EQ(block, c->group * GROUP + c->block);
	find_compare(&p.t, GMFS_NO_BLOCK, c->logical, c->want, c->own);
	recount_blocks(&p.t);
	pool_free(&p);
}

/* Takes blocks, some of them for files that own the group, so that the group is claimed. */
static void scatter_take(struct pool *p, u32 block, u32 count, u64 r)
{
	u32 ino = r % 3 ? 0 : 7 + r % 2;

	gmfs_take(&p->t, block, count, ino, r % 8 * GROUP + block % GROUP);
}

/*
 * Takes random blocks from @first to before @end. There are few patterns, so that several groups
 * have equal runs.
 */
static void scatter(struct pool *p, u32 first, u32 end, u64 *seed)
{
	static const u32 lengths[] = { 1, 2, 3, 7, 40, 64, 200 };
	u64 r = pool_random(seed), pattern = r % 3 ? (r >> 2) % 5 : r >> 2;
	u32 taken = lengths[(r >> 32) % ARRAY_SIZE(lengths)];
	u32 left = lengths[(r >> 40) % ARRAY_SIZE(lengths)];
	u32 at = first, len;

	/* Some groups stay entirely free, and some are taken entirely. */
	if (r >> 60 < 2)
		return;
	if (r >> 60 < 4) {
		scatter_take(p, first, end - first, r >> 8);
		return;
	}
	while (at < end) {
		len = min(1 + (u32)(pool_random(&pattern) % taken), end - at);
		scatter_take(p, at, len, r >> 8);
		at += len + 1 + pool_random(&pattern) % left;
	}
}

/* Returns the first free block from @from on, in a cycle, or GMFS_NO_BLOCK if there is none. */
static u32 free_block(const struct gmfs_tables *t, u32 from)
{
	u32 i;

	for (i = 0; i < t->nr_blocks; i++)
		if (is_free(t, (from + i) % t->nr_blocks))
			return (from + i) % t->nr_blocks;
	return GMFS_NO_BLOCK;
}

static void find_all(const struct pool *p, u64 *seed)
{
	static const u64 offsets[] = { 0, 1, 255, 511 };
	u32 want, i;

	recount_blocks(&p->t);
	CHECK_EQ(gmfs_largest_free(&p->t), ref_largest(&p->t));
	if (!p->t.free_blocks)
		return;
	for (want = 1; want <= GROUP + 1; want += want < 48 || want >= GROUP - 8 ? 1 : 8) {
		u64 r = pool_random(seed);
		u64 logical = (r >> 32) % 8 * GROUP + offsets[r % ARRAY_SIZE(offsets)];
		u32 goal = free_block(&p->t, (r >> 40) % p->t.nr_blocks);
		bool own = r >> 63;

		find_compare(&p->t, GMFS_NO_BLOCK, logical, want, own);
		find_compare(&p->t, goal, logical, want, own);
		/* An offset that matches the goal, as for the blocks behind those of a file. */
		find_compare(&p->t, goal, (r >> 32) % 8 * GROUP + goal % GROUP, want, own);
	}
	for (i = 0; i < p->t.nr_groups; i++) {
		u32 goal = i * GROUP;

		find_compare(&p->t, GMFS_NO_BLOCK, 0, goal + 1, i % 2);
		if (!is_free(&p->t, goal))
			continue;
		for (want = GROUP - 1; want <= 3 * GROUP; want += GROUP / 2) {
			find_compare(&p->t, goal, GROUP, want, i % 2);
			find_compare(&p->t, goal, GROUP + 1, want, i % 2);
		}
	}
}

#define FIND_ROUNDS	24

/* Adjacent ranges, ranges that begin or end inside of a gigabyte, and one of several gigabytes. */
static const struct gmfs_range find_ranges[] = {
	{ 640 * MIB, 384 * MIB }, { 2 * GIB, GIB }, { 3 * GIB, 2 * GIB },
	{ 8 * GIB - 128 * MIB, 1280 * MIB },
};

static void find_random(const void *arg)
{
	u64 seed = *(const u64 *)arg;
	u32 round, i;

	for (round = 0; round < FIND_ROUNDS; round++) {
		struct pool p;

		pool_make(&p, find_ranges, ARRAY_SIZE(find_ranges));
		for (i = 0; i < p.t.nr_ranges; i++) {
			u32 at = le32_to_cpu(p.t.ranges[i].first_block), next;
			u32 end = gmfs_block_range_end(&p.t, at);

			for (; at < end; at = next) {
				next = min((u32)round_down(at, GROUP) + GROUP, end);
				scatter(&p, at, next, &seed);
			}
		}
		find_all(&p, &seed);
		pool_free(&p);
	}
}

static const u64 find_seeds[] = { 11, 12, 13, 14 };

void find_tests(void)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(find_cases); i++)
		test_add(find_case, &find_cases[i], "find: %s", find_cases[i].name);
	for (i = 0; i < ARRAY_SIZE(find_seeds); i++)
		test_add(find_random, &find_seeds[i], "find: against a plain search, seed %llu",
			 (unsigned long long)find_seeds[i]);
}
