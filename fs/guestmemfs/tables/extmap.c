// SPDX-License-Identifier: GPL-2.0-only
/*
 * The extents of a file: a tree of their offsets, and functions that split and merge
 * extents. mapfill.c allocates blocks, mapedit.c changes extents, states.c reports the
 * state of pages.
 *
 * The functions work on tables that gmfs_check() has accepted. The caller holds
 * gmfs_inode.map_lock, and gmfs_pool.lock if a function changes the tables.
 */
#include <linux/errno.h>
#include <linux/limits.h>
#include <linux/minmax.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include "extmap.h"

/**
 * gmfs_map_init - initialise an empty map
 * @map: the map
 */
void gmfs_map_init(struct gmfs_extmap *map)
{
	mt_init_flags(&map->tree, MT_FLAGS_LOCK_EXTERN);
	mt_init_flags(&map->cover, MT_FLAGS_LOCK_EXTERN);
	/* Switch off lockdep's check: a map that no other task can reach needs no lock. */
	mt_on_stack(map->tree);
	mt_on_stack(map->cover);
	map->blocks = 0;
	map->hint = GMFS_NO_SLOT;
}

/**
 * gmfs_map_destroy - free the memory of a map
 * @map: the map, which is empty afterwards; the extents stay in the tables
 */
void gmfs_map_destroy(struct gmfs_extmap *map)
{
	__mt_destroy(&map->tree);
	__mt_destroy(&map->cover);
	map->blocks = 0;
	map->hint = GMFS_NO_SLOT;
}

/**
 * gmfs_map_spot - find the extent or the hole at an offset
 * @t: the pool's tables
 * @map: the file's extents
 * @logical: block in the file, below %GMFS_MAX_LOGICAL
 * @spot: result
 */
void gmfs_map_spot(const struct gmfs_tables *t, const struct gmfs_extmap *map, u64 logical,
		   struct gmfs_spot *spot)
{
	MA_STATE(mas, (struct maple_tree *)&map->tree, logical, logical);
	void *entry = mas_walk(&mas);

	spot->slot = entry ? xa_to_value(entry) : GMFS_NO_SLOT;
	spot->e = entry ? &t->extents[spot->slot] : NULL;
	spot->start = mas.index;
	spot->end = min_t(u64, mas.last, GMFS_MAX_LOGICAL - 1) + 1;
}

/**
 * gmfs_map_lookup - find the blocks at an offset
 * @t: the pool's tables
 * @map: the file's extents
 * @logical: block in the file, below %GMFS_MAX_LOGICAL
 * @run: result: the rest of the extent or of the hole from @logical on
 */
void gmfs_map_lookup(const struct gmfs_tables *t, const struct gmfs_extmap *map,
		     u64 logical, struct gmfs_run *run)
{
	struct gmfs_spot spot;

	gmfs_map_spot(t, map, logical, &spot);
	*run = (struct gmfs_run){
		.logical	= logical,
		.count		= spot.end - logical,
		.block		= GMFS_NO_BLOCK,
	};
	if (!spot.e)
		return;
	run->flags = le32_to_cpu(spot.e->flags) & ~GUESTMEMFS_EXTENT_ALLOCATED;
	run->map = le32_to_cpu(spot.e->map);
	if (gmfs_extent_allocated(spot.e))
		run->block = gmfs_spot_block(&spot, logical);
}

/**
 * gmfs_map_entry_found - gmfs_map_entry() by a look-up in the tree, which sets the hint
 * @t: the pool's tables
 * @map: the file's extents
 * @page: as for gmfs_map_entry()
 * @orders: as for gmfs_map_entry()
 * @entry: result
 *
 * Return: as gmfs_map_entry().
 */
