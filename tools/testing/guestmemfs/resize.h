/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_TEST_RESIZE_H
#define _GUESTMEMFS_TEST_RESIZE_H

#include "tables_pool.h"

/*
 * The tests count memory in sections, i.e. multiples of the smallest range: 8 of them are a
 * gigabyte.
 */
#define SECTION		(GUESTMEMFS_RANGE_ALIGN >> GUESTMEMFS_BLOCK_SHIFT)
#define SECTIONS	(GROUP / SECTION)

/* A range: its address, its size, and its first number, in sections. */
struct part {
	u32 base;
	u32 size;
	u32 first;
};

/* Makes a pool of parts, whose @first is not looked at, with room for @room sections more. */
void resize_make(struct pool *p, const struct part *parts, u32 nr, u32 room);
int resize_add(struct pool *p, u32 base, u32 size);
/* Removes free blocks; if that fails, they are free again. */
int resize_cut_blocks(struct pool *p, u32 block, u32 count);
/* The same by address. */
int resize_cut(struct pool *p, u32 base, u32 size);
/* Checks that the range table has these parts, up to one without size, or @nr. */
void resize_expect(const struct pool *p, const struct part *parts, u32 nr);
/*
 * Checks the tables, and what they say of ranges, numbers and addresses; then that the next mount
 * finds all of it as it is.
 */
void resize_check(struct pool *p);
void resize_reopen(struct pool *p);

#endif /* _GUESTMEMFS_TEST_RESIZE_H */
