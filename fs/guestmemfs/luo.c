// SPDX-License-Identifier: GPL-2.0-only
/*
 * Descriptors that go through a live update: the file handler of the Live
 * Update Orchestrator, and what protects a preserved file.
 */

/**
 * DOC: guestmemfs Preservation via LUO
 *
 * Files of guestmemfs survive a kexec with no help from the Live Update
 * Orchestrator. What a session adds is a descriptor: whoever retrieves it in
 * the next kernel has the same file open again, without having to know its
 * path, or the pool it is in, and before anybody has mounted that pool. And it
 * adds a promise: from preserve to finish nothing is taken out of the file.
 *
 * Preserved
 * ---------
 *
 * The file
 *   Contents, size, holes, name, owner, mode and times, as for every file.
 *
 * An unlinked file
 *   As long as a session preserves it, it goes on to the next kernel. If the
 *   session is not retrieved there, it is freed with the hop after that. So it is if the
 *   next kernel has live update off, where no session can be retrieved: the file is kept
 *   in the pool until one more kexec, the log says so, and ``open_by_handle_at()``
 *   finds it.
 *
 * Access mode and position
 *   As they were at preserve and at freeze.
 *
 * A descriptor for a hypervisor
 *   (``GUESTMEMFS_IOC_CREATE_GMEM``) with its flags. The virtual machine is gone
 *   with its kernel, and the retrieved descriptor is nobody's: the first machine
 *   that binds it has it from there on, and one that tries and fails has not.
 *   Whoever has the descriptor decides which machine that is, as he could with one
 *   that he makes; for another machine he makes another one of the same file
 *   (``/proc/self/fd``). Which pages are private and which are shared is kept in
 *   the file, session or not.
 *
 * Not preserved
 * -------------
 *
 * Status flags (``O_APPEND``, ``O_NONBLOCK``...), ``FD_CLOEXEC``, locks,
 * leases, mappings, and the mount that the descriptor came from, with its
 * options and its idmap: the new one is on a mount of the kernel's, which is
 * read-only for a descriptor that is.
 *
 * While it is preserved
 * ---------------------
 *
 * Shrinking it, punching holes and zeroing ranges fail with ``-EBUSY``. It can be written,
 * mapped, allocated, made larger, renamed and unlinked; unlinking takes the
 * name and leaves the rest. Its pages can be converted, since that takes none of
 * them away: guests run until freeze, and what is private then is private in the
 * next kernel. Descriptors for hypervisors can be made of it. The same holds in
 * the next kernel, with or without a mount, until its session is finished; or,
 * should nobody do that, until the next hop. Where live update is off, a file with a name
 * is free of its session with the first mount.
 *
 * Closing a session finishes it, also when the process that has it dies. What
 * it did not retrieve by then stays a file if it has a name, and is freed if it
 * has none. A file that could not be retrieved, because memory was short or the
 * filesystem was mounted read-only, cannot be asked for again in this kernel;
 * finish leaves it preserved, without a user, until the next hop.
 *
 * Whoever may read a file can preserve it, and thereby keep its owner from
 * shrinking it as long as the session is open. Sessions are root's to give.
 *
 * From freeze on, nothing in the whole pool can be changed but the bytes of
 * blocks that are there: what would change more fails with ``-EBUSY``, or waits
 * if it is a page fault. Should the kexec be called off, it all goes on.
 *
 * Cost
 * ----
 *
 * Three fields of the inode table, and no memory: the cost of preserve, freeze
 * and retrieve does not grow with the size of file or pool, nor does that of
 * finish, unless it frees the file. The first one to ask for a file of a pool
 * that nobody has mounted pays for the mount.
 */

#define pr_fmt(fmt) "guestmemfs: " fmt

#include <linux/dcache.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/init.h>
#include <linux/liveupdate.h>
#include <linux/mount.h>
#include <uapi/linux/guestmemfs.h>

#include <trace/events/guestmemfs.h>

#include "gmem.h"
#include "internal.h"

/* The pool and inode number that a session has kept, as far as it can be them. */
static struct gmfs_pool *gmfs_luo_find(u64 handle, u32 *ino)
{
	struct gmfs_pool *pool = gmfs_pool_find(handle >> GUESTMEMFS_LUO_NODE_SHIFT);

	*ino = handle;
	if (!pool)
		pr_err("a session has a file of node %llu, where there is no pool\n",
		       handle >> GUESTMEMFS_LUO_NODE_SHIFT);
	return pool;
}

static bool gmfs_luo_can_preserve(struct liveupdate_file_handler *handler, struct file *file)
{
	return file->f_op == &guestmemfs_file_operations || gmfs_is_gmem(file);
}

