// SPDX-License-Identifier: GPL-2.0-only
/*
 * The preserved format: creating, opening, checking and refusing it; and the handover blob.
 */
#include <linux/crc32c.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "fixture_pool.h"

static const struct gmfs_range format_ranges[] = {
	{ SZ_1G - SZ_128M, SZ_128M },
	{ 2ULL * SZ_1G, SZ_1G },
};

static struct gmfs_test_pool *format_pool(struct kunit *test)
{
	return gmfs_test_pool(test, format_ranges, ARRAY_SIZE(format_ranges));
}

static void format_fix_crc(struct gmfs_test_pool *p)
{
	struct guestmemfs_super *s = p->t.super;
	u32 crc;

	s->crc = 0;
	crc = crc32c(~0U, s, offsetof(struct guestmemfs_super, live));
	crc = crc32c(crc, p->t.ranges, p->t.nr_ranges * sizeof(*p->t.ranges));
	s->crc = cpu_to_le32(crc);
}

static int format_open(struct gmfs_test_pool *p, struct gmfs_tables *t, struct gmfs_complaint *c)
{
	return gmfs_format_open(t, p->meta, GMFS_TEST_META_BASE, p->meta_size, c);
}

static void made_tables_are_accepted(struct kunit *test)
{
	struct gmfs_test_pool *p = format_pool(test);
	struct gmfs_complaint c = {};
	struct gmfs_tables t;

	KUNIT_EXPECT_EQ(test, gmfs_map_fill(&p->t, p->map[0], p->ino[0], 0, 300), 0);
	KUNIT_EXPECT_EQ(test, gmfs_map_edit(&p->t, p->map[0], GMFS_PUNCH, 10, 20), 0);
	KUNIT_EXPECT_EQ(test, format_open(p, &t, &c), 0);
	KUNIT_EXPECT_EQ(test, t.nr_blocks, p->t.nr_blocks);
	KUNIT_EXPECT_FALSE(test, t.read_only);
	gmfs_test_check(test, p);
}

static void static_bits_are_checksummed(struct kunit *test)
{
	struct gmfs_test_pool *p = format_pool(test);
	struct gmfs_complaint c;
	struct gmfs_tables t;
	u8 *meta = p->meta;
	u32 at;

	for (at = 0; at < offsetof(struct guestmemfs_super, live); at++) {
		meta[at] ^= 0x10;
		KUNIT_EXPECT_EQ_MSG(test, format_open(p, &t, &c), -EUCLEAN, "byte %u", at);
		meta[at] ^= 0x10;
	}
	for (at = 0; at < ARRAY_SIZE(format_ranges) * sizeof(*p->t.ranges); at++) {
		u8 *byte = (u8 *)p->t.ranges + at;

		*byte ^= 0x10;
		KUNIT_EXPECT_EQ_MSG(test, format_open(p, &t, &c), -EUCLEAN, "range byte %u", at);
		*byte ^= 0x10;
	}
	KUNIT_EXPECT_EQ(test, format_open(p, &t, &c), 0);
}

static void feature_words_follow_the_rule(struct kunit *test)
{
	struct gmfs_test_pool *p = format_pool(test);
	struct guestmemfs_super *s = p->t.super;
	struct gmfs_complaint c;
	struct gmfs_tables t;

	s->feature_compat = cpu_to_le32(1);
	format_fix_crc(p);
	KUNIT_EXPECT_EQ(test, format_open(p, &t, &c), 0);
	KUNIT_EXPECT_FALSE(test, t.read_only);
	s->feature_ro_compat = cpu_to_le32(0x80000000);
	format_fix_crc(p);
	KUNIT_EXPECT_EQ(test, format_open(p, &t, &c), 0);
	KUNIT_EXPECT_TRUE(test, t.read_only);
	s->feature_incompat = cpu_to_le32(GUESTMEMFS_FEATURE_INCOMPAT_KNOWN + 1);
	format_fix_crc(p);
	KUNIT_EXPECT_EQ(test, format_open(p, &t, &c), -EUCLEAN);
	KUNIT_EXPECT_STREQ(test, c.what, "an incompatible feature");
}

