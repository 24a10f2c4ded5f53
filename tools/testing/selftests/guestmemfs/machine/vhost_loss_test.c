// SPDX-License-Identifier: GPL-2.0-only
/*
 * vhost with guest memory that is lost while the device has it: vhost reports an error, or gets the
 * next memory of the file, and never reaches memory that the file has lost.
 */
#include <linux/kvm.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "gmem.h"
#include "vhost_fixture.h"

/* Leaves no free block in the pool. Returns the file that has them. */
static int take_rest(const struct pool *p)
{
	int fd = file_make(p, "rest", 0);

	return fallocate(fd, 0, 0, pool_free_blocks(p) * BLOCK) ? -1 : fd;
}

/*
 * Punches a block out, and gives it to another file with a pattern. Returns the mapping of that
 * file. vhost may be faster and fill the hole again, if it has just been told of a buffer.
 */
static char *give_away(struct guest *g, off_t offset, int *fd)
{
	int tries = 100;
	char *m;

	*fd = file_make(&g->p, "foreign", BLOCK);
	do {
		if (fallocate(g->ram, PUNCH, offset, BLOCK) || !tries--)
			return NULL;
	} while (fallocate(*fd, 0, 0, BLOCK));
	m = map_file(*fd, 0, BLOCK);
	if (m == MAP_FAILED || !is_zero(m, BLOCK))
		return NULL;
	fill(m, BLOCK, 99);
	return m;
}

/* Starts the guest, offers its buffer to vhost, and gives the buffer's block to another file. */
static char *lose_buffer(struct guest *g, int *fd)
{
	if (!start(g) || !works(g) || take_rest(&g->p) < 0)
		return NULL;
	guest_offer(&g->v, 1, g->mem + RECEIVED, BUFFER);
	return give_away(g, RECEIVED, fd);
}

/*
 * The memory of a buffer is punched out, after vhost has used it and again after it was offered.
 * Fails if vhost still writes to the old block, which another file has, or not to the new one.
 */
TEST_F(vhost, punched_buffer)
{
	struct guest *g = &self->g;
	char *foreign;
	size_t len;
	int fd;

	foreign = lose_buffer(g, &fd);
	ASSERT_NE(NULL, foreign);
	/* Another block for the buffer: that of the guest's other buffer. */
	ASSERT_EQ(0, fallocate(g->ram, PUNCH, SENT, BLOCK));
	fill(g->host, BUFFER, 5);
	ASSERT_TRUE(host_send(g->connection, g->host, BUFFER));
	EXPECT_EQ(1, guest_receive(&g->v, &len, VRING_MS));
	EXPECT_TRUE(is_filled(g->mem + RECEIVED, BUFFER, 5));
	EXPECT_TRUE(is_zero(g->mem + RECEIVED + BUFFER, BLOCK - BUFFER));
	EXPECT_TRUE(is_filled(foreign, BLOCK, 99));
	EXPECT_TRUE(no_errors(g));
}

/*
 * There is no memory for the hole. Fails if vhost writes to the old block, if it does not report an
 * error, or if the owner gets a signal for it.
 */
TEST_F(vhost, no_memory)
{
	struct guest *g = &self->g;
	char *foreign;
	size_t len;
	int fd;

	foreign = lose_buffer(g, &fd);
	ASSERT_NE(NULL, foreign);
	ASSERT_TRUE(host_send(g->connection, g->host, BUFFER));
	EXPECT_TRUE(vq_failed(&g->v.q[VSOCK_RX], VRING_MS));
	EXPECT_EQ(-1, guest_receive(&g->v, &len, SOON_MS));
	/* vhost reads the other file as little as it writes to it. */
	ASSERT_EQ(0, munmap(foreign, BLOCK));
	guest_send(&g->v, 1, VIRTIO_VSOCK_OP_RW, g->mem + RECEIVED, BUFFER);
	EXPECT_TRUE(vq_failed(&g->v.q[VSOCK_TX], VRING_MS));
	EXPECT_EQ(-1, recv(g->connection, g->host, BUFFER, MSG_DONTWAIT));
	foreign = map_file(fd, 0, BLOCK);
	ASSERT_NE(MAP_FAILED, foreign);
	EXPECT_TRUE(is_filled(foreign, BLOCK, 99));
	/* With memory, the device works again. */
	ASSERT_EQ(0, ftruncate(fd, 0));
	ASSERT_TRUE(start_again(g));
	EXPECT_TRUE(works(g));
}

