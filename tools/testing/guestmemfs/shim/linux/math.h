/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _SHIM_LINUX_MATH_H
#define _SHIM_LINUX_MATH_H

#include <linux/const.h>

#define DIV_ROUND_UP(n, d)	__KERNEL_DIV_ROUND_UP(n, d)
/* @y must be a power of two, as in the kernel. */
#define round_up(x, y)		((((x) - 1) | ((__typeof__(x))(y) - 1)) + 1)
#define round_down(x, y)	((x) & ~((__typeof__(x))(y) - 1))

#endif /* _SHIM_LINUX_MATH_H */
