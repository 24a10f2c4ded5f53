// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memslots with memory of a provider, see <linux/gmem_provider.h>.
 *
 * In contrast to guest_memfd's own files, the slot has a reference on the file, and the file
 * has none on the VM: the slot stays usable after the file descriptor is closed. All such
 * slots are KVM_MEMSLOT_GMEM_ONLY, i.e. no fault of the guest goes through the host's page
 * tables.
 */
#include <linux/atomic.h>
#include <linux/file.h>
#include <linux/gmem_provider.h>
#include <linux/kvm_host.h>
#include <linux/slab.h>

#include "guest_memfd.h"
#include "kvm_mm.h"

/**
 * struct kvm_gmem_binding - a slot, as its provider knows it
 * @binding: in the provider's list
 * @kvm: the virtual machine
 * @slot: the slot. A change of its flags makes another one of it: written under mmu_lock, and read
 *	under mmu_lock and srcu
 */
struct kvm_gmem_binding {
	struct gmem_binding binding;
	struct kvm *kvm;
	struct kvm_memory_slot *slot;
};

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
 * kvm_gmem_provider_widen - widen an invalidation to all pages whose faults must be repeated
 * @slot: a slot of a provider
 * @start: in: first page that changes; out: first page that an entry can map together with a
 *	page that changes
 * @end: in: page after the last one that changes; out: page after the last one that an entry
 *	can map together with a page that changes
 *
 * A fault on a page outside of the part may be about to map the part, too, with a huge entry.
 * The size of that entry is limited by the alignment of the slot. The frames do not matter:
 * they may have changed since the fault looked them up.
 */
