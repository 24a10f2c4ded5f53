// SPDX-License-Identifier: GPL-2.0-only
/*
 * One part of a file in several memslots: in the two address spaces of one machine, and in several
 * machines, of which only one can use private memory.
 */
#include "gmem_fixture.h"

/* The address space that a CPU in system management mode uses. */
#define IN_SMM(slot)	(1 << 16 | (slot))

/* Makes the CPU enter or leave system management mode without an interrupt. */
static int set_smm(const struct vcpu *c, bool smm)
{
	struct kvm_vcpu_events events;

	if (ioctl(c->fd, KVM_GET_VCPU_EVENTS, &events))
		return -1;
	events.flags = KVM_VCPUEVENT_VALID_SMM;
	events.smi.smm = smm;
	return ioctl(c->fd, KVM_SET_VCPU_EVENTS, &events);
}

/* A VMM binds the guest's RAM in both address spaces. */
TEST_F(gmem, both_address_spaces)
{
	int fd = file_make(&self->p, "ram", 2 * BLOCK), i;
	int gmem = gmem_create(fd, self->vmm.vm, variant->flags);
	unsigned long bitmap[2 * BLOCK / PAGE / 64];
	struct kvm_dirty_log log = { .slot = IN_SMM(FILE_SLOT), .dirty_bitmap = bitmap };
	const struct vmm *v = &self->vmm;
	struct vcpu *cpu = &self->cpu;

	ASSERT_GE(gmem, 0);
	ASSERT_EQ(0, vmm_bind(v, FILE_SLOT, FILE_GPA, 2 * BLOCK, gmem, 0));
	if (ioctl(v->vm, KVM_CHECK_EXTENSION, KVM_CAP_MULTI_ADDRESS_SPACE) < 2) {
		/* A machine with private memory has only one address space. */
		EXPECT_TRUE(variant->protected);
		EXPECT_EQ(EINVAL, ERR(vmm_bind(v, IN_SMM(FILE_SLOT), FILE_GPA, BLOCK, gmem, 0)));
		return;
	}
	ASSERT_EQ(0, vmm_add_memory(v, IN_SMM(VMM_LOW_SLOT), VMM_LOW_GPA, v->low,
				    VMM_LOW_PAGES * PAGE));
	ASSERT_EQ(0, vmm_bind(v, IN_SMM(FILE_SLOT), FILE_GPA, 2 * BLOCK, gmem, 0));
	/* Within an address space, two slots cannot have the same part of a file. */
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
		/* A hole or a conversion removes the entries of both address spaces. */
		ASSERT_EQ(0, i == 1 ? fallocate(fd, PUNCH, BLOCK, BLOCK) :
				      gmem_convert(gmem, BLOCK, PAGE, GMEM_PRIVATE));
		EXPECT_EQ(0, vmm_entries(v, "2m"));
		EXPECT_EQ(i == 1 ? 0 : -VCPU_FAULT, guest_load(cpu, FILE_GPA + BLOCK));
		ASSERT_EQ(0, set_smm(cpu, true));
		EXPECT_EQ(i == 1 ? 0 : -VCPU_FAULT, guest_load(cpu, FILE_GPA + BLOCK));
		ASSERT_EQ(0, gmem_convert(gmem, BLOCK, PAGE, GMEM_SHARED));
		EXPECT_EQ(i == 1 ? 0 : i + 1, guest_load(cpu, FILE_GPA + BLOCK));
	}
	/* A log in one of them has what is written there. */
	ASSERT_EQ(0, vmm_bind_as(v, IN_SMM(FILE_SLOT), KVM_MEM_LOG_DIRTY_PAGES, FILE_GPA, 2 * BLOCK,
				 gmem, 0));
	ASSERT_EQ(0, set_smm(cpu, false));
	EXPECT_EQ(VCPU_DONE, guest_store(cpu, FILE_GPA + 3 * PAGE, 1));
	ASSERT_EQ(0, set_smm(cpu, true));
	EXPECT_EQ(VCPU_DONE, guest_store(cpu, FILE_GPA + 5 * PAGE, 1));
	ASSERT_EQ(0, ioctl(v->vm, KVM_GET_DIRTY_LOG, &log));
	EXPECT_EQ(1UL << 5, bitmap[0]);
	ASSERT_EQ(0, fallocate(fd, PUNCH, 0, BLOCK));
	EXPECT_EQ(0, guest_load(cpu, FILE_GPA + 5 * PAGE));
	ASSERT_EQ(0, set_smm(cpu, false));
	EXPECT_EQ(0, guest_load(cpu, FILE_GPA + 3 * PAGE));
	/* Removing one slot does not affect the other one. */
	ASSERT_EQ(0, vmm_remove(v, IN_SMM(FILE_SLOT)));
	ASSERT_EQ(0, set_smm(cpu, false));
	EXPECT_EQ(VCPU_DONE, guest_store(cpu, FILE_GPA, 9));
	ASSERT_EQ(0, vmm_bind(v, IN_SMM(2), FILE_GPA, BLOCK, gmem, 0));
	ASSERT_EQ(0, vmm_remove(v, FILE_SLOT));
	ASSERT_EQ(0, set_smm(cpu, true));
	EXPECT_EQ(9, guest_load(cpu, FILE_GPA));
}

