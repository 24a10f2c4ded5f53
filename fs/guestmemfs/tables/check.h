/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_CHECK_H
#define _GUESTMEMFS_CHECK_H

#include <linux/errno.h>

#include "tables.h"

/**
 * struct gmfs_checker - a check in progress
 * @t: the pool's tables
 * @c: filled in with the first problem
 * @used_inodes: number of entries of the inode table to check
 * @used_extents: number of entries of the extent table to check
 * @used_maps: number of entries of the map table to check
 * @used_pins: number of entries of the pin table to check
 * @used_poison: number of entries of the poison table to check
 * @nr_absent: number of records of absent pages to check
 */
struct gmfs_checker {
	const struct gmfs_tables *t;
	struct gmfs_complaint *c;
	u32 used_inodes;
	u32 used_extents;
	u32 used_maps;
	u32 used_pins;
	u32 used_poison;
	u32 nr_absent;
};

/**
 * gmfs_fail - record a problem
 * @k: the check
 * @table: name of the table, for the log
 * @entry: index of the entry
 * @what: what is wrong with the entry, for the log
 *
 * Return: -EUCLEAN.
 */
static inline int gmfs_fail(struct gmfs_checker *k, const char *table, u64 entry, const char *what)
{
	k->c->table = table;
	k->c->entry = entry;
	k->c->what = what;
	return -EUCLEAN;
}

/* check_extents.c */
int gmfs_check_extents(struct gmfs_checker *k, struct gmfs_index *index);

#endif /* _GUESTMEMFS_CHECK_H */
