// SPDX-License-Identifier: GPL-2.0-only
/*
 * Moving memory from one file to another, and exchanging the memory of two files. Nothing is
 * copied: blocks change their file (tables/move.c).
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/fsnotify.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/pagemap.h>
#include <linux/rwsem.h>
#include <linux/security.h>
#include <uapi/linux/guestmemfs.h>

#include <trace/events/guestmemfs.h>

#include "internal.h"

/*
 * gmfs_pair.sides: the memory leaves the part of %GMFS_FROM for that of %GMFS_TO, and in an
 * exchange that of %GMFS_TO for that of %GMFS_FROM.
 */
enum { GMFS_FROM, GMFS_TO };

/**
 * struct gmfs_pair - two parts of files whose memory is moved or exchanged
 * @inodes: the files, of one pool; may be the same one
 * @first: first block of each part
 * @count: number of blocks of each part
 * @sides: for how many sides memory leaves the part: 2 in an exchange, else 1
 * @zero: zero the memory
 * @error: result
 */
struct gmfs_pair {
	struct inode *inodes[GMFS_SIDES];
	u64 first[GMFS_SIDES];
	u64 count;
	u32 sides;
	bool zero;
	struct gmfs_move_error *error;
};

static pgoff_t gmfs_pair_page(const struct gmfs_pair *pair, u32 i)
{
	return pair->first[i] * GUESTMEMFS_BLOCK_PAGES;
}

static pgoff_t gmfs_pair_end(const struct gmfs_pair *pair, u32 i)
{
	return (pair->first[i] + pair->count) * GUESTMEMFS_BLOCK_PAGES;
}

/* The files in the order in which they are locked. The second one is NULL if there is just one. */
static void gmfs_pair_order(const struct gmfs_pair *pair, struct inode *inodes[GMFS_SIDES])
{
	struct inode *a = pair->inodes[GMFS_FROM], *b = pair->inodes[GMFS_TO];

	inodes[0] = a < b ? a : b;
	inodes[1] = a == b ? NULL : a < b ? b : a;
}

/* As lock_two_nondirectories(), but can be interrupted by a fatal signal. */
static int gmfs_pair_lock(const struct gmfs_pair *pair)
{
	struct inode *inodes[GMFS_SIDES];
	int err;

	gmfs_pair_order(pair, inodes);
	err = inode_lock_killable(inodes[0]);
	if (err || !inodes[1])
		return err;
	err = down_write_killable_nested(&inodes[1]->i_rwsem, I_MUTEX_NONDIR2);
	if (err)
		inode_unlock(inodes[0]);
	return err;
}

static void gmfs_pair_unlock(const struct gmfs_pair *pair)
{
	unlock_two_nondirectories(pair->inodes[GMFS_FROM], pair->inodes[GMFS_TO]);
}

static void gmfs_pair_lock_maps(const struct gmfs_pair *pair)
{
	struct inode *inodes[GMFS_SIDES];

	gmfs_pair_order(pair, inodes);
	down_write(&GUESTMEMFS_I(inodes[0])->map_lock);
	if (inodes[1])
		down_write_nested(&GUESTMEMFS_I(inodes[1])->map_lock, SINGLE_DEPTH_NESTING);
}

static void gmfs_pair_unlock_maps(const struct gmfs_pair *pair)
{
	struct inode *inodes[GMFS_SIDES];

	gmfs_pair_order(pair, inodes);
	if (inodes[1])
		up_write(&GUESTMEMFS_I(inodes[1])->map_lock);
	up_write(&GUESTMEMFS_I(inodes[0])->map_lock);
}

/*
 * Both parts must end at the end of their file or before. Bytes behind the end of a file must never
 * be seen again.
 */
static bool gmfs_pair_fits(const struct gmfs_pair *pair)
{
	u32 i;

	for (i = 0; i < GMFS_SIDES; i++)
		if (pair->first[i] + pair->count >
		    i_size_read(pair->inodes[i]) >> GUESTMEMFS_BLOCK_SHIFT)
			return false;
	return true;
}

/* Finds the first block of a part that is not a hole. */
static bool gmfs_pair_find_block(const struct gmfs_pair *pair, u32 i, u64 *logical)
{
	struct gmfs_tables *t = &GUESTMEMFS_SB(pair->inodes[i]->i_sb)->tables;
	struct gmfs_inode *gi = GUESTMEMFS_I(pair->inodes[i]);
	u64 at = pair->first[i], end = at + pair->count;
	struct gmfs_run run;

	guard(rwsem_read)(&gi->map_lock);
	for (; at < end; at += run.count) {
		gmfs_map_lookup(t, gi->map, at, &run);
		*logical = at;
		if (run.block != GMFS_NO_BLOCK)
			return true;
	}
	return false;
}

