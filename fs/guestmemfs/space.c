// SPDX-License-Identifier: GPL-2.0-only
/*
 * A file's space: what it has, and how it gets more.
 */
#include <linux/blk_types.h>
#include <linux/fs.h>
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>

#include <trace/events/guestmemfs.h>

#include "extmap.h"
#include "internal.h"

/**
 * gmfs_update_blocks - make st_blocks true again
 * @inode: an inode; its map_lock is held, or nobody else has it yet
 */
void gmfs_update_blocks(struct inode *inode)
{
	u64 blocks = GUESTMEMFS_I(inode)->map->blocks;

	spin_lock(&inode->i_lock);
	inode->i_blocks = blocks << (GUESTMEMFS_BLOCK_SHIFT - SECTOR_SHIFT);
	spin_unlock(&inode->i_lock);
}

/* With both locks held. */
static int gmfs_allocate(struct inode *inode, u64 logical, u64 count, bool whole)
{
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	struct gmfs_tables *t = &GUESTMEMFS_SB(inode->i_sb)->tables;
	struct gmfs_run run;
	u32 group;

	if (!whole)
		return gmfs_map_fill(t, gi->map, inode->i_ino, logical, count);
	/* Others may have got blocks since the caller looked. */
	gmfs_map_lookup(t, gi->map, logical, &run);
	if (run.block != GMFS_NO_BLOCK || run.count < count ||
	    !gmfs_find_full_group(t, &group) ||
	    gmfs_uncovered(t, gi->map, logical, logical + count) > gmfs_blocks_left(t))
		return -EAGAIN;
	return gmfs_map_fill(t, gi->map, inode->i_ino, logical, count);
}

/**
 * gmfs_file_allocate - fill the holes behind an entry of a page table
 * @inode: the file
 * @logical: first block
 * @count: number of blocks, at most %GUESTMEMFS_GROUP_BLOCKS
 * @whole: only if it is one hole, and can be a whole group, in one piece
 *
 * Context: process context, also in a fault.
 * Return: 0; -ENOSPC, -ENOMEM, -EBUSY (a kexec has begun), -EROFS, or -EAGAIN
 * if no whole group is there to take, all with nothing allocated.
 */
int gmfs_file_allocate(struct inode *inode, u64 logical, u64 count, bool whole)
{
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	struct gmfs_pool *pool = GUESTMEMFS_SB(inode->i_sb);
	u32 free;
	int err;

	/* A file that was opened for reading may be mapped and read, not grown. */
	if (sb_rdonly(inode->i_sb))
		return -EROFS;
	guard(rwsem_write)(&gi->map_lock);
	err = gmfs_pool_begin(pool);
	if (err)
		return err;
	free = pool->tables.free_blocks;
	err = gmfs_allocate(inode, logical, count, whole);
	gmfs_trace_blocks(pool, inode->i_ino, free);
	gmfs_pool_end(pool);
	gmfs_update_blocks(inode);
	return err;
}

/**
 * gmfs_file_reserve - reserve blocks for the holes of a part of a file
 * @inode: the file
 * @from: first block
 * @end: block after the last one; up to the largest file at most
 *
 * Nothing of this is preserved, so that it is possible while the pool is frozen.
 *
 * Context: process context; mmap_lock may be held.
 * Return: 0, or -ENOSPC or -ENOMEM with nothing reserved.
 */
int gmfs_file_reserve(struct inode *inode, u64 from, u64 end)
{
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	struct gmfs_pool *pool = GUESTMEMFS_SB(inode->i_sb);
	u64 missing;
	int err;

	guard(rwsem_write)(&gi->map_lock);
	missing = gmfs_uncovered(&pool->tables, gi->map, from, end);
	err = gmfs_cover(gi->map, from, end);
	if (err)
		return err;
	scoped_guard(mutex, &pool->lock)
		err = gmfs_promise_blocks(&pool->tables, missing);
	if (err)
		gmfs_uncover(gi->map, from, end);
	return err;
}

/**
 * gmfs_file_unreserve - undo gmfs_file_reserve()
 * @inode: the file
 * @from: as it was there
 * @end: likewise
 *
 * Context: as gmfs_file_reserve().
 */
