// SPDX-License-Identifier: GPL-2.0-only
/*
 * DMA: the provider of pins for iommufd and VFIO, see <linux/frame_pin.h>. file.c registers it for
 * files, and gmem.c for descriptors for a hypervisor, which have the pages of their file.
 */
#include <linux/bsearch.h>
#include <linux/fs.h>
#include <linux/frame_pin.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/string.h>

#include "internal.h"

static struct gmfs_pin *gmfs_pin_of(const struct frame_pin *pin)
{
	return container_of(pin, struct gmfs_pin, pin);
}

static struct frame_pin *gmfs_dma_pin(struct file *file, pgoff_t first, pgoff_t last)
{
	struct gmfs_pin *pin = gmfs_pin_pages(file, first, last);

	if (IS_ERR(pin))
		return ERR_CAST(pin);
	pin->pin.ops = &gmfs_dma_ops;
	return &pin->pin;
}

static void gmfs_dma_unpin(struct frame_pin *pin)
{
	gmfs_unpin_pages(gmfs_pin_of(pin));
}

static int gmfs_dma_compare(const void *key, const void *elt)
{
	const struct gmfs_pin_run *run = elt;
	unsigned long index = *(const unsigned long *)key;

	if (index < run->index)
		return -1;
	return index - run->index >= run->end - run->first;
}

static unsigned long gmfs_dma_lookup(const struct frame_pin *p, unsigned long index,
				     unsigned long *nr)
{
	const struct gmfs_pin *pin = gmfs_pin_of(p);
	const struct gmfs_pin_run *run = bsearch(&index, pin->runs, pin->nr, sizeof(*run),
						 gmfs_dma_compare);

	*nr = run->end - run->first - (index - run->index);
	return run->pfn + (index - run->index);
}

static int gmfs_dma_rw(const struct frame_pin *pin, u64 offset, void *data, size_t len, bool write)
{
	const struct gmfs_pool *pool = gmfs_pin_of(pin)->pool;
	unsigned long pfn, nr;
	size_t part;
	u64 phys, frame;
	struct gmfs_window *window;

	for (; len; len -= part, data += part, offset += part) {
		pfn = frame_pin_lookup(pin, offset >> PAGE_SHIFT, &nr);
		phys = PFN_PHYS(pfn) + offset_in_page(offset);
		/* Map at most up to the end of the block. */
		part = min3(len, ((u64)nr << PAGE_SHIFT) - offset_in_page(offset),
			    GMFS_BLOCK_SIZE - (phys & (GMFS_BLOCK_SIZE - 1)));
		/* An error may have come since the frame was pinned. */
		frame = gmfs_pool_frame(pool, phys);
		nr = DIV_ROUND_UP(offset_in_page(phys) + part, PAGE_SIZE);
		if (gmfs_poisoned_next(&pool->poisoned, frame, frame + nr) < frame + nr)
			return -EHWPOISON;
		window = gmfs_window_open(phys, part);
		if (!window)
			return -ENOMEM;
		if (write)
			memcpy(window->va, data, part);
		else
			memcpy(data, window->va, part);
		gmfs_window_close(window);
	}
	return 0;
}

const struct frame_pin_ops gmfs_dma_ops = {
	.pin	= gmfs_dma_pin,
	.unpin	= gmfs_dma_unpin,
	.lookup	= gmfs_dma_lookup,
	.rw	= gmfs_dma_rw,
};
