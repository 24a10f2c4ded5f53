/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_FIXTURE_H
#define _GUESTMEMFS_FIXTURE_H

#include "harness.h"
#include "util.h"

/* For tests that need one pool and work with any: the pool of the first node that has one. */
FIXTURE(in_pool)
{
	int nodes[MAX_POOLS];
	int nr;
	struct pool p;
};

FIXTURE_SETUP(in_pool)
{
	self->nr = pool_nodes(self->nodes);
	if (!self->nr)
		SKIP(return, "no pool on this machine");
	ASSERT_TRUE(pool_setup(&self->p, self->nodes[0]));
	catch_faults();
}

FIXTURE_TEARDOWN_PARENT(in_pool)
{
	if (self->nr)
		EXPECT_STREQ("", pool_teardown(&self->p) ?: "");
}

#endif /* _GUESTMEMFS_FIXTURE_H */
