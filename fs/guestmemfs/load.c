// SPDX-License-Identifier: GPL-2.0-only
/*
 * Loading a pool at mount: checks its tables, and creates inodes and dentries from them.
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
 * @fc: the context of the mount
 * @t: the pool's tables
 * @index: all extents, sorted by inode and offset
 * @begins: by inode number: where its extents begin in @index; one more entry at the end
 * @dentries: by inode number: its dentry, NULL if it is not loaded yet
 * @below: by inode number: the next inode on the path down to the inode that is being loaded
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
 * Records where the extents of each inode begin in the index. A binary search at each load
 * would not work: gmfs_load_free_orphans() clears the extents of orphans, whose slots stay in
 * the index.
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

/* Builds the extent map of an inode from the index. */
static int gmfs_load_map(const struct gmfs_loader *l, u32 ino, struct gmfs_extmap *map)
{
	u32 i;
	int err;

	for (i = l->begins[ino]; i < l->begins[ino + 1]; i++) {
		err = gmfs_map_insert(l->t, map, l->index.slots[i]);
		if (err)
			return err;
	}
	return 0;
}

/* Builds what an inode has in memory of its extents. */
static int gmfs_load_contents(const struct gmfs_loader *l, struct inode *inode)
{
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	int err = gmfs_load_map(l, inode->i_ino, gi->map);

	return err ?: gmfs_converted_update(&gi->converted, l->t, gi->map, 0, GMFS_MAX_LOGICAL,
					    GFP_KERNEL);
}

/* Loads the detached blocks. */
static int gmfs_load_detached(const struct gmfs_loader *l)
{
	u32 i = l->begins[GUESTMEMFS_DETACHED_INO];
	int err;

	for (; i < l->begins[GUESTMEMFS_DETACHED_INO + 1]; i++) {
		err = gmfs_detached_load(l->t, l->index.slots[i]);
		if (err)
			return err;
	}
	return 0;
}

/*
 * Frees detached blocks that have no pin. Pins survive an unmount; persistent ones survive a
 * kexec.
 */
static void gmfs_load_settle(const struct gmfs_loader *l)
{
	u64 at = 0;

	while (gmfs_detached_free(l->t, &at, l->t->nr_blocks))
		cond_resched();
}

static bool gmfs_load_is_orphan(const struct gmfs_loader *l, u32 ino)
{
	return l->t->inodes[ino].flags & cpu_to_le32(GUESTMEMFS_INODE_ORPHAN);
}

/* Removes the persistent pins of an orphan that will be free. */
static void gmfs_load_unpin(const struct gmfs_loader *l, u32 ino, const struct gmfs_extmap *map)
{
	u64 block = 0, frame = 0;

	while (gmfs_persist_drop(l->t, map, &block, &frame, ino))
		cond_resched();
	block = 0;
	frame = 0;
	while (gmfs_persist_drop(l->t, &l->t->detached, &block, &frame, ino))
		cond_resched();
}

/* Takes over the poisoned frames of all earlier kernels. */
static void gmfs_load_poison(const struct gmfs_loader *l)
{
	u32 at = 0;

	while (gmfs_poison_load(l->t, &at))
		cond_resched();
}

/* Keeps the blocks of frames that were poisoned while the pool was frozen or not mounted. */
static void gmfs_load_keep_poison(const struct gmfs_loader *l)
{
	u64 frame = 0;

	while (gmfs_poison_settle(l->t, &frame))
		cond_resched();
}

/* Takes over the persistent pins of the previous kernel. */
static int gmfs_load_pins(const struct gmfs_loader *l)
{
	u32 at = 0;
	int err;

	do {
		err = gmfs_persist_load(l->t, &at);
		cond_resched();
	} while (err > 0);
	return err;
}

