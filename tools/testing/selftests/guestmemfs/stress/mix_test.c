// SPDX-License-Identifier: GPL-2.0-only
/*
 * Operations on a pool in random order, each compared with a model: mappings, accesses,
 * userfaultfd, space, sizes, names, limits, mounts. The same seed gives the same operations, so
 * that a failure can be repeated:
 *
 *   mix_test [-s SEED] [-n OPERATIONS] [-k] [-p OPERATIONS] [-w OPERATION] [-t DIR]
 *
 * Seed 0 is replaced by one from the clock. -k leaves the files in the pool for inspection. -p
 * makes a memory error after each so many operations, up to MAX_BAD errors, each of which may cost
 * the pool a block for good. -w makes bytes of the model wrong from that operation on, so that the
 * test must fail. -t uses a directory of tmpfs with blocks of 4 KiB in place of a pool, which is
 * similar enough to test the mixer itself. No other process may use the pool during the test.
 */
#define _GNU_SOURCE
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <time.h>
#include <unistd.h>

#include "mix.h"

#define NR_SHORT	6000UL	/* operations in which each kind has to happen */
#define BUDGET_EACH	1	/* blocks that an operation may zero, in sixteenths */
#define BUDGET_MOST	(64 * 16)
#define PROGRESS	50000

static const struct {
	const char *name;
	unsigned int weight;
	enum mix_result (*run)(struct mix *m);
	bool not_standin;
} ops[] = {
	{ "store",		450,	do_store },
	{ "load",		450,	do_load },
	{ "load block",		15,	do_load_block },
	{ "map",		100,	do_map },
	{ "unmap",		70,	do_unmap },
	{ "protect",		30,	do_protect },
	{ "remap",		30,	do_remap },
	{ "advise",		20,	do_advise,	true },
	{ "populate",		25,	do_populate },
	{ "remove",		25,	do_remove },
	{ "gigabyte",		10,	do_gigabyte,	true },
	{ "register",		20,	do_register,	true },
	{ "unregister",		10,	do_unregister,	true },
	{ "copy",		60,	do_copy,	true },
	{ "truncate",		50,	do_truncate },
	{ "allocate",		100,	do_allocate },
	{ "move",		60,	do_move,	true },
	{ "seek",		40,	do_seek },
	{ "stat",		30,	do_stat },
	{ "extents",		20,	do_extents,	true },
	{ "create",		70,	do_create },
	{ "tmpfile",		20,	do_tmpfile },
	{ "link",		15,	do_link },
	{ "unlink",		25,	do_unlink },
	{ "rename",		20,	do_rename },
	{ "exchange",		16,	do_exchange },
	{ "rename directory",	5,	do_rename_dir },
	{ "open",		50,	do_open },
	{ "close",		20,	do_close },
	{ "stale",		5,	do_stale },
	{ "limit",		10,	do_limit,	true },
	{ "busy",		4,	do_busy,	true },
	{ "mount",		1,	do_mount },
	/* The last one: without -p the operations are the same as if it were not here. */
	{ "memory error",	20,	do_poison,	true },
};

static const char * const events[NR_EVENTS] = {
	[SEEN_END]	= "SIGBUS behind the end",
	[SEEN_FULL]	= "SIGBUS with nothing left",
	[SEEN_DENIED]	= "SIGSEGV",
	[SEEN_NO_BLOCK]	= "ENOSPC of fallocate",
	[SEEN_NO_INODE]	= "ENOSPC for a new file",
	[SEEN_HALF]	= "populated in part",
	[SEEN_ORPHAN]	= "gone with the last user",
	[SEEN_LIMITED]	= "limit refused",
	[SEEN_BYTES]	= "bytes found again",
	[SEEN_GIGABYTE]	= "a gigabyte by one fault",
	[SEEN_MOVED]	= "moved to another file",
	[SEEN_ABSENT]	= "freed page by page",
	[SEEN_MISSING]	= "SIGBUS of a missing page",
	[SEEN_FILLED]	= "filled in a block",
	[SEEN_BAD]	= "SIGBUS of a bad page",
	[SEEN_LOST]	= "lost with a bad page",
	[SEEN_BAD_MOVED] = "moved with a bad page",
};

static struct mix mix;

/* splitmix64, so that a seed gives the same sequence everywhere. */
uint64_t draw(struct mix *m, uint64_t below)
{
	uint64_t x = m->random += 0x9e3779b97f4a7c15;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return (x ^ x >> 31) % below;
}

/* Notes the operation that is about to run. */
void note(struct mix *m, const char *fmt, ...)
{
	char *line = m->log[m->nr % LOG_LINES];
	int len = snprintf(line, LINE_BYTES, "%lu: ", m->nr);
	va_list args;

	va_start(args, fmt);
	vsnprintf(line + len, LINE_BYTES - len, fmt, args);
	va_end(args);
}

