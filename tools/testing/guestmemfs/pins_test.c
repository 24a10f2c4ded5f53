// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests DMA pins and detached blocks: blocks that leave their file while they are pinned. The
 * comparisons with models are in pins-random.c.
 */
#include "../../../fs/guestmemfs/tables/extmap.h"
#include "states.h"

static void limit_blocks(struct pool *p, u32 blocks)
{
	const struct gmfs_limits limits = { .size = blocks * GMFS_BLOCK_SIZE, .has_size = true };
	const char *why;

	CHECK_EQ(gmfs_limits_set(&p->t, &limits, false, &why), 0);
}

static void unpin_blocks(struct pool *p, u32 block, u32 count)
{
	pool_unpin_frames(p, block * PAGES, (block + count) * PAGES);
}

/* One block of an extent of ten is detached; the hole gets another block. */
static void detach_one(const void *arg)
{
	const u32 at = *(const u32 *)arg;
	u32 a, block, again;
	struct pool p;

	a = states_pool(&p, 1);
	CHECK_EQ(pool_fill(&p, a, 0, 10), 0);
	block = pool_block(&p, a, at);
	CHECK_EQ(pool_pin(&p, a, at * PAGES + 77, at * PAGES + 78), 0);
	CHECK_EQ(p.pins.frames, 1);
	CHECK_EQ(pool_punch(&p, a, at, 1), 0);
	CHECK_EQ(pool_block(&p, a, at), GMFS_NO_BLOCK);
	CHECK_EQ(pool_extents(&p, a), at % 9 ? 2 : 1);
	CHECK_EQ(p.map[a].blocks, 9);
	CHECK_EQ(map_extents(&p.t.detached), 1);
	CHECK(pool_is_detached(&p, block) && test_bit(block, p.t.bitmap));
	CHECK_EQ(p.t.free_blocks, GROUP - 10);
	pool_check(&p);
	CHECK_EQ(pool_fill(&p, a, at, 1), 0);
	again = pool_block(&p, a, at);
	CHECK(again != block);
	CHECK_EQ(p.t.free_blocks, GROUP - 11);
	pool_check(&p);
	/* Zero the new block: the old one is still to be zeroed when it is freed. */
	clear_bit(block, p.t.unzeroed);
	clear_bit(again, p.t.unzeroed);
	pool_unpin_frames(&p, block * PAGES + 77, block * PAGES + 78);
	CHECK(!pool_is_detached(&p, block) && !test_bit(block, p.t.bitmap));
	CHECK(test_bit(block, p.t.unzeroed) && !test_bit(again, p.t.unzeroed));
	CHECK_EQ(p.t.free_blocks, GROUP - 10);
	CHECK_EQ(p.pins.frames, 0);
	pool_check(&p);
	pool_free(&p);
}

static const u32 detach_places[] = { 0, 4, 9 };

/* A punch of the whole file frees what is not pinned, and detaches the rest of all extents. */
static void detach_many(const void *arg)
{
	/* First pinned block and number of them. */
	static const u32 pinned[][2] = { { 0, 1 }, { 3, 4 }, { 10, 1 }, { 15, 9 }, { 38, 2 } };
	u32 a, i, n, block, nr = 0;
	struct pool p;

	(void)arg;
	a = states_pool(&p, 1);
	CHECK_EQ(pool_fill(&p, a, 0, 40), 0);
	CHECK_EQ(pool_convert(&p, a, 5 * PAGES, 6 * PAGES, true), 0);
	CHECK_EQ(pool_convert(&p, a, 20 * PAGES, 20 * PAGES + 1, true), 0);
	CHECK_EQ(pool_punch(&p, a, 30, 5), 0);
	CHECK_EQ(pool_extents(&p, a), 6);
	block = pool_block(&p, a, 0);
	for (i = 0; i < ARRAY_SIZE(pinned); i++) {
		states_pin(&p, a, pinned[i][0], pinned[i][1]);
		nr += pinned[i][1];
	}
	CHECK_EQ(pool_punch(&p, a, 0, 1000), 0);
	CHECK_EQ(p.t.detached.blocks, nr);
	CHECK_EQ(p.t.free_blocks, GROUP - nr);
	for (i = 0; i < ARRAY_SIZE(pinned); i++)
		for (n = pinned[i][0]; n < pinned[i][0] + pinned[i][1]; n++)
			CHECK(pool_is_detached(&p, block + n));
	CHECK_EQ(map_extents(&p.t.detached), ARRAY_SIZE(pinned));
	CHECK_EQ(pool_extents(&p, a), 2);
	states_run_is(&p, a, 5, 1, CONVERTED);
	states_run_is(&p, a, 20, 1, MIXED);
	pool_check(&p);
	pool_kexec(&p);
	CHECK_EQ(p.t.free_blocks, GROUP);
	pool_check(&p);
	pool_free(&p);
}

