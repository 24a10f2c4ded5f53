/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_INTERNAL_H
#define _GUESTMEMFS_INTERNAL_H

#include <linux/fs.h>
#include <linux/frame_pin.h>
#include <linux/list.h>
#include <linux/maple_tree.h>
#include <linux/mutex.h>
#include <linux/pgtable.h>
#include <linux/rwsem.h>
#include <linux/seqlock.h>
#include <linux/sizes.h>
#include <linux/spinlock.h>
#include <linux/sysfs.h>
#include <linux/uuid.h>
#include <linux/vmalloc.h>
#include <linux/wait.h>
#include <linux/xarray.h>

#include "tables/tables.h"

/**
 * DOC: Locks
 *
 * Order, outermost first; locks in one line have no order among each other::
 *
 *   gmfs_resize_lock; inode->i_rwsem
 *     gmfs_pool.changes; mmap_lock or VMA lock; KVM's slots_lock and srcu
 *       inode->i_mapping->invalidate_lock
 *         inode->i_mapping->i_mmap_rwsem
 *           KVM's mmu_lock
 *         gmfs_inode.map_lock
 *           gmfs_pool.lock; the registry's lock of gmem_provider.c
 *           gmfs_blob_lock of kho.c
 *             gmfs_pool.absent_lock
 *               gmfs_pool.absent_locks[]
 *             gmfs_pool.zeroing
 *
 * KVM's invalidation takes srcu inside invalidate_lock as well. Nothing waits for the end of srcu's
 * readers (synchronize_srcu()) with a lock of guestmemfs held.
 *
 * i_rwsem, exclusive, serialises fallocate(), truncate and moves. A conversion holds it shared,
 * so that it waits for these. A move locks two files: the i_rwsem, the invalidate_lock and the
 * map_lock of each, those of the inode (the mapping, for invalidate_lock) with the lower address
 * first.
 *
 * invalidate_lock protects the frames of a file. A page fault holds it shared from the look-up of
 * a block until the block is in the page table. KVM holds it shared for the look-up alone, and
 * until the page is private in hardware, if it has to be: KVM's invalidation sequence covers the
 * time until the entry is made. Punching, zeroing, changes of the size, undoing an fallocate(),
 * converting, moving, choosing the character, binding and writing the first contents of a private
 * page hold it exclusively, pinning shared.
 *
 * map_lock protects gmfs_inode.map and gmfs_inode.absent. A look-up holds it shared, and a fault
 * that fills a hole holds it exclusively. mmap() and munmap() take it inside mmap_lock, for
 * reservations. gmfs_inode.converted is read under RCU alone. A fault that hits the extent of the
 * previous fault does without map_lock, under gmfs_inode.map_seq. gmfs_inode.absent changes with
 * gmfs_pool.absent_lock held in addition, so that a freeze reads it, and keeps what it finds there
 * in memory, without map_lock.
 *
 * gmfs_pool.lock serialises all changes of the pool's tables but those of the unzeroed table. It
 * is held for a bounded piece of work. The exception is gmfs_load() at mount: only
 * gmfs_unpin_pages(), for pins that have outlived another mount, can wait for it.
 * A single change is made between gmfs_pool_begin() and gmfs_pool_end(). A change that takes longer
 * is made in steps, from gmfs_change_begin() to gmfs_change_end(), and releases gmfs_pool.lock
 * between two steps; it holds gmfs_pool.changes shared, so that a freeze waits for its end.
 * gmfs_pool_free_inode() and gmfs_pool_drop_leftovers() take gmfs_pool.changes themselves, since
 * they must not fail.
 *
 * gmfs_resize_lock serialises changes of the size of pools. Inside of it a pool takes the locks of
 * memory hotplug, to grow without a lock of guestmemfs, to shrink with gmfs_pool.changes held
 * shared. The range table, gmfs_pool.ranges and the pool's part of the handover blob change
 * together under gmfs_pool.lock. Readers of gmfs_pool.ranges without that lock use
 * gmfs_pool.ranges_seq, and gmfs_block_phys() needs no lock.
 *
 * A freeze raises gmfs_pool.frozen under gmfs_pool.changes and gmfs_pool.lock. After that
 * gmfs_pool_begin() and gmfs_change_begin() return -EBUSY, and only these change the metadata: bits
 * of the unzeroed table and of the records of absent pages, the poison table, and
 * guestmemfs_inode.preserved_pos, which gmfs_luo_freeze() writes for each descriptor of a session.
 * A page fault that needs blocks releases mmap_lock or the VMA's lock and waits for the thaw or for
 * a signal. A page fault that may not release its lock returns with nothing mapped and is repeated;
 * at a fatal signal it is SIGBUS. A guest's fault on memory bound by descriptor returns to KVM, and
 * the task waits, in gmfs_gmem_wait_work(), after KVM has released srcu; then the fault is
 * repeated. The reboot notifier freezes every pool and never thaws it. Before that the Live Update
 * Orchestrator may freeze a pool once for each descriptor that it preserves, and thaws it if the
 * kexec is called off.
 */

