/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_TEST_USE_H
#define _GUESTMEMFS_TEST_USE_H

#include "tables_pool.h"

#define USE_OP	4	/* bytes of an operation */
/* How many records more than before use_tables() writes to the pin table, at most. */
#define USE_MORE_PINS	64U
/* Likewise for the poison table. */
#define USE_MORE_POISON	16U

/*
 * Does the operations @ops on tables that gmfs_check() has accepted, as a kernel does after a
 * mount. The test fails if the tables are not well formed after that.
 */
void use_tables(const struct gmfs_tables *t, const struct gmfs_index *index, const u8 *ops,
		size_t nr);

#endif /* _GUESTMEMFS_TEST_USE_H */
