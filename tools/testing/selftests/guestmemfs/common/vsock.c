// SPDX-License-Identifier: GPL-2.0-only
/*
 * A vhost-vsock device, and the driver of its guest.
 */
#include <fcntl.h>
#include <linux/vhost.h>
#include <linux/vm_sockets.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "vsock.h"

/* What the host may send before the guest says that it has received something. */
#define CREDIT		(256 * KIB)
#define FIRST_CID	10000
#define FIRST_PORT	1000

int vsock_device(bool kthread)
{
	uint8_t mode = VHOST_FORK_OWNER_KTHREAD;
	int fd = open("/dev/vhost-vsock", O_RDWR | O_CLOEXEC);

	if (fd >= 0 && kthread && ioctl(fd, VHOST_SET_FORK_FROM_OWNER, &mode)) {
		close(fd);
		errno = EOPNOTSUPP;
		return -1;
	}
	return fd;
}

int vsock_open(struct vsock *v, bool kthread)
{
	/* Sockets of an earlier process may still send to its guest. */
	uint64_t cid = FIRST_CID + getpid();

	memset(v, 0, sizeof(*v));
	v->cid = cid;
	v->fd = vsock_device(kthread);
	if (v->fd < 0 || ioctl(v->fd, VHOST_SET_OWNER) ||
	    ioctl(v->fd, VHOST_VSOCK_SET_GUEST_CID, &cid))
		return errno;
	if (!vq_open(&v->q[VSOCK_RX]) || !vq_open(&v->q[VSOCK_TX]))
		return errno;
	v->port = FIRST_PORT;
	return vsock_features(v, 0);
}

void vsock_close(struct vsock *v)
{
	int i;

	close(v->fd);
	v->fd = -1;
	for (i = 0; i < 2; i++)
		vq_close(&v->q[i]);
}

int vsock_features(struct vsock *v, uint64_t features)
{
	v->features = features | 1UL << VIRTIO_F_VERSION_1;
	return ERR(ioctl(v->fd, VHOST_SET_FEATURES, &v->features));
}

int vsock_memory(struct vsock *v)
{
	union {
		struct vhost_memory mem;
		char room[sizeof(struct vhost_memory) +
			  MAX_PARTS * sizeof(struct vhost_memory_region)];
	} u = { .mem.nregions = v->nr_parts };
	int i;

	for (i = 0; i < v->nr_parts; i++)
		u.mem.regions[i] = (struct vhost_memory_region){
			.guest_phys_addr = v->parts[i].gpa, .memory_size = v->parts[i].len,
			.userspace_addr = (uintptr_t)v->parts[i].p,
		};
	return ERR(ioctl(v->fd, VHOST_SET_MEM_TABLE, &u.mem));
}

/* The guest's address of @p, 0 if the guest has not got this memory. */
static uint64_t guest_address(const struct vsock *v, const void *p)
{
	int i;

	for (i = 0; i < v->nr_parts; i++) {
		const struct guest_part *part = &v->parts[i];

		if ((const char *)p >= part->p && (const char *)p < part->p + part->len)
			return part->gpa + ((const char *)p - part->p);
	}
	return 0;
}

/* With a translation, rings have IO addresses as buffers have. */
static uint64_t ring_address(const struct vsock *v, const void *p)
{
	bool translated = v->features >> VIRTIO_F_ACCESS_PLATFORM & 1;

	return translated ? guest_address(v, p) : (uintptr_t)p;
}

static int start_queue(struct vsock *v, unsigned int i)
{
	struct vq *q = &v->q[i];
	struct vhost_vring_state num = { i, VRING_NUM }, base = { i, 0 };
	struct vhost_vring_file kick = { i, q->kick }, call = { i, q->call }, err = { i, q->err };
	struct vhost_vring_addr addr = {
		.index = i,
		.flags = v->logged ? 1 << VHOST_VRING_F_LOG : 0,
		.desc_user_addr = ring_address(v, q->vr.desc),
		.avail_user_addr = ring_address(v, q->vr.avail),
		.used_user_addr = ring_address(v, q->vr.used),
		.log_guest_addr = v->logged ? guest_address(v, q->vr.used) : 0,
	};

	if (ioctl(v->fd, VHOST_SET_VRING_NUM, &num) ||
	    ioctl(v->fd, VHOST_SET_VRING_BASE, &base) ||
	    ioctl(v->fd, VHOST_SET_VRING_ADDR, &addr) ||
	    ioctl(v->fd, VHOST_SET_VRING_KICK, &kick) ||
	    ioctl(v->fd, VHOST_SET_VRING_CALL, &call) ||
	    ioctl(v->fd, VHOST_SET_VRING_ERR, &err))
		return errno;
	return 0;
}

static int set_running(struct vsock *v, int running)
{
	return ERR(ioctl(v->fd, VHOST_VSOCK_SET_RUNNING, &running));
}

int vsock_start(struct vsock *v, char *p)
{
	int err;

	vq_place(&v->q[VSOCK_RX], p);
	vq_place(&v->q[VSOCK_TX], p + VRING_BYTES);
	v->hdrs = (void *)(p + 2 * VRING_BYTES);
	err = start_queue(v, VSOCK_RX) ?: start_queue(v, VSOCK_TX);
	return err ?: set_running(v, 1);
}

