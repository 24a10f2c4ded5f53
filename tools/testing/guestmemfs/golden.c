// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests the golden image of version 1: the code still reads it, finds the same contents in it, and
 * writes the same bytes.
 *
 * If one of these tests fails, the format has changed. If that was not intended, undo the change:
 * hosts have such pools in memory when they boot the kernel that you build. If it was intended,
 * give the new format a version or a feature bit (see "How it may change" in
 * Documentation/filesystems/guestmemfs-format.rst), add an image of the new kind with tests like
 * these, and keep this image, which later kernels have to read or refuse.
 */
#include <linux/crc32c.h>

#include "golden-make.h"

struct golden_extent {
	u32 slot;
	u32 ino;
	u64 logical;
	u32 block;
	u32 count;
	u64 phys;
};

/*
 * The extents, sorted by inode and offset as by gmfs_check(). Entry 2 of the table and the entries
 * from 12 on are free.
 */
static const struct golden_extent golden_extents[] = {
	{ 0, 4, 0, 512, 100, 0x80000000 },
	{ 2, 4, 101, 613, 411, 0x8ca00000 },
	{ 1, 5, 0, 448, 2, 0x38000000 },
	{ 10, 5, 3, 451, 1, 0x38600000 },
	{ 8, 5, 5, 454, 3, 0x38c00000 },
	{ 6, 5, 40, 489, 23, 0x3d200000 },
	{ 7, 5, 63, 1152, 47, 0xd0000000 },
	{ 4, 7, 1, 457, 2, 0x39200000 },
	{ 5, 9, 5, 459, 3, 0x39600000 },
	{ 9, 9, 4294967295, 1343, 1, 0xe7e00000 },
	{ 3, 11, 0, 450, 1, 0x38400000 },
};

static void golden_open(struct golden *g, struct gmfs_tables *t, struct gmfs_index *index)
{
	struct gmfs_complaint c = {};

	golden_load(g, GOLDEN_FILE);
	if (gmfs_format_open(t, g->meta, GOLDEN_META_BASE, g->meta_size, &c) ||
	    gmfs_check(t, index, &c))
		FAIL("refused: %s %llu %s", c.table, c.entry, c.what);
	CHECK_EQ(gmfs_alloc_init(t), 0);
}

static void golden_close(struct golden *g, struct gmfs_tables *t, struct gmfs_index *index)
{
	gmfs_alloc_exit(t);
	gmfs_index_free(index);
	golden_free(g);
}

/* The image file has not changed since it was committed. */
static void golden_is_kept(const void *arg)
{
	struct golden g;

	(void)arg;
	golden_load(&g, GOLDEN_FILE);
	CHECK_EQ(g.meta_size, 8 * MIB);
	CHECK_EQ(crc32c(~0U, g.meta, g.meta_size), 0x30e635a0);
	CHECK_EQ(g.blob_size, 272);
	CHECK_EQ(crc32c(~0U, g.blob, g.blob_size), 0x9c68b438);
	golden_free(&g);
}

static void golden_differs(const char *what, const u8 *now, const u8 *then, size_t size)
{
	size_t at;

	for (at = 0; at < size; at++)
		if (now[at] != then[at])
			FAIL("%s: byte %#zx is now written as %#x, not %#x; see golden.c", what,
			     at, now[at], then[at]);
}

static void golden_is_written(const void *arg)
{
	struct golden now, then;

	(void)arg;
	golden_make(&now, GOLDEN_PLAIN);
	golden_load(&then, GOLDEN_FILE);
	CHECK_EQ(now.meta_size, then.meta_size);
	golden_differs("tables", now.meta, then.meta, then.meta_size);
	CHECK_EQ(now.blob_size, then.blob_size);
	golden_differs("handover", now.blob, then.blob, then.blob_size);
	golden_free(&now);
	golden_free(&then);
}

