// SPDX-License-Identifier: GPL-2.0-only
/*
 * The space of files of guestmemfs: sizes, allocation, holes, a full pool, and that old contents of
 * a block are never visible.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "harness.h"
#include "util.h"

#define PUNCH	(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
/* Files end at 2^32 blocks. */
#define LIMIT	((off_t)BLOCK << 32)

FIXTURE(space)
{
	int nr;
	struct pool p;
};

/* Uses the smallest pool, because some tests fill it. */
FIXTURE_SETUP(space)
{
	int nodes[MAX_POOLS], i;
	struct pool p;

	self->nr = pool_nodes(nodes);
	if (!self->nr)
		SKIP(return, "no pool on this machine");
	for (i = 0; i < self->nr; i++) {
		ASSERT_TRUE(pool_setup(&p, nodes[i]));
		if (i && p.free_blocks >= self->p.free_blocks) {
			pool_teardown(&p);
			continue;
		}
		if (i)
			pool_teardown(&self->p);
		self->p = p;
	}
	catch_faults();
}

FIXTURE_TEARDOWN_PARENT(space)
{
	if (self->nr)
		EXPECT_STREQ("", pool_teardown(&self->p) ?: "");
}

static off_t size_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? -1 : st.st_size;
}

TEST_F(space, sizes)
{
	static const off_t sizes[] = {
		1, 2, 511, PAGE - 1, PAGE, PAGE + 1, BLOCK - 1, BLOCK, BLOCK + 1, 0, 12345678,
		GIB - 1, GIB + 1, LIMIT - 1, LIMIT, 7, 0,
	};
	int fd = file_make(&self->p, "file", 0), i;

	ASSERT_GE(fd, 0);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		EXPECT_EQ(0, ftruncate(fd, sizes[i]));
		EXPECT_EQ(sizes[i], size_of(fd));
		EXPECT_EQ(0, file_sectors(fd));
	}
	EXPECT_EQ(EINVAL, ERR(ftruncate(fd, -1)));
	EXPECT_EQ(EINVAL, ERR(ftruncate(fd, INT64_MIN)));
	EXPECT_EQ(EFBIG, ERR(ftruncate(fd, LIMIT + 1)));
	EXPECT_EQ(EFBIG, ERR(ftruncate(fd, INT64_MAX)));
	EXPECT_EQ(0, size_of(fd));
	close(fd);
	fd = open(pool_path(&self->p, "file"), O_RDONLY);
	EXPECT_EQ(EINVAL, ERR(ftruncate(fd, 0)));
	EXPECT_EQ(EBADF, ERR(fallocate(fd, 0, 0, BLOCK)));
	EXPECT_EQ(EISDIR, ERR(truncate(self->p.dir, 0)));
	close(fd);
}

struct falloc_case {
	int mode;
	off_t offset;
	off_t len;
	int err;
	off_t size;		/* after the call, for a file of 3 blocks */
	unsigned int blocks;
};

static const struct falloc_case falloc_cases[] = {
	{ 0,				0,		1,		0,	3 * BLOCK,	1 },
	{ 0,				BLOCK - 1,	2,		0,	3 * BLOCK,	2 },
	{ 0,				BLOCK,		BLOCK,		0,	3 * BLOCK,	1 },
	{ 0,				0,		3 * BLOCK,	0,	3 * BLOCK,	3 },
	{ 0,				3 * BLOCK,	1,		0,	3 * BLOCK + 1,	1 },
	{ 0,				5 * BLOCK - 1,	1,		0,	5 * BLOCK,	1 },
	{ FALLOC_FL_KEEP_SIZE,		0,		4 * BLOCK,	0,	3 * BLOCK,	4 },
	{ FALLOC_FL_KEEP_SIZE,		9 * BLOCK,	1,		0,	3 * BLOCK,	1 },
	{ FALLOC_FL_KEEP_SIZE,		LIMIT - 1,	1,		0,	3 * BLOCK,	1 },
	{ 0,				LIMIT - 1,	1,		0,	LIMIT,		1 },
	{ 0,				LIMIT,		1,		EFBIG },
	{ FALLOC_FL_KEEP_SIZE,		LIMIT,		1,		EFBIG },
	{ 0,				LIMIT - 1,	2,		EFBIG },
	{ 0,				0,		0,		EINVAL },
	{ 0,				-1,		2,		EINVAL },
	{ 0,				0,		-1,		EINVAL },
	{ 0,				INT64_MAX,	1,		EFBIG },
	{ 0,				1,		INT64_MAX,	EFBIG },
	{ 0,				0,		LIMIT,		ENOSPC },
	{ FALLOC_FL_KEEP_SIZE,		0,		LIMIT,		ENOSPC },
	{ FALLOC_FL_PUNCH_HOLE,		0,		BLOCK,		EOPNOTSUPP },
	{ FALLOC_FL_COLLAPSE_RANGE,	0,		BLOCK,		EOPNOTSUPP },
	{ FALLOC_FL_INSERT_RANGE,	0,		BLOCK,		EOPNOTSUPP },
	{ FALLOC_FL_UNSHARE_RANGE,	0,		BLOCK,		EOPNOTSUPP },
	{ 1 << 30,			0,		BLOCK,		EOPNOTSUPP },
	{ PUNCH,			0,		BLOCK,		0,	3 * BLOCK,	0 },
	{ PUNCH,			9 * BLOCK,	BLOCK,		0,	3 * BLOCK,	0 },
	{ PUNCH,			0,		LIMIT,		0,	3 * BLOCK,	0 },
	{ PUNCH,			LIMIT - 1,	1,		0,	3 * BLOCK,	0 },
};

