/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
#ifndef _LINUX_KHO_ABI_GUESTMEMFS_H
#define _LINUX_KHO_ABI_GUESTMEMFS_H

#include <linux/build_bug.h>
#include <linux/types.h>

/**
 * DOC: What guestmemfs hands over to the next kernel
 *
 * Two things cross a kexec.
 *
 * The *handover blob* is a KHO subtree named %GUESTMEMFS_KHO_SUBTREE. It lists
 * the physical ranges of each pool and says where the pool's metadata is. The
 * next kernel reads it in early boot and removes these ranges from memblock
 * before anything can be allocated from them. Every version of the blob starts
 * with the fields of struct guestmemfs_handover up to and including @nr_ranges,
 * and every record starts with the fields that are described here. Thus a
 * kernel that does not know the version can still keep the memory from being
 * used. It hands on the same blob, with a wrong checksum if it could not keep
 * all of the memory.
 *
 * The *tables* of a pool are one physically contiguous area on the pool's node:
 * a superblock, followed by the tables that it lists. This kernel and the next
 * one use them in place. They contain no guest data.
 *
 * Documentation/filesystems/guestmemfs-format.rst describes both, byte by byte;
 * tools/testing/guestmemfs/described.c compares it with this file. golden.c there
 * has pools of this version that each later kernel must read.
 *
 * All numbers are little-endian. Checksums are CRC-32C with all bits set
 * initially and no inversion at the end, like crc32c(~0, ...) of the kernel.
 *
 * A block is 2 MiB of guest memory. Block numbers are unique in a pool. The
 * first block number n of a range satisfies n % %GUESTMEMFS_GROUP_BLOCKS ==
 * (physical address / 2 MiB) % %GUESTMEMFS_GROUP_BLOCKS. No two ranges have
 * numbers in the same aligned group of %GUESTMEMFS_GROUP_BLOCKS numbers. Hence
 * a block number is a multiple of %GUESTMEMFS_GROUP_BLOCKS if and only if the
 * block starts at a 1 GiB boundary, and the blocks of a group are physically
 * contiguous. A number without a block is marked as allocated in the bitmap.
 *
 * The ranges of a pool ascend by address, and their numbers follow from that,
 * until the size of the pool changes for the first time. From then on
 * (%GUESTMEMFS_FEATURE_INCOMPAT_RESIZED) they ascend by block number, and have
 * any addresses: the number of a block never changes, and the numbers of blocks
 * that have left the pool are used again for others. Two ranges may have numbers
 * in the same group then, if their blocks are in the same gigabyte. Such a pool
 * may have no ranges at all.
 *
 * Feature words follow the rule of on-disk formats. A kernel ignores an unknown
 * bit in @feature_compat, mounts the pool read-only because of one in
 * @feature_ro_compat, and refuses the pool because of one in @feature_incompat.
 * The memory of a refused pool stays reserved.
 *
 * The *character* of a page of 4 KiB is private or shared. Initially all pages
 * of a file have the same one. A page that has the other one is *converted*,
 * which is recorded for pages without memory as well. Converted, mixed and
 * detached extents and map entries exist only with
 * %GUESTMEMFS_FEATURE_INCOMPAT_STATES.
 *
 * A frame is a page of 4 KiB of guest memory. Frame numbers are unique in a
 * pool: block number * %GUESTMEMFS_BLOCK_PAGES + number of the page in the
 * block. A *persistent pin* says that a device may read and write a frame while
 * kernels change. A kernel must take over all persistent pins of a pool before
 * it changes anything else in the pool. Records of pins exist only with
 * %GUESTMEMFS_FEATURE_INCOMPAT_PINS.
 */

#define GUESTMEMFS_KHO_SUBTREE		"guestmemfs"
#define GUESTMEMFS_FORMAT_VERSION	1

#define GUESTMEMFS_HANDOVER_MAGIC	0x444e414853464d47ULL	/* "GMFSHAND" */
#define GUESTMEMFS_SUPER_MAGIC		0x5245505553464d47ULL	/* "GMFSUPER" */

/* A 2 MiB page table entry maps a block, a 1 GiB entry an aligned group of blocks. */
#define GUESTMEMFS_BLOCK_SHIFT		21
#define GUESTMEMFS_GROUP_BLOCKS		512
#define GUESTMEMFS_BLOCK_PAGES		512

