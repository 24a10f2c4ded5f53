// SPDX-License-Identifier: GPL-2.0-only
/*
 * Allocate the missing blocks of a part of a file.
 *
 * gmfs_fill_cover() counts the missing blocks and covers the part, i.e. reserves blocks for
 * it, until gmfs_fill_uncover(); thus the pool cannot run out of blocks in between. Each
 * gmfs_fill_step() allocates a limited number of blocks. It may fail for lack of memory for
 * the tree, and the caller may stop at a signal. Until the fill is complete, its extents
 * are marked %GMFS_EXTENT_PENDING, so that an edit (%GMFS_ABORT) can find and undo them.
 */
#include <linux/bitops.h>
#include <linux/errno.h>
#include <linux/limits.h>
#include <linux/minmax.h>
#include <linux/slab.h>

#include "extmap.h"

/* How many extents and holes to look at for a neighbour that has blocks. */
#define GMFS_GOAL_TRIES		16

/* The block for @logical that would continue the blocks of @e, GMFS_NO_BLOCK if not free. */
static u32 gmfs_goal_of(const struct gmfs_tables *t, const struct guestmemfs_extent *e,
			u64 logical)
{
	u64 goal = le32_to_cpu(e->block) + logical - le64_to_cpu(e->logical);
	u32 block = le32_to_cpu(e->block);

	if (logical < le64_to_cpu(e->logical) &&
	    (le64_to_cpu(e->logical) - logical > block ||
	     goal < le32_to_cpu(gmfs_block_range(t, block)->first_block)))
		return GMFS_NO_BLOCK;
	if (goal >= gmfs_block_range_end(t, block) || test_bit(goal, t->bitmap))
		return GMFS_NO_BLOCK;
	return goal;
}

/*
 * Set @want->goal to continue the nearest extent with blocks before @want->logical that is
 * in the same group of the file or adjacent. Clear @want->own if that group has blocks
 * already.
 */
static void gmfs_goal_behind(const struct gmfs_fill *fill, struct gmfs_want *want)
{
	u64 group = round_down(want->logical, (u64)GUESTMEMFS_GROUP_BLOCKS), at = want->logical;
	u32 tries = GMFS_GOAL_TRIES;
	struct gmfs_spot spot;

	while (at && (at == want->logical || at > group) && tries--) {
		gmfs_map_spot(fill->t, fill->map, at - 1, &spot);
		if (spot.e && gmfs_extent_allocated(spot.e)) {
			want->own &= spot.end <= group;
			want->goal = gmfs_goal_of(fill->t, spot.e, want->logical);
			break;
		}
		at = spot.start;
	}
}

/*
 * Likewise for the nearest extent from @at on, which overrides a goal from the group before.
 * The file has no blocks from @want->logical to @at.
 */
static void gmfs_goal_before(const struct gmfs_fill *fill, struct gmfs_want *want, u64 at)
{
	u64 group = round_down(want->logical, (u64)GUESTMEMFS_GROUP_BLOCKS);
	u32 tries = GMFS_GOAL_TRIES, goal;
	struct gmfs_spot spot;

	for (; at < group + GUESTMEMFS_GROUP_BLOCKS && tries--; at = spot.end) {
		gmfs_map_spot(fill->t, fill->map, at, &spot);
		if (!spot.e || !gmfs_extent_allocated(spot.e))
			continue;
		want->own = false;
		goal = gmfs_goal_of(fill->t, spot.e, want->logical);
		if (goal != GMFS_NO_BLOCK &&
		    (want->logical == group || want->goal == GMFS_NO_BLOCK))
			want->goal = goal;
		break;
	}
}

/*
 * Choose a goal by the neighbours in the file: a group of the file that has lost some
 * blocks gets them back in place, and can be mapped by 1 GiB again. The file's size is that
 * of its entry in the inode table: this code does not know the VFS inode. The file has no
 * blocks from @want->logical to @end.
 */
