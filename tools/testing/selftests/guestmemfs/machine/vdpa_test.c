// SPDX-License-Identifier: GPL-2.0-only
/*
 * vhost-vdpa with guest memory, by the simulated disk of vdpa_sim_blk. A device that takes
 * addresses of its owner accepts a mapping of guest memory and leaves it out, a device that does
 * DMA refuses it: the VM tests run this with both settings of vdpa_sim.use_va.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/genetlink.h>
#include <linux/vdpa.h>
#include <linux/vhost.h>
#include <linux/virtio_blk.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness.h"
#include "util.h"
#include "vring.h"

#define NAME		"gmfs"
#define IOVA		GIB
/* Rings, and a page for the header and the status of a request. */

#define STATUS		64
/* What the device does not write. */
#define NO_STATUS	0xee
#define SOON_MS		200

/* A message of generic netlink: at most two attributes, which are strings. */
struct message {
	struct nlmsghdr nl;
	struct genlmsghdr genl;
	char attrs[256];
};

static void add_string(struct message *m, int type, const char *text)
{
	struct nlattr *a = (void *)((char *)m + m->nl.nlmsg_len);
	size_t len = strlen(text) + 1;

	a->nla_type = type;
	a->nla_len = NLA_HDRLEN + len;
	memcpy((char *)a + NLA_HDRLEN, text, len);
	m->nl.nlmsg_len += NLA_ALIGN(a->nla_len);
}

static void begin(struct message *m, int family, int cmd, int flags)
{
	memset(m, 0, sizeof(*m));
	m->nl.nlmsg_len = NLMSG_LENGTH(GENL_HDRLEN);
	m->nl.nlmsg_type = family;
	m->nl.nlmsg_flags = NLM_F_REQUEST | flags;
	m->genl.cmd = cmd;
	m->genl.version = 1;
}

/* Sends the message. The answer has the same place. Returns an errno. */
static int talk(struct message *m)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC), err = 0;

	if (fd < 0)
		return errno;
	if (send(fd, m, m->nl.nlmsg_len, 0) < 0 || recv(fd, m, sizeof(*m), MSG_TRUNC) < 0)
		err = errno;
	close(fd);
	if (!err && m->nl.nlmsg_type == NLMSG_ERROR)
		err = -((struct nlmsgerr *)NLMSG_DATA(&m->nl))->error;
	return err;
}

/* The number of vdpa's messages, 0 if this kernel has no vdpa. */
static int vdpa_family(void)
{
	struct message m;
	struct nlattr *a;

	begin(&m, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 0);
	add_string(&m, CTRL_ATTR_FAMILY_NAME, VDPA_GENL_NAME);
	if (talk(&m))
		return 0;
	for (a = (void *)m.attrs; (char *)a < m.attrs + sizeof(m.attrs) && a->nla_len;
	     a = (void *)((char *)a + NLA_ALIGN(a->nla_len)))
		if (a->nla_type == CTRL_ATTR_FAMILY_ID)
			return *(uint16_t *)((char *)a + NLA_HDRLEN);
	return 0;
}

static int make_device(int family)
{
	struct message m;

	begin(&m, family, VDPA_CMD_DEV_NEW, NLM_F_ACK);
	add_string(&m, VDPA_ATTR_DEV_NAME, NAME);
	add_string(&m, VDPA_ATTR_MGMTDEV_DEV_NAME, "vdpasim_blk");
	return talk(&m);
}

static int remove_device(int family)
{
	struct message m;

	begin(&m, family, VDPA_CMD_DEV_DEL, NLM_F_ACK);
	add_string(&m, VDPA_ATTR_DEV_NAME, NAME);
	return talk(&m);
}

/* Opens the device that vhost-vdpa has made of it. */
static int open_device(void)
{
	DIR *d = opendir("/sys/bus/vdpa/devices/" NAME);
	struct dirent *e;
	char path[512];
	int fd = -1;

	while (d && fd < 0 && (e = readdir(d))) {
		if (strncmp(e->d_name, "vhost-vdpa-", 11))
			continue;
		snprintf(path, sizeof(path), "/dev/%s", e->d_name);
		fd = open(path, O_RDWR | O_CLOEXEC);
	}
	if (d)
		closedir(d);
	return fd;
}

/* Does the simulator take addresses of its owner? */
static bool takes_addresses(void)
{
	int fd = open("/sys/module/vdpa_sim/parameters/use_va", O_RDONLY | O_CLOEXEC);
	char c = 0;

	if (fd < 0 || read(fd, &c, 1) != 1)
		return false;
	close(fd);
	return c == 'Y';
}

/**
 * struct disk - a simulated disk, and the memory of its driver
 * @by_address: it takes addresses of its owner
 * @fd: the device
 * @q: its queue
 * @host: ordinary memory of a block, for the rings and the headers of requests
 * @mem: guest memory of two blocks
 */
struct disk {
	bool by_address;
	int fd;
	struct vq q;
	char *host;
	char *mem;
};

FIXTURE(vdpa)
{
	int nodes[MAX_POOLS];
	struct pool p;
	bool has_pool;
	int family;
	struct disk d;
};

