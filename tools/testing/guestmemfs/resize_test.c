// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests pools whose size changes: which numbers memory gets, and which memory a range loses.
 */
#include <stdlib.h>

#include "resize.h"

#define MAX_STEPS	8
#define MAX_PARTS	4

struct resize_step {
	/* '+' or '-', address and size in sections. */
	char what;
	u32 base;
	u32 size;
	int err;
	/* The range table after it; ignored after an error, which changes nothing. */
	struct part want[MAX_PARTS];
};

struct resize_case {
	const char *name;
	struct part start[MAX_PARTS];
	/* In sections: how much may come later, and the number of numbers at the end. */
	u32 room;
	u32 numbers;
	struct resize_step steps[MAX_STEPS];
};

/*
 * Gigabyte 16 begins with section 128. Each line would be different if memory got other numbers:
 * those of another range, of a group of another gigabyte, or new ones although there are free ones.
 */
static const struct resize_case resize_cases[] = {
	{ "above", { { 128, 8 } }, 16, 24, {
		{ '+', 136, 8, 0, { { 128, 16, 0 } } },
		{ '+', 144, 8, 0, { { 128, 24, 0 } } },
		{ '+', 152, 8, -ENOSPC },
		{ '+', 200, 1, -ENOSPC },
	} },
	{ "below", { { 128, 8 }, { 144, 8 } }, 0, 16, {
		{ '-', 128, 8, 0, { { 144, 8, 8 } } },
		{ '+', 136, 8, 0, { { 136, 16, 0 } } },
	} },
	{ "below the lowest number", { { 128, 8 } }, 8, 16, {
		{ '+', 120, 8, 0, { { 128, 8, 0 }, { 120, 8, 8 } } },
	} },
	{ "a part below", { { 128, 8 }, { 144, 8 } }, 0, 16, {
		{ '-', 128, 8, 0, { { 144, 8, 8 } } },
		{ '+', 143, 1, 0, { { 143, 9, 7 } } },
		{ '+', 137, 6, 0, { { 137, 15, 1 } } },
		{ '+', 200, 1, -ENOSPC },
	} },
	{ "above, where numbers are in use", { { 128, 8 }, { 144, 8 } }, 8, 24, {
		{ '+', 136, 8, 0, { { 128, 8, 0 }, { 144, 8, 8 }, { 136, 8, 16 } } },
		{ '-', 144, 8, 0, { { 128, 8, 0 }, { 136, 8, 16 } } },
		{ '+', 144, 8, 0, { { 128, 8, 0 }, { 144, 8, 8 }, { 136, 8, 16 } } },
	} },
	{ "alone", { { 128, 8 }, { 144, 8 }, { 160, 8 } }, 8, 32, {
		{ '-', 144, 8, 0, { { 128, 8, 0 }, { 160, 8, 16 } } },
		{ '+', 200, 8, 0, { { 128, 8, 0 }, { 200, 8, 8 }, { 160, 8, 16 } } },
		{ '+', 64, 8, 0, { { 128, 8, 0 }, { 200, 8, 8 }, { 160, 8, 16 }, { 64, 8, 24 } } },
	} },
	{ "alone, where there is enough room", { { 128, 8 }, { 144, 8 }, { 160, 8 } }, 16, 40, {
		{ '-', 144, 8, 0, { { 128, 8, 0 }, { 160, 8, 16 } } },
		{ '+', 200, 16, 0, { { 128, 8, 0 }, { 160, 8, 16 }, { 200, 16, 24 } } },
		{ '+', 48, 8, 0,
		  { { 128, 8, 0 }, { 48, 8, 8 }, { 160, 8, 16 }, { 200, 16, 24 } } },
		{ '+', 400, 1, -ENOSPC },
	} },
	{ "the middle", { { 128, 8 } }, 0, 8, {
		{ '-', 130, 2, 0, { { 128, 2, 0 }, { 132, 4, 4 } } },
		{ '+', 200, 2, -ENOSPC },
		{ '+', 130, 2, 0, { { 128, 8, 0 } } },
	} },
	{ "the middle, in parts", { { 128, 8 } }, 0, 8, {
		{ '-', 130, 4, 0, { { 128, 2, 0 }, { 134, 2, 6 } } },
		{ '+', 131, 2, 0, { { 128, 2, 0 }, { 131, 2, 3 }, { 134, 2, 6 } } },
		{ '+', 130, 1, 0, { { 128, 5, 0 }, { 134, 2, 6 } } },
		{ '+', 133, 1, 0, { { 128, 8, 0 } } },
	} },
	{ "the middle of a second gigabyte, in parts", { { 128, 16 } }, 0, 16, {
		{ '-', 138, 5, 0, { { 128, 10, 0 }, { 143, 1, 15 } } },
		{ '+', 139, 2, 0, { { 128, 10, 0 }, { 139, 2, 11 }, { 143, 1, 15 } } },
		{ '+', 138, 1, 0, { { 128, 13, 0 }, { 143, 1, 15 } } },
		{ '+', 141, 2, 0, { { 128, 16, 0 } } },
	} },
	{ "the middle, over a border", { { 128, 24 } }, 0, 24, {
		{ '-', 134, 4, 0, { { 128, 6, 0 }, { 138, 14, 10 } } },
		{ '+', 200, 4, -ENOSPC },
		{ '+', 134, 4, 0, { { 128, 24, 0 } } },
	} },
	{ "the start", { { 128, 16 } }, 0, 16, {
		{ '-', 128, 1, 0, { { 129, 15, 1 } } },
		{ '-', 129, 8, 0, { { 137, 7, 9 } } },
		{ '+', 135, 2, 0, { { 135, 9, 7 } } },
		{ '+', 128, 7, 0, { { 128, 16, 0 } } },
	} },
	{ "the end", { { 128, 16 } }, 0, 16, {
		{ '-', 143, 1, 0, { { 128, 15, 0 } } },
		{ '-', 135, 8, 0, { { 128, 7, 0 } } },
		{ '+', 135, 8, 0, { { 128, 15, 0 } } },
		{ '+', 143, 1, 0, { { 128, 16, 0 } } },
	} },
	{ "all", { { 128, 8 }, { 144, 8 } }, 0, 16, {
		{ '-', 144, 8, 0, { { 128, 8, 0 } } },
		{ '-', 128, 8, 0, { } },
		{ '+', 200, 16, 0, { { 200, 16, 0 } } },
	} },
	{ "nothing at first", { }, 16, 16, {
		{ '+', 203, 2, 0, { { 203, 2, 3 } } },
		{ '+', 128, 8, 0, { { 203, 2, 3 }, { 128, 8, 8 } } },
		{ '-', 203, 2, 0, { { 128, 8, 8 } } },
		{ '-', 128, 8, 0, { } },
		{ '+', 64, 16, 0, { { 64, 16, 0 } } },
		{ '-', 64, 16, 0, { } },
	} },
	{ "room for less than a gigabyte", { }, 3, 3, {
		{ '+', 133, 3, -ENOSPC },
		{ '+', 128, 4, -ENOSPC },
		{ '+', 129, 2, 0, { { 129, 2, 1 } } },
		{ '+', 128, 1, 0, { { 128, 3, 0 } } },
	} },
	{ "from the middle of a gigabyte", { { 133, 3 } }, 8, 16, {
		{ '+', 136, 8, 0, { { 133, 11, 5 } } },
		{ '+', 128, 5, 0, { { 128, 16, 0 } } },
	} },
	{ "after a part of a gigabyte", { { 128, 3 } }, 8, 16, {
		{ '+', 200, 8, 0, { { 128, 3, 0 }, { 200, 8, 8 } } },
		{ '+', 131, 5, 0, { { 128, 8, 0 }, { 200, 8, 8 } } },
		{ '+', 136, 1, -ENOSPC },
	} },
	{ "a gigabyte in pieces", { { 128, 8 } }, 8, 16, {
		{ '+', 205, 3, 0, { { 128, 8, 0 }, { 205, 3, 13 } } },
		{ '+', 201, 2, 0, { { 128, 8, 0 }, { 201, 2, 9 }, { 205, 3, 13 } } },
		{ '+', 300, 1, -ENOSPC },
		{ '+', 203, 2, 0, { { 128, 8, 0 }, { 201, 7, 9 } } },
		{ '+', 200, 1, 0, { { 128, 8, 0 }, { 200, 8, 8 } } },
	} },
	{ "the group of another gigabyte", { { 128, 4 } }, 8, 16, {
		{ '+', 212, 4, 0, { { 128, 4, 0 }, { 212, 4, 12 } } },
		{ '+', 308, 4, -ENOSPC },
		{ '+', 208, 4, 0, { { 128, 4, 0 }, { 208, 8, 8 } } },
		{ '+', 132, 4, 0, { { 128, 8, 0 }, { 208, 8, 8 } } },
	} },
	{ "between the groups of two gigabytes", { { 128, 4 }, { 204, 4 } }, 0, 16, {
		{ '+', 300, 4, -ENOSPC },
		{ '+', 134, 1, 0, { { 128, 4, 0 }, { 134, 1, 6 }, { 204, 4, 12 } } },
		{ '+', 201, 1, 0, { { 128, 4, 0 }, { 134, 1, 6 }, { 201, 1, 9 }, { 204, 4, 12 } } },
	} },
	/* The new range has parts of two gigabytes, of which the pool has the rest. */
	{ "between two gigabytes", { { 128, 4 }, { 140, 4 } }, 0, 16, {
		{ '+', 133, 6, 0, { { 128, 4, 0 }, { 133, 6, 5 }, { 140, 4, 12 } } },
		{ '+', 139, 1, 0, { { 128, 4, 0 }, { 133, 11, 5 } } },
	} },
	{ "a gigabyte in two groups", { { 128, 1 }, { 129, 1 } }, 8, 12, {
		{ '+', 130, 2, 0, { { 128, 1, 0 }, { 129, 3, 9 } } },
		{ '-', 129, 3, 0, { { 128, 1, 0 } } },
		{ '+', 129, 3, 0, { { 128, 4, 0 } } },
	} },
	{ "numbers enough, but in two groups", { { 128, 8 }, { 144, 8 } }, 0, 16, {
		{ '-', 130, 1, 0, { { 128, 2, 0 }, { 131, 5, 3 }, { 144, 8, 8 } } },
		{ '-', 151, 1, 0, { { 128, 2, 0 }, { 131, 5, 3 }, { 144, 7, 8 } } },
		{ '+', 200, 2, -ENOSPC },
		{ '+', 202, 1, -ENOSPC },
	} },
};

