// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pins, and blocks that are punched out of the file while they are pinned. The selftest
 * tools/testing/selftests/guestmemfs/kvm/gmem_pin_test.c tests the view of user space.
 */
#include <linux/blk_types.h>
#include <linux/file.h>

#include "fixture_file.h"

#define PAGES		((pgoff_t)GUESTMEMFS_BLOCK_PAGES)
#define FILE_BLOCKS	GMFS_TEST_FILE_BLOCKS
#define FILE_PAGES	(FILE_BLOCKS * PAGES)

/* States of a block of the file. */
enum {
	HOLE,
	THERE,
	GOING,		/* truncated, but not freed, as it is pinned */
};

static int block_is(struct gmfs_test_file *t, u64 block)
{
	struct gmfs_state state;

	gmfs_map_state(&t->pool.tables, GUESTMEMFS_I(t->inode)->map, block * PAGES, &state);
	if (!state.allocated)
		return HOLE;
	return state.truncated ? GOING : THERE;
}

static u32 blocks_taken(const struct gmfs_test_file *t)
{
	return t->pool.tables.total_blocks - t->pool.tables.free_blocks;
}

/* The tables are valid, and the file has @blocks blocks. */
static void check_blocks(struct kunit *test, struct gmfs_test_file *t, u32 blocks)
{
	KUNIT_EXPECT_EQ(test, blocks_taken(t), blocks);
	KUNIT_EXPECT_EQ(test, t->inode->i_blocks >> (GUESTMEMFS_BLOCK_SHIFT - SECTOR_SHIFT),
			blocks);
	t->p->t = t->pool.tables;
	t->p->map[0] = GUESTMEMFS_I(t->inode)->map;
	gmfs_test_check(test, t->p);
	t->p->map[0] = &t->p->maps[0];
}

static void a_pin_fills_holes(struct kunit *test)
{
	struct gmfs_test_file *t = gmfs_test_begin(test);
	struct gmfs_pin pin;

	KUNIT_ASSERT_EQ(test, gmfs_test_hold(t, &pin, PAGES + 3, 2 * PAGES + 1), 0);
	KUNIT_EXPECT_EQ(test, file_count(t->file), 2);
	KUNIT_EXPECT_EQ(test, block_is(t, 0), HOLE);
	KUNIT_EXPECT_EQ(test, block_is(t, 1), THERE);
	KUNIT_EXPECT_EQ(test, block_is(t, 2), THERE);
	KUNIT_EXPECT_EQ(test, block_is(t, 3), HOLE);
	check_blocks(test, t, 2);
	/* The blocks stay in the file after the unpin. */
	gmfs_test_let_go(&pin);
	KUNIT_EXPECT_EQ(test, file_count(t->file), 1);
	KUNIT_EXPECT_EQ(test, block_is(t, 1), THERE);
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
	struct gmfs_pin pin;
	int i, err;

	/* Only one byte of the last page is in the file: the page can be pinned. */
	i_size_write(t->inode, FILE_BLOCKS * GMFS_BLOCK_SIZE - PAGE_SIZE + 1);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		err = gmfs_test_hold(t, &pin, cases[i].first, cases[i].last);
		KUNIT_EXPECT_EQ_MSG(test, err, cases[i].err, "case %d", i);
		if (!err) {
			gmfs_test_let_go(&pin);
			continue;
		}
		KUNIT_EXPECT_EQ(test, file_count(t->file), 1);
		KUNIT_EXPECT_TRUE(test, list_empty(&GUESTMEMFS_I(t->inode)->pins));
		check_blocks(test, t, 0);
	}
	check_blocks(test, t, FILE_BLOCKS);
}

static void private_pages_are_not_held(struct kunit *test)
{
	struct gmfs_test_file *t = gmfs_test_begin(test);
	struct gmfs_pin before, behind;
	pgoff_t held;

	KUNIT_ASSERT_EQ(test, gmfs_choose_character(t->inode, false), 0);
	KUNIT_ASSERT_EQ(test, gmfs_convert(t->inode, 5, 7, true, &held), 0);
	KUNIT_EXPECT_EQ(test, gmfs_test_hold(t, &before, 0, 6), -EFAULT);
	KUNIT_EXPECT_EQ(test, gmfs_test_hold(t, &before, 5, 6), -EFAULT);
	KUNIT_EXPECT_EQ(test, gmfs_test_hold(t, &before, 6, PAGES + 1), -EFAULT);
	KUNIT_EXPECT_EQ(test, gmfs_test_hold(t, &before, 0, FILE_PAGES), -EFAULT);
	/* The failed calls have allocated nothing. */
	check_blocks(test, t, 0);
	KUNIT_EXPECT_EQ(test, gmfs_test_hold(t, &before, 0, 5), 0);
	KUNIT_EXPECT_EQ(test, gmfs_test_hold(t, &behind, 7, PAGES + 1), 0);
	gmfs_test_let_go(&before);
	gmfs_test_let_go(&behind);
	check_blocks(test, t, 2);
}

