// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests which tables of a resized pool are accepted, and what is said of all others.
 */
#include "resize.h"
#include "state.h"

#define B(section)	((section) * SECTION)
#define AT(section)	((section) * GUESTMEMFS_RANGE_ALIGN)
#define RESIZED		SUPER(feature_incompat, GUESTMEMFS_FEATURE_INCOMPAT_RESIZED)

/* The pool of these tests: its second gigabyte lacks a part, and the third has the last numbers. */
static const struct part bad_parts[] = {
	{ 128, 2, 0 }, { 132, 4, 4 }, { 144, 8, 8 }, { 200, 8, 16 },
};

static void bad_pool(struct pool *p)
{
	static const struct part start[] = { { 128, 8 }, { 144, 8 } };

	resize_make(p, start, 2, 8);
	CHECK_EQ(pool_fill(p, pool_file(p), 0, 3), 0);
	CHECK_EQ(resize_cut(p, 130, 2), 0);
	CHECK_EQ(resize_add(p, 200, 8), 0);
	resize_expect(p, bad_parts, ARRAY_SIZE(bad_parts));
	CHECK_EQ(p->t.nr_blocks, B(24));
	CHECK_EQ(pool_block(p, 0, 0), 1);
}

/* Each is given a valid checksum, and has to be found by gmfs_format_open(). */
static const struct state bad_tables[] = {
	{ "nothing is wrong", { RESIZED } },
	{ "base is not aligned", { RANGE(2, base, AT(144) + 4096) },
	  RANGE_BAD(2, "is no range") },
	{ "base beyond the address space", { RANGE(3, base, 0ULL - AT(8)) },
	  RANGE_BAD(3, "is no range") },
	{ "the end is beyond the address space", { RANGE(3, base, (1ULL << 63) - AT(8)) },
	  RANGE_BAD(3, "is no range") },
	{ "empty", { RANGE(0, size, 0) },
	  RANGE_BAD(0, "is no range") },
	{ "the size is not aligned", { RANGE(1, size, 64 * MIB) },
	  RANGE_BAD(1, "is no range") },
	{ "the size is beyond the address space", { RANGE(3, size, 1ULL << 63) },
	  RANGE_BAD(3, "is no range") },
	{ "the largest size", { RANGE(3, size, 0ULL - AT(1)) },
	  RANGE_BAD(3, "is no range") },
	{ "another place in the gigabyte", { RANGE(3, first_block, B(17)) },
	  RANGE_BAD(3, "block number does not fit") },
	{ "the place between two blocks", { RANGE(3, first_block, B(16) + 1) },
	  RANGE_BAD(3, "block number does not fit") },
	{ "another place of a part", { RANGE(1, base, AT(133)) },
	  RANGE_BAD(1, "block number does not fit") },
	{ "the numbers of another", { RANGE(3, first_block, B(8)) },
	  RANGE_BAD(3, "block number does not fit") },
	{ "the last numbers of another", { RANGE(0, size, AT(5)) },
	  RANGE_BAD(1, "block number does not fit") },
	{ "numbers do not ascend", { RANGE(2, first_block, B(0)) },
	  RANGE_BAD(2, "block number does not fit") },
	{ "the highest number", { RANGE(3, first_block, 0U - B(8)) },
	  RANGE_BAD(3, "has too many blocks") },
	{ "flags", { RANGE(3, flags, 1) },
	  RANGE_BAD(3, "block number does not fit") },
	/* Pools that were never resized may have it, and stay well formed when they are. */
	{ "a reserved field", { RANGE(3, reserved, 1ULL << 63) } },
	{ "one block too many", { SUPER(nr_blocks, B(24) - 1) },
	  RANGE_BAD(3, "has too many blocks") },
	{ "no blocks", { SUPER(nr_blocks, 0) },
	  RANGE_BAD(0, "has too many blocks") },
	{ "a section too many", { RANGE(3, size, AT(9)) },
	  RANGE_BAD(3, "has too many blocks") },
	{ "the same memory", { RANGE(3, base, AT(144)) },
	  RANGE_BAD(3, "overlaps another one") },
	{ "the memory of several", { RANGE(3, base, AT(128)) },
	  RANGE_BAD(3, "overlaps another one") },
	{ "the start of another one's memory", { RANGE(2, base, AT(136)), RANGE(2, size, AT(8)),
						 RANGE(3, base, AT(136)) },
	  RANGE_BAD(3, "overlaps another one") },
	{ "memory between two", { RANGE(3, base, AT(136)) } },
	{ "a group of two gigabytes", { RANGE(1, base, AT(236)) },
	  RANGE_BAD(1, "overlaps another one") },
	{ "a group of two adjacent gigabytes", { RANGE(1, base, AT(140)) },
	  RANGE_BAD(1, "overlaps another one") },
	{ "a group of two gigabytes, a part", { RANGE(1, base, AT(236)), RANGE(0, base, AT(240)),
						RANGE(1, size, AT(1)) },
	  RANGE_BAD(1, "overlaps another one") },
	{ "another gigabyte, both of them", { RANGE(0, base, AT(240)), RANGE(1, base, AT(244)) } },
	{ "two groups of a gigabyte", { RANGE(0, base, AT(208)), RANGE(1, base, AT(212)),
					RANGE(3, first_block, B(16)) } },
	{ "too many ranges", { SUPER(nr_ranges, GUESTMEMFS_MAX_RANGES + 1) },
	  SUPER_BAD("impossible number of ranges or blocks") },
	{ "an empty range after the last", { SUPER(nr_ranges, 5) },
	  RANGE_BAD(4, "is no range") },
	{ "too many blocks", { SUPER(nr_blocks, GUESTMEMFS_MAX_BLOCKS + 1) },
	  SUPER_BAD("impossible number of ranges or blocks") },
	{ "more blocks than bits", { SUPER(nr_blocks, B(24) + 1) },
	  TABLE_BAD(1, "impossible number of entries") },
	{ "fewer bits", { TABLE(2, entries, B(24) - 1) },
	  TABLE_BAD(2, "impossible number of entries") },
	{ "fewer inodes than the least", { TABLE(3, entries, 16383) },
	  TABLE_BAD(3, "impossible number of entries") },
	{ "fewer extents", { TABLE(4, entries, 2 * B(24) + 63) },
	  TABLE_BAD(4, "impossible number of entries") },
	{ "fewer maps", { TABLE(5, entries, B(24) - 1) },
	  TABLE_BAD(5, "impossible number of entries") },
	{ "fewer pins", { TABLE(7, entries, B(24) - 1) },
	  TABLE_BAD(7, "impossible number of entries") },
	{ "without the feature", { SUPER(feature_incompat, 0) },
	  RANGE_BAD(1, "block number does not fit") },
	{ "no ranges", { SUPER(nr_ranges, 0) } },
	{ "no ranges, without the feature", { SUPER(nr_ranges, 0), SUPER(feature_incompat, 0) },
	  SUPER_BAD("impossible number of ranges or blocks") },
	{ "no blocks, without the feature", { SUPER(nr_blocks, 0), SUPER(feature_incompat, 0) },
	  SUPER_BAD("impossible number of ranges or blocks") },
};

