/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_RACE_H
#define _GUESTMEMFS_RACE_H

#include "util.h"

#define NR_FILES	3	/* file0, ..: all of it is to be had by everybody */
#define NR_NAMES	4	/* n0, ..: come and go */
#define NR_GUESTS	2	/* g0, ..: each is one thread's, in the other pool */
#define SMALL_SIZE	(8 * BLOCK)
#define BIG_SIZE	(GIB + 4 * BLOCK)

/* A byte of a file is zero or this, by the first letter and the last of its name. */
#define FILE_TAG(i)	(0x41 + (i))
#define NAME_TAG	0x99
#define GUEST_TAG	0x77

/**
 * struct race - what the actions work on
 * @pool: a pool that stays mounted
 * @other: one that comes and goes, with its filesystem, if there is another one; or @pool
 * @fds: descriptors of file0, ..
 * @stop: set when it is enough
 * @wrong: how often something was seen that may not be, or failed that may not fail
 * @line: of race.c, the first time
 */
struct race {
	const struct pool *pool;
	const struct pool *other;
	int fds[NR_FILES];
	bool stop;
	unsigned long wrong;
	int line;
};

extern struct race race;

/**
 * struct race_action - what one thread does again and again
 * @name: for the log
 * @once: does it; false if it has come to nothing
 */
struct race_action {
	const char *name;
	bool (*once)(unsigned int *state);
};

#define NR_ACTIONS	16

extern const struct race_action race_actions[NR_ACTIONS];

off_t race_size(int file);
unsigned int race_random(unsigned int *state);
bool race_stopped(void);

#endif /* _GUESTMEMFS_RACE_H */
