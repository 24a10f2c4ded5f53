// SPDX-License-Identifier: GPL-2.0-only
/*
 * Changes of the extents that a part of a file has.
 *
 * The extents that a change concerns, with their neighbours, are walked twice.
 * First the result is counted, and whoever has no room for it is told so while
 * nothing has happened. Then it is written down, and takes the place of what
 * was there. Both walks take time by the number of extents, not of blocks.
 *
 * Everything here works on tables that gmfs_check() has accepted, is
 * serialised by the caller, and fails before it has changed anything.
 */
#include <linux/bitmap.h>
#include <linux/bits.h>
#include <linux/errno.h>
#include <linux/limits.h>
#include <linux/minmax.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "extmap.h"

#define GMFS_NO_SLOT		U32_MAX
/* Holes are larger than what the count of an extent can tell. */
#define GMFS_MAX_PIECE		BIT_ULL(31)

/* An extent as it will be, and its entry in the table, if it has one yet. */
struct gmfs_piece {
	struct guestmemfs_extent e;
	u32 slot;
};

/**
 * struct gmfs_edit - a change in progress
 * @t: the pool's tables
 * @map: the file's extents
 * @ino: the file, if holes may become extents
 * @spans: what changes, ascending and without gaps
 * @nr_spans: their number
 * @pos: first extent of @map that is walked
 * @old: number of extents that are
 * @pieces: the result, NULL in the first walk
 * @last: the last one of it in the first walk
 * @nr: number of pieces
 * @states: how many of them are states, less those that were
 * @mixed: map entries that are needed, less those that are freed
 * @cuts: entries for what begins where a span begins, and where the last ends
 */
struct gmfs_edit {
	struct gmfs_tables *t;
	struct gmfs_extmap *map;
	u32 ino;
	struct gmfs_span *spans;
	u32 nr_spans;
	u32 pos;
	u32 old;
	struct gmfs_piece *pieces;
	struct gmfs_piece last;
	u32 nr;
	s64 states;
	s64 mixed;
	u32 cuts[GMFS_MAX_SPANS + 1];
};

static u32 gmfs_span_flags(const struct gmfs_span *span, u32 flags)
{
	if (!span || (flags & span->mask) != span->match)
		return flags;
	return (flags & ~span->clear) | span->set;
}

static void gmfs_edit_count(struct gmfs_edit *ed, const struct guestmemfs_extent *was, u32 now)
{
	u32 flags = le32_to_cpu(was->flags);

	ed->mixed += !!(now & GUESTMEMFS_EXTENT_MIXED) - !!(flags & GUESTMEMFS_EXTENT_MIXED);
}

/* Frees what the part of an extent from @at on has no longer. */
static void gmfs_edit_free(struct gmfs_edit *ed, const struct guestmemfs_extent *was,
			   const struct gmfs_piece *now, u64 at)
{
	u32 lost = le32_to_cpu(was->flags) & ~le32_to_cpu(now->e.flags);

	if (lost & GUESTMEMFS_EXTENT_ALLOCATED)
		gmfs_release(ed->t, le32_to_cpu(was->block) + (at - le64_to_cpu(was->logical)),
			     le32_to_cpu(now->e.count), le32_to_cpu(was->ino), at);
	if (lost & GUESTMEMFS_EXTENT_MIXED)
		gmfs_mixed_drop(ed->t, le32_to_cpu(was->map));
	if (!now->e.flags && now->slot != GMFS_NO_SLOT)
		gmfs_extent_drop(ed->t, now->slot);
}

/* Puts a piece behind the others, or makes the last one longer. */
static void gmfs_edit_add(struct gmfs_edit *ed, const struct gmfs_piece *piece)
{
	struct gmfs_piece *last = ed->pieces ? &ed->pieces[ed->nr - 1] : &ed->last;

	if (ed->nr && gmfs_extents_join(ed->t, &last->e, &piece->e)) {
		last->e.count = cpu_to_le32(le32_to_cpu(last->e.count) +
					    le32_to_cpu(piece->e.count));
		if (last->slot == GMFS_NO_SLOT)
			last->slot = piece->slot;
		else if (ed->pieces && piece->slot != GMFS_NO_SLOT)
			gmfs_extent_drop(ed->t, piece->slot);
		return;
	}
	if (ed->pieces)
		ed->pieces[ed->nr] = *piece;
	else
		ed->last = *piece;
	ed->nr++;
	ed->states += gmfs_is_state(le32_to_cpu(piece->e.flags));
}

