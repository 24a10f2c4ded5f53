// SPDX-License-Identifier: GPL-2.0-only
/*
 * Changes of the extents that a part of a file has: punch, truncate, convert and their like.
 *
 * An edit is counted, begun, done in steps and ended. Counting reads the extents of the part;
 * for that the map must not change, but the pool's lock is not needed. Beginning checks that
 * there is room, takes what memory is needed, and cuts extents in two where the part begins
 * and ends, so that a step looks at whole extents. A step changes a bounded number of them,
 * and the pool's lock may be released between two steps.
 */
#include <linux/bitmap.h>
#include <linux/bits.h>
#include <linux/errno.h>
#include <linux/limits.h>
#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/slab.h>

#include "extmap.h"

/* A hole may be longer than the count of an extent can tell. */
#define GMFS_MAX_PIECE		BIT_ULL(31)
#define GMFS_MAX_CUTS		4

static u64 gmfs_edit_from(const struct gmfs_edit *ed)
{
	return ed->first / GUESTMEMFS_BLOCK_PAGES;
}

static u64 gmfs_edit_to(const struct gmfs_edit *ed)
{
	return DIV_ROUND_UP(ed->last, (u64)GUESTMEMFS_BLOCK_PAGES);
}

/* The pages of a block that change: from @low to @high. */
static void gmfs_edit_pages(const struct gmfs_edit *ed, u64 at, u32 *low, u32 *high)
{
	*low = at == gmfs_edit_from(ed) ? ed->first % GUESTMEMFS_BLOCK_PAGES : 0;
	*high = at == ed->last / GUESTMEMFS_BLOCK_PAGES ? ed->last % GUESTMEMFS_BLOCK_PAGES :
							   GUESTMEMFS_BLOCK_PAGES;
}

/* What the flags of the extent @e, or of a hole, become at @at, a block of the part. */
static u32 gmfs_edit_new(const struct gmfs_edit *ed, u64 at, const struct guestmemfs_extent *e)
{
	const u32 own = GUESTMEMFS_EXTENT_ALLOCATED | GMFS_EXTENT_PENDING;
	const u32 ready = GUESTMEMFS_EXTENT_TRUNCATED | GUESTMEMFS_EXTENT_PINNED;
	u32 flags = e ? le32_to_cpu(e->flags) : 0, low, high;

	switch (ed->op) {
	case GMFS_PUNCH:
		return flags & GUESTMEMFS_EXTENT_TRUNCATED ? flags : flags & ~own;
	case GMFS_TRUNCATE:
		if (flags & GUESTMEMFS_EXTENT_ALLOCATED)
			flags |= GUESTMEMFS_EXTENT_TRUNCATED;
		return flags & ~GMFS_EXTENT_PENDING;
	case GMFS_READY:
		return (flags & ready) == GUESTMEMFS_EXTENT_TRUNCATED ?
		       flags & GMFS_EXTENT_CHARACTER : flags;
	case GMFS_CONVERT:
		gmfs_edit_pages(ed, at, &low, &high);
		return (flags & ~GMFS_EXTENT_CHARACTER) |
		       gmfs_convert_flags(ed->t, e, low, high, ed->converted);
	case GMFS_COMMIT:
		return flags & ~GMFS_EXTENT_PENDING;
	case GMFS_ABORT:
		return flags & GMFS_EXTENT_PENDING ? flags & ~own : flags;
	default:
		return 0;
	}
}

/* Likewise at any block of the file. */
static u32 gmfs_edit_flags(const struct gmfs_edit *ed, u64 at, const struct guestmemfs_extent *e)
{
	if (at >= gmfs_edit_from(ed) && at < gmfs_edit_to(ed))
		return gmfs_edit_new(ed, at, e);
	return e ? le32_to_cpu(e->flags) : 0;
}

