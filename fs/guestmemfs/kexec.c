// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tells whether a kexec hands the pools over, and refuses a kexec that would lose pools with
 * files in them.
 */
#define pr_fmt(fmt) "guestmemfs: " fmt

#include <linux/guestmemfs.h>
#include <linux/init.h>
#include <linux/kexec_handover.h>
#include <linux/kho/abi/kexec_handover.h>
#include <linux/moduleparam.h>
#include <linux/sched.h>
#include <linux/stat.h>
#include <linux/stringify.h>

#include "boot.h"
#include "internal.h"

/* Whether KHO was enabled when early parameters had been parsed. KHO may disable itself later. */
static bool gmfs_kho_asked __ro_after_init;

/*
 * guestmemfs.kexec_may_lose_pools: allow loading and starting kernels that will lose pools with
 * files in them. module_param() would add a parmtype string that only modules need and that
 * sparse cannot parse.
 */
static bool gmfs_kexec_may_lose;
module_param_cb(kexec_may_lose_pools, &param_ops_bool, &gmfs_kexec_may_lose, 0644);

#ifdef CONFIG_KEXEC_HANDOVER
#define GMFS_KHO_VERSION KHO_FDT_COMPATIBLE
#else
#define GMFS_KHO_VERSION "none"
#endif

/*
 * tools/guestmemfs/guestmemfs-check-kernel looks for this string in a kernel image and compares
 * it with /sys/fs/guestmemfs/format of the running kernel.
 */
static const char gmfs_takes_over[] = "guestmemfs takes over: " GMFS_KHO_VERSION
	" format " __stringify(GUESTMEMFS_FORMAT_VERSION) " features 0xf";
static_assert(GUESTMEMFS_FEATURE_INCOMPAT_KNOWN == 0xf);

/**
 * gmfs_handover_format - the handover formats of this kernel
 *
 * Return: a string with the version of KHO's data, and the version and the features of the
 * pools' format.
 */
const char *gmfs_handover_format(void)
{
	return strchr(gmfs_takes_over, ':') + 2;
}

/**
 * gmfs_handover_begin_boot - remember whether KHO is enabled, before it can fail
 *
 * Context: early boot, after early parameters have been parsed.
 */
void __init gmfs_handover_begin_boot(void)
{
	gmfs_kho_asked = kho_is_enabled();
}

/**
 * gmfs_handover_off - why the next kernel does not get the pools
 *
 * Context: after late_initcalls.
 * Return: the reason as text, or NULL if the pools are handed over.
 */
const char *gmfs_handover_off(void)
{
	if (gmfs_outgoing_blob)
		return NULL;
	if (list_empty(&gmfs_pools) && !gmfs_unread_blob)
		return "there are no pools";
	if (kho_is_enabled())
		return "what describes the pools could not be handed to KHO";
	if (gmfs_kho_asked)
		return "KHO has switched itself off, the log says why";
	return IS_ENABLED(CONFIG_KEXEC_HANDOVER) ? "KHO is off, see kho= on the command line" :
						   "this kernel has no KHO";
}

/**
 * gmfs_handover_warn - warn if the next kexec will lose a pool
 * @pool: the pool, which is being mounted
 */
void gmfs_handover_warn(const struct gmfs_pool *pool)
{
	const char *why = gmfs_handover_off();

	if (why)
		pr_warn("node %d: the next kexec will lose this pool: %s\n", pool->node, why);
}

/* Does a pool have files? Unlinked files count: a guest may be running on one. */
static bool gmfs_pool_has_files(struct gmfs_pool *pool)
{
	struct gmfs_complaint c;
	struct gmfs_tables t;
	u32 used;

	/* Another kernel may be able to read a refused pool, unless some of it was lost. */
	if (pool->refused)
		return !pool->lost;
	/* Do not read metadata with a memory error. */
	if (gmfs_meta_poisoned(pool))
		return true;
	scoped_guard(mutex, &pool->lock) {
		/* The pool may not be mounted. Tables that cannot be opened may have files. */
		if (gmfs_format_open(&t, pool->meta, pool->meta_base, pool->meta_size, &c))
			return true;
		used = min(le32_to_cpu(t.super->live.used_inodes), t.nr_inodes);
	}
	/*
	 * Do not hold gmfs_pool.lock, which every allocation of the pool needs: the table may
	 * have half a million entries. A file can be created right after this check in any
	 * case.
	 */
	for (u32 ino = GUESTMEMFS_ROOT_INO; ino < used; ino++) {
		if (S_ISREG(le32_to_cpu(READ_ONCE(t.inodes[ino].mode))))
			return true;
		cond_resched();
	}
	return false;
}

/*
 * Returns -EBUSY, with a line in the log that begins with @refused, if a kernel that gets no
 * handover would lose files.
 */
static int gmfs_kexec_loses(const char *refused)
{
	struct gmfs_pool *pool;

	if (READ_ONCE(gmfs_kexec_may_lose))
		return 0;
	if (gmfs_unread_blob) {
		pr_err("%s gets no handover, and pools that cannot be read here would be lost\n",
		       refused);
		return -EBUSY;
	}
	list_for_each_entry(pool, &gmfs_pools, list) {
		if (!gmfs_pool_has_files(pool))
			continue;
		pr_err("%s gets no handover, and the pool of node %d with its files would be lost%s\n",
		       refused, pool->node,
		       gmfs_outgoing_blob ? "; use kexec_file_load (kexec -s)" : "");
		return -EBUSY;
	}
	return 0;
}

/**
 * guestmemfs_kexec_load - may a kernel be loaded for kexec
 * @handover: the kernel will be given what KHO preserves
 *
 * A kernel that kexec_load(2) has loaded gets no handover, and one that kexec_file_load(2) has
 * loaded gets one only if KHO is on. Not called for crash kernels, nor for kernels that return
 * to this one (KEXEC_PRESERVE_CONTEXT).
 *
 * Context: process context.
 * Return: 0, or -EBUSY with a line in the log if files would be lost and the
 * parameter kexec_may_lose_pools does not allow it.
 */
int guestmemfs_kexec_load(bool handover)
{
	if (handover && gmfs_outgoing_blob)
		return 0;
	return gmfs_kexec_loses("not loaded: this kernel");
}

/**
 * guestmemfs_kexec - may the loaded kernel be started
 * @handover: the kernel will be given what KHO preserves
 *
 * Checks again, since files may have been created after guestmemfs_kexec_load(). The metadata
 * is not frozen yet: a file that is created after this check is lost, like one that is created
 * just before an ordinary reboot.
 *
 * Context: process context, before the first step of the kexec.
 * Return: as guestmemfs_kexec_load().
 */
int guestmemfs_kexec(bool handover)
{
	if (handover && gmfs_outgoing_blob)
		return 0;
	return gmfs_kexec_loses("no kexec: the kernel that is loaded");
}

/**
 * guestmemfs_kexec_loaded - warn if a kexec into the kernel just loaded loses all pools
 * @handover: the kernel will be given what KHO preserves
 *
 * Context: any context in which printk() is allowed.
 */
void guestmemfs_kexec_loaded(bool handover)
{
	if ((handover && gmfs_outgoing_blob) || (list_empty(&gmfs_pools) && !gmfs_unread_blob))
		return;
	pr_warn("the kernel just loaded gets no handover: a kexec into it loses all pools%s\n",
		gmfs_outgoing_blob ? "; load it with kexec_file_load (kexec -s)" : "");
}
