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

/**
 * gmfs_states_fit - is there room for more extents without blocks
 * @t: the pool's tables
 * @more: how many
 *
 * Return: whether there is.
 */
bool gmfs_states_fit(const struct gmfs_tables *t, u64 more)
{
	return t->nr_states + t->promised_states + more <= gmfs_states_max(t, t->total_blocks);
}

/**
 * gmfs_promise_update - promise what a change still needs
 * @t: the pool's tables
 * @p: the promise, with what the change has done so far
 * @states: how many more states there may be after the change than before
 * @maps: likewise for map entries
 */
void gmfs_promise_update(struct gmfs_tables *t, struct gmfs_promise *p, s64 states, s64 maps)
{
	u32 need_states = max(max(states, 0) - p->done_states, 0);
	u32 need_maps = max(max(maps, 0) - p->done_maps, 0);

	t->promised_states += need_states - p->states;
	t->promised_maps += need_maps - p->maps;
	p->states = need_states;
	p->maps = need_maps;
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

/* The state of @page, up to another extent or hole, or, in a mixed block, to other pages. */
static void gmfs_state_at(const struct gmfs_tables *t, const struct gmfs_extmap *map, u64 page,
			  struct gmfs_state *s)
{
	u32 in_block = page % GUESTMEMFS_BLOCK_PAGES, flags;
	const unsigned long *bits;
	struct gmfs_spot spot;

	/* Behind the largest file there is no end, so that who goes on gets there. */
	*s = (struct gmfs_state){ .end = U64_MAX };
	if (page >= GMFS_MAX_PAGE)
		return;
	gmfs_map_spot(t, map, page / GUESTMEMFS_BLOCK_PAGES, &spot);
	s->end = spot.end * GUESTMEMFS_BLOCK_PAGES;
	if (!spot.e)
		return;
	flags = le32_to_cpu(spot.e->flags);
	s->allocated = flags & GUESTMEMFS_EXTENT_ALLOCATED;
	s->truncated = flags & GUESTMEMFS_EXTENT_TRUNCATED;
	s->converted = gmfs_extent_converted(t, spot.e, in_block);
	if (!(flags & GUESTMEMFS_EXTENT_MIXED))
		return;
	bits = gmfs_mixed_bits(t, le32_to_cpu(spot.e->map));
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
	struct gmfs_state next;
	u32 i;

	gmfs_state_at(t, map, page, s);
	for (i = 1; i < GUESTMEMFS_GROUP_BLOCKS && s->end < GMFS_MAX_PAGE; i++) {
		gmfs_state_at(t, map, s->end, &next);
		if (next.converted != s->converted || next.allocated != s->allocated ||
		    next.truncated != s->truncated)
			return;
		s->end = next.end;
	}
}

/**
 * gmfs_convert_flags - what a block becomes of which some pages change their character
 * @t: the pool's tables
 * @e: its extent, or NULL in a hole
 * @low: first page of the block that changes
 * @high: page after the last one
 * @converted: what they become
 *
 * Return: %GUESTMEMFS_EXTENT_CONVERTED, %GUESTMEMFS_EXTENT_MIXED or 0.
 */
u32 gmfs_convert_flags(const struct gmfs_tables *t, const struct guestmemfs_extent *e, u32 low,
		       u32 high, bool converted)
{
	const u32 all = converted ? GUESTMEMFS_EXTENT_CONVERTED : 0, nr = GUESTMEMFS_BLOCK_PAGES;
	u32 flags = e ? le32_to_cpu(e->flags) : 0;
	const unsigned long *bits;
	bool alike;

	if (!low && high == nr)
		return all;
	if (!(flags & GUESTMEMFS_EXTENT_MIXED))
		return (flags & GUESTMEMFS_EXTENT_CONVERTED) == all ?
		       all : GUESTMEMFS_EXTENT_MIXED;
	bits = gmfs_mixed_bits(t, le32_to_cpu(e->map));
	if (converted)
		alike = find_next_zero_bit(bits, low, 0) >= low &&
			find_next_zero_bit(bits, nr, high) >= nr;
	else
		alike = find_next_bit(bits, low, 0) >= low && find_next_bit(bits, nr, high) >= nr;
	return alike ? all : GUESTMEMFS_EXTENT_MIXED;
}
