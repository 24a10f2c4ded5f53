// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guests whose private pages are private in hardware, as with SNP and TDX: which calls the
 * hypervisor gets for a page, and under which lock. KVM refuses memory of a provider for such
 * guests, and no machine of the tests has the hardware, so the hypervisor is a stub that counts.
 */
#include <kunit/static_stub.h>
#include <linux/file.h>
#include <linux/gmem_provider.h>

#include "../gmem.h"
#include "fixture_file.h"

#define PAGES		((pgoff_t)GUESTMEMFS_BLOCK_PAGES)
#define FILE_PAGES	(GMFS_TEST_FILE_BLOCKS * PAGES)

/**
 * struct machine - a confidential guest
 * @b: its binding
 * @lock: the file's invalidate_lock
 * @made: number of calls of make_private()
 * @filled: number of calls of the function for populate()
 * @page: the page of the last make_private()
 * @pfn: the frame of the last make_private() or fill()
 * @ret: what these return
 * @unlocked: calls without the lock that keeps the frame
 * @reclaimed: number of frames that were reclaimed
 * @first_reclaimed: the first of them
 * @kept: a frame that hardware does not give back, or 0
 */
struct machine {
	struct gmem_binding b;
	struct rw_semaphore *lock;
	int made;
	int filled;
	pgoff_t page;
	unsigned long pfn;
	int ret;
	int unlocked;
	unsigned long reclaimed;
	unsigned long first_reclaimed;
	unsigned long kept;
};

static void no_change(struct gmem_binding *b, pgoff_t start, pgoff_t end)
{
}

static int make_private(struct gmem_binding *b, pgoff_t index, unsigned long pfn)
{
	struct machine *m = container_of(b, struct machine, b);

	m->made++;
	m->page = index;
	m->pfn = pfn;
	m->unlocked += !rwsem_is_locked(m->lock);
	return m->ret;
}

static int fill(void *data, unsigned long pfn)
{
	struct machine *m = data;

	m->filled++;
	m->pfn = pfn;
	/* Exclusive: no fault comes in between. */
	if (down_read_trylock(m->lock)) {
		up_read(m->lock);
		m->unlocked++;
	}
	return m->ret;
}

static const struct gmem_binding_ops in_hardware = {
	.invalidate_begin	= no_change,
	.invalidate_end		= no_change,
	.make_private		= make_private,
};

static const struct gmem_binding_ops in_software = {
	.invalidate_begin	= no_change,
	.invalidate_end		= no_change,
};

static unsigned long note_reclaim(unsigned long pfn, unsigned long nr)
{
	struct machine *m = kunit_get_current_test()->priv;
	unsigned long left = 0;

	if (m->kept >= pfn && m->kept < pfn + nr)
		left = pfn + nr - m->kept;
	if (!m->reclaimed)
		m->first_reclaimed = pfn;
	m->reclaimed += nr - left;
	return left;
}

/**
 * struct setup - a file that a guest has bound
 * @t: the file, private at first, with two blocks
 * @gmem: its descriptor
 * @ops: the provider's operations
 * @m: the guest
 */
struct setup {
	struct gmfs_test_file *t;
	struct file *gmem;
	const struct gmem_provider_ops *ops;
	struct machine m;
};

static struct setup *begin(struct kunit *test, const struct gmem_binding_ops *ops)
{
	struct setup *s = kunit_kzalloc(test, sizeof(*s), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, s);
	s->t = gmfs_test_begin(test);
	test->priv = &s->m;
	kunit_activate_static_stub(test, gmem_reclaim, note_reclaim);
	KUNIT_ASSERT_EQ(test, gmfs_choose_character(s->t->inode, true), 0);
	KUNIT_ASSERT_EQ(test, gmfs_file_allocate(s->t->inode, 0, 2, GMFS_PRESENT), 0);
	/* There is no memory behind the blocks. */
	bitmap_zero(s->t->pool.tables.unzeroed, s->t->pool.tables.nr_blocks);
	s->gmem = gmfs_gmem_file(s->t->file, 1, 0);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, s->gmem);
	s->ops = gmem_provider_of(s->gmem);
	s->m.lock = &s->t->inode->i_mapping->invalidate_lock;
	s->m.b = (struct gmem_binding) {
		.end = FILE_PAGES, .vm_id = 1, .uses_private = true, .ops = ops,
	};
	KUNIT_EXPECT_EQ(test, s->ops->bind(s->gmem, &s->m.b), 0);
	return s;
}

