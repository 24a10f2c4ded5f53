/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_TESTS_POOL_H
#define _GUESTMEMFS_TESTS_POOL_H

#include <kunit/test.h>
#include <linux/sizes.h>

#include "../tables/tables.h"

#define GMFS_TEST_META_BASE	SZ_4M
#define GMFS_TEST_FILES		3

/* A pool with real metadata but no memory. */
struct gmfs_test_pool {
	void *meta;
	u64 meta_size;
	struct gmfs_tables t;
	u32 ino[GMFS_TEST_FILES];
	struct gmfs_extmap maps[GMFS_TEST_FILES];
	/* Points to @maps, unless a test puts the map of an inode there for a while. */
	struct gmfs_extmap *map[GMFS_TEST_FILES];
};

/* Everything is freed when the test ends. */
struct gmfs_test_pool *gmfs_test_pool(struct kunit *test, const struct gmfs_range *ranges, u32 nr);
u32 gmfs_test_block(struct kunit *test, struct gmfs_test_pool *p, u32 file, u64 logical);
u32 gmfs_test_extents(struct gmfs_test_pool *p, u32 file);
void gmfs_test_check(struct kunit *test, struct gmfs_test_pool *p);

#endif /* _GUESTMEMFS_TESTS_POOL_H */
