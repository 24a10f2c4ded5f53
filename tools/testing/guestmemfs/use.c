// SPDX-License-Identifier: GPL-2.0-only
/*
 * Does operations on tables of unknown origin: well formed tables must be well formed after them.
 */
#include <linux/xarray.h>
#include <stdio.h>
#include <stdlib.h>

#include "resize.h"
#include "use.h"

/* A bit of an operation's second byte: selects the second meaning listed for the operation. */
#define OP_OTHER	0x40

enum op {
	OP_FILL,	/* or convert */
	OP_FILL_AGAIN,	/* twice as likely; or move, or exchange */
	OP_PUNCH,	/* or pin, and perhaps punch then */
	OP_CLEAR,	/* or unpin */
	OP_CREATE,	/* or change the size of the pool */
	OP_NAME,	/* or free detached blocks, or poison a frame */
	OP_UNLINK,	/* or pin persistently */
	OP_EVICT,	/* or remove persistent pins */
	NR_OPS,
};

/* Pinned frames, from @first to before @last. */
struct use_pin {
	u64 first;
	u64 last;
};

#define USE_PINS	16

struct use {
	struct pool p;
	struct use_pin pins[USE_PINS];
	u32 nr_pins;
	/* What was in use and unzeroed at first, of the blocks that have not left since. */
	unsigned long *bitmap;
	unsigned long *unzeroed;
	u32 nr_blocks;
};

static bool use_is_orphan(const struct pool *p, u32 ino)
{
	return le32_to_cpu(p->t.inodes[ino].flags) & GUESTMEMFS_INODE_ORPHAN;
}

/* Finds up to POOL_FILES files, and loads their extents, as a kernel does at mount. */
static void use_find_files(struct pool *p, const struct gmfs_index *index)
{
	u32 used = le32_to_cpu(p->t.super->live.used_inodes), ino;

	for (ino = 0; ino < used && p->nr_files < POOL_FILES; ino++) {
		if (!S_ISREG(le32_to_cpu(p->t.inodes[ino].mode)))
			continue;
		p->ino[p->nr_files] = ino;
		pool_load_map(p, p->nr_files++, index);
	}
}

static bool use_has_name(const struct pool *p, const char *name)
{
	u32 used = le32_to_cpu(p->t.super->live.used_inodes), ino;

	for (ino = GUESTMEMFS_ROOT_INO + 1; ino < used; ino++) {
		const struct guestmemfs_inode *di = &p->t.inodes[ino];

		if (di->mode && le32_to_cpu(di->parent) == GUESTMEMFS_ROOT_INO &&
		    le16_to_cpu(di->name_len) == strlen(name) &&
		    !memcmp(di->name, name, strlen(name)))
			return true;
	}
	return false;
}

static void use_unlink(struct pool *p, u32 ino)
{
	pool_name(p, ino, 0, "");
	p->t.inodes[ino].flags |= cpu_to_le32(GUESTMEMFS_INODE_ORPHAN);
}

/* Creates a file without a name first, as the filesystem does. */
static void use_create(struct pool *p)
{
	u32 ino;

	if (p->nr_files == POOL_FILES || gmfs_inode_alloc(&p->t, S_IFREG | 0600, &ino))
		return;
	CHECK(ino > GUESTMEMFS_ROOT_INO && ino < p->t.nr_inodes);
	use_unlink(p, ino);
	gmfs_map_init(&p->map[p->nr_files]);
	p->ino[p->nr_files++] = ino;
}

static void use_rename(struct pool *p, u32 ino, u8 letter)
{
	const char name[] = { 'a' + letter % 8, '\0' };

	if (use_has_name(p, name))
		return;
	pool_name(p, ino, GUESTMEMFS_ROOT_INO, name);
	p->t.inodes[ino].flags &= ~cpu_to_le32(GUESTMEMFS_INODE_ORPHAN);
}

/*
 * Moves the extents to another map. A maple tree cannot be copied, so they are stored anew; not by
 * gmfs_map_insert(), by which the file would claim its blocks a second time.
 */
