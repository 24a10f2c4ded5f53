// SPDX-License-Identifier: GPL-2.0-only
/*
 * Entry point of libFuzzer, and of the programs that replay its inputs. The first byte
 * of an input tells the kind of the rest (see enum kind). For tables the rest is:
 *
 *   a byte		0 to 239: no allocation fails; else from which allocation on all fail
 *   a byte		the lower four bits are the number of operations
 *   4 bytes each	operations for use_tables(), if the tables are accepted
 *   8 bytes each	changes of the tables (see struct change)
 *
 * Everything has a fixed place, so that the fuzzer can find which bytes belong together.
 */
#include <stdio.h>
#include <stdlib.h>

#include <linux/crc32c.h>

#include "dump.h"
#include "fuzz.h"
#include "image.h"
#include "resize.h"
#include "state.h"
#include "use.h"

enum kind {
	KIND_TABLES,		/* tables, with the checksum unchanged */
	KIND_TABLES_FIXED,	/* tables with a valid checksum */
	KIND_TABLES_DUMPED,	/* the same, but they are printed */
	KIND_HANDOVER,		/* a handover blob, unchanged */
	KIND_HANDOVER_FIXED,	/* a blob with a valid size and checksum */
	KIND_HANDOVER_DUMPED,	/* the same, but it is printed */
	KIND_CMDLINE,		/* a guestmemfs= parameter */
	NR_KINDS,
};

enum what {
	/* Writes @b into entry @index, at offset @a % 0x1000; the rest of @a tells how. */
	CHANGE_SUPER,
	CHANGE_TABLE,
	CHANGE_LIVE,
	/*
	 * The same; or with @index & 0x80, makes range @index % 8 of a resized pool and frees its
	 * numbers: with @a % 256 + 1 sections, numbers from @b / 65536 * 64 on, at section
	 * @b % 65536.
	 */
	CHANGE_RANGE,
	CHANGE_INODE,
	CHANGE_EXTENT,
	/* Clears or sets (@index & 2) bits of bitmap @index & 1, from bit @a on. */
	CHANGE_BITS,
	/* Gives inode @index a name with the letters of @b, and @a as the name's length. */
	CHANGE_NAME,
	/* Makes inode @index, of kind @a, with a name of the letters of @b. */
	CHANGE_MAKE_INODE,
	/* Makes extent @index, of inode @a % 16, with @a / 16 blocks, at @b. */
	CHANGE_MAKE_EXTENT,
	/*
	 * Makes extent @index, and sets the feature for its flags: of inode @a / 4096, with flags
	 * @a / 256 % 16, with @a % 256 + 1 blocks, at @b. A mixed extent has map @index. Detached
	 * blocks are of no inode.
	 */
	CHANGE_MAKE_STATE,
	/*
	 * Makes record @index of the pin table, and sets the feature and the flag of inode @a /
	 * 4096: @a % 4096 + 1 frames, from frame @b on. With @index & 0x10, makes record @index %
	 * 16 of the poison table, and sets the feature: frame @b, flags @a. With @index & 0x20,
	 * makes record @index % 16 of absent pages instead: of block @b, of extent @a.
	 */
	CHANGE_MAKE_PIN,
	NR_CHANGES,
};

#define FUZZ_MAPS	16U

struct change {
	u8 what;
	u8 index;
	__le16 a;
	__le32 b;
};

static struct image *image;
static void *made;
static FILE *nowhere;
static u32 nr_runs;
u32 fuzz_accepted;

int fuzz_init(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	if (image)
		return 0;
	image = image_make();
	made = malloc(image->size);
	nowhere = fopen("/dev/null", "w");
	CHECK(made && nowhere);
	return 0;
}

void fuzz_look(void)
{
	CHECK(image_is_whole(image));
}

static void fuzz_write(void *entry, size_t entry_size, u16 a, u32 b)
{
	static const u8 sizes[] = { 1, 2, 4, 4, 8, 8, 8, 8 };
	static const u8 shifts[] = { 0, 0, 0, 0, 0, 12, 21, 27 };
	size_t size = sizes[a >> 13];
	__le64 value = cpu_to_le64((a & 0x1000 ? (u64)(s32)b : b) << shifts[a >> 13]);
	u8 *p = (u8 *)entry + round_down((a & 0xfff) % entry_size, size);

	image_touch(image, p, size);
	memcpy(p, &value, size);
}

