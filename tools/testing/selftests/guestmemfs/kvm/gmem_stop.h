/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_GMEM_STOP_H
#define _GUESTMEMFS_GMEM_STOP_H

#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

/*
 * fs/guestmemfs/tests/gmem_stop.c stops a fault of a guest when the fault has looked up its frame,
 * and continues it in the middle of the next invalidation.
 */
#define STOP_FILE	"/sys/kernel/debug/guestmemfs_test/stop_fault"
#define NEXT_STOPS	1
#define HAS_STOPPED	2

static inline int read_stop(void)
{
	FILE *f = fopen(STOP_FILE, "r");
	int value = -1;

	if (f && fscanf(f, "%d", &value) != 1)
		value = -1;
	if (f)
		fclose(f);
	return value;
}

static inline bool write_stop(int value)
{
	FILE *f = fopen(STOP_FILE, "w");
	bool ret = f && fprintf(f, "%d", value) > 0;

	return f && !fclose(f) && ret;
}

/* The fault may have to zero a gigabyte first, so wait for up to a minute. */
static inline bool wait_for_stop(void)
{
	int i;

	for (i = 0; i < 6000 && read_stop() == NEXT_STOPS; i++)
		usleep(10000);
	return read_stop() == HAS_STOPPED;
}

#endif /* _GUESTMEMFS_GMEM_STOP_H */
