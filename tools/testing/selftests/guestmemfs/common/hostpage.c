// SPDX-License-Identifier: GPL-2.0-only
/* Pages of this process at an address where a pool is about to take memory from the host. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "hostpage.h"
#include "util.h"

#define PIECE	(64 * MIB)
#define PIECES	256

/* The physical address of a page of this process, 0 if there is none. */
static uint64_t page_phys(int pagemap, const char *p)
{
	uint64_t entry = 0;

	if (pread(pagemap, &entry, 8, (uintptr_t)p / PAGE * 8) != 8)
		return 0;
	return entry >> 63 ? (entry & ((1UL << 55) - 1)) * PAGE : 0;
}

/* Finds a page in a piece of memory. Its neighbours in a huge page need no look. */
static char *page_in_piece(int pagemap, char *piece, uint64_t gigabyte, uint64_t *phys)
{
	size_t at;

	for (at = 0; at < PIECE; at += BLOCK) {
		*phys = page_phys(pagemap, piece + at);
		if (*phys >= gigabyte && *phys < gigabyte + GIB)
			return piece + at;
	}
	return NULL;
}

/* Maps memory of this node, as long as it has any. */
static char *map_piece(int node)
{
	unsigned long nodes = 1UL << node;
	char *p = mmap(NULL, PIECE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	syscall(SYS_mbind, p, PIECE, MPOL_PREFERRED, &nodes, 8 * sizeof(nodes), 0);
	if (!madvise(p, PIECE, MADV_POPULATE_WRITE))
		return p;
	munmap(p, PIECE);
	return NULL;
}

/*
 * Memory that has come back to the host is the last to be given out, so that most of the node's is
 * taken before it.
 */
bool with_host_page(int node, uint64_t gigabyte,
		    bool (*use)(char *page, uint64_t phys, void *arg), void *arg)
{
	int pagemap = open("/proc/self/pagemap", O_RDONLY), nr;
	char *pieces[PIECES], *page = NULL;
	uint64_t phys;
	bool used;

	for (nr = 0; nr < PIECES && !page; nr++) {
		pieces[nr] = map_piece(node);
		if (!pieces[nr])
			break;
		page = page_in_piece(pagemap, pieces[nr], gigabyte, &phys);
	}
	used = page && use(page, phys, arg);
	while (nr-- > 0)
		munmap(pieces[nr], PIECE);
	close(pagemap);
	return used;
}

bool pin_in_pipe(char *page, uint64_t phys, void *arg)
{
	struct iovec iov = { .iov_base = page, .iov_len = PAGE };
	const int *fds = arg;

	(void)phys;
	return vmsplice(fds[1], &iov, 1, 0) == PAGE;
}
