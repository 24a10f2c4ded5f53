/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_TABLES_H
#define _GUESTMEMFS_TABLES_H

#include <linux/bitmap.h>
#include <linux/bits.h>
#include <linux/maple_tree.h>
#include <linux/types.h>
#include <linux/kho/abi/guestmemfs.h>

/*
 * What alloc.c, extmap.c, format.c and their like know. Nothing here depends on
 * the VFS or on the memory being real: the user-space tests run them over a
 * buffer.
 */

#define GMFS_BLOCK_SIZE		BIT_ULL(GUESTMEMFS_BLOCK_SHIFT)
#define GMFS_GROUP_SIZE		(GMFS_BLOCK_SIZE * GUESTMEMFS_GROUP_BLOCKS)
/* File offsets are cut off here: 2^32 blocks, and well below MAX_LFS_FILESIZE. */
#define GMFS_MAX_LOGICAL	BIT_ULL(32)
#define GMFS_MAX_PAGE		(GMFS_MAX_LOGICAL * GUESTMEMFS_BLOCK_PAGES)
#define GMFS_NO_BLOCK		U32_MAX
#define GMFS_NO_ID		U32_MAX
/* Of 64 entries each: more than a table has. */
#define GMFS_IDS_LEVELS		6

/*
 * Entries that the table has beside those for blocks and states: while an edit is in progress
 * an extent may be in two parts that are one before and after it.
 */
#define GMFS_SPARE_EXTENTS	64U

/*
 * A flag of extents that the format does not know: a fill that is not complete has allocated
 * the blocks. No kexec comes before the fill is complete or undone.
 */
#define GMFS_EXTENT_PENDING	BIT(31)

/**
 * struct gmfs_range - a physical range, in native numbers
 * @base: physical address
 * @size: bytes
 */
struct gmfs_range {
	u64 base;
	u64 size;
};

/**
 * struct gmfs_ids - which entries of a table are free
 * @words: the bitmaps of all levels, that of the entries first: a bit is set if the entry is
 *	free, or if its word of the level below has a bit set
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
 * struct gmfs_tables - the tables of one pool, bound and checked
 * @super: the superblock; all other pointers point behind it
 * @ranges: range table
 * @bitmap: taken blocks
 * @unzeroed: blocks to be zeroed before use
 * @inodes: inode table
 * @extents: extent table
 * @maps: map table
 * @poison: poison table
 * @read_only: a feature is unknown that forbids writing
 * @states: the feature of converted and truncated offsets is in use
 * @nr_ranges: entries of @ranges
 * @nr_blocks: bits of the bitmaps
 * @nr_inodes: entries of @inodes
 * @nr_extents: entries of @extents
 * @nr_maps: entries of @maps
 * @nr_poison: entries of @poison
 * @total_blocks: blocks that exist, without the numbers between ranges
 * @free_blocks: clear bits of @bitmap
 * @free_inodes: unused entries of @inodes
 * @max_blocks: how many may be taken, 0 for all
 * @max_inodes: how many inodes may be in use, 0 for all
 * @inode_ids: which entries of @inodes are free
 * @extent_ids: which entries of @extents are free
 * @map_ids: which entries of @maps are free, but for entry 0, which is never used
 * @nr_states: extents that no block pays for, see gmfs_is_state()
 * @promised_states: how many more edits in progress may make
 * @promised_maps: map entries that edits in progress may take
 * @used_slots: entries of @extents in use
 * @promised_blocks: blocks that parts of files lack that are held reserved, see reserve.c
 * @free_maps: unused entries of @maps
 * @nr_groups: entries of @groups
 * @full_groups: groups of which all blocks are free
 * @groups: what is known of the groups of blocks, see groups.h
 * @group_lists: those that have free blocks, by how many of them are in one run
 *
 * The counts are copies made when the superblock was checked, and are what
 * all code uses: a superblock that changes under the kernel moves no bound.
 * The caller serialises all functions on one struct gmfs_tables that change it.
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
	bool read_only;
	bool states;
	u32 nr_ranges;
	u32 nr_blocks;
	u32 nr_inodes;
	u32 nr_extents;
	u32 nr_maps;
	u32 nr_poison;
	/* volatile, made by gmfs_alloc_init() */
	u32 total_blocks;
	u32 free_blocks;
	u32 free_inodes;
	u32 max_blocks;
	u32 max_inodes;
	u32 nr_states;
	u32 promised_states;
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
	struct gmfs_group_lists *group_lists;
};

/**
 * struct gmfs_extmap - the extents of one file, by offset
 * @tree: from ranges of blocks of the file to entries of the extent table
 * @cover: from ranges of blocks of the file to the number of those who hold them reserved
 * @blocks: blocks that the file has, those that are truncated included
 * @hint: the extent that gmfs_map_entry() has found last, %U32_MAX for none. Whoever changes the
 *	tree, and so has the map alone, clears it; those who only look may set it
 *
 * gmfs_map_init() comes first. An empty map needs no memory. The structure stays where it is:
 * the nodes of the trees point to it.
 */
