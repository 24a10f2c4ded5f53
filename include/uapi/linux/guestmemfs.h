/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
#ifndef _UAPI_LINUX_GUESTMEMFS_H
#define _UAPI_LINUX_GUESTMEMFS_H

#include <linux/ioctl.h>
#include <linux/types.h>

/**
 * DOC: ioctls of guestmemfs
 *
 * Each ioctl takes a pointer to a structure. The first field of the structure
 * is its size in bytes, as known to the caller. If the kernel knows a larger
 * structure, it takes the missing fields as zero.
 *
 * All ioctls return E2BIG if the size is larger than a page, or if a field that
 * the kernel does not know is not zero; EINVAL if the size is less than that of
 * the first version, for an unknown flag, or if a reserved field is not zero;
 * ENOTTY if the file does not have the ioctl; EFAULT if the structure cannot be
 * accessed.
 */

#define GUESTMEMFS_IOC_MAGIC		0xB9

/* The same bits as GUEST_MEMFD_FLAG_MMAP and GUEST_MEMFD_FLAG_INIT_SHARED. */

/* The descriptor can be mapped. Only shared pages can be faulted in. */
#define GUESTMEMFS_GMEM_MMAP		(1U << 0)
/* All pages of the file are initially shared; without this flag they are private. */
#define GUESTMEMFS_GMEM_INIT_SHARED	(1U << 1)
/*
 * A guest's access to a missing page, in a hole or absent from its block as for
 * userfaultfd, ends KVM_RUN with KVM_EXIT_MEMORY_FAULT, and does not allocate
 * memory. The VMM fills the page through a mapping, and runs the vCPU again:
 * post-copy. Not a flag of KVM. A session of the Live Update Orchestrator does
 * not preserve it.
 */
#define GUESTMEMFS_GMEM_EXIT_MISSING	(1U << 16)

/**
 * struct guestmemfs_create_gmem - argument of %GUESTMEMFS_IOC_CREATE_GMEM
 * @size: sizeof(struct guestmemfs_create_gmem)
 * @flags: GUESTMEMFS_GMEM_*
 * @vm_fd: the virtual machine that may bind the descriptor, from KVM_CREATE_VM
 * @reserved: zero
 */
struct guestmemfs_create_gmem {
	__u32 size;
	__u32 flags;
	__s32 vm_fd;
	__u32 reserved;
};

/*
 * Makes a descriptor of a file for one virtual machine. The descriptor can be
 * passed to KVM_SET_USER_MEMORY_REGION2 with KVM_MEM_GUEST_MEMFD. The file must
 * be open for reading and writing. Returns the descriptor, which is
 * close-on-exec.
 *
 * The first descriptor that is made of a file sets the initial character of all
 * its pages, even if the file has been written to. Later descriptors must ask
 * for the same one.
 *
 * Errors, all with nothing changed:
 *   EACCES      the file is not open for reading and writing
 *   EAGAIN      the file would become private, and one of its pages is pinned
 *   EBADF       @vm_fd is not open
 *   EBUSY       a kexec has begun
 *   EEXIST      another initial character has been set
 *   EINVAL      @vm_fd is not a virtual machine, or KVM is a module that is not loaded
 *   EIO         the virtual machine has died
 *   EOPNOTSUPP  the kernel was built without KVM
 *   EROFS       the filesystem is mounted read-only
 *   EMFILE, ENFILE, ENOMEM
 */
#define GUESTMEMFS_IOC_CREATE_GMEM	_IOW(GUESTMEMFS_IOC_MAGIC, 0, struct guestmemfs_create_gmem)

/*
 * KVM_SET_MEMORY_ATTRIBUTES2 (linux/kvm.h, struct kvm_memory_attributes2), on a
 * descriptor of GUESTMEMFS_IOC_CREATE_GMEM: makes a part of the file private
 * (KVM_MEMORY_ATTRIBUTE_PRIVATE) or shared (0), in place, for all users of the
 * file. @offset and @size are multiples of 4096; @size is not zero, and
 * @offset + @size must not exceed the file's size, rounded up to a multiple of
 * 4096. @flags and @reserved are zero. The contents are preserved. The argument
 * is written only if the conversion fails: @error_offset is then the offset of the
 * page that it failed for, or @offset if that is not one page.
 *
 * Errors, all with nothing changed:
 *   EAGAIN  the part would become private, and the page is pinned
 *   EBUSY   a kexec has begun
 *   EEXIST  the part would become private, and the page is in memslots of two
 *           virtual machines that can use private memory
 *   EFAULT  the argument cannot be read, or @error_offset cannot be written
 *   EINVAL  a field has another value than those above; nothing is written
 *   ENOSPC  the tables have no room to record the conversion
 *   EROFS   the filesystem is mounted read-only
 *   EINTR, ENOMEM
 */

