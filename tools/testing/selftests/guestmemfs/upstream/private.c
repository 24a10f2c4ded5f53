// SPDX-License-Identifier: GPL-2.0-only
/*
 * Gives KVM's own selftests a descriptor of guestmemfs where they make a guest_memfd: linked with a
 * test, together with slots.c. The tests of 7.3 know guest_memfd as memory for private pages alone:
 * the attributes are the VM's, and the shared pages of a slot are those at its userspace_addr. A
 * file of guestmemfs has both kinds of pages in place. This is what is different, and what is done
 * here so that the tests, which are compiled as they are, see what they expect:
 *
 * - Attributes are those of the file. KVM_SET_MEMORY_ATTRIBUTES of a slot becomes
 *   KVM_SET_MEMORY_ATTRIBUTES2 on its descriptor. A slot that is new gets the attributes that its
 *   VM has so far, all shared at first, as KVM's own has them.
 * - A page has one content. What was shared is put aside when the page becomes private: the host
 *   sees that at userspace_addr, as if both kinds had memory of their own, and it is written into
 *   the page when the page is shared again. Likewise only the private part of a hole is punched.
 * - GUEST_MEMFD_FLAG_INIT_SHARED is possible for VMs of all types, so KVM_CAP_GUEST_MEMFD_FLAGS has
 *   it.
 * - A private page becomes MMIO when its slot is deleted, as posted for in-place conversion of
 *   KVM's own. With attributes of the VM that is KVM_EXIT_MEMORY_FAULT.
 * - st_blksize is that of the filesystem, 2 MiB.
 * - There is no NUMA policy for each page: a pool is of one node. The tests skip that on a machine
 *   with one node.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/guestmemfs.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "slots.h"

#define PAGE		4096UL
#define MOST_PARTS	64
#define MOST_CALLS	8192
#define MOST_VCPUS	64

/**
 * struct part - a slot that has a descriptor of guestmemfs
 * @vm: the machine, and 0 for a free entry
 * @slot: number of the slot
 * @gpa: where it is in the guest
 * @size: bytes
 * @at: the shared pages of the slot
 * @gmem: the descriptor
 * @file: the same file, which can be mapped
 * @offset: where the slot is in the file
 */
static struct part {
	int vm;
	uint32_t slot;
	uint64_t gpa;
	uint64_t size;
	char *at;
	int gmem;
	int file;
	uint64_t offset;
} parts[MOST_PARTS];

/* What the attributes of a machine were set to, in order. */
static struct call {
	int vm;
	uint64_t gpa;
	uint64_t size;
	bool private;
} calls[MOST_CALLS];
static int nr_calls;

static struct {
	int fd;
	struct kvm_run *run;
} vcpus[MOST_VCPUS];

/* For all of the above: vCPUs have threads. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void die(const char *what)
{
	fprintf(stderr, "private.c: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t max(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* Returns GUESTMEMFS_STATE_* of an offset and the end of the part that has it, or -1. */
static int64_t state_of(int fd, uint64_t offset, uint64_t *end)
{
	struct guestmemfs_get_state s = { .size = sizeof(s), .offset = offset };

	if (sys_ioctl(fd, GUESTMEMFS_IOC_GET_STATE, &s))
		return -1;
	*end = (offset & -PAGE) + s.length;
	return s.state;
}

static bool is_ours(int fd)
{
	uint64_t end;

	return state_of(fd, 0, &end) >= 0;
}

static void set_attributes(const struct part *p, uint64_t from, uint64_t to, bool private)
{
	struct kvm_memory_attributes2 arg = {
		.offset = from,
		.size = to - from,
		.attributes = private ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0,
	};

	if (from < to && sys_ioctl(p->gmem, KVM_SET_MEMORY_ATTRIBUTES2, &arg))
		die("KVM_SET_MEMORY_ATTRIBUTES2");
}

