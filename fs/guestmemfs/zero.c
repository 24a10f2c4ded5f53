// SPDX-License-Identifier: GPL-2.0-only
/*
 * Zeroing blocks: before they are mapped or leave the pool, by the task that needs them, with the
 * help of other processors if they are many.
 */
#include <linux/fs.h>
#include <linux/lockdep.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/rwsem.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/wait_bit.h>
#include <linux/workqueue.h>

#include <asm/tlbflush.h>

#include "internal.h"

/*
 * Blocks that are zeroed by one call, within an aligned run: 32 MiB. Processors write large areas
 * past their caches if they are told of the whole area: as PROCESS_PAGES_NON_PREEMPT_BATCH, which
 * is about how long a task may take without a chance to be scheduled.
 */
#define GMFS_ZERO_RUN		GMFS_WINDOW_BLOCKS

/* A task has a helper for each so many blocks: 256 MiB. */
#define GMFS_ZERO_SHARE		128

static void gmfs_clear(void *va, size_t len)
{
	if (IS_ALIGNED((unsigned long)va | len, PAGE_SIZE))
		clear_pages(va, len >> PAGE_SHIFT);
	else
		memset(va, 0, len);
}

/**
 * gmfs_zero_mapped - zero bytes of a block that gmfs_window_open() has mapped
 * @pool: the pool
 * @va: address of the first byte
 * @pos: number of its frame in the pool, times the size of a frame, plus the offset in the frame
 * @len: number of bytes, all of them mapped
 *
 * Does not touch poisoned frames: writing to one may be fatal.
 */
void gmfs_zero_mapped(const struct gmfs_pool *pool, void *va, u64 pos, size_t len)
{
	u64 end = pos + len, part;

	while (pos < end) {
		part = gmfs_poisoned_next(&pool->poisoned, pos >> PAGE_SHIFT,
					  DIV_ROUND_UP(end, PAGE_SIZE)) << PAGE_SHIFT;
		if (part > pos) {
			part = min(part, end) - pos;
			gmfs_clear(va, part);
		} else {
			part = min(round_up(pos + 1, PAGE_SIZE), end) - pos;
		}
		va += part;
		pos += part;
	}
}

/*
 * Another task needs a block: if a thread that zeroes free memory is at work on it, the thread is
 * scheduled as the others are, until it has finished the run. A policy that the administrator has
 * set stays.
 */
static void gmfs_zero_hurry(struct gmfs_pool *pool, u32 block)
{
	struct gmfs_scrubber *s;
	u32 i;

	guard(spinlock)(&pool->scrub.lock);
	for (i = 0; i < ARRAY_SIZE(pool->scrub.scrubbers); i++) {
		s = &pool->scrub.scrubbers[i];
		if (s->task && block >= s->block && block - s->block < GMFS_ZERO_RUN &&
		    s->task->policy == SCHED_IDLE) {
			s->hurried = true;
			sched_set_normal(s->task, 0);
		}
	}
}

static int gmfs_zero_lock(struct gmfs_pool *pool, u32 block, bool wait)
{
	if (!test_and_set_bit_lock(block, pool->zeroing))
		return 0;
	if (!wait)
		return -EBUSY;
	gmfs_zero_hurry(pool, block);
	return wait_on_bit_lock(pool->zeroing, block, TASK_KILLABLE) ? -EINTR : 0;
}

/* How many of the blocks from @block on, up to @end, have to be zeroed; locks all of them. */
static u32 gmfs_zero_lock_more(struct gmfs_pool *pool, u32 block, u32 end)
{
	u32 next;

	for (next = block; next < end; next++) {
		if (next > block && test_and_set_bit_lock(next, pool->zeroing))
			break;
		if (!test_bit(next, pool->tables.unzeroed)) {
			clear_and_wake_up_bit(next, pool->zeroing);
			break;
		}
	}
	return next - block;
}

static int gmfs_zero_bytes(const struct gmfs_pool *pool, u64 pos, size_t len)
{
	struct gmfs_window *window;

	window = gmfs_window_open(gmfs_block_phys(&pool->tables, pos >> GUESTMEMFS_BLOCK_SHIFT) +
				  (pos & (GMFS_BLOCK_SIZE - 1)), len);
	if (!window)
		return -ENOMEM;
	gmfs_zero_mapped(pool, window->va, pos, len);
	gmfs_window_close(window);
	return 0;
}

/*
 * Blocks with a poisoned frame are zeroed in halves, since a window of a part has no large entries.
 * Hardware may keep the frame private to a guest (gmfs_poison_lose()). With SNP, a write beside it
 * by an entry that maps both is a fault.
 */
