/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_TABLES_H
#define _GUESTMEMFS_TABLES_H

#include <linux/bitmap.h>
#include <linux/bits.h>
#include <linux/compiler.h>
#include <linux/limits.h>
#include <linux/maple_tree.h>
#include <linux/types.h>
#include <linux/kho/abi/guestmemfs.h>

/*
 * The interface of this directory. Nothing here depends on the VFS or on physical memory:
 * user-space tests run this code on a buffer.
 */

#define GMFS_BLOCK_SIZE		BIT_ULL(GUESTMEMFS_BLOCK_SHIFT)
#define GMFS_FRAME_SIZE		(GMFS_BLOCK_SIZE / GUESTMEMFS_BLOCK_PAGES)
#define GMFS_GROUP_SIZE		(GMFS_BLOCK_SIZE * GUESTMEMFS_GROUP_BLOCKS)
/* The largest file has 2^32 blocks, i.e. 2^53 bytes, far less than MAX_LFS_FILESIZE. */
#define GMFS_MAX_LOGICAL	BIT_ULL(32)
#define GMFS_MAX_PAGE		(GMFS_MAX_LOGICAL * GUESTMEMFS_BLOCK_PAGES)
#define GMFS_NO_BLOCK		U32_MAX
#define GMFS_NO_ID		U32_MAX
/* Six levels of words of 64 bits suffice for any table: 64^6 entries. */
#define GMFS_IDS_LEVELS		6

/*
 * Entries of the extent table in addition to those with and without blocks: an edit in
 * progress may have split an extent in two that is one before and after the edit.
 */
#define GMFS_SPARE_EXTENTS	64U

/*
 * A flag of extents that is not part of the format: the blocks were allocated by a fill
 * that is not complete. A kexec waits until the fill is complete or undone.
 */
#define GMFS_EXTENT_PENDING	BIT(31)

/**
 * struct gmfs_range - a physical range, in the CPU's byte order
 * @base: physical address
 * @size: bytes
 * @first: block number of its first block, see gmfs_ranges_number(). %GMFS_NO_BLOCK if it is not
 *	known
 */
struct gmfs_range {
	u64 base;
	u64 size;
	u32 first;
};

/**
 * struct gmfs_ids - the free entries of a table
 * @words: the bitmaps of all levels, lowest level first. A bit is set if its entry is free,
 *	or in a higher level if its word of the level below has a bit set
 * @level: index in @words of the first word of each level
 * @nr_levels: number of levels; the last one is one word
 */
struct gmfs_ids {
	unsigned long *words;
	u32 level[GMFS_IDS_LEVELS];
	u32 nr_levels;
};

struct gmfs_group;
struct gmfs_group_lists;

/**
 * struct gmfs_extmap - the extents of one file, by offset
 * @tree: from ranges of blocks of the file to entries of the extent table
 * @cover: from ranges of blocks of the file to the number of their reservations
 * @blocks: number of blocks that the file has
 * @hint: an extent that gmfs_map_entry() has found, %U32_MAX for none. Set with map_lock
 *	held for reading; a change of @tree, with map_lock held for writing, clears it
 *
 * gmfs_map_init() must be called first. An empty map needs no memory. The structure must
 * not move, because the nodes of the trees point to it.
 */
struct gmfs_extmap {
	struct maple_tree tree;
	struct maple_tree cover;
	u64 blocks;
	u32 hint;
};

/**
 * struct gmfs_pins - DMA pins on the frames of a pool
 * @counts: from ranges of frames to the number of their pins
 * @frames: number of frames that have a pin; also read without gmfs_pool.lock
 *
 * Unlike the tables, pins exist while the pool is not mounted as well. The structure must not
 * move, as the tree points to it. A kexec ends all pins except persistent ones.
 */
struct gmfs_pins {
	struct maple_tree counts;
	u64 frames;
};

/**
 * struct gmfs_persist - persistent pins, which are pins in gmfs_pins as well
 * @owners: from ranges of frames to the files that have the pins
 * @files: from inode numbers to the number of their ranges in @owners
 * @frames: number of frames with a persistent pin; also read without gmfs_pool.lock
 * @inherited: how many of them were taken over from the previous kernel, and are neither claimed
 *	nor pinned again; also read without gmfs_pool.lock
 * @nr: number of ranges of @owners
 * @loaded: the pin table has been read; from then on the tree has all that the table would have
 *
 * Exists while the pool is not mounted, and must not move, as struct gmfs_pins.
 */
