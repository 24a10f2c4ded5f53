// SPDX-License-Identifier: GPL-2.0-only
/*
 * Punching holes, zeroing ranges and changing the size of a file.
 */
#include <linux/fs.h>
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/string.h>

#include <trace/events/guestmemfs.h>

#include "internal.h"

/**
 * struct gmfs_part - bytes of a block that are to be zeroed
 * @window: a way to reach them, NULL if there is nothing to zero
 * @len: number of bytes
 * @pos: for gmfs_zero_mapped(): where the bytes are in the pool
 * @first: first page that has some of the bytes
 * @last: page after the last one
 * @private: some of these pages are private
 * @absent: for gmfs_absent_put(): the pages of a punch that become absent, NULL if none does
 * @absent_first: first of these pages
 * @absent_last: page after the last one
 */
struct gmfs_part {
	struct gmfs_window *window;
	size_t len;
	u64 pos;
	pgoff_t first;
	pgoff_t last;
	bool private;
	unsigned long *absent;
	pgoff_t absent_first;
	pgoff_t absent_last;
};

/*
 * Prepares to zero the bytes of a file from @from to @to, which are in one block. There is nothing
 * to do if they are in a hole, or if the whole block is zeroed anyway before it is mapped. If
 * @punch is set, prepares that the whole pages among them become absent.
 */
static int gmfs_part_prepare(struct inode *inode, loff_t from, loff_t to, bool punch,
			     struct gmfs_part *part)
{
	struct gmfs_tables *t = &GUESTMEMFS_SB(inode->i_sb)->tables;
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	struct gmfs_run run;
	int err = 0;

	if (from >= to)
		return 0;
	scoped_guard(rwsem_read, &gi->map_lock)
		gmfs_map_lookup(t, gi->map, from >> GUESTMEMFS_BLOCK_SHIFT, &run);
	if (run.block == GMFS_NO_BLOCK)
		return 0;
	part->first = from >> PAGE_SHIFT;
	part->last = DIV_ROUND_UP(to, PAGE_SIZE);
	part->absent_first = DIV_ROUND_UP(from, PAGE_SIZE);
	part->absent_last = to >> PAGE_SHIFT;
	if (punch)
		err = gmfs_absent_get(inode, part->absent_first, part->absent_last, &part->absent);
	if (err || test_bit(run.block, t->unzeroed))
		return err;
	part->private = !gmfs_file_is(inode, part->first, part->last, false);
	part->len = to - from;
	part->pos = ((u64)run.block << GUESTMEMFS_BLOCK_SHIFT) + (from & (GMFS_BLOCK_SIZE - 1));
	part->window = gmfs_window_prepare(gmfs_block_phys(t, run.block) +
					   (from & (GMFS_BLOCK_SIZE - 1)), part->len);
	return part->window ? 0 : -ENOMEM;
}

/* The kernel must not write to private pages before they are reclaimed. */
static void gmfs_part_zero(struct inode *inode, const struct gmfs_part *part)
{
	if (!part->window)
		return;
	if (part->private)
		gmfs_reclaim_private(inode, part->first, part->last);
	/* Page tables for a part of a block are there. */
	if (WARN_ON_ONCE(gmfs_window_map(part->window)))
		return;
	gmfs_zero_mapped(GUESTMEMFS_SB(inode->i_sb), part->window->va, part->pos, part->len);
	gmfs_window_unmap(part->window);
}

static void gmfs_part_end(struct inode *inode, struct gmfs_part *part, bool done)
{
	gmfs_absent_put(inode, part->absent_first, part->absent_last, part->absent, done);
	if (part->window)
		gmfs_window_put(part->window);
}

/**
 * struct gmfs_alter - a change of a file's size or contents
 * @inode: the file; its i_rwsem and invalidate_lock are held exclusively
 * @head: bytes to zero in place
 * @tail: more bytes to zero in place
 * @unmap: first page to unmap from all page tables, including those of hypervisors
 * @unmap_end: page after the last one, ULONG_MAX for all pages from @unmap on
 * @first: first whole block to free
 * @last: block after the last one to free
 * @rezero: first block to zero as a whole; all blocks up to @rezero_end are allocated
 * @rezero_end: block after the last one to zero
 * @size: new size of the file
 * @loses_bytes: the file loses bytes or blocks; false if only bytes beyond its end are zeroed
 * @punch: pages of @head and @tail may become absent
 * @idmap: idmap of the mount, for @attr
 * @attr: other attributes that setattr changes, NULL for none
 */
