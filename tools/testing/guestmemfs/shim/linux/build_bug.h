/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _SHIM_LINUX_BUILD_BUG_H
#define _SHIM_LINUX_BUILD_BUG_H

/* The message may be left out: gcc and clang allow that of C11 as well. */
#include <assert.h>
#include <stddef.h>

#define BUILD_BUG_ON(cond)	static_assert(!(cond))

#endif /* _SHIM_LINUX_BUILD_BUG_H */
