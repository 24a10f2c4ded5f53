/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _SHIM_LINUX_RCUPDATE_H
#define _SHIM_LINUX_RCUPDATE_H

#include <linux/compiler.h>

/*
 * There is only one thread. A grace period ends at the next allocation or free outside of
 * rcu_read_lock(), so the address sanitizer sees a later access to memory passed to kfree_rcu().
 */
struct rcu_head {
	struct rcu_head *next;
	void (*func)(struct rcu_head *head);
};

typedef void (*rcu_callback_t)(struct rcu_head *head);

extern unsigned int shim_rcu_readers;

void call_rcu(struct rcu_head *head, rcu_callback_t func);
/* Frees @p with kfree() after a grace period. @offset is the place of its rcu_head. */
void shim_kfree_rcu(void *p, size_t offset);
/* Runs all callbacks passed to call_rcu(). Must not be called under rcu_read_lock(). */
void rcu_barrier(void);

#define kfree_rcu(p, member)						\
	do {								\
		__typeof__(p) _p = (p);					\
									\
		shim_kfree_rcu(_p, offsetof(__typeof__(*_p), member));	\
	} while (0)
#define kvfree_rcu(p, member)	kfree_rcu(p, member)
#define synchronize_rcu()	rcu_barrier()

static inline void rcu_read_lock(void)
{
	shim_rcu_readers++;
}

static inline void rcu_read_unlock(void)
{
	shim_rcu_readers--;
}

#define rcu_dereference(p)			(p)
#define rcu_dereference_check(p, cond)		({ (void)(cond); (p); })
#define rcu_dereference_protected(p, cond)	({ (void)(cond); (p); })
#define rcu_assign_pointer(p, v)		((p) = (v))
#define RCU_INIT_POINTER(p, v)			((p) = (v))

#endif /* _SHIM_LINUX_RCUPDATE_H */
