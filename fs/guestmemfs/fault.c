// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page faults: the largest entry that alignment, size and blocks allow.
 *
 * Where a gigabyte or a block was mapped in parts, the page table has a table of
 * smaller entries. Taking the entries out leaves the table, and with it there the
 * mm never asks for the larger entry again. So the fault that finds that one entry
 * would do takes the table out, in its own mm, and comes again.
 */
#include <linux/export.h>
#include <linux/fs.h>
#include <linux/guestmemfs.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/pagemap.h>
#include <linux/pgtable.h>
#include <linux/rwsem.h>
#include <linux/sched/signal.h>

#include <trace/events/guestmemfs.h>

#include <asm/guestmemfs.h>
#include <asm/tlb.h>

#include "internal.h"

/**
 * enum gmfs_fault_end - how a try to serve a fault ends
 * @GMFS_FAULT_INSERTED: with what the page table said to the entry
 * @GMFS_FAULT_REFUSED: no entry of this size can be
 * @GMFS_FAULT_AGAIN: somebody waits for invalidate_lock, and blocks are still to be zeroed
 * @GMFS_FAULT_TABLE: a table of smaller entries is in the place of the entry
 * @GMFS_FAULT_FROZEN: it takes blocks, and a kexec has begun
 * @GMFS_FAULT_KILLED: by a fatal signal
 * @GMFS_FAULT_NO_MEMORY: the kernel has no memory for its own structures
 */
enum gmfs_fault_end {
	GMFS_FAULT_INSERTED,
	GMFS_FAULT_REFUSED,
	GMFS_FAULT_AGAIN,
	GMFS_FAULT_TABLE,
	GMFS_FAULT_FROZEN,
	GMFS_FAULT_KILLED,
	GMFS_FAULT_NO_MEMORY,
};

/* May the fault let go of its lock, and come again? */
static bool gmfs_fault_may_unlock(const struct vm_fault *vmf)
{
	return fault_flag_allow_retry_first(vmf->flags) &&
	       !(vmf->flags & FAULT_FLAG_RETRY_NOWAIT);
}

/* Has the VMA room for an entry of this order, aligned as in the file? */
static __always_inline bool gmfs_fault_fits(const struct vm_fault *vmf, unsigned int order)
{
	unsigned long size = PAGE_SIZE << order;
	unsigned long addr = ALIGN_DOWN(vmf->address, size);

	return addr >= vmf->vma->vm_start && addr + size <= vmf->vma->vm_end &&
	       IS_ALIGNED(PHYS_PFN(vmf->address) ^ vmf->pgoff, 1UL << order);
}

/* Does the mm take entries of this size? */
static bool gmfs_fault_allowed(const struct vm_fault *vmf, unsigned int order)
{
	struct vm_area_struct *vma = vmf->vma;

	if (order > PMD_ORDER &&
	    !(IS_ENABLED(CONFIG_ARCH_SUPPORTS_PUD_PFNMAP) && arch_guestmemfs_maps_pud()))
		return false;
	return thp_vma_allowable_order(vma, vma->vm_flags, TVA_PAGEFAULT, order);
}

/* Has the page table a table of smaller entries in the place of an entry of this size? */
static bool gmfs_fault_blocked(const struct vm_fault *vmf, unsigned int asked, unsigned int order)
{
	pmd_t pmd;

	if (order == asked)
		return false;
	/* The fault has come down to an entry of it. */
	if (order > PMD_ORDER)
		return true;
	pmd = pmdp_get_lockless(vmf->pmd);
	return pmd_present(pmd) && !pmd_leaf(pmd);
}

/* May an entry serve a fault that is larger than what the mm asks for now? */
static bool gmfs_fault_may_grow(const struct vm_fault *vmf, unsigned int asked, unsigned int order)
{
	if (!gmfs_fault_fits(vmf, order))
		return false;
	if (gmfs_fault_blocked(vmf, asked, order) && !gmfs_fault_may_unlock(vmf))
		return false;
	return gmfs_fault_allowed(vmf, order);
}

