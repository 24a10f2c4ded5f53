// SPDX-License-Identifier: GPL-2.0-only
/*
 * Changes of a pool's tables, and the freeze that stops changes before a kexec. At boot, claims
 * the memory of the pools: as resources, out of the direct map, and formatted if a pool is new.
 */
#define pr_fmt(fmt) "guestmemfs: " fmt

#include <linux/init.h>
#include <linux/io.h>
#include <linux/ioport.h>
#include <linux/kernel.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include <asm/guestmemfs.h>

#include "internal.h"

/**
 * gmfs_pool_begin - begin to change a pool's tables
 * @pool: the pool
 *
 * Return: 0 with gmfs_pool.lock held, or -EBUSY if the pool is frozen for a kexec.
 */
int gmfs_pool_begin(struct gmfs_pool *pool)
{
	mutex_lock(&pool->lock);
	if (!pool->frozen)
		return 0;
	mutex_unlock(&pool->lock);
	return -EBUSY;
}

/**
 * gmfs_pool_wait - wait until a pool is not frozen any more
 * @pool: the pool
 *
 * Returns early if a signal is pending. Unless the signal is fatal, sleeps for 20 ms before
 * that, so that a caller may retry in a loop.
 *
 * Context: process context, without locks that the kexec needs.
 */
void gmfs_pool_wait(const struct gmfs_pool *pool)
{
	while (READ_ONCE(pool->frozen)) {
		schedule_timeout_killable(HZ / 50);
		if (signal_pending(current))
			break;
	}
}

/**
 * gmfs_change_begin - begin a change that holds gmfs_pool.lock more than once
 * @pool: the pool
 *
 * A freeze waits for the end of the change. After success the caller must call
 * gmfs_change_end().
 *
 * Context: process context, without invalidate_lock.
 * Return: 0, -EBUSY if the pool is frozen for a kexec, or -EINTR at a fatal signal.
 */
int gmfs_change_begin(struct gmfs_pool *pool)
{
	int err = down_read_killable(&pool->changes);

	/* A freeze needs gmfs_pool.changes for writing. A thaw may come at any time. */
	if (!err && READ_ONCE(pool->frozen)) {
		up_read(&pool->changes);
		err = -EBUSY;
	}
	return err;
}

/**
 * gmfs_change_end - end a change that gmfs_change_begin() began
 * @pool: the pool
 */
void gmfs_change_end(struct gmfs_pool *pool)
{
	up_read(&pool->changes);
}

/**
 * gmfs_pool_edit_step - do one step of an edit, and end the edit after the last step
 * @pool: the pool
 * @ino: inode number of the file, for the tracepoints
 * @ed: the edit
 *
 * Context: process context. gmfs_pool.changes is held for reading; the file's map_lock is held
 * exclusively, or no other task can reach the map.
 * Return: true if there is more to do.
 */
bool gmfs_pool_edit_step(struct gmfs_pool *pool, u32 ino, struct gmfs_edit *ed)
{
	u32 free;
	bool more;

	scoped_guard(mutex, &pool->lock) {
		free = pool->tables.free_blocks;
		more = gmfs_edit_step(ed);
		if (!more)
			gmfs_edit_end(ed);
		gmfs_trace_blocks(pool, ino, free);
	}
	cond_resched();
	return more;
}

/**
 * gmfs_pool_edit - do all steps of an edit that has begun, and end the edit
 * @pool: the pool
 * @ino: inode number of the file, for the tracepoints
 * @ed: the edit
 *
 * Releases gmfs_pool.lock between two steps.
 *
 * Context: as gmfs_pool_edit_step().
 */
void gmfs_pool_edit(struct gmfs_pool *pool, u32 ino, struct gmfs_edit *ed)
{
	while (gmfs_pool_edit_step(pool, ino, ed))
		;
}

/**
 * gmfs_pool_write_pins - write the persistent pins to the tables
 * @pool: the pool
 *
 * Context: gmfs_pool.changes is held, exclusively or with gmfs_pool.loaded cleared, so that the
 * persistent pins do not change. The tables are loaded.
 */
