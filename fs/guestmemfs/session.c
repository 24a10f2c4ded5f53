// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which files sessions of the Live Update Orchestrator have, as the inode table says it:
 * guestmemfs_inode.preserved is the number of the kexec that the session crosses.
 */
#include <linux/fs.h>
#include <linux/liveupdate.h>

#include "internal.h"

/**
 * gmfs_inode_incoming - has the last kernel preserved a file for a session of this one
 * @pool: the pool
 * @ino: an entry of the inode table in use
 *
 * Context: gmfs_pool.lock is held.
 * Return: true until the session is finished, which may be never.
 */
bool gmfs_inode_incoming(const struct gmfs_pool *pool, u32 ino)
{
	u32 preserved = le32_to_cpu(pool->tables.inodes[ino].preserved);

	return preserved && preserved == pool->hops;
}

/**
 * gmfs_inode_in_session - is the file in a session, of this kernel or the last
 * @pool: the pool
 * @ino: an entry of the inode table in use
 *
 * Context: gmfs_pool.lock is held.
 * Return: true if nothing may be taken out of it.
 */
bool gmfs_inode_in_session(const struct gmfs_pool *pool, u32 ino)
{
	u32 preserved = le32_to_cpu(pool->tables.inodes[ino].preserved);

	return gmfs_inode_incoming(pool, ino) || preserved == gmfs_next_hop(pool->hops);
}

/**
 * gmfs_inode_unpreserve - no session has a file any more
 * @pool: the pool
 * @ino: an entry of the inode table in use
 *
 * Context: gmfs_pool.lock is held.
 */
void gmfs_inode_unpreserve(struct gmfs_pool *pool, u32 ino)
{
	struct guestmemfs_inode *di = &pool->tables.inodes[ino];

	di->preserved = 0;
	di->preserved_access = 0;
	di->preserved_pos = 0;
}

/**
 * gmfs_inode_forget_sessions - drop what is left of sessions that are no more
 * @pool: the pool
 * @ino: an entry of the inode table in use
 *
 * With live update off no session can be asked for. What has a name is found by that. What
 * has none may be all there is of a guest, whose owner did not mean to lose it by an option
 * of the next kernel's command line.
 *
 * Context: at mount; gmfs_pool.lock is held.
 * Return: true if the file stays preserved in this kernel.
 */
bool gmfs_inode_forget_sessions(struct gmfs_pool *pool, u32 ino)
{
	bool orphan = pool->tables.inodes[ino].flags & cpu_to_le32(GUESTMEMFS_INODE_ORPHAN);

	if (gmfs_inode_incoming(pool, ino) && (orphan || liveupdate_enabled()))
		return true;
	gmfs_inode_unpreserve(pool, ino);
	return false;
}
