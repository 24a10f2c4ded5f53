// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lets a test stop a guest's fault after it has looked up its frame and before it locks the
 * page tables to map the frame, a window that is very short otherwise. The fault continues
 * when an invalidation has begun, and that invalidation then sleeps until the fault is done
 * (GMEM_TEST_FAULT_MS).
 *
 * gmem_provider_test/stop in debugfs: writing 1 stops the next fault. The file reads as 1 until
 * then, as 2 while a fault is stopped, and as 0 otherwise.
 */
#include <linux/atomic.h>
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/export.h>
#include <linux/gmem_provider.h>
#include <linux/init.h>
#include <linux/wait.h>

enum {
	GMEM_TEST_PASS,
	GMEM_TEST_STOP,
	GMEM_TEST_STOPPED,
};

/* Limit for a stopped fault, in case that no invalidation comes. */
#define GMEM_TEST_LIMIT		(60 * HZ)
/* How long the invalidation sleeps: more than a fault needs to map a frame it has looked up. */
#define GMEM_TEST_FAULT_MS	500

static atomic_t gmem_test_stop = ATOMIC_INIT(GMEM_TEST_PASS);
static DECLARE_WAIT_QUEUE_HEAD(gmem_test_wait);

/**
 * gmem_test_found - called by the consumer when it is about to map a frame
 *
 * Context: process context, without locks that an invalidation needs.
 */
void gmem_test_found(void)
{
	/*
	 * Read before the cmpxchg: faults that do not stop must not contend for the cache line,
	 * which would serialise them in tests for other races.
	 */
	if (atomic_read(&gmem_test_stop) != GMEM_TEST_STOP ||
	    atomic_cmpxchg(&gmem_test_stop, GMEM_TEST_STOP, GMEM_TEST_STOPPED) != GMEM_TEST_STOP)
		return;
	wait_event_killable_timeout(gmem_test_wait,
				    atomic_read(&gmem_test_stop) != GMEM_TEST_STOPPED,
				    GMEM_TEST_LIMIT);
	atomic_cmpxchg(&gmem_test_stop, GMEM_TEST_STOPPED, GMEM_TEST_PASS);
}
EXPORT_SYMBOL_FOR_MODULES(gmem_test_found, "kvm");

/**
 * gmem_test_invalidating - called by the consumer at the end of invalidate_begin()
 *
 * Context: process context, without locks that a fault needs to map a frame.
 */
void gmem_test_invalidating(void)
{
	if (atomic_read(&gmem_test_stop) != GMEM_TEST_STOPPED ||
	    atomic_cmpxchg(&gmem_test_stop, GMEM_TEST_STOPPED, GMEM_TEST_PASS) !=
	    GMEM_TEST_STOPPED)
		return;
	wake_up(&gmem_test_wait);
	msleep(GMEM_TEST_FAULT_MS);
}
EXPORT_SYMBOL_FOR_MODULES(gmem_test_invalidating, "kvm");

static int __init gmem_test_init(void)
{
	debugfs_create_atomic_t("stop", 0600, debugfs_create_dir("gmem_provider_test", NULL),
				&gmem_test_stop);
	return 0;
}
late_initcall(gmem_test_init);
