// SPDX-License-Identifier: GPL-2.0-only
/*
 * The static part of the format: superblock, list of tables, ranges.
 */
#include <stdlib.h>

#include <linux/crc32c.h>

#include "pool.h"

#define SUPER(field)	offsetof(struct guestmemfs_super, field)
#define TABLE(i, field)	(SUPER(tables) + (i) * sizeof(struct guestmemfs_table_desc) + \
			 offsetof(struct guestmemfs_table_desc, field))
/* The range table is the first one behind the superblock. */
#define RANGE(i, field)	(sizeof(struct guestmemfs_super) + (i) * \
			 sizeof(struct guestmemfs_range) + offsetof(struct guestmemfs_range, field))

static const struct gmfs_range format_ranges[] = {
	{ 896 * MIB, 128 * MIB }, { 2 * GIB, GIB }, { 3 * GIB + 256 * MIB, 384 * MIB },
};

static void format_pool(struct pool *p)
{
	pool_make(p, format_ranges, ARRAY_SIZE(format_ranges));
}

static void format_reopen_clean(const void *arg)
{
	struct pool p;
	u32 i;

	(void)arg;
	format_pool(&p);
	for (i = 0; i < 3; i++) {
		pool_check(&p);
		CHECK(!p.t.read_only);
		CHECK_EQ(p.t.nr_ranges, 3);
		CHECK_EQ(p.t.nr_blocks, 1024 + 512 + 128 + 192 - 512);
		CHECK_EQ(p.t.free_blocks, 64 + 512 + 192);
		CHECK_EQ(le32_to_cpu(p.t.super->live.used_inodes), 2);
		pool_reopen(&p);
	}
	pool_free(&p);
}

/* What a version 1 pool looks like, for good: a change here is another version. */
static void format_is_frozen(const void *arg)
{
	static const struct { u32 offset, entries, size; } tables[] = {
		{ 4096, 128, 32 }, { 8192, 1344, 0 }, { 12288, 1344, 0 },
		{ 16384, 16384, 384 }, { 6307840, 2688, 32 }, { 6393856, 1344, 64 },
		{ 6479872, 1344, 16 },
	};
	const struct guestmemfs_super *s;
	struct pool p;
	u32 i;

	(void)arg;
	format_pool(&p);
	s = p.t.super;
	CHECK_EQ(p.meta_size, 8 * MIB);
	CHECK(!memcmp(p.meta, "GMFSUPER\1\0\0\0", 12));
	CHECK(!memcmp((u8 *)p.meta + 32, "a test of a pool\0\0\x40\0\0\0\0\0", 24));
	for (i = 0; i < ARRAY_SIZE(tables); i++) {
		CHECK_EQ(le64_to_cpu(s->tables[i].offset), tables[i].offset);
		CHECK_EQ(le32_to_cpu(s->tables[i].entries), tables[i].entries);
		CHECK_EQ(le32_to_cpu(s->tables[i].entry_size), tables[i].size);
	}
	CHECK_EQ(le32_to_cpu(s->crc), 0x147b4618);
	CHECK_EQ(crc32c(~0U, "123456789", 9) ^ ~0U, 0xe3069283);
	pool_free(&p);
}

static void make_refuses(const void *arg)
{
	const struct gmfs_range bad = { 4096, GIB };
	struct pool p;
	u8 uuid[16] = {};
	void *copy;

	(void)arg;
	format_pool(&p);
	copy = malloc(p.meta_size);
	CHECK(copy);
	memcpy(copy, p.meta, p.meta_size);
	CHECK_EQ(gmfs_format_make(p.meta, 0, p.meta_size, 0, uuid, &bad, 1), -EINVAL);
	CHECK_EQ(gmfs_format_make(p.meta, 0, p.meta_size, 0, uuid, format_ranges, 0), -EINVAL);
	CHECK_EQ(gmfs_format_make(p.meta, 0, p.meta_size - 1, 0, uuid, format_ranges, 3), -EINVAL);
	CHECK_EQ(gmfs_format_make(p.meta, 0, p.meta_size + GMFS_BLOCK_SIZE, 0, uuid,
				  format_ranges, 3), -EINVAL);
	CHECK(!memcmp(copy, p.meta, p.meta_size));
	free(copy);
	pool_free(&p);
}

