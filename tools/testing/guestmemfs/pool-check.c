// SPDX-License-Identifier: GPL-2.0-only
/*
 * Checks that the tables of a pool are well formed, and agree with the maps and the pins.
 */
#include <linux/xarray.h>

#include "tables_pool.h"

static void pool_check_counts(const struct gmfs_tables *t)
{
	u32 inodes = 0, ino;

	CHECK_EQ(t->free_blocks, t->nr_blocks - bitmap_weight(t->bitmap, t->nr_blocks));
	for (ino = GUESTMEMFS_ROOT_INO; ino < le32_to_cpu(t->super->live.used_inodes); ino++)
		inodes += !!t->inodes[ino].mode;
	CHECK_EQ(t->free_inodes, t->nr_inodes - 1 - inodes);
}

/* Could these two neighbouring extents be a single one? */
static bool pool_joins(const struct gmfs_tables *t, const struct guestmemfs_extent *a,
		       const struct guestmemfs_extent *b)
{
	u32 flags = le32_to_cpu(a->flags);
	u64 end = le64_to_cpu(a->logical) + le32_to_cpu(a->count);
	u32 behind = le32_to_cpu(a->block) + le32_to_cpu(a->count);

	if (a->flags != b->flags || end != le64_to_cpu(b->logical) ||
	    le32_to_cpu(b->count) > U32_MAX - le32_to_cpu(a->count) ||
	    flags & GUESTMEMFS_EXTENT_MIXED)
		return false;
	return !(flags & GUESTMEMFS_EXTENT_ALLOCATED) ||
	       (behind == le32_to_cpu(b->block) &&
		gmfs_block_range(t, behind - 1) == gmfs_block_range(t, behind));
}

/* Checks that a map has no more extents than it needs. Returns the number of its extents. */
static u32 pool_check_map(const struct pool *p, const struct gmfs_extmap *map, u32 *states,
			  u32 *mixed)
{
	MA_STATE(mas, (struct maple_tree *)&map->tree, 0, 0);
	const struct guestmemfs_extent *last = NULL;
	u64 blocks = 0;
	void *entry;
	u32 nr = 0;

	mas_for_each(&mas, entry, ULONG_MAX) {
		const struct guestmemfs_extent *e = &p->t.extents[xa_to_value(entry)];
		u32 flags = le32_to_cpu(e->flags);

		CHECK_EQ(mas.index, le64_to_cpu(e->logical));
		CHECK_EQ(mas.last, le64_to_cpu(e->logical) + le32_to_cpu(e->count) - 1);
		if (last && pool_joins(&p->t, last, e))
			FAIL("inode %u: extent %u could be one with that before",
			     le32_to_cpu(e->ino), nr);
		last = e;
		*mixed += !!(flags & GUESTMEMFS_EXTENT_MIXED);
		*states += !(flags & GUESTMEMFS_EXTENT_ALLOCATED);
		CHECK_EQ(!!(flags & GUESTMEMFS_EXTENT_DETACHED), map == &p->t.detached);
		if (flags & GUESTMEMFS_EXTENT_ALLOCATED)
			blocks += le32_to_cpu(e->count);
		if (flags != GUESTMEMFS_EXTENT_ALLOCATED)
			CHECK(p->t.has_states && p->t.super->feature_incompat);
		nr++;
	}
	CHECK_EQ(map->blocks, blocks);
	return nr;
}

/* Checks that detached blocks are where their extents say. */
static void pool_check_detached(const struct pool *p)
{
	MA_STATE(mas, (struct maple_tree *)&p->t.detached.tree, 0, 0);
	u32 states = 0, mixed = 0;
	void *entry;

	pool_check_map(p, &p->t.detached, &states, &mixed);
	CHECK_EQ(states + mixed, 0);
	mas_for_each(&mas, entry, ULONG_MAX) {
		const struct guestmemfs_extent *e = &p->t.extents[xa_to_value(entry)];

		CHECK_EQ(le32_to_cpu(e->block), mas.index);
		CHECK_EQ(le32_to_cpu(e->ino), GUESTMEMFS_DETACHED_INO);
		CHECK_EQ(le32_to_cpu(e->flags),
			 GUESTMEMFS_EXTENT_ALLOCATED | GUESTMEMFS_EXTENT_DETACHED);
	}
	CHECK(mtree_empty(&p->t.detached.cover));
}

/* Checks that equal neighbours are one range, and that the number of pinned frames is right. */
static void pool_check_pins(const struct pool *p)
{
	MA_STATE(mas, (struct maple_tree *)&p->pins.counts, 0, 0);
	unsigned long pins = 0;
	u64 end = 0, frames = 0;
	void *entry;

	mas_for_each(&mas, entry, ULONG_MAX) {
		CHECK(xa_to_value(entry));
		CHECK(mas.index != end || xa_to_value(entry) != pins);
		pins = xa_to_value(entry);
		end = mas.last + 1;
		frames += end - mas.index;
	}
	CHECK_EQ(p->pins.frames, frames);
}

/* Returns how many ranges of persistent pins a file has. */
static u32 pool_check_owner(const struct pool *p, u32 ino)
{
	MA_STATE(mas, (struct maple_tree *)&p->persist.files, ino, ino);
	MA_STATE(owners, (struct maple_tree *)&p->persist.owners, 0, 0);
	void *entry = mas_walk(&mas);
	u32 nr = 0;

	if (entry) {
		CHECK_EQ(mas.index, mas.last);
		CHECK(le32_to_cpu(p->t.inodes[ino].flags) & GUESTMEMFS_INODE_PINS);
		nr = xa_to_value(entry);
		CHECK(nr);
	}
	mas_for_each(&owners, entry, ULONG_MAX)
		nr -= xa_to_value(entry) >> 1 == ino;
	CHECK(!nr);
	mas_set(&mas, ino);
	entry = mas_walk(&mas);
	return entry ? xa_to_value(entry) : 0;
}

