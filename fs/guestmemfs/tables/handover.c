// SPDX-License-Identifier: GPL-2.0-only
/*
 * Encode and decode the handover blob, which lists the memory of all pools. This file
 * checks that all records are inside the blob. The reader of a record, revive.c, checks
 * that the memory in it exists and may be used.
 */
#include <linux/crc32c.h>
#include <linux/errno.h>
#include <linux/limits.h>
#include <linux/minmax.h>
#include <linux/string.h>

#include "tables.h"

static u32 gmfs_handover_crc(const void *blob, size_t size)
{
	const size_t behind = offsetofend(struct guestmemfs_handover, crc);
	__le32 zero = 0;
	u32 crc;

	crc = crc32c(~0U, blob, offsetof(struct guestmemfs_handover, crc));
	crc = crc32c(crc, &zero, sizeof(zero));
	return crc32c(crc, (const u8 *)blob + behind, size - behind);
}

/**
 * gmfs_handover_size - compute the size of a blob
 * @nr_pools: number of pools
 * @nr_ranges: number of ranges of all pools together
 *
 * Return: size in bytes.
 */
size_t gmfs_handover_size(u32 nr_pools, u32 nr_ranges)
{
	return sizeof(struct guestmemfs_handover) +
	       (size_t)nr_pools * sizeof(struct guestmemfs_handover_pool) +
	       (size_t)nr_ranges * sizeof(struct guestmemfs_handover_range);
}

static u64 gmfs_range_offset(const struct guestmemfs_handover *h, u32 index)
{
	return le32_to_cpu(h->header_size) + (u64)le32_to_cpu(h->nr_pools) *
	       le32_to_cpu(h->pool_size) + (u64)index * le32_to_cpu(h->range_size);
}

/**
 * gmfs_handover_begin - write the head of a blob
 * @blob: memory of gmfs_handover_size() bytes
 * @nr_pools: number of pools
 * @nr_ranges: number of ranges of all pools together
 */
void gmfs_handover_begin(void *blob, u32 nr_pools, u32 nr_ranges)
{
	struct guestmemfs_handover *h = blob;
	size_t size = gmfs_handover_size(nr_pools, nr_ranges);

	memset(blob, 0, size);
	h->magic = cpu_to_le64(GUESTMEMFS_HANDOVER_MAGIC);
	h->version = cpu_to_le32(GUESTMEMFS_FORMAT_VERSION);
	h->header_size = cpu_to_le32(sizeof(*h));
	h->pool_size = cpu_to_le32(sizeof(struct guestmemfs_handover_pool));
	h->range_size = cpu_to_le32(sizeof(struct guestmemfs_handover_range));
	h->nr_pools = cpu_to_le32(nr_pools);
	h->nr_ranges = cpu_to_le32(nr_ranges);
	h->total_size = cpu_to_le32(size);
}

/**
 * gmfs_handover_pool - write a pool record and its range records
 * @blob: the blob
 * @index: index of the pool record
 * @node: NUMA node
 * @uuid: identity of the pool
 * @meta_base: physical address of the metadata
 * @meta_size: bytes of the metadata
 * @ranges: the pool's ranges
 * @nr: number of ranges
 * @first_range: index of the pool's first range record
 * @flags: GUESTMEMFS_POOL_*
 * @hops: number of kexecs that the pool has been through
 */
void gmfs_handover_pool(void *blob, u32 index, u32 node, const u8 uuid[16], u64 meta_base,
			u64 meta_size, const struct gmfs_range *ranges, u32 nr, u32 first_range,
			u32 flags, u32 hops)
{
	struct guestmemfs_handover *h = blob;
	struct guestmemfs_handover_pool *p = (void *)(h + 1);
	struct guestmemfs_handover_range *r = blob + gmfs_range_offset(h, first_range);
	u32 i;

	p += index;
	memcpy(p->uuid, uuid, sizeof(p->uuid));
	p->meta_base = cpu_to_le64(meta_base);
	p->meta_size = cpu_to_le64(meta_size);
	p->node = cpu_to_le32(node);
	p->first_range = cpu_to_le32(first_range);
	p->nr_ranges = cpu_to_le32(nr);
	p->flags = cpu_to_le32(flags);
	p->hops = cpu_to_le32(hops);
	for (i = 0; i < nr; i++) {
		r[i].base = cpu_to_le64(ranges[i].base);
		r[i].size = cpu_to_le64(ranges[i].size);
		r[i].first_block = cpu_to_le32(ranges[i].first);
	}
}

/**
 * gmfs_handover_end - write the checksum of a blob
 * @blob: the blob, with all pools written
 */
