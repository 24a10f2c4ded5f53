/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _SHIM_LINUX_KERNEL_H
#define _SHIM_LINUX_KERNEL_H

#include <linux/align.h>
#include <linux/bitops.h>
#include <linux/bug.h>
#include <linux/compiler.h>
#include <linux/errno.h>
#include <linux/limits.h>
#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/string.h>
#include <linux/types.h>

#define container_of(p, type, member) \
	((type *)((char *)(p) - offsetof(type, member)))
#define might_alloc(gfp)	((void)(gfp))

#endif /* _SHIM_LINUX_KERNEL_H */
