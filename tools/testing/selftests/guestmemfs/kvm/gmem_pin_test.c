// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages that are pinned: they cannot become private, and a pinned block that its file loses is
 * freed with its last pin. fs/guestmemfs/tests/pin_debugfs.c holds the pins.
 */
#include "gmem_fixture.h"

#define HELD		GUESTMEMFS_STATE_PINNED

/* Opens the debugfs file that can pin pages. Closing it releases all of its pins. */
static int holder(void)
{
	return open("/sys/kernel/debug/guestmemfs_test/pin", O_WRONLY);
}

/* Pins pages @first to @last - 1 of a file. Returns an errno. */
static int hold(int pin, int fd, uint64_t first, uint64_t last)
{
	char text[80];
	int len = snprintf(text, sizeof(text), "%d %lu %lu", fd, first, last);

	return write(pin, text, len) == len ? 0 : errno;
}

static int shared_file(const struct pool *p, const struct vmm *v, size_t size, int *gmem)
{
	int fd = ram_make(p, v, INIT_SHARED | CAN_MMAP, size, gmem);

	return fd < 0 || fallocate(fd, 0, 0, size) ? -1 : fd;
}

TEST_F(gmem, held_is_not_private)
{
	int gmem, fd = shared_file(&self->p, &self->vmm, 2 * BLOCK, &gmem), pin = holder();
	struct kvm_memory_attributes2 arg = { .size = BLOCK, .attributes = GMEM_PRIVATE };
	struct guestmemfs_get_state s;

	ASSERT_GE(fd, 0);
	ASSERT_GE(pin, 0);
	ASSERT_EQ(0, hold(pin, fd, 5, 7));
	EXPECT_EQ(0, gmem_get_state(fd, 0, &s));
	EXPECT_EQ(ALLOCATED, s.state);
	EXPECT_EQ(5 * PAGE, s.length);
	EXPECT_EQ(0, gmem_get_state(fd, 5 * PAGE, &s));
	EXPECT_EQ(ALLOCATED | HELD, s.state);
	EXPECT_EQ(2 * PAGE, s.length);
	EXPECT_EQ(EAGAIN, ERR(ioctl(gmem, KVM_SET_MEMORY_ATTRIBUTES2, &arg)));
	EXPECT_EQ(5 * PAGE, arg.error_offset);
	arg.offset = 6 * PAGE;
	arg.size = PAGE;
	EXPECT_EQ(EAGAIN, ERR(ioctl(gmem, KVM_SET_MEMORY_ATTRIBUTES2, &arg)));
	EXPECT_EQ(6 * PAGE, arg.error_offset);
	EXPECT_EQ(ALLOCATED, gmem_state(fd, 0));
	/*
	 * Pages next to pinned ones can be converted. Converting pinned pages to shared is
	 * possible, because they are shared already.
	 */
	EXPECT_EQ(0, gmem_convert(gmem, 0, 5 * PAGE, GMEM_PRIVATE));
	EXPECT_EQ(0, gmem_convert(gmem, 7 * PAGE, BLOCK, GMEM_PRIVATE));
	EXPECT_EQ(0, gmem_convert(gmem, 5 * PAGE, 2 * PAGE, GMEM_SHARED));
	close(pin);
	EXPECT_EQ(ALLOCATED, gmem_state(fd, 5 * PAGE));
	EXPECT_EQ(0, gmem_convert(gmem, 0, BLOCK, GMEM_PRIVATE));
	EXPECT_EQ(ALLOCATED | PRIVATE, gmem_state(fd, 5 * PAGE));
}

/* A balloon: the VMM punches a block while a device still has a page of it pinned. */
TEST_F(gmem, punched_while_held)
{
	int gmem, fd = shared_file(&self->p, &self->vmm, 3 * BLOCK, &gmem);
	int pin = holder(), other = holder();
	unsigned char *p = map_file(fd, 0, 3 * BLOCK);
	uint64_t free, detached;

	ASSERT_NE(MAP_FAILED, p);
	fill(p, 2 * BLOCK, 1);
	fill(p + 2 * BLOCK, BLOCK, 2);
	ASSERT_EQ(0, hold(pin, fd, 3, 4));
	ASSERT_EQ(0, hold(other, fd, 3, 4));
	free = pool_free_blocks(&self->p);
	detached = pool_sysfs(&self->p, "detached");
	ASSERT_EQ(0, fallocate(fd, PUNCH, 0, 2 * BLOCK));
	/* Both blocks have left the file, and the one without pins is free. */
	EXPECT_EQ(BLOCK_SECTORS, file_sectors(fd));
	EXPECT_EQ(free + 1, pool_free_blocks(&self->p));
	EXPECT_EQ(detached + BLOCK, pool_sysfs(&self->p, "detached"));
	EXPECT_EQ(0, gmem_state(fd, BLOCK));
	EXPECT_EQ(0, gmem_state(fd, 3 * PAGE));
	/* Host and guest find a hole, which they fill with zeroes. */
	EXPECT_EQ(0, peek(p + 3 * PAGE));
	EXPECT_EQ(VCPU_DONE, guest_touch(&self->cpu, FILE_GPA, 1, 0));
	EXPECT_EQ(ALLOCATED, gmem_state(fd, 3 * PAGE));
	EXPECT_TRUE(is_zero(p, 2 * BLOCK));
	EXPECT_EQ(0, gmem_convert(gmem, 3 * PAGE, PAGE, GMEM_PRIVATE));
	/* Punching again does not touch what is detached. */
	EXPECT_EQ(0, fallocate(fd, PUNCH, 0, 2 * BLOCK));
	EXPECT_EQ(detached + BLOCK, pool_sysfs(&self->p, "detached"));
	close(pin);
	EXPECT_EQ(free + 1, pool_free_blocks(&self->p));
	close(other);
	EXPECT_EQ(free + 2, pool_free_blocks(&self->p));
	EXPECT_EQ(detached, pool_sysfs(&self->p, "detached"));
	EXPECT_TRUE(is_filled(p + 2 * BLOCK, BLOCK, 2));
}

