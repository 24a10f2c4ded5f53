// SPDX-License-Identifier: GPL-2.0-only
/*
 * Persistent pins: pins that a file has on frames, and that outlive a kexec. Each of them is
 * counted in gmfs_pins, so that all code that looks for pins finds it there.
 *
 * gmfs_persist.owners says which file has the persistent pin of a frame; a frame has at most one.
 * The pin table has the same, for the next kernel: gmfs_persist_write() writes the table when the
 * pool is frozen or unmounted, and gmfs_persist_load() reads it at the first mount, before
 * anything is freed. Pins that were read from the table are inherited until the file pins the
 * frames persistently again.
 *
 * %GUESTMEMFS_INODE_PINS of a file is set while the file has a persistent pin, except that a flag
 * which another kernel has left behind may remain. The caller serialises all functions
 * (gmfs_pool.lock).
 */
#include <linux/compiler.h>
#include <linux/errno.h>
#include <linux/limits.h>
#include <linux/minmax.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/xarray.h>

#include "extmap.h"

#define GMFS_PIN_INHERITED	BIT(0)
/*
 * How many ranges of frames one step changes at most. Each of them may have GMFS_STEP_EXTENTS
 * ranges in gmfs_pins.counts.
 */
#define GMFS_STEP_PINS		8

/**
 * struct gmfs_owned_frames - a range of gmfs_persist.owners, or of frames without an owner
 * @start: first frame
 * @end: frame after the last one
 * @owner: inode number of the owner, shifted left, and %GMFS_PIN_INHERITED; 0 for none
 */
struct gmfs_owned_frames {
	u64 start;
	u64 end;
	unsigned long owner;
};

static unsigned long gmfs_owner(u32 ino)
{
	return (unsigned long)ino << 1;
}

static bool gmfs_owner_is(unsigned long owner, u32 ino)
{
	return owner >> 1 == ino;
}

static void gmfs_owned_at(const struct gmfs_persist *p, u64 frame, struct gmfs_owned_frames *f)
{
	MA_STATE(mas, (struct maple_tree *)&p->owners, frame, frame);
	void *entry = mas_walk(&mas);

	f->start = mas.index;
	f->end = min(mas.last, ULONG_MAX - 1) + 1;
	f->owner = entry ? xa_to_value(entry) : 0;
}

/* How many ranges a file has. */
static u32 gmfs_owner_ranges(const struct gmfs_persist *p, u32 ino)
{
	MA_STATE(mas, (struct maple_tree *)&p->files, ino, ino);
	void *entry = mas_walk(&mas);

	return entry ? xa_to_value(entry) : 0;
}

static int gmfs_owner_set_ranges(struct gmfs_tables *t, u32 ino, u32 nr, gfp_t gfp)
{
	struct guestmemfs_inode *di = &t->inodes[ino];
	int err;

	err = gmfs_tree_store(&t->persist->files, ino, ino, nr ? xa_mk_value(nr) : NULL, gfp);
	if (err)
		return err;
	if (nr)
		di->flags |= cpu_to_le32(GUESTMEMFS_INODE_PINS);
	else
		di->flags &= ~cpu_to_le32(GUESTMEMFS_INODE_PINS);
	return 0;
}

/**
 * struct gmfs_owner_change - new owner of adjacent frames
 * @old: all ranges that the frames are in: just one
 * @start: first frame
 * @end: frame after the last one
 * @owner: the new owner, not that of @old
 */
struct gmfs_owner_change {
	struct gmfs_owned_frames old;
	u64 start;
	u64 end;
	unsigned long owner;
};

/* The range that the frames become a part of, and how many ranges the new owner gets more. */
static s32 gmfs_owner_join(const struct gmfs_persist *p, const struct gmfs_owner_change *c,
			   u64 *first, u64 *last)
{
	struct gmfs_owned_frames beside;
	s32 more = 1;

	*first = c->start;
	*last = c->end;
	if (c->start && c->start == c->old.start) {
		gmfs_owned_at(p, c->start - 1, &beside);
		if (beside.owner == c->owner) {
			*first = beside.start;
			more--;
		}
	}
	if (c->end == c->old.end) {
		gmfs_owned_at(p, c->end, &beside);
		if (beside.owner == c->owner) {
			*last = beside.end;
			more--;
		}
	}
	return more;
}

