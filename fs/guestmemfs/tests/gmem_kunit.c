// SPDX-License-Identifier: GPL-2.0-only
/*
 * The calls that a hypervisor gets when a file changes, and their order: pages are unmapped
 * from the guests, private frames are reclaimed, the file changes, and the guests may map
 * pages again. No hypervisor that tests can run needs gmem_reclaim(), so no other test would
 * find an error.
 */
#include <kunit/static_stub.h>
#include <linux/completion.h>
#include <linux/file.h>
#include <linux/gmem_provider.h>
#include <linux/kthread.h>

#include "../gmem.h"
#include "fixture_file.h"

#define PAGES		((pgoff_t)GUESTMEMFS_BLOCK_PAGES)
#define FILE_BLOCKS	GMFS_TEST_FILE_BLOCKS
#define FILE_PAGES	(FILE_BLOCKS * PAGES)

/**
 * struct asked - frames that were passed to gmem_reclaim()
 * @t: the file
 * @pages: the pages of the file that have these frames
 * @wrong: errors: frames that are not the file's, were reclaimed twice, or outside of an
 *	invalidation of @guest
 * @guest: the guest that has bound the file, or NULL
 */
struct asked {
	struct gmfs_test_file *t;
	DECLARE_BITMAP(pages, FILE_PAGES);
	int wrong;
	const struct guest *guest;
};

/**
 * struct guest - a binding, and the invalidations that it has seen
 * @b: the binding
 * @inode: the file
 * @begun: number of invalidations that have begun
 * @ended: number of invalidations that have ended
 * @first: first page of the most recent invalidation
 * @last: page after the last one of the most recent invalidation
 * @private_before: page @last - 1 was private when the invalidation began
 * @private_after: page @last - 1 was private when the invalidation ended
 */
struct guest {
	struct gmem_binding b;
	struct inode *inode;
	int begun;
	int ended;
	pgoff_t first;
	pgoff_t last;
	bool private_before;
	bool private_after;
};

static pgoff_t page_of(struct gmfs_test_file *t, unsigned long pfn)
{
	struct gmfs_tables *tables = &t->pool.tables;
	struct gmfs_run run;
	unsigned long frame;
	pgoff_t block;

	for (block = 0; block < FILE_BLOCKS; block++) {
		gmfs_map_lookup(tables, GUESTMEMFS_I(t->inode)->map, block, &run);
		if (run.block == GMFS_NO_BLOCK)
			continue;
		frame = PHYS_PFN(gmfs_block_phys(tables, run.block));
		if (pfn >= frame && pfn < frame + PAGES)
			return block * PAGES + pfn - frame;
	}
	return FILE_PAGES;
}

/* Replaces gmem_reclaim(). */
static unsigned long note_reclaim(unsigned long pfn, unsigned long nr)
{
	struct asked *asked = kunit_get_current_test()->priv;
	unsigned long i;
	pgoff_t page;

	for (i = 0; i < nr; i++) {
		page = page_of(asked->t, pfn + i);
		if (page == FILE_PAGES || test_and_set_bit(page, asked->pages))
			asked->wrong++;
	}
	if (asked->guest && asked->guest->begun != asked->guest->ended + 1)
		asked->wrong++;
	return 0;
}

static struct gmfs_test_file *begin(struct kunit *test, bool private)
{
	struct gmfs_test_file *t = gmfs_test_begin(test);
	struct asked *asked = kunit_kzalloc(test, sizeof(*asked), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, asked);
	asked->t = t;
	test->priv = asked;
	kunit_activate_static_stub(test, gmem_reclaim, note_reclaim);
	gmfs_test_in_hardware(test, t);
	KUNIT_ASSERT_EQ(test, gmfs_choose_character(t->inode, private), 0);
	return t;
}

/* Exactly these pages were reclaimed since the previous call. */
static void expect_reclaimed(struct kunit *test, pgoff_t first, pgoff_t last)
{
	struct asked *asked = test->priv;

	KUNIT_EXPECT_EQ(test, asked->wrong, 0);
	KUNIT_EXPECT_EQ(test, bitmap_weight(asked->pages, FILE_PAGES), last - first);
	KUNIT_EXPECT_GE(test, find_next_zero_bit(asked->pages, FILE_PAGES, first), last);
	bitmap_zero(asked->pages, FILE_PAGES);
	asked->wrong = 0;
}

