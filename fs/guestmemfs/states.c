// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the pages of a file are: private or shared, allocated, truncated.
 *
 * A page has the character that its file begins with, or it is converted. The
 * flags of an extent say so for all its pages, and for a block in which they
 * differ an entry of the map table does. Extents without blocks are for what
 * is converted and not allocated.
 *
 * Everything here works on tables that gmfs_check() has accepted, is
 * serialised by the caller, and fails before it has changed anything.
 */
#include <linux/bitmap.h>
#include <linux/bitops.h>
#include <linux/errno.h>
#include <linux/limits.h>
#include <linux/minmax.h>
#include <linux/string.h>

#include "extmap.h"

#define GMFS_MAX_PAGE	(GMFS_MAX_LOGICAL * GUESTMEMFS_BLOCK_PAGES)

/**
 * gmfs_states_fit - is there room for more extents without blocks
 * @t: the pool's tables
 * @more: how many
 *
 * Return: whether there is.
 */
bool gmfs_states_fit(const struct gmfs_tables *t, u64 more)
{
	return t->nr_states + more <= gmfs_states_max(t, t->total_blocks);
}

static bool gmfs_mixed_is_free(const struct gmfs_tables *t, u32 map)
{
	return !memchr_inv(t->maps[map].bits, 0, sizeof(t->maps[map].bits));
}

/**
 * gmfs_mixed_take - take an entry of the map table
 * @t: the pool's tables, with a free one
 *
 * Return: index of the entry. It is all zero, and taken as soon as it is not.
 */
u32 gmfs_mixed_take(struct gmfs_tables *t)
{
	u32 used = le32_to_cpu(t->super->live.used_maps);
	u32 map = gmfs_ids_first(&t->map_ids);

	gmfs_ids_take(&t->map_ids, map);
	/* Entry 0 is nobody's, but must be free like the others. */
	if (!used)
		memset(&t->maps[0], 0, sizeof(t->maps[0]));
	if (map >= used)
		t->super->live.used_maps = cpu_to_le32(map + 1);
	memset(&t->maps[map], 0, sizeof(t->maps[map]));
	t->free_maps--;
	return map;
}

/**
 * gmfs_mixed_drop - give an entry of the map table back
 * @t: the pool's tables
 * @map: index of the entry
 */
void gmfs_mixed_drop(struct gmfs_tables *t, u32 map)
{
	memset(&t->maps[map], 0, sizeof(t->maps[map]));
	gmfs_ids_drop(&t->map_ids, map);
	t->free_maps++;
}

/**
 * gmfs_states_init - count states and map entries
 * @t: tables that gmfs_check() has accepted
 */
void gmfs_states_init(struct gmfs_tables *t)
{
	u32 extents = le32_to_cpu(t->super->live.used_extents);
	u32 maps = le32_to_cpu(t->super->live.used_maps), i;

	t->nr_states = 0;
	t->free_maps = t->nr_maps - 1;
	gmfs_ids_take(&t->map_ids, 0);
	if (!t->states)
		return;
	for (i = 0; i < extents; i++)
		if (t->extents[i].ino)
			t->nr_states += gmfs_is_state(le32_to_cpu(t->extents[i].flags));
	for (i = 1; i < maps; i++) {
		if (gmfs_mixed_is_free(t, i))
			continue;
		gmfs_ids_take(&t->map_ids, i);
		t->free_maps--;
	}
}

/*
 * The state of @page, up to where another extent or hole begins, or, in a mixed
 * block, other pages. @pos is that of an extent that is not behind the page.
 */
