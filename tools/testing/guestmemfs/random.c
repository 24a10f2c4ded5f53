// SPDX-License-Identifier: GPL-2.0-only
/*
 * Compares random operations with a model, which is an array. Every run does the same operations.
 */
#include <stdlib.h>

#include "tables_pool.h"

#define MIXER_FILES	4
#define MIXER_BLOCKS	1600
#define MIXER_STEPS	3000

struct mixer {
	struct pool p;
	u64 seed;
	u32 blocks[MIXER_FILES][MIXER_BLOCKS];
	bool *unzeroed;
};

/*
 * Compares the blocks of a file with the model. For holes from @new_from to before @new_to the
 * model takes over the blocks that the allocator has chosen.
 */
static void mixer_compare(struct mixer *m, u32 file, u64 new_from, u64 new_to)
{
	u32 *blocks = m->blocks[file];
	struct gmfs_run run;
	u64 at, i;

	for (at = 0; at < MIXER_BLOCKS; at += run.count) {
		gmfs_map_lookup(&m->p.t, &m->p.map[file], at, &run);
		CHECK_EQ(run.logical, at);
		for (i = at; i < at + run.count && i < MIXER_BLOCKS; i++) {
			u32 block = run.block == GMFS_NO_BLOCK ? run.block : run.block + (i - at);

			if (i >= new_from && i < new_to && blocks[i] == GMFS_NO_BLOCK)
				blocks[i] = block;
			CHECK_EQ(block, blocks[i]);
		}
	}
}

static void mixer_compare_all(struct mixer *m)
{
	u32 i;

	for (i = 0; i < MIXER_FILES; i++)
		mixer_compare(m, i, 0, 0);
	for (i = 0; i < m->p.t.nr_blocks; i++)
		CHECK_EQ(test_bit(i, m->p.t.unzeroed), m->unzeroed[i]);
	pool_check(&m->p);
}

static u32 mixer_missing(const struct mixer *m, u32 file, u64 from, u64 to)
{
	u32 missing = 0;

	for (; from < to; from++)
		missing += m->blocks[file][from] == GMFS_NO_BLOCK;
	return missing;
}

static void mixer_forget(struct mixer *m, u32 file, u64 from, u64 to)
{
	for (; from < to; from++) {
		u32 *block = &m->blocks[file][from];

		if (*block != GMFS_NO_BLOCK)
			m->unzeroed[*block] = true;
		*block = GMFS_NO_BLOCK;
	}
}

static void mixer_fill(struct mixer *m, u32 file, u64 from, u64 to)
{
	u32 missing = mixer_missing(m, file, from, to), nr_free = m->p.t.free_blocks;
	int err = pool_fill(&m->p, file, from, to - from);

	if (missing > nr_free) {
		CHECK_EQ(err, -ENOSPC);
		return;
	}
	if (err) {
		CHECK(shim_fail_from);
		CHECK_EQ(err, -ENOMEM);
		return;
	}
	CHECK_EQ(m->p.t.free_blocks, nr_free - missing);
	mixer_compare(m, file, from, to);
	CHECK_EQ(mixer_missing(m, file, from, to), 0);
}

static void mixer_punch(struct mixer *m, u32 file, u64 from, u64 to)
{
	int err = pool_punch(&m->p, file, from, to - from);

	if (!err) {
		mixer_forget(m, file, from, to);
		return;
	}
	CHECK(shim_fail_from);
	CHECK_EQ(err, -ENOMEM);
}

static void mixer_replace(struct mixer *m, u32 file)
{
	u32 ino = m->p.ino[file], again;

	gmfs_map_clear(&m->p.t, &m->p.map[file]);
	mixer_forget(m, file, 0, MIXER_BLOCKS);
	gmfs_inode_free(&m->p.t, ino);
	pool_check(&m->p);
	CHECK_EQ(gmfs_inode_alloc(&m->p.t, S_IFREG, &again), 0);
	CHECK_EQ(again, ino);
	pool_name(&m->p, ino, GUESTMEMFS_ROOT_INO, (char[]){ 'r', '0' + file, 0 });
}

/* Marks a file's blocks as zeroed, as the filesystem does before it maps them. */
static void mixer_zero(struct mixer *m, u32 file)
{
	u32 i;

	for (i = 0; i < MIXER_BLOCKS; i++) {
		u32 block = m->blocks[file][i];

		if (block == GMFS_NO_BLOCK)
			continue;
		clear_bit(block, m->p.t.unzeroed);
		m->unzeroed[block] = false;
	}
}

static void mixer_step(struct mixer *m)
{
	u64 r = pool_random(&m->seed);
	u32 file = r % MIXER_FILES, what = (r >> 8) % 32;
	u64 size = (r >> 16) % 4 ? 32 : 800;
	u64 from = (r >> 20) % MIXER_BLOCKS;
	u64 to = min(from + 1 + (r >> 40) % size, (u64)MIXER_BLOCKS);

	/* Sometimes begin at a group. */
	if ((r >> 60) < 3)
		from = round_down(from, (u64)GROUP);
	shim_allocations = 0;
	shim_fail_from = (r >> 55) % 8 == 0;
	if (what < 15)
		mixer_fill(m, file, from, to);
	else if (what < 28)
		mixer_punch(m, file, from, to);
	shim_fail_from = 0;
	if (what == 28)
		mixer_replace(m, file);
	else if (what == 29)
		mixer_zero(m, file);
	else if (what == 30)
		pool_reopen(&m->p);
}

static const u64 mixer_seeds[] = { 1, 2, 3, 4 };

static void mixer(const void *arg)
{
	const struct gmfs_range ranges[] = {
		{ 640 * MIB, 384 * MIB }, { 2 * GIB, GIB }, { 5 * GIB - 128 * MIB, 1280 * MIB },
	};
	struct mixer *m = calloc(1, sizeof(*m));
	u32 i;

	CHECK(m);
	m->seed = *(const u64 *)arg;
	memset(m->blocks, 0xff, sizeof(m->blocks));
	pool_make(&m->p, ranges, ARRAY_SIZE(ranges));
	for (i = 0; i < MIXER_FILES; i++)
		pool_file(&m->p);
	m->unzeroed = calloc(m->p.t.nr_blocks, sizeof(*m->unzeroed));
	CHECK(m->unzeroed);
	for (i = 0; i < m->p.t.nr_blocks; i++)
		m->unzeroed[i] = test_bit(i, m->p.t.unzeroed);
	for (i = 0; i < MIXER_STEPS; i++) {
		mixer_step(m);
		mixer_compare_all(m);
	}
	pool_free(&m->p);
	free(m->unzeroed);
	free(m);
}

void random_tests(void)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(mixer_seeds); i++)
		test_add(mixer, &mixer_seeds[i], "mixer: seed %llu",
			 (unsigned long long)mixer_seeds[i]);
}
