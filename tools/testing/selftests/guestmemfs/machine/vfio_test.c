// SPDX-License-Identifier: GPL-2.0-only
/*
 * DMA to guest memory: VFIO and iommufd must refuse to map it, because a device would not notice
 * when the file loses a block. The test needs any PCI device that is bound to vfio-pci.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/iommufd.h>
#include <linux/vfio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "fixture.h"

#define DRIVER	"/sys/bus/pci/drivers/vfio-pci"
#define IOVA	GIB

/* Finds the first entry of a directory whose name begins with @prefix. */
static bool first_entry(const char *dir, const char *prefix, char name[NAME_MAX + 1])
{
	DIR *d = opendir(dir);
	struct dirent *e;
	bool found = false;

	while (d && !found && (e = readdir(d))) {
		found = !strncmp(e->d_name, prefix, strlen(prefix));
		strcpy(name, e->d_name);
	}
	if (d)
		closedir(d);
	return found;
}

/* Opens a container with the device's group. Returns -1 if there is no device. */
static int open_container(void)
{
	char device[NAME_MAX + 1], path[512], link[512];
	int container, group;
	ssize_t len;

	if (!first_entry(DRIVER, "0000:", device))
		return -1;
	snprintf(path, sizeof(path), DRIVER "/%s/iommu_group", device);
	len = readlink(path, link, sizeof(link) - 1);
	if (len < 0)
		return -1;
	link[len] = 0;
	snprintf(path, sizeof(path), "/dev/vfio%s", strrchr(link, '/'));
	group = open(path, O_RDWR);
	container = open("/dev/vfio/vfio", O_RDWR);
	if (ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) ||
	    ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		return -1;
	return container;
}

static int type1_map(int container, void *p, size_t len, uint32_t flags)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = flags,
		.vaddr = (uintptr_t)p,
		.iova = IOVA,
		.size = len,
	};

	return ERR(ioctl(container, VFIO_IOMMU_MAP_DMA, &map));
}

static int type1_unmap(int container, size_t len)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.iova = IOVA,
		.size = len,
	};

	return ERR(ioctl(container, VFIO_IOMMU_UNMAP_DMA, &unmap)) ?: unmap.size != len;
}

#define RW	(VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)

TEST_F(in_pool, type1)
{
	int fd = file_make(&self->p, "file", 2 * BLOCK), container = open_container();
	/* Guest memory, then ordinary memory, then guest memory again. */
	unsigned char *p = reserve(3 * BLOCK, BLOCK);

	if (container < 0)
		SKIP(return, "no device with an IOMMU is bound to vfio-pci");
	ASSERT_EQ(p, map_at(p, fd, 0, BLOCK));
	ASSERT_EQ(p + BLOCK, mmap(p + BLOCK, BLOCK, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	ASSERT_EQ(p + 2 * BLOCK, map_at(p + 2 * BLOCK, fd, BLOCK, BLOCK));
	fill(p, BLOCK, 1);
	ASSERT_EQ(0, type1_map(container, p + BLOCK, BLOCK, RW));
	ASSERT_EQ(0, type1_unmap(container, BLOCK));
	EXPECT_EQ(EFAULT, type1_map(container, p, BLOCK, RW));
	EXPECT_EQ(EFAULT, type1_map(container, p, PAGE, VFIO_DMA_MAP_FLAG_READ));
	EXPECT_EQ(EFAULT, type1_map(container, p, 2 * BLOCK, RW));
	/*
	 * The second part has no blocks yet. If mapping fails in the middle, the first pages are
	 * unmapped again.
	 */
	EXPECT_EQ(EFAULT, type1_map(container, p + 2 * BLOCK, BLOCK, RW));
	EXPECT_EQ(EFAULT, type1_map(container, p + BLOCK, 2 * BLOCK, RW));
	ASSERT_EQ(0, type1_map(container, p + BLOCK, BLOCK, RW));
	EXPECT_TRUE(is_filled(p, BLOCK, 1));
	ASSERT_EQ(0, fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 2 * BLOCK));
	EXPECT_EQ(self->p.free_blocks, pool_free_blocks(&self->p));
}

/* Makes an IO address space and attaches the device to it. Returns 0 if there is no device. */
static uint32_t open_ioas(int iommufd)
{
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind), .iommufd = iommufd };
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };
	struct vfio_device_attach_iommufd_pt attach = { .argsz = sizeof(attach) };
	char name[NAME_MAX + 1], path[512];
	int device;

	if (!first_entry("/dev/vfio/devices", "vfio", name))
		return 0;
	snprintf(path, sizeof(path), "/dev/vfio/devices/%s", name);
	device = open(path, O_RDWR);
	if (ioctl(device, VFIO_DEVICE_BIND_IOMMUFD, &bind) ||
	    ioctl(iommufd, IOMMU_IOAS_ALLOC, &alloc))
		return 0;
	attach.pt_id = alloc.out_ioas_id;
	return ioctl(device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach) ? 0 : alloc.out_ioas_id;
}

static int ioas_map(int iommufd, uint32_t ioas, void *p, size_t len)
{
	struct iommu_ioas_map map = {
		.size = sizeof(map),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_WRITEABLE |
			 IOMMU_IOAS_MAP_READABLE,
		.ioas_id = ioas,
		.user_va = (uintptr_t)p,
		.length = len,
		.iova = IOVA,
	};

	return ERR(ioctl(iommufd, IOMMU_IOAS_MAP, &map));
}

TEST_F(in_pool, iommufd)
{
	int fd = file_make(&self->p, "file", BLOCK), iommufd = open("/dev/iommu", O_RDWR);
	unsigned char *guest = map_file(fd, 0, BLOCK);
	unsigned char *host = mmap(NULL, BLOCK, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint32_t ioas = iommufd < 0 ? 0 : open_ioas(iommufd);

	if (!ioas)
		SKIP(return, "no device of vfio-pci that iommufd can have");
	ASSERT_NE(MAP_FAILED, guest);
	ASSERT_NE(MAP_FAILED, host);
	EXPECT_EQ(0, poke(guest, 1));
	EXPECT_EQ(EFAULT, ioas_map(iommufd, ioas, guest, BLOCK));
	EXPECT_EQ(EFAULT, ioas_map(iommufd, ioas, guest, PAGE));
	EXPECT_EQ(0, ioas_map(iommufd, ioas, host, BLOCK));
}

TEST_HARNESS_MAIN
