// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page faults: the largest entry that alignment, size and blocks allow.
 */
#include <linux/export.h>
#include <linux/guestmemfs.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/rwsem.h>
#include <linux/sched/signal.h>

#include <trace/events/guestmemfs.h>

#include <asm/guestmemfs.h>

#include "internal.h"

/**
 * struct gmfs_fault - what a fault is about
 * @inode: the file
 * @order: size of the page table entry, as log2 of pages
 * @pgoff: first page in the file that it covers
 * @blocked: a table of smaller entries is where the entry would be
 */
struct gmfs_fault {
	struct inode *inode;
	unsigned int order;
	pgoff_t pgoff;
	bool blocked;
};

/* May the fault let go of its lock, and come again? */
static bool gmfs_fault_may_unlock(const struct vm_fault *vmf)
{
	return fault_flag_allow_retry_first(vmf->flags) &&
	       !(vmf->flags & FAULT_FLAG_RETRY_NOWAIT);
}

/* Does an entry of this order around the address fit into VMA and file? */
static bool gmfs_fault_fits(const struct vm_fault *vmf, struct gmfs_fault *f)
{
	unsigned long size = PAGE_SIZE << f->order;
	unsigned long addr = ALIGN_DOWN(vmf->address, size);
	pgoff_t end = DIV_ROUND_UP(i_size_read(f->inode), PAGE_SIZE);

	if (addr < vmf->vma->vm_start || addr + size > vmf->vma->vm_end)
		return false;
	f->pgoff = vmf->pgoff - ((vmf->address - addr) >> PAGE_SHIFT);
	return IS_ALIGNED(f->pgoff, 1UL << f->order) && f->pgoff + (1UL << f->order) <= end;
}

/* The blocks behind an entry all of whose pages are the host's to see. */
static int gmfs_fault_blocks(struct gmfs_fault *f, struct gmfs_run *run)
{
	switch (gmfs_file_character(f->inode, f->pgoff, f->order)) {
	case GMFS_PRIVATE:
		return -EFAULT;
	case GMFS_MIXED:
		return -EAGAIN;
	default:
		return gmfs_file_entry(f->inode, f->pgoff, f->order, run);
	}
}

