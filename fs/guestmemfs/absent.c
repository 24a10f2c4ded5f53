// SPDX-License-Identifier: GPL-2.0-only
/*
 * Absent pages: pages of 4 KiB that a file has lost although it keeps their block of 2 MiB.
 *
 * An absent page reads as zeroes, is zeroed and in no page table. For userfaultfd it is missing,
 * like a hole. gmfs_inode.absent has a bitmap for each block with absent pages, by the block's
 * number in the file. punched.c hands the bitmaps over to the next mount, which may be that of the
 * next kernel.
 *
 * A page becomes absent when it is punched without its block, or when UFFDIO_COPY fills a part of a
 * hole. It becomes present when it is filled or mapped. When the last present page is punched, the
 * block is free; when the last absent page is present, the block can be mapped by one entry again.
 *
 * An entry of 2 MiB or 1 GiB that maps an absent page would hide its use, and the block would be
 * freed with a page in use. So the entry has to go, in page tables of processes and of guests, even
 * though the other pages of the block are mapped by small entries from then on. A file of which
 * only whole blocks are punched has no absent page, and pays nothing.
 */
#include <linux/bitmap.h>
#include <linux/fs.h>
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include "internal.h"

/* Adds an empty bitmap. The block has none, and map_lock is held exclusively. */
static struct gmfs_absent *gmfs_absent_new(struct gmfs_inode *gi, u64 logical)
{
	struct gmfs_absent *absent = kzalloc_obj(*absent, GFP_KERNEL_ACCOUNT);

	if (absent && gmfs_punched_add(gi, logical, absent)) {
		kfree(absent);
		return NULL;
	}
	return absent;
}

/* Makes a page present, first in the record that the next kernel reads. */
static void gmfs_absent_clear(struct gmfs_absent *absent, unsigned long page)
{
	if (absent->kept)
		clear_bit(page, absent->kept);
	clear_bit(page, absent->pages);
}

/**
 * gmfs_absent_add - make all pages of a hole absent, for a block that is allocated there
 * @inode: the file; its map_lock is held exclusively
 * @logical: the block, without absent pages before
 *
 * Return: 0 or -ENOMEM.
 */
int gmfs_absent_add(struct inode *inode, u64 logical)
{
	struct gmfs_absent *absent = gmfs_absent_new(GUESTMEMFS_I(inode), logical);

	if (!absent)
		return -ENOMEM;
	bitmap_fill(absent->pages, GUESTMEMFS_BLOCK_PAGES);
	return 0;
}

/**
 * gmfs_absent_load - add absent pages that the previous mount has recorded
 * @inode: the file, which no other task can reach
 * @absence: the record
 *
 * Return: 0 or -ENOMEM.
 */
int gmfs_absent_load(struct inode *inode, const struct gmfs_absence *absence)
{
	struct gmfs_absent *absent;

	if (bitmap_empty(absence->pages, GUESTMEMFS_BLOCK_PAGES))
		return 0;
	absent = gmfs_absent_new(GUESTMEMFS_I(inode), absence->logical);
	if (!absent)
		return -ENOMEM;
	bitmap_copy(absent->pages, absence->pages, GUESTMEMFS_BLOCK_PAGES);
	return 0;
}

/**
 * gmfs_absent_forget - make all pages of whole blocks present
 * @inode: the file; its map_lock is held exclusively, or no other task can reach the inode
 * @from: first block
 * @end: block after the last one
 *
 * Also for blocks that the file loses.
 */
void gmfs_absent_forget(struct inode *inode, u64 from, u64 end)
{
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	struct gmfs_absent *absent;
	unsigned long logical;

	if (from >= end)
		return;
	xa_for_each_range(&gi->absent, logical, absent, from, end - 1) {
		kfree(gmfs_punched_take(gi, logical));
		cond_resched();
	}
}

/* Finds the next block of two parts, from *@i on, of which either has absent pages. */
static bool gmfs_absent_either(struct gmfs_inode *a, u64 a_first, struct gmfs_inode *b,
			       u64 b_first, u64 count, u64 *i)
{
	unsigned long at = a_first + *i, other = b_first + *i;
	u64 next = count;

	if (*i < count && xa_find(&a->absent, &at, a_first + count - 1, XA_PRESENT))
		next = at - a_first;
	if (*i < count && xa_find(&b->absent, &other, b_first + count - 1, XA_PRESENT))
		next = min(next, other - b_first);
	*i = next;
	return next < count;
}

