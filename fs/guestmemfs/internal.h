/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_INTERNAL_H
#define _GUESTMEMFS_INTERNAL_H

#include <linux/fs.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/pgtable.h>
#include <linux/rwsem.h>
#include <linux/uuid.h>

#include "tables/tables.h"

/**
 * DOC: Locks
 *
 * Order, outermost first::
 *
 *   inode->i_rwsem
 *     gmfs_pool.changes; mmap_lock or VMA lock; KVM's slots_lock and srcu
 *       inode->i_mapping->invalidate_lock
 *         inode->i_mapping->i_mmap_rwsem
 *           KVM's mmu_lock
 *         gmfs_inode.map_lock
 *           gmfs_pool.lock
 *             the registry's lock of gmem_provider.c
 *         gmfs_pool.zero_locks[]
 *
 * i_rwsem serialises changes of a file's size and of its blocks by system calls, and holds off
 * conversions, which take it shared, while fallocate() allocates.
 *
 * invalidate_lock protects the frames of a file. A fault, a KVM page fault and a new pin hold it
 * shared from the look-up of a block until the block is in a page table or in gmfs_inode.pins.
 * Punching, shrinking and converting hold it exclusively.
 *
 * map_lock protects gmfs_inode.map. Faults that fill holes of one file hold it exclusively;
 * mmap() and munmap() take it inside mmap_lock, for reservations.
 *
 * gmfs_pool.lock serialises all changes of the pool's tables. It is held for a bounded piece of
 * work, between gmfs_pool_begin() and gmfs_pool_end(). A change that takes longer is made in
 * steps, from gmfs_change_begin() to gmfs_change_end(), and releases gmfs_pool.lock between two
 * steps; gmfs_pool.changes, which such a change holds shared, makes a freeze wait for its end.
 *
 * A freeze raises gmfs_pool.frozen under gmfs_pool.changes and gmfs_pool.lock. After that
 * gmfs_pool_begin() is -EBUSY, and only these change the metadata: bits of the unzeroed table,
 * and guestmemfs_inode.preserved_pos, which gmfs_luo_freeze() writes for each descriptor of a
 * session. A page fault that needs blocks releases mmap_lock or the VMA's lock and waits for the
 * thaw or for a signal. A page fault that may not release its lock returns with nothing mapped
 * and is repeated, and so is a guest's fault on memory bound by descriptor. The reboot notifier
 * freezes every pool and never thaws it. Before that the Live Update Orchestrator may freeze a
 * pool once for each descriptor that it preserves, and thaws it if the kexec is called off.
 */

/**
 * DOC: Life of a frame
 *
 * A frame has no struct page and no reference count. Its block is in one of these states::
 *
 *            gmfs_fill_step()              gmfs_edit_step(GMFS_COMMIT), or a fault:
 *            for fallocate()               gmfs_file_claim()
 *      free ------------------> PENDING -----------------------------> allocated
 *       ^ |                        |                                     |  |  |
 *       | | gmfs_map_fill()        | GMFS_ABORT: fallocate() fails       |  |  |
 *       | +------------------------|------------------------------------>+  |  |
 *       |     for a fault          v                                        |  |
 *       +<--------------------------------- GMFS_PUNCH: no pin in the part  |  |
 *       +<--------------------------------- GMFS_CLEAR: inode without name -+  |
 *       |                                                                      |
 *       +<------------ TRUNCATED <-------- GMFS_TRUNCATE: pins in the part ----+
 *         GMFS_READY: the last pin has gone (gmfs_pin_free_blocks()),
 *         or another kernel mounts the pool (gmfs_load_map())
 *
 * A block becomes free in gmfs_release() alone, which marks it in the unzeroed table, and is
 * zeroed before the next mapping of it: by gmfs_zero_blocks(), in a fault or for fallocate().
 *
 * Users of a frame, and how each of them loses it:
 *
 * Page tables of processes
 *   A fault looks the block up, zeroes it and enters it in one hold of invalidate_lock, shared.
 *   gmfs_alter_unmapped(), gmfs_convert() and gmfs_choose_character() hold invalidate_lock
 *   exclusively and unmap the pages (MMU notifiers tell KVM) before the block is free or private.
 *   A fault before that is undone by the unmapping, and a fault after that finds a hole.
 *
 * Guests that have bound the file by a descriptor
 *   KVM asks for the frame under invalidate_lock, shared, and enters it later.
 *   gmfs_gmem_invalidate_begin() unmaps it from guests and gmfs_gmem_invalidate_end() lets them
 *   fault again; if a change began between KVM's question and its entry, KVM asks again.
 *
 * DMA pins (gmfs_inode.pins)
 *   A pin is not taken away. A page with a pin does not become private, and its block becomes
 *   TRUNCATED instead of free. No fault finds a TRUNCATED block, so the last unpin, or a fault
 *   that is in need of the place (gmfs_pin_settle()), may free it with invalidate_lock shared.
 *   A pin holds the file open.
 *
 * Eviction needs no lock: a mapping, a descriptor and a pin hold the file open, so that nobody
 * has a frame of an inode that is evicted.
 */

