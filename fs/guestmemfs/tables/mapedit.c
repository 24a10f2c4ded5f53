// SPDX-License-Identifier: GPL-2.0-only
/*
 * Change the extents of a part of a file: punch, truncate, convert, and the other
 * operations of enum gmfs_op.
 *
 * gmfs_edit_count() reads the extents of the part. The map must not change meanwhile, but
 * gmfs_pool.lock is not needed. gmfs_edit_begin() checks that there is room, allocates
 * memory, and splits the extents at both ends of the part, so that all steps work on whole
 * extents. gmfs_edit_step() changes a limited number of extents; gmfs_pool.lock may be
 * released between two steps. gmfs_edit_end() completes the edit.
 */
#include <linux/bitmap.h>
#include <linux/bits.h>
#include <linux/errno.h>
#include <linux/limits.h>
#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/slab.h>

#include "extmap.h"

/* The count of an extent has 32 bits: a longer hole becomes several extents. */
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

/* The pages of the block @at that change: page @low to page @high - 1. */
static void gmfs_edit_pages(const struct gmfs_edit *ed, u64 at, u32 *low, u32 *high)
{
	*low = at == gmfs_edit_from(ed) ? ed->first % GUESTMEMFS_BLOCK_PAGES : 0;
	*high = at == ed->last / GUESTMEMFS_BLOCK_PAGES ? ed->last % GUESTMEMFS_BLOCK_PAGES :
							   GUESTMEMFS_BLOCK_PAGES;
}

/* The new flags of @at, a block of the part. @e is its extent, NULL in a hole. */
static u32 gmfs_edit_new(const struct gmfs_edit *ed, u64 at, const struct guestmemfs_extent *e)
{
	const u32 own = GUESTMEMFS_EXTENT_ALLOCATED | GMFS_EXTENT_PENDING;
	u32 flags = e ? le32_to_cpu(e->flags) : 0, low, high;

	switch (ed->op) {
	case GMFS_PUNCH:
		return flags & ~own;
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

/* The new flags of any block of the file. */
static u32 gmfs_edit_flags(const struct gmfs_edit *ed, u64 at, const struct guestmemfs_extent *e)
{
	if (at >= gmfs_edit_from(ed) && at < gmfs_edit_to(ed))
		return gmfs_edit_new(ed, at, e);
	return e ? le32_to_cpu(e->flags) : 0;
}

/* Where new flags may differ within an extent or a hole, ascending. Returns the number. */
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

/* The first place after @at, up to @end, where new flags may differ. */
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
 * struct gmfs_last - the last one of the new extents that were counted so far
 * @from: first block in the file
 * @flags: new flags of the extent
 */
struct gmfs_last {
	u64 from;
	u32 flags;
};

/* Counts the entries of both tables that the piece from @at to @end adds. */
static void gmfs_edit_add(struct gmfs_edit *ed, u64 at, u64 end, const struct gmfs_spot *spot,
			  u32 now, struct gmfs_last *last)
{
	u32 flags = spot->e ? le32_to_cpu(spot->e->flags) : 0;
	bool begins = at == spot->start;

	if (begins)
		ed->blockless -= flags && gmfs_extent_is_blockless(flags);
	/* Otherwise gmfs_map_join() makes one extent of this piece and the last one. */
	if (now != last->flags || (begins && now & GUESTMEMFS_EXTENT_ALLOCATED) ||
	    now & GUESTMEMFS_EXTENT_MIXED || end - last->from > U32_MAX) {
		ed->blockless += now && gmfs_extent_is_blockless(now);
		last->from = at;
		last->flags = now;
	}
	ed->maps += !!(now & GUESTMEMFS_EXTENT_MIXED) - !!(flags & GUESTMEMFS_EXTENT_MIXED);
}

/**
 * gmfs_edit_count - count the entries that an edit needs
 * @ed: the edit
 *
 * Takes time proportional to the number of extents in the part. The map must not change
 * before gmfs_edit_begin().
 */
void gmfs_edit_count(struct gmfs_edit *ed)
{
	u64 from = gmfs_edit_from(ed), to = gmfs_edit_to(ed), at = from, end;
	struct gmfs_last last = {};
	u32 now;

	ed->blockless = 0;
	ed->maps = 0;
	ed->replaced = 0;
	ed->freed = 0;
	if (from >= to || ed->op == GMFS_COMMIT ||
	    (!ed->t->has_states && ed->op != GMFS_CONVERT))
		return;
	/* Include the neighbours: gmfs_map_join() may merge them with extents of the part. */
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
		gmfs_edit_add(ed, at, end, &spot, now, &last);
		if (at >= to)
			break;
	}
}

/* Does the edit take the blocks away from the extent @e, which begins before @at or there? */
static bool gmfs_edit_frees(const struct gmfs_edit *ed, u64 at, const struct guestmemfs_extent *e)
{
	return e && gmfs_extent_allocated(e) &&
	       !(gmfs_edit_new(ed, at, e) & GUESTMEMFS_EXTENT_ALLOCATED);
}

/**
 * gmfs_edit_count_kept - count the blocks that an edit has to replace
 * @ed: the edit, after gmfs_edit_count()
 * @at: first block to look at, that of the part at the first call; set to the next one
 *
 * A punch leaves holes in the reserved parts of the file, for which blocks stay reserved. A
 * block that is pinned or poisoned does not become free: another one must be reserved instead, be
 * it one that the punch frees. No pins may be added in the part from here to the end of the edit.
 *
 * Context: gmfs_pool.lock is held; the caller may release it between two calls.
 * Return: true if the caller must call again.
 */
bool gmfs_edit_count_kept(struct gmfs_edit *ed, u64 *at)
{
	u64 to = gmfs_edit_to(ed), end, covered;
	struct gmfs_spot spot;
	u32 i, count;
	bool kept;

	if (!gmfs_any_kept(ed->t) || mtree_empty(&ed->map->cover))
		return false;
	for (i = 0; *at < to && i < GMFS_STEP_EXTENTS; i++, *at = end) {
		gmfs_map_spot(ed->t, ed->map, *at, &spot);
		end = min(spot.end, to);
		if (!gmfs_edit_frees(ed, *at, spot.e))
			continue;
		count = end - *at;
		kept = gmfs_blocks_kept(ed->t, gmfs_spot_block(&spot, *at), &count);
		end = *at + count;
		covered = gmfs_covered(ed->map, *at, &end);
		if (kept)
			ed->replaced += covered;
		else
			ed->freed += end - *at - covered;
	}
	return *at < to;
}

/* Which cuts are inside an extent that cannot remain one extent? Returns a bitmap. */
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
 * If the first block needs an entry of the map table, change it last: only the net number
 * of entries is reserved, and the other blocks may have to free theirs first.
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
	u32 nr, i, cut, blockless = t->nr_blockless;
	int err = 0;

	ed->at = gmfs_edit_from(ed);
	ed->late = false;
	ed->hole = true;
	ed->promise = (struct gmfs_promise){};
	if (ed->at >= gmfs_edit_to(ed))
		return 0;
	if (ed->blockless > 0 && !gmfs_blockless_fit(t, ed->blockless))
		return -ENOSPC;
	if (ed->maps > (s64)t->free_maps - t->promised_maps)
		return -ENOSPC;
	if (ed->replaced > (s64)(gmfs_blocks_left(t) + ed->freed))
		return -ENOSPC;
	nr = gmfs_edit_cuts(ed, cuts);
	cut = gmfs_edit_find_cuts(ed, cuts, nr);
	if (!gmfs_slots_fit(t))
		return -ENOSPC;
	/*
	 * Splitting blockless extents uses GMFS_SPARE_EXTENTS. Edits in progress may use half of
	 * these entries; the other half is for changes that are made in a single step.
	 */
	if (cut && t->nr_blockless + nr >
		   gmfs_blockless_max(t, t->total_blocks) + GMFS_SPARE_EXTENTS / 2)
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
	ed->promise.done_blockless = (s64)t->nr_blockless - blockless;
	gmfs_promise_update(t, &ed->promise, ed->blockless, ed->maps);
	t->promised_blocks += ed->replaced;
	gmfs_edit_order(ed);
	return 0;
}

