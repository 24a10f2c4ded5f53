// SPDX-License-Identifier: GPL-2.0-only
/*
 * FALLOC_FL_ZERO_RANGE and FIEMAP on guestmemfs: zeroed blocks stay allocated, and FIEMAP shows
 * their addresses.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "fixture.h"

#define ZERO	FALLOC_FL_ZERO_RANGE
#define KEEP	FALLOC_FL_KEEP_SIZE
#define EXTENTS	16

union extents {
	struct fiemap map;
	char room[sizeof(struct fiemap) + EXTENTS * sizeof(struct fiemap_extent)];
};

static int get_extents(int fd, union extents *e, uint64_t start, uint64_t len, unsigned int room)
{
	memset(e, 0, sizeof(*e));
	e->map.fm_start = start;
	e->map.fm_length = len;
	e->map.fm_extent_count = room;
	return ioctl(fd, FS_IOC_FIEMAP, &e->map);
}

static int all_extents(int fd, union extents *e)
{
	return get_extents(fd, e, 0, FIEMAP_MAX_OFFSET, EXTENTS);
}

/* Does /proc/iomem show this range as memory of a pool? */
static bool in_iomem(uint64_t phys, uint64_t len)
{
	FILE *iomem = fopen("/proc/iomem", "r");
	unsigned long from, to;
	bool found = false;
	char line[256];

	while (iomem && fgets(line, sizeof(line), iomem))
		if (sscanf(line, " %lx-%lx : guestmemfs", &from, &to) == 2 &&
		    strstr(line, ": guestmemfs"))
			found |= phys >= from && phys + len - 1 <= to;
	if (iomem)
		fclose(iomem);
	return found;
}

struct zero_case {
	int mode;
	off_t size;	/* of the file before, filled with a pattern */
	off_t from;
	off_t to;
	off_t after;	/* size after */
	unsigned int blocks;
};

static const struct zero_case zero_cases[] = {
	{ ZERO,		5 * BLOCK,	BLOCK,		2 * BLOCK,	5 * BLOCK,	5 },
	{ ZERO,		5 * BLOCK,	0,		5 * BLOCK,	5 * BLOCK,	5 },
	{ ZERO,		5 * BLOCK,	0,		1,		5 * BLOCK,	5 },
	{ ZERO,		5 * BLOCK,	BLOCK - 1,	2 * BLOCK + 1,	5 * BLOCK,	5 },
	{ ZERO,		5 * BLOCK,	BLOCK + 123,	4 * BLOCK + 4567, 5 * BLOCK,	5 },
	{ ZERO,		5 * BLOCK,	BLOCK + 5,	BLOCK + 6,	5 * BLOCK,	5 },
	{ ZERO,		5 * BLOCK,	2 * BLOCK - 7,	2 * BLOCK + 9,	5 * BLOCK,	5 },
	{ ZERO | KEEP,	2 * BLOCK,	BLOCK,		4 * BLOCK,	2 * BLOCK,	4 },
	{ ZERO | KEEP,	2 * BLOCK,	6 * BLOCK + 1,	7 * BLOCK,	2 * BLOCK,	3 },
	{ ZERO,		2 * BLOCK,	BLOCK,		4 * BLOCK,	4 * BLOCK,	4 },
	{ ZERO,		2 * BLOCK,	2 * BLOCK,	2 * BLOCK + 1,	2 * BLOCK + 1,	3 },
	{ ZERO,		2 * BLOCK,	6 * BLOCK + 9,	7 * BLOCK + 9,	7 * BLOCK + 9,	4 },
	/* The end is inside a block, and old bytes are after it. */
	{ ZERO,		BLOCK + 100,	6 * BLOCK + 9,	7 * BLOCK + 9,	7 * BLOCK + 9,	4 },
	{ ZERO,		BLOCK + 100,	BLOCK + 200,	BLOCK + 300,	BLOCK + 300,	2 },
	{ ZERO,		BLOCK + 100,	BLOCK + 50,	BLOCK + 300,	BLOCK + 300,	2 },
	{ ZERO,		BLOCK + 100,	5,		BLOCK + 300,	BLOCK + 300,	2 },
	{ ZERO,		BLOCK + 100,	BLOCK + 50,	3 * BLOCK,	3 * BLOCK,	3 },
	{ ZERO,		BLOCK + 100,	BLOCK + 200,	4 * BLOCK + 1,	4 * BLOCK + 1,	5 },
	{ ZERO,		BLOCK + 100,	5,		BLOCK,		BLOCK + 100,	2 },
	{ ZERO | KEEP,	BLOCK + 100,	BLOCK + 50,	3 * BLOCK,	BLOCK + 100,	3 },
};