enum mix_result wrong(struct mix *m, const char *fmt, ...)
{
	va_list args;

	/* The first error says most. */
	if (*m->why)
		return MIX_WRONG;
	va_start(args, fmt);
	vsnprintf(m->why, sizeof(m->why), fmt, args);
	va_end(args);
	return MIX_WRONG;
}

enum mix_result expect(struct mix *m, int err, int want)
{
	if (err == want)
		return MIX_DONE;
	return wrong(m, "%s instead of %s", err ? strerror(err) : "success",
		     want ? strerror(want) : "success");
}

/* Zeroing takes most of the time, so the number of zeroed blocks per operation is limited. */
bool affordable(const struct mix *m, uint64_t blocks)
{
	return !blocks || m->budget >= (long)blocks * 16;
}

unsigned int nr_of(const struct mix *m, const struct mix_file *f)
{
	return f - m->files;
}

/* The functions from here on return NULL if there is no file to choose. */
struct mix_file *draw_file(struct mix *m)
{
	unsigned int first = draw(m, NR_FILES), i;

	for (i = 0; i < NR_FILES; i++)
		if (m->files[(first + i) % NR_FILES].exists)
			return &m->files[(first + i) % NR_FILES];
	return NULL;
}

struct mix_file *draw_open(struct mix *m)
{
	unsigned int first = draw(m, NR_FILES), i;

	for (i = 0; i < NR_FILES; i++)
		if (m->files[(first + i) % NR_FILES].fd >= 0)
			return &m->files[(first + i) % NR_FILES];
	return NULL;
}

struct mix_piece *draw_piece(struct mix *m)
{
	unsigned int first = draw(m, NR_PIECES), i;

	for (i = 0; i < NR_PIECES; i++)
		if (m->pieces[(first + i) % NR_PIECES].file)
			return &m->pieces[(first + i) % NR_PIECES];
	return NULL;
}

/*
 * Draws an offset at a block, at a page, or anywhere, in a large file near one of its ends. Often
 * draws a place where errors are likely: the end, or inside stored bytes.
 */
uint64_t draw_offset(struct mix *m, const struct mix_file *f)
{
	const uint64_t most = f->max * m->block - 1;
	uint64_t at = draw(m, NEAR) * m->block, found;

	if (f->max > NEAR && draw(m, 2))
		at += (f->max - NEAR) * m->block;
	switch (draw(m, 8)) {
	case 0:
		return at;
	case 1:
		return at + draw(m, m->block) / PAGE * PAGE;
	case 2:
		found = f->size + draw(m, 64);
		return found < 32 || found - 32 > most ? at : found - 32;
	case 3 ... 5:
		found = model_find_bytes(m, f, at / m->block);
		return found == UINT64_MAX ? at : found + draw(m, PAGE);
	default:
		return at + draw(m, m->block);
	}
}

/* Draws a range that is not empty, mostly short, and often with an end inside stored bytes. */
void draw_range(struct mix *m, const struct mix_file *f, uint64_t *from, uint64_t *to)
{
	uint64_t other = draw_offset(m, f), found;

	*from = draw_offset(m, f);
	if (draw(m, 3)) {
		found = model_find_bytes(m, f, *from / m->block) + 1 + draw(m, PAGE);
		*to = *from + 1 + draw(m, 3 * m->block);
		if (draw(m, 2) && found > *from && found < *from + 3 * m->block)
			*to = found;
		if (*to > f->max * m->block)
			*to = f->max * m->block;
		return;
	}
	*to = *from > other ? *from : other;
	*from = *from > other ? other : *from;
	if (*to == *from)
		++*to;
}

void report(struct mix *m)
{
	unsigned long i;

	ksft_print_msg("the last operations, the very last one of which is wrong:\n");
	for (i = 0; i < LOG_LINES; i++)
		if (*m->log[(m->nr + 1 + i) % LOG_LINES])
			ksft_print_msg("%s\n", m->log[(m->nr + 1 + i) % LOG_LINES]);
	ksft_print_msg("wrong: %s\n", m->why);
	ksft_print_msg("again: mix_test -s %lu -n %lu%s", m->seed, m->nr + 1,
		       m->standin ? " -t DIR" : "");
	if (m->bad_every)
		printf(" -p %lu", m->bad_every);
	printf("\n");
	fflush(stdout);
}