static void use_move_map(struct pool *p, u32 from, u32 to)
{
	MA_STATE(mas, &p->map[from].tree, 0, 0);
	void *entry;

	shim_fail_from = 0;
	gmfs_map_init(&p->map[to]);
	mas_for_each(&mas, entry, ULONG_MAX) {
		MA_STATE(copy, &p->map[to].tree, mas.index, mas.last);

		CHECK_EQ(mas_store_gfp(&copy, entry, GFP_KERNEL), 0);
	}
	p->map[to].blocks = p->map[from].blocks;
	gmfs_map_destroy(&p->map[from]);
}

static void use_evict(struct pool *p, u32 file)
{
	u32 ino = p->ino[file];

	if (!use_is_orphan(p, ino))
		return;
	pool_drop_pins(p, ino);
	gmfs_map_clear(&p->t, &p->map[file]);
	gmfs_map_destroy(&p->map[file]);
	gmfs_inode_free(&p->t, ino);
	p->nr_files--;
	p->ino[file] = p->ino[p->nr_files];
	if (file < p->nr_files)
		use_move_map(p, p->nr_files, file);
}

static void use_block(const struct gmfs_tables *t, u32 block)
{
	const struct guestmemfs_range *r = gmfs_block_range(t, block);
	u64 phys = gmfs_block_phys(t, block);

	CHECK(phys >= le64_to_cpu(r->base) && phys - le64_to_cpu(r->base) < le64_to_cpu(r->size));
	CHECK(test_bit(block, t->bitmap) && block < gmfs_block_range_end(t, block));
}

/* Fills a part of a file. If that fails, nothing may have changed. */
static void use_fill(struct pool *p, u32 file, u64 logical, u64 count)
{
	u32 nr_free = p->t.free_blocks;
	struct gmfs_run run;
	int err;

	err = pool_fill(p, file, logical, count);
	if (err) {
		CHECK(err == -ENOSPC || (shim_fail_from && err == -ENOMEM));
		CHECK_EQ(p->t.free_blocks, nr_free);
		return;
	}
	for (; count; logical += run.count, count -= run.count) {
		gmfs_map_lookup(&p->t, &p->map[file], logical, &run);
		CHECK(run.count && run.block != GMFS_NO_BLOCK);
		use_block(&p->t, run.block);
		run.count = min(run.count, count);
	}
}

/* Converts pages. If that fails, no page may have changed. */
static void use_convert(struct pool *p, u32 file, u64 first, u64 last, bool converted)
{
	struct gmfs_state s;
	int err;

	err = pool_convert(p, file, first, last, converted);
	if (err) {
		CHECK(err == -ENOSPC || (shim_fail_from && err == -ENOMEM));
		return;
	}
	CHECK(pool_alike(p, file, first, last - first));
	for (; first < last; first = s.end) {
		gmfs_map_state(&p->t, &p->map[file], first, &s);
		CHECK(s.end > first && s.converted == converted);
	}
}

/* Pins the blocks at @logical, up to @count contiguous ones, without some pages at both ends. */
static int use_pin(struct use *u, u32 file, const u8 op[USE_OP], u64 logical, u64 count)
{
	struct pool *p = &u->p;
	struct gmfs_run run;
	struct use_pin pin;
	int err;

	gmfs_map_lookup(&p->t, &p->map[file], logical, &run);
	if (run.block == GMFS_NO_BLOCK || u->nr_pins == USE_PINS)
		return 0;
	pin.first = pool_frame(p, file, logical * GUESTMEMFS_BLOCK_PAGES);
	pin.last = pin.first + min(run.count, count) * GUESTMEMFS_BLOCK_PAGES - op[2];
	pin.first += op[3];
	err = pool_pin_frames(p, pin.first, pin.last);
	if (!err)
		u->pins[u->nr_pins++] = pin;
	return err;
}

/* The same, with a persistent pin. Frames that have one before an error keep it. */
static int use_persist(struct pool *p, u32 file, const u8 op[USE_OP], u64 logical, u64 count)
{
	u64 frame, end, at;
	struct gmfs_run run;
	int err;

	gmfs_map_lookup(&p->t, &p->map[file], logical, &run);
	if (run.block == GMFS_NO_BLOCK)
		return 0;
	frame = pool_frame(p, file, logical * GUESTMEMFS_BLOCK_PAGES);
	end = frame + min(run.count, count) * GUESTMEMFS_BLOCK_PAGES - op[2];
	frame += op[3];
	err = pool_pin_frames(p, frame, end);
	if (err)
		return err;
	at = frame;
	do {
		err = gmfs_persist_add(&p->t, &at, end, p->ino[file], op[1] & 4 ? 2 : 1000);
	} while (err > 0);
	if (err)
		pool_unpin_frames(p, at, end);
	return err;
}

