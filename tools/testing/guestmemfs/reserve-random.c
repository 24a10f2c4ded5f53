// SPDX-License-Identifier: GPL-2.0-only
/*
 * Compares random reservations, fills, pins, holes and conversions, some of them with failing
 * allocations, with a model that counts block by block. Every run does the same operations.
 */
#include <stdlib.h>

#include <linux/xarray.h>

#include "tables_pool.h"

#define MODEL_FILES	3
#define MODEL_BLOCKS	120
#define MODEL_STEPS	9000
#define MODEL_LIMIT	200
#define MODEL_PARTS	12
#define MODEL_PINS	16

struct part {
	u64 from;
	u64 to;
};

struct model_file {
	bool has[MODEL_BLOCKS];
	bool pending[MODEL_BLOCKS];
	u32 held[MODEL_BLOCKS];
	struct part parts[MODEL_PARTS];
	u32 nr_parts;
	struct gmfs_fill fill;
	bool filling;
};

struct model {
	struct pool p;
	struct model_file file[MODEL_FILES];
	u64 seed;
	/* Pinned frames, and the blocks of the pool that are detached. */
	struct part pins[MODEL_PINS];
	u32 nr_pins;
	bool detached[GROUP];
	/* How many reserved blocks were replaced, and how often there were too few others. */
	u32 replaced;
	u32 no_other;
	u32 nospc;
	u32 nomem;
	u32 aborted;
	/* How many reserved blocks were moved away, and how often there were too few others. */
	u32 moved;
	u32 no_room;
};

static u32 model_used(const struct model *m)
{
	u32 used = 0, i, at;

	for (i = 0; i < MODEL_FILES; i++)
		for (at = 0; at < MODEL_BLOCKS; at++)
			used += m->file[i].has[at];
	for (i = 0; i < GROUP; i++)
		used += m->detached[i];
	return used;
}

static u32 model_promised(const struct model *m)
{
	u32 promised = 0, i, at;

	for (i = 0; i < MODEL_FILES; i++)
		for (at = 0; at < MODEL_BLOCKS; at++)
			promised += m->file[i].held[at] && !m->file[i].has[at];
	return promised;
}

/* Returns how many blocks a part of a file needs that are not reserved for it. */
static u32 model_needs(const struct model_file *f, u64 from, u64 to)
{
	u32 needs = 0;

	for (; from < to; from++)
		needs += !f->has[from] && !f->held[from];
	return needs;
}

static bool model_fits(const struct model *m, const struct model_file *f, u64 from, u64 to)
{
	return model_used(m) + model_promised(m) + model_needs(f, from, to) <= MODEL_LIMIT;
}

static bool model_pinned(const struct model *m, u32 block)
{
	u32 i;

	for (i = 0; i < m->nr_pins; i++)
		if (m->pins[i].from / GUESTMEMFS_BLOCK_PAGES <= block &&
		    (m->pins[i].to - 1) / GUESTMEMFS_BLOCK_PAGES >= block)
			return true;
	return false;
}

static void model_compare(struct model *m)
{
	bool filling = false;
	u32 i, at;

	for (i = 0; i < MODEL_FILES; i++) {
		struct model_file *f = &m->file[i];

		for (at = 0; at < MODEL_BLOCKS; at++) {
			void *held = mtree_load(&m->p.map[i].cover, at);

			CHECK_EQ(held ? xa_to_value(held) : 0, f->held[at]);
			CHECK_EQ(pool_block(&m->p, i, at) != GMFS_NO_BLOCK, f->has[at]);
		}
		pool_covers(&m->p, i);
		filling |= f->filling;
	}
	for (i = 0; i < GROUP; i++)
		CHECK_EQ(!!mtree_load(&m->p.t.detached.tree, i), m->detached[i]);
	CHECK_EQ(m->p.t.promised_blocks, model_promised(m));
	CHECK_EQ(m->p.t.free_blocks, m->p.t.total_blocks - model_used(m));
	CHECK(model_used(m) + model_promised(m) <= MODEL_LIMIT);
	CHECK_EQ(gmfs_blocks_left(&m->p.t), MODEL_LIMIT - model_used(m) - model_promised(m));
	if (!filling)
		pool_check(&m->p);
}

