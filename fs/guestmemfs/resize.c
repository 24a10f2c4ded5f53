// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pools that grow and shrink at run time, by whole memory blocks of the host.
 *
 * A pool that grows takes memory blocks offline, which moves their contents elsewhere, and removes
 * them from the host. They have neither struct pages nor a place in the direct map then, as the
 * memory that is taken at boot. A pool that shrinks zeroes free blocks and adds them to the host.
 *
 * Which memory is a pool's is written down twice, in the range table and in the handover blob. Both
 * change in one critical section of gmfs_pool.lock of a pool that is not frozen. That is the one
 * step in which memory changes its owner for the next kernel:
 *
 * - Memory that a pool is about to get is the host's before that step, although neither uses it.
 *   The next kernel finds all memory in the firmware's map.
 * - Memory that a pool gives back is added to the host after it, before gmfs_change_end(), which
 *   a freeze waits for.
 */
#define pr_fmt(fmt) "guestmemfs: " fmt

#include <linux/atomic.h>
#include <linux/crash_core.h>
#include <linux/fs.h>
#include <linux/guestmemfs.h>
#include <linux/init.h>
#include <linux/ioport.h>
#include <linux/kexec_handover.h>
#include <linux/lockdep.h>
#include <linux/memory.h>
#include <linux/memory_hotplug.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/nodemask.h>
#include <linux/notifier.h>
#include <linux/numa.h>
#include <linux/page-flags.h>
#include <linux/page-isolation.h>
#include <linux/range.h>
#include <linux/reboot.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>

#include <asm/guestmemfs.h>

#include "internal.h"

/* One resize at a time: offlining takes locks of all of the machine's memory anyway. */
static DEFINE_MUTEX(gmfs_resize_lock);

/* Guards gmfs_pool.resized, which can be read while a resize goes on, and gmfs_grower. */
static DEFINE_SPINLOCK(gmfs_resized_lock);

/* The task that takes memory from the host, NULL if there is none. */
static struct task_struct *gmfs_grower;

/* Notes what stands in the way. Returns @err. */
static int gmfs_resize_note(struct gmfs_pool *pool, int err, const char *what, u64 at)
{
	guard(spinlock)(&gmfs_resized_lock);
	pool->resized.err = err;
	pool->resized.what = what;
	pool->resized.at = at;
	return err;
}

static void gmfs_resize_count(struct gmfs_pool *pool, s64 bytes)
{
	guard(spinlock)(&gmfs_resized_lock);
	pool->resized.got += bytes;
}

/*
 * How much memory a pool takes from the host at a time. The direct map may have entries of 1 GiB,
 * and x86 cannot remove a part of one.
 */
static u64 gmfs_grow_unit(void)
{
	return max_t(u64, GMFS_GROUP_SIZE, memory_block_size_bytes());
}

/* The smallest amount of memory that the host can take back. */
static u64 gmfs_shrink_unit(void)
{
	return max_t(u64, GUESTMEMFS_RANGE_ALIGN, memory_block_size_bytes());
}

/* Is a section the node's memory? Clears @movable if some of it may not be movable. */
static bool gmfs_section_suits(const struct gmfs_pool *pool, u64 phys, bool *movable)
{
	struct page *page = pfn_to_online_page(PHYS_PFN(phys));

	/* Memory that is offline has nothing that must be moved. */
	if (!page)
		return pfn_valid(PHYS_PFN(phys)) && phys_to_target_node(phys) == pool->node;
	*movable &= page_zonenum(page) == ZONE_MOVABLE;
	/* Devices with 32-bit DMA need the zones below ZONE_NORMAL. */
	return page_to_nid(page) == pool->node && page_zonenum(page) >= ZONE_NORMAL;
}

/* Has a memory block a page with a memory error? Its number is kept while the block is offline. */
static int gmfs_block_is_bad(struct memory_block *mem, void *arg)
{
#ifdef CONFIG_MEMORY_FAILURE
	return !!atomic_long_read(&mem->nr_hwpoison);
#else
	return 0;
#endif
}

