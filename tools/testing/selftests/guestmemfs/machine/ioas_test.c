// SPDX-License-Identifier: GPL-2.0-only
/*
 * iommufd's IO address spaces with guest memory, on the mock domains of CONFIG_IOMMUFD_TEST: what
 * is mapped and charged, and what is left when something fails.
 */
#include <fcntl.h>
#include <linux/iommufd.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixture.h"
#include "ioas.h"

#define IOVA	(MOCK_APERTURE_START + 16 * MIB)

static int access_pages(int iommufd, int access, uint64_t iova, void *p, size_t len)
{
	struct iommu_test_cmd cmd = {
		.size = sizeof(cmd), .op = IOMMU_TEST_OP_ACCESS_PAGES, .id = access,
		.access_pages = { .iova = iova, .length = len, .uptr = (uintptr_t)p },
	};

	return ERR(ioctl(iommufd, IOMMU_TEST_CMD, &cmd));
}

/* The memory that this process has pinned, in bytes. */
static uint64_t vm_pinned(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	uint64_t kib = UINT64_MAX / KIB;
	char line[256];

	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "VmPin: %lu", &kib);
	if (f)
		fclose(f);
	return kib * KIB;
}

FIXTURE(ioas)
{
	int nodes[MAX_POOLS];
	struct pool p;
	bool has_pool;
	int iommufd;
	uint32_t ioas;
	uint32_t hwpt;
};

FIXTURE_SETUP(ioas)
{
	if (!pool_nodes(self->nodes))
		SKIP(return, "no pool on this machine");
	self->iommufd = open("/dev/iommu", O_RDWR);
	if (self->iommufd < 0)
		SKIP(return, "no iommufd");
	ASSERT_EQ(0, ioas_alloc(self->iommufd, &self->ioas));
	if (mock_attach(self->iommufd, self->ioas, &self->hwpt))
		SKIP(return, "no mock domains");
	ASSERT_TRUE(pool_setup(&self->p, self->nodes[0]));
	self->has_pool = true;
	catch_faults();
}

FIXTURE_TEARDOWN_PARENT(ioas)
{
	if (!self->has_pool)
		return;
	EXPECT_EQ(0, pool_sysfs(&self->p, "pinned"));
	EXPECT_STREQ("", pool_teardown(&self->p) ?: "");
}

/* Two files whose blocks alternate in the pool, so that each block is an extent. */
static int make_pieces(const struct pool *p, int blocks)
{
	int a = file_make(p, "pieces", blocks * BLOCK), b = file_make(p, "between", blocks * BLOCK);
	int i;

	for (i = 0; i < blocks; i++)
		if (fallocate(a, 0, i * BLOCK, BLOCK) || fallocate(b, 0, i * BLOCK, BLOCK))
			return -1;
	close(b);
	return a;
}

TEST_F(ioas, maps)
{
	int fd = make_pieces(&self->p, 8), len = 8 * BLOCK - 3 * PAGE;
	unsigned char *p = map_file(fd, 0, 8 * BLOCK);
	uint32_t second, hwpt;

	ASSERT_NE(MAP_FAILED, p);
	fill(p, 8 * BLOCK, 1);
	ASSERT_EQ(0, ioas_map_file(self->iommufd, self->ioas, fd, PAGE, len, IOVA));
	EXPECT_EQ(0, mock_maps(self->iommufd, self->hwpt, IOVA, p + PAGE, len));
	EXPECT_EQ(EINVAL, mock_maps(self->iommufd, self->hwpt, IOVA, p, len));
	EXPECT_EQ((uint64_t)len, pool_sysfs(&self->p, "pinned"));
	EXPECT_EQ((uint64_t)len, vm_pinned());
	/* Another domain of the same address space, and a copy of a part in another one. */
	ASSERT_EQ(0, mock_attach(self->iommufd, self->ioas, &hwpt));
	EXPECT_EQ(0, mock_maps(self->iommufd, hwpt, IOVA, p + PAGE, len));
	ASSERT_EQ(0, ioas_alloc(self->iommufd, &second));
	ASSERT_EQ(0, mock_attach(self->iommufd, second, &hwpt));
	ASSERT_EQ(0, ioas_copy(self->iommufd, self->ioas, second, IOVA + 2 * BLOCK, 3 * BLOCK));
	EXPECT_EQ(0, mock_maps(self->iommufd, hwpt, IOVA + 2 * BLOCK, p + 2 * BLOCK + PAGE,
			       3 * BLOCK));
	EXPECT_EQ((uint64_t)len, vm_pinned());
	ASSERT_EQ(0, ioas_unmap(self->iommufd, self->ioas, IOVA, len));
	EXPECT_EQ(0, mock_maps(self->iommufd, hwpt, IOVA + 2 * BLOCK, p + 2 * BLOCK + PAGE,
			       3 * BLOCK));
	ASSERT_EQ(0, ioas_unmap(self->iommufd, second, IOVA + 2 * BLOCK, 3 * BLOCK));
	EXPECT_EQ(0, pool_sysfs(&self->p, "pinned"));
	EXPECT_EQ(0, vm_pinned());
	EXPECT_TRUE(is_filled(p, 8 * BLOCK, 1));
}

