// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pools whose size changes: ranges come and go, and the number of a block stays as it is.
 *
 * The functions work on tables that gmfs_check() has accepted. The caller serialises them
 * (gmfs_pool.lock). Only gmfs_block_phys(), gmfs_full_groups() and gmfs_largest_free() may run at
 * the same time. A function that fails changes nothing.
 */
#include <linux/bitmap.h>
#include <linux/bitops.h>
#include <linux/errno.h>
#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/string.h>

#include "extmap.h"
#include "groups.h"

/**
 * struct gmfs_place - where memory goes in the range table
 * @base: physical address
 * @size: bytes
 * @first: its first block number
 * @at: the entry that has the next higher numbers
 */
struct gmfs_place {
	u64 base;
	u64 size;
	u64 first;
	u32 at;
};

static u64 gmfs_range_base(const struct gmfs_tables *t, u32 i)
{
	return le64_to_cpu(t->ranges[i].base);
}

static u64 gmfs_range_end(const struct gmfs_tables *t, u32 i)
{
	return gmfs_range_base(t, i) + le64_to_cpu(t->ranges[i].size);
}

/* The block number after the last one of the @nr first ranges. */
static u64 gmfs_numbers_end(const struct gmfs_tables *t, u32 nr)
{
	if (!nr)
		return 0;
	return le32_to_cpu(t->ranges[nr - 1].first_block) + gmfs_range_blocks(&t->ranges[nr - 1]);
}

static u64 gmfs_place_end(const struct gmfs_place *p)
{
	return p->first + (p->size >> GUESTMEMFS_BLOCK_SHIFT);
}

/* May one range end with the number @last at @phys, and the next one begin with @first at @base? */
static bool gmfs_numbers_agree(u64 last, u64 phys, u64 first, u64 base)
{
	/* The blocks of a group are in one gigabyte. */
	return last / GUESTMEMFS_GROUP_BLOCKS != first / GUESTMEMFS_GROUP_BLOCKS ||
	       phys / GMFS_GROUP_SIZE == base / GMFS_GROUP_SIZE;
}

/* Are the numbers from @p->first on free, and may the memory have them? Sets @p->at. */
static bool gmfs_place_fits(const struct gmfs_tables *t, struct gmfs_place *p)
{
	u64 first, end = gmfs_place_end(p);

	for (p->at = 0; p->at < t->nr_ranges; p->at++)
		if (le32_to_cpu(t->ranges[p->at].first_block) >= p->first)
			break;
	if (p->at) {
		first = gmfs_numbers_end(t, p->at);
		if (first > p->first ||
		    !gmfs_numbers_agree(first - 1, gmfs_range_end(t, p->at - 1) - 1, p->first,
					p->base))
			return false;
	}
	if (p->at == t->nr_ranges)
		return end <= t->capacity;
	first = le32_to_cpu(t->ranges[p->at].first_block);
	return end <= first && gmfs_numbers_agree(end - 1, p->base + p->size - 1, first,
						  gmfs_range_base(t, p->at));
}

/* Does the memory begin where a range ends, or the reverse? */
static bool gmfs_place_adjacent(const struct gmfs_tables *t, u32 i, const struct gmfs_place *p)
{
	return gmfs_range_end(t, i) == p->base || gmfs_range_base(t, i) == p->base + p->size;
}

/* Is a part of the memory in the same gigabyte as a part of a range? */
static bool gmfs_place_near(const struct gmfs_tables *t, u32 i, const struct gmfs_place *p)
{
	return gmfs_range_base(t, i) / GMFS_GROUP_SIZE <=
		       (p->base + p->size - 1) / GMFS_GROUP_SIZE &&
	       p->base / GMFS_GROUP_SIZE <= (gmfs_range_end(t, i) - 1) / GMFS_GROUP_SIZE;
}

/* The numbers have the same distance from those of a range as the addresses. */
static bool gmfs_place_by(const struct gmfs_tables *t, struct gmfs_place *p,
			  bool (*suits)(const struct gmfs_tables *t, u32 i,
					const struct gmfs_place *p))
{
	s64 by;
	u32 i;

	for (i = 0; i < t->nr_ranges; i++) {
		if (!suits(t, i, p))
			continue;
		by = (s64)(p->base - gmfs_range_base(t, i)) / (s64)GMFS_BLOCK_SIZE;
		if (by + (s64)le32_to_cpu(t->ranges[i].first_block) < 0)
			continue;
		p->first = by + le32_to_cpu(t->ranges[i].first_block);
		if (gmfs_place_fits(t, p))
			return true;
	}
	return false;
}

/* The memory gets groups of its own, the first ones that are free. */
static bool gmfs_place_alone(const struct gmfs_tables *t, struct gmfs_place *p)
{
	u32 i;

	for (i = 0; i <= t->nr_ranges; i++) {
		p->first = gmfs_first_block(p->base, gmfs_numbers_end(t, i));
		if (gmfs_place_fits(t, p))
			return true;
	}
	return false;
}

