// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests private and shared pages of a file: converting, joining, looking up.
 */
#include "states.h"

u32 states_pool(struct pool *p, u32 gib)
{
	pool_make_gib(p, gib);
	return pool_file(p);
}

void states_run_is(const struct pool *p, u32 file, u64 logical, u64 count, u32 flags)
{
	struct gmfs_run run;

	gmfs_map_lookup(&p->t, &p->map[file], logical, &run);
	CHECK_EQ(run.count, count);
	CHECK_EQ(run.flags, flags & ~ALLOCATED);
	CHECK_EQ(run.block != GMFS_NO_BLOCK, !!(flags & ALLOCATED));
	CHECK_EQ(!!run.map, !!(flags & MIXED));
}

void states_page_is(const struct pool *p, u32 file, u64 page, u64 end, u32 flags)
{
	struct gmfs_state s;

	gmfs_map_state(&p->t, &p->map[file], page, &s);
	CHECK_EQ(s.end, end);
	CHECK_EQ(s.converted, !!(flags & CONVERTED));
	CHECK_EQ(s.allocated, !!(flags & ALLOCATED));
}

void states_pin(struct pool *p, u32 file, u64 logical, u64 count)
{
	CHECK_EQ(pool_pin(p, file, logical * PAGES, (logical + count) * PAGES), 0);
}

void states_unpin(struct pool *p, u32 file, u64 logical, u64 count)
{
	pool_unpin(p, file, logical * PAGES, (logical + count) * PAGES);
}

u32 states_used_extents(const struct pool *p)
{
	return le32_to_cpu(p->t.super->live.used_extents);
}

u32 states_used_maps(const struct pool *p)
{
	return le32_to_cpu(p->t.super->live.used_maps);
}

/* Converting one page and back: the extent is split, and is a single extent again in the end. */
static void convert_and_back(const void *arg)
{
	static const u64 pages[] = { 0, 1, 511, 512, 5 * 512 + 7, PAGES_GIB - 1 };
	u32 a, i, free_maps;
	struct pool p;

	(void)arg;
	a = states_pool(&p, 2);
	CHECK_EQ(pool_fill(&p, a, 0, GROUP), 0);
	free_maps = p.t.free_maps;
	for (i = 0; i < ARRAY_SIZE(pages); i++) {
		u64 page = pages[i], block = page / PAGES;

		CHECK_EQ(pool_convert(&p, a, page, page + 1, true), 0);
		CHECK_EQ(pool_extents(&p, a), block && block < GROUP - 1 ? 3 : 2);
		states_run_is(&p, a, block, 1, ALLOCATED | MIXED);
		states_page_is(&p, a, page, page + 1, ALLOCATED | CONVERTED);
		CHECK(!pool_alike(&p, a, 0, PAGES_GIB));
		CHECK(pool_alike(&p, a, page, 1));
		CHECK_EQ(p.t.free_maps, free_maps - 1);
		pool_check(&p);
		CHECK_EQ(pool_convert(&p, a, page, page + 1, false), 0);
		CHECK_EQ(pool_extents(&p, a), 1);
		states_run_is(&p, a, 0, GROUP, ALLOCATED);
		CHECK(pool_alike(&p, a, 0, PAGES_GIB));
		CHECK_EQ(p.t.free_maps, free_maps);
		pool_check(&p);
	}
	/* The same map was used each time. */
	CHECK_EQ(states_used_maps(&p), 2);
	CHECK(states_used_extents(&p) <= 4);
	pool_free(&p);
}

/* Converting all pages in pieces, not in order: in the end there is a single extent. */
static void convert_all_in_pieces(const void *arg)
{
	const u64 piece = 96;
	u64 i, nr = DIV_ROUND_UP(PAGES_GIB, piece);
	struct pool p;
	u32 a;

	(void)arg;
	/* A pool of one gigabyte has one map too few for this. */
	a = states_pool(&p, 2);
	CHECK_EQ(pool_fill(&p, a, 0, GROUP), 0);
	for (i = 0; i < nr; i++) {
		/* The step 1021 and @nr have no common divisor, so each piece is chosen once. */
		u64 at = i * 1021 % nr * piece;

		CHECK_EQ(pool_convert(&p, a, at, min(at + piece, PAGES_GIB), true), 0);
		if (i % 256 == 0)
			pool_check(&p);
	}
	CHECK_EQ(pool_extents(&p, a), 1);
	states_run_is(&p, a, 0, GROUP, ALLOCATED | CONVERTED);
	states_page_is(&p, a, 0, PAGES_GIB, ALLOCATED | CONVERTED);
	pool_check(&p);
	pool_free(&p);
}

