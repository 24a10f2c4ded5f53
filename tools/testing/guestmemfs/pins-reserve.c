// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests pins in reserved parts of files. A hole in such a part stays reserved; if its block is
 * detached, another block is reserved instead.
 */
#include <stdlib.h>

#include "states.h"

/* Counts and begins an edit, as a punch of the filesystem does. */
static int edit_begin(struct gmfs_edit *ed)
{
	u64 at = ed->first / PAGES;

	gmfs_edit_count(ed);
	while (gmfs_edit_count_kept(ed, &at))
		;
	return gmfs_edit_begin(ed);
}

static void edit_end(struct gmfs_edit *ed)
{
	while (gmfs_edit_step(ed))
		;
	gmfs_edit_end(ed);
}

/* The replacements are reserved as soon as the edit has begun. */
static void replaced_are_counted(const void *arg)
{
	struct gmfs_edit ed;
	u32 a, b, block;
	struct pool p;

	(void)arg;
	a = states_pool(&p, 1);
	b = pool_file(&p);
	CHECK_EQ(pool_fill(&p, a, 0, 100), 0);
	block = pool_block(&p, a, 0);
	CHECK_EQ(pool_reserve(&p, a, 0, 50), 0);
	CHECK_EQ(pool_reserve(&p, a, 60, 5), 0);
	/* Ten blocks that are reserved, ten that are not, and one page of a reserved one. */
	states_pin(&p, a, 40, 20);
	CHECK_EQ(pool_pin(&p, a, 62 * PAGES + 9, 62 * PAGES + 10), 0);
	ed = pool_edit(&p, a, GMFS_PUNCH, 0, 200 * PAGES);
	CHECK_EQ(edit_begin(&ed), 0);
	CHECK_EQ(ed.replaced, 11);
	CHECK_EQ(p.t.promised_blocks, 11);
	CHECK_EQ(pool_fill(&p, b, 0, GROUP - 100 - 10), -ENOSPC);
	CHECK_EQ(pool_fill(&p, b, 0, GROUP - 100 - 11), 0);
	CHECK_EQ(gmfs_blocks_left(&p.t), 0);
	edit_end(&ed);
	CHECK_EQ(p.t.detached.blocks, 21);
	CHECK_EQ(p.t.promised_blocks, 55);
	CHECK_EQ(gmfs_blocks_left(&p.t), 11 + 100 - 21 - 55);
	pool_check(&p);
	CHECK_EQ(pool_fill(&p, a, 0, 50), 0);
	CHECK_EQ(pool_fill(&p, a, 60, 5), 0);
	CHECK_EQ(p.t.promised_blocks, 0);
	pool_unpin_frames(&p, (block + 40) * PAGES, (block + 60) * PAGES);
	CHECK_EQ(gmfs_blocks_left(&p.t), 11 + 100 - 1 - 55);
	pool_unreserve(&p, a, 0, 50);
	pool_unreserve(&p, a, 60, 5);
	pool_check(&p);
	pool_free(&p);
}

