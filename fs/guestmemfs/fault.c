// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page faults: map the largest entry that alignment, size and blocks allow.
 *
 * Where 1 GiB or 2 MiB were mapped by smaller entries, these are in a page table of a lower
 * level. Zapping the entries does not free that table, and the mm asks for a huge entry only
 * where there is no table. A fault that could be served by a huge entry therefore frees the
 * table, in its own mm, and is retried (gmfs_retract()).
 *
 * A VMA that is registered with userfaultfd gets entries of one page from faults, and keeps its
 * tables: what is mapped must not change behind the back of the task that resolves faults.
 */
#include <linux/export.h>
#include <linux/fs.h>
#include <linux/guestmemfs.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/pagemap.h>
#include <linux/pagewalk.h>
#include <linux/pgtable.h>
#include <linux/rwsem.h>
#include <linux/sched/signal.h>
#include <linux/userfaultfd_k.h>

#include <trace/events/guestmemfs.h>

#include <asm/guestmemfs.h>
#include <asm/tlb.h>

#include "internal.h"

/**
 * enum gmfs_fault_end - result of an attempt to serve a fault
 * @GMFS_FAULT_INSERTED: a vmf_insert_pfn*() function was called; the fault returns its result
 * @GMFS_FAULT_REFUSED: no entry of these sizes is possible
 * @GMFS_FAULT_AGAIN: another task waits for invalidate_lock, and blocks are still to be zeroed
 * @GMFS_FAULT_TABLE: a table of smaller entries is in the place of the entry
 * @GMFS_FAULT_MISSING: userfaultfd resolves the fault: the page is missing
 * @GMFS_FAULT_MINOR: userfaultfd resolves the fault: the page is there, and not mapped
 * @GMFS_FAULT_FROZEN: the fault needs blocks, and the pool is frozen for a kexec
 * @GMFS_FAULT_POISONED: the frame has a memory error
 * @GMFS_FAULT_KILLED: a fatal signal is pending
 * @GMFS_FAULT_NO_MEMORY: the kernel has no memory for its own structures
 */
enum gmfs_fault_end {
	GMFS_FAULT_INSERTED,
	GMFS_FAULT_REFUSED,
	GMFS_FAULT_AGAIN,
	GMFS_FAULT_TABLE,
	GMFS_FAULT_MISSING,
	GMFS_FAULT_MINOR,
	GMFS_FAULT_FROZEN,
	GMFS_FAULT_POISONED,
	GMFS_FAULT_KILLED,
	GMFS_FAULT_NO_MEMORY,
};

/* Does userfaultfd resolve faults of this VMA? */
static __always_inline bool gmfs_vma_armed(const struct vm_area_struct *vma)
{
	return IS_ENABLED(CONFIG_USERFAULTFD) &&
	       unlikely(vma->vm_flags & (VM_UFFD_MISSING | VM_UFFD_MINOR));
}

/*
 * May the fault be retried? With FAULT_FLAG_RETRY_NOWAIT the caller keeps the fault's lock, and
 * comes again in another way; otherwise the fault releases its lock (mmap_lock or the VMA's lock).
 */
static bool gmfs_fault_may_retry(const struct vm_fault *vmf)
{
	return fault_flag_allow_retry_first(vmf->flags);
}

/* Is the fault to be retried without waiting for anything? */
static bool gmfs_fault_nowait(const struct vm_fault *vmf)
{
	return gmfs_fault_may_retry(vmf) && (vmf->flags & FAULT_FLAG_RETRY_NOWAIT);
}

/* Does the VMA contain the whole entry, and are address and file offset congruent? */
static __always_inline bool gmfs_fault_fits(const struct vm_fault *vmf, unsigned int order)
{
	unsigned long size = PAGE_SIZE << order;
	unsigned long addr = ALIGN_DOWN(vmf->address, size);

	return addr >= vmf->vma->vm_start && addr + size <= vmf->vma->vm_end &&
	       IS_ALIGNED(PHYS_PFN(vmf->address) ^ vmf->pgoff, 1UL << order);
}

