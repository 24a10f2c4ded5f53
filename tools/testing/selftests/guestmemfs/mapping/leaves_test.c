// SPDX-License-Identifier: GPL-2.0-only
/*
 * The sizes of the page table entries of mappings, and that all entries are write-back. The entries
 * are counted in the page tables, which debugfs shows of the process that reads the file, and not
 * inferred from anything else.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/prctl.h>

#include "harness.h"
#include "leaves.h"
#include "util.h"

#define PUNCH	(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)

FIXTURE(leaves)
{
	int nr;
	struct pool p;
};

FIXTURE_SETUP(leaves)
{
	int nodes[MAX_POOLS];

	self->nr = pool_nodes(nodes);
	if (!self->nr)
		SKIP(return, "no pool on this machine");
	ASSERT_TRUE(pool_setup(&self->p, nodes[0]));
	if (access(LEAVES, R_OK))
		SKIP(return, "no " LEAVES);
	if (self->p.free_blocks < 2 * GIB / BLOCK)
		SKIP(return, "needs 2 GiB free");
	catch_faults();
}

FIXTURE_TEARDOWN_PARENT(leaves)
{
	if (self->nr)
		EXPECT_STREQ("", pool_teardown(&self->p) ?: "");
}

/* Checks with ordinary memory that the debugfs file shows entries as they are. */
TEST_F(leaves, counting_works)
{
	char *p = reserve(2 * BLOCK, BLOCK);
	struct leaves l;

	p = mmap(p + PAGE, 3 * PAGE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_TRUE(count_leaves(p, 3 * PAGE, &l));
	EXPECT_EQ(0, l.pte);
	p[0] = 1;
	p[2 * PAGE] = 1;
	ASSERT_EQ(0, mprotect(p, PAGE, PROT_READ));
	ASSERT_TRUE(count_leaves(p, 3 * PAGE, &l));
	EXPECT_EQ(2, l.pte);
	EXPECT_EQ(1, l.read_only);
	EXPECT_EQ(0, l.pmd + l.pud + l.uncached);
}

struct leaves_case {
	const char *what;
	off_t size;		/* of the file */
	off_t offset;		/* start of the mapping in the file */
	size_t displaced;	/* from a 1 GiB boundary, by MAP_FIXED; 0: the kernel chooses */
	size_t step;		/* distance between touched bytes */
	unsigned long pud;
	unsigned long pmd;
	unsigned long pte;
};

static const struct leaves_case cases[] = {
	{ "1 GiB",			GIB,			.step = GIB,	.pud = 1 },
	{ "1 GiB, touched everywhere",	GIB,			.step = BLOCK,	.pud = 1 },
	{ "1 GiB + 6 MiB",		GIB + 3 * BLOCK,	.step = BLOCK,
	  .pud = 1, .pmd = 3 },
	{ "2 MiB",			BLOCK,			.step = PAGE,	.pmd = 1 },
	{ "2 MiB + 4 KiB",		BLOCK + PAGE,		.step = PAGE,
	  .pmd = 1, .pte = 1 },
	{ "2 MiB + 1 byte",		BLOCK + 1,		.step = PAGE,
	  .pmd = 1, .pte = 1 },
	{ "4 MiB - 4 KiB",		2 * BLOCK - PAGE,	.step = PAGE,
	  .pmd = 1, .pte = 511 },
	{ "16 KiB",			4 * PAGE,		.step = PAGE,	.pte = 4 },
	{ "1.5 GiB from 512 MiB on",	2 * GIB,	GIB / 2,	.step = BLOCK,
	  .pud = 1, .pmd = 256 },
	{ "1 GiB from 2 MiB on",	GIB + BLOCK,	BLOCK,		.step = BLOCK,
	  .pmd = 512 },
	{ "1 GiB, 2 MiB off",		GIB,		0,	BLOCK,	BLOCK,	.pmd = 512 },
	{ "1 GiB from 2 MiB on, 2 MiB off",	GIB + BLOCK,	BLOCK,	BLOCK,	BLOCK,
	  .pmd = 512 },
	{ "4 MiB, 4 KiB off",		2 * BLOCK,	0,	PAGE,	PAGE,	.pte = 1024 },
	{ "4 MiB from 4 KiB on, 4 KiB off",	2 * BLOCK + PAGE,	PAGE,	PAGE,	PAGE,
	  .pmd = 1, .pte = 512 },
};

TEST_F(leaves, sizes)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct leaves_case *c = &cases[i];
		size_t len = c->size - c->offset;
		int fd = file_make(&self->p, "file", c->size);
		char *p;

		ASSERT_GE(fd, 0);
		if (c->displaced)
			p = map_at((char *)reserve(len, GIB) + c->displaced, fd, c->offset, len);
		else
			p = map_file(fd, c->offset, len);
		ASSERT_NE(MAP_FAILED, p);
		EXPECT_EQ(0, touch(p, len, c->step));
		EXPECT_LEAVES(p, len, c->pud, c->pmd, c->pte, c->what);
		munmap(p, len);
		close(fd);
		ASSERT_EQ(0, unlink(pool_path(&self->p, "file")));
	}
}

