// SPDX-License-Identifier: GPL-2.0-only
/*
 * ioctls of files and of descriptors for hypervisors. GUESTMEMFS_IOC_CREATE_GMEM is in gmem.c.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/fsnotify.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/security.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <uapi/linux/guestmemfs.h>
#include <uapi/linux/kvm.h>

#include "tables/extmap.h"
#include "internal.h"
#include "ioctl.h"

/* The layout is the same for 32-bit programs, which come through compat_ptr_ioctl(). */
static_assert(sizeof(struct kvm_memory_attributes2) == 128);
static_assert(offsetof(struct kvm_memory_attributes2, error_offset) == 32);
static_assert(sizeof(struct guestmemfs_get_state) == 40);
static_assert(offsetof(struct guestmemfs_get_state, offset) == 8);
static_assert(offsetof(struct guestmemfs_get_state, order) == 32);
static_assert(sizeof(struct guestmemfs_part) == 24);
static_assert(offsetof(struct guestmemfs_part, offset) == 8);
static_assert(sizeof(struct guestmemfs_move) == 48);
static_assert(offsetof(struct guestmemfs_move, from_offset) == 16);
static_assert(offsetof(struct guestmemfs_move, error_offset) == 40);

/**
 * gmfs_ioctl_get - copy the argument of an ioctl from user space
 * @arg: the copy
 * @ksize: size of the structure in this kernel
 * @min: size of its first version
 * @uarg: the argument, which begins with its size
 *
 * Return: 0; -EFAULT, -EINVAL (smaller than @min), or -E2BIG (larger than a page, or with
 * fields that this kernel does not know and that are not zero).
 */
int gmfs_ioctl_get(void *arg, size_t ksize, size_t min, const void __user *uarg)
{
	u32 size;

	if (get_user(size, (const u32 __user *)uarg))
		return -EFAULT;
	if (size < min)
		return -EINVAL;
	if (size > PAGE_SIZE)
		return -E2BIG;
	return copy_struct_from_user(arg, ksize, uarg, size);
}

/* Does the part have whole pages, and at least one? */
static bool gmfs_part_valid(u64 offset, u64 length)
{
	u64 end;

	if (!length || !PAGE_ALIGNED(offset | length))
		return false;
	return !check_add_overflow(offset, length, &end) && end <= MAX_LFS_FILESIZE;
}

static bool gmfs_attributes_valid(const struct kvm_memory_attributes2 *arg)
{
	if (arg->flags || arg->attributes & ~KVM_MEMORY_ATTRIBUTE_PRIVATE)
		return false;
	if (memchr_inv(arg->reserved, 0, sizeof(arg->reserved)))
		return false;
	return gmfs_part_valid(arg->offset, arg->size);
}

/* %KVM_SET_MEMORY_ATTRIBUTES2. */
static long gmfs_ioctl_set_attributes(struct file *file, void __user *uarg)
{
	struct kvm_memory_attributes2 __user *to = uarg;
	struct kvm_memory_attributes2 arg;
	pgoff_t conflict;
	int err;

	if (copy_from_user(&arg, uarg, sizeof(arg)))
		return -EFAULT;
	if (!gmfs_attributes_valid(&arg))
		return -EINVAL;
	conflict = arg.offset >> PAGE_SHIFT;
	err = gmfs_convert(file_inode(file), arg.offset >> PAGE_SHIFT,
			   (arg.offset + arg.size) >> PAGE_SHIFT,
			   arg.attributes & KVM_MEMORY_ATTRIBUTE_PRIVATE, &conflict);
	/* Nothing is written after a conversion: EFAULT means that nothing was converted. */
	if (err && err != -EINVAL && put_user((u64)conflict << PAGE_SHIFT, &to->error_offset))
		return -EFAULT;
	return err;
}

