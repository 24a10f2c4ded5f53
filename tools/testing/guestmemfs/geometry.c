// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests the relation of block numbers and physical addresses.
 */
#include "tables_pool.h"

#define MAX_CASE_RANGES	4

struct geometry {
	const char *name;
	struct gmfs_range ranges[MAX_CASE_RANGES];
	u32 nr;
	u32 first_blocks[MAX_CASE_RANGES];
	u32 nr_blocks;
	int err;
};

static const struct geometry geometries[] = {
	{ "one section at zero", { { 0, 128 * MIB } }, 1, { 0 }, 64 },
	{ "one section", { { 128 * MIB, 128 * MIB } }, 1, { 64 }, 128 },
	{ "last section of a gigabyte", { { GIB - 128 * MIB, 128 * MIB } }, 1, { 448 }, 512 },
	{ "one gigabyte", { { 4 * GIB, GIB } }, 1, { 0 }, 512 },
	{ "over a boundary", { { GIB - 128 * MIB, 256 * MIB } }, 1, { 448 }, 576 },
	{ "many gigabytes", { { 4 * GIB, 64 * GIB } }, 1, { 0 }, 32768 },
	{ "two gigabytes apart", { { 4 * GIB, GIB }, { 8 * GIB, GIB } }, 2, { 0, 512 }, 1024 },
	{ "two that touch", { { 4 * GIB, GIB }, { 5 * GIB, GIB } }, 2, { 0, 512 }, 1024 },
	{ "two that touch inside a gigabyte", { { 0, 128 * MIB }, { 128 * MIB, 128 * MIB } }, 2,
	  { 0, 576 }, 640 },
	{ "two odd ones of one gigabyte", { { 128 * MIB, 128 * MIB }, { 512 * MIB, 256 * MIB } },
	  2, { 64, 768 }, 896 },
	{ "odd, whole, odd", { { 3 * GIB + 896 * MIB, 128 * MIB }, { 4 * GIB, 2 * GIB },
	  { 7 * GIB + 256 * MIB, 1280 * MIB } }, 3, { 448, 512, 1664 }, 2304 },
	{ "nothing", { }, 0, .err = -EINVAL },
	{ "an empty range", { { GIB, 0 } }, 1, .err = -EINVAL },
	{ "an empty range behind another", { { GIB, GIB }, { 2 * GIB, 0 } }, 2, .err = -EINVAL },
	{ "less than a section", { { GIB, 64 * MIB } }, 1, .err = -EINVAL },
	{ "a section and a bit", { { GIB, 128 * MIB + 4096 } }, 1, .err = -EINVAL },
	{ "not aligned", { { GIB + 2 * MIB, 128 * MIB } }, 1, .err = -EINVAL },
	{ "descending", { { 8 * GIB, GIB }, { 4 * GIB, GIB } }, 2, .err = -EINVAL },
	{ "overlapping", { { 4 * GIB, 2 * GIB }, { 5 * GIB, GIB } }, 2, .err = -EINVAL },
	{ "the same twice", { { 4 * GIB, GIB }, { 4 * GIB, GIB } }, 2, .err = -EINVAL },
	{ "end over 2^63", { { (1ULL << 63) - GIB, GIB } }, 1, .err = -EINVAL },
	{ "base over 2^63", { { 1ULL << 63, GIB } }, 1, .err = -EINVAL },
	{ "end over 2^64", { { 0ULL - GIB, GIB } }, 1, .err = -EINVAL },
	{ "end over 2^64 and round", { { 0ULL - GIB, 2 * GIB } }, 1, .err = -EINVAL },
	{ "largest size", { { GIB, 0ULL - GIB } }, 1, .err = -EINVAL },
	{ "too many blocks", { { 0, (1ULL << 51) + GIB } }, 1, .err = -EINVAL },
	{ "too many blocks together", { { 0, 1ULL << 50 }, { 1ULL << 50, (1ULL << 50) + GIB } },
	  2, .err = -EINVAL },
};

static void geometry_refused(const struct geometry *g)
{
	u64 size = 4711;
	u32 nr_blocks = 4711;

	CHECK_EQ(gmfs_count_blocks(g->ranges, g->nr, &nr_blocks), g->err);
	CHECK_EQ(gmfs_format_size(g->ranges, g->nr, 0, &size), g->err);
	CHECK_EQ(size, 4711);
}

/*
 * Checks the address of every block of all ranges, and that the block numbers between ranges are
 * marked as in use.
 */