/* Updates the map entry of a block that becomes or remains mixed. */
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

/*
 * Takes the blocks away from an extent. Freed blocks of a covered part stay reserved for the
 * file, and for those that are kept gmfs_edit_count_kept() has reserved others. Limits the extent
 * to what may be freed in one step, and to blocks that are all kept or all not.
 *
 * A block that has been poisoned since then has no replacement: gmfs_edit.replaced may go below
 * zero, by as much as gmfs_edit_end() has to add to gmfs_tables.promised_blocks.
 */
static void gmfs_edit_free(struct gmfs_edit *ed, struct gmfs_spot *spot)
{
	u32 block = le32_to_cpu(spot->e->block), ino = le32_to_cpu(spot->e->ino);
	u32 count = min(spot->end - spot->start, GMFS_STEP_BLOCKS);
	bool kept = gmfs_blocks_kept(ed->t, block, &count);
	u64 end = spot->start + count, covered = gmfs_covered(ed->map, spot->start, &end);

	if (end < spot->end) {
		spot->end = end;
		gmfs_map_cut(ed->t, ed->map, end);
	}
	count = spot->end - spot->start;
	if (kept) {
		gmfs_detach(ed->t, block, count, ino, spot->start);
		ed->replaced -= covered;
	} else {
		gmfs_release(ed->t, block, count, ino, spot->start);
		ed->t->promised_blocks += covered;
	}
	ed->map->blocks -= count;
	spot->e->block = 0;
}

/* Turns a part of a hole into an extent without blocks. */
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

