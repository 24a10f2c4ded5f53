// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hands the pools over: writes the blob for the next kernel at boot and when a pool changes its
 * size, and freezes the tables before a kexec.
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

/* The blob that the next kernel gets, NULL if the pools are not handed over. */
void *gmfs_outgoing_blob;
/* Serialises writers of the blob: pools, of which each has a lock of its own. Taken last. */
static DEFINE_MUTEX(gmfs_blob_lock);

static u32 gmfs_pool_flags(const struct gmfs_pool *pool)
{
	return (pool->lost ? GUESTMEMFS_POOL_LOST : 0) |
	       (pool->meta_error ? GUESTMEMFS_POOL_ERROR : 0);
}

static void gmfs_blob_pool(void *blob, const struct gmfs_pool *pool, u32 index)
{
	gmfs_handover_pool(blob, index, pool->node, pool->uuid.b, pool->meta_base, pool->meta_size,
			   pool->ranges, pool->nr_ranges, index * GUESTMEMFS_MAX_RANGES,
			   gmfs_pool_flags(pool), pool->hops);
}

static void *__init gmfs_blob_make(size_t *size)
{
	u32 nr_pools = list_count_nodes(&gmfs_pools), index = 0;
	struct gmfs_pool *pool;
	void *blob;

	/* A pool whose size changes may get more ranges. */
	*size = gmfs_handover_size(nr_pools, nr_pools * GUESTMEMFS_MAX_RANGES);
	blob = kho_alloc_preserve(*size);
	if (IS_ERR(blob))
		return blob;
	gmfs_handover_begin(blob, nr_pools, nr_pools * GUESTMEMFS_MAX_RANGES);
	list_for_each_entry(pool, &gmfs_pools, list)
		gmfs_blob_pool(blob, pool, index++);
	gmfs_handover_end(blob);
	return blob;
}

/**
 * gmfs_handover_resized - tell the next kernel what memory a pool has
 * @pool: the pool, with gmfs_pool.lock held and not frozen
 */
void gmfs_handover_resized(struct gmfs_pool *pool)
{
	struct gmfs_pool *other;
	u32 index = 0;

	if (!gmfs_outgoing_blob || gmfs_unread_blob)
		return;
	list_for_each_entry(other, &gmfs_pools, list) {
		if (other == pool)
			break;
		index++;
	}
	guard(mutex)(&gmfs_blob_lock);
	gmfs_blob_pool(gmfs_outgoing_blob, pool, index);
	gmfs_handover_end(gmfs_outgoing_blob);
}

/* Copies the blob that this kernel cannot read: the next kernel may be able to read it. */
static void *__init gmfs_blob_forward(size_t *size)
{
	void *blob = kho_alloc_preserve(gmfs_unread_size);

	*size = gmfs_unread_size;
	if (IS_ERR(blob))
		return blob;
	memcpy(blob, gmfs_unread_blob, gmfs_unread_size);
	/* Memory named in the blob was lost: break the checksum, so that no kernel trusts it. */
	if (gmfs_unread_lost)
		((struct guestmemfs_handover *)blob)->crc ^= cpu_to_le32(1);
	return blob;
}

/*
 * Freezes all pools, so that the next kernel finds consistent tables. After this only bits of the
 * unzeroed tables, positions of preserved files and the poison tables change. A memory error in
 * metadata that comes after this is not handed over.
 */
static int gmfs_freeze(struct notifier_block *nb, unsigned long action, void *data)
{
	struct gmfs_pool *pool;
	u32 index = 0;

	list_for_each_entry(pool, &gmfs_pools, list) {
		gmfs_pool_freeze(pool);
		/* The next kernel must not read metadata with an error. */
		if (gmfs_outgoing_blob && !gmfs_unread_blob && gmfs_meta_poisoned(pool)) {
			guard(mutex)(&gmfs_blob_lock);
			gmfs_handover_mark(gmfs_outgoing_blob, index, gmfs_pool_flags(pool));
		}
		index++;
	}
	return NOTIFY_DONE;
}

static struct notifier_block gmfs_reboot_notifier = {
	.notifier_call = gmfs_freeze,
	/* Be called first: another notifier could stop the chain. */
	.priority = INT_MAX,
};

/* A hibernation image does not contain memory without struct pages, so pools would be lost. */
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