void gmfs_pool_write_pins(struct gmfs_pool *pool)
{
	struct gmfs_tables *t = &pool->tables;
	bool more = true;
	u64 frame = 0;
	u32 nr = 0;

	while (more) {
		scoped_guard(mutex, &pool->lock)
			more = !t->read_only && gmfs_persist_write(t, &frame, &nr);
		cond_resched();
	}
}

/**
 * gmfs_pool_freeze - freeze a pool's tables
 * @pool: the pool
 *
 * Waits for changes that are in progress, and writes the pin table and the records of absent pages.
 * After that only these change: bits of the unzeroed table and of the records, the preserved_pos of
 * files in a session, and the poison table, with the number of its records, its feature and the
 * superblock's checksum. A pool can be frozen more than once: each freeze needs a gmfs_pool_thaw()
 * of its own.
 */
void gmfs_pool_freeze(struct gmfs_pool *pool)
{
	bool write;

	down_write(&pool->changes);
	scoped_guard(mutex, &pool->lock) {
		write = pool->loaded && !pool->frozen;
		WRITE_ONCE(pool->frozen, pool->frozen + 1);
	}
	if (write) {
		gmfs_pool_write_pins(pool);
		gmfs_punched_write(pool);
	}
	up_write(&pool->changes);
}

/**
 * gmfs_map_free - free the memory of a file's map
 * @map: the map, NULL if the inode never had one; the pool's tables keep the extents
 */
void gmfs_map_free(struct gmfs_extmap *map)
{
	if (map)
		gmfs_map_destroy(map);
	kfree(map);
}

/**
 * struct gmfs_leftover - an unlinked inode that was evicted while its pool was frozen
 * @list: in gmfs_pool.leftovers
 * @map: its extents, NULL if it has none
 * @ino: its entry in the inode table
 */
struct gmfs_leftover {
	struct list_head list;
	struct gmfs_extmap *map;
	u32 ino;
};

/**
 * gmfs_pool_settle - free detached blocks that have no pin
 * @pool: the pool
 * @block: first block
 * @end: block after the last one, U32_MAX for all blocks
 *
 * Called after pins were removed. If the pool is frozen, gmfs_pool_thaw() calls it again. If the
 * pool is not mounted, the next mount frees the blocks. A mount that was made read-only later does
 * not keep blocks from becoming free, as it does not for files without a name.
 *
 * Context: process context.
 */
void gmfs_pool_settle(struct gmfs_pool *pool, u64 block, u64 end)
{
	struct gmfs_tables *t = &pool->tables;
	bool more = true;
	u32 free;

	while (more) {
		scoped_guard(mutex, &pool->lock) {
			if (!pool->loaded || pool->frozen || t->read_only || !t->detached.blocks)
				return;
			free = t->free_blocks;
			more = gmfs_detached_free(t, &block, min(end, t->nr_blocks));
			gmfs_trace_blocks(pool, GUESTMEMFS_DETACHED_INO, free);
		}
		cond_resched();
	}
}

/* Removes the persistent pins that a file has on the blocks of a map. */
static void gmfs_drop_pins_of(struct gmfs_pool *pool, u32 ino, const struct gmfs_extmap *map)
{
	u64 block = 0, frame = 0;
	bool more = true;

	while (more) {
		scoped_guard(mutex, &pool->lock)
			more = gmfs_persist_drop(&pool->tables, map, &block, &frame, ino);
		cond_resched();
	}
}

/**
 * gmfs_pool_drop_pins - remove all persistent pins of a file
 * @pool: the pool
 * @ino: the file
 * @map: its extents, NULL for none; its map_lock is held, or no other task can reach it
 *
 * Frees detached blocks that have no other pin.
 *
 * Context: process context, after gmfs_change_begin().
 */
