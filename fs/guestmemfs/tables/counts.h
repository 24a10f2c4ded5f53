/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_COUNTS_H
#define _GUESTMEMFS_COUNTS_H

#include <linux/maple_tree.h>
#include <linux/types.h>

/* Numbers of users by range, for reserve.c and pins.c. The caller serialises all functions. */

unsigned long gmfs_count_at(const struct maple_tree *counts, u64 at, u64 *end);
int gmfs_count_up(struct maple_tree *counts, u64 *at, u64 end, u32 max, u64 *fresh);
bool gmfs_count_down(struct maple_tree *counts, u64 *at, u64 end, u32 max, u64 *last);

#endif /* _GUESTMEMFS_COUNTS_H */
