// SPDX-License-Identifier: GPL-2.0-only
/*
 * guestmemfs_test/refuse in debugfs: a file that a live update session can preserve, but whose
 * freeze() fails. It is for tests of the state after an aborted live update. A frame whose physical
 * address is in guestmemfs_test/poison gets a memory error before that, and freeze() sleeps for as
 * many milliseconds as guestmemfs_test/refuse_ms says.
 */
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/init.h>
#include <linux/liveupdate.h>
#include <linux/mm.h>
#include <linux/pfn.h>

#define REFUSE_COMPATIBLE	"guestmemfs-test-refuse"

static const struct file_operations refuse_fops = {
	.owner	= THIS_MODULE,
};

static bool refuse_can_preserve(struct liveupdate_file_handler *handler, struct file *file)
{
	return file->f_op == &refuse_fops;
}

static int refuse_preserve(struct liveupdate_file_op_args *args)
{
	return 0;
}

static void refuse_unpreserve(struct liveupdate_file_op_args *args)
{
}

static u64 refuse_poison;
static u32 refuse_ms;

static int refuse_freeze(struct liveupdate_file_op_args *args)
{
	u64 phys = xchg(&refuse_poison, 0);

	if (IS_ENABLED(CONFIG_MEMORY_FAILURE) && phys)
		memory_failure(PHYS_PFN(phys), MF_SW_SIMULATED);
	msleep(xchg(&refuse_ms, 0));
	return -EIO;
}

/* Never called: freeze() fails, so no session with this file survives a kexec. */
static int refuse_retrieve(struct liveupdate_file_op_args *args)
{
	return -EIO;
}

static void refuse_finish(struct liveupdate_file_op_args *args)
{
}

static const struct liveupdate_file_ops refuse_ops = {
	.can_preserve	= refuse_can_preserve,
	.preserve	= refuse_preserve,
	.unpreserve	= refuse_unpreserve,
	.freeze		= refuse_freeze,
	.retrieve	= refuse_retrieve,
	.finish		= refuse_finish,
	.owner		= THIS_MODULE,
};

static struct liveupdate_file_handler refuse_handler = {
	.ops		= &refuse_ops,
	.compatible	= REFUSE_COMPATIBLE,
};

static int __init refuse_init(void)
{
	struct dentry *dir = debugfs_create_dir("guestmemfs_test", NULL);
	int err = liveupdate_register_file_handler(&refuse_handler);

	if (err)
		return err == -EOPNOTSUPP ? 0 : err;
	/*
	 * Unsafe, as refuse_can_preserve() compares f_op, which the safe variant replaces. That
	 * protects from removal, and this file is never removed.
	 */
	debugfs_create_file_unsafe("refuse", 0400, dir, NULL, &refuse_fops);
	debugfs_create_x64("poison", 0200, dir, &refuse_poison);
	debugfs_create_u32("refuse_ms", 0200, dir, &refuse_ms);
	return 0;
}
late_initcall(refuse_init);
