// SPDX-License-Identifier: GPL-2.0-only
/*
 * One part of a file in several memslots: those of a machine's two address spaces, and those
 * of several machines, of which one at the most can use what is private.
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

/* Two machines of the fixture's kind, and a file of four blocks. */
struct two {
	struct vmm vmm;
	struct vcpu cpu;
	int fd;
	int mine;
	int theirs;
};

static bool make_two(const struct pool *p, const struct vmm *v, unsigned long type,
		     uint32_t flags, struct two *two)
{
	two->fd = file_make(p, "ram", 4 * BLOCK);
	if (vmm_make(&two->vmm, type) || vcpu_make(&two->vmm, &two->cpu, 0))
		return false;
	two->mine = gmem_create(two->fd, v->vm, flags);
	two->theirs = gmem_create(two->fd, two->vmm.vm, flags);
	return two->mine >= 0 && two->theirs >= 0;
}

/* EEXIST, and where; with nothing changed. */
#define EXPECT_CONTESTED(gmem, from, len, at) do {				\
	struct guestmemfs_set_attributes _arg = {				\
		.size = sizeof(_arg), .offset = from, .length = len,		\
		.attributes = GMEM_PRIVATE,					\
	};									\
	int _gmem = gmem;							\
										\
	EXPECT_EQ(EEXIST, ERR(ioctl(_gmem, GUESTMEMFS_IOC_SET_ATTRIBUTES, &_arg)));	\
	EXPECT_EQ(at, _arg.error_offset);					\
	EXPECT_EQ(0, gmem_state(_gmem, _arg.error_offset) & PRIVATE);		\
} while (0)

/*
 * Private is the guest's alone: of the machines that can use private memory, one has it. To
 * others it is what it is to the host.
 */
TEST_F(gmem, private_is_one_machines)
{
	const struct vmm *v = &self->vmm;
	struct two two;
	long blocks;

	/* For the others see beside_an_ordinary_machine. */
	if (!variant->protected)
		return;
	ASSERT_TRUE(make_two(&self->p, v, variant->type, variant->flags, &two));
	ASSERT_EQ(0, vmm_bind(v, FILE_SLOT, FILE_GPA, 3 * BLOCK, two.mine, 0));
	ASSERT_EQ(VCPU_DONE, guest_fill(&self->cpu, FILE_GPA, 3 * BLOCK, 1));
	EXPECT_EQ(EEXIST, ERR(vmm_bind(&two.vmm, FILE_SLOT, FILE_GPA, 4 * BLOCK, two.theirs, 0)));
	EXPECT_EQ(EEXIST, ERR(vmm_bind(&two.vmm, FILE_SLOT, FILE_GPA, PAGE, two.theirs,
				       3 * BLOCK - PAGE)));
	/* What the first one has not bound it may have, and what is shared. */
	ASSERT_EQ(0, vmm_bind(&two.vmm, FILE_SLOT, FILE_GPA, BLOCK, two.theirs, 3 * BLOCK));
	EXPECT_EQ(VCPU_DONE, guest_store(&two.cpu, FILE_GPA, 2));
	ASSERT_EQ(0, gmem_convert(two.mine, BLOCK + PAGE, BLOCK, GMEM_SHARED));
	EXPECT_EQ(EEXIST, ERR(vmm_bind(&two.vmm, 2, FILE_GPA + GIB, BLOCK, two.theirs, BLOCK)));
	ASSERT_EQ(0, vmm_bind(&two.vmm, 2, FILE_GPA + GIB + PAGE, BLOCK, two.theirs,
			      BLOCK + PAGE));
	EXPECT_EQ((1L << 40) + 1 + (BLOCK + PAGE) / 8,
		  guest_load(&two.cpu, FILE_GPA + GIB + PAGE));
	EXPECT_EQ(VCPU_DONE, guest_store(&two.cpu, FILE_GPA + GIB + PAGE, 5));
	EXPECT_EQ(5, guest_load(&self->cpu, FILE_GPA + BLOCK + PAGE));
	/* Whose would it be? Whoever asks, and none of them loses an entry by it. */
	blocks = vmm_entries(v, "2m");
	EXPECT_CONTESTED(two.mine, BLOCK + PAGE, PAGE, BLOCK + PAGE);
	EXPECT_CONTESTED(two.theirs, BLOCK + PAGE, PAGE, BLOCK + PAGE);
	EXPECT_CONTESTED(two.mine, 0, 4 * BLOCK, BLOCK + PAGE);
	EXPECT_CONTESTED(two.mine, 2 * BLOCK, BLOCK, 2 * BLOCK);
	EXPECT_EQ(blocks, vmm_entries(v, "2m"));
	EXPECT_EQ(0, gmem_convert(two.mine, 2 * BLOCK + PAGE, BLOCK - PAGE, GMEM_PRIVATE));
	/* To shared, and what is private already, is nobody's concern. */
	EXPECT_EQ(0, gmem_convert(two.mine, BLOCK, BLOCK, GMEM_SHARED));
	EXPECT_EQ(0, gmem_convert(two.theirs, 0, PAGE, GMEM_PRIVATE));
	/* When one of them lets go, it is the other one's. */
	ASSERT_EQ(0, vmm_remove(&two.vmm, 2));
	EXPECT_EQ(0, gmem_convert(two.theirs, BLOCK, 2 * BLOCK, GMEM_PRIVATE));
	EXPECT_EQ(5, guest_load(&self->cpu, FILE_GPA + BLOCK + PAGE));
	EXPECT_EQ(EEXIST, ERR(vmm_bind(&two.vmm, 2, FILE_GPA + GIB, BLOCK, two.theirs, BLOCK)));
}

