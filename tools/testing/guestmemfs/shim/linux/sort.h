/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _SHIM_LINUX_SORT_H
#define _SHIM_LINUX_SORT_H

#include <stddef.h>

typedef int (*cmp_r_func_t)(const void *a, const void *b, const void *priv);
typedef void (*swap_r_func_t)(void *a, void *b, int size, const void *priv);

void sort_r(void *base, size_t num, size_t size, cmp_r_func_t cmp, swap_r_func_t swap,
	    const void *priv);

#define sort_r_nonatomic(...)	sort_r(__VA_ARGS__)

#endif /* _SHIM_LINUX_SORT_H */
