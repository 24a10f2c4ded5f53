// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests persistent pins, and every rule of gmfs_check() for the pin table. The comparison with a
 * model is in persist-random.c.
 */
#include "../../../fs/guestmemfs/tables/extmap.h"
#include "persist.h"
#include "states.h"

#define MANY	10000U

/* How many ranges a file may have. */
static u32 persist_max = MANY;

int persist_pages(struct pool *p, u32 file, u64 first, u64 last)
{
	u64 at, next, frame;
	int err;

	/* One block at a time, as the blocks of a file need not be adjacent. */
	for (; first < last; first = next) {
		next = min(last, (first / PAGES + 1) * PAGES);
		frame = pool_frame(p, file, first);
		err = pool_pin_frames(p, frame, frame + (next - first));
		if (err)
			return err;
		at = frame;
		do {
			err = gmfs_persist_add(&p->t, &at, frame + (next - first), p->ino[file],
					       persist_max);
		} while (err > 0);
		if (err) {
			pool_unpin_frames(p, at, frame + (next - first));
			return err;
		}
	}
	return 0;
}

int persist_remove(struct pool *p, u64 first, u64 last, u32 ino, bool inherited)
{
	u64 at = first;
	int err;

	do {
		err = gmfs_persist_remove(&p->t, &at, last, ino, inherited);
	} while (err > 0);
	pool_settle(p);
	return err;
}

void persist_drop(struct pool *p, u32 ino)
{
	pool_drop_pins(p, ino);
	pool_settle(p);
}

static bool has_flag(const struct pool *p, u32 file)
{
	return le32_to_cpu(p->t.inodes[p->ino[file]].flags) & GUESTMEMFS_INODE_PINS;
}

/* A pin of some pages of three blocks: the blocks outlive their file's punch, and a kexec. */
static void persist_over_kexec(const void *arg)
{
	const bool punch = *(const bool *)arg;
	struct pool p;
	u32 a, block;
	u64 frame;

	a = states_pool(&p, 1);
	CHECK_EQ(pool_fill(&p, a, 0, 10), 0);
	block = pool_block(&p, a, 0);
	frame = block * PAGES + 3 * PAGES;
	CHECK_EQ(persist_pages(&p, a, 3 * PAGES + 500, 5 * PAGES + 7), 0);
	CHECK_EQ(p.persist.frames, 12 + PAGES + 7);
	CHECK_EQ(p.persist.inherited, 0);
	CHECK_EQ(p.pins.frames, p.persist.frames);
	CHECK(p.t.has_pins && has_flag(&p, a));
	CHECK_EQ(le32_to_cpu(p.t.super->feature_incompat) & GUESTMEMFS_FEATURE_INCOMPAT_PINS,
		 GUESTMEMFS_FEATURE_INCOMPAT_PINS);
	if (punch) {
		CHECK_EQ(pool_punch(&p, a, 0, 10), 0);
		CHECK_EQ(p.t.detached.blocks, 3);
	}
	pool_check(&p);
	pool_kexec(&p);
	CHECK_EQ(le32_to_cpu(p.t.super->live.used_pins), 1);
	CHECK_EQ(p.persist.frames, 12 + PAGES + 7);
	CHECK_EQ(p.persist.inherited, p.persist.frames);
	CHECK_EQ(p.pins.frames, p.persist.frames);
	CHECK_EQ(p.t.free_blocks, GROUP - (punch ? 3 : 10));
	/* Its file cannot get the memory back by a punch, either. */
	if (!punch)
		CHECK_EQ(pool_punch(&p, a, 0, 10), 0);
	CHECK_EQ(p.t.detached.blocks, 3);
	/* And again, with what is inherited: nobody has claimed it. */
	pool_kexec(&p);
	CHECK_EQ(p.persist.inherited, 12 + PAGES + 7);
	CHECK_EQ(p.t.free_blocks, GROUP - 3);
	/* The frame before, and the one behind, are not pinned; this one is, and is claimed. */
	CHECK_EQ(persist_remove(&p, frame, frame + 500, 0, true), 0);
	CHECK_EQ(p.t.free_blocks, GROUP - 3);
	CHECK_EQ(persist_remove(&p, frame + 500, frame + PAGES, 0, true), 0);
	CHECK_EQ(p.t.free_blocks, GROUP - 2);
	CHECK_EQ(persist_remove(&p, frame + 2 * PAGES + 6, frame + 3 * PAGES, p.ino[a], false), 0);
	CHECK_EQ(p.t.free_blocks, GROUP - 2);
	/* Of another file: it has no pin. */
	CHECK_EQ(persist_remove(&p, frame, frame + 3 * PAGES, p.ino[a] + 1, false), 0);
	CHECK_EQ(p.persist.frames, PAGES + 6);
	pool_check(&p);
	persist_drop(&p, p.ino[a]);
	CHECK(!has_flag(&p, a));
	CHECK_EQ(p.t.free_blocks, GROUP);
	CHECK_EQ(p.pins.frames + p.persist.frames + p.persist.inherited + p.persist.nr, 0);
	pool_check(&p);
	pool_kexec(&p);
	CHECK_EQ(p.t.free_blocks, GROUP);
	pool_free(&p);
}

