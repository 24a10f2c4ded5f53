// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which free blocks gmfs_find_run() chooses: its answer is compared with that
 * of a search that looks at every block and remembers nothing.
 */
#include <stdlib.h>

#include "pool.h"

static bool is_free(const struct gmfs_tables *t, u32 block)
{
	return block < t->nr_blocks && !test_bit(block, t->bitmap);
}

/* Free blocks from @block on, up to @want of them and not beyond @end. */
static u32 ref_run(const struct gmfs_tables *t, u32 block, u32 end, u32 want)
{
	u32 run = 0;

	while (run < want && block + run < end && is_free(t, block + run))
		run++;
	return run;
}

/* What is free in one piece: ranges may touch in numbers, and are apart in memory. */
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

/* The first group that is free from end to end, or GMFS_NO_BLOCK. */
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

static struct answer ref_group_run(const struct gmfs_tables *t, u32 group, u32 want)
{
	u32 end = (group + 1) * GROUP, block;
	struct answer best = {};

	for (block = group * GROUP; block < end; block++) {
		u32 run = ref_run(t, block, end, want);

		if (run > best.run)
			best = (struct answer){ block, run };
	}
	return best;
}

/* The longest run that fits; of equals that in the fullest group; of these the first. */
static struct answer ref_broken(const struct gmfs_tables *t, u32 want)
{
	struct answer best = {};
	u32 group, best_free = 0;

	for (group = 0; group < ref_nr_groups(t); group++) {
		u32 nr_free = ref_group_free(t, group);
		struct answer here;

		if (nr_free == GROUP)
			continue;
		here = ref_group_run(t, group, want);
		if (here.run > best.run || (here.run == best.run && nr_free < best_free)) {
			best = here;
			best_free = nr_free;
		}
	}
	return best;
}

static struct answer ref_find(const struct gmfs_tables *t, u32 goal, u64 logical, u32 want)
{
	u32 offset = logical % GROUP, full = ref_full_group(t);
	struct answer broken;

	/* A whole gigabyte of the file gets a whole one of the pool, if there is one. */
	if (!offset && want >= GROUP) {
		if (goal != GMFS_NO_BLOCK && goal % GROUP == 0) {
			u32 run = ref_run(t, goal, gmfs_block_range_end(t, goal), want);

			if (run >= GROUP)
				return (struct answer){ goal, run };
		}
		if (full != GMFS_NO_BLOCK)
			return (struct answer){ full * GROUP, GROUP };
	} else if (goal != GMFS_NO_BLOCK) {
		return (struct answer){
			goal, ref_run(t, goal, gmfs_block_range_end(t, goal), want)
		};
	}
	want = min(want, GROUP - offset);
	broken = ref_broken(t, want);
	if (broken.run < want && full != GMFS_NO_BLOCK)
		return (struct answer){ full * GROUP + offset, want };
	return broken;
}

static void find_compare(const struct gmfs_tables *t, u32 goal, u64 logical, u32 want)
{
	struct answer expected = ref_find(t, goal, logical, want), got = {};

	got.run = gmfs_find_run(t, goal, logical, want, &got.block);
	if (got.run != expected.run || got.block != expected.block)
		FAIL("goal %#x, offset %llu, %u blocks: %u at %u, not %u at %u", goal,
		     (unsigned long long)logical, want, got.run, got.block, expected.run,
		     expected.block);
}

/* Takes all blocks of a group but those of some runs: first block and count. */
static void leave(struct pool *p, u32 group, const u32 (*runs)[2], u32 nr)
{
	u32 i, at = 0;

	for (i = 0; i <= nr; i++) {
		u32 first = i < nr ? runs[i][0] : GROUP;

		if (first > at)
			gmfs_take(&p->t, group * GROUP + at, first - at);
		if (i < nr)
			at = first + runs[i][1];
	}
}

#define CASE_GROUPS	4
#define CASE_RUNS	4

struct find_case {
	const char *name;
	/* What is left of each group: first block and count. */
	u32 left[CASE_GROUPS][CASE_RUNS][2];
	u64 logical;
	u32 want;
	/* The answer, and how often the bitmap was searched for it; 0: as may be. */
	u32 group;
	u32 block;
	u32 run;
	u32 searches;
};

#define WHOLE		{ { 0, GROUP } }
#define NO_SEARCH	U32_MAX

