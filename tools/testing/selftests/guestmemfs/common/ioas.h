/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_IOAS_H
#define _GUESTMEMFS_IOAS_H

#include <linux/iommufd.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../../../../../drivers/iommu/iommufd/iommufd_test.h"

/* All of these return an errno, but access_open() a descriptor or -1. */
int ioas_alloc(int iommufd, uint32_t *ioas);
int mock_attach(int iommufd, uint32_t ioas, uint32_t *hwpt);
int ioas_map_file(int iommufd, uint32_t ioas, int fd, off_t offset, size_t len, uint64_t iova);
int ioas_unmap(int iommufd, uint32_t ioas, uint64_t iova, size_t len);
int ioas_copy(int iommufd, uint32_t from, uint32_t to, uint64_t iova, size_t len);
int mock_maps(int iommufd, uint32_t hwpt, uint64_t iova, void *p, size_t len);
int access_open(int iommufd, uint32_t ioas);
int access_rw(int iommufd, int access, uint64_t iova, void *p, size_t len, uint32_t flags);

#endif /* _GUESTMEMFS_IOAS_H */
