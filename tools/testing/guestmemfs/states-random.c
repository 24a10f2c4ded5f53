// SPDX-License-Identifier: GPL-2.0-only
/*
 * Compares random operations on files with private and shared pages with a model that has a bit for
 * each page and a number for each block. Every run does the same operations.
 */
#include <stdlib.h>

#include "../../../fs/guestmemfs/tables/extmap.h"
#include "tables_pool.h"

#define MODEL_FILES	4
#define MODEL_BLOCKS	1600
#define MODEL_STEPS	4000
#define MODEL_PINS	24
#define PAGES		GUESTMEMFS_BLOCK_PAGES
#define MODEL_PAGES	((u64)MODEL_BLOCKS * PAGES)
#define WORDS		(PAGES / 64)

struct model_file {
	unsigned long converted[MODEL_BLOCKS * WORDS];
	/* Pages that were punched out of blocks. Those of holes mean nothing. */
	unsigned long absent[MODEL_BLOCKS * WORDS];
	u32 block[MODEL_BLOCKS];
};

/* Pinned frames, from @first to before @last. */
struct model_pin {
	u64 first;
	u64 last;
};

struct model {
	struct pool p;
	u64 seed;
	struct model_file file[MODEL_FILES];
	/* What the code has in memory of model_file.converted. */
	struct maple_tree converted[MODEL_FILES];
	bool *unzeroed;
	bool *detached;
	struct model_pin pins[MODEL_PINS];
	u32 nr_pins;
	/* How often a block has become detached. */
	u32 detaches;
	/* The numbers of entries that the tables pretend to have. */
	u32 nr_extents;
	u32 nr_maps;
	/* The other part of a move, and whether the blocks are to be zeroed. */
	u32 other;
	u64 other_from;
	bool zero;
	/* How often a mount had no memory. */
	u32 no_memory;
	/* How many blocks were moved, or exchanged. */
	u32 moved;
	u32 exchanged;
	/* How often there was no room for an extent, or for a map. */
	u32 full;
	u32 no_map;
	/* How often a block was freed with its last page, or a mount has found absent pages. */
	u32 by_page;
	u32 absences;
	/* How often there was no room for a record of absent pages. */
	u32 no_record;
};

/* Makes the tables so small that they are full now and then. */
static void model_shrink(struct model *m)
{
	m->p.t.nr_extents = m->nr_extents;
	m->p.t.nr_maps = m->nr_maps;
	m->p.t.free_maps -= le32_to_cpu(m->p.t.super->tables[GUESTMEMFS_TABLE_MAPS].entries) -
			    m->nr_maps;
}

static void model_grow(struct model *m)
{
	const struct guestmemfs_table_desc *tables = m->p.t.super->tables;

	m->p.t.nr_extents = le32_to_cpu(tables[GUESTMEMFS_TABLE_EXTENTS].entries);
	m->p.t.nr_maps = le32_to_cpu(tables[GUESTMEMFS_TABLE_MAPS].entries);
	m->p.t.free_maps += m->p.t.nr_maps - m->nr_maps;
}

/* Compares what gmfs_map_state() returns for all pages with the model. */
static void model_compare_pages(struct model *m, u32 file)
{
	const struct model_file *f = &m->file[file];
	static unsigned long seen[MODEL_BLOCKS * WORDS];
	struct gmfs_state s;
	u64 page, to, i;

	memset(seen, 0, sizeof(seen));
	for (page = 0; page < MODEL_PAGES; page = s.end) {
		gmfs_map_state(&m->p.t, &m->p.map[file], page, &s);
		CHECK(s.end > page);
		to = min(s.end, MODEL_PAGES);
		if (s.converted)
			bitmap_set(seen, page, to - page);
		for (i = page / PAGES; i <= (to - 1) / PAGES; i++)
			CHECK_EQ(s.allocated, f->block[i] != GMFS_NO_BLOCK);
		/* The answer must be for as many pages as possible. */
		i = to / PAGES;
		if (to < MODEL_PAGES && pool_extents(&m->p, file) < GROUP)
			CHECK(test_bit(to, f->converted) != s.converted ||
			      (f->block[i] != GMFS_NO_BLOCK) != s.allocated);
	}
	CHECK(!memcmp(seen, f->converted, sizeof(seen)));
}

