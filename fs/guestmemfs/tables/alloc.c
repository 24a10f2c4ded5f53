// SPDX-License-Identifier: GPL-2.0-only
/*
 * Set up the volatile state of a pool's allocator at mount, and free it at unmount. In
 * between, blocks.c, groups.c and entries.c keep it up to date.
 */
#include <linux/errno.h>

#include "extmap.h"
#include "groups.h"

static void gmfs_alloc_count_blocks(struct gmfs_tables *t)
{
	u32 i;

	t->total_blocks = 0;
	for (i = 0; i < t->nr_ranges; i++)
		t->total_blocks += gmfs_range_blocks(&t->ranges[i]);
	t->free_blocks = 0;
	for (i = 0; i < t->nr_groups; i++)
		t->free_blocks += t->groups[i].nr_free;
}

/**
 * gmfs_alloc_init - find the free blocks and entries of a pool
 * @t: tables that gmfs_check() has accepted
 *
 * The caller then reports the owner of each allocated run of blocks with gmfs_claim(), so
 * that the allocator can put the missing blocks of a group of a file next to those that the
 * file has.
 *
 * Return: 0 or -ENOMEM.
 */
int gmfs_alloc_init(struct gmfs_tables *t)
{
	gmfs_map_init(&t->detached);
	if (gmfs_groups_init(t) || gmfs_ids_init(&t->inode_ids, t->nr_inodes) ||
	    gmfs_ids_init(&t->extent_ids, t->nr_extents) ||
	    gmfs_ids_init(&t->map_ids, t->nr_maps)) {
		gmfs_alloc_exit(t);
		return -ENOMEM;
	}
	gmfs_alloc_count_blocks(t);
	gmfs_entries_init(t);
	gmfs_blockless_init(t);
	return 0;
}

/**
 * gmfs_alloc_exit - free what gmfs_alloc_init() allocated
 * @t: the pool's tables
 */
void gmfs_alloc_exit(struct gmfs_tables *t)
{
	gmfs_map_destroy(&t->detached);
	gmfs_groups_exit(t);
	gmfs_ids_exit(&t->inode_ids);
	gmfs_ids_exit(&t->extent_ids);
	gmfs_ids_exit(&t->map_ids);
}
