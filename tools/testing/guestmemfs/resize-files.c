// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests pools that are resized while they have files: what the files keep, which blocks can leave,
 * and limits and reservations.
 */
#include <stdlib.h>

#include "resize.h"

#define PAGES	((u64)GUESTMEMFS_BLOCK_PAGES)

static const struct part gigabyte = { 128, 8 };

/* The block and the address of each block of a file. */
struct kept {
	u32 nr;
	u32 block[2 * GROUP];
	u64 phys[2 * GROUP];
};

static void keep_blocks(struct pool *p, u32 file, u32 nr, struct kept *k)
{
	u32 i;

	CHECK(nr <= ARRAY_SIZE(k->block));
	k->nr = nr;
	for (i = 0; i < nr; i++) {
		k->block[i] = pool_block(p, file, i);
		k->phys[i] = k->block[i] == GMFS_NO_BLOCK ? 0 :
			     gmfs_block_phys(&p->t, k->block[i]);
	}
}

static void expect_kept(struct pool *p, u32 file, const struct kept *k)
{
	u32 i;

	for (i = 0; i < k->nr; i++) {
		CHECK_EQ(pool_block(p, file, i), k->block[i]);
		if (k->block[i] != GMFS_NO_BLOCK)
			CHECK_EQ(gmfs_block_phys(&p->t, k->block[i]), k->phys[i]);
	}
}

/* Blocks of files keep number and address, whatever comes and goes around them. */
static void resize_keeps_files(const void *arg)
{
	static const struct part start[] = { { 128, 8 }, { 144, 8 } };
	struct kept *k = malloc(sizeof(*k));
	struct pool p;
	u32 a, block;

	(void)arg;
	CHECK(k);
	resize_make(&p, start, 2, 16);
	a = pool_file(&p);
	CHECK_EQ(pool_fill(&p, a, 0, 60), 0);
	CHECK_EQ(pool_fill(&p, a, 100, 700), 0);
	CHECK_EQ(pool_punch(&p, a, 200, 256), 0);
	keep_blocks(&p, a, 800, k);
	while (gmfs_resize_find(&p.t, SECTION, true, &block)) {
		CHECK_EQ(resize_cut_blocks(&p, block, SECTION), 0);
		expect_kept(&p, a, k);
		resize_reopen(&p);
		expect_kept(&p, a, k);
	}
	CHECK(p.t.total_blocks < 2 * GROUP - 256 && p.t.nr_ranges > 2);
	CHECK_EQ(resize_add(&p, 136, 8), 0);
	CHECK_EQ(resize_add(&p, 64, 8), 0);
	expect_kept(&p, a, k);
	resize_reopen(&p);
	expect_kept(&p, a, k);
	CHECK_EQ(pool_punch(&p, a, 0, 800), 0);
	while (gmfs_resize_find(&p.t, SECTION, true, &block))
		CHECK_EQ(resize_cut_blocks(&p, block, SECTION), 0);
	CHECK_EQ(p.t.total_blocks, 0);
	resize_reopen(&p);
	free(k);
	pool_free(&p);
}

/* New blocks are free, are zeroed before use, and can be mapped by 1 GiB. */
static void resize_new_blocks_are_used(const void *arg)
{
	struct pool p;
	u32 a, b, i;

	(void)arg;
	resize_make(&p, &gigabyte, 1, 12);
	a = pool_file(&p);
	b = pool_file(&p);
	pool_size(&p, b, GROUP);
	CHECK_EQ(pool_fill(&p, a, 0, GROUP), 0);
	bitmap_zero(p.t.unzeroed, p.t.nr_blocks);
	CHECK_EQ(pool_fill(&p, b, 0, 1), -ENOSPC);
	CHECK_EQ(resize_add(&p, 200, 12), 0);
	CHECK_EQ(p.t.free_blocks, 12 * SECTION);
	CHECK_EQ(gmfs_full_groups(&p.t), 1);
	CHECK_EQ(gmfs_largest_free(&p.t), 12 * SECTION);
	for (i = 0; i < p.t.nr_blocks; i++)
		CHECK_EQ(test_bit(i, p.t.unzeroed), i >= GROUP);
	CHECK_EQ(pool_fill(&p, b, 5, 1), 0);
	CHECK_EQ(pool_block(&p, b, 5), GROUP + 5);
	CHECK_EQ(pool_fill(&p, b, 0, GROUP), 0);
	CHECK_EQ(pool_block(&p, b, 0), GROUP);
	CHECK_EQ(pool_extents(&p, b), 1);
	CHECK_EQ(pool_fill(&p, a, GROUP, 4 * SECTION), 0);
	CHECK_EQ(pool_block(&p, a, GROUP), 2 * GROUP);
	CHECK_EQ(pool_fill(&p, a, 2 * GROUP, 1), -ENOSPC);
	resize_reopen(&p);
	pool_free(&p);
}

