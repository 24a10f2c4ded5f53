// SPDX-License-Identifier: GPL-2.0-only
/*
 * Allocate and free entries of the inode table, of the extent table and of the map table.
 *
 * The functions work on tables that gmfs_check() has accepted. The caller serialises them
 * (gmfs_pool.lock). A function that fails changes nothing.
 */
#include <linux/bitmap.h>
#include <linux/bitops.h>
#include <linux/errno.h>
#include <linux/limits.h>
#include <linux/minmax.h>
#include <linux/string.h>

#include "extmap.h"

/**
 * gmfs_slots_fit - check that the extent table has free entries for one more step
 * @t: the pool's tables
 *
 * Return: false only if the extents were miscounted, see gmfs_extent_slot().
 */
bool gmfs_slots_fit(const struct gmfs_tables *t)
{
	return t->nr_extents - t->used_slots >= GMFS_SPARE_EXTENTS / 8;
}

/**
 * gmfs_extent_slot - allocate an entry of the extent table
 * @t: the pool's tables
 *
 * There always is a free entry. An extent with blocks has at least one, so there are at most
 * total_blocks such extents. gmfs_blockless_fit() ensures that nr_blockless <=
 * nr_extents - total_blocks - %GMFS_SPARE_EXTENTS. The spare entries are for changes in
 * progress, which call gmfs_slots_fit() first.
 *
 * Return: index of the entry, which is all zero.
 */
u32 gmfs_extent_slot(struct gmfs_tables *t)
{
	u32 slot = gmfs_ids_first(&t->extent_ids);

	gmfs_ids_take(&t->extent_ids, slot);
	t->used_slots++;
	if (slot >= le32_to_cpu(t->super->live.used_extents))
		t->super->live.used_extents = cpu_to_le32(slot + 1);
	memset(&t->extents[slot], 0, sizeof(t->extents[slot]));
	return slot;
}

/**
 * gmfs_extent_drop - free an entry of the extent table
 * @t: the pool's tables
 * @slot: index of the entry
 */
void gmfs_extent_drop(struct gmfs_tables *t, u32 slot)
{
	memset(&t->extents[slot], 0, sizeof(t->extents[slot]));
	gmfs_ids_drop(&t->extent_ids, slot);
	t->used_slots--;
}

/**
 * gmfs_inode_alloc - allocate an entry of the inode table
 * @t: the pool's tables
 * @mode: file type and permissions, not 0
 * @ino: result: index of the entry
 *
 * The entry is all zero except for its mode and its generation, which is incremented each
 * time the entry is allocated.
 *
 * Return: 0 or -ENOSPC.
 */
int gmfs_inode_alloc(struct gmfs_tables *t, u32 mode, u32 *ino)
{
	u32 used = le32_to_cpu(t->super->live.used_inodes);
	struct guestmemfs_inode *di;
	u32 generation = 0, slot;

	if (!gmfs_inodes_left(t))
		return -ENOSPC;
	slot = gmfs_ids_first(&t->inode_ids);
	gmfs_ids_take(&t->inode_ids, slot);
	di = &t->inodes[slot];
	if (slot < used)
		generation = le32_to_cpu(di->generation);
	else
		t->super->live.used_inodes = cpu_to_le32(slot + 1);
	memset(di, 0, sizeof(*di));
	di->generation = cpu_to_le32(generation + 1);
	di->mode = cpu_to_le32(mode);
	t->free_inodes--;
	*ino = slot;
	return 0;
}

/**
 * gmfs_inode_free - free an entry of the inode table
 * @t: the pool's tables
 * @ino: index of the entry, which has no extents
 */
void gmfs_inode_free(struct gmfs_tables *t, u32 ino)
{
	struct guestmemfs_inode *di = &t->inodes[ino];
	__le32 generation = di->generation;

	memset(di, 0, sizeof(*di));
	di->generation = generation;
	gmfs_ids_drop(&t->inode_ids, ino);
	t->free_inodes++;
}

/**
 * gmfs_entries_init - find the used entries of the inode table and of the extent table
 * @t: tables that gmfs_check() has accepted
 *
 * Entries from the superblock's used_inodes and used_extents on have never been used.
 */