/* No bit of what is static can change unseen. */
static void every_static_bit(const void *arg)
{
	u32 end = RANGE(3, base), at, bit;
	struct gmfs_complaint c;
	struct gmfs_tables t;
	struct pool p;
	u8 *meta;

	(void)arg;
	format_pool(&p);
	meta = p.meta;
	for (at = 0; at < end; at++) {
		bool is_static = at < SUPER(live) || at >= sizeof(struct guestmemfs_super);

		for (bit = 0; bit < 8; bit++) {
			memset(&c, 0, sizeof(c));
			meta[at] ^= 1 << bit;
			CHECK_EQ(gmfs_format_open(&t, meta, META_BASE, p.meta_size, &c),
				 is_static ? -EUCLEAN : 0);
			CHECK_EQ(c.table && c.what, is_static);
			meta[at] ^= 1 << bit;
		}
	}
	pool_check(&p);
	pool_free(&p);
}

struct corruption {
	const char *name;
	u32 offset;
	u32 size;
	u64 value;
	const char *table;
	u64 entry;
	const char *what;
};

#define IN_SUPER(name, field, value, what) \
	{ name, SUPER(field), sizeof_field(struct guestmemfs_super, field), value, \
	  "superblock", 0, what }
#define IN_TABLE(name, i, field, value, what) \
	{ name, TABLE(i, field), sizeof_field(struct guestmemfs_table_desc, field), value, \
	  "table list", i, what }
#define IN_RANGE(name, i, field, value, entry, what) \
	{ name, RANGE(i, field), sizeof_field(struct guestmemfs_range, field), value, \
	  "range table", entry, what }

#define META_SIZE	(8 * MIB)

