// SPDX-License-Identifier: GPL-2.0-only
/*
 * /sys/fs/guestmemfs: properties of each pool and, while it is mounted, how much of it is in
 * use. Documentation/ABI/testing/sysfs-fs-guestmemfs describes the files.
 */
#define pr_fmt(fmt) "guestmemfs: " fmt

#include <linux/bitmap.h>
#include <linux/fs.h>
#include <linux/init.h>
#include <linux/kobject.h>
#include <linux/kstrtox.h>
#include <linux/sched/signal.h>
#include <linux/sysfs.h>

#include "internal.h"

static ssize_t size_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%llu\n", gmfs_pool_size(gmfs_pool_of(kobj)));
}

/* A new size, or a difference that begins with a sign. */
static ssize_t size_store(struct kobject *kobj, struct kobj_attribute *attr, const char *buf,
			  size_t count)
{
	return gmfs_resize(gmfs_pool_of(kobj), buf) ?: count;
}

static struct kobj_attribute gmfs_attr_size = __ATTR_RW(size);

static ssize_t resized_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return gmfs_resized_show(gmfs_pool_of(kobj), buf);
}

static struct kobj_attribute gmfs_attr_resized = __ATTR_RO(resized);

static ssize_t metadata_size_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%llu\n", gmfs_pool_of(kobj)->meta_size);
}

static struct kobj_attribute gmfs_attr_metadata_size = __ATTR_RO(metadata_size);

static ssize_t uuid_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%pU\n", &gmfs_pool_of(kobj)->uuid);
}

static struct kobj_attribute gmfs_attr_uuid = __ATTR_RO(uuid);

static ssize_t kexecs_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", gmfs_pool_of(kobj)->hops);
}

static struct kobj_attribute gmfs_attr_kexecs = __ATTR_RO(kexecs);

static ssize_t refused_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%s\n", gmfs_pool_of(kobj)->refused ?: "no");
}

static struct kobj_attribute gmfs_attr_refused = __ATTR_RO(refused);

/* Also without a mount: a pin outlives it. */
static ssize_t pinned_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	u64 frames = READ_ONCE(gmfs_pool_of(kobj)->pins.frames);

	return sysfs_emit(buf, "%llu\n", frames << PAGE_SHIFT);
}

static struct kobj_attribute gmfs_attr_pinned = __ATTR_RO(pinned);

/* Also without a mount, but not before the first one: it reads the tables. */
static ssize_t persistent_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	u64 frames = READ_ONCE(gmfs_pool_of(kobj)->persist.frames);

	return sysfs_emit(buf, "%llu\n", frames << PAGE_SHIFT);
}

static struct kobj_attribute gmfs_attr_persistent = __ATTR_RO(persistent);

/* Persistent pins of the previous kernel that have neither ended nor been renewed. */
static ssize_t inherited_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	u64 frames = READ_ONCE(gmfs_pool_of(kobj)->persist.inherited);

	return sysfs_emit(buf, "%llu\n", frames << PAGE_SHIFT);
}

static struct kobj_attribute gmfs_attr_inherited = __ATTR_RO(inherited);

/* Also without a mount: an error may come at any time. Before the first one, of this boot alone. */
static ssize_t poisoned_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	u64 frames = READ_ONCE(gmfs_pool_of(kobj)->poisoned.nr);

	return sysfs_emit(buf, "%llu\n", frames << PAGE_SHIFT);
}

static struct kobj_attribute gmfs_attr_poisoned = __ATTR_RO(poisoned);

/* As many addresses as fit, and a line with dots if there are more. */
static ssize_t poisoned_frames_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	const struct gmfs_pool *pool = gmfs_pool_of(kobj);
	const int room = sizeof("0x1234567890123456\n...\n");
	u64 frame;
	int len = 0;

	for (frame = 0;; frame++) {
		frame = gmfs_poisoned_next(&pool->poisoned, frame, U64_MAX);
		if (frame == U64_MAX)
			return len;
		if (len > PAGE_SIZE - room)
			return len + sysfs_emit_at(buf, len, "...\n");
		len += sysfs_emit_at(buf, len, "%#llx\n", gmfs_pool_phys(pool, frame));
	}
}

/* Physical addresses are for root alone. */
static struct kobj_attribute gmfs_attr_poisoned_frames = __ATTR_RO_MODE(poisoned_frames, 0400);

static ssize_t zero_threads_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", READ_ONCE(gmfs_pool_of(kobj)->scrub.threads));
}

static ssize_t zero_threads_store(struct kobject *kobj, struct kobj_attribute *attr,
				  const char *buf, size_t count)
{
	u32 nr;

	return kstrtou32(buf, 0, &nr) ?: gmfs_scrub_set_threads(gmfs_pool_of(kobj), nr) ?: count;
}