/*
 * Is there no page that cannot be moved? The answer may be wrong by the time the pages are moved.
 * Pages that are offline need not be moved.
 */
static bool gmfs_pages_suit(u64 base, u64 size)
{
	unsigned long pfn = PHYS_PFN(base), end = PHYS_PFN(base + size), step;
	struct page *page;

	for (; pfn < end; pfn += step) {
		cond_resched();
		step = 1;
		page = pfn_to_online_page(pfn);
		if (page && page_is_unmovable(page_zone(page), page, PB_ISOLATE_MODE_MEM_OFFLINE,
					      &step))
			return false;
	}
	return true;
}

/* Could a pool get this memory, and is it movable as a whole, or not, as the caller wishes? */
static bool gmfs_grow_suits(const struct gmfs_pool *pool, u64 base, u64 size, bool movable)
{
	bool all_movable = true;
	u64 at;

	if (guestmemfs_has_range(base, size) || kho_scratch_overlap(base, size) ||
	    !arch_guestmemfs_is_ram(base, size))
		return false;
	for (at = base; at < base + size; at += GUESTMEMFS_RANGE_ALIGN)
		if (!gmfs_section_suits(pool, at, &all_movable))
			return false;
	/* An error would be forgotten when the struct pages go. */
	return all_movable == movable && !walk_memory_blocks(base, size, NULL, gmfs_block_is_bad) &&
	       gmfs_pages_suit(base, size);
}

/**
 * struct gmfs_pieces - resources that have some memory of the host
 * @ranges: the parts of the memory that they have
 * @nr: number of ranges
 * @max: how many there is room for
 * @size: bytes in @ranges
 */
struct gmfs_pieces {
	struct range *ranges;
	u32 nr;
	u32 max;
	u64 size;
};

static int gmfs_grow_piece(struct resource *res, void *arg)
{
	struct gmfs_pieces *pieces = arg;

	if (pieces->nr == pieces->max)
		return -E2BIG;
	pieces->ranges[pieces->nr++] = DEFINE_RANGE(res->start, res->end);
	pieces->size += resource_size(res);
	return 0;
}

/*
 * Removes memory from the host, all or nothing. Memory that pools have given back in pieces
 * consists of several resources, and each of them can only be removed by itself.
 */
static int gmfs_take_from_host(u64 base, u64 size)
{
	struct gmfs_pieces pieces = { .max = size / memory_block_size_bytes() };
	int err;

	pieces.ranges = kzalloc_objs(*pieces.ranges, pieces.max);
	if (!pieces.ranges)
		return -ENOMEM;
	err = walk_system_ram_res(base, base + size - 1, &pieces, gmfs_grow_piece);
	if (!err)
		err = pieces.size == size ?
		      offline_and_remove_memory_ranges(pieces.ranges, pieces.nr) : -EINVAL;
	kfree(pieces.ranges);
	return err;
}

static bool gmfs_is_online(u64 base, u64 size)
{
	u64 end = base + size;

	for (; base < end; base += memory_block_size_bytes())
		if (!pfn_to_online_page(PHYS_PFN(base)))
			return false;
	return true;
}

/*
 * Adds memory to the host, at once usable, and in a zone that it can leave again unless the host's
 * policy is another one. Memory that the host does not put online, since a notifier refuses it, is
 * removed again.
 */