/* Adjacent detached blocks are one extent, in whatever order they leave their files. */
static void detached_are_joined(const void *arg)
{
	u32 a, block, i;
	struct pool p;

	(void)arg;
	a = states_pool(&p, 1);
	CHECK_EQ(pool_fill(&p, a, 0, 30), 0);
	block = pool_block(&p, a, 0);
	CHECK_EQ(pool_convert(&p, a, 7 * PAGES, 9 * PAGES + 1, true), 0);
	states_pin(&p, a, 0, 30);
	for (i = 0; i < 30; i++) {
		CHECK_EQ(pool_punch(&p, a, i * 7 % 30, 1), 0);
		pool_check(&p);
	}
	CHECK_EQ(map_extents(&p.t.detached), 1);
	/* Free every third block, so that the others are extents of two. */
	for (i = 0; i < 30; i += 3)
		unpin_blocks(&p, block + i, 1);
	CHECK_EQ(map_extents(&p.t.detached), 10);
	CHECK_EQ(p.t.free_blocks, GROUP - 20);
	pool_check(&p);
	pool_free(&p);
}

/* The numbers of these blocks are adjacent, but not the blocks: they are in two ranges. */
static void ranges_stay_apart(const void *arg)
{
	const struct gmfs_range ranges[] = { { GIB, GIB }, { 2 * GIB, GIB } };
	struct pool p;
	u32 a, block;

	(void)arg;
	pool_make(&p, ranges, 2);
	a = pool_file(&p);
	CHECK_EQ(pool_fill(&p, a, 0, 2 * GROUP), 0);
	block = pool_block(&p, a, 0);
	states_pin(&p, a, 0, 2 * GROUP);
	CHECK_EQ(pool_punch(&p, a, GROUP - 5, 10), 0);
	CHECK_EQ(map_extents(&p.t.detached), 2);
	pool_check(&p);
	gmfs_map_clear(&p.t, &p.map[a]);
	CHECK_EQ(map_extents(&p.t.detached), 2);
	CHECK_EQ(p.t.detached.blocks, 2 * GROUP);
	CHECK_EQ(p.t.free_blocks, 0);
	pool_check(&p);
	unpin_blocks(&p, block, 2 * GROUP);
	CHECK_EQ(p.t.free_blocks, 2 * GROUP);
	CHECK_EQ(gmfs_full_groups(&p.t), 2);
	pool_check(&p);
	pool_free(&p);
}

/* The hole of a mixed block keeps the map, and the block that fills it has the same pages. */
static void detach_mixed(const void *arg)
{
	u32 a, block, free_maps;
	struct pool p;

	(void)arg;
	a = states_pool(&p, 1);
	CHECK_EQ(pool_fill(&p, a, 0, 10), 0);
	CHECK_EQ(pool_convert(&p, a, 4 * PAGES + 9, 4 * PAGES + 20, true), 0);
	free_maps = p.t.free_maps;
	block = pool_block(&p, a, 4);
	states_pin(&p, a, 4, 1);
	CHECK_EQ(pool_punch(&p, a, 4, 1), 0);
	states_run_is(&p, a, 4, 1, MIXED);
	states_page_is(&p, a, 4 * PAGES + 9, 4 * PAGES + 20, CONVERTED);
	CHECK_EQ(p.t.free_maps, free_maps);
	pool_check(&p);
	CHECK_EQ(pool_fill(&p, a, 4, 1), 0);
	CHECK(pool_block(&p, a, 4) != block);
	states_page_is(&p, a, 4 * PAGES + 9, 4 * PAGES + 20, ALLOCATED | CONVERTED);
	/* Eviction frees the map, but not the pinned blocks. */
	states_pin(&p, a, 4, 1);
	gmfs_map_clear(&p.t, &p.map[a]);
	CHECK_EQ(p.t.free_maps, free_maps + 1);
	CHECK_EQ(p.t.detached.blocks, 2);
	pool_check(&p);
	pool_free(&p);
}