/* Whole memory sections, so that no part of the memory map is needed for a range. */
#define GUESTMEMFS_RANGE_ALIGN		0x8000000ULL	/* 128 MiB */

#define GUESTMEMFS_MAX_POOLS		1024
#define GUESTMEMFS_MAX_RANGES		128	/* of one pool */
#define GUESTMEMFS_MAX_BLOCKS		0x40000000U
#define GUESTMEMFS_NAME_MAX		255

/*
 * A file that is preserved by the Live Update Orchestrator (LUO). The handle is
 * (node << GUESTMEMFS_LUO_NODE_SHIFT) | ino. All else is in the inode.
 */
#define GUESTMEMFS_LUO_COMPATIBLE	"guestmemfs-v1"
#define GUESTMEMFS_LUO_NODE_SHIFT	32

/**
 * struct guestmemfs_handover - head of the handover blob
 * @magic: %GUESTMEMFS_HANDOVER_MAGIC
 * @version: %GUESTMEMFS_FORMAT_VERSION
 * @header_size: bytes before the first pool record
 * @pool_size: bytes of one pool record
 * @range_size: bytes of one range record; range records follow the pool records
 * @nr_pools: number of pool records, at most %GUESTMEMFS_MAX_POOLS
 * @nr_ranges: number of range records of all pools together
 * @total_size: bytes of the whole blob
 * @crc: CRC-32C of the whole blob with this field as zero
 * @reserved: zero
 */
struct guestmemfs_handover {
	__le64 magic;
	__le32 version;
	__le32 header_size;
	__le32 pool_size;
	__le32 range_size;
	__le32 nr_pools;
	__le32 nr_ranges;
	__le32 total_size;
	__le32 crc;
	__le64 reserved[3];
};

static_assert(sizeof(struct guestmemfs_handover) == 64);
static_assert(offsetof(struct guestmemfs_handover, nr_ranges) == 28);

/* A kernel could not keep all of the pool's memory, and has used some of it. */
#define GUESTMEMFS_POOL_LOST		0x1U
/* The metadata has a memory error: reading it may be fatal. */
#define GUESTMEMFS_POOL_ERROR		0x2U

/**
 * struct guestmemfs_handover_pool - one pool of the handover blob
 * @uuid: identity of the pool, as in its superblock
 * @meta_base: physical address of the tables, 2 MiB aligned
 * @meta_size: bytes of the tables, a multiple of 2 MiB; 0 if a kernel could not
 *	keep them
 * @node: NUMA node that the pool was taken from
 * @first_range: index of the pool's first range record
 * @nr_ranges: number of the pool's range records, at most
 *	%GUESTMEMFS_MAX_RANGES
 * @flags: GUESTMEMFS_POOL_*
 * @hops: number of kexecs that the pool had been through when the blob was
 *	written
 * @pad: zero
 * @reserved: zero
 */
struct guestmemfs_handover_pool {
	__u8 uuid[16];
	__le64 meta_base;
	__le64 meta_size;
	__le32 node;
	__le32 first_range;
	__le32 nr_ranges;
	__le32 flags;
	__le32 hops;
	__le32 pad;
	__le64 reserved;
};

static_assert(sizeof(struct guestmemfs_handover_pool) == 64);
static_assert(offsetof(struct guestmemfs_handover_pool, meta_base) == 16);
static_assert(offsetof(struct guestmemfs_handover_pool, node) == 32);
static_assert(offsetof(struct guestmemfs_handover_pool, hops) == 48);

/**
 * struct guestmemfs_handover_range - one physical range of the handover blob
 * @base: physical address, a multiple of %GUESTMEMFS_RANGE_ALIGN
 * @size: bytes, a multiple of %GUESTMEMFS_RANGE_ALIGN, not zero
 * @first_block: block number of its first block. A blob may lack this field and
 *	the next one: the ranges of each pool ascend by address then
 * @reserved: zero
 */
struct guestmemfs_handover_range {
	__le64 base;
	__le64 size;
	__le32 first_block;
	__le32 reserved;
};

/* The size of a range record without first_block. */
#define GUESTMEMFS_HANDOVER_RANGE_MIN	16

