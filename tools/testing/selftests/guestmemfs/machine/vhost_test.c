// SPDX-License-Identifier: GPL-2.0-only
/*
 * vhost with guest memory, by a vhost-vsock device whose rings and buffers are in a mapping of a
 * file. vhost copies through the mapping of its owner, so it works as far as the owner itself could
 * access the memory. The dirty log alone is not copied, and has to be in ordinary memory.
 */
#include <sys/socket.h>

#include "userfault.h"
#include "vhost_fixture.h"

#ifndef SO_ZEROCOPY
#define SO_ZEROCOPY	60
#endif

/* Fails if vhost needs struct pages for rings or buffers, or copies to or from a wrong place. */
TEST_F(vhost, both_ways)
{
	struct guest *g = &self->g;
	static const size_t lengths[] = { 8, PAGE - 8, PAGE, 3 * PAGE + 8, BUFFER };
	size_t i;

	ASSERT_EQ(0, fallocate(g->ram, 0, 0, BLOCKS * BLOCK));
	ASSERT_TRUE(start(g));
	for (i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		/* Across pages, and across two blocks. */
		char *sent = g->mem + SENT + BLOCK - 8 * i;
		char *received = g->mem + RECEIVED + BLOCK - 8 * i;

		EXPECT_TRUE(guest_to_host(g, sent, lengths[i], 2 * i + 1));
		EXPECT_TRUE(host_to_guest(g, received, lengths[i], 2 * i + 2));
		EXPECT_TRUE(is_zero(received + lengths[i], PAGE));
		EXPECT_TRUE(is_zero(received - PAGE, PAGE));
		memset(received, 0, lengths[i]);
	}
	EXPECT_TRUE(no_errors(g));
}

/* Fails if a fault of vhost's worker does not fill a hole, or shows what the block had before. */
TEST_F(vhost, holes)
{
	struct guest *g = &self->g;

	ASSERT_TRUE(start(g));
	EXPECT_EQ(BLOCK_SECTORS, file_sectors(g->ram));
	/* The guest sends from a hole. */
	memset(g->host, 1, BUFFER);
	guest_send(&g->v, 1, VIRTIO_VSOCK_OP_RW, g->mem + SENT, BUFFER);
	EXPECT_EQ(2, vq_used(&g->v.q[VSOCK_TX], NULL, VRING_MS));
	EXPECT_TRUE(host_receive(g->connection, g->host, BUFFER));
	EXPECT_TRUE(is_zero(g->host, BUFFER));
	EXPECT_EQ(2 * BLOCK_SECTORS, file_sectors(g->ram));
	/* A hole receives, and gets no more than what was sent. */
	EXPECT_TRUE(host_to_guest(g, g->mem + 6 * BLOCK + PAGE, BUFFER, 3));
	EXPECT_EQ(3 * BLOCK_SECTORS, file_sectors(g->ram));
	EXPECT_TRUE(is_zero(g->mem + 6 * BLOCK, PAGE));
	EXPECT_TRUE(is_zero(g->mem + 6 * BLOCK + PAGE + BUFFER, BLOCK - PAGE - BUFFER));
	EXPECT_TRUE(no_errors(g));
}

/*
 * A buffer of the guest that is in two files and in ordinary memory. Fails if vhost takes the
 * guest's memory for one mapping.
 */
TEST_F(vhost, several_parts)
{
	struct guest *g = &self->g;
	int fd = file_make(&g->p, "more", BLOCK);
	char *more = map_file(fd, 0, BLOCK), *host;

	host = mmap(NULL, BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, more);
	ASSERT_NE(MAP_FAILED, host);
	g->v.parts[1] = (struct guest_part){ GPA + BLOCKS * BLOCK, more, PAGE };
	g->v.parts[2] = (struct guest_part){ GPA + BLOCKS * BLOCK + PAGE, host, BLOCK };
	g->v.nr_parts = 3;
	ASSERT_EQ(0, vsock_memory(&g->v));
	ASSERT_TRUE(start(g));
	fill(g->host, 3 * PAGE, 5);
	guest_offer(&g->v, 1, g->mem + BLOCKS * BLOCK - PAGE, 3 * PAGE);
	ASSERT_TRUE(host_send(g->connection, g->host, 3 * PAGE));
	ASSERT_EQ(2, vq_used(&g->v.q[VSOCK_RX], NULL, VRING_MS));
	EXPECT_EQ(0, memcmp(g->mem + BLOCKS * BLOCK - PAGE, g->host, PAGE));
	EXPECT_EQ(0, memcmp(more, g->host + PAGE, PAGE));
	EXPECT_EQ(0, memcmp(host, g->host + 2 * PAGE, PAGE));
	EXPECT_TRUE(is_zero(more + PAGE, BLOCK - PAGE));
	memset(g->host, 0, BUFFER);
	guest_send(&g->v, 1, VIRTIO_VSOCK_OP_RW, g->mem + BLOCKS * BLOCK - PAGE, 3 * PAGE);
	EXPECT_TRUE(host_receive(g->connection, g->host, 3 * PAGE));
	EXPECT_TRUE(is_filled(g->host, 3 * PAGE, 5));
}