#define GUESTMEMFS_STATE_ALLOCATED	(1ULL << 0)
#define GUESTMEMFS_STATE_PRIVATE	(1ULL << 1)
/* The page is pinned: a device may read and write it. */
#define GUESTMEMFS_STATE_PINNED		(1ULL << 2)
/* The page has a persistent pin, see GUESTMEMFS_IOC_PIN. It is PINNED, too. */
#define GUESTMEMFS_STATE_PERSISTENT	(1ULL << 3)
/* The memory of the page has an error that cannot be corrected: an access is SIGBUS. */
#define GUESTMEMFS_STATE_POISONED	(1ULL << 4)

/**
 * struct guestmemfs_get_state - argument of %GUESTMEMFS_IOC_GET_STATE
 * @size: sizeof(struct guestmemfs_get_state)
 * @flags: zero
 * @offset: a byte of the file
 * @length: output: bytes that have this state, from the start of the page on;
 *	the bytes after them may have the same state
 * @state: output: GUESTMEMFS_STATE_*
 * @order: output: log2 of the number of pages of the largest page table entry
 *	that can map the page; 0 if the page has no memory
 * @reserved: output: zero
 */
struct guestmemfs_get_state {
	__u32 size;
	__u32 flags;
	__aligned_u64 offset;
	__aligned_u64 length;
	__aligned_u64 state;
	__u32 order;
	__u32 reserved;
};

/* On a file or a descriptor: returns the state of a page. ENXIO: @offset >= file size. */
#define GUESTMEMFS_IOC_GET_STATE	_IOWR(GUESTMEMFS_IOC_MAGIC, 2, struct guestmemfs_get_state)

/* For GUESTMEMFS_IOC_UNPIN: all persistent pins of the file. */
#define GUESTMEMFS_UNPIN_ALL		(1U << 0)
/* For GUESTMEMFS_IOC_PUNCH: only if no page is pinned. */
#define GUESTMEMFS_PUNCH_UNPINNED	(1U << 0)

/**
 * struct guestmemfs_part - a part of a file, and what to do with it
 * @size: sizeof(struct guestmemfs_part)
 * @flags: zero, %GUESTMEMFS_UNPIN_ALL or %GUESTMEMFS_PUNCH_UNPINNED
 * @offset: first byte, a multiple of 4096; zero with %GUESTMEMFS_UNPIN_ALL
 * @length: bytes, a multiple of 4096, not zero; zero with %GUESTMEMFS_UNPIN_ALL
 *
 * Argument of %GUESTMEMFS_IOC_PIN, %GUESTMEMFS_IOC_UNPIN and %GUESTMEMFS_IOC_PUNCH.
 */
struct guestmemfs_part {
	__u32 size;
	__u32 flags;
	__aligned_u64 offset;
	__aligned_u64 length;
};

/*
 * On a file or a descriptor: pins pages persistently. Pages that have no memory
 * get some. A persistent pin is a pin like that of a device, and does not end
 * when a process ends or when another kernel is booted by kexec. The file
 * has it, until GUESTMEMFS_IOC_UNPIN, or until the file has neither a name nor a
 * user left, that is also if it is unlinked before a kexec and in no session. A
 * pin that was taken over from the previous kernel ends, too, together with a
 * mapping that a device had of the page (IOMMU_IOAS_MAP_FILE for instance), unless
 * GUESTMEMFS_IOC_PIN was called again, or the mapping ends while a kexec is in
 * progress or the filesystem is not mounted. A device that goes on while the kernel is
 * replaced must have come to rest, or must use a new mapping, before any of this.
 *
 * A file may have pins on as many separate parts as it has blocks, and on 64
 * more while the pool has plenty of room for them.
 *
 * Errors. With ENOSPC, EBUSY, EINTR and ENOMEM, a part of the pages may be pinned:
 *   EACCES      the file is not open for reading and writing
 *   EBUSY       a kexec has begun
 *   EFAULT      the argument cannot be read, or a page is private
 *   EINTR       a fatal signal
 *   EINVAL      there is no page, or one beyond the end of the file
 *   ENOSPC      the pool has no free memory, or there would be too many parts
 *   EOPNOTSUPP  the pool was made by a kernel without persistent pins
 *   EROFS       the filesystem is mounted read-only
 *   ENOMEM
 */
#define GUESTMEMFS_IOC_PIN		_IOW(GUESTMEMFS_IOC_MAGIC, 3, struct guestmemfs_part)

/*
 * On a file or a descriptor: removes persistent pins that the file has on pages,
 * or with GUESTMEMFS_UNPIN_ALL all that it has, also on memory that it has lost since.
 * Other pins stay.
 *
 * Errors:
 *   EACCES      the file is not open for reading and writing
 *   EBUSY       a kexec has begun
 *   EFAULT      the argument cannot be read
 *   EINTR       a fatal signal; a part of the pages may be unpinned
 *   EINVAL      bytes that are not whole pages
 *   ENOSPC      not with GUESTMEMFS_UNPIN_ALL: memory beside that of a page stays pinned,
 *               and the pool has no room to record one more part; pages before that
 *               page are unpinned
 *   EROFS       the filesystem is mounted read-only
 */
