// SPDX-License-Identifier: GPL-2.0-only
/*
 * Blocks for those parts of a file that have none.
 *
 * Everything here works on tables that gmfs_check() has accepted, is
 * serialised by the caller, and fails before it has changed anything.
 */
#include <linux/bitops.h>
#include <linux/errno.h>
#include <linux/limits.h>
#include <linux/minmax.h>
#include <linux/string.h>

#include "extmap.h"

static void gmfs_map_insert(struct gmfs_extmap *map, u32 pos, u32 slot)
{
	memmove(&map->slots[pos + 1], &map->slots[pos], (map->nr - pos) * sizeof(*map->slots));
	map->slots[pos] = slot;
	map->nr++;
}

static void gmfs_map_remove(struct gmfs_extmap *map, u32 pos, u32 count)
{
	memmove(&map->slots[pos], &map->slots[pos + count],
		(map->nr - pos - count) * sizeof(*map->slots));
	map->nr -= count;
}

/* Joins the extent at @pos with the one before it, if they are one run. */
static void gmfs_map_join(struct gmfs_tables *t, struct gmfs_extmap *map, u32 pos)
{
	struct guestmemfs_extent *a, *b;

	if (!pos || pos >= map->nr)
		return;
	a = &t->extents[map->slots[pos - 1]];
	b = &t->extents[map->slots[pos]];
	if (!gmfs_extents_join(t, a, b))
		return;
	a->count = cpu_to_le32(le32_to_cpu(a->count) + le32_to_cpu(b->count));
	gmfs_extent_drop(t, map->slots[pos]);
	gmfs_map_remove(map, pos, 1);
}

/*
 * The block for @want that suits the nearest one before it, in its group. A
 * part of the file that has a block already is not put into a group of its own.
 */
static void gmfs_goal_behind(const struct gmfs_tables *t, const struct gmfs_extmap *map, u32 pos,
			     struct gmfs_want *want)
{
	u64 group = want->logical / GUESTMEMFS_GROUP_BLOCKS;

	while (pos-- > 0) {
		const struct guestmemfs_extent *e = &t->extents[map->slots[pos]];
		u64 end = gmfs_extent_end(e);
		u64 goal = le32_to_cpu(e->block) + (want->logical - le64_to_cpu(e->logical));
		bool same = (end - 1) / GUESTMEMFS_GROUP_BLOCKS == group;

		if (end != want->logical && !same)
			break;
		if (!gmfs_extent_allocated(e))
			continue;
		want->own &= !same;
		if (goal < gmfs_block_range_end(t, le32_to_cpu(e->block)) &&
		    !test_bit(goal, t->bitmap))
			want->goal = goal;
		break;
	}
}

/* Likewise for the nearest one after it. The group before @want says less than that. */
static void gmfs_goal_before(const struct gmfs_tables *t, const struct gmfs_extmap *map, u32 pos,
			     struct gmfs_want *want)
{
	u64 group = want->logical / GUESTMEMFS_GROUP_BLOCKS;
	bool other = want->logical % GUESTMEMFS_GROUP_BLOCKS == 0;

	for (; pos < map->nr; pos++) {
		const struct guestmemfs_extent *e = &t->extents[map->slots[pos]];
		u64 ahead = le64_to_cpu(e->logical) - want->logical;
		u32 block = le32_to_cpu(e->block);

		if (le64_to_cpu(e->logical) / GUESTMEMFS_GROUP_BLOCKS != group)
			break;
		if (!gmfs_extent_allocated(e))
			continue;
		want->own = false;
		if ((other || want->goal == GMFS_NO_BLOCK) && ahead <= block &&
		    block - ahead >= le32_to_cpu(gmfs_block_range(t, block)->first_block) &&
		    !test_bit(block - ahead, t->bitmap))
			want->goal = block - ahead;
		break;
	}
}

/*
 * Where the neighbours in the file say that the block should be: a group of
 * the file that lost some blocks gets them back in place, and can be mapped as
 * one again. Of the file's size that of its inode is known here.
 */
static void gmfs_goal(const struct gmfs_tables *t, const struct gmfs_extmap *map, u32 pos,
		      struct gmfs_want *want)
{
	u64 blocks = le64_to_cpu(t->inodes[want->ino].size) >> GUESTMEMFS_BLOCK_SHIFT;

	want->goal = GMFS_NO_BLOCK;
	want->own = want->logical / GUESTMEMFS_GROUP_BLOCKS < blocks / GUESTMEMFS_GROUP_BLOCKS;
	gmfs_goal_behind(t, map, pos, want);
	gmfs_goal_before(t, map, pos, want);
}

/*
 * Cuts an extent without blocks in two at @logical, which is inside it. There
 * is an entry: the block that is about to be allocated has none yet.
 */
static void gmfs_map_split(struct gmfs_tables *t, struct gmfs_extmap *map, u32 pos, u64 logical)
{
	u32 slot = gmfs_extent_slot(t);
	struct guestmemfs_extent *a = &t->extents[map->slots[pos]];
	struct guestmemfs_extent *b = &t->extents[slot];
	u32 keep = logical - le64_to_cpu(a->logical);

	*b = *a;
	b->logical = cpu_to_le64(logical);
	b->count = cpu_to_le32(le32_to_cpu(a->count) - keep);
	a->count = cpu_to_le32(keep);
	gmfs_map_insert(map, pos + 1, slot);
	t->nr_states++;
}

/* A new extent at @pos for a part of a hole. */
static struct guestmemfs_extent *gmfs_fill_hole(struct gmfs_tables *t, struct gmfs_extmap *map,
						u32 ino, u32 pos, u64 logical, u32 count)
{
	u32 slot = gmfs_extent_slot(t);
	struct guestmemfs_extent *e = &t->extents[slot];

	e->logical = cpu_to_le64(logical);
	e->ino = cpu_to_le32(ino);
	e->count = cpu_to_le32(count);
	gmfs_map_insert(map, pos, slot);
	return e;
}

