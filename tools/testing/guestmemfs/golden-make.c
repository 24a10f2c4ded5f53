// SPDX-License-Identifier: GPL-2.0-only
/*
 * Makes the golden image. Fields of inodes are set here in the same way as inode.c and dir.c set
 * them; blocks, extents and table entries are allocated by the code of fs/guestmemfs.
 */
#include <stdlib.h>

#include "golden-make.h"

const u8 golden_uuid[16] = {
	0x67, 0x6f, 0x6c, 0x64, 0x65, 0x6e, 0x40, 0x01, 0x80, 0x02, 0x10, 0x20, 0x30, 0x40, 0x50,
	0x60,
};

const u8 golden_other_uuid[16] = { 0xff, [15] = 0xee };

/* The block numbers of the first two ranges are adjacent, those of the last one are not. */
const struct gmfs_range golden_ranges[GOLDEN_RANGES] = {
	{ 896 * MIB, 128 * MIB }, { 2 * GIB, GIB }, { 3 * GIB + 256 * MIB, 384 * MIB },
};

const struct gmfs_range golden_other_ranges[GOLDEN_OTHER_RANGES] = {
	{ 0x140000000, 128 * MIB }, { 0x10000000000, 3 * GIB },
};

#define LONGEST_NAME \
	"a name of 255 bytes, as long as names can be, 1. a name of 255 bytes, as long as " \
	"names can be, 2. a name of 255 bytes, as long as names can be, 3. a name of 255 " \
	"bytes, as long as names can be, 4. a name of 255 bytes, as long as names can be, " \
	"5. and so on."

const struct golden_inode golden_inodes[GOLDEN_INODES] = {
	{ .ino = 1, .mode = S_IFDIR | 0755, .generation = 1, .parent = 1, .name = "",
	  .atime = { 1700000000, 1 }, .mtime = { 1700000001, 2 }, .ctime = { 1700000002, 3 },
	  .btime = { 0, 0 } },
	{ .ino = 2, .mode = S_IFDIR | 0750, .generation = 1, .parent = 1, .gid = 107, .name = "vms",
	  .atime = { 1700000010, 0 }, .mtime = { 1700000010, 0 }, .ctime = { 1700000010, 0 },
	  .btime = { 1700000009, 999999999 } },
	{ .ino = 3, .mode = S_IFDIR | S_ISVTX | 0777, .generation = 1, .parent = 2,
	  .name = "blue" },
	{ .ino = 4, .mode = S_IFREG | 0600, .generation = 1, .parent = 3, .uid = 107, .gid = 108,
	  .size = GIB, .name = "ram", .atime = { -1, 999999999 },
	  .mtime = { 0x100000000, 123456789 }, .ctime = { 1700000100, 5 },
	  .btime = { 1700000099, 6 } },
	{ .ino = 5, .mode = S_IFREG | 0640, .generation = 1, .parent = 2, .uid = 4294967294,
	  .gid = 4294967294, .size = 100 * MIB + 1, .name = "ram" },
	{ .ino = 6, .mode = S_IFREG | S_ISUID | S_ISGID, .generation = 1, .parent = 1,
	  .size = 1ULL << 53, .name = LONGEST_NAME },
	{ .ino = 7, .mode = S_IFREG | 0600, .generation = 1, .flags = GUESTMEMFS_INODE_ORPHAN,
	  .size = 6 * MIB, .name = "" },
	{ .ino = 8, .generation = 3 },
	{ .ino = 9, .mode = S_IFREG | 0644, .generation = 2, .parent = 1, .size = 1,
	  .name = "\303\274ber all\n" },
	{ .ino = 10, .mode = S_IFDIR | 0700, .generation = 1, .parent = 3, .name = "..." },
	{ .ino = 11, .mode = S_IFREG | 0600, .generation = 1, .parent = 10, .size = 4096,
	  .name = "kept", .preserved = 4, .preserved_access = GUESTMEMFS_PRESERVED_ACCESS,
	  .preserved_pos = 12345 },
};

