// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where VMMs put their guest's memory, and that a file is no memfd.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/mman.h>

#include "fixture.h"

#define RW	(PROT_READ | PROT_WRITE)

/* As QEMU does: a reservation, the file at an aligned address in it, a guard page. */
static char *map_as_qemu(int fd, size_t len, size_t align)
{
	size_t total = len + align;
	char *area = mmap(NULL, total, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
			  0);
	char *p = (char *)(((uintptr_t)area + align - 1) & ~(align - 1));

	if (area == MAP_FAILED || map_at(p, fd, 0, len) != p)
		return MAP_FAILED;
	if (p > area)
		munmap(area, p - area);
	if (area + total > p + len + PAGE)
		munmap(p + len + PAGE, area + total - p - len - PAGE);
	return p;
}

/* As large entries as where the kernel chooses, if the VMM asks for that alignment. */
TEST_F_TIMEOUT(in_pool, as_vmms_map, 300)
{
	int fd = file_make(&self->p, "file", GIB);
	char *p, *q;
	long best;

	if (self->p.free_blocks < GIB / BLOCK)
		SKIP(return, "the pool is too small");
	ASSERT_EQ(0, fallocate(fd, 0, 0, GIB));
	/* Without a wish, as Cloud Hypervisor does. */
	p = mmap(NULL, GIB, RW, MAP_SHARED | MAP_NORESERVE, fd, 0);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, (uintptr_t)p % BLOCK);
	p[GIB - 1] = 1;
	best = faults_of(p, GIB);
	q = map_as_qemu(fd, GIB, GIB);
	ASSERT_NE(MAP_FAILED, q);
	q[0] = 1;
	EXPECT_EQ(1, q[GIB - 1]);
	EXPECT_LE(faults_of(q, GIB), best + 4);
	EXPECT_EQ(FAULT(SIGSEGV), peek(q + GIB));
	munmap(q, GIB + PAGE);
	q = map_as_qemu(fd, GIB, BLOCK);
	ASSERT_NE(MAP_FAILED, q);
	EXPECT_LE(faults_of(q, GIB), GIB / BLOCK + 4);
	/* Nothing is mapped over what is there, if that is asked for. */
	EXPECT_EQ(EEXIST, ERR(mmap(q, BLOCK, RW, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0)));
	EXPECT_EQ(1, q[GIB - 1]);
}

/* Only a memfd can be sealed. */
TEST_F(in_pool, seals)
{
	static const int seals[] = { F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE };
	int fd = file_make(&self->p, "file", BLOCK), i;

	ASSERT_GE(fd, 0);
	EXPECT_EQ(EINVAL, ERR(fcntl(fd, F_GET_SEALS)));
	for (i = 0; i < ARRAY_SIZE(seals); i++)
		EXPECT_EQ(EINVAL, ERR(fcntl(fd, F_ADD_SEALS, seals[i])));
	EXPECT_EQ(0, ftruncate(fd, 2 * BLOCK));
	EXPECT_EQ(0, ftruncate(fd, 0));
}

TEST_HARNESS_MAIN
