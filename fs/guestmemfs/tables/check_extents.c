// SPDX-License-Identifier: GPL-2.0-only
/*
 * Check the extents of a pool and the poison table, and that the bitmap, the map table, the pin
 * table and the records of absent pages agree with the extents. As in check.c, nothing in the
 * tables is trusted.
 */
#include <linux/bitmap.h>
#include <linux/bitops.h>
#include <linux/errno.h>
#include <linux/limits.h>
#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/stat.h>
#include <linux/string.h>

#include "check.h"
#include "extmap.h"

/* Blocks and map entries of the extents that were looked at; number of extents without blocks. */
struct gmfs_owned {
	unsigned long *blocks;
	unsigned long *maps;
	u32 blockless;
	u32 max_blockless;
};

static bool gmfs_blocks_exist(const struct gmfs_tables *t, u32 block, u32 count)
{
	u32 i;

	for (i = 0; i < t->nr_ranges; i++) {
		u32 first = le32_to_cpu(t->ranges[i].first_block);
		u64 nr = le64_to_cpu(t->ranges[i].size) >> GUESTMEMFS_BLOCK_SHIFT;

		if (block >= first && block - first < nr)
			return count <= nr - (block - first);
	}
	return false;
}

static bool gmfs_state_unknown(const struct gmfs_tables *t, const struct guestmemfs_extent *e)
{
	u32 flags = le32_to_cpu(e->flags);

	if (!t->has_states)
		return flags != GUESTMEMFS_EXTENT_ALLOCATED || e->map || e->reserved;
	return flags & ~GUESTMEMFS_EXTENT_FLAGS || e->reserved;
}

/* Check for combinations of flags, and of flags and other fields, that are not allowed. */
static bool gmfs_state_impossible(const struct guestmemfs_extent *e)
{
	u32 flags = le32_to_cpu(e->flags);
	bool mixed = flags & GUESTMEMFS_EXTENT_MIXED;

	if (!flags || (flags & GMFS_EXTENT_CHARACTER) == GMFS_EXTENT_CHARACTER)
		return true;
	if (!(flags & GUESTMEMFS_EXTENT_ALLOCATED) && e->block)
		return true;
	/* A detached block belongs to no file, so its pages have no character. */
	if (flags & GUESTMEMFS_EXTENT_DETACHED)
		return flags != (GUESTMEMFS_EXTENT_ALLOCATED | GUESTMEMFS_EXTENT_DETACHED) ||
		       e->map || le64_to_cpu(e->logical) != le32_to_cpu(e->block);
	return mixed ? !e->map || e->count != cpu_to_le32(1) : !!e->map;
}

static const char *gmfs_extent_complaint(struct gmfs_checker *k, const struct guestmemfs_extent *e)
{
	u32 ino = le32_to_cpu(e->ino), count = le32_to_cpu(e->count);
	bool detached = le32_to_cpu(e->flags) & GUESTMEMFS_EXTENT_DETACHED;

	if (detached ? ino != GUESTMEMFS_DETACHED_INO :
		       ino >= k->used_inodes || !S_ISREG(le32_to_cpu(k->t->inodes[ino].mode)))
		return detached ? "is detached and of a file" : "is of no file";
	if (gmfs_state_unknown(k->t, e))
		return "in a state that no feature announces";
	if (gmfs_state_impossible(e))
		return "in a state that cannot be";
	if (!count || le64_to_cpu(e->logical) >= GMFS_MAX_LOGICAL ||
	    count > GMFS_MAX_LOGICAL - le64_to_cpu(e->logical))
		return "beyond the largest file";
	if (gmfs_extent_allocated(e) && !gmfs_blocks_exist(k->t, le32_to_cpu(e->block), count))
		return "has blocks that do not exist";
	return NULL;
}

/*
 * Mark the blocks and the map entry of an extent as owned. It is an error if one of them
 * has an owner already, or if there are more extents without blocks than gmfs_blockless_max().
 */
