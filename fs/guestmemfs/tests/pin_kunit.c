// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pins, and blocks that leave their file while they are pinned. The selftest
 * tools/testing/selftests/guestmemfs/kvm/gmem_pin_test.c tests the view of user space.
 */
#include <linux/blk_types.h>
#include <linux/file.h>

#include "fixture_file.h"

#define PAGES		((pgoff_t)GUESTMEMFS_BLOCK_PAGES)
#define FILE_BLOCKS	GMFS_TEST_FILE_BLOCKS
#define FILE_PAGES	(FILE_BLOCKS * PAGES)

static bool has_block(struct gmfs_test_file *t, u64 block)
{
	struct gmfs_state state;

	gmfs_map_state(&t->pool.tables, GUESTMEMFS_I(t->inode)->map, block * PAGES, &state);
	return state.allocated;
}

static u32 blocks_taken(const struct gmfs_test_file *t)
{
	return t->pool.tables.total_blocks - t->pool.tables.free_blocks;
}

/* The tables are valid, the file has @blocks blocks, and @detached blocks wait for their pins. */
static void check_detached(struct kunit *test, struct gmfs_test_file *t, u32 blocks, u32 detached)
{
	KUNIT_EXPECT_EQ(test, blocks_taken(t), blocks + detached);
	KUNIT_EXPECT_EQ(test, t->pool.tables.detached.blocks, detached);
	KUNIT_EXPECT_EQ(test, t->inode->i_blocks >> (GUESTMEMFS_BLOCK_SHIFT - SECTOR_SHIFT),
			blocks);
	t->p->t = t->pool.tables;
	t->p->map[0] = GUESTMEMFS_I(t->inode)->map;
	gmfs_test_check(test, t->p);
	t->p->map[0] = &t->p->maps[0];
	/* The nodes of the tree belong to the tables in use. */
	gmfs_map_init(&t->p->t.detached);
}

static void check_blocks(struct kunit *test, struct gmfs_test_file *t, u32 blocks)
{
	check_detached(test, t, blocks, 0);
}

static void a_pin_fills_holes(struct kunit *test)
{
	struct gmfs_test_file *t = gmfs_test_begin(test);
	struct gmfs_pin *pin;

	KUNIT_ASSERT_EQ(test, gmfs_test_hold(t, &pin, PAGES + 3, 2 * PAGES + 1), 0);
	KUNIT_EXPECT_EQ(test, t->pool.pins.frames, PAGES - 2);
	KUNIT_EXPECT_FALSE(test, has_block(t, 0));
	KUNIT_EXPECT_TRUE(test, has_block(t, 1));
	KUNIT_EXPECT_TRUE(test, has_block(t, 2));
	KUNIT_EXPECT_FALSE(test, has_block(t, 3));
	check_blocks(test, t, 2);
	/* The two blocks are contiguous in the pool. */
	KUNIT_EXPECT_EQ(test, pin->nr, 1);
	KUNIT_EXPECT_EQ(test, pin->runs[0].end - pin->runs[0].first, PAGES - 2);
	/* The blocks stay in the file after the unpin. */
	gmfs_unpin_pages(pin);
	KUNIT_EXPECT_EQ(test, t->pool.pins.frames, 0);
	KUNIT_EXPECT_TRUE(test, has_block(t, 1));
	check_blocks(test, t, 2);
}

