// SPDX-License-Identifier: GPL-2.0-only
/*
 * The reservation of a shared mapping without MAP_NORESERVE: which file it is for, how long it
 * lasts, and where it is shown.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "util.h"

#define PUNCH	(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define RW	(PROT_READ | PROT_WRITE)
/* The number of free blocks that the limit of the mount leaves. */
#define LEFT	32UL
/* Files end at 2^32 blocks. */
#define LIMIT	((off_t)BLOCK << 32)

FIXTURE(reserve)
{
	int nr;
	struct pool p;
	uint64_t used;		/* blocks used by other files */
};

static int limit_blocks(const struct pool *p, uint64_t blocks)
{
	char options[64];

	snprintf(options, sizeof(options), "size=%luk", (unsigned long)(blocks * (BLOCK / KIB)));
	return mount(NULL, p->mnt, NULL, MS_REMOUNT, options);
}

FIXTURE_SETUP(reserve)
{
	int nodes[MAX_POOLS];
	struct statfs st;

	self->nr = pool_nodes(nodes);
	if (!self->nr)
		SKIP(return, "no pool on this machine");
	ASSERT_TRUE(pool_setup(&self->p, nodes[0]));
	ASSERT_EQ(0, self->p.reserved_blocks);
	ASSERT_GE(self->p.free_blocks, LEFT);
	ASSERT_EQ(0, statfs(self->p.mnt, &st));
	self->used = st.f_blocks - st.f_bfree;
	ASSERT_EQ(0, limit_blocks(&self->p, self->used + LEFT));
	catch_faults();
}

FIXTURE_TEARDOWN_PARENT(reserve)
{
	if (!self->nr)
		return;
	limit_blocks(&self->p, 0);
	EXPECT_STREQ("", pool_teardown(&self->p) ?: "");
}

/* Returns the reserved blocks that sysfs shows, UINT64_MAX if statfs() disagrees. */
static uint64_t nr_reserved(const struct pool *p)
{
	uint64_t bytes = pool_sysfs(p, "reserved");
	struct statfs st;

	if (bytes % BLOCK || statfs(p->mnt, &st) ||
	    st.f_bfree - st.f_bavail != bytes / BLOCK)
		return UINT64_MAX;
	return bytes / BLOCK;
}

/* Returns how many blocks of a mapping can be written to. */
static size_t pokes(char *p, size_t blocks)
{
	size_t i, nr = 0;

	for (i = 0; i < blocks; i++)
		nr += !poke(p + i * BLOCK, i);
	return nr;
}

TEST_F(reserve, more_than_there_is)
{
	int fd = file_make(&self->p, "file", (LEFT + 1) * BLOCK);
	struct statfs st;
	char *p;

	ASSERT_GE(fd, 0);
	EXPECT_EQ(ENOMEM, ERR(map_reserved(fd, 0, (LEFT + 1) * BLOCK)));
	EXPECT_EQ(ENOMEM, ERR(mmap(NULL, (LEFT + 1) * BLOCK, PROT_NONE, MAP_SHARED, fd, 0)));
	EXPECT_EQ(ENOMEM, ERR(mmap(NULL, (LEFT + 1) * BLOCK, RW, MAP_SHARED | MAP_POPULATE, fd,
				   0)));
	EXPECT_EQ(0, nr_reserved(&self->p));
	EXPECT_EQ(0, file_sectors(fd));
	p = map_reserved(fd, 0, LEFT * BLOCK);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(LEFT, nr_reserved(&self->p));
	ASSERT_EQ(0, statfs(self->p.mnt, &st));
	EXPECT_EQ(LEFT, st.f_bfree);
	EXPECT_EQ(0, st.f_bavail);
	/* A mapping of one page reserves a block. */
	EXPECT_EQ(ENOMEM, ERR(map_reserved(fd, LEFT * BLOCK, PAGE)));
	munmap(p, LEFT * BLOCK);
	EXPECT_EQ(0, nr_reserved(&self->p));
	p = map_file(fd, 0, (LEFT + 1) * BLOCK);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, nr_reserved(&self->p));
	EXPECT_EQ(LEFT, pokes(p, LEFT + 1));
	EXPECT_EQ(FAULT(SIGBUS), peek(p + LEFT * BLOCK));
	/* Blocks that the file has need no reservation. */
	p = map_reserved(fd, 0, LEFT * BLOCK);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, nr_reserved(&self->p));
	EXPECT_EQ(ENOMEM, ERR(map_reserved(fd, 0, (LEFT + 1) * BLOCK)));
}