static void gmfs_absent_give(struct gmfs_inode *gi, u64 logical, struct gmfs_absent *absent)
{
	/* Without memory for it, the pages are present: they are zeroed. */
	if (absent && gmfs_punched_add(gi, logical, absent))
		kfree(absent);
}

/**
 * gmfs_absent_exchange - move the absent pages of blocks that are moved or exchanged
 * @a: a file; its map_lock is held exclusively
 * @a_first: the first block of the part of @a
 * @b: another file, or the same one, with another part; its map_lock is held exclusively
 * @b_first: the first block of the part of @b
 * @count: number of blocks of each part
 */
void gmfs_absent_exchange(struct inode *a, u64 a_first, struct inode *b, u64 b_first, u64 count)
{
	struct gmfs_inode *ga = GUESTMEMFS_I(a), *gb = GUESTMEMFS_I(b);
	u64 i;

	for (i = 0; gmfs_absent_either(ga, a_first, gb, b_first, count, &i); i++) {
		struct gmfs_absent *mine = gmfs_punched_take(ga, a_first + i);

		gmfs_absent_give(ga, a_first + i, gmfs_punched_take(gb, b_first + i));
		gmfs_absent_give(gb, b_first + i, mine);
		cond_resched();
	}
}

/* Frees the bitmap of a block that has no absent page any more. */
static void gmfs_absent_reap(struct inode *inode, u64 logical)
{
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	struct gmfs_absent *absent;

	guard(rwsem_write)(&gi->map_lock);
	absent = xa_load(&gi->absent, logical);
	if (absent && bitmap_empty(absent->pages, GUESTMEMFS_BLOCK_PAGES))
		kfree(gmfs_punched_take(gi, logical));
}

/**
 * gmfs_absent_near - does a block of a part of a file have absent pages
 * @inode: the file; its invalidate_lock is held
 * @first: first page
 * @last: page after the last one
 *
 * Needs no map_lock. A block whose last absent page becomes present meanwhile may be seen or not,
 * and so may a hole that becomes a block with absent pages, which gmfs_inode.map_seq tells.
 *
 * Return: true if one has.
 */
bool gmfs_absent_near(struct inode *inode, pgoff_t first, pgoff_t last)
{
	unsigned long logical = first / GUESTMEMFS_BLOCK_PAGES;

	return xa_find(&GUESTMEMFS_I(inode)->absent, &logical, (last - 1) / GUESTMEMFS_BLOCK_PAGES,
		       XA_PRESENT);
}

/**
 * gmfs_absent_any - does a part of a file have absent pages
 * @inode: the file; its map_lock is held
 * @first: first page
 * @last: page after the last one; with @first in one block, or both at the edges of blocks
 *
 * Return: true if it has.
 */
bool gmfs_absent_any(struct inode *inode, pgoff_t first, pgoff_t last)
{
	struct xarray *xa = &GUESTMEMFS_I(inode)->absent;
	struct gmfs_absent *absent;
	unsigned long at, end;

	if (xa_empty(xa))
		return false;
	if (last - first >= GUESTMEMFS_BLOCK_PAGES)
		return gmfs_absent_near(inode, first, last);
	absent = xa_load(xa, first / GUESTMEMFS_BLOCK_PAGES);
	at = first % GUESTMEMFS_BLOCK_PAGES;
	end = at + (last - first);
	return absent && find_next_bit(absent->pages, end, at) < end;
}

/*
 * Locks the absent pages of a block against other tasks that make pages present, with map_lock held
 * shared. All other changes hold map_lock or invalidate_lock exclusively.
 */
static struct mutex *gmfs_absent_lock(struct inode *inode, u64 logical)
{
	return &GUESTMEMFS_SB(inode->i_sb)->absent_locks[logical % GMFS_ABSENT_LOCKS];
}

/**
 * gmfs_absent_present - make pages present, with their zeroes
 * @inode: the file; its invalidate_lock is held
 * @first: first page
 * @last: page after the last one, in the same block
 *
 * Context: process context. Waits for a task that is filling pages of the block.
 * Return: 0; 1 if the block has no absent page any more; -EINTR at a fatal signal; or -EROFS if a
 * feature forbids writing to the pool: the record of absent pages cannot be removed then.
 */