static vm_fault_t gmfs_fault_insert(struct vm_fault *vmf, const struct gmfs_fault *f,
				    const struct gmfs_run *run)
{
	struct gmfs_pool *pool = GUESTMEMFS_SB(f->inode->i_sb);
	unsigned long pfn = PHYS_PFN(gmfs_block_phys(&pool->tables, run->block));

	/* There is no page that would keep a wrong frame out of a guest's reach. */
	if (WARN_ON_ONCE(run->block == GMFS_NO_BLOCK))
		return VM_FAULT_SIGBUS;
	/*
	 * Never for writing: nobody wants to be told of the first write to a page, so
	 * entries are writable by vm_page_prot wherever the VMA is. Soft-dirty tracking
	 * leaves VM_PFNMAP out. With true, an entry that another thread made smaller would
	 * be warned about.
	 */
	switch (f->order) {
#ifdef CONFIG_ARCH_SUPPORTS_PUD_PFNMAP
	case PUD_ORDER:
		return vmf_insert_pfn_pud(vmf, pfn, false);
#endif
	case PMD_ORDER:
		return vmf_insert_pfn_pmd(vmf, pfn, false);
	default:
		return vmf_insert_pfn(vmf->vma, vmf->address,
				      pfn + f->pgoff % GUESTMEMFS_BLOCK_PAGES);
	}
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

/* Has the page table a table of smaller entries in the place of the entry? */
static bool gmfs_fault_blocked(const struct vm_fault *vmf, unsigned int order)
{
	pmd_t pmd;

	/* The fault has come down to an entry of it. */
	if (order > PMD_ORDER)
		return true;
	pmd = pmdp_get_lockless(vmf->pmd);
	return pmd_present(pmd) && !pmd_leaf(pmd);
}

/*
 * The mm asks for the largest entry only where its page table has nothing, and
 * it asked before the lock was taken. So look again: what was in parts may be
 * one now. With blocks and zeroes, so that the larger entry is certain to come
 * once the table has made room, and tables do not go in vain.
 *
 * Returns 1 if there is one, with @f and @run changed to it, 0 if there is none, or the
 * errors that end the fault, or this try of it, whatever the size of the entry.
 */
static int gmfs_fault_larger(const struct vm_fault *vmf, struct gmfs_fault *f,
			     struct gmfs_run *run)
{
	static const unsigned int orders[] = { PUD_ORDER, PMD_ORDER };
	int i, err;

	for (i = 0; i < ARRAY_SIZE(orders) && orders[i] > f->order; i++) {
		struct gmfs_fault larger = {
			.inode		= f->inode,
			.order		= orders[i],
			.blocked	= gmfs_fault_blocked(vmf, orders[i]),
		};
		struct gmfs_run all;

		if (larger.blocked && !gmfs_fault_may_unlock(vmf))
			continue;
		if (!gmfs_fault_allowed(vmf, orders[i]) || !gmfs_fault_fits(vmf, &larger))
			continue;
		err = gmfs_fault_blocks(&larger, &all);
		if (err == -EINTR || err == -EINPROGRESS)
			return err;
		/* What is known of the smaller entry is still needed if this is none. */
		if (err)
			continue;
		*f = larger;
		*run = all;
		return 1;
	}
	return 0;
}

/* The blocks, zeroed, for the largest entry that can be: @f becomes that one. */
static int gmfs_fault_find(const struct vm_fault *vmf, struct gmfs_fault *f, struct gmfs_run *run)
{
	blkcnt_t blocks = READ_ONCE(f->inode->i_blocks);
	int err;

	/* Under invalidate_lock: a truncation has not begun, or is through. */
	if (!gmfs_fault_fits(vmf, f))
		return -EFAULT;
	err = gmfs_fault_larger(vmf, f, run);
	if (err)
		return min(err, 0);
	err = gmfs_fault_blocks(f, run);
	/* Was it the last block that a larger entry lacked? */
	if (!err && READ_ONCE(f->inode->i_blocks) != blocks)
		err = gmfs_fault_larger(vmf, f, run);
	return min(err, 0);
}

/*
 * Enters what the fault is to be served with into the page table, in one hold of
 * invalidate_lock. An entry that a table is in the way of is left to gmfs_retract().
 */
static int gmfs_fault_try(struct vm_fault *vmf, struct gmfs_fault *f, vm_fault_t *ret)
{
	struct rw_semaphore *lock = &f->inode->i_mapping->invalidate_lock;
	struct gmfs_run run;
	int err;

	do {
		err = down_read_killable(lock);
		if (err)
			return err;
		err = gmfs_fault_find(vmf, f, &run);
		if (!err && !f->blocked)
			*ret = gmfs_fault_insert(vmf, f, &run);
		up_read(lock);
		/* Some blocks have been zeroed, and somebody waits for the lock. */
	} while (err == -EINPROGRESS);
	return err;
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

/* A huge entry is there already: a write fault on it, or another thread won. */
static bool gmfs_fault_present(struct vm_fault *vmf, unsigned int order)
{
	if (order == PMD_ORDER)
		return !pmd_none(pmdp_get_lockless(vmf->pmd));
	return !pud_none(pudp_get(vmf->pud));
}

static vm_fault_t gmfs_fault_of_order(struct vm_fault *vmf, struct inode *inode,
				      unsigned int order)
{
	struct gmfs_fault f = {
		.inode = inode,
		.order = order,
	};
	vm_fault_t ret = VM_FAULT_SIGBUS;

	if (order > PMD_ORDER && !arch_guestmemfs_maps_pud())
		return VM_FAULT_FALLBACK;
	if (order && gmfs_fault_present(vmf, order))
		return VM_FAULT_FALLBACK;
	switch (gmfs_fault_try(vmf, &f, &ret)) {
	case 0:
		return f.blocked ? gmfs_retract(vmf, f.order) : ret;
	case -EINTR:
		return gmfs_fault_killed(vmf);
	case -EBUSY:
		return gmfs_fault_frozen(vmf, GUESTMEMFS_SB(inode->i_sb));
	case -ENOMEM:
		return VM_FAULT_OOM;
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

/* From @addr on, as far as the entry goes that maps it; 0 if none does. */
static unsigned long gmfs_bytes_mapped(struct vm_area_struct *vma, unsigned long addr)
{
	struct follow_pfnmap_args args = { .vma = vma, .address = addr };

	if (follow_pfnmap_start(&args))
		return 0;
	follow_pfnmap_end(&args);
	return (addr | ~args.addr_mask) + 1 - addr;
}

/**
 * guestmemfs_populate - do what the faults would do, one for each entry
 * @vma: the VMA
 * @start: first address
 * @end: address after the last one
 * @write: whether the faults are for writing
 * @locked: cleared if mmap_lock was released; NULL if it may not be
 *
 * For MAP_POPULATE, mlock() and MADV_POPULATE_*. Zeroing takes a while, so that between entries
 * others may have the mmap_lock; and it is not held while a fault waits for the end of a kexec,
 * or makes room for a larger entry.
 *
 * Return: how many pages are mapped from @start on, or an error; 0 only if it has released
 * mmap_lock.
 */
long guestmemfs_populate(struct vm_area_struct *vma, unsigned long start, unsigned long end,
			 bool write, int *locked)
{
	unsigned int flags = (write ? FAULT_FLAG_WRITE : 0) |
			     (locked ? FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_KILLABLE : 0);
	struct mm_struct *mm = vma->vm_mm;
	unsigned long addr = start;
	int err = 0;

	mmap_assert_locked(mm);
	while (addr < end && !err) {
		vm_fault_t ret;

		if (fatal_signal_pending(current)) {
			err = -EINTR;
			break;
		}
		if (addr > start && locked && mmap_lock_is_contended(mm)) {
			mmap_read_unlock(mm);
			*locked = 0;
			break;
		}
		ret = handle_mm_fault(vma, addr, flags, NULL);
		if (ret & VM_FAULT_RETRY) {
			/* The lock is gone, and the mapping may be. */
			*locked = 0;
			break;
		}
		err = vm_fault_to_errno(ret, FOLL_HWPOISON);
		if (!err)
			addr += gmfs_bytes_mapped(vma, addr);
		cond_resched();
	}
	/* What stopped it is met again. */
	return addr > start ? (min(addr, end) - start) >> PAGE_SHIFT : err;
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
