/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_VRING_H
#define _GUESTMEMFS_VRING_H

#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stdint.h>

#include "util.h"

/* A split virtqueue in guest memory, of which the test is the driver. */

#define VRING_NUM	8
/* Descriptors and the available ring are in the first page, the used ring is in the second one. */
#define VRING_BYTES	(2 * PAGE)
/* How long the device may take, on an emulated machine with a debug kernel. */
#define VRING_MS	20000

/**
 * struct vq - a virtqueue
 * @vr: where its parts are
 * @offered: the available index that the driver has published
 * @seen: how many entries of the used ring the driver has seen
 * @kick: eventfd that tells the device of new buffers
 * @call: eventfd that tells the driver of used buffers
 * @err: eventfd that tells the driver that the device could not read or write something
 */
struct vq {
	struct vring vr;
	uint16_t offered;
	uint16_t seen;
	int kick;
	int call;
	int err;
};

bool vq_open(struct vq *q);
void vq_close(struct vq *q);
/* Zeroes the rings at @p, which is page-aligned, and begins with their first entry. */
void vq_place(struct vq *q, void *p);
void vq_desc(struct vq *q, int i, uint64_t addr, uint32_t len, uint16_t flags);
void vq_offer(struct vq *q, int head);
/* Waits for the next used buffer. Returns its head, or -1 if there is none after @ms. */
int vq_used(struct vq *q, uint32_t *len, int ms);
/* Has the device reported an error within @ms, since it was asked last? */
bool vq_failed(struct vq *q, int ms);

#endif /* _GUESTMEMFS_VRING_H */
