// SPDX-License-Identifier: GPL-2.0-only
/*
 * Persistent pins across kexecs, with a device: the VM test pins runs this in each of its
 * kernels, with the pool of node 0 mounted on /mnt/node0 in all of them but the one with number
 * 2.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "edu.h"
#include "harness.h"
#include "pins.h"

#define PUNCH	(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define MNT	"/mnt/node0"
#define RAM	MNT "/ram"
#define OTHER	MNT "/other"
#define EXTENTS	64

static const struct pool pool = { .node = 0, .mnt = MNT };

struct extents {
	struct fiemap map;
	struct fiemap_extent room[EXTENTS];
};

static bool extents_of(int fd, struct extents *e)
{
	memset(e, 0, sizeof(*e));
	e->map.fm_length = FIEMAP_MAX_OFFSET;
	e->map.fm_extent_count = EXTENTS;
	return !ioctl(fd, FS_IOC_FIEMAP, &e->map) && e->map.fm_mapped_extents < EXTENTS;
}

static const char *state_file(void)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/extents", getenv("STATE") ?: "/tmp");
	return path;
}

static bool extents_keep(const struct extents *e)
{
	int fd = open(state_file(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
	bool done = write(fd, e, sizeof(*e)) == sizeof(*e);

	return !close(fd) && done;
}

static bool extents_kept(const struct extents *e)
{
	int fd = open(state_file(), O_RDONLY);
	struct extents was;
	bool same = read(fd, &was, sizeof(was)) == sizeof(was) && !memcmp(&was, e, sizeof(was));

	close(fd);
	return same;
}

FIXTURE(kernel)
{
	struct dma d;
};

FIXTURE_SETUP(kernel)
{
	self->d.way = BY_FILE;
	self->d.source = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			      -1, 0);
	ASSERT_NE(MAP_FAILED, self->d.source);
	ASSERT_TRUE(open_device(&self->d));
	catch_faults();
}

FIXTURE_TEARDOWN(kernel)
{
}

/* A file whose pages are mapped for the device, in part, and one that nobody will claim. */
static void leave(struct __test_metadata *_metadata, struct dma *d)
{
	int fd = open(RAM, O_RDWR | O_CREAT, 0600), other = open(OTHER, O_RDWR | O_CREAT, 0600);
	int gone = open(MNT, O_RDWR | O_TMPFILE, 0600);
	struct extents e;
	unsigned char *p;

	ASSERT_EQ(0, ftruncate(fd, 8 * BLOCK));
	ASSERT_EQ(0, ftruncate(other, 8 * BLOCK));
	ASSERT_EQ(0, ftruncate(gone, BLOCK));
	ASSERT_EQ(0, fallocate(fd, 0, 0, 2 * BLOCK));
	ASSERT_EQ(0, pin(other, 3 * PAGE, PAGE));
	ASSERT_EQ(0, pin(fd, PAGE, 6 * BLOCK));
	ASSERT_EQ(0, pin(gone, 0, BLOCK));
	p = map_file(fd, 0, 8 * BLOCK);
	ASSERT_NE(MAP_FAILED, p);
	fill(p, 8 * BLOCK, 11);
	ASSERT_EQ(0, dma_map(d, NULL, fd, PAGE, 6 * BLOCK));
	EXPECT_TRUE(dma_write(d, IOVA + 3 * BLOCK, 12));
	ASSERT_EQ(0, fallocate(fd, PUNCH, 5 * BLOCK, BLOCK));
	/* The punched block is not the file's any more, and still the device's. */
	EXPECT_TRUE(dma_write(d, IOVA + 5 * BLOCK, 13));
	EXPECT_EQ(7 * BLOCK + PAGE, pool_sysfs(&pool, "persistent"));
	EXPECT_EQ(0, pool_sysfs(&pool, "inherited"));
	ASSERT_TRUE(extents_of(fd, &e));
	EXPECT_TRUE(extents_keep(&e));
}

static void is_as_left(struct __test_metadata *_metadata, int fd)
{
	unsigned char *p = map_file(fd, 0, 8 * BLOCK);
	struct extents e;

	ASSERT_NE(MAP_FAILED, p);
	/* The same frames at the same offsets. */
	ASSERT_TRUE(extents_of(fd, &e));
	EXPECT_TRUE(extents_kept(&e));
	EXPECT_TRUE(pages_have(fd, 0, PAGE, NOT_PINNED));
	EXPECT_TRUE(pages_have(fd, PAGE, 5 * BLOCK, PERSISTENT));
	EXPECT_TRUE(pages_have(fd, 5 * BLOCK, 6 * BLOCK, 0));
	EXPECT_TRUE(pages_have(fd, 6 * BLOCK, 6 * BLOCK + PAGE, PERSISTENT));
	EXPECT_TRUE(is_filled(p + 3 * BLOCK + PAGE, PAGE, 12));
	EXPECT_TRUE(is_filled(p, PAGE, 11));
	munmap(p, 8 * BLOCK);
}

/* All memory that is free goes to a file, and is written. None of it is pinned. */
static void use_the_rest(struct __test_metadata *_metadata)
{
	int fd = open(MNT, O_RDWR | O_TMPFILE, 0600);
	struct statfs st;
	unsigned char *p;

	ASSERT_EQ(0, fstatfs(fd, &st));
	ASSERT_EQ(0, ftruncate(fd, st.f_bfree * BLOCK));
	ASSERT_EQ(0, fallocate(fd, 0, 0, st.f_bfree * BLOCK));
	p = map_file(fd, 0, st.f_bfree * BLOCK);
	ASSERT_NE(MAP_FAILED, p);
	memset(p, 0xee, st.f_bfree * BLOCK);
	munmap(p, st.f_bfree * BLOCK);
	EXPECT_TRUE(pages_have(fd, 0, st.f_bfree * BLOCK, NOT_PINNED));
	EXPECT_EQ(0, fstatfs(fd, &st));
	EXPECT_EQ(0, st.f_bfree);
	close(fd);
}