TEST_F(reserve, two_count_once)
{
	int fd = file_make(&self->p, "file", LEFT * BLOCK);
	char *p = map_reserved(fd, 0, 20 * BLOCK), *q, *r;

	ASSERT_NE(MAP_FAILED, p);
	q = map_reserved(fd, 10 * BLOCK, 20 * BLOCK);
	ASSERT_NE(MAP_FAILED, q);
	EXPECT_EQ(30, nr_reserved(&self->p));
	r = map_reserved(fd, 0, LEFT * BLOCK);
	ASSERT_NE(MAP_FAILED, r);
	EXPECT_EQ(LEFT, nr_reserved(&self->p));
	EXPECT_EQ(0, poke(q, 1));
	EXPECT_EQ(LEFT - 1, nr_reserved(&self->p));
	munmap(r, LEFT * BLOCK);
	EXPECT_EQ(29, nr_reserved(&self->p));
	munmap(p, 20 * BLOCK);
	EXPECT_EQ(19, nr_reserved(&self->p));
	munmap(q, 20 * BLOCK);
	EXPECT_EQ(0, nr_reserved(&self->p));
}

/* A reservation is for one file, no matter by which call that file or another one allocates. */
TEST_F(reserve, not_for_others)
{
	int fd = file_make(&self->p, "file", 20 * BLOCK);
	int other = file_make(&self->p, "other", LEFT * BLOCK);
	char *p = map_reserved(fd, 0, 20 * BLOCK), *q = map_file(other, 0, LEFT * BLOCK);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(MAP_FAILED, q);
	EXPECT_EQ(ENOSPC, ERR(fallocate(other, 0, 0, (LEFT - 19) * BLOCK)));
	EXPECT_EQ(ENOMEM, ERR(map_reserved(other, 0, (LEFT - 19) * BLOCK)));
	EXPECT_EQ(0, fallocate(other, 0, 0, (LEFT - 21) * BLOCK));
	EXPECT_EQ(0, poke(q + (LEFT - 21) * BLOCK, 1));
	EXPECT_EQ(FAULT(SIGBUS), poke(q + (LEFT - 20) * BLOCK, 1));
	/*
	 * After the end of the mapping, the file has no reservation and competes with other files.
	 */
	EXPECT_EQ(ENOSPC, ERR(fallocate(fd, 0, 0, 21 * BLOCK)));
	EXPECT_EQ(20, nr_reserved(&self->p));
	EXPECT_EQ(0, fallocate(fd, 0, 0, 10 * BLOCK));
	EXPECT_EQ(10, nr_reserved(&self->p));
	EXPECT_EQ(20, pokes(p, 20));
	EXPECT_EQ(0, nr_reserved(&self->p));
	EXPECT_EQ(0, pool_free_blocks(&self->p));
}

static int punch(int fd, char *p)
{
	(void)p;
	return fallocate(fd, PUNCH, 0, 10 * BLOCK);
}

static int madvise_remove(int fd, char *p)
{
	(void)fd;
	return madvise(p, 10 * BLOCK, MADV_REMOVE);
}

static int truncate_and_grow(int fd, char *p)
{
	(void)p;
	return ftruncate(fd, 10 * BLOCK) || ftruncate(fd, 20 * BLOCK) ? -1 : 0;
}

/* A block that is removed from the file stays reserved as long as it is mapped. */
TEST_F(reserve, holes)
{
	static int (* const ways[])(int fd, char *p) = { punch, madvise_remove, truncate_and_grow };
	int fd = file_make(&self->p, "file", 20 * BLOCK);
	int other = file_make(&self->p, "other", 0);
	char *p = map_reserved(fd, 0, 20 * BLOCK);
	int i;

	ASSERT_NE(MAP_FAILED, p);
	for (i = 0; i < ARRAY_SIZE(ways); i++) {
		EXPECT_EQ(20, pokes(p, 20));
		EXPECT_EQ(0, nr_reserved(&self->p));
		ASSERT_EQ(0, ways[i](fd, p));
		EXPECT_EQ(10, nr_reserved(&self->p));
		EXPECT_EQ(ENOSPC, ERR(fallocate(other, 0, 0, (LEFT - 19) * BLOCK)));
	}
	ASSERT_EQ(0, fallocate(other, 0, 0, (LEFT - 20) * BLOCK));
	EXPECT_EQ(20, pokes(p, 20));
	ASSERT_EQ(0, punch(fd, p));
	munmap(p, 20 * BLOCK);
	EXPECT_EQ(0, nr_reserved(&self->p));
	EXPECT_EQ(0, fallocate(other, 0, 0, (LEFT - 10) * BLOCK));
}

