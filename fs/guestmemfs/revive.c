// SPDX-License-Identifier: GPL-2.0-only
/*
 * Early boot after a kexec with KHO: keeps the memory of the pools that the previous kernel has
 * handed over, and marks pools whose contents are to be discarded.
 */
#define pr_fmt(fmt) "guestmemfs: " fmt

#include <linux/init.h>
#include <linux/kexec_handover.h>
#include <linux/limits.h>
#include <linux/memblock.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/sizes.h>
#include <linux/string.h>

#include <asm/guestmemfs.h>

#include "boot.h"
#include "internal.h"

/* KHO cannot allocate more than this in one piece, so no blob is larger. Bounds all reads. */
#define GMFS_BLOB_MAX		SZ_4M

/*
 * A blob that this kernel cannot read; kho.c hands it on to the next one. gmfs_unread_lost is
 * set if some of the memory that the blob names could not be kept.
 */
void *gmfs_unread_blob;
size_t gmfs_unread_size;
bool gmfs_unread_lost;

/* kho_scratch_overlap() cannot be used: KHO sets its array of scratch areas up later. */
static bool __init gmfs_in_scratch(u64 base, u64 size)
{
	struct memblock_region *r;

	for_each_mem_region(r)
		if (memblock_is_kho_scratch(r) && base < r->base + r->size &&
		    r->base < base + size)
			return true;
	return false;
}

/* Is all of a range memory? It may be in several regions, for example of different nodes. */
static bool __init gmfs_is_memory(u64 base, u64 size)
{
	u64 end = base + size;
	struct memblock_region *r;

	for_each_mem_region(r)
		if (base >= r->base && base < r->base + r->size)
			base = min(end, (u64)r->base + r->size);
	return base == end;
}

/*
 * Memory of a pool is either entirely outside of memblock.memory, because of mem=, or it is
 * memory that this kernel has not reserved and that is no scratch area.
 */
static bool __init gmfs_may_keep(u64 base, u64 size, u64 align)
{
	if (!size || (base | size) % align || base > S64_MAX || size > S64_MAX - base)
		return false;
	if (!memblock_overlaps_region(&memblock.memory, base, size))
		return true;
	return gmfs_is_memory(base, size) && !memblock_is_region_reserved(base, size) &&
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
	/* A blob that does not tell the numbers has ranges that ascend by address. */
	if (pool->nr_ranges && pool->ranges[0].first == GMFS_NO_BLOCK)
		gmfs_ranges_number(pool->ranges, pool->nr_ranges);
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
 * Discards the contents of a pool. The pool keeps its memory; gmfs_make_meta() writes new
 * tables over the old ones later.
 */
static void __init gmfs_discard(struct gmfs_pool *pool)
{
	u64 need;

	pool->refused = NULL;
	pool->fresh = true;
	gmfs_ranges_sort(pool);
	/* The new tables have as much room as there is metadata. */
	pool->room = gmfs_format_room(pool->ranges, pool->nr_ranges, pool->meta_size);
	if ((pool->lost && !pool->nr_ranges) ||
	    gmfs_format_size(pool->ranges, pool->nr_ranges, pool->room, &need) ||
	    need > pool->meta_size)
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

	/* A pool may have no memory yet, but not because all of it was lost. */
	if (gmfs_handover_get_pool(blob, index, &p) ||
	    (!p.nr_ranges && le32_to_cpu(p.flags) & GUESTMEMFS_POOL_LOST)) {
		pr_err("pool %u of the handover has no ranges, its memory is lost\n", index);
		return;
	}
	pool = gmfs_pool_new(le32_to_cpu(p.node));
	if (!pool)
		return;
	pool->refused = refused;
	pool->lost = le32_to_cpu(p.flags) & GUESTMEMFS_POOL_LOST;
	pool->meta_error = le32_to_cpu(p.flags) & GUESTMEMFS_POOL_ERROR;
	pool->hops = gmfs_next_hop(le32_to_cpu(p.hops));
	import_uuid(&pool->uuid, p.uuid);
	gmfs_revive_ranges(pool, blob, &p);
	if (pool->lost)
		pool->refused = "some of its memory could not be kept, its contents are lost";
	if (pool->lost && gmfs_unread_blob)
		gmfs_unread_lost = true;
	if (pool->meta_error)
		pool->refused = "its metadata has a memory error";
	/* New metadata would be in the same place. */
	if (gmfs_wants_discard(pool->node) && !gmfs_unread_blob && !pool->meta_error)
		gmfs_discard(pool);
	if (!gmfs_pool_reserve_e820(pool) && !pool->refused)
		pool->refused = "the firmware's memory map has no room for it";
	gmfs_pool_add(pool);
}

/**
 * gmfs_revive - keep the pools that the previous kernel has handed over
 *
 * Context: as guestmemfs_early_revive(), of a KHO boot.
 */
void __init gmfs_revive(void)
{
	const char *why;
	phys_addr_t phys;
	size_t size;
	void *blob;
	int err;

	err = kho_retrieve_subtree(GUESTMEMFS_KHO_SUBTREE, &phys, &size);
	if (err) {
		/*
		 * New pools cannot be made: memblock knows which memory is free only when KHO
		 * has reserved all that is preserved, and that is later.
		 */
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
		/* The blob cannot be written without one of its pools: discard all or none. */
		if (gmfs_wants_discard(GMFS_ALL_NODES)) {
			pr_err("the handover %s and is discarded\n", why);
			/* If the checksum is wrong, other users of KHO may own the ranges. */
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
