// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests which blocks, inodes and extent entries are allocated.
 */
#include <stdlib.h>

#include "tables_pool.h"

/* Each whole gigabyte of a file gets a whole, aligned gigabyte of the pool. */
static void whole_groups_first(const void *arg)
{
	struct pool p;
	u32 a, b, i;

	(void)arg;
	pool_make_gib(&p, 4);
	a = pool_file(&p);
	b = pool_file(&p);
	/* A single block in one group must not make the file break two groups. */
	CHECK_EQ(pool_fill(&p, a, 0, 1), 0);
	CHECK_EQ(pool_fill(&p, b, 0, 3 * GROUP), 0);
	for (i = 0; i < 3 * GROUP; i++)
		CHECK_EQ(pool_block(&p, b, i) % GROUP, i % GROUP);
	for (i = 0; i < 3; i++)
		CHECK_EQ(gmfs_block_phys(&p.t, pool_block(&p, b, i * GROUP)) % GIB, 0);
	CHECK_EQ(pool_block(&p, b, GROUP - 1) - pool_block(&p, b, 0), GROUP - 1);
	pool_check(&p);
	pool_free(&p);
}

/* A file that is filled in pieces, as by faults, gets a whole group, too. */
static void group_filled_in_pieces(const void *arg)
{
	struct pool p;
	u32 a, b, i;

	(void)arg;
	pool_make_gib(&p, 4);
	a = pool_file(&p);
	b = pool_file(&p);
	pool_size(&p, b, 2 * GROUP);
	CHECK_EQ(pool_fill(&p, a, 0, 7), 0);
	CHECK_EQ(pool_fill(&p, b, 0, GROUP), 0);
	for (i = GROUP; i < 2 * GROUP; i += 8)
		CHECK_EQ(pool_fill(&p, b, i, 8), 0);
	CHECK_EQ(pool_block(&p, b, GROUP) % GROUP, 0);
	CHECK_EQ(pool_block(&p, b, 2 * GROUP - 1), pool_block(&p, b, GROUP) + GROUP - 1);
	pool_check(&p);
	pool_free(&p);
}

/* The same if a file is filled from its end: the first fault must not decide about the place. */
static void group_filled_backwards(const void *arg)
{
	struct pool p;
	u32 a, b, i;

	(void)arg;
	pool_make_gib(&p, 3);
	a = pool_file(&p);
	b = pool_file(&p);
	pool_size(&p, b, GROUP);
	CHECK_EQ(pool_fill(&p, a, 0, GROUP), 0);
	for (i = GROUP; i > 0; i--)
		CHECK_EQ(pool_fill(&p, b, i - 1, 1), 0);
	CHECK_EQ(pool_block(&p, b, 0) % GROUP, 0);
	CHECK_EQ(pool_extents(&p, b), 1);
	pool_check(&p);
	pool_free(&p);
}

/* A gigabyte of a file gets a whole group even if the blocks before it are not aligned. */
static void whole_group_after_odd_blocks(const void *arg)
{
	struct pool p;
	u32 a, b;

	(void)arg;
	pool_make_gib(&p, 3);
	a = pool_file(&p);
	b = pool_file(&p);
	CHECK_EQ(pool_fill(&p, a, 0, 3), 0);
	CHECK_EQ(pool_fill(&p, b, GROUP - 4, 4), 0);
	CHECK(pool_block(&p, b, GROUP - 1) % GROUP != GROUP - 1);
	CHECK_EQ(pool_fill(&p, b, GROUP, GROUP), 0);
	CHECK_EQ(pool_block(&p, b, GROUP) % GROUP, 0);
	CHECK_EQ(pool_block(&p, b, 2 * GROUP - 1), pool_block(&p, b, GROUP) + GROUP - 1);
	pool_check(&p);
	pool_free(&p);
}

/* A gigabyte of a file does not begin in a group of which only the first part is free. */
static void whole_group_before_taken_blocks(const void *arg)
{
	struct pool p;
	u32 a, b;

	(void)arg;
	pool_make_gib(&p, 3);
	a = pool_file(&p);
	b = pool_file(&p);
	CHECK_EQ(pool_fill(&p, a, 0, 2 * GROUP), 0);
	CHECK_EQ(pool_punch(&p, a, GROUP, GROUP - 1), 0);
	CHECK_EQ(pool_fill(&p, b, 0, GROUP), 0);
	CHECK_EQ(pool_block(&p, b, 0) % GROUP, 0);
	CHECK_EQ(pool_extents(&p, b), 1);
	pool_check(&p);
	pool_free(&p);
}

