// SPDX-License-Identifier: GPL-2.0-only
/*
 * The mixer's mappings: making, removing, cutting, moving and protecting parts of them.
 */
#define _GNU_SOURCE
#include <sys/mman.h>

#include "mix.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE	0x100000
#endif

/* Reserved address ranges for mappings at a fixed address. */
#define NR_PLACES	16
#define PLACE_BLOCKS	32UL

static const int prots[] = {
	PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE, PROT_READ,
	PROT_NONE,
};

static char *places;
static size_t place_bytes;

bool maps_init(struct mix *m)
{
	place_bytes = PLACE_BLOCKS * m->block;
	places = reserve(NR_PLACES * place_bytes, m->block);
	return places != MAP_FAILED;
}

static bool is_place(const char *p)
{
	return p >= places && p < places + NR_PLACES * place_bytes;
}

/* Reserves a place again after an unmap. Fails if a part of it is still mapped. */
static enum mix_result reserve_again(struct mix *m, char *p, size_t len)
{
	if (!is_place(p) || !len)
		return MIX_DONE;
	if (mmap(p, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE |
		 MAP_FIXED_NOREPLACE, -1, 0) != p)
		return wrong(m, "%p, %#lx bytes: not free after it was unmapped: %m", p, len);
	return MIX_DONE;
}

static char *free_place(struct mix *m)
{
	char *p = places + draw(m, NR_PLACES) * place_bytes;
	int i;

	for (i = 0; i < NR_PIECES; i++) {
		const struct mix_piece *w = &m->pieces[i];

		if (w->file && w->addr >= p && w->addr < p + place_bytes)
			return NULL;
	}
	return p;
}

/* Draws an address in a place: aligned for the largest entries, or only to pages. */
static char *draw_address(struct mix *m, uint64_t off)
{
	char *p = free_place(m);

	if (!p)
		return NULL;
	return p + (draw(m, 3) ? off % m->block : draw(m, m->block) / PAGE * PAGE);
}

struct mix_piece *piece_new(struct mix *m)
{
	int i;

	for (i = 0; i < NR_PIECES; i++) {
		struct mix_piece *w = &m->pieces[i];

		if (!w->file) {
			*w = (struct mix_piece){};
			return w;
		}
	}
	return NULL;
}

bool has_room(const struct mix *m, int pieces)
{
	int i;

	for (i = 0; i < NR_PIECES; i++)
		pieces -= !m->pieces[i].file;
	return pieces <= 0;
}

/* Makes the parts of a piece before @from and after @to pieces of their own. */
void piece_split(struct mix *m, struct mix_piece *w, uint64_t from, uint64_t to)
{
	struct mix_piece *other;

	if (from > w->off) {
		other = piece_new(m);
		*other = *w;
		other->len = from - w->off;
	}
	if (to < w->off + w->len) {
		other = piece_new(m);
		*other = *w;
		other->addr += to - w->off;
		other->len -= to - w->off;
		other->off = to;
	}
	w->addr += from - w->off;
	w->off = from;
	w->len = to - from;
}

/* Removes a piece. Its file may be freed by that. */
static void piece_drop(struct mix *m, struct mix_piece *w)
{
	struct mix_file *f = w->file;

	w->file = NULL;
	if (model_reap(m, f))
		m->seen[SEEN_ORPHAN]++;
}

static enum mix_result piece_unmap(struct mix *m, struct mix_piece *w)
{
	if (munmap(w->addr, w->len))
		return wrong(m, "munmap: %m");
	if (reserve_again(m, w->addr, w->len) != MIX_DONE)
		return MIX_WRONG;
	piece_drop(m, w);
	return MIX_DONE;
}

enum mix_result maps_drop(struct mix *m)
{
	int i;

	for (i = 0; i < NR_PIECES; i++)
		if (m->pieces[i].file && piece_unmap(m, &m->pieces[i]) != MIX_DONE)
			return MIX_WRONG;
	return MIX_DONE;
}

/*
 * At an address that the kernel has chosen, entries of a block must fit, if a whole block is
 * mapped.
 */
static enum mix_result check_address(struct mix *m, const struct mix_piece *w)
{
	uint64_t first = (w->off + m->block - 1) / m->block * m->block;

	if (m->standin || is_place(w->addr) || first + m->block > w->off + w->len)
		return MIX_DONE;
	if (((uintptr_t)w->addr - w->off) % m->block)
		return wrong(m, "offset %#lx is mapped at %p", w->off, w->addr);
	return MIX_DONE;
}

enum mix_result do_map(struct mix *m)
{
	struct mix_file *f = draw_open(m);
	struct mix_piece *w = piece_new(m);
	bool populate = !draw(m, 8), fixed = draw(m, 2);
	char *at = NULL;
	uint64_t to;

	if (!f || !w)
		return MIX_SKIPPED;
	draw_range(m, f, &w->off, &to);
	w->off = w->off / PAGE * PAGE;
	w->len = (to - w->off + PAGE - 1) / PAGE * PAGE;
	if (w->len > NEAR * m->block)
		w->len = NEAR * m->block;
	w->prot = prots[draw(m, ARRAY_SIZE(prots))];
	if (fixed)
		at = draw_address(m, w->off);
	w->file = f;
	if ((fixed && !at) || (populate && !may_populate(m, w, w->off, w->off + w->len))) {
		w->file = NULL;
		return MIX_SKIPPED;
	}
	note(m, "map file %u: %#lx-%#lx at %p, prot %d%s, size %#lx", nr_of(m, f), w->off,
	     w->off + w->len, at, w->prot, populate ? ", populated" : "", f->size);
	/* Map with MAP_NORESERVE, because the model has no reservations. */
	w->addr = mmap(at, w->len, w->prot, MAP_SHARED | MAP_NORESERVE | (fixed ? MAP_FIXED : 0) |
		       (populate ? MAP_POPULATE : 0), f->fd, w->off);
	if (w->addr == MAP_FAILED || (fixed && w->addr != at)) {
		w->file = NULL;
		return wrong(m, "mmap: %m");
	}
	/* MAP_POPULATE does not report errors. */
	if (populate && w->prot)
		populated(m, w, w->off, w->off + w->len);
	if (check_address(m, w) != MIX_DONE)
		return MIX_WRONG;
	return check_file(m, f);
}