static u32 model_character(const struct model_file *f, u64 block)
{
	const unsigned long *bits = &f->converted[block * WORDS];

	if (find_first_bit(bits, PAGES) == PAGES)
		return 0;
	return find_first_zero_bit(bits, PAGES) == PAGES ? GUESTMEMFS_EXTENT_CONVERTED :
							   GUESTMEMFS_EXTENT_MIXED;
}

/*
 * Compares the blocks of a file with the model. For new offsets the model takes over the blocks
 * that the allocator has chosen.
 */
static void model_compare_blocks(struct model *m, u32 file, u64 new_from, u64 new_to)
{
	struct model_file *f = &m->file[file];
	struct gmfs_run run;
	u64 at, i;

	for (at = 0; at < MODEL_BLOCKS; at += run.count) {
		gmfs_map_lookup(&m->p.t, &m->p.map[file], at, &run);
		for (i = at; i < at + run.count && i < MODEL_BLOCKS; i++) {
			u32 block = run.block == GMFS_NO_BLOCK ? run.block : run.block + (i - at);
			u32 flags = model_character(f, i);

			CHECK_EQ(run.flags, flags);
			CHECK_EQ(!!run.map, !!(flags & GUESTMEMFS_EXTENT_MIXED));
			if (i >= new_from && i < new_to && f->block[i] == GMFS_NO_BLOCK)
				f->block[i] = block;
			CHECK_EQ(block, f->block[i]);
		}
	}
}

static bool model_pinned(const struct model *m, u32 block)
{
	u32 i;

	for (i = 0; i < m->nr_pins; i++)
		if (m->pins[i].first / PAGES <= block && (m->pins[i].last - 1) / PAGES >= block)
			return true;
	return false;
}

/* Compares the detached blocks with the model. All of them have a pin. */
static void model_compare_detached(struct model *m)
{
	struct gmfs_spot spot;
	u64 at, i;

	for (at = 0; at < m->p.t.nr_blocks; at = spot.end) {
		gmfs_map_spot(&m->p.t, &m->p.t.detached, at, &spot);
		for (i = at; i < spot.end && i < m->p.t.nr_blocks; i++) {
			CHECK_EQ(!!spot.e, m->detached[i]);
			CHECK(!spot.e || (model_pinned(m, i) && test_bit(i, m->p.t.bitmap)));
		}
	}
}

/*
 * Compares what readers without a lock find with the model: of a mixed block all pages, of another
 * one the first and the last.
 */
static void model_compare_converted(struct model *m, u32 file)
{
	const struct model_file *f = &m->file[file];
	u64 at, page, step;

	for (at = 0; at < MODEL_BLOCKS; at++) {
		step = model_character(f, at) == GUESTMEMFS_EXTENT_MIXED ? 1 : PAGES - 1;
		for (page = at * PAGES; page < (at + 1) * PAGES; page += step)
			CHECK_EQ(gmfs_converted_has(&m->converted[file], page),
				 test_bit(page, f->converted));
	}
	CHECK(!gmfs_converted_has(&m->converted[file], MODEL_PAGES));
}

static void model_compare(struct model *m, u32 file)
{
	u32 i;

	model_compare_blocks(m, file, 0, 0);
	model_compare_converted(m, file);
	model_compare_pages(m, file);
	model_compare_detached(m);
	for (i = 0; i < m->p.t.nr_blocks; i++)
		CHECK_EQ(test_bit(i, m->p.t.unzeroed), m->unzeroed[i]);
}

/* Can one entry of this order map a part of a file? */
static bool model_serves(const struct model *m, const struct model_file *f, u64 page, u32 order)
{
	u64 first = round_down(page, 1ULL << order), block = first / PAGES, i;
	u64 count = max(1ULL, (1ULL << order) / PAGES);
	u32 character = model_character(f, block);

	if (order && character == GUESTMEMFS_EXTENT_MIXED)
		return false;
	for (i = 1; i < count; i++) {
		u32 next = f->block[block] == GMFS_NO_BLOCK ? GMFS_NO_BLOCK : f->block[block] + i;

		if (f->block[block + i] != next || model_character(f, block + i) != character)
			return false;
	}
	if (f->block[block] == GMFS_NO_BLOCK)
		return true;
	return f->block[block] % count == 0 &&
	       gmfs_block_range(&m->p.t, f->block[block]) ==
	       gmfs_block_range(&m->p.t, f->block[block + count - 1]);
}

