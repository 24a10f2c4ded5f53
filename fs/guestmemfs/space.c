// SPDX-License-Identifier: GPL-2.0-only
/*
 * Allocating and reserving blocks for a file, and preparing the blocks that an entry of a page
 * table maps.
 */
#include <kunit/static_stub.h>
#include <linux/fs.h>
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/unroll.h>

#include <trace/events/guestmemfs.h>

#include "tables/extmap.h"
#include "internal.h"

/* Called with map_lock and gmfs_pool.lock held. */
static int gmfs_allocate(struct inode *inode, u64 logical, u64 count, enum gmfs_how how)
{
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	struct gmfs_tables *t = &GUESTMEMFS_SB(inode->i_sb)->tables;
	struct gmfs_run run;
	u32 group;
	int err;

	if (how == GMFS_PRESENT)
		return gmfs_map_fill(t, gi->map, inode->i_ino, logical, count);
	/* Other tasks may have allocated blocks since the caller's lookup, in this file, too. */
	gmfs_map_lookup(t, gi->map, logical, &run);
	if (how == GMFS_ABSENT) {
		if (run.block != GMFS_NO_BLOCK)
			return 0;
		err = gmfs_absent_add(inode, logical);
		if (err)
			return err;
		err = gmfs_map_fill(t, gi->map, inode->i_ino, logical, count);
		if (err)
			gmfs_absent_forget(inode, logical, logical + count);
		return err;
	}
	if (run.block != GMFS_NO_BLOCK || run.count < count ||
	    !gmfs_find_full_group(t, &group) ||
	    gmfs_uncovered(t, gi->map, logical, logical + count) > gmfs_blocks_left(t))
		return -EAGAIN;
	return gmfs_map_fill(t, gi->map, inode->i_ino, logical, count);
}

/**
 * gmfs_file_allocate - allocate the blocks that an entry of a page table lacks
 * @inode: the file
 * @logical: first block
 * @count: number of blocks, at most %GUESTMEMFS_GROUP_BLOCKS
 * @how: %GMFS_WHOLE: only if the blocks are one hole and can be one whole, free group;
 *	%GMFS_ABSENT: a single block, whose pages are absent if it was a hole
 *
 * Context: process context, also in a fault.
 * Return: 0; -ENOSPC, -ENOMEM, -EBUSY (a kexec has begun), -EROFS, or -EAGAIN if %GMFS_WHOLE is
 * not possible, all with nothing allocated.
 */
int gmfs_file_allocate(struct inode *inode, u64 logical, u64 count, enum gmfs_how how)
{
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	struct gmfs_pool *pool = GUESTMEMFS_SB(inode->i_sb);
	u32 free;
	int err;

	KUNIT_STATIC_STUB_REDIRECT(gmfs_file_allocate, inode, logical, count, how);
	/* A read-only filesystem can be mapped, but faults must not allocate blocks. */
	if (sb_rdonly(inode->i_sb))
		return -EROFS;
	guard(gmfs_map_change)(gi);
	err = gmfs_pool_begin(pool);
	if (err)
		return err;
	free = pool->tables.free_blocks;
	err = gmfs_allocate(inode, logical, count, how);
	gmfs_trace_blocks(pool, inode->i_ino, free);
	gmfs_pool_end(pool);
	gmfs_update_blocks(inode);
	return err;
}