static int gmfs_pair_failed(const struct gmfs_pair *pair, u32 i, u64 page, int err)
{
	pair->error->in_target = i == GMFS_TO;
	pair->error->offset = page << PAGE_SHIFT;
	return err;
}

/* Checks for pages that may not be moved. No pin is added while invalidate_lock is held. */
static int gmfs_pair_check(const struct gmfs_pair *pair)
{
	struct gmfs_pinned pinned;
	u64 logical;
	u32 i;

	if (pair->sides == 1 && gmfs_pair_find_block(pair, GMFS_TO, &logical))
		return gmfs_pair_failed(pair, GMFS_TO, logical * GUESTMEMFS_BLOCK_PAGES, -EEXIST);
	for (i = 0; i < GMFS_SIDES; i++)
		if (!pair->zero && !gmfs_file_is(pair->inodes[i], gmfs_pair_page(pair, i),
						 gmfs_pair_end(pair, i), false))
			return -EPERM;
	for (i = 0; i < pair->sides; i++)
		if (gmfs_file_pinned(pair->inodes[i], gmfs_pair_page(pair, i),
				     gmfs_pair_end(pair, i), &pinned))
			return gmfs_pair_failed(pair, i, pinned.first, -EAGAIN);
	return 0;
}

static int gmfs_pair_begin(const struct gmfs_pair *pair, struct gmfs_pool *pool,
			   struct gmfs_move *mv)
{
	u32 i;

	gmfs_move_count(mv);
	guard(mutex)(&pool->lock);
	/* A file that is in a session must not lose anything. */
	for (i = 0; i < pair->sides; i++)
		if (gmfs_inode_in_session(pool, pair->inodes[i]->i_ino))
			return -EBUSY;
	return gmfs_move_begin(mv);
}

static void gmfs_pair_steps(struct gmfs_pool *pool, struct gmfs_move *mv)
{
	bool more = true;

	while (more) {
		scoped_guard(mutex, &pool->lock) {
			more = gmfs_move_step(mv);
			if (!more)
				gmfs_move_end(mv);
		}
		cond_resched();
	}
	/* A move that zeroes has marked blocks. */
	gmfs_scrub_wake(pool);
}

static void gmfs_pair_store(const struct gmfs_pair *pair, struct gmfs_pool *pool)
{
	u32 i;

	for (i = 0; i < GMFS_SIDES; i++) {
		struct inode *inode = pair->inodes[i];

		gmfs_update_blocks(inode);
		inode_set_mtime_to_ts(inode, inode_set_ctime_current(inode));
		guard(mutex)(&pool->lock);
		gmfs_inode_store(inode);
	}
}

/* Changes everything or nothing: only gmfs_pair_begin() can fail. */
static int gmfs_pair_commit(const struct gmfs_pair *pair)
{
	struct gmfs_pool *pool = GUESTMEMFS_SB(pair->inodes[GMFS_TO]->i_sb);
	struct gmfs_move mv = { .t = &pool->tables, .count = pair->count, .zero = pair->zero };
	int err;
	u32 i;

	for (i = 0; i < GMFS_SIDES; i++)
		mv.sides[i] = (struct gmfs_side){
			.map	= GUESTMEMFS_I(pair->inodes[i])->map,
			.ino	= pair->inodes[i]->i_ino,
			.first	= pair->first[i],
		};
	gmfs_pair_lock_maps(pair);
	err = gmfs_pair_begin(pair, pool, &mv);
	if (!err) {
		for (i = 0; i < pair->sides; i++)
			gmfs_reclaim_private(pair->inodes[i], gmfs_pair_page(pair, i),
					     gmfs_pair_end(pair, i));
		gmfs_absent_exchange(pair->inodes[GMFS_FROM], pair->first[GMFS_FROM],
				     pair->inodes[GMFS_TO], pair->first[GMFS_TO], pair->count);
		gmfs_pair_steps(pool, &mv);
		gmfs_pair_store(pair, pool);
	}
	gmfs_pair_unlock_maps(pair);
	return err;
}

/*
 * Unmaps the pages whose memory leaves, and moves it. Nothing is mapped in a part without memory: a
 * fault there, be it of a guest, waits for invalidate_lock.
 */
static int gmfs_pair_unmapped(const struct gmfs_pair *pair)
{
	int err;
	u32 i;

	for (i = 0; i < pair->sides; i++) {
		struct inode *inode = pair->inodes[i];
		pgoff_t first = gmfs_pair_page(pair, i), end = gmfs_pair_end(pair, i);

		unmap_mapping_pages(inode->i_mapping, first, end - first, true);
		gmfs_bindings_invalidate_begin(inode, first, end);
	}
	err = gmfs_pair_commit(pair);
	for (i = 0; i < pair->sides; i++)
		gmfs_bindings_invalidate_end(pair->inodes[i], gmfs_pair_page(pair, i),
					     gmfs_pair_end(pair, i));
	return err;
}

