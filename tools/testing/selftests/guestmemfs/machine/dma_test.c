// SPDX-License-Identifier: GPL-2.0-only
/*
 * DMA to guest memory by a real device, QEMU's edu, through VFIO's container and through iommufd.
 * The device has to be bound to vfio-pci.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/vfio.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "edu.h"
#include "fixture.h"
#include "userfault.h"
#include "vmm.h"

#define PUNCH	(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)

FIXTURE(dma)
{
	int nodes[MAX_POOLS];
	struct pool p;
	bool has_pool;
	struct dma d;
};

FIXTURE_VARIANT(dma)
{
	enum way way;
};

FIXTURE_VARIANT_ADD(dma, type1) { TYPE1 };
FIXTURE_VARIANT_ADD(dma, by_address) { BY_ADDRESS };
FIXTURE_VARIANT_ADD(dma, by_file) { BY_FILE };

FIXTURE_SETUP(dma)
{
	char name[NAME_MAX + 1];

	if (!pool_nodes(self->nodes))
		SKIP(return, "no pool on this machine");
	self->d.way = variant->way;
	self->d.source = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			      -1, 0);
	ASSERT_NE(MAP_FAILED, self->d.source);
	if (!find_edu(name))
		SKIP(return, "no device edu is bound to vfio-pci");
	ASSERT_TRUE(open_device(&self->d));
	ASSERT_TRUE(pool_setup(&self->p, self->nodes[0]));
	self->has_pool = true;
	catch_faults();
}

FIXTURE_TEARDOWN_PARENT(dma)
{
	/* The test has closed its descriptors when it exited. */
	if (!self->has_pool)
		return;
	EXPECT_EQ(0, pool_sysfs(&self->p, "pinned"));
	EXPECT_STREQ("", pool_teardown(&self->p) ?: "");
}

TEST_F(dma, both_ways)
{
	int fd = file_make(&self->p, "ram", 4 * BLOCK);
	unsigned char *p = map_file(fd, 0, 4 * BLOCK);

	ASSERT_NE(MAP_FAILED, p);
	/* The first block is there, the others are holes, which the pin fills. */
	fill(p, BLOCK, 1);
	ASSERT_EQ(0, dma_map(&self->d, p + PAGE, fd, PAGE, 4 * BLOCK - 2 * PAGE));
	EXPECT_EQ(4 * BLOCK_SECTORS, file_sectors(fd));
	EXPECT_EQ(4 * BLOCK - 2 * PAGE, pool_sysfs(&self->p, "pinned"));
	EXPECT_TRUE(is_filled(p, BLOCK, 1));
	EXPECT_TRUE(is_zero(p + BLOCK, 3 * BLOCK));
	/* The CPU sees what the device writes, and the other way round. */
	EXPECT_TRUE(dma_write(&self->d, IOVA + 2 * BLOCK - PAGE, 7));
	EXPECT_TRUE(is_filled(p + 2 * BLOCK, PAGE, 7));
	EXPECT_TRUE(is_zero(p + BLOCK, BLOCK));
	EXPECT_TRUE(is_zero(p + 2 * BLOCK + PAGE, 2 * BLOCK - PAGE));
	fill(p + 3 * BLOCK, PAGE, 9);
	EXPECT_TRUE(dma_reads(&self->d, IOVA + 3 * BLOCK - PAGE, 9));
	EXPECT_EQ(0, dma_unmap(&self->d, IOVA, 4 * BLOCK - 2 * PAGE));
	EXPECT_EQ(0, pool_sysfs(&self->p, "pinned"));
	/* The device does not reach the memory any more. */
	EXPECT_TRUE(dma_write(&self->d, IOVA, 3));
	EXPECT_TRUE(is_filled(p, BLOCK, 1));
}

