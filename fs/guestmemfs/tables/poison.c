// SPDX-License-Identifier: GPL-2.0-only
/*
 * The poison table: the poisoned frames of the pool (poisoned.c), for all kernels that take the
 * pool over.
 *
 * A poisoned frame stays in its file until the file loses the block. The block becomes detached
 * then, as one with a pin does (pins.c), and is never freed. A free block becomes detached at once.
 * Detached blocks with a poisoned frame are lost.
 *
 * The caller serialises all functions (gmfs_pool.lock).
 */
#include <linux/errno.h>
#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/xarray.h>
#include <asm/barrier.h>

#include "extmap.h"

/* Entries of the extent table to look at in one critical section of gmfs_pool.lock. */
#define GMFS_SCAN_EXTENTS	8192

/**
 * gmfs_poison_record - write a poisoned frame to the poison table
 * @t: the pool's tables, loaded or only opened (gmfs_format_open()); they may be written
 * @frame: the frame, not recorded yet
 *
 * The number of records is written last: a kexec between any two steps finds complete records. If
 * other CPUs may be stopped for a kexec at any moment, call with interrupts disabled, for the
 * checksum of the superblock.
 *
 * Return: 0, or -ENOSPC if the table is full: the next kernel will not know of the frame.
 */
int gmfs_poison_record(struct gmfs_tables *t, u64 frame)
{
	u32 nr = le32_to_cpu(t->super->live.used_poison);

	if (nr >= t->nr_poison)
		return -ENOSPC;
	t->poison[nr] = (struct guestmemfs_poison){ .page = cpu_to_le64(frame) };
	gmfs_feature_poison(t);
	/* A kexec that comes now must not find a record that is not written. */
	smp_wmb();
	WRITE_ONCE(t->super->live.used_poison, cpu_to_le32(nr + 1));
	return 0;
}

/**
 * gmfs_poison_keep - keep the block of a poisoned frame from being allocated
 * @t: the pool's tables, which are loaded and may be changed
 * @frame: the frame, one of @t->poisoned
 *
 * Does nothing if the block has a file, or is detached already.
 */
void gmfs_poison_keep(struct gmfs_tables *t, u64 frame)
{
	u32 block = frame / GUESTMEMFS_BLOCK_PAGES;

	if (test_bit(block, t->bitmap))
		return;
	gmfs_take(t, block, 1, 0, 0);
	gmfs_detach(t, block, 1, 0, 0);
}

/**
 * gmfs_poison_load - take over frames of the poison table
 * @t: the pool's tables
 * @at: the first record; set to the next one
 *
 * Called at mount, before any block becomes free.
 *
 * Return: true if the caller must call again.
 */
bool gmfs_poison_load(struct gmfs_tables *t, u32 *at)
{
	u32 used = le32_to_cpu(t->super->live.used_poison), i;

	for (i = 0; *at < used && i < GMFS_STEP_EXTENTS; i++, ++*at) {
		u64 frame = le64_to_cpu(t->poison[*at].page);

		gmfs_poisoned_add(t->poisoned, frame);
		gmfs_poisoned_recorded(t->poisoned, frame);
	}
	return *at < used;
}

/**
 * gmfs_poison_settle - record poisoned frames, and keep their blocks from being allocated
 * @t: the pool's tables, which are loaded and may be changed
 * @frame: the first frame to look at; set to the next one
 *
 * For frames that were poisoned while the pool was not mounted, or was frozen.
 *
 * Return: true if the caller must call again for other frames.
 */
bool gmfs_poison_settle(struct gmfs_tables *t, u64 *frame)
{
	u64 end = (u64)t->nr_blocks * GUESTMEMFS_BLOCK_PAGES;
	bool recorded;
	u32 i;

	for (i = 0; i < GMFS_STEP_EXTENTS; i++, ++*frame) {
		*frame = gmfs_poisoned_next_locked(t->poisoned, *frame, end, &recorded);
		if (*frame == end)
			return false;
		if (!recorded && !gmfs_poison_record(t, *frame))
			gmfs_poisoned_recorded(t->poisoned, *frame);
		gmfs_poison_keep(t, *frame);
	}
	return true;
}

/**
 * gmfs_poison_lost - count blocks that are lost
 * @t: the pool's tables, which are loaded
 * @frame: the first frame to look at; set to the next one
 * @lost: incremented by the number of detached blocks that have a poisoned frame
 *
 * Return: true if the caller must call again for other frames.
 */
bool gmfs_poison_lost(const struct gmfs_tables *t, u64 *frame, u32 *lost)
{
	u64 end = (u64)t->nr_blocks * GUESTMEMFS_BLOCK_PAGES;
	struct gmfs_spot spot;
	u32 i;

	for (i = 0; i < GMFS_STEP_EXTENTS; i++) {
		*frame = gmfs_poisoned_next(t->poisoned, *frame, end);
		if (*frame == end)
			return false;
		gmfs_map_spot(t, &t->detached, *frame / GUESTMEMFS_BLOCK_PAGES, &spot);
		*lost += !!spot.e;
		*frame = round_down(*frame, GUESTMEMFS_BLOCK_PAGES) + GUESTMEMFS_BLOCK_PAGES;
	}
	return true;
}

/**
 * gmfs_extent_of - find the extent that has a block
 * @t: the pool's tables
 * @block: the block
 * @at: the first entry of the extent table to look at; set to the next one
 *
 * Looks at a limited number of entries. While the caller releases gmfs_pool.lock, a change of the
 * file may move the extent to an entry that has been looked at.
 *
 * Return: the extent, or NULL: the caller must call again, unless @at is not below the number of
 * used entries.
 */
const struct guestmemfs_extent *gmfs_extent_of(const struct gmfs_tables *t, u32 block, u32 *at)
{
	u32 used = min(le32_to_cpu(t->super->live.used_extents), t->nr_extents), i;

	for (i = 0; *at < used && i < GMFS_SCAN_EXTENTS; i++) {
		const struct guestmemfs_extent *e = &t->extents[(*at)++];
		u32 first = le32_to_cpu(e->block);

		if (e->ino && gmfs_extent_allocated(e) && block >= first &&
		    block - first < le32_to_cpu(e->count))
			return e;
	}
	return NULL;
}
