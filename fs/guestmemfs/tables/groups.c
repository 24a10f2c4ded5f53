// SPDX-License-Identifier: GPL-2.0-only
/*
 * Groups of blocks: the longest free run of each group, and the file that has claimed it.
 *
 * Groups with free blocks are in lists by their longest free run, so that finding the best
 * fitting group takes a number of steps that depends neither on the size of the pool nor on
 * its contents. All of this is volatile memory, set up at mount. The caller serialises all
 * functions (gmfs_pool.lock) except gmfs_full_groups() and gmfs_largest_free().
 */
#include <linux/bitmap.h>
#include <linux/bitops.h>
#include <linux/bits.h>
#include <linux/compiler.h>
#include <linux/errno.h>
#include <linux/limits.h>
#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/slab.h>

#include "groups.h"

/**
 * gmfs_group_end - where the blocks of a group end
 * @t: the pool's tables
 * @group: number of the group
 *
 * Return: the block number after the last one.
 */
u32 gmfs_group_end(const struct gmfs_tables *t, u32 group)
{
	return min((group + 1) * GUESTMEMFS_GROUP_BLOCKS, t->nr_blocks);
}

/* The free blocks among the @nr ones from @block on, as bits. @block is that of a word. */
static unsigned long gmfs_free_bits(const struct gmfs_tables *t, u32 block, u32 nr)
{
	unsigned long bits = ~t->bitmap[block / BITS_PER_LONG];

	return nr < BITS_PER_LONG ? bits & (BIT(nr) - 1) : bits;
}

/*
 * Is there a free block in a group that is zeroed, or one that is not? The answer may be out of
 * date, as blocks are zeroed without gmfs_pool.lock; gmfs_groups_zeroed() follows then.
 */
static bool gmfs_group_has(const struct gmfs_tables *t, u32 group, bool zeroed)
{
	u32 block = group * GUESTMEMFS_GROUP_BLOCKS, end = gmfs_group_end(t, group);
	unsigned long invert = zeroed ? ~0UL : 0, any = 0;

	for (; block < end; block += BITS_PER_LONG)
		any |= (READ_ONCE(t->unzeroed[block / BITS_PER_LONG]) ^ invert) &
		       gmfs_free_bits(t, block, end - block);
	return any;
}

/* Does a block of a run have to be zeroed? A task that zeroes blocks may clear bits meanwhile. */
static bool gmfs_run_dirty(const struct gmfs_tables *t, u32 start, u32 end)
{
	return find_next_bit(t->unzeroed, end, start) < end;
}

/*
 * Find the shortest free run of a group that has @want blocks, or else the longest one. Of several
 * that are equal it is the first one that is zeroed, or else the first one. Returns its length, and
 * in @block its first block.
 */
static u32 gmfs_group_run(const struct gmfs_tables *t, u32 group, u32 want, u32 *block)
{
	u32 start = group * GUESTMEMFS_GROUP_BLOCKS, end = gmfs_group_end(t, group);
	bool choice = gmfs_group_has(t, group, true), dirty = false;
	u32 best = 0, next, len;

	for (;; start = next) {
		start = find_next_zero_bit(t->bitmap, end, start);
		if (start >= end)
			return best;
		next = find_next_bit(t->bitmap, end, start);
		len = next - start;
		if (best < want ? len > best : len >= want && len < best)
			dirty = choice && gmfs_run_dirty(t, start, next);
		else if (len == best && dirty && !gmfs_run_dirty(t, start, next))
			dirty = false;
		else
			continue;
		best = len;
		*block = start;
	}
}

/* The length of the longest run of bits, or @known if none is longer. */
static u32 gmfs_longest_bits(unsigned long bits, u32 known)
{
	u32 left = min_t(u32, known + 1, BITS_PER_LONG), shift;

	/* Keep the bits at which a run of more than @known bits begins. */
	for (; left > 1 && bits; left -= shift) {
		shift = left / 2;
		bits &= bits >> shift;
	}
	for (; bits; bits &= bits >> 1)
		known++;
	return known;
}

/*
 * The length of a group's longest free run. Each fault in a hole and each punch calls this, so the
 * time must not depend on the number of runs, which may be 256.
 */
static u32 gmfs_group_longest(const struct gmfs_tables *t, u32 group)
{
	u32 block = group * GUESTMEMFS_GROUP_BLOCKS, end = gmfs_group_end(t, group);
	u32 longest = 0, run = 0;

	for (; block < end; block += BITS_PER_LONG) {
		unsigned long bits = gmfs_free_bits(t, block, end - block);

		if (bits == ~0UL) {
			run += BITS_PER_LONG;
			continue;
		}
		longest = max_t(u32, longest, run + __ffs(~bits));
		longest = gmfs_longest_bits(bits, longest);
		run = BITS_PER_LONG - 1 - __fls(~bits);
	}
	return max(longest, run);
}

