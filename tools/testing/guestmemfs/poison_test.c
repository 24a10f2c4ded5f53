// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests poisoned frames: which blocks are lost, that the tables keep it, and every rule of
 * gmfs_check() for the poison table.
 */
#include "../../../fs/guestmemfs/tables/extmap.h"
#include "states.h"

/* Fills the rest of the pool with a file, and checks that the file has not got the block. */
static void never_allocated(struct pool *p, u32 file, u32 block)
{
	u32 left = p->t.free_blocks, i;

	CHECK_EQ(pool_fill(p, file, 0, left), 0);
	for (i = 0; i < left; i++)
		CHECK(pool_block(p, file, i) != block);
	CHECK_EQ(pool_fill(p, file, left, 1), -ENOSPC);
	CHECK_EQ(pool_punch(p, file, 0, left), 0);
	CHECK_EQ(p->t.free_blocks, left);
}

/* A free block is lost, also to all later kernels. */
static void free_block(const void *arg)
{
	/* A pool of two groups: the only block of its group that is not free, and one of many. */
	static const u32 blocks[] = { 0, 511, 512, 700 };
	u32 a, i, hop;
	struct pool p;

	(void)arg;
	a = states_pool(&p, 2);
	CHECK_EQ(pool_fill(&p, a, 0, 1), 0);
	CHECK_EQ(pool_punch(&p, a, 0, 1), 0);
	CHECK(!p.t.super->feature_incompat);
	for (i = 0; i < ARRAY_SIZE(blocks); i++) {
		pool_poison(&p, blocks[i] * PAGES + i);
		CHECK(pool_is_detached(&p, blocks[i]) && test_bit(blocks[i], p.t.bitmap));
		CHECK_EQ(pool_lost(&p), i + 1);
		CHECK_EQ(p.t.free_blocks, 2 * GROUP - i - 1);
		pool_check(&p);
	}
	CHECK(p.t.super->feature_incompat & cpu_to_le32(GUESTMEMFS_FEATURE_INCOMPAT_POISON));
	for (hop = 0; hop < 3; hop++) {
		pool_kexec(&p);
		CHECK_EQ(p.poisoned.nr, ARRAY_SIZE(blocks));
		CHECK_EQ(pool_lost(&p), ARRAY_SIZE(blocks));
		for (i = 0; i < ARRAY_SIZE(blocks); i++)
			never_allocated(&p, a, blocks[i]);
		pool_check(&p);
	}
	CHECK_EQ(le32_to_cpu(p.t.super->live.used_poison), ARRAY_SIZE(blocks));
	pool_free(&p);
}

/* A block of a file stays in the file, and is lost when the file loses it. */
static void block_of_a_file(const void *arg)
{
	const u32 at = *(const u32 *)arg;
	u32 a, block;
	struct pool p;
	u64 frame;

	a = states_pool(&p, 1);
	CHECK_EQ(pool_fill(&p, a, 0, 10), 0);
	block = pool_block(&p, a, at);
	frame = pool_frame(&p, a, at * PAGES + 77);
	pool_poison(&p, frame);
	pool_poison(&p, frame);
	pool_poison(&p, frame + 1);
	CHECK_EQ(p.poisoned.nr, 2);
	CHECK_EQ(pool_lost(&p), 0);
	CHECK_EQ(pool_block(&p, a, at), block);
	CHECK_EQ(pool_extents(&p, a), 1);
	pool_kexec(&p);
	CHECK_EQ(pool_block(&p, a, at), block);
	pool_check(&p);
	CHECK_EQ(pool_punch(&p, a, 0, 10), 0);
	CHECK_EQ(pool_lost(&p), 1);
	CHECK_EQ(p.t.detached.blocks, 1);
	CHECK(pool_is_detached(&p, block));
	CHECK_EQ(p.t.free_blocks, GROUP - 1);
	pool_settle(&p);
	CHECK(pool_is_detached(&p, block));
	pool_check(&p);
	pool_kexec(&p);
	CHECK(pool_is_detached(&p, block));
	never_allocated(&p, a, block);
	pool_check(&p);
	pool_free(&p);
}

static const u32 places[] = { 0, 4, 9 };

/* The last unpin does not free a block that has been poisoned meanwhile. */
static void pinned_block(const void *arg)
{
	u32 a, block;
	struct pool p;

	(void)arg;
	a = states_pool(&p, 1);
	CHECK_EQ(pool_fill(&p, a, 0, 3), 0);
	block = pool_block(&p, a, 0);
	states_pin(&p, a, 0, 3);
	CHECK_EQ(pool_punch(&p, a, 0, 3), 0);
	pool_poison(&p, (block + 1) * PAGES);
	CHECK_EQ(pool_lost(&p), 1);
	pool_check(&p);
	pool_unpin_frames(&p, block * PAGES, (block + 3) * PAGES);
	CHECK(!pool_is_detached(&p, block));
	CHECK(pool_is_detached(&p, block + 1));
	CHECK(!pool_is_detached(&p, block + 2));
	CHECK_EQ(p.t.free_blocks, GROUP - 1);
	pool_check(&p);
	pool_free(&p);
}

