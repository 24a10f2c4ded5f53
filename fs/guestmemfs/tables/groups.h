/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_GROUPS_H
#define _GUESTMEMFS_GROUPS_H

#include "tables.h"

/*
 * What alloc.c, blocks.c and groups.c share: what is known of the groups of blocks, and
 * the lists that those with free blocks are in.
 */

/* Runs within a group, of 0 blocks up to all of them. */
#define GMFS_GROUP_RUNS		(GUESTMEMFS_GROUP_BLOCKS + 1)
#define GMFS_NO_GROUP		U32_MAX

/**
 * struct gmfs_group - a group of %GUESTMEMFS_GROUP_BLOCKS block numbers
 * @prev: the group before it in its list, %GMFS_NO_GROUP for the first one
 * @next: the group behind it, %GMFS_NO_GROUP for the last one
 * @ino: the file that owns the group, 0 for none
 * @file_group: which part of the file the group is for, in groups
 * @owned: blocks of that part that are where they would have to be for a mapping of 1 GiB:
 *	as far from the begin of the group as from that of the part
 * @nr_free: free blocks
 * @longest: the most of them in one run; 0: the group is in no list
 * @claimed: it is in the list of those that are claimed
 *
 * A group gets an owner when it is taken from while it is full, and loses it with the
 * owner's last block. It is claimed as long as nobody else has a block of it: then the owner
 * may come to have it all. An owner is a hint: a wrong one makes for a bad place, no more.
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
};

/**
 * struct gmfs_group_lists - groups with free blocks, by their longest run
 * @head: the first group of each list, %GMFS_NO_GROUP if it is empty
 * @used: which lists are not empty
 *
 * There are two of them: of groups that are claimed, and of all others.
 */
struct gmfs_group_lists {
	u32 head[GMFS_GROUP_RUNS];
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
void gmfs_groups_take(struct gmfs_tables *t, u32 block, u32 count, u32 ino, u64 logical);
void gmfs_groups_release(struct gmfs_tables *t, u32 block, u32 count, u32 ino, u64 logical);
u32 gmfs_group_end(const struct gmfs_tables *t, u32 group);
u32 gmfs_groups_find(const struct gmfs_tables *t, u32 list, u32 want, u32 *block);
u32 gmfs_groups_largest(const struct gmfs_tables *t, u32 list, u32 want, u32 *block);

#endif /* _GUESTMEMFS_GROUPS_H */
