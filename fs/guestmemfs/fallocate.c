// SPDX-License-Identifier: GPL-2.0-only
/*
 * The modes of fallocate(2).
 */
#include <linux/fs.h>
#include <linux/falloc.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/rwsem.h>

#include "internal.h"

/*
 * Zeroes the unzeroed blocks in a part of a file. Only invalidate_lock is held, shared, and it
 * is released after the next block if another task waits for it. Blocks that another task frees
 * meanwhile are skipped.
 */
static int gmfs_zero_file(struct inode *inode, u64 logical, u64 end)
{
	struct gmfs_pool *pool = GUESTMEMFS_SB(inode->i_sb);
	struct rw_semaphore *lock = &inode->i_mapping->invalidate_lock;
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	struct gmfs_run run;
	int err = 0;

	while (logical < end) {
		err = down_read_killable(lock);
		if (err)
			break;
		scoped_guard(rwsem_read, &gi->map_lock)
			gmfs_map_lookup(&pool->tables, gi->map, logical, &run);
		run.count = min(run.count, end - logical);
		if (run.block != GMFS_NO_BLOCK)
			err = gmfs_zero_blocks(inode, run.block, run.count, false);
		up_read(lock);
		/* A signal that is not fatal is pending, or another task waits for the lock. */
		if (err == -EAGAIN || err == -EINPROGRESS)
			continue;
		if (err)
			break;
		logical += run.count;
	}
	return err;
}

/* Allocates blocks, and zeroes the range if @zero is set. @size is the new or present size. */
static int gmfs_file_prealloc(struct inode *inode, bool zero, loff_t start, loff_t end,
			      loff_t size)
{
	struct gmfs_fill fill = {
		.from	= start >> GUESTMEMFS_BLOCK_SHIFT,
		.end	= round_up(end, GMFS_BLOCK_SIZE) >> GUESTMEMFS_BLOCK_SHIFT,
		.more	= zero || size > i_size_read(inode),
	};
	int err;

	if (sb_rdonly(inode->i_sb))
		return -EROFS;
	err = gmfs_file_fill(inode, &fill);
	if (err)
		return err;
	if (zero)
		err = gmfs_file_zero(inode, start, end, size);
	else if (size > i_size_read(inode))
		err = gmfs_file_grow(&nop_mnt_idmap, inode, size, NULL);
	gmfs_file_filled(inode, &fill, !err);
	if (!err)
		err = gmfs_absent_settle(inode, start >> PAGE_SHIFT, DIV_ROUND_UP(end, PAGE_SIZE));
	return err;
}

/* With FALLOC_FL_PUNCH_HOLE: only if no page is pinned. */
#define GMFS_PUNCH_UNPINNED	BIT(30)

static int gmfs_file_fallocate(struct inode *inode, int mode, loff_t start, loff_t end)
{
	loff_t size = i_size_read(inode);
	int err;

	if (mode & FALLOC_FL_PUNCH_HOLE)
		return gmfs_file_punch(inode, start, end, mode & GMFS_PUNCH_UNPINNED);
	if (!(mode & FALLOC_FL_KEEP_SIZE) && end > size) {
		err = inode_newsize_ok(inode, end);
		if (err)
			return err;
		size = end;
	}
	return gmfs_file_prealloc(inode, mode & FALLOC_FL_ZERO_RANGE, start, end, size);
}

static long gmfs_fallocate(struct file *file, int mode, loff_t offset, loff_t len)
{
	struct inode *inode = file_inode(file);
	struct gmfs_pool *pool = GUESTMEMFS_SB(inode->i_sb);
	loff_t end = offset + len;
	int err;

	err = inode_lock_killable(inode);
	if (err)
		return err;
	/* Remove privileges before bytes change, and update the times only on success. */
	err = file_remove_privs(file);
	if (!err)
		err = gmfs_change_begin(pool);
	if (!err) {
		err = gmfs_file_fallocate(inode, mode, offset, end);
		gmfs_change_end(pool);
	}
	if (!err)
		err = file_update_time(file);
	inode_unlock(inode);
	if (err || mode & FALLOC_FL_PUNCH_HOLE)
		return err;
	/*
	 * Zero without i_rwsem: unlink() would wait for it with the directory's i_rwsem held.
	 * Blocks with old bytes are marked as unzeroed, and are not mapped before they are
	 * zeroed.
	 */
	return gmfs_zero_file(inode, offset >> GUESTMEMFS_BLOCK_SHIFT,
			      round_up(end, GMFS_BLOCK_SIZE) >> GUESTMEMFS_BLOCK_SHIFT);
}

/**
 * guestmemfs_fallocate - allocate, free or zero a part of a file
 * @file: the file
 * @mode: 0 or FALLOC_FL_ZERO_RANGE, both with or without FALLOC_FL_KEEP_SIZE, or
 *	FALLOC_FL_PUNCH_HOLE with FALLOC_FL_KEEP_SIZE
 * @offset: first byte
 * @len: bytes
 *
 * Whole blocks are allocated, all of them or none, and the size is set with them. The blocks
 * are zeroed after that. A fatal signal during allocation leaves nothing allocated. A fatal
 * signal during zeroing changes neither blocks nor size: a fault zeroes each block that is
 * left.
 *
 * Return: 0; -EOPNOTSUPP, -EFBIG, -ENOSPC, -ENOMEM, -EINTR, -EROFS, or -EBUSY (a kexec has
 * begun, a session preserves the file and it would lose bytes, or a block that is to be zeroed
 * as a whole has a DMA pin).
 */
long guestmemfs_fallocate(struct file *file, int mode, loff_t offset, loff_t len)
{
	if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		return -EOPNOTSUPP;
	return gmfs_fallocate(file, mode, offset, len);
}

/**
 * gmfs_punch - make a hole in a file
 * @file: the file, open for writing
 * @offset: first byte
 * @len: bytes
 * @unpinned: only if no block that would become free has a pin
 *
 * Return: 0, -EBUSY because of a pin, or an error of guestmemfs_fallocate().
 */
long gmfs_punch(struct file *file, loff_t offset, loff_t len, bool unpinned)
{
	int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

	return gmfs_fallocate(file, unpinned ? mode | GMFS_PUNCH_UNPINNED : mode, offset, len);
}