static void only_what_is_in_the_file(struct kunit *test)
{
	static const struct {
		pgoff_t first;
		pgoff_t last;
		int err;
	} cases[] = {
		{ 0,			0,			-EINVAL },
		{ 5,			4,			-EINVAL },
		{ 0,			FILE_PAGES + 1,		-EINVAL },
		{ FILE_PAGES,		FILE_PAGES + 1,		-EINVAL },
		{ 0,			ULONG_MAX,		-EINVAL },
		{ ULONG_MAX - 1,	ULONG_MAX,		-EINVAL },
		{ FILE_PAGES - 1,	FILE_PAGES,		0 },
		{ 0,			FILE_PAGES,		0 },
	};
	struct gmfs_test_file *t = gmfs_test_begin(test);
	struct gmfs_pin *pin;
	int i, err;

	/* Only one byte of the last page is in the file: the page can be pinned. */
	i_size_write(t->inode, FILE_BLOCKS * GMFS_BLOCK_SIZE - PAGE_SIZE + 1);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		err = gmfs_test_hold(t, &pin, cases[i].first, cases[i].last);
		KUNIT_EXPECT_EQ_MSG(test, err, cases[i].err, "case %d", i);
		if (!err) {
			gmfs_unpin_pages(pin);
			continue;
		}
		KUNIT_EXPECT_EQ(test, t->pool.pins.frames, 0);
		check_blocks(test, t, 0);
	}
	check_blocks(test, t, FILE_BLOCKS);
}

static void private_pages_are_not_held(struct kunit *test)
{
	struct gmfs_test_file *t = gmfs_test_begin(test);
	struct gmfs_pin *before, *behind;
	pgoff_t held;

	KUNIT_ASSERT_EQ(test, gmfs_choose_character(t->inode, false), 0);
	KUNIT_ASSERT_EQ(test, gmfs_convert(t->inode, 5, 7, true, &held), 0);
	KUNIT_EXPECT_EQ(test, gmfs_test_hold(t, &before, 0, 6), -EFAULT);
	KUNIT_EXPECT_EQ(test, gmfs_test_hold(t, &before, 5, 6), -EFAULT);
	KUNIT_EXPECT_EQ(test, gmfs_test_hold(t, &before, 6, PAGES + 1), -EFAULT);
	KUNIT_EXPECT_EQ(test, gmfs_test_hold(t, &before, 0, FILE_PAGES), -EFAULT);
	KUNIT_EXPECT_EQ(test, t->pool.pins.frames, 0);
	/* The blocks of the pages before the private ones stay in the file. */
	check_blocks(test, t, 1);
	KUNIT_EXPECT_EQ(test, gmfs_test_hold(t, &before, 0, 5), 0);
	KUNIT_EXPECT_EQ(test, gmfs_test_hold(t, &behind, 7, PAGES + 1), 0);
	gmfs_unpin_pages(before);
	gmfs_unpin_pages(behind);
	check_blocks(test, t, 2);
}

static void held_pages_stay_shared(struct kunit *test)
{
	struct gmfs_test_file *t = gmfs_test_begin(test);
	struct gmfs_pin *first, *second;
	pgoff_t held = 0;

	KUNIT_ASSERT_EQ(test, gmfs_choose_character(t->inode, false), 0);
	KUNIT_ASSERT_EQ(test, gmfs_test_hold(t, &second, 5, 15), 0);
	KUNIT_ASSERT_EQ(test, gmfs_test_hold(t, &first, 2, 10), 0);
	KUNIT_EXPECT_EQ(test, gmfs_convert(t->inode, 0, 20, true, &held), -EAGAIN);
	KUNIT_EXPECT_EQ(test, held, 2);
	KUNIT_EXPECT_EQ(test, gmfs_convert(t->inode, 12, 13, true, &held), -EAGAIN);
	KUNIT_EXPECT_EQ(test, held, 12);
	KUNIT_EXPECT_EQ(test, gmfs_convert(t->inode, 0, 2, true, &held), 0);
	KUNIT_EXPECT_EQ(test, gmfs_convert(t->inode, 15, 20, true, &held), 0);
	/* The pinned pages are shared already, so this changes nothing. */
	KUNIT_EXPECT_EQ(test, gmfs_convert(t->inode, 2, 15, false, &held), 0);
	/* Each of the two pins alone prevents the conversion. */
	gmfs_unpin_pages(first);
	KUNIT_EXPECT_EQ(test, gmfs_convert(t->inode, 2, 15, true, &held), -EAGAIN);
	KUNIT_EXPECT_EQ(test, held, 5);
	KUNIT_EXPECT_EQ(test, gmfs_convert(t->inode, 2, 5, true, &held), 0);
	gmfs_unpin_pages(second);
	KUNIT_EXPECT_EQ(test, gmfs_convert(t->inode, 5, 15, true, &held), 0);
	check_blocks(test, t, 1);
}