/* Do the CPU, the VMA and the process allow entries of this order? */
static bool gmfs_fault_allowed(const struct vm_fault *vmf, unsigned int order)
{
	struct vm_area_struct *vma = vmf->vma;

	if (order > PMD_ORDER && !arch_guestmemfs_maps_pud())
		return false;
	if (gmfs_vma_armed(vma))
		return false;
	return thp_vma_allowable_order(vma, vma->vm_flags, TVA_PAGEFAULT, order);
}

/* Is there a table of smaller entries in the place of an entry of this order? */
static bool gmfs_fault_has_table(const struct vm_fault *vmf, unsigned int asked, unsigned int order)
{
	pmd_t pmd;

	if (order == asked)
		return false;
	/* The mm asks for a smaller entry: it has a table in the place of the PUD entry. */
	if (order > PMD_ORDER)
		return true;
	pmd = pmdp_get_lockless(vmf->pmd);
	return pmd_present(pmd) && !pmd_leaf(pmd);
}

/* May a fault be served by an entry of this order, which is larger than the one asked for? */
static bool gmfs_fault_may_grow(const struct vm_fault *vmf, unsigned int asked, unsigned int order)
{
	if (!gmfs_fault_fits(vmf, order))
		return false;
	if (gmfs_fault_has_table(vmf, asked, order) && !gmfs_fault_may_retry(vmf))
		return false;
	return gmfs_fault_allowed(vmf, order);
}

/*
 * Returns the orders of entries that may serve a fault, a bit for each. The mm asks for a huge
 * entry only where its page table is empty, and it has decided that before invalidate_lock was
 * taken. Orders above @asked are included: memory that was mapped by smaller entries may fit in
 * one entry by now.
 */
static unsigned long gmfs_fault_orders(const struct vm_fault *vmf, unsigned int asked)
{
	unsigned long orders = BIT(asked);

	if (asked < PMD_ORDER && gmfs_fault_may_grow(vmf, asked, PMD_ORDER))
		orders |= BIT(PMD_ORDER);
	if (asked < PUD_ORDER && gmfs_fault_may_grow(vmf, asked, PUD_ORDER))
		orders |= BIT(PUD_ORDER);
	return orders;
}

static vm_fault_t gmfs_fault_insert(struct vm_fault *vmf, const struct gmfs_pool *pool,
				    const struct gmfs_entry *entry)
{
	unsigned long pfn = PHYS_PFN(gmfs_loaded_phys(&pool->tables, entry->block));

	/*
	 * Pass false for write faults, too: the filesystem does not track writes, so
	 * vm_page_prot makes entries writable if the VMA is. Soft-dirty skips VM_PFNMAP.
	 */
	switch (entry->order) {
#ifdef CONFIG_ARCH_SUPPORTS_PUD_PFNMAP
	case PUD_ORDER:
		return vmf_insert_pfn_pud(vmf, pfn, false);
#endif
	case PMD_ORDER:
		return vmf_insert_pfn_pmd(vmf, pfn, false);
	default:
		return vmf_insert_pfn(vmf->vma, vmf->address,
				      pfn + entry->first % GUESTMEMFS_BLOCK_PAGES);
	}
}

static enum gmfs_fault_end gmfs_fault_error(int err)
{
	switch (err) {
	case -EINPROGRESS:
		return GMFS_FAULT_AGAIN;
	case -EBUSY:
		return GMFS_FAULT_FROZEN;
	case -EHWPOISON:
		return GMFS_FAULT_POISONED;
	case -EINTR:
		return GMFS_FAULT_KILLED;
	case -ENOMEM:
		return GMFS_FAULT_NO_MEMORY;
	default:
		return GMFS_FAULT_REFUSED;
	}
}

