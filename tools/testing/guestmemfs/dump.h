/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_TEST_DUMP_H
#define _GUESTMEMFS_TEST_DUMP_H

#include <stdio.h>

#include "../../../fs/guestmemfs/tables/tables.h"

/*
 * Both print what there is, however damaged, and return whether it is well
 * formed. If it is not, the last line printed says why.
 */
bool dump_tables(FILE *out, const void *meta, u64 size, bool brief);
bool dump_handover(FILE *out, const void *blob, size_t size);

#endif /* _GUESTMEMFS_TEST_DUMP_H */
