// SPDX-License-Identifier: GPL-2.0-only
/*
 * Poisoned frames: frames with a memory error that the hardware could not correct. A frame has the
 * number that it has for pins (pins.c). The frames are known while the pool is not mounted as well.
 * poison.c keeps them in the tables.
 *
 * The caller serialises the functions (gmfs_pool.lock), except gmfs_poisoned_next() and those that
 * only call it.
 */
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include "extmap.h"

/* The entries of gmfs_poisoned.frames: does the poison table have the frame? */
#define GMFS_NOT_RECORDED	1
#define GMFS_RECORDED		2

/**
 * gmfs_poisoned_init - initialise the poisoned frames of a pool
 * @p: the poisoned frames, of which none is known
 */
void gmfs_poisoned_init(struct gmfs_poisoned *p)
{
	/* RCU: page faults look frames up without a lock. */
	mt_init_flags(&p->frames, MT_FLAGS_LOCK_EXTERN | MT_FLAGS_USE_RCU);
	/* Switch off lockdep's check, which does not know gmfs_pool.lock. */
	mt_on_stack(p->frames);
	p->nr = 0;
}

/**
 * gmfs_poisoned_next - find a poisoned frame
 * @p: the poisoned frames of the pool
 * @from: the first frame to look at
 * @end: frame after the last one
 *
 * Context: any; no lock is needed.
 * Return: the first poisoned frame, @end if there is none.
 */
u64 gmfs_poisoned_next(const struct gmfs_poisoned *p, u64 from, u64 end)
{
	MA_STATE(mas, (struct maple_tree *)&p->frames, from, from);
	void *found;

	if (!READ_ONCE(p->nr) || from >= end)
		return end;
	rcu_read_lock();
	found = mas_find(&mas, end - 1);
	rcu_read_unlock();
	return found ? mas.index : end;
}

static void gmfs_poisoned_store(struct gmfs_poisoned *p, u64 frame, unsigned long recorded)
{
	gmfs_tree_store(&p->frames, frame, frame, xa_mk_value(recorded),
			GFP_KERNEL | __GFP_NOFAIL);
}

/**
 * gmfs_poisoned_add - remember that a frame is poisoned
 * @p: the poisoned frames of the pool, mounted or not
 * @frame: the frame
 *
 * Cannot fail, but may have to wait for memory. The caller then records the frame
 * (gmfs_poison_record()) and keeps its block (gmfs_poison_keep()), if the pool allows that now.
 *
 * Return: false if this is known already.
 */
bool gmfs_poisoned_add(struct gmfs_poisoned *p, u64 frame)
{
	if (gmfs_poisoned_next(p, frame, frame + 1) == frame)
		return false;
	gmfs_poisoned_store(p, frame, GMFS_NOT_RECORDED);
	WRITE_ONCE(p->nr, p->nr + 1);
	return true;
}

/**
 * gmfs_poisoned_recorded - remember that a frame is in the poison table
 * @p: the poisoned frames of the pool
 * @frame: the frame, one of @p
 */
void gmfs_poisoned_recorded(struct gmfs_poisoned *p, u64 frame)
{
	gmfs_poisoned_store(p, frame, GMFS_RECORDED);
}

/**
 * gmfs_blocks_poisoned - has a block a poisoned frame
 * @t: the pool's tables
 * @block: the block
 * @count: number of blocks; lowered so that the answer is the same for all of them
 *
 * Return: true if each block has one, false if none of them has.
 */
bool gmfs_blocks_poisoned(const struct gmfs_tables *t, u32 block, u32 *count)
{
	u64 from = (u64)block * GUESTMEMFS_BLOCK_PAGES, end, at;

	if (!t->poisoned)
		return false;
	end = from + (u64)*count * GUESTMEMFS_BLOCK_PAGES;
	at = gmfs_poisoned_next(t->poisoned, from, end);
	if (at == end)
		return false;
	at /= GUESTMEMFS_BLOCK_PAGES;
	*count = at > block ? at - block : 1;
	return at == block;
}

/**
 * gmfs_poisoned_next_locked - find a poisoned frame, and whether it is recorded
 * @p: the poisoned frames of the pool
 * @from: the first frame to look at
 * @end: frame after the last one
 * @recorded: result: gmfs_poisoned_recorded() has been called for the frame
 *
 * Return: the first poisoned frame, @end if there is none.
 */
u64 gmfs_poisoned_next_locked(const struct gmfs_poisoned *p, u64 from, u64 end, bool *recorded)
{
	MA_STATE(mas, (struct maple_tree *)&p->frames, from, from);
	void *found = from < end ? mas_find(&mas, end - 1) : NULL;

	*recorded = found && xa_to_value(found) == GMFS_RECORDED;
	return found ? mas.index : end;
}
