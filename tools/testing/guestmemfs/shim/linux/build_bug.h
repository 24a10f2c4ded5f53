/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _SHIM_LINUX_BUILD_BUG_H
#define _SHIM_LINUX_BUILD_BUG_H

#include <stddef.h>

/* As in the kernel, the message may be left out. */
#undef static_assert
#define static_assert(expr, ...)	__static_assert(expr, ##__VA_ARGS__, #expr)
#define __static_assert(expr, msg, ...)	_Static_assert(expr, msg)

#define BUILD_BUG_ON(cond)		_Static_assert(!(cond), #cond)

#endif /* _SHIM_LINUX_BUILD_BUG_H */