/* The block moves with its frames. */
static void moved_block(const void *arg)
{
	struct pool p;
	u32 a, b, block;

	(void)arg;
	a = states_pool(&p, 1);
	b = pool_file(&p);
	CHECK_EQ(pool_fill(&p, a, 0, 4), 0);
	block = pool_block(&p, a, 2);
	pool_poison(&p, block * PAGES + 5);
	CHECK_EQ(pool_move(&p, a, 0, b, 10, 4, true), 0);
	CHECK_EQ(pool_block(&p, b, 12), block);
	CHECK_EQ(pool_lost(&p), 0);
	pool_check(&p);
	CHECK_EQ(pool_punch(&p, b, 10, 4), 0);
	CHECK_EQ(pool_lost(&p), 1);
	pool_check(&p);
	pool_free(&p);
}

/* While the pool is frozen only the table changes: the next kernel keeps the block. */
static void frozen_pool(const void *arg)
{
	struct pool p;
	u32 a;

	(void)arg;
	a = states_pool(&p, 1);
	pool_poison_frozen(&p, 17 * PAGES);
	CHECK_EQ(p.t.free_blocks, GROUP);
	pool_kexec(&p);
	CHECK_EQ(p.t.free_blocks, GROUP - 1);
	CHECK(pool_is_detached(&p, 17));
	never_allocated(&p, a, 17);
	pool_check(&p);
	pool_free(&p);
}

/* A frame that was poisoned while the pool was not mounted is recorded by the mount. */
static void unmounted_pool(const void *arg)
{
	struct pool p;

	(void)arg;
	states_pool(&p, 1);
	CHECK(gmfs_poisoned_add(&p.poisoned, 17 * PAGES + 3));
	CHECK(!gmfs_poisoned_add(&p.poisoned, 17 * PAGES + 3));
	pool_reopen(&p);
	pool_load_poison(&p.t);
	CHECK(pool_is_detached(&p, 17));
	CHECK_EQ(le32_to_cpu(p.t.super->live.used_poison), 1);
	/* Once. */
	pool_reopen(&p);
	pool_load_poison(&p.t);
	CHECK_EQ(le32_to_cpu(p.t.super->live.used_poison), 1);
	pool_check(&p);
	pool_kexec(&p);
	CHECK(pool_is_detached(&p, 17));
	pool_free(&p);
}

/* A hole in a reserved part stays reserved, whenever the block that it has lost was poisoned. */
static void reserved_block(const void *arg)
{
	const u32 when = *(const u32 *)arg;
	u32 a, b, block;
	struct gmfs_edit ed;
	struct pool p;
	u64 at = 0;

	a = states_pool(&p, 1);
	b = pool_file(&p);
	CHECK_EQ(pool_fill(&p, a, 0, 10), 0);
	CHECK_EQ(pool_reserve(&p, a, 0, 10), 0);
	block = pool_block(&p, a, 5);
	if (when == 0)
		pool_poison(&p, block * PAGES);
	ed = pool_edit(&p, a, GMFS_PUNCH, 0, 10 * PAGES);
	gmfs_edit_count(&ed);
	while (gmfs_edit_count_kept(&ed, &at))
		;
	CHECK_EQ(ed.replaced, when == 0);
	if (when == 1)
		pool_poison(&p, block * PAGES);
	CHECK_EQ(gmfs_edit_begin(&ed), 0);
	if (when == 2)
		pool_poison(&p, block * PAGES);
	while (gmfs_edit_step(&ed))
		;
	gmfs_edit_end(&ed);
	CHECK_EQ(p.t.promised_blocks, 10);
	CHECK_EQ(p.t.free_blocks, GROUP - 1);
	CHECK_EQ(gmfs_blocks_left(&p.t), GROUP - 11);
	pool_check(&p);
	CHECK_EQ(pool_fill(&p, b, 0, GROUP - 10), -ENOSPC);
	CHECK_EQ(pool_fill(&p, b, 0, GROUP - 11), 0);
	CHECK_EQ(pool_fill(&p, a, 0, 10), 0);
	pool_unreserve(&p, a, 0, 10);
	pool_check(&p);
	pool_free(&p);
}

static const u32 moments[] = { 0, 1, 2 };

