// SPDX-License-Identifier: GPL-2.0-only
/*
 * Measures how the time and memory of operations on tables depend on the size of pool and file,
 * and prints one line for each measurement. The times are processor time, but other processes use
 * the same caches and may change the processor's clock: compare only lines of the same run.
 */
#include <stdio.h>
#include <malloc.h>
#include <stdlib.h>
#include <time.h>

#include <linux/bitops.h>
#include <linux/rcupdate.h>

#include "bench-engine.h"

/* In ns. A measurement that would take longer is extrapolated from smaller sizes. */
#define BENCH_LIMIT	8000000000ULL
#define TIB		1024U
#define BLOCKS_PER_GIB	GUESTMEMFS_GROUP_BLOCKS
#define BATCH		16U
#define BATCHES		201U
#define ENTRIES		524288U

static u64 now(void)
{
	struct timespec ts;

	if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts))
		FAIL("no clock of this thread");
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

/**
 * struct span - the time of an operation that is done in steps
 * @total: time of all steps, in ns
 * @longest: time of the longest step, which is how long others may wait for gmfs_pool.lock
 * @began: start of the current step
 */
struct span {
	u64 total;
	u64 longest;
	u64 began;
};

static void step_begin(struct span *s)
{
	/* Free nodes of the maple tree that wait for a grace period before the clock starts. */
	rcu_barrier();
	s->began = now();
}

static void step_end(struct span *s)
{
	u64 ns = now() - s->began;

	s->total += ns;
	if (engine_locked)
		s->longest = max(s->longest, ns);
}

static const char *text_of_size(char text[16], u32 gib)
{
	if (gib >= TIB)
		snprintf(text, 16, "%u TiB", gib / TIB);
	else
		snprintf(text, 16, "%u GiB", gib);
	return text;
}

static void print_line(const char *what, const char *where, double value, const char *unit,
		       const char *note)
{
	printf("%-44s %-16s %12.*f %-11s %s\n", what, where, value < 10 ? 2 : 0, value, unit, note);
	fflush(stdout);
}

/* Prints @ns in the unit that gives a readable number. */
static void print_time(const char *what, const char *where, double ns, const char *note)
{
	static const char * const units[] = { "ns", "us", "ms", "s" };
	u32 i;

	for (i = 0; i + 1 < ARRAY_SIZE(units) && ns >= 10000; i++)
		ns /= 1000;
	print_line(what, where, ns, units[i], note);
}

/*
 * Makes a pool in which the blocks are in use for which @taken returns true. Parts of the tables
 * that are never touched take no memory of this process.
 */
static void bench_make(struct pool *p, u32 gib, bool (*taken)(u32 block, u64 *seed))
{
	static const u8 uuid[16] = "a pool to time";
	const struct gmfs_range range = { 16 * GIB, gib * GIB };
	struct gmfs_complaint c = {};
	u64 seed = 1;
	u32 i;

	memset(p, 0, sizeof(*p));
	CHECK_EQ(gmfs_format_size(&range, 1, 0, &p->meta_size), 0);
	p->meta = aligned_alloc(GUESTMEMFS_TABLE_ALIGN, p->meta_size);
	CHECK(p->meta);
	CHECK_EQ(gmfs_format_make(p->meta, META_BASE, p->meta_size, 0, uuid, &range, 1, 0), 0);
	CHECK_EQ(gmfs_format_open(&p->t, p->meta, META_BASE, p->meta_size, &c), 0);
	for (i = 0; taken && i < p->t.nr_blocks; i++)
		if (taken(i, &seed))
			set_bit(i, p->t.bitmap);
	CHECK_EQ(gmfs_alloc_init(&p->t), 0);
	pool_file(p);
	/*
	 * Touch the extent table, so that no page faults of this process are measured: in the
	 * kernel the tables are always mapped.
	 */
	memset(p->t.extents, 0, (u64)p->t.nr_blocks * sizeof(*p->t.extents));
}

static bool taken_every_second(u32 block, u64 *seed)
{
	(void)seed;
	return block % 2;
}

static bool taken_at_random(u32 block, u64 *seed)
{
	(void)block;
	return pool_random(seed) % 2;
}

static void fill(struct pool *p, u32 file, u64 from, u64 to, struct span *s)
{
	while (from < to) {
		step_begin(s);
		CHECK_EQ(engine_fill(p, file, &from, to), 0);
		step_end(s);
	}
}

static void punch(struct pool *p, u64 from, u64 to, struct span *s)
{
	while (from < to) {
		step_begin(s);
		CHECK_EQ(engine_punch(p, 0, &from, to), 0);
		step_end(s);
	}
}

