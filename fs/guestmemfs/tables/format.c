// SPDX-License-Identifier: GPL-2.0-only
/*
 * The superblock and the layout of the tables. The layout is fixed when a pool is made. A
 * later kernel trusts both only as far as it can check them.
 */
#include <linux/bitmap.h>
#include <linux/crc32c.h>
#include <linux/errno.h>
#include <linux/limits.h>
#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/string.h>

#include "tables.h"

/*
 * An inode takes more metadata than all other entries for a block, and most files have gigabytes: a
 * pool has inodes for files of four blocks. The minimum is for a small pool with many files and
 * directories. Kernels open pools with any number from the minimum on.
 */
#define GMFS_MIN_INODES		16384U
#define GMFS_SPARE_INODES	1024U
#define GMFS_BLOCKS_PER_INODE	4U
/* At worst each block needs an extent of its own; as many are for extents without blocks. */
#define GMFS_EXTENTS_PER_BLOCK	2U
#define GMFS_MIN_POISON		1024U
/* A record for each block: at worst no two pinned blocks are adjacent. */
#define GMFS_MIN_PINS		1024U

#define GMFS_META_ALIGN		GMFS_BLOCK_SIZE

static const u32 gmfs_entry_size[GUESTMEMFS_NR_TABLES] = {
	[GUESTMEMFS_TABLE_RANGES]	= sizeof(struct guestmemfs_range),
	[GUESTMEMFS_TABLE_BITMAP]	= 0,
	[GUESTMEMFS_TABLE_UNZEROED]	= 0,
	[GUESTMEMFS_TABLE_INODES]	= sizeof(struct guestmemfs_inode),
	[GUESTMEMFS_TABLE_EXTENTS]	= sizeof(struct guestmemfs_extent),
	[GUESTMEMFS_TABLE_MAPS]		= sizeof(struct guestmemfs_map),
	[GUESTMEMFS_TABLE_POISON]	= sizeof(struct guestmemfs_poison),
	[GUESTMEMFS_TABLE_PINS]		= sizeof(struct guestmemfs_pin),
};

static bool gmfs_range_valid(u64 base, u64 size, u64 prev_end)
{
	if (!size || (base | size) % GUESTMEMFS_RANGE_ALIGN)
		return false;
	return base >= prev_end && base <= S64_MAX && size <= S64_MAX - base;
}

/**
 * gmfs_count_blocks - count the block numbers of a pool
 * @ranges: the pool's ranges, ascending by address
 * @nr: number of ranges
 * @nr_blocks: result, at most %GUESTMEMFS_MAX_BLOCKS
 *
 * Return: 0; -EINVAL if there are no or too many ranges, if a range is empty, not aligned,
 * beyond the address space or not above the previous one, or if there are too many blocks
 * for a pool.
 */
int gmfs_count_blocks(const struct gmfs_range *ranges, u32 nr, u32 *nr_blocks)
{
	u64 end = 0, next = 0;
	u32 i;

	if (!nr || nr > GUESTMEMFS_MAX_RANGES)
		return -EINVAL;
	for (i = 0; i < nr; i++) {
		if (!gmfs_range_valid(ranges[i].base, ranges[i].size, end))
			return -EINVAL;
		end = ranges[i].base + ranges[i].size;
		next = gmfs_first_block(ranges[i].base, next) +
		       (ranges[i].size >> GUESTMEMFS_BLOCK_SHIFT);
		if (next > GUESTMEMFS_MAX_BLOCKS)
			return -EINVAL;
	}
	*nr_blocks = next;
	return 0;
}

static u64 gmfs_table_bytes(u64 entries, u32 entry_size)
{
	/* Bitmaps are read in whole words. */
	return entry_size ? entries * entry_size : DIV_ROUND_UP(entries, 64) * 8;
}

/*
 * Fills in @descs for a pool that has @nr_blocks and may get @room more. @room adds no inodes.
 * Returns the size of all metadata.
 */
