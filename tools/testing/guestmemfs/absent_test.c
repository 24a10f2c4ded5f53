// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests the records of absent pages: which there are after a mount, when they count, how many there
 * is room for, and every rule of gmfs_check() for them. states-random.c compares random ones with a
 * model.
 */
#include "state.h"
#include "states.h"

#define NO_EXTENT	"is of no extent"
#define NOT_INSIDE	"is not in its extent"
#define TWICE		"is of a block that another one has"

/* The pool has 1024 maps, 3 of which are in use: room for 907 records of 72 bytes. */
static const struct state states[] = {
	{ "nothing changed" },
	{ "no page", { ABSENT(0, bits[0], 0) } },
	{ "too many records", { LIVE(nr_absent, 908) },
	  SUPER_BAD("more absent pages than there is room for") },
	{ "most records", { LIVE(nr_absent, U32_MAX) },
	  SUPER_BAD("more absent pages than there is room for") },
	{ "one more than written", { LIVE(nr_absent, 4) }, ABSENT_BAD(3, NO_EXTENT) },
	{ "of an extent never used", { ABSENT(0, extent, 9) }, ABSENT_BAD(0, NO_EXTENT) },
	{ "of an extent far away", { ABSENT(2, extent, U32_MAX) }, ABSENT_BAD(2, NO_EXTENT) },
	{ "of a free extent", { ABSENT(0, extent, 2), EXTENT(2, block, 448), EXTENT(2, count, 1),
	  EXTENT(2, flags, ALLOCATED) }, ABSENT_BAD(0, NO_EXTENT) },
	{ "of detached blocks", { ABSENT(0, extent, 5), ABSENT(0, block, 468) },
	  ABSENT_BAD(0, NO_EXTENT) },
	{ "of an extent without blocks", { ABSENT(0, extent, 7), ABSENT(0, block, 0) },
	  ABSENT_BAD(0, NO_EXTENT) },
	{ "before its extent", { ABSENT(0, block, 447) }, ABSENT_BAD(0, NOT_INSIDE) },
	{ "behind its extent", { ABSENT(0, block, 452) }, ABSENT_BAD(0, NOT_INSIDE) },
	{ "far away", { ABSENT(1, block, U32_MAX) }, ABSENT_BAD(1, NOT_INSIDE) },
	{ "first block of all", { ABSENT(1, block, 0) }, ABSENT_BAD(1, NOT_INSIDE) },
	{ "the last block of its extent", { ABSENT(1, block, 451) } },
	{ "a block twice", { ABSENT(1, block, 448) }, ABSENT_BAD(1, TWICE) },
	{ "another extent's block", { ABSENT(2, extent, 0), ABSENT(2, block, 450) },
	  ABSENT_BAD(2, TWICE) },
	/* Records that another kernel may have left behind are not even looked at. */
	{ "mounted since", { LIVE(hops, 8), ABSENT(0, extent, U32_MAX),
	  LIVE(nr_absent, U32_MAX) } },
	{ "of no hop", { LIVE(absent_hop, 0), ABSENT(0, extent, U32_MAX) } },
	{ "of the hop before", { LIVE(absent_hop, 7), ABSENT(0, extent, U32_MAX) } },
	{ "hops begin anew", { LIVE(hops, U32_MAX), LIVE(absent_hop, 1), ABSENT(0, extent, 9) },
	  ABSENT_BAD(0, NO_EXTENT) },
	{ "hops begin anew, but not at 0", { LIVE(hops, U32_MAX), LIVE(absent_hop, 0),
	  ABSENT(0, extent, 9) } },
};

static void check_state(const void *arg)
{
	state_check(arg, state_make_absent);
}

static void record_is(const struct pool *p, u32 i, u32 ino, u64 logical, u32 first, u32 end)
{
	struct gmfs_absence a;

	gmfs_absent_read(&p->t, i, &a);
	CHECK_EQ(a.ino, ino);
	CHECK_EQ(a.logical, logical);
	CHECK_EQ(find_first_bit(a.pages, PAGES), first);
	CHECK_EQ(find_next_zero_bit(a.pages, PAGES, first), end);
	CHECK_EQ(find_next_bit(a.pages, PAGES, end), PAGES);
}

/* The next mount finds the file, the block in the file, and the pages. */
static void records_are_read(const void *arg)
{
	struct pool p;

	(void)arg;
	state_make_absent(&p);
	pool_reopen(&p);
	CHECK_EQ(gmfs_absent_records(&p.t), 3);
	record_is(&p, 0, FILE0, 0, 0, 1);
	record_is(&p, 1, FILE0, 2, 100, 511);
	record_is(&p, 2, ORPHAN, 5, 0, PAGES);
	gmfs_absent_unwrite(&p.t);
	CHECK_EQ(gmfs_absent_records(&p.t), 0);
	pool_free(&p);
}

/* Between the check and the reading, a mount frees the files without a name. */
static void of_a_block_that_is_free_now(const void *arg)
{
	struct gmfs_absence a;
	struct pool p;

	(void)arg;
	state_make_absent(&p);
	gmfs_map_clear(&p.t, &p.map[3]);
	gmfs_absent_read(&p.t, 2, &a);
	CHECK_EQ(a.ino, 0);
	/* The extent's entry may be in use again, for other blocks. */
	CHECK_EQ(pool_fill(&p, 2, 10, 1), 0);
	gmfs_absent_read(&p.t, 2, &a);
	CHECK(!a.ino || a.ino == FILE2);
	pool_free(&p);
}