static void end(struct kunit *test, struct setup *s)
{
	s->ops->unbind(s->gmem, &s->m.b);
	fput(s->gmem);
	flush_delayed_fput();
	KUNIT_EXPECT_EQ(test, s->m.unlocked, 0);
}

static unsigned long frame_of(struct setup *s, pgoff_t page)
{
	struct gmfs_tables *tables = &s->t->pool.tables;
	struct gmfs_run run;

	gmfs_map_lookup(tables, GUESTMEMFS_I(s->t->inode)->map, page / PAGES, &run);
	return PHYS_PFN(gmfs_block_phys(tables, run.block)) + page % PAGES;
}

static void convert(struct kunit *test, struct setup *s, pgoff_t first, pgoff_t last, bool private)
{
	pgoff_t page;

	KUNIT_EXPECT_EQ(test, gmfs_convert(s->t->inode, first, last, private, &page), 0);
}

/*
 * Turns red if more than the page of a fault is made private (KVM's hook for SNP takes one), if the
 * lock was released before that (the frame could be another file's by then), and if the guest maps
 * a large entry, with pages that are not made private.
 */
static void exactly_one_page(struct kunit *test)
{
	struct setup *s = begin(test, &in_hardware);
	unsigned long pfn = 0;
	int order = -1;

	convert(test, s, PAGES, 2 * PAGES, false);
	KUNIT_EXPECT_EQ(test, s->ops->get_pfn(s->gmem, &s->m.b, 5, &pfn, &order), 0);
	KUNIT_EXPECT_EQ(test, s->m.made, 1);
	KUNIT_EXPECT_EQ(test, s->m.page, 5);
	KUNIT_EXPECT_EQ(test, s->m.pfn, frame_of(s, 5));
	KUNIT_EXPECT_EQ(test, pfn, frame_of(s, 5));
	KUNIT_EXPECT_EQ(test, order, 0);
	/* A shared page does not become private. */
	KUNIT_EXPECT_EQ(test, s->ops->get_pfn(s->gmem, &s->m.b, PAGES + 5, &pfn, &order), 0);
	KUNIT_EXPECT_EQ(test, s->m.made, 1);
	KUNIT_EXPECT_EQ(test, pfn, frame_of(s, PAGES + 5));
	KUNIT_EXPECT_EQ(test, order, PMD_ORDER);
	s->m.ret = -EINVAL;
	KUNIT_EXPECT_EQ(test, s->ops->get_pfn(s->gmem, &s->m.b, 7, &pfn, &order), -EINVAL);
	end(test, s);
}

/* Turns red if frames stay private in hardware when they are shared, freed or not bound. */
static void frames_come_back(struct kunit *test)
{
	struct setup *s = begin(test, &in_hardware);
	unsigned long pfn;
	int order;

	KUNIT_EXPECT_EQ(test, s->ops->get_pfn(s->gmem, &s->m.b, 5, &pfn, &order), 0);
	convert(test, s, 5, 6, false);
	KUNIT_EXPECT_EQ(test, s->m.reclaimed, 1);
	KUNIT_EXPECT_EQ(test, s->m.first_reclaimed, pfn);
	s->m.reclaimed = 0;
	pfn = frame_of(s, PAGES);
	KUNIT_EXPECT_EQ(test, gmfs_test_punch(s->t, 1, 2), 0);
	KUNIT_EXPECT_EQ(test, s->m.reclaimed, PAGES);
	KUNIT_EXPECT_EQ(test, s->m.first_reclaimed, pfn);
	s->m.reclaimed = 0;
	end(test, s);
	KUNIT_EXPECT_EQ(test, s->m.reclaimed, PAGES - 1);
}

