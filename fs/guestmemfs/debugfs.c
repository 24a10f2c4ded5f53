// SPDX-License-Identifier: GPL-2.0-only
/*
 * The metadata of each pool in debugfs, in binary form, for guestmemfs-dump.
 */
#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/init.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "internal.h"

#define GMFS_TABLES_CHUNK	SZ_64K

/*
 * Copies through a buffer, without gmfs_pool.lock in copy_to_user(): @to may be in a mapping
 * of a file of this pool, whose faults take that lock. The data of one read() is consistent,
 * that of several need not be.
 */
static ssize_t gmfs_tables_read(struct file *file, char __user *to, size_t count, loff_t *pos)
{
	struct gmfs_pool *pool = file_inode(file)->i_private;
	size_t left;
	void *buf;

	if (READ_ONCE(pool->meta_error))
		return -EIO;
	if (*pos < 0 || *pos >= pool->meta_size || !count)
		return 0;
	count = min3(count, (size_t)GMFS_TABLES_CHUNK, (size_t)(pool->meta_size - *pos));
	buf = kvmalloc(count, GFP_KERNEL);
	if (!buf)
		return -ENOMEM;
	scoped_guard(mutex, &pool->lock)
		memcpy(buf, pool->meta + *pos, count);
	left = copy_to_user(to, buf, count);
	kvfree(buf);
	if (left == count)
		return -EFAULT;
	*pos += count - left;
	return count - left;
}

static const struct file_operations gmfs_tables_fops = {
	.owner	= THIS_MODULE,
	.read	= gmfs_tables_read,
	.llseek	= default_llseek,
};

static int __init gmfs_debugfs_init(void)
{
	struct dentry *root, *dir;
	struct gmfs_pool *pool;
	char name[16];

	if (list_empty(&gmfs_pools))
		return 0;
	root = debugfs_create_dir("guestmemfs", NULL);
	list_for_each_entry(pool, &gmfs_pools, list) {
		/* A pool that was refused at boot has none; one whose mount is refused has. */
		if (!pool->meta)
			continue;
		snprintf(name, sizeof(name), "node%d", pool->node);
		dir = debugfs_create_dir(name, root);
		debugfs_create_file("tables", 0400, dir, pool, &gmfs_tables_fops);
	}
	return 0;
}
late_initcall(gmfs_debugfs_init);
