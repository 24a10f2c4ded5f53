// SPDX-License-Identifier: GPL-2.0-only
/*
 * Looks up the DMA pins of a file, and frees truncated blocks that have no pin any more. pin.c
 * adds and removes pins.
 */
#include <linux/fs.h>
#include <linux/list.h>
#include <linux/minmax.h>
#include <linux/mm.h>

#include "internal.h"

/**
 * gmfs_first_pin - find the first pin in a part of a file
 * @inode: the file; its invalidate_lock is held
 * @first: first page
 * @last: page after the last one
 *
 * Return: the pin with the lowest first page of those that overlap the part, or NULL.
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
 * gmfs_pin_settle - free truncated blocks that have no pin any more
 * @inode: the file; its invalidate_lock is held, shared or exclusively
 * @logical: first block
 * @end: block after the last one
 *
 * Called when a pin is removed. Called again when the part is used, since the pool may have
 * been frozen, or memory short, when the last pin was removed.
 */
void gmfs_pin_settle(struct inode *inode, u64 logical, u64 end)
{
	struct gmfs_pool *pool = GUESTMEMFS_SB(inode->i_sb);
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	u32 free;

	if (!READ_ONCE(gi->has_truncated))
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
 * gmfs_pin_free_blocks - free truncated blocks without pins, with all locks held
 * @inode: the file; its invalidate_lock is held, and map_lock exclusively
 * @logical: first block
 * @end: block after the last one
 *
 * Blocks that cannot be freed because memory is short stay truncated. gmfs_pin_settle() or the
 * next mount frees them.
 *
 * Context: gmfs_pool.lock is held, and the pool is not frozen.
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
			/* One edit up to the pin: freeing a whole extent takes no table entry. */
			run.count = held - logical;
			gmfs_map_edit(t, gi->map, GMFS_READY, logical, run.count);
		} else {
			run.count = min(run.count, DIV_ROUND_UP(pin->last, GUESTMEMFS_BLOCK_PAGES) -
					logical);
		}
	}
}