/**
 * DOC: Life of a frame
 *
 * A frame, a page of 4 KiB, has no struct page and no reference count. Its block of 2 MiB is in one
 * of these states, where PENDING is %GMFS_EXTENT_PENDING::
 *
 *   free --> PENDING      gmfs_fill_step(), if a later step of the fill may fail
 *   free --> allocated    gmfs_fill_step() otherwise; gmfs_map_fill(): for a fault, for a guest's
 *                         fault, for a pin
 *   PENDING --> allocated gmfs_edit_step(GMFS_COMMIT), at the end of fallocate(), or
 *                         gmfs_file_claim(), in a fault before that
 *   PENDING --> free      GMFS_ABORT: fallocate() fails
 *   allocated --> free    GMFS_PUNCH: punch or truncate; GMFS_CLEAR: the inode has no name and is
 *                         evicted; both for blocks with neither a DMA pin nor a poisoned frame
 *   allocated --> detached
 *                         the same for blocks with a DMA pin or a poisoned frame, by
 *                         gmfs_detach(). The block has left the file: its place is a hole
 *   allocated --> allocated, by another file or at another offset
 *                         gmfs_move_step(), for blocks without a DMA pin
 *   free --> detached     gmfs_poison_keep(): a frame has a memory error
 *   (not the pool's) --> free
 *                         gmfs_resize_add(): the pool grows
 *   free --> (not the pool's)
 *                         gmfs_resize_cut(): the pool shrinks. Until then gmfs_shrink_begin() has
 *                         the block allocated without a file, while it is zeroed
 *   detached --> free     gmfs_detached_free(): at the last unpin; at the thaw, if the pool was
 *                         frozen then; at the next mount, if it was not mounted
 *
 * A detached block with a poisoned frame (gmfs_pool.poisoned) is lost: it is never free again.
 *
 * A page of an allocated block may be absent (gmfs_inode.absent): it is zeroed, and in no page
 * table. gmfs_absent_put() makes it so, at the end of a punch with invalidate_lock exclusive, or
 * gmfs_absent_add() with a new block. gmfs_absent_fill() and gmfs_absent_present() make it
 * present, with invalidate_lock held shared and the block's lock of gmfs_pool.absent_locks: for
 * userfaultfd, or before an entry of a page table, a guest's fault or a pin uses it. When the last
 * page of a block is punched, gmfs_absent_widen() makes that a punch of the block. Absent pages
 * move with their block. gmfs_punched_write() writes a record of them, which gmfs_load() reads.
 *
 * gmfs_release() alone makes a block free, and marks it in the unzeroed table. FALLOC_FL_ZERO_RANGE
 * (gmfs_alter_rezero()) and a move that zeroes mark allocated blocks there. Nothing maps a marked
 * block, so that any task may zero it at any time, free or not, with its bit of gmfs_pool.zeroing
 * as a lock, and then clear the mark: gmfs_zero_run(). gmfs_zero_blocks() does so before a block is
 * mapped: in a fault, for a pin, or for fallocate(). The threads of scrub.c do so before that.
 *
 * Users of a frame, and how each of them loses it:
 *
 * Page tables of processes
 *   gmfs_alter_unmapped(), gmfs_pair_unmapped(), gmfs_convert() and gmfs_choose_character() (to
 *   private) hold invalidate_lock exclusively and unmap the pages, and MMU notifiers tell KVM,
 *   before the block is free or another file's, or the page private. The unmapping undoes a fault
 *   that came before. A fault that comes after finds a hole, other blocks, a private page, or the
 *   end of the file. GMFS_ABORT unmaps nothing: a fault claims a pending block before it enters
 *   the block into a page table.
 *
 * Guests that have bound the file by a descriptor
 *   gmfs_bindings_invalidate_begin() unmaps the pages from guests, and
 *   gmfs_bindings_invalidate_end() lets guests fault again. If a change begins between KVM's
 *   look-up and KVM's entry, KVM looks up again. Frames that are private in hardware are so only
 *   while a guest with make_private() has bound them: gmfs_reclaim_private() takes them back
 *   after that, and when the binding is removed. A frame that it does not get is poisoned.
 *
 * DMA pins (gmfs_pool.pins)
 *   A pin is never taken away. gmfs_pin_pages() adds it with invalidate_lock held shared, which the
 *   operations above hold exclusively. A page with a pin does not become private, and its block
 *   becomes detached instead of free. A pin has no reference on the file, on the inode or on the
 *   mount: gmfs_unpin_pages() needs gmfs_pool.lock alone.
 *
 * Persistent pins (gmfs_pool.persist)
 *   Each is a pin that a file has in place of a device. gmfs_pin_persistently() adds it and
 *   gmfs_unpin_persistent() removes it, both after gmfs_change_begin(), so that a freeze has all of
 *   them in the pin table. gmfs_free_inode_now() and the load of an orphan remove those of their
 *   file. gmfs_load() takes them over before it frees anything, and gmfs_unpin_pages() removes what
 *   was taken over and has been mapped for a device since.
 *
 * The kernel
 *   gmfs_window_map() maps blocks, or a part of one: while invalidate_lock is held, to zero a part
 *   or for UFFDIO_COPY (gmfs_absent_fill()); for a pin, to copy; and to zero marked blocks.
 *
 * Eviction needs no lock of the file: a mapping, a descriptor and a memslot hold the file open, so
 * that only pins are left on the frames of an inode that is evicted.
 */