static_assert(sizeof(struct guestmemfs_handover_range) == 24);
static_assert(offsetof(struct guestmemfs_handover_range, size) == 8);
static_assert(offsetof(struct guestmemfs_handover_range, first_block) ==
	      GUESTMEMFS_HANDOVER_RANGE_MIN);

/**
 * enum guestmemfs_table - the tables that follow a superblock
 * @GUESTMEMFS_TABLE_RANGES: struct guestmemfs_range, ascending by block number,
 *	checksummed
 * @GUESTMEMFS_TABLE_BITMAP: one bit per block number, bit 0 of byte 0 first;
 *	set: allocated, or there is no block of this number
 * @GUESTMEMFS_TABLE_UNZEROED: one bit per block number; set: the block may hold
 *	old data and must be zeroed before it becomes visible
 * @GUESTMEMFS_TABLE_INODES: struct guestmemfs_inode, indexed by inode number
 * @GUESTMEMFS_TABLE_EXTENTS: struct guestmemfs_extent, in no order
 * @GUESTMEMFS_TABLE_MAPS: struct guestmemfs_map, for mixed extents
 * @GUESTMEMFS_TABLE_POISON: struct guestmemfs_poison, in no order
 * @GUESTMEMFS_TABLE_PINS: struct guestmemfs_pin, ascending. A pool may lack this
 *	table: all fields of its entry in the list of tables are zero then
 * @GUESTMEMFS_NR_TABLES: number of tables in this version
 */
enum guestmemfs_table {
	GUESTMEMFS_TABLE_RANGES,
	GUESTMEMFS_TABLE_BITMAP,
	GUESTMEMFS_TABLE_UNZEROED,
	GUESTMEMFS_TABLE_INODES,
	GUESTMEMFS_TABLE_EXTENTS,
	GUESTMEMFS_TABLE_MAPS,
	GUESTMEMFS_TABLE_POISON,
	GUESTMEMFS_TABLE_PINS,
	GUESTMEMFS_NR_TABLES,
};

/* Extent flags except ALLOCATED, inode flags except ORPHAN, and maps may be in use. */
#define GUESTMEMFS_FEATURE_INCOMPAT_STATES	0x1U
/* The pin table and the inode flag PINS may be in use. */
#define GUESTMEMFS_FEATURE_INCOMPAT_PINS	0x2U
/* The poison table may be in use. */
#define GUESTMEMFS_FEATURE_INCOMPAT_POISON	0x4U
/* The size of the pool has changed, or the pool began without memory. */
#define GUESTMEMFS_FEATURE_INCOMPAT_RESIZED	0x8U
#define GUESTMEMFS_FEATURE_INCOMPAT_KNOWN \
	(GUESTMEMFS_FEATURE_INCOMPAT_STATES | GUESTMEMFS_FEATURE_INCOMPAT_PINS | \
	 GUESTMEMFS_FEATURE_INCOMPAT_POISON | GUESTMEMFS_FEATURE_INCOMPAT_RESIZED)

#define GUESTMEMFS_TABLE_SLOTS		12	/* room for later tables */
#define GUESTMEMFS_TABLE_ALIGN		4096

/**
 * struct guestmemfs_table_desc - location of a table
 * @offset: bytes from the superblock, a multiple of %GUESTMEMFS_TABLE_ALIGN
 * @entries: number of entries; of bits, for the bitmaps
 * @entry_size: bytes of an entry, 0 for the bitmaps
 */
struct guestmemfs_table_desc {
	__le64 offset;
	__le32 entries;
	__le32 entry_size;
};

static_assert(sizeof(struct guestmemfs_table_desc) == 16);

/**
 * struct guestmemfs_super_live - the part of the superblock that changes
 * @used_inodes: inodes from this number on are not in use and have never been
 * @used_extents: likewise for extents
 * @used_maps: likewise for maps; may become less again when @nr_absent is written
 * @used_poison: number of poison records. They are never removed, and may be
 *	added while the tables are frozen for a kexec
 * @hops: number of kexecs that the pool had been through when last mounted
 * @used_pins: number of records in the pin table. Table and number are written
 *	at the end of a mount and before a kexec; the number is 0 while the pool
 *	is mounted
 * @nr_absent: number of records of absent pages, written likewise
 * @absent_hop: which kexec the records are for: @hops when they were written, plus
 *	one. With any other number a reader ignores the records
 * @reserved: zero
 */