/*
 * The device translates IO addresses, of rings and buffers. Fails if a translation to guest memory
 * is refused, or survives its removal.
 */
TEST_F(vhost, translated)
{
	struct guest *g = &self->g;
	struct vhost_msg msg;
	size_t len;

	g->v.parts[0].gpa = 1UL << 40;
	ASSERT_EQ(0, vsock_features(&g->v, 1UL << VIRTIO_F_ACCESS_PLATFORM));
	ASSERT_EQ(0, vsock_iotlb(&g->v, VHOST_IOTLB_UPDATE, &g->v.parts[0]));
	ASSERT_TRUE(start(g));
	EXPECT_TRUE(works(g));
	ASSERT_EQ(0, vsock_iotlb(&g->v, VHOST_IOTLB_INVALIDATE, &g->v.parts[0]));
	fill(g->host, BUFFER, 7);
	guest_offer(&g->v, 1, g->mem + RECEIVED, BUFFER);
	ASSERT_TRUE(host_send(g->connection, g->host, BUFFER));
	EXPECT_EQ(-1, guest_receive(&g->v, &len, SOON_MS));
	EXPECT_TRUE(is_filled(g->mem + RECEIVED, BUFFER, 2));
	ASSERT_EQ(sizeof(msg), read(g->v.fd, &msg, sizeof(msg)));
	EXPECT_EQ(VHOST_IOTLB_MISS, msg.iotlb.type);
	ASSERT_EQ(0, vsock_iotlb(&g->v, VHOST_IOTLB_UPDATE, &g->v.parts[0]));
	EXPECT_EQ(1, guest_receive(&g->v, &len, VRING_MS));
	EXPECT_TRUE(is_filled(g->mem + RECEIVED, BUFFER, 7));
}

/* Which page of the used rings has the log, counted from GPA 0? Returns a mask of the queues. */
static unsigned int logged(const unsigned long *log, const struct guest *g)
{
	unsigned int i, mask = 0;

	for (i = 0; i < 2; i++) {
		size_t page = (GPA + ((char *)g->v.q[i].vr.used - g->mem)) / PAGE;

		mask |= (log[page / 64] >> page % 64 & 1) << i;
	}
	return mask;
}

/* A bit for each page up to the end of the guest's memory. */
#define LOG_BYTES	((GPA + BLOCKS * BLOCK) / PAGE / 8)

static int set_log(struct guest *g, unsigned long *log)
{
	uint64_t base = (uintptr_t)log;

	g->v.logged = true;
	return ERR(ioctl(g->v.fd, VHOST_SET_LOG_BASE, &base)) ?:
	       vsock_features(&g->v, 1UL << VHOST_F_LOG_ALL);
}

/* Fails if writes to guest memory are not logged, or any other bit is set. */
TEST_F(vhost, log_in_ordinary_memory)
{
	struct guest *g = &self->g;
	unsigned long *log = calloc(1, LOG_BYTES + PAGE);
	unsigned int i, bits = 0;

	ASSERT_NE(NULL, log);
	ASSERT_EQ(0, set_log(g, log));
	ASSERT_TRUE(start(g));
	EXPECT_TRUE(works(g));
	EXPECT_EQ(3, logged(log, g));
	for (i = 0; i < LOG_BYTES / sizeof(*log); i++)
		bits += __builtin_popcountl(log[i]);
	EXPECT_EQ(2, bits);
	free(log);
}

/*
 * A log in guest memory is accepted, and stays empty without an error: vhost sets bits by the
 * page, and ignores that there is none. Fails if that changes: then the document has to change.
 */
TEST_F(vhost, log_in_guest_memory)
{
	struct guest *g = &self->g;
	int fd = file_make(&g->p, "log", BLOCK);
	unsigned long *log = map_file(fd, 0, BLOCK);

	ASSERT_NE(MAP_FAILED, (void *)log);
	ASSERT_EQ(0, fallocate(fd, 0, 0, BLOCK));
	ASSERT_EQ(0, set_log(g, log));
	ASSERT_TRUE(start(g));
	EXPECT_TRUE(works(g));
	EXPECT_TRUE(no_errors(g));
	EXPECT_EQ(0, logged(log, g));
	EXPECT_TRUE(is_zero(log, BLOCK));
}

