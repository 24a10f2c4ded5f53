/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_TEST_POOL_H
#define _GUESTMEMFS_TEST_POOL_H

#include <linux/errno.h>
#include <linux/limits.h>
#include <linux/slab.h>
#include <linux/stat.h>
#include <linux/string.h>

#include "../../../fs/guestmemfs/tables/tables.h"
#include "test.h"

#define MIB		0x100000ULL
#define GIB		0x40000000ULL
#define META_BASE	(4 * MIB)
#define GROUP		GUESTMEMFS_GROUP_BLOCKS
#define POOL_FILES	16

/*
 * A pool in the memory of this process. Its memory ends where its tables end, so the address
 * sanitizer sees accesses behind them.
 */
struct pool {
	void *meta;
	u64 meta_size;
	struct gmfs_tables t;
	struct gmfs_pins pins;
	struct gmfs_persist persist;
	struct gmfs_poisoned poisoned;
	u32 ino[POOL_FILES];
	struct gmfs_extmap map[POOL_FILES];
	u32 nr_files;
};

void pool_make(struct pool *p, const struct gmfs_range *ranges, u32 nr);
/* The same, with room for @room blocks more. */
void pool_make_room(struct pool *p, const struct gmfs_range *ranges, u32 nr, u32 room);
/* As pool_make(), but entries that are not in use are not even written. */
void pool_make_untouched(struct pool *p, const struct gmfs_range *ranges, u32 nr);
/* Makes a pool with one range of @gib GiB at 16 GiB. */
void pool_make_gib(struct pool *p, u32 gib);
void pool_free(struct pool *p);
/* Returns the index of a new file in the root directory. */
u32 pool_file(struct pool *p);
/*
 * Sets the size of a file, in blocks; that of a new file is 0. A whole gigabyte inside the size
 * gets a group of its own even if it is filled in pieces, since it may be mapped by 1 GiB later.
 */
void pool_size(struct pool *p, u32 file, u64 blocks);
u32 pool_dir(struct pool *p, u32 parent, const char *name);
void pool_name(struct pool *p, u32 ino, u32 parent, const char *name);

int pool_fill(struct pool *p, u32 file, u64 logical, u64 count);
/* Reserve blocks for a part of a file, as a mapping does, and release them, as its end does. */
int pool_reserve(struct pool *p, u32 file, u64 logical, u64 count);
void pool_unreserve(struct pool *p, u32 file, u64 logical, u64 count);
/* Returns the number of reserved ranges of a file; adjacent ones have other numbers of holders. */
u32 pool_covers(const struct pool *p, u32 file);
int pool_punch(struct pool *p, u32 file, u64 logical, u64 count);
/* Returns the frame of a page of a file, which has memory. */
u64 pool_frame(struct pool *p, u32 file, u64 page);
/* Add pins to frames, and remove them; then detached blocks without pins are freed, as on unpin. */
int pool_pin_frames(struct pool *p, u64 first, u64 last);
void pool_unpin_frames(struct pool *p, u64 first, u64 last);
/* The same for pages of a file, from @first to before @last; pages without memory are left out. */
int pool_pin(struct pool *p, u32 file, u64 first, u64 last);
void pool_unpin(struct pool *p, u32 file, u64 first, u64 last);
/*
 * Ends all pins and forgets poisoned frames, as a kexec does. Detached blocks stay so until
 * pool_settle().
 */
void pool_end_pins(struct pool *p);
/* Takes over the pins of the pin table, as the first mount. Returns an error. */
int pool_load_pins(struct gmfs_tables *t);
/* Removes all persistent pins of a file, which must be one of @p->map or have no blocks. */
void pool_drop_pins(struct pool *p, u32 ino);
/* Writes the pin table, as at the end of a mount. */
void pool_write_pins(struct pool *p);
/* Records that a frame is poisoned, and keeps its block, as after a memory error. */
void pool_poison(struct pool *p, u64 frame);
/* The same while the pool is frozen: the block is kept by the next kernel. */
void pool_poison_frozen(struct pool *p, u64 frame);
/* Takes over the poison table, and keeps the blocks of poisoned frames, as a mount. */
void pool_load_poison(struct gmfs_tables *t);
/* Returns the number of blocks that are lost to memory errors. */
u32 pool_lost(const struct pool *p);
/* Is a block detached? */
bool pool_is_detached(const struct pool *p, u32 block);
/* Frees all detached blocks without pins. */
void pool_settle(struct pool *p);
/* The number of extents of a file, and the table entry of one of them. */
u32 map_extents(const struct gmfs_extmap *map);
u32 pool_extents(const struct pool *p, u32 file);
u32 pool_slot(const struct pool *p, u32 file, u32 index);
/* Returns an edit of pages from @first to before @last, which has not begun yet. */
struct gmfs_edit pool_edit(struct pool *p, u32 file, enum gmfs_op op, u64 first, u64 last);
/* Returns an exchange of the blocks of two parts of files, which has not begun yet. */
struct gmfs_move pool_exchange(struct pool *p, u32 a, u64 a_first, u32 b, u64 b_first, u64 count);
/* Converts pages from @first to before @last. */
int pool_convert(struct pool *p, u32 file, u64 first, u64 last, bool converted);
/* Exchanges the blocks of two parts of files, none of which has a pin. */
int pool_move(struct pool *p, u32 a, u64 a_first, u32 b, u64 b_first, u64 count, bool zero);
/* Returns the block of the pool that a block of a file has, or GMFS_NO_BLOCK. */
u32 pool_block(struct pool *p, u32 file, u64 logical);
/* Are the pages either all converted, or all not converted? */
bool pool_alike(const struct pool *p, u32 file, u64 page, u64 nr);
/* Checks that gmfs_check() accepts the tables and finds the extents that the maps have. */
void pool_check(struct pool *p);
/* As recount(), but only for groups of blocks, for tests that make no extents. */
void recount_blocks(const struct gmfs_tables *t);
/* Checks the counters of free blocks and entries, and of owned blocks of groups. */
void recount(const struct gmfs_tables *t);
/*
 * Opens and checks the tables again, as a mount does. The pins are not in the tables: they stay, as
 * those of a pool that is mounted again in the same kernel.
 */
void pool_reopen(struct pool *p);
/*
 * The same in the next kernel: there are no pins but persistent ones, and the mount frees all
 * detached blocks without these.
 */
void pool_kexec(struct pool *p);
/* Load the extents of a file, and detached ones, from the index that gmfs_check() has made. */
void pool_load_map(struct pool *p, u32 file, const struct gmfs_index *index);
void pool_load_detached(struct pool *p, const struct gmfs_index *index);
/*
 * A copy of a pool, to check that it has not changed. Free entries of the extent table may differ:
 * they may have been in use for a moment.
 */
struct pool_copy {
	struct gmfs_tables t;
	void *meta;
};

void pool_keep(const struct pool *p, struct pool_copy *copy);
void pool_unchanged(const struct pool *p, const struct pool_copy *copy);
/*
 * Calls @op on a pool made by @make, with each allocation failing in turn: the result has to be
 * -ENOMEM, and the pool must not have changed. A maple tree allocates only when a node is full, so
 * this is repeated with more and more extents; at least one allocation must have failed.
 */
void pool_no_memory(void (*make)(struct pool *p, u32 extents), int (*op)(struct pool *p));
void pool_fix_crc(void *meta, u64 meta_size);

/* Returns a pseudo-random number; the sequence is the same on every machine. */
u64 pool_random(u64 *state);

#endif /* _GUESTMEMFS_TEST_POOL_H */
