/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_TEST_USE_H
#define _GUESTMEMFS_TEST_USE_H

#include "pool.h"

#define USE_OP	4	/* bytes of an operation */

/*
 * Does with tables that gmfs_check() accepts what a kernel does after a mount,
 * as @ops say, and fails the test if they are not well formed after that.
 */
void use_tables(const struct gmfs_tables *t, const struct gmfs_index *index, const u8 *ops,
		size_t nr);

#endif /* _GUESTMEMFS_TEST_USE_H */
