/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_TEST_IMAGE_H
#define _GUESTMEMFS_TEST_IMAGE_H

#include "pool.h"

#define IMAGE_SPANS	512

/*
 * A pool whose tables are to be corrupted, many times and fast. What is
 * changed is noted, and alone put back.
 */
struct image {
	u64 size;
	/* The memory that is changed, and the same memory to read only. */
	u8 *meta;
	u8 *shown;
	/* As it was at first. */
	u8 *copy;
	/* Where the tables were at first, in @meta. */
	struct gmfs_tables t;
	u32 nr_spans;
	struct { u64 offset, size; } spans[IMAGE_SPANS];
};

/* The pool of state_make(). There is nothing before its first byte nor behind its last. */
struct image *image_make(void);
void image_free(struct image *m);
/* These bytes of @meta are about to change. */
void image_touch(struct image *m, const void *start, u64 size);
void image_restore(struct image *m);
/* Is it as it was at first? */
bool image_is_whole(const struct image *m);
/*
 * Opens and checks it, and, if both say so, uses it. Returns whether they did.
 * From allocation @fail_from on, if not 0, there is no memory for the checks.
 */
bool image_try(struct image *m, const u8 *ops, size_t nr, u32 fail_from);

#endif /* _GUESTMEMFS_TEST_IMAGE_H */
