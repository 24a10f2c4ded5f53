/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_EDU_H
#define _GUESTMEMFS_EDU_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "util.h"

/* QEMU's device edu, which does DMA, and the interfaces by which memory is mapped for it. */

/* The device has 28 bits of address. What it writes comes from the page at SOURCE. */
#define IOVA		(16 * MIB)
#define SOURCE		(8 * MIB)

enum way { TYPE1, BY_ADDRESS, BY_FILE };

/**
 * struct dma - the device, and what it is opened by
 * @way: the interface that maps memory
 * @container: descriptor of VFIO's container or of iommufd
 * @group: descriptor of VFIO's group, for a container
 * @device: descriptor of the device
 * @ioas: the IO address space, for iommufd
 * @regs: offset of the device's registers in @device
 * @source: a page that is mapped at SOURCE
 */
struct dma {
	enum way way;
	int container;
	int group;
	int device;
	uint32_t ioas;
	uint64_t regs;
	unsigned char *source;
};

/* Finds the device, 1234:11e8, that is bound to vfio-pci. */
bool find_edu(char name[NAME_MAX + 1]);
/* Opens the device; @d->way says how. Maps @d->source for it. */
bool open_device(struct dma *d);
void close_device(struct dma *d);
/*
 * Maps @len bytes of memory that is at @p, and at @offset in the file @fd; -1: not by the file.
 * Returns an errno, as all functions below that return an int.
 */
int dma_map_as(struct dma *d, void *p, int fd, off_t offset, size_t len, uint64_t iova,
	       bool write);
int dma_map(struct dma *d, void *p, int fd, off_t offset, size_t len);
int dma_unmap(struct dma *d, uint64_t iova, size_t len);
/* The device writes a page of a pattern to @iova, or reads a page of that pattern there. */
bool dma_write(struct dma *d, uint64_t iova, uint64_t seed);
bool dma_reads(struct dma *d, uint64_t iova, uint64_t seed);

#endif /* _GUESTMEMFS_EDU_H */
