/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_USER_H
#define _GUESTMEMFS_USER_H

#include <grp.h>
#include <stdbool.h>
#include <sys/types.h>
#include <unistd.h>

/* Somebody, with a second group besides the own one; and who is nobody to them. */
#define USER	1000
#define GROUP	1000
#define SECOND	2000
#define OTHER	3000

/*
 * The process goes on as somebody else, and may come back: nothing is forked for each line
 * of a table. The harness runs a test in a process of its own, so that one that ends early
 * leaves no user behind.
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