/* Where flags that are alike may be different afterwards, ascending. Returns how many. */
static u32 gmfs_edit_cuts(const struct gmfs_edit *ed, u64 cuts[GMFS_MAX_CUTS])
{
	u64 from = gmfs_edit_from(ed), to = gmfs_edit_to(ed);
	u32 nr = 0;

	cuts[nr++] = from;
	if (ed->first % GUESTMEMFS_BLOCK_PAGES && from + 1 < to)
		cuts[nr++] = from + 1;
	if (ed->last % GUESTMEMFS_BLOCK_PAGES && to - 1 > cuts[nr - 1])
		cuts[nr++] = to - 1;
	cuts[nr++] = to;
	return nr;
}

/* The first place behind @at, up to @end, where the flags may be different. */
static u64 gmfs_edit_next(const struct gmfs_edit *ed, u64 at, u64 end)
{
	u64 cuts[GMFS_MAX_CUTS];
	u32 nr = gmfs_edit_cuts(ed, cuts), i;

	for (i = 0; i < nr; i++)
		if (cuts[i] > at)
			return min(cuts[i], end);
	return end;
}

/**
 * struct gmfs_last - the extent that the pieces counted so far end with
 * @from: first block in the file
 * @flags: its new flags
 */
struct gmfs_last {
	u64 from;
	u32 flags;
};

/* The count of what a piece adds. */
static void gmfs_edit_add(struct gmfs_edit *ed, u64 at, u64 end, const struct gmfs_spot *spot,
			  u32 now, struct gmfs_last *last)
{
	u32 flags = spot->e ? le32_to_cpu(spot->e->flags) : 0;
	bool begins = at == spot->start;

	if (begins)
		ed->states -= flags && gmfs_is_state(flags);
	/* Another part of the same extent, or extents that will be one. */
	if (now != last->flags || (begins && now & GUESTMEMFS_EXTENT_ALLOCATED) ||
	    now & GUESTMEMFS_EXTENT_MIXED || end - last->from > U32_MAX) {
		ed->states += now && gmfs_is_state(now);
		last->from = at;
		last->flags = now;
	}
	ed->maps += !!(now & GUESTMEMFS_EXTENT_MIXED) - !!(flags & GUESTMEMFS_EXTENT_MIXED);
}

/**
 * gmfs_edit_count - what an edit needs
 * @ed: the edit
 *
 * Takes time by the number of extents in the part. The map must not change before
 * gmfs_edit_begin().
 *
 * Return: 0, or -EBUSY if a part that is to be converted is truncated.
 */
int gmfs_edit_count(struct gmfs_edit *ed)
{
	u64 from = gmfs_edit_from(ed), to = gmfs_edit_to(ed), at = from, end;
	struct gmfs_last last = {};
	u32 now;

	ed->states = 0;
	ed->maps = 0;
	if (from >= to || ed->op == GMFS_COMMIT ||
	    (!ed->t->states && ed->op != GMFS_CONVERT))
		return 0;
	/* One more on each side: they may become one extent with what is in the part. */
	if (from) {
		struct gmfs_spot before;

		gmfs_map_spot(ed->t, ed->map, from - 1, &before);
		at = before.start;
	}
	for (; at < GMFS_MAX_LOGICAL; at = end) {
		struct gmfs_spot spot;

		gmfs_map_spot(ed->t, ed->map, at, &spot);
		end = gmfs_edit_next(ed, at, spot.e ? spot.end :
						      min(spot.end, at + GMFS_MAX_PIECE));
		now = gmfs_edit_flags(ed, at, spot.e);
		if (ed->op == GMFS_CONVERT && at >= from && at < to &&
		    now & GUESTMEMFS_EXTENT_TRUNCATED)
			return -EBUSY;
		gmfs_edit_add(ed, at, end, &spot, now, &last);
		if (at >= to)
			break;
	}
	return 0;
}

/* Which of the cuts are inside of extents that are not one any more after the edit? */
static u32 gmfs_edit_find_cuts(const struct gmfs_edit *ed, const u64 *cuts, u32 nr)
{
	struct gmfs_spot spot = {};
	u32 i, before, behind, found = 0;

	for (i = 0; i < nr && cuts[i] < GMFS_MAX_LOGICAL; i++) {
		u64 at = cuts[i];

		if (i && at == spot.end)
			continue;
		if (!i || at > spot.end)
			gmfs_map_spot(ed->t, ed->map, at, &spot);
		if (!spot.e || spot.start == at)
			continue;
		before = gmfs_edit_flags(ed, at - 1, spot.e);
		behind = gmfs_edit_flags(ed, at, spot.e);
		if (before != behind || behind & GUESTMEMFS_EXTENT_MIXED)
			found |= BIT(i);
	}
	return found;
}

