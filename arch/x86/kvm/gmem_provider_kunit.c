// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memslots of a provider: which VMs can have them, which faults an invalidation repeats, and
 * that the provider cannot sleep where KVM must not. The VMs are bare data structures, so that
 * each type of VM is tested on any processor.
 */
#include <kunit/static_stub.h>
#include <kunit/test.h>
#include <linux/anon_inodes.h>
#include <linux/atomic.h>
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/file.h>
#include <linux/gmem_provider.h>
#include <linux/kthread.h>
#include <linux/kvm_host.h>
#include <linux/sched.h>

#include "../../../virt/kvm/guest_memfd.h"

#define BLOCK	((gfn_t)PTRS_PER_PTE)
#define GIB	(BLOCK * PTRS_PER_PMD)

/* Number of calls of is_private(), and of those outside of RCU, where it could sleep unnoticed. */
static int asked, asked_outside;

static int test_bind(struct file *file, struct gmem_binding *b)
{
	return 0;
}

static void test_unbind(struct file *file, struct gmem_binding *b)
{
}

static bool test_is_private(struct file *file, pgoff_t index)
{
	asked++;
	if (!rcu_read_lock_held())
		asked_outside++;
	return true;
}

/* As a provider does with the lock of the file held. */
static int test_get_pfn(struct file *file, struct gmem_binding *b, pgoff_t index,
			unsigned long *pfn, int *order)
{
	*pfn = 1000 + index;
	*order = b->ops->make_private ? 0 : PMD_ORDER;
	return b->ops->make_private ? b->ops->make_private(b, index, *pfn) : 0;
}

static int test_populate(struct file *file, struct gmem_binding *b, pgoff_t index,
			 int (*fill)(void *data, unsigned long pfn), void *data)
{
	return fill(data, 1000 + index);
}

static const struct file_operations test_fops;

static const struct gmem_provider_ops test_ops = {
	.bind		= test_bind,
	.unbind		= test_unbind,
	.is_private	= test_is_private,
	.get_pfn	= test_get_pfn,
	.populate	= test_populate,
};

static struct gmem_provider test_provider = {
	.fops	= &test_fops,
	.ops	= &test_ops,
};

/**
 * struct vm_type - a type of VMs
 * @type: the argument of KVM_CREATE_VM
 * @supported: VMs of this type can have memory of a provider
 */
struct vm_type {
	unsigned long type;
	bool supported;
};

static const struct vm_type vm_types[] = {
	{ KVM_X86_DEFAULT_VM,		true },
	{ KVM_X86_SW_PROTECTED_VM,	true },
	{ KVM_X86_SEV_VM,		false },
	{ KVM_X86_SEV_ES_VM,		false },
	{ KVM_X86_SNP_VM,		false },
	{ KVM_X86_TDX_VM,		false },
	/* Types that do not exist (yet). */
	{ KVM_X86_TDX_VM + 1,		false },
	{ 255,				false },
};

static struct kvm *make_vm(struct kunit *test, unsigned long type)
{
	struct kvm *kvm = kunit_kzalloc(test, sizeof(*kvm), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, kvm);
	mutex_init(&kvm->slots_lock);
	rwlock_init(&kvm->mmu_lock);
	kvm->arch.vm_type = type;
	return kvm;
}

static int prepare(struct kvm *kvm, struct kvm_memory_slot *slot, struct file *file)
{
	int err;

	memset(slot, 0, sizeof(*slot));
	slot->npages = BLOCK;
	guard(mutex)(&kvm->slots_lock);
	err = kvm_gmem_provider_prepare(kvm, slot, get_file(file), 0);
	/* The test has a reference. */
	if (!err)
		fput(file);
	return err;
}

static void slots_by_type(struct kunit *test)
{
	struct file *file = test->priv;
	struct kvm_memory_slot slot;
	int i;

	for (i = 0; i < ARRAY_SIZE(vm_types); i++)
		KUNIT_EXPECT_EQ_MSG(test, vm_types[i].supported ? 0 : -EOPNOTSUPP,
				    prepare(make_vm(test, vm_types[i].type), &slot, file),
				    "type %lu", vm_types[i].type);
}