static int gmfs_give_to_host(struct gmfs_pool *pool, u64 base, u64 size)
{
	enum mmop type = MMOP_ONLINE_MOVABLE;
	int err = arch_guestmemfs_map(base, size);
	u64 phys;

	if (mhp_get_default_online_type() == MMOP_ONLINE_KERNEL)
		type = MMOP_ONLINE_KERNEL;
	if (!err)
		err = __add_memory_driver_managed(pool->node, base, size,
						  "System RAM (guestmemfs)",
						  MHP_MEMMAP_ON_MEMORY | MHP_MERGE_RESOURCE, type);
	if (!err && !gmfs_is_online(base, size))
		err = gmfs_take_from_host(base, size) ?: -EIO;
	/* Errors that came while the memory was neither a pool's nor the host's. */
	while (!err && (phys = gmfs_poison_noted(base, size)) != U64_MAX)
		memory_failure_queue(PHYS_PFN(phys), 0);
	if (err)
		pr_err("node %d: [mem %#llx-%#llx] cannot be given to the host: %d\n", pool->node,
		       base, base + size - 1, err);
	return err;
}

/* How many ranges a pool may have. The ranges of other pools change under gmfs_resize_lock. */
static u32 gmfs_ranges_allowed(const struct gmfs_pool *pool)
{
	const struct gmfs_pool *other;
	u32 nr = arch_guestmemfs_most_ranges();

	list_for_each_entry(other, &gmfs_pools, list)
		if (other != pool)
			nr -= min(nr, other->nr_ranges);
	return min_t(u32, nr, GUESTMEMFS_MAX_RANGES);
}

/* Could the pool get this memory now? Asked before the host has to do without it. */
static int gmfs_grow_prepare(struct gmfs_pool *pool, u64 base, u64 size)
{
	bool fits;
	int err;

	if (kexec_crash_loaded())
		return gmfs_resize_note(pool, -EBUSY,
					"a crash kernel is loaded, which would dump the memory",
					base);
	err = gmfs_pool_begin(pool);
	if (err)
		return gmfs_resize_note(pool, err, "a kexec has begun", base);
	fits = gmfs_resize_fits(&pool->tables, base, size);
	gmfs_pool_end(pool);
	if (!fits)
		gmfs_resize_note(pool, -ENOSPC, "the metadata has no room for more", base);
	return fits ? 0 : -ENOSPC;
}

/* Tells readers without gmfs_pool.lock, and the next kernel, of a change of the range table. */
static void gmfs_resize_publish(struct gmfs_pool *pool)
{
	gmfs_pool_set_ranges(pool);
	gmfs_handover_resized(pool);
}

/* Adds memory to the tables, and records errors that came while it was being taken. */
static int gmfs_resize_enter(struct gmfs_pool *pool, u64 base, u64 size)
{
	int err;

	lockdep_assert_held(&pool->lock);
	err = gmfs_resize_add(&pool->tables, base, size);
	if (err)
		return err;
	gmfs_resize_publish(pool);
	gmfs_poison_take_over(pool, base, size);
	return 0;
}

/* The step that makes removed memory the pool's. */
static int gmfs_grow_commit(struct gmfs_pool *pool, u64 base, u64 size)
{
	u32 free;
	int err;

	err = gmfs_pool_begin(pool);
	if (err)
		return gmfs_resize_note(pool, err, "a kexec has begun", base);
	free = pool->tables.free_blocks;
	err = gmfs_resize_enter(pool, base, size);
	if (!err)
		gmfs_trace_blocks(pool, GUESTMEMFS_DETACHED_INO, free);
	gmfs_pool_end(pool);
	if (err)
		gmfs_resize_note(pool, err, "the metadata has no room for more", base);
	return err;
}

/* Makes memory the pool's that the host does not have any more. */
static int gmfs_grow_take(struct gmfs_pool *pool, u64 base, u64 size)
{
	const char *why;
	int err;

	/* Its headers still name the memory. */
	if (kexec_crash_loaded())
		return gmfs_resize_note(pool, -EBUSY, "a crash kernel has been loaded", base);
	why = gmfs_claim_range(pool, base, size);
	if (why)
		return gmfs_resize_note(pool, -EBUSY, why, base);
	err = gmfs_poison_watch(pool, base, size);
	if (!err) {
		err = gmfs_grow_commit(pool, base, size);
		if (err)
			gmfs_poison_unwatch(pool, base, size);
	} else {
		gmfs_resize_note(pool, err, "memory errors in it could not be handled", base);
	}
	if (err)
		gmfs_unclaim_range(pool, base, size);
	return err;
}

