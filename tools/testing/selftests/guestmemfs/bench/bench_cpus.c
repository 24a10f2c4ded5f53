// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counts what operations on guest memory cost other CPUs: acquisitions of locks that had to wait
 * while several threads take faults, and flushes of their TLBs while a gigabyte is zeroed:
 * bench_cpus DIRECTORY-OF-A-POOL. See the VM test bench-cpus.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "events.h"
#include "systems.h"
#include "util.h"

/* All threads together take this many faults, each of them on memory of its own. */
#define BLOCKS	256
#define PRESENT_ROUNDS	16
#define MAX_THREADS	8
/* Results are per so many faults. */
#define FAULTS	10000

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE	23
#endif

/**
 * struct worker - a thread that takes faults
 * @thread: the thread
 * @cpu: where it runs
 * @areas: mappings of its part of the memory, each of which is touched once
 * @rounds: number of @areas
 * @blocks: number of blocks in each
 */
struct worker {
	pthread_t thread;
	int cpu;
	char *areas[PRESENT_ROUNDS];
	int rounds;
	int blocks;
};

static int nr_ready, nr_done;
static bool go;

static void *work(void *arg)
{
	struct worker *w = arg;
	cpu_set_t cpus;
	int i, block;

	CPU_ZERO(&cpus);
	CPU_SET(w->cpu, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus))
		err(1, "CPU %d", w->cpu);
	__atomic_add_fetch(&nr_ready, 1, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&go, __ATOMIC_ACQUIRE))
		;
	for (i = 0; i < w->rounds; i++)
		for (block = 0; block < w->blocks; block++)
			__atomic_store_n(w->areas[i] + block * BLOCK, 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&nr_done, 1, __ATOMIC_RELEASE);
	return NULL;
}

/* Counts the contended acquisitions of all threads from the first fault to the last one. */
static long run(struct worker *workers, int nr)
{
	struct events contended;
	long before, after;
	int i;

	nr_ready = 0;
	nr_done = 0;
	go = false;
	events_open(&contended, "lock/contention_begin", NULL);
	for (i = 0; i < nr; i++)
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			errx(1, "no thread");
	while (__atomic_load_n(&nr_ready, __ATOMIC_ACQUIRE) < nr)
		usleep(1000);
	before = events_count(&contended);
	__atomic_store_n(&go, true, __ATOMIC_RELEASE);
	while (__atomic_load_n(&nr_done, __ATOMIC_ACQUIRE) < nr)
		usleep(1000);
	after = events_count(&contended);
	for (i = 0; i < nr; i++)
		pthread_join(workers[i].thread, NULL);
	events_close(&contended);
	return after - before;
}

/*
 * @nr threads fault BLOCKS blocks of one file, or of a file for each thread. Each mapping has a
 * gigabyte of address space of its own, so that no page table is shared.
 */
static void faults(const struct system *s, const char *what, int nr, bool one, bool present)
{
	size_t part = BLOCKS / nr * BLOCK;
	struct worker workers[MAX_THREADS] = {};
	int rounds = present ? PRESENT_ROUNDS : 1;
	char *base = reserve(nr * rounds * GIB, GIB);
	int fds[MAX_THREADS], i, j;

	for (i = 0; i < nr; i++) {
		workers[i].cpu = i;
		workers[i].rounds = rounds;
		workers[i].blocks = BLOCKS / nr;
		if (!i || !one)
			fds[i] = system_file(s, one ? BLOCKS * BLOCK : part);
		else
			fds[i] = fds[0];
		for (j = 0; j < rounds; j++)
			workers[i].areas[j] = system_map(s, base + (i * rounds + j) * GIB, fds[i],
							 one ? i * part : 0, part);
	}
	for (i = 0; i < nr && present; i++) {
		char *p = workers[i].areas[rounds - 1];

		/* The mapping that allocates is made anew. */
		if (madvise(p, part, MADV_POPULATE_WRITE))
			err(1, "%s: MADV_POPULATE_WRITE", s->name);
		munmap(p, part);
		system_map(s, p - s->shift, fds[i], one ? i * part : 0, part);
	}
	sample(what, nr, run(workers, nr) * FAULTS / (BLOCKS * rounds));
	munmap(base, nr * rounds * GIB);
	for (i = 0; i < nr; i++)
		if (!i || !one)
			close(fds[i]);
}

static void contention(const struct system *s)
{
	int nr;

	for (nr = 1; nr <= MAX_THREADS; nr *= 2) {
		faults(s, "contended_present_one_file", nr, true, true);
		faults(s, "contended_present_files", nr, false, true);
		faults(s, "contended_absent_one_file", nr, true, false);
		faults(s, "contended_absent_files", nr, false, false);
	}
}

/* The functions by which the kernel flushes its own addresses from the TLBs of all CPUs. */
#define FLUSHES	"func.function == do_flush_tlb_all || func.function == do_kernel_range_flush"

/* A flush of all other CPUs is counted once for each of them. */
static void flushes(const struct system *s)
{
	struct events calls, areas;
	long calls_before, areas_before;
	int fd = system_file(s, GIB), others;
	char *base = reserve(GIB, GIB), *p;

	events_open(&calls, "csd/csd_queue_cpu", FLUSHES);
	events_open(&areas, "vmalloc/alloc_vmap_area", NULL);
	others = calls.cpus - 1;
	p = system_map(s, base, fd, 0, GIB);
	calls_before = events_count(&calls);
	areas_before = events_count(&areas);
	if (madvise(p, GIB, MADV_POPULATE_WRITE))
		err(1, "%s: MADV_POPULATE_WRITE", s->name);
	/* Workers of the kernel may have something to flush. */
	usleep(100000);
	sample("zeroing_flushes", GIB, (events_count(&calls) - calls_before) / others);
	sample("zeroing_mappings", GIB, events_count(&areas) - areas_before);
	events_close(&calls);
	events_close(&areas);
	munmap(p, GIB);
	close(fd);
}

int main(int argc, char **argv)
{
	int i;

	if (argc != 2)
		errx(2, "usage: bench_cpus DIRECTORY");
	pool_dir = argv[1];
	if (sysconf(_SC_NPROCESSORS_ONLN) < MAX_THREADS)
		errx(1, "fewer than %d CPUs", MAX_THREADS);
	for (i = 0; i < nr_systems; i++) {
		system_begin(&systems[i]);
		flushes(&systems[i]);
		/* A fault for each block is the same work for these alone. */
		if (systems[i].entry == BLOCK)
			contention(&systems[i]);
		samples_print(&systems[i]);
		system_end(&systems[i]);
	}
	return 0;
}
