// SPDX-License-Identifier: GPL-2.0-only
/*
 * File handles: a name that lasts as long as the file, also across kexec.
 *
 * They have the pool's identity in them. Numbers and generations begin anew with
 * each cold boot, and a handle of a pool that is lost is not to find somebody
 * else's guest.
 */
#include <linux/capability.h>
#include <linux/dcache.h>
#include <linux/exportfs.h>
#include <linux/fs.h>

#include "internal.h"

static int guestmemfs_encode_fh(struct inode *inode, __u32 *fh, int *max_len,
				struct inode *parent)
{
	const int len = sizeof(struct guestmemfs_fid) / sizeof(*fh);
	struct guestmemfs_fid fid = {
		.ino		= cpu_to_le32(inode->i_ino),
		.generation	= cpu_to_le32(inode->i_generation),
	};
	bool fits = *max_len >= len;

	*max_len = len;
	if (!fits)
		return FILEID_INVALID;
	memcpy(fid.uuid, GUESTMEMFS_SB(inode->i_sb)->uuid.b, sizeof(fid.uuid));
	memcpy(fh, &fid, sizeof(fid));
	return GUESTMEMFS_FID_TYPE;
}

/* All that there is, is in memory: what has no inode is no more. */
static struct dentry *guestmemfs_fh_to_dentry(struct super_block *sb, struct fid *fh, int fh_len,
					      int fh_type)
{
	struct dentry *dentry;
	struct guestmemfs_fid fid;
	struct inode *inode;

	if (fh_type != GUESTMEMFS_FID_TYPE || fh_len * sizeof(fh->raw[0]) < sizeof(fid))
		return ERR_PTR(-ESTALE);
	memcpy(&fid, fh->raw, sizeof(fid));
	if (memcmp(fid.uuid, GUESTMEMFS_SB(sb)->uuid.b, sizeof(fid.uuid)))
		return ERR_PTR(-ESTALE);
	inode = ilookup(sb, le32_to_cpu(fid.ino));
	if (!inode)
		return ERR_PTR(-ESTALE);
	if (inode->i_generation != le32_to_cpu(fid.generation)) {
		iput(inode);
		return ERR_PTR(-ESTALE);
	}
	/* By its name, if it has one: it may have been made without. */
	dentry = d_find_alias(inode);
	if (!dentry)
		return d_obtain_alias(inode);
	iput(inode);
	return dentry;
}

/* No directory is in memory without its parent. */
static struct dentry *guestmemfs_get_parent(struct dentry *child)
{
	return ERR_PTR(-ESTALE);
}

/*
 * Those who rule the machine. That it is here also keeps nfsd away, which could
 * not read a byte of these files.
 */
static int guestmemfs_handle_permission(struct handle_to_path_ctx *ctx, unsigned int oflags)
{
	return capable(CAP_DAC_READ_SEARCH) ? 0 : -EPERM;
}

const struct export_operations guestmemfs_export_operations = {
	.encode_fh	= guestmemfs_encode_fh,
	.fh_to_dentry	= guestmemfs_fh_to_dentry,
	.get_parent	= guestmemfs_get_parent,
	.permission	= guestmemfs_handle_permission,
};
