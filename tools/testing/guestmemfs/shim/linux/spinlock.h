/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _SHIM_LINUX_SPINLOCK_H
#define _SHIM_LINUX_SPINLOCK_H

#include <linux/bug.h>
#include <linux/lockdep.h>

/* There is only one thread, so taking a lock that is held would be a deadlock. */
struct shim_spinlock {
	bool held;
};

#define spinlock_t		struct shim_spinlock

#define __SPIN_LOCK_UNLOCKED(...)	{ .held = false }

static inline void spin_lock_init(spinlock_t *lock)
{
	lock->held = false;
}

static inline void spin_lock(spinlock_t *lock)
{
	WARN_ON(lock->held);
	lock->held = true;
}

static inline void spin_unlock(spinlock_t *lock)
{
	WARN_ON(!lock->held);
	lock->held = false;
}

#define spin_lock_nested(lock, ...)	spin_lock(lock)

#endif /* _SHIM_LINUX_SPINLOCK_H */
