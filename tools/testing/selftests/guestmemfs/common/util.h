/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_UTIL_H
#define _GUESTMEMFS_UTIL_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define KIB		1024UL
#define MIB		(1024 * KIB)
#define GIB		(1024 * MIB)
#define PAGE		(4 * KIB)
#define BLOCK		(2 * MIB)
#define BLOCK_SECTORS	(BLOCK / 512)

#define MAX_POOLS	64

/* The errno of a call that returns -1 on failure, 0 if it has succeeded. */
#define ERR(call)	((long)(call) == -1 ? errno : 0)

/**
 * struct pool - a pool that is mounted for a test
 * @node: its NUMA node
 * @base: a directory of the test's own, where it may mount things
 * @mnt: where the pool is mounted
 * @dir: a directory in the pool, of the test's own
 * @free_blocks: free blocks when the test began
 * @reserved_blocks: those of them that others had reserved
 * @free_inodes: free inodes when the test began
 */
struct pool {
	int node;
	char base[64];
	char mnt[80];
	char dir[96];
	uint64_t free_blocks;
	uint64_t reserved_blocks;
	uint64_t free_inodes;
};

int pool_nodes(int *nodes);
int pool_mount_at(int node, const char *path, unsigned long flags);
bool pool_setup(struct pool *p, int node);
const char *pool_teardown(struct pool *p);
uint64_t pool_free_blocks(const struct pool *p);
/* Returns the number in a file of the pool's directory in sysfs, UINT64_MAX if there is none. */
uint64_t pool_sysfs(const struct pool *p, const char *name);
int pool_remount(const struct pool *p);
int pool_place(const struct pool *p, char *path, size_t room);

int file_make(const struct pool *p, const char *name, off_t size);
uint64_t file_sectors(int fd);
bool file_allocate_unzeroed(int fd, off_t size);
uint64_t file_phys(int fd, uint64_t offset);
const char *pool_path(const struct pool *p, const char *name);

void *map_file(int fd, off_t offset, size_t len);
void *map_reserved(int fd, off_t offset, size_t len);
void *map_at(void *addr, int fd, off_t offset, size_t len);
void *map_reserved_at(void *addr, int fd, off_t offset, size_t len);
void *reserve(size_t len, size_t align);

void catch_faults(void);
int peek(const void *p);
int poke(void *p, unsigned char value);
#define FAULT(signal)	(-(signal))
long nr_faults(void);
long faults_of(const void *p, size_t len);

void fill(void *p, size_t len, uint64_t seed);
bool is_filled(const void *p, size_t len, uint64_t seed);
bool is_zero(const void *p, size_t len);

#endif /* _GUESTMEMFS_UTIL_H */
