/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_TEST_CORPUS_H
#define _GUESTMEMFS_TEST_CORPUS_H

#include "fuzz.h"

/* An input of the fuzzer, and in which line of the file it is. */
struct corpus_item {
	u32 line;
	u32 size;
	u8 data[FUZZ_MAX_SIZE];
};

/* Reads a corpus file: an input a line, in hex; what follows a # is a comment. */
struct corpus_item *corpus_load(const char *file, u32 *nr);

#endif /* _GUESTMEMFS_TEST_CORPUS_H */