/*
 * Does userfaultfd resolve a fault of a registered VMA? Returns GMFS_FAULT_INSERTED if not. Other
 * faults do not pay for its code.
 */
static noinline enum gmfs_fault_end gmfs_fault_user(const struct vm_fault *vmf, struct inode *inode)
{
	/* UFFDIO_COPY refuses a poisoned frame. */
	if (gmfs_file_poisoned(inode, vmf->pgoff))
		return GMFS_FAULT_POISONED;
	switch (gmfs_file_page(inode, vmf->pgoff)) {
	case GMFS_PAGE_MISSING:
		return userfaultfd_missing(vmf->vma) ? GMFS_FAULT_MISSING : GMFS_FAULT_INSERTED;
	case GMFS_PAGE_PRESENT:
		return userfaultfd_minor(vmf->vma) ? GMFS_FAULT_MINOR : GMFS_FAULT_INSERTED;
	default:
		return GMFS_FAULT_INSERTED;
	}
}

/*
 * Without releasing invalidate_lock in between, finds an entry, allocates and zeroes its
 * blocks, and maps it. If a table is in the place of the entry, all but the last step is done
 * before gmfs_retract() is asked for: the table is freed only if the retry can map the larger
 * entry.
 */
static enum gmfs_fault_end gmfs_fault_locked(struct vm_fault *vmf, struct inode *inode,
					     unsigned int asked, unsigned long orders,
					     struct gmfs_entry *entry, vm_fault_t *ret)
{
	enum gmfs_fault_end end;
	int err;

	/* The size changes only with invalidate_lock held exclusively. */
	orders = gmfs_file_orders(inode, vmf->pgoff, orders);
	if (gmfs_vma_armed(vmf->vma)) {
		end = asked || !orders ? GMFS_FAULT_REFUSED : gmfs_fault_user(vmf, inode);
		if (end != GMFS_FAULT_INSERTED)
			return end;
	}
	while (orders) {
		err = gmfs_file_entry(inode, vmf->pgoff, orders, GMFS_ENTRY_SHARED, entry);
		if (err)
			return gmfs_fault_error(err);
		if (!gmfs_fault_has_table(vmf, asked, entry->order)) {
			*ret = gmfs_fault_insert(vmf, GUESTMEMFS_SB(inode->i_sb), entry);
			return GMFS_FAULT_INSERTED;
		}
		if (gmfs_fault_may_retry(vmf))
			return GMFS_FAULT_TABLE;
		/* Another fault has added the table since gmfs_fault_orders(): leave it. */
		orders &= BIT(entry->order) - 1;
	}
	return GMFS_FAULT_REFUSED;
}

static enum gmfs_fault_end gmfs_fault_try(struct vm_fault *vmf, struct inode *inode,
					  unsigned int asked, struct gmfs_entry *entry,
					  vm_fault_t *ret)
{
	struct rw_semaphore *lock = &inode->i_mapping->invalidate_lock;
	unsigned long orders = gmfs_fault_orders(vmf, asked);
	enum gmfs_fault_end end;

	do {
		if (down_read_killable(lock))
			return GMFS_FAULT_KILLED;
		end = gmfs_fault_locked(vmf, inode, asked, orders, entry, ret);
		up_read(lock);
	} while (end == GMFS_FAULT_AGAIN);
	return end;
}

/*
 * A fatal signal is pending, and nothing is mapped. Do not return success: if the kernel itself
 * has touched the page, in copy_to_user() for example, it would repeat the access for ever, and
 * the task would never return to where signals are delivered.
 */
static vm_fault_t gmfs_fault_killed(struct vm_fault *vmf)
{
	if (!gmfs_fault_may_retry(vmf))
		return VM_FAULT_SIGBUS;
	if (!gmfs_fault_nowait(vmf))
		release_fault_lock(vmf);
	return VM_FAULT_RETRY;
}

