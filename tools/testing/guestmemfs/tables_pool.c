// SPDX-License-Identifier: GPL-2.0-only
/*
 * Functions to make pools for tests, and to operate on them.
 */
#include <stdio.h>
#include <stdlib.h>

#include <linux/crc32c.h>
#include <linux/xarray.h>

#include "../../../fs/guestmemfs/tables/extmap.h"
#include "tables_pool.h"

static const u8 pool_uuid[16] = "a test of a pool";

static void pool_open(struct pool *p)
{
	struct gmfs_complaint c = {};
	int err = gmfs_format_open(&p->t, p->meta, META_BASE, p->meta_size, &c);

	if (err)
		FAIL("open: %d: %s %llu %s", err, c.table, c.entry, c.what);
	p->t.pins = &p->pins;
	p->t.persist = &p->persist;
	p->t.poisoned = &p->poisoned;
	CHECK_EQ(gmfs_alloc_init(&p->t), 0);
}

static void pool_allocate(struct pool *p, const struct gmfs_range *ranges, u32 nr, u32 room)
{
	memset(p, 0, sizeof(*p));
	gmfs_pins_init(&p->pins);
	gmfs_persist_init(&p->persist);
	gmfs_poisoned_init(&p->poisoned);
	CHECK_EQ(gmfs_format_size(ranges, nr, room, &p->meta_size), 0);
	p->meta = aligned_alloc(GUESTMEMFS_TABLE_ALIGN, p->meta_size);
	CHECK(p->meta);
}

static void pool_format(struct pool *p, const struct gmfs_range *ranges, u32 nr, u32 room)
{
	CHECK_EQ(gmfs_format_make(p->meta, META_BASE, p->meta_size, 0, pool_uuid, ranges, nr, room),
		 0);
	pool_open(p);
}

void pool_make_untouched(struct pool *p, const struct gmfs_range *ranges, u32 nr)
{
	pool_allocate(p, ranges, nr, 0);
	pool_format(p, ranges, nr, 0);
}

void pool_make_room(struct pool *p, const struct gmfs_range *ranges, u32 nr, u32 room)
{
	pool_allocate(p, ranges, nr, room);
	/* Making a pool must not depend on memory that is zero. */
	memset(p->meta, 0xa5, p->meta_size);
	pool_format(p, ranges, nr, room);
}

void pool_make(struct pool *p, const struct gmfs_range *ranges, u32 nr)
{
	pool_make_room(p, ranges, nr, 0);
}

void pool_make_gib(struct pool *p, u32 gib)
{
	const struct gmfs_range range = { 16 * GIB, gib * GIB };

	pool_make(p, &range, 1);
}

void pool_free(struct pool *p)
{
	u32 i;

	for (i = 0; i < p->nr_files; i++)
		gmfs_map_destroy(&p->map[i]);
	gmfs_alloc_exit(&p->t);
	pool_end_pins(p);
	free(p->meta);
	CHECK_EQ(shim_unfreed, 0);
}

void pool_name(struct pool *p, u32 ino, u32 parent, const char *name)
{
	struct guestmemfs_inode *di = &p->t.inodes[ino];

	di->parent = cpu_to_le32(parent);
	di->name_len = cpu_to_le16(strlen(name));
	memset(di->name, 0, sizeof(di->name));
	memcpy(di->name, name, strlen(name));
}

u32 pool_file(struct pool *p)
{
	u32 file = p->nr_files;
	char name[16];

	CHECK(file < POOL_FILES);
	CHECK_EQ(gmfs_inode_alloc(&p->t, S_IFREG | 0600, &p->ino[file]), 0);
	snprintf(name, sizeof(name), "file%u", file);
	pool_name(p, p->ino[file], GUESTMEMFS_ROOT_INO, name);
	gmfs_map_init(&p->map[file]);
	p->nr_files++;
	return file;
}

void pool_size(struct pool *p, u32 file, u64 blocks)
{
	p->t.inodes[p->ino[file]].size = cpu_to_le64(blocks << GUESTMEMFS_BLOCK_SHIFT);
}

u32 pool_dir(struct pool *p, u32 parent, const char *name)
{
	u32 ino;

	CHECK_EQ(gmfs_inode_alloc(&p->t, S_IFDIR | 0755, &ino), 0);
	pool_name(p, ino, parent, name);
	return ino;
}

int pool_fill(struct pool *p, u32 file, u64 logical, u64 count)
{
	return gmfs_map_fill(&p->t, &p->map[file], p->ino[file], logical, count);
}

int pool_reserve(struct pool *p, u32 file, u64 logical, u64 count)
{
	u64 missing = gmfs_uncovered(&p->t, &p->map[file], logical, logical + count);
	int err = gmfs_cover(&p->map[file], logical, logical + count);

	if (err)
		return err;
	err = gmfs_promise_blocks(&p->t, missing);
	if (err)
		gmfs_uncover(&p->map[file], logical, logical + count);
	return err;
}