static int iotlb(int fd, int type, uint64_t iova, void *p, size_t len)
{
	struct vhost_msg msg = {
		.type = VHOST_IOTLB_MSG,
		.iotlb = {
			.iova = iova, .size = len, .uaddr = (uintptr_t)p,
			.perm = VHOST_ACCESS_RW, .type = type,
		},
	};

	return ERR(write(fd, &msg, sizeof(msg)));
}

static bool set_status(int fd, uint8_t status)
{
	return !ioctl(fd, VHOST_VDPA_SET_STATUS, &status);
}

/* Begins with rings at @p, which have the IO address @iova. */
static bool start(struct disk *d, char *p, uint64_t iova)
{
	uint64_t features = 1UL << VIRTIO_F_VERSION_1 | 1UL << VIRTIO_F_ACCESS_PLATFORM;
	struct vhost_vring_state num = { 0, VRING_NUM }, base = { 0, 0 }, ready = { 0, 1 };
	struct vhost_vring_file kick = { 0, d->q.kick }, call = { 0, d->q.call };
	struct vhost_vring_addr addr = {};

	vq_place(&d->q, p);
	addr.desc_user_addr = iova + ((char *)d->q.vr.desc - p);
	addr.avail_user_addr = iova + ((char *)d->q.vr.avail - p);
	addr.used_user_addr = iova + ((char *)d->q.vr.used - p);
	return set_status(d->fd, 1) && set_status(d->fd, 3) &&
	       !ioctl(d->fd, VHOST_SET_FEATURES, &features) && set_status(d->fd, 11) &&
	       !ioctl(d->fd, VHOST_SET_VRING_NUM, &num) &&
	       !ioctl(d->fd, VHOST_SET_VRING_BASE, &base) &&
	       !ioctl(d->fd, VHOST_SET_VRING_ADDR, &addr) &&
	       !ioctl(d->fd, VHOST_SET_VRING_KICK, &kick) &&
	       !ioctl(d->fd, VHOST_SET_VRING_CALL, &call) &&
	       !ioctl(d->fd, VHOST_VDPA_SET_VRING_ENABLE, &ready) && set_status(d->fd, 15);
}

/* The rings are in ordinary memory, shared as a device that takes addresses wants it. */
FIXTURE_SETUP(vdpa)
{
	int fd, err;

	if (!pool_nodes(self->nodes))
		SKIP(return, "no pool on this machine");
	self->family = vdpa_family();
	if (!self->family)
		SKIP(return, "no vdpa");
	err = make_device(self->family);
	if (err)
		self->family = 0;
	if (err == ENODEV)
		SKIP(return, "no vdpa_sim_blk");
	ASSERT_EQ(0, err);
	self->d.by_address = takes_addresses();
	self->d.fd = open_device();
	ASSERT_GE(self->d.fd, 0);
	ASSERT_EQ(0, ioctl(self->d.fd, VHOST_SET_OWNER));
	ASSERT_TRUE(vq_open(&self->d.q));
	ASSERT_TRUE(pool_setup(&self->p, self->nodes[0]));
	self->has_pool = true;
	self->d.host = mmap(NULL, BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->d.host);
	fd = file_make(&self->p, "ram", 2 * BLOCK);
	self->d.mem = map_file(fd, 0, 2 * BLOCK);
	ASSERT_NE(MAP_FAILED, self->d.mem);
	fill(self->d.mem, BLOCK, 9);
}

FIXTURE_TEARDOWN_PARENT(vdpa)
{
	if (self->has_pool)
		EXPECT_STREQ("", pool_teardown(&self->p) ?: "");
	if (self->family)
		EXPECT_EQ(0, remove_device(self->family));
}

/*
 * Reads from the disk, or writes to it, @len bytes at the IO address @iova. Returns the status of
 * the disk, NO_STATUS if it has not written one, and -1 if it has not done with the request.
 */
static int request(struct disk *d, bool write, uint64_t iova, size_t len)
{
	struct virtio_blk_outhdr *hdr = (void *)(d->host + VRING_BYTES);
	uint8_t *status = (uint8_t *)hdr + STATUS;
	const uint64_t hdr_iova = IOVA + VRING_BYTES;

	*hdr = (struct virtio_blk_outhdr){
		.type = write ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN,
	};
	*status = NO_STATUS;
	vq_desc(&d->q, 0, hdr_iova, sizeof(*hdr), VRING_DESC_F_NEXT);
	vq_desc(&d->q, 1, iova, len, VRING_DESC_F_NEXT | (write ? 0 : VRING_DESC_F_WRITE));
	vq_desc(&d->q, 2, hdr_iova + STATUS, 1, VRING_DESC_F_WRITE);
	vq_offer(&d->q, 0);
	if (vq_used(&d->q, NULL, VRING_MS) < 0)
		return -1;
	return *status;
}

/* The memory that this process has pinned. */
static long pinned(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[256];
	long kib = -1;

	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "VmPin: %ld", &kib);
	if (f)
		fclose(f);
	return kib;
}