bool gmfs_map_entry_found(const struct gmfs_tables *t, struct gmfs_extmap *map, u64 page,
			  unsigned long orders, struct gmfs_entry *entry)
{
	u64 logical, count;
	struct gmfs_spot spot;

	gmfs_map_spot(t, map, page / GUESTMEMFS_BLOCK_PAGES, &spot);
	/* All faults read this line: write only a hint that gmfs_map_entry_again() can use. */
	if (spot.e && gmfs_extent_allocated(spot.e) &&
	    !(spot.e->flags & cpu_to_le32(GUESTMEMFS_EXTENT_MIXED)))
		WRITE_ONCE(map->hint, spot.slot);
	entry->flags = 0;
	entry->converted = false;
	if (spot.e) {
		entry->flags = le32_to_cpu(spot.e->flags);
		entry->converted = gmfs_extent_converted(t, spot.e, page % GUESTMEMFS_BLOCK_PAGES);
		/* Pages of a mixed block differ: allow only an entry for a single page. */
		if (entry->flags & GUESTMEMFS_EXTENT_MIXED)
			orders &= BIT(0);
	}
	for (; orders; orders &= ~BIT(entry->order)) {
		gmfs_entry_at(entry, page, __fls(orders));
		entry->block = GMFS_NO_BLOCK;
		logical = entry->first / GUESTMEMFS_BLOCK_PAGES;
		count = gmfs_entry_blocks(entry);
		if (logical < spot.start || logical + count > spot.end)
			continue;
		if (!(entry->flags & GUESTMEMFS_EXTENT_ALLOCATED))
			return true;
		entry->block = gmfs_spot_block(&spot, logical);
		if (!(entry->block & (count - 1)))
			return true;
	}
	return false;
}

/**
 * gmfs_tree_store - store an entry in a maple tree
 * @tree: the tree
 * @first: first index
 * @last: last index
 * @entry: the entry, NULL to erase
 * @gfp: with __GFP_NOFAIL if the caller cannot handle a failure
 *
 * mas_store_gfp() may fail even with __GFP_NOFAIL: kmem_cache_prefill_sheaf() removes the flag
 * before it allocates the sheaf itself. Repeat it then, as mas_erase() does.
 *
 * Return: 0, or -ENOMEM, but not with __GFP_NOFAIL.
 */
int gmfs_tree_store(struct maple_tree *tree, unsigned long first, unsigned long last, void *entry,
		    gfp_t gfp)
{
	MA_STATE(mas, tree, first, last);
	int err;

	do {
		mas_set_range(&mas, first, last);
		err = mas_store_gfp(&mas, entry, gfp);
	} while (err == -ENOMEM && gfp & __GFP_NOFAIL);
	return err;
}

/**
 * gmfs_map_store - store an extent or a hole in the tree
 * @map: the file's extents
 * @start: first block in the file
 * @end: block after the last one
 * @slot: the extent's entry, %GMFS_NO_SLOT for a hole
 * @gfp: with __GFP_NOFAIL if the caller cannot handle a failure
 *
 * Return: 0 or -ENOMEM.
 */
int gmfs_map_store(struct gmfs_extmap *map, u64 start, u64 end, u32 slot, gfp_t gfp)
{
	map->hint = GMFS_NO_SLOT;
	return gmfs_tree_store(&map->tree, start, end - 1,
			       slot == GMFS_NO_SLOT ? NULL : xa_mk_value(slot), gfp);
}

/**
 * gmfs_map_insert - add an extent of the tables to a map
 * @t: the pool's tables
 * @map: the file's extents
 * @slot: the extent's entry
 *
 * Called at mount, before any block of the file is freed.
 *
 * Return: 0 or -ENOMEM.
 */
int gmfs_map_insert(struct gmfs_tables *t, struct gmfs_extmap *map, u32 slot)
{
	const struct guestmemfs_extent *e = &t->extents[slot];
	int err;

	err = gmfs_map_store(map, le64_to_cpu(e->logical), gmfs_extent_end(e), slot, GFP_KERNEL);
	if (err || !gmfs_extent_allocated(e))
		return err;
	map->blocks += le32_to_cpu(e->count);
	gmfs_claim(t, le32_to_cpu(e->block), le32_to_cpu(e->count), le32_to_cpu(e->ino),
		   le64_to_cpu(e->logical));
	return 0;
}

/**
 * gmfs_map_split - allocate the memory that gmfs_map_cut() needs
 * @map: the file's extents
 * @at: block in the file where an extent will be split
 *
 * Afterwards the tree has two ranges for the extent, which means the same as one.
 *
 * Return: 0 or -ENOMEM.
 */
int gmfs_map_split(struct gmfs_extmap *map, u64 at)
{
	MA_STATE(mas, &map->tree, at, at);
	void *entry = mas_walk(&mas);

	if (!entry || mas.index == at)
		return 0;
	return gmfs_map_store(map, at, mas.last + 1, xa_to_value(entry), GFP_KERNEL);
}