/* A user in the kernel reads and writes the memory, and cannot get pages of it. */
TEST_F(ioas, accesses)
{
	int fd = make_pieces(&self->p, 3), access;
	unsigned char *p = map_file(fd, 0, 3 * BLOCK), *buf = malloc(2 * BLOCK);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(NULL, buf);
	ASSERT_EQ(0, ioas_map_file(self->iommufd, self->ioas, fd, 0, 3 * BLOCK, IOVA));
	access = access_open(self->iommufd, self->ioas);
	ASSERT_GE(access, 0);
	memset(buf, 7, 2 * BLOCK);
	EXPECT_EQ(0, access_rw(self->iommufd, access, IOVA + BLOCK / 2 + 5, buf, 2 * BLOCK - 9,
			       MOCK_ACCESS_RW_WRITE));
	EXPECT_EQ(0, p[BLOCK / 2 + 4]);
	EXPECT_EQ(7, p[BLOCK / 2 + 5]);
	EXPECT_EQ(7, p[5 * BLOCK / 2 - 5]);
	EXPECT_EQ(0, p[5 * BLOCK / 2 - 4]);
	fill(p, 2 * BLOCK, 3);
	EXPECT_EQ(0, access_rw(self->iommufd, access, IOVA, buf, 2 * BLOCK,
			       MOCK_ACCESS_RW_SLOW_PATH));
	EXPECT_TRUE(is_filled(buf, 2 * BLOCK, 3));
	EXPECT_EQ(EINVAL, access_pages(self->iommufd, access, IOVA, p, PAGE));
	close(access);
	EXPECT_EQ(0, ioas_unmap(self->iommufd, self->ioas, IOVA, 3 * BLOCK));
	free(buf);
}

/* The ioctls of VFIO's container, on the descriptor of iommufd. */
static int container_map(int iommufd, void *p, size_t len, uint64_t iova)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map), .flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)p, .iova = iova, .size = len,
	};

	return ERR(ioctl(iommufd, VFIO_IOMMU_MAP_DMA, &map));
}

/* Returns how many bytes were unmapped, or a negative errno. */
static long container_unmap(int iommufd, size_t len, uint64_t iova, uint32_t flags)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap), .flags = flags, .iova = iova, .size = len,
	};

	return ioctl(iommufd, VFIO_IOMMU_UNMAP_DMA, &unmap) ? -errno : (long)unmap.size;
}

static bool make_container(int iommufd, uint32_t ioas, int type)
{
	struct iommu_vfio_ioas set = {
		.size = sizeof(set), .ioas_id = ioas, .op = IOMMU_VFIO_IOAS_SET,
	};

	return !ioctl(iommufd, IOMMU_VFIO_IOAS, &set) && !ioctl(iommufd, VFIO_SET_IOMMU, type);
}

/*
 * iommufd in the place of VFIO's container. Fails if VFIO_IOMMU_MAP_DMA does not find the file,
 * maps other frames or does not pin, or if unmapping leaves pins.
 */
