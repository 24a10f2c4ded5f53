/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_EVENTS_H
#define _GUESTMEMFS_EVENTS_H

#define MAX_CPUS	64

/**
 * struct events - counts a tracepoint on all CPUs
 * @fds: a perf event for each CPU
 * @cpus: number of CPUs
 */
struct events {
	int fds[MAX_CPUS];
	int cpus;
};

/* @name is a path below the directory events of tracefs, @filter as in that directory, or NULL. */
void events_open(struct events *e, const char *name, const char *filter);
long events_count(const struct events *e);
void events_close(struct events *e);

#endif /* _GUESTMEMFS_EVENTS_H */
