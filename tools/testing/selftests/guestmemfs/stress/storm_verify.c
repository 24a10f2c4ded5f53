// SPDX-License-Identifier: GPL-2.0-only
/*
 * Comparison of the files with the journals.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/guestmemfs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "storm.h"

/* Describes the first difference between files and model. */
static char why[PATH_BYTES + 300];

#define differs(...) (snprintf(why, sizeof(why), __VA_ARGS__), false)

static bool is_bad_page(const struct block *b, unsigned int page)
{
	for (unsigned int k = 0; k < NR_BAD; k++)
		if (page == BAD_PAGE(k))
			return b->bad & 1U << k;
	return false;
}

/* Are the pages bad that should be, and no others? To read one would end this process. */
static bool same_errors(const char *path, int fd, const struct slot *s, unsigned int i)
{
	for (unsigned int k = 0; k < NR_BAD; k++) {
		unsigned int page = i * BLOCK_PAGES + BAD_PAGE(k);
		struct guestmemfs_get_state state = {
			.size = sizeof(state), .offset = page * PAGE_BYTES,
		};
		bool want = s->blocks[i].bad & 1U << k;

		if (page >= s->pages)
			break;
		if (ioctl(fd, GUESTMEMFS_IOC_GET_STATE, &state))
			return differs("state of %s: %s", path, strerror(errno));
		if (!!(state.state & GUESTMEMFS_STATE_POISONED) != want)
			return differs("%s: page %u is %s", path, page, want ? "good" : "bad");
	}
	return true;
}

/*
 * Compares each word of a block. If a store was changing the block, words of @old are allowed, too.
 */
static bool same_bytes(const char *path, int fd, const struct slot *s, unsigned int i,
		       const struct block *old)
{
	unsigned int pages = s->pages - i * BLOCK_PAGES;
	const struct block *b = &s->blocks[i];
	const unsigned int words = PAGE_BYTES / 8;
	uint64_t *p;
	bool same = true;

	if (pages > BLOCK_PAGES)
		pages = BLOCK_PAGES;
	p = mmap(NULL, pages * PAGE_BYTES, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd,
		 i * BLOCK_BYTES);
	if (p == MAP_FAILED)
		return differs("mmap of %s: %s", path, strerror(errno));
	for (unsigned int n = 0; same && n < pages * words; n++) {
		uint64_t want = stamp_word(b, n / words, n % words);

		if (is_bad_page(b, n / words))
			continue;
		if (p[n] != want && p[n] != stamp_word(old, n / words, n % words))
			same = differs("%s: block %u, page %u, word %u: %#lx instead of %#lx",
				       path, i, n / words, n % words, p[n], want);
	}
	munmap(p, pages * PAGE_BYTES);
	return same;
}

static bool same_blocks(const char *path, int fd, const struct slot *s, const struct slot *old)
{
	for (unsigned int i = 0; i * BLOCK_PAGES < s->pages; i++) {
		off_t start = i * BLOCK_BYTES;
		bool hole = lseek(fd, start, SEEK_HOLE) == start;
		bool is_hole = s->blocks[i].seed == SEED_HOLE;

		if (hole != is_hole)
			return differs("%s: block %u is %s", path, i, hole ? "a hole" : "there");
		/* Do not read holes, which would allocate them. */
		if (!hole && (!same_errors(path, fd, s, i) ||
			      !same_bytes(path, fd, s, i, &old->blocks[i])))
			return false;
	}
	return true;
}

static bool same_file(const char *path, const struct slot *s, const struct slot *old)
{
	unsigned int blocks = 0;
	struct stat st;
	bool same;
	int fd;

	if (lstat(path, &st))
		return differs("%s: %s", path, strerror(errno));
	if (st.st_mode != s->mode)
		return differs("%s: mode %o instead of %o", path, st.st_mode, s->mode);
	if (is_dir(s))
		return true;
	for (int i = 0; i < NR_BLOCKS; i++)
		blocks += s->blocks[i].seed != SEED_HOLE;
	if (st.st_size != (off_t)(s->pages * PAGE_BYTES) ||
	    st.st_blocks * 512UL != blocks * BLOCK_BYTES)
		return differs("%s: %ld bytes in %ld sectors instead of %u pages in %u blocks",
			       path, st.st_size, st.st_blocks, s->pages, blocks);
	fd = open(path, O_RDWR);
	if (fd < 0)
		return differs("%s: %s", path, strerror(errno));
	same = same_blocks(path, fd, s, old);
	close(fd);
	return same;
}