static void gmfs_goal(const struct gmfs_fill *fill, struct gmfs_want *want, u64 end)
{
	u64 blocks = le64_to_cpu(fill->t->inodes[want->ino].size) >> GUESTMEMFS_BLOCK_SHIFT;

	want->goal = GMFS_NO_BLOCK;
	want->own = want->logical / GUESTMEMFS_GROUP_BLOCKS < blocks / GUESTMEMFS_GROUP_BLOCKS;
	gmfs_goal_behind(fill, want);
	gmfs_goal_before(fill, want, end);
}

/* Allocates blocks for an extent without blocks, or a part of it. @e is the new extent. */
static int gmfs_fill_state(struct gmfs_fill *fill, struct guestmemfs_extent *e)
{
	u64 at = le64_to_cpu(e->logical), end = gmfs_extent_end(e);
	struct gmfs_tables *t = fill->t;
	struct gmfs_spot spot;
	int err;

	gmfs_map_spot(t, fill->map, at, &spot);
	err = gmfs_map_split(fill->map, at);
	if (err)
		return err;
	if (end < spot.end)
		err = gmfs_map_split(fill->map, end);
	if (err) {
		gmfs_map_unsplit(t, fill->map, at);
		return err;
	}
	if (end < spot.end)
		gmfs_map_cut(t, fill->map, end);
	gmfs_map_cut(t, fill->map, at);
	gmfs_map_spot(t, fill->map, at, &spot);
	*spot.e = *e;
	t->nr_blockless--;
	gmfs_map_join(t, fill->map, end);
	gmfs_map_join(t, fill->map, at);
	return 0;
}

/* Fills a part of a hole with @e, merged with its neighbours, by one store in the tree. */
static int gmfs_fill_hole(struct gmfs_fill *fill, struct guestmemfs_extent *e)
{
	u64 at = le64_to_cpu(e->logical), end = gmfs_extent_end(e);
	struct gmfs_spot before = { .start = at }, behind = { .end = end };
	struct gmfs_tables *t = fill->t;
	bool joins_before = false, joins_behind = false;
	u32 slot;
	int err;

	if (at) {
		gmfs_map_spot(t, fill->map, at - 1, &before);
		joins_before = before.e && gmfs_extents_join(t, before.e, e);
	}
	if (joins_before) {
		e->logical = before.e->logical;
		e->block = before.e->block;
		e->count = cpu_to_le32(le32_to_cpu(before.e->count) + le32_to_cpu(e->count));
	}
	if (end < GMFS_MAX_LOGICAL) {
		gmfs_map_spot(t, fill->map, end, &behind);
		joins_behind = behind.e && gmfs_extents_join(t, e, behind.e);
	}
	if (joins_behind)
		e->count = cpu_to_le32(le32_to_cpu(e->count) + le32_to_cpu(behind.e->count));
	slot = joins_before ? before.slot : joins_behind ? behind.slot : gmfs_extent_slot(t);
	err = gmfs_map_store(fill->map, joins_before ? before.start : at,
			     joins_behind ? behind.end : end, slot, GFP_KERNEL);
	if (!err) {
		t->extents[slot] = *e;
		if (joins_before && joins_behind)
			gmfs_extent_drop(t, behind.slot);
	} else if (!joins_before && !joins_behind) {
		gmfs_extent_drop(t, slot);
	}
	return err;
}

/*
 * Allocates one run of blocks for the start of @run, which has none. The search is for a
 * run that has room for the missing blocks after @run as well. These are filled separately,
 * since their pages have another character; when all pages have the same one, 1 GiB can be
 * mapped by one entry.
 */
