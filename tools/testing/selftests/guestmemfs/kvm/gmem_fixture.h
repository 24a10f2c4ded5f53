/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_GMEM_FIXTURE_H
#define _GUESTMEMFS_GMEM_FIXTURE_H

#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <time.h>
#include <unistd.h>

#include "entries.h"
#include "gmem.h"
#include "harness.h"
#include "util.h"
#include "vmm.h"

#define PUNCH		(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)

#define ALLOCATED	GUESTMEMFS_STATE_ALLOCATED
#define PRIVATE		GUESTMEMFS_STATE_PRIVATE

#define INIT_SHARED	GUESTMEMFS_GMEM_INIT_SHARED
#define CAN_MMAP	GUESTMEMFS_GMEM_MMAP

/* The orders of entries of 4 KiB, 2 MiB and 1 GiB. */
#define ORDER_4K	0
#define ORDER_2M	9
#define ORDER_1G	18

#define FILE_SLOT	1
#define FILE_GPA	(4 * GIB)

/* A pool and a virtual machine with one CPU, for tests of memory by descriptor. */
FIXTURE(gmem)
{
	int nr;
	struct pool p;
	struct vmm vmm;
	struct vcpu cpu;
};

/*
 * With an ordinary virtual machine, the file is shared at first, and its guest cannot access
 * private memory. With a protected one, the file is private at first, and its guest can access both
 * kinds.
 */
FIXTURE_VARIANT(gmem)
{
	unsigned long type;
	bool protected;
	uint32_t flags;		/* of descriptors */
	uint64_t first;		/* attribute of all pages at first */
	uint64_t other;		/* the opposite attribute */
	uint64_t state;		/* first state in GET_STATE */
};

FIXTURE_VARIANT_ADD(gmem, ordinary)
{
	.type = KVM_X86_DEFAULT_VM,
	.flags = INIT_SHARED | CAN_MMAP,
	.first = GMEM_SHARED,
	.other = GMEM_PRIVATE,
};

FIXTURE_VARIANT_ADD(gmem, protected)
{
	.type = KVM_X86_SW_PROTECTED_VM,
	.protected = true,
	.flags = CAN_MMAP,
	.first = GMEM_PRIVATE,
	.other = GMEM_SHARED,
	.state = PRIVATE,
};

FIXTURE_SETUP(gmem)
{
	int nodes[MAX_POOLS];

	self->nr = pool_nodes(nodes);
	if (!self->nr)
		SKIP(return, "no pool on this machine");
	ASSERT_TRUE(pool_setup(&self->p, nodes[0]));
	catch_faults();
	if (!vmm_has_type(variant->type))
		SKIP(return, "no /dev/kvm, or not for such a virtual machine");
	ASSERT_EQ(0, vmm_make(&self->vmm, variant->type));
	ASSERT_EQ(0, vcpu_make(&self->vmm, &self->cpu, 0));
}

FIXTURE_TEARDOWN_PARENT(gmem)
{
	if (self->nr)
		EXPECT_STREQ("", pool_teardown(&self->p) ?: "");
}

/* Makes a file, a descriptor, and a slot for the whole file. */
static inline int ram_make(const struct pool *p, const struct vmm *v, uint32_t flags,
			   size_t size, int *gmem)
{
	int fd = file_make(p, "ram", size);

	*gmem = gmem_create(fd, v->vm, flags);
	if (*gmem < 0 || vmm_bind(v, FILE_SLOT, FILE_GPA, size, *gmem, 0))
		return -1;
	return fd;
}

/* Does the CPU have AMD's virtualization (SVM) and not Intel's? */
static inline bool has_svm(void)
{
	FILE *f = fopen("/proc/cpuinfo", "r");
	bool found = false;
	char word[32];

	while (f && !found && fscanf(f, "%31s", word) == 1)
		found = !strcmp(word, "svm");
	if (f)
		fclose(f);
	return found;
}

/* Does the CPU use two-dimensional paging, so that KVM does not shadow the guest's page tables? */
static inline bool has_tdp(void)
{
	FILE *f = fopen(has_svm() ? "/sys/module/kvm_amd/parameters/npt" :
			"/sys/module/kvm_intel/parameters/ept", "r");
	int c = f ? getc(f) : EOF;

	if (f)
		fclose(f);
	return c == 'Y' || c == '1';
}

/* Returns how long a race runs: GMEM_RACE_SECONDS of the environment, 0 if it is not valid. */
static inline unsigned int race_seconds(void)
{
	const char *text = getenv("GMEM_RACE_SECONDS");
	char *end = "";
	long n = text ? strtol(text, &end, 10) : 8;

	/* The time limit of a test is 300 seconds. */
	if (n > 0 && n <= 240 && !*end)
		return n;
	printf("# GMEM_RACE_SECONDS=%s: not a number from 1 to 240\n", text);
	return 0;
}

/* Returns the monotonic time, which no other program can set. */
static inline time_t seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

/* xorshift, so that the sequence does not depend on the C library. */
static inline unsigned int next_random(unsigned int *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

#endif /* _GUESTMEMFS_GMEM_FIXTURE_H */
