/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _SHIM_LINUX_SLAB_H
#define _SHIM_LINUX_SLAB_H

#include <linux/cleanup.h>
#include <linux/types.h>

#define __GFP_DIRECT_RECLAIM	0x01u
#define __GFP_NOFAIL		0x02u
#define __GFP_NOWARN		0x04u
#define __GFP_ACCOUNT		0x08u
#define __GFP_ZERO		0x10u
#define GFP_NOWAIT		__GFP_NOWARN
#define GFP_KERNEL		__GFP_DIRECT_RECLAIM
#define GFP_KERNEL_ACCOUNT	(GFP_KERNEL | __GFP_ACCOUNT)

/* The number, from 1, of the first allocation that fails; later ones fail, too. 0: none fails. */
extern unsigned int shim_fail_from;
/* Allocations that must not wait fail, as when the kernel would have to reclaim memory. */
extern bool shim_fail_nowait;
/*
 * The number of allocations since it was reset to 0, and the number and bytes of allocations that
 * are not freed. Memory passed to kfree_rcu() counts as freed.
 */
extern unsigned int shim_allocations;
extern int shim_unfreed;
extern size_t shim_bytes;
/* The size of the largest allocation, except by kvrealloc(). */
extern size_t shim_largest;

/* The number of basic blocks of alloc.c, groups.c and ids.c that were run; only with gcc. */
extern unsigned long shim_steps;

void *kvcalloc(size_t n, size_t size, gfp_t gfp);
void *kvrealloc(const void *p, size_t size, gfp_t gfp);
void kvfree(const void *p);
/* Does this allocation fail? Call it once for each allocation. With __GFP_NOFAIL none fails. */
bool shim_fails(gfp_t gfp);
/* Counts memory from malloc() (@sign is 1), or memory that is about to be freed (-1). */
void *shim_count(void *p, int sign);

#define kvzalloc(size, gfp)	kvcalloc(1, size, gfp)
#define kvmalloc(size, gfp)	kvcalloc(1, size, gfp)
#define kvmalloc_array(n, size, gfp)	kvcalloc(n, size, gfp)
#define kcalloc(n, size, gfp)	kvcalloc(n, size, gfp)
#define kzalloc(size, gfp)	kvcalloc(1, size, gfp)
#define kmalloc(size, gfp)	kvcalloc(1, size, gfp)
#define kfree(p)		kvfree(p)

static inline bool gfpflags_allow_blocking(gfp_t gfp)
{
	return gfp & __GFP_DIRECT_RECLAIM;
}

/* Only the fields that lib/maple_tree.c uses. */
struct kmem_cache_args {
	unsigned int align;
	unsigned int sheaf_capacity;
};

#define SLAB_PANIC		0

struct kmem_cache;
struct slab_sheaf;

struct kmem_cache *kmem_cache_create(const char *name, unsigned int size,
				     const struct kmem_cache_args *args, unsigned int flags);
void *kmem_cache_alloc(struct kmem_cache *s, gfp_t gfp);
void kmem_cache_free(struct kmem_cache *s, void *p);
bool kmem_cache_alloc_bulk(struct kmem_cache *s, gfp_t gfp, size_t nr, void **p);
void kmem_cache_free_bulk(struct kmem_cache *s, size_t nr, void **p);
struct slab_sheaf *kmem_cache_prefill_sheaf(struct kmem_cache *s, gfp_t gfp, unsigned int size);
int kmem_cache_refill_sheaf(struct kmem_cache *s, gfp_t gfp, struct slab_sheaf **sheafp,
			    unsigned int size);
void kmem_cache_return_sheaf(struct kmem_cache *s, gfp_t gfp, struct slab_sheaf *sheaf);
void *kmem_cache_alloc_from_sheaf(struct kmem_cache *s, gfp_t gfp, struct slab_sheaf *sheaf);
unsigned int kmem_cache_sheaf_size(const struct slab_sheaf *sheaf);

DEFINE_FREE(kvfree, void *, kvfree(_T))
DEFINE_FREE(kfree, void *, kvfree(_T))

#endif /* _SHIM_LINUX_SLAB_H */