static const char *gmfs_extent_claim(struct gmfs_checker *k, struct gmfs_owned *owned,
				     const struct guestmemfs_extent *e)
{
	u32 block = le32_to_cpu(e->block), count = le32_to_cpu(e->count);
	u32 map = le32_to_cpu(e->map);

	if (gmfs_extent_allocated(e)) {
		if (find_next_bit(owned->blocks, block + count, block) < block + count)
			return "has blocks that another one has";
		bitmap_set(owned->blocks, block, count);
	}
	if (map) {
		if (map >= k->used_maps)
			return "has a map that does not exist";
		if (test_bit(map, owned->maps))
			return "has a map that another one has";
		__set_bit(map, owned->maps);
	}
	owned->blockless += gmfs_extent_is_blockless(le32_to_cpu(e->flags));
	return owned->blockless > owned->max_blockless ? "is one too many without blocks" : NULL;
}

/* Check each extent, and that no two extents have the same block or map entry. */
static int gmfs_check_each_extent(struct gmfs_checker *k, struct gmfs_owned *owned,
				  struct gmfs_index *index)
{
	u32 slot;

	for (slot = 0; slot < k->used_extents; slot++) {
		const struct guestmemfs_extent *e = &k->t->extents[slot];
		const char *what;

		if (!e->ino)
			continue;
		what = gmfs_extent_complaint(k, e);
		if (!what)
			what = gmfs_extent_claim(k, owned, e);
		if (what)
			return gmfs_fail(k, "extent table", slot, what);
		index->slots[index->nr++] = slot;
	}
	return 0;
}

/* A bit must be set if and only if the block has an owner or does not exist. */
static int gmfs_check_bitmap(struct gmfs_checker *k, unsigned long *owned)
{
	u32 next = 0, i, block;

	for (i = 0; i < k->t->nr_ranges; i++) {
		u32 first = le32_to_cpu(k->t->ranges[i].first_block);

		bitmap_set(owned, next, first - next);
		next = first + (le64_to_cpu(k->t->ranges[i].size) >> GUESTMEMFS_BLOCK_SHIFT);
	}
	bitmap_set(owned, next, k->t->nr_blocks - next);
	if (bitmap_equal(owned, k->t->bitmap, k->t->nr_blocks))
		return 0;
	bitmap_xor(owned, owned, k->t->bitmap, k->t->nr_blocks);
	block = find_first_bit(owned, k->t->nr_blocks);
	return gmfs_fail(k, "bitmap", block, test_bit(block, k->t->bitmap) ?
			"is taken but nobody's" : "is free but somebody's");
}

static int gmfs_cmp_extents(const void *a, const void *b, const void *priv)
{
	const struct gmfs_tables *t = priv;
	const struct guestmemfs_extent *x = &t->extents[*(const u32 *)a];
	const struct guestmemfs_extent *y = &t->extents[*(const u32 *)b];

	if (x->ino != y->ino)
		return le32_to_cpu(x->ino) < le32_to_cpu(y->ino) ? -1 : 1;
	if (x->logical != y->logical)
		return le64_to_cpu(x->logical) < le64_to_cpu(y->logical) ? -1 : 1;
	return 0;
}

/* Sort the index, and check that no two extents of a file overlap. */
static int gmfs_check_offsets(struct gmfs_checker *k, struct gmfs_index *index)
{
	u32 i;

	sort_r(index->slots, index->nr, sizeof(u32), gmfs_cmp_extents, NULL, k->t);
	for (i = 1; i < index->nr; i++) {
		const struct guestmemfs_extent *a = &k->t->extents[index->slots[i - 1]];
		const struct guestmemfs_extent *b = &k->t->extents[index->slots[i]];

		if (a->ino == b->ino &&
		    le64_to_cpu(a->logical) + le32_to_cpu(a->count) > le64_to_cpu(b->logical))
			return gmfs_fail(k, "extent table", index->slots[i],
					"has offsets that another one has");
	}
	return 0;
}