/* Blocks that are reserved may be lost: they cannot be had then, and nothing else is wrong. */
static void last_free_block(const void *arg)
{
	struct pool p;
	u32 a, b;

	(void)arg;
	a = states_pool(&p, 1);
	b = pool_file(&p);
	CHECK_EQ(pool_fill(&p, a, 0, GROUP - 2), 0);
	CHECK_EQ(pool_reserve(&p, b, 0, 2), 0);
	pool_poison(&p, (GROUP - 1) * PAGES);
	CHECK_EQ(p.t.free_blocks, 1);
	CHECK_EQ(gmfs_blocks_left(&p.t), 0);
	CHECK_EQ(pool_fill(&p, b, 0, 2), -ENOSPC);
	CHECK_EQ(pool_fill(&p, b, 0, 1), 0);
	CHECK_EQ(pool_fill(&p, b, 1, 1), -ENOSPC);
	pool_check(&p);
	pool_unreserve(&p, b, 0, 2);
	CHECK_EQ(p.t.promised_blocks, 0);
	pool_check(&p);
	pool_free(&p);
}

/* A fill in steps loses the last free block to an error between two steps. */
static void fill_in_progress(const void *arg)
{
	struct gmfs_fill fill = { .end = 2, .more = true };
	struct gmfs_edit ed;
	struct pool p;
	u32 a, b;

	(void)arg;
	a = states_pool(&p, 1);
	b = pool_file(&p);
	CHECK_EQ(pool_fill(&p, a, 0, GROUP - 2), 0);
	fill.t = &p.t;
	fill.map = &p.map[b];
	fill.ino = p.ino[b];
	CHECK_EQ(gmfs_fill_cover(&fill), 0);
	CHECK_EQ(gmfs_fill_begin(&fill), 0);
	pool_poison(&p, (GROUP - 1) * PAGES);
	pool_poison(&p, (GROUP - 2) * PAGES);
	CHECK_EQ(gmfs_fill_step(&fill), -ENOSPC);
	gmfs_fill_uncover(&fill);
	gmfs_fill_end(&fill);
	ed = pool_edit(&p, b, GMFS_ABORT, 0, 2 * PAGES);
	CHECK_EQ(gmfs_edit_all(&ed), 0);
	CHECK_EQ(p.t.promised_blocks, 0);
	pool_check(&p);
	pool_free(&p);
}

/* When the table is full, this kernel still keeps the block. */
static void full_table(const void *arg)
{
	struct pool p;
	u32 i, nr;

	(void)arg;
	states_pool(&p, 1);
	nr = p.t.nr_poison;
	for (i = 0; i < nr; i++)
		pool_poison(&p, i);
	CHECK_EQ(gmfs_poison_record(&p.t, nr), -ENOSPC);
	pool_poison(&p, 100 * PAGES);
	CHECK_EQ(le32_to_cpu(p.t.super->live.used_poison), nr);
	CHECK(pool_is_detached(&p, 100));
	pool_check(&p);
	pool_kexec(&p);
	CHECK(!pool_is_detached(&p, 100));
	CHECK_EQ(p.poisoned.nr, nr);
	pool_free(&p);
}

/* The number of a frame and its address, in a pool of three ranges. */
static void frames_and_addresses(const void *arg)
{
	struct gmfs_range ranges[] = {
		{ 16 * GIB + 256 * MIB, 128 * MIB },
		{ 20 * GIB, 2 * GIB },
		{ 40 * GIB - 128 * MIB, 256 * MIB },
	};
	struct pool p;
	u64 frame;
	u32 i;

	(void)arg;
	pool_make(&p, ranges, ARRAY_SIZE(ranges));
	gmfs_ranges_number(ranges, ARRAY_SIZE(ranges));
	for (i = 0; i < ARRAY_SIZE(ranges); i++) {
		const u64 ends[] = { ranges[i].base, ranges[i].base + ranges[i].size - 1 };
		u32 n;

		for (n = 0; n < ARRAY_SIZE(ends); n++) {
			frame = gmfs_ranges_frame(ranges, ARRAY_SIZE(ranges), ends[n]);
			CHECK_EQ(gmfs_ranges_phys(ranges, ARRAY_SIZE(ranges), frame),
				 round_down(ends[n], 4096ULL));
			CHECK_EQ(gmfs_block_phys(&p.t, frame / PAGES) + frame % PAGES * 4096,
				 round_down(ends[n], 4096ULL));
		}
		CHECK_EQ(gmfs_ranges_frame(ranges, ARRAY_SIZE(ranges), ends[0] - 1), U64_MAX);
		CHECK_EQ(gmfs_ranges_frame(ranges, ARRAY_SIZE(ranges), ends[1] + 1), U64_MAX);
		CHECK_EQ(gmfs_ranges_phys(ranges, ARRAY_SIZE(ranges), frame + 1), U64_MAX);
	}
	pool_free(&p);
}