static void golden_counts(const void *arg)
{
	struct gmfs_index index;
	struct gmfs_tables t;
	struct golden g;

	(void)arg;
	golden_open(&g, &t, &index);
	CHECK(!t.read_only);
	CHECK_EQ(t.nr_blocks, 1344);
	CHECK_EQ(t.nr_inodes, 16384);
	CHECK_EQ(t.nr_extents, 2752);
	CHECK_EQ(t.nr_maps, 1344);
	CHECK_EQ(t.nr_poison, 1344);
	CHECK((u8 *)t.maps == g.meta + 0x61a000);
	CHECK((u8 *)t.poison == g.meta + 0x62f000);
	CHECK_EQ(t.total_blocks, 64 + 512 + 192);
	CHECK_EQ(t.free_blocks, t.total_blocks - 594);
	CHECK_EQ(t.free_inodes, 16384 - 1 - 10);
	CHECK_EQ(le32_to_cpu(t.super->live.used_inodes), 12);
	CHECK_EQ(le32_to_cpu(t.super->live.used_extents), 12);
	CHECK_EQ(le32_to_cpu(t.super->live.hops), GOLDEN_HOPS);
	CHECK_EQ(le32_to_cpu(t.super->node), GOLDEN_NODE);
	CHECK(!memcmp(t.super->uuid, golden_uuid, 16));
	golden_close(&g, &t, &index);
}

static void golden_ranges_are(const void *arg)
{
	static const u32 first[GOLDEN_RANGES] = { 448, 512, 1152 };
	struct gmfs_index index;
	struct gmfs_tables t;
	struct golden g;
	u32 i;

	(void)arg;
	golden_open(&g, &t, &index);
	CHECK_EQ(t.nr_ranges, GOLDEN_RANGES);
	for (i = 0; i < GOLDEN_RANGES; i++) {
		CHECK_EQ(le64_to_cpu(t.ranges[i].base), golden_ranges[i].base);
		CHECK_EQ(le64_to_cpu(t.ranges[i].size), golden_ranges[i].size);
		CHECK_EQ(le32_to_cpu(t.ranges[i].first_block), first[i]);
		CHECK_EQ(gmfs_block_phys(&t, first[i]), golden_ranges[i].base);
	}
	golden_close(&g, &t, &index);
}

static void golden_time_is(__le64 sec, __le32 nsec, const struct golden_time *time)
{
	CHECK_EQ((s64)le64_to_cpu(sec), time->sec);
	CHECK_EQ(le32_to_cpu(nsec), time->nsec);
}

static void golden_inode_is(const struct guestmemfs_inode *di, const struct golden_inode *gi)
{
	CHECK_EQ(le32_to_cpu(di->mode), gi->mode);
	CHECK_EQ(le32_to_cpu(di->generation), gi->generation);
	if (!gi->mode)
		return;
	CHECK_EQ(le32_to_cpu(di->parent), gi->parent);
	CHECK_EQ(le32_to_cpu(di->flags), gi->flags);
	CHECK_EQ(le32_to_cpu(di->uid), gi->uid);
	CHECK_EQ(le32_to_cpu(di->gid), gi->gid);
	CHECK_EQ(le64_to_cpu(di->size), gi->size);
	golden_time_is(di->atime, di->atime_nsec, &gi->atime);
	golden_time_is(di->mtime, di->mtime_nsec, &gi->mtime);
	golden_time_is(di->ctime, di->ctime_nsec, &gi->ctime);
	golden_time_is(di->btime, di->btime_nsec, &gi->btime);
	CHECK_EQ(le32_to_cpu(di->preserved), gi->preserved);
	CHECK_EQ(le16_to_cpu(di->preserved_access), gi->preserved_access);
	CHECK_EQ(le64_to_cpu(di->preserved_pos), gi->preserved_pos);
	CHECK_EQ(le16_to_cpu(di->name_len), strlen(gi->name));
	CHECK_STR((const char *)di->name, gi->name);
}

static void golden_inodes_are(const void *arg)
{
	struct gmfs_index index;
	struct gmfs_tables t;
	struct golden g;
	u32 i;

	(void)arg;
	golden_open(&g, &t, &index);
	for (i = 0; i < GOLDEN_INODES; i++) {
		CHECK_EQ(golden_inodes[i].ino, i + 1);
		golden_inode_is(&t.inodes[i + 1], &golden_inodes[i]);
	}
	golden_close(&g, &t, &index);
}

