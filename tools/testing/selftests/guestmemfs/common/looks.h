/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_LOOKS_H
#define _GUESTMEMFS_LOOKS_H

#include <stdbool.h>
#include <stddef.h>

/**
 * struct look - a way to look at the page tables of this process
 * @name: for the log
 * @at: looks at this mapping, or at all mappings of the process; returns false on failure
 */
struct look {
	const char *name;
	bool (*at)(char *p, size_t len);
};

#define NR_LOOKS	12

extern const struct look looks[NR_LOOKS];

long vm_event(const char *name);

#endif /* _GUESTMEMFS_LOOKS_H */