TEST_F(ioas, as_container)
{
	int fd = make_pieces(&self->p, 8);
	unsigned char *p = map_file(fd, 0, 8 * BLOCK);
	char *hole;

	ASSERT_NE(MAP_FAILED, p);
	fill(p, 8 * BLOCK, 1);
	ASSERT_TRUE(make_container(self->iommufd, self->ioas, VFIO_TYPE1v2_IOMMU));
	EXPECT_EQ(1, ioctl(self->iommufd, VFIO_CHECK_EXTENSION, VFIO_UNMAP_ALL));
	ASSERT_EQ(0, container_map(self->iommufd, p + PAGE, 4 * BLOCK, IOVA));
	ASSERT_EQ(0, container_map(self->iommufd, p + PAGE + 4 * BLOCK, 2 * BLOCK,
				   IOVA + 4 * BLOCK));
	EXPECT_EQ(0, mock_maps(self->iommufd, self->hwpt, IOVA, p + PAGE, 6 * BLOCK));
	EXPECT_EQ(6 * BLOCK, pool_sysfs(&self->p, "pinned"));
	EXPECT_EQ(6 * BLOCK, vm_pinned());
	EXPECT_EQ(EEXIST, container_map(self->iommufd, p, PAGE, IOVA + 2 * BLOCK));
	/* Version 2 does not cut what was mapped by one call. */
	EXPECT_EQ(-ENOENT, container_unmap(self->iommufd, BLOCK, IOVA, 0));
	EXPECT_EQ(6 * BLOCK, pool_sysfs(&self->p, "pinned"));
	EXPECT_EQ(4 * BLOCK, container_unmap(self->iommufd, 4 * BLOCK, IOVA, 0));
	EXPECT_EQ(2 * BLOCK, pool_sysfs(&self->p, "pinned"));
	EXPECT_EQ(2 * BLOCK, container_unmap(self->iommufd, 0, 0, VFIO_DMA_UNMAP_FLAG_ALL));
	EXPECT_EQ(0, pool_sysfs(&self->p, "pinned"));
	EXPECT_EQ(0, vm_pinned());
	EXPECT_TRUE(is_filled(p, 8 * BLOCK, 1));
	/* A hole is filled, and a mapping that cannot be written to is refused. */
	fd = file_make(&self->p, "hole", 2 * BLOCK);
	hole = map_file(fd, 0, 2 * BLOCK);
	ASSERT_EQ(0, mprotect(hole + BLOCK, BLOCK, PROT_READ));
	EXPECT_EQ(0, container_map(self->iommufd, hole, BLOCK, IOVA));
	EXPECT_EQ(BLOCK_SECTORS, file_sectors(fd));
	EXPECT_EQ(EFAULT, container_map(self->iommufd, hole + BLOCK, BLOCK, IOVA + BLOCK));
	EXPECT_EQ(BLOCK_SECTORS, file_sectors(fd));
	EXPECT_EQ(BLOCK, pool_sysfs(&self->p, "pinned"));
	EXPECT_EQ(BLOCK, container_unmap(self->iommufd, BLOCK, IOVA, 0));
}

/*
 * Version 1 of the container cuts what was mapped by one call. Fails if the cut frees pages that
 * are still mapped, which a hole in the file would then give to another file.
 */