static void a_file_that_is_held_is_shared_at_first(struct kunit *test)
{
	struct gmfs_test_file *t = gmfs_test_begin(test);
	struct gmfs_pin *pin;

	KUNIT_ASSERT_EQ(test, gmfs_test_hold(t, &pin, FILE_PAGES - 1, FILE_PAGES), 0);
	KUNIT_EXPECT_EQ(test, gmfs_choose_character(t->inode, true), -EAGAIN);
	KUNIT_EXPECT_TRUE(test, gmfs_file_is(t->inode, 0, FILE_PAGES, false));
	gmfs_unpin_pages(pin);
	/* The choice was not made. */
	KUNIT_EXPECT_EQ(test, gmfs_choose_character(t->inode, true), 0);
	KUNIT_EXPECT_TRUE(test, gmfs_file_is(t->inode, 0, FILE_PAGES, true));
}

static void the_first_pin_of_a_part(struct kunit *test)
{
	static const struct {
		pgoff_t first;
		pgoff_t last;
	} pins[] = { { 10, 20 }, { 5, 6 }, { 15, 40 }, { 100, 101 } };
	static const struct {
		pgoff_t first;
		pgoff_t last;
		pgoff_t from;
		pgoff_t to;
	} parts[] = {
		{ 0, 5 }, { 0, 6, 5, 6 }, { 5, 6, 5, 6 }, { 6, 10 }, { 6, 11, 10, 11 },
		{ 10, ULONG_MAX, 10, 15 }, { 16, 17, 16, 17 }, { 19, 20, 19, 20 },
		{ 20, 21, 20, 21 }, { 39, 100, 39, 40 }, { 40, 100 }, { 40, 101, 100, 101 },
		{ 0, ULONG_MAX, 5, 6 }, { 101, ULONG_MAX }, { 5, 5 },
	};
	struct gmfs_test_file *t = gmfs_test_begin(test);
	struct gmfs_pin *held[ARRAY_SIZE(pins)];
	struct gmfs_pinned pinned;
	bool found;
	int i;

	for (i = 0; i < ARRAY_SIZE(pins); i++)
		KUNIT_ASSERT_EQ(test, gmfs_test_hold(t, &held[i], pins[i].first, pins[i].last), 0);
	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		pinned = (struct gmfs_pinned){};
		filemap_invalidate_lock_shared(t->inode->i_mapping);
		found = gmfs_file_pinned(t->inode, parts[i].first, parts[i].last, &pinned);
		filemap_invalidate_unlock_shared(t->inode->i_mapping);
		KUNIT_EXPECT_EQ_MSG(test, found, parts[i].from < parts[i].to, "case %d", i);
		KUNIT_EXPECT_EQ_MSG(test, pinned.first, parts[i].from, "case %d", i);
		KUNIT_EXPECT_EQ_MSG(test, pinned.last, parts[i].to, "case %d", i);
	}
	for (i = 0; i < ARRAY_SIZE(pins); i++)
		gmfs_unpin_pages(held[i]);
}

