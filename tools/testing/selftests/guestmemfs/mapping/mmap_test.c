// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mappings of guestmemfs files: which mappings are possible, what they contain, and how they follow
 * changes of the file.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/mman.h>
#include <sys/stat.h>

#include "fixture.h"

#define PUNCH	(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)

TEST_F(in_pool, what_is_refused)
{
	int fd = file_make(&self->p, "file", 4 * BLOCK);
	int readable = open(pool_path(&self->p, "file"), O_RDONLY);
	const int rw = PROT_READ | PROT_WRITE;

	ASSERT_GE(fd, 0);
	ASSERT_GE(readable, 0);
	EXPECT_EQ(EINVAL, ERR(mmap(NULL, BLOCK, rw, MAP_PRIVATE, fd, 0)));
	EXPECT_EQ(EINVAL, ERR(mmap(NULL, BLOCK, PROT_READ, MAP_PRIVATE, fd, 0)));
	EXPECT_EQ(EINVAL, ERR(mmap(NULL, BLOCK, PROT_READ, MAP_PRIVATE, readable, 0)));
	EXPECT_EQ(EINVAL, ERR(mmap(NULL, BLOCK, rw, MAP_SHARED, fd, 1)));
	EXPECT_EQ(EINVAL, ERR(mmap(NULL, BLOCK, rw, MAP_SHARED, fd, 512)));
	EXPECT_EQ(EINVAL, ERR(mmap(NULL, 0, rw, MAP_SHARED, fd, 0)));
	EXPECT_EQ(EOVERFLOW, ERR(mmap(NULL, BLOCK, rw, MAP_SHARED, fd, -(off_t)PAGE)));
	EXPECT_EQ(EACCES, ERR(mmap(NULL, BLOCK, rw, MAP_SHARED, readable, 0)));
	EXPECT_EQ(EOPNOTSUPP, ERR(mmap(NULL, BLOCK, rw, MAP_SHARED_VALIDATE | MAP_SYNC, fd, 0)));
	EXPECT_EQ(0, file_sectors(fd));
}

TEST_F(in_pool, read_only)
{
	int fd = file_make(&self->p, "file", 2 * BLOCK);
	int readable = open(pool_path(&self->p, "file"), O_RDONLY);
	unsigned char *p = map_file(fd, 0, 2 * BLOCK), *q;

	ASSERT_NE(MAP_FAILED, p);
	q = mmap(NULL, 2 * BLOCK, PROT_READ, MAP_SHARED, readable, 0);
	ASSERT_NE(MAP_FAILED, q);
	EXPECT_EQ(0, peek(q));
	EXPECT_EQ(FAULT(SIGSEGV), poke(q, 1));
	EXPECT_EQ(FAULT(SIGSEGV), poke(q + BLOCK, 1));
	EXPECT_EQ(EACCES, ERR(mprotect(q, BLOCK, PROT_READ | PROT_WRITE)));
	p[0] = 1;
	EXPECT_EQ(1, q[0]);
}

/* mprotect() changes neither the contents nor the frames of a mapping. */
TEST_F(in_pool, mprotect)
{
	int fd = file_make(&self->p, "file", 4 * BLOCK);
	unsigned char *p = mmap(NULL, 4 * BLOCK, PROT_NONE, MAP_SHARED, fd, 0);

	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(FAULT(SIGSEGV), peek(p));
	EXPECT_EQ(0, file_sectors(fd));
	ASSERT_EQ(0, mprotect(p, 4 * BLOCK, PROT_READ | PROT_WRITE));
	fill(p, 4 * BLOCK, 4);
	ASSERT_EQ(0, mprotect(p, 4 * BLOCK, PROT_READ));
	EXPECT_EQ(FAULT(SIGSEGV), poke(p, 1));
	EXPECT_TRUE(is_filled(p, 4 * BLOCK, 4));
	/* A change of a part of a large entry splits the entry. */
	ASSERT_EQ(0, mprotect(p + BLOCK + PAGE, PAGE, PROT_READ | PROT_WRITE));
	EXPECT_EQ(0, poke(p + BLOCK + PAGE, p[BLOCK + PAGE]));
	EXPECT_EQ(FAULT(SIGSEGV), poke(p + BLOCK, 1));
	EXPECT_EQ(FAULT(SIGSEGV), poke(p + BLOCK + 2 * PAGE, 1));
	ASSERT_EQ(0, mprotect(p + 2 * BLOCK, BLOCK, PROT_NONE));
	EXPECT_EQ(FAULT(SIGSEGV), peek(p + 2 * BLOCK));
	ASSERT_EQ(0, mprotect(p, 4 * BLOCK, PROT_READ | PROT_WRITE));
	EXPECT_TRUE(is_filled(p, 4 * BLOCK, 4));
	EXPECT_EQ(4 * BLOCK_SECTORS, file_sectors(fd));
}