static u64 gmfs_layout(u32 nr_blocks, u32 room, struct guestmemfs_table_desc *descs)
{
	const u32 nr_inodes = nr_blocks / GMFS_BLOCKS_PER_INODE + GMFS_SPARE_INODES;
	/* gmfs_resize_add() gives new ranges numbers in groups of their own. */
	const u32 capacity = room ? round_up(nr_blocks, GUESTMEMFS_GROUP_BLOCKS) + room : nr_blocks;
	const u32 entries[GUESTMEMFS_NR_TABLES] = {
		[GUESTMEMFS_TABLE_RANGES]	= GUESTMEMFS_MAX_RANGES,
		[GUESTMEMFS_TABLE_BITMAP]	= capacity,
		[GUESTMEMFS_TABLE_UNZEROED]	= capacity,
		[GUESTMEMFS_TABLE_INODES]	= max(GMFS_MIN_INODES, nr_inodes),
		[GUESTMEMFS_TABLE_EXTENTS]	= capacity * GMFS_EXTENTS_PER_BLOCK +
						  GMFS_SPARE_EXTENTS,
		[GUESTMEMFS_TABLE_MAPS]		= capacity,
		[GUESTMEMFS_TABLE_POISON]	= max(GMFS_MIN_POISON, capacity),
		[GUESTMEMFS_TABLE_PINS]		= max(GMFS_MIN_PINS, capacity),
	};
	u64 offset = sizeof(struct guestmemfs_super);
	u32 i;

	for (i = 0; i < GUESTMEMFS_NR_TABLES; i++) {
		descs[i].offset = cpu_to_le64(offset);
		descs[i].entries = cpu_to_le32(entries[i]);
		descs[i].entry_size = cpu_to_le32(gmfs_entry_size[i]);
		offset += gmfs_table_bytes(entries[i], gmfs_entry_size[i]);
		offset = round_up(offset, (u64)GUESTMEMFS_TABLE_ALIGN);
	}
	return round_up(offset, GMFS_META_ALIGN);
}

/* As gmfs_count_blocks(), for a new pool: it may have no ranges if it has room for some. */
static int gmfs_format_blocks(const struct gmfs_range *ranges, u32 nr, u32 room, u32 *nr_blocks)
{
	int err = 0;

	*nr_blocks = 0;
	if (nr || !room)
		err = gmfs_count_blocks(ranges, nr, nr_blocks);
	if (!err && room > GUESTMEMFS_MAX_BLOCKS - round_up(*nr_blocks, GUESTMEMFS_GROUP_BLOCKS))
		err = -EINVAL;
	return err;
}

/**
 * gmfs_format_size - compute the size of a pool's metadata
 * @ranges: the pool's ranges, ascending by address
 * @nr: number of ranges, may be 0 if @room is not
 * @room: number of blocks that the pool may get later
 * @meta_size: result in bytes, a multiple of 2 MiB
 *
 * Return: 0; the error of gmfs_count_blocks(), or -EINVAL if there is too much room for a pool.
 */
int gmfs_format_size(const struct gmfs_range *ranges, u32 nr, u32 room, u64 *meta_size)
{
	struct guestmemfs_table_desc descs[GUESTMEMFS_NR_TABLES];
	u32 nr_blocks;
	int err;

	err = gmfs_format_blocks(ranges, nr, room, &nr_blocks);
	if (!err)
		*meta_size = gmfs_layout(nr_blocks, room, descs);
	return err;
}

/**
 * gmfs_format_room - for how many more blocks metadata has room
 * @ranges: the pool's ranges, ascending by address
 * @nr: number of ranges
 * @meta_size: bytes of metadata
 *
 * Return: number of blocks, a multiple of a group; 0 if the ranges or the size are wrong.
 */
u32 gmfs_format_room(const struct gmfs_range *ranges, u32 nr, u64 meta_size)
{
	u32 low = 0, high = GUESTMEMFS_MAX_BLOCKS / GUESTMEMFS_GROUP_BLOCKS;
	u64 size;

	while (low < high) {
		u32 middle = (low + high + 1) / 2;

		if (gmfs_format_size(ranges, nr, middle * GUESTMEMFS_GROUP_BLOCKS, &size) ||
		    size > meta_size)
			high = middle - 1;
		else
			low = middle;
	}
	return low * GUESTMEMFS_GROUP_BLOCKS;
}

