// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counts the instructions of a page fault on memory that is present, and compares them with
 * hugetlbfs. It needs a machine whose clock advances by a nanosecond with each instruction, see the
 * VM test fault-cost.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cost.h"
#include "fixture.h"
#include "leaves.h"

/* A file is mapped ROUNDS times, each time with as many faults as it has entries. */
#define ROUNDS	8
#define MAX_FAULTS	256
#define GROUP_BLOCKS	((int)(GIB / BLOCK))

static int compare(const void *a, const void *b)
{
	return *(const long *)a < *(const long *)b ? -1 : *(const long *)a > *(const long *)b;
}

/*
 * Returns the median of all faults, so that faults that allocate a page table or are interrupted do
 * not count, minus the cost of an access without a fault. Returns 0 if nothing was mapped.
 */
static long cost_of_fault(int fd, size_t size, size_t step, int prot)
{
	/* The reservation keeps the page tables above the entries between two mappings. */
	char *area = mmap(NULL, 4 * GIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			  -1, 0);
	char *at = (char *)(((uintptr_t)area + GIB - 1) & -GIB);
	long costs[MAX_FAULTS], idle;
	int i, nr = 0;

	if (area == MAP_FAILED)
		return 0;
	for (i = 0; i < ROUNDS; i++) {
		char *p = mmap(at, size, prot, MAP_SHARED | MAP_FIXED, fd, 0);
		size_t offset;

		if (p == MAP_FAILED)
			return 0;
		for (offset = 0; offset < size && nr < MAX_FAULTS; offset += step)
			costs[nr++] = cost_of_store(p + offset);
		idle = cost_of_store(p);
	}
	munmap(area, 4 * GIB);
	qsort(costs, nr, sizeof(*costs), compare);
	return costs[nr / 2] - idle;
}

/* Makes a hugetlbfs file with all of its pages allocated. Returns -1 if the machine has too few. */
static int hugetlb_file(size_t size, unsigned int flags)
{
	int fd = memfd_create("hugetlb", MFD_HUGETLB | flags);
	char *p;

	if (fd < 0 || ftruncate(fd, size))
		return -1;
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (p == MAP_FAILED)
		return -1;
	munmap(p, size);
	return fd;
}

static void compare_faults(struct __test_metadata *_metadata, struct pool *p, size_t size,
			   size_t step, unsigned int flags)
{
	int fd = file_make(p, "file", size), huge = hugetlb_file(size, flags);
	long ours, theirs;

	ASSERT_GE(fd, 0);
	ASSERT_GE(huge, 0);
	ASSERT_EQ(0, fallocate(fd, 0, 0, size));
	ours = cost_of_fault(fd, size, step, PROT_READ | PROT_WRITE);
	theirs = cost_of_fault(huge, size, step, PROT_READ | PROT_WRITE);
	ASSERT_LT(0, ours);
	ASSERT_LT(0, theirs);
	TH_LOG("a fault of %zu MiB: %ld instructions, %ld with hugetlbfs", step / MIB, ours,
	       theirs);
	EXPECT_LE(ours, theirs);
	close(huge);
	close(fd);
	EXPECT_EQ(0, unlink(pool_path(p, "file")));
}

/* The file is too small for an entry of 1 GiB. */
TEST_F(in_pool, fault_of_a_block)
{
	compare_faults(_metadata, &self->p, 32 * BLOCK, BLOCK, MFD_HUGE_2MB);
}

TEST_F(in_pool, fault_of_a_gigabyte)
{
	compare_faults(_metadata, &self->p, GIB, GIB, MFD_HUGE_1GB);
}

/*
 * A gigabyte was mapped by blocks, because one block was missing, and is complete again. Compares
 * the cost of the fault that makes the large entry with the cost of the faults for the blocks.
 */
TEST_F(in_pool, large_entry_comes_back)
{
	char *area = mmap(NULL, 2 * GIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			  -1, 0);
	char *at = (char *)(((uintptr_t)area + GIB - 1) & -GIB);
	int fd = file_make(&self->p, "file", GIB);
	long blocks = 0, large;
	size_t offset;

	ASSERT_NE(MAP_FAILED, area);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, fallocate(fd, 0, 0, GIB));
	ASSERT_EQ(at, mmap(at, GIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0));
	ASSERT_EQ(0, fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, BLOCK));
	for (offset = BLOCK; offset < GIB; offset += BLOCK)
		blocks += cost_of_store(at + offset);
	EXPECT_LEAVES(at, GIB, 0, GROUP_BLOCKS - 1, 0, "without a block");
	ASSERT_EQ(0, fallocate(fd, 0, 0, BLOCK));
	large = cost_of_store(at);
	EXPECT_LEAVES(at, GIB, 1, 0, 0, "with it");
	TH_LOG("a large entry comes back: %ld instructions, with %d faults before: %ld", large,
	       GROUP_BLOCKS - 1, blocks);
	/* The large entry must cost less than the faults that it saves the next time. */
	EXPECT_LT(large, blocks);
	close(fd);
}

TEST_HARNESS_MAIN