TEST_F(in_pool, zero_range)
{
	char *want = malloc(8 * BLOCK), *p = reserve(8 * BLOCK, BLOCK);
	unsigned int i;
	struct stat st;

	ASSERT_NE(NULL, want);
	ASSERT_NE(MAP_FAILED, p);
	for (i = 0; i < ARRAY_SIZE(zero_cases); i++) {
		const struct zero_case *c = &zero_cases[i];
		size_t before = (c->size + PAGE - 1) & ~(PAGE - 1);
		off_t end = c->to < c->size ? c->to : c->size;
		int fd = file_make(&self->p, "file", c->size);

		ASSERT_EQ(p, map_at(p, fd, 0, 8 * BLOCK));
		/*
		 * Fill up to the end of the last page: the bytes after the end of the file must be
		 * zero when the file grows.
		 */
		fill(p, before, i);
		memset(want, 0, 8 * BLOCK);
		fill(want, before, i);
		memset(want + c->size, 0, before - c->size);
		if (c->from < end)
			memset(want + c->from, 0, end - c->from);
		ASSERT_EQ(0, fallocate(fd, c->mode, c->from, c->to - c->from))
			TH_LOG("case %u", i);
		ASSERT_EQ(0, fstat(fd, &st));
		EXPECT_EQ(c->after, st.st_size)
			TH_LOG("case %u", i);
		EXPECT_EQ(c->blocks * BLOCK_SECTORS, st.st_blocks)
			TH_LOG("case %u", i);
		EXPECT_EQ(self->p.free_blocks - c->blocks, pool_free_blocks(&self->p));
		ASSERT_EQ(0, ftruncate(fd, 8 * BLOCK));
		EXPECT_EQ(0, memcmp(p, want, 8 * BLOCK))
			TH_LOG("case %u", i);
		close(fd);
		ASSERT_EQ(0, unlink(pool_path(&self->p, "file")));
	}
	munmap(p, 8 * BLOCK);
	free(want);
}

struct zero_error {
	int mode;
	off_t from;
	off_t len;
	int err;
};

static const struct zero_error zero_errors[] = {
	{ ZERO,				0,		0,		EINVAL },
	{ ZERO,				-1,		1,		EINVAL },
	{ ZERO,				0,		-1,		EINVAL },
	{ ZERO,				INT64_MAX,	1,		EFBIG },
	{ ZERO,				1L << 53,	1,		EFBIG },
	{ ZERO | KEEP,			1L << 53,	1,		EFBIG },
	{ ZERO,				0,		1L << 53,	ENOSPC },
	{ ZERO | KEEP,			0,		1L << 53,	ENOSPC },
	{ ZERO | FALLOC_FL_PUNCH_HOLE,	0,		1,		EOPNOTSUPP },
	{ ZERO | KEEP | FALLOC_FL_PUNCH_HOLE, 0,	1,		EOPNOTSUPP },
	{ ZERO | FALLOC_FL_UNSHARE_RANGE, 0,		1,		EOPNOTSUPP },
	{ 0x80 /* WRITE_ZEROES */,	0,		1,		EOPNOTSUPP },
};

TEST_F(in_pool, zero_range_fails)
{
	int fd = file_make(&self->p, "file", 2 * BLOCK), rd, i;
	char *p = map_file(fd, 0, 2 * BLOCK);

	ASSERT_NE(MAP_FAILED, p);
	fill(p, 2 * BLOCK, 1);
	for (i = 0; i < ARRAY_SIZE(zero_errors); i++) {
		const struct zero_error *c = &zero_errors[i];

		EXPECT_EQ(c->err, ERR(fallocate(fd, c->mode, c->from, c->len)))
			TH_LOG("case %d", i);
	}
	rd = open(pool_path(&self->p, "file"), O_RDONLY);
	EXPECT_EQ(EBADF, ERR(fallocate(rd, ZERO, 0, 1)));
	EXPECT_TRUE(is_filled(p, 2 * BLOCK, 1));
	EXPECT_EQ(2 * BLOCK_SECTORS, file_sectors(fd));
}