/* If there are too few other blocks, nothing changes, also with a limit (size=). */
static void too_few_to_replace(const void *arg)
{
	const bool limited = *(const bool *)arg;
	struct pool_copy copy;
	struct pool p;
	u32 a, b;

	a = states_pool(&p, 1);
	b = pool_file(&p);
	CHECK_EQ(pool_fill(&p, a, 0, 100), 0);
	CHECK_EQ(pool_convert(&p, a, 20 * PAGES + 1, 30 * PAGES, true), 0);
	CHECK_EQ(pool_reserve(&p, a, 0, 100), 0);
	states_pin(&p, a, 10, 11);
	if (limited) {
		const struct gmfs_limits limits = { .size = 110 * 2 * MIB, .has_size = true };
		const char *why;

		CHECK_EQ(gmfs_limits_set(&p.t, &limits, false, &why), 0);
	} else {
		CHECK_EQ(pool_fill(&p, b, 0, GROUP - 110), 0);
	}
	CHECK_EQ(gmfs_blocks_left(&p.t), 10);
	pool_keep(&p, &copy);
	CHECK_EQ(pool_punch(&p, a, 5, 60), -ENOSPC);
	pool_unchanged(&p, &copy);
	CHECK_EQ(pool_punch(&p, a, 10, 11), -ENOSPC);
	pool_unchanged(&p, &copy);
	pool_check(&p);
	CHECK_EQ(pool_punch(&p, a, 0, 20), 0);
	CHECK_EQ(p.t.detached.blocks, 10);
	CHECK_EQ(gmfs_blocks_left(&p.t), 0);
	pool_check(&p);
	CHECK_EQ(pool_punch(&p, a, 20, 1), -ENOSPC);
	CHECK_EQ(pool_fill(&p, a, 0, 20), 0);
	/* The last pin makes room. */
	pool_end_pins(&p);
	pool_settle(&p);
	CHECK_EQ(gmfs_blocks_left(&p.t), 10);
	CHECK_EQ(pool_punch(&p, a, 0, 100), 0);
	CHECK_EQ(p.t.promised_blocks, 100);
	pool_unreserve(&p, a, 0, 100);
	pool_check(&p);
	free(copy.meta);
	pool_free(&p);
}

static const bool too_few_kinds[] = { false, true };

/* Blocks that the punch itself frees are reserved in place of detached ones. */
static void freed_replace(const void *arg)
{
	struct pool p;
	u32 a, b;

	(void)arg;
	a = states_pool(&p, 1);
	b = pool_file(&p);
	CHECK_EQ(pool_fill(&p, a, 0, 100), 0);
	CHECK_EQ(pool_fill(&p, b, 0, GROUP - 100), 0);
	CHECK_EQ(pool_reserve(&p, a, 0, 50), 0);
	states_pin(&p, a, 5, 10);
	states_pin(&p, a, 60, 5);
	/* Of the blocks from 50 on, five are pinned. */
	CHECK_EQ(pool_punch(&p, a, 0, 59), -ENOSPC);
	CHECK_EQ(pool_punch(&p, a, 0, 63), 0);
	CHECK_EQ(p.t.detached.blocks, 13);
	CHECK_EQ(p.t.promised_blocks, 50);
	CHECK_EQ(p.t.free_blocks, 50);
	CHECK_EQ(gmfs_blocks_left(&p.t), 0);
	pool_check(&p);
	CHECK_EQ(pool_fill(&p, a, 0, 50), 0);
	CHECK_EQ(p.t.free_blocks, 0);
	pool_unreserve(&p, a, 0, 50);
	pool_check(&p);
	pool_free(&p);
}

/*
 * The blocks that the last step frees are promised when the edit begins. Until then nobody gets
 * more than what is free, and other files get the blocks that are reserved for them.
 */
static void freed_in_the_last_step(const void *arg)
{
	struct gmfs_edit ed;
	u32 a, b, c, i;
	struct pool p;

	(void)arg;
	a = states_pool(&p, 1);
	b = pool_file(&p);
	c = pool_file(&p);
	CHECK_EQ(pool_fill(&p, a, 0, 400), 0);
	CHECK_EQ(pool_fill(&p, b, 0, 100), 0);
	CHECK_EQ(pool_reserve(&p, a, 0, 200), 0);
	CHECK_EQ(pool_reserve(&p, c, 0, 10), 0);
	for (i = 0; i < 200; i += 2)
		states_pin(&p, a, i, 1);
	CHECK_EQ(gmfs_blocks_left(&p.t), 2);
	ed = pool_edit(&p, a, GMFS_PUNCH, 0, 400 * PAGES);
	CHECK_EQ(edit_begin(&ed), 0);
	CHECK_EQ(ed.replaced, 100);
	CHECK_EQ(ed.freed, 200);
	CHECK(gmfs_edit_step(&ed));
	CHECK_EQ(p.t.detached.blocks, 32);
	CHECK_EQ(gmfs_blocks_left(&p.t), 0);
	CHECK_EQ(pool_fill(&p, b, 100, 1), -ENOSPC);
	CHECK_EQ(pool_fill(&p, c, 0, 10), 0);
	edit_end(&ed);
	CHECK_EQ(p.t.promised_blocks, 200);
	CHECK_EQ(gmfs_blocks_left(&p.t), GROUP - 100 - 10 - 100 - 200);
	pool_check(&p);
	pool_unreserve(&p, a, 0, 200);
	pool_unreserve(&p, c, 0, 10);
	pool_check(&p);
	pool_free(&p);
}