static void gmfs_state_at(const struct gmfs_tables *t, const struct gmfs_extmap *map, u32 *pos,
			  u64 page, struct gmfs_state *s)
{
	u64 block = page / GUESTMEMFS_BLOCK_PAGES;
	u32 in_block = page % GUESTMEMFS_BLOCK_PAGES, flags;
	const struct guestmemfs_extent *e;
	const unsigned long *bits;

	/* Behind the largest file there is no end, so that who goes on gets there. */
	*s = (struct gmfs_state){ .end = page < GMFS_MAX_PAGE ? GMFS_MAX_PAGE : U64_MAX };
	while (*pos < map->nr && gmfs_extent_end(&t->extents[map->slots[*pos]]) <= block)
		(*pos)++;
	if (*pos == map->nr)
		return;
	e = &t->extents[map->slots[*pos]];
	s->end = le64_to_cpu(e->logical) * GUESTMEMFS_BLOCK_PAGES;
	if (s->end > page)
		return;
	flags = le32_to_cpu(e->flags);
	s->end = gmfs_extent_end(e) * GUESTMEMFS_BLOCK_PAGES;
	s->allocated = flags & GUESTMEMFS_EXTENT_ALLOCATED;
	s->truncated = flags & GUESTMEMFS_EXTENT_TRUNCATED;
	s->converted = flags & GUESTMEMFS_EXTENT_CONVERTED;
	if (!(flags & GUESTMEMFS_EXTENT_MIXED))
		return;
	bits = gmfs_mixed_bits(t, le32_to_cpu(e->map));
	s->converted = test_bit(in_block, bits);
	s->end = page - in_block +
		 (s->converted ? find_next_zero_bit(bits, GUESTMEMFS_BLOCK_PAGES, in_block) :
				 find_next_bit(bits, GUESTMEMFS_BLOCK_PAGES, in_block));
}

/**
 * gmfs_map_state - what a page of a file is
 * @t: the pool's tables
 * @map: the file's extents
 * @page: page in the file, of 4 KiB
 * @s: the answer
 *
 * No more than %GUESTMEMFS_GROUP_BLOCKS extents are looked at: there may be
 * more of the same behind @s->end.
 */
void gmfs_map_state(const struct gmfs_tables *t, const struct gmfs_extmap *map, u64 page,
		    struct gmfs_state *s)
{
	u32 pos = gmfs_map_pos(t, map, page / GUESTMEMFS_BLOCK_PAGES), i;
	struct gmfs_state next;

	gmfs_state_at(t, map, &pos, page, s);
	for (i = 1; i < GUESTMEMFS_GROUP_BLOCKS && s->end < GMFS_MAX_PAGE; i++) {
		gmfs_state_at(t, map, &pos, s->end, &next);
		if (next.converted != s->converted || next.allocated != s->allocated ||
		    next.truncated != s->truncated)
			return;
		s->end = next.end;
	}
}

/**
 * gmfs_map_uniform - are pages all converted, or all not
 * @t: the pool's tables
 * @map: the file's extents
 * @page: first page in the file
 * @nr: number of pages, not 0
 *
 * Takes time by the number of extents that these pages have.
 *
 * Return: whether they are.
 */
bool gmfs_map_uniform(const struct gmfs_tables *t, const struct gmfs_extmap *map, u64 page,
		      u64 nr)
{
	u32 pos = gmfs_map_pos(t, map, page / GUESTMEMFS_BLOCK_PAGES);
	struct gmfs_state first, next;
	u64 at;

	gmfs_state_at(t, map, &pos, page, &first);
	for (at = first.end; at < page + nr; at = next.end) {
		gmfs_state_at(t, map, &pos, at, &next);
		if (next.converted != first.converted)
			return false;
	}
	return true;
}

/* What a block becomes of which only the pages from @low to @high change. */
static u32 gmfs_convert_flags(const struct gmfs_tables *t, const struct gmfs_run *run, u32 low,
			      u32 high, bool converted)
{
	const u32 all = converted ? GUESTMEMFS_EXTENT_CONVERTED : 0, nr = GUESTMEMFS_BLOCK_PAGES;
	const unsigned long *bits;
	bool alike;

	if (!(run->flags & GUESTMEMFS_EXTENT_MIXED))
		return (run->flags & GUESTMEMFS_EXTENT_CONVERTED) == all ?
		       all : GUESTMEMFS_EXTENT_MIXED;
	bits = gmfs_mixed_bits(t, run->map);
	if (converted)
		alike = find_next_zero_bit(bits, low, 0) >= low &&
			find_next_zero_bit(bits, nr, high) >= nr;
	else
		alike = find_next_bit(bits, low, 0) >= low && find_next_bit(bits, nr, high) >= nr;
	return alike ? all : GUESTMEMFS_EXTENT_MIXED;
}

static void gmfs_convert_part(const struct gmfs_tables *t, const struct gmfs_extmap *map,
			      u64 logical, u32 low, u32 high, struct gmfs_span *span)
{
	struct gmfs_run run;

	gmfs_map_lookup(t, map, logical, &run);
	span->from = logical;
	span->to = logical + 1;
	span->low = low;
	span->high = high;
	span->set = gmfs_convert_flags(t, &run, low, high, span->converted);
}

