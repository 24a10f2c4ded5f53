// SPDX-License-Identifier: GPL-2.0-only
/*
 * Directories: libfs keeps the names in the dcache, and the inode table keeps them for the next
 * kernel.
 */
#include <linux/fs.h>
#include <linux/security.h>

#include "internal.h"

static struct offset_ctx *guestmemfs_offset_ctx(struct inode *inode)
{
	return &GUESTMEMFS_I(inode)->offsets;
}

static struct guestmemfs_inode *gmfs_entry(const struct inode *inode)
{
	return &GUESTMEMFS_SB(inode->i_sb)->tables.inodes[inode->i_ino];
}

/* Stores @dir and @name in the inode table entry of @inode, in place of the previous ones. */
static void gmfs_entry_set_name(struct inode *inode, const struct inode *dir,
				const struct qstr *name)
{
	struct guestmemfs_inode *di = gmfs_entry(inode);

	di->parent = cpu_to_le32(dir->i_ino);
	di->flags &= ~cpu_to_le32(GUESTMEMFS_INODE_ORPHAN);
	di->name_len = cpu_to_le16(name->len);
	memset(di->name, 0, sizeof(di->name));
	memcpy(di->name, name->name, name->len);
}

static void gmfs_entry_clear_name(struct inode *inode)
{
	struct guestmemfs_inode *di = gmfs_entry(inode);

	di->parent = 0;
	di->flags |= cpu_to_le32(GUESTMEMFS_INODE_ORPHAN);
	di->name_len = 0;
	memset(di->name, 0, sizeof(di->name));
}

/* Allocates an inode table entry, as an orphan: the file has no name yet. */
static int gmfs_entry_alloc(struct gmfs_pool *pool, umode_t mode, u32 *ino)
{
	int err;

	err = gmfs_pool_begin(pool);
	if (err)
		return err;
	err = gmfs_inode_alloc(&pool->tables, mode, ino);
	if (!err)
		pool->tables.inodes[*ino].flags = cpu_to_le32(GUESTMEMFS_INODE_ORPHAN);
	gmfs_pool_end(pool);
	return err;
}

static struct inode *gmfs_inode_new(struct mnt_idmap *idmap, struct inode *dir, umode_t mode)
{
	struct gmfs_pool *pool = GUESTMEMFS_SB(dir->i_sb);
	struct inode *inode;
	u32 ino;
	int err;

	err = gmfs_entry_alloc(pool, mode, &ino);
	if (err)
		return ERR_PTR(err);
	inode = gmfs_inode_get(dir->i_sb, ino);
	if (!inode) {
		gmfs_pool_free_inode(pool, ino, NULL);
		return ERR_PTR(-ENOMEM);
	}
	inode_init_owner(idmap, inode, dir, mode);
	GUESTMEMFS_I(inode)->btime = simple_inode_init_ts(inode);
	return inode;
}

/*
 * Makes a new inode visible by its name and by its file handle. The inode is hashed with I_NEW
 * set, so that guestmemfs_fh_to_dentry() waits in ilookup() until the inode has its dentry.
 * Otherwise d_obtain_alias() could give a directory another dentry before.
 */
static void gmfs_publish(struct dentry *dentry, struct inode *inode)
{
	spin_lock(&inode->i_lock);
	inode_state_set(inode, I_NEW);
	spin_unlock(&inode->i_lock);
	insert_inode_hash(inode);
	d_make_persistent(dentry, inode);
	unlock_new_inode(inode);
}

static int gmfs_make(struct mnt_idmap *idmap, struct inode *dir, struct dentry *dentry,
		     umode_t mode)
{
	struct gmfs_pool *pool = GUESTMEMFS_SB(dir->i_sb);
	struct inode *inode = gmfs_inode_new(idmap, dir, mode);
	int err;

	if (IS_ERR(inode))
		return PTR_ERR(inode);
	err = security_inode_init_security(inode, dir, &dentry->d_name, NULL, NULL);
	if (err && err != -EOPNOTSUPP)
		goto err_iput;
	err = simple_offset_add(guestmemfs_offset_ctx(dir), dentry);
	if (err)
		goto err_iput;
	err = gmfs_pool_begin(pool);
	if (err)
		goto err_offset_remove;
	inode_set_mtime_to_ts(dir, inode_set_ctime_current(dir));
	if (S_ISDIR(mode))
		inc_nlink(dir);
	gmfs_entry_set_name(inode, dir, &dentry->d_name);
	gmfs_inode_store(inode);
	gmfs_inode_store(dir);
	gmfs_pool_end(pool);
	/* Keep this last: a file handle must not find an inode whose creation may yet fail. */
	gmfs_publish(dentry, inode);
	return 0;

err_offset_remove:
	simple_offset_remove(guestmemfs_offset_ctx(dir), dentry);
err_iput:
	clear_nlink(inode);
	iput(inode);
	return err;
}

