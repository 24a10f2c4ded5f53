/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
#ifndef _LINUX_KHO_ABI_GUESTMEMFS_H
#define _LINUX_KHO_ABI_GUESTMEMFS_H

#include <linux/build_bug.h>
#include <linux/types.h>

/**
 * DOC: What guestmemfs leaves behind for the next kernel
 *
 * Two things cross a kexec.
 *
 * The *handover blob* is a KHO subtree named %GUESTMEMFS_KHO_SUBTREE. It says
 * which physical ranges belong to which pool, and where each pool keeps its
 * metadata. The next kernel reads it in early boot and takes those ranges out
 * of memblock before anything can be allocated from them. Every version of
 * the blob starts with the fields of struct guestmemfs_handover up to and
 * including @nr_ranges, and every record starts with the fields that are
 * described here: a kernel that does not know the version can still keep its
 * hands off the memory, and hands the blob on as it came.
 *
 * The *tables* of a pool are one physically contiguous area on the pool's
 * node: a superblock, then the tables that it lists. They are used in place,
 * by this kernel and by the next. They hold no guest byte.
 *
 * All numbers are little-endian. Checksums are CRC-32C, begun with all bits set
 * and not inverted at the end, as crc32c(~0, ...) of the kernel.
 *
 * A block is 2 MiB of guest memory. Block
 * numbers are unique in a pool: each range starts at a block number that has
 * the same remainder modulo %GUESTMEMFS_GROUP_BLOCKS as its physical address
 * has in blocks, and in a group of %GUESTMEMFS_GROUP_BLOCKS of its own. Hence
 * a block number is a multiple of %GUESTMEMFS_GROUP_BLOCKS if and only if the
 * block starts at a 1 GiB boundary, and an aligned group never leaves its
 * range. Numbers between the ranges exist in the bitmap alone, as allocated.
 *
 * Feature words follow the rule of on-disk formats. With an unknown bit in
 * @feature_compat a kernel goes on, in @feature_ro_compat it mounts read-only,
 * in @feature_incompat it refuses the pool. A refused pool keeps its memory.
 *
 * The *character* of a page of 4 KiB is private or shared. All pages of a file
 * begin with the same one, and a page that has the other one is *converted*.
 * That is kept for pages without memory as well. Such extents and their map
 * entries are in the tables only under %GUESTMEMFS_FEATURE_INCOMPAT_STATES.
 */

#define GUESTMEMFS_KHO_SUBTREE		"guestmemfs"
#define GUESTMEMFS_FORMAT_VERSION	1

#define GUESTMEMFS_HANDOVER_MAGIC	0x444e414853464d47ULL	/* "GMFSHAND" */
#define GUESTMEMFS_SUPER_MAGIC		0x5245505553464d47ULL	/* "GMFSUPER" */

/* A block is what a 2 MiB page table entry maps, a group what a 1 GiB one maps. */
#define GUESTMEMFS_BLOCK_SHIFT		21
#define GUESTMEMFS_GROUP_BLOCKS		512
#define GUESTMEMFS_BLOCK_PAGES		512

/* Ranges are whole memory sections, or part of the memory map would remain. */
#define GUESTMEMFS_RANGE_ALIGN		0x8000000ULL	/* 128 MiB */

#define GUESTMEMFS_MAX_POOLS		1024
#define GUESTMEMFS_MAX_RANGES		128	/* of one pool */
#define GUESTMEMFS_MAX_BLOCKS		0x40000000U
#define GUESTMEMFS_NAME_MAX		255

/*
 * A file that is preserved by the Live Update Orchestrator. The handle is the
 * pool's node, shifted by 32, and the inode number; the rest is in the inode.
 */
#define GUESTMEMFS_LUO_COMPATIBLE	"guestmemfs-v1"
#define GUESTMEMFS_LUO_NODE_SHIFT	32

/**
 * struct guestmemfs_handover - head of the handover blob
 * @magic: %GUESTMEMFS_HANDOVER_MAGIC
 * @version: %GUESTMEMFS_FORMAT_VERSION
 * @header_size: bytes before the first pool record
 * @pool_size: bytes of one pool record
 * @range_size: bytes of one range record; these follow the pool records
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

/* A kernel could not keep all of the pool's memory, and has used it otherwise. */
#define GUESTMEMFS_POOL_LOST		0x1U

/**
 * struct guestmemfs_handover_pool - one pool of the handover blob
 * @uuid: identity of the pool, as in its superblock
 * @meta_base: physical address of the tables, 2 MiB aligned
 * @meta_size: bytes of the tables, a multiple of 2 MiB
 * @node: NUMA node that the pool was taken from
 * @first_range: index of its first range record
 * @nr_ranges: number of its range records, at most %GUESTMEMFS_MAX_RANGES
 * @flags: GUESTMEMFS_POOL_*
 * @hops: kexecs that the pool had been through when this was written
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
 */