struct gmfs_persist {
	struct maple_tree owners;
	struct maple_tree files;
	u64 frames;
	u64 inherited;
	u32 nr;
	bool loaded;
};

/**
 * struct gmfs_poisoned - frames of a pool that have a memory error
 * @frames: from poisoned frames to whether the poison table has them. Changed under
 *	gmfs_pool.lock, read under RCU
 * @nr: number of poisoned frames; also read without gmfs_pool.lock
 *
 * Exists while the pool is not mounted, and must not move, as struct gmfs_pins. A frame is never
 * removed.
 */
struct gmfs_poisoned {
	struct maple_tree frames;
	u64 nr;
};

/**
 * struct gmfs_tables - the tables of one pool, after all checks
 * @super: the superblock; all tables follow it in memory
 * @ranges: range table
 * @bitmap: allocated blocks
 * @unzeroed: blocks to be zeroed before use
 * @inodes: inode table
 * @extents: extent table
 * @maps: map table
 * @poison: poison table
 * @pin_records: pin table
 * @read_only: an unknown feature forbids writing
 * @has_states: %GUESTMEMFS_FEATURE_INCOMPAT_STATES is set
 * @has_pins: %GUESTMEMFS_FEATURE_INCOMPAT_PINS is set
 * @has_poison: %GUESTMEMFS_FEATURE_INCOMPAT_POISON is set
 * @resized: %GUESTMEMFS_FEATURE_INCOMPAT_RESIZED is set
 * @nr_ranges: entries of @ranges
 * @nr_blocks: bits of the bitmaps that are in use
 * @max_ranges: how many ranges resize.c may make, at most %GUESTMEMFS_MAX_RANGES; the caller
 *	may lower it
 * @capacity: bits that the bitmaps have room for: what @nr_blocks can become
 * @nr_inodes: entries of @inodes
 * @nr_extents: entries of @extents
 * @nr_maps: entries of @maps
 * @nr_poison: entries of @poison
 * @nr_pins: entries of @pin_records, 0 if the pool has no such table
 * @total_blocks: blocks that exist, without the numbers between ranges
 * @free_blocks: clear bits of @bitmap
 * @free_inodes: free entries of @inodes
 * @max_blocks: how many blocks may be allocated, 0 for all
 * @max_inodes: how many inodes may be in use, 0 for all
 * @max_percent: @max_blocks is this share of @total_blocks, 0 if it is a number
 * @inode_ids: which entries of @inodes are free
 * @extent_ids: which entries of @extents are free
 * @map_ids: which entries of @maps are free; entry 0 is never used
 * @nr_blockless: number of blockless extents, see gmfs_extent_is_blockless()
 * @promised_blockless: number of blockless extents that edits and fills in
 *	progress may still add
 * @promised_maps: number of map entries that edits in progress may still add
 * @used_slots: used entries of @extents
 * @promised_blocks: missing blocks of covered parts of files, see reserve.c
 * @free_maps: free entries of @maps
 * @nr_groups: entries of @groups
 * @full_groups: groups whose blocks are all free
 * @groups: the groups of blocks, see groups.h
 * @bases: the physical address of each group: of its first number, whether there is such a
 *	block or not. Also read without gmfs_pool.lock: it does not change while a block of the
 *	group is in use
 * @group_lists: groups that have free blocks, by their longest free run
 * @detached: the extents of detached blocks, by block, see pins.c
 * @pins: the pins of the pool, NULL for none; set by the caller of gmfs_alloc_init()
 * @persist: the persistent pins of the pool; likewise
 * @poisoned: the poisoned frames of the pool; likewise
 *
 * @nr_ranges to @nr_pins are copies made when the superblock is checked. All code uses
 * the copies, so that a change of the superblock cannot change a bound. Only resize.c
 * changes @nr_ranges and @nr_blocks. The caller serialises all functions that change the
 * tables (gmfs_pool.lock).
 */