/* KVM_SEV_INIT and similar ioctls exclude providers, as they can encrypt a VM of any type. */
static void no_slots_after_encryption(struct kunit *test)
{
	struct file *file = test->priv;
	struct kvm_memory_slot slot;
	struct kvm *kvm;
	int i;

	for (i = 0; i < ARRAY_SIZE(vm_types); i++) {
		kvm = make_vm(test, vm_types[i].type);
		KUNIT_EXPECT_EQ(test, 0, kvm_gmem_provider_exclude(kvm));
		KUNIT_EXPECT_EQ_MSG(test, -EOPNOTSUPP, prepare(kvm, &slot, file), "type %lu",
				    vm_types[i].type);
		KUNIT_EXPECT_EQ(test, 0, kvm_gmem_provider_exclude(kvm));
	}
}

static void no_encryption_after_slots(struct kunit *test)
{
	struct file *file = test->priv;
	struct kvm_memory_slot slot;
	struct kvm *kvm;
	int i;

	for (i = 0; i < ARRAY_SIZE(vm_types); i++) {
		kvm = make_vm(test, vm_types[i].type);
		if (prepare(kvm, &slot, file))
			continue;
		KUNIT_ASSERT_EQ(test, 0, kvm_gmem_commit_memory_region(kvm, &slot));
		KUNIT_EXPECT_EQ_MSG(test, -EBUSY, kvm_gmem_provider_exclude(kvm), "type %lu",
				    vm_types[i].type);
		kvm_gmem_unbind(&slot);
		KUNIT_EXPECT_EQ(test, 0, kvm_gmem_provider_exclude(kvm));
		KUNIT_EXPECT_EQ(test, -EOPNOTSUPP, prepare(kvm, &slot, file));
	}
}

/**
 * struct widening - a change, and the pages whose faults must be repeated
 * @what: the case
 * @base: first guest page of the slot
 * @npages: number of pages of the slot
 * @pgoff: first page of the slot in the file
 * @start: first page that changes
 * @end: page after the last one that changes
 * @first: first page that an entry can map together with a page that changes
 * @last: page after the last one that an entry can map together with a page that changes
 */
struct widening {
	const char *what;
	gfn_t base, npages;
	pgoff_t pgoff;
	gfn_t start, end, first, last;
};

static const struct widening widenings[] = {
	{ "gigabytes", GIB, 3 * GIB, 0, 2 * GIB + 5, 2 * GIB + 6, 2 * GIB, 3 * GIB },
	{ "a whole one", GIB, 3 * GIB, 0, 2 * GIB, 3 * GIB, 2 * GIB, 3 * GIB },
	{ "two of them", GIB, 3 * GIB, 0, 2 * GIB - 1, 2 * GIB + 1, GIB, 3 * GIB },
	{ "less than one", GIB, GIB - BLOCK, 0, GIB + 5, GIB + 6, GIB, GIB + BLOCK },
	{ "the rest of one", GIB, GIB + BLOCK, 0, 2 * GIB, 2 * GIB + 1, 2 * GIB,
	  2 * GIB + BLOCK },
	{ "from one to the rest", GIB, GIB + BLOCK, 0, 2 * GIB - 1, 2 * GIB + 1, GIB,
	  2 * GIB + BLOCK },
	{ "a part of a block", GIB, BLOCK / 2, 0, GIB + 5, GIB + 7, GIB + 5, GIB + 7 },
	{ "a block off", GIB, 3 * GIB, BLOCK, 2 * GIB + 5, 2 * GIB + 6, 2 * GIB,
	  2 * GIB + BLOCK },
	{ "a page off", GIB, 3 * GIB, 1, 2 * GIB + 5, 2 * GIB + 6, 2 * GIB + 5, 2 * GIB + 6 },
	{ "off alike", GIB + 7, 2 * GIB, 7, GIB + 9, GIB + 10, GIB + 9, GIB + 10 },
	{ "off alike, behind that", GIB + 7, 2 * GIB, 7, 2 * GIB + 9, 2 * GIB + 10, 2 * GIB,
	  3 * GIB },
};

static void widened(struct kunit *test)
{
	const struct widening *w;
	int i;

	for (i = 0; i < ARRAY_SIZE(widenings); i++) {
		struct kvm_memory_slot slot = {};
		gfn_t start, end;

		w = &widenings[i];
		slot.base_gfn = w->base;
		slot.npages = w->npages;
		slot.gmem.pgoff = w->pgoff;
		start = w->start;
		end = w->end;
		kvm_gmem_widen(&slot, &start, &end);
		KUNIT_EXPECT_EQ_MSG(test, w->first, start, "%s", w->what);
		KUNIT_EXPECT_EQ_MSG(test, w->last, end, "%s", w->what);
	}
}