static int gmfs_zero_locked(const struct gmfs_pool *pool, u32 block, u32 count)
{
	u64 pos = (u64)block << GUESTMEMFS_BLOCK_SHIFT;
	u64 end = pos + ((u64)count << GUESTMEMFS_BLOCK_SHIFT);
	u64 part = end - pos;
	int err = 0;

	if (gmfs_poisoned_next(&pool->poisoned, PHYS_PFN(pos), PHYS_PFN(end)) < PHYS_PFN(end))
		part = GMFS_BLOCK_SIZE / 2;
	for (; pos < end && !err; pos += part)
		err = gmfs_zero_bytes(pool, pos, part);
	return err;
}

/**
 * gmfs_zero_run - zero blocks that follow each other
 * @pool: the pool
 * @block: the first block; nobody else reaches an unzeroed block
 * @end: block after the last one
 * @wait: wait for a task that zeroes the first block
 *
 * Zeroes @block, if it is unzeroed, and the unzeroed blocks behind it, up to the end of an aligned
 * run of 32 MiB.
 *
 * Context: process context.
 * Return: the number of blocks, from @block on, of which none is unzeroed any more, at least 1;
 * -EINTR at a fatal signal; -EBUSY if another task zeroes the first block and @wait is not set;
 * -ENOMEM.
 */
int gmfs_zero_run(struct gmfs_pool *pool, u32 block, u32 end, bool wait)
{
	u32 count, i;
	int err;

	end = min(end, round_down(block, GMFS_ZERO_RUN) + GMFS_ZERO_RUN);
	err = gmfs_zero_lock(pool, block, wait);
	if (err)
		return err;
	/* Another task may have zeroed it meanwhile. */
	count = gmfs_zero_lock_more(pool, block, end);
	if (!count)
		return 1;
	err = gmfs_zero_locked(pool, block, count);
	/* Write the zeroes before the bits: a task that finds a bit clear maps it. */
	smp_mb__before_atomic();
	for (i = block; i < block + count; i++) {
		if (!err)
			clear_bit(i, pool->tables.unzeroed);
		clear_and_wake_up_bit(i, pool->zeroing);
	}
	if (!err)
		return count;
	/* A thread may have taken the blocks for another task's. */
	gmfs_scrub_wake(pool);
	return -ENOMEM;
}

/**
 * struct gmfs_zero_job - blocks that several tasks zero
 * @pool: the pool
 * @first: the first block that helpers may zero, at the beginning of an aligned run
 * @left: number of runs that no helper has begun
 * @stop: the task that needs the blocks wants no more help
 * @nr: number of helpers
 * @helpers: the helpers
 *
 * The task itself zeroes the blocks from the first one on, and helpers from the last one on.
 */
struct gmfs_zero_job {
	struct gmfs_pool *pool;
	u32 first;
	atomic_t left;
	bool stop;
	u32 nr;
	struct gmfs_zero_helper {
		struct work_struct work;
		struct gmfs_zero_job *job;
	} helpers[] __counted_by(nr);
};

static void gmfs_zero_help(struct work_struct *work)
{
	struct gmfs_zero_job *job = container_of(work, struct gmfs_zero_helper, work)->job;
	unsigned long *unzeroed = job->pool->tables.unzeroed;
	u32 block, end;
	int run;

	for (;;) {
		run = atomic_dec_return(&job->left);
		if (run < 0)
			return;
		block = job->first + run * GMFS_ZERO_RUN;
		end = block + GMFS_ZERO_RUN;
		while (!READ_ONCE(job->stop)) {
			block = find_next_bit(unzeroed, end, block);
			if (block >= end)
				break;
			/* The task itself finds what is left, and the reason. */
			if (gmfs_zero_run(job->pool, block, end, true) < 0)
				return;
			cond_resched();
		}
	}
}

/* Returns NULL if the task is to zero the blocks alone. */
static struct gmfs_zero_job *gmfs_zero_job_begin(struct gmfs_pool *pool, u32 block, u32 end)
{
	u32 nr = min(READ_ONCE(pool->scrub.helpers), (end - block) / GMFS_ZERO_SHARE);
	struct gmfs_zero_job *job;
	u32 i;