static void held_pages_stay_shared(struct kunit *test)
{
	struct gmfs_test_file *t = gmfs_test_begin(test);
	struct gmfs_pin first, second;
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
	gmfs_test_let_go(&first);
	KUNIT_EXPECT_EQ(test, gmfs_convert(t->inode, 2, 15, true, &held), -EAGAIN);
	KUNIT_EXPECT_EQ(test, held, 5);
	KUNIT_EXPECT_EQ(test, gmfs_convert(t->inode, 2, 5, true, &held), 0);
	gmfs_test_let_go(&second);
	KUNIT_EXPECT_EQ(test, gmfs_convert(t->inode, 5, 15, true, &held), 0);
	check_blocks(test, t, 1);
}

static void a_file_that_is_held_is_shared_at_first(struct kunit *test)
{
	struct gmfs_test_file *t = gmfs_test_begin(test);
	struct gmfs_pin pin;

	KUNIT_ASSERT_EQ(test, gmfs_test_hold(t, &pin, FILE_PAGES - 1, FILE_PAGES), 0);
	KUNIT_EXPECT_EQ(test, gmfs_choose_character(t->inode, true), -EAGAIN);
	KUNIT_EXPECT_TRUE(test, gmfs_file_is(t->inode, 0, FILE_PAGES, false));
	gmfs_test_let_go(&pin);
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
		int pin;
	} parts[] = {
		{ 0, 5, -1 }, { 0, 6, 1 }, { 5, 6, 1 }, { 6, 10, -1 }, { 6, 11, 0 },
		{ 10, ULONG_MAX, 0 }, { 16, 17, 0 }, { 19, 20, 0 }, { 20, 21, 2 },
		{ 39, 100, 2 }, { 40, 100, -1 }, { 40, 101, 3 }, { 0, ULONG_MAX, 1 },
		{ 101, ULONG_MAX, -1 }, { 5, 5, -1 },
	};
	struct gmfs_test_file *t = gmfs_test_begin(test);
	struct gmfs_pin held[ARRAY_SIZE(pins)];
	struct gmfs_pin *found, *expected;
	int i;

	for (i = 0; i < ARRAY_SIZE(pins); i++)
		KUNIT_ASSERT_EQ(test, gmfs_test_hold(t, &held[i], pins[i].first, pins[i].last), 0);
	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		expected = parts[i].pin < 0 ? NULL : &held[parts[i].pin];
		filemap_invalidate_lock_shared(t->inode->i_mapping);
		found = gmfs_first_pin(t->inode, parts[i].first, parts[i].last);
		filemap_invalidate_unlock_shared(t->inode->i_mapping);
		KUNIT_EXPECT_PTR_EQ_MSG(test, found, expected, "case %d", i);
	}
	for (i = 0; i < ARRAY_SIZE(pins); i++)
		gmfs_test_let_go(&held[i]);
}

