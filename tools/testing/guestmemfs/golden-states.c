// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests the golden images with converted offsets, detached blocks and persistent pins, and with
 * absent pages as well: the code still reads them, finds the same contents in them, and writes the
 * same bytes. See golden.c.
 */
#include <linux/crc32c.h>

#include "golden.h"

#define ALLOCATED	GUESTMEMFS_EXTENT_ALLOCATED
#define CONVERTED	GUESTMEMFS_EXTENT_CONVERTED
#define MIXED		GUESTMEMFS_EXTENT_MIXED
#define PAGES		((u64)GUESTMEMFS_BLOCK_PAGES)
#define LAST		(GMFS_MAX_LOGICAL - 1)

/* The image, and its files as a kernel loads them. */
struct image {
	struct golden g;
	struct pool p;
};

static void image_open_file(struct image *m, const char *file, const u32 *inos, u32 nr)
{
	struct gmfs_complaint c = {};
	struct gmfs_index index;
	u32 i;

	memset(m, 0, sizeof(*m));
	gmfs_pins_init(&m->p.pins);
	gmfs_persist_init(&m->p.persist);
	golden_load(&m->g, file);
	if (gmfs_format_open(&m->p.t, m->g.meta, GOLDEN_META_BASE, m->g.meta_size, &c) ||
	    gmfs_check(&m->p.t, &index, &c))
		FAIL("refused: %s %llu %s", c.table, c.entry, c.what);
	m->p.t.pins = &m->p.pins;
	m->p.t.persist = &m->p.persist;
	CHECK_EQ(gmfs_alloc_init(&m->p.t), 0);
	CHECK_EQ(pool_load_pins(&m->p.t), 0);
	pool_load_detached(&m->p, &index);
	for (i = 0; i < nr; i++) {
		m->p.ino[i] = inos[i];
		pool_load_map(&m->p, i, &index);
	}
	m->p.nr_files = nr;
	gmfs_index_free(&index);
}

static void image_open(struct image *m, const u32 *inos, u32 nr)
{
	image_open_file(m, GOLDEN_STATES_FILE, inos, nr);
}

static void image_close(struct image *m)
{
	u32 i;

	for (i = 0; i < m->p.nr_files; i++)
		gmfs_map_destroy(&m->p.map[i]);
	gmfs_alloc_exit(&m->p.t);
	pool_end_pins(&m->p);
	golden_free(&m->g);
}

/* The image file has not changed since it was committed. */
static void golden_states_are_kept(const void *arg)
{
	struct golden g;

	(void)arg;
	golden_load(&g, GOLDEN_STATES_FILE);
	CHECK_EQ(g.meta_size, 8 * MIB);
	CHECK_EQ(crc32c(~0U, g.meta, g.meta_size), 0x240dfd9c);
	golden_free(&g);
}

static void golden_absent_is_kept(const void *arg)
{
	struct golden g;

	(void)arg;
	golden_load(&g, GOLDEN_ABSENT_FILE);
	CHECK_EQ(g.meta_size, 8 * MIB);
	CHECK_EQ(crc32c(~0U, g.meta, g.meta_size), 0xb6fa136c);
	golden_free(&g);
}

static void image_is_written(enum golden_kind kind, const char *file)
{
	struct golden now, then;
	size_t at;

	golden_make(&now, kind);
	golden_load(&then, file);
	CHECK_EQ(now.meta_size, then.meta_size);
	for (at = 0; at < then.meta_size; at++)
		if (now.meta[at] != then.meta[at])
			FAIL("byte %#zx is now written as %#x, not %#x; see golden.c", at,
			     now.meta[at], then.meta[at]);
	golden_free(&now);
	golden_free(&then);
}

static void golden_states_are_written(const void *arg)
{
	(void)arg;
	image_is_written(GOLDEN_STATES, GOLDEN_STATES_FILE);
}

static void golden_absent_is_written(const void *arg)
{
	(void)arg;
	image_is_written(GOLDEN_ABSENT, GOLDEN_ABSENT_FILE);
}

static void golden_states_counts(const void *arg)
{
	struct image m;

	(void)arg;
	image_open(&m, NULL, 0);
	CHECK(m.p.t.has_states && !m.p.t.read_only);
	CHECK_EQ(le32_to_cpu(m.p.t.super->feature_incompat), 3);
	CHECK_EQ(le32_to_cpu(m.p.t.super->live.used_maps), 8);
	CHECK_EQ(m.p.t.free_maps, 1344 - 1 - 6);
	CHECK_EQ(m.p.t.nr_blockless, 7);
	CHECK_EQ(le32_to_cpu(m.p.t.inodes[4].flags), 12);
	CHECK_EQ(le32_to_cpu(m.p.t.inodes[5].flags), 8);
	CHECK_EQ(le32_to_cpu(m.p.t.inodes[7].flags), 7);
	image_close(&m);
}