static void resize_step_done(struct pool *p, const struct resize_step *step)
{
	struct pool_copy copy;
	int err;

	pool_keep(p, &copy);
	if (step->what == '+')
		err = resize_add(p, step->base, step->size);
	else
		err = resize_cut(p, step->base, step->size);
	if (err != step->err)
		FAIL("%c %u %u: %d, not %d", step->what, step->base, step->size, err, step->err);
	if (err) {
		pool_unchanged(p, &copy);
	} else {
		resize_expect(p, step->want, MAX_PARTS);
		CHECK(p->t.resized);
	}
	free(copy.meta);
}

static void resize_case(const void *arg)
{
	const struct resize_case *c = arg;
	struct pool p;
	u32 nr, i;

	for (nr = 0; nr < MAX_PARTS && c->start[nr].size; nr++)
		;
	resize_make(&p, c->start, nr, c->room);
	for (i = 0; i < MAX_STEPS && c->steps[i].what; i++) {
		resize_step_done(&p, &c->steps[i]);
		/* All blocks are free, and those that have just come are to be zeroed. */
		CHECK_EQ(p.t.free_blocks, p.t.total_blocks);
		CHECK_EQ(bitmap_weight(p.t.unzeroed, p.t.nr_blocks), p.t.total_blocks);
		resize_reopen(&p);
	}
	CHECK_EQ(p.t.nr_blocks, c->numbers * SECTION);
	pool_free(&p);
}