/*
 * A file goes on in numbers that a range has got, but not over a hole in the numbers, nor over the
 * border between ranges.
 */
static void resize_files_go_on(const void *arg)
{
	struct pool p;
	u32 a;

	(void)arg;
	resize_make(&p, &gigabyte, 1, 8);
	a = pool_file(&p);
	pool_size(&p, a, 2 * GROUP);
	CHECK_EQ(pool_fill(&p, a, 0, GROUP), 0);
	CHECK_EQ(resize_add(&p, 136, 8), 0);
	CHECK_EQ(pool_fill(&p, a, GROUP, 100), 0);
	CHECK_EQ(pool_extents(&p, a), 1);
	/* The rest of the second gigabyte but its end leaves. */
	CHECK_EQ(resize_cut(&p, 138, 5), 0);
	CHECK_EQ(pool_fill(&p, a, GROUP + 100, 28 + SECTION), 0);
	CHECK_EQ(pool_extents(&p, a), 2);
	CHECK_EQ(pool_block(&p, a, GROUP + 128), GROUP + 7 * SECTION);
	CHECK_EQ(p.t.free_blocks, 0);
	resize_reopen(&p);
	CHECK_EQ(resize_add(&p, 138, 5), 0);
	CHECK_EQ(p.t.nr_ranges, 1);
	CHECK_EQ(pool_fill(&p, a, GROUP + 128 + SECTION, 5 * SECTION), 0);
	resize_reopen(&p);
	pool_free(&p);
}

/* A pool without blocks has names, but no contents; it has blocks again later. */
static void resize_to_nothing(const void *arg)
{
	struct pool p;
	u32 a, block;

	(void)arg;
	resize_make(&p, &gigabyte, 1, 0);
	a = pool_file(&p);
	pool_size(&p, a, 40);
	pool_dir(&p, GUESTMEMFS_ROOT_INO, "d");
	CHECK_EQ(pool_convert(&p, a, 10 * PAGES + 7, 20 * PAGES, true), 0);
	CHECK_EQ(resize_cut(&p, 128, 8), 0);
	CHECK_EQ(p.t.nr_ranges + p.t.total_blocks + p.t.free_blocks, 0);
	CHECK_EQ(gmfs_blocks_left(&p.t) + gmfs_full_groups(&p.t) + gmfs_largest_free(&p.t), 0);
	CHECK(!gmfs_resize_find(&p.t, SECTION, true, &block));
	resize_reopen(&p);
	CHECK_EQ(pool_fill(&p, a, 0, 1), -ENOSPC);
	CHECK_EQ(pool_reserve(&p, a, 0, 1), -ENOSPC);
	CHECK_EQ(pool_punch(&p, a, 0, 15), 0);
	CHECK_EQ(pool_convert(&p, a, 0, 40 * PAGES, true), 0);
	pool_file(&p);
	resize_reopen(&p);
	CHECK_EQ(resize_add(&p, 206, 2), 0);
	CHECK_EQ(pool_fill(&p, a, 0, 40), 0);
	CHECK(gmfs_block_phys(&p.t, pool_block(&p, a, 0)) >= 206 * GUESTMEMFS_RANGE_ALIGN);
	resize_reopen(&p);
	pool_free(&p);
}