TEST_F(ioas, as_container_that_cuts)
{
	int fd = make_pieces(&self->p, 4);
	unsigned char *p = map_file(fd, 0, 4 * BLOCK);

	ASSERT_NE(MAP_FAILED, p);
	fill(p, 4 * BLOCK, 1);
	ASSERT_TRUE(make_container(self->iommufd, self->ioas, VFIO_TYPE1_IOMMU));
	ASSERT_EQ(0, container_map(self->iommufd, p, 4 * BLOCK, IOVA));
	EXPECT_EQ(BLOCK, container_unmap(self->iommufd, BLOCK, IOVA + BLOCK, 0));
	EXPECT_EQ(0, mock_maps(self->iommufd, self->hwpt, IOVA, p, BLOCK));
	EXPECT_EQ(0, mock_maps(self->iommufd, self->hwpt, IOVA + 2 * BLOCK, p + 2 * BLOCK,
			       2 * BLOCK));
	EXPECT_EQ(EINVAL, mock_maps(self->iommufd, self->hwpt, IOVA + BLOCK, p + BLOCK, PAGE));
	/* The areas keep all pages of the call. */
	EXPECT_EQ(4 * BLOCK, pool_sysfs(&self->p, "pinned"));
	EXPECT_EQ(BLOCK, container_unmap(self->iommufd, BLOCK, IOVA, 0));
	EXPECT_EQ(4 * BLOCK, pool_sysfs(&self->p, "pinned"));
	EXPECT_EQ(2 * BLOCK, container_unmap(self->iommufd, 2 * BLOCK, IOVA + 2 * BLOCK, 0));
	EXPECT_EQ(0, pool_sysfs(&self->p, "pinned"));
	EXPECT_EQ(0, vm_pinned());
	EXPECT_TRUE(is_filled(p, 4 * BLOCK, 1));
}

/* Gives up CAP_IPC_LOCK, so that a limit holds. */
static bool limit_locked(size_t bytes)
{
	struct rlimit limit = { bytes, bytes };

	return !setrlimit(RLIMIT_MEMLOCK, &limit) && !setresuid(1000, 1000, 1000);
}

/*
 * A limit of a page less than what is mapped. The failed call leaves nothing behind, and has not
 * allocated the memory.
 */
TEST_F(ioas, limited)
{
	int fd = file_make(&self->p, "ram", 4 * BLOCK), status;
	pid_t pid = fork();

	if (!pid) {
		if (!limit_locked(4 * BLOCK - PAGE))
			_exit(1);
		if (ioas_map_file(self->iommufd, self->ioas, fd, 0, 4 * BLOCK, IOVA) != ENOMEM ||
		    pool_sysfs(&self->p, "pinned") || file_sectors(fd))
			_exit(2);
		if (ioas_map_file(self->iommufd, self->ioas, fd, PAGE, 4 * BLOCK - PAGE, IOVA) ||
		    pool_sysfs(&self->p, "pinned") != 4 * BLOCK - PAGE)
			_exit(3);
		if (ioas_unmap(self->iommufd, self->ioas, IOVA, 4 * BLOCK - PAGE) ||
		    ioas_map_file(self->iommufd, self->ioas, fd, PAGE, 4 * BLOCK - PAGE, IOVA))
			_exit(4);
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(0, ioas_unmap(self->iommufd, self->ioas, IOVA, 4 * BLOCK - PAGE));
}

/* Another process takes the pins over, and the first one is not charged any more. */
static int take_over(int iommufd, uint32_t ioas, int fd)
{
	struct iommu_ioas_change_process change = { .size = sizeof(change) };
	int status;
	pid_t pid;

	if (ioas_map_file(iommufd, ioas, fd, 0, 4 * BLOCK, IOVA) || vm_pinned() != 4 * BLOCK)
		return 1;
	pid = fork();
	if (!pid)
		_exit(ioctl(iommufd, IOMMU_IOAS_CHANGE_PROCESS, &change) ||
		      vm_pinned() != 4 * BLOCK);
	if (waitpid(pid, &status, 0) != pid || status)
		return 2;
	return vm_pinned() ? 3 : 0;
}

TEST_F(ioas, changes_process)
{
	int fd = make_pieces(&self->p, 4), status;
	pid_t pid = fork();

	/* Both are charged for a moment. */
	if (!pid)
		_exit(limit_locked(8 * BLOCK) ? take_over(self->iommufd, self->ioas, fd) : 9);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(4 * BLOCK, pool_sysfs(&self->p, "pinned"));
	EXPECT_EQ(0, ioas_unmap(self->iommufd, self->ioas, IOVA, 4 * BLOCK));
	EXPECT_EQ(0, pool_sysfs(&self->p, "pinned"));
}

/* Opened once, as opening a file allocates, and so may fail. */
static int open_fail_nth(void)
{
	return open("/proc/self/fail-nth", O_RDWR);
}

static bool fail_nth(int fd, int nr)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%d", nr);

	return write(fd, text, len) == len;
}