/**
 * DOC: Life of an entry of the inode table
 *
 * ::
 *
 *   free --gmfs_entry_alloc()--> orphan --gmfs_entry_set_name()---> named
 *    ^                             | ^       create, link              |
 *    |                             | +------gmfs_entry_clear_name()----+
 *    |                             |         unlink, rmdir, rename over it
 *    |  gmfs_free_inode_now():     |
 *    |  the inode is evicted       |
 *    +<----------------------------+
 *    |                             |  the same in a frozen pool
 *    |                             v
 *    +<--the last gmfs_pool_thaw()-- leftover (gmfs_pool.leftovers)
 *
 * A leftover is an orphan in the table. LUO holds a file of an outgoing session open, and
 * gmfs_pool.kept one of an incoming session, so that their inodes are evicted at an unmount at the
 * earliest: gmfs_keep_inode() leaves an orphan without an inode then. An unmount does the same with
 * a leftover. The next mount, of this kernel or another one, frees an
 * orphan that is in no session (gmfs_load_free_orphans()), unless an unknown feature makes the
 * pool read-only.
 *
 * The inode of a named entry is in memory from mount or creation to unmount, that of an orphan as
 * long as it is open or gmfs_pool.kept has it.
 *
 * Besides that, guestmemfs_inode.preserved says whether a session has the file. It is the number of
 * the kexec that the session crosses, as gmfs_pool.hops counts them; gmfs_next_hop() leaves 0 out::
 *
 *   0 --gmfs_luo_preserve()--> hops + 1    outgoing: in a session of this kernel;
 *                                 |        gmfs_luo_unpreserve() makes it 0
 *                                 | kexec: gmfs_revive_pool() increments hops
 *                                 v
 *                               hops       incoming: in a session of the previous kernel.
 *                                 |        gmfs_luo_finish() makes it 0, unless the file could not
 *                                 |        be retrieved; so does a mount with live update off, if
 *                                 |        the file has a name
 *                                 | kexec
 *                                 v
 *                               older      gmfs_inode_stays_preserved() makes it 0 at mount
 *
 * gmfs_inode_in_session() is true for an outgoing and for an incoming file, and
 * gmfs_inode_incoming() for an incoming one alone. Nothing is taken out of a file in a session, and
 * it is not freed if it is an orphan. From mount to finish gmfs_session_keep() keeps the inode of
 * an incoming file in memory (gmfs_pool.kept), for the session to find it.
 *
 * The inode hash has an inode from mount, or from the point where its creation cannot fail any
 * more. Sessions find the inode there by its number; file handles compare the generation as well.
 * The entry becomes free in guestmemfs_evict_inode(), when nobody can get the inode any more:
 * ilookup() waits until the inode has left the hash.
 */

/**
 * DOC: Reservations and page tables
 *
 * A shared mapping without MAP_NORESERVE, of a pool that is not mounted read-only, reserves blocks
 * (gmfs_extmap.cover) in mmap(), with mmap_lock held for writing, and returns them when its last
 * VMA is closed: at the end of the mm, or in munmap(), which may have downgraded mmap_lock by
 * then, so that faults of the mm run beside it. Both take map_lock for writing, against fills and
 * punches; gmfs_tables.promised_blocks is under gmfs_pool.lock. The VMA's file holds the inode. A
 * reservation is not preserved, so that neither has to wait for a thaw. A fill in steps covers
 * its part likewise, from gmfs_fill_cover() to gmfs_fill_uncover(): a fault in that part takes a
 * reserved block.
 *
 * A page table belongs to one mm. gmfs_retract() removes a page table that one larger entry can
 * replace: gmfs_free_table() unmaps the entries and frees the table, with mmap_lock, the VMA's lock
 * and, for the table itself, i_mmap_rwsem held for writing. The fault that calls gmfs_retract() has
 * released invalidate_lock before. gmfs_retract() releases the fault's own lock, and the fault is
 * repeated from its beginning. A fault that may not release its lock (gmfs_fault_may_retry(): a
 * caller without FAULT_FLAG_ALLOW_RETRY, or a second try) uses smaller entries instead: its caller
 * goes on to use the VMA and to unlock, and mmap_lock cannot be had for writing under a lock that
 * has to be kept.
 */

#define GMFS_ABSENT_LOCKS	64

/**
 * struct gmfs_absent - absent pages of a block
 * @pages: a bit for each page. Set with invalidate_lock held exclusively; cleared with the block's
 *	lock of gmfs_pool.absent_locks, and map_lock shared
 * @kept: the bits of the record in the tables, while there is one; under the block's lock
 */
struct gmfs_absent {
	DECLARE_BITMAP(pages, GUESTMEMFS_BLOCK_PAGES);
	unsigned long *kept;
};

/**
 * struct gmfs_punched_at - a block with absent pages, in a walk through all of them
 * @ino: inode number of the file
 * @logical: the block in the file
 */
struct gmfs_punched_at {
	unsigned long ino;
	unsigned long logical;
};

/* Bytes of a pool that a window can map at a time. */
#define GMFS_WINDOW_SIZE	SZ_32M
#define GMFS_WINDOW_BLOCKS	((u32)(GMFS_WINDOW_SIZE >> GUESTMEMFS_BLOCK_SHIFT))

/**
 * struct gmfs_window - a way to reach memory of a pool, for one task
 * @list: in a list of windows, while it is not in use
 * @area: its place in vmalloc space
 * @blocks: for whole blocks only
 * @phys: physical address of the memory
 * @size: bytes, in whole pages
 * @va: address of the memory, while it is mapped
 */
struct gmfs_window {
	struct list_head list;
	struct vm_struct *area;
	bool blocks;
	u64 phys;
	size_t size;
	void *va;
};

/* Most threads that zero memory of a pool. */
#define GMFS_SCRUBBERS		16U