void kvm_gmem_provider_widen(const struct kvm_memory_slot *slot, gfn_t *start, gfn_t *end)
{
	gfn_t first, last;

	kvm_gmem_largest_entry(slot, *end - 1, &first, &last);
	*end = last;
	kvm_gmem_largest_entry(slot, *start, &first, &last);
	*start = first;
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

static void kvm_gmem_binding_begin(struct gmem_binding *b, pgoff_t start, pgoff_t end)
{
	struct kvm_gmem_binding *binding = container_of(b, struct kvm_gmem_binding, binding);
	struct kvm *kvm = binding->kvm;
	struct kvm_gfn_range range = {
		.may_block = true,
		.attr_filter = KVM_FILTER_PRIVATE | KVM_FILTER_SHARED,
	};
	gfn_t first, last;

	/* Splitting may release mmu_lock: srcu keeps the slot. */
	guard(srcu)(&kvm->srcu);
	KVM_MMU_LOCK(kvm);
	range.slot = binding->slot;
	range.start = range.slot->base_gfn + max(b->start, start) - b->start;
	range.end = range.slot->base_gfn + min(b->end, end) - b->start;
	first = range.start;
	last = range.end;
	kvm_gmem_provider_widen(range.slot, &first, &last);
	kvm_mmu_invalidate_start(kvm);
	kvm_mmu_invalidate_range_add(kvm, first, last);
	kvm_arch_gmem_split_leafs(kvm, &range);
	if (kvm_mmu_unmap_gfn_range(kvm, &range))
		kvm_flush_remote_tlbs(kvm);
	KVM_MMU_UNLOCK(kvm);
}

static void kvm_gmem_binding_end(struct gmem_binding *b, pgoff_t start, pgoff_t end)
{
	struct kvm *kvm = container_of(b, struct kvm_gmem_binding, binding)->kvm;

	KVM_MMU_LOCK(kvm);
	kvm_mmu_invalidate_end(kvm);
	KVM_MMU_UNLOCK(kvm);
}

static const struct gmem_binding_ops kvm_gmem_binding_ops = {
	.invalidate_begin	= kvm_gmem_binding_begin,
	.invalidate_end		= kvm_gmem_binding_end,
};

static u64 kvm_gmem_vm_id(struct kvm *kvm)
{
	if (!atomic64_read(&kvm->gmem_vm_id))
		atomic64_cmpxchg(&kvm->gmem_vm_id, 0, gmem_new_vm_id());
	return atomic64_read(&kvm->gmem_vm_id);
}

static int kvm_gmem_file_vm_id(struct file *file, u64 *id)
{
	struct kvm *kvm;

	if (!file_is_kvm(file))
		return -EINVAL;
	kvm = file->private_data;
	if (kvm->vm_bugged || kvm->vm_dead)
		return -EIO;
	*id = kvm_gmem_vm_id(kvm);
	return 0;
}

/**
 * kvm_arch_supports_gmem_provider - can a VM have memory of a provider
 * @kvm: the virtual machine
 *
 * Memory of a provider has no struct page and is not in the direct map. An architecture
 * overrides this for those types of VMs for which it maps and unmaps frames without using
 * either.
 *
 * Return: true if it can; the default is false.
 */
bool __weak kvm_arch_supports_gmem_provider(struct kvm *kvm)
{
	return false;
}

/**
 * kvm_gmem_provider_exclude - forbid memory of a provider in a VM
 * @kvm: the virtual machine
 *
 * An architecture calls this before it enables a feature that does not work with such memory.
 * With SEV, for example, caches keep lines of encrypted memory, which are not written back
 * when a provider frees a frame. This cannot be undone, even if enabling the feature fails.
 *
 * Context: takes slots_lock.
 * Return: 0, or -EBUSY if the VM has such memory.
 */
int kvm_gmem_provider_exclude(struct kvm *kvm)
{
	guard(mutex)(&kvm->slots_lock);
	if (kvm->gmem_provider_slots)
		return -EBUSY;
	kvm->gmem_provider_excluded = true;
	return 0;
}
EXPORT_SYMBOL_FOR_KVM_INTERNAL(kvm_gmem_provider_exclude);

/**
 * kvm_gmem_provider_has_any - is there memory of a provider in a range
 * @kvm: the virtual machine
 * @start: first page
 * @end: page after the last one
 *
 * Context: slots_lock is held.
 * Return: true if a slot of a provider, in any address space, has a page in the range.
 */
bool kvm_gmem_provider_has_any(struct kvm *kvm, gfn_t start, gfn_t end)
{
	struct kvm_memslot_iter iter;
	int i;

	lockdep_assert_held(&kvm->slots_lock);
	if (!kvm->gmem_provider_slots)
		return false;
	for (i = 0; i < kvm_arch_nr_memslot_as_ids(kvm); i++)
		kvm_for_each_memslot_in_gfn_range(&iter, __kvm_memslots(kvm, i), start, end)
			if (iter.slot->gmem.provider)
				return true;
	return false;
}

/**
 * kvm_gmem_provider_prepare - prepare a new slot with memory of a provider
 * @kvm: the virtual machine
 * @slot: the slot, not visible yet
 * @file: a file that is not guest_memfd's own
 * @offset: first byte of the file
 *
 * Context: slots_lock is held.
 * Return: 0, -EINVAL if the file has no provider or @offset is not page-aligned, or
 * -EOPNOTSUPP if the VM cannot have such memory.
 */
int kvm_gmem_provider_prepare(struct kvm *kvm, struct kvm_memory_slot *slot,
			      struct file *file, uoff_t offset)
{
	const struct gmem_provider_ops *ops = gmem_provider_of(file);

	if (!ops || !PAGE_ALIGNED(offset))
		return -EINVAL;
	if (kvm->gmem_provider_excluded || !kvm_arch_supports_gmem_provider(kvm))
		return -EOPNOTSUPP;
	slot->gmem.pgoff = offset >> PAGE_SHIFT;
	slot->gmem.provider = ops;
	slot->flags |= KVM_MEMSLOT_GMEM_ONLY;
	WRITE_ONCE(slot->gmem.file, file);
	return 0;
}

/**
 * kvm_gmem_provider_commit - bind a slot that is about to become visible
 * @kvm: the virtual machine
 * @slot: the slot
 *
 * On success the slot has its own reference on the file.
 *
 * Context: slots_lock and slots_arch_lock are held.
 * Return: 0, -ENOMEM, or an error of the provider's bind().
 */
int kvm_gmem_provider_commit(struct kvm *kvm, struct kvm_memory_slot *slot)
{
	struct kvm_gmem_binding *binding = kmalloc_obj(*binding, GFP_KERNEL_ACCOUNT);
	int r;

	if (!binding)
		return -ENOMEM;
	binding->kvm = kvm;
	binding->slot = slot;
	binding->binding = (struct gmem_binding) {
		.start	= slot->gmem.pgoff,
		.end	= slot->gmem.pgoff + slot->npages,
		.vm_id	= kvm_gmem_vm_id(kvm),
		.as_id	= slot->as_id,
		.uses_private = kvm_arch_has_private_mem(kvm),
		.ops	= &kvm_gmem_binding_ops,
	};
	r = slot->gmem.provider->bind(slot->gmem.file, &binding->binding);
	if (r) {
		kfree(binding);
		return r;
	}
	slot->gmem.binding = binding;
	get_file(slot->gmem.file);
	WRITE_ONCE(kvm->gmem_provider_slots, kvm->gmem_provider_slots + 1);
	return 0;
}

/**
 * kvm_gmem_provider_can_change - may the flags of a slot be changed
 * @slot: a slot
 * @mem: what userspace wants it to be, with %KVM_MEM_GUEST_MEMFD
 *
 * Context: slots_lock is held.
 * Return: true if @slot has memory of a provider, and @mem is the same part of the same file at the
 * same place of the guest.
 */
bool kvm_gmem_provider_can_change(const struct kvm_memory_slot *slot,
				  const struct kvm_userspace_memory_region2 *mem)
{
	CLASS(fd, f)(mem->guest_memfd);

	return kvm_slot_has_provider(slot) && !fd_empty(f) && fd_file(f) == slot->gmem.file &&
	       mem->guest_memfd_offset == (u64)slot->gmem.pgoff << PAGE_SHIFT &&
	       mem->guest_phys_addr == slot->base_gfn << PAGE_SHIFT;
}

/**
 * kvm_gmem_provider_replace - give the memory of a slot to another one, with other flags
 * @kvm: the virtual machine
 * @old: the slot, which is visible
 * @new: the slot that is about to take its place
 *
 * From now on, invalidations use the new slot. Faults may use the old one, until it is freed after
 * synchronize_srcu(): the page tables are the same.
 *
 * Context: slots_lock and slots_arch_lock are held.
 */
void kvm_gmem_provider_replace(struct kvm *kvm, const struct kvm_memory_slot *old,
			       struct kvm_memory_slot *new)
{
	new->flags |= old->flags & KVM_MEMSLOT_GMEM_ONLY;
	new->gmem = old->gmem;
	KVM_MMU_LOCK(kvm);
	new->gmem.binding->slot = new;
	KVM_MMU_UNLOCK(kvm);
}

/**
 * kvm_gmem_provider_unbind - unbind a slot
 * @slot: a slot that is not visible any more, and of which nothing is mapped
 *
 * Context: slots_lock is held, or the VM is about to be freed.
 */
void kvm_gmem_provider_unbind(struct kvm_memory_slot *slot)
{
	struct kvm_gmem_binding *binding = slot->gmem.binding;
	struct kvm *kvm = binding->kvm;
	struct file *file = slot->gmem.file;

	slot->gmem.provider->unbind(file, &binding->binding);
	kfree(binding);
	WRITE_ONCE(kvm->gmem_provider_slots, kvm->gmem_provider_slots - 1);
	WRITE_ONCE(slot->gmem.file, NULL);
	fput(file);
}

/**
 * kvm_gmem_provider_destroy_vm - unbind all slots of a VM that is about to be freed
 * @kvm: a virtual machine without users
 *
 * Called before the page tables of the VM are freed: without bindings, providers cannot call
 * invalidate_begin(), which would change the page tables.
 */
void kvm_gmem_provider_destroy_vm(struct kvm *kvm)
{
	struct kvm_memory_slot *slot;
	int i, bkt;

	for (i = 0; i < kvm_arch_nr_memslot_as_ids(kvm); i++)
		kvm_for_each_memslot(slot, bkt, __kvm_memslots(kvm, i))
			if (slot->gmem.provider && slot->gmem.file)
				kvm_gmem_provider_unbind(slot);
}

/* The largest order that the slot and the alignment of the frames allow, at most @order. */
static int kvm_gmem_clamp_order(const struct kvm_memory_slot *slot, gfn_t gfn, kvm_pfn_t pfn,
				int order)
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
 * kvm_gmem_provider_get_pfn - look up the frame of a guest page
 * @kvm: the virtual machine
 * @slot: a slot of a provider
 * @gfn: a page of the slot
 * @pfn: filled in with the frame, without a reference; valid until the next invalidation
 * @max_order: filled in with the largest order of an entry that may map it
 *
 * Pages are private in software only, so no architecture hook is called. VMs whose private
 * pages are known to the processor have no such slots, see kvm_arch_supports_gmem_provider().
 *
 * Context: srcu or slots_lock is held.
 * Return: 0; -EFAULT if the page is private and the VM has no private memory, or if userspace has
 * to fill it (-ENODATA of the provider); -ENXIO if the file has no such page or it is being freed;
 * or another error of the provider's get_pfn().
 */
int kvm_gmem_provider_get_pfn(struct kvm *kvm, struct kvm_memory_slot *slot, gfn_t gfn,
			      kvm_pfn_t *pfn, int *max_order)
{
	struct file *file = slot->gmem.file;
	pgoff_t index = gfn - slot->base_gfn + slot->gmem.pgoff;
	unsigned long frame;
	/* Without private memory in the VM, every access of the guest is a shared one. */
	bool shared = !kvm_arch_has_private_mem(kvm);
	int order, r;

	r = slot->gmem.provider->get_pfn(file, index, shared, &frame, &order);
	switch (r) {
	case 0:
		break;
	case -EACCES:
	case -ENODATA:
		return -EFAULT;
	case -EFAULT:
		return -ENXIO;
	default:
		return r;
	}
	*pfn = frame;
	*max_order = kvm_gmem_clamp_order(slot, gfn, frame, order);
	return 0;
}

/**
 * kvm_gmem_provider_is_private - is a guest page private, according to its provider
 * @kvm: the virtual machine
 * @gfn: the page
 *
 * Context: any, mmu_lock may be held; srcu or slots_lock is held.
 * Return: 1 if it is private, 0 if it is shared, -ENOENT if its slot has no provider.
 */
int kvm_gmem_provider_is_private(struct kvm *kvm, gfn_t gfn)
{
	struct kvm_memory_slot *slot = gfn_to_memslot(kvm, gfn);

	/* A slot that is being deleted is a copy without a file. Faults on it are repeated. */
	if (!kvm_slot_has_gmem(slot) || !slot->gmem.provider)
		return -ENOENT;
	/* A provider that takes a lock that sleeps is reported by lockdep. */
	guard(rcu)();
	return slot->gmem.provider->is_private(slot->gmem.file,
					       gfn - slot->base_gfn + slot->gmem.pgoff);
}
EXPORT_SYMBOL_FOR_KVM_INTERNAL(kvm_gmem_provider_is_private);

/*
 * No reclaim(): frames are never made private in hardware. Reclaiming each frame nevertheless
 * would be slow: on a host with SNP it would look up the RMP entry of each frame.
 */
static const struct gmem_consumer_ops kvm_gmem_consumer_ops = {
	.vm_id		= kvm_gmem_file_vm_id,
};

/**
 * kvm_gmem_provider_init - register KVM as the consumer of providers
 *
 * Return: 0 or -EBUSY.
 */
int kvm_gmem_provider_init(void)
{
	return gmem_consumer_register(&kvm_gmem_consumer_ops);
}

/**
 * kvm_gmem_provider_exit - unregister KVM before it is unloaded
 *
 * There are no VMs any more, and thus no bindings. Descriptors that were made for a VM stay
 * with the provider.
 *
 * Memory that SNP or TDX has made private would have to be reclaimed even after this. This is
 * one more reason for kvm_arch_supports_gmem_provider() to refuse such VMs, unless their
 * private memory keeps KVM loaded.
 */
void kvm_gmem_provider_exit(void)
{
	gmem_consumer_unregister(&kvm_gmem_consumer_ops);
}
