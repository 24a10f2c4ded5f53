// SPDX-License-Identifier: GPL-2.0-only
/*
 * The mixer's accesses to mappings, and the signals that they get.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mix.h"

#define MOST_BYTES	(2 * PAGE)
#define HUGE_EVERY	50000	/* operations; zeroing a gigabyte takes seconds */

static sigjmp_buf jump;
static struct mix *running;
static int guarded;

static void on_fault(int sig)
{
	if (__atomic_load_n(&guarded, __ATOMIC_SEQ_CST))
		siglongjmp(jump, sig);
	/* The signal is synchronous and came outside of an access, so printing is safe here. */
	wrong(running, "signal %d out of place", sig);
	report(running);
	_exit(1);
}

void touch_init(struct mix *m)
{
	struct sigaction action = { .sa_handler = on_fault, .sa_flags = SA_NODEFER };

	running = m;
	sigaction(SIGBUS, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
}

static void guard(int on)
{
	/* The fences keep the compiler from moving the store across the access. */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	__atomic_store_n(&guarded, on, __ATOMIC_SEQ_CST);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/* Stores bytes. Returns 0 or the signal that the store got. */
static int store(void *p, const void *bytes, size_t len)
{
	int sig = sigsetjmp(jump, 0);

	if (!sig) {
		guard(1);
		memcpy(p, bytes, len);
	}
	guard(0);
	return sig;
}

/* Compares bytes with the model; @same is the number of equal bytes. Returns 0 or the signal. */
static int load(const struct mix *m, const struct mix_file *f, uint64_t at, const void *p,
		size_t len, size_t *same)
{
	int sig = sigsetjmp(jump, 0);

	if (!sig) {
		guard(1);
		*same = model_compare(m, f, at, p, len);
	}
	guard(0);
	return sig;
}

uint64_t end_of_pages(const struct mix_file *f)
{
	return (f->size + PAGE - 1) / PAGE * PAGE;
}

/* Would an access fault on a whole gigabyte that is a hole and fits one entry? */
bool takes_gigabyte(const struct mix *m, const struct mix_piece *w, uint64_t at)
{
	const uint64_t group = BIG_GROUP * m->block;

	return w->huge && !w->registered && at < group && w->file->size >= group &&
	       model_left(m) >= BIG_GROUP && model_holes(m, w->file, 0, group) == BIG_GROUP;
}

/* Returns the signal that an access to a page must get, 0 for none. */
static int foresee(struct mix *m, const struct mix_piece *w, uint64_t at, bool write)
{
	if (!(w->prot & (write ? PROT_WRITE : PROT_READ))) {
		m->seen[SEEN_DENIED]++;
		return SIGSEGV;
	}
	if (at >= end_of_pages(w->file)) {
		m->seen[SEEN_END]++;
		return SIGBUS;
	}
	if (model_is_bad(m, w->file, at)) {
		m->seen[SEEN_BAD]++;
		return SIGBUS;
	}
	if (w->registered && model_is_missing(m, w->file, at)) {
		m->seen[SEEN_MISSING]++;
		return SIGBUS;
	}
	if (model_is_hole(m, w->file, at) && !model_left(m)) {
		m->seen[SEEN_FULL]++;
		return SIGBUS;
	}
	return 0;
}

/*
 * Updates the model after an access to a page, which may have allocated a block, or the whole
 * gigabyte of the large file.
 */
static enum mix_result filled(struct mix *m, struct mix_file *f, uint64_t at, bool gigabyte)
{
	struct stat st;

	if (!gigabyte) {
		model_fill(m, f, at, at + 1);
		return MIX_DONE;
	}
	if (fstat(f->fd, &st))
		return wrong(m, "fstat: %m");
	if (st.st_blocks * 512UL == (f->nr_blocks + BIG_GROUP) * m->block) {
		long budget = m->budget;

		model_fill(m, f, 0, BIG_GROUP * m->block);
		/* The blocks of a gigabyte do not count for the budget. */
		m->budget = budget;
		m->seen[SEEN_GIGABYTE]++;
	} else {
		model_fill(m, f, at, at + 1);
	}
	m->next_huge = m->nr + HUGE_EVERY;
	return check_file(m, f);
}

/* Accesses bytes of one page: stores @bytes, or compares with the model if @bytes is NULL. */
static enum mix_result touch_page(struct mix *m, struct mix_piece *w, uint64_t at, size_t len,
				  const unsigned char *bytes, bool *faulted)
{
	bool gigabyte = takes_gigabyte(m, w, at);
	int want = foresee(m, w, at, bytes), sig;
	char *p = w->addr + (at - w->off);
	size_t same = len;

	sig = bytes ? store(p, bytes, len) : load(m, w->file, at, p, len, &same);
	if (sig != want)
		return wrong(m, "%s at %#lx: signal %d instead of %d", bytes ? "store" : "load",
			     at, sig, want);
	/* What follows a bad page is compared. */
	*faulted = sig && !model_is_bad(m, w->file, at);
	if (sig)
		return MIX_DONE;
	m->seen[SEEN_BYTES] += !bytes && model_has_bytes(m, w->file, at);
	if (same != len)
		return wrong(m, "file %u: at byte %#lx is %#x", nr_of(m, w->file), at + same,
			     (unsigned char)p[same]);
	if (filled(m, w->file, at, gigabyte) != MIX_DONE)
		return MIX_WRONG;
	if (bytes)
		model_store(m, w->file, at, bytes, len);
	return MIX_DONE;
}

enum mix_result touch(struct mix *m, struct mix_piece *w, uint64_t at, size_t len,
		      const unsigned char *bytes)
{
	uint64_t end = at + len;
	bool faulted = false;

	while (at < end && !faulted) {
		uint64_t next = (at / PAGE + 1) * PAGE;

		if (next > end)
			next = end;
		if (touch_page(m, w, at, next - at, bytes, &faulted) != MIX_DONE)
			return MIX_WRONG;
		if (bytes)
			bytes += next - at;
		at = next;
	}
	return MIX_DONE;
}

/* Compares the page of a byte at the boundary of the last change, if the page is mapped. */
enum mix_result look_at(struct mix *m, struct mix_file *f, uint64_t at)
{
	int i;

	at = at / PAGE * PAGE;
	if (at >= end_of_pages(f) || model_is_hole(m, f, at))
		return MIX_DONE;
	for (i = 0; i < NR_PIECES; i++) {
		struct mix_piece *w = &m->pieces[i];

		if (w->file == f && w->prot & PROT_READ && at >= w->off && at < w->off + w->len)
			return touch(m, w, at, PAGE, NULL);
	}
	return MIX_DONE;
}

/* Compares bytes that are allocated through a mapping made for this purpose. */
enum mix_result touch_compare(struct mix *m, struct mix_file *f, uint64_t at, void *p, size_t len)
{
	struct mix_piece w = {
		.file	= f,
		.addr	= p,
		.off	= at,
		.len	= len,
		.prot	= PROT_READ,
	};

	return touch(m, &w, at, len, NULL);
}

/* Draws an offset, mostly near one end of the piece, because pieces of the large file are huge. */
uint64_t draw_in(struct mix *m, const struct mix_piece *w, uint64_t len)
{
	uint64_t room = w->len - len + 1, most = NEAR * m->block, at = draw_offset(m, w->file);

	if (at >= w->off && at - w->off < room)
		return at;
	if (room <= most)
		return w->off + draw(m, room);
	return w->off + (draw(m, 2) ? draw(m, most) : room - 1 - draw(m, most));
}

/* Skips most of the accesses that would only fail. */
static bool is_vain(struct mix *m, const struct mix_piece *w, uint64_t at, int prot)
{
	return (!(w->prot & prot) || at >= end_of_pages(w->file)) && draw(m, 8);
}

static bool may_touch(struct mix *m, const struct mix_piece *w, uint64_t at, uint64_t len)
{
	if (takes_gigabyte(m, w, at))
		return w->file->fd >= 0 && m->nr >= m->next_huge;
	return !model_left(m) || affordable(m, model_holes(m, w->file, at, at + len));
}

/*
 * tmpfs keeps bytes that are stored after the end of the file, so the stand-in stores none there.
 */
static uint64_t end_of_stores(const struct mix *m, const struct mix_piece *w)
{
	uint64_t end = w->off + w->len;

	return m->standin && w->file->size < end ? w->file->size : end;
}

enum mix_result do_store(struct mix *m)
{
	struct mix_piece *w = draw_piece(m);
	unsigned char bytes[MOST_BYTES];
	size_t len = 1 + draw(m, draw(m, 8) ? 64 : MOST_BYTES), i;
	uint64_t at, word = 0;

	if (!w || len > w->len || m->nr_shadow > 8192)
		return MIX_SKIPPED;
	at = draw_in(m, w, len);
	if (is_vain(m, w, at, PROT_WRITE) || !may_touch(m, w, at, len) ||
	    at + len > end_of_stores(m, w))
		return MIX_SKIPPED;
	for (i = 0; i < len; i++, word >>= 8) {
		if (i % 8 == 0)
			word = draw(m, UINT64_MAX);
		bytes[i] = word;
	}
	note(m, "store file %u: %#lx, %lu bytes, size %#lx", nr_of(m, w->file), at, len,
	     w->file->size);
	return touch(m, w, at, len, bytes);
}

enum mix_result do_load(struct mix *m)
{
	struct mix_piece *w = draw_piece(m);
	size_t len = 1 + draw(m, draw(m, 8) ? 64 : 16 * PAGE);
	uint64_t at;

	if (!w || len > w->len)
		return MIX_SKIPPED;
	at = draw_in(m, w, len);
	/* In half of the cases, read where contents are. */
	if (draw(m, 2)) {
		at = model_find_bytes(m, w->file, at / m->block);
		len = PAGE;
	}
	if (at < w->off || at - w->off > w->len - len)
		return MIX_SKIPPED;
	if (is_vain(m, w, at, PROT_READ) || !may_touch(m, w, at, len))
		return MIX_SKIPPED;
	note(m, "load file %u: %#lx, %lu bytes, size %#lx", nr_of(m, w->file), at, len,
	     w->file->size);
	return touch(m, w, at, len, NULL);
}

enum mix_result do_load_block(struct mix *m)
{
	struct mix_piece *w = draw_piece(m);
	uint64_t at;

	if (!w || w->len < m->block)
		return MIX_SKIPPED;
	at = (draw_in(m, w, m->block) + PAGE - 1) / PAGE * PAGE;
	if (at + m->block > w->off + w->len || is_vain(m, w, at, PROT_READ) ||
	    !may_touch(m, w, at, m->block))
		return MIX_SKIPPED;
	note(m, "load file %u: %#lx, a block, size %#lx", nr_of(m, w->file), at, w->file->size);
	return touch(m, w, at, m->block, NULL);
}