static void gmfs_group_unlink(struct gmfs_tables *t, struct gmfs_group *g)
{
	struct gmfs_group_lists *lists = &t->group_lists[g->claimed];

	if (!g->longest)
		return;
	if (g->next != GMFS_NO_GROUP)
		t->groups[g->next].prev = g->prev;
	else
		lists->tail[g->longest] = g->prev;
	if (g->prev != GMFS_NO_GROUP)
		t->groups[g->prev].next = g->next;
	else
		lists->head[g->longest] = g->next;
	if (lists->head[g->longest] == GMFS_NO_GROUP)
		__clear_bit(g->longest, lists->used);
}

/*
 * Adds a group to its list: at the end if it is dirty, else at the beginning. All groups behind a
 * dirty one are dirty, then.
 */
static void gmfs_group_link(struct gmfs_tables *t, struct gmfs_group *g)
{
	struct gmfs_group_lists *lists = &t->group_lists[g->claimed];
	u32 *head = &lists->head[g->longest], *tail = &lists->tail[g->longest];
	u32 group = g - t->groups;

	if (!g->longest)
		return;
	g->prev = g->dirty ? *tail : GMFS_NO_GROUP;
	g->next = g->dirty ? GMFS_NO_GROUP : *head;
	*(g->prev == GMFS_NO_GROUP ? head : &t->groups[g->prev].next) = group;
	*(g->next == GMFS_NO_GROUP ? tail : &t->groups[g->next].prev) = group;
	__set_bit(g->longest, lists->used);
}

static bool gmfs_group_is_claimed(const struct gmfs_group *g)
{
	return g->owned && g->owned + g->nr_free == GUESTMEMFS_GROUP_BLOCKS;
}

/* Moves a group to the list for its current longest run and claim. */
static void gmfs_group_move(struct gmfs_tables *t, struct gmfs_group *g, u32 longest)
{
	bool claimed = gmfs_group_is_claimed(g), dirty = gmfs_group_has(t, g - t->groups, false);
	bool was_full = g->longest == GUESTMEMFS_GROUP_BLOCKS;
	bool is_full = longest == GUESTMEMFS_GROUP_BLOCKS;

	if (longest == g->longest && claimed == g->claimed && dirty == g->dirty)
		return;
	gmfs_group_unlink(t, g);
	g->claimed = claimed;
	g->dirty = dirty;
	/* gmfs_largest_free() and gmfs_full_groups() read these without gmfs_pool.lock. */
	WRITE_ONCE(g->longest, longest);
	WRITE_ONCE(t->full_groups, t->full_groups + is_full - was_full);
	gmfs_group_link(t, g);
}

/* Find the longest free run again after blocks of a group were allocated or freed. */
static void gmfs_group_update(struct gmfs_tables *t, struct gmfs_group *g)
{
	u32 longest = g->nr_free;

	if (g->nr_free % GUESTMEMFS_GROUP_BLOCKS)
		longest = gmfs_group_longest(t, g - t->groups);
	gmfs_group_move(t, g, longest);
}

static void gmfs_group_take(struct gmfs_tables *t, u32 block, u32 count, u32 ino, u64 logical)
{
	struct gmfs_group *g = &t->groups[block / GUESTMEMFS_GROUP_BLOCKS];

	if (block % GUESTMEMFS_GROUP_BLOCKS == logical % GUESTMEMFS_GROUP_BLOCKS) {
		if (ino && g->nr_free == GUESTMEMFS_GROUP_BLOCKS) {
			g->ino = ino;
			g->file_group = logical / GUESTMEMFS_GROUP_BLOCKS;
		}
		if (g->ino && gmfs_group_owned_by(g, ino, logical))
			g->owned += count;
	}
	g->nr_free -= count;
	gmfs_group_update(t, g);
}

static void gmfs_group_lose(struct gmfs_group *g, u32 block, u32 count, u32 ino, u64 logical)
{
	if (block % GUESTMEMFS_GROUP_BLOCKS == logical % GUESTMEMFS_GROUP_BLOCKS &&
	    gmfs_group_owned_by(g, ino, logical))
		g->owned -= min_t(u32, g->owned, count);
	/* The owner is a hint, so @owned may be too large: limit it to the allocated blocks. */
	g->owned = min_t(u32, g->owned, GUESTMEMFS_GROUP_BLOCKS - g->nr_free);
	if (!g->owned)
		g->ino = 0;
}

