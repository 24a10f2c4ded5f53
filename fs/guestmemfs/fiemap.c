// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reporting where the data of a file is: SEEK_DATA, SEEK_HOLE and FIEMAP.
 */
#include <linux/capability.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/sched/signal.h>

#include "internal.h"

/**
 * gmfs_file_seek - find data or a hole
 * @inode: the file
 * @offset: where to begin
 * @whence: SEEK_DATA or SEEK_HOLE
 *
 * Allocated blocks are data, zeroed or not. There is a hole at the end of the file.
 *
 * Return: the offset, or -ENXIO if there is none.
 */
loff_t gmfs_file_seek(struct inode *inode, loff_t offset, int whence)
{
	struct gmfs_tables *t = &GUESTMEMFS_SB(inode->i_sb)->tables;
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	loff_t size = i_size_read(inode);
	struct gmfs_run run;

	if (offset < 0 || offset >= size)
		return -ENXIO;
	guard(rwsem_read)(&gi->map_lock);
	while (offset < size) {
		gmfs_map_lookup(t, gi->map, offset >> GUESTMEMFS_BLOCK_SHIFT, &run);
		if (whence == SEEK_HOLE ? run.block == GMFS_NO_BLOCK : run.block != GMFS_NO_BLOCK)
			return offset;
		offset = (run.logical + run.count) << GUESTMEMFS_BLOCK_SHIFT;
	}
	return whence == SEEK_HOLE ? size : -ENXIO;
}

/*
 * Finds the first allocated blocks at or after @logical, up to the next hole. With @tell, the
 * piece is physically contiguous, too. A piece can contain private and shared extents.
 */
static bool gmfs_next_piece(struct inode *inode, u64 logical, bool tell, struct gmfs_run *piece)
{
	struct gmfs_tables *t = &GUESTMEMFS_SB(inode->i_sb)->tables;
	struct gmfs_inode *gi = GUESTMEMFS_I(inode);
	struct gmfs_run run;

	guard(rwsem_read)(&gi->map_lock);
	piece->block = GMFS_NO_BLOCK;
	for (; logical < GMFS_MAX_LOGICAL; logical += run.count) {
		gmfs_map_lookup(t, gi->map, logical, &run);
		if (piece->block == GMFS_NO_BLOCK) {
			*piece = run;
			continue;
		}
		if (run.block == GMFS_NO_BLOCK ||
		    (tell && gmfs_block_phys(t, run.block) !=
			     gmfs_block_phys(t, piece->block) +
			     (piece->count << GUESTMEMFS_BLOCK_SHIFT)))
			break;
		piece->count += run.count;
	}
	return piece->block != GMFS_NO_BLOCK;
}

/**
 * guestmemfs_fiemap - list the physical extents of a file
 * @inode: the file
 * @info: the request, with the user's buffer
 * @start: first byte
 * @len: bytes
 *
 * Physical addresses are shown to tasks to which /proc/<pid>/pagemap shows page frame numbers.
 * Other tasks learn where the file has data, and not which parts are physically contiguous.
 *
 * Context: process context; the user's buffer may be in a mapping of the file.
 * Return: 0; -EINVAL, -EFBIG, -EBADR as fiemap_prep() says, -EFAULT, -EINTR.
 */
int guestmemfs_fiemap(struct inode *inode, struct fiemap_extent_info *info, u64 start, u64 len)
{
	bool tell = ns_capable_noaudit(&init_user_ns, CAP_SYS_ADMIN);
	struct gmfs_tables *t = &GUESTMEMFS_SB(inode->i_sb)->tables;
	struct gmfs_run piece, next;
	bool more;
	int err;

	err = fiemap_prep(inode, info, start, &len, 0);
	if (err)
		return err;
	/* Punch, truncate and move hold i_rwsem exclusively; faults do not, and may add blocks. */
	guard(rwsem_read)(&inode->i_rwsem);
	more = gmfs_next_piece(inode, start >> GUESTMEMFS_BLOCK_SHIFT, tell, &piece);
	while (more && !err && piece.logical << GUESTMEMFS_BLOCK_SHIFT < start + len) {
		u32 flags = tell ? 0 : FIEMAP_EXTENT_UNKNOWN;

		more = gmfs_next_piece(inode, piece.logical + piece.count, tell, &next);
		if (!more)
			flags |= FIEMAP_EXTENT_LAST;
		/* Do not hold map_lock: writing to the user's buffer may fault and take it. */
		err = fiemap_fill_next_extent(info, piece.logical << GUESTMEMFS_BLOCK_SHIFT,
					      tell ? gmfs_block_phys(t, piece.block) : 0,
					      piece.count << GUESTMEMFS_BLOCK_SHIFT, flags);
		if (more)
			piece = next;
		if (fatal_signal_pending(current))
			err = -EINTR;
	}
	/* 1: the user's buffer is full, or the last extent has been reported. */
	return min(err, 0);
}

/**
 * guestmemfs_llseek - move the file position
 * @file: the file
 * @offset: offset, relative to what @whence says
 * @whence: SEEK_*, including SEEK_DATA and SEEK_HOLE
 *
 * Return: the new position or an error.
 */
loff_t guestmemfs_llseek(struct file *file, loff_t offset, int whence)
{
	struct inode *inode = file_inode(file);

	if (whence == SEEK_DATA || whence == SEEK_HOLE) {
		offset = gmfs_file_seek(inode, offset, whence);
		return offset < 0 ? offset : vfs_setpos(file, offset, inode->i_sb->s_maxbytes);
	}
	return generic_file_llseek(file, offset, whence);
}
