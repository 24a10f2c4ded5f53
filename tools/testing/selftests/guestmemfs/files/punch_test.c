// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages that are punched out of a block one by one: when the last one has gone, the block is free.
 * A page that is used again counts as there, also by a read. The next mount goes on where the last
 * one ended. userfault_test has what userfaultfd makes of such pages.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/guestmemfs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "fixture.h"
#include "leaves.h"
#include "move.h"

#define PUNCH	(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define PAGES	(BLOCK / PAGE)

static int punch(int fd, size_t from, size_t len)
{
	return ERR(fallocate(fd, PUNCH, from, len));
}

/* Opens the file again after a mount, and maps it. */
static char *mount_again(const struct pool *p, int *fd, size_t size)
{
	close(*fd);
	if (pool_remount(p))
		return MAP_FAILED;
	*fd = open(pool_path(p, "file"), O_RDWR);
	return map_file(*fd, 0, size);
}

/*
 * Red if a punch leaves the entry of 2 MiB in the page table: the write and the read would not be
 * seen, and the block would be freed with a page in use. Also red if the fault that uses the last
 * absent page leaves small entries, since no other fault comes.
 */
TEST_F(in_pool, used_again)
{
	int fd = file_make(&self->p, "file", 2 * BLOCK);
	char *p = map_file(fd, 0, 2 * BLOCK);

	ASSERT_NE(MAP_FAILED, p);
	memset(p, 0x55, 2 * BLOCK);
	EXPECT_LEAVES(p, 2 * BLOCK, 0, 2, 0, "filled");
	ASSERT_EQ(0, punch(fd, PAGE, PAGE));
	ASSERT_EQ(0, punch(fd, 2 * PAGE, PAGE));
	EXPECT_EQ(0, poke(p + PAGE, 7));
	EXPECT_LEAVES(p, 2 * BLOCK, 0, 1, 1, "a page is absent");
	EXPECT_EQ(0, peek(p + 2 * PAGE));
	EXPECT_LEAVES(p, 2 * BLOCK, 0, 2, 0, "no page is absent any more");
	ASSERT_EQ(0, punch(fd, 0, PAGE));
	ASSERT_EQ(0, punch(fd, 3 * PAGE, BLOCK - 3 * PAGE));
	EXPECT_EQ(2 * BLOCK_SECTORS, file_sectors(fd));
	ASSERT_EQ(0, punch(fd, PAGE, PAGE));
	EXPECT_EQ(2 * BLOCK_SECTORS, file_sectors(fd));
	/* Only the page that was read is left. */
	ASSERT_EQ(0, punch(fd, 2 * PAGE, PAGE));
	EXPECT_EQ(BLOCK_SECTORS, file_sectors(fd));
	EXPECT_EQ(self->p.free_blocks - 1, pool_free_blocks(&self->p));
	EXPECT_EQ(0x55, peek(p + BLOCK));
	EXPECT_TRUE(is_zero(p, BLOCK));
}

/* MADV_REMOVE punches as fallocate() does, and a part of a page does not count. */
TEST_F(in_pool, by_madvise)
{
	int fd = file_make(&self->p, "file", BLOCK), i;
	char *p = map_file(fd, 0, BLOCK);

	ASSERT_NE(MAP_FAILED, p);
	memset(p, 0x55, BLOCK);
	for (i = PAGES - 1; i; i--)
		ASSERT_EQ(0, ERR(madvise(p + i * PAGE, PAGE, MADV_REMOVE)));
	ASSERT_EQ(0, punch(fd, 0, PAGE - 1));
	ASSERT_EQ(0, punch(fd, 1, PAGE - 1));
	EXPECT_EQ(BLOCK_SECTORS, file_sectors(fd));
	EXPECT_TRUE(is_zero(p, PAGE));
	ASSERT_EQ(0, ERR(madvise(p, PAGE, MADV_REMOVE)));
	EXPECT_EQ(0, file_sectors(fd));
}