static void small_files_share_a_group(const void *arg)
{
	struct pool p;
	u32 i;

	(void)arg;
	pool_make_gib(&p, 4);
	for (i = 0; i < 8; i++)
		CHECK_EQ(pool_fill(&p, pool_file(&p), 0, 10), 0);
	for (i = 1; i < 8; i++)
		CHECK_EQ(pool_block(&p, i, 0) / GROUP, pool_block(&p, 0, 0) / GROUP);
	pool_check(&p);
	pool_free(&p);
}

/*
 * The free blocks of a group that is claimed by a file are given to other files only when there
 * are no other free blocks: the owner may need them again in the same place.
 */
static void others_claims_come_last(const void *arg)
{
	struct pool p;
	u32 a, b, c;

	(void)arg;
	pool_make_gib(&p, 3);
	a = pool_file(&p);
	b = pool_file(&p);
	c = pool_file(&p);
	CHECK_EQ(pool_fill(&p, a, 0, 2 * GROUP), 0);
	CHECK_EQ(pool_punch(&p, a, 0, 300), 0);
	CHECK_EQ(pool_punch(&p, a, GROUP + 100, 50), 0);
	CHECK_EQ(pool_fill(&p, b, 0, 40), 0);
	CHECK_EQ(pool_block(&p, b, 0) / GROUP, 2);
	CHECK_EQ(pool_fill(&p, c, 0, GROUP - 40), 0);
	CHECK_EQ(pool_block(&p, c, GROUP - 41) / GROUP, 2);
	pool_check(&p);
	/*
	 * Now only claimed groups have free blocks. The one with the most free blocks is used,
	 * and is not claimed any more.
	 */
	CHECK_EQ(pool_fill(&p, b, 40, 1), 0);
	CHECK_EQ(pool_block(&p, b, 40) / GROUP, pool_block(&p, a, 300) / GROUP);
	CHECK_EQ(pool_fill(&p, c, GROUP, 299), 0);
	CHECK_EQ(pool_block(&p, c, GROUP + 298) / GROUP, pool_block(&p, a, 300) / GROUP);
	CHECK_EQ(pool_fill(&p, a, GROUP + 100, 50), 0);
	CHECK_EQ(pool_block(&p, a, GROUP + 149), pool_block(&p, a, GROUP) + 149);
	pool_check(&p);
	pool_free(&p);
}

/* A run of free blocks that is too short is passed over if a longer one in the group fits. */
static void longest_run_of_a_group(const void *arg)
{
	struct pool p;
	u32 a, b;

	(void)arg;
	pool_make_gib(&p, 1);
	a = pool_file(&p);
	b = pool_file(&p);
	CHECK_EQ(pool_fill(&p, a, 0, GROUP), 0);
	CHECK_EQ(pool_punch(&p, a, 10, 5), 0);
	CHECK_EQ(pool_punch(&p, a, 100, 9), 0);
	CHECK_EQ(pool_punch(&p, a, 200, 7), 0);
	CHECK_EQ(pool_fill(&p, b, 0, 9), 0);
	CHECK_EQ(pool_block(&p, b, 0), pool_block(&p, a, 99) + 1);
	CHECK_EQ(pool_extents(&p, b), 1);
	pool_check(&p);
	pool_free(&p);
}

struct refill {
	const char *name;
	u64 logical;
	u64 count;
	u64 step;
};

static const struct refill refills[] = {
	{ "first block", 0, 1, 1 },
	{ "last block", GROUP - 1, 1, 1 },
	{ "one in the middle", 200, 1, 1 },
	{ "many in the middle", 100, 300, 300 },
	{ "many, one by one", 100, 300, 1 },
	{ "all but the first", 1, GROUP - 1, GROUP - 1 },
	{ "all but the last", 0, GROUP - 1, 1 },
};

