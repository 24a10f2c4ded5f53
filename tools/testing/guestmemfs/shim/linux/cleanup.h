/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _SHIM_LINUX_CLEANUP_H
#define _SHIM_LINUX_CLEANUP_H

#define __free(name)		__attribute__((cleanup(shim_free_##name)))

#define DEFINE_FREE(name, type, code)					\
	static inline void shim_free_##name(void *p)			\
	{								\
		type _T = *(type *)p;					\
									\
		code;							\
	}

#endif /* _SHIM_LINUX_CLEANUP_H */