/* An extent is found by any of its blocks, in as many calls as it takes. */
static void owner_is_found(const void *arg)
{
	const struct guestmemfs_extent *e = NULL;
	u32 a, b, at = 0, calls = 0;
	struct pool p;

	(void)arg;
	a = states_pool(&p, 20);
	b = pool_file(&p);
	/* Every other block is one extent. */
	CHECK_EQ(pool_fill(&p, a, 0, 18 * GROUP), 0);
	for (at = 0; at < 18 * GROUP; at += 2)
		CHECK_EQ(pool_convert(&p, a, at * PAGES, (at + 1) * PAGES, true), 0);
	CHECK_EQ(pool_fill(&p, b, 100, 10), 0);
	for (at = 0; !e && at < le32_to_cpu(p.t.super->live.used_extents); calls++)
		e = gmfs_extent_of(&p.t, pool_block(&p, b, 109), &at);
	CHECK(e && calls > 1);
	CHECK_EQ(le32_to_cpu(e->ino), p.ino[b]);
	CHECK_EQ(le64_to_cpu(e->logical), 100);
	for (e = NULL, at = 0; !e && at < le32_to_cpu(p.t.super->live.used_extents);)
		e = gmfs_extent_of(&p.t, pool_block(&p, b, 109) + 1, &at);
	CHECK(!e);
	pool_free(&p);
}

#define NO_FRAME	"has a frame that does not exist"
#define NO_FIELDS	"with unknown fields"
#define NO_FEATURE	"tables in use that no feature announces"
#define TOO_MANY	"more poison records in use than there are"

static void check_poison(const struct pool *p, const char *table, u64 entry, const char *what)
{
	struct gmfs_complaint c = {};
	struct gmfs_index index;

	CHECK_EQ(gmfs_check(&p->t, &index, &c), what ? -EUCLEAN : 0);
	gmfs_index_free(&index);
	if (!what)
		return;
	CHECK_STR(c.table, table);
	CHECK_EQ(c.entry, entry);
	CHECK_STR(c.what, what);
}

static void check_poison_table(const void *arg)
{
	/* The second range begins in a group of its own: the numbers between do not exist. */
	static const struct gmfs_range ranges[] = {
		{ 16 * GIB, 128 * MIB },
		{ 20 * GIB, 128 * MIB },
	};
	struct guestmemfs_poison *record;
	struct pool p;

	(void)arg;
	pool_make(&p, ranges, ARRAY_SIZE(ranges));
	record = p.t.poison;
	pool_poison(&p, 5);
	pool_poison(&p, 7);
	check_poison(&p, NULL, 0, NULL);
	record[1].page = cpu_to_le64(64 * PAGES - 1);
	check_poison(&p, NULL, 0, NULL);
	record[1].page = cpu_to_le64(64 * PAGES);
	check_poison(&p, "poison table", 1, NO_FRAME);
	record[1].page = cpu_to_le64(GROUP * PAGES - 1);
	check_poison(&p, "poison table", 1, NO_FRAME);
	record[1].page = cpu_to_le64(GROUP * PAGES);
	check_poison(&p, NULL, 0, NULL);
	record[1].page = cpu_to_le64((GROUP + 64) * PAGES);
	check_poison(&p, "poison table", 1, NO_FRAME);
	record[1].page = cpu_to_le64(U64_MAX);
	check_poison(&p, "poison table", 1, NO_FRAME);
	record[1].page = cpu_to_le64(5);
	check_poison(&p, NULL, 0, NULL);
	record[1].flags = cpu_to_le32(1);
	check_poison(&p, "poison table", 1, NO_FIELDS);
	record[1].flags = 0;
	record[1].reserved = cpu_to_le32(1);
	check_poison(&p, "poison table", 1, NO_FIELDS);
	record[1].reserved = 0;
	p.t.super->live.used_poison = cpu_to_le32(p.t.nr_poison + 1);
	check_poison(&p, "superblock", 0, TOO_MANY);
	p.t.super->live.used_poison = cpu_to_le32(1);
	p.t.has_poison = false;
	check_poison(&p, "superblock", 0, NO_FEATURE);
	pool_free(&p);
}

void poison_complaints(void (*fn)(const char *what))
{
	fn(NO_FRAME);
	fn(NO_FIELDS);
	fn(TOO_MANY);
}

void poison_tests(void)
{
	u32 i;

	TEST(free_block);
	for (i = 0; i < ARRAY_SIZE(places); i++)
		test_add(block_of_a_file, &places[i], "block_of_a_file: %u", places[i]);
	TEST(pinned_block);
	TEST(moved_block);
	TEST(frozen_pool);
	TEST(unmounted_pool);
	for (i = 0; i < ARRAY_SIZE(moments); i++)
		test_add(reserved_block, &moments[i], "reserved_block: %u", moments[i]);
	TEST(last_free_block);
	TEST(fill_in_progress);
	TEST(full_table);
	TEST(frames_and_addresses);
	TEST(owner_is_found);
	TEST(check_poison_table);
}
