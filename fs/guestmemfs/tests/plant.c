// SPDX-License-Identifier: GPL-2.0-only
/*
 * Damages the metadata of a pool or the handover, for tests of how a kernel handles that.
 * Writing to the parameter guestmemfs_test.plant changes the data that the next mount finds
 * ("super:0": the superblock of the pool of node 0) or that the next kernel finds ("version").
 * Writing most names again undoes the damage, so that a test can check that all other data is
 * intact.
 */
#include <linux/bitops.h>
#include <linux/crc32c.h>
#include <linux/errno.h>
#include <linux/io.h>
#include <linux/kernel.h>
#include <linux/kexec.h>
#include <linux/kexec_handover.h>
#include <linux/kho/abi/kexec_handover.h>
#include <linux/moduleparam.h>
#include <linux/sizes.h>
#include <linux/stat.h>
#include <linux/string.h>

#include "../internal.h"

#ifdef MODULE_PARAM_PREFIX
#undef MODULE_PARAM_PREFIX
#endif
#define MODULE_PARAM_PREFIX "guestmemfs_test."

static struct guestmemfs_handover_pool *plant_last_pool(struct guestmemfs_handover *h)
{
	struct guestmemfs_handover_pool *pools = (void *)(h + 1);

	return &pools[le32_to_cpu(h->nr_pools) - 1];
}

static void plant_version(struct guestmemfs_handover *h)
{
	h->version ^= cpu_to_le32(2);
	gmfs_handover_end(h);
}

static void plant_crc(struct guestmemfs_handover *h)
{
	h->crc ^= cpu_to_le32(1);
}

/* More ranges than a pool may have, with a correct checksum. */
static void plant_count(struct guestmemfs_handover *h)
{
	plant_last_pool(h)->nr_ranges ^= cpu_to_le32(256);
	gmfs_handover_end(h);
}

/* A range where this machine has no memory. */
static void plant_far(struct guestmemfs_handover *h)
{
	struct guestmemfs_handover_range *r = (void *)(plant_last_pool(h) + 1);

	r->base ^= cpu_to_le64(1ULL << 50);
	gmfs_handover_end(h);
}

/* A range where the kernel itself is. This cannot be undone. */
static void plant_low(struct guestmemfs_handover *h)
{
	struct guestmemfs_handover_range *r = (void *)(plant_last_pool(h) + 1);

	r->base = 0;
	gmfs_handover_end(h);
}

/* The last pool is marked as if this kernel had lost some of its memory. */
static void plant_lost(struct guestmemfs_handover *h)
{
	plant_last_pool(h)->flags ^= cpu_to_le32(GUESTMEMFS_POOL_LOST);
	gmfs_handover_end(h);
}

/* KHO passes on a size that no blob can have. This cannot be undone. */
static void plant_size(struct guestmemfs_handover *h)
{
	kho_remove_subtree(h);
	kho_add_subtree(GUESTMEMFS_KHO_SUBTREE, h, SZ_4M + 1);
}

static int plant_super(struct guestmemfs_super *s)
{
	s->crc ^= cpu_to_le32(1);
	return 0;
}

static void *plant_table(struct guestmemfs_super *s, enum guestmemfs_table table)
{
	return (u8 *)s + le64_to_cpu(s->tables[table].offset);
}

/* Makes the checksum of a changed superblock correct. */
static int plant_seal(struct guestmemfs_super *s)
{
	const struct guestmemfs_range *ranges = plant_table(s, GUESTMEMFS_TABLE_RANGES);
	u32 crc;

	s->crc = 0;
	crc = crc32c(~0U, s, offsetof(struct guestmemfs_super, live));
	s->crc = cpu_to_le32(crc32c(crc, ranges, le32_to_cpu(s->nr_ranges) * sizeof(*ranges)));
	return 0;
}

static int plant_uuid(struct guestmemfs_super *s)
{
	s->uuid[15] ^= 1;
	return plant_seal(s);
}

/* Moves the last range to an address to which the same block numbers fit. */
static int plant_moved(struct guestmemfs_super *s)
{
	struct guestmemfs_range *ranges = plant_table(s, GUESTMEMFS_TABLE_RANGES);

	ranges[le32_to_cpu(s->nr_ranges) - 1].base ^= cpu_to_le64(1ULL << 40);
	return plant_seal(s);
}

/* Removes the second of two ranges, or adds it again. */
static int plant_fewer(struct guestmemfs_super *s)
{
	struct guestmemfs_range *ranges = plant_table(s, GUESTMEMFS_TABLE_RANGES), *last;

	if (!ranges[1].size || ranges[2].size)
		return -ENOENT;
	s->nr_ranges ^= cpu_to_le32(1 ^ 2);
	last = &ranges[le32_to_cpu(s->nr_ranges) - 1];
	s->nr_blocks = cpu_to_le32(le32_to_cpu(last->first_block) +
				   (le64_to_cpu(last->size) >> GUESTMEMFS_BLOCK_SHIFT));
	return plant_seal(s);
}

/* Features that no kernel has yet. */
#define PLANT_FEATURE	cpu_to_le32(1U << 31)

static int plant_compat(struct guestmemfs_super *s)
{
	s->feature_compat ^= PLANT_FEATURE;
	return plant_seal(s);
}

static int plant_ro_compat(struct guestmemfs_super *s)
{
	s->feature_ro_compat ^= PLANT_FEATURE;
	return plant_seal(s);
}

