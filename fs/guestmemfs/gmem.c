// SPDX-License-Identifier: GPL-2.0-only
/*
 * Descriptors that a hypervisor binds to memslots, see <linux/gmem_provider.h>.
 *
 * A descriptor is another struct file of the same inode, with references on the inode and the
 * mount. A memslot has a reference on the descriptor. So the file can be closed and unlinked,
 * the descriptor closed and the VM destroyed in any order: the last of these frees the memory.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/falloc.h>
#include <linux/gmem_provider.h>
#include <linux/init.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/task_work.h>
#include <uapi/linux/guestmemfs.h>
#include <uapi/linux/kvm.h>

#include "bindings.h"
#include "gmem.h"
#include "internal.h"
#include "ioctl.h"

/* The layout is the same for 32-bit programs, which come through compat_ptr_ioctl(). */
static_assert(sizeof(struct guestmemfs_create_gmem) == 16);
/* The values are KVM's: a VMM can use its flags of KVM_CREATE_GUEST_MEMFD. */
static_assert(GUESTMEMFS_GMEM_MMAP == GUEST_MEMFD_FLAG_MMAP);
static_assert(GUESTMEMFS_GMEM_INIT_SHARED == GUEST_MEMFD_FLAG_INIT_SHARED);

#define GMFS_GMEM_FLAGS	(GUESTMEMFS_GMEM_MMAP | GUESTMEMFS_GMEM_INIT_SHARED | \
			 GUESTMEMFS_GMEM_EXIT_MISSING)

/**
 * struct gmfs_gmem - the private data of a descriptor
 * @file: the file that the descriptor was made from, which has write access to the mount
 * @vm_id: number of the VM that may bind the descriptor; 0: the first VM that binds it; under
 *	invalidate_lock
 * @flags: GUESTMEMFS_GMEM_*
 */
struct gmfs_gmem {
	struct file *file;
	u64 vm_id;
	u32 flags;
};

/* May @b be bound, although it overlaps with the existing binding @other? */
static bool gmfs_binding_fits(struct inode *inode, const struct gmem_binding *b,
			      const struct gmem_binding *other)
{
	if (b->vm_id == other->vm_id)
		return b->as_id != other->as_id;
	return !gmfs_bindings_contest(b, other) ||
	       gmfs_file_is(inode, max(b->start, other->start), min(b->end, other->end), false);
}

static int gmfs_gmem_bind(struct file *file, struct gmem_binding *b)
{
	struct inode *inode = file_inode(file);
	struct gmfs_gmem *gmem = file->private_data;
	struct list_head *bindings = &GUESTMEMFS_I(inode)->bindings, *before = bindings;
	struct gmem_binding *other;
	int err = -EINVAL;

	filemap_invalidate_lock(inode->i_mapping);
	if (gmem->vm_id && gmem->vm_id != b->vm_id)
		goto out;
	if (b->end < b->start || b->end > i_size_read(inode) >> PAGE_SHIFT)
		goto out;
	err = -EEXIST;
	list_for_each_entry(other, bindings, node) {
		if (other->start <= b->start)
			before = &other->node;
		if (gmfs_binding_touches(other, b->start, b->end) &&
		    !gmfs_binding_fits(inode, b, other))
			goto out;
	}
	gmem->vm_id = b->vm_id;
	list_add(&b->node, before);
	err = 0;
out:
	filemap_invalidate_unlock(inode->i_mapping);
	return err;
}

static void gmfs_gmem_unbind(struct file *file, struct gmem_binding *b)
{
	struct address_space *mapping = file->f_mapping;
	struct inode *inode = file_inode(file);

	filemap_invalidate_lock(mapping);
	/*
	 * Also if only the memslot goes: nothing tells the file when the guest ends later, and the
	 * next guest to bind the pages could not use frames that hardware keeps for this one. If @b
	 * has no make_private(), the private frames are those of another guest, which still runs.
	 * gmfs_reclaim_private() looks for @b in the list.
	 */
	if (b->ops->make_private) {
		guard(rwsem_write)(&GUESTMEMFS_I(inode)->map_lock);
		gmfs_reclaim_private(inode, b->start, b->end);
	}
	list_del(&b->node);
	filemap_invalidate_unlock(mapping);
}

/**
 * gmfs_gmem_flags - the flags of a descriptor
 * @file: a descriptor for a hypervisor
 *
 * Return: GUESTMEMFS_GMEM_*.
 */
u32 gmfs_gmem_flags(const struct file *file)
{
	const struct gmfs_gmem *gmem = file->private_data;

	return gmem->flags;
}

