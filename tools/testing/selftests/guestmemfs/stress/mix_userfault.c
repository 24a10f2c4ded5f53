// SPDX-License-Identifier: GPL-2.0-only
/*
 * The mixer's operations of userfaultfd. Nobody waits for missing pages: accesses to them get
 * SIGBUS (UFFD_FEATURE_SIGBUS), and other operations fill them.
 */
#include "mix.h"

#define MOST_PAGES	24

static enum mix_result set_registered(struct mix *m, bool on)
{
	struct mix_piece *w = draw_piece(m);
	uint64_t from, to;

	if (!w || m->standin || w->registered == on || !has_room(m, 2))
		return MIX_SKIPPED;
	draw_part(m, w, &from, &to);
	note(m, "%s file %u: %#lx-%#lx of %#lx-%#lx", on ? "register" : "unregister",
	     nr_of(m, w->file), from, to, w->off, w->off + w->len);
	piece_split(m, w, from, to);
	w->registered = on;
	if (on)
		return expect(m, uffd_register(&m->uffd, w->addr, w->len,
					       UFFDIO_REGISTER_MODE_MISSING), 0);
	return expect(m, uffd_unregister(&m->uffd, w->addr, w->len), 0);
}

enum mix_result do_register(struct mix *m)
{
	return set_registered(m, true);
}

enum mix_result do_unregister(struct mix *m)
{
	return set_registered(m, false);
}

/* Returns the error of a copy to one page, 0 if it is filled. */
static int copy_error(const struct mix *m, const struct mix_file *f, uint64_t at)
{
	int err = 0;

	if (at >= end_of_pages(f))
		err = EFAULT;
	else if (model_is_bad(m, f, at))
		err = EIO;
	else if (!model_is_missing(m, f, at))
		err = EEXIST;
	else if (model_is_hole(m, f, at) && !model_left(m))
		err = ENOSPC;
	return err;
}

/* Updates the model. Returns how many bytes are filled, and the error of what follows them. */
static int64_t copied(struct mix *m, struct mix_file *f, uint64_t from, uint64_t len,
		      const unsigned char *src, int *err)
{
	uint64_t i;

	for (i = 0; i < len; i += PAGE) {
		*err = copy_error(m, f, from + i);
		if (*err)
			break;
		m->seen[SEEN_FILLED] += !model_is_hole(m, f, from + i);
		model_fill_page(m, f, from + i);
		if (src)
			model_store(m, f, from + i, src + i, PAGE);
	}
	return i;
}

/* UFFDIO_COPY, or UFFDIO_ZEROPAGE. */
enum mix_result do_copy(struct mix *m)
{
	static unsigned char bytes[MOST_PAGES * PAGE];
	struct mix_piece *w = draw_piece(m);
	bool zero = !draw(m, 3);
	uint64_t from, to, len, i;
	int64_t done, most;
	int want = 0, err;

	if (!w || !w->registered || m->nr_shadow > 8192)
		return MIX_SKIPPED;
	draw_pages(m, w, &from, &to);
	len = draw(m, MOST_PAGES) * PAGE + PAGE;
	if (len > to - from)
		len = to - from;
	if (model_left(m) && !affordable(m, model_holes(m, w->file, from, from + len)))
		return MIX_SKIPPED;
	note(m, "%s file %u: %#lx, %lu bytes, size %#lx", zero ? "zero" : "copy", nr_of(m, w->file),
	     from, len, w->file->size);
	for (i = 0; i < len; i += 8)
		*(uint64_t *)(bytes + i) = draw(m, UINT64_MAX);
	if (zero)
		err = uffd_zero(&m->uffd, w->addr + (from - w->off), len, &done);
	else
		err = uffd_copy(&m->uffd, w->addr + (from - w->off), bytes, len, &done);
	most = copied(m, w->file, from, len, zero ? NULL : bytes, &want);
	if (done != (most ?: -want))
		return wrong(m, "%ld instead of %ld", (long)done, (long)(most ?: -want));
	/* What could be filled only in part is to be tried again. */
	if (expect(m, err, most && want ? EAGAIN : want) != MIX_DONE ||
	    look_at(m, w->file, from) != MIX_DONE)
		return MIX_WRONG;
	return check_file(m, w->file);
}