static void tables_elsewhere_are_refused(struct kunit *test)
{
	struct gmfs_test_pool *p = format_pool(test);
	struct gmfs_complaint c;
	struct gmfs_tables t;

	KUNIT_EXPECT_EQ(test, gmfs_format_open(&t, p->meta, 0, p->meta_size, &c), -EUCLEAN);
	p->t.super->tables[GUESTMEMFS_TABLE_POISON].offset = cpu_to_le64(p->meta_size);
	format_fix_crc(p);
	KUNIT_EXPECT_EQ(test, format_open(p, &t, &c), -EUCLEAN);
	KUNIT_EXPECT_STREQ(test, c.table, "table list");
	KUNIT_EXPECT_EQ(test, c.entry, GUESTMEMFS_TABLE_POISON);
}

struct gmfs_bad_case {
	const char *name;
	void (*spoil)(struct gmfs_test_pool *p);
	const char *table;
	const char *what;
};

static void spoil_used(struct gmfs_test_pool *p)
{
	p->t.super->live.used_inodes = cpu_to_le32(U32_MAX);
}

static void spoil_name(struct gmfs_test_pool *p)
{
	p->t.inodes[p->ino[0]].name[0] = '/';
}

static void spoil_twins(struct gmfs_test_pool *p)
{
	p->t.inodes[p->ino[0]].name[0] = p->t.inodes[p->ino[1]].name[0];
}

static void spoil_parent(struct gmfs_test_pool *p)
{
	p->t.inodes[p->ino[0]].parent = cpu_to_le32(U32_MAX);
}

static void spoil_ring(struct gmfs_test_pool *p)
{
	struct guestmemfs_inode *di = &p->t.inodes[p->ino[2]];

	di->mode = cpu_to_le32(S_IFDIR);
	di->parent = cpu_to_le32(p->ino[2]);
}

static void spoil_owner(struct gmfs_test_pool *p)
{
	p->t.extents[0].ino = cpu_to_le32(U32_MAX);
}

static void spoil_block(struct gmfs_test_pool *p)
{
	p->t.extents[0].block = cpu_to_le32(U32_MAX);
}

static void spoil_count(struct gmfs_test_pool *p)
{
	p->t.extents[0].count = cpu_to_le32(U32_MAX);
}

static void spoil_twice(struct gmfs_test_pool *p)
{
	p->t.extents[1].block = p->t.extents[0].block;
}

static void spoil_offset(struct gmfs_test_pool *p)
{
	p->t.extents[1].logical = p->t.extents[0].logical;
}

static void spoil_bitmap(struct gmfs_test_pool *p)
{
	clear_bit(le32_to_cpu(p->t.extents[0].block), p->t.bitmap);
}

static const struct gmfs_bad_case gmfs_bad_cases[] = {
	{ "used inodes", spoil_used, "superblock", "more inodes in use than there are, or none" },
	{ "slash", spoil_name, "inode table", "impossible name" },
	{ "same name", spoil_twins, "inode table", "has another one's name" },
	{ "parent", spoil_parent, "inode table", "directory out of range" },
	{ "ring", spoil_ring, "inode table", "is in a directory below itself" },
	{ "owner", spoil_owner, "extent table", "is of no file" },
	{ "block", spoil_block, "extent table", "has blocks that do not exist" },
	{ "count", spoil_count, "extent table", "has blocks that do not exist" },
	{ "two owners", spoil_twice, "extent table", "has blocks that another one has" },
	{ "two offsets", spoil_offset, "extent table", "has offsets that another one has" },
	{ "bitmap", spoil_bitmap, "bitmap", "is free but somebody's" },
};

static void gmfs_bad_describe(struct kunit *test, const void *param, char *desc)
{
	const struct gmfs_bad_case *bad = param;

	strscpy(desc, bad->name, KUNIT_PARAM_DESC_SIZE);
}

/* KUnit prints a KTAP plan only for parameters that are registered as an array. */
static int gmfs_bad_init_params(struct kunit *test)
{
	kunit_register_params_array(test, gmfs_bad_cases, ARRAY_SIZE(gmfs_bad_cases),
				    gmfs_bad_describe);
	return 0;
}