static void convert(struct kunit *test, struct gmfs_test_file *t, pgoff_t first, pgoff_t last,
		    bool private)
{
	pgoff_t held;

	KUNIT_EXPECT_EQ(test, gmfs_convert(t->inode, first, last, private, &held), 0);
}

static void what_is_shared_again_is_reclaimed(struct kunit *test)
{
	struct gmfs_test_file *t = begin(test, false);

	KUNIT_ASSERT_EQ(test, gmfs_file_allocate(t->inode, 0, 3, GMFS_PRESENT), 0);
	/* Behind the third block there is a hole, which has no frames to reclaim. */
	convert(test, t, 5, 4 * PAGES + 7, true);
	expect_reclaimed(test, 0, 0);
	convert(test, t, 0, 10, false);
	expect_reclaimed(test, 5, 10);
	convert(test, t, PAGES - 1, PAGES + 1, false);
	expect_reclaimed(test, PAGES - 1, PAGES + 1);
	convert(test, t, PAGES, 2 * PAGES, false);
	expect_reclaimed(test, PAGES + 1, 2 * PAGES);
	convert(test, t, PAGES, FILE_PAGES, false);
	expect_reclaimed(test, 2 * PAGES, 3 * PAGES);
	/* Block 1 has no private pages any more, block 0 has some. */
	KUNIT_EXPECT_EQ(test, gmfs_test_punch(t, 1, 2), 0);
	expect_reclaimed(test, 0, 0);
	KUNIT_EXPECT_EQ(test, gmfs_test_punch(t, 0, 1), 0);
	expect_reclaimed(test, 10, PAGES - 1);
}

static void what_a_private_file_loses_is_reclaimed(struct kunit *test)
{
	struct gmfs_test_file *t = begin(test, true);

	KUNIT_ASSERT_EQ(test, gmfs_file_allocate(t->inode, 0, 5, GMFS_PRESENT), 0);
	expect_reclaimed(test, 0, 0);
	KUNIT_EXPECT_EQ(test, gmfs_test_punch(t, 1, 2), 0);
	expect_reclaimed(test, PAGES, 2 * PAGES);
	/* The block was freed by the first punch. */
	KUNIT_EXPECT_EQ(test, gmfs_test_punch(t, 1, 2), 0);
	expect_reclaimed(test, 0, 0);
	KUNIT_EXPECT_EQ(test, gmfs_file_resize(&nop_mnt_idmap, t->inode, 3 * GMFS_BLOCK_SIZE, NULL),
			0);
	expect_reclaimed(test, 3 * PAGES, 5 * PAGES);
	convert(test, t, 0, 2 * PAGES, false);
	expect_reclaimed(test, 0, PAGES);
}

/* A conversion that fails reclaims nothing, and all pages stay as they were. */
static void what_stays_private_is_not_reclaimed(struct kunit *test)
{
	struct gmfs_test_file *t = begin(test, true);
	pgoff_t held;

	KUNIT_ASSERT_EQ(test, gmfs_file_allocate(t->inode, 0, 3, GMFS_PRESENT), 0);
	convert(test, t, PAGES, 2 * PAGES, false);
	expect_reclaimed(test, PAGES, 2 * PAGES);
	/* No entry is left for the mixed block that the conversion would make. */
	t->pool.tables.promised_maps = t->pool.tables.free_maps;
	KUNIT_EXPECT_EQ(test, gmfs_convert(t->inode, 0, PAGES - 1, false, &held), -ENOSPC);
	t->pool.tables.promised_maps = 0;
	expect_reclaimed(test, 0, 0);
	KUNIT_EXPECT_TRUE(test, gmfs_file_is(t->inode, 0, PAGES, true));
	KUNIT_EXPECT_TRUE(test, gmfs_file_is(t->inode, 2 * PAGES, 3 * PAGES, true));
	convert(test, t, 0, PAGES, false);
	expect_reclaimed(test, 0, PAGES);
}

static void guest_begin(struct gmem_binding *b, pgoff_t start, pgoff_t end)
{
	struct guest *guest = container_of(b, struct guest, b);

	guest->begun++;
	guest->first = start;
	guest->last = end;
	guest->private_before = gmfs_file_is(guest->inode, end - 1, end, true);
}

static void guest_end(struct gmem_binding *b, pgoff_t start, pgoff_t end)
{
	struct guest *guest = container_of(b, struct guest, b);

	guest->ended++;
	guest->private_after = gmfs_file_is(guest->inode, end - 1, end, true);
}

