// SPDX-License-Identifier: GPL-2.0-only
/*
 * Records of absent pages: pages of 4 KiB that a file has lost although it keeps their block.
 *
 * A running kernel has the absent pages in memory. It writes records of them into the unused part
 * of the map table, when the tables are frozen for a kexec and at the end of a mount, and the next
 * mount reads them. So they take no memory of their own, and nothing that a running kernel does can
 * fail because there is no room for a record: pages without a record are present at the next mount,
 * with the zeroes that an absent page has.
 *
 * An older kernel ignores records, and may map the pages and use the unused part of the map table.
 * Its mount sets guestmemfs_super_live.hops, from which a later kernel knows that the records are
 * out of date.
 */
#include <linux/bitops.h>
#include <linux/limits.h>
#include <linux/string.h>

#include "extmap.h"

/* How many maps gmfs_absent_trim() looks at in one step. */
#define GMFS_STEP_MAPS	1024

static struct guestmemfs_absent *gmfs_absent_at(const struct gmfs_tables *t, u32 i)
{
	u32 used = le32_to_cpu(t->super->live.used_maps);

	return (struct guestmemfs_absent *)&t->maps[used] + i;
}

/**
 * gmfs_absent_read - read a record
 * @t: tables that gmfs_check() has accepted
 * @i: index of the record, below what gmfs_absent_records() returns
 * @a: result. Blocks may have become free since gmfs_check()
 */
void gmfs_absent_read(const struct gmfs_tables *t, u32 i, struct gmfs_absence *a)
{
	const struct guestmemfs_absent *record = gmfs_absent_at(t, i);
	const struct guestmemfs_extent *e = &t->extents[le32_to_cpu(record->extent)];
	u32 offset = le32_to_cpu(record->block) - le32_to_cpu(e->block);

	*a = (struct gmfs_absence){ .pages = (const unsigned long *)record->bits };
	if (!e->ino || !gmfs_extent_allocated(e) || offset >= le32_to_cpu(e->count) ||
	    le32_to_cpu(e->flags) & GUESTMEMFS_EXTENT_DETACHED)
		return;
	a->ino = le32_to_cpu(e->ino);
	a->logical = le64_to_cpu(e->logical) + offset;
}

/**
 * gmfs_absent_trim - make room for records: free maps at the end of the used part become unused
 * @t: the pool's tables, which may be written and have no records
 *
 * Return: true if the caller must call again.
 */
bool gmfs_absent_trim(struct gmfs_tables *t)
{
	u32 used = le32_to_cpu(t->super->live.used_maps), i;

	for (i = 0; i < GMFS_STEP_MAPS && used; i++) {
		if (memchr_inv(&t->maps[used - 1], 0, sizeof(*t->maps)))
			break;
		used--;
	}
	t->super->live.used_maps = cpu_to_le32(used);
	return i == GMFS_STEP_MAPS && used;
}

/**
 * gmfs_absent_record - add a record
 * @t: the pool's tables, which may be written; gmfs_absent_trim() has returned false
 * @map: the extents of the file
 * @logical: a block of the file
 *
 * The caller must not change extents and maps from now on, until gmfs_absent_unwrite().
 *
 * Return: the bits of the record, none of which is set; NULL if there is no room, or no block.
 */
unsigned long *gmfs_absent_record(struct gmfs_tables *t, const struct gmfs_extmap *map, u64 logical)
{
	u32 nr = le32_to_cpu(t->super->live.nr_absent);
	struct guestmemfs_absent *record;
	struct gmfs_spot spot;

	if (nr >= gmfs_absent_room(t))
		return NULL;
	gmfs_map_spot(t, map, logical, &spot);
	if (!spot.e || !gmfs_extent_allocated(spot.e))
		return NULL;
	record = gmfs_absent_at(t, nr);
	*record = (struct guestmemfs_absent){
		.block	= cpu_to_le32(gmfs_spot_block(&spot, logical)),
		.extent	= cpu_to_le32(spot.slot),
	};
	t->super->live.nr_absent = cpu_to_le32(nr + 1);
	return (unsigned long *)record->bits;
}

/**
 * gmfs_absent_seal - make the records valid for the next mount
 * @t: the pool's tables, which may be written and have all records
 */
void gmfs_absent_seal(struct gmfs_tables *t)
{
	t->super->live.absent_hop = cpu_to_le32(gmfs_next_hop(le32_to_cpu(t->super->live.hops)));
}

/**
 * gmfs_absent_unwrite - remove all records
 * @t: the pool's tables, which may be written
 *
 * For a mount, and for a thaw: from now on the absent pages change, and the table does not.
 */
void gmfs_absent_unwrite(struct gmfs_tables *t)
{
	t->super->live.nr_absent = 0;
	t->super->live.absent_hop = 0;
}