void gmfs_pool_drop_pins(struct gmfs_pool *pool, u32 ino, const struct gmfs_extmap *map)
{
	const struct guestmemfs_inode *di = &pool->tables.inodes[ino];
	const __le32 flag = cpu_to_le32(GUESTMEMFS_INODE_PINS);

	if (!(READ_ONCE(di->flags) & flag))
		return;
	if (map)
		gmfs_drop_pins_of(pool, ino, map);
	/* Blocks that the file has lost before; all of their pins may be gone already. */
	gmfs_drop_pins_of(pool, ino, &pool->tables.detached);
	gmfs_pool_settle(pool, 0, U32_MAX);
}

/* Frees the blocks of an inode, and then its entry in the inode table. */
static void gmfs_free_inode_now(struct gmfs_pool *pool, u32 ino, struct gmfs_extmap *map)
{
	struct gmfs_edit ed = {
		.t	= &pool->tables,
		.map	= map,
		.op	= GMFS_CLEAR,
		.last	= GMFS_MAX_PAGE,
	};

	gmfs_pool_drop_pins(pool, ino, map);
	if (map)
		gmfs_pool_edit(pool, ino, &ed);
	guard(mutex)(&pool->lock);
	gmfs_inode_free(&pool->tables, ino);
}

/*
 * Must the entry stay as it is? An entry that is in a session must. In a frozen pool, all
 * entries must: gmfs_pool.leftovers takes *@map over, for the thaw.
 */
static bool gmfs_keep_inode(struct gmfs_pool *pool, u32 ino, struct gmfs_extmap **map)
{
	struct gmfs_leftover *left;

	guard(mutex)(&pool->lock);
	if (gmfs_inode_in_session(pool, ino))
		return true;
	if (!pool->frozen)
		return false;
	left = kmalloc_obj(*left, GFP_KERNEL | __GFP_NOFAIL);
	left->ino = ino;
	left->map = *map;
	*map = NULL;
	list_add(&left->list, &pool->leftovers);
	return true;
}

/**
 * gmfs_pool_free_inode - free an entry of the inode table and its blocks
 * @pool: the pool
 * @ino: the entry, whose flags say that it is an orphan
 * @map: its extents, which the caller must not use after this; NULL for none
 *
 * If the pool is frozen, gmfs_pool_thaw() frees the entry and its blocks. If there is no thaw,
 * the next kernel does, as for every other orphan. The entry of a file that is in a session
 * (gmfs_inode_in_session()) is not freed.
 *
 * Context: process context, without gmfs_pool.lock and not after gmfs_change_begin().
 */
void gmfs_pool_free_inode(struct gmfs_pool *pool, u32 ino, struct gmfs_extmap *map)
{
	down_read(&pool->changes);
	if (!gmfs_keep_inode(pool, ino, &map))
		gmfs_free_inode_now(pool, ino, map);
	up_read(&pool->changes);
	gmfs_map_free(map);
}

/**
 * gmfs_pool_drop_leftovers - empty gmfs_pool.leftovers
 * @pool: the pool
 * @all_the_way: free the blocks and the entries of the inodes as well. Without it, at unmount,
 *	they stay orphans.
 */
void gmfs_pool_drop_leftovers(struct gmfs_pool *pool, bool all_the_way)
{
	struct gmfs_leftover *left, *next;
	LIST_HEAD(leftovers);

	/* If the pool is frozen again, the next thaw frees the leftovers. */
	down_read(&pool->changes);
	scoped_guard(mutex, &pool->lock)
		if (!all_the_way || !pool->frozen)
			list_splice_init(&pool->leftovers, &leftovers);
	list_for_each_entry_safe(left, next, &leftovers, list) {
		if (all_the_way)
			gmfs_free_inode_now(pool, left->ino, left->map);
		gmfs_map_free(left->map);
		kfree(left);
	}
	up_read(&pool->changes);
}

/**
 * struct gmfs_thaw - a thaw in progress
 * @frame: the poisoned frame to go on with
 * @nr: how many poisoned frames there were, U64_MAX at first
 * @at: the record of absent pages to go on with
 */
struct gmfs_thaw {
	u64 frame;
	u64 nr;
	struct gmfs_punched_at at;
};

/*
 * Keeps the blocks of frames that were poisoned while the pool was frozen, before anybody can
 * allocate them, and removes the records of absent pages, before anybody can use their maps. Then
 * undoes one freeze. Returns true if the caller must call again.
 */
