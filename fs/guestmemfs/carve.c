// SPDX-License-Identifier: GPL-2.0-only
/*
 * Cold boot: takes the memory of new pools from memblock, after the NUMA nodes are known and
 * before struct pages are made. revive.c keeps the pools that a previous kernel handed over.
 */
#define pr_fmt(fmt) "guestmemfs: " fmt

#include <linux/crash_dump.h>
#include <linux/guestmemfs.h>
#include <linux/init.h>
#include <linux/kexec_handover.h>
#include <linux/memblock.h>
#include <linux/mm.h>
#include <linux/sizes.h>

#include <asm/guestmemfs.h>

#include "boot.h"
#include "internal.h"
#include "room.h"

/*
 * Memory that pools leave to the host, whatever the command line asks for. On a small machine,
 * half of its memory if that is less.
 */
#define GMFS_HOST_MIN		SZ_1G
/* Upper bound of gmfs_low_limit(): low memory is left for 32-bit DMA and the like. */
#define GMFS_HOST_LOW		SZ_1G

/*
 * Address below which pools take nothing. Computed at the first call, while memblock still has
 * all memory.
 */
static u64 __init gmfs_low_limit(void)
{
	static u64 limit __initdata;
	unsigned long start, end;
	u64 low = 0;
	int i;

	if (limit)
		return limit;
	for_each_mem_pfn_range(i, NUMA_NO_NODE, &start, &end, NULL)
		low += min_t(u64, PFN_PHYS(end), SZ_4G) - min_t(u64, PFN_PHYS(start), SZ_4G);
	limit = min_t(u64, GMFS_HOST_LOW, low / 2);
	return limit;
}

/* Finds the highest free memory of a node, so that memory below 4 GiB is taken last. */
static bool __init gmfs_find_free(int node, u64 align, u64 most, struct gmfs_range *r)
{
	u64 limit = gmfs_low_limit();
	phys_addr_t start, end;
	u64 i;

	for_each_free_mem_range_reverse(i, node, MEMBLOCK_NONE, &start, &end, NULL) {
		start = round_up(max_t(u64, start, limit), align);
		end = round_down(end, align);
		if (start >= end)
			continue;
		r->size = min(end - start, most);
		r->base = end - r->size;
		return true;
	}
	return false;
}

/*
 * Removes a range from memblock. The range is reserved meanwhile: memblock may have to allocate
 * memory for its own list of regions, and must not take that from the range.
 */
static bool __init gmfs_forget(u64 base, u64 size)
{
	int err;

	err = memblock_reserve(base, size);
	if (err)
		return false;
	err = memblock_remove(base, size);
	memblock_phys_free(base, size);
	return !err;
}

/*
 * Takes up to @want bytes of a node: aligned gigabytes as long as there are any, then smaller
 * ranges of whole sections. Returns the number of bytes taken.
 */
static u64 __init gmfs_take_ranges(struct gmfs_pool *pool, u64 want)
{
	static const u64 aligns[] __initconst = { SZ_1G, GUESTMEMFS_RANGE_ALIGN };
	u64 left = want;

	for (int i = 0; i < ARRAY_SIZE(aligns); i++) {
		while (left >= aligns[i] && pool->nr_ranges < GUESTMEMFS_MAX_RANGES) {
			struct gmfs_range *r = &pool->ranges[pool->nr_ranges];
			u64 most = round_down(left, aligns[i]);

			/* An unaligned range of 1 GiB would cover no aligned gigabyte. */
			if (aligns[i] < SZ_1G)
				most = min(most, SZ_1G - GUESTMEMFS_RANGE_ALIGN);
			if (!gmfs_find_free(pool->node, aligns[i], most, r))
				break;
			if (!gmfs_forget(r->base, r->size))
				break;
			accept_memory(r->base, r->size);
			pool->nr_ranges++;
			left -= r->size;
		}
	}
	gmfs_ranges_sort(pool);
	return want - left;
}

