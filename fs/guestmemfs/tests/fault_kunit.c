// SPDX-License-Identifier: GPL-2.0-only
/*
 * A page fault beside another one, which makes a page table between two steps of the first.
 */
#include <linux/blk_types.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/rwsem.h>

#include <kunit/static_stub.h>

#include "fixture_file.h"

/**
 * struct beside - what happens while a fault allocates a block
 * @t: the file; its first block is a hole with private and shared pages
 * @addr: address of its first page
 */
struct beside {
	struct gmfs_test_file *t;
	unsigned long addr;
};

/* In the place of gmfs_file_allocate(). */
static int allocate_beside(struct inode *inode, u64 logical, u64 count, enum gmfs_how how)
{
	struct kunit *test = kunit_get_current_test();
	struct beside *beside = test->priv;
	struct gmfs_test_file *t = beside->t;
	struct gmfs_edit ed = {
		.t		= &t->pool.tables,
		.map		= GUESTMEMFS_I(inode)->map,
		.ino		= inode->i_ino,
		.op		= GMFS_CONVERT,
		.first		= 1,
		.last		= 2,
	};
	struct vm_area_struct *vma = vma_lookup(current->mm, beside->addr);
	int err;

	kunit_deactivate_static_stub(test, gmfs_file_allocate);
	err = gmfs_file_allocate(inode, logical, count, how);
	if (err)
		return err;
	/* A conversion, after which one entry could map the block. */
	KUNIT_EXPECT_EQ(test, gmfs_edit_all(&ed), 0);
	/* A fault in the block that came before the conversion, and left its table. */
	KUNIT_EXPECT_TRUE(test, vmf_insert_pfn(vma, beside->addr + 2 * PAGE_SIZE, 0x12345) ==
			  VM_FAULT_NOPAGE);
	return 0;
}

/* A fault that may not release mmap_lock does with a page where a table is in the way. */
static void a_table_stays(struct kunit *test)
{
	struct gmfs_test_file *t = gmfs_test_begin(test);
	struct beside beside = { .t = t };
	struct vm_area_struct *vma;
	pgoff_t pinned;
	vm_fault_t ret;

	bitmap_zero(t->pool.tables.unzeroed, t->pool.tables.nr_blocks);
	KUNIT_ASSERT_EQ(test, gmfs_convert(t->inode, 1, 2, true, &pinned), 0);
	beside.addr = kunit_vm_mmap(test, t->file, 0, GMFS_BLOCK_SIZE, PROT_READ | PROT_WRITE,
				    MAP_SHARED | MAP_NORESERVE, 0);
	KUNIT_ASSERT_FALSE(test, IS_ERR_VALUE(beside.addr));
	test->priv = &beside;
	kunit_activate_static_stub(test, gmfs_file_allocate, allocate_beside);
	mmap_read_lock(current->mm);
	vma = vma_lookup(current->mm, beside.addr);
	ret = vma ? handle_mm_fault(vma, beside.addr, FAULT_FLAG_WRITE, NULL) : VM_FAULT_SIGSEGV;
	KUNIT_EXPECT_TRUE(test, rwsem_is_locked(&current->mm->mmap_lock));
	KUNIT_EXPECT_TRUE(test, ret == VM_FAULT_NOPAGE);
	if (!(ret & VM_FAULT_RETRY))
		mmap_read_unlock(current->mm);
	KUNIT_EXPECT_EQ(test, t->inode->i_blocks, GMFS_BLOCK_SIZE >> SECTOR_SHIFT);
}

static struct kunit_case gmfs_fault_cases[] = {
	KUNIT_CASE(a_table_stays),
	{}
};

static struct kunit_suite gmfs_fault_suite = {
	.name		= "guestmemfs_fault",
	.test_cases	= gmfs_fault_cases,
};

kunit_test_suite(gmfs_fault_suite);