/*
 * Frees orphans, which were unlinked but open when the previous kernel (or mount) ended. No
 * descriptor refers to an orphan any more, unless a session has preserved one.
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
		if (gmfs_inode_stays_preserved(pool, ino)) {
			kept += gmfs_load_is_orphan(l, ino);
			continue;
		}
		if (!gmfs_load_is_orphan(l, ino))
			continue;
		gmfs_map_init(&map);
		err = gmfs_load_map(l, ino, &map);
		if (!err) {
			gmfs_load_unpin(l, ino, &map);
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

/* Loads an unlinked file that a session of the previous kernel has preserved. */
static int gmfs_load_orphan(struct gmfs_loader *l, u32 ino)
{
	struct inode *inode = gmfs_load_inode(l, ino);
	int err;

	if (!inode)
		return -ENOMEM;
	err = gmfs_load_contents(l, inode);
	if (!err) {
		clear_nlink(inode);
		gmfs_update_blocks(inode);
		gmfs_session_keep(GUESTMEMFS_SB(l->sb), inode);
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
	err = gmfs_load_contents(l, inode);
	if (err)
		goto err_iput;
	gmfs_update_blocks(inode);
	/* NUL-terminated: di->name is larger than the longest name. */
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
		gmfs_session_keep(GUESTMEMFS_SB(l->sb), inode);
	/* The dentry stays in memory: d_make_persistent() has taken a reference on it. */
	l->dentries[ino] = dentry;
	dput(dentry);
	return 0;

err_dput:
	dput(dentry);
err_iput:
	iput(inode);
	return err;
}

/* Loads an inode, after those directories on its path that are not loaded yet. */
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
	 * The VFS calls this after fill_super(), which is too late: a security module may label
	 * an inode for good when its dentry is instantiated. Calling it twice is safe, with the
	 * same options.
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

/* Takes over the absent pages of the files that are in memory now. */
static int gmfs_load_absent(const struct gmfs_loader *l)
{
	u32 nr = gmfs_absent_records(l->t), i;
	struct inode *inode = NULL;
	struct gmfs_absence absence;
	int err = 0;

	for (i = 0; i < nr && !err; i++) {
		gmfs_absent_read(l->t, i, &absence);
		/* Records of a file are beside each other. */
		if (absence.ino && (!inode || inode->i_ino != absence.ino)) {
			iput(inode);
			inode = ilookup(l->sb, absence.ino);
		}
		if (absence.ino && inode)
			err = gmfs_absent_load(inode, &absence);
		cond_resched();
	}
	iput(inode);
	return err;
}

/*
 * After an error: the next mount must not find pins and absent pages of orphans that have become
 * free here.
 */
static void gmfs_load_keep_pins(const struct gmfs_loader *l)
{
	u64 frame = 0;
	u32 nr = 0;

	if (!l->t->read_only)
		gmfs_absent_unwrite(l->t);
	while (!l->t->read_only && l->t->persist->loaded &&
	       gmfs_persist_write(l->t, &frame, &nr))
		cond_resched();
}

static int gmfs_load_checked(struct gmfs_loader *l)
{
	struct gmfs_pool *pool = GUESTMEMFS_SB(l->sb);
	u32 used = le32_to_cpu(l->t->super->live.used_inodes);
	int err;

	err = gmfs_load_begins(l);
	if (err)
		return err;
	err = -ENOMEM;
	l->dentries = gmfs_calloc(used, sizeof(*l->dentries));
	l->below = gmfs_calloc(used, sizeof(*l->below));
	pool->zeroing = gmfs_calloc(BITS_TO_LONGS(l->t->capacity), sizeof(*pool->zeroing));
	if (l->dentries && l->below && pool->zeroing)
		err = gmfs_alloc_init(l->t);
	/* Nothing is free before the poisoned frames and the pins of earlier kernels are known. */
	if (!err)
		gmfs_load_poison(l);
	if (!err)
		err = gmfs_load_pins(l);
	if (!err)
		err = gmfs_load_detached(l);
	if (!err && !l->t->read_only)
		gmfs_load_keep_poison(l);
	if (!err && !l->t->read_only)
		err = gmfs_load_free_orphans(l);
	if (!err && !l->t->read_only)
		gmfs_load_settle(l);
	if (!err)
		err = gmfs_load_tree(l);
	if (!err)
		err = gmfs_load_absent(l);
	if (err)
		gmfs_load_keep_pins(l);
	kvfree(l->below);
	kvfree(l->dentries);
	kvfree(l->begins);
	return err;
}

/* The metadata must describe this pool, and exactly the ranges that were carved out for it. */
static int gmfs_load_check(struct gmfs_pool *pool, struct gmfs_index *index)
{
	struct gmfs_complaint c = {};
	int err;

	err = gmfs_format_open(&pool->tables, pool->meta, pool->meta_base, pool->meta_size, &c);
	/* For gmfs_unload(), also after an error: gmfs_format_open() has cleared all of this. */
	gmfs_map_init(&pool->tables.detached);
	pool->tables.pins = &pool->pins;
	pool->tables.persist = &pool->persist;
	pool->tables.poisoned = &pool->poisoned;
	if (!err)
		err = gmfs_format_is(&pool->tables, pool->uuid.b, pool->ranges, pool->nr_ranges,
				     &c);
	if (!err)
		err = gmfs_check(&pool->tables, index, &c);
	if (err == -EUCLEAN)
		pr_err("node %d: %s, entry %llu: %s; not mounted, memory stays reserved\n",
		       pool->node, c.table, c.entry, c.what);
	return err;
}

/**
 * gmfs_load - check a pool and load its files
 * @sb: the superblock; its s_root is set here
 * @fc: the context of the mount, with the options for security modules
 *
 * Context: no other user of the pool exists yet.
 * Return: 0; -EUCLEAN if the tables are damaged (nothing is changed, and the log names the
 * table and the entry), -ENOMEM, -EBUSY (a kexec has begun), or an error of a security module.
 * After an error the caller must call gmfs_alloc_exit().
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
	if (!err && !l.t->read_only) {
		l.t->super->live.hops = cpu_to_le32(pool->hops);
		gmfs_persist_unwrite(l.t);
		gmfs_absent_unwrite(l.t);
		gmfs_forget_unzeroed(l.t);
	}
	pool->sb = sb;
	pool->loaded = !err;
	gmfs_pool_end(pool);
	return err;
}