/* Each with a checksum that fits, or the checks behind it would not be reached. */
static const struct corruption corruptions[] = {
	IN_SUPER("magic", magic, 1, "no magic number"),
	IN_SUPER("version 0", version, 0, "another version of the format"),
	IN_SUPER("version 2", version, 2, "another version of the format"),
	IN_SUPER("incompatible feature", feature_incompat, 1, "an incompatible feature"),
	IN_SUPER("last incompatible feature", feature_incompat, 1U << 31,
		 "an incompatible feature"),
	IN_SUPER("meta_base", meta_base, META_BASE + 4096, "metadata not where it should be"),
	IN_SUPER("meta_size", meta_size, 6 * MIB, "metadata not where it should be"),
	IN_SUPER("block_shift", block_shift, 12, "another block size"),
	IN_SUPER("no ranges", nr_ranges, 0, "impossible number of ranges or blocks"),
	IN_SUPER("too many ranges", nr_ranges, 129, "impossible number of ranges or blocks"),
	IN_SUPER("most ranges", nr_ranges, U32_MAX, "impossible number of ranges or blocks"),
	IN_SUPER("no blocks", nr_blocks, 0, "impossible number of ranges or blocks"),
	IN_SUPER("too many blocks", nr_blocks, GUESTMEMFS_MAX_BLOCKS + 1,
		 "impossible number of ranges or blocks"),
	IN_TABLE("ranges over the superblock", 0, offset, 0, "overlaps or is not aligned"),
	IN_TABLE("ranges not aligned", 0, offset, 4096 + 8, "overlaps or is not aligned"),
	IN_TABLE("ranges over the bitmap", 1, offset, 4096, "overlaps or is not aligned"),
	IN_TABLE("inodes not aligned", 3, offset, 16384 + 64, "overlaps or is not aligned"),
	IN_TABLE("poison beyond the end", 6, offset, META_SIZE, "beyond the metadata"),
	IN_TABLE("poison far beyond the end", 6, offset, 1ULL << 40, "beyond the metadata"),
	IN_TABLE("poison just over the end", 6, offset, META_SIZE - 4096, "beyond the metadata"),
	IN_TABLE("poison where sums overflow", 6, offset, 0ULL - 4096, "beyond the metadata"),
	IN_TABLE("most poison", 6, entries, U32_MAX, "beyond the metadata"),
	IN_TABLE("size of ranges", 0, entry_size, 16, "another size of entries"),
	IN_TABLE("size of bits", 1, entry_size, 1, "another size of entries"),
	IN_TABLE("size of inodes", 3, entry_size, 0, "another size of entries"),
	IN_TABLE("size of extents", 4, entry_size, 64, "another size of entries"),
	IN_TABLE("few ranges", 0, entries, 127, "impossible number of entries"),
	IN_TABLE("a bit too few", 1, entries, 1343, "impossible number of entries"),
	IN_TABLE("no unzeroed bits", 2, entries, 0, "impossible number of entries"),
	IN_TABLE("few inodes", 3, entries, 16383, "impossible number of entries"),
	IN_TABLE("few extents", 4, entries, 2687, "impossible number of entries"),
	IN_TABLE("few maps", 5, entries, 1343, "impossible number of entries"),
	IN_TABLE("few poison records", 6, entries, 1, "impossible number of entries"),
	IN_TABLE("bitmaps for fewer blocks", 1, entries, 64, "impossible number of entries"),
	{ "more blocks than bits", SUPER(nr_blocks), 4, 1345, "table list", 1,
	  "impossible number of entries" },
	IN_SUPER("fewer ranges", nr_ranges, 2, NULL),
	IN_SUPER("fewer blocks", nr_blocks, 1343, NULL),
	IN_RANGE("base not aligned", 1, base, 2 * GIB + 4096, 1, "is no range, or out of order"),
	IN_RANGE("base too low", 1, base, 768 * MIB, 1, "is no range, or out of order"),
	IN_RANGE("base over the one before", 2, base, 2 * GIB + 256 * MIB, 2,
		 "is no range, or out of order"),
	IN_RANGE("base beyond the address space", 2, base, 0ULL - GIB + 256 * MIB, 2,
		 "is no range, or out of order"),
	IN_RANGE("empty", 0, size, 0, 0, "is no range, or out of order"),
	IN_RANGE("size not aligned", 0, size, 64 * MIB, 0, "is no range, or out of order"),
	IN_RANGE("size beyond the address space", 2, size, 1ULL << 63, 2,
		 "is no range, or out of order"),
	IN_RANGE("size over the next", 0, size, 2 * GIB, 0, "has too many blocks"),
	IN_RANGE("larger", 2, size, 512 * MIB, 2, "has too many blocks"),
	IN_RANGE("base not congruent", 1, base, 2 * GIB + 128 * MIB, 1,
		 "block number does not fit"),
	IN_RANGE("another block number", 1, first_block, 513, 1, "block number does not fit"),
	IN_RANGE("block number of another", 1, first_block, 448, 1, "block number does not fit"),
	IN_RANGE("most block number", 2, first_block, U32_MAX, 2, "block number does not fit"),
	IN_RANGE("flags", 2, flags, 1, 2, "block number does not fit"),
	IN_RANGE("smaller", 2, size, 256 * MIB, 0, "does not have as many blocks"),
};

static void put(u8 *at, u32 size, u64 value)
{
	__le64 le = cpu_to_le64(value);

	memcpy(at, &le, size);
}

static void corruption(const void *arg)
{
	const struct corruption *bad = arg;
	struct gmfs_complaint c = {};
	struct gmfs_tables t;
	struct pool p;

	format_pool(&p);
	put((u8 *)p.meta + bad->offset, bad->size, bad->value);
	pool_fix_crc(p.meta, p.meta_size);
	CHECK_EQ(gmfs_format_open(&t, p.meta, META_BASE, p.meta_size, &c), -EUCLEAN);
	if (bad->what) {
		CHECK_STR(c.table, bad->table);
		CHECK_EQ(c.entry, bad->entry);
		CHECK_STR(c.what, bad->what);
	}
	pool_free(&p);
}

