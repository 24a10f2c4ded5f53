// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pins: use of frames other than through page tables, such as DMA. gmfs_pool.pins counts them by
 * frame, as there is no struct page with a reference count.
 *
 * Only shared pages are pinned, and a pin allocates those that have no frame. Pinned pages cannot
 * become private. A pinned block that its file loses (punch, truncate, the last unlink) becomes
 * detached: the last unpin frees it. A pin belongs to the pool and holds neither the file nor the
 * mount. A persistent pin (tables/persist.c) is one that a file has, and that outlives a kexec.
 */
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "internal.h"

/* Returns the last run if @frame continues it, else a new and empty one, or NULL. */
static struct gmfs_pin_run *gmfs_pin_run(struct gmfs_pin *pin, u64 frame)
{
	struct gmfs_pin_run *run = pin->nr ? &pin->runs[pin->nr - 1] : NULL;
	u32 block = frame / GUESTMEMFS_BLOCK_PAGES;
	unsigned long pfn = PHYS_PFN(gmfs_block_phys(&pin->pool->tables, block)) +
			    frame % GUESTMEMFS_BLOCK_PAGES;

	if (run && run->end == frame && run->pfn + (run->end - run->first) == pfn)
		return run;
	if (pin->nr == pin->max) {
		u32 max = max(2 * pin->max, 4U);

		run = kvrealloc(pin->runs, array_size(max, sizeof(*run)), GFP_KERNEL_ACCOUNT);
		if (!run)
			return NULL;
		pin->runs = run;
		pin->max = max;
	}
	run = &pin->runs[pin->nr++];
	*run = (struct gmfs_pin_run){
		.index	= pin->pin.npages,
		.pfn	= pfn,
		.first	= frame,
		.end	= frame,
	};
	return run;
}

/* Adds frames to a pin. After a failure gmfs_pin_run.end says which of them have been added. */
static int gmfs_pin_frames(struct gmfs_pin *pin, u64 frame, u64 end)
{
	struct gmfs_pin_run *run = gmfs_pin_run(pin, frame);
	int err = run ? 1 : -ENOMEM;

	while (err > 0) {
		scoped_guard(mutex, &pin->pool->lock)
			err = gmfs_pins_add(&pin->pool->pins, &run->end, end);
		cond_resched();
	}
	if (!err)
		pin->pin.npages += end - frame;
	return err;
}

/* Pins pages from @at on, as many as one entry of a page table could map. Advances @at. */
static int gmfs_pin_entry(struct gmfs_pin *pin, struct inode *inode, pgoff_t *at, pgoff_t last)
{
	unsigned long orders = BIT(PMD_ORDER) | BIT(0);
	struct gmfs_entry entry;
	pgoff_t end;
	u64 frame;
	int err;

	/* Allocate no more than the blocks that are pinned. */
	if (IS_ALIGNED(*at, 1UL << PUD_ORDER) && last - *at >= 1UL << PUD_ORDER)
		orders |= BIT(PUD_ORDER);
	orders = gmfs_file_orders(inode, *at, orders);
	if (!orders)
		return -EINVAL;
	err = gmfs_file_entry(inode, *at, orders, GMFS_ENTRY_SHARED, &entry);
	if (err)
		return err;
	end = min(entry.first + (1UL << entry.order), (u64)last);
	frame = (u64)entry.block * GUESTMEMFS_BLOCK_PAGES +
		(*at - round_down(entry.first, GUESTMEMFS_BLOCK_PAGES));
	err = gmfs_pin_frames(pin, frame, frame + (end - *at));
	if (!err)
		*at = end;
	return err;
}