/* Removes persistent pins from frames of any file: all of them, inherited ones, or one file's. */
static int use_remove(struct pool *p, u32 file, const u8 op[USE_OP])
{
	u64 frames = (u64)p->t.nr_blocks * GUESTMEMFS_BLOCK_PAGES, at, end;
	int err;

	at = frames * op[2] / 256;
	end = min(at + op[3] * 97ULL, frames);
	do {
		err = gmfs_persist_remove(&p->t, &at, end, op[1] & 4 ? p->ino[file] : 0, op[1] & 8);
	} while (err > 0);
	return err;
}

static bool use_is_pinned(struct pool *p, u32 file, u64 at, u64 end)
{
	struct gmfs_run run;
	u32 count;

	for (; at < end; at += count) {
		gmfs_map_lookup(&p->t, &p->map[file], at, &run);
		count = min(run.count, end - at);
		if (run.block != GMFS_NO_BLOCK && gmfs_blocks_pinned(&p->t, run.block, &count))
			return true;
	}
	return false;
}

/* Exchanges blocks, with another file or within the file. If that fails, nothing has changed. */
static void use_move(struct pool *p, u32 file, const u8 op[USE_OP], u64 logical, u64 count)
{
	u32 other = op[1] / 4 % 16 % p->nr_files, a, b;
	u64 at = op[3] * 8;

	if (use_is_pinned(p, file, logical, logical + count) ||
	    use_is_pinned(p, other, at, at + count) ||
	    (file == other && at < logical + count && logical < at + count))
		return;
	a = pool_block(p, file, logical + count - 1);
	b = pool_block(p, other, at + count - 1);
	if (pool_move(p, file, logical, other, at, count, op[1] & 2))
		return;
	CHECK_EQ(pool_block(p, file, logical + count - 1), b);
	CHECK_EQ(pool_block(p, other, at + count - 1), a);
}

static void use_unpin(struct use *u, u32 index)
{
	struct use_pin pin = u->pins[index];

	u->pins[index] = u->pins[--u->nr_pins];
	pool_unpin_frames(&u->p, pin.first, pin.last);
}

/* Poisons a frame of a block, if the block exists. */
static void use_poison(struct pool *p, const u8 op[USE_OP])
{
	u64 frame = (u64)p->t.nr_blocks * GUESTMEMFS_BLOCK_PAGES * op[2] / 256 + op[3];
	u32 block = frame / GUESTMEMFS_BLOCK_PAGES;
	const struct guestmemfs_range *r;

	if (!p->t.nr_ranges)
		return;
	r = gmfs_block_range(&p->t, block);
	if (block < le32_to_cpu(r->first_block) || block >= gmfs_block_range_end(&p->t, block))
		return;
	pool_poison(p, frame);
	CHECK(test_bit(block, p->t.bitmap));
}

/* Adds memory that the pool does not have. */
static void use_grow(struct pool *p, const u8 op[USE_OP])
{
	u64 base = op[2] * GUESTMEMFS_RANGE_ALIGN, size = (op[3] % 32 + 1) * GUESTMEMFS_RANGE_ALIGN;
	struct gmfs_range ranges[GUESTMEMFS_MAX_RANGES];
	u32 nr, i, nr_free = p->t.free_blocks;
	u64 frame;

	gmfs_resize_ranges(&p->t, ranges, &nr);
	for (i = 0; i < nr; i++)
		if (base < ranges[i].base + ranges[i].size && ranges[i].base < base + size)
			return;
	if (gmfs_resize_add(&p->t, base, size)) {
		CHECK_EQ(p->t.free_blocks, nr_free);
		return;
	}
	CHECK_EQ(p->t.free_blocks, nr_free + (size >> GUESTMEMFS_BLOCK_SHIFT));
	gmfs_resize_ranges(&p->t, ranges, &nr);
	frame = gmfs_ranges_frame(ranges, nr, base);
	CHECK(frame != U64_MAX);
	CHECK_EQ(gmfs_block_phys(&p->t, frame / GUESTMEMFS_BLOCK_PAGES), base);
}

