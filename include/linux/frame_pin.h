/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _LINUX_FRAME_PIN_H
#define _LINUX_FRAME_PIN_H

#include <linux/err.h>
#include <linux/list.h>
#include <linux/types.h>

/**
 * DOC: Pins on memory without struct page
 *
 * pin_user_pages() and memfd_pin_folios() pin pages for DMA by the reference count of their folio.
 * Memory of a file may have no struct page, and thus no reference count. Its filesystem, the
 * provider, counts the pins itself, and gives a list of frames in place of a list of pages. A user
 * that only needs physical addresses, such as an IOMMU driver, can use such memory for DMA:
 *
 * - frame_pin_file() pins a part of a file, and allocates memory for its holes. frame_pin_lookup()
 *   returns the frames. They are the same until frame_unpin(), whatever happens to the file: if it
 *   is truncated, punched or deleted, the file loses the frames at once, and frame_unpin() frees
 *   them.
 * - The memory is ordinary, cacheable memory (no MMIO), but the kernel has no mapping of it.
 *   frame_pin_rw() reads and writes it.
 * - A pin keeps neither the file nor its mount busy. The provider is built in.
 * - A provider may have taken over pins from the previous kernel, for devices that go on while a
 *   kernel is replaced by kexec. They end when a pin on the same frames ends that was in use, as
 *   frame_pin_use() says: a mapping that could not be made must not end them.
 * - The user must have removed all mappings of the frames, and waited for the flush of the IOTLB,
 *   before it calls frame_unpin().
 *
 * A provider takes locks inside of frame_pin_file() that page faults take as well (mmap_lock is
 * outside of them), and must call nothing of a user with them held.
 */

struct file;
struct file_operations;
struct frame_pin;

/**
 * struct frame_pin_ops - operations of a provider
 * @pin: pin pages @first to @last - 1; see frame_pin_file()
 * @unpin: undo @pin; see frame_unpin()
 * @lookup: see frame_pin_lookup()
 * @rw: see frame_pin_rw()
 */
struct frame_pin_ops {
	struct frame_pin *(*pin)(struct file *file, pgoff_t first, pgoff_t last);
	void (*unpin)(struct frame_pin *pin);
	unsigned long (*lookup)(const struct frame_pin *pin, unsigned long index,
				unsigned long *nr);
	int (*rw)(const struct frame_pin *pin, u64 offset, void *data, size_t len, bool write);
};

/**
 * struct frame_pin - a part of a file that is pinned; part of a structure of the provider
 * @ops: operations of the provider
 * @npages: number of pages
 * @used: set by frame_pin_use()
 */
struct frame_pin {
	const struct frame_pin_ops *ops;
	unsigned long npages;
	bool used;
};

/**
 * struct frame_pin_provider - a kind of file whose memory has no struct page
 * @list: for the registry
 * @fops: the file operations of these files
 * @ops: operations of the provider
 */
struct frame_pin_provider {
	struct list_head list;
	const struct file_operations *fops;
	const struct frame_pin_ops *ops;
};

#ifdef CONFIG_FRAME_PIN
void frame_pin_register(struct frame_pin_provider *p);
bool frame_pin_provides(const struct file *file);
struct frame_pin *frame_pin_file(struct file *file, pgoff_t first, pgoff_t last, bool write);
#else
static inline bool frame_pin_provides(const struct file *file)
{
	return false;
}

static inline struct frame_pin *frame_pin_file(struct file *file, pgoff_t first, pgoff_t last,
					       bool write)
{
	return ERR_PTR(-EOPNOTSUPP);
}
#endif

/**
 * frame_unpin - undo frame_pin_file()
 * @pin: the pin, freed here
 *
 * Context: process context; may wait for memory. Cannot fail.
 */
static inline void frame_unpin(struct frame_pin *pin)
{
	pin->ops->unpin(pin);
}

/**
 * frame_pin_use - tell that the frames are mapped for a device
 * @pin: the pin
 *
 * Call this when nothing can undo the mapping any more. More than one call is safe.
 *
 * Context: any; before frame_unpin().
 */
static inline void frame_pin_use(struct frame_pin *pin)
{
	pin->used = true;
}

/**
 * frame_pin_lookup - find the frames of pinned pages
 * @pin: the pin
 * @index: number of the page in the pin, less than frame_pin.npages
 * @nr: result: number of pages from @index on whose frames are contiguous, at least 1
 *
 * Context: any.
 * Return: the pfn of the first one.
 */
static inline unsigned long frame_pin_lookup(const struct frame_pin *pin, unsigned long index,
					     unsigned long *nr)
{
	return pin->ops->lookup(pin, index, nr);
}

/**
 * frame_pin_rw - read or write pinned memory
 * @pin: the pin
 * @offset: first byte, from the start of the first page on
 * @data: buffer of the kernel
 * @len: number of bytes; @offset + @len must not exceed the pin
 * @write: write from @data to the memory; false: read
 *
 * Context: process context.
 * Return: 0, or -ENOMEM; a part may have been copied then.
 */
static inline int frame_pin_rw(const struct frame_pin *pin, u64 offset, void *data, size_t len,
			       bool write)
{
	return pin->ops->rw(pin, offset, data, len, write);
}

#endif /* _LINUX_FRAME_PIN_H */