/* The part of an extent, or of a hole, that is in @span or in none. */
static int gmfs_edit_part(struct gmfs_edit *ed, const struct guestmemfs_extent *e, u32 slot,
			  u64 at, u64 end, struct gmfs_span *span)
{
	u32 flags = gmfs_span_flags(span, le32_to_cpu(e->flags));
	struct gmfs_piece piece = {
		.e.logical	= cpu_to_le64(at),
		.e.ino		= e->ino,
		.e.count	= cpu_to_le32(end - at),
		.e.flags	= cpu_to_le32(flags),
		.e.pins		= e->pins,
		.slot		= slot,
	};

	if (span && le32_to_cpu(e->flags) & span->refuse)
		return -EBUSY;
	if (flags & GUESTMEMFS_EXTENT_ALLOCATED)
		piece.e.block = cpu_to_le32(le32_to_cpu(e->block) +
					    (at - le64_to_cpu(e->logical)));
	if (flags & GUESTMEMFS_EXTENT_MIXED)
		piece.e.map = e->map;
	if (ed->pieces)
		gmfs_edit_free(ed, e, &piece, at);
	else
		gmfs_edit_count(ed, e, flags);
	if (!flags)
		return 0;
	gmfs_edit_add(ed, &piece);
	if (span)
		span->piece = ed->nr - 1;
	return 0;
}

/* The span that @at is in, and in @end where that changes. */
static struct gmfs_span *gmfs_edit_span(struct gmfs_edit *ed, u64 at, u64 *end, u32 *cut)
{
	u32 i;

	*cut = GMFS_NO_SLOT;
	for (i = 0; i < ed->nr_spans; i++) {
		struct gmfs_span *span = &ed->spans[i];

		if (at == span->from)
			*cut = ed->cuts[i];
		if (at < span->from) {
			*end = min(*end, span->from);
			return NULL;
		}
		if (at < span->to) {
			*end = min(*end, span->to);
			return span;
		}
	}
	if (at == ed->spans[i - 1].to)
		*cut = ed->cuts[i];
	return NULL;
}

/* An extent, or a hole with the entry of none, from its begin to @end. */
static int gmfs_edit_extent(struct gmfs_edit *ed, const struct guestmemfs_extent *e, u32 slot,
			    u64 at, u64 end)
{
	int err = 0;

	while (at < end && !err) {
		u64 to = min(end, at + GMFS_MAX_PIECE);
		struct gmfs_span *span;
		u32 cut;

		span = gmfs_edit_span(ed, at, &to, &cut);
		if (at != le64_to_cpu(e->logical))
			slot = cut;
		err = gmfs_edit_part(ed, e, slot, at, to, span);
		at = to;
	}
	return err;
}

static int gmfs_edit_hole(struct gmfs_edit *ed, u64 at, u64 end)
{
	struct guestmemfs_extent hole = {
		.logical	= cpu_to_le64(at),
		.ino		= cpu_to_le32(ed->ino),
	};

	return gmfs_edit_extent(ed, &hole, GMFS_NO_SLOT, at, end);
}

static int gmfs_edit_walk(struct gmfs_edit *ed)
{
	u64 at = ed->spans[0].from, to = ed->spans[ed->nr_spans - 1].to;
	int err = 0;
	u32 i;

	ed->nr = 0;
	ed->states = 0;
	for (i = 0; i < ed->old && !err; i++) {
		u32 slot = ed->map->slots[ed->pos + i];
		/* A copy: the entry may be freed on the way. */
		struct guestmemfs_extent e = ed->t->extents[slot];
		u64 begin = le64_to_cpu(e.logical);

		ed->states -= gmfs_is_state(le32_to_cpu(e.flags));
		err = gmfs_edit_hole(ed, at, min(begin, to));
		if (!err)
			err = gmfs_edit_extent(ed, &e, slot, begin, gmfs_extent_end(&e));
		at = max(at, gmfs_extent_end(&e));
	}
	return err ? err : gmfs_edit_hole(ed, at, to);
}

/* What is walked: the extents in the spans, and one more on each side to join. */
static void gmfs_edit_range(struct gmfs_edit *ed)
{
	u64 from = ed->spans[0].from, to = ed->spans[ed->nr_spans - 1].to;
	u32 end = gmfs_map_pos(ed->t, ed->map, to);

	ed->pos = gmfs_map_pos(ed->t, ed->map, from);
	ed->pos -= ed->pos > 0;
	end += end < ed->map->nr;
	ed->old = end - ed->pos;
}

static int gmfs_edit_plan(struct gmfs_edit *ed)
{
	int err = gmfs_edit_walk(ed);

	if (err)
		return err;
	if (ed->states > 0 && !gmfs_states_fit(ed->t, ed->states))
		return -ENOSPC;
	return ed->mixed > (s64)ed->t->free_maps ? -ENOSPC : 0;
}

/*
 * Entries for what is cut off an extent that has blocks: it has a block of its
 * own, and so an entry. Others get theirs when all that go have gone.
 */