/* How many ranges the old owner gets more. */
static s32 gmfs_owner_part(const struct gmfs_owner_change *c)
{
	return (c->old.start < c->start) + (c->end < c->old.end) - 1;
}

static void gmfs_owner_count(struct gmfs_persist *p, const struct gmfs_owner_change *c)
{
	u64 frames = p->frames, inherited = p->inherited, count = c->end - c->start;

	frames += c->owner ? count : 0;
	frames -= c->old.owner ? count : 0;
	inherited += c->owner & GMFS_PIN_INHERITED ? count : 0;
	inherited -= c->old.owner & GMFS_PIN_INHERITED ? count : 0;
	WRITE_ONCE(p->frames, frames);
	WRITE_ONCE(p->inherited, inherited);
}

/* Gives frames to a file. Adjacent frames of the same owner become one range. */
static int gmfs_owner_give(struct gmfs_tables *t, const struct gmfs_owner_change *c, u32 max)
{
	struct gmfs_persist *p = t->persist;
	u32 ino = c->owner >> 1, old = c->old.owner >> 1;
	u32 nr = gmfs_owner_ranges(p, ino);
	__le32 flags = t->inodes[ino].flags;
	s32 more, part = c->old.owner ? gmfs_owner_part(c) : 0;
	u64 first, last;
	int err;

	more = gmfs_owner_join(p, c, &first, &last);
	/* Pins that are not inherited any more are the same file's. */
	if (old == ino)
		more += part;
	if (more > 0 && (nr + more > max || p->nr + more > t->nr_pins))
		return -ENOSPC;
	err = gmfs_owner_set_ranges(t, ino, nr + more, GFP_KERNEL);
	if (err)
		return err;
	err = gmfs_tree_store(&p->owners, first, last - 1, xa_mk_value(c->owner), GFP_KERNEL);
	if (err) {
		gmfs_owner_set_ranges(t, ino, nr, GFP_KERNEL | __GFP_NOFAIL);
		/* The pin table, which may be read again, has the file. */
		t->inodes[ino].flags = flags;
		return err;
	}
	if (old && old != ino) {
		more += part;
		gmfs_owner_set_ranges(t, old, gmfs_owner_ranges(p, old) + part,
				      GFP_KERNEL | __GFP_NOFAIL);
	}
	p->nr += more;
	gmfs_owner_count(p, c);
	return 0;
}

/* Takes frames from their owner. */
static void gmfs_owner_take(struct gmfs_tables *t, const struct gmfs_owner_change *c)
{
	const gfp_t gfp = GFP_KERNEL | __GFP_NOFAIL;
	struct gmfs_persist *p = t->persist;
	u32 ino = c->old.owner >> 1;
	s32 part = gmfs_owner_part(c);

	gmfs_tree_store(&p->owners, c->start, c->end - 1, NULL, gfp);
	gmfs_owner_set_ranges(t, ino, gmfs_owner_ranges(p, ino) + part, gfp);
	p->nr += part;
	gmfs_owner_count(p, c);
}

/**
 * gmfs_persist_init - initialise the persistent pins of a pool
 * @p: the pins, of which there are none
 */
void gmfs_persist_init(struct gmfs_persist *p)
{
	memset(p, 0, sizeof(*p));
	mt_init_flags(&p->owners, MT_FLAGS_LOCK_EXTERN);
	mt_init_flags(&p->files, MT_FLAGS_LOCK_EXTERN);
	/* Switch off lockdep's check, which does not know gmfs_pool.lock. */
	mt_on_stack(p->owners);
	mt_on_stack(p->files);
}

/**
 * gmfs_persist_add - make pins persistent
 * @t: the pool's tables, which may be written
 * @at: the first frame. Each frame has a pin of the caller. Set to the frame after the last one
 *	whose pin is persistent now, or that had a persistent pin and has lost the caller's
 * @end: frame after the last one
 * @ino: the file that the pins are of
 * @max: how many ranges of frames with persistent pins the file may have
 *
 * Inherited pins are not inherited any more.
 *
 * Return: 0 if all frames have a persistent pin, 1 if the caller must call again for the others,
 * -ENOSPC if the file or the pool would have too many ranges, or -ENOMEM.
 */
