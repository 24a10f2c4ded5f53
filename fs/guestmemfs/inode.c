// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFS inodes: made from entries of the inode table, evicted, kept for live update sessions.
 */
#include <linux/fs.h>
#include <linux/pagemap.h>
#include <linux/slab.h>

#include "internal.h"

static struct kmem_cache *gmfs_inode_cache;
static const struct gmfs_inode_kinds *gmfs_kinds;

static void gmfs_inode_init_once(void *obj)
{
	struct gmfs_inode *gi = obj;

	init_rwsem(&gi->map_lock);
	seqcount_init(&gi->map_seq);
	inode_init_once(&gi->vfs_inode);
}

/**
 * gmfs_inode_cache_init - create the slab cache of inodes
 * @kinds: the operations of inodes; must stay valid
 *
 * Return: 0 or -ENOMEM.
 */
int __init gmfs_inode_cache_init(const struct gmfs_inode_kinds *kinds)
{
	gmfs_kinds = kinds;
	gmfs_inode_cache = kmem_cache_create("guestmemfs_inode", sizeof(struct gmfs_inode), 0,
					     SLAB_RECLAIM_ACCOUNT | SLAB_ACCOUNT,
					     gmfs_inode_init_once);
	return gmfs_inode_cache ? 0 : -ENOMEM;
}

/**
 * guestmemfs_alloc_inode - allocate an inode
 * @sb: the superblock
 *
 * Return: the inode, without extents, or NULL if out of memory.
 */
struct inode *guestmemfs_alloc_inode(struct super_block *sb)
{
	struct gmfs_inode *gi = alloc_inode_sb(sb, gmfs_inode_cache, GFP_KERNEL);

	if (!gi)
		return NULL;
	gi->map = NULL;
	INIT_LIST_HEAD(&gi->kept);
	INIT_LIST_HEAD(&gi->bindings);
	xa_init(&gi->absent);
	gmfs_converted_init(&gi->converted);
	gi->userfaults = false;
	return &gi->vfs_inode;
}

/**
 * guestmemfs_free_inode - free the memory of an inode
 * @inode: the inode, after guestmemfs_evict_inode()
 */
void guestmemfs_free_inode(struct inode *inode)
{
	kmem_cache_free(gmfs_inode_cache, GUESTMEMFS_I(inode));
}

static struct gmfs_extmap *gmfs_map_new(void)
{
	struct gmfs_extmap *map = kmalloc_obj(*map, GFP_KERNEL_ACCOUNT);

	if (map)
		gmfs_map_init(map);
	return map;
}

static void gmfs_inode_set_ops(struct inode *inode)
{
	if (S_ISDIR(inode->i_mode)) {
		inode->i_op = gmfs_kinds->dir_inode;
		inode->i_fop = gmfs_kinds->dir;
		simple_offset_init(&GUESTMEMFS_I(inode)->offsets);
	} else {
		inode->i_op = gmfs_kinds->file_inode;
		inode->i_fop = gmfs_kinds->file;
	}
}

/**
 * gmfs_inode_get - make the VFS inode of an entry in the inode table
 * @sb: the superblock
 * @ino: an entry that is in use and has no VFS inode yet
 *
 * The link count is 2 for a directory and 1 for a file. The caller hashes the inode; until then
 * no file handle finds it.
 *
 * Return: the inode, or NULL if out of memory.
 */
struct inode *gmfs_inode_get(struct super_block *sb, u32 ino)
{
	const struct guestmemfs_inode *di = &GUESTMEMFS_SB(sb)->tables.inodes[ino];
	struct inode *inode = new_inode(sb);

	if (!inode)
		return NULL;
	GUESTMEMFS_I(inode)->map = gmfs_map_new();
	if (!GUESTMEMFS_I(inode)->map) {
		iput(inode);
		return NULL;
	}
	inode->i_ino = ino;
	inode->i_generation = le32_to_cpu(di->generation);
	inode->i_mode = le32_to_cpu(di->mode);
	i_uid_write(inode, le32_to_cpu(di->uid));
	i_gid_write(inode, le32_to_cpu(di->gid));
	i_size_write(inode, le64_to_cpu(di->size));
	inode_set_atime(inode, le64_to_cpu(di->atime), le32_to_cpu(di->atime_nsec));
	inode_set_mtime(inode, le64_to_cpu(di->mtime), le32_to_cpu(di->mtime_nsec));
	inode_set_ctime(inode, le64_to_cpu(di->ctime), le32_to_cpu(di->ctime_nsec));
	GUESTMEMFS_I(inode)->btime.tv_sec = le64_to_cpu(di->btime);
	GUESTMEMFS_I(inode)->btime.tv_nsec = le32_to_cpu(di->btime_nsec);
	set_nlink(inode, S_ISDIR(inode->i_mode) ? 2 : 1);
	gmfs_inode_set_ops(inode);
	lockdep_annotate_inode_mutex_key(inode);
	return inode;
}

/**
 * guestmemfs_evict_inode - remove an inode from memory
 * @inode: the inode
 *
 * If the inode has no name, gmfs_pool_free_inode() also frees its blocks and its entry in the
 * inode table: after the thaw if the pool is frozen, and not if a session has preserved the
 * file.
 */
void guestmemfs_evict_inode(struct inode *inode)
{
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	struct gmfs_pool *pool = GUESTMEMFS_SB(inode->i_sb);

	truncate_inode_pages_final(&inode->i_data);
	gmfs_absent_forget(inode, 0, GMFS_MAX_LOGICAL);
	gmfs_converted_free(&gi->converted);
	if (inode->i_nlink)
		gmfs_map_free(gi->map);
	else
		gmfs_pool_free_inode(pool, inode->i_ino, gi->map);
	if (S_ISDIR(inode->i_mode))
		simple_offset_destroy(&gi->offsets);
	clear_inode(inode);
}

/**
 * gmfs_session_keep - keep an inode in memory for a session of the previous kernel
 * @pool: the pool
 * @inode: the inode
 *
 * Context: gmfs_pool.lock is held.
 */
void gmfs_session_keep(struct gmfs_pool *pool, struct inode *inode)
{
	lockdep_assert_held(&pool->lock);
	ihold(inode);
	list_add(&GUESTMEMFS_I(inode)->kept, &pool->kept);
}

/**
 * gmfs_session_release - undo gmfs_session_keep()
 * @pool: the pool
 * @gi: an inode, NULL for any one in gmfs_pool.kept
 *
 * Return: the inode, with the reference that gmfs_session_keep() took, or NULL if there is none.
 */
struct inode *gmfs_session_release(struct gmfs_pool *pool, struct gmfs_inode *gi)
{
	guard(mutex)(&pool->lock);
	if (!gi)
		gi = list_first_entry_or_null(&pool->kept, struct gmfs_inode, kept);
	if (!gi || list_empty(&gi->kept))
		return NULL;
	list_del_init(&gi->kept);
	return &gi->vfs_inode;
}

/**
 * gmfs_session_drop_all - undo each gmfs_session_keep() of a pool, before an unmount
 * @pool: the pool
 */
void gmfs_session_drop_all(struct gmfs_pool *pool)
{
	struct inode *inode;

	while ((inode = gmfs_session_release(pool, NULL)))
		iput(inode);
}