static void bad_table(const void *arg)
{
	const struct state *s = arg;
	struct gmfs_complaint c = {};
	struct gmfs_tables t;
	struct pool p;

	bad_pool(&p);
	state_apply(&p, s);
	pool_fix_crc(p.meta, p.meta_size);
	state_expect(s, gmfs_format_open(&t, p.meta, META_BASE, p.meta_size, &c), &c);
	pool_free(&p);
}

/* These tables are opened, and have to be found by gmfs_check(). */
static const struct state unchecked[] = {
	{ "nothing is wrong", { RESIZED } },
	{ "a number between ranges is free", { BITMAP(B(3), 0) },
	  BITMAP_BAD(B(3), "is free but somebody's") },
	{ "the numbers of a range are taken", { BITMAP(B(24) - 1, 1) },
	  BITMAP_BAD(B(24) - 1, "is taken but nobody's") },
	{ "numbers after the last range are free", { SUPER(nr_ranges, 3) },
	  BITMAP_BAD(B(16), "is free but somebody's") },
	{ "all numbers are free", { SUPER(nr_ranges, 0), EXTENT(0, ino, 0) },
	  BITMAP_BAD(0, "is free but somebody's") },
	{ "an extent of a pool without ranges", { SUPER(nr_ranges, 0) },
	  EXTENT_BAD(0, "has blocks that do not exist") },
	{ "an extent between ranges", { EXTENT(0, block, B(2)) },
	  EXTENT_BAD(0, "has blocks that do not exist") },
	{ "an extent over the end of a range", { EXTENT(0, block, B(2) - 1) },
	  EXTENT_BAD(0, "has blocks that do not exist") },
	{ "an extent over the border between ranges", { EXTENT(0, block, B(8) - 1) },
	  EXTENT_BAD(0, "has blocks that do not exist") },
};