/* Checks the error of a failed operation: -ENOSPC if there are too few blocks, else -ENOMEM. */
static void model_failed(struct model *m, int err, bool fits)
{
	if (!fits && err == -ENOSPC) {
		m->nospc++;
		return;
	}
	CHECK(shim_fail_from);
	CHECK_EQ(err, -ENOMEM);
	m->nomem++;
}

static void model_hold(struct model_file *f, u64 from, u64 to, int more)
{
	for (; from < to; from++)
		f->held[from] += more;
}

static void model_reserve(struct model *m, u32 i, u64 from, u64 to)
{
	struct model_file *f = &m->file[i];
	bool fits = model_fits(m, f, from, to);
	int err;

	if (f->nr_parts == MODEL_PARTS)
		return;
	err = pool_reserve(&m->p, i, from, to - from);
	if (err) {
		model_failed(m, err, fits);
		return;
	}
	CHECK(fits);
	model_hold(f, from, to, 1);
	f->parts[f->nr_parts++] = (struct part){ from, to };
}

static void model_unreserve(struct model *m, u32 i, u64 r)
{
	struct model_file *f = &m->file[i];
	struct part part;

	if (!f->nr_parts)
		return;
	part = f->parts[r % f->nr_parts];
	f->parts[r % f->nr_parts] = f->parts[f->nr_parts - 1];
	f->nr_parts--;
	pool_unreserve(&m->p, i, part.from, part.to - part.from);
	model_hold(f, part.from, part.to, -1);
}

/* Fills as a fault does. Blocks that it gets from a fill in progress are not undone with it. */
static void model_fault(struct model *m, u32 i, u64 from, u64 to)
{
	struct model_file *f = &m->file[i];
	bool fits = model_fits(m, f, from, to);
	int err;

	err = pool_fill(&m->p, i, from, to - from);
	if (err) {
		model_failed(m, err, fits);
		return;
	}
	CHECK(fits);
	shim_fail_from = 0;
	CHECK_EQ(gmfs_map_edit(&m->p.t, &m->p.map[i], GMFS_COMMIT, from, to - from), 0);
	for (; from < to; from++) {
		f->has[from] = true;
		f->pending[from] = false;
	}
}

static void model_fill_begin(struct model *m, u32 i, u64 from, u64 to)
{
	struct model_file *f = &m->file[i];
	bool fits = model_fits(m, f, from, to);
	int err;

	f->fill = (struct gmfs_fill){
		.t = &m->p.t, .map = &m->p.map[i], .ino = m->p.ino[i], .from = from, .end = to,
		.more = to % 2,
	};
	err = gmfs_fill_cover(&f->fill);
	if (!err) {
		err = gmfs_fill_begin(&f->fill);
		if (err)
			gmfs_fill_uncover(&f->fill);
	}
	if (err) {
		model_failed(m, err, fits);
		return;
	}
	CHECK(fits);
	model_hold(f, from, to, 1);
	f->filling = true;
}

static void model_fill_end(struct model *m, u32 i, bool keep)
{
	struct model_file *f = &m->file[i];
	u64 from = f->fill.from, to = f->fill.end, at;
	int err = 0;

	shim_fail_from = 0;
	gmfs_fill_uncover(&f->fill);
	gmfs_fill_end(&f->fill);
	model_hold(f, from, to, -1);
	f->filling = false;
	/* If no block is marked as pending, the fill is complete and there is nothing to undo. */
	keep |= !f->fill.pending;
	if (f->fill.pending)
		err = gmfs_map_edit(&m->p.t, &m->p.map[i], keep ? GMFS_COMMIT : GMFS_ABORT, from,
				    to - from);
	CHECK_EQ(err, 0);
	for (at = from; at < to; at++) {
		f->has[at] &= keep || !f->pending[at];
		f->pending[at] = false;
	}
	m->aborted += !keep;
}

static void model_fill_step(struct model *m, u32 i, u64 r)
{
	struct model_file *f = &m->file[i];
	int err = gmfs_fill_step(&f->fill);
	u64 at;

	for (at = f->fill.from; at < f->fill.end; at++) {
		bool has = pool_block(&m->p, i, at) != GMFS_NO_BLOCK;

		f->pending[at] |= has && !f->has[at];
		f->has[at] = has;
	}
	if (err < 0) {
		model_failed(m, err, true);
		model_fill_end(m, i, false);
	} else if (!err) {
		model_fill_end(m, i, r % 3);
	}
}

