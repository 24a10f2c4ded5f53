/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_USERFAULT_FIXTURE_H
#define _GUESTMEMFS_USERFAULT_FIXTURE_H

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>

#include "fixture.h"
#include "leaves.h"
#include "userfault.h"

#define PUNCH	(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define MISSING	UFFDIO_REGISTER_MODE_MISSING
#define MINOR	UFFDIO_REGISTER_MODE_MINOR

/* Memory with a pattern, to fill other memory from. */
static inline unsigned char *source(size_t len)
{
	unsigned char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				-1, 0);

	if (p != MAP_FAILED)
		fill(p, len, 7);
	return p;
}

/* A file with a registered mapping. */
static inline unsigned char *registered(struct pool *p, struct uffd *u, size_t len, uint64_t mode,
					int *fd)
{
	unsigned char *at;

	*fd = file_make(p, "file", len);
	at = map_file(*fd, 0, len);
	if (at == MAP_FAILED || !uffd_open(u, 0) || uffd_register(u, at, len, mode))
		return MAP_FAILED;
	return at;
}

static inline bool punch(int fd, size_t from, size_t len)
{
	return !fallocate(fd, PUNCH, from, len);
}

#endif /* _GUESTMEMFS_USERFAULT_FIXTURE_H */
