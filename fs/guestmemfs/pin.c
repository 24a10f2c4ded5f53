// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pins: use of frames other than through page tables, such as DMA. They are listed in
 * gmfs_inode.pins, as there is no struct page with a reference count. So far only the tests
 * pin pages, see tests/pin_debugfs.c.
 *
 * Only shared pages are pinned, and a pin allocates those that have no frame. Pinned pages
 * cannot become private. A pinned block that is punched out of the file is marked
 * GUESTMEMFS_EXTENT_TRUNCATED: it cannot be faulted in or pinned any more, and the last unpin
 * frees it. A pin has a reference on the file, so that an unlinked file is freed after its
 * pins.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/pagemap.h>

#include "internal.h"

/* Checks that all pages are shared and none is truncated, and allocates blocks for holes. */
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
 * gmfs_pin_pages - pin pages of a file
 * @file: the file, open
 * @pin: filled in here; must stay valid until gmfs_unpin_pages()
 * @first: first page
 * @last: page after the last one
 *
 * Context: process context.
 * Return: 0; -EINVAL if there is no page or one beyond the end of the file, -EFAULT if a page
 * is private or being truncated, or an error of gmfs_file_entry().
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
 * gmfs_unpin_pages - undo gmfs_pin_pages()
 * @pin: the pin that it filled in
 *
 * Context: process context; may drop the last reference on the file.
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