/* The memory that is being taken from the host, for gmfs_grow_notify(). Under gmfs_resize_lock. */
static u64 gmfs_grow_base;
static u64 gmfs_grow_size;

/*
 * Memory of the host is offline. Its struct pages, which record memory errors, are freed next:
 * guests must not get frames with errors, and the kernel must not zero them.
 */
static int gmfs_grow_notify(struct notifier_block *nb, unsigned long action, void *data)
{
	const struct memory_notify *mem = data;
	unsigned long pfn = mem->start_pfn, end = pfn + mem->nr_pages;
	u64 base = READ_ONCE(gmfs_grow_base);

	if (action != MEM_OFFLINE || PFN_PHYS(pfn) < base ||
	    PFN_PHYS(end) > base + READ_ONCE(gmfs_grow_size))
		return NOTIFY_OK;
	for (; pfn < end; pfn++)
		if (PageHWPoison(pfn_to_page(pfn)))
			gmfs_poison_note(PFN_PHYS(pfn));
	return NOTIFY_OK;
}

static void gmfs_grower_set(struct task_struct *task)
{
	guard(spinlock)(&gmfs_resized_lock);
	gmfs_grower = task;
}

/*
 * Ends offlining that waits for a page, when the pools have been frozen for a kexec. Otherwise
 * device_shutdown() would wait for the lock of the memory block, with all guests stopped.
 */
static int gmfs_grow_stop(struct notifier_block *nb, unsigned long action, void *data)
{
	guard(spinlock)(&gmfs_resized_lock);
	if (gmfs_grower)
		set_notify_signal(gmfs_grower);
	return NOTIFY_DONE;
}

static struct notifier_block gmfs_grow_reboot_notifier = {
	.notifier_call = gmfs_grow_stop,
	/* After gmfs_freeze(): a unit that begins later finds the pool frozen. */
	.priority = INT_MAX - 1,
};

/* Notes why signal_pending() is true: a signal came, or gmfs_grow_stop() was called. */
static int gmfs_grow_note_signal(struct gmfs_pool *pool, u64 base)
{
	if (READ_ONCE(pool->frozen))
		return gmfs_resize_note(pool, -EBUSY, "a kexec has begun", base);
	return gmfs_resize_note(pool, -EINTR, "a signal came", base);
}

/*
 * Returns 1 if other memory may be had although this cannot. Offlining may take very long, if pages
 * are pinned: a signal ends it, or a kexec.
 */
static int gmfs_grow_one(struct gmfs_pool *pool, u64 base, u64 size)
{
	int err;

	err = gmfs_grow_prepare(pool, base, size);
	if (err)
		return err;
	WRITE_ONCE(gmfs_grow_size, size);
	WRITE_ONCE(gmfs_grow_base, base);
	err = gmfs_take_from_host(base, size);
	WRITE_ONCE(gmfs_grow_base, U64_MAX);
	if (err) {
		/* The host has it again, with the struct pages that know of errors. */
		while (gmfs_poison_noted(base, size) != U64_MAX)
			;
		if (signal_pending(current))
			return gmfs_grow_note_signal(pool, base);
		gmfs_resize_note(pool, err, "the host cannot do without the memory", base);
		return 1;
	}
	err = gmfs_grow_take(pool, base, size);
	if (err)
		gmfs_give_to_host(pool, base, size);
	return err;
}

static bool gmfs_resize_stops(void)
{
	cond_resched();
	return signal_pending(current);
}

/*
 * Takes the host's movable memory first, as it can be had for sure. Other memory can be had if
 * nothing of the kernel is in it.
 */