static bool gmfs_thaw_step(struct gmfs_pool *pool, struct gmfs_thaw *thaw)
{
	struct gmfs_tables *t = &pool->tables;
	bool last, more = false;
	u32 free;

	guard(mutex)(&pool->lock);
	if (WARN_ON_ONCE(!pool->frozen))
		return false;
	last = pool->frozen == 1 && pool->loaded && !t->read_only;
	if (last) {
		free = t->free_blocks;
		more = gmfs_poison_settle(t, &thaw->frame);
		gmfs_trace_blocks(pool, GUESTMEMFS_DETACHED_INO, free);
	}
	/* Frames may have been poisoned behind gmfs_thaw.frame. */
	if (!more && last && thaw->nr != pool->poisoned.nr) {
		thaw->nr = pool->poisoned.nr;
		thaw->frame = 0;
		more = true;
	}
	if (!more && last)
		more = gmfs_punched_unwrite(pool, &thaw->at);
	if (more)
		return true;
	WRITE_ONCE(pool->frozen, pool->frozen - 1);
	if (last)
		gmfs_persist_unwrite(t);
	return false;
}

/**
 * gmfs_pool_thaw - undo one gmfs_pool_freeze()
 * @pool: the pool
 */
void gmfs_pool_thaw(struct gmfs_pool *pool)
{
	struct gmfs_thaw thaw = { .nr = U64_MAX };

	/* No other freeze begins meanwhile. */
	down_read(&pool->changes);
	while (gmfs_thaw_step(pool, &thaw))
		cond_resched();
	up_read(&pool->changes);
	gmfs_pool_drop_leftovers(pool, true);
	gmfs_pool_settle(pool, 0, U32_MAX);
	/* Threads that zero free blocks have done nothing meanwhile. */
	gmfs_scrub_wake(pool);
}

/**
 * gmfs_pool_end - end a change that gmfs_pool_begin() began
 * @pool: the pool
 */
void gmfs_pool_end(struct gmfs_pool *pool)
{
	mutex_unlock(&pool->lock);
}

/**
 * struct gmfs_claim - guest memory whose memory type is fixed
 * @list: in gmfs_pool.claims
 * @base: physical address
 * @size: bytes
 */
struct gmfs_claim {
	struct list_head list;
	u64 base;
	u64 size;
};

static const char *gmfs_claim_type(struct gmfs_pool *pool, u64 base, u64 size, gfp_t gfp)
{
	struct gmfs_claim *claim = kzalloc_obj(*claim, gfp);

	if (!claim)
		return "there is no memory to describe it";
	if (arch_guestmemfs_track(base, size)) {
		kfree(claim);
		return "its memory is not write-back";
	}
	claim->base = base;
	claim->size = size;
	list_add(&claim->list, &pool->claims);
	return NULL;
}

/**
 * gmfs_claim_range - claim guest memory as a resource, and fix its memory type
 * @pool: the pool that has the memory, or is about to get it
 * @base: physical address
 * @size: bytes
 *
 * Context: at boot, or with gmfs_resize_lock held.
 * Return: NULL, or what is wrong with the range. At boot the resource stays claimed then.
 */
const char *gmfs_claim_range(struct gmfs_pool *pool, u64 base, u64 size)
{
	const char *why;

	/*
	 * A busy region cannot be hot-added as memory by ACPI. An exclusive region cannot be
	 * mapped through /dev/mem.
	 */
	if (!request_mem_region_exclusive(base, size, "guestmemfs"))
		return "its memory is claimed by somebody else";
	why = gmfs_claim_type(pool, base, size, GFP_KERNEL);
	if (why && system_state >= SYSTEM_RUNNING)
		release_mem_region(base, size);
	return why;
}

/* Fixes the type of a part again before that of the whole is released: there is no gap. */
static void gmfs_claim_rest(struct gmfs_pool *pool, u64 base, u64 end)
{
	const char *why;

	if (base >= end)
		return;
	why = gmfs_claim_type(pool, base, end - base, GFP_KERNEL | __GFP_NOFAIL);
	if (why)
		pr_warn("node %d: [mem %#llx-%#llx]: %s\n", pool->node, base, end - 1, why);
}

