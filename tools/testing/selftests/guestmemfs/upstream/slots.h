/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_SLOTS_H
#define _GUESTMEMFS_SLOTS_H

#include <linux/kvm.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Shared by slots.c and private.c. */

void *sys_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset);
int sys_ioctl(int fd, unsigned long request, void *arg);

int gmem_create(int vm, const struct kvm_create_guest_memfd *arg);
int gmem_set_region(int vm, struct kvm_userspace_memory_region2 *region);
int gmem_set_attributes(int vm, struct kvm_memory_attributes *arg);
int gmem_run(int vcpu);
void gmem_new_vm(int vm);
void gmem_mapped(int fd, void *at);
void gmem_unmapped(const char *at, size_t len);

#endif /* _GUESTMEMFS_SLOTS_H */