/* Compares the largest possible entry, out of some orders, with that of the model. */
static void model_compare_entry(struct model *m, u32 file)
{
	const struct model_file *f = &m->file[file];
	u64 r = pool_random(&m->seed), page = r % round_down(MODEL_PAGES, GROUP * PAGES);
	/* The orders of a page, of a block, and of all sizes up to a group. */
	unsigned long orders = ((r >> 32) & 0x7fe01) ?: BIT(0), left = orders;
	struct gmfs_entry entry;
	bool found;

	while (left && !model_serves(m, f, page, __fls(left)))
		left &= ~BIT(__fls(left));
	found = gmfs_map_entry(&m->p.t, &m->p.map[file], page, orders, &entry);
	CHECK_EQ(found, !!left);
	if (!found)
		return;
	CHECK_EQ(entry.order, __fls(left));
	CHECK_EQ(entry.first, round_down(page, 1ULL << entry.order));
	CHECK_EQ(entry.block, f->block[entry.first / PAGES]);
	CHECK_EQ(entry.converted, test_bit(page, f->converted));
}

enum model_op { FILL, PUNCH, CONVERT, MOVE };

static int model_do(struct model *m, enum model_op op, u32 file, u64 from, u64 to, bool converted)
{
	switch (op) {
	case FILL:
		return pool_fill(&m->p, file, from, to - from);
	case PUNCH:
		return pool_punch(&m->p, file, from, to - from);
	case MOVE:
		return pool_move(&m->p, file, from, m->other, m->other_from, to - from, m->zero);
	default:
		return pool_convert(&m->p, file, from, to, converted);
	}
}

/*
 * An operation has failed with -ENOSPC: repeats it with tables of full size, to check that the
 * small ones had no room for it.
 */
static int model_again(struct model *m, enum model_op op, u32 file, u64 from, u64 to,
		       bool converted)
{
	u32 hidden = m->p.t.free_maps, states = m->p.t.nr_blockless;
	bool full, no_map;
	int err;

	model_grow(m);
	hidden = m->p.t.free_maps - hidden;
	err = model_do(m, op, file, from, to, converted);
	CHECK_EQ(err, 0);
	full = m->p.t.nr_blockless > max(states, m->nr_extents - m->p.t.total_blocks -
					      GMFS_SPARE_EXTENTS);
	no_map = m->p.t.free_maps < hidden;
	/* A move may have needed room that it has given back since. */
	CHECK(full || no_map || op == MOVE);
	m->full += full;
	m->no_map += no_map;
	/*
	 * The counts are over the bound now, so from here on they can only become smaller. The
	 * number of maps is raised, since the count of free maps must not be negative.
	 */
	if (no_map)
		m->nr_maps = m->p.t.nr_maps - m->p.t.free_maps;
	model_shrink(m);
	return err;
}

/* Does an operation, and checks the error. */
static int model_try(struct model *m, enum model_op op, u32 file, u64 from, u64 to, bool converted)
{
	u32 max_states = m->nr_extents - m->p.t.total_blocks - GMFS_SPARE_EXTENTS;
	u32 states = m->p.t.nr_blockless;
	int err;

	err = model_do(m, op, file, from, to, converted);
	if (err == -ENOMEM) {
		CHECK(shim_fail_from);
		CHECK_EQ(m->p.t.nr_blockless, states);
		return err;
	}
	if (err == -ENOSPC) {
		CHECK_EQ(m->p.t.nr_blockless, states);
		model_compare(m, file);
		/* Far over the bound, unlike in any real table, no entries are left for splits. */
		if (shim_fail_from || states + 4 > max_states + GMFS_SPARE_EXTENTS / 2)
			return err;
		return model_again(m, op, file, from, to, converted);
	}
	CHECK_EQ(err, 0);
	CHECK(m->p.t.nr_blockless <= max(states, max_states));
	return 0;
}

static u32 model_missing(const struct model_file *f, u64 from, u64 to)
{
	u32 missing = 0;

	for (; from < to; from++)
		missing += f->block[from] == GMFS_NO_BLOCK;
	return missing;
}

