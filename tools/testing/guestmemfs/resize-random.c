// SPDX-License-Identifier: GPL-2.0-only
/*
 * Compares a pool that grows and shrinks while its files change with a model, which has the address
 * of each number and the block of each part of a file. Every run does the same operations.
 */
#include <stdlib.h>

#include "resize.h"

/* The memory that the pool may have: 8 GiB from 16 GiB on, in sections. */
#define MODEL_FROM	128
#define MODEL_SECTIONS	64
#define MODEL_ROOM	24
/* The first range ends with section 16, as it begins inside a gigabyte. */
#define MODEL_NUMBERS	(16 + MODEL_ROOM)
#define MODEL_FILES	3
#define MODEL_SIZE	900
#define MODEL_STEPS	4000
#define NOWHERE		U32_MAX

struct model {
	struct pool p;
	u64 seed;
	/* The section that has these numbers, counted from MODEL_FROM on, or NOWHERE. */
	u32 at[MODEL_NUMBERS];
	u32 block[MODEL_FILES][MODEL_SIZE];
	bool unzeroed[MODEL_NUMBERS * SECTION];
	/* Filled in by model_count(): blocks that a file has, or that are about to leave. */
	bool used[MODEL_NUMBERS * SECTION];
	u32 nr_free;
	/* Blocks that are about to leave. */
	u32 held;
	u32 nr_held;
	/* Reserved blocks of file 0. */
	u64 reserved;
	u64 nr_reserved;
	u32 added, refused, cut, kept, moved, most_ranges;
};

static void model_use(struct model *m, u32 block)
{
	CHECK(block / SECTION < MODEL_NUMBERS && m->at[block / SECTION] != NOWHERE);
	CHECK(!m->used[block]);
	m->used[block] = true;
	m->nr_free--;
}

static void model_count(struct model *m)
{
	u32 i, n;

	memset(m->used, 0, sizeof(m->used));
	m->nr_free = 0;
	for (i = 0; i < MODEL_NUMBERS; i++)
		m->nr_free += m->at[i] == NOWHERE ? 0 : SECTION;
	for (i = 0; i < MODEL_FILES; i++)
		for (n = 0; n < MODEL_SIZE; n++)
			if (m->block[i][n] != GMFS_NO_BLOCK)
				model_use(m, m->block[i][n]);
	for (i = 0; i < m->nr_held; i++)
		model_use(m, m->held + i);
}

/* Compares the numbers, their addresses, and what is free and to be zeroed. */
static void model_compare_blocks(const struct model *m)
{
	const struct gmfs_tables *t = &m->p.t;
	u32 block, total = 0;

	for (block = 0; block < t->nr_blocks; block++) {
		u32 at = m->at[block / SECTION];

		CHECK_EQ(test_bit(block, t->unzeroed), m->unzeroed[block]);
		CHECK_EQ(test_bit(block, t->bitmap), at == NOWHERE || m->used[block]);
		if (at == NOWHERE)
			continue;
		CHECK_EQ(gmfs_block_phys(t, block), (MODEL_FROM + at) * GUESTMEMFS_RANGE_ALIGN +
			 block % SECTION * GMFS_BLOCK_SIZE);
		total++;
	}
	for (; block < MODEL_NUMBERS * SECTION; block++)
		CHECK(m->at[block / SECTION] == NOWHERE && !m->unzeroed[block]);
	CHECK_EQ(t->total_blocks, total);
	CHECK_EQ(t->free_blocks, m->nr_free);
}

static void model_compare(struct model *m)
{
	u32 i, n;

	for (i = 0; i < MODEL_FILES; i++)
		for (n = 0; n < MODEL_SIZE; n++)
			CHECK_EQ(pool_block(&m->p, i, n), m->block[i][n]);
	model_count(m);
	model_compare_blocks(m);
	/* Blocks that are about to leave are taken and nobody's. */
	if (m->nr_held)
		recount_blocks(&m->p.t);
	else
		resize_check(&m->p);
}

/* How many blocks of a part of a file are missing and not reserved? */
static u32 model_missing(const struct model *m, u32 file, u64 from, u64 to, bool with_reserved)
{
	u32 nr = 0;

	for (; from < to; from++)
		nr += m->block[file][from] == GMFS_NO_BLOCK &&
		      (with_reserved || file || from < m->reserved ||
		       from >= m->reserved + m->nr_reserved);
	return nr;
}

/* How many of the free blocks are reserved? */
static u32 model_promised(const struct model *m)
{
	return model_missing(m, 0, m->reserved, m->reserved + m->nr_reserved, true);
}

static void model_fill(struct model *m, u32 file, u64 from, u64 to)
{
	u32 missing = model_missing(m, file, from, to, false);
	u32 left = m->nr_free - model_promised(m);
	int err = pool_fill(&m->p, file, from, to - from);

	CHECK_EQ(err, missing > left ? -ENOSPC : 0);
	for (; !err && from < to; from++)
		if (m->block[file][from] == GMFS_NO_BLOCK)
			m->block[file][from] = pool_block(&m->p, file, from);
}