static u32 gmfs_super_crc(const struct guestmemfs_super *s, const struct guestmemfs_range *ranges,
			  u32 nr_ranges)
{
	const size_t behind = offsetofend(struct guestmemfs_super, crc);
	__le32 zero = 0;
	u32 crc;

	crc = crc32c(~0U, s, offsetof(struct guestmemfs_super, crc));
	crc = crc32c(crc, &zero, sizeof(zero));
	crc = crc32c(crc, (const u8 *)s + behind, offsetof(struct guestmemfs_super, live) - behind);
	return crc32c(crc, ranges, nr_ranges * sizeof(*ranges));
}

static void *gmfs_table(const struct guestmemfs_super *s, enum guestmemfs_table table)
{
	return (u8 *)s + le64_to_cpu(s->tables[table].offset);
}

static void gmfs_make_root(struct guestmemfs_super *s)
{
	struct guestmemfs_inode *inodes = gmfs_table(s, GUESTMEMFS_TABLE_INODES);
	struct guestmemfs_inode *root = &inodes[GUESTMEMFS_ROOT_INO];

	memset(inodes, 0, 2 * sizeof(*inodes));
	root->mode = cpu_to_le32(0040755);
	root->generation = cpu_to_le32(1);
	root->parent = cpu_to_le32(GUESTMEMFS_ROOT_INO);
	s->live.used_inodes = cpu_to_le32(GUESTMEMFS_ROOT_INO + 1);
}

/* Fills in the range table and both bitmaps. */
static void gmfs_make_ranges(struct guestmemfs_super *s, const struct gmfs_range *ranges, u32 nr)
{
	struct guestmemfs_range *table = gmfs_table(s, GUESTMEMFS_TABLE_RANGES);
	unsigned long *bitmap = gmfs_table(s, GUESTMEMFS_TABLE_BITMAP);
	unsigned long *unzeroed = gmfs_table(s, GUESTMEMFS_TABLE_UNZEROED);
	u32 nr_blocks = le32_to_cpu(s->nr_blocks);
	u32 next = 0, i;

	/* gmfs_resize_add() sets up the bits beyond nr_blocks. */
	memset(table, 0, GUESTMEMFS_MAX_RANGES * sizeof(*table));
	bitmap_fill(bitmap, nr_blocks);
	bitmap_zero(unzeroed, nr_blocks);
	for (i = 0; i < nr; i++) {
		u32 count = ranges[i].size >> GUESTMEMFS_BLOCK_SHIFT;
		u32 first = gmfs_first_block(ranges[i].base, next);

		table[i].base = cpu_to_le64(ranges[i].base);
		table[i].size = cpu_to_le64(ranges[i].size);
		table[i].first_block = cpu_to_le32(first);
		bitmap_clear(bitmap, first, count);
		/* Blocks may hold data from before this boot. */
		bitmap_set(unzeroed, first, count);
		next = first + count;
	}
}

/**
 * gmfs_format_make - write the tables of an empty pool
 * @meta: the memory of the metadata
 * @meta_base: its physical address
 * @meta_size: its size in bytes, as gmfs_format_size() returned it
 * @node: NUMA node
 * @uuid: identity of the pool
 * @ranges: the pool's ranges, ascending by address
 * @nr: number of ranges
 * @room: number of blocks that the pool may get later
 *
 * Writes only what is in use. All other entries are initialised when they are first used,
 * and not read before that.
 *
 * Return: 0; -EINVAL if the ranges or the size are wrong.
 */
