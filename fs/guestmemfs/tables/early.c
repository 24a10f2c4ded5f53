// SPDX-License-Identifier: GPL-2.0-only
/*
 * How much memory the kernel allocates between the carve-out and the start of
 * the page allocator. It is not known when pools are made, and what it needs has
 * to be left to it: the numbers are upper bounds of what was measured.
 */
#include <linux/ctype.h>
#include <linux/minmax.h>
#include <linux/overflow.h>
#include <linux/string.h>

#include "early.h"

#define MIB(n)	((u64)(n) << 20)
#define GIB(n)	((u64)(n) << 30)

/* A struct page of 64 bytes for 4 KiB, in whole sections of 128 MiB. */
static u64 gmfs_memmap(u64 bytes)
{
	return (bytes >> 6) + MIB(4);
}

/* What the host keeps at the most: a guess that the other numbers grow with. */
static u64 gmfs_early_rest(const struct gmfs_early_node *n)
{
	u64 rest = n->size - min(n->want, n->size) + GIB(1) + 3 * (n->cma + n->huge);

	return min(rest, n->size);
}

/**
 * gmfs_early_kern - what the kernel is going to reserve on a node
 * @n: the node
 *
 * Return: bytes that are there for good, and that count for the size of the
 * node's scratch area.
 */
u64 gmfs_early_kern(const struct gmfs_early_node *n)
{
	return gmfs_memmap(gmfs_early_rest(n)) + (n->cpus * MIB(1)) / 2 + n->cma + n->shadow +
	       MIB(4);
}

/**
 * gmfs_early_free - how much memory has to be free on a node
 * @n: the node
 *
 * Return: bytes, beside what is held for scratch areas: what gmfs_early_kern()
 * says, what is freed again, and pages of hugetlb, with room for their alignment.
 */
u64 gmfs_early_free(const struct gmfs_early_node *n)
{
	return gmfs_early_kern(n) + n->cpus * MIB(2) + gmfs_early_huge(n) - n->cma + MIB(32);
}

/**
 * gmfs_early_huge - how much of it gigantic pages of hugetlb may come from
 * @n: the node
 *
 * Return: bytes that have to be free where pools are taken, too.
 */
u64 gmfs_early_huge(const struct gmfs_early_node *n)
{
	return n->huge + n->cma ? n->huge + n->cma + GIB(1) : 0;
}

/**
 * gmfs_early_low - what the kernel is going to reserve below 4 GiB for a node
 * @n: the node
 *
 * It does when the node has nothing else left.
 *
 * Return: bytes.
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
 * gmfs_early_anywhere - what the kernel is going to reserve on no node
 * @bytes: memory that the host keeps
 *
 * Return: bytes: hash tables, page tables, and whatever is small.
 */
u64 gmfs_early_anywhere(u64 bytes)
{
	return (bytes >> 9) + MIB(32);
}

/**
 * gmfs_early_pool - how much a pool may take of a node
 * @want: bytes that are asked for
 * @free: free bytes of the node
 * @usable: of them those in reach of pools
 * @n: the node
 *
 * Return: @want or less.
 */
u64 gmfs_early_pool(u64 want, u64 free, u64 usable, const struct gmfs_early_node *n)
{
	u64 huge = gmfs_early_huge(n);
	/* Metadata is 630 bytes for 2 MiB, and never less than 8 MiB. */
	u64 keep = gmfs_early_free(n) + (min(want, free) >> 11) + MIB(8);

	free -= min(free, keep);
	usable -= min(usable, huge);
	return min(want, min(free, usable));
}

/* One number of the text, or no progress. */
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
 * gmfs_early_spread - what a parameter of hugetlb asks for on a node
 * @text: "n" for all nodes together, or "node:n,node:n"; n may have a unit, or
 *	be a percentage
 * @node: the node
 * @nr_nodes: how many nodes have memory
 * @whole: of what a percentage is
 *
 * Return: the number, %GMFS_EARLY_MAX at the most; 0 if the text is wrong.
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
