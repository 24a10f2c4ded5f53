// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory errors: a frame that the hardware reports is unmapped from everything that maps it, its
 * users are told, and neither the kernel nor anything else gets it again.
 *
 * mm/memory-failure.c calls gmfs_memory_failure(), since there is no struct page to mark. Page
 * faults, guests' faults, pins and UFFDIO_COPY ask gmfs_poisoned_next() before they use a frame,
 * and so does all code of the kernel that writes to guest memory.
 */
#define pr_fmt(fmt) "guestmemfs: " fmt

#include <linux/fs.h>
#include <linux/init.h>
#include <linux/irqflags.h>
#include <linux/memory-failure.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>

#include <trace/events/guestmemfs.h>

#include "internal.h"

/* How often to look for the file of a block that others keep on moving. */
#define GMFS_POISON_TRIES	16

/**
 * struct gmfs_failure_range - a range of a pool, for mm/memory-failure.c
 * @space: the frames of the range
 * @pool: the pool
 * @list: in gmfs_pool.failures
 */
struct gmfs_failure_range {
	struct pfn_address_space space;
	struct gmfs_pool *pool;
	struct list_head list;
};

/**
 * gmfs_meta_poisoned - has the metadata of a pool a memory error
 * @pool: the pool
 *
 * The metadata is in the direct map and in use all the time, so that nothing can be done about an
 * error. But nothing should read it needlessly, and no other kernel should.
 *
 * Context: process context.
 * Return: true if it has.
 */
bool gmfs_meta_poisoned(struct gmfs_pool *pool)
{
	unsigned long pfn = PHYS_PFN(pool->meta_base), end = pfn + PHYS_PFN(pool->meta_size);

	/* Whole sections of metadata have no struct pages. */
	for (; pfn < end && !READ_ONCE(pool->meta_error); pfn++) {
		if (pfn_valid(pfn) && PageHWPoison(pfn_to_page(pfn)))
			WRITE_ONCE(pool->meta_error, true);
		cond_resched();
	}
	return pool->meta_error;
}

/*
 * Writes a frame to the poison table, also while the pool is frozen. A kexec may stop this CPU
 * then, but not while interrupts are disabled: not between the superblock's features and their
 * checksum.
 */
static bool gmfs_poison_write(struct gmfs_pool *pool, struct gmfs_tables *t, u64 frame)
{
	unsigned long flags;
	int err;

	if (t->read_only)
		return false;
	local_irq_save(flags);
	err = gmfs_poison_record(t, frame);
	local_irq_restore(flags);
	if (!err)
		gmfs_poisoned_recorded(&pool->poisoned, frame);
	return !err;
}

/* Before the first mount, the records of earlier kernels are not in gmfs_pool.poisoned. */
static bool gmfs_poison_has_record(const struct gmfs_tables *t, u64 frame)
{
	u32 used = min(le32_to_cpu(t->super->live.used_poison), t->nr_poison), i;

	for (i = 0; i < used; i++)
		if (le64_to_cpu(t->poison[i].page) == frame)
			return true;
	return false;
}

/*
 * As gmfs_poison_write(), for a pool that is not mounted. Leaves tables alone that the next mount
 * refuses.
 */
static bool gmfs_poison_write_unmounted(struct gmfs_pool *pool, u64 frame)
{
	struct gmfs_complaint c;
	struct gmfs_tables t;

	if (pool->refused || !pool->meta || gmfs_meta_poisoned(pool) ||
	    gmfs_format_open(&t, pool->meta, pool->meta_base, pool->meta_size, &c) ||
	    gmfs_format_is(&t, pool->uuid.b, pool->ranges, pool->nr_ranges, &c))
		return false;
	if (!gmfs_poison_has_record(&t, frame))
		return gmfs_poison_write(pool, &t, frame);
	gmfs_poisoned_recorded(&pool->poisoned, frame);
	return true;
}

