// SPDX-License-Identifier: GPL-2.0-only
/*
 * Windows: parts of vmalloc space through which the kernel reaches memory that is not in the direct
 * map. A window is used again and again, each time for other memory, by one task at a time.
 *
 * Unmapping from vmalloc space flushes the TLBs of all processors, sooner or later. A window needs
 * no flush but that of the processor on which it is mapped: the task does not migrate meanwhile, no
 * other task uses the addresses, and gmfs_window_map() flushes what this processor may have kept of
 * an earlier use. Another processor may keep what it has loaded speculatively, but never uses it
 * without such a flush before.
 */
#include <kunit/static_stub.h>
#include <linux/io.h>
#include <linux/kmsan.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/pgtable.h>
#include <linux/preempt.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/vmalloc.h>

#include <asm/guestmemfs.h>

#include "internal.h"

static DEFINE_SPINLOCK(gmfs_windows_lock);
/* Windows that are not open: for whole blocks, and for parts of a block. */
static LIST_HEAD(gmfs_block_windows);
static LIST_HEAD(gmfs_part_windows);

/*
 * Only whole blocks have entries of 2 MiB: the page table of a window for parts is never freed for
 * one, since the flush of one address would not flush all that it has mapped.
 */
static struct list_head *gmfs_windows(bool blocks)
{
	return blocks ? &gmfs_block_windows : &gmfs_part_windows;
}

static int gmfs_window_no_entry(pte_t *pte, unsigned long addr, void *data)
{
	return 0;
}

static struct gmfs_window *gmfs_window_new(bool blocks)
{
	struct gmfs_window *window = kzalloc_obj(*window);

	if (!window)
		return NULL;
	window->blocks = blocks;
	window->area = get_vm_area(blocks ? GMFS_WINDOW_SIZE : GMFS_BLOCK_SIZE, VM_IOREMAP);
	if (!window->area)
		goto err_free;
	/* So that mapping a part cannot fail. */
	if (!blocks && apply_to_page_range(&init_mm, (unsigned long)window->area->addr,
					   GMFS_BLOCK_SIZE, gmfs_window_no_entry, NULL))
		goto err_area;
	return window;

err_area:
	free_vm_area(window->area);
err_free:
	kfree(window);
	return NULL;
}

static struct gmfs_window *gmfs_window_get(bool blocks)
{
	struct gmfs_window *window;

	scoped_guard(spinlock, &gmfs_windows_lock) {
		window = list_first_entry_or_null(gmfs_windows(blocks), struct gmfs_window, list);
		if (window)
			list_del(&window->list);
	}
	return window ?: gmfs_window_new(blocks);
}

/* The size of the entry that maps an address, or %PAGE_SIZE if none does. */
static unsigned long gmfs_window_step(unsigned long addr)
{
	return pmd_leaf(pmdp_get(pmd_off_k(addr))) ? PMD_SIZE : PAGE_SIZE;
}

static void gmfs_window_flush(const struct gmfs_window *window)
{
	unsigned long addr = (unsigned long)window->area->addr, end = addr + window->size;

	for (; addr < end; addr += gmfs_window_step(addr))
		arch_guestmemfs_flush(addr);
}

static void gmfs_window_clear(const struct gmfs_window *window)
{
	unsigned long addr = (unsigned long)window->area->addr, end = addr + window->size, step;

	for (; addr < end; addr += step) {
		step = gmfs_window_step(addr);
		if (step == PMD_SIZE)
			pmd_clear_huge(pmd_off_k(addr));
		else
			pte_clear(&init_mm, addr, virt_to_kpte(addr));
		arch_guestmemfs_flush(addr);
	}
}

/**
 * gmfs_window_prepare - get a window for memory of a pool
 * @phys: physical address
 * @len: bytes: part of a block, or whole blocks and at most %GMFS_WINDOW_SIZE
 *
 * Context: process context.
 * Return: the window, to be returned by gmfs_window_put(), or NULL if there is no memory for it.
 */