/* Can an entry not be mapped as one, for absent pages or poisoned frames? */
static bool gmfs_state_broken(struct inode *inode, const struct gmfs_entry *entry)
{
	const struct gmfs_poisoned *p = &GUESTMEMFS_SB(inode->i_sb)->poisoned;
	u64 frame = gmfs_entry_frame(entry), end = frame + BIT(entry->order);

	return gmfs_absent_any(inode, entry->first, entry->first + BIT(entry->order)) ||
	       (entry->block != GMFS_NO_BLOCK && gmfs_poisoned_next(p, frame, end) < end);
}

/*
 * Is the frame of a page poisoned? Lowers @last, the end of the pages that have the same state as
 * @page.
 */
static bool gmfs_state_poisoned(struct inode *inode, pgoff_t page, pgoff_t *last)
{
	struct gmfs_pool *pool = GUESTMEMFS_SB(inode->i_sb);
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	struct gmfs_run run;
	u64 frame, end, at;

	if (!READ_ONCE(pool->poisoned.nr))
		return false;
	scoped_guard(rwsem_read, &gi->map_lock)
		gmfs_map_lookup(&pool->tables, gi->map, page / GUESTMEMFS_BLOCK_PAGES, &run);
	if (run.block == GMFS_NO_BLOCK)
		return false;
	/* The frames of a run are contiguous. */
	*last = min_t(u64, *last, (run.logical + run.count) * GUESTMEMFS_BLOCK_PAGES);
	frame = (u64)run.block * GUESTMEMFS_BLOCK_PAGES +
		(page - run.logical * GUESTMEMFS_BLOCK_PAGES);
	end = frame + (*last - page);
	at = gmfs_poisoned_next(&pool->poisoned, frame, end);
	*last = page + (at == frame ? 1 : at - frame);
	return at == frame;
}

/* The order of the largest entry that can map the page, 0 if the page has no frame. */
static u32 gmfs_state_order(struct inode *inode, pgoff_t page)
{
	struct gmfs_tables *t = &GUESTMEMFS_SB(inode->i_sb)->tables;
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	unsigned long orders = gmfs_file_orders(inode, page, GMFS_ALL_ORDERS);
	struct gmfs_entry entry;

	if (!orders)
		return 0;
	guard(rwsem_read)(&gi->map_lock);
	do {
		gmfs_map_entry(t, gi->map, page, orders, &entry);
		orders &= BIT(entry.order) - 1;
	} while (entry.order && gmfs_state_broken(inode, &entry));
	return entry.block == GMFS_NO_BLOCK ? 0 : entry.order;
}

static void gmfs_state_fill(struct inode *inode, pgoff_t page, struct guestmemfs_get_state *arg)
{
	struct gmfs_tables *t = &GUESTMEMFS_SB(inode->i_sb)->tables;
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	pgoff_t last = DIV_ROUND_UP(i_size_read(inode), PAGE_SIZE);
	struct gmfs_pinned pinned, persistent;
	struct gmfs_state state;
	bool is_pinned, lasts = false, poisoned;

	scoped_guard(rwsem_read, &gi->map_lock)
		gmfs_map_state(t, gi->map, page, &state);
	last = min_t(u64, last, state.end);
	is_pinned = gmfs_file_pinned(inode, page, last, &pinned);
	if (is_pinned) {
		last = pinned.first > page ? pinned.first : pinned.last;
		is_pinned = pinned.first == page;
		/* A pin may have filled the hole since the look-up. */
		state.allocated |= is_pinned;
	}
	if (is_pinned && gmfs_file_persistent(inode, page, last, &persistent)) {
		lasts = persistent.first == page;
		last = lasts ? persistent.last : persistent.first;
	}
	poisoned = gmfs_state_poisoned(inode, page, &last);
	arg->state = (state.allocated ? GUESTMEMFS_STATE_ALLOCATED : 0) |
		     (is_pinned ? GUESTMEMFS_STATE_PINNED : 0) |
		     (lasts ? GUESTMEMFS_STATE_PERSISTENT : 0) |
		     (poisoned ? GUESTMEMFS_STATE_POISONED : 0);
	if (gmfs_file_is_private(inode, page))
		arg->state |= GUESTMEMFS_STATE_PRIVATE;
	arg->length = (u64)(last - page) << PAGE_SHIFT;
	arg->order = gmfs_state_order(inode, page);
}