/* Pages [@first, @last) as a block of which a part changes, whole ones, and another part. */
static u32 gmfs_convert_spans(const struct gmfs_tables *t, const struct gmfs_extmap *map,
			      u64 first, u64 last, struct gmfs_span *spans)
{
	u64 from = first / GUESTMEMFS_BLOCK_PAGES, to = last / GUESTMEMFS_BLOCK_PAGES;
	u32 low = first % GUESTMEMFS_BLOCK_PAGES, high = last % GUESTMEMFS_BLOCK_PAGES;
	u32 nr = 0;

	if (from == to) {
		gmfs_convert_part(t, map, from, low, high, &spans[nr++]);
		return nr;
	}
	if (low)
		gmfs_convert_part(t, map, from++, low, GUESTMEMFS_BLOCK_PAGES, &spans[nr++]);
	if (from < to) {
		spans[nr].from = from;
		spans[nr].to = to;
		spans[nr].set = spans[nr].converted ? GUESTMEMFS_EXTENT_CONVERTED : 0;
		nr++;
	}
	if (high)
		gmfs_convert_part(t, map, to, 0, high, &spans[nr++]);
	return nr;
}

/**
 * gmfs_map_convert - give pages of a file their own or the other character
 * @t: the pool's tables
 * @map: the file's extents
 * @ino: the file
 * @first: first page in the file, of 4 KiB
 * @last: page behind the last one, at most that of %GMFS_MAX_LOGICAL blocks
 * @converted: whether they are to have the other character
 * @ready: called when nothing can fail any more and nothing has changed, or NULL
 *
 * Blocks are neither needed nor freed. What has become one kind again is one
 * extent again, as far as its blocks go. Takes time by the number of extents
 * that these pages have.
 *
 * Return: 0, -ENOSPC or -ENOMEM, or -EBUSY if a part is truncated, all with
 * nothing changed.
 */
int gmfs_map_convert(struct gmfs_tables *t, struct gmfs_extmap *map, u32 ino, u64 first, u64 last,
		     bool converted, struct gmfs_ready *ready)
{
	struct gmfs_span spans[GMFS_MAX_SPANS] = {};
	u32 i;

	if (first >= last)
		return 0;
	for (i = 0; i < GMFS_MAX_SPANS; i++) {
		spans[i].clear = GMFS_EXTENT_CHARACTER;
		spans[i].refuse = GUESTMEMFS_EXTENT_TRUNCATED;
		spans[i].converted = converted;
	}
	i = gmfs_convert_spans(t, map, first, last, spans);
	return gmfs_map_edit(t, map, ino, spans, i, ready);
}

/* Frees the blocks of an extent. Returns whether anything is left of it. */
static bool gmfs_drop_blocks(struct gmfs_tables *t, u32 slot)
{
	struct guestmemfs_extent *e = &t->extents[slot];

	gmfs_release(t, le32_to_cpu(e->block), le32_to_cpu(e->count), le32_to_cpu(e->ino),
		     le64_to_cpu(e->logical));
	e->flags &= cpu_to_le32(GMFS_EXTENT_CHARACTER);
	e->block = 0;
	if (e->flags)
		return true;
	gmfs_extent_drop(t, slot);
	return false;
}

/**
 * gmfs_map_drop_truncated - free what was truncated before the kexec
 * @t: the pool's tables
 * @map: the file's extents
 *
 * Who held the blocks is gone, unless the pins were meant to stay. Needs no
 * memory and cannot fail.
 */
void gmfs_map_drop_truncated(struct gmfs_tables *t, struct gmfs_extmap *map)
{
	const u32 flags = GUESTMEMFS_EXTENT_TRUNCATED | GUESTMEMFS_EXTENT_PINNED;
	u32 i, nr = 0;

	for (i = 0; i < map->nr; i++) {
		u32 slot = map->slots[i];
		struct guestmemfs_extent *e = &t->extents[slot], *last;

		if ((le32_to_cpu(e->flags) & flags) == GUESTMEMFS_EXTENT_TRUNCATED &&
		    !gmfs_drop_blocks(t, slot))
			continue;
		last = nr ? &t->extents[map->slots[nr - 1]] : NULL;
		if (!last || !gmfs_extents_join(t, last, e)) {
			map->slots[nr++] = slot;
			continue;
		}
		last->count = cpu_to_le32(le32_to_cpu(last->count) + le32_to_cpu(e->count));
		t->nr_states -= gmfs_is_state(le32_to_cpu(e->flags));
		gmfs_extent_drop(t, slot);
	}
	map->nr = nr;
}
