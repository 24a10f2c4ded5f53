/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _SHIM_LINUX_CRC32C_H
#define _SHIM_LINUX_CRC32C_H

#include <linux/types.h>

u32 crc32c(u32 crc, const void *p, size_t len);

#endif /* _SHIM_LINUX_CRC32C_H */
