/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_EXTMAP_H
#define _GUESTMEMFS_EXTMAP_H

#include <linux/compiler.h>

#include "tables.h"

/* Access to extents and map entries, for code that reads or changes the contents of files. */

/* The flags that say which pages of an extent are converted. */
#define GMFS_EXTENT_CHARACTER	(GUESTMEMFS_EXTENT_CONVERTED | GUESTMEMFS_EXTENT_MIXED)

static inline u64 gmfs_extent_end(const struct guestmemfs_extent *e)
{
	return le64_to_cpu(e->logical) + le32_to_cpu(e->count);
}

static inline bool gmfs_extent_allocated(const struct guestmemfs_extent *e)
{
	return e->flags & cpu_to_le32(GUESTMEMFS_EXTENT_ALLOCATED);
}

/* Does this extent count against the entries that are left for extents without blocks? */
static inline bool gmfs_extent_is_blockless(u32 flags)
{
	return !(flags & GUESTMEMFS_EXTENT_ALLOCATED);
}

/* The maximum of nr_blockless: each block may still need an extent of its own. */
static inline u32 gmfs_blockless_max(const struct gmfs_tables *t, u32 total_blocks)
{
	return t->nr_extents - total_blocks - GMFS_SPARE_EXTENTS;
}

static inline unsigned long *gmfs_mixed_bits(const struct gmfs_tables *t, u32 map)
{
	return (unsigned long *)t->maps[map].bits;
}

/* Is a page of an extent's block converted? */
static inline bool gmfs_extent_converted(const struct gmfs_tables *t,
					 const struct guestmemfs_extent *e, u32 page_in_block)
{
	if (e->flags & cpu_to_le32(GUESTMEMFS_EXTENT_MIXED))
		return test_bit(page_in_block, gmfs_mixed_bits(t, le32_to_cpu(e->map)));
	return e->flags & cpu_to_le32(GUESTMEMFS_EXTENT_CONVERTED);
}

#define GMFS_NO_SLOT		U32_MAX

/* Limits of one critical section of gmfs_pool.lock: extents to look at, blocks to change. */
#define GMFS_STEP_EXTENTS	64
#define GMFS_STEP_BLOCKS	(1024U * GUESTMEMFS_GROUP_BLOCKS)

/**
 * struct gmfs_spot - the extent or the hole at an offset
 * @start: first block in the file
 * @end: block after the last one
 * @slot: entry of the extent table, %GMFS_NO_SLOT for a hole
 * @e: the entry, NULL for a hole
 */
struct gmfs_spot {
	u64 start;
	u64 end;
	u32 slot;
	struct guestmemfs_extent *e;
};

/* The block of an extent with blocks at an offset of the file. */
static inline u32 gmfs_spot_block(const struct gmfs_spot *spot, u64 logical)
{
	return le32_to_cpu(spot->e->block) + (logical - spot->start);
}

/* extmap.c */
void gmfs_map_spot(const struct gmfs_tables *t, const struct gmfs_extmap *map, u64 logical,
		   struct gmfs_spot *spot);
int gmfs_map_store(struct gmfs_extmap *map, u64 start, u64 end, u32 slot, gfp_t gfp);
int gmfs_map_split(struct gmfs_extmap *map, u64 at);
void gmfs_map_unsplit(const struct gmfs_tables *t, struct gmfs_extmap *map, u64 at);
void gmfs_map_cut(struct gmfs_tables *t, struct gmfs_extmap *map, u64 at);
void gmfs_map_join(struct gmfs_tables *t, struct gmfs_extmap *map, u64 at);
bool gmfs_extents_join(const struct gmfs_tables *t, const struct guestmemfs_extent *a,
		       const struct guestmemfs_extent *b);

bool gmfs_map_entry_found(const struct gmfs_tables *t, struct gmfs_extmap *map, u64 page,
			  unsigned long orders, struct gmfs_entry *entry);

/*
 * Most faults hit the extent of the previous fault and can use the largest size in
 * question, so try that one first. The caller holds map_lock, or makes sure afterwards that
 * nothing has changed: only entries of the extent table are read, which stay where they are. The
 * hint is valid: a change of the tree clears it, with map_lock held for writing.
 */
static inline bool gmfs_map_entry_again(const struct gmfs_tables *t, const struct gmfs_extmap *map,
					struct gmfs_entry *entry)
{
	u32 slot = READ_ONCE(map->hint);
	u64 count = gmfs_entry_blocks(entry), offset;
	const struct guestmemfs_extent *e;

	if (slot == GMFS_NO_SLOT)
		return false;
	e = &t->extents[slot];
	entry->flags = le32_to_cpu(e->flags);
	if ((entry->flags & (GUESTMEMFS_EXTENT_ALLOCATED | GUESTMEMFS_EXTENT_MIXED)) !=
	    GUESTMEMFS_EXTENT_ALLOCATED)
		return false;
	offset = entry->first / GUESTMEMFS_BLOCK_PAGES - le64_to_cpu(e->logical);
	if (offset >= le32_to_cpu(e->count) || le32_to_cpu(e->count) - offset < count)
		return false;
	entry->block = le32_to_cpu(e->block) + offset;
	entry->converted = entry->flags & GUESTMEMFS_EXTENT_CONVERTED;
	return !(entry->block & (count - 1));
}

/* The entry of size @order that contains a page. */
static inline void gmfs_entry_at(struct gmfs_entry *entry, u64 page, unsigned int order)
{
	entry->order = order;
	entry->first = round_down(page, 1ULL << order);
}

/**
 * gmfs_map_entry - find the largest page table entry that can map a page
 * @t: the pool's tables
 * @map: the file's extents
 * @page: page in the file, below %GMFS_MAX_PAGE
 * @orders: allowed sizes, as log2 of pages: a bit for each, at least one
 * @entry: result
 *
 * The blocks of the entry are contiguous, or all of it is in a hole; its pages are all
 * private or all shared. Costs at most one look-up in the tree. The caller holds map_lock,
 * at least for reading. Concurrent callers overwrite each other's hint.
 *
 * Return: false if no entry of these sizes can map the page. Never false with %BIT(0) in
 * @orders.
 */
static inline bool gmfs_map_entry(const struct gmfs_tables *t, struct gmfs_extmap *map, u64 page,
				  unsigned long orders, struct gmfs_entry *entry)
{
	gmfs_entry_at(entry, page, __fls(orders));
	return gmfs_map_entry_again(t, map, entry) ||
	       gmfs_map_entry_found(t, map, page, orders, entry);
}

/* entries.c */
bool gmfs_slots_fit(const struct gmfs_tables *t);
void gmfs_entries_init(struct gmfs_tables *t);
bool gmfs_blockless_fit(const struct gmfs_tables *t, u64 more);
void gmfs_promise_update(struct gmfs_tables *t, struct gmfs_promise *p, s64 blockless, s64 maps);
u32 gmfs_mixed_take(struct gmfs_tables *t);
void gmfs_mixed_drop(struct gmfs_tables *t, u32 map);
void gmfs_blockless_init(struct gmfs_tables *t);

/* states.c */
u32 gmfs_convert_flags(const struct gmfs_tables *t, const struct guestmemfs_extent *e, u32 low,
		       u32 high, bool converted);

#endif /* _GUESTMEMFS_EXTMAP_H */
