// SPDX-License-Identifier: GPL-2.0-only
/*
 * The registry of guest memory providers and of their consumer, the hypervisor. It is built
 * in, as a provider may be built in while the hypervisor is a module. Functions that are not
 * exported have no modular user. gmem_provider_register() and gmem_provider_unregister() are
 * exported for the tests of KVM, which register a provider.
 */
#include <kunit/static_stub.h>
#include <linux/atomic.h>
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/export.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/gmem_provider.h>
#include <linux/rwsem.h>

static DECLARE_RWSEM(gmem_registry_lock);
static LIST_HEAD(gmem_providers);
static LIST_HEAD(gmem_resources);
static const struct gmem_consumer_ops *gmem_consumer;

/**
 * gmem_provider_register - register a kind of file that provides guest memory
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
 * gmem_provider_unregister - undo gmem_provider_register()
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
 * gmem_provider_of - find the provider of a file
 * @file: an open file
 *
 * Context: process context.
 * Return: the provider's operations, valid as long as the file is open, or NULL if the file
 * does not provide guest memory.
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
 * gmem_resource_register - register a filesystem of which a hypervisor can ask for guest memory
 * @r: the filesystem, which is built in and never goes away
 *
 * Context: process context.
 */
void gmem_resource_register(struct gmem_resource *r)
{
	guard(rwsem_write)(&gmem_registry_lock);
	list_add_tail(&r->list, &gmem_resources);
}

/**
 * gmem_resource_open - make a descriptor of a provider
 * @fd: number of a descriptor, of a directory or a file of any filesystem; may be one of fsmount(),
 *	which are opened with O_PATH
 * @vm_id: number of the virtual machine that may bind the descriptor
 * @size: size of the file
 * @flags: GUEST_MEMFD_FLAG_*
 *
 * Context: process context, with the credentials of the user.
 * Return: the descriptor, -EBADF if @fd is not open, -EINVAL if it is not of such a filesystem, or
 * another error of open() in struct gmem_resource.
 */
struct file *gmem_resource_open(unsigned int fd, u64 vm_id, loff_t size, u64 flags)
{
	struct gmem_resource *r, *found = NULL;

	CLASS(fd_raw, resource)(fd);

	if (fd_empty(resource))
		return ERR_PTR(-EBADF);
	scoped_guard(rwsem_read, &gmem_registry_lock)
		list_for_each_entry(r, &gmem_resources, list)
			if (r->fs == file_inode(fd_file(resource))->i_sb->s_type)
				found = r;
	return found ? found->open(fd_file(resource), vm_id, size, flags) : ERR_PTR(-EINVAL);
}
EXPORT_SYMBOL_FOR_MODULES(gmem_resource_open, "kvm");

/**
 * gmem_consumer_register - register the hypervisor
 * @ops: its operations
 *
 * Context: process context.
 * Return: 0, or -EBUSY if a hypervisor is registered already.
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
 * gmem_consumer_unregister - unregister the hypervisor, before it is unloaded
 * @ops: the registered operations; none of them runs after this
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
 * gmem_vm_id - get the number of a virtual machine
 * @file: the file of the virtual machine
 * @id: filled in with the number, not 0
 *
 * Context: process context.
 * Return: 0, -EINVAL if the file is no virtual machine (or no hypervisor is registered), or
 * -EIO if the virtual machine is dead.
 */
int gmem_vm_id(struct file *file, u64 *id)
{
	guard(rwsem_read)(&gmem_registry_lock);
	return gmem_consumer ? gmem_consumer->vm_id(file, id) : -EINVAL;
}

/**
 * gmem_new_vm_id - allocate a number for a virtual machine
 *
 * Return: a number that no other virtual machine has or had, of any hypervisor.
 */
u64 gmem_new_vm_id(void)
{
	static atomic64_t last;

	return atomic64_inc_return(&last);
}
EXPORT_SYMBOL_FOR_MODULES(gmem_new_vm_id, "kvm");

/**
 * gmem_reclaim - reclaim private frames that are about to be shared or freed
 * @pfn: first frame; the frames are unmapped from all guests
 * @nr: number of frames
 *
 * If hardware does not give back a frame, the caller must not use it again for anything, and has to
 * call again for the frames behind it.
 *
 * Context: process context.
 * Return: 0 if all frames are ordinary ones, or the number of frames from the first one that stays
 * private to the last one.
 */
unsigned long gmem_reclaim(unsigned long pfn, unsigned long nr)
{
	/* For tests: no hypervisor that a test can run implements reclaim(). */
	KUNIT_STATIC_STUB_REDIRECT(gmem_reclaim, pfn, nr);
	guard(rwsem_read)(&gmem_registry_lock);
	return gmem_consumer && gmem_consumer->reclaim ? gmem_consumer->reclaim(pfn, nr) : 0;
}