/*
 * The fault needs blocks and the pool is frozen: a VMM may run until the last moment before a
 * kexec. Wait without mmap_lock and the VMA's lock, so that other threads can map, unmap and
 * fault. Return at any signal: if user space has faulted, the signal is handled before the
 * retry.
 *
 * A fault that may not release its lock does not wait: it returns with nothing mapped, its
 * caller releases the lock, and the access faults once more.
 */
static vm_fault_t gmfs_fault_frozen(struct vm_fault *vmf, const struct gmfs_pool *pool)
{
	if (gmfs_fault_may_retry(vmf)) {
		if (gmfs_fault_nowait(vmf))
			return VM_FAULT_RETRY;
		release_fault_lock(vmf);
		/* A worker, of KVM's asynchronous page faults, could not be killed. */
		if (current->flags & PF_KTHREAD)
			schedule_timeout_uninterruptible(1);
		else
			gmfs_pool_wait(pool);
		return VM_FAULT_RETRY;
	}
	if (fatal_signal_pending(current))
		return VM_FAULT_SIGBUS;
	/* A retried fault has waited already. Any other sleeps, so as not to busy-wait. */
	if (!(vmf->flags & FAULT_FLAG_TRIED))
		schedule_timeout_killable(1);
	return VM_FAULT_NOPAGE;
}

/**
 * gmfs_has_table - is there a table of smaller entries in the place of an entry
 * @mm: the mm; its mmap_lock is held for writing
 * @addr: address of the entry
 * @order: its size, as log2 of pages: %PMD_ORDER or %PUD_ORDER
 *
 * Return: true if there is, at this time.
 */
bool gmfs_has_table(struct mm_struct *mm, unsigned long addr, unsigned int order)
{
	pgd_t *pgd = pgd_offset(mm, addr);
	p4d_t *p4d;
	pud_t *pud, entry;
	pmd_t pmd;

	mmap_assert_write_locked(mm);
	if (!pgd_present(*pgd))
		return false;
	p4d = p4d_offset(pgd, addr);
	if (!p4d_present(*p4d))
		return false;
	pud = pud_offset(p4d, addr);
	/* Entries may be zapped, through the file's mappings, but a table stays. */
	entry = pudp_get(pud);
	if (!pud_present(entry) || pud_leaf(entry))
		return false;
	if (order > PMD_ORDER)
		return true;
	pmd = pmdp_get_lockless(pmd_offset_lockless(pud, entry, addr));
	return pmd_present(pmd) && !pmd_leaf(pmd);
}

/*
 * Zaps the entries of a table and frees the table, as munmap() would. No other task uses it:
 *
 * - Faults, and walks of the mm's page table, hold mmap_lock or the VMA's lock. Both are held
 *   for writing here.
 * - Walks from the file's mappings, to zap entries, hold i_mmap_rwsem.
 * - Lockless walks (GUP-fast, and KVM when it looks up the size of an entry) run with
 *   interrupts disabled, and the mmu_gather frees no table before they have ended.
 *
 * The entries are zapped without i_mmap_rwsem, so that MMU notifiers do not run under it. No
 * new entry is mapped before mmap_lock is released.
 */
static void gmfs_free_table(struct vm_area_struct *vma, unsigned long addr, unsigned long size)
{
	struct address_space *mapping = vma->vm_file->f_mapping;
	unsigned long end = addr + size;
	struct mmu_gather tlb;

	if (vma_start_write_killable(vma))
		return;
	zap_vma_range(vma, addr, size);
	tlb_gather_mmu(&tlb, vma->vm_mm);
	i_mmap_lock_write(mapping);
	free_pgd_range(&tlb, addr, end, addr, end);
	i_mmap_unlock_write(mapping);
	tlb_finish_mmu(&tlb);
}

static int gmfs_marker_pud(pud_t *pud, unsigned long addr, unsigned long next,
			   struct mm_walk *walk)
{
	if (pud_leaf(pudp_get(pud)))
		walk->action = ACTION_CONTINUE;
	return 0;
}

