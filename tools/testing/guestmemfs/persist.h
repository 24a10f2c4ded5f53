/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_TEST_PERSIST_H
#define _GUESTMEMFS_TEST_PERSIST_H

#include "tables_pool.h"

/* Pins pages of a file persistently, which all have memory. */
int persist_pages(struct pool *p, u32 file, u64 first, u64 last);
/* Removes persistent pins of frames, as gmfs_persist_remove(), and frees detached blocks. */
int persist_remove(struct pool *p, u64 first, u64 last, u32 ino, bool inherited);
/* Removes all persistent pins of a file. */
void persist_drop(struct pool *p, u32 ino);

#endif /* _GUESTMEMFS_TEST_PERSIST_H */