/* Other mappings of the file see the zeroes, and FIEMAP shows the same addresses. */
TEST_F(in_pool, zeroed_in_place)
{
	int fd = file_make(&self->p, "file", 4 * BLOCK);
	union extents before, after;
	char *p = map_file(fd, 0, 4 * BLOCK), *q = map_file(fd, 0, 4 * BLOCK);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(MAP_FAILED, q);
	fill(p, 4 * BLOCK, 1);
	EXPECT_TRUE(is_filled(q, 4 * BLOCK, 1));
	ASSERT_EQ(0, all_extents(fd, &before));
	ASSERT_EQ(0, fallocate(fd, ZERO, BLOCK, 2 * BLOCK));
	EXPECT_TRUE(is_zero(q + BLOCK, 2 * BLOCK));
	EXPECT_EQ(0, memcmp(q, p, 4 * BLOCK));
	fill(p + BLOCK, BLOCK, 2);
	EXPECT_TRUE(is_filled(q + BLOCK, BLOCK, 2));
	ASSERT_EQ(0, all_extents(fd, &after));
	EXPECT_EQ(0, memcmp(&before, &after, sizeof(after)));
}

struct size_case {
	off_t size;
	unsigned int blocks;	/* that are left */
};

/* The file has two blocks up to its size, and five more after it, from the seventh block on. */
static const struct size_case size_cases[] = {
	{ 2 * BLOCK + 1,	7 },
	{ 4 * BLOCK,		7 },
	{ 7 * BLOCK,		7 },
	{ 20 * BLOCK,		7 },
	{ 2 * BLOCK,		2 },
	{ 2 * BLOCK - 1,	2 },
	{ BLOCK,		1 },
	{ 1,			1 },
	{ 0,			0 },
};

/*
 * Blocks after the end of the file stay allocated while the file grows. They are freed when it
 * shrinks or is truncated to its own size.
 */
TEST_F(in_pool, beyond_the_end)
{
	unsigned int i;
	char *p;

	for (i = 0; i < ARRAY_SIZE(size_cases); i++) {
		const struct size_case *c = &size_cases[i];
		int fd = file_make(&self->p, "file", 2 * BLOCK);

		ASSERT_GE(fd, 0);
		ASSERT_EQ(0, fallocate(fd, 0, 0, 2 * BLOCK));
		ASSERT_EQ(0, fallocate(fd, KEEP, 6 * BLOCK, 5 * BLOCK));
		EXPECT_EQ(7 * BLOCK_SECTORS, file_sectors(fd));
		ASSERT_EQ(0, ftruncate(fd, c->size));
		EXPECT_EQ(c->blocks * BLOCK_SECTORS, file_sectors(fd))
			TH_LOG("size %ld", c->size);
		EXPECT_EQ(self->p.free_blocks - c->blocks, pool_free_blocks(&self->p));
		/*
		 * The blocks cannot be accessed before the file is large enough, and are zero then.
		 */
		p = map_file(fd, 6 * BLOCK, BLOCK);
		ASSERT_NE(MAP_FAILED, p);
		EXPECT_EQ(c->size > (off_t)(6 * BLOCK) ? 0 : FAULT(SIGBUS), peek(p));
		ASSERT_EQ(0, ftruncate(fd, 7 * BLOCK));
		EXPECT_TRUE(is_zero(p, BLOCK));
		munmap(p, BLOCK);
		close(fd);
		ASSERT_EQ(0, unlink(pool_path(&self->p, "file")));
	}
}

TEST_F(in_pool, truncated_by_open)
{
	int fd = file_make(&self->p, "file", 0), again;

	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, fallocate(fd, KEEP, 0, 2 * BLOCK));
	EXPECT_EQ(2 * BLOCK_SECTORS, file_sectors(fd));
	again = open(pool_path(&self->p, "file"), O_RDWR | O_TRUNC);
	ASSERT_GE(again, 0);
	EXPECT_EQ(0, file_sectors(fd));
	EXPECT_EQ(self->p.free_blocks, pool_free_blocks(&self->p));
	close(again);
	close(fd);
}