static void gmfs_group_release(struct gmfs_tables *t, u32 block, u32 count, u32 ino, u64 logical)
{
	struct gmfs_group *g = &t->groups[block / GUESTMEMFS_GROUP_BLOCKS];

	g->nr_free += count;
	gmfs_group_lose(g, block, count, ino, logical);
	gmfs_group_update(t, g);
}

/* The owner of a group loses blocks of it that do not become free. */
static void gmfs_group_disown(struct gmfs_tables *t, u32 block, u32 count, u32 ino, u64 logical)
{
	struct gmfs_group *g = &t->groups[block / GUESTMEMFS_GROUP_BLOCKS];

	gmfs_group_lose(g, block, count, ino, logical);
	gmfs_group_move(t, g, g->longest);
}

static void gmfs_group_claim(struct gmfs_tables *t, u32 block, u32 count, u32 ino, u64 logical)
{
	struct gmfs_group *g = &t->groups[block / GUESTMEMFS_GROUP_BLOCKS];

	if (block % GUESTMEMFS_GROUP_BLOCKS != logical % GUESTMEMFS_GROUP_BLOCKS)
		return;
	if (!g->ino) {
		g->ino = ino;
		g->file_group = logical / GUESTMEMFS_GROUP_BLOCKS;
	}
	if (!gmfs_group_owned_by(g, ino, logical))
		return;
	g->owned = min_t(u32, g->owned + count, GUESTMEMFS_GROUP_BLOCKS - g->nr_free);
	gmfs_group_move(t, g, g->longest);
}

/* Calls @fn for each group, with the part of a run that is in it. */
static void gmfs_groups_each(struct gmfs_tables *t, u32 block, u32 count, u32 ino, u64 logical,
			     void (*fn)(struct gmfs_tables *t, u32 block, u32 count, u32 ino,
					u64 logical))
{
	while (count) {
		u32 part = min(count, GUESTMEMFS_GROUP_BLOCKS - block % GUESTMEMFS_GROUP_BLOCKS);

		fn(t, block, part, ino, logical);
		block += part;
		logical += part;
		count -= part;
	}
}

/**
 * gmfs_groups_take - update the groups after blocks were allocated
 * @t: the pool's tables, with the blocks allocated in the bitmap
 * @block: first block
 * @count: number of blocks
 * @ino: the file that has the blocks, 0 for none
 * @logical: offset of the first block in the file, in blocks
 */
void gmfs_groups_take(struct gmfs_tables *t, u32 block, u32 count, u32 ino, u64 logical)
{
	gmfs_groups_each(t, block, count, ino, logical, gmfs_group_take);
}

/**
 * gmfs_groups_release - update the groups after blocks were freed
 * @t: the pool's tables, with the blocks free in the bitmap
 * @block: first block
 * @count: number of blocks
 * @ino: the file that had the blocks, 0 for none
 * @logical: offset of the first block in the file, in blocks
 */
void gmfs_groups_release(struct gmfs_tables *t, u32 block, u32 count, u32 ino, u64 logical)
{
	gmfs_groups_each(t, block, count, ino, logical, gmfs_group_release);
}

/**
 * gmfs_groups_disown - update the groups after blocks have left their file without being freed
 * @t: the pool's tables
 * @block: first block
 * @count: number of blocks
 * @ino: the file that had the blocks
 * @logical: offset of the first block in the file, in blocks
 */
void gmfs_groups_disown(struct gmfs_tables *t, u32 block, u32 count, u32 ino, u64 logical)
{
	gmfs_groups_each(t, block, count, ino, logical, gmfs_group_disown);
}

/**
 * gmfs_groups_zeroed - update the groups after blocks were zeroed
 * @t: the pool's tables
 * @block: first block
 * @count: number of blocks
 *
 * Free blocks that were zeroed are preferred from then on.
 */
void gmfs_groups_zeroed(struct gmfs_tables *t, u32 block, u32 count)
{
	u32 group = block / GUESTMEMFS_GROUP_BLOCKS;
	u32 last = (block + count - 1) / GUESTMEMFS_GROUP_BLOCKS;

	for (; group <= last; group++)
		gmfs_group_move(t, &t->groups[group], t->groups[group].longest);
}