/**
 * struct gmfs_scrubber - a thread that zeroes memory before it is needed
 * @pool: the pool
 * @task: the thread, NULL for none; changed under gmfs_scrub.change and gmfs_scrub.lock
 * @block: first block that it zeroes now, %GMFS_NO_BLOCK for none; under gmfs_scrub.lock
 * @hurried: it has been made an ordinary thread; under gmfs_scrub.lock
 * @first: first block that it has zeroed last; the thread's own
 * @next: the block after those, where it goes on
 * @debt: bytes that it has zeroed without having rested for them
 */
struct gmfs_scrubber {
	struct gmfs_pool *pool;
	struct task_struct *task;
	u32 block;
	bool hurried;
	u32 first;
	u32 next;
	u64 debt;
};

/**
 * struct gmfs_scrub - how memory of a pool is zeroed
 * @change: serialises begin and end of threads
 * @lock: see struct gmfs_scrubber
 * @wait: threads that have nothing to do
 * @rests: threads that must not do more for a while
 * @active: there may be threads; under @change
 * @threads: how many threads there are to be; changed under @change
 * @helpers: how many workers a task may have that zeroes much
 * @rate: bytes a second that all threads may zero together, 0 for no limit
 * @scrubbers: the threads
 */
struct gmfs_scrub {
	struct mutex change; /* begin and end of threads */
	spinlock_t lock; /* what a thread does */
	wait_queue_head_t wait;
	wait_queue_head_t rests;
	bool active;
	u32 threads;
	u32 helpers;
	u64 rate;
	struct gmfs_scrubber scrubbers[GMFS_SCRUBBERS];
};

/**
 * struct gmfs_resized - how far a change of a pool's size has got
 * @want: bytes asked for, negative if the pool was to shrink
 * @got: bytes by which the size has changed
 * @err: why that is not @want, 0 if it is
 * @what: what stood in the way, NULL if there is nothing to say
 * @at: the physical address where that was
 */
struct gmfs_resized {
	s64 want;
	s64 got;
	int err;
	const char *what;
	u64 at;
};

/**
 * struct gmfs_pool - the guest memory of one NUMA node
 * @list: in gmfs_pools; that list does not change after early boot
 * @kobj: its directory in sysfs, NULL if there was no memory for it
 * @node: NUMA node
 * @ranges_seq: for readers of @nr_ranges and @ranges without @lock
 * @nr_ranges: used entries of @ranges
 * @ranges: physical ranges, ascending by block number; changed under @lock
 * @room: number of blocks that the metadata has room for in addition; for new metadata only
 * @failures: what mm/memory-failure.c knows of the pool; changed at boot and by a resize
 * @claims: memory whose type is fixed; changed at boot and by a resize
 * @resized: the last change of the size
 * @meta_base: physical address of the metadata
 * @meta_size: bytes of the metadata
 * @meta: the metadata, in the direct map
 * @uuid: identity
 * @hops: kexecs that it has been through, 0 if made by this boot
 * @fresh: made by this boot, not handed over
 * @lost: a kernel could not keep all of its memory
 * @meta_error: the metadata has a memory error
 * @refused: why nobody may mount it, NULL if all is well
 * @changes: held for reading by changes that hold @lock more than once, for writing by a freeze
 * @lock: serialises all changes of @tables; held for a bounded piece of work only
 * @frozen: how many have frozen the tables; grows under @changes and @lock, shrinks under @lock
 * @kept: inodes that the kernel before has preserved; under @lock
 * @leftovers: inodes that went while frozen; under @lock
 * @loaded: the tables are loaded, i.e. the pool is mounted; under @lock
 * @pins: DMA pins, mounted or not; under @lock
 * @persist: which of them are persistent; under @lock
 * @poisoned: frames with a memory error, mounted or not; changed under @lock
 * @sb: the superblock, valid while @loaded
 * @tables: the tables, valid while mounted; the volatile parts under @lock
 * @absent_lock: see "Locks"
 * @punched: files with absent pages, by inode number; under @absent_lock
 * @absent_locks: by block of the file, held while an absent page of it becomes present
 * @zeroing: blocks that are locked, since a task zeroes them; valid while @loaded
 * @scrub: how blocks are zeroed before they are needed
 */
struct gmfs_pool {
	struct list_head list;
	struct kobject *kobj;
	int node;
	seqcount_mutex_t ranges_seq;
	u32 nr_ranges;
	struct gmfs_range ranges[GUESTMEMFS_MAX_RANGES];
	u32 room;
	struct list_head failures;
	struct list_head claims;
	struct gmfs_resized resized;
	u64 meta_base;
	u64 meta_size;
	void *meta;
	uuid_t uuid;
	u32 hops;
	bool fresh;
	bool lost;
	bool meta_error;
	const char *refused;
	struct rw_semaphore changes; /* against a kexec */
	struct mutex lock; /* tables */
	u32 frozen;
	struct list_head kept;
	struct list_head leftovers;
	bool loaded;
	struct gmfs_pins pins;
	struct gmfs_persist persist;
	struct gmfs_poisoned poisoned;
	struct super_block *sb;
	struct gmfs_tables tables;
	struct mutex absent_lock; /* files with absent pages */
	struct xarray punched;
	struct mutex absent_locks[GMFS_ABSENT_LOCKS]; /* by block of a file */
	unsigned long *zeroing;
	struct gmfs_scrub scrub;
};

