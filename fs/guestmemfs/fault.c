// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page faults: the largest entry that alignment, size and blocks allow.
 */
#include <linux/export.h>
#include <linux/guestmemfs.h>
#include <linux/mm.h>
#include <linux/pagemap.h>

#include <asm/guestmemfs.h>

#include "internal.h"

/**
 * struct gmfs_fault - what a fault is about
 * @inode: the file
 * @order: size of the page table entry, as log2 of pages
 * @pgoff: first page in the file that it covers
 */
struct gmfs_fault {
	struct inode *inode;
	unsigned int order;
	pgoff_t pgoff;
};

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

	/*
	 * Never for writing: no handler for write faults exists, so entries are
	 * writable by vm_page_prot. Where they are not (soft-dirty tracking),
	 * the write fault splits the entry and ends in do_wp_page(). With true,
	 * an entry that another thread made smaller would be warned about.
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

static vm_fault_t gmfs_fault_locked(struct vm_fault *vmf, struct gmfs_fault *f)
{
	struct gmfs_run run;

	/* Under invalidate_lock: a truncation has not begun, or is through. */
	if (!gmfs_fault_fits(vmf, f))
		return f->order ? VM_FAULT_FALLBACK : VM_FAULT_SIGBUS;
	switch (gmfs_fault_blocks(f, &run)) {
	case 0:
		return gmfs_fault_insert(vmf, f, &run);
	case -EINTR:
		return VM_FAULT_NOPAGE;
	case -EBUSY:
		/* Only for guestmemfs_huge_fault(): the mm knows nothing of it. */
		return VM_FAULT_RETRY;
	case -ENOMEM:
		return VM_FAULT_OOM;
	default:
		return f->order ? VM_FAULT_FALLBACK : VM_FAULT_SIGBUS;
	}
}

/* A huge entry is there already: a write fault on it, or another thread won. */
static bool gmfs_fault_present(struct vm_fault *vmf, unsigned int order)
{
	if (order == PMD_ORDER)
		return !pmd_none(pmdp_get_lockless(vmf->pmd));
	return !pud_none(pudp_get(vmf->pud));
}

static vm_fault_t guestmemfs_huge_fault(struct vm_fault *vmf, unsigned int order)
{
	struct gmfs_fault f = {
		.inode = file_inode(vmf->vma->vm_file),
		.order = order,
	};
	vm_fault_t ret;

	if (order > PMD_ORDER && !arch_guestmemfs_maps_pud())
		return VM_FAULT_FALLBACK;
	if (order && gmfs_fault_present(vmf, order))
		return VM_FAULT_FALLBACK;
	do {
		filemap_invalidate_lock_shared(f.inode->i_mapping);
		ret = gmfs_fault_locked(vmf, &f);
		filemap_invalidate_unlock_shared(f.inode->i_mapping);
		/* A VMM may run until the last moment before a kexec. */
	} while (ret == VM_FAULT_RETRY && gmfs_pool_wait(GUESTMEMFS_SB(f.inode->i_sb)));
	return ret == VM_FAULT_RETRY ? VM_FAULT_NOPAGE : ret;
}

static vm_fault_t guestmemfs_fault(struct vm_fault *vmf)
{
	return guestmemfs_huge_fault(vmf, 0);
}

const struct vm_operations_struct guestmemfs_vm_ops = {
	.fault		= guestmemfs_fault,
	.huge_fault	= guestmemfs_huge_fault,
};

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
	return vma->vm_ops == &guestmemfs_vm_ops;
}
EXPORT_SYMBOL_GPL(vma_is_guestmemfs);
