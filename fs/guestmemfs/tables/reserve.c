// SPDX-License-Identifier: GPL-2.0-only
/*
 * Blocks that are reserved for a file before it has them.
 *
 * A part of a file is covered as long as a shared mapping or a fill in progress holds it
 * reserved. Of each file, gmfs_extmap.cover tells which parts that are, and how many hold
 * each. gmfs_tables.promised_blocks is the number of blocks of all covered parts that have no
 * memory. It shrinks when such a block gets memory and grows when one loses it, so that a hole
 * punched into a covered part stays reserved for the file.
 *
 * What is covered changes with map_lock held for writing. That may take long, and is done
 * without the pool's lock: under it, numbers are added and compared.
 */
#include <linux/errno.h>
#include <linux/minmax.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include "extmap.h"

/* How many hold @at, and up to where that is so. */
static unsigned long gmfs_cover_at(const struct gmfs_extmap *map, u64 at, u64 *end)
{
	MA_STATE(mas, (struct maple_tree *)&map->cover, at, at);
	void *entry = mas_walk(&mas);

	*end = min_t(u64, mas.last, GMFS_MAX_LOGICAL - 1) + 1;
	return entry ? xa_to_value(entry) : 0;
}

/* One range with what is beside it, if as many hold that. */
static int gmfs_cover_store(struct gmfs_extmap *map, u64 start, u64 end, unsigned long holders,
			    gfp_t gfp)
{
	MA_STATE(mas, &map->cover, start, start);
	void *entry = holders ? xa_mk_value(holders) : NULL;

	/* The tree joins holes by itself. */
	if (entry && start) {
		mas_set(&mas, start - 1);
		if (mas_walk(&mas) == entry)
			start = mas.index;
	}
	if (entry && end < GMFS_MAX_LOGICAL) {
		mas_set(&mas, end);
		if (mas_walk(&mas) == entry)
			end = mas.last + 1;
	}
	mas_set_range(&mas, start, end - 1);
	return mas_store_gfp(&mas, entry, gfp);
}

/**
 * gmfs_cover - hold a part of a file reserved
 * @map: the file's extents
 * @from: first block in the file
 * @end: block after the last one, at most %GMFS_MAX_LOGICAL
 *
 * What gmfs_uncovered() has found missing in the part before is to be promised after this, or
 * gmfs_uncover() to be called, before anybody else has map_lock.
 *
 * Return: 0, or -ENOMEM with nothing changed.
 */
int gmfs_cover(struct gmfs_extmap *map, u64 from, u64 end)
{
	unsigned long holders;
	u64 at, next;
	int err;

	for (at = from; at < end; at = next) {
		holders = gmfs_cover_at(map, at, &next);
		next = min(next, end);
		err = gmfs_cover_store(map, at, next, holders + 1, GFP_KERNEL);
		if (err) {
			gmfs_uncover(map, from, at);
			return err;
		}
	}
	return 0;
}

/**
 * gmfs_uncover - undo gmfs_cover()
 * @map: the file's extents
 * @from: as it was there
 * @end: likewise
 *
 * What gmfs_uncovered() finds missing in the part after this is promised no longer.
 */
void gmfs_uncover(struct gmfs_extmap *map, u64 from, u64 end)
{
	unsigned long holders;
	u64 at, next;

	for (at = from; at < end; at = next) {
		holders = gmfs_cover_at(map, at, &next);
		next = min(next, end);
		gmfs_cover_store(map, at, next, holders - 1, GFP_KERNEL | __GFP_NOFAIL);
	}
}

/**
 * gmfs_uncovered - how many blocks a part of a file lacks that are not promised to it
 * @t: the pool's tables
 * @map: the file's extents
 * @from: first block in the file
 * @end: block after the last one
 *
 * Takes time by the number of extents and of covered ranges in the part.
 *
 * Return: blocks without memory that nobody holds reserved.
 */
u64 gmfs_uncovered(const struct gmfs_tables *t, const struct gmfs_extmap *map, u64 from, u64 end)
{
	u64 at, next, missing = 0;
	struct gmfs_spot spot;

	for (at = from; at < end; at = next) {
		if (gmfs_cover_at(map, at, &next))
			continue;
		gmfs_map_spot(t, map, at, &spot);
		next = min(min(next, spot.end), end);
		if (!spot.e || !gmfs_extent_allocated(spot.e))
			missing += next - at;
	}
	return missing;
}

/**
 * gmfs_covered - how many blocks of a part of a file somebody holds reserved
 * @map: the file's extents
 * @from: first block in the file
 * @end: block after the last one; lowered if there are too many ranges to look at them all
 *	under the pool's lock
 *
 * Return: blocks from @from to the new @end, with or without memory.
 */
u64 gmfs_covered(const struct gmfs_extmap *map, u64 from, u64 *end)
{
	u64 at, next, covered = 0;
	u32 i;

	for (at = from, i = 0; at < *end && i < GMFS_STEP_EXTENTS; at = next, i++) {
		bool held = gmfs_cover_at(map, at, &next);

		next = min(next, *end);
		covered += held ? next - at : 0;
	}
	*end = at;
	return covered;
}

/**
 * gmfs_promise_blocks - promise blocks to covered parts of a file
 * @t: the pool's tables
 * @blocks: how many more
 *
 * Return: 0, or -ENOSPC with nothing changed.
 */
int gmfs_promise_blocks(struct gmfs_tables *t, u64 blocks)
{
	if (blocks > gmfs_blocks_left(t))
		return -ENOSPC;
	t->promised_blocks += blocks;
	return 0;
}
