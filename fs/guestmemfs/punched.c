// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which files of a pool have absent pages (absent.c), and the records of these pages that the next
 * mount reads (tables/absent.c). The records are written when the tables are frozen for a kexec,
 * and at the end of a mount. Until a thaw, a page that becomes present is present in its record as
 * well.
 */
#define pr_fmt(fmt) "guestmemfs: " fmt

#include <linux/bitmap.h>
#include <linux/lockdep.h>
#include <linux/sched.h>
#include <linux/xarray.h>

#include "internal.h"

/* How many blocks with absent pages are looked at while gmfs_pool.lock is held. */
#define GMFS_STEP_ABSENT	64

/**
 * gmfs_punched_add - add absent pages of a block to a file
 * @gi: the file; its map_lock is held exclusively, or no other task can reach the inode
 * @logical: the block, which has no absent pages
 * @absent: the pages, which belong to the file from now on
 *
 * Return: 0, or -ENOMEM with nothing changed.
 */
int gmfs_punched_add(struct gmfs_inode *gi, u64 logical, struct gmfs_absent *absent)
{
	struct gmfs_pool *pool = GUESTMEMFS_SB(gi->vfs_inode.i_sb);
	unsigned long ino = gi->vfs_inode.i_ino;

	guard(mutex)(&pool->absent_lock);
	if (xa_insert(&gi->absent, logical, absent, GFP_KERNEL_ACCOUNT))
		return -ENOMEM;
	if (xa_load(&pool->punched, ino) || !xa_insert(&pool->punched, ino, gi, GFP_KERNEL))
		return 0;
	xa_erase(&gi->absent, logical);
	return -ENOMEM;
}

/**
 * gmfs_punched_take - take the absent pages of a block out of a file
 * @gi: the file; as for gmfs_punched_add()
 * @logical: the block
 *
 * Return: the pages, which belong to the caller, or NULL if the block had none.
 */
struct gmfs_absent *gmfs_punched_take(struct gmfs_inode *gi, u64 logical)
{
	struct gmfs_pool *pool = GUESTMEMFS_SB(gi->vfs_inode.i_sb);
	struct gmfs_absent *absent;

	guard(mutex)(&pool->absent_lock);
	absent = xa_erase(&gi->absent, logical);
	if (absent && xa_empty(&gi->absent))
		xa_erase(&pool->punched, gi->vfs_inode.i_ino);
	return absent;
}

/* Finds the next block with absent pages, from @at on. NULL: there is no more. */
static struct gmfs_inode *gmfs_punched_next(struct gmfs_pool *pool, struct gmfs_punched_at *at,
					    struct gmfs_absent **absent)
{
	struct gmfs_inode *gi;

	lockdep_assert_held(&pool->absent_lock);
	for (;; at->ino++, at->logical = 0) {
		gi = xa_find(&pool->punched, &at->ino, ULONG_MAX, XA_PRESENT);
		if (!gi)
			return NULL;
		*absent = xa_find(&gi->absent, &at->logical, ULONG_MAX, XA_PRESENT);
		if (*absent)
			return gi;
	}
}

/*
 * Lets the absent pages of a block have a record, or none. With the block's lock held, as pages
 * become present meanwhile.
 */
static void gmfs_punched_keep(struct gmfs_pool *pool, u64 logical, struct gmfs_absent *absent,
			      unsigned long *bits)
{
	guard(mutex)(&pool->absent_locks[logical % GMFS_ABSENT_LOCKS]);
	absent->kept = bits;
	if (bits)
		bitmap_copy(bits, absent->pages, GUESTMEMFS_BLOCK_PAGES);
}

/* Writes some of the records. Returns true if the caller must call again. */
static bool gmfs_punched_write_some(struct gmfs_pool *pool, struct gmfs_punched_at *at, u32 *left)
{
	struct gmfs_absent *absent;
	struct gmfs_inode *gi;
	unsigned long *bits;
	u32 i;

	guard(mutex)(&pool->lock);
	guard(mutex)(&pool->absent_lock);
	for (i = 0; i < GMFS_STEP_ABSENT; i++, at->logical++) {
		gi = gmfs_punched_next(pool, at, &absent);
		if (!gi)
			return false;
		/* No extent of the file changes: map_lock is not needed. */
		bits = gmfs_absent_record(&pool->tables, gi->map, at->logical);
		if (bits)
			gmfs_punched_keep(pool, at->logical, absent, bits);
		else
			(*left)++;
	}
	return true;
}

static bool gmfs_punched_trim(struct gmfs_pool *pool)
{
	guard(mutex)(&pool->lock);
	return gmfs_absent_trim(&pool->tables);
}

/**
 * gmfs_punched_write - write the records of absent pages
 * @pool: the pool
 *
 * Does nothing if they have been written already, since the end of the mount.
 *
 * Context: gmfs_pool.changes is held: exclusively, with the pool frozen, or when no task can reach
 * the files any more. The tables are loaded.
 */
void gmfs_punched_write(struct gmfs_pool *pool)
{
	struct gmfs_tables *t = &pool->tables;
	struct gmfs_punched_at at = {};
	u32 left = 0;

	lockdep_assert_held(&pool->changes);
	if (t->read_only || t->super->live.absent_hop || xa_empty(&pool->punched))
		return;
	while (gmfs_punched_trim(pool))
		cond_resched();
	while (gmfs_punched_write_some(pool, &at, &left))
		cond_resched();
	scoped_guard(mutex, &pool->lock)
		gmfs_absent_seal(t);
	if (left)
		pr_info("node %d: no room to note which pages are punched out of %u blocks\n",
			pool->node, left);
}

/**
 * gmfs_punched_unwrite - remove some of the records, at a thaw
 * @pool: the pool, which is loaded and still frozen; its gmfs_pool.lock is held
 * @at: where to begin, all zero at first
 *
 * Return: true if the caller must call again.
 */
bool gmfs_punched_unwrite(struct gmfs_pool *pool, struct gmfs_punched_at *at)
{
	struct gmfs_absent *absent;
	u32 i;

	lockdep_assert_held(&pool->lock);
	if (!pool->tables.super->live.absent_hop)
		return false;
	guard(mutex)(&pool->absent_lock);
	for (i = 0; i < GMFS_STEP_ABSENT; i++, at->logical++) {
		if (!gmfs_punched_next(pool, at, &absent)) {
			gmfs_absent_unwrite(&pool->tables);
			return false;
		}
		gmfs_punched_keep(pool, at->logical, absent, NULL);
	}
	return true;
}
