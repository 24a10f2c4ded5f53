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
