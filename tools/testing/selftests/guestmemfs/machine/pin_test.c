// SPDX-License-Identifier: GPL-2.0-only
/*
 * Persistent pins in one kernel: GUESTMEMFS_IOC_PIN and GUESTMEMFS_IOC_UNPIN. pin_hop_test takes
 * them across kexecs.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <unistd.h>

#include "fixture.h"
#include "pins.h"

#define PUNCH	(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)

TEST_F(in_pool, arguments)
{
	int fd = file_make(&self->p, "ram", 2 * BLOCK), ro;
	struct guestmemfs_part arg = { .size = sizeof(arg), .length = PAGE };
	struct guestmemfs_part bad[] = {
		{ .size = 16, .length = PAGE }, { .size = sizeof(arg), .length = 0 },
		{ .size = sizeof(arg), .length = 1 }, { .size = sizeof(arg), .offset = 1,
		  .length = PAGE }, { .size = sizeof(arg), .flags = 2, .length = PAGE },
		{ .size = sizeof(arg), .flags = 1U << 31, .length = PAGE },
		{ .size = sizeof(arg), .offset = -PAGE, .length = 2 * PAGE },
		{ .size = sizeof(arg), .offset = 1UL << 63, .length = PAGE },
	};
	unsigned int i;

	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		TH_LOG("case %u", i);
		EXPECT_EQ(EINVAL, ERR(ioctl(fd, GUESTMEMFS_IOC_PIN, &bad[i])));
		EXPECT_EQ(EINVAL, ERR(ioctl(fd, GUESTMEMFS_IOC_UNPIN, &bad[i])));
	}
	arg.flags = GUESTMEMFS_UNPIN_ALL;
	EXPECT_EQ(EINVAL, ERR(ioctl(fd, GUESTMEMFS_IOC_PIN, &arg)));
	EXPECT_EQ(EINVAL, ERR(ioctl(fd, GUESTMEMFS_IOC_UNPIN, &arg)));
	EXPECT_EQ(EFAULT, ERR(ioctl(fd, GUESTMEMFS_IOC_PIN, NULL)));
	EXPECT_EQ(EFAULT, ERR(ioctl(fd, GUESTMEMFS_IOC_UNPIN, NULL)));
	arg.size = PAGE + 1;
	EXPECT_EQ(E2BIG, ERR(ioctl(fd, GUESTMEMFS_IOC_PIN, &arg)));
	/* Pages beyond the end cannot be pinned; there is nothing to unpin there. */
	EXPECT_EQ(EINVAL, pin(fd, BLOCK, BLOCK + PAGE));
	EXPECT_EQ(0, unpin(fd, BLOCK, 1UL << 50));
	EXPECT_EQ(0, pool_sysfs(&self->p, "pinned"));
	EXPECT_EQ(0, file_sectors(fd));
	ro = open(pool_path(&self->p, "ram"), O_RDONLY);
	EXPECT_EQ(EACCES, pin(ro, 0, PAGE));
	EXPECT_EQ(EACCES, unpin(ro, 0, PAGE));
	EXPECT_EQ(EACCES, unpin_all(ro));
	ro = open(self->p.dir, O_RDONLY);
	EXPECT_EQ(ENOTTY, pin(ro, 0, PAGE));
}

