// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which entries of a table are free, against an array of flags.
 */
#include <stdlib.h>

#include "pool.h"

static const u32 ids_sizes[] = { 1, 2, 63, 64, 65, 4095, 4096, 4097, 300000 };

static u32 lowest(const bool *is_free, u32 nr)
{
	u32 i;

	for (i = 0; i < nr; i++)
		if (is_free[i])
			return i;
	return GMFS_NO_ID;
}

static void ids_random(const void *arg)
{
	u32 nr = *(const u32 *)arg, i, most = min(nr, 400U);
	bool *is_free = malloc(nr);
	struct gmfs_ids ids;
	u64 seed = nr;

	CHECK(is_free);
	memset(is_free, true, nr);
	CHECK_EQ(gmfs_ids_init(&ids, nr), 0);
	for (i = 0; i < 4000; i++) {
		u64 r = pool_random(&seed);
		u32 id = (r >> 8) % (r & 1 ? most : nr);

		CHECK_EQ(gmfs_ids_first(&ids), lowest(is_free, nr));
		if (!is_free[id])
			gmfs_ids_drop(&ids, id);
		else
			gmfs_ids_take(&ids, id);
		is_free[id] = !is_free[id];
	}
	gmfs_ids_exit(&ids);
	CHECK_EQ(shim_unfreed, 0);
	free(is_free);
}

/* Every entry is given out, the lowest first, and then there is none. */
static void ids_all(const void *arg)
{
	u32 nr = *(const u32 *)arg, i;
	struct gmfs_ids ids;

	CHECK_EQ(gmfs_ids_init(&ids, nr), 0);
	for (i = 0; i < nr; i++) {
		CHECK_EQ(gmfs_ids_first(&ids), i);
		gmfs_ids_take(&ids, i);
	}
	CHECK_EQ(gmfs_ids_first(&ids), GMFS_NO_ID);
	for (i = nr; i-- > 0;) {
		gmfs_ids_drop(&ids, i);
		CHECK_EQ(gmfs_ids_first(&ids), i);
	}
	gmfs_ids_exit(&ids);
}

void ids_tests(void)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(ids_sizes); i++) {
		test_add(ids_random, &ids_sizes[i], "ids: random ones of %u", ids_sizes[i]);
		test_add(ids_all, &ids_sizes[i], "ids: all %u", ids_sizes[i]);
	}
}
