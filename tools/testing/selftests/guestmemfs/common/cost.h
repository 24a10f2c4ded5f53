/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_COST_H
#define _GUESTMEMFS_COST_H

#include <time.h>

/*
 * Returns the number of instructions that were executed so far, on a machine whose clock advances
 * by a nanosecond with each instruction (VM_ICOUNT=0).
 */
static inline long now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
	return ts.tv_sec * 1000000000L + ts.tv_nsec;
}

/* Returns the number of instructions of a store, with those of now(). */
static inline long cost_of_store(char *p)
{
	long start = now();

	__atomic_store_n(p, 1, __ATOMIC_RELAXED);
	return now() - start;
}

#endif /* _GUESTMEMFS_COST_H */