/*
 * The rings are punched out. Fails if vhost goes on with the old block, in which another file has
 * its bytes, or if the driver cannot begin again.
 */
TEST_F(vhost, punched_rings)
{
	struct guest *g = &self->g;
	char *foreign;
	int fd;

	ASSERT_TRUE(start(g));
	ASSERT_TRUE(works(g));
	ASSERT_GE(take_rest(&g->p), 0);
	guest_offer(&g->v, 1, g->mem + RECEIVED, BUFFER);
	foreign = give_away(g, 0, &fd);
	ASSERT_NE(NULL, foreign);
	/* Forget what the queues have reported until now. */
	no_errors(g);
	/* There is no memory for the hole. */
	ASSERT_TRUE(host_send(g->connection, g->host, BUFFER));
	EXPECT_TRUE(vq_failed(&g->v.q[VSOCK_RX], VRING_MS));
	eventfd_write(g->v.q[VSOCK_TX].kick, 1);
	EXPECT_TRUE(vq_failed(&g->v.q[VSOCK_TX], VRING_MS));
	EXPECT_TRUE(is_filled(foreign, BLOCK, 99));
	EXPECT_TRUE(is_filled(g->mem + RECEIVED, BUFFER, 2));
	/* There is memory, but the index in it has gone back to 0. */
	ASSERT_EQ(0, munmap(foreign, BLOCK));
	ASSERT_EQ(0, ftruncate(fd, 0));
	eventfd_write(g->v.q[VSOCK_TX].kick, 1);
	EXPECT_TRUE(vq_failed(&g->v.q[VSOCK_TX], VRING_MS));
	ASSERT_EQ(0, vsock_stop(&g->v));
	no_errors(g);
	ASSERT_TRUE(start(g));
	EXPECT_TRUE(works(g));
	EXPECT_TRUE(no_errors(g));
}

/* Fails if vhost reaches what was behind the new end of the file, or makes the file grow. */
TEST_F(vhost, truncated)
{
	struct guest *g = &self->g;
	size_t len;

	ASSERT_TRUE(start(g));
	ASSERT_TRUE(works(g));
	guest_offer(&g->v, 1, g->mem + RECEIVED, BUFFER);
	ASSERT_EQ(0, ftruncate(g->ram, RECEIVED + PAGE));
	fill(g->host, BUFFER, 6);
	ASSERT_TRUE(host_send(g->connection, g->host, BUFFER));
	EXPECT_TRUE(vq_failed(&g->v.q[VSOCK_RX], VRING_MS));
	EXPECT_EQ(-1, guest_receive(&g->v, &len, SOON_MS));
	/* The page before the end may have got its part. */
	EXPECT_EQ(FAULT(SIGBUS), peek(g->mem + RECEIVED + PAGE));
	ASSERT_EQ(0, ftruncate(g->ram, BLOCKS * BLOCK));
	EXPECT_TRUE(is_zero(g->mem + RECEIVED + PAGE, BLOCK - PAGE));
	ASSERT_TRUE(start_again(g));
	EXPECT_TRUE(works(g));
}

/*
 * Private pages are not mapped in the host. Fails if vhost reads or writes them, or if it does not
 * work any more when they are shared again.
 */
