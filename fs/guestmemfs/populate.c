// SPDX-License-Identifier: GPL-2.0-only
/*
 * MAP_POPULATE, mlock() and MADV_POPULATE_*: the faults that accesses would cause, in advance.
 */
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>

#include "internal.h"

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