/**
 * struct gmfs_inode - a file or directory in memory
 * @map_lock: guards what is in @map; may be taken in a fault, and when a VMA comes or goes
 * @map_seq: changes of @map beside faults, i.e. without invalidate_lock exclusive; see
 *	gmfs_entry_again()
 * @map: the file's extents; a directory has none. Outlives the inode in gmfs_pool.leftovers
 * @offsets: positions of a directory's entries
 * @btime: time of creation, constant
 * @kept: in gmfs_pool.kept, which has a reference then
 * @bindings: memslots of hypervisors, by their first page; under invalidate_lock
 * @absent: pages that the file has lost without their block, by block: struct gmfs_absent; under
 *	@map_lock
 * @converted: which pages are converted, see tables/converted.c; read without a lock, changed under
 *	@map_lock and, once a hypervisor can have bound the file, invalidate_lock
 * @userfaults: a mapping of the file has been registered with userfaultfd
 * @vfs_inode: the VFS inode; i_ino is the index in the inode table
 */
struct gmfs_inode {
	struct rw_semaphore map_lock;
	seqcount_t map_seq;
	struct gmfs_extmap *map;
	struct offset_ctx offsets;
	struct timespec64 btime;
	struct list_head kept;
	struct list_head bindings;
	struct xarray absent;
	struct maple_tree converted;
	bool userfaults;
	struct inode vfs_inode;
};

/*
 * Takes map_lock for a change of the extents that faults may see before it is complete. The section
 * may sleep: a reader that meets it takes map_lock.
 */
static inline void gmfs_map_change_begin(struct gmfs_inode *gi)
{
	down_write(&gi->map_lock);
	raw_write_seqcount_begin(&gi->map_seq);
}

static inline void gmfs_map_change_end(struct gmfs_inode *gi)
{
	raw_write_seqcount_end(&gi->map_seq);
	up_write(&gi->map_lock);
}

DEFINE_GUARD(gmfs_map_change, struct gmfs_inode *, gmfs_map_change_begin(_T),
	     gmfs_map_change_end(_T))

/**
 * struct gmfs_pin_run - contiguous frames of a pin
 * @index: number of pages of the pin before this run
 * @pfn: pfn of the first frame
 * @first: number of the first frame in gmfs_pool.pins
 * @end: number after that of the last frame
 */
struct gmfs_pin_run {
	unsigned long index;
	unsigned long pfn;
	u64 first;
	u64 end;
};

/**
 * struct gmfs_pin - the frames that pages of a file had when they were pinned
 * @pin: for users outside of the filesystem
 * @pool: the pool
 * @nr: number of runs
 * @max: how many runs @runs has room for
 * @runs: the frames, in the order of the pages
 */
struct gmfs_pin {
	struct frame_pin pin;
	struct gmfs_pool *pool;
	u32 nr;
	u32 max;
	struct gmfs_pin_run *runs;
};

/**
 * struct gmfs_pinned - result of gmfs_file_pinned() and gmfs_file_persistent()
 * @first: the first pinned page
 * @last: all pages from @first to before this one are pinned
 */
struct gmfs_pinned {
	pgoff_t first;
	pgoff_t last;
};

static inline struct gmfs_inode *GUESTMEMFS_I(const struct inode *inode)
{
	return container_of(inode, struct gmfs_inode, vfs_inode);
}

static inline struct gmfs_pool *GUESTMEMFS_SB(const struct super_block *sb)
{
	return sb->s_fs_info;
}

/* Blocks were marked as unzeroed: wakes one thread that zeroes them, which wakes others. */
static inline void gmfs_scrub_wake(struct gmfs_pool *pool)
{
	wake_up(&pool->scrub.wait);
}

/**
 * gmfs_private_by_default - what pages are that were not converted
 * @inode: the file
 *
 * Context: any; with invalidate_lock it does not change.
 * Return: whether they are private.
 */
static inline bool gmfs_private_by_default(const struct inode *inode)
{
	const struct gmfs_tables *t = &GUESTMEMFS_SB(inode->i_sb)->tables;

	return le32_to_cpu(READ_ONCE(t->inodes[inode->i_ino].flags)) & GUESTMEMFS_INODE_PRIVATE;
}

/**
 * gmfs_entry_frame - the number of the first frame that an entry maps
 * @entry: the entry, which has blocks
 *
 * Return: the number, as in gmfs_pool.poisoned and gmfs_pool.pins.
 */
static inline u64 gmfs_entry_frame(const struct gmfs_entry *entry)
{
	return (u64)entry->block * GUESTMEMFS_BLOCK_PAGES + entry->first % GUESTMEMFS_BLOCK_PAGES;
}

/* The sizes of page table entries, as log2 of pages: a bit for each. */
#define GMFS_ALL_ORDERS	(BIT(PUD_ORDER) | BIT(PMD_ORDER) | BIT(0))

/**
 * gmfs_file_orders - how large an entry of a page table a file has room for
 * @inode: the file
 * @page: a page that it is to map
 * @orders: sizes that are good otherwise: some of %GMFS_ALL_ORDERS
 *
 * Return: those of them that end with the file or before, 0 behind its end.
 */
static inline unsigned long gmfs_file_orders(const struct inode *inode, pgoff_t page,
					     unsigned long orders)
{
	pgoff_t end = DIV_ROUND_UP(i_size_read(inode), PAGE_SIZE);

	while (orders) {
		unsigned long largest = BIT(__fls(orders));

		if ((page | (largest - 1)) < end)
			break;
		orders &= ~largest;
	}
	return orders;
}

