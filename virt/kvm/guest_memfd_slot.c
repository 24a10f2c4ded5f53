// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memslots with KVM_MEM_GUEST_MEMFD, whatever the kind of their file: dispatches to the file, and
 * unmaps what changes.
 */
#include <linux/kvm_host.h>
#include <linux/rcupdate.h>

#include "guest_memfd.h"
#include "kvm_mm.h"

/*
 * Can an entry of this order map @gfn? Both the alignment and the size of the slot must allow
 * it. *@first is the first page of that entry.
 */
static bool kvm_gmem_entry_around(const struct kvm_memory_slot *slot, gfn_t gfn, int order,
				  gfn_t *first)
{
	gfn_t size = 1ULL << order;

	*first = gfn & ~(size - 1);
	return !((slot->base_gfn ^ slot->gmem.pgoff) & (size - 1)) &&
	       *first >= slot->base_gfn && *first + size <= slot->base_gfn + slot->npages;
}

/* The pages @first to @last - 1 that the largest possible entry for @gfn maps. */
static void kvm_gmem_largest_entry(const struct kvm_memory_slot *slot, gfn_t gfn, gfn_t *first,
				   gfn_t *last)
{
	static const int orders[] = { PUD_ORDER, PMD_ORDER };
	int i;

	for (i = 0; i < ARRAY_SIZE(orders); i++) {
		if (kvm_gmem_entry_around(slot, gfn, orders[i], first)) {
			*last = *first + (1ULL << orders[i]);
			return;
		}
	}
	*first = gfn;
	*last = gfn + 1;
}

/**
 * kvm_gmem_widen - widen an invalidation to all pages whose faults must be repeated
 * @slot: a slot with huge entries
 * @start: in: first page that changes; out: first page that an entry can map together with a
 *	page that changes
 * @end: in: page after the last one that changes; out: page after the last one that an entry
 *	can map together with a page that changes
 *
 * A fault on a page outside of the part may be about to map the part, too, with a huge entry.
 * The size of that entry is limited by the alignment of the slot. The frames do not matter:
 * they may have changed since the fault looked them up.
 */
void kvm_gmem_widen(const struct kvm_memory_slot *slot, gfn_t *start, gfn_t *end)
{
	gfn_t first, last;

	kvm_gmem_largest_entry(slot, *end - 1, &first, &last);
	*end = last;
	kvm_gmem_largest_entry(slot, *start, &first, &last);
	*start = first;
}

/**
 * kvm_gmem_clamp_order - limit the order of an entry to what a slot allows
 * @slot: the slot
 * @gfn: a page of the slot
 * @pfn: its frame
 * @order: the order that the file allows
 *
 * Return: the largest order that the slot and the alignment of the frame allow, at most @order.
 */
int kvm_gmem_clamp_order(const struct kvm_memory_slot *slot, gfn_t gfn, kvm_pfn_t pfn, int order)
{
	static const int orders[] = { PUD_ORDER, PMD_ORDER };
	gfn_t first;
	int i;

	for (i = 0; i < ARRAY_SIZE(orders); i++)
		if (order >= orders[i] && !((gfn ^ pfn) & ((1ULL << orders[i]) - 1)) &&
		    kvm_gmem_entry_around(slot, gfn, orders[i], &first))
			return orders[i];
	return 0;
}

/**
 * kvm_arch_gmem_split_leafs - split the leaf entries that cross an end of a range
 * @kvm: the virtual machine
 * @range: pages of a slot that are about to be unmapped
 *
 * Unmapping the range removes leaf entries as a whole. An architecture that can splits those
 * that map pages on both sides of an end, so that the pages outside of the range stay mapped. It
 * may fail for lack of memory: a guest whose private pages do not survive that must not have memory
 * of a provider.
 *
 * Context: mmu_lock is held for writing, and may be released meanwhile. The range is being
 * invalidated.
 */
void __weak kvm_arch_gmem_split_leafs(struct kvm *kvm, const struct kvm_gfn_range *range)
{
}

