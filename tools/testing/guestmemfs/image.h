/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_TEST_IMAGE_H
#define _GUESTMEMFS_TEST_IMAGE_H

#include "tables_pool.h"

#define IMAGE_SPANS	512

/*
 * A pool whose tables are corrupted and restored, many times and fast: only places that were noted
 * as changed are restored.
 */
struct image {
	u64 size;
	/* The memory that is changed, and a read-only mapping of the same memory. */
	u8 *meta;
	u8 *shown;
	/* A copy of the original contents. */
	u8 *copy;
	/* The original places of the tables in @meta. */
	struct gmfs_tables t;
	u32 nr_spans;
	struct { u64 offset, size; } spans[IMAGE_SPANS];
};

/* Makes an image of the pool of state_make(), between inaccessible pages. */
struct image *image_make(void);
void image_free(struct image *m);
/* Notes that these bytes of @meta are about to change. */
void image_touch(struct image *m, const void *start, u64 size);
void image_restore(struct image *m);
/* Does the image have its original contents? */
bool image_is_whole(const struct image *m);
/*
 * Opens and checks the image, and calls use_tables() if it is accepted. Returns whether it was. If
 * @fail_from is not 0, allocations of gmfs_check() fail from that one on.
 */
bool image_try(struct image *m, const u8 *ops, size_t nr, u32 fail_from);

#endif /* _GUESTMEMFS_TEST_IMAGE_H */
