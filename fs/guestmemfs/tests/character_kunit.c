// SPDX-License-Identifier: GPL-2.0-only
/*
 * gmfs_inode.converted, by which KVM learns whether a page is private without a lock. It has to say
 * what the extents say, and a page that is not converted has to keep its character for a reader
 * while other pages of its block are.
 */
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/prandom.h>

#include "../tables/extmap.h"
#include "fixture_file.h"

#define PAGES		((pgoff_t)GUESTMEMFS_BLOCK_PAGES)
#define FILE_PAGES	(GMFS_TEST_FILE_BLOCKS * PAGES)

static void convert(struct kunit *test, struct gmfs_test_file *t, pgoff_t first, pgoff_t last,
		    bool private)
{
	pgoff_t held;

	KUNIT_EXPECT_EQ(test, gmfs_convert(t->inode, first, last, private, &held), 0);
}

/* The number of pages for which the two differ. Looks at both ends of a run, and between them. */
static int differences(struct gmfs_test_file *t, pgoff_t step)
{
	struct gmfs_state state;
	pgoff_t first, page, end;
	bool private;
	int nr = 0;

	for (first = 0; first < FILE_PAGES + PAGES; first = state.end) {
		gmfs_map_state(&t->pool.tables, GUESTMEMFS_I(t->inode)->map, first, &state);
		private = state.converted != gmfs_private_by_default(t->inode);
		end = min(state.end, FILE_PAGES + PAGES);
		for (page = first; page < end; page += step)
			nr += gmfs_file_is_private(t->inode, page) != private;
		nr += gmfs_file_is_private(t->inode, end - 1) != private;
	}
	return nr;
}

/* A random part of the file, which often begins and ends at a block. */
static void random_part(struct rnd_state *rnd, pgoff_t *first, pgoff_t *last)
{
	*first = prandom_u32_state(rnd) % FILE_PAGES;
	*last = *first + 1 + prandom_u32_state(rnd) % min(FILE_PAGES - *first, 3 * PAGES);
	if (prandom_u32_state(rnd) % 2)
		*first = round_down(*first, PAGES);
	if (prandom_u32_state(rnd) % 2)
		*last = round_up(*last, PAGES);
}

/* Red if a conversion leaves a page out, or a punch, an allocation or a mount changes one. */
static void says_what_the_extents_say(struct kunit *test)
{
	struct gmfs_test_file *t = gmfs_test_begin(test);
	struct maple_tree *converted = &GUESTMEMFS_I(t->inode)->converted;
	struct rnd_state rnd;
	pgoff_t first, last;
	u64 block;
	int i;

	prandom_seed_state(&rnd, 17);
	KUNIT_ASSERT_EQ(test, gmfs_choose_character(t->inode, true), 0);
	for (i = 0; i < 500; i++) {
		random_part(&rnd, &first, &last);
		convert(test, t, first, last, prandom_u32_state(&rnd) % 2);
		block = prandom_u32_state(&rnd) % GMFS_TEST_FILE_BLOCKS;
		if (i % 3 == 1)
			KUNIT_EXPECT_EQ(test, gmfs_file_allocate(t->inode, block, 1,
								 GMFS_PRESENT), 0);
		if (i % 3 == 2)
			KUNIT_EXPECT_EQ(test, gmfs_test_punch(t, block, block + 1), 0);
		/* As at a mount, and at the eviction before it. */
		if (i % 7 == 6) {
			gmfs_converted_free(converted);
			KUNIT_EXPECT_TRUE(test, mtree_empty(converted));
			KUNIT_EXPECT_EQ(test, gmfs_converted_update(converted, &t->pool.tables,
								    GUESTMEMFS_I(t->inode)->map, 0,
								    GMFS_MAX_LOGICAL, GFP_KERNEL),
					0);
		}
		KUNIT_ASSERT_EQ_MSG(test, differences(t, i % 50 ? 61 : 1), 0, "round %d", i);
	}
	/* Runs that meet become one: the tree of a file without shared pages needs no node. */
	convert(test, t, 0, FILE_PAGES, false);
	convert(test, t, 0, FILE_PAGES, true);
	KUNIT_EXPECT_TRUE(test, mtree_empty(converted));
	for (block = 0; block < GMFS_TEST_FILE_BLOCKS; block += 2)
		convert(test, t, block * PAGES, (block + 1) * PAGES, false);
	for (block = 1; block < GMFS_TEST_FILE_BLOCKS; block += 2)
		convert(test, t, block * PAGES, (block + 1) * PAGES, false);
	i = 0;
	first = 0;
	while (mt_find(converted, &first, ULONG_MAX))
		i++;
	KUNIT_EXPECT_EQ(test, i, 1);
}