/*
 * Pinned blocks become detached, and others are reserved in place of those that were reserved: free
 * ones, or ones that the punch frees.
 */
static void model_punch(struct model *m, u32 i, u64 from, u64 to)
{
	struct model_file *f = &m->file[i];
	bool pinned[MODEL_BLOCKS] = {}, fits;
	u32 block[MODEL_BLOCKS], replaced = 0, freed = 0;
	int err;
	u64 at;

	for (at = from; at < to; at++) {
		block[at] = pool_block(&m->p, i, at);
		pinned[at] = f->has[at] && model_pinned(m, block[at]);
		replaced += pinned[at] && f->held[at];
		freed += f->has[at] && !pinned[at] && !f->held[at];
	}
	fits = model_used(m) + model_promised(m) + replaced <= MODEL_LIMIT + freed;
	err = pool_punch(&m->p, i, from, to - from);
	if (err) {
		m->no_other += err == -ENOSPC;
		model_failed(m, err, fits);
		return;
	}
	CHECK(fits);
	for (at = from; at < to; at++) {
		f->has[at] = false;
		if (pinned[at])
			m->detached[block[at]] = true;
	}
	m->replaced += replaced;
}

/* Pins pages of the next block that no fill in progress may take away, and of some behind it. */
static void model_pin(struct model *m, u32 i, u64 from, u64 r)
{
	struct model_file *f = &m->file[i];
	u64 pages = GUESTMEMFS_BLOCK_PAGES, first, last, at, to;
	int err;

	while (from < MODEL_BLOCKS && !f->has[from])
		from++;
	to = min(from + 1 + r % 4, (u64)MODEL_BLOCKS);
	for (at = from; at < to; at++)
		if (!f->has[at] || f->pending[at] ||
		    pool_block(&m->p, i, at) != pool_block(&m->p, i, from) + (at - from))
			break;
	if (at == from || m->nr_pins == MODEL_PINS)
		return;
	first = pool_frame(&m->p, i, from * pages) + r / 4 % pages;
	last = pool_frame(&m->p, i, at * pages - 1) + 1;
	err = pool_pin_frames(&m->p, first, last);
	if (err)
		model_failed(m, err, true);
	else
		m->pins[m->nr_pins++] = (struct part){ first, last };
}

static void model_unpin(struct model *m, u64 r)
{
	struct part pin;
	u32 i;

	if (!m->nr_pins)
		return;
	pin = m->pins[r % m->nr_pins];
	m->pins[r % m->nr_pins] = m->pins[m->nr_pins - 1];
	m->nr_pins--;
	pool_unpin_frames(&m->p, pin.from, pin.to);
	for (i = 0; i < GROUP; i++)
		m->detached[i] &= model_pinned(m, i);
}

static bool model_movable(struct model *m, u32 i, u64 from, u64 nr)
{
	u64 at;

	for (at = from; at < from + nr; at++)
		if (m->file[i].has[at] && model_pinned(m, pool_block(&m->p, i, at)))
			return false;
	return !m->file[i].filling;
}

/*
 * Exchanges the blocks of two parts. The reserved blocks that are lost, less those that are got,
 * must be free: in the end, and at most up to each block on the way.
 */
static void model_move(struct model *m, u32 i, u64 from, u64 to, u64 r)
{
	u32 j = r % MODEL_FILES, room = MODEL_LIMIT - model_used(m) - model_promised(m);
	u64 nr = to - from, other = (r >> 8) % (MODEL_BLOCKS - nr + 1), at;
	struct model_file *a = &m->file[i], *b = &m->file[j];
	s32 sum = 0, peak = 0;
	int err;

	if ((i == j && from < other + nr && other < to) || !model_movable(m, i, from, nr) ||
	    !model_movable(m, j, other, nr))
		return;
	for (at = 0; at < nr; at++) {
		bool has = a->has[from + at], gets = b->has[other + at];

		sum += has == gets ? 0 : has ? !!a->held[from + at] - !!b->held[other + at] :
					       !!b->held[other + at] - !!a->held[from + at];
		peak = max(peak, sum);
	}
	shim_fail_from = 0;
	err = pool_move(&m->p, i, from, j, other, nr, false);
	if (err) {
		CHECK_EQ(err, -ENOSPC);
		CHECK(peak > (s32)room);
		m->no_room++;
		return;
	}
	CHECK(sum <= (s32)room);
	m->moved += max(sum, 0);
	for (at = 0; at < nr; at++) {
		bool has = a->has[from + at];

		a->has[from + at] = b->has[other + at];
		b->has[other + at] = has;
	}
}

