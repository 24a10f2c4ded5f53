// SPDX-License-Identifier: GPL-2.0-only
/*
 * Gives a selftest of another subsystem a file of guestmemfs where it makes a memfd: linked with
 * the test, this memfd_create() takes the place of libc's. MEMFD_DIR is a directory in a pool.
 * Without that variable, and for hugetlbfs, the test gets a memfd.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

int memfd_create(const char *name, unsigned int flags)
{
	const char *dir = getenv("MEMFD_DIR");

	if (!dir || flags & MFD_HUGETLB)
		return syscall(SYS_memfd_create, name, flags);
	return open(dir, O_RDWR | O_TMPFILE, 0600);
}
