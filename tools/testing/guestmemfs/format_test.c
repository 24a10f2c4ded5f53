// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests the static part of the format: superblock, list of tables, ranges.
 */
#include <stdlib.h>
#include <sys/mman.h>

#include <linux/crc32c.h>

#include "state.h"

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

/*
 * The layout of a version 1 pool, which must never change but for tables that are added at the
 * end.
 */
static void format_is_frozen(const void *arg)
{
	static const struct { u32 offset, entries, size; } tables[] = {
		{ 4096, 128, 32 }, { 8192, 1344, 0 }, { 12288, 1344, 0 },
		{ 16384, 16384, 384 }, { 6307840, 2752, 32 }, { 6397952, 1344, 64 },
		{ 6483968, 1344, 16 }, { 6508544, 1344, 24 },
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
	CHECK_EQ(le32_to_cpu(s->crc), 0x28efe226);
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
	CHECK_EQ(gmfs_format_make(p.meta, 0, p.meta_size, 0, uuid, &bad, 1, 0), -EINVAL);
	CHECK_EQ(gmfs_format_make(p.meta, 0, p.meta_size, 0, uuid, format_ranges, 0, 0), -EINVAL);
	CHECK_EQ(gmfs_format_make(p.meta, 0, p.meta_size - 1, 0, uuid, format_ranges, 3, 0),
		 -EINVAL);
	CHECK_EQ(gmfs_format_make(p.meta, 0, p.meta_size + GMFS_BLOCK_SIZE, 0, uuid,
				  format_ranges, 3, 0), -EINVAL);
	CHECK(!memcmp(copy, p.meta, p.meta_size));
	free(copy);
	pool_free(&p);
}

/* The checksum must detect a change of any bit of the static part. */
static void every_static_bit(const void *arg)
{
	u32 live = offsetof(struct guestmemfs_super, live);
	u32 end, at, bit;
	struct gmfs_complaint c;
	struct gmfs_tables t;
	struct pool p;
	u8 *meta;

	(void)arg;
	format_pool(&p);
	meta = p.meta;
	end = (u8 *)&p.t.ranges[3] - meta;
	for (at = 0; at < end; at++) {
		bool is_static = at < live || at >= sizeof(struct guestmemfs_super);

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

#define META_SIZE	(8 * MIB)
#define NO_CHECKSUM	"checksum does not fit"

/* Each is given a valid checksum, since the later checks would not be reached otherwise. */
static const struct state corruptions[] = {
	{ "magic", { SUPER(magic, 1) },
	  SUPER_BAD("no magic number") },
	{ "version 0", { SUPER(version, 0) },
	  SUPER_BAD("another version of the format") },
	{ "version 2", { SUPER(version, 2) },
	  SUPER_BAD("another version of the format") },
	{ "incompatible feature", { SUPER(feature_incompat, 16) },
	  SUPER_BAD("an incompatible feature") },
	{ "last incompatible feature", { SUPER(feature_incompat, 1U << 31) },
	  SUPER_BAD("an incompatible feature") },
	{ "meta_base", { SUPER(meta_base, META_BASE + 4096) },
	  SUPER_BAD("metadata not where it should be") },
	{ "meta_size", { SUPER(meta_size, 6 * MIB) },
	  SUPER_BAD("metadata not where it should be") },
	{ "block_shift", { SUPER(block_shift, 12) },
	  SUPER_BAD("another block size") },
	{ "no ranges", { SUPER(nr_ranges, 0) },
	  SUPER_BAD("impossible number of ranges or blocks") },
	{ "too many ranges", { SUPER(nr_ranges, 129) },
	  SUPER_BAD("impossible number of ranges or blocks") },
	{ "most ranges", { SUPER(nr_ranges, U32_MAX) },
	  SUPER_BAD("impossible number of ranges or blocks") },
	{ "no blocks", { SUPER(nr_blocks, 0) },
	  SUPER_BAD("impossible number of ranges or blocks") },
	{ "too many blocks", { SUPER(nr_blocks, GUESTMEMFS_MAX_BLOCKS + 1) },
	  SUPER_BAD("impossible number of ranges or blocks") },
	{ "most blocks", { SUPER(nr_blocks, GUESTMEMFS_MAX_BLOCKS) },
	  TABLE_BAD(1, "impossible number of entries") },
	{ "ranges over the superblock", { TABLE(0, offset, 0) },
	  TABLE_BAD(0, "overlaps or is not aligned") },
	{ "ranges not aligned", { TABLE(0, offset, 4096 + 8) },
	  TABLE_BAD(0, "overlaps or is not aligned") },
	{ "ranges over the bitmap", { TABLE(1, offset, 4096) },
	  TABLE_BAD(1, "overlaps or is not aligned") },
	{ "inodes not aligned", { TABLE(3, offset, 16384 + 64) },
	  TABLE_BAD(3, "overlaps or is not aligned") },
	{ "pins up to the end", { TABLE(7, entries, (META_SIZE - 6508544) / 24) } },
	{ "pins one beyond the end", { TABLE(7, entries, (META_SIZE - 6508544) / 24 + 1) },
	  TABLE_BAD(7, "beyond the metadata") },
	{ "pins over poison", { TABLE(7, offset, 6504448) },
	  TABLE_BAD(7, "overlaps or is not aligned") },
	{ "pins without entries", { TABLE(7, entries, 0) },
	  TABLE_BAD(7, "impossible number of entries") },
	{ "poison beyond the end", { TABLE(6, offset, META_SIZE) },
	  TABLE_BAD(6, "beyond the metadata") },
	{ "poison far beyond the end", { TABLE(6, offset, 1ULL << 40) },
	  TABLE_BAD(6, "beyond the metadata") },
	{ "poison just over the end", { TABLE(6, offset, META_SIZE - 4096) },
	  TABLE_BAD(6, "beyond the metadata") },
	{ "poison where sums overflow", { TABLE(6, offset, 0ULL - 4096) },
	  TABLE_BAD(6, "beyond the metadata") },
	{ "most poison", { TABLE(6, entries, U32_MAX) },
	  TABLE_BAD(6, "beyond the metadata") },
	{ "size of ranges", { TABLE(0, entry_size, 16) },
	  TABLE_BAD(0, "another size of entries") },
	{ "size of bits", { TABLE(1, entry_size, 1) },
	  TABLE_BAD(1, "another size of entries") },
	{ "size of inodes", { TABLE(3, entry_size, 0) },
	  TABLE_BAD(3, "another size of entries") },
	{ "size of extents", { TABLE(4, entry_size, 64) },
	  TABLE_BAD(4, "another size of entries") },
	{ "few ranges", { TABLE(0, entries, 127) },
	  TABLE_BAD(0, "impossible number of entries") },
	{ "a bit too few", { TABLE(1, entries, 1343) },
	  TABLE_BAD(1, "impossible number of entries") },
	{ "no unzeroed bits", { TABLE(2, entries, 0) },
	  TABLE_BAD(2, "impossible number of entries") },
	{ "few inodes", { TABLE(3, entries, 16383) },
	  TABLE_BAD(3, "impossible number of entries") },
	{ "few extents", { TABLE(4, entries, 2687) },
	  TABLE_BAD(4, "impossible number of entries") },
	{ "few maps", { TABLE(5, entries, 1343) },
	  TABLE_BAD(5, "impossible number of entries") },
	{ "few poison records", { TABLE(6, entries, 1) },
	  TABLE_BAD(6, "impossible number of entries") },
	{ "bitmaps for fewer blocks", { TABLE(1, entries, 64) },
	  TABLE_BAD(1, "impossible number of entries") },
	{ "more blocks than bits", { SUPER(nr_blocks, 1345) },
	  TABLE_BAD(1, "impossible number of entries") },
	{ "fewer ranges", { SUPER(nr_ranges, 2) },
	  RANGE_BAD(0, "does not have as many blocks") },
	{ "fewer blocks", { SUPER(nr_blocks, 1343) },
	  RANGE_BAD(2, "has too many blocks") },
	{ "base not aligned", { RANGE(1, base, 2 * GIB + 4096) },
	  RANGE_BAD(1, "is no range, or out of order") },
	{ "base too low", { RANGE(1, base, 768 * MIB) },
	  RANGE_BAD(1, "is no range, or out of order") },
	{ "base over the one before", { RANGE(2, base, 2 * GIB + 256 * MIB) },
	  RANGE_BAD(2, "is no range, or out of order") },
	{ "base beyond the address space", { RANGE(2, base, 0ULL - GIB + 256 * MIB) },
	  RANGE_BAD(2, "is no range, or out of order") },
	{ "empty", { RANGE(0, size, 0) },
	  RANGE_BAD(0, "is no range, or out of order") },
	{ "size not aligned", { RANGE(0, size, 64 * MIB) },
	  RANGE_BAD(0, "is no range, or out of order") },
	{ "size beyond the address space", { RANGE(2, size, 1ULL << 63) },
	  RANGE_BAD(2, "is no range, or out of order") },
	{ "size over the next", { RANGE(0, size, 2 * GIB) },
	  RANGE_BAD(0, "has too many blocks") },
	{ "larger", { RANGE(2, size, 512 * MIB) },
	  RANGE_BAD(2, "has too many blocks") },
	{ "base not congruent", { RANGE(1, base, 2 * GIB + 128 * MIB) },
	  RANGE_BAD(1, "block number does not fit") },
	{ "another block number", { RANGE(1, first_block, 513) },
	  RANGE_BAD(1, "block number does not fit") },
	{ "block number of another", { RANGE(1, first_block, 448) },
	  RANGE_BAD(1, "block number does not fit") },
	{ "most block number", { RANGE(2, first_block, U32_MAX) },
	  RANGE_BAD(2, "block number does not fit") },
	{ "flags", { RANGE(2, flags, 1) },
	  RANGE_BAD(2, "block number does not fit") },
	{ "smaller", { RANGE(2, size, 256 * MIB) },
	  RANGE_BAD(0, "does not have as many blocks") },
};

static void corruption(const void *arg)
{
	const struct state *s = arg;
	struct gmfs_complaint c = {};
	struct gmfs_tables t;
	struct pool p;

	format_pool(&p);
	state_apply(&p, s);
	pool_fix_crc(p.meta, p.meta_size);
	state_expect(s, gmfs_format_open(&t, p.meta, META_BASE, p.meta_size, &c), &c);
	pool_free(&p);
}

static void broken_checksum(const void *arg)
{
	struct gmfs_complaint c = {};
	struct gmfs_tables t;
	struct pool p;

	(void)arg;
	format_pool(&p);
	p.t.super->crc ^= cpu_to_le32(1U << 31);
	CHECK_EQ(gmfs_format_open(&t, p.meta, META_BASE, p.meta_size, &c), -EUCLEAN);
	CHECK_STR(c.table, "superblock");
	CHECK_STR(c.what, NO_CHECKSUM);
	pool_free(&p);
}

/* Well formed tables, of another pool than the one that was handed over. */
static void another_pool(const void *arg)
{
	struct gmfs_range ranges[3];
	struct gmfs_complaint c = {};
	struct pool p;
	u8 uuid[16];
	u32 nr;

	(void)arg;
	format_pool(&p);
	memcpy(uuid, p.t.super->uuid, sizeof(uuid));
	gmfs_resize_ranges(&p.t, ranges, &nr);
	CHECK_EQ(nr, 3);
	CHECK_EQ(gmfs_format_is(&p.t, uuid, ranges, 3, &c), 0);
	ranges[0].first += 512;
	CHECK_EQ(gmfs_format_is(&p.t, uuid, ranges, 3, &c), -EUCLEAN);
	CHECK_EQ(c.entry, 0);
	ranges[0].first -= 512;
	CHECK_EQ(gmfs_format_is(&p.t, uuid, ranges, 2, &c), -EUCLEAN);
	CHECK_STR(c.table, "range table");
	ranges[2].size += GMFS_BLOCK_SIZE;
	CHECK_EQ(gmfs_format_is(&p.t, uuid, ranges, 3, &c), -EUCLEAN);
	CHECK_EQ(c.entry, 2);
	ranges[1].base += GMFS_BLOCK_SIZE;
	CHECK_EQ(gmfs_format_is(&p.t, uuid, ranges, 3, &c), -EUCLEAN);
	CHECK_STR(c.what, "not the ranges that were handed over");
	CHECK_EQ(c.entry, 1);
	uuid[15] ^= 1;
	CHECK_EQ(gmfs_format_is(&p.t, uuid, ranges, 3, &c), -EUCLEAN);
	CHECK_STR(c.table, "superblock");
	CHECK_STR(c.what, "another pool's uuid");
	pool_free(&p);
}

/* Tables without entries at the very end of the metadata: nothing behind the end may be read. */
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
	CHECK_STR(c.what, "impossible number of entries");
	pool_free(&p);
}

/* The most bits that a table may have, in a mapping of which only a few pages are allocated. */
static void most_entries(const void *arg)
{
	const u64 bytes = GUESTMEMFS_MAX_BLOCKS / 4, size = bytes + META_SIZE;
	struct guestmemfs_super *s;
	struct gmfs_complaint c = {};
	struct gmfs_tables t;
	struct pool p;
	u32 i;

	(void)arg;
	format_pool(&p);
	s = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		 -1, 0);
	CHECK(s != MAP_FAILED);
	memcpy(s, p.meta, (u8 *)p.t.bitmap - (u8 *)p.meta);
	s->meta_size = cpu_to_le64(size);
	s->tables[GUESTMEMFS_TABLE_BITMAP].entries = cpu_to_le32(2 * GUESTMEMFS_MAX_BLOCKS +
								GMFS_SPARE_EXTENTS);
	for (i = GUESTMEMFS_TABLE_UNZEROED; i < GUESTMEMFS_NR_TABLES; i++)
		s->tables[i].offset = cpu_to_le64(le64_to_cpu(s->tables[i].offset) + bytes);
	pool_fix_crc(s, size);
	CHECK_EQ(gmfs_format_open(&t, s, META_BASE, size, &c), 0);
	s->tables[GUESTMEMFS_TABLE_BITMAP].entries = cpu_to_le32(2 * GUESTMEMFS_MAX_BLOCKS +
								GMFS_SPARE_EXTENTS + 1);
	CHECK_EQ(gmfs_format_open(&t, s, META_BASE, size, &c), -EUCLEAN);
	CHECK_STR(c.what, "impossible number of entries");
	munmap(s, size);
	pool_free(&p);
}

/* Another version is reported before a wrong checksum: people can do something about a version. */
static void another_version_first(const void *arg)
{
	struct gmfs_complaint c = {};
	struct gmfs_tables t;
	struct pool p;

	(void)arg;
	format_pool(&p);
	memset(&p.t.super->crc, 0xee, sizeof(*p.t.super) - offsetof(struct guestmemfs_super, crc));
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

static void expect_read_only(struct pool *p, bool read_only)
{
	struct gmfs_complaint c = {};
	struct gmfs_index index;
	struct gmfs_tables t;

	pool_fix_crc(p->meta, p->meta_size);
	CHECK_EQ(gmfs_format_open(&t, p->meta, META_BASE, p->meta_size, &c), 0);
	CHECK_EQ(t.read_only, read_only);
	CHECK_EQ(gmfs_check(&t, &index, &c), 0);
	gmfs_index_free(&index);
}

static void unknown_compatible_feature(const void *arg)
{
	struct pool p;
	u32 bit;

	(void)arg;
	format_pool(&p);
	for (bit = 0; bit < 32; bit++) {
		p.t.super->feature_compat = cpu_to_le32(1U << bit);
		expect_read_only(&p, false);
	}
	pool_free(&p);
}

static void unknown_read_only_feature(const void *arg)
{
	struct pool p;
	u32 bit;

	(void)arg;
	format_pool(&p);
	for (bit = 0; bit < 32; bit++) {
		p.t.super->feature_ro_compat = cpu_to_le32(1U << bit);
		expect_read_only(&p, true);
	}
	pool_free(&p);
}

/* A later kernel may make tables of this version with more entries than needed. */
static void more_entries_than_needed(const void *arg)
{
	struct gmfs_complaint c = {};
	struct gmfs_tables t;
	struct pool p;

	(void)arg;
	format_pool(&p);
	p.t.super->tables[GUESTMEMFS_TABLE_PINS].entries = cpu_to_le32(2000);
	pool_fix_crc(p.meta, p.meta_size);
	CHECK_EQ(gmfs_format_open(&t, p.meta, META_BASE, p.meta_size, &c), 0);
	CHECK_EQ(t.nr_pins, 2000);
	pool_free(&p);
}

/* A pool of a kernel that made fewer inodes for its blocks, but not less than 16384. */
static void another_number_of_inodes(const void *arg)
{
	const struct gmfs_range range = { GIB, 128 * GIB };
	struct guestmemfs_table_desc *inodes;
	struct gmfs_complaint c = {};
	struct gmfs_tables t;
	struct pool p;

	(void)arg;
	pool_make(&p, &range, 1);
	CHECK_EQ(p.t.nr_inodes, 128 * 128 + 1024);
	inodes = &p.t.super->tables[GUESTMEMFS_TABLE_INODES];
	inodes->entries = cpu_to_le32(16384);
	pool_fix_crc(p.meta, p.meta_size);
	CHECK_EQ(gmfs_format_open(&t, p.meta, META_BASE, p.meta_size, &c), 0);
	CHECK_EQ(t.nr_inodes, 16384);
	inodes->entries = cpu_to_le32(16383);
	pool_fix_crc(p.meta, p.meta_size);
	CHECK_EQ(gmfs_format_open(&t, p.meta, META_BASE, p.meta_size, &c), -EUCLEAN);
	CHECK_STR(c.what, "impossible number of entries");
	pool_free(&p);
}

void format_complaints(void (*fn)(const char *what))
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(corruptions); i++)
		if (corruptions[i].what)
			fn(corruptions[i].what);
	fn(NO_CHECKSUM);
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
	TEST(broken_checksum);
	TEST(another_pool);
	TEST(tables_at_the_end);
	TEST(most_entries);
	TEST(another_version_first);
	TEST(elsewhere);
	TEST(unknown_compatible_feature);
	TEST(unknown_read_only_feature);
	TEST(more_entries_than_needed);
	TEST(another_number_of_inodes);
}