struct end_case {
	off_t size;
	off_t good;		/* last byte that can be accessed */
	off_t bad;		/* first byte that gets SIGBUS */
};

static const struct end_case end_cases[] = {
	{ 1,			PAGE - 1,		PAGE },
	{ PAGE,			PAGE - 1,		PAGE },
	{ PAGE + 1,		2 * PAGE - 1,		2 * PAGE },
	{ BLOCK,		BLOCK - 1,		BLOCK },
	{ BLOCK + PAGE,		BLOCK + PAGE - 1,	BLOCK + PAGE },
	{ 2 * BLOCK - 1,	2 * BLOCK - 1,		2 * BLOCK },
};

/* A mapping may be longer than the file; accesses after the end of the file get SIGBUS. */
TEST_F(in_pool, past_the_end)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(end_cases); i++) {
		const struct end_case *c = &end_cases[i];
		int fd = file_make(&self->p, "file", c->size);
		unsigned char *p = map_file(fd, 0, 3 * BLOCK);

		ASSERT_NE(MAP_FAILED, p);
		EXPECT_EQ(FAULT(SIGBUS), peek(p + c->bad));
		EXPECT_EQ(FAULT(SIGBUS), poke(p + c->bad, 1));
		EXPECT_EQ(0, peek(p + c->good));
		EXPECT_EQ(0, poke(p + c->good, 1));
		EXPECT_EQ(FAULT(SIGBUS), poke(p + c->bad, 1));
		EXPECT_EQ(FAULT(SIGBUS), peek(p + 3 * BLOCK - 1));
		/* The same byte can be accessed once the file is longer. */
		ASSERT_EQ(0, ftruncate(fd, 3 * BLOCK));
		EXPECT_EQ(0, peek(p + c->bad));
		EXPECT_EQ(0, peek(p + 3 * BLOCK - 1));
		munmap(p, 3 * BLOCK);
		close(fd);
		ASSERT_EQ(0, unlink(pool_path(&self->p, "file")));
	}
	EXPECT_EQ(self->p.free_blocks, pool_free_blocks(&self->p));
}

/* The whole mapping is after the end of the file from the start. */
TEST_F(in_pool, wholly_past_the_end)
{
	int fd = file_make(&self->p, "file", BLOCK);
	unsigned char *p = map_file(fd, 8 * BLOCK, BLOCK);

	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(FAULT(SIGBUS), peek(p));
	EXPECT_EQ(0, file_sectors(fd));
}

static const off_t truncate_sizes[] = {
	0, 1, PAGE, BLOCK, BLOCK + PAGE + 1, 2 * BLOCK, GIB, GIB - BLOCK, GIB + BLOCK - PAGE,
};

