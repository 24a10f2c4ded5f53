// SPDX-License-Identifier: GPL-2.0-only
/*
 * Move blocks from one part of a file to another one, of the same file or of another file of the
 * pool, or exchange the blocks of two parts. No byte is copied.
 *
 * Blocks move, and characters stay: a page is private or shared as it was before at its place in
 * the file. An extent that loses its blocks becomes a hole, or an extent without blocks if its
 * pages are converted.
 *
 * gmfs_move_count() reads the extents of both parts. The maps must not change from then on, but
 * gmfs_pool.lock is not needed. gmfs_move_begin() checks that there is room. gmfs_move_step() moves
 * a limited number of blocks; gmfs_pool.lock may be released between two steps. gmfs_move_end()
 * completes the move. At any time each block is in one extent.
 */
#include <linux/errno.h>
#include <linux/limits.h>
#include <linux/minmax.h>
#include <linux/slab.h>

#include "extmap.h"
#include "groups.h"

/**
 * struct gmfs_piece - adjacent blocks of both parts, each in one extent or hole
 * @spots: the extents or holes
 * @at: the first block in each file
 * @count: number of blocks
 * @looks: number of extents that gmfs_piece_claim() has looked at
 */
struct gmfs_piece {
	struct gmfs_spot spots[GMFS_SIDES];
	u64 at[GMFS_SIDES];
	u64 count;
	u32 looks;
};

/* The piece that begins @from blocks after the start of each part, up to @max blocks. */
static void gmfs_piece_at(const struct gmfs_move *mv, u64 from, u64 max, struct gmfs_piece *p)
{
	u32 i;

	p->count = min(mv->count - from, max);
	p->looks = 0;
	for (i = 0; i < GMFS_SIDES; i++) {
		const struct gmfs_side *side = &mv->sides[i];

		p->at[i] = side->first + from;
		gmfs_map_spot(mv->t, side->map, p->at[i], &p->spots[i]);
		p->count = min(p->count, p->spots[i].end - p->at[i]);
	}
}

static bool gmfs_piece_has(const struct gmfs_piece *p, u32 i)
{
	return p->spots[i].e && gmfs_extent_allocated(p->spots[i].e);
}

/* Is the piece a part of an extent without blocks on one side? */
static bool gmfs_piece_is_blockless(const struct gmfs_piece *p, u32 i)
{
	return p->spots[i].e && !gmfs_extent_allocated(p->spots[i].e);
}

/**
 * struct gmfs_move_sum - what was counted so far on one side
 * @blockless: net number of extents without blocks
 * @from: first block of the last extent, after the move
 * @last: new flags of the last piece
 */
struct gmfs_move_sum {
	s64 blockless;
	u64 from;
	u32 last;
};

/* Counts a piece at @at that has the flags @now after the move. */
static void gmfs_move_add(struct gmfs_move_sum *sum, const struct gmfs_spot *spot, u64 at, u32 now)
{
	u32 flags = spot->e ? le32_to_cpu(spot->e->flags) : 0;

	if (at == spot->start)
		sum->blockless -= flags && gmfs_extent_is_blockless(flags);
	/*
	 * Otherwise gmfs_map_join() merges this piece with the last one. An extent that is too long
	 * to be merged as a whole counts as if its parts could not be merged, either.
	 */
	if (now != sum->last || now & GUESTMEMFS_EXTENT_MIXED ||
	    spot->end - sum->from > U32_MAX) {
		sum->blockless += now && gmfs_extent_is_blockless(now);
		sum->from = at;
	}
	sum->last = now;
}

/* Counts the extent at @at, which is not moved, but which a piece may be merged with. */
static void gmfs_move_add_beside(const struct gmfs_move *mv, u32 i, u64 at,
				 struct gmfs_move_sum *sum)
{
	const struct gmfs_side *side = &mv->sides[i], *other = &mv->sides[!i];
	struct gmfs_spot spot;

	/* At the other part of the same file, count as if nothing could be merged. */
	if (at >= GMFS_MAX_LOGICAL ||
	    (side->map == other->map && at >= other->first && at - other->first < mv->count))
		return;
	gmfs_map_spot(mv->t, side->map, at, &spot);
	if (at < side->first)
		at = spot.start;
	gmfs_move_add(sum, &spot, at, spot.e ? le32_to_cpu(spot.e->flags) : 0);
}

