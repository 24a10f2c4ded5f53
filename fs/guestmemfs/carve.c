// SPDX-License-Identifier: GPL-2.0-only
/*
 * The carve-out: takes the pools' memory from memblock when NUMA nodes are
 * known and struct pages are not yet made.
 */
#define pr_fmt(fmt) "guestmemfs: " fmt

#include <linux/crash_dump.h>
#include <linux/guestmemfs.h>
#include <linux/init.h>
#include <linux/kexec_handover.h>
#include <linux/memblock.h>
#include <linux/mm.h>
#include <linux/nodemask.h>
#include <linux/sizes.h>
#include <linux/sort.h>

#include <asm/guestmemfs.h>

#include "internal.h"

/*
 * What stays with the host, whatever is asked for: enough to boot, or half of
 * a small machine.
 */
#define GMFS_HOST_MIN		SZ_1G
/* Part of it below 4 GiB, for KHO's scratch area, crash kernels and old devices. */
#define GMFS_HOST_LOW		SZ_1G

/* More than KHO can allocate in one piece is no blob; this bounds all reads. */
#define GMFS_BLOB_MAX		SZ_4M

LIST_HEAD(gmfs_pools);

/* A blob that this kernel cannot read goes to the next one as it came. */
void *gmfs_unread_blob;
size_t gmfs_unread_size;
bool gmfs_unread_lost;

static char *gmfs_cmdline __initdata;
/* Room for an amount and a discard for each node. */
static struct gmfs_request gmfs_requests[2 * MAX_NUMNODES] __initdata;
static u32 gmfs_nr_requests __initdata;

static int __init gmfs_early_param(char *arg)
{
	gmfs_cmdline = arg ?: "";
	return 0;
}
early_param("guestmemfs", gmfs_early_param);

static struct gmfs_pool * __init gmfs_pool_new(int node)
{
	struct gmfs_pool *pool = memblock_alloc(sizeof(*pool), SMP_CACHE_BYTES);

	if (!pool) {
		pr_err("node %d: no memory to describe a pool\n", node);
		return NULL;
	}
	pool->node = node;
	INIT_LIST_HEAD(&pool->held);
	INIT_LIST_HEAD(&pool->leftovers);
	mutex_init(&pool->lock);
	for (int i = 0; i < GMFS_ZERO_LOCKS; i++)
		mutex_init(&pool->zero_locks[i]);
	return pool;
}

static int __init gmfs_cmp_ranges(const void *a, const void *b)
{
	const struct gmfs_range *x = a, *y = b;

	return x->base < y->base ? -1 : 1;
}

static void __init gmfs_pool_add(struct gmfs_pool *pool)
{
	u64 bytes = 0;

	for (u32 i = 0; i < pool->nr_ranges; i++)
		bytes += pool->ranges[i].size;
	list_add_tail(&pool->list, &gmfs_pools);
	pr_info("node %d: %llu MiB in %u ranges %s, %llu KiB of metadata\n", pool->node,
		bytes >> 20, pool->nr_ranges, pool->hops ? "handed over" : "taken",
		pool->meta_size >> 10);
}

/* Below here nothing is taken. Of the machine as it was before anything was. */
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

/* The highest free memory of a node, so that what is below 4 GiB goes last. */
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
 * Reserved meanwhile: memblock may need memory for its own list of regions,
 * and would find it in the range that it is about to forget.
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
 * Takes up to @want bytes of a node: whole gigabytes as long as there are any,
 * then single sections. Returns how much it got.
 */