/* %GUESTMEMFS_IOC_GET_STATE. */
static long gmfs_ioctl_get_state(struct file *file, void __user *uarg)
{
	struct inode *inode = file_inode(file);
	struct guestmemfs_get_state arg;
	int err;

	err = gmfs_ioctl_get(&arg, sizeof(arg), sizeof(arg), uarg);
	if (err)
		return err;
	if (arg.flags)
		return -EINVAL;
	arg.reserved = 0;
	filemap_invalidate_lock_shared(inode->i_mapping);
	if (arg.offset < i_size_read(inode))
		gmfs_state_fill(inode, arg.offset >> PAGE_SHIFT, &arg);
	else
		err = -ENXIO;
	filemap_invalidate_unlock_shared(inode->i_mapping);
	/* An older caller has a smaller structure: copy no more than fits. */
	if (!err && copy_to_user(uarg, &arg, min(arg.size, sizeof(arg))))
		err = -EFAULT;
	return err;
}

/* %GUESTMEMFS_IOC_PIN. */
static long gmfs_ioctl_pin(struct file *file, const void __user *uarg)
{
	const fmode_t access = FMODE_READ | FMODE_WRITE;
	struct guestmemfs_part arg;
	int err;

	err = gmfs_ioctl_get(&arg, sizeof(arg), sizeof(arg), uarg);
	if (err)
		return err;
	if (arg.flags || !gmfs_part_valid(arg.offset, arg.length))
		return -EINVAL;
	if ((file->f_mode & access) != access)
		return -EACCES;
	return gmfs_pin_persistently(file, arg.offset >> PAGE_SHIFT,
				     (arg.offset + arg.length) >> PAGE_SHIFT);
}

/* %GUESTMEMFS_IOC_UNPIN. */
static long gmfs_ioctl_unpin(struct file *file, const void __user *uarg)
{
	const fmode_t access = FMODE_READ | FMODE_WRITE;
	struct guestmemfs_part arg;
	bool all;
	int err;

	err = gmfs_ioctl_get(&arg, sizeof(arg), sizeof(arg), uarg);
	if (err)
		return err;
	all = arg.flags & GUESTMEMFS_UNPIN_ALL;
	if (arg.flags & ~GUESTMEMFS_UNPIN_ALL || (all && (arg.offset || arg.length)) ||
	    (!all && !gmfs_part_valid(arg.offset, arg.length)))
		return -EINVAL;
	if ((file->f_mode & access) != access)
		return -EACCES;
	if (all)
		return gmfs_unpin_all_persistent(file_inode(file));
	return gmfs_unpin_persistent(file_inode(file), arg.offset >> PAGE_SHIFT,
				     (arg.offset + arg.length) >> PAGE_SHIFT);
}

/* %GUESTMEMFS_IOC_PUNCH. */
static long gmfs_ioctl_punch(struct file *file, const void __user *uarg)
{
	struct guestmemfs_part arg;
	loff_t offset;
	int err;

	err = gmfs_ioctl_get(&arg, sizeof(arg), sizeof(arg), uarg);
	if (err)
		return err;
	if (arg.flags & ~GUESTMEMFS_PUNCH_UNPINNED || !gmfs_part_valid(arg.offset, arg.length))
		return -EINVAL;
	if (!(file->f_mode & FMODE_WRITE))
		return -EBADF;
	/* The same checks and hooks as in vfs_fallocate(). */
	offset = arg.offset;
	err = security_file_permission(file, MAY_WRITE);
	if (!err)
		err = fsnotify_file_area_perm(file, MAY_WRITE, &offset, arg.length);
	if (!err && arg.offset + arg.length > file_inode(file)->i_sb->s_maxbytes)
		err = -EFBIG;
	if (err)
		return err;
	file_start_write(file);
	err = gmfs_punch(file, offset, arg.length, arg.flags & GUESTMEMFS_PUNCH_UNPINNED);
	if (!err)
		fsnotify_modify(file);
	file_end_write(file);
	return err;
}