/**
 * gmfs_file_reserve - reserve blocks for the holes of a part of a file
 * @inode: the file
 * @from: first block
 * @end: block after the last one, at most %GMFS_MAX_LOGICAL
 *
 * Reservations are not preserved, so that this is possible while the pool is frozen.
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
 * @from: first block, as passed to gmfs_file_reserve()
 * @end: block after the last one, as passed to gmfs_file_reserve()
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

/* Takes map_lock and gmfs_pool.lock for one step of a fill. */
static int gmfs_fill_some(struct inode *inode, struct gmfs_fill *fill)
{
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	struct gmfs_pool *pool = GUESTMEMFS_SB(inode->i_sb);
	u32 free;
	int err;

	if (fatal_signal_pending(current))
		return -EINTR;
	guard(gmfs_map_change)(gi);
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
	guard(gmfs_map_change)(gi);
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
 * gmfs_file_fill - allocate all blocks that a part of a file lacks
 * @inode: the file; its i_rwsem is held exclusively
 * @fill: the fill; the caller sets gmfs_fill.from, gmfs_fill.end and gmfs_fill.more
 *
 * Releases map_lock and gmfs_pool.lock between two steps. After success the caller must call
 * gmfs_file_filled().
 *
 * Context: process context, after gmfs_change_begin(), without invalidate_lock.
 * Return: 0; -ENOSPC, -ENOMEM, or -EINTR at a fatal signal, all with nothing allocated.
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

/* Ends a fill and begins the edit of its pending extents, both under one hold of the locks. */
static void gmfs_fill_finish(struct inode *inode, struct gmfs_fill *fill, struct gmfs_edit *ed)
{
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	struct gmfs_pool *pool = GUESTMEMFS_SB(inode->i_sb);

	guard(gmfs_map_change)(gi);
	gmfs_fill_uncover(fill);
	if (fill->pending)
		gmfs_edit_count(ed);
	guard(mutex)(&pool->lock);
	gmfs_fill_end(fill);
	/*
	 * An abort cannot fail: entries for the former extents were promised to the fill, and no
	 * block needs a replacement, as a pin claims its block first (gmfs_file_claim()).
	 */
	if (fill->pending && WARN_ON_ONCE(gmfs_edit_begin(ed))) {
		ed->op = GMFS_COMMIT;
		gmfs_edit_count(ed);
		gmfs_edit_begin(ed);
	}
}

/**
 * gmfs_file_filled - end a fill that gmfs_file_fill() began
 * @inode: the file; its i_rwsem is held exclusively
 * @fill: the fill, as passed to gmfs_file_fill()
 * @keep: whether the file keeps the new blocks. If not, they are freed, but for those that a
 *	fault has mapped meanwhile.
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

	/* A fault holds invalidate_lock from the lookup of a block until it has mapped it. */
	if (!keep)
		filemap_invalidate_lock(inode->i_mapping);
	gmfs_fill_finish(inode, fill, &ed);
	while (more) {
		guard(gmfs_map_change)(gi);
		more = gmfs_pool_edit_step(GUESTMEMFS_SB(inode->i_sb), inode->i_ino, &ed);
	}
	scoped_guard(rwsem_write, &gi->map_lock)
		gmfs_update_blocks(inode);
	if (!keep)
		filemap_invalidate_unlock(inode->i_mapping);
}

/*
 * A fault needs pending blocks of a fill that is in progress: the file keeps them even if the
 * fill is undone. If the extent has a character, the file keeps the whole extent: to undo only
 * parts of it could need more entries of the extent table than were promised to the fill.
 */