TEST_F(in_pool, pinned_pages)
{
	int fd = file_make(&self->p, "ram", 8 * BLOCK);

	/* The pin fills holes. */
	ASSERT_EQ(0, pin(fd, BLOCK + PAGE, 2 * BLOCK));
	EXPECT_EQ(3 * BLOCK_SECTORS, file_sectors(fd));
	EXPECT_EQ(2 * BLOCK, pool_sysfs(&self->p, "pinned"));
	EXPECT_EQ(2 * BLOCK, pool_sysfs(&self->p, "persistent"));
	EXPECT_EQ(0, pool_sysfs(&self->p, "inherited"));
	EXPECT_TRUE(pages_have(fd, 0, BLOCK, 0));
	EXPECT_TRUE(pages_have(fd, BLOCK, BLOCK + PAGE, NOT_PINNED));
	EXPECT_TRUE(pages_have(fd, BLOCK + PAGE, 3 * BLOCK + PAGE, PERSISTENT));
	EXPECT_TRUE(pages_have(fd, 3 * BLOCK + PAGE, 4 * BLOCK, NOT_PINNED));
	/* Again: the same pins. */
	ASSERT_EQ(0, pin(fd, BLOCK, 2 * BLOCK));
	EXPECT_EQ(2 * BLOCK + PAGE, pool_sysfs(&self->p, "persistent"));
	ASSERT_EQ(0, unpin(fd, 0, 2 * BLOCK));
	EXPECT_EQ(BLOCK + PAGE, pool_sysfs(&self->p, "pinned"));
	ASSERT_EQ(0, unpin(fd, 0, 2 * BLOCK));
	EXPECT_EQ(BLOCK + PAGE, pool_sysfs(&self->p, "persistent"));
	EXPECT_TRUE(pages_have(fd, BLOCK, 2 * BLOCK, NOT_PINNED));
	EXPECT_TRUE(pages_have(fd, 2 * BLOCK, 3 * BLOCK + PAGE, PERSISTENT));
	EXPECT_EQ(0, unpin_all(fd));
	EXPECT_EQ(0, pool_sysfs(&self->p, "persistent"));
	EXPECT_EQ(0, pool_sysfs(&self->p, "pinned"));
	EXPECT_EQ(0, unpin_all(fd));
}

/* The file has the pins, not a process, and not an open descriptor. */
TEST_F(in_pool, who_has_pins)
{
	int fd = file_make(&self->p, "ram", 4 * BLOCK), other = file_make(&self->p, "b", BLOCK);
	uint64_t free = pool_free_blocks(&self->p);

	ASSERT_EQ(0, pin(fd, 0, 4 * BLOCK));
	ASSERT_EQ(0, pin(other, 0, PAGE));
	EXPECT_EQ(free - 5, pool_free_blocks(&self->p));
	close(fd);
	EXPECT_EQ(4 * BLOCK + PAGE, pool_sysfs(&self->p, "persistent"));
	fd = open(pool_path(&self->p, "ram"), O_RDWR);
	EXPECT_TRUE(pages_have(fd, 0, 4 * BLOCK, PERSISTENT));
	/* What the file loses stays until it gives up all of its pins. */
	ASSERT_EQ(0, fallocate(fd, PUNCH, 0, BLOCK));
	ASSERT_EQ(0, ftruncate(fd, 3 * BLOCK));
	EXPECT_EQ(2 * BLOCK, pool_sysfs(&self->p, "detached"));
	EXPECT_EQ(free - 5, pool_free_blocks(&self->p));
	EXPECT_EQ(0, unpin(fd, 0, 4 * BLOCK));
	EXPECT_EQ(2 * BLOCK + PAGE, pool_sysfs(&self->p, "persistent"));
	EXPECT_EQ(0, unpin_all(fd));
	EXPECT_EQ(0, pool_sysfs(&self->p, "detached"));
	EXPECT_EQ(PAGE, pool_sysfs(&self->p, "persistent"));
	EXPECT_EQ(free - 3, pool_free_blocks(&self->p));
	/* The end of the file is the end of its pins. */
	ASSERT_EQ(0, pin(fd, 0, 3 * BLOCK));
	ASSERT_EQ(0, fallocate(fd, PUNCH, 0, BLOCK));
	EXPECT_EQ(BLOCK, pool_sysfs(&self->p, "detached"));
	ASSERT_EQ(0, unlink(pool_path(&self->p, "ram")));
	EXPECT_EQ(3 * BLOCK + PAGE, pool_sysfs(&self->p, "persistent"));
	close(fd);
	EXPECT_EQ(PAGE, pool_sysfs(&self->p, "persistent"));
	EXPECT_EQ(free - 1, pool_free_blocks(&self->p));
	EXPECT_EQ(0, pool_sysfs(&self->p, "detached"));
}