/**
 * gmfs_map_unsplit - undo gmfs_map_split()
 * @t: the pool's tables
 * @map: the file's extents
 * @at: as passed to gmfs_map_split()
 */
void gmfs_map_unsplit(const struct gmfs_tables *t, struct gmfs_extmap *map, u64 at)
{
	struct gmfs_spot spot;

	gmfs_map_spot(t, map, at, &spot);
	if (spot.e)
		gmfs_map_store(map, le64_to_cpu(spot.e->logical), gmfs_extent_end(spot.e),
			       spot.slot, GFP_KERNEL | __GFP_NOFAIL);
}

/**
 * gmfs_map_cut - split an extent in two
 * @t: the pool's tables
 * @map: the file's extents
 * @at: block in the file where the second extent begins; nothing is done if an extent
 *	begins there already, or if there is a hole
 *
 * Always finds a free entry: both parts of an extent with blocks have a block, and each
 * block has an entry. Splitting an extent without blocks uses one of %GMFS_SPARE_EXTENTS.
 */
void gmfs_map_cut(struct gmfs_tables *t, struct gmfs_extmap *map, u64 at)
{
	struct guestmemfs_extent *e;
	struct gmfs_spot spot;
	u32 slot, keep;

	gmfs_map_spot(t, map, at, &spot);
	if (!spot.e || le64_to_cpu(spot.e->logical) == at)
		return;
	slot = gmfs_extent_slot(t);
	e = &t->extents[slot];
	*e = *spot.e;
	keep = at - le64_to_cpu(e->logical);
	spot.e->count = cpu_to_le32(keep);
	e->logical = cpu_to_le64(at);
	e->count = cpu_to_le32(le32_to_cpu(e->count) - keep);
	if (gmfs_extent_allocated(e))
		e->block = cpu_to_le32(le32_to_cpu(e->block) + keep);
	t->nr_blockless += gmfs_extent_is_blockless(le32_to_cpu(e->flags));
	gmfs_map_store(map, at, gmfs_extent_end(e), slot, GFP_KERNEL | __GFP_NOFAIL);
}

/**
 * gmfs_extents_join - check that two extents can be merged
 * @t: the pool's tables
 * @a: an extent
 * @b: another extent of the same file
 *
 * Return: true if @b continues @a in the file and, if they have blocks, in a physical
 * range, has the same flags, and neither is mixed.
 */
bool gmfs_extents_join(const struct gmfs_tables *t, const struct guestmemfs_extent *a,
		       const struct guestmemfs_extent *b)
{
	u32 count = le32_to_cpu(a->count), block = le32_to_cpu(a->block);

	if (gmfs_extent_end(a) != le64_to_cpu(b->logical) || a->flags != b->flags ||
	    le32_to_cpu(b->count) > U32_MAX - count ||
	    le32_to_cpu(a->flags) & GUESTMEMFS_EXTENT_MIXED)
		return false;
	if (!gmfs_extent_allocated(a))
		return true;
	return block + count == le32_to_cpu(b->block) &&
	       gmfs_block_range(t, block) == gmfs_block_range(t, block + count);
}

/**
 * gmfs_map_join - merge two adjacent extents if possible
 * @t: the pool's tables
 * @map: the file's extents
 * @at: block in the file where the second extent begins
 */
void gmfs_map_join(struct gmfs_tables *t, struct gmfs_extmap *map, u64 at)
{
	struct gmfs_spot a, b;

	if (!at || at >= GMFS_MAX_LOGICAL)
		return;
	gmfs_map_spot(t, map, at, &b);
	if (!b.e || b.start != at)
		return;
	gmfs_map_spot(t, map, at - 1, &a);
	if (!a.e || !gmfs_extents_join(t, a.e, b.e))
		return;
	a.e->count = cpu_to_le32(le32_to_cpu(a.e->count) + le32_to_cpu(b.e->count));
	t->nr_blockless -= gmfs_extent_is_blockless(le32_to_cpu(b.e->flags));
	gmfs_extent_drop(t, b.slot);
	gmfs_map_store(map, a.start, b.end, a.slot, GFP_KERNEL | __GFP_NOFAIL);
}