/*
 * A first block that needs an entry of the map table comes last: by then the others have given
 * back what they do not need any more.
 */
static void gmfs_edit_order(struct gmfs_edit *ed)
{
	struct gmfs_spot spot;

	if (ed->op != GMFS_CONVERT)
		return;
	gmfs_map_spot(ed->t, ed->map, ed->at, &spot);
	ed->late = gmfs_edit_new(ed, ed->at, spot.e) & GUESTMEMFS_EXTENT_MIXED &&
		   !(spot.e && spot.e->map);
	ed->at += ed->late;
}

/**
 * gmfs_edit_begin - begin an edit that has been counted
 * @ed: the edit
 *
 * Return: 0, -ENOSPC or -ENOMEM, both with nothing changed.
 */
int gmfs_edit_begin(struct gmfs_edit *ed)
{
	struct gmfs_tables *t = ed->t;
	u64 cuts[GMFS_MAX_CUTS];
	u32 nr, i, cut, states = t->nr_states;
	int err = 0;

	ed->at = gmfs_edit_from(ed);
	ed->late = false;
	ed->promise = (struct gmfs_promise){};
	if (ed->at >= gmfs_edit_to(ed))
		return 0;
	if (ed->states > 0 && !gmfs_states_fit(t, ed->states))
		return -ENOSPC;
	if (ed->maps > (s64)t->free_maps - t->promised_maps)
		return -ENOSPC;
	nr = gmfs_edit_cuts(ed, cuts);
	cut = gmfs_edit_find_cuts(ed, cuts, nr);
	if (!gmfs_slots_fit(t))
		return -ENOSPC;
	/* Edits in progress have the spare entries; half are for what others do in one step. */
	if (cut && t->nr_states + nr > gmfs_states_max(t, t->total_blocks) + GMFS_SPARE_EXTENTS / 2)
		return -ENOSPC;
	for (i = 0; i < nr && !err; i++)
		if (cut & BIT(i))
			err = gmfs_map_split(ed->map, cuts[i]);
	while (i-- > 0) {
		if (!(cut & BIT(i)))
			continue;
		if (err)
			gmfs_map_unsplit(t, ed->map, cuts[i]);
		else
			gmfs_map_cut(t, ed->map, cuts[i]);
	}
	if (err)
		return err;
	ed->promise.done_states = (s64)t->nr_states - states;
	gmfs_promise_update(t, &ed->promise, ed->states, ed->maps);
	gmfs_edit_order(ed);
	return 0;
}

/* The pages of a block that is in part converted now. */
static void gmfs_edit_mix(const struct gmfs_edit *ed, u64 at, struct guestmemfs_extent *e)
{
	unsigned long *bits;
	u32 low, high;

	if (!e->map) {
		e->map = cpu_to_le32(gmfs_mixed_take(ed->t));
		if (!ed->converted)
			bitmap_fill(gmfs_mixed_bits(ed->t, le32_to_cpu(e->map)),
				    GUESTMEMFS_BLOCK_PAGES);
	}
	bits = gmfs_mixed_bits(ed->t, le32_to_cpu(e->map));
	gmfs_edit_pages(ed, at, &low, &high);
	if (ed->converted)
		bitmap_set(bits, low, high - low);
	else
		bitmap_clear(bits, low, high - low);
}

