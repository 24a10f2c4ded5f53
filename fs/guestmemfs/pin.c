// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who holds frames beyond page tables: counted here, since there is no page
 * to count on.
 *
 * A pin is of shared pages that have frames. While there is one, its pages do
 * not become private, and blocks that are punched out of the file are on their
 * way out (GUESTMEMFS_EXTENT_TRUNCATED): nobody can fault them in, and they are
 * free when the last pin has gone. It holds the file, so that one without a name
 * goes after its pins.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/pagemap.h>

#include "internal.h"

/**
 * gmfs_first_pin - the first pin of a part of a file
 * @inode: the file; its invalidate_lock is held
 * @first: first page
 * @last: page after the last one
 *
 * Return: the pin whose first page in the part comes first, or NULL.
 */
struct gmfs_pin *gmfs_first_pin(struct inode *inode, pgoff_t first, pgoff_t last)
{
	struct gmfs_pin *pin, *found = NULL;

	lockdep_assert_held(&inode->i_mapping->invalidate_lock);
	list_for_each_entry(pin, &GUESTMEMFS_I(inode)->pins, node)
		if (pin->first < last && first < pin->last &&
		    (!found || pin->first < found->first))
			found = pin;
	return found;
}

/* All pages are shared, and none is on its way out; the holes are filled. */
static int gmfs_pin_prepare(struct inode *inode, pgoff_t first, pgoff_t last)
{
	u64 logical = first / GUESTMEMFS_BLOCK_PAGES;
	u64 end = DIV_ROUND_UP(last, GUESTMEMFS_BLOCK_PAGES);
	struct gmfs_entry entry;
	int err = 0;

	if (first >= last || last > DIV_ROUND_UP(i_size_read(inode), PAGE_SIZE))
		return -EINVAL;
	if (!gmfs_file_is(inode, first, last, false))
		return -EFAULT;
	for (; !err && logical < end; logical++)
		err = gmfs_file_entry(inode, logical * GUESTMEMFS_BLOCK_PAGES, BIT(0), false,
				      &entry);
	return err;
}

/**
 * gmfs_pin_settle - free what could have been freed before
 * @inode: the file; its invalidate_lock is held
 * @logical: first block
 * @end: block after the last one
 *
 * When the last pin went, a kexec was in progress, or memory was short.
 */
void gmfs_pin_settle(struct inode *inode, u64 logical, u64 end)
{
	struct gmfs_pool *pool = GUESTMEMFS_SB(inode->i_sb);
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	u32 free;

	if (!READ_ONCE(gi->truncating))
		return;
	guard(rwsem_write)(&gi->map_lock);
	if (gmfs_pool_begin(pool))
		return;
	free = pool->tables.free_blocks;
	gmfs_pin_free_blocks(inode, logical, end);
	gmfs_trace_blocks(pool, inode->i_ino, free);
	gmfs_pool_end(pool);
	gmfs_update_blocks(inode);
}

/**
 * gmfs_pin_pages - hold frames of a file
 * @file: the file, open
 * @pin: filled in here, the caller's until gmfs_unpin_pages()
 * @first: first page
 * @last: page after the last one
 *
 * Context: process context.
 * Return: 0; -EINVAL beyond the end of the file, -EFAULT if a page is private or being
 * truncated, or what allocating gives.
 */
int gmfs_pin_pages(struct file *file, struct gmfs_pin *pin, pgoff_t first, pgoff_t last)
{
	struct inode *inode = file_inode(file);
	int err;

	filemap_invalidate_lock(inode->i_mapping);
	err = gmfs_pin_prepare(inode, first, last);
	if (!err) {
		pin->file = get_file(file);
		pin->first = first;
		pin->last = last;
		list_add_tail(&pin->node, &GUESTMEMFS_I(inode)->pins);
	}
	filemap_invalidate_unlock(inode->i_mapping);
	return err;
}

/**
 * gmfs_pin_free_blocks - free what is on its way out and nobody holds
 * @inode: the file; its invalidate_lock is held, and map_lock exclusively
 * @logical: first block
 * @end: block after the last one
 *
 * What cannot be freed for want of memory is freed when it is in somebody's way, or
 * by the next mount.
 *
 * Context: between gmfs_pool_begin() and gmfs_pool_end().
 */
void gmfs_pin_free_blocks(struct inode *inode, u64 logical, u64 end)
{
	struct gmfs_tables *t = &GUESTMEMFS_SB(inode->i_sb)->tables;
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	struct gmfs_run run;
	struct gmfs_pin *pin;
	u64 held;

	for (; logical < end; logical += run.count) {
		gmfs_map_lookup(t, gi->map, logical, &run);
		run.count = min(run.count, end - logical);
		if (!(run.flags & GUESTMEMFS_EXTENT_TRUNCATED))
			continue;
		pin = gmfs_first_pin(inode, logical * GUESTMEMFS_BLOCK_PAGES,
				     (logical + run.count) * GUESTMEMFS_BLOCK_PAGES);
		held = pin ? pin->first / GUESTMEMFS_BLOCK_PAGES : logical + run.count;
		if (held > logical) {
			/* In one piece up to there: a whole extent never lacks room. */
			run.count = held - logical;
			gmfs_map_edit(t, gi->map, GMFS_READY, logical, run.count);
		} else {
			run.count = min(run.count, DIV_ROUND_UP(pin->last, GUESTMEMFS_BLOCK_PAGES) -
					logical);
		}
	}
}

/**
 * gmfs_unpin_pages - let go of frames
 * @pin: what gmfs_pin_pages() filled in
 *
 * Context: process context; may be the end of the inode.
 */
void gmfs_unpin_pages(struct gmfs_pin *pin)
{
	struct inode *inode = file_inode(pin->file);

	filemap_invalidate_lock(inode->i_mapping);
	list_del(&pin->node);
	gmfs_pin_settle(inode, pin->first / GUESTMEMFS_BLOCK_PAGES,
			DIV_ROUND_UP(pin->last, GUESTMEMFS_BLOCK_PAGES));
	filemap_invalidate_unlock(inode->i_mapping);
	fput(pin->file);
}
