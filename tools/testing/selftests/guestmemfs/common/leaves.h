/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_LEAVES_H
#define _GUESTMEMFS_LEAVES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* The page tables of the process that reads this file. */
#define LEAVES	"/sys/kernel/debug/page_tables/current_kernel"

/**
 * struct leaves - counts of the page table entries of a mapping that lead to memory
 * @pud: entries of 1 GiB
 * @pmd: entries of 2 MiB
 * @pte: entries of 4 KiB
 * @uncached: entries of any size that are not plain write-back
 * @read_only: entries of any size that are not writable
 */
struct leaves {
	unsigned long pud;
	unsigned long pmd;
	unsigned long pte;
	unsigned long uncached;
	unsigned long read_only;
};

bool count_leaves(const void *p, size_t len, struct leaves *l);
int touch(void *p, size_t len, size_t step);
int look(const void *p, size_t len, size_t step);

#define EXPECT_LEAVES(p, len, puds, pmds, ptes, what) do {				\
	struct leaves _l;								\
											\
	EXPECT_TRUE(count_leaves(p, len, &_l));						\
	printf("# leaves: %s: %lu of 1 GiB, %lu of 2 MiB, %lu of 4 KiB, %lu not write-back\n",	\
	       what, _l.pud, _l.pmd, _l.pte, _l.uncached);				\
	EXPECT_EQ(puds, _l.pud);							\
	EXPECT_EQ(pmds, _l.pmd);							\
	EXPECT_EQ(ptes, _l.pte);							\
	EXPECT_EQ(0, _l.uncached);							\
} while (0)

#endif /* _GUESTMEMFS_LEAVES_H */
