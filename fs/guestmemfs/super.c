// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mounting a pool. A pool has one superblock, so the options of a mount apply to all mounts of
 * the pool. Only the initial user namespace can mount it, as the memory is the host's.
 */
#define pr_fmt(fmt) "guestmemfs: " fmt

#include <linux/ctype.h>
#include <linux/fs.h>
#include <linux/fs_context.h>
#include <linux/fs_parser.h>
#include <linux/gmem_provider.h>
#include <linux/init.h>
#include <linux/kstrtox.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <linux/seq_file.h>
#include <linux/sizes.h>
#include <linux/statfs.h>
#include <linux/string.h>
#include <linux/workqueue.h>

#include "gmem.h"
#include "internal.h"

/**
 * struct gmfs_context - the options of a mount
 * @node: NUMA node of the pool; %GMFS_ALL_NODES if none was named
 * @limits: how much of the pool may be used
 */
struct gmfs_context {
	u32 node;
	struct gmfs_limits limits;
};

enum {
	OPT_NODE,
	OPT_SIZE,
	OPT_NR_INODES,
};

static const struct fs_parameter_spec guestmemfs_parameters[] = {
	fsparam_u32("node",		OPT_NODE),
	fsparam_string("size",		OPT_SIZE),
	fsparam_string("nr_inodes",	OPT_NR_INODES),
	{}
};

static int gmfs_parse_node(struct fs_context *fc, u32 node)
{
	struct gmfs_context *ctx = fc->fs_private;

	/* A remount may repeat node=, but not change it. */
	if (fc->root && node != GUESTMEMFS_SB(fc->root->d_sb)->node)
		return invalfc(fc, "node= cannot be changed");
	/* GMFS_ALL_NODES means "not given": replace it by another number that no node has. */
	ctx->node = min(node, GMFS_ALL_NODES - 1);
	return 0;
}

static int guestmemfs_parse_param(struct fs_context *fc, struct fs_parameter *param)
{
	struct gmfs_limits *limits = &((struct gmfs_context *)fc->fs_private)->limits;
	struct fs_parse_result result;
	u32 percent;
	int opt;

	opt = fs_parse(fc, guestmemfs_parameters, param, &result);
	switch (opt) {
	case OPT_NODE:
		return gmfs_parse_node(fc, result.uint_32);
	case OPT_SIZE:
		if (gmfs_amount_parse(param->string, &limits->size, &limits->percent))
			return invalfc(fc, "bad value of size=");
		limits->has_size = true;
		return 0;
	case OPT_NR_INODES:
		if (gmfs_amount_parse(param->string, &limits->inodes, &percent) || percent)
			return invalfc(fc, "bad value of nr_inodes=");
		limits->has_inodes = true;
		return 0;
	default:
		return opt;
	}
}

/* @mounting: for a mount, which may not change a limit in force, as opposed to a remount. */
static int gmfs_set_limits(struct fs_context *fc, struct gmfs_pool *pool, bool mounting)
{
	const struct gmfs_context *ctx = fc->fs_private;
	const char *why;
	int err;

	guard(mutex)(&pool->lock);
	err = gmfs_limits_set(&pool->tables, &ctx->limits, mounting, &why);
	if (err)
		errorfc(fc, "%s", why);
	return err;
}

/* The node of a source like "node1", GMFS_ALL_NODES if the source has another form. */
static u32 gmfs_source_node(const char *source)
{
	u32 node;

	if (!source || strncmp(source, "node", 4) || !isdigit(source[4]) ||
	    kstrtou32(source + 4, 10, &node))
		return GMFS_ALL_NODES;
	return min(node, GMFS_ALL_NODES - 1);
}

