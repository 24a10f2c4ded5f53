// SPDX-License-Identifier: GPL-2.0-only
/*
 * Zeroing memory that the kernel has no mapping of: it gets one for as long
 * as it takes. The page table entries go at once; what a TLB remembers goes
 * with the next flush of vmalloc space, or of the CPU. A block is mapped by one
 * entry of 2 MiB.
 */
#include <kunit/static_stub.h>
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/kmsan.h>
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/rwsem.h>
#include <linux/sched/signal.h>
#include <linux/vmalloc.h>

#include "internal.h"

/**
 * gmfs_vmap - map a part of a block for a moment
 * @phys: physical address
 * @len: bytes, not beyond the end of the block
 *
 * Context: process context. The block is in a file, and stays there until
 * gmfs_vunmap().
 * Return: where it is mapped, write-back and encrypted where memory is, or
 * NULL without memory for page tables.
 */
void *gmfs_vmap(u64 phys, size_t len)
{
	size_t offset = offset_in_page(phys), size = PAGE_ALIGN(offset + len);
	struct vm_struct *area;
	unsigned long va;

	KUNIT_STATIC_STUB_REDIRECT(gmfs_vmap, phys, len);
	area = get_vm_area(size, VM_IOREMAP);
	if (!area)
		return NULL;
	va = (unsigned long)area->addr;
	if (ioremap_page_range(va, va + size, phys - offset, PAGE_KERNEL)) {
		free_vm_area(area);
		return NULL;
	}
	return area->addr + offset;
}

/**
 * gmfs_vunmap - undo gmfs_vmap()
 * @va: what it returned
 * @len: bytes, the same as there
 */
void gmfs_vunmap(void *va, size_t len)
{
	unsigned long start = (unsigned long)va & PAGE_MASK;

	KUNIT_STATIC_STUB_REDIRECT(gmfs_vunmap, va, len);
	/*
	 * KMSAN has allocated shadow memory in ioremap_page_range(), which vunmap() knows
	 * nothing of. iounmap() does, but it also releases a reservation of the memory's type
	 * that only ioremap() makes.
	 */
	kmsan_iounmap_page_range(start, PAGE_ALIGN((unsigned long)va + len));
	vunmap((void *)start);
}

static int gmfs_zero_block(struct gmfs_pool *pool, u32 block)
{
	struct mutex *lock = &pool->zero_locks[block % GMFS_ZERO_LOCKS];
	unsigned long *unzeroed = pool->tables.unzeroed;
	void *va;

	/* Another task may be zeroing this block, or one with the same lock. */
	if (mutex_lock_killable(lock))
		return -EINTR;
	if (!test_bit(block, unzeroed))
		goto out;
	va = gmfs_vmap(gmfs_block_phys(&pool->tables, block), GMFS_BLOCK_SIZE);
	if (!va) {
		mutex_unlock(lock);
		return -ENOMEM;
	}
	memset(va, 0, GMFS_BLOCK_SIZE);
	gmfs_vunmap(va, GMFS_BLOCK_SIZE);
	/* The zeroes before the bit: whoever sees it clear maps the block. */
	smp_mb__before_atomic();
	clear_bit(block, unzeroed);
out:
	mutex_unlock(lock);
	return 0;
}

/**
 * gmfs_zero_blocks - zero those of a run of blocks that hold old bytes
 * @inode: a file, whose blocks they are
 * @block: first block
 * @count: number of blocks
 *
 * Between two blocks it returns early if there is something more urgent, so that the work
 * under invalidate_lock is never more than a block while somebody waits for it.
 *
 * Context: process context. The file cannot lose the blocks: the caller holds its
 * invalidate_lock.
 * Return: 0 if all are zeroed; -EINTR when a fatal signal came, -EROFS if a feature forbids to
 * write to the pool, or -ENOMEM. After at least one block, so never with a @count of 1:
 * -EAGAIN when an ordinary signal is pending, or -EINPROGRESS when somebody waits for
 * invalidate_lock. Blocks that were not reached are zeroed by whoever needs them next.
 */
int gmfs_zero_blocks(struct inode *inode, u32 block, u32 count)
{
	struct gmfs_pool *pool = GUESTMEMFS_SB(inode->i_sb);
	u32 end = block + count;
	bool begun = false;
	int err;

	lockdep_assert_held(&inode->i_mapping->invalidate_lock);
	for (;; begun = true) {
		block = find_next_bit(pool->tables.unzeroed, end, block);
		if (block >= end)
			break;
		if (pool->tables.read_only)
			return -EROFS;
		if (fatal_signal_pending(current))
			return -EINTR;
		if (begun && signal_pending(current))
			return -EAGAIN;
		if (begun && rwsem_is_contended(&inode->i_mapping->invalidate_lock))
			return -EINPROGRESS;
		err = gmfs_zero_block(pool, block);
		if (err)
			return err;
		cond_resched();
	}
	/* Pairs with gmfs_zero_block(): no old byte is seen behind a clear bit. */
	smp_rmb();
	return 0;
}
