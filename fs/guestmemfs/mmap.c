// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mappings of a file: where they go in the address space, and what they reserve.
 */
#include <linux/fs.h>
#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/refcount.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include <asm/guestmemfs.h>

#include "internal.h"

/**
 * struct gmfs_reservation - what is reserved for a mapping
 * @users: VMAs that are the mapping or a part of it
 * @from: first block in the file
 * @end: block after the last one
 */
struct gmfs_reservation {
	refcount_t users;
	u64 from;
	u64 end;
};

/* As far as a file may come to have blocks. An offset may be too large for any file. */
static u64 gmfs_mapping_end(const struct file *file, pgoff_t end)
{
	u64 size = round_up(i_size_read(file_inode(file)), GMFS_BLOCK_SIZE);
	u64 last = min_t(u64, DIV_ROUND_UP(end, GUESTMEMFS_BLOCK_PAGES), GMFS_MAX_LOGICAL);

	/* Who cannot make the file larger reserves no more than the file can have. */
	if (!(file->f_mode & FMODE_WRITE))
		last = min(last, size >> GUESTMEMFS_BLOCK_SHIFT);
	return last;
}

static int gmfs_reservation_mapped(unsigned long start, unsigned long end, pgoff_t pgoff,
				   const struct file *file, void **vm_private_data)
{
	u64 from = pgoff / GUESTMEMFS_BLOCK_PAGES;
	u64 to = gmfs_mapping_end(file, pgoff + ((end - start) >> PAGE_SHIFT));
	struct gmfs_reservation *r;
	int err;

	if (from >= to)
		return 0;
	r = kmalloc_obj(*r, GFP_KERNEL_ACCOUNT);
	if (!r)
		return -ENOMEM;
	refcount_set(&r->users, 1);
	r->from = from;
	r->end = to;
	err = gmfs_file_reserve(file_inode(file), from, to);
	if (err) {
		kfree(r);
		return err == -EINTR ? err : -ENOMEM;
	}
	*vm_private_data = r;
	return 0;
}

/* A VMA was split, or moved. */
static void gmfs_reservation_open(struct vm_area_struct *vma)
{
	struct gmfs_reservation *r = vma->vm_private_data;

	if (r)
		refcount_inc(&r->users);
}

/*
 * There is no reservation where the mapping failed for want of one. What is unmapped of a mapping
 * stays reserved until the rest is: a VMA does not tell which part of it others have.
 */
static void gmfs_reservation_close(struct vm_area_struct *vma)
{
	struct gmfs_reservation *r = vma->vm_private_data;

	if (!r || !refcount_dec_and_test(&r->users))
		return;
	gmfs_file_unreserve(file_inode(vma->vm_file), r->from, r->end);
	kfree(r);
}

static const struct vm_operations_struct gmfs_vm_ops = {
	.fault		= guestmemfs_fault,
	.huge_fault	= guestmemfs_huge_fault,
};

/* Such a VMA is neither merged nor extended, since it is VM_PFNMAP. */
static const struct vm_operations_struct gmfs_reserving_vm_ops = {
	.open		= gmfs_reservation_open,
	.close		= gmfs_reservation_close,
	.mapped		= gmfs_reservation_mapped,
	.fault		= guestmemfs_fault,
	.huge_fault	= guestmemfs_huge_fault,
};

/**
 * guestmemfs_mmap_prepare - map a part of a file
 * @desc: the mapping to be
 *
 * Return: 0, or -EINVAL for a private mapping.
 */
int guestmemfs_mmap_prepare(struct vm_area_desc *desc)
{
	/*
	 * A private copy of guest memory would be ordinary memory. What is
	 * shared of a file that is open for reading is VMA_MAYSHARE alone.
	 */
	if (!vma_desc_test_any(desc, VMA_SHARED_BIT, VMA_MAYSHARE_BIT))
		return -EINVAL;
	file_accessed(desc->file);
	/*
	 * Nobody can take a reference on what has no struct page; a core dump
	 * is no place for a guest, and a forked child has no use for it.
	 */
	vma_desc_set_flags(desc, VMA_PFNMAP_BIT, VMA_REFAULT_BIT, VMA_DONTEXPAND_BIT,
			   VMA_DONTDUMP_BIT, VMA_DONTCOPY_BIT);
	desc->vm_ops = &gmfs_vm_ops;
	/* Where nothing can be allocated nothing is to be reserved. */
	if (!vma_desc_test(desc, VMA_NORESERVE_BIT) && !sb_rdonly(file_inode(desc->file)->i_sb))
		desc->vm_ops = &gmfs_reserving_vm_ops;
	return 0;
}

/* Is there a whole, aligned entry of this size in the part of the file? */
static bool gmfs_entry_fits(u64 offset, unsigned long len, unsigned long align)
{
	u64 first = round_up(offset, (u64)align);

	return offset + len > first && offset + len - first >= align;
}

/* An area whose address has the same remainder modulo @align as its offset. */
static unsigned long gmfs_area_aligned(struct file *file, unsigned long addr, unsigned long len,
				       unsigned long pgoff, unsigned long flags,
				       unsigned long align)
{
	unsigned long remainder = ((u64)pgoff << PAGE_SHIFT) & (align - 1);
	unsigned long hint, found;

	if (addr) {
		hint = round_down(addr, align) + remainder;
		if (hint < addr)
			hint += align;
		found = mm_get_unmapped_area(file, hint, len, pgoff, flags);
		if (found == hint)
			return found;
	}
	if (len + align < len)
		return -ENOMEM;
	found = mm_get_unmapped_area(file, 0, len + align, pgoff, flags);
	if (IS_ERR_VALUE(found))
		return found;
	return found + ((remainder - found) & (align - 1));
}

/**
 * guestmemfs_get_unmapped_area - where to map a part of a file
 * @file: the file
 * @addr: a hint, 0 for none
 * @len: bytes
 * @pgoff: first page of the file
 * @flags: MAP_*
 *
 * Return: an address that the largest entries fit at, or an error.
 */
unsigned long guestmemfs_get_unmapped_area(struct file *file, unsigned long addr,
					   unsigned long len, unsigned long pgoff,
					   unsigned long flags)
{
	static const unsigned long aligns[] = {
#ifdef CONFIG_ARCH_SUPPORTS_PUD_PFNMAP
		PUD_SIZE,
#endif
		PMD_SIZE,
	};
	int i;

	for (i = 0; i < ARRAY_SIZE(aligns) && !(flags & MAP_FIXED); i++) {
		unsigned long found;

		if (aligns[i] > PMD_SIZE && !arch_guestmemfs_maps_pud())
			continue;
		if (!gmfs_entry_fits((u64)pgoff << PAGE_SHIFT, len, aligns[i]))
			continue;
		found = gmfs_area_aligned(file, addr, len, pgoff, flags, aligns[i]);
		if (!IS_ERR_VALUE(found))
			return found;
	}
	return mm_get_unmapped_area(file, addr, len, pgoff, flags);
}
