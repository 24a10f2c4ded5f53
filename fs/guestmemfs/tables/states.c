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