TEST_F(in_pool, fiemap)
{
	int fd = file_make(&self->p, "file", 8 * BLOCK + 5), other;
	union extents e, o, again;
	uint64_t at, blocks = 0;
	unsigned int i;

	ASSERT_EQ(0, all_extents(fd, &e));
	EXPECT_EQ(0, e.map.fm_mapped_extents);
	ASSERT_EQ(0, fallocate(fd, 0, BLOCK, 3 * BLOCK));
	ASSERT_EQ(0, fallocate(fd, 0, 6 * BLOCK, 1));
	ASSERT_EQ(0, fallocate(fd, KEEP, 10 * BLOCK, BLOCK));
	ASSERT_EQ(0, all_extents(fd, &e));
	/* The file has three allocated ranges, each of which may be in several pieces. */
	ASSERT_GE(e.map.fm_mapped_extents, 3);
	ASSERT_LE(e.map.fm_mapped_extents, 5);
	at = BLOCK;
	for (i = 0; i < e.map.fm_mapped_extents; i++) {
		const struct fiemap_extent *x = &e.map.fm_extents[i];

		if (at == 4 * BLOCK)
			at = 6 * BLOCK;
		if (at == 7 * BLOCK)
			at = 10 * BLOCK;
		EXPECT_EQ(at, x->fe_logical);
		EXPECT_NE(0, x->fe_length);
		EXPECT_EQ(0, (x->fe_physical | x->fe_length) % BLOCK);
		EXPECT_TRUE(in_iomem(x->fe_physical, x->fe_length));
		EXPECT_EQ(i + 1 == e.map.fm_mapped_extents ? FIEMAP_EXTENT_LAST : 0, x->fe_flags);
		at += x->fe_length;
		blocks += x->fe_length / BLOCK;
	}
	EXPECT_EQ(5, blocks);
	/* The blocks of another file do not overlap with this one's. */
	other = file_make(&self->p, "other", 0);
	ASSERT_EQ(0, fallocate(other, 0, 0, BLOCK));
	ASSERT_EQ(0, all_extents(other, &o));
	ASSERT_EQ(1, o.map.fm_mapped_extents);
	for (i = 0; i < e.map.fm_mapped_extents; i++)
		EXPECT_GE(o.map.fm_extents[0].fe_physical - e.map.fm_extents[i].fe_physical,
			  e.map.fm_extents[i].fe_length);
	close(other);
	close(fd);
	ASSERT_EQ(0, pool_remount(&self->p));
	fd = open(pool_path(&self->p, "file"), O_RDONLY);
	ASSERT_EQ(0, all_extents(fd, &again));
	EXPECT_EQ(0, memcmp(&e, &again, sizeof(e)));
}

TEST_F(in_pool, fiemap_of_a_part)
{
	int fd = file_make(&self->p, "file", 8 * BLOCK);
	union extents all, e;

	ASSERT_EQ(0, fallocate(fd, 0, BLOCK, BLOCK));
	ASSERT_EQ(0, fallocate(fd, 0, 3 * BLOCK, 2 * BLOCK));
	ASSERT_EQ(0, all_extents(fd, &all));
	/* With fm_extent_count of 0, FIEMAP returns the number of extents. */
	ASSERT_EQ(0, get_extents(fd, &e, 0, FIEMAP_MAX_OFFSET, 0));
	EXPECT_EQ(all.map.fm_mapped_extents, e.map.fm_mapped_extents);
	ASSERT_EQ(0, get_extents(fd, &e, 0, FIEMAP_MAX_OFFSET, 1));
	ASSERT_EQ(1, e.map.fm_mapped_extents);
	EXPECT_EQ(0, memcmp(&all.map.fm_extents[0], &e.map.fm_extents[0],
			    sizeof(struct fiemap_extent)));
	EXPECT_EQ(0, e.map.fm_extents[0].fe_flags & FIEMAP_EXTENT_LAST);
	/* There are no extents before the first one, in a hole, and after the last one. */
	ASSERT_EQ(0, get_extents(fd, &e, 0, BLOCK, EXTENTS));
	EXPECT_EQ(0, e.map.fm_mapped_extents);
	ASSERT_EQ(0, get_extents(fd, &e, 2 * BLOCK, BLOCK, EXTENTS));
	EXPECT_EQ(0, e.map.fm_mapped_extents);
	ASSERT_EQ(0, get_extents(fd, &e, 5 * BLOCK, FIEMAP_MAX_OFFSET, EXTENTS));
	EXPECT_EQ(0, e.map.fm_mapped_extents);
	/*
	 * The first extent is not FIEMAP_EXTENT_LAST. The last one is found from an offset inside
	 * it.
	 */
	ASSERT_EQ(0, get_extents(fd, &e, BLOCK, BLOCK, EXTENTS));
	EXPECT_TRUE(e.map.fm_mapped_extents == 1 && !e.map.fm_extents[0].fe_flags);
	ASSERT_EQ(0, get_extents(fd, &e, 4 * BLOCK + 1, 1, EXTENTS));
	ASSERT_EQ(1, e.map.fm_mapped_extents);
	EXPECT_LE(e.map.fm_extents[0].fe_logical, 4 * BLOCK + 1);
	EXPECT_EQ(5 * BLOCK, e.map.fm_extents[0].fe_logical + e.map.fm_extents[0].fe_length);
	EXPECT_EQ(FIEMAP_EXTENT_LAST, e.map.fm_extents[0].fe_flags);
	EXPECT_EQ(EINVAL, ERR(get_extents(fd, &e, 0, 0, EXTENTS)));
	EXPECT_EQ(EFBIG, ERR(get_extents(fd, &e, 1UL << 53, 1, EXTENTS)));
	memset(&e, 0, sizeof(e));
	e.map.fm_length = FIEMAP_MAX_OFFSET;
	e.map.fm_flags = FIEMAP_FLAG_XATTR;
	EXPECT_EQ(EBADR, ERR(ioctl(fd, FS_IOC_FIEMAP, &e.map)));
	e.map.fm_flags = FIEMAP_FLAG_SYNC;
	EXPECT_EQ(0, ioctl(fd, FS_IOC_FIEMAP, &e.map));
	fd = open(self->p.dir, O_RDONLY);
	EXPECT_EQ(EOPNOTSUPP, ERR(get_extents(fd, &e, 0, 1, EXTENTS)));
}

