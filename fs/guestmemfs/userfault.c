// SPDX-License-Identifier: GPL-2.0-only
/*
 * userfaultfd: memory that user space fills, page by page, while a guest runs in it, as in
 * post-copy live migration.
 *
 * MISSING is about holes and absent pages (absent.c), and UFFDIO_COPY and UFFDIO_ZEROPAGE make them
 * present. MINOR is about pages that are there already, filled by another mapping or by a device:
 * UFFDIO_CONTINUE maps them, with entries of up to 1 GiB. Write protection is refused: it would
 * need markers in page tables that have no entry, and huge entries that can be split.
 */
#include <linux/fs.h>
#include <linux/guestmemfs.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/pagemap.h>
#include <linux/pgtable.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/userfaultfd_k.h>
#include <linux/workqueue.h>

#include <asm/guestmemfs.h>

#include "internal.h"
#include "userfault.h"

/**
 * struct gmfs_installed - where gmfs_fill_install() enters pages
 * @vma: the mapping
 * @addr: address of the first page
 * @pfn: pfn of the first page
 */
struct gmfs_installed {
	struct vm_area_struct *vma;
	unsigned long addr;
	unsigned long pfn;
};

static bool gmfs_can_userfault(struct vm_area_struct *vma, vm_flags_t modes)
{
	if (modes & ~(VM_UFFD_MISSING | VM_UFFD_MINOR))
		return false;
	/* There may be markers in page tables from now on. */
	if (modes)
		WRITE_ONCE(GUESTMEMFS_I(file_inode(vma->vm_file))->userfaults, true);
	return true;
}

static int gmfs_fill_install(unsigned long i, void *data)
{
	const struct gmfs_installed *at = data;

	return mfill_install_frame(at->vma, at->addr + i * PAGE_SIZE, at->pfn + i, 0);
}

/* UFFDIO_COPY and UFFDIO_ZEROPAGE for pages of one block. */
static ssize_t gmfs_fill(struct vm_area_struct *vma, unsigned long addr, const void *src,
			 pgoff_t page, unsigned long count)
{
	struct inode *inode = file_inode(vma->vm_file);
	struct gmfs_tables *t = &GUESTMEMFS_SB(inode->i_sb)->tables;
	struct gmfs_installed at = { .vma = vma, .addr = addr };
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	struct gmfs_entry entry;
	struct gmfs_state state;
	u64 phys, frame;
	long ret;

	ret = gmfs_file_frame(inode, page, &entry);
	if (ret)
		return ret;
	/* The host must not write to private pages that follow. */
	scoped_guard(rwsem_read, &gi->map_lock)
		gmfs_map_state(t, gi->map, page, &state);
	count = min_t(u64, count, state.end - page);
	/* The frame of @page is not poisoned. */
	frame = gmfs_entry_frame(&entry);
	count = gmfs_poisoned_next(&GUESTMEMFS_SB(inode->i_sb)->poisoned, frame, frame + count) -
		frame;
	phys = gmfs_block_phys(t, entry.block) + (page % GUESTMEMFS_BLOCK_PAGES) * PAGE_SIZE;
	at.pfn = PHYS_PFN(phys);
	ret = gmfs_absent_fill(inode, page, count, phys, src, gmfs_fill_install, &at);
	return ret < 0 ? ret : ret * PAGE_SIZE;
}

/* The sizes of entries that UFFDIO_CONTINUE may use, as log2 of pages: a bit for each. */
static unsigned long gmfs_continue_orders(struct vm_area_struct *vma, unsigned long addr,
					  pgoff_t page, unsigned long count)
{
	static const unsigned int huge[] = { PMD_ORDER, PUD_ORDER };
	unsigned long orders = BIT(0);
	int i;

	for (i = 0; i < ARRAY_SIZE(huge); i++) {
		unsigned long pages = BIT(huge[i]);

		if (count < pages || !IS_ALIGNED(page | PHYS_PFN(addr), pages) ||
		    !thp_vma_allowable_order(vma, vma->vm_flags, TVA_PAGEFAULT, huge[i]))
			break;
		if (huge[i] == PUD_ORDER && !arch_guestmemfs_maps_pud())
			break;
		orders |= pages;
	}
	return gmfs_file_orders(file_inode(vma->vm_file), page, orders);
}