/* Makes a VM with one slot of the provider, for which kvm_mem_is_private() calls it. */
static struct kvm *make_vm_with_slot(struct kunit *test, struct kvm_memory_slot *slot)
{
	struct kvm *kvm = make_vm(test, KVM_X86_SW_PROTECTED_VM);

	KUNIT_ASSERT_EQ(test, 0, prepare(kvm, slot, test->priv));
	KUNIT_ASSERT_EQ(test, 0, kvm_gmem_commit_memory_region(kvm, slot));
	slot->flags |= KVM_MEM_GUEST_MEMFD;
	kvm->arch.has_private_mem = true;
	rcu_assign_pointer(kvm->memslots[0], &kvm->__memslots[0][0]);
	atomic_long_set(&kvm->__memslots[0][0].last_used_slot, (unsigned long)slot);
	return kvm;
}

/*
 * kvm_mem_is_private() may be called under mmu_lock. If KVM asked without rcu_read_lock(), a
 * provider that sleeps would be found only when mmu_lock is held, i.e. hardly ever.
 */
static void asked_under_rcu(struct kunit *test)
{
	struct kvm_memory_slot slot;
	struct kvm *kvm = make_vm_with_slot(test, &slot);

	asked = 0;
	asked_outside = 0;
	KUNIT_EXPECT_TRUE(test, kvm_mem_is_private(kvm, 0));
	write_lock(&kvm->mmu_lock);
	KUNIT_EXPECT_TRUE(test, kvm_mem_is_private(kvm, 0));
	write_unlock(&kvm->mmu_lock);
	kvm_gmem_unbind(&slot);
	KUNIT_EXPECT_EQ(test, 2, asked);
	KUNIT_EXPECT_EQ(test, 0, asked_outside);
}

/* The arguments of kvm_gmem_make_private(), how often it was called, and its result. */
static gfn_t made_gfn;
static kvm_pfn_t made_pfn;
static int made, made_ret;

static int note_private(struct kvm *kvm, gfn_t gfn, kvm_pfn_t pfn)
{
	made++;
	made_gfn = gfn;
	made_pfn = pfn;
	return made_ret;
}

/*
 * Guests whose pages are private in hardware, and no others. Turns red if the hook is called for
 * another page or frame than the one that is mapped, or if its error is lost. The slot has to be
 * made for another type: see slots_by_type().
 */
static void made_private(struct kunit *test)
{
	struct kvm_memory_slot slot;
	struct page *page;
	struct kvm *kvm;
	int order, i;
	kvm_pfn_t pfn;

	kunit_activate_static_stub(test, kvm_gmem_make_private, note_private);
	for (i = 0; i < ARRAY_SIZE(vm_types); i++) {
		bool hw = vm_types[i].type == KVM_X86_SNP_VM || vm_types[i].type == KVM_X86_TDX_VM;

		made = 0;
		made_ret = 0;
		kvm = make_vm(test, KVM_X86_SW_PROTECTED_VM);
		KUNIT_ASSERT_EQ(test, 0, prepare(kvm, &slot, test->priv));
		slot.base_gfn = 7 * BLOCK;
		slot.gmem.pgoff = 3 * BLOCK;
		kvm->arch.vm_type = vm_types[i].type;
		KUNIT_ASSERT_EQ(test, 0, kvm_gmem_commit_memory_region(kvm, &slot));
		KUNIT_EXPECT_EQ(test, 0, kvm_gmem_get_pfn(kvm, &slot, 7 * BLOCK + 5, &pfn, &page,
							  &order));
		KUNIT_EXPECT_EQ(test, 1000 + 3 * BLOCK + 5, pfn);
		KUNIT_EXPECT_NULL(test, page);
		KUNIT_EXPECT_EQ_MSG(test, hw, made, "type %lu", vm_types[i].type);
		if (hw) {
			KUNIT_EXPECT_EQ(test, 7 * BLOCK + 5, made_gfn);
			KUNIT_EXPECT_EQ(test, pfn, made_pfn);
			KUNIT_EXPECT_EQ(test, 0, order);
			made_ret = -EIO;
			KUNIT_EXPECT_EQ(test, -EIO, kvm_gmem_get_pfn(kvm, &slot, 7 * BLOCK, &pfn,
								     &page, &order));
		}
		kvm_gmem_unbind(&slot);
		KUNIT_EXPECT_NULL(test, slot.gmem.binding);
	}
}

