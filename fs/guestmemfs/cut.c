// SPDX-License-Identifier: GPL-2.0-only
/*
 * What takes bytes or space from a file, or sets its size: punch, zero, resize.
 */
#include <linux/fs.h>
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/string.h>

#include <trace/events/guestmemfs.h>

#include "internal.h"

/**
 * struct gmfs_part - bytes of a block that are to be zeroed, mapped
 * @va: where, NULL if there is nothing to zero
 * @len: how many
 * @first: the first page that they touch
 * @last: page after the last one
 * @private: there are private pages among these
 */
struct gmfs_part {
	void *va;
	size_t len;
	pgoff_t first;
	pgoff_t last;
	bool private;
};

/*
 * Maps the bytes of a file from @from to @to, which are in one block, unless
 * they are a hole, or are zeroed before they are seen anyway.
 */
static int gmfs_part_map(struct inode *inode, loff_t from, loff_t to, struct gmfs_part *part)
{
	struct gmfs_tables *t = &GUESTMEMFS_SB(inode->i_sb)->tables;
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	struct gmfs_run run;

	memset(part, 0, sizeof(*part));
	if (from >= to)
		return 0;
	scoped_guard(rwsem_read, &gi->map_lock)
		gmfs_map_lookup(t, gi->map, from >> GUESTMEMFS_BLOCK_SHIFT, &run);
	if (run.block == GMFS_NO_BLOCK || run.flags & GUESTMEMFS_EXTENT_TRUNCATED ||
	    test_bit(run.block, t->unzeroed))
		return 0;
	part->first = from >> PAGE_SHIFT;
	part->last = DIV_ROUND_UP(to, PAGE_SIZE);
	part->private = !gmfs_file_is(inode, part->first, part->last, false);
	part->len = to - from;
	part->va = gmfs_vmap(gmfs_block_phys(t, run.block) + (from & (GMFS_BLOCK_SIZE - 1)),
			     part->len);
	return part->va ? 0 : -ENOMEM;
}

/* What is private is not the kernel's to write to, until it is reclaimed. */
static void gmfs_part_zero(struct inode *inode, const struct gmfs_part *part)
{
	if (!part->va)
		return;
	if (part->private)
		gmfs_reclaim_private(inode, part->first, part->last);
	memset(part->va, 0, part->len);
}

static void gmfs_part_unmap(struct gmfs_part *part)
{
	if (part->va)
		gmfs_vunmap(part->va, part->len);
}

/**
 * struct gmfs_cut - a change of a file's size, or of what is in it
 * @inode: the file; its i_rwsem and invalidate_lock are held exclusively
 * @head: bytes to zero, mapped
 * @tail: more of them
 * @unmap: first page to take out of all page tables, those of hypervisors as well
 * @unmap_end: page after the last one, ULONG_MAX for all that follow
 * @first: first whole block to free
 * @last: block after the last one to free
 * @forget: first block to zero as a whole, all of them allocated
 * @forget_end: block after the last one to zero
 * @size: size that the file gets
 * @takes: bytes are lost to the file, not only zeroed behind its end
 * @idmap: for @attr
 * @attr: what setattr changes besides, NULL for nothing
 */
struct gmfs_cut {
	struct inode *inode;
	struct gmfs_part head;
	struct gmfs_part tail;
	pgoff_t unmap;
	pgoff_t unmap_end;
	u64 first;
	u64 last;
	u64 forget;
	u64 forget_end;
	loff_t size;
	bool takes;
	struct mnt_idmap *idmap;
	const struct iattr *attr;
};

/* All that can fail. What somebody holds is only on its way out, and is freed later. */
static int gmfs_cut_begin(struct gmfs_cut *cut, struct gmfs_edit *ed)
{
	struct gmfs_pool *pool = GUESTMEMFS_SB(cut->inode->i_sb);
	pgoff_t first = cut->forget * GUESTMEMFS_BLOCK_PAGES;
	pgoff_t last = cut->forget_end * GUESTMEMFS_BLOCK_PAGES;
	int err;

	if (first < last && gmfs_first_pin(cut->inode, first, last))
		return -EBUSY;
	err = gmfs_edit_count(ed);
	if (err)
		return err;
	guard(mutex)(&pool->lock);
	if (cut->takes && gmfs_inode_in_session(pool, cut->inode->i_ino))
		return -EBUSY;
	return gmfs_edit_begin(ed);
}

