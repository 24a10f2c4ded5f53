// SPDX-License-Identifier: GPL-2.0-only
/*
 * Zeroing a part of a page. A shared page is zeroed in place and stays mapped in the guests, unless
 * all of it is punched. A private page is unmapped from the guests and reclaimed before the kernel
 * writes to it.
 */
#include <kunit/static_stub.h>
#include <linux/falloc.h>
#include <linux/file.h>
#include <linux/gmem_provider.h>
#include <linux/slab.h>

#include "../gmem.h"
#include "fixture_file.h"

#define SIZE	((loff_t)GMFS_TEST_FILE_BLOCKS * GMFS_BLOCK_SIZE)

/**
 * struct hypervisor - a binding of the whole file, and the calls that it has seen
 * @b: the binding
 * @inside: number of invalidations that have begun and not ended
 * @begun: number of invalidations that have begun
 * @last_end: page after the last one of the most recent invalidation
 * @reclaimed: number of pages that were reclaimed
 * @wrong: errors: pages that were reclaimed outside of an invalidation or after they were
 *	zeroed, or that were not zeroed
 * @mapped: the bytes that the kernel zeroes
 */
struct hypervisor {
	struct gmem_binding b;
	int inside;
	int begun;
	pgoff_t last_end;
	unsigned long reclaimed;
	int wrong;
	void *mapped;
};

static void guest_begin(struct gmem_binding *b, pgoff_t start, pgoff_t end)
{
	struct hypervisor *h = container_of(b, struct hypervisor, b);

	h->inside++;
	h->begun++;
	h->last_end = end;
}

static void guest_end(struct gmem_binding *b, pgoff_t start, pgoff_t end)
{
	container_of(b, struct hypervisor, b)->inside--;
}

static const struct gmem_binding_ops guest_ops = {
	.invalidate_begin	= guest_begin,
	.invalidate_end		= guest_end,
};

/* Replaces gmem_reclaim(). */
static unsigned long note_reclaim(unsigned long pfn, unsigned long nr)
{
	struct hypervisor *h = kunit_get_current_test()->priv;

	h->reclaimed += nr;
	h->wrong += h->inside != 1 || !h->mapped || *(u8 *)h->mapped != 0x55;
	return 0;
}

/* These replace the functions of windows, as there is no memory behind a block. */
static struct gmfs_window *prepare_nothing(u64 phys, size_t len)
{
	struct hypervisor *h = kunit_get_current_test()->priv;
	struct gmfs_window *window = kzalloc_obj(*window);

	h->mapped = kvmalloc(len, GFP_KERNEL);
	if (h->mapped)
		memset(h->mapped, 0x55, len);
	if (window)
		window->va = h->mapped;
	return window;
}

static int map_nothing(struct gmfs_window *window)
{
	return 0;
}

static void unmap_nothing(struct gmfs_window *window)
{
}

static void put_nothing(struct gmfs_window *window)
{
	struct hypervisor *h = kunit_get_current_test()->priv;

	h->wrong += *(u8 *)window->va != 0;
	h->mapped = NULL;
	kvfree(window->va);
	kfree(window);
}

/* Compares the calls since the previous check with the expected numbers. */
static void expect_asked(struct kunit *test, int begun, unsigned long reclaimed)
{
	struct hypervisor *h = test->priv;

	KUNIT_EXPECT_EQ(test, h->begun, begun);
	KUNIT_EXPECT_EQ(test, h->inside, 0);
	KUNIT_EXPECT_EQ(test, h->reclaimed, reclaimed);
	KUNIT_EXPECT_EQ(test, h->wrong, 0);
	h->begun = 0;
	h->reclaimed = 0;
}

static void change_parts(struct kunit *test, struct gmfs_test_file *t, bool private)
{
	const int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

	KUNIT_EXPECT_EQ(test, guestmemfs_fallocate(t->file, punch, PAGE_SIZE, PAGE_SIZE), 0);
	expect_asked(test, 1, private);
	KUNIT_EXPECT_EQ(test, guestmemfs_fallocate(t->file, FALLOC_FL_ZERO_RANGE,
						   3 * PAGE_SIZE - 1, 2), 0);
	expect_asked(test, private, 2 * private);
	/* Shrinking zeroes the last page behind the new end, growing behind the old end. */
	KUNIT_EXPECT_EQ(test, gmfs_file_resize(&nop_mnt_idmap, t->inode, SIZE - 1, NULL), 0);
	expect_asked(test, private, private);
	KUNIT_EXPECT_EQ(test, gmfs_file_resize(&nop_mnt_idmap, t->inode, SIZE, NULL), 0);
	expect_asked(test, private, private);
	/* Frees a block, and zeroes one byte of each adjacent block. */
	KUNIT_EXPECT_EQ(test, guestmemfs_fallocate(t->file, punch, GMFS_BLOCK_SIZE - 1,
						   GMFS_BLOCK_SIZE + 2), 0);
	KUNIT_EXPECT_EQ(test, ((struct hypervisor *)test->priv)->last_end,
			2 * GUESTMEMFS_BLOCK_PAGES + private);
	expect_asked(test, 1, private ? GUESTMEMFS_BLOCK_PAGES + 2 : 0);
}

static void zero_parts(struct kunit *test, bool private)
{
	struct gmfs_test_file *t = gmfs_test_begin(test);
	struct hypervisor *h = kunit_kzalloc(test, sizeof(*h), GFP_KERNEL);
	const struct gmem_provider_ops *ops;
	struct file *gmem;

	KUNIT_ASSERT_NOT_NULL(test, h);
	test->priv = h;
	kunit_activate_static_stub(test, gmem_reclaim, note_reclaim);
	gmfs_test_in_hardware(test, t);
	kunit_activate_static_stub(test, gmfs_window_prepare, prepare_nothing);
	kunit_activate_static_stub(test, gmfs_window_map, map_nothing);
	kunit_activate_static_stub(test, gmfs_window_unmap, unmap_nothing);
	kunit_activate_static_stub(test, gmfs_window_put, put_nothing);
	KUNIT_ASSERT_EQ(test, gmfs_choose_character(t->inode, private), 0);
	KUNIT_ASSERT_EQ(test, gmfs_file_allocate(t->inode, 0, GMFS_TEST_FILE_BLOCKS, GMFS_PRESENT),
			0);
	bitmap_zero(t->pool.tables.unzeroed, t->pool.tables.nr_blocks);
	gmem = gmfs_gmem_file(t->file, 1, 0);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, gmem);
	ops = gmem_provider_of(gmem);
	h->b = (struct gmem_binding) { .end = SIZE >> PAGE_SHIFT, .vm_id = 1, .ops = &guest_ops };
	KUNIT_EXPECT_EQ(test, ops->bind(gmem, &h->b), 0);
	change_parts(test, t, private);
	ops->unbind(gmem, &h->b);
	fput(gmem);
	flush_delayed_fput();
}

static void shared_parts_stay_mapped(struct kunit *test)
{
	zero_parts(test, false);
}

static void private_parts_are_reclaimed(struct kunit *test)
{
	zero_parts(test, true);
}

static struct kunit_case gmfs_part_cases[] = {
	KUNIT_CASE(shared_parts_stay_mapped),
	KUNIT_CASE(private_parts_are_reclaimed),
	{}
};

static struct kunit_suite gmfs_part_suite = {
	.name		= "guestmemfs_part",
	.test_cases	= gmfs_part_cases,
};

kunit_test_suite(gmfs_part_suite);