/* The state of the pages of each file (an index of golden_files[]), up to the next entry. */
static const struct golden_state {
	u32 file;
	u64 page;
	u32 flags;
} golden_states[] = {
	{ 0, 0, ALLOCATED },
	{ 0, 10 * PAGES + 7, ALLOCATED | CONVERTED },
	{ 0, 10 * PAGES + 10, ALLOCATED },
	{ 0, 20 * PAGES, ALLOCATED | CONVERTED },
	{ 0, 22 * PAGES, CONVERTED },
	{ 0, 24 * PAGES, ALLOCATED | CONVERTED },
	{ 0, 25 * PAGES, ALLOCATED },
	{ 0, 100 * PAGES, CONVERTED },
	{ 0, 101 * PAGES, ALLOCATED },
	{ 0, 200 * PAGES + 500, ALLOCATED | CONVERTED },
	{ 0, 201 * PAGES, CONVERTED },
	{ 0, 202 * PAGES, ALLOCATED | CONVERTED },
	{ 0, 202 * PAGES + 76, ALLOCATED },
	{ 0, 300 * PAGES, 0 },
	{ 0, 302 * PAGES, ALLOCATED },
	{ 0, 512 * PAGES, 0 },
	{ 1, 60 * PAGES, 0 },
	{ 1, 65 * PAGES, ALLOCATED },
	{ 1, 70 * PAGES, 0 },
	{ 1, 72 * PAGES, ALLOCATED },
	{ 2, 0, CONVERTED },
	{ 2, 512 * PAGES, 0 },
	{ 2, LAST * PAGES + 511, CONVERTED },
	{ 3, 0, 0 },
	{ 3, 1, CONVERTED },
	{ 3, 1 * PAGES, ALLOCATED },
	{ 3, 3 * PAGES, 0 },
	{ 4, 5 * PAGES, ALLOCATED },
	{ 4, 8 * PAGES, 0 },
	{ 4, LAST * PAGES, ALLOCATED | CONVERTED },
	{ 5, 0, ALLOCATED },
	{ 5, PAGES, 0 },
	{ 5, 7 * PAGES + 511, CONVERTED },
};

static const u32 golden_files[] = { 4, 5, 6, 7, 9, 11 };

static void golden_states_are(const void *arg)
{
	struct gmfs_state s;
	struct image m;
	u32 i;

	(void)arg;
	image_open(&m, golden_files, ARRAY_SIZE(golden_files));
	for (i = 0; i < ARRAY_SIZE(golden_states); i++) {
		const struct golden_state *want = &golden_states[i], *next = want + 1;

		gmfs_map_state(&m.p.t, &m.p.map[want->file], want->page, &s);
		CHECK_EQ(s.converted, !!(want->flags & CONVERTED));
		CHECK_EQ(s.allocated, !!(want->flags & ALLOCATED));
		if (i + 1 < ARRAY_SIZE(golden_states) && next->file == want->file)
			CHECK_EQ(s.end, next->page);
	}
	image_close(&m);
}

/* The blocks of the runs, and the maps of mixed ones. */
static const struct golden_run {
	u32 file;
	u64 logical;
	u32 block;
	u32 flags;
	u32 map;
} golden_runs[] = {
	{ 0, 10, 522, MIXED, 1 },
	{ 0, 20, 532, CONVERTED, 0 },
	{ 0, 22, GMFS_NO_BLOCK, CONVERTED, 0 },
	{ 0, 200, 712, MIXED, 3 },
	{ 0, 201, GMFS_NO_BLOCK, CONVERTED, 0 },
	{ 0, 202, 714, MIXED, 2 },
	{ 0, 301, GMFS_NO_BLOCK, 0, 0 },
	{ 1, 62, GMFS_NO_BLOCK, 0, 0 },
	{ 1, 63, GMFS_NO_BLOCK, 0, 0 },
	{ 2, 511, GMFS_NO_BLOCK, CONVERTED, 0 },
	{ 2, LAST, GMFS_NO_BLOCK, MIXED, 4 },
	{ 3, 0, GMFS_NO_BLOCK, MIXED, 5 },
	{ 4, LAST, 1343, CONVERTED, 0 },
	{ 5, 0, 450, 0, 0 },
	{ 5, 7, GMFS_NO_BLOCK, MIXED, 7 },
};

static void golden_runs_are(const void *arg)
{
	struct gmfs_run run;
	struct image m;
	u32 i;

	(void)arg;
	image_open(&m, golden_files, ARRAY_SIZE(golden_files));
	for (i = 0; i < ARRAY_SIZE(golden_runs); i++) {
		const struct golden_run *want = &golden_runs[i];

		gmfs_map_lookup(&m.p.t, &m.p.map[want->file], want->logical, &run);
		CHECK_EQ(run.block, want->block);
		CHECK_EQ(run.flags, want->flags);
		CHECK_EQ(run.map, want->map);
	}
	image_close(&m);
}