static int gmfs_grow(struct gmfs_pool *pool, u64 want)
{
	/* Memory that is offline is not in the span of its node. */
	u64 unit = gmfs_grow_unit(), end = PFN_PHYS(max_pfn), base;
	bool movable = true;
	int err = 0;

	gmfs_resize_note(pool, -ENOSPC, "the node has no more memory", 0);
	do {
		for (base = 0; base + unit <= end && pool->resized.got < want; base += unit) {
			if (gmfs_resize_stops())
				return gmfs_grow_note_signal(pool, base);
			if (!gmfs_grow_suits(pool, base, unit, movable))
				continue;
			err = gmfs_grow_one(pool, base, unit);
			if (err < 0)
				return err;
			if (!err)
				gmfs_resize_count(pool, unit);
		}
		movable = !movable;
	} while (!movable && pool->resized.got < want);
	if (pool->resized.got == want)
		return gmfs_resize_note(pool, 0, NULL, 0);
	return pool->resized.err == -ENOSPC ? -ENOSPC : -EBUSY;
}

/* Gives blocks back to the files that could have them, but for those with a memory error. */
static void gmfs_shrink_undo(struct gmfs_pool *pool, u32 block, u32 count)
{
	u64 frame = (u64)block * GUESTMEMFS_BLOCK_PAGES;
	u64 end = frame + (u64)count * GUESTMEMFS_BLOCK_PAGES;
	struct gmfs_tables *t = &pool->tables;

	guard(mutex)(&pool->lock);
	gmfs_release_unused(t, block, count);
	for (;; frame++) {
		frame = gmfs_poisoned_next(&pool->poisoned, frame, end);
		if (frame == end)
			return;
		gmfs_poison_keep(t, frame);
	}
}

/* Withholds free blocks from files. A freeze waits for gmfs_change_end(). */
static int gmfs_shrink_begin(struct gmfs_pool *pool, u32 count, bool whole, u32 *block)
{
	guard(mutex)(&pool->lock);
	if (!gmfs_resize_find(&pool->tables, count, whole, block))
		return -ENOSPC;
	gmfs_take(&pool->tables, *block, count, 0, 0);
	return 0;
}

/* The step that makes zeroed memory the host's. */
static int gmfs_shrink_commit(struct gmfs_pool *pool, u32 block, u32 count)
{
	u64 frame = (u64)block * GUESTMEMFS_BLOCK_PAGES;
	u64 end = frame + (u64)count * GUESTMEMFS_BLOCK_PAGES;
	u32 free;
	int err;

	guard(mutex)(&pool->lock);
	free = pool->tables.free_blocks;
	/* An error may have come while the blocks were zeroed. */
	if (gmfs_poisoned_next(&pool->poisoned, frame, end) < end)
		return -EHWPOISON;
	err = gmfs_resize_cut(&pool->tables, block, count);
	if (err)
		return err;
	gmfs_resize_publish(pool);
	gmfs_trace_blocks(pool, GUESTMEMFS_DETACHED_INO, free);
	return 0;
}

/* Makes memory the pool's again that the host could not take. */
static void gmfs_shrink_take_back(struct gmfs_pool *pool, u64 base, u64 size)
{
	const char *why = gmfs_claim_range(pool, base, size);
	int err = why ? -EBUSY : arch_guestmemfs_unmap(base, size);

	if (!err) {
		guard(mutex)(&pool->lock);
		err = gmfs_resize_enter(pool, base, size);
		gmfs_scrub_wake(pool);
	}
	if (err)
		pr_err("node %d: [mem %#llx-%#llx] is nobody's until the next kexec: %s %d\n",
		       pool->node, base, base + size - 1, why ?: "error", err);
}

static const char *gmfs_shrink_why(int err)
{
	switch (err) {
	case -EINTR:
		return "a signal came";
	case -EBUSY:
		return "a kexec has begun";
	case -E2BIG:
		return "the pools would have too many ranges";
	case -EHWPOISON:
		return "it has a memory error";
	default:
		return "it could not be zeroed";
	}
}

