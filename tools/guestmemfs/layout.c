// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is in each block of a pool.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/guestmemfs.h>

#include "guestmemctl.h"

static bool bit_is_set(const unsigned char *bits, uint64_t bit)
{
	return bits[bit / 8] >> bit % 8 & 1;
}

static void mark_pages(struct layout *l, struct pool *pool, uint64_t page, uint64_t count,
		       unsigned char flag)
{
	while (count) {
		uint64_t block = page / BLOCK_PAGES, n = BLOCK_PAGES - page % BLOCK_PAGES;
		uint32_t owner = l->owner[block];

		n = n < count ? n : count;
		l->flags[block] |= flag;
		if (owner && owner <= pool->nr_files && flag == BLOCK_PINNED)
			pool->files[owner - 1].pinned_pages += n;
		else if (owner && owner <= pool->nr_files && flag == BLOCK_BAD)
			pool->files[owner - 1].bad_pages += n;
		page += n;
		count -= n;
	}
}

/* A block that left its file, and has no bad page, is there because a device has pinned it. */
static void mark_detached(struct layout *l)
{
	uint64_t b;

	for (b = 0; b < l->nr; b++)
		if (l->owner[b] == OWNER_DETACHED && !(l->flags[b] & BLOCK_BAD))
			l->flags[b] |= BLOCK_PINNED;
}

/* The gigabytes of a run that one page table entry can map. */
static void mark_whole(struct layout *l, const struct run *run)
{
	uint64_t b = (run->block + BLOCK_PAGES - 1ULL) & ~(BLOCK_PAGES - 1ULL);

	if ((run->block ^ run->logical) % BLOCK_PAGES ||
	    (run->private_pages && run->private_pages != BLOCK_PAGES))
		return;
	for (; b + BLOCK_PAGES <= run->block + (uint64_t)run->count; b += BLOCK_PAGES)
		l->whole[b / BLOCK_PAGES] = 1;
}

static void mark_run(struct layout *l, const struct run *run)
{
	uint64_t b;

	for (b = run->block; b < run->block + (uint64_t)run->count; b++) {
		l->owner[b] = run->file == RUN_DETACHED ? OWNER_DETACHED : run->file + 1;
		if (run->private_pages)
			l->flags[b] |= BLOCK_PRIVATE;
	}
	if (run->file != RUN_DETACHED)
		mark_whole(l, run);
}

/* A bad page is mapped by nothing, so that its gigabyte is not mapped as a whole. */
static void count_whole(struct layout *l, struct pool *pool)
{
	uint64_t b;

	for (b = 0; b < l->nr; b++)
		if (l->flags[b] & BLOCK_BAD)
			l->whole[b / BLOCK_PAGES] = 0;
	/* In damaged tables another run may have taken the first block. */
	for (b = 0; b + BLOCK_PAGES <= l->nr; b += BLOCK_PAGES)
		if (l->whole[b / BLOCK_PAGES] && l->owner[b] && l->owner[b] <= pool->nr_files)
			pool->files[l->owner[b] - 1].gigabytes++;
}

void layout_make(struct layout *l, const struct tables *t, struct pool *pool)
{
	uint64_t b;
	size_t i;

	l->nr = t->nr_blocks;
	l->owner = xcalloc(l->nr, sizeof(*l->owner));
	l->flags = xcalloc(l->nr, 1);
	l->whole = xcalloc(l->nr / BLOCK_PAGES + 1, 1);
	for (b = 0; b < l->nr; b++)
		l->owner[b] = OWNER_NONE;
	for (i = 0; i < t->nr_ranges; i++)
		for (b = 0; b < t->ranges[i].size >> BLOCK_SHIFT; b++)
			l->owner[t->ranges[i].first + b] =
				bit_is_set(t->bitmap, t->ranges[i].first + b) ? OWNER_ODD :
				OWNER_FREE;
	for (i = 0; i < t->nr_runs; i++)
		mark_run(l, &t->runs[i]);
	for (i = 0; i < t->nr_bad; i++)
		mark_pages(l, pool, t->bad[i], 1, BLOCK_BAD);
	for (i = 0; i < t->nr_pins; i++)
		mark_pages(l, pool, t->pins[2 * i], t->pins[2 * i + 1], BLOCK_PINNED);
	mark_detached(l);
	count_whole(l, pool);
}

