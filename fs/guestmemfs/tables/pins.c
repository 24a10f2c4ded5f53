// SPDX-License-Identifier: GPL-2.0-only
/*
 * DMA pins: how many users each frame of a pool has that no page table shows. And detached
 * blocks: blocks with pins that have left their file, and are not free yet. Blocks with poisoned
 * frames (tables/poison.c) are detached likewise, and never become free.
 *
 * A frame, a page of 4 KiB, has the number that it would have if all blocks of the pool were
 * contiguous: GUESTMEMFS_BLOCK_PAGES frames a block. Pins know nothing of files: they stay
 * when a block leaves its file, when the file is gone, and when the pool is not mounted.
 *
 * A detached block is allocated, and in an extent of %GUESTMEMFS_DETACHED_INO whose offset is
 * the number of the block. gmfs_tables.detached has these extents. The caller serialises all
 * functions (gmfs_pool.lock).
 */
#include <linux/compiler.h>
#include <linux/limits.h>
#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/slab.h>

#include "counts.h"
#include "extmap.h"
#include "groups.h"

/**
 * gmfs_pins_init - initialise the pins of a pool
 * @pins: the pins, of which there are none
 */
void gmfs_pins_init(struct gmfs_pins *pins)
{
	mt_init_flags(&pins->counts, MT_FLAGS_LOCK_EXTERN);
	/* Switch off lockdep's check, which does not know gmfs_pool.lock. */
	mt_on_stack(pins->counts);
	pins->frames = 0;
}

/**
 * gmfs_pins_add - add a pin to each of some frames
 * @pins: the pins of the pool
 * @at: the first frame; set to the frame after the last one that has got its pin
 * @end: frame after the last one
 *
 * Return: 0 if all frames have it, 1 if the caller must call again for the others, -ENOMEM. To
 * undo it, call gmfs_pins_remove() up to @at.
 */
int gmfs_pins_add(struct gmfs_pins *pins, u64 *at, u64 end)
{
	u64 fresh = 0;
	int err = gmfs_count_up(&pins->counts, at, end, GMFS_STEP_EXTENTS, &fresh);

	WRITE_ONCE(pins->frames, pins->frames + fresh);
	return err;
}

/**
 * gmfs_pins_remove - remove a pin from each of some frames
 * @pins: the pins of the pool
 * @at: the first frame; set to the frame after the last one that has lost its pin
 * @end: frame after the last one
 *
 * Cannot fail, but may have to wait for memory. The caller then calls gmfs_detached_free().
 *
 * Return: true if the caller must call again for the other frames.
 */
bool gmfs_pins_remove(struct gmfs_pins *pins, u64 *at, u64 end)
{
	u64 free = 0;
	bool more = gmfs_count_down(&pins->counts, at, end, GMFS_STEP_EXTENTS, &free);

	WRITE_ONCE(pins->frames, pins->frames - free);
	return more;
}

/**
 * gmfs_pins_find - find pinned frames
 * @pins: the pins of the pool
 * @from: the first frame to look at
 * @end: frame after the last one
 * @first: result: the first frame with a pin
 * @last: result: all frames from @first to before this one have a pin; more may follow
 *
 * Return: false if no frame has a pin.
 */
bool gmfs_pins_find(const struct gmfs_pins *pins, u64 from, u64 end, u64 *first, u64 *last)
{
	MA_STATE(mas, (struct maple_tree *)&pins->counts, from, from);

	if (from >= end || !mas_find(&mas, end - 1))
		return false;
	*first = max_t(u64, mas.index, from);
	*last = min_t(u64, mas.last + 1, end);
	return true;
}

/**
 * gmfs_blocks_pinned - is a block pinned
 * @t: the pool's tables
 * @block: the block
 * @count: number of blocks; lowered so that the answer is the same for all of them
 *
 * Return: true if a frame of each block has a pin, false if none of them has.
 */
bool gmfs_blocks_pinned(const struct gmfs_tables *t, u32 block, u32 *count)
{
	u64 first, last, from = (u64)block * GUESTMEMFS_BLOCK_PAGES;
	u64 end = from + (u64)*count * GUESTMEMFS_BLOCK_PAGES;

	if (!t->pins || !gmfs_pins_find(t->pins, from, end, &first, &last))
		return false;
	first /= GUESTMEMFS_BLOCK_PAGES;
	*count = (first > block ? first : DIV_ROUND_UP(last, GUESTMEMFS_BLOCK_PAGES)) - block;
	return first == block;
}