/* The machine that has it dies; the next one takes its place, and goes on with what it finds. */
TEST_F(gmem, private_of_the_dead)
{
	const struct vmm *v = &self->vmm;
	struct two two;

	/* For the others see beside_an_ordinary_machine. */
	if (!variant->protected)
		return;
	ASSERT_TRUE(make_two(&self->p, v, variant->type, variant->flags, &two));
	ASSERT_EQ(0, vmm_bind(&two.vmm, FILE_SLOT, FILE_GPA, BLOCK, two.theirs, 0));
	ASSERT_EQ(VCPU_DONE, guest_store(&two.cpu, FILE_GPA, 7));
	EXPECT_EQ(EEXIST, ERR(vmm_bind(v, FILE_SLOT, FILE_GPA, BLOCK, two.mine, 0)));
	/* Descriptors alone do not matter. */
	close(two.theirs);
	EXPECT_EQ(EEXIST, ERR(vmm_bind(v, FILE_SLOT, FILE_GPA, BLOCK, two.mine, 0)));
	vcpu_close(&two.cpu);
	vmm_close(&two.vmm);
	ASSERT_EQ(0, vmm_bind(v, FILE_SLOT, FILE_GPA, BLOCK, two.mine, 0));
	EXPECT_EQ(7, guest_load(&self->cpu, FILE_GPA));
}

/* A machine that knows no private memory may have the file beside it: as the host, it waits. */
TEST_F(gmem, beside_an_ordinary_machine)
{
	const struct vmm *v = &self->vmm;
	struct two two;
	int first;

	for (first = 0; first < 2; first++) {
		ASSERT_TRUE(make_two(&self->p, v, KVM_X86_DEFAULT_VM, variant->flags, &two));
		if (first)
			ASSERT_EQ(0, vmm_bind(&two.vmm, FILE_SLOT, FILE_GPA, BLOCK, two.theirs, 0));
		ASSERT_EQ(0, vmm_bind(v, FILE_SLOT, FILE_GPA, BLOCK, two.mine, 0));
		if (!first)
			ASSERT_EQ(0, vmm_bind(&two.vmm, FILE_SLOT, FILE_GPA, BLOCK, two.theirs, 0));
		ASSERT_EQ(0, gmem_convert(two.mine, 0, BLOCK, GMEM_SHARED));
		EXPECT_EQ(VCPU_DONE, guest_store(&self->cpu, FILE_GPA, 3));
		EXPECT_EQ(3, guest_load(&two.cpu, FILE_GPA));
		ASSERT_EQ(0, gmem_convert(two.theirs, 0, PAGE, GMEM_PRIVATE));
		EXPECT_EQ(-VCPU_FAULT, guest_load(&two.cpu, FILE_GPA));
		EXPECT_EQ(variant->protected ? 3 : -VCPU_FAULT,
			  guest_load(&self->cpu, FILE_GPA));
		ASSERT_EQ(0, gmem_convert(two.mine, 0, PAGE, GMEM_SHARED));
		EXPECT_EQ(3, guest_load(&two.cpu, FILE_GPA));
		ASSERT_EQ(0, vmm_remove(v, FILE_SLOT));
		ASSERT_EQ(0, unlink(pool_path(&self->p, "ram")));
		vcpu_close(&two.cpu);
		vmm_close(&two.vmm);
	}
}

TEST_HARNESS_MAIN