/* Blocks without a pin are freed at once, the others by their last unpin. */
static void punched_is_detached_or_free(struct kunit *test)
{
	struct gmfs_test_file *t = gmfs_test_begin(test);
	struct gmfs_pin *one, *three, *six;
	int i;

	KUNIT_ASSERT_EQ(test, gmfs_test_hold(t, &one, 0, FILE_PAGES), 0);
	gmfs_unpin_pages(one);
	KUNIT_ASSERT_EQ(test, gmfs_test_hold(t, &one, PAGES + 7, PAGES + 8), 0);
	KUNIT_ASSERT_EQ(test, gmfs_test_hold(t, &three, 4 * PAGES - 1, 5 * PAGES + 1), 0);
	KUNIT_ASSERT_EQ(test, gmfs_test_hold(t, &six, 6 * PAGES, 7 * PAGES), 0);
	/* Punch blocks 0 to 5, of which blocks 0 and 2 are not pinned. */
	KUNIT_ASSERT_EQ(test, gmfs_test_punch(t, 0, 6), 0);
	for (i = 0; i < FILE_BLOCKS; i++)
		KUNIT_EXPECT_EQ(test, has_block(t, i), i >= 6);
	check_detached(test, t, 2, 4);
	/* Punching the same blocks again changes nothing. */
	KUNIT_EXPECT_EQ(test, gmfs_test_punch(t, 0, 6), 0);
	check_detached(test, t, 2, 4);
	gmfs_unpin_pages(three);
	check_detached(test, t, 2, 1);
	gmfs_unpin_pages(six);
	KUNIT_EXPECT_TRUE(test, has_block(t, 6));
	gmfs_unpin_pages(one);
	check_blocks(test, t, 2);
}

/*
 * Three overlapping pins in three blocks, released in each order: the last unpin of a block
 * frees it.
 */
static void any_order_of_letting_go(struct kunit *test)
{
	static const pgoff_t pins[3][2] = {
		{ 0, PAGES + 1 }, { PAGES, 2 * PAGES + 100 }, { 300, 301 },
	};
	static const u8 orders[][3] = {
		{ 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 }, { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 },
	};
	struct gmfs_test_file *t = gmfs_test_begin(test);
	int i, j, k, users, block, detached, err = 0;
	struct gmfs_pin *held[3];

	for (i = 0; i < ARRAY_SIZE(orders); i++) {
		for (j = 0; !err && j < 3; j++)
			err = gmfs_test_hold(t, &held[j], pins[j][0], pins[j][1]);
		KUNIT_ASSERT_EQ(test, err, 0);
		KUNIT_ASSERT_EQ(test, gmfs_test_punch(t, 0, 3), 0);
		KUNIT_EXPECT_EQ(test, blocks_taken(t), 3);
		for (j = 0; j < 3; j++) {
			gmfs_unpin_pages(held[orders[i][j]]);
			for (block = 0, detached = 0; block < 3; block++) {
				for (k = j + 1, users = 0; k < 3; k++)
					users += pins[orders[i][k]][0] < (block + 1) * PAGES &&
						 pins[orders[i][k]][1] > block * PAGES;
				detached += users > 0;
			}
			KUNIT_EXPECT_EQ_MSG(test, t->pool.tables.detached.blocks, detached,
					    "order %d, step %d", i, j);
		}
		check_blocks(test, t, 0);
	}
}

/* The place of a detached block is a hole like any other. */
static void a_place_is_used_again(struct kunit *test)
{
	struct gmfs_test_file *t = gmfs_test_begin(test);
	struct gmfs_pin *pin, *again;
	pgoff_t held = 0;

	KUNIT_ASSERT_EQ(test, gmfs_choose_character(t->inode, false), 0);
	KUNIT_ASSERT_EQ(test, gmfs_test_hold(t, &pin, 3, 4), 0);
	KUNIT_ASSERT_EQ(test, gmfs_test_punch(t, 0, 1), 0);
	check_detached(test, t, 0, 1);
	KUNIT_ASSERT_EQ(test, gmfs_test_hold(t, &again, 3, 4), 0);
	KUNIT_EXPECT_NE(test, again->runs[0].first, pin->runs[0].first);
	check_detached(test, t, 1, 1);
	KUNIT_EXPECT_EQ(test, gmfs_convert(t->inode, 100, 101, true, &held), 0);
	KUNIT_EXPECT_EQ(test, gmfs_convert(t->inode, 3, 4, true, &held), -EAGAIN);
	KUNIT_EXPECT_EQ(test, held, 3);
	gmfs_unpin_pages(pin);
	check_blocks(test, t, 1);
	KUNIT_EXPECT_EQ(test, gmfs_convert(t->inode, 3, 4, true, &held), -EAGAIN);
	gmfs_unpin_pages(again);
	KUNIT_EXPECT_EQ(test, gmfs_convert(t->inode, 3, 4, true, &held), 0);
	check_blocks(test, t, 1);
}