static int guestmemfs_statfs(struct dentry *dentry, struct kstatfs *buf)
{
	struct gmfs_pool *pool = GUESTMEMFS_SB(dentry->d_sb);
	const struct gmfs_tables *t = &pool->tables;

	guard(mutex)(&pool->lock);
	buf->f_type = GUESTMEMFS_MAGIC;
	buf->f_bsize = GMFS_BLOCK_SIZE;
	buf->f_blocks = min(t->total_blocks, t->max_blocks ?: U32_MAX);
	buf->f_bfree = gmfs_blocks_free(t);
	buf->f_bavail = gmfs_blocks_left(t);
	/* Entry 0 of the inode table is never used. */
	buf->f_files = min(t->nr_inodes - 1, t->max_inodes ?: U32_MAX);
	buf->f_ffree = gmfs_inodes_left(t);
	buf->f_fsid = uuid_to_fsid(pool->uuid.b);
	buf->f_namelen = GUESTMEMFS_NAME_MAX;
	return 0;
}

/* The name of the pool for df and findmnt, whatever source was given to mount(2). */
static int guestmemfs_show_devname(struct seq_file *m, struct dentry *root)
{
	seq_printf(m, "node%d", GUESTMEMFS_SB(root->d_sb)->node);
	return 0;
}

static int guestmemfs_show_options(struct seq_file *m, struct dentry *root)
{
	const struct gmfs_pool *pool = GUESTMEMFS_SB(root->d_sb);
	u64 size = (u64)READ_ONCE(pool->tables.max_blocks) << GUESTMEMFS_BLOCK_SHIFT;
	u32 inodes = READ_ONCE(pool->tables.max_inodes);

	seq_printf(m, ",node=%d", pool->node);
	if (size)
		seq_printf(m, ",size=%lluk", size / SZ_1K);
	if (inodes)
		seq_printf(m, ",nr_inodes=%u", inodes);
	return 0;
}

/* Frees only the maps of leftovers: they are orphans in the tables, for the next mount. */
static void gmfs_unload(struct gmfs_pool *pool)
{
	bool write;

	gmfs_pool_drop_leftovers(pool, false);
	/*
	 * From here on pins do not end any more, and gmfs_pool_settle() frees nothing, for pins
	 * that outlive the mount. The pin table stays as it is after a freeze, which has written
	 * it, and if the tables were not loaded.
	 */
	down_read(&pool->changes);
	scoped_guard(mutex, &pool->lock) {
		write = pool->loaded && !pool->frozen;
		pool->loaded = false;
	}
	if (write)
		gmfs_pool_write_pins(pool);
	up_read(&pool->changes);
	gmfs_alloc_exit(&pool->tables);
	kvfree(pool->zeroing);
	pool->zeroing = NULL;
}

/* Unloads here, not after kill_anon_super(): by then a new mount may have loaded the pool. */
static void guestmemfs_put_super(struct super_block *sb)
{
	gmfs_unload(GUESTMEMFS_SB(sb));
}

static const struct super_operations guestmemfs_super_operations = {
	.alloc_inode	= guestmemfs_alloc_inode,
	.free_inode	= guestmemfs_free_inode,
	.dirty_inode	= guestmemfs_dirty_inode,
	.drop_inode	= inode_just_drop,
	.evict_inode	= guestmemfs_evict_inode,
	.put_super	= guestmemfs_put_super,
	.statfs		= guestmemfs_statfs,
	.show_options	= guestmemfs_show_options,
	.show_devname	= guestmemfs_show_devname,
};