static const struct find_case find_cases[] = {
	{ "no group is broken: a whole one, as far in as the file is",
	  { { }, WHOLE, WHOLE }, 700, 5, 1, 188, 5, NO_SEARCH },
	{ "no group is broken, and a single block is wanted",
	  { WHOLE, WHOLE }, 3, 1, 0, 3, 1, NO_SEARCH },
	{ "a whole gigabyte wanted, and the first is whole",
	  { WHOLE, { { 0, 511 } } }, 512, 1024, 0, 0, 512, NO_SEARCH },
	{ "a whole gigabyte wanted, and the last is whole",
	  { { }, { { 0, 511 } }, { { 1, 511 } }, WHOLE }, 512, 512, 3, 0, 512, NO_SEARCH },
	{ "the fullest that fits, before the others",
	  { { { 3, 50 } }, { { 7, 90 } }, { { 9, 200 } } }, 0, 40, 0, 3, 40 },
	{ "the fullest that fits, between the others",
	  { { { 3, 90 } }, { { 7, 50 } }, { { 9, 200 } } }, 0, 40, 1, 7, 40 },
	{ "the fullest that fits, behind the others",
	  { { { 3, 200 } }, { { 7, 90 } }, { { 9, 50 } } }, 0, 40, 2, 9, 40 },
	{ "fuller, but in pieces: passed over",
	  { { { 3, 90 } }, { { 7, 30 }, { 100, 30 } } }, 0, 40, 0, 3, 40 },
	{ "fuller, but in pieces, comes first",
	  { { { 7, 30 }, { 100, 30 } }, { { 3, 90 } } }, 0, 40, 1, 3, 40 },
	{ "as full, and both fit: the first, and the other is not looked at",
	  { { { 3, 50 } }, { { 7, 50 } } }, 0, 40, 0, 3, 40, 1 },
	{ "none fits, no whole one: the longest, before the others",
	  { { { 3, 30 } }, { { 7, 20 } }, { { 9, 10 } } }, 0, 40, 0, 3, 30, 2 },
	{ "none fits: the longest, behind the others",
	  { { { 3, 10 } }, { { 7, 20 } }, { { 9, 30 } } }, 0, 40, 2, 9, 30 },
	{ "none fits: the longest, in the group with the least left",
	  { { { 3, 10 }, { 20, 10 }, { 40, 10 } }, { { 7, 12 } } }, 0, 40, 1, 7, 12 },
	{ "none fits: as long, the fuller one comes first",
	  { { { 3, 20 } }, { { 7, 20 }, { 60, 5 } } }, 0, 40, 0, 3, 20 },
	{ "none fits: as long, the fuller one comes second",
	  { { { 3, 20 }, { 60, 5 } }, { { 7, 20 } } }, 0, 40, 1, 7, 20 },
	{ "none fits: as long and as full, the first",
	  { { { 3, 20 }, { 60, 5 } }, { { 7, 20 }, { 60, 5 } } }, 0, 40, 0, 3, 20 },
	{ "none fits, and one is whole: a whole one",
	  { { { 3, 30 } }, { { 7, 39 } }, WHOLE }, 513, 40, 2, 1, 40 },
	{ "one fits, and one is whole: the broken one",
	  { { { 3, 30 } }, { { 7, 40 } }, WHOLE }, 513, 40, 1, 7, 40 },
	{ "one fits that lacks one block to be whole",
	  { { { 1, 511 } }, WHOLE }, 1, 511, 0, 1, 511 },
	{ "the first block of a group is taken",
	  { { { 1, 40 } } }, 0, 40, 0, 1, 40 },
	{ "the last block of a group is free",
	  { { { 511, 1 } }, { { 100, 2 } } }, 0, 1, 0, 511, 1 },
	{ "a run does not go on in the next group",
	  { { { 500, 12 } }, { { 0, 30 } } }, 0, 40, 1, 0, 30 },
	{ "the first run of a group that fits, and no more is looked at",
	  { { { 3, 10 }, { 30, 40 }, { 100, 60 }, { 300, 50 } } }, 0, 40, 0, 30, 40, 2 },
	{ "two runs as long: the first",
	  { { { 3, 10 }, { 30, 20 }, { 100, 20 }, { 300, 15 } } }, 0, 40, 0, 30, 20 },
	{ "groups with nothing left are not looked at",
	  { { }, { }, { { 3, 60 } }, { } }, 0, 40, 2, 3, 40, 1 },
	{ "less left than the run that is known: not looked at",
	  { { { 3, 30 } }, { { 3, 29 } }, { { 3, 4 } } }, 0, 40, 0, 3, 30, 2 },
	{ "as much left as the run that is known, and fuller",
	  { { { 3, 30 }, { 200, 30 } }, { { 3, 30 } } }, 0, 40, 1, 3, 30, 5 },
	{ "one fits: what has more left is not looked at",
	  { { { 3, 60 } }, { { 3, 200 } }, { { 3, 300 } } }, 0, 40, 0, 3, 40, 1 },
	{ "cut off at the end of the file's gigabyte",
	  { { { 3, 60 } } }, 502, 40, 0, 3, 10, 1 },
	{ "a whole gigabyte wanted, none whole: the longest run",
	  { { { 3, 60 } }, { { 0, 511 } } }, 512, 1024, 1, 0, 511 },
};

