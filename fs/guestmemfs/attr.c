// SPDX-License-Identifier: GPL-2.0-only
/*
 * chmod, chown, utimes, truncate and stat, of files and directories.
 */
#include <linux/fs.h>
#include <linux/stat.h>

#include "internal.h"

/**
 * guestmemfs_setattr - chmod, chown, utimes, truncate
 * @idmap: idmap of the mount
 * @dentry: the file or directory
 * @attr: what to change
 *
 * Return: 0; or an error of setattr_prepare() or gmfs_file_resize(), or -EBUSY (a kexec has
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
 * @stat: filled in
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