int gmfs_format_make(void *meta, u64 meta_base, u64 meta_size, u32 node, const u8 uuid[16],
		     const struct gmfs_range *ranges, u32 nr, u32 room)
{
	struct guestmemfs_super *s = meta;
	u32 nr_blocks;
	u64 need;
	int err;

	err = gmfs_format_size(ranges, nr, room, &need);
	if (!err && need != meta_size)
		err = -EINVAL;
	if (!err)
		err = gmfs_format_blocks(ranges, nr, room, &nr_blocks);
	if (err)
		return err;
	memset(s, 0, sizeof(*s));
	gmfs_layout(nr_blocks, room, s->tables);
	s->magic = cpu_to_le64(GUESTMEMFS_SUPER_MAGIC);
	s->version = cpu_to_le32(GUESTMEMFS_FORMAT_VERSION);
	s->node = cpu_to_le32(node);
	memcpy(s->uuid, uuid, sizeof(s->uuid));
	s->meta_base = cpu_to_le64(meta_base);
	s->meta_size = cpu_to_le64(meta_size);
	s->block_shift = cpu_to_le32(GUESTMEMFS_BLOCK_SHIFT);
	s->nr_blocks = cpu_to_le32(nr_blocks);
	s->nr_ranges = cpu_to_le32(nr);
	if (!nr)
		s->feature_incompat = cpu_to_le32(GUESTMEMFS_FEATURE_INCOMPAT_RESIZED);
	gmfs_make_ranges(s, ranges, nr);
	gmfs_make_root(s);
	s->crc = cpu_to_le32(gmfs_super_crc(s, gmfs_table(s, GUESTMEMFS_TABLE_RANGES), nr));
	return 0;
}

static int gmfs_complain(struct gmfs_complaint *c, const char *table, u64 entry, const char *what)
{
	c->table = table;
	c->entry = entry;
	c->what = what;
	return -EUCLEAN;
}

static int gmfs_open_head(struct gmfs_tables *t, u64 meta_base, u64 meta_size,
			  struct gmfs_complaint *c)
{
	const struct guestmemfs_super *s = t->super;

	if (le64_to_cpu(s->magic) != GUESTMEMFS_SUPER_MAGIC)
		return gmfs_complain(c, "superblock", 0, "no magic number");
	if (le32_to_cpu(s->version) != GUESTMEMFS_FORMAT_VERSION)
		return gmfs_complain(c, "superblock", 0, "another version of the format");
	if (le32_to_cpu(s->feature_incompat) & ~GUESTMEMFS_FEATURE_INCOMPAT_KNOWN)
		return gmfs_complain(c, "superblock", 0, "an incompatible feature");
	if (le64_to_cpu(s->meta_base) != meta_base || le64_to_cpu(s->meta_size) != meta_size)
		return gmfs_complain(c, "superblock", 0, "metadata not where it should be");
	if (le32_to_cpu(s->block_shift) != GUESTMEMFS_BLOCK_SHIFT)
		return gmfs_complain(c, "superblock", 0, "another block size");
	t->read_only = s->feature_ro_compat;
	t->has_states = s->feature_incompat & cpu_to_le32(GUESTMEMFS_FEATURE_INCOMPAT_STATES);
	t->has_pins = s->feature_incompat & cpu_to_le32(GUESTMEMFS_FEATURE_INCOMPAT_PINS);
	t->has_poison = s->feature_incompat & cpu_to_le32(GUESTMEMFS_FEATURE_INCOMPAT_POISON);
	t->resized = s->feature_incompat & cpu_to_le32(GUESTMEMFS_FEATURE_INCOMPAT_RESIZED);
	t->nr_blocks = le32_to_cpu(s->nr_blocks);
	t->nr_ranges = le32_to_cpu(s->nr_ranges);
	t->max_ranges = GUESTMEMFS_MAX_RANGES;
	if ((!t->nr_ranges && !t->resized) || t->nr_ranges > GUESTMEMFS_MAX_RANGES ||
	    (!t->nr_blocks && !t->resized) || t->nr_blocks > GUESTMEMFS_MAX_BLOCKS)
		return gmfs_complain(c, "superblock", 0, "impossible number of ranges or blocks");
	return 0;
}

/* Does a pool lack a table that was not in the first version of the list? */
static bool gmfs_table_absent(const struct guestmemfs_super *s, u32 table)
{
	const struct guestmemfs_table_desc *d = &s->tables[table];

	return table >= GUESTMEMFS_TABLE_PINS && !d->offset && !d->entries && !d->entry_size;
}

/* Check that the tables follow the superblock in order, inside the metadata. */
static int gmfs_open_layout(const struct guestmemfs_super *s, u64 meta_size,
			    struct gmfs_complaint *c)
{
	u64 end = sizeof(*s);
	u32 i;

