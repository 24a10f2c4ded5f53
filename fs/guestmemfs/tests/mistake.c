// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bugs that a debug kernel must report, for VM test planted-debug, which checks that such a
 * report fails a test. Writing a name to the parameter guestmemfs_test.mistake triggers that
 * bug. Kernels without the debug options do not notice it.
 */
#include <linux/array_size.h>
#include <linux/cleanup.h>
#include <linux/compiler.h>
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/stat.h>
#include <linux/string.h>

#ifdef MODULE_PARAM_PREFIX
#undef MODULE_PARAM_PREFIX
#endif
#define MODULE_PARAM_PREFIX "guestmemfs_test."

static DEFINE_MUTEX(mistake_first);
static DEFINE_MUTEX(mistake_second);

/* Lockdep: takes two locks in both orders. No other code takes them. */
static int mistake_lockdep(void)
{
	scoped_guard(mutex, &mistake_first) {
		guard(mutex)(&mistake_second);
	}
	scoped_guard(mutex, &mistake_second) {
		guard(mutex)(&mistake_first);
	}
	return 0;
}

/* KASAN: reads a byte of freed memory. */
static int mistake_kasan(void)
{
	char *p = kmalloc(64, GFP_KERNEL), *gone = p;

	if (!p)
		return -ENOMEM;
	OPTIMIZER_HIDE_VAR(gone);
	kfree(p);
	READ_ONCE(*gone);
	return 0;
}

/* UBSAN: shifts an int by more bits than it has. */
static int mistake_ubsan(void)
{
	int bits = 77, value = 1;

	OPTIMIZER_HIDE_VAR(bits);
	value <<= bits;
	OPTIMIZER_HIDE_VAR(value);
	return 0;
}

/*
 * kmemleak: leaks several allocations, since a stale pointer to one of them may be left on a
 * stack. Their contents are not zeroes.
 */
static int mistake_leak(void)
{
	int i;

	for (i = 0; i < 16; i++) {
		char *p = kmalloc(96, GFP_KERNEL);

		if (!p)
			return -ENOMEM;
		memset(p, 'x', 96);
		OPTIMIZER_HIDE_VAR(p);
	}
	return 0;
}

static const struct {
	const char *name;
	int (*make)(void);
} mistakes[] = {
	{ "lockdep", mistake_lockdep },
	{ "kasan", mistake_kasan },
	{ "ubsan", mistake_ubsan },
	{ "leak", mistake_leak },
};

static int mistake_set(const char *val, const struct kernel_param *kp)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(mistakes); i++)
		if (sysfs_streq(val, mistakes[i].name))
			return mistakes[i].make();
	return -EINVAL;
}

static const struct kernel_param_ops mistake_ops = {
	.set	= mistake_set,
};
module_param_cb(mistake, &mistake_ops, NULL, 0200);