/* Moves or exchanges the memory, with i_rwsem of both files held, and after gmfs_change_begin(). */
static int gmfs_pair_move(const struct gmfs_pair *pair)
{
	struct inode *from = pair->inodes[GMFS_FROM], *to = pair->inodes[GMFS_TO];
	int err;

	filemap_invalidate_lock_two(from->i_mapping, to->i_mapping);
	err = gmfs_pair_check(pair);
	if (!err)
		err = gmfs_pair_unmapped(pair);
	filemap_invalidate_unlock_two(from->i_mapping, to->i_mapping);
	trace_guestmemfs_move(GUESTMEMFS_SB(to->i_sb)->node, from->i_ino, pair->first[GMFS_FROM],
			      to->i_ino, pair->first[GMFS_TO], pair->count,
			      pair->sides == GMFS_SIDES, err);
	return err;
}

static int gmfs_pair_move_locked(const struct gmfs_pair *pair, struct file *from, struct file *to)
{
	struct gmfs_pool *pool = GUESTMEMFS_SB(pair->inodes[GMFS_TO]->i_sb);
	int err;

	err = gmfs_pair_lock(pair);
	if (err)
		return err;
	if (sb_rdonly(pair->inodes[GMFS_TO]->i_sb))
		err = -EROFS;
	else if (!gmfs_pair_fits(pair))
		err = -EINVAL;
	if (!err)
		err = file_remove_privs(from);
	if (!err)
		err = file_remove_privs(to);
	if (!err)
		err = gmfs_change_begin(pool);
	if (!err) {
		err = gmfs_pair_move(pair);
		gmfs_change_end(pool);
	}
	gmfs_pair_unlock(pair);
	return err;
}

/* The checks and hooks of a change of a file's contents. */
static int gmfs_pair_allowed(struct file *file, loff_t offset, loff_t len)
{
	const fmode_t access = FMODE_READ | FMODE_WRITE;
	int err;

	if ((file->f_mode & access) != access)
		return -EACCES;
	err = security_file_permission(file, MAY_READ | MAY_WRITE);
	return err ? err : fsnotify_file_area_perm(file, MAY_WRITE, &offset, len);
}

static bool gmfs_pair_overlaps(const struct gmfs_pair *pair)
{
	u64 a = pair->first[GMFS_FROM], b = pair->first[GMFS_TO];

	return pair->inodes[GMFS_FROM] == pair->inodes[GMFS_TO] &&
	       max(a, b) - min(a, b) < pair->count;
}

/**
 * gmfs_move - move the memory of a part of a file to another file, or exchange it
 * @from: the file that the memory is taken from, or a descriptor of the file; any open file
 * @from_offset: first byte
 * @to: the file that gets the memory, or a descriptor of it
 * @offset: first byte
 * @len: number of bytes; all three are multiples of %GMFS_BLOCK_SIZE, and valid for some file
 * @flags: GUESTMEMFS_MOVE_*
 * @error: result with -EAGAIN and -EEXIST
 *
 * Unmaps the parts that lose memory from the host's page tables and from those of the guests.
 * A freeze for a kexec comes before the move or after it. Pages that are not shared keep their
 * character, not their contents: they can only be moved with %GUESTMEMFS_MOVE_ZERO.
 *
 * Takes time proportional to the number of extents, of reserved ranges and of blocks with absent
 * pages in both parts.
 *
 * Context: process context.
 * Return: 0, or what the uapi header lists, with nothing changed.
 */
int gmfs_move(struct file *from, u64 from_offset, struct file *to, u64 offset, u64 len,
	      u32 flags, struct gmfs_move_error *error)
{
	struct gmfs_pair pair = {
		.inodes	= { file_inode(from), file_inode(to) },
		.first	= { from_offset >> GUESTMEMFS_BLOCK_SHIFT,
			    offset >> GUESTMEMFS_BLOCK_SHIFT },
		.count	= len >> GUESTMEMFS_BLOCK_SHIFT,
		.sides	= flags & GUESTMEMFS_MOVE_EXCHANGE ? 2 : 1,
		.zero	= flags & GUESTMEMFS_MOVE_ZERO,
		.error	= error,
	};
	int err;

	if (pair.inodes[GMFS_FROM]->i_sb != pair.inodes[GMFS_TO]->i_sb)
		return -EXDEV;
	if (!S_ISREG(pair.inodes[GMFS_FROM]->i_mode) || gmfs_pair_overlaps(&pair))
		return -EINVAL;
	err = gmfs_pair_allowed(from, from_offset, len);
	if (!err)
		err = gmfs_pair_allowed(to, offset, len);
	if (err)
		return err;
	file_start_write(to);
	err = gmfs_pair_move_locked(&pair, from, to);
	if (!err) {
		fsnotify_modify(from);
		fsnotify_modify(to);
	}
	file_end_write(to);
	return err;
}
