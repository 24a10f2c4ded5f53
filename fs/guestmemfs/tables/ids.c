// SPDX-License-Identifier: GPL-2.0-only
/*
 * The free entries of a table: a bitmap, and above it levels of bitmaps that say which
 * words of the level below have a bit set. Finding the lowest free entry, allocating and
 * freeing look at one word per level. This is volatile memory, set up at mount. The caller
 * serialises all functions (gmfs_pool.lock).
 */
#include <linux/bitops.h>
#include <linux/bits.h>
#include <linux/errno.h>
#include <linux/limits.h>
#include <linux/math.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "tables.h"

static void gmfs_ids_fill(unsigned long *words, u32 nr)
{
	memset(words, 0xff, nr / BITS_PER_LONG * sizeof(*words));
	if (nr % BITS_PER_LONG)
		words[nr / BITS_PER_LONG] = BIT(nr % BITS_PER_LONG) - 1;
}

/**
 * gmfs_ids_init - allocate the bitmaps of a table, with all entries free
 * @ids: the bitmaps
 * @nr: number of entries, 1 to 2^31 + 64
 *
 * No other function here allocates memory.
 *
 * Return: 0 or -ENOMEM.
 */
int gmfs_ids_init(struct gmfs_ids *ids, u32 nr)
{
	u32 total = 0, n = nr, i;

	ids->nr_levels = 0;
	do {
		n = DIV_ROUND_UP(n, BITS_PER_LONG);
		ids->level[ids->nr_levels++] = total;
		total += n;
	} while (n > 1);
	ids->words = gmfs_calloc(total, sizeof(*ids->words));
	if (!ids->words)
		return -ENOMEM;
	for (i = 0, n = nr; i < ids->nr_levels; i++) {
		gmfs_ids_fill(&ids->words[ids->level[i]], n);
		n = DIV_ROUND_UP(n, BITS_PER_LONG);
	}
	return 0;
}

/**
 * gmfs_ids_exit - free what gmfs_ids_init() allocated
 * @ids: the bitmaps
 */
void gmfs_ids_exit(struct gmfs_ids *ids)
{
	kvfree(ids->words);
	ids->words = NULL;
}

/**
 * gmfs_ids_first - find the lowest free entry
 * @ids: the bitmaps
 *
 * Return: its index, %GMFS_NO_ID if there is none.
 */
u32 gmfs_ids_first(const struct gmfs_ids *ids)
{
	u32 i = ids->nr_levels, at = 0;

	while (i-- > 0) {
		unsigned long word = ids->words[ids->level[i] + at];

		if (!word)
			return GMFS_NO_ID;
		at = at * BITS_PER_LONG + __ffs(word);
	}
	return at;
}

/**
 * gmfs_ids_take - mark an entry as used
 * @ids: the bitmaps
 * @id: index of the entry
 */
void gmfs_ids_take(struct gmfs_ids *ids, u32 id)
{
	u32 i;

	for (i = 0; i < ids->nr_levels; i++, id /= BITS_PER_LONG) {
		unsigned long *word = &ids->words[ids->level[i] + id / BITS_PER_LONG];

		*word &= ~BIT(id % BITS_PER_LONG);
		if (*word)
			return;
	}
}

/**
 * gmfs_ids_drop - mark an entry as free
 * @ids: the bitmaps
 * @id: index of the entry
 */
void gmfs_ids_drop(struct gmfs_ids *ids, u32 id)
{
	u32 i;

	for (i = 0; i < ids->nr_levels; i++, id /= BITS_PER_LONG) {
		unsigned long *word = &ids->words[ids->level[i] + id / BITS_PER_LONG];
		unsigned long was = *word;

		*word |= BIT(id % BITS_PER_LONG);
		if (was)
			return;
	}
}
