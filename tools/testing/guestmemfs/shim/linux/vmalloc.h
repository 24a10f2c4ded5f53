/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _SHIM_LINUX_VMALLOC_H
#define _SHIM_LINUX_VMALLOC_H

#include <linux/types.h>

/* Fails in the same cases as the functions in slab.h. To be freed by kvfree(). */
void *__vcalloc(size_t n, size_t size, gfp_t gfp);

#endif /* _SHIM_LINUX_VMALLOC_H */
