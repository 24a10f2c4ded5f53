/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_SYSTEMS_H
#define _GUESTMEMFS_SYSTEMS_H

#include <stdbool.h>
#include <stddef.h>

/**
 * struct system - a kind of guest memory that the benchmarks compare
 * @name: its name in the results
 * @entry: size of the page table entries that map it
 * @shift: bytes that a mapping is moved from an aligned address, so that entries of guestmemfs are
 *	not larger than @entry, and hugetlbfs does not share page tables between mappings
 * @make: makes a file of this size without memory; returns a descriptor or -1
 * @flags: for @make
 * @shmem: what /sys/kernel/mm/transparent_hugepage/shmem_enabled has to be while it is measured, or
 *	NULL
 */
struct system {
	const char *name;
	size_t entry;
	size_t shift;
	int (*make)(const struct system *s, size_t size);
	unsigned int flags;
	const char *shmem;
};

extern const struct system systems[];
extern const int nr_systems;
/* Where a pool is mounted. */
extern const char *pool_dir;
/* The virtual machine that descriptors are for. Without it guest_memfd makes one. */
extern int system_vm;

/*
 * Before a system is measured hugetlbfs gets the pages of a gigabyte, and afterwards the kernel
 * gets them back, so that the systems use the same memory one after another.
 */
void system_begin(const struct system *s);
void system_end(const struct system *s);
/*
 * Measures all systems, each in a process of its own. A fault looks for its VMA one by one in a
 * node of the mm's tree, so that it would cost more with the remains of the systems before.
 */
void systems_measure(void (*measure)(const struct system *s));
int system_file(const struct system *s, size_t size);
/* Returns the descriptor by which a slot of the machine has a file, or -1 if there is none. */
int system_gmem(const struct system *s, int fd);
/* Maps a file at @base plus the shift of its system, in place of a reservation. */
char *system_map(const struct system *s, char *base, int fd, size_t offset, size_t size);

/* Whether all freed memory of the pool was zeroed; true for another system, too. */
bool wait_until_clean(const struct system *s);

/*
 * Results: a line "SYSTEM WHAT N VALUE" for each, where N is the number of bytes, or of threads.
 * sample() adds a measurement, and samples_print() prints the median of those of each WHAT and N.
 */
void sample(const char *what, size_t n, long value);
void samples_print(const struct system *s);

#endif /* _GUESTMEMFS_SYSTEMS_H */