static u16 gmfs_luo_access(const struct file *file)
{
	u16 access = (file->f_mode & FMODE_READ ? GUESTMEMFS_PRESERVED_READ : 0) |
		     (file->f_mode & FMODE_WRITE ? GUESTMEMFS_PRESERVED_WRITE : 0);

	if (gmfs_is_gmem(file)) {
		access |= GUESTMEMFS_PRESERVED_GMEM;
		if (gmfs_gmem_flags(file) & GUESTMEMFS_GMEM_MMAP)
			access |= GUESTMEMFS_PRESERVED_MMAP;
	}
	return access;
}

static int gmfs_luo_preserve(struct liveupdate_file_op_args *args)
{
	struct inode *inode = file_inode(args->file);
	struct gmfs_pool *pool = GUESTMEMFS_SB(inode->i_sb);
	struct guestmemfs_inode *di = &pool->tables.inodes[inode->i_ino];
	int err;

	/* Nothing of the pool will be there. */
	if (!gmfs_outgoing_blob)
		return -EOPNOTSUPP;
	if (sb_rdonly(inode->i_sb))
		return -EROFS;
	/* Open with neither: it could not be opened like that again. */
	if (!gmfs_luo_access(args->file))
		return -EINVAL;
	err = gmfs_pool_begin(pool);
	if (err)
		return err;
	if (gmfs_inode_in_session(pool, inode->i_ino)) {
		err = -EBUSY;
	} else {
		di->preserved_access = cpu_to_le16(gmfs_luo_access(args->file));
		di->preserved_pos = cpu_to_le64(args->file->f_pos);
		di->preserved = cpu_to_le32(gmfs_next_hop(pool->hops));
		args->serialized_data = (u64)pool->node << GUESTMEMFS_LUO_NODE_SHIFT |
					inode->i_ino;
	}
	trace_guestmemfs_preserve(pool->node, inode->i_ino, GUESTMEMFS_STEP_PRESERVE, err);
	gmfs_pool_end(pool);
	return err;
}

static void gmfs_luo_unpreserve(struct liveupdate_file_op_args *args)
{
	struct inode *inode = file_inode(args->file);
	struct gmfs_pool *pool = GUESTMEMFS_SB(inode->i_sb);

	if (gmfs_pool_begin(pool))
		return;
	gmfs_inode_unpreserve(pool, inode->i_ino);
	trace_guestmemfs_preserve(pool->node, inode->i_ino, GUESTMEMFS_STEP_UNPRESERVE, 0);
	gmfs_pool_end(pool);
}

static int gmfs_luo_freeze(struct liveupdate_file_op_args *args)
{
	struct inode *inode = file_inode(args->file);
	struct gmfs_pool *pool = GUESTMEMFS_SB(inode->i_sb);

	/* It may have been frozen already for another file. */
	scoped_guard(mutex, &pool->lock)
		pool->tables.inodes[inode->i_ino].preserved_pos = cpu_to_le64(args->file->f_pos);
	gmfs_pool_freeze(pool);
	return 0;
}

static void gmfs_luo_unfreeze(struct liveupdate_file_op_args *args)
{
	gmfs_pool_thaw(GUESTMEMFS_SB(file_inode(args->file)->i_sb));
}

/* Nobody has looked at what else is in an entry that is free. */
static bool gmfs_inode_is_file(const struct gmfs_pool *pool, u32 ino)
{
	return ino < le32_to_cpu(pool->tables.super->live.used_inodes) &&
	       S_ISREG(le32_to_cpu(pool->tables.inodes[ino].mode));
}

/* What the last kernel has written down of the descriptor. */
static int gmfs_luo_recall(struct gmfs_pool *pool, u32 ino, u16 *access, loff_t *pos)
{
	const struct guestmemfs_inode *di;

	guard(mutex)(&pool->lock);
	if (!gmfs_inode_is_file(pool, ino) || !gmfs_inode_incoming(pool, ino))
		return -ENOENT;
	di = &pool->tables.inodes[ino];
	*access = le16_to_cpu(di->preserved_access);
	if (!(*access & GUESTMEMFS_PRESERVED_ACCESS))
		return -EUCLEAN;
	*pos = le64_to_cpu(di->preserved_pos);
	return 0;
}

static struct file *gmfs_luo_open(struct vfsmount *mnt, u32 ino, u16 access)
{
	static const int open_flags[] = {
		[GUESTMEMFS_PRESERVED_READ]	= O_RDONLY | O_LARGEFILE,
		[GUESTMEMFS_PRESERVED_WRITE]	= O_WRONLY | O_LARGEFILE,
		[GUESTMEMFS_PRESERVED_ACCESS]	= O_RDWR | O_LARGEFILE,
	};
	struct path path = { .mnt = mnt };
	struct inode *inode = ilookup(mnt->mnt_sb, ino);
	struct file *file, *gmem;

