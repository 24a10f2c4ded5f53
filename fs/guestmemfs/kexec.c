// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a kexec would do to the pools: whether they are handed over, and why not.
 */
#define pr_fmt(fmt) "guestmemfs: " fmt

#include <linux/guestmemfs.h>
#include <linux/init.h>
#include <linux/kexec_handover.h>

#include "internal.h"

/* The command line wanted KHO, whatever became of it. */
static bool gmfs_kho_asked __ro_after_init;

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