struct guestmemfs_super_live {
	__le32 used_inodes;
	__le32 used_extents;
	__le32 used_maps;
	__le32 used_poison;
	__le32 hops;
	__le32 used_pins;
	__le32 nr_absent;
	__le32 absent_hop;
	__le32 reserved[8];
};

static_assert(sizeof(struct guestmemfs_super_live) == 64);
static_assert(offsetof(struct guestmemfs_super_live, nr_absent) == 24);
static_assert(offsetof(struct guestmemfs_super_live, reserved) == 32);

/**
 * struct guestmemfs_super - first 4 KiB of a pool's metadata
 * @magic: %GUESTMEMFS_SUPER_MAGIC
 * @version: %GUESTMEMFS_FORMAT_VERSION
 * @crc: CRC-32C of all bytes before @live, with this field as zero, followed by
 *	the used entries of the range table
 * @feature_compat: a kernel ignores unknown bits
 * @feature_ro_compat: unknown bits allow only a read-only mount
 * @feature_incompat: unknown bits forbid any mount
 * @node: NUMA node of the pool
 * @uuid: identity of the pool
 * @meta_base: physical address of this superblock
 * @meta_size: bytes of superblock and tables
 * @block_shift: %GUESTMEMFS_BLOCK_SHIFT
 * @nr_blocks: the last block number of the pool, plus one; a resized pool may
 *	have had that many
 * @nr_ranges: used entries of the range table
 * @pad: zero
 * @tables: location of the tables, by enum guestmemfs_table
 * @reserved: zero
 * @live: the fields that change, not covered by @crc
 * @reserved2: zero
 */
struct guestmemfs_super {
	__le64 magic;
	__le32 version;
	__le32 crc;
	__le32 feature_compat;
	__le32 feature_ro_compat;
	__le32 feature_incompat;
	__le32 node;
	__u8 uuid[16];
	__le64 meta_base;
	__le64 meta_size;
	__le32 block_shift;
	__le32 nr_blocks;
	__le32 nr_ranges;
	__le32 pad;
	struct guestmemfs_table_desc tables[GUESTMEMFS_TABLE_SLOTS];
	__le64 reserved[30];
	struct guestmemfs_super_live live;
	__le64 reserved2[440];
};

static_assert(sizeof(struct guestmemfs_super) == 4096);
static_assert(offsetof(struct guestmemfs_super, uuid) == 32);
static_assert(offsetof(struct guestmemfs_super, block_shift) == 64);
static_assert(offsetof(struct guestmemfs_super, tables) == 80);
static_assert(offsetof(struct guestmemfs_super, reserved) == 272);
static_assert(offsetof(struct guestmemfs_super, live) == 512);
static_assert(offsetof(struct guestmemfs_super, reserved2) == 576);

/**
 * struct guestmemfs_range - a physical range of the pool
 * @base: physical address, a multiple of %GUESTMEMFS_RANGE_ALIGN
 * @size: bytes, a multiple of %GUESTMEMFS_RANGE_ALIGN, not zero
 * @first_block: block number of its first block
 * @flags: zero
 * @reserved: zero
 */
struct guestmemfs_range {
	__le64 base;
	__le64 size;
	__le32 first_block;
	__le32 flags;
	__le64 reserved;
};

static_assert(sizeof(struct guestmemfs_range) == 32);
static_assert(offsetof(struct guestmemfs_range, first_block) == 16);

/* Inode 0 is never used, so that an inode number of 0 means "none" everywhere. */
#define GUESTMEMFS_ROOT_INO		1
/*
 * @ino of the extents with GUESTMEMFS_EXTENT_DETACHED. These have no inode: the root directory,
 * which has no contents, lends its number.
 */
#define GUESTMEMFS_DETACHED_INO		GUESTMEMFS_ROOT_INO