static void map(const struct part *p, uint64_t from, uint64_t to)
{
	if (sys_mmap(p->at + (from - p->offset), to - from, PROT_READ | PROT_WRITE,
		     MAP_FIXED | MAP_SHARED | MAP_NORESERVE, p->file, from) == MAP_FAILED)
		die("mapping a file");
}

/* The part of the file becomes private. The host goes on to see what was shared. */
static void hide(const struct part *p, uint64_t from, uint64_t to)
{
	char *at = p->at + (from - p->offset), *copy;
	size_t len = to - from;

	copy = sys_mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (copy == MAP_FAILED)
		die("memory for a copy");
	memcpy(copy, at, len);
	set_attributes(p, from, to, true);
	if (mremap(copy, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, at) != at)
		die("mapping a copy");
}

/* The part of the file becomes shared, and has again what it had when it was. */
static void show(const struct part *p, uint64_t from, uint64_t to)
{
	size_t len = to - from;
	char *new;

	set_attributes(p, from, to, false);
	new = sys_mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, p->file,
		       from);
	if (new == MAP_FAILED)
		die("mapping a file");
	memcpy(new, p->at + (from - p->offset), len);
	map(p, from, to);
	syscall(SYS_munmap, new, len);
}

typedef void action(const struct part *p, uint64_t from, uint64_t to);

/* Calls @do_it for each run of private, or of shared pages in a part of the file. */
static void for_runs(const struct part *p, uint64_t from, uint64_t to, bool private, action *do_it)
{
	uint64_t end;

	for (; from < to; from = end) {
		int64_t state = state_of(p->gmem, from, &end);

		if (state < 0 || end <= from)
			die("GUESTMEMFS_IOC_GET_STATE");
		end = min(end, to);
		if (!!(state & GUESTMEMFS_STATE_PRIVATE) == private)
			do_it(p, from, end);
	}
}

static struct part *find_slot(int vm, uint32_t slot)
{
	for (int i = 0; i < MOST_PARTS; i++)
		if (parts[i].vm == vm && parts[i].slot == slot)
			return &parts[i];
	return NULL;
}

static void forget(struct part *p)
{
	close(p->file);
	memset(p, 0, sizeof(*p));
}

/* The attributes that the machine has there, and the file at userspace_addr where it is shared. */
static void adopt(int vm, const struct kvm_userspace_memory_region2 *r)
{
	struct part *p = find_slot(0, 0);
	char path[32];

	if (!p)
		die("too many slots");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", r->guest_memfd);
	*p = (struct part) {
		.vm = vm, .slot = r->slot, .gpa = r->guest_phys_addr, .size = r->memory_size,
		.at = (char *)(uintptr_t)r->userspace_addr, .gmem = r->guest_memfd,
		.file = open(path, O_RDWR | O_CLOEXEC), .offset = r->guest_memfd_offset,
	};
	if (p->file < 0)
		die(path);
	set_attributes(p, p->offset, p->offset + p->size, false);
	for (int i = 0; i < nr_calls; i++) {
		const struct call *c = &calls[i];
		uint64_t from = max(c->gpa, p->gpa), to = min(c->gpa + c->size, p->gpa + p->size);

		if (c->vm == vm && from < to)
			set_attributes(p, from - p->gpa + p->offset, to - p->gpa + p->offset,
				       c->private);
	}
	for_runs(p, p->offset, p->offset + p->size, false, map);
}

/**
 * gmem_set_region - set a memslot that has a guest_memfd, or delete one
 * @vm: the machine
 * @region: the slot
 *
 * Return: what the ioctl returns.
 */
int gmem_set_region(int vm, struct kvm_userspace_memory_region2 *region)
{
	bool new = region->memory_size && region->userspace_addr &&
		   region->flags == KVM_MEM_GUEST_MEMFD && is_ours(region->guest_memfd);
	struct part *p;
	int ret;

	pthread_mutex_lock(&lock);
	p = find_slot(vm, region->slot);
	new = new && !p;
	if (p && !region->memory_size)
		forget(p);
	else if (new)
		adopt(vm, region);
	pthread_mutex_unlock(&lock);
	ret = sys_ioctl(vm, KVM_SET_USER_MEMORY_REGION2, region);
	if (ret && new)
		die("KVM_SET_USER_MEMORY_REGION2");
	return ret;
}

