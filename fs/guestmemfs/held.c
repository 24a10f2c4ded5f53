// SPDX-License-Identifier: GPL-2.0-only
/*
 * Looks for the DMA pins of a file. pin.c adds and removes pins.
 */
#include <linux/fs.h>
#include <linux/lockdep.h>
#include <linux/minmax.h>
#include <linux/mm.h>

#include "tables/extmap.h"
#include "internal.h"

static bool gmfs_frames_pinned(const struct gmfs_pool *pool, bool persistent, u64 from, u64 end,
			       u64 *first, u64 *last)
{
	if (persistent)
		return gmfs_persist_find(&pool->persist, from, end, first, last);
	return gmfs_pins_find(&pool->pins, from, end, first, last);
}

/* gmfs_file_find_pins() for a run of blocks of the file, with gmfs_pool.lock held. */
static bool gmfs_run_pinned(const struct gmfs_pool *pool, bool persistent,
			    const struct gmfs_run *run, pgoff_t first, pgoff_t last,
			    struct gmfs_pinned *pinned)
{
	pgoff_t begin = run->logical * GUESTMEMFS_BLOCK_PAGES;
	pgoff_t end = begin + run->count * GUESTMEMFS_BLOCK_PAGES;
	/* Number of a frame minus number of its page. */
	u64 more = (u64)run->block * GUESTMEMFS_BLOCK_PAGES - begin;
	u64 from, to;

	if (run->block == GMFS_NO_BLOCK ||
	    !gmfs_frames_pinned(pool, persistent, max(begin, first) + more,
				min(end, last) + more, &from, &to))
		return false;
	pinned->first = from - more;
	pinned->last = to - more;
	return true;
}

static bool gmfs_file_find_pins(struct inode *inode, bool persistent, pgoff_t first, pgoff_t last,
				struct gmfs_pinned *pinned)
{
	struct gmfs_pool *pool = GUESTMEMFS_SB(inode->i_sb);
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	u64 logical = first / GUESTMEMFS_BLOCK_PAGES;
	u64 end = DIV_ROUND_UP(min(last, GMFS_MAX_PAGE), GUESTMEMFS_BLOCK_PAGES);
	struct gmfs_run run;
	u32 i;

	lockdep_assert_held(&inode->i_mapping->invalidate_lock);
	/* A pin on this file was added under invalidate_lock, so that it is not missed here. */
	if (!READ_ONCE(pool->pins.frames) || (persistent && !READ_ONCE(pool->persist.frames)))
		return false;
	guard(rwsem_read)(&gi->map_lock);
	while (logical < end) {
		scoped_guard(mutex, &pool->lock) {
			for (i = 0; logical < end && i < GMFS_STEP_EXTENTS; i++) {
				gmfs_map_lookup(&pool->tables, gi->map, logical, &run);
				if (gmfs_run_pinned(pool, persistent, &run, first, last, pinned))
					return true;
				logical += run.count;
			}
		}
		cond_resched();
	}
	return false;
}

/**
 * gmfs_file_pinned - find the first pinned pages in a part of a file
 * @inode: the file; its invalidate_lock is held. Held exclusively, no pin is added to the file
 * @first: first page
 * @last: page after the last one; may be beyond the largest file
 * @pinned: result; more pinned pages may follow
 *
 * Takes time proportional to the number of extents in the part, if there is a pin in the pool.
 *
 * Return: true if a page has a pin.
 */
bool gmfs_file_pinned(struct inode *inode, pgoff_t first, pgoff_t last,
		      struct gmfs_pinned *pinned)
{
	return gmfs_file_find_pins(inode, false, first, last, pinned);
}

/**
 * gmfs_file_persistent - find the first pages with persistent pins in a part of a file
 * @inode: the file; its invalidate_lock is held
 * @first: first page
 * @last: page after the last one; may be beyond the largest file
 * @pinned: result; more pages with persistent pins may follow
 *
 * As gmfs_file_pinned().
 *
 * Return: true if a page has a persistent pin.
 */
bool gmfs_file_persistent(struct inode *inode, pgoff_t first, pgoff_t last,
			  struct gmfs_pinned *pinned)
{
	return gmfs_file_find_pins(inode, true, first, last, pinned);
}