/* Gives free blocks to the host, all at once or not at all. */
static int gmfs_shrink_one(struct gmfs_pool *pool, u32 block, u32 count, u64 *at)
{
	u64 base = gmfs_block_phys(&pool->tables, block);
	u64 size = (u64)count << GUESTMEMFS_BLOCK_SHIFT;
	int err;

	*at = base;
	err = gmfs_zero_free(pool, block, count);
	if (!err)
		err = gmfs_shrink_commit(pool, block, count);
	if (err) {
		gmfs_shrink_undo(pool, block, count);
		return gmfs_resize_note(pool, err, gmfs_shrink_why(err), base);
	}
	gmfs_unclaim_range(pool, base, size);
	err = gmfs_give_to_host(pool, base, size);
	if (!err)
		return 0;
	gmfs_shrink_take_back(pool, base, size);
	return gmfs_resize_note(pool, err, "the host cannot take the memory", base);
}

/* Gives @size bytes to the host. Returns -ENOSPC if there is no such free memory. */
static int gmfs_shrink_step(struct gmfs_pool *pool, u64 size, bool whole)
{
	u32 count = size >> GUESTMEMFS_BLOCK_SHIFT, block;
	u64 base = 0;
	int err;

	err = gmfs_change_begin(pool);
	if (err)
		return gmfs_resize_note(pool, err, gmfs_shrink_why(err), 0);
	err = gmfs_shrink_begin(pool, count, whole, &block);
	if (err)
		gmfs_resize_note(pool, err, "the rest has files, or is reserved for them", 0);
	else
		err = gmfs_shrink_one(pool, block, count, &base);
	gmfs_change_end(pool);
	if (err)
		return err;
	gmfs_poison_unwatch(pool, base, size);
	gmfs_resize_count(pool, -(s64)size);
	return 0;
}

/*
 * Gives whole gigabytes first: the pool can get these again. Then pieces of gigabytes that are in
 * use in part, so that as few as possible are broken up.
 */
static int gmfs_shrink(struct gmfs_pool *pool, u64 want)
{
	u64 least = gmfs_shrink_unit(), unit = gmfs_grow_unit(), left = want;
	bool whole = true;
	int err = 0;

	while (left) {
		if (gmfs_resize_stops())
			return gmfs_resize_note(pool, -EINTR, "a signal came", 0);
		if (left < unit && unit > least) {
			unit = least;
			whole = false;
		}
		err = left < unit ? -ENOSPC : gmfs_shrink_step(pool, unit, whole);
		if (!err) {
			left -= unit;
		} else if (err == -ENOSPC && unit > least) {
			unit = least;
			whole = false;
		} else if (err == -ENOSPC && !whole && left < gmfs_grow_unit()) {
			whole = true;
		} else if (err != -EHWPOISON) {
			return err;
		}
	}
	return gmfs_resize_note(pool, 0, NULL, 0);
}

/* Parses "8G", "+1G" or "-1G": the number of bytes by which the size is to change. */
static int gmfs_resize_parse(const struct gmfs_pool *pool, const char *text, s64 *by)
{
	u64 size = gmfs_pool_size(pool), bytes;
	char amount[32];
	u32 percent;

	if (strscpy(amount, skip_spaces(text)) < 0)
		return -EINVAL;
	text = strim(amount);
	if (gmfs_amount_parse(text + (*text == '+' || *text == '-'), &bytes, &percent) || percent ||
	    bytes > S64_MAX)
		return -EINVAL;
	if (*text == '+')
		*by = bytes;
	else if (*text == '-')
		*by = -(s64)bytes;
	else
		*by = bytes - size;
	if (*by < 0 && -*by > size)
		return -EINVAL;
	return abs(*by) % (*by > 0 ? gmfs_grow_unit() : gmfs_shrink_unit()) ? -EINVAL : 0;
}

