/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_ROOM_H
#define _GUESTMEMFS_ROOM_H

#include <linux/init.h>
#include <linux/types.h>

/* Functions of room.c for carve.c */
void __init gmfs_room_init(void);
u32 __init gmfs_room_nodes(void);
u64 __init gmfs_room_size(int node);
void __init gmfs_room_want(int node, u64 bytes);
void __init gmfs_room_hold(void);
void __init gmfs_room_done(void);
u64 __init gmfs_room_allowed(int node, u64 want, u64 from);

#endif /* _GUESTMEMFS_ROOM_H */