	for (i = 0; i < GUESTMEMFS_NR_TABLES; i++) {
		const struct guestmemfs_table_desc *d = &s->tables[i];
		u64 offset = le64_to_cpu(d->offset);
		u64 bytes = gmfs_table_bytes(le32_to_cpu(d->entries), gmfs_entry_size[i]);

		if (gmfs_table_absent(s, i))
			continue;
		if (le32_to_cpu(d->entry_size) != gmfs_entry_size[i])
			return gmfs_complain(c, "table list", i, "another size of entries");
		if (offset < end || offset % GUESTMEMFS_TABLE_ALIGN)
			return gmfs_complain(c, "table list", i, "overlaps or is not aligned");
		if (offset > meta_size || bytes > meta_size - offset)
			return gmfs_complain(c, "table list", i, "beyond the metadata");
		end = offset + bytes;
	}
	return 0;
}

/* How many blocks all tables have room for: at least as many as gmfs_open_entries() needs. */
static u32 gmfs_open_capacity(const struct gmfs_tables *t)
{
	const struct guestmemfs_table_desc *tables = t->super->tables;
	u32 nr = GUESTMEMFS_MAX_BLOCKS;

	nr = min(nr, le32_to_cpu(tables[GUESTMEMFS_TABLE_BITMAP].entries));
	nr = min(nr, le32_to_cpu(tables[GUESTMEMFS_TABLE_UNZEROED].entries));
	nr = min(nr, (t->nr_extents - GMFS_SPARE_EXTENTS) / GMFS_EXTENTS_PER_BLOCK);
	nr = min(nr, t->nr_maps);
	nr = min(nr, t->nr_poison);
	return t->nr_pins ? min(nr, t->nr_pins) : nr;
}

static void gmfs_open_tables(struct gmfs_tables *t)
{
	const struct guestmemfs_super *s = t->super;

	t->ranges = gmfs_table(s, GUESTMEMFS_TABLE_RANGES);
	t->bitmap = gmfs_table(s, GUESTMEMFS_TABLE_BITMAP);
	t->unzeroed = gmfs_table(s, GUESTMEMFS_TABLE_UNZEROED);
	t->inodes = gmfs_table(s, GUESTMEMFS_TABLE_INODES);
	t->extents = gmfs_table(s, GUESTMEMFS_TABLE_EXTENTS);
	t->maps = gmfs_table(s, GUESTMEMFS_TABLE_MAPS);
	t->poison = gmfs_table(s, GUESTMEMFS_TABLE_POISON);
	t->pin_records = gmfs_table(s, GUESTMEMFS_TABLE_PINS);
	t->nr_inodes = le32_to_cpu(s->tables[GUESTMEMFS_TABLE_INODES].entries);
	t->nr_extents = le32_to_cpu(s->tables[GUESTMEMFS_TABLE_EXTENTS].entries);
	t->nr_maps = le32_to_cpu(s->tables[GUESTMEMFS_TABLE_MAPS].entries);
	t->nr_poison = le32_to_cpu(s->tables[GUESTMEMFS_TABLE_POISON].entries);
	t->nr_pins = le32_to_cpu(s->tables[GUESTMEMFS_TABLE_PINS].entries);
	t->capacity = gmfs_open_capacity(t);
}

/*
 * The code relies on tables that are at least as large as gmfs_layout() makes them, but for the
 * inodes: there are none for blocks that the pool has grown by, and kernels may differ in
 * GMFS_BLOCKS_PER_INODE.
 */
static int gmfs_open_entries(const struct gmfs_tables *t, struct gmfs_complaint *c)
{
	struct guestmemfs_table_desc need[GUESTMEMFS_NR_TABLES];
	u32 i;

	gmfs_layout(t->nr_blocks, 0, need);
	need[GUESTMEMFS_TABLE_INODES].entries = cpu_to_le32(GMFS_MIN_INODES);
	for (i = 0; i < GUESTMEMFS_NR_TABLES; i++) {
		u32 entries = le32_to_cpu(t->super->tables[i].entries);

		if (gmfs_table_absent(t->super, i))
			continue;
		/* Without blocks no map is needed, but gmfs_blockless_init() counts nr_maps - 1. */
		if (!entries || entries < le32_to_cpu(need[i].entries) ||
		    entries > GUESTMEMFS_MAX_BLOCKS * GMFS_EXTENTS_PER_BLOCK + GMFS_SPARE_EXTENTS)
			return gmfs_complain(c, "table list", i, "impossible number of entries");
	}
	return 0;
}