/* An address without MAP_FIXED that is not aligned is only a hint. */
TEST_F(leaves, hint)
{
	int fd = file_make(&self->p, "file", GIB);
	char *area = reserve(3 * GIB, GIB), *p;

	ASSERT_NE(MAP_FAILED, area);
	ASSERT_EQ(0, munmap(area, 3 * GIB));
	p = mmap(area + 5 * PAGE, GIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	EXPECT_EQ(area + GIB, p);
	EXPECT_EQ(0, touch(p, GIB, GIB));
	EXPECT_LEAVES(p, GIB, 1, 0, 0, "1 GiB with a hint");
	/*
	 * The same hint again: the aligned address is in use now, and the kernel has to choose
	 * another one.
	 */
	p = mmap(area + 5 * PAGE, GIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_NE(area + GIB, p);
	EXPECT_EQ(0, (uintptr_t)p % GIB);
	EXPECT_EQ(0, touch(p, GIB, GIB));
	EXPECT_LEAVES(p, GIB, 1, 0, 0, "1 GiB with a hint at what is taken");
}

TEST_F(leaves, fallocated)
{
	int fd = file_make(&self->p, "file", 0);
	char *p;

	ASSERT_EQ(0, fallocate(fd, 0, 0, GIB + BLOCK));
	p = map_file(fd, 0, GIB + BLOCK);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, peek(p + GIB / 2));
	EXPECT_EQ(0, peek(p + GIB));
	EXPECT_LEAVES(p, GIB + BLOCK, 1, 1, 0, "1 GiB + 2 MiB, allocated before, only read");
}

/* Writes to all blocks of the gigabyte but the hole. */
static int touch_around(char *p, size_t hole)
{
	return touch(p, hole, BLOCK) + touch(p + hole + BLOCK, GIB - hole - BLOCK, BLOCK);
}

/* A gigabyte with a hole loses its 1 GiB entry until the hole is filled. */
TEST_F(leaves, punched)
{
	int fd = file_make(&self->p, "file", GIB), i;
	char *p = map_file(fd, 0, GIB);
	size_t hole = 100 * BLOCK;

	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, touch(p, GIB, GIB));
	EXPECT_LEAVES(p, GIB, 1, 0, 0, "1 GiB before the hole");
	/* One round fills the hole by a fault, the other one by fallocate(). */
	for (i = 0; i < 2; i++) {
		p[GIB - 1] = i + 2;
		ASSERT_EQ(0, fallocate(fd, PUNCH, hole, BLOCK));
		EXPECT_LEAVES(p + hole, BLOCK, 0, 0, 0, "the hole");
		EXPECT_EQ(0, touch_around(p, hole));
		EXPECT_LEAVES(p, GIB, 0, 511, 0, "1 GiB around the hole");
		if (i)
			ASSERT_EQ(0, fallocate(fd, 0, hole, BLOCK));
		EXPECT_EQ(0, peek(p + hole));
		EXPECT_LEAVES(p, GIB, 1, 0, 0, "1 GiB with the hole filled");
		EXPECT_EQ(1, peek(p + hole - BLOCK));
		EXPECT_EQ(i + 2, peek(p + GIB - 1));
	}
	/* After all blocks were punched, the next fault makes a 1 GiB entry again. */
	ASSERT_EQ(0, fallocate(fd, PUNCH, hole, BLOCK));
	EXPECT_EQ(0, touch_around(p, hole));
	ASSERT_EQ(0, fallocate(fd, PUNCH, 0, GIB));
	EXPECT_EQ(0, file_sectors(fd));
	EXPECT_EQ(0, poke(p + hole, 1));
	EXPECT_LEAVES(p, GIB, 1, 0, 0, "1 GiB that was a hole");
	EXPECT_EQ(GIB / 512, file_sectors(fd));
}