/* A hole and a block without memory have no record. */
static void only_of_blocks(const void *arg)
{
	struct pool p;

	(void)arg;
	state_make_converted(&p);
	CHECK(!gmfs_absent_record(&p.t, &p.map[0], 4));
	CHECK(!gmfs_absent_record(&p.t, &p.map[1], 200));
	CHECK_EQ(le32_to_cpu(p.t.super->live.nr_absent), 0);
	pool_free(&p);
}

/* All of the unused part of the table is room, and no byte more. */
static void all_the_room(const void *arg)
{
	u32 room, i, file;
	struct pool p;
	u8 *end;

	(void)arg;
	file = states_pool(&p, 2);
	CHECK_EQ(pool_fill(&p, file, 0, 2 * GROUP), 0);
	room = gmfs_absent_room(&p.t);
	CHECK_EQ(room, 2 * GROUP * 64 / 72);
	end = (u8 *)&p.t.maps[p.t.nr_maps];
	memset(end, 0x5a, 72);
	for (i = 0; i < room; i++) {
		unsigned long *bits = gmfs_absent_record(&p.t, &p.map[file], i);

		CHECK(bits && (u8 *)bits + sizeof(struct guestmemfs_absent) <= end);
		bitmap_set(bits, i % PAGES, 1);
	}
	CHECK(!gmfs_absent_record(&p.t, &p.map[file], i));
	CHECK(!memchr_inv(end, 0x5a, 72));
	gmfs_absent_seal(&p.t);
	pool_reopen(&p);
	CHECK_EQ(gmfs_absent_records(&p.t), room);
	for (i = 0; i < room; i++)
		record_is(&p, i, p.ino[file], i, i % PAGES, i % PAGES + 1);
	pool_free(&p);
}

/* Maps that are free again make room at the end of the used part, and not in the middle. */
static void trimmed(const void *arg)
{
	u32 i, file, used;
	struct pool p;

	(void)arg;
	file = states_pool(&p, 4);
	for (i = 0; i < 3 * GROUP; i++)
		CHECK_EQ(pool_convert(&p, file, i * PAGES, i * PAGES + 1, true), 0);
	used = le32_to_cpu(p.t.super->live.used_maps);
	CHECK_EQ(used, 3 * GROUP + 1);
	CHECK_EQ(pool_convert(&p, file, 9 * PAGES, 3 * GROUP * PAGES, false), 0);
	CHECK_EQ(pool_convert(&p, file, 3 * PAGES, 4 * PAGES, false), 0);
	CHECK(gmfs_absent_trim(&p.t));
	CHECK_EQ(le32_to_cpu(p.t.super->live.used_maps), used - 1024);
	CHECK(!gmfs_absent_trim(&p.t));
	CHECK_EQ(le32_to_cpu(p.t.super->live.used_maps), 10);
	CHECK(!gmfs_absent_trim(&p.t));
	CHECK_EQ(gmfs_absent_room(&p.t), (4 * GROUP - 10) * 64 / 72);
	pool_check(&p);
	pool_reopen(&p);
	/* The entries are taken again. */
	CHECK_EQ(pool_convert(&p, file, 0, 1, false), 0);
	for (i = 0; i < 20; i++)
		CHECK_EQ(pool_convert(&p, file, (500 + i) * PAGES, (500 + i) * PAGES + 1, true), 0);
	pool_check(&p);
	/* A table with no entry in use becomes empty. */
	CHECK_EQ(pool_convert(&p, file, 0, 600 * PAGES, false), 0);
	while (gmfs_absent_trim(&p.t))
		;
	CHECK_EQ(le32_to_cpu(p.t.super->live.used_maps), 0);
	pool_check(&p);
	CHECK_EQ(pool_convert(&p, file, 0, 1, true), 0);
	pool_check(&p);
	pool_free(&p);
}

/* An older kernel uses the maps that the records are in, and mounts the pool in the next kernel. */
static void overwritten(const void *arg)
{
	struct pool p;
	u32 i;

	(void)arg;
	state_make_absent(&p);
	p.t.super->live.hops = cpu_to_le32(8);
	for (i = 0; i < 4; i++)
		CHECK_EQ(pool_convert(&p, 0, i * PAGES, i * PAGES + 1, true), 0);
	CHECK_EQ(gmfs_absent_records(&p.t), 0);
	pool_check(&p);
	pool_reopen(&p);
	CHECK_EQ(gmfs_absent_records(&p.t), 0);
	pool_free(&p);
}

void absent_complaints(void (*fn)(const char *what))
{
	state_complaints(states, ARRAY_SIZE(states), fn);
}

void absent_tests(void)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(states); i++)
		test_add(check_state, &states[i], "check, absent: %s", states[i].name);
	TEST(records_are_read);
	TEST(of_a_block_that_is_free_now);
	TEST(only_of_blocks);
	TEST(all_the_room);
	TEST(trimmed);
	TEST(overwritten);
}