/* Extents of two files that alternate in the pool, and ordinary memory between them. */
TEST_F(dma, in_pieces)
{
	int a = file_make(&self->p, "a", 8 * BLOCK), b = file_make(&self->p, "b", 8 * BLOCK), i;
	unsigned char *p = reserve(17 * BLOCK, BLOCK);

	for (i = 0; i < 8; i++) {
		ASSERT_EQ(0, fallocate(a, 0, i * BLOCK, BLOCK));
		ASSERT_EQ(0, fallocate(b, 0, i * BLOCK, BLOCK));
	}
	ASSERT_EQ(p, map_at(p, a, 0, 8 * BLOCK));
	ASSERT_EQ(p + 8 * BLOCK, mmap(p + 8 * BLOCK, BLOCK, PROT_READ | PROT_WRITE,
				      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	ASSERT_EQ(p + 9 * BLOCK, map_at(p + 9 * BLOCK, b, 0, 8 * BLOCK));
	if (self->d.way == TYPE1) {
		ASSERT_EQ(0, dma_map(&self->d, p, -1, 0, 17 * BLOCK));
	} else {
		ASSERT_EQ(0, dma_map_as(&self->d, p, a, 0, 8 * BLOCK, IOVA, true));
		ASSERT_EQ(0, dma_map_as(&self->d, p + 9 * BLOCK, b, 0, 8 * BLOCK,
					IOVA + 9 * BLOCK, true));
	}
	EXPECT_EQ(16 * BLOCK, pool_sysfs(&self->p, "pinned"));
	for (i = 0; i < 17; i++) {
		if (i == 8 && self->d.way != TYPE1)
			continue;
		EXPECT_TRUE(dma_write(&self->d, IOVA + i * BLOCK + PAGE, i + 1));
		EXPECT_TRUE(is_filled(p + i * BLOCK + PAGE, PAGE, i + 1));
	}
	if (self->d.way == TYPE1) {
		EXPECT_EQ(0, dma_unmap(&self->d, IOVA, 17 * BLOCK));
	} else {
		EXPECT_EQ(0, dma_unmap(&self->d, IOVA, 8 * BLOCK));
		EXPECT_EQ(8 * BLOCK, pool_sysfs(&self->p, "pinned"));
		EXPECT_EQ(0, dma_unmap(&self->d, IOVA + 9 * BLOCK, 8 * BLOCK));
	}
	EXPECT_EQ(0, pool_sysfs(&self->p, "pinned"));
}

/* The mapping is in several VMAs, which continue the file or do not. */
TEST_F(dma, several_mappings)
{
	int fd = file_make(&self->p, "ram", 4 * BLOCK);
	unsigned char *p = map_file(fd, 0, 4 * BLOCK);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, madvise(p + BLOCK, BLOCK, MADV_RANDOM));
	ASSERT_EQ(0, dma_map(&self->d, p, fd, 0, 4 * BLOCK));
	EXPECT_EQ(4 * BLOCK, pool_sysfs(&self->p, "pinned"));
	EXPECT_TRUE(dma_write(&self->d, IOVA + 2 * BLOCK, 5));
	EXPECT_TRUE(is_filled(p + 2 * BLOCK, PAGE, 5));
	ASSERT_EQ(0, dma_unmap(&self->d, IOVA, 4 * BLOCK));
	if (self->d.way == BY_FILE)
		return;
	/* A part of the file is at another place. */
	ASSERT_EQ(p + BLOCK, map_at(p + BLOCK, fd, 2 * BLOCK, BLOCK));
	if (self->d.way == BY_ADDRESS) {
		EXPECT_EQ(EFAULT, dma_map(&self->d, p, fd, 0, 4 * BLOCK));
	} else {
		ASSERT_EQ(0, dma_map(&self->d, p, fd, 0, 4 * BLOCK));
		EXPECT_EQ(3 * BLOCK, pool_sysfs(&self->p, "pinned"));
		EXPECT_TRUE(dma_write(&self->d, IOVA + BLOCK + PAGE, 6));
		EXPECT_TRUE(is_filled(p + 2 * BLOCK + PAGE, PAGE, 6));
		ASSERT_EQ(0, dma_unmap(&self->d, IOVA, 4 * BLOCK));
	}
	/* A part of the memory is not mapped. */
	ASSERT_EQ(0, munmap(p + BLOCK, BLOCK));
	EXPECT_EQ(EFAULT, dma_map(&self->d, p, fd, 0, 4 * BLOCK));
	EXPECT_EQ(0, pool_sysfs(&self->p, "pinned"));
}

TEST_F(dma, refused)
{
	int fd = file_make(&self->p, "ram", BLOCK + PAGE), other;
	unsigned char *p = map_file(fd, 0, 2 * BLOCK), *read_only;

	ASSERT_NE(MAP_FAILED, p);
	/* Beyond the end of the file. */
	EXPECT_EQ(EINVAL, dma_map(&self->d, p, fd, 0, 2 * BLOCK));
	EXPECT_EQ(0, pool_sysfs(&self->p, "pinned"));
	EXPECT_EQ(0, dma_map(&self->d, p, fd, 0, BLOCK + PAGE));
	EXPECT_EQ(0, dma_unmap(&self->d, IOVA, BLOCK + PAGE));
	/* A device cannot write to what the process cannot write to. */
	read_only = mmap(NULL, BLOCK, PROT_READ, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, read_only);
	EXPECT_EQ(self->d.way == BY_FILE ? 0 : EFAULT, dma_map(&self->d, read_only, fd, 0, BLOCK));
	if (self->d.way == BY_FILE)
		EXPECT_EQ(0, dma_unmap(&self->d, IOVA, BLOCK));
	munmap(read_only, BLOCK);
	other = open(pool_path(&self->p, "ram"), O_RDONLY);
	ASSERT_GE(other, 0);
	read_only = mmap(NULL, BLOCK, PROT_READ, MAP_SHARED, other, 0);
	ASSERT_NE(MAP_FAILED, read_only);
	EXPECT_EQ(self->d.way == BY_FILE ? EACCES : EFAULT,
		  dma_map(&self->d, read_only, other, 0, BLOCK));
	ASSERT_EQ(0, dma_map_as(&self->d, read_only, other, 0, BLOCK, IOVA, false));
	EXPECT_TRUE(dma_write(&self->d, IOVA, 5));
	EXPECT_TRUE(is_zero(p, BLOCK));
	fill(p, PAGE, 6);
	EXPECT_TRUE(dma_reads(&self->d, IOVA, 6));
	EXPECT_EQ(0, dma_unmap(&self->d, IOVA, BLOCK));
	EXPECT_EQ(0, pool_sysfs(&self->p, "pinned"));
}

/* What the device can reach goes to no other file, and comes back when it is unmapped. */
TEST_F(dma, punched)
{
	int fd = file_make(&self->p, "ram", 2 * BLOCK), rest;
	uint64_t free = pool_free_blocks(&self->p) - 2;
	unsigned char *p = map_file(fd, 0, 2 * BLOCK), *q;

	ASSERT_NE(MAP_FAILED, p);
	fill(p, 2 * BLOCK, 1);
	ASSERT_EQ(0, dma_map(&self->d, p, fd, 0, 2 * BLOCK));
	ASSERT_EQ(0, fallocate(fd, PUNCH, 0, BLOCK));
	EXPECT_EQ(free, pool_free_blocks(&self->p));
	EXPECT_EQ(BLOCK, pool_sysfs(&self->p, "detached"));
	/* The file gets another block, and another file all others. */
	EXPECT_TRUE(is_zero(p, BLOCK));
	rest = file_make(&self->p, "rest", (free - 1) * BLOCK);
	ASSERT_EQ(0, fallocate(rest, 0, 0, (free - 1) * BLOCK));
	q = map_file(rest, 0, (free - 1) * BLOCK);
	ASSERT_NE(MAP_FAILED, q);
	EXPECT_TRUE(dma_write(&self->d, IOVA + PAGE, 3));
	EXPECT_TRUE(dma_reads(&self->d, IOVA + PAGE, 3));
	EXPECT_TRUE(is_zero(p, BLOCK));
	EXPECT_TRUE(is_zero(q, (free - 1) * BLOCK));
	EXPECT_TRUE(dma_write(&self->d, IOVA + BLOCK, 4));
	EXPECT_TRUE(is_filled(p + BLOCK, PAGE, 4));
	EXPECT_EQ(ENOSPC, ERR(fallocate(rest, 0, 0, free * BLOCK)));
	ASSERT_EQ(0, dma_unmap(&self->d, IOVA, 2 * BLOCK));
	EXPECT_EQ(0, pool_sysfs(&self->p, "detached"));
	/* The block is zeroed before its next owner sees it. */
	ASSERT_EQ(0, fallocate(rest, 0, 0, free * BLOCK));
	munmap(q, (free - 1) * BLOCK);
	q = map_file(rest, 0, free * BLOCK);
	ASSERT_NE(MAP_FAILED, q);
	EXPECT_TRUE(is_zero(q, free * BLOCK));
}

TEST_F(dma, without_file_and_mount)
{
	int fd = file_make(&self->p, "ram", 2 * BLOCK);
	unsigned char *p = map_file(fd, 0, 2 * BLOCK);
	uint64_t free;

	ASSERT_NE(MAP_FAILED, p);
	fill(p, 2 * BLOCK, 1);
	ASSERT_EQ(0, dma_map(&self->d, p, fd, 0, 2 * BLOCK));
	free = pool_free_blocks(&self->p);
	munmap(p, 2 * BLOCK);
	close(fd);
	ASSERT_EQ(0, unlink(pool_path(&self->p, "ram")));
	EXPECT_TRUE(dma_write(&self->d, IOVA, 2));
	EXPECT_TRUE(dma_reads(&self->d, IOVA, 2));
	/* Neither the file nor the mount is in use, and another mount keeps the memory. */
	ASSERT_EQ(0, umount(self->p.mnt));
	EXPECT_EQ(2 * BLOCK, pool_sysfs(&self->p, "pinned"));
	EXPECT_TRUE(dma_reads(&self->d, IOVA, 2));
	ASSERT_EQ(0, pool_mount_at(self->p.node, self->p.mnt, 0));
	EXPECT_EQ(free, pool_free_blocks(&self->p));
	EXPECT_EQ(2 * BLOCK, pool_sysfs(&self->p, "detached"));
	fd = file_make(&self->p, "new", free * BLOCK);
	ASSERT_EQ(0, fallocate(fd, 0, 0, free * BLOCK));
	p = map_file(fd, 0, free * BLOCK);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_TRUE(dma_write(&self->d, IOVA + BLOCK, 3));
	EXPECT_TRUE(dma_reads(&self->d, IOVA, 2));
	EXPECT_TRUE(is_zero(p, free * BLOCK));
	ASSERT_EQ(0, dma_unmap(&self->d, IOVA, 2 * BLOCK));
	EXPECT_EQ(2, pool_free_blocks(&self->p));
	EXPECT_EQ(0, pool_sysfs(&self->p, "detached"));
}

/* A process that is killed takes its pins with it. */
TEST_F(dma, killed)
{
	int fd = file_make(&self->p, "ram", 16 * BLOCK), status, ready[2];
	char c;
	pid_t pid;

	ASSERT_EQ(0, fallocate(fd, 0, 0, 16 * BLOCK));
	ASSERT_EQ(0, pipe(ready));
	close_device(&self->d);
	pid = fork();
	if (!pid) {
		unsigned char *p = map_file(fd, 0, 16 * BLOCK);

		c = open_device(&self->d) && !dma_map(&self->d, p, fd, 0, 16 * BLOCK);
		if (write(ready[1], &c, 1) == 1)
			pause();
		_exit(1);
	}
	ASSERT_GE(pid, 0);
	close(ready[1]);
	ASSERT_EQ(1, read(ready[0], &c, 1));
	EXPECT_EQ(1, c);
	EXPECT_EQ(16 * BLOCK, pool_sysfs(&self->p, "pinned"));
	ASSERT_EQ(0, fallocate(fd, PUNCH, 0, 4 * BLOCK));
	EXPECT_EQ(4 * BLOCK, pool_sysfs(&self->p, "detached"));
	kill(pid, SIGKILL);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(0, pool_sysfs(&self->p, "pinned"));
	EXPECT_EQ(0, pool_sysfs(&self->p, "detached"));
}

/* The last device leaves and comes back: the same frames are mapped, whatever the file has now. */
TEST_F(dma, attached_again)
{
	struct vfio_device_detach_iommufd_pt detach = { .argsz = sizeof(detach) };
	struct vfio_device_attach_iommufd_pt attach = { .argsz = sizeof(attach) };
	int fd = file_make(&self->p, "ram", BLOCK);
	unsigned char *p = map_file(fd, 0, BLOCK);

	if (self->d.way == TYPE1)
		SKIP(return, "a group is attached as a whole");
	ASSERT_NE(MAP_FAILED, p);
	fill(p, BLOCK, 1);
	ASSERT_EQ(0, dma_map(&self->d, p, fd, 0, BLOCK));
	ASSERT_EQ(0, ioctl(self->d.device, VFIO_DEVICE_DETACH_IOMMUFD_PT, &detach));
	ASSERT_EQ(0, fallocate(fd, PUNCH, 0, BLOCK));
	EXPECT_EQ(BLOCK, pool_sysfs(&self->p, "pinned"));
	fill(p, BLOCK, 2);
	attach.pt_id = self->d.ioas;
	ASSERT_EQ(0, ioctl(self->d.device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach));
	EXPECT_TRUE(dma_write(&self->d, IOVA + PAGE, 3));
	EXPECT_TRUE(dma_reads(&self->d, IOVA + PAGE, 3));
	EXPECT_TRUE(is_filled(p, BLOCK, 2));
	EXPECT_EQ(0, dma_unmap(&self->d, IOVA, BLOCK));
	EXPECT_EQ(0, pool_sysfs(&self->p, "detached"));
}

/* Few pages: the device takes a tenth of a second for each. */
#define ARRIVING	(32 * PAGE)
#define ARRIVING_GPA	(4 * GIB)
/* Goes through all pages, not in their order. */
#define NTH_PAGE(i)	((size_t)(i) * 13 % (ARRIVING / PAGE))

/**
 * struct arriving - a guest, and a thread of the VMM, that use memory which is still to come
 * @cpu: the CPU of the guest
 * @p: the memory, as the VMM has it
 * @words: for each page, the word that is in its middle
 * @wrong: words and pages that were wrong
 */
struct arriving {
	struct vcpu cpu;
	unsigned char *p;
	uint64_t *words;
	unsigned long wrong;
};

static void *guest_uses(void *arg)
{
	struct arriving *a = arg;
	size_t i, page;

	for (i = 0; i < ARRIVING / PAGE; i++) {
		page = NTH_PAGE(i);
		if ((uint64_t)guest_load(&a->cpu, ARRIVING_GPA + page * PAGE + PAGE / 2) !=
		    a->words[page])
			__atomic_add_fetch(&a->wrong, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void *vmm_uses(void *arg)
{
	struct arriving *a = arg;
	size_t i, page;

	for (i = ARRIVING / PAGE; i-- > 0;) {
		page = NTH_PAGE(i);
		if (peek(a->p + page * PAGE) < 0 || !is_filled(a->p + page * PAGE, PAGE, page + 1))
			__atomic_add_fetch(&a->wrong, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

/*
 * Post-copy by a device: it writes to the memory while a guest and a thread of the VMM use it, and
 * each page is mapped when it has come. What is asked for comes first.
 */
TEST_F(dma, post_copy)
{
	bool here[ARRIVING / PAGE] = {};
	int fd = file_make(&self->p, "ram", ARRIVING);
	/* The device has a mapping of its own, which is not registered. */
	unsigned char *all = map_file(fd, 0, ARRIVING);
	size_t i, page, asked = 0, next = 0;
	struct arriving a = {};
	pthread_t threads[2];
	struct vmm vmm;
	struct uffd u;
	char *at;

	if (!vmm_has_type(KVM_X86_DEFAULT_VM))
		SKIP(return, "no /dev/kvm");
	a.p = map_file(fd, 0, ARRIVING);
	a.words = calloc(ARRIVING / PAGE, sizeof(*a.words));
	ASSERT_NE(MAP_FAILED, all);
	ASSERT_NE(MAP_FAILED, a.p);
	for (i = 0; i < ARRIVING / PAGE; i++) {
		fill(self->d.source, PAGE, i + 1);
		a.words[i] = *(uint64_t *)(self->d.source + PAGE / 2);
	}
	ASSERT_EQ(0, dma_map(&self->d, all, fd, 0, ARRIVING));
	ASSERT_EQ(0, vmm_make(&vmm, KVM_X86_DEFAULT_VM));
	ASSERT_EQ(0, vcpu_make(&vmm, &a.cpu, 0));
	ASSERT_EQ(0, vmm_add_memory(&vmm, 1, ARRIVING_GPA, a.p, ARRIVING));
	ASSERT_TRUE(uffd_open(&u, 0));
	ASSERT_EQ(0, uffd_register(&u, a.p, ARRIVING, UFFDIO_REGISTER_MODE_MINOR));
	ASSERT_EQ(0, pthread_create(&threads[0], NULL, guest_uses, &a));
	ASSERT_EQ(0, pthread_create(&threads[1], NULL, vmm_uses, &a));
	for (i = 0; i < ARRIVING / PAGE;) {
		at = uffd_pending(&u);
		page = at ? ((unsigned char *)at - a.p) / PAGE : next++;
		asked += !!at;
		if (here[page]) {
			/* It came between the fault and the message. */
			EXPECT_EQ(0, uffd_wake(&u, a.p + page * PAGE, PAGE));
			continue;
		}
		ASSERT_TRUE(dma_write(&self->d, IOVA + page * PAGE, page + 1));
		ASSERT_EQ(0, uffd_continue(&u, a.p + page * PAGE, PAGE, NULL));
		here[page] = true;
		i++;
	}
	/* A fault may still be waiting whose page has come before its message was read. */
	ASSERT_EQ(0, uffd_wake(&u, a.p, ARRIVING));
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_join(threads[i], NULL));
	TH_LOG("%zu of %lu pages were asked for", asked, ARRIVING / PAGE);
	EXPECT_LT(1, asked);
	EXPECT_EQ(0, a.wrong);
	EXPECT_EQ(0, uffd_unregister(&u, a.p, ARRIVING));
	EXPECT_EQ(0, dma_unmap(&self->d, IOVA, ARRIVING));
	uffd_close(&u);
}

TEST_HARNESS_MAIN
