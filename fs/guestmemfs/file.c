// SPDX-License-Identifier: GPL-2.0-only
/*
 * Regular files: mmap is the only way to their contents.
 */
#include <linux/filelock.h>
#include <linux/frame_pin.h>
#include <linux/fs.h>
#include <linux/init.h>

#include "gmem.h"
#include "internal.h"
#include "ioctl.h"

static long guestmemfs_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	if (gmfs_ioctl_nr(cmd) == _IOC_NR(GUESTMEMFS_IOC_CREATE_GMEM))
		return gmfs_gmem_ioctl_create(file, (void __user *)arg);
	return gmfs_ioctl(file, cmd, (void __user *)arg);
}

const struct file_operations guestmemfs_file_operations = {
	.llseek			= guestmemfs_llseek,
	.mmap_prepare		= guestmemfs_mmap_prepare,
	.get_unmapped_area	= guestmemfs_get_unmapped_area,
	.fallocate		= guestmemfs_fallocate,
	.fsync			= noop_fsync,
	.unlocked_ioctl		= guestmemfs_ioctl,
	.compat_ioctl		= compat_ptr_ioctl,
	.setlease		= generic_setlease,
};

const struct inode_operations guestmemfs_file_inode_operations = {
	.setattr		= guestmemfs_setattr,
	.getattr		= guestmemfs_getattr,
	.fiemap			= guestmemfs_fiemap,
	.update_time		= guestmemfs_update_time,
};

static struct frame_pin_provider gmfs_file_pins = {
	.fops	= &guestmemfs_file_operations,
	.ops	= &gmfs_dma_ops,
};

static int __init gmfs_file_init(void)
{
	frame_pin_register(&gmfs_file_pins);
	return 0;
}
fs_initcall(gmfs_file_init);
