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
 * @ops: the provider's operations
 * @kvm: the virtual machine
 * @slot: the slot. A change of its flags makes another one of it: written under mmu_lock, and read
 *	under mmu_lock and srcu
 */
struct kvm_gmem_binding {
	struct gmem_binding binding;
	const struct gmem_provider_ops *ops;
	struct kvm *kvm;
	struct kvm_memory_slot *slot;
};

static void kvm_gmem_binding_begin(struct gmem_binding *b, pgoff_t start, pgoff_t end)
{
	struct kvm_gmem_binding *binding = container_of(b, struct kvm_gmem_binding, binding);
	struct kvm *kvm = binding->kvm;

	/* Splitting may release mmu_lock: srcu keeps the slot. */
	guard(srcu)(&kvm->srcu);
	KVM_MMU_LOCK(kvm);
	kvm_mmu_invalidate_start(kvm);
	if (kvm_gmem_invalidate_slot(kvm, binding->slot, start, end,
				     KVM_FILTER_PRIVATE | KVM_FILTER_SHARED))
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

/**
 * kvm_gmem_vm_id - the number that providers know a VM by
 * @kvm: the virtual machine
 *
 * Return: the number, not 0.
 */
u64 kvm_gmem_vm_id(struct kvm *kvm)
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
			if (kvm_slot_has_provider(iter.slot))
				return true;
	return false;
}

/* On success the slot has its own reference on the file. */
static int kvm_gmem_provider_bind(struct kvm *kvm, struct kvm_memory_slot *slot)
{
	struct kvm_gmem_binding *binding = kmalloc_obj(*binding, GFP_KERNEL_ACCOUNT);
	int r;

	if (!binding)
		return -ENOMEM;
	binding->ops = gmem_provider_of(slot->gmem.file);
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
	r = binding->ops->bind(slot->gmem.file, &binding->binding);
	if (r) {
		kfree(binding);
		return r;
	}
	slot->gmem.binding = binding;
	get_file(slot->gmem.file);
	WRITE_ONCE(kvm->gmem_provider_slots, kvm->gmem_provider_slots + 1);
	return 0;
}

/* With slots_lock held, or the VM is about to be freed. */
static void kvm_gmem_provider_unbind(struct kvm_memory_slot *slot)
{
	struct kvm_gmem_binding *binding = slot->gmem.binding;
	struct file *file = slot->gmem.file;
	struct kvm *kvm;

	/* kvm_gmem_provider_destroy_vm() may have unbound the slot. */
	if (!file)
		return;
	kvm = binding->kvm;
	binding->ops->unbind(file, &binding->binding);
	kfree(binding);
	WRITE_ONCE(kvm->gmem_provider_slots, kvm->gmem_provider_slots - 1);
	WRITE_ONCE(slot->gmem.file, NULL);
	fput(file);
}

/*
 * Returns -EFAULT if the page is private and the VM has no private memory, or if userspace has to
 * fill it (-ENODATA of the provider); -ENXIO if the file has no such page or it is being freed; or
 * another error of the provider's get_pfn().
 *
 * Pages are private in software only, so no architecture hook is called. VMs whose private
 * pages are known to the processor have no such slots, see kvm_arch_supports_gmem_provider().
 */
static int kvm_gmem_provider_get_pfn(struct kvm *kvm, struct kvm_memory_slot *slot, gfn_t gfn,
				     kvm_pfn_t *pfn, struct page **page, int *max_order)
{
	/* Without private memory in the VM, every access of the guest is a shared one. */
	bool shared = !kvm_arch_has_private_mem(kvm);
	unsigned long frame;
	int order, r;

	r = slot->gmem.binding->ops->get_pfn(slot->gmem.file, kvm_gmem_get_index(slot, gfn),
					     shared, &frame, &order);
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
	*page = NULL;
	*max_order = kvm_gmem_clamp_order(slot, gfn, frame, order);
	return 0;
}

static bool kvm_gmem_provider_is_private(const struct kvm_memory_slot *slot, gfn_t gfn)
{
	return slot->gmem.binding->ops->is_private(slot->gmem.file, kvm_gmem_get_index(slot, gfn));
}

static const struct kvm_gmem_ops kvm_gmem_provider_ops = {
	.max_order	= PUD_ORDER,
	.bind		= kvm_gmem_provider_bind,
	.unbind		= kvm_gmem_provider_unbind,
	.get_pfn	= kvm_gmem_provider_get_pfn,
	.is_private	= kvm_gmem_provider_is_private,
};

/**
 * kvm_gmem_provider_prepare - prepare a new slot with memory of a provider
 * @kvm: the virtual machine
 * @slot: the slot, not visible yet
 * @file: a file that is not guest_memfd's own; the reference is the slot's on success, and dropped
 *	otherwise
 * @offset: first byte of the file
 *
 * Context: slots_lock is held.
 * Return: 0, -EINVAL if the file has no provider or @offset is not page-aligned, or
 * -EOPNOTSUPP if the VM cannot have such memory.
 */
int kvm_gmem_provider_prepare(struct kvm *kvm, struct kvm_memory_slot *slot,
			      struct file *file, uoff_t offset)
{
	int r = 0;

	if (!gmem_provider_of(file) || !PAGE_ALIGNED(offset))
		r = -EINVAL;
	else if (kvm->gmem_provider_excluded || !kvm_arch_supports_gmem_provider(kvm))
		r = -EOPNOTSUPP;
	if (r) {
		fput(file);
		return r;
	}
	slot->gmem.pgoff = offset >> PAGE_SHIFT;
	slot->gmem.ops = &kvm_gmem_provider_ops;
	slot->flags |= KVM_MEMSLOT_GMEM_ONLY | KVM_MEMSLOT_GMEM_PROVIDER;
	WRITE_ONCE(slot->gmem.file, file);
	return 0;
}

/**
 * kvm_gmem_provider_can_change - may the flags of a slot be changed
 * @slot: a slot of a provider
 * @mem: what userspace wants it to be, with %KVM_MEM_GUEST_MEMFD
 *
 * Context: slots_lock is held.
 * Return: true if @mem is the same part of the same file at the same place of the guest.
 */
bool kvm_gmem_provider_can_change(const struct kvm_memory_slot *slot,
				  const struct kvm_userspace_memory_region2 *mem)
{
	CLASS(fd, f)(mem->guest_memfd);

	return !fd_empty(f) && fd_file(f) == slot->gmem.file &&
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
	new->flags |= old->flags & (KVM_MEMSLOT_GMEM_ONLY | KVM_MEMSLOT_GMEM_PROVIDER);
	new->gmem = old->gmem;
	KVM_MMU_LOCK(kvm);
	new->gmem.binding->slot = new;
	KVM_MMU_UNLOCK(kvm);
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
			if (kvm_slot_has_provider(slot))
				kvm_gmem_provider_unbind(slot);
}

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
 * Without it, if there is another hypervisor, no descriptor can be made for a VM of KVM.
 */
void kvm_gmem_provider_init(void)
{
	gmem_consumer_register(&kvm_gmem_consumer_ops);
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