static int guestmemfs_fill_super(struct super_block *sb, struct fs_context *fc)
{
	struct gmfs_pool *pool = GUESTMEMFS_SB(sb);
	int err;

	sb->s_maxbytes		= GMFS_MAX_LOGICAL << GUESTMEMFS_BLOCK_SHIFT;
	sb->s_blocksize		= GMFS_BLOCK_SIZE;
	sb->s_blocksize_bits	= GUESTMEMFS_BLOCK_SHIFT;
	sb->s_magic		= GUESTMEMFS_MAGIC;
	sb->s_op		= &guestmemfs_super_operations;
	sb->s_export_op		= &guestmemfs_export_operations;
	sb->s_xattr		= NULL;
	sb->s_time_gran		= 1;
	sb->s_d_flags		= 0;
	super_set_uuid(sb, pool->uuid.b, sizeof(pool->uuid));

	err = gmfs_load(sb, fc);
	if (!err && pool->tables.read_only) {
		pr_warn("node %d: read-only, for a feature that this kernel does not know\n",
			pool->node);
		sb->s_flags |= SB_RDONLY;
	}
	/* generic_shutdown_super() calls ->put_super() only if there is a root. */
	if (!sb->s_root)
		gmfs_unload(pool);
	err = err ?: gmfs_sysfs_mounted(pool);
	if (!err && !pool->tables.read_only)
		gmfs_scrub_start(pool);
	return err;
}

static int gmfs_no_such_pool(struct fs_context *fc, u32 node)
{
	char names[128];
	int nr = gmfs_pool_names(names, sizeof(names));

	if (!nr)
		errorfc(fc, "no pools on this machine; see guestmemfs= on the command line");
	else if (node == GMFS_ALL_NODES)
		errorfc(fc, "node= is needed, there are pools on nodes %s", names);
	else
		errorfc(fc, "no pool on node %u, there are pools on nodes %s", node, names);
	return nr && node == GMFS_ALL_NODES ? -EINVAL : -ENXIO;
}

static int guestmemfs_get_tree(struct fs_context *fc)
{
	const struct gmfs_context *ctx = fc->fs_private;
	u32 named = gmfs_source_node(fc->source);
	u32 node = ctx->node == GMFS_ALL_NODES ? named : ctx->node;
	struct gmfs_pool *pool;
	int err;

	if (named != GMFS_ALL_NODES && named != node)
		return invalfc(fc, "the source is %s, and node= is another one", fc->source);
	pool = node == GMFS_ALL_NODES ? gmfs_pool_only() : gmfs_pool_find(node);
	if (!pool)
		return gmfs_no_such_pool(fc, node);
	/* A pool that is mounted already stays as usable as it is. */
	scoped_guard(mutex, &pool->lock)
		if (!pool->refused && !pool->loaded && gmfs_meta_poisoned(pool))
			pool->refused = "its metadata has a memory error";
	if (pool->refused) {
		errorfc(fc, "pool of node %d refused: %s", pool->node, pool->refused);
		return -EUCLEAN;
	}
	err = get_tree_keyed(fc, guestmemfs_fill_super, pool);
	if (err)
		return err;
	err = gmfs_set_limits(fc, pool, true);
	if (err)
		fc_drop_locked(fc);
	else
		gmfs_handover_warn(pool);
	return err;
}

static int guestmemfs_reconfigure(struct fs_context *fc)
{
	struct gmfs_pool *pool = GUESTMEMFS_SB(fc->root->d_sb);

	if (pool->tables.read_only && fc->sb_flags_mask & SB_RDONLY &&
	    !(fc->sb_flags & SB_RDONLY)) {
		errorfc(fc, "a feature of the pool allows reading only");
		return -EROFS;
	}
	return gmfs_set_limits(fc, pool, false);
}

static void guestmemfs_free_fc(struct fs_context *fc)
{
	kfree(fc->fs_private);
}

static const struct fs_context_operations guestmemfs_context_ops = {
	.free		= guestmemfs_free_fc,
	.parse_param	= guestmemfs_parse_param,
	.get_tree	= guestmemfs_get_tree,
	.reconfigure	= guestmemfs_reconfigure,
};

static int guestmemfs_init_fs_context(struct fs_context *fc)
{
	struct gmfs_context *ctx = kzalloc_obj(*ctx);

	if (!ctx)
		return -ENOMEM;
	ctx->node = GMFS_ALL_NODES;
	fc->fs_private	= ctx;
	fc->ops		= &guestmemfs_context_ops;
	fc->s_iflags	|= SB_I_NOEXEC | SB_I_NODEV;
	return 0;
}