struct gmfs_alter {
	struct inode *inode;
	struct gmfs_part head;
	struct gmfs_part tail;
	pgoff_t unmap;
	pgoff_t unmap_end;
	u64 first;
	u64 last;
	u64 rezero;
	u64 rezero_end;
	loff_t size;
	bool loses_bytes;
	bool punch;
	struct mnt_idmap *idmap;
	const struct iattr *attr;
};

/*
 * Checks everything that can make a change fail, and begins the edit. A file that is in a session
 * must not lose anything.
 */
static int gmfs_alter_begin(struct gmfs_alter *alter, struct gmfs_edit *ed)
{
	struct gmfs_pool *pool = GUESTMEMFS_SB(alter->inode->i_sb);
	u64 at = alter->first;
	bool more = true;

	gmfs_edit_count(ed);
	while (more) {
		scoped_guard(mutex, &pool->lock)
			more = gmfs_edit_count_kept(ed, &at);
		cond_resched();
	}
	guard(mutex)(&pool->lock);
	if (alter->loses_bytes && gmfs_inode_in_session(pool, alter->inode->i_ino))
		return -EBUSY;
	return gmfs_edit_begin(ed);
}

/*
 * Marks whole blocks as unzeroed, so that each is zeroed before it is mapped again.
 * gmfs_file_zero() has made sure that no device can write to a block before it is zeroed.
 */
static void gmfs_alter_rezero(struct gmfs_alter *alter)
{
	struct gmfs_tables *t = &GUESTMEMFS_SB(alter->inode->i_sb)->tables;
	struct gmfs_run run;
	u64 logical;

	if (alter->rezero >= alter->rezero_end)
		return;
	gmfs_reclaim_private(alter->inode, alter->rezero * GUESTMEMFS_BLOCK_PAGES,
			     alter->rezero_end * GUESTMEMFS_BLOCK_PAGES);
	for (logical = alter->rezero; logical < alter->rezero_end; logical += run.count) {
		gmfs_map_lookup(t, GUESTMEMFS_I(alter->inode)->map, logical, &run);
		run.count = min(run.count, alter->rezero_end - logical);
		gmfs_mark_unzeroed(t, run.block, run.count);
		cond_resched();
	}
	gmfs_scrub_wake(GUESTMEMFS_SB(alter->inode->i_sb));
}

/* Zeroes the mapped parts, and stores the times, the size and the attributes. */
static void gmfs_alter_store(struct gmfs_alter *alter)
{
	struct gmfs_pool *pool = GUESTMEMFS_SB(alter->inode->i_sb);

	gmfs_part_zero(alter->inode, &alter->head);
	gmfs_part_zero(alter->inode, &alter->tail);
	if (alter->loses_bytes || alter->size != i_size_read(alter->inode))
		inode_set_mtime_to_ts(alter->inode, inode_set_ctime_current(alter->inode));
	i_size_write(alter->inode, alter->size);
	if (alter->attr)
		setattr_copy(alter->idmap, alter->inode, alter->attr);
	guard(mutex)(&pool->lock);
	gmfs_inode_store(alter->inode);
}