static const bool persist_kinds[] = { false, true };

/* A frame has one persistent pin, however often its file pins it. */
static void persist_twice(const void *arg)
{
	struct pool p;
	u64 frame;
	u32 a;

	(void)arg;
	a = states_pool(&p, 1);
	CHECK_EQ(pool_fill(&p, a, 0, 4), 0);
	frame = pool_frame(&p, a, 0);
	CHECK_EQ(persist_pages(&p, a, 10, 20), 0);
	CHECK_EQ(persist_pages(&p, a, 30, 40), 0);
	CHECK_EQ(p.persist.nr, 2);
	CHECK_EQ(persist_pages(&p, a, 5, 35), 0);
	CHECK_EQ(p.persist.nr, 1);
	CHECK_EQ(p.persist.frames, 35);
	CHECK_EQ(persist_pages(&p, a, 0, 600), 0);
	CHECK_EQ(p.persist.frames, 600);
	pool_check(&p);
	/* A second pin, of a device, stays. */
	CHECK_EQ(pool_pin_frames(&p, frame + 100, frame + 110), 0);
	persist_drop(&p, p.ino[a]);
	CHECK_EQ(p.pins.frames, 10);
	pool_unpin_frames(&p, frame + 100, frame + 110);
	CHECK_EQ(p.pins.frames, 0);
	/* Pinned again in the next kernel, a part is not inherited any more. */
	CHECK_EQ(persist_pages(&p, a, 0, 600), 0);
	pool_kexec(&p);
	CHECK_EQ(persist_pages(&p, a, 100, 200), 0);
	CHECK_EQ(p.persist.frames, 600);
	CHECK_EQ(p.persist.inherited, 500);
	CHECK_EQ(p.persist.nr, 3);
	CHECK_EQ(p.pins.frames, 600);
	pool_check(&p);
	CHECK_EQ(persist_remove(&p, frame, frame + 2 * PAGES, 0, true), 0);
	CHECK_EQ(p.persist.frames, 100);
	CHECK_EQ(p.persist.inherited, 0);
	/* In the table they are of one kind: of the kernel before. */
	CHECK_EQ(persist_pages(&p, a, 200, 300), 0);
	pool_kexec(&p);
	CHECK_EQ(p.persist.inherited, 200);
	CHECK_EQ(p.persist.nr, 1);
	pool_check(&p);
	pool_free(&p);
}

/* Many ranges: all functions take more than one step. */
static void persist_in_steps(const void *arg)
{
	struct pool p;
	u64 at, frame;
	u32 a, b, i, nr;

	(void)arg;
	a = states_pool(&p, 1);
	b = pool_file(&p);
	CHECK_EQ(pool_fill(&p, a, 0, 10), 0);
	CHECK_EQ(pool_fill(&p, b, 0, 1), 0);
	frame = pool_frame(&p, a, 0);
	for (i = 0; i < 1000; i++)
		CHECK_EQ(persist_pages(&p, a, 4 * i, 4 * i + 1), 0);
	CHECK_EQ(persist_pages(&p, b, 3, 7), 0);
	CHECK_EQ(p.persist.nr, 1001);
	nr = 0;
	at = 0;
	CHECK(gmfs_persist_write(&p.t, &at, &nr));
	CHECK_EQ(nr, GMFS_STEP_EXTENTS);
	pool_kexec(&p);
	CHECK_EQ(p.persist.inherited, 1004);
	at = frame;
	CHECK_EQ(gmfs_persist_remove(&p.t, &at, frame + 4000, 0, true), 1);
	CHECK_EQ(persist_remove(&p, at, frame + 2001, 0, true), 0);
	CHECK_EQ(p.persist.frames, 499 + 4);
	CHECK_EQ(persist_pages(&p, a, 0, 5000), 0);
	CHECK_EQ(p.persist.frames, 5004);
	CHECK_EQ(p.pins.frames, 5004);
	CHECK_EQ(p.persist.inherited, 4);
	pool_check(&p);
	persist_drop(&p, p.ino[a]);
	CHECK(has_flag(&p, b) && !has_flag(&p, a));
	CHECK_EQ(p.persist.frames, 4);
	pool_check(&p);
	pool_free(&p);
}

