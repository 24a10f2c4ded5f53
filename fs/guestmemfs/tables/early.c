// SPDX-License-Identifier: GPL-2.0-only
/*
 * Estimate how much memory the kernel allocates between the carve-out of the pools and the
 * start of the page allocator. The pools must leave that much free. The exact amount is not
 * known yet when the pools are made: the numbers are upper bounds of measured values.
 */
#include <linux/ctype.h>
#include <linux/minmax.h>
#include <linux/overflow.h>
#include <linux/string.h>

#include "early.h"

#define MIB(n)	((u64)(n) << 20)
#define GIB(n)	((u64)(n) << 30)

/* 64 bytes of struct page per 4 KiB, and 4 MiB, as it covers whole sections of 128 MiB. */
static u64 gmfs_memmap(u64 bytes)
{
	return (bytes >> 6) + MIB(4);
}

/* An upper bound of the memory that the node keeps for the host. */
static u64 gmfs_early_rest(const struct gmfs_early_node *n)
{
	u64 rest = n->size - min(n->want, n->size) + GIB(1) + 3 * (n->cma + n->huge);

	return min(rest, n->size);
}

/**
 * gmfs_early_kern - estimate the kernel's permanent early allocations on a node
 * @n: the node
 *
 * Return: bytes. The node's scratch area must have room for them.
 */
u64 gmfs_early_kern(const struct gmfs_early_node *n)
{
	return gmfs_memmap(gmfs_early_rest(n)) + (n->cpus * MIB(1)) / 2 + n->cma + n->shadow +
	       MIB(4);
}

/**
 * gmfs_early_free - how much memory must be free on a node
 * @n: the node
 *
 * Return: bytes, in addition to the scratch areas: permanent allocations, allocations that
 * are freed again, and hugetlb's pages with room for their alignment.
 */
u64 gmfs_early_free(const struct gmfs_early_node *n)
{
	return gmfs_early_kern(n) + n->cpus * MIB(2) + gmfs_early_huge(n) - n->cma + MIB(32);
}

/**
 * gmfs_early_huge - how much of a node's memory is for gigantic pages of hugetlb
 * @n: the node
 *
 * Return: bytes, with room for alignment. They must be free in the part of the node that
 * pools are taken from.
 */
u64 gmfs_early_huge(const struct gmfs_early_node *n)
{
	return n->huge + n->cma ? n->huge + n->cma + GIB(1) : 0;
}

/**
 * gmfs_early_low - estimate the allocations below 4 GiB on behalf of a node
 * @n: the node
 *
 * The kernel allocates there if pools take nearly all of the node's memory above 4 GiB.
 *
 * Return: bytes, 0 if enough memory above 4 GiB remains.
 */
u64 gmfs_early_low(const struct gmfs_early_node *n)
{
	u64 kern = gmfs_early_kern(n) - n->cma;
	u64 high = n->size - min(n->low, n->size);

	if (!n->low || high - min(n->want, high) > 2 * kern + n->cma + n->huge)
		return 0;
	return kern;
}

/**
 * gmfs_early_anywhere - estimate the early allocations that are not bound to a node
 * @bytes: memory that the host keeps
 *
 * Return: bytes for hash tables, page tables and small allocations.
 */
u64 gmfs_early_anywhere(u64 bytes)
{
	return (bytes >> 9) + MIB(32);
}

/**
 * gmfs_early_pool - how much memory of a node a pool may take
 * @want: requested bytes
 * @free: free bytes of the node
 * @usable: bytes of @free in the part of the node that pools are taken from
 * @n: the node
 *
 * Return: bytes, at most @want.
 */
u64 gmfs_early_pool(u64 want, u64 free, u64 usable, const struct gmfs_early_node *n)
{
	u64 huge = gmfs_early_huge(n);
	/* Metadata has about 529 bytes per block, and at least 8 MiB. Keep room for more. */
	u64 keep = gmfs_early_free(n) + (min(want, free) >> 11) + MIB(8);

	free -= min(free, keep);
	usable -= min(usable, huge);
	return min(want, min(free, usable));
}

/* Parse a number, limited to GMFS_EARLY_MAX. Does not advance *@p if there is none. */
static u64 gmfs_early_number(const char **p)
{
	u64 value = 0;

	for (; isdigit(**p); (*p)++)
		if (check_mul_overflow(value, 10ULL, &value) ||
		    check_add_overflow(value, (u64)(**p - '0'), &value))
			value = GMFS_EARLY_MAX;
	return min(value, GMFS_EARLY_MAX);
}

static u64 gmfs_early_unit(const char **p, u64 value)
{
	static const char units[] = "KMGT";
	const char *unit = **p ? strchr(units, toupper(**p)) : NULL;
	int shift = unit ? 10 * (unit - units + 1) : 0;

	if (unit)
		(*p)++;
	return value > GMFS_EARLY_MAX >> shift ? GMFS_EARLY_MAX : value << shift;
}

/**
 * gmfs_early_spread - parse what a hugetlb parameter requests on a node
 * @text: "n" for all nodes together, or "node:n,node:n"; n may have a unit or a percent
 *	sign
 * @node: the node
 * @nr_nodes: number of nodes with memory
 * @whole: what 100 % is
 *
 * Return: the number for @node, at most %GMFS_EARLY_MAX; 0 if the text is malformed.
 */
u64 gmfs_early_spread(const char *text, u32 node, u32 nr_nodes, u64 whole)
{
	while (isdigit(*text)) {
		u64 value = gmfs_early_number(&text), of = node;
		bool all = *text != ':';

		if (!all) {
			of = value;
			text++;
			value = gmfs_early_number(&text);
		}
		if (*text == '%')
			value = whole * min_t(u64, value, 100) / 100;
		else
			value = gmfs_early_unit(&text, value);
		if (all)
			return nr_nodes && *text != '%' ? (value + nr_nodes - 1) / nr_nodes : value;
		if (of == node)
			return value;
		text += *text == '%';
		if (*text++ != ',')
			break;
	}
	return 0;
}
