/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_PINS_H
#define _GUESTMEMFS_PINS_H

#include <linux/guestmemfs.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

#include "util.h"

/* Persistent pins and holes. All functions but pages_have() return an errno. */

static inline int pin(int fd, uint64_t offset, uint64_t length)
{
	struct guestmemfs_part arg = {
		.size = sizeof(arg), .offset = offset, .length = length,
	};

	return ERR(ioctl(fd, GUESTMEMFS_IOC_PIN, &arg));
}

static inline int unpin(int fd, uint64_t offset, uint64_t length)
{
	struct guestmemfs_part arg = {
		.size = sizeof(arg), .offset = offset, .length = length,
	};

	return ERR(ioctl(fd, GUESTMEMFS_IOC_UNPIN, &arg));
}

static inline int unpin_all(int fd)
{
	struct guestmemfs_part arg = {
		.size = sizeof(arg), .flags = GUESTMEMFS_UNPIN_ALL,
	};

	return ERR(ioctl(fd, GUESTMEMFS_IOC_UNPIN, &arg));
}

/* Makes a hole; if @unpinned, only if no page is pinned. */
static inline int punch(int fd, uint64_t offset, uint64_t length, bool unpinned)
{
	struct guestmemfs_part arg = {
		.size = sizeof(arg), .flags = unpinned ? GUESTMEMFS_PUNCH_UNPINNED : 0,
		.offset = offset, .length = length,
	};

	return ERR(ioctl(fd, GUESTMEMFS_IOC_PUNCH, &arg));
}

/*
 * Have all pages from @offset to before @end this state, and do the pages around them have
 * another?
 */
static inline bool pages_have(int fd, uint64_t offset, uint64_t end, uint64_t state)
{
	struct guestmemfs_get_state arg = { .size = sizeof(arg), .offset = offset };

	for (; arg.offset < end; arg.offset += arg.length)
		if (ioctl(fd, GUESTMEMFS_IOC_GET_STATE, &arg) || arg.state != state)
			return false;
	return arg.offset == end;
}

#define PERSISTENT	(GUESTMEMFS_STATE_ALLOCATED | GUESTMEMFS_STATE_PINNED | \
			 GUESTMEMFS_STATE_PERSISTENT)
#define PINNED		(GUESTMEMFS_STATE_ALLOCATED | GUESTMEMFS_STATE_PINNED)
#define NOT_PINNED	GUESTMEMFS_STATE_ALLOCATED

#endif /* _GUESTMEMFS_PINS_H */
