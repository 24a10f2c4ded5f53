/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _SHIM_ASM_BARRIER_H
#define _SHIM_ASM_BARRIER_H

/* There is one thread. */
#define smp_rmb()		do { } while (0)
#define smp_wmb()		do { } while (0) /* likewise */

#endif /* _SHIM_ASM_BARRIER_H */