/* An unpin in a frozen pool frees no block. The thaw does. */
static void let_go_in_a_freeze(struct kunit *test)
{
	struct gmfs_test_file *t = gmfs_test_begin(test);
	struct gmfs_pin *one, *two, *new;

	KUNIT_ASSERT_EQ(test, gmfs_test_hold(t, &one, 0, 1), 0);
	KUNIT_ASSERT_EQ(test, gmfs_test_hold(t, &two, 2 * PAGES, 2 * PAGES + 1), 0);
	KUNIT_ASSERT_EQ(test, gmfs_test_punch(t, 0, 3), 0);
	gmfs_pool_freeze(&t->pool);
	KUNIT_EXPECT_EQ(test, gmfs_test_hold(t, &new, 4 * PAGES, 4 * PAGES + 1), -EBUSY);
	gmfs_unpin_pages(one);
	KUNIT_EXPECT_EQ(test, t->pool.pins.frames, 1);
	check_detached(test, t, 0, 2);
	gmfs_pool_thaw(&t->pool);
	check_detached(test, t, 0, 1);
	gmfs_unpin_pages(two);
	check_blocks(test, t, 0);
}

/* As between an unmount and the next mount. */
static void let_go_without_a_mount(struct kunit *test)
{
	struct gmfs_test_file *t = gmfs_test_begin(test);
	struct gmfs_pin *pin;

	KUNIT_ASSERT_EQ(test, gmfs_test_hold(t, &pin, 0, 1), 0);
	KUNIT_ASSERT_EQ(test, gmfs_test_punch(t, 0, 3), 0);
	t->pool.loaded = false;
	gmfs_unpin_pages(pin);
	KUNIT_EXPECT_EQ(test, t->pool.pins.frames, 0);
	check_detached(test, t, 0, 1);
	t->pool.loaded = true;
	gmfs_pool_settle(&t->pool, 0, U32_MAX);
	check_blocks(test, t, 0);
}

static void a_file_goes_before_its_pins(struct kunit *test)
{
	struct gmfs_test_file *t = gmfs_test_begin(test);
	const struct guestmemfs_inode *di = &t->pool.tables.inodes[t->p->ino[0]];
	struct gmfs_pin *one, *two;

	KUNIT_ASSERT_EQ(test, gmfs_test_hold(t, &one, 0, 3 * PAGES), 0);
	gmfs_unpin_pages(one);
	KUNIT_ASSERT_EQ(test, gmfs_test_hold(t, &one, 0, PAGES + 1), 0);
	KUNIT_ASSERT_EQ(test, gmfs_test_hold(t, &two, 1, 2), 0);
	clear_nlink(t->inode);
	fput(t->file);
	flush_delayed_fput();
	t->file = NULL;
	/* The file is gone, and so is its block without a pin. */
	KUNIT_EXPECT_EQ(test, le32_to_cpu(di->mode), 0);
	KUNIT_EXPECT_EQ(test, blocks_taken(t), 2);
	KUNIT_EXPECT_EQ(test, t->pool.tables.detached.blocks, 2);
	gmfs_unpin_pages(one);
	KUNIT_EXPECT_EQ(test, blocks_taken(t), 1);
	gmfs_unpin_pages(two);
	KUNIT_EXPECT_EQ(test, blocks_taken(t), 0);
}