/* A pin table with room for three ranges. */
static void persist_full(const void *arg)
{
	struct pool p;
	u64 frame;
	u32 a;

	(void)arg;
	a = states_pool(&p, 1);
	CHECK_EQ(pool_fill(&p, a, 0, 4), 0);
	frame = pool_frame(&p, a, 0);
	p.t.nr_pins = 3;
	CHECK_EQ(persist_pages(&p, a, 10, 20), 0);
	CHECK_EQ(persist_pages(&p, a, 30, 40), 0);
	CHECK_EQ(persist_pages(&p, a, 50, 60), 0);
	CHECK_EQ(persist_pages(&p, a, 70, 80), -ENOSPC);
	CHECK_EQ(p.pins.frames, 30);
	/* Larger ranges, and fewer, need no room. */
	CHECK_EQ(persist_pages(&p, a, 40, 45), 0);
	CHECK_EQ(persist_pages(&p, a, 48, 50), 0);
	CHECK_EQ(persist_remove(&p, frame + 32, frame + 34, 0, false), -ENOSPC);
	CHECK_EQ(p.persist.frames, 37);
	CHECK_EQ(persist_remove(&p, frame + 44, frame + 50, 0, false), -ENOSPC);
	CHECK_EQ(persist_remove(&p, frame + 30, frame + 34, 0, false), 0);
	CHECK_EQ(persist_remove(&p, frame + 46, frame + 50, 0, false), 0);
	CHECK_EQ(p.persist.frames, 10 + 11 + 10);
	CHECK_EQ(persist_pages(&p, a, 20, 34), 0);
	CHECK_EQ(p.persist.nr, 2);
	CHECK_EQ(persist_remove(&p, frame + 22, frame + 24, 0, false), 0);
	CHECK_EQ(p.persist.nr, 3);
	pool_check(&p);
	persist_drop(&p, p.ino[a]);
	CHECK_EQ(p.persist.nr, 0);
	pool_free(&p);
}

/* A file that may have two ranges, beside another one. */
static void persist_limit(const void *arg)
{
	struct pool p;
	u32 a, b;

	(void)arg;
	a = states_pool(&p, 1);
	b = pool_file(&p);
	CHECK_EQ(pool_fill(&p, a, 0, 1), 0);
	CHECK_EQ(pool_fill(&p, b, 0, 1), 0);
	persist_max = 2;
	CHECK_EQ(persist_pages(&p, a, 10, 20), 0);
	CHECK_EQ(persist_pages(&p, a, 30, 40), 0);
	CHECK_EQ(persist_pages(&p, a, 50, 60), -ENOSPC);
	CHECK_EQ(persist_pages(&p, b, 50, 60), 0);
	CHECK_EQ(persist_pages(&p, a, 20, 30), 0);
	CHECK_EQ(persist_pages(&p, a, 50, 60), 0);
	CHECK_EQ(p.persist.nr, 3);
	/* A part that is pinned anew is a range of its own. */
	pool_kexec(&p);
	CHECK_EQ(persist_pages(&p, a, 55, 56), -ENOSPC);
	CHECK_EQ(p.persist.inherited, 50);
	CHECK_EQ(persist_pages(&p, a, 50, 60), 0);
	CHECK_EQ(p.persist.inherited, 40);
	persist_drop(&p, p.ino[a]);
	CHECK(!has_flag(&p, a) && has_flag(&p, b));
	pool_check(&p);
	pool_free(&p);
	persist_max = MANY;
}

static void persist_make(struct pool *p, u32 extents)
{
	u32 a = states_pool(p, 1), i;

	CHECK_EQ(pool_fill(p, a, 0, 4), 0);
	for (i = 0; i < extents; i++)
		CHECK_EQ(persist_pages(p, a, 8 * i, 8 * i + 1), 0);
}

static int persist_all(struct pool *p)
{
	return persist_pages(p, 0, 3, 500);
}