struct gmfs_window *gmfs_window_prepare(u64 phys, size_t len)
{
	struct gmfs_window *window;

	KUNIT_STATIC_STUB_REDIRECT(gmfs_window_prepare, phys, len);
	window = gmfs_window_get(IS_ALIGNED(phys | len, GMFS_BLOCK_SIZE));
	if (!window)
		return NULL;
	window->phys = phys;
	window->size = PAGE_ALIGN(offset_in_page(phys) + len);
	return window;
}

/**
 * gmfs_window_map - map the memory of a window
 * @window: the window
 *
 * The mapping is write-back, and encrypted if the kernel's memory is. The task must not touch a
 * poisoned frame.
 *
 * Context: process context. The blocks are not freed before gmfs_window_unmap(). Until then the
 * task stays on its processor.
 * Return: 0 with the address in gmfs_window.va; -ENOMEM, for whole blocks or with KMSAN only.
 */
int gmfs_window_map(struct gmfs_window *window)
{
	u64 phys = window->phys & PAGE_MASK;
	unsigned long va, first;
	int err;

	KUNIT_STATIC_STUB_REDIRECT(gmfs_window_map, window);
	va = (unsigned long)window->area->addr;
	/* A part may begin in the first page and end in the last one: no large entry even then. */
	first = window->blocks ? window->size : PAGE_SIZE;
	migrate_disable();
	err = vmap_page_range(va, va + first, phys, PAGE_KERNEL);
	if (!err && first < window->size)
		err = vmap_page_range(va + first, va + window->size, phys + first, PAGE_KERNEL);
	if (!err) {
		window->va = window->area->addr + offset_in_page(window->phys);
		gmfs_window_flush(window);
		return 0;
	}
	/* There may be entries for a part of it. */
	vunmap_range(va, va + window->size);
	migrate_enable();
	return -ENOMEM;
}

/**
 * gmfs_window_unmap - undo gmfs_window_map()
 * @window: the window
 */
void gmfs_window_unmap(struct gmfs_window *window)
{
	unsigned long va;

	KUNIT_STATIC_STUB_REDIRECT(gmfs_window_unmap, window);
	va = (unsigned long)window->area->addr;
	/* vmap_page_range() has allocated shadow memory of KMSAN. */
	kmsan_iounmap_page_range(va, va + window->size);
	gmfs_window_clear(window);
	migrate_enable();
}

/**
 * gmfs_window_put - undo gmfs_window_prepare()
 * @window: the window, which is not mapped
 *
 * As many windows are kept as have been in use at the same time. With KMSAN none is, since KMSAN
 * does not flush what it has unmapped: an address is used again only after a flush of all TLBs.
 */
void gmfs_window_put(struct gmfs_window *window)
{
	KUNIT_STATIC_STUB_REDIRECT(gmfs_window_put, window);
	if (IS_ENABLED(CONFIG_KMSAN)) {
		free_vm_area(window->area);
		kfree(window);
		return;
	}
	guard(spinlock)(&gmfs_windows_lock);
	list_add(&window->list, gmfs_windows(window->blocks));
}

/**
 * gmfs_window_open - prepare and map a window
 * @phys: as for gmfs_window_prepare()
 * @len: as for gmfs_window_prepare()
 *
 * Context: as gmfs_window_map().
 * Return: the window, or NULL if there is no memory for it.
 */
struct gmfs_window *gmfs_window_open(u64 phys, size_t len)
{
	struct gmfs_window *window;

	window = gmfs_window_prepare(phys, len);
	if (!window || !gmfs_window_map(window))
		return window;
	gmfs_window_put(window);
	return NULL;
}

/**
 * gmfs_window_close - undo gmfs_window_open()
 * @window: the window
 */
void gmfs_window_close(struct gmfs_window *window)
{
	gmfs_window_unmap(window);
	gmfs_window_put(window);
}
