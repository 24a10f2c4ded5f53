/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_USER_H
#define _GUESTMEMFS_USER_H

#include <grp.h>
#include <stdbool.h>
#include <sys/types.h>
#include <unistd.h>

/* An unprivileged user with a second group, and the ID of another user, who is in neither group. */
#define USER	1000
#define GROUP	1000
#define SECOND	2000
#define OTHER	3000

/*
 * Changes the effective IDs of the process, which can change them back: a table of cases needs no
 * fork for each line. The harness runs each test in its own process, so that a test that ends early
 * does not leave its IDs to the next one.
 */
static inline bool become(uid_t uid, gid_t gid, gid_t second)
{
	return !seteuid(0) && !setgroups(1, &second) && !setegid(gid) && !seteuid(uid);
}

static inline bool as_root(void)
{
	return become(0, 0, 0);
}

static inline bool as_user(void)
{
	return become(USER, GROUP, SECOND);
}

#endif /* _GUESTMEMFS_USER_H */
