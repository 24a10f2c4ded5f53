// SPDX-License-Identifier: GPL-2.0-only
/*
 * Compares random pins, and random operations on files with pins, with a model that has a number
 * for each frame. Every run does the same operations.
 */
#include <stdlib.h>

#include <linux/xarray.h>

#include "../../../fs/guestmemfs/tables/extmap.h"
#include "states.h"

/* The frames of the comparison of counts. */
#define COUNT_FRAMES	1500
#define COUNT_PINS	60
#define COUNT_STEPS	20000

struct count_pin {
	u64 first;
	u64 last;
};

struct counts {
	struct gmfs_pins pins;
	struct count_pin pin[COUNT_PINS];
	u32 nr;
	u32 frames[COUNT_FRAMES];
	u32 nomem;
};

/* Compares the tree with the model: no range is longer or shorter than it must be. */
static void compare_counts(const struct gmfs_pins *pins, const u32 *frames, u64 from, u64 nr)
{
	MA_STATE(mas, (struct maple_tree *)&pins->counts, 0, 0);
	u64 at = 0, total = 0, i;
	void *entry;

	mas_for_each(&mas, entry, ULONG_MAX) {
		CHECK(mas.index >= from && mas.last < from + nr);
		for (; at < mas.index - from; at++)
			CHECK_EQ(frames[at], 0);
		for (i = mas.index - from; i <= mas.last - from; i++)
			CHECK_EQ(frames[i], xa_to_value(entry));
		CHECK(!at || frames[at - 1] != frames[at]);
		at = i;
		total += mas.last - mas.index + 1;
	}
	for (; at < nr; at++)
		CHECK_EQ(frames[at], 0);
	CHECK_EQ(pins->frames, total);
}

/* Compares what gmfs_pins_find() finds from @from to before @end. */
static void compare_found(const struct counts *c, u64 from, u64 end)
{
	u64 first, last, i;

	while (gmfs_pins_find(&c->pins, from, end, &first, &last)) {
		CHECK(first >= from && first < last && last <= end);
		for (i = from; i < first; i++)
			CHECK_EQ(c->frames[i], 0);
		for (i = first; i < last; i++)
			CHECK(c->frames[i]);
		from = last;
	}
	for (; from < end; from++)
		CHECK_EQ(c->frames[from], 0);
}

static void count_change(struct counts *c, const struct count_pin *pin, int more)
{
	u64 i;

	for (i = pin->first; i < pin->last; i++)
		c->frames[i] += more;
}

/* Adds a pin. What has been added before an allocation fails is removed by the caller. */
static void count_add(struct counts *c, const struct count_pin *pin)
{
	u64 at = pin->first, undo = at, i;
	int err = 1;

	while (err > 0)
		err = gmfs_pins_add(&c->pins, &at, pin->last);
	for (i = pin->first; i < at; i++)
		c->frames[i]++;
	compare_counts(&c->pins, c->frames, 0, COUNT_FRAMES);
	if (!err) {
		CHECK_EQ(at, pin->last);
		c->pin[c->nr++] = *pin;
		return;
	}
	CHECK_EQ(err, -ENOMEM);
	CHECK(shim_fail_from && at < pin->last);
	while (undo < at)
		gmfs_pins_remove(&c->pins, &undo, at);
	CHECK_EQ(undo, at);
	for (i = pin->first; i < at; i++)
		c->frames[i]--;
	c->nomem++;
}

static void count_remove(struct counts *c, u32 index)
{
	struct count_pin pin = c->pin[index];
	u64 at = pin.first;

	c->pin[index] = c->pin[--c->nr];
	while (gmfs_pins_remove(&c->pins, &at, pin.last))
		CHECK(at > pin.first && at < pin.last);
	CHECK_EQ(at, pin.last);
	count_change(c, &pin, -1);
}

