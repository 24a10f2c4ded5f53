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

/* How many of them there may be: each block can still have an extent of its own. */
static inline u32 gmfs_states_max(const struct gmfs_tables *t, u32 total_blocks)
{
	return t->nr_extents - total_blocks;
}

static inline unsigned long *gmfs_mixed_bits(const struct gmfs_tables *t, u32 map)
{
	return (unsigned long *)t->maps[map].bits;
}

#define GMFS_MAX_SPANS		3

/**
 * struct gmfs_span - what changes in a part of a file
 * @from: first block in the file
 * @to: block behind the last one
 * @mask: flags that tell whether an extent changes
 * @match: what they are then; a hole has no flags
 * @clear: flags that it loses
 * @set: flags that it gets; if mixed, the span is one block
 * @refuse: flags that nothing in the span may have
 * @low: first page of a mixed block that changes
 * @high: page behind the last one
 * @converted: what these pages become
 * @piece: for gmfs_map_edit()
 */
struct gmfs_span {
	u64 from;
	u64 to;
	u32 mask;
	u32 match;
	u32 clear;
	u32 set;
	u32 refuse;
	u32 low;
	u32 high;
	bool converted;
	u32 piece;
};

/* extmap.c */
int gmfs_map_reserve(struct gmfs_extmap *map, u64 nr);
u32 gmfs_map_pos(const struct gmfs_tables *t, const struct gmfs_extmap *map, u64 logical);
bool gmfs_extents_join(const struct gmfs_tables *t, const struct guestmemfs_extent *a,
		       const struct guestmemfs_extent *b);

/* mapedit.c */
int gmfs_map_edit(struct gmfs_tables *t, struct gmfs_extmap *map, u32 ino,
		  struct gmfs_span *spans, u32 nr, struct gmfs_ready *ready);

/* states.c */
bool gmfs_states_fit(const struct gmfs_tables *t, u64 more);
u32 gmfs_mixed_take(struct gmfs_tables *t);
void gmfs_mixed_drop(struct gmfs_tables *t, u32 map);
void gmfs_states_init(struct gmfs_tables *t);

#endif /* _GUESTMEMFS_EXTMAP_H */
