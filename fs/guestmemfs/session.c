// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files that are in a session of the Live Update Orchestrator, as recorded in the inode table:
 * guestmemfs_inode.preserved is the number of the kexec that the session crosses.
 */
#include <linux/fs.h>
#include <linux/liveupdate.h>

#include "internal.h"

/**
 * gmfs_inode_incoming - has the previous kernel preserved a file in a session
 * @pool: the pool
 * @ino: an entry of the inode table in use
 *
 * Context: gmfs_pool.lock is held.
 * Return: true until the session is finished, or until the next kexec if it is not.
 */
bool gmfs_inode_incoming(const struct gmfs_pool *pool, u32 ino)
{
	u32 preserved = le32_to_cpu(pool->tables.inodes[ino].preserved);

	return preserved && preserved == pool->hops;
}

/**
 * gmfs_inode_in_session - is a file in a session of this kernel or of the previous one
 * @pool: the pool
 * @ino: an entry of the inode table in use
 *
 * Context: gmfs_pool.lock is held.
 * Return: true if it is, so that no part of the file may be freed or zeroed.
 */
bool gmfs_inode_in_session(const struct gmfs_pool *pool, u32 ino)
{
	u32 preserved = le32_to_cpu(pool->tables.inodes[ino].preserved);

	return gmfs_inode_incoming(pool, ino) || preserved == gmfs_next_hop(pool->hops);
}

/**
 * gmfs_inode_unpreserve - mark a file as not in any session
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
 * gmfs_inode_stays_preserved - does a session still have a file; unmark the file if not
 * @pool: the pool
 * @ino: an entry of the inode table in use
 *
 * With live update off no session can be retrieved. A file with a name is unmarked: it is found
 * by its name. An unlinked file stays preserved: it may be all that is left of a guest, and an
 * option on the kernel command line must not destroy that.
 *
 * Context: at mount; gmfs_pool.lock is held.
 * Return: true if the file stays preserved in this kernel.
 */
bool gmfs_inode_stays_preserved(struct gmfs_pool *pool, u32 ino)
{
	bool orphan = pool->tables.inodes[ino].flags & cpu_to_le32(GUESTMEMFS_INODE_ORPHAN);

	if (gmfs_inode_incoming(pool, ino) && (orphan || liveupdate_enabled()))
		return true;
	gmfs_inode_unpreserve(pool, ino);
	return false;
}
