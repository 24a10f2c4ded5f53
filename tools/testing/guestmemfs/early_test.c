// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests how much memory is left to the kernel before pools are made.
 */
#include <stdlib.h>

#include "../../../fs/guestmemfs/tables/early.h"
#include "tables_pool.h"

struct spread {
	const char *text;
	u32 node;
	u32 nr_nodes;
	u64 whole;
	u64 value;
};

static const struct spread spreads[] = {
	{ "4", 0, 2, 0, 2 },
	{ "4", 1, 2, 0, 2 },
	{ "5", 0, 2, 0, 3 },
	{ "0", 0, 2, 0, 0 },
	{ "4", 0, 0, 0, 4 },
	{ "0:1,1:3", 0, 2, 0, 1 },
	{ "0:1,1:3", 1, 2, 0, 3 },
	{ "0:1,1:3", 2, 4, 0, 0 },
	{ "1:3", 0, 2, 0, 0 },
	{ "2G", 0, 2, 0, GIB },
	{ "2g", 1, 2, 0, GIB },
	{ "0:1G,1:512M", 1, 2, 0, 512 * MIB },
	{ "0:4k", 0, 2, 0, 4096 },
	{ "1T", 0, 1, 0, 1024 * GIB },
	{ "10%", 1, 2, 10 * GIB, GIB },
	{ "0:10%,1:20%", 0, 2, 10 * GIB, GIB },
	{ "0:10%,1:20%", 1, 2, 10 * GIB, 2 * GIB },
	{ "300%", 0, 1, 100, 100 },
	{ "0:1%,1:1G", 1, 2, 0, GIB },
	{ "99999999999999999999", 0, 1, 0, GMFS_EARLY_MAX },
	{ "99999999999999999999G", 0, 1, 0, GMFS_EARLY_MAX },
	{ "18446744073709551615T", 0, 1, 0, GMFS_EARLY_MAX },
	{ "", 0, 1, 0, 0 },
	{ "x", 0, 1, 0, 0 },
	{ ":", 0, 1, 0, 0 },
	{ "0:", 0, 1, 0, 0 },
	{ "0:x,0:1", 0, 1, 0, 0 },
	{ "1:1;0:2", 0, 2, 0, 0 },
	{ "1:1,", 0, 2, 0, 0 },
};

static void spread(const void *arg)
{
	const struct spread *s = arg;
	/* A heap copy of exact size: the address sanitizer sees reads behind its end. */
	char *text = strdup(s->text);

	CHECK(text);
	CHECK_EQ(gmfs_early_spread(text, s->node, s->nr_nodes, s->whole), s->value);
	free(text);
}

/* The memory left to the kernel is more than real machines were seen to need. */
static void early_enough(const void *arg)
{
	struct gmfs_early_node n = { .size = 8 * GIB, .want = 8 * GIB, .cpus = 2 };

	(void)arg;
	/* Memory for struct pages of the memory that the kernel keeps, and for percpu variables. */
	CHECK(gmfs_early_kern(&n) >= GIB / 64 + MIB);
	CHECK(gmfs_early_free(&n) >= gmfs_early_kern(&n) + 4 * MIB + 32 * MIB);
	/* The same for a terabyte and 256 processors. */
	n = (struct gmfs_early_node){ .size = 1024 * GIB, .want = 512 * GIB, .cpus = 256 };
	CHECK(gmfs_early_kern(&n) >= 8 * GIB + 128 * MIB);
	CHECK(gmfs_early_free(&n) >= 8 * GIB + 512 * MIB);
	/* The kernel does not keep much more than it needs. */
	CHECK(gmfs_early_free(&n) <= 10 * GIB);
	CHECK(gmfs_early_anywhere(0) >= 16 * MIB);
	CHECK(gmfs_early_anywhere(1024 * GIB) >= 2 * GIB);
}

/* On a node without processors whose whole memory is requested the kernel keeps little. */
static void early_little(const void *arg)
{
	struct gmfs_early_node n = { .size = 256 * GIB, .want = 256 * GIB };

	(void)arg;
	CHECK(gmfs_early_kern(&n) <= 64 * MIB);
	CHECK(gmfs_early_free(&n) <= 128 * MIB);
	CHECK(gmfs_early_pool(256 * GIB, 256 * GIB, 256 * GIB, &n) >= 255 * GIB);
	CHECK_EQ(gmfs_early_huge(&n), 0);
}