static bool gmfs_move_valid(const struct guestmemfs_move *arg)
{
	if (arg->flags & ~(GUESTMEMFS_MOVE_ZERO | GUESTMEMFS_MOVE_EXCHANGE))
		return false;
	if ((arg->from_offset | arg->offset | arg->length) & (GMFS_BLOCK_SIZE - 1))
		return false;
	return gmfs_part_valid(arg->from_offset, arg->length) &&
	       gmfs_part_valid(arg->offset, arg->length);
}

/* %GUESTMEMFS_IOC_MOVE. */
static long gmfs_ioctl_move(struct file *file, void __user *uarg)
{
	struct guestmemfs_move __user *to = uarg;
	struct gmfs_move_error error = {};
	struct guestmemfs_move arg;
	int err;

	err = gmfs_ioctl_get(&arg, sizeof(arg), sizeof(arg), uarg);
	if (err)
		return err;
	if (!gmfs_move_valid(&arg))
		return -EINVAL;
	/* Check that the error can be written: EFAULT means that nothing was moved. */
	if (put_user(arg.error_file, &to->error_file) ||
	    put_user(arg.error_offset, &to->error_offset))
		return -EFAULT;
	CLASS(fd, from)(arg.from_fd);
	if (fd_empty(from))
		return -EBADF;
	err = gmfs_move(fd_file(from), arg.from_offset, file, arg.offset, arg.length, arg.flags,
			&error);
	if (err && err != -EAGAIN && err != -EEXIST)
		return err;
	if ((put_user((u32)error.in_target, &to->error_file) ||
	     put_user(error.offset, &to->error_offset)) && err)
		return -EFAULT;
	return err;
}

/**
 * gmfs_ioctl - ioctls that files and descriptors for a hypervisor have in common
 * @file: the file or the descriptor
 * @cmd: GUESTMEMFS_IOC_*
 * @uarg: its argument
 *
 * Return: as in the uapi header; -ENOTTY for any other ioctl.
 */
long gmfs_ioctl(struct file *file, unsigned int cmd, void __user *uarg)
{
	switch (gmfs_ioctl_nr(cmd)) {
	case _IOC_NR(GUESTMEMFS_IOC_GET_STATE):
		return gmfs_ioctl_get_state(file, uarg);
	case _IOC_NR(GUESTMEMFS_IOC_PIN):
		return gmfs_ioctl_pin(file, uarg);
	case _IOC_NR(GUESTMEMFS_IOC_UNPIN):
		return gmfs_ioctl_unpin(file, uarg);
	case _IOC_NR(GUESTMEMFS_IOC_PUNCH):
		return gmfs_ioctl_punch(file, uarg);
	case _IOC_NR(GUESTMEMFS_IOC_MOVE):
		return gmfs_ioctl_move(file, uarg);
	default:
		return -ENOTTY;
	}
}

/**
 * guestmemfs_gmem_ioctl - ioctls of a descriptor for a hypervisor
 * @file: the descriptor
 * @cmd: GUESTMEMFS_IOC_*, or %KVM_SET_MEMORY_ATTRIBUTES2
 * @arg: a pointer to its argument
 *
 * Return: as gmfs_ioctl().
 */
long guestmemfs_gmem_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	if (cmd == KVM_SET_MEMORY_ATTRIBUTES2)
		return gmfs_ioctl_set_attributes(file, (void __user *)arg);
	return gmfs_ioctl(file, cmd, (void __user *)arg);
}
