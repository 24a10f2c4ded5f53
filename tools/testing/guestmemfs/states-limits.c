// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests conversions when there is no room for their result, in the tables or in memory.
 */
#include <stdlib.h>

#include "states.h"

/* Returns the number of entries of the extent table that are in use. */
static u32 states_extents(const struct pool *p)
{
	u32 nr = 0, i;

	for (i = 0; i < states_used_extents(p); i++)
		nr += !!p->t.extents[i].ino;
	return nr;
}

/* Makes a pool of 64 blocks, with extents for these and for 960 parts without blocks. */
static u32 small_pool(struct pool *p)
{
	const struct gmfs_range range = { 896 * MIB, 128 * MIB };

	pool_make(p, &range, 1);
	CHECK_EQ(p->t.total_blocks, 64);
	CHECK_EQ(p->t.nr_extents, 1024 + GMFS_SPARE_EXTENTS);
	CHECK_EQ(p->t.nr_maps, 512);
	return pool_file(p);
}

/* However many parts are converted, each block can still have an extent of its own. */
static void states_leave_room(const void *arg)
{
	struct pool p;
	u32 a, b, c;
	u64 i;

	(void)arg;
	a = small_pool(&p);
	b = pool_file(&p);
	c = pool_file(&p);
	for (i = 0; i < 960; i++)
		CHECK_EQ(pool_convert(&p, a, 2 * i * PAGES, (2 * i + 1) * PAGES, true), 0);
	CHECK_EQ(p.t.nr_blockless, 960);
	CHECK_EQ(pool_convert(&p, b, 0, PAGES, true), -ENOSPC);
	CHECK_EQ(pool_convert(&p, b, 0, 1, true), -ENOSPC);
	CHECK_EQ(pool_extents(&p, b), 0);
	CHECK_EQ(p.t.free_maps, 511);
	/* Joining two extents makes room for one elsewhere. */
	CHECK_EQ(pool_convert(&p, a, PAGES, 2 * PAGES, true), 0);
	CHECK_EQ(p.t.nr_blockless, 959);
	CHECK_EQ(pool_convert(&p, b, 10 * PAGES, 20 * PAGES, true), 0);
	CHECK_EQ(p.t.nr_blockless, 960);
	pool_check(&p);
	/* A block inside an extent without blocks would split it, for which there is no room. */
	CHECK_EQ(pool_fill(&p, b, 15, 1), -ENOSPC);
	CHECK_EQ(pool_fill(&p, b, 5, 20), 0);
	CHECK_EQ(p.t.nr_blockless, 959);
	CHECK_EQ(pool_punch(&p, b, 19, 6), 0);
	CHECK_EQ(p.t.nr_blockless, 960);
	/* A hole would be one more extent, unless it is joined with the one that is there. */
	CHECK_EQ(pool_punch(&p, b, 12, 2), -ENOSPC);
	states_pin(&p, b, 12, 2);
	CHECK_EQ(pool_punch(&p, b, 12, 2), -ENOSPC);
	CHECK_EQ(p.t.detached.blocks, 0);
	states_unpin(&p, b, 12, 2);
	CHECK_EQ(pool_punch(&p, b, 17, 2), 0);
	states_run_is(&p, b, 17, 3, CONVERTED);
	CHECK_EQ(pool_fill(&p, b, 0, 25), 0);
	pool_check(&p);
	/* All blocks of the pool, alternately for two files, so that no two are joined. */
	gmfs_map_clear(&p.t, &p.map[b]);
	CHECK_EQ(pool_convert(&p, b, 0, PAGES, true), 0);
	CHECK_EQ(p.t.nr_blockless, 960);
	for (i = 0; i < 32; i++) {
		CHECK_EQ(pool_fill(&p, b, 10 + i, 1), 0);
		CHECK_EQ(pool_fill(&p, c, 10 + i, 1), 0);
	}
	CHECK_EQ(p.t.free_blocks, 0);
	CHECK_EQ(pool_extents(&p, b) + pool_extents(&p, c), 65);
	CHECK_EQ(states_extents(&p), 1024);
	pool_check(&p);
	pool_reopen(&p);
	CHECK_EQ(p.t.nr_blockless, 960);
	CHECK_EQ(pool_convert(&p, c, 0, PAGES, true), -ENOSPC);
	pool_free(&p);
}

/* With a full table, no extent can be split, but a conversion that needs no new entry succeeds. */
static void full_table_is_cut(const void *arg)
{
	struct pool p;
	u32 a, b;
	u64 i;

	(void)arg;
	a = small_pool(&p);
	b = pool_file(&p);
	for (i = 0; i < 960; i++)
		CHECK_EQ(pool_convert(&p, a, 4 * i * PAGES, (4 * i + 2) * PAGES, true), 0);
	CHECK_EQ(pool_fill(&p, b, 0, 64), 0);
	for (i = 0; i < 64; i += 2) {
		states_pin(&p, b, i, 1);
		CHECK_EQ(pool_punch(&p, b, i, 1), 0);
	}
	CHECK_EQ(pool_extents(&p, b), 32);
	CHECK_EQ(map_extents(&p.t.detached), 32);
	CHECK_EQ(states_extents(&p), 1024);
	CHECK_EQ(pool_convert(&p, a, 41 * PAGES, 42 * PAGES, false), 0);
	states_run_is(&p, a, 40, 1, CONVERTED);
	CHECK_EQ(pool_convert(&p, a, 400 * PAGES + 7, 400 * PAGES + 8, false), -ENOSPC);
	CHECK_EQ(states_extents(&p), 1024);
	pool_check(&p);
	pool_free(&p);
}