/*
 * Nobody sees the bytes of the blocks from here on. Blocks that are held are not among them:
 * they may be written to before they are zeroed.
 */
static void gmfs_cut_forget(struct gmfs_cut *cut)
{
	struct gmfs_tables *t = &GUESTMEMFS_SB(cut->inode->i_sb)->tables;
	struct gmfs_run run;
	u64 logical;

	if (cut->forget >= cut->forget_end)
		return;
	gmfs_reclaim_private(cut->inode, cut->forget * GUESTMEMFS_BLOCK_PAGES,
			     cut->forget_end * GUESTMEMFS_BLOCK_PAGES);
	for (logical = cut->forget; logical < cut->forget_end; logical += run.count) {
		gmfs_map_lookup(t, GUESTMEMFS_I(cut->inode)->map, logical, &run);
		run.count = min(run.count, cut->forget_end - logical);
		gmfs_unzero(t, run.block, run.count);
		cond_resched();
	}
}

/* The size, and what the file has beside its blocks. */
static void gmfs_cut_store(struct gmfs_cut *cut)
{
	struct gmfs_pool *pool = GUESTMEMFS_SB(cut->inode->i_sb);

	gmfs_part_zero(cut->inode, &cut->head);
	gmfs_part_zero(cut->inode, &cut->tail);
	if (cut->takes || cut->size != i_size_read(cut->inode))
		inode_set_mtime_to_ts(cut->inode, inode_set_ctime_current(cut->inode));
	i_size_write(cut->inode, cut->size);
	if (cut->attr)
		setattr_copy(cut->idmap, cut->inode, cut->attr);
	guard(mutex)(&pool->lock);
	gmfs_inode_store(cut->inode);
}

/* Blocks beside those that are held go at once. */
static void gmfs_cut_held(struct gmfs_cut *cut)
{
	struct gmfs_pool *pool = GUESTMEMFS_SB(cut->inode->i_sb);
	u32 free;

	WRITE_ONCE(GUESTMEMFS_I(cut->inode)->truncating, true);
	guard(mutex)(&pool->lock);
	free = pool->tables.free_blocks;
	gmfs_pin_free_blocks(cut->inode, cut->first, cut->last);
	gmfs_trace_blocks(pool, cut->inode->i_ino, free);
}

/* Changes everything or nothing: what can fail comes first. */
static int gmfs_cut_commit(struct gmfs_cut *cut)
{
	pgoff_t first = cut->first * GUESTMEMFS_BLOCK_PAGES;
	pgoff_t last = cut->last * GUESTMEMFS_BLOCK_PAGES;
	struct gmfs_inode *gi = GUESTMEMFS_I(cut->inode);
	struct gmfs_pool *pool = GUESTMEMFS_SB(cut->inode->i_sb);
	bool held = gmfs_first_pin(cut->inode, first, last);
	struct gmfs_edit ed = {
		.t	= &pool->tables,
		.map	= gi->map,
		.ino	= cut->inode->i_ino,
		.op	= held ? GMFS_TRUNCATE : GMFS_PUNCH,
		.first	= first,
		.last	= last,
	};
	int err;

	lockdep_assert_held_write(&cut->inode->i_mapping->invalidate_lock);
	guard(rwsem_write)(&gi->map_lock);
	err = gmfs_cut_begin(cut, &ed);
	if (err)
		return err;
	gmfs_reclaim_private(cut->inode, first, last);
	gmfs_cut_forget(cut);
	gmfs_cut_store(cut);
	gmfs_pool_edit(pool, cut->inode->i_ino, &ed);
	if (held)
		gmfs_cut_held(cut);
	gmfs_update_blocks(cut->inode);
	return 0;
}

/* The part is next to the pages that are to be unmapped, if there are any. */
static void gmfs_cut_unmap_part(struct gmfs_cut *cut, const struct gmfs_part *part)
{
	if (!part->private)
		return;
	if (cut->unmap < cut->unmap_end) {
		cut->unmap = min(cut->unmap, part->first);
		cut->unmap_end = max(cut->unmap_end, part->last);
	} else {
		cut->unmap = part->first;
		cut->unmap_end = part->last;
	}
}