/* Addresses with an error that come or go: gmfs_poison_noted() has yet to say whose they are. */
#define GMFS_POISON_NOTES	64

static DEFINE_SPINLOCK(gmfs_poison_notes_lock);
static u64 gmfs_poison_notes[GMFS_POISON_NOTES];
static u32 gmfs_nr_poison_notes;

/**
 * gmfs_poison_note - remember a memory error in memory that is neither a pool's nor the host's
 * @phys: the address
 *
 * Context: any.
 */
void gmfs_poison_note(u64 phys)
{
	guard(spinlock_irqsave)(&gmfs_poison_notes_lock);
	if (gmfs_nr_poison_notes < GMFS_POISON_NOTES)
		gmfs_poison_notes[gmfs_nr_poison_notes++] = phys;
	else
		pr_err("memory error at %#llx: too many others, it is forgotten\n", phys);
}

/**
 * gmfs_poison_noted - take back what gmfs_poison_note() has remembered of a range
 * @base: physical address
 * @size: bytes
 *
 * Context: any.
 * Return: one of the addresses, which is not returned again, or %U64_MAX if there is none.
 */
u64 gmfs_poison_noted(u64 base, u64 size)
{
	u64 phys;

	guard(spinlock_irqsave)(&gmfs_poison_notes_lock);
	for (u32 i = 0; i < gmfs_nr_poison_notes; i++) {
		phys = gmfs_poison_notes[i];
		if (phys < base || phys - base >= size)
			continue;
		gmfs_poison_notes[i] = gmfs_poison_notes[--gmfs_nr_poison_notes];
		return phys;
	}
	return U64_MAX;
}

/*
 * Returns 1 with the frame's number, 0 if the frame is poisoned already, or -EBUSY if a resize is
 * about to give it back or to take it over, so that it is neither the pool's nor the host's now.
 */
static int gmfs_poison_add_locked(struct gmfs_pool *pool, u64 phys, u64 *number)
{
	bool recorded;
	u32 free;
	u64 frame;

	/* A resize changes the ranges under gmfs_pool.lock. */
	frame = gmfs_ranges_frame(pool->ranges, pool->nr_ranges, phys);
	*number = frame;
	if (frame == U64_MAX) {
		gmfs_poison_note(phys);
		return -EBUSY;
	}
	if (!gmfs_poisoned_add(&pool->poisoned, frame))
		return 0;
	recorded = pool->loaded ? gmfs_poison_write(pool, &pool->tables, frame) :
				  gmfs_poison_write_unmounted(pool, frame);
	if (!recorded)
		pr_warn("node %d: the memory error is not recorded, the next kernel will not know of it\n",
			pool->node);
	/* If the pool is frozen, gmfs_pool_thaw() does this, or the next kernel. */
	if (pool->loaded && !pool->frozen && !pool->tables.read_only) {
		free = pool->tables.free_blocks;
		gmfs_poison_keep(&pool->tables, frame);
		gmfs_trace_blocks(pool, GUESTMEMFS_DETACHED_INO, free);
	}
	return 1;
}

static int gmfs_poison_add(struct gmfs_pool *pool, u64 phys, u64 *number)
{
	guard(mutex)(&pool->lock);
	return gmfs_poison_add_locked(pool, phys, number);
}

/**
 * gmfs_poison_lose - lose a frame that hardware keeps for a guest which does not have it any more
 * @pool: the pool
 * @phys: address of the frame, which is a file's, and which no page table maps
 *
 * Its file keeps it, and nobody can use it, as after a memory error; its block is never free again.
 *
 * Context: process context, without gmfs_pool.lock.
 */
void gmfs_poison_lose(struct gmfs_pool *pool, u64 phys)
{
	u64 frame;

	if (gmfs_poison_add(pool, phys, &frame) == 1)
		pr_err_ratelimited("node %d: the page at %#llx stays private in hardware, and is lost\n",
				   pool->node, phys);
}

