// SPDX-License-Identifier: GPL-2.0-only
/*
 * Makes a pool for tests of gmfs_check(), and applies the changes of its tables that a struct state
 * lists.
 */
#include "state.h"

static void make_orphan(struct pool *p)
{
	struct guestmemfs_inode *di = &p->t.inodes[ORPHAN];

	pool_name(p, ORPHAN, 0, "");
	di->flags = cpu_to_le32(GUESTMEMFS_INODE_ORPHAN);
}

static void expect_extent(const struct pool *p, u32 slot, u32 ino, u64 logical, u32 block,
			  u32 count)
{
	const struct guestmemfs_extent *e = &p->t.extents[slot];

	CHECK_EQ(le32_to_cpu(e->ino), ino);
	CHECK_EQ(le64_to_cpu(e->logical), logical);
	CHECK_EQ(le32_to_cpu(e->block), block);
	CHECK_EQ(le32_to_cpu(e->count), count);
}

static void make_extents(struct pool *p)
{
	CHECK_EQ(pool_fill(p, 0, 0, 4), 0);
	CHECK_EQ(pool_fill(p, 0, 10, 4), 0);
	CHECK_EQ(pool_fill(p, 0, 20, 4), 0);
	CHECK_EQ(pool_fill(p, 1, 0, 3), 0);
	CHECK_EQ(pool_fill(p, 3, 5, 1), 0);
	CHECK_EQ(pool_fill(p, 1, 100, 1), 0);
	CHECK_EQ(pool_punch(p, 1, 100, 1), 0);
	/* Keep entry 5 free: the next fill must not use it. */
	gmfs_ids_take(&p->t.extent_ids, 5);
	CHECK_EQ(pool_fill(p, 2, 0, 1), 0);
	gmfs_ids_drop(&p->t.extent_ids, 5);
	expect_extent(p, 0, FILE0, 0, 448, 4);
	expect_extent(p, 1, FILE0, 10, 458, 4);
	expect_extent(p, 2, FILE0, 20, 468, 4);
	expect_extent(p, 3, FILE1, 0, 452, 3);
	expect_extent(p, 4, ORPHAN, 5, 455, 1);
	expect_extent(p, 5, 0, 0, 0, 0);
	expect_extent(p, 6, FILE2, 0, 456, 1);
	CHECK_EQ(le32_to_cpu(p->t.super->live.used_extents), EXTENTS);
}

void state_make(struct pool *p)
{
	const struct gmfs_range ranges[] = { { 896 * MIB, 128 * MIB }, { 2 * GIB, GIB } };
	u32 ino;

	pool_make(p, ranges, 2);
	CHECK_EQ(pool_dir(p, GUESTMEMFS_ROOT_INO, "a"), DIR_A);
	CHECK_EQ(pool_dir(p, DIR_A, "b"), DIR_B);
	CHECK_EQ(p->ino[pool_file(p)], FILE0);
	CHECK_EQ(p->ino[pool_file(p)], FILE1);
	CHECK_EQ(p->ino[pool_file(p)], FILE2);
	pool_name(p, FILE2, DIR_B, "file2");
	CHECK_EQ(p->ino[pool_file(p)], ORPHAN);
	make_orphan(p);
	ino = pool_dir(p, GUESTMEMFS_ROOT_INO, "freed");
	CHECK_EQ(pool_dir(p, GUESTMEMFS_ROOT_INO, "d"), DIR_D);
	gmfs_inode_free(&p->t, ino);
	CHECK_EQ(ino, FREED);
	CHECK_EQ(le32_to_cpu(p->t.super->live.used_inodes), INODES);
	make_extents(p);
	pool_check(p);
}

static void expect_state(const struct pool *p, u32 slot, u32 flags, u32 map)
{
	CHECK_EQ(le32_to_cpu(p->t.extents[slot].flags), flags);
	CHECK_EQ(le32_to_cpu(p->t.extents[slot].map), map);
}

void state_make_converted(struct pool *p)
{
	const u32 pages = GUESTMEMFS_BLOCK_PAGES, has_blocks = GUESTMEMFS_EXTENT_ALLOCATED;

	state_make(p);
	gmfs_ids_take(&p->t.extent_ids, 5);
	CHECK_EQ(pool_convert(p, 0, 10 * pages, 14 * pages, true), 0);
	CHECK_EQ(pool_convert(p, 3, 5 * pages, 5 * pages + 1, true), 0);
	CHECK_EQ(pool_convert(p, 1, 200 * pages, 202 * pages, true), 0);
	CHECK_EQ(pool_convert(p, 1, 300 * pages + 1, 300 * pages + 2, true), 0);
	gmfs_ids_drop(&p->t.extent_ids, 5);
	CHECK_EQ(pool_pin(p, 0, 20 * pages, 24 * pages), 0);
	CHECK_EQ(pool_punch(p, 0, 20, 4), 0);
	expect_state(p, 1, has_blocks | GUESTMEMFS_EXTENT_CONVERTED, 0);
	expect_extent(p, 2, 0, 0, 0, 0);
	expect_state(p, 4, has_blocks | GUESTMEMFS_EXTENT_MIXED, 1);
	expect_state(p, 5, has_blocks | GUESTMEMFS_EXTENT_DETACHED, 0);
	expect_state(p, 7, GUESTMEMFS_EXTENT_CONVERTED, 0);
	expect_state(p, 8, GUESTMEMFS_EXTENT_MIXED, 2);
	expect_extent(p, 5, GUESTMEMFS_DETACHED_INO, 468, 468, 4);
	expect_extent(p, 7, FILE1, 200, 0, 2);
	expect_extent(p, 8, FILE1, 300, 0, 1);
	CHECK_EQ(le32_to_cpu(p->t.super->live.used_extents), EXTENTS + 2);
	CHECK_EQ(le32_to_cpu(p->t.super->live.used_maps), 3);
	pool_check(p);
}