static struct kobj_attribute gmfs_attr_zero_threads = __ATTR_RW(zero_threads);

static ssize_t zero_rate_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%llu\n", READ_ONCE(gmfs_pool_of(kobj)->scrub.rate));
}

static ssize_t zero_rate_store(struct kobject *kobj, struct kobj_attribute *attr,
			       const char *buf, size_t count)
{
	u64 rate;

	return kstrtou64(buf, 0, &rate) ?: gmfs_scrub_set_rate(gmfs_pool_of(kobj), rate) ?: count;
}

static struct kobj_attribute gmfs_attr_zero_rate = __ATTR_RW(zero_rate);

static ssize_t zero_helpers_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", READ_ONCE(gmfs_pool_of(kobj)->scrub.helpers));
}

static ssize_t zero_helpers_store(struct kobject *kobj, struct kobj_attribute *attr,
				  const char *buf, size_t count)
{
	u32 nr;
	int err = kstrtou32(buf, 0, &nr);

	if (err)
		return err;
	if (nr > GMFS_SCRUBBERS)
		return -EINVAL;
	WRITE_ONCE(gmfs_pool_of(kobj)->scrub.helpers, nr);
	return count;
}

static struct kobj_attribute gmfs_attr_zero_helpers = __ATTR_RW(zero_helpers);

static const struct attribute * const gmfs_pool_attrs[] = {
	&gmfs_attr_size.attr,
	&gmfs_attr_resized.attr,
	&gmfs_attr_metadata_size.attr,
	&gmfs_attr_uuid.attr,
	&gmfs_attr_kexecs.attr,
	&gmfs_attr_refused.attr,
	&gmfs_attr_pinned.attr,
	&gmfs_attr_persistent.attr,
	&gmfs_attr_inherited.attr,
	&gmfs_attr_poisoned.attr,
	&gmfs_attr_poisoned_frames.attr,
	&gmfs_attr_zero_threads.attr,
	&gmfs_attr_zero_rate.attr,
	&gmfs_attr_zero_helpers.attr,
	NULL
};

static ssize_t free_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	struct gmfs_pool *pool = gmfs_pool_of(kobj);

	guard(mutex)(&pool->lock);
	return sysfs_emit(buf, "%llu\n", (u64)pool->tables.free_blocks << GUESTMEMFS_BLOCK_SHIFT);
}

static struct kobj_attribute gmfs_attr_free = __ATTR_RO(free);

static ssize_t reserved_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	struct gmfs_pool *pool = gmfs_pool_of(kobj);

	guard(mutex)(&pool->lock);
	return sysfs_emit(buf, "%llu\n",
			  (u64)pool->tables.promised_blocks << GUESTMEMFS_BLOCK_SHIFT);
}

static struct kobj_attribute gmfs_attr_reserved = __ATTR_RO(reserved);

static ssize_t detached_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	struct gmfs_pool *pool = gmfs_pool_of(kobj);

	guard(mutex)(&pool->lock);
	return sysfs_emit(buf, "%llu\n", pool->tables.detached.blocks << GUESTMEMFS_BLOCK_SHIFT);
}

static struct kobj_attribute gmfs_attr_detached = __ATTR_RO(detached);

/* Free or not. Blocks are zeroed without gmfs_pool.lock, so this is out of date at once. */
static ssize_t unzeroed_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	const struct gmfs_tables *t = &gmfs_pool_of(kobj)->tables;
	u64 blocks = bitmap_weight(t->unzeroed, READ_ONCE(t->nr_blocks));

	return sysfs_emit(buf, "%llu\n", blocks << GUESTMEMFS_BLOCK_SHIFT);
}

static struct kobj_attribute gmfs_attr_unzeroed = __ATTR_RO(unzeroed);

static ssize_t lost_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	struct gmfs_pool *pool = gmfs_pool_of(kobj);
	bool more = true;
	u64 frame = 0;
	u32 lost = 0;

	while (more) {
		if (fatal_signal_pending(current))
			return -EINTR;
		scoped_guard(mutex, &pool->lock)
			more = gmfs_poison_lost(&pool->tables, &frame, &lost);
		cond_resched();
	}
	return sysfs_emit(buf, "%llu\n", (u64)lost << GUESTMEMFS_BLOCK_SHIFT);
}

static struct kobj_attribute gmfs_attr_lost = __ATTR_RO(lost);

static ssize_t largest_free_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	struct gmfs_pool *pool = gmfs_pool_of(kobj);
	u64 blocks;

	/* A resize changes the range table. */
	scoped_guard(mutex, &pool->lock)
		blocks = gmfs_largest_free(&pool->tables);
	return sysfs_emit(buf, "%llu\n", blocks << GUESTMEMFS_BLOCK_SHIFT);
}