/* The result of FIEMAP is written to the file itself, which allocates a block. */
TEST_F(in_pool, fiemap_into_itself)
{
	int fd = file_make(&self->p, "file", 4 * BLOCK);
	struct fiemap *map = map_file(fd, 0, 4 * BLOCK);
	char *p = (char *)map;

	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, fallocate(fd, 0, 3 * BLOCK, BLOCK));
	/* The array of extents begins in a block that is not allocated yet. */
	map = (struct fiemap *)(p + BLOCK - sizeof(*map));
	map->fm_length = FIEMAP_MAX_OFFSET;
	map->fm_extent_count = EXTENTS;
	ASSERT_EQ(0, ioctl(fd, FS_IOC_FIEMAP, map));
	EXPECT_GE(map->fm_mapped_extents, 2);
	EXPECT_EQ(0, map->fm_extents[0].fe_logical);
	EXPECT_NE(0, map->fm_extents[0].fe_physical);
}

/* Only root sees physical addresses, and which blocks are adjacent. */
TEST_F(in_pool, fiemap_without_privilege)
{
	int fd = file_make(&self->p, "file", 2 * BLOCK), status;
	int other = file_make(&self->p, "other", 2 * BLOCK);
	union extents e;
	pid_t pid;

	/* The allocation is in turns, so that blocks of the two files are adjacent. */
	ASSERT_EQ(0, fallocate(fd, 0, 0, BLOCK));
	ASSERT_EQ(0, fallocate(other, 0, 0, BLOCK));
	ASSERT_EQ(0, fallocate(other, 0, BLOCK, BLOCK));
	ASSERT_EQ(0, fallocate(fd, 0, BLOCK, BLOCK));
	ASSERT_EQ(0, all_extents(fd, &e));
	EXPECT_EQ(2, e.map.fm_mapped_extents);
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		if (setresgid(1000, 1000, 1000) || setresuid(1000, 1000, 1000))
			_exit(200);
		if (all_extents(fd, &e) || e.map.fm_mapped_extents != 1)
			_exit(1);
		if (e.map.fm_extents[0].fe_logical || e.map.fm_extents[0].fe_length != 2 * BLOCK)
			_exit(2);
		if (e.map.fm_extents[0].fe_physical)
			_exit(3);
		_exit(e.map.fm_extents[0].fe_flags !=
		      (FIEMAP_EXTENT_UNKNOWN | FIEMAP_EXTENT_LAST));
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFEXITED(status));
	EXPECT_EQ(0, WEXITSTATUS(status));
}

TEST_HARNESS_MAIN