void pool_unreserve(struct pool *p, u32 file, u64 logical, u64 count)
{
	gmfs_uncover(&p->map[file], logical, logical + count);
	p->t.promised_blocks -= gmfs_uncovered(&p->t, &p->map[file], logical, logical + count);
}

u32 pool_covers(const struct pool *p, u32 file)
{
	MA_STATE(mas, (struct maple_tree *)&p->map[file].cover, 0, 0);
	unsigned long last = 0, holders = 0;
	void *entry;
	u32 nr = 0;

	mas_for_each(&mas, entry, ULONG_MAX) {
		if (nr && mas.index == last + 1)
			CHECK(xa_to_value(entry) != holders);
		CHECK(mas.last < GMFS_MAX_LOGICAL);
		holders = xa_to_value(entry);
		last = mas.last;
		nr++;
	}
	return nr;
}

int pool_punch(struct pool *p, u32 file, u64 logical, u64 count)
{
	return gmfs_map_edit(&p->t, &p->map[file], GMFS_PUNCH, logical, count);
}

u64 pool_frame(struct pool *p, u32 file, u64 page)
{
	u32 block = pool_block(p, file, page / GUESTMEMFS_BLOCK_PAGES);

	CHECK(block != GMFS_NO_BLOCK);
	return (u64)block * GUESTMEMFS_BLOCK_PAGES + page % GUESTMEMFS_BLOCK_PAGES;
}

int pool_pin_frames(struct pool *p, u64 first, u64 last)
{
	u64 at = first, next = first;
	int err;

	do {
		err = gmfs_pins_add(&p->pins, &at, last);
	} while (err > 0);
	while (err && next < at)
		gmfs_pins_remove(&p->pins, &next, at);
	return err;
}

bool pool_is_detached(const struct pool *p, u32 block)
{
	struct gmfs_spot spot;

	gmfs_map_spot(&p->t, &p->t.detached, block, &spot);
	return spot.e;
}

static void pool_detached_free(struct pool *p, u64 at, u64 end)
{
	while (gmfs_detached_free(&p->t, &at, end))
		;
}

void pool_unpin_frames(struct pool *p, u64 first, u64 last)
{
	u64 at = first;

	while (gmfs_pins_remove(&p->pins, &at, last))
		;
	pool_detached_free(p, first / GUESTMEMFS_BLOCK_PAGES,
			   DIV_ROUND_UP(last, (u64)GUESTMEMFS_BLOCK_PAGES));
}

/* Finds the frames of the page @at of a file and of pages behind it. Returns the next page. */
static u64 pool_frames(struct pool *p, u32 file, u64 at, u64 last, u64 *frame)
{
	struct gmfs_run run;

	gmfs_map_lookup(&p->t, &p->map[file], at / GUESTMEMFS_BLOCK_PAGES, &run);
	*frame = run.block == GMFS_NO_BLOCK ? U64_MAX : pool_frame(p, file, at);
	return min(last, (run.logical + run.count) * GUESTMEMFS_BLOCK_PAGES);
}

int pool_pin(struct pool *p, u32 file, u64 first, u64 last)
{
	u64 at, next, frame;
	int err = 0;

	for (at = first; at < last; at = next) {
		next = pool_frames(p, file, at, last, &frame);
		if (frame != U64_MAX)
			err = pool_pin_frames(p, frame, frame + (next - at));
		if (err)
			break;
	}
	if (err)
		pool_unpin(p, file, first, at);
	return err;
}

void pool_unpin(struct pool *p, u32 file, u64 first, u64 last)
{
	u64 at, next, frame;

	for (at = first; at < last; at = next) {
		next = pool_frames(p, file, at, last, &frame);
		if (frame != U64_MAX)
			pool_unpin_frames(p, frame, frame + (next - at));
	}
}

void pool_end_pins(struct pool *p)
{
	__mt_destroy(&p->pins.counts);
	gmfs_pins_init(&p->pins);
	__mt_destroy(&p->persist.owners);
	__mt_destroy(&p->persist.files);
	gmfs_persist_init(&p->persist);
	__mt_destroy(&p->poisoned.frames);
	gmfs_poisoned_init(&p->poisoned);
	rcu_barrier();
}

void pool_poison_frozen(struct pool *p, u64 frame)
{
	if (!gmfs_poisoned_add(&p->poisoned, frame))
		return;
	if (!gmfs_poison_record(&p->t, frame))
		gmfs_poisoned_recorded(&p->poisoned, frame);
}

void pool_poison(struct pool *p, u64 frame)
{
	pool_poison_frozen(p, frame);
	gmfs_poison_keep(&p->t, frame);
}