void layout_free(struct layout *l)
{
	free(l->owner);
	free(l->flags);
	free(l->whole);
	memset(l, 0, sizeof(*l));
}

/* The bytes from @offset to @end of the file are pinned. */
static void mark_part(struct layout *l, const struct tables *t, struct pool *pool, size_t file,
		      uint64_t offset, uint64_t end)
{
	size_t i;

	for (i = 0; i < t->nr_runs; i++) {
		const struct run *run = &t->runs[i];
		uint64_t from = run->logical << BLOCK_SHIFT;
		uint64_t to = from + ((uint64_t)run->count << BLOCK_SHIFT);

		if (run->file != file || to <= offset || end <= from)
			continue;
		to = to < end ? to : end;
		from = from > offset ? from : offset;
		mark_pages(l, pool, (uint64_t)run->block * BLOCK_PAGES +
			   ((from - (run->logical << BLOCK_SHIFT)) >> 12), (to - from) >> 12,
			   BLOCK_PINNED);
	}
}

static void ask_file(struct layout *l, const struct tables *t, struct pool *pool, size_t i)
{
	char *path = text("%s%s", pool->mount, pool->files[i].path), *real = host_path(path);
	struct guestmemfs_get_state s = { .size = sizeof(s) };
	int fd = open(real, O_RDONLY | O_NOATIME | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	free(real);
	free(path);
	if (fd < 0)
		return;
	while (s.offset < pool->files[i].size && !ioctl(fd, GUESTMEMFS_IOC_GET_STATE, &s) &&
	       s.length) {
		uint64_t end = (s.offset & ~4095ULL) + s.length;

		if (s.state & GUESTMEMFS_STATE_PINNED && s.state & GUESTMEMFS_STATE_ALLOCATED)
			mark_part(l, t, pool, i, s.offset & ~4095ULL, end);
		s.offset = end;
	}
	close(fd);
}

void layout_pins(struct layout *l, const struct tables *t, struct pool *pool)
{
	size_t i;

	if (!pool->mount || !pool->pinned || pool->pinned == UNKNOWN || t->nr_pins)
		return;
	for (i = 0; i < pool->nr_files; i++)
		if (pool->files[i].path && pool->files[i].memory)
			ask_file(l, t, pool, i);
}

/* The number of the block at a physical address, or UINT32_MAX. */
uint32_t layout_block(const struct tables *t, uint64_t phys)
{
	size_t i;

	for (i = 0; i < t->nr_ranges; i++)
		if (phys >= t->ranges[i].base && phys - t->ranges[i].base < t->ranges[i].size)
			return t->ranges[i].first + ((phys - t->ranges[i].base) >> BLOCK_SHIFT);
	return UINT32_MAX;
}

/*
 * The state of the gigabyte at @phys, a multiple of 1 GiB: whole if a file has all of it in order,
 * so that one page table entry can map it.
 */
enum gigabyte layout_gigabyte(const struct layout *l, const struct tables *t, uint64_t phys,
			      bool *bad)
{
	uint32_t first = layout_block(t, phys);
	uint64_t free = 0, there = 0, i;

	*bad = false;
	for (i = 0; i < BLOCK_PAGES; i++) {
		uint32_t block = layout_block(t, phys + (i << BLOCK_SHIFT));

		if (block == UINT32_MAX)
			continue;
		there++;
		free += l->owner[block] == OWNER_FREE;
		*bad |= l->flags[block] & BLOCK_BAD;
	}
	if (free == there)
		return GIGABYTE_FREE;
	if (first != UINT32_MAX && l->whole[first / BLOCK_PAGES])
		return GIGABYTE_WHOLE;
	return GIGABYTE_BROKEN;
}
