/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_MOVE_H
#define _GUESTMEMFS_MOVE_H

#include <linux/guestmemfs.h>
#include <stdint.h>
#include <sys/ioctl.h>

#include "util.h"

#define MOVE_ZERO	GUESTMEMFS_MOVE_ZERO
#define EXCHANGE	GUESTMEMFS_MOVE_EXCHANGE

/**
 * struct move_end - how GUESTMEMFS_IOC_MOVE has ended
 * @err: its errno, 0 for success
 * @in_target: the offset is one of the file that the memory was for
 * @offset: the offset that was in the way
 */
struct move_end {
	int err;
	bool in_target;
	uint64_t offset;
};

/* Moves memory from one file to another one, or exchanges it. */
static inline struct move_end move_part(int from, uint64_t from_offset, int to, uint64_t offset,
					uint64_t length, uint32_t flags)
{
	struct guestmemfs_move arg = {
		.size		= sizeof(arg),
		.flags		= flags,
		.from_fd	= from,
		.error_file	= 77,
		.from_offset	= from_offset,
		.offset		= offset,
		.length		= length,
		.error_offset	= 77,
	};
	int err = ERR(ioctl(to, GUESTMEMFS_IOC_MOVE, &arg));

	return (struct move_end){ err, arg.error_file == GUESTMEMFS_MOVE_TO, arg.error_offset };
}

/* As move_part(), for callers that look at the errno alone. */
static inline int move(int from, uint64_t from_offset, int to, uint64_t offset, uint64_t length,
		       uint32_t flags)
{
	return move_part(from, from_offset, to, offset, length, flags).err;
}

#endif /* _GUESTMEMFS_MOVE_H */
