/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_TEST_STATES_H
#define _GUESTMEMFS_TEST_STATES_H

#include "tables_pool.h"

#define PAGES		((u64)GUESTMEMFS_BLOCK_PAGES)
#define PAGES_GIB	(PAGES * GROUP)
#define TOP		(GMFS_MAX_LOGICAL * PAGES)

#define ALLOCATED	GUESTMEMFS_EXTENT_ALLOCATED
#define CONVERTED	GUESTMEMFS_EXTENT_CONVERTED
#define MIXED		GUESTMEMFS_EXTENT_MIXED

/* Makes a pool of @gib GiB, and returns the index of a new file. */
u32 states_pool(struct pool *p, u32 gib);
/* Checks that the @count blocks or holes from @logical on have these flags. */
void states_run_is(const struct pool *p, u32 file, u64 logical, u64 count, u32 flags);
/* Checks that the pages from @page to before @end have these flags, and the next one does not. */
void states_page_is(const struct pool *p, u32 file, u64 page, u64 end, u32 flags);
/* Pins whole blocks of a file, and removes such pins. */
void states_pin(struct pool *p, u32 file, u64 logical, u64 count);
void states_unpin(struct pool *p, u32 file, u64 logical, u64 count);
u32 states_used_extents(const struct pool *p);
u32 states_used_maps(const struct pool *p);

#endif /* _GUESTMEMFS_TEST_STATES_H */