/* Blocks that were punched are allocated in the same place again, so the group stays whole. */
static void refill(const void *arg)
{
	const struct refill *r = arg;
	struct pool p;
	u32 a, block;
	u64 i;

	pool_make_gib(&p, 3);
	a = pool_file(&p);
	CHECK_EQ(pool_fill(&p, a, 0, GROUP), 0);
	block = pool_block(&p, a, 0);
	CHECK_EQ(pool_punch(&p, a, r->logical, r->count), 0);
	pool_check(&p);
	for (i = 0; i < r->count; i += r->step)
		CHECK_EQ(pool_fill(&p, a, r->logical + i, r->step), 0);
	CHECK_EQ(pool_block(&p, a, 0), block);
	CHECK_EQ(pool_block(&p, a, GROUP - 1), block + GROUP - 1);
	CHECK_EQ(pool_extents(&p, a), 1);
	pool_check(&p);
	pool_free(&p);
}

static void to_the_last_block(const void *arg)
{
	const struct gmfs_range ranges[] = {
		{ 896 * MIB, 128 * MIB }, { 2 * GIB, GIB }, { 4 * GIB + 256 * MIB, 384 * MIB },
	};
	struct pool p;
	u32 a, b, i;

	(void)arg;
	pool_make(&p, ranges, ARRAY_SIZE(ranges));
	a = pool_file(&p);
	b = pool_file(&p);
	CHECK_EQ(pool_fill(&p, a, 0, p.t.total_blocks), 0);
	CHECK_EQ(p.t.free_blocks, 0);
	CHECK_EQ(p.map[a].blocks, p.t.total_blocks);
	CHECK_EQ(pool_fill(&p, b, 0, 1), -ENOSPC);
	/* The file's first gigabyte is the whole one, and begins at a multiple of 1 GiB. */
	CHECK_EQ(gmfs_block_phys(&p.t, pool_block(&p, a, 0)), 2 * GIB);
	for (i = 0; i < GROUP; i++)
		CHECK_EQ(pool_block(&p, a, i) % GROUP, i);
	pool_check(&p);
	CHECK_EQ(pool_punch(&p, a, 17, 1), 0);
	CHECK_EQ(pool_fill(&p, b, 0, 1), 0);
	CHECK_EQ(pool_fill(&p, a, 17, 1), -ENOSPC);
	pool_check(&p);
	pool_free(&p);
}

/* Returns a copy of all bytes of the metadata, for comparison. */
static void *copy_meta(const struct pool *p)
{
	void *copy = malloc(p->meta_size);

	CHECK(copy);
	return memcpy(copy, p->meta, p->meta_size);
}

static void no_space_changes_nothing(const void *arg)
{
	struct pool p;
	u32 a, b, i;
	void *copy;

	(void)arg;
	pool_make_gib(&p, 1);
	a = pool_file(&p);
	b = pool_file(&p);
	CHECK_EQ(pool_fill(&p, a, 0, GROUP - 10), 0);
	CHECK_EQ(pool_punch(&p, a, 100, 1), 0);
	copy = copy_meta(&p);
	for (i = 0; i < 2; i++) {
		CHECK_EQ(pool_fill(&p, b, 0, 12 + i * 1000), -ENOSPC);
		CHECK_EQ(pool_fill(&p, b, 0, GMFS_MAX_LOGICAL), -ENOSPC);
		/* A part of this range is allocated already. */
		CHECK_EQ(pool_fill(&p, a, 50, GROUP + 12), -ENOSPC);
		CHECK(!memcmp(copy, p.meta, p.meta_size));
		CHECK_EQ(p.t.free_blocks, 11);
		CHECK_EQ(pool_extents(&p, b), 0);
		pool_check(&p);
	}
	CHECK_EQ(pool_fill(&p, b, 0, 11), 0);
	pool_check(&p);
	free(copy);
	pool_free(&p);
}