/* A file is truncated in the middle of a mapped gigabyte. */
TEST_F(leaves, truncated)
{
	int fd = file_make(&self->p, "file", GIB);
	char *p = map_file(fd, 0, GIB);
	size_t size = 4 * BLOCK + 3 * PAGE;

	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, touch(p, GIB, GIB));
	ASSERT_EQ(0, ftruncate(fd, size));
	EXPECT_LEAVES(p + size, GIB - size, 0, 0, 0, "behind the end");
	EXPECT_EQ(0, touch(p, 4 * BLOCK, BLOCK));
	EXPECT_EQ(0, touch(p + 4 * BLOCK, 3 * PAGE, PAGE));
	EXPECT_LEAVES(p, GIB, 0, 4, 3, "8 MiB + 12 KiB left");
	ASSERT_EQ(0, ftruncate(fd, GIB));
	EXPECT_EQ(0, poke(p + size, 1));
	EXPECT_LEAVES(p, GIB, 0, 5, 0, "with the rest of the fifth block");
	EXPECT_EQ(0, touch(p + 5 * BLOCK, GIB - 6 * BLOCK, BLOCK));
	EXPECT_LEAVES(p, GIB, 0, 511, 0, "all blocks but the last");
	EXPECT_EQ(0, touch(p + GIB - BLOCK, BLOCK, BLOCK));
	EXPECT_LEAVES(p, GIB, 1, 0, 0, "as large as before");
	EXPECT_EQ(GIB / 512, file_sectors(fd));
}

/* If a 1 GiB entry does not fit a mapping, that mapping keeps its small entries. */
TEST_F(leaves, two_mappings)
{
	int fd = file_make(&self->p, "file", GIB);
	char *p = map_file(fd, 0, GIB), *q = (char *)reserve(GIB, GIB) + BLOCK;
	size_t hole = 100 * BLOCK;

	ASSERT_NE(MAP_FAILED, p);
	q = map_at(q, fd, 0, GIB);
	ASSERT_NE(MAP_FAILED, q);
	ASSERT_EQ(0, fallocate(fd, 0, 0, GIB));
	ASSERT_EQ(0, fallocate(fd, PUNCH, hole, BLOCK));
	EXPECT_EQ(0, touch_around(p, hole));
	EXPECT_EQ(0, touch_around(q, hole));
	EXPECT_EQ(0, poke(q + hole, 7));
	EXPECT_LEAVES(q, GIB, 0, 512, 0, "1 GiB, 2 MiB off, with the hole filled");
	EXPECT_LEAVES(p, GIB, 0, 511, 0, "1 GiB before it is touched there");
	EXPECT_EQ(7, peek(p + hole));
	EXPECT_LEAVES(p, GIB, 1, 0, 0, "1 GiB with the hole filled");
	EXPECT_LEAVES(q, GIB, 0, 512, 0, "1 GiB, 2 MiB off, as before");
	EXPECT_EQ(0, poke(q + GIB - 1, 8));
	EXPECT_EQ(8, peek(p + GIB - 1));
	/*
	 * Each mapping has its own page tables, so removing one mapping does not change the other.
	 */
	munmap(p, GIB);
	EXPECT_EQ(7, peek(q + hole));
	EXPECT_LEAVES(q, GIB, 0, 512, 0, "when the other one is gone");
}

