// SPDX-License-Identifier: GPL-2.0-only
/*
 * From checked tables to inodes and names in memory, at mount.
 */
#define pr_fmt(fmt) "guestmemfs: " fmt

#include <linux/dcache.h>
#include <linux/fs.h>
#include <linux/fs_context.h>
#include <linux/liveupdate.h>
#include <linux/security.h>
#include <linux/slab.h>

#include "internal.h"

/**
 * struct gmfs_loader - a mount in progress
 * @sb: the superblock
 * @fc: what was asked for
 * @t: the pool's tables
 * @index: all extents, by inode and offset
 * @begins: by inode number, its first extent in @index; one more at the end
 * @dentries: by inode number, what is in memory already
 * @below: by inode number, the next step on the way down to the inode that is
 *	being loaded
 */
struct gmfs_loader {
	struct super_block *sb;
	struct fs_context *fc;
	struct gmfs_tables *t;
	struct gmfs_index index;
	u32 *begins;
	struct dentry **dentries;
	u32 *below;
};

/*
 * Notes where in the index each inode's extents begin. Once, and not by a
 * search when they are wanted: an orphan that is freed meanwhile takes its
 * numbers out of the table, and a search would lose its way there.
 */
static int gmfs_load_begins(struct gmfs_loader *l)
{
	u32 used = le32_to_cpu(l->t->super->live.used_inodes), ino = 0, i;

	l->begins = gmfs_calloc((size_t)used + 1, sizeof(*l->begins));
	if (!l->begins)
		return -ENOMEM;
	for (i = 0; i < l->index.nr; i++)
		while (ino <= le32_to_cpu(l->t->extents[l->index.slots[i]].ino))
			l->begins[ino++] = i;
	while (ino <= used)
		l->begins[ino++] = i;
	return 0;
}

/* Takes the extents of an inode from the index. */
static int gmfs_load_map(const struct gmfs_loader *l, u32 ino, struct gmfs_extmap *map)
{
	u32 i;
	int err;

	for (i = l->begins[ino]; i < l->begins[ino + 1]; i++) {
		err = gmfs_map_insert(l->t, map, l->index.slots[i]);
		if (err)
			return err;
	}
	if (l->t->read_only || !l->t->states)
		return 0;
	/* The device drivers that held truncated blocks were those of the kernel before. */
	return gmfs_map_edit(l->t, map, GMFS_READY, 0, GMFS_MAX_LOGICAL);
}

static bool gmfs_load_is_orphan(const struct gmfs_loader *l, u32 ino)
{
	return l->t->inodes[ino].flags & cpu_to_le32(GUESTMEMFS_INODE_ORPHAN);
}

/*
 * Frees what was unlinked and open under the kernel before: nobody has it open
 * any more, unless a session has kept it.
 */
static int gmfs_load_free_orphans(struct gmfs_loader *l)
{
	struct gmfs_pool *pool = GUESTMEMFS_SB(l->sb);
	u32 used = le32_to_cpu(l->t->super->live.used_inodes), kept = 0, ino;
	int err = 0;

	for (ino = GUESTMEMFS_ROOT_INO + 1; ino < used && !err; ino++) {
		struct gmfs_extmap map;

		if (!l->t->inodes[ino].mode)
			continue;
		if (gmfs_inode_forget_sessions(pool, ino)) {
			kept += gmfs_load_is_orphan(l, ino);
			continue;
		}
		if (!gmfs_load_is_orphan(l, ino))
			continue;
		gmfs_map_init(&map);
		err = gmfs_load_map(l, ino, &map);
		if (!err) {
			gmfs_map_clear(l->t, &map);
			gmfs_inode_free(l->t, ino);
		}
		gmfs_map_destroy(&map);
	}
	if (kept && !liveupdate_enabled())
		pr_warn("node %d: files without a name whose sessions cannot be retrieved, as live update is off: %u, kept until the next kexec\n",
			pool->node, kept);
	return err;
}

static struct inode *gmfs_load_inode(const struct gmfs_loader *l, u32 ino)
{
	struct inode *inode = gmfs_inode_get(l->sb, ino);

	if (inode)
		insert_inode_hash(inode);
	return inode;
}

/* A session of the kernel before has kept it, without a name. */
static int gmfs_load_orphan(struct gmfs_loader *l, u32 ino)
{
	struct inode *inode = gmfs_load_inode(l, ino);
	int err;

	if (!inode)
		return -ENOMEM;
	err = gmfs_load_map(l, ino, GUESTMEMFS_I(inode)->map);
	if (!err) {
		clear_nlink(inode);
		gmfs_update_blocks(inode);
		gmfs_hold(GUESTMEMFS_SB(l->sb), inode);
	}
	iput(inode);
	return err;
}

static int gmfs_load_one(struct gmfs_loader *l, u32 ino)
{
	const struct guestmemfs_inode *di = &l->t->inodes[ino];
	struct dentry *parent = l->dentries[le32_to_cpu(di->parent)];
	struct inode *inode = gmfs_load_inode(l, ino);
	struct dentry *dentry;
	int err;

	if (!inode)
		return -ENOMEM;
	err = gmfs_load_map(l, ino, GUESTMEMFS_I(inode)->map);
	if (err)
		goto err_iput;
	gmfs_update_blocks(inode);
	/* The table has more room than the longest name: there is a NUL. */
	dentry = d_alloc_name(parent, di->name);
	if (!dentry) {
		err = -ENOMEM;
		goto err_iput;
	}
	err = simple_offset_add(&GUESTMEMFS_I(d_inode(parent))->offsets, dentry);
	if (err)
		goto err_dput;
	if (S_ISDIR(inode->i_mode))
		inc_nlink(d_inode(parent));
	d_make_persistent(dentry, inode);
	if (gmfs_inode_in_session(GUESTMEMFS_SB(l->sb), ino))
		gmfs_hold(GUESTMEMFS_SB(l->sb), inode);
	/* From here on it is the tree that holds it. */
	l->dentries[ino] = dentry;
	dput(dentry);
	return 0;

err_dput:
	dput(dentry);
err_iput:
	iput(inode);
	return err;
}

