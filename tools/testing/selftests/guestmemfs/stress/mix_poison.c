// SPDX-License-Identifier: GPL-2.0-only
/*
 * The mixer's memory errors. The pool does not get a block with one back, so there are few of them,
 * and none if the test has not been asked for them.
 */
#include "mix.h"
#include "poison.h"

static bool may_poison(const struct mix *m)
{
	return m->nr_bad < MAX_BAD && m->nr >= (m->nr_bad + 1) * m->bad_every;
}

enum mix_result do_poison(struct mix *m)
{
	struct mix_file *f = draw_open(m);
	uint64_t at, phys;
	bool bad;

	if (!f || m->standin)
		return MIX_SKIPPED;
	at = draw_offset(m, f) / PAGE * PAGE;
	if (model_is_hole(m, f, at))
		return MIX_SKIPPED;
	bad = model_is_bad(m, f, at);
	if (!bad && !may_poison(m))
		return MIX_SKIPPED;
	note(m, "memory error in file %u: %#lx, size %#lx", nr_of(m, f), at, f->size);
	phys = file_phys(f->fd, at);
	/* A second report of the same error is refused. */
	if (expect(m, poison_frame(phys), bad ? EHWPOISON : 0) != MIX_DONE)
		return MIX_WRONG;
	if (!bad)
		model_poison(m, f, at);
	if (look_at(m, f, at) != MIX_DONE || look_at(m, f, at + PAGE) != MIX_DONE ||
	    (at && look_at(m, f, at - PAGE) != MIX_DONE) || check_file(m, f) != MIX_DONE)
		return MIX_WRONG;
	return check_free(m);
}