/* A truncation removes the blocks from all mappings, whatever the size of the entries. */
TEST_F_TIMEOUT(in_pool, truncated_while_mapped, 600)
{
	const size_t len = GIB + 2 * BLOCK;
	int i;

	if (self->p.free_blocks < len / BLOCK)
		SKIP(return, "the pool is too small");
	for (i = 0; i < ARRAY_SIZE(truncate_sizes); i++) {
		off_t size = truncate_sizes[i], page_end = (size + PAGE - 1) & ~(PAGE - 1);
		int fd = file_make(&self->p, "file", len);
		unsigned char *p = map_file(fd, 0, len), *q = map_file(fd, 0, len);

		ASSERT_NE(MAP_FAILED, p);
		ASSERT_NE(MAP_FAILED, q);
		p[page_end] = 0x77;
		if (page_end)
			p[page_end - 1] = 0x77;
		p[len - 1] = 0x77;
		EXPECT_EQ(0x77, q[page_end]);
		ASSERT_EQ(0, ftruncate(fd, size));
		EXPECT_EQ(FAULT(SIGBUS), peek(p + page_end));
		EXPECT_EQ(FAULT(SIGBUS), poke(q + page_end, 1));
		EXPECT_EQ(FAULT(SIGBUS), peek(p + len - 1));
		EXPECT_EQ(FAULT(SIGBUS), peek(q + len - 1));
		if (page_end)
			EXPECT_EQ(page_end > size ? 0 : 0x77, peek(p + page_end - 1));
		ASSERT_EQ(0, ftruncate(fd, len));
		EXPECT_EQ(0, peek(p + page_end));
		EXPECT_EQ(0, peek(q + len - 1));
		munmap(p, len);
		munmap(q, len);
		close(fd);
		ASSERT_EQ(0, unlink(pool_path(&self->p, "file")));
		EXPECT_EQ(self->p.free_blocks, pool_free_blocks(&self->p));
	}
}

TEST_F(in_pool, punched_while_mapped)
{
	int fd = file_make(&self->p, "file", 4 * BLOCK);
	unsigned char *p = map_file(fd, 0, 4 * BLOCK), *q = map_file(fd, BLOCK, BLOCK);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(MAP_FAILED, q);
	fill(p, 4 * BLOCK, 1);
	EXPECT_NE(0, peek(q));
	ASSERT_EQ(0, fallocate(fd, PUNCH, BLOCK, BLOCK));
	EXPECT_EQ(3 * BLOCK_SECTORS, file_sectors(fd));
	EXPECT_TRUE(is_zero(q, BLOCK));
	EXPECT_TRUE(is_zero(p + BLOCK, BLOCK));
	p[BLOCK + 3] = 3;
	EXPECT_EQ(3, q[3]);
	EXPECT_EQ(1, p[0]);
}

TEST_F(in_pool, outlives_name_and_descriptor)
{
	int fd = file_make(&self->p, "file", BLOCK);
	unsigned char *p = map_file(fd, 0, BLOCK);

	ASSERT_NE(MAP_FAILED, p);
	close(fd);
	ASSERT_EQ(0, unlink(pool_path(&self->p, "file")));
	fill(p, BLOCK, 1);
	EXPECT_TRUE(is_filled(p, BLOCK, 1));
	EXPECT_EQ(self->p.free_blocks - 1, pool_free_blocks(&self->p));
	munmap(p, BLOCK);
	EXPECT_EQ(self->p.free_blocks, pool_free_blocks(&self->p));
}

/* A child does not inherit the mapping of its parent. */
TEST_F(in_pool, not_inherited)
{
	int fd = file_make(&self->p, "file", BLOCK), status;
	unsigned char *p = map_file(fd, 0, BLOCK);
	pid_t pid;

	ASSERT_NE(MAP_FAILED, p);
	p[0] = 1;
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid)
		_exit(peek(p) == FAULT(SIGSEGV) ? 0 : 1);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFEXITED(status));
	EXPECT_EQ(0, WEXITSTATUS(status));
	EXPECT_EQ(1, p[0]);
}

