// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a kexec would do to the pools: whether they are handed over, and if not,
 * what is refused because of it.
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

/* The command line wanted KHO, whatever became of it. */
static bool gmfs_kho_asked __ro_after_init;

/*
 * guestmemfs.kexec_may_lose_pools: load kernels for kexec that will lose pools with files in
 * them. Not by module_param(): its description is for modules, and sparse cannot read it.
 */
static bool gmfs_kexec_may_lose;
module_param_cb(kexec_may_lose_pools, &param_ops_bool, &gmfs_kexec_may_lose, 0644);

#ifdef CONFIG_KEXEC_HANDOVER
#define GMFS_KHO_VERSION KHO_FDT_COMPATIBLE
#else
#define GMFS_KHO_VERSION "none"
#endif

/*
 * tools/guestmemfs/guestmemfs-check-kernel looks for this in an image, and compares it
 * with the format file of the kernel that runs.
 */
static const char gmfs_takes_over[] = "guestmemfs takes over: " GMFS_KHO_VERSION
	" format " __stringify(GUESTMEMFS_FORMAT_VERSION) " features 0x1";
static_assert(GUESTMEMFS_FEATURE_INCOMPAT_KNOWN == 0x1);

/**
 * gmfs_handover_format - what this kernel hands over and takes over
 *
 * Return: the version of KHO's data, that of the pools' format, and its features.
 */
const char *gmfs_handover_format(void)
{
	return strchr(gmfs_takes_over, ':') + 2;
}

/**
 * gmfs_handover_begin_boot - see whether KHO is on before it can fail
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
 * Return: the reason, for people, or NULL if it gets them.
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
 * gmfs_handover_warn - say that a pool that is going to be used will be lost
 * @pool: the pool
 */
void gmfs_handover_warn(const struct gmfs_pool *pool)
{
	const char *why = gmfs_handover_off();

	if (why)
		pr_warn("node %d: the next kexec will lose this pool: %s\n", pool->node, why);
}

/* Also one without a name, which a guest may be running on. */
static bool gmfs_pool_has_files(struct gmfs_pool *pool)
{
	struct gmfs_complaint c;
	struct gmfs_tables t;
	u32 used;

	/* Another kernel may be able to read it, unless memory of it is lost. */
	if (pool->refused)
		return !pool->lost;
	scoped_guard(mutex, &pool->lock) {
		/* The pool need not be mounted. Tables that do not fit may have files. */
		if (gmfs_format_open(&t, pool->meta, pool->meta_base, pool->meta_size, &c))
			return true;
		used = min(le32_to_cpu(t.super->live.used_inodes), t.nr_inodes);
	}
	/*
	 * Without gmfs_pool.lock, which every allocation of the node needs: the table may have
	 * half a million entries, and a file can be made right after this in any case.
	 */
	for (u32 ino = GUESTMEMFS_ROOT_INO; ino < used; ino++) {
		if (S_ISREG(le32_to_cpu(READ_ONCE(t.inodes[ino].mode))))
			return true;
		cond_resched();
	}
	return false;
}

/*
 * -EBUSY, with a line in the log that begins with @refused, if there are files that a kernel
 * without handover would lose.
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
 * guestmemfs_kexec_load - may a kernel be loaded to kexec into
 * @handover: it will be given what KHO preserves
 *
 * kexec_load(2) gives no kernel a handover, and kexec_file_load(2) does not when
 * KHO is off. Not for crash kernels, nor for what comes back (KEXEC_PRESERVE_CONTEXT).
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
 * guestmemfs_kexec - may the kernel that is loaded be started
 * @handover: it will be given what KHO preserves
 *
 * Asked again, since files may have been made after guestmemfs_kexec_load(). The metadata is
 * not frozen yet: a file that is made after this is lost like one that is made in the last
 * moment before a restart.
 *
 * Context: process context, before anything of the kexec has begun.
 * Return: as guestmemfs_kexec_load().
 */
int guestmemfs_kexec(bool handover)
{
	if (handover && gmfs_outgoing_blob)
		return 0;
	return gmfs_kexec_loses("no kexec: the kernel that is loaded");
}

/**
 * guestmemfs_kexec_loaded - a kernel to kexec into has been loaded
 * @handover: it will be given what KHO preserves
 *
 * Says beforehand what will be lost.
 *
 * Context: any that may print.
 */
void guestmemfs_kexec_loaded(bool handover)
{
	if ((handover && gmfs_outgoing_blob) || (list_empty(&gmfs_pools) && !gmfs_unread_blob))
		return;
	pr_warn("the kernel just loaded gets no handover: a kexec into it loses all pools%s\n",
		gmfs_outgoing_blob ? "; load it with kexec_file_load (kexec -s)" : "");
}