/**
 * gmfs_poison_take_over - record the errors of memory that a pool gets
 * @pool: the pool, which is mounted and has the memory; its lock is held since it has it
 * @base: physical address
 * @size: bytes
 */
void gmfs_poison_take_over(struct gmfs_pool *pool, u64 base, u64 size)
{
	u64 phys, frame;

	while ((phys = gmfs_poison_noted(base, size)) != U64_MAX)
		if (gmfs_poison_add_locked(pool, phys, &frame) == 1)
			pr_err("node %d: memory error at %#llx\n", pool->node, phys);
}

/*
 * Looks for the extent that has a block. Returns 1 with a copy of the extent, 0 if there is none,
 * or -EAGAIN if it has not been found, since other tasks change the extents meanwhile.
 */
static int gmfs_poison_find(struct gmfs_pool *pool, u32 block, struct guestmemfs_extent *found)
{
	const struct gmfs_tables *t = &pool->tables;
	const struct guestmemfs_extent *e;
	u32 at = 0, used;

	do {
		scoped_guard(mutex, &pool->lock) {
			if (!pool->loaded || !test_bit(block, t->bitmap))
				return 0;
			e = gmfs_extent_of(t, block, &at);
			if (e) {
				*found = *e;
				return 1;
			}
			used = le32_to_cpu(t->super->live.used_extents);
		}
		cond_resched();
	} while (at < used);
	return -EAGAIN;
}

/*
 * Unmaps a page from all processes and guests. A fault that has found the frame before it was
 * poisoned holds invalidate_lock until the frame is mapped; a later one finds it poisoned. Returns
 * false if the file does not have the block at this place any more.
 */
static bool gmfs_poison_unmap(struct inode *inode, u64 logical, u64 frame, pgoff_t *page)
{
	const struct gmfs_tables *t = &GUESTMEMFS_SB(inode->i_sb)->tables;
	struct address_space *mapping = inode->i_mapping;
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	struct gmfs_run run;

	*page = logical * GUESTMEMFS_BLOCK_PAGES + frame % GUESTMEMFS_BLOCK_PAGES;
	filemap_invalidate_lock(mapping);
	scoped_guard(rwsem_read, &gi->map_lock)
		gmfs_map_lookup(t, gi->map, logical, &run);
	if (run.block == frame / GUESTMEMFS_BLOCK_PAGES) {
		unmap_mapping_pages(mapping, *page, 1, true);
		gmfs_bindings_invalidate_begin(inode, *page, *page + 1);
		gmfs_bindings_invalidate_end(inode, *page, *page + 1);
	}
	filemap_invalidate_unlock(mapping);
	return run.block == frame / GUESTMEMFS_BLOCK_PAGES;
}

/* Returns false if the caller must look for the file again. Without @failure nobody is told. */
static bool gmfs_poison_take_away(struct super_block *sb, u64 frame, struct pfn_failure *failure)
{
	struct gmfs_pool *pool = GUESTMEMFS_SB(sb);
	u32 block = frame / GUESTMEMFS_BLOCK_PAGES;
	struct guestmemfs_extent e;
	struct inode *inode;
	pgoff_t page;
	bool found;
	int ret;

	ret = gmfs_poison_find(pool, block, &e);
	if (ret <= 0)
		return !ret;
	/* A detached block has pins alone: a pin is never taken away. */
	if (le32_to_cpu(e.flags) & GUESTMEMFS_EXTENT_DETACHED)
		return true;
	/* A file without an inode in memory is not mapped, and neither is one that is evicted. */
	inode = ilookup(sb, le32_to_cpu(e.ino));
	if (!inode)
		return true;
	found = gmfs_poison_unmap(inode, le64_to_cpu(e.logical) + (block - le32_to_cpu(e.block)),
				  frame, &page);
	if (found)
		trace_guestmemfs_memory_failure(pool->node, inode->i_ino, page, frame);
	if (found && failure) {
		pr_err("node %d: it is page %lu of inode %llu\n", pool->node, page,
		       (u64)inode->i_ino);
		pfn_failure_collect(failure, inode->i_mapping, page);
	}
	iput(inode);
	return found;
}