/* The blocks of a file that is removed stay until the last unpin, also if its inode is reused. */
static void evict_with_pins(const void *arg)
{
	u32 a, b, block, ino;
	struct pool p;

	(void)arg;
	a = states_pool(&p, 1);
	CHECK_EQ(pool_fill(&p, a, 0, 100), 0);
	CHECK_EQ(pool_convert(&p, a, 30 * PAGES + 1, 50 * PAGES, true), 0);
	block = pool_block(&p, a, 0);
	CHECK_EQ(pool_pin(&p, a, 20 * PAGES + 511, 40 * PAGES + 1), 0);
	gmfs_map_clear(&p.t, &p.map[a]);
	gmfs_inode_free(&p.t, p.ino[a]);
	p.nr_files--;
	CHECK_EQ(p.t.detached.blocks, 21);
	CHECK_EQ(p.t.free_blocks, GROUP - 21);
	CHECK_EQ(p.t.nr_blockless, 0);
	pool_check(&p);
	pool_reopen(&p);
	ino = p.ino[a];
	b = pool_file(&p);
	CHECK_EQ(p.ino[b], ino);
	CHECK_EQ(pool_fill(&p, b, 0, GROUP - 21), 0);
	CHECK_EQ(pool_fill(&p, b, GROUP - 21, 1), -ENOSPC);
	pool_check(&p);
	pool_unpin_frames(&p, (block + 20) * PAGES + 511, (block + 40) * PAGES + 1);
	CHECK_EQ(p.t.free_blocks, 21);
	CHECK_EQ(pool_fill(&p, b, GROUP - 21, 21), 0);
	pool_check(&p);
	pool_free(&p);
}

/* The last one of several pins frees a block, whichever pages of the block they are on. */
static void last_pin_frees(const void *arg)
{
	/* Pages of the block 3, from and to; those of the last pin begin and end elsewhere. */
	static const u64 pins[][2] = { { 5, 6 }, { 9, 10 }, { 5, 10 }, { 0, 512 }, { 5, 6 },
				       { 511, 512 }, { 0, 1 } };
	const u32 last = *(const u32 *)arg, nr = ARRAY_SIZE(pins);
	u64 first_frame;
	struct pool p;
	u32 a, i, n;

	a = states_pool(&p, 1);
	CHECK_EQ(pool_fill(&p, a, 0, 8), 0);
	first_frame = pool_frame(&p, a, 3 * PAGES);
	for (i = 0; i < nr; i++)
		CHECK_EQ(pool_pin(&p, a, 3 * PAGES + pins[i][0], 3 * PAGES + pins[i][1]), 0);
	CHECK_EQ(p.pins.frames, 512);
	CHECK_EQ(pool_punch(&p, a, 0, 8), 0);
	CHECK_EQ(p.t.free_blocks, GROUP - 1);
	for (i = 1; i <= nr; i++) {
		CHECK_EQ(p.t.detached.blocks, 1);
		n = (last + i) % nr;
		pool_unpin_frames(&p, first_frame + pins[n][0], first_frame + pins[n][1]);
		pool_check(&p);
	}
	CHECK_EQ(p.t.detached.blocks, 0);
	CHECK_EQ(p.t.free_blocks, GROUP);
	pool_free(&p);
}

static const u32 last_pins[] = { 0, 1, 2, 3, 4, 5, 6 };

/* Pins of neighbours do not hold a block, and a pin may hold a part of two blocks. */
static void pins_end_at_pages(const void *arg)
{
	struct pool p;
	u32 a, block;

	(void)arg;
	a = states_pool(&p, 1);
	CHECK_EQ(pool_fill(&p, a, 0, 8), 0);
	block = pool_block(&p, a, 0);
	CHECK_EQ(pool_pin(&p, a, 2 * PAGES + 511, 3 * PAGES + 1), 0);
	CHECK_EQ(pool_pin(&p, a, 5 * PAGES, 6 * PAGES), 0);
	CHECK_EQ(pool_punch(&p, a, 0, 8), 0);
	CHECK_EQ(p.t.detached.blocks, 3);
	CHECK(pool_is_detached(&p, block + 2) && pool_is_detached(&p, block + 3) &&
	      pool_is_detached(&p, block + 5));
	/* Unpin one of the two pages, without the other. */
	pool_unpin_frames(&p, (block + 2) * PAGES + 511, (block + 3) * PAGES);
	CHECK(!pool_is_detached(&p, block + 2) && pool_is_detached(&p, block + 3));
	pool_check(&p);
	pool_free(&p);
}

/* Pins that end while the block is in its file do not free it, and need no settling. */
static void unpin_in_the_file(const void *arg)
{
	struct gmfs_tables t;
	struct pool p;
	u32 a;

	(void)arg;
	a = states_pool(&p, 1);
	CHECK_EQ(pool_fill(&p, a, 0, 8), 0);
	t = p.t;
	states_pin(&p, a, 2, 3);
	states_unpin(&p, a, 2, 3);
	CHECK(!memcmp(&t, &p.t, sizeof(t)));
	CHECK_EQ(le32_to_cpu(p.t.super->feature_incompat), 0);
	CHECK_EQ(pool_punch(&p, a, 2, 3), 0);
	CHECK_EQ(p.t.free_blocks, GROUP - 5);
	pool_check(&p);
	pool_free(&p);
}