void gmfs_entries_init(struct gmfs_tables *t)
{
	u32 inodes = le32_to_cpu(t->super->live.used_inodes);
	u32 extents = le32_to_cpu(t->super->live.used_extents), i;

	t->free_inodes = t->nr_inodes - GUESTMEMFS_ROOT_INO;
	/* Entry 0 is never used. */
	gmfs_ids_take(&t->inode_ids, 0);
	for (i = GUESTMEMFS_ROOT_INO; i < inodes; i++) {
		if (!t->inodes[i].mode)
			continue;
		gmfs_ids_take(&t->inode_ids, i);
		t->free_inodes--;
	}
	t->used_slots = 0;
	for (i = 0; i < extents; i++) {
		if (!t->extents[i].ino)
			continue;
		gmfs_ids_take(&t->extent_ids, i);
		t->used_slots++;
	}
}

/**
 * gmfs_blockless_fit - check that the extent table has room for more blockless extents
 * @t: the pool's tables
 * @more: number of additional extents without blocks, see gmfs_extent_is_blockless()
 *
 * Return: true if the table has room for them.
 */
bool gmfs_blockless_fit(const struct gmfs_tables *t, u64 more)
{
	return t->nr_blockless + t->promised_blockless + more <=
	       gmfs_blockless_max(t, t->total_blocks);
}

/**
 * gmfs_promise_update - update the number of entries that are reserved for a change
 * @t: the pool's tables
 * @p: the reservation, and the net number of entries that the change has added so far
 * @blockless: net number of extents without blocks that the whole change adds at most
 * @maps: net number of map entries that the whole change adds at most
 */
void gmfs_promise_update(struct gmfs_tables *t, struct gmfs_promise *p, s64 blockless, s64 maps)
{
	u32 need_blockless = max(max(blockless, 0) - p->done_blockless, 0);
	u32 need_maps = max(max(maps, 0) - p->done_maps, 0);

	t->promised_blockless += need_blockless - p->blockless;
	t->promised_maps += need_maps - p->maps;
	p->blockless = need_blockless;
	p->maps = need_maps;
}

static bool gmfs_mixed_is_free(const struct gmfs_tables *t, u32 map)
{
	return !memchr_inv(t->maps[map].bits, 0, sizeof(t->maps[map].bits));
}

/**
 * gmfs_mixed_take - allocate an entry of the map table
 * @t: the pool's tables, with a free map entry
 *
 * Return: index of the entry, which is all zero. The caller must set a bit in it: a later
 * kernel takes an entry that is all zero for a free one.
 */
u32 gmfs_mixed_take(struct gmfs_tables *t)
{
	u32 used = le32_to_cpu(t->super->live.used_maps);
	u32 map = gmfs_ids_first(&t->map_ids);

	gmfs_ids_take(&t->map_ids, map);
	/* Entry 0 is never used, but gmfs_check() requires that it is zero. */
	if (!used)
		memset(&t->maps[0], 0, sizeof(t->maps[0]));
	if (map >= used)
		t->super->live.used_maps = cpu_to_le32(map + 1);
	memset(&t->maps[map], 0, sizeof(t->maps[map]));
	t->free_maps--;
	return map;
}

/**
 * gmfs_mixed_drop - free an entry of the map table
 * @t: the pool's tables
 * @map: index of the entry
 */
void gmfs_mixed_drop(struct gmfs_tables *t, u32 map)
{
	memset(&t->maps[map], 0, sizeof(t->maps[map]));
	gmfs_ids_drop(&t->map_ids, map);
	t->free_maps++;
}

/**
 * gmfs_blockless_init - count the extents without blocks, and find used entries of the map table
 * @t: tables that gmfs_check() has accepted
 */
void gmfs_blockless_init(struct gmfs_tables *t)
{
	u32 extents = le32_to_cpu(t->super->live.used_extents);
	u32 maps = le32_to_cpu(t->super->live.used_maps), i;

	t->nr_blockless = 0;
	t->free_maps = t->nr_maps - 1;
	gmfs_ids_take(&t->map_ids, 0);
	if (!t->has_states)
		return;
	for (i = 0; i < extents; i++) {
		u32 flags = le32_to_cpu(t->extents[i].flags);

		if (t->extents[i].ino)
			t->nr_blockless += gmfs_extent_is_blockless(flags);
	}
	for (i = 1; i < maps; i++) {
		if (gmfs_mixed_is_free(t, i))
			continue;
		gmfs_ids_take(&t->map_ids, i);
		t->free_maps--;
	}
}