TEST_F(space, fallocate)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(falloc_cases); i++) {
		const struct falloc_case *c = &falloc_cases[i];
		int fd = file_make(&self->p, "file", 3 * BLOCK);

		ASSERT_GE(fd, 0);
		EXPECT_EQ(c->err, ERR(fallocate(fd, c->mode, c->offset, c->len)))
			TH_LOG("case %d", i);
		EXPECT_EQ(c->err ? 3 * BLOCK : c->size, size_of(fd))
			TH_LOG("case %d", i);
		EXPECT_EQ(c->blocks * BLOCK_SECTORS, file_sectors(fd))
			TH_LOG("case %d", i);
		EXPECT_EQ(self->p.free_blocks - c->blocks, pool_free_blocks(&self->p));
		close(fd);
		ASSERT_EQ(0, unlink(pool_path(&self->p, "file")));
		EXPECT_EQ(self->p.free_blocks, pool_free_blocks(&self->p));
	}
}

/* fallocate() of blocks that are allocated changes nothing in them. */
TEST_F(space, fallocate_over_data)
{
	int fd = file_make(&self->p, "file", 4 * BLOCK);
	char *p = map_file(fd, 0, 4 * BLOCK);

	ASSERT_NE(MAP_FAILED, p);
	fill(p + BLOCK, BLOCK, 3);
	ASSERT_EQ(0, fallocate(fd, 0, 0, 4 * BLOCK));
	EXPECT_EQ(4 * BLOCK_SECTORS, file_sectors(fd));
	EXPECT_TRUE(is_zero(p, BLOCK));
	EXPECT_TRUE(is_filled(p + BLOCK, BLOCK, 3));
	EXPECT_TRUE(is_zero(p + 2 * BLOCK, 2 * BLOCK));
}

struct punch_case {
	off_t from;
	off_t to;
	unsigned int freed;
};

/* Each case is a hole in a file of five blocks that are filled. */
static const struct punch_case punch_cases[] = {
	{ BLOCK,		2 * BLOCK,		1 },
	{ 0,			5 * BLOCK,		5 },
	{ 0,			1,			0 },
	{ BLOCK + 5,		BLOCK + 6,		0 },
	{ BLOCK,		2 * BLOCK - 1,		0 },
	{ BLOCK + 1,		2 * BLOCK,		0 },
	{ BLOCK - 1,		2 * BLOCK + 1,		1 },
	{ BLOCK + PAGE,		3 * BLOCK - PAGE,	0 },
	{ BLOCK + 123,		4 * BLOCK + 4567,	2 },
	{ 2 * BLOCK - 7,	2 * BLOCK + 9,		0 },
	{ 4 * BLOCK + 1,	9 * BLOCK,		0 },
	{ 4 * BLOCK,		9 * BLOCK,		1 },
};

TEST_F(space, punch)
{
	int i, fd = file_make(&self->p, "file", 5 * BLOCK);
	char *p = map_file(fd, 0, 5 * BLOCK), *want = malloc(5 * BLOCK);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(NULL, want);
	for (i = 0; i < ARRAY_SIZE(punch_cases); i++) {
		const struct punch_case *c = &punch_cases[i];
		off_t end = c->to < 5 * BLOCK ? c->to : 5 * BLOCK;

		fill(p, 5 * BLOCK, i);
		fill(want, 5 * BLOCK, i);
		memset(want + c->from, 0, end - c->from);
		ASSERT_EQ(0, fallocate(fd, PUNCH, c->from, c->to - c->from));
		EXPECT_EQ((5 - c->freed) * BLOCK_SECTORS, file_sectors(fd))
			TH_LOG("case %d", i);
		EXPECT_EQ(0, memcmp(p, want, 5 * BLOCK))
			TH_LOG("case %d", i);
		/* Reading through the mapping has allocated the holes again. */
		EXPECT_EQ(5 * BLOCK_SECTORS, file_sectors(fd));
		EXPECT_EQ(5 * BLOCK, size_of(fd));
	}
	free(want);
}

