// SPDX-License-Identifier: GPL-2.0-only
/*
 * The mixer's moves of memory from one file to another, and exchanges.
 */
#include "mix.h"
#include "move.h"

/* Draws a part of the file that ends in it, as blocks. Returns false if the file has none. */
static bool draw_blocks(struct mix *m, const struct mix_file *f, uint64_t max, uint64_t *first,
			uint64_t *nr)
{
	uint64_t blocks = f->size / m->block;

	if (!blocks)
		return false;
	*first = draw_offset(m, f) / m->block % blocks;
	*nr = 1 + draw(m, max);
	if (*nr > blocks - *first)
		*nr = blocks - *first;
	return true;
}

static uint64_t model_blocks(const struct mix_file *f, uint64_t first, uint64_t nr)
{
	uint64_t there = 0;

	while (nr--)
		there += f->blocks[first + nr].there;
	return there;
}

static unsigned int model_bad(const struct mix_file *f, uint64_t first, uint64_t nr)
{
	unsigned int bad = 0;

	while (nr--)
		bad += f->blocks[first + nr].nr_bad;
	return bad;
}

/* The blocks take their contents, their absent pages and their addresses with them. */
static void model_exchange(struct mix_file *a, uint64_t a_first, struct mix_file *b,
			   uint64_t b_first, uint64_t nr)
{
	uint64_t there = model_blocks(a, a_first, nr), gets = model_blocks(b, b_first, nr), i;

	for (i = 0; i < nr; i++) {
		struct mix_block block = a->blocks[a_first + i];

		a->blocks[a_first + i] = b->blocks[b_first + i];
		b->blocks[b_first + i] = block;
	}
	a->nr_blocks += gets - there;
	b->nr_blocks += there - gets;
}

static enum mix_result checked_part(struct mix *m, struct mix_file *f, uint64_t first, uint64_t nr)
{
	if (check_file(m, f) != MIX_DONE || check_extents(m, f, f->fd) != MIX_DONE ||
	    look_at(m, f, first * m->block) != MIX_DONE)
		return MIX_WRONG;
	return look_at(m, f, (first + nr) * m->block - 1);
}

enum mix_result do_move(struct mix *m)
{
	struct mix_file *from = draw_open(m), *to = draw_open(m);
	uint64_t a, b, nr, most, cost;
	uint32_t flags = draw(m, 4);
	int want = 0;

	if (m->standin || !from || !draw_blocks(m, to, 40, &b, &most) ||
	    !draw_blocks(m, from, most, &a, &nr))
		return MIX_SKIPPED;
	cost = model_blocks(from, a, nr);
	if (flags & EXCHANGE)
		cost += model_blocks(to, b, nr);
	else if (model_blocks(to, b, nr))
		want = EEXIST;
	if (from == to && a < b + nr && b < a + nr)
		want = EINVAL;
	if (flags & MOVE_ZERO && !affordable(m, cost))
		return MIX_SKIPPED;
	note(m, "move %lu blocks of file %u at block %lu to file %u at block %lu,%s%s", nr,
	     nr_of(m, from), a, nr_of(m, to), b, flags & EXCHANGE ? " exchanged" : "",
	     flags & MOVE_ZERO ? " zeroed" : "");
	if (expect(m, move(from->fd, a * m->block, to->fd, b * m->block, nr * m->block, flags),
		   want) != MIX_DONE)
		return MIX_WRONG;
	if (!want) {
		model_exchange(from, a, to, b, nr);
		m->seen[SEEN_MOVED] += cost > 0;
		m->seen[SEEN_BAD_MOVED] += model_bad(to, b, nr) > 0;
	}
	if (!want && flags & MOVE_ZERO) {
		model_zero(m, from, a * m->block, (a + nr) * m->block);
		model_zero(m, to, b * m->block, (b + nr) * m->block);
		m->budget -= cost * 16;
	}
	if (checked_part(m, from, a, nr) != MIX_DONE || checked_part(m, to, b, nr) != MIX_DONE)
		return MIX_WRONG;
	return check_free(m);
}
