// SPDX-License-Identifier: GPL-2.0-only
/*
 * How many users each index of a range has: a maple tree from ranges to numbers. Adjacent
 * ranges with the same number are one entry, and an index without users is in no entry.
 */
#include <linux/bug.h>
#include <linux/limits.h>
#include <linux/minmax.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include "counts.h"
#include "tables.h"

/**
 * gmfs_count_at - find the number of users of an index
 * @counts: the tree
 * @at: the index
 * @end: result: the number is the same for all indices before this one
 *
 * Return: the number of users.
 */
unsigned long gmfs_count_at(const struct maple_tree *counts, u64 at, u64 *end)
{
	MA_STATE(mas, (struct maple_tree *)counts, at, at);
	void *entry = mas_walk(&mas);

	*end = min(mas.last, ULONG_MAX - 1) + 1;
	return entry ? xa_to_value(entry) : 0;
}

/* Stores a range, merged with its neighbours if they have as many users. */
static int gmfs_count_store(struct maple_tree *counts, u64 start, u64 end, unsigned long users,
			    gfp_t gfp)
{
	MA_STATE(mas, counts, start, start);
	void *entry = users ? xa_mk_value(users) : NULL;

	/* The tree merges ranges without users by itself. */
	if (entry && start) {
		mas_set(&mas, start - 1);
		if (mas_walk(&mas) == entry)
			start = mas.index;
	}
	if (entry) {
		mas_set(&mas, end);
		if (mas_walk(&mas) == entry)
			end = mas.last + 1;
	}
	return gmfs_tree_store(counts, start, end - 1, entry, gfp);
}

/**
 * gmfs_count_up - add one to the number of users of some indices
 * @counts: the tree
 * @at: the first index; set to the index after the last one that has got its user
 * @end: index after the last one
 * @max: how many ranges to change at most
 * @fresh: incremented by the number of indices that had no user before
 *
 * Return: 0 if all are done, 1 if there is more to do, or -ENOMEM. To undo it, call
 * gmfs_count_down() up to @at.
 */
int gmfs_count_up(struct maple_tree *counts, u64 *at, u64 end, u32 max, u64 *fresh)
{
	unsigned long users;
	u64 next;
	int err;

	for (; *at < end && max; *at = next, max--) {
		users = gmfs_count_at(counts, *at, &next);
		next = min(next, end);
		err = gmfs_count_store(counts, *at, next, users + 1, GFP_KERNEL);
		if (err)
			return err;
		*fresh += users ? 0 : next - *at;
	}
	return *at < end;
}

/**
 * gmfs_count_down - subtract one from the number of users of some indices
 * @counts: the tree
 * @at: the first index, which has a user; set to the index after the last one that is done
 * @end: index after the last one
 * @max: how many ranges to change at most
 * @last: incremented by the number of indices that have no user any more
 *
 * Return: true if there is more to do.
 */
bool gmfs_count_down(struct maple_tree *counts, u64 *at, u64 end, u32 max, u64 *last)
{
	unsigned long users;
	u64 next;

	for (; *at < end && max; *at = next, max--) {
		users = gmfs_count_at(counts, *at, &next);
		next = min(next, end);
		if (WARN_ON_ONCE(!users))
			continue;
		gmfs_count_store(counts, *at, next, users - 1, GFP_KERNEL | __GFP_NOFAIL);
		*last += users == 1 ? next - *at : 0;
	}
	return *at < end;
}
