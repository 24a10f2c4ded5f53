/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_STAGE2_H
#define _GUESTMEMFS_STAGE2_H

#include <stddef.h>

#include "vmm.h"

/*
 * Returns the number of instructions of a fault in the second stage, by which KVM makes an entry of
 * @entry bytes, on a machine whose clock counts instructions (see cost.h): from the guest's store
 * until the guest continues. Returns 0 if there were other faults than these, or entries of another
 * size.
 *
 * @v is of the type KVM_X86_DEFAULT_VM, and has the CPU @c and no other memory than its program.
 * All of @ram, which is a slot that is not there yet, is allocated and, if it has an address,
 * mapped.
 */
long cost_of_guest_fault(const struct vmm *v, struct vcpu *c,
			 const struct kvm_userspace_memory_region2 *ram, size_t entry);

#endif /* _GUESTMEMFS_STAGE2_H */