/* Finds the largest entry of the allowed orders that can map a page, and the page's frame. */
static int gmfs_gmem_entry(struct inode *inode, const struct gmem_binding *b, pgoff_t index,
			   unsigned long orders, struct gmfs_entry *entry, unsigned long *pfn)
{
	unsigned int flags = GMFS_ENTRY_STEP | (b->uses_private ? 0 : GMFS_ENTRY_SHARED);
	struct gmfs_pool *pool = GUESTMEMFS_SB(inode->i_sb);
	int err;

	orders = gmfs_file_orders(inode, index, orders);
	if (!orders)
		return -EFAULT;
	err = gmfs_file_entry(inode, index, orders, flags, entry);
	if (err == -EFAULT && !b->uses_private && gmfs_file_is_private(inode, index))
		return -EACCES;
	if (err)
		return err;
	*pfn = PHYS_PFN(gmfs_loaded_phys(&pool->tables, entry->block)) +
	       (index - round_down(entry->first, GUESTMEMFS_BLOCK_PAGES));
	return 0;
}

static bool gmfs_entry_is_private(struct inode *inode, const struct gmfs_entry *entry)
{
	return entry->converted != gmfs_private_by_default(inode);
}

/*
 * Makes one page private in hardware, with the lock held that keeps its frame. So the entry is
 * one of a page: KVM's hook takes no more.
 */
static int gmfs_gmem_make_private(struct inode *inode, struct gmem_binding *b, pgoff_t index,
				  const struct gmfs_entry *entry, unsigned long pfn, int *order)
{
	*order = entry->order;
	if (!b->ops->make_private || !gmfs_entry_is_private(inode, entry))
		return 0;
	*order = 0;
	return b->ops->make_private(b, index, pfn);
}

/* Finds the frame of a page, and the order of the largest entry that can map it. */
static int gmfs_gmem_lookup(struct file *file, struct gmem_binding *b, pgoff_t index,
			    unsigned long *pfn, int *order)
{
	struct inode *inode = file_inode(file);
	struct gmfs_entry entry;
	int err;

	/* KVM_EXIT_MEMORY_FAULT. A poisoned page cannot be filled: gmfs_file_entry() refuses it. */
	if (gmfs_gmem_flags(file) & GUESTMEMFS_GMEM_EXIT_MISSING &&
	    gmfs_file_orders(inode, index, BIT(0)) &&
	    gmfs_file_missing(inode, index) && !gmfs_file_poisoned(inode, index))
		return -ENODATA;
	err = gmfs_gmem_entry(inode, b, index, GMFS_ALL_ORDERS, &entry, pfn);
	return err ?: gmfs_gmem_make_private(inode, b, index, &entry, *pfn, order);
}

/**
 * struct gmfs_gmem_wait - a task that will wait for a thaw
 * @work: work of the task
 * @pool: the pool, which is frozen
 */
struct gmfs_gmem_wait {
	struct callback_head work;
	const struct gmfs_pool *pool;
};

static void gmfs_gmem_wait_work(struct callback_head *work)
{
	struct gmfs_gmem_wait *wait = container_of(work, struct gmfs_gmem_wait, work);

	while (READ_ONCE(wait->pool->frozen) && !signal_pending(current) &&
	       !(current->flags & PF_EXITING))
		schedule_timeout_interruptible(HZ / 50);
	kfree(wait);
}

/*
 * Lets the task wait for a thaw when it returns to the guest or to user space. KVM has released
 * srcu then, so that memslots can change meanwhile. Without memory for this, the guest's fault is
 * repeated without a wait. A kernel thread has no such work.
 */
static void gmfs_gmem_wait(const struct gmfs_pool *pool)
{
	struct gmfs_gmem_wait *wait;

	if (current->flags & PF_KTHREAD)
		return;
	wait = kmalloc_obj(*wait);
	if (!wait)
		return;
	init_task_work(&wait->work, gmfs_gmem_wait_work);
	wait->pool = pool;
	if (task_work_add(current, &wait->work, TWA_RESUME))
		kfree(wait);
}

/*
 * Zeroes 32 MiB at most with KVM's srcu and invalidate_lock held, while each helper zeroes 32 MiB
 * at most. For the rest, KVM repeats the guest's fault: before that it handles signals and
 * requests, and changes of memslots and of the file get their turn.
 */