/**
 * struct gmfs_inode_kinds - the operations of inodes
 * @dir_inode: i_op of a directory
 * @dir: i_fop of a directory
 * @file_inode: i_op of a file
 * @file: i_fop of a file
 *
 * super.c passes them to gmfs_inode_cache_init(): the files that define them call inode.c, which
 * for that reason cannot name them.
 */
struct gmfs_inode_kinds {
	const struct inode_operations *dir_inode;
	const struct file_operations *dir;
	const struct inode_operations *file_inode;
	const struct file_operations *file;
};

/* Prototypes by file, callees first. */

/* pools.c */
extern struct list_head gmfs_pools;
struct gmfs_pool * __init gmfs_pool_new(int node);
void __init gmfs_ranges_sort(struct gmfs_pool *pool);
void __init gmfs_pool_add(struct gmfs_pool *pool);
bool __init gmfs_pool_reserve_e820(const struct gmfs_pool *pool);
int gmfs_pool_cpus(const struct gmfs_pool *pool);
struct gmfs_pool *gmfs_pool_find(int node);
struct gmfs_pool *gmfs_pool_of(const struct kobject *kobj);
struct gmfs_pool *gmfs_pool_only(void);
struct super_block *gmfs_pool_get_sb(struct gmfs_pool *pool);
u64 gmfs_pool_size(const struct gmfs_pool *pool);
u64 gmfs_pool_frame(const struct gmfs_pool *pool, u64 phys);
u64 gmfs_pool_phys(const struct gmfs_pool *pool, u64 frame);
void gmfs_pool_set_ranges(struct gmfs_pool *pool);
int gmfs_pool_names(char *buf, size_t size);

/* trace.c */
void gmfs_trace_blocks(struct gmfs_pool *pool, u32 ino, u32 free);

/* session.c */
bool gmfs_inode_incoming(const struct gmfs_pool *pool, u32 ino);
bool gmfs_inode_in_session(const struct gmfs_pool *pool, u32 ino);
void gmfs_inode_unpreserve(struct gmfs_pool *pool, u32 ino);
bool gmfs_inode_stays_preserved(struct gmfs_pool *pool, u32 ino);

/* punched.c */
int gmfs_punched_add(struct gmfs_inode *gi, u64 logical, struct gmfs_absent *absent);
struct gmfs_absent *gmfs_punched_take(struct gmfs_inode *gi, u64 logical);
void gmfs_punched_write(struct gmfs_pool *pool);
bool gmfs_punched_unwrite(struct gmfs_pool *pool, struct gmfs_punched_at *at);

/* pool.c */
int gmfs_pool_begin(struct gmfs_pool *pool);
void gmfs_pool_end(struct gmfs_pool *pool);
void gmfs_pool_wait(const struct gmfs_pool *pool);
int gmfs_change_begin(struct gmfs_pool *pool);
void gmfs_change_end(struct gmfs_pool *pool);
bool gmfs_pool_edit_step(struct gmfs_pool *pool, u32 ino, struct gmfs_edit *ed);
void gmfs_pool_edit(struct gmfs_pool *pool, u32 ino, struct gmfs_edit *ed);
void gmfs_pool_freeze(struct gmfs_pool *pool);
void gmfs_pool_write_pins(struct gmfs_pool *pool);
void gmfs_pool_settle(struct gmfs_pool *pool, u64 block, u64 end);
void gmfs_pool_thaw(struct gmfs_pool *pool);
void gmfs_pool_drop_pins(struct gmfs_pool *pool, u32 ino, const struct gmfs_extmap *map);
void gmfs_map_free(struct gmfs_extmap *map);
void gmfs_pool_free_inode(struct gmfs_pool *pool, u32 ino, struct gmfs_extmap *map);
void gmfs_pool_drop_leftovers(struct gmfs_pool *pool, bool all_the_way);
const char *gmfs_claim_range(struct gmfs_pool *pool, u64 base, u64 size);
void gmfs_unclaim_range(struct gmfs_pool *pool, u64 base, u64 size);

/* poison.c */
void __init gmfs_poison_save(struct gmfs_pool *pool);
void __init gmfs_poison_restore(struct gmfs_pool *pool);
bool gmfs_meta_poisoned(struct gmfs_pool *pool);
int gmfs_poison_watch(struct gmfs_pool *pool, u64 base, u64 size);
void gmfs_poison_unwatch(struct gmfs_pool *pool, u64 base, u64 size);
void gmfs_poison_note(u64 phys);
u64 gmfs_poison_noted(u64 base, u64 size);
void gmfs_poison_take_over(struct gmfs_pool *pool, u64 base, u64 size);
void gmfs_poison_lose(struct gmfs_pool *pool, u64 phys);

/* kho.c */
extern void *gmfs_outgoing_blob;
void gmfs_handover_resized(struct gmfs_pool *pool);

/* kexec.c */
void __init gmfs_handover_begin_boot(void);
const char *gmfs_handover_off(void);
const char *gmfs_handover_format(void);
void gmfs_handover_warn(const struct gmfs_pool *pool);

/* window.c */
struct gmfs_window *gmfs_window_prepare(u64 phys, size_t len);
int gmfs_window_map(struct gmfs_window *window);
void gmfs_window_unmap(struct gmfs_window *window);
void gmfs_window_put(struct gmfs_window *window);
struct gmfs_window *gmfs_window_open(u64 phys, size_t len);
void gmfs_window_close(struct gmfs_window *window);