/* A mount in the same kernel finds detached blocks and their pins; the next kernel frees them. */
static void remount_and_kexec(const void *arg)
{
	u32 a, block;
	struct pool p;

	(void)arg;
	a = states_pool(&p, 1);
	CHECK_EQ(pool_fill(&p, a, 0, 30), 0);
	block = pool_block(&p, a, 0);
	states_pin(&p, a, 3, 4);
	states_pin(&p, a, 10, 5);
	CHECK_EQ(pool_punch(&p, a, 0, 30), 0);
	pool_reopen(&p);
	CHECK_EQ(p.t.detached.blocks, 9);
	pool_settle(&p);
	CHECK_EQ(p.t.detached.blocks, 9);
	pool_check(&p);
	unpin_blocks(&p, block + 3, 2);
	CHECK_EQ(p.t.detached.blocks, 7);
	pool_check(&p);
	pool_reopen(&p);
	CHECK_EQ(p.t.detached.blocks, 7);
	CHECK_EQ(p.pins.frames, 7 * PAGES);
	pool_kexec(&p);
	CHECK_EQ(p.t.free_blocks, GROUP);
	CHECK_EQ(p.t.used_slots, 0);
	pool_check(&p);
	pool_free(&p);
}

/* The limit size= counts detached blocks. */
static void limit_counts_detached(const void *arg)
{
	u32 a, b, block;
	struct pool p;

	(void)arg;
	a = states_pool(&p, 1);
	b = pool_file(&p);
	limit_blocks(&p, 20);
	CHECK_EQ(pool_fill(&p, a, 0, 15), 0);
	block = pool_block(&p, a, 0);
	states_pin(&p, a, 0, 10);
	CHECK_EQ(pool_punch(&p, a, 0, 15), 0);
	CHECK_EQ(gmfs_blocks_left(&p.t), 10);
	CHECK_EQ(pool_fill(&p, b, 0, 11), -ENOSPC);
	CHECK_EQ(pool_reserve(&p, b, 0, 11), -ENOSPC);
	CHECK_EQ(pool_fill(&p, b, 0, 10), 0);
	CHECK_EQ(gmfs_blocks_left(&p.t), 0);
	unpin_blocks(&p, block, 1);
	CHECK_EQ(gmfs_blocks_left(&p.t), 1);
	CHECK_EQ(pool_fill(&p, b, 10, 1), 0);
	pool_check(&p);
	pool_free(&p);
}

/*
 * Detaching needs no entry, however many blocks it divides extents into: @arg tells how the blocks
 * lose their file. All entries for extents without blocks are in use.
 */
static void entries_never_run_out(const void *arg)
{
	const u32 how = *(const u32 *)arg;
	const struct gmfs_range range = { 896 * MIB, 128 * MIB };
	struct pool p;
	u32 a, b, i;

	pool_make(&p, &range, 1);
	a = pool_file(&p);
	b = pool_file(&p);
	CHECK_EQ(pool_fill(&p, b, 0, 64), 0);
	for (i = 0; i < 960; i++)
		CHECK_EQ(pool_convert(&p, a, 2 * i * PAGES, (2 * i + 1) * PAGES, true), 0);
	for (i = 0; i < 64; i += 2)
		CHECK_EQ(pool_pin(&p, b, i * PAGES + 3, i * PAGES + 4), 0);
	for (i = 0; how == 0 && i < 64; i++)
		CHECK_EQ(pool_punch(&p, b, i * 23 % 64, 1), 0);
	/* In reverse order each block has an extent, and they are detached one by one. */
	for (i = 64; how == 1 && i-- > 0;) {
		CHECK_EQ(pool_punch(&p, b, i, 1), 0);
		CHECK(p.t.used_slots <= p.t.nr_extents - GMFS_SPARE_EXTENTS);
		pool_check(&p);
	}
	if (how == 2)
		CHECK_EQ(pool_punch(&p, b, 0, 64), 0);
	if (how == 3)
		gmfs_map_clear(&p.t, &p.map[b]);
	CHECK_EQ(map_extents(&p.t.detached), 32);
	CHECK_EQ(p.t.free_blocks, 32);
	CHECK_EQ(p.t.used_slots, 960 + 32);
	pool_check(&p);
	/* The holes are filled with the other blocks: all 64 have an extent of their own now. */
	CHECK_EQ(pool_fill(&p, b, 0, 32), 0);
	CHECK_EQ(pool_extents(&p, b), 32);
	CHECK_EQ(p.t.used_slots, 1024);
	states_pin(&p, b, 0, 32);
	CHECK_EQ(pool_punch(&p, b, 0, 32), 0);
	CHECK_EQ(p.t.free_blocks, 0);
	CHECK_EQ(map_extents(&p.t.detached), 1);
	pool_check(&p);
	/* Freeing every second block divides the detached extent again. */
	for (i = 0; i < 64; i += 2)
		pool_unpin_frames(&p, (448 + i) * PAGES + 3, (448 + i) * PAGES + 4);
	CHECK_EQ(p.t.used_slots, 960 + 32);
	pool_check(&p);
	pool_kexec(&p);
	CHECK_EQ(p.t.free_blocks, 64);
	pool_check(&p);
	pool_free(&p);
}