void pool_load_poison(struct gmfs_tables *t)
{
	u64 frame = 0;
	u32 at = 0;

	while (gmfs_poison_load(t, &at))
		;
	while (!t->read_only && gmfs_poison_settle(t, &frame))
		;
}

u32 pool_lost(const struct pool *p)
{
	u64 frame = 0;
	u32 lost = 0;

	while (gmfs_poison_lost(&p->t, &frame, &lost))
		;
	return lost;
}

int pool_load_pins(struct gmfs_tables *t)
{
	u32 at = 0;
	int err;

	do {
		err = gmfs_persist_load(t, &at);
	} while (err > 0);
	return err;
}

void pool_drop_pins(struct pool *p, u32 ino)
{
	u64 block = 0, frame = 0;
	u32 i;

	for (i = 0; i < p->nr_files; i++)
		while (p->ino[i] == ino &&
		       gmfs_persist_drop(&p->t, &p->map[i], &block, &frame, ino))
			;
	block = 0;
	frame = 0;
	while (gmfs_persist_drop(&p->t, &p->t.detached, &block, &frame, ino))
		;
}

void pool_write_pins(struct pool *p)
{
	u64 frame = 0;
	u32 nr = 0;

	while (gmfs_persist_write(&p->t, &frame, &nr))
		;
	CHECK_EQ(le32_to_cpu(p->t.super->live.used_pins), p->persist.nr);
}

void pool_settle(struct pool *p)
{
	pool_detached_free(p, 0, p->t.nr_blocks);
}

struct gmfs_edit pool_edit(struct pool *p, u32 file, enum gmfs_op op, u64 first, u64 last)
{
	return (struct gmfs_edit){
		.t	= &p->t,
		.map	= &p->map[file],
		.ino	= p->ino[file],
		.op	= op,
		.first	= first,
		.last	= last,
	};
}

int pool_convert(struct pool *p, u32 file, u64 first, u64 last, bool converted)
{
	struct gmfs_edit ed = pool_edit(p, file, GMFS_CONVERT, first, last);

	ed.converted = converted;
	return first < last ? gmfs_edit_all(&ed) : 0;
}

struct gmfs_move pool_exchange(struct pool *p, u32 a, u64 a_first, u32 b, u64 b_first, u64 count)
{
	return (struct gmfs_move){
		.t	= &p->t,
		.sides	= {
			{ &p->map[a], p->ino[a], a_first },
			{ &p->map[b], p->ino[b], b_first },
		},
		.count	= count,
	};
}

int pool_move(struct pool *p, u32 a, u64 a_first, u32 b, u64 b_first, u64 count, bool zero)
{
	struct gmfs_move mv = pool_exchange(p, a, a_first, b, b_first, count);
	u32 max = max(p->t.nr_blockless + p->t.promised_blockless,
		      gmfs_blockless_max(&p->t, p->t.total_blocks));
	bool more;
	int err;

	mv.zero = zero;
	gmfs_move_count(&mv);
	err = gmfs_move_begin(&mv);
	if (err)
		return err;
	do {
		more = gmfs_move_step(&mv);
		/* Others may use the pool between two steps. */
		CHECK(p->t.nr_blockless + p->t.promised_blockless <= max);
	} while (more);
	gmfs_move_end(&mv);
	return 0;
}

u32 map_extents(const struct gmfs_extmap *map)
{
	MA_STATE(mas, (struct maple_tree *)&map->tree, 0, 0);
	void *entry;
	u32 nr = 0;

	mas_for_each(&mas, entry, ULONG_MAX)
		nr++;
	return nr;
}

u32 pool_extents(const struct pool *p, u32 file)
{
	return map_extents(&p->map[file]);
}

u32 pool_slot(const struct pool *p, u32 file, u32 index)
{
	MA_STATE(mas, (struct maple_tree *)&p->map[file].tree, 0, 0);
	void *entry;

	mas_for_each(&mas, entry, ULONG_MAX)
		if (!index--)
			return xa_to_value(entry);
	FAIL("file %u has fewer extents", file);
}

bool pool_alike(const struct pool *p, u32 file, u64 page, u64 nr)
{
	struct gmfs_state first, next;
	u64 at;

	gmfs_map_state(&p->t, &p->map[file], page, &first);
	for (at = first.end; at < page + nr; at = next.end) {
		gmfs_map_state(&p->t, &p->map[file], at, &next);
		if (next.converted != first.converted)
			return false;
	}
	return true;
}

u32 pool_block(struct pool *p, u32 file, u64 logical)
{
	struct gmfs_run run;

	gmfs_map_lookup(&p->t, &p->map[file], logical, &run);
	CHECK_EQ(run.logical, logical);
	CHECK(run.count);
	return run.block;
}

