// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random operations against a model that is an array, and random bytes in the
 * tables. The same ones on every run.
 */
#include <stdlib.h>

#include "pool.h"

#define MIXER_FILES	4
#define MIXER_BLOCKS	1600
#define MIXER_STEPS	3000
#define MUTATIONS	20000
#define MAX_MUTATED	(64 * 1024)

struct mixer {
	struct pool p;
	u64 seed;
	u32 blocks[MIXER_FILES][MIXER_BLOCKS];
	bool *unzeroed;
};

/* The model learns the blocks of a file's new offsets; the old ones stay. */
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

/* As the filesystem does before it gives a block to somebody. */
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

	/* Now and then whole groups. */
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

/* The parts of the metadata that are in use, and a copy of them. */
struct image {
	struct pool p;
	u32 nr;
	u32 offset[8];
	u32 size[8];
	u8 copy[MAX_MUTATED];
};

static void image_add(struct image *m, const void *start, u32 size)
{
	m->offset[m->nr] = (const u8 *)start - (const u8 *)m->p.meta;
	m->size[m->nr++] = size;
}

static void image_copy(struct image *m, bool back)
{
	u8 *copy = m->copy;
	u32 i;

	for (i = 0; i < m->nr; i++) {
		u8 *there = (u8 *)m->p.meta + m->offset[i];

		CHECK(copy + m->size[i] <= m->copy + MAX_MUTATED);
		memcpy(back ? there : copy, back ? copy : there, m->size[i]);
		copy += m->size[i];
	}
}

static void image_make(struct image *m)
{
	const struct gmfs_range ranges[] = {
		{ 896 * MIB, 128 * MIB }, { 2 * GIB, GIB }, { 5 * GIB - 256 * MIB, 384 * MIB },
	};
	struct pool *p = &m->p;
	u32 dir, i;

	pool_make(p, ranges, ARRAY_SIZE(ranges));
	dir = pool_dir(p, pool_dir(p, GUESTMEMFS_ROOT_INO, "a"), "b");
	for (i = 0; i < 3; i++) {
		CHECK_EQ(pool_fill(p, pool_file(p), 0, 100), 0);
		CHECK_EQ(pool_punch(p, i, 10 * i, 5), 0);
	}
	pool_name(p, p->ino[2], dir, "c");
	pool_check(p);
	image_add(m, p->meta, offsetof(struct guestmemfs_super, reserved2));
	image_add(m, p->t.ranges, 4 * sizeof(*p->t.ranges));
	image_add(m, p->t.bitmap, BITS_TO_LONGS(p->t.nr_blocks) * sizeof(long));
	image_add(m, p->t.unzeroed, BITS_TO_LONGS(p->t.nr_blocks) * sizeof(long));
	image_add(m, p->t.inodes, 16 * sizeof(*p->t.inodes));
	image_add(m, p->t.extents, 64 * sizeof(*p->t.extents));
	image_copy(m, false);
}

static void image_mutate(struct image *m, u64 *seed)
{
	static const u8 bytes[] = { 0, 1, 2, 4, 0x7f, 0x80, 0xff, '/' };
	u64 nr = 1 + pool_random(seed) % 3;

	while (nr--) {
		u64 r = pool_random(seed);
		u32 part = r % m->nr;
		u8 *byte = (u8 *)m->p.meta + m->offset[part] + (r >> 8) % m->size[part];

		if ((r >> 40) % 2)
			*byte = bytes[(r >> 48) % ARRAY_SIZE(bytes)];
		else
			*byte ^= 1 << (r >> 48) % 8;
	}
}

/* Returns whether the tables were good enough to be used. */
static bool image_try(struct image *m, u64 *seed)
{
	struct gmfs_complaint c = {};
	struct gmfs_index index;
	struct gmfs_tables t;
	u64 ops[8];
	u32 i;
	int err;

	err = gmfs_format_open(&t, m->p.meta, META_BASE, m->p.meta_size, &c);
	if (!err)
		err = gmfs_check(&t, &index, &c);
	if (err) {
		CHECK_EQ(err, -EUCLEAN);
		CHECK(c.table && c.what);
		return false;
	}
	for (i = 0; i < ARRAY_SIZE(ops); i++)
		ops[i] = pool_random(seed);
	pool_use(&t, &index, (u8 *)ops, sizeof(ops));
	gmfs_index_free(&index);
	return true;
}

/* Whatever is in the tables, nothing crashes; and not all of it is refused. */
static void mutations(const void *arg)
{
	struct image *m = calloc(1, sizeof(*m));
	u32 i, accepted = 0;
	u64 seed = 1;

	(void)arg;
	CHECK(m);
	image_make(m);
	for (i = 0; i < MUTATIONS; i++) {
		image_mutate(m, &seed);
		pool_fix_crc(m->p.meta, m->p.meta_size);
		accepted += image_try(m, &seed);
		image_copy(m, true);
	}
	CHECK(accepted > MUTATIONS / 50);
	CHECK(accepted < MUTATIONS / 2);
	pool_free(&m->p);
	free(m);
}

void random_tests(void)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(mixer_seeds); i++)
		test_add(mixer, &mixer_seeds[i], "mixer: seed %llu",
			 (unsigned long long)mixer_seeds[i]);
	TEST(mutations);
}
