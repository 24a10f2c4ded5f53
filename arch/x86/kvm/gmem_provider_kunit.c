// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memslots of a provider: which VMs can have them, which faults an invalidation repeats, and
 * that the provider cannot sleep where KVM must not. The VMs are bare data structures, so that
 * each type of VM is tested on any processor.
 */
#include <kunit/test.h>
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/gmem_provider.h>
#include <linux/kvm_host.h>

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

static const struct file_operations test_fops;

static const struct gmem_provider_ops test_ops = {
	.bind		= test_bind,
	.unbind		= test_unbind,
	.is_private	= test_is_private,
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
	{}
};

static struct kunit_suite gmem_provider_suite = {
	.name		= "guestmemfs_kvm",
	.init		= gmem_provider_test_init,
	.exit		= gmem_provider_test_exit,
	.test_cases	= gmem_provider_cases,
};

kunit_test_suite(gmem_provider_suite);