struct gmfs_tables {
	struct guestmemfs_super *super;
	struct guestmemfs_range *ranges;
	unsigned long *bitmap;
	unsigned long *unzeroed;
	struct guestmemfs_inode *inodes;
	struct guestmemfs_extent *extents;
	struct guestmemfs_map *maps;
	struct guestmemfs_poison *poison;
	struct guestmemfs_pin *pin_records;
	bool read_only;
	bool has_states;
	bool has_pins;
	bool has_poison;
	bool resized;
	u32 nr_ranges;
	u32 nr_blocks;
	u32 max_ranges;
	u32 capacity;
	u32 nr_inodes;
	u32 nr_extents;
	u32 nr_maps;
	u32 nr_poison;
	u32 nr_pins;
	/* volatile, set up by gmfs_alloc_init(); the limits by gmfs_limits_set() */
	u32 total_blocks;
	u32 free_blocks;
	u32 free_inodes;
	u32 max_blocks;
	u32 max_inodes;
	u32 max_percent;
	u32 nr_blockless;
	u32 promised_blockless;
	u32 promised_maps;
	u32 used_slots;
	u32 promised_blocks;
	u32 free_maps;
	struct gmfs_ids inode_ids;
	struct gmfs_ids extent_ids;
	struct gmfs_ids map_ids;
	u32 nr_groups;
	u32 full_groups;
	struct gmfs_group *groups;
	u64 *bases;
	struct gmfs_group_lists *group_lists;
	struct gmfs_extmap detached;
	struct gmfs_pins *pins;
	struct gmfs_persist *persist;
	struct gmfs_poisoned *poisoned;
};

/**
 * struct gmfs_run - result of gmfs_map_lookup()
 * @logical: first block of the run in the file
 * @count: number of blocks; a hole after the last extent ends at %GMFS_MAX_LOGICAL
 * @block: first block in the pool, %GMFS_NO_BLOCK if nothing is allocated
 * @flags: flags of the extent without %GUESTMEMFS_EXTENT_ALLOCATED, 0 in a hole
 * @map: entry of the map table if the extent is mixed, else 0
 */
struct gmfs_run {
	u64 logical;
	u64 count;
	u32 block;
	u32 flags;
	u32 map;
};

/**
 * struct gmfs_entry - what one page table entry can map
 * @first: first page in the file
 * @order: size, as log2 of pages
 * @block: first block in the pool, %GMFS_NO_BLOCK if nothing is allocated
 * @flags: flags of the extent with %GUESTMEMFS_EXTENT_ALLOCATED, 0 in a hole
 * @converted: the pages are converted
 */
struct gmfs_entry {
	u64 first;
	unsigned int order;
	u32 block;
	u32 flags;
	bool converted;
};

/* The number of blocks that an entry maps, 1 if it maps a part of a block. */
static inline u64 gmfs_entry_blocks(const struct gmfs_entry *entry)
{
	return max(1ULL, (1ULL << entry->order) / GUESTMEMFS_BLOCK_PAGES);
}

/**
 * struct gmfs_state - result of gmfs_map_state()
 * @end: page after the last one that is known to have the same state; the state may
 *	continue
 * @converted: the page is converted
 * @allocated: the page has memory
 */
struct gmfs_state {
	u64 end;
	bool converted;
	bool allocated;
};

/**
 * enum gmfs_op - the operation of an edit on each extent of a part of a file
 * @GMFS_PUNCH: free the blocks
 * @GMFS_CONVERT: convert pages, or give them the initial character of the file again
 * @GMFS_COMMIT: make pending extents ordinary ones
 * @GMFS_ABORT: free the blocks of pending extents
 * @GMFS_CLEAR: free all extents and blocks; the map must be destroyed afterwards
 *
 * A block that has a pin when its file loses it is not freed: it becomes detached.
 */
enum gmfs_op {
	GMFS_PUNCH,
	GMFS_CONVERT,
	GMFS_COMMIT,
	GMFS_ABORT,
	GMFS_CLEAR,
};

/**
 * struct gmfs_promise - entries of tables that are reserved for a change in steps
 * @blockless: number of extents without blocks, part of gmfs_tables.promised_blockless
 * @maps: number of map entries, part of gmfs_tables.promised_maps
 * @done_blockless: net number of extents without blocks that the change has added so far
 * @done_maps: net number of map entries that the change has added so far
 *
 * An entry that one step frees may be needed by a later step. It stays reserved until the
 * change ends.
 */
struct gmfs_promise {
	u32 blockless;
	u32 maps;
	s64 done_blockless;
	s64 done_maps;
};