static u64 __init gmfs_take_ranges(struct gmfs_pool *pool, u64 want)
{
	static const u64 aligns[] __initconst = { SZ_1G, GUESTMEMFS_RANGE_ALIGN };
	u64 left = want;

	for (int i = 0; i < ARRAY_SIZE(aligns); i++) {
		while (left >= aligns[i] && pool->nr_ranges < GUESTMEMFS_MAX_RANGES) {
			struct gmfs_range *r = &pool->ranges[pool->nr_ranges];
			u64 most = round_down(left, aligns[i]);

			/* A range of 1 GiB that is not aligned would be two halves. */
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
	sort(pool->ranges, pool->nr_ranges, sizeof(pool->ranges[0]), gmfs_cmp_ranges, NULL);
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

	if (gmfs_format_size(pool->ranges, pool->nr_ranges, &pool->meta_size))
		return false;
	pool->meta_base = memblock_alloc_range_nid(pool->meta_size, GMFS_BLOCK_SIZE, 0,
						   MEMBLOCK_ALLOC_ACCESSIBLE, pool->node, false);
	if (!pool->meta_base)
		return false;
	err = memblock_remove(pool->meta_base, pool->meta_size);
	/* As a reservation it would count twice for the size of KHO's scratch areas. */
	memblock_phys_free(pool->meta_base, pool->meta_size);
	return !err;
}

static bool __init gmfs_hide_pool(const struct gmfs_pool *pool)
{
	bool hidden = !pool->meta_size ||
		      arch_guestmemfs_hide(pool->meta_base, pool->meta_size);

	for (u32 i = 0; i < pool->nr_ranges; i++)
		hidden &= arch_guestmemfs_hide(pool->ranges[i].base, pool->ranges[i].size);
	return hidden;
}

static void __init gmfs_carve_node(int node, u64 want)
{
	struct gmfs_pool *pool;
	u64 got;

	want = round_down(want, GUESTMEMFS_RANGE_ALIGN);
	if (!want) {
		pr_err("node %d: less than one section of 128 MiB, no pool\n", node);
		return;
	}
	pool = gmfs_pool_new(node);
	if (!pool)
		return;
	pool->fresh = true;
	got = gmfs_take_ranges(pool, want);
	if (got < want)
		pr_warn("node %d: %llu MiB wanted, %llu MiB free and aligned\n", node,
			want >> 20, got >> 20);
	if (!got || !gmfs_take_meta(pool)) {
		pr_err("node %d: no memory for %llu MiB and its metadata, no pool\n", node,
		       want >> 20);
		gmfs_give_back(pool);
		return;
	}
	if (!gmfs_hide_pool(pool))
		pool->refused = "the firmware's memory map has no room for it";
	gmfs_pool_add(pool);
}

static u64 __init gmfs_node_bytes(int node)
{
	unsigned long start, end;
	u64 pages = 0;
	int i;

	for_each_mem_pfn_range(i, node, &start, &end, NULL)
		pages += end - start;
	return pages << PAGE_SHIFT;
}

static u64 __init gmfs_free_bytes(void)
{
	phys_addr_t start, end;
	u64 bytes = 0, i;

	for_each_free_mem_range(i, NUMA_NO_NODE, MEMBLOCK_NONE, &start, &end, NULL)
		bytes += end - start;
	return bytes;
}

/* How much a request may take of a node without starving the host. */
static u64 __init gmfs_allowed(int node, u64 want)
{
	static u64 host_min __initdata;
	u64 free = gmfs_free_bytes();

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

static void __init gmfs_carve_request(const struct gmfs_request *req, int node, u64 bytes)
{
	u64 have = gmfs_node_bytes(node);

	if (req->percent)
		bytes = mult_frac(have, (u64)req->percent, 100ULL);
	if (!have) {
		pr_err("node %d: has no memory, no pool\n", node);
		return;
	}
	gmfs_carve_node(node, gmfs_allowed(node, min(bytes, have)));
	if (bytes > have)
		pr_warn("node %d: %llu MiB wanted, the node has %llu MiB\n", node, bytes >> 20,
			have >> 20);
}

/* One amount for all: evenly, and what does not divide goes to the first ones. */
static void __init gmfs_carve_all(const struct gmfs_request *req)
{
	u64 sections = req->bytes / GUESTMEMFS_RANGE_ALIGN;
	u32 nr_nodes = 0, nth = 0;
	int node;

	for (node = 0; node < MAX_NUMNODES; node++)
		nr_nodes += !!gmfs_node_bytes(node);
	for (node = 0; node < MAX_NUMNODES && nth < nr_nodes; node++) {
		u64 share = sections / nr_nodes + (nth < sections % nr_nodes);

		if (!gmfs_node_bytes(node))
			continue;
		gmfs_carve_request(req, node, share * GUESTMEMFS_RANGE_ALIGN);
		nth++;
	}
}

static void __init gmfs_carve_fresh(void)
{
	for (u32 i = 0; i < gmfs_nr_requests; i++) {
		const struct gmfs_request *req = &gmfs_requests[i];

		if (req->discard)
			pr_info("guestmemfs=%s: nothing was handed over, nothing to discard\n",
				gmfs_cmdline);
		else if (req->node == GMFS_ALL_NODES)
			gmfs_carve_all(req);
		else if (req->node >= MAX_NUMNODES)
			pr_err("node %u: does not exist, no pool\n", req->node);
		else
			gmfs_carve_request(req, req->node, req->bytes);
	}
}

/* What kho_scratch_overlap() looks at is not there yet. */
static bool __init gmfs_in_scratch(u64 base, u64 size)
{
	struct memblock_region *r;

	for_each_mem_region(r)
		if (memblock_is_kho_scratch(r) && base < r->base + r->size &&
		    r->base < base + size)
			return true;
	return false;
}

/*
 * Ours can only be memory that this kernel has not touched, or that mem= has
 * put out of its reach.
 */
static bool __init gmfs_may_keep(u64 base, u64 size, u64 align)
{
	if (!size || (base | size) % align || base > S64_MAX || size > S64_MAX - base)
		return false;
	if (!memblock_overlaps_region(&memblock.memory, base, size))
		return true;
	return memblock_is_region_memory(base, size) && !memblock_is_region_reserved(base, size) &&
	       !gmfs_in_scratch(base, size);
}

static bool __init gmfs_keep(struct gmfs_pool *pool, u64 base, u64 size, u64 align)
{
	if (gmfs_may_keep(base, size, align) && !memblock_remove(base, size))
		return true;
	pr_err("node %d: [mem %#llx-%#llx] was handed over and cannot be kept\n", pool->node,
	       base, base + size - 1);
	pool->lost = true;
	return false;
}

static void __init gmfs_revive_ranges(struct gmfs_pool *pool, const void *blob,
				      const struct guestmemfs_handover_pool *p)
{
	pool->meta_base = le64_to_cpu(p->meta_base);
	pool->meta_size = le64_to_cpu(p->meta_size);
	if (!gmfs_keep(pool, pool->meta_base, pool->meta_size, GMFS_BLOCK_SIZE))
		pool->meta_size = 0;
	for (u32 i = 0; i < le32_to_cpu(p->nr_ranges); i++) {
		struct gmfs_range *r = &pool->ranges[pool->nr_ranges];

		gmfs_handover_get_range(blob, le32_to_cpu(p->first_range) + i, r);
		if (gmfs_keep(pool, r->base, r->size, GUESTMEMFS_RANGE_ALIGN))
			pool->nr_ranges++;
	}
}

static bool __init gmfs_wants_discard(u32 node)
{
	for (u32 i = 0; i < gmfs_nr_requests; i++)
		if (gmfs_requests[i].discard &&
		    (gmfs_requests[i].node == node || gmfs_requests[i].node == GMFS_ALL_NODES))
			return true;
	return false;
}

static bool __init gmfs_wants_amount(void)
{
	for (u32 i = 0; i < gmfs_nr_requests; i++)
		if (!gmfs_requests[i].discard)
			return true;
	return false;
}

/*
 * The memory stays where it is, and what is in it is no longer anybody's: pool.c
 * writes new tables over the old.
 */
static void __init gmfs_discard(struct gmfs_pool *pool)
{
	u64 need;

	pool->refused = NULL;
	pool->fresh = true;
	if (gmfs_format_size(pool->ranges, pool->nr_ranges, &need) || need > pool->meta_size)
		pool->refused = "what could be kept of it is too little to start anew";
}

static void __init gmfs_discard_misses(void)
{
	for (u32 i = 0; i < gmfs_nr_requests; i++) {
		const struct gmfs_request *req = &gmfs_requests[i];

		if (!req->discard || req->node == GMFS_ALL_NODES)
			continue;
		if (gmfs_unread_blob)
			pr_err("node %u: discard for this node alone is ignored, the handover cannot be read\n",
			       req->node);
		else if (req->node > INT_MAX || !gmfs_pool_find(req->node))
			pr_err("node %u: no pool was handed over, nothing to discard\n",
			       req->node);
	}
}

static void __init gmfs_revive_pool(const void *blob, u32 index, const char *refused)
{
	struct guestmemfs_handover_pool p;
	struct gmfs_pool *pool;

	if (gmfs_handover_get_pool(blob, index, &p)) {
		pr_err("pool %u of the handover has no ranges, its memory is lost\n", index);
		return;
	}
	pool = gmfs_pool_new(le32_to_cpu(p.node));
	if (!pool)
		return;
	pool->refused = refused;
	pool->lost = le32_to_cpu(p.flags) & GUESTMEMFS_POOL_LOST;
	pool->hops = gmfs_next_hop(le32_to_cpu(p.hops));
	import_uuid(&pool->uuid, p.uuid);
	gmfs_revive_ranges(pool, blob, &p);
	if (pool->lost)
		pool->refused = "some of its memory could not be kept, its contents are lost";
	if (pool->lost && gmfs_unread_blob)
		gmfs_unread_lost = true;
	if (gmfs_wants_discard(pool->node) && !gmfs_unread_blob)
		gmfs_discard(pool);
	if (!gmfs_hide_pool(pool) && !pool->refused)
		pool->refused = "the firmware's memory map has no room for it";
	gmfs_pool_add(pool);
}

static void __init gmfs_revive(void)
{
	const char *why;
	phys_addr_t phys;
	size_t size;
	void *blob;
	int err;

	err = kho_retrieve_subtree(GUESTMEMFS_KHO_SUBTREE, &phys, &size);
	if (err) {
		/* What is free now cannot be told before the scratch areas end. */
		if (gmfs_cmdline)
			pr_warn("guestmemfs=%s ignored: no pools were handed over, and pools are made on a cold boot only\n",
				gmfs_cmdline);
		return;
	}
	if (size > GMFS_BLOB_MAX || phys > S64_MAX || offset_in_page(phys) ||
	    !arch_guestmemfs_mapped(phys, PAGE_ALIGN(size))) {
		pr_err("the handover is beyond the memory of this kernel, all pools are lost\n");
		return;
	}
	blob = phys_to_virt(phys);
	err = gmfs_handover_check(blob, size, &why);
	if (err == -EINVAL) {
		pr_err("the handover %s, all pools are lost\n", why);
		return;
	}
	if (err) {
		/* As it cannot be written anew, it can only be thrown away as a whole. */
		if (gmfs_wants_discard(GMFS_ALL_NODES)) {
			pr_err("the handover %s and is discarded\n", why);
			/* Zeroing what it names could hit what others have preserved. */
			if (!gmfs_handover_intact(blob, size)) {
				pr_err("which memory the pools had is not known: it is the host's now, and there are no pools\n");
				return;
			}
		} else {
			pr_err("the handover %s, its memory stays reserved\n", why);
			gmfs_unread_blob = blob;
			gmfs_unread_size = size;
		}
	}
	if (gmfs_wants_amount())
		pr_info("%sguestmemfs=%s ignored: pools were handed over\n",
			strstr(gmfs_cmdline, "discard") ? "amounts in " : "", gmfs_cmdline);
	for (u32 i = 0; i < le32_to_cpu(((struct guestmemfs_handover *)blob)->nr_pools); i++)
		gmfs_revive_pool(blob, i, err ? "its handover cannot be read" : NULL);
	gmfs_discard_misses();
}

/**
 * guestmemfs_early_reserve - take the pools' memory
 *
 * On a cold boot what the command line asks for, after kexec with KHO what
 * the kernel before had, in a kdump kernel nothing.
 *
 * Context: early boot, once. Memblock knows the NUMA nodes, the direct map is
 * there, struct pages and the resource tree are not. With KHO nothing has been
 * allocated but from its scratch areas.
 */
void __init guestmemfs_early_reserve(void)
{
	if (is_kdump_kernel())
		return;
	if (gmfs_cmdline && gmfs_cmdline_parse(gmfs_cmdline, gmfs_requests,
					       ARRAY_SIZE(gmfs_requests), &gmfs_nr_requests)) {
		pr_err("cannot understand guestmemfs=%s, %s\n", gmfs_cmdline,
		       is_kho_boot() ? "ignored" : "no pools");
		gmfs_nr_requests = 0;
	}
	if (is_kho_boot())
		gmfs_revive();
	else
		gmfs_carve_fresh();
}
