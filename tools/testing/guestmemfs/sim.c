// SPDX-License-Identifier: GPL-2.0-only
/*
 * Simulates a day of a host: virtual machines are started and ended, and small files are created
 * and removed. How much of the machines' memory can be mapped by 1 GiB?
 */
#include <stdlib.h>

#include "tables_pool.h"
#include "sim.h"

#define SIM_FILES	4096
#define SIM_AT_ONCE	10

/**
 * struct sim_file - a file
 * @map: its extents
 * @ino: its inode, 0 if there is no such file
 * @blocks: its size
 * @next: the first block that is not allocated yet
 * @small: the file is not the memory of a machine
 * @starting: the file is being filled, in turn with others
 */
struct sim_file {
	struct gmfs_extmap map;
	u32 ino;
	u64 blocks;
	u64 next;
	bool small;
	bool starting;
};

struct sim {
	const struct sim_day *day;
	void *meta;
	struct gmfs_tables t;
	u64 seed;
	struct sim_file files[SIM_FILES];
	u64 promised;
	double sum, sum_full;
	u32 samples;
};

static u64 sim_random(struct sim *s, u64 below)
{
	return pool_random(&s->seed) % below;
}

static struct sim_file *sim_new(struct sim *s, u64 blocks, bool small)
{
	struct sim_file *f = s->files;

	while (f->ino)
		f++;
	CHECK(f < s->files + SIM_FILES);
	*f = (struct sim_file){ .blocks = blocks, .small = small };
	gmfs_map_init(&f->map);
	CHECK_EQ(gmfs_inode_alloc(&s->t, S_IFREG, &f->ino), 0);
	s->t.inodes[f->ino].size = cpu_to_le64(blocks << GUESTMEMFS_BLOCK_SHIFT);
	return f;
}

static void sim_remove(struct sim *s, struct sim_file *f)
{
	gmfs_map_clear(&s->t, &f->map);
	gmfs_map_destroy(&f->map);
	gmfs_inode_free(&s->t, f->ino);
	f->ino = 0;
}

static void sim_fill(struct sim *s, struct sim_file *f, u64 logical, u64 count)
{
	CHECK_EQ(gmfs_map_fill(&s->t, &f->map, f->ino, logical, count), 0);
}

/* Returns a random file of that kind that is not being filled, or NULL. */
static struct sim_file *sim_pick(struct sim *s, bool small)
{
	u32 first = sim_random(s, SIM_FILES), i;

	for (i = 0; i < SIM_FILES; i++) {
		struct sim_file *f = &s->files[(first + i) % SIM_FILES];

		if (f->ino && f->small == small && !f->starting)
			return f;
	}
	return NULL;
}

/* Ends machines and removes small files until there is room for more. */
static void sim_make_room(struct sim *s, u64 blocks)
{
	u64 left = (u64)s->t.total_blocks * (100 - s->day->used_percent) / 100;

	while (s->t.free_blocks < left + s->promised + blocks) {
		struct sim_file *f = sim_pick(s, sim_random(s, 3) == 0);

		if (f)
			sim_remove(s, f);
	}
}

/* A size that is twice as large is half as likely. One in four is not a multiple of 1 GiB. */
static u64 sim_machine_size(struct sim *s)
{
	u64 gib = 2, r = sim_random(s, 1 << 16);

	while (gib < s->day->largest && r & 1) {
		gib *= 2;
		r >>= 1;
	}
	gib += gib > 2 ? sim_random(s, gib / 2) : 0;
	gib = min_t(u64, gib, s->day->largest);
	return gib * GROUP + (sim_random(s, 4) ? 0 : sim_random(s, GROUP));
}

/* Several machines touch their memory at the same time, a few blocks each in turn. */
static void sim_fault_in_turn(struct sim *s, struct sim_file **f, u32 nr)
{
	while (nr) {
		u32 i = sim_random(s, nr), steps = 1 + sim_random(s, 8);

		for (; steps && f[i]->next < f[i]->blocks; steps--)
			sim_fill(s, f[i], f[i]->next++, 1);
		if (f[i]->next < f[i]->blocks)
			continue;
		f[i]->starting = false;
		f[i] = f[--nr];
	}
}

/*
 * Fills a file by faults of 1 GiB, from the end, where a guest's kernel begins to use memory; the
 * rest by faults of 2 MiB.
 */
static void sim_fault_whole(struct sim *s, struct sim_file *f)
{
	u64 whole = round_down(f->blocks, (u64)GROUP), i;

	for (i = whole; i < f->blocks; i++)
		sim_fill(s, f, i, 1);
	for (i = whole; i > 0; i -= GROUP)
		sim_fill(s, f, i - GROUP, GROUP);
}

static void sim_start(struct sim *s)
{
	struct sim_file *in_turn[SIM_AT_ONCE], *f;
	u32 nr, together = 1 + sim_random(s, SIM_AT_ONCE);

	for (nr = 0; nr < together;) {
		u64 blocks = sim_machine_size(s);

		if (s->promised + blocks > s->t.total_blocks / 4)
			break;
		sim_make_room(s, blocks);
		f = sim_new(s, blocks, false);
		if (sim_random(s, 100) < s->day->in_turn) {
			f->starting = true;
			s->promised += blocks;
			in_turn[nr++] = f;
			continue;
		}
		if (sim_random(s, 2))
			sim_fill(s, f, 0, blocks);
		else
			sim_fault_whole(s, f);
		break;
	}
	sim_fault_in_turn(s, in_turn, nr);
	s->promised = 0;
}

