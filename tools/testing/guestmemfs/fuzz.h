/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_TEST_FUZZ_H
#define _GUESTMEMFS_TEST_FUZZ_H

#include <linux/types.h>

/* The names are those that libFuzzer looks for. */
int fuzz_init(int *argc, char ***argv) __asm__("LLVMFuzzerInitialize");
int fuzz_one(const u8 *data, size_t size) __asm__("LLVMFuzzerTestOneInput");

#endif /* _GUESTMEMFS_TEST_FUZZ_H */