/* Without memory, the pins of the call that failed are gone, or persistent. */
static void persist_no_memory(const void *arg)
{
	u32 extents, i, failed = 0;
	struct pool p;
	int err;

	(void)arg;
	for (extents = 0; extents < 40; extents++) {
		persist_make(&p, extents);
		for (i = 1; i < 100; i++) {
			shim_allocations = 0;
			shim_fail_from = i;
			err = persist_all(&p);
			shim_fail_from = 0;
			pool_check(&p);
			if (!err)
				break;
			CHECK_EQ(err, -ENOMEM);
			CHECK_EQ(p.pins.frames, p.persist.frames);
			failed++;
		}
		CHECK_EQ(err, 0);
		CHECK_EQ(p.persist.frames, 500 - 3 + (extents > 0));
		CHECK_EQ(p.pins.frames, p.persist.frames);
		pool_free(&p);
	}
	CHECK(failed);
}

/* A mount without memory takes over no pin, and the next one takes over all. */
static void persist_load_no_memory(const void *arg)
{
	struct gmfs_complaint c = {};
	struct gmfs_index index;
	struct pool p;
	u32 i;
	int err;

	(void)arg;
	persist_make(&p, 40);
	pool_write_pins(&p);
	pool_end_pins(&p);
	for (i = 1; i < 1000; i++) {
		shim_allocations = 0;
		shim_fail_from = i;
		err = pool_load_pins(&p.t);
		shim_fail_from = 0;
		if (!err)
			break;
		CHECK_EQ(err, -ENOMEM);
		CHECK(!p.persist.loaded);
		CHECK_EQ(p.pins.frames + p.persist.frames + p.persist.inherited + p.persist.nr, 0);
		CHECK(mtree_empty(&p.pins.counts) && mtree_empty(&p.persist.owners));
		CHECK_EQ(gmfs_check(&p.t, &index, &c), 0);
		gmfs_index_free(&index);
		CHECK_EQ(le32_to_cpu(p.t.super->live.used_pins), 40);
	}
	CHECK(i > 3 && i < 1000);
	CHECK_EQ(p.persist.inherited, 40);
	/* The second mount in the same kernel. */
	CHECK_EQ(pool_load_pins(&p.t), 0);
	CHECK_EQ(p.pins.frames, 40);
	pool_check(&p);
	pool_free(&p);
}

/* A pool of a kernel that did not know the table. */
static void persist_no_table(const void *arg)
{
	struct gmfs_complaint c = {};
	struct gmfs_tables t;
	struct pool p;
	u32 a;

	(void)arg;
	a = states_pool(&p, 1);
	memset(&p.t.super->tables[GUESTMEMFS_TABLE_PINS], 0, sizeof(p.t.super->tables[0]));
	pool_fix_crc(p.meta, p.meta_size);
	pool_reopen(&p);
	CHECK_EQ(p.t.nr_pins, 0);
	CHECK_EQ(pool_fill(&p, a, 0, 1), 0);
	CHECK_EQ(persist_pages(&p, a, 0, 1), -ENOSPC);
	CHECK_EQ(p.pins.frames, 0);
	pool_check(&p);
	/* Half of an entry is none. */
	p.t.super->tables[GUESTMEMFS_TABLE_PINS].entry_size = cpu_to_le32(24);
	pool_fix_crc(p.meta, p.meta_size);
	CHECK_EQ(gmfs_format_open(&t, p.meta, META_BASE, p.meta_size, &c), -EUCLEAN);
	CHECK_STR(c.table, "table list");
	CHECK_EQ(c.entry, GUESTMEMFS_TABLE_PINS);
	pool_free(&p);
}

#define NO_FRAMES	"has no frames, or frames that do not exist"
#define NO_BLOCKS	"has blocks that are free or do not exist"
#define NO_OWNER	"is of no file that can have pins"
#define NO_ORDER	"overlaps or is not in order"
#define OTHER_FILE	"has blocks of another file"

/*
 * The pool has 512 blocks; file 0 has blocks 1 to 10, with pins on pages 10 to 19 and 600 to
 * 1199.
 */
#define AT	512ULL