/**
 * struct reader - a thread that looks at pages that are not converted
 * @inode: the file
 * @looks: how often it has looked at them
 * @wrong: how often one of them had another character
 */
struct reader {
	struct inode *inode;
	int looks;
	int wrong;
};

/*
 * In blocks before FIRST_WHOLE the first page is shared and the last one private. Of the other
 * blocks, those with an even number are private as a whole.
 */
#define FIRST_WHOLE	4

static void reader_look(struct reader *reader)
{
	struct inode *inode = reader->inode;
	pgoff_t block;

	for (block = 0; block < FIRST_WHOLE; block++) {
		reader->wrong += gmfs_file_is_private(inode, block * PAGES);
		reader->wrong += !gmfs_file_is_private(inode, block * PAGES + PAGES - 1);
	}
	for (; block < GMFS_TEST_FILE_BLOCKS; block += 2) {
		reader->wrong += !gmfs_file_is_private(inode, block * PAGES + block);
		/* This block changes as a whole: only KASAN has something to say. */
		gmfs_file_is_private(inode, (block + 1) * PAGES + block);
	}
	WRITE_ONCE(reader->looks, reader->looks + 1);
}

static int reader_thread(void *data)
{
	while (!kthread_should_stop()) {
		reader_look(data);
		cond_resched();
	}
	return 0;
}

/*
 * Red if a block or a run of blocks is not in the tree for a moment while something beside the page
 * changes; and a report of KASAN if a bitmap is freed before its readers are done.
 */
static void a_reader_is_not_disturbed(struct kunit *test)
{
	struct gmfs_test_file *t = gmfs_test_begin(test);
	struct reader reader = { .inode = t->inode };
	struct task_struct *task;
	pgoff_t block, first;
	int i;

	KUNIT_ASSERT_EQ(test, gmfs_choose_character(t->inode, false), 0);
	for (block = 0; block < FIRST_WHOLE; block++)
		convert(test, t, (block + 1) * PAGES - 1, (block + 1) * PAGES, true);
	for (; block < GMFS_TEST_FILE_BLOCKS; block += 2)
		convert(test, t, block * PAGES, (block + 1) * PAGES, true);
	task = kthread_run(reader_thread, &reader, "guestmemfs_kunit");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, task);
	for (i = 0; i < 1000; i++) {
		block = i % FIRST_WHOLE;
		first = block * PAGES + 1 + i % (PAGES - 2);
		convert(test, t, first, (block + 1) * PAGES - 1, i / FIRST_WHOLE % 2);
		/* In part, and then as a whole: a bitmap comes and goes, and the run is joined. */
		block = FIRST_WHOLE + 1 + i % 2 * 2;
		convert(test, t, block * PAGES, block * PAGES + 1 + i % PAGES, true);
		convert(test, t, block * PAGES, (block + 1) * PAGES, i / 2 % 2);
	}
	for (i = 0; i < 1000 && !READ_ONCE(reader.looks); i++)
		usleep_range(1000, 2000);
	kthread_stop(task);
	KUNIT_EXPECT_GT(test, reader.looks, 0);
	KUNIT_EXPECT_EQ(test, reader.wrong, 0);
}

static struct kunit_case character_cases[] = {
	KUNIT_CASE(says_what_the_extents_say),
	KUNIT_CASE(a_reader_is_not_disturbed),
	{}
};

static struct kunit_suite character_suite = {
	.name		= "guestmemfs_character",
	.test_cases	= character_cases,
};

kunit_test_suite(character_suite);