/* Frees what a whole extent has no longer. */
static void gmfs_edit_free(const struct gmfs_edit *ed, struct guestmemfs_extent *e, u32 lost)
{
	u32 count = le32_to_cpu(e->count);

	if (lost & GUESTMEMFS_EXTENT_ALLOCATED) {
		gmfs_release(ed->t, le32_to_cpu(e->block), count, le32_to_cpu(e->ino),
			     le64_to_cpu(e->logical));
		ed->map->blocks -= count;
		e->block = 0;
	}
	if (lost & GUESTMEMFS_EXTENT_MIXED) {
		gmfs_mixed_drop(ed->t, le32_to_cpu(e->map));
		e->map = 0;
	}
}

/* A part of a hole becomes an extent without blocks. */
static void gmfs_edit_hole(const struct gmfs_edit *ed, u64 at, struct gmfs_spot *spot)
{
	spot->end = gmfs_edit_next(ed, at, min(spot->end, at + GMFS_MAX_PIECE));
	spot->start = at;
	spot->slot = gmfs_extent_slot(ed->t);
	spot->e = &ed->t->extents[spot->slot];
	spot->e->logical = cpu_to_le64(at);
	spot->e->ino = cpu_to_le32(ed->ino);
	spot->e->count = cpu_to_le32(spot->end - at);
	gmfs_map_store(ed->map, at, spot->end, spot->slot, GFP_KERNEL | __GFP_NOFAIL);
}

/*
 * Blocks that somebody holds reserved stay the file's when they are freed. Cuts off what is too
 * much for one step.
 */
static void gmfs_edit_shorten(const struct gmfs_edit *ed, struct gmfs_spot *spot)
{
	u64 end = min(spot->end, spot->start + GMFS_STEP_BLOCKS);

	ed->t->promised_blocks += gmfs_covered(ed->map, spot->start, &end);
	if (end == spot->end)
		return;
	spot->end = end;
	gmfs_map_cut(ed->t, ed->map, end);
}

/* Gives an extent its new flags. Returns whether there is anything left of it. */
static bool gmfs_edit_extent(const struct gmfs_edit *ed, struct gmfs_spot *spot, u32 now)
{
	u32 flags = le32_to_cpu(spot->e->flags), lost = flags & ~now;

	if (lost & GUESTMEMFS_EXTENT_ALLOCATED)
		gmfs_edit_shorten(ed, spot);
	gmfs_edit_free(ed, spot->e, lost);
	ed->t->nr_states -= flags && gmfs_is_state(flags);
	if (!now) {
		gmfs_extent_drop(ed->t, spot->slot);
		return false;
	}
	ed->t->nr_states += gmfs_is_state(now);
	spot->e->flags = cpu_to_le32(now);
	if (ed->op == GMFS_CONVERT && now & GUESTMEMFS_EXTENT_MIXED)
		gmfs_edit_mix(ed, spot->start, spot->e);
	if (now & ~(GUESTMEMFS_EXTENT_ALLOCATED | GMFS_EXTENT_PENDING))
		gmfs_feature_states(ed->t);
	return true;
}

/*
 * The extent or the hole at @at, up to @end. Returns whether there is a hole afterwards, and
 * sets @gone if the tree still has the extent that was there.
 */
static bool gmfs_edit_spot(const struct gmfs_edit *ed, u64 at, u64 *end, bool *gone)
{
	struct gmfs_spot spot;
	u32 now;

	gmfs_map_spot(ed->t, ed->map, at, &spot);
	*end = spot.end;
	now = gmfs_edit_new(ed, at, spot.e);
	if (now == (spot.e ? le32_to_cpu(spot.e->flags) : 0) &&
	    !(ed->op == GMFS_CONVERT && now & GUESTMEMFS_EXTENT_MIXED))
		return !spot.e;
	if (!spot.e)
		gmfs_edit_hole(ed, at, &spot);
	if (!gmfs_edit_extent(ed, &spot, now))
		*gone = true;
	*end = spot.end;
	return !now;
}

/* Takes the extents that are gone out of the tree, with the holes between them. */
static void gmfs_edit_erase(const struct gmfs_edit *ed, u64 from, u64 to, bool *gone)
{
	if (*gone && ed->op != GMFS_CLEAR)
		gmfs_map_store(ed->map, from, to, GMFS_NO_SLOT, GFP_KERNEL | __GFP_NOFAIL);
	*gone = false;
}

