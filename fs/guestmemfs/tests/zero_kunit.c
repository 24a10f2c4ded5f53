// SPDX-License-Identifier: GPL-2.0-only
/*
 * A task that waits for a block which a thread zeroes: the thread must not go on waiting for a
 * processor that has nothing else to do.
 */
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/sched.h>

#include "fixture_file.h"

/* The block that the thread is said to zero, at the beginning of its run. */
#define BLOCK	64

static int sleeper(void *data)
{
	while (!kthread_should_stop())
		schedule_timeout_interruptible(HZ);
	return 0;
}

/**
 * struct waiter - a task that needs a block
 * @pool: the pool
 * @block: the block
 * @done: what gmfs_zero_run() returned
 */
struct waiter {
	struct gmfs_pool *pool;
	u32 block;
	int done;
};

static int wait_for_block(void *data)
{
	struct waiter *w = data;

	w->done = gmfs_zero_run(w->pool, w->block, w->block + 1, true);
	return sleeper(NULL);
}

/*
 * Makes a thread with @policy that says it is zeroing the run of BLOCK, and a task that needs
 * @block of it. Returns the thread's policy while the task waits; the wait is over then.
 */
static unsigned int policy_while_waiting(struct kunit *test, struct gmfs_test_file *t, int policy,
					 u32 block)
{
	struct gmfs_scrubber *s = &t->pool.scrub.scrubbers[3];
	const struct sched_param param = { .sched_priority = policy == SCHED_FIFO };
	struct waiter w = { .pool = &t->pool, .block = block };
	struct task_struct *task;
	unsigned int seen;
	int i;

	s->pool = &t->pool;
	s->block = BLOCK;
	s->hurried = false;
	s->task = kthread_run(sleeper, NULL, "gmfs_test_zero");
	KUNIT_ASSERT_FALSE(test, IS_ERR(s->task));
	KUNIT_EXPECT_EQ(test, sched_setscheduler_nocheck(s->task, policy, &param), 0);
	/* There is no memory behind the block: it is zeroed, and locked. */
	bitmap_zero(t->pool.tables.unzeroed, t->pool.tables.nr_blocks);
	set_bit(block, t->pool.zeroing);
	task = kthread_run(wait_for_block, &w, "gmfs_test_wait");
	for (i = 0; !IS_ERR(task) && i < 2000; i++) {
		if (READ_ONCE(task->__state) & TASK_WAKEKILL)
			break;
		usleep_range(1000, 2000);
	}
	seen = s->task->policy;
	KUNIT_EXPECT_EQ(test, READ_ONCE(w.done), 0);
	clear_and_wake_up_bit(block, t->pool.zeroing);
	KUNIT_EXPECT_FALSE(test, IS_ERR(task));
	if (!IS_ERR(task))
		kthread_stop(task);
	KUNIT_EXPECT_EQ(test, w.done, 1);
	kthread_stop(s->task);
	s->task = NULL;
	return seen;
}

static void a_thread_that_others_wait_for_hurries(struct kunit *test)
{
	struct gmfs_test_file *t = gmfs_test_begin(test);
	struct gmfs_scrubber *s = &t->pool.scrub.scrubbers[3];

	KUNIT_EXPECT_EQ(test, policy_while_waiting(test, t, SCHED_IDLE, BLOCK), SCHED_NORMAL);
	KUNIT_EXPECT_TRUE(test, s->hurried);
	/* The last block of its run, and the one behind it. */
	KUNIT_EXPECT_EQ(test, policy_while_waiting(test, t, SCHED_IDLE,
						   BLOCK + GMFS_WINDOW_BLOCKS - 1), SCHED_NORMAL);
	KUNIT_EXPECT_EQ(test, policy_while_waiting(test, t, SCHED_IDLE,
						   BLOCK + GMFS_WINDOW_BLOCKS), SCHED_IDLE);
	KUNIT_EXPECT_FALSE(test, s->hurried);
}

/* Also a policy that is more urgent than that of ordinary tasks. */
static void a_policy_of_the_administrator_stays(struct kunit *test)
{
	static const int policies[] = { SCHED_BATCH, SCHED_FIFO };
	struct gmfs_test_file *t = gmfs_test_begin(test);
	int i;

	for (i = 0; i < ARRAY_SIZE(policies); i++) {
		KUNIT_EXPECT_EQ(test, policy_while_waiting(test, t, policies[i], BLOCK),
				policies[i]);
		KUNIT_EXPECT_FALSE(test, t->pool.scrub.scrubbers[3].hurried);
	}
}

static struct kunit_case gmfs_zero_cases[] = {
	KUNIT_CASE(a_thread_that_others_wait_for_hurries),
	KUNIT_CASE(a_policy_of_the_administrator_stays),
	{}
};

static struct kunit_suite gmfs_zero_suite = {
	.name		= "guestmemfs_zero",
	.test_cases	= gmfs_zero_cases,
};

kunit_test_suite(gmfs_zero_suite);