static void model_convert(struct model *m, u32 i, u64 from, u64 to, u64 r)
{
	int err = pool_convert(&m->p, i, from * GUESTMEMFS_BLOCK_PAGES + r % 2,
			       to * GUESTMEMFS_BLOCK_PAGES, r / 2 % 2);

	if (err)
		model_failed(m, err, true);
}

static void model_step(struct model *m)
{
	u64 r = pool_random(&m->seed), rest = r >> 40;
	u32 i = r % MODEL_FILES, what = (r >> 8) % 48;
	u64 from = (r >> 16) % MODEL_BLOCKS;
	u64 to = min(from + 1 + (r >> 24) % ((r >> 32) % 4 ? 10 : 100), (u64)MODEL_BLOCKS);

	shim_allocations = 0;
	shim_fail_from = (r >> 60) % 4 ? 0 : 1 + (r >> 56) % 2;
	if (what < 6)
		model_reserve(m, i, from, to);
	else if (what < 11)
		model_unreserve(m, i, rest);
	else if (what < 16)
		model_fault(m, i, from, min(to, from + 3));
	else if (what >= 38)
		model_pin(m, i, from, rest);
	else if (what >= 33)
		model_unpin(m, rest);
	else if (m->file[i].filling)
		model_fill_step(m, i, rest);
	else if (what < 20)
		model_fill_begin(m, i, from, to);
	else if (what < 25)
		model_punch(m, i, from, to);
	else if (what < 29)
		model_move(m, i, from, to, rest);
	else
		model_convert(m, i, from, to, rest);
	shim_fail_from = 0;
}

/* Ends all fills and releases all reservations; no block may be promised after that. */
static void model_end(struct model *m)
{
	u32 i;

	for (i = 0; i < MODEL_FILES; i++) {
		struct model_file *f = &m->file[i];

		while (f->filling)
			model_fill_step(m, i, 0);
		while (f->nr_parts)
			model_unreserve(m, i, 0);
		CHECK_EQ(pool_covers(&m->p, i), 0);
	}
	while (m->nr_pins)
		model_unpin(m, 0);
	model_compare(m);
	CHECK_EQ(m->p.t.promised_blocks, 0);
	CHECK_EQ(m->p.t.detached.blocks, 0);
	CHECK(m->nospc > 100 && m->nomem > 20 && m->aborted > 10);
	CHECK(m->replaced > 50 && m->no_other > 0);
	CHECK(m->moved > 50 && m->no_room > 0);
}

static const u64 model_seeds[] = { 1, 2, 3, 4 };

static void model(const void *arg)
{
	const struct gmfs_limits limits = { .size = MODEL_LIMIT * 2 * MIB, .has_size = true };
	struct model *m = calloc(1, sizeof(*m));
	const char *why;
	u32 i;

	CHECK(m);
	m->seed = *(const u64 *)arg;
	pool_make_gib(&m->p, 1);
	CHECK_EQ(gmfs_limits_set(&m->p.t, &limits, false, &why), 0);
	CHECK_EQ(m->p.t.nr_blocks, GROUP);
	for (i = 0; i < MODEL_FILES; i++)
		pool_file(&m->p);
	for (i = 0; i < MODEL_STEPS; i++) {
		model_step(m);
		model_compare(m);
	}
	model_end(m);
	pool_free(&m->p);
	free(m);
}

void reserve_random_tests(void)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(model_seeds); i++)
		test_add(model, &model_seeds[i], "reservations: seed %llu",
			 (unsigned long long)model_seeds[i]);
}