/**
 * gmfs_edit_step - change some of the extents
 * @ed: the edit
 *
 * Return: true if there are more, so that another step is due.
 */
bool gmfs_edit_step(struct gmfs_edit *ed)
{
	u32 states = ed->t->nr_states, maps = ed->t->free_maps, i;
	u64 to = gmfs_edit_to(ed), hole = ed->at, end;
	bool gone = false;

	for (i = 0; ed->at < to && i < GMFS_STEP_EXTENTS; i++, ed->at = end) {
		if (gmfs_edit_spot(ed, ed->at, &end, &gone))
			continue;
		gmfs_edit_erase(ed, hole, ed->at, &gone);
		gmfs_map_join(ed->t, ed->map, ed->at);
		hole = end;
	}
	gmfs_edit_erase(ed, hole, min(ed->at, to), &gone);
	if (ed->at >= to && ed->late)
		gmfs_edit_spot(ed, gmfs_edit_from(ed), &end, &gone);
	/* Nothing of it comes back. */
	if (ed->op == GMFS_CLEAR)
		return ed->at < to;
	ed->promise.done_states += (s64)ed->t->nr_states - states;
	ed->promise.done_maps += (s64)maps - ed->t->free_maps;
	gmfs_promise_update(ed->t, &ed->promise, ed->states, ed->maps);
	return ed->at < to;
}

/**
 * gmfs_edit_end - end an edit
 * @ed: the edit, of which all steps are done
 */
void gmfs_edit_end(struct gmfs_edit *ed)
{
	u64 cuts[GMFS_MAX_CUTS];
	u32 nr, i;

	if (gmfs_edit_from(ed) >= gmfs_edit_to(ed))
		return;
	ed->t->promised_states -= ed->promise.states;
	ed->t->promised_maps -= ed->promise.maps;
	nr = gmfs_edit_cuts(ed, cuts);
	for (i = 0; i < nr; i++)
		gmfs_map_join(ed->t, ed->map, cuts[i]);
}

/**
 * gmfs_edit_all - an edit from beginning to end
 * @ed: the edit
 *
 * For those who need not release the pool's lock on the way.
 *
 * Return: 0, or what gmfs_edit_count() and gmfs_edit_begin() say, with nothing changed.
 */
int gmfs_edit_all(struct gmfs_edit *ed)
{
	int err = gmfs_edit_count(ed);

	if (!err)
		err = gmfs_edit_begin(ed);
	if (err)
		return err;
	while (gmfs_edit_step(ed))
		;
	gmfs_edit_end(ed);
	return 0;
}

/**
 * gmfs_map_edit - an edit of whole blocks from beginning to end
 * @t: the pool's tables
 * @map: the file's extents
 * @op: what changes, not %GMFS_CONVERT
 * @logical: first block in the file
 * @count: number of blocks; @logical + @count is at most %GMFS_MAX_LOGICAL
 *
 * Return: as gmfs_edit_all().
 */
int gmfs_map_edit(struct gmfs_tables *t, struct gmfs_extmap *map, enum gmfs_op op, u64 logical,
		  u64 count)
{
	struct gmfs_edit ed = {
		.t	= t,
		.map	= map,
		.op	= op,
		.first	= logical * GUESTMEMFS_BLOCK_PAGES,
		.last	= (logical + count) * GUESTMEMFS_BLOCK_PAGES,
	};

	return gmfs_edit_all(&ed);
}

/**
 * gmfs_map_clear - give back all blocks of a file
 * @t: the pool's tables
 * @map: the file's extents
 *
 * And all that is known of its offsets: their character, and what is truncated, which nobody
 * may hold any more. Needs no memory and cannot fail.
 */
void gmfs_map_clear(struct gmfs_tables *t, struct gmfs_extmap *map)
{
	struct gmfs_edit ed = {
		.t	= t,
		.map	= map,
		.op	= GMFS_CLEAR,
		.last	= GMFS_MAX_PAGE,
	};

	while (gmfs_edit_step(&ed))
		;
	gmfs_map_destroy(map);
}