/* Edits that take no blocks from the file replace none, however many are pinned. */
static void kept_are_not_replaced(const void *arg)
{
	struct gmfs_edit ed;
	struct pool p;
	u32 a;

	(void)arg;
	a = states_pool(&p, 1);
	CHECK_EQ(pool_fill(&p, a, 0, GROUP), 0);
	CHECK_EQ(pool_reserve(&p, a, 0, GROUP), 0);
	states_pin(&p, a, 0, GROUP);
	CHECK_EQ(gmfs_blocks_left(&p.t), 0);
	CHECK_EQ(pool_convert(&p, a, 10 * PAGES, 20 * PAGES + 3, true), 0);
	CHECK_EQ(pool_convert(&p, a, 15 * PAGES, 15 * PAGES + 3, false), 0);
	CHECK_EQ(gmfs_map_edit(&p.t, &p.map[a], GMFS_COMMIT, 0, GROUP), 0);
	CHECK_EQ(gmfs_map_edit(&p.t, &p.map[a], GMFS_ABORT, 0, GROUP), 0);
	CHECK_EQ(p.map[a].blocks, GROUP);
	CHECK_EQ(p.t.promised_blocks, 0);
	ed = pool_edit(&p, a, GMFS_PUNCH, 0, GROUP * PAGES);
	CHECK_EQ(edit_begin(&ed), -ENOSPC);
	CHECK_EQ(ed.replaced, GROUP);
	pool_unreserve(&p, a, 0, GROUP);
	CHECK_EQ(edit_begin(&ed), 0);
	edit_end(&ed);
	pool_check(&p);
	pool_free(&p);
}

/* Only pending blocks of a fill that is undone are replaced. */
static void aborted_are_replaced(const void *arg)
{
	struct gmfs_fill fill;
	struct gmfs_edit ed;
	struct pool p;
	u32 a;

	(void)arg;
	a = states_pool(&p, 1);
	CHECK_EQ(pool_fill(&p, a, 0, 10), 0);
	CHECK_EQ(pool_reserve(&p, a, 0, 20), 0);
	fill = (struct gmfs_fill){
		.t = &p.t, .map = &p.map[a], .ino = p.ino[a], .end = 30, .more = true,
	};
	CHECK_EQ(gmfs_fill_cover(&fill), 0);
	CHECK_EQ(gmfs_fill_begin(&fill), 0);
	while (gmfs_fill_step(&fill))
		;
	states_pin(&p, a, 8, 14);
	gmfs_fill_uncover(&fill);
	ed = pool_edit(&p, a, GMFS_ABORT, 0, 30 * PAGES);
	gmfs_fill_end(&fill);
	CHECK_EQ(edit_begin(&ed), 0);
	CHECK_EQ(ed.replaced, 10);
	edit_end(&ed);
	CHECK_EQ(p.map[a].blocks, 10);
	CHECK_EQ(p.t.detached.blocks, 12);
	CHECK_EQ(p.t.promised_blocks, 10);
	CHECK_EQ(p.t.free_blocks, GROUP - 10 - 12);
	pool_check(&p);
	pool_unreserve(&p, a, 0, 20);
	pool_check(&p);
	pool_free(&p);
}

