// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which entries of a table are free: a bitmap, and on top of it levels of
 * bitmaps that tell which words of the level below have a bit set. The lowest
 * free entry is found, taken and given back in one word a level. This is
 * volatile memory, made from the table at mount. The caller serialises.
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
 * gmfs_ids_init - make the bitmaps of a table, with all entries free
 * @ids: the bitmaps
 * @nr: number of entries, 1 to 2^31
 *
 * Return: 0 or -ENOMEM. Nothing else here needs memory.
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
 * gmfs_ids_take - an entry is in use from now on
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
 * gmfs_ids_drop - an entry is free from now on
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
