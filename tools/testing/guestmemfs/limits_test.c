// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests the limits of a mount: what can be allocated, which limits are accepted, and how size= is
 * parsed and printed.
 */
#include <stdlib.h>

#include "tables_pool.h"

static int limit_size(struct pool *p, u64 size, u32 percent, bool mounting)
{
	const struct gmfs_limits limits = { .size = size, .percent = percent, .has_size = true };
	const char *why;

	return gmfs_limits_set(&p->t, &limits, mounting, &why);
}

static int limit_inodes(struct pool *p, u64 inodes, bool mounting)
{
	const struct gmfs_limits limits = { .inodes = inodes, .has_inodes = true };
	const char *why;

	return gmfs_limits_set(&p->t, &limits, mounting, &why);
}

static void size_limits_blocks(const void *arg)
{
	struct pool p;
	void *copy;
	u32 a, b;

	(void)arg;
	pool_make_gib(&p, 1);
	a = pool_file(&p);
	b = pool_file(&p);
	copy = malloc(p.meta_size);
	CHECK(copy);
	CHECK_EQ(limit_size(&p, 20 * MIB, 0, false), 0);
	CHECK_EQ(gmfs_blocks_left(&p.t), 10);
	memcpy(copy, p.meta, p.meta_size);
	CHECK_EQ(pool_fill(&p, a, 0, 11), -ENOSPC);
	CHECK(!memcmp(copy, p.meta, p.meta_size));
	CHECK_EQ(pool_fill(&p, a, 0, 7), 0);
	CHECK_EQ(gmfs_blocks_left(&p.t), 3);
	/* The file has one of these four blocks already. */
	CHECK_EQ(pool_fill(&p, a, 6, 4), 0);
	CHECK_EQ(pool_fill(&p, b, 0, 1), -ENOSPC);
	CHECK_EQ(pool_punch(&p, a, 3, 1), 0);
	CHECK_EQ(pool_fill(&p, b, 0, 1), 0);
	CHECK_EQ(gmfs_blocks_left(&p.t), 0);
	pool_check(&p);
	/* The limit is not in the tables, so the next kernel has none. */
	pool_reopen(&p);
	CHECK_EQ(gmfs_blocks_left(&p.t), GROUP - 10);
	CHECK_EQ(pool_fill(&p, b, 0, GROUP - 9), 0);
	free(copy);
	pool_free(&p);
}

/* A limit cannot be less than the reserved blocks, and reservations must not exceed a limit. */
static void size_and_reservations(const void *arg)
{
	struct pool p;
	u32 a;

	(void)arg;
	pool_make_gib(&p, 1);
	a = pool_file(&p);
	CHECK_EQ(pool_fill(&p, a, 0, 10), 0);
	CHECK_EQ(pool_reserve(&p, a, 5, 15), 0);
	CHECK_EQ(limit_size(&p, 38 * MIB, 0, false), -EINVAL);
	CHECK_EQ(p.t.max_blocks, 0);
	CHECK_EQ(limit_size(&p, 40 * MIB, 0, false), 0);
	CHECK_EQ(gmfs_blocks_free(&p.t), 10);
	CHECK_EQ(gmfs_blocks_left(&p.t), 0);
	CHECK_EQ(pool_reserve(&p, a, 20, 1), -ENOSPC);
	CHECK_EQ(limit_size(&p, 42 * MIB, 0, false), 0);
	CHECK_EQ(pool_reserve(&p, a, 20, 2), -ENOSPC);
	CHECK_EQ(pool_reserve(&p, a, 20, 1), 0);
	pool_unreserve(&p, a, 20, 1);
	pool_unreserve(&p, a, 5, 15);
	CHECK_EQ(limit_size(&p, 20 * MIB, 0, false), 0);
	pool_check(&p);
	pool_free(&p);
}

struct size_case {
	u64 size;
	u32 percent;
	bool mounting;
	int err;
	u32 blocks;	/* resulting limit, with 10 of 512 blocks in use; 0: none */
};

/* Applied in this order to one pool. */
static const struct size_case size_cases[] = {
	{ 20 * MIB - 1,	0,	false,	0,		10 },
	{ 18 * MIB,	0,	false,	-EINVAL,	10 },
	{ 1,		0,	false,	-EINVAL,	10 },
	{ 0,		1,	false,	-EINVAL,	10 },
	{ 0,		2,	false,	0,		10 },
	{ 0,		3,	false,	0,		15 },
	{ 0,		100,	false,	0,		512 },
	{ 20 * MIB + 1,	0,	false,	0,		11 },
	{ 22 * MIB,	0,	true,	0,		11 },
	{ 24 * MIB,	0,	true,	-EBUSY,		11 },
	{ 0,		0,	true,	-EBUSY,		11 },
	{ 0,		0,	false,	0,		0 },
	{ 18 * MIB,	0,	true,	-EINVAL,	0 },
	{ 40 * GIB,	0,	true,	0,		20480 },
	{ U64_MAX,	0,	false,	0,		U32_MAX },
};