/* Another guest, which shares pages with the first one, binds the file and ends. */
static void another_guest_ends(struct kunit *test, struct setup *s)
{
	struct gmem_binding b = { .end = FILE_PAGES, .vm_id = 2, .ops = &in_software };
	struct file *gmem = gmfs_gmem_file(s->t->file, 2, 0);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, gmem);
	KUNIT_EXPECT_EQ(test, s->ops->bind(gmem, &b), 0);
	s->ops->unbind(gmem, &b);
	fput(gmem);
	flush_delayed_fput();
}

/*
 * Turns red if the end of another guest costs this one its private pages, or if frames stay private
 * in hardware when their memslot is removed: the guest may end without it, and the next guest that
 * binds the pages could not use them.
 */
static void a_memslot_is_removed(struct kunit *test)
{
	struct setup *s = begin(test, &in_hardware);
	unsigned long pfn;
	int order;

	KUNIT_EXPECT_EQ(test, s->ops->get_pfn(s->gmem, &s->m.b, 5, &pfn, &order), 0);
	another_guest_ends(test, s);
	KUNIT_EXPECT_EQ(test, s->m.reclaimed, 0);
	s->ops->unbind(s->gmem, &s->m.b);
	KUNIT_EXPECT_EQ(test, s->m.reclaimed, 2 * PAGES);
	/* The pages are as private as before, and are made private again. */
	KUNIT_EXPECT_EQ(test, s->ops->bind(s->gmem, &s->m.b), 0);
	KUNIT_EXPECT_EQ(test, s->ops->get_pfn(s->gmem, &s->m.b, 5, &pfn, &order), 0);
	KUNIT_EXPECT_EQ(test, s->m.made, 2);
	end(test, s);
}

/* Is exactly this frame poisoned, also for the next kernel? */
static void expect_poisoned(struct kunit *test, struct setup *s, pgoff_t page)
{
	struct gmfs_pool *pool = &s->t->pool;
	u64 frame = gmfs_pool_frame(pool, PFN_PHYS(frame_of(s, page)));

	KUNIT_EXPECT_EQ(test, pool->poisoned.nr, 1);
	KUNIT_EXPECT_EQ(test, gmfs_poisoned_next(&pool->poisoned, 0, U64_MAX), frame);
	KUNIT_EXPECT_EQ(test, le32_to_cpu(pool->tables.super->live.used_poison), 1);
	KUNIT_EXPECT_EQ(test, le64_to_cpu(pool->tables.poison[0].page), frame);
}

/*
 * Turns red if a frame that hardware does not give back is used again: by the file, the host or the
 * next owner of its block; or if the frames behind it are not reclaimed.
 */
static void a_frame_is_lost(struct kunit *test)
{
	struct setup *s = begin(test, &in_hardware);
	struct gmfs_tables *tables = &s->t->pool.tables;
	u32 free = tables->free_blocks;
	unsigned long pfn;
	int order;

	s->m.kept = frame_of(s, 6);
	convert(test, s, 5, 8, false);
	KUNIT_EXPECT_EQ(test, s->m.reclaimed, 2);
	KUNIT_EXPECT_EQ(test, s->m.first_reclaimed, frame_of(s, 5));
	expect_poisoned(test, s, 6);
	KUNIT_EXPECT_EQ(test, s->ops->get_pfn(s->gmem, &s->m.b, 6, &pfn, &order), -EHWPOISON);
	KUNIT_EXPECT_EQ(test, s->ops->get_pfn(s->gmem, &s->m.b, 7, &pfn, &order), 0);
	KUNIT_EXPECT_EQ(test, order, 0);
	KUNIT_EXPECT_EQ(test, gmfs_test_punch(s->t, 0, 2), 0);
	KUNIT_EXPECT_EQ(test, tables->free_blocks, free + 1);
	end(test, s);
}

