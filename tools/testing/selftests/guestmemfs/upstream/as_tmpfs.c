// SPDX-License-Identifier: GPL-2.0-only
/*
 * For LD_PRELOAD: guestmemfs says that it is tmpfs. An unmodified QEMU refuses post-copy for memory
 * of any other filesystem than tmpfs and hugetlbfs.
 */
#include <assert.h>
#include <linux/magic.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef GUESTMEMFS_MAGIC
#define GUESTMEMFS_MAGIC	0x474d4653
#endif

/* What libc has for both, on x86-64. */
static_assert(sizeof(struct statfs64) == sizeof(struct statfs));

int fstatfs64(int fd, struct statfs64 *s)
{
	int ret = syscall(SYS_fstatfs, fd, s);

	if (!ret && s->f_type == GUESTMEMFS_MAGIC)
		s->f_type = TMPFS_MAGIC;
	return ret;
}

int fstatfs(int fd, struct statfs *s)
{
	return fstatfs64(fd, (struct statfs64 *)s);
}
