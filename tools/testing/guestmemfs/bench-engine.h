/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_TEST_BENCH_ENGINE_H
#define _GUESTMEMFS_TEST_BENCH_ENGINE_H

#include "pool.h"

/*
 * What bench.c measures, by the functions of fs/guestmemfs. A call is what the kernel does
 * without releasing gmfs_pool.lock in between; those with *@at go on there, and do something
 * as long as it is not @end.
 */

/* Was the lock held in the last call? To count what is needed takes longer, without it. */
extern bool engine_locked;

int engine_fill(struct pool *p, u32 file, u64 *at, u64 end);
int engine_punch(struct pool *p, u32 file, u64 *at, u64 end);
/* Of pages. */
int engine_convert(struct pool *p, u32 file, u64 *at, u64 end, bool converted);
/* The blocks of a file that is evicted. Returns whether there are more. */
bool engine_clear(struct pool *p, u32 file);
/* As gmfs_update_blocks() in space.c. */
u64 engine_blocks(const struct pool *p, u32 file);
u64 engine_extents(const struct pool *p, u32 file);

/* Entries of a table: takes one, gives one back. */
u32 engine_inode_take(struct gmfs_tables *t);
void engine_inode_drop(struct gmfs_tables *t, u32 ino);
u32 engine_extent_take(struct gmfs_tables *t);
void engine_extent_drop(struct gmfs_tables *t, u32 slot);

#endif /* _GUESTMEMFS_TEST_BENCH_ENGINE_H */