static int guestmemfs_create(struct mnt_idmap *idmap, struct inode *dir, struct dentry *dentry,
			     umode_t mode)
{
	return gmfs_make(idmap, dir, dentry, mode | S_IFREG);
}

static struct dentry *guestmemfs_mkdir(struct mnt_idmap *idmap, struct inode *dir,
				       struct dentry *dentry, umode_t mode)
{
	return ERR_PTR(gmfs_make(idmap, dir, dentry, mode | S_IFDIR));
}

/*
 * The inode table entry is an orphan from the start. If the file is still open at a kexec, and
 * neither linked nor preserved, the first mount in the next kernel frees it.
 */
static int guestmemfs_tmpfile(struct mnt_idmap *idmap, struct inode *dir, struct file *file,
			      umode_t mode)
{
	struct gmfs_pool *pool = GUESTMEMFS_SB(dir->i_sb);
	struct inode *inode = gmfs_inode_new(idmap, dir, mode);
	int err;

	if (IS_ERR(inode))
		return finish_open_simple(file, PTR_ERR(inode));
	err = security_inode_init_security(inode, dir, NULL, NULL, NULL);
	if (err == -EOPNOTSUPP)
		err = 0;
	if (!err)
		err = gmfs_pool_begin(pool);
	if (err) {
		clear_nlink(inode);
		iput(inode);
		return finish_open_simple(file, err);
	}
	gmfs_inode_store(inode);
	gmfs_pool_end(pool);
	d_tmpfile(file, inode);
	insert_inode_hash(inode);
	return finish_open_simple(file, 0);
}

/* Gives an O_TMPFILE file its name. An inode table entry has one name, so no hard links. */
static int guestmemfs_link(struct dentry *old_dentry, struct inode *dir, struct dentry *dentry)
{
	struct gmfs_pool *pool = GUESTMEMFS_SB(dir->i_sb);
	struct inode *inode = d_inode(old_dentry);
	int err;

	if (inode->i_nlink)
		return -EPERM;
	err = simple_offset_add(guestmemfs_offset_ctx(dir), dentry);
	if (err)
		return err;
	err = gmfs_pool_begin(pool);
	if (err) {
		simple_offset_remove(guestmemfs_offset_ctx(dir), dentry);
		return err;
	}
	inode_set_mtime_to_ts(dir, inode_set_ctime_to_ts(dir, inode_set_ctime_current(inode)));
	inc_nlink(inode);
	gmfs_entry_set_name(inode, dir, &dentry->d_name);
	gmfs_inode_store(inode);
	gmfs_inode_store(dir);
	gmfs_pool_end(pool);
	ihold(inode);
	d_make_persistent(dentry, inode);
	return 0;
}

/* Removes @dentry from @dir, for unlink, rmdir and rename. */
static void gmfs_remove(struct inode *dir, struct dentry *dentry)
{
	struct inode *inode = d_inode(dentry);

	simple_offset_remove(guestmemfs_offset_ctx(dir), dentry);
	if (S_ISDIR(inode->i_mode))
		__simple_rmdir(dir, dentry);
	else
		__simple_unlink(dir, dentry);
	gmfs_entry_clear_name(inode);
	gmfs_inode_store(inode);
	gmfs_inode_store(dir);
}

static int guestmemfs_unlink(struct inode *dir, struct dentry *dentry)
{
	struct gmfs_pool *pool = GUESTMEMFS_SB(dir->i_sb);
	int err;

	err = gmfs_pool_begin(pool);
	if (err)
		return err;
	gmfs_remove(dir, dentry);
	gmfs_pool_end(pool);
	d_make_discardable(dentry);
	return 0;
}