/* Makes as many ranges as there may be, each of them every other section from 128 on. */
static void resize_make_most(struct pool *p)
{
	const struct part start = { 128, 2 * GUESTMEMFS_MAX_RANGES + 1 };
	u32 i;

	resize_make(p, &start, 1, 16);
	/* This leaves one range more than there is room for; its end leaves first. */
	CHECK_EQ(resize_cut(p, start.base + start.size - 1, 1), 0);
	for (i = 1; i < GUESTMEMFS_MAX_RANGES; i++)
		CHECK_EQ(resize_cut(p, start.base + 2 * i - 1, 1), 0);
	CHECK_EQ(p->t.nr_ranges, GUESTMEMFS_MAX_RANGES);
	CHECK_EQ(le64_to_cpu(p->t.ranges[GUESTMEMFS_MAX_RANGES - 1].size),
		 2 * GUESTMEMFS_RANGE_ALIGN);
	resize_reopen(p);
}

/* With 128 ranges nothing can become a further one, but ranges can become longer and shorter. */
static void resize_most_ranges(const void *arg)
{
	const u32 last = 128 + 2 * GUESTMEMFS_MAX_RANGES - 2;
	struct pool_copy copy;
	struct pool p;

	(void)arg;
	resize_make_most(&p);
	pool_keep(&p, &copy);
	CHECK_EQ(resize_add(&p, 512, 8), -ENOSPC);
	CHECK_EQ(resize_add(&p, last + 4, 1), -ENOSPC);
	pool_unchanged(&p, &copy);
	/* Above the last range, then one from its middle, which must fail, and its ends. */
	CHECK_EQ(resize_add(&p, last + 2, 6), 0);
	CHECK_EQ(resize_cut(&p, last + 3, 1), -E2BIG);
	CHECK_EQ(resize_cut(&p, last, 1), 0);
	CHECK_EQ(resize_cut(&p, last + 7, 1), 0);
	CHECK_EQ(p.t.nr_ranges, GUESTMEMFS_MAX_RANGES);
	resize_reopen(&p);
	/* Two ranges become one, so that there may be another one again: one, and not two. */
	CHECK_EQ(resize_add(&p, 129, 1), 0);
	CHECK_EQ(p.t.nr_ranges, GUESTMEMFS_MAX_RANGES - 1);
	CHECK_EQ(resize_cut(&p, last + 3, 1), 0);
	CHECK_EQ(resize_cut(&p, last + 5, 1), -E2BIG);
	CHECK_EQ(resize_cut(&p, 128, 3), 0);
	CHECK_EQ(resize_add(&p, 512, 8), 0);
	CHECK_EQ(p.t.nr_ranges, GUESTMEMFS_MAX_RANGES);
	resize_reopen(&p);
	free(copy.meta);
	pool_free(&p);
}

