// SPDX-License-Identifier: GPL-2.0-only
/*
 * Holes and zeroed ranges smaller than a block: no block is freed, and only whole pages of a hole
 * are unmapped. The bytes are zero, and adjacent bytes do not change. punch_test has what becomes
 * of the pages.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "fixture.h"
#include "leaves.h"

#define PUNCH	(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define ZERO	(FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE)

/* Returns how often the kernel has split an entry of 1 GiB, -1 if /proc/vmstat does not say. */
static long splits(void)
{
	FILE *f = fopen("/proc/vmstat", "r");
	char name[64];
	long value, found = -1;

	while (f && fscanf(f, "%63s %ld", name, &value) == 2)
		if (!strcmp(name, "thp_split_pud"))
			found = value;
	if (f)
		fclose(f);
	return found;
}

/* Maps a gigabyte by one entry, with a pattern in the blocks that are checked later. */
static char *map_gigabyte(const struct pool *p, int *fd)
{
	char *at;

	*fd = file_make(p, "file", GIB);
	at = map_file(*fd, 0, GIB);
	if (at != MAP_FAILED)
		memset(at, 0x55, 4 * BLOCK);
	return at;
}

/*
 * A balloon frees single pages in this way. The first one costs the entry of 1 GiB, and each
 * further one an entry of 4 KiB or 2 MiB. When all pages are used again, the large entry is back.
 */
TEST_F(in_pool, pages_of_a_gigabyte)
{
	long before = splits();
	int fd, i;
	char *p;

	if (self->p.free_blocks < GIB / BLOCK)
		SKIP(return, "needs 1 GiB free");
	p = map_gigabyte(&self->p, &fd);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_LE(0, before);
	for (i = 0; i < 1000; i++) {
		ASSERT_EQ(0, fallocate(fd, PUNCH, i * 2 * PAGE, PAGE));
		EXPECT_EQ(0, peek(p + GIB / 2));
	}
	printf("# 1000 holes of 4 KiB: %ld entries of 1 GiB taken out\n", splits() - before);
	EXPECT_EQ(before + 1, splits());
	EXPECT_EQ(GIB / 512, file_sectors(fd));
	EXPECT_LEAVES(p, GIB, 0, 1, 0, "after 1000 holes of 4 KiB");
	look(p + 4 * BLOCK, GIB - 4 * BLOCK, BLOCK);
	EXPECT_LEAVES(p, GIB, 0, GIB / BLOCK - 4, 0, "blocks without holes");
	for (i = 0; i < 1000; i++) {
		EXPECT_TRUE(is_zero(p + i * 2 * PAGE, PAGE));
		EXPECT_EQ(0x55, peek(p + i * 2 * PAGE + PAGE));
		EXPECT_EQ(0x55, peek(p + i * 2 * PAGE + 2 * PAGE - 1));
	}
	EXPECT_EQ(0x55, peek(p + 2000 * PAGE));
	EXPECT_LEAVES(p, GIB, 1, 0, 0, "all pages are used again");
}

/**
 * struct part - a hole or a zeroed range in a gigabyte
 * @from: first byte
 * @to: byte after the last one
 * @mode: mode of fallocate()
 * @unmaps: a whole page is punched, or a whole block zeroed, so the entry is removed
 */
struct part {
	size_t from;
	size_t to;
	int mode;
	bool unmaps;
};

static const struct part parts[] = {
	{ PAGE + 1,		PAGE + 2,		PUNCH },
	{ PAGE - 1,		PAGE + 1,		ZERO },
	{ BLOCK - 1,		BLOCK + 1,		PUNCH },
	{ BLOCK - PAGE,		BLOCK + PAGE,		ZERO },
	{ 1,			2 * BLOCK - 1,		PUNCH,	true },
	{ PAGE + 1,		3 * PAGE - 1,		PUNCH },
	{ PAGE,			BLOCK,			ZERO },
	{ BLOCK,		2 * BLOCK - PAGE,	PUNCH,	true },
	{ BLOCK - PAGE,		2 * BLOCK + PAGE,	PUNCH,	true },
	{ BLOCK - PAGE,		2 * BLOCK + PAGE,	ZERO,	true },
};

TEST_F(in_pool, parts)
{
	int fd, i;
	char *p;

	if (self->p.free_blocks < GIB / BLOCK)
		SKIP(return, "needs 1 GiB free");
	p = map_gigabyte(&self->p, &fd);
	ASSERT_NE(MAP_FAILED, p);
	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		const struct part *c = &parts[i];
		long before;

		memset(p, 0x55, 4 * BLOCK);
		EXPECT_LEAVES(p, GIB, 1, 0, 0, "before");
		before = splits();
		ASSERT_EQ(0, fallocate(fd, c->mode, c->from, c->to - c->from));
		EXPECT_EQ(before + c->unmaps, splits())
			TH_LOG("part %d", i);
		EXPECT_TRUE(is_zero(p + c->from, c->to - c->from));
		EXPECT_EQ(0x55, peek(p + c->from - 1));
		EXPECT_EQ(0x55, peek(p + c->to));
	}
}

TEST_HARNESS_MAIN
