// SPDX-License-Identifier: GPL-2.0-only
/*
 * The extents of a file: look up, punch, truncate. mapfill.c adds blocks to
 * them, mapedit.c does what changes them, states.c knows what their pages are.
 *
 * Everything here works on tables that gmfs_check() has accepted, is
 * serialised by the caller, and fails before it has changed anything.
 */
#include <linux/errno.h>
#include <linux/limits.h>
#include <linux/minmax.h>
#include <linux/slab.h>

#include "extmap.h"

/* The most that kvrealloc() gives; asked for more, it warns. */
#define GMFS_MAP_MAX	(INT_MAX / sizeof(u32))

/**
 * gmfs_map_reserve - make room for extents
 * @map: a file's extents
 * @nr: how many it is to have room for
 *
 * Return: 0 or -ENOMEM.
 */
int gmfs_map_reserve(struct gmfs_extmap *map, u64 nr)
{
	u64 cap;
	u32 *slots;

	if (nr <= map->cap)
		return 0;
	if (nr > GMFS_MAP_MAX)
		return -ENOMEM;
	cap = clamp_t(u64, map->nr + map->nr / 2, nr, GMFS_MAP_MAX);
	slots = kvrealloc(map->slots, cap * sizeof(*slots), GFP_KERNEL_ACCOUNT);
	if (!slots)
		return -ENOMEM;
	map->slots = slots;
	map->cap = cap;
	return 0;
}

/**
 * gmfs_map_pos - index of the first extent that ends after an offset
 * @t: the pool's tables
 * @map: the file's extents
 * @logical: block in the file
 *
 * Return: the index in @map, its number of extents if there is none.
 */
u32 gmfs_map_pos(const struct gmfs_tables *t, const struct gmfs_extmap *map, u64 logical)
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
 *
 * What is truncated still has its blocks, for those who hold them: others have
 * to look at the flag.
 */
