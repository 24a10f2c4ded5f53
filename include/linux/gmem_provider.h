/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _LINUX_GMEM_PROVIDER_H
#define _LINUX_GMEM_PROVIDER_H

#include <linux/list.h>
#include <linux/types.h>

/**
 * DOC: Guest memory of a provider
 *
 * A hypervisor (the consumer, which is KVM) maps memory of a file into its guests. The file
 * belongs to a filesystem (the provider). Neither depends on the other: the provider registers
 * its file operations, and the hypervisor finds the provider of a file descriptor and binds a
 * part of the file to a memslot.
 *
 * The consumer calls these operations of the provider, and the provider those of a binding::
 *
 *   bind, unbind    a memslot comes and goes
 *   get_pfn         the frame of a page, and how much around it one entry can map
 *   is_private      may the host use the page; does not sleep
 *   invalidate      (of a binding) pages change: they are unmapped until the change is complete
 *
 * There is no operation to split an entry: the consumer splits what crosses an end of an
 * invalidation, if it can. There is none for errors either: the provider invalidates a page with a
 * memory error, and get_pfn() returns -EHWPOISON for it from then on. The first contents of a
 * page are written by the provider's other interfaces (populate): a consumer cannot do so, as
 * it cannot reach the memory.
 *
 * Memory of a provider may have no struct page, and thus frames without reference counts. It is
 * safe to map them because of these rules:
 *
 * - A pfn that get_pfn() has returned is valid until invalidate_begin() is called for its
 *   offset. Before invalidate_begin() returns, the consumer unmaps the part and records that
 *   an invalidation has begun. A pfn that was looked up before, but is not mapped yet, must be
 *   looked up again.
 * - Between invalidate_begin() and invalidate_end() for an offset, get_pfn() may be called and
 *   may return a pfn, but the consumer must not map it.
 * - The provider calls both for all bindings of the part that changes, and holds the lock of
 *   its list of bindings from before the first call until after the last one.
 * - A binding has a reference on the file. The file has no reference on the consumer: a
 *   provider knows a virtual machine only by its number.
 *
 * The consumer may be a module. A binding is part of a virtual machine, which keeps the
 * consumer loaded until after unbind(), so that a provider never calls a binding of an
 * unloaded module. The operations in struct gmem_consumer_ops are called under the registry's
 * lock, and gmem_consumer_unregister() waits for them. A file can outlive its virtual machine
 * and the consumer, as it has no pointer to either, and the number of a virtual machine is not
 * reused.
 *
 * If the consumer uses an entry larger than a page for the result of get_pfn(), invalidating
 * one page invalidates the whole entry: it is unmapped, or looked up again if it is not mapped
 * yet.
 *
 * Memory is zeroed before get_pfn() returns it. Locks of the provider nest inside the
 * consumer's lock of memslots (slots_lock, srcu), and outside of its lock of page tables
 * (mmu_lock). invalidate_begin() also reads under srcu, so that a provider must not wait for
 * readers of srcu with its locks held.
 */

struct file;
struct file_operations;
struct file_system_type;
struct gmem_binding;

/**
 * struct gmem_binding_ops - operations of the consumer on a binding
 * @invalidate_begin: unmap pages @start to @end - 1 of the file from the guest;
 *	may sleep, and must not fail
 * @invalidate_end: the change is complete, and the guest may map the pages again
 * @make_private: make a private page the guest's in hardware, which maps it at this frame next;
 *	called by get_pfn(), with the lock held that keeps the frame, by several tasks at a time.
 *	NULL if the guest's private pages are private in software only. The frame may be the
 *	guest's already. It is until gmem_reclaim(), which the provider calls before the frame is
 *	shared, zeroed, freed or another page's, and for all private frames of the part in unbind().
 */
struct gmem_binding_ops {
	void (*invalidate_begin)(struct gmem_binding *b, pgoff_t start, pgoff_t end);
	void (*invalidate_end)(struct gmem_binding *b, pgoff_t start, pgoff_t end);
	int (*make_private)(struct gmem_binding *b, pgoff_t index, unsigned long pfn);
};