static int gmfs_fill_once(struct gmfs_fill *fill, struct gmfs_run *run)
{
	struct gmfs_tables *t = fill->t;
	struct gmfs_want want = {
		.ino		= fill->ino,
		.logical	= run->logical,
	};
	struct guestmemfs_extent e = {
		.logical	= cpu_to_le64(run->logical),
		.ino		= cpu_to_le32(fill->ino),
		.map		= cpu_to_le32(run->map),
	};
	u64 end, covered;
	u32 block, got;
	int err;

	/* The last free blocks may have been lost to memory errors, although they are reserved. */
	if (!t->free_blocks)
		return -ENOSPC;
	want.count = min_t(u64, min(t->nr_blocks, GMFS_STEP_BLOCKS),
			   max(run->count, min_t(u64, fill->together - run->logical,
						 GUESTMEMFS_GROUP_BLOCKS)));
	gmfs_goal(fill, &want, run->logical + run->count);
	got = gmfs_find_run(t, &want, &block);
	end = run->logical + min_t(u64, got, run->count);
	covered = gmfs_covered(fill->map, run->logical, &end);
	run->count = end - run->logical;
	got = run->count;
	/* A later step may fail: mark the blocks, so that they can be freed then. */
	if (run->logical + got < fill->end)
		fill->pending = true;
	e.block = cpu_to_le32(block);
	e.count = cpu_to_le32(got);
	e.flags = cpu_to_le32(run->flags | GUESTMEMFS_EXTENT_ALLOCATED |
			      (fill->pending ? GMFS_EXTENT_PENDING : 0));
	err = run->flags ? gmfs_fill_state(fill, &e) : gmfs_fill_hole(fill, &e);
	if (err)
		return err;
	gmfs_take(t, block, got, fill->ino, run->logical);
	fill->map->blocks += got;
	t->promised_blocks -= covered;
	return 0;
}

/* The end of the missing blocks that begin with @run, at most 1 GiB further. */
static u64 gmfs_missing_end(const struct gmfs_fill *fill, const struct gmfs_run *run)
{
	u64 end = min(fill->end, run->logical + GUESTMEMFS_GROUP_BLOCKS), at;
	struct gmfs_spot spot;

	for (at = run->logical + run->count; at < end; at = spot.end) {
		gmfs_map_spot(fill->t, fill->map, at, &spot);
		if (spot.e && gmfs_extent_allocated(spot.e))
			break;
	}
	return min(at, end);
}

/* Does the fill split an extent without blocks into two of them? */
static bool gmfs_fill_splits(const struct gmfs_fill *fill)
{
	struct gmfs_spot spot;

	gmfs_map_spot(fill->t, fill->map, fill->from, &spot);
	return spot.e && !gmfs_extent_allocated(spot.e) && spot.start < fill->from &&
	       spot.end > fill->end;
}

/* Counts the blocks that a fill needs. */
static void gmfs_fill_count(struct gmfs_fill *fill)
{
	struct gmfs_run run;
	u64 at;

	fill->missing = 0;
	for (at = fill->from; at < fill->end; at += run.count) {
		gmfs_map_lookup(fill->t, fill->map, at, &run);
		run.count = min(run.count, fill->end - at);
		if (run.block == GMFS_NO_BLOCK)
			fill->missing += run.count;
	}
	fill->uncovered = fill->missing;
	if (fill->missing && !mtree_empty(&fill->map->cover))
		fill->uncovered = gmfs_uncovered(fill->t, fill->map, fill->from, fill->end);
}

/**
 * gmfs_fill_cover - count the blocks that a fill needs, and reserve its part of the file
 * @fill: the fill
 *
 * Takes time proportional to the number of extents and of covered ranges in the part. The
 * caller holds map_lock for writing until it has called gmfs_fill_begin().
 *
 * Return: 0, or -ENOMEM with nothing changed.
 */
int gmfs_fill_cover(struct gmfs_fill *fill)
{
	gmfs_fill_count(fill);
	return gmfs_cover(fill->map, fill->from, fill->end);
}

static int gmfs_fill_start(struct gmfs_fill *fill)
{
	struct gmfs_tables *t = fill->t;

	fill->at = fill->from;
	fill->together = fill->from;
	fill->pending = fill->more;
	if (fill->uncovered > gmfs_blocks_left(t))
		return -ENOSPC;
	/* Without the feature no extent is blockless, so there is nothing to look up. */
	fill->splits = t->has_states && fill->missing && gmfs_fill_splits(fill);
	if (fill->splits && !gmfs_blockless_fit(t, 1))
		return -ENOSPC;
	fill->promise = (struct gmfs_promise){};
	gmfs_promise_update(t, &fill->promise, fill->splits, 0);
	return 0;
}

/**
 * gmfs_fill_begin - begin a fill that has been counted
 * @fill: the fill
 *
 * Return: 0, or -ENOSPC with nothing changed.
 */