	if (!inode)
		return ERR_PTR(-ENOENT);
	/* The name that it has, or none. */
	path.dentry = d_obtain_alias(inode);
	if (IS_ERR(path.dentry))
		return ERR_CAST(path.dentry);
	file = dentry_open(&path, open_flags[access & GUESTMEMFS_PRESERVED_ACCESS],
			   current_cred());
	dput(path.dentry);
	if (IS_ERR(file) || !(access & GUESTMEMFS_PRESERVED_GMEM))
		return file;
	/* Its virtual machine is gone: the first one to bind it has it. */
	gmem = gmfs_gmem_file(file, 0, access & GUESTMEMFS_PRESERVED_MMAP ?
			      GUESTMEMFS_GMEM_MMAP : 0);
	fput(file);
	return gmem;
}

static int gmfs_luo_retrieve(struct liveupdate_file_op_args *args)
{
	struct gmfs_pool *pool;
	struct vfsmount *mnt;
	struct file *file;
	u16 access;
	loff_t pos;
	int err;
	u32 ino;

	pool = gmfs_luo_find(args->serialized_data, &ino);
	if (!pool)
		return -ENXIO;
	mnt = gmfs_mount_pool(pool);
	if (IS_ERR(mnt))
		return PTR_ERR(mnt);
	err = gmfs_luo_recall(pool, ino, &access, &pos);
	if (!err) {
		/* The mount is this descriptor's own. */
		if ((access & GUESTMEMFS_PRESERVED_ACCESS) == GUESTMEMFS_PRESERVED_READ)
			mnt->mnt_flags |= MNT_READONLY;
		file = gmfs_luo_open(mnt, ino, access);
		err = PTR_ERR_OR_ZERO(file);
	}
	mntput(mnt);
	trace_guestmemfs_preserve(pool->node, ino, GUESTMEMFS_STEP_RETRIEVE, err);
	if (err) {
		pr_err("node %d: inode %u cannot be retrieved: %pe\n", pool->node, ino,
		       ERR_PTR(err));
		return err;
	}
	vfs_setpos(file, pos, LLONG_MAX);
	args->file = file;
	return 0;
}

/* Not in the middle of a kexec: what finish changes would not be kept. */
static bool gmfs_luo_can_finish(struct liveupdate_file_op_args *args)
{
	u32 ino;
	struct gmfs_pool *pool = gmfs_luo_find(args->serialized_data, &ino);

	return !pool || !READ_ONCE(pool->frozen);
}

/* The file is like any other from here on; without name and user it goes. */
static void gmfs_luo_release(struct gmfs_pool *pool, struct super_block *sb, u32 ino)
{
	struct inode *inode, *held = NULL;

	if (gmfs_pool_begin(pool))
		return;
	if (gmfs_inode_is_file(pool, ino) && gmfs_inode_incoming(pool, ino) &&
	    !pool->tables.read_only)
		gmfs_inode_unpreserve(pool, ino);
	trace_guestmemfs_preserve(pool->node, ino, GUESTMEMFS_STEP_FINISH, 0);
	gmfs_pool_end(pool);
	inode = ilookup(sb, ino);
	if (inode)
		held = gmfs_unhold(pool, GUESTMEMFS_I(inode));
	iput(held);
	iput(inode);
}

static void gmfs_luo_finish(struct liveupdate_file_op_args *args)
{
	struct gmfs_pool *pool;
	struct vfsmount *mnt;
	u32 ino;

	pool = gmfs_luo_find(args->serialized_data, &ino);
	if (!pool)
		return;
	mnt = ERR_PTR(args->retrieve_status);
	/* What could not be retrieved may be all there is of a guest. */
	if (args->retrieve_status >= 0)
		mnt = gmfs_mount_pool(pool);
	if (IS_ERR(mnt)) {
		pr_warn("node %d: inode %u stays preserved until the next kexec: %pe\n",
			pool->node, ino, mnt);
		return;
	}
	gmfs_luo_release(pool, mnt->mnt_sb, ino);
	mntput(mnt);
}

/*
 * No get_id: as the inode may be open before it is retrieved, an id made of it
 * could be in use by a descriptor that is about to be refused, and the core
 * warns of that. That a file is in one session only is seen to by preserve.
 */
static const struct liveupdate_file_ops gmfs_luo_ops = {
	.can_preserve	= gmfs_luo_can_preserve,
	.preserve	= gmfs_luo_preserve,
	.unpreserve	= gmfs_luo_unpreserve,
	.freeze		= gmfs_luo_freeze,
	.unfreeze	= gmfs_luo_unfreeze,
	.retrieve	= gmfs_luo_retrieve,
	.can_finish	= gmfs_luo_can_finish,
	.finish		= gmfs_luo_finish,
	.owner		= THIS_MODULE,
};

static struct liveupdate_file_handler gmfs_luo_handler = {
	.ops		= &gmfs_luo_ops,
	.compatible	= GUESTMEMFS_LUO_COMPATIBLE,
};

static int __init gmfs_luo_init(void)
{
	int err = liveupdate_register_file_handler(&gmfs_luo_handler);

	return err == -EOPNOTSUPP ? 0 : err;
}
late_initcall(gmfs_luo_init);
