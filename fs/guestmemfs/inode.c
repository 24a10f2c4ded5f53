// SPDX-License-Identifier: GPL-2.0-only
/*
 * Inodes: between the VFS and the inode table.
 */
#include <linux/fs.h>
#include <linux/pagemap.h>
#include <linux/slab.h>

#include "internal.h"

static struct kmem_cache *gmfs_inode_cache;

static void gmfs_inode_init_once(void *obj)
{
	struct gmfs_inode *gi = obj;

	init_rwsem(&gi->map_lock);
	inode_init_once(&gi->vfs_inode);
}

/**
 * gmfs_inode_cache_init - make the slab cache
 *
 * Return: 0 or -ENOMEM.
 */
int __init gmfs_inode_cache_init(void)
{
	gmfs_inode_cache = kmem_cache_create("guestmemfs_inode", sizeof(struct gmfs_inode), 0,
					     SLAB_RECLAIM_ACCOUNT | SLAB_ACCOUNT,
					     gmfs_inode_init_once);
	return gmfs_inode_cache ? 0 : -ENOMEM;
}

/**
 * guestmemfs_alloc_inode - memory for an inode
 * @sb: the superblock
 *
 * Return: the inode, without extents, or NULL without memory.
 */
struct inode *guestmemfs_alloc_inode(struct super_block *sb)
{
	struct gmfs_inode *gi = alloc_inode_sb(sb, gmfs_inode_cache, GFP_KERNEL);

	if (!gi)
		return NULL;
	gi->map = NULL;
	INIT_LIST_HEAD(&gi->held);
	INIT_LIST_HEAD(&gi->bindings);
	INIT_LIST_HEAD(&gi->pins);
	gi->truncating = false;
	return &gi->vfs_inode;
}

/**
 * guestmemfs_free_inode - give the memory of an inode back
 * @inode: the inode, which guestmemfs_evict_inode() has seen
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

/**
 * gmfs_map_free - free the memory of a file's map
 * @map: the map, NULL if the inode never had one; the tables keep the extents
 */
void gmfs_map_free(struct gmfs_extmap *map)
{
	if (map)
		gmfs_map_destroy(map);
	kfree(map);
}

static void gmfs_inode_set_ops(struct inode *inode)
{
	if (S_ISDIR(inode->i_mode)) {
		inode->i_op = &guestmemfs_dir_inode_operations;
		inode->i_fop = &guestmemfs_dir_operations;
		simple_offset_init(&GUESTMEMFS_I(inode)->offsets);
	} else {
		inode->i_op = &guestmemfs_file_inode_operations;
		inode->i_fop = &guestmemfs_file_operations;
	}
}

/**
 * gmfs_inode_get - make the VFS inode of an entry in the inode table
 * @sb: the superblock
 * @ino: an entry that is in use and has no VFS inode yet
 *
 * A directory gets a link count of 2, a file one of 1. Handles do not find it
 * before the caller hashes it.
 *
 * Return: the inode, or NULL without memory.
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
 * gmfs_inode_store - write a VFS inode to its entry in the inode table
 * @inode: the inode
 *
 * All but name and parent, which are dir.c's.
 *
 * Context: between gmfs_pool_begin() and gmfs_pool_end().
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
 * guestmemfs_dirty_inode - the VFS has changed times
 * @inode: the inode
 * @flags: I_DIRTY_*
 *
 * Changes of everything else are stored where they are made. After a kexec
 * has begun times are no longer kept.
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
 * guestmemfs_update_time - a file or directory was used
 * @inode: the inode
 * @type: which times
 * @flags: IOCB_NOWAIT
 *
 * They are stored at once, with lazytime, too: there is no writeback to wait for.
 *
 * Return: 0, or -EAGAIN with IOCB_NOWAIT.
 */
int guestmemfs_update_time(struct inode *inode, enum fs_update_time type, unsigned int flags)
{
	int dirty;

	/* The table's lock is a mutex. */
	if (flags & IOCB_NOWAIT)
		return -EAGAIN;
	dirty = inode_update_time(inode, type, flags);
	if (dirty > 0)
		guestmemfs_dirty_inode(inode, dirty);
	return min(dirty, 0);
}

