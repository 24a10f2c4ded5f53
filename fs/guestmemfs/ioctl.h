/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_IOCTL_H
#define _GUESTMEMFS_IOCTL_H

#include <linux/fs.h>
#include <linux/ioctl.h>
#include <linux/limits.h>
#include <uapi/linux/guestmemfs.h>

/* Shared by ioctl.c, file.c and gmem.c. */

/* Ignores the size in the command: the structure begins with its own size. */
static inline unsigned int gmfs_ioctl_nr(unsigned int cmd)
{
	return _IOC_TYPE(cmd) == GUESTMEMFS_IOC_MAGIC ? _IOC_NR(cmd) : UINT_MAX;
}

int gmfs_ioctl_get(void *arg, size_t ksize, size_t min, const void __user *uarg);
long gmfs_ioctl(struct file *file, unsigned int cmd, void __user *uarg);
long guestmemfs_gmem_ioctl(struct file *file, unsigned int cmd, unsigned long arg);

#endif /* _GUESTMEMFS_IOCTL_H */
