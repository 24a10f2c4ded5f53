/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_EARLY_H
#define _GUESTMEMFS_EARLY_H

#include <linux/bits.h>
#include <linux/types.h>

/* Above all that can be meant, and below what overflows in a sum of a few. */
#define GMFS_EARLY_MAX		BIT_ULL(52)

/**
 * struct gmfs_early_node - a node, before pools are made
 * @size: bytes of memory that it has
 * @low: of them those below 4 GiB
 * @want: bytes that pools are to have of it
 * @huge: bytes of gigantic pages that hugetlb is to have
 * @cma: bytes of the area that hugetlb is to have
 * @shadow: bytes of KASAN's shadow
 * @cpus: processors
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