/* Shows that all others fail because of the memory: the same with ordinary memory. */
TEST_F(vdpa, ordinary_memory)
{
	struct disk *d = &self->d;
	char *data = d->host + BLOCK / 2;

	TH_LOG("the device takes %s", d->by_address ? "addresses" : "pages");
	ASSERT_EQ(0, iotlb(d->fd, VHOST_IOTLB_UPDATE, IOVA, d->host, BLOCK));
	EXPECT_EQ(d->by_address ? 0 : (long)(BLOCK / KIB), pinned());
	ASSERT_TRUE(start(d, d->host, IOVA));
	fill(data, PAGE, 5);
	EXPECT_EQ(VIRTIO_BLK_S_OK, request(d, true, IOVA + BLOCK / 2, PAGE));
	memset(data, 0, PAGE);
	EXPECT_EQ(VIRTIO_BLK_S_OK, request(d, false, IOVA + BLOCK / 2, PAGE));
	EXPECT_TRUE(is_filled(data, PAGE, 5));
}

/*
 * A buffer in guest memory. Fails if a device that does DMA accepts it, or if any device reaches
 * it: then it would have frames of guest memory that nothing keeps for it.
 */
TEST_F(vdpa, buffer)
{
	struct disk *d = &self->d;
	int err = d->by_address ? 0 : EFAULT, i;

	ASSERT_EQ(0, iotlb(d->fd, VHOST_IOTLB_UPDATE, IOVA, d->host, BLOCK));
	EXPECT_EQ(err, iotlb(d->fd, VHOST_IOTLB_UPDATE, IOVA + BLOCK, d->mem, 2 * BLOCK));
	EXPECT_EQ(d->by_address ? 0 : (long)(BLOCK / KIB), pinned());
	ASSERT_TRUE(start(d, d->host, IOVA));
	/* What is not mapped at all gets the same answers. */
	for (i = 1; i < 4; i++) {
		EXPECT_EQ(VIRTIO_BLK_S_IOERR, request(d, true, IOVA + i * BLOCK, PAGE));
		EXPECT_EQ(VIRTIO_BLK_S_IOERR, request(d, false, IOVA + i * BLOCK, PAGE));
	}
	EXPECT_TRUE(is_filled(d->mem, BLOCK, 9));
	/* The IO addresses are free for other memory. */
	EXPECT_EQ(0, iotlb(d->fd, VHOST_IOTLB_UPDATE, IOVA + BLOCK, d->host, BLOCK));
	EXPECT_EQ(VIRTIO_BLK_S_OK, request(d, true, IOVA + BLOCK, PAGE));
	EXPECT_EQ(0, pool_sysfs(&self->p, "pinned"));
}

/*
 * One call for ordinary memory and guest memory after it. Fails if a device that does DMA keeps the
 * first part mapped or pinned.
 */
TEST_F(vdpa, mixed)
{
	struct disk *d = &self->d;
	char *both = reserve(2 * BLOCK, BLOCK);

	ASSERT_EQ(0, iotlb(d->fd, VHOST_IOTLB_UPDATE, IOVA, d->host, BLOCK));
	ASSERT_EQ(both, mmap(both, BLOCK, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	ASSERT_EQ(both + BLOCK, mremap(d->mem, 2 * BLOCK, 2 * BLOCK,
				       MREMAP_MAYMOVE | MREMAP_FIXED, both + BLOCK));
	EXPECT_EQ(d->by_address ? 0 : EFAULT,
		  iotlb(d->fd, VHOST_IOTLB_UPDATE, IOVA + BLOCK, both, 2 * BLOCK));
	EXPECT_EQ(d->by_address ? 0 : (long)(BLOCK / KIB), pinned());
	ASSERT_TRUE(start(d, d->host, IOVA));
	EXPECT_EQ(d->by_address ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR,
		  request(d, true, IOVA + BLOCK, PAGE));
	EXPECT_EQ(VIRTIO_BLK_S_IOERR, request(d, false, IOVA + 2 * BLOCK, PAGE));
	EXPECT_TRUE(is_filled(both + BLOCK, BLOCK, 9));
}

/* Rings in guest memory. Fails if a device uses them. */
TEST_F(vdpa, rings)
{
	struct disk *d = &self->d;
	int err = d->by_address ? 0 : EFAULT;

	ASSERT_EQ(0, iotlb(d->fd, VHOST_IOTLB_UPDATE, IOVA, d->host, BLOCK));
	EXPECT_EQ(err, iotlb(d->fd, VHOST_IOTLB_UPDATE, IOVA + BLOCK, d->mem, BLOCK));
	ASSERT_TRUE(start(d, d->mem, IOVA + BLOCK));
	vq_desc(&d->q, 0, IOVA, PAGE, VRING_DESC_F_WRITE);
	vq_offer(&d->q, 0);
	EXPECT_EQ(-1, vq_used(&d->q, NULL, SOON_MS));
	EXPECT_TRUE(is_zero(d->q.vr.used, PAGE));
}

TEST_HARNESS_MAIN
