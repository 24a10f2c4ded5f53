// SPDX-License-Identifier: GPL-2.0-only
/*
 * The list of the machine's pools. It does not change after early boot.
 */
#define pr_fmt(fmt) "guestmemfs: " fmt

#include <linux/export.h>
#include <linux/fs.h>
#include <linux/guestmemfs.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/memblock.h>
#include <linux/nodemask.h>
#include <linux/sort.h>

#include <asm/guestmemfs.h>

#include "internal.h"

LIST_HEAD(gmfs_pools);

/**
 * gmfs_pool_new - allocate a struct gmfs_pool, for a pool that has no memory yet
 * @node: NUMA node
 *
 * Return: the pool, or NULL with a line in the log.
 */
struct gmfs_pool * __init gmfs_pool_new(int node)
{
	struct gmfs_pool *pool = memblock_alloc(sizeof(*pool), SMP_CACHE_BYTES);

	if (!pool) {
		pr_err("node %d: no memory to describe a pool\n", node);
		return NULL;
	}
	pool->node = node;
	INIT_LIST_HEAD(&pool->kept);
	INIT_LIST_HEAD(&pool->leftovers);
	INIT_LIST_HEAD(&pool->failures);
	INIT_LIST_HEAD(&pool->claims);
	gmfs_pins_init(&pool->pins);
	gmfs_persist_init(&pool->persist);
	gmfs_poisoned_init(&pool->poisoned);
	gmfs_map_init(&pool->tables.detached);
	init_rwsem(&pool->changes);
	mutex_init(&pool->lock);
	seqcount_mutex_init(&pool->ranges_seq, &pool->lock);
	mutex_init(&pool->absent_lock);
	xa_init(&pool->punched);
	for (int i = 0; i < GMFS_ABSENT_LOCKS; i++)
		mutex_init(&pool->absent_locks[i]);
	mutex_init(&pool->scrub.change);
	spin_lock_init(&pool->scrub.lock);
	init_waitqueue_head(&pool->scrub.wait);
	init_waitqueue_head(&pool->scrub.rests);
	return pool;
}

static int __init gmfs_cmp_ranges(const void *a, const void *b)
{
	const struct gmfs_range *x = a, *y = b;

	return x->base < y->base ? -1 : 1;
}

/**
 * gmfs_ranges_sort - sort and number the ranges of a pool that gets new metadata
 * @pool: the pool
 */
void __init gmfs_ranges_sort(struct gmfs_pool *pool)
{
	sort(pool->ranges, pool->nr_ranges, sizeof(pool->ranges[0]), gmfs_cmp_ranges, NULL);
	gmfs_ranges_number(pool->ranges, pool->nr_ranges);
}

/**
 * gmfs_pool_add - add a pool to the list
 * @pool: the pool, whose metadata does not move after this
 */
void __init gmfs_pool_add(struct gmfs_pool *pool)
{
	u64 bytes = gmfs_pool_size(pool);

	list_add_tail(&pool->list, &gmfs_pools);
	pr_info("node %d: %llu MiB in %u ranges %s, %llu KiB of metadata\n", pool->node,
		bytes >> 20, pool->nr_ranges, pool->hops ? "handed over" : "taken",
		pool->meta_size >> 10);
}

/**
 * gmfs_pool_reserve_e820 - mark a pool's memory as reserved in the firmware's memory map
 * @pool: the pool
 *
 * Return: false if the map has no room for that.
 */
bool __init gmfs_pool_reserve_e820(const struct gmfs_pool *pool)
{
	bool hidden = !pool->meta_size ||
		      arch_guestmemfs_reserve_e820(pool->meta_base, pool->meta_size);

	for (u32 i = 0; i < pool->nr_ranges; i++)
		hidden &= arch_guestmemfs_reserve_e820(pool->ranges[i].base, pool->ranges[i].size);
	return hidden;
}

/**
 * gmfs_pool_cpus - the node whose processors are near a pool
 * @pool: the pool
 *
 * Return: its node, or NUMA_NO_NODE if this kernel does not have the node (the pool was handed
 * over).
 */
int gmfs_pool_cpus(const struct gmfs_pool *pool)
{
	if ((u32)pool->node < MAX_NUMNODES && node_online(pool->node))
		return pool->node;
	return NUMA_NO_NODE;
}

/**
 * gmfs_pool_find - find the pool of a node
 * @node: NUMA node
 *
 * Return: the pool, which is never freed, or NULL.
 */
struct gmfs_pool *gmfs_pool_find(int node)
{
	struct gmfs_pool *pool;

	list_for_each_entry(pool, &gmfs_pools, list)
		if (pool->node == node)
			return pool;
	return NULL;
}

/**
 * gmfs_pool_of - find the pool of a directory in sysfs
 * @kobj: the directory
 *
 * Takes no lock or reference: pools and their directories are never freed.
 *
 * Return: the pool.
 */
struct gmfs_pool *gmfs_pool_of(const struct kobject *kobj)
{
	struct gmfs_pool *pool;

	list_for_each_entry(pool, &gmfs_pools, list)
		if (pool->kobj == kobj)
			return pool;
	return NULL;
}

/**
 * gmfs_pool_only - the pool that is meant when no node is named
 *
 * Return: the pool if there is exactly one, else NULL.
 */
struct gmfs_pool *gmfs_pool_only(void)
{
	return list_is_singular(&gmfs_pools) ?
	       list_first_entry(&gmfs_pools, struct gmfs_pool, list) : NULL;
}

/**
 * gmfs_pool_get_sb - get a reference to the superblock of a pool
 * @pool: the pool
 *
 * Context: process context, without gmfs_pool.lock.
 * Return: the superblock, to be released by deactivate_super(), or NULL if the pool is not mounted.
 */
