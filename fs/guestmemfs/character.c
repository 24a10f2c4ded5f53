// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the pages of a file are: private to the guest, or shared with the host.
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
 * Context: process context. Without invalidate_lock the answer may be of the past.
 * Return: true if it is, false if it is shared.
 */
bool gmfs_file_is_private(struct inode *inode, pgoff_t page)
{
	struct gmfs_tables *t = &GUESTMEMFS_SB(inode->i_sb)->tables;
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	struct gmfs_state state;

	/* Nothing of the pool has ever been anything else. */
	if (!READ_ONCE(t->states))
		return false;
	guard(rwsem_read)(&gi->map_lock);
	gmfs_map_state(t, gi->map, page, &state);
	return state.converted != gmfs_private_by_default(inode);
}

/**
 * gmfs_file_is - is a part of a file all private, or all shared
 * @inode: the file
 * @first: first page
 * @last: page after the last one
 * @private: private, or else shared
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
 * gmfs_choose_character - what a file is before anything of it is converted
 * @inode: the file
 * @private: private, or else shared
 *
 * The first one to choose does so for all; the file may have contents already.
 *
 * Return: 0; -EEXIST if another one was chosen before, -EROFS, -EBUSY (a kexec has begun), or
 * -EAGAIN (it would be private, and something holds a page).
 */
int gmfs_choose_character(struct inode *inode, bool private)
{
	const u32 chosen = GUESTMEMFS_INODE_CHOSEN | (private ? GUESTMEMFS_INODE_PRIVATE : 0);
	struct gmfs_pool *pool = GUESTMEMFS_SB(inode->i_sb);
	struct guestmemfs_inode *di = &pool->tables.inodes[inode->i_ino];
	struct address_space *mapping = inode->i_mapping;
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
		if (gmfs_first_pin(inode, 0, ULONG_MAX))
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

/**
 * gmfs_reclaim_private - private frames are on their way to the host
 * @inode: the file; its map_lock is held exclusively, or nobody else has it
 * @first: first page
 * @last: page after the last one
 *
 * Nothing of it is mapped any more.
 */
void gmfs_reclaim_private(struct inode *inode, pgoff_t first, pgoff_t last)
{
	struct gmfs_tables *t = &GUESTMEMFS_SB(inode->i_sb)->tables;
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	bool by_default = gmfs_private_by_default(inode);
	struct gmfs_state state;
	struct gmfs_run run;

	if (!t->states)
		return;
	for (; first < last; first = state.end) {
		gmfs_map_state(t, gi->map, first, &state);
		if (!state.allocated || state.converted == by_default)
			continue;
		gmfs_map_lookup(t, gi->map, first / GUESTMEMFS_BLOCK_PAGES, &run);
		state.end = min3(state.end, last,
				 (pgoff_t)(run.logical + run.count) * GUESTMEMFS_BLOCK_PAGES);
		gmem_reclaim(PHYS_PFN(gmfs_block_phys(t, run.block)) +
			     first % GUESTMEMFS_BLOCK_PAGES, state.end - first);
	}
}
