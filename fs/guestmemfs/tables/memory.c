// SPDX-License-Identifier: GPL-2.0-only
/* Memory for arrays that are as large as a table of a pool. */
#include <linux/limits.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "tables.h"

/**
 * gmfs_calloc - allocate a zeroed array with an element for each entry of a table
 * @n: number of elements, not 0
 * @size: bytes of an element
 *
 * kvcalloc() warns and fails if the array has more than INT_MAX bytes. The format allows
 * 2^31 extents and inodes, and an element has 4 bytes or more.
 *
 * Return: memory to be freed with kvfree(), or NULL.
 */
void *gmfs_calloc(size_t n, size_t size)
{
	if (n > INT_MAX / size)
		return __vcalloc(n, size, GFP_KERNEL | __GFP_NOWARN);
	return kvcalloc(n, size, GFP_KERNEL);
}