/* Detaching needs an entry for the hole if it is converted, and none for the detached blocks. */
static void detached_has_room(const void *arg)
{
	struct pool p;
	u32 a, b;
	u64 i;

	(void)arg;
	a = small_pool(&p);
	b = pool_file(&p);
	CHECK_EQ(pool_fill(&p, b, 0, 10), 0);
	CHECK_EQ(pool_convert(&p, b, 0, 4 * PAGES, true), 0);
	states_pin(&p, b, 0, 10);
	for (i = 0; i < 960; i++)
		CHECK_EQ(pool_convert(&p, a, 2 * i * PAGES, (2 * i + 1) * PAGES, true), 0);
	CHECK_EQ(pool_punch(&p, b, 1, 1), -ENOSPC);
	CHECK_EQ(pool_punch(&p, b, 0, 10), -ENOSPC);
	CHECK_EQ(pool_extents(&p, b), 2);
	CHECK_EQ(p.t.detached.blocks, 0);
	CHECK_EQ(pool_punch(&p, b, 5, 1), 0);
	CHECK_EQ(p.t.detached.blocks, 1);
	pool_check(&p);
	CHECK_EQ(pool_convert(&p, a, 0, PAGES, false), 0);
	CHECK_EQ(pool_punch(&p, b, 0, 10), 0);
	states_run_is(&p, b, 0, 4, CONVERTED);
	CHECK_EQ(p.t.nr_blockless, 960);
	CHECK_EQ(p.t.detached.blocks, 10);
	pool_check(&p);
	pool_kexec(&p);
	states_run_is(&p, b, 0, 4, CONVERTED);
	CHECK_EQ(p.t.free_blocks, 64);
	pool_check(&p);
	pool_free(&p);
}

/* Each mixed block has a map. Entry 0 of the map table is never used. */
static void maps_run_out(const void *arg)
{
	struct pool p;
	u32 a;
	u64 i;

	(void)arg;
	a = small_pool(&p);
	for (i = 0; i < 511; i++)
		CHECK_EQ(pool_convert(&p, a, i * PAGES + i, i * PAGES + i + 1, true), 0);
	CHECK_EQ(p.t.free_maps, 0);
	CHECK_EQ(states_used_maps(&p), 512);
	CHECK(!memchr_inv(&p.t.maps[0], 0, sizeof(p.t.maps[0])));
	CHECK_EQ(pool_convert(&p, a, 600 * PAGES, 600 * PAGES + 1, true), -ENOSPC);
	CHECK_EQ(pool_convert(&p, a, 600 * PAGES + 1, 601 * PAGES + 1, true), -ENOSPC);
	CHECK_EQ(pool_extents(&p, a), 511);
	pool_check(&p);
	/* Blocks that have a map can be changed. */
	CHECK_EQ(pool_convert(&p, a, 7 * PAGES + 100, 7 * PAGES + 200, true), 0);
	/* A map is freed by the same call that needs one, and then by an earlier call. */
	CHECK_EQ(pool_convert(&p, a, 510 * PAGES, 600 * PAGES + 1, true), 0);
	states_run_is(&p, a, 510, 90, CONVERTED);
	states_run_is(&p, a, 600, 1, MIXED);
	CHECK_EQ(pool_convert(&p, a, 0, 1, false), 0);
	CHECK_EQ(pool_convert(&p, a, 700 * PAGES, 700 * PAGES + 1, true), 0);
	CHECK_EQ(p.t.free_maps, 0);
	pool_check(&p);
	pool_reopen(&p);
	CHECK_EQ(p.t.free_maps, 0);
	gmfs_map_clear(&p.t, &p.map[a]);
	CHECK_EQ(p.t.free_maps, 511);
	pool_check(&p);
	pool_free(&p);
}

/* The next kernel finds the same maps in use. */
static void maps_after_kexec(const void *arg)
{
	struct pool p;
	u32 a, i;

	(void)arg;
	a = small_pool(&p);
	for (i = 0; i < 5; i++)
		CHECK_EQ(pool_convert(&p, a, i * PAGES, i * PAGES + 9, true), 0);
	CHECK_EQ(pool_convert(&p, a, PAGES, 2 * PAGES, false), 0);
	CHECK_EQ(states_used_maps(&p), 6);
	pool_reopen(&p);
	CHECK_EQ(p.t.free_maps, 507);
	CHECK_EQ(pool_convert(&p, a, 20 * PAGES, 20 * PAGES + 1, true), 0);
	CHECK_EQ(states_used_maps(&p), 6);
	CHECK_EQ(pool_convert(&p, a, 21 * PAGES, 21 * PAGES + 1, true), 0);
	CHECK_EQ(states_used_maps(&p), 7);
	pool_check(&p);
	pool_free(&p);
}