/**
 * struct gmfs_edit - a change of the extents of a part of a file
 * @t: the pool's tables
 * @map: the file's extents
 * @ino: the file
 * @op: the operation
 * @first: first page in the file; a multiple of %GUESTMEMFS_BLOCK_PAGES unless @op is
 *	%GMFS_CONVERT
 * @last: page after the last one; likewise
 * @converted: for %GMFS_CONVERT: whether the pages become converted
 * @at: block in the file where the next step begins
 * @late: the first block is changed last, see gmfs_edit_order()
 * @hole: all that has been changed so far is a hole now, and cannot be merged with anything
 * @blockless: net number of extents without blocks that the edit adds, may be negative
 * @maps: net number of map entries that the edit adds, may be negative
 * @replaced: number of blocks to reserve in place of those that will be detached. Blocks that
 *	are poisoned after they were counted may make it negative
 * @freed: number of blocks that will be free, and not reserved
 * @promise: entries reserved for the edit
 *
 * The caller sets the fields up to @converted, and calls gmfs_edit_count() and, for a part
 * that may have pins, gmfs_edit_count_kept(). gmfs_edit_begin() may fail, with nothing
 * changed. After it the caller must call gmfs_edit_step() until it returns false, and then
 * gmfs_edit_end(). These cannot fail.
 */
struct gmfs_edit {
	struct gmfs_tables *t;
	struct gmfs_extmap *map;
	u32 ino;
	enum gmfs_op op;
	u64 first;
	u64 last;
	bool converted;
	u64 at;
	bool late;
	bool hole;
	s64 blockless;
	s64 maps;
	s64 replaced;
	u64 freed;
	struct gmfs_promise promise;
};

/**
 * struct gmfs_fill - the allocation of the missing blocks of a part of a file
 * @t: the pool's tables
 * @map: the file's extents
 * @ino: the file
 * @from: first block in the file
 * @end: block after the last one, at most %GMFS_MAX_LOGICAL
 * @more: the caller may have to undo the fill after it is complete
 * @at: block in the file where the next step begins
 * @missing: number of blocks to allocate
 * @uncovered: missing blocks of the part that have no reservation but that of the fill
 * @together: blocks of the file from @at up to here have no memory
 * @splits: an extent without blocks is split into two of them
 * @pending: there are pending extents
 * @promise: entries reserved for the split, and for undoing the fill
 *
 * The caller sets the fields up to @more. gmfs_fill_cover() and gmfs_fill_begin() may fail,
 * with nothing changed; if gmfs_fill_begin() fails, the caller must call
 * gmfs_fill_uncover(). After them the caller calls gmfs_fill_step() until it returns 0 or
 * an error, and then gmfs_fill_uncover() and gmfs_fill_end(). If @pending is set, it must
 * also begin an edit from @from to @end (%GMFS_COMMIT or %GMFS_ABORT) before it releases
 * gmfs_pool.lock after gmfs_fill_end(). Until then the blocks belong to the file, marked as
 * pending.
 */
struct gmfs_fill {
	struct gmfs_tables *t;
	struct gmfs_extmap *map;
	u32 ino;
	u64 from;
	u64 end;
	bool more;
	u64 at;
	u64 missing;
	u64 uncovered;
	u64 together;
	bool splits;
	bool pending;
	struct gmfs_promise promise;
};

#define GMFS_SIDES		2

/**
 * struct gmfs_side - a part of a file whose blocks are moved or exchanged
 * @map: the file's extents
 * @ino: the file
 * @first: first block in the file
 */
struct gmfs_side {
	struct gmfs_extmap *map;
	u32 ino;
	u64 first;
};

/**
 * struct gmfs_move - an exchange of the blocks of two parts of files
 * @t: the pool's tables
 * @sides: the parts, which do not overlap. To move blocks, one part has none
 * @count: number of blocks of each part; both end at or before %GMFS_MAX_LOGICAL
 * @zero: the blocks are zeroed before they are mapped again
 * @from: number of blocks of each part that are done
 * @blockless: how many more extents without blocks there are after a step, at most
 * @reserved: number of blocks to reserve for parts that are reserved and lose blocks, at most
 *	at a time
 * @covered: the same at the end, may be negative
 * @promise: entries reserved for the move
 *
 * The caller sets the fields up to @zero, and makes sure that no block has a pin and that no extent
 * is pending. gmfs_move_begin() may fail, with nothing changed. After it the caller must call
 * gmfs_move_step() until it returns false, and then gmfs_move_end(). These cannot fail.
 */