/**
 * DOC: Life of an entry of the inode table
 *
 * ::
 *
 *   free --gmfs_entry_alloc()--> orphan --gmfs_entry_set_name()---> named
 *    ^                             | ^       create, link              |
 *    |                             | +------gmfs_entry_clear_name()----+
 *    |                             |         unlink, rename over it
 *    |  gmfs_free_inode_now():     |
 *    |  the inode is evicted       |
 *    +<----------------------------+
 *    |                             |  the same in a frozen pool
 *    |                             v
 *    +<--gmfs_pool_thaw()------ leftover (gmfs_pool.leftovers)
 *
 * The inode of a named or orphaned entry is in memory from mount to unmount, or until it is
 * evicted. Another kernel finds an orphan or a leftover as an orphan that nobody has open, and
 * frees it at mount: gmfs_load_free_orphans().
 *
 * Beside that, guestmemfs_inode.preserved says whether a session has the file. It has the number
 * of the kexec that the session crosses::
 *
 *   0 --gmfs_luo_preserve()--> hops + 1    in a session of this kernel; gmfs_luo_unpreserve()
 *                                 |        makes it 0
 *                                 | kexec: the pool's hops grow by one
 *                                 v
 *                               hops       in a session of the last kernel, until
 *                                 |        gmfs_luo_finish() makes it 0
 *                                 | kexec
 *                                 v
 *                               hops - 1   stale: gmfs_inode_forget_sessions() makes it 0
 *                                          at mount
 *
 * gmfs_inode_in_session() is true in the first two of these, and gmfs_inode_incoming() in the
 * second: nothing is taken out of the file then, and an orphan is not freed. Between mount and
 * finish gmfs_session_keep() keeps the inode of the second one in memory (gmfs_pool.kept), for the
 * session to find it.
 *
 * The inode hash has an inode from the moment that it is complete until it is evicted; file
 * handles and sessions find it there by number and generation. The entry is free only after the
 * eviction, so that no other file gets the number while somebody has the inode.
 */

/**
 * DOC: Reservations and page tables
 *
 * A shared mapping reserves blocks (gmfs_extmap.cover) in mmap(), with mmap_lock held for
 * writing, and returns them when its last VMA is closed: at the end of the mm, or in munmap(),
 * which may have downgraded mmap_lock by then, so that faults of the mm run beside it. Both take
 * map_lock for writing, against fills, holes and evictions; gmfs_tables.promised_blocks is
 * under gmfs_pool.lock. The VMA's file holds the inode. A reservation is not preserved, so that
 * neither has to wait for a thaw. A fill in steps covers its part likewise, from
 * gmfs_fill_cover() to gmfs_fill_uncover(): a fault in that part takes a reserved block.
 *
 * A table of page table entries belongs to the mm. gmfs_retract() frees a table that one larger
 * entry can replace, under mmap_lock, the VMA's lock and i_mmap_rwsem, all for writing. The fault
 * that calls gmfs_retract() has released invalidate_lock before. gmfs_retract() releases the
 * fault's own lock, and the fault is repeated from its beginning.
 */

#define GMFS_ZERO_LOCKS		64

/**
 * struct gmfs_pool - the guest memory of one NUMA node
 * @list: in gmfs_pools; that list does not change after early boot
 * @kobj: its directory in sysfs, NULL if there was no memory for it
 * @node: NUMA node
 * @nr_ranges: used entries of @ranges
 * @ranges: physical ranges, ascending
 * @meta_base: physical address of the metadata
 * @meta_size: bytes of the metadata
 * @meta: the metadata, in the direct map
 * @uuid: identity
 * @hops: kexecs that it has been through, 0 if made by this boot
 * @fresh: made by this boot, not handed over
 * @lost: a kernel could not keep all of its memory
 * @refused: why nobody may mount it, NULL if all is well
 * @changes: held for reading by changes that hold @lock more than once, for writing by a freeze
 * @lock: serialises all changes of @tables; held for a bounded piece of work only
 * @frozen: how many have frozen the tables; grows under @changes and @lock, shrinks under @lock
 * @kept: inodes that the kernel before has preserved; under @lock
 * @leftovers: inodes that went while frozen; under @lock
 * @tables: the tables, valid while mounted; the volatile parts under @lock
 * @zero_locks: by block, held while it is zeroed
 */
