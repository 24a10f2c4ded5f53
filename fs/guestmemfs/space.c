// SPDX-License-Identifier: GPL-2.0-only
/*
 * A file's space: what it has, and how it gets more.
 */
#include <linux/blk_types.h>
#include <linux/fs.h>
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/pagemap.h>

#include <trace/events/guestmemfs.h>

#include "internal.h"

/**
 * gmfs_update_blocks - make st_blocks true again
 * @inode: a file; its map_lock is held, or nobody else has it yet
 */
void gmfs_update_blocks(struct inode *inode)
{
	u64 blocks = gmfs_map_blocks(&GUESTMEMFS_SB(inode->i_sb)->tables,
				     &GUESTMEMFS_I(inode)->map);

	spin_lock(&inode->i_lock);
	inode->i_blocks = blocks << (GUESTMEMFS_BLOCK_SHIFT - SECTOR_SHIFT);
	spin_unlock(&inode->i_lock);
}

/**
 * gmfs_file_allocate - fill the holes of a part of a file
 * @inode: the file
 * @logical: first block
 * @count: number of blocks; up to the largest file at most
 * @whole: only if it can be a whole group, in one piece
 *
 * Context: process context, also in a fault.
 * Return: 0; -ENOSPC, -ENOMEM, -EBUSY (a kexec has begun), -EROFS, or -EAGAIN
 * if no whole group is there to take, all with nothing allocated.
 */
int gmfs_file_allocate(struct inode *inode, u64 logical, u64 count, bool whole)
{
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	struct gmfs_pool *pool = GUESTMEMFS_SB(inode->i_sb);
	u32 group, free;
	int err;

	/* A file that was opened for reading may be mapped and read, not grown. */
	if (sb_rdonly(inode->i_sb))
		return -EROFS;
	guard(rwsem_write)(&gi->map_lock);
	err = gmfs_pool_begin(pool);
	if (err)
		return err;
	free = pool->tables.free_blocks;
	if (whole && (!gmfs_find_full_group(&pool->tables, &group) ||
		      gmfs_blocks_left(&pool->tables) < count))
		err = -EAGAIN;
	else
		err = gmfs_map_fill(&pool->tables, &gi->map, inode->i_ino, logical, count);
	gmfs_trace_blocks(pool, inode->i_ino, free);
	gmfs_pool_end(pool);
	if (!err)
		gmfs_update_blocks(inode);
	return err;
}

/**
 * gmfs_file_entry - the blocks behind a page table entry, allocated if need be
 * @inode: the file; its invalidate_lock is held
 * @first: first page of the entry, a multiple of its size
 * @order: its size, as log2 of pages; less than a block's is one of its pages
 * @run: the answer
 *
 * A whole group is taken when there is one to take; one put together from
 * pieces could not be mapped as one. The blocks are zeroed where they have to be.
 *
 * Return: 0; -EAGAIN if the blocks are not one aligned run, or would take too long to zero
 * for a task with a signal pending: a smaller entry may do; -EFAULT if they are being
 * truncated; -EINPROGRESS if invalidate_lock is to be released and the call repeated; or what
 * gmfs_file_allocate() and gmfs_zero_blocks() say. An entry of one block at the most gets
 * neither -EAGAIN nor -EINPROGRESS.
 */
int gmfs_file_entry(struct inode *inode, pgoff_t first, unsigned int order,
		    struct gmfs_run *run)
{
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	struct gmfs_pool *pool = GUESTMEMFS_SB(inode->i_sb);
	u64 logical = first / GUESTMEMFS_BLOCK_PAGES;
	u64 count = max(1UL, (1UL << order) / GUESTMEMFS_BLOCK_PAGES);
	int err;

	lockdep_assert_held(&inode->i_mapping->invalidate_lock);
	scoped_guard(rwsem_read, &gi->map_lock)
		gmfs_map_lookup(&pool->tables, &gi->map, logical, run);
	if (run->flags & GUESTMEMFS_EXTENT_TRUNCATED || run->count < count) {
		gmfs_pin_settle(inode, logical, logical + count);
		scoped_guard(rwsem_read, &gi->map_lock)
			gmfs_map_lookup(&pool->tables, &gi->map, logical, run);
	}
	if (run->block == GMFS_NO_BLOCK) {
		if (count > 1 && run->count < count)
			return -EAGAIN;
		err = gmfs_file_allocate(inode, logical, count, count > 1);
		if (err)
			return err;
		scoped_guard(rwsem_read, &gi->map_lock)
			gmfs_map_lookup(&pool->tables, &gi->map, logical, run);
	}
	if (run->flags & GUESTMEMFS_EXTENT_TRUNCATED)
		return -EFAULT;
	if (run->block == GMFS_NO_BLOCK || run->count < count || run->block % count)
		return -EAGAIN;
	return gmfs_zero_blocks(inode, run->block, count);
}
