// SPDX-License-Identifier: GPL-2.0-only
/*
 * Checks all counters and lists of alloc.c, groups.c and ids.c by counting in the plainest way.
 */
#include <stdlib.h>

#include "../../../fs/guestmemfs/tables/groups.h"
#include "tables_pool.h"

static bool ids_bit(const struct gmfs_ids *ids, u32 level, u32 at)
{
	return test_bit(at, ids->words + ids->level[level]);
}

/* Checks that each level of a tree tells which words of the level below are not zero. */
static void recount_ids(const struct gmfs_ids *ids, u32 nr)
{
	u32 level, at;

	for (level = 1; level < ids->nr_levels; level++) {
		nr = DIV_ROUND_UP(nr, BITS_PER_LONG);
		for (at = 0; at < nr; at++)
			CHECK_EQ(ids_bit(ids, level, at), !!ids->words[ids->level[level - 1] + at]);
	}
	CHECK(nr <= BITS_PER_LONG);
}

static bool map_is_free(const struct gmfs_tables *t, u32 map)
{
	return !memchr_inv(t->maps[map].bits, 0, sizeof(t->maps[map].bits));
}

static void recount_entries(const struct gmfs_tables *t)
{
	const struct guestmemfs_super_live *live = &t->super->live;
	u32 inodes = le32_to_cpu(live->used_inodes), extents = le32_to_cpu(live->used_extents);
	u32 maps = le32_to_cpu(live->used_maps), slots = 0, i;

	for (i = 0; i < extents; i++)
		slots += !!t->extents[i].ino;
	CHECK_EQ(t->used_slots, slots);
	for (i = 1; i < t->nr_inodes; i++)
		CHECK_EQ(ids_bit(&t->inode_ids, 0, i), i >= inodes || !t->inodes[i].mode);
	for (i = 0; i < t->nr_extents; i++)
		CHECK_EQ(ids_bit(&t->extent_ids, 0, i), i >= extents || !t->extents[i].ino);
	for (i = 1; i < t->nr_maps; i++)
		CHECK_EQ(ids_bit(&t->map_ids, 0, i), i >= maps || map_is_free(t, i));
	CHECK(!ids_bit(&t->inode_ids, 0, 0) && !ids_bit(&t->map_ids, 0, 0));
	recount_ids(&t->inode_ids, t->nr_inodes);
	recount_ids(&t->extent_ids, t->nr_extents);
	recount_ids(&t->map_ids, t->nr_maps);
}

/* Checks the number of free blocks of a group, and the length of its longest free run. */
static void recount_group(const struct gmfs_tables *t, u32 group)
{
	const struct gmfs_group *g = &t->groups[group];
	u32 nr = 0, run = 0, longest = 0, i;
	bool dirty = false;

	for (i = group * GROUP; i < min((group + 1) * GROUP, t->nr_blocks); i++) {
		run = test_bit(i, t->bitmap) ? 0 : run + 1;
		nr += run > 0;
		longest = max(longest, run);
	}
	CHECK_EQ(g->nr_free, nr);
	CHECK_EQ(g->longest, longest);
	CHECK_EQ(!g->ino, !g->owned);
	CHECK(g->owned + g->nr_free <= GROUP);
	if (!nr)
		return;
	CHECK_EQ(g->claimed, g->owned && g->owned + nr == GROUP);
	/* It is an allocator's hint, but nothing zeroes blocks here without telling. */
	for (i = group * GROUP; i < min((group + 1) * GROUP, t->nr_blocks); i++)
		dirty |= !test_bit(i, t->bitmap) && test_bit(i, t->unzeroed);
	CHECK_EQ(g->dirty, dirty);
}

/* Checks that each group is in the right list. Returns the number of groups in all lists. */
static u32 recount_lists(const struct gmfs_tables *t, bool claimed)
{
	const struct gmfs_group_lists *lists = &t->group_lists[claimed];
	u32 longest, nr = 0;

	CHECK_EQ(lists->head[0], GMFS_NO_GROUP);
	for (longest = 0; longest <= GROUP; longest++) {
		u32 group = lists->head[longest], prev = GMFS_NO_GROUP;
		bool dirty = false;

		CHECK_EQ(test_bit(longest, lists->used), group != GMFS_NO_GROUP);
		for (; group != GMFS_NO_GROUP; prev = group, group = t->groups[group].next) {
			CHECK(group < t->nr_groups && nr < t->nr_groups);
			CHECK_EQ(t->groups[group].longest, longest);
			CHECK_EQ(t->groups[group].claimed, claimed);
			CHECK_EQ(t->groups[group].prev, prev);
			/* No clean one comes behind a dirty one. */
			CHECK(t->groups[group].dirty >= dirty);
			dirty = t->groups[group].dirty;
			nr++;
		}
		CHECK_EQ(lists->tail[longest], prev);
	}
	return nr;
}

void recount_blocks(const struct gmfs_tables *t)
{
	u32 group, nr_free = 0, full = 0, listed = 0;

	for (group = 0; group < t->nr_groups; group++) {
		recount_group(t, group);
		nr_free += t->groups[group].nr_free;
		full += t->groups[group].nr_free == GROUP;
		listed += t->groups[group].nr_free > 0;
	}
	CHECK_EQ(t->free_blocks, nr_free);
	CHECK_EQ(gmfs_full_groups(t), full);
	CHECK_EQ(recount_lists(t, false) + recount_lists(t, true), listed);
}

/*
 * Adds the blocks of an extent to @owned, by group: blocks of the group's owner whose offset in the
 * group is the same as in their gigabyte of the file.
 */
static void recount_extent(const struct gmfs_tables *t, const struct guestmemfs_extent *e,
			   u32 *owned)
{
	u64 logical = le64_to_cpu(e->logical);
	u32 block = le32_to_cpu(e->block), i;

	if (!e->ino || !(le32_to_cpu(e->flags) & GUESTMEMFS_EXTENT_ALLOCATED))
		return;
	for (i = 0; i < le32_to_cpu(e->count); i++, block++, logical++)
		owned[block / GROUP] += block % GROUP == logical % GROUP &&
					t->groups[block / GROUP].ino == le32_to_cpu(e->ino) &&
					t->groups[block / GROUP].file_group == logical / GROUP;
}

void recount(const struct gmfs_tables *t)
{
	u32 *owned = calloc(t->nr_groups, sizeof(*owned)), i;

	CHECK(owned);
	recount_entries(t);
	recount_blocks(t);
	for (i = 0; i < le32_to_cpu(t->super->live.used_extents); i++)
		recount_extent(t, &t->extents[i], owned);
	for (i = 0; i < t->nr_groups; i++)
		CHECK_EQ(t->groups[i].owned, owned[i]);
	free(owned);
}