/* Unlinked while open. The next kernel frees the file unless a session preserves it. */
#define GUESTMEMFS_INODE_ORPHAN		0x1U
/* Pages that are not converted are private: the host cannot fault them in. Files only. */
#define GUESTMEMFS_INODE_PRIVATE	0x2U
/* The first descriptor for KVM has set the initial character of the file. Files only. */
#define GUESTMEMFS_INODE_CHOSEN		0x4U
/* The file may have persistent pins. Files only. */
#define GUESTMEMFS_INODE_PINS		0x8U
#define GUESTMEMFS_INODE_FLAGS \
	(GUESTMEMFS_INODE_ORPHAN | GUESTMEMFS_INODE_PRIVATE | GUESTMEMFS_INODE_CHOSEN | \
	 GUESTMEMFS_INODE_PINS)

/* Access mode of the preserved descriptor. */
#define GUESTMEMFS_PRESERVED_READ	0x1U
#define GUESTMEMFS_PRESERVED_WRITE	0x2U
#define GUESTMEMFS_PRESERVED_ACCESS	(GUESTMEMFS_PRESERVED_READ | GUESTMEMFS_PRESERVED_WRITE)
/* The descriptor is one for a hypervisor (GMEM), and can be mapped (MMAP). */
#define GUESTMEMFS_PRESERVED_GMEM	0x4U
#define GUESTMEMFS_PRESERVED_MMAP	0x8U

/**
 * struct guestmemfs_inode - a file or a directory
 * @mode: file type and permissions as in st_mode; 0: the entry is free
 * @generation: incremented each time the entry is allocated, kept while it is
 *	free
 * @parent: inode number of the parent directory; the root is its own parent; 0
 *	for orphans
 * @flags: GUESTMEMFS_INODE_*
 * @uid: owner, in the initial user namespace
 * @gid: group, in the initial user namespace
 * @name_len: bytes of @name, 1 to %GUESTMEMFS_NAME_MAX; 0 for the root and for
 *	orphans
 * @preserved_access: GUESTMEMFS_PRESERVED_* of a preserved descriptor
 * @preserved: number of the kexec that a Live Update Orchestrator session
 *	carries a descriptor of the file across, i.e.
 *	&guestmemfs_handover_pool.hops + 1 of the blob that is handed over. The
 *	file is in no session if this is 0 or another number.
 * @size: bytes; 0 for directories
 * @atime: last access, in seconds since 1970
 * @mtime: last change of the contents that the kernel has seen
 * @ctime: last change of this entry
 * @btime: creation
 * @atime_nsec: nanoseconds, below 1000000000
 * @mtime_nsec: likewise
 * @ctime_nsec: likewise
 * @btime_nsec: likewise
 * @preserved_pos: file position of a preserved descriptor, not negative
 * @reserved: zero
 * @name: name in @parent, no slash and no NUL; zero after @name_len bytes
 */
struct guestmemfs_inode {
	__le32 mode;
	__le32 generation;
	__le32 parent;
	__le32 flags;
	__le32 uid;
	__le32 gid;
	__le16 name_len;
	__le16 preserved_access;
	__le32 preserved;
	__le64 size;
	__le64 atime;
	__le64 mtime;
	__le64 ctime;
	__le64 btime;
	__le32 atime_nsec;
	__le32 mtime_nsec;
	__le32 ctime_nsec;
	__le32 btime_nsec;
	__le64 preserved_pos;
	__le64 reserved[4];
	__u8 name[256];
};

static_assert(sizeof(struct guestmemfs_inode) == 384);
static_assert(offsetof(struct guestmemfs_inode, size) == 32);
static_assert(offsetof(struct guestmemfs_inode, preserved) == 28);
static_assert(offsetof(struct guestmemfs_inode, atime_nsec) == 72);
static_assert(offsetof(struct guestmemfs_inode, preserved_pos) == 88);
static_assert(offsetof(struct guestmemfs_inode, name) == 128);

/* The extent has blocks. Without this flag it only describes converted pages. */
#define GUESTMEMFS_EXTENT_ALLOCATED	0x1U
/* All pages of the extent are converted. */
#define GUESTMEMFS_EXTENT_CONVERTED	0x2U
/* One block with converted and other pages, as @map says. Excludes CONVERTED. */
#define GUESTMEMFS_EXTENT_MIXED		0x4U
/*
 * The blocks have left their file while they were pinned, or have a frame with a memory error.
 * @logical is @block, and @ino is GUESTMEMFS_DETACHED_INO. The last unpin frees them, or the next
 * kernel those that have no persistent pin, but never one with a memory error.
 */
