/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_TEST_IMAGE_H
#define _GUESTMEMFS_TEST_IMAGE_H

#include "pool.h"

/* What there is to corrupt; the order is that of the fuzzer's inputs. */
enum image_part {
	PART_SUPER,
	PART_RANGES,
	PART_BITMAP,
	PART_UNZEROED,
	PART_INODES,
	PART_EXTENTS,
	NR_PARTS,
};

/* A pool with some files, and the bytes of it as they were at first. */
struct image {
	struct pool p;
	u32 nr;
	u32 offset[NR_PARTS];
	u32 size[NR_PARTS];
	u8 *copy;
};

struct image *image_make(void);
void image_free(struct image *m);
void image_restore(struct image *m);
/* Opens, checks and, if both say so, uses it. Returns whether they did. */
bool image_try(struct image *m, const u8 *ops, size_t nr);

#endif /* _GUESTMEMFS_TEST_IMAGE_H */
