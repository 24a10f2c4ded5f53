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

#define no_free_ptr(p) \
	({ __typeof__(p) _ptr = (p); (p) = NULL; _ptr; })
#define return_ptr(p)		return no_free_ptr(p)

#endif /* _SHIM_LINUX_CLEANUP_H */