static int gmfs_marker_pmd(pmd_t *pmd, unsigned long addr, unsigned long next,
			   struct mm_walk *walk)
{
	if (pmd_leaf(pmdp_get_lockless(pmd)))
		walk->action = ACTION_CONTINUE;
	return 0;
}

static int gmfs_marker_pte(pte_t *pte, unsigned long addr, unsigned long next,
			   struct mm_walk *walk)
{
	pte_t entry = ptep_get(pte);

	return !pte_none(entry) && !pte_present(entry);
}

/* Has UFFDIO_POISON left a marker in these page tables? Only the markers know of these pages. */
static bool gmfs_has_markers(struct vm_area_struct *vma, unsigned long addr, unsigned long size)
{
	static const struct mm_walk_ops ops = {
		.pud_entry	= gmfs_marker_pud,
		.pmd_entry	= gmfs_marker_pmd,
		.pte_entry	= gmfs_marker_pte,
		.walk_lock	= PGWALK_WRLOCK,
	};

	if (!READ_ONCE(GUESTMEMFS_I(file_inode(vma->vm_file))->userfaults))
		return false;
	return walk_page_range_vma(vma, addr, addr + size, &ops, NULL);
}

/**
 * gmfs_make_way - free a table of smaller entries, so that the next fault can map a larger one
 * @mm: the mm; its mmap_lock is held for writing
 * @addr: address of the larger entry
 * @order: its size, as log2 of pages
 *
 * Does nothing if there is no such table, if no VMA of guestmemfs contains the whole entry, or if
 * userfaultfd needs the table.
 */
void gmfs_make_way(struct mm_struct *mm, unsigned long addr, unsigned int order)
{
	unsigned long size = PAGE_SIZE << order;
	struct vm_area_struct *vma = vma_lookup(mm, addr);

	/* Another thread may have changed the mappings, or freed the table. */
	if (range_in_vma(vma, addr, addr + size) && vma_is_guestmemfs(vma) &&
	    !gmfs_vma_armed(vma) && gmfs_has_table(mm, addr, order) &&
	    !gmfs_has_markers(vma, addr, size))
		gmfs_free_table(vma, addr, size);
}

/*
 * Frees a table of smaller entries, for a fault that a larger entry could serve and that may be
 * retried (gmfs_fault_may_retry()). Releases the fault's lock (mmap_lock or the VMA's lock), or
 * does nothing if the fault must not wait (gmfs_fault_nowait()). The caller must hold no lock of
 * the file, since locks of the file nest inside mmap_lock.
 *
 * Only the page table of the mm that faults is changed. The mmap_lock of no other mm is taken,
 * and there is no cost for a process that maps the file and does not touch it. If the table is
 * not freed, because of a fatal signal or because mappings have changed, the retry of the fault
 * falls back to smaller entries.
 *
 * The state of the file does not matter here: entries may be zapped at any time, and the next
 * access faults them in again.
 */
static vm_fault_t gmfs_retract(struct vm_fault *vmf, unsigned int order)
{
	unsigned long size = PAGE_SIZE << order;
	unsigned long addr = ALIGN_DOWN(vmf->address, size);
	/* The task that faults keeps the mm alive, also without the fault's lock. */
	struct mm_struct *mm = vmf->vma->vm_mm;

	if (gmfs_fault_nowait(vmf))
		return VM_FAULT_RETRY;
	release_fault_lock(vmf);
	if (mmap_write_lock_killable(mm))
		return VM_FAULT_RETRY;
	gmfs_make_way(mm, addr, order);
	mmap_write_unlock(mm);
	return VM_FAULT_RETRY;
}

/*
 * Is there an entry or a table in the place of a huge entry? The fault may be a write fault on
 * a huge entry, or another thread may have been faster.
 */