/* Is the failure that fail_nth() has asked for still to come? */
static bool fail_left(int fd)
{
	char text[16] = "";

	return pread(fd, text, sizeof(text) - 1, 0) > 0 && atoi(text);
}

/* Two IO address spaces, with a domain each. */
struct spaces {
	uint32_t first;
	uint32_t second;
};

/* Not with failures: making a mock device leaks memory then, in iommu_fwspec_init(). */
static bool make_spaces(int iommufd, struct spaces *s)
{
	uint32_t hwpt;

	return !ioas_alloc(iommufd, &s->first) && !mock_attach(iommufd, s->first, &hwpt) &&
	       !ioas_alloc(iommufd, &s->second) && !mock_attach(iommufd, s->second, &hwpt);
}

/* Maps, copies, unmaps. Stops at the first error. */
static int map_and_copy(int iommufd, const struct spaces *s, int fd)
{
	int err = ioas_map_file(iommufd, s->first, fd, PAGE, 3 * BLOCK, IOVA);

	err = err ?: ioas_copy(iommufd, s->first, s->second, IOVA, 3 * BLOCK);
	err = err ?: ioas_unmap(iommufd, s->first, IOVA, 3 * BLOCK);
	return err ?: ioas_unmap(iommufd, s->second, IOVA, 3 * BLOCK);
}

TEST_F(ioas, failures)
{
	int fd = make_pieces(&self->p, 4), nth = open_fail_nth(), nr, err, failed = 0;
	bool left = false;

	if (nth < 0)
		SKIP(return, "no fault injection");
	for (nr = 1; !left && nr < 1000; nr++) {
		int iommufd = open("/dev/iommu", O_RDWR);
		struct spaces s;

		ASSERT_TRUE(make_spaces(iommufd, &s));
		ASSERT_TRUE(fail_nth(nth, nr));
		err = map_and_copy(iommufd, &s, fd);
		left = fail_left(nth);
		fail_nth(nth, 0);
		failed += err != 0;
		close(iommufd);
		EXPECT_EQ(0, pool_sysfs(&self->p, "pinned"));
		EXPECT_EQ(0, vm_pinned());
		if (left)
			EXPECT_EQ(0, err);
	}
	close(nth);
	TH_LOG("%d calls failed", failed);
	EXPECT_TRUE(left);
	EXPECT_GE(failed, 3);
}

#define ENDS	60

/**
 * struct unmapper - a thread that unmaps memory from an IO address space
 * @iommufd: descriptor of iommufd
 * @ioas: the IO address space
 * @err: the errno that it got
 */
struct unmapper {
	int iommufd;
	uint32_t ioas;
	int err;
};

static void *unmap_iova(void *arg)
{
	struct unmapper *u = arg;

	u->err = ioas_unmap(u->iommufd, u->ioas, IOVA, 4 * BLOCK);
	return NULL;
}

/*
 * The mapping is the last user of the memory of a file that is gone, and ends while the filesystem
 * is unmounted.
 */
TEST_F(ioas, ends_beside_an_unmount)
{
	struct unmapper u = { .iommufd = self->iommufd, .ioas = self->ioas };
	pthread_t thread;
	int fd, i;

	for (i = 0; i < ENDS; i++) {
		fd = file_make(&self->p, "ram", 4 * BLOCK);
		ASSERT_EQ(0, ioas_map_file(self->iommufd, self->ioas, fd, 0, 4 * BLOCK, IOVA));
		ASSERT_EQ(0, unlink(pool_path(&self->p, "ram")));
		close(fd);
		ASSERT_EQ(0, pthread_create(&thread, NULL, unmap_iova, &u));
		if (i % 3)
			usleep(i * 20);
		EXPECT_EQ(0, ERR(umount(self->p.mnt)));
		pthread_join(thread, NULL);
		EXPECT_EQ(0, u.err);
		ASSERT_EQ(0, pool_mount_at(self->nodes[0], self->p.mnt, 0));
		EXPECT_EQ(0, pool_sysfs(&self->p, "detached"));
		ASSERT_EQ(self->p.free_blocks, pool_free_blocks(&self->p));
	}
}

TEST_HARNESS_MAIN