static void size_is_set(const void *arg)
{
	struct pool p;
	u32 left, i;

	(void)arg;
	pool_make_gib(&p, 1);
	CHECK_EQ(pool_fill(&p, pool_file(&p), 0, 10), 0);
	for (i = 0; i < ARRAY_SIZE(size_cases); i++) {
		const struct size_case *c = &size_cases[i];

		if (limit_size(&p, c->size, c->percent, c->mounting) != c->err)
			FAIL("case %u: not %d", i, c->err);
		left = min_t(u32, c->blocks ?: GROUP, GROUP) - 10;
		CHECK_EQ(p.t.max_blocks, c->blocks);
		CHECK_EQ(gmfs_blocks_left(&p.t), left);
	}
	pool_free(&p);
}

static void inodes_are_limited(const void *arg)
{
	struct pool p;
	u32 ino;

	(void)arg;
	pool_make_gib(&p, 1);
	pool_file(&p);
	/* The root directory counts as an inode. */
	CHECK_EQ(limit_inodes(&p, 1, false), -EINVAL);
	CHECK_EQ(limit_inodes(&p, 3, false), 0);
	CHECK_EQ(limit_inodes(&p, 4, true), -EBUSY);
	CHECK_EQ(limit_inodes(&p, 3, true), 0);
	CHECK_EQ(gmfs_inodes_left(&p.t), 1);
	CHECK_EQ(gmfs_inode_alloc(&p.t, S_IFDIR, &ino), 0);
	CHECK_EQ(gmfs_inode_alloc(&p.t, S_IFDIR, &ino), -ENOSPC);
	gmfs_inode_free(&p.t, ino);
	CHECK_EQ(gmfs_inode_alloc(&p.t, S_IFDIR, &ino), 0);
	CHECK_EQ(gmfs_inodes_left(&p.t), 0);
	/* A change of one limit does not change the other. */
	CHECK_EQ(limit_size(&p, GIB, 0, true), 0);
	CHECK_EQ(p.t.max_inodes, 3);
	CHECK_EQ(limit_inodes(&p, 0, false), 0);
	CHECK_EQ(p.t.max_blocks, GROUP);
	CHECK_EQ(gmfs_inodes_left(&p.t), p.t.free_inodes);
	CHECK_EQ(limit_inodes(&p, U64_MAX, false), 0);
	CHECK_EQ(gmfs_inodes_left(&p.t), p.t.free_inodes);
	pool_free(&p);
}

struct amount {
	const char *text;
	int err;
	u64 bytes;
	u32 percent;
};

static const struct amount amounts[] = {
	{ "0", 0, 0 },
	{ "1", 0, 1 },
	{ "16g", 0, 16 * GIB },
	{ "16777215T", 0, 16777215ULL << 40 },
	{ "1%", 0, 0, 1 },
	{ "100%", 0, 0, 100 },
	{ "", -EINVAL },
	{ "0%", -EINVAL },
	{ "101%", -EINVAL },
	{ "1%%", -EINVAL },
	{ "1 ", -EINVAL },
	{ " 1", -EINVAL },
	{ "1GB", -EINVAL },
	{ "-1", -EINVAL },
	{ "0x10", -EINVAL },
	{ "0:1G", -EINVAL },
	{ "16777216T", -EINVAL },
	{ "18446744073709551616", -EINVAL },
	{ "K", -EINVAL },
	{ "%", -EINVAL },
};

static void amount_is_understood(const void *arg)
{
	const struct amount *a = arg;
	u32 percent = 7;
	u64 bytes = 7;

	CHECK_EQ(gmfs_amount_parse(a->text, &bytes, &percent), a->err);
	if (a->err)
		return;
	CHECK_EQ(bytes, a->bytes);
	CHECK_EQ(percent, a->percent);
}

void limits_tests(void)
{
	u32 i;

	TEST(size_limits_blocks);
	TEST(size_is_set);
	TEST(size_and_reservations);
	TEST(inodes_are_limited);
	for (i = 0; i < ARRAY_SIZE(amounts); i++)
		test_add(amount_is_understood, &amounts[i], "amount '%s'", amounts[i].text);
}