TEST_F(in_pool, punch_unpinned)
{
	int fd = file_make(&self->p, "ram", 4 * BLOCK), ro;
	unsigned char *p = map_file(fd, 0, 4 * BLOCK);
	struct guestmemfs_part arg = { .size = sizeof(arg), .flags = 2, .length = PAGE };

	ASSERT_NE(MAP_FAILED, p);
	fill(p, 4 * BLOCK, 3);
	ASSERT_EQ(0, pin(fd, 2 * BLOCK + PAGE, PAGE));
	/* Nothing is changed: not even what is not pinned. */
	EXPECT_EQ(EBUSY, punch(fd, 0, 4 * BLOCK, true));
	EXPECT_EQ(EBUSY, punch(fd, 2 * BLOCK, BLOCK, true));
	EXPECT_EQ(4 * BLOCK_SECTORS, file_sectors(fd));
	EXPECT_TRUE(is_filled(p, 4 * BLOCK, 3));
	/* Only part of the block: its bytes are zeroed, and it stays. */
	EXPECT_EQ(0, punch(fd, 2 * BLOCK, 2 * PAGE, true));
	EXPECT_TRUE(is_zero(p + 2 * BLOCK, 2 * PAGE));
	EXPECT_EQ(0, punch(fd, 0, 2 * BLOCK, true));
	EXPECT_EQ(2 * BLOCK_SECTORS, file_sectors(fd));
	EXPECT_EQ(0, pool_sysfs(&self->p, "detached"));
	EXPECT_EQ(0, punch(fd, 2 * BLOCK, BLOCK, false));
	EXPECT_EQ(BLOCK, pool_sysfs(&self->p, "detached"));
	EXPECT_EQ(0, punch(fd, 0, 4 * BLOCK, true));
	EXPECT_EQ(0, file_sectors(fd));
	/* As far as a file can be, and farther. */
	EXPECT_EQ(0, punch(fd, 0, 1UL << 53, true));
	EXPECT_EQ(EFBIG, punch(fd, 0, (1UL << 53) + PAGE, true));
	EXPECT_EQ(EFBIG, punch(fd, 1UL << 62, 1UL << 61, false));
	EXPECT_EQ(0, unpin(fd, 0, 1UL << 62));
	EXPECT_EQ(EINVAL, punch(fd, 1, PAGE, true));
	EXPECT_EQ(EINVAL, punch(fd, 0, 0, false));
	EXPECT_EQ(EINVAL, ERR(ioctl(fd, GUESTMEMFS_IOC_PUNCH, &arg)));
	EXPECT_EQ(EFAULT, ERR(ioctl(fd, GUESTMEMFS_IOC_PUNCH, NULL)));
	ro = open(pool_path(&self->p, "ram"), O_RDONLY);
	EXPECT_EQ(EBADF, punch(ro, 0, PAGE, false));
	EXPECT_EQ(0, unpin_all(fd));
	EXPECT_EQ(0, pool_sysfs(&self->p, "detached"));
}

TEST_F(in_pool, pins_and_mounts)
{
	int fd = file_make(&self->p, "ram", 4 * BLOCK);
	uint64_t free;

	ASSERT_EQ(0, pin(fd, PAGE, 3 * BLOCK));
	ASSERT_EQ(0, fallocate(fd, PUNCH, 0, BLOCK));
	free = pool_free_blocks(&self->p);
	close(fd);
	ASSERT_EQ(0, pool_remount(&self->p));
	EXPECT_EQ(3 * BLOCK, pool_sysfs(&self->p, "persistent"));
	EXPECT_EQ(3 * BLOCK, pool_sysfs(&self->p, "pinned"));
	/* Of this kernel still. */
	EXPECT_EQ(0, pool_sysfs(&self->p, "inherited"));
	EXPECT_EQ(BLOCK, pool_sysfs(&self->p, "detached"));
	EXPECT_EQ(free, pool_free_blocks(&self->p));
	fd = open(pool_path(&self->p, "ram"), O_RDWR);
	EXPECT_TRUE(pages_have(fd, BLOCK, 3 * BLOCK + PAGE, PERSISTENT));
	EXPECT_EQ(0, unpin_all(fd));
	EXPECT_EQ(free + 1, pool_free_blocks(&self->p));
}