static void __init gmfs_give_back(struct gmfs_pool *pool)
{
	for (u32 i = 0; i < pool->nr_ranges; i++)
		memblock_add_node(pool->ranges[i].base, pool->ranges[i].size, pool->node,
				  MEMBLOCK_NONE);
	memblock_free(pool, sizeof(*pool));
}

static bool __init gmfs_take_meta(struct gmfs_pool *pool)
{
	int err;

	if (gmfs_format_size(pool->ranges, pool->nr_ranges, pool->room, &pool->meta_size))
		return false;
	pool->meta_base = memblock_alloc_range_nid(pool->meta_size, GMFS_BLOCK_SIZE, 0,
						   MEMBLOCK_ALLOC_ACCESSIBLE, pool->node, false);
	if (!pool->meta_base)
		return false;
	err = memblock_remove(pool->meta_base, pool->meta_size);
	/* Do not keep the reservation: KHO's scratch areas grow with reserved memory. */
	memblock_phys_free(pool->meta_base, pool->meta_size);
	return !err;
}

static void __init gmfs_carve_node(int node, u64 want, u64 more)
{
	struct gmfs_pool *pool;
	u64 got;

	want = round_down(want, GUESTMEMFS_RANGE_ALIGN);
	if (!want && !more) {
		pr_err("node %d: less than one section of 128 MiB, no pool\n", node);
		return;
	}
	pool = gmfs_pool_new(node);
	if (!pool)
		return;
	pool->fresh = true;
	pool->room = round_up(more, GMFS_GROUP_SIZE) >> GUESTMEMFS_BLOCK_SHIFT;
	got = gmfs_take_ranges(pool, want);
	if (got < want)
		pr_warn("node %d: %llu MiB wanted, %llu MiB free and aligned\n", node,
			want >> 20, got >> 20);
	if ((want && !got) || !gmfs_take_meta(pool)) {
		pr_err("node %d: no memory for %llu MiB and its metadata, no pool\n", node,
		       want >> 20);
		gmfs_give_back(pool);
		return;
	}
	if (!gmfs_pool_reserve_e820(pool))
		pool->refused = "the firmware's memory map has no room for it";
	gmfs_pool_add(pool);
}

static u64 __init gmfs_free_bytes(void)
{
	phys_addr_t start, end;
	u64 bytes = 0, i;

	for_each_free_mem_range(i, NUMA_NO_NODE, MEMBLOCK_NONE, &start, &end, NULL)
		bytes += end - start;
	return bytes;
}

/* Returns how much of @want a pool may take of a node without starving the host. */
static u64 __init gmfs_allowed(int node, u64 want)
{
	static u64 host_min __initdata;
	u64 free = gmfs_free_bytes();

	want = gmfs_room_allowed(node, want, gmfs_low_limit());
	if (!host_min)
		host_min = min_t(u64, GMFS_HOST_MIN, memblock_phys_mem_size() / 2);
	if (free < host_min)
		free = host_min;
	if (want <= free - host_min)
		return want;
	pr_warn("node %d: %llu MiB wanted, %llu MiB free, of which %llu MiB stay with the host\n",
		node, want >> 20, free >> 20, host_min >> 20);
	return free - host_min;
}

static bool __init gmfs_is_for(const struct gmfs_request *req, int node)
{
	return !req->discard && gmfs_room_size(node) &&
	       (req->node == GMFS_ALL_NODES || req->node == node);
}

/*
 * Returns how much an amount of a request is on the @nth node that has memory. One amount for
 * all nodes is split evenly, and each of the first nodes gets one of the sections that are left
 * over.
 */
static u64 __init gmfs_amount(const struct gmfs_request *req, u64 bytes, u32 percent, int node,
			      u32 nth)
{
	u64 sections = bytes / GUESTMEMFS_RANGE_ALIGN;
	u32 nr_nodes = gmfs_room_nodes();

	if (percent)
		return mult_frac(gmfs_room_size(node), (u64)percent, 100ULL);
	if (req->node != GMFS_ALL_NODES)
		return bytes;
	return (sections / nr_nodes + (nth < sections % nr_nodes)) * GUESTMEMFS_RANGE_ALIGN;
}