static void fuzz_bits(u8 index, u16 a, u32 b)
{
	unsigned long *map = index & 1 ? image->t.unzeroed : image->t.bitmap;
	u32 nr = image->t.nr_blocks, start = a % nr, count = min(b % 0x400 + 1, nr - start);

	image_touch(image, map, BITS_TO_LONGS(nr) * sizeof(long));
	if (index & 2)
		bitmap_set(map, start, count);
	else
		bitmap_clear(map, start, count);
}

static void fuzz_set_name(struct guestmemfs_inode *di, u32 letters)
{
	__le32 raw = cpu_to_le32(letters);

	memset(di->name, 0, sizeof(di->name));
	memcpy(di->name, &raw, sizeof(raw));
	di->name_len = cpu_to_le16(strnlen((char *)di->name, sizeof(raw)));
}

static void fuzz_name(u8 index, u16 a, u32 b)
{
	struct guestmemfs_inode *di = &image->t.inodes[index % 16];

	image_touch(image, di, sizeof(*di));
	fuzz_set_name(di, b);
	di->name_len = cpu_to_le16(a);
}

static void fuzz_make_inode(u8 index, u16 a, u32 b)
{
	struct guestmemfs_super_live *live = &image->t.super->live;
	struct guestmemfs_inode *di = &image->t.inodes[index % 16];

	image_touch(image, live, sizeof(*live));
	image_touch(image, di, sizeof(*di));
	memset(di, 0, sizeof(*di));
	di->mode = cpu_to_le32(a & 0x100 ? S_IFDIR | 0700 : S_IFREG | 0600);
	live->used_inodes = cpu_to_le32(max(le32_to_cpu(live->used_inodes), index % 16U + 1));
	if (a & 0x200) {
		di->flags = cpu_to_le32(GUESTMEMFS_INODE_ORPHAN);
		return;
	}
	di->parent = cpu_to_le32(a % 16);
	fuzz_set_name(di, b);
}

static struct guestmemfs_extent *fuzz_new_extent(u8 index, u32 ino, u32 count, u32 b)
{
	struct guestmemfs_super_live *live = &image->t.super->live;
	struct guestmemfs_extent *e = &image->t.extents[index % 32];
	u32 nr = image->t.nr_blocks, block = b % nr;

	image_touch(image, live, sizeof(*live));
	image_touch(image, e, sizeof(*e));
	memset(e, 0, sizeof(*e));
	e->ino = cpu_to_le32(ino);
	e->block = cpu_to_le32(block);
	e->count = cpu_to_le32(min(count, nr - block));
	e->logical = cpu_to_le64(b / nr);
	live->used_extents = cpu_to_le32(max(le32_to_cpu(live->used_extents), index % 32U + 1));
	return e;
}

static void fuzz_make_extent(u8 index, u16 a, u32 b)
{
	struct guestmemfs_extent *e = fuzz_new_extent(index, a % 16, a / 16U + 1, b);

	e->flags = cpu_to_le32(GUESTMEMFS_EXTENT_ALLOCATED);
	fuzz_bits(2, le32_to_cpu(e->block), le32_to_cpu(e->count) - 1);
}

/* Frees all maps, and then sets some bits of one. */
static void fuzz_make_map(u32 map, u32 b)
{
	struct guestmemfs_super_live *live = &image->t.super->live;

	image_touch(image, live, sizeof(*live));
	image_touch(image, image->t.maps, FUZZ_MAPS * sizeof(*image->t.maps));
	if (!live->used_maps)
		memset(image->t.maps, 0, FUZZ_MAPS * sizeof(*image->t.maps));
	live->used_maps = cpu_to_le32(max(le32_to_cpu(live->used_maps), FUZZ_MAPS));
	image->t.maps[map].bits[b % 64] = b >> 24;
}

