/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_RAM_FIXTURE_H
#define _GUESTMEMFS_RAM_FIXTURE_H

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gmem.h"
#include "harness.h"
#include "util.h"
#include "vmm.h"

#define PUNCH		(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)

#define RAM_SLOT	1
#define RAM_GPA		(4 * GIB)
#define RAM_SIZE	(4 * BLOCK)

/*
 * A virtual machine with one CPU, and a file with its memory. KVM's own accesses to guest memory go
 * through the userspace address of the slot, even if the slot has a descriptor.
 */
FIXTURE(ram)
{
	int nr;
	struct pool p;
	struct vmm vmm;
	struct vcpu cpu;
	int fd;
	int gmem;
	char *ram;
};

FIXTURE_VARIANT(ram)
{
	bool descriptor;
};

FIXTURE_VARIANT_ADD(ram, by_address)
{
};

FIXTURE_VARIANT_ADD(ram, by_descriptor)
{
	.descriptor = true,
};

/* Adds the slot, without a descriptor if @gmem is -1. */
static inline int ram_add(const struct vmm *v, char *ram, int gmem)
{
	const struct kvm_userspace_memory_region2 region = {
		.slot = RAM_SLOT,
		.flags = gmem >= 0 ? KVM_MEM_GUEST_MEMFD : 0,
		.guest_phys_addr = RAM_GPA,
		.memory_size = RAM_SIZE,
		.userspace_addr = (uintptr_t)ram,
		.guest_memfd = gmem,
	};

	return vmm_set_region(v, &region);
}

FIXTURE_SETUP(ram)
{
	int nodes[MAX_POOLS];

	self->nr = pool_nodes(nodes);
	if (!self->nr)
		SKIP(return, "no pool on this machine");
	ASSERT_TRUE(pool_setup(&self->p, nodes[0]));
	catch_faults();
	if (!vmm_has_type(KVM_X86_DEFAULT_VM))
		SKIP(return, "no /dev/kvm");
	ASSERT_EQ(0, vmm_make(&self->vmm, KVM_X86_DEFAULT_VM));
	ASSERT_EQ(0, vcpu_make(&self->vmm, &self->cpu, 0));
	self->fd = file_make(&self->p, "ram", RAM_SIZE);
	self->ram = map_file(self->fd, 0, RAM_SIZE);
	ASSERT_NE(MAP_FAILED, (void *)self->ram);
	self->gmem = -1;
	if (variant->descriptor) {
		self->gmem = gmem_create(self->fd, self->vmm.vm,
					 GUESTMEMFS_GMEM_INIT_SHARED | GUESTMEMFS_GMEM_MMAP);
		ASSERT_GE(self->gmem, 0);
	}
	ASSERT_EQ(0, ram_add(&self->vmm, self->ram, self->gmem));
}

FIXTURE_TEARDOWN_PARENT(ram)
{
	if (self->nr)
		EXPECT_STREQ("", pool_teardown(&self->p) ?: "");
}

static inline int vcpu_set_msr(const struct vcpu *c, uint32_t index, uint64_t value)
{
	char buffer[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)] = {};
	struct kvm_msrs *msrs = (struct kvm_msrs *)buffer;

	msrs->nmsrs = 1;
	msrs->entries[0].index = index;
	msrs->entries[0].data = value;
	return ioctl(c->fd, KVM_SET_MSRS, msrs) == 1 ? 0 : -1;
}

#endif /* _GUESTMEMFS_RAM_FIXTURE_H */
