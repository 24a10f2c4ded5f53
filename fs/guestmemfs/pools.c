// SPDX-License-Identifier: GPL-2.0-only
/*
 * The list of the machine's pools. It does not change after early boot.
 */
#define pr_fmt(fmt) "guestmemfs: " fmt

#include <linux/export.h>
#include <linux/guestmemfs.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/memblock.h>

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
	gmfs_pins_init(&pool->pins);
	gmfs_persist_init(&pool->persist);
	gmfs_poisoned_init(&pool->poisoned);
	gmfs_map_init(&pool->tables.detached);
	init_rwsem(&pool->changes);
	mutex_init(&pool->lock);
	for (int i = 0; i < GMFS_ZERO_LOCKS; i++)
		mutex_init(&pool->zero_locks[i]);
	return pool;
}

/**
 * gmfs_pool_add - add a pool to the list
 * @pool: the pool, whose memory does not change after this
 */
void __init gmfs_pool_add(struct gmfs_pool *pool)
{
	u64 bytes = 0;

	for (u32 i = 0; i < pool->nr_ranges; i++)
		bytes += pool->ranges[i].size;
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

static bool gmfs_overlaps(u64 a, u64 a_size, u64 b, u64 b_size)
{
	return a < b ? b - a < a_size && b_size : a - b < b_size && a_size;
}

/**
 * guestmemfs_has_range - does a range overlap the memory of a pool
 * @start: physical address
 * @size: bytes
 *
 * Context: any; the list of pools does not change after early boot.
 * Return: true for guest memory and metadata, also of a pool that is refused.
 */
bool guestmemfs_has_range(phys_addr_t start, u64 size)
{
	struct gmfs_pool *pool;

	list_for_each_entry(pool, &gmfs_pools, list) {
		if (gmfs_overlaps(start, size, pool->meta_base, pool->meta_size))
			return true;
		for (u32 i = 0; i < pool->nr_ranges; i++)
			if (gmfs_overlaps(start, size, pool->ranges[i].base,
					  pool->ranges[i].size))
				return true;
	}
	return false;
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