/* The worst case: no two blocks of a file are adjacent. */
static void worst_fragmentation(const void *arg)
{
	struct pool p;
	u32 a, b, i;

	(void)arg;
	pool_make_gib(&p, 2);
	a = pool_file(&p);
	b = pool_file(&p);
	CHECK_EQ(pool_fill(&p, a, 0, 2 * GROUP), 0);
	for (i = 0; i < 2 * GROUP; i += 2)
		CHECK_EQ(pool_punch(&p, a, i, 1), 0);
	CHECK_EQ(pool_extents(&p, a), GROUP);
	pool_check(&p);
	/* Fill in another order than that of the blocks, so that no two extents can be joined. */
	for (i = 0; i < GROUP; i++)
		CHECK_EQ(pool_fill(&p, b, 2 * (u64)i, 1), 0);
	CHECK_EQ(p.t.free_blocks, 0);
	CHECK_EQ(pool_extents(&p, a) + pool_extents(&p, b), 2 * GROUP);
	CHECK(le32_to_cpu(p.t.super->live.used_extents) <= p.t.nr_extents);
	pool_check(&p);
	pool_reopen(&p);
	pool_check(&p);
	CHECK_EQ(pool_fill(&p, a, 0, 1), -ENOSPC);
	gmfs_map_clear(&p.t, &p.map[a]);
	gmfs_map_clear(&p.t, &p.map[b]);
	CHECK_EQ(p.t.free_blocks, 2 * GROUP);
	/* Freed entries are used again. */
	CHECK_EQ(pool_fill(&p, a, 0, 2 * GROUP), 0);
	CHECK_EQ(pool_slot(&p, a, 0), 0);
	pool_check(&p);
	pool_free(&p);
}

/* Every block that was freed, and no other, is marked as unzeroed. */
static void released_blocks_are_unzeroed(const void *arg)
{
	struct pool p;
	u32 a, i, block;

	(void)arg;
	pool_make_gib(&p, 1);
	a = pool_file(&p);
	CHECK_EQ(pool_fill(&p, a, 0, GROUP), 0);
	block = pool_block(&p, a, 0);
	bitmap_zero(p.t.unzeroed, p.t.nr_blocks);
	CHECK_EQ(pool_punch(&p, a, 63, 66), 0);
	for (i = 0; i < GROUP; i++)
		CHECK_EQ(test_bit(block + i, p.t.unzeroed), i >= 63 && i < 129);
	/* Blocks that are allocated again keep the mark, since the allocator does not zero them. */
	CHECK_EQ(pool_fill(&p, a, 63, 66), 0);
	CHECK_EQ(bitmap_weight(p.t.unzeroed, p.t.nr_blocks), 66);
	gmfs_map_clear(&p.t, &p.map[a]);
	CHECK_EQ(bitmap_weight(p.t.unzeroed, p.t.nr_blocks), GROUP);
	pool_check(&p);
	pool_free(&p);
}

static void zero_blocks(struct pool *p, u32 block, u32 count)
{
	bitmap_clear(p->t.unzeroed, block, count);
	gmfs_groups_zeroed(&p->t, block, count);
}

/* A gigabyte that is zeroed is taken before those that are not, and no byte is zeroed for it. */
static void zeroed_groups_come_first(const void *arg)
{
	struct pool p;
	u32 a, b;

	(void)arg;
	pool_make_gib(&p, 4);
	a = pool_file(&p);
	b = pool_file(&p);
	zero_blocks(&p, 2 * GROUP, GROUP);
	CHECK_EQ(pool_fill(&p, a, 0, GROUP), 0);
	CHECK_EQ(pool_block(&p, a, 0), 2 * GROUP);
	/* The lowest one, if none is zeroed. */
	CHECK_EQ(pool_fill(&p, b, 0, GROUP), 0);
	CHECK_EQ(pool_block(&p, b, 0), 0);
	/* What becomes free comes last, until it is zeroed. */
	gmfs_map_clear(&p.t, &p.map[b]);
	CHECK_EQ(pool_fill(&p, b, 0, GROUP), 0);
	CHECK_EQ(pool_block(&p, b, 0), GROUP);
	gmfs_map_clear(&p.t, &p.map[b]);
	zero_blocks(&p, GROUP, GROUP - 1);
	CHECK_EQ(pool_fill(&p, b, 0, GROUP), 0);
	CHECK_EQ(pool_block(&p, b, 0), 3 * GROUP);
	gmfs_map_clear(&p.t, &p.map[b]);
	zero_blocks(&p, 2 * GROUP - 1, 1);
	CHECK_EQ(pool_fill(&p, b, 0, GROUP), 0);
	CHECK_EQ(pool_block(&p, b, 0), GROUP);
	pool_check(&p);
	pool_free(&p);
}