static void checked_table(const void *arg)
{
	const struct state *s = arg;
	struct gmfs_complaint c = {};
	struct gmfs_index index;
	struct gmfs_tables t;
	struct pool p;
	int err;

	bad_pool(&p);
	state_apply(&p, s);
	pool_fix_crc(p.meta, p.meta_size);
	CHECK_EQ(gmfs_format_open(&t, p.meta, META_BASE, p.meta_size, &c), 0);
	err = gmfs_check(&t, &index, &c);
	if (!err)
		gmfs_index_free(&index);
	state_expect(s, err, &c);
	pool_free(&p);
}

/* A pool that began without memory; tables without entries must be refused before they are used. */
static const struct state empty_tables[] = {
	{ "nothing is wrong", { RESIZED } },
	{ "without the feature", { SUPER(feature_incompat, 0) },
	  SUPER_BAD("impossible number of ranges or blocks") },
	{ "no bits", { TABLE(1, entries, 0) },
	  TABLE_BAD(1, "impossible number of entries") },
	{ "no unzeroed bits", { TABLE(2, entries, 0) },
	  TABLE_BAD(2, "impossible number of entries") },
	{ "no inodes", { TABLE(3, entries, 0) },
	  TABLE_BAD(3, "impossible number of entries") },
	{ "fewer extents than the least", { TABLE(4, entries, 63) },
	  TABLE_BAD(4, "impossible number of entries") },
	{ "no maps", { TABLE(5, entries, 0) },
	  TABLE_BAD(5, "impossible number of entries") },
	{ "no poison", { TABLE(6, entries, 0) },
	  TABLE_BAD(6, "impossible number of entries") },
	{ "no pins", { TABLE(7, entries, 0) },
	  TABLE_BAD(7, "impossible number of entries") },
	{ "no table of pins", { TABLE(7, entries, 0), TABLE(7, offset, 0),
				TABLE(7, entry_size, 0) } },
	{ "one of each", { TABLE(1, entries, 1), TABLE(2, entries, 1), TABLE(5, entries, 1) } },
};

static void empty_table(const void *arg)
{
	const struct state *s = arg;
	struct gmfs_complaint c = {};
	struct gmfs_index index;
	struct gmfs_tables t;
	struct pool p;
	int err;

	resize_make(&p, NULL, 0, 8);
	state_apply(&p, s);
	pool_fix_crc(p.meta, p.meta_size);
	err = gmfs_format_open(&t, p.meta, META_BASE, p.meta_size, &c);
	state_expect(s, err, &c);
	if (!err) {
		CHECK_EQ(gmfs_check(&t, &index, &c), 0);
		gmfs_index_free(&index);
		CHECK_EQ(gmfs_alloc_init(&t), 0);
		CHECK_EQ(gmfs_resize_add(&t, 0, AT(8)),
			 t.capacity == B(8) ? 0 : -ENOSPC);
		gmfs_alloc_exit(&t);
	}
	pool_free(&p);
}