static void counts_random(const void *arg)
{
	struct counts *c = calloc(1, sizeof(*c));
	u64 seed = *(const u64 *)arg, r;
	u32 i;

	CHECK(c);
	gmfs_pins_init(&c->pins);
	for (i = 0; i < COUNT_STEPS; i++) {
		struct count_pin pin;

		r = pool_random(&seed);
		pin.first = r % COUNT_FRAMES;
		pin.last = min(pin.first + 1 + (r >> 16) % ((r >> 32) % 3 ? 30 : COUNT_FRAMES),
			       (u64)COUNT_FRAMES);
		shim_allocations = 0;
		shim_fail_from = (r >> 40) % 4 ? 0 : 1 + (r >> 44) % 3;
		if (c->nr == COUNT_PINS || (c->nr && (r >> 50) % 9 < 4))
			count_remove(c, (r >> 54) % c->nr);
		else
			count_add(c, &pin);
		shim_fail_from = 0;
		compare_counts(&c->pins, c->frames, 0, COUNT_FRAMES);
		compare_found(c, pin.first, pin.last);
	}
	compare_found(c, 0, COUNT_FRAMES);
	while (c->nr)
		count_remove(c, 0);
	compare_counts(&c->pins, c->frames, 0, COUNT_FRAMES);
	CHECK(mtree_empty(&c->pins.counts) && !c->pins.frames);
	CHECK(c->nomem > 100);
	__mt_destroy(&c->pins.counts);
	CHECK_EQ(shim_unfreed, 0);
	free(c);
}

static const u64 seeds[] = { 1, 2, 3 };

/* One call changes at most GMFS_STEP_EXTENTS ranges; the caller sees how far it has come. */
static void counts_in_steps(const void *arg)
{
	const u64 nr = 1000;
	struct gmfs_pins pins;
	u64 at, i, end;
	u32 steps;

	(void)arg;
	gmfs_pins_init(&pins);
	for (i = 0; i < nr; i += 2) {
		at = i;
		CHECK_EQ(gmfs_pins_add(&pins, &at, i + 1), 0);
	}
	CHECK_EQ(pins.frames, nr / 2);
	for (at = 0, steps = 1; ; steps++) {
		int err = gmfs_pins_add(&pins, &at, nr);

		CHECK_EQ(at, min(steps * (u64)GMFS_STEP_EXTENTS, nr));
		CHECK_EQ(pins.frames, at / 2 + nr / 2);
		if (!err)
			break;
		CHECK_EQ(err, 1);
	}
	CHECK_EQ(steps, DIV_ROUND_UP(nr, GMFS_STEP_EXTENTS));
	for (at = 0, steps = 1; gmfs_pins_remove(&pins, &at, nr); steps++)
		CHECK_EQ(at, steps * GMFS_STEP_EXTENTS);
	CHECK_EQ(steps, DIV_ROUND_UP(nr, GMFS_STEP_EXTENTS));
	CHECK_EQ(pins.frames, nr / 2);
	/* No frames, and the last frame of the largest pool. */
	at = 5;
	CHECK_EQ(gmfs_pins_add(&pins, &at, 5), 0);
	CHECK(!gmfs_pins_find(&pins, 5, 5, &i, &end));
	CHECK(!gmfs_pins_find(&pins, 1, 2, &i, &end));
	at = (1ULL << 30) * PAGES - 1;
	CHECK_EQ(gmfs_pins_add(&pins, &at, at + 1), 0);
	CHECK(gmfs_pins_find(&pins, nr, 1ULL << 40, &i, &end));
	CHECK_EQ(i, (1ULL << 30) * PAGES - 1);
	CHECK_EQ(end, i + 1);
	__mt_destroy(&pins.counts);
}

/* The pool of the comparison of files: its blocks, files, and pins that may exist at a time. */
#define MODEL_BLOCKS	64
#define MODEL_FIRST	448
#define MODEL_FRAMES	(MODEL_BLOCKS * PAGES)
#define MODEL_FILES	3
#define MODEL_SIZE	40
#define MODEL_PINS	12
#define MODEL_STEPS	5000

struct model {
	struct pool p;
	u64 seed;
	u32 block[MODEL_FILES][MODEL_SIZE];
	/* Pins of each frame, and of each holder of pins. */
	u32 frames[MODEL_FRAMES];
	unsigned long pin[MODEL_PINS][MODEL_FRAMES / BITS_PER_LONG];
	u32 nr_pins;
	bool detached[MODEL_BLOCKS];
	bool unzeroed[MODEL_BLOCKS];
	u32 detaches;
	u32 settled;
	u32 nomem;
};

static bool model_pinned(const struct model *m, u32 block)
{
	u64 i, first = (block - MODEL_FIRST) * PAGES;

	for (i = first; i < first + PAGES; i++)
		if (m->frames[i])
			return true;
	return false;
}