/*
 * The steps, in order. FILL allocates the pool's blocks from @block on; UNPIN removes the pins that
 * these blocks have got by PIN.
 */
static const struct golden_step {
	enum { MAKE, FREE, FILL, PUNCH, ZERO, CONVERT, BACK, PIN, UNPIN, PERSIST } what;
	u32 ino;
	u64 logical;
	u32 count;
	u32 block;
} golden_steps[] = {
	{ MAKE, 2 }, { MAKE, 3 }, { MAKE, 4 }, { MAKE, 5 }, { MAKE, 6 }, { MAKE, 7 },
	{ MAKE, 8 }, { MAKE, 9 }, { FREE, 8 }, { MAKE, 8 }, { FREE, 9 }, { FREE, 8 },
	{ MAKE, 8 }, { MAKE, 9 }, { MAKE, 10 }, { MAKE, 11 }, { FREE, 8 },
	/* A whole gigabyte, from which one block is punched later. */
	{ FILL, 4, 0, 512, 512 }, { ZERO, 4, 0, 512 },
	{ FILL, 5, 0, 4, 448 }, { FILL, 7, 0, 1, 452 }, { FILL, 5, 4, 4, 453 },
	{ FILL, 7, 1, 2, 457 },
	/* Two extents that are joined to one. */
	{ FILL, 9, 5, 2, 459 }, { FILL, 9, 7, 1, 461 },
	{ FILL, 5, 40, 23, 489 }, { FILL, 5, 63, 47, 1152 },
	{ PUNCH, 5, 2, 3 }, { ZERO, 5, 0, 8 },
	{ FILL, 11, 0, 1, 450 }, { FILL, 9, 4294967295, 1, 1343 }, { FILL, 5, 3, 1, 451 },
	{ PUNCH, 7, 0, 1 }, { PUNCH, 4, 100, 1 }, { ZERO, 11, 0, 1 },
};

/*
 * The steps that follow for the image with states. For CONVERT, BACK and PERSIST, @count is the
 * number of pages, and @block the number of the first page in block @logical of the file.
 */
static const struct golden_step golden_states_steps[] = {
	/* A few pages, some whole blocks, and pages that begin and end inside of two blocks. */
	{ CONVERT, 4, 10, 3, 7 }, { CONVERT, 4, 20, 5 * 512 }, { CONVERT, 4, 200, 600, 500 },
	{ CONVERT, 4, 30, 512 }, { BACK, 4, 30, 512 },
	/* Blocks that are not allocated, and the last page of the largest file. */
	{ CONVERT, 4, 100, 512 }, { CONVERT, 6, 0, 512 * 512 },
	{ CONVERT, 6, 4294967295, 1, 511 }, { CONVERT, 9, 4294967295, 512 },
	{ CONVERT, 7, 0, 511, 1 },
	/* A map that is freed again, with a lower number than others in use. */
	{ CONVERT, 11, 0, 1, 100 }, { CONVERT, 11, 7, 1, 511 }, { BACK, 11, 0, 1, 100 },
	/* Detached blocks, of two ranges, and others that have been freed by the last unpin. */
	{ PIN, 4, 201, 1 }, { PUNCH, 4, 201, 1 }, { PIN, 4, 22, 2 }, { PUNCH, 4, 22, 2 },
	{ PIN, 5, 60, 5 }, { PUNCH, 5, 60, 5 },
	{ PIN, 4, 300, 2 }, { PUNCH, 4, 300, 2 }, { UNPIN, .count = 2, .block = 812 },
	/* Persistent pins, some of them on detached blocks. */
	{ PERSIST, 4, 202, 512 }, { PERSIST, 5, 70, 600, 500 }, { PUNCH, 5, 70, 2 },
	{ PERSIST, 4, 0, 1, 1 },
};

struct golden_maker {
	struct gmfs_tables t;
	struct gmfs_pins pins;
	struct gmfs_persist persist;
	struct gmfs_extmap map[GOLDEN_INODES + 1];
};

