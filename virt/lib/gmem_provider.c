// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who provides guest memory, and to whom. Built in, so that both a provider
 * that is no module and a hypervisor that is one can use it. What is not exported
 * has no user yet that could be a module; tests of KVM are providers, too.
 */
#include <kunit/static_stub.h>
#include <linux/atomic.h>
#include <linux/errno.h>
#include <linux/export.h>
#include <linux/fs.h>
#include <linux/gmem_provider.h>
#include <linux/rwsem.h>

static DECLARE_RWSEM(gmem_registry_lock);
static LIST_HEAD(gmem_providers);
static const struct gmem_consumer_ops *gmem_consumer;

/**
 * gmem_provider_register - make a kind of file known
 * @p: the provider
 *
 * Context: process context.
 */
void gmem_provider_register(struct gmem_provider *p)
{
	guard(rwsem_write)(&gmem_registry_lock);
	list_add_tail(&p->list, &gmem_providers);
}
EXPORT_SYMBOL_FOR_MODULES(gmem_provider_register, "kvm");

/**
 * gmem_provider_unregister - forget a kind of file
 * @p: a registered provider, none of whose files is open
 *
 * Context: process context.
 */
void gmem_provider_unregister(struct gmem_provider *p)
{
	guard(rwsem_write)(&gmem_registry_lock);
	list_del(&p->list);
}
EXPORT_SYMBOL_FOR_MODULES(gmem_provider_unregister, "kvm");

/**
 * gmem_provider_of - the provider of a file
 * @file: an open file
 *
 * Context: process context.
 * Return: its operations, which stay as long as the file is open, or NULL if
 * the file does not provide guest memory.
 */
const struct gmem_provider_ops *gmem_provider_of(const struct file *file)
{
	struct gmem_provider *p;

	guard(rwsem_read)(&gmem_registry_lock);
	list_for_each_entry(p, &gmem_providers, list)
		if (p->fops == file->f_op)
			return p->ops;
	return NULL;
}
EXPORT_SYMBOL_FOR_MODULES(gmem_provider_of, "kvm");

/**
 * gmem_consumer_register - the hypervisor is there
 * @ops: its operations
 *
 * Context: process context.
 * Return: 0, or -EBUSY if there is one already.
 */
int gmem_consumer_register(const struct gmem_consumer_ops *ops)
{
	guard(rwsem_write)(&gmem_registry_lock);
	if (gmem_consumer)
		return -EBUSY;
	gmem_consumer = ops;
	return 0;
}
EXPORT_SYMBOL_FOR_MODULES(gmem_consumer_register, "kvm");

/**
 * gmem_consumer_unregister - the hypervisor is about to go
 * @ops: what was registered; nothing of it is in use after this
 *
 * Context: process context.
 */
void gmem_consumer_unregister(const struct gmem_consumer_ops *ops)
{
	guard(rwsem_write)(&gmem_registry_lock);
	if (gmem_consumer == ops)
		gmem_consumer = NULL;
}
EXPORT_SYMBOL_FOR_MODULES(gmem_consumer_unregister, "kvm");

/**
 * gmem_vm_id - the number of a virtual machine
 * @file: what should be one
 * @id: the answer, not 0
 *
 * Context: process context.
 * Return: 0, -EINVAL if the file is no virtual machine (or no hypervisor is
 * there to have one), or -EIO if it has died.
 */
int gmem_vm_id(struct file *file, u64 *id)
{
	guard(rwsem_read)(&gmem_registry_lock);
	return gmem_consumer ? gmem_consumer->vm_id(file, id) : -EINVAL;
}

/**
 * gmem_new_vm_id - a number for a virtual machine
 *
 * Return: a number that no other machine has, or has had, whoever runs it.
 */
u64 gmem_new_vm_id(void)
{
	static atomic64_t last;

	return atomic64_inc_return(&last);
}
EXPORT_SYMBOL_FOR_MODULES(gmem_new_vm_id, "kvm");

/**
 * gmem_reclaim - private frames are about to be shared, or free
 * @pfn: first frame, unmapped from all guests
 * @nr: number of frames
 *
 * Context: process context.
 */
void gmem_reclaim(unsigned long pfn, unsigned long nr)
{
	/* No hypervisor that can be run in a test has anything to reclaim. */
	KUNIT_STATIC_STUB_REDIRECT(gmem_reclaim, pfn, nr);
	guard(rwsem_read)(&gmem_registry_lock);
	if (gmem_consumer && gmem_consumer->reclaim)
		gmem_consumer->reclaim(pfn, nr);
}