static const struct gmem_binding_ops guest_ops = {
	.invalidate_begin	= guest_begin,
	.invalidate_end		= guest_end,
};

/* Makes a descriptor, and returns the operations that a hypervisor finds for it. */
static const struct gmem_provider_ops *make_gmem(struct kunit *test, struct gmfs_test_file *t,
						 u64 vm_id, struct file **gmem)
{
	const struct gmem_provider_ops *ops;

	*gmem = gmfs_gmem_file(t->file, vm_id, 0);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, *gmem);
	ops = gmem_provider_of(*gmem);
	KUNIT_EXPECT_NOT_NULL(test, ops);
	/* The file itself is not a descriptor, and provides no memory. */
	KUNIT_EXPECT_NULL(test, gmem_provider_of(t->file));
	return ops;
}

static void close_gmem(struct file *gmem)
{
	fput(gmem);
	flush_delayed_fput();
}

/* Guests that have bound a page of the change see one invalidation, other guests see none. */
static void guests_let_go_before_a_change(struct kunit *test)
{
	static const pgoff_t parts[][2] = {
		{ 0, PAGES }, { PAGES, 3 * PAGES }, { 3 * PAGES, FILE_PAGES },
	};
	struct gmfs_test_file *t = begin(test, true);
	struct asked *asked = test->priv;
	const struct gmem_provider_ops *ops;
	struct guest guests[3] = {};
	struct file *gmem;
	int i;

	KUNIT_ASSERT_EQ(test, gmfs_file_allocate(t->inode, 0, 2, GMFS_PRESENT), 0);
	ops = make_gmem(test, t, 1, &gmem);
	for (i = 0; ops && i < 3; i++) {
		guests[i].inode = t->inode;
		guests[i].b = (struct gmem_binding) {
			.start = parts[i][0], .end = parts[i][1], .vm_id = 1, .ops = &guest_ops,
		};
		KUNIT_EXPECT_EQ(test, ops->bind(gmem, &guests[i].b), 0);
	}
	asked->guest = &guests[1];
	convert(test, t, PAGES - 1, PAGES + 1, false);
	expect_reclaimed(test, PAGES - 1, PAGES + 1);
	for (i = 0; i < 2; i++) {
		KUNIT_EXPECT_EQ(test, guests[i].begun, 1);
		KUNIT_EXPECT_EQ(test, guests[i].ended, 1);
		KUNIT_EXPECT_EQ(test, guests[i].first, PAGES - 1);
		KUNIT_EXPECT_EQ(test, guests[i].last, PAGES + 1);
		KUNIT_EXPECT_TRUE(test, guests[i].private_before);
		KUNIT_EXPECT_FALSE(test, guests[i].private_after);
	}
	KUNIT_EXPECT_EQ(test, guests[2].begun, 0);
	/* A conversion without effect invalidates nothing. */
	convert(test, t, PAGES - 1, PAGES + 1, false);
	KUNIT_EXPECT_EQ(test, guests[1].begun, 1);
	KUNIT_EXPECT_EQ(test, gmfs_test_punch(t, 1, 2), 0);
	expect_reclaimed(test, PAGES + 1, 2 * PAGES);
	KUNIT_EXPECT_EQ(test, guests[0].begun, 1);
	KUNIT_EXPECT_EQ(test, guests[1].begun, 2);
	KUNIT_EXPECT_EQ(test, guests[1].ended, 2);
	for (i = 0; ops && i < 3; i++)
		ops->unbind(gmem, &guests[i].b);
	asked->guest = NULL;
	convert(test, t, 0, FILE_PAGES, false);
	KUNIT_EXPECT_EQ(test, guests[1].begun, 2);
	close_gmem(gmem);
}

