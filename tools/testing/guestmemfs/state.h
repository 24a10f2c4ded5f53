/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_TEST_STATE_H
#define _GUESTMEMFS_TEST_STATE_H

#include "tables_pool.h"

/* Inodes of the pool of state_make(). */
#define DIR_A	2
#define DIR_B	3	/* in A */
#define FILE0	4
#define FILE1	5
#define FILE2	6	/* in B */
#define ORPHAN	7
#define FREED	8
#define DIR_D	9
#define INODES	10

/* Extent 5 is free; extents from 7 on were never used. */
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
	AT_ABSENT,
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
#define ABSENT(i, field, v)	{ AT_ABSENT, i, FIELD(guestmemfs_absent, field), v }
#define BITMAP(nr, v)		{ AT_BITMAP, nr, { 0, 1 }, v }
/* A name with its length; the string may have NUL bytes, so strlen() may be less. */
#define NAME(ino, string)	{ AT_NAME, ino, { 0, sizeof(string) - 1 }, 0, string }

/* Changes of tables, and the complaint that gmfs_check() has to make about them. */
struct state {
	const char *name;
	struct patch patch[4];
	/* NULL if the tables are still well formed and there must be no complaint. */
	const char *table;
	u64 entry;
	const char *what;
	/* Another entry that the complaint may name instead; 0: none. */
	u64 or_entry;
};

#define SUPER_BAD(what)		"superblock", 0, what
#define TABLE_BAD(i, what)	"table list", i, what
#define RANGE_BAD(i, what)	"range table", i, what
#define INODE_BAD(ino, what)	"inode table", ino, what
#define EXTENT_BAD(slot, what)	"extent table", slot, what
#define MAP_BAD(i, what)	"map table", i, what
#define ABSENT_BAD(i, what)	"absent pages", i, what
#define BITMAP_BAD(block, what)	"bitmap", block, what

/* Makes a pool of two ranges, with directories, files, extents, and free entries in the tables. */
void state_make(struct pool *p);
/*
 * The same, with converted offsets and detached blocks: extent 1 is converted, extent 2 is free,
 * extent 4 has map 1, and extent 5 has the detached blocks that extent 2 had. Extents 7 and 8 are
 * of file 1 and have no blocks; extent 7 is converted, and extent 8 has map 2.
 */
void state_make_converted(struct pool *p);
/*
 * The same as state_make_converted(), with records of absent pages: 0 and 1 of the blocks 448 and
 * 450 of extent 0, and 2 of the block 455 of extent 4. They are for hop 8.
 */
void state_make_absent(struct pool *p);
/* Returns the address that a patch changes, if the patch only stores bytes in one place. */
void *patch_place(struct pool *p, const struct patch *patch);
void state_apply(struct pool *p, const struct state *s);
/* Checks that @err and @c are what @s expects. */
void state_expect(const struct state *s, int err, const struct gmfs_complaint *c);
/*
 * Makes tables with @make, changes them as @s says, and checks them. Returns the number of extents
 * that the index has, 0 if the tables are refused.
 */
u32 state_check(const struct state *s, void (*make)(struct pool *p));
/* Calls @fn with each complaint of @nr states. */
void state_complaints(const struct state *states, u32 nr, void (*fn)(const char *what));

#endif /* _GUESTMEMFS_TEST_STATE_H */