static void golden_zero(struct golden_maker *m, const struct golden_step *s)
{
	struct gmfs_run run;
	u32 i;

	for (i = 0; i < s->count; i++) {
		gmfs_map_lookup(&m->t, &m->map[s->ino], s->logical + i, &run);
		if (run.block != GMFS_NO_BLOCK)
			clear_bit(run.block, m->t.unzeroed);
	}
}

/*
 * Allocates just these blocks to a file: the image must not depend on the allocator's choice, which
 * is not a part of the format. All other blocks are marked as in use meanwhile.
 */
static void golden_fill(struct golden_maker *m, const struct golden_step *s)
{
	u32 nr = m->t.nr_blocks, block;
	bool *hidden = calloc(nr, sizeof(*hidden));

	CHECK(hidden);
	for (block = 0; block < nr; block++) {
		hidden[block] = !test_bit(block, m->t.bitmap) &&
				(block < s->block || block >= s->block + s->count);
		if (hidden[block])
			gmfs_take(&m->t, block, 1, 0, 0);
	}
	CHECK_EQ(gmfs_map_fill(&m->t, &m->map[s->ino], s->ino, s->logical, s->count), 0);
	for (block = 0; block < nr; block++)
		if (hidden[block])
			gmfs_release(&m->t, block, 1, 0, 0);
	free(hidden);
}

static void golden_pin(struct golden_maker *m, const struct golden_step *s)
{
	u64 i, at, end;
	struct gmfs_run run;

	for (i = s->logical; i < s->logical + s->count; i++) {
		gmfs_map_lookup(&m->t, &m->map[s->ino], i, &run);
		at = (u64)run.block * GUESTMEMFS_BLOCK_PAGES;
		end = at + GUESTMEMFS_BLOCK_PAGES;
		CHECK_EQ(gmfs_pins_add(&m->pins, &at, end), 0);
	}
}

static void golden_unpin(struct golden_maker *m, const struct golden_step *s)
{
	u64 at = (u64)s->block * GUESTMEMFS_BLOCK_PAGES, block = s->block;

	CHECK(!gmfs_pins_remove(&m->pins, &at, at + s->count * GUESTMEMFS_BLOCK_PAGES));
	CHECK(!gmfs_detached_free(&m->t, &block, s->block + s->count));
}

/* The blocks of these pages are adjacent. */
static void golden_persist(struct golden_maker *m, const struct golden_step *s)
{
	struct gmfs_run run;
	u64 frame, at;

	gmfs_map_lookup(&m->t, &m->map[s->ino], s->logical, &run);
	frame = (u64)run.block * GUESTMEMFS_BLOCK_PAGES + s->block;
	at = frame;
	CHECK_EQ(gmfs_pins_add(&m->pins, &at, frame + s->count), 0);
	at = frame;
	CHECK_EQ(gmfs_persist_add(&m->t, &at, frame + s->count, s->ino, 64), 0);
}

static void golden_step(struct golden_maker *m, const struct golden_step *s)
{
	struct gmfs_edit ed;
	u64 page;
	u32 ino;

	switch (s->what) {
	case FILL:
		golden_fill(m, s);
		break;
	case PUNCH:
		CHECK_EQ(gmfs_map_edit(&m->t, &m->map[s->ino], GMFS_PUNCH, s->logical,
				       s->count), 0);
		break;
	case ZERO:
		golden_zero(m, s);
		break;
	case CONVERT:
	case BACK:
		ino = s->ino;
		page = s->logical * GUESTMEMFS_BLOCK_PAGES + s->block;
		ed = (struct gmfs_edit){
			.t		= &m->t,
			.map		= &m->map[ino],
			.ino		= ino,
			.op		= GMFS_CONVERT,
			.first		= page,
			.last		= page + s->count,
			.converted	= s->what == CONVERT,
		};
		CHECK_EQ(gmfs_edit_all(&ed), 0);
		break;
	case PIN:
		golden_pin(m, s);
		break;
	case UNPIN:
		golden_unpin(m, s);
		break;
	case PERSIST:
		golden_persist(m, s);
		break;
	case MAKE:
		CHECK_EQ(gmfs_inode_alloc(&m->t, golden_inodes[s->ino - 1].mode ?: S_IFREG, &ino),
			 0);
		CHECK_EQ(ino, s->ino);
		break;
	case FREE:
		gmfs_inode_free(&m->t, s->ino);
	}
}