static const struct golden_detached {
	u32 block;
	u32 count;
} golden_detached[] = { { 509, 3 }, { 534, 2 }, { 713, 1 }, { 1152, 2 }, { 1159, 2 } };

static void golden_detached_are(const void *arg)
{
	struct gmfs_run run;
	struct image m;
	u32 i;

	(void)arg;
	image_open(&m, golden_files, ARRAY_SIZE(golden_files));
	CHECK_EQ(map_extents(&m.p.t.detached), ARRAY_SIZE(golden_detached));
	for (i = 0; i < ARRAY_SIZE(golden_detached); i++) {
		const struct golden_detached *want = &golden_detached[i];

		gmfs_map_lookup(&m.p.t, &m.p.t.detached, want->block, &run);
		CHECK_EQ(run.block, want->block);
		CHECK_EQ(run.count, want->count);
		CHECK_EQ(run.flags, GUESTMEMFS_EXTENT_DETACHED);
	}
	image_close(&m);
}

static const struct golden_pin {
	u64 frame;
	u64 count;
	u32 ino;
} golden_pins[] = {
	{ 512 * PAGES + 1, 1, 4 }, { 714 * PAGES, 512, 4 }, { 1159 * PAGES + 500, 600, 5 },
};

static void golden_pins_are(const void *arg)
{
	u64 first, last;
	struct image m;
	u32 i;

	(void)arg;
	image_open(&m, golden_files, ARRAY_SIZE(golden_files));
	CHECK_EQ(le32_to_cpu(m.p.t.super->live.used_pins), ARRAY_SIZE(golden_pins));
	CHECK_EQ(m.p.t.nr_pins, 1344);
	CHECK_EQ(m.p.persist.inherited, 1 + 512 + 600);
	for (i = 0; i < ARRAY_SIZE(golden_pins); i++) {
		const struct golden_pin *want = &golden_pins[i];
		const struct guestmemfs_pin *pin = &m.p.t.pin_records[i];

		CHECK_EQ(le64_to_cpu(pin->frame), want->frame);
		CHECK_EQ(le64_to_cpu(pin->count), want->count);
		CHECK_EQ(le32_to_cpu(pin->ino), want->ino);
		CHECK(gmfs_pins_find(&m.p.pins, want->frame - 1, want->frame + 1000, &first,
				     &last));
		CHECK_EQ(first, want->frame);
		CHECK_EQ(last, want->frame + want->count);
	}
	image_close(&m);
}

/*
 * A kernel that mounts the pool for writing frees the detached blocks without pins, and no
 * others.
 */
static void golden_states_are_dropped(const void *arg)
{
	struct image m;
	u32 nr_free;

	(void)arg;
	image_open(&m, golden_files, ARRAY_SIZE(golden_files));
	nr_free = m.p.t.free_blocks;
	pool_check(&m.p);
	pool_settle(&m.p);
	CHECK_EQ(m.p.t.free_blocks, nr_free + 2 + 1 + 5);
	pool_check(&m.p);
	image_close(&m);
}

/* The absent pages of each record, from @first to before @end. */
static const struct golden_absent {
	u32 ino;
	u64 logical;
	u32 first;
	u32 end;
	u32 pages;
} golden_absent[] = {
	{ 4, 3, 0, 512, 2 }, { 4, 200, 17, 317, 300 }, { 9, LAST, 0, 512, 512 },
	{ 11, 0, 1, 512, 511 },
};

static void golden_absent_are(const void *arg)
{
	struct gmfs_absence a;
	struct image m;
	u32 i;

	(void)arg;
	image_open_file(&m, GOLDEN_ABSENT_FILE, golden_files, ARRAY_SIZE(golden_files));
	CHECK_EQ(gmfs_absent_records(&m.p.t), ARRAY_SIZE(golden_absent));
	CHECK_EQ(le32_to_cpu(m.p.t.super->live.absent_hop), 4);
	CHECK_EQ(gmfs_absent_room(&m.p.t), (1344 - 8) * 64 / 72);
	for (i = 0; i < ARRAY_SIZE(golden_absent); i++) {
		const struct golden_absent *want = &golden_absent[i];

		gmfs_absent_read(&m.p.t, i, &a);
		CHECK_EQ(a.ino, want->ino);
		CHECK_EQ(a.logical, want->logical);
		CHECK_EQ(find_first_bit(a.pages, PAGES), want->first);
		CHECK_EQ(find_last_bit(a.pages, PAGES), want->end - 1);
		CHECK_EQ(bitmap_weight(a.pages, PAGES), want->pages);
	}
	image_close(&m);
}

void golden_states_tests(void)
{
	TEST(golden_absent_is_kept);
	TEST(golden_absent_is_written);
	TEST(golden_absent_are);
	TEST(golden_states_are_kept);
	TEST(golden_states_are_written);
	TEST(golden_states_counts);
	TEST(golden_states_are);
	TEST(golden_runs_are);
	TEST(golden_detached_are);
	TEST(golden_pins_are);
	TEST(golden_states_are_dropped);
}