TEST_F(gmem, shrunk_while_held)
{
	int gmem, fd = shared_file(&self->p, &self->vmm, 2 * BLOCK, &gmem), pin = holder();
	unsigned char *p = map_file(fd, 0, 2 * BLOCK);
	uint64_t detached = pool_sysfs(&self->p, "detached");

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, poke(p + BLOCK, 1));
	ASSERT_EQ(0, hold(pin, fd, BLOCK / PAGE, BLOCK / PAGE + 1));
	ASSERT_EQ(0, ftruncate(fd, 0));
	EXPECT_EQ(0, file_sectors(fd));
	EXPECT_EQ(detached + BLOCK, pool_sysfs(&self->p, "detached"));
	ASSERT_EQ(0, ftruncate(fd, 2 * BLOCK));
	EXPECT_EQ(0, peek(p));
	EXPECT_EQ(0, peek(p + BLOCK));
	close(pin);
	EXPECT_EQ(detached, pool_sysfs(&self->p, "detached"));
	EXPECT_EQ(0, peek(p + BLOCK));
}

#define ZERO	FALLOC_FL_ZERO_RANGE

/*
 * FALLOC_FL_ZERO_RANGE fails for pinned blocks: a device could write to them after they were
 * zeroed.
 */
TEST_F(gmem, held_is_not_zeroed)
{
	int gmem, fd = shared_file(&self->p, &self->vmm, 4 * BLOCK, &gmem), pin = holder();
	unsigned char *p = map_file(fd, 0, 4 * BLOCK);

	ASSERT_NE(MAP_FAILED, p);
	fill(p, 4 * BLOCK, 1);
	ASSERT_EQ(0, hold(pin, fd, BLOCK / PAGE + 3, BLOCK / PAGE + 4));
	EXPECT_EQ(EBUSY, ERR(fallocate(fd, ZERO, BLOCK, BLOCK)));
	EXPECT_EQ(EBUSY, ERR(fallocate(fd, ZERO, 0, 6 * BLOCK)));
	EXPECT_EQ(4 * BLOCK, lseek(fd, 0, SEEK_END));
	EXPECT_EQ(4 * BLOCK_SECTORS, file_sectors(fd));
	EXPECT_TRUE(is_filled(p, 4 * BLOCK, 1));
	/*
	 * Blocks without pins can be zeroed. A part of a block is written at once, so that works
	 * with pins, too.
	 */
	EXPECT_EQ(0, fallocate(fd, ZERO, 2 * BLOCK, BLOCK));
	EXPECT_EQ(0, fallocate(fd, ZERO, BLOCK, 5 * PAGE));
	EXPECT_TRUE(is_zero(p + BLOCK, 5 * PAGE));
	EXPECT_TRUE(is_zero(p + 2 * BLOCK, BLOCK));
	EXPECT_TRUE(is_filled(p, BLOCK, 1));
	close(pin);
	EXPECT_EQ(0, fallocate(fd, ZERO, 0, 4 * BLOCK));
	EXPECT_TRUE(is_zero(p, 4 * BLOCK));
}

TEST_F(gmem, zeroed_keeps_its_character)
{
	int gmem, fd = shared_file(&self->p, &self->vmm, 2 * BLOCK, &gmem);
	unsigned char *p = map_file(fd, 0, 2 * BLOCK);

	ASSERT_NE(MAP_FAILED, p);
	fill(p, 2 * BLOCK, 1);
	ASSERT_EQ(0, gmem_convert(gmem, 5 * PAGE, 7 * PAGE, GMEM_PRIVATE));
	ASSERT_EQ(0, gmem_convert(gmem, BLOCK, BLOCK, GMEM_PRIVATE));
	ASSERT_EQ(0, fallocate(fd, ZERO, 0, 2 * BLOCK));
	EXPECT_EQ(0, peek(p));
	EXPECT_EQ(FAULT(SIGBUS), peek(p + 5 * PAGE));
	EXPECT_EQ(FAULT(SIGBUS), peek(p + BLOCK));
	EXPECT_EQ(ALLOCATED, gmem_state(fd, 0));
	EXPECT_EQ(ALLOCATED | PRIVATE, gmem_state(fd, 11 * PAGE));
	EXPECT_EQ(ALLOCATED | PRIVATE, gmem_state(fd, 2 * BLOCK - 1));
	ASSERT_EQ(0, gmem_convert(gmem, 0, 2 * BLOCK, GMEM_SHARED));
	EXPECT_TRUE(is_zero(p, 2 * BLOCK));
}