static int plant_incompat(struct guestmemfs_super *s)
{
	s->feature_incompat ^= PLANT_FEATURE;
	return plant_seal(s);
}

/* Moves a directory of the root into one of its own subdirectories, or back. */
static int plant_cycle(struct guestmemfs_super *s)
{
	struct guestmemfs_inode *inodes = plant_table(s, GUESTMEMFS_TABLE_INODES);
	u32 used = le32_to_cpu(s->live.used_inodes), below;

	for (below = GUESTMEMFS_ROOT_INO + 1; below < used; below++) {
		u32 above = le32_to_cpu(inodes[below].parent);
		u32 parent;

		if (!S_ISDIR(le32_to_cpu(inodes[below].mode)) || above == GUESTMEMFS_ROOT_INO ||
		    above > below)
			continue;
		parent = le32_to_cpu(inodes[above].parent);
		if (parent != GUESTMEMFS_ROOT_INO && parent != below)
			continue;
		inodes[above].parent ^= cpu_to_le32(GUESTMEMFS_ROOT_INO ^ below);
		return 0;
	}
	return -ENOENT;
}

static struct guestmemfs_extent *plant_first_extent(struct guestmemfs_super *s)
{
	struct guestmemfs_extent *extents = plant_table(s, GUESTMEMFS_TABLE_EXTENTS);
	u32 used = le32_to_cpu(s->live.used_extents), i;

	for (i = 0; i < used; i++)
		if (extents[i].ino)
			return &extents[i];
	return NULL;
}

static int plant_extent(struct guestmemfs_super *s)
{
	struct guestmemfs_extent *e = plant_first_extent(s);

	if (!e)
		return -ENOENT;
	e->block ^= cpu_to_le32(1U << 29);
	return 0;
}

static int plant_bit(struct guestmemfs_super *s, enum guestmemfs_table table)
{
	struct guestmemfs_extent *e = plant_first_extent(s);

	if (!e)
		return -ENOENT;
	change_bit(le32_to_cpu(e->block), plant_table(s, table));
	return 0;
}

static int plant_bitmap(struct guestmemfs_super *s)
{
	return plant_bit(s, GUESTMEMFS_TABLE_BITMAP);
}

/* The block is marked as if a fatal signal had come before it was zeroed. */
static int plant_unzeroed(struct guestmemfs_super *s)
{
	return plant_bit(s, GUESTMEMFS_TABLE_UNZEROED);
}

static const struct {
	const char *name;
	void (*plant)(struct guestmemfs_handover *h);
} plants_blob[] = {
	{ "version",	plant_version },
	{ "crc",	plant_crc },
	{ "count",	plant_count },
	{ "far",	plant_far },
	{ "low",	plant_low },
	{ "lost",	plant_lost },
	{ "size",	plant_size },
};

static const struct {
	const char *name;
	int (*plant)(struct guestmemfs_super *s);
} plants_meta[] = {
	{ "super:",	plant_super },
	{ "uuid:",	plant_uuid },
	{ "moved:",	plant_moved },
	{ "fewer:",	plant_fewer },
	{ "compat:",	plant_compat },
	{ "ro_compat:",	plant_ro_compat },
	{ "incompat:",	plant_incompat },
	{ "cycle:",	plant_cycle },
	{ "extent:",	plant_extent },
	{ "bitmap:",	plant_bitmap },
	{ "unzeroed:",	plant_unzeroed },
};

static int plant_in_pool(int (*plant)(struct guestmemfs_super *s), const char *where)
{
	struct gmfs_pool *pool;
	int node, err;

	err = kstrtoint(where, 10, &node);
	if (err)
		return err;
	pool = gmfs_pool_find(node);
	return pool && pool->meta ? plant(pool->meta) : -ENXIO;
}

/* The loaded kernel gets KHO data of a version that it does not know. */
static int plant_kho(void)
{
#ifdef CONFIG_KEXEC_HANDOVER
	char *fdt, *version;

	if (!kexec_image || !kexec_image->kho.fdt)
		return -ENXIO;
	fdt = phys_to_virt(kexec_image->kho.fdt);
	for (version = fdt; version < fdt + PAGE_SIZE - sizeof(KHO_FDT_COMPATIBLE); version++) {
		if (memcmp(version, KHO_FDT_COMPATIBLE, sizeof(KHO_FDT_COMPATIBLE)))
			continue;
		version[strlen(KHO_FDT_COMPATIBLE) - 1]++;
		return 0;
	}
#endif
	return -ENOENT;
}

static int plant_set(const char *val, const struct kernel_param *kp)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(plants_blob); i++) {
		if (!sysfs_streq(val, plants_blob[i].name))
			continue;
		if (!gmfs_outgoing_blob)
			return -ENXIO;
		plants_blob[i].plant(gmfs_outgoing_blob);
		return 0;
	}
	if (sysfs_streq(val, "kho"))
		return plant_kho();
	for (i = 0; i < ARRAY_SIZE(plants_meta); i++) {
		size_t len = str_has_prefix(val, plants_meta[i].name);

		if (len)
			return plant_in_pool(plants_meta[i].plant, val + len);
	}
	return -EINVAL;
}

static const struct kernel_param_ops plant_ops = {
	.set = plant_set,
};
module_param_cb(plant, &plant_ops, NULL, 0200);