TEST_F(vhost, private_pages)
{
	struct guest *g = &self->g;
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), vm = -1, gmem = -1;
	size_t len;

	if (kvm >= 0)
		vm = ioctl(kvm, KVM_CREATE_VM, 0);
	if (vm >= 0)
		gmem = gmem_create(g->ram, vm,
				   GUESTMEMFS_GMEM_INIT_SHARED | GUESTMEMFS_GMEM_MMAP);
	if (gmem < 0)
		SKIP(return, "no KVM");
	ASSERT_TRUE(start(g));
	ASSERT_TRUE(works(g));
	guest_offer(&g->v, 1, g->mem + RECEIVED, BUFFER);
	ASSERT_EQ(0, gmem_convert(gmem, RECEIVED, BLOCK, GMEM_PRIVATE));
	ASSERT_TRUE(host_send(g->connection, g->host, BUFFER));
	EXPECT_TRUE(vq_failed(&g->v.q[VSOCK_RX], VRING_MS));
	EXPECT_EQ(-1, guest_receive(&g->v, &len, SOON_MS));
	guest_send(&g->v, 1, VIRTIO_VSOCK_OP_RW, g->mem + RECEIVED, BUFFER);
	EXPECT_TRUE(vq_failed(&g->v.q[VSOCK_TX], VRING_MS));
	EXPECT_EQ(-1, recv(g->connection, g->host, BUFFER, MSG_DONTWAIT));
	/* The rings themselves. */
	ASSERT_EQ(0, gmem_convert(gmem, 0, BLOCK, GMEM_PRIVATE));
	eventfd_write(g->v.q[VSOCK_TX].kick, 1);
	EXPECT_TRUE(vq_failed(&g->v.q[VSOCK_TX], VRING_MS));
	ASSERT_EQ(0, vsock_stop(&g->v));
	/* It does not start with rings that it cannot access. */
	EXPECT_EQ(EFAULT, ERR(ioctl(g->v.fd, VHOST_VSOCK_SET_RUNNING, &(int){ 1 })));
	ASSERT_EQ(0, gmem_convert(gmem, 0, BLOCKS * BLOCK, GMEM_SHARED));
	ASSERT_TRUE(start(g));
	EXPECT_TRUE(works(g));
}

/* Fails if vhost has kept anything of a mapping that its owner has removed. */
TEST_F(vhost, unmapped)
{
	struct guest *g = &self->g;
	char *mem = g->mem;

	ASSERT_TRUE(start(g));
	ASSERT_TRUE(works(g));
	guest_offer(&g->v, 1, mem + RECEIVED, BUFFER);
	ASSERT_EQ(EBUSY, ERR(umount(g->p.mnt)));
	ASSERT_EQ(0, munmap(mem, BLOCKS * BLOCK));
	ASSERT_TRUE(host_send(g->connection, g->host, BUFFER));
	EXPECT_TRUE(vq_failed(&g->v.q[VSOCK_RX], VRING_MS));
	/* The mount is not used any more, although the device is open. */
	close(g->ram);
	ASSERT_EQ(0, pool_remount(&g->p));
	g->ram = open(pool_path(&g->p, "ram"), O_RDWR);
	ASSERT_EQ(mem, map_at(mem, g->ram, 0, BLOCKS * BLOCK));
	EXPECT_TRUE(is_filled(mem + RECEIVED, BUFFER, 2));
	ASSERT_TRUE(start_again(g));
	EXPECT_TRUE(works(g));
}

/* Fails if the memory is freed while the owner maps it, or is not freed after that. */
TEST_F(vhost, unlinked)
{
	struct guest *g = &self->g;

	ASSERT_TRUE(start(g));
	ASSERT_EQ(0, unlink(pool_path(&g->p, "ram")));
	close(g->ram);
	EXPECT_TRUE(works(g));
	EXPECT_EQ(g->p.free_blocks - 3, pool_free_blocks(&g->p));
	ASSERT_EQ(0, munmap(g->mem, BLOCKS * BLOCK));
	EXPECT_EQ(g->p.free_blocks, pool_free_blocks(&g->p));
}

/*
 * vhost keeps the memory of its owner until the device is closed. Fails if a block is freed before
 * that, or stays in use after it.
 */
TEST_F(vhost, owner_ends)
{
	struct guest *g = &self->g;
	int device, status;
	pid_t pid;

	ASSERT_EQ(0, unlink(pool_path(&g->p, "ram")));
	ASSERT_EQ(0, munmap(g->mem, BLOCKS * BLOCK));
	close(g->v.fd);
	device = vsock_device(variant->kthread);
	ASSERT_GE(device, 0);
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		char *p = map_file(g->ram, 0, BLOCKS * BLOCK);

		if (p == MAP_FAILED || ioctl(device, VHOST_SET_OWNER) || poke(p, 1))
			_exit(1);
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	close(g->ram);
	EXPECT_EQ(g->p.free_blocks - 1, pool_free_blocks(&g->p));
	EXPECT_EQ(EBUSY, ERR(umount(g->p.mnt)));
	close(device);
	EXPECT_EQ(g->p.free_blocks, pool_free_blocks(&g->p));
}

TEST_HARNESS_MAIN