/* Compares everything; the file @file may have got blocks from @from to before @to. */
static void model_compare(struct model *m, u32 file, u64 from, u64 to)
{
	u32 i, used = 0;
	u64 at;

	for (i = 0; i < MODEL_FILES; i++) {
		for (at = 0; at < MODEL_SIZE; at++) {
			u32 *block = &m->block[i][at], is = pool_block(&m->p, i, at);

			if (i == file && at >= from && at < to && *block == GMFS_NO_BLOCK)
				*block = is;
			CHECK_EQ(*block, is);
			used += is != GMFS_NO_BLOCK;
		}
	}
	for (i = 0; i < MODEL_BLOCKS; i++) {
		u32 block = MODEL_FIRST + i;

		CHECK_EQ(!!mtree_load(&m->p.t.detached.tree, block), m->detached[i]);
		CHECK_EQ(test_bit(block, m->p.t.unzeroed), m->unzeroed[i]);
		CHECK(!m->detached[i] || model_pinned(m, block));
		used += m->detached[i];
	}
	CHECK_EQ(m->p.t.free_blocks, MODEL_BLOCKS - used);
	compare_counts(&m->p.pins, m->frames, MODEL_FIRST * PAGES, MODEL_FRAMES);
	pool_check(&m->p);
}

static void model_fill(struct model *m, u32 file, u64 from, u64 to)
{
	u32 missing = 0, nr_free = m->p.t.free_blocks;
	u64 at;
	int err;

	for (at = from; at < to; at++)
		missing += m->block[file][at] == GMFS_NO_BLOCK;
	err = pool_fill(&m->p, file, from, to - from);
	if (missing > nr_free) {
		CHECK_EQ(err, -ENOSPC);
	} else if (err) {
		CHECK(shim_fail_from && err == -ENOMEM);
		m->nomem++;
	} else {
		shim_fail_from = 0;
		model_compare(m, file, from, to);
	}
}

/* The blocks of a part of a file are freed, or become detached. */
static void model_forget(struct model *m, u32 file, u64 from, u64 to)
{
	for (; from < to; from++) {
		u32 *block = &m->block[file][from];

		if (*block == GMFS_NO_BLOCK)
			continue;
		if (model_pinned(m, *block)) {
			m->detached[*block - MODEL_FIRST] = true;
			m->detaches++;
		} else {
			m->unzeroed[*block - MODEL_FIRST] = true;
		}
		*block = GMFS_NO_BLOCK;
	}
}

static void model_punch(struct model *m, u32 file, u64 from, u64 to)
{
	int err = pool_punch(&m->p, file, from, to - from);

	if (!err) {
		model_forget(m, file, from, to);
		return;
	}
	CHECK(shim_fail_from && err == -ENOMEM);
	m->nomem++;
}

/* Removes a file, and makes another one with the same inode number. */
static void model_replace(struct model *m, u32 file)
{
	u32 ino = m->p.ino[file], again;

	gmfs_map_clear(&m->p.t, &m->p.map[file]);
	model_forget(m, file, 0, MODEL_SIZE);
	gmfs_inode_free(&m->p.t, ino);
	pool_check(&m->p);
	CHECK_EQ(gmfs_inode_alloc(&m->p.t, S_IFREG, &again), 0);
	CHECK_EQ(again, ino);
	pool_name(&m->p, ino, GUESTMEMFS_ROOT_INO, (char[]){ 'r', '0' + file, 0 });
}

/* Pins pages of a file, which may be in several extents with holes between them. */
static void model_pin(struct model *m, u32 file, u64 first, u64 last)
{
	u64 at;
	int err;

	if (m->nr_pins == MODEL_PINS)
		return;
	err = pool_pin(&m->p, file, first, last);
	if (err) {
		CHECK(shim_fail_from && err == -ENOMEM);
		m->nomem++;
		return;
	}
	memset(m->pin[m->nr_pins], 0, sizeof(m->pin[0]));
	for (at = first; at < last; at++) {
		u32 block = m->block[file][at / PAGES];
		u64 frame = (block - MODEL_FIRST) * PAGES + at % PAGES;

		if (block == GMFS_NO_BLOCK)
			continue;
		__set_bit(frame, m->pin[m->nr_pins]);
		m->frames[frame]++;
	}
	m->nr_pins++;
}

static void model_settle(struct model *m)
{
	u32 i;

	for (i = 0; i < MODEL_BLOCKS; i++) {
		if (!m->detached[i] || model_pinned(m, MODEL_FIRST + i))
			continue;
		m->detached[i] = false;
		m->unzeroed[i] = true;
		m->settled++;
	}
}

static void model_unpin(struct model *m, u32 index)
{
	unsigned long *pin = m->pin[index];
	u64 first, last = 0, i;

	for (;;) {
		first = find_next_bit(pin, MODEL_FRAMES, last);
		if (first == MODEL_FRAMES)
			break;
		last = find_next_zero_bit(pin, MODEL_FRAMES, first);
		for (i = first; i < last; i++)
			m->frames[i]--;
		pool_unpin_frames(&m->p, MODEL_FIRST * PAGES + first, MODEL_FIRST * PAGES + last);
		model_settle(m);
	}
	memcpy(pin, m->pin[--m->nr_pins], sizeof(m->pin[0]));
}

