// SPDX-License-Identifier: GPL-2.0-only
/*
 * Looking at page tables must not change them: reading the files of a VMM in /proc, or asking about
 * a mapping, removes no entry from its page tables and none from KVM's.
 */
#include <fcntl.h>

#include "fixture.h"
#include "leaves.h"
#include "looks.h"

#define SIZE	(GIB + 2 * BLOCK + PAGE)

static char *map_all_sizes(const struct pool *p)
{
	int fd = file_make(p, "file", SIZE);
	char *map = map_file(fd, 0, SIZE);

	close(fd);
	return map == MAP_FAILED || touch(map, SIZE, BLOCK) ? NULL : map;
}

TEST_F(in_pool, keeps_entries)
{
	long puds, pmds;
	char *p;
	int i;

	if (access(LEAVES, R_OK))
		SKIP(return, "no " LEAVES);
	if (self->p.free_blocks < SIZE / BLOCK + 1)
		SKIP(return, "needs 1 GiB free");
	p = map_all_sizes(&self->p);
	ASSERT_NE(NULL, p);
	EXPECT_LEAVES(p, SIZE, 1, 2, 1, "before anybody looks");
	for (i = 0; i < NR_LOOKS; i++) {
		EXPECT_EQ(0, touch(p, SIZE, BLOCK));
		puds = vm_event("thp_split_pud");
		pmds = vm_event("thp_split_pmd");
		ASSERT_GE(puds, 0);
		EXPECT_TRUE(looks[i].at(p, SIZE))
			TH_LOG("%s fails", looks[i].name);
		EXPECT_EQ(puds, vm_event("thp_split_pud"))
			TH_LOG("%s splits", looks[i].name);
		EXPECT_EQ(pmds, vm_event("thp_split_pmd"))
			TH_LOG("%s splits", looks[i].name);
		EXPECT_LEAVES(p, SIZE, 1, 2, 1, looks[i].name);
	}
	/* A real split of an entry is counted in /proc/vmstat. */
	puds = vm_event("thp_split_pud");
	ASSERT_EQ(0, mprotect(p + PAGE, PAGE, PROT_READ));
	EXPECT_EQ(puds + 1, vm_event("thp_split_pud"));
}

/* A change of the protection of a whole gigabyte and back keeps its entry. */
TEST_F(in_pool, keeps_protected)
{
	char *p;

	if (access(LEAVES, R_OK))
		SKIP(return, "no " LEAVES);
	if (self->p.free_blocks < SIZE / BLOCK + 1)
		SKIP(return, "needs 1 GiB free");
	p = map_all_sizes(&self->p);
	ASSERT_NE(NULL, p);
	p[GIB / 2] = 7;
	ASSERT_EQ(0, mprotect(p, GIB, PROT_NONE));
	EXPECT_EQ(FAULT(SIGSEGV), peek(p + GIB / 2));
	ASSERT_EQ(0, mprotect(p, GIB, PROT_READ | PROT_WRITE));
	EXPECT_LEAVES(p, GIB, 1, 0, 0, "1 GiB that was PROT_NONE");
	EXPECT_EQ(7, peek(p + GIB / 2));
}

TEST_HARNESS_MAIN
