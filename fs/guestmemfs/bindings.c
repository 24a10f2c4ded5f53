// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memslots that are bound to a file (gmfs_inode.bindings): pages are unmapped from their guests
 * before they are converted, moved or freed. gmem.c adds and removes bindings.
 */
#include <linux/fs.h>
#include <linux/gmem_provider.h>
#include <linux/lockdep.h>
#include <linux/minmax.h>

#include "bindings.h"
#include "internal.h"

/**
 * gmfs_bindings_invalidate_begin - unmap a part of a file from all guests
 * @inode: the file; its invalidate_lock is held exclusively until
 *	gmfs_bindings_invalidate_end() of the same part
 * @first: first page
 * @last: page after the last one
 */
void gmfs_bindings_invalidate_begin(struct inode *inode, pgoff_t first, pgoff_t last)
{
	struct gmem_binding *b;

	lockdep_assert_held_write(&inode->i_mapping->invalidate_lock);
	list_for_each_entry(b, &GUESTMEMFS_I(inode)->bindings, node)
		if (gmfs_binding_touches(b, first, last))
			b->ops->invalidate_begin(b, first, last);
}

/**
 * gmfs_bindings_invalidate_end - let guests map a part of a file again
 * @inode: the file
 * @first: first page
 * @last: page after the last one
 */
void gmfs_bindings_invalidate_end(struct inode *inode, pgoff_t first, pgoff_t last)
{
	struct gmem_binding *b;

	lockdep_assert_held_write(&inode->i_mapping->invalidate_lock);
	list_for_each_entry(b, &GUESTMEMFS_I(inode)->bindings, node)
		if (gmfs_binding_touches(b, first, last))
			b->ops->invalidate_end(b, first, last);
}

/**
 * gmfs_bindings_make_private - can frames be private in hardware
 * @inode: the file; its invalidate_lock is held exclusively
 * @first: first page
 * @last: page after the last one
 *
 * Return: true if a guest has bound a page whose private frames are private in hardware.
 */
bool gmfs_bindings_make_private(struct inode *inode, pgoff_t first, pgoff_t last)
{
	const struct gmem_binding *b;

	lockdep_assert_held_write(&inode->i_mapping->invalidate_lock);
	list_for_each_entry(b, &GUESTMEMFS_I(inode)->bindings, node)
		if (b->ops->make_private && gmfs_binding_touches(b, first, last))
			return true;
	return false;
}

/**
 * gmfs_gmem_contested - is a page bound by two VMs that use private memory
 * @inode: the file; its invalidate_lock is held
 * @first: first page of the part to look at
 * @last: page after the last one
 * @page: filled in with the first such page
 *
 * The list is sorted by first page. The bindings of one VM do not overlap, as a VM with private
 * memory has one address space. So a binding need only be compared with the one before it that
 * ends last: if that one belongs to the same VM, it ends before this binding begins, and so do
 * all others before it.
 *
 * Return: true if there is such a page.
 */
bool gmfs_gmem_contested(struct inode *inode, pgoff_t first, pgoff_t last, pgoff_t *page)
{
	const struct gmem_binding *b, *longest = NULL;

	lockdep_assert_held(&inode->i_mapping->invalidate_lock);
	list_for_each_entry(b, &GUESTMEMFS_I(inode)->bindings, node) {
		if (b->start >= last)
			break;
		if (!b->uses_private || !gmfs_binding_touches(b, first, last))
			continue;
		if (longest && gmfs_bindings_contest(longest, b) &&
		    max(b->start, first) < longest->end) {
			*page = max(b->start, first);
			return true;
		}
		if (!longest || b->end > longest->end)
			longest = b;
	}
	return false;
}