/*
 * The inodes have the absent pages, so that the records are written before gmfs_session_drop_all()
 * or kill_anon_super() evicts inodes. None of the evictions frees a block: a file without a name
 * that is still in memory is in a session.
 */
static void gmfs_write_punched(struct gmfs_pool *pool)
{
	down_read(&pool->changes);
	if (pool->loaded && !pool->frozen)
		gmfs_punched_write(pool);
	up_read(&pool->changes);
}

/* An unmount drops inodes and dentries only: the files stay in the pool's tables. */
static void guestmemfs_kill_sb(struct super_block *sb)
{
	struct gmfs_pool *pool = GUESTMEMFS_SB(sb);

	if (pool) {
		gmfs_sysfs_unmounted(pool);
		gmfs_scrub_stop(pool);
		gmfs_write_punched(pool);
		gmfs_session_drop_all(pool);
	}
	kill_anon_super(sb);
}

static struct file_system_type guestmemfs_fs_type = {
	.owner			= THIS_MODULE,
	.name			= "guestmemfs",
	.init_fs_context	= guestmemfs_init_fs_context,
	.parameters		= guestmemfs_parameters,
	.kill_sb		= guestmemfs_kill_sb,
	.fs_flags		= FS_ALLOW_IDMAP,
};

/**
 * struct gmfs_mount_work - a request to mount a pool in a worker
 * @work: queued on system_dfl_wq
 * @pool: the pool to mount
 * @mnt: the result, a mount or an ERR_PTR()
 */
struct gmfs_mount_work {
	struct work_struct work;
	struct gmfs_pool *pool;
	struct vfsmount *mnt;
};

static void gmfs_mount_worker(struct work_struct *work)
{
	struct gmfs_mount_work *w = container_of(work, struct gmfs_mount_work, work);
	struct fs_context *fc = fs_context_for_mount(&guestmemfs_fs_type, 0);

	if (IS_ERR(fc)) {
		w->mnt = ERR_CAST(fc);
		return;
	}
	((struct gmfs_context *)fc->fs_private)->node = w->pool->node;
	w->mnt = fc_mount(fc);
	put_fs_context(fc);
}

/**
 * gmfs_mount_pool - mount a pool internally, outside of all mount namespaces
 * @pool: the pool
 *
 * A worker mounts the pool, with the credentials of the kernel instead of the caller's. The
 * caller may also be a task that exits (and closes its sessions), which has no namespaces any
 * more.
 *
 * Context: process context.
 * Return: the mount, to be released by mntput(), or an ERR_PTR() with an error of mount(2).
 */
struct vfsmount *gmfs_mount_pool(struct gmfs_pool *pool)
{
	struct gmfs_mount_work w = { .pool = pool };

	INIT_WORK_ONSTACK(&w.work, gmfs_mount_worker);
	queue_work(system_dfl_wq, &w.work);
	flush_work(&w.work);
	destroy_work_on_stack(&w.work);
	return w.mnt;
}

static const struct gmfs_inode_kinds gmfs_inode_kinds = {
	.dir_inode	= &guestmemfs_dir_inode_operations,
	.dir		= &guestmemfs_dir_operations,
	.file_inode	= &guestmemfs_file_inode_operations,
	.file		= &guestmemfs_file_operations,
};

static struct gmem_resource guestmemfs_resource = {
	.fs	= &guestmemfs_fs_type,
	.open	= gmfs_gmem_resource_open,
};

static int __init guestmemfs_init(void)
{
	int err;

	gmem_resource_register(&guestmemfs_resource);
	err = gmfs_inode_cache_init(&gmfs_inode_kinds);
	return err ? err : register_filesystem(&guestmemfs_fs_type);
}
fs_initcall(guestmemfs_init);
