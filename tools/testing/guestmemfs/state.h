/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_TEST_STATE_H
#define _GUESTMEMFS_TEST_STATE_H

#include "pool.h"

/* What is in the pool of state_make(). */
#define DIR_A	2
#define DIR_B	3	/* in A */
#define FILE0	4
#define FILE1	5
#define FILE2	6	/* in B */
#define ORPHAN	7
#define FREED	8
#define DIR_D	9
#define INODES	10

/* Extent 5 is free, 7 and those behind it were never used. */
#define EXTENTS	7

enum place {
	AT_NOTHING,
	AT_SUPER,
	AT_TABLE,
	AT_RANGE,
	AT_LIVE,
	AT_INODE,
	AT_NAME,
	AT_EXTENT,
	AT_MAP,
	AT_BITMAP,
};

struct field {
	u32 offset;
	u32 size;
};

#define FIELD(type, ...) \
	{ offsetof(struct type, __VA_ARGS__), sizeof_field(struct type, __VA_ARGS__) }

/* One change of a pool's tables. */
struct patch {
	enum place place;
	u32 index;
	struct field field;
	u64 value;
	const char *text;
};

#define SUPER(field, v)		{ AT_SUPER, 0, FIELD(guestmemfs_super, field), v }
#define TABLE(i, field, v)	{ AT_TABLE, i, FIELD(guestmemfs_table_desc, field), v }
#define RANGE(i, field, v)	{ AT_RANGE, i, FIELD(guestmemfs_range, field), v }
#define LIVE(field, v)		{ AT_LIVE, 0, FIELD(guestmemfs_super_live, field), v }
#define INODE(ino, field, v)	{ AT_INODE, ino, FIELD(guestmemfs_inode, field), v }
#define EXTENT(slot, field, v)	{ AT_EXTENT, slot, FIELD(guestmemfs_extent, field), v }
#define MAP(i, byte, v)		{ AT_MAP, i, FIELD(guestmemfs_map, bits[byte]), v }
#define BITMAP(nr, v)		{ AT_BITMAP, nr, { 0, 1 }, v }
/* A string with its length, which may be more than strlen() of it. */
#define NAME(ino, string)	{ AT_NAME, ino, { 0, sizeof(string) - 1 }, 0, string }

/* Tables that are changed, and what is to be said about them. */
struct state {
	const char *name;
	struct patch patch[4];
	/* No table: nothing, they are well formed. */
	const char *table;
	u64 entry;
	const char *what;
	/* The complaint may as well be of this entry; 0: it may not. */
	u64 or_entry;
};

#define SUPER_BAD(what)		"superblock", 0, what
#define TABLE_BAD(i, what)	"table list", i, what
#define RANGE_BAD(i, what)	"range table", i, what
#define INODE_BAD(ino, what)	"inode table", ino, what
#define EXTENT_BAD(slot, what)	"extent table", slot, what
#define MAP_BAD(i, what)	"map table", i, what
#define BITMAP_BAD(block, what)	"bitmap", block, what

/* Two ranges, some directories and files, pieces of files, and gaps in the tables. */
void state_make(struct pool *p);
/*
 * The same, with converted and truncated offsets: extent 1 is converted, 2 truncated, 4
 * has map 1; 7 and 8 are of file 1 and without blocks, 7 is converted and 8 has map 2.
 */
void state_make_converted(struct pool *p);
/* Where a patch goes, for those that are bytes in one place. */
void *patch_place(struct pool *p, const struct patch *patch);
void state_apply(struct pool *p, const struct state *s);
/* Is this @err what was to be expected, and @c? */
void state_expect(const struct state *s, int err, const struct gmfs_complaint *c);

#endif /* _GUESTMEMFS_TEST_STATE_H */
