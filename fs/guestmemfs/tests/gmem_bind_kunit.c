// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which memslots can bind the same part of a file: those of different address spaces of a VM,
 * and those of several VMs. A private page can be bound by only one VM that uses private
 * memory.
 */
#include <linux/file.h>
#include <linux/gmem_provider.h>
#include <linux/prandom.h>

#include "../gmem.h"
#include "fixture_file.h"

#define PAGES		((pgoff_t)GUESTMEMFS_BLOCK_PAGES)
#define FILE_PAGES	(GMFS_TEST_FILE_BLOCKS * PAGES)
/* Pages of the part of the file that random bindings are in, and the number of bindings. */
#define SMALL_PAGES	96
#define NR_RANDOM	24

/* How many invalidations the bindings have seen. */
static int told;

static void note_begin(struct gmem_binding *b, pgoff_t start, pgoff_t end)
{
	told++;
}

static void note_end(struct gmem_binding *b, pgoff_t start, pgoff_t end)
{
}

static const struct gmem_binding_ops binding_ops = {
	.invalidate_begin	= note_begin,
	.invalidate_end		= note_end,
};

#define SLOT(first, last, vm, as, private)					\
	{ .start = first, .end = last, .vm_id = vm, .as_id = as,		\
	  .uses_private = private, .ops = &binding_ops }

/* Makes a file whose pages are all private or all shared. */
static struct gmfs_test_file *begin(struct kunit *test, bool private,
				    const struct gmem_provider_ops **ops)
{
	struct gmfs_test_file *t = gmfs_test_begin(test);
	struct file *gmem;

	told = 0;
	KUNIT_ASSERT_EQ(test, gmfs_choose_character(t->inode, private), 0);
	gmem = gmfs_gmem_file(t->file, 0, 0);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, gmem);
	*ops = gmem_provider_of(gmem);
	fput(gmem);
	flush_delayed_fput();
	KUNIT_ASSERT_NOT_NULL(test, *ops);
	return t;
}

/* Binds @b through a new descriptor. Returns the descriptor, or NULL with the error in @err. */
static struct file *bind(struct gmfs_test_file *t, const struct gmem_provider_ops *ops,
			 struct gmem_binding *b, int *err)
{
	struct file *gmem = gmfs_gmem_file(t->file, b->vm_id, 0);

	*err = PTR_ERR_OR_ZERO(gmem);
	if (!*err)
		*err = ops->bind(gmem, b);
	if (!*err)
		return gmem;
	if (!IS_ERR(gmem))
		fput(gmem);
	flush_delayed_fput();
	return NULL;
}

static void unbind(const struct gmem_provider_ops *ops, struct file *gmem, struct gmem_binding *b)
{
	ops->unbind(gmem, b);
	fput(gmem);
	flush_delayed_fput();
}

/*
 * All pages are private or all shared as @private says, except the second page of the file,
 * which is the opposite.
 */
