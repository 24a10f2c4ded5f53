// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the files under test call of the kernel, for a process.
 */
#include <stdio.h>
#include <stdlib.h>

#include <linux/bitops.h>
#include <linux/crc32c.h>
#include <linux/limits.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

unsigned int shim_fail_from;
unsigned int shim_allocations;
int shim_unfreed;
size_t shim_largest;
unsigned long shim_searches;

static bool shim_fails(void)
{
	shim_allocations++;
	return shim_fail_from && shim_allocations >= shim_fail_from;
}

void *__vcalloc(size_t n, size_t size, unsigned int gfp)
{
	void *p = NULL;

	(void)gfp;
	shim_largest = max(shim_largest, n * size);
	if (!shim_fails())
		p = calloc(n ? n : 1, size);
	shim_unfreed += !!p;
	return p;
}

/* What the kernel warns of ends the test. */
static void shim_bound(size_t n, size_t size)
{
	if (n <= INT_MAX / size)
		return;
	fprintf(stderr, "kvmalloc: %zu times %zu bytes, of which the kernel warns\n", n, size);
	abort();
}

void *kvcalloc(size_t n, size_t size, unsigned int gfp)
{
	shim_bound(n, size);
	return __vcalloc(n, size, gfp);
}

void *kvrealloc(const void *p, size_t size, unsigned int gfp)
{
	void *q = NULL;

	(void)gfp;
	shim_bound(size, 1);
	if (!shim_fails())
		q = realloc((void *)p, size);
	shim_unfreed += q && !p;
	return q;
}

void kvfree(const void *p)
{
	shim_unfreed -= !!p;
	free((void *)p);
}

static void shim_swap(u8 *a, u8 *b, size_t size)
{
	while (size--) {
		u8 byte = *a;

		*a++ = *b;
		*b++ = byte;
	}
}

static void shim_sift(u8 *base, size_t root, size_t num, size_t size, cmp_r_func_t cmp,
		      const void *priv)
{
	for (;;) {
		size_t child = 2 * root + 1;

		if (child >= num)
			return;
		if (child + 1 < num &&
		    cmp(base + child * size, base + (child + 1) * size, priv) < 0)
			child++;
		if (cmp(base + root * size, base + child * size, priv) >= 0)
			return;
		shim_swap(base + root * size, base + child * size, size);
		root = child;
	}
}

/* Heapsort as in the kernel: not stable, so that nobody comes to rely on it. */
void sort_r(void *base, size_t num, size_t size, cmp_r_func_t cmp, swap_r_func_t swap,
	    const void *priv)
{
	size_t i;

	(void)swap;
	for (i = num / 2; i > 0; i--)
		shim_sift(base, i - 1, num, size, cmp, priv);
	for (i = num; i > 1; i--) {
		shim_swap(base, (u8 *)base + (i - 1) * size, size);
		shim_sift(base, 0, i - 1, size, cmp, priv);
	}
}

static void shim_crc_table(u32 table[256])
{
	u32 i, bit;

	for (i = 0; i < 256; i++) {
		table[i] = i;
		for (bit = 0; bit < 8; bit++)
			table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0x82f63b78 : 0);
	}
}

u32 crc32c(u32 crc, const void *p, size_t len)
{
	static u32 table[256];
	const u8 *byte = p;

	if (!table[1])
		shim_crc_table(table);
	for (; len; len--, byte++)
		crc = crc >> 8 ^ table[(crc ^ *byte) & 0xff];
	return crc;
}