void pool_load_map(struct pool *p, u32 file, const struct gmfs_index *index)
{
	u32 i;

	gmfs_map_init(&p->map[file]);
	for (i = 0; i < index->nr; i++) {
		if (le32_to_cpu(p->t.extents[index->slots[i]].ino) != p->ino[file])
			continue;
		CHECK_EQ(gmfs_map_insert(&p->t, &p->map[file], index->slots[i]), 0);
	}
}

void pool_load_detached(struct pool *p, const struct gmfs_index *index)
{
	u32 i;

	for (i = 0; i < index->nr; i++)
		if (le32_to_cpu(p->t.extents[index->slots[i]].flags) & GUESTMEMFS_EXTENT_DETACHED)
			CHECK_EQ(gmfs_detached_load(&p->t, index->slots[i]), 0);
}

void pool_reopen(struct pool *p)
{
	struct gmfs_complaint c = {};
	struct gmfs_index index;
	u32 i;

	pool_write_pins(p);
	for (i = 0; i < p->nr_files; i++)
		gmfs_map_destroy(&p->map[i]);
	gmfs_alloc_exit(&p->t);
	pool_open(p);
	CHECK_EQ(gmfs_check(&p->t, &index, &c), 0);
	for (i = 0; i < p->nr_files; i++)
		pool_load_map(p, i, &index);
	pool_load_detached(p, &index);
	gmfs_index_free(&index);
}

void pool_kexec(struct pool *p)
{
	pool_reopen(p);
	pool_end_pins(p);
	pool_load_poison(&p->t);
	CHECK_EQ(pool_load_pins(&p->t), 0);
	pool_settle(p);
	if (!p->persist.frames) {
		CHECK_EQ(p->t.detached.blocks, pool_lost(p));
		CHECK(p->poisoned.nr || mtree_empty(&p->t.detached.tree));
	}
}

void pool_keep(const struct pool *p, struct pool_copy *copy)
{
	copy->t = p->t;
	copy->meta = malloc(p->meta_size);
	CHECK(copy->meta);
	memcpy(copy->meta, p->meta, p->meta_size);
}

void pool_unchanged(const struct pool *p, const struct pool_copy *copy)
{
	struct guestmemfs_super *s = copy->meta;
	u8 *extents = copy->meta + le64_to_cpu(s->tables[GUESTMEMFS_TABLE_EXTENTS].offset);
	u32 used = le32_to_cpu(p->t.super->live.used_extents), slot;

	for (slot = le32_to_cpu(s->live.used_extents); slot < used; slot++) {
		CHECK(!memchr_inv(&p->t.extents[slot], 0, sizeof(*p->t.extents)));
		memset(extents + slot * sizeof(*p->t.extents), 0, sizeof(*p->t.extents));
	}
	s->live.used_extents = cpu_to_le32(used);
	CHECK(!memcmp(copy->meta, p->meta, p->meta_size));
	CHECK(!memcmp(&copy->t, &p->t, sizeof(p->t)));
}

static u32 pool_no_memory_once(struct pool *p, int (*op)(struct pool *p))
{
	struct pool_copy copy;
	u32 i;
	int err;

	pool_keep(p, &copy);
	for (i = 1; i < 100; i++) {
		shim_allocations = 0;
		shim_fail_from = i;
		err = op(p);
		shim_fail_from = 0;
		if (!err)
			break;
		CHECK_EQ(err, -ENOMEM);
		pool_unchanged(p, &copy);
		pool_check(p);
	}
	CHECK_EQ(err, 0);
	pool_check(p);
	free(copy.meta);
	return i - 1;
}

void pool_no_memory(void (*make)(struct pool *p, u32 extents), int (*op)(struct pool *p))
{
	u32 extents, failed = 0;

	for (extents = 0; extents < 40; extents++) {
		struct pool p;

		make(&p, extents);
		failed += pool_no_memory_once(&p, op);
		pool_free(&p);
	}
	CHECK(failed);
}

void pool_fix_crc(void *meta, u64 meta_size)
{
	struct guestmemfs_super *s = meta;
	u64 offset = le64_to_cpu(s->tables[GUESTMEMFS_TABLE_RANGES].offset);
	u64 bytes = (u64)le32_to_cpu(s->nr_ranges) * sizeof(struct guestmemfs_range);
	u32 crc;

	/* gmfs_format_open() refuses such tables before it computes the checksum. */
	if (le32_to_cpu(s->nr_ranges) > GUESTMEMFS_MAX_RANGES || offset > meta_size ||
	    bytes > meta_size - offset)
		return;
	s->crc = 0;
	crc = crc32c(~0U, meta, offsetof(struct guestmemfs_super, live));
	s->crc = cpu_to_le32(crc32c(crc, (u8 *)meta + offset, bytes));
}

u64 pool_random(u64 *state)
{
	u64 z = *state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}
