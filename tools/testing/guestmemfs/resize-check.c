// SPDX-License-Identifier: GPL-2.0-only
/*
 * Resizes pools for tests, and checks the result: which numbers have a block, and where it is.
 */
#include <stdlib.h>

#include "../../../fs/guestmemfs/tables/groups.h"
#include "resize.h"

void resize_make(struct pool *p, const struct part *parts, u32 nr, u32 room)
{
	struct gmfs_range ranges[GUESTMEMFS_MAX_RANGES];
	u32 i;

	for (i = 0; i < nr; i++) {
		ranges[i].base = parts[i].base * GUESTMEMFS_RANGE_ALIGN;
		ranges[i].size = parts[i].size * GUESTMEMFS_RANGE_ALIGN;
	}
	pool_make_room(p, ranges, nr, room * SECTION);
	CHECK_EQ(p->t.resized, !nr);
	resize_check(p);
}

int resize_add(struct pool *p, u32 base, u32 size)
{
	return gmfs_resize_add(&p->t, base * GUESTMEMFS_RANGE_ALIGN, size * GUESTMEMFS_RANGE_ALIGN);
}

int resize_cut_blocks(struct pool *p, u32 block, u32 count)
{
	/* The superblock, the ranges and the bitmaps: a resize changes nothing else. */
	size_t size = (u8 *)p->t.inodes - (u8 *)p->meta;
	void *copy = malloc(size);
	struct gmfs_tables t;
	int err;

	gmfs_take(&p->t, block, count, 0, 0);
	CHECK(copy);
	memcpy(copy, p->meta, size);
	t = p->t;
	err = gmfs_resize_cut(&p->t, block, count);
	if (err) {
		CHECK(!memcmp(copy, p->meta, size));
		CHECK(!memcmp(&t, &p->t, sizeof(t)));
		gmfs_release(&p->t, block, count, 0, 0);
	}
	free(copy);
	return err;
}

int resize_cut(struct pool *p, u32 base, u32 size)
{
	struct gmfs_range ranges[GUESTMEMFS_MAX_RANGES];
	u64 frame;
	u32 nr;

	gmfs_resize_ranges(&p->t, ranges, &nr);
	frame = gmfs_ranges_frame(ranges, nr, base * GUESTMEMFS_RANGE_ALIGN);
	CHECK(frame != U64_MAX);
	return resize_cut_blocks(p, frame / GUESTMEMFS_BLOCK_PAGES, size * SECTION);
}

void resize_expect(const struct pool *p, const struct part *parts, u32 nr)
{
	u32 i;

	for (i = 0; i < p->t.nr_ranges && i < nr && parts[i].size; i++) {
		const struct guestmemfs_range *r = &p->t.ranges[i];

		CHECK_EQ(le64_to_cpu(r->base) / GUESTMEMFS_RANGE_ALIGN, parts[i].base);
		CHECK_EQ(le64_to_cpu(r->size) / GUESTMEMFS_RANGE_ALIGN, parts[i].size);
		CHECK_EQ(le32_to_cpu(r->first_block), parts[i].first * SECTION);
	}
	CHECK_EQ(i, p->t.nr_ranges);
	CHECK(i == nr || !parts[i].size);
}

/* Checks one range; @next is the number after the last one of the range before. */
static void resize_check_range(const struct pool *p, const struct gmfs_range *r, u32 next)
{
	u32 end = r->first + (r->size >> GUESTMEMFS_BLOCK_SHIFT), i;

	CHECK(r->size && (r->base | r->size) % GUESTMEMFS_RANGE_ALIGN == 0);
	CHECK(r->first >= next && end > r->first && end <= p->t.nr_blocks);
	/* A number without a block is never allocated, and needs no zeroing. */
	for (i = next; i < r->first; i++)
		CHECK(test_bit(i, p->t.bitmap) && !test_bit(i, p->t.unzeroed));
	for (; i < end; i++) {
		u64 phys = r->base + (u64)(i - r->first) * GMFS_BLOCK_SIZE;

		CHECK_EQ(gmfs_block_phys(&p->t, i), phys);
		CHECK_EQ(phys / GMFS_BLOCK_SIZE % GROUP, i % GROUP);
		CHECK_EQ(p->t.bases[i / GROUP], round_down(phys, GIB));
		CHECK_EQ(gmfs_block_range_end(&p->t, i), end);
	}
}

static void resize_check_ranges(const struct pool *p)
{
	struct gmfs_range ranges[GUESTMEMFS_MAX_RANGES];
	u32 nr, i, j, next = 0, total = 0;

	memset(ranges, 0xa5, sizeof(ranges));
	gmfs_resize_ranges(&p->t, ranges, &nr);
	CHECK_EQ(nr, p->t.nr_ranges);
	for (i = 0; i < nr; i++) {
		const struct gmfs_range *r = &ranges[i];
		u64 pages = (u64)r->first * GUESTMEMFS_BLOCK_PAGES;

		resize_check_range(p, r, next);
		next = r->first + (r->size >> GUESTMEMFS_BLOCK_SHIFT);
		total += next - r->first;
		CHECK_EQ(gmfs_ranges_frame(ranges, nr, r->base + 4096), pages + 1);
		CHECK_EQ(gmfs_ranges_phys(ranges, nr, pages + 1), r->base + 4096);
		for (j = 0; j < i; j++)
			CHECK(r->base >= ranges[j].base + ranges[j].size ||
			      ranges[j].base >= r->base + r->size);
	}
	for (i = next; i < p->t.nr_blocks; i++)
		CHECK(test_bit(i, p->t.bitmap) && !test_bit(i, p->t.unzeroed));
	/* Old entries are no secret, but a dump of the tables would have them. */
	for (i = nr; i < GUESTMEMFS_MAX_RANGES; i++)
		CHECK(!p->t.ranges[i].base && !p->t.ranges[i].size && !p->t.ranges[i].first_block);
	CHECK_EQ(p->t.total_blocks, total);
	CHECK(total <= p->t.nr_blocks && p->t.nr_blocks <= p->t.capacity);
}

void resize_check(struct pool *p)
{
	CHECK_EQ(le32_to_cpu(p->t.super->nr_blocks), p->t.nr_blocks);
	CHECK_EQ(le32_to_cpu(p->t.super->nr_ranges), p->t.nr_ranges);
	CHECK_EQ(!!(le32_to_cpu(p->t.super->feature_incompat) &
		    GUESTMEMFS_FEATURE_INCOMPAT_RESIZED), p->t.resized);
	resize_check_ranges(p);
	pool_check(p);
}

void resize_reopen(struct pool *p)
{
	u32 largest = gmfs_largest_free(&p->t);
	struct pool_copy old;

	resize_check(p);
	pool_keep(p, &old);
	pool_reopen(p);
	CHECK(!memcmp(p->meta, old.meta, p->meta_size));
	CHECK_EQ(p->t.resized, old.t.resized);
	CHECK_EQ(p->t.nr_ranges, old.t.nr_ranges);
	CHECK_EQ(p->t.nr_blocks, old.t.nr_blocks);
	CHECK_EQ(p->t.capacity, old.t.capacity);
	CHECK_EQ(p->t.total_blocks, old.t.total_blocks);
	CHECK_EQ(p->t.free_blocks, old.t.free_blocks);
	CHECK_EQ(p->t.full_groups, old.t.full_groups);
	CHECK_EQ(p->t.nr_blockless, old.t.nr_blockless);
	CHECK_EQ(p->t.free_maps, old.t.free_maps);
	CHECK_EQ(gmfs_largest_free(&p->t), largest);
	resize_check(p);
	free(old.meta);
}
