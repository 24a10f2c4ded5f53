/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_BOOT_H
#define _GUESTMEMFS_BOOT_H

#include <linux/init.h>
#include <linux/types.h>

#include "tables/tables.h"

/* Shared by the files that set pools up in early boot and the files that hand pools over later */

/* request.c */
extern char *gmfs_cmdline;
extern struct gmfs_request gmfs_requests[];
extern u32 gmfs_nr_requests;
void __init gmfs_requests_parse(void);

/* revive.c */
extern void *gmfs_unread_blob;
extern size_t gmfs_unread_size;
extern bool gmfs_unread_lost;
void __init gmfs_revive(void);

#endif /* _GUESTMEMFS_BOOT_H */
