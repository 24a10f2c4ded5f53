/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_GMEM_H
#define _GUESTMEMFS_GMEM_H

#include <linux/err.h>
#include <linux/fs.h>

/* Descriptors for hypervisors (gmem.c), as file.c, luo.c and super.c use them. */

#ifdef CONFIG_GMEM_PROVIDER
extern const struct file_operations gmfs_gmem_file_operations;
extern struct gmem_provider gmfs_gmem_provider;
long gmfs_gmem_ioctl_create(struct file *file, const void __user *uarg);
bool gmfs_is_gmem(const struct file *file);
u32 gmfs_gmem_flags(const struct file *file);
struct file *gmfs_gmem_file(struct file *file, u64 vm_id, u32 flags);
struct file *gmfs_gmem_resource_open(struct file *resource, u64 vm_id, loff_t size, u64 flags);
#else
static inline long gmfs_gmem_ioctl_create(struct file *file, const void __user *uarg)
{
	return -EOPNOTSUPP;
}

static inline bool gmfs_is_gmem(const struct file *file)
{
	return false;
}

static inline u32 gmfs_gmem_flags(const struct file *file)
{
	return 0;
}

static inline struct file *gmfs_gmem_file(struct file *file, u64 vm_id, u32 flags)
{
	return ERR_PTR(-EOPNOTSUPP);
}

static inline struct file *gmfs_gmem_resource_open(struct file *resource, u64 vm_id, loff_t size,
						   u64 flags)
{
	return ERR_PTR(-EOPNOTSUPP);
}
#endif

#endif /* _GUESTMEMFS_GMEM_H */