/* The arguments of kvm_gmem_reclaim(), and the frame that hardware does not give back. */
static unsigned long reclaimed_pfn, reclaimed_nr, kept_pfn;

static void note_reclaim(unsigned long pfn, unsigned long nr)
{
	reclaimed_pfn = pfn;
	reclaimed_nr = nr;
	if (kept_pfn >= pfn && kept_pfn < pfn + nr)
		kvm_gmem_lose_frames(kept_pfn, 1);
}

/*
 * Turns red if a provider does not learn that hardware has kept a frame, be it that taking the
 * frame back has failed (SNP) or that the removal of its entry has (TDX), or if other frames are
 * not taken back because of that. No machine has memory at these addresses.
 */
static void lost(struct kunit *test)
{
	const unsigned long pfn = 1UL << 34, page = page_to_pfn(ZERO_PAGE(0));

	kunit_activate_static_stub(test, kvm_gmem_reclaim, note_reclaim);
	KUNIT_EXPECT_EQ(test, 0, kvm_gmem_provider_reclaim(pfn, 10));
	KUNIT_EXPECT_EQ(test, pfn, reclaimed_pfn);
	KUNIT_EXPECT_EQ(test, 10, reclaimed_nr);
	kept_pfn = pfn + 3;
	KUNIT_EXPECT_EQ(test, 7, kvm_gmem_provider_reclaim(pfn, 10));
	KUNIT_EXPECT_EQ(test, 10, reclaimed_nr);
	kept_pfn = 0;
	KUNIT_EXPECT_EQ(test, 0, kvm_gmem_provider_reclaim(pfn + 4, 6));
	KUNIT_EXPECT_EQ(test, 1, kvm_gmem_provider_reclaim(pfn + 3, 1));
	kvm_gmem_lose_frames(pfn + 9, 2);
	KUNIT_EXPECT_EQ(test, 1, kvm_gmem_provider_reclaim(pfn + 4, 6));
	KUNIT_EXPECT_EQ(test, 1, kvm_gmem_provider_reclaim(pfn + 10, 1));
	KUNIT_EXPECT_EQ(test, 0, kvm_gmem_provider_reclaim(pfn + 11, 1));
	/* Guest_memfd's own frames are not remembered. */
	kvm_gmem_lose_frames(page, 1);
	KUNIT_EXPECT_EQ(test, 0, kvm_gmem_provider_reclaim(page, 1));
}

/**
 * struct vcpu_fault - a fault of a private page on a processor of the guest
 * @test: the test, whose stubs the thread uses
 * @kvm: the guest
 * @slot: its memslot, of one block at 0
 * @err: what kvm_gmem_get_pfn() returned
 * @done: the fault has ended
 */
struct vcpu_fault {
	struct kunit *test;
	struct kvm *kvm;
	struct kvm_memory_slot *slot;
	int err;
	struct completion done;
};

/* Number of tasks in make_private(), and of those that were not alone there. */
static atomic_t inside, met;

static int note_others(struct kvm *kvm, gfn_t gfn, kvm_pfn_t pfn)
{
	if (atomic_inc_return(&inside) > 1)
		atomic_inc(&met);
	msleep(100);
	atomic_dec(&inside);
	return 0;
}

static int vcpu_fault_thread(void *data)
{
	struct vcpu_fault *fault = data;
	struct page *page;
	kvm_pfn_t pfn;

	/* For the stubs. */
	current->kunit_test = fault->test;
	fault->err = kvm_gmem_get_pfn(fault->kvm, fault->slot, 5, &pfn, &page, NULL);
	current->kunit_test = NULL;
	complete(&fault->done);
	return 0;
}

/*
 * Turns red if two vCPUs that fault on a page are both in the hook for SNP, which looks whether the
 * frame is private and makes it so in two steps.
 */