struct gmfs_extmap {
	struct maple_tree tree;
	struct maple_tree cover;
	u64 blocks;
	u32 hint;
};

/**
 * struct gmfs_run - an answer of gmfs_map_lookup()
 * @logical: first block of the run in the file
 * @count: blocks in it; for a hole at the end of the file up to the limit
 * @block: first block in the pool, %GMFS_NO_BLOCK if nothing is allocated
 * @flags: %GUESTMEMFS_EXTENT_CONVERTED, %GUESTMEMFS_EXTENT_MIXED,
 *	%GUESTMEMFS_EXTENT_TRUNCATED and %GMFS_EXTENT_PENDING of the extent, 0 in a hole
 * @map: entry of the map table if it is mixed, else 0
 */
struct gmfs_run {
	u64 logical;
	u64 count;
	u32 block;
	u32 flags;
	u32 map;
};

/**
 * struct gmfs_entry - what one entry of a page table can map
 * @first: its first page in the file
 * @order: its size, as log2 of pages
 * @block: the first of its blocks in the pool, %GMFS_NO_BLOCK if it is a hole
 * @flags: as in struct gmfs_run
 * @converted: its pages have not the character that the file begins with
 */
struct gmfs_entry {
	u64 first;
	unsigned int order;
	u32 block;
	u32 flags;
	bool converted;
};

/* How many blocks an entry has a part of. */
static inline u64 gmfs_entry_blocks(const struct gmfs_entry *entry)
{
	return max(1ULL, (1ULL << entry->order) / GUESTMEMFS_BLOCK_PAGES);
}

/**
 * struct gmfs_state - an answer of gmfs_map_state()
 * @end: the page is like all up to here, and may be like some behind it
 * @converted: it has not the character that the file begins with
 * @allocated: it has memory, also if it is truncated
 * @truncated: its memory is to be freed as soon as nobody holds it any more
 */
struct gmfs_state {
	u64 end;
	bool converted;
	bool allocated;
	bool truncated;
};

/**
 * enum gmfs_op - what an edit does to each extent of a part of a file
 * @GMFS_PUNCH: frees the blocks of extents that are not truncated
 * @GMFS_TRUNCATE: extents that have blocks become truncated, and keep them
 * @GMFS_READY: frees the blocks of truncated extents without persistent pins
 * @GMFS_CONVERT: gives pages their own character or the other one
 * @GMFS_COMMIT: pending extents become ordinary ones
 * @GMFS_ABORT: frees the blocks of pending extents
 * @GMFS_CLEAR: frees everything, and forgets the character of pages; the map is to be
 *	destroyed after that
 */
enum gmfs_op {
	GMFS_PUNCH,
	GMFS_TRUNCATE,
	GMFS_READY,
	GMFS_CONVERT,
	GMFS_COMMIT,
	GMFS_ABORT,
	GMFS_CLEAR,
};

/**
 * struct gmfs_promise - states and map entries that a change in steps may still need
 * @states: extents without blocks, part of gmfs_tables.promised_states
 * @maps: entries of the map table, part of gmfs_tables.promised_maps
 * @done_states: how many there are more than before the change, or fewer
 * @done_maps: likewise
 *
 * What one step gives back another one may need: it is not for others before the end.
 */
struct gmfs_promise {
	u32 states;
	u32 maps;
	s64 done_states;
	s64 done_maps;
};

/**
 * struct gmfs_edit - a change of the extents in a part of a file
 * @t: the pool's tables
 * @map: the file's extents
 * @ino: the file
 * @op: what changes
 * @first: first page in the file; only of %GMFS_CONVERT not the first of a block
 * @last: page after the last one, likewise
 * @converted: for %GMFS_CONVERT: the character that the pages get
 * @at: block in the file where the next step begins
 * @late: the first block is the last one to be changed
 * @states: extents without blocks that the edit adds to those there are, or less than none
 * @maps: entries of the map table likewise
 * @promise: what of both is promised to it, in &struct gmfs_tables
 *
 * The caller fills in the fields up to @converted. gmfs_edit_count() and gmfs_edit_begin() may
 * fail, with nothing changed. After them gmfs_edit_step() is due until it returns false, and
 * then gmfs_edit_end(); these cannot fail.
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
	s64 states;
	s64 maps;
	struct gmfs_promise promise;
};

/**
 * struct gmfs_fill - the allocation of what a part of a file does not have
 * @t: the pool's tables
 * @map: the file's extents
 * @ino: the file
 * @from: first block in the file
 * @end: block after the last one, at most %GMFS_MAX_LOGICAL
 * @more: something else may fail after the fill, which is to be undone then
 * @at: block in the file where the next step begins
 * @missing: blocks that are to be allocated
 * @uncovered: as many of them are not promised to the file, or will not be any more
 * @together: as far as no block of the file has memory from @at on
 * @splits: one extent without blocks becomes two, with blocks in between
 * @promise: states that are needed for that, or to undo the fill
 * @pending: there are pending extents
 *
 * The caller fills in the fields up to @more. gmfs_fill_cover() and gmfs_fill_begin() may fail,
 * with nothing changed; gmfs_fill_uncover() is due after the first one if the second one fails.
 * After them gmfs_fill_step() is due until there is no more to do or it fails, and then
 * gmfs_fill_uncover() and gmfs_fill_end(). If @pending is set, an edit from @from to @end is due
 * that commits or aborts, begun before the pool's lock is released after gmfs_fill_end(). Until
 * then the blocks are the file's, and marked.
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

/**
 * struct gmfs_complaint - what gmfs_check() found wrong
 * @table: name of the table, for people
 * @entry: index in it
 * @what: what is wrong with it
 */
