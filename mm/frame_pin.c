// SPDX-License-Identifier: GPL-2.0-only
/*
 * The registry of filesystems whose memory has no struct page and can be pinned for DMA, see
 * <linux/frame_pin.h>.
 */
#include <linux/errno.h>
#include <linux/export.h>
#include <linux/fs.h>
#include <linux/frame_pin.h>
#include <linux/rculist.h>
#include <linux/spinlock.h>

/* Only grows. */
static LIST_HEAD(frame_pin_providers);
static DEFINE_SPINLOCK(frame_pin_lock);

/**
 * frame_pin_register - register a kind of file
 * @p: the provider, which is built in, as it is never unregistered
 *
 * Context: process context.
 */
void frame_pin_register(struct frame_pin_provider *p)
{
	guard(spinlock)(&frame_pin_lock);
	list_add_tail_rcu(&p->list, &frame_pin_providers);
}

static const struct frame_pin_ops *frame_pin_ops_of(const struct file *file)
{
	struct frame_pin_provider *p;

	guard(rcu)();
	list_for_each_entry_rcu(p, &frame_pin_providers, list)
		if (p->fops == file->f_op)
			return p->ops;
	return NULL;
}

/**
 * frame_pin_provides - can a file be pinned by frame_pin_file()
 * @file: an open file
 *
 * Context: any.
 * Return: true if the filesystem of the file is a provider.
 */
bool frame_pin_provides(const struct file *file)
{
	return frame_pin_ops_of(file);
}
EXPORT_SYMBOL_FOR_MODULES(frame_pin_provides, "iommufd,vfio_iommu_type1");

/**
 * frame_pin_file - pin a part of a file for DMA
 * @file: an open file
 * @first: first page
 * @last: page after the last one
 * @write: the device may write
 *
 * Context: process context; mmap_lock may be held.
 * Return: the pin, for frame_unpin(), or an ERR_PTR(): -EOPNOTSUPP if the file is of no provider;
 * -EACCES if @file is not open for reading or, with @write, for writing; -EINVAL if there is no
 * page or one beyond the end of the file; -EFAULT if a page is not accessible to the host; -EROFS,
 * -ENOSPC or -EBUSY if a hole cannot be filled; -EINTR at a fatal signal; -ENOMEM.
 */
struct frame_pin *frame_pin_file(struct file *file, pgoff_t first, pgoff_t last, bool write)
{
	const struct frame_pin_ops *ops = frame_pin_ops_of(file);

	if (!ops)
		return ERR_PTR(-EOPNOTSUPP);
	if (!(file->f_mode & FMODE_READ) || (write && !(file->f_mode & FMODE_WRITE)))
		return ERR_PTR(-EACCES);
	return ops->pin(file, first, last);
}
EXPORT_SYMBOL_FOR_MODULES(frame_pin_file, "iommufd,vfio_iommu_type1");