/* A gigabyte of which parts have different protection. */
TEST_F(leaves, split_by_mprotect)
{
	int fd = file_make(&self->p, "file", GIB);
	char *p = map_file(fd, 0, GIB);
	struct leaves l;

	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, touch(p, GIB, GIB));
	ASSERT_EQ(0, mprotect(p + 7 * BLOCK + PAGE, PAGE, PROT_READ));
	EXPECT_EQ(0, touch(p, 7 * BLOCK, BLOCK));
	EXPECT_EQ(0, touch(p + 8 * BLOCK, GIB - 8 * BLOCK, BLOCK));
	EXPECT_EQ(1, touch(p + 7 * BLOCK, BLOCK, PAGE));
	EXPECT_EQ(1, peek(p + 7 * BLOCK + 2 * PAGE));
	EXPECT_EQ(0, peek(p + 7 * BLOCK + PAGE));
	EXPECT_LEAVES(p, GIB, 0, 511, 512, "1 GiB with one page read-only");
	ASSERT_TRUE(count_leaves(p, GIB, &l));
	EXPECT_EQ(1, l.read_only);
}

struct cut_case {
	size_t from;
	size_t len;
};

static const struct cut_case cut_cases[] = {
	{ 0,			PAGE },
	{ BLOCK,		PAGE },
	{ BLOCK + PAGE,		PAGE },
	{ 4 * BLOCK,		BLOCK },
	{ 4 * BLOCK - PAGE,	BLOCK + 2 * PAGE },
	{ GIB - PAGE,		PAGE },
	{ GIB / 2,		GIB / 2 },
};