/* zero.c */
void gmfs_zero_mapped(const struct gmfs_pool *pool, void *va, u64 pos, size_t len);
int gmfs_zero_run(struct gmfs_pool *pool, u32 block, u32 end, bool wait);
int gmfs_zero_blocks(struct inode *inode, u32 block, u32 count, bool step);
int gmfs_zero_free(struct gmfs_pool *pool, u32 block, u32 count);

/* scrub.c */
void gmfs_scrub_start(struct gmfs_pool *pool);
void gmfs_scrub_stop(struct gmfs_pool *pool);
int gmfs_scrub_set_threads(struct gmfs_pool *pool, u32 nr);
int gmfs_scrub_set_rate(struct gmfs_pool *pool, u64 rate);

/* store.c */
void gmfs_update_blocks(struct inode *inode);
void gmfs_inode_store(struct inode *inode);
void guestmemfs_dirty_inode(struct inode *inode, int flags);
int guestmemfs_update_time(struct inode *inode, enum fs_update_time type, unsigned int flags);

/* held.c */
bool gmfs_file_pinned(struct inode *inode, pgoff_t first, pgoff_t last,
		      struct gmfs_pinned *pinned);
bool gmfs_file_persistent(struct inode *inode, pgoff_t first, pgoff_t last,
			  struct gmfs_pinned *pinned);

/* bindings.c */
#ifdef CONFIG_GMEM_PROVIDER
void gmfs_bindings_invalidate_begin(struct inode *inode, pgoff_t first, pgoff_t last);
void gmfs_bindings_invalidate_end(struct inode *inode, pgoff_t first, pgoff_t last);
bool gmfs_bindings_make_private(struct inode *inode, pgoff_t first, pgoff_t last);
bool gmfs_gmem_contested(struct inode *inode, pgoff_t first, pgoff_t last, pgoff_t *page);
#else
static inline void gmfs_bindings_invalidate_begin(struct inode *inode, pgoff_t first, pgoff_t last)
{
}

static inline void gmfs_bindings_invalidate_end(struct inode *inode, pgoff_t first, pgoff_t last)
{
}

static inline bool gmfs_gmem_contested(struct inode *inode, pgoff_t first, pgoff_t last,
				       pgoff_t *page)
{
	return false;
}
#endif

/* character.c */
bool gmfs_file_is_private(struct inode *inode, pgoff_t page);
bool gmfs_file_is(struct inode *inode, pgoff_t first, pgoff_t last, bool private);
int gmfs_choose_character(struct inode *inode, bool private);
void gmfs_reclaim_private(struct inode *inode, pgoff_t first, pgoff_t last);

/* absent.c */
int gmfs_absent_add(struct inode *inode, u64 logical);
int gmfs_absent_load(struct inode *inode, const struct gmfs_absence *absence);
void gmfs_absent_forget(struct inode *inode, u64 from, u64 end);
void gmfs_absent_exchange(struct inode *a, u64 a_first, struct inode *b, u64 b_first, u64 count);
bool gmfs_absent_near(struct inode *inode, pgoff_t first, pgoff_t last);
bool gmfs_absent_any(struct inode *inode, pgoff_t first, pgoff_t last);
int gmfs_absent_present(struct inode *inode, pgoff_t first, pgoff_t last);
int gmfs_absent_settle(struct inode *inode, pgoff_t first, pgoff_t last);
int gmfs_absent_get(struct inode *inode, pgoff_t first, pgoff_t last, unsigned long **pages);
void gmfs_absent_put(struct inode *inode, pgoff_t first, pgoff_t last, unsigned long *pages,
		     bool punched);
bool gmfs_absent_widen(struct inode *inode, loff_t *start, loff_t *end);
long gmfs_absent_fill(struct inode *inode, pgoff_t page, unsigned long count, u64 phys,
		      const void *src, int (*install)(unsigned long i, void *data), void *data);

/* space.c */

/**
 * enum gmfs_how - how gmfs_file_allocate() fills a hole
 * @GMFS_PRESENT: with blocks of any groups
 * @GMFS_WHOLE: with a whole group
 * @GMFS_ABSENT: with a block of which all pages are absent
 */
enum gmfs_how {
	GMFS_PRESENT,
	GMFS_WHOLE,
	GMFS_ABSENT,
};

/**
 * enum gmfs_page - what is in a file at a page
 * @GMFS_PAGE_MISSING: a hole, or an absent page
 * @GMFS_PAGE_PRESENT: a page that is shared with the host
 * @GMFS_PAGE_PRIVATE: a page, or a hole, that is private to the guest
 */
enum gmfs_page {
	GMFS_PAGE_MISSING,
	GMFS_PAGE_PRESENT,
	GMFS_PAGE_PRIVATE,
};

/* Flags of gmfs_file_entry(). */
#define GMFS_ENTRY_SHARED	BIT(0)	/* private pages cannot be used */
#define GMFS_ENTRY_STEP		BIT(1)	/* as @step of gmfs_zero_blocks() */

int gmfs_file_allocate(struct inode *inode, u64 logical, u64 count, enum gmfs_how how);
int gmfs_file_reserve(struct inode *inode, u64 from, u64 end);
void gmfs_file_unreserve(struct inode *inode, u64 from, u64 end);
int gmfs_file_fill(struct inode *inode, struct gmfs_fill *fill);
void gmfs_file_filled(struct inode *inode, struct gmfs_fill *fill, bool keep);
int gmfs_file_entry(struct inode *inode, pgoff_t page, unsigned long orders, unsigned int flags,
		    struct gmfs_entry *entry);