/* Some of these ranges wrap around. KVM refuses such memslots before it calls bind(). */
static void only_what_is_in_the_file_is_bound(struct kunit *test)
{
	static const struct {
		pgoff_t start;
		pgoff_t end;
		int err;
	} cases[] = {
		{ 5,			4,			-EINVAL },
		{ ULONG_MAX,		0,			-EINVAL },
		{ ULONG_MAX,		1,			-EINVAL },
		{ 0,			ULONG_MAX,		-EINVAL },
		{ 1UL << 51,		(1UL << 51) + 1,	-EINVAL },
		{ 0,			FILE_PAGES,		-EINVAL },
		{ FILE_PAGES - 1,	FILE_PAGES,		-EINVAL },
		{ 0,			FILE_PAGES - 1,		0 },
		{ FILE_PAGES - 2,	FILE_PAGES - 1,		0 },
	};
	struct gmfs_test_file *t = begin(test, false);
	const struct gmem_provider_ops *ops;
	struct file *gmem;
	int i, err;

	/* The last page is only partly in the file, so it cannot be bound. */
	i_size_write(t->inode, FILE_BLOCKS * GMFS_BLOCK_SIZE - 1);
	ops = make_gmem(test, t, 1, &gmem);
	for (i = 0; ops && i < ARRAY_SIZE(cases); i++) {
		struct gmem_binding b = {
			.start = cases[i].start, .end = cases[i].end, .vm_id = 1,
			.ops = &guest_ops,
		};

		err = ops->bind(gmem, &b);
		KUNIT_EXPECT_EQ_MSG(test, err, cases[i].err, "case %d", i);
		if (!err)
			ops->unbind(gmem, &b);
		/* That of gmfs_test_in_hardware() alone. */
		KUNIT_EXPECT_TRUE(test, list_is_singular(&GUESTMEMFS_I(t->inode)->bindings));
	}
	close_gmem(gmem);
}

/* A descriptor without a VM goes to the first VM whose bind() succeeds. */
static void a_descriptor_is_of_one_machine(struct kunit *test)
{
	struct gmem_binding b = { .end = 1, .vm_id = 3, .ops = &guest_ops };
	struct gmfs_test_file *t = begin(test, false);
	const struct gmem_provider_ops *ops;
	struct file *gmem;

	ops = make_gmem(test, t, 0, &gmem);
	KUNIT_ASSERT_NOT_NULL(test, ops);
	b.end = FILE_PAGES + 1;
	KUNIT_EXPECT_EQ(test, ops->bind(gmem, &b), -EINVAL);
	b.end = 1;
	b.vm_id = 4;
	KUNIT_EXPECT_EQ(test, ops->bind(gmem, &b), 0);
	ops->unbind(gmem, &b);
	b.vm_id = 3;
	KUNIT_EXPECT_EQ(test, ops->bind(gmem, &b), -EINVAL);
	close_gmem(gmem);
}

/**
 * struct fault - what a vCPU asks for at a fault
 * @ops: the provider's operations
 * @gmem: the descriptor
 * @b: a binding of an ordinary guest
 * @err: what get_pfn() returned
 * @done: both questions are answered
 */
struct fault {
	const struct gmem_provider_ops *ops;
	struct file *gmem;
	struct gmem_binding b;
	int err;
	struct completion done;
};

static int fault_thread(void *data)
{
	struct fault *fault = data;
	unsigned long pfn;
	int order;

	fault->err = fault->ops->get_pfn(fault->gmem, &fault->b, 1, &pfn, &order);
	if (fault->ops->is_private(fault->gmem, 1))
		fault->err = -EINVAL;
	complete(&fault->done);
	return 0;
}

/*
 * Does a fault that hits the extent of the fault before it end while map_lock is held, for a change
 * of the extents (@change) or for something else?
 */
static bool fault_ends(struct kunit *test, bool change, unsigned long timeout)
{
	struct gmfs_test_file *t = begin(test, false);
	struct gmfs_inode *gi = GUESTMEMFS_I(t->inode);
	struct fault fault = { .b = { .end = PAGES, .vm_id = 1, .ops = &guest_ops } };
	struct task_struct *task;
	unsigned long left = 0;
	unsigned long pfn;
	int order;

	/* The pool has private pages, but not this one. */
	convert(test, t, PAGES, 2 * PAGES, true);
	KUNIT_ASSERT_EQ(test, gmfs_file_allocate(t->inode, 0, 1, GMFS_PRESENT), 0);
	bitmap_zero(t->pool.tables.unzeroed, t->pool.tables.nr_blocks);
	init_completion(&fault.done);
	fault.ops = make_gmem(test, t, 1, &fault.gmem);
	if (!fault.ops)
		return false;
	KUNIT_EXPECT_EQ(test, fault.ops->get_pfn(fault.gmem, &fault.b, 0, &pfn, &order), 0);
	down_write(&gi->map_lock);
	if (change)
		raw_write_seqcount_begin(&gi->map_seq);
	task = kthread_run(fault_thread, &fault, "guestmemfs_kunit");
	KUNIT_EXPECT_FALSE(test, IS_ERR(task));
	if (!IS_ERR(task))
		left = wait_for_completion_timeout(&fault.done, timeout);
	if (change)
		raw_write_seqcount_end(&gi->map_seq);
	up_write(&gi->map_lock);
	if (!IS_ERR(task) && !left)
		wait_for_completion(&fault.done);
	KUNIT_EXPECT_EQ(test, fault.err, 0);
	close_gmem(fault.gmem);
	return left;
}

