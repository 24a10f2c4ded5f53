// SPDX-License-Identifier: GPL-2.0-only
/*
 * NUMA policies do not affect guest memory, which always is on the node of its pool, and setting
 * them does no harm.
 */
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "fixture.h"

#define LEN	(4 * BLOCK)
#define PAGES	4

static long mbind(void *p, size_t len, int mode, int node, unsigned int flags)
{
	unsigned long mask = 1UL << node;

	return syscall(SYS_mbind, p, len, mode, mode == MPOL_DEFAULT ? NULL : &mask,
		       8 * sizeof(mask), flags);
}

static long move_pages(void **pages, const int *nodes, int *status, int flags)
{
	return syscall(SYS_move_pages, 0, (long)PAGES, pages, nodes, status, flags);
}

struct bind_case {
	const char *what;
	int mode;
	unsigned int flags;
	bool whole;	/* whole mapping */
};

static const struct bind_case bind_cases[] = {
	{ "bind", MPOL_BIND, 0, true },
	{ "prefer", MPOL_PREFERRED, 0, true },
	{ "interleave", MPOL_INTERLEAVE, 0, true },
	{ "bind a part", MPOL_BIND, 0, false },
	{ "bind, strict", MPOL_BIND, MPOL_MF_STRICT, true },
	{ "bind and move", MPOL_BIND, MPOL_MF_MOVE, true },
	{ "bind and move, strict", MPOL_BIND, MPOL_MF_MOVE | MPOL_MF_STRICT, true },
	{ "move all, strict, a part", MPOL_BIND, MPOL_MF_MOVE_ALL | MPOL_MF_STRICT, false },
	{ "default", MPOL_DEFAULT, 0, true },
};

/* Binds the mapping to another node, with blocks that are allocated and blocks that are not. */
TEST_F(in_pool, mbind)
{
	int other = self->nr > 1 ? self->nodes[1] : self->p.node, i;

	for (i = 0; i < ARRAY_SIZE(bind_cases); i++) {
		const struct bind_case *c = &bind_cases[i];
		int fd = file_make(&self->p, "file", LEN);
		char *p = map_file(fd, 0, LEN);
		size_t from = c->whole ? 0 : PAGE;

		ASSERT_NE(MAP_FAILED, p);
		fill(p, LEN / 2, i);
		EXPECT_EQ(0, ERR(mbind(p + from, LEN - 2 * from, c->mode, other, c->flags)))
			TH_LOG("%s", c->what);
		EXPECT_TRUE(is_filled(p, LEN / 2, i))
			TH_LOG("%s", c->what);
		fill(p + LEN / 2, LEN / 2, i + 1);
		EXPECT_TRUE(is_filled(p + LEN / 2, LEN / 2, i + 1))
			TH_LOG("%s", c->what);
		/* All blocks are from this pool. */
		EXPECT_EQ(LEN / 512, file_sectors(fd));
		EXPECT_EQ(self->p.free_blocks - LEN / BLOCK, pool_free_blocks(&self->p));
		munmap(p, LEN);
		close(fd);
		ASSERT_EQ(0, unlink(pool_path(&self->p, "file")));
	}
}

/* Guest memory has no struct pages, so pages cannot be moved, and their node is not reported. */
TEST_F(in_pool, move_pages)
{
	int other = self->nr > 1 ? self->nodes[1] : self->p.node, i, node;
	int fd = file_make(&self->p, "file", LEN), nodes[PAGES], status[PAGES];
	char *p = map_file(fd, 0, LEN), *host;
	void *pages[PAGES];

	ASSERT_NE(MAP_FAILED, p);
	host = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, host);
	memset(host, 1, PAGES * PAGE);
	fill(p, LEN / 2, 1);
	for (i = 0; i < PAGES; i++) {
		pages[i] = host + i * PAGE;
		nodes[i] = other;
	}
	/* The calls work with ordinary memory. */
	ASSERT_EQ(0, move_pages(pages, NULL, status, 0));
	EXPECT_GE(status[0], 0);
	EXPECT_EQ(0, ERR(syscall(SYS_get_mempolicy, &node, NULL, 0, host,
				 MPOL_F_NODE | MPOL_F_ADDR)));
	/* Include allocated blocks and holes. */
	for (i = 0; i < PAGES; i++)
		pages[i] = p + i * BLOCK + i * PAGE;
	EXPECT_EQ(0, move_pages(pages, NULL, status, 0));
	for (i = 0; i < PAGES; i++)
		EXPECT_EQ(-ENOENT, status[i]);
	EXPECT_EQ(0, move_pages(pages, nodes, status, MPOL_MF_MOVE));
	for (i = 0; i < PAGES; i++)
		EXPECT_EQ(-EFAULT, status[i]);
	EXPECT_EQ(0, move_pages(pages, nodes, status, MPOL_MF_MOVE_ALL));
	for (i = 0; i < PAGES; i++)
		EXPECT_EQ(-EFAULT, status[i]);
	EXPECT_EQ(EFAULT, ERR(syscall(SYS_get_mempolicy, &node, NULL, 0, p,
				      MPOL_F_NODE | MPOL_F_ADDR)));
	EXPECT_TRUE(is_filled(p, LEN / 2, 1));
	EXPECT_EQ(LEN / 2 / 512, file_sectors(fd));
}

/* migrate_pages() moves the process to another node, but not its guest memory. */
TEST_F(in_pool, migrate_pages)
{
	int fd = file_make(&self->p, "file", LEN);
	char *p = map_file(fd, 0, LEN);
	unsigned long from, to;

	if (self->nr < 2)
		SKIP(return, "one pool only");
	ASSERT_NE(MAP_FAILED, p);
	fill(p, LEN, 1);
	from = 1UL << self->nodes[0];
	to = 1UL << self->nodes[1];
	EXPECT_GE(syscall(SYS_migrate_pages, 0, 8 * sizeof(from), &from, &to), 0);
	EXPECT_TRUE(is_filled(p, LEN, 1));
	EXPECT_EQ(LEN / 512, file_sectors(fd));
	EXPECT_EQ(self->p.free_blocks - LEN / BLOCK, pool_free_blocks(&self->p));
}

/* A process that is bound to a node can use the pool of another node. */
TEST_F(in_pool, bound_process)
{
	unsigned long mask;
	char *p;
	int fd;

	if (self->nr < 2)
		SKIP(return, "one pool only");
	mask = 1UL << self->nodes[1];
	ASSERT_EQ(0, ERR(syscall(SYS_set_mempolicy, MPOL_BIND, &mask, 8 * sizeof(mask))));
	fd = file_make(&self->p, "file", LEN);
	ASSERT_GE(fd, 0);
	p = map_file(fd, 0, LEN);
	ASSERT_NE(MAP_FAILED, p);
	fill(p, LEN, 1);
	EXPECT_TRUE(is_filled(p, LEN, 1));
	EXPECT_EQ(self->p.free_blocks - LEN / BLOCK, pool_free_blocks(&self->p));
}

TEST_HARNESS_MAIN