static int gmfs_gmem_get_pfn(struct file *file, struct gmem_binding *b, pgoff_t index,
			     unsigned long *pfn, int *order)
{
	struct inode *inode = file_inode(file);
	struct rw_semaphore *lock = &inode->i_mapping->invalidate_lock;
	int err;

	err = down_read_interruptible(lock);
	if (err)
		return err;
	err = gmfs_gmem_lookup(file, b, index, pfn, order);
	up_read(lock);
	if (err != -EBUSY)
		return err;
	/* The guest needs a block, and the pool is frozen for a kexec. */
	gmfs_gmem_wait(GUESTMEMFS_SB(inode->i_sb));
	return -EAGAIN;
}

/*
 * The first contents of a private page, by which it becomes private in hardware. Holds the lock
 * exclusively, as guest_memfd does: no fault, pin or conversion is in between.
 */
static int gmfs_gmem_populate(struct file *file, struct gmem_binding *b, pgoff_t index,
			      int (*fill)(void *data, unsigned long pfn), void *data)
{
	struct inode *inode = file_inode(file);
	struct gmfs_entry entry;
	unsigned long pfn;
	int err;

	filemap_invalidate_lock(inode->i_mapping);
	err = gmfs_gmem_entry(inode, b, index, BIT(0), &entry, &pfn);
	if (!err && !gmfs_entry_is_private(inode, &entry))
		err = -EINVAL;
	if (!err)
		err = fill(data, pfn);
	filemap_invalidate_unlock(inode->i_mapping);
	return err;
}

static bool gmfs_gmem_is_private(struct file *file, pgoff_t index)
{
	return gmfs_file_is_private(file_inode(file), index);
}

static const struct gmem_provider_ops gmfs_gmem_provider_ops = {
	.bind		= gmfs_gmem_bind,
	.unbind		= gmfs_gmem_unbind,
	.get_pfn	= gmfs_gmem_get_pfn,
	.is_private	= gmfs_gmem_is_private,
	.populate	= gmfs_gmem_populate,
};

static int guestmemfs_gmem_mmap_prepare(struct vm_area_desc *desc)
{
	const struct gmfs_gmem *gmem = desc->file->private_data;

	if (!(gmem->flags & GUESTMEMFS_GMEM_MMAP))
		return -ENODEV;
	return guestmemfs_mmap_prepare(desc);
}

/*
 * What KVM's own guest_memfd can do has its rules: whole pages, and no memory beyond the end of the
 * file. The rest is as for a file.
 */
static long guestmemfs_gmem_fallocate(struct file *file, int mode, loff_t offset, loff_t len)
{
	loff_t end = round_up(i_size_read(file_inode(file)), PAGE_SIZE);

	if (!(mode & FALLOC_FL_ZERO_RANGE) && !PAGE_ALIGNED(offset | len))
		return -EINVAL;
	if (mode == FALLOC_FL_KEEP_SIZE && offset + len > end)
		return -EINVAL;
	return guestmemfs_fallocate(file, mode, offset, len);
}

static int guestmemfs_gmem_release(struct inode *inode, struct file *file)
{
	struct gmfs_gmem *gmem = file->private_data;

	fput(gmem->file);
	kfree(gmem);
	return 0;
}

/**
 * gmfs_is_gmem - is an open file a descriptor for a hypervisor
 * @file: any file
 *
 * Return: true if gmfs_gmem_file() has made it.
 */
bool gmfs_is_gmem(const struct file *file)
{
	return file->f_op == &gmfs_gmem_file_operations;
}

/**
 * gmfs_gmem_file - make a descriptor for a hypervisor
 * @file: the file, open for reading and writing
 * @vm_id: number of the VM that may bind the descriptor, 0 for the first VM that binds it
 * @flags: GUESTMEMFS_GMEM_*
 *
 * Return: the descriptor's file, or -ENOMEM or -ENFILE.
 */
struct file *gmfs_gmem_file(struct file *file, u64 vm_id, u32 flags)
{
	struct gmfs_gmem *gmem = kzalloc_obj(*gmem, GFP_KERNEL_ACCOUNT);
	struct file *new;

	if (!gmem)
		return ERR_PTR(-ENOMEM);
	gmem->vm_id = vm_id;
	gmem->flags = flags;
	/* Keep @file open: alloc_file_clone() does not take write access to the mount. */
	gmem->file = get_file(file);
	new = alloc_file_clone(file, O_RDWR | O_LARGEFILE, &gmfs_gmem_file_operations);
	if (IS_ERR(new)) {
		fput(file);
		kfree(gmem);
	} else {
		new->private_data = gmem;
	}
	return new;
}

/* Nothing of the caller's may fail after this: gmfs_choose_character() cannot be undone. */
static struct file *gmfs_gmem_make(struct file *file, u64 vm_id, u32 flags)
{
	const fmode_t access = FMODE_READ | FMODE_WRITE;
	struct file *new;
	int err;