/* Blocks without a pin are freed at once, the others by their last unpin. */
static void truncated_is_going_or_gone(struct kunit *test)
{
	struct gmfs_test_file *t = gmfs_test_begin(test);
	struct gmfs_pin one, three, six;

	KUNIT_ASSERT_EQ(test, gmfs_test_hold(t, &one, 0, FILE_PAGES), 0);
	gmfs_test_let_go(&one);
	KUNIT_ASSERT_EQ(test, gmfs_test_hold(t, &one, PAGES + 7, PAGES + 8), 0);
	KUNIT_ASSERT_EQ(test, gmfs_test_hold(t, &three, 4 * PAGES - 1, 5 * PAGES + 1), 0);
	KUNIT_ASSERT_EQ(test, gmfs_test_hold(t, &six, 6 * PAGES, 7 * PAGES), 0);
	/* Punch blocks 0 to 5, of which blocks 0 and 2 are not pinned. */
	KUNIT_ASSERT_EQ(test, gmfs_test_punch(t, 0, 6), 0);
	KUNIT_EXPECT_EQ(test, block_is(t, 0), HOLE);
	KUNIT_EXPECT_EQ(test, block_is(t, 1), GOING);
	KUNIT_EXPECT_EQ(test, block_is(t, 2), HOLE);
	KUNIT_EXPECT_EQ(test, block_is(t, 3), GOING);
	KUNIT_EXPECT_EQ(test, block_is(t, 4), GOING);
	KUNIT_EXPECT_EQ(test, block_is(t, 5), GOING);
	KUNIT_EXPECT_EQ(test, block_is(t, 6), THERE);
	check_blocks(test, t, 6);
	/* Punching the same blocks again changes nothing. */
	KUNIT_EXPECT_EQ(test, gmfs_test_punch(t, 0, 6), 0);
	check_blocks(test, t, 6);
	gmfs_test_let_go(&three);
	KUNIT_EXPECT_EQ(test, block_is(t, 1), GOING);
	KUNIT_EXPECT_EQ(test, block_is(t, 3), HOLE);
	KUNIT_EXPECT_EQ(test, block_is(t, 4), HOLE);
	KUNIT_EXPECT_EQ(test, block_is(t, 5), HOLE);
	gmfs_test_let_go(&six);
	KUNIT_EXPECT_EQ(test, block_is(t, 6), THERE);
	gmfs_test_let_go(&one);
	KUNIT_EXPECT_EQ(test, block_is(t, 1), HOLE);
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
	int i, j, k, users, block, err = 0;
	struct gmfs_pin held[3];

	for (i = 0; i < ARRAY_SIZE(orders); i++) {
		for (j = 0; !err && j < 3; j++)
			err = gmfs_test_hold(t, &held[j], pins[j][0], pins[j][1]);
		KUNIT_ASSERT_EQ(test, err, 0);
		KUNIT_ASSERT_EQ(test, gmfs_test_punch(t, 0, 3), 0);
		KUNIT_EXPECT_EQ(test, blocks_taken(t), 3);
		for (j = 0; j < 3; j++) {
			gmfs_test_let_go(&held[orders[i][j]]);
			for (block = 0; block < 3; block++) {
				for (k = j + 1, users = 0; k < 3; k++)
					users += pins[orders[i][k]][0] < (block + 1) * PAGES &&
						 pins[orders[i][k]][1] > block * PAGES;
				KUNIT_EXPECT_EQ_MSG(test, block_is(t, block),
						    users ? GOING : HOLE,
						    "order %d, step %d, block %d", i, j, block);
			}
		}
		check_blocks(test, t, 0);
	}
}

static void what_is_going_is_nobodys(struct kunit *test)
{
	struct gmfs_test_file *t = gmfs_test_begin(test);
	struct gmfs_pin pin, again;
	pgoff_t held = 0;

	KUNIT_ASSERT_EQ(test, gmfs_choose_character(t->inode, false), 0);
	KUNIT_ASSERT_EQ(test, gmfs_test_hold(t, &pin, 3, 4), 0);
	KUNIT_ASSERT_EQ(test, gmfs_test_punch(t, 0, 1), 0);
	KUNIT_EXPECT_EQ(test, gmfs_test_hold(t, &again, 3, 4), -EFAULT);
	KUNIT_EXPECT_EQ(test, gmfs_test_hold(t, &again, 100, 101), -EFAULT);
	KUNIT_EXPECT_EQ(test, gmfs_test_hold(t, &again, 100, PAGES + 1), -EFAULT);
	KUNIT_EXPECT_EQ(test, gmfs_convert(t->inode, 100, 101, true, &held), -EBUSY);
	KUNIT_EXPECT_EQ(test, gmfs_file_allocate(t->inode, 0, 1, false), -EBUSY);
	KUNIT_EXPECT_EQ(test, file_count(t->file), 2);
	gmfs_test_let_go(&pin);
	/* The offset gets a new block, which is not truncated. */
	KUNIT_EXPECT_EQ(test, gmfs_test_hold(t, &again, 3, 4), 0);
	KUNIT_EXPECT_EQ(test, block_is(t, 0), THERE);
	gmfs_test_let_go(&again);
	check_blocks(test, t, 1);
}