static const off_t regrow_sizes[] = {
	0, 1, 100, PAGE - 1, PAGE, PAGE + 1, BLOCK / 2 + 3, BLOCK - 1, BLOCK, BLOCK + 1,
	2 * BLOCK - PAGE, 3 * BLOCK - 1,
};

/* Bytes that a file gains when it grows are zero, whatever was there before. */
TEST_F(space, regrown_is_zero)
{
	int i, fd = file_make(&self->p, "file", 3 * BLOCK);
	char *p = map_file(fd, 0, 3 * BLOCK);

	ASSERT_NE(MAP_FAILED, p);
	for (i = 0; i < ARRAY_SIZE(regrow_sizes); i++) {
		off_t size = regrow_sizes[i];
		off_t page_end = (size + PAGE - 1) & ~(PAGE - 1);
		char *want = malloc(BLOCK * 3);

		ASSERT_NE(NULL, want);
		fill(p, 3 * BLOCK, i);
		fill(want, 3 * BLOCK, i);
		memset(want + size, 0, 3 * BLOCK - size);
		ASSERT_EQ(0, ftruncate(fd, size));
		EXPECT_EQ((size + BLOCK - 1) / BLOCK * BLOCK_SECTORS, file_sectors(fd));
		/* A process may write after the end of the file in its last page. */
		if (page_end > size) {
			EXPECT_EQ(0, peek(p + size));
			memset(p + size, 0x5a, page_end - size);
		}
		if (page_end < 3 * BLOCK)
			EXPECT_EQ(FAULT(SIGBUS), peek(p + page_end));
		ASSERT_EQ(0, ftruncate(fd, 3 * BLOCK));
		EXPECT_EQ(0, memcmp(p, want, 3 * BLOCK))
			TH_LOG("size %ld", size);
		free(want);
	}
}

/* The same with blocks that fallocate() has allocated after the end of the file, in steps. */
TEST_F(space, regrown_in_steps_is_zero)
{
	int fd = file_make(&self->p, "file", BLOCK);
	char *p = map_file(fd, 0, 2 * BLOCK);

	ASSERT_NE(MAP_FAILED, p);
	fill(p, BLOCK, 1);
	ASSERT_EQ(0, ftruncate(fd, 100));
	memset(p + 100, 1, PAGE - 100);
	ASSERT_EQ(0, ftruncate(fd, 200));
	memset(p + 200, 2, PAGE - 200);
	ASSERT_EQ(0, fallocate(fd, 0, PAGE + 10, 10));
	EXPECT_EQ(PAGE + 20, size_of(fd));
	memset(p + PAGE + 20, 3, PAGE - 20);
	ASSERT_EQ(0, fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 2 * BLOCK));
	ASSERT_EQ(0, ftruncate(fd, 2 * BLOCK));
	EXPECT_TRUE(is_zero(p + 104, 2 * BLOCK - 104));
}

/* One file fills the pool: further allocations fail and change nothing. */
TEST_F(space, full_pool)
{
	uint64_t all = self->p.free_blocks;
	int fd = file_make(&self->p, "all", 0), more = file_make(&self->p, "more", 2 * BLOCK);
	unsigned char *p, *q;

	ASSERT_GE(fd, 0);
	ASSERT_GE(more, 0);
	EXPECT_EQ(ENOSPC, ERR(fallocate(fd, 0, 0, (all + 1) * BLOCK)));
	EXPECT_EQ(0, size_of(fd));
	EXPECT_EQ(0, file_sectors(fd));
	EXPECT_EQ(all, pool_free_blocks(&self->p));
	ASSERT_EQ(0, fallocate(fd, 0, 0, all * BLOCK));
	EXPECT_EQ(all * BLOCK, size_of(fd));
	EXPECT_EQ(0, pool_free_blocks(&self->p));
	p = map_file(fd, 0, all * BLOCK);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, poke(p + all * BLOCK - 1, 1));
	EXPECT_EQ(1, peek(p + all * BLOCK - 1));
	/* Files can be created and resized without a free block. */
	EXPECT_EQ(ENOSPC, ERR(fallocate(more, 0, 0, 1)));
	EXPECT_EQ(ENOSPC, ERR(fallocate(more, FALLOC_FL_KEEP_SIZE, 5 * BLOCK, 1)));
	EXPECT_EQ(2 * BLOCK, size_of(more));
	q = map_file(more, 0, 2 * BLOCK);
	ASSERT_NE(MAP_FAILED, q);
	EXPECT_EQ(FAULT(SIGBUS), peek(q));
	EXPECT_EQ(FAULT(SIGBUS), poke(q + BLOCK, 1));
	EXPECT_EQ(0, file_sectors(more));
	/* A block that is freed can be allocated again. */
	ASSERT_EQ(0, fallocate(fd, PUNCH, 3 * BLOCK, BLOCK));
	EXPECT_EQ(0, poke(q + BLOCK, 1));
	EXPECT_EQ(FAULT(SIGBUS), peek(p + 3 * BLOCK));
	EXPECT_EQ(FAULT(SIGBUS), peek(q));
	/* If only a part of the blocks is free, fallocate() allocates none. */
	ASSERT_EQ(0, fallocate(fd, PUNCH, 7 * BLOCK, BLOCK));
	EXPECT_EQ(ENOSPC, ERR(fallocate(more, 0, 0, 4 * BLOCK)));
	EXPECT_EQ(1, pool_free_blocks(&self->p));
	EXPECT_EQ(BLOCK_SECTORS, file_sectors(more));
	EXPECT_EQ(0, peek(q));
	EXPECT_EQ(0, pool_free_blocks(&self->p));
}