/* Of runs of the same length in a gigabyte, one that is zeroed is taken. */
static void zeroed_runs_come_first(const void *arg)
{
	struct pool p;
	u32 a, b, at;

	(void)arg;
	pool_make_gib(&p, 1);
	a = pool_file(&p);
	b = pool_file(&p);
	CHECK_EQ(pool_fill(&p, a, 0, GROUP), 0);
	at = pool_block(&p, a, 0);
	CHECK_EQ(pool_punch(&p, a, 10, 5), 0);
	CHECK_EQ(pool_punch(&p, a, 70, 5), 0);
	CHECK_EQ(pool_punch(&p, a, 200, 5), 0);
	CHECK_EQ(pool_punch(&p, a, 300, 6), 0);
	zero_blocks(&p, at + 70, 4);
	zero_blocks(&p, at + 200, 5);
	zero_blocks(&p, at + 300, 6);
	CHECK_EQ(pool_fill(&p, b, 0, 5), 0);
	CHECK_EQ(pool_block(&p, b, 0), at + 200);
	/* The length comes before that. */
	CHECK_EQ(pool_fill(&p, b, 5, 5), 0);
	CHECK_EQ(pool_block(&p, b, 5), at + 10);
	pool_check(&p);
	pool_free(&p);
}

/*
 * A mark of a number without a block goes, and no other. If such a mark stayed, a thread would zero
 * memory of the host.
 */
static void marks_without_block_are_forgotten(const void *arg)
{
	const struct gmfs_range ranges[] = {
		{ 4 * GIB, GIB / 2 }, { 6 * GIB + GIB / 2, GIB },
	};
	u32 i, marks, block;
	struct pool p;

	(void)arg;
	pool_make(&p, ranges, ARRAY_SIZE(ranges));
	bitmap_fill(p.t.unzeroed, p.t.capacity);
	gmfs_forget_unzeroed(&p.t);
	for (marks = 0, i = 0; i < p.t.nr_ranges; i++) {
		block = le32_to_cpu(p.t.ranges[i].first_block);
		marks += gmfs_range_blocks(&p.t.ranges[i]);
		CHECK(test_bit(block, p.t.unzeroed));
		CHECK(test_bit(block + gmfs_range_blocks(&p.t.ranges[i]) - 1, p.t.unzeroed));
	}
	CHECK(marks < p.t.capacity);
	CHECK_EQ(bitmap_weight(p.t.unzeroed, p.t.capacity), marks);
	/* As if the last range had left. */
	p.t.nr_ranges--;
	gmfs_forget_unzeroed(&p.t);
	CHECK_EQ(bitmap_weight(p.t.unzeroed, p.t.capacity), gmfs_range_blocks(&p.t.ranges[0]));
	p.t.nr_ranges++;
	pool_free(&p);
}

static void generations_grow(const void *arg)
{
	u32 ino, again, other, i;
	struct pool p;

	(void)arg;
	pool_make_gib(&p, 1);
	ino = pool_dir(&p, GUESTMEMFS_ROOT_INO, "a");
	other = pool_dir(&p, GUESTMEMFS_ROOT_INO, "b");
	CHECK_EQ(ino, GUESTMEMFS_ROOT_INO + 1);
	CHECK_EQ(other, ino + 1);
	for (i = 1; i < 5; i++) {
		CHECK_EQ(le32_to_cpu(p.t.inodes[ino].generation), i);
		gmfs_inode_free(&p.t, ino);
		CHECK_EQ(p.t.inodes[ino].mode, 0);
		CHECK_EQ(le32_to_cpu(p.t.inodes[ino].generation), i);
		pool_check(&p);
		if (i == 2)
			pool_reopen(&p);
		again = pool_dir(&p, GUESTMEMFS_ROOT_INO, "c");
		CHECK_EQ(again, ino);
	}
	CHECK_EQ(le32_to_cpu(p.t.inodes[other].generation), 1);
	pool_free(&p);
}