static void early_hugetlb(const void *arg)
{
	struct gmfs_early_node n = { .size = 16 * GIB, .want = 16 * GIB, .huge = 2 * GIB };

	(void)arg;
	/* Any three gigabytes of memory contain two whole, aligned ones. */
	CHECK_EQ(gmfs_early_huge(&n), 3 * GIB);
	CHECK(gmfs_early_free(&n) > 3 * GIB);
	/* gmfs_early_kern() does not count gigantic pages, but a CMA area for them. */
	CHECK(gmfs_early_kern(&n) < GIB);
	n.cma = GIB;
	CHECK_EQ(gmfs_early_huge(&n), 4 * GIB);
	CHECK(gmfs_early_kern(&n) > GIB);
	/* The CMA area must not be counted twice. */
	CHECK(gmfs_early_free(&n) < 5 * GIB);
	CHECK(gmfs_early_pool(16 * GIB, 15 * GIB, 13 * GIB, &n) <= 9 * GIB);
	n.huge = n.size;
	n.cma = n.size;
	CHECK_EQ(gmfs_early_pool(16 * GIB, 15 * GIB, 13 * GIB, &n), 0);
}

static void early_low(const void *arg)
{
	struct gmfs_early_node n = { .size = 8 * GIB, .low = 2 * GIB, .want = GIB, .cpus = 2 };

	(void)arg;
	/* There is enough memory above 4 GiB, so nothing is kept below. */
	CHECK_EQ(gmfs_early_low(&n), 0);
	n.want = 8 * GIB;
	CHECK_EQ(gmfs_early_low(&n), gmfs_early_kern(&n));
	n.cma = GIB;
	CHECK_EQ(gmfs_early_low(&n), gmfs_early_kern(&n) - GIB);
	n = (struct gmfs_early_node){ .size = 2 * GIB, .low = 2 * GIB };
	CHECK_EQ(gmfs_early_low(&n), gmfs_early_kern(&n));
	n = (struct gmfs_early_node){ .size = 2 * GIB, .want = 2 * GIB };
	CHECK_EQ(gmfs_early_low(&n), 0);
}

static void early_pool(const void *arg)
{
	struct gmfs_early_node n = { .size = 8 * GIB, .want = GIB, .cpus = 1 };
	u64 keep = gmfs_early_free(&n);

	(void)arg;
	/* An amount that fits is granted. */
	CHECK_EQ(gmfs_early_pool(GIB, 4 * GIB, 4 * GIB, &n), GIB);
	/* Otherwise the pool gets all memory except metadata and what the kernel keeps. */
	CHECK(gmfs_early_pool(GIB, GIB, GIB, &n) <= GIB - keep - 8 * MIB);
	CHECK(gmfs_early_pool(GIB, GIB, GIB, &n) >= GIB - keep - 10 * MIB);
	CHECK_EQ(gmfs_early_pool(GIB, keep, keep, &n), 0);
	CHECK_EQ(gmfs_early_pool(GIB, 0, 0, &n), 0);
	CHECK_EQ(gmfs_early_pool(0, GIB, GIB, &n), 0);
	CHECK_EQ(gmfs_early_pool(GIB, 8 * GIB, 0, &n), 0);
	/* The pool gets everything that can be taken, since metadata can be in other memory. */
	CHECK_EQ(gmfs_early_pool(8 * GIB, 3 * GIB, 2 * GIB, &n), 2 * GIB);
	/* KASAN's shadow takes an eighth of all memory. */
	n.shadow = GIB;
	CHECK(gmfs_early_pool(8 * GIB, 8 * GIB, 8 * GIB, &n) < 7 * GIB);
}

void early_tests(void)
{
	for (u32 i = 0; i < ARRAY_SIZE(spreads); i++)
		test_add(spread, &spreads[i], "spread: '%s' on node %u of %u", spreads[i].text,
			 spreads[i].node, spreads[i].nr_nodes);
	TEST(early_enough);
	TEST(early_little);
	TEST(early_hugetlb);
	TEST(early_low);
	TEST(early_pool);
}