static void geometry_blocks(const struct pool *p, const struct geometry *g)
{
	u32 i, block, next = 0, total = 0;

	for (i = 0; i < g->nr; i++) {
		u32 end = g->first_blocks[i] + (g->ranges[i].size >> GUESTMEMFS_BLOCK_SHIFT);

		for (block = next; block < g->first_blocks[i]; block++) {
			CHECK(test_bit(block, p->t.bitmap));
			CHECK(!test_bit(block, p->t.unzeroed));
		}
		for (; block < end; block++) {
			u64 phys = gmfs_block_phys(&p->t, block);

			CHECK_EQ(phys, g->ranges[i].base +
				 (u64)(block - g->first_blocks[i]) * GMFS_BLOCK_SIZE);
			CHECK_EQ(phys % GMFS_GROUP_SIZE, (u64)(block % GROUP) * GMFS_BLOCK_SIZE);
			CHECK(gmfs_block_range(&p->t, block) == &p->t.ranges[i]);
			CHECK_EQ(gmfs_block_range_end(&p->t, block), end);
			CHECK(!test_bit(block, p->t.bitmap));
			/* A new pool's memory may have any contents, so it has to be zeroed. */
			CHECK(test_bit(block, p->t.unzeroed));
		}
		total += end - g->first_blocks[i];
		if (i)
			CHECK(g->first_blocks[i] / GROUP != (next - 1) / GROUP);
		next = end;
	}
	CHECK_EQ(p->t.free_blocks, total);
	CHECK_EQ(p->t.total_blocks, total);
}

static void geometry(const void *arg)
{
	const struct geometry *g = arg;
	struct pool p;
	u32 nr_blocks, i;

	if (g->err) {
		geometry_refused(g);
		return;
	}
	CHECK_EQ(gmfs_count_blocks(g->ranges, g->nr, &nr_blocks), 0);
	CHECK_EQ(nr_blocks, g->nr_blocks);
	pool_make(&p, g->ranges, g->nr);
	CHECK_EQ(p.meta_size % GMFS_BLOCK_SIZE, 0);
	CHECK_EQ(p.t.nr_blocks, g->nr_blocks);
	CHECK_EQ(p.t.nr_ranges, g->nr);
	for (i = 0; i < g->nr; i++)
		CHECK_EQ(le32_to_cpu(p.t.ranges[i].first_block), g->first_blocks[i]);
	geometry_blocks(&p, g);
	pool_check(&p);
	pool_free(&p);
}

static void ranges_at_the_limit(const void *arg)
{
	struct gmfs_range ranges[GUESTMEMFS_MAX_RANGES + 1];
	struct pool p;
	u64 size;
	u32 i;

	(void)arg;
	for (i = 0; i <= GUESTMEMFS_MAX_RANGES; i++) {
		ranges[i].base = i * 256 * MIB;
		ranges[i].size = 128 * MIB;
	}
	CHECK_EQ(gmfs_format_size(ranges, GUESTMEMFS_MAX_RANGES + 1, 0, &size), -EINVAL);
	pool_make(&p, ranges, GUESTMEMFS_MAX_RANGES);
	CHECK_EQ(p.t.free_blocks, GUESTMEMFS_MAX_RANGES * 64);
	for (i = 0; i < GUESTMEMFS_MAX_RANGES; i++)
		CHECK_EQ(gmfs_block_phys(&p.t, le32_to_cpu(p.t.ranges[i].first_block)),
			 ranges[i].base);
	pool_check(&p);
	pool_free(&p);
}

/* The sizes that Documentation/filesystems/guestmemfs.rst has. */
static void sizes_of_metadata(const void *arg)
{
	static const struct { u64 pool, meta; } sizes[] = {
		{ GIB, 8388608 }, { 24 * GIB, 8388608 }, { 64 * GIB, 12582912 },
		{ 1024 * GIB, 140509184 }, { 4096 * GIB, 555745280 },
	};
	u64 meta;
	u32 i;

	(void)arg;
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		const struct gmfs_range range = { GIB, sizes[i].pool };

		CHECK_EQ(gmfs_format_size(&range, 1, 0, &meta), 0);
		CHECK_EQ(meta, sizes[i].meta);
	}
}

/* A pool with the greatest number of blocks can be counted, and has a layout. */
static void largest_pool(const void *arg)
{
	const struct gmfs_range range = { 0, (u64)GUESTMEMFS_MAX_BLOCKS * GMFS_BLOCK_SIZE };
	u32 nr_blocks;
	u64 size;

	(void)arg;
	CHECK_EQ(gmfs_count_blocks(&range, 1, &nr_blocks), 0);
	CHECK_EQ(nr_blocks, GUESTMEMFS_MAX_BLOCKS);
	CHECK_EQ(gmfs_format_size(&range, 1, 0, &size), 0);
	/* A quarter of an inode, two extents, a map, a record of poison and one of pins a block. */
	CHECK(size > (u64)GUESTMEMFS_MAX_BLOCKS * (384 / 4 + 2 * 32 + 64 + 16 + 24));
}

void geometry_tests(void)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(geometries); i++)
		test_add(geometry, &geometries[i], "geometry: %s", geometries[i].name);
	TEST(ranges_at_the_limit);
	TEST(sizes_of_metadata);
	TEST(largest_pool);
}
