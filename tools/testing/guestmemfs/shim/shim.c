// SPDX-License-Identifier: GPL-2.0-only
/*
 * User-space versions of the kernel functions that the files under test call.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include <linux/bitops.h>
#include <linux/bug.h>
#include <linux/crc32c.h>
#include <linux/limits.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

unsigned int shim_fail_from;
bool shim_fail_nowait;
unsigned int shim_allocations;
int shim_unfreed;
size_t shim_bytes;
size_t shim_largest;
unsigned int shim_rcu_readers;
unsigned long shim_steps;

/* The compiler inserts a call of this into every basic block of the files that are counted. */
#ifndef __clang__
void __sanitizer_cov_trace_pc(void);

void __sanitizer_cov_trace_pc(void)
{
	shim_steps++;
}
#endif

/* The list of callbacks that wait for a grace period, in order. */
static struct rcu_head *shim_rcu_first;
static struct rcu_head **shim_rcu_last = &shim_rcu_first;

void __noreturn shim_warn(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: the kernel warns: %s\n", file, line, what);
	abort();
}

void *shim_count(void *p, int sign)
{
	if (!p)
		return p;
	shim_unfreed += sign;
	/* With the address sanitizer this is the requested size, else a little more. */
	shim_bytes += sign * (ssize_t)malloc_usable_size(p);
	return p;
}

/* As in the kernel, a small "function" is the offset of the head in the memory to be freed. */
static void shim_rcu_reclaim(struct rcu_head *head)
{
	size_t offset = (size_t)head->func;

	if (offset < 4096)
		free((char *)head - offset);
	else
		head->func(head);
}

/* Ends a grace period. The callbacks may call call_rcu() again, for the next one. */
static void shim_rcu_run(void)
{
	struct rcu_head *head = shim_rcu_first, *next;

	if (!head || shim_rcu_readers)
		return;
	shim_rcu_first = NULL;
	shim_rcu_last = &shim_rcu_first;
	for (; head; head = next) {
		next = head->next;
		shim_rcu_reclaim(head);
	}
}

void call_rcu(struct rcu_head *head, rcu_callback_t func)
{
	shim_rcu_run();
	head->next = NULL;
	head->func = func;
	*shim_rcu_last = head;
	shim_rcu_last = &head->next;
}

void shim_kfree_rcu(void *p, size_t offset)
{
	shim_count(p, -1);
	call_rcu(p + offset, (rcu_callback_t)offset);
}

void rcu_barrier(void)
{
	WARN_ON(shim_rcu_readers);
	while (shim_rcu_first)
		shim_rcu_run();
}

bool shim_fails(gfp_t gfp)
{
	shim_rcu_run();
	shim_allocations++;
	if (gfp & __GFP_NOFAIL)
		return false;
	if (shim_fail_nowait && !gfpflags_allow_blocking(gfp))
		return true;
	return shim_fail_from && shim_allocations >= shim_fail_from;
}

void *__vcalloc(size_t n, size_t size, gfp_t gfp)
{
	shim_largest = max(shim_largest, n * size);
	if (shim_fails(gfp))
		return NULL;
	return shim_count(calloc(n ? n : 1, size), 1);
}

/* Ends the test for an allocation of which the kernel would warn. */
static void shim_bound(size_t n, size_t size)
{
	if (n <= INT_MAX / size)
		return;
	fprintf(stderr, "kvmalloc: %zu times %zu bytes, of which the kernel warns\n", n, size);
	abort();
}

void *kvcalloc(size_t n, size_t size, gfp_t gfp)
{
	shim_bound(n, size);
	return __vcalloc(n, size, gfp);
}

void *kvrealloc(const void *p, size_t size, gfp_t gfp)
{
	void *q;

	shim_bound(size, 1);
	if (shim_fails(gfp))
		return NULL;
	shim_count((void *)p, -1);
	q = realloc((void *)p, size);
	if (!q)
		shim_count((void *)p, 1);
	return shim_count(q, 1);
}

void kvfree(const void *p)
{
	shim_rcu_run();
	free(shim_count((void *)p, -1));
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

/* Heapsort, as in the kernel. It is not stable, so code that needs a stable sort fails here. */
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
