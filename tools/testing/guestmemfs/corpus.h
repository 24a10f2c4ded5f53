/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_TEST_CORPUS_H
#define _GUESTMEMFS_TEST_CORPUS_H

#include "fuzz.h"

/* An input of the fuzzer, and the number of its line in the file. */
struct corpus_item {
	u32 line;
	u32 size;
	u8 data[FUZZ_MAX_SIZE];
};

/* Reads a corpus file: one input in each line, in hex. A comment begins with #. */
struct corpus_item *corpus_load(const char *file, u32 *nr);

#endif /* _GUESTMEMFS_TEST_CORPUS_H */