/* An unpin in a frozen pool frees no block. After the thaw, gmfs_pin_settle() frees it. */
static void let_go_in_a_freeze(struct kunit *test)
{
	struct gmfs_test_file *t = gmfs_test_begin(test);
	struct gmfs_pin one, two, new;
	pgoff_t held = 0;

	KUNIT_ASSERT_EQ(test, gmfs_choose_character(t->inode, false), 0);
	KUNIT_ASSERT_EQ(test, gmfs_test_hold(t, &one, 0, 1), 0);
	KUNIT_ASSERT_EQ(test, gmfs_test_hold(t, &two, 2 * PAGES, 2 * PAGES + 1), 0);
	KUNIT_ASSERT_EQ(test, gmfs_test_punch(t, 0, 3), 0);
	gmfs_pool_freeze(&t->pool);
	KUNIT_EXPECT_EQ(test, gmfs_test_hold(t, &new, 4 * PAGES, 4 * PAGES + 1), -EBUSY);
	gmfs_test_let_go(&one);
	KUNIT_EXPECT_EQ(test, block_is(t, 0), GOING);
	filemap_invalidate_lock(t->inode->i_mapping);
	gmfs_pin_settle(t->inode, 0, FILE_BLOCKS);
	filemap_invalidate_unlock(t->inode->i_mapping);
	KUNIT_EXPECT_EQ(test, block_is(t, 0), GOING);
	gmfs_pool_thaw(&t->pool);
	check_blocks(test, t, 2);
	/*
	 * A conversion frees the truncated blocks in its range that are not pinned any more. It
	 * fails for block 2, which is pinned.
	 */
	KUNIT_EXPECT_EQ(test, gmfs_convert(t->inode, 2 * PAGES + 5, 2 * PAGES + 6, true, &held),
			-EBUSY);
	KUNIT_EXPECT_EQ(test, block_is(t, 0), GOING);
	KUNIT_EXPECT_EQ(test, gmfs_convert(t->inode, 5, 6, true, &held), 0);
	KUNIT_EXPECT_EQ(test, block_is(t, 0), HOLE);
	KUNIT_EXPECT_EQ(test, block_is(t, 2), GOING);
	filemap_invalidate_lock(t->inode->i_mapping);
	gmfs_pin_settle(t->inode, 0, FILE_BLOCKS);
	filemap_invalidate_unlock(t->inode->i_mapping);
	KUNIT_EXPECT_EQ(test, block_is(t, 2), GOING);
	gmfs_test_let_go(&two);
	KUNIT_EXPECT_EQ(test, block_is(t, 2), HOLE);
	check_blocks(test, t, 0);
}

static void a_file_goes_after_its_pins(struct kunit *test)
{
	struct gmfs_test_file *t = gmfs_test_begin(test);
	const struct guestmemfs_inode *di = &t->pool.tables.inodes[t->p->ino[0]];
	struct gmfs_pin one, two;

	KUNIT_ASSERT_EQ(test, gmfs_test_hold(t, &one, 0, PAGES + 1), 0);
	KUNIT_ASSERT_EQ(test, gmfs_test_hold(t, &two, 1, 2), 0);
	clear_nlink(t->inode);
	/* Close the file; the pins still have references. */
	fput(t->file);
	flush_delayed_fput();
	KUNIT_EXPECT_EQ(test, file_count(t->file), 2);
	KUNIT_EXPECT_EQ(test, blocks_taken(t), 2);
	gmfs_test_let_go(&one);
	KUNIT_EXPECT_EQ(test, file_count(t->file), 1);
	KUNIT_EXPECT_EQ(test, blocks_taken(t), 2);
	t->file = NULL;
	gmfs_test_let_go(&two);
	KUNIT_EXPECT_EQ(test, blocks_taken(t), 0);
	KUNIT_EXPECT_EQ(test, le32_to_cpu(di->mode), 0);
}

static struct kunit_case gmfs_pin_cases[] = {
	KUNIT_CASE(a_pin_fills_holes),
	KUNIT_CASE(only_what_is_in_the_file),
	KUNIT_CASE(private_pages_are_not_held),
	KUNIT_CASE(held_pages_stay_shared),
	KUNIT_CASE(a_file_that_is_held_is_shared_at_first),
	KUNIT_CASE(the_first_pin_of_a_part),
	KUNIT_CASE(truncated_is_going_or_gone),
	KUNIT_CASE(any_order_of_letting_go),
	KUNIT_CASE(what_is_going_is_nobodys),
	KUNIT_CASE(let_go_in_a_freeze),
	KUNIT_CASE(a_file_goes_after_its_pins),
	{}
};

static struct kunit_suite gmfs_pin_suite = {
	.name		= "guestmemfs_pin",
	.test_cases	= gmfs_pin_cases,
};

kunit_test_suite(gmfs_pin_suite);