static void golden_store(struct guestmemfs_inode *di, const struct golden_inode *gi)
{
	CHECK_EQ(le32_to_cpu(di->generation), gi->generation);
	if (!gi->mode)
		return;
	di->mode = cpu_to_le32(gi->mode);
	di->parent = cpu_to_le32(gi->parent);
	di->flags = cpu_to_le32(gi->flags);
	di->uid = cpu_to_le32(gi->uid);
	di->gid = cpu_to_le32(gi->gid);
	di->name_len = cpu_to_le16(strlen(gi->name));
	memcpy(di->name, gi->name, strlen(gi->name));
	di->size = cpu_to_le64(gi->size);
	di->atime = cpu_to_le64(gi->atime.sec);
	di->mtime = cpu_to_le64(gi->mtime.sec);
	di->ctime = cpu_to_le64(gi->ctime.sec);
	di->btime = cpu_to_le64(gi->btime.sec);
	di->atime_nsec = cpu_to_le32(gi->atime.nsec);
	di->mtime_nsec = cpu_to_le32(gi->mtime.nsec);
	di->ctime_nsec = cpu_to_le32(gi->ctime.nsec);
	di->btime_nsec = cpu_to_le32(gi->btime.nsec);
	di->preserved = cpu_to_le32(gi->preserved);
	di->preserved_access = cpu_to_le16(gi->preserved_access);
	di->preserved_pos = cpu_to_le64(gi->preserved_pos);
}

/* Adds the states, and sets the flags of two files with a chosen character; one is private. */
static void golden_make_states(struct golden_maker *m)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(golden_states_steps); i++)
		golden_step(m, &golden_states_steps[i]);
	m->t.inodes[4].flags |= cpu_to_le32(GUESTMEMFS_INODE_CHOSEN);
	m->t.inodes[7].flags |= cpu_to_le32(GUESTMEMFS_INODE_CHOSEN | GUESTMEMFS_INODE_PRIVATE);
}

/* Pages that were punched out of blocks: of one block, of a mixed one, and all of a block. */
static const struct golden_absence {
	u32 ino;
	u64 logical;
	u32 page;
	u32 count;
} golden_absences[] = {
	{ 4, 3, 0, 1 }, { 4, 3, 511, 1 }, { 4, 200, 17, 300 }, { 9, 4294967295, 0, 512 },
	{ 11, 0, 1, 511 },
};

/* Adds records of absent pages: two with the same block in a row are one. */
static void golden_make_absent(struct golden_maker *m)
{
	const struct golden_absence *a = golden_absences;
	unsigned long *bits = NULL;
	u32 i;

	CHECK(!gmfs_absent_trim(&m->t));
	for (i = 0; i < ARRAY_SIZE(golden_absences); i++, a++) {
		if (!i || a->ino != a[-1].ino || a->logical != a[-1].logical)
			bits = gmfs_absent_record(&m->t, &m->map[a->ino], a->logical);
		CHECK(bits);
		bitmap_set(bits, a->page, a->count);
	}
	gmfs_absent_seal(&m->t);
}

/* The image without states is one of a kernel that does not know the pin table. */
static void golden_no_pin_table(struct golden *g)
{
	struct guestmemfs_super *s = (void *)g->meta;

	memset(&s->tables[GUESTMEMFS_TABLE_PINS], 0, sizeof(s->tables[0]));
	pool_fix_crc(g->meta, g->meta_size);
}

