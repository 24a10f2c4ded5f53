// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memslots with memory of a provider, see <linux/gmem_provider.h>.
 *
 * In contrast to guest_memfd's own files, the slot has a reference on the file, and the file
 * has none on the VM: the slot stays usable after the file descriptor is closed. All such
 * slots are KVM_MEMSLOT_GMEM_ONLY, i.e. no fault of the guest goes through the host's page
 * tables.
 */
#include <kunit/static_stub.h>
#include <linux/atomic.h>
#include <linux/file.h>
#include <linux/gmem_provider.h>
#include <linux/kvm_host.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include "guest_memfd.h"
#include "kvm_mm.h"

/**
 * struct kvm_gmem_binding - a slot, as its provider knows it
 * @binding: in the provider's list
 * @ops: the provider's operations
 * @kvm: the virtual machine
 * @slot: the slot. A change of its flags makes another one of it: written under mmu_lock, and read
 *	under mmu_lock and srcu
 * @private_lock: one page becomes private at a time, see kvm_gmem_binding_make_private()
 */
struct kvm_gmem_binding {
	struct gmem_binding binding;
	const struct gmem_provider_ops *ops;
	struct kvm *kvm;
	struct kvm_memory_slot *slot;
	struct mutex private_lock; /* held while a page becomes private */
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
 * kvm_gmem_make_private - make a page private to a guest in hardware
 * @kvm: the virtual machine, for which kvm_arch_gmem_makes_private() is true
 * @gfn: the page
 * @pfn: its frame, which the provider keeps from changing its owner
 *
 * Context: srcu or slots_lock is held, and locks of the provider.
 * Return: 0, also if it is private already, or an error.
 */
int kvm_gmem_make_private(struct kvm *kvm, gfn_t gfn, kvm_pfn_t pfn)
{
	/* For tests, as no machine of theirs has the hardware. */
	KUNIT_STATIC_STUB_REDIRECT(kvm_gmem_make_private, kvm, gfn, pfn);
#ifdef CONFIG_HAVE_KVM_ARCH_GMEM_CONVERT
	return kvm_arch_gmem_make_private(kvm, gfn, pfn, 1);
#else
	/* The entry of the page does it, as with TDX. */
	return 0;
#endif
}

/*
 * The architecture looks whether the frame is private already, and if not, makes it so. A provider
 * allows several vCPUs at a time to do this for the same page, where guest_memfd has the folio
 * locked. Without @private_lock, the second vCPU could make the frame private again after the first
 * one has mapped it and the guest has validated it: with SNP, the page would not be valid any more.
 */
static int kvm_gmem_binding_make_private(struct gmem_binding *b, pgoff_t index, unsigned long pfn)
{
	struct kvm_gmem_binding *binding = container_of(b, struct kvm_gmem_binding, binding);
	/* A slot that takes the place of this one has the same pages. */
	gfn_t base = READ_ONCE(binding->slot)->base_gfn;

	guard(mutex)(&binding->private_lock);
	return kvm_gmem_make_private(binding->kvm, base + index - b->start, pfn);
}

/* For guests whose private pages have to be made private in hardware. */
static const struct gmem_binding_ops kvm_gmem_hw_binding_ops = {
	.invalidate_begin	= kvm_gmem_binding_begin,
	.invalidate_end		= kvm_gmem_binding_end,
	.make_private		= kvm_gmem_binding_make_private,
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
 * kvm_arch_gmem_makes_private - are private frames private in hardware
 * @kvm: the virtual machine
 *
 * Return: true if hardware keeps private frames of a VM of this type for it until they are taken
 * back, be it by kvm_arch_gmem_make_private() or by the entry that maps the frame. Such a VM maps
 * private memory of a provider page by page. The default is false.
 */
bool __weak kvm_arch_gmem_makes_private(struct kvm *kvm)
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
	mutex_init(&binding->private_lock);
	binding->binding = (struct gmem_binding) {
		.start	= slot->gmem.pgoff,
		.end	= slot->gmem.pgoff + slot->npages,
		.vm_id	= kvm_gmem_vm_id(kvm),
		.as_id	= slot->as_id,
		.uses_private = kvm_arch_has_private_mem(kvm),
		.ops	= kvm_arch_gmem_makes_private(kvm) ? &kvm_gmem_hw_binding_ops :
							     &kvm_gmem_binding_ops,
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
	slot->gmem.binding = NULL;
	WRITE_ONCE(kvm->gmem_provider_slots, kvm->gmem_provider_slots - 1);
	WRITE_ONCE(slot->gmem.file, NULL);
	fput(file);
}

/*
 * Returns -EFAULT if the page is private and the VM has no private memory, or if userspace has to
 * fill it (-ENODATA of the provider); -ENXIO if the file has no such page or it is being freed; or
 * another error of the provider's get_pfn(), or of kvm_gmem_make_private().
 */
static int kvm_gmem_provider_get_pfn(struct kvm *kvm, struct kvm_memory_slot *slot, gfn_t gfn,
				     kvm_pfn_t *pfn, struct page **page, int *max_order)
{
	struct kvm_gmem_binding *binding = slot->gmem.binding;
	unsigned long frame;
	int order, r;

	r = binding->ops->get_pfn(slot->gmem.file, &binding->binding,
				  kvm_gmem_get_index(slot, gfn), &frame, &order);
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

#ifdef CONFIG_HAVE_KVM_ARCH_GMEM_POPULATE
/**
 * struct kvm_gmem_fill - the first contents of a page
 * @kvm: the virtual machine
 * @gfn: the page
 * @src_page: the contents, or NULL
 * @post_populate: writes them, and makes the page private in hardware
 * @opaque: for @post_populate
 */
struct kvm_gmem_fill {
	struct kvm *kvm;
	gfn_t gfn;
	struct page *src_page;
	kvm_gmem_populate_cb post_populate;
	void *opaque;
};

static int kvm_gmem_provider_fill(void *data, unsigned long pfn)
{
	const struct kvm_gmem_fill *f = data;

	return f->post_populate(f->kvm, f->gfn, pfn, f->src_page, f->opaque);
}

static long kvm_gmem_provider_populate(struct kvm *kvm, struct kvm_memory_slot *slot,
				       struct file *file, gfn_t gfn, struct page *src_page,
				       kvm_gmem_populate_cb post_populate, void *opaque)
{
	struct kvm_gmem_binding *binding = slot->gmem.binding;
	struct kvm_gmem_fill fill = {
		.kvm		= kvm,
		.gfn		= gfn,
		.src_page	= src_page,
		.post_populate	= post_populate,
		.opaque		= opaque,
	};

	return binding->ops->populate(file, &binding->binding, kvm_gmem_get_index(slot, gfn),
				      kvm_gmem_provider_fill, &fill);
}
#endif

static const struct kvm_gmem_ops kvm_gmem_provider_ops = {
	.max_order	= PUD_ORDER,
	.bind		= kvm_gmem_provider_bind,
	.unbind		= kvm_gmem_provider_unbind,
	.get_pfn	= kvm_gmem_provider_get_pfn,
	.is_private	= kvm_gmem_provider_is_private,
#ifdef CONFIG_HAVE_KVM_ARCH_GMEM_POPULATE
	.populate	= kvm_gmem_provider_populate,
#endif
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
 * kvm_gmem_provider_unmap_private - unmap the memory of a VM with private pages that ends
 * @kvm: a virtual machine without users
 *
 * Called before kvm_arch_pre_destroy_vm(), by which a VM of TDX gives up the key that its private
 * entries are removed with. guest_memfd's own files have been released by then, as they have a
 * reference on the VM. A file of a provider has none, and its frames can be another file's as soon
 * as the slot is unbound: an entry that is removed later would reset a frame that is in use again.
 * The MMU notifier does not remove these entries.
 */
void kvm_gmem_provider_unmap_private(struct kvm *kvm)
{
	struct kvm_memory_slot *slot;
	struct gmem_binding *b;
	int i, bkt;

	for (i = 0; i < kvm_arch_nr_memslot_as_ids(kvm); i++)
		kvm_for_each_memslot(slot, bkt, __kvm_memslots(kvm, i)) {
			if (!kvm_slot_has_provider(slot))
				continue;
			b = &slot->gmem.binding->binding;
			if (!b->uses_private)
				continue;
			kvm_gmem_binding_begin(b, b->start, b->end);
			kvm_gmem_binding_end(b, b->start, b->end);
		}
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

/* Frames that hardware has not given back, although nothing maps them any more. */
static DEFINE_XARRAY(kvm_gmem_lost);

/**
 * kvm_gmem_lose_frames - hardware has not given back private frames that were unmapped
 * @pfn: the first frame
 * @nr: number of frames
 *
 * The provider learns it when it reclaims the frames, and does not use them again. Nothing is done
 * for frames with a struct page, which are guest_memfd's own.
 *
 * Context: not in interrupts; mmu_lock may be held.
 */
void kvm_gmem_lose_frames(kvm_pfn_t pfn, unsigned long nr)
{
	for (; nr && !pfn_valid(pfn); pfn++, nr--)
		/* Without memory, the provider learns it as a memory error, a little later. */
		if (xa_is_err(xa_store(&kvm_gmem_lost, pfn, xa_mk_value(0), GFP_ATOMIC)))
			memory_failure_queue(pfn, 0);
}
EXPORT_SYMBOL_FOR_KVM_INTERNAL(kvm_gmem_lose_frames);

/**
 * kvm_gmem_reclaim - make private frames ordinary ones in hardware
 * @pfn: the first frame
 * @nr: number of frames
 */
void kvm_gmem_reclaim(unsigned long pfn, unsigned long nr)
{
	/* For tests, as no machine of theirs has the hardware. */
	KUNIT_STATIC_STUB_REDIRECT(kvm_gmem_reclaim, pfn, nr);
#ifdef CONFIG_HAVE_KVM_ARCH_GMEM_RECLAIM
	kvm_arch_gmem_reclaim(pfn, nr);
#endif
}

/**
 * kvm_gmem_provider_reclaim - make private frames ordinary ones, and say which are lost
 * @pfn: the first frame
 * @nr: number of frames
 *
 * Return: as gmem_reclaim().
 */
unsigned long kvm_gmem_provider_reclaim(unsigned long pfn, unsigned long nr)
{
	unsigned long lost = pfn;

	kvm_gmem_reclaim(pfn, nr);
	return xa_find(&kvm_gmem_lost, &lost, pfn + nr - 1, XA_PRESENT) ? pfn + nr - lost : 0;
}

static const struct gmem_consumer_ops kvm_gmem_consumer_ops = {
	.vm_id		= kvm_gmem_file_vm_id,
	.reclaim	= kvm_gmem_provider_reclaim,
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
 * with the provider. No frame is private in hardware: unbind() has reclaimed them, and what could
 * not be reclaimed is the provider's loss.
 */
void kvm_gmem_provider_exit(void)
{
	gmem_consumer_unregister(&kvm_gmem_consumer_ops);
	xa_destroy(&kvm_gmem_lost);
}