/*
 * Memory beside a range extends it, if the numbers there are free. Memory of a gigabyte of which
 * the pool has a part gets the numbers that are left for it: what has been cut from a range gets
 * the same numbers again. Other memory goes wherever there are numbers.
 */
static bool gmfs_place_find(const struct gmfs_tables *t, struct gmfs_place *p)
{
	return gmfs_place_by(t, p, gmfs_place_adjacent) ||
	       (t->nr_ranges < t->max_ranges &&
		(gmfs_place_by(t, p, gmfs_place_near) || gmfs_place_alone(t, p)));
}

static void gmfs_range_remove(struct gmfs_tables *t, u32 i)
{
	struct guestmemfs_range *r = &t->ranges[i];

	t->nr_ranges--;
	memmove(r, r + 1, (t->nr_ranges - i) * sizeof(*r));
	memset(&t->ranges[t->nr_ranges], 0, sizeof(*r));
}

static void gmfs_range_insert(struct gmfs_tables *t, const struct gmfs_place *p)
{
	struct guestmemfs_range *r = &t->ranges[p->at];

	memmove(r + 1, r, (t->nr_ranges - p->at) * sizeof(*r));
	t->nr_ranges++;
	*r = (struct guestmemfs_range){
		.base		= cpu_to_le64(p->base),
		.size		= cpu_to_le64(p->size),
		.first_block	= cpu_to_le32(p->first),
	};
}

/*
 * Two ranges between which the memory fills the gap become one: otherwise each cut and its reverse
 * would leave one range more. No extent ends where they meet, as all blocks there are free.
 */
static void gmfs_place_range(struct gmfs_tables *t, const struct gmfs_place *p)
{
	struct guestmemfs_range *next = &t->ranges[p->at], *prev;
	bool joins_prev = p->at && gmfs_range_end(t, p->at - 1) == p->base &&
			  gmfs_numbers_end(t, p->at) == p->first;
	bool joins_next = p->at < t->nr_ranges &&
			  gmfs_range_base(t, p->at) == p->base + p->size &&
			  le32_to_cpu(next->first_block) == gmfs_place_end(p);

	if (joins_prev) {
		prev = next - 1;
		le64_add_cpu(&prev->size, p->size);
		if (joins_next) {
			le64_add_cpu(&prev->size, le64_to_cpu(next->size));
			gmfs_range_remove(t, p->at);
		}
	} else if (joins_next) {
		next->base = cpu_to_le64(p->base);
		next->first_block = cpu_to_le32(p->first);
		le64_add_cpu(&next->size, p->size);
	} else {
		gmfs_range_insert(t, p);
	}
}

/* Writes what the superblock has of the ranges. */
static void gmfs_ranges_changed(struct gmfs_tables *t)
{
	t->super->nr_ranges = cpu_to_le32(t->nr_ranges);
	t->super->nr_blocks = cpu_to_le32(t->nr_blocks);
	gmfs_feature_resized(t);
	gmfs_limits_resized(t);
}

static bool gmfs_resize_has_place(const struct gmfs_tables *t, struct gmfs_place *p)
{
	u64 count = p->size >> GUESTMEMFS_BLOCK_SHIFT;

	return count <= t->capacity - t->total_blocks &&
	       t->nr_blockless + t->promised_blockless <=
	       gmfs_blockless_max(t, t->total_blocks + count) && gmfs_place_find(t, p);
}

/**
 * gmfs_resize_fits - could a range be added to a pool
 * @t: the pool's tables
 * @base: physical address, as for gmfs_resize_add()
 * @size: bytes
 *
 * Return: false if gmfs_resize_add() would fail now.
 */
bool gmfs_resize_fits(const struct gmfs_tables *t, u64 base, u64 size)
{
	struct gmfs_place place = { .base = base, .size = size };

	return gmfs_resize_has_place(t, &place);
}

/**
 * gmfs_resize_add - add a range to a pool
 * @t: the pool's tables, which may be written
 * @base: physical address, a multiple of %GUESTMEMFS_RANGE_ALIGN; the range does not overlap with
 *	others of the pool
 * @size: bytes, a multiple of %GUESTMEMFS_RANGE_ALIGN
 *
 * The new blocks are free, and marked to be zeroed.
 *
 * Return: 0; -ENOSPC if there are too many ranges, or if the tables have no room for the blocks.
 */
