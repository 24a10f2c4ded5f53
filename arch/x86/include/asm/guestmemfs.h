/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _ASM_X86_GUESTMEMFS_H
#define _ASM_X86_GUESTMEMFS_H

#include <linux/cpufeature.h>
#include <linux/init.h>
#include <linux/mm.h>
#include <linux/pgtable.h>
#include <linux/preempt.h>
#include <linux/set_memory.h>
#include <linux/sizes.h>

#include <asm/apicdef.h>
#include <asm/e820/api.h>
#include <asm/numa.h>
#include <asm/page.h>
#include <asm/tlbflush.h>

/**
 * arch_guestmemfs_maps_pud - can page tables have 1 GiB entries
 *
 * Return: true if the kernel and the CPUs support them. On other CPUs the page size bit of a PUD is
 * reserved.
 */
static inline bool arch_guestmemfs_maps_pud(void)
{
	return IS_ENABLED(CONFIG_ARCH_SUPPORTS_PUD_PFNMAP) && boot_cpu_has(X86_FEATURE_GBPAGES);
}

/**
 * arch_guestmemfs_flush - flush an address of the kernel from this processor's TLB
 * @addr: an address that a page table entry of any size maps, or has mapped
 *
 * Context: any; the caller does not migrate, as otherwise the flush would mean nothing.
 */
static inline void arch_guestmemfs_flush(unsigned long addr)
{
	guard(preempt)();
	flush_tlb_one_kernel(addr);
}

/**
 * arch_guestmemfs_cpus - how many processors a node may have
 * @node: NUMA node
 *
 * Called after the firmware's table of nodes (SRAT) has been parsed, and before the processors
 * of its MADT are.
 *
 * Return: the number, or -1 if the firmware has no table of nodes.
 */
static inline int __init arch_guestmemfs_cpus(int node)
{
	int nr = 0, known = 0;

#ifdef CONFIG_NUMA
	for (int i = 0; i < MAX_LOCAL_APIC; i++) {
		known += __apicid_to_node[i] != NUMA_NO_NODE;
		nr += __apicid_to_node[i] == node;
	}
#endif
	return known ? nr : -1;
}

/**
 * arch_guestmemfs_reserve_e820 - keep a range from becoming System RAM
 * @base: physical address
 * @size: bytes
 *
 * Called before the resource tree is made. Only e820_table, this kernel's own map, is changed.
 * The map for the next kernel still has the range as RAM: there, it becomes the firmware's map,
 * which KVM looks at for the memory type of frames without struct page. A next kernel without
 * guestmemfs may use the range as memory.
 *
 * Return: false if the map has no room for the change.
 */
static inline bool __init arch_guestmemfs_reserve_e820(phys_addr_t base, u64 size)
{
	e820__range_update(base, size, E820_TYPE_RAM, E820_TYPE_RESERVED);
	e820__update_table(e820_table);
	return !e820__mapped_any(base, base + size, E820_TYPE_RAM);
}

/**
 * arch_guestmemfs_mapped - is a range in the direct map
 * @base: physical address
 * @size: bytes
 *
 * Return: true if all of it was mapped when the kernel started.
 */
static inline bool __init arch_guestmemfs_mapped(phys_addr_t base, u64 size)
{
	return pfn_range_is_mapped(PHYS_PFN(base), PHYS_PFN(base + size));
}

/**
 * arch_guestmemfs_unmap - take a range out of the direct map
 * @base: physical address
 * @size: bytes
 *
 * Context: process context, once the page allocator works.
 * Return: 0, or -ENOMEM if a page table could not be split.
 */
static inline int arch_guestmemfs_unmap(phys_addr_t base, u64 size)
{
	/* With mem=, a range that was handed over may be beyond the direct map. */
	u64 end = min_t(u64, base + size, (u64)max_pfn_mapped << PAGE_SHIFT);
	int err = 0;

	/* set_memory_np() takes the number of pages as an int. */
	while (base < end && !err) {
		u64 len = min_t(u64, end - base, SZ_1T);

		err = set_memory_np((unsigned long)__va(base), len >> PAGE_SHIFT);
		base += len;
	}
	return err;
}

/**
 * arch_guestmemfs_track - fix the memory type of a range as write-back
 * @base: physical address
 * @size: bytes
 *
 * Memory that is not System RAM is mapped uncached if its type is not tracked, or if the MTRRs
 * contradict the type that is.
 *
 * Return: 0, or -EINVAL if the range cannot be mapped write-back.
 */
static inline int arch_guestmemfs_track(phys_addr_t base, u64 size)
{
	pgprot_t prot = PAGE_SHARED;
	int err;

	err = pfnmap_track(PHYS_PFN(base), size, &prot);
	if (err)
		return err;
	if (pgprot_val(prot) == pgprot_val(PAGE_SHARED))
		return 0;
	pfnmap_untrack(PHYS_PFN(base), size);
	return -EINVAL;
}

/**
 * arch_guestmemfs_most_ranges - how many ranges the next kernel has room for
 *
 * arch_guestmemfs_reserve_e820() takes up to two entries of the memory map for each range.
 *
 * Return: the number of ranges of all pools.
 */
static inline u32 arch_guestmemfs_most_ranges(void)
{
	/* 64 entries are left to the map of the firmware itself. */
	return (E820_MAX_ENTRIES - 64) / 2;
}

/**
 * arch_guestmemfs_untrack - undo arch_guestmemfs_track()
 * @base: physical address
 * @size: bytes
 */
static inline void arch_guestmemfs_untrack(phys_addr_t base, u64 size)
{
	pfnmap_untrack(PHYS_PFN(base), size);
}

/**
 * arch_guestmemfs_map - undo arch_guestmemfs_unmap(), where it has cleared entries
 * @base: physical address
 * @size: bytes
 *
 * Called before memory is added to the kernel. Adding memory makes entries where there are none,
 * and takes all others for valid ones.
 *
 * Context: process context.
 * Return: 0, or -ENOMEM if a page table could not be split.
 */
static inline int arch_guestmemfs_map(phys_addr_t base, u64 size)
{
	u64 end = base + size, next;
	unsigned int level;
	pte_t *entry;
	int err = 0;

	for (; base < end && !err; base = next) {
		entry = lookup_address((unsigned long)__va(base), &level);
		next = min(end, round_down(base, page_level_size(level)) + page_level_size(level));
		if (entry && !pte_none(*entry) && !(pte_flags(*entry) & _PAGE_PRESENT))
			err = set_memory_p((unsigned long)__va(base), (next - base) >> PAGE_SHIFT);
		cond_resched();
	}
	return err;
}

/**
 * arch_guestmemfs_is_ram - does the firmware know a range as memory
 * @base: physical address, a multiple of a section
 * @size: bytes
 *
 * KVM maps frames without struct page write-back only if the firmware's map, as the kernel has got
 * it at boot, has them as memory. Memory that was hot-added later is not in it.
 *
 * Return: true if each section has memory.
 */
static inline bool arch_guestmemfs_is_ram(phys_addr_t base, u64 size)
{
	u64 end = base + size;

	for (; base < end; base += 1UL << SECTION_SIZE_BITS)
		if (!e820__mapped_raw_any(base, base + PAGE_SIZE, E820_TYPE_RAM))
			return false;
	return true;
}

#endif /* _ASM_X86_GUESTMEMFS_H */