/* A map entry with an owner must have set and clear bits. All others must be zero. */
static int gmfs_check_maps(struct gmfs_checker *k, const unsigned long *owned)
{
	u32 i;

	for (i = 0; i < k->used_maps; i++) {
		const u8 *bits = k->t->maps[i].bits;
		const size_t size = sizeof(k->t->maps[i].bits);
		bool zero = !memchr_inv(bits, 0, size);

		if (!test_bit(i, owned) && !zero)
			return gmfs_fail(k, "map table", i, "is taken but nobody's");
		if (test_bit(i, owned) && (zero || !memchr_inv(bits, 0xff, size)))
			return gmfs_fail(k, "map table", i, "has pages of one kind only");
	}
	return 0;
}

/* Returns the error of a record of the pin table as text, NULL if it has none. */
static const char *gmfs_pin_complaint(struct gmfs_checker *k, const struct guestmemfs_pin *pin,
				      const unsigned long *owned)
{
	u64 frame = le64_to_cpu(pin->frame), count = le64_to_cpu(pin->count);
	u64 frames = (u64)k->t->nr_blocks * GUESTMEMFS_BLOCK_PAGES;
	u32 ino = le32_to_cpu(pin->ino), end;

	if (!count || frame >= frames || count > frames - frame)
		return "has no frames, or frames that do not exist";
	end = DIV_ROUND_UP(frame + count, GUESTMEMFS_BLOCK_PAGES);
	if (find_next_zero_bit(owned, end, frame / GUESTMEMFS_BLOCK_PAGES) < end)
		return "has blocks that are free or do not exist";
	if (ino >= k->used_inodes || !S_ISREG(le32_to_cpu(k->t->inodes[ino].mode)) ||
	    !(le32_to_cpu(k->t->inodes[ino].flags) & GUESTMEMFS_INODE_PINS))
		return "is of no file that can have pins";
	return pin->reserved ? "with unknown fields" : NULL;
}

static int gmfs_check_pins(struct gmfs_checker *k, const unsigned long *owned)
{
	u64 end = 0;
	u32 i;

	for (i = 0; i < k->used_pins; i++) {
		const struct guestmemfs_pin *pin = &k->t->pin_records[i];
		const char *what = gmfs_pin_complaint(k, pin, owned);

		if (!what && le64_to_cpu(pin->frame) < end)
			what = "overlaps or is not in order";
		if (what)
			return gmfs_fail(k, "pin table", i, what);
		end = le64_to_cpu(pin->frame) + le64_to_cpu(pin->count);
	}
	return 0;
}