/*
 * Old contents of a block are not visible, no matter whether a fault or fallocate() allocates it.
 */
TEST_F(space, freed_blocks_come_back_zero)
{
	uint64_t all = self->p.free_blocks, i;
	size_t size = all * BLOCK;
	int pass;

	for (pass = 0; pass < 3; pass++) {
		int fd = file_make(&self->p, "file", size), bad = 0;
		char *p;

		ASSERT_GE(fd, 0);
		if (pass == 1)
			ASSERT_EQ(0, fallocate(fd, 0, 0, size));
		p = map_file(fd, 0, size);
		ASSERT_NE(MAP_FAILED, p);
		for (i = 0; i < all; i++)
			bad += !is_zero(p + i * BLOCK, BLOCK);
		EXPECT_EQ(0, bad);
		EXPECT_EQ(0, pool_free_blocks(&self->p));
		if (pass < 2)
			memset(p, 0xa5 + pass, size);
		munmap(p, size);
		close(fd);
		/* Free the blocks by unlink() in one pass, and by truncate() in the other. */
		if (pass == 1)
			ASSERT_EQ(0, truncate(pool_path(&self->p, "file"), 0));
		ASSERT_EQ(0, unlink(pool_path(&self->p, "file")));
		EXPECT_EQ(all, pool_free_blocks(&self->p));
	}
}

/* Blocks that are freed before an unmount are zeroed after the next mount. */
TEST_F(space, freed_and_mounted_again_is_zero)
{
	int pass;

	for (pass = 0; pass < 2; pass++) {
		int fd = file_make(&self->p, "file", 16 * BLOCK);
		char *p = map_file(fd, 0, 16 * BLOCK);

		ASSERT_NE(MAP_FAILED, p);
		EXPECT_TRUE(is_zero(p, 16 * BLOCK));
		fill(p, 16 * BLOCK, 9);
		munmap(p, 16 * BLOCK);
		close(fd);
		ASSERT_EQ(0, unlink(pool_path(&self->p, "file")));
		ASSERT_EQ(0, pool_remount(&self->p));
	}
}

/* Every second block is punched out, which needs the most entries of the extent table. */
TEST_F(space, fragmented)
{
	uint64_t all = self->p.free_blocks, i;
	int one = file_make(&self->p, "one", 0), two = file_make(&self->p, "two", 0);
	char *p;

	ASSERT_GE(one, 0);
	ASSERT_GE(two, 0);
	ASSERT_EQ(0, fallocate(one, 0, 0, all * BLOCK));
	for (i = 0; i < all; i += 2)
		ASSERT_EQ(0, fallocate(one, PUNCH, i * BLOCK, BLOCK));
	/* Allocate backwards, so that no two blocks of the file are adjacent. */
	for (i = all / 2; i > 0; i--)
		ASSERT_EQ(0, fallocate(two, 0, (i - 1) * 2 * BLOCK, 1));
	EXPECT_EQ(0, pool_free_blocks(&self->p));
	EXPECT_EQ(all / 2 * BLOCK_SECTORS, file_sectors(one));
	EXPECT_EQ(all / 2 * BLOCK_SECTORS, file_sectors(two));
	p = map_file(two, 0, all * BLOCK);
	ASSERT_NE(MAP_FAILED, p);
	for (i = 0; i < all / 2; i++)
		ASSERT_EQ(0, poke(p + i * 2 * BLOCK, i));
	munmap(p, all * BLOCK);
	close(one);
	close(two);
	ASSERT_EQ(0, pool_remount(&self->p));
	two = open(pool_path(&self->p, "two"), O_RDWR);
	ASSERT_GE(two, 0);
	p = map_file(two, 0, all * BLOCK);
	ASSERT_NE(MAP_FAILED, p);
	for (i = 0; i < all / 2; i++)
		ASSERT_EQ(i & 0xff, peek(p + i * 2 * BLOCK));
}

TEST_HARNESS_MAIN
