/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_TEST_FUZZ_H
#define _GUESTMEMFS_TEST_FUZZ_H

#include <linux/types.h>

#define FUZZ_CHANGES	64	/* of one input, the rest of which is ignored */
#define FUZZ_LOOK	0x4000	/* runs between calls of fuzz_look() */
#define FUZZ_MAX_SIZE	(3 + 15 * 4 + FUZZ_CHANGES * 8)	/* 575, as in the Makefile */

/* The names are those that libFuzzer looks for. */
int fuzz_init(int *argc, char ***argv) __asm__("LLVMFuzzerInitialize");
int fuzz_one(const u8 *data, size_t size) __asm__("LLVMFuzzerTestOneInput");
/* Is all put back that inputs have changed? Or else they would depend on each other. */
void fuzz_look(void);
/* How many inputs made tables that were accepted. */
extern u32 fuzz_accepted;

#endif /* _GUESTMEMFS_TEST_FUZZ_H */
