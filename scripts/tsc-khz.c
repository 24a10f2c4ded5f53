// SPDX-License-Identifier: GPL-2.0-only
/*
 * Prints the rate of this host's time stamp counter, in kHz. The counters of QEMU's emulated
 * processors have the same rate.
 */
#include <limits.h>
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

struct moment {
	unsigned long long tsc;
	long long ns;
};

static long long now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

/* Takes 20 readings of both clocks and returns the fastest, most likely not interrupted. */
static struct moment moment(void)
{
	struct moment m = {};
	long long best = LLONG_MAX;
	int i;

	for (i = 0; i < 20; i++) {
		long long before = now();
		unsigned long long tsc = __rdtsc();
		long long took = now() - before;

		if (took < best) {
			best = took;
			m = (struct moment){ .tsc = tsc, .ns = before + took / 2 };
		}
	}
	return m;
}

int main(void)
{
	const struct timespec while_it_runs = { .tv_nsec = 100000000 };
	struct moment start = moment(), end;

	nanosleep(&while_it_runs, NULL);
	end = moment();
	printf("%.0f\n", (end.tsc - start.tsc) * 1e6 / (end.ns - start.ns));
	return 0;
}
