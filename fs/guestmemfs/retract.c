// SPDX-License-Identifier: GPL-2.0-only
/*
 * Room for larger entries in page tables.
 *
 * Where a gigabyte or a block was mapped in parts, the page table has a table of
 * smaller entries. Taking the entries out leaves the table, and with it there the
 * mm never asks for the larger entry again. So the fault that finds that one entry
 * would do takes the table out, in its own mm, and comes again.
 */
#include <linux/fs.h>
#include <linux/guestmemfs.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/pgtable.h>

#include <asm/tlb.h>

#include "internal.h"

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

/**
 * gmfs_retract - take smaller entries out of the way of a larger one
 * @vmf: a fault that the larger entry would serve, which may come again
 *	(fault_flag_allow_retry_first()), by whatever lock it holds
 * @order: the larger entry's size, as log2 of pages
 *
 * Only the faulting mm is concerned, and that by its own doing: nobody waits for
 * the mmap_lock of others, and who maps the file and does not touch it pays
 * nothing. If it does not come to pass, for a fatal signal or because mappings have
 * changed, the next try of the fault does with smaller entries.
 *
 * What the file is does not matter here. Entries may be taken out at any time,
 * and whoever needs them faults them in again.
 *
 * Context: a fault. It holds its lock when it calls this, which it does not when
 * this returns, and none of the file's, which are inside mmap_lock.
 * Return: VM_FAULT_RETRY.
 */
vm_fault_t gmfs_retract(struct vm_fault *vmf, unsigned int order)
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