static void gmfs_piece_add(const struct gmfs_piece *p, u32 i, struct gmfs_move_sum *sum)
{
	const struct gmfs_spot *spot = &p->spots[i];
	u32 now = spot->e ? le32_to_cpu(spot->e->flags) & ~GUESTMEMFS_EXTENT_ALLOCATED : 0;

	if (gmfs_piece_has(p, !i))
		now |= GUESTMEMFS_EXTENT_ALLOCATED;
	gmfs_move_add(sum, spot, p->at[i], now);
}

/* Is the rest of an extent without blocks still there after a step that moves the piece? */
static bool gmfs_piece_leaves_blockless(const struct gmfs_piece *p, u32 i)
{
	return gmfs_piece_is_blockless(p, i) && gmfs_piece_has(p, !i) &&
	       (p->count > GMFS_STEP_BLOCKS || p->at[i] + p->count < p->spots[i].end);
}

static s64 gmfs_piece_covered(const struct gmfs_move *mv, const struct gmfs_piece *p, u32 i)
{
	u64 at = p->at[i], end = at + p->count, next;
	s64 covered = 0;

	for (; at < end; at = next) {
		next = end;
		covered += gmfs_covered(mv->sides[i].map, at, &next);
	}
	return covered;
}

/* The net number of blocks that reserved parts of files lose with a piece. */
static s64 gmfs_piece_lost(const struct gmfs_move *mv, const struct gmfs_piece *p)
{
	if (gmfs_piece_has(p, 0) == gmfs_piece_has(p, 1))
		return 0;
	if (gmfs_piece_has(p, 0))
		return gmfs_piece_covered(mv, p, 0) - gmfs_piece_covered(mv, p, 1);
	return gmfs_piece_covered(mv, p, 1) - gmfs_piece_covered(mv, p, 0);
}

/**
 * gmfs_move_count - count the entries and the blocks that a move needs
 * @mv: the move
 *
 * Takes time proportional to the number of extents and of reserved ranges in both parts.
 */
void gmfs_move_count(struct gmfs_move *mv)
{
	struct gmfs_move_sum sums[GMFS_SIDES] = {};
	struct gmfs_piece p;
	u64 from;
	u32 i;

	mv->blockless = 0;
	mv->reserved = 0;
	mv->covered = 0;
	for (i = 0; i < GMFS_SIDES; i++)
		if (mv->sides[i].first)
			gmfs_move_add_beside(mv, i, mv->sides[i].first - 1, &sums[i]);
	for (from = 0; from < mv->count; from += p.count) {
		gmfs_piece_at(mv, from, U64_MAX, &p);
		for (i = 0; i < GMFS_SIDES; i++)
			gmfs_piece_add(&p, i, &sums[i]);
		/* A later piece may give back the entries that this one needs. */
		mv->blockless = max(mv->blockless, sums[0].blockless + sums[1].blockless +
						   gmfs_piece_leaves_blockless(&p, 0) +
						   gmfs_piece_leaves_blockless(&p, 1));
		mv->covered += gmfs_piece_lost(mv, &p);
		mv->reserved = max(mv->reserved, mv->covered);
	}
	for (i = 0; i < GMFS_SIDES; i++)
		gmfs_move_add_beside(mv, i, mv->sides[i].first + mv->count, &sums[i]);
	mv->blockless = max(mv->blockless, sums[0].blockless + sums[1].blockless);
}

/**
 * gmfs_move_begin - begin a move that has been counted
 * @mv: the move
 *
 * A reserved part that loses blocks stays reserved, so that others must be free for it.
 *
 * Return: 0, or -ENOSPC with nothing changed.
 */
int gmfs_move_begin(struct gmfs_move *mv)
{
	mv->from = 0;
	mv->promise = (struct gmfs_promise){};
	if (!gmfs_slots_fit(mv->t) ||
	    (mv->blockless && !gmfs_blockless_fit(mv->t, mv->blockless)) ||
	    gmfs_promise_blocks(mv->t, mv->reserved))
		return -ENOSPC;
	gmfs_promise_update(mv->t, &mv->promise, mv->blockless, 0);
	return 0;
}