/* Whatever is cut gets its numbers again at once, with 128 ranges as well. */
static void resize_cut_is_undone(const void *arg)
{
	struct pool_copy copy;
	struct pool p;
	u32 i, block, count;

	(void)arg;
	resize_make_most(&p);
	for (i = 0; i < p.t.nr_ranges; i++) {
		block = le32_to_cpu(p.t.ranges[i].first_block);
		count = gmfs_block_range_end(&p.t, block) - block;
		pool_keep(&p, &copy);
		CHECK_EQ(resize_cut_blocks(&p, block, count), 0);
		CHECK_EQ(p.t.nr_ranges, GUESTMEMFS_MAX_RANGES - 1);
		resize_check(&p);
		CHECK_EQ(gmfs_resize_add(&p.t, le64_to_cpu(((struct guestmemfs_range *)
			 (copy.meta + ((u8 *)p.t.ranges - (u8 *)p.meta)))[i].base),
			 (u64)count << GUESTMEMFS_BLOCK_SHIFT), 0);
		CHECK(!memcmp(copy.meta, p.meta, p.meta_size));
		free(copy.meta);
	}
	resize_reopen(&p);
	pool_free(&p);
}

/* Numbers are used again: the tables are not used up by growing and shrinking for ever. */
static void resize_for_ever(const void *arg)
{
	static const struct part start[] = { { 128, 8 }, { 144, 8 } };
	static const u32 counts[] = { GROUP, SECTION, 2 * SECTION, 4 * SECTION };
	struct pool p;
	u64 seed = 1;
	u32 i, block;

	(void)arg;
	resize_make(&p, start, 2, 16);
	CHECK_EQ(pool_fill(&p, pool_file(&p), 0, 10), 0);
	for (i = 0; i < 1000; i++) {
		u32 count = counts[pool_random(&seed) % ARRAY_SIZE(counts)];
		u64 base;

		CHECK_EQ(resize_add(&p, 160 + 16 * (i % 20), 16), 0);
		CHECK_EQ(resize_add(&p, 800, 1), -ENOSPC);
		CHECK_EQ(p.t.nr_blocks, 4 * GROUP);
		CHECK_EQ(resize_cut(&p, 160 + 16 * (i % 20), 16), 0);
		/* A piece of the rest leaves and comes back. */
		CHECK(gmfs_resize_find(&p.t, count, true, &block));
		base = gmfs_block_phys(&p.t, block);
		CHECK_EQ(resize_cut_blocks(&p, block, count), 0);
		if (i % 10 == 0)
			resize_reopen(&p);
		CHECK_EQ(gmfs_resize_add(&p.t, base, (u64)count << GUESTMEMFS_BLOCK_SHIFT), 0);
		resize_expect(&p, (struct part[]){ { 128, 8, 0 }, { 144, 8, 8 } }, 2);
	}
	resize_reopen(&p);
	pool_free(&p);
}