/* A second machine of this type, and a file of four blocks with a descriptor for each machine. */
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

/* A conversion fails with EEXIST and the offset of the conflict, and changes nothing. */
#define EXPECT_CONTESTED(gmem, from, len, at) do {				\
	struct kvm_memory_attributes2 _arg = {					\
		.offset = from, .size = len, .attributes = GMEM_PRIVATE,	\
	};									\
	int _gmem = gmem;							\
										\
	EXPECT_EQ(EEXIST, ERR(ioctl(_gmem, KVM_SET_MEMORY_ATTRIBUTES2, &_arg)));	\
	EXPECT_EQ(at, _arg.error_offset);					\
	EXPECT_EQ(0, gmem_state(_gmem, _arg.error_offset) & PRIVATE);		\
} while (0)

/*
 * Only one protected machine can have a private page. To other machines, private pages are
 * inaccessible, like to the host.
 */
TEST_F(gmem, private_is_one_machines)
{
	const struct vmm *v = &self->vmm;
	struct two two;
	long blocks;

	/* beside_an_ordinary_machine has the test for ordinary machines. */
	if (!variant->protected)
		return;
	ASSERT_TRUE(make_two(&self->p, v, variant->type, variant->flags, &two));
	ASSERT_EQ(0, vmm_bind(v, FILE_SLOT, FILE_GPA, 3 * BLOCK, two.mine, 0));
	ASSERT_EQ(VCPU_DONE, guest_fill(&self->cpu, FILE_GPA, 3 * BLOCK, 1));
	EXPECT_EQ(EEXIST, ERR(vmm_bind(&two.vmm, FILE_SLOT, FILE_GPA, 4 * BLOCK, two.theirs, 0)));
	EXPECT_EQ(EEXIST, ERR(vmm_bind(&two.vmm, FILE_SLOT, FILE_GPA, PAGE, two.theirs,
				       3 * BLOCK - PAGE)));
	/*
	 * The second machine may bind parts that the first one has not bound, and parts that are
	 * shared.
	 */
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
	/*
	 * A page that both have bound cannot become private, no matter which of them asks. The
	 * attempt removes no entry.
	 */
	blocks = vmm_entries(v, "2m");
	EXPECT_CONTESTED(two.mine, BLOCK + PAGE, PAGE, BLOCK + PAGE);
	EXPECT_CONTESTED(two.theirs, BLOCK + PAGE, PAGE, BLOCK + PAGE);
	EXPECT_CONTESTED(two.mine, 0, 4 * BLOCK, BLOCK + PAGE);
	EXPECT_CONTESTED(two.mine, 2 * BLOCK, BLOCK, 2 * BLOCK);
	EXPECT_EQ(blocks, vmm_entries(v, "2m"));
	EXPECT_EQ(0, gmem_convert(two.mine, 2 * BLOCK + PAGE, BLOCK - PAGE, GMEM_PRIVATE));
	/* Conversions to shared, and of pages that are private already, are possible. */
	EXPECT_EQ(0, gmem_convert(two.mine, BLOCK, BLOCK, GMEM_SHARED));
	EXPECT_EQ(0, gmem_convert(two.theirs, 0, PAGE, GMEM_PRIVATE));
	/* When one machine unbinds the range, the other one can make it private. */
	ASSERT_EQ(0, vmm_remove(&two.vmm, 2));
	EXPECT_EQ(0, gmem_convert(two.theirs, BLOCK, 2 * BLOCK, GMEM_PRIVATE));
	EXPECT_EQ(5, guest_load(&self->cpu, FILE_GPA + BLOCK + PAGE));
	EXPECT_EQ(EEXIST, ERR(vmm_bind(&two.vmm, 2, FILE_GPA + GIB, BLOCK, two.theirs, BLOCK)));
}

/* A machine with private memory ends. Another one can bind the file then, with its contents. */
TEST_F(gmem, private_of_the_dead)
{
	const struct vmm *v = &self->vmm;
	struct two two;

	/* beside_an_ordinary_machine has the test for ordinary machines. */
	if (!variant->protected)
		return;
	ASSERT_TRUE(make_two(&self->p, v, variant->type, variant->flags, &two));
	ASSERT_EQ(0, vmm_bind(&two.vmm, FILE_SLOT, FILE_GPA, BLOCK, two.theirs, 0));
	ASSERT_EQ(VCPU_DONE, guest_store(&two.cpu, FILE_GPA, 7));
	EXPECT_EQ(EEXIST, ERR(vmm_bind(v, FILE_SLOT, FILE_GPA, BLOCK, two.mine, 0)));
	/* The binding counts, not the descriptor. */
	close(two.theirs);
	EXPECT_EQ(EEXIST, ERR(vmm_bind(v, FILE_SLOT, FILE_GPA, BLOCK, two.mine, 0)));
	vcpu_close(&two.cpu);
	vmm_close(&two.vmm);
	ASSERT_EQ(0, vmm_bind(v, FILE_SLOT, FILE_GPA, BLOCK, two.mine, 0));
	EXPECT_EQ(7, guest_load(&self->cpu, FILE_GPA));
}

/*
 * An ordinary machine may bind a file beside another machine. Private pages are inaccessible to it,
 * as to the host.
 */
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