int gmfs_absent_present(struct inode *inode, pgoff_t first, pgoff_t last)
{
	u64 logical = first / GUESTMEMFS_BLOCK_PAGES;
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	struct mutex *lock = gmfs_absent_lock(inode, logical);
	unsigned long at = first % GUESTMEMFS_BLOCK_PAGES;
	struct gmfs_absent *absent;
	bool empty;

	scoped_guard(rwsem_read, &gi->map_lock) {
		absent = xa_load(&gi->absent, logical);
		if (!absent)
			return 1;
		if (GUESTMEMFS_SB(inode->i_sb)->tables.read_only)
			return -EROFS;
		if (mutex_lock_killable(lock))
			return -EINTR;
		for (; first < last; first++, at++)
			gmfs_absent_clear(absent, at);
		empty = bitmap_empty(absent->pages, GUESTMEMFS_BLOCK_PAGES);
		mutex_unlock(lock);
	}
	if (empty)
		gmfs_absent_reap(inode, logical);
	return empty;
}

/**
 * gmfs_absent_settle - make pages present of which a fallocate() has made sure
 * @inode: the file; its i_rwsem is held exclusively
 * @first: first page
 * @last: page after the last one
 *
 * Context: process context.
 * Return: 0, or -EINTR at a fatal signal.
 */
int gmfs_absent_settle(struct inode *inode, pgoff_t first, pgoff_t last)
{
	struct rw_semaphore *lock = &inode->i_mapping->invalidate_lock;
	struct xarray *xa = &GUESTMEMFS_I(inode)->absent;
	unsigned long logical = first / GUESTMEMFS_BLOCK_PAGES;
	int err = 0;

	if (first >= last)
		return 0;
	while (err >= 0 && xa_find(xa, &logical, (last - 1) / GUESTMEMFS_BLOCK_PAGES, XA_PRESENT)) {
		pgoff_t from = max(first, (pgoff_t)logical * GUESTMEMFS_BLOCK_PAGES);
		pgoff_t to = min(last, (pgoff_t)(logical + 1) * GUESTMEMFS_BLOCK_PAGES);

		err = down_read_killable(lock);
		if (err)
			break;
		err = gmfs_absent_present(inode, from, to);
		up_read(lock);
		logical++;
		cond_resched();
	}
	return min(err, 0);
}

/**
 * gmfs_absent_get - prepare that pages of a block become absent
 * @inode: the file; its invalidate_lock is held exclusively
 * @first: first page
 * @last: page after the last one, in the same block. The block is allocated
 * @pages: result: for gmfs_absent_put(), NULL if the pages stay present
 *
 * All of the pages stay present if a device may write to one of them.
 *
 * Context: process context.
 * Return: 0 or -ENOMEM.
 */
int gmfs_absent_get(struct inode *inode, pgoff_t first, pgoff_t last, unsigned long **pages)
{
	u64 logical = first / GUESTMEMFS_BLOCK_PAGES;
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	struct gmfs_absent *absent;
	struct gmfs_pinned pinned;

	*pages = NULL;
	if (first >= last || gmfs_file_pinned(inode, first, last, &pinned))
		return 0;
	absent = xa_load(&gi->absent, logical);
	if (!absent) {
		scoped_guard(rwsem_write, &gi->map_lock)
			absent = gmfs_absent_new(gi, logical);
		if (!absent)
			return -ENOMEM;
	}
	*pages = absent->pages;
	return 0;
}

/**
 * gmfs_absent_put - end what gmfs_absent_get() has begun
 * @inode: the file
 * @first: first page
 * @last: page after the last one
 * @pages: as gmfs_absent_get() has returned them
 * @punched: the pages are absent now: they are zeroed and in no page table
 *
 * Context: as gmfs_absent_get().
 */
void gmfs_absent_put(struct inode *inode, pgoff_t first, pgoff_t last, unsigned long *pages,
		     bool punched)
{
	if (!pages)
		return;
	if (punched)
		bitmap_set(pages, first % GUESTMEMFS_BLOCK_PAGES, last - first);
	else
		gmfs_absent_reap(inode, first / GUESTMEMFS_BLOCK_PAGES);
}

/*
 * Would the block of @from have no present page any more if @from to @to were punched? A page that
 * a device may write to stays present. Pages behind the end of the file do not count.
 */