static void gmfs_edit_cuts(struct gmfs_edit *ed)
{
	u32 i;

	for (i = 0; i <= ed->nr_spans; i++) {
		u64 at = i < ed->nr_spans ? ed->spans[i].from : ed->spans[i - 1].to;
		u32 pos = gmfs_map_pos(ed->t, ed->map, at);
		const struct guestmemfs_extent *e;

		ed->cuts[i] = GMFS_NO_SLOT;
		if (pos == ed->map->nr)
			continue;
		e = &ed->t->extents[ed->map->slots[pos]];
		if (gmfs_extent_allocated(e) && le64_to_cpu(e->logical) < at)
			ed->cuts[i] = gmfs_extent_slot(ed->t);
	}
}

/* The pages of a block that is in part converted now. */
static void gmfs_edit_mix(struct gmfs_edit *ed, const struct gmfs_span *span)
{
	struct guestmemfs_extent *e = &ed->pieces[span->piece].e;
	unsigned long *bits;

	if (!e->map) {
		e->map = cpu_to_le32(gmfs_mixed_take(ed->t));
		if (!span->converted)
			bitmap_fill(gmfs_mixed_bits(ed->t, le32_to_cpu(e->map)),
				    GUESTMEMFS_BLOCK_PAGES);
	}
	bits = gmfs_mixed_bits(ed->t, le32_to_cpu(e->map));
	if (span->converted)
		bitmap_set(bits, span->low, span->high - span->low);
	else
		bitmap_clear(bits, span->low, span->high - span->low);
}

static void gmfs_edit_store(struct gmfs_edit *ed)
{
	u32 *slots = &ed->map->slots[ed->pos], i;

	for (i = 0; i < ed->nr_spans; i++)
		if (ed->spans[i].set & GUESTMEMFS_EXTENT_MIXED)
			gmfs_edit_mix(ed, &ed->spans[i]);
	memmove(slots + ed->nr, slots + ed->old,
		(ed->map->nr - ed->pos - ed->old) * sizeof(*slots));
	ed->map->nr = ed->map->nr - ed->old + ed->nr;
	/* What has an entry, before anybody looks for one that is free. */
	for (i = 0; i < ed->nr; i++)
		if (ed->pieces[i].slot != GMFS_NO_SLOT)
			ed->t->extents[ed->pieces[i].slot] = ed->pieces[i].e;
	for (i = 0; i < ed->nr; i++) {
		struct gmfs_piece *piece = &ed->pieces[i];

		if (piece->slot == GMFS_NO_SLOT) {
			piece->slot = gmfs_extent_slot(ed->t);
			ed->t->extents[piece->slot] = piece->e;
		}
		slots[i] = piece->slot;
		if (piece->e.flags != cpu_to_le32(GUESTMEMFS_EXTENT_ALLOCATED))
			gmfs_feature_states(ed->t);
	}
	ed->t->nr_states += ed->states;
}

/**
 * gmfs_map_edit - change the extents of a part of a file
 * @t: the pool's tables
 * @map: the file's extents
 * @ino: the file; 0 if no span makes extents of holes
 * @spans: what to change, ascending and without gaps
 * @nr: their number, 1 to %GMFS_MAX_SPANS
 * @ready: called when nothing can fail any more and nothing has changed, or NULL; not if there
 *	is nothing to change
 *
 * What has lost the flag is freed: blocks, map entries and extents.
 *
 * Return: 0, -ENOSPC, -ENOMEM, or -EBUSY if a span refuses what is there, all
 * with nothing changed.
 */
int gmfs_map_edit(struct gmfs_tables *t, struct gmfs_extmap *map, u32 ino,
		  struct gmfs_span *spans, u32 nr, struct gmfs_ready *ready)
{
	struct gmfs_edit ed = {
		.t = t, .map = map, .ino = ino, .spans = spans, .nr_spans = nr,
	};
	struct gmfs_piece *pieces;
	int err;

	if (spans[0].from >= spans[nr - 1].to)
		return 0;
	gmfs_edit_range(&ed);
	err = gmfs_edit_plan(&ed);
	if (err || (!ed.old && !ed.nr))
		return err;
	err = gmfs_map_reserve(map, (u64)map->nr - ed.old + ed.nr);
	if (err)
		return err;
	/* Asked for more, kvmalloc_array() warns. */
	if (ed.nr > INT_MAX / sizeof(*pieces))
		return -ENOMEM;
	pieces = kvmalloc_array(max(ed.nr, 1U), sizeof(*pieces), GFP_KERNEL_ACCOUNT);
	if (!pieces)
		return -ENOMEM;
	if (ready)
		ready->call(ready);
	ed.pieces = pieces;
	gmfs_edit_cuts(&ed);
	gmfs_edit_walk(&ed);
	gmfs_edit_store(&ed);
	kvfree(pieces);
	return 0;
}
