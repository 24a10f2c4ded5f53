/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _LINUX_GMEM_PROVIDER_H
#define _LINUX_GMEM_PROVIDER_H

#include <linux/list.h>
#include <linux/types.h>

/**
 * DOC: Guest memory that somebody else owns
 *
 * A hypervisor (the consumer, which is KVM) maps memory into its guests that
 * belongs to a file of somebody else (the provider). Neither knows the other:
 * the provider registers its file operations, the hypervisor finds the
 * provider of a file descriptor and binds a part of the file to a memslot.
 *
 * Memory of a provider may have no struct page, so that nothing has a
 * reference on a frame. What makes that safe:
 *
 * - A pfn that get_pfn() has returned is good until invalidate_begin() is
 *   called for its offset. The consumer takes note of the beginning of an
 *   invalidation, and lets go of the memory, before it returns from
 *   invalidate_begin(); what it has looked up before and not used yet it looks up
 *   again.
 * - Between invalidate_begin() and invalidate_end() for an offset, get_pfn() may be called
 *   and may return a pfn, which the consumer must not use.
 * - The provider calls both for all bindings of a range, without letting go of
 *   the lock under which bindings come and go.
 * - The binding has a reference on the file, the file has none on the
 *   consumer. A provider knows a virtual machine by its number alone.
 *
 * The consumer may be a module. A binding is part of a virtual machine, which
 * keeps the consumer loaded until after unbind(); so an invalidation never calls what is
 * gone. Questions that are not for a binding are asked under the registry's lock,
 * and unregistering waits for them. A file outlives its virtual machine and
 * the consumer: it has nothing of either, and no number is ever given again.
 *
 * Where an entry larger than a page is made of what get_pfn() returned, all of that
 * counts: invalidating one page of it invalidates it.
 *
 * Memory arrives zeroed. Locks of the provider are taken inside the consumer's lock
 * of memslots, and outside of its lock of page tables.
 */

struct file;
struct file_operations;
struct gmem_binding;

/**
 * struct gmem_binding_ops - what a provider asks of the consumer
 * @invalidate_begin: unmap pages @start to @end - 1 of the file from the guest;
 *	may sleep, and must not fail
 * @invalidate_end: what has changed has changed
 */
struct gmem_binding_ops {
	void (*invalidate_begin)(struct gmem_binding *b, pgoff_t start, pgoff_t end);
	void (*invalidate_end)(struct gmem_binding *b, pgoff_t start, pgoff_t end);
};

/**
 * struct gmem_binding - a part of a file that is a memslot
 * @node: the provider's
 * @start: first page of the file
 * @end: page after the last one
 * @vm_id: number of the virtual machine
 * @as_id: which of its address spaces; in each of them a part of the file is bound once
 * @uses_private: the machine is of a kind whose guest can use private pages
 * @ops: the consumer's
 *
 * The consumer makes it, fills in all but @node, and keeps it until after
 * unbind().
 */
struct gmem_binding {
	struct list_head node;
	pgoff_t start;
	pgoff_t end;
	u64 vm_id;
	u16 as_id;
	bool uses_private;
	const struct gmem_binding_ops *ops;
};

/**
 * struct gmem_provider_ops - what a consumer asks of the provider
 * @bind: may the part be bound; -EINVAL if it is not in the file or the
 *	descriptor is for another machine, -EEXIST if something of it is bound already,
 *	in the same address space, or is private and bound by another machine that uses it
 * @unbind: forget the binding; the consumer has unmapped it
 * @get_pfn: the frame of a page, allocated if need be; @order is the largest of 0,
 *	PMD_ORDER and PUD_ORDER such that the aligned part of the file around the page
 *	is one run of frames, aligned as in the file, and of one character. -EINTR
 *	if a signal came, -EAGAIN if the page cannot be had now and the consumer is
 *	to ask again when it has released its locks, -EHWPOISON, -EFAULT beyond the
 *	end, or if the memory is on its way out, or what allocating gives.
 * @is_private: is the page the guest's alone. Pages beyond the end have the
 *	character that they would have.
 *
 * All may sleep.
 */
struct gmem_provider_ops {
	int (*bind)(struct file *file, struct gmem_binding *b);
	void (*unbind)(struct file *file, struct gmem_binding *b);
	int (*get_pfn)(struct file *file, pgoff_t index, unsigned long *pfn, int *order);
	bool (*is_private)(struct file *file, pgoff_t index);
};

/**
 * struct gmem_provider - a kind of file that provides guest memory
 * @list: the registry's
 * @fops: operations of these files
 * @ops: operations of the provider, in the same module
 */
struct gmem_provider {
	struct list_head list;
	const struct file_operations *fops;
	const struct gmem_provider_ops *ops;
};

void gmem_provider_register(struct gmem_provider *p);
void gmem_provider_unregister(struct gmem_provider *p);
const struct gmem_provider_ops *gmem_provider_of(const struct file *file);

/**
 * struct gmem_consumer_ops - what a provider asks of the hypervisor as such
 * @vm_id: the number of the virtual machine that @file is; never 0, and never used
 *	again for another one. -EINVAL if @file is none, -EIO if it is dead.
 * @reclaim: frames that were private are about to be shared or free; NULL if that
 *	needs nothing. A consumer that has made frames private in a way that needs it must
 *	stay registered as long as there are any, with or without a virtual machine.
 */
struct gmem_consumer_ops {
	int (*vm_id)(struct file *file, u64 *id);
	void (*reclaim)(unsigned long pfn, unsigned long nr);
};

#ifdef CONFIG_GMEM_PROVIDER
int gmem_consumer_register(const struct gmem_consumer_ops *ops);
void gmem_consumer_unregister(const struct gmem_consumer_ops *ops);
int gmem_vm_id(struct file *file, u64 *id);
u64 gmem_new_vm_id(void);
void gmem_reclaim(unsigned long pfn, unsigned long nr);
#else
static inline void gmem_reclaim(unsigned long pfn, unsigned long nr)
{
}
#endif

/* Where tests stop a fault, see virt/lib/gmem_provider_test.c. */
#ifdef CONFIG_GMEM_PROVIDER_TEST
void gmem_test_found(void);
void gmem_test_invalidating(void);
#else
static inline void gmem_test_found(void)
{
}

static inline void gmem_test_invalidating(void)
{
}
#endif

#endif /* _LINUX_GMEM_PROVIDER_H */
