/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_TEST_POOL_H
#define _GUESTMEMFS_TEST_POOL_H

#include <linux/errno.h>
#include <linux/limits.h>
#include <linux/slab.h>
#include <linux/stat.h>
#include <linux/string.h>

#include "../../../fs/guestmemfs/tables/tables.h"
#include "test.h"

#define MIB		0x100000ULL
#define GIB		0x40000000ULL
#define META_BASE	(4 * MIB)
#define GROUP		GUESTMEMFS_GROUP_BLOCKS
#define POOL_FILES	16

/*
 * A pool in the memory of this process, that ends where its tables end: the
 * address sanitizer sees whoever looks behind them.
 */
struct pool {
	void *meta;
	u64 meta_size;
	struct gmfs_tables t;
	u32 ino[POOL_FILES];
	struct gmfs_extmap map[POOL_FILES];
	u32 nr_files;
};

void pool_make(struct pool *p, const struct gmfs_range *ranges, u32 nr);
/* The same, but what is not in use is not even written. */
void pool_make_untouched(struct pool *p, const struct gmfs_range *ranges, u32 nr);
/* A range of @gib GiB at 16 GiB. */
void pool_make_gib(struct pool *p, u32 gib);
void pool_free(struct pool *p);
/* Returns the index of a new file in the root directory. */
u32 pool_file(struct pool *p);
/* In blocks; that of a new file is 0. What it covers may come to be mapped by 1 GiB. */
void pool_size(struct pool *p, u32 file, u64 blocks);
u32 pool_dir(struct pool *p, u32 parent, const char *name);
void pool_name(struct pool *p, u32 ino, u32 parent, const char *name);

int pool_fill(struct pool *p, u32 file, u64 logical, u64 count);
/* As a mapping of that part does, and its end. */
int pool_reserve(struct pool *p, u32 file, u64 logical, u64 count);
void pool_unreserve(struct pool *p, u32 file, u64 logical, u64 count);
/* How many ranges of a file are held reserved, by another number of holders each. */
u32 pool_covers(const struct pool *p, u32 file);
int pool_punch(struct pool *p, u32 file, u64 logical, u64 count);
int pool_truncate(struct pool *p, u32 file, u64 logical, u64 count);
int pool_ready(struct pool *p, u32 file, u64 logical, u64 count);
/* How many extents a file has, and the table's entry of one of them. */
u32 map_extents(const struct gmfs_extmap *map);
u32 pool_extents(const struct pool *p, u32 file);
u32 pool_slot(const struct pool *p, u32 file, u32 index);
/* An edit of pages from @first to before @last, not begun. */
struct gmfs_edit pool_edit(struct pool *p, u32 file, enum gmfs_op op, u64 first, u64 last);
/* Of pages from @first to before @last. */
int pool_convert(struct pool *p, u32 file, u64 first, u64 last, bool converted);
/* The pool's block of a file's block, or GMFS_NO_BLOCK. */
u32 pool_block(struct pool *p, u32 file, u64 logical);
/* Are pages all converted, or all not? */
bool pool_alike(const struct pool *p, u32 file, u64 page, u64 nr);
/* gmfs_check() accepts the tables and finds the extents that the maps have. */
void pool_check(struct pool *p);
/* What recount() finds of groups of blocks alone: there need be no extents. */
void recount_blocks(const struct gmfs_tables *t);
/* What is known of free blocks and entries, and of who owns groups, is true. */
void recount(const struct gmfs_tables *t);
/* Open and check again, as the next kernel does. */
void pool_reopen(struct pool *p);
/* Takes the extents of a file from what gmfs_check() found. */
void pool_load_map(struct pool *p, u32 file, const struct gmfs_index *index);
/*
 * A pool as it was. Entries of the extent table may have been in use for a moment since then.
 */
struct pool_copy {
	struct gmfs_tables t;
	void *meta;
};

void pool_keep(const struct pool *p, struct pool_copy *copy);
void pool_unchanged(const struct pool *p, const struct pool_copy *copy);
/*
 * @op on what @make makes, with each allocation failing in its turn: -ENOMEM, and nothing has
 * changed. A tree needs memory now and then, as its nodes are full: so with more and more
 * extents, and at least once an allocation has to fail.
 */
void pool_no_memory(void (*make)(struct pool *p, u32 extents), int (*op)(struct pool *p));
void pool_fix_crc(void *meta, u64 meta_size);

/* Deterministic: the same on every machine. */
u64 pool_random(u64 *state);

#endif /* _GUESTMEMFS_TEST_POOL_H */
