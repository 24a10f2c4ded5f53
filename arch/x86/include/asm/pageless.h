/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _ASM_X86_PAGELESS_H
#define _ASM_X86_PAGELESS_H

#include <linux/types.h>

/*
 * Access to single frames of RAM, with or without a struct page and a place in the direct map, by
 * code that makes frames private to a guest in hardware. See arch/x86/virt/pageless.c.
 */
bool pageless_is_ram(u64 pfn);
void *pageless_map(u64 pfn);
void pageless_unmap(u64 pfn, void *va);
void pageless_clflush(u64 pfn, u64 nr);

#endif /* _ASM_X86_PAGELESS_H */
