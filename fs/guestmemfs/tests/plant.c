// SPDX-License-Identifier: GPL-2.0-only
/*
 * Damage for the tests of what a kernel does with a bad handover. Writing to
 * the parameter guestmemfs_test.plant alters what the next mount ("super:0",
 * the superblock of node 0's pool) or the next kernel ("version") finds. Most
 * damage is undone by doing it again, so that a test can also tell that the
 * rest was left alone.
 */
#include <linux/bitops.h>
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/moduleparam.h>
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
}

static void plant_crc(struct guestmemfs_handover *h)
{
	h->crc ^= cpu_to_le32(1);
}

/* More ranges than the blob has, under a checksum that is right. */
static void plant_count(struct guestmemfs_handover *h)
{
	plant_last_pool(h)->nr_ranges ^= cpu_to_le32(64);
	gmfs_handover_end(h);
}

/* A range where this machine has no memory. */
static void plant_far(struct guestmemfs_handover *h)
{
	struct guestmemfs_handover_range *r = (void *)(plant_last_pool(h) + 1);

	r->base ^= cpu_to_le64(1ULL << 50);
	gmfs_handover_end(h);
}

/* A range where the kernel itself is. This is not undone. */
static void plant_low(struct guestmemfs_handover *h)
{
	struct guestmemfs_handover_range *r = (void *)(plant_last_pool(h) + 1);

	r->base = 0;
	gmfs_handover_end(h);
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

/* A directory of the root's moves into a younger one of its own, or back. */
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

static int plant_bitmap(struct guestmemfs_super *s)
{
	struct guestmemfs_extent *e = plant_first_extent(s);

	if (!e)
		return -ENOENT;
	change_bit(le32_to_cpu(e->block), plant_table(s, GUESTMEMFS_TABLE_BITMAP));
	return 0;
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
};

static const struct {
	const char *name;
	int (*plant)(struct guestmemfs_super *s);
} plants_meta[] = {
	{ "super:",	plant_super },
	{ "cycle:",	plant_cycle },
	{ "extent:",	plant_extent },
	{ "bitmap:",	plant_bitmap },
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