bool gmfs_file_missing(struct inode *inode, pgoff_t page);
enum gmfs_page gmfs_file_page(struct inode *inode, pgoff_t page);
bool gmfs_file_poisoned(struct inode *inode, pgoff_t page);
int gmfs_file_frame(struct inode *inode, pgoff_t page, struct gmfs_entry *entry);

/* alter.c */
int gmfs_file_grow(struct mnt_idmap *idmap, struct inode *inode, loff_t size,
		   const struct iattr *attr);
int gmfs_file_resize(struct mnt_idmap *idmap, struct inode *inode, loff_t size,
		     const struct iattr *attr);
int gmfs_file_punch(struct inode *inode, loff_t start, loff_t end, bool unpinned);
int gmfs_file_zero(struct inode *inode, loff_t start, loff_t end, loff_t size);

/* move.c */

/**
 * struct gmfs_move_error - why gmfs_move() has failed
 * @in_target: @offset is one of the file that the memory was for
 * @offset: the first byte that is pinned, or that is not in a hole
 */
struct gmfs_move_error {
	bool in_target;
	u64 offset;
};

int gmfs_move(struct file *from, u64 from_offset, struct file *to, u64 offset, u64 len,
	      u32 flags, struct gmfs_move_error *error);

/* convert.c */
int gmfs_convert(struct inode *inode, pgoff_t first, pgoff_t last, bool private, pgoff_t *conflict);

/* pin.c */
struct gmfs_pin *gmfs_pin_pages(struct file *file, pgoff_t first, pgoff_t last);
void gmfs_unpin_pages(struct gmfs_pin *pin);
int gmfs_pin_persistently(struct file *file, pgoff_t first, pgoff_t last);
int gmfs_unpin_persistent(struct inode *inode, pgoff_t first, pgoff_t last);
int gmfs_unpin_all_persistent(struct inode *inode);

/* dma.c */
extern const struct frame_pin_ops gmfs_dma_ops;

/* fallocate.c */
long guestmemfs_fallocate(struct file *file, int mode, loff_t offset, loff_t len);
long gmfs_punch(struct file *file, loff_t offset, loff_t len, bool unpinned);

/* fiemap.c */
loff_t gmfs_file_seek(struct inode *inode, loff_t offset, int whence);
int guestmemfs_fiemap(struct inode *inode, struct fiemap_extent_info *info, u64 start, u64 len);
loff_t guestmemfs_llseek(struct file *file, loff_t offset, int whence);

/* fault.c */
vm_fault_t guestmemfs_huge_fault(struct vm_fault *vmf, unsigned int order);
vm_fault_t guestmemfs_fault(struct vm_fault *vmf);
bool gmfs_has_table(struct mm_struct *mm, unsigned long addr, unsigned int order);
void gmfs_make_way(struct mm_struct *mm, unsigned long addr, unsigned int order);

/* mmap.c */
int guestmemfs_mmap_prepare(struct vm_area_desc *desc);
unsigned long guestmemfs_get_unmapped_area(struct file *file, unsigned long addr,
					   unsigned long len, unsigned long pgoff,
					   unsigned long flags);

/* attr.c */
int guestmemfs_setattr(struct mnt_idmap *idmap, struct dentry *dentry, struct iattr *attr);
int guestmemfs_getattr(struct mnt_idmap *idmap, const struct path *path, struct kstat *stat,
		       u32 request_mask, unsigned int query_flags);

/* inode.c */
int __init gmfs_inode_cache_init(const struct gmfs_inode_kinds *kinds);
struct inode *guestmemfs_alloc_inode(struct super_block *sb);
void guestmemfs_free_inode(struct inode *inode);
struct inode *gmfs_inode_get(struct super_block *sb, u32 ino);
void guestmemfs_evict_inode(struct inode *inode);
void gmfs_session_keep(struct gmfs_pool *pool, struct inode *inode);
struct inode *gmfs_session_release(struct gmfs_pool *pool, struct gmfs_inode *gi);
void gmfs_session_drop_all(struct gmfs_pool *pool);

/* file.c */
extern const struct file_operations guestmemfs_file_operations;
extern const struct inode_operations guestmemfs_file_inode_operations;

/* dir.c */
extern const struct inode_operations guestmemfs_dir_inode_operations;

/* readdir.c */
extern const struct file_operations guestmemfs_dir_operations;

/* export.c */
extern const struct export_operations guestmemfs_export_operations;

/* load.c */
int gmfs_load(struct super_block *sb, struct fs_context *fc);

/* resize.c */
#ifdef CONFIG_MEMORY_HOTREMOVE
int gmfs_resize(struct gmfs_pool *pool, const char *text);
int gmfs_resized_show(const struct gmfs_pool *pool, char *buf);
#else
static inline int gmfs_resize(struct gmfs_pool *pool, const char *text)
{
	return -EOPNOTSUPP;
}

static inline int gmfs_resized_show(const struct gmfs_pool *pool, char *buf)
{
	return sysfs_emit(buf, "0 of 0\n");
}
#endif

/* sysfs.c */
int gmfs_sysfs_mounted(struct gmfs_pool *pool);
void gmfs_sysfs_unmounted(struct gmfs_pool *pool);

/* super.c */
struct vfsmount *gmfs_mount_pool(struct gmfs_pool *pool);

#endif /* _GUESTMEMFS_INTERNAL_H */