static bool gmfs_fault_present(struct vm_fault *vmf, unsigned int order)
{
	if (order == PMD_ORDER)
		return !pmd_none(pmdp_get_lockless(vmf->pmd));
	return !pud_none(pudp_get(vmf->pud));
}

/*
 * Returns VM_FAULT_RETRY only if the fault's lock was released, or FAULT_FLAG_RETRY_NOWAIT is set.
 * The fault is then retried.
 */
static vm_fault_t gmfs_fault_of_order(struct vm_fault *vmf, struct inode *inode,
				      unsigned int order)
{
	vm_fault_t ret = VM_FAULT_SIGBUS;
	enum gmfs_fault_end end;
	struct gmfs_entry entry;

	if (order > PMD_ORDER && !arch_guestmemfs_maps_pud())
		return VM_FAULT_FALLBACK;
	if (order && (gmfs_fault_present(vmf, order) || !gmfs_fault_fits(vmf, order)))
		return VM_FAULT_FALLBACK;
	end = gmfs_fault_try(vmf, inode, order, &entry, &ret);
	if (likely(end == GMFS_FAULT_INSERTED))
		return ret;
	switch (end) {
	case GMFS_FAULT_TABLE:
		return gmfs_retract(vmf, entry.order);
	case GMFS_FAULT_MISSING:
		return handle_userfault(vmf, VM_UFFD_MISSING);
	case GMFS_FAULT_MINOR:
		return handle_userfault(vmf, VM_UFFD_MINOR);
	case GMFS_FAULT_FROZEN:
		return gmfs_fault_frozen(vmf, GUESTMEMFS_SB(inode->i_sb));
	case GMFS_FAULT_POISONED:
		return VM_FAULT_HWPOISON;
	case GMFS_FAULT_KILLED:
		return gmfs_fault_killed(vmf);
	case GMFS_FAULT_NO_MEMORY:
		return VM_FAULT_OOM;
	case GMFS_FAULT_REFUSED:
	default:
		return order ? VM_FAULT_FALLBACK : VM_FAULT_SIGBUS;
	}
}

/**
 * guestmemfs_huge_fault - serve a fault with an entry of a given order, or of a larger one
 * @vmf: the fault
 * @order: order of the entry that the mm asks for, as log2 of pages
 *
 * Return: VM_FAULT_*; VM_FAULT_FALLBACK if only a smaller entry is possible.
 */
vm_fault_t guestmemfs_huge_fault(struct vm_fault *vmf, unsigned int order)
{
	struct inode *inode = file_inode(vmf->vma->vm_file);
	struct gmfs_pool *pool = GUESTMEMFS_SB(inode->i_sb);
	u32 ino = inode->i_ino;
	vm_fault_t ret = gmfs_fault_of_order(vmf, inode, order);

	/* If the fault's lock was released, VMA and file may have been freed: use @ino. */
	trace_guestmemfs_fault(pool->node, ino, vmf, order, ret);
	return ret;
}

/**
 * guestmemfs_fault - serve a fault with an entry of a page, or a larger one
 * @vmf: the fault
 *
 * Return: VM_FAULT_*.
 */
vm_fault_t guestmemfs_fault(struct vm_fault *vmf)
{
	return guestmemfs_huge_fault(vmf, 0);
}

/**
 * vma_is_guestmemfs - does a VMA map guest memory
 * @vma: the VMA
 *
 * For code that would use a frame after it has released the page table lock: without a struct
 * page it can take no reference, and is not notified when the frame is freed.
 *
 * Context: the VMA is locked, or its mm's mmap_lock held.
 * Return: true if it maps a file of guestmemfs.
 */
bool vma_is_guestmemfs(const struct vm_area_struct *vma)
{
	return vma->vm_ops && vma->vm_ops->fault == guestmemfs_fault;
}
EXPORT_SYMBOL_GPL(vma_is_guestmemfs);