/* Small files, as for firmware, its variables, or device memory: filled at once, or in pieces. */
static void sim_small_files(struct sim *s)
{
	u32 nr = sim_random(s, 4);

	while (nr--) {
		u64 blocks = 1 + sim_random(s, sim_random(s, 4) ? 8 : 300);
		struct sim_file *f;

		sim_make_room(s, blocks);
		f = sim_new(s, blocks, true);
		if (sim_random(s, 2))
			sim_fill(s, f, 0, blocks);
		else
			sim_fault_in_turn(s, &f, 1);
	}
}

/* Inflates or deflates a machine's balloon: punches pieces of its file, or fills some again. */
static void sim_balloon(struct sim *s, bool inflate)
{
	struct sim_file *f = sim_pick(s, false);
	u64 nr, at, count;

	if (!f)
		return;
	for (nr = f->blocks / 32; nr; nr--) {
		at = sim_random(s, f->blocks);
		count = min(1 + sim_random(s, sim_random(s, 8) ? 4 : 64), f->blocks - at);
		if (inflate)
			CHECK_EQ(gmfs_map_edit(&s->t, &f->map, GMFS_PUNCH, at, count), 0);
		else if (s->t.free_blocks > count)
			sim_fill(s, f, at, count);
	}
}

static void sim_deflate_all(struct sim *s)
{
	u32 i;

	for (i = 0; i < SIM_FILES; i++) {
		struct sim_file *f = &s->files[i];

		if (f->ino && gmfs_map_fill(&s->t, &f->map, f->ino, 0, f->blocks))
			sim_remove(s, f);
	}
}

static void sim_look_at_file(const struct sim *s, const struct sim_file *f, struct sim_result *r)
{
	struct gmfs_run run;
	u64 at;

	r->files++;
	r->extents += map_extents(&f->map);
	if (f->small)
		return;
	r->could += round_down(f->blocks, (u64)GROUP);
	for (at = 0; at < f->blocks; at += run.count) {
		gmfs_map_lookup(&s->t, &f->map, at, &run);
		run.count = min(run.count, f->blocks - at);
		if (run.block == GMFS_NO_BLOCK)
			continue;
		r->blocks += run.count;
		if (at % GROUP == run.block % GROUP) {
			u64 first = round_up(at, (u64)GROUP), end = at + run.count;

			end = round_down(end, (u64)GROUP);
			r->whole += end > first ? end - first : 0;
		}
	}
}

static void sim_look(const struct sim *s, struct sim_result *r)
{
	u32 i, end;

	memset(r, 0, sizeof(*r));
	for (i = 0; i < SIM_FILES; i++)
		if (s->files[i].ino)
			sim_look_at_file(s, &s->files[i], r);
	r->free_blocks = s->t.free_blocks;
	for (i = 0; i < s->t.nr_blocks; i = end) {
		end = i + GROUP;
		r->full_groups += find_next_bit(s->t.bitmap, end, i) == end;
	}
}

static void sim_sample(struct sim *s)
{
	struct sim_result r;

	sim_look(s, &r);
	s->sum += 100.0 * r.whole / r.blocks;
	s->sum_full += 100.0 * r.full_groups * GROUP / r.free_blocks;
	s->samples++;
}

static void sim_open(struct sim *s)
{
	const struct gmfs_range range = { 16 * GIB, s->day->gib * GIB };
	static const u8 uuid[16] = "a day of a pool";
	struct gmfs_complaint c;
	u64 size;

	CHECK_EQ(gmfs_format_size(&range, 1, 0, &size), 0);
	s->meta = aligned_alloc(GUESTMEMFS_TABLE_ALIGN, size);
	CHECK(s->meta);
	CHECK_EQ(gmfs_format_make(s->meta, META_BASE, size, 0, uuid, &range, 1, 0), 0);
	CHECK_EQ(gmfs_format_open(&s->t, s->meta, META_BASE, size, &c), 0);
	CHECK_EQ(gmfs_alloc_init(&s->t), 0);
}

void sim_run(const struct sim_day *day, struct sim_result *result)
{
	struct sim *s = calloc(1, sizeof(*s));
	u32 i;

	CHECK(s);
	s->day = day;
	s->seed = day->seed;
	sim_open(s);
	for (i = 0; i < day->starts; i++) {
		sim_start(s);
		sim_small_files(s);
		if (sim_random(s, 100) < day->balloons)
			sim_balloon(s, true);
		if (sim_random(s, 100) < day->balloons)
			sim_balloon(s, false);
		if (i >= day->starts / 2)
			sim_sample(s);
	}
	sim_deflate_all(s);
	sim_look(s, result);
	result->mean = s->sum / s->samples;
	result->mean_full = s->sum_full / s->samples;
	for (i = 0; i < SIM_FILES; i++)
		if (s->files[i].ino)
			sim_remove(s, &s->files[i]);
	CHECK_EQ(s->t.free_blocks, s->t.total_blocks);
	gmfs_alloc_exit(&s->t);
	free(s->meta);
	free(s);
}
