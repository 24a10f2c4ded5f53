// SPDX-License-Identifier: GPL-2.0-only
/*
 * Free and taken: blocks, extent table entries and inode table entries.
 *
 * Everything here works on tables that gmfs_check() has accepted, is
 * serialised by the caller, and fails before it has changed anything.
 */
#include <linux/bitmap.h>
#include <linux/bitops.h>
#include <linux/compiler.h>
#include <linux/errno.h>
#include <linux/limits.h>
#include <linux/minmax.h>
#include <linux/string.h>

#include "alloc.h"
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

/**
 * gmfs_take - mark blocks as taken
 * @t: the pool's tables
 * @block: first block, free as all of them are
 * @count: number of blocks
 * @ino: the file that they are for, 0 for none
 * @logical: where in the file they go, in blocks
 */
void gmfs_take(struct gmfs_tables *t, u32 block, u32 count, u32 ino, u64 logical)
{
	bitmap_set(t->bitmap, block, count);
	t->free_blocks -= count;
	gmfs_groups_take(t, block, count, ino, logical);
}

/**
 * gmfs_unzero - blocks are to be zeroed before they are seen again
 * @t: the pool's tables
 * @block: first block, the caller's as all of them are
 * @count: number of blocks
 */
void gmfs_unzero(struct gmfs_tables *t, u32 block, u32 count)
{
	u32 end = block + count;

	while (block < end) {
		if (block % BITS_PER_LONG == 0 && end - block >= BITS_PER_LONG) {
			/* Nobody zeroes any of these blocks now. */
			WRITE_ONCE(t->unzeroed[block / BITS_PER_LONG], ~0UL);
			block += BITS_PER_LONG;
		} else {
			/* Atomic: the bits of other blocks are cleared without our lock. */
			set_bit(block++, t->unzeroed);
		}
	}
}

/**
 * gmfs_release - give blocks back, to be zeroed before their next use
 * @t: the pool's tables
 * @block: first block, taken as all of them are
 * @count: number of blocks
 * @ino: the file that they were taken for, 0 for none
 * @logical: where in the file they were, in blocks
 */
void gmfs_release(struct gmfs_tables *t, u32 block, u32 count, u32 ino, u64 logical)
{
	gmfs_unzero(t, block, count);
	bitmap_clear(t->bitmap, block, count);
	t->free_blocks += count;
	gmfs_groups_release(t, block, count, ino, logical);
}

/* Blocks from @group on, in full groups of one range, for a part of @count in the file. */
static u32 gmfs_full_run(const struct gmfs_tables *t, u32 group, u32 count)
{
	u32 end = gmfs_block_range_end(t, group * GUESTMEMFS_GROUP_BLOCKS), run = 0;

	/* The last group of a range may have the end of it inside: then it is not full. */
	for (; run + GUESTMEMFS_GROUP_BLOCKS <= count; group++) {
		if (group * GUESTMEMFS_GROUP_BLOCKS >= end ||
		    t->groups[group].longest < GUESTMEMFS_GROUP_BLOCKS)
			break;
		run += GUESTMEMFS_GROUP_BLOCKS;
	}
	return run;
}

/* As many blocks as begin in @offset of a group, and end in it. */
static u32 gmfs_part_of_group(u32 count, u32 offset)
{
	return min(count, GUESTMEMFS_GROUP_BLOCKS - offset);
}

/*
 * Is the group of @goal one to take from? It is not if it is claimed for
 * another part of a file; nor if it is full, unless it is to become this part's.
 * A part that may be mapped as a whole does not begin in a broken group.
 */
static bool gmfs_goal_suits(const struct gmfs_tables *t, const struct gmfs_want *want)
{
	const struct gmfs_group *g = &t->groups[want->goal / GUESTMEMFS_GROUP_BLOCKS];
	u32 offset = want->logical % GUESTMEMFS_GROUP_BLOCKS;

	if (gmfs_group_owned_by(g, want->ino, want->logical))
		return true;
	if (g->claimed)
		return false;
	if (g->longest == GUESTMEMFS_GROUP_BLOCKS)
		return want->own && want->goal % GUESTMEMFS_GROUP_BLOCKS == offset;
	return !want->own || offset || !gmfs_full_groups(t);
}