static void fuzz_make_state(u8 index, u16 a, u32 b)
{
	struct guestmemfs_extent *e = fuzz_new_extent(index, a / 4096, a % 256U + 1, b);
	u32 flags = a / 256 % 16;

	image_touch(image, image->t.super, sizeof(struct guestmemfs_super));
	image->t.super->feature_incompat |= cpu_to_le32(GUESTMEMFS_FEATURE_INCOMPAT_STATES);
	e->flags = cpu_to_le32(flags);
	if (flags & GUESTMEMFS_EXTENT_ALLOCATED) {
		fuzz_bits(2, le32_to_cpu(e->block), le32_to_cpu(e->count) - 1);
		if (flags & GUESTMEMFS_EXTENT_DETACHED) {
			e->ino = cpu_to_le32(GUESTMEMFS_DETACHED_INO);
			e->logical = cpu_to_le64(le32_to_cpu(e->block));
		}
	} else {
		e->block = 0;
		e->logical = cpu_to_le64(b % 0x10000);
	}
	if (flags & GUESTMEMFS_EXTENT_MIXED) {
		e->map = cpu_to_le32(index % FUZZ_MAPS);
		fuzz_make_map(index % FUZZ_MAPS, b);
	}
}

static void fuzz_make_pin(u8 index, u16 a, u32 b)
{
	struct guestmemfs_super_live *live = &image->t.super->live;
	struct guestmemfs_pin *pin = &image->t.pin_records[index % 16];
	struct guestmemfs_inode *di = &image->t.inodes[a / 4096];

	image_touch(image, image->t.super, sizeof(struct guestmemfs_super));
	image_touch(image, pin, sizeof(*pin));
	image_touch(image, di, sizeof(*di));
	image->t.super->feature_incompat |= cpu_to_le32(GUESTMEMFS_FEATURE_INCOMPAT_PINS);
	memset(pin, 0, sizeof(*pin));
	pin->frame = cpu_to_le64(b % ((u64)image->t.nr_blocks * GUESTMEMFS_BLOCK_PAGES));
	pin->count = cpu_to_le64(a % 4096 + 1);
	pin->ino = cpu_to_le32(a / 4096);
	di->flags |= cpu_to_le32(GUESTMEMFS_INODE_PINS);
	live->used_pins = cpu_to_le32(max(le32_to_cpu(live->used_pins), index % 16U + 1));
}

static void fuzz_make_poison(u8 index, u16 a, u32 b)
{
	struct guestmemfs_super_live *live = &image->t.super->live;
	struct guestmemfs_poison *poison = &image->t.poison[index % 16];

	image_touch(image, image->t.super, sizeof(struct guestmemfs_super));
	image_touch(image, image->t.poison, 16 * sizeof(*poison));
	image->t.super->feature_incompat |= cpu_to_le32(GUESTMEMFS_FEATURE_INCOMPAT_POISON);
	/* The records before this one have frame 0, unless they are made, too. */
	if (!live->used_poison)
		memset(image->t.poison, 0, 16 * sizeof(*poison));
	poison->page = cpu_to_le64(b % ((u64)image->t.nr_blocks * GUESTMEMFS_BLOCK_PAGES + 1));
	poison->flags = cpu_to_le32(a);
	live->used_poison = cpu_to_le32(max(le32_to_cpu(live->used_poison), index % 16U + 1));
}

static void fuzz_make_absent(u8 index, u16 a, u32 b)
{
	struct guestmemfs_super_live *live = &image->t.super->live;
	u32 used = min(le32_to_cpu(live->used_maps), image->t.nr_maps - 32);
	struct guestmemfs_absent *records = (void *)&image->t.maps[used];

	image_touch(image, live, sizeof(*live));
	image_touch(image, records, 16 * sizeof(*records));
	memset(&records[index % 16], b % 256, sizeof(*records));
	records[index % 16].block = cpu_to_le32(b);
	records[index % 16].extent = cpu_to_le32(a);
	live->nr_absent = cpu_to_le32(max(le32_to_cpu(live->nr_absent), index % 16U + 1));
	live->absent_hop = cpu_to_le32(gmfs_next_hop(le32_to_cpu(live->hops)));
}

static void fuzz_make_range(u8 index, u16 a, u32 b)
{
	struct guestmemfs_range *r = &image->t.ranges[index % 8];
	struct guestmemfs_super *s = image->t.super;
	u32 first = (b >> 16) * SECTION;

	image_touch(image, s, sizeof(*s));
	image_touch(image, r, sizeof(*r));
	s->feature_incompat |= cpu_to_le32(GUESTMEMFS_FEATURE_INCOMPAT_RESIZED);
	s->nr_ranges = cpu_to_le32(max(le32_to_cpu(s->nr_ranges), index % 8U + 1));
	memset(r, 0, sizeof(*r));
	r->base = cpu_to_le64(b % 0x10000 * GUESTMEMFS_RANGE_ALIGN);
	r->size = cpu_to_le64((a % 256 + 1) * GUESTMEMFS_RANGE_ALIGN);
	r->first_block = cpu_to_le32(first);
	if (first < image->t.nr_blocks)
		fuzz_bits(0, first, (a % 256 + 1) * SECTION - 1);
}

