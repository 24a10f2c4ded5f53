// SPDX-License-Identifier: GPL-2.0-only
/*
 * Gives KVM's own selftests memory of a provider: linked with a test, this mmap() and this ioctl()
 * take the place of libc's. Anonymous memory that the test maps is a file of guestmemfs, and each
 * memory slot of it is bound by a descriptor of that file. private.c does so for guest_memfd.
 * SLOTS_DIR is a directory in a pool; without that variable nothing is different.
 *
 * A slot with a descriptor cannot be moved, nor can one of KVM's own guest_memfd. It is deleted and
 * added then, which a guest cannot tell from a move.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/guestmemfs.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "slots.h"

/* Less is not memory of a guest. */
#define LEAST		(64UL << 10)
#define MOST_FILES	64

/**
 * struct file - a file that is mapped as a guest's memory
 * @at: where it is mapped, NULL for a free entry
 * @len: bytes
 * @fd: the file
 * @vm: the machine that has the descriptor
 * @gmem: the descriptor, -1 for none yet
 */
static struct file {
	char *at;
	size_t len;
	int fd;
	int vm;
	int gmem;
} files[MOST_FILES];

/* Where slots are, of those that were set last. */
#define NR_PLACES	64

static struct place {
	int vm;
	uint32_t slot;
	uint64_t gpa;
} places[NR_PLACES];

void *sys_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	return (void *)syscall(SYS_mmap, addr, len, prot, flags, fd, offset);
}

static struct file *find(const char *at)
{
	for (int i = 0; i < MOST_FILES; i++)
		if (files[i].at && at >= files[i].at && at < files[i].at + files[i].len)
			return &files[i];
	return NULL;
}

static struct file *find_free(void)
{
	for (int i = 0; i < MOST_FILES; i++)
		if (!files[i].at)
			return &files[i];
	fprintf(stderr, "slots.c: more than %d files\n", MOST_FILES);
	exit(1);
}

void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	const char *dir = getenv("SLOTS_DIR");
	struct file *f;
	void *p;

	if (!dir || !(flags & MAP_ANONYMOUS) || flags & MAP_FIXED || len < LEAST ||
	    prot != (PROT_READ | PROT_WRITE)) {
		p = sys_mmap(addr, len, prot, flags, fd, offset);
		if (dir && p != MAP_FAILED && !(flags & MAP_ANONYMOUS) && !offset)
			gmem_mapped(fd, p);
		return p;
	}
	f = find_free();
	f->fd = open(dir, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	if (f->fd < 0 || ftruncate(f->fd, len))
		return MAP_FAILED;
	p = sys_mmap(addr, len, prot, MAP_SHARED | MAP_NORESERVE, f->fd, 0);
	if (p == MAP_FAILED)
		return p;
	f->at = p;
	f->len = len;
	f->gmem = -1;
	return p;
}

int munmap(void *at, size_t len)
{
	struct file *f = find(at);

	gmem_unmapped(at, len);
	if (f && f->at == at) {
		close(f->fd);
		if (f->gmem >= 0)
			close(f->gmem);
		memset(f, 0, sizeof(*f));
	}
	return syscall(SYS_munmap, at, len);
}

int sys_ioctl(int fd, unsigned long request, void *arg)
{
	return syscall(SYS_ioctl, fd, request, arg);
}

/* Has the slot been at another place before? Notes where it is now. */
static bool moves(int vm, const struct kvm_userspace_memory_region2 *region)
{
	struct place *p = &places[region->slot % NR_PLACES];
	bool same = p->vm == vm && p->slot == region->slot;
	bool moved = same && p->gpa != region->guest_phys_addr;

	if (region->memory_size)
		*p = (struct place) { vm, region->slot, region->guest_phys_addr };
	else if (same)
		memset(p, 0, sizeof(*p));
	return moved && region->memory_size;
}

/* A slot that the test has no guest_memfd for gets the descriptor of the file at its address. */
static int set_region(int vm, const struct kvm_userspace_memory_region2 *given)
{
	struct kvm_userspace_memory_region2 region = *given;
	struct file *f = find((char *)(uintptr_t)region.userspace_addr);
	struct guestmemfs_create_gmem create = {
		.size = sizeof(create),
		.vm_fd = vm,
		.flags = GUESTMEMFS_GMEM_INIT_SHARED | GUESTMEMFS_GMEM_MMAP,
	};

	if (!f || !region.memory_size || region.flags & KVM_MEM_GUEST_MEMFD) {
		moves(vm, &region);
		return gmem_set_region(vm, &region);
	}
	if (f->gmem < 0 || f->vm != vm) {
		f->gmem = sys_ioctl(f->fd, GUESTMEMFS_IOC_CREATE_GMEM, &create);
		f->vm = vm;
		if (f->gmem < 0)
			return -1;
	}
	region.flags |= KVM_MEM_GUEST_MEMFD;
	region.guest_memfd = f->gmem;
	region.guest_memfd_offset = (char *)(uintptr_t)region.userspace_addr - f->at;
	if (moves(vm, &region)) {
		struct kvm_userspace_memory_region2 old = { .slot = region.slot };

		if (sys_ioctl(vm, KVM_SET_USER_MEMORY_REGION2, &old))
			return -1;
	}
	return sys_ioctl(vm, KVM_SET_USER_MEMORY_REGION2, &region);
}

/* The number of the descriptor may have been that of another machine. */
static void new_vm(int vm)
{
	for (int i = 0; i < NR_PLACES; i++)
		if (places[i].vm == vm)
			memset(&places[i], 0, sizeof(places[i]));
	gmem_new_vm(vm);
}

static int check_extension(int fd, void *arg)
{
	if ((uintptr_t)arg == KVM_CAP_GUEST_MEMFD_FLAGS)
		return GUEST_MEMFD_FLAG_MMAP | GUEST_MEMFD_FLAG_INIT_SHARED;
	return sys_ioctl(fd, KVM_CHECK_EXTENSION, arg);
}

int ioctl(int fd, unsigned long request, ...)
{
	struct kvm_userspace_memory_region2 region = {};
	va_list args;
	void *arg;
	int ret;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	switch (getenv("SLOTS_DIR") ? request : 0) {
	case KVM_CREATE_VM:
		ret = sys_ioctl(fd, request, arg);
		if (ret >= 0)
			new_vm(ret);
		return ret;
	case KVM_CHECK_EXTENSION:
		return check_extension(fd, arg);
	case KVM_CREATE_GUEST_MEMFD:
		return gmem_create(fd, arg);
	case KVM_SET_MEMORY_ATTRIBUTES:
		return gmem_set_attributes(fd, arg);
	case KVM_RUN:
		return gmem_run(fd);
	case KVM_SET_USER_MEMORY_REGION2:
		return set_region(fd, arg);
	case KVM_SET_USER_MEMORY_REGION:
		memcpy(&region, arg, sizeof(struct kvm_userspace_memory_region));
		/* It refuses the flags of the other ioctl. */
		if (find((char *)(uintptr_t)region.userspace_addr))
			return set_region(fd, &region);
		return sys_ioctl(fd, request, arg);
	default:
		return sys_ioctl(fd, request, arg);
	}
}