/*
 * struct pfn_address_space.failure. The record comes first: a look-up after it does not use the
 * frame, and gmfs_poison_unmap() undoes an earlier one. An error that is known is not told again,
 * but the frame is unmapped again, in case that this has failed before.
 */
static int gmfs_memory_failure(struct pfn_address_space *space, unsigned long pfn,
			       struct pfn_failure *failure)
{
	struct gmfs_pool *pool = container_of(space, struct gmfs_failure_range, space)->pool;
	bool fresh, done = false;
	struct super_block *sb;
	int tries, err;
	u64 frame;

	err = gmfs_poison_add(pool, PFN_PHYS(pfn), &frame);
	if (err < 0)
		return err;
	fresh = err;
	if (fresh)
		pr_err("node %d: memory error at %#llx\n", pool->node, PFN_PHYS(pfn));
	sb = gmfs_pool_get_sb(pool);
	if (!sb)
		return fresh ? 0 : -EHWPOISON;
	for (tries = 0; tries < GMFS_POISON_TRIES && !done; tries++)
		done = gmfs_poison_take_away(sb, frame, fresh ? failure : NULL);
	deactivate_super(sb);
	if (done)
		return fresh ? 0 : -EHWPOISON;
	pr_err("node %d: the file of %#llx has not been found, and the page may still be mapped\n",
	       pool->node, PFN_PHYS(pfn));
	return -EBUSY;
}

/* struct pfn_address_space.failure of metadata without struct pages. */
static int gmfs_meta_failure(struct pfn_address_space *space, unsigned long pfn,
			     struct pfn_failure *failure)
{
	struct gmfs_pool *pool = container_of(space, struct gmfs_failure_range, space)->pool;

	pr_err("node %d: memory error in the metadata, at %#llx\n", pool->node, PFN_PHYS(pfn));
	WRITE_ONCE(pool->meta_error, true);
	return -EBUSY;
}

/**
 * gmfs_poison_save - take over the poison table of a pool whose contents will be discarded
 * @pool: the pool, with the tables of another kernel; nothing in them is trusted
 */
void __init gmfs_poison_save(struct gmfs_pool *pool)
{
	struct gmfs_complaint c;
	struct gmfs_tables t;
	u64 frame, phys;
	u32 used, i;

	if (gmfs_format_open(&t, pool->meta, pool->meta_base, pool->meta_size, &c))
		return;
	used = min(le32_to_cpu(t.super->live.used_poison), t.nr_poison);
	for (i = 0; t.has_poison && i < used; i++) {
		frame = le64_to_cpu(t.poison[i].page);
		if (!t.nr_ranges || frame >= (u64)t.nr_blocks * GUESTMEMFS_BLOCK_PAGES)
			continue;
		/* The pool may have lost ranges, so that its frames have other numbers now. */
		phys = gmfs_block_phys(&t, frame / GUESTMEMFS_BLOCK_PAGES) +
		       frame % GUESTMEMFS_BLOCK_PAGES * PAGE_SIZE;
		frame = gmfs_pool_frame(pool, phys);
		if (frame != U64_MAX)
			gmfs_poisoned_add(&pool->poisoned, frame);
	}
}

/**
 * gmfs_poison_restore - write what gmfs_poison_save() has found to the new tables
 * @pool: the pool
 */
void __init gmfs_poison_restore(struct gmfs_pool *pool)
{
	struct gmfs_complaint c;
	struct gmfs_tables t;
	u64 frame = 0;

	if (!pool->poisoned.nr ||
	    gmfs_format_open(&t, pool->meta, pool->meta_base, pool->meta_size, &c))
		return;
	/* The new tables have no records. */
	for (;; frame++) {
		frame = gmfs_poisoned_next(&pool->poisoned, frame, U64_MAX);
		if (frame == U64_MAX || !gmfs_poison_write(pool, &t, frame))
			return;
	}
}