/* A mapping keeps its whole reservation while it is split, moved or unmapped in part. */
TEST_F(reserve, pieces)
{
	int fd = file_make(&self->p, "file", 20 * BLOCK);
	char *p = map_reserved(fd, 0, 20 * BLOCK), *q = reserve(20 * BLOCK, BLOCK);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, mprotect(p + 2 * BLOCK, PAGE, PROT_READ));
	ASSERT_EQ(0, munmap(p + 5 * BLOCK, BLOCK));
	ASSERT_EQ(0, munmap(p, BLOCK));
	EXPECT_EQ(20, nr_reserved(&self->p));
	ASSERT_EQ(0, mprotect(p + 2 * BLOCK, PAGE, RW));
	EXPECT_EQ(q, mremap(p + 6 * BLOCK, 14 * BLOCK, 14 * BLOCK, MREMAP_MAYMOVE | MREMAP_FIXED,
			    q));
	EXPECT_EQ(20, nr_reserved(&self->p));
	EXPECT_EQ(EFAULT, ERR(mremap(q, 14 * BLOCK, 15 * BLOCK, MREMAP_MAYMOVE)));
	EXPECT_EQ(EFAULT, ERR(mremap(q, 0, 14 * BLOCK, MREMAP_MAYMOVE)));
	EXPECT_EQ(q, mremap(q, 14 * BLOCK, 10 * BLOCK, 0));
	EXPECT_EQ(20, nr_reserved(&self->p));
	EXPECT_EQ(10, pokes(q, 10));
	EXPECT_EQ(10, nr_reserved(&self->p));
	ASSERT_EQ(0, munmap(p, 6 * BLOCK));
	EXPECT_EQ(10, nr_reserved(&self->p));
	ASSERT_EQ(0, munmap(q, 10 * BLOCK));
	EXPECT_EQ(0, nr_reserved(&self->p));
}

/* MAP_FIXED releases the reservation of the old mapping before it reserves for the new one. */
TEST_F(reserve, mapped_over)
{
	int fd = file_make(&self->p, "file", LEFT * BLOCK);
	int other = file_make(&self->p, "other", LEFT * BLOCK);
	char *p = reserve(LEFT * BLOCK, BLOCK);

	ASSERT_EQ(p, map_reserved_at(p, fd, 0, LEFT * BLOCK));
	EXPECT_EQ(LEFT, nr_reserved(&self->p));
	ASSERT_EQ(p, map_reserved_at(p, other, 0, LEFT * BLOCK));
	EXPECT_EQ(LEFT, nr_reserved(&self->p));
	EXPECT_EQ(0, poke(p, 1));
	EXPECT_EQ(BLOCK_SECTORS, file_sectors(other));
	/* If mmap() fails, the reservation is released. */
	EXPECT_EQ(ENOMEM, ERR(map_reserved_at(p, fd, 0, LEFT * BLOCK)));
	EXPECT_EQ(0, nr_reserved(&self->p));
	ASSERT_EQ(p, map_at(p, fd, 0, LEFT * BLOCK));
	EXPECT_EQ(0, nr_reserved(&self->p));
}

/* fork() does not copy a reservation, and the exit of a process releases it. */
TEST_F(reserve, processes)
{
	int fd = file_make(&self->p, "file", LEFT * BLOCK), status, i;
	char *p = map_reserved(fd, 0, 4 * BLOCK);
	int ready[2];
	pid_t pid;
	char byte;

	ASSERT_NE(MAP_FAILED, p);
	pid = fork();
	if (!pid)
		_exit(nr_reserved(&self->p) != 4 || peek(p) != FAULT(SIGSEGV));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(4, nr_reserved(&self->p));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, pipe(ready));
		pid = fork();
		if (!pid) {
			char *q = map_reserved(fd, 0, (20 + i) * BLOCK);

			if (q == MAP_FAILED || pokes(q, 5 + i) != 5 + i ||
			    write(ready[1], "", 1) != 1)
				_exit(1);
			pause();
		}
		close(ready[1]);
		ASSERT_EQ(1, read(ready[0], &byte, 1));
		close(ready[0]);
		EXPECT_EQ(15, nr_reserved(&self->p));
		ASSERT_EQ(0, kill(pid, SIGKILL));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_EQ(0, nr_reserved(&self->p));
	}
	/* The four blocks of the first mapping are reserved again after a punch. */
	ASSERT_EQ(0, punch(fd, NULL));
	EXPECT_EQ(4, nr_reserved(&self->p));
	munmap(p, 4 * BLOCK);
	EXPECT_EQ(0, nr_reserved(&self->p));
}

/*
 * A mapping by a descriptor that can make the file grow reserves blocks after the end of the file.
 * A mapping by a read-only descriptor reserves only up to the end.
 */
