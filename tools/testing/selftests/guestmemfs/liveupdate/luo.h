/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_LUO_H
#define _GUESTMEMFS_LUO_H

#include <fcntl.h>
#include <linux/liveupdate.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>

/* Wrappers of the ioctls of the Live Update Orchestrator, which return -1 and errno on failure. */

static inline int luo_open(void)
{
	return open("/dev/liveupdate", O_RDWR | O_CLOEXEC);
}

static inline int luo_create(int luo, const char *name)
{
	struct liveupdate_ioctl_create_session arg = { .size = sizeof(arg) };

	snprintf((char *)arg.name, sizeof(arg.name), "%s", name);
	return ioctl(luo, LIVEUPDATE_IOCTL_CREATE_SESSION, &arg) ? -1 : arg.fd;
}

static inline int luo_retrieve(int luo, const char *name)
{
	struct liveupdate_ioctl_retrieve_session arg = { .size = sizeof(arg) };

	snprintf((char *)arg.name, sizeof(arg.name), "%s", name);
	return ioctl(luo, LIVEUPDATE_IOCTL_RETRIEVE_SESSION, &arg) ? -1 : arg.fd;
}

static inline int luo_preserve_fd(int session, uint64_t token, int fd)
{
	struct liveupdate_session_preserve_fd arg = {
		.size	= sizeof(arg),
		.fd	= fd,
		.token	= token,
	};

	return ioctl(session, LIVEUPDATE_SESSION_PRESERVE_FD, &arg);
}

static inline int luo_retrieve_fd(int session, uint64_t token)
{
	struct liveupdate_session_retrieve_fd arg = {
		.size	= sizeof(arg),
		.token	= token,
	};

	return ioctl(session, LIVEUPDATE_SESSION_RETRIEVE_FD, &arg) ? -1 : arg.fd;
}

static inline int luo_finish(int session)
{
	struct liveupdate_session_finish arg = { .size = sizeof(arg) };

	return ioctl(session, LIVEUPDATE_SESSION_FINISH, &arg);
}

#endif /* _GUESTMEMFS_LUO_H */