/* Red if the records of absent pages are not written, not read, or of another block or page. */
TEST_F(in_pool, over_a_mount)
{
	const size_t size = 6 * BLOCK;
	int fd = file_make(&self->p, "file", size), i;
	char *p = map_file(fd, 0, size);

	ASSERT_NE(MAP_FAILED, p);
	fill(p, size, 1);
	/* Each block loses other pages; block 3 none. */
	for (i = 0; i < 6; i++)
		if (i != 3)
			ASSERT_EQ(0, punch(fd, i * BLOCK + i * PAGE, (PAGES - 10) * PAGE));
	munmap(p, size);
	p = mount_again(&self->p, &fd, size);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(6 * BLOCK_SECTORS, file_sectors(fd));
	for (i = 0; i < 6; i++) {
		if (i)
			ASSERT_EQ(0, punch(fd, i * BLOCK, i * PAGE));
		ASSERT_EQ(0, punch(fd, i * BLOCK + (PAGES - 10 + i) * PAGE, (10 - i) * PAGE));
	}
	EXPECT_EQ(BLOCK_SECTORS, file_sectors(fd));
	EXPECT_EQ(self->p.free_blocks - 1, pool_free_blocks(&self->p));
	EXPECT_TRUE(is_zero(p, 3 * BLOCK + 3 * PAGE));
	EXPECT_NE(0, peek(p + 3 * BLOCK + 3 * PAGE + 8) | peek(p + 3 * BLOCK + 3 * PAGE + 9));
}

/*
 * Pages that are used after the first mount are there after the second one. Red if the records of
 * an earlier mount are read.
 */
TEST_F(in_pool, over_two_mounts)
{
	int fd = file_make(&self->p, "file", 2 * BLOCK);
	char *p = map_file(fd, 0, 2 * BLOCK);

	ASSERT_NE(MAP_FAILED, p);
	memset(p, 0x55, 2 * BLOCK);
	ASSERT_EQ(0, punch(fd, 0, BLOCK - PAGE));
	ASSERT_EQ(0, punch(fd, BLOCK, BLOCK - PAGE));
	munmap(p, 2 * BLOCK);
	p = mount_again(&self->p, &fd, 2 * BLOCK);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_TRUE(is_zero(p, BLOCK - PAGE));
	EXPECT_EQ(0, poke(p + BLOCK + 5 * PAGE, 7));
	munmap(p, 2 * BLOCK);
	p = mount_again(&self->p, &fd, 2 * BLOCK);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, punch(fd, BLOCK - PAGE, PAGE));
	ASSERT_EQ(0, punch(fd, 2 * BLOCK - PAGE, PAGE));
	EXPECT_EQ(2 * BLOCK_SECTORS, file_sectors(fd));
	EXPECT_EQ(7, peek(p + BLOCK + 5 * PAGE));
	ASSERT_EQ(0, punch(fd, BLOCK + 5 * PAGE, PAGE));
	EXPECT_EQ(BLOCK_SECTORS, file_sectors(fd));
	munmap(p, 2 * BLOCK);
}

/* Red if the blocks of a gigabyte go back in a way that keeps the gigabyte in pieces. */
TEST_F(in_pool, a_gigabyte_again)
{
	uint64_t whole = pool_sysfs(&self->p, "free_gigabytes");
	size_t at;
	int fd;
	char *p;

	if (!whole)
		SKIP(return, "needs 1 GiB free");
	fd = file_make(&self->p, "file", GIB);
	p = map_file(fd, 0, GIB);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, poke(p, 1));
	EXPECT_LEAVES(p, GIB, 1, 0, 0, "filled");
	EXPECT_EQ(whole - 1, pool_sysfs(&self->p, "free_gigabytes"));
	for (at = 0; at < GIB; at += BLOCK)
		ASSERT_EQ(0, punch(fd, at + 3 * PAGE, BLOCK - 3 * PAGE));
	EXPECT_EQ(GIB / 512, file_sectors(fd));
	for (at = 0; at < GIB; at += BLOCK)
		ASSERT_EQ(0, punch(fd, at, 3 * PAGE));
	EXPECT_EQ(0, file_sectors(fd));
	EXPECT_EQ(whole, pool_sysfs(&self->p, "free_gigabytes"));
	EXPECT_EQ(0, poke(p + GIB / 2, 1));
	EXPECT_LEAVES(p, GIB, 1, 0, 0, "filled again");
}