static void model_punch(struct model *m, u32 file, u64 from, u64 to)
{
	CHECK_EQ(pool_punch(&m->p, file, from, to - from), 0);
	for (; from < to; from++) {
		if (m->block[file][from] != GMFS_NO_BLOCK)
			m->unzeroed[m->block[file][from]] = true;
		m->block[file][from] = GMFS_NO_BLOCK;
	}
}

/* A file's blocks are zeroed when they are mapped. */
static void model_zero(struct model *m, u32 file)
{
	u32 i;

	for (i = 0; i < MODEL_SIZE; i++) {
		if (m->block[file][i] == GMFS_NO_BLOCK)
			continue;
		clear_bit(m->block[file][i], m->p.t.unzeroed);
		m->unzeroed[m->block[file][i]] = false;
	}
}

static void model_move(struct model *m, u32 file, u64 from, u64 to, u64 at)
{
	u32 other = (file + 1) % MODEL_FILES, i;
	u64 count = min(to - from, MODEL_SIZE - at);
	int err;

	err = pool_move(&m->p, file, from, other, at, count, false);
	if (err) {
		CHECK_EQ(err, -ENOSPC);
		return;
	}
	for (i = 0; i < count; i++) {
		u32 block = m->block[file][from + i];

		m->block[file][from + i] = m->block[other][at + i];
		m->block[other][at + i] = block;
	}
	m->moved++;
}

static void model_reserve(struct model *m, u64 from, u64 to)
{
	if (m->nr_reserved) {
		pool_unreserve(&m->p, 0, m->reserved, m->nr_reserved);
		m->nr_reserved = 0;
	} else if (!pool_reserve(&m->p, 0, from, to - from)) {
		m->reserved = from;
		m->nr_reserved = to - from;
	}
	CHECK_EQ(m->p.t.promised_blocks, model_promised(m));
}

/* May the memory have the numbers from @first on: are they free, and do others of a group fit? */
static bool model_may_have(const struct model *m, u32 base, u32 size, u32 first)
{
	u32 i, n;

	for (i = 0; i < size; i++) {
		u32 group = (first + i) / SECTIONS;

		if (m->at[first + i] != NOWHERE)
			return false;
		for (n = group * SECTIONS; n < (group + 1) * SECTIONS; n++)
			if (m->at[n] != NOWHERE &&
			    m->at[n] / SECTIONS != (base + i) / SECTIONS)
				return false;
	}
	return true;
}

/* Are there any numbers for the memory? */
static bool model_has_place(const struct model *m, u32 base, u32 size)
{
	u32 first;

	for (first = base % SECTIONS; first + size <= MODEL_NUMBERS; first += SECTIONS)
		if (model_may_have(m, base, size, first))
			return true;
	return false;
}

static bool model_has_section(const struct model *m, u32 base)
{
	u32 i;

	for (i = 0; i < MODEL_NUMBERS; i++)
		if (m->at[i] == base)
			return true;
	return false;
}

static void model_add(struct model *m, u32 base, u32 size)
{
	struct gmfs_range ranges[GUESTMEMFS_MAX_RANGES];
	bool fits = model_has_place(m, base, size);
	u32 nr, first, i;

	for (i = 0; i < size; i++)
		if (model_has_section(m, base + i))
			return;
	CHECK_EQ(resize_add(&m->p, MODEL_FROM + base, size), fits ? 0 : -ENOSPC);
	m->added += fits;
	m->refused += !fits;
	if (!fits)
		return;
	gmfs_resize_ranges(&m->p.t, ranges, &nr);
	first = gmfs_ranges_frame(ranges, nr, (MODEL_FROM + base) * GUESTMEMFS_RANGE_ALIGN) /
		GUESTMEMFS_BLOCK_PAGES / SECTION;
	CHECK(first + size <= MODEL_NUMBERS && model_may_have(m, base, size, first));
	for (i = 0; i < size; i++) {
		m->at[first + i] = base + i;
		memset(&m->unzeroed[(first + i) * SECTION], true, SECTION);
	}
}

/* Are all of these blocks free, contiguous, and at an address that is a multiple? */
static bool model_may_leave(const struct model *m, u32 first, u32 size)
{
	u32 i;

	if (first + size > MODEL_NUMBERS || m->at[first] == NOWHERE || m->at[first] % size)
		return false;
	for (i = 0; i < size; i++)
		if (m->at[first + i] != m->at[first] + i)
			return false;
	for (i = first * SECTION; i < (first + size) * SECTION; i++)
		if (m->used[i])
			return false;
	return true;
}

/* Finds what gmfs_resize_find() has to find: the highest numbers. */
static u32 model_find(const struct model *m, u32 size, bool whole)
{
	u32 step = min_t(u32, size, SECTIONS), first;

	if (m->nr_free < size * SECTION + model_promised(m))
		return NOWHERE;
	for (first = MODEL_NUMBERS; first >= step;) {
		first -= step;
		if (!whole && size < SECTIONS &&
		    model_may_leave(m, round_down(first, SECTIONS), SECTIONS))
			continue;
		if (model_may_leave(m, first, size))
			return first;
	}
	return NOWHERE;
}