/* Kernel 1 claims a part by mapping it for the device, and gives up another file's. */
static void claim(struct __test_metadata *_metadata, struct dma *d)
{
	int fd = open(RAM, O_RDWR), other = open(OTHER, O_RDWR);
	unsigned char *p = map_file(fd, 0, 8 * BLOCK);

	EXPECT_EQ(6 * BLOCK + PAGE, pool_sysfs(&pool, "persistent"));
	EXPECT_EQ(6 * BLOCK + PAGE, pool_sysfs(&pool, "inherited"));
	EXPECT_EQ(6 * BLOCK + PAGE, pool_sysfs(&pool, "pinned"));
	EXPECT_EQ(BLOCK, pool_sysfs(&pool, "detached"));
	is_as_left(_metadata, fd);
	use_the_rest(_metadata);
	is_as_left(_metadata, fd);
	/* What is taken over is pinned: the device may still write there. */
	ASSERT_EQ(0, fallocate(fd, PUNCH, BLOCK, BLOCK));
	EXPECT_EQ(2 * BLOCK, pool_sysfs(&pool, "detached"));
	ASSERT_EQ(0, dma_map(d, NULL, fd, 2 * BLOCK, 2 * BLOCK));
	/* Not a mapping that cannot be made. */
	EXPECT_EQ(EEXIST, dma_map(d, NULL, fd, 4 * BLOCK, BLOCK));
	EXPECT_EQ(6 * BLOCK + PAGE, pool_sysfs(&pool, "inherited"));
	EXPECT_EQ(6 * BLOCK + PAGE, pool_sysfs(&pool, "persistent"));
	EXPECT_EQ(6 * BLOCK + PAGE, pool_sysfs(&pool, "pinned"));
	EXPECT_TRUE(pages_have(fd, 2 * BLOCK, 5 * BLOCK, PERSISTENT));
	EXPECT_TRUE(dma_reads(d, IOVA + BLOCK + PAGE, 12));
	EXPECT_TRUE(dma_write(d, IOVA, 14));
	EXPECT_TRUE(is_filled(p + 2 * BLOCK, PAGE, 14));
	EXPECT_EQ(0, dma_unmap(d, IOVA, 2 * BLOCK));
	EXPECT_EQ(4 * BLOCK + PAGE, pool_sysfs(&pool, "inherited"));
	EXPECT_EQ(4 * BLOCK + PAGE, pool_sysfs(&pool, "persistent"));
	EXPECT_EQ(4 * BLOCK + PAGE, pool_sysfs(&pool, "pinned"));
	EXPECT_TRUE(pages_have(fd, 2 * BLOCK, 4 * BLOCK, NOT_PINNED));
	EXPECT_EQ(0, unpin_all(other));
	EXPECT_EQ(4 * BLOCK, pool_sysfs(&pool, "persistent"));
	/* Pinned again, it does not end with a mapping. */
	ASSERT_EQ(0, pin(fd, 4 * BLOCK, PAGE));
	EXPECT_EQ(4 * BLOCK - PAGE, pool_sysfs(&pool, "inherited"));
	ASSERT_EQ(0, dma_map(d, NULL, fd, 4 * BLOCK, BLOCK));
	EXPECT_EQ(0, dma_unmap(d, IOVA, BLOCK));
	EXPECT_EQ(3 * BLOCK, pool_sysfs(&pool, "inherited"));
	EXPECT_EQ(3 * BLOCK + PAGE, pool_sysfs(&pool, "persistent"));
	EXPECT_EQ(3 * BLOCK + PAGE, pool_sysfs(&pool, "pinned"));
}

/* Kernel 3: the one before has not mounted the pool, and has kept the pins nevertheless. */
static void end(struct __test_metadata *_metadata)
{
	int fd = open(RAM, O_RDWR);
	struct statfs st;

	EXPECT_EQ(3 * BLOCK + PAGE, pool_sysfs(&pool, "inherited"));
	EXPECT_EQ(2 * BLOCK, pool_sysfs(&pool, "detached"));
	EXPECT_TRUE(pages_have(fd, 4 * BLOCK, 4 * BLOCK + PAGE, PERSISTENT));
	EXPECT_TRUE(pages_have(fd, PAGE, BLOCK, PERSISTENT));
	close(fd);
	EXPECT_EQ(0, unlink(RAM));
	EXPECT_EQ(0, unlink(OTHER));
	EXPECT_EQ(0, pool_sysfs(&pool, "pinned"));
	EXPECT_EQ(0, pool_sysfs(&pool, "persistent"));
	EXPECT_EQ(0, pool_sysfs(&pool, "detached"));
	EXPECT_EQ(0, statfs(MNT, &st));
	EXPECT_EQ(st.f_blocks, st.f_bfree);
}

TEST_F(kernel, pins)
{
	switch (pool_sysfs(&pool, "kexecs")) {
	case 0:
		leave(_metadata, &self->d);
		break;
	case 1:
		claim(_metadata, &self->d);
		break;
	case 2:
		EXPECT_EQ(0, pool_sysfs(&pool, "pinned"));
		break;
	default:
		end(_metadata);
	}
}

TEST_HARNESS_MAIN