/* The same in a part of the file that is freed at once. */
static void a_frame_is_lost_by_a_punch(struct kunit *test)
{
	struct setup *s = begin(test, &in_hardware);
	struct gmfs_tables *tables = &s->t->pool.tables;
	u32 free = tables->free_blocks;

	s->m.kept = frame_of(s, 2 * PAGES - 1);
	KUNIT_EXPECT_EQ(test, gmfs_test_punch(s->t, 0, 2), 0);
	KUNIT_EXPECT_EQ(test, s->m.reclaimed, 2 * PAGES - 1);
	KUNIT_EXPECT_EQ(test, s->t->pool.poisoned.nr, 1);
	KUNIT_EXPECT_EQ(test, tables->free_blocks, free + 1);
	end(test, s);
}

/* Turns red if each frame of a guest that is private in software is looked up in hardware. */
static void software_costs_nothing(struct kunit *test)
{
	struct setup *s = begin(test, &in_software);
	unsigned long pfn;
	int order;

	KUNIT_EXPECT_EQ(test, s->ops->get_pfn(s->gmem, &s->m.b, 5, &pfn, &order), 0);
	KUNIT_EXPECT_EQ(test, order, PMD_ORDER);
	convert(test, s, 0, 2 * PAGES, false);
	end(test, s);
	KUNIT_EXPECT_EQ(test, s->m.reclaimed, 0);
}

/*
 * Turns red if the first contents are written without the exclusive lock, or to a shared page,
 * which the host could change before it is measured; and if their frames do not come back.
 */
static void first_contents(struct kunit *test)
{
	struct setup *s = begin(test, &in_hardware);

	KUNIT_EXPECT_EQ(test, s->ops->populate(s->gmem, &s->m.b, 5, fill, &s->m), 0);
	KUNIT_EXPECT_EQ(test, s->m.filled, 1);
	KUNIT_EXPECT_EQ(test, s->m.made, 0);
	KUNIT_EXPECT_EQ(test, s->m.pfn, frame_of(s, 5));
	s->m.ret = -EIO;
	KUNIT_EXPECT_EQ(test, s->ops->populate(s->gmem, &s->m.b, 6, fill, &s->m), -EIO);
	KUNIT_EXPECT_EQ(test, s->m.filled, 2);
	convert(test, s, 7, 8, false);
	KUNIT_EXPECT_EQ(test, s->ops->populate(s->gmem, &s->m.b, 7, fill, &s->m), -EINVAL);
	KUNIT_EXPECT_EQ(test, s->ops->populate(s->gmem, &s->m.b, FILE_PAGES, fill, &s->m),
			-EFAULT);
	KUNIT_EXPECT_EQ(test, s->m.filled, 2);
	/* A hole gets memory. */
	s->m.ret = 0;
	KUNIT_EXPECT_EQ(test, s->ops->populate(s->gmem, &s->m.b, 3 * PAGES, fill, &s->m), 0);
	KUNIT_EXPECT_EQ(test, s->m.pfn, frame_of(s, 3 * PAGES));
	s->m.reclaimed = 0;
	end(test, s);
	KUNIT_EXPECT_EQ(test, s->m.reclaimed, 3 * PAGES - 1);
}

static struct kunit_case gmfs_confidential_cases[] = {
	KUNIT_CASE(exactly_one_page),
	KUNIT_CASE(frames_come_back),
	KUNIT_CASE(a_memslot_is_removed),
	KUNIT_CASE(a_frame_is_lost),
	KUNIT_CASE(a_frame_is_lost_by_a_punch),
	KUNIT_CASE(software_costs_nothing),
	KUNIT_CASE(first_contents),
	{}
};

static struct kunit_suite gmfs_confidential_suite = {
	.name		= "guestmemfs_confidential",
	.test_cases	= gmfs_confidential_cases,
};

kunit_test_suite(gmfs_confidential_suite);