/**
 * gmfs_unclaim_range - undo gmfs_claim_range(), for all of the memory or for a part
 * @pool: the pool
 * @base: physical address
 * @size: bytes, all of which are claimed
 *
 * Context: as gmfs_claim_range().
 */
void gmfs_unclaim_range(struct gmfs_pool *pool, u64 base, u64 size)
{
	u64 end = base + size, claim_end, from, to;
	struct gmfs_claim *claim, *next;

	/* Each claim is a resource of its own. gmfs_claim_rest() adds claims beside the range. */
	list_for_each_entry_safe(claim, next, &pool->claims, list) {
		claim_end = claim->base + claim->size;
		from = max(base, claim->base);
		to = min(end, claim_end);
		if (from >= to)
			continue;
		gmfs_claim_rest(pool, claim->base, from);
		gmfs_claim_rest(pool, to, claim_end);
		arch_guestmemfs_untrack(claim->base, claim->size);
		list_del(&claim->list);
		kfree(claim);
#ifdef CONFIG_MEMORY_HOTREMOVE
		release_mem_region_adjustable(from, to - from);
#endif
	}
}

static const char * __init gmfs_claim_data(struct gmfs_pool *pool)
{
	const char *first = NULL;

	for (u32 i = 0; i < pool->nr_ranges; i++) {
		const struct gmfs_range *r = &pool->ranges[i];
		const char *why = gmfs_claim_range(pool, r->base, r->size);

		if (arch_guestmemfs_unmap(r->base, r->size) && !why)
			why = "its memory cannot be taken out of the direct map";
		if (!first)
			first = why;
	}
	return first;
}

/* Formats a pool that is new, or whose contents are discarded. */
static const char * __init gmfs_make_meta(struct gmfs_pool *pool)
{
	if (pool->hops)
		gmfs_poison_save(pool);
	/* The memory may contain a guest's bytes, and stays in the direct map. */
	memset(pool->meta, 0, pool->meta_size);
	/* The tables of the previous kernel may have been larger. */
	if (gmfs_format_size(pool->ranges, pool->nr_ranges, pool->room, &pool->meta_size))
		return "its metadata cannot be made";
	uuid_gen(&pool->uuid);
	if (gmfs_format_make(pool->meta, pool->meta_base, pool->meta_size, pool->node,
			     pool->uuid.b, pool->ranges, pool->nr_ranges, pool->room))
		return "its metadata cannot be made";
	gmfs_poison_restore(pool);
	if (pool->hops)
		pr_warn("node %d: contents discarded, as the command line says\n", pool->node);
	pool->lost = false;
	pool->hops = 0;
	return NULL;
}

static const char * __init gmfs_claim_meta(struct gmfs_pool *pool)
{
	if (!request_mem_region_exclusive(pool->meta_base, pool->meta_size, "guestmemfs"))
		return "its metadata is claimed by somebody else";
	if (pool->refused)
		return NULL;
	if (!arch_guestmemfs_mapped(pool->meta_base, pool->meta_size))
		return "its metadata is not in the direct map";
	pool->meta = phys_to_virt(pool->meta_base);
	return pool->fresh ? gmfs_make_meta(pool) : NULL;
}

/* Claims refused pools like all others: their memory may contain a guest's bytes. */
static int __init gmfs_claim_pools(void)
{
	struct gmfs_pool *pool;

	list_for_each_entry(pool, &gmfs_pools, list) {
		const char *why = gmfs_claim_data(pool);

		if (!pool->refused)
			pool->refused = why;
		why = pool->meta_size ? gmfs_claim_meta(pool) : NULL;
		if (!pool->refused)
			pool->refused = why;
		if (pool->refused)
			pr_err("node %d: pool refused: %s\n", pool->node, pool->refused);
	}
	return 0;
}
core_initcall(gmfs_claim_pools);