/* Blocks with pins or memory errors are not free, even if no file has them. */
static void resize_leaves_detached(const void *arg)
{
	u32 a, block, poisoned;
	struct pool p;

	(void)arg;
	resize_make(&p, &gigabyte, 1, 0);
	a = pool_file(&p);
	CHECK_EQ(pool_fill(&p, a, 0, 1), 0);
	block = pool_block(&p, a, 0);
	CHECK_EQ(pool_pin(&p, a, 3, 4), 0);
	CHECK_EQ(pool_punch(&p, a, 0, 1), 0);
	CHECK(pool_is_detached(&p, block));
	poisoned = block + 3 * SECTION;
	pool_poison(&p, poisoned * PAGES);
	while (gmfs_resize_find(&p.t, SECTION, true, &block))
		CHECK_EQ(resize_cut_blocks(&p, block, SECTION), 0);
	CHECK_EQ(p.t.total_blocks, 2 * SECTION);
	resize_check(&p);
	pool_kexec(&p);
	CHECK(gmfs_resize_find(&p.t, SECTION, true, &block));
	CHECK_EQ(resize_cut_blocks(&p, block, SECTION), 0);
	CHECK(!gmfs_resize_find(&p.t, SECTION, true, &block));
	CHECK(pool_is_detached(&p, poisoned));
	resize_check(&p);
	pool_free(&p);
}

struct find_case {
	const char *name;
	/* In sections; a number that is taken, and what is looked for. */
	u32 taken[4];
	u32 count;
	bool whole;
	/* The section that is found, 99 for none. */
	u32 found;
};

/* Three ranges: 128-151 with numbers 0-23, 202-207 with 26-31, 225-239 with 33-47. */
static const struct part find_start[] = { { 128, 24 }, { 202, 6 }, { 225, 15 } };

static const struct find_case find_cases[] = {
	{ "a section", { }, 1, false, 39 },
	{ "a section, also of a whole gigabyte", { }, 1, true, 47 },
	{ "two sections", { }, 2, false, 38 },
	{ "two sections, aligned", { 38 }, 2, false, 36 },
	{ "four sections", { }, 4, false, 36 },
	{ "four sections, aligned", { 38 }, 4, false, 28 },
	{ "four sections of a whole gigabyte", { 38, 28 }, 4, true, 44 },
	{ "no four sections", { 38, 28 }, 4, false, 99 },
	{ "a gigabyte", { }, 8, false, 40 },
	{ "another gigabyte", { 41 }, 8, true, 16 },
	{ "the last gigabyte", { 41, 16, 8 }, 8, false, 0 },
	{ "no gigabyte", { 41, 16, 8, 7 }, 8, true, 99 },
	{ "two gigabytes, aligned", { }, 16, false, 0 },
	{ "no two gigabytes", { 15 }, 16, true, 99 },
	{ "more than there is", { }, 64, true, 99 },
	{ "the most there may be", { }, 1 << 24, true, 99 },
};

static void resize_find(const void *arg)
{
	const struct find_case *c = arg;
	u32 i, block = 4711, count = c->count * SECTION;
	struct pool p;

	resize_make(&p, find_start, 3, 0);
	/* 0 is not taken, as there are cases in which it is found. */
	for (i = 0; i < ARRAY_SIZE(c->taken) && c->taken[i]; i++)
		gmfs_take(&p.t, c->taken[i] * SECTION + SECTION / 2, 1, 0, 0);
	CHECK_EQ(gmfs_resize_find(&p.t, count, c->whole, &block), c->found != 99);
	if (c->found == 99) {
		CHECK_EQ(block, 4711);
	} else {
		CHECK_EQ(block, c->found * SECTION);
		CHECK_EQ(gmfs_block_phys(&p.t, block) % ((u64)count * GMFS_BLOCK_SIZE), 0);
	}
	pool_free(&p);
}

/* Blocks of two ranges cannot leave together, although they are contiguous. */
static void resize_find_in_one_range(const void *arg)
{
	static const struct part start[] = { { 128, 8 }, { 136, 8 } };
	struct pool p;
	u32 block;

	(void)arg;
	resize_make(&p, start, 2, 0);
	CHECK_EQ(p.t.nr_ranges, 2);
	CHECK(!gmfs_resize_find(&p.t, 2 * GROUP, true, &block));
	CHECK(gmfs_resize_find(&p.t, GROUP, true, &block));
	CHECK_EQ(block, GROUP);
	pool_free(&p);
}

