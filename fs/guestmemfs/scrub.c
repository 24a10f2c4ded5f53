// SPDX-License-Identifier: GPL-2.0-only
/*
 * Threads that zero blocks before anybody needs them: those that files have given up, and those of
 * a new pool or that a pool has grown by.
 *
 * The threads run when a processor has nothing else to do, and near the pool, but not on processors
 * that are isolated. They therefore hold no lock that other tasks need, but that of the blocks that
 * they zero: gmfs_zero_hurry() makes them ordinary threads while a task waits for such a block.
 */
#include <linux/bitmap.h>
#include <linux/bitops.h>
#include <linux/fs.h>
#include <linux/init.h>
#include <linux/kthread.h>
#include <linux/math64.h>
#include <linux/minmax.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/topology.h>

#include "internal.h"

/* With a rate, a thread zeroes at a time what the rate allows in 1/16 s. */
#define GMFS_SCRUB_SLICES	16

/*
 * guestmemfs.zero_threads=: how many threads each pool has. None with KMSAN, which makes mapping
 * slow and leaks its shadow of each mapping. Not by module_param(), as in kexec.c.
 */
static unsigned int gmfs_zero_threads = !IS_ENABLED(CONFIG_KMSAN);
module_param_cb(zero_threads, &param_ops_uint, &gmfs_zero_threads, 0444);

/* Finds a block that is unzeroed and that no task zeroes now. None is found in a frozen pool. */
static bool gmfs_scrub_find(struct gmfs_scrubber *s, u32 *block)
{
	const struct gmfs_pool *pool = s->pool;
	const unsigned long *unzeroed = pool->tables.unzeroed;
	u32 nr = READ_ONCE(pool->tables.nr_blocks);

	if (READ_ONCE(pool->frozen))
		return false;
	*block = find_next_andnot_bit(unzeroed, pool->zeroing, nr, s->next);
	if (*block < nr)
		return true;
	nr = min(nr, s->next);
	*block = find_next_andnot_bit(unzeroed, pool->zeroing, nr, 0);
	return *block < nr;
}

static void gmfs_scrub_idle(struct task_struct *task)
{
	static const struct sched_param none;

	sched_setscheduler_nocheck(task, SCHED_IDLE, &none);
}

static void gmfs_scrub_set(struct gmfs_scrubber *s, u32 block)
{
	guard(spinlock)(&s->pool->scrub.lock);
	s->block = block;
	if (s->hurried)
		gmfs_scrub_idle(current);
	s->hurried = false;
}

/*
 * Tells the allocator of blocks that were zeroed. A thread that is preempted while it holds
 * gmfs_pool.lock might keep all others from the pool for long.
 */
static bool gmfs_scrub_tell(struct gmfs_scrubber *s)
{
	struct gmfs_pool *pool = s->pool;

	guard(preempt)();
	if (!mutex_trylock(&pool->lock))
		return false;
	gmfs_groups_zeroed(&pool->tables, s->first, s->next - s->first);
	mutex_unlock(&pool->lock);
	return true;
}

/* Sleeps for @ticks, or until the thread is to end or the rate is another one. */
static void gmfs_scrub_sleep(struct gmfs_scrubber *s, u64 rate, u64 ticks)
{
	struct gmfs_scrub *scrub = &s->pool->scrub;

	wait_event_interruptible_timeout(scrub->rests,
					 kthread_should_stop() || READ_ONCE(scrub->rate) != rate,
					 min(ticks, (u64)MAX_SCHEDULE_TIMEOUT - 1));
}

/* Sleeps so that the threads of the pool together do not exceed its rate. */
static void gmfs_scrub_rest(struct gmfs_scrubber *s, u64 rate, u32 blocks)
{
	u64 share = div_u64(rate, max(READ_ONCE(s->pool->scrub.threads), 1U)), ticks;

	if (!rate) {
		s->debt = 0;
		return;
	}
	s->debt += (u64)blocks << GUESTMEMFS_BLOCK_SHIFT;
	ticks = div64_u64(s->debt * HZ, share);
	s->debt -= div64_u64(ticks * share, HZ);
	if (ticks)
		gmfs_scrub_sleep(s, rate, ticks);
}

static void gmfs_scrub_some(struct gmfs_scrubber *s, u32 block)
{
	u64 rate = READ_ONCE(s->pool->scrub.rate);
	u32 most = GMFS_WINDOW_BLOCKS;
	int done;

	if (rate)
		most = clamp(rate / GMFS_SCRUB_SLICES >> GUESTMEMFS_BLOCK_SHIFT, 1ULL, most);
	gmfs_scrub_set(s, block);
	done = gmfs_zero_run(s->pool, block, min(block + most, s->pool->tables.nr_blocks), false);
	gmfs_scrub_set(s, GMFS_NO_BLOCK);
	s->first = block;
	s->next = block + max(done, 1);
	if (done > 0) {
		while (!gmfs_scrub_tell(s) && !kthread_should_stop())
			schedule_timeout_interruptible(1);
		gmfs_scrub_rest(s, rate, done);
	} else if (done == -ENOMEM) {
		gmfs_scrub_sleep(s, rate, HZ);
	}
}

