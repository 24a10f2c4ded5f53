// SPDX-License-Identifier: GPL-2.0-only
/*
 * One part of a file in several memslots: those of a machine's two address spaces.
 */
#include "gmem_fixture.h"

/* The slots that a processor sees in system management mode. */
#define IN_SMM(slot)	(1 << 16 | (slot))

/* To or from system management mode, without an interrupt. */
static int set_smm(const struct vcpu *c, bool smm)
{
	struct kvm_vcpu_events events;

	if (ioctl(c->fd, KVM_GET_VCPU_EVENTS, &events))
		return -1;
	events.flags = KVM_VCPUEVENT_VALID_SMM;
	events.smi.smm = smm;
	return ioctl(c->fd, KVM_SET_VCPU_EVENTS, &events);
}

/* As a VMM does that gives its guest RAM in both address spaces. */
TEST_F(gmem, both_address_spaces)
{
	int fd = file_make(&self->p, "ram", 2 * BLOCK), i;
	int gmem = gmem_create(fd, self->vmm.vm, variant->flags);
	const struct vmm *v = &self->vmm;
	struct vcpu *cpu = &self->cpu;

	ASSERT_GE(gmem, 0);
	ASSERT_EQ(0, vmm_bind(v, FILE_SLOT, FILE_GPA, 2 * BLOCK, gmem, 0));
	if (ioctl(v->vm, KVM_CHECK_EXTENSION, KVM_CAP_MULTI_ADDRESS_SPACE) < 2) {
		/* A machine with private memory has one. */
		EXPECT_TRUE(variant->protected);
		EXPECT_EQ(EINVAL, ERR(vmm_bind(v, IN_SMM(FILE_SLOT), FILE_GPA, BLOCK, gmem, 0)));
		return;
	}
	ASSERT_EQ(0, vmm_add_memory(v, IN_SMM(VMM_LOW_SLOT), VMM_LOW_GPA, v->low,
				    VMM_LOW_PAGES * PAGE));
	ASSERT_EQ(0, vmm_bind(v, IN_SMM(FILE_SLOT), FILE_GPA, 2 * BLOCK, gmem, 0));
	/* In each of them one slot has a part of the file. */
	EXPECT_EQ(EEXIST, ERR(vmm_bind(v, 2, FILE_GPA + GIB, BLOCK, gmem, BLOCK)));
	EXPECT_EQ(EEXIST, ERR(vmm_bind(v, IN_SMM(2), FILE_GPA + GIB, BLOCK, gmem, BLOCK)));
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, set_smm(cpu, false));
		EXPECT_EQ(VCPU_DONE, guest_store(cpu, FILE_GPA + BLOCK, i + 1));
		ASSERT_EQ(0, set_smm(cpu, true));
		EXPECT_EQ(i + 1, guest_load(cpu, FILE_GPA + BLOCK));
		EXPECT_EQ(VCPU_DONE, guest_store(cpu, FILE_GPA + BLOCK + 8, i + 2));
		ASSERT_EQ(0, set_smm(cpu, false));
		EXPECT_EQ(i + 2, guest_load(cpu, FILE_GPA + BLOCK + 8));
		EXPECT_EQ(2, vmm_entries(v, "2m"));
		/* What goes is gone from both. */
		ASSERT_EQ(0, i == 1 ? fallocate(fd, PUNCH, BLOCK, BLOCK) :
				      gmem_convert(gmem, BLOCK, PAGE, GMEM_PRIVATE));
		EXPECT_EQ(0, vmm_entries(v, "2m"));
		EXPECT_EQ(i == 1 ? 0 : -VCPU_FAULT, guest_load(cpu, FILE_GPA + BLOCK));
		ASSERT_EQ(0, set_smm(cpu, true));
		EXPECT_EQ(i == 1 ? 0 : -VCPU_FAULT, guest_load(cpu, FILE_GPA + BLOCK));
		ASSERT_EQ(0, gmem_convert(gmem, BLOCK, PAGE, GMEM_SHARED));
		EXPECT_EQ(i == 1 ? 0 : i + 1, guest_load(cpu, FILE_GPA + BLOCK));
	}
	/* One of them goes, and the other one is what it was. */
	ASSERT_EQ(0, vmm_remove(v, IN_SMM(FILE_SLOT)));
	ASSERT_EQ(0, set_smm(cpu, false));
	EXPECT_EQ(VCPU_DONE, guest_store(cpu, FILE_GPA, 9));
	ASSERT_EQ(0, vmm_bind(v, IN_SMM(2), FILE_GPA, BLOCK, gmem, 0));
	ASSERT_EQ(0, vmm_remove(v, FILE_SLOT));
	ASSERT_EQ(0, set_smm(cpu, true));
	EXPECT_EQ(9, guest_load(cpu, FILE_GPA));
}

TEST_HARNESS_MAIN