/**
 * gmem_set_attributes - KVM_SET_MEMORY_ATTRIBUTES
 * @vm: the machine
 * @arg: its argument
 *
 * Return: what the ioctl returns.
 */
int gmem_set_attributes(int vm, struct kvm_memory_attributes *arg)
{
	bool private = arg->attributes & KVM_MEMORY_ATTRIBUTE_PRIVATE, ours = false;

	pthread_mutex_lock(&lock);
	for (int i = 0; i < MOST_PARTS; i++) {
		const struct part *p = &parts[i];
		uint64_t from = max(arg->address, p->gpa);
		uint64_t to = min(arg->address + arg->size, p->gpa + p->size);

		if (p->vm != vm || from >= to)
			continue;
		for_runs(p, from - p->gpa + p->offset, to - p->gpa + p->offset, !private,
			 private ? hide : show);
		ours = true;
	}
	if (ours) {
		if (nr_calls == MOST_CALLS)
			die("too many calls");
		calls[nr_calls++] = (struct call) { vm, arg->address, arg->size, private };
	}
	pthread_mutex_unlock(&lock);
	return ours ? 0 : sys_ioctl(vm, KVM_SET_MEMORY_ATTRIBUTES, arg);
}

/* Are the attributes of a page of any machine private? */
static bool was_private(uint64_t gpa)
{
	bool private = false;

	for (int i = 0; i < nr_calls; i++)
		if (gpa >= calls[i].gpa && gpa < calls[i].gpa + calls[i].size)
			private = calls[i].private;
	return private;
}

/**
 * gmem_run - KVM_RUN
 * @vcpu: the vCPU
 *
 * Return: what the ioctl returns, except for MMIO in a private page.
 */
int gmem_run(int vcpu)
{
	int ret = sys_ioctl(vcpu, KVM_RUN, NULL);
	struct kvm_run *run = NULL;

	if (ret)
		return ret;
	pthread_mutex_lock(&lock);
	for (int i = 0; i < MOST_VCPUS; i++)
		if (vcpus[i].fd == vcpu)
			run = vcpus[i].run;
	if (run && run->exit_reason == KVM_EXIT_MMIO && was_private(run->mmio.phys_addr)) {
		uint64_t gpa = run->mmio.phys_addr & -PAGE;

		run->exit_reason = KVM_EXIT_MEMORY_FAULT;
		run->memory_fault.flags = KVM_MEMORY_EXIT_FLAG_PRIVATE;
		run->memory_fault.gpa = gpa;
		run->memory_fault.size = PAGE;
		ret = -1;
	}
	pthread_mutex_unlock(&lock);
	if (ret)
		errno = EFAULT;
	return ret;
}

/**
 * gmem_mapped - a descriptor was mapped, perhaps that of a vCPU
 * @fd: the descriptor
 * @at: where
 */
void gmem_mapped(int fd, void *at)
{
	pthread_mutex_lock(&lock);
	for (int i = 0; i < MOST_VCPUS; i++) {
		if (!vcpus[i].run || vcpus[i].fd == fd) {
			vcpus[i].fd = fd;
			vcpus[i].run = at;
			break;
		}
	}
	pthread_mutex_unlock(&lock);
}

/**
 * gmem_unmapped - memory is about to be unmapped, perhaps with shared pages of slots
 * @at: first byte
 * @len: bytes
 */
void gmem_unmapped(const char *at, size_t len)
{
	pthread_mutex_lock(&lock);
	for (int i = 0; i < MOST_PARTS; i++)
		if (parts[i].vm && parts[i].at >= at && parts[i].at < at + len)
			forget(&parts[i]);
	for (int i = 0; i < MOST_VCPUS; i++)
		if ((char *)vcpus[i].run == at)
			vcpus[i].run = NULL;
	pthread_mutex_unlock(&lock);
}