/*
 * How much a pool can grow is what the smallest of its tables has room for. A pool of a kernel that
 * had no pins has no table of these.
 */
static const struct state capacities[] = {
	{ "as made", { RESIZED } },
	{ "fewer bits", { TABLE(1, entries, 1000) } },
	{ "fewer unzeroed bits", { TABLE(2, entries, 1000) } },
	{ "fewer extents", { TABLE(4, entries, 2 * 1000 + 64 + 1) } },
	{ "fewer maps", { TABLE(5, entries, 1000) } },
	{ "no table of pins", { TABLE(7, entries, 0), TABLE(7, offset, 0),
				TABLE(7, entry_size, 0) } },
};

static void capacity(const void *arg)
{
	const struct part gigabyte = { 128, 8 };
	const struct state *s = arg;
	struct gmfs_complaint c = {};
	struct gmfs_tables t;
	struct pool p;

	resize_make(&p, &gigabyte, 1, 8);
	state_apply(&p, s);
	pool_fix_crc(p.meta, p.meta_size);
	CHECK_EQ(gmfs_format_open(&t, p.meta, META_BASE, p.meta_size, &c), 0);
	CHECK_EQ(t.capacity, strncmp(s->name, "fewer", 5) ? B(16) : 1000);
	pool_free(&p);
}

/* A pool that has grown has no inodes for what it has got. */
static void resized_has_few_inodes(const void *arg)
{
	struct pool p;

	(void)arg;
	resize_make(&p, NULL, 0, 160 * SECTIONS);
	CHECK_EQ(resize_add(&p, 256, 160 * SECTIONS), 0);
	CHECK_EQ(p.t.nr_inodes, 16384);
	CHECK_EQ(p.t.nr_blocks, 160 * GROUP);
	resize_reopen(&p);
	pool_free(&p);
}

/* Each bit of the ranges is in the checksum, also of those that a resize has added. */
static void resized_checksum(const void *arg)
{
	struct gmfs_complaint c = {};
	struct gmfs_tables t;
	struct pool p;
	u8 *ranges;
	u32 i;

	(void)arg;
	bad_pool(&p);
	ranges = (u8 *)p.t.ranges;
	for (i = 0; i < 4 * sizeof(*p.t.ranges) * 8; i++) {
		ranges[i / 8] ^= 1 << i % 8;
		CHECK_EQ(gmfs_format_open(&t, p.meta, META_BASE, p.meta_size, &c), -EUCLEAN);
		CHECK_STR(c.what, "checksum does not fit");
		ranges[i / 8] ^= 1 << i % 8;
	}
	resize_reopen(&p);
	pool_free(&p);
}

void resize_complaints(void (*fn)(const char *what))
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(bad_tables); i++)
		if (bad_tables[i].what)
			fn(bad_tables[i].what);
}

void resize_bad_tests(void)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(bad_tables); i++)
		test_add(bad_table, &bad_tables[i], "resized: %s", bad_tables[i].name);
	for (i = 0; i < ARRAY_SIZE(unchecked); i++)
		test_add(checked_table, &unchecked[i], "resized, check: %s", unchecked[i].name);
	for (i = 0; i < ARRAY_SIZE(empty_tables); i++)
		test_add(empty_table, &empty_tables[i], "resized, empty: %s", empty_tables[i].name);
	for (i = 0; i < ARRAY_SIZE(capacities); i++)
		test_add(capacity, &capacities[i], "resized, capacity: %s", capacities[i].name);
	TEST(resized_has_few_inodes);
	TEST(resized_checksum);
}
