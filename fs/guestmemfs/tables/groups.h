/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_GROUPS_H
#define _GUESTMEMFS_GROUPS_H

#include "tables.h"

/* The volatile state of groups of blocks, shared by alloc.c, blocks.c and groups.c. */

/* Possible lengths of a free run in a group: 0 to GUESTMEMFS_GROUP_BLOCKS. */
#define GMFS_GROUP_RUNS		(GUESTMEMFS_GROUP_BLOCKS + 1)
#define GMFS_NO_GROUP		U32_MAX

/**
 * struct gmfs_group - a group of %GUESTMEMFS_GROUP_BLOCKS block numbers
 * @prev: previous group in its list, %GMFS_NO_GROUP for the first one
 * @next: next group in its list, %GMFS_NO_GROUP for the last one
 * @ino: the file that owns the group, 0 for none
 * @file_group: the part of the file that the group is for, in groups
 * @owned: number of blocks of that part that are where a mapping of 1 GiB needs them: at
 *	the same offset in the group and in the part
 * @nr_free: number of free blocks
 * @longest: length of the longest free run; 0: the group is in no list
 * @claimed: the group is in the list of claimed groups
 * @dirty: a free block has to be zeroed, so that the group is behind all groups of its list
 *	in which none has to be
 *
 * An entirely free group gets an owner when blocks of it are allocated in the place that a
 * mapping of 1 GiB needs, and loses it when @owned becomes 0. A group without an owner gets
 * one when such blocks are moved to a file. A group is claimed while @owned is not 0 and
 * @owned + @nr_free == %GUESTMEMFS_GROUP_BLOCKS, because the owner may still get all of it.
 * The owner is only a hint: if it is wrong, blocks are placed badly, and nothing else happens.
 */
struct gmfs_group {
	u32 prev;
	u32 next;
	u32 ino;
	u32 file_group;
	u16 owned;
	u16 nr_free;
	u16 longest;
	bool claimed;
	bool dirty;
};

/**
 * struct gmfs_group_lists - groups with free blocks, by their longest free run
 * @head: the first group of each list, %GMFS_NO_GROUP if it is empty
 * @tail: the last group of each list, %GMFS_NO_GROUP if it is empty
 * @used: bitmap of the lists that are not empty
 *
 * There are two instances, one for claimed groups and one for all others.
 */
struct gmfs_group_lists {
	u32 head[GMFS_GROUP_RUNS];
	u32 tail[GMFS_GROUP_RUNS];
	DECLARE_BITMAP(used, GMFS_GROUP_RUNS);
};

#define GMFS_UNCLAIMED		0
#define GMFS_CLAIMED		1
#define GMFS_NR_GROUP_LISTS	2

static inline bool gmfs_group_owned_by(const struct gmfs_group *g, u32 ino, u64 logical)
{
	return g->ino == ino && g->file_group == logical / GUESTMEMFS_GROUP_BLOCKS;
}

/* groups.c */
int gmfs_groups_init(struct gmfs_tables *t);
void gmfs_groups_exit(struct gmfs_tables *t);
void gmfs_groups_add(struct gmfs_tables *t, u64 base, u32 first, u32 count);
void gmfs_groups_take(struct gmfs_tables *t, u32 block, u32 count, u32 ino, u64 logical);
void gmfs_groups_release(struct gmfs_tables *t, u32 block, u32 count, u32 ino, u64 logical);
void gmfs_groups_disown(struct gmfs_tables *t, u32 block, u32 count, u32 ino, u64 logical);
u32 gmfs_group_end(const struct gmfs_tables *t, u32 group);
u32 gmfs_groups_find(const struct gmfs_tables *t, u32 list, u32 want, u32 *block);
u32 gmfs_groups_largest(const struct gmfs_tables *t, u32 list, u32 want, u32 *block);

#endif /* _GUESTMEMFS_GROUPS_H */
