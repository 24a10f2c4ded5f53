// SPDX-License-Identifier: GPL-2.0-only
/*
 * The model of the mixer's files: sizes, blocks, and the contents of pages that are not zero. This
 * file makes no system calls.
 */
#include <stdlib.h>
#include <string.h>

#include "mix.h"

static uint64_t less(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t left(uint64_t total, uint64_t max, uint64_t used)
{
	if (!max || max > total)
		max = total;
	return used < max ? max - used : 0;
}

/* Returns how many blocks can be allocated, by the pool and the limit. */
uint64_t model_left(const struct mix *m)
{
	return left(m->total_blocks, m->max_blocks, m->other_blocks + m->used_blocks);
}

uint64_t model_inodes_left(const struct mix *m)
{
	return left(m->total_inodes, m->max_inodes, m->other_inodes + m->used_inodes);
}

/* Returns how many blocks in the range from @from to @to are not allocated. */
uint64_t model_holes(const struct mix *m, const struct mix_file *f, uint64_t from, uint64_t to)
{
	uint64_t i, nr = 0;

	for (i = from / m->block; i < f->max && i * m->block < to; i++)
		nr += !f->blocks[i].there;
	return nr;
}

bool model_is_hole(const struct mix *m, const struct mix_file *f, uint64_t at)
{
	return !f->blocks[at / m->block].there;
}

/* Pages of a block are not absent any more: those from @from to @to, offsets in the block. */
static void use_pages(struct mix_block *b, uint64_t from, uint64_t to)
{
	uint64_t page;

	for (page = from / PAGE; b->nr_absent && page * PAGE < to; page++) {
		b->nr_absent -= b->absent[page];
		b->absent[page] = false;
	}
}

/* Allocates the blocks with a byte from @from to @to, and uses their pages. */
void model_fill(struct mix *m, struct mix_file *f, uint64_t from, uint64_t to)
{
	uint64_t i, nr = model_holes(m, f, from, to);

	for (i = from / m->block; i < f->max && i * m->block < to; i++) {
		uint64_t start = i * m->block;

		f->blocks[i].there = true;
		use_pages(&f->blocks[i], from > start ? from - start : 0,
			  less(to - start, m->block));
	}
	f->nr_blocks += nr;
	m->used_blocks += nr;
	m->budget -= nr * 16;
}

/* Does userfaultfd take the page for missing? */
bool model_is_missing(const struct mix *m, const struct mix_file *f, uint64_t at)
{
	const struct mix_block *b = &f->blocks[at / m->block];

	return !b->there || (b->nr_absent && b->absent[at % m->block / PAGE]);
}

static void make_absent(struct mix *m, struct mix_block *b, uint64_t page, uint64_t last)
{
	if (!b->absent)
		b->absent = calloc(m->block / PAGE, sizeof(*b->absent));
	if (!b->absent)
		abort();
	for (; page < last; page++) {
		b->nr_absent += !b->absent[page];
		b->absent[page] = true;
	}
}

/* Fills a missing page. In a hole a block is allocated, whose other pages are missing. */
void model_fill_page(struct mix *m, struct mix_file *f, uint64_t at)
{
	struct mix_block *b = &f->blocks[at / m->block];

	if (!b->there) {
		model_fill(m, f, at, at + 1);
		make_absent(m, b, 0, m->block / PAGE);
	}
	b->absent[at % m->block / PAGE] = false;
	b->nr_absent--;
}

static void forget_page(struct mix *m, struct mix_block *b, uint64_t page)
{
	if (!b->nr_pages || !b->pages[page])
		return;
	free(b->pages[page]);
	b->pages[page] = NULL;
	m->nr_shadow--;
	if (!--b->nr_pages) {
		free(b->pages);
		b->pages = NULL;
	}
}

/* Has the page a memory error? */
bool model_is_bad(const struct mix *m, const struct mix_file *f, uint64_t at)
{
	const struct mix_block *b = &f->blocks[at / m->block];

	return b->nr_bad && b->bad[at % m->block / PAGE];
}

/* The page, in a block that is there, gets a memory error, and its contents are lost. */
void model_poison(struct mix *m, struct mix_file *f, uint64_t at)
{
	struct mix_block *b = &f->blocks[at / m->block];
	uint64_t page = at % m->block / PAGE;

	if (!b->bad)
		b->bad = calloc(m->block / PAGE, sizeof(*b->bad));
	if (!b->bad)
		abort();
	b->bad[page] = true;
	b->nr_bad++;
	m->nr_bad++;
	forget_page(m, b, page);
}

/* A block with a memory error is in use for ever. */
static void lose_block(struct mix *m, struct mix_block *b)
{
	if (!b->nr_bad)
		return;
	free(b->bad);
	b->bad = NULL;
	b->nr_bad = 0;
	m->other_blocks++;
	m->lost_blocks++;
	m->seen[SEEN_LOST]++;
}

/* @from and @to are offsets in the block. */
static void zero_block(struct mix *m, struct mix_block *b, uint64_t from, uint64_t to)
{
	while (from < to && b->nr_pages) {
		uint64_t page = from / PAGE, next = less((page + 1) * PAGE, to);

		if (next - from == PAGE)
			forget_page(m, b, page);
		else if (b->pages[page])
			memset(b->pages[page] + from % PAGE, 0, next - from);
		from = next;
	}
}

/* Zeroes the bytes from @from to @to. */
void model_zero(struct mix *m, struct mix_file *f, uint64_t from, uint64_t to)
{
	uint64_t end = less(to, f->max * m->block);

	while (from < end) {
		uint64_t i = from / m->block, next = less((i + 1) * m->block, end);

		zero_block(m, &f->blocks[i], from - i * m->block, next - i * m->block);
		from = next;
	}
}

/* Frees the blocks from @first to before @last. */
static void free_blocks(struct mix *m, struct mix_file *f, uint64_t first, uint64_t last)
{
	for (; first < last && first < f->max; first++) {
		struct mix_block *b = &f->blocks[first];

		if (!b->there)
			continue;
		zero_block(m, b, 0, m->block);
		free(b->absent);
		b->absent = NULL;
		b->nr_absent = 0;
		lose_block(m, b);
		b->there = false;
		b->phys = 0;
		f->nr_blocks--;
		m->used_blocks--;
	}
}

/* Is no page of a block left? Pages behind the end of the file do not count. */
static bool all_absent(const struct mix *m, const struct mix_file *f, uint64_t i)
{
	uint64_t start = i * m->block, page;

	for (page = 0; page < m->block / PAGE; page++) {
		if (start < f->size && start + page * PAGE >= f->size)
			break;
		if (!f->blocks[i].absent || !f->blocks[i].absent[page])
			return false;
	}
	return true;
}

/*
 * The whole pages from @from to @to, in one block, become absent. If no page is left, the block is
 * freed.
 */
static void lose_pages(struct mix *m, struct mix_file *f, uint64_t from, uint64_t to)
{
	uint64_t i = from / m->block, page = (from + PAGE - 1) / PAGE, last = to / PAGE;
	struct mix_block *b = &f->blocks[i];
	uint64_t start = i * m->block / PAGE;

	if (m->standin || from >= to || i >= f->max || !b->there || page > last)
		return;
	make_absent(m, b, page - start, last - start);
	if (!all_absent(m, f, i))
		return;
	free_blocks(m, f, i, i + 1);
	m->seen[SEEN_ABSENT]++;
}

void model_punch(struct mix *m, struct mix_file *f, uint64_t from, uint64_t to)
{
	uint64_t first = (from + m->block - 1) / m->block * m->block;
	uint64_t last = to / m->block * m->block;

	model_zero(m, f, from, to);
	free_blocks(m, f, first / m->block, last / m->block);
	lose_pages(m, f, from, less(first, to));
	if (last >= first)
		lose_pages(m, f, last, to);
}

/*
 * Changes the size. Bytes after the old end must never be visible: the last page may have such
 * bytes, stored through a mapping, and a new size removes them, even if it is the same size.
 */
void model_resize(struct mix *m, struct mix_file *f, uint64_t size)
{
	uint64_t end = less(size, f->size);

	model_zero(m, f, end, UINT64_MAX);
	if (size <= f->size)
		free_blocks(m, f, (size + m->block - 1) / m->block, f->max);
	f->size = size;
}

static unsigned char *shadow_page(struct mix *m, struct mix_block *b, uint64_t page)
{
	if (!b->pages)
		b->pages = calloc(m->block / PAGE, sizeof(*b->pages));
	if (b->pages && !b->pages[page]) {
		b->pages[page] = calloc(1, PAGE);
		b->nr_pages++;
		m->nr_shadow++;
	}
	if (!b->pages || !b->pages[page])
		abort();
	return b->pages[page];
}

/* Stores bytes of one page, in a block that is allocated. */
void model_store(struct mix *m, struct mix_file *f, uint64_t at, const void *bytes, size_t len)
{
	struct mix_block *b = &f->blocks[at / m->block];

	memcpy(shadow_page(m, b, at % m->block / PAGE) + at % PAGE, bytes, len);
}

bool model_has_bytes(const struct mix *m, const struct mix_file *f, uint64_t at)
{
	const struct mix_block *b = &f->blocks[at / m->block];

	return b->nr_pages && b->pages[at % m->block / PAGE];
}

/* Compares bytes of one page. Returns the index of the first byte that differs, @len if none. */
size_t model_compare(const struct mix *m, const struct mix_file *f, uint64_t at,
		     const void *bytes, size_t len)
{
	const struct mix_block *b = &f->blocks[at / m->block];
	const unsigned char *is = bytes, *want = NULL;
	size_t i;

	if (b->nr_pages)
		want = b->pages[at % m->block / PAGE];
	if (want ? !memcmp(is, want + at % PAGE, len) : is_zero(is, len))
		return len;
	for (i = 0; i < len; i++)
		if (is[i] != (want ? want[at % PAGE + i] : 0))
			break;
	return i;
}

/* Returns the offset for SEEK_HOLE or SEEK_DATA, UINT64_MAX if there is none. */
uint64_t model_seek(const struct mix *m, const struct mix_file *f, uint64_t at, bool hole)
{
	if (at >= f->size)
		return UINT64_MAX;
	while (at < f->size && model_is_hole(m, f, at) != hole)
		at = (at / m->block + 1) * m->block;
	if (at < f->size)
		return at;
	return hole ? f->size : UINT64_MAX;
}

/*
 * Returns the offset of a page with contents: the first one from block @first on, else the first
 * one of the file. UINT64_MAX if all pages are zero.
 */
uint64_t model_find_bytes(const struct mix *m, const struct mix_file *f, uint64_t first)
{
	uint64_t n, page;

	for (n = 0; n < f->max; n++) {
		uint64_t i = (first + n) % f->max;

		for (page = 0; f->blocks[i].nr_pages && page < m->block / PAGE; page++)
			if (f->blocks[i].pages[page])
				return i * m->block + page * PAGE;
	}
	return UINT64_MAX;
}

/* Does the file have a name, a descriptor or a mapping? */
bool model_is_used(const struct mix *m, const struct mix_file *f)
{
	int i;

	for (i = 0; i < NR_PIECES; i++)
		if (m->pieces[i].file == f)
			return true;
	return f->fd >= 0 || f->name >= 0;
}

/* Makes a byte of each file wrong, to check that the comparison finds it. */
void model_spoil(struct mix *m)
{
	unsigned int i;

	for (i = 0; i < NR_FILES; i++) {
		struct mix_file *f = &m->files[i];
		uint64_t at = model_find_bytes(m, f, 0);

		if (at != UINT64_MAX)
			f->blocks[at / m->block].pages[at % m->block / PAGE][0]++;
	}
}

void model_new(struct mix *m, struct mix_file *f, int fd, int dir, int name)
{
	f->exists = true;
	f->may_link = name < 0;
	f->fd = fd;
	f->dir = dir;
	f->name = name;
	f->size = 0;
	m->used_inodes++;
}

/* Frees a file that has no user any more. Returns whether it was freed. */
bool model_reap(struct mix *m, struct mix_file *f)
{
	if (!f->exists || model_is_used(m, f))
		return false;
	free_blocks(m, f, 0, f->max);
	f->exists = false;
	m->used_inodes--;
	m->gone = f->handle;
	return true;
}