static int gmfs_resize_locked(struct gmfs_pool *pool, const char *text)
{
	s64 by;
	int err;

	err = gmfs_resize_parse(pool, text, &by);
	if (err)
		return err;
	scoped_guard(spinlock, &gmfs_resized_lock)
		pool->resized = (struct gmfs_resized){ .want = by };
	scoped_guard(mutex, &pool->lock)
		pool->tables.max_ranges = gmfs_ranges_allowed(pool);
	if (by > 0) {
		gmfs_grower_set(current);
		err = gmfs_grow(pool, by);
		gmfs_grower_set(NULL);
	} else {
		err = gmfs_shrink(pool, -by);
	}
	if (pool->resized.got)
		pr_info("node %d: %s by %lld MiB, the pool has %llu MiB\n", pool->node,
			by > 0 ? "grown" : "shrunk", abs(pool->resized.got) / SZ_1M,
			gmfs_pool_size(pool) >> 20);
	return err;
}

/**
 * gmfs_resize - change the size of a pool
 * @pool: the pool
 * @text: the new size in bytes, with a unit or without, or what to add or to subtract, with a sign
 *
 * Does as much as possible, and can be ended by a signal. gmfs_resized_show() tells how much was
 * done, and why it was not more.
 *
 * Context: process context, without locks.
 * Return: 0 if all is done, else an errno, and a part may be done. -ENODEV: the pool is not
 * mounted, or this kernel does not have its node. -EINVAL: the text is no size, or the difference
 * no multiple of a memory block (of a gigabyte, to grow). -EROFS: a feature of the pool forbids it.
 * -EINTR: a signal. -EBUSY: the memory is in use, a crash kernel is loaded, or a kexec has begun.
 * -ENOSPC: there is no more free memory, or no room in the tables. -E2BIG: the pools would have too
 * many ranges. -EIO: the host does not put the memory online.
 */
int gmfs_resize(struct gmfs_pool *pool, const char *text)
{
	struct super_block *sb;
	int err;

	if ((u32)pool->node >= MAX_NUMNODES || !node_possible(pool->node))
		return -ENODEV;
	if (mutex_lock_interruptible(&gmfs_resize_lock))
		return -EINTR;
	sb = gmfs_pool_get_sb(pool);
	err = sb ? 0 : -ENODEV;
	if (!err && pool->tables.read_only)
		err = -EROFS;
	if (!err)
		err = gmfs_resize_locked(pool, text);
	mutex_unlock(&gmfs_resize_lock);
	if (sb)
		deactivate_super(sb);
	return err;
}

/**
 * gmfs_resized_show - describe the last change of the size
 * @pool: the pool
 * @buf: a page
 *
 * Context: any, also while the change goes on.
 * Return: number of bytes.
 */
int gmfs_resized_show(const struct gmfs_pool *pool, char *buf)
{
	struct gmfs_resized r;
	int len;

	scoped_guard(spinlock, &gmfs_resized_lock)
		r = pool->resized;
	len = sysfs_emit(buf, "%lld of %lld", r.got, r.want);
	if (r.err && r.at)
		len += sysfs_emit_at(buf, len, ": %s, at %#llx (%d)", r.what, r.at, r.err);
	else if (r.err)
		len += sysfs_emit_at(buf, len, ": %s (%d)", r.what, r.err);
	return len + sysfs_emit_at(buf, len, "\n");
}

static int __init gmfs_resize_init(void)
{
	int err;

	gmfs_grow_base = U64_MAX;
	if (list_empty(&gmfs_pools))
		return 0;
	err = register_reboot_notifier(&gmfs_grow_reboot_notifier);
	return err ?: hotplug_memory_notifier(gmfs_grow_notify, 0);
}
fs_initcall(gmfs_resize_init);
