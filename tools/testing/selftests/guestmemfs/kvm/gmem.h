/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_GMEM_H
#define _GUESTMEMFS_GMEM_H

#include <errno.h>
#include <linux/guestmemfs.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <sys/ioctl.h>

/* Wrappers of the ioctls of files and descriptors, which return -1 and errno on failure. */

#define GMEM_PRIVATE	KVM_MEMORY_ATTRIBUTE_PRIVATE
#define GMEM_SHARED	0

static inline int gmem_create(int fd, int vm, uint32_t flags)
{
	struct guestmemfs_create_gmem arg = {
		.size	= sizeof(arg),
		.flags	= flags,
		.vm_fd	= vm,
	};

	return ioctl(fd, GUESTMEMFS_IOC_CREATE_GMEM, &arg);
}

/* Converts a range to GMEM_PRIVATE or GMEM_SHARED. */
static inline int gmem_convert(int fd, uint64_t offset, uint64_t len, uint64_t attributes)
{
	struct kvm_memory_attributes2 arg = {
		.offset		= offset,
		.size		= len,
		.attributes	= attributes,
	};

	return ioctl(fd, KVM_SET_MEMORY_ATTRIBUTES2, &arg);
}

static inline int gmem_get_state(int fd, uint64_t offset, struct guestmemfs_get_state *s)
{
	*s = (struct guestmemfs_get_state) {
		.size	= sizeof(*s),
		.offset	= offset,
	};
	return ioctl(fd, GUESTMEMFS_IOC_GET_STATE, s);
}

/* Returns GUESTMEMFS_STATE_* of an offset, or a negative errno. */
static inline int64_t gmem_state(int fd, uint64_t offset)
{
	struct guestmemfs_get_state s;

	return gmem_get_state(fd, offset, &s) ? -errno : (int64_t)s.state;
}

/* Returns the order of the largest entry that can map an offset, or a negative errno. */
static inline int gmem_order(int fd, uint64_t offset)
{
	struct guestmemfs_get_state s;

	return gmem_get_state(fd, offset, &s) ? -errno : (int)s.order;
}

#endif /* _GUESTMEMFS_GMEM_H */
