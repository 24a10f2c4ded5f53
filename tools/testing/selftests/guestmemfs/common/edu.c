// SPDX-License-Identifier: GPL-2.0-only
/*
 * QEMU's device edu, opened through VFIO's container or through iommufd.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/iommufd.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "edu.h"

#define DRIVER		"/sys/bus/pci/drivers/vfio-pci"

/* QEMU's docs/specs/edu.rst */
#define EDU_SRC		0x80
#define EDU_DST		0x88
#define EDU_COUNT	0x90
#define EDU_CMD		0x98
#define EDU_START	1UL
#define EDU_TO_RAM	2UL
#define EDU_BUFFER	0x40000UL

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

bool find_edu(char name[NAME_MAX + 1])
{
	char path[512], id[8] = "";
	FILE *f;

	if (!first_entry(DRIVER, "0000:", name))
		return false;
	snprintf(path, sizeof(path), DRIVER "/%s/device", name);
	f = fopen(path, "r");
	if (f && !fgets(id, sizeof(id), f))
		id[0] = 0;
	if (f)
		fclose(f);
	return !strncmp(id, "0x11e8", 6);
}

static bool open_type1(struct dma *d)
{
	char name[NAME_MAX + 1], path[512], link[512];
	ssize_t len;

	if (!find_edu(name))
		return false;
	snprintf(path, sizeof(path), DRIVER "/%s/iommu_group", name);
	len = readlink(path, link, sizeof(link) - 1);
	if (len < 0)
		return false;
	link[len] = 0;
	snprintf(path, sizeof(path), "/dev/vfio%s", strrchr(link, '/'));
	d->group = open(path, O_RDWR);
	d->container = open("/dev/vfio/vfio", O_RDWR);
	if (ioctl(d->group, VFIO_GROUP_SET_CONTAINER, &d->container) ||
	    ioctl(d->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		return false;
	d->device = ioctl(d->group, VFIO_GROUP_GET_DEVICE_FD, name);
	return d->device >= 0;
}

static bool open_iommufd(struct dma *d)
{
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind) };
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };
	struct vfio_device_attach_iommufd_pt attach = { .argsz = sizeof(attach) };
	char name[NAME_MAX + 1], path[512];

	d->container = open("/dev/iommu", O_RDWR);
	bind.iommufd = d->container;
	if (!first_entry("/dev/vfio/devices", "vfio", name))
		return false;
	snprintf(path, sizeof(path), "/dev/vfio/devices/%s", name);
	d->device = open(path, O_RDWR);
	if (ioctl(d->device, VFIO_DEVICE_BIND_IOMMUFD, &bind) ||
	    ioctl(d->container, IOMMU_IOAS_ALLOC, &alloc))
		return false;
	d->ioas = alloc.out_ioas_id;
	attach.pt_id = d->ioas;
	return !ioctl(d->device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach);
}

/* Lets the device do DMA. */
static bool open_edu(struct dma *d)
{
	struct vfio_region_info bar = {
		.argsz = sizeof(bar), .index = VFIO_PCI_BAR0_REGION_INDEX,
	};
	struct vfio_region_info config = {
		.argsz = sizeof(config), .index = VFIO_PCI_CONFIG_REGION_INDEX,
	};
	uint16_t command = PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY;

	if (ioctl(d->device, VFIO_DEVICE_GET_REGION_INFO, &bar) ||
	    ioctl(d->device, VFIO_DEVICE_GET_REGION_INFO, &config))
		return false;
	d->regs = bar.offset;
	return pwrite(d->device, &command, sizeof(command), config.offset + PCI_COMMAND) ==
	       sizeof(command);
}

void close_device(struct dma *d)
{
	close(d->device);
	close(d->group);
	close(d->container);
	d->device = -1;
	d->group = -1;
	d->container = -1;
}

