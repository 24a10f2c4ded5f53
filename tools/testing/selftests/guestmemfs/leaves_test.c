// SPDX-License-Identifier: GPL-2.0-only
/*
 * How large the page table entries of mappings are, and that they are
 * write-back. Counted in the page tables themselves, as debugfs shows those
 * of the process that reads it, not inferred from anything else.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/prctl.h>

#include "kselftest_harness.h"
#include "util.h"

#define PUNCH	(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define TABLES	"/sys/kernel/debug/page_tables/current_kernel"

/**
 * struct leaves - page table entries of a mapping that lead to memory
 * @pud: of 1 GiB
 * @pmd: of 2 MiB
 * @pte: of 4 KiB
 * @uncached: those of them that are not plain write-back
 * @read_only: those of them that are not writable
 */
struct leaves {
	unsigned long pud;
	unsigned long pmd;
	unsigned long pte;
	unsigned long uncached;
	unsigned long read_only;
};

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
	if (access(TABLES, R_OK))
		SKIP(return, "no " TABLES);
	if (self->p.free_blocks < 2 * GIB / BLOCK)
		SKIP(return, "needs 2 GiB free");
	catch_faults();
}

FIXTURE_TEARDOWN_PARENT(leaves)
{
	if (self->nr)
		EXPECT_STREQ("", pool_teardown(&self->p) ?: "");
}

static void count_line(const char *line, unsigned long bytes, struct leaves *l)
{
	unsigned long nr;

	if (strstr(line, " pud\n"))
		l->pud += nr = bytes / GIB;
	else if (strstr(line, " pmd\n"))
		l->pmd += nr = bytes / BLOCK;
	else
		l->pte += nr = bytes / PAGE;
	if (strstr(line, "PWT ") || strstr(line, "PCD ") || strstr(line, "PAT "))
		l->uncached += nr;
	if (strstr(line, " ro "))
		l->read_only += nr;
}

/* The kernel prints neighbours that are alike in one line. */
static bool count_leaves(const void *p, size_t len, struct leaves *l)
{
	unsigned long from = (uintptr_t)p, to = (from + len + PAGE - 1) & ~(PAGE - 1), start, end;
	FILE *tables = fopen(TABLES, "r");
	char line[256];

	memset(l, 0, sizeof(*l));
	if (!tables)
		return false;
	while (fgets(line, sizeof(line), tables)) {
		if (sscanf(line, "0x%lx-0x%lx", &start, &end) != 2 || !strstr(line, " USR "))
			continue;
		start = start > from ? start : from;
		end = end < to ? end : to;
		if (start < end)
			count_line(line, end - start, l);
	}
	fclose(tables);
	return true;
}

#define EXPECT_LEAVES(p, len, puds, pmds, ptes, what) do {				\
	struct leaves _l;								\
											\
	EXPECT_TRUE(count_leaves(p, len, &_l));						\
	printf("# leaves: %s: %lu of 1 GiB, %lu of 2 MiB, %lu of 4 KiB, %lu not write-back\n",	\
	       what, _l.pud, _l.pmd, _l.pte, _l.uncached);				\
	EXPECT_EQ(puds, _l.pud);							\
	EXPECT_EQ(pmds, _l.pmd);							\
	EXPECT_EQ(ptes, _l.pte);							\
	EXPECT_EQ(0, _l.uncached);							\
} while (0)

/* One access in each step brings all entries that are large enough. */
static int touch(void *p, size_t len, size_t step)
{
	size_t i;
	int bad = 0;

	for (i = 0; i < len; i += step)
		bad += poke((char *)p + i, 1) != 0;
	return bad;
}

/* The page tables really show memory as it is: ordinary memory as a check. */
TEST_F_TIMEOUT(leaves, counting_works, 300)
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
	off_t offset;		/* where the mapping starts */
	size_t displaced;	/* from a 1 GiB boundary, by MAP_FIXED; 0: the kernel chooses */
	size_t step;		/* from one touched byte to the next */
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

TEST_F_TIMEOUT(leaves, sizes, 300)
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

