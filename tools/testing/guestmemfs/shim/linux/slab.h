/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _SHIM_LINUX_SLAB_H
#define _SHIM_LINUX_SLAB_H

#include <linux/cleanup.h>
#include <linux/types.h>

#define GFP_KERNEL		0
#define GFP_KERNEL_ACCOUNT	0
#define __GFP_NOWARN		0

/* From this allocation on, counted from 1, allocations fail; 0: none fails. */
extern unsigned int shim_fail_from;
/* Allocations since shim_fail_from was set, and those that nobody freed yet. */
extern unsigned int shim_allocations;
extern int shim_unfreed;
/* The most bytes that were asked for at once, but for those that got more. */
extern size_t shim_largest;

void *kvcalloc(size_t n, size_t size, unsigned int gfp);
void *kvrealloc(const void *p, size_t size, unsigned int gfp);
void kvfree(const void *p);

#define kvzalloc(size, gfp)	kvcalloc(1, size, gfp)
#define kvmalloc(size, gfp)	kvcalloc(1, size, gfp)
#define kvmalloc_array(n, size, gfp)	kvcalloc(n, size, gfp)
#define kcalloc(n, size, gfp)	kvcalloc(n, size, gfp)
#define kzalloc(size, gfp)	kvcalloc(1, size, gfp)
#define kmalloc(size, gfp)	kvcalloc(1, size, gfp)
#define kfree(p)		kvfree(p)

DEFINE_FREE(kvfree, void *, kvfree(_T))
DEFINE_FREE(kfree, void *, kvfree(_T))

#endif /* _SHIM_LINUX_SLAB_H */