struct guestmemfs_handover_range {
	__le64 base;
	__le64 size;
};

static_assert(sizeof(struct guestmemfs_handover_range) == 16);
static_assert(offsetof(struct guestmemfs_handover_range, size) == 8);

/**
 * enum guestmemfs_table - the tables behind a superblock
 * @GUESTMEMFS_TABLE_RANGES: struct guestmemfs_range, ascending, checksummed
 * @GUESTMEMFS_TABLE_BITMAP: a bit a block, bit 0 of byte 0 first; set: taken
 * @GUESTMEMFS_TABLE_UNZEROED: a bit a block; set: holds old bytes, to be
 *	zeroed before anyone is given the block
 * @GUESTMEMFS_TABLE_INODES: struct guestmemfs_inode, indexed by inode number
 * @GUESTMEMFS_TABLE_EXTENTS: struct guestmemfs_extent, in no order
 * @GUESTMEMFS_TABLE_MAPS: struct guestmemfs_map, for extents of mixed pages
 * @GUESTMEMFS_TABLE_POISON: struct guestmemfs_poison, in no order
 * @GUESTMEMFS_NR_TABLES: their number in this version
 */
enum guestmemfs_table {
	GUESTMEMFS_TABLE_RANGES,
	GUESTMEMFS_TABLE_BITMAP,
	GUESTMEMFS_TABLE_UNZEROED,
	GUESTMEMFS_TABLE_INODES,
	GUESTMEMFS_TABLE_EXTENTS,
	GUESTMEMFS_TABLE_MAPS,
	GUESTMEMFS_TABLE_POISON,
	GUESTMEMFS_NR_TABLES,
};

/* Flags of extents but ALLOCATED, of inodes but ORPHAN, and the map table are in use. */
#define GUESTMEMFS_FEATURE_INCOMPAT_STATES	0x1U
#define GUESTMEMFS_FEATURE_INCOMPAT_KNOWN	GUESTMEMFS_FEATURE_INCOMPAT_STATES

#define GUESTMEMFS_TABLE_SLOTS		12	/* room for later tables */
#define GUESTMEMFS_TABLE_ALIGN		4096

/**
 * struct guestmemfs_table_desc - where a table is
 * @offset: bytes from the superblock, a multiple of %GUESTMEMFS_TABLE_ALIGN
 * @entries: number of entries (bits, for the bitmaps)
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
 * @used_inodes: no inode from this number on is in use, nor was one ever
 * @used_extents: likewise for extents
 * @used_maps: likewise for maps
 * @used_poison: likewise for poison records
 * @hops: kexecs that the pool had been through when it was last mounted
 * @reserved: zero
 */
struct guestmemfs_super_live {
	__le32 used_inodes;
	__le32 used_extents;
	__le32 used_maps;
	__le32 used_poison;
	__le32 hops;
	__le32 reserved[11];
};

static_assert(sizeof(struct guestmemfs_super_live) == 64);

/**
 * struct guestmemfs_super - first 4 KiB of a pool's metadata
 * @magic: %GUESTMEMFS_SUPER_MAGIC
 * @version: %GUESTMEMFS_FORMAT_VERSION
 * @crc: CRC-32C of all before @live and then of the range table, with this
 *	field as zero
 * @feature_compat: unknown bits here may be ignored
 * @feature_ro_compat: unknown bits here allow a read-only mount
 * @feature_incompat: unknown bits here allow nothing
 * @node: NUMA node of the pool
 * @uuid: identity of the pool
 * @meta_base: physical address of this superblock
 * @meta_size: bytes of superblock and tables
 * @block_shift: %GUESTMEMFS_BLOCK_SHIFT
 * @nr_blocks: block numbers in use, those between the ranges included
 * @nr_ranges: used entries of the range table
 * @pad: zero
 * @tables: where the tables are, by enum guestmemfs_table
 * @reserved: zero
 * @live: what changes, not under the checksum
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

/* Inode 0 is never used, so that a zero means "none" everywhere. */
#define GUESTMEMFS_ROOT_INO		1

/* The file was unlinked while open; it goes with the kernel that had it open. */
#define GUESTMEMFS_INODE_ORPHAN		0x1U
/* Offsets that are not converted are private (unfaultable), not shared. Files only. */
#define GUESTMEMFS_INODE_PRIVATE	0x2U
/* The initial character was chosen when a descriptor for KVM was made. Files only. */
#define GUESTMEMFS_INODE_CHOSEN		0x4U
#define GUESTMEMFS_INODE_FLAGS \
	(GUESTMEMFS_INODE_ORPHAN | GUESTMEMFS_INODE_PRIVATE | GUESTMEMFS_INODE_CHOSEN)