/**
 * gmem_new_vm - the number of a descriptor is that of a new machine
 * @vm: the machine
 */
void gmem_new_vm(int vm)
{
	int left = 0;

	pthread_mutex_lock(&lock);
	for (int i = 0; i < nr_calls; i++)
		if (calls[i].vm != vm)
			calls[left++] = calls[i];
	nr_calls = left;
	pthread_mutex_unlock(&lock);
}

#ifdef GUEST_MEMFD_FLAG_USE_RESOURCE
/**
 * gmem_create - KVM_CREATE_GUEST_MEMFD
 * @vm: the machine
 * @arg: its argument
 *
 * Return: a descriptor of guestmemfs, or -1 and errno.
 */
int gmem_create(int vm, const struct kvm_create_guest_memfd *arg)
{
	struct kvm_create_guest_memfd with = *arg;
	int dir, fd, err;

	/* A test asks for each flag alone. */
	if (with.flags & GUEST_MEMFD_FLAG_USE_RESOURCE)
		return sys_ioctl(vm, KVM_CREATE_GUEST_MEMFD, &with);
	dir = open(getenv("SLOTS_DIR"), O_PATH | O_CLOEXEC);
	if (dir < 0)
		die("SLOTS_DIR");
	with.flags |= GUEST_MEMFD_FLAG_USE_RESOURCE;
	with.resource_fd = dir;
	fd = sys_ioctl(vm, KVM_CREATE_GUEST_MEMFD, &with);
	err = errno;
	close(dir);
	errno = err;
	return fd;
}
#else
int gmem_create(int vm, const struct kvm_create_guest_memfd *arg)
{
	struct guestmemfs_create_gmem create = {
		.size = sizeof(create), .vm_fd = vm, .flags = arg->flags,
	};
	int file, fd, err;

	if (!arg->size || arg->size % PAGE || arg->flags >= GUESTMEMFS_GMEM_EXIT_MISSING) {
		errno = EINVAL;
		return -1;
	}
	file = open(getenv("SLOTS_DIR"), O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	if (file < 0 || ftruncate(file, arg->size))
		die("SLOTS_DIR");
	fd = sys_ioctl(file, GUESTMEMFS_IOC_CREATE_GMEM, &create);
	err = errno;
	close(file);
	errno = err;
	return fd;
}
#endif

static void punch(const struct part *p, uint64_t from, uint64_t to)
{
	if (syscall(SYS_fallocate, p->gmem, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, from,
		    to - from))
		die("punching a private part");
}

/* Returns the slot that a part of a file is in. Its shared pages would not be in a guest_memfd. */
static const struct part *slot_of(int fd, uint64_t from, uint64_t to)
{
	struct stat st, other;

	if (syscall(SYS_fstat, fd, &st))
		return NULL;
	for (int i = 0; i < MOST_PARTS; i++) {
		const struct part *p = &parts[i];

		if (p->vm && from >= p->offset && to <= p->offset + p->size &&
		    !syscall(SYS_fstat, p->file, &other) && st.st_ino == other.st_ino &&
		    st.st_dev == other.st_dev)
			return p;
	}
	return NULL;
}

int fallocate(int fd, int mode, off_t offset, off_t len)
{
	const struct part *p = NULL;

	pthread_mutex_lock(&lock);
	if (mode & FALLOC_FL_PUNCH_HOLE && !((offset | len) % PAGE))
		p = slot_of(fd, offset, offset + len);
	if (p)
		for_runs(p, offset, offset + len, true, punch);
	pthread_mutex_unlock(&lock);
	return p ? 0 : syscall(SYS_fallocate, fd, mode, offset, len);
}

int fstat(int fd, struct stat *st)
{
	int ret = syscall(SYS_fstat, fd, st);

	if (!ret && getenv("SLOTS_DIR") && is_ours(fd))
		st->st_blksize = PAGE;
	return ret;
}