static void inodes_are_clean(const void *arg)
{
	struct guestmemfs_inode want = { .mode = cpu_to_le32(S_IFREG | 0644),
					 .generation = cpu_to_le32(1) };
	struct pool p;
	u32 ino;

	(void)arg;
	pool_make_gib(&p, 1);
	/* pool_make() has filled the table with garbage, as fresh memory may have it. */
	CHECK_EQ(gmfs_inode_alloc(&p.t, S_IFREG | 0644, &ino), 0);
	CHECK(!memcmp(&p.t.inodes[ino], &want, sizeof(want)));
	memset((u8 *)&p.t.inodes[ino] + 8, 0xff, sizeof(want) - 8);
	gmfs_inode_free(&p.t, ino);
	CHECK_EQ(gmfs_inode_alloc(&p.t, S_IFREG | 0644, &ino), 0);
	want.generation = cpu_to_le32(2);
	CHECK(!memcmp(&p.t.inodes[ino], &want, sizeof(want)));
	pool_free(&p);
}

static void inodes_run_out(const void *arg)
{
	struct pool p;
	u32 ino, i, nr;

	(void)arg;
	pool_make_gib(&p, 1);
	nr = p.t.free_inodes;
	CHECK_EQ(nr, p.t.nr_inodes - 2);
	for (i = 0; i < nr; i++) {
		CHECK_EQ(gmfs_inode_alloc(&p.t, S_IFDIR, &ino), 0);
		CHECK_EQ(ino, GUESTMEMFS_ROOT_INO + 1 + i);
		/* Give each a name of its own in the root directory, as if it were linked. */
		p.t.inodes[ino].parent = cpu_to_le32(GUESTMEMFS_ROOT_INO);
		p.t.inodes[ino].name_len = cpu_to_le16(3);
		p.t.inodes[ino].name[0] = 1 + i % 40;
		p.t.inodes[ino].name[1] = 1 + i / 40 % 40;
		p.t.inodes[ino].name[2] = 1 + i / 1600;
	}
	CHECK_EQ(p.t.free_inodes, 0);
	CHECK_EQ(gmfs_inode_alloc(&p.t, S_IFDIR, &ino), -ENOSPC);
	pool_check(&p);
	pool_reopen(&p);
	CHECK_EQ(gmfs_inode_alloc(&p.t, S_IFDIR, &ino), -ENOSPC);
	gmfs_inode_free(&p.t, 100);
	gmfs_inode_free(&p.t, 77);
	pool_check(&p);
	CHECK_EQ(gmfs_inode_alloc(&p.t, S_IFDIR, &ino), 0);
	CHECK_EQ(ino, 77);
	CHECK_EQ(gmfs_inode_alloc(&p.t, S_IFDIR, &ino), 0);
	CHECK_EQ(ino, 100);
	CHECK_EQ(gmfs_inode_alloc(&p.t, S_IFDIR, &ino), -ENOSPC);
	pool_free(&p);
}

static void init_without_memory(const void *arg)
{
	struct pool p;
	void *copy;
	u32 i;

	(void)arg;
	pool_make_gib(&p, 1);
	copy = copy_meta(&p);
	gmfs_alloc_exit(&p.t);
	for (i = 1; i <= 5; i++) {
		shim_allocations = 0;
		shim_fail_from = i;
		CHECK_EQ(gmfs_alloc_init(&p.t), -ENOMEM);
		shim_fail_from = 0;
		CHECK(!memcmp(copy, p.meta, p.meta_size));
		CHECK_EQ(shim_unfreed, 0);
		gmfs_alloc_exit(&p.t);
	}
	CHECK_EQ(gmfs_alloc_init(&p.t), 0);
	free(copy);
	pool_free(&p);
}

void alloc_tests(void)
{
	u32 i;

	TEST(whole_groups_first);
	TEST(group_filled_in_pieces);
	TEST(group_filled_backwards);
	TEST(whole_group_after_odd_blocks);
	TEST(whole_group_before_taken_blocks);
	TEST(small_files_share_a_group);
	TEST(others_claims_come_last);
	TEST(longest_run_of_a_group);
	for (i = 0; i < ARRAY_SIZE(refills); i++)
		test_add(refill, &refills[i], "refill: %s", refills[i].name);
	TEST(to_the_last_block);
	TEST(no_space_changes_nothing);
	TEST(worst_fragmentation);
	TEST(released_blocks_are_unzeroed);
	TEST(zeroed_groups_come_first);
	TEST(zeroed_runs_come_first);
	TEST(marks_without_block_are_forgotten);
	TEST(generations_grow);
	TEST(inodes_are_clean);
	TEST(inodes_run_out);
	TEST(init_without_memory);
}