int vsock_stop(struct vsock *v)
{
	return set_running(v, 0);
}

int vsock_iotlb(struct vsock *v, int type, const struct guest_part *part)
{
	struct vhost_msg msg = {
		.type = VHOST_IOTLB_MSG,
		.iotlb = {
			.iova = part->gpa, .size = part->len, .uaddr = (uintptr_t)part->p,
			.perm = VHOST_ACCESS_RW, .type = type,
		},
	};

	return ERR(write(v->fd, &msg, sizeof(msg)));
}

int vsock_listen(void)
{
	struct sockaddr_vm addr = {
		.svm_family = AF_VSOCK, .svm_port = HOST_PORT, .svm_cid = VMADDR_CID_ANY,
	};
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(fd, 8))
		return -1;
	return fd;
}

static void limit_waits(int fd)
{
	struct timeval t = { .tv_sec = VRING_MS / 1000 };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
}

static struct virtio_vsock_hdr *tx_hdr(struct vsock *v, int slot)
{
	return &v->hdrs[NR_SLOTS + slot];
}

void guest_send(struct vsock *v, int slot, int op, const void *payload, size_t len)
{
	struct vq *q = &v->q[VSOCK_TX];
	struct virtio_vsock_hdr *hdr = tx_hdr(v, slot);

	*hdr = (struct virtio_vsock_hdr){
		.src_cid = v->cid, .dst_cid = VMADDR_CID_HOST, .src_port = v->port,
		.dst_port = HOST_PORT, .len = len, .type = VIRTIO_VSOCK_TYPE_STREAM, .op = op,
		.buf_alloc = CREDIT, .fwd_cnt = v->received,
	};
	vq_desc(q, 2 * slot, guest_address(v, hdr), sizeof(*hdr), len ? VRING_DESC_F_NEXT : 0);
	if (len)
		vq_desc(q, 2 * slot + 1, guest_address(v, payload), len, 0);
	vq_offer(q, 2 * slot);
}

void guest_offer(struct vsock *v, int slot, char *payload, size_t len)
{
	struct vq *q = &v->q[VSOCK_RX];
	struct virtio_vsock_hdr *hdr = &v->hdrs[slot];

	v->payload[slot] = payload;
	vq_desc(q, 2 * slot, guest_address(v, hdr), sizeof(*hdr),
		VRING_DESC_F_WRITE | VRING_DESC_F_NEXT);
	vq_desc(q, 2 * slot + 1, guest_address(v, payload), len, VRING_DESC_F_WRITE);
	vq_offer(q, 2 * slot);
}

/* Waits for a packet of any kind. */
static int receive(struct vsock *v, int ms)
{
	int head = vq_used(&v->q[VSOCK_RX], NULL, ms);

	if (head < 0 || head >= VRING_NUM)
		return -1;
	return head / 2;
}

int guest_receive(struct vsock *v, size_t *len, int ms)
{
	int slot;

	for (slot = receive(v, ms); slot >= 0; slot = receive(v, ms)) {
		const struct virtio_vsock_hdr *hdr = &v->hdrs[slot];

		if (hdr->op == VIRTIO_VSOCK_OP_RW && hdr->dst_port == v->port) {
			*len = hdr->len;
			v->received += hdr->len;
			return slot;
		}
		/* The host tells the guest of its credit, for example. */
		vq_offer(&v->q[VSOCK_RX], 2 * slot);
	}
	return -1;
}

/*
 * Waits for a packet of the newest connection. Earlier ones may have left some in the device, which
 * come first, and which keep it from taking what the guest sends if they are many.
 */
static int receive_own(struct vsock *v)
{
	int slot = receive(v, VRING_MS);

	while (slot >= 0 && v->hdrs[slot].dst_port != v->port) {
		vq_offer(&v->q[VSOCK_RX], 2 * slot);
		slot = receive(v, VRING_MS);
	}
	return slot;
}

int vsock_connect(struct vsock *v, int listener, char *payload)
{
	struct pollfd p = { .fd = listener, .events = POLLIN };
	int fd, slot;

	v->port++;
	v->received = 0;
	guest_offer(v, 0, payload, PAGE);
	guest_send(v, 0, VIRTIO_VSOCK_OP_REQUEST, NULL, 0);
	slot = receive_own(v);
	if (slot < 0 || v->hdrs[slot].op != VIRTIO_VSOCK_OP_RESPONSE ||
	    vq_used(&v->q[VSOCK_TX], NULL, VRING_MS) < 0 || poll(&p, 1, VRING_MS) != 1)
		return -1;
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		limit_waits(fd);
	return fd;
}

bool host_send(int fd, const void *p, size_t len)
{
	return send(fd, p, len, MSG_NOSIGNAL) == (ssize_t)len;
}

bool host_receive(int fd, void *p, size_t len)
{
	return recv(fd, p, len, MSG_WAITALL) == (ssize_t)len;
}