void gmfs_handover_end(void *blob)
{
	struct guestmemfs_handover *h = blob;

	h->crc = cpu_to_le32(gmfs_handover_crc(blob, le32_to_cpu(h->total_size)));
}

/**
 * gmfs_handover_mark - change the flags of a pool record
 * @blob: a blob of this kernel, with its checksum
 * @index: index of the pool record
 * @flags: GUESTMEMFS_POOL_*
 */
void gmfs_handover_mark(void *blob, u32 index, u32 flags)
{
	const struct guestmemfs_handover *h = blob;
	struct guestmemfs_handover_pool *p = blob + le32_to_cpu(h->header_size);

	p[index].flags = cpu_to_le32(flags);
	gmfs_handover_end(blob);
}

/**
 * gmfs_handover_intact - check the size and the checksum of a blob
 * @blob: the blob, of any version
 * @size: its size as KHO reports it, at least that of struct guestmemfs_handover
 *
 * Return: true if both are right, in the fields where this version has them.
 */
bool gmfs_handover_intact(const void *blob, size_t size)
{
	const struct guestmemfs_handover *h = blob;

	return le32_to_cpu(h->total_size) == size &&
	       le32_to_cpu(h->crc) == gmfs_handover_crc(blob, size);
}

/**
 * gmfs_handover_check - check that a blob can be used
 * @blob: the blob
 * @size: its size as KHO reports it
 * @why: result: what is wrong with the blob, for the log; NULL on success
 *
 * Return: 0; -EUCLEAN if the version or the checksum is wrong, so that the records may only
 * be read to keep their memory from being used; -EINVAL if no record may be read.
 */
int gmfs_handover_check(const void *blob, size_t size, const char **why)
{
	const struct guestmemfs_handover *h = blob;

	*why = "is too small or has no magic number";
	if (size < sizeof(*h) || le64_to_cpu(h->magic) != GUESTMEMFS_HANDOVER_MAGIC)
		return -EINVAL;
	*why = "has records that do not fit in it";
	if (le32_to_cpu(h->header_size) < sizeof(*h) ||
	    le32_to_cpu(h->pool_size) < sizeof(struct guestmemfs_handover_pool) ||
	    le32_to_cpu(h->range_size) < GUESTMEMFS_HANDOVER_RANGE_MIN ||
	    le32_to_cpu(h->nr_pools) > GUESTMEMFS_MAX_POOLS ||
	    le32_to_cpu(h->nr_ranges) > GUESTMEMFS_MAX_POOLS * GUESTMEMFS_MAX_RANGES ||
	    gmfs_range_offset(h, le32_to_cpu(h->nr_ranges)) > size)
		return -EINVAL;
	*why = "is of another version";
	if (le32_to_cpu(h->version) != GUESTMEMFS_FORMAT_VERSION)
		return -EUCLEAN;
	*why = "has a broken checksum";
	if (!gmfs_handover_intact(blob, size))
		return -EUCLEAN;
	*why = NULL;
	return 0;
}

/**
 * gmfs_handover_get_pool - read a pool record
 * @blob: a blob for which gmfs_handover_check() has not returned -EINVAL
 * @index: index of the pool record
 * @p: result
 *
 * Return: 0, or -EINVAL if the pool's range records are not in the blob.
 */
int gmfs_handover_get_pool(const void *blob, u32 index, struct guestmemfs_handover_pool *p)
{
	const struct guestmemfs_handover *h = blob;
	u32 first, nr;

	memcpy(p, blob + le32_to_cpu(h->header_size) + (u64)index * le32_to_cpu(h->pool_size),
	       sizeof(*p));
	first = le32_to_cpu(p->first_range);
	nr = le32_to_cpu(p->nr_ranges);
	if (nr > GUESTMEMFS_MAX_RANGES || first > le32_to_cpu(h->nr_ranges) ||
	    nr > le32_to_cpu(h->nr_ranges) - first)
		return -EINVAL;
	return 0;
}

/**
 * gmfs_handover_get_range - read a range record
 * @blob: a blob for which gmfs_handover_check() has not returned -EINVAL
 * @index: index of the range record
 * @r: result
 */
void gmfs_handover_get_range(const void *blob, u32 index, struct gmfs_range *r)
{
	const struct guestmemfs_handover *h = blob;
	struct guestmemfs_handover_range raw = { .first_block = cpu_to_le32(GMFS_NO_BLOCK) };

	memcpy(&raw, blob + gmfs_range_offset(blob, index),
	       min_t(size_t, sizeof(raw), le32_to_cpu(h->range_size)));
	r->base = le64_to_cpu(raw.base);
	r->size = le64_to_cpu(raw.size);
	r->first = le32_to_cpu(raw.first_block);
}