struct gmfs_pool {
	struct list_head list;
	struct kobject *kobj;
	int node;
	u32 nr_ranges;
	struct gmfs_range ranges[GUESTMEMFS_MAX_RANGES];
	u64 meta_base;
	u64 meta_size;
	void *meta;
	uuid_t uuid;
	u32 hops;
	bool fresh;
	bool lost;
	const char *refused;
	struct rw_semaphore changes; /* against a kexec */
	struct mutex lock; /* tables */
	u32 frozen;
	struct list_head kept;
	struct list_head leftovers;
	struct gmfs_tables tables;
	struct mutex zero_locks[GMFS_ZERO_LOCKS]; /* by block */
};

/**
 * struct gmfs_inode - a file or directory in memory
 * @map_lock: guards what is in @map; may be taken in a fault, and when a VMA comes or goes
 * @map: the file's extents; a directory has none. Outlives the inode in gmfs_pool.leftovers
 * @offsets: positions of a directory's entries
 * @btime: time of creation, constant
 * @kept: in gmfs_pool.kept, which has a reference then
 * @bindings: memslots of hypervisors, by their first page; under invalidate_lock
 * @pins: who holds frames, each with a reference; under invalidate_lock
 * @has_truncated: blocks are on their way out, or were; under @map_lock
 * @vfs_inode: the VFS inode; i_ino is the index in the inode table
 */
struct gmfs_inode {
	struct rw_semaphore map_lock;
	struct gmfs_extmap *map;
	struct offset_ctx offsets;
	struct timespec64 btime;
	struct list_head kept;
	struct list_head bindings;
	struct list_head pins;
	bool has_truncated;
	struct inode vfs_inode;
};

/**
 * struct gmfs_pin - a part of a file that somebody holds
 * @node: in gmfs_inode.pins
 * @file: the file, with a reference
 * @first: first page
 * @last: page after the last one
 */
