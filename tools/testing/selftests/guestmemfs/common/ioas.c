// SPDX-License-Identifier: GPL-2.0-only
/*
 * iommufd's IO address spaces and the mock devices of CONFIG_IOMMUFD_TEST.
 */
#include <sys/ioctl.h>

#include "ioas.h"
#include "util.h"

#define RW	(IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE)

int ioas_alloc(int iommufd, uint32_t *ioas)
{
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };

	if (ioctl(iommufd, IOMMU_IOAS_ALLOC, &alloc))
		return errno;
	*ioas = alloc.out_ioas_id;
	return 0;
}

/* Attaches a mock device, with a domain. */
int mock_attach(int iommufd, uint32_t ioas, uint32_t *hwpt)
{
	struct iommu_test_cmd cmd = {
		.size = sizeof(cmd), .op = IOMMU_TEST_OP_MOCK_DOMAIN, .id = ioas,
	};

	if (ioctl(iommufd, IOMMU_TEST_CMD, &cmd))
		return errno;
	*hwpt = cmd.mock_domain.out_hwpt_id;
	return 0;
}

int ioas_map_file(int iommufd, uint32_t ioas, int fd, off_t offset, size_t len, uint64_t iova)
{
	struct iommu_ioas_map_file map = {
		.size = sizeof(map), .flags = RW, .ioas_id = ioas, .fd = fd, .start = offset,
		.length = len, .iova = iova,
	};

	return ERR(ioctl(iommufd, IOMMU_IOAS_MAP_FILE, &map));
}

int ioas_unmap(int iommufd, uint32_t ioas, uint64_t iova, size_t len)
{
	struct iommu_ioas_unmap unmap = {
		.size = sizeof(unmap), .ioas_id = ioas, .iova = iova, .length = len,
	};

	return ERR(ioctl(iommufd, IOMMU_IOAS_UNMAP, &unmap));
}

int ioas_copy(int iommufd, uint32_t from, uint32_t to, uint64_t iova, size_t len)
{
	struct iommu_ioas_copy copy = {
		.size = sizeof(copy), .flags = RW, .dst_ioas_id = to, .src_ioas_id = from,
		.length = len, .dst_iova = iova, .src_iova = iova,
	};

	return ERR(ioctl(iommufd, IOMMU_IOAS_COPY, &copy));
}

/* Opens an in-kernel user of the IO address space. */
int access_open(int iommufd, uint32_t ioas)
{
	struct iommu_test_cmd cmd = {
		.size = sizeof(cmd), .op = IOMMU_TEST_OP_CREATE_ACCESS, .id = ioas,
		.create_access = { .flags = MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES },
	};

	return ioctl(iommufd, IOMMU_TEST_CMD, &cmd) ? -1 : (int)cmd.create_access.out_access_fd;
}

int access_rw(int iommufd, int access, uint64_t iova, void *p, size_t len, uint32_t flags)
{
	struct iommu_test_cmd cmd = {
		.size = sizeof(cmd), .op = IOMMU_TEST_OP_ACCESS_RW, .id = access,
		.access_rw = {
			.iova = iova, .length = len, .uptr = (uintptr_t)p, .flags = flags,
		},
	};

	return ERR(ioctl(iommufd, IOMMU_TEST_CMD, &cmd));
}

/* Does the domain map @iova to the frames that the process has at @p? */
int mock_maps(int iommufd, uint32_t hwpt, uint64_t iova, void *p, size_t len)
{
	struct iommu_test_cmd cmd = {
		.size = sizeof(cmd), .op = IOMMU_TEST_OP_MD_CHECK_MAP, .id = hwpt,
		.check_map = { .iova = iova, .length = len, .uptr = (uintptr_t)p },
	};

	return ERR(ioctl(iommufd, IOMMU_TEST_CMD, &cmd));
}