/* Do two ranges of a resized pool, of which @a has the lower numbers, have blocks in common? */
static bool gmfs_ranges_collide(const struct guestmemfs_range *a, const struct guestmemfs_range *b)
{
	u64 a_base = le64_to_cpu(a->base), b_base = le64_to_cpu(b->base);
	u32 a_last = le32_to_cpu(a->first_block) + gmfs_range_blocks(a) - 1;
	u32 b_first = le32_to_cpu(b->first_block);

	if (a_base < b_base + le64_to_cpu(b->size) && b_base < a_base + le64_to_cpu(a->size))
		return true;
	/* The blocks of a group are in one gigabyte. */
	return a_last / GUESTMEMFS_GROUP_BLOCKS == b_first / GUESTMEMFS_GROUP_BLOCKS &&
	       (a_base + le64_to_cpu(a->size) - 1) / GMFS_GROUP_SIZE != b_base / GMFS_GROUP_SIZE;
}

/* The ranges of a resized pool ascend by block number. */
static int gmfs_open_resized(const struct gmfs_tables *t, struct gmfs_complaint *c)
{
	u64 next = 0;
	u32 i, j;

	for (i = 0; i < t->nr_ranges; i++) {
		const struct guestmemfs_range *r = &t->ranges[i];
		u64 base = le64_to_cpu(r->base), first = le32_to_cpu(r->first_block);

		if (!gmfs_range_valid(base, le64_to_cpu(r->size), 0))
			return gmfs_complain(c, "range table", i, "is no range");
		if (first < next || gmfs_first_block(base, first) % GUESTMEMFS_GROUP_BLOCKS !=
		    first % GUESTMEMFS_GROUP_BLOCKS || r->flags)
			return gmfs_complain(c, "range table", i, "block number does not fit");
		next = first + gmfs_range_blocks(r);
		if (next > t->nr_blocks)
			return gmfs_complain(c, "range table", i, "has too many blocks");
		for (j = 0; j < i; j++)
			if (gmfs_ranges_collide(&t->ranges[j], r))
				return gmfs_complain(c, "range table", i, "overlaps another one");
	}
	return 0;
}

static int gmfs_open_ranges(const struct gmfs_tables *t, struct gmfs_complaint *c)
{
	u64 end = 0, next = 0;
	u32 i;

	if (t->resized)
		return gmfs_open_resized(t, c);
	for (i = 0; i < t->nr_ranges; i++) {
		const struct guestmemfs_range *r = &t->ranges[i];
		u64 base = le64_to_cpu(r->base), size = le64_to_cpu(r->size);

		if (!gmfs_range_valid(base, size, end))
			return gmfs_complain(c, "range table", i, "is no range, or out of order");
		next = gmfs_first_block(base, next);
		if (le32_to_cpu(r->first_block) != next || r->flags)
			return gmfs_complain(c, "range table", i, "block number does not fit");
		end = base + size;
		next += size >> GUESTMEMFS_BLOCK_SHIFT;
		if (next > t->nr_blocks)
			return gmfs_complain(c, "range table", i, "has too many blocks");
	}
	if (next != t->nr_blocks)
		return gmfs_complain(c, "range table", 0, "does not have as many blocks");
	return 0;
}

/**
 * gmfs_format_open - find the tables of a pool, and check the parts that do not change
 * @t: filled in
 * @meta: the metadata
 * @meta_base: its physical address
 * @meta_size: its size in bytes, at least that of a superblock
 * @c: filled in on -EUCLEAN
 *
 * Checks the superblock, the table list and the range table. gmfs_check() checks the rest.
 *
 * Return: 0 or -EUCLEAN.
 */
int gmfs_format_open(struct gmfs_tables *t, void *meta, u64 meta_base, u64 meta_size,
		     struct gmfs_complaint *c)
{
	int err;