/* Red if a fault that hits the extent of the fault before it takes map_lock, be it shared. */
static void a_fault_takes_one_lock_of_the_file(struct kunit *test)
{
	KUNIT_EXPECT_TRUE(test, fault_ends(test, false, 10 * HZ));
}

/* Red if gmfs_entry_again() uses an extent that is being changed. */
static void a_fault_waits_for_a_change(struct kunit *test)
{
	KUNIT_EXPECT_FALSE(test, fault_ends(test, true, HZ / 5));
}

static void nothing_changes_in_a_freeze(struct kunit *test)
{
	struct gmfs_test_file *t = gmfs_test_begin(test);
	pgoff_t held;

	gmfs_pool_freeze(&t->pool);
	KUNIT_EXPECT_EQ(test, gmfs_choose_character(t->inode, true), -EBUSY);
	gmfs_pool_thaw(&t->pool);
	/* The failed call has chosen nothing. */
	KUNIT_EXPECT_EQ(test, gmfs_choose_character(t->inode, false), 0);
	gmfs_pool_freeze(&t->pool);
	KUNIT_EXPECT_EQ(test, gmfs_convert(t->inode, 0, 1, true, &held), -EBUSY);
	KUNIT_EXPECT_TRUE(test, gmfs_file_is(t->inode, 0, FILE_PAGES, false));
	gmfs_pool_thaw(&t->pool);
	convert(test, t, 0, 1, true);
	KUNIT_EXPECT_TRUE(test, gmfs_file_is(t->inode, 0, 1, true));
}

static int fake_vm_id(struct file *file, u64 *id)
{
	return -EIO;
}

static const struct gmem_consumer_ops fake_consumer = {
	.vm_id	= fake_vm_id,
};

/* On a processor with virtualization KVM is registered already. It must stay so. */
static void there_is_one_hypervisor(struct kunit *test)
{
	struct gmfs_test_file *t = gmfs_test_begin(test);
	int there = gmem_consumer_register(&fake_consumer);
	u64 id;

	if (there)
		KUNIT_EXPECT_EQ(test, there, -EBUSY);
	/* The file is no VM: -EINVAL is from KVM, -EIO from fake_vm_id(). */
	KUNIT_EXPECT_EQ(test, gmem_vm_id(t->file, &id), there ? -EINVAL : -EIO);
	KUNIT_EXPECT_EQ(test, gmem_consumer_register(&fake_consumer), -EBUSY);
	gmem_consumer_unregister(&fake_consumer);
	KUNIT_EXPECT_EQ(test, gmem_vm_id(t->file, &id), -EINVAL);
	KUNIT_EXPECT_EQ(test, gmem_consumer_register(&fake_consumer), there);
	if (!there)
		gmem_consumer_unregister(&fake_consumer);
	KUNIT_EXPECT_GT(test, gmem_new_vm_id(), 0ULL);
	KUNIT_EXPECT_NE(test, gmem_new_vm_id(), gmem_new_vm_id());
}

static struct kunit_case gmfs_gmem_cases[] = {
	KUNIT_CASE(what_is_shared_again_is_reclaimed),
	KUNIT_CASE(what_a_private_file_loses_is_reclaimed),
	KUNIT_CASE(what_stays_private_is_not_reclaimed),
	KUNIT_CASE(guests_let_go_before_a_change),
	KUNIT_CASE(only_what_is_in_the_file_is_bound),
	KUNIT_CASE(a_descriptor_is_of_one_machine),
	KUNIT_CASE(a_fault_takes_one_lock_of_the_file),
	KUNIT_CASE(a_fault_waits_for_a_change),
	KUNIT_CASE(nothing_changes_in_a_freeze),
	KUNIT_CASE(there_is_one_hypervisor),
	{}
};

static struct kunit_suite gmfs_gmem_suite = {
	.name		= "guestmemfs_gmem",
	.test_cases	= gmfs_gmem_cases,
};

kunit_test_suite(gmfs_gmem_suite);
