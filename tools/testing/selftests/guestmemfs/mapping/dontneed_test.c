// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ways in which VMMs give a guest's memory back: a hole in the file, and MADV_DONTNEED on the
 * mapping.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "fixture.h"
#include "leaves.h"
#include "looks.h"

#define PUNCH	(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define SIZE	(GIB + 3 * BLOCK + 4 * PAGE)

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED	24
#endif

/* QEMU does both for virtio-mem, for a balloon, for free page reporting, and before a post-copy. */
TEST_F(in_pool, two_steps)
{
	int fd = file_make(&self->p, "file", 4 * BLOCK);
	unsigned char *p = map_file(fd, 0, 4 * BLOCK);

	ASSERT_NE(MAP_FAILED, p);
	fill(p, 4 * BLOCK, 1);
	ASSERT_EQ(0, fallocate(fd, PUNCH, BLOCK, 2 * BLOCK));
	EXPECT_EQ(0, ERR(madvise(p + BLOCK, 2 * BLOCK, MADV_DONTNEED)));
	EXPECT_EQ(2 * BLOCK_SECTORS, file_sectors(fd));
	EXPECT_EQ(self->p.free_blocks - 2, pool_free_blocks(&self->p));
	EXPECT_TRUE(is_filled(p, BLOCK, 1));
	/* A hole of one page, as a balloon makes it. */
	ASSERT_EQ(0, fallocate(fd, PUNCH, PAGE, PAGE));
	EXPECT_EQ(0, ERR(madvise(p + PAGE, PAGE, MADV_DONTNEED)));
	EXPECT_TRUE(is_filled(p, PAGE, 1));
	EXPECT_TRUE(is_zero(p + PAGE, PAGE));
	EXPECT_NE(0, peek(p + 2 * PAGE));
	/* The guest uses the memory again. */
	EXPECT_EQ(0, poke(p + BLOCK, 1));
	EXPECT_TRUE(is_zero(p + 2 * BLOCK, BLOCK));
	EXPECT_EQ(4 * BLOCK_SECTORS, file_sectors(fd));
	EXPECT_EQ(self->p.free_blocks - 4, pool_free_blocks(&self->p));
}

struct range_case {
	const char *what;
	size_t from;
	size_t len;
	unsigned long pud;	/* entries that are left */
	unsigned long pmd;
	unsigned long pte;
};

/* The mapping has entries for a gigabyte, for three blocks and for four pages. */
static const struct range_case range_cases[] = {
	{ "all of it",			0,		SIZE,		0, 0, 0 },
	{ "the first gigabyte",		0,		GIB,		0, 3, 4 },
	{ "a page of a gigabyte",	7 * BLOCK,	PAGE,		1, 3, 4 },
	{ "its first page",		0,		PAGE,		1, 3, 4 },
	{ "its last page",		GIB - PAGE,	PAGE,		1, 3, 4 },
	{ "a block of a gigabyte",	BLOCK,		BLOCK,		1, 3, 4 },
	{ "all but its first page",	PAGE,		GIB - PAGE,	1, 3, 4 },
	{ "all but its last page",	0,		GIB - PAGE,	1, 3, 4 },
	{ "a gigabyte and a page",	0,		GIB + PAGE,	0, 3, 4 },
	{ "a page and a block",		GIB - PAGE,	PAGE + BLOCK,	1, 2, 4 },
	{ "parts of four",		GIB - PAGE,	3 * BLOCK,	1, 1, 4 },
	{ "a page of a block",		GIB + 5 * PAGE,	PAGE,		1, 3, 4 },
	{ "two blocks",			GIB + BLOCK,	2 * BLOCK,	1, 1, 4 },
	{ "two pages",			GIB + 3 * BLOCK + PAGE, 2 * PAGE,	1, 3, 2 },
	{ "half a block and a page",	GIB + 2 * BLOCK + BLOCK / 2, BLOCK / 2 + PAGE,	1, 3, 3 },
};

static int dontneed_locked(char *p, size_t len)
{
	return ERR(madvise(p, len, MADV_DONTNEED_LOCKED));
}

