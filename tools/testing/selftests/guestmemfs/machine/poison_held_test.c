// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory errors in frames that are not the file's alone: a device has them in its IO address space,
 * on the mock domains of CONFIG_IOMMUFD_TEST, or a live update has frozen the pool. The VM test
 * poison runs this, with a loaded kernel.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/reboot.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "harness.h"
#include "ioas.h"
#include "luo.h"
#include "pins.h"
#include "poison.h"

#define PUNCH		(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define BAD		(2 * BLOCK + 77 * PAGE)
#define IOVA		(MOCK_APERTURE_START + 16 * MIB)
#define POISONED	(GUESTMEMFS_STATE_ALLOCATED | GUESTMEMFS_STATE_POISONED)
#define DEBUG		"/sys/kernel/debug/guestmemfs_test/"

FIXTURE(device)
{
	struct pool p;
	struct poison_before before;
	int iommufd;
	uint32_t ioas;
	uint32_t hwpt;
};

FIXTURE_SETUP(device)
{
	int pools;

	self->iommufd = open("/dev/iommu", O_RDWR);
	if (self->iommufd < 0)
		SKIP(return, "no iommufd");
	ASSERT_EQ(0, ioas_alloc(self->iommufd, &self->ioas));
	if (mock_attach(self->iommufd, self->ioas, &self->hwpt))
		SKIP(return, "no mock domains");
	pools = poison_begin(&self->p, &self->before);
	if (!pools)
		SKIP(return, "no pool on this machine");
	ASSERT_EQ(1, pools);
}

FIXTURE_TEARDOWN_PARENT(device)
{
	EXPECT_STREQ("", poison_end(&self->p, &self->before) ?: "");
}

/*
 * A device does not get a page that is bad already, nor anything else that the call asks for. Fails
 * if the pin ignores the error, or if what is in front of the bad page stays pinned.
 */
TEST_F(device, gets_no_bad_page)
{
	int fd = file_make(&self->p, "ram", 4 * BLOCK);
	char *p = map_file(fd, 0, 4 * BLOCK);

	ASSERT_NE(MAP_FAILED, (void *)p);
	fill(p, 4 * BLOCK, 1);
	ASSERT_EQ(0, poison_frame(file_phys(fd, BAD)));
	EXPECT_EQ(EHWPOISON, ioas_map_file(self->iommufd, self->ioas, fd, 0, 4 * BLOCK, IOVA));
	EXPECT_EQ(EHWPOISON, ioas_map_file(self->iommufd, self->ioas, fd, BAD, PAGE, IOVA));
	EXPECT_EQ(0, pool_sysfs(&self->p, "pinned"));
	EXPECT_TRUE(pages_have(fd, BAD, BAD + PAGE, POISONED));
	/* The pages beside it can be used. */
	ASSERT_EQ(0, ioas_map_file(self->iommufd, self->ioas, fd, 0, BAD, IOVA));
	EXPECT_EQ(0, mock_maps(self->iommufd, self->hwpt, IOVA, p, BAD));
	ASSERT_EQ(0, ioas_map_file(self->iommufd, self->ioas, fd, BAD + PAGE,
				   4 * BLOCK - BAD - PAGE, IOVA + BAD + PAGE));
	EXPECT_EQ(4 * BLOCK - PAGE, pool_sysfs(&self->p, "pinned"));
	EXPECT_EQ(0, ioas_unmap(self->iommufd, self->ioas, IOVA, BAD));
	EXPECT_EQ(0, ioas_unmap(self->iommufd, self->ioas, IOVA + BAD + PAGE,
				4 * BLOCK - BAD - PAGE));
	EXPECT_EQ(0, poison_signal.nr);
}

/*
 * A page goes bad while a device has it. The device keeps it, and processes and the kernel do not
 * use it any more. The file loses the block, then the device: nobody gets it after that. Fails if
 * the last unpin frees the block, or if the kernel's copies read the bad page.
 */
TEST_F(device, keeps_the_page)
{
	int fd = file_make(&self->p, "ram", 4 * BLOCK), access;
	uint64_t free = pool_free_blocks(&self->p), phys;
	char *p = map_file(fd, 0, 4 * BLOCK), buf[2 * PAGE];

	ASSERT_NE(MAP_FAILED, (void *)p);
	fill(p, 4 * BLOCK, 1);
	phys = file_phys(fd, BAD);
	ASSERT_EQ(0, ioas_map_file(self->iommufd, self->ioas, fd, 0, 4 * BLOCK, IOVA));
	access = access_open(self->iommufd, self->ioas);
	ASSERT_GE(access, 0);
	ASSERT_EQ(0, poison_frame(phys));
	EXPECT_TRUE(is_bad(p + BAD));
	EXPECT_EQ(4 * BLOCK, pool_sysfs(&self->p, "pinned"));
	EXPECT_TRUE(pages_have(fd, BAD, BAD + PAGE, POISONED | GUESTMEMFS_STATE_PINNED));
	EXPECT_EQ(0, mock_maps(self->iommufd, self->hwpt, IOVA, p, BAD));
	EXPECT_EQ(EHWPOISON, access_rw(self->iommufd, access, IOVA + BAD + 5, buf, 10, 0));
	EXPECT_EQ(EHWPOISON, access_rw(self->iommufd, access, IOVA + BAD - PAGE, buf, 2 * PAGE, 0));
	EXPECT_EQ(EHWPOISON, access_rw(self->iommufd, access, IOVA + BAD, buf, PAGE,
				       MOCK_ACCESS_RW_WRITE));
	EXPECT_EQ(0, access_rw(self->iommufd, access, IOVA + BAD - PAGE, buf, PAGE, 0));
	EXPECT_EQ(0, memcmp(buf, p + BAD - PAGE, PAGE));
	close(access);

	EXPECT_EQ(0, fallocate(fd, PUNCH, 0, 4 * BLOCK));
	EXPECT_EQ(free - 4, pool_free_blocks(&self->p));
	EXPECT_EQ(0, ioas_unmap(self->iommufd, self->ioas, IOVA, 4 * BLOCK));
	EXPECT_EQ(0, pool_sysfs(&self->p, "pinned"));
	EXPECT_EQ(free - 1, pool_free_blocks(&self->p));
	EXPECT_EQ(self->before.lost + BLOCK, pool_sysfs(&self->p, "lost"));
	EXPECT_FALSE(frame_is_free(&self->p, phys));
	/* The file's page has other memory now. */
	EXPECT_FALSE(poison_touch(p + BAD));
}

