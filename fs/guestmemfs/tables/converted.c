// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which pages of a file are converted, for readers that cannot wait for a lock. Extents are changed
 * in place, and their entries and bitmaps become those of other files, so that they can only be
 * read with map_lock. A maple tree by block of the file repeats what they say: it has an entry for
 * each run of blocks that are converted as a whole, and a bitmap for a block that is converted in
 * part.
 *
 * Conversion alone changes the character of a page, so that no other operation has to change the
 * tree. A page that is not converted keeps its character for readers while others are.
 *
 * The caller serialises the functions (gmfs_inode.map_lock), except gmfs_converted_has().
 */
#include <linux/bitmap.h>
#include <linux/bitops.h>
#include <linux/errno.h>
#include <linux/maple_tree.h>
#include <linux/minmax.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include "extmap.h"

/**
 * struct gmfs_mixed - which pages of a block are converted
 * @next: in a list of those that leave the tree
 * @rcu: to free it
 * @pages: a bit for each page; single bits are read under RCU
 */
struct gmfs_mixed {
	struct gmfs_mixed *next;
	struct rcu_head rcu;
	unsigned long pages[BITS_TO_LONGS(GUESTMEMFS_BLOCK_PAGES)];
};

/**
 * gmfs_converted_init - initialise the tree of a file
 * @tree: the tree, by which no page is converted; it needs no memory
 */
void gmfs_converted_init(struct maple_tree *tree)
{
	mt_init_flags(tree, MT_FLAGS_LOCK_EXTERN | MT_FLAGS_USE_RCU);
	/* Switch off lockdep's check: an inode that no other task can reach needs no lock. */
	mt_on_stack(*tree);
}

/**
 * gmfs_converted_has - is a page converted
 * @tree: the tree of the file
 * @page: the page
 *
 * Context: any; no lock is needed.
 * Return: whether it is. During a conversion of the page, the state before or after it.
 */
bool gmfs_converted_has(struct maple_tree *tree, u64 page)
{
	const struct gmfs_mixed *mixed;
	void *entry;
	bool is;

	rcu_read_lock();
	entry = mtree_load(tree, page / GUESTMEMFS_BLOCK_PAGES);
	if (!entry || xa_is_value(entry)) {
		is = entry;
	} else {
		mixed = entry;
		is = test_bit(page % GUESTMEMFS_BLOCK_PAGES, mixed->pages);
	}
	rcu_read_unlock();
	return is;
}

static void gmfs_mixed_copy(struct gmfs_mixed *mixed, const unsigned long *pages)
{
	u32 i;

	for (i = 0; i < BITS_TO_LONGS(GUESTMEMFS_BLOCK_PAGES); i++)
		WRITE_ONCE(mixed->pages[i], pages[i]);
}

/* Stores which pages of the block @at are converted. */
static int gmfs_converted_mix(struct maple_tree *tree, u64 at, const unsigned long *pages,
			      gfp_t gfp)
{
	void *entry = mtree_load(tree, at);
	struct gmfs_mixed *mixed = entry;
	int err;

	if (entry && !xa_is_value(entry)) {
		gmfs_mixed_copy(mixed, pages);
		return 0;
	}
	mixed = kmalloc(sizeof(*mixed), gfp);
	if (!mixed)
		return -ENOMEM;
	gmfs_mixed_copy(mixed, pages);
	err = gmfs_tree_store(tree, at, at, mixed, gfp);
	if (err)
		kfree(mixed);
	return err;
}

/* Widens a part to the runs beside it that are converted as a whole, so that they become one. */
static void gmfs_converted_widen(struct maple_tree *tree, u64 *at, u64 *end)
{
	MA_STATE(mas, tree, *end, *end);

	if (xa_is_value(mas_walk(&mas)))
		*end = mas.last + 1;
	if (!*at)
		return;
	mas_set(&mas, *at - 1);
	if (xa_is_value(mas_walk(&mas)))
		*at = mas.index;
}

/* Stores that all pages of the blocks @at to @end - 1 are converted, or that none is. */
static int gmfs_converted_set(struct maple_tree *tree, u64 at, u64 end, bool converted, gfp_t gfp)
{
	MA_STATE(mas, tree, at, at);
	void *entry = converted ? xa_mk_value(true) : NULL;
	void *old = mas_walk(&mas);
	struct gmfs_mixed *mixed, *gone = NULL;
	int err;

	if (old == entry && mas.last >= end - 1)
		return 0;
	/* A reader may have found these bitmaps: free them when it is done. */
	mas_set(&mas, at);
	mas_for_each(&mas, old, end - 1) {
		if (xa_is_value(old))
			continue;
		mixed = old;
		mixed->next = gone;
		gone = mixed;
	}
	if (converted)
		gmfs_converted_widen(tree, &at, &end);
	err = gmfs_tree_store(tree, at, end - 1, entry, gfp);
	while (!err && gone) {
		mixed = gone;
		gone = mixed->next;
		kfree_rcu(mixed, rcu);
	}
	return err;
}

/**
 * gmfs_converted_update - repeat what the extents of a part of a file say
 * @tree: the tree of the file
 * @t: the pool's tables
 * @map: the file's extents
 * @at: first block
 * @end: block after the last one, at most %GMFS_MAX_LOGICAL
 * @gfp: with __GFP_NOFAIL if the caller cannot handle a failure
 *
 * Takes time proportional to the number of extents.
 *
 * Return: 0, or -ENOMEM, with a part of the work done.
 */
int gmfs_converted_update(struct maple_tree *tree, const struct gmfs_tables *t,
			  const struct gmfs_extmap *map, u64 at, u64 end, gfp_t gfp)
{
	struct gmfs_run run;
	int err = 0;

	if (!t->has_states)
		return 0;
	for (; at < end && !err; at += run.count) {
		gmfs_map_lookup(t, map, at, &run);
		run.count = min(run.count, end - at);
		if (run.flags & GUESTMEMFS_EXTENT_MIXED)
			err = gmfs_converted_mix(tree, at, gmfs_mixed_bits(t, run.map), gfp);
		else
			err = gmfs_converted_set(tree, at, at + run.count,
						 run.flags & GUESTMEMFS_EXTENT_CONVERTED, gfp);
	}
	return err;
}

/**
 * gmfs_converted_free - free the memory of a tree
 * @tree: the tree, which has no readers; it is empty afterwards
 */
void gmfs_converted_free(struct maple_tree *tree)
{
	MA_STATE(mas, tree, 0, 0);
	void *entry;

	mas_for_each(&mas, entry, ULONG_MAX)
		if (!xa_is_value(entry))
			kfree(entry);
	__mt_destroy(tree);
}