void gmfs_file_unreserve(struct inode *inode, u64 from, u64 end)
{
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	struct gmfs_pool *pool = GUESTMEMFS_SB(inode->i_sb);
	u64 missing;

	guard(rwsem_write)(&gi->map_lock);
	gmfs_uncover(gi->map, from, end);
	missing = gmfs_uncovered(&pool->tables, gi->map, from, end);
	guard(mutex)(&pool->lock);
	pool->tables.promised_blocks -= missing;
}

/* One hold of the locks. */
static int gmfs_fill_some(struct inode *inode, struct gmfs_fill *fill)
{
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	struct gmfs_pool *pool = GUESTMEMFS_SB(inode->i_sb);
	u32 free;
	int err;

	if (fatal_signal_pending(current))
		return -EINTR;
	guard(rwsem_write)(&gi->map_lock);
	guard(mutex)(&pool->lock);
	free = pool->tables.free_blocks;
	err = gmfs_fill_step(fill);
	gmfs_trace_blocks(pool, inode->i_ino, free);
	return err;
}

static int gmfs_fill_prepare(struct inode *inode, struct gmfs_fill *fill)
{
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	struct gmfs_pool *pool = GUESTMEMFS_SB(inode->i_sb);
	int err;

	fill->t = &pool->tables;
	fill->map = gi->map;
	fill->ino = inode->i_ino;
	guard(rwsem_write)(&gi->map_lock);
	err = gmfs_fill_cover(fill);
	if (err)
		return err;
	scoped_guard(mutex, &pool->lock)
		err = gmfs_fill_begin(fill);
	if (err)
		gmfs_fill_uncover(fill);
	return err;
}

/**
 * gmfs_file_fill - fill the holes of a part of a file, however many there are
 * @inode: the file; its i_rwsem is held exclusively
 * @fill: with @from, @end and @more filled in
 *
 * The locks of the pool and of the map are released between two steps. After success
 * gmfs_file_filled() is due.
 *
 * Context: process context, after gmfs_change_begin(), without invalidate_lock.
 * Return: 0; -ENOSPC, -ENOMEM, -EBUSY if a part is truncated, or -EINTR at a fatal signal,
 * all with nothing allocated.
 */
int gmfs_file_fill(struct inode *inode, struct gmfs_fill *fill)
{
	int err;

	err = gmfs_fill_prepare(inode, fill);
	if (err)
		return err;
	do {
		err = gmfs_fill_some(inode, fill);
		cond_resched();
	} while (err > 0);
	if (err)
		gmfs_file_filled(inode, fill, false);
	return err;
}

/* Ends the fill, and begins the edit of what is pending, without anybody in between. */
static void gmfs_fill_finish(struct inode *inode, struct gmfs_fill *fill, struct gmfs_edit *ed)
{
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	struct gmfs_pool *pool = GUESTMEMFS_SB(inode->i_sb);

	guard(rwsem_write)(&gi->map_lock);
	gmfs_fill_uncover(fill);
	if (fill->pending)
		gmfs_edit_count(ed);
	guard(mutex)(&pool->lock);
	gmfs_fill_end(fill);
	/* There is room for what was there before: it was promised to the fill. */
	if (fill->pending && WARN_ON_ONCE(gmfs_edit_begin(ed))) {
		ed->op = GMFS_COMMIT;
		gmfs_edit_count(ed);
		gmfs_edit_begin(ed);
	}
}

/**
 * gmfs_file_filled - end what gmfs_file_fill() began
 * @inode: the file; its i_rwsem is held exclusively
 * @fill: as it was there
 * @keep: the file keeps the blocks; otherwise those are free again that no fault has been served
 *	with
 *
 * Context: as gmfs_file_fill().
 */
void gmfs_file_filled(struct inode *inode, struct gmfs_fill *fill, bool keep)
{
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	struct gmfs_edit ed = {
		.t	= fill->t,
		.map	= fill->map,
		.ino	= fill->ino,
		.op	= keep ? GMFS_COMMIT : GMFS_ABORT,
		.first	= fill->from * GUESTMEMFS_BLOCK_PAGES,
		.last	= fill->end * GUESTMEMFS_BLOCK_PAGES,
	};
	bool more = fill->pending;

	/* A fault that has found a block enters it into the page table under this lock. */
	if (!keep)
		filemap_invalidate_lock(inode->i_mapping);
	gmfs_fill_finish(inode, fill, &ed);
	while (more) {
		guard(rwsem_write)(&gi->map_lock);
		more = gmfs_pool_edit_step(GUESTMEMFS_SB(inode->i_sb), inode->i_ino, &ed);
	}
	scoped_guard(rwsem_write, &gi->map_lock)
		gmfs_update_blocks(inode);
	if (!keep)
		filemap_invalidate_unlock(inode->i_mapping);
}