struct gmfs_move {
	struct gmfs_tables *t;
	struct gmfs_side sides[GMFS_SIDES];
	u64 count;
	bool zero;
	u64 from;
	s64 blockless;
	s64 reserved;
	s64 covered;
	struct gmfs_promise promise;
};

/**
 * struct gmfs_complaint - what gmfs_check() found wrong
 * @table: name of the table, for the log
 * @entry: index of the entry
 * @what: what is wrong with the entry, for the log
 */
struct gmfs_complaint {
	const char *table;
	u64 entry;
	const char *what;
};

/**
 * struct gmfs_index - result of gmfs_check(): the used extents, sorted
 * @slots: entries of the extent table, by inode and then by logical block
 * @nr: number of entries of @slots
 */
struct gmfs_index {
	u32 *slots;
	u32 nr;
};

/**
 * struct gmfs_want - a request to gmfs_find_run()
 * @ino: the file that the blocks are for
 * @logical: offset of the first block in the file, in blocks
 * @count: number of blocks, not 0
 * @goal: preferred free block, %GMFS_NO_BLOCK if there is none
 * @own: the file is long enough for the whole group of the file that has @logical, so that
 *	the group may be mapped by 1 GiB. Do not set @own if the group of the file has
 *	blocks already that are elsewhere: it could not be mapped so, and would waste an
 *	entirely free group.
 */
struct gmfs_want {
	u32 ino;
	u64 logical;
	u32 count;
	u32 goal;
	bool own;
};

/* The number of the hop after @hops; 0 is the number of none. */
static inline u32 gmfs_next_hop(u32 hops)
{
	return hops == U32_MAX ? 1 : hops + 1;
}

/* ids.c */
int gmfs_ids_init(struct gmfs_ids *ids, u32 nr);
void gmfs_ids_exit(struct gmfs_ids *ids);
u32 gmfs_ids_first(const struct gmfs_ids *ids);
void gmfs_ids_take(struct gmfs_ids *ids, u32 id);
void gmfs_ids_drop(struct gmfs_ids *ids, u32 id);

/* memory.c */
void *gmfs_calloc(size_t n, size_t size);

/* ranges.c */
u64 gmfs_range_blocks(const struct guestmemfs_range *r);
const struct guestmemfs_range *gmfs_block_range(const struct gmfs_tables *t, u32 block);
u32 gmfs_block_range_end(const struct gmfs_tables *t, u32 block);
u64 gmfs_block_phys(const struct gmfs_tables *t, u32 block);

/* As gmfs_block_phys(), for tables that are loaded: every page fault calls this. */
static inline u64 gmfs_loaded_phys(const struct gmfs_tables *t, u32 block)
{
	u64 base = READ_ONCE(t->bases[block / GUESTMEMFS_GROUP_BLOCKS]);
	u64 nr = block % GUESTMEMFS_GROUP_BLOCKS;

	return base + (nr << GUESTMEMFS_BLOCK_SHIFT);
}

u64 gmfs_first_block(u64 base, u64 next);
void gmfs_ranges_number(struct gmfs_range *ranges, u32 nr);
u64 gmfs_ranges_frame(const struct gmfs_range *ranges, u32 nr, u64 phys);
u64 gmfs_ranges_phys(const struct gmfs_range *ranges, u32 nr, u64 frame);

/* blocks.c */
void gmfs_take(struct gmfs_tables *t, u32 block, u32 count, u32 ino, u64 logical);
void gmfs_forget_unzeroed(struct gmfs_tables *t);
void gmfs_mark_unzeroed(struct gmfs_tables *t, u32 block, u32 count);
void gmfs_release_unused(struct gmfs_tables *t, u32 block, u32 count);
void gmfs_release(struct gmfs_tables *t, u32 block, u32 count, u32 ino, u64 logical);
u32 gmfs_find_run(const struct gmfs_tables *t, const struct gmfs_want *want, u32 *block);

/* entries.c */
u32 gmfs_extent_slot(struct gmfs_tables *t);
void gmfs_extent_drop(struct gmfs_tables *t, u32 slot);
int gmfs_inode_alloc(struct gmfs_tables *t, u32 mode, u32 *ino);
void gmfs_inode_free(struct gmfs_tables *t, u32 ino);