static const struct {
	struct gmem_binding first;
	struct gmem_binding second;
	bool private;
	int err;
} pairs[] = {
	{ SLOT(0, 4, 1, 0, false),	SLOT(3, 5, 1, 0, false),	false,	-EEXIST },
	{ SLOT(0, 4, 1, 0, false),	SLOT(4, 5, 1, 0, false),	false,	0 },
	/* Bindings of one VM may overlap if their address spaces differ. */
	{ SLOT(0, 4, 1, 0, false),	SLOT(0, 4, 1, 1, false),	false,	0 },
	{ SLOT(0, 4, 1, 1, false),	SLOT(3, 5, 1, 0, false),	true,	0 },
	{ SLOT(0, 4, 1, 1, false),	SLOT(3, 5, 1, 1, false),	true,	-EEXIST },
	{ SLOT(0, 4, 1, 0, true),	SLOT(0, 4, 1, 1, true),		true,	0 },
	/* Several VMs may bind a private page if at most one of them can use private memory. */
	{ SLOT(0, 4, 1, 0, false),	SLOT(0, 4, 2, 0, false),	false,	0 },
	{ SLOT(0, 4, 1, 0, false),	SLOT(0, 4, 2, 0, false),	true,	0 },
	{ SLOT(0, 4, 1, 0, true),	SLOT(0, 4, 2, 0, false),	true,	0 },
	{ SLOT(0, 4, 1, 0, false),	SLOT(0, 4, 2, 0, true),		true,	0 },
	{ SLOT(0, 4, 1, 0, true),	SLOT(0, 4, 2, 0, true),		true,	-EEXIST },
	{ SLOT(0, 4, 1, 0, true),	SLOT(0, 4, 2, 1, true),		true,	-EEXIST },
	/* Only the pages that both VMs bind count, not other pages of the bindings. */
	{ SLOT(0, 4, 1, 0, true),	SLOT(4, 9, 2, 0, true),		true,	0 },
	{ SLOT(4, 9, 1, 0, true),	SLOT(0, 4, 2, 0, true),		true,	0 },
	{ SLOT(0, 4, 1, 0, true),	SLOT(0, 4, 2, 0, true),		false,	-EEXIST },
	{ SLOT(0, 4, 1, 0, true),	SLOT(1, 2, 2, 0, true),		false,	-EEXIST },
	{ SLOT(0, 4, 1, 0, true),	SLOT(2, 9, 2, 0, true),		false,	0 },
	{ SLOT(0, 1, 1, 0, true),	SLOT(0, 9, 2, 0, true),		false,	0 },
	{ SLOT(0, 4, 1, 0, true),	SLOT(1, 2, 2, 0, true),		true,	0 },
	{ SLOT(1, 3, 1, 0, true),	SLOT(0, 9, 2, 0, true),		true,	-EEXIST },
};

static void what_two_slots_have_together(struct kunit *test)
{
	const struct gmem_provider_ops *ops;
	struct file *one, *two;
	int i, err, character;
	pgoff_t held;

	for (character = 0; character < 2; character++) {
		struct gmfs_test_file *t = begin(test, character, &ops);

		KUNIT_ASSERT_EQ(test, gmfs_convert(t->inode, 1, 2, !character, &held), 0);
		for (i = 0; i < ARRAY_SIZE(pairs); i++) {
			struct gmem_binding a = pairs[i].first, b = pairs[i].second;

			if (pairs[i].private != character)
				continue;
			one = bind(t, ops, &a, &err);
			KUNIT_ASSERT_EQ_MSG(test, err, 0, "pair %d", i);
			two = bind(t, ops, &b, &err);
			KUNIT_EXPECT_EQ_MSG(test, err, pairs[i].err, "pair %d", i);
			if (two)
				unbind(ops, two, &b);
			unbind(ops, one, &a);
			KUNIT_EXPECT_TRUE(test, list_empty(&GUESTMEMFS_I(t->inode)->bindings));
		}
	}
}

/* The expected result of gmfs_gmem_contested(), found by looking at each page. */
static bool first_contested(const struct gmem_binding *slots, struct file *const *bound,
			    pgoff_t first, pgoff_t last, pgoff_t *page)
{
	u64 vm;
	int i;

	for (*page = first; *page < last; (*page)++) {
		vm = 0;
		for (i = 0; i < NR_RANDOM; i++) {
			if (!bound[i] || !slots[i].uses_private || *page < slots[i].start ||
			    *page >= slots[i].end)
				continue;
			if (vm && vm != slots[i].vm_id)
				return true;
			vm = slots[i].vm_id;
		}
	}
	return false;
}

