// SPDX-License-Identifier: GPL-2.0-only
/*
 * Free and taken: blocks, extent table entries and inode table entries.
 *
 * Everything here works on tables that gmfs_check() has accepted, is
 * serialised by the caller, and fails before it has changed anything.
 */
#include <linux/bitmap.h>
#include <linux/bitops.h>
#include <linux/errno.h>
#include <linux/limits.h>
#include <linux/minmax.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "extmap.h"

static u64 gmfs_range_blocks(const struct guestmemfs_range *r)
{
	return le64_to_cpu(r->size) >> GUESTMEMFS_BLOCK_SHIFT;
}

/**
 * gmfs_block_range - the physical range of a block
 * @t: the pool's tables
 * @block: number of a block that exists
 *
 * Return: its entry in the range table.
 */
const struct guestmemfs_range *gmfs_block_range(const struct gmfs_tables *t, u32 block)
{
	u32 i;

	for (i = t->nr_ranges; i > 0; i--)
		if (block >= le32_to_cpu(t->ranges[i - 1].first_block))
			return &t->ranges[i - 1];
	return NULL;
}

/**
 * gmfs_block_range_end - where the physical range of a block ends
 * @t: the pool's tables
 * @block: number of a block that exists
 *
 * Return: the block number after the last one of the range.
 */
u32 gmfs_block_range_end(const struct gmfs_tables *t, u32 block)
{
	const struct guestmemfs_range *r = gmfs_block_range(t, block);

	return le32_to_cpu(r->first_block) + gmfs_range_blocks(r);
}

/**
 * gmfs_block_phys - physical address of a block
 * @t: the pool's tables
 * @block: number of a block that exists
 *
 * Return: the address in bytes.
 */
u64 gmfs_block_phys(const struct gmfs_tables *t, u32 block)
{
	const struct guestmemfs_range *r = gmfs_block_range(t, block);
	u64 nr = block - le32_to_cpu(r->first_block);

	return le64_to_cpu(r->base) + (nr << GUESTMEMFS_BLOCK_SHIFT);
}

static void gmfs_group_adjust(struct gmfs_tables *t, u32 block, u32 count, bool take)
{
	while (count) {
		u32 to_end = GUESTMEMFS_GROUP_BLOCKS - block % GUESTMEMFS_GROUP_BLOCKS;
		u32 in_group = min(count, to_end);
		u16 *nr_free = &t->group_free[block / GUESTMEMFS_GROUP_BLOCKS];

		*nr_free = take ? *nr_free - in_group : *nr_free + in_group;
		block += in_group;
		count -= in_group;
	}
}

/**
 * gmfs_take - mark blocks as taken
 * @t: the pool's tables
 * @block: first block, free as all of them are
 * @count: number of blocks
 */
void gmfs_take(struct gmfs_tables *t, u32 block, u32 count)
{
	bitmap_set(t->bitmap, block, count);
	gmfs_group_adjust(t, block, count, true);
	t->free_blocks -= count;
}

/**
 * gmfs_unzero - blocks are to be zeroed before they are seen again
 * @t: the pool's tables
 * @block: first block
 * @count: number of blocks
 */
void gmfs_unzero(struct gmfs_tables *t, u32 block, u32 count)
{
	u32 i;

	/* Atomic: the bits of other blocks are cleared without our lock. */
	for (i = 0; i < count; i++)
		set_bit(block + i, t->unzeroed);
}

/**
 * gmfs_release - give blocks back, to be zeroed before their next use
 * @t: the pool's tables
 * @block: first block, taken as all of them are
 * @count: number of blocks
 */
void gmfs_release(struct gmfs_tables *t, u32 block, u32 count)
{
	gmfs_unzero(t, block, count);
	bitmap_clear(t->bitmap, block, count);
	gmfs_group_adjust(t, block, count, false);
	t->free_blocks += count;
}

/* Free blocks from @block on, in its range, at most @want. */
static u32 gmfs_free_run(const struct gmfs_tables *t, u32 block, u32 want)
{
	u32 end = min_t(u64, gmfs_block_range_end(t, block), (u64)block + want);

	return find_next_bit(t->bitmap, end, block) - block;
}

/**
 * gmfs_find_full_group - find a gigabyte that is free and aligned
 * @t: the pool's tables
 * @group: the answer: its first block divided by %GUESTMEMFS_GROUP_BLOCKS
 *
 * Return: false if there is none.
 */
bool gmfs_find_full_group(const struct gmfs_tables *t, u32 *group)
{
	u32 i;

	for (i = 0; i < t->nr_groups; i++) {
		if (t->group_free[i] == GUESTMEMFS_GROUP_BLOCKS) {
			*group = i;
			return true;
		}
	}
	return false;
}

/**
 * gmfs_largest_free - how much memory is free in one piece
 * @t: the pool's tables
 *
 * Return: the blocks of the longest run of free ones, within a range.
 */