	memset(t, 0, sizeof(*t));
	t->super = meta;
	err = gmfs_open_head(t, meta_base, meta_size, c);
	if (err)
		return err;
	err = gmfs_open_layout(t->super, meta_size, c);
	if (err)
		return err;
	/* Check the sizes before the checksum, which reads the used part of the range table. */
	err = gmfs_open_entries(t, c);
	if (err)
		return err;
	gmfs_open_tables(t);
	if (le32_to_cpu(t->super->crc) != gmfs_super_crc(t->super, t->ranges, t->nr_ranges))
		return gmfs_complain(c, "superblock", 0, "checksum does not fit");
	return gmfs_open_ranges(t, c);
}

/**
 * gmfs_format_is - are these the tables of a pool that was handed over
 * @t: tables that gmfs_format_open() has accepted
 * @uuid: identity of the pool
 * @ranges: physical ranges of the pool
 * @nr: their number
 * @c: filled in on -EUCLEAN
 *
 * Return: 0 or -EUCLEAN.
 */
int gmfs_format_is(const struct gmfs_tables *t, const u8 uuid[16], const struct gmfs_range *ranges,
		   u32 nr, struct gmfs_complaint *c)
{
	static const char what[] = "not the ranges that were handed over";
	u32 i;

	if (memcmp(t->super->uuid, uuid, sizeof(t->super->uuid)))
		return gmfs_complain(c, "superblock", 0, "another pool's uuid");
	if (t->nr_ranges != nr)
		return gmfs_complain(c, "range table", 0, what);
	for (i = 0; i < nr; i++)
		if (le64_to_cpu(t->ranges[i].base) != ranges[i].base ||
		    le64_to_cpu(t->ranges[i].size) != ranges[i].size ||
		    le32_to_cpu(t->ranges[i].first_block) != ranges[i].first)
			return gmfs_complain(c, "range table", i, what);
	return 0;
}

static void gmfs_feature_add(struct gmfs_tables *t, u32 feature)
{
	struct guestmemfs_super *s = t->super;

	s->feature_incompat |= cpu_to_le32(feature);
	s->crc = cpu_to_le32(gmfs_super_crc(s, t->ranges, t->nr_ranges));
}

/**
 * gmfs_feature_states - set %GUESTMEMFS_FEATURE_INCOMPAT_STATES
 * @t: the pool's tables, which may be written
 *
 * Call this in the same critical section of gmfs_pool.lock as a change that needs the
 * feature. More than one call is safe. Afterwards kernels that do not know the feature
 * refuse the pool.
 */
void gmfs_feature_states(struct gmfs_tables *t)
{
	if (!t->has_states)
		gmfs_feature_add(t, GUESTMEMFS_FEATURE_INCOMPAT_STATES);
	t->has_states = true;
}

/**
 * gmfs_feature_pins - set %GUESTMEMFS_FEATURE_INCOMPAT_PINS
 * @t: the pool's tables, which may be written
 *
 * As gmfs_feature_states().
 */
void gmfs_feature_pins(struct gmfs_tables *t)
{
	if (!t->has_pins)
		gmfs_feature_add(t, GUESTMEMFS_FEATURE_INCOMPAT_PINS);
	t->has_pins = true;
}

/**
 * gmfs_feature_poison - set %GUESTMEMFS_FEATURE_INCOMPAT_POISON
 * @t: the pool's tables, which may be written
 *
 * As gmfs_feature_states().
 */
void gmfs_feature_poison(struct gmfs_tables *t)
{
	if (!t->has_poison)
		gmfs_feature_add(t, GUESTMEMFS_FEATURE_INCOMPAT_POISON);
	t->has_poison = true;
}

/**
 * gmfs_feature_resized - set %GUESTMEMFS_FEATURE_INCOMPAT_RESIZED, and write the checksum
 * @t: the pool's tables, which may be written
 *
 * As gmfs_feature_states(), but call it after each change of the range table as well.
 */
void gmfs_feature_resized(struct gmfs_tables *t)
{
	gmfs_feature_add(t, GUESTMEMFS_FEATURE_INCOMPAT_RESIZED);
	t->resized = true;
}