/* Makes a piece an extent of its own, on a side where it is a part of one. */
static struct guestmemfs_extent *gmfs_piece_cut(struct gmfs_move *mv, const struct gmfs_piece *p,
						u32 i, struct gmfs_spot *spot)
{
	struct gmfs_extmap *map = mv->sides[i].map;

	if (p->at[i] + p->count < p->spots[i].end)
		gmfs_map_cut(mv->t, map, p->at[i] + p->count);
	gmfs_map_cut(mv->t, map, p->at[i]);
	gmfs_map_spot(mv->t, map, p->at[i], spot);
	return spot->e;
}

/* Merges what can be merged, also what is left of extents that were too long before. */
static void gmfs_piece_join(struct gmfs_move *mv, const struct gmfs_piece *p, u32 i)
{
	struct gmfs_extmap *map = mv->sides[i].map;

	gmfs_map_join(mv->t, map, p->at[i] + p->count);
	gmfs_map_join(mv->t, map, p->at[i]);
	if (!p->spots[i].e)
		return;
	gmfs_map_join(mv->t, map, p->spots[i].end);
	gmfs_map_join(mv->t, map, p->spots[i].start);
}

/* Takes the blocks of a piece away from one side. Returns the first one. */
static u32 gmfs_piece_lose(struct gmfs_move *mv, const struct gmfs_piece *p, u32 i)
{
	struct gmfs_extmap *map = mv->sides[i].map;
	struct guestmemfs_extent *e;
	struct gmfs_spot spot;
	u32 block;

	e = gmfs_piece_cut(mv, p, i, &spot);
	block = le32_to_cpu(e->block);
	map->blocks -= p->count;
	if (e->flags == cpu_to_le32(GUESTMEMFS_EXTENT_ALLOCATED)) {
		gmfs_map_store(map, spot.start, spot.end, GMFS_NO_SLOT, GFP_KERNEL | __GFP_NOFAIL);
		gmfs_extent_drop(mv->t, spot.slot);
	} else {
		e->flags &= ~cpu_to_le32(GUESTMEMFS_EXTENT_ALLOCATED);
		e->block = 0;
		mv->t->nr_blockless++;
	}
	gmfs_groups_disown(mv->t, block, p->count, mv->sides[i].ino, p->at[i]);
	return block;
}

/* The extent of a piece that has no blocks yet, in a hole or in an extent without blocks. */
static struct guestmemfs_extent *gmfs_piece_room(struct gmfs_move *mv, const struct gmfs_piece *p,
						 u32 i)
{
	struct guestmemfs_extent *e;
	struct gmfs_spot spot;
	u32 slot;

	if (gmfs_piece_is_blockless(p, i)) {
		mv->t->nr_blockless--;
		return gmfs_piece_cut(mv, p, i, &spot);
	}
	slot = gmfs_extent_slot(mv->t);
	e = &mv->t->extents[slot];
	e->logical = cpu_to_le64(p->at[i]);
	e->ino = cpu_to_le32(mv->sides[i].ino);
	e->count = cpu_to_le32(p->count);
	gmfs_map_store(mv->sides[i].map, p->at[i], p->at[i] + p->count, slot,
		       GFP_KERNEL | __GFP_NOFAIL);
	return e;
}

/*
 * Makes a file the owner of a group of the pool that has none, with all blocks of its gigabyte
 * that are in place there, and not just those of the piece.
 */
static void gmfs_piece_own(struct gmfs_move *mv, struct gmfs_piece *p, u32 i, u32 group, u64 at)
{
	u64 end = round_down(at, GUESTMEMFS_GROUP_BLOCKS) + GUESTMEMFS_GROUP_BLOCKS;
	const struct gmfs_side *side = &mv->sides[i];
	struct gmfs_spot spot;
	u32 block;

	for (at = round_down(at, GUESTMEMFS_GROUP_BLOCKS); at < end; at = spot.end, p->looks++) {
		gmfs_map_spot(mv->t, side->map, at, &spot);
		if (!spot.e || !gmfs_extent_allocated(spot.e))
			continue;
		block = gmfs_spot_block(&spot, at);
		if (block == group * GUESTMEMFS_GROUP_BLOCKS + at % GUESTMEMFS_GROUP_BLOCKS)
			gmfs_claim(mv->t, block, min(spot.end, end) - at, side->ino, at);
	}
}