/* Pages behind the end of the file do not keep its last block. */
TEST_F(in_pool, last_block_of_a_file)
{
	int fd = file_make(&self->p, "file", BLOCK + 3 * PAGE);
	char *p = map_file(fd, 0, BLOCK + 3 * PAGE);

	ASSERT_NE(MAP_FAILED, p);
	memset(p, 0x55, BLOCK + 3 * PAGE);
	ASSERT_EQ(0, punch(fd, BLOCK + PAGE, PAGE));
	ASSERT_EQ(0, punch(fd, BLOCK, PAGE));
	EXPECT_EQ(2 * BLOCK_SECTORS, file_sectors(fd));
	ASSERT_EQ(0, punch(fd, BLOCK + 2 * PAGE, PAGE));
	EXPECT_EQ(BLOCK_SECTORS, file_sectors(fd));
	/* All of it at once, too. */
	EXPECT_EQ(0, poke(p + BLOCK, 1));
	ASSERT_EQ(0, punch(fd, BLOCK, 3 * PAGE));
	EXPECT_EQ(BLOCK_SECTORS, file_sectors(fd));
	/* Pages that the file gets when it grows are there. */
	EXPECT_EQ(0, poke(p + BLOCK, 1));
	ASSERT_EQ(0, punch(fd, BLOCK + PAGE, 2 * PAGE));
	ASSERT_EQ(0, ftruncate(fd, BLOCK + 4 * PAGE));
	ASSERT_EQ(0, punch(fd, BLOCK, PAGE));
	EXPECT_EQ(2 * BLOCK_SECTORS, file_sectors(fd));
	/* A block that lies behind the end as a whole loses no more than what is punched. */
	ASSERT_EQ(0, fallocate(fd, FALLOC_FL_KEEP_SIZE, 3 * BLOCK, BLOCK));
	ASSERT_EQ(0, punch(fd, 3 * BLOCK, PAGE));
	EXPECT_EQ(3 * BLOCK_SECTORS, file_sectors(fd));
	ASSERT_EQ(0, punch(fd, 3 * BLOCK + PAGE, BLOCK - PAGE));
	EXPECT_EQ(2 * BLOCK_SECTORS, file_sectors(fd));
}

/*
 * A device may write to a pinned page: it stays, with zeroes, and so does its block. Red if a
 * pinned page becomes absent, so that the block is free or detached with the last page beside it.
 */
TEST_F(in_pool, pinned)
{
	struct guestmemfs_part part = { sizeof(part), 0, 4 * PAGE, PAGE };
	int fd = file_make(&self->p, "file", BLOCK);
	char *p = map_file(fd, 0, BLOCK);

	ASSERT_NE(MAP_FAILED, p);
	memset(p, 0x55, BLOCK);
	ASSERT_EQ(0, ERR(ioctl(fd, GUESTMEMFS_IOC_PIN, &part)));
	ASSERT_EQ(0, punch(fd, 4 * PAGE, PAGE));
	EXPECT_TRUE(is_zero(p + 4 * PAGE, PAGE));
	EXPECT_EQ(0x55, peek(p + 3 * PAGE));
	ASSERT_EQ(0, punch(fd, 0, 4 * PAGE));
	ASSERT_EQ(0, punch(fd, 5 * PAGE, BLOCK - 5 * PAGE));
	EXPECT_EQ(BLOCK_SECTORS, file_sectors(fd));
	EXPECT_EQ(0, pool_sysfs(&self->p, "detached"));
	/* The page was not used since, but was there. */
	ASSERT_EQ(0, ERR(ioctl(fd, GUESTMEMFS_IOC_UNPIN, &part)));
	EXPECT_EQ(BLOCK_SECTORS, file_sectors(fd));
	ASSERT_EQ(0, punch(fd, 4 * PAGE, PAGE));
	EXPECT_EQ(0, file_sectors(fd));
	/* A pin uses the page. */
	memset(p, 0x55, BLOCK);
	ASSERT_EQ(0, punch(fd, 0, BLOCK - PAGE));
	ASSERT_EQ(0, ERR(ioctl(fd, GUESTMEMFS_IOC_PIN, &part)));
	ASSERT_EQ(0, ERR(ioctl(fd, GUESTMEMFS_IOC_UNPIN, &part)));
	ASSERT_EQ(0, punch(fd, BLOCK - PAGE, PAGE));
	EXPECT_EQ(BLOCK_SECTORS, file_sectors(fd));
}

/* fallocate() makes pages present: those that it is asked for. */
TEST_F(in_pool, allocated_again)
{
	int fd = file_make(&self->p, "file", BLOCK);
	char *p = map_file(fd, 0, BLOCK);

	ASSERT_NE(MAP_FAILED, p);
	memset(p, 0x55, BLOCK);
	ASSERT_EQ(0, punch(fd, 0, BLOCK - PAGE));
	ASSERT_EQ(0, fallocate(fd, 0, 5 * PAGE, PAGE));
	ASSERT_EQ(0, fallocate(fd, FALLOC_FL_ZERO_RANGE, 8 * PAGE, PAGE));
	ASSERT_EQ(0, punch(fd, BLOCK - PAGE, PAGE));
	EXPECT_EQ(BLOCK_SECTORS, file_sectors(fd));
	ASSERT_EQ(0, punch(fd, 5 * PAGE, PAGE));
	EXPECT_EQ(BLOCK_SECTORS, file_sectors(fd));
	ASSERT_EQ(0, punch(fd, 8 * PAGE, PAGE));
	EXPECT_EQ(0, file_sectors(fd));
}