/* Removes a part of a mapped gigabyte: the rest stays mapped, with its contents. */
TEST_F(leaves, cut)
{
	int fd = file_make(&self->p, "file", GIB), i;
	char *p;

	ASSERT_GE(fd, 0);
	for (i = 0; i < 2 * ARRAY_SIZE(cut_cases); i++) {
		const struct cut_case *c = &cut_cases[i / 2];
		size_t before = c->from - 1, after = c->from + c->len;

		p = map_file(fd, 0, GIB);
		ASSERT_NE(MAP_FAILED, p);
		ASSERT_EQ(0, touch(p, GIB, GIB));
		if (c->from)
			p[before] = i;
		if (after < GIB)
			p[after] = i + 1;
		EXPECT_LEAVES(p, GIB, 1, 0, 0, "1 GiB before the cut");
		/*
		 * Rounds take turns: one unmaps the part, the other one maps something else over
		 * it.
		 */
		if (i % 2) {
			ASSERT_EQ(0, munmap(p + c->from, c->len));
			EXPECT_EQ(FAULT(SIGSEGV), peek(p + c->from));
			EXPECT_EQ(FAULT(SIGSEGV), poke(p + c->from + c->len - 1, 1));
		} else {
			char *q = mmap(p + c->from, c->len, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

			ASSERT_EQ(p + c->from, q);
			EXPECT_EQ(0, peek(q));
			EXPECT_EQ(0, poke(q, 0x55));
		}
		if (c->from)
			EXPECT_EQ(i, peek(p + before));
		if (after < GIB)
			EXPECT_EQ(i + 1, peek(p + after));
		munmap(p, GIB);
	}
	EXPECT_EQ(GIB / 512, file_sectors(fd));
}

struct move_case {
	const char *what;
	size_t displaced;
	size_t from;
	size_t len;
	unsigned long pud;	/* before any access there */
	unsigned long pmd;	/* after an access to the first and the last byte */
	unsigned long pte;
};

static const struct move_case move_cases[] = {
	{ "1 GiB moved by gigabytes",		.len = GIB,	.pud = 1 },
	{ "1 GiB moved by 2 MiB more",		BLOCK,	.len = GIB,	.pmd = 2 },
	{ "1 GiB moved by 4 KiB more",		PAGE,	.len = GIB,	.pte = 2 },
	{ "512 MiB of 1 GiB moved",		.len = GIB / 2,	.pmd = 2 },
	{ "8 MiB in 1 GiB moved",		.from = 4 * BLOCK, .len = 4 * BLOCK, .pmd = 2 },
	{ "12 KiB in 1 GiB moved",		.from = BLOCK + PAGE, .len = 3 * PAGE, .pte = 2 },
};

TEST_F(leaves, moved)
{
	int fd = file_make(&self->p, "file", GIB), i;
	char *p, *q;

	ASSERT_GE(fd, 0);
	for (i = 0; i < ARRAY_SIZE(move_cases); i++) {
		const struct move_case *c = &move_cases[i];

		p = map_file(fd, 0, GIB);
		q = (char *)reserve(GIB, GIB) + c->displaced;
		ASSERT_NE(MAP_FAILED, p);
		p[c->from] = i;
		p[c->from + c->len - 1] = i + 1;
		p[0] = 0x33;
		p[c->from] = i;
		EXPECT_LEAVES(p, GIB, 1, 0, 0, "1 GiB before the move");
		ASSERT_EQ(q, mremap(p + c->from, c->len, c->len, MREMAP_MAYMOVE | MREMAP_FIXED, q));
		EXPECT_LEAVES(q, c->len, c->pud, 0, 0, c->what);
		EXPECT_EQ(i, peek(q));
		EXPECT_EQ(i + 1, peek(q + c->len - 1));
		EXPECT_LEAVES(q, c->len, c->pud, c->pmd, c->pte, c->what);
		EXPECT_EQ(FAULT(SIGSEGV), peek(p + c->from));
		EXPECT_EQ(FAULT(SIGSEGV), peek(p + c->from + c->len - 1));
		if (c->from)
			EXPECT_EQ(0x33, peek(p));
		munmap(p, GIB);
		munmap(q, c->len);
	}
}

TEST_F(leaves, no_huge_pages_wanted)
{
	int fd = file_make(&self->p, "file", 2 * BLOCK);
	char *p = map_file(fd, 0, 2 * BLOCK);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, madvise(p, BLOCK, MADV_NOHUGEPAGE));
	EXPECT_EQ(0, touch(p, 2 * BLOCK, PAGE));
	EXPECT_LEAVES(p, 2 * BLOCK, 0, 1, 512, "4 MiB, MADV_NOHUGEPAGE for half of it");
	munmap(p, 2 * BLOCK);
	/* MADV_HUGEPAGE allows large entries again. */
	p = map_file(fd, 0, 2 * BLOCK);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, madvise(p, 2 * BLOCK, MADV_NOHUGEPAGE));
	EXPECT_EQ(0, touch(p, BLOCK, 2 * PAGE));
	EXPECT_LEAVES(p, 2 * BLOCK, 0, 0, 256, "4 MiB, MADV_NOHUGEPAGE");
	ASSERT_EQ(0, madvise(p, 2 * BLOCK, MADV_HUGEPAGE));
	EXPECT_EQ(0, touch(p, BLOCK, 2 * PAGE));
	EXPECT_LEAVES(p, 2 * BLOCK, 0, 0, 256, "4 MiB, MADV_HUGEPAGE, before a fault");
	EXPECT_EQ(0, touch(p + PAGE, 1, PAGE));
	EXPECT_LEAVES(p, 2 * BLOCK, 0, 1, 0, "4 MiB, MADV_HUGEPAGE, after a fault");
	munmap(p, 2 * BLOCK);
	ASSERT_EQ(0, prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
	p = map_file(fd, 0, 2 * BLOCK);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, touch(p, 2 * BLOCK, PAGE));
	EXPECT_LEAVES(p, 2 * BLOCK, 0, 0, 1024, "4 MiB, PR_SET_THP_DISABLE");
}

TEST_HARNESS_MAIN