/*
 * The sizes of entries that may serve a fault. The mm asks for the largest one only where its
 * page table has nothing, and it asked before invalidate_lock was taken. So those are among
 * them that are larger than what it asks for now: what was in parts may be one since.
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
	unsigned long pfn = PHYS_PFN(gmfs_block_phys(&pool->tables, entry->block));

	/*
	 * Not for writing: nobody wants to be told of the first write to a page, so entries are
	 * writable by vm_page_prot wherever the VMA is. Soft-dirty tracking leaves VM_PFNMAP out.
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
	case -EINTR:
		return GMFS_FAULT_KILLED;
	case -ENOMEM:
		return GMFS_FAULT_NO_MEMORY;
	default:
		return GMFS_FAULT_REFUSED;
	}
}

/*
 * In one hold of invalidate_lock: the entry, with blocks and zeroes, and then the page table. An
 * entry that a table is in the way of is complete, too, when gmfs_retract() is left to make
 * room for it, so that it is certain to come and the table does not go in vain.
 */
static enum gmfs_fault_end gmfs_fault_locked(struct vm_fault *vmf, struct inode *inode,
					     unsigned int asked, unsigned long orders,
					     struct gmfs_entry *entry, vm_fault_t *ret)
{
	int err;

	/* A truncation has not begun, or is through. */
	orders = gmfs_file_orders(inode, vmf->pgoff, orders);
	while (orders) {
		err = gmfs_file_entry(inode, vmf->pgoff, orders, true, entry);
		if (err)
			return gmfs_fault_error(err);
		if (!gmfs_fault_blocked(vmf, asked, entry->order)) {
			*ret = gmfs_fault_insert(vmf, GUESTMEMFS_SB(inode->i_sb), entry);
			return GMFS_FAULT_INSERTED;
		}
		if (gmfs_fault_may_unlock(vmf))
			return GMFS_FAULT_TABLE;
		/* Another fault has made the table since gmfs_fault_orders(): it has to stay. */
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
 * A fatal signal has come, and nothing is mapped. That must not look like success: where
 * the kernel itself has touched the page, in copy_to_user() for example, the access would be
 * repeated for ever, and the task would never return to where signals are delivered.
 */
static vm_fault_t gmfs_fault_killed(struct vm_fault *vmf)
{
	if (!gmfs_fault_may_unlock(vmf))
		return VM_FAULT_SIGBUS;
	release_fault_lock(vmf);
	return VM_FAULT_RETRY;
}

/*
 * The fault needs blocks and the pool is frozen: a VMM may run until the last moment before
 * a kexec. Wait without mmap_lock and the VMA's lock, so that other threads map, unmap and
 * fault, and return at any signal, which a fault of user space handles before it comes again.
 *
 * A fault that cannot release its lock does not wait: it returns with nothing mapped, the
 * lock is released by whoever has taken it, and the access faults once more.
 */
static vm_fault_t gmfs_fault_frozen(struct vm_fault *vmf, const struct gmfs_pool *pool)
{
	if (gmfs_fault_may_unlock(vmf)) {
		release_fault_lock(vmf);
		gmfs_pool_wait(pool);
		return VM_FAULT_RETRY;
	}
	if (fatal_signal_pending(current))
		return VM_FAULT_SIGBUS;
	/* Has it waited just now, before it was tried again? If not, do not use up the CPU. */
	if (!(vmf->flags & FAULT_FLAG_TRIED))
		schedule_timeout_killable(1);
	return VM_FAULT_NOPAGE;
}
/* Is there a table of smaller entries where an entry of this order would be? */
static bool gmfs_has_table(struct mm_struct *mm, unsigned long addr, unsigned int order)
{
	pgd_t *pgd = pgd_offset(mm, addr);
	p4d_t *p4d;
	pud_t *pud;
	pmd_t *pmd;

	mmap_assert_write_locked(mm);
	if (!pgd_present(*pgd))
		return false;
	p4d = p4d_offset(pgd, addr);
	if (!p4d_present(*p4d))
		return false;
	pud = pud_offset(p4d, addr);
	if (!pud_present(*pud) || pud_leaf(*pud))
		return false;
	if (order > PMD_ORDER)
		return true;
	pmd = pmd_offset(pud, addr);
	return pmd_present(*pmd) && !pmd_leaf(*pmd);
}

/*
 * Takes the table out and frees it, as munmap() would. Nobody else can be in it:
 *
 * - Faults, and all who walk page tables by the mm, hold mmap_lock or the VMA's.
 * - Those who come by the file, to take something out, hold i_mmap_rwsem.
 * - Those who hold nothing (GUP-fast, KVM when it asks how large an entry is)
 *   have interrupts off, and the mmu_gather frees no table before they are
 *   through.
 *
 * Entries go first: nothing puts new ones in before mmap_lock is released, so
 * that there is no need for i_mmap_rwsem while MMU notifiers run.
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

/*
 * Takes smaller entries out of the way of a larger one, for a fault that the larger entry would
 * serve and that may come again (fault_flag_allow_retry_first()), by whatever lock it holds.
 * gmfs_retract() releases that lock; the caller holds none of the file's, which are inside
 * mmap_lock.
 *
 * Only the faulting mm is concerned, and that by its own doing: nobody waits for
 * the mmap_lock of others, and who maps the file and does not touch it pays
 * nothing. If it does not come to pass, for a fatal signal or because mappings have
 * changed, the next try of the fault does with smaller entries.
 *
 * What the file is does not matter here. Entries may be taken out at any time,
 * and whoever needs them faults them in again.
 */
static vm_fault_t gmfs_retract(struct vm_fault *vmf, unsigned int order)
{
	unsigned long size = PAGE_SIZE << order;
	unsigned long addr = ALIGN_DOWN(vmf->address, size);
	/* Whoever faults has the mm, and has it longer than its locks. */
	struct mm_struct *mm = vmf->vma->vm_mm;
	struct vm_area_struct *vma;

	release_fault_lock(vmf);
	if (mmap_write_lock_killable(mm))
		return VM_FAULT_RETRY;
	/* All may be different now. Another thread may have been here. */
	vma = vma_lookup(mm, addr);
	if (range_in_vma(vma, addr, addr + size) && vma_is_guestmemfs(vma) &&
	    gmfs_has_table(mm, addr, order))
		gmfs_free_table(vma, addr, size);
	mmap_write_unlock(mm);
	return VM_FAULT_RETRY;
}

/* A huge entry is there already: a write fault on it, or another thread won. */
static bool gmfs_fault_present(struct vm_fault *vmf, unsigned int order)
{
	if (order == PMD_ORDER)
		return !pmd_none(pmdp_get_lockless(vmf->pmd));
	return !pud_none(pudp_get(vmf->pud));
}

/* VM_FAULT_RETRY has one meaning: the fault's lock was released, and the access is repeated. */
static vm_fault_t gmfs_fault_of_order(struct vm_fault *vmf, struct inode *inode,
				      unsigned int order)
{
	vm_fault_t ret = VM_FAULT_SIGBUS;
	struct gmfs_entry entry;

	if (order > PMD_ORDER &&
	    !(IS_ENABLED(CONFIG_ARCH_SUPPORTS_PUD_PFNMAP) && arch_guestmemfs_maps_pud()))
		return VM_FAULT_FALLBACK;
	if (order && (gmfs_fault_present(vmf, order) || !gmfs_fault_fits(vmf, order)))
		return VM_FAULT_FALLBACK;
	switch (gmfs_fault_try(vmf, inode, order, &entry, &ret)) {
	case GMFS_FAULT_INSERTED:
		return ret;
	case GMFS_FAULT_TABLE:
		return gmfs_retract(vmf, entry.order);
	case GMFS_FAULT_FROZEN:
		return gmfs_fault_frozen(vmf, GUESTMEMFS_SB(inode->i_sb));
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
 * guestmemfs_huge_fault - map what an access needs, in an entry of a size
 * @vmf: the fault
 * @order: size of the entry, as log2 of pages
 *
 * Return: VM_FAULT_*; VM_FAULT_FALLBACK if it takes a smaller entry.
 */
vm_fault_t guestmemfs_huge_fault(struct vm_fault *vmf, unsigned int order)
{
	struct inode *inode = file_inode(vmf->vma->vm_file);
	struct gmfs_pool *pool = GUESTMEMFS_SB(inode->i_sb);
	u32 ino = inode->i_ino;
	vm_fault_t ret = gmfs_fault_of_order(vmf, inode, order);

	/* If it has let go of its lock, the file may be gone. */
	trace_guestmemfs_fault(pool->node, ino, vmf, order, ret);
	return ret;
}

/**
 * guestmemfs_fault - map what an access needs, in an entry of a page
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
 * For those who would keep the frames for longer than they hold the lock of
 * the page table: nothing tells them when the frames go.
 *
 * Context: the VMA is locked, or its mm's mmap_lock held.
 * Return: true if it maps a file of guestmemfs.
 */
bool vma_is_guestmemfs(const struct vm_area_struct *vma)
{
	return vma->vm_ops && vma->vm_ops->fault == guestmemfs_fault;
}
EXPORT_SYMBOL_GPL(vma_is_guestmemfs);
