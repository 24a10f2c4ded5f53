/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_ENTRIES_H
#define _GUESTMEMFS_ENTRIES_H

#include <stdio.h>

#include "vmm.h"

/*
 * Counts the entries of the second stage that map the file, in a test whose fixture has the machine
 * vmm. The entries of the pages with program and page tables are subtracted; they all exist after
 * any command.
 */
#define EXPECT_ENTRIES(gigabytes, blocks, pages, what) do {			\
	const struct vmm *_v = &self->vmm;					\
	long _gigabytes = vmm_entries(_v, "1g"), _blocks = vmm_entries(_v, "2m");	\
	long _pages = vmm_entries(_v, "4k");					\
										\
	printf("# second stage: %s: %ld of 1 GiB, %ld of 2 MiB, %ld of 4 KiB\n",	\
	       what, _gigabytes, _blocks, _pages);				\
	EXPECT_EQ(gigabytes, _gigabytes);					\
	EXPECT_EQ(blocks, _blocks);						\
	EXPECT_EQ((pages) + VMM_LOW_PAGES, _pages);				\
} while (0)

#endif /* _GUESTMEMFS_ENTRIES_H */