/* Counting takes several steps for many extents, and gives the same number. */
static void counting_is_bounded(const void *arg)
{
	struct gmfs_edit ed;
	u32 a, i, steps = 1;
	struct pool p;
	u64 at = 0;

	(void)arg;
	a = states_pool(&p, 2);
	CHECK_EQ(pool_fill(&p, a, 0, GROUP), 0);
	CHECK_EQ(pool_reserve(&p, a, 0, GROUP), 0);
	for (i = 0; i < GROUP; i += 2)
		states_pin(&p, a, i, 1);
	ed = pool_edit(&p, a, GMFS_PUNCH, 0, GROUP * PAGES);
	gmfs_edit_count(&ed);
	for (; gmfs_edit_count_kept(&ed, &at); steps++)
		CHECK(at <= steps * 64);
	CHECK_EQ(steps, GROUP / 64);
	CHECK_EQ(ed.replaced, GROUP / 2);
	CHECK_EQ(gmfs_edit_begin(&ed), 0);
	CHECK(gmfs_edit_step(&ed));
	CHECK_EQ(p.t.promised_blocks, GROUP / 2 + 32);
	/* Another file gets nothing of what the rest of the edit needs. */
	CHECK_EQ(gmfs_blocks_left(&p.t), GROUP - GROUP / 2);
	edit_end(&ed);
	CHECK_EQ(p.t.promised_blocks, GROUP);
	CHECK_EQ(p.t.detached.blocks, GROUP / 2);
	CHECK_EQ(gmfs_blocks_left(&p.t), 2 * GROUP - GROUP - GROUP / 2);
	pool_check(&p);
	pool_unreserve(&p, a, 0, GROUP);
	pool_free(&p);
}

/* Pins that end between two steps: the blocks are freed, and no more blocks than holes reserved. */
static void unpin_between_steps(const void *arg)
{
	const u32 when = *(const u32 *)arg;
	struct gmfs_edit ed;
	struct pool p;
	u32 a, i;

	a = states_pool(&p, 2);
	CHECK_EQ(pool_fill(&p, a, 0, GROUP), 0);
	CHECK_EQ(pool_reserve(&p, a, 0, GROUP), 0);
	for (i = 0; i < GROUP; i += 2)
		states_pin(&p, a, i, 1);
	ed = pool_edit(&p, a, GMFS_PUNCH, 0, GROUP * PAGES);
	CHECK_EQ(edit_begin(&ed), 0);
	for (i = 0; i < when; i++)
		CHECK(gmfs_edit_step(&ed));
	CHECK_EQ(p.t.detached.blocks, 32 * when);
	pool_end_pins(&p);
	pool_settle(&p);
	CHECK_EQ(p.t.detached.blocks, 0);
	edit_end(&ed);
	CHECK_EQ(p.t.promised_blocks, GROUP);
	CHECK_EQ(p.t.free_blocks, 2 * GROUP);
	pool_check(&p);
	pool_unreserve(&p, a, 0, GROUP);
	pool_check(&p);
	pool_free(&p);
}

static const u32 unpin_times[] = { 0, 1, 3 };

void pins_reserve_tests(void)
{
	u32 i;

	TEST(replaced_are_counted);
	for (i = 0; i < ARRAY_SIZE(too_few_kinds); i++)
		test_add(too_few_to_replace, &too_few_kinds[i], "too_few_to_replace%s",
			 too_few_kinds[i] ? ": by a limit" : "");
	TEST(freed_replace);
	TEST(freed_in_the_last_step);
	TEST(kept_are_not_replaced);
	TEST(aborted_are_replaced);
	TEST(counting_is_bounded);
	for (i = 0; i < ARRAY_SIZE(unpin_times); i++)
		test_add(unpin_between_steps, &unpin_times[i], "unpin_between_steps: %u",
			 unpin_times[i]);
}
