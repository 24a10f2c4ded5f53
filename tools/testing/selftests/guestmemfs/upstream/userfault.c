// SPDX-License-Identifier: GPL-2.0-only
/*
 * For userfaultfd's own selftests: linked with them, this ioctl() takes the place of libc's, and
 * says that userfaultfd has no write protection, which files of guestmemfs have not.
 */
#define _GNU_SOURCE
#include <linux/userfaultfd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PROTECTION	(UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_HUGETLBFS_SHMEM | \
			 UFFD_FEATURE_WP_UNPOPULATED | UFFD_FEATURE_WP_ASYNC | \
			 UFFD_FEATURE_RWP | UFFD_FEATURE_RWP_ASYNC)

int ioctl(int fd, unsigned long request, ...)
{
	struct uffdio_api *api;
	va_list args;
	void *arg;
	int ret;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	ret = syscall(SYS_ioctl, fd, request, arg);
	if (!ret && request == UFFDIO_API && getenv("MEMFD_DIR")) {
		api = arg;
		api->features &= ~(__u64)PROTECTION;
	}
	return ret;
}