/* How the preserved descriptor was open. */
#define GUESTMEMFS_PRESERVED_READ	0x1U
#define GUESTMEMFS_PRESERVED_WRITE	0x2U
#define GUESTMEMFS_PRESERVED_ACCESS	(GUESTMEMFS_PRESERVED_READ | GUESTMEMFS_PRESERVED_WRITE)
/* It was a descriptor for a hypervisor, and one that can be mapped. */
#define GUESTMEMFS_PRESERVED_GMEM	0x4U
#define GUESTMEMFS_PRESERVED_MMAP	0x8U

/**
 * struct guestmemfs_inode - a file or a directory
 * @mode: file type and permissions as in st_mode; 0: the entry is free
 * @generation: grows with each use of the entry, kept while it is free
 * @parent: inode number of the directory that holds it; the root's is its own
 * @flags: GUESTMEMFS_INODE_*
 * @uid: owner, in the initial user namespace
 * @gid: group, in the initial user namespace
 * @name_len: bytes of @name, 1 to %GUESTMEMFS_NAME_MAX; 0 for the root and
 *	for orphans
 * @preserved_access: GUESTMEMFS_PRESERVED_* of a preserved descriptor
 * @preserved: the hop that a Live Update Orchestrator session carries a
 *	descriptor of the file over, counted as in &guestmemfs_handover_pool.hops
 *	of the kernel behind it; any other number, and 0: it is in no session
 * @size: bytes; 0 for directories
 * @atime: seconds since 1970 of the last access
 * @mtime: of the last change of contents that the kernel can see
 * @ctime: of the last change of this entry
 * @btime: of creation
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

/* Its offsets have blocks; without this bit it describes states alone. */
#define GUESTMEMFS_EXTENT_ALLOCATED	0x1U
/* Its offsets have the other character than the inode's flags give them. */
#define GUESTMEMFS_EXTENT_CONVERTED	0x2U
/* One block, not CONVERTED; @map tells which of its pages are: some, and not all. */
#define GUESTMEMFS_EXTENT_MIXED		0x4U
/* Punched while somebody held the blocks, which are freed when nobody does any more. */
#define GUESTMEMFS_EXTENT_TRUNCATED	0x8U
/* The pins are meant to outlive a kexec. */
#define GUESTMEMFS_EXTENT_PINNED	0x10U
#define GUESTMEMFS_EXTENT_FLAGS		0x1fU

/**
 * struct guestmemfs_extent - a run of a file's blocks that are alike
 * @logical: first block in the file
 * @ino: the file; 0: the entry is free
 * @block: first block in the pool, all in one range; 0 if not allocated
 * @count: number of blocks
 * @flags: GUESTMEMFS_EXTENT_*
 * @map: entry of the map table for a mixed extent, else 0
 * @pins: number of pins that device drivers hold
 */
struct guestmemfs_extent {
	__le64 logical;
	__le32 ino;
	__le32 block;
	__le32 count;
	__le32 flags;
	__le32 map;
	__le32 pins;
};

static_assert(sizeof(struct guestmemfs_extent) == 32);
static_assert(offsetof(struct guestmemfs_extent, ino) == 8);
static_assert(offsetof(struct guestmemfs_extent, pins) == 28);

/**
 * struct guestmemfs_map - which pages of a mixed block are converted
 * @bits: a bit a 4 KiB page, bit 0 of byte 0 first; all zero: the entry is free
 *
 * Entry 0 is never used, so that a zero means "none" in an extent.
 */
struct guestmemfs_map {
	__u8 bits[GUESTMEMFS_BLOCK_PAGES / 8];
};

static_assert(sizeof(struct guestmemfs_map) == 64);

/**
 * struct guestmemfs_poison - a page frame with a memory error
 * @page: block number times %GUESTMEMFS_BLOCK_PAGES plus the page in the block
 * @flags: zero
 * @reserved: zero
 */
struct guestmemfs_poison {
	__le64 page;
	__le32 flags;
	__le32 reserved;
};

static_assert(sizeof(struct guestmemfs_poison) == 16);

/* What name_to_handle_at(2) gives as the type of a handle. */
#define GUESTMEMFS_FID_TYPE		0x67

/**
 * struct guestmemfs_fid - a file handle
 * @uuid: identity of the pool
 * @ino: inode number of the file or directory
 * @generation: of its entry in the inode table
 *
 * Not in the pool: user space keeps it, and gives it to a later kernel.
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
