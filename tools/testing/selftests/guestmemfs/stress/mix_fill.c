// SPDX-License-Identifier: GPL-2.0-only
/*
 * The mixer's operations on a whole part of a mapping: populating it, and removing its memory.
 */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <unistd.h>

#include "mix.h"

bool may_populate(const struct mix *m, const struct mix_piece *w, uint64_t from, uint64_t to)
{
	/* A missing page would end it, which populated() does not foresee. */
	if (takes_gigabyte(m, w, from) || w->registered)
		return false;
	return !model_left(m) || affordable(m, model_holes(m, w->file, from, to));
}

/* The first bad page from @at on, @to if there is none before it. */
static uint64_t next_bad(const struct mix *m, const struct mix_file *f, uint64_t at, uint64_t to)
{
	while (at < to && !model_is_bad(m, f, at))
		at += PAGE;
	return at;
}

/*
 * Updates the model for populating: all of the range, or up to where an access would get SIGBUS.
 * Returns the error.
 */
int populated(struct mix *m, const struct mix_piece *w, uint64_t from, uint64_t to)
{
	uint64_t end = end_of_pages(w->file), at, next, bad;
	int err = EFAULT;

	for (at = from; at < to && at < end; at = next) {
		next = (at / m->block + 1) * m->block;
		if (model_is_hole(m, w->file, at) && !model_left(m))
			break;
		if (next > to)
			next = to;
		if (next > end)
			next = end;
		bad = next_bad(m, w->file, at, next);
		if (at < bad)
			model_fill(m, w->file, at, bad);
		if (bad < next) {
			err = EHWPOISON;
			break;
		}
	}
	if (at >= to && end >= to)
		return 0;
	m->seen[SEEN_HALF]++;
	return err;
}

/* Draws a range of whole pages of a piece. */
void draw_pages(struct mix *m, const struct mix_piece *w, uint64_t *from, uint64_t *to)
{
	uint64_t a = draw_in(m, w, PAGE), len = PAGE * (1 + draw(m, 3 * m->block / PAGE));

	*from = a / PAGE * PAGE;
	*to = *from + len;
	if (*to > w->off + w->len)
		*to = w->off + w->len;
}

enum mix_result do_populate(struct mix *m)
{
	struct mix_piece *w = draw_piece(m);
	bool write = draw(m, 2);
	uint64_t from, to;
	int want = EINVAL, err;

	if (!w)
		return MIX_SKIPPED;
	draw_pages(m, w, &from, &to);
	if (!may_populate(m, w, from, to))
		return MIX_SKIPPED;
	note(m, "populate file %u: %s %#lx-%#lx, size %#lx, prot %d", nr_of(m, w->file),
	     write ? "write" : "read", from, to, w->file->size, w->prot);
	err = ERR(madvise(w->addr + (from - w->off), to - from,
			  write ? MADV_POPULATE_WRITE : MADV_POPULATE_READ));
	if (w->prot & (write ? PROT_WRITE : PROT_READ))
		want = populated(m, w, from, to);
	if (expect(m, err, want) != MIX_DONE)
		return MIX_WRONG;
	return check_file(m, w->file);
}

enum mix_result do_remove(struct mix *m)
{
	struct mix_piece *w = draw_piece(m);
	uint64_t from, to;
	int err;

	if (!w)
		return MIX_SKIPPED;
	draw_pages(m, w, &from, &to);
	note(m, "MADV_REMOVE file %u: %#lx-%#lx, size %#lx", nr_of(m, w->file), from, to,
	     w->file->size);
	err = ERR(madvise(w->addr + (from - w->off), to - from, MADV_REMOVE));
	model_punch(m, w->file, from, to);
	if (expect(m, err, 0) != MIX_DONE || look_at(m, w->file, from) != MIX_DONE)
		return MIX_WRONG;
	return check_file(m, w->file);
}

/* Does the pool have room for a gigabyte, even if all other files are full? */
bool has_gigabyte(const struct mix *m)
{
	return !m->standin && m->total_blocks >= m->other_blocks + BIG_GROUP + NR_FILES * NEAR;
}

/* Maps a hole of a gigabyte so that one entry fits. Other operations access the mapping later. */
enum mix_result do_gigabyte(struct mix *m)
{
	struct mix_file *f = &m->files[BIG];
	const uint64_t len = BIG_GROUP * m->block;
	struct mix_piece *w = piece_new(m);
	unsigned char byte = draw(m, 256);
	uint64_t at = draw(m, len);

	if (!has_gigabyte(m) || !w || f->fd < 0 || m->nr < m->next_huge)
		return MIX_SKIPPED;
	note(m, "gigabyte of file %u: no limits, emptied, mapped, store at %#lx", nr_of(m, f), at);
	model_resize(m, f, 0);
	model_resize(m, f, f->max * m->block);
	if (!mount_unlimit(m) || ftruncate(f->fd, 0) || ftruncate(f->fd, f->size))
		return wrong(m, "remount or ftruncate: %m");
	w->addr = map_file(f->fd, 0, len);
	if (w->addr == MAP_FAILED)
		return wrong(m, "mmap: %m");
	w->file = f;
	w->off = 0;
	w->len = len;
	w->prot = PROT_READ | PROT_WRITE;
	w->huge = true;
	return touch(m, w, at, 1, &byte);
}
