// SPDX-License-Identifier: GPL-2.0-only
/*
 * Converting pages of a file between private (accessible to the guest only) and shared
 * (accessible to the host as well).
 */
#include <linux/fs.h>
#include <linux/gmem_provider.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <uapi/linux/guestmemfs.h>

#include "internal.h"

/*
 * All that can fail comes before gmfs_reclaim_private(): if frames were reclaimed and stayed
 * private, the guest would lose their contents.
 */
static int gmfs_convert_store(struct inode *inode, pgoff_t first, pgoff_t last, bool private)
{
	struct gmfs_pool *pool = GUESTMEMFS_SB(inode->i_sb);
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	struct gmfs_edit ed = {
		.t		= &pool->tables,
		.map		= gi->map,
		.ino		= inode->i_ino,
		.op		= GMFS_CONVERT,
		.first		= first,
		.last		= last,
		.converted	= private != gmfs_private_by_default(inode),
	};
	int err;

	guard(rwsem_write)(&gi->map_lock);
	gmfs_edit_count(&ed);
	scoped_guard(mutex, &pool->lock)
		err = gmfs_edit_begin(&ed);
	if (err)
		return err;
	if (!private)
		gmfs_reclaim_private(inode, first, last);
	gmfs_pool_edit(pool, inode->i_ino, &ed);
	gmfs_converted_update(&gi->converted, ed.t, ed.map, first / GUESTMEMFS_BLOCK_PAGES,
			      DIV_ROUND_UP(last, GUESTMEMFS_BLOCK_PAGES),
			      GFP_KERNEL_ACCOUNT | __GFP_NOFAIL);
	return 0;
}

/**
 * gmfs_convert - make a part of a file private or shared, in place
 * @inode: the file
 * @first: first page
 * @last: page after the last one
 * @private: true for private, false for shared
 * @conflict: with -EAGAIN: the first page that is pinned; with -EEXIST: the first page that is
 *	bound by two VMs with private memory
 *
 * Unmaps the part from the host's page tables and then from those of the guests, and stores
 * the new state. A fault of the host waits for invalidate_lock. A fault of a guest waits for it
 * when it looks up the frame, and is then repeated.
 * Either all pages are converted or none.
 *
 * Pages outside of the part are unmapped only if a huge page table entry maps them together
 * with a page of the part, and cannot be split: KVM splits those of its TDP MMU. If a larger entry
 * has become possible, the next fault in the part installs it: KVM replaces its page table, and
 * gmfs_retract() that of the host. Nothing more is unmapped here for that, because a larger entry
 * may turn out to be impossible, and a guest that has accepted private pages would lose them.
 *
 * Context: process context.
 * Return: 0, -EINVAL beyond the end of the file, or what the uapi header lists.
 */
int gmfs_convert(struct inode *inode, pgoff_t first, pgoff_t last, bool private, pgoff_t *conflict)
{
	struct address_space *mapping = inode->i_mapping;
	struct gmfs_pool *pool = GUESTMEMFS_SB(inode->i_sb);
	struct gmfs_pinned pinned;
	int err;

	if (sb_rdonly(inode->i_sb))
		return -EROFS;
	/* fallocate() allocates, and undoes that if it fails, with i_rwsem held exclusively. */
	err = down_read_killable(&inode->i_rwsem);
	if (err)
		return err;
	err = -EINVAL;
	if (last > DIV_ROUND_UP(i_size_read(inode), PAGE_SIZE))
		goto out_inode;
	err = 0;
	if (gmfs_file_is(inode, first, last, private))
		goto out_inode;
	err = gmfs_change_begin(pool);
	if (err)
		goto out_inode;
	filemap_invalidate_lock(mapping);
	err = 0;
	if (gmfs_file_is(inode, first, last, private))
		goto out;
	err = -EEXIST;
	if (private && gmfs_gmem_contested(inode, first, last, conflict))
		goto out;
	unmap_mapping_range(mapping, (loff_t)first << PAGE_SHIFT,
			    (loff_t)(last - first) << PAGE_SHIFT, 1);
	if (private && gmfs_file_pinned(inode, first, last, &pinned)) {
		*conflict = pinned.first;
		err = -EAGAIN;
		goto out;
	}
	gmfs_bindings_invalidate_begin(inode, first, last);
	err = gmfs_convert_store(inode, first, last, private);
	gmfs_bindings_invalidate_end(inode, first, last);
out:
	filemap_invalidate_unlock(mapping);
	gmfs_change_end(pool);
out_inode:
	up_read(&inode->i_rwsem);
	return err;
}