/* A mapping keeps the blocks that it has reserved, also if it punches pinned ones. */
static void reserved_stays_reserved(struct kunit *test)
{
	struct gmfs_test_file *t = gmfs_test_begin(test);
	struct gmfs_tables *tables = &t->pool.tables;
	struct gmfs_pin *pin;

	KUNIT_ASSERT_EQ(test, gmfs_test_hold(t, &pin, 0, 2 * PAGES), 0);
	KUNIT_ASSERT_EQ(test, gmfs_file_reserve(t->inode, 0, FILE_BLOCKS), 0);
	KUNIT_EXPECT_EQ(test, tables->promised_blocks, FILE_BLOCKS - 2);
	/* One block is left, two would have to be reserved. */
	tables->max_blocks = FILE_BLOCKS + 1;
	KUNIT_EXPECT_EQ(test, gmfs_test_punch(t, 0, 2), -ENOSPC);
	KUNIT_EXPECT_EQ(test, tables->promised_blocks, FILE_BLOCKS - 2);
	check_blocks(test, t, 2);
	KUNIT_EXPECT_EQ(test, gmfs_test_punch(t, 0, 1), 0);
	KUNIT_EXPECT_EQ(test, tables->promised_blocks, FILE_BLOCKS - 1);
	check_detached(test, t, 1, 1);
	gmfs_unpin_pages(pin);
	KUNIT_EXPECT_EQ(test, tables->promised_blocks, FILE_BLOCKS - 1);
	gmfs_file_unreserve(t->inode, 0, FILE_BLOCKS);
	KUNIT_EXPECT_EQ(test, tables->promised_blocks, 0);
	check_blocks(test, t, 1);
}

/* The blocks of the test pool have no memory that could be zeroed: see gmfs_test_hold(). */
static int pin_persistently(struct gmfs_test_file *t, pgoff_t first, pgoff_t last)
{
	struct gmfs_pin *pin;

	if (!t->pool.frozen && !gmfs_test_hold(t, &pin, first, last))
		gmfs_unpin_pages(pin);
	return gmfs_pin_persistently(t->file, first, last);
}

/* As the next kernel does: what the tables say is all that is left. */
static int load_pins_again(struct gmfs_test_file *t)
{
	u32 at = 0;

	gmfs_pool_write_pins(&t->pool);
	__mt_destroy(&t->pool.pins.counts);
	gmfs_pins_init(&t->pool.pins);
	__mt_destroy(&t->pool.persist.owners);
	__mt_destroy(&t->pool.persist.files);
	gmfs_persist_init(&t->pool.persist);
	return gmfs_persist_load(&t->pool.tables, &at);
}

static u32 records(const struct gmfs_test_file *t)
{
	return le32_to_cpu(t->pool.tables.super->live.used_pins);
}

/* The table has all pins in a freeze, in which none comes or goes, and is empty after the thaw. */
static void persistent_in_a_freeze(struct kunit *test)
{
	struct gmfs_test_file *t = gmfs_test_begin(test);
	const struct guestmemfs_pin *pin = &t->pool.tables.pin_records[0];
	int i;

	KUNIT_ASSERT_EQ(test, pin_persistently(t, 5, PAGES + 7), 0);
	KUNIT_ASSERT_EQ(test, pin_persistently(t, 3 * PAGES, 3 * PAGES + 1), 0);
	KUNIT_ASSERT_EQ(test, gmfs_test_punch(t, 3, 4), 0);
	check_detached(test, t, 2, 1);
	for (i = 0; i < 2; i++) {
		KUNIT_EXPECT_EQ(test, records(t), 0);
		gmfs_pool_freeze(&t->pool);
		gmfs_pool_freeze(&t->pool);
		KUNIT_EXPECT_EQ(test, records(t), 2);
		KUNIT_EXPECT_EQ(test, le64_to_cpu(pin[0].count), PAGES + 2);
		KUNIT_EXPECT_EQ(test, le64_to_cpu(pin[1].count), 1);
		KUNIT_EXPECT_EQ(test, le32_to_cpu(pin[1].ino), t->inode->i_ino);
		KUNIT_EXPECT_EQ(test, pin_persistently(t, 0, 1), -EBUSY);
		KUNIT_EXPECT_EQ(test, gmfs_unpin_persistent(t->inode, 5, 6), -EBUSY);
		KUNIT_EXPECT_EQ(test, gmfs_unpin_all_persistent(t->inode), -EBUSY);
		gmfs_pool_thaw(&t->pool);
		KUNIT_EXPECT_EQ(test, records(t), 2);
		gmfs_pool_thaw(&t->pool);
	}
	KUNIT_EXPECT_EQ(test, records(t), 0);
	KUNIT_EXPECT_EQ(test, t->pool.persist.frames, PAGES + 3);
	KUNIT_EXPECT_EQ(test, t->pool.pins.frames, PAGES + 3);
	KUNIT_EXPECT_EQ(test, gmfs_unpin_persistent(t->inode, 0, ULONG_MAX), 0);
	KUNIT_EXPECT_EQ(test, t->pool.persist.frames, 1);
	KUNIT_EXPECT_EQ(test, gmfs_unpin_all_persistent(t->inode), 0);
	KUNIT_EXPECT_EQ(test, t->pool.pins.frames, 0);
	check_blocks(test, t, 2);
}

