// SPDX-License-Identifier: GPL-2.0-only
/*
 * Regular files: mmap is the only way to their contents.
 */
#include <linux/filelock.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/sched/mm.h>
#include <linux/sizes.h>

#include <asm/guestmemfs.h>

#include "internal.h"

/**
 * guestmemfs_llseek - move the file position
 * @file: the file
 * @offset: where to
 * @whence: SEEK_*; SEEK_DATA and SEEK_HOLE as well
 *
 * Return: the new position or an error.
 */
loff_t guestmemfs_llseek(struct file *file, loff_t offset, int whence)
{
	struct inode *inode = file_inode(file);

	if (whence == SEEK_DATA || whence == SEEK_HOLE) {
		offset = gmfs_file_seek(inode, offset, whence);
		return offset < 0 ? offset : vfs_setpos(file, offset, inode->i_sb->s_maxbytes);
	}
	return generic_file_llseek(file, offset, whence);
}

static int guestmemfs_mmap_prepare(struct vm_area_desc *desc)
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
	vma_desc_set_flags(desc, VMA_PFNMAP_BIT, VMA_DONTEXPAND_BIT, VMA_DONTDUMP_BIT,
			   VMA_DONTCOPY_BIT);
	desc->vm_ops = &guestmemfs_vm_ops;
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

const struct file_operations guestmemfs_file_operations = {
	.llseek			= guestmemfs_llseek,
	.mmap_prepare		= guestmemfs_mmap_prepare,
	.get_unmapped_area	= guestmemfs_get_unmapped_area,
	.fallocate		= guestmemfs_fallocate,
	.fsync			= noop_fsync,
	.unlocked_ioctl		= guestmemfs_ioctl,
	.compat_ioctl		= compat_ptr_ioctl,
	.setlease		= generic_setlease,
};

const struct inode_operations guestmemfs_file_inode_operations = {
	.setattr		= guestmemfs_setattr,
	.getattr		= guestmemfs_getattr,
	.fiemap			= guestmemfs_fiemap,
	.update_time		= guestmemfs_update_time,
};
