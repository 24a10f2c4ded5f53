/* SPDX-License-Identifier: GPL-2.0 */
/* What the description of the preserved format needs of the kernel's header. */
#ifndef _SHIM_LINUX_BUILD_BUG_H
#define _SHIM_LINUX_BUILD_BUG_H

#include <assert.h>
#include <stddef.h>

#endif
