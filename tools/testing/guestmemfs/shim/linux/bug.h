/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _SHIM_LINUX_BUG_H
#define _SHIM_LINUX_BUG_H

#include <linux/compiler.h>

void __noreturn shim_warn(const char *file, int line, const char *what);

/* A warning of the kernel ends the test. */
#define WARN_ON(cond)							\
	({								\
		bool _warn = (cond);					\
									\
		if (unlikely(_warn))					\
			shim_warn(__FILE__, __LINE__, #cond);		\
		_warn;							\
	})
#define WARN_ON_ONCE(cond)	WARN_ON(cond)
#define BUG_ON			WARN_ON

#endif /* _SHIM_LINUX_BUG_H */
