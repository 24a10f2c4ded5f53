// SPDX-License-Identifier: GPL-2.0-only
/*
 * The driver's side of a virtqueue.
 */
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vring.h"

bool vq_open(struct vq *q)
{
	q->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	q->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	q->err = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return q->kick >= 0 && q->call >= 0 && q->err >= 0;
}

void vq_close(struct vq *q)
{
	close(q->kick);
	close(q->call);
	close(q->err);
}

void vq_place(struct vq *q, void *p)
{
	memset(p, 0, VRING_BYTES);
	vring_init(&q->vr, VRING_NUM, p, PAGE);
	q->offered = 0;
	q->seen = 0;
}

/* A descriptor with VRING_DESC_F_NEXT is followed by the next one of the table. */
void vq_desc(struct vq *q, int i, uint64_t addr, uint32_t len, uint16_t flags)
{
	q->vr.desc[i] = (struct vring_desc){
		.addr = addr, .len = len, .flags = flags, .next = (i + 1) % VRING_NUM,
	};
}

void vq_offer(struct vq *q, int head)
{
	q->vr.avail->ring[q->offered++ % VRING_NUM] = head;
	/* Pairs with the smp_rmb() of the device after it has read the index. */
	__atomic_store_n(&q->vr.avail->idx, q->offered, __ATOMIC_RELEASE);
	eventfd_write(q->kick, 1);
}

int vq_used(struct vq *q, uint32_t *len, int ms)
{
	struct pollfd called = { .fd = q->call, .events = POLLIN };
	const struct vring_used_elem *e;
	eventfd_t n;

	/* Pairs with the smp_wmb() of the device before it writes the index. */
	while (__atomic_load_n(&q->vr.used->idx, __ATOMIC_ACQUIRE) == q->seen) {
		if (poll(&called, 1, ms) != 1)
			return -1;
		eventfd_read(q->call, &n);
	}
	e = &q->vr.used->ring[q->seen++ % VRING_NUM];
	if (len)
		*len = e->len;
	return e->id;
}

bool vq_failed(struct vq *q, int ms)
{
	struct pollfd failed = { .fd = q->err, .events = POLLIN };
	eventfd_t n;

	return poll(&failed, 1, ms) == 1 && !eventfd_read(q->err, &n);
}