#define GUESTMEMFS_EXTENT_DETACHED	0x8U
#define GUESTMEMFS_EXTENT_FLAGS		0xfU

/**
 * struct guestmemfs_extent - a run of blocks of a file with the same flags
 * @logical: first block in the file
 * @ino: the file; 0: the entry is free
 * @block: first block in the pool, 0 if not allocated. All blocks are in one
 *	range.
 * @count: number of blocks
 * @flags: GUESTMEMFS_EXTENT_*
 * @map: entry of the map table for a mixed extent, else 0
 * @reserved: zero
 */
struct guestmemfs_extent {
	__le64 logical;
	__le32 ino;
	__le32 block;
	__le32 count;
	__le32 flags;
	__le32 map;
	__le32 reserved;
};

static_assert(sizeof(struct guestmemfs_extent) == 32);
static_assert(offsetof(struct guestmemfs_extent, ino) == 8);
static_assert(offsetof(struct guestmemfs_extent, reserved) == 28);

/**
 * struct guestmemfs_map - which pages of a mixed block are converted
 * @bits: one bit per page of 4 KiB, bit 0 of byte 0 first; set: converted; all
 *	zero: the entry is free
 *
 * Entry 0 is never used: 0 in @map of struct guestmemfs_extent means "none".
 */
struct guestmemfs_map {
	__u8 bits[GUESTMEMFS_BLOCK_PAGES / 8];
};

static_assert(sizeof(struct guestmemfs_map) == 64);

/**
 * struct guestmemfs_absent - which pages of a block its file has lost without the block
 * @bits: one bit per page of 4 KiB, bit 0 of byte 0 first; set: absent
 * @block: the block
 * @extent: entry of the extent table that has the block
 *
 * The records are in the unused part of the map table: one after the other, from the map with the
 * number &guestmemfs_super_live.used_maps on. Bits may become clear while the tables are frozen
 * for a kexec. A kernel that ignores a record finds the pages present, with zeroes in them.
 */
struct guestmemfs_absent {
	__u8 bits[GUESTMEMFS_BLOCK_PAGES / 8];
	__le32 block;
	__le32 extent;
};

static_assert(sizeof(struct guestmemfs_absent) == 72);
static_assert(offsetof(struct guestmemfs_absent, block) == 64);

/**
 * struct guestmemfs_poison - a page frame with a memory error
 * @page: block number * %GUESTMEMFS_BLOCK_PAGES + number of the page in the
 *	block
 * @flags: zero
 * @reserved: zero
 *
 * The block may be in a file, detached or free. It is free if the error came while the tables
 * were frozen for a kexec; the next mount makes it a detached one.
 */
struct guestmemfs_poison {
	__le64 page;
	__le32 flags;
	__le32 reserved;
};

static_assert(sizeof(struct guestmemfs_poison) == 16);

/**
 * struct guestmemfs_pin - adjacent frames with persistent pins of one file
 * @frame: the first frame
 * @count: number of frames, not zero. All of their blocks are allocated
 * @ino: the file that has the pins. The frames may have left it: their blocks
 *	are detached then
 * @reserved: zero
 */
struct guestmemfs_pin {
	__le64 frame;
	__le64 count;
	__le32 ino;
	__le32 reserved;
};

static_assert(sizeof(struct guestmemfs_pin) == 24);
static_assert(offsetof(struct guestmemfs_pin, ino) == 16);

/* The type of a file handle that name_to_handle_at(2) returns. */
#define GUESTMEMFS_FID_TYPE		0x67

/**
 * struct guestmemfs_fid - a file handle
 * @uuid: identity of the pool
 * @ino: inode number of the file or directory
 * @generation: generation of the inode
 *
 * Not stored in the pool: user space keeps it, and passes it to a later kernel.
 */
struct guestmemfs_fid {
	__u8 uuid[16];
	__le32 ino;
	__le32 generation;
};

static_assert(sizeof(struct guestmemfs_fid) == 24);
static_assert(offsetof(struct guestmemfs_fid, ino) == 16);
static_assert(offsetof(struct guestmemfs_fid, generation) == 20);

#endif /* _LINUX_KHO_ABI_GUESTMEMFS_H */