static const struct bad_pin {
	const char *name;
	u32 record;
	u64 frame;
	u64 count;
	u32 ino;
	const char *what;
} bad_pins[] = {
	{ "well formed", 0, AT + 10, 10, 2, NULL },
	{ "all allocated frames", 1, AT + 20, 10 * 512 - 20, 2, NULL },
	{ "no frames", 0, AT + 10, 0, 2, NO_FRAMES },
	{ "frames behind the pool", 1, 512 * 512, 1, 2, NO_FRAMES },
	{ "frames over the end of the pool", 1, 512 * 512 - 1, 2, 2, NO_FRAMES },
	{ "frames far away", 1, U64_MAX, 2, 2, NO_FRAMES },
	{ "number that overflows", 1, AT + 600, U64_MAX, 2, NO_FRAMES },
	{ "number that overflows to zero", 1, AT + 600, U64_MAX - AT - 599, 2, NO_FRAMES },
	{ "free block", 1, AT + 10 * 512, 1, 2, NO_BLOCKS },
	{ "free block at the end", 1, AT + 600, 10 * 512 - 600 + 1, 2, NO_BLOCKS },
	{ "last block", 1, 512 * 512 - 1, 1, 2, NO_BLOCKS },
	{ "overlap", 1, AT + 19, 2, 2, NO_ORDER },
	{ "same frames", 1, AT + 10, 10, 2, NO_ORDER },
	{ "order", 0, AT + 1200, 1, 2, NO_ORDER },
	{ "root directory", 0, AT + 10, 10, GUESTMEMFS_ROOT_INO, NO_OWNER },
	{ "nobody", 0, AT + 10, 10, 0, NO_OWNER },
	{ "directory", 0, AT + 10, 10, 3, NO_OWNER },
	{ "file without the flag", 0, AT + 10, 10, 4, NO_OWNER },
	{ "inode never used", 0, AT + 10, 10, 5, NO_OWNER },
	{ "inode far away", 0, AT + 10, 10, U32_MAX, NO_OWNER },
};

static void bad_pins_pool(struct pool *p)
{
	u32 a = states_pool(p, 1);

	CHECK_EQ(pool_dir(p, GUESTMEMFS_ROOT_INO, "dir"), 3);
	pool_file(p);
	CHECK_EQ(p->ino[a], 2);
	CHECK_EQ(p->ino[1], 4);
	CHECK_EQ(pool_fill(p, a, 0, 10), 0);
	CHECK_EQ(pool_block(p, a, 0) * PAGES, AT);
	CHECK_EQ(persist_pages(p, a, 10, 20), 0);
	CHECK_EQ(persist_pages(p, a, 600, 1200), 0);
	pool_write_pins(p);
}

static void check_pin(const void *arg)
{
	const struct bad_pin *bad = arg;
	struct gmfs_complaint c = {};
	struct gmfs_index index;
	struct pool p;
	int err;

	bad_pins_pool(&p);
	p.t.pin_records[bad->record] = (struct guestmemfs_pin){
		.frame	= cpu_to_le64(bad->frame),
		.count	= cpu_to_le64(bad->count),
		.ino	= cpu_to_le32(bad->ino),
	};
	err = gmfs_check(&p.t, &index, &c);
	CHECK_EQ(err, bad->what ? -EUCLEAN : 0);
	if (bad->what) {
		CHECK_STR(c.table, "pin table");
		/* A record is out of order after the one that is in its place. */
		CHECK_EQ(c.entry, strcmp(bad->what, NO_ORDER) ? bad->record : 1);
		CHECK_STR(c.what, bad->what);
	}
	gmfs_index_free(&index);
	pool_free(&p);
}

static void check_pin_refused(struct pool *p, const char *table, u64 entry, const char *what)
{
	struct gmfs_complaint c = {};
	struct gmfs_index index;

	CHECK_EQ(gmfs_check(&p->t, &index, &c), -EUCLEAN);
	CHECK_STR(c.table, table);
	CHECK_EQ(c.entry, entry);
	CHECK_STR(c.what, what);
}

/* @nr records of 100 frames each, of file 2, from frame AT + 200 on. */
static void write_records(struct pool *p, u32 nr)
{
	u32 i;

	for (i = 0; i < nr; i++)
		p->t.pin_records[i] = (struct guestmemfs_pin){
			.frame	= cpu_to_le64(AT + 200 * (i + 1)),
			.count	= cpu_to_le64(100),
			.ino	= cpu_to_le32(2),
		};
	p->t.super->live.used_pins = cpu_to_le32(nr);
}