/* An inherited pin ends with a pin on the same frames that was in use, and with no other. */
static void inherited_end_with_use(struct kunit *test)
{
	struct gmfs_test_file *t = gmfs_test_begin(test);
	struct gmfs_persist *persist = &t->pool.persist;
	struct gmfs_pin *pin;
	pgoff_t held;

	KUNIT_ASSERT_EQ(test, pin_persistently(t, 0, 100), 0);
	KUNIT_ASSERT_EQ(test, load_pins_again(t), 0);
	KUNIT_EXPECT_EQ(test, persist->inherited, 100);
	KUNIT_EXPECT_EQ(test, gmfs_convert(t->inode, 0, 1, true, &held), -EAGAIN);
	/* The mapping could not be made. */
	KUNIT_ASSERT_EQ(test, gmfs_test_hold(t, &pin, 0, 10), 0);
	gmfs_unpin_pages(pin);
	KUNIT_EXPECT_EQ(test, persist->inherited, 100);
	KUNIT_ASSERT_EQ(test, gmfs_test_hold(t, &pin, 0, 10), 0);
	frame_pin_use(&pin->pin);
	gmfs_unpin_pages(pin);
	KUNIT_EXPECT_EQ(test, persist->inherited, 90);
	KUNIT_EXPECT_EQ(test, t->pool.pins.frames, 90);
	/* It ends while a kexec is in progress, and without a mount. */
	KUNIT_ASSERT_EQ(test, gmfs_test_hold(t, &pin, 10, 20), 0);
	frame_pin_use(&pin->pin);
	gmfs_pool_freeze(&t->pool);
	gmfs_unpin_pages(pin);
	gmfs_pool_thaw(&t->pool);
	KUNIT_ASSERT_EQ(test, gmfs_test_hold(t, &pin, 10, 20), 0);
	frame_pin_use(&pin->pin);
	t->pool.loaded = false;
	gmfs_unpin_pages(pin);
	t->pool.loaded = true;
	KUNIT_EXPECT_EQ(test, persist->inherited, 90);
	/* The file has pinned a part again. */
	KUNIT_ASSERT_EQ(test, pin_persistently(t, 20, 30), 0);
	KUNIT_EXPECT_EQ(test, persist->inherited, 80);
	KUNIT_ASSERT_EQ(test, gmfs_test_hold(t, &pin, 0, 100), 0);
	frame_pin_use(&pin->pin);
	gmfs_unpin_pages(pin);
	KUNIT_EXPECT_EQ(test, persist->inherited, 0);
	KUNIT_EXPECT_EQ(test, persist->frames, 10);
	KUNIT_EXPECT_EQ(test, t->pool.pins.frames, 10);
	KUNIT_EXPECT_EQ(test, gmfs_unpin_all_persistent(t->inode), 0);
	KUNIT_EXPECT_EQ(test, t->pool.pins.frames, 0);
	check_blocks(test, t, 1);
}

