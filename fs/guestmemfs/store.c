// SPDX-License-Identifier: GPL-2.0-only
/*
 * The attributes of an inode are written to its entry in the inode table as soon as they
 * change, since there is no writeback.
 */
#include <linux/blk_types.h>
#include <linux/fs.h>
#include <linux/lockdep.h>

#include "internal.h"

/**
 * gmfs_update_blocks - set i_blocks to the number of blocks in the map
 * @inode: the inode; its map_lock is held, or no other task can reach it yet
 */
void gmfs_update_blocks(struct inode *inode)
{
	u64 blocks = GUESTMEMFS_I(inode)->map->blocks;

	spin_lock(&inode->i_lock);
	inode->i_blocks = blocks << (GUESTMEMFS_BLOCK_SHIFT - SECTOR_SHIFT);
	spin_unlock(&inode->i_lock);
}

/**
 * gmfs_inode_store - write a VFS inode to its entry in the inode table
 * @inode: the inode
 *
 * Writes mode, owner, size and times. dir.c writes name and parent.
 *
 * Context: gmfs_pool.lock is held, and the pool is not frozen.
 */
void gmfs_inode_store(struct inode *inode)
{
	struct gmfs_pool *pool = GUESTMEMFS_SB(inode->i_sb);
	struct guestmemfs_inode *di = &pool->tables.inodes[inode->i_ino];
	const struct gmfs_inode *gi = GUESTMEMFS_I(inode);

	lockdep_assert_held(&pool->lock);
	di->mode = cpu_to_le32(inode->i_mode);
	di->uid = cpu_to_le32(i_uid_read(inode));
	di->gid = cpu_to_le32(i_gid_read(inode));
	di->size = cpu_to_le64(S_ISREG(inode->i_mode) ? i_size_read(inode) : 0);
	di->atime = cpu_to_le64(inode_get_atime_sec(inode));
	di->mtime = cpu_to_le64(inode_get_mtime_sec(inode));
	di->ctime = cpu_to_le64(inode_get_ctime_sec(inode));
	di->btime = cpu_to_le64(gi->btime.tv_sec);
	di->atime_nsec = cpu_to_le32(inode_get_atime_nsec(inode));
	di->mtime_nsec = cpu_to_le32(inode_get_mtime_nsec(inode));
	di->ctime_nsec = cpu_to_le32(inode_get_ctime_nsec(inode));
	di->btime_nsec = cpu_to_le32(gi->btime.tv_nsec);
}

/**
 * guestmemfs_dirty_inode - store times that the VFS has changed
 * @inode: the inode
 * @flags: I_DIRTY_*
 *
 * All other changes are stored where they are made. While the pool is frozen for a kexec,
 * nothing is stored.
 */
void guestmemfs_dirty_inode(struct inode *inode, int flags)
{
	struct gmfs_pool *pool = GUESTMEMFS_SB(inode->i_sb);

	if (gmfs_pool_begin(pool))
		return;
	gmfs_inode_store(inode);
	gmfs_pool_end(pool);
}

/**
 * guestmemfs_update_time - update the times of an inode
 * @inode: the inode
 * @type: which times
 * @flags: IOCB_NOWAIT
 *
 * The times are stored at once, even with lazytime, since there is no writeback.
 *
 * Return: 0, or -EAGAIN with IOCB_NOWAIT.
 */
int guestmemfs_update_time(struct inode *inode, enum fs_update_time type, unsigned int flags)
{
	int dirty;

	/* gmfs_pool.lock is a mutex. */
	if (flags & IOCB_NOWAIT)
		return -EAGAIN;
	dirty = inode_update_time(inode, type, flags);
	if (dirty > 0)
		guestmemfs_dirty_inode(inode, dirty);
	return min(dirty, 0);
}