int gmfs_resize_add(struct gmfs_tables *t, u64 base, u64 size)
{
	struct gmfs_place place = { .base = base, .size = size };
	u64 count = size >> GUESTMEMFS_BLOCK_SHIFT;
	u32 old = t->nr_blocks;

	if (!gmfs_resize_has_place(t, &place))
		return -ENOSPC;
	gmfs_place_range(t, &place);
	/* The bits beyond nr_blocks have never been set up. */
	if (place.first + count > old) {
		t->nr_blocks = place.first + count;
		bitmap_set(t->bitmap, old, t->nr_blocks - old);
		while (old < t->nr_blocks)
			clear_bit(old++, t->unzeroed);
	}
	gmfs_groups_add(t, base, place.first, count);
	t->total_blocks += count;
	gmfs_release(t, place.first, count, 0, 0);
	gmfs_ranges_changed(t);
	return 0;
}

/* Are all blocks from @block on free, and in one range at an address that is a multiple? */
static bool gmfs_resize_suits(const struct gmfs_tables *t, u32 block, u32 count)
{
	u64 size = (u64)count << GUESTMEMFS_BLOCK_SHIFT;

	if (find_next_bit(t->bitmap, min_t(u64, block + count, t->nr_blocks), block) <
	    (u64)block + count)
		return false;
	return block + count <= gmfs_block_range_end(t, block) &&
	       gmfs_block_phys(t, block) % size == 0;
}

/**
 * gmfs_resize_find - choose free blocks that can leave the pool
 * @t: the pool's tables
 * @count: number of blocks, a power of two
 * @whole: whether entirely free groups may be broken up, if @count is less than a group
 * @block: result: the first block. Its address is a multiple of the blocks' size
 *
 * Chooses the highest numbers, so that the same numbers are used again when the pool grows.
 *
 * Takes time proportional to the number of groups.
 *
 * Return: false if there are none, or if the blocks are reserved for files.
 */
bool gmfs_resize_find(const struct gmfs_tables *t, u32 count, bool whole, u32 *block)
{
	u32 want = min_t(u32, count, GUESTMEMFS_GROUP_BLOCKS), group, start, at;

	if (t->free_blocks < count || t->free_blocks - count < t->promised_blocks)
		return false;
	for (group = t->nr_groups; group-- > 0;) {
		u32 longest = t->groups[group].longest;

		if (longest < want ||
		    (longest == GUESTMEMFS_GROUP_BLOCKS && want < longest && !whole))
			continue;
		start = group * GUESTMEMFS_GROUP_BLOCKS;
		for (at = start + GUESTMEMFS_GROUP_BLOCKS; at > start;) {
			at -= want;
			if (gmfs_resize_suits(t, at, count)) {
				*block = at;
				return true;
			}
		}
	}
	return false;
}

/**
 * gmfs_resize_cut - remove blocks from a pool
 * @t: the pool's tables, which may be written
 * @block: first block; all of the blocks are in one range, are marked as allocated, and nothing has
 *	them
 * @count: number of blocks, of a multiple of %GUESTMEMFS_RANGE_ALIGN bytes
 *
 * Return: 0, or -E2BIG if the range would become two ranges, which are too many.
 */
int gmfs_resize_cut(struct gmfs_tables *t, u32 block, u32 count)
{
	struct guestmemfs_range *r = &t->ranges[gmfs_block_range(t, block) - t->ranges];
	u32 first = le32_to_cpu(r->first_block), before = block - first;
	u32 behind = gmfs_range_blocks(r) - before - count, i;
	u64 base = le64_to_cpu(r->base);

	if (before && behind && t->nr_ranges >= t->max_ranges)
		return -E2BIG;
	if (before && behind) {
		memmove(r + 1, r, (t->nr_ranges - (r - t->ranges)) * sizeof(*r));
		t->nr_ranges++;
	}
	if (before) {
		r->size = cpu_to_le64((u64)before << GUESTMEMFS_BLOCK_SHIFT);
		r++;
	}
	if (behind) {
		r->base = cpu_to_le64(base +
				      ((u64)(before + count) << GUESTMEMFS_BLOCK_SHIFT));
		r->size = cpu_to_le64((u64)behind << GUESTMEMFS_BLOCK_SHIFT);
		r->first_block = cpu_to_le32(block + count);
	}
	if (!before && !behind)
		gmfs_range_remove(t, r - t->ranges);
	/* Other bits of the same words may change meanwhile. */
	for (i = 0; i < count; i++)
		clear_bit(block + i, t->unzeroed);
	t->total_blocks -= count;
	gmfs_ranges_changed(t);
	return 0;
}

/**
 * gmfs_resize_ranges - copy the range table
 * @t: the pool's tables
 * @ranges: result: %GUESTMEMFS_MAX_RANGES entries
 * @nr: result: number of ranges
 */
void gmfs_resize_ranges(const struct gmfs_tables *t, struct gmfs_range *ranges, u32 *nr)
{
	u32 i;

	for (i = 0; i < t->nr_ranges; i++) {
		ranges[i].base = le64_to_cpu(t->ranges[i].base);
		ranges[i].size = le64_to_cpu(t->ranges[i].size);
		ranges[i].first = le32_to_cpu(t->ranges[i].first_block);
	}
	*nr = t->nr_ranges;
}
