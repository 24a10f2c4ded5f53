// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tracepoints, and the helper that traces allocated and freed blocks.
 */
#define CREATE_TRACE_POINTS
#include <trace/events/guestmemfs.h>

#include "internal.h"

/**
 * gmfs_trace_blocks - trace the blocks that a change has allocated or freed
 * @pool: the pool
 * @ino: inode number of the file
 * @free: gmfs_tables.free_blocks before the change
 *
 * Wakes threads that zero free blocks.
 *
 * Context: gmfs_pool.lock has been held since @free was read.
 */
void gmfs_trace_blocks(struct gmfs_pool *pool, u32 ino, u32 free)
{
	u32 now = pool->tables.free_blocks;

	lockdep_assert_held(&pool->lock);
	if (now < free) {
		trace_guestmemfs_allocate(pool->node, ino, free - now, now);
	} else if (now > free) {
		trace_guestmemfs_free(pool->node, ino, now - free, now);
		gmfs_scrub_wake(pool);
	}
}