/* Removes free blocks, or gives them back to the pool. */
static void use_shrink(struct use *u, const u8 op[USE_OP])
{
	u32 count = SECTION << op[2] % 5, block;
	struct gmfs_tables *t = &u->p.t;

	if (!gmfs_resize_find(t, count, op[1] & 4, &block))
		return;
	gmfs_take(t, block, count, 0, 0);
	if (op[1] & 8 || gmfs_resize_cut(t, block, count)) {
		gmfs_release(t, block, count, 0, 0);
		return;
	}
	for (; count--; block++) {
		if (block >= u->nr_blocks)
			break;
		__clear_bit(block, u->bitmap);
		__clear_bit(block, u->unzeroed);
	}
}

static void use_resize(struct use *u, const u8 op[USE_OP])
{
	if (op[1] & 2)
		use_grow(&u->p, op);
	else
		use_shrink(u, op);
}

static void use_other(struct use *u, u32 file, const u8 op[USE_OP], u64 logical, u64 count)
{
	u64 pages = GUESTMEMFS_BLOCK_PAGES;
	struct pool *p = &u->p;
	int err = 0;

	switch (op[0] % NR_OPS) {
	case OP_FILL_AGAIN:
		use_move(p, file, op, logical, count);
		break;
	case OP_PUNCH:
		err = use_pin(u, file, op, logical, count);
		if (!err && op[1] & 2)
			err = pool_punch(p, file, logical, count);
		break;
	case OP_CLEAR:
		if (u->nr_pins)
			use_unpin(u, op[2] % u->nr_pins);
		break;
	case OP_NAME:
		if (op[1] & 2)
			use_poison(p, op);
		else
			pool_settle(p);
		break;
	case OP_UNLINK:
		err = use_persist(p, file, op, logical, count);
		break;
	case OP_EVICT:
		if (op[1] & 2)
			pool_drop_pins(p, p->ino[file]);
		else
			err = use_remove(p, file, op);
		break;
	default:
		/* Neither end is at the border of a block. */
		use_convert(p, file, logical * pages + op[3], (logical + count) * pages - op[2],
			    op[1] & 2);
	}
	CHECK(!err || (shim_fail_from && err == -ENOMEM) ||
	      (err == -ENOSPC && op[0] % NR_OPS == OP_UNLINK && op[1] & 4));
}

static void use_once(struct use *u, const u8 op[USE_OP])
{
	u64 logical = op[2] * 8, count = op[3] * 5 + 1;
	struct pool *p = &u->p;
	u32 file;

	if (op[0] % NR_OPS == OP_CREATE) {
		if (op[1] & OP_OTHER)
			use_resize(u, op);
		else
			use_create(p);
		return;
	}
	if (!p->nr_files)
		return;
	file = op[0] / NR_OPS % p->nr_files;
	if (op[1] & 0x80)
		logical = GMFS_MAX_LOGICAL - count;
	shim_allocations = 0;
	shim_fail_from = op[1] & 1;
	if (op[1] & OP_OTHER) {
		use_other(u, file, op, logical, count);
		shim_fail_from = 0;
		return;
	}
	switch (op[0] % NR_OPS) {
	case OP_PUNCH:
		if (pool_punch(p, file, logical, count))
			CHECK(shim_fail_from);
		break;
	case OP_CLEAR:
		gmfs_map_clear(&p->t, &p->map[file]);
		break;
	case OP_NAME:
		use_rename(p, p->ino[file], op[2]);
		break;
	case OP_UNLINK:
		use_unlink(p, p->ino[file]);
		break;
	case OP_EVICT:
		use_evict(p, file);
		break;
	default:
		use_fill(p, file, logical, count);
	}
	shim_fail_from = 0;
}

