// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory for as many entries as a table of a pool may have.
 */
#include <linux/limits.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "tables.h"

/**
 * gmfs_calloc - zeroed memory for as many entries as a table may have
 * @n: number of entries, not 0
 * @size: bytes of each
 *
 * kvcalloc() takes more than INT_MAX bytes for somebody's mistake, and warns. The
 * format allows for 2^31 extents and inodes: four times as much, and more.
 *
 * Return: what is to be given to kvfree(), or NULL.
 */
void *gmfs_calloc(size_t n, size_t size)
{
	if (n > INT_MAX / size)
		return __vcalloc(n, size, GFP_KERNEL | __GFP_NOWARN);
	return kvcalloc(n, size, GFP_KERNEL);
}
