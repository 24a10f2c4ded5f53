// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counts tracepoints with perf events, which record nothing.
 */
#include <err.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "events.h"

static int event_id(const char *name)
{
	char path[256];
	int id = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/kernel/tracing/events/%s/id", name);
	f = fopen(path, "r");
	if (f) {
		if (fscanf(f, "%d", &id) != 1)
			id = -1;
		fclose(f);
	}
	return id;
}

void events_open(struct events *e, const char *name, const char *filter)
{
	struct perf_event_attr attr = {
		.type	= PERF_TYPE_TRACEPOINT,
		.size	= sizeof(attr),
		.config	= event_id(name),
	};
	int cpu;

	e->cpus = sysconf(_SC_NPROCESSORS_ONLN);
	if (e->cpus > MAX_CPUS)
		errx(1, "more than %d CPUs", MAX_CPUS);
	for (cpu = 0; cpu < e->cpus; cpu++) {
		e->fds[cpu] = syscall(SYS_perf_event_open, &attr, -1, cpu, -1, 0);
		if (e->fds[cpu] < 0)
			err(1, "tracepoint %s", name);
		if (filter && ioctl(e->fds[cpu], PERF_EVENT_IOC_SET_FILTER, filter))
			err(1, "filter %s", filter);
	}
}

long events_count(const struct events *e)
{
	unsigned long sum = 0, n;
	int cpu;

	for (cpu = 0; cpu < e->cpus; cpu++) {
		if (read(e->fds[cpu], &n, sizeof(n)) != sizeof(n))
			err(1, "reading a perf event");
		sum += n;
	}
	return sum;
}

void events_close(struct events *e)
{
	while (e->cpus)
		close(e->fds[--e->cpus]);
}