static void what_two_machines_have_is_found(struct kunit *test)
{
	struct gmem_binding *slots = kunit_kcalloc(test, NR_RANDOM, sizeof(*slots), GFP_KERNEL);
	struct file *bound[NR_RANDOM] = {};
	const struct gmem_provider_ops *ops;
	struct gmfs_test_file *t = begin(test, false, &ops);
	struct address_space *mapping = t->inode->i_mapping;
	int round, i, err, found = 0;
	struct gmem_binding *b;
	struct rnd_state rnd;

	KUNIT_ASSERT_NOT_NULL(test, slots);
	prandom_seed_state(&rnd, 13);
	for (round = 0; round < 2000; round++) {
		u32 first = prandom_u32_state(&rnd) % SMALL_PAGES;
		u32 last = first + 1 + prandom_u32_state(&rnd) % (SMALL_PAGES - first);
		pgoff_t is = 0, wanted = 0, before = 0;
		bool contested;

		i = prandom_u32_state(&rnd) % NR_RANDOM;
		if (bound[i]) {
			unbind(ops, bound[i], &slots[i]);
			bound[i] = NULL;
		} else {
			slots[i] = (struct gmem_binding)SLOT(first, last, 1 + i % 3, 0, i % 5 < 4);
			bound[i] = bind(t, ops, &slots[i], &err);
		}
		filemap_invalidate_lock(mapping);
		list_for_each_entry(b, &GUESTMEMFS_I(t->inode)->bindings, node) {
			KUNIT_EXPECT_LE(test, before, b->start);
			before = b->start;
		}
		contested = gmfs_gmem_contested(t->inode, first, last, &is);
		filemap_invalidate_unlock(mapping);
		KUNIT_EXPECT_EQ(test, contested,
				first_contested(slots, bound, first, last, &wanted));
		if (contested)
			KUNIT_EXPECT_EQ(test, is, wanted);
		found += contested;
	}
	/* Both results were common. */
	KUNIT_EXPECT_GT(test, found, 200);
	KUNIT_EXPECT_LT(test, found, 1800);
	for (i = 0; i < NR_RANDOM; i++)
		if (bound[i])
			unbind(ops, bound[i], &slots[i]);
}

static void what_two_machines_have_stays_shared(struct kunit *test)
{
	struct gmem_binding mine = SLOT(0, 10, 1, 0, true), theirs = SLOT(7, 20, 2, 0, true);
	const struct gmem_provider_ops *ops;
	struct gmfs_test_file *t = begin(test, false, &ops);
	pgoff_t held = 0;
	int err;

	struct file *one = bind(t, ops, &mine, &err);
	struct file *two = bind(t, ops, &theirs, &err);

	KUNIT_ASSERT_NOT_NULL(test, one);
	KUNIT_ASSERT_NOT_NULL(test, two);
	KUNIT_EXPECT_EQ(test, gmfs_convert(t->inode, 0, FILE_PAGES, true, &held), -EEXIST);
	KUNIT_EXPECT_EQ(test, held, 7);
	KUNIT_EXPECT_EQ(test, gmfs_convert(t->inode, 9, 12, true, &held), -EEXIST);
	KUNIT_EXPECT_EQ(test, held, 9);
	/* Nothing was unmapped from the guests. */
	KUNIT_EXPECT_EQ(test, told, 0);
	KUNIT_EXPECT_TRUE(test, gmfs_file_is(t->inode, 0, FILE_PAGES, false));
	KUNIT_EXPECT_EQ(test, gmfs_convert(t->inode, 0, 7, true, &held), 0);
	KUNIT_EXPECT_EQ(test, gmfs_convert(t->inode, 10, FILE_PAGES, true, &held), 0);
	KUNIT_EXPECT_EQ(test, told, 2);
	KUNIT_EXPECT_EQ(test, gmfs_convert(t->inode, 0, FILE_PAGES, false, &held), 0);
	unbind(ops, two, &theirs);
	KUNIT_EXPECT_EQ(test, gmfs_convert(t->inode, 0, FILE_PAGES, true, &held), 0);
	KUNIT_EXPECT_NULL(test, bind(t, ops, &theirs, &err));
	KUNIT_EXPECT_EQ(test, err, -EEXIST);
	unbind(ops, one, &mine);
	two = bind(t, ops, &theirs, &err);
	KUNIT_EXPECT_EQ(test, err, 0);
	if (two)
		unbind(ops, two, &theirs);
}

static struct kunit_case gmfs_gmem_bind_cases[] = {
	KUNIT_CASE(what_two_slots_have_together),
	KUNIT_CASE(what_two_machines_have_is_found),
	KUNIT_CASE(what_two_machines_have_stays_shared),
	{}
};

static struct kunit_suite gmfs_gmem_bind_suite = {
	.name		= "guestmemfs_gmem_bind",
	.test_cases	= gmfs_gmem_bind_cases,
};

kunit_test_suite(gmfs_gmem_bind_suite);
