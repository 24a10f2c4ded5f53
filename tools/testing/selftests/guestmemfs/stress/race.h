/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_RACE_H
#define _GUESTMEMFS_RACE_H

#include "util.h"

#define NR_FILES	3	/* file0, ..: used by all threads */
#define NR_NAMES	4	/* n0, ..: made and removed */
#define NR_GUESTS	2	/* g0, ..: one for each thread, in the other pool */
#define SMALL_SIZE	(8 * BLOCK)
#define BIG_SIZE	(GIB + 4 * BLOCK)

/* Each byte of a file is zero or the tag of the file's name. */
#define FILE_TAG(i)	(0x41 + (i))
#define NAME_TAG	0x99
#define GUEST_TAG	0x77

/**
 * struct race - the state that the actions share
 * @pool: a pool that stays mounted
 * @other: a second pool that is mounted and unmounted; @pool, if there is only one
 * @fds: descriptors of file0, ..
 * @stop: the threads have to stop
 * @wrong: number of wrong values and of calls that failed and must not fail
 * @line: line of race.c of the first one
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
 * struct race_action - the action that one thread repeats
 * @name: name for the log
 * @once: runs the action; returns false if it was not completed
 */
struct race_action {
	const char *name;
	bool (*once)(unsigned int *state);
};

#define NR_ACTIONS	20

extern const struct race_action race_actions[NR_ACTIONS];

off_t race_size(int file);
unsigned int race_random(unsigned int *state);
bool race_stopped(void);

#endif /* _GUESTMEMFS_RACE_H */