static int dontneed(char *p, size_t len)
{
	return ERR(madvise(p, len, MADV_DONTNEED));
}

static int dontneed_by_pidfd(char *p, size_t len)
{
	struct iovec range = { p, len };
	int self = syscall(SYS_pidfd_open, getpid(), 0), err;
	ssize_t done = syscall(SYS_process_madvise, self, &range, 1, MADV_DONTNEED, 0);

	err = done < 0 ? errno : done != len;
	close(self);
	return err;
}

static int (*const ways[])(char *p, size_t len) = { dontneed, dontneed_locked, dontneed_by_pidfd };

/*
 * MADV_DONTNEED removes the entries that are wholly in the range and keeps all others. The bytes of
 * the file do not change.
 */
TEST_F(in_pool, entries)
{
	int fd = file_make(&self->p, "file", SIZE), i;
	char *p = map_file(fd, 0, SIZE);
	size_t at;

	if (access(LEAVES, R_OK))
		SKIP(return, "no " LEAVES);
	if (self->p.free_blocks < SIZE / BLOCK + 1)
		SKIP(return, "needs 1 GiB free");
	ASSERT_NE(MAP_FAILED, p);
	for (i = 0; i < ARRAY_SIZE(range_cases); i++) {
		const struct range_case *c = &range_cases[i];
		long puds;

		for (at = 0; at < SIZE; at += PAGE)
			p[at] = at / PAGE % 251;
		EXPECT_LEAVES(p, SIZE, 1, 3, 4, "everything");
		puds = vm_event("thp_split_pud");
		EXPECT_EQ(0, ways[i % ARRAY_SIZE(ways)](p + c->from, c->len));
		EXPECT_EQ(puds, vm_event("thp_split_pud"))
			TH_LOG("%s", c->what);
		EXPECT_LEAVES(p, SIZE, c->pud, c->pmd, c->pte, c->what);
		for (at = c->from; at < c->from + c->len; at += PAGE)
			if ((unsigned char)p[at] != at / PAGE % 251)
				break;
		EXPECT_EQ(c->from + c->len, at);
	}
	EXPECT_EQ(SIZE / BLOCK + 1, file_sectors(fd) / BLOCK_SECTORS);
}

/* Guest memory is never counted as locked, so MADV_DONTNEED also works on a locked mapping. */
TEST_F(in_pool, locked)
{
	int fd = file_make(&self->p, "file", 2 * BLOCK);
	char *p = map_file(fd, 0, 2 * BLOCK);
	char *host = mmap(NULL, BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, mlock(host, BLOCK));
	EXPECT_EQ(EINVAL, dontneed(host, BLOCK));
	ASSERT_EQ(0, mlock(p, 2 * BLOCK));
	EXPECT_EQ(0, dontneed(p, 2 * BLOCK));
	EXPECT_EQ(0, dontneed_locked(p, 2 * BLOCK));
	EXPECT_EQ(2 * BLOCK_SECTORS, file_sectors(fd));
	/* MADV_FREE is for memory without a file. */
	EXPECT_EQ(EINVAL, ERR(madvise(p, 2 * BLOCK, MADV_FREE)));
}

/* Another mapping of page frames, which is not VM_REFAULT; NULL if the machine has none. */
static char *find_vvar(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[256], *found = NULL;

	while (maps && !found && fgets(line, sizeof(line), maps))
		if (strstr(line, "[vvar_vclock]"))
			found = (char *)strtoul(line, NULL, 16);
	if (maps)
		fclose(maps);
	return found;
}

TEST(without_populate)
{
	char *vvar = find_vvar();
	int err;

	if (!vvar)
		SKIP(return, "no [vvar_vclock]");
	err = dontneed(vvar, PAGE);
	/* Some kernels seal the vvar mapping. */
	EXPECT_TRUE(err == EINVAL || err == EPERM);
	EXPECT_EQ(err, dontneed_locked(vvar, PAGE));
}

TEST_HARNESS_MAIN