/* The blocks of a part of a file are freed, or become detached. */
static void model_forget(struct model *m, u32 file, u64 from, u64 to)
{
	for (; from < to; from++) {
		u32 *block = &m->file[file].block[from];

		bitmap_clear(&m->file[file].absent[from * WORDS], 0, PAGES);
		if (*block == GMFS_NO_BLOCK)
			continue;
		if (model_pinned(m, *block)) {
			CHECK(!m->detached[*block]);
			m->detached[*block] = true;
			m->detaches++;
		} else {
			m->unzeroed[*block] = true;
		}
		*block = GMFS_NO_BLOCK;
	}
}

/* Detached blocks that have no pin any more are free. */
static void model_settle(struct model *m)
{
	u32 i;

	for (i = 0; i < m->p.t.nr_blocks; i++) {
		if (!m->detached[i] || model_pinned(m, i))
			continue;
		m->detached[i] = false;
		m->unzeroed[i] = true;
	}
}

static void model_fill(struct model *m, u32 file, u64 from, u64 to)
{
	u32 missing = model_missing(&m->file[file], from, to), nr_free = m->p.t.free_blocks;

	if (missing > nr_free) {
		CHECK_EQ(pool_fill(&m->p, file, from, to - from), -ENOSPC);
		return;
	}
	if (model_try(m, FILL, file, from, to, false))
		return;
	CHECK_EQ(m->p.t.free_blocks, nr_free - missing);
	model_compare_blocks(m, file, from, to);
	CHECK_EQ(model_missing(&m->file[file], from, to), 0);
}

/* Pins some pages of contiguous blocks, the first ones from @from on. */
static void model_pin(struct model *m, u32 file, u64 from, u64 r)
{
	struct model_pin pin;
	struct gmfs_run run;
	u64 page, pages;
	int err;

	for (; from < MODEL_BLOCKS; from = run.logical + run.count) {
		gmfs_map_lookup(&m->p.t, &m->p.map[file], from, &run);
		if (run.block != GMFS_NO_BLOCK)
			break;
	}
	if (from >= MODEL_BLOCKS || m->nr_pins == MODEL_PINS)
		return;
	page = from * PAGES + r % PAGES;
	pages = min(run.count, 40ULL) * PAGES - r % PAGES;
	pin.first = pool_frame(&m->p, file, page);
	pin.last = pin.first + 1 + (r >> 9) % pages;
	err = pool_pin_frames(&m->p, pin.first, pin.last);
	if (!err) {
		m->pins[m->nr_pins++] = pin;
		return;
	}
	CHECK(shim_fail_from);
	CHECK_EQ(err, -ENOMEM);
}

static void model_unpin(struct model *m, u64 r)
{
	struct model_pin pin;

	if (!m->nr_pins)
		return;
	pin = m->pins[r % m->nr_pins];
	m->pins[r % m->nr_pins] = m->pins[m->nr_pins - 1];
	m->nr_pins--;
	pool_unpin_frames(&m->p, pin.first, pin.last);
	model_settle(m);
}

/* Converts whole blocks, a part of one, or a few pages of two or more blocks. */
static void model_convert(struct model *m, u32 file, u64 from, u64 to, u64 r)
{
	u64 first = from * PAGES, last = to * PAGES;
	bool converted = r & 1;

	if (r >> 1 & 3)
		first += (r >> 3) % PAGES;
	if (r >> 12 & 3)
		last = min(first + 1 + (r >> 14) % (4 * PAGES), MODEL_PAGES);
	first = min(first, last);
	if (model_try(m, CONVERT, file, first, last, converted))
		return;
	/* As in the kernel, where this must not fail. */
	CHECK_EQ(gmfs_converted_update(&m->converted[file], &m->p.t, &m->p.map[file],
				       first / PAGES, DIV_ROUND_UP(last, PAGES),
				       GFP_KERNEL | __GFP_NOFAIL), 0);
	if (converted)
		bitmap_set(m->file[file].converted, first, last - first);
	else
		bitmap_clear(m->file[file].converted, first, last - first);
}