struct super_block *gmfs_pool_get_sb(struct gmfs_pool *pool)
{
	guard(mutex)(&pool->lock);
	if (!pool->loaded || !atomic_inc_not_zero(&pool->sb->s_active))
		return NULL;
	return pool->sb;
}

/**
 * gmfs_pool_names - list the nodes that have pools, for a message
 * @buf: buffer for the list
 * @size: bytes of @buf
 *
 * Return: the number of pools.
 */
int gmfs_pool_names(char *buf, size_t size)
{
	struct gmfs_pool *pool;
	int nr = 0, len = 0;

	*buf = '\0';
	list_for_each_entry(pool, &gmfs_pools, list)
		len += scnprintf(buf + len, size - len, "%s%d", nr++ ? "," : "", pool->node);
	return nr;
}

/**
 * gmfs_pool_size - the amount of guest memory of a pool
 * @pool: the pool
 *
 * Context: process context.
 * Return: bytes.
 */
u64 gmfs_pool_size(const struct gmfs_pool *pool)
{
	unsigned int seq;
	u64 size;

	do {
		seq = read_seqcount_begin(&pool->ranges_seq);
		size = 0;
		for (u32 i = 0; i < pool->nr_ranges; i++)
			size += pool->ranges[i].size;
	} while (read_seqcount_retry(&pool->ranges_seq, seq));
	return size;
}

/**
 * gmfs_pool_frame - find the number of a frame
 * @pool: the pool
 * @phys: an address in the frame
 *
 * Context: process context.
 * Return: the number, %U64_MAX if the frame is not one of the pool's.
 */
u64 gmfs_pool_frame(const struct gmfs_pool *pool, u64 phys)
{
	unsigned int seq;
	u64 frame;

	do {
		seq = read_seqcount_begin(&pool->ranges_seq);
		frame = gmfs_ranges_frame(pool->ranges, pool->nr_ranges, phys);
	} while (read_seqcount_retry(&pool->ranges_seq, seq));
	return frame;
}

/**
 * gmfs_pool_phys - find the address of a frame
 * @pool: the pool
 * @frame: the number of the frame
 *
 * Context: process context.
 * Return: its physical address, %U64_MAX if the pool has no such frame.
 */
u64 gmfs_pool_phys(const struct gmfs_pool *pool, u64 frame)
{
	unsigned int seq;
	u64 phys;

	do {
		seq = read_seqcount_begin(&pool->ranges_seq);
		phys = gmfs_ranges_phys(pool->ranges, pool->nr_ranges, frame);
	} while (read_seqcount_retry(&pool->ranges_seq, seq));
	return phys;
}

/**
 * gmfs_pool_set_ranges - take over the range table after a change
 * @pool: the pool, which is mounted; its lock is held
 */
void gmfs_pool_set_ranges(struct gmfs_pool *pool)
{
	write_seqcount_begin(&pool->ranges_seq);
	gmfs_resize_ranges(&pool->tables, pool->ranges, &pool->nr_ranges);
	write_seqcount_end(&pool->ranges_seq);
}

static bool gmfs_overlaps(u64 a, u64 a_size, u64 b, u64 b_size)
{
	return a < b ? b - a < a_size && b_size : a - b < b_size && a_size;
}

static bool gmfs_pool_has(const struct gmfs_pool *pool, u64 start, u64 size)
{
	unsigned int seq;
	bool has;

	do {
		seq = read_seqcount_begin(&pool->ranges_seq);
		has = false;
		for (u32 i = 0; i < pool->nr_ranges; i++)
			has |= gmfs_overlaps(start, size, pool->ranges[i].base,
					     pool->ranges[i].size);
	} while (read_seqcount_retry(&pool->ranges_seq, seq));
	return has;
}

/**
 * guestmemfs_has_range - does a range overlap the memory of a pool
 * @start: physical address
 * @size: bytes
 *
 * Context: process context; the list of pools does not change after early boot. Guest memory may
 * come and go, see resize.c.
 * Return: true for guest memory and metadata, also of a pool that is refused.
 */
bool guestmemfs_has_range(phys_addr_t start, u64 size)
{
	struct gmfs_pool *pool;

	list_for_each_entry(pool, &gmfs_pools, list)
		if (gmfs_overlaps(start, size, pool->meta_base, pool->meta_size) ||
		    gmfs_pool_has(pool, start, size))
			return true;
	return false;
}

/**
 * guestmemfs_next_range - find guest memory by address
 * @from: physical address
 * @base: filled in with the first address of the range
 * @end: filled in with the address after the last one
 * @nid: filled in with the NUMA node
 *
 * For what has to know at boot which memory will be guests', see TDX.
 *
 * Context: before user space, which can resize pools.
 * Return: true if there is a range that begins at @from or behind it; the first one.
 */
bool guestmemfs_next_range(phys_addr_t from, phys_addr_t *base, phys_addr_t *end, int *nid)
{
	const struct gmfs_range *r;
	struct gmfs_pool *pool;
	bool found = false;
	u32 i;

	list_for_each_entry(pool, &gmfs_pools, list)
		for (i = 0; i < pool->nr_ranges; i++) {
			r = &pool->ranges[i];
			if (r->base < from || (found && r->base >= *base))
				continue;
			*base = r->base;
			*end = r->base + r->size;
			*nid = pool->node;
			found = true;
		}
	return found;
}

/**
 * guestmemfs_has_memory - does an address belong to a pool
 * @phys: physical address
 *
 * Context: as guestmemfs_has_range().
 * Return: true for guest memory and metadata, also of a pool that is refused.
 */
bool guestmemfs_has_memory(phys_addr_t phys)
{
	return guestmemfs_has_range(phys, 1);
}
EXPORT_SYMBOL_GPL(guestmemfs_has_memory);
