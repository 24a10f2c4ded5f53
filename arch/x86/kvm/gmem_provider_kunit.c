// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which virtual machines may have memslots of a provider. They are no more than their data here,
 * so that there is one of each type, whatever the processor can run.
 */
#include <kunit/test.h>
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/gmem_provider.h>
#include <linux/kvm_host.h>

#include "../../../virt/kvm/guest_memfd.h"

#define BLOCK	((gfn_t)PTRS_PER_PTE)

static int test_bind(struct file *file, struct gmem_binding *b)
{
	return 0;
}

static void test_unbind(struct file *file, struct gmem_binding *b)
{
}

static const struct file_operations test_fops;

static const struct gmem_provider_ops test_ops = {
	.bind		= test_bind,
	.unbind		= test_unbind,
};

static struct gmem_provider test_provider = {
	.fops	= &test_fops,
	.ops	= &test_ops,
};

/**
 * struct vm_type - a type of virtual machines
 * @type: the argument of KVM_CREATE_VM
 * @supported: such a machine can have memory of a provider
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
	/* Those of a later kernel. */
	{ KVM_X86_TDX_VM + 1,		false },
	{ 255,				false },
};

static struct kvm *make_vm(struct kunit *test, unsigned long type)
{
	struct kvm *kvm = kunit_kzalloc(test, sizeof(*kvm), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, kvm);
	mutex_init(&kvm->slots_lock);
	kvm->arch.vm_type = type;
	return kvm;
}

static int prepare(struct kvm *kvm, struct kvm_memory_slot *slot, struct file *file)
{
	memset(slot, 0, sizeof(*slot));
	slot->npages = BLOCK;
	guard(mutex)(&kvm->slots_lock);
	return kvm_gmem_provider_prepare(kvm, slot, file, 0);
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

/* As KVM_SEV_INIT and its kind do, which make an encrypted machine of any type. */
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
		KUNIT_ASSERT_EQ(test, 0, kvm_gmem_provider_commit(&slot));
		KUNIT_EXPECT_EQ_MSG(test, -EBUSY, kvm_gmem_provider_exclude(kvm), "type %lu",
				    vm_types[i].type);
		kvm_gmem_provider_unbind(&slot);
		KUNIT_EXPECT_EQ(test, 0, kvm_gmem_provider_exclude(kvm));
		KUNIT_EXPECT_EQ(test, -EOPNOTSUPP, prepare(kvm, &slot, file));
	}
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
	{}
};

static struct kunit_suite gmem_provider_suite = {
	.name		= "guestmemfs_kvm",
	.init		= gmem_provider_test_init,
	.exit		= gmem_provider_test_exit,
	.test_cases	= gmem_provider_cases,
};

kunit_test_suite(gmem_provider_suite);
