// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that pools leave to the kernel, node by node: for KHO's scratch areas, without which
 * nothing can be handed over, and for all allocations that precede the page allocator.
 */
#define pr_fmt(fmt) "guestmemfs: " fmt

#include <linux/cpumask.h>
#include <linux/init.h>
#include <linux/kexec_handover.h>
#include <linux/memblock.h>
#include <linux/mm.h>
#include <linux/sizes.h>
#include <linux/swiotlb.h>

#include <asm/guestmemfs.h>

#include "tables/early.h"
#include "internal.h"
#include "room.h"

static struct gmfs_early_node gmfs_nodes[MAX_NUMNODES] __initdata;

/*
 * The parameters of hugetlb, which parses them after pools are made. hugepages= is for pages of
 * the size in the hugepagesz= before it on the command line, or else of the default size.
 */
static char *gmfs_pages_default __initdata;
static char *gmfs_pages_1g __initdata;
static char *gmfs_pages_other __initdata;
static char **gmfs_pages_next __initdata = &gmfs_pages_default;
static u64 gmfs_pages_size __initdata;
static char *gmfs_hugetlb_cma __initdata;

static int __init gmfs_see_default_hugepagesz(char *arg)
{
	gmfs_pages_size = memparse(arg ?: "", NULL);
	gmfs_pages_next = &gmfs_pages_default;
	return 0;
}
early_param("default_hugepagesz", gmfs_see_default_hugepagesz);

static int __init gmfs_see_hugepagesz(char *arg)
{
	gmfs_pages_next = memparse(arg ?: "", NULL) == SZ_1G ? &gmfs_pages_1g :
							       &gmfs_pages_other;
	return 0;
}
early_param("hugepagesz", gmfs_see_hugepagesz);

static int __init gmfs_see_hugepages(char *arg)
{
	*gmfs_pages_next = arg;
	return 0;
}
early_param("hugepages", gmfs_see_hugepages);

static int __init gmfs_see_hugetlb_cma(char *arg)
{
	gmfs_hugetlb_cma = arg;
	return 0;
}
early_param("hugetlb_cma", gmfs_see_hugetlb_cma);

/* Bytes that hugetlb takes for pages of 1 GiB. Smaller pages come from the page allocator. */
static u64 __init gmfs_gigantic(int node, u32 nr_nodes)
{
	u64 nr = gmfs_early_spread(gmfs_pages_1g ?: "", node, nr_nodes, 0);

	if (gmfs_pages_size == SZ_1G)
		nr += gmfs_early_spread(gmfs_pages_default ?: "", node, nr_nodes, 0);
	return min(nr, GMFS_EARLY_MAX / SZ_1G) * SZ_1G;
}

static void __init gmfs_measure(void)
{
	unsigned long start, end;
	int i, nid;

	for_each_mem_pfn_range(i, NUMA_NO_NODE, &start, &end, &nid) {
		struct gmfs_early_node *n;

		if (!numa_valid_node(nid))
			continue;
		n = &gmfs_nodes[nid];
		n->size += PFN_PHYS(end - start);
		n->low += min_t(u64, PFN_PHYS(end), SZ_4G) - min_t(u64, PFN_PHYS(start), SZ_4G);
	}
}

static u32 __init gmfs_node_cpus(int node)
{
	int cpus = arch_guestmemfs_cpus(node);

	/* If the number is not known, assume one that fits the node's memory. */
	if (cpus < 0)
		cpus = 4 + (gmfs_nodes[node].size >> 30);
	return min_t(u32, cpus, nr_cpu_ids);
}

/**
 * gmfs_room_nodes - how many nodes have memory
 *
 * Return: the number of nodes for which gmfs_room_size() is not 0.
 */
u32 __init gmfs_room_nodes(void)
{
	u32 nr = 0;

	for (int node = 0; node < MAX_NUMNODES; node++)
		nr += !!gmfs_nodes[node].size;
	return nr;
}

/**
 * gmfs_room_size - the memory of a node
 * @node: NUMA node
 *
 * Return: bytes that the node had before the first pool was made.
 */
u64 __init gmfs_room_size(int node)
{
	return gmfs_nodes[node].size;
}

/**
 * gmfs_room_init - measure the nodes, and estimate what the kernel needs of each
 *
 * Context: before pools are made.
 */
void __init gmfs_room_init(void)
{
	u32 nr_nodes;

	gmfs_measure();
	nr_nodes = gmfs_room_nodes();
	for (int node = 0; node < MAX_NUMNODES; node++) {
		struct gmfs_early_node *n = &gmfs_nodes[node];

		if (!n->size)
			continue;
		n->cpus = gmfs_node_cpus(node);
		n->huge = min(gmfs_gigantic(node, nr_nodes), n->size);
		n->cma = min(gmfs_early_spread(gmfs_hugetlb_cma ?: "", node, nr_nodes, n->size),
			     n->size);
		if (IS_ENABLED(CONFIG_KASAN_GENERIC))
			n->shadow = n->size >> 3;
	}
}