int gmfs_fill_begin(struct gmfs_fill *fill)
{
	int err = gmfs_fill_start(fill);

	if (!err)
		fill->t->promised_blocks += fill->uncovered;
	return err;
}

/**
 * gmfs_fill_step - allocate some of the missing blocks
 * @fill: the fill
 *
 * Return: 1 if another step is needed, 0 if not, -ENOMEM, or -ENOSPC.
 */
int gmfs_fill_step(struct gmfs_fill *fill)
{
	u32 blockless = fill->t->nr_blockless, i;
	u64 end = fill->at + GMFS_STEP_BLOCKS;
	struct gmfs_run run;
	int err = 0;

	end = min(end, fill->end);
	for (i = 0; fill->at < end && i < GMFS_STEP_EXTENTS; i++) {
		if (!gmfs_slots_fit(fill->t))
			err = -ENOSPC;
		if (err)
			break;
		gmfs_map_lookup(fill->t, fill->map, fill->at, &run);
		run.count = min(run.count, fill->end - fill->at);
		if (run.block == GMFS_NO_BLOCK) {
			if (fill->together <= fill->at)
				fill->together = gmfs_missing_end(fill, &run);
			err = gmfs_fill_once(fill, &run);
			if (err)
				break;
		}
		fill->at += run.count;
	}
	/* Undoing the fill needs the entries of extents that have got blocks: keep them. */
	fill->promise.done_blockless += (s64)fill->t->nr_blockless - blockless;
	gmfs_promise_update(fill->t, &fill->promise, fill->splits, 0);
	return err ? err : fill->at < fill->end;
}

/**
 * gmfs_fill_uncover - undo gmfs_fill_cover()
 * @fill: the fill, complete or not
 *
 * The caller holds map_lock for writing until it has called gmfs_fill_end(), which is not
 * needed if gmfs_fill_begin() has failed.
 */
void gmfs_fill_uncover(struct gmfs_fill *fill)
{
	gmfs_uncover(fill->map, fill->from, fill->end);
	fill->uncovered = gmfs_uncovered(fill->t, fill->map, fill->from, fill->end);
}

/**
 * gmfs_fill_end - end a fill
 * @fill: the fill, complete or not
 *
 * Releases the reserved blocks and entries that the fill has not used.
 */
void gmfs_fill_end(struct gmfs_fill *fill)
{
	fill->t->promised_blockless -= fill->promise.blockless;
	fill->t->promised_blocks -= fill->uncovered;
}

/**
 * gmfs_map_fill - allocate the missing blocks of a part of a file
 * @t: the pool's tables
 * @map: the file's extents
 * @ino: the file
 * @logical: first block in the file
 * @count: number of blocks; @logical + @count <= %GMFS_MAX_LOGICAL
 *
 * Makes a fill from beginning to end, for callers that need not release gmfs_pool.lock. The
 * new blocks hold old data where their bit in the unzeroed table is set. Each page keeps
 * its character, and blocks are chosen as if all pages had the same one.
 *
 * Return: 0, -ENOSPC or -ENOMEM. On error nothing is allocated, unless it could not be freed
 * again.
 */
int gmfs_map_fill(struct gmfs_tables *t, struct gmfs_extmap *map, u32 ino,
		  u64 logical, u64 count)
{
	struct gmfs_fill fill = {
		.t	= t,
		.map	= map,
		.ino	= ino,
		.from	= logical,
		.end	= logical + count,
	};
	int err, undone;

	/* While gmfs_pool.lock is held no other task can take the blocks: reserve none. */
	gmfs_fill_count(&fill);
	err = gmfs_fill_start(&fill);
	if (err)
		return err;
	do {
		err = gmfs_fill_step(&fill);
	} while (err > 0);
	t->promised_blockless -= fill.promise.blockless;
	if (!fill.pending)
		return err;
	undone = gmfs_map_edit(t, map, err ? GMFS_ABORT : GMFS_COMMIT, logical, count);
	/* The edit has failed: the new blocks stay in the file, as ordinary extents. */
	if (undone)
		gmfs_map_edit(t, map, GMFS_COMMIT, logical, count);
	return err;
}
