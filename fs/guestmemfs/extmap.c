// SPDX-License-Identifier: GPL-2.0-only
/*
 * The extents of a file: look up, fill, punch.
 *
 * Everything here works on tables that gmfs_check() has accepted, is
 * serialised by the caller, and fails before it has changed anything.
 */
#include <linux/bitops.h>
#include <linux/errno.h>
#include <linux/limits.h>
#include <linux/minmax.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "tables.h"

static int gmfs_map_reserve(struct gmfs_extmap *map, u64 more)
{
	u64 cap = (u64)map->nr + more;
	u32 *slots;

	if (cap <= map->cap)
		return 0;
	cap = max_t(u64, cap, map->nr + map->nr / 2);
	if (cap > U32_MAX)
		return -ENOMEM;
	slots = kvrealloc(map->slots, cap * sizeof(*slots), GFP_KERNEL_ACCOUNT);
	if (!slots)
		return -ENOMEM;
	map->slots = slots;
	map->cap = cap;
	return 0;
}

static u64 gmfs_extent_end(const struct guestmemfs_extent *e)
{
	return le64_to_cpu(e->logical) + le32_to_cpu(e->count);
}

/* Index of the first extent that ends after @logical. */
static u32 gmfs_map_pos(const struct gmfs_tables *t, const struct gmfs_extmap *map, u64 logical)
{
	u32 low = 0, high = map->nr;

	while (low < high) {
		u32 mid = low + (high - low) / 2;

		if (gmfs_extent_end(&t->extents[map->slots[mid]]) > logical)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

/**
 * gmfs_map_lookup - what backs an offset of a file
 * @t: the pool's tables
 * @map: the file's extents
 * @logical: block in the file, below %GMFS_MAX_LOGICAL
 * @run: the answer: the rest of the extent or of the hole from @logical on
 */
void gmfs_map_lookup(const struct gmfs_tables *t, const struct gmfs_extmap *map,
		     u64 logical, struct gmfs_run *run)
{
	u32 pos = gmfs_map_pos(t, map, logical);
	u64 end = GMFS_MAX_LOGICAL;

	run->logical = logical;
	run->block = GMFS_NO_BLOCK;
	if (pos < map->nr) {
		const struct guestmemfs_extent *e = &t->extents[map->slots[pos]];
		u64 start = le64_to_cpu(e->logical);

		if (start <= logical) {
			run->block = le32_to_cpu(e->block) + (logical - start);
			end = gmfs_extent_end(e);
		} else {
			end = start;
		}
	}
	run->count = end - logical;
}

/**
 * gmfs_map_blocks - blocks that a file has
 * @t: the pool's tables
 * @map: the file's extents
 *
 * Return: the number of blocks.
 */
u64 gmfs_map_blocks(const struct gmfs_tables *t, const struct gmfs_extmap *map)
{
	u64 blocks = 0;
	u32 i;

	for (i = 0; i < map->nr; i++)
		blocks += le32_to_cpu(t->extents[map->slots[i]].count);
	return blocks;
}

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
static bool gmfs_map_join(struct gmfs_tables *t, struct gmfs_extmap *map, u32 pos)
{
	struct guestmemfs_extent *a, *b;
	u32 count, block;

	if (!pos || pos >= map->nr)
		return false;
	a = &t->extents[map->slots[pos - 1]];
	b = &t->extents[map->slots[pos]];
	count = le32_to_cpu(a->count);
	block = le32_to_cpu(a->block);
	if (gmfs_extent_end(a) != le64_to_cpu(b->logical) || a->flags != b->flags ||
	    block + count != le32_to_cpu(b->block) ||
	    gmfs_block_range(t, block) != gmfs_block_range(t, block + count))
		return false;
	a->count = cpu_to_le32(count + le32_to_cpu(b->count));
	gmfs_extent_drop(t, map->slots[pos]);
	gmfs_map_remove(map, pos, 1);
	return true;
}

/*
 * Where the neighbours in the file say that the block should be: a group of
 * the file that lost some blocks gets them back in place, and can be mapped as
 * one again.
 */
static u32 gmfs_goal(const struct gmfs_tables *t, const struct gmfs_extmap *map, u32 pos,
		     u64 logical)
{
	u64 group = logical / GUESTMEMFS_GROUP_BLOCKS;

	if (pos > 0) {
		const struct guestmemfs_extent *e = &t->extents[map->slots[pos - 1]];
		u64 end = le64_to_cpu(e->logical) + le32_to_cpu(e->count);
		u64 goal = le32_to_cpu(e->block) + (logical - le64_to_cpu(e->logical));

		if ((end == logical || (end - 1) / GUESTMEMFS_GROUP_BLOCKS == group) &&
		    goal < gmfs_block_range_end(t, le32_to_cpu(e->block)) &&
		    !test_bit(goal, t->bitmap))
			return goal;
	}
	if (pos < map->nr) {
		const struct guestmemfs_extent *e = &t->extents[map->slots[pos]];
		u64 ahead = le64_to_cpu(e->logical) - logical;
		u32 block = le32_to_cpu(e->block);

		if (le64_to_cpu(e->logical) / GUESTMEMFS_GROUP_BLOCKS == group && ahead <= block &&
		    block - ahead >= le32_to_cpu(gmfs_block_range(t, block)->first_block) &&
		    !test_bit(block - ahead, t->bitmap))
			return block - ahead;
	}
	return GMFS_NO_BLOCK;
}

/* Fills the hole before the extent at @pos with one run. Returns its length. */
static u32 gmfs_fill_once(struct gmfs_tables *t, struct gmfs_extmap *map, u32 ino, u32 pos,
			  u64 logical, u64 want)
{
	struct guestmemfs_extent *e;
	u32 block = 0, slot, got;

	got = gmfs_find_run(t, gmfs_goal(t, map, pos, logical), logical,
			    min_t(u64, want, t->nr_blocks), &block);
	gmfs_take(t, block, got);
	slot = gmfs_extent_slot(t);
	e = &t->extents[slot];
	e->logical = cpu_to_le64(logical);
	e->ino = cpu_to_le32(ino);
	e->block = cpu_to_le32(block);
	e->count = cpu_to_le32(got);
	e->flags = cpu_to_le32(GUESTMEMFS_EXTENT_ALLOCATED);
	gmfs_map_insert(map, pos, slot);
	gmfs_map_join(t, map, pos + 1);
	gmfs_map_join(t, map, pos);
	return got;
}

static u64 gmfs_map_missing(const struct gmfs_tables *t, const struct gmfs_extmap *map,
			    u64 logical, u64 count)
{
	u64 end = logical + count, missing = 0;
	struct gmfs_run run;

	while (logical < end) {
		gmfs_map_lookup(t, map, logical, &run);
		run.count = min(run.count, end - logical);
		if (run.block == GMFS_NO_BLOCK)
			missing += run.count;
		logical += run.count;
	}
	return missing;
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
 *
 * Return: 0, or -ENOSPC or -ENOMEM with nothing allocated.
 */
int gmfs_map_fill(struct gmfs_tables *t, struct gmfs_extmap *map, u32 ino,
		  u64 logical, u64 count)
{
	u64 missing = gmfs_map_missing(t, map, logical, count);
	u64 end = logical + count;
	struct gmfs_run run;
	int err;

	if (missing > t->free_blocks)
		return -ENOSPC;
	err = gmfs_map_reserve(map, missing);
	if (err)
		return err;
	while (logical < end) {
		gmfs_map_lookup(t, map, logical, &run);
		run.count = min(run.count, end - logical);
		if (run.block == GMFS_NO_BLOCK)
			run.count = gmfs_fill_once(t, map, ino, gmfs_map_pos(t, map, logical),
						   logical, run.count);
		logical += run.count;
	}
	return 0;
}

/* Cuts an extent in two at @logical, which is inside it. Room was reserved. */
static void gmfs_map_split(struct gmfs_tables *t, struct gmfs_extmap *map, u32 pos, u64 logical)
{
	u32 slot = gmfs_extent_slot(t);
	struct guestmemfs_extent *a = &t->extents[map->slots[pos]];
	struct guestmemfs_extent *b = &t->extents[slot];
	u32 keep = logical - le64_to_cpu(a->logical);

	*b = *a;
	b->logical = cpu_to_le64(logical);
	b->block = cpu_to_le32(le32_to_cpu(a->block) + keep);
	b->count = cpu_to_le32(le32_to_cpu(a->count) - keep);
	a->count = cpu_to_le32(keep);
	gmfs_map_insert(map, pos + 1, slot);
}

/**
 * gmfs_map_punch - give back the blocks of a part of a file
 * @t: the pool's tables
 * @map: the file's extents
 * @logical: first block in the file
 * @count: number of blocks; @logical + @count is at most %GMFS_MAX_LOGICAL
 *
 * Nobody may have the blocks mapped any more: they can be allocated again as
 * soon as the caller drops its lock.
 *
 * Return: 0, or -ENOMEM with nothing freed.
 */
int gmfs_map_punch(struct gmfs_tables *t, struct gmfs_extmap *map, u64 logical, u64 count)
{
	u64 end = logical + count;
	u32 first, last, i;
	int err;

	err = gmfs_map_reserve(map, 2);
	if (err)
		return err;
	first = gmfs_map_pos(t, map, logical);
	if (first < map->nr && le64_to_cpu(t->extents[map->slots[first]].logical) < logical)
		gmfs_map_split(t, map, first++, logical);
	last = gmfs_map_pos(t, map, end);
	if (last < map->nr && le64_to_cpu(t->extents[map->slots[last]].logical) < end)
		gmfs_map_split(t, map, last++, end);
	for (i = first; i < last; i++) {
		struct guestmemfs_extent *e = &t->extents[map->slots[i]];

		gmfs_release(t, le32_to_cpu(e->block), le32_to_cpu(e->count));
		gmfs_extent_drop(t, map->slots[i]);
	}
	if (last > first)
		gmfs_map_remove(map, first, last - first);
	return 0;
}

/**
 * gmfs_map_clear - give back all blocks of a file
 * @t: the pool's tables
 * @map: the file's extents
 *
 * As gmfs_map_punch() of everything, but needs no memory and cannot fail.
 */
void gmfs_map_clear(struct gmfs_tables *t, struct gmfs_extmap *map)
{
	u32 i;

	for (i = 0; i < map->nr; i++) {
		struct guestmemfs_extent *e = &t->extents[map->slots[i]];

		gmfs_release(t, le32_to_cpu(e->block), le32_to_cpu(e->count));
		gmfs_extent_drop(t, map->slots[i]);
	}
	map->nr = 0;
}

/**
 * gmfs_map_destroy - free the memory of an extent map
 * @map: the map; the tables keep the extents
 */
void gmfs_map_destroy(struct gmfs_extmap *map)
{
	kvfree(map->slots);
	map->slots = NULL;
	map->nr = 0;
	map->cap = 0;
}