u32 gmfs_largest_free(const struct gmfs_tables *t)
{
	u32 best = 0, i;

	for (i = 0; i < t->nr_ranges; i++) {
		u32 start = le32_to_cpu(t->ranges[i].first_block), next;
		u32 end = start + gmfs_range_blocks(&t->ranges[i]);

		for (; start < end; start = next) {
			start = find_next_zero_bit(t->bitmap, end, start);
			next = find_next_bit(t->bitmap, end, start);
			best = max(best, next - start);
		}
	}
	return best;
}

/* The longest free run of a group, cut at @want. Returns its length. */
static u32 gmfs_group_run(const struct gmfs_tables *t, u32 group, u32 want, u32 *block)
{
	u32 start = group * GUESTMEMFS_GROUP_BLOCKS;
	u32 end = min(start + GUESTMEMFS_GROUP_BLOCKS, t->nr_blocks);
	u32 best = 0;

	while (best < want) {
		u32 next, len;

		start = find_next_zero_bit(t->bitmap, end, start);
		if (start >= end)
			break;
		next = find_next_bit(t->bitmap, end, start);
		len = min(next - start, want);
		if (len > best) {
			best = len;
			*block = start;
		}
		start = next;
	}
	return best;
}

/*
 * The longest run, up to @want blocks, of the groups that are already broken up;
 * whole groups are kept for those who can map them whole. Among equals the
 * group that has the least left, and of these the first.
 */
static u32 gmfs_find_in_broken(const struct gmfs_tables *t, u32 want, u32 *block)
{
	u32 best_free = GUESTMEMFS_GROUP_BLOCKS, best_run = 0;
	u32 i;

	for (i = 0; i < t->nr_groups; i++) {
		u32 nr_free = t->group_free[i], run, found;

		if (!nr_free || nr_free == GUESTMEMFS_GROUP_BLOCKS)
			continue;
		/* Cannot be better, so that it need not be searched. */
		if (nr_free < best_run || (best_run == want && nr_free >= best_free))
			continue;
		run = gmfs_group_run(t, i, want, &found);
		if (run < best_run || (run == best_run && nr_free >= best_free))
			continue;
		best_run = run;
		best_free = nr_free;
		*block = found;
	}
	return best_run;
}

/**
 * gmfs_find_run - choose free blocks for a part of a file
 * @t: the pool's tables, with at least one free block
 * @goal: a free block that would suit, or %GMFS_NO_BLOCK
 * @logical: where in the file they go, in blocks
 * @want: number of blocks
 * @block: the answer: first block
 *
 * Return: how many blocks from @block on are free, at most @want, at least 1.
 */
u32 gmfs_find_run(const struct gmfs_tables *t, u32 goal, u64 logical, u32 want, u32 *block)
{
	bool whole = logical % GUESTMEMFS_GROUP_BLOCKS == 0 && want >= GUESTMEMFS_GROUP_BLOCKS;
	bool congruent = goal % GUESTMEMFS_GROUP_BLOCKS == logical % GUESTMEMFS_GROUP_BLOCKS;
	u32 group, run;

	if (goal != GMFS_NO_BLOCK && (congruent || !whole)) {
		run = gmfs_free_run(t, goal, want);
		if (!whole || run >= GUESTMEMFS_GROUP_BLOCKS) {
			*block = goal;
			return run;
		}
	}
	if (whole && gmfs_find_full_group(t, &group)) {
		*block = group * GUESTMEMFS_GROUP_BLOCKS;
		return GUESTMEMFS_GROUP_BLOCKS;
	}
	/* Not beyond the next group of the file: that one is to start afresh. */
	want = min_t(u32, want, GUESTMEMFS_GROUP_BLOCKS - logical % GUESTMEMFS_GROUP_BLOCKS);
	run = gmfs_find_in_broken(t, want, block);
	if (run == want || !gmfs_find_full_group(t, &group))
		return run;
	*block = group * GUESTMEMFS_GROUP_BLOCKS + logical % GUESTMEMFS_GROUP_BLOCKS;
	return want;
}

/**
 * gmfs_extent_slot - take an entry of the extent table
 * @t: the pool's tables
 *
 * There always is one: a block has one extent at the most, the table has two
 * entries for it, and gmfs_states_fit() leaves one of them free.
 *
 * Return: index of the entry, which is all zero.
 */
u32 gmfs_extent_slot(struct gmfs_tables *t)
{
	u32 slot = gmfs_ids_first(&t->extent_ids);

	gmfs_ids_take(&t->extent_ids, slot);
	if (slot >= le32_to_cpu(t->super->live.used_extents))
		t->super->live.used_extents = cpu_to_le32(slot + 1);
	memset(&t->extents[slot], 0, sizeof(t->extents[slot]));
	return slot;
}

