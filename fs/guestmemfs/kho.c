// SPDX-License-Identifier: GPL-2.0-only
/*
 * Handing the pools over: the blob for the next kernel, and standing still
 * before it comes.
 */
#define pr_fmt(fmt) "guestmemfs: " fmt

#include <linux/init.h>
#include <linux/io.h>
#include <linux/kexec_handover.h>
#include <linux/reboot.h>
#include <linux/string.h>
#include <linux/suspend.h>

#include "boot.h"
#include "internal.h"

/* What the next kernel gets; NULL if nothing. */
void *gmfs_outgoing_blob;

static void *__init gmfs_blob_make(size_t *size)
{
	u32 nr_pools = 0, nr_ranges = 0;
	struct gmfs_pool *pool;
	void *blob;

	list_for_each_entry(pool, &gmfs_pools, list) {
		nr_pools++;
		nr_ranges += pool->nr_ranges;
	}
	*size = gmfs_handover_size(nr_pools, nr_ranges);
	blob = kho_alloc_preserve(*size);
	if (IS_ERR(blob))
		return blob;
	gmfs_handover_begin(blob, nr_pools, nr_ranges);
	nr_pools = 0;
	nr_ranges = 0;
	list_for_each_entry(pool, &gmfs_pools, list) {
		gmfs_handover_pool(blob, nr_pools++, pool->node, pool->uuid.b, pool->meta_base,
				   pool->meta_size, pool->ranges, pool->nr_ranges, nr_ranges,
				   pool->lost ? GUESTMEMFS_POOL_LOST : 0, pool->hops);
		nr_ranges += pool->nr_ranges;
	}
	gmfs_handover_end(blob);
	return blob;
}

/* What could not be read may be right for the kernel after this one. */
static void *__init gmfs_blob_forward(size_t *size)
{
	void *blob = kho_alloc_preserve(gmfs_unread_size);

	*size = gmfs_unread_size;
	if (IS_ERR(blob))
		return blob;
	memcpy(blob, gmfs_unread_blob, gmfs_unread_size);
	/* Whoever can read it is not to believe it. */
	if (gmfs_unread_lost)
		((struct guestmemfs_handover *)blob)->crc ^= cpu_to_le32(1);
	return blob;
}

/* From here on tables do not change; the kernel that follows finds them whole. */
static int gmfs_freeze(struct notifier_block *nb, unsigned long action, void *data)
{
	struct gmfs_pool *pool;

	list_for_each_entry(pool, &gmfs_pools, list)
		gmfs_pool_freeze(pool);
	return NOTIFY_DONE;
}

static struct notifier_block gmfs_reboot_notifier = {
	.notifier_call = gmfs_freeze,
	/* No other notifier is to end the chain before. */
	.priority = INT_MAX,
};

/* What has no struct page is not in a hibernation image, and would be lost. */
static int gmfs_pm_notify(struct notifier_block *nb, unsigned long action, void *data)
{
	if (action != PM_HIBERNATION_PREPARE)
		return NOTIFY_DONE;
	pr_warn("hibernation refused: it would lose what is in the pools\n");
	return notifier_from_errno(-EBUSY);
}

static struct notifier_block gmfs_pm_notifier = {
	.notifier_call = gmfs_pm_notify,
};

static void __init gmfs_release_incoming(void)
{
	phys_addr_t phys;

	if (!kho_retrieve_subtree(GUESTMEMFS_KHO_SUBTREE, &phys, NULL))
		kho_restore_free(phys_to_virt(phys));
}

static int __init gmfs_hand_over(void)
{
	size_t size;
	void *blob;
	int err;

	if (list_empty(&gmfs_pools) && !gmfs_unread_blob)
		return 0;
	err = register_reboot_notifier(&gmfs_reboot_notifier);
	if (err)
		return err;
	err = register_pm_notifier(&gmfs_pm_notifier);
	if (err)
		return err;
	if (!kho_is_enabled()) {
		pr_warn("kexec handover is off: the pools will be lost at the next kexec\n");
		return 0;
	}
	blob = gmfs_unread_blob ? gmfs_blob_forward(&size) : gmfs_blob_make(&size);
	err = PTR_ERR_OR_ZERO(blob);
	if (!err)
		err = kho_add_subtree(GUESTMEMFS_KHO_SUBTREE, blob, size);
	if (err) {
		pr_err("cannot hand the pools over, the next kexec will lose them: %d\n", err);
		if (!IS_ERR(blob))
			kho_unpreserve_free(blob);
		return err;
	}
	gmfs_outgoing_blob = blob;
	gmfs_release_incoming();
	return 0;
}
late_initcall(gmfs_hand_over);
