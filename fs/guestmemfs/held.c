// SPDX-License-Identifier: GPL-2.0-only
/*
 * Frames that DMA pins hold: where there are some, and blocks that the last pin leaves to be freed.
 * pin.c makes and releases pins.
 */
#include <linux/fs.h>
#include <linux/list.h>
#include <linux/minmax.h>
#include <linux/mm.h>

#include "internal.h"

/**
 * gmfs_first_pin - the first pin of a part of a file
 * @inode: the file; its invalidate_lock is held
 * @first: first page
 * @last: page after the last one
 *
 * Return: the pin whose first page in the part comes first, or NULL.
 */
struct gmfs_pin *gmfs_first_pin(struct inode *inode, pgoff_t first, pgoff_t last)
{
	struct gmfs_pin *pin, *found = NULL;

	lockdep_assert_held(&inode->i_mapping->invalidate_lock);
	list_for_each_entry(pin, &GUESTMEMFS_I(inode)->pins, node)
		if (pin->first < last && first < pin->last &&
		    (!found || pin->first < found->first))
			found = pin;
	return found;
}

/**
 * gmfs_pin_settle - free what could have been freed before
 * @inode: the file; its invalidate_lock is held
 * @logical: first block
 * @end: block after the last one
 *
 * When the last pin went, a kexec was in progress, or memory was short.
 */
void gmfs_pin_settle(struct inode *inode, u64 logical, u64 end)
{
	struct gmfs_pool *pool = GUESTMEMFS_SB(inode->i_sb);
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	u32 free;

	if (!READ_ONCE(gi->truncating))
		return;
	guard(rwsem_write)(&gi->map_lock);
	if (gmfs_pool_begin(pool))
		return;
	free = pool->tables.free_blocks;
	gmfs_pin_free_blocks(inode, logical, end);
	gmfs_trace_blocks(pool, inode->i_ino, free);
	gmfs_pool_end(pool);
	gmfs_update_blocks(inode);
}

/**
 * gmfs_pin_free_blocks - free what is on its way out and nobody holds
 * @inode: the file; its invalidate_lock is held, and map_lock exclusively
 * @logical: first block
 * @end: block after the last one
 *
 * What cannot be freed for want of memory is freed when it is in somebody's way, or
 * by the next mount.
 *
 * Context: between gmfs_pool_begin() and gmfs_pool_end().
 */
void gmfs_pin_free_blocks(struct inode *inode, u64 logical, u64 end)
{
	struct gmfs_tables *t = &GUESTMEMFS_SB(inode->i_sb)->tables;
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	struct gmfs_run run;
	struct gmfs_pin *pin;
	u64 held;

	for (; logical < end; logical += run.count) {
		gmfs_map_lookup(t, gi->map, logical, &run);
		run.count = min(run.count, end - logical);
		if (!(run.flags & GUESTMEMFS_EXTENT_TRUNCATED))
			continue;
		pin = gmfs_first_pin(inode, logical * GUESTMEMFS_BLOCK_PAGES,
				     (logical + run.count) * GUESTMEMFS_BLOCK_PAGES);
		held = pin ? pin->first / GUESTMEMFS_BLOCK_PAGES : logical + run.count;
		if (held > logical) {
			/* In one piece up to there: a whole extent never lacks room. */
			run.count = held - logical;
			gmfs_map_edit(t, gi->map, GMFS_READY, logical, run.count);
		} else {
			run.count = min(run.count, DIV_ROUND_UP(pin->last, GUESTMEMFS_BLOCK_PAGES) -
					logical);
		}
	}
}
