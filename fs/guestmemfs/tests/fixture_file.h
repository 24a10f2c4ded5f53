/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_TESTS_FILE_H
#define _GUESTMEMFS_TESTS_FILE_H

#include <kunit/test.h>
#include <linux/gmem_provider.h>

#include "../internal.h"
#include "fixture_pool.h"

#define GMFS_TEST_FILE_BLOCKS	8

/**
 * struct gmfs_test_file - an open file of a pool without memory
 * @p: the test pool, whose tables were copied to @pool
 * @pool: the pool, with the tables in use
 * @mnt: the mount of the file
 * @inode: the file, of GMFS_TEST_FILE_BLOCKS blocks, none of them allocated
 * @file: the open file, NULL after a test has closed it
 * @in_hardware: of gmfs_test_in_hardware()
 */
struct gmfs_test_file {
	struct gmfs_test_pool *p;
	struct gmfs_pool pool;
	struct vfsmount *mnt;
	struct inode *inode;
	struct file *file;
	struct gmem_binding in_hardware;
};

/* Everything is freed when the test ends. */
struct gmfs_test_file *gmfs_test_begin(struct kunit *test);
int gmfs_test_hold(struct gmfs_test_file *t, struct gmfs_pin **pin, pgoff_t first, pgoff_t last);
long gmfs_test_punch(struct gmfs_test_file *t, u64 first, u64 last);
void gmfs_test_in_hardware(struct kunit *test, struct gmfs_test_file *t);

#endif /* _GUESTMEMFS_TESTS_FILE_H */
