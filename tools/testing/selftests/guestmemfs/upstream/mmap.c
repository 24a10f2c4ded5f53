// SPDX-License-Identifier: GPL-2.0-only
/*
 * Gives a selftest of another subsystem a file of guestmemfs where it maps anonymous memory, with
 * small or huge pages: linked with the test, this mmap() takes the place of libc's. It maps a file
 * that memfd.c makes in MEMFD_DIR.
 *
 * A child does not inherit a mapping of guestmemfs, so two kinds of memory stay anonymous: memory
 * of the first process, whose children are the tests, and variables that the test harness shares
 * with its children, which are no whole pages.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static pid_t first_process;

/* It runs before the constructors of the tests, which map memory. */
static __attribute__((constructor(101))) void remember_first_process(void)
{
	first_process = getpid();
}

static void *sys_mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
	return (void *)syscall(SYS_mmap, addr, length, prot, flags, fd, offset);
}

static void *map_file(void *addr, size_t length, int prot, int flags)
{
	void *p = MAP_FAILED;
	int fd = memfd_create("mmap", 0);

	if (fd < 0)
		return p;
	if (!ftruncate(fd, length))
		p = sys_mmap(addr, length, prot, MAP_SHARED | flags, fd, 0);
	close(fd);
	return p;
}

void *mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
	if (getenv("MEMFD_DIR") && flags & MAP_ANONYMOUS && prot == (PROT_READ | PROT_WRITE) &&
	    !(length % getpagesize()) && getpid() != first_process)
		return map_file(addr, length, prot, flags & (MAP_FIXED | MAP_POPULATE));
	return sys_mmap(addr, length, prot, flags, fd, offset);
}
