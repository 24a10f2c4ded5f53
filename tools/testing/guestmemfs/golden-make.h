/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_TEST_GOLDEN_MAKE_H
#define _GUESTMEMFS_TEST_GOLDEN_MAKE_H

#include "golden.h"

/* The contents of the golden image, except blocks and extents. */
#define GOLDEN_NODE		1
#define GOLDEN_HOPS		3
#define GOLDEN_RANGES		3
#define GOLDEN_OTHER_NODE	1023
#define GOLDEN_OTHER_META_BASE	0xfedcba9876000000ULL
#define GOLDEN_OTHER_HOPS	70000
#define GOLDEN_OTHER_RANGES	2
#define GOLDEN_INODES		11

struct golden_time {
	s64 sec;
	u32 nsec;
};

/* If @mode is 0, the entry is free. */
struct golden_inode {
	u32 ino;
	u32 mode;
	u32 generation;
	u32 parent;
	u32 flags;
	u32 uid;
	u32 gid;
	u64 size;
	struct golden_time atime;
	struct golden_time mtime;
	struct golden_time ctime;
	struct golden_time btime;
	u32 preserved;
	u16 preserved_access;
	u64 preserved_pos;
	const char *name;
};

extern const u8 golden_uuid[16];
extern const u8 golden_other_uuid[16];
extern const struct gmfs_range golden_ranges[GOLDEN_RANGES];
extern const struct gmfs_range golden_other_ranges[GOLDEN_OTHER_RANGES];
extern const struct golden_inode golden_inodes[GOLDEN_INODES];

#endif /* _GUESTMEMFS_TEST_GOLDEN_MAKE_H */
