// SPDX-License-Identifier: GPL-2.0-only
/*
 * A place where a test can stop a fault: when its frame is known, and the page tables are not
 * locked yet to enter it. A guest is there for a moment only. What has stopped goes on when
 * an invalidation has begun, and that one waits until the fault is through.
 *
 * gmem_provider_test/stop in debugfs: the next fault stops after a 1 was written to it. It
 * reads as 2 while a fault waits, and as 0 when none does or will.
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

/* For an invalidation that never comes. */
#define GMEM_TEST_LIMIT		(60 * HZ)
/* Enough for a fault that has its frame. */
#define GMEM_TEST_FAULT_MS	500

static atomic_t gmem_test_stop = ATOMIC_INIT(GMEM_TEST_PASS);
static DECLARE_WAIT_QUEUE_HEAD(gmem_test_wait);

/**
 * gmem_test_found - the consumer has got a frame that it is about to map
 *
 * Context: process context, without locks that an invalidation needs.
 */
void gmem_test_found(void)
{
	/* All other faults only read, so as not to queue up here: races are tested as well. */
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
 * gmem_test_invalidating - the consumer has done what invalidate_begin() asks of it
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
