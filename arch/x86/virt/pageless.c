// SPDX-License-Identifier: GPL-2.0-only
/*
 * SNP and TDX make a frame private to a guest after its cache lines were flushed, or its first
 * contents were written, and take it back in a similar way. For frames that have a struct page this
 * goes through the direct map. Memory of a provider (<linux/gmem_provider.h>) is not in the direct
 * map: each processor has an address through which it reaches one such frame for a moment.
 *
 * Private entries of TDX are made and removed under KVM's mmu_lock, so that this must neither sleep
 * nor fail. As with the windows by which guestmemfs zeroes blocks, one processor uses an address at
 * a time, and flushes it from its own TLB only: another one never uses it.
 */
#include <linux/cacheflush.h>
#include <linux/highmem.h>
#include <linux/init.h>
#include <linux/kvm_types.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/preempt.h>
#include <linux/smp.h>
#include <linux/vmalloc.h>

#include <asm/e820/api.h>
#include <asm/pageless.h>
#include <asm/tlbflush.h>

/* A page for each processor. Page tables are there, entries come and go. */
static unsigned long pageless_base __ro_after_init;

/**
 * pageless_is_ram - is a frame RAM without a struct page
 * @pfn: the frame
 *
 * Return: true if it has no struct page, and the firmware says that it is RAM.
 */
bool pageless_is_ram(u64 pfn)
{
	return !pfn_valid(pfn) &&
	       e820__mapped_raw_any(PFN_PHYS(pfn), PFN_PHYS(pfn + 1), E820_TYPE_RAM);
}
EXPORT_SYMBOL_FOR_KVM(pageless_is_ram);

/**
 * pageless_map - map a frame
 * @pfn: the frame, which stays the caller's until pageless_unmap()
 *
 * The mapping is write-back, and encrypted if the kernel's memory is, as the direct map.
 *
 * Context: process context; one frame at a time. If the frame has no struct page, the task must not
 * sleep before pageless_unmap().
 * Return: the address.
 */
void *pageless_map(u64 pfn)
{
	unsigned long va;

	if (pfn_valid(pfn))
		return kmap_local_pfn(pfn);
	preempt_disable();
	va = pageless_base + smp_processor_id() * PAGE_SIZE;
	WARN_ON_ONCE(!pte_none(ptep_get(virt_to_kpte(va))));
	set_pte_at(&init_mm, va, virt_to_kpte(va), pfn_pte(pfn, PAGE_KERNEL));
	/* Speculation may have cached a translation of the address to the previous frame. */
	flush_tlb_one_kernel(va);
	return (void *)va;
}
EXPORT_SYMBOL_FOR_KVM(pageless_map);

/**
 * pageless_unmap - undo pageless_map()
 * @pfn: the frame
 * @va: its address
 */
void pageless_unmap(u64 pfn, void *va)
{
	if (pfn_valid(pfn)) {
		kunmap_local(va);
		return;
	}
	pte_clear(&init_mm, (unsigned long)va, virt_to_kpte((unsigned long)va));
	flush_tlb_one_kernel((unsigned long)va);
	preempt_enable();
}
EXPORT_SYMBOL_FOR_KVM(pageless_unmap);

/**
 * pageless_clflush - write back and invalidate the cache lines of frames
 * @pfn: first frame
 * @nr: number of frames
 *
 * Context: as pageless_map(). With mmu_lock held, callers pass one frame.
 */
void pageless_clflush(u64 pfn, u64 nr)
{
	u64 end = pfn + nr;
	void *va;

	for (; pfn < end; pfn++) {
		va = pageless_map(pfn);
		clflush_cache_range(va, PAGE_SIZE);
		pageless_unmap(pfn, va);
	}
}
EXPORT_SYMBOL_FOR_KVM(pageless_clflush);

static int __init pageless_no_entry(pte_t *pte, unsigned long addr, void *data)
{
	return 0;
}

/* Before TDX is initialised: tdx_enable() is a subsys_initcall. */
static int __init pageless_init(void)
{
	unsigned long size = nr_cpu_ids * PAGE_SIZE;
	struct vm_struct *area = get_vm_area(size, VM_IOREMAP);

	if (!area || apply_to_page_range(&init_mm, (unsigned long)area->addr, size,
					 pageless_no_entry, NULL))
		panic("no address space for frames without a struct page\n");
	pageless_base = (unsigned long)area->addr;
	return 0;
}
arch_initcall(pageless_init);