static void golden_extents_are(const void *arg)
{
	struct gmfs_index index;
	struct gmfs_tables t;
	struct golden g;
	u32 i;

	(void)arg;
	golden_open(&g, &t, &index);
	CHECK_EQ(index.nr, ARRAY_SIZE(golden_extents));
	for (i = 0; i < index.nr; i++) {
		const struct golden_extent *want = &golden_extents[i];
		const struct guestmemfs_extent *e = &t.extents[index.slots[i]];

		CHECK_EQ(index.slots[i], want->slot);
		CHECK_EQ(le32_to_cpu(e->ino), want->ino);
		CHECK_EQ(le64_to_cpu(e->logical), want->logical);
		CHECK_EQ(le32_to_cpu(e->block), want->block);
		CHECK_EQ(le32_to_cpu(e->count), want->count);
		CHECK_EQ(le32_to_cpu(e->flags), GUESTMEMFS_EXTENT_ALLOCATED);
		CHECK_EQ(gmfs_block_phys(&t, le32_to_cpu(e->block)), want->phys);
	}
	golden_close(&g, &t, &index);
}

/* The zeroed blocks: the remaining ones of file 4, the first ones of file 5, and file 11. */
static bool golden_is_zeroed(u32 block)
{
	return (block >= 512 && block < 1024 && block != 612) || block == 448 || block == 449 ||
	       (block >= 454 && block < 457) || block == 450;
}

static void golden_unzeroed_are(const void *arg)
{
	struct gmfs_index index;
	struct gmfs_tables t;
	struct golden g;
	u32 block;

	(void)arg;
	golden_open(&g, &t, &index);
	for (block = 0; block < t.nr_blocks; block++) {
		bool exists = (block >= 448 && block < 1024) || block >= 1152;

		if (test_bit(block, t.unzeroed) != (exists && !golden_is_zeroed(block)))
			FAIL("unzeroed bit of block %u", block);
	}
	golden_close(&g, &t, &index);
}

static void golden_pool_is(const struct golden *g, u32 index, u32 node, const u8 uuid[16],
			   const struct gmfs_range *ranges, u32 nr, u32 flags, u32 hops)
{
	struct guestmemfs_handover_pool pool;
	struct gmfs_range r;
	u32 i;

	CHECK_EQ(gmfs_handover_get_pool(g->blob, index, &pool), 0);
	CHECK(!memcmp(pool.uuid, uuid, 16));
	CHECK_EQ(le32_to_cpu(pool.node), node);
	CHECK_EQ(le32_to_cpu(pool.nr_ranges), nr);
	CHECK_EQ(le32_to_cpu(pool.flags), flags);
	CHECK_EQ(le32_to_cpu(pool.hops), hops);
	CHECK_EQ(le64_to_cpu(pool.meta_base), index ? GOLDEN_OTHER_META_BASE : GOLDEN_META_BASE);
	CHECK_EQ(le64_to_cpu(pool.meta_size), index ? 0 : 8 * MIB);
	for (i = 0; i < nr; i++) {
		gmfs_handover_get_range(g->blob, le32_to_cpu(pool.first_range) + i, &r);
		CHECK_EQ(r.base, ranges[i].base);
		CHECK_EQ(r.size, ranges[i].size);
	}
}

static void golden_blob_is(const void *arg)
{
	struct golden g;
	const char *why;

	(void)arg;
	golden_load(&g, GOLDEN_FILE);
	CHECK_EQ(gmfs_handover_check(g.blob, g.blob_size, &why), 0);
	CHECK_EQ(le32_to_cpu(((struct guestmemfs_handover *)g.blob)->nr_pools), 2);
	golden_pool_is(&g, 0, GOLDEN_NODE, golden_uuid, golden_ranges, GOLDEN_RANGES, 0,
		       GOLDEN_HOPS);
	golden_pool_is(&g, 1, GOLDEN_OTHER_NODE, golden_other_uuid, golden_other_ranges,
		       GOLDEN_OTHER_RANGES, GUESTMEMFS_POOL_LOST, GOLDEN_OTHER_HOPS);
	golden_free(&g);
}

void golden_tests(void)
{
	TEST(golden_is_kept);
	TEST(golden_is_written);
	TEST(golden_counts);
	TEST(golden_ranges_are);
	TEST(golden_inodes_are);
	TEST(golden_extents_are);
	TEST(golden_unzeroed_are);
	TEST(golden_blob_is);
}
