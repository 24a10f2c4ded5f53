// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ways to walk the page tables of a process that must not change them: files in /proc that
 * monitoring reads of a VMM, and system calls that ask about a mapping.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/mempolicy.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "looks.h"
#include "util.h"

/* The number of pages that move_pages() is asked about. */
#define NR_ASKED	16

static bool read_all(const char *path)
{
	int fd = open(path, O_RDONLY);
	char room[4096];
	ssize_t n;

	if (fd < 0)
		return false;
	while ((n = read(fd, room, sizeof(room))) > 0)
		;
	close(fd);
	return !n;
}

static bool read_maps(char *p, size_t len)
{
	return read_all("/proc/self/maps");
}

static bool read_smaps(char *p, size_t len)
{
	return read_all("/proc/self/smaps");
}

static bool read_rollup(char *p, size_t len)
{
	return read_all("/proc/self/smaps_rollup");
}

static bool read_numa_maps(char *p, size_t len)
{
	return read_all("/proc/self/numa_maps");
}

static bool read_pagemap(char *p, size_t len)
{
	size_t size = len / PAGE * sizeof(uint64_t);
	char *room = malloc(size);
	int fd = open("/proc/self/pagemap", O_RDONLY);
	bool right = room && fd >= 0 &&
		     pread(fd, room, size, (uintptr_t)p / PAGE * sizeof(uint64_t)) == size;

	close(fd);
	free(room);
	return right;
}

static bool scan_pagemap(char *p, size_t len)
{
	struct page_region found[16];
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.start = (uintptr_t)p,
		.end = (uintptr_t)p + len,
		.vec = (uintptr_t)found,
		.vec_len = 16,
		.category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_WRITTEN,
		.return_mask = PAGE_IS_PRESENT | PAGE_IS_WRITTEN,
	};
	int fd = open("/proc/self/pagemap", O_RDONLY);
	bool right = ioctl(fd, PAGEMAP_SCAN, &arg) >= 0;

	close(fd);
	return right;
}

/* Clears the referenced bits of this process. */
static bool forget_refs(const char *what)
{
	int fd = open("/proc/self/clear_refs", O_WRONLY);
	bool right = write(fd, what, 1) == 1;

	close(fd);
	return right;
}

static bool clear_all_refs(char *p, size_t len)
{
	return forget_refs("1");
}

static bool clear_mapped_refs(char *p, size_t len)
{
	return forget_refs("3");
}

static bool ask_mincore(char *p, size_t len)
{
	unsigned char *room = malloc(len / PAGE);
	bool right = room && !mincore(p, len, room);

	free(room);
	return right;
}

/* Asks move_pages() for the nodes of the pages. */
static bool ask_move_pages(char *p, size_t len)
{
	void *pages[NR_ASKED];
	int status[NR_ASKED], i;

	for (i = 0; i < NR_ASKED; i++)
		pages[i] = p + len / NR_ASKED * i;
	return !syscall(SYS_move_pages, 0, NR_ASKED, pages, NULL, status, 0);
}

/* Asks mbind() whether all pages are on the nodes that the policy names. */
static bool ask_mbind(char *p, size_t len)
{
	return !syscall(SYS_mbind, p, len, MPOL_DEFAULT, NULL, 0, MPOL_MF_STRICT);
}

static bool ask_mbind_to_move(char *p, size_t len)
{
	return !syscall(SYS_mbind, p, len, MPOL_DEFAULT, NULL, 0, MPOL_MF_STRICT | MPOL_MF_MOVE);
}

const struct look looks[NR_LOOKS] = {
	{ "maps",			read_maps },
	{ "smaps",			read_smaps },
	{ "smaps_rollup",		read_rollup },
	{ "numa_maps",			read_numa_maps },
	{ "pagemap",			read_pagemap },
	{ "PAGEMAP_SCAN",		scan_pagemap },
	{ "clear_refs, all",		clear_all_refs },
	{ "clear_refs, of files",	clear_mapped_refs },
	{ "mincore",			ask_mincore },
	{ "move_pages",			ask_move_pages },
	{ "mbind, strict",		ask_mbind },
	{ "mbind, strict, to move",	ask_mbind_to_move },
};

/* Returns the value of a line of /proc/vmstat, -1 if there is no such line. */
long vm_event(const char *name)
{
	FILE *f = fopen("/proc/vmstat", "r");
	char key[64];
	long value;

	while (f && fscanf(f, "%63s %ld", key, &value) == 2) {
		if (!strcmp(key, name)) {
			fclose(f);
			return value;
		}
	}
	if (f)
		fclose(f);
	return -1;
}
