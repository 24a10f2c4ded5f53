// SPDX-License-Identifier: GPL-2.0-only
/*
 * The character of a file's pages: private to the guest, or shared with the host.
 */
#include <linux/fs.h>
#include <linux/gmem_provider.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/pagemap.h>

#include "internal.h"

/**
 * gmfs_file_is_private - is a page private
 * @inode: the file
 * @page: the page
 *
 * Context: any; takes no lock. Without invalidate_lock the answer may be out of date.
 * Return: true if it is, false if it is shared.
 */
bool gmfs_file_is_private(struct inode *inode, pgoff_t page)
{
	/* Without the feature of converted pages, no file of the pool has private pages. */
	if (!READ_ONCE(GUESTMEMFS_SB(inode->i_sb)->tables.has_states))
		return false;
	return gmfs_converted_has(&GUESTMEMFS_I(inode)->converted, page) !=
	       gmfs_private_by_default(inode);
}

/**
 * gmfs_file_is - is a part of a file all private, or all shared
 * @inode: the file
 * @first: first page
 * @last: page after the last one
 * @private: true for private, false for shared
 *
 * Return: true if all pages have that character.
 */
bool gmfs_file_is(struct inode *inode, pgoff_t first, pgoff_t last, bool private)
{
	struct gmfs_tables *t = &GUESTMEMFS_SB(inode->i_sb)->tables;
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	bool by_default = gmfs_private_by_default(inode), is_private;
	struct gmfs_state state;

	guard(rwsem_read)(&gi->map_lock);
	for (; first < last; first = state.end) {
		gmfs_map_state(t, gi->map, first, &state);
		is_private = state.converted != by_default;
		if (is_private != private)
			return false;
	}
	return true;
}

/**
 * gmfs_choose_character - choose the character that a file's pages have before any conversion
 * @inode: the file
 * @private: true for private, false for shared
 *
 * The first choice is final. The file may have contents already.
 *
 * Return: 0; -EEXIST if the other character was chosen before, -EROFS, -EBUSY (a kexec has
 * begun), or -EAGAIN (private was asked for, and a page has a DMA pin).
 */
int gmfs_choose_character(struct inode *inode, bool private)
{
	const u32 chosen = GUESTMEMFS_INODE_CHOSEN | (private ? GUESTMEMFS_INODE_PRIVATE : 0);
	struct gmfs_pool *pool = GUESTMEMFS_SB(inode->i_sb);
	struct guestmemfs_inode *di = &pool->tables.inodes[inode->i_ino];
	struct address_space *mapping = inode->i_mapping;
	struct gmfs_pinned pinned;
	int err = 0;

	if (sb_rdonly(inode->i_sb))
		return -EROFS;
	filemap_invalidate_lock(mapping);
	if (le32_to_cpu(di->flags) & GUESTMEMFS_INODE_CHOSEN) {
		if (gmfs_private_by_default(inode) != private)
			err = -EEXIST;
		goto out;
	}
	if (private) {
		unmap_mapping_range(mapping, 0, 0, 1);
		if (gmfs_file_pinned(inode, 0, ULONG_MAX, &pinned))
			err = -EAGAIN;
	}
	if (!err)
		err = gmfs_pool_begin(pool);
	if (err)
		goto out;
	gmfs_feature_states(&pool->tables);
	WRITE_ONCE(di->flags, di->flags | cpu_to_le32(chosen));
	gmfs_pool_end(pool);
out:
	filemap_invalidate_unlock(mapping);
	return err;
}

static void gmfs_reclaim_frames(struct gmfs_pool *pool, unsigned long pfn, unsigned long nr)
{
	unsigned long left;

	for (; nr; pfn += nr - left + 1, nr = left - 1) {
		left = gmem_reclaim(pfn, nr);
		if (!left)
			return;
		gmfs_poison_lose(pool, PFN_PHYS(pfn + nr - left));
	}
}

/**
 * gmfs_reclaim_private - reclaim private frames from the hypervisor
 * @inode: the file; its invalidate_lock and its map_lock are held exclusively
 * @first: first page
 * @last: page after the last one
 *
 * For frames that are about to be shared, zeroed or freed, or whose binding is removed. No page
 * table maps them any more. A frame that the hypervisor does not get back is poisoned before this
 * returns, as one with a memory error: nobody uses it again, nor does the next kernel.
 *
 * Does nothing if no guest has bound the pages whose private frames are private in hardware: to ask
 * the hypervisor for each of them would be slow.
 */
void gmfs_reclaim_private(struct inode *inode, pgoff_t first, pgoff_t last)
{
	struct gmfs_pool *pool = GUESTMEMFS_SB(inode->i_sb);
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	bool by_default = gmfs_private_by_default(inode);
	struct gmfs_tables *t = &pool->tables;
	struct gmfs_state state;
	struct gmfs_run run;

	lockdep_assert_held_write(&gi->map_lock);
	if (!gmfs_bindings_make_private(inode, first, last))
		return;
	for (; first < last; first = state.end) {
		cond_resched();
		gmfs_map_state(t, gi->map, first, &state);
		if (!state.allocated || state.converted == by_default)
			continue;
		gmfs_map_lookup(t, gi->map, first / GUESTMEMFS_BLOCK_PAGES, &run);
		state.end = min3(state.end, last,
				 (pgoff_t)(run.logical + run.count) * GUESTMEMFS_BLOCK_PAGES);
		gmfs_reclaim_frames(pool, PHYS_PFN(gmfs_block_phys(t, run.block)) +
				    first % GUESTMEMFS_BLOCK_PAGES, state.end - first);
	}
}