/**
 * gmfs_claim - report the owner of allocated blocks
 * @t: the pool's tables
 * @block: first block
 * @count: number of blocks
 * @ino: the file that has the blocks
 * @logical: offset of the first block in the file, in blocks
 *
 * At mount, for the blocks that gmfs_alloc_init() has found allocated: once for each run of a
 * file's blocks, before any of them is freed. Also for blocks that have changed their file, after
 * gmfs_groups_disown(). A group that has no owner gets one: then for all blocks that the file has
 * in place there, not only for those that it has got.
 */
void gmfs_claim(struct gmfs_tables *t, u32 block, u32 count, u32 ino, u64 logical)
{
	gmfs_groups_each(t, block, count, ino, logical, gmfs_group_claim);
}

/**
 * gmfs_groups_find - find the best fitting free run
 * @t: the pool's tables
 * @list: %GMFS_UNCLAIMED or %GMFS_CLAIMED; entirely free groups are ignored
 * @want: number of blocks, 1 to %GUESTMEMFS_GROUP_BLOCKS
 * @block: result: the first block
 *
 * Return: number of free blocks from @block on, at most @want, 0 if there is no such group.
 */
u32 gmfs_groups_find(const struct gmfs_tables *t, u32 list, u32 want, u32 *block)
{
	const struct gmfs_group_lists *lists = &t->group_lists[list];
	u32 longest;

	longest = find_next_bit(lists->used, GUESTMEMFS_GROUP_BLOCKS, want);
	if (longest >= GUESTMEMFS_GROUP_BLOCKS)
		return gmfs_groups_largest(t, list, want, block);
	return min(want, gmfs_group_run(t, lists->head[longest], want, block));
}

/**
 * gmfs_groups_largest - find a free run in the group with the longest one
 * @t: the pool's tables
 * @list: %GMFS_UNCLAIMED or %GMFS_CLAIMED; entirely free groups are ignored
 * @want: number of blocks, 1 to %GUESTMEMFS_GROUP_BLOCKS
 * @block: result: the first block
 *
 * Return: number of free blocks from @block on, at most @want, 0 if there is no such group.
 */
u32 gmfs_groups_largest(const struct gmfs_tables *t, u32 list, u32 want, u32 *block)
{
	const struct gmfs_group_lists *lists = &t->group_lists[list];
	u32 longest;

	longest = find_last_bit(lists->used, GUESTMEMFS_GROUP_BLOCKS);
	if (longest >= GUESTMEMFS_GROUP_BLOCKS)
		return 0;
	return min(want, gmfs_group_run(t, lists->head[longest], want, block));
}

/**
 * gmfs_find_full_group - find an entirely free group, i.e. an aligned gigabyte
 * @t: the pool's tables
 * @group: result: the number of its first block, divided by %GUESTMEMFS_GROUP_BLOCKS
 *
 * Return: false if there is none.
 */
bool gmfs_find_full_group(const struct gmfs_tables *t, u32 *group)
{
	u32 head = t->group_lists[GMFS_UNCLAIMED].head[GUESTMEMFS_GROUP_BLOCKS];

	if (head == GMFS_NO_GROUP)
		return false;
	*group = head;
	return true;
}

/**
 * gmfs_full_groups - count the entirely free groups
 * @t: the pool's tables
 *
 * Context: any; without gmfs_pool.lock the result may be out of date.
 * Return: number of groups.
 */
u32 gmfs_full_groups(const struct gmfs_tables *t)
{
	return READ_ONCE(t->full_groups);
}

/* Count the free blocks at the start or the end of a part of the bitmap, of whole words. */
static u32 gmfs_free_edge(const struct gmfs_tables *t, u32 start, u32 end, bool at_end)
{
	u32 first = start / BITS_PER_LONG, last = end / BITS_PER_LONG - 1, i;

	for (i = first; i <= last; i++) {
		unsigned long word = READ_ONCE(t->bitmap[at_end ? last - (i - first) : i]);

		if (word)
			return (i - first) * BITS_PER_LONG +
			       (at_end ? BITS_PER_LONG - 1 - __fls(word) : __ffs(word));
	}
	return end - start;
}

/*
 * The longest free run of a range, which may cross borders between groups. The range may change
 * meanwhile, and the pool may lose its last one.
 */
static u32 gmfs_range_largest(const struct gmfs_tables *t, const struct guestmemfs_range *r)
{
	u32 start = le32_to_cpu(r->first_block), run = 0, best = 0, next, edge;
	u32 end = min(start + gmfs_range_blocks(r), (u64)t->nr_blocks);

	/* A range is a multiple of 128 MiB, i.e. of whole words of the bitmap. */
	for (; start < end; start = next) {
		u32 group = start / GUESTMEMFS_GROUP_BLOCKS;
		u32 longest = READ_ONCE(t->groups[group].longest);

		next = min(gmfs_group_end(t, group), end);
		edge = gmfs_free_edge(t, start, next, false);
		run += edge;
		best = max(best, max(run, longest));
		if (edge < next - start)
			run = gmfs_free_edge(t, start, next, true);
	}
	return max(best, run);
}