int dma_map_as(struct dma *d, void *p, int fd, off_t offset, size_t len, uint64_t iova,
	       bool write)
{
	struct vfio_iommu_type1_dma_map type1 = {
		.argsz = sizeof(type1),
		.flags = VFIO_DMA_MAP_FLAG_READ | (write ? VFIO_DMA_MAP_FLAG_WRITE : 0),
		.vaddr = (uintptr_t)p, .iova = iova, .size = len,
	};
	const uint32_t flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE |
			       (write ? IOMMU_IOAS_MAP_WRITEABLE : 0);
	struct iommu_ioas_map by_address = {
		.size = sizeof(by_address), .flags = flags, .ioas_id = d->ioas,
		.user_va = (uintptr_t)p, .iova = iova, .length = len,
	};
	struct iommu_ioas_map_file by_file = {
		.size = sizeof(by_file), .flags = flags, .ioas_id = d->ioas,
		.fd = fd, .start = offset, .iova = iova, .length = len,
	};

	if (d->way == TYPE1)
		return ERR(ioctl(d->container, VFIO_IOMMU_MAP_DMA, &type1));
	if (d->way == BY_FILE && fd >= 0)
		return ERR(ioctl(d->container, IOMMU_IOAS_MAP_FILE, &by_file));
	return ERR(ioctl(d->container, IOMMU_IOAS_MAP, &by_address));
}

int dma_map(struct dma *d, void *p, int fd, off_t offset, size_t len)
{
	return dma_map_as(d, p, fd, offset, len, IOVA, true);
}

int dma_unmap(struct dma *d, uint64_t iova, size_t len)
{
	struct vfio_iommu_type1_dma_unmap type1 = {
		.argsz = sizeof(type1), .iova = iova, .size = len,
	};
	struct iommu_ioas_unmap unmap = {
		.size = sizeof(unmap), .ioas_id = d->ioas, .iova = iova, .length = len,
	};

	if (d->way == TYPE1)
		return ERR(ioctl(d->container, VFIO_IOMMU_UNMAP_DMA, &type1)) ?:
		       type1.size != len;
	return ERR(ioctl(d->container, IOMMU_IOAS_UNMAP, &unmap));
}

static bool edu_set(struct dma *d, uint64_t reg, uint64_t value)
{
	return pwrite(d->device, &value, sizeof(value), d->regs + reg) == sizeof(value);
}

/* Copies a page between an IO address and the buffer in the device. */
static bool edu_copy(struct dma *d, uint64_t iova, bool to_ram)
{
	uint64_t command = EDU_START | (to_ram ? EDU_TO_RAM : 0);
	int tries;

	if (!edu_set(d, EDU_SRC, to_ram ? EDU_BUFFER : iova) ||
	    !edu_set(d, EDU_DST, to_ram ? iova : EDU_BUFFER) ||
	    !edu_set(d, EDU_COUNT, PAGE) || !edu_set(d, EDU_CMD, command))
		return false;
	for (tries = 0; command & EDU_START && tries < 1000; tries++) {
		usleep(10000);
		if (pread(d->device, &command, sizeof(command), d->regs + EDU_CMD) !=
		    sizeof(command))
			return false;
	}
	return !(command & EDU_START);
}

bool dma_write(struct dma *d, uint64_t iova, uint64_t seed)
{
	fill(d->source, PAGE, seed);
	return edu_copy(d, SOURCE, false) && edu_copy(d, iova, true);
}

bool dma_reads(struct dma *d, uint64_t iova, uint64_t seed)
{
	memset(d->source, 0, PAGE);
	return edu_copy(d, iova, false) && edu_copy(d, SOURCE, true) &&
	       is_filled(d->source, PAGE, seed);
}

bool open_device(struct dma *d)
{
	d->group = -1;
	return (d->way == TYPE1 ? open_type1(d) : open_iommufd(d)) && open_edu(d) &&
	       !dma_map_as(d, d->source, -1, 0, PAGE, SOURCE, true);
}