TEST_F(in_pool, read_only_mount)
{
	int fd = file_make(&self->p, "ram", BLOCK);

	ASSERT_EQ(0, pin(fd, 0, PAGE));
	close(fd);
	ASSERT_EQ(0, mount("guestmemfs", self->p.mnt, NULL, MS_REMOUNT | MS_RDONLY, NULL));
	fd = open(pool_path(&self->p, "ram"), O_RDONLY);
	EXPECT_TRUE(pages_have(fd, 0, PAGE, PERSISTENT));
	EXPECT_EQ(EACCES, unpin_all(fd));
	ASSERT_EQ(0, mount("guestmemfs", self->p.mnt, NULL, MS_REMOUNT, NULL));
	fd = open(pool_path(&self->p, "ram"), O_RDWR);
	EXPECT_EQ(0, unpin_all(fd));
}

#define RACE_BLOCKS	8UL
#define RACE_ROUNDS	3000

/**
 * struct pinner - a thread that pins parts of a file, and one that unpins or loses them
 * @fd: the file
 * @pinned: how often pages could be pinned
 * @stop: set when the first one is done
 * @wrong: an errno that none of the calls may return, 0 if there was none
 */
struct pinner {
	int fd;
	int pinned;
	int stop;
	int wrong;
};

static void *pin_parts(void *arg)
{
	const size_t pages = RACE_BLOCKS * BLOCK / PAGE;
	struct pinner *r = arg;
	unsigned int seed = 1;
	int i, err;

	for (i = 0; i < RACE_ROUNDS; i++) {
		size_t first = rand_r(&seed) % pages, nr = 1 + rand_r(&seed) % (pages - first);

		err = pin(r->fd, first * PAGE, nr * PAGE);
		r->pinned += !err;
		/* The other thread makes the file shorter for a moment. */
		if (err && err != EINVAL)
			r->wrong = err;
	}
	__atomic_store_n(&r->stop, 1, __ATOMIC_RELEASE);
	return NULL;
}

static void *unpin_all_parts(void *arg)
{
	struct pinner *r = arg;
	unsigned int seed = 2;
	int err;

	while (!__atomic_load_n(&r->stop, __ATOMIC_ACQUIRE)) {
		size_t at = rand_r(&seed) % RACE_BLOCKS * BLOCK;

		switch (rand_r(&seed) % 16) {
		case 0:
			err = ERR(ftruncate(r->fd, at)) ?:
			      ERR(ftruncate(r->fd, RACE_BLOCKS * BLOCK));
			break;
		case 1 ... 4:
			err = ERR(fallocate(r->fd, PUNCH, at, BLOCK));
			break;
		default:
			err = unpin_all(r->fd);
		}
		if (err)
			r->wrong = err;
	}
	return NULL;
}

/* No pin is left by, and none lost to, pins that come while all are given up. */
TEST_F(in_pool, pinned_while_unpinned)
{
	struct pinner r = { .fd = file_make(&self->p, "ram", RACE_BLOCKS * BLOCK) };
	uint64_t free = pool_free_blocks(&self->p);
	pthread_t pins, unpins;

	ASSERT_EQ(0, pthread_create(&pins, NULL, pin_parts, &r));
	ASSERT_EQ(0, pthread_create(&unpins, NULL, unpin_all_parts, &r));
	pthread_join(pins, NULL);
	pthread_join(unpins, NULL);
	EXPECT_EQ(0, r.wrong);
	EXPECT_LT(RACE_ROUNDS / 30, r.pinned);
	EXPECT_EQ(pool_sysfs(&self->p, "persistent"), pool_sysfs(&self->p, "pinned"));
	EXPECT_EQ(0, unpin_all(r.fd));
	EXPECT_EQ(0, pool_sysfs(&self->p, "persistent"));
	EXPECT_EQ(0, pool_sysfs(&self->p, "pinned"));
	EXPECT_EQ(0, pool_sysfs(&self->p, "detached"));
	ASSERT_EQ(0, ftruncate(r.fd, 0));
	EXPECT_EQ(free, pool_free_blocks(&self->p));
}

TEST_HARNESS_MAIN