/* UFFDIO_CONTINUE for pages that one entry maps. */
static ssize_t gmfs_continue(struct vm_area_struct *vma, unsigned long addr, pgoff_t page,
			     unsigned long count)
{
	struct inode *inode = file_inode(vma->vm_file);
	const struct gmfs_tables *t = &GUESTMEMFS_SB(inode->i_sb)->tables;
	unsigned long orders = gmfs_continue_orders(vma, addr, page, count), pfn;
	struct gmfs_entry entry;
	int err;

	if (gmfs_file_page(inode, page) != GMFS_PAGE_PRESENT)
		return -EFAULT;
	do {
		err = gmfs_file_entry(inode, page, orders, GMFS_ENTRY_SHARED, &entry);
		/* Blocks are still to be zeroed, and another task waits for the lock. */
		if (err == -EINPROGRESS)
			return 0;
		if (err)
			return err;
		pfn = PHYS_PFN(gmfs_block_phys(t, entry.block));
		if (!entry.order)
			pfn += page % GUESTMEMFS_BLOCK_PAGES;
		err = mfill_install_frame(vma, addr, pfn, entry.order);
		orders &= BIT(entry.order) - 1;
	} while (err == -EAGAIN && orders);
	return err ?: (ssize_t)(PAGE_SIZE << entry.order);
}

static ssize_t gmfs_fill_frames(struct vm_area_struct *vma, unsigned long addr, const void *src,
				unsigned long len, enum mfill_atomic_mode mode)
{
	struct inode *inode = file_inode(vma->vm_file);
	struct rw_semaphore *lock = &inode->i_mapping->invalidate_lock;
	pgoff_t page = linear_page_index(vma, addr), end;
	unsigned long count = len >> PAGE_SHIFT;
	ssize_t ret = -EFAULT;

	if (down_read_killable(lock))
		return -EINTR;
	end = DIV_ROUND_UP(i_size_read(inode), PAGE_SIZE);
	if (page >= end)
		goto out;
	count = min(count, end - page);
	if (mode == MFILL_ATOMIC_CONTINUE) {
		ret = gmfs_continue(vma, addr, page, count);
	} else {
		count = min(count, GUESTMEMFS_BLOCK_PAGES - page % GUESTMEMFS_BLOCK_PAGES);
		ret = gmfs_fill(vma, addr, src, page, count);
	}
out:
	up_read(lock);
	/* The errno that other filesystems use for UFFDIO_*. */
	return ret == -EHWPOISON ? -EIO : ret;
}

/**
 * struct gmfs_regrow - page tables of an mm that may become huge entries again
 * @list: in gmfs_regrows
 * @work: the work item
 * @mm: the mm, with a reference of mmgrab()
 * @addr: first address that is left; under mmap_lock
 * @end: address after the last one; under mmap_lock
 */
struct gmfs_regrow {
	struct list_head list;
	struct work_struct work;
	struct mm_struct *mm;
	unsigned long addr;
	unsigned long end;
};

/* One for each mm. */
static LIST_HEAD(gmfs_regrows);
static DEFINE_SPINLOCK(gmfs_regrow_lock);

/* Could an entry of 2 MiB map this address? */
static bool gmfs_may_regrow(struct vm_area_struct *vma, unsigned long addr)
{
	return IS_ALIGNED(PHYS_PFN(addr) ^ linear_page_index(vma, addr), 1UL << PMD_ORDER) &&
	       thp_vma_allowable_order(vma, vma->vm_flags, TVA_PAGEFAULT, PMD_ORDER);
}

