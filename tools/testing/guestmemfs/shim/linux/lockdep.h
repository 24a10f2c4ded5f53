/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _SHIM_LINUX_LOCKDEP_H
#define _SHIM_LINUX_LOCKDEP_H

/* There is only one thread, so lockdep_assert_held() checks nothing. */
#define SINGLE_DEPTH_NESTING	1
#define lock_is_held(...)	1
#define lockdep_is_held(...)	1
#define lockdep_assert_held(lock)	((void)(lock))
#define lockdep_assert_held_write(lock)	((void)(lock))

#endif /* _SHIM_LINUX_LOCKDEP_H */