static void golden_make_tables(struct golden *g, enum golden_kind kind)
{
	struct golden_maker *m = calloc(1, sizeof(*m));
	struct gmfs_complaint c;
	u64 size, frame = 0;
	u32 i, nr = 0;

	CHECK(m);
	CHECK_EQ(gmfs_format_size(golden_ranges, GOLDEN_RANGES, 0, &size), 0);
	g->meta_size = size;
	g->meta = aligned_alloc(GUESTMEMFS_TABLE_ALIGN, size);
	CHECK(g->meta);
	/* Clear all memory: rows of zeroes are left out of the text. */
	memset(g->meta, 0, size);
	CHECK_EQ(gmfs_format_make(g->meta, GOLDEN_META_BASE, size, GOLDEN_NODE, golden_uuid,
				  golden_ranges, GOLDEN_RANGES, 0), 0);
	CHECK_EQ(gmfs_format_open(&m->t, g->meta, GOLDEN_META_BASE, size, &c), 0);
	gmfs_pins_init(&m->pins);
	m->t.pins = &m->pins;
	gmfs_persist_init(&m->persist);
	m->t.persist = &m->persist;
	CHECK_EQ(gmfs_alloc_init(&m->t), 0);
	for (i = 0; i < ARRAY_SIZE(golden_steps); i++)
		golden_step(m, &golden_steps[i]);
	for (i = 0; i < GOLDEN_INODES; i++)
		golden_store(&m->t.inodes[i + 1], &golden_inodes[i]);
	if (kind >= GOLDEN_STATES)
		golden_make_states(m);
	m->t.super->live.hops = cpu_to_le32(GOLDEN_HOPS);
	CHECK(!gmfs_persist_write(&m->t, &frame, &nr));
	if (kind >= GOLDEN_ABSENT)
		golden_make_absent(m);
	for (i = 0; i <= GOLDEN_INODES; i++)
		gmfs_map_destroy(&m->map[i]);
	if (kind == GOLDEN_PLAIN)
		golden_no_pin_table(g);
	gmfs_alloc_exit(&m->t);
	__mt_destroy(&m->pins.counts);
	__mt_destroy(&m->persist.owners);
	__mt_destroy(&m->persist.files);
	free(m);
}

/* Makes the blob one of kernels that wrote range records without the number of the first block. */
static void golden_short_ranges(struct golden *g)
{
	const u32 nr = GOLDEN_RANGES + GOLDEN_OTHER_RANGES;
	const u32 size = sizeof(struct guestmemfs_handover_range);
	struct guestmemfs_handover *h = (void *)g->blob;
	u8 *ranges = g->blob + g->blob_size - nr * size;
	u32 i;

	for (i = 0; i < nr; i++)
		memmove(ranges + i * GUESTMEMFS_HANDOVER_RANGE_MIN, ranges + i * size,
			GUESTMEMFS_HANDOVER_RANGE_MIN);
	g->blob_size -= nr * (size - GUESTMEMFS_HANDOVER_RANGE_MIN);
	h->range_size = cpu_to_le32(GUESTMEMFS_HANDOVER_RANGE_MIN);
	h->total_size = cpu_to_le32(g->blob_size);
	gmfs_handover_end(h);
}

static void golden_make_blob(struct golden *g)
{
	g->blob_size = gmfs_handover_size(2, GOLDEN_RANGES + GOLDEN_OTHER_RANGES);
	g->blob = malloc(g->blob_size);
	CHECK(g->blob);
	gmfs_handover_begin(g->blob, 2, GOLDEN_RANGES + GOLDEN_OTHER_RANGES);
	gmfs_handover_pool(g->blob, 0, GOLDEN_NODE, golden_uuid, GOLDEN_META_BASE, g->meta_size,
			   golden_ranges, GOLDEN_RANGES, 0, 0, GOLDEN_HOPS);
	gmfs_handover_pool(g->blob, 1, GOLDEN_OTHER_NODE, golden_other_uuid,
			   GOLDEN_OTHER_META_BASE, 0,
			   golden_other_ranges, GOLDEN_OTHER_RANGES, GOLDEN_RANGES,
			   GUESTMEMFS_POOL_LOST, GOLDEN_OTHER_HOPS);
	gmfs_handover_end(g->blob);
	golden_short_ranges(g);
}

void golden_make(struct golden *g, enum golden_kind kind)
{
	memset(g, 0, sizeof(*g));
	golden_make_tables(g, kind);
	golden_make_blob(g);
}
