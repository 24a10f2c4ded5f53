/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
#ifndef _UAPI_LINUX_GUESTMEMFS_H
#define _UAPI_LINUX_GUESTMEMFS_H

#include <linux/ioctl.h>
#include <linux/types.h>

/**
 * DOC: ioctls of guestmemfs
 *
 * Each takes a pointer to a structure whose first field is its size in bytes,
 * as the caller knows it. A kernel that knows a larger one takes what is missing
 * as zero; one that knows a smaller one refuses with E2BIG if what it does not
 * know is not zero, and any that is larger than a page. EINVAL for a size below
 * that of the first version, for unknown flags, and for fields that must be zero
 * and are not; ENOTTY for an ioctl that the file does not have; EFAULT.
 */

#define GUESTMEMFS_IOC_MAGIC		0xB9

/* The bits are those of GUEST_MEMFD_FLAG_MMAP and GUEST_MEMFD_FLAG_INIT_SHARED. */

/* The descriptor can be mapped, as far as it is shared. */
#define GUESTMEMFS_GMEM_MMAP		(1U << 0)
/* Offsets of the file are shared at first; without it they are private. */
#define GUESTMEMFS_GMEM_INIT_SHARED	(1U << 1)

/**
 * struct guestmemfs_create_gmem - argument of %GUESTMEMFS_IOC_CREATE_GMEM
 * @size: sizeof(struct guestmemfs_create_gmem)
 * @flags: GUESTMEMFS_GMEM_*
 * @vm_fd: the virtual machine that may bind the descriptor, as KVM_CREATE_VM gave it
 * @reserved: zero
 */
struct guestmemfs_create_gmem {
	__u32 size;
	__u32 flags;
	__s32 vm_fd;
	__u32 reserved;
};

/*
 * On a file that is open for reading and writing: makes a descriptor of the same
 * file that KVM_SET_USER_MEMORY_REGION2 takes with KVM_MEM_GUEST_MEMFD, for one
 * virtual machine. Returns it, close-on-exec. What the file's offsets are at
 * first is said by the first descriptor that is made of it, whatever has been
 * written to it before, and by nobody after that: EEXIST if a later one differs.
 * EBADF: @vm_fd is not open; EINVAL: it is no virtual machine, as nothing is while
 * KVM is a module and not loaded; EIO: it has died; EACCES: the file is not open for
 * both; EROFS; EBUSY: a kexec has begun; EAGAIN: it would be private, and something
 * holds a page of it; EOPNOTSUPP: the kernel was built without KVM; EMFILE; ENFILE;
 * ENOMEM. With an error nothing has changed.
 */
#define GUESTMEMFS_IOC_CREATE_GMEM	_IOW(GUESTMEMFS_IOC_MAGIC, 0, struct guestmemfs_create_gmem)

/* As KVM_MEMORY_ATTRIBUTE_PRIVATE. */
#define GUESTMEMFS_ATTRIBUTE_PRIVATE	(1ULL << 3)

/**
 * struct guestmemfs_set_attributes - argument of %GUESTMEMFS_IOC_SET_ATTRIBUTES
 * @size: sizeof(struct guestmemfs_set_attributes)
 * @flags: zero
 * @offset: first byte, a multiple of 4096
 * @length: bytes, a multiple of 4096, not zero; not beyond the end of the file
 * @attributes: %GUESTMEMFS_ATTRIBUTE_PRIVATE, or 0 for shared
 * @error_offset: out, with EAGAIN: the first offset that something holds; with EEXIST: the
 *	first one that two virtual machines have; 0 on success
 */
struct guestmemfs_set_attributes {
	__u32 size;
	__u32 flags;
	__aligned_u64 offset;
	__aligned_u64 length;
	__aligned_u64 attributes;
	__aligned_u64 error_offset;
};

/*
 * On a descriptor of %GUESTMEMFS_IOC_CREATE_GMEM: makes a part of the file private or
 * shared, for all who have it, in place. All of it or nothing. EAGAIN: it was to become
 * private and something holds a page of it; EEXIST: it was to become private, and two virtual
 * machines with private memory have memslots of a page of it; EBUSY: a kexec has begun, or a
 * part of it is being truncated; ENOSPC: no room to remember it; EROFS; ENOMEM; EFAULT: the
 * argument cannot be read, or @error_offset cannot be written. With an error nothing has changed.
 */
#define GUESTMEMFS_IOC_SET_ATTRIBUTES	_IOWR(GUESTMEMFS_IOC_MAGIC, 1, \
					      struct guestmemfs_set_attributes)

#define GUESTMEMFS_STATE_ALLOCATED	(1ULL << 0)
#define GUESTMEMFS_STATE_PRIVATE	(1ULL << 1)
/* Punched while something held it: goes when nothing does any more. */
#define GUESTMEMFS_STATE_TRUNCATING	(1ULL << 2)
/* Something holds it. */
#define GUESTMEMFS_STATE_HELD		(1ULL << 3)

/**
 * struct guestmemfs_get_state - argument of %GUESTMEMFS_IOC_GET_STATE
 * @size: sizeof(struct guestmemfs_get_state)
 * @flags: zero
 * @offset: a byte of the file
 * @length: out: bytes from the page of @offset on that are alike; may be less than there are
 * @state: out: GUESTMEMFS_STATE_*
 * @order: out: log2 of the pages of the largest entry that can map the page of @offset
 * @reserved: out: zero
 */
struct guestmemfs_get_state {
	__u32 size;
	__u32 flags;
	__aligned_u64 offset;
	__aligned_u64 length;
	__aligned_u64 state;
	__u32 order;
	__u32 reserved;
};

/* On a file or a descriptor: what an offset is now. ENXIO: it is beyond the end. */
#define GUESTMEMFS_IOC_GET_STATE	_IOWR(GUESTMEMFS_IOC_MAGIC, 2, struct guestmemfs_get_state)

#endif /* _UAPI_LINUX_GUESTMEMFS_H */