/* Returns how many entries of the extent table have changed. */
static u32 extents_changed(const struct pool *p, const struct guestmemfs_extent *before, u32 nr)
{
	u32 i, changed = 0;

	for (i = 0; i < nr; i++)
		changed += !!memcmp(&before[i], &p->t.extents[i], sizeof(before[i]));
	return changed;
}

/* The cost of a conversion depends on the number of extents, not on its size. */
static void convert_is_bounded(const void *arg)
{
	const u64 gib = *(const u64 *)arg;
	struct guestmemfs_extent before[64];
	struct pool p;
	u32 a;

	a = states_pool(&p, 2);
	CHECK_EQ(pool_fill(&p, a, 3, 1), 0);
	memcpy(before, p.t.extents, sizeof(before));
	shim_allocations = 0;
	shim_largest = 0;
	CHECK_EQ(pool_convert(&p, a, GROUP * PAGES, GROUP * PAGES + gib * PAGES_GIB, true), 0);
	CHECK_EQ(pool_extents(&p, a), 2);
	CHECK_EQ(extents_changed(&p, before, ARRAY_SIZE(before)), 1);
	/* Allocations for the old and the new extents, but none by the number of blocks. */
	CHECK(shim_allocations <= 2);
	CHECK(shim_largest < 256);
	pool_check(&p);
	pool_free(&p);
}

static const u64 bounded_sizes[] = { 1, 100, 8191 };

static void convert_gib_with_blocks(const void *arg)
{
	struct guestmemfs_extent before[64];
	struct pool p;
	u32 a;

	(void)arg;
	a = states_pool(&p, 3);
	CHECK_EQ(pool_fill(&p, a, 0, 3 * GROUP), 0);
	CHECK_EQ(pool_extents(&p, a), 1);
	memcpy(before, p.t.extents, sizeof(before));
	CHECK_EQ(pool_convert(&p, a, PAGES_GIB, 2 * PAGES_GIB, true), 0);
	CHECK_EQ(pool_extents(&p, a), 3);
	CHECK_EQ(extents_changed(&p, before, ARRAY_SIZE(before)), 3);
	states_run_is(&p, a, GROUP, GROUP, ALLOCATED | CONVERTED);
	CHECK_EQ(pool_convert(&p, a, PAGES_GIB, 2 * PAGES_GIB, false), 0);
	CHECK_EQ(pool_extents(&p, a), 1);
	pool_check(&p);
	pool_free(&p);
}

/* Converting all pages of the largest file, which are more than the count of an extent can hold. */
static void convert_the_largest_file(const void *arg)
{
	struct pool p;
	u32 a;

	(void)arg;
	a = states_pool(&p, 1);
	CHECK_EQ(pool_convert(&p, a, 0, TOP, true), 0);
	states_page_is(&p, a, 0, TOP, CONVERTED);
	states_page_is(&p, a, TOP - 1, TOP, CONVERTED);
	CHECK(pool_extents(&p, a) <= 3);
	pool_check(&p);
	CHECK_EQ(pool_convert(&p, a, TOP / 2 + 1, TOP / 2 + 2, false), 0);
	states_page_is(&p, a, TOP / 2 + 1, TOP / 2 + 2, 0);
	CHECK_EQ(pool_fill(&p, a, GMFS_MAX_LOGICAL - 1, 1), 0);
	states_run_is(&p, a, GMFS_MAX_LOGICAL - 1, 1, ALLOCATED | CONVERTED);
	CHECK_EQ(pool_convert(&p, a, TOP / 2 + 1, TOP / 2 + 2, true), 0);
	CHECK_EQ(pool_punch(&p, a, 0, GMFS_MAX_LOGICAL), 0);
	states_page_is(&p, a, 5, TOP, CONVERTED);
	pool_check(&p);
	CHECK_EQ(pool_convert(&p, a, 0, TOP, false), 0);
	CHECK_EQ(pool_extents(&p, a), 0);
	/* Behind the end of the largest file the state extends to U64_MAX, so that loops end. */
	states_page_is(&p, a, TOP - 1, TOP, 0);
	states_page_is(&p, a, TOP, U64_MAX, 0);
	pool_check(&p);
	pool_free(&p);
}