/**
 * gmfs_room_want - note how large the pool of a node is to be
 * @node: NUMA node
 * @bytes: size of the pool
 */
void __init gmfs_room_want(int node, u64 bytes)
{
	gmfs_nodes[node].want = min(bytes, gmfs_nodes[node].size);
}

static u64 __init gmfs_free_of(int node, u64 from)
{
	phys_addr_t start, end;
	u64 bytes = 0, i;

	for_each_free_mem_range(i, node, MEMBLOCK_NONE, &start, &end, NULL)
		bytes += max_t(u64, end, from) - max_t(u64, start, from);
	return bytes;
}

/* Memory below 4 GiB that is kept for the kernel: reserved until the last pool has been made. */
static phys_addr_t gmfs_low_base __initdata;
static u64 gmfs_low_size __initdata;

static void __init gmfs_spare_low(u64 size)
{
	phys_addr_t start, end, base = 0;
	u64 best = 0, i;

	for_each_free_mem_range(i, NUMA_NO_NODE, MEMBLOCK_NONE, &start, &end, NULL) {
		start = max_t(u64, start, SZ_1M);
		end = min_t(u64, end, SZ_4G);
		if (start < end && end - start > best && best < size) {
			base = start;
			best = end - start;
		}
	}
	best = min(best, size);
	if (!best || memblock_reserve(base, best))
		return;
	gmfs_low_base = base;
	gmfs_low_size = best;
}

/* Bytes of swiotlb's bounce buffers, which are below 4 GiB. */
static u64 __init gmfs_bounce(void)
{
	u64 size = swiotlb_size_or_default();

	return memblock_end_of_DRAM() > SZ_4G || size != IO_TLB_DEFAULT_SIZE ? size : 0;
}

/*
 * Chooses the node for the global scratch area: the node with the most free memory left after
 * its pool and the kernel's early allocations.
 */
static int __init gmfs_roomiest(void)
{
	int best = NUMA_NO_NODE;
	s64 most = S64_MIN;

	for (int node = 0; node < MAX_NUMNODES; node++) {
		const struct gmfs_early_node *n = &gmfs_nodes[node];
		s64 left;

		if (!n->size)
			continue;
		left = gmfs_free_of(node, 0) - n->want - gmfs_early_free(n);
		if (left > most) {
			most = left;
			best = node;
		}
	}
	return best;
}

/**
 * gmfs_room_hold - reserve room for KHO's scratch areas
 *
 * Context: after gmfs_room_want() for all pools, before the first pool is made.
 */
void __init gmfs_room_hold(void)
{
	u64 low = gmfs_bounce() + SZ_32M, kern = 0, rest = 0, held = 0;
	int node;

	if (!kho_is_enabled())
		return;
	for (node = 0; node < MAX_NUMNODES; node++)
		if (gmfs_nodes[node].size)
			low += gmfs_early_low(&gmfs_nodes[node]);
	held = kho_hold_scratch(KHO_SCRATCH_LOWMEM, NUMA_NO_NODE, low);
	gmfs_spare_low(low);
	low = held;
	held = 0;
	for (node = 0; node < MAX_NUMNODES; node++) {
		const struct gmfs_early_node *n = &gmfs_nodes[node];

		if (!n->size)
			continue;
		kern += gmfs_early_kern(n);
		rest += n->size - n->want;
		held += kho_hold_scratch(KHO_SCRATCH_NODE, node, gmfs_early_kern(n));
	}
	kern += gmfs_early_anywhere(rest) + gmfs_bounce();
	node = gmfs_roomiest();
	kern = kho_hold_scratch(KHO_SCRATCH_GLOBAL, node, kern);
	pr_info("%llu MiB kept free for the handover: %llu MiB below 4 GiB, %llu MiB on node %d, %llu MiB on all nodes\n",
		(low + kern + held) >> 20, low >> 20, kern >> 20, node, held >> 20);
}

/**
 * gmfs_room_done - free the low memory that gmfs_room_hold() has kept from pools
 *
 * Context: after the last pool has been made.
 */
void __init gmfs_room_done(void)
{
	if (gmfs_low_size)
		memblock_phys_free(gmfs_low_base, gmfs_low_size);
}

/**
 * gmfs_room_allowed - limit the size of a pool to what the kernel can spare
 * @node: NUMA node
 * @want: bytes that are asked for
 * @from: address below which pools take nothing
 *
 * Return: @want, or less if the kernel needs some of that.
 */
u64 __init gmfs_room_allowed(int node, u64 want, u64 from)
{
	u64 free = gmfs_free_of(node, 0);
	u64 most = gmfs_early_pool(want, free, gmfs_free_of(node, from), &gmfs_nodes[node]);

	if (most < want)
		pr_warn("node %d: %llu MiB wanted, %llu MiB free, of which a pool may have %llu MiB\n",
			node, want >> 20, free >> 20, most >> 20);
	return most;
}
