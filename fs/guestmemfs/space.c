// SPDX-License-Identifier: GPL-2.0-only
/*
 * A file's space: what it has, and how it gets more.
 */
#include <linux/fs.h>
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/unroll.h>

#include <trace/events/guestmemfs.h>

#include "tables/extmap.h"
#include "internal.h"

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
 * Return: 0, or -ENOSPC, -ENOMEM, or -EINTR at a fatal signal, with nothing reserved.
 */
int gmfs_file_reserve(struct inode *inode, u64 from, u64 end)
{
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	struct gmfs_pool *pool = GUESTMEMFS_SB(inode->i_sb);
	u64 missing;
	int err;

	if (down_write_killable(&gi->map_lock))
		return -EINTR;
	missing = gmfs_uncovered(&pool->tables, gi->map, from, end);
	err = gmfs_cover(gi->map, from, end);
	if (err)
		goto out;
	scoped_guard(mutex, &pool->lock)
		err = gmfs_promise_blocks(&pool->tables, missing);
	if (err)
		gmfs_uncover(gi->map, from, end);
out:
	up_write(&gi->map_lock);
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
static int gmfs_file_claim(struct inode *inode, u64 logical, u64 count)
{
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	struct gmfs_pool *pool = GUESTMEMFS_SB(inode->i_sb);
	struct gmfs_spot spot;
	int err;

	guard(rwsem_write)(&gi->map_lock);
	err = gmfs_pool_begin(pool);
	if (err)
		return err;
	gmfs_map_spot(&pool->tables, gi->map, logical, &spot);
	/* Another fault may have been here. */
	if (spot.e && spot.e->flags & cpu_to_le32(GMFS_EXTENT_PENDING)) {
		if (spot.e->flags & cpu_to_le32(GMFS_EXTENT_CHARACTER)) {
			logical = spot.start;
			count = spot.end - spot.start;
		}
		err = gmfs_map_edit(&pool->tables, gi->map, GMFS_COMMIT, logical,
				    min(count, spot.end - logical));
	}
	gmfs_pool_end(pool);
	return err;
}

/* Is it as large as can be, and nothing of it truncated? */
static bool gmfs_entry_is_settled(const struct gmfs_entry *entry, unsigned long orders)
{
	return entry->order == __fls(orders) && !(entry->flags & GUESTMEMFS_EXTENT_TRUNCATED);
}

/* What was truncated, and held by nobody any more, is a hole that may be a part of an entry. */
static void gmfs_entry_settle(struct inode *inode, pgoff_t page, unsigned int order)
{
	u64 first = round_down(page, 1UL << order) / GUESTMEMFS_BLOCK_PAGES;

	gmfs_pin_settle(inode, first,
			first + max(1UL, (1UL << order) / GUESTMEMFS_BLOCK_PAGES));
}

/* Gives an entry blocks that stay. Returns 1 if that was not so: then look at it again. */
static int gmfs_entry_prepare(struct inode *inode, const struct gmfs_entry *entry)
{
	u64 logical = entry->first / GUESTMEMFS_BLOCK_PAGES;
	u64 count = gmfs_entry_blocks(entry);

	if (entry->flags & GUESTMEMFS_EXTENT_TRUNCATED)
		return -EFAULT;
	if (entry->block == GMFS_NO_BLOCK)
		return gmfs_file_allocate(inode, logical, count, count > 1) ?: 1;
	if (entry->flags & GMFS_EXTENT_PENDING)
		return gmfs_file_claim(inode, logical, count) ?: 1;
	return 0;
}

/* Most faults find nothing to zero, and see so in a word, or in those of a whole group. */
static bool gmfs_entry_zeroed(const unsigned long *unzeroed, const struct gmfs_entry *entry)
{
	const unsigned long *word = unzeroed + entry->block / BITS_PER_LONG;
	unsigned long any = 0;
	int i;

	if (entry->order <= PMD_ORDER)
		return !test_bit(entry->block, unzeroed);
	unrolled_full
	for (i = 0; i < GUESTMEMFS_GROUP_BLOCKS / BITS_PER_LONG; i++)
		/* A bit that is cleared meanwhile may be seen set or clear. */
		any |= data_race(word[i]);
	return !any;
}

static int gmfs_entry_zero(struct inode *inode, const struct gmfs_entry *entry)
{
	if (!gmfs_entry_zeroed(GUESTMEMFS_SB(inode->i_sb)->tables.unzeroed, entry))
		return gmfs_zero_blocks(inode, entry->block, gmfs_entry_blocks(entry));
	/* As in gmfs_zero_blocks(). */
	smp_rmb();
	return 0;
}

/**
 * gmfs_file_entry - the largest entry of a page table that can map a page, with its blocks
 * @inode: the file; its invalidate_lock is held
 * @page: the page
 * @orders: sizes that are good, as log2 of pages: a bit for each
 * @shared: the host is to use it: its pages have to be shared
 * @entry: the answer
 *
 * Which entry it is to be is found in one look at the extents, before anything is done for it.
 * Then holes are filled, a whole group by one that is free, for one put together from pieces
 * could not be mapped as one; the extents are looked at again, since these may be the blocks
 * that a larger entry lacked; and blocks are zeroed that have to be. What turns out not to
 * be possible in that size, is done in the next smaller one.
 *
 * Return: 0; -EAGAIN if there is no entry of these sizes, and not with %BIT(0) among them; -EFAULT
 * if the page is being truncated, or private and not to be; -EINPROGRESS if invalidate_lock is to
 * be released and the call repeated, and not for entries up to a block; or what
 * gmfs_file_allocate() and gmfs_zero_blocks() say.
 */
int gmfs_file_entry(struct inode *inode, pgoff_t page, unsigned long orders, bool shared,
		    struct gmfs_entry *entry)
{
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	struct gmfs_pool *pool = GUESTMEMFS_SB(inode->i_sb);
	bool settled = false, found;
	int err;

	lockdep_assert_held(&inode->i_mapping->invalidate_lock);
	while (orders) {
		scoped_guard(rwsem_read, &gi->map_lock)
			found = gmfs_map_entry(&pool->tables, gi->map, page, orders, entry);
		if (READ_ONCE(gi->truncating) && !settled &&
		    !(found && gmfs_entry_is_settled(entry, orders))) {
			gmfs_entry_settle(inode, page, __fls(orders));
			settled = true;
			continue;
		}
		if (!found)
			break;
		if (shared && entry->converted != gmfs_private_by_default(inode))
			return -EFAULT;
		err = gmfs_entry_prepare(inode, entry);
		if (!err)
			err = gmfs_entry_zero(inode, entry);
		if (err == -EAGAIN || (err == -ENOMEM && entry->order))
			orders &= BIT(entry->order) - 1;
		else if (err <= 0)
			return err;
	}
	return -EAGAIN;
}
