// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counts the instructions of operations on a gigabyte of guest memory, and of mapping 64 GiB of it:
 * bench_ranges DIRECTORY-OF-A-POOL. It needs a machine with one processor, whose clock advances by
 * a nanosecond with each instruction. See the VM test bench-ranges.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "cost.h"
#include "systems.h"
#include "util.h"

#define ROUNDS	3
/* In each round, what does not allocate is done this often. */
#define REPEATS	5
#define MAX_FAULTS	256
/* Within this time RCU has freed all that was freed before, so not during a measurement. */
#define SETTLE_NS	50000000L
/*
 * A measurement begins so long after a tick: a tick in a short operation, or the grace periods of
 * RCU in a long one, would make it some hundredths dearer in some runs. Ticks are at multiples of
 * their period on the monotonic clock, and so is TICK_NS.
 */
#define TICK_NS		20000000L
#define AFTER_TICK_NS	100000L
/* How often memory that is present is mapped anew for faults, if it has few entries. */
#define MAPPINGS	32
/*
 * A mapping of 64 GiB is one of the same gigabyte this many times, since the machine's host does
 * not have as much memory. For entries of 4 KiB, which take long, it is one of 4 GiB.
 */
#define PARTS	64
#define FEW_PARTS	4

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE	23
#endif

static long begin(void)
{
	struct timespec at;
	long ns;

	clock_gettime(CLOCK_MONOTONIC, &at);
	ns = at.tv_sec * 1000000000L + at.tv_nsec + SETTLE_NS;
	ns += TICK_NS - ns % TICK_NS + AFTER_TICK_NS;
	at = (struct timespec){ ns / 1000000000L, ns % 1000000000L };
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
	return now();
}

static int compare(const void *a, const void *b)
{
	return *(const long *)a < *(const long *)b ? -1 : *(const long *)a > *(const long *)b;
}

/*
 * The median of all faults, so that those that allocate a page table or are interrupted do not
 * count, minus the cost of an access without a fault.
 */
static void sample_faults(const char *what, const struct system *s, char *base, int fd,
			  int mappings)
{
	long costs[MAX_FAULTS];
	int i, nr = 0;
	size_t offset;
	char *p;

	for (i = 0; i < mappings && nr < MAX_FAULTS; i++) {
		p = system_map(s, base, fd, 0, GIB);
		for (offset = 0; offset < GIB && nr < MAX_FAULTS; offset += s->entry)
			costs[nr++] = cost_of_store(p + offset);
	}
	qsort(costs, nr, sizeof(*costs), compare);
	sample(what, s->entry, costs[nr / 2] - cost_of_store(p));
}

static void sample_populate(const char *what, const struct system *s, char *p, size_t size)
{
	long began = begin();

	if (madvise(p, size, MADV_POPULATE_WRITE))
		err(1, "%s: MADV_POPULATE_WRITE", s->name);
	sample(what, size, now() - began);
}

/* guest_memfd refuses fallocate() without FALLOC_FL_KEEP_SIZE. */
static void sample_fallocate(const char *what, const struct system *s, int fd, int mode)
{
	long began = begin();

	if (fallocate(fd, mode | FALLOC_FL_KEEP_SIZE, 0, GIB))
		err(1, "%s: fallocate", s->name);
	if (what)
		sample(what, GIB, now() - began);
}

/* Unmaps and reserves the address space again. */
static void release(char *base, size_t size)
{
	if (mmap(base, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED,
		 -1, 0) == MAP_FAILED)
		err(1, "mmap of a reservation");
}

static void punch(const char *what, const struct system *s, int fd)
{
	sample_fallocate(what, s, fd, FALLOC_FL_PUNCH_HOLE);
}

static void sample_munmap(char *p, size_t size)
{
	long began = begin();

	munmap(p, size);
	sample("munmap", size, now() - began);
}

/* What takes long because it zeroes memory, and hardly varies. The file is as for round_of(). */
static void zeroing(const struct system *s, char *base, int fd)
{
	sample_faults("fault_absent", s, base, fd, 1);
	release(base, GIB + s->shift);
	punch(NULL, s, fd);
	sample_fallocate("fallocate_dirty", s, fd, 0);
	punch(NULL, s, fd);
	wait_until_clean(s);
	sample_fallocate("fallocate_clean", s, fd, 0);
	punch(NULL, s, fd);
}

/* Entries of 4 KiB take long, and so many of them that the sum hardly varies in a round. */
static int often(const struct system *s, int times)
{
	return s->entry == PAGE ? 1 : times;
}

/* The file has no memory, and has none afterwards. */
static void round_of(const struct system *s, char *base, int fd)
{
	char *p = system_map(s, base, fd, 0, GIB);
	int i;

	sample_populate("populate_absent", s, p, GIB);
	release(base, GIB + s->shift);
	for (i = 0; i < often(s, REPEATS); i++) {
		p = system_map(s, base, fd, 0, GIB);
		sample_populate("populate_present", s, p, GIB);
		sample_munmap(p, GIB);
		release(base, GIB + s->shift);
	}
	sample_faults("fault_present", s, base, fd, MAPPINGS);
	release(base, GIB + s->shift);
	punch("punch", s, fd);
}

/* Bytes of page tables of this process. */
static long page_tables(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[128];
	long kib = -1;

	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "VmPTE: %ld kB", &kib);
	if (f)
		fclose(f);
	return kib * KIB;
}

/* Maps the gigabyte of the file @parts times, one after another. */
static void map_parts(const struct system *s, char *base, int fd, int parts)
{
	char *at = base + s->shift;
	long before = page_tables();
	int i;

	for (i = 0; i < parts; i++)
		system_map(s, base + i * GIB, fd, 0, GIB);
	sample_populate("populate_present", s, at, parts * GIB);
	sample("page_tables", parts * GIB, page_tables() - before);
	sample_munmap(at, parts * GIB);
	release(base, parts * GIB + s->shift);
}

static void sample_memset(const struct system *s, char *base, int fd)
{
	char *p = system_map(s, base, fd, 0, GIB);
	long began;

	memset(p, 1, GIB);
	began = now();
	memset(p, 0, GIB);
	sample("memset", GIB, now() - began);
	release(base, GIB + s->shift);
}

static void measure(const struct system *s)
{
	char *base = reserve((PARTS + 1) * GIB, GIB);
	int fd = system_file(s, GIB), i;

	if (base == MAP_FAILED)
		err(1, "a reservation of address space");
	zeroing(s, base, fd);
	for (i = 0; i < ROUNDS; i++)
		round_of(s, base, fd);
	sample_fallocate(NULL, s, fd, 0);
	sample_memset(s, base, fd);
	for (i = 0; i < often(s, REPEATS); i++)
		map_parts(s, base, fd, s->entry == PAGE ? FEW_PARTS : PARTS);
	samples_print(s);
	close(fd);
	munmap(base, (PARTS + 1) * GIB);
}

int main(int argc, char **argv)
{
	if (argc != 2)
		errx(2, "usage: bench_ranges DIRECTORY");
	pool_dir = argv[1];
	systems_measure(measure);
	return 0;
}
