// SPDX-License-Identifier: GPL-2.0-only
/*
 * File handles: valid as long as the file exists, also across kexec.
 *
 * A handle contains the UUID of the pool. Inode numbers and generations start again in each
 * new pool, e.g. after a cold boot: without the UUID, a handle of a pool that is lost could
 * open the memory of another guest.
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

/* Files of a mounted pool always have an inode in memory, so ilookup() finds all of them. */
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
	/*
	 * Prefer the hashed dentry, which has the name. A file that was made by O_TMPFILE and
	 * linked later has an unhashed one, too, which d_obtain_alias() could return.
	 */
	dentry = d_find_alias(inode);
	if (!dentry)
		return d_obtain_alias(inode);
	iput(inode);
	return dentry;
}

/* Not needed: a directory is loaded after its parents, so its dentry is always connected. */
static struct dentry *guestmemfs_get_parent(struct dentry *child)
{
	return ERR_PTR(-ESTALE);
}

/*
 * Opening by handle needs CAP_DAC_READ_SEARCH in the initial user namespace. This operation
 * also keeps nfsd out, see exportfs_may_export(): nfsd could not read these files.
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