static int gmfs_scrub_thread(void *data)
{
	struct gmfs_scrubber *s = data;
	wait_queue_head_t *wait = &s->pool->scrub.wait;
	u32 block;

	while (!kthread_should_stop()) {
		if (gmfs_scrub_find(s, &block)) {
			gmfs_scrub_some(s, block);
			cond_resched();
			continue;
		}
		/* One thread is woken, and wakes the next one if there is more to do. */
		wait_event_interruptible_exclusive(*wait, kthread_should_stop() ||
						   gmfs_scrub_find(s, &block));
		gmfs_scrub_wake(s->pool);
	}
	return 0;
}

static int gmfs_scrub_begin(struct gmfs_pool *pool, u32 i)
{
	struct gmfs_scrubber *s = &pool->scrub.scrubbers[i];
	struct task_struct *task;

	if (s->task)
		return 0;
	s->pool = pool;
	s->block = GMFS_NO_BLOCK;
	/* Each begins in a part of its own. */
	s->next = mult_frac(pool->tables.nr_blocks, i, GMFS_SCRUBBERS);
	task = kthread_create_on_node(gmfs_scrub_thread, s, gmfs_pool_cpus(pool),
				      "gmfs_zero/%d:%u", pool->node, i);
	if (IS_ERR(task))
		return PTR_ERR(task);
	gmfs_scrub_idle(task);
	scoped_guard(spinlock, &pool->scrub.lock)
		s->task = task;
	wake_up_process(task);
	return 0;
}

/* Waits for the run that the thread zeroes, for which it must not have to wait for a processor. */
static void gmfs_scrub_end(struct gmfs_pool *pool, u32 i)
{
	struct gmfs_scrubber *s = &pool->scrub.scrubbers[i];
	struct task_struct *task = s->task;

	if (!task)
		return;
	scoped_guard(spinlock, &pool->scrub.lock) {
		s->task = NULL;
		s->hurried = false;
		if (task->policy == SCHED_IDLE)
			sched_set_normal(task, 0);
	}
	kthread_stop(task);
}

/* Begins and ends threads, so that there are @nr. */
static int gmfs_scrub_threads(struct gmfs_pool *pool, u32 nr)
{
	int err = 0;
	u32 i;

	lockdep_assert_held(&pool->scrub.change);
	for (i = 0; i < GMFS_SCRUBBERS; i++)
		if (i >= nr)
			gmfs_scrub_end(pool, i);
		else if (!err)
			err = gmfs_scrub_begin(pool, i);
	return err;
}

/**
 * gmfs_scrub_start - begin to zero what is to be zeroed of a pool
 * @pool: the pool, whose tables are loaded and may be changed
 *
 * If there is no memory for a thread, memory is zeroed when it is needed.
 */
void gmfs_scrub_start(struct gmfs_pool *pool)
{
	guard(mutex)(&pool->scrub.change);
	pool->scrub.active = true;
	gmfs_scrub_threads(pool, pool->scrub.threads);
}

/**
 * gmfs_scrub_stop - end what gmfs_scrub_start() has begun, if it has been called
 * @pool: the pool
 *
 * Context: process context, before the tables are unloaded.
 */
void gmfs_scrub_stop(struct gmfs_pool *pool)
{
	guard(mutex)(&pool->scrub.change);
	pool->scrub.active = false;
	gmfs_scrub_threads(pool, 0);
}

/**
 * gmfs_scrub_set_threads - change how many threads zero memory of a pool
 * @pool: the pool, mounted or not
 * @nr: the number, 0 for none
 *
 * Return: 0; -EINVAL if it is more than %GMFS_SCRUBBERS; or an error of kthread_create(), with as
 * many threads as before.
 */
int gmfs_scrub_set_threads(struct gmfs_pool *pool, u32 nr)
{
	int err = 0;

	if (nr > GMFS_SCRUBBERS)
		return -EINVAL;
	guard(mutex)(&pool->scrub.change);
	if (pool->scrub.active)
		err = gmfs_scrub_threads(pool, nr);
	if (err)
		gmfs_scrub_threads(pool, pool->scrub.threads);
	else
		WRITE_ONCE(pool->scrub.threads, nr);
	return err;
}

/**
 * gmfs_scrub_set_rate - limit how fast threads zero memory of a pool
 * @pool: the pool, mounted or not
 * @rate: bytes a second of all threads together, 0 for no limit
 *
 * Return: 0, or -EINVAL if it is less than a block a second, or more than a TiB: products with HZ
 * have 64 bits.
 */
int gmfs_scrub_set_rate(struct gmfs_pool *pool, u64 rate)
{
	if (rate && (rate < GMFS_BLOCK_SIZE || rate > SZ_1T))
		return -EINVAL;
	WRITE_ONCE(pool->scrub.rate, rate);
	wake_up_all(&pool->scrub.rests);
	return 0;
}

/* As hugetlb does at boot: a quarter of the processors of a node. */
static u32 __init gmfs_scrub_helpers(const struct gmfs_pool *pool)
{
	int node = gmfs_pool_cpus(pool);
	u32 cpus = node == NUMA_NO_NODE ? 0 : nr_cpus_node(node);

	if (num_online_cpus() == 1)
		return 0;
	return clamp(cpus / 4, 1, GMFS_SCRUBBERS);
}

/* Before a pool can be mounted, and after the command line was parsed. */
static int __init gmfs_scrub_init(void)
{
	struct gmfs_pool *pool;

	list_for_each_entry(pool, &gmfs_pools, list) {
		pool->scrub.threads = min(gmfs_zero_threads, GMFS_SCRUBBERS);
		pool->scrub.helpers = gmfs_scrub_helpers(pool);
	}
	return 0;
}
fs_initcall(gmfs_scrub_init);
