/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_TEST_FUZZ_H
#define _GUESTMEMFS_TEST_FUZZ_H

#include <linux/types.h>

#define FUZZ_CHANGES	64	/* changes in one input; further ones are ignored */
#define FUZZ_LOOK	0x4000	/* runs between calls of fuzz_look() */
#define FUZZ_MAX_SIZE	(3 + 15 * 4 + FUZZ_CHANGES * 8)	/* 575, as in the Makefile */

/* libFuzzer calls these functions by the names in __asm__(). */
int fuzz_init(int *argc, char ***argv) __asm__("LLVMFuzzerInitialize");
int fuzz_one(const u8 *data, size_t size) __asm__("LLVMFuzzerTestOneInput");
/*
 * Checks that everything that inputs have changed has been restored: otherwise the result of an
 * input would depend on those before it.
 */
void fuzz_look(void);
/* The number of inputs whose tables were accepted. */
extern u32 fuzz_accepted;

#endif /* _GUESTMEMFS_TEST_FUZZ_H */
