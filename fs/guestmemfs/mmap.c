// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mappings of a file: their addresses, and the blocks that they reserve.
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
#include "userfault.h"

/**
 * struct gmfs_reservation - the part of a file that is reserved for a mapping
 * @users: number of VMAs that the mapping consists of
 * @from: first block in the file
 * @end: block after the last one
 */
struct gmfs_reservation {
	refcount_t users;
	u64 from;
	u64 end;
};

/*
 * Returns the block after the last one that a mapping up to page @end can need. @end may be
 * larger than any file.
 */
static u64 gmfs_mapping_end(const struct file *file, pgoff_t end)
{
	u64 size = round_up(i_size_read(file_inode(file)), GMFS_BLOCK_SIZE);
	u64 last = min_t(u64, DIV_ROUND_UP(end, GUESTMEMFS_BLOCK_PAGES), GMFS_MAX_LOGICAL);

	/* A descriptor that is not open for writing cannot make the file grow. */
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

/* The VMA was split or moved: a new VMA shares the reservation. */
static void gmfs_reservation_open(struct vm_area_struct *vma)
{
	struct gmfs_reservation *r = vma->vm_private_data;

	if (r)
		refcount_inc(&r->users);
}

/*
 * A VMA has no reservation if its mmap() has failed to get one, or if it needs no blocks. When
 * a part of a mapping is unmapped, nothing is unreserved before the rest is unmapped, too: the
 * VMA does not tell which part of the reservation other VMAs still need.
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
#ifdef CONFIG_USERFAULTFD
	.uffd_ops	= &gmfs_uffd_ops,
#endif
};

/* A VMA that reserves is neither merged nor extended, since it is VM_PFNMAP. */
static const struct vm_operations_struct gmfs_reserving_vm_ops = {
	.open		= gmfs_reservation_open,
	.close		= gmfs_reservation_close,
	.mapped		= gmfs_reservation_mapped,
	.fault		= guestmemfs_fault,
	.huge_fault	= guestmemfs_huge_fault,
#ifdef CONFIG_USERFAULTFD
	.uffd_ops	= &gmfs_uffd_ops,
#endif
};

/**
 * guestmemfs_mmap_prepare - prepare a mapping of a part of a file
 * @desc: description of the mapping
 *
 * Return: 0, or -EINVAL for a private mapping.
 */
int guestmemfs_mmap_prepare(struct vm_area_desc *desc)
{
	/*
	 * A private mapping would copy guest memory to ordinary memory. A shared mapping of a
	 * file that is open for reading only has VMA_MAYSHARE and not VMA_SHARED.
	 */
	if (!vma_desc_test_any(desc, VMA_SHARED_BIT, VMA_MAYSHARE_BIT))
		return -EINVAL;
	file_accessed(desc->file);
	/*
	 * PFNMAP: no reference can be taken on memory without struct page. DONTDUMP: a core
	 * dump must not contain a guest. DONTCOPY: a forked child has no use for guest memory.
	 */
	vma_desc_set_flags(desc, VMA_PFNMAP_BIT, VMA_REFAULT_BIT, VMA_DONTEXPAND_BIT,
			   VMA_DONTDUMP_BIT, VMA_DONTCOPY_BIT);
	desc->vm_ops = &gmfs_vm_ops;
	/* Nothing is reserved on a read-only filesystem, since nothing can be allocated. */
	if (!vma_desc_test(desc, VMA_NORESERVE_BIT) && !sb_rdonly(file_inode(desc->file)->i_sb))
		desc->vm_ops = &gmfs_reserving_vm_ops;
	return 0;
}

/* Does the part of the file contain a whole, aligned entry of this size? */
static bool gmfs_entry_fits(u64 offset, unsigned long len, unsigned long align)
{
	u64 first = round_up(offset, (u64)align);

	return offset + len > first && offset + len - first >= align;
}

/* Finds an area whose address has the same remainder modulo @align as the file offset. */
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
 * guestmemfs_get_unmapped_area - choose the address of a mapping
 * @file: the file
 * @addr: a hint, 0 for none
 * @len: bytes
 * @pgoff: first page of the file
 * @flags: MAP_*
 *
 * Return: an address at which the largest possible entries fit, or an error.
 */
unsigned long guestmemfs_get_unmapped_area(struct file *file, unsigned long addr,
					   unsigned long len, unsigned long pgoff,
					   unsigned long flags)
{
	static const unsigned long aligns[] = { PUD_SIZE, PMD_SIZE };
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