/* The same for persistent pins. Each of these is a pin, too. */
static void pool_check_persistent(const struct pool *p)
{
	MA_STATE(mas, (struct maple_tree *)&p->persist.owners, 0, 0);
	u64 end = 0, frames = 0, inherited = 0, first, last;
	unsigned long owner = 0;
	u32 nr = 0, files = 0;
	void *entry;

	mas_for_each(&mas, entry, ULONG_MAX) {
		CHECK(mas.index != end || xa_to_value(entry) != owner);
		owner = xa_to_value(entry);
		CHECK(owner >> 1);
		frames += mas.last + 1 - mas.index;
		inherited += owner & 1 ? mas.last + 1 - mas.index : 0;
		for (end = mas.index; end <= mas.last; end = last) {
			CHECK(gmfs_pins_find(&p->pins, end, mas.last + 1, &first, &last));
			CHECK_EQ(first, end);
		}
		nr++;
	}
	CHECK_EQ(p->persist.frames, frames);
	CHECK_EQ(p->persist.inherited, inherited);
	CHECK_EQ(p->persist.nr, nr);
	CHECK(nr <= p->t.nr_pins);
	for (owner = 0; owner < le32_to_cpu(p->t.super->live.used_inodes); owner++)
		files += pool_check_owner(p, owner);
	CHECK_EQ(files, nr);
}

/* Checks that each poisoned frame has a record, and that its block is not free. */
static void pool_check_poison(const struct pool *p)
{
	MA_STATE(mas, (struct maple_tree *)&p->poisoned.frames, 0, 0);
	u32 used = le32_to_cpu(p->t.super->live.used_poison), i;
	u64 nr = 0;
	void *entry;

	mas_for_each(&mas, entry, ULONG_MAX) {
		CHECK_EQ(mas.index, mas.last);
		CHECK(test_bit(mas.index / GUESTMEMFS_BLOCK_PAGES, p->t.bitmap));
		for (i = 0; i < used && le64_to_cpu(p->t.poison[i].page) != mas.index; i++)
			;
		CHECK(i < used || used == p->t.nr_poison);
		nr++;
	}
	CHECK_EQ(p->poisoned.nr, nr);
	CHECK(!used || p->t.has_poison);
}

/* Returns how many blocks of the reserved (covered) parts of a file are not allocated. */
static u64 pool_check_covers(const struct pool *p, u32 file)
{
	MA_STATE(mas, (struct maple_tree *)&p->map[file].cover, 0, 0);
	u64 missing = 0, from, to;
	void *entry, *slot;

	pool_covers(p, file);
	mas_for_each(&mas, entry, ULONG_MAX) {
		MA_STATE(part, (struct maple_tree *)&p->map[file].tree, mas.index, mas.index);

		missing += mas.last - mas.index + 1;
		mas_for_each(&part, slot, mas.last) {
			if (!(le32_to_cpu(p->t.extents[xa_to_value(slot)].flags) &
			      GUESTMEMFS_EXTENT_ALLOCATED))
				continue;
			from = max(part.index, mas.index);
			to = min(part.last, mas.last);
			missing -= to - from + 1;
		}
	}
	return missing;
}

/* Checks the counts of states, maps and promised blocks: only reservations promise blocks. */
static void pool_check_states(const struct pool *p)
{
	u32 file, states = 0, mixed = 0;
	u64 promised = 0;

	for (file = 0; file < p->nr_files; file++) {
		pool_check_map(p, &p->map[file], &states, &mixed);
		promised += pool_check_covers(p, file);
	}
	CHECK_EQ(p->t.nr_blockless, states);
	CHECK_EQ(p->t.free_maps, p->t.nr_maps - 1 - mixed);
	CHECK_EQ(p->t.promised_blocks, promised);
	CHECK(!p->t.promised_blockless && !p->t.promised_maps);
}

/* Compares the index with the extents of a map. Returns the first one of the next map. */
static u32 pool_check_index(const struct gmfs_extmap *map, const struct gmfs_index *index, u32 at)
{
	MA_STATE(mas, (struct maple_tree *)&map->tree, 0, 0);
	void *entry;

	mas_for_each(&mas, entry, ULONG_MAX) {
		CHECK(at < index->nr);
		CHECK_EQ(index->slots[at++], xa_to_value(entry));
	}
	return at;
}

void pool_check(struct pool *p)
{
	struct gmfs_complaint c = {};
	struct gmfs_index index;
	u32 i, at = 0;
	int err;

	pool_write_pins(p);
	err = gmfs_check(&p->t, &index, &c);
	if (err)
		FAIL("check: %d: %s %llu %s", err, c.table, c.entry, c.what);
	/* Detached extents are the first ones; pool_file() numbers files in the order of inodes. */
	at = pool_check_index(&p->t.detached, &index, at);
	for (i = 0; i < p->nr_files; i++)
		at = pool_check_index(&p->map[i], &index, at);
	CHECK_EQ(index.nr, at);
	gmfs_index_free(&index);
	pool_check_detached(p);
	pool_check_pins(p);
	pool_check_persistent(p);
	pool_check_poison(p);
	pool_check_counts(&p->t);
	recount(&p->t);
	pool_check_states(p);
}