/* An address that does not fit in 32 bits of gigabytes. */
static void resize_far_away(const void *arg)
{
	const struct gmfs_range range = { 1ULL << 62, GIB };
	struct pool p;

	(void)arg;
	pool_make_room(&p, &range, 1, 2 * GROUP);
	CHECK_EQ(gmfs_block_phys(&p.t, 3), (1ULL << 62) + 6 * MIB);
	/* More blocks than there are numbers. */
	CHECK_EQ(gmfs_resize_add(&p.t, 0, 1ULL << 61), -ENOSPC);
	CHECK_EQ(gmfs_resize_add(&p.t, 1ULL << 31, (1ULL << 53) + GIB), -ENOSPC);
	CHECK_EQ(gmfs_resize_add(&p.t, 1ULL << 31, GIB), 0);
	CHECK_EQ(gmfs_resize_add(&p.t, (1ULL << 63) - 2 * GIB, GIB), 0);
	CHECK_EQ(gmfs_block_phys(&p.t, GROUP + 3), (1ULL << 31) + 6 * MIB);
	CHECK_EQ(gmfs_block_phys(&p.t, 2 * GROUP + 3), (1ULL << 63) - 2 * GIB + 6 * MIB);
	resize_reopen(&p);
	pool_free(&p);
}

/* The addresses are known before gmfs_alloc_init() has set up the groups, too. */
static void resize_addresses_unloaded(const void *arg)
{
	static const struct part start[] = { { 128, 8 }, { 144, 8 } };
	struct gmfs_complaint c = {};
	struct gmfs_tables t;
	struct pool p;
	u32 i, n = 0;

	(void)arg;
	resize_make(&p, start, 2, 8);
	CHECK_EQ(resize_add(&p, 66, 4), 0);
	CHECK_EQ(resize_cut(&p, 130, 3), 0);
	CHECK_EQ(gmfs_format_open(&t, p.meta, META_BASE, p.meta_size, &c), 0);
	CHECK(!t.groups);
	for (i = 0; i < p.t.nr_blocks; i++) {
		if (test_bit(i, p.t.bitmap))
			continue;
		CHECK_EQ(gmfs_block_phys(&t, i), gmfs_block_phys(&p.t, i));
		n++;
	}
	CHECK_EQ(n, 17 * SECTION);
	pool_free(&p);
}

/*
 * Records of poisoned frames are looked at before they are checked (gmfs_poison_save()): a frame
 * may have no block, and the pool no range. Any result is right that reads nothing but the tables.
 */
static void resize_addresses_of_nothing(const void *arg)
{
	const struct part gigabyte = { 128, 8 };
	struct gmfs_complaint c = {};
	struct gmfs_tables t;
	struct pool p;

	(void)arg;
	resize_make(&p, &gigabyte, 1, 8);
	CHECK_EQ(resize_cut(&p, 128, 4), 0);
	CHECK_EQ(gmfs_format_open(&t, p.meta, META_BASE, p.meta_size, &c), 0);
	gmfs_block_phys(&t, 0);
	CHECK_EQ(resize_cut(&p, 132, 4), 0);
	CHECK_EQ(gmfs_format_open(&t, p.meta, META_BASE, p.meta_size, &c), 0);
	CHECK_EQ(t.nr_blocks, GROUP);
	CHECK(gmfs_block_range(&t, 5) == t.ranges);
	gmfs_block_phys(&t, GROUP - 1);
	pool_free(&p);
}

/* The next kernel may have room for fewer ranges: the caller lowers their number. */
static void resize_fewer_ranges(const void *arg)
{
	static const struct part start = { 128, 24 };
	struct pool p;

	(void)arg;
	resize_make(&p, &start, 1, 16);
	p.t.max_ranges = 1;
	CHECK_EQ(resize_cut(&p, 140, 1), -E2BIG);
	CHECK_EQ(resize_add(&p, 512, 8), -ENOSPC);
	/* The ends, and memory beside the range, need no other range. */
	CHECK_EQ(resize_cut(&p, 128, 1), 0);
	CHECK_EQ(resize_cut(&p, 151, 1), 0);
	CHECK_EQ(resize_add(&p, 151, 1), 0);
	CHECK_EQ(p.t.nr_ranges, 1);
	/* There may be more ranges already than are allowed. */
	p.t.max_ranges = 0;
	CHECK_EQ(resize_cut(&p, 140, 1), -E2BIG);
	CHECK_EQ(resize_cut(&p, 151, 1), 0);
	/* A mount begins with the limit of the format. */
	resize_reopen(&p);
	CHECK_EQ(p.t.max_ranges, GUESTMEMFS_MAX_RANGES);
	CHECK_EQ(resize_cut(&p, 140, 1), 0);
	CHECK_EQ(p.t.nr_ranges, 2);
	pool_free(&p);
}

void resize_tests(void)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(resize_cases); i++)
		test_add(resize_case, &resize_cases[i], "resize: %s", resize_cases[i].name);
	TEST(resize_most_ranges);
	TEST(resize_fewer_ranges);
	TEST(resize_cut_is_undone);
	TEST(resize_for_ever);
	TEST(resize_far_away);
	TEST(resize_addresses_unloaded);
	TEST(resize_addresses_of_nothing);
}