void gmfs_map_lookup(const struct gmfs_tables *t, const struct gmfs_extmap *map,
		     u64 logical, struct gmfs_run *run)
{
	u32 pos = gmfs_map_pos(t, map, logical);
	u64 end = GMFS_MAX_LOGICAL;

	run->logical = logical;
	run->block = GMFS_NO_BLOCK;
	run->flags = 0;
	run->map = 0;
	if (pos < map->nr) {
		const struct guestmemfs_extent *e = &t->extents[map->slots[pos]];
		u64 start = le64_to_cpu(e->logical);

		if (start <= logical) {
			if (gmfs_extent_allocated(e))
				run->block = le32_to_cpu(e->block) + (logical - start);
			run->flags = le32_to_cpu(e->flags) & ~GUESTMEMFS_EXTENT_ALLOCATED;
			run->map = le32_to_cpu(e->map);
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
 * Return: the number of blocks, with those that are truncated.
 */
u64 gmfs_map_blocks(const struct gmfs_tables *t, const struct gmfs_extmap *map)
{
	u64 blocks = 0;
	u32 i;

	for (i = 0; i < map->nr; i++) {
		const struct guestmemfs_extent *e = &t->extents[map->slots[i]];

		if (gmfs_extent_allocated(e))
			blocks += le32_to_cpu(e->count);
	}
	return blocks;
}

/**
 * gmfs_extents_join - can two extents be one
 * @t: the pool's tables
 * @a: an extent
 * @b: another one of the same file
 *
 * Return: whether @b goes on where @a ends, in the file, in its range and in
 * all that is said of it.
 */
bool gmfs_extents_join(const struct gmfs_tables *t, const struct guestmemfs_extent *a,
		       const struct guestmemfs_extent *b)
{
	u32 count = le32_to_cpu(a->count), block = le32_to_cpu(a->block);

	if (gmfs_extent_end(a) != le64_to_cpu(b->logical) || a->flags != b->flags ||
	    a->pins || b->pins || le32_to_cpu(b->count) > U32_MAX - count ||
	    le32_to_cpu(a->flags) & (GUESTMEMFS_EXTENT_MIXED | GUESTMEMFS_EXTENT_TRUNCATED))
		return false;
	if (!gmfs_extent_allocated(a))
		return true;
	return block + count == le32_to_cpu(b->block) &&
	       gmfs_block_range(t, block) == gmfs_block_range(t, block + count);
}

/**
 * gmfs_map_punch - give back the blocks of a part of a file
 * @t: the pool's tables
 * @map: the file's extents
 * @logical: first block in the file
 * @count: number of blocks; @logical + @count is at most %GMFS_MAX_LOGICAL
 *
 * Nobody may have the blocks mapped any more, nor hold them: they can be
 * allocated again as soon as the caller drops its lock. Each page keeps its
 * character. What is truncated stays so.
 *
 * Return: 0, -ENOMEM, or -ENOSPC if characters do not fit that the blocks have
 * told so far, both with nothing freed.
 */
int gmfs_map_punch(struct gmfs_tables *t, struct gmfs_extmap *map, u64 logical, u64 count)
{
	struct gmfs_span span = {
		.from	= logical,
		.to	= logical + count,
		.mask	= GUESTMEMFS_EXTENT_TRUNCATED,
		.clear	= GUESTMEMFS_EXTENT_ALLOCATED,
	};

	return gmfs_map_edit(t, map, 0, &span, 1, NULL);
}

/**
 * gmfs_map_truncate - cut blocks off a file that somebody still holds
 * @t: the pool's tables
 * @map: the file's extents
 * @logical: first block in the file
 * @count: number of blocks; @logical + @count is at most %GMFS_MAX_LOGICAL
 *
 * They stay taken, and are in nobody's way but the file's, until
 * gmfs_map_truncate_ready().
 *
 * Return: 0, -ENOSPC or -ENOMEM, both with nothing changed.
 */
int gmfs_map_truncate(struct gmfs_tables *t, struct gmfs_extmap *map, u64 logical, u64 count)
{
	struct gmfs_span span = {
		.from	= logical,
		.to	= logical + count,
		.mask	= GUESTMEMFS_EXTENT_ALLOCATED,
		.match	= GUESTMEMFS_EXTENT_ALLOCATED,
		.set	= GUESTMEMFS_EXTENT_TRUNCATED,
	};

	return gmfs_map_edit(t, map, 0, &span, 1, NULL);
}

/**
 * gmfs_map_truncate_ready - nobody holds what was truncated any more
 * @t: the pool's tables
 * @map: the file's extents
 * @logical: first block in the file
 * @count: number of blocks; @logical + @count is at most %GMFS_MAX_LOGICAL
 *
 * What is truncated in this part is punched, the rest of it is left alone. For
 * whole extents there is always room; that one with characters is cut may be
 * one extent too many.
 *
 * Return: 0, -ENOSPC or -ENOMEM, both with nothing freed.
 */
int gmfs_map_truncate_ready(struct gmfs_tables *t, struct gmfs_extmap *map, u64 logical,
			    u64 count)
{
	struct gmfs_span span = {
		.from	= logical,
		.to	= logical + count,
		.mask	= GUESTMEMFS_EXTENT_TRUNCATED,
		.match	= GUESTMEMFS_EXTENT_TRUNCATED,
		.clear	= GUESTMEMFS_EXTENT_TRUNCATED | GUESTMEMFS_EXTENT_ALLOCATED,
	};

	return gmfs_map_edit(t, map, 0, &span, 1, NULL);
}

/**
 * gmfs_map_clear - give back all blocks of a file
 * @t: the pool's tables
 * @map: the file's extents
 *
 * And all that is known of its offsets: their character, and what is truncated,
 * which nobody may hold any more. Needs no memory and cannot fail.
 */
void gmfs_map_clear(struct gmfs_tables *t, struct gmfs_extmap *map)
{
	u32 i;

	for (i = 0; i < map->nr; i++) {
		struct guestmemfs_extent *e = &t->extents[map->slots[i]];
		u32 flags = le32_to_cpu(e->flags);

		if (flags & GUESTMEMFS_EXTENT_ALLOCATED)
			gmfs_release(t, le32_to_cpu(e->block), le32_to_cpu(e->count),
				     le32_to_cpu(e->ino), le64_to_cpu(e->logical));
		if (flags & GUESTMEMFS_EXTENT_MIXED)
			gmfs_mixed_drop(t, le32_to_cpu(e->map));
		t->nr_states -= gmfs_is_state(flags);
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