static void make_absent(struct pool *p, u32 file, u64 logical, u32 page, u32 count)
{
	unsigned long *bits = gmfs_absent_record(&p->t, &p->map[file], logical);

	CHECK(bits && !memchr_inv(bits, 0, GUESTMEMFS_BLOCK_PAGES / 8));
	bitmap_set(bits, page, count);
}

void state_make_absent(struct pool *p)
{
	state_make_converted(p);
	p->t.super->live.hops = cpu_to_le32(7);
	CHECK(!gmfs_absent_trim(&p->t));
	make_absent(p, 0, 0, 0, 1);
	make_absent(p, 0, 2, 100, 411);
	make_absent(p, 3, 5, 0, GUESTMEMFS_BLOCK_PAGES);
	CHECK_EQ(gmfs_absent_records(&p->t), 0);
	gmfs_absent_seal(&p->t);
	CHECK_EQ(gmfs_absent_records(&p->t), 3);
	pool_check(p);
}

static void *patch_entry(struct pool *p, const struct patch *patch)
{
	switch (patch->place) {
	case AT_SUPER:
		return p->t.super;
	case AT_TABLE:
		return &p->t.super->tables[patch->index];
	case AT_RANGE:
		return &p->t.ranges[patch->index];
	case AT_LIVE:
		return &p->t.super->live;
	case AT_INODE:
		return &p->t.inodes[patch->index];
	case AT_EXTENT:
		return &p->t.extents[patch->index];
	case AT_MAP:
		return &p->t.maps[patch->index];
	case AT_ABSENT:
		return (struct guestmemfs_absent *)
		       &p->t.maps[le32_to_cpu(p->t.super->live.used_maps)] + patch->index;
	default:
		return NULL;
	}
}

void *patch_place(struct pool *p, const struct patch *patch)
{
	void *entry = patch_entry(p, patch);

	CHECK(entry);
	return (u8 *)entry + patch->field.offset;
}

static void patch_name(struct pool *p, const struct patch *patch)
{
	struct guestmemfs_inode *di = &p->t.inodes[patch->index];

	di->name_len = cpu_to_le16(patch->field.size);
	memset(di->name, 0, sizeof(di->name));
	memcpy(di->name, patch->text, patch->field.size);
}

static void patch_apply(struct pool *p, const struct patch *patch)
{
	__le64 value = cpu_to_le64(patch->value);

	switch (patch->place) {
	case AT_NOTHING:
		break;
	case AT_NAME:
		patch_name(p, patch);
		break;
	case AT_BITMAP:
		if (patch->value)
			set_bit(patch->index, p->t.bitmap);
		else
			clear_bit(patch->index, p->t.bitmap);
		break;
	default:
		CHECK(patch->field.size <= sizeof(value));
		memcpy(patch_place(p, patch), &value, patch->field.size);
	}
}

void state_apply(struct pool *p, const struct state *s)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(s->patch); i++)
		patch_apply(p, &s->patch[i]);
}

void state_expect(const struct state *s, int err, const struct gmfs_complaint *c)
{
	if (err && err != -EUCLEAN)
		FAIL("error %d", err);
	if (err && !s->table)
		FAIL("refused: %s %llu %s", c->table, c->entry, c->what);
	if (!err && s->table)
		FAIL("accepted");
	if (!err)
		return;
	CHECK_STR(c->table, s->table);
	CHECK_STR(c->what, s->what);
	if (!s->or_entry || c->entry != s->or_entry)
		CHECK_EQ(c->entry, s->entry);
}

u32 state_check(const struct state *s, void (*make)(struct pool *p))
{
	struct gmfs_complaint c = {};
	struct gmfs_index index;
	struct pool p;
	int err;
	u32 nr;

	make(&p);
	state_apply(&p, s);
	err = gmfs_check(&p.t, &index, &c);
	state_expect(s, err, &c);
	CHECK_EQ(!err, !!index.slots);
	nr = err ? 0 : index.nr;
	gmfs_index_free(&index);
	pool_free(&p);
	return nr;
}

void state_complaints(const struct state *states, u32 nr, void (*fn)(const char *what))
{
	u32 i;

	for (i = 0; i < nr; i++)
		if (states[i].what)
			fn(states[i].what);
}