struct gmfs_complaint {
	const char *table;
	u64 entry;
	const char *what;
};

/**
 * struct gmfs_index - result of gmfs_check(): the used extents in order
 * @slots: extent table entries, by inode and then by logical block
 * @nr: entries of @slots
 */
struct gmfs_index {
	u32 *slots;
	u32 nr;
};

/**
 * struct gmfs_want - what gmfs_find_run() is asked for
 * @ino: the file that the blocks are for
 * @logical: where in the file they go, in blocks
 * @count: number of blocks, not 0
 * @goal: a free block that would suit, or %GMFS_NO_BLOCK
 * @own: the file covers all of the file's group that @logical is in, so that the group may
 *	come to be mapped by 1 GiB. It is best not set for a file's group that has blocks
 *	elsewhere already: that one cannot be mapped so, and gets a group for nothing.
 */
struct gmfs_want {
	u32 ino;
	u64 logical;
	u32 count;
	u32 goal;
	bool own;
};

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

/* blocks.c */
void gmfs_take(struct gmfs_tables *t, u32 block, u32 count, u32 ino, u64 logical);
void gmfs_unzero(struct gmfs_tables *t, u32 block, u32 count);
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
void gmfs_claim(struct gmfs_tables *t, u32 block, u32 count, u32 ino, u64 logical);
bool gmfs_find_full_group(const struct gmfs_tables *t, u32 *group);
u32 gmfs_full_groups(const struct gmfs_tables *t);
u32 gmfs_largest_free(const struct gmfs_tables *t);

/* limits.c */

/**
 * struct gmfs_limits - what the options of a mount say of a pool
 * @size: bytes, 0 for all of it
 * @percent: of the pool, 1 to 100; 0 if @size counts
 * @inodes: how many there may be, 0 for as many as fit
 * @has_size: @size and @percent were given
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
int gmfs_limits_set(struct gmfs_tables *t, const struct gmfs_limits *limits, bool again,
		    const char **why);

/* extmap.c */
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

/* mapfill.c */
int gmfs_fill_cover(struct gmfs_fill *fill);
int gmfs_fill_begin(struct gmfs_fill *fill);
int gmfs_fill_step(struct gmfs_fill *fill);
void gmfs_fill_uncover(struct gmfs_fill *fill);
void gmfs_fill_end(struct gmfs_fill *fill);
int gmfs_map_fill(struct gmfs_tables *t, struct gmfs_extmap *map, u32 ino,
		  u64 logical, u64 count);

/* mapedit.c */
int gmfs_edit_count(struct gmfs_edit *ed);
int gmfs_edit_begin(struct gmfs_edit *ed);
bool gmfs_edit_step(struct gmfs_edit *ed);
void gmfs_edit_end(struct gmfs_edit *ed);
int gmfs_edit_all(struct gmfs_edit *ed);
void gmfs_map_clear(struct gmfs_tables *t, struct gmfs_extmap *map);
int gmfs_map_edit(struct gmfs_tables *t, struct gmfs_extmap *map, enum gmfs_op op, u64 logical,
		  u64 count);

/* states.c */
void gmfs_map_state(const struct gmfs_tables *t, const struct gmfs_extmap *map, u64 page,
		    struct gmfs_state *s);

/* format.c */
int gmfs_format_size(const struct gmfs_range *ranges, u32 nr, u64 *meta_size);
int gmfs_format_make(void *meta, u64 meta_base, u64 meta_size, u32 node, const u8 uuid[16],
		     const struct gmfs_range *ranges, u32 nr);
int gmfs_format_open(struct gmfs_tables *t, void *meta, u64 meta_base, u64 meta_size,
		     struct gmfs_complaint *c);
void gmfs_feature_states(struct gmfs_tables *t);
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
 * @percent: share of the node's memory, 1 to 100, or 0 if @bytes counts
 * @bytes: how much, over all nodes for %GMFS_ALL_NODES
 * @discard: throw away what was handed over; both amounts are 0
 */
struct gmfs_request {
	u32 node;
	u32 percent;
	u64 bytes;
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
bool gmfs_handover_intact(const void *blob, size_t size);
int gmfs_handover_check(const void *blob, size_t size, const char **why);
int gmfs_handover_get_pool(const void *blob, u32 index, struct guestmemfs_handover_pool *p);
void gmfs_handover_get_range(const void *blob, u32 index, struct gmfs_range *r);

#endif /* _GUESTMEMFS_TABLES_H */