static bool run(struct mix *m, unsigned long nr_ops, unsigned long spoil)
{
	unsigned int total = 0, pick, i;

	for (i = 0; i < ARRAY_SIZE(ops); i++)
		if (m->bad_every || ops[i].run != do_poison)
			total += ops[i].weight;
	while (m->nr < nr_ops) {
		enum mix_result result;

		/*
		 * Spoil the model again and again, because bytes may be overwritten before they are
		 * compared.
		 */
		if (m->nr >= spoil && m->nr % 16 == 0)
			model_spoil(m);
		pick = draw(m, total);
		for (i = 0; pick >= ops[i].weight; i++)
			pick -= ops[i].weight;
		result = ops[i].run(m);
		if (result == MIX_WRONG)
			return false;
		if (result == MIX_SKIPPED)
			continue;
		m->done[i]++;
		m->nr++;
		if (m->budget < BUDGET_MOST)
			m->budget += BUDGET_EACH;
		if (m->nr % PROGRESS == 0) {
			ksft_print_msg("%lu operations\n", m->nr);
			fflush(stdout);
		}
	}
	return true;
}

/* An operation or event that did not happen was not tested. */
static bool met_all(const struct mix *m)
{
	unsigned int i;
	bool all = true;

	for (i = 0; i < ARRAY_SIZE(ops); i++) {
		ksft_print_msg("%s: %lu\n", ops[i].name, m->done[i]);
		all &= m->done[i] || (m->standin && ops[i].not_standin) ||
		       (ops[i].run == do_gigabyte && !has_gigabyte(m)) ||
		       (ops[i].run == do_poison && !m->bad_every);
	}
	for (i = 0; i < NR_EVENTS; i++) {
		ksft_print_msg("%s: %lu\n", events[i], m->seen[i]);
		/* The pool may have no contiguous gigabyte, or the CPU no such entries. */
		all &= m->seen[i] || m->standin || i == SEEN_GIGABYTE ||
		       (i >= SEEN_BAD && !m->bad_every);
	}
	return all;
}

static bool init(struct mix *m, const char *standin)
{
	int nodes[MAX_POOLS], i;

	m->standin = standin;
	m->block = standin ? PAGE : BLOCK;
	m->random = m->seed;
	m->budget = BUDGET_MOST;
	if (standin)
		snprintf(m->pool.dir, sizeof(m->pool.dir), "%s", standin);
	else if (!pool_nodes(nodes))
		ksft_exit_skip("no pool on this machine\n");
	else if (!pool_setup(&m->pool, nodes[0]))
		return false;
	for (i = 0; i < NR_FILES; i++) {
		m->files[i].max = NEAR + (i == BIG ? BIG_GROUP : 0);
		m->files[i].blocks = calloc(m->files[i].max, sizeof(struct mix_block));
		if (!m->files[i].blocks)
			return false;
	}
	touch_init(m);
	if (!standin && !uffd_open(&m->uffd, UFFD_FEATURE_SIGBUS))
		return false;
	return mount_init(m) && names_init(m) && maps_init(m);
}

/* Returns what is wrong with the pool, or NULL. */
static const char *finish(struct mix *m, bool keep)
{
	const char *what = NULL;

	if (release_all(m) != MIX_DONE || !mount_unlimit(m))
		what = "it cannot be released";
	if (m->standin)
		return what;
	m->pool.free_blocks -= m->lost_blocks;
	if (!keep)
		return pool_teardown(&m->pool) ?: what;
	if (umount(m->pool.mnt) || rmdir(m->pool.mnt) || rmdir(m->pool.base))
		what = "it cannot be unmounted";
	return what;
}

int main(int argc, char **argv)
{
	unsigned long nr_ops = NR_SHORT, spoil = ULONG_MAX;
	const char *standin = NULL, *what;
	struct mix *m = &mix;
	bool keep = false, same;
	int opt;

	m->seed = 1;
	while ((opt = getopt(argc, argv, "s:n:kp:w:t:")) != -1) {
		if (opt == 's')
			m->seed = strtoul(optarg, NULL, 0);
		else if (opt == 'n')
			nr_ops = strtoul(optarg, NULL, 0);
		else if (opt == 'k')
			keep = true;
		else if (opt == 'p')
			m->bad_every = strtoul(optarg, NULL, 0);
		else if (opt == 'w')
			spoil = strtoul(optarg, NULL, 0);
		else if (opt == 't')
			standin = optarg;
		else
			ksft_exit_fail_msg("the arguments are those at the top of mix_test.c\n");
	}
	if (!m->seed)
		m->seed = time(NULL);
	ksft_print_header();
	if (!init(m, standin))
		ksft_exit_fail_msg("no pool to work on: %m\n");
	ksft_set_plan(4);
	ksft_print_msg("seed %lu\n", m->seed);

	same = run(m, nr_ops, spoil);
	if (!same)
		report(m);
	ksft_test_result(same, "%lu operations are as the model has them\n", nr_ops);
	if (same && check_all(m) != MIX_DONE) {
		same = false;
		report(m);
	}
	ksft_test_result(same, "so is everything after that\n");
	ksft_test_result(met_all(m) || nr_ops < NR_SHORT, "all kinds were among them\n");
	what = finish(m, keep);
	ksft_test_result(!what, "what is free adds up%s%s\n", what ? ": " : "", what ?: "");
	ksft_finished();
}