/* The blocks of a file that was unlinked and closed are freed with their last pin. */
TEST_F(gmem, gone_before_it_is_let_go)
{
	uint64_t before = pool_free_blocks(&self->p);
	int fd = file_make(&self->p, "held", 3 * BLOCK), pin = holder();

	ASSERT_EQ(0, fallocate(fd, 0, 0, 3 * BLOCK));
	ASSERT_EQ(0, hold(pin, fd, 0, 2 * BLOCK / PAGE));
	ASSERT_EQ(0, unlink(pool_path(&self->p, "held")));
	close(fd);
	EXPECT_EQ(before - 2, pool_free_blocks(&self->p));
	close(pin);
	EXPECT_EQ(before, pool_free_blocks(&self->p));
}

/* A pin needs neither the file nor the mount. Another mount finds the memory pinned. */
TEST_F(gmem, mounted_again_while_held)
{
	int kept = file_make(&self->p, "kept", BLOCK), fd = file_make(&self->p, "gone", 2 * BLOCK);
	uint64_t pinned = pool_sysfs(&self->p, "pinned"), free;
	int pin = holder(), again = holder();

	ASSERT_EQ(0, hold(pin, kept, 0, 1));
	ASSERT_EQ(0, hold(pin, fd, 0, 2 * BLOCK / PAGE));
	ASSERT_EQ(0, unlink(pool_path(&self->p, "gone")));
	close(fd);
	close(kept);
	free = pool_free_blocks(&self->p);
	EXPECT_EQ(pinned + PAGE + 2 * BLOCK, pool_sysfs(&self->p, "pinned"));
	ASSERT_EQ(0, pool_remount(&self->p));
	EXPECT_EQ(pinned + PAGE + 2 * BLOCK, pool_sysfs(&self->p, "pinned"));
	EXPECT_EQ(2 * BLOCK, pool_sysfs(&self->p, "detached"));
	EXPECT_EQ(free, pool_free_blocks(&self->p));
	kept = open(pool_path(&self->p, "kept"), O_RDWR);
	ASSERT_GE(kept, 0);
	EXPECT_EQ(ALLOCATED | HELD, gmem_state(kept, 0));
	/* The second pin keeps the page pinned when the first one goes without a mount. */
	ASSERT_EQ(0, hold(again, kept, 0, 1));
	close(kept);
	ASSERT_EQ(0, umount(self->p.mnt));
	close(pin);
	EXPECT_EQ(pinned + PAGE, pool_sysfs(&self->p, "pinned"));
	ASSERT_EQ(0, pool_mount_at(self->p.node, self->p.mnt, 0));
	EXPECT_EQ(0, pool_sysfs(&self->p, "detached"));
	EXPECT_EQ(free + 2, pool_free_blocks(&self->p));
	EXPECT_EQ(0, unlink(pool_path(&self->p, "kept")));
	EXPECT_EQ(BLOCK, pool_sysfs(&self->p, "detached"));
	close(again);
	EXPECT_EQ(0, pool_sysfs(&self->p, "detached"));
	EXPECT_EQ(pinned, pool_sysfs(&self->p, "pinned"));
}

TEST_F(gmem, holds_refused)
{
	int gmem, fd = shared_file(&self->p, &self->vmm, BLOCK, &gmem), pin = holder();

	ASSERT_EQ(0, gmem_convert(gmem, 5 * PAGE, PAGE, GMEM_PRIVATE));
	EXPECT_EQ(EFAULT, hold(pin, fd, 0, 6));
	EXPECT_EQ(EFAULT, hold(pin, fd, 5, 6));
	EXPECT_EQ(EINVAL, hold(pin, fd, 0, 0));
	EXPECT_EQ(EINVAL, hold(pin, fd, 3, 2));
	EXPECT_EQ(EINVAL, hold(pin, fd, 0, BLOCK / PAGE + 1));
	EXPECT_EQ(0, hold(pin, fd, 0, 5));
	EXPECT_EQ(0, hold(pin, gmem, 6, BLOCK / PAGE));
	close(pin);
}

/* A file with a pinned page cannot become private by its first descriptor. */
TEST_F(gmem, held_at_first)
{
	int fd = file_make(&self->p, "ram", BLOCK), pin = holder();

	ASSERT_EQ(0, hold(pin, fd, 0, 1));
	EXPECT_EQ(EAGAIN, ERR(gmem_create(fd, self->vmm.vm, 0)));
	EXPECT_EQ(ALLOCATED, gmem_state(fd, PAGE));
	/* The failed call has not chosen the initial state of the file. */
	EXPECT_LE(0, gmem_create(fd, self->vmm.vm, INIT_SHARED));
	close(pin);
}

TEST_HARNESS_MAIN
