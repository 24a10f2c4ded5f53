// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lets a test stop a guest's fault after the provider has answered it, i.e. before KVM locks its
 * page tables to map the frame, a window that is very short otherwise. The fault continues when
 * KVM has unmapped the part of an invalidation, and that invalidation then sleeps until the fault
 * is done (GMEM_STOP_FAULT_MS).
 *
 * This is a provider in front of guestmemfs, with all of its operations, and each binding gets
 * operations in front of KVM's: neither guestmemfs nor KVM has code for it.
 *
 * guestmemfs_test/stop_fault in debugfs: writing 1 stops the next fault. The file reads as 1 until
 * then, as 2 while a fault is stopped, and as 0 otherwise.
 */
#include <linux/atomic.h>
#include <linux/container_of.h>
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/gmem_provider.h>
#include <linux/init.h>
#include <linux/slab.h>
#include <linux/wait.h>

#include "../gmem.h"

enum {
	GMEM_STOP_NONE,
	GMEM_STOP_NEXT,
	GMEM_STOP_STOPPED,
};

/* Limit for a stopped fault, in case that no invalidation comes. */
#define GMEM_STOP_LIMIT		(60 * HZ)
/* How long the invalidation sleeps: more than a fault needs to map a frame it has looked up. */
#define GMEM_STOP_FAULT_MS	500

/**
 * struct gmem_stop_ops - operations of a binding in front of those of the consumer
 * @ops: what guestmemfs calls
 * @real: the consumer's own
 */
struct gmem_stop_ops {
	struct gmem_binding_ops ops;
	const struct gmem_binding_ops *real;
};

static atomic_t gmem_stop = ATOMIC_INIT(GMEM_STOP_NONE);
static DECLARE_WAIT_QUEUE_HEAD(gmem_stop_wait);
static const struct gmem_provider_ops *gmem_stop_real;
static struct gmem_provider_ops gmem_stop_provider_ops;

static const struct gmem_stop_ops *gmem_stop_ops_of(const struct gmem_binding *b)
{
	return container_of_const(b->ops, struct gmem_stop_ops, ops);
}

static void gmem_stop_invalidate_begin(struct gmem_binding *b, pgoff_t start, pgoff_t end)
{
	gmem_stop_ops_of(b)->real->invalidate_begin(b, start, end);
	if (atomic_read(&gmem_stop) != GMEM_STOP_STOPPED ||
	    atomic_cmpxchg(&gmem_stop, GMEM_STOP_STOPPED, GMEM_STOP_NONE) != GMEM_STOP_STOPPED)
		return;
	wake_up(&gmem_stop_wait);
	msleep(GMEM_STOP_FAULT_MS);
}

static int gmem_stop_bind(struct file *file, struct gmem_binding *b)
{
	struct gmem_stop_ops *stop = kmalloc_obj(*stop);
	int err;

	if (!stop)
		return -ENOMEM;
	stop->real = b->ops;
	stop->ops = *b->ops;
	stop->ops.invalidate_begin = gmem_stop_invalidate_begin;
	b->ops = &stop->ops;
	err = gmem_stop_real->bind(file, b);
	if (err) {
		b->ops = stop->real;
		kfree(stop);
	}
	return err;
}

static void gmem_stop_unbind(struct file *file, struct gmem_binding *b)
{
	const struct gmem_stop_ops *stop = gmem_stop_ops_of(b);

	gmem_stop_real->unbind(file, b);
	b->ops = stop->real;
	kfree(stop);
}

static int gmem_stop_get_pfn(struct file *file, struct gmem_binding *b, pgoff_t index,
			     unsigned long *pfn, int *order)
{
	int err = gmem_stop_real->get_pfn(file, b, index, pfn, order);

	/*
	 * Read before the cmpxchg: faults that do not stop must not contend for the cache line,
	 * which would serialise them in tests for other races.
	 */
	if (err || atomic_read(&gmem_stop) != GMEM_STOP_NEXT ||
	    atomic_cmpxchg(&gmem_stop, GMEM_STOP_NEXT, GMEM_STOP_STOPPED) != GMEM_STOP_NEXT)
		return err;
	wait_event_killable_timeout(gmem_stop_wait, atomic_read(&gmem_stop) != GMEM_STOP_STOPPED,
				    GMEM_STOP_LIMIT);
	atomic_cmpxchg(&gmem_stop, GMEM_STOP_STOPPED, GMEM_STOP_NONE);
	return 0;
}

static int __init gmem_stop_init(void)
{
	/* refuse.c creates the directory, in an earlier initcall. */
	struct dentry *dir = debugfs_lookup("guestmemfs_test", NULL);

	gmem_stop_real = gmfs_gmem_provider.ops;
	gmem_stop_provider_ops = *gmem_stop_real;
	gmem_stop_provider_ops.bind = gmem_stop_bind;
	gmem_stop_provider_ops.unbind = gmem_stop_unbind;
	gmem_stop_provider_ops.get_pfn = gmem_stop_get_pfn;
	/* Nobody has a file of guestmemfs yet. */
	gmfs_gmem_provider.ops = &gmem_stop_provider_ops;
	if (dir)
		debugfs_create_atomic_t("stop_fault", 0600, dir, &gmem_stop);
	dput(dir);
	return 0;
}
late_initcall_sync(gmem_stop_init);