static void one_vcpu_at_a_time(struct kunit *test)
{
	struct kvm *kvm = make_vm(test, KVM_X86_SW_PROTECTED_VM);
	struct vcpu_fault faults[2] = {};
	struct kvm_memory_slot slot;
	struct task_struct *task;
	int i;

	atomic_set(&inside, 0);
	atomic_set(&met, 0);
	kunit_activate_static_stub(test, kvm_gmem_make_private, note_others);
	KUNIT_ASSERT_EQ(test, 0, prepare(kvm, &slot, test->priv));
	kvm->arch.vm_type = KVM_X86_SNP_VM;
	KUNIT_ASSERT_EQ(test, 0, kvm_gmem_commit_memory_region(kvm, &slot));
	for (i = 0; i < ARRAY_SIZE(faults); i++) {
		faults[i] = (struct vcpu_fault){ .test = test, .kvm = kvm, .slot = &slot };
		init_completion(&faults[i].done);
		task = kthread_run(vcpu_fault_thread, &faults[i], "gmem_provider_kunit");
		KUNIT_EXPECT_FALSE(test, IS_ERR(task));
		if (IS_ERR(task))
			complete(&faults[i].done);
	}
	for (i = 0; i < ARRAY_SIZE(faults); i++) {
		wait_for_completion(&faults[i].done);
		KUNIT_EXPECT_EQ(test, 0, faults[i].err);
	}
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&met));
	kvm_gmem_unbind(&slot);
}

#ifdef CONFIG_HAVE_KVM_ARCH_GMEM_POPULATE
static int note_populate(struct kvm *kvm, gfn_t gfn, kvm_pfn_t pfn, struct page *src_page,
			 void *opaque)
{
	*(struct page **)opaque = src_page;
	return note_private(kvm, gfn, pfn);
}

/* Turns red if the first contents go to another frame, or an error of SNP or TDX is lost. */
static void populated(struct kunit *test)
{
	struct kvm *kvm = make_vm(test, KVM_X86_SW_PROTECTED_VM);
	struct page *src = virt_to_page(kvm), *seen = NULL;
	struct kvm_memory_slot slot;

	made = 0;
	made_ret = 0;
	KUNIT_ASSERT_EQ(test, 0, prepare(kvm, &slot, test->priv));
	slot.base_gfn = 7 * BLOCK;
	KUNIT_ASSERT_EQ(test, 0, kvm_gmem_commit_memory_region(kvm, &slot));
	KUNIT_EXPECT_EQ(test, 0, slot.gmem.ops->populate(kvm, &slot, test->priv, 7 * BLOCK + 5,
							 src, note_populate, &seen));
	KUNIT_EXPECT_EQ(test, 1, made);
	KUNIT_EXPECT_EQ(test, 7 * BLOCK + 5, made_gfn);
	KUNIT_EXPECT_EQ(test, 1005, made_pfn);
	KUNIT_EXPECT_PTR_EQ(test, src, seen);
	made_ret = -EEXIST;
	KUNIT_EXPECT_EQ(test, -EEXIST, slot.gmem.ops->populate(kvm, &slot, test->priv, 7 * BLOCK,
							       src, note_populate, &seen));
	kvm_gmem_unbind(&slot);
}
#endif

static int gmem_provider_test_init(struct kunit *test)
{
	struct file *file = anon_inode_getfile("[gmem_provider_kunit]", &test_fops, NULL, O_RDWR);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, file);
	test->priv = file;
	gmem_provider_register(&test_provider);
	return 0;
}

static void gmem_provider_test_exit(struct kunit *test)
{
	if (test->priv) {
		gmem_provider_unregister(&test_provider);
		fput(test->priv);
	}
}

static struct kunit_case gmem_provider_cases[] = {
	KUNIT_CASE(slots_by_type),
	KUNIT_CASE(no_slots_after_encryption),
	KUNIT_CASE(no_encryption_after_slots),
	KUNIT_CASE(widened),
	KUNIT_CASE(asked_under_rcu),
	KUNIT_CASE(made_private),
	KUNIT_CASE(lost),
	KUNIT_CASE(one_vcpu_at_a_time),
#ifdef CONFIG_HAVE_KVM_ARCH_GMEM_POPULATE
	KUNIT_CASE(populated),
#endif
	{}
};

static struct kunit_suite gmem_provider_suite = {
	.name		= "guestmemfs_kvm",
	.init		= gmem_provider_test_init,
	.exit		= gmem_provider_test_exit,
	.test_cases	= gmem_provider_cases,
};

kunit_test_suite(gmem_provider_suite);