/*
 * Pages that stay in the file stay in page tables as well, and are zeroed in place: whoever
 * maps them sees the zeroes. Taking them out would take out the whole entry that maps them,
 * of up to a gigabyte. Private pages do go: the host cannot write to them as long as they are
 * the guest's, and they are made private again when the guest faults.
 */
static int gmfs_cut_unmapped(struct gmfs_cut *cut)
{
	struct address_space *mapping = cut->inode->i_mapping;
	int err;

	gmfs_cut_unmap_part(cut, &cut->head);
	gmfs_cut_unmap_part(cut, &cut->tail);
	if (cut->unmap >= cut->unmap_end)
		return gmfs_cut_commit(cut);
	/* Before the blocks are free. */
	unmap_mapping_pages(mapping, cut->unmap,
			    cut->unmap_end == ULONG_MAX ? 0 : cut->unmap_end - cut->unmap, true);
	gmfs_gmem_invalidate_begin(cut->inode, cut->unmap, cut->unmap_end);
	err = gmfs_cut_commit(cut);
	gmfs_gmem_invalidate_end(cut->inode, cut->unmap, cut->unmap_end);
	return err;
}

static int gmfs_cut(struct gmfs_cut *cut, loff_t head, loff_t head_end, loff_t tail,
		    loff_t tail_end)
{
	int err;

	err = gmfs_part_map(cut->inode, head, head_end, &cut->head);
	if (err)
		return err;
	err = gmfs_part_map(cut->inode, tail, tail_end, &cut->tail);
	if (!err)
		err = gmfs_cut_unmapped(cut);
	gmfs_part_unmap(&cut->tail);
	gmfs_part_unmap(&cut->head);
	return err;
}

/**
 * gmfs_file_punch - make a hole
 * @inode: the file; its i_rwsem is held exclusively
 * @start: first byte
 * @end: byte after the last one
 *
 * Whole blocks are unmapped and freed; what is beside them is zeroed in place.
 *
 * Context: after gmfs_change_begin().
 * Return: 0, -EBUSY (a session preserves the file), -ENOMEM, or -ENOSPC (no room to remember
 * which of the freed parts were converted), with nothing changed.
 */
int gmfs_file_punch(struct inode *inode, loff_t start, loff_t end)
{
	struct address_space *mapping = inode->i_mapping;
	loff_t first = round_up(start, GMFS_BLOCK_SIZE), last = round_down(end, GMFS_BLOCK_SIZE);
	struct gmfs_cut cut = {
		.inode		= inode,
		.unmap		= first >> PAGE_SHIFT,
		.unmap_end	= last >> PAGE_SHIFT,
		.first		= first >> GUESTMEMFS_BLOCK_SHIFT,
		.last		= last >> GUESTMEMFS_BLOCK_SHIFT,
		.size		= i_size_read(inode),
		.takes		= true,
	};
	int err;

	filemap_invalidate_lock(mapping);
	gmfs_pin_settle(inode, cut.first, cut.last);
	err = gmfs_cut(&cut, start, min(first, end), max(last, first), end);
	filemap_invalidate_unlock(mapping);
	trace_guestmemfs_truncate(GUESTMEMFS_SB(inode->i_sb)->node, inode->i_ino, start, end, err);
	return err;
}

/**
 * gmfs_file_zero - zero a part of a file, all of which has blocks
 * @inode: the file; its i_rwsem is held exclusively
 * @start: first byte
 * @end: byte after the last one
 * @size: what the file grows to, or is
 *
 * What was there keeps its blocks, and those that are to be zeroed as a whole are only
 * marked: by the caller, a fault or the next kernel they are zeroed before they are seen.
 * Behind the block with the old end there is nothing but zeroes.
 *
 * Context: after gmfs_change_begin().
 * Return: 0, -EBUSY (a session preserves the file, or something holds a block), or -ENOMEM,
 * with nothing changed.
 */