/* Changes everything or nothing: only gmfs_alter_begin() can fail. */
static int gmfs_alter_commit(struct gmfs_alter *alter)
{
	pgoff_t first = alter->first * GUESTMEMFS_BLOCK_PAGES;
	pgoff_t last = alter->last * GUESTMEMFS_BLOCK_PAGES;
	struct gmfs_inode *gi = GUESTMEMFS_I(alter->inode);
	struct gmfs_pool *pool = GUESTMEMFS_SB(alter->inode->i_sb);
	struct gmfs_edit ed = {
		.t	= &pool->tables,
		.map	= gi->map,
		.ino	= alter->inode->i_ino,
		.op	= GMFS_PUNCH,
		.first	= first,
		.last	= last,
	};
	int err;

	lockdep_assert_held_write(&alter->inode->i_mapping->invalidate_lock);
	guard(rwsem_write)(&gi->map_lock);
	err = gmfs_alter_begin(alter, &ed);
	if (err)
		return err;
	gmfs_reclaim_private(alter->inode, first, last);
	gmfs_alter_rezero(alter);
	gmfs_alter_store(alter);
	gmfs_absent_forget(alter->inode, alter->first, alter->last);
	gmfs_absent_forget(alter->inode, alter->rezero, alter->rezero_end);
	gmfs_pool_edit(pool, alter->inode->i_ino, &ed);
	gmfs_update_blocks(alter->inode);
	return 0;
}

/* Adds the pages of a part that must not stay mapped to the pages to unmap, which they adjoin. */
static void gmfs_alter_unmap_part(struct gmfs_alter *alter, const struct gmfs_part *part)
{
	if (!part->private && !part->absent)
		return;
	if (alter->unmap < alter->unmap_end) {
		alter->unmap = min(alter->unmap, part->first);
		alter->unmap_end = max(alter->unmap_end, part->last);
	} else {
		alter->unmap = part->first;
		alter->unmap_end = part->last;
	}
}

/*
 * Unmaps the pages that the punch takes away, and commits the change. Absent pages are in no page
 * table (absent.c says why). Pages that stay in the file are zeroed in place and stay mapped:
 * unmapping one would unmap the whole entry that maps it, of up to 1 GiB. Private pages are
 * unmapped even if they stay: the host cannot write to them before they are reclaimed, and the next
 * fault of the guest makes them private again.
 */
static int gmfs_alter_unmapped(struct gmfs_alter *alter)
{
	struct address_space *mapping = alter->inode->i_mapping;
	int err;

	gmfs_alter_unmap_part(alter, &alter->head);
	gmfs_alter_unmap_part(alter, &alter->tail);
	if (alter->unmap >= alter->unmap_end)
		return gmfs_alter_commit(alter);
	/* Unmap before the blocks are freed. */
	unmap_mapping_pages(mapping, alter->unmap,
			    alter->unmap_end == ULONG_MAX ? 0 : alter->unmap_end - alter->unmap,
			    true);
	gmfs_bindings_invalidate_begin(alter->inode, alter->unmap, alter->unmap_end);
	err = gmfs_alter_commit(alter);
	gmfs_bindings_invalidate_end(alter->inode, alter->unmap, alter->unmap_end);
	return err;
}

static int gmfs_alter(struct gmfs_alter *alter, loff_t head, loff_t head_end, loff_t tail,
		      loff_t tail_end)
{
	int err;

	err = gmfs_part_prepare(alter->inode, head, head_end, alter->punch, &alter->head);
	if (!err)
		err = gmfs_part_prepare(alter->inode, tail, tail_end, alter->punch, &alter->tail);
	if (!err)
		err = gmfs_alter_unmapped(alter);
	gmfs_part_end(alter->inode, &alter->tail, !err);
	gmfs_part_end(alter->inode, &alter->head, !err);
	return err;
}

/* Punches a hole with invalidate_lock held, after gmfs_absent_widen(). */
static int gmfs_punch_locked(struct inode *inode, loff_t start, loff_t end, bool unpinned)
{
	loff_t first = round_up(start, GMFS_BLOCK_SIZE), last = round_down(end, GMFS_BLOCK_SIZE);
	struct gmfs_alter alter = {
		.inode		= inode,
		.unmap		= first >> PAGE_SHIFT,
		.unmap_end	= last >> PAGE_SHIFT,
		.first		= first >> GUESTMEMFS_BLOCK_SHIFT,
		.last		= last >> GUESTMEMFS_BLOCK_SHIFT,
		.size		= i_size_read(inode),
		.loses_bytes	= true,
		.punch		= true,
	};
	struct gmfs_pinned pinned;

	if (unpinned && gmfs_file_pinned(inode, alter.unmap, alter.unmap_end, &pinned))
		return -EBUSY;
	return gmfs_alter(&alter, start, min(first, end), max(last, first), end);
}