static struct kobj_attribute gmfs_attr_largest_free = __ATTR_RO(largest_free);

static ssize_t free_gigabytes_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", gmfs_full_groups(&gmfs_pool_of(kobj)->tables));
}

static struct kobj_attribute gmfs_attr_free_gigabytes = __ATTR_RO(free_gigabytes);

/* How much the pool can grow by, as far as its tables go. */
static ssize_t room_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	struct gmfs_pool *pool = gmfs_pool_of(kobj);
	const struct gmfs_tables *t = &pool->tables;

	guard(mutex)(&pool->lock);
	return sysfs_emit(buf, "%llu\n",
			  (u64)(t->capacity - t->total_blocks) << GUESTMEMFS_BLOCK_SHIFT);
}

static struct kobj_attribute gmfs_attr_room = __ATTR_RO(room);

/* Entry 0 of the inode table is never used. */
static u32 gmfs_pool_inodes(const struct gmfs_pool *pool)
{
	return pool->tables.nr_inodes - GUESTMEMFS_ROOT_INO;
}

static ssize_t inodes_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", gmfs_pool_inodes(gmfs_pool_of(kobj)));
}

static struct kobj_attribute gmfs_attr_inodes = __ATTR_RO(inodes);

static ssize_t files_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	struct gmfs_pool *pool = gmfs_pool_of(kobj);

	guard(mutex)(&pool->lock);
	return sysfs_emit(buf, "%u\n", gmfs_pool_inodes(pool) - pool->tables.free_inodes);
}

static struct kobj_attribute gmfs_attr_files = __ATTR_RO(files);

/* For mounted pools only: the tables are not checked before that. */
static const struct attribute * const gmfs_mounted_attrs[] = {
	&gmfs_attr_free.attr,
	&gmfs_attr_reserved.attr,
	&gmfs_attr_detached.attr,
	&gmfs_attr_lost.attr,
	&gmfs_attr_unzeroed.attr,
	&gmfs_attr_largest_free.attr,
	&gmfs_attr_free_gigabytes.attr,
	&gmfs_attr_inodes.attr,
	&gmfs_attr_files.attr,
	&gmfs_attr_room.attr,
	NULL
};

/**
 * gmfs_sysfs_mounted - add the files that a pool has while it is mounted
 * @pool: the pool, whose tables are loaded
 *
 * Return: 0, or an errno with no file added.
 */
int gmfs_sysfs_mounted(struct gmfs_pool *pool)
{
	return pool->kobj ? sysfs_create_files(pool->kobj, gmfs_mounted_attrs) : 0;
}

/**
 * gmfs_sysfs_unmounted - undo gmfs_sysfs_mounted(), if it has been called
 * @pool: the pool
 *
 * Context: before the tables are unloaded. Without gmfs_pool.lock: this waits for readers of
 * the files, which take that lock.
 */
void gmfs_sysfs_unmounted(struct gmfs_pool *pool)
{
	if (pool->kobj)
		sysfs_remove_files(pool->kobj, gmfs_mounted_attrs);
}

static ssize_t handover_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	const char *why = gmfs_handover_off();

	return why ? sysfs_emit(buf, "no: %s\n", why) : sysfs_emit(buf, "yes\n");
}

static struct kobj_attribute gmfs_attr_handover = __ATTR_RO(handover);

static ssize_t format_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%s\n", gmfs_handover_format());
}

static struct kobj_attribute gmfs_attr_format = __ATTR_RO(format);

static const struct attribute * const gmfs_root_attrs[] = {
	&gmfs_attr_handover.attr,
	&gmfs_attr_format.attr,
	NULL
};

static void __init gmfs_sysfs_add(struct gmfs_pool *pool, struct kobject *root)
{
	char name[16];

	snprintf(name, sizeof(name), "node%d", pool->node);
	pool->kobj = kobject_create_and_add(name, root);
	if (!pool->kobj || sysfs_create_files(pool->kobj, gmfs_pool_attrs))
		pr_warn("node %d: not in sysfs, no memory\n", pool->node);
}

/* Before user space can mount a pool. The files handover and format exist without pools, too. */
static int __init gmfs_sysfs_init(void)
{
	struct kobject *root = kobject_create_and_add("guestmemfs", fs_kobj);
	struct gmfs_pool *pool;

	if (!root)
		return -ENOMEM;
	if (sysfs_create_files(root, gmfs_root_attrs))
		pr_warn("handover and format not in sysfs, no memory\n");
	list_for_each_entry(pool, &gmfs_pools, list)
		gmfs_sysfs_add(pool, root);
	return 0;
}
fs_initcall(gmfs_sysfs_init);