/* alloc.c */
int gmfs_alloc_init(struct gmfs_tables *t);
void gmfs_alloc_exit(struct gmfs_tables *t);

/* groups.c */
void gmfs_groups_zeroed(struct gmfs_tables *t, u32 block, u32 count);
void gmfs_claim(struct gmfs_tables *t, u32 block, u32 count, u32 ino, u64 logical);
bool gmfs_find_full_group(const struct gmfs_tables *t, u32 *group);
u32 gmfs_full_groups(const struct gmfs_tables *t);
u32 gmfs_largest_free(const struct gmfs_tables *t);

/* resize.c */
bool gmfs_resize_fits(const struct gmfs_tables *t, u64 base, u64 size);
int gmfs_resize_add(struct gmfs_tables *t, u64 base, u64 size);
bool gmfs_resize_find(const struct gmfs_tables *t, u32 count, bool whole, u32 *block);
int gmfs_resize_cut(struct gmfs_tables *t, u32 block, u32 count);
void gmfs_resize_ranges(const struct gmfs_tables *t, struct gmfs_range *ranges, u32 *nr);

/* limits.c */

/**
 * struct gmfs_limits - limits of a pool, as mount options give them
 * @size: bytes, 0 for no limit
 * @percent: of the pool, 1 to 100; 0 if @size is used
 * @inodes: maximum number of inodes, 0 for no limit
 * @has_size: @size or @percent was given
 * @has_inodes: @inodes was given
 */
struct gmfs_limits {
	u64 size;
	u32 percent;
	u64 inodes;
	bool has_size;
	bool has_inodes;
};

u32 gmfs_blocks_free(const struct gmfs_tables *t);
u32 gmfs_blocks_left(const struct gmfs_tables *t);
u32 gmfs_inodes_left(const struct gmfs_tables *t);
void gmfs_limits_resized(struct gmfs_tables *t);
int gmfs_limits_set(struct gmfs_tables *t, const struct gmfs_limits *limits, bool mounting,
		    const char **why);

/* extmap.c */
int gmfs_tree_store(struct maple_tree *tree, unsigned long first, unsigned long last, void *entry,
		    gfp_t gfp);
void gmfs_map_init(struct gmfs_extmap *map);
void gmfs_map_destroy(struct gmfs_extmap *map);
int gmfs_map_insert(struct gmfs_tables *t, struct gmfs_extmap *map, u32 slot);
void gmfs_map_lookup(const struct gmfs_tables *t, const struct gmfs_extmap *map,
		     u64 logical, struct gmfs_run *run);

/* reserve.c */
int gmfs_cover(struct gmfs_extmap *map, u64 from, u64 end);
void gmfs_uncover(struct gmfs_extmap *map, u64 from, u64 end);
u64 gmfs_uncovered(const struct gmfs_tables *t, const struct gmfs_extmap *map, u64 from, u64 end);
u64 gmfs_covered(const struct gmfs_extmap *map, u64 from, u64 *end);
int gmfs_promise_blocks(struct gmfs_tables *t, u64 blocks);

/* converted.c */
void gmfs_converted_init(struct maple_tree *tree);
bool gmfs_converted_has(struct maple_tree *tree, u64 page);
int gmfs_converted_update(struct maple_tree *tree, const struct gmfs_tables *t,
			  const struct gmfs_extmap *map, u64 at, u64 end, gfp_t gfp);
void gmfs_converted_free(struct maple_tree *tree);

/* poisoned.c */
void gmfs_poisoned_init(struct gmfs_poisoned *p);
u64 gmfs_poisoned_next(const struct gmfs_poisoned *p, u64 from, u64 end);
bool gmfs_poisoned_add(struct gmfs_poisoned *p, u64 frame);
void gmfs_poisoned_recorded(struct gmfs_poisoned *p, u64 frame);
u64 gmfs_poisoned_next_locked(const struct gmfs_poisoned *p, u64 from, u64 end, bool *recorded);
bool gmfs_blocks_poisoned(const struct gmfs_tables *t, u32 block, u32 *count);