/* Withholds blocks that are about to leave. */
static void model_hold(struct model *m, u32 size, bool whole)
{
	u32 first = model_find(m, size, whole);

	CHECK_EQ(gmfs_resize_find(&m->p.t, size * SECTION, whole, &m->held), first != NOWHERE);
	if (first == NOWHERE)
		return;
	CHECK_EQ(m->held, first * SECTION);
	m->nr_held = size * SECTION;
	gmfs_take(&m->p.t, m->held, m->nr_held, 0, 0);
}

/* They leave; or they do not, and some of them have been zeroed. */
static void model_leave(struct model *m, bool leave)
{
	u32 i;

	for (i = m->held; i < m->held + m->nr_held; i++) {
		if (leave) {
			m->at[i / SECTION] = NOWHERE;
			m->unzeroed[i] = false;
		} else if (i % 3) {
			m->unzeroed[i] = false;
			clear_bit(i, m->p.t.unzeroed);
			gmfs_release_unused(&m->p.t, i, 1);
		} else {
			m->unzeroed[i] = true;
			gmfs_release(&m->p.t, i, 1, 0, 0);
		}
	}
	if (leave)
		CHECK_EQ(gmfs_resize_cut(&m->p.t, m->held, m->nr_held), 0);
	m->cut += leave;
	m->kept += !leave;
	m->nr_held = 0;
}

static void model_reopen(struct model *m)
{
	if (m->nr_reserved)
		model_reserve(m, 0, 0);
	if (!m->nr_held)
		resize_reopen(&m->p);
}

static void model_step(struct model *m)
{
	u64 r = pool_random(&m->seed);
	u32 file = r % MODEL_FILES, what = (r >> 8) % 32;
	u64 from = (r >> 16) % MODEL_SIZE;
	u64 to = min(from + 1 + (r >> 28) % ((r >> 7) % 3 ? 70 : 600), (u64)MODEL_SIZE);
	u32 size = 1 + (r >> 40) % (r >> 63 ? 16 : 3), base = (r >> 48) % MODEL_SECTIONS;

	if (what < 8)
		model_fill(m, file, from, to);
	else if (what < 15)
		model_punch(m, file, from, to);
	else if (what < 17)
		model_move(m, file, from, to, (r >> 40) % MODEL_SIZE);
	else if (what < 18)
		model_reserve(m, from, to);
	else if (what < 19)
		model_zero(m, file);
	else if (what < 20)
		CHECK_EQ(pool_convert(&m->p, file, from * 512 + base, to * 512 - size, r >> 62), 0);
	else if (what < 21)
		model_reopen(m);
	else if (what < 25)
		model_add(m, base, min(size, MODEL_SECTIONS - base));
	else if (what < 26)
		model_add(m, round_down(base, SECTIONS), SECTIONS);
	else if (m->nr_held)
		model_leave(m, what < 31);
	else
		model_hold(m, 1 << (r >> 56) % 5, what & 1);
}

/* All files lose their blocks, and the pool all of its memory. */
static void model_end(struct model *m)
{
	u32 i;

	if (m->nr_held)
		model_leave(m, false);
	model_reopen(m);
	for (i = 0; i < MODEL_FILES; i++)
		model_punch(m, i, 0, MODEL_SIZE);
	model_compare(m);
	for (i = 5; i-- > 0;) {
		do {
			model_hold(m, 1 << i, true);
			if (m->nr_held)
				model_leave(m, true);
			model_compare(m);
		} while (model_find(m, 1 << i, true) != NOWHERE);
	}
	CHECK_EQ(m->p.t.total_blocks + m->p.t.nr_ranges, 0);
	resize_reopen(&m->p);
}

static void resize_random(const void *arg)
{
	const struct part start = { MODEL_FROM + 5, 11 };
	struct model *m = calloc(1, sizeof(*m));
	u32 i;

	CHECK(m);
	m->seed = *(const u64 *)arg;
	resize_make(&m->p, &start, 1, MODEL_ROOM);
	CHECK_EQ(m->p.t.capacity, MODEL_NUMBERS * SECTION);
	for (i = 0; i < MODEL_FILES; i++)
		pool_size(&m->p, pool_file(&m->p), MODEL_SIZE);
	memset(m->block, 0xff, sizeof(m->block));
	memset(m->at, 0xff, sizeof(m->at));
	for (i = 5; i < 16; i++) {
		m->at[i] = i;
		memset(&m->unzeroed[i * SECTION], true, SECTION);
	}
	model_compare(m);
	for (i = 0; i < MODEL_STEPS; i++) {
		model_step(m);
		model_compare(m);
		m->most_ranges = max(m->most_ranges, m->p.t.nr_ranges);
	}
	model_end(m);
	CHECK(m->added > 20 && m->refused > 50 && m->cut > 20 && m->kept > 3 && m->moved > 50);
	CHECK(m->most_ranges > 6);
	pool_free(&m->p);
	free(m);
}

static const u64 seeds[] = { 1, 2, 3, 4 };

void resize_random_tests(void)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(seeds); i++)
		test_add(resize_random, &seeds[i], "resize, random: seed %u", (u32)seeds[i]);
}