static void fuzz_change(const struct change *c)
{
	struct guestmemfs_super *s = image->t.super;
	u32 b = le32_to_cpu(c->b);
	u16 a = le16_to_cpu(c->a);

	switch (c->what % NR_CHANGES) {
	case CHANGE_SUPER:
		fuzz_write(s, offsetof(struct guestmemfs_super, reserved2), a, b);
		break;
	case CHANGE_TABLE:
		fuzz_write(&s->tables[c->index % 12], sizeof(s->tables[0]), a, b);
		break;
	case CHANGE_LIVE:
		fuzz_write(&s->live, sizeof(s->live), a, b);
		break;
	case CHANGE_RANGE:
		if (c->index & 0x80)
			fuzz_make_range(c->index, a, b);
		else
			fuzz_write(&image->t.ranges[c->index % 8], sizeof(*image->t.ranges), a, b);
		break;
	case CHANGE_INODE:
		fuzz_write(&image->t.inodes[c->index % 16], sizeof(image->t.inodes[0]), a, b);
		break;
	case CHANGE_EXTENT:
		fuzz_write(&image->t.extents[c->index % 32], sizeof(image->t.extents[0]), a, b);
		break;
	case CHANGE_BITS:
		fuzz_bits(c->index, a, b);
		break;
	case CHANGE_NAME:
		fuzz_name(c->index, a, b);
		break;
	case CHANGE_MAKE_INODE:
		fuzz_make_inode(c->index, a, b);
		break;
	case CHANGE_MAKE_EXTENT:
		fuzz_make_extent(c->index, a, b);
		break;
	case CHANGE_MAKE_PIN:
		if (c->index & 0x20)
			fuzz_make_absent(c->index, a, b);
		else if (c->index & 0x10)
			fuzz_make_poison(c->index, a, b);
		else
			fuzz_make_pin(c->index, a, b);
		break;
	default:
		fuzz_make_state(c->index, a, b);
	}
}

/* Prints only a part, since the fuzzer would spend all its time printing thousands of lines. */
static void fuzz_dump(void)
{
	const struct guestmemfs_super_live *live = &image->t.super->live;
	bool brief = le32_to_cpu(live->used_inodes) > 32 || le32_to_cpu(live->used_extents) > 32 ||
		     le32_to_cpu(live->used_maps) > 32 || le32_to_cpu(live->used_pins) > 32 ||
		     le32_to_cpu(live->used_poison) > 32 || le32_to_cpu(live->nr_absent) > 32;

	dump_tables(nowhere, image->shown, image->size, brief);
}

static void fuzz_tables(const u8 *data, size_t size, enum kind kind)
{
	size_t nr_ops, nr_changes = 0;
	struct change change;
	const u8 *ops;
	u32 fail_from;

	if (size < 2)
		return;
	fail_from = max(data[0], 239) - 239;
	nr_ops = min((size_t)data[1] % 16 * USE_OP, size - 2);
	ops = data + 2;
	for (data = ops + nr_ops, size -= 2 + nr_ops;
	     size >= sizeof(change) && nr_changes < FUZZ_CHANGES; nr_changes++) {
		memcpy(&change, data, sizeof(change));
		fuzz_change(&change);
		data += sizeof(change);
		size -= sizeof(change);
	}
	if (kind != KIND_TABLES) {
		image_touch(image, image->t.super, sizeof(struct guestmemfs_super));
		pool_fix_crc(image->meta, image->size);
	}
	if (kind == KIND_TABLES_DUMPED)
		fuzz_dump();
	else
		fuzz_accepted += image_try(image, ops, nr_ops, fail_from);
	image_restore(image);
	if (nr_runs++ % FUZZ_LOOK == 0)
		fuzz_look();
}