TEST_F(in_pool, mremap)
{
	int fd = file_make(&self->p, "file", 8 * BLOCK);
	unsigned char *p = map_file(fd, 0, 4 * BLOCK), *q;

	ASSERT_NE(MAP_FAILED, p);
	fill(p, 4 * BLOCK, 1);
	EXPECT_EQ(EFAULT, ERR(mremap(p, 4 * BLOCK, 8 * BLOCK, MREMAP_MAYMOVE)));
	EXPECT_EQ(EFAULT, ERR(mremap(p, 4 * BLOCK, 4 * BLOCK + PAGE, 0)));
	EXPECT_TRUE(is_filled(p, 4 * BLOCK, 1));
	/* The mapping may also shrink, or move to an address at which no large entry fits. */
	q = mremap(p, 4 * BLOCK, 2 * BLOCK, 0);
	EXPECT_EQ(p, q);
	EXPECT_EQ(FAULT(SIGSEGV), peek(p + 2 * BLOCK));
	q = reserve(2 * BLOCK, BLOCK);
	ASSERT_NE(MAP_FAILED, q);
	q = mremap(p, 2 * BLOCK, 2 * BLOCK, MREMAP_MAYMOVE | MREMAP_FIXED, q + PAGE);
	ASSERT_NE(MAP_FAILED, q);
	EXPECT_EQ(FAULT(SIGSEGV), peek(p));
	EXPECT_TRUE(is_filled(q, 2 * BLOCK, 1));
	EXPECT_EQ(4 * BLOCK_SECTORS, file_sectors(fd));
}

struct advice_case {
	int advice;
	const char *name;
	int err;
};

#define ADVICE(advice, err) { advice, #advice, err }

/* Each advice that a VMM may give with madvise() for guest memory, and its result. */
static const struct advice_case advice_cases[] = {
	ADVICE(MADV_HUGEPAGE,		0),
	ADVICE(MADV_NOHUGEPAGE,		0),
	ADVICE(MADV_DONTDUMP,		0),
	ADVICE(MADV_DODUMP,		EINVAL),
	ADVICE(MADV_DONTFORK,		0),
	ADVICE(MADV_DOFORK,		EINVAL),
	ADVICE(MADV_MERGEABLE,		0),
	ADVICE(MADV_UNMERGEABLE,	0),
	ADVICE(MADV_NORMAL,		0),
	ADVICE(MADV_RANDOM,		0),
	ADVICE(MADV_SEQUENTIAL,		0),
	ADVICE(MADV_WILLNEED,		0),
	ADVICE(MADV_DONTNEED,		0),
	ADVICE(MADV_FREE,		EINVAL),
	ADVICE(MADV_COLD,		EINVAL),
	ADVICE(MADV_PAGEOUT,		EINVAL),
	ADVICE(MADV_WIPEONFORK,		EINVAL),
	ADVICE(MADV_POPULATE_READ,	0),
	ADVICE(MADV_POPULATE_WRITE,	0),
	ADVICE(MADV_COLLAPSE,		EINVAL),
};

TEST_F(in_pool, madvise)
{
	int fd = file_make(&self->p, "file", 2 * BLOCK), i, err;
	unsigned char *p = map_file(fd, 0, 2 * BLOCK);

	ASSERT_NE(MAP_FAILED, p);
	fill(p, 2 * BLOCK, 1);
	for (i = 0; i < ARRAY_SIZE(advice_cases); i++) {
		const struct advice_case *c = &advice_cases[i];

		err = ERR(madvise(p, 2 * BLOCK, c->advice));
		/* Some advice is known only to kernels with the configuration for it. */
		if (c->advice == MADV_MERGEABLE || c->advice == MADV_UNMERGEABLE) {
			EXPECT_TRUE(!err || err == EINVAL);
		} else {
			EXPECT_EQ(c->err, err)
				TH_LOG("%s", c->name);
		}
		EXPECT_TRUE(is_filled(p, 2 * BLOCK, 1))
			TH_LOG("%s", c->name);
	}
}

