/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_TEST_GOLDEN_H
#define _GUESTMEMFS_TEST_GOLDEN_H

#include <stdio.h>

#include "tables_pool.h"

#define GOLDEN_FILE		TEST_DIR "/golden-v1.txt"
#define GOLDEN_DUMP		TEST_DIR "/golden-v1.dump"
/* The same image with some offsets converted, some blocks detached and persistent pins. */
#define GOLDEN_STATES_FILE	TEST_DIR "/golden-v1-states.txt"
#define GOLDEN_STATES_DUMP	TEST_DIR "/golden-v1-states.dump"
/* The same with records of absent pages. */
#define GOLDEN_ABSENT_FILE	TEST_DIR "/golden-v1-absent.txt"
#define GOLDEN_ABSENT_DUMP	TEST_DIR "/golden-v1-absent.dump"
#define GOLDEN_META_BASE	0x30000000ULL

/* A pool's metadata and a handover blob that names it. */
struct golden {
	u8 *meta;
	size_t meta_size;
	u8 *blob;
	size_t blob_size;
};

/* The images; each has what the one before it has. */
enum golden_kind {
	GOLDEN_PLAIN,
	GOLDEN_STATES,
	GOLDEN_ABSENT,
};

/* Makes an image with the current code. */
void golden_make(struct golden *g, enum golden_kind kind);
/* Read an image from a text file, and write one as text. */
void golden_load(struct golden *g, const char *file);
void golden_print(const struct golden *g, FILE *out);
void golden_free(struct golden *g);

#endif /* _GUESTMEMFS_TEST_GOLDEN_H */