/* The pins of a file end with it, also those on blocks that it has lost. */
static void persistent_until_the_file_goes(struct kunit *test)
{
	struct gmfs_test_file *t = gmfs_test_begin(test);

	KUNIT_ASSERT_EQ(test, pin_persistently(t, 1, 2 * PAGES + 1), 0);
	KUNIT_ASSERT_EQ(test, pin_persistently(t, 5 * PAGES, 5 * PAGES + 1), 0);
	KUNIT_ASSERT_EQ(test, gmfs_test_punch(t, 1, 2), 0);
	KUNIT_ASSERT_EQ(test, gmfs_test_punch(t, 5, 6), 0);
	check_detached(test, t, 2, 2);
	clear_nlink(t->inode);
	fput(t->file);
	flush_delayed_fput();
	t->file = NULL;
	KUNIT_EXPECT_EQ(test, t->pool.pins.frames, 0);
	KUNIT_EXPECT_EQ(test, t->pool.persist.frames, 0);
	KUNIT_EXPECT_EQ(test, blocks_taken(t), 0);
}

static void no_persistent_pins(struct kunit *test)
{
	struct gmfs_test_file *t = gmfs_test_begin(test);
	u32 nr = t->pool.tables.nr_pins;

	t->pool.tables.nr_pins = 0;
	KUNIT_EXPECT_EQ(test, gmfs_pin_persistently(t->file, 0, 1), -EOPNOTSUPP);
	check_blocks(test, t, 0);
	/* A file of one block may have one range of pages if half of the table is in use. */
	t->pool.tables.nr_pins = 4;
	KUNIT_EXPECT_EQ(test, pin_persistently(t, 0, 1), 0);
	KUNIT_EXPECT_EQ(test, pin_persistently(t, 2, 3), 0);
	KUNIT_EXPECT_EQ(test, pin_persistently(t, 4, 5), -ENOSPC);
	KUNIT_EXPECT_EQ(test, pin_persistently(t, 0, 5), 0);
	KUNIT_EXPECT_EQ(test, t->pool.pins.frames, 5);
	t->inode->i_sb->s_flags |= SB_RDONLY;
	KUNIT_EXPECT_EQ(test, pin_persistently(t, 5, 6), -EROFS);
	KUNIT_EXPECT_EQ(test, gmfs_unpin_all_persistent(t->inode), -EROFS);
	KUNIT_EXPECT_EQ(test, gmfs_unpin_persistent(t->inode, 0, 1), -EROFS);
	t->inode->i_sb->s_flags &= ~SB_RDONLY;
	KUNIT_EXPECT_EQ(test, gmfs_unpin_all_persistent(t->inode), 0);
	t->pool.tables.nr_pins = nr;
	check_blocks(test, t, 1);
}

static struct kunit_case gmfs_pin_cases[] = {
	KUNIT_CASE(a_pin_fills_holes),
	KUNIT_CASE(only_what_is_in_the_file),
	KUNIT_CASE(private_pages_are_not_held),
	KUNIT_CASE(held_pages_stay_shared),
	KUNIT_CASE(a_file_that_is_held_is_shared_at_first),
	KUNIT_CASE(the_first_pin_of_a_part),
	KUNIT_CASE(punched_is_detached_or_free),
	KUNIT_CASE(any_order_of_letting_go),
	KUNIT_CASE(a_place_is_used_again),
	KUNIT_CASE(let_go_in_a_freeze),
	KUNIT_CASE(let_go_without_a_mount),
	KUNIT_CASE(a_file_goes_before_its_pins),
	KUNIT_CASE(reserved_stays_reserved),
	KUNIT_CASE(persistent_in_a_freeze),
	KUNIT_CASE(inherited_end_with_use),
	KUNIT_CASE(persistent_until_the_file_goes),
	KUNIT_CASE(no_persistent_pins),
	{}
};

static struct kunit_suite gmfs_pin_suite = {
	.name		= "guestmemfs_pin",
	.test_cases	= gmfs_pin_cases,
};

kunit_test_suite(gmfs_pin_suite);