/* MADV_REMOVE, by which a balloon gives memory back. */
TEST_F(in_pool, madvise_remove)
{
	int fd = file_make(&self->p, "file", 4 * BLOCK);
	unsigned char *p = map_file(fd, 0, 4 * BLOCK);

	ASSERT_NE(MAP_FAILED, p);
	fill(p, 4 * BLOCK, 1);
	ASSERT_EQ(0, madvise(p + BLOCK, 2 * BLOCK, MADV_REMOVE));
	EXPECT_EQ(2 * BLOCK_SECTORS, file_sectors(fd));
	EXPECT_TRUE(is_zero(p + BLOCK, 2 * BLOCK));
	/* A part of a block is zeroed and stays allocated. */
	ASSERT_EQ(0, madvise(p, PAGE, MADV_REMOVE));
	EXPECT_EQ(4 * BLOCK_SECTORS, file_sectors(fd));
	EXPECT_TRUE(is_zero(p, PAGE));
	EXPECT_NE(0, peek(p + PAGE));
}

/* Guest memory is never swapped. populate_test checks which blocks mlock() allocates. */
TEST_F(in_pool, locked)
{
	int fd = file_make(&self->p, "file", 2 * BLOCK);
	unsigned char *p = map_file(fd, 0, BLOCK), *q;

	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, mlock(p, BLOCK));
	EXPECT_EQ(0, poke(p, 1));
	EXPECT_EQ(0, munlock(p, BLOCK));
	q = mmap(NULL, BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_LOCKED | MAP_POPULATE, fd,
		 BLOCK);
	ASSERT_NE(MAP_FAILED, q);
	EXPECT_EQ(0, poke(q, 1));
	EXPECT_EQ(0, msync(p, BLOCK, MS_SYNC));
}

TEST_F(in_pool, two_views)
{
	int fd = file_make(&self->p, "file", 2 * BLOCK);
	unsigned char *p = map_file(fd, 0, 2 * BLOCK);
	/*
	 * The first mapping has a large entry. The second one starts in the middle of the block and
	 * has small entries.
	 */
	unsigned char *area = reserve(BLOCK, BLOCK), *q;
	size_t i;

	ASSERT_NE(MAP_FAILED, p);
	q = map_at(area + PAGE, fd, 3 * PAGE, BLOCK);
	ASSERT_EQ(area + PAGE, q);
	fill(p, 2 * BLOCK, 1);
	EXPECT_EQ(0, memcmp(p + 3 * PAGE, q, BLOCK));
	for (i = 0; i < BLOCK; i += PAGE)
		q[i + i / PAGE] = 0xee;
	for (i = 0; i < BLOCK; i += PAGE)
		EXPECT_EQ(0xee, p[3 * PAGE + i + i / PAGE]);
}

/* Blocks are allocated one at a time in a range in which one entry of 1 GiB would fit. */
TEST_F(in_pool, one_by_one)
{
	static const size_t there[] = { 0, 3, GIB / BLOCK - 1 }, blocks[] = { 1, 9, 5, 2, 300 };
	unsigned int i, n;

	for (n = 0; n < ARRAY_SIZE(there); n++) {
		int fd = file_make(&self->p, "file", GIB);
		char *p = map_file(fd, 0, GIB), *q;

		ASSERT_EQ(0, fallocate(fd, 0, there[n] * BLOCK, BLOCK));
		ASSERT_NE(MAP_FAILED, p);
		for (i = 0; i < ARRAY_SIZE(blocks); i++)
			EXPECT_EQ(0, poke(p + blocks[i] * BLOCK, i + 1));
		for (i = 0; i < ARRAY_SIZE(blocks); i++) {
			q = map_file(fd, blocks[i] * BLOCK, PAGE);
			EXPECT_EQ(i + 1, peek(q));
			munmap(q, PAGE);
		}
		EXPECT_EQ(0, peek(p + there[n] * BLOCK));
		munmap(p, GIB);
		close(fd);
		ASSERT_EQ(0, unlink(pool_path(&self->p, "file")));
	}
}

TEST_HARNESS_MAIN