/* Frees the table of 2 MiB at an address. Returns how much was looked at. */
static unsigned long gmfs_regrow_some(struct mm_struct *mm, unsigned long addr)
{
	struct vm_area_struct *vma;

	if (!pgd_present(*pgd_offset(mm, addr)))
		return ALIGN(addr + 1, PGDIR_SIZE) - addr;
	if (!gmfs_has_table(mm, addr, PUD_ORDER))
		return ALIGN(addr + 1, PUD_SIZE) - addr;
	vma = vma_lookup(mm, addr);
	if (vma && vma_is_guestmemfs(vma) && gmfs_may_regrow(vma, addr))
		gmfs_make_way(mm, addr, PMD_ORDER);
	return PMD_SIZE;
}

/*
 * Holds mmap_lock for a short time only. Takes no reference on the mm that could be the last one,
 * which would make an unmount fail that comes just after the end of the process. exit_mmap() waits
 * for mmap_lock before it frees anything.
 */
static void gmfs_regrow_work(struct work_struct *work)
{
	struct gmfs_regrow *grow = container_of(work, struct gmfs_regrow, work);
	struct mm_struct *mm = grow->mm;
	bool more = true;

	while (more) {
		mmap_write_lock(mm);
		more = atomic_read(&mm->mm_users) && grow->addr < grow->end;
		if (more) {
			grow->addr += gmfs_regrow_some(mm, grow->addr);
		} else {
			spin_lock(&gmfs_regrow_lock);
			list_del(&grow->list);
			spin_unlock(&gmfs_regrow_lock);
		}
		mmap_write_unlock(mm);
		cond_resched();
	}
	mmdrop(mm);
	kfree(grow);
}

/*
 * Adds a part to the work that is in progress for an mm, if there is any. Its mmap_lock is held for
 * writing.
 */
static bool gmfs_regrow_add(const struct mm_struct *mm, unsigned long start, unsigned long end)
{
	struct gmfs_regrow *grow;

	guard(spinlock)(&gmfs_regrow_lock);
	list_for_each_entry(grow, &gmfs_regrows, list) {
		if (grow->mm != mm)
			continue;
		grow->addr = min(grow->addr, start);
		grow->end = max(grow->end, end);
		return true;
	}
	return false;
}

/*
 * UFFDIO_COPY has mapped the pages one by one, and no fault can occur any more that would map a
 * larger entry. So unmap the part once: the next access maps it anew. A worker unmaps, so that a
 * VMM with terabytes does not wait; without memory for the work item, the entries stay small. The
 * caller holds mmap_lock for writing.
 */
static void gmfs_unregistered(struct vm_area_struct *vma, unsigned long start, unsigned long end)
{
	struct mm_struct *mm = vma->vm_mm;
	struct gmfs_regrow *grow;

	start = ALIGN(start, PMD_SIZE);
	end = ALIGN_DOWN(end, PMD_SIZE);
	if (start >= end || !gmfs_may_regrow(vma, start))
		return;
	if (gmfs_regrow_add(mm, start, end))
		return;
	grow = kmalloc_obj(*grow, GFP_KERNEL_ACCOUNT);
	if (!grow)
		return;
	INIT_WORK(&grow->work, gmfs_regrow_work);
	mmgrab(mm);
	grow->mm = mm;
	grow->addr = start;
	grow->end = end;
	spin_lock(&gmfs_regrow_lock);
	list_add(&grow->list, &gmfs_regrows);
	spin_unlock(&gmfs_regrow_lock);
	queue_work(system_dfl_long_wq, &grow->work);
}

const struct vm_uffd_ops gmfs_uffd_ops = {
	.can_userfault	= gmfs_can_userfault,
	.fill_frames	= gmfs_fill_frames,
	.unregistered	= gmfs_unregistered,
};