/* Calls @fn for each node that a request applies to. */
static void __init gmfs_each_node(const struct gmfs_request *req,
				  void (*fn)(int node, u64 bytes, u64 more))
{
	u32 nth = 0;

	for (int node = 0; node < MAX_NUMNODES; node++) {
		if (!gmfs_is_for(req, node))
			continue;
		fn(node, gmfs_amount(req, req->bytes, req->percent, node, nth),
		   gmfs_amount(req, req->more_bytes, req->more_percent, node, nth));
		nth++;
	}
}

static void __init gmfs_carve_request(int node, u64 bytes, u64 more)
{
	u64 have = gmfs_room_size(node);

	/* A pool can grow by memory of its node alone. */
	gmfs_carve_node(node, gmfs_allowed(node, min(bytes, have)), min(more, have));
	if (bytes > have)
		pr_warn("node %d: %llu MiB wanted, the node has %llu MiB\n", node, bytes >> 20,
			have >> 20);
}

static void __init gmfs_carve_want(int node, u64 bytes, u64 more)
{
	gmfs_room_want(node, bytes);
}

static void __init gmfs_carve_fresh(void)
{
	bool any = false;

	gmfs_room_init();
	for (u32 i = 0; i < gmfs_nr_requests; i++) {
		gmfs_each_node(&gmfs_requests[i], gmfs_carve_want);
		any |= !gmfs_requests[i].discard;
	}
	if (any)
		gmfs_room_hold();
	for (u32 i = 0; i < gmfs_nr_requests; i++) {
		const struct gmfs_request *req = &gmfs_requests[i];

		if (req->discard)
			pr_info("guestmemfs=%s: nothing was handed over, nothing to discard\n",
				gmfs_cmdline);
		else if (req->node != GMFS_ALL_NODES && req->node >= MAX_NUMNODES)
			pr_err("node %u: does not exist, no pool\n", req->node);
		else if (req->node != GMFS_ALL_NODES && !gmfs_room_size(req->node))
			pr_err("node %d: has no memory, no pool\n", req->node);
		else
			gmfs_each_node(req, gmfs_carve_request);
	}
	gmfs_room_done();
}

static bool gmfs_handover_unread __initdata;

/**
 * guestmemfs_handover_unread - note that KHO cannot read the previous kernel's handover
 *
 * Context: early boot.
 */
void __init guestmemfs_handover_unread(void)
{
	gmfs_handover_unread = true;
}

/**
 * guestmemfs_early_revive - keep the memory of pools that were handed over
 *
 * After a kexec with KHO the pools are those of the previous kernel. On a cold boot and in a
 * kdump kernel, does nothing.
 *
 * Context: early boot, once. Memblock knows the NUMA nodes and the direct map exists; struct
 * pages and the resource tree do not. In a KHO boot, memory has been allocated from KHO's
 * scratch areas only.
 */
void __init guestmemfs_early_revive(void)
{
	gmfs_handover_begin_boot();
	if (is_kdump_kernel() || !is_kho_boot())
		return;
	gmfs_requests_parse();
	gmfs_revive();
}

/**
 * guestmemfs_early_reserve - take the memory of new pools
 *
 * On a cold boot, takes what the command line asks for. After a kexec with KHO and in a kdump
 * kernel, does nothing.
 *
 * Context: as guestmemfs_early_revive(), but after the memory of a crash kernel and of CMA has
 * been reserved, since reserved memory determines the size of KHO's scratch areas.
 */
void __init guestmemfs_early_reserve(void)
{
	if (is_kdump_kernel() || is_kho_boot())
		return;
	if (gmfs_handover_unread)
		pr_err("KHO cannot read what the kernel before has handed over: if it had pools, they are lost with all guests\n");
	gmfs_requests_parse();
	gmfs_carve_fresh();
}