/* pins.c */
void gmfs_pins_init(struct gmfs_pins *pins);
int gmfs_pins_add(struct gmfs_pins *pins, u64 *at, u64 end);
bool gmfs_pins_remove(struct gmfs_pins *pins, u64 *at, u64 end);
bool gmfs_pins_find(const struct gmfs_pins *pins, u64 from, u64 end, u64 *first, u64 *last);
bool gmfs_blocks_pinned(const struct gmfs_tables *t, u32 block, u32 *count);
bool gmfs_any_kept(const struct gmfs_tables *t);
bool gmfs_blocks_kept(const struct gmfs_tables *t, u32 block, u32 *count);
void gmfs_detach(struct gmfs_tables *t, u32 block, u32 count, u32 ino, u64 logical);
int gmfs_detached_load(struct gmfs_tables *t, u32 slot);
bool gmfs_detached_free(struct gmfs_tables *t, u64 *at, u64 end);

/* persist.c */
void gmfs_persist_init(struct gmfs_persist *p);
int gmfs_persist_add(struct gmfs_tables *t, u64 *at, u64 end, u32 ino, u32 max);
int gmfs_persist_remove(struct gmfs_tables *t, u64 *at, u64 end, u32 ino, bool inherited);
bool gmfs_persist_drop(struct gmfs_tables *t, const struct gmfs_extmap *map, u64 *at, u64 *frame,
		       u32 ino);
bool gmfs_persist_find(const struct gmfs_persist *p, u64 from, u64 end, u64 *first, u64 *last);
bool gmfs_persist_write(struct gmfs_tables *t, u64 *at, u32 *nr);
void gmfs_persist_unwrite(struct gmfs_tables *t);
int gmfs_persist_load(struct gmfs_tables *t, u32 *at);

/* poison.c */
int gmfs_poison_record(struct gmfs_tables *t, u64 frame);
void gmfs_poison_keep(struct gmfs_tables *t, u64 frame);
bool gmfs_poison_load(struct gmfs_tables *t, u32 *at);
bool gmfs_poison_settle(struct gmfs_tables *t, u64 *frame);
bool gmfs_poison_lost(const struct gmfs_tables *t, u64 *frame, u32 *lost);
const struct guestmemfs_extent *gmfs_extent_of(const struct gmfs_tables *t, u32 block, u32 *at);

/* mapfill.c */
int gmfs_fill_cover(struct gmfs_fill *fill);
int gmfs_fill_begin(struct gmfs_fill *fill);
int gmfs_fill_step(struct gmfs_fill *fill);
void gmfs_fill_uncover(struct gmfs_fill *fill);
void gmfs_fill_end(struct gmfs_fill *fill);
int gmfs_map_fill(struct gmfs_tables *t, struct gmfs_extmap *map, u32 ino,
		  u64 logical, u64 count);

/* mapedit.c */
void gmfs_edit_count(struct gmfs_edit *ed);
bool gmfs_edit_count_kept(struct gmfs_edit *ed, u64 *at);
int gmfs_edit_begin(struct gmfs_edit *ed);
bool gmfs_edit_step(struct gmfs_edit *ed);
void gmfs_edit_end(struct gmfs_edit *ed);
int gmfs_edit_all(struct gmfs_edit *ed);
void gmfs_map_clear(struct gmfs_tables *t, struct gmfs_extmap *map);
int gmfs_map_edit(struct gmfs_tables *t, struct gmfs_extmap *map, enum gmfs_op op, u64 logical,
		  u64 count);

/* move.c */
void gmfs_move_count(struct gmfs_move *mv);
int gmfs_move_begin(struct gmfs_move *mv);
bool gmfs_move_step(struct gmfs_move *mv);
void gmfs_move_end(struct gmfs_move *mv);

/* absent.c */

/**
 * struct gmfs_absence - a block with absent pages, as a record of the tables has it
 * @ino: the file that has the block, 0 if none has it any more
 * @logical: the block in the file
 * @pages: a bit for each page of the block; set: absent
 */
struct gmfs_absence {
	u32 ino;
	u64 logical;
	const unsigned long *pages;
};

/**
 * gmfs_absent_room - how many records fit into the unused part of the map table
 * @t: the pool's tables, of which no more maps are used than there are
 *
 * Return: the number.
 */
static inline u32 gmfs_absent_room(const struct gmfs_tables *t)
{
	u64 unused = t->nr_maps - le32_to_cpu(t->super->live.used_maps);

	return unused * sizeof(*t->maps) / sizeof(struct guestmemfs_absent);
}