/* Tells the groups of a piece's blocks that a side has the blocks now. */
static void gmfs_piece_claim(struct gmfs_move *mv, struct gmfs_piece *p, u32 i, u32 block)
{
	u64 at = p->at[i], end = at + p->count;
	u32 part, group;

	for (; at < end; at += part, block += part) {
		group = block / GUESTMEMFS_GROUP_BLOCKS;
		part = min(end - at, GUESTMEMFS_GROUP_BLOCKS - block % GUESTMEMFS_GROUP_BLOCKS);
		if (mv->t->groups[group].ino)
			gmfs_claim(mv->t, block, part, mv->sides[i].ino, at);
		else if (block % GUESTMEMFS_GROUP_BLOCKS == at % GUESTMEMFS_GROUP_BLOCKS)
			gmfs_piece_own(mv, p, i, group, at);
	}
}

static void gmfs_piece_get(struct gmfs_move *mv, struct gmfs_piece *p, u32 i, u32 block)
{
	struct guestmemfs_extent *e = gmfs_piece_room(mv, p, i);

	e->flags |= cpu_to_le32(GUESTMEMFS_EXTENT_ALLOCATED);
	e->block = cpu_to_le32(block);
	mv->sides[i].map->blocks += p->count;
	gmfs_piece_claim(mv, p, i, block);
	if (mv->zero)
		gmfs_mark_unzeroed(mv->t, block, p->count);
}

/* Exchanges the blocks of a piece that has some on both sides. */
static void gmfs_piece_swap(struct gmfs_move *mv, struct gmfs_piece *p)
{
	struct guestmemfs_extent *e[GMFS_SIDES];
	struct gmfs_spot spot;
	u32 blocks[GMFS_SIDES], i;

	for (i = 0; i < GMFS_SIDES; i++) {
		e[i] = gmfs_piece_cut(mv, p, i, &spot);
		blocks[i] = le32_to_cpu(e[i]->block);
		gmfs_groups_disown(mv->t, blocks[i], p->count, mv->sides[i].ino, p->at[i]);
	}
	for (i = 0; i < GMFS_SIDES; i++) {
		e[i]->block = cpu_to_le32(blocks[!i]);
		if (mv->zero)
			gmfs_mark_unzeroed(mv->t, blocks[i], p->count);
	}
	for (i = 0; i < GMFS_SIDES; i++)
		gmfs_piece_claim(mv, p, i, blocks[!i]);
}

static void gmfs_piece_move(struct gmfs_move *mv, struct gmfs_piece *p)
{
	const bool first = gmfs_piece_has(p, 0), second = gmfs_piece_has(p, 1);

	if (first && second)
		gmfs_piece_swap(mv, p);
	else if (first)
		gmfs_piece_get(mv, p, 1, gmfs_piece_lose(mv, p, 0));
	else if (second)
		gmfs_piece_get(mv, p, 0, gmfs_piece_lose(mv, p, 1));
	gmfs_piece_join(mv, p, 0);
	gmfs_piece_join(mv, p, 1);
}

/**
 * gmfs_move_step - move some of the blocks
 * @mv: the move
 *
 * Return: true if another step is needed.
 */
bool gmfs_move_step(struct gmfs_move *mv)
{
	u64 end = min(mv->count, mv->from + GMFS_STEP_BLOCKS);
	u32 blockless = mv->t->nr_blockless, i;
	struct gmfs_piece p;

	/* The last piece may end beyond @end: gmfs_move_count() counts whole ones. */
	for (i = 0; mv->from < end && i < GMFS_STEP_EXTENTS; mv->from += p.count) {
		gmfs_piece_at(mv, mv->from, GMFS_STEP_BLOCKS, &p);
		gmfs_piece_move(mv, &p);
		i += 1 + p.looks;
	}
	mv->promise.done_blockless += (s64)mv->t->nr_blockless - blockless;
	gmfs_promise_update(mv->t, &mv->promise, mv->blockless, 0);
	return mv->from < mv->count;
}

/**
 * gmfs_move_end - end a move
 * @mv: the move, with all steps done
 */
void gmfs_move_end(struct gmfs_move *mv)
{
	mv->t->promised_blockless -= mv->promise.blockless;
	mv->t->promised_blocks -= mv->reserved - mv->covered;
}