#define GUESTMEMFS_IOC_UNPIN		_IOW(GUESTMEMFS_IOC_MAGIC, 4, struct guestmemfs_part)

/*
 * On a file or a descriptor: as fallocate() with FALLOC_FL_PUNCH_HOLE. A block with
 * a pinned page leaves the file, and is free after the last unpin. With
 * GUESTMEMFS_PUNCH_UNPINNED, EBUSY and nothing is changed if a block that would leave
 * the file has one.
 *
 * Errors: those of fallocate(), and
 *   EBADF       the file is not open for writing
 *   EBUSY       a page is pinned, a kexec has begun, or a session preserves the file
 *   EFAULT      the argument cannot be read
 *   EFBIG       beyond the largest file
 *   EINVAL      bytes that are not whole pages
 */
#define GUESTMEMFS_IOC_PUNCH		_IOW(GUESTMEMFS_IOC_MAGIC, 5, struct guestmemfs_part)

/* The memory is zeroed. */
#define GUESTMEMFS_MOVE_ZERO		(1U << 0)
/* The two parts exchange their memory. */
#define GUESTMEMFS_MOVE_EXCHANGE	(1U << 1)

/* guestmemfs_move.error_file: @error_offset is one of @from_fd, or of the file of the ioctl. */
#define GUESTMEMFS_MOVE_FROM		0
#define GUESTMEMFS_MOVE_TO		1

/**
 * struct guestmemfs_move - argument of %GUESTMEMFS_IOC_MOVE
 * @size: sizeof(struct guestmemfs_move)
 * @flags: %GUESTMEMFS_MOVE_ZERO, %GUESTMEMFS_MOVE_EXCHANGE, both or zero
 * @from_fd: the file that the memory is taken from, or a descriptor of it; may be the same file
 * @error_file: output: %GUESTMEMFS_MOVE_FROM or %GUESTMEMFS_MOVE_TO
 * @from_offset: first byte in the file @from_fd, a multiple of 2 MiB
 * @offset: first byte in the file of the ioctl, a multiple of 2 MiB
 * @length: bytes, a multiple of 2 MiB, not zero; both parts end in their files
 * @error_offset: output. With EAGAIN: the first offset that is pinned; with
 *	EEXIST: the first offset that has memory; 0 on success
 */
struct guestmemfs_move {
	__u32 size;
	__u32 flags;
	__s32 from_fd;
	__u32 error_file;
	__aligned_u64 from_offset;
	__aligned_u64 offset;
	__aligned_u64 length;
	__aligned_u64 error_offset;
};

/*
 * On a file or a descriptor: moves memory from a part of another file of the
 * pool, or of the same file, which has a hole there afterwards. No byte is copied. The
 * part of this file must be a hole. Holes of the other one stay holes. A whole gigabyte
 * that could be mapped by one entry still can be, if both offsets are multiples of 1 GiB
 * and all pages of its new place have the same character.
 *
 * With GUESTMEMFS_MOVE_EXCHANGE the two parts exchange their memory and their holes.
 *
 * The contents move with the memory, unless GUESTMEMFS_MOVE_ZERO is given: then
 * all memory that moves reads as zeroes. A page stays private or shared as it was at its
 * place in the file. Since the contents of a private page are of use to its guest only,
 * contents can be moved from shared pages to shared pages only.
 *
 * The parts that lose memory are unmapped from all processes and guests. Reserved
 * parts (of a mapping without MAP_NORESERVE) stay reserved, so that a part that
 * loses its memory needs as much free memory in the pool.
 *
 * Other tasks and the kernel after a kexec see all of the move or nothing of it.
 *
 * Errors, all with nothing changed, except that set-user-ID bits may have been removed as
 * by fallocate():
 *   EACCES      one of the files is not open for reading and writing
 *   EAGAIN      a page that would be moved is pinned
 *   EBADF       @from_fd is not open
 *   EBUSY       a kexec has begun, or a session preserves the file @from_fd, or either file
 *               with GUESTMEMFS_MOVE_EXCHANGE
 *   EEXIST      without GUESTMEMFS_MOVE_EXCHANGE: the part of this file has memory
 *   EFAULT      the argument cannot be read, or the error cannot be written
 *   EINTR       a fatal signal
 *   EINVAL      bytes that are not whole blocks, a part that does not end in its file,
 *               parts that overlap, or @from_fd is not a regular file of the pool
 *   ENOSPC      the pool has no free memory for a reserved part, or the tables have no
 *               room to record which pages of the holes are converted
 *   EPERM       without GUESTMEMFS_MOVE_ZERO: a page of one of the parts is private
 *   EROFS       the filesystem is mounted read-only
 *   EXDEV       @from_fd is of another pool, or of another filesystem
 */
#define GUESTMEMFS_IOC_MOVE		_IOWR(GUESTMEMFS_IOC_MAGIC, 6, struct guestmemfs_move)

#endif /* _UAPI_LINUX_GUESTMEMFS_H */