/* Free blocks where the neighbours in the file say. Returns 0 if that is no good place. */
static u32 gmfs_find_at_goal(const struct gmfs_tables *t, const struct gmfs_want *want,
			     u32 *block)
{
	u32 offset = want->logical % GUESTMEMFS_GROUP_BLOCKS, goal = want->goal, end;
	u32 group = goal / GUESTMEMFS_GROUP_BLOCKS;

	if (goal >= t->nr_blocks)
		return 0;
	*block = goal;
	if (!offset && want->count >= GUESTMEMFS_GROUP_BLOCKS)
		return goal % GUESTMEMFS_GROUP_BLOCKS ? 0 : gmfs_full_run(t, group, want->count);
	if (!gmfs_goal_suits(t, want))
		return 0;
	/* In a group that is the file's own, each block has its place. */
	if (t->groups[group].claimed)
		*block = goal = group * GUESTMEMFS_GROUP_BLOCKS + offset;
	end = min(goal + gmfs_part_of_group(want->count, offset), gmfs_group_end(t, group));
	return find_next_bit(t->bitmap, end, goal) - goal;
}

/**
 * gmfs_find_run - choose free blocks for a part of a file
 * @t: the pool's tables, with at least one free block
 * @want: the part of the file
 * @block: the answer: first block
 *
 * In this order: the goal; for what may come to be mapped by 1 GiB a full group, in which
 * the blocks are as far from the begin as they are in the file's group, and which is then
 * claimed for the rest of it; the run that fits best of the groups that are broken up and
 * not claimed; a full group, in another place of it, so that it is not claimed; and at last
 * what others have claimed, where that is most, so that few of them are spoiled. Full groups
 * in a row are one answer, else the run does not leave its group, nor the file's.
 *
 * Return: how many blocks from @block on are free, at most @want->count, at least 1.
 */
u32 gmfs_find_run(const struct gmfs_tables *t, const struct gmfs_want *want, u32 *block)
{
	u32 offset = want->logical % GUESTMEMFS_GROUP_BLOCKS;
	u32 count = gmfs_part_of_group(want->count, offset);
	u32 group = GMFS_NO_GROUP, run;

	run = gmfs_find_at_goal(t, want, block);
	if (run)
		return run;
	gmfs_find_full_group(t, &group);
	if ((want->own || count == GUESTMEMFS_GROUP_BLOCKS) && group != GMFS_NO_GROUP) {
		*block = group * GUESTMEMFS_GROUP_BLOCKS + offset;
		return count;
	}
	run = gmfs_groups_find(t, GMFS_UNCLAIMED, count, block);
	if (run)
		return run;
	if (group != GMFS_NO_GROUP) {
		/* With room behind it, should the file grow. */
		*block = group * GUESTMEMFS_GROUP_BLOCKS + !offset;
		return count;
	}
	return gmfs_groups_largest(t, GMFS_CLAIMED, count, block);
}

/**
 * gmfs_slots_fit - are there entries of the extent table for one more step
 * @t: the pool's tables
 *
 * Return: true unless a bound is broken somewhere.
 */
bool gmfs_slots_fit(const struct gmfs_tables *t)
{
	return t->nr_extents - t->used_slots >= GMFS_SPARE_EXTENTS / 8;
}

/**
 * gmfs_extent_slot - take an entry of the extent table
 * @t: the pool's tables
 *
 * There always is one: a block has one extent at the most, gmfs_states_fit() leaves an entry for
 * each that has none, and there are %GMFS_SPARE_EXTENTS more. gmfs_slots_fit() is asked before
 * a change begins.
 *
 * Return: index of the entry, which is all zero.
 */
u32 gmfs_extent_slot(struct gmfs_tables *t)
{
	u32 slot = gmfs_ids_first(&t->extent_ids);

	gmfs_ids_take(&t->extent_ids, slot);
	t->used_slots++;
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
	t->used_slots--;
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
	u32 i;

	t->total_blocks = 0;
	for (i = 0; i < t->nr_ranges; i++)
		t->total_blocks += gmfs_range_blocks(&t->ranges[i]);
	t->free_blocks = 0;
	for (i = 0; i < t->nr_groups; i++)
		t->free_blocks += t->groups[i].nr_free;
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
	t->used_slots = 0;
	for (i = 0; i < extents; i++) {
		if (!t->extents[i].ino)
			continue;
		gmfs_ids_take(&t->extent_ids, i);
		t->used_slots++;
	}
}

/**
 * gmfs_alloc_init - learn what is free
 * @t: tables that gmfs_check() has accepted
 *
 * Whose the blocks are that are taken is then to be said with gmfs_claim(), so that what is
 * missing in a group of a file goes there.
 *
 * Return: 0 or -ENOMEM.
 */
int gmfs_alloc_init(struct gmfs_tables *t)
{
	if (gmfs_groups_init(t) || gmfs_ids_init(&t->inode_ids, t->nr_inodes) ||
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
	gmfs_groups_exit(t);
	gmfs_ids_exit(&t->inode_ids);
	gmfs_ids_exit(&t->extent_ids);
	gmfs_ids_exit(&t->map_ids);
}