/* Draws a range of whole pages, in half of the cases all of them. */
void draw_part(struct mix *m, const struct mix_piece *w, uint64_t *from, uint64_t *to)
{
	uint64_t pages = w->len / PAGE;
	uint64_t first = draw(m, 2) ? draw(m, pages) : 0;

	*from = w->off + first * PAGE;
	*to = w->off + w->len;
	if (draw(m, 2))
		*to = *from + (1 + draw(m, pages - first)) * PAGE;
}

enum mix_result do_unmap(struct mix *m)
{
	struct mix_piece *w = draw_piece(m);
	uint64_t from, to;

	if (!w || !has_room(m, 2))
		return MIX_SKIPPED;
	draw_part(m, w, &from, &to);
	note(m, "unmap file %u: %#lx-%#lx of %#lx-%#lx at %p", nr_of(m, w->file), from, to, w->off,
	     w->off + w->len, w->addr);
	piece_split(m, w, from, to);
	return piece_unmap(m, w);
}

enum mix_result do_protect(struct mix *m)
{
	struct mix_piece *w = draw_piece(m);
	int prot = prots[draw(m, ARRAY_SIZE(prots))];
	uint64_t from, to;

	if (!w || !has_room(m, 2) || prot == w->prot)
		return MIX_SKIPPED;
	draw_part(m, w, &from, &to);
	note(m, "protect file %u: %#lx-%#lx of %#lx-%#lx, prot %d -> %d", nr_of(m, w->file), from,
	     to, w->off, w->off + w->len, w->prot, prot);
	piece_split(m, w, from, to);
	w->prot = prot;
	return expect(m, ERR(mprotect(w->addr, w->len, prot)), 0);
}

static enum mix_result remap_move(struct mix *m, struct mix_piece *w, uint64_t len)
{
	char *at = draw_address(m, w->off), *old = w->addr;
	uint64_t old_len = w->len;

	if (!at || len > (PLACE_BLOCKS - 1) * m->block)
		return MIX_SKIPPED;
	note(m, "remap file %u: %#lx-%#lx from %p to %p, %#lx bytes", nr_of(m, w->file), w->off,
	     w->off + w->len, w->addr, at, len);
	if (mremap(old, old_len, len, MREMAP_MAYMOVE | MREMAP_FIXED, at) != at)
		return wrong(m, "mremap: %m");
	w->addr = at;
	w->len = len;
	/* A mapping that is moved is not registered any more. */
	w->registered = false;
	return reserve_again(m, old, old_len);
}

static enum mix_result remap_shrink(struct mix *m, struct mix_piece *w, uint64_t len)
{
	uint64_t old = w->len;

	note(m, "remap file %u: %#lx-%#lx at %p, to %#lx bytes", nr_of(m, w->file), w->off,
	     w->off + w->len, w->addr, len);
	if (mremap(w->addr, old, len, 0) != w->addr)
		return wrong(m, "mremap: %m");
	w->len = len;
	return reserve_again(m, w->addr + len, old - len);
}

enum mix_result do_remap(struct mix *m)
{
	struct mix_piece *w = draw_piece(m);
	uint64_t len;

	if (!w)
		return MIX_SKIPPED;
	len = (1 + draw(m, w->len / PAGE)) * PAGE;
	switch (draw(m, 4)) {
	case 0:
		if (m->standin)
			return MIX_SKIPPED;
		note(m, "remap file %u: %#lx-%#lx at %p, to more", nr_of(m, w->file), w->off,
		     w->off + w->len, w->addr);
		return expect(m, ERR(mremap(w->addr, w->len, w->len + len, MREMAP_MAYMOVE)),
			      EFAULT);
	case 1:
		return remap_shrink(m, w, len);
	case 2:
		return remap_move(m, w, len);
	default:
		return remap_move(m, w, w->len);
	}
}

enum mix_result do_advise(struct mix *m)
{
	static const struct {
		int advice;
		int err;
	} advices[] = {
		{ MADV_HUGEPAGE,	0 },
		{ MADV_NOHUGEPAGE,	0 },
		{ MADV_DONTDUMP,	0 },
		{ MADV_DONTNEED,	0 },
		{ MADV_FREE,		EINVAL },
	};
	struct mix_piece *w = draw_piece(m);
	unsigned int i = draw(m, ARRAY_SIZE(advices) + 1);

	if (!w || m->standin)
		return MIX_SKIPPED;
	if (i == ARRAY_SIZE(advices)) {
		note(m, "msync file %u: %#lx-%#lx", nr_of(m, w->file), w->off, w->off + w->len);
		return expect(m, ERR(msync(w->addr, w->len, MS_SYNC)), 0);
	}
	note(m, "madvise file %u: %#lx-%#lx, advice %d", nr_of(m, w->file), w->off,
	     w->off + w->len, advices[i].advice);
	return expect(m, ERR(madvise(w->addr, w->len, advices[i].advice)), advices[i].err);
}