TEST_F(reserve, behind_the_end)
{
	int fd = file_make(&self->p, "file", BLOCK + PAGE);
	int readable = open(pool_path(&self->p, "file"), O_RDONLY);
	char *p = map_reserved(fd, 0, 10 * BLOCK), *q;

	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(10, nr_reserved(&self->p));
	EXPECT_EQ(FAULT(SIGBUS), poke(p + 2 * BLOCK, 1));
	ASSERT_EQ(0, ftruncate(fd, 10 * BLOCK));
	EXPECT_EQ(10, pokes(p, 10));
	munmap(p, 10 * BLOCK);
	ASSERT_EQ(0, ftruncate(fd, 0));
	ASSERT_EQ(0, ftruncate(fd, BLOCK + PAGE));
	q = mmap(NULL, 2 * LEFT * BLOCK, PROT_READ, MAP_SHARED, readable, 0);
	ASSERT_NE(MAP_FAILED, q);
	EXPECT_EQ(2, nr_reserved(&self->p));
	munmap(q, 2 * LEFT * BLOCK);
	EXPECT_EQ(0, nr_reserved(&self->p));
	q = mmap(NULL, BLOCK, PROT_READ, MAP_SHARED, readable, 5 * BLOCK);
	ASSERT_NE(MAP_FAILED, q);
	EXPECT_EQ(0, nr_reserved(&self->p));
	/* A file cannot be larger than 2^32 blocks, so blocks after that are not reserved. */
	p = map_reserved(fd, LIMIT - BLOCK, 2 * LEFT * BLOCK);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(1, nr_reserved(&self->p));
	munmap(p, 2 * LEFT * BLOCK);
	p = map_reserved(fd, LIMIT, 2 * LEFT * BLOCK);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, nr_reserved(&self->p));
	munmap(p, 2 * LEFT * BLOCK);
}

TEST_F(reserve, read_only_filesystem)
{
	int fd = file_make(&self->p, "file", 2 * LEFT * BLOCK);
	char *p;

	ASSERT_GE(fd, 0);
	close(fd);
	ASSERT_EQ(0, mount(NULL, self->p.mnt, NULL, MS_REMOUNT | MS_RDONLY, NULL));
	fd = open(pool_path(&self->p, "file"), O_RDONLY);
	ASSERT_GE(fd, 0);
	p = mmap(NULL, 2 * LEFT * BLOCK, PROT_READ, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, nr_reserved(&self->p));
	munmap(p, 2 * LEFT * BLOCK);
	close(fd);
	ASSERT_EQ(0, mount(NULL, self->p.mnt, NULL, MS_REMOUNT, NULL));
}

/*
 * A lower limit of the mount than the reserved blocks is refused. A mapping keeps its reservation
 * when the file is unlinked.
 */
TEST_F(reserve, limits_and_names)
{
	int fd = file_make(&self->p, "file", LEFT * BLOCK);
	char *p = map_reserved(fd, 0, 20 * BLOCK);

	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, poke(p, 1));
	EXPECT_EQ(EINVAL, ERR(limit_blocks(&self->p, self->used + 19)));
	EXPECT_EQ(0, limit_blocks(&self->p, self->used + 20));
	EXPECT_EQ(ENOSPC, ERR(fallocate(fd, 0, 20 * BLOCK, 1)));
	close(fd);
	ASSERT_EQ(0, unlink(pool_path(&self->p, "file")));
	EXPECT_EQ(19, nr_reserved(&self->p));
	EXPECT_EQ(20, pokes(p, 20));
	EXPECT_EQ(0, pool_free_blocks(&self->p));
	munmap(p, 20 * BLOCK);
	EXPECT_EQ(0, nr_reserved(&self->p));
	EXPECT_EQ(20, pool_free_blocks(&self->p));
}

/* A reserved gigabyte gets one entry, even if the pool has no other free block. */
TEST_F(reserve, gigabyte)
{
	const uint64_t blocks = GIB / BLOCK;
	int fd = file_make(&self->p, "file", GIB);
	char *p;

	if (self->p.free_blocks < blocks)
		SKIP(return, "the pool is too small");
	ASSERT_EQ(0, limit_blocks(&self->p, self->used + blocks));
	p = map_reserved(fd, 0, GIB);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(blocks, nr_reserved(&self->p));
	EXPECT_EQ(0, poke(p, 1));
	EXPECT_EQ(blocks - file_sectors(fd) / BLOCK_SECTORS, nr_reserved(&self->p));
	EXPECT_EQ(0, poke(p + GIB - 1, 1));
	ASSERT_EQ(0, fallocate(fd, 0, 0, GIB));
	EXPECT_EQ(0, nr_reserved(&self->p));
	EXPECT_EQ(GIB / 512, file_sectors(fd));
	munmap(p, GIB);
}

TEST_HARNESS_MAIN
