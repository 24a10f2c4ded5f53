// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counts the instructions of a post-copy: of UFFDIO_COPY, and of whole faults that another thread
 * resolves, in a file of guestmemfs and in a memfd. It needs a machine whose clock advances by a
 * nanosecond with each instruction, see the VM test userfault-cost.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "cost.h"
#include "fixture.h"
#include "userfault.h"

#define SIZE	(16 * BLOCK)
#define PAGES	(SIZE / PAGE)
/* Pages that are filled, in an order in which most of them are in another block than the last. */
#define NR	2048
#define NTH(i)	((size_t)(i) * 1031 % PAGES * PAGE)

/**
 * struct cost - instructions for a page
 * @copy: UFFDIO_COPY
 * @fault: a fault, with all that the thread does which resolves it
 * @whole: UFFDIO_COPY of whole blocks
 */
struct cost {
	long copy;
	long fault;
	long whole;
};

static bool measure(int fd, const char *src, struct cost *c)
{
	char *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	struct uffd u;
	long began;
	int i;

	if (p == MAP_FAILED || !uffd_open(&u, 0) ||
	    uffd_register(&u, p, SIZE, UFFDIO_REGISTER_MODE_MISSING))
		return false;
	/* The first fill of a block allocates and zeroes it. */
	began = now();
	for (i = 0; i < NR; i++)
		if (uffd_copy(&u, p + NTH(i), src + NTH(i), PAGE, NULL))
			return false;
	c->copy = (now() - began) / NR;
	if (madvise(p, SIZE, MADV_REMOVE) || !uffd_serve(&u, p, src, PAGE))
		return false;
	began = now();
	for (i = 0; i < NR; i++)
		if (peek(p + NTH(i)) != (unsigned char)src[NTH(i)])
			return false;
	c->fault = (now() - began) / NR;
	if (uffd_events(&u) != NR || uffd_errors(&u))
		return false;
	uffd_stop(&u);
	if (madvise(p, SIZE, MADV_REMOVE))
		return false;
	began = now();
	for (i = 0; i < SIZE / BLOCK; i++)
		if (uffd_copy(&u, p + i * BLOCK, src + i * BLOCK, BLOCK, NULL))
			return false;
	c->whole = (now() - began) / PAGES;
	uffd_close(&u);
	munmap(p, SIZE);
	return true;
}

TEST_F(in_pool, post_copy)
{
	int fd = file_make(&self->p, "file", SIZE), memfd = memfd_create("file", 0);
	struct cost ours, memfds;
	char *src = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, (void *)src);
	fill(src, SIZE, 1);
	ASSERT_EQ(0, ftruncate(memfd, SIZE));
	/* The first round reads the code from memory. */
	ASSERT_TRUE(measure(memfd, src, &memfds));
	ASSERT_TRUE(measure(fd, src, &ours));
	ASSERT_EQ(0, ftruncate(fd, 0));
	ASSERT_EQ(0, ftruncate(memfd, 0));
	ASSERT_EQ(0, ftruncate(fd, SIZE));
	ASSERT_EQ(0, ftruncate(memfd, SIZE));
	ASSERT_TRUE(measure(memfd, src, &memfds));
	ASSERT_TRUE(measure(fd, src, &ours));
	TH_LOG("instructions of a page of 4 KiB, guestmemfs : memfd");
	TH_LOG("UFFDIO_COPY %ld : %ld", ours.copy, memfds.copy);
	TH_LOG("fault and UFFDIO_COPY %ld : %ld, that is %ld : %ld faults in 10^9 instructions",
	       ours.fault, memfds.fault, 1000000000 / ours.fault, 1000000000 / memfds.fault);
	TH_LOG("UFFDIO_COPY of 2 MiB, a page %ld : %ld", ours.whole, memfds.whole);
	/* Each copy maps its page into the kernel, which has no direct map of it. */
	EXPECT_GT(3 * memfds.copy, ours.copy);
	EXPECT_GT(2 * memfds.fault, ours.fault);
	EXPECT_GT(2 * memfds.whole, ours.whole);
}

TEST_HARNESS_MAIN