static int gmfs_file_claim(struct inode *inode, u64 logical, u64 count)
{
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	struct gmfs_pool *pool = GUESTMEMFS_SB(inode->i_sb);
	struct gmfs_spot spot;
	int err;

	guard(gmfs_map_change)(gi);
	err = gmfs_pool_begin(pool);
	if (err)
		return err;
	gmfs_map_spot(&pool->tables, gi->map, logical, &spot);
	/* Another fault may have done this already. */
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

/*
 * Makes sure that an entry has blocks, and that the file keeps them. Returns 1 if something was
 * changed for that, so that the entry must be looked up again.
 */
static __always_inline int gmfs_entry_prepare(struct inode *inode, const struct gmfs_entry *entry,
					      enum gmfs_how how)
{
	u64 logical = entry->first / GUESTMEMFS_BLOCK_PAGES;
	u64 count = gmfs_entry_blocks(entry);

	if (entry->block == GMFS_NO_BLOCK)
		return gmfs_file_allocate(inode, logical, count, count > 1 ? GMFS_WHOLE : how) ?: 1;
	if (entry->flags & GMFS_EXTENT_PENDING)
		return gmfs_file_claim(inode, logical, count) ?: 1;
	return 0;
}

/*
 * Is no block of the entry marked as unzeroed? Most faults have nothing to zero, so this tests
 * one bit, or the words of a whole group.
 */
static __always_inline bool gmfs_entry_zeroed(const unsigned long *unzeroed,
					      const struct gmfs_entry *entry)
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

static __always_inline int gmfs_entry_zero(struct inode *inode, const struct gmfs_entry *entry,
					   bool step)
{
	if (!gmfs_entry_zeroed(GUESTMEMFS_SB(inode->i_sb)->tables.unzeroed, entry))
		return gmfs_zero_blocks(inode, entry->block, gmfs_entry_blocks(entry), step);
	/* Pairs with gmfs_zero_run(), as in gmfs_zero_blocks(). */
	smp_rmb();
	return 0;
}

/*
 * May an entry be mapped? Returns -EHWPOISON if its frame is poisoned, -EAGAIN if one of several
 * frames is. A memory error that comes after this is unmapped by gmfs_poison_unmap(), which waits
 * for invalidate_lock.
 */
static __always_inline int gmfs_entry_poisoned(struct inode *inode, const struct gmfs_entry *entry)
{
	const struct gmfs_poisoned *p = &GUESTMEMFS_SB(inode->i_sb)->poisoned;
	u64 frame, end;

	if (likely(!READ_ONCE(p->nr)))
		return 0;
	frame = gmfs_entry_frame(entry);
	end = frame + BIT(entry->order);
	if (gmfs_poisoned_next(p, frame, end) == end)
		return 0;
	return entry->order ? -EAGAIN : -EHWPOISON;
}

/*
 * Finds the entry in the extent of the previous fault, without map_lock, which all vCPUs of a guest
 * would write to. Most faults do. The extents are read while they may change, which map_seq tells;
 * the memory that is read stays where it is. Changes that make pages private or absent, or free
 * or move blocks, are made with invalidate_lock exclusive. Returns false if map_lock is needed to
 * tell.
 */
static __always_inline bool gmfs_entry_again(struct inode *inode, pgoff_t page,
					     unsigned long orders, struct gmfs_entry *entry,
					     bool *absent)
{
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	unsigned int seq = raw_seqcount_begin(&gi->map_seq);

	gmfs_entry_at(entry, page, __fls(orders));
	/* A block with absent pages is not mapped as one. For a page, map_lock protects its bit. */
	*absent = !xa_empty(&gi->absent) &&
		  gmfs_absent_near(inode, entry->first, entry->first + BIT(entry->order));
	return gmfs_map_entry_again(&GUESTMEMFS_SB(inode->i_sb)->tables, gi->map, entry) &&
	       (!*absent || entry->order) && !read_seqcount_retry(&gi->map_seq, seq);
}

/**
 * gmfs_file_entry - prepare the largest entry of a page table that can map a page
 * @inode: the file; its invalidate_lock is held
 * @page: the page
 * @orders: allowed orders of the entry, as log2 of pages: a bit for each
 * @flags: %GMFS_ENTRY_SHARED: the entry is for the host, or for a guest without private memory, so
 *	that its pages must be shared; %GMFS_ENTRY_STEP: the caller has to release other locks
 *	than invalidate_lock, too, after a part of the zeroing
 * @entry: the answer, with blocks that are allocated and zeroed
 *
 * One lookup in the extents finds the largest entry. It has one page if its block has absent pages
 * or poisoned frames, and an absent page becomes present. If it is a hole, its blocks are
 * allocated: for 1 GiB only a whole free group will do, since separate blocks could not be mapped
 * by one entry. After an allocation the lookup is repeated, since the new blocks may have completed
 * a larger entry. So it is after the last absent page of a block has become present, as nothing
 * faults in this block again. Then unzeroed blocks are zeroed. If the entry turns out not to be
 * possible, a smaller one is tried.
 *
 * Return: 0; -EAGAIN if no entry of these orders is possible (never if %BIT(0) is in @orders);
 * -EFAULT if the page is private and must be shared; -EHWPOISON if its frame is poisoned;
 * -EINPROGRESS if the caller must release invalidate_lock and call again (never for entries up to a
 * block); or an error of gmfs_file_allocate() or gmfs_zero_blocks().
 */
int gmfs_file_entry(struct inode *inode, pgoff_t page, unsigned long orders, unsigned int flags,
		    struct gmfs_entry *entry)
{
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	struct gmfs_pool *pool = GUESTMEMFS_SB(inode->i_sb);
	unsigned long larger = 0;
	bool absent;
	int err;

	lockdep_assert_held(&inode->i_mapping->invalidate_lock);
	while (orders) {
		if (!gmfs_entry_again(inode, page, orders, entry, &absent)) {
			guard(rwsem_read)(&gi->map_lock);
			if (!gmfs_map_entry(&pool->tables, gi->map, page, orders, entry))
				break;
			absent = !xa_empty(&gi->absent) &&
				 gmfs_absent_any(inode, entry->first,
						 entry->first + BIT(entry->order));
		}
		if (flags & GMFS_ENTRY_SHARED &&
		    entry->converted != gmfs_private_by_default(inode))
			return -EFAULT;
		if (absent && entry->order) {
			larger |= orders;
			err = -EAGAIN;
		} else {
			err = gmfs_entry_prepare(inode, entry, GMFS_PRESENT);
		}
		if (!err)
			err = gmfs_entry_poisoned(inode, entry);
		if (!err)
			err = gmfs_entry_zero(inode, entry, flags & GMFS_ENTRY_STEP);
		if (!err && absent) {
			err = gmfs_absent_present(inode, page, page + 1);
			/* The page was the last absent one of its block. */
			if (err > 0)
				orders |= larger;
		}
		if (err == -EAGAIN || (err == -ENOMEM && entry->order))
			orders &= BIT(entry->order) - 1;
		else if (err <= 0)
			return err;
	}
	return -EAGAIN;
}

/**
 * gmfs_file_missing - is a page in a hole, or absent
 * @inode: the file; its invalidate_lock is held
 * @page: the page
 *
 * Return: true if it is, shared or private. It may become present at any time.
 */
bool gmfs_file_missing(struct inode *inode, pgoff_t page)
{
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	struct gmfs_pool *pool = GUESTMEMFS_SB(inode->i_sb);
	struct gmfs_run run;

	lockdep_assert_held(&inode->i_mapping->invalidate_lock);
	guard(rwsem_read)(&gi->map_lock);
	gmfs_map_lookup(&pool->tables, gi->map, page / GUESTMEMFS_BLOCK_PAGES, &run);
	return run.block == GMFS_NO_BLOCK || gmfs_absent_any(inode, page, page + 1);
}

/**
 * gmfs_file_page - what is in a file at a page
 * @inode: the file; its invalidate_lock is held
 * @page: the page
 *
 * Return: the answer. A missing page may become present at any time, but no page missing.
 */
enum gmfs_page gmfs_file_page(struct inode *inode, pgoff_t page)
{
	if (gmfs_file_is_private(inode, page))
		return GMFS_PAGE_PRIVATE;
	return gmfs_file_missing(inode, page) ? GMFS_PAGE_MISSING : GMFS_PAGE_PRESENT;
}

/**
 * gmfs_file_poisoned - is the frame of a page poisoned
 * @inode: the file; its invalidate_lock is held
 * @page: the page, present or absent
 *
 * Return: true if it has a frame that is poisoned.
 */
bool gmfs_file_poisoned(struct inode *inode, pgoff_t page)
{
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	struct gmfs_pool *pool = GUESTMEMFS_SB(inode->i_sb);
	struct gmfs_entry entry;

	lockdep_assert_held(&inode->i_mapping->invalidate_lock);
	if (likely(!READ_ONCE(pool->poisoned.nr)))
		return false;
	guard(rwsem_read)(&gi->map_lock);
	gmfs_map_entry(&pool->tables, gi->map, page, BIT(0), &entry);
	return entry.block != GMFS_NO_BLOCK && gmfs_entry_poisoned(inode, &entry);
}

/**
 * gmfs_file_frame - find the frame of a page that is going to be filled
 * @inode: the file; its invalidate_lock is held
 * @page: the page
 * @entry: the answer: the page, with a block that is allocated and zeroed
 *
 * If the page is in a hole, a block is allocated, of which all pages are absent.
 *
 * Return: 0, -EFAULT if the page is private, -EHWPOISON if its frame is poisoned, or an error of
 * gmfs_file_allocate() or gmfs_zero_blocks().
 */
int gmfs_file_frame(struct inode *inode, pgoff_t page, struct gmfs_entry *entry)
{
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	struct gmfs_pool *pool = GUESTMEMFS_SB(inode->i_sb);
	int err;

	lockdep_assert_held(&inode->i_mapping->invalidate_lock);
	do {
		scoped_guard(rwsem_read, &gi->map_lock)
			gmfs_map_entry(&pool->tables, gi->map, page, BIT(0), entry);
		if (entry->converted != gmfs_private_by_default(inode))
			return -EFAULT;
		err = gmfs_entry_prepare(inode, entry, GMFS_ABSENT);
	} while (err > 0);
	if (!err)
		err = gmfs_entry_poisoned(inode, entry);
	return err ?: gmfs_entry_zero(inode, entry, false);
}
