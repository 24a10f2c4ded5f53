/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_VSOCK_H
#define _GUESTMEMFS_VSOCK_H

#include <linux/virtio_vsock.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vring.h"

/*
 * A vhost-vsock device. The test is the driver in the guest, with one connection from the guest to
 * a socket of the host. A packet consists of two descriptors, a header and a payload, so a queue
 * has NR_SLOTS packets; slot i has the descriptors 2i and 2i + 1.
 */
#define NR_SLOTS	(VRING_NUM / 2)
#define VSOCK_RX	0
#define VSOCK_TX	1
#define MAX_PARTS	4
/* Both queues, and a page for the headers of both. */
#define VSOCK_BYTES	(2 * VRING_BYTES + PAGE)
#define HOST_PORT	2000

/**
 * struct guest_part - a part of the guest's memory
 * @gpa: its guest physical address; an IO address, if the device translates
 * @p: its address in this process
 * @len: bytes
 */
struct guest_part {
	uint64_t gpa;
	char *p;
	size_t len;
};

/**
 * struct vsock - a device
 * @fd: /dev/vhost-vsock, -1 if there is none
 * @cid: the guest's address
 * @features: those that were chosen
 * @parts: the guest's memory
 * @nr_parts: number of @parts
 * @q: VSOCK_RX, from the host to the guest, and VSOCK_TX
 * @logged: the device sets bits of the used rings in a dirty log
 * @hdrs: headers of the packets, NR_SLOTS for each queue
 * @payload: payload of each slot of VSOCK_RX
 * @port: the guest's port
 * @received: bytes that the guest has received on the connection
 */
struct vsock {
	int fd;
	uint32_t cid;
	uint64_t features;
	struct guest_part parts[MAX_PARTS];
	int nr_parts;
	struct vq q[2];
	bool logged;
	struct virtio_vsock_hdr *hdrs;
	char *payload[NR_SLOTS];
	uint32_t port;
	uint32_t received;
};

/*
 * Opens a device whose worker is a thread of the owner, or a kernel thread. Returns -1 on failure,
 * with EOPNOTSUPP if it cannot be chosen.
 */
int vsock_device(bool kthread);
void vsock_close(struct vsock *v);
/* These return an errno. */
int vsock_open(struct vsock *v, bool kthread);
int vsock_features(struct vsock *v, uint64_t features);
int vsock_memory(struct vsock *v);
/* Begins with empty rings at @p, of VSOCK_BYTES. */
int vsock_start(struct vsock *v, char *p);
int vsock_stop(struct vsock *v);
int vsock_iotlb(struct vsock *v, int type, const struct guest_part *part);

/* A socket of the host that accepts connections of the guest. */
int vsock_listen(void);
/* Connects, with a page of payload for slot 0 of VSOCK_RX. Returns the host's end, or -1. */
int vsock_connect(struct vsock *v, int listener, char *payload);

/* Gives the device a packet, whose payload was written. */
void guest_send(struct vsock *v, int slot, int op, const void *payload, size_t len);
/* Gives the device a buffer. */
void guest_offer(struct vsock *v, int slot, char *payload, size_t len);
/*
 * Waits for a packet with a payload. Returns its slot and the bytes of the payload; -1 if there is
 * none.
 */
int guest_receive(struct vsock *v, size_t *len, int ms);

/* Sends or receives all of it at the host's end. */
bool host_send(int fd, const void *p, size_t len);
bool host_receive(int fd, void *p, size_t len);

#endif /* _GUESTMEMFS_VSOCK_H */
