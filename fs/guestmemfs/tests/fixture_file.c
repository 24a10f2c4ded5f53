// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fixture for tests of functions that take an inode: one file in a private superblock, whose
 * pool has real metadata but no memory.
 */
#include <kunit/resource.h>
#include <linux/falloc.h>
#include <linux/file.h>
#include <linux/gmem_provider.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <linux/pagemap.h>
#include <linux/pseudo_fs.h>

#include "fixture_file.h"

/* Beyond the memory of the machine, so blocks must not be zeroed; see gmfs_test_hold(). */
static const struct gmfs_range range = { 1ULL << 40, SZ_1G };

static void gmfs_test_evict_inode(struct inode *inode)
{
	if (S_ISREG(inode->i_mode)) {
		guestmemfs_evict_inode(inode);
		return;
	}
	truncate_inode_pages_final(&inode->i_data);
	clear_inode(inode);
}

static const struct super_operations gmfs_test_super_operations = {
	.alloc_inode	= guestmemfs_alloc_inode,
	.free_inode	= guestmemfs_free_inode,
	.drop_inode	= inode_just_drop,
	.evict_inode	= gmfs_test_evict_inode,
};

static int gmfs_test_init_fs_context(struct fs_context *fc)
{
	struct pseudo_fs_context *ctx = init_pseudo(fc, GUESTMEMFS_MAGIC);

	if (!ctx)
		return -ENOMEM;
	ctx->ops = &gmfs_test_super_operations;
	return 0;
}

/* Not registered, so user space cannot mount it. */
static struct file_system_type gmfs_test_fs_type = {
	.name			= "guestmemfs_test_file",
	.init_fs_context	= gmfs_test_init_fs_context,
	.kill_sb		= kill_anon_super,
};

static void gmfs_test_file_end(void *data)
{
	struct gmfs_test_file *t = data;

	/* A test that failed may have left the inode's map here, which the eviction frees. */
	t->p->map[0] = &t->p->maps[0];
	if (t->file)
		fput(t->file);
	flush_delayed_fput();
	kern_unmount(t->mnt);
	/* A block with a poisoned frame stays detached for ever. */
	gmfs_map_destroy(&t->pool.tables.detached);
	__mt_destroy(&t->pool.poisoned.frames);
}

struct gmfs_test_file *gmfs_test_begin(struct kunit *test)
{
	struct gmfs_test_file *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, t);
	t->p = gmfs_test_pool(test, &range, 1);
	t->pool.tables = t->p->t;
	t->pool.ranges[0] = range;
	t->pool.nr_ranges = 1;
	init_rwsem(&t->pool.changes);
	mutex_init(&t->pool.lock);
	seqcount_mutex_init(&t->pool.ranges_seq, &t->pool.lock);
	mutex_init(&t->pool.absent_lock);
	xa_init(&t->pool.punched);
	for (int i = 0; i < GMFS_ABSENT_LOCKS; i++)
		mutex_init(&t->pool.absent_locks[i]);
	spin_lock_init(&t->pool.scrub.lock);
	init_waitqueue_head(&t->pool.scrub.wait);
	t->pool.zeroing = kunit_kcalloc(test, BITS_TO_LONGS(t->p->t.capacity), sizeof(long),
					GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, t->pool.zeroing);
	INIT_LIST_HEAD(&t->pool.kept);
	INIT_LIST_HEAD(&t->pool.leftovers);
	gmfs_pins_init(&t->pool.pins);
	t->pool.tables.pins = &t->pool.pins;
	gmfs_persist_init(&t->pool.persist);
	t->pool.tables.persist = &t->pool.persist;
	gmfs_poisoned_init(&t->pool.poisoned);
	t->pool.tables.poisoned = &t->pool.poisoned;
	t->pool.loaded = true;
	t->mnt = kern_mount(&gmfs_test_fs_type);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, t->mnt);
	t->mnt->mnt_sb->s_fs_info = &t->pool;
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, gmfs_test_file_end, t), 0);
	t->inode = gmfs_inode_get(t->mnt->mnt_sb, t->p->ino[0]);
	KUNIT_ASSERT_NOT_NULL(test, t->inode);
	t->inode->i_flags |= S_NOCMTIME | S_NOSEC;
	i_size_write(t->inode, GMFS_TEST_FILE_BLOCKS * GMFS_BLOCK_SIZE);
	t->file = alloc_file_pseudo(t->inode, t->mnt, "held", O_RDWR | O_LARGEFILE,
				    &guestmemfs_file_operations);
	if (IS_ERR(t->file)) {
		iput(t->inode);
		t->file = NULL;
	}
	KUNIT_ASSERT_NOT_NULL(test, t->file);
	return t;
}

/* Pins pages. There is no memory to zero, so this marks all blocks as zeroed before. */
int gmfs_test_hold(struct gmfs_test_file *t, struct gmfs_pin **pin, pgoff_t first, pgoff_t last)
{
	bitmap_zero(t->pool.tables.unzeroed, t->pool.tables.nr_blocks);
	*pin = gmfs_pin_pages(t->file, first, last);
	return PTR_ERR_OR_ZERO(*pin);
}

/* Punches the blocks @first to @last - 1 of the file. */
long gmfs_test_punch(struct gmfs_test_file *t, u64 first, u64 last)
{
	return guestmemfs_fallocate(t->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				    first << GUESTMEMFS_BLOCK_SHIFT,
				    (last - first) << GUESTMEMFS_BLOCK_SHIFT);
}

static void gmfs_test_ignore(struct gmem_binding *b, pgoff_t start, pgoff_t end)
{
}

static int gmfs_test_make_private(struct gmem_binding *b, pgoff_t index, unsigned long pfn)
{
	return 0;
}

static const struct gmem_binding_ops gmfs_test_in_hardware_ops = {
	.invalidate_begin	= gmfs_test_ignore,
	.invalidate_end		= gmfs_test_ignore,
	.make_private		= gmfs_test_make_private,
};

static void gmfs_test_in_hardware_end(void *data)
{
	struct gmfs_test_file *t = data;

	filemap_invalidate_lock(t->inode->i_mapping);
	list_del(&t->in_hardware.node);
	filemap_invalidate_unlock(t->inode->i_mapping);
}

/*
 * Until the test ends, private frames of the file are reclaimed, since a guest has bound all of it
 * whose private frames are private in hardware. Other bindings do not conflict with this one.
 */
void gmfs_test_in_hardware(struct kunit *test, struct gmfs_test_file *t)
{
	t->in_hardware.end = ULONG_MAX;
	t->in_hardware.vm_id = U64_MAX;
	t->in_hardware.ops = &gmfs_test_in_hardware_ops;
	filemap_invalidate_lock(t->inode->i_mapping);
	list_add(&t->in_hardware.node, &GUESTMEMFS_I(t->inode)->bindings);
	filemap_invalidate_unlock(t->inode->i_mapping);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, gmfs_test_in_hardware_end, t), 0);
}