static const u32 entries_ways[] = { 0, 1, 2, 3 };

/* A step frees a limited number of detached extents. */
static void settling_is_bounded(const void *arg)
{
	u32 a, i, steps = 0;
	struct pool p;
	u64 at = 0;

	(void)arg;
	a = states_pool(&p, 1);
	CHECK_EQ(pool_fill(&p, a, 0, GROUP), 0);
	for (i = 0; i < GROUP; i += 2)
		states_pin(&p, a, i, 1);
	gmfs_map_clear(&p.t, &p.map[a]);
	CHECK_EQ(map_extents(&p.t.detached), GROUP / 2);
	pool_end_pins(&p);
	while (gmfs_detached_free(&p.t, &at, p.t.nr_blocks)) {
		/* Half of what a step looks at are holes. */
		steps++;
		CHECK(GROUP / 2 - p.t.detached.blocks <= steps * GMFS_STEP_EXTENTS / 2);
		pool_check(&p);
	}
	CHECK_EQ(steps, GROUP / GMFS_STEP_EXTENTS - 1);
	CHECK_EQ(at, p.t.nr_blocks);
	CHECK_EQ(p.t.free_blocks, GROUP);
	pool_check(&p);
	pool_free(&p);
}

/* A group whose blocks are detached belongs to no file, and is whole again after the last unpin. */
static void groups_are_given_up(const void *arg)
{
	u32 a, b, block;
	struct pool p;

	(void)arg;
	a = states_pool(&p, 2);
	b = pool_file(&p);
	pool_size(&p, a, GROUP);
	pool_size(&p, b, GROUP);
	CHECK_EQ(pool_fill(&p, a, 0, GROUP), 0);
	block = pool_block(&p, a, 0);
	CHECK_EQ(block % GROUP, 0);
	states_pin(&p, a, 7, 1);
	CHECK_EQ(pool_punch(&p, a, 0, GROUP), 0);
	CHECK_EQ(gmfs_full_groups(&p.t), 1);
	pool_check(&p);
	CHECK_EQ(pool_fill(&p, b, 0, GROUP), 0);
	CHECK(pool_block(&p, b, 0) / GROUP != block / GROUP);
	/* The other blocks of the group can be allocated. */
	CHECK_EQ(pool_fill(&p, a, 0, GROUP), -ENOSPC);
	CHECK_EQ(pool_fill(&p, a, 0, GROUP - 1), 0);
	pool_check(&p);
	CHECK_EQ(pool_punch(&p, a, 0, GROUP), 0);
	unpin_blocks(&p, block + 7, 1);
	CHECK_EQ(gmfs_full_groups(&p.t), 1);
	CHECK_EQ(pool_fill(&p, a, 0, GROUP), 0);
	CHECK_EQ(pool_extents(&p, a), 1);
	pool_check(&p);
	pool_free(&p);
}

void pins_tests(void)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(detach_places); i++)
		test_add(detach_one, &detach_places[i], "detach_one: block %u", detach_places[i]);
	TEST(detach_many);
	TEST(detached_are_joined);
	TEST(ranges_stay_apart);
	TEST(detach_mixed);
	TEST(evict_with_pins);
	for (i = 0; i < ARRAY_SIZE(last_pins); i++)
		test_add(last_pin_frees, &last_pins[i], "last_pin_frees: pin %u", last_pins[i]);
	TEST(pins_end_at_pages);
	TEST(unpin_in_the_file);
	TEST(remount_and_kexec);
	TEST(limit_counts_detached);
	for (i = 0; i < ARRAY_SIZE(entries_ways); i++)
		test_add(entries_never_run_out, &entries_ways[i], "entries_never_run_out: %u",
			 entries_ways[i]);
	TEST(settling_is_bounded);
	TEST(groups_are_given_up);
}