/* The first record of the pin table that ends after a frame. The records are in order. */
static u32 gmfs_pin_after(const struct gmfs_checker *k, u64 frame)
{
	u32 low = 0, high = k->used_pins;

	while (low < high) {
		u32 mid = low + (high - low) / 2;
		const struct guestmemfs_pin *pin = &k->t->pin_records[mid];

		if (le64_to_cpu(pin->frame) + le64_to_cpu(pin->count) <= frame)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Pins on the blocks of an extent must be its file's; a detached block may have any file's pins. */
static int gmfs_check_pins_of(struct gmfs_checker *k, const struct guestmemfs_extent *e)
{
	u64 frame = (u64)le32_to_cpu(e->block) * GUESTMEMFS_BLOCK_PAGES;
	u64 end = frame + (u64)le32_to_cpu(e->count) * GUESTMEMFS_BLOCK_PAGES;
	u32 i;

	if (!gmfs_extent_allocated(e) || le32_to_cpu(e->flags) & GUESTMEMFS_EXTENT_DETACHED)
		return 0;
	for (i = gmfs_pin_after(k, frame); i < k->used_pins; i++) {
		const struct guestmemfs_pin *pin = &k->t->pin_records[i];

		if (le64_to_cpu(pin->frame) >= end)
			break;
		if (pin->ino != e->ino)
			return gmfs_fail(k, "pin table", i, "has blocks of another file");
	}
	return 0;
}

/* Check that no file has a pin on a block of another file. */
static int gmfs_check_pin_owners(struct gmfs_checker *k, const struct gmfs_index *index)
{
	int err = 0;
	u32 i;

	for (i = 0; k->used_pins && i < index->nr && !err; i++)
		err = gmfs_check_pins_of(k, &k->t->extents[index->slots[i]]);
	return err;
}

/* The frames must exist. The same frame may have more than one record. */
static int gmfs_check_poison(struct gmfs_checker *k)
{
	u64 frames = (u64)k->t->nr_blocks * GUESTMEMFS_BLOCK_PAGES;
	u32 i;

	for (i = 0; i < k->used_poison; i++) {
		const struct guestmemfs_poison *p = &k->t->poison[i];
		u64 frame = le64_to_cpu(p->page);

		if (frame >= frames || !gmfs_blocks_exist(k->t, frame / GUESTMEMFS_BLOCK_PAGES, 1))
			return gmfs_fail(k, "poison table", i, "has a frame that does not exist");
		if (p->flags || p->reserved)
			return gmfs_fail(k, "poison table", i, "with unknown fields");
	}
	return 0;
}

/* Returns the error of a record of absent pages as text, NULL if it has none. */
static const char *gmfs_absent_complaint(const struct gmfs_checker *k,
					 const struct guestmemfs_absent *record,
					 const unsigned long *left)
{
	u32 slot = le32_to_cpu(record->extent), block = le32_to_cpu(record->block), first;
	const struct guestmemfs_extent *e;

	if (slot >= k->used_extents)
		return "is of no extent";
	e = &k->t->extents[slot];
	if (!e->ino || !gmfs_extent_allocated(e) ||
	    le32_to_cpu(e->flags) & GUESTMEMFS_EXTENT_DETACHED)
		return "is of no extent";
	first = le32_to_cpu(e->block);
	if (block < first || block - first >= le32_to_cpu(e->count))
		return "is not in its extent";
	return test_bit(block, left) ? NULL : "is of a block that another one has";
}

/*
 * Check the records of absent pages. The bits of their blocks in @owned are clear while this runs,
 * so that a second record of a block is found.
 */
static int gmfs_check_absent(struct gmfs_checker *k, unsigned long *owned)
{
	u32 used = k->used_maps, i;
	const struct guestmemfs_absent *records = (const void *)&k->t->maps[used];

	for (i = 0; i < k->nr_absent; i++) {
		const char *what = gmfs_absent_complaint(k, &records[i], owned);

		if (what)
			return gmfs_fail(k, "absent pages", i, what);
		__clear_bit(le32_to_cpu(records[i].block), owned);
	}
	for (i = 0; i < k->nr_absent; i++)
		__set_bit(le32_to_cpu(records[i].block), owned);
	return 0;
}

/**
 * gmfs_check_extents - check extents, pins, poison, bitmap and maps
 * @k: a check that has accepted the inodes and the superblock's counts
 * @index: filled in; its slots have room for all used extents
 *
 * Return: 0, -EUCLEAN or -ENOMEM.
 */
int gmfs_check_extents(struct gmfs_checker *k, struct gmfs_index *index)
{
	unsigned long *blocks __free(kvfree) =
		gmfs_calloc(BITS_TO_LONGS(max(k->t->nr_blocks, 1U)), sizeof(long));
	unsigned long *maps __free(kvfree) =
		gmfs_calloc(BITS_TO_LONGS(max(k->used_maps, 1U)), sizeof(long));
	struct gmfs_owned owned = { .blocks = blocks, .maps = maps };
	u64 total = 0;
	int err;
	u32 i;

	if (!blocks || !maps)
		return -ENOMEM;
	for (i = 0; i < k->t->nr_ranges; i++)
		total += le64_to_cpu(k->t->ranges[i].size) >> GUESTMEMFS_BLOCK_SHIFT;
	owned.max_blockless = gmfs_blockless_max(k->t, total);
	err = gmfs_check_each_extent(k, &owned, index);
	if (!err)
		err = gmfs_check_maps(k, maps);
	/* gmfs_check_bitmap() changes the bitmap of blocks that have an owner. */
	if (!err)
		err = gmfs_check_pins(k, blocks);
	if (!err)
		err = gmfs_check_pin_owners(k, index);
	if (!err)
		err = gmfs_check_absent(k, blocks);
	if (!err)
		err = gmfs_check_poison(k);
	if (!err)
		err = gmfs_check_bitmap(k, blocks);
	return err ? err : gmfs_check_offsets(k, index);
}
