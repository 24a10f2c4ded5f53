/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_TEST_BENCH_ENGINE_H
#define _GUESTMEMFS_TEST_BENCH_ENGINE_H

#include "tables_pool.h"

/*
 * The operations that bench.c measures, with the functions of fs/guestmemfs. One call does what
 * the kernel does without releasing gmfs_pool.lock in between. A function with *@at continues
 * there; call it until *@at is @end.
 */

/* Did the last call hold the lock? Counting the blocks that are needed takes longer, without it. */
extern bool engine_locked;

int engine_fill(struct pool *p, u32 file, u64 *at, u64 end);
int engine_punch(struct pool *p, u32 file, u64 *at, u64 end);
/* @at and @end are numbers of pages. */
int engine_convert(struct pool *p, u32 file, u64 *at, u64 end, bool converted);
/* Frees blocks of a file, as when its inode is evicted. Returns whether there are more. */
bool engine_clear(struct pool *p, u32 file);
/* Counts the blocks of a file, as gmfs_update_blocks() in space.c does. */
u64 engine_blocks(const struct pool *p, u32 file);
u64 engine_extents(const struct pool *p, u32 file);

/* Allocate and free an entry of the inode table or the extent table. */
u32 engine_inode_take(struct gmfs_tables *t);
void engine_inode_drop(struct gmfs_tables *t, u32 ino);
u32 engine_extent_take(struct gmfs_tables *t);
void engine_extent_drop(struct gmfs_tables *t, u32 slot);

#endif /* _GUESTMEMFS_TEST_BENCH_ENGINE_H */