static void find_case(const void *arg)
{
	const struct find_case *c = arg;
	struct pool p;
	u32 i, n, block = 0;

	pool_make_gib(&p, CASE_GROUPS);
	for (i = 0; i < CASE_GROUPS; i++) {
		for (n = 0; n < CASE_RUNS && c->left[i][n][1]; n++)
			;
		leave(&p, i, c->left[i], n);
	}
	shim_searches = 0;
	CHECK_EQ(gmfs_find_run(&p.t, GMFS_NO_BLOCK, c->logical, c->want, &block), c->run);
	if (c->searches)
		CHECK_EQ(shim_searches, c->searches == NO_SEARCH ? 0 : c->searches);
	CHECK_EQ(block, c->group * GROUP + c->block);
	find_compare(&p.t, GMFS_NO_BLOCK, c->logical, c->want);
	pool_free(&p);
}

/* Leaves free what @pattern says of a group; the same patterns come again, for equals. */
static void scatter(struct pool *p, u32 first, u32 end, u64 *seed)
{
	static const u32 lengths[] = { 1, 2, 3, 7, 40, 64, 200 };
	u64 r = pool_random(seed), pattern = r % 3 ? (r >> 2) % 5 : r >> 2;
	u32 taken = lengths[(r >> 32) % ARRAY_SIZE(lengths)];
	u32 left = lengths[(r >> 40) % ARRAY_SIZE(lengths)];
	u32 at = first, len;

	/* Free from end to end, and taken. */
	if (r >> 60 < 2)
		return;
	if (r >> 60 < 4) {
		gmfs_take(&p->t, first, end - first);
		return;
	}
	while (at < end) {
		len = min(1 + (u32)(pool_random(&pattern) % taken), end - at);
		gmfs_take(&p->t, at, len);
		at += len + 1 + pool_random(&pattern) % left;
	}
}

/* All free blocks from @from on, or none: where the next one is. */
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

	CHECK_EQ(gmfs_largest_free(&p->t), ref_largest(&p->t));
	if (!p->t.free_blocks)
		return;
	for (want = 1; want <= GROUP + 1; want += want < 48 || want >= GROUP - 8 ? 1 : 8) {
		u64 r = pool_random(seed);
		u64 logical = (r >> 32) % 8 * GROUP + offsets[r % ARRAY_SIZE(offsets)];
		u32 goal = free_block(&p->t, (r >> 40) % p->t.nr_blocks);

		find_compare(&p->t, GMFS_NO_BLOCK, logical, want);
		find_compare(&p->t, goal, logical, want);
		/* A file's next blocks, behind those that it has. */
		find_compare(&p->t, goal, (r >> 32) % 8 * GROUP + goal % GROUP, want);
	}
	for (i = 0; i < p->t.nr_groups; i++) {
		u32 goal = i * GROUP;

		find_compare(&p->t, GMFS_NO_BLOCK, 0, goal + 1);
		if (!is_free(&p->t, goal))
			continue;
		for (want = GROUP - 1; want <= 3 * GROUP; want += GROUP / 2) {
			find_compare(&p->t, goal, GROUP, want);
			find_compare(&p->t, goal, GROUP + 1, want);
		}
	}
}

#define FIND_ROUNDS	24

/* Ranges that touch, some broken off inside a gigabyte, and one of several. */
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