static bool model_part_pinned(const struct model *m, u32 file, u64 from, u64 nr)
{
	u64 i;

	for (i = from; i < from + nr; i++)
		if (m->file[file].block[i] != GMFS_NO_BLOCK &&
		    model_pinned(m, m->file[file].block[i]))
			return true;
	return false;
}

/* Exchanges the blocks of two parts, if no block has a pin. Characters stay where they are. */
static void model_move(struct model *m, u32 file, u64 from, u64 to, u64 r)
{
	u64 nr = to - from, i;

	m->other = r % MODEL_FILES;
	m->other_from = (r >> 8) % (MODEL_BLOCKS - nr + 1);
	m->zero = r >> 62;
	if (m->other == file && m->other_from <= to && from <= m->other_from + nr)
		return;
	if (model_part_pinned(m, file, from, nr) ||
	    model_part_pinned(m, m->other, m->other_from, nr))
		return;
	if (model_try(m, MOVE, file, from, to, false))
		return;
	for (i = 0; i < nr; i++) {
		u32 *a = &m->file[file].block[from + i];
		u32 *b = &m->file[m->other].block[m->other_from + i], block;
		unsigned long *gone = &m->file[file].absent[(from + i) * WORDS];
		unsigned long *too = &m->file[m->other].absent[(m->other_from + i) * WORDS];
		unsigned long pages[WORDS];

		memcpy(pages, gone, sizeof(pages));
		memcpy(gone, too, sizeof(pages));
		memcpy(too, pages, sizeof(pages));
		if (m->zero && *a != GMFS_NO_BLOCK)
			m->unzeroed[*a] = true;
		if (m->zero && *b != GMFS_NO_BLOCK)
			m->unzeroed[*b] = true;
		m->moved += (*a == GMFS_NO_BLOCK) != (*b == GMFS_NO_BLOCK);
		m->exchanged += *a != GMFS_NO_BLOCK && *b != GMFS_NO_BLOCK;
		block = *a;
		*a = *b;
		*b = block;
	}
	model_compare(m, m->other);
}

/* Punches pages of a block. */
static void model_punch_pages_of(struct model *m, u32 file, u64 at, u64 r)
{
	unsigned long *absent = &m->file[file].absent[at * WORDS];
	u32 first = r % PAGES, count = 1 + (r >> 9) % (r >> 40 & 1 ? PAGES : 8);

	bitmap_set(absent, first, min(count, PAGES - first));
	/* The last page would seldom go by chance. */
	if (!(r >> 41 & 7))
		bitmap_set(absent, 0, PAGES);
	if (find_first_zero_bit(absent, PAGES) < PAGES ||
	    model_try(m, PUNCH, file, at, at + 1, false))
		return;
	model_forget(m, file, at, at + 1);
	m->by_page++;
}

/* Punches pages of the first block from @at on. With the last one, the block is free. */
static void model_punch_pages(struct model *m, u32 file, u64 at, u64 r)
{
	struct gmfs_run run = {};

	for (; at < MODEL_BLOCKS; at += run.count) {
		gmfs_map_lookup(&m->p.t, &m->p.map[file], at, &run);
		if (run.block != GMFS_NO_BLOCK)
			break;
	}
	if (at < MODEL_BLOCKS)
		model_punch_pages_of(m, file, at, r);
}

static void model_punch_some(struct model *m, u32 file, u64 at)
{
	u32 i;

	for (i = 0; i < 8; i++)
		model_punch_pages(m, file, at + 7 * i, pool_random(&m->seed));
}

/*
 * Writes records of all absent pages, as before a kexec, with room for @room of them. Blocks that
 * get none have no absent page at the next mount.
 */
static void model_write_absent(struct model *m, u32 room)
{
	u32 maps = m->p.t.nr_maps, file;
	u64 i;

	while (gmfs_absent_trim(&m->p.t))
		;
	m->p.t.nr_maps = min(maps, le32_to_cpu(m->p.t.super->live.used_maps) + room);
	for (file = 0; file < MODEL_FILES; file++)
		for (i = 0; i < MODEL_BLOCKS; i++) {
			unsigned long *absent = &m->file[file].absent[i * WORDS], *bits;

			if (m->file[file].block[i] == GMFS_NO_BLOCK ||
			    find_first_bit(absent, PAGES) == PAGES)
				continue;
			bits = gmfs_absent_record(&m->p.t, &m->p.map[file], i);
			CHECK(bits || gmfs_absent_room(&m->p.t) ==
				      le32_to_cpu(m->p.t.super->live.nr_absent));
			m->no_record += !bits;
			if (bits)
				memcpy(bits, absent, WORDS * sizeof(long));
			else
				bitmap_clear(absent, 0, PAGES);
		}
	m->p.t.nr_maps = maps;
	gmfs_absent_seal(&m->p.t);
}