static void convert(struct pool *p, u64 from, u64 to, bool converted, struct span *s)
{
	from *= GUESTMEMFS_BLOCK_PAGES;
	to *= GUESTMEMFS_BLOCK_PAGES;
	while (from < to) {
		step_begin(s);
		CHECK_EQ(engine_convert(p, 0, &from, to, converted), 0);
		step_end(s);
	}
}

static void clear(struct pool *p, struct span *s)
{
	bool more;

	do {
		step_begin(s);
		more = engine_clear(p, 0);
		step_end(s);
	} while (more);
	CHECK_EQ(engine_blocks(p, 0), 0);
}

/* Allocates all free blocks of a pool to one file. Returns their number. */
static u64 fallocate_all(u32 gib, bool (*taken)(u32 block, u64 *seed), struct span *s)
{
	struct span cleared = {};
	struct pool p;
	u64 blocks;

	bench_make(&p, gib, taken);
	blocks = p.t.free_blocks;
	fill(&p, 0, 0, blocks, s);
	CHECK_EQ(p.t.free_blocks, 0);
	clear(&p, &cleared);
	pool_free(&p);
	return blocks;
}

/*
 * If a size would take too long, its time and that of its longest step are extrapolated: they grow
 * by the same factor as from the size before to the last one.
 */
static void bench_fallocate(const char *what, bool (*taken)(u32 block, u64 *seed))
{
	static const u32 sizes[] = { 16, 64, 256, TIB, 4 * TIB };
	double ns = 0, before = 0, first = 0, longest = 0;
	bool guessed = false;
	char size[16], note[64];
	u32 i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		u64 blocks = sizes[i] * (u64)BLOCKS_PER_GIB / 2;
		double next = before ? ns * ns / before : 0;
		struct span s = {};

		guessed |= next > BENCH_LIMIT;
		before = ns;
		if (guessed) {
			ns = next;
			longest *= next / before;
		} else {
			blocks = fallocate_all(sizes[i], taken, &s);
			ns = s.total;
			longest = s.longest;
		}
		if (!i)
			first = ns / blocks;
		snprintf(note, sizeof(note), "x %.1f%s", ns / blocks / first,
			 guessed ? ", extrapolated" : "");
		print_line(what, text_of_size(size, sizes[i]), ns / blocks, "ns a block", note);
	}
	print_time("  longest under the lock", text_of_size(size, sizes[i - 1]), longest,
		   guessed ? "extrapolated" : "");
}

/* Allocates every second block of a file, so that each block has an extent of its own. */
static void make_extents(struct pool *p, u32 nr)
{
	struct span s = {};
	u64 i;

	for (i = 0; i < nr; i++)
		fill(p, 0, 2 * i, 2 * i + 1, &s);
	CHECK_EQ(engine_extents(p, 0), nr);
}

static void bench_large_file(void)
{
	const u32 nr = 1 << 20;
	const char *where = "1048576 extents";
	struct span s = {}, to = {}, back = {};
	struct pool p;

	bench_make(&p, 4 * TIB, NULL);
	make_extents(&p, nr);
	convert(&p, 0, 2 * nr, true, &to);
	print_time("convert all, longest under the lock", where, to.longest, "");
	convert(&p, 0, 2 * nr, false, &back);
	print_time("convert back, longest under the lock", where, back.longest, "");
	punch(&p, 0, 2 * nr, &s);
	print_time("punch all, longest under the lock", where, s.longest, "");
	CHECK_EQ(engine_blocks(&p, 0), 0);
	make_extents(&p, nr);
	memset(&s, 0, sizeof(s));
	clear(&p, &s);
	print_time("evict, longest under the lock", where, s.longest, "");
	pool_free(&p);
}

static int compare_u64(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return x < y ? -1 : x > y;
}

static double median(u64 *ns, u32 nr)
{
	qsort(ns, nr, sizeof(*ns), compare_u64);
	return ns[nr / 2];
}

/**
 * struct single - operations on single blocks of a file, at random offsets
 * @file: number of the file in the pool
 * @stride: distance of two blocks of the file, in blocks
 * @ns: the times of each batch: of punches, of faults in the holes, of reading st_blocks
 */
struct single {
	u32 file;
	u32 stride;
	u64 ns[3][BATCHES];
};

