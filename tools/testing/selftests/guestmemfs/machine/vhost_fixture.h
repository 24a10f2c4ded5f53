/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_VHOST_FIXTURE_H
#define _GUESTMEMFS_VHOST_FIXTURE_H

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/vhost.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness.h"
#include "util.h"
#include "vsock.h"

#define PUNCH		(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define GPA		GIB
#define BLOCKS		8UL
/* Rings and headers are in the first block, what the guest sends and receives in two others. */
#define SENT		(2 * BLOCK)
#define RECEIVED	(4 * BLOCK)
#define BUFFER		(16 * PAGE)
/* For what must not happen. */
#define SOON_MS		200

/**
 * struct guest - a guest with a vhost device
 * @p: the pool
 * @v: the device
 * @ram: the guest's memory, a file
 * @mem: its mapping
 * @host: ordinary memory of BUFFER
 * @listener: the host's socket
 * @connection: the host's end of the connection
 */
struct guest {
	struct pool p;
	struct vsock v;
	int ram;
	char *mem;
	char *host;
	int listener;
	int connection;
};

FIXTURE(vhost)
{
	int nodes[MAX_POOLS];
	bool has_pool;
	struct guest g;
};

/* vhost's worker is a thread of the owner, or a kernel thread that borrows the owner's memory. */
FIXTURE_VARIANT(vhost)
{
	bool kthread;
};

FIXTURE_VARIANT_ADD(vhost, thread) { false };
FIXTURE_VARIANT_ADD(vhost, kthread) { true };

/* The guest has one part of memory: a file of BLOCKS, which is a hole. */
static inline bool make_ram(struct guest *g)
{
	g->ram = file_make(&g->p, "ram", BLOCKS * BLOCK);
	g->mem = reserve(BLOCKS * BLOCK, BLOCK);
	if (map_at(g->mem, g->ram, 0, BLOCKS * BLOCK) != g->mem)
		return false;
	g->v.parts[0] = (struct guest_part){ GPA, g->mem, BLOCKS * BLOCK };
	g->v.nr_parts = 1;
	return !vsock_memory(&g->v);
}

FIXTURE_SETUP(vhost)
{
	int err;

	if (!pool_nodes(self->nodes))
		SKIP(return, "no pool on this machine");
	if (access("/dev/vhost-vsock", F_OK))
		SKIP(return, "no vhost-vsock");
	err = vsock_open(&self->g.v, variant->kthread);
	if (err == EOPNOTSUPP)
		SKIP(return, "the kind of vhost's worker cannot be chosen");
	ASSERT_EQ(0, err);
	self->g.host = aligned_alloc(PAGE, BUFFER);
	ASSERT_NE(NULL, self->g.host);
	self->g.connection = -1;
	self->g.listener = vsock_listen();
	ASSERT_GE(self->g.listener, 0);
	ASSERT_TRUE(pool_setup(&self->g.p, self->nodes[0]));
	self->has_pool = true;
	catch_faults();
	ASSERT_TRUE(make_ram(&self->g));
}

FIXTURE_TEARDOWN_PARENT(vhost)
{
	/* The test has closed the device when it exited. */
	if (self->has_pool)
		EXPECT_STREQ("", pool_teardown(&self->g.p) ?: "");
}

/*
 * Starts the device with empty rings, and connects. An earlier connection ends at once: otherwise
 * the host would send a packet for it 8 seconds later, which takes one of the guest's buffers.
 */
static inline bool start(struct guest *g)
{
	if (vsock_start(&g->v, g->mem))
		return false;
	if (g->connection >= 0) {
		guest_send(&g->v, 0, VIRTIO_VSOCK_OP_RST, NULL, 0);
		if (vq_used(&g->v.q[VSOCK_TX], NULL, VRING_MS) < 0)
			return false;
		close(g->connection);
	}
	g->connection = vsock_connect(&g->v, g->listener, g->mem + RECEIVED);
	return g->connection >= 0;
}

/* Begins again after a queue has stopped at an error. */
static inline bool start_again(struct guest *g)
{
	return !vsock_stop(&g->v) && start(g);
}

/* The guest sends @len bytes at @p, and the host receives them. */
static inline bool guest_to_host(struct guest *g, char *p, size_t len, uint64_t seed)
{
	fill(p, len, seed);
	memset(g->host, 0, len);
	guest_send(&g->v, 1, VIRTIO_VSOCK_OP_RW, p, len);
	return vq_used(&g->v.q[VSOCK_TX], NULL, VRING_MS) == 2 &&
	       host_receive(g->connection, g->host, len) &&
	       is_filled(g->host, len, seed);
}

/* The guest offers a buffer at @p, and receives @len bytes there from the host. */
static inline bool host_to_guest(struct guest *g, char *p, size_t len, uint64_t seed)
{
	size_t got = 0;

	fill(g->host, len, seed);
	guest_offer(&g->v, 1, p, len);
	return host_send(g->connection, g->host, len) &&
	       guest_receive(&g->v, &got, VRING_MS) == 1 && got == len &&
	       is_filled(p, len, seed);
}

static inline bool works(struct guest *g)
{
	return guest_to_host(g, g->mem + SENT, BUFFER, 1) &&
	       host_to_guest(g, g->mem + RECEIVED, BUFFER, 2);
}

/* Has no queue reported an error since the last call? */
static inline bool no_errors(struct guest *g)
{
	bool rx = vq_failed(&g->v.q[VSOCK_RX], 0), tx = vq_failed(&g->v.q[VSOCK_TX], 0);

	return !rx && !tx;
}

#endif /* _GUESTMEMFS_VHOST_FIXTURE_H */