/* Pages move with their blocks, in both directions of an exchange. */
TEST_F(in_pool, moved)
{
	int a = file_make(&self->p, "file", 4 * BLOCK), b = file_make(&self->p, "b", 4 * BLOCK);
	char *p = map_file(a, 0, 4 * BLOCK), *q = map_file(b, 0, 4 * BLOCK);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(MAP_FAILED, q);
	memset(p, 0x55, 2 * BLOCK);
	memset(q + 3 * BLOCK, 0x66, BLOCK);
	ASSERT_EQ(0, punch(a, 0, BLOCK - PAGE));
	ASSERT_EQ(0, punch(a, BLOCK + PAGE, BLOCK - PAGE));
	ASSERT_EQ(0, punch(b, 3 * BLOCK + 2 * PAGE, PAGE));
	ASSERT_EQ(0, move(a, 0, b, 2 * BLOCK, 2 * BLOCK, EXCHANGE));
	EXPECT_EQ(BLOCK_SECTORS, file_sectors(a));
	EXPECT_EQ(2 * BLOCK_SECTORS, file_sectors(b));
	EXPECT_EQ(0x55, peek(q + 3 * BLOCK - 1));
	EXPECT_EQ(0x55, peek(q + 3 * BLOCK));
	ASSERT_EQ(0, punch(b, 3 * BLOCK - PAGE, 2 * PAGE));
	EXPECT_EQ(0, file_sectors(b));
	ASSERT_EQ(0, punch(a, BLOCK, 2 * PAGE));
	ASSERT_EQ(0, move(a, BLOCK, a, 3 * BLOCK, BLOCK, 0));
	EXPECT_EQ(0x66, peek(p + 4 * BLOCK - 1));
	ASSERT_EQ(0, punch(a, 3 * BLOCK + 3 * PAGE, BLOCK - 3 * PAGE));
	EXPECT_EQ(0, file_sectors(a));
	EXPECT_EQ(self->p.free_blocks, pool_free_blocks(&self->p));
}

/* The block, not the page, answers questions about the file: no other file can have the page. */
TEST_F(in_pool, told_by_the_block)
{
	struct {
		struct fiemap map;
		struct fiemap_extent extent;
	} arg = { { .fm_length = BLOCK, .fm_extent_count = 1 } };
	int fd = file_make(&self->p, "file", BLOCK);
	char *p = map_file(fd, 0, BLOCK);

	ASSERT_NE(MAP_FAILED, p);
	memset(p, 0x55, BLOCK);
	ASSERT_EQ(0, punch(fd, 0, BLOCK - PAGE));
	EXPECT_EQ(BLOCK_SECTORS, file_sectors(fd));
	EXPECT_EQ(0, lseek(fd, 0, SEEK_DATA));
	EXPECT_EQ(BLOCK, lseek(fd, 0, SEEK_HOLE));
	ASSERT_EQ(0, ERR(ioctl(fd, FS_IOC_FIEMAP, &arg)));
	EXPECT_EQ(1, arg.map.fm_mapped_extents);
	EXPECT_EQ(BLOCK, arg.extent.fe_length);
	EXPECT_EQ(self->p.free_blocks - 1, pool_free_blocks(&self->p));
	ASSERT_EQ(0, punch(fd, BLOCK - PAGE, PAGE));
	EXPECT_EQ(-1, lseek(fd, 0, SEEK_DATA));
	EXPECT_EQ(0, lseek(fd, 0, SEEK_HOLE));
}

/* A reservation keeps a block that has gone page by page for the file. */
TEST_F(in_pool, reserved)
{
	uint64_t reserved = pool_sysfs(&self->p, "reserved");
	int fd = file_make(&self->p, "file", BLOCK);
	char *p = map_reserved(fd, 0, BLOCK);

	ASSERT_NE(MAP_FAILED, p);
	memset(p, 0x55, BLOCK);
	EXPECT_EQ(reserved, pool_sysfs(&self->p, "reserved"));
	ASSERT_EQ(0, punch(fd, PAGE, BLOCK - PAGE));
	EXPECT_EQ(reserved, pool_sysfs(&self->p, "reserved"));
	ASSERT_EQ(0, punch(fd, 0, PAGE));
	EXPECT_EQ(0, file_sectors(fd));
	EXPECT_EQ(reserved + BLOCK, pool_sysfs(&self->p, "reserved"));
	munmap(p, BLOCK);
	EXPECT_EQ(reserved, pool_sysfs(&self->p, "reserved"));
}

TEST_HARNESS_MAIN