/**
 * gmfs_file_punch - make a hole
 * @inode: the file; its i_rwsem is held exclusively
 * @start: first byte
 * @end: byte after the last one
 * @unpinned: only if none of the blocks has a pin
 *
 * Whole blocks are unmapped and freed, or detached if they have a DMA pin or a poisoned frame; the
 * rest of the range is zeroed in place. Whole pages of the rest become absent, unless they have a
 * DMA pin, and a block of which all pages are absent then is freed.
 *
 * Context: after gmfs_change_begin().
 * Return: 0, -EBUSY (a session preserves the file, or a block has a pin), -ENOMEM, or -ENOSPC (no
 * table entries to record which of the freed parts were converted, or no blocks to reserve for a
 * mapping in place of pinned ones), with nothing changed.
 */
int gmfs_file_punch(struct inode *inode, loff_t start, loff_t end, bool unpinned)
{
	struct address_space *mapping = inode->i_mapping;
	loff_t from = start, to = end;
	bool wider;
	int err;

	filemap_invalidate_lock(mapping);
	wider = gmfs_absent_widen(inode, &from, &to);
	err = gmfs_punch_locked(inode, from, to, unpinned);
	/* No entries for the character of the hole: the block stays, without any present page. */
	if (err == -ENOSPC && wider) {
		from = start;
		to = end;
		err = gmfs_punch_locked(inode, from, to, unpinned);
	}
	filemap_invalidate_unlock(mapping);
	trace_guestmemfs_truncate(GUESTMEMFS_SB(inode->i_sb)->node, inode->i_ino, from, to, err);
	return err;
}

/**
 * gmfs_file_zero - zero a part of a file, all of which has blocks
 * @inode: the file; its i_rwsem is held exclusively
 * @start: first byte
 * @end: byte after the last one
 * @size: the new size of the file, or its present one
 *
 * The file keeps all blocks. Blocks that are in the range as a whole are only marked as
 * unzeroed: the caller, or a fault in this kernel or the next one, zeroes them before they are
 * mapped. Blocks beyond the one with the old end of the file read as zeroes already.
 *
 * Context: after gmfs_change_begin().
 * Return: 0, -EBUSY (a session preserves the file, or a block that is to be zeroed as a whole
 * has a DMA pin), or -ENOMEM, with nothing changed.
 */
int gmfs_file_zero(struct inode *inode, loff_t start, loff_t end, loff_t size)
{
	struct address_space *mapping = inode->i_mapping;
	loff_t old = i_size_read(inode), old_end = round_up(old, GMFS_BLOCK_SIZE);
	loff_t from = size > old ? min(start, old) : start;
	loff_t to = size > old ? max(end, old_end) : end;
	loff_t first = round_up(from, GMFS_BLOCK_SIZE), last = round_down(to, GMFS_BLOCK_SIZE);
	struct gmfs_alter alter = {
		.inode		= inode,
		.unmap		= first >> PAGE_SHIFT,
		.unmap_end	= last >> PAGE_SHIFT,
		.rezero		= first >> GUESTMEMFS_BLOCK_SHIFT,
		.rezero_end	= min(last, old_end) >> GUESTMEMFS_BLOCK_SHIFT,
		.size		= size,
		.loses_bytes	= true,
	};
	struct gmfs_pinned pinned;
	int err = -EBUSY;

	filemap_invalidate_lock(mapping);
	/* A device could write to a block after it was zeroed. */
	if (!gmfs_file_pinned(inode, alter.rezero * GUESTMEMFS_BLOCK_PAGES,
			      alter.rezero_end * GUESTMEMFS_BLOCK_PAGES, &pinned))
		err = gmfs_alter(&alter, from, min(first, to), max(last, first), to);
	filemap_invalidate_unlock(mapping);
	trace_guestmemfs_truncate(GUESTMEMFS_SB(inode->i_sb)->node, inode->i_ino, start, end, err);
	return err;
}

