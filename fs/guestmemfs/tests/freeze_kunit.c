// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults in holes of a file whose pool is frozen: no fault waits for the thaw with mmap_lock or
 * locks of the hypervisor held.
 */
#include <linux/file.h>
#include <linux/gmem_provider.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/workqueue.h>

#include "../gmem.h"
#include "fixture_file.h"

/**
 * struct thawing - a delayed thaw
 * @work: thaws the pool
 * @pool: the frozen pool
 */
struct thawing {
	struct delayed_work work;
	struct gmfs_pool *pool;
};

static void thaw(struct work_struct *work)
{
	gmfs_pool_thaw(container_of(work, struct thawing, work.work)->pool);
}

/* Thaws the pool after two seconds, so that a fault that does wait for it does not hang. */
static void freeze(struct thawing *thawing, struct gmfs_test_file *t)
{
	/* There is no memory behind the blocks: mark them as zeroed. */
	bitmap_zero(t->pool.tables.unzeroed, t->pool.tables.nr_blocks);
	thawing->pool = &t->pool;
	INIT_DELAYED_WORK_ONSTACK(&thawing->work, thaw);
	gmfs_pool_freeze(&t->pool);
	schedule_delayed_work(&thawing->work, 2 * HZ);
}

/* Returns true if the pool was still frozen, i.e. nothing has waited for the delayed thaw. */
static bool end_freeze(struct thawing *thawing)
{
	bool early = cancel_delayed_work_sync(&thawing->work);

	if (early)
		gmfs_pool_thaw(thawing->pool);
	destroy_delayed_work_on_stack(&thawing->work);
	return early;
}

/* Nothing is invalidated, or private in hardware. */
static const struct gmem_binding_ops no_ops;

/* get_pfn() returns -EAGAIN, so KVM can release its locks; it does not wait for the thaw. */
static void a_guest_comes_again(struct kunit *test)
{
	struct gmfs_test_file *t = gmfs_test_begin(test);
	struct gmem_binding b = { .end = 1, .vm_id = 1, .ops = &no_ops };
	const struct gmem_provider_ops *ops;
	struct thawing thawing;
	struct file *gmem;
	unsigned long pfn;
	int order;

	gmem = gmfs_gmem_file(t->file, 1, 0);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, gmem);
	ops = gmem_provider_of(gmem);
	freeze(&thawing, t);
	KUNIT_EXPECT_EQ(test, ops->get_pfn(gmem, &b, 0, &pfn, &order), -EAGAIN);
	KUNIT_EXPECT_TRUE(test, end_freeze(&thawing));
	KUNIT_EXPECT_EQ(test, ops->get_pfn(gmem, &b, 0, &pfn, &order), 0);
	fput(gmem);
	flush_delayed_fput();
}

/* A fault that may not release mmap_lock returns, so that its caller can release the lock. */
static void mmap_lock_is_not_held(struct kunit *test)
{
	static const unsigned int cases[] = {
		0,
		FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_KILLABLE | FAULT_FLAG_TRIED,
	};
	struct gmfs_test_file *t = gmfs_test_begin(test);
	struct vm_area_struct *vma;
	struct thawing thawing;
	unsigned long addr;
	vm_fault_t ret;
	int i;

	addr = kunit_vm_mmap(test, t->file, 0, GMFS_BLOCK_SIZE, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_NORESERVE, 0);
	KUNIT_ASSERT_FALSE(test, IS_ERR_VALUE(addr));
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		freeze(&thawing, t);
		mmap_read_lock(current->mm);
		ret = VM_FAULT_SIGSEGV;
		vma = vma_lookup(current->mm, addr);
		if (vma)
			ret = handle_mm_fault(vma, addr, FAULT_FLAG_WRITE | cases[i], NULL);
		mmap_read_unlock(current->mm);
		KUNIT_EXPECT_TRUE(test, ret == VM_FAULT_NOPAGE);
		KUNIT_EXPECT_TRUE(test, end_freeze(&thawing));
		KUNIT_EXPECT_EQ(test, t->inode->i_blocks, 0);
	}
}

static struct kunit_case gmfs_freeze_cases[] = {
	KUNIT_CASE(a_guest_comes_again),
	KUNIT_CASE(mmap_lock_is_not_held),
	{}
};

static struct kunit_suite gmfs_freeze_suite = {
	.name		= "guestmemfs_freeze",
	.test_cases	= gmfs_freeze_cases,
};

kunit_test_suite(gmfs_freeze_suite);