static int limit_percent(struct pool *p, u32 percent, bool again)
{
	const struct gmfs_limits limits = { .percent = percent, .has_size = true };
	const char *why;

	return gmfs_limits_set(&p->t, &limits, again, &why);
}

/* Reserved blocks do not leave, and files can still have all of them. */
static void resize_and_reservations(const void *arg)
{
	struct pool p;
	u32 a, block;

	(void)arg;
	resize_make(&p, &gigabyte, 1, 0);
	a = pool_file(&p);
	CHECK_EQ(pool_reserve(&p, a, 0, 5 * SECTION + 1), 0);
	CHECK(!gmfs_resize_find(&p.t, 4 * SECTION, true, &block));
	CHECK(gmfs_resize_find(&p.t, 2 * SECTION, true, &block));
	CHECK_EQ(resize_cut_blocks(&p, block, 2 * SECTION), 0);
	CHECK(!gmfs_resize_find(&p.t, SECTION, true, &block));
	pool_unreserve(&p, a, 5 * SECTION, 1);
	CHECK(gmfs_resize_find(&p.t, SECTION, false, &block));
	CHECK_EQ(resize_cut_blocks(&p, block, SECTION), 0);
	CHECK_EQ(gmfs_blocks_left(&p.t), 0);
	CHECK(!gmfs_resize_find(&p.t, SECTION, true, &block));
	resize_check(&p);
	CHECK_EQ(pool_fill(&p, a, 0, 5 * SECTION), 0);
	CHECK_EQ(pool_fill(&p, a, 5 * SECTION, 1), -ENOSPC);
	pool_unreserve(&p, a, 0, 5 * SECTION);
	resize_reopen(&p);
	pool_free(&p);
}

/* A limit in per cent is a share of what the pool has now, but not less than what is in use. */
static void resize_and_limits(const void *arg)
{
	struct pool p;
	u32 a;

	(void)arg;
	resize_make(&p, &gigabyte, 1, 8);
	a = pool_file(&p);
	CHECK_EQ(limit_percent(&p, 50, true), 0);
	CHECK_EQ(p.t.max_blocks, GROUP / 2);
	CHECK_EQ(pool_fill(&p, a, 0, 100), 0);
	CHECK_EQ(resize_add(&p, 136, 8), 0);
	CHECK_EQ(p.t.max_blocks, GROUP);
	CHECK_EQ(pool_reserve(&p, a, 100, 200), 0);
	CHECK_EQ(resize_cut(&p, 137, 7), 0);
	CHECK_EQ(p.t.max_blocks, 300);
	CHECK_EQ(gmfs_blocks_left(&p.t), 0);
	/* The same share again changes nothing, although it is less than what is in use. */
	CHECK_EQ(limit_percent(&p, 50, true), 0);
	CHECK_EQ(limit_percent(&p, 50, false), 0);
	CHECK_EQ(limit_percent(&p, 40, true), -EBUSY);
	CHECK_EQ(limit_percent(&p, 40, false), -EINVAL);
	CHECK_EQ(p.t.max_blocks, 300);
	pool_unreserve(&p, a, 100, 200);
	CHECK_EQ(gmfs_blocks_left(&p.t), 200);
	CHECK_EQ(resize_cut(&p, 136, 1), 0);
	CHECK_EQ(p.t.max_blocks, GROUP / 2);
	/* A limit in bytes stays as it is, and ends with the limit in per cent. */
	CHECK_EQ(gmfs_limits_set(&p.t, &(struct gmfs_limits){ .size = 128 * MIB, .has_size = true },
				 false, &(const char *){ NULL }), -EINVAL);
	CHECK_EQ(gmfs_limits_set(&p.t, &(struct gmfs_limits){ .size = 256 * MIB, .has_size = true },
				 false, &(const char *){ NULL }), 0);
	CHECK_EQ(resize_add(&p, 136, 8), 0);
	CHECK_EQ(p.t.max_blocks, 128);
	CHECK_EQ(p.t.max_percent, 0);
	resize_check(&p);
	pool_free(&p);
}

