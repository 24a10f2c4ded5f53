// SPDX-License-Identifier: GPL-2.0-only
/*
 * The state of the pages of a file: private or shared, with memory or without.
 *
 * A page has the initial character of its file, or it is converted. The flags of an extent
 * say which of the two, for all of its pages. A block whose pages differ has an entry of
 * the map table instead. Converted pages without memory are in extents without blocks.
 *
 * The functions work on tables that gmfs_check() has accepted. The caller holds
 * gmfs_inode.map_lock. None of them fails or changes the tables.
 */
#include <linux/bitmap.h>
#include <linux/bitops.h>
#include <linux/errno.h>
#include <linux/limits.h>
#include <linux/minmax.h>
#include <linux/string.h>

#include "extmap.h"

/* The state of @page, up to the end of the extent, hole, or like pages of a mixed block. */
static void gmfs_state_at(const struct gmfs_tables *t, const struct gmfs_extmap *map, u64 page,
			  struct gmfs_state *s)
{
	u32 in_block = page % GUESTMEMFS_BLOCK_PAGES, flags;
	const unsigned long *bits;
	struct gmfs_spot spot;

	/* A loop that continues at @end ends there: U64_MAX is beyond any file. */
	*s = (struct gmfs_state){ .end = U64_MAX };
	if (page >= GMFS_MAX_PAGE)
		return;
	gmfs_map_spot(t, map, page / GUESTMEMFS_BLOCK_PAGES, &spot);
	s->end = spot.end * GUESTMEMFS_BLOCK_PAGES;
	if (!spot.e)
		return;
	flags = le32_to_cpu(spot.e->flags);
	s->allocated = flags & GUESTMEMFS_EXTENT_ALLOCATED;
	s->converted = gmfs_extent_converted(t, spot.e, in_block);
	if (!(flags & GUESTMEMFS_EXTENT_MIXED))
		return;
	bits = gmfs_mixed_bits(t, le32_to_cpu(spot.e->map));
	s->end = page - in_block +
		 (s->converted ? find_next_zero_bit(bits, GUESTMEMFS_BLOCK_PAGES, in_block) :
				 find_next_bit(bits, GUESTMEMFS_BLOCK_PAGES, in_block));
}

/**
 * gmfs_map_state - find the state of a page
 * @t: the pool's tables
 * @map: the file's extents
 * @page: page in the file, of 4 KiB
 * @s: result
 *
 * Looks at no more than %GUESTMEMFS_GROUP_BLOCKS extents and holes: pages from @s->end on
 * may have the same state.
 */
void gmfs_map_state(const struct gmfs_tables *t, const struct gmfs_extmap *map, u64 page,
		    struct gmfs_state *s)
{
	struct gmfs_state next;
	u32 i;

	gmfs_state_at(t, map, page, s);
	for (i = 1; i < GUESTMEMFS_GROUP_BLOCKS && s->end < GMFS_MAX_PAGE; i++) {
		gmfs_state_at(t, map, s->end, &next);
		if (next.converted != s->converted || next.allocated != s->allocated)
			return;
		s->end = next.end;
	}
}

/**
 * gmfs_convert_flags - compute the flags of a block after some of its pages change
 * @t: the pool's tables
 * @e: the block's extent, NULL in a hole
 * @low: first page of the block that changes
 * @high: page after the last one
 * @converted: whether the pages become converted
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
