/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __KVM_GUEST_MEMFD_SLOT_H__
#define __KVM_GUEST_MEMFD_SLOT_H__

#include <linux/kvm_host.h>

/*
 * What a memslot with KVM_MEM_GUEST_MEMFD needs from the kind of its file, and what all kinds
 * share. guest_memfd's own files are one kind, files of a provider (<linux/gmem_provider.h>) the
 * other one. kvm_gmem_prepare_memory_region() finds out the kind, and sets
 * kvm_memory_slot.gmem.ops; nothing looks at the file after that.
 */

struct file;

/**
 * struct kvm_gmem_ops - what KVM does with the file of a memslot
 * @max_order: the order of the largest entry that can map the memory
 * @bind: bind the slot to its file; with slots_lock and slots_arch_lock held
 * @unbind: undo @bind of a slot that no fault can see any more
 * @get_pfn: look up the frame of a page, as kvm_gmem_get_pfn()
 * @is_private: is a page private; NULL if the VM's attributes tell. Called under rcu_read_lock()
 * @populate: give a page its first contents; NULL if that is not supported
 */
struct kvm_gmem_ops {
	int max_order;
	int (*bind)(struct kvm *kvm, struct kvm_memory_slot *slot);
	void (*unbind)(struct kvm_memory_slot *slot);
	int (*get_pfn)(struct kvm *kvm, struct kvm_memory_slot *slot, gfn_t gfn, kvm_pfn_t *pfn,
		       struct page **page, int *max_order);
	bool (*is_private)(const struct kvm_memory_slot *slot, gfn_t gfn);
#ifdef CONFIG_HAVE_KVM_ARCH_GMEM_POPULATE
	long (*populate)(struct kvm *kvm, struct kvm_memory_slot *slot, struct file *file,
			 gfn_t gfn, struct page *src_page, kvm_gmem_populate_cb post_populate,
			 void *opaque);
#endif
};

#ifdef CONFIG_KVM_GUEST_MEMFD
/* The page of the file that is mapped at @gfn. */
static inline pgoff_t kvm_gmem_get_index(const struct kvm_memory_slot *slot, gfn_t gfn)
{
	return gfn - slot->base_gfn + slot->gmem.pgoff;
}
#endif

/* guest_memfd.c */
extern const struct kvm_gmem_ops kvm_gmem_file_ops;

/* guest_memfd_slot.c */
void kvm_gmem_widen(const struct kvm_memory_slot *slot, gfn_t *start, gfn_t *end);
int kvm_gmem_clamp_order(const struct kvm_memory_slot *slot, gfn_t gfn, kvm_pfn_t pfn, int order);
bool kvm_gmem_invalidate_slot(struct kvm *kvm, struct kvm_memory_slot *slot, pgoff_t start,
			      pgoff_t end, enum kvm_gfn_range_filter attr_filter);

/* guest_memfd_provider.c */
int kvm_gmem_make_private(struct kvm *kvm, gfn_t gfn, kvm_pfn_t pfn);
void kvm_gmem_reclaim(unsigned long pfn, unsigned long nr);
unsigned long kvm_gmem_provider_reclaim(unsigned long pfn, unsigned long nr);
void kvm_gmem_provider_init(void);
void kvm_gmem_provider_exit(void);
int kvm_gmem_provider_prepare(struct kvm *kvm, struct kvm_memory_slot *slot, struct file *file,
			      uoff_t offset);
void kvm_gmem_provider_unmap_private(struct kvm *kvm);
void kvm_gmem_provider_destroy_vm(struct kvm *kvm);
bool kvm_gmem_provider_can_change(const struct kvm_memory_slot *slot,
				  const struct kvm_userspace_memory_region2 *mem);
void kvm_gmem_provider_replace(struct kvm *kvm, const struct kvm_memory_slot *old,
			       struct kvm_memory_slot *new);
bool kvm_gmem_provider_has_any(struct kvm *kvm, gfn_t start, gfn_t end);

#endif /* __KVM_GUEST_MEMFD_SLOT_H__ */
