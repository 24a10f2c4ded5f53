// SPDX-License-Identifier: GPL-2.0-only
/*
 * Zeroing memory that is not in the direct map: it is mapped into vmalloc space meanwhile, a
 * whole block by one entry of 2 MiB. Unmapping clears the page table entries at once; TLB
 * entries may stay until vmalloc space, or the TLB of the CPU, is flushed next.
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
 * gmfs_vmap - map a part of a block into vmalloc space
 * @phys: physical address
 * @len: bytes, not beyond the end of the block
 *
 * The mapping is write-back, and encrypted if the kernel's memory is.
 *
 * Context: process context. The block is in a file or pinned, and stays so until gmfs_vunmap().
 * Return: the address of the mapping, or NULL if there is no memory for it.
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
 * @va: address that gmfs_vmap() has returned
 * @len: bytes, as passed to gmfs_vmap()
 */
void gmfs_vunmap(void *va, size_t len)
{
	unsigned long start = (unsigned long)va & PAGE_MASK;

	KUNIT_STATIC_STUB_REDIRECT(gmfs_vunmap, va, len);
	/*
	 * ioremap_page_range() has allocated shadow memory of KMSAN, which vunmap() does not
	 * free. iounmap() does, but it also releases a reservation of the memory type that only
	 * ioremap() makes.
	 */
	kmsan_iounmap_page_range(start, PAGE_ALIGN((unsigned long)va + len));
	vunmap((void *)start);
}

/**
 * gmfs_zero_mapped - zero bytes of a block that gmfs_vmap() has mapped
 * @pool: the pool
 * @va: address of the first byte
 * @pos: number of its frame in the pool, times the size of a frame, plus the offset in the frame
 * @len: number of bytes, not beyond the end of the block
 *
 * Does not touch poisoned frames: writing to one may be fatal.
 */
void gmfs_zero_mapped(const struct gmfs_pool *pool, void *va, u64 pos, size_t len)
{
	u64 end = pos + len, part;

	while (pos < end) {
		part = gmfs_poisoned_next(&pool->poisoned, pos >> PAGE_SHIFT,
					  DIV_ROUND_UP(end, PAGE_SIZE)) << PAGE_SHIFT;
		if (part > pos) {
			part = min(part, end) - pos;
			memset(va, 0, part);
		} else {
			part = min(round_up(pos + 1, PAGE_SIZE), end) - pos;
		}
		va += part;
		pos += part;
	}
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
	gmfs_zero_mapped(pool, va, (u64)block << GUESTMEMFS_BLOCK_SHIFT, GMFS_BLOCK_SIZE);
	gmfs_vunmap(va, GMFS_BLOCK_SIZE);
	/* Write the zeroes before the bit: a task that finds the bit clear maps the block. */
	smp_mb__before_atomic();
	clear_bit(block, unzeroed);
out:
	mutex_unlock(lock);
	return 0;
}

/**
 * gmfs_zero_free - zero blocks that will leave the pool
 * @pool: the pool
 * @block: first block; the caller has marked all of them as allocated, and no file has them
 * @count: number of blocks
 *
 * Context: process context, after gmfs_change_begin().
 * Return: 0; -EINTR at a signal, -EBUSY if a freeze waits for the end of the change, or -ENOMEM.
 */
int gmfs_zero_free(struct gmfs_pool *pool, u32 block, u32 count)
{
	u32 end = block + count;
	int err;

	for (;;) {
		block = find_next_bit(pool->tables.unzeroed, end, block);
		if (block >= end)
			break;
		if (signal_pending(current))
			return -EINTR;
		if (rwsem_is_contended(&pool->changes))
			return -EBUSY;
		err = gmfs_zero_block(pool, block);
		if (err)
			return err;
		cond_resched();
	}
	/* The last mappings may still be in the TLBs, and the blocks get another owner. */
	vm_unmap_aliases();
	return 0;
}

/**
 * gmfs_zero_blocks - zero the unzeroed blocks of a run
 * @inode: the file that has the blocks
 * @block: first block
 * @count: number of blocks
 *
 * Returns early, between two blocks, at a signal or if another task waits for invalidate_lock,
 * so that such a task waits for one block at most.
 *
 * Context: process context. The caller holds the file's invalidate_lock, so that the file
 * cannot lose the blocks.
 * Return: 0 if all blocks are zeroed; -EINTR at a fatal signal, -EROFS if a feature forbids
 * writing to the pool, or -ENOMEM. After at least one block, so never with a @count of 1:
 * -EAGAIN at a signal that is not fatal, or -EINPROGRESS if another task waits for
 * invalidate_lock. The blocks that are left stay marked as unzeroed.
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
	/* Pairs with gmfs_zero_block(): a clear bit is read before the bytes of its block. */
	smp_rmb();
	return 0;
}