/* Checks that the next kernel finds the same extents, in the same order. */
static void use_compare_maps(const struct pool *p, const struct gmfs_index *index)
{
	u32 i, n, at, nr = map_extents(&p->t.detached);

	CHECK(index->nr >= nr);
	for (i = 0; i < index->nr; i++)
		CHECK_EQ(le32_to_cpu(p->t.extents[index->slots[i]].ino) == GUESTMEMFS_DETACHED_INO,
			 i < nr);
	for (i = 0; i < p->nr_files; i++) {
		for (at = 0; at < index->nr; at++)
			if (le32_to_cpu(p->t.extents[index->slots[at]].ino) == p->ino[i])
				break;
		nr = pool_extents(p, i);
		CHECK(index->nr - at >= nr);
		for (n = 0; n < nr; n++)
			CHECK_EQ(index->slots[at + n], pool_slot(p, i, n));
		if (at + n < index->nr)
			CHECK(le32_to_cpu(p->t.extents[index->slots[at + n]].ino) != p->ino[i]);
	}
}

/* Checks that the counters are what the next kernel counts. */
static void use_compare_counts(const struct gmfs_tables *t)
{
	struct gmfs_tables again = *t;

	CHECK_EQ(gmfs_alloc_init(&again), 0);
	CHECK_EQ(again.free_blocks, t->free_blocks);
	CHECK_EQ(again.free_inodes, t->free_inodes);
	CHECK_EQ(again.nr_blockless, t->nr_blockless);
	CHECK_EQ(again.free_maps, t->free_maps);
	CHECK_EQ(again.full_groups, t->full_groups);
	gmfs_alloc_exit(&again);
}

/* Checks that all blocks that were in use and are free now are marked as unzeroed. */
static void use_compare_unzeroed(const struct use *u)
{
	const struct gmfs_tables *t = &u->p.t;
	u32 i;

	for (i = 0; i < BITS_TO_LONGS(u->nr_blocks); i++) {
		CHECK(!(u->bitmap[i] & ~t->bitmap[i] & ~t->unzeroed[i]));
		CHECK(!(u->unzeroed[i] & ~t->unzeroed[i]));
	}
}

/* A mount compares tables with what was handed over: they are those of their own ranges alone. */
static void use_verify_identity(const struct gmfs_tables *t)
{
	static struct gmfs_range ranges[GUESTMEMFS_MAX_RANGES];
	struct gmfs_complaint c = {};
	u8 uuid[16];
	u32 nr;

	memcpy(uuid, t->super->uuid, sizeof(uuid));
	gmfs_resize_ranges(t, ranges, &nr);
	CHECK_EQ(gmfs_format_is(t, uuid, ranges, nr, &c), 0);
	CHECK_EQ(gmfs_format_is(t, uuid, ranges, nr + 1, &c), -EUCLEAN);
	if (nr) {
		ranges[nr - 1].first ^= 512;
		CHECK_EQ(gmfs_format_is(t, uuid, ranges, nr, &c), -EUCLEAN);
		CHECK_EQ(c.entry, nr - 1);
	}
	uuid[0] ^= 1;
	CHECK_EQ(gmfs_format_is(t, uuid, ranges, nr, &c), -EUCLEAN);
	CHECK_STR(c.table, "superblock");
}

/* The next mount must accept the ranges, and find what is free. */
static void use_verify_ranges(const struct pool *p)
{
	struct gmfs_complaint c = {};
	struct gmfs_tables t;
	int err;

	if (!p->t.resized)
		return;
	err = gmfs_format_open(&t, p->t.super, le64_to_cpu(p->t.super->meta_base),
			       le64_to_cpu(p->t.super->meta_size), &c);
	if (err)
		FAIL("resized: %d: %s %llu %s", err, c.table, c.entry, c.what);
	CHECK_EQ(t.nr_blocks, p->t.nr_blocks);
	CHECK_EQ(t.nr_ranges, p->t.nr_ranges);
	CHECK_EQ(t.capacity, p->t.capacity);
}

static void use_verify(struct use *u)
{
	struct pool *p = &u->p;
	struct gmfs_complaint c = {};
	struct gmfs_index index;
	int err;

	if (!p->t.read_only)
		pool_write_pins(p);
	err = gmfs_check(&p->t, &index, &c);
	if (err)
		FAIL("used: %d: %s %llu %s", err, c.table, c.entry, c.what);
	use_compare_maps(p, &index);
	use_compare_counts(&p->t);
	recount(&p->t);
	use_compare_unzeroed(u);
	use_verify_ranges(p);
	use_verify_identity(&p->t);
	gmfs_index_free(&index);
}