/* Reads the records, which are those that model_write_absent() has written. */
static void model_read_absent(struct model *m)
{
	u32 nr = gmfs_absent_records(&m->p.t), i, file, all = 0;
	struct gmfs_absence a;
	u64 at;

	for (i = 0; i < nr; i++) {
		gmfs_absent_read(&m->p.t, i, &a);
		for (file = 0; m->p.ino[file] != a.ino; file++)
			CHECK(file + 1 < MODEL_FILES);
		CHECK(a.logical < MODEL_BLOCKS);
		CHECK(!memcmp(a.pages, &m->file[file].absent[a.logical * WORDS],
			      WORDS * sizeof(long)));
	}
	for (file = 0; file < MODEL_FILES; file++)
		for (at = 0; at < MODEL_BLOCKS; at++)
			all += m->file[file].block[at] != GMFS_NO_BLOCK &&
			       find_first_bit(&m->file[file].absent[at * WORDS], PAGES) < PAGES;
	CHECK_EQ(nr, all);
	m->absences += nr;
	gmfs_absent_unwrite(&m->p.t);
}

static void model_clear(struct model *m, u32 file)
{
	struct model_file *f = &m->file[file];

	gmfs_map_clear(&m->p.t, &m->p.map[file]);
	gmfs_converted_free(&m->converted[file]);
	model_forget(m, file, 0, MODEL_BLOCKS);
	memset(f->converted, 0, sizeof(f->converted));
}

/* What a mount does. It may run out of memory, and then frees what it has made. */
static void model_load(struct model *m, u32 file)
{
	int err;

	do {
		shim_allocations = 0;
		shim_fail_from = pool_random(&m->seed) % 4;
		err = gmfs_converted_update(&m->converted[file], &m->p.t, &m->p.map[file], 0,
					    GMFS_MAX_LOGICAL, GFP_KERNEL);
		if (err)
			gmfs_converted_free(&m->converted[file]);
		m->no_memory += !!err;
	} while (err);
	shim_fail_from = 0;
}

/* The next mount finds the same state. Behind a kexec it finds no pins. */
static void model_reopen(struct model *m, bool kexec)
{
	u32 i;

	model_grow(m);
	model_write_absent(m, pool_random(&m->seed) & 3 ? U32_MAX / 2 : 16);
	if (kexec) {
		pool_kexec(&m->p);
		m->nr_pins = 0;
		model_settle(m);
	} else {
		pool_reopen(&m->p);
	}
	model_read_absent(m);
	model_shrink(m);
	for (i = 0; i < MODEL_FILES; i++) {
		gmfs_converted_free(&m->converted[i]);
		model_load(m, i);
		model_compare(m, i);
	}
}

static void model_check(struct model *m)
{
	model_grow(m);
	pool_check(&m->p);
	model_shrink(m);
}