static void model_kexec(struct model *m)
{
	memset(m->frames, 0, sizeof(m->frames));
	m->nr_pins = 0;
	pool_kexec(&m->p);
	model_settle(m);
}

/* Marks some blocks as zeroed, as faults do. */
static void model_zero(struct model *m, u32 file)
{
	u32 i;

	for (i = 0; i < MODEL_SIZE; i++) {
		if (m->block[file][i] == GMFS_NO_BLOCK)
			continue;
		clear_bit(m->block[file][i], m->p.t.unzeroed);
		m->unzeroed[m->block[file][i] - MODEL_FIRST] = false;
	}
}

static void model_convert(struct model *m, u32 file, u64 first, u64 last, bool converted)
{
	int err = pool_convert(&m->p, file, first, last, converted);

	CHECK(!err || (shim_fail_from && err == -ENOMEM));
}

static void model_step(struct model *m)
{
	u64 r = pool_random(&m->seed);
	u32 file = r % MODEL_FILES, what = (r >> 8) % 40;
	u64 from = (r >> 16) % MODEL_SIZE;
	u64 to = min(from + 1 + (r >> 24) % ((r >> 32) % 4 ? 5 : 40), (u64)MODEL_SIZE);
	u64 first = from * PAGES + (r >> 40) % PAGES;
	u64 last = min(to * PAGES, first + 1 + (r >> 49) % ((to - from) * PAGES));

	shim_allocations = 0;
	shim_fail_from = (r >> 60) % 4 ? 0 : 1 + (r >> 36) % 2;
	if (what < 11)
		model_fill(m, file, from, to);
	else if (what < 19)
		model_punch(m, file, from, to);
	else if (what < 26)
		model_pin(m, file, first, last);
	else if (what < 31 && m->nr_pins)
		model_unpin(m, (r >> 48) % m->nr_pins);
	else if (what >= 31 && what < 35)
		model_convert(m, file, first, last, r >> 7 & 1);
	shim_fail_from = 0;
	if (what == 35)
		model_zero(m, file);
	else if (what == 36)
		model_replace(m, file);
	else if (what == 37)
		pool_settle(&m->p);
	else if (what == 38)
		pool_reopen(&m->p);
	else if (what == 39 && (r >> 48) % 4 == 0)
		model_kexec(m);
}

/* Removes all files, and then all pins: the pool is as empty as at the start. */
static void model_end(struct model *m)
{
	u32 i;

	for (i = 0; i < MODEL_FILES; i++) {
		gmfs_map_clear(&m->p.t, &m->p.map[i]);
		model_forget(m, i, 0, MODEL_SIZE);
	}
	while (m->nr_pins) {
		model_unpin(m, 0);
		model_compare(m, 0, 0, 0);
	}
	CHECK_EQ(m->p.t.free_blocks, MODEL_BLOCKS);
	CHECK_EQ(m->p.t.used_slots + m->p.t.nr_blockless + m->p.t.detached.blocks, 0);
	CHECK(mtree_empty(&m->p.t.detached.tree) && mtree_empty(&m->p.pins.counts));
	CHECK(m->detaches > 200 && m->settled == m->detaches && m->nomem > 10);
}

static void files_random(const void *arg)
{
	const struct gmfs_range range = { 896 * MIB, 128 * MIB };
	struct model *m = calloc(1, sizeof(*m));
	u32 i;

	CHECK(m);
	m->seed = *(const u64 *)arg;
	pool_make(&m->p, &range, 1);
	for (i = 0; i < MODEL_FILES; i++)
		pool_file(&m->p);
	memset(m->block, 0xff, sizeof(m->block));
	memset(m->unzeroed, true, sizeof(m->unzeroed));
	for (i = 0; i < MODEL_STEPS; i++) {
		model_step(m);
		model_compare(m, 0, 0, 0);
	}
	model_end(m);
	pool_free(&m->p);
	free(m);
}

void pins_random_tests(void)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(seeds); i++)
		test_add(counts_random, &seeds[i], "pins, counts: seed %u", (u32)seeds[i]);
	TEST(counts_in_steps);
	for (i = 0; i < ARRAY_SIZE(seeds); i++)
		test_add(files_random, &seeds[i], "pins, files: seed %u", (u32)seeds[i]);
}