/**
 * guestmemfs_evict_inode - an inode leaves memory
 * @inode: the inode
 *
 * Without a name its blocks and its entry are free from here on, or as soon as
 * gmfs_pool_free_inode() may free them.
 */
void guestmemfs_evict_inode(struct inode *inode)
{
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	struct gmfs_pool *pool = GUESTMEMFS_SB(inode->i_sb);

	truncate_inode_pages_final(&inode->i_data);
	if (inode->i_nlink) {
		gmfs_map_free(gi->map);
	} else {
		gmfs_reclaim_private(inode, 0, ULONG_MAX);
		gmfs_pool_free_inode(pool, inode->i_ino, gi->map);
	}
	if (S_ISDIR(inode->i_mode))
		simple_offset_destroy(&gi->offsets);
	clear_inode(inode);
}

/**
 * gmfs_hold - keep an inode in memory for a session of the last kernel
 * @pool: the pool
 * @inode: the inode
 *
 * Context: gmfs_pool.lock is held.
 */
void gmfs_hold(struct gmfs_pool *pool, struct inode *inode)
{
	lockdep_assert_held(&pool->lock);
	ihold(inode);
	list_add(&GUESTMEMFS_I(inode)->held, &pool->held);
}

/**
 * gmfs_unhold - undo gmfs_hold()
 * @pool: the pool
 * @gi: an inode that may be held, NULL for any that is
 *
 * Return: the inode with the reference that gmfs_hold() took, or NULL.
 */
struct inode *gmfs_unhold(struct gmfs_pool *pool, struct gmfs_inode *gi)
{
	guard(mutex)(&pool->lock);
	if (!gi)
		gi = list_first_entry_or_null(&pool->held, struct gmfs_inode, held);
	if (!gi || list_empty(&gi->held))
		return NULL;
	list_del_init(&gi->held);
	return &gi->vfs_inode;
}

/**
 * gmfs_let_go - undo all gmfs_hold(), before the superblock goes
 * @pool: the pool
 */
void gmfs_let_go(struct gmfs_pool *pool)
{
	struct inode *inode;

	while ((inode = gmfs_unhold(pool, NULL)))
		iput(inode);
}

/**
 * guestmemfs_setattr - chmod, chown, utimes, truncate
 * @idmap: idmap of the mount
 * @dentry: the file or directory
 * @attr: what to change
 *
 * Return: 0; what setattr_prepare() or gmfs_file_resize() says, or -EBUSY (a kexec has
 * begun), with nothing changed.
 */
int guestmemfs_setattr(struct mnt_idmap *idmap, struct dentry *dentry, struct iattr *attr)
{
	struct inode *inode = d_inode(dentry);
	struct gmfs_pool *pool = GUESTMEMFS_SB(inode->i_sb);
	int err;

	err = setattr_prepare(idmap, dentry, attr);
	if (err)
		return err;
	if (attr->ia_valid & ATTR_SIZE)
		return gmfs_file_resize(idmap, inode, attr->ia_size, attr);
	err = gmfs_pool_begin(pool);
	if (err)
		return err;
	setattr_copy(idmap, inode, attr);
	gmfs_inode_store(inode);
	gmfs_pool_end(pool);
	return 0;
}

/**
 * guestmemfs_getattr - stat
 * @idmap: idmap of the mount
 * @path: the file or directory
 * @stat: the answer
 * @request_mask: STATX_* wanted
 * @query_flags: AT_STATX_*
 *
 * Return: 0.
 */
int guestmemfs_getattr(struct mnt_idmap *idmap, const struct path *path, struct kstat *stat,
		       u32 request_mask, unsigned int query_flags)
{
	struct inode *inode = d_inode(path->dentry);

	generic_fillattr(idmap, request_mask, inode, stat);
	stat->btime = GUESTMEMFS_I(inode)->btime;
	stat->result_mask |= STATX_BTIME;
	return 0;
}