/*
 * A fault needs blocks of a fill that is in progress: they stay, whatever becomes of it. If
 * they have a character so does all of the extent: in pieces it could not be undone.
 */
static int gmfs_file_claim(struct inode *inode, u64 logical, u64 count, struct gmfs_run *run)
{
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	struct gmfs_pool *pool = GUESTMEMFS_SB(inode->i_sb);
	struct gmfs_spot spot;
	int err;

	guard(rwsem_write)(&gi->map_lock);
	err = gmfs_pool_begin(pool);
	if (err)
		return err;
	gmfs_map_lookup(&pool->tables, gi->map, logical, run);
	if (run->flags & GMFS_EXTENT_PENDING) {
		gmfs_map_spot(&pool->tables, gi->map, logical, &spot);
		if (run->flags & GMFS_EXTENT_CHARACTER) {
			logical = spot.start;
			count = spot.end - spot.start;
		}
		err = gmfs_map_edit(&pool->tables, gi->map, GMFS_COMMIT, logical,
				    min(count, spot.end - logical));
	}
	gmfs_pool_end(pool);
	return err;
}

/* Can an entry of @count blocks map the begin of a run? */
static bool gmfs_run_serves(const struct gmfs_run *run, u64 count)
{
	return run->block != GMFS_NO_BLOCK && run->count >= count && run->block % count == 0;
}

/**
 * gmfs_file_entry - the blocks behind a page table entry, allocated if need be
 * @inode: the file; its invalidate_lock is held
 * @first: first page of the entry, a multiple of its size
 * @order: its size, as log2 of pages; less than a block's is one of its pages
 * @run: the answer
 *
 * A whole group is taken when there is one to take; one put together from
 * pieces could not be mapped as one. The blocks are zeroed where they have to be.
 *
 * Return: 0; -EAGAIN if the blocks are not one aligned run, or would take too long to zero
 * for a task with a signal pending: a smaller entry may do; -EFAULT if they are being
 * truncated; -EINPROGRESS if invalidate_lock is to be released and the call repeated; or what
 * gmfs_file_allocate() and gmfs_zero_blocks() say. An entry of one block at the most gets
 * neither -EAGAIN nor -EINPROGRESS.
 */
int gmfs_file_entry(struct inode *inode, pgoff_t first, unsigned int order,
		    struct gmfs_run *run)
{
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	struct gmfs_pool *pool = GUESTMEMFS_SB(inode->i_sb);
	u64 logical = first / GUESTMEMFS_BLOCK_PAGES;
	u64 count = max(1UL, (1UL << order) / GUESTMEMFS_BLOCK_PAGES);
	int err;

	lockdep_assert_held(&inode->i_mapping->invalidate_lock);
	scoped_guard(rwsem_read, &gi->map_lock)
		gmfs_map_lookup(&pool->tables, gi->map, logical, run);
	if (run->flags & GUESTMEMFS_EXTENT_TRUNCATED || run->count < count) {
		gmfs_pin_settle(inode, logical, logical + count);
		scoped_guard(rwsem_read, &gi->map_lock)
			gmfs_map_lookup(&pool->tables, gi->map, logical, run);
	}
	if (run->block == GMFS_NO_BLOCK) {
		if (count > 1 && run->count < count)
			return -EAGAIN;
		err = gmfs_file_allocate(inode, logical, count, count > 1);
		if (err)
			return err;
		scoped_guard(rwsem_read, &gi->map_lock)
			gmfs_map_lookup(&pool->tables, gi->map, logical, run);
	}
	if (run->flags & GUESTMEMFS_EXTENT_TRUNCATED)
		return -EFAULT;
	if (!gmfs_run_serves(run, count))
		return -EAGAIN;
	if (run->flags & GMFS_EXTENT_PENDING) {
		err = gmfs_file_claim(inode, logical, count, run);
		if (err)
			return err;
		/* Another fault may have claimed a part of it, which is now an extent by itself. */
		if (!gmfs_run_serves(run, count))
			return -EAGAIN;
	}
	return gmfs_zero_blocks(inode, run->block, count);
}
