/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _LINUX_GUESTMEMFS_H
#define _LINUX_GUESTMEMFS_H

/* What core code may call. See Documentation/filesystems/guestmemfs.rst. */

#ifdef CONFIG_GUESTMEMFS_FS
void guestmemfs_early_reserve(void);
#else
static inline void guestmemfs_early_reserve(void)
{
}
#endif

#endif /* _LINUX_GUESTMEMFS_H */
