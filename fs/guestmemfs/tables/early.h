/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_EARLY_H
#define _GUESTMEMFS_EARLY_H

#include <linux/bits.h>
#include <linux/types.h>

/* More than any real amount; the sum of a few of them does not overflow. */
#define GMFS_EARLY_MAX		BIT_ULL(52)

/**
 * struct gmfs_early_node - demands on the memory of a node before pools are made
 * @size: bytes of memory of the node
 * @low: bytes of @size below 4 GiB
 * @want: bytes requested for pools
 * @huge: bytes of gigantic pages requested for hugetlb
 * @cma: bytes of the CMA area requested for hugetlb
 * @shadow: bytes of KASAN's shadow
 * @cpus: number of processors
 */
struct gmfs_early_node {
	u64 size;
	u64 low;
	u64 want;
	u64 huge;
	u64 cma;
	u64 shadow;
	u32 cpus;
};

u64 gmfs_early_kern(const struct gmfs_early_node *n);
u64 gmfs_early_free(const struct gmfs_early_node *n);
u64 gmfs_early_huge(const struct gmfs_early_node *n);
u64 gmfs_early_low(const struct gmfs_early_node *n);
u64 gmfs_early_anywhere(u64 bytes);
u64 gmfs_early_pool(u64 want, u64 free, u64 usable, const struct gmfs_early_node *n);
u64 gmfs_early_spread(const char *text, u32 node, u32 nr_nodes, u64 whole);

#endif /* _GUESTMEMFS_EARLY_H */