/* Loads an inode, and before it the directories on the way to it. */
static int gmfs_load_with_parents(struct gmfs_loader *l, u32 ino)
{
	u32 below = 0;
	int err;

	for (; !l->dentries[ino]; ino = le32_to_cpu(l->t->inodes[ino].parent)) {
		l->below[ino] = below;
		below = ino;
	}
	for (ino = below; ino; ino = l->below[ino]) {
		err = gmfs_load_one(l, ino);
		if (err)
			return err;
	}
	return 0;
}

static int gmfs_load_tree(struct gmfs_loader *l)
{
	u32 used = le32_to_cpu(l->t->super->live.used_inodes), ino;
	int err = 0;

	l->sb->s_root = d_make_root(gmfs_load_inode(l, GUESTMEMFS_ROOT_INO));
	if (!l->sb->s_root)
		return -ENOMEM;
	l->dentries[GUESTMEMFS_ROOT_INO] = l->sb->s_root;
	/*
	 * The VFS does that when all are there, which is too late for modules that label an
	 * inode once and for all when its name is made. Twice does no harm.
	 */
	err = security_sb_set_mnt_opts(l->sb, l->fc->security, 0, NULL);
	for (ino = GUESTMEMFS_ROOT_INO + 1; ino < used && !err; ino++) {
		if (!l->t->inodes[ino].mode)
			continue;
		if (!gmfs_load_is_orphan(l, ino))
			err = gmfs_load_with_parents(l, ino);
		else if (gmfs_inode_in_session(GUESTMEMFS_SB(l->sb), ino))
			err = gmfs_load_orphan(l, ino);
	}
	return err;
}

static int gmfs_load_checked(struct gmfs_loader *l)
{
	u32 used = le32_to_cpu(l->t->super->live.used_inodes);
	int err;

	err = gmfs_load_begins(l);
	if (err)
		return err;
	err = -ENOMEM;
	l->dentries = gmfs_calloc(used, sizeof(*l->dentries));
	l->below = gmfs_calloc(used, sizeof(*l->below));
	if (l->dentries && l->below)
		err = gmfs_alloc_init(l->t);
	if (!err && !l->t->read_only)
		err = gmfs_load_free_orphans(l);
	if (!err)
		err = gmfs_load_tree(l);
	kvfree(l->below);
	kvfree(l->dentries);
	kvfree(l->begins);
	return err;
}

/* The tables may only speak of memory that was taken from the host for them. */
static int gmfs_load_same(const struct gmfs_pool *pool, struct gmfs_complaint *c)
{
	const struct gmfs_tables *t = &pool->tables;
	u32 i;

	*c = (struct gmfs_complaint){ "superblock", 0, "another pool's uuid" };
	if (memcmp(t->super->uuid, pool->uuid.b, sizeof(pool->uuid)))
		return -EUCLEAN;
	*c = (struct gmfs_complaint){ "range table", 0, "not the ranges that were handed over" };
	if (t->nr_ranges != pool->nr_ranges)
		return -EUCLEAN;
	for (i = 0; i < t->nr_ranges; i++) {
		c->entry = i;
		if (le64_to_cpu(t->ranges[i].base) != pool->ranges[i].base ||
		    le64_to_cpu(t->ranges[i].size) != pool->ranges[i].size)
			return -EUCLEAN;
	}
	return 0;
}

static int gmfs_load_check(struct gmfs_pool *pool, struct gmfs_index *index)
{
	struct gmfs_complaint c = {};
	int err;

	err = gmfs_format_open(&pool->tables, pool->meta, pool->meta_base, pool->meta_size, &c);
	if (!err)
		err = gmfs_load_same(pool, &c);
	if (!err)
		err = gmfs_check(&pool->tables, index, &c);
	if (err == -EUCLEAN)
		pr_err("node %d: %s, entry %llu: %s; not mounted, memory stays reserved\n",
		       pool->node, c.table, c.entry, c.what);
	return err;
}

/**
 * gmfs_load - check a pool and bring its files into memory
 * @sb: the superblock, whose s_root is made
 * @fc: the mount, whose options for security modules are set
 *
 * Context: no other user of the pool exists yet.
 * Return: 0; -EUCLEAN with a line in the log that names table and entry and
 * nothing changed, -ENOMEM, -EBUSY (a kexec has begun), or what a security
 * module says of the options. After an error gmfs_alloc_exit() is due.
 */
int gmfs_load(struct super_block *sb, struct fs_context *fc)
{
	struct gmfs_pool *pool = GUESTMEMFS_SB(sb);
	struct gmfs_loader l = { .sb = sb, .fc = fc, .t = &pool->tables };
	int err;

	err = gmfs_pool_begin(pool);
	if (err)
		return err;
	err = gmfs_load_check(pool, &l.index);
	if (!err) {
		err = gmfs_load_checked(&l);
		gmfs_index_free(&l.index);
	}
	if (!err && !l.t->read_only)
		l.t->super->live.hops = cpu_to_le32(pool->hops);
	gmfs_pool_end(pool);
	return err;
}