	if (!nr || find_next_bit(pool->tables.unzeroed, end, block) >= end)
		return NULL;
	job = kzalloc_flex(*job, helpers, nr);
	if (!job)
		return NULL;
	job->nr = nr;
	job->pool = pool;
	job->first = round_up(block, GMFS_ZERO_RUN);
	atomic_set(&job->left, (end - job->first) / GMFS_ZERO_RUN);
	for (i = 0; i < nr; i++) {
		job->helpers[i].job = job;
		INIT_WORK(&job->helpers[i].work, gmfs_zero_help);
		queue_work_node(gmfs_pool_cpus(pool), system_dfl_wq, &job->helpers[i].work);
	}
	return job;
}

/* Waits for at most one run of each helper. */
static void gmfs_zero_job_end(struct gmfs_zero_job *job)
{
	u32 i;

	if (!job)
		return;
	WRITE_ONCE(job->stop, true);
	for (i = 0; i < job->nr; i++)
		cancel_work_sync(&job->helpers[i].work);
	kfree(job);
}

/**
 * gmfs_zero_free - zero blocks that will leave the pool
 * @pool: the pool
 * @block: first block; the caller has marked all of them as allocated, and no file has them
 * @count: number of blocks
 *
 * Context: process context, after gmfs_change_begin().
 * Return: 0; -EINTR at a signal, -EBUSY if a freeze waits for the end of the change, or -ENOMEM.
 */
int gmfs_zero_free(struct gmfs_pool *pool, u32 block, u32 count)
{
	u32 end = block + count;
	int done;

	for (;;) {
		block = find_next_bit(pool->tables.unzeroed, end, block);
		if (block >= end)
			break;
		if (signal_pending(current))
			return -EINTR;
		if (rwsem_is_contended(&pool->changes))
			return -EBUSY;
		done = gmfs_zero_run(pool, block, end, true);
		if (done < 0)
			return done;
		cond_resched();
	}
	/* Pairs with gmfs_zero_run(). */
	smp_rmb();
	/* Other processors may have loaded addresses of windows; the blocks get another owner. */
	flush_tlb_all();
	return 0;
}

static int gmfs_zero_some(struct inode *inode, u32 block, u32 end, bool step)
{
	struct gmfs_pool *pool = GUESTMEMFS_SB(inode->i_sb);
	bool begun = false;
	int done;

	for (;; begun = true) {
		block = find_next_bit(pool->tables.unzeroed, end, block);
		if (block >= end)
			return 0;
		if (pool->tables.read_only)
			return -EROFS;
		if (fatal_signal_pending(current))
			return -EINTR;
		if (begun && step)
			return -EINPROGRESS;
		if (begun && signal_pending(current))
			return -EAGAIN;
		if (begun && rwsem_is_contended(&inode->i_mapping->invalidate_lock))
			return -EINPROGRESS;
		done = gmfs_zero_run(pool, block, end, true);
		if (done < 0)
			return done;
		cond_resched();
	}
}

/**
 * gmfs_zero_blocks - zero the unzeroed blocks of a run
 * @inode: the file that has the blocks
 * @block: first block
 * @count: number of blocks
 * @step: return after 32 MiB in any case, if there is more to zero
 *
 * Returns early, after 32 MiB at most, at a signal or if another task waits for invalidate_lock.
 * A caller that holds other locks, whose waiters cannot be detected, sets @step. Several
 * processors zero many blocks (gmfs_pool.scrub.helpers), each of them 32 MiB in a step.
 *
 * Context: process context. The caller holds the file's invalidate_lock, so that the file
 * cannot lose the blocks.
 * Return: 0 if all blocks are zeroed; -EINTR at a fatal signal, -EROFS if a feature forbids
 * writing to the pool, or -ENOMEM. After at least one block, so never with a @count of 1:
 * -EAGAIN at a signal that is not fatal, unless @step is set, or -EINPROGRESS at the end of a step
 * or if another task waits for invalidate_lock. The blocks that are left stay marked as unzeroed.
 */
int gmfs_zero_blocks(struct inode *inode, u32 block, u32 count, bool step)
{
	struct gmfs_pool *pool = GUESTMEMFS_SB(inode->i_sb);
	struct gmfs_zero_job *job = NULL;
	int err;

	lockdep_assert_held(&inode->i_mapping->invalidate_lock);
	if (count >= GMFS_ZERO_SHARE && !pool->tables.read_only)
		job = gmfs_zero_job_begin(pool, block, block + count);
	err = gmfs_zero_some(inode, block, block + count, step);
	gmfs_zero_job_end(job);
	/* Pairs with gmfs_zero_run(): a clear bit is read before the bytes of its block. */
	smp_rmb();
	return err;
}