/* Fails if the rings lose what was written when the page table entries go. */
TEST_F(vhost, discarded)
{
	struct guest *g = &self->g;
	size_t len;

	ASSERT_TRUE(start(g));
	guest_offer(&g->v, 1, g->mem + RECEIVED, BUFFER);
	ASSERT_EQ(0, madvise(g->mem, BLOCKS * BLOCK, MADV_DONTNEED));
	fill(g->host, BUFFER, 3);
	ASSERT_TRUE(host_send(g->connection, g->host, BUFFER));
	ASSERT_EQ(0, madvise(g->mem, BLOCKS * BLOCK, MADV_DONTNEED));
	EXPECT_EQ(1, guest_receive(&g->v, &len, VRING_MS));
	EXPECT_EQ(BUFFER, len);
	EXPECT_TRUE(is_filled(g->mem + RECEIVED, BUFFER, 3));
	ASSERT_EQ(0, madvise(g->mem, BLOCKS * BLOCK, MADV_DONTNEED));
	EXPECT_TRUE(works(g));
}

/* Fails if vhost's worker does not wait for a page that userfaultfd is to provide. */
TEST_F(vhost, postcopy)
{
	struct guest *g = &self->g;
	char *source = aligned_alloc(BLOCK, 2 * BLOCK);
	struct uffd u;
	size_t len;

	ASSERT_NE(NULL, source);
	fill(source, 2 * BLOCK, 8);
	if (!uffd_open(&u, 0))
		SKIP(return, "no userfaultfd");
	ASSERT_TRUE(start(g));
	ASSERT_EQ(0, uffd_register(&u, g->mem + SENT, BLOCK, UFFDIO_REGISTER_MODE_MISSING));
	ASSERT_EQ(0, fallocate(g->ram, PUNCH, RECEIVED, BLOCK));
	ASSERT_EQ(0, uffd_register(&u, g->mem + RECEIVED, BLOCK,
				   UFFDIO_REGISTER_MODE_MISSING));
	/* A page that the guest receives. */
	guest_offer(&g->v, 1, g->mem + RECEIVED, PAGE);
	fill(g->host, PAGE, 9);
	ASSERT_TRUE(host_send(g->connection, g->host, PAGE));
	ASSERT_EQ(g->mem + RECEIVED, uffd_fault(&u));
	ASSERT_EQ(0, uffd_copy(&u, g->mem + RECEIVED, source, BLOCK, NULL));
	EXPECT_EQ(1, guest_receive(&g->v, &len, VRING_MS));
	EXPECT_TRUE(is_filled(g->mem + RECEIVED, PAGE, 9));
	EXPECT_EQ(0, memcmp(g->mem + RECEIVED + PAGE, source + PAGE, BLOCK - PAGE));
	/* A page that the guest sends. */
	guest_send(&g->v, 1, VIRTIO_VSOCK_OP_RW, g->mem + SENT, PAGE);
	ASSERT_EQ(g->mem + SENT, uffd_fault(&u));
	EXPECT_EQ(-1, recv(g->connection, g->host, PAGE, MSG_DONTWAIT));
	ASSERT_EQ(0, uffd_copy(&u, g->mem + SENT, source, BLOCK, NULL));
	ASSERT_TRUE(host_receive(g->connection, g->host, PAGE));
	EXPECT_EQ(0, memcmp(g->host, source, PAGE));
	uffd_close(&u);
	free(source);
}

/*
 * MSG_ZEROCOPY takes references to the pages of the sender's buffer. Fails if it accepts guest
 * memory, or sends anything.
 */
TEST_F(vhost, zero_copy)
{
	struct guest *g = &self->g;
	int one = 1;
	size_t len;

	ASSERT_TRUE(start(g));
	ASSERT_TRUE(works(g));
	ASSERT_EQ(0, setsockopt(g->connection, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)));
	guest_offer(&g->v, 1, g->mem + RECEIVED, BUFFER);
	EXPECT_EQ(ENOMEM, ERR(send(g->connection, g->mem + SENT, BUFFER, MSG_ZEROCOPY)));
	EXPECT_EQ(-1, guest_receive(&g->v, &len, SOON_MS));
	/* The same with ordinary memory, and guest memory that is copied. */
	fill(g->host, BUFFER, 4);
	EXPECT_EQ(BUFFER, send(g->connection, g->host, BUFFER, MSG_ZEROCOPY));
	EXPECT_EQ(1, guest_receive(&g->v, &len, VRING_MS));
	EXPECT_TRUE(is_filled(g->mem + RECEIVED, BUFFER, 4));
	guest_offer(&g->v, 1, g->mem + RECEIVED, BUFFER);
	EXPECT_EQ(BUFFER, send(g->connection, g->mem + SENT, BUFFER, 0));
	EXPECT_EQ(1, guest_receive(&g->v, &len, VRING_MS));
	EXPECT_TRUE(is_filled(g->mem + RECEIVED, BUFFER, 1));
}

TEST_HARNESS_MAIN