/* No block is detached after the last unpin. Blocks that the tables had as detached need no pin. */
static void use_unpin_all(struct use *u)
{
	u64 at = 0, end = (u64)u->p.t.nr_blocks * GUESTMEMFS_BLOCK_PAGES;

	while (u->nr_pins)
		use_unpin(u, 0);
	while (gmfs_persist_remove(&u->p.t, &at, end, 0, false) > 0)
		;
	CHECK(mtree_empty(&u->p.persist.owners) && mtree_empty(&u->p.persist.files));
	CHECK(!u->p.persist.nr && !u->p.persist.frames && !u->p.persist.inherited);
	CHECK(mtree_empty(&u->p.pins.counts) && !u->p.pins.frames);
	pool_settle(&u->p);
	CHECK_EQ(u->p.t.detached.blocks, pool_lost(&u->p));
	CHECK(u->p.poisoned.nr || mtree_empty(&u->p.t.detached.tree));
	use_verify(u);
}

/* A copy of a bitmap, without what is in its last word behind @nr bits. */
static unsigned long *use_copy_bits(const unsigned long *bits, u32 nr)
{
	unsigned long *copy = calloc(BITS_TO_LONGS(nr) + 1, sizeof(long));

	CHECK(copy);
	memcpy(copy, bits, BITS_TO_LONGS(nr) * sizeof(long));
	if (nr % BITS_PER_LONG)
		copy[nr / BITS_PER_LONG] &= BIT(nr % BITS_PER_LONG) - 1;
	return copy;
}

/* Reads the records of absent pages, as a mount does after the files. */
static void use_absent(struct pool *p)
{
	u32 nr = gmfs_absent_records(&p->t), i;
	struct gmfs_absence a;
	struct gmfs_run run;
	u32 file;

	for (i = 0; i < nr; i++) {
		gmfs_absent_read(&p->t, i, &a);
		CHECK(bitmap_weight(a.pages, GUESTMEMFS_BLOCK_PAGES) <= GUESTMEMFS_BLOCK_PAGES);
		for (file = 0; file < p->nr_files; file++) {
			if (p->ino[file] != a.ino)
				continue;
			gmfs_map_lookup(&p->t, &p->map[file], a.logical, &run);
			CHECK(run.block != GMFS_NO_BLOCK);
		}
	}
	if (!p->t.read_only)
		gmfs_absent_unwrite(&p->t);
}

void use_tables(const struct gmfs_tables *t, const struct gmfs_index *index, const u8 *ops,
		size_t nr)
{
	struct use *u = calloc(1, sizeof(*u));
	struct pool *p;
	u32 i;

	CHECK(u);
	p = &u->p;
	p->t = *t;
	u->nr_blocks = t->nr_blocks;
	u->bitmap = use_copy_bits(t->bitmap, t->nr_blocks);
	u->unzeroed = use_copy_bits(t->unzeroed, t->nr_blocks);
	gmfs_pins_init(&p->pins);
	p->t.pins = &p->pins;
	gmfs_persist_init(&p->persist);
	p->t.persist = &p->persist;
	gmfs_poisoned_init(&p->poisoned);
	p->t.poisoned = &p->poisoned;
	CHECK_EQ(gmfs_alloc_init(&p->t), 0);
	CHECK_EQ(pool_load_pins(&p->t), 0);
	use_find_files(p, index);
	pool_load_detached(p, index);
	pool_load_poison(&p->t);
	use_absent(p);
	for (; nr >= USE_OP; nr -= USE_OP, ops += USE_OP)
		use_once(u, ops);
	use_verify(u);
	if (!t->read_only)
		use_unpin_all(u);
	for (i = 0; i < p->nr_files; i++)
		gmfs_map_destroy(&p->map[i]);
	gmfs_alloc_exit(&p->t);
	pool_end_pins(p);
	free(u->bitmap);
	free(u->unzeroed);
	free(u);
}
