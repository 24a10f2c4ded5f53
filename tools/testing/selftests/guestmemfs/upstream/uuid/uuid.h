/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_UPSTREAM_UUID_H
#define _GUESTMEMFS_UPSTREAM_UUID_H

/*
 * What VFIO's selftests need of libuuid, so that the library does not have to be on the host: the
 * bytes of a UUID out of its text.
 */

#include <stdio.h>
#include <string.h>

#define uuid_t __typeof__(unsigned char[16])

static inline int uuid_parse(const char *text, unsigned char *uuid)
{
	int i;

	if (strlen(text) != strlen("00000000-0000-0000-0000-000000000000"))
		return -1;
	for (i = 0; i < 16; i++, text += 2) {
		if ((i == 4 || i == 6 || i == 8 || i == 10) && *text++ != '-')
			return -1;
		if (sscanf(text, "%2hhx", &uuid[i]) != 1)
			return -1;
	}
	return 0;
}

#endif /* _GUESTMEMFS_UPSTREAM_UUID_H */