int gmfs_persist_add(struct gmfs_tables *t, u64 *at, u64 end, u32 ino, u32 max)
{
	struct gmfs_owner_change c = { .owner = gmfs_owner(ino) };
	u32 i;
	int err;

	for (i = 0; *at < end && i < GMFS_STEP_PINS; i++) {
		c.start = *at;
		gmfs_owned_at(t->persist, c.start, &c.old);
		c.end = min(c.old.end, end);
		if (c.old.owner != c.owner) {
			err = gmfs_owner_give(t, &c, max);
			if (err)
				return err;
			gmfs_feature_pins(t);
		}
		*at = c.end;
		if (c.old.owner) {
			*at = c.start;
			/*
			 * The owner of the rest is right; the rest has its turn in the next
			 * round.
			 */
			gmfs_pins_remove(t->pins, at, c.end);
		}
	}
	return *at < end;
}

/*
 * Removes persistent pins of frames in c->old. Sets *@at to the first frame that still has one:
 * only a step of many frames may be done.
 */
static void gmfs_persist_clear(struct gmfs_tables *t, struct gmfs_owner_change *c, u64 *at)
{
	gmfs_pins_remove(t->pins, at, c->end);
	c->end = *at;
	gmfs_owner_take(t, c);
}

/**
 * gmfs_persist_remove - remove persistent pins from some frames
 * @t: the pool's tables, which may be written
 * @at: the first frame; set to the frame after the last one that is done
 * @end: frame after the last one
 * @ino: only pins of this file, 0 for all files
 * @inherited: only inherited pins
 *
 * May have to wait for memory. The caller then calls gmfs_detached_free().
 *
 * Return: 0 if all frames are done, 1 if the caller must call again for the others, or -ENOSPC if
 * the frame before has the same owner, and the pin table is full.
 */
int gmfs_persist_remove(struct gmfs_tables *t, u64 *at, u64 end, u32 ino, bool inherited)
{
	struct gmfs_owner_change c = {};
	u32 i;

	for (i = 0; *at < end && i < GMFS_STEP_PINS; i++) {
		c.start = *at;
		gmfs_owned_at(t->persist, c.start, &c.old);
		c.end = min(c.old.end, end);
		if (!c.old.owner || (ino && !gmfs_owner_is(c.old.owner, ino)) ||
		    (inherited && !(c.old.owner & GMFS_PIN_INHERITED))) {
			*at = c.end;
			continue;
		}
		/* There may be one range more, if only until the last step. */
		if (c.old.start < c.start && t->persist->nr >= t->nr_pins)
			return -ENOSPC;
		gmfs_persist_clear(t, &c, at);
	}
	return *at < end;
}

/**
 * gmfs_persist_drop - remove the persistent pins that a file has on some blocks
 * @t: the pool's tables, which may be written
 * @map: the blocks: the extents of the file, or gmfs_tables.detached
 * @at: the block in @map to begin with, at first 0
 * @frame: the frame of that block to begin with, at first 0
 * @ino: the file
 *
 * As gmfs_persist_remove(), but cannot fail. To remove all pins of a file, drop them from its own
 * blocks, and then from those that it has lost.
 *
 * Return: true if the caller must call again.
 */
bool gmfs_persist_drop(struct gmfs_tables *t, const struct gmfs_extmap *map, u64 *at, u64 *frame,
		       u32 ino)
{
	struct gmfs_owner_change c = {};
	struct gmfs_run run;
	u64 end;
	u32 i;

	for (i = 0; i < GMFS_STEP_PINS; i++) {
		if (*at >= GMFS_MAX_LOGICAL || !gmfs_owner_ranges(t->persist, ino))
			return false;
		gmfs_map_lookup(t, map, *at, &run);
		end = ((u64)run.block + run.count) * GUESTMEMFS_BLOCK_PAGES;
		*frame = max(*frame, (u64)run.block * GUESTMEMFS_BLOCK_PAGES);
		if (run.block == GMFS_NO_BLOCK || *frame >= end) {
			*at += run.count;
			*frame = 0;
			continue;
		}
		gmfs_owned_at(t->persist, *frame, &c.old);
		/* The whole range, from its start on, so that there are never more ranges. */
		c.start = c.old.start;
		c.end = c.old.end;
		if (gmfs_owner_is(c.old.owner, ino))
			gmfs_persist_clear(t, &c, &(u64){ c.start });
		else
			*frame = c.end;
	}
	return true;
}