/* The feature bit is set only when needed: until then an older kernel can take over the pool. */
static void feature_is_announced(const void *arg)
{
	u32 a, crc;
	struct pool p;

	(void)arg;
	a = states_pool(&p, 1);
	crc = le32_to_cpu(p.t.super->crc);
	CHECK_EQ(pool_fill(&p, a, 0, 20), 0);
	CHECK_EQ(pool_punch(&p, a, 5, 5), 0);
	CHECK_EQ(pool_convert(&p, a, 0, PAGES_GIB, false), 0);
	CHECK_EQ(pool_convert(&p, a, 7, 7, true), 0);
	states_pin(&p, a, 0, 3);
	CHECK_EQ(pool_punch(&p, a, 5, 5), 0);
	states_unpin(&p, a, 0, 3);
	CHECK_EQ(le32_to_cpu(p.t.super->feature_incompat), 0);
	CHECK_EQ(le32_to_cpu(p.t.super->crc), crc);
	CHECK(!p.t.has_states);
	CHECK_EQ(states_used_maps(&p), 0);
	switch (*(const u32 *)arg) {
	case 0:
		CHECK_EQ(pool_convert(&p, a, 3, 4, true), 0);
		break;
	case 1:
		states_pin(&p, a, 3, 1);
		CHECK_EQ(pool_punch(&p, a, 3, 1), 0);
		break;
	default:
		gmfs_feature_states(&p.t);
	}
	CHECK_EQ(le32_to_cpu(p.t.super->feature_incompat), GUESTMEMFS_FEATURE_INCOMPAT_STATES);
	CHECK(p.t.has_states && le32_to_cpu(p.t.super->crc) != crc);
	crc = le32_to_cpu(p.t.super->crc);
	pool_reopen(&p);
	CHECK(p.t.has_states);
	gmfs_feature_states(&p.t);
	CHECK_EQ(le32_to_cpu(p.t.super->crc), crc);
	pool_check(&p);
	pool_free(&p);
}

static const u32 announced_by[] = { 0, 1, 2 };

struct memory_case {
	const char *name;
	int (*op)(struct pool *p);
};

static int op_convert(struct pool *p)
{
	return pool_convert(p, 0, 5 * PAGES + 1, 35 * PAGES + 1, true);
}

/* The pins are not a part of the tables. */
static int op_detach(struct pool *p)
{
	int err = pool_pin(p, 0, 26 * PAGES + 7, 48 * PAGES + 1);

	return err ? err : pool_punch(p, 0, 25, 100);
}

static int op_detach_one(struct pool *p)
{
	int err = pool_pin(p, 0, 45 * PAGES, 45 * PAGES + 1);

	return err ? err : pool_punch(p, 0, 40, 8);
}

static int op_fill(struct pool *p)
{
	return pool_fill(p, 0, 61, 2);
}

static int op_punch(struct pool *p)
{
	return pool_punch(p, 0, 21, 2);
}

static const struct memory_case memory_cases[] = {
	{ "convert", op_convert },
	{ "detach", op_detach },
	{ "detach one", op_detach_one },
	{ "fill what is converted", op_fill },
	{ "punch what is converted", op_punch },
};

static void memory_pool(struct pool *p, u32 extents)
{
	u32 a = states_pool(p, 1), i;

	CHECK_EQ(pool_fill(p, a, 0, 50), 0);
	for (i = 0; i < extents; i++)
		CHECK_EQ(pool_fill(p, a, 3000 + 2 * i, 1), 0);
	CHECK_EQ(pool_convert(p, a, 20 * PAGES, 30 * PAGES + 1, true), 0);
	CHECK_EQ(pool_convert(p, a, 60 * PAGES, 64 * PAGES + 1, true), 0);
	states_pin(p, a, 41, 4);
	CHECK_EQ(pool_punch(p, a, 41, 3), 0);
}

static void no_memory(const void *arg)
{
	pool_no_memory(memory_pool, ((const struct memory_case *)arg)->op);
}

void states_limits_tests(void)
{
	u32 i;

	TEST(states_leave_room);
	TEST(full_table_is_cut);
	TEST(detached_has_room);
	TEST(maps_run_out);
	TEST(maps_after_kexec);
	for (i = 0; i < ARRAY_SIZE(announced_by); i++)
		test_add(feature_is_announced, &announced_by[i], "feature_is_announced: %u",
			 announced_by[i]);
	for (i = 0; i < ARRAY_SIZE(memory_cases); i++)
		test_add(no_memory, &memory_cases[i], "no memory: %s", memory_cases[i].name);
}