static int gmfs_pin_all(struct gmfs_pin *pin, struct inode *inode, pgoff_t first, pgoff_t last)
{
	struct rw_semaphore *lock = &inode->i_mapping->invalidate_lock;
	int err;

	if (first >= last || last > DIV_ROUND_UP(i_size_read(inode), PAGE_SIZE))
		return -EINVAL;
	while (first < last) {
		err = down_read_killable(lock);
		if (err)
			return err;
		err = gmfs_pin_entry(pin, inode, &first, last);
		up_read(lock);
		/* More blocks have to be zeroed, and another task waits for the lock. */
		if (err == -EINPROGRESS)
			err = 0;
		if (err)
			return err;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

/**
 * gmfs_pin_pages - pin pages of a file
 * @file: the file, open; the pin does not keep it
 * @first: first page
 * @last: page after the last one
 *
 * Locks nothing for the whole part: pages that the file loses meanwhile, after they have been
 * pinned, stay pinned.
 *
 * Context: process context.
 * Return: the pin; -EINVAL if there is no page or one beyond the end of the file, -EFAULT if a page
 * is private, -EINTR at a fatal signal, -ENOMEM, or an error of gmfs_file_entry(). Blocks that were
 * allocated before an error stay in the file.
 */
struct gmfs_pin *gmfs_pin_pages(struct file *file, pgoff_t first, pgoff_t last)
{
	struct inode *inode = file_inode(file);
	struct gmfs_pin *pin = kzalloc_obj(*pin, GFP_KERNEL_ACCOUNT);
	int err;

	if (!pin)
		return ERR_PTR(-ENOMEM);
	pin->pool = GUESTMEMFS_SB(inode->i_sb);
	err = gmfs_pin_all(pin, inode, first, last);
	if (!err)
		return pin;
	gmfs_unpin_pages(pin);
	return ERR_PTR(err);
}

/* Ends inherited pins on a part of the frames of a pin that a device has used. */
static void gmfs_pin_inherit(struct gmfs_pin *pin, const struct gmfs_pin_run *run)
{
	struct gmfs_pool *pool = pin->pool;
	u64 at = run->first;
	bool more = true;

	while (more) {
		scoped_guard(mutex, &pool->lock)
			more = pool->loaded && !pool->frozen && !pool->tables.read_only &&
			       gmfs_persist_remove(&pool->tables, &at, run->end, 0, true) > 0;
		cond_resched();
	}
}

/*
 * Ends the inherited pins that this pin has taken the place of. They stay, until the file unpins
 * them, if the pool is frozen or not mounted, and if the pin table is full and adjacent frames stay
 * pinned.
 */
static void gmfs_pin_end_inherited(struct gmfs_pin *pin)
{
	struct gmfs_pool *pool = pin->pool;
	u32 i;

	if (!pin->pin.used || !READ_ONCE(pool->persist.inherited) ||
	    !down_read_trylock(&pool->changes))
		return;
	for (i = 0; i < pin->nr; i++)
		gmfs_pin_inherit(pin, &pin->runs[i]);
	up_read(&pool->changes);
}

/**
 * gmfs_unpin_pages - undo gmfs_pin_pages()
 * @pin: the pin, freed here
 *
 * Context: process context. Waits neither for a thaw nor for locks of a file, but may wait for
 * memory, and for the end of a mount of the pool. The file may be gone, and the pool unmounted.
 */
void gmfs_unpin_pages(struct gmfs_pin *pin)
{
	struct gmfs_pool *pool = pin->pool;
	u32 i;

	gmfs_pin_end_inherited(pin);
	for (i = 0; i < pin->nr; i++) {
		const struct gmfs_pin_run *run = &pin->runs[i];
		u64 at = run->first;
		bool more = true;

		while (more) {
			scoped_guard(mutex, &pool->lock)
				more = gmfs_pins_remove(&pool->pins, &at, run->end);
			cond_resched();
		}
		gmfs_pool_settle(pool, run->first / GUESTMEMFS_BLOCK_PAGES,
				 DIV_ROUND_UP(run->end, GUESTMEMFS_BLOCK_PAGES));
	}
	kvfree(pin->runs);
	kfree(pin);
}

/*
 * A file may have more ranges of pinned frames than blocks, while half of the pin table is free.
 * All files together may not.
 */
#define GMFS_FEW_PINS	64

/* Makes the pins of @pin persistent. @pin keeps those that were not. */
static int gmfs_pin_persist(struct gmfs_pin *pin, struct inode *inode)
{
	u32 max = min(GUESTMEMFS_I(inode)->map->blocks, S32_MAX);
	struct gmfs_pool *pool = pin->pool;
	int err = 0;
	u32 i;

	if (READ_ONCE(pool->persist.nr) < pool->tables.nr_pins / 2)
		max += GMFS_FEW_PINS;
	for (i = 0; i < pin->nr && !err; i++) {
		struct gmfs_pin_run *run = &pin->runs[i];

		do {
			scoped_guard(mutex, &pool->lock)
				err = gmfs_persist_add(&pool->tables, &run->first, run->end,
						       inode->i_ino, max);
			if (err > 0 && fatal_signal_pending(current))
				err = -EINTR;
			cond_resched();
		} while (err > 0);
	}
	return err;
}

/**
 * gmfs_pin_persistently - pin pages of a file until they are unpinned, also across a kexec
 * @file: the file, open
 * @first: first page
 * @last: page after the last one
 *
 * The file has the pins, and loses them when it is freed. Pages that have a persistent pin keep it.
 * Pages that have got one before an error keep it.
 *
 * Context: process context.
 * Return: 0; -EOPNOTSUPP if the pool has been made by a kernel without persistent pins, -ENOSPC if
 * the pin table has no room, -EBUSY if the pool is frozen for a kexec, -EROFS, or an error of
 * gmfs_pin_pages().
 */
int gmfs_pin_persistently(struct file *file, pgoff_t first, pgoff_t last)
{
	struct inode *inode = file_inode(file);
	struct gmfs_pool *pool = GUESTMEMFS_SB(inode->i_sb);
	struct gmfs_pin *pin;
	int err;

	if (sb_rdonly(inode->i_sb))
		return -EROFS;
	if (!pool->tables.nr_pins)
		return -EOPNOTSUPP;
	pin = gmfs_pin_pages(file, first, last);
	if (IS_ERR(pin))
		return PTR_ERR(pin);
	err = gmfs_change_begin(pool);
	if (!err) {
		err = gmfs_pin_persist(pin, inode);
		gmfs_change_end(pool);
	}
	gmfs_unpin_pages(pin);
	return err;
}

/* gmfs_unpin_persistent() with all locks held but gmfs_pool.lock. */
static int gmfs_unpin_part(struct inode *inode, pgoff_t first, pgoff_t last)
{
	struct gmfs_pool *pool = GUESTMEMFS_SB(inode->i_sb);
	struct gmfs_tables *t = &pool->tables;
	struct gmfs_run run;
	u64 frame, at, part;
	int err;

	for (; first < last; first += part) {
		scoped_guard(mutex, &pool->lock) {
			gmfs_map_lookup(t, GUESTMEMFS_I(inode)->map,
					first / GUESTMEMFS_BLOCK_PAGES, &run);
			part = (run.logical + run.count) * GUESTMEMFS_BLOCK_PAGES;
			part = min(last, part) - first;
			if (run.block == GMFS_NO_BLOCK)
				continue;
			frame = (u64)run.block * GUESTMEMFS_BLOCK_PAGES +
				first % GUESTMEMFS_BLOCK_PAGES;
			at = frame;
			err = gmfs_persist_remove(t, &at, frame + part, inode->i_ino, false);
			if (err < 0)
				return err;
			part = at - frame;
		}
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

/**
 * gmfs_unpin_persistent - remove persistent pins from pages of a file
 * @inode: the file
 * @first: first page
 * @last: page after the last one; may be beyond the end of the file
 *
 * Pages without a persistent pin stay as they are.
 *
 * Context: process context.
 * Return: 0, -EBUSY if the pool is frozen for a kexec, -EROFS, -EINTR at a fatal signal, or -ENOSPC
 * if the pages are between others and the pin table has no room to record the pages on both sides.
 */
int gmfs_unpin_persistent(struct inode *inode, pgoff_t first, pgoff_t last)
{
	struct gmfs_pool *pool = GUESTMEMFS_SB(inode->i_sb);
	int err;

	if (sb_rdonly(inode->i_sb))
		return -EROFS;
	err = gmfs_change_begin(pool);
	if (err)
		return err;
	/*
	 * The blocks of the file stay where they are, so that none of them is detached meanwhile.
	 */
	err = down_read_killable(&inode->i_mapping->invalidate_lock);
	if (!err) {
		down_read(&GUESTMEMFS_I(inode)->map_lock);
		err = gmfs_unpin_part(inode, first, min(last, GMFS_MAX_PAGE));
		up_read(&GUESTMEMFS_I(inode)->map_lock);
		up_read(&inode->i_mapping->invalidate_lock);
	}
	gmfs_change_end(pool);
	return err;
}

/**
 * gmfs_unpin_all_persistent - remove all persistent pins of a file
 * @inode: the file
 *
 * Also from frames that the file has lost since they were pinned.
 *
 * Context: process context.
 * Return: 0, -EBUSY if the pool is frozen for a kexec, -EROFS, or -EINTR at a fatal signal.
 */
int gmfs_unpin_all_persistent(struct inode *inode)
{
	struct gmfs_pool *pool = GUESTMEMFS_SB(inode->i_sb);
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	int err;

	if (sb_rdonly(inode->i_sb))
		return -EROFS;
	err = gmfs_change_begin(pool);
	if (err)
		return err;
	down_read(&gi->map_lock);
	gmfs_pool_drop_pins(pool, inode->i_ino, gi->map);
	up_read(&gi->map_lock);
	gmfs_change_end(pool);
	return 0;
}