static int guestmemfs_rmdir(struct inode *dir, struct dentry *dentry)
{
	return simple_empty(dentry) ? guestmemfs_unlink(dir, dentry) : -ENOTEMPTY;
}

static void gmfs_store_renamed(struct inode *old_dir, struct dentry *old_dentry,
			       struct inode *new_dir, struct dentry *new_dentry)
{
	struct inode *inode = d_inode(old_dentry);

	gmfs_entry_set_name(inode, new_dir, &new_dentry->d_name);
	gmfs_inode_store(inode);
	gmfs_inode_store(old_dir);
	gmfs_inode_store(new_dir);
}

static int gmfs_exchange(struct inode *old_dir, struct dentry *old_dentry,
			 struct inode *new_dir, struct dentry *new_dentry)
{
	struct gmfs_pool *pool = GUESTMEMFS_SB(old_dir->i_sb);
	int err;

	err = gmfs_pool_begin(pool);
	if (err)
		return err;
	err = simple_offset_rename_exchange(old_dir, old_dentry, new_dir, new_dentry);
	if (!err) {
		gmfs_store_renamed(old_dir, old_dentry, new_dir, new_dentry);
		gmfs_store_renamed(new_dir, new_dentry, old_dir, old_dentry);
	}
	gmfs_pool_end(pool);
	return err;
}

static int gmfs_rename(struct inode *old_dir, struct dentry *old_dentry,
		       struct inode *new_dir, struct dentry *new_dentry)
{
	struct gmfs_pool *pool = GUESTMEMFS_SB(old_dir->i_sb);
	bool replaces = d_really_is_positive(new_dentry);
	/*
	 * A rename within a directory keeps the entry's position, so that a reader of the
	 * directory gets the entry once, by its old or its new name.
	 */
	bool stays = old_dir == new_dir && !replaces;
	int err, added = -EBUSY;

	if (!simple_empty(new_dentry))
		return -ENOTEMPTY;
	/* -EBUSY: @new_dentry has a position already, which the renamed entry takes over. */
	if (!stays)
		added = simple_offset_add(guestmemfs_offset_ctx(new_dir), new_dentry);
	if (added && added != -EBUSY)
		return added;
	err = gmfs_pool_begin(pool);
	if (err) {
		if (!added)
			simple_offset_remove(guestmemfs_offset_ctx(new_dir), new_dentry);
		return err;
	}
	if (!stays)
		simple_offset_rename(old_dir, old_dentry, new_dir, new_dentry);
	if (replaces)
		gmfs_remove(new_dir, new_dentry);
	if (d_is_dir(old_dentry)) {
		drop_nlink(old_dir);
		inc_nlink(new_dir);
	}
	simple_rename_timestamp(old_dir, old_dentry, new_dir, new_dentry);
	gmfs_store_renamed(old_dir, old_dentry, new_dir, new_dentry);
	gmfs_pool_end(pool);
	if (replaces)
		d_make_discardable(new_dentry);
	return 0;
}

static int guestmemfs_rename(struct mnt_idmap *idmap, struct inode *old_dir,
			     struct dentry *old_dentry, struct inode *new_dir,
			     struct dentry *new_dentry, unsigned int flags)
{
	if (flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	if (flags & RENAME_EXCHANGE)
		return gmfs_exchange(old_dir, old_dentry, new_dir, new_dentry);
	return gmfs_rename(old_dir, old_dentry, new_dir, new_dentry);
}

const struct inode_operations guestmemfs_dir_inode_operations = {
	.create			= guestmemfs_create,
	.lookup			= simple_lookup,
	.link			= guestmemfs_link,
	.unlink			= guestmemfs_unlink,
	.mkdir			= guestmemfs_mkdir,
	.rmdir			= guestmemfs_rmdir,
	.rename			= guestmemfs_rename,
	.setattr		= guestmemfs_setattr,
	.getattr		= guestmemfs_getattr,
	.update_time		= guestmemfs_update_time,
	.tmpfile		= guestmemfs_tmpfile,
	.get_offset_ctx		= guestmemfs_offset_ctx,
};