/* The states of pages of all kinds, with and without blocks. */
static void states_of_a_file(const void *arg)
{
	struct pool p;
	u32 a;

	(void)arg;
	a = states_pool(&p, 1);
	CHECK_EQ(pool_fill(&p, a, 2, 4), 0);
	CHECK_EQ(pool_convert(&p, a, 4 * PAGES, 10 * PAGES + 100, true), 0);
	states_pin(&p, a, 5, 1);
	CHECK_EQ(pool_punch(&p, a, 5, 1), 0);
	states_page_is(&p, a, 0, 2 * PAGES, 0);
	states_page_is(&p, a, 2 * PAGES - 1, 2 * PAGES, 0);
	states_page_is(&p, a, 2 * PAGES, 4 * PAGES, ALLOCATED);
	states_page_is(&p, a, 4 * PAGES, 5 * PAGES, ALLOCATED | CONVERTED);
	/* The block is detached, and its pages are like those that never had memory. */
	states_page_is(&p, a, 5 * PAGES + 9, 10 * PAGES + 100, CONVERTED);
	states_page_is(&p, a, 10 * PAGES + 99, 10 * PAGES + 100, CONVERTED);
	states_page_is(&p, a, 10 * PAGES + 100, TOP, 0);
	states_run_is(&p, a, 5, 5, CONVERTED);
	states_run_is(&p, a, 10, 1, MIXED);
	/* Blocks that are not adjacent in the pool are still one state. */
	CHECK_EQ(pool_fill(&p, a, 100, 2), 0);
	CHECK_EQ(pool_fill(&p, a, 200, 2), 0);
	CHECK_EQ(pool_fill(&p, a, 150, 2), 0);
	CHECK_EQ(pool_fill(&p, a, 102, 48), 0);
	CHECK_EQ(pool_fill(&p, a, 152, 48), 0);
	states_page_is(&p, a, 100 * PAGES, 202 * PAGES, ALLOCATED);
	CHECK(pool_alike(&p, a, 64 * PAGES, 256 * PAGES));
	CHECK(pool_alike(&p, a, 6 * PAGES, 2 * PAGES));
	CHECK(!pool_alike(&p, a, 10 * PAGES, PAGES));
	CHECK(pool_alike(&p, a, 10 * PAGES + 96, 4));
	CHECK(!pool_alike(&p, a, 10 * PAGES + 96, 8));
	CHECK(pool_alike(&p, a, 4 * PAGES, 4 * PAGES));
	CHECK_EQ(p.map[a].blocks, 105);
	CHECK_EQ(p.t.detached.blocks, 1);
	pool_check(&p);
	pool_free(&p);
}

/* gmfs_map_state() looks at a limited number of extents, so its answer may be for a part only. */
static void state_is_bounded(const void *arg)
{
	struct gmfs_state s;
	struct pool p;
	u32 a, b, i;

	(void)arg;
	a = states_pool(&p, 3);
	b = pool_file(&p);
	/* Leave every second block, so that no two blocks are joined. */
	CHECK_EQ(pool_fill(&p, b, 0, 3 * GROUP), 0);
	for (i = 0; i < 3 * GROUP; i += 2)
		CHECK_EQ(pool_punch(&p, b, i, 1), 0);
	CHECK_EQ(pool_fill(&p, a, 0, 700), 0);
	CHECK_EQ(pool_extents(&p, a), 700);
	gmfs_map_state(&p.t, &p.map[a], 0, &s);
	CHECK_EQ(s.end, GROUP * PAGES);
	states_page_is(&p, a, s.end, 700 * PAGES, ALLOCATED);
	CHECK(pool_alike(&p, a, 0, PAGES_GIB));
	pool_check(&p);
	pool_free(&p);
}

void states_tests(void)
{
	u32 i;

	TEST(convert_and_back);
	TEST(convert_all_in_pieces);
	for (i = 0; i < ARRAY_SIZE(bounded_sizes); i++)
		test_add(convert_is_bounded, &bounded_sizes[i], "convert_is_bounded: %u GiB",
			 (u32)bounded_sizes[i]);
	TEST(convert_gib_with_blocks);
	TEST(convert_the_largest_file);
	TEST(states_of_a_file);
	TEST(state_is_bounded);
}