/**
 * gmfs_absent_records - how many records of absent pages there are
 * @t: the pool's tables
 *
 * Return: the number, 0 if another kernel has mounted the pool since they were written.
 */
static inline u32 gmfs_absent_records(const struct gmfs_tables *t)
{
	const struct guestmemfs_super_live *live = &t->super->live;

	if (le32_to_cpu(live->absent_hop) != gmfs_next_hop(le32_to_cpu(live->hops)))
		return 0;
	return le32_to_cpu(live->nr_absent);
}

void gmfs_absent_read(const struct gmfs_tables *t, u32 i, struct gmfs_absence *a);
bool gmfs_absent_trim(struct gmfs_tables *t);
unsigned long *gmfs_absent_record(struct gmfs_tables *t, const struct gmfs_extmap *map,
				  u64 logical);
void gmfs_absent_seal(struct gmfs_tables *t);
void gmfs_absent_unwrite(struct gmfs_tables *t);

/* states.c */
void gmfs_map_state(const struct gmfs_tables *t, const struct gmfs_extmap *map, u64 page,
		    struct gmfs_state *s);

/* format.c */
int gmfs_format_size(const struct gmfs_range *ranges, u32 nr, u32 room, u64 *meta_size);
u32 gmfs_format_room(const struct gmfs_range *ranges, u32 nr, u64 meta_size);
int gmfs_format_make(void *meta, u64 meta_base, u64 meta_size, u32 node, const u8 uuid[16],
		     const struct gmfs_range *ranges, u32 nr, u32 room);
int gmfs_format_open(struct gmfs_tables *t, void *meta, u64 meta_base, u64 meta_size,
		     struct gmfs_complaint *c);
int gmfs_format_is(const struct gmfs_tables *t, const u8 uuid[16], const struct gmfs_range *ranges,
		   u32 nr, struct gmfs_complaint *c);
void gmfs_feature_states(struct gmfs_tables *t);
void gmfs_feature_pins(struct gmfs_tables *t);
void gmfs_feature_poison(struct gmfs_tables *t);
void gmfs_feature_resized(struct gmfs_tables *t);
int gmfs_count_blocks(const struct gmfs_range *ranges, u32 nr, u32 *nr_blocks);

/* check.c */
int gmfs_check(const struct gmfs_tables *t, struct gmfs_index *index,
	       struct gmfs_complaint *c);
void gmfs_index_free(struct gmfs_index *index);

/* cmdline.c */

#define GMFS_ALL_NODES		U32_MAX

/**
 * struct gmfs_request - one item of the guestmemfs= parameter
 * @node: NUMA node, or %GMFS_ALL_NODES
 * @percent: share of the node's memory, 1 to 100, 0 if @bytes is used
 * @bytes: amount of memory; for %GMFS_ALL_NODES the total of all nodes
 * @more_percent: by which share of the node's memory the pool may grow, likewise
 * @more_bytes: by how much the pool may grow; likewise
 * @discard: discard pools that were handed over; all amounts are 0
 */
struct gmfs_request {
	u32 node;
	u32 percent;
	u64 bytes;
	u32 more_percent;
	u64 more_bytes;
	bool discard;
};

int gmfs_amount_parse(const char *text, u64 *bytes, u32 *percent);
int gmfs_cmdline_parse(const char *arg, struct gmfs_request *reqs, u32 max, u32 *nr);

/* handover.c */
size_t gmfs_handover_size(u32 nr_pools, u32 nr_ranges);
void gmfs_handover_begin(void *blob, u32 nr_pools, u32 nr_ranges);
void gmfs_handover_pool(void *blob, u32 index, u32 node, const u8 uuid[16], u64 meta_base,
			u64 meta_size, const struct gmfs_range *ranges, u32 nr, u32 first_range,
			u32 flags, u32 hops);
void gmfs_handover_end(void *blob);
void gmfs_handover_mark(void *blob, u32 index, u32 flags);
bool gmfs_handover_intact(const void *blob, size_t size);
int gmfs_handover_check(const void *blob, size_t size, const char **why);
int gmfs_handover_get_pool(const void *blob, u32 index, struct guestmemfs_handover_pool *p);
void gmfs_handover_get_range(const void *blob, u32 index, struct gmfs_range *r);

#endif /* _GUESTMEMFS_TABLES_H */