int gmfs_file_zero(struct inode *inode, loff_t start, loff_t end, loff_t size)
{
	struct address_space *mapping = inode->i_mapping;
	loff_t old = i_size_read(inode), old_end = round_up(old, GMFS_BLOCK_SIZE);
	loff_t from = size > old ? min(start, old) : start;
	loff_t to = size > old ? max(end, old_end) : end;
	loff_t first = round_up(from, GMFS_BLOCK_SIZE), last = round_down(to, GMFS_BLOCK_SIZE);
	struct gmfs_cut cut = {
		.inode		= inode,
		.unmap		= first >> PAGE_SHIFT,
		.unmap_end	= last >> PAGE_SHIFT,
		.forget		= first >> GUESTMEMFS_BLOCK_SHIFT,
		.forget_end	= min(last, old_end) >> GUESTMEMFS_BLOCK_SHIFT,
		.size		= size,
		.takes		= true,
	};
	int err;

	filemap_invalidate_lock(mapping);
	gmfs_pin_settle(inode, cut.forget, cut.forget_end);
	err = gmfs_cut(&cut, from, min(first, to), max(last, first), to);
	filemap_invalidate_unlock(mapping);
	trace_guestmemfs_truncate(GUESTMEMFS_SB(inode->i_sb)->node, inode->i_ino, start, end, err);
	return err;
}

/**
 * gmfs_file_grow - make a file larger
 * @idmap: idmap of the mount, for @attr
 * @inode: the file; its i_rwsem is held exclusively
 * @size: the new size, more than the old one
 * @attr: what setattr changes besides, NULL for nothing
 *
 * Context: after gmfs_change_begin().
 * Return: 0, or -ENOMEM with nothing changed.
 */
int gmfs_file_grow(struct mnt_idmap *idmap, struct inode *inode, loff_t size,
		   const struct iattr *attr)
{
	struct gmfs_cut cut = {
		.inode	= inode,
		.size	= size,
		.idmap	= idmap,
		.attr	= attr,
	};
	loff_t old = i_size_read(inode);
	int err;

	filemap_invalidate_lock(inode->i_mapping);
	err = gmfs_cut(&cut, old, round_up(old, GMFS_BLOCK_SIZE), 0, 0);
	filemap_invalidate_unlock(inode->i_mapping);
	return err;
}

/* Would truncating a file to the size that it has free anything? */
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
 * Shrinking unmaps first and frees then. The size that the file has frees blocks behind it,
 * which nobody can map. On the page of the new end, what is behind the end is zeroed at once; in
 * the rest of its block, which nobody can map, when the file grows again.
 */
static int gmfs_file_shrink(struct mnt_idmap *idmap, struct inode *inode, loff_t size,
			    const struct iattr *attr)
{
	struct address_space *mapping = inode->i_mapping;
	struct gmfs_cut cut = {
		.inode	= inode,
		.size	= size,
		.first	= round_up(size, GMFS_BLOCK_SIZE) >> GUESTMEMFS_BLOCK_SHIFT,
		.last	= GMFS_MAX_LOGICAL,
		.idmap	= idmap,
		.attr	= attr,
	};
	loff_t old = i_size_read(inode);
	int err;

	cut.takes = size < old || gmfs_file_has_behind(inode);
	if (size < old) {
		cut.unmap = DIV_ROUND_UP(size, PAGE_SIZE);
		cut.unmap_end = ULONG_MAX;
	}
	filemap_invalidate_lock(mapping);
	err = gmfs_cut(&cut, size, round_up(size, PAGE_SIZE), 0, 0);
	filemap_invalidate_unlock(mapping);
	trace_guestmemfs_truncate(GUESTMEMFS_SB(inode->i_sb)->node, inode->i_ino, size, old, err);
	return err;
}

/**
 * gmfs_file_resize - set the size of a file
 * @idmap: idmap of the mount, for @attr
 * @inode: the file; its i_rwsem is held exclusively
 * @size: the new size in bytes, at most s_maxbytes
 * @attr: what setattr changes besides, NULL for nothing
 *
 * Return: 0, -EBUSY (a kexec has begun, or a session preserves the file, and it would shrink),
 * -ENOMEM, -EINTR, or -ENOSPC (no room to remember which of the freed parts were converted),
 * with nothing changed.
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
