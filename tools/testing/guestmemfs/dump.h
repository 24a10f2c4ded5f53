/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_TEST_DUMP_H
#define _GUESTMEMFS_TEST_DUMP_H

#include <stdio.h>

#include "../../../fs/guestmemfs/tables/tables.h"

/*
 * Both functions print as much as they can, even of damaged data, and return whether the data is
 * well formed. If it is not, the last line tells why.
 */
bool dump_tables(FILE *out, const void *meta, u64 size, bool brief);
bool dump_handover(FILE *out, const void *blob, size_t size);

#endif /* _GUESTMEMFS_TEST_DUMP_H */