/* Tables without entries at the very end: nothing is read behind it. */
static void tables_at_the_end(const void *arg)
{
	struct gmfs_complaint c = {};
	struct gmfs_tables t;
	struct pool p;
	u32 i;

	(void)arg;
	format_pool(&p);
	for (i = 0; i < GUESTMEMFS_NR_TABLES; i++) {
		p.t.super->tables[i].offset = cpu_to_le64(p.meta_size);
		p.t.super->tables[i].entries = 0;
	}
	CHECK_EQ(gmfs_format_open(&t, p.meta, META_BASE, p.meta_size, &c), -EUCLEAN);
	CHECK_STR(c.table, "table list");
	pool_free(&p);
}

/* The first check that fails is the one that people can do something about. */
static void another_version_first(const void *arg)
{
	struct gmfs_complaint c = {};
	struct gmfs_tables t;
	struct pool p;

	(void)arg;
	format_pool(&p);
	memset((u8 *)p.meta + SUPER(crc), 0xee, sizeof(struct guestmemfs_super) - SUPER(crc));
	p.t.super->version = cpu_to_le32(2);
	CHECK_EQ(gmfs_format_open(&t, p.meta, META_BASE, p.meta_size, &c), -EUCLEAN);
	CHECK_STR(c.what, "another version of the format");
	pool_free(&p);
}

static void elsewhere(const void *arg)
{
	struct gmfs_complaint c = {};
	struct gmfs_tables t;
	struct pool p;

	(void)arg;
	format_pool(&p);
	CHECK_EQ(gmfs_format_open(&t, p.meta, 0, p.meta_size, &c), -EUCLEAN);
	CHECK_STR(c.what, "metadata not where it should be");
	CHECK_EQ(gmfs_format_open(&t, p.meta, META_BASE, 4096, &c), -EUCLEAN);
	CHECK_STR(c.what, "metadata not where it should be");
	pool_free(&p);
}

struct feature {
	const char *name;
	u32 offset;
	bool read_only;
};

static const struct feature features[] = {
	{ "compatible", SUPER(feature_compat), false },
	{ "read-only compatible", SUPER(feature_ro_compat), true },
};

static void unknown_feature(const void *arg)
{
	const struct feature *f = arg;
	struct gmfs_complaint c = {};
	struct gmfs_index index;
	struct gmfs_tables t;
	struct pool p;
	u32 bit;

	format_pool(&p);
	for (bit = 0; bit < 32; bit++) {
		put((u8 *)p.meta + f->offset, 4, 1U << bit);
		pool_fix_crc(p.meta, p.meta_size);
		CHECK_EQ(gmfs_format_open(&t, p.meta, META_BASE, p.meta_size, &c), 0);
		CHECK_EQ(t.read_only, f->read_only);
		CHECK_EQ(gmfs_check(&t, &index, &c), 0);
		gmfs_index_free(&index);
	}
	pool_free(&p);
}

/* A later kernel of this version may have made tables with room to spare. */
static void more_entries_than_needed(const void *arg)
{
	struct gmfs_complaint c = {};
	struct gmfs_tables t;
	struct pool p;

	(void)arg;
	format_pool(&p);
	p.t.super->tables[GUESTMEMFS_TABLE_POISON].entries = cpu_to_le32(2000);
	pool_fix_crc(p.meta, p.meta_size);
	CHECK_EQ(gmfs_format_open(&t, p.meta, META_BASE, p.meta_size, &c), 0);
	CHECK_EQ(t.nr_poison, 2000);
	pool_free(&p);
}

void format_tests(void)
{
	u32 i;

	TEST(format_reopen_clean);
	TEST(format_is_frozen);
	TEST(make_refuses);
	TEST(every_static_bit);
	for (i = 0; i < ARRAY_SIZE(corruptions); i++)
		test_add(corruption, &corruptions[i], "static: %s", corruptions[i].name);
	TEST(tables_at_the_end);
	TEST(another_version_first);
	TEST(elsewhere);
	for (i = 0; i < ARRAY_SIZE(features); i++)
		test_add(unknown_feature, &features[i], "unknown feature: %s", features[i].name);
	TEST(more_entries_than_needed);
}