/* Measures a batch of blocks out of @nr. Returns the sum of what st_blocks said. */
static u64 bench_batch(struct pool *p, struct single *f, u32 nr, u32 batch, u64 *seed)
{
	u64 at[BATCH], began, sum = 0;
	u32 i;

	/* Choose each from another part of the file, so that no block is punched twice. */
	for (i = 0; i < BATCH; i++)
		at[i] = (pool_random(seed) % (nr / BATCH) * BATCH + i) * f->stride;
	began = now();
	for (i = 0; i < BATCH; i++) {
		u64 from = at[i];

		CHECK_EQ(engine_punch(p, f->file, &from, from + 1), 0);
	}
	f->ns[0][batch] = now() - began;
	began = now();
	for (i = 0; i < BATCH; i++) {
		u64 from = at[i];

		CHECK_EQ(engine_fill(p, f->file, &from, from + 1), 0);
	}
	f->ns[1][batch] = now() - began;
	began = now();
	for (i = 0; i < BATCH; i++)
		sum += engine_blocks(p, f->file);
	f->ns[2][batch] = now() - began;
	return sum;
}

static void bench_faults(void)
{
	static const char * const what[] = { "punch of a block", "fault of that block",
					     "st_blocks after either" };
	static struct single one = { .stride = 1 }, many = { .stride = 2 };
	u64 seed = 1, seed_many = 1, sum = 0;
	const u32 nr = 262144;
	struct span s = {};
	struct pool p;
	char note[32];
	u32 i;

	bench_make(&p, 2 * TIB, NULL);
	make_extents(&p, nr);
	one.file = pool_file(&p);
	fill(&p, one.file, 0, nr, &s);
	CHECK_EQ(engine_extents(&p, one.file), 1);
	/* Take turns, so that a change of the processor's clock affects both files. */
	for (i = 0; i < BATCHES; i++) {
		sum += bench_batch(&p, &one, nr, i, &seed);
		sum += bench_batch(&p, &many, nr, i, &seed_many);
	}
	CHECK_EQ(sum, 2ULL * nr * BATCH * BATCHES);
	for (i = 0; i < ARRAY_SIZE(what); i++) {
		double ns = median(one.ns[i], BATCHES) / BATCH;
		double ns_many = median(many.ns[i], BATCHES) / BATCH;

		print_line(what[i], "1 extent", ns, "ns", "");
		snprintf(note, sizeof(note), "x %.1f", ns_many / ns);
		print_line(what[i], "262144 extents", ns_many, "ns", note);
	}
	pool_free(&p);
}

/* In a table that is full up to some entry, frees a low entry and then allocates two. */
static double bench_entries(struct gmfs_tables *t, u32 (*take)(struct gmfs_tables *t),
			    void (*drop)(struct gmfs_tables *t, u32 entry))
{
	u64 ns[BATCHES];
	u32 i;

	for (i = 0; i < BATCHES; i++) {
		u32 last;

		drop(t, 100 + i);
		ns[i] = now();
		take(t);
		last = take(t);
		ns[i] = now() - ns[i];
		drop(t, last);
	}
	return median(ns, BATCHES) / 2;
}

static void bench_tables(void)
{
	struct pool p;
	u32 i;

	bench_make(&p, 4 * TIB, NULL);
	for (i = 2; i < ENTRIES; i++)
		engine_inode_take(&p.t);
	for (i = 0; i < ENTRIES; i++)
		engine_extent_take(&p.t);
	print_line("inode, one of two after unlink of a low one", "524288 inodes",
		   bench_entries(&p.t, engine_inode_take, engine_inode_drop), "ns", "");
	print_line("extent entry, likewise", "524288 entries",
		   bench_entries(&p.t, engine_extent_take, engine_extent_drop), "ns", "");
	pool_free(&p);
}

static void bench_memory(void)
{
	struct span s = {};
	struct pool p;
	size_t bytes;

	bench_make(&p, TIB, NULL);
	bytes = shim_bytes;
	fill(&p, 0, 0, TIB * (u64)BLOCKS_PER_GIB, &s);
	CHECK_EQ(engine_extents(&p, 0), 1);
	rcu_barrier();
	print_line("kernel memory of a file in one extent", "1 TiB", shim_bytes - bytes, "bytes",
		   "");
	print_time("  its fallocate, longest under the lock", "1 TiB", s.longest, "");
	pool_free(&p);
}

int main(void)
{
	/* Keep malloc from returning freed memory to the system during a measurement. */
	mallopt(M_TRIM_THRESHOLD, INT_MAX);
	bench_fallocate("fallocate, every second block taken", taken_every_second);
	bench_fallocate("fallocate, half of the blocks taken", taken_at_random);
	bench_large_file();
	bench_faults();
	bench_tables();
	bench_memory();
	return 0;
}