/* An address that is asked for, and is not aligned, is a wish. */
TEST_F_TIMEOUT(leaves, hint, 300)
{
	int fd = file_make(&self->p, "file", GIB);
	char *area = reserve(3 * GIB, GIB), *p;

	ASSERT_NE(MAP_FAILED, area);
	ASSERT_EQ(0, munmap(area, 3 * GIB));
	p = mmap(area + 5 * PAGE, GIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	EXPECT_EQ(area + GIB, p);
	EXPECT_EQ(0, touch(p, GIB, GIB));
	EXPECT_LEAVES(p, GIB, 1, 0, 0, "1 GiB with a hint");
	/* The same wish again, where there is no room any more. */
	p = mmap(area + 5 * PAGE, GIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_NE(area + GIB, p);
	EXPECT_EQ(0, (uintptr_t)p % GIB);
	EXPECT_EQ(0, touch(p, GIB, GIB));
	EXPECT_LEAVES(p, GIB, 1, 0, 0, "1 GiB with a hint at what is taken");
}

TEST_F_TIMEOUT(leaves, fallocated, 300)
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

/* A hole in a gigabyte costs it its entry, until it is filled again. */
TEST_F_TIMEOUT(leaves, punched, 300)
{
	int fd = file_make(&self->p, "file", GIB);
	char *p = map_file(fd, 0, GIB);
	size_t hole = 100 * BLOCK;

	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, touch(p, GIB, GIB));
	EXPECT_LEAVES(p, GIB, 1, 0, 0, "1 GiB before the hole");
	ASSERT_EQ(0, fallocate(fd, PUNCH, hole, BLOCK));
	EXPECT_LEAVES(p + hole, BLOCK, 0, 0, 0, "the hole");
	EXPECT_EQ(0, touch(p, hole, BLOCK));
	EXPECT_EQ(0, touch(p + hole + BLOCK, GIB - hole - BLOCK, BLOCK));
	EXPECT_LEAVES(p, GIB, 0, 511, 0, "1 GiB around the hole");
	EXPECT_EQ(0, touch(p + hole, BLOCK, BLOCK));
	EXPECT_LEAVES(p, GIB, 0, 512, 0, "1 GiB with the hole filled");
	munmap(p, GIB);
	p = map_file(fd, 0, GIB);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, touch(p, GIB, GIB));
	EXPECT_LEAVES(p, GIB, 1, 0, 0, "1 GiB mapped again");
}

/* The end of the file in the middle of a mapped gigabyte. */
TEST_F_TIMEOUT(leaves, truncated, 300)
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
}

/* A gigabyte whose protection differs in places. */
TEST_F_TIMEOUT(leaves, split_by_mprotect, 300)
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

/* Cuts out of a mapped gigabyte: the rest stays mapped, with what is in it. */
TEST_F_TIMEOUT(leaves, cut, 300)
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
		/* By unmapping, and by mapping something else over it. */
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
	unsigned long pud;	/* before anything is touched there */
	unsigned long pmd;	/* after the first and the last byte have been */
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

TEST_F_TIMEOUT(leaves, moved, 300)
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

TEST_F_TIMEOUT(leaves, no_huge_pages_wanted, 300)
{
	int fd = file_make(&self->p, "file", 2 * BLOCK);
	char *p = map_file(fd, 0, 2 * BLOCK);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, madvise(p, BLOCK, MADV_NOHUGEPAGE));
	EXPECT_EQ(0, touch(p, 2 * BLOCK, PAGE));
	EXPECT_LEAVES(p, 2 * BLOCK, 0, 1, 512, "4 MiB, MADV_NOHUGEPAGE for half of it");
	munmap(p, 2 * BLOCK);
	ASSERT_EQ(0, prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
	p = map_file(fd, 0, 2 * BLOCK);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, touch(p, 2 * BLOCK, PAGE));
	EXPECT_LEAVES(p, 2 * BLOCK, 0, 0, 1024, "4 MiB, PR_SET_THP_DISABLE");
}

TEST_HARNESS_MAIN
