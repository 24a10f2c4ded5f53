// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pins for tests: guestmemfs_test/pin in debugfs. Writing "FD FIRST LAST" to it pins the pages
 * FIRST to LAST - 1 of the open file FD, until guestmemfs_test/pin is closed.
 */
#include <linux/debugfs.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/init.h>
#include <linux/list.h>
#include <linux/magic.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "../internal.h"

struct test_pins {
	struct mutex lock; /* list */
	struct list_head list;
};

struct test_pin {
	struct list_head list;
	struct gmfs_pin *pin;
};

static int pin_open(struct inode *inode, struct file *file)
{
	struct test_pins *pins = kzalloc_obj(*pins, GFP_KERNEL);

	if (!pins)
		return -ENOMEM;
	mutex_init(&pins->lock);
	INIT_LIST_HEAD(&pins->list);
	file->private_data = pins;
	return 0;
}

static int pin_add(struct test_pins *pins, struct file *file, u64 first, u64 last)
{
	struct inode *inode = file_inode(file);
	struct test_pin *pin;
	int err;

	if (inode->i_sb->s_magic != GUESTMEMFS_MAGIC || !S_ISREG(inode->i_mode))
		return -EINVAL;
	pin = kzalloc_obj(*pin, GFP_KERNEL);
	if (!pin)
		return -ENOMEM;
	pin->pin = gmfs_pin_pages(file, first, last);
	if (IS_ERR(pin->pin)) {
		err = PTR_ERR(pin->pin);
		kfree(pin);
		return err;
	}
	guard(mutex)(&pins->lock);
	list_add(&pin->list, &pins->list);
	return 0;
}

static ssize_t pin_write(struct file *file, const char __user *ubuf, size_t count, loff_t *pos)
{
	u64 first, last;
	char buf[80];
	int fd, err;

	if (count >= sizeof(buf))
		return -EINVAL;
	if (copy_from_user(buf, ubuf, count))
		return -EFAULT;
	buf[count] = '\0';
	if (sscanf(buf, "%d %llu %llu", &fd, &first, &last) != 3)
		return -EINVAL;
	CLASS(fd, f)(fd);
	if (fd_empty(f))
		return -EBADF;
	err = pin_add(file->private_data, fd_file(f), first, last);
	return err ? err : count;
}

static int pin_release(struct inode *inode, struct file *file)
{
	struct test_pins *pins = file->private_data;
	struct test_pin *pin, *next;

	list_for_each_entry_safe(pin, next, &pins->list, list) {
		gmfs_unpin_pages(pin->pin);
		kfree(pin);
	}
	kfree(pins);
	return 0;
}

static const struct file_operations pin_fops = {
	.owner		= THIS_MODULE,
	.open		= pin_open,
	.write		= pin_write,
	.release	= pin_release,
};

static int __init pin_init(void)
{
	/* refuse.c creates the directory, in an earlier initcall. */
	struct dentry *dir = debugfs_lookup("guestmemfs_test", NULL);

	if (dir)
		debugfs_create_file_unsafe("pin", 0200, dir, NULL, &pin_fops);
	dput(dir);
	return 0;
}
late_initcall_sync(pin_init);