/* Of the extent at @pos, which has no blocks, the part that gets some. */
static struct guestmemfs_extent *gmfs_fill_state(struct gmfs_tables *t, struct gmfs_extmap *map,
						 u32 pos, u32 count)
{
	struct guestmemfs_extent *e = &t->extents[map->slots[pos]];

	if (count < le32_to_cpu(e->count))
		gmfs_map_split(t, map, pos, le64_to_cpu(e->logical) + count);
	t->nr_states--;
	return e;
}

/*
 * Fills the begin of @run, which has no blocks, with one run of them. @together
 * blocks are missing from there on: those behind @run have another character,
 * but are to be neighbours, so that the group may be of one again. Returns the
 * length.
 */
static u32 gmfs_fill_once(struct gmfs_tables *t, struct gmfs_extmap *map, u32 ino,
			  const struct gmfs_run *run, u64 together)
{
	u64 count = max(run->count, min_t(u64, together, GUESTMEMFS_GROUP_BLOCKS));
	struct gmfs_want want = {
		.ino		= ino,
		.logical	= run->logical,
		.count		= min_t(u64, count, t->nr_blocks),
	};
	u32 pos = gmfs_map_pos(t, map, run->logical), block = 0, got;
	struct guestmemfs_extent *e;

	if (run->flags && le64_to_cpu(t->extents[map->slots[pos]].logical) < run->logical)
		gmfs_map_split(t, map, pos++, run->logical);
	gmfs_goal(t, map, pos, &want);
	got = min_t(u64, gmfs_find_run(t, &want, &block), run->count);
	gmfs_take(t, block, got, ino, run->logical);
	if (run->flags)
		e = gmfs_fill_state(t, map, pos, got);
	else
		e = gmfs_fill_hole(t, map, ino, pos, run->logical, got);
	e->block = cpu_to_le32(block);
	e->flags |= cpu_to_le32(GUESTMEMFS_EXTENT_ALLOCATED);
	gmfs_map_join(t, map, pos + 1);
	gmfs_map_join(t, map, pos);
	return got;
}

/* Where what has no blocks ends, from @logical on, at the latest at @end. */
static u64 gmfs_missing_end(const struct gmfs_tables *t, const struct gmfs_extmap *map,
			    u64 logical, u64 end)
{
	struct gmfs_run run;

	while (logical < end) {
		gmfs_map_lookup(t, map, logical, &run);
		if (run.block != GMFS_NO_BLOCK)
			return logical;
		logical += run.count;
	}
	return end;
}

/* Is there a piece without blocks left on both sides? */
static bool gmfs_fill_splits(const struct gmfs_tables *t, const struct gmfs_extmap *map,
			     u64 logical, u64 end)
{
	u32 pos = gmfs_map_pos(t, map, logical);
	const struct guestmemfs_extent *e;

	if (pos == map->nr)
		return false;
	e = &t->extents[map->slots[pos]];
	return !gmfs_extent_allocated(e) && le64_to_cpu(e->logical) < logical &&
	       gmfs_extent_end(e) > end;
}

/* Can what is missing be given? At worst it makes @more extents. */
static int gmfs_fill_plan(const struct gmfs_tables *t, const struct gmfs_extmap *map, u64 logical,
			  u64 end, u64 *more)
{
	struct gmfs_run run;
	u64 at, missing = 0;

	for (at = logical; at < end; at += run.count) {
		gmfs_map_lookup(t, map, at, &run);
		run.count = min(run.count, end - at);
		if (run.flags & GUESTMEMFS_EXTENT_TRUNCATED)
			return -EBUSY;
		if (run.block == GMFS_NO_BLOCK)
			missing += run.count;
	}
	if (missing > gmfs_blocks_left(t))
		return -ENOSPC;
	*more = missing;
	if (!missing || !gmfs_fill_splits(t, map, logical, end))
		return 0;
	*more += 1;
	return gmfs_states_fit(t, 1) ? 0 : -ENOSPC;
}

/**
 * gmfs_map_fill - allocate what a part of a file does not have yet
 * @t: the pool's tables
 * @map: the file's extents
 * @ino: the file
 * @logical: first block in the file
 * @count: number of blocks; @logical + @count is at most %GMFS_MAX_LOGICAL
 *
 * The new blocks hold old bytes where their bit in the unzeroed table is set.
 * Each page keeps its character, and blocks are chosen as if all had the same.
 *
 * As many extents as blocks is the worst, and what memory is needed for: a
 * petabyte in one call is too much.
 *
 * Return: 0, -ENOSPC, -ENOMEM, or -EBUSY if a part is truncated, all with
 * nothing allocated.
 */
int gmfs_map_fill(struct gmfs_tables *t, struct gmfs_extmap *map, u32 ino,
		  u64 logical, u64 count)
{
	u64 end = logical + count, together = logical, more;
	struct gmfs_run run;
	int err;

	err = gmfs_fill_plan(t, map, logical, end, &more);
	if (err || !more)
		return err;
	err = gmfs_map_reserve(map, map->nr + more);
	if (err)
		return err;
	while (logical < end) {
		gmfs_map_lookup(t, map, logical, &run);
		run.count = min(run.count, end - logical);
		if (run.block == GMFS_NO_BLOCK) {
			if (together <= logical)
				together = gmfs_missing_end(t, map, logical, end);
			run.count = gmfs_fill_once(t, map, ino, &run, together - logical);
		}
		logical += run.count;
	}
	return 0;
}