static int gmfs_poison_register(struct gmfs_pool *pool, u64 base, u64 size,
				int (*failure)(struct pfn_address_space *space, unsigned long pfn,
					       struct pfn_failure *failure), gfp_t gfp)
{
	struct gmfs_failure_range *r;
	int err;

	if (!IS_ENABLED(CONFIG_MEMORY_FAILURE))
		return 0;
	r = kzalloc_obj(*r, gfp);
	if (!r)
		return -ENOMEM;
	r->pool = pool;
	r->space.node.start = PHYS_PFN(base);
	r->space.node.last = PHYS_PFN(base + size) - 1;
	r->space.failure = failure;
	err = register_pfn_address_space(&r->space);
	if (err) {
		kfree(r);
		return err;
	}
	list_add(&r->list, &pool->failures);
	return 0;
}

/**
 * gmfs_poison_watch - ask to be told of memory errors in guest memory
 * @pool: the pool that has the memory, or is about to get it
 * @base: physical address
 * @size: bytes
 *
 * Context: process context, without gmfs_pool.lock: gmfs_memory_failure() takes it inside of the
 * lock that is taken here. At boot, or with gmfs_resize_lock held.
 * Return: 0, -ENOMEM, or -EBUSY if somebody else has asked for the memory.
 */
int gmfs_poison_watch(struct gmfs_pool *pool, u64 base, u64 size)
{
	return gmfs_poison_register(pool, base, size, gmfs_memory_failure, GFP_KERNEL);
}

/**
 * gmfs_poison_unwatch - undo gmfs_poison_watch(), for all of the memory or for a part
 * @pool: the pool
 * @base: physical address
 * @size: bytes
 *
 * For a moment, errors in the rest of memory that was registered together are not handled.
 *
 * Context: as gmfs_poison_watch(), and without gmfs_pool.changes: gmfs_memory_failure() may take it
 * when it releases an inode or the superblock.
 */
void gmfs_poison_unwatch(struct gmfs_pool *pool, u64 base, u64 size)
{
	const gfp_t gfp = GFP_KERNEL | __GFP_NOFAIL;
	struct gmfs_failure_range *r, *next;
	u64 start, end, stop = base + size;
	int err = 0;

	list_for_each_entry_safe(r, next, &pool->failures, list) {
		start = PFN_PHYS(r->space.node.start);
		end = PFN_PHYS(r->space.node.last + 1);
		if (start >= stop || end <= base)
			continue;
		unregister_pfn_address_space(&r->space);
		list_del(&r->list);
		kfree(r);
		if (start < base)
			err = gmfs_poison_register(pool, start, base - start,
						   gmfs_memory_failure, gfp);
		if (!err && stop < end)
			err = gmfs_poison_register(pool, stop, end - stop,
						   gmfs_memory_failure, gfp);
		if (err)
			pr_err("node %d: memory errors will not be handled: %d\n", pool->node, err);
	}
}

static int __init gmfs_poison_register_pool(struct gmfs_pool *pool)
{
	int err = 0;
	u32 i;

	if (pool->meta_size)
		err = gmfs_poison_register(pool, pool->meta_base, pool->meta_size,
					   gmfs_meta_failure, GFP_KERNEL);
	for (i = 0; i < pool->nr_ranges && !err; i++)
		err = gmfs_poison_watch(pool, pool->ranges[i].base, pool->ranges[i].size);
	return err;
}

/* Refused pools, too: the pages are not mapped, so that it is only said that they are bad. */
static int __init gmfs_poison_init(void)
{
	struct gmfs_pool *pool;
	int err;

	list_for_each_entry(pool, &gmfs_pools, list) {
		err = gmfs_poison_register_pool(pool);
		if (err)
			pr_err("node %d: memory errors will not be handled: %d\n", pool->node, err);
	}
	return 0;
}
fs_initcall(gmfs_poison_init);
