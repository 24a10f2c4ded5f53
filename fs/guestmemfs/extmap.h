/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_EXTMAP_H
#define _GUESTMEMFS_EXTMAP_H

#include "tables.h"

/*
 * What extmap.c, mapfill.c, mapedit.c and states.c share: how they look at
 * extents, how they change them, and the entries of the map table.
 */

/* The character of an offset, as the flags of its extent tell it. */
#define GMFS_EXTENT_CHARACTER	(GUESTMEMFS_EXTENT_CONVERTED | GUESTMEMFS_EXTENT_MIXED)

static inline u64 gmfs_extent_end(const struct guestmemfs_extent *e)
{
	return le64_to_cpu(e->logical) + le32_to_cpu(e->count);
}

static inline bool gmfs_extent_allocated(const struct guestmemfs_extent *e)
{
	return e->flags & cpu_to_le32(GUESTMEMFS_EXTENT_ALLOCATED);
}

/*
 * Does an extent need an entry that no block pays for? It does when it has no
 * blocks; and when it is truncated and will have none, so that there is room
 * for that when it comes.
 */
static inline bool gmfs_is_state(u32 flags)
{
	if (!(flags & GUESTMEMFS_EXTENT_ALLOCATED))
		return true;
	return flags & GUESTMEMFS_EXTENT_TRUNCATED && flags & GMFS_EXTENT_CHARACTER;
}

/* How many states there may be: each block can still have an extent of its own. */
static inline u32 gmfs_states_max(const struct gmfs_tables *t, u32 total_blocks)
{
	return t->nr_extents - total_blocks - GMFS_SPARE_EXTENTS;
}

static inline unsigned long *gmfs_mixed_bits(const struct gmfs_tables *t, u32 map)
{
	return (unsigned long *)t->maps[map].bits;
}

#define GMFS_NO_SLOT		U32_MAX

/* How many extents are changed before the pool's lock is released for others. */
#define GMFS_STEP_EXTENTS	64
#define GMFS_STEP_BLOCKS	(1024U * GUESTMEMFS_GROUP_BLOCKS)

/**
 * struct gmfs_spot - the extent or the hole that an offset is in
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

/* states.c */
bool gmfs_slots_fit(const struct gmfs_tables *t);
void gmfs_promise_update(struct gmfs_tables *t, struct gmfs_promise *p, s64 states, s64 maps);
bool gmfs_states_fit(const struct gmfs_tables *t, u64 more);
u32 gmfs_convert_flags(const struct gmfs_tables *t, const struct guestmemfs_extent *e, u32 low,
		       u32 high, bool converted);
u32 gmfs_mixed_take(struct gmfs_tables *t);
void gmfs_mixed_drop(struct gmfs_tables *t, u32 map);
void gmfs_states_init(struct gmfs_tables *t);

#endif /* _GUESTMEMFS_EXTMAP_H */