static bool gmfs_absent_completes(struct inode *inode, loff_t from, loff_t to)
{
	u64 logical = from >> GUESTMEMFS_BLOCK_SHIFT;
	pgoff_t start = logical * GUESTMEMFS_BLOCK_PAGES;
	pgoff_t pages = DIV_ROUND_UP(i_size_read(inode), PAGE_SIZE), end = GUESTMEMFS_BLOCK_PAGES;
	pgoff_t first = DIV_ROUND_UP(from, PAGE_SIZE) - start;
	pgoff_t last = min((pgoff_t)(to >> PAGE_SHIFT) - start, GUESTMEMFS_BLOCK_PAGES);
	struct gmfs_absent *absent = xa_load(&GUESTMEMFS_I(inode)->absent, logical);
	struct gmfs_pinned pinned;

	if (start < pages)
		end = min(end, pages - start);
	if (first > last || (!absent && (first || last < end)) ||
	    gmfs_file_pinned(inode, start, start + GUESTMEMFS_BLOCK_PAGES, &pinned))
		return false;
	first = min(first, end);
	return !absent || (find_first_zero_bit(absent->pages, first) >= first &&
			   find_next_zero_bit(absent->pages, end, last) >= end);
}

/**
 * gmfs_absent_widen - punch whole blocks if nothing of them would be left
 * @inode: the file; its invalidate_lock is held exclusively
 * @start: first byte of the punch, may become less
 * @end: byte after the last one, may become more
 *
 * Return: true if one of them has changed.
 */
bool gmfs_absent_widen(struct inode *inode, loff_t *start, loff_t *end)
{
	loff_t from = *start, to = *end, tail;

	if (gmfs_absent_completes(inode, from, to)) {
		*start = round_down(from, GMFS_BLOCK_SIZE);
		*end = max(to, *start + (loff_t)GMFS_BLOCK_SIZE);
	}
	tail = max(*start, round_down(to, GMFS_BLOCK_SIZE));
	if (tail < to && gmfs_absent_completes(inode, tail, to))
		*end = round_up(to, GMFS_BLOCK_SIZE);
	return *start != from || *end != to;
}

/**
 * gmfs_absent_fill - fill absent pages and make them present
 * @inode: the file; its invalidate_lock is held
 * @page: first page
 * @count: number of pages, all in one block, that is allocated, shared and zeroed
 * @phys: physical address of the first page
 * @src: contents, NULL to leave them zeroed
 * @install: enters a filled page into a page table; the index of the page and @data are passed
 * @data: for @install
 *
 * Stops at a page that is present, with -EEXIST. If @install fails, the page stays absent.
 *
 * Context: process context.
 * Return: how many pages were filled and installed, or an error if it is none.
 */
long gmfs_absent_fill(struct inode *inode, pgoff_t page, unsigned long count, u64 phys,
		      const void *src, int (*install)(unsigned long i, void *data), void *data)
{
	u64 logical = page / GUESTMEMFS_BLOCK_PAGES;
	unsigned long at = page % GUESTMEMFS_BLOCK_PAGES, i = 0;
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	struct mutex *lock = gmfs_absent_lock(inode, logical);
	struct gmfs_absent *absent;
	struct gmfs_window *window = NULL;
	bool empty;
	int err = 0;

	scoped_guard(rwsem_read, &gi->map_lock) {
		absent = xa_load(&gi->absent, logical);
		if (!absent)
			return -EEXIST;
		if (GUESTMEMFS_SB(inode->i_sb)->tables.read_only)
			return -EROFS;
		if (mutex_lock_killable(lock))
			return -EINTR;
		if (src && test_bit(at, absent->pages)) {
			window = gmfs_window_open(phys, count << PAGE_SHIFT);
			if (!window)
				err = -ENOMEM;
		}
		for (; !err && i < count; i++) {
			err = -EEXIST;
			if (!test_bit(at + i, absent->pages))
				break;
			/* A page with bytes in it is present in the next kernel. */
			if (absent->kept)
				clear_bit(at + i, absent->kept);
			if (window)
				memcpy(window->va + i * PAGE_SIZE, src + i * PAGE_SIZE, PAGE_SIZE);
			/* The bytes come before the entry of the page table. */
			smp_wmb();
			err = install(i, data);
			if (!err)
				clear_bit(at + i, absent->pages);
			else if (window)
				memset(window->va + i * PAGE_SIZE, 0, PAGE_SIZE);
			if (err)
				break;
		}
		if (window)
			gmfs_window_close(window);
		empty = bitmap_empty(absent->pages, GUESTMEMFS_BLOCK_PAGES);
		mutex_unlock(lock);
	}
	if (empty)
		gmfs_absent_reap(inode, logical);
	return i ?: err;
}
