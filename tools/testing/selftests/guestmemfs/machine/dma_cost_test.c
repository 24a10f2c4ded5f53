// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counts the instructions and the pages of IO page tables that it takes to map memory for a device
 * by iommufd and to unmap it, and compares them with memfd and hugetlbfs. It needs a machine whose
 * clock advances by a nanosecond with each instruction, see the VM test dma-cost.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cost.h"
#include "edu.h"
#include "fixture.h"

#define SIZE	(2 * GIB)
#define AT	(4 * GIB)

/**
 * struct cost - what it takes to map SIZE bytes
 * @map: instructions of mapping
 * @unmap: instructions of unmapping
 * @pages: pages of IO page tables
 */
struct cost {
	long map;
	long unmap;
	long pages;
};

static long iommu_pages(void)
{
	FILE *f = fopen("/proc/vmstat", "r");
	long nr = 0;
	char line[128];

	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "nr_iommu_pages %ld", &nr);
	if (f)
		fclose(f);
	return nr;
}

/*
 * Maps @parts times SIZE bytes of a file one after another, and unmaps them. The first mapping
 * makes the upper page tables, which stay, so that another one comes before those that are
 * measured.
 */
static bool measure(struct dma *d, int fd, int parts, struct cost *cost)
{
	long began, pages;
	int i;

	if (dma_map_as(d, NULL, fd, 0, SIZE, AT, true) || dma_unmap(d, AT, SIZE))
		return false;
	pages = iommu_pages();
	began = now();
	for (i = 0; i < parts; i++)
		if (dma_map_as(d, NULL, fd, 0, SIZE, AT + i * SIZE, true))
			return false;
	cost->map = now() - began;
	cost->pages = iommu_pages() - pages;
	began = now();
	for (i = 0; i < parts; i++)
		if (dma_unmap(d, AT + i * SIZE, SIZE))
			return false;
	cost->unmap = now() - began;
	return true;
}

static int memfd(unsigned int flags)
{
	int fd = memfd_create("ram", flags);
	char *p;

	if (fd < 0 || ftruncate(fd, SIZE))
		return -1;
	p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (p == MAP_FAILED)
		return -1;
	munmap(p, SIZE);
	return fd;
}

/* Makes memfds have folios of 2 MiB. */
static bool large_folios(void)
{
	int fd = open("/sys/kernel/mm/transparent_hugepage/shmem_enabled", O_WRONLY);
	bool done = write(fd, "force", 5) == 5;

	close(fd);
	return done;
}

TEST_F(in_pool, mapping)
{
	struct dma d = { .way = BY_FILE, .group = -1 };
	struct cost ours, small, huge;
	char name[NAME_MAX + 1];
	/*
	 * The whole of what bench-dma maps is more than the machine has: the same file many
	 * times.
	 */
	int parts = atoi(getenv("DMA_PARTS") ?: "1"), fd;

	if (!find_edu(name))
		SKIP(return, "no device edu is bound to vfio-pci");
	d.source = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, d.source);
	ASSERT_TRUE(open_device(&d));
	fd = file_make(&self->p, "ram", SIZE);
	ASSERT_EQ(0, fallocate(fd, 0, 0, SIZE));
	ASSERT_TRUE(measure(&d, fd, parts, &ours));
	ASSERT_EQ(0, ftruncate(fd, 0));
	fd = memfd(MFD_HUGETLB | MFD_HUGE_1GB);
	ASSERT_GE(fd, 0);
	ASSERT_TRUE(measure(&d, fd, parts, &huge));
	close(fd);
	ASSERT_TRUE(large_folios());
	fd = memfd(0);
	ASSERT_GE(fd, 0);
	ASSERT_TRUE(measure(&d, fd, parts, &small));
	close(fd);
	TH_LOG("%lu GiB, instructions to map, to unmap, pages of IO page tables",
	       parts * SIZE / GIB);
	TH_LOG("guestmemfs:         %11ld %11ld %4ld", ours.map, ours.unmap, ours.pages);
	TH_LOG("hugetlbfs, 1 GiB:   %11ld %11ld %4ld", huge.map, huge.unmap, huge.pages);
	TH_LOG("memfd, 2 MiB folio: %11ld %11ld %4ld", small.map, small.unmap, small.pages);
	EXPECT_LE(ours.map * 10, small.map);
	EXPECT_LE(ours.unmap * 10, small.unmap);
	/* Entries of 1 GiB need no table below. */
	EXPECT_LE(ours.pages, huge.pages);
}

TEST_HARNESS_MAIN