struct gmfs_pin {
	struct list_head node;
	struct file *file;
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
 * super.c has them, for inode.c, which the files that define them call.
 */
struct gmfs_inode_kinds {
	const struct inode_operations *dir_inode;
	const struct file_operations *dir;
	const struct inode_operations *file_inode;
	const struct file_operations *file;
};

/* The number of the hop after @hops; 0 is the number of none. */
static inline u32 gmfs_next_hop(u32 hops)
{
	return hops == U32_MAX ? 1 : hops + 1;
}

/* Prototypes by room, from the lowest one up: a file calls what is above it in this list. */

/* pools.c */
extern struct list_head gmfs_pools;
struct gmfs_pool * __init gmfs_pool_new(int node);
void __init gmfs_pool_add(struct gmfs_pool *pool);
bool __init gmfs_pool_reserve_e820(const struct gmfs_pool *pool);
struct gmfs_pool *gmfs_pool_find(int node);
struct gmfs_pool *gmfs_pool_only(void);
int gmfs_pool_names(char *buf, size_t size);

/* trace.c */
void gmfs_trace_blocks(const struct gmfs_pool *pool, u32 ino, u32 free);

/* session.c */
bool gmfs_inode_incoming(const struct gmfs_pool *pool, u32 ino);
bool gmfs_inode_in_session(const struct gmfs_pool *pool, u32 ino);
void gmfs_inode_unpreserve(struct gmfs_pool *pool, u32 ino);
bool gmfs_inode_forget_sessions(struct gmfs_pool *pool, u32 ino);

/* pool.c */
int gmfs_pool_begin(struct gmfs_pool *pool);
void gmfs_pool_end(struct gmfs_pool *pool);
void gmfs_pool_wait(const struct gmfs_pool *pool);
int gmfs_change_begin(struct gmfs_pool *pool);
void gmfs_change_end(struct gmfs_pool *pool);
bool gmfs_pool_edit_step(struct gmfs_pool *pool, u32 ino, struct gmfs_edit *ed);
void gmfs_pool_edit(struct gmfs_pool *pool, u32 ino, struct gmfs_edit *ed);
void gmfs_pool_freeze(struct gmfs_pool *pool);
void gmfs_pool_thaw(struct gmfs_pool *pool);
void gmfs_map_free(struct gmfs_extmap *map);
void gmfs_pool_free_inode(struct gmfs_pool *pool, u32 ino, struct gmfs_extmap *map);
void gmfs_pool_drop_leftovers(struct gmfs_pool *pool, bool all_the_way);

/* kho.c */
extern void *gmfs_outgoing_blob;

/* kexec.c */
void __init gmfs_handover_begin_boot(void);
const char *gmfs_handover_off(void);
const char *gmfs_handover_format(void);
void gmfs_handover_warn(const struct gmfs_pool *pool);

/* zero.c */
void *gmfs_vmap(u64 phys, size_t len);
void gmfs_vunmap(void *va, size_t len);
int gmfs_zero_blocks(struct inode *inode, u32 block, u32 count);

/* store.c */
void gmfs_update_blocks(struct inode *inode);
void gmfs_inode_store(struct inode *inode);
void guestmemfs_dirty_inode(struct inode *inode, int flags);
int guestmemfs_update_time(struct inode *inode, enum fs_update_time type, unsigned int flags);

/* held.c */
struct gmfs_pin *gmfs_first_pin(struct inode *inode, pgoff_t first, pgoff_t last);
void gmfs_pin_free_blocks(struct inode *inode, u64 logical, u64 end);
void gmfs_pin_settle(struct inode *inode, u64 logical, u64 end);

/* bindings.c */
#ifdef CONFIG_GMEM_PROVIDER
void gmfs_gmem_invalidate_begin(struct inode *inode, pgoff_t first, pgoff_t last);
void gmfs_gmem_invalidate_end(struct inode *inode, pgoff_t first, pgoff_t last);
bool gmfs_gmem_contested(struct inode *inode, pgoff_t first, pgoff_t last, pgoff_t *page);
#else
static inline void gmfs_gmem_invalidate_begin(struct inode *inode, pgoff_t first, pgoff_t last)
{
}

static inline void gmfs_gmem_invalidate_end(struct inode *inode, pgoff_t first, pgoff_t last)
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

/* space.c */
int gmfs_file_allocate(struct inode *inode, u64 logical, u64 count, bool whole);
int gmfs_file_reserve(struct inode *inode, u64 from, u64 end);
void gmfs_file_unreserve(struct inode *inode, u64 from, u64 end);
int gmfs_file_fill(struct inode *inode, struct gmfs_fill *fill);
void gmfs_file_filled(struct inode *inode, struct gmfs_fill *fill, bool keep);
int gmfs_file_entry(struct inode *inode, pgoff_t page, unsigned long orders, bool shared,
		    struct gmfs_entry *entry);

/* alter.c */
int gmfs_file_grow(struct mnt_idmap *idmap, struct inode *inode, loff_t size,
		   const struct iattr *attr);
int gmfs_file_resize(struct mnt_idmap *idmap, struct inode *inode, loff_t size,
		     const struct iattr *attr);
int gmfs_file_punch(struct inode *inode, loff_t start, loff_t end);
int gmfs_file_zero(struct inode *inode, loff_t start, loff_t end, loff_t size);

/* convert.c */
int gmfs_convert(struct inode *inode, pgoff_t first, pgoff_t last, bool private, pgoff_t *held);

/* pin.c */
int gmfs_pin_pages(struct file *file, struct gmfs_pin *pin, pgoff_t first, pgoff_t last);
void gmfs_unpin_pages(struct gmfs_pin *pin);

/* fallocate.c */
long guestmemfs_fallocate(struct file *file, int mode, loff_t offset, loff_t len);

/* fiemap.c */
loff_t gmfs_file_seek(struct inode *inode, loff_t offset, int whence);
int guestmemfs_fiemap(struct inode *inode, struct fiemap_extent_info *info, u64 start, u64 len);
loff_t guestmemfs_llseek(struct file *file, loff_t offset, int whence);

/* fault.c */
vm_fault_t guestmemfs_huge_fault(struct vm_fault *vmf, unsigned int order);
vm_fault_t guestmemfs_fault(struct vm_fault *vmf);

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

/* sysfs.c */
int gmfs_sysfs_mounted(struct gmfs_pool *pool);
void gmfs_sysfs_unmounted(struct gmfs_pool *pool);

/* super.c */
struct vfsmount *gmfs_mount_pool(struct gmfs_pool *pool);

#endif /* _GUESTMEMFS_INTERNAL_H */
