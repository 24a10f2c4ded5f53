/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_UPSTREAM_CAPABILITY_H
#define _GUESTMEMFS_UPSTREAM_CAPABILITY_H

/*
 * What iommufd's selftest needs of libcap, so that the library does not have to be on the host:
 * clearing an effective capability of this process.
 */

#include <linux/capability.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define cap_t struct __user_cap_data_struct *
#define cap_value_t int

enum cap_flag { CAP_EFFECTIVE };

enum cap_flag_value { CAP_CLEAR };

static inline cap_t cap_get_proc(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	cap_t caps = calloc(_LINUX_CAPABILITY_U32S_3, sizeof(*caps));

	if (caps && syscall(SYS_capget, &head, caps)) {
		free(caps);
		caps = NULL;
	}
	return caps;
}

static inline int cap_set_flag(cap_t caps, enum cap_flag flag, int nr, const cap_value_t *list,
			       enum cap_flag_value value)
{
	(void)flag;
	(void)value;
	while (nr--)
		caps[CAP_TO_INDEX(list[nr])].effective &= ~CAP_TO_MASK(list[nr]);
	return 0;
}

static inline int cap_set_proc(cap_t caps)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };

	return syscall(SYS_capset, &head, caps);
}

static inline int cap_free(cap_t caps)
{
	free(caps);
	return 0;
}

#endif /* _GUESTMEMFS_UPSTREAM_CAPABILITY_H */