/**
 * kvm_gmem_invalidate_slot - unmap the pages of a slot that are in a part of its file
 * @kvm: the virtual machine
 * @slot: the slot
 * @start: first page of the file
 * @end: page after the last one; the part has a page of the slot
 * @attr_filter: whether the part has private pages, or shared ones, or both
 *
 * Context: mmu_lock is held for writing, after kvm_mmu_invalidate_start(). It may be released
 * meanwhile if the slot has huge entries.
 * Return: true if the caller must flush TLBs.
 */
bool kvm_gmem_invalidate_slot(struct kvm *kvm, struct kvm_memory_slot *slot, pgoff_t start,
			      pgoff_t end, enum kvm_gfn_range_filter attr_filter)
{
	pgoff_t pgoff = slot->gmem.pgoff;
	struct kvm_gfn_range range = {
		.start		= slot->base_gfn + max(pgoff, start) - pgoff,
		.end		= slot->base_gfn + min(pgoff + slot->npages, end) - pgoff,
		.slot		= slot,
		.may_block	= true,
		.attr_filter	= attr_filter,
	};
	gfn_t first = range.start, last = range.end;
	bool flush;

	if (slot->gmem.ops->max_order) {
		kvm_gmem_widen(slot, &first, &last);
		kvm_mmu_invalidate_range_add(kvm, first, last);
		kvm_arch_gmem_split_leafs(kvm, &range);
	}
	flush = kvm_mmu_unmap_gfn_range(kvm, &range);
#ifdef CONFIG_HAVE_KVM_ARCH_GMEM_INVALIDATE
	kvm_arch_gmem_invalidate_range(kvm, &range);
#endif
	return flush;
}

int kvm_gmem_commit_memory_region(struct kvm *kvm, struct kvm_memory_slot *slot)
{
	return slot->gmem.ops->bind(kvm, slot);
}

void kvm_gmem_unbind(struct kvm_memory_slot *slot)
{
	slot->gmem.ops->unbind(slot);
}

/**
 * kvm_gmem_get_pfn - look up the frame of a guest page
 * @kvm: the virtual machine
 * @slot: a slot with KVM_MEM_GUEST_MEMFD
 * @gfn: a page of the slot
 * @pfn: filled in with the frame
 * @page: filled in with the page, with a reference, or with NULL if the frame has no struct page;
 *	such a frame is valid until the next invalidation
 * @max_order: filled in with the largest order of an entry that may map it, unless NULL
 *
 * Context: srcu or slots_lock is held.
 * Return: 0 or an error.
 */
int kvm_gmem_get_pfn(struct kvm *kvm, struct kvm_memory_slot *slot, gfn_t gfn, kvm_pfn_t *pfn,
		     struct page **page, int *max_order)
{
	int order;

	/* A slot that is being deleted is a copy without a file. */
	if (!slot->gmem.ops)
		return -EFAULT;
	return slot->gmem.ops->get_pfn(kvm, slot, gfn, pfn, page, max_order ?: &order);
}
EXPORT_SYMBOL_FOR_KVM_INTERNAL(kvm_gmem_get_pfn);

#ifdef CONFIG_KVM_GENERIC_MEMORY_ATTRIBUTES
/**
 * kvm_gmem_is_private - is a guest page private
 * @kvm: the virtual machine, which has a slot whose file knows
 * @gfn: the page
 *
 * Context: any, mmu_lock may be held; srcu or slots_lock is held.
 * Return: what the file of the slot says, and if it does not know, what the VM's attributes say.
 */
bool kvm_gmem_is_private(struct kvm *kvm, gfn_t gfn)
{
	const struct kvm_memory_slot *slot = gfn_to_memslot(kvm, gfn);

	/* A slot that is being deleted is a copy without a file. Faults on it are repeated. */
	if (!kvm_slot_has_gmem(slot) || !slot->gmem.ops || !slot->gmem.ops->is_private)
		return kvm_get_memory_attributes(kvm, gfn) & KVM_MEMORY_ATTRIBUTE_PRIVATE;
	/* If this takes a lock that sleeps, lockdep reports it, whatever the caller holds. */
	guard(rcu)();
	return slot->gmem.ops->is_private(slot, gfn);
}
EXPORT_SYMBOL_FOR_KVM_INTERNAL(kvm_gmem_is_private);
#endif