/**
 * gmfs_any_kept - may there be blocks that gmfs_blocks_kept() is true for
 * @t: the pool's tables
 *
 * Return: false if there is none.
 */
bool gmfs_any_kept(const struct gmfs_tables *t)
{
	return (t->pins && t->pins->frames) || (t->poisoned && t->poisoned->nr);
}

/**
 * gmfs_blocks_kept - must a block that its file loses not become free
 * @t: the pool's tables
 * @block: the block
 * @count: number of blocks; lowered so that the answer is the same for all of them
 *
 * Return: true if each block has a pinned or a poisoned frame, false if none of them has.
 */
bool gmfs_blocks_kept(const struct gmfs_tables *t, u32 block, u32 *count)
{
	return gmfs_blocks_pinned(t, block, count) || gmfs_blocks_poisoned(t, block, count);
}

/**
 * gmfs_detach - keep blocks that leave their file from becoming free
 * @t: the pool's tables, which have a free entry for an extent
 * @block: the first block; all of the blocks are allocated, and gmfs_blocks_kept()
 * @count: number of blocks
 * @ino: the file that had the blocks
 * @logical: offset of the first block in the file, in blocks
 */
void gmfs_detach(struct gmfs_tables *t, u32 block, u32 count, u32 ino, u64 logical)
{
	u32 slot = gmfs_extent_slot(t);

	t->extents[slot] = (struct guestmemfs_extent){
		.logical	= cpu_to_le64(block),
		.ino		= cpu_to_le32(GUESTMEMFS_DETACHED_INO),
		.block		= cpu_to_le32(block),
		.count		= cpu_to_le32(count),
		.flags		= cpu_to_le32(GUESTMEMFS_EXTENT_ALLOCATED |
					      GUESTMEMFS_EXTENT_DETACHED),
	};
	gmfs_feature_states(t);
	gmfs_map_store(&t->detached, block, block + count, slot, GFP_KERNEL | __GFP_NOFAIL);
	t->detached.blocks += count;
	gmfs_groups_disown(t, block, count, ino, logical);
	gmfs_map_join(t, &t->detached, block + count);
	gmfs_map_join(t, &t->detached, block);
}

/**
 * gmfs_detached_load - add an extent of the tables to gmfs_tables.detached
 * @t: the pool's tables
 * @slot: the extent's entry
 *
 * Called at mount.
 *
 * Return: 0 or -ENOMEM.
 */
int gmfs_detached_load(struct gmfs_tables *t, u32 slot)
{
	const struct guestmemfs_extent *e = &t->extents[slot];

	/* Not gmfs_map_insert(), which would make the blocks claim their groups. */
	t->detached.blocks += le32_to_cpu(e->count);
	return gmfs_map_store(&t->detached, le64_to_cpu(e->logical), gmfs_extent_end(e), slot,
			      GFP_KERNEL);
}

/* Frees detached blocks, all of one extent. */
static void gmfs_detached_release(struct gmfs_tables *t, u32 block, u32 count)
{
	struct gmfs_spot spot;

	gmfs_map_cut(t, &t->detached, block + count);
	gmfs_map_cut(t, &t->detached, block);
	gmfs_map_spot(t, &t->detached, block, &spot);
	gmfs_map_store(&t->detached, spot.start, spot.end, GMFS_NO_SLOT,
		       GFP_KERNEL | __GFP_NOFAIL);
	gmfs_extent_drop(t, spot.slot);
	t->detached.blocks -= count;
	gmfs_release(t, block, count, 0, 0);
}

/**
 * gmfs_detached_free - free detached blocks that have neither pins nor poisoned frames
 * @t: the pool's tables
 * @at: the first block to look at; set to the first one that has not been looked at
 * @end: block after the last one
 *
 * Return: true if the caller must call again for the other blocks.
 */
bool gmfs_detached_free(struct gmfs_tables *t, u64 *at, u64 end)
{
	struct gmfs_spot spot;
	u32 i, count;

	for (i = 0; *at < end && i < GMFS_STEP_EXTENTS; i++, *at += count) {
		gmfs_map_spot(t, &t->detached, *at, &spot);
		count = min(min(spot.end, end), *at + GMFS_STEP_BLOCKS) - *at;
		if (spot.e && !gmfs_blocks_kept(t, *at, &count))
			gmfs_detached_release(t, *at, count);
	}
	return *at < end;
}
