// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reading a directory. simple_offset_dir_operations of libfs walks the dcache's list of
 * children, and returns entries twice if a rename has changed their order or the next child
 * was removed. This code goes by the positions of the entries alone, in descending order: an
 * entry that is created meanwhile has a higher position and does not disturb the walk.
 */
#include <linux/filelock.h>
#include <linux/fs.h>
#include <linux/maple_tree.h>

#include "internal.h"

/* Positions without an entry: after "." and "..", and at the end of the directory. */
#define GMFS_DIR_FIRST	2
#define GMFS_DIR_END	S32_MAX

/* Finds the entry at @pos or else the next lower one, and stores its position in @pos. */
static struct dentry *gmfs_dir_find(struct inode *dir, unsigned long *pos)
{
	MA_STATE(mas, &GUESTMEMFS_I(dir)->offsets.mt, *pos, *pos);
	struct dentry *dentry;

	rcu_read_lock();
	dentry = mas_find_rev(&mas, 0);
	rcu_read_unlock();
	*pos = mas.index;
	return dentry;
}

static int guestmemfs_readdir(struct file *file, struct dir_context *ctx)
{
	struct inode *dir = file_inode(file);
	struct dentry *dentry;
	unsigned long pos;

	/* Keeps entries from being created, removed and renamed. */
	lockdep_assert_held(&dir->i_rwsem);
	if (!dir_emit_dots(file, ctx) || ctx->pos >= GMFS_DIR_END)
		return 0;
	pos = ctx->pos == GMFS_DIR_FIRST ? GMFS_DIR_END - 1 : ctx->pos;
	while ((dentry = gmfs_dir_find(dir, &pos))) {
		const struct inode *inode = d_inode(dentry);

		ctx->pos = pos--;
		if (!dir_emit(ctx, dentry->d_name.name, dentry->d_name.len, inode->i_ino,
			      fs_umode_to_dtype(inode->i_mode)))
			return 0;
	}
	ctx->pos = GMFS_DIR_END;
	return 0;
}

static loff_t guestmemfs_dir_llseek(struct file *file, loff_t offset, int whence)
{
	if (whence != SEEK_SET && whence != SEEK_CUR)
		return -EINVAL;
	return generic_file_llseek_size(file, offset, whence, LONG_MAX, 0);
}

const struct file_operations guestmemfs_dir_operations = {
	.llseek		= guestmemfs_dir_llseek,
	.read		= generic_read_dir,
	.iterate_shared	= guestmemfs_readdir,
	.fsync		= noop_fsync,
	.setlease	= generic_setlease,
};