/**
 * gmfs_extent_drop - give an entry of the extent table back
 * @t: the pool's tables
 * @slot: index of the entry
 */
void gmfs_extent_drop(struct gmfs_tables *t, u32 slot)
{
	memset(&t->extents[slot], 0, sizeof(t->extents[slot]));
	gmfs_ids_drop(&t->extent_ids, slot);
}

/**
 * gmfs_inode_alloc - take an entry of the inode table
 * @t: the pool's tables
 * @mode: file type and permissions, not 0
 * @ino: the answer
 *
 * The entry is all zero but for its mode and its generation, which is one
 * that this entry never had before.
 *
 * Return: 0 or -ENOSPC.
 */
int gmfs_inode_alloc(struct gmfs_tables *t, u32 mode, u32 *ino)
{
	u32 used = le32_to_cpu(t->super->live.used_inodes);
	struct guestmemfs_inode *di;
	u32 generation = 0, slot;

	if (!gmfs_inodes_left(t))
		return -ENOSPC;
	slot = gmfs_ids_first(&t->inode_ids);
	gmfs_ids_take(&t->inode_ids, slot);
	di = &t->inodes[slot];
	if (slot < used)
		generation = le32_to_cpu(di->generation);
	else
		t->super->live.used_inodes = cpu_to_le32(slot + 1);
	memset(di, 0, sizeof(*di));
	di->generation = cpu_to_le32(generation + 1);
	di->mode = cpu_to_le32(mode);
	t->free_inodes--;
	*ino = slot;
	return 0;
}

/**
 * gmfs_inode_free - give an entry of the inode table back
 * @t: the pool's tables
 * @ino: the entry; it has no extents any more
 */
void gmfs_inode_free(struct gmfs_tables *t, u32 ino)
{
	struct guestmemfs_inode *di = &t->inodes[ino];
	__le32 generation = di->generation;

	memset(di, 0, sizeof(*di));
	di->generation = generation;
	gmfs_ids_drop(&t->inode_ids, ino);
	t->free_inodes++;
}

static void gmfs_alloc_count_blocks(struct gmfs_tables *t)
{
	u32 i, start, end;

	t->total_blocks = 0;
	for (i = 0; i < t->nr_ranges; i++)
		t->total_blocks += gmfs_range_blocks(&t->ranges[i]);
	t->free_blocks = 0;
	for_each_clear_bitrange(start, end, t->bitmap, t->nr_blocks) {
		gmfs_group_adjust(t, start, end - start, false);
		t->free_blocks += end - start;
	}
}

/* Marks the entries that are in use; those behind the water marks never were. */
static void gmfs_alloc_count_entries(struct gmfs_tables *t)
{
	u32 inodes = le32_to_cpu(t->super->live.used_inodes);
	u32 extents = le32_to_cpu(t->super->live.used_extents), i;

	t->free_inodes = t->nr_inodes - GUESTMEMFS_ROOT_INO;
	/* Entry 0 is nobody's. */
	gmfs_ids_take(&t->inode_ids, 0);
	for (i = GUESTMEMFS_ROOT_INO; i < inodes; i++) {
		if (!t->inodes[i].mode)
			continue;
		gmfs_ids_take(&t->inode_ids, i);
		t->free_inodes--;
	}
	for (i = 0; i < extents; i++)
		if (t->extents[i].ino)
			gmfs_ids_take(&t->extent_ids, i);
}

/**
 * gmfs_alloc_init - learn what is free
 * @t: tables that gmfs_check() has accepted
 *
 * Return: 0 or -ENOMEM.
 */
int gmfs_alloc_init(struct gmfs_tables *t)
{
	t->nr_groups = DIV_ROUND_UP(t->nr_blocks, GUESTMEMFS_GROUP_BLOCKS);
	t->group_free = kvcalloc(t->nr_groups, sizeof(*t->group_free), GFP_KERNEL);
	if (!t->group_free || gmfs_ids_init(&t->inode_ids, t->nr_inodes) ||
	    gmfs_ids_init(&t->extent_ids, t->nr_extents) ||
	    gmfs_ids_init(&t->map_ids, t->nr_maps)) {
		gmfs_alloc_exit(t);
		return -ENOMEM;
	}
	gmfs_alloc_count_blocks(t);
	gmfs_alloc_count_entries(t);
	gmfs_states_init(t);
	return 0;
}

/**
 * gmfs_alloc_exit - free what gmfs_alloc_init() allocated
 * @t: the pool's tables
 */
void gmfs_alloc_exit(struct gmfs_tables *t)
{
	kvfree(t->group_free);
	t->group_free = NULL;
	gmfs_ids_exit(&t->inode_ids);
	gmfs_ids_exit(&t->extent_ids);
	gmfs_ids_exit(&t->map_ids);
}
