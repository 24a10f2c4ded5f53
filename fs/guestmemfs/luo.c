// SPDX-License-Identifier: GPL-2.0-only
/*
 * The file handler of the Live Update Orchestrator (LUO): preserves descriptors of files across
 * a live update.
 */

/**
 * DOC: guestmemfs Preservation via LUO
 *
 * Files of guestmemfs survive a kexec without the Live Update Orchestrator (LUO).
 * A LUO session adds two things. First, it preserves a descriptor: a process that
 * retrieves the descriptor in the next kernel gets the same file open again. It
 * needs to know neither the path of the file nor its pool, and nobody needs to
 * have mounted the pool. Second, no memory is taken from the file while it is
 * preserved, i.e. from preserve until its session is finished.
 *
 * Preserved
 * ---------
 *
 * The file
 *   Contents, size, holes, name, owner, mode and times, as for every file.
 *
 * An unlinked file
 *   It survives the kexec if a session preserves it. If the session is not finished
 *   in the next kernel, the first mount of the pool after one more kexec frees the
 *   file. If the next kernel has live update off, it cannot retrieve a session: the
 *   mount logs the number of these files and keeps them until one more kexec, and
 *   ``open_by_handle_at()`` can open them.
 *
 * Access mode and position
 *   The access mode as it was at preserve, the position as it was at freeze.
 *
 * A descriptor for a hypervisor
 *   (``GUESTMEMFS_IOC_CREATE_GMEM``) with the flag ``GUESTMEMFS_GMEM_MMAP``, and without
 *   ``GUESTMEMFS_GMEM_EXIT_MISSING``. Its virtual machine does not
 *   survive the kexec, and the retrieved descriptor belongs to no virtual machine
 *   until one has bound it successfully. After that no other virtual machine can
 *   bind it. A process that has the descriptor chooses the virtual machine, as it
 *   does when it creates a descriptor. For another virtual machine it can create
 *   another descriptor of the same file (through ``/proc/self/fd``). Which pages
 *   are private and which are shared is stored in the file, with or without a
 *   session.
 *
 * Not preserved
 * -------------
 *
 * Status flags (``O_APPEND``, ``O_NONBLOCK``...), ``FD_CLOEXEC``, locks,
 * leases, mappings, and the mount of the descriptor with its options and its
 * idmap. The retrieved descriptor is on an internal mount, which is read-only if
 * the descriptor is.
 *
 * While it is preserved
 * ---------------------
 *
 * Shrinking a preserved file, punching holes, zeroing ranges and moving memory out
 * of it fail with ``-EBUSY``. The file can still be written, mapped, allocated, extended, renamed
 * and unlinked; unlinking removes the name and frees no memory. Its pages can be
 * converted, which frees no memory either: guests run until freeze, and a page
 * that is private then is private in the next kernel. Descriptors for hypervisors
 * can be created of it. The next kernel enforces the same restrictions until the
 * session is finished, or else until one more kexec. If live update is off there,
 * the first mount of the pool ends them for a file that has a name.
 *
 * In the next kernel, closing a retrieved session finishes it, also when its
 * process dies. A file that was not retrieved by then is freed if it has no name.
 * If a file could not be retrieved, e.g. because memory was short or the filesystem
 * was mounted read-only, this cannot be retried in the same kernel. Finishing the
 * session then leaves the file preserved, without a user, until one more kexec.
 *
 * Read access to a file suffices to preserve it, and this keeps the owner of the
 * file from shrinking it while the session is open. Only root can create sessions,
 * and may pass them to others.
 *
 * After freeze only the contents of allocated blocks can change, in all files of
 * the pool. System calls that would change anything else fail with ``-EBUSY``,
 * and page faults that need a block wait. If the kexec is aborted, these
 * restrictions end.
 *
 * Cost
 * ----
 *
 * Three fields of the inode table, and no memory. The cost of preserve, freeze
 * and retrieve does not depend on the size of the file or the pool. The same is
 * true of finish, unless it frees the file. If the pool is not mounted, the first
 * retrieve also pays for a mount.
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

/* Decodes a session's handle. NULL: there is no such pool. The inode number is not checked. */
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

	/* Without an outgoing handover blob the next kernel does not get the pool. */
	if (!gmfs_outgoing_blob)
		return -EOPNOTSUPP;
	if (sb_rdonly(inode->i_sb))
		return -EROFS;
	/* Access mode 3, neither read nor write: dentry_open() cannot restore it. */
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

	/* Not gmfs_pool_begin(): the pool may be frozen already, for another file. */
	scoped_guard(mutex, &pool->lock)
		pool->tables.inodes[inode->i_ino].preserved_pos = cpu_to_le64(args->file->f_pos);
	gmfs_pool_freeze(pool);
	return 0;
}

static void gmfs_luo_unfreeze(struct liveupdate_file_op_args *args)
{
	gmfs_pool_thaw(GUESTMEMFS_SB(file_inode(args->file)->i_sb));
}

/* Checks that the entry is in use: gmfs_check() does not check other fields of a free one. */
static bool gmfs_inode_is_file(const struct gmfs_pool *pool, u32 ino)
{
	return ino < le32_to_cpu(pool->tables.super->live.used_inodes) &&
	       S_ISREG(le32_to_cpu(pool->tables.inodes[ino].mode));
}

/* Reads what the previous kernel has stored about the descriptor. */
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
	/* The existing dentry of the file, or a new disconnected one for an unlinked file. */
	path.dentry = d_obtain_alias(inode);
	if (IS_ERR(path.dentry))
		return ERR_CAST(path.dentry);
	file = dentry_open(&path, open_flags[access & GUESTMEMFS_PRESERVED_ACCESS],
			   current_cred());
	dput(path.dentry);
	if (IS_ERR(file) || !(access & GUESTMEMFS_PRESERVED_GMEM))
		return file;
	/* The VM of the descriptor did not survive: vm_id 0, for the first VM that binds it. */
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
		/* The mount was made for this descriptor alone. */
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

/* Not while the pool is frozen for a kexec: gmfs_luo_release() could not change the tables. */
static bool gmfs_luo_can_finish(struct liveupdate_file_op_args *args)
{
	u32 ino;
	struct gmfs_pool *pool = gmfs_luo_find(args->serialized_data, &ino);

	return !pool || !READ_ONCE(pool->frozen);
}

/* Ends the preservation of a file, and frees the file if it has neither a name nor a user. */
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
		held = gmfs_session_release(pool, GUESTMEMFS_I(inode));
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
	/*
	 * If the retrieve failed, leave the file preserved: it may be unlinked, and the only
	 * copy of a guest's memory.
	 */
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
 * No get_id, so LUO identifies a file by its struct file. If the id was made of the inode,
 * luo_retrieve_file() could find it in use and warn: the inode may be open by its path before
 * it is retrieved, and luo_preserve_file() inserts the id of such a descriptor before
 * gmfs_luo_preserve() refuses it. gmfs_luo_preserve() allows a file in one session only.
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
