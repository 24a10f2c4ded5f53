/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_CHECK_H
#define _GUESTMEMFS_CHECK_H

#include <linux/errno.h>

#include "tables.h"

/**
 * struct gmfs_checker - a check in progress
 * @t: the pool's tables
 * @c: what was found wrong
 * @used_inodes: entries of the inode table to look at
 * @used_extents: likewise of the extent table
 * @used_maps: likewise of the map table
 */
struct gmfs_checker {
	const struct gmfs_tables *t;
	struct gmfs_complaint *c;
	u32 used_inodes;
	u32 used_extents;
	u32 used_maps;
};

/**
 * gmfs_bad - note what is wrong
 * @k: the check
 * @table: name of the table, for people
 * @entry: index in it
 * @what: what is wrong with it
 *
 * Return: -EUCLEAN.
 */
static inline int gmfs_bad(struct gmfs_checker *k, const char *table, u64 entry, const char *what)
{
	k->c->table = table;
	k->c->entry = entry;
	k->c->what = what;
	return -EUCLEAN;
}
/* check_space.c */
int gmfs_check_space(struct gmfs_checker *k, struct gmfs_index *index);

#endif /* _GUESTMEMFS_CHECK_H */