/**
 * gmfs_file_grow - make a file larger
 * @idmap: idmap of the mount, for @attr
 * @inode: the file; its i_rwsem is held exclusively
 * @size: the new size, more than the old one
 * @attr: other attributes that setattr changes, NULL for none
 *
 * Context: after gmfs_change_begin().
 * Return: 0, or -ENOMEM with nothing changed.
 */
int gmfs_file_grow(struct mnt_idmap *idmap, struct inode *inode, loff_t size,
		   const struct iattr *attr)
{
	struct gmfs_alter alter = {
		.inode	= inode,
		.size	= size,
		.idmap	= idmap,
		.attr	= attr,
	};
	loff_t old = i_size_read(inode);
	int err;

	filemap_invalidate_lock(inode->i_mapping);
	err = gmfs_alter(&alter, old, round_up(old, GMFS_BLOCK_SIZE), 0, 0);
	filemap_invalidate_unlock(inode->i_mapping);
	return err;
}

/* Does a file have extents beyond its end, for truncating it to its present size to free? */
static bool gmfs_file_has_behind(struct inode *inode)
{
	u64 first = round_up(i_size_read(inode), GMFS_BLOCK_SIZE) >> GUESTMEMFS_BLOCK_SHIFT;
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	struct gmfs_run run;

	if (first == GMFS_MAX_LOGICAL)
		return false;
	guard(rwsem_read)(&gi->map_lock);
	gmfs_map_lookup(&GUESTMEMFS_SB(inode->i_sb)->tables, gi->map, first, &run);
	return run.count < GMFS_MAX_LOGICAL - first;
}

/*
 * Unmaps the pages beyond the new end and frees their blocks after that. Truncating a file to
 * its present size frees blocks beyond the end, which cannot be mapped. The rest of the page
 * with the new end is zeroed here. The rest of its block, which cannot be mapped, is zeroed
 * when the file grows again.
 */
static int gmfs_file_shrink(struct mnt_idmap *idmap, struct inode *inode, loff_t size,
			    const struct iattr *attr)
{
	struct address_space *mapping = inode->i_mapping;
	struct gmfs_alter alter = {
		.inode	= inode,
		.size	= size,
		.first	= round_up(size, GMFS_BLOCK_SIZE) >> GUESTMEMFS_BLOCK_SHIFT,
		.last	= GMFS_MAX_LOGICAL,
		.idmap	= idmap,
		.attr	= attr,
	};
	loff_t old = i_size_read(inode);
	int err;

	alter.loses_bytes = size < old || gmfs_file_has_behind(inode);
	if (size < old) {
		alter.unmap = DIV_ROUND_UP(size, PAGE_SIZE);
		alter.unmap_end = ULONG_MAX;
	}
	filemap_invalidate_lock(mapping);
	err = gmfs_alter(&alter, size, round_up(size, PAGE_SIZE), 0, 0);
	filemap_invalidate_unlock(mapping);
	trace_guestmemfs_truncate(GUESTMEMFS_SB(inode->i_sb)->node, inode->i_ino, size, old, err);
	return err;
}

/**
 * gmfs_file_resize - set the size of a file
 * @idmap: idmap of the mount, for @attr
 * @inode: the file; its i_rwsem is held exclusively
 * @size: the new size in bytes, at most s_maxbytes
 * @attr: other attributes that setattr changes, NULL for none
 *
 * Return: 0, -EBUSY (a kexec has begun, or a session preserves the file, which would lose bytes
 * or blocks), -ENOMEM, -EINTR, or -ENOSPC (as gmfs_file_punch()), with nothing changed.
 */
int gmfs_file_resize(struct mnt_idmap *idmap, struct inode *inode, loff_t size,
		     const struct iattr *attr)
{
	struct gmfs_pool *pool = GUESTMEMFS_SB(inode->i_sb);
	int err;

	err = gmfs_change_begin(pool);
	if (err)
		return err;
	if (size > i_size_read(inode))
		err = gmfs_file_grow(idmap, inode, size, attr);
	else
		err = gmfs_file_shrink(idmap, inode, size, attr);
	gmfs_change_end(pool);
	return err;
}