static void spoiled_tables_are_refused(struct kunit *test)
{
	const struct gmfs_bad_case *bad = test->param_value;
	struct gmfs_test_pool *p = format_pool(test);
	struct gmfs_complaint c = {};
	struct gmfs_index index;

	KUNIT_ASSERT_EQ(test, gmfs_map_fill(&p->t, p->map[0], p->ino[0], 0, 8), 0);
	KUNIT_ASSERT_EQ(test, gmfs_map_fill(&p->t, p->map[0], p->ino[0], 20, 8), 0);
	gmfs_test_check(test, p);
	bad->spoil(p);
	KUNIT_ASSERT_EQ(test, gmfs_check(&p->t, &index, &c), -EUCLEAN);
	KUNIT_EXPECT_STREQ(test, c.table, bad->table);
	KUNIT_EXPECT_STREQ(test, c.what, bad->what);
}

static void *handover_blob(struct kunit *test, size_t *size)
{
	static const u8 uuid[16] = "a test of a pool";
	void *blob;

	*size = gmfs_handover_size(1, ARRAY_SIZE(format_ranges));
	blob = kunit_kzalloc(test, *size, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, blob);
	gmfs_handover_begin(blob, 1, ARRAY_SIZE(format_ranges));
	gmfs_handover_pool(blob, 0, 1, uuid, SZ_4M, SZ_8M, format_ranges,
			   ARRAY_SIZE(format_ranges), 0, 0, 7);
	gmfs_handover_end(blob);
	return blob;
}

static void handover_there_and_back(struct kunit *test)
{
	struct guestmemfs_handover_pool pool;
	struct gmfs_range range;
	const char *why;
	size_t size;
	void *blob;

	blob = handover_blob(test, &size);
	KUNIT_ASSERT_EQ(test, gmfs_handover_check(blob, size, &why), 0);
	KUNIT_ASSERT_EQ(test, gmfs_handover_get_pool(blob, 0, &pool), 0);
	KUNIT_EXPECT_EQ(test, le32_to_cpu(pool.node), 1);
	KUNIT_EXPECT_EQ(test, le64_to_cpu(pool.meta_base), SZ_4M);
	KUNIT_EXPECT_EQ(test, le32_to_cpu(pool.nr_ranges), ARRAY_SIZE(format_ranges));
	gmfs_handover_get_range(blob, 1, &range);
	KUNIT_EXPECT_EQ(test, range.base, format_ranges[1].base);
	KUNIT_EXPECT_EQ(test, range.size, format_ranges[1].size);
}

static void handover_is_refused(struct kunit *test)
{
	struct guestmemfs_handover *h;
	const char *why;
	size_t size;

	h = handover_blob(test, &size);
	KUNIT_EXPECT_EQ(test, gmfs_handover_check(h, size - 1, &why), -EINVAL);
	h->version = cpu_to_le32(2);
	KUNIT_EXPECT_EQ(test, gmfs_handover_check(h, size, &why), -EUCLEAN);
	KUNIT_EXPECT_STREQ(test, why, "is of another version");
	h->version = cpu_to_le32(GUESTMEMFS_FORMAT_VERSION);
	h->crc ^= cpu_to_le32(1);
	KUNIT_EXPECT_EQ(test, gmfs_handover_check(h, size, &why), -EUCLEAN);
	KUNIT_EXPECT_STREQ(test, why, "has a broken checksum");
	h->magic = 0;
	KUNIT_EXPECT_EQ(test, gmfs_handover_check(h, size, &why), -EINVAL);
}

static struct kunit_case gmfs_format_cases[] = {
	KUNIT_CASE(made_tables_are_accepted),
	KUNIT_CASE(static_bits_are_checksummed),
	KUNIT_CASE(feature_words_follow_the_rule),
	KUNIT_CASE(tables_elsewhere_are_refused),
	KUNIT_CASE_PARAM_WITH_INIT(spoiled_tables_are_refused, kunit_array_gen_params,
				   gmfs_bad_init_params, NULL),
	KUNIT_CASE(handover_there_and_back),
	KUNIT_CASE(handover_is_refused),
	{}
};

static struct kunit_suite gmfs_format_suite = {
	.name		= "guestmemfs_format",
	.test_cases	= gmfs_format_cases,
};

kunit_test_suite(gmfs_format_suite);