static void model_step(struct model *m)
{
	u64 r = pool_random(&m->seed);
	u32 file = r % MODEL_FILES, what = (r >> 8) % 64;
	u64 size = (r >> 16) % 4 ? 24 : 900;
	u64 from = (r >> 20) % MODEL_BLOCKS;
	u64 to = min(from + 1 + (r >> 40) % size, (u64)MODEL_BLOCKS);
	u32 i;

	/* Sometimes begin at a group. */
	if ((r >> 60) < 3)
		from = round_down(from, (u64)GROUP);
	shim_allocations = 0;
	shim_fail_from = (r >> 55) % 8 ? 0 : 1 + (r >> 58) % 2;
	/* To undo a failed operation takes entries, which there are not over the bound. */
	if (m->p.t.nr_blockless + GMFS_SPARE_EXTENTS > m->nr_extents - m->p.t.total_blocks)
		shim_fail_from = 0;
	if (what < 16)
		model_fill(m, file, from, to);
	else if (what < 26 && !model_try(m, PUNCH, file, from, to, false))
		model_forget(m, file, from, to);
	else if (what >= 26 && what < 34)
		model_pin(m, file, from, pool_random(&m->seed));
	else if (what >= 34 && what < 38)
		model_unpin(m, pool_random(&m->seed));
	else if (what >= 38 && what < 46)
		model_move(m, file, from, to, pool_random(&m->seed));
	else if (what >= 46 && what < 56)
		model_convert(m, file, from, to, pool_random(&m->seed));
	else if (what >= 56 && what < 60)
		model_punch_some(m, file, from);
	shim_fail_from = 0;
	if (what == 60)
		model_clear(m, file);
	else if (what > 60)
		model_reopen(m, what == 63);
	model_compare(m, file);
	for (i = 0; i < 8; i++)
		model_compare_entry(m, file);
	model_check(m);
}

static void model_make(struct model *m, u64 seed)
{
	const struct gmfs_range ranges[] = {
		{ 640 * MIB, 384 * MIB }, { 2 * GIB, GIB }, { 5 * GIB - 128 * MIB, 1280 * MIB },
	};
	u32 i;

	m->seed = seed;
	for (i = 0; i < MODEL_FILES; i++)
		memset(m->file[i].block, 0xff, sizeof(m->file[i].block));
	pool_make(&m->p, ranges, ARRAY_SIZE(ranges));
	for (i = 0; i < MODEL_FILES; i++) {
		pool_file(&m->p);
		gmfs_converted_init(&m->converted[i]);
	}
	m->unzeroed = calloc(m->p.t.nr_blocks, sizeof(*m->unzeroed));
	m->detached = calloc(m->p.t.nr_blocks, sizeof(*m->detached));
	CHECK(m->unzeroed && m->detached);
	for (i = 0; i < m->p.t.nr_blocks; i++)
		m->unzeroed[i] = test_bit(i, m->p.t.unzeroed);
}

/* Removes all files and then all pins, after which the pool is empty. */
static void model_end(struct model *m)
{
	u32 i;

	for (i = 0; i < MODEL_FILES; i++)
		model_clear(m, i);
	CHECK_EQ(m->p.t.free_blocks + m->p.t.detached.blocks, m->p.t.total_blocks);
	while (m->nr_pins)
		model_unpin(m, 0);
	model_compare_detached(m);
	model_check(m);
	CHECK_EQ(m->p.t.free_blocks, m->p.t.total_blocks);
	CHECK_EQ(m->p.t.used_slots, 0);
}

struct model_case {
	const char *name;
	u64 seed;
	/* The room for extents without blocks, and for maps. */
	u32 states;
	u32 maps;
};

static const struct model_case model_cases[] = {
	{ "seed 1", 1, 1000, 1000 },
	{ "seed 2", 2, 1000, 1000 },
	{ "few extents", 3, 12, 1000 },
	{ "no extents", 4, 0, 1000 },
	{ "few maps", 5, 1000, 8 },
};

static void model(const void *arg)
{
	const struct model_case *c = arg;
	struct model *m = calloc(1, sizeof(*m));
	u32 i;

	CHECK(m);
	model_make(m, c->seed);
	m->nr_extents = m->p.t.total_blocks + c->states + GMFS_SPARE_EXTENTS;
	m->nr_maps = c->maps + 1;
	model_shrink(m);
	for (i = 0; i < MODEL_STEPS; i++)
		model_step(m);
	/* The tables must have been full often, or hardly ever, as the case says. */
	CHECK_EQ(m->full > 10, c->states < 100);
	CHECK_EQ(m->no_map > 10, c->maps < 100);
	CHECK(m->detaches > 100);
	CHECK(m->no_memory > 10);
	CHECK(m->moved > 300 && m->exchanged > 300);
	CHECK(m->by_page > 50 && m->absences > 500 && m->no_record > 10);
	model_end(m);
	pool_free(&m->p);
	free(m->unzeroed);
	free(m->detached);
	free(m);
}

void states_random_tests(void)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(model_cases); i++)
		test_add(model, &model_cases[i], "states, random: %s", model_cases[i].name);
}