static bool same_all(const struct place *place, const struct model *m, const struct model *old)
{
	char path[PATH_BYTES];

	for (unsigned int i = 0; i < NR_SLOTS; i++) {
		if (!m->slots[i].mode)
			continue;
		path_of(path, place, m, i);
		if (!same_file(path, &m->slots[i], &old->slots[i]))
			return false;
	}
	return true;
}

static unsigned int nr_files(const struct model *m)
{
	unsigned int nr = 0;

	for (int i = 0; i < NR_SLOTS; i++)
		nr += m->slots[i].mode != 0;
	return nr;
}

static unsigned int looked_for, found, found_all;

static int count_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	unsigned int worker;

	found_all++;
	if (sscanf(path + ftw->base, "w%u.", &worker) == 1 && worker == looked_for)
		found++;
	return 0;
}

/* After same_all(), checks that the worker has no other files. */
static bool same_number(const struct place *place, const struct model *m)
{
	looked_for = place->worker;
	found = 0;
	if (nftw(place->dir, count_file, 16, FTW_PHYS))
		return differs("%s: %s", place->dir, strerror(errno));
	return found == nr_files(m) || differs("%u files instead of %u", found, nr_files(m));
}

static bool matches(const struct place *place, const struct model *m, const struct model *old)
{
	return same_all(place, m, old) && same_number(place, m);
}

/* Makes the journal match the files, so that the worker can continue. */
static void adopt(struct journal *j, struct place *place, const struct model *before,
		  const struct model *now)
{
	/* Some of the stores of the call in flight may be missing, so do them all. */
	if (now != before && op_writes_bytes(&j->op)) {
		j->op.kind = OP_STORE;
		if (op_perform(place, before, &j->op))
			err(1, "store");
	}
	j->models[0] = *now;
	j->frozen = 0;
	j->errors = 0;
	j->status = 0;
}

/**
 * verify_worker - compare the files of a worker with its journal
 * @j: the journal, prepared to continue if the files are right
 * @place: the directory of the worker
 *
 * A call that was in flight has either been done completely or not at all. A call after the freeze
 * must not have been done.
 *
 * Return: true if the files are what the journal says.
 */
bool verify_worker(struct journal *j, struct place *place)
{
	const struct model *before = &j->models[j->status & STATUS_MODEL];
	const struct model *after = &j->models[!(j->status & STATUS_MODEL)];
	bool in_flight = j->status & STATUS_IN_FLIGHT;
	bool changes = op_changes_tables(before, &j->op);

	if (*j->wrong) {
		printf("worker %u was told, of %s\n", place->worker, j->wrong);
		return false;
	}
	if (in_flight && j->frozen && changes && j->op.kind == OP_STORE)
		j->waits++;
	if (matches(place, before, before)) {
		adopt(j, place, before, before);
		return true;
	}
	printf("worker %u, %s %s: %s\n", place->worker,
	       in_flight ? "in flight" : "after", op_names[j->op.kind], why);
	if (!in_flight || (j->frozen && changes))
		return false;
	if (matches(place, after, op_writes_bytes(&j->op) ? before : after)) {
		printf("worker %u: so it was done\n", place->worker);
		adopt(j, place, before, after);
		return true;
	}
	printf("worker %u, had it been done: %s\n", place->worker, why);
	return false;
}

/**
 * verify_tree - check that there are only the files of the workers
 * @dir: the directory
 * @journals: the journals of all workers, after verify_worker()
 * @workers: the number of workers
 *
 * Return: true if so.
 */
bool verify_tree(const char *dir, struct journal **journals, unsigned int workers)
{
	/* include @dir itself */
	unsigned int expected = 1 + NR_SHARED;

	for (unsigned int i = 0; i < workers; i++)
		expected += nr_files(&journals[i]->models[0]);
	found_all = 0;
	if (nftw(dir, count_file, 16, FTW_PHYS))
		err(1, "%s", dir);
	if (found_all != expected)
		printf("%u files and directories instead of %u\n", found_all, expected);
	return found_all == expected;
}
