// SPDX-License-Identifier: GPL-2.0-only
/*
 * Functions that only lib/maple_tree.c needs: caches of objects, and sheaves, which are sets of
 * objects allocated in advance.
 */
#include <stdlib.h>

#include <linux/bug.h>
#include <linux/errno.h>
#include <linux/maple_tree.h>
#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/slab.h>
#include <linux/string.h>

struct kmem_cache {
	unsigned int size;
	unsigned int align;
	unsigned int sheaf_capacity;
};

struct slab_sheaf {
	unsigned int capacity;
	unsigned int size;
	void *objects[];
};

/* The cache is never freed, so it does not count as allocated memory of a test. */
struct kmem_cache *kmem_cache_create(const char *name, unsigned int size,
				     const struct kmem_cache_args *args, unsigned int flags)
{
	struct kmem_cache *s = calloc(1, sizeof(*s));

	(void)name;
	(void)flags;
	if (!s)
		abort();
	s->size = size;
	s->align = max_t(unsigned int, args->align, sizeof(void *));
	s->sheaf_capacity = args->sheaf_capacity;
	return s;
}

static void *shim_object(const struct kmem_cache *s, gfp_t gfp)
{
	void *p = aligned_alloc(s->align, round_up(s->size, s->align));

	if (!p)
		abort();
	memset(p, gfp & __GFP_ZERO ? 0 : 0xa5, s->size);
	return shim_count(p, 1);
}

void *kmem_cache_alloc(struct kmem_cache *s, gfp_t gfp)
{
	return shim_fails(gfp) ? NULL : shim_object(s, gfp);
}

void kmem_cache_free(struct kmem_cache *s, void *p)
{
	(void)s;
	kvfree(p);
}

/* Counts as one allocation: either all objects are allocated, or none. */
bool kmem_cache_alloc_bulk(struct kmem_cache *s, gfp_t gfp, size_t nr, void **p)
{
	if (shim_fails(gfp))
		return false;
	while (nr--)
		*p++ = shim_object(s, gfp);
	return true;
}

void kmem_cache_free_bulk(struct kmem_cache *s, size_t nr, void **p)
{
	while (nr--)
		kmem_cache_free(s, *p++);
}

/*
 * Fails now and then for callers that come again: lib/maple_tree.c does after GFP_NOWAIT, and with
 * __GFP_NOFAIL whoever has called it has to.
 */
static bool shim_sheaf_fails(gfp_t gfp)
{
	static unsigned int nowait, nofail;

	if (gfp & __GFP_NOFAIL)
		return ++nofail % 2;
	return !gfpflags_allow_blocking(gfp) && ++nowait % 8 == 0;
}

/*
 * Objects in a sheaf count as allocated. The sheaf does not: the kernel keeps empty sheaves. If it
 * has none, it allocates one without __GFP_NOFAIL.
 */
struct slab_sheaf *kmem_cache_prefill_sheaf(struct kmem_cache *s, gfp_t gfp, unsigned int size)
{
	unsigned int capacity = max(size, s->sheaf_capacity);
	struct slab_sheaf *sheaf;

	if (shim_sheaf_fails(gfp))
		return NULL;
	sheaf = calloc(1, sizeof(*sheaf) + capacity * sizeof(void *));
	if (!sheaf)
		abort();
	sheaf->capacity = capacity;
	if (kmem_cache_alloc_bulk(s, gfp, size, sheaf->objects)) {
		sheaf->size = size;
		return sheaf;
	}
	free(sheaf);
	return NULL;
}

int kmem_cache_refill_sheaf(struct kmem_cache *s, gfp_t gfp, struct slab_sheaf **sheafp,
			    unsigned int size)
{
	struct slab_sheaf *sheaf = *sheafp;

	if (sheaf->size >= size)
		return 0;
	if (size <= sheaf->capacity) {
		if (!kmem_cache_alloc_bulk(s, gfp, size - sheaf->size,
					   &sheaf->objects[sheaf->size]))
			return -ENOMEM;
		sheaf->size = size;
		return 0;
	}
	sheaf = kmem_cache_prefill_sheaf(s, gfp, size);
	if (!sheaf)
		return -ENOMEM;
	kmem_cache_return_sheaf(s, gfp, *sheafp);
	*sheafp = sheaf;
	return 0;
}

void kmem_cache_return_sheaf(struct kmem_cache *s, gfp_t gfp, struct slab_sheaf *sheaf)
{
	(void)gfp;
	kmem_cache_free_bulk(s, sheaf->size, sheaf->objects);
	free(sheaf);
}

void *kmem_cache_alloc_from_sheaf(struct kmem_cache *s, gfp_t gfp, struct slab_sheaf *sheaf)
{
	(void)s;
	(void)gfp;
	/* Warn if more objects are used than were requested. */
	WARN_ON(!sheaf->size);
	return sheaf->objects[--sheaf->size];
}

unsigned int kmem_cache_sheaf_size(const struct slab_sheaf *sheaf)
{
	return sheaf->size;
}

/* In the kernel, start_kernel() calls maple_tree_init(). */
static void __attribute__((constructor)) shim_maple_init(void)
{
	maple_tree_init();
}