/**
 * gmfs_persist_find - find frames with persistent pins
 * @p: the persistent pins of the pool
 * @from: the first frame to look at
 * @end: frame after the last one
 * @first: result: the first frame with a persistent pin
 * @last: result: all frames from @first to before this one have one; more may follow
 *
 * Return: false if no frame has one.
 */
bool gmfs_persist_find(const struct gmfs_persist *p, u64 from, u64 end, u64 *first, u64 *last)
{
	MA_STATE(mas, (struct maple_tree *)&p->owners, from, from);

	if (from >= end || !mas_find(&mas, end - 1))
		return false;
	*first = max_t(u64, mas.index, from);
	*last = min_t(u64, mas.last + 1, end);
	return true;
}

/**
 * gmfs_persist_write - write the pin table
 * @t: the pool's tables, which may be written
 * @at: the frame to begin with, at first 0
 * @nr: number of records written so far, at first 0
 *
 * Does nothing if the pool has no pin table, and never had a persistent pin.
 *
 * Return: true if the caller must call again, before pins change.
 */
bool gmfs_persist_write(struct gmfs_tables *t, u64 *at, u32 *nr)
{
	MA_STATE(mas, &t->persist->owners, *at, *at);
	u32 end = min(*nr + GMFS_STEP_EXTENTS, t->persist->nr);
	void *entry;

	for (; *nr < end; (*nr)++) {
		entry = mas_find(&mas, ULONG_MAX);
		t->pin_records[*nr] = (struct guestmemfs_pin){
			.frame	= cpu_to_le64(mas.index),
			.count	= cpu_to_le64(mas.last + 1 - mas.index),
			.ino	= cpu_to_le32(xa_to_value(entry) >> 1),
		};
		*at = mas.last + 1;
	}
	t->super->live.used_pins = cpu_to_le32(*nr);
	return *nr < t->persist->nr;
}

/**
 * gmfs_persist_unwrite - empty the pin table
 * @t: the pool's tables, which may be written
 *
 * For a mount, and for a thaw: from now on the persistent pins change, and the table does not.
 */
void gmfs_persist_unwrite(struct gmfs_tables *t)
{
	t->super->live.used_pins = 0;
}

static int gmfs_persist_load_one(struct gmfs_tables *t, const struct guestmemfs_pin *pin)
{
	u64 at = le64_to_cpu(pin->frame);
	struct gmfs_owner_change c = {
		.start	= at,
		.end	= at + le64_to_cpu(pin->count),
		.owner	= gmfs_owner(le32_to_cpu(pin->ino)) | GMFS_PIN_INHERITED,
	};
	int err;

	/* No frame has a pin yet, so that this takes one step. */
	err = gmfs_pins_add(t->pins, &at, c.end);
	if (err)
		return err;
	gmfs_owned_at(t->persist, c.start, &c.old);
	return gmfs_owner_give(t, &c, U32_MAX);
}

/**
 * gmfs_persist_load - take over the persistent pins of the previous kernel
 * @t: tables that gmfs_check() has accepted; no frame of the pool has a pin yet
 * @at: the record to begin with, at first 0
 *
 * Does nothing if they have been taken over already.
 *
 * Return: 0, 1 if the caller must call again, or -ENOMEM with nothing changed.
 */
int gmfs_persist_load(struct gmfs_tables *t, u32 *at)
{
	u32 used = le32_to_cpu(t->super->live.used_pins);
	u32 end = min(*at + GMFS_STEP_EXTENTS, used);
	struct gmfs_persist *p = t->persist;
	int err = 0;

	if (p->loaded)
		return 0;
	for (; *at < end && !err; (*at)++)
		err = gmfs_persist_load_one(t, &t->pin_records[*at]);
	if (!err && *at < used)
		return 1;
	p->loaded = !err;
	if (!err)
		return 0;
	__mt_destroy(&t->pins->counts);
	gmfs_pins_init(t->pins);
	__mt_destroy(&p->owners);
	__mt_destroy(&p->files);
	gmfs_persist_init(p);
	return err;
}