/* Whatever the ranges are, gmfs_format_size() refuses them, or the pool made is well formed. */
static void fuzz_make(const struct gmfs_range *ranges, u32 nr, const u8 uuid[16])
{
	u32 room = uuid[0] / 64 * SECTION * 5;
	struct gmfs_complaint c = {};
	struct gmfs_index index;
	struct gmfs_tables t;
	u64 size;

	if (gmfs_format_size(ranges, nr, room, &size))
		return;
	CHECK(size && size % GMFS_BLOCK_SIZE == 0);
	CHECK(gmfs_format_room(ranges, nr, size) >= round_down(room, GROUP));
	if (size > image->size)
		return;
	CHECK_EQ(gmfs_format_make(made, META_BASE, size, 0, uuid, ranges, nr, room), 0);
	CHECK_EQ(gmfs_format_open(&t, made, META_BASE, size, &c), 0);
	CHECK_EQ(gmfs_check(&t, &index, &c), 0);
	CHECK_EQ(index.nr, 0);
	CHECK(t.capacity >= t.nr_blocks + room);
	gmfs_index_free(&index);
}

/* Reads everything in a blob, as a kernel does with the blob of the previous kernel. */
static void fuzz_read_blob(const struct guestmemfs_handover *h)
{
	static struct gmfs_range ranges[GUESTMEMFS_MAX_RANGES];
	struct guestmemfs_handover_pool pool;
	u32 i, n, nr;

	for (i = 0; i < le32_to_cpu(h->nr_pools); i++) {
		if (gmfs_handover_get_pool(h, i, &pool))
			continue;
		nr = le32_to_cpu(pool.nr_ranges);
		CHECK(nr <= GUESTMEMFS_MAX_RANGES);
		for (n = 0; n < nr; n++)
			gmfs_handover_get_range(h, le32_to_cpu(pool.first_range) + n, &ranges[n]);
		fuzz_make(ranges, nr, pool.uuid);
	}
}

static void fuzz_handover(const u8 *data, size_t size, enum kind kind)
{
	/* A heap copy of exact size: the address sanitizer sees reads behind its end. */
	struct guestmemfs_handover *h = malloc(size ? size : 1);
	const char *why;
	int err;

	CHECK(h);
	memcpy(h, data, size);
	if (kind != KIND_HANDOVER && size >= sizeof(*h)) {
		h->total_size = cpu_to_le32(size);
		h->crc = 0;
		h->crc = cpu_to_le32(crc32c(~0U, h, size));
	}
	err = gmfs_handover_check(h, size, &why);
	CHECK(!err ? !why : !!why && (err == -EUCLEAN || err == -EINVAL));
	if (size >= sizeof(*h))
		CHECK(gmfs_handover_intact(h, size) || err);
	if (kind == KIND_HANDOVER_DUMPED)
		CHECK_EQ(dump_handover(nowhere, h, size), !err);
	else if (err != -EINVAL)
		fuzz_read_blob(h);
	free(h);
}

static void fuzz_requests(const struct gmfs_request *reqs, u32 nr)
{
	u32 i, n;

	for (i = 0; i < nr; i++) {
		const struct gmfs_request *r = &reqs[i];

		CHECK(r->percent <= 100 && r->more_percent <= 100);
		CHECK(!(r->percent && r->bytes) && !(r->more_percent && r->more_bytes));
		/* A pool may begin with nothing if it may grow. */
		CHECK_EQ(r->percent || r->bytes || r->more_percent || r->more_bytes, !r->discard);
		for (n = 0; n < i; n++)
			CHECK(reqs[n].discard != r->discard ||
			      (reqs[n].node != r->node && reqs[n].node != GMFS_ALL_NODES &&
			       r->node != GMFS_ALL_NODES));
	}
}

static void fuzz_cmdline(const u8 *data, size_t size)
{
	struct gmfs_request *reqs = malloc(4 * sizeof(*reqs));
	char *arg = malloc(size + 1);
	u32 nr;

	CHECK(arg && reqs);
	memcpy(arg, data, size);
	arg[size] = 0;
	if (!gmfs_cmdline_parse(arg, reqs, 4, &nr)) {
		CHECK(nr && nr <= 4);
		fuzz_requests(reqs, nr);
	}
	free(arg);
	free(reqs);
}

int fuzz_one(const u8 *data, size_t size)
{
	enum kind kind;

	if (!size)
		return 0;
	kind = data[0] % NR_KINDS;
	data++;
	size--;
	if (kind <= KIND_TABLES_DUMPED)
		fuzz_tables(data, size, kind);
	else if (kind <= KIND_HANDOVER_DUMPED)
		fuzz_handover(data, size, kind);
	else
		fuzz_cmdline(data, size);
	return 0;
}