/* A pool that has lost all its blocks must not lose its limit: 0 means that there is none. */
static void resize_limit_of_nothing(const void *arg)
{
	struct pool p;

	(void)arg;
	resize_make(&p, &gigabyte, 1, 0);
	CHECK_EQ(limit_percent(&p, 10, false), 0);
	CHECK_EQ(resize_cut(&p, 128, 8), 0);
	CHECK_EQ(p.t.max_blocks, 1);
	CHECK_EQ(resize_add(&p, 128, 8), 0);
	CHECK_EQ(p.t.max_blocks, 51);
	pool_free(&p);
}

/* Each block may need an extent, so extents without blocks may be too many for new blocks. */
static void resize_and_blockless(const void *arg)
{
	const struct part section = { 128, 1 };
	struct pool_copy copy;
	struct pool p;
	u32 a, i, max;

	(void)arg;
	resize_make(&p, &section, 1, 8);
	/* All blocks that the pool may get, as many again, less the blocks that there are. */
	CHECK_EQ(p.t.capacity, 2 * GROUP);
	max = 2 * 2 * GROUP - SECTION;
	a = pool_file(&p);
	for (i = 0; i < max - GROUP + 1; i++)
		CHECK_EQ(pool_convert(&p, a, 2 * i * PAGES, (2 * i + 1) * PAGES, true), 0);
	CHECK_EQ(p.t.nr_blockless, max - GROUP + 1);
	pool_keep(&p, &copy);
	CHECK_EQ(resize_add(&p, 200, 8), -ENOSPC);
	pool_unchanged(&p, &copy);
	CHECK_EQ(pool_convert(&p, a, 0, PAGES, false), 0);
	CHECK_EQ(resize_add(&p, 200, 8), 0);
	CHECK_EQ(pool_convert(&p, a, 0, PAGES, true), -ENOSPC);
	/* There is an extent for each block. */
	for (i = 0; i < 8 * SECTION; i++)
		CHECK_EQ(pool_fill(&p, a, 100000 + 2 * i, 1), 0);
	CHECK_EQ(p.t.used_slots, max - GROUP + 8 * SECTION);
	resize_reopen(&p);
	/* Blocks that leave make room for extents without blocks. */
	CHECK_EQ(pool_punch(&p, a, 100000, 16 * SECTION), 0);
	CHECK_EQ(resize_cut(&p, 200, 8), 0);
	CHECK_EQ(pool_convert(&p, a, 0, PAGES, true), 0);
	resize_reopen(&p);
	free(copy.meta);
	pool_free(&p);
}

/* A block that has been zeroed while it was to leave need not be zeroed again. */
static void resize_release_zeroed(const void *arg)
{
	struct pool p;
	u32 i;

	(void)arg;
	resize_make(&p, &gigabyte, 1, 0);
	gmfs_take(&p.t, 0, SECTION, 0, 0);
	for (i = 0; i < SECTION; i++) {
		clear_bit(i, p.t.unzeroed);
		gmfs_release_unused(&p.t, i, 1);
	}
	CHECK_EQ(bitmap_weight(p.t.unzeroed, GROUP), GROUP - SECTION);
	CHECK_EQ(gmfs_full_groups(&p.t), 1);
	resize_reopen(&p);
	pool_free(&p);
}

static u64 format_size(const struct gmfs_range *ranges, u32 nr, u32 room)
{
	u64 size = 0;

	CHECK_EQ(gmfs_format_size(ranges, nr, room, &size), 0);
	return size;
}