FIXTURE(frozen)
{
	struct pool p;
	struct poison_before before;
	int session;
};

static bool kernel_is_loaded(void)
{
	FILE *f = fopen("/sys/kernel/kexec_loaded", "r");
	int loaded = 0;

	if (!f)
		return false;
	if (fscanf(f, "%d", &loaded) != 1)
		loaded = 0;
	fclose(f);
	return loaded;
}

FIXTURE_SETUP(frozen)
{
	int pools, luo;

	if (access("/dev/liveupdate", F_OK) || access(DEBUG "poison", F_OK))
		SKIP(return, "no liveupdate=on on the command line, or no KUnit tests");
	if (!kernel_is_loaded())
		SKIP(return, "no kernel is loaded");
	pools = poison_begin(&self->p, &self->before);
	if (!pools)
		SKIP(return, "no pool on this machine");
	ASSERT_EQ(1, pools);
	luo = luo_open();
	ASSERT_GE(luo, 0);
	self->session = luo_create(luo, "poison");
	ASSERT_GE(self->session, 0);
}

FIXTURE_TEARDOWN_PARENT(frozen)
{
	EXPECT_STREQ("", poison_end(&self->p, &self->before) ?: "");
}

/*
 * A kexec that is refused after the session's file has frozen its pool. The frame gets its error in
 * between.
 */
static int freeze_and_poison(int session, int fd, uint64_t phys)
{
	int refuse = open(DEBUG "refuse", O_RDONLY), poison = open(DEBUG "poison", O_WRONLY), err;

	if (dprintf(poison, "%#lx", (unsigned long)phys) < 0 || luo_preserve_fd(session, 1, fd) ||
	    luo_preserve_fd(session, 2, refuse))
		return -1;
	err = ERR(syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2,
			  LINUX_REBOOT_CMD_KEXEC, NULL));
	close(session);
	close(poison);
	close(refuse);
	return err;
}

/*
 * A frame that is free. The pool cannot change while it is frozen. Fails if the thaw does not take
 * the block out of the free ones, which gmfs_poison_add() has not done.
 */
TEST_F(frozen, free_memory)
{
	int fd = file_make(&self->p, "ram", 4 * BLOCK), other;
	uint64_t phys, free;

	ASSERT_EQ(0, fallocate(fd, 0, 0, 4 * BLOCK));
	other = file_make(&self->p, "other", BLOCK);
	ASSERT_EQ(0, fallocate(other, 0, 0, BLOCK));
	phys = file_phys(other, 5 * PAGE);
	close(other);
	ASSERT_EQ(0, unlink(pool_path(&self->p, "other")));
	free = pool_free_blocks(&self->p);
	ASSERT_EQ(EIO, freeze_and_poison(self->session, fd, phys));
	EXPECT_EQ(self->before.poisoned + PAGE, pool_sysfs(&self->p, "poisoned"));
	EXPECT_EQ(self->before.lost + BLOCK, pool_sysfs(&self->p, "lost"));
	EXPECT_EQ(free - 1, pool_free_blocks(&self->p));
	EXPECT_TRUE(is_listed(self->p.node, phys));
	EXPECT_EQ(EHWPOISON, poison_frame(phys));
	EXPECT_FALSE(frame_is_free(&self->p, phys));
}

/* A page of the file, which is mapped. Fails if it is not unmapped before the thaw. */
TEST_F(frozen, page)
{
	int fd = file_make(&self->p, "ram", 4 * BLOCK);
	char *p = map_file(fd, 0, 4 * BLOCK);
	uint64_t phys;

	ASSERT_NE(MAP_FAILED, (void *)p);
	fill(p, 4 * BLOCK, 1);
	phys = file_phys(fd, BAD);
	ASSERT_EQ(EIO, freeze_and_poison(self->session, fd, phys));
	EXPECT_EQ(0, poison_signal.nr);
	EXPECT_TRUE(is_bad(p + BAD));
	EXPECT_TRUE(is_filled(p, BAD, 1));
	EXPECT_EQ((1UL << 40) + (BAD + PAGE) / 8 + 1, *(uint64_t *)(p + BAD + PAGE));
	EXPECT_EQ(self->before.poisoned + PAGE, pool_sysfs(&self->p, "poisoned"));
	EXPECT_EQ(self->before.lost, pool_sysfs(&self->p, "lost"));
	ASSERT_EQ(0, fallocate(fd, PUNCH, 0, 4 * BLOCK));
	EXPECT_EQ(self->before.lost + BLOCK, pool_sysfs(&self->p, "lost"));
	EXPECT_FALSE(frame_is_free(&self->p, phys));
}

TEST_HARNESS_MAIN