/**
 * gmfs_largest_free - find the longest run of free blocks
 * @t: the pool's tables
 *
 * Takes time proportional to the number of groups.
 *
 * Context: any; without gmfs_pool.lock the result may be out of date.
 * Return: number of blocks in the run, which is within a range.
 */
u32 gmfs_largest_free(const struct gmfs_tables *t)
{
	u32 best = 0, i;

	for (i = 0; i < t->nr_ranges; i++)
		best = max(best, gmfs_range_largest(t, &t->ranges[i]));
	return best;
}

/**
 * gmfs_groups_add - tell the groups of a range where they are
 * @t: the pool's tables
 * @base: physical address of the range
 * @first: its first block
 * @count: number of its blocks
 */
void gmfs_groups_add(struct gmfs_tables *t, u64 base, u32 first, u32 count)
{
	u32 group = first / GUESTMEMFS_GROUP_BLOCKS;
	u32 last = (first + count - 1) / GUESTMEMFS_GROUP_BLOCKS;
	u64 start = round_down(base, GMFS_GROUP_SIZE);

	/* gmfs_block_phys() reads it without gmfs_pool.lock. */
	for (; group <= last; group++, start += GMFS_GROUP_SIZE)
		WRITE_ONCE(t->bases[group], start);
}

/*
 * Finds the free blocks of all groups. Low groups come first in the lists: gmfs_group_link() adds
 * dirty groups at the end, so that they are added forwards, and all others backwards.
 */
static void gmfs_groups_count(struct gmfs_tables *t)
{
	u32 nr_groups = DIV_ROUND_UP(t->nr_blocks, GUESTMEMFS_GROUP_BLOCKS), i;

	for (i = 0; i < nr_groups; i++) {
		u32 start = i * GUESTMEMFS_GROUP_BLOCKS, nr = gmfs_group_end(t, i) - start;

		t->groups[i].nr_free = nr - bitmap_weight(t->bitmap + start / BITS_PER_LONG, nr);
		if (gmfs_group_has(t, i, false))
			gmfs_group_update(t, &t->groups[i]);
	}
	for (i = nr_groups; i-- > 0;)
		if (!t->groups[i].dirty)
			gmfs_group_update(t, &t->groups[i]);
}

/**
 * gmfs_groups_init - set up the groups from the bitmap
 * @t: tables that gmfs_check() has accepted
 *
 * No group has an owner before gmfs_claim() is called.
 *
 * Return: 0 or -ENOMEM.
 */
int gmfs_groups_init(struct gmfs_tables *t)
{
	u32 i, list;

	t->full_groups = 0;
	/* Those beyond nr_blocks are for blocks that the pool gets later. */
	t->nr_groups = DIV_ROUND_UP(t->capacity, GUESTMEMFS_GROUP_BLOCKS);
	t->groups = gmfs_calloc(t->nr_groups, sizeof(*t->groups));
	t->bases = gmfs_calloc(t->nr_groups, sizeof(*t->bases));
	t->group_lists = gmfs_calloc(GMFS_NR_GROUP_LISTS, sizeof(*t->group_lists));
	if (!t->groups || !t->bases || !t->group_lists)
		return -ENOMEM;
	for (list = 0; list < GMFS_NR_GROUP_LISTS; list++)
		for (i = 0; i < GMFS_GROUP_RUNS; i++) {
			t->group_lists[list].head[i] = GMFS_NO_GROUP;
			t->group_lists[list].tail[i] = GMFS_NO_GROUP;
		}
	gmfs_groups_count(t);
	for (i = 0; i < t->nr_ranges; i++)
		gmfs_groups_add(t, le64_to_cpu(t->ranges[i].base),
				le32_to_cpu(t->ranges[i].first_block),
				gmfs_range_blocks(&t->ranges[i]));
	return 0;
}

/**
 * gmfs_groups_exit - free what gmfs_groups_init() allocated
 * @t: the pool's tables
 */
void gmfs_groups_exit(struct gmfs_tables *t)
{
	kvfree(t->groups);
	kvfree(t->bases);
	kvfree(t->group_lists);
	t->groups = NULL;
	t->bases = NULL;
	t->group_lists = NULL;
}