/* gmfs_format_room() is the reverse of gmfs_format_size(). */
static void resize_room(const void *arg)
{
	static const struct gmfs_range odd[] = { { GIB - 128 * MIB, 256 * MIB }, { 4 * GIB, GIB } };
	static const u32 rooms[] = { 0, GROUP, 3 * GROUP, 1000 * GROUP, 1 << 20, 1 << 29 };
	u32 nr, i, room;
	u64 size;

	(void)arg;
	for (nr = 0; nr <= ARRAY_SIZE(odd); nr++) {
		for (i = !nr; i < ARRAY_SIZE(rooms); i++) {
			size = format_size(odd, nr, rooms[i]);
			room = gmfs_format_room(odd, nr, size);
			CHECK(room >= rooms[i] && room % GROUP == 0);
			/* The end of the metadata may suffice for more. */
			CHECK_EQ(format_size(odd, nr, room), size);
			CHECK(format_size(odd, nr, room + GROUP) > size);
			CHECK(gmfs_format_room(odd, nr, size - 1) < room || !room);
		}
	}
	/* The most, no ranges and no room, and what is wrong. */
	CHECK_EQ(gmfs_format_room(odd, 0, U64_MAX), GUESTMEMFS_MAX_BLOCKS);
	CHECK_EQ(gmfs_format_room(odd, 2, U64_MAX), GUESTMEMFS_MAX_BLOCKS - 3 * GROUP);
	CHECK_EQ(gmfs_format_room(odd, 0, 0), 0);
	CHECK_EQ(gmfs_format_room(&(struct gmfs_range){ 1, 2 }, 1, U64_MAX), 0);
	CHECK_EQ(gmfs_format_size(odd, 0, 0, &size), -EINVAL);
	CHECK_EQ(gmfs_format_size(odd, 0, GUESTMEMFS_MAX_BLOCKS, &size), 0);
	CHECK_EQ(gmfs_format_size(odd, 0, GUESTMEMFS_MAX_BLOCKS + 1, &size), -EINVAL);
	CHECK_EQ(gmfs_format_size(odd, 1, GUESTMEMFS_MAX_BLOCKS - 2 * GROUP, &size), 0);
	CHECK_EQ(gmfs_format_size(odd, 1, GUESTMEMFS_MAX_BLOCKS - 2 * GROUP + 1, &size), -EINVAL);
	CHECK_EQ(gmfs_format_size(odd, 1, U32_MAX, &size), -EINVAL);
}

/* A resized pool is discarded: the new tables fit where the old ones were, with the same room. */
static void resize_discard(const void *arg)
{
	struct gmfs_range ranges[GUESTMEMFS_MAX_RANGES], r;
	static const u8 uuid[16] = "another pool";
	struct gmfs_complaint c = {};
	struct pool p;
	u32 nr, room;
	u64 size;

	(void)arg;
	resize_make(&p, &gigabyte, 1, 32);
	CHECK_EQ(resize_add(&p, 64, 8), 0);
	CHECK_EQ(resize_add(&p, 137, 3), 0);
	CHECK_EQ(p.t.nr_ranges, 3);
	gmfs_resize_ranges(&p.t, ranges, &nr);
	/* By address, as gmfs_ranges_sort() does. */
	r = ranges[1];
	ranges[1] = ranges[0];
	ranges[0] = r;
	gmfs_ranges_number(ranges, nr);
	CHECK_EQ(ranges[0].first, 0);
	CHECK_EQ(ranges[1].first, GROUP);
	CHECK_EQ(ranges[2].first, 2 * GROUP + SECTION);
	room = gmfs_format_room(ranges, nr, p.meta_size);
	CHECK(room >= 2 * GROUP);
	size = format_size(ranges, nr, room);
	CHECK(size <= p.meta_size);
	gmfs_alloc_exit(&p.t);
	CHECK_EQ(gmfs_format_make(p.meta, META_BASE, size, 0, uuid, ranges, nr, room), 0);
	CHECK_EQ(gmfs_format_open(&p.t, p.meta, META_BASE, size, &c), 0);
	CHECK(!p.t.resized);
	CHECK_EQ(gmfs_alloc_init(&p.t), 0);
	CHECK_EQ(p.t.free_blocks, 19 * SECTION);
	CHECK_EQ(resize_add(&p, 400, 16), 0);
	pool_free(&p);
}

void resize_files_tests(void)
{
	u32 i;

	TEST(resize_keeps_files);
	TEST(resize_new_blocks_are_used);
	TEST(resize_files_go_on);
	TEST(resize_to_nothing);
	TEST(resize_leaves_detached);
	for (i = 0; i < ARRAY_SIZE(find_cases); i++)
		test_add(resize_find, &find_cases[i], "resize, find: %s", find_cases[i].name);
	TEST(resize_find_in_one_range);
	TEST(resize_and_reservations);
	TEST(resize_and_limits);
	TEST(resize_limit_of_nothing);
	TEST(resize_and_blockless);
	TEST(resize_release_zeroed);
	TEST(resize_room);
	TEST(resize_discard);
}