/**
 * struct gmem_binding - a part of a file that is bound to a memslot
 * @node: for the provider's list
 * @start: first page of the file
 * @end: page after the last one
 * @vm_id: number of the virtual machine
 * @as_id: address space of the virtual machine; in each of them a page is bound at most once
 * @uses_private: the guest can use private pages, due to the type of the virtual machine
 * @ops: the consumer's operations
 *
 * The consumer allocates the binding, fills in all fields but @node, and keeps the binding
 * until after unbind().
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
 * struct gmem_provider_ops - operations of the provider
 * @bind: bind a part of the file; -EINVAL if it is not in the file or the descriptor is for
 *	another virtual machine, -EEXIST if a page of it is bound already, either by the same
 *	address space of the same virtual machine, or by another virtual machine, if the page is
 *	private and both can use private pages
 * @unbind: remove a binding, of which the consumer has unmapped everything. With make_private(),
 *	the guest loses the contents of its private pages: a provider has no reference on the
 *	virtual machine, so that nobody would give the frames back when it ends
 * @get_pfn: look up the frame of a page of a binding, and allocate it if the file has none.
 *	-EACCES if the page is private and the guest cannot use private pages. @order is the
 *	largest of 0, PMD_ORDER and PUD_ORDER for which the naturally aligned part of the file
 *	around the page has contiguous frames with the same alignment, and is all private or all
 *	shared; it is 0 if make_private() was called, whose error is returned. -EINTR at a signal;
 *	-EINPROGRESS if only a part of the memory is zeroed so far, and -EAGAIN if the memory cannot
 *	be changed at present: the consumer has to release its locks and repeat the call;
 *	-EHWPOISON; -EFAULT beyond the end of the file or if the memory is being freed; -ENODATA if
 *	userspace has to fill the page first; or an error of the allocation.
 *	Must not hold up the consumer's locks for longer than it takes to zero some tens of MiB.
 * @is_private: is a page private, i.e. accessible to the guest only. Beyond the end of the
 *	file: whether the page would be private if the file grew. Called under rcu_read_lock(), and
 *	maybe with the consumer's lock of page tables held: must not sleep. The answer may be out of
 *	date between invalidate_begin() and invalidate_end() for the page.
 * @populate: call @fill with the frame of a private page, which is zeroed or the guest's already.
 *	It writes the first contents, by a mapping of its own, and makes the frame the guest's in
 *	hardware. No fault or change of the page comes in between. -EINVAL if the page is shared,
 *	or as get_pfn().
 *
 * All but @is_private may sleep.
 */
struct gmem_provider_ops {
	int (*bind)(struct file *file, struct gmem_binding *b);
	void (*unbind)(struct file *file, struct gmem_binding *b);
	int (*get_pfn)(struct file *file, struct gmem_binding *b, pgoff_t index,
		       unsigned long *pfn, int *order);
	bool (*is_private)(struct file *file, pgoff_t index);
	int (*populate)(struct file *file, struct gmem_binding *b, pgoff_t index,
			int (*fill)(void *data, unsigned long pfn), void *data);
};

/**
 * struct gmem_provider - a kind of file that provides guest memory
 * @list: for the registry
 * @fops: the file operations of these files
 * @ops: the provider's operations, in the same module as @fops
 */
struct gmem_provider {
	struct list_head list;
	const struct file_operations *fops;
	const struct gmem_provider_ops *ops;
};

/**
 * struct gmem_resource - a filesystem of which a hypervisor can ask for guest memory
 * @list: for the registry
 * @fs: the filesystem
 * @open: make a descriptor of a provider for the virtual machine with the number @vm_id. @resource
 *	is a directory, possibly opened with O_PATH, that gets an unnamed file of @size bytes, or a
 *	file of @size bytes; -EINVAL if it is anything else. @flags: GUEST_MEMFD_FLAG_*, without
 *	GUEST_MEMFD_FLAG_USE_RESOURCE.
 */
struct gmem_resource {
	struct list_head list;
	const struct file_system_type *fs;
	struct file *(*open)(struct file *resource, u64 vm_id, loff_t size, u64 flags);
};

void gmem_provider_register(struct gmem_provider *p);
void gmem_provider_unregister(struct gmem_provider *p);
const struct gmem_provider_ops *gmem_provider_of(const struct file *file);

/**
 * struct gmem_consumer_ops - operations of the consumer that do not concern a binding
 * @vm_id: get the number of the virtual machine of @file, which is not 0 and never reused for
 *	another virtual machine; -EINVAL if @file is not a virtual machine, -EIO if it is dead
 * @reclaim: undo what the consumer has done to make frames private in hardware, see gmem_reclaim();
 *	NULL if nothing was done. Frames are private only while they are bound, i.e. while there is
 *	a virtual machine.
 */
struct gmem_consumer_ops {
	int (*vm_id)(struct file *file, u64 *id);
	unsigned long (*reclaim)(unsigned long pfn, unsigned long nr);
};

#ifdef CONFIG_GMEM_PROVIDER
void gmem_resource_register(struct gmem_resource *r);
struct file *gmem_resource_open(unsigned int fd, u64 vm_id, loff_t size, u64 flags);
int gmem_consumer_register(const struct gmem_consumer_ops *ops);
void gmem_consumer_unregister(const struct gmem_consumer_ops *ops);
int gmem_vm_id(struct file *file, u64 *id);
u64 gmem_new_vm_id(void);
unsigned long gmem_reclaim(unsigned long pfn, unsigned long nr);
#else
static inline void gmem_resource_register(struct gmem_resource *r)
{
}

static inline unsigned long gmem_reclaim(unsigned long pfn, unsigned long nr)
{
	return 0;
}
#endif

#endif /* _LINUX_GMEM_PROVIDER_H */