/* One of the records has another frame and file. */
static void check_record(struct pool *p, u32 nr, u32 record, u64 frame, u32 ino, const char *what)
{
	struct guestmemfs_pin *pin = &p->t.pin_records[record];
	struct gmfs_complaint c = {};
	struct gmfs_index index;

	write_records(p, nr);
	if (record + 1 == nr)
		pin->count = cpu_to_le64(1);
	pin->frame = cpu_to_le64(frame);
	pin->ino = cpu_to_le32(ino);
	if (what) {
		check_pin_refused(p, "pin table", record, what);
		return;
	}
	CHECK_EQ(gmfs_check(&p->t, &index, &c), 0);
	gmfs_index_free(&index);
}

/* File 2 has the first 10 blocks, file 4 has the next 10. */
static void check_pin_owners(const void *arg)
{
	const u64 last = AT + 10 * PAGES - 1;
	struct pool p;
	u32 nr, i;

	(void)arg;
	bad_pins_pool(&p);
	CHECK_EQ(pool_fill(&p, 1, 0, 10), 0);
	CHECK_EQ(pool_block(&p, 1, 0) * PAGES, last + 1);
	p.t.inodes[4].flags = cpu_to_le32(GUESTMEMFS_INODE_PINS);
	for (nr = 1; nr < 25; nr++) {
		for (i = 0; i < nr; i++) {
			check_record(&p, nr, i, AT + 200 * (i + 1), 2, NULL);
			check_record(&p, nr, i, AT + 200 * (i + 1), 4, OTHER_FILE);
		}
		check_record(&p, nr, nr - 1, last, 2, NULL);
		check_record(&p, nr, nr - 1, last, 4, OTHER_FILE);
		check_record(&p, nr, nr - 1, last + 1, 4, NULL);
		check_record(&p, nr, nr - 1, last + 1, 2, OTHER_FILE);
		check_record(&p, nr, nr - 1, last + 10 * PAGES, 2, OTHER_FILE);
	}
	/* One record over the blocks of both files. */
	write_records(&p, 1);
	p.t.pin_records[0].count = cpu_to_le64(19 * PAGES);
	check_pin_refused(&p, "pin table", 0, OTHER_FILE);
	pool_free(&p);
}

#define NO_FEATURE	"tables in use that no feature announces"
#define TOO_MANY	"more pins in use than there are"
#define NO_FIELDS	"with unknown fields"

static void check_pin_table(const void *arg)
{
	struct pool p;

	(void)arg;
	bad_pins_pool(&p);
	p.t.super->live.used_pins = cpu_to_le32(1024);
	check_pin_refused(&p, "pin table", 2, NO_FRAMES);
	p.t.super->live.used_pins = cpu_to_le32(1025);
	check_pin_refused(&p, "superblock", 0, TOO_MANY);
	p.t.super->live.used_pins = cpu_to_le32(U32_MAX);
	check_pin_refused(&p, "superblock", 0, TOO_MANY);
	p.t.super->live.used_pins = cpu_to_le32(2);
	p.t.pin_records[1].reserved = cpu_to_le32(1);
	check_pin_refused(&p, "pin table", 1, NO_FIELDS);
	p.t.has_pins = false;
	check_pin_refused(&p, "superblock", 0, NO_FEATURE);
	p.t.super->live.used_pins = 0;
	check_pin_refused(&p, "inode table", 2, "unknown flags");
	p.t.has_pins = true;
	p.t.inodes[3].flags = cpu_to_le32(GUESTMEMFS_INODE_PINS);
	check_pin_refused(&p, "inode table", 3, "unknown flags");
	pool_free(&p);
}

void persist_complaints(void (*fn)(const char *what))
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(bad_pins); i++)
		if (bad_pins[i].what)
			fn(bad_pins[i].what);
	fn(NO_FEATURE);
	fn(TOO_MANY);
	fn(NO_FIELDS);
	fn(OTHER_FILE);
}

void persist_tests(void)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(persist_kinds); i++)
		test_add(persist_over_kexec, &persist_kinds[i], "persist_over_kexec%s",
			 persist_kinds[i] ? ": detached" : "");
	TEST(persist_twice);
	TEST(persist_in_steps);
	TEST(persist_full);
	TEST(persist_limit);
	TEST(persist_no_memory);
	TEST(persist_load_no_memory);
	TEST(persist_no_table);
	for (i = 0; i < ARRAY_SIZE(bad_pins); i++)
		test_add(check_pin, &bad_pins[i], "check, pins: %s", bad_pins[i].name);
	TEST(check_pin_owners);
	TEST(check_pin_table);
}
