// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reserve blocks for a file before they are allocated.
 *
 * A part of a file is covered as long as a shared mapping or a fill in progress reserves
 * it. gmfs_extmap.cover has, for each range of the file, the number of its reservations.
 * gmfs_tables.promised_blocks is the number of blocks in all covered parts that have no
 * memory. It shrinks when such a block is allocated and grows when one is freed, so that a
 * hole punched into a covered part stays reserved for the file.
 *
 * gmfs_extmap.cover changes with gmfs_inode.map_lock held for writing. A change may take
 * long, so it is made without gmfs_pool.lock; only promised_blocks is under gmfs_pool.lock.
 */
#include <linux/errno.h>
#include <linux/limits.h>
#include <linux/minmax.h>

#include "counts.h"
#include "extmap.h"

/**
 * gmfs_cover - reserve a part of a file
 * @map: the file's extents
 * @from: first block in the file
 * @end: block after the last one, at most %GMFS_MAX_LOGICAL
 *
 * The caller holds map_lock for writing, and has called gmfs_uncovered() before. It must
 * add that number to promised_blocks (gmfs_promise_blocks()), or call gmfs_uncover(),
 * before it releases map_lock.
 *
 * Return: 0, or -ENOMEM with nothing changed.
 */
int gmfs_cover(struct gmfs_extmap *map, u64 from, u64 end)
{
	u64 at = from, fresh = 0;
	int err = gmfs_count_up(&map->cover, &at, end, U32_MAX, &fresh);

	if (err)
		gmfs_uncover(map, from, at);
	return err;
}

/**
 * gmfs_uncover - undo gmfs_cover()
 * @map: the file's extents
 * @from: as passed to gmfs_cover()
 * @end: as passed to gmfs_cover()
 *
 * The caller holds map_lock for writing. It must subtract what gmfs_uncovered() returns
 * afterwards from promised_blocks before it releases map_lock, unless gmfs_promise_blocks()
 * has failed.
 */
void gmfs_uncover(struct gmfs_extmap *map, u64 from, u64 end)
{
	u64 last = 0;

	gmfs_count_down(&map->cover, &from, end, U32_MAX, &last);
}

/**
 * gmfs_uncovered - count the missing blocks of a part of a file that are not reserved
 * @t: the pool's tables
 * @map: the file's extents
 * @from: first block in the file
 * @end: block after the last one
 *
 * Takes time proportional to the number of extents and of covered ranges in the part.
 *
 * Return: number of blocks that have neither memory nor a reservation.
 */
u64 gmfs_uncovered(const struct gmfs_tables *t, const struct gmfs_extmap *map, u64 from, u64 end)
{
	u64 at, next, missing = 0;
	struct gmfs_spot spot;

	for (at = from; at < end; at = next) {
		if (gmfs_count_at(&map->cover, at, &next))
			continue;
		gmfs_map_spot(t, map, at, &spot);
		next = min(min(next, spot.end), end);
		if (!spot.e || !gmfs_extent_allocated(spot.e))
			missing += next - at;
	}
	return missing;
}

/**
 * gmfs_covered - count the reserved blocks of a part of a file
 * @map: the file's extents
 * @from: first block in the file
 * @end: block after the last one; lowered if the part has too many ranges to look at in one
 *	critical section of gmfs_pool.lock
 *
 * Return: number of reserved blocks from @from to the new @end, with or without memory.
 */
u64 gmfs_covered(const struct gmfs_extmap *map, u64 from, u64 *end)
{
	u64 at, next, covered = 0;
	u32 i;

	for (at = from, i = 0; at < *end && i < GMFS_STEP_EXTENTS; at = next, i++) {
		bool held = gmfs_count_at(&map->cover, at, &next);

		next = min(next, *end);
		covered += held ? next - at : 0;
	}
	*end = at;
	return covered;
}

/**
 * gmfs_promise_blocks - add to the number of reserved blocks
 * @t: the pool's tables
 * @blocks: number of additional blocks
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