	if ((file->f_mode & access) != access)
		return ERR_PTR(-EACCES);
	new = gmfs_gmem_file(file, vm_id, flags);
	if (IS_ERR(new))
		return new;
	err = gmfs_choose_character(file_inode(file), !(flags & GUESTMEMFS_GMEM_INIT_SHARED));
	if (err) {
		fput(new);
		return ERR_PTR(err);
	}
	return new;
}

static int gmfs_gmem_create(struct file *file, int vm_fd, u32 flags)
{
	struct file *new;
	u64 vm_id;
	int fd, err;

	CLASS(fd, vm)(vm_fd);

	if (fd_empty(vm))
		return -EBADF;
	err = gmem_vm_id(fd_file(vm), &vm_id);
	if (err)
		return err;
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		return fd;
	new = gmfs_gmem_make(file, vm_id, flags);
	if (IS_ERR(new)) {
		put_unused_fd(fd);
		return PTR_ERR(new);
	}
	fd_install(fd, new);
	return fd;
}

/**
 * gmfs_gmem_resource_open - make a descriptor for a hypervisor that asks for it
 * @resource: a directory, which gets a file without a name, or a file
 * @vm_id: number of the VM that may bind the descriptor
 * @size: size of the file
 * @flags: %GUEST_MEMFD_FLAG_MMAP and %GUEST_MEMFD_FLAG_INIT_SHARED
 *
 * Return: the descriptor's file, or an ERR_PTR(): -EINVAL if @resource is anything else or the file
 * has another size, -EBADF if it was opened with O_PATH; or an error of open(2), ftruncate(2) or
 * %GUESTMEMFS_IOC_CREATE_GMEM.
 */
struct file *gmfs_gmem_resource_open(struct file *resource, u64 vm_id, loff_t size, u64 flags)
{
	struct inode *inode = file_inode(resource);
	struct file *file __free(fput) = NULL;
	int err;

	if (S_ISREG(inode->i_mode)) {
		if (resource->f_mode & FMODE_PATH)
			return ERR_PTR(-EBADF);
		if (gmfs_is_gmem(resource) || i_size_read(inode) != size)
			return ERR_PTR(-EINVAL);
		return gmfs_gmem_make(resource, vm_id, flags);
	}
	if (!S_ISDIR(inode->i_mode))
		return ERR_PTR(-EINVAL);
	file = file_open_root(&resource->f_path, ".", O_TMPFILE | O_RDWR | O_LARGEFILE, 0600);
	if (IS_ERR(file))
		return no_free_ptr(file);
	err = do_truncate(file_mnt_idmap(file), file_dentry(file), size, 0, file);
	if (err)
		return ERR_PTR(err);
	return gmfs_gmem_make(file, vm_id, flags);
}

/**
 * gmfs_gmem_ioctl_create - %GUESTMEMFS_IOC_CREATE_GMEM
 * @file: the file
 * @uarg: its argument
 *
 * Return: the new descriptor, or an error that the uapi header lists.
 */
long gmfs_gmem_ioctl_create(struct file *file, const void __user *uarg)
{
	struct guestmemfs_create_gmem arg;
	int err;

	err = gmfs_ioctl_get(&arg, sizeof(arg), sizeof(arg), uarg);
	if (err)
		return err;
	if (arg.flags & ~GMFS_GMEM_FLAGS || arg.reserved)
		return -EINVAL;
	return gmfs_gmem_create(file, arg.vm_fd, arg.flags);
}

const struct file_operations gmfs_gmem_file_operations = {
	.llseek			= guestmemfs_llseek,
	.mmap_prepare		= guestmemfs_gmem_mmap_prepare,
	.get_unmapped_area	= guestmemfs_get_unmapped_area,
	.fallocate		= guestmemfs_gmem_fallocate,
	.fsync			= noop_fsync,
	.unlocked_ioctl		= guestmemfs_gmem_ioctl,
	.compat_ioctl		= compat_ptr_ioctl,
	.release		= guestmemfs_gmem_release,
};

static struct frame_pin_provider gmfs_dma_gmem = {
	.fops	= &gmfs_gmem_file_operations,
	.ops	= &gmfs_dma_ops,
};

struct gmem_provider gmfs_gmem_provider = {
	.fops	= &gmfs_gmem_file_operations,
	.ops	= &gmfs_gmem_provider_ops,
};

static int __init gmfs_gmem_init(void)
{
	gmem_provider_register(&gmfs_gmem_provider);
	frame_pin_register(&gmfs_dma_gmem);
	return 0;
}
fs_initcall(gmfs_gmem_init);
