/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_SIZE_H
#define _GUESTMEMFS_SIZE_H

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Parses a size on the command line of a tool: a number, with K, M, G, T or nothing after it. */
static inline bool parse_size(const char *text, unsigned long *n)
{
	static const char units[] = "KMGT";
	const char *unit;
	char *end;

	errno = 0;
	*n = strtoul(text, &end, 0);
	unit = *end ? strchr(units, *end) : NULL;
	if (unit) {
		*n <<= 10 * (unit - units + 1);
		end++;
	}
	return !errno && end != text && !*end;
}

#endif /* _GUESTMEMFS_SIZE_H */