/* Gives an extent its new flags. Returns false if the extent was freed. */
static bool gmfs_edit_extent(struct gmfs_edit *ed, struct gmfs_spot *spot, u32 now)
{
	u32 flags = le32_to_cpu(spot->e->flags), lost = flags & ~now;

	if (lost & GUESTMEMFS_EXTENT_ALLOCATED)
		gmfs_edit_free(ed, spot);
	if (lost & GUESTMEMFS_EXTENT_MIXED) {
		gmfs_mixed_drop(ed->t, le32_to_cpu(spot->e->map));
		spot->e->map = 0;
	}
	ed->t->nr_blockless -= flags && gmfs_extent_is_blockless(flags);
	if (!now) {
		gmfs_extent_drop(ed->t, spot->slot);
		return false;
	}
	ed->t->nr_blockless += gmfs_extent_is_blockless(now);
	spot->e->flags = cpu_to_le32(now);
	if (ed->op == GMFS_CONVERT && now & GUESTMEMFS_EXTENT_MIXED)
		gmfs_edit_mix(ed, spot->start, spot->e);
	if (now & ~(GUESTMEMFS_EXTENT_ALLOCATED | GMFS_EXTENT_PENDING))
		gmfs_feature_states(ed->t);
	return true;
}

/*
 * Change the extent or the hole from @at to @end. Returns true if it is a hole afterwards,
 * and sets @gone if the tree still refers to an extent that was freed.
 */
static bool gmfs_edit_spot(struct gmfs_edit *ed, u64 at, u64 *end, bool *gone)
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

/* Removes freed extents, and the holes between them, from the tree. */
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
 * Return: true if another step is needed.
 */
bool gmfs_edit_step(struct gmfs_edit *ed)
{
	u32 blockless = ed->t->nr_blockless, maps = ed->t->free_maps, i;
	u64 to = gmfs_edit_to(ed), hole = ed->at, end;
	bool gone = false;

	for (i = 0; ed->at < to && i < GMFS_STEP_EXTENTS; i++, ed->at = end) {
		if (gmfs_edit_spot(ed, ed->at, &end, &gone))
			continue;
		ed->hole = false;
		gmfs_edit_erase(ed, hole, ed->at, &gone);
		gmfs_map_join(ed->t, ed->map, ed->at);
		hole = end;
	}
	gmfs_edit_erase(ed, hole, min(ed->at, to), &gone);
	if (ed->at >= to && ed->late)
		ed->hole &= gmfs_edit_spot(ed, gmfs_edit_from(ed), &end, &gone);
	/*
	 * GMFS_CLEAR reserves nothing for later steps: the only entries that it allocates are for
	 * extents with blocks, and each block has one.
	 */
	if (ed->op == GMFS_CLEAR)
		return ed->at < to;
	ed->promise.done_blockless += (s64)ed->t->nr_blockless - blockless;
	ed->promise.done_maps += (s64)maps - ed->t->free_maps;
	gmfs_promise_update(ed->t, &ed->promise, ed->blockless, ed->maps);
	return ed->at < to;
}

/**
 * gmfs_edit_end - end an edit
 * @ed: the edit, with all steps done
 */
void gmfs_edit_end(struct gmfs_edit *ed)
{
	u64 cuts[GMFS_MAX_CUTS];
	u32 nr, i;

	if (gmfs_edit_from(ed) >= gmfs_edit_to(ed))
		return;
	ed->t->promised_blockless -= ed->promise.blockless;
	ed->t->promised_maps -= ed->promise.maps;
	ed->t->promised_blocks -= ed->replaced;
	if (ed->hole)
		return;
	nr = gmfs_edit_cuts(ed, cuts);
	for (i = 0; i < nr; i++)
		gmfs_map_join(ed->t, ed->map, cuts[i]);
}

/**
 * gmfs_edit_all - make an edit from beginning to end
 * @ed: the edit
 *
 * For callers that need not release gmfs_pool.lock between two steps.
 *
 * Return: 0, or the error of gmfs_edit_begin(), with nothing changed.
 */
int gmfs_edit_all(struct gmfs_edit *ed)
{
	u64 at = gmfs_edit_from(ed);
	int err;

	gmfs_edit_count(ed);
	while (gmfs_edit_count_kept(ed, &at))
		;
	err = gmfs_edit_begin(ed);
	if (err)
		return err;
	while (gmfs_edit_step(ed))
		;
	gmfs_edit_end(ed);
	return 0;
}

/**
 * gmfs_map_edit - make an edit of whole blocks from beginning to end
 * @t: the pool's tables
 * @map: the file's extents
 * @op: the operation, not %GMFS_CONVERT
 * @logical: first block in the file
 * @count: number of blocks; @logical + @count <= %GMFS_MAX_LOGICAL
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
 * gmfs_map_clear - free all blocks and extents of a file
 * @t: the pool's tables
 * @map: the file's extents
 *
 * Blocks with pins or poisoned frames become detached. Cannot fail.
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
