// SPDX-License-Identifier: GPL-2.0-only
/*
 * Load on a pool, on all CPUs, during kexecs that are not announced to it. Each worker has a
 * journal of the results of its calls, which is a mapped file in another pool: stores to it need
 * no system call, so that the journal is right up to the worker's last instruction. After the
 * kexec, the files are compared with the journals.
 *
 *   storm setup DIR JOURNALS N   prepares DIR once for N workers
 *   storm run DIR JOURNALS N     prints "storming" when all workers work, never ends
 *   storm verify DIR JOURNALS N  compares DIR with the journals; after that, run can continue
 *   storm seen DIR JOURNALS N    checks that each call and each event has happened
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "storm.h"

#include <x86intrin.h>

#define MAX_WORKERS	64U
#define THREADS		2U	/* share page tables; processes do not */
#define WARM		50U	/* calls before a worker counts as working */

/* Shared by all workers of a pool, at the end of the first worker's journal. */
struct common {
	uint32_t frozen;
	uint32_t warm;
};

struct worker {
	struct place place;
	struct journal *journal;
	struct common *common;
	uint64_t random;
};

static const char *dir, *journals;
static unsigned int nr_workers;
static struct journal *journal_of[MAX_WORKERS];

static uint32_t draw(struct worker *w, uint32_t below)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return (w->random >> 16) % below;
}

static bool choose_parent(struct worker *w, const struct model *m, bool shared, uint32_t *parent)
{
	*parent = draw(w, NR_SHARED + (shared ? 0 : NR_SLOTS));
	return *parent < NR_SHARED || is_dir(&m->slots[*parent - NR_SHARED]);
}

static bool choose_new(struct worker *w, const struct model *m, struct op *op)
{
	unsigned int nr_dirs = 0;

	for (int i = 0; i < NR_SLOTS; i++)
		nr_dirs += is_dir(&m->slots[i]);
	op->mode = op->kind == OP_MKDIR ? S_IFDIR | 0700 : S_IFREG | 0600;
	return !m->slots[op->a].mode && (op->kind != OP_MKDIR || nr_dirs < 3) &&
	       choose_parent(w, m, op->kind == OP_MKDIR, &op->parent);
}

/*
 * Chooses two names for a rename: a directory stays in a shared one, and only an empty one is
 * replaced.
 */
static bool choose_pair(const struct model *m, const struct op *op)
{
	const struct slot *a = &m->slots[op->a], *b = &m->slots[op->b];

	if (op->a == op->b || !a->mode || !b->mode)
		return false;
	if (is_dir(a) == is_dir(b))
		return op->kind == OP_EXCHANGE || !has_children(m, op->b);
	return op->kind == OP_EXCHANGE && a->parent < NR_SHARED && b->parent < NR_SHARED;
}

/*
 * Leaves the first page of a block out of a punch that does not have all of the block. The model
 * does not know which pages of a block are punched: without this page the block would be free.
 */
static bool keep_first_page(struct op *op)
{
	uint32_t base = op->last / BLOCK_PAGES * BLOCK_PAGES;

	if (op->last == base)
		return true;
	if (op->first < base)
		op->last = base;
	else if (op->first == base)
		op->first++;
	return op->first < op->last;
}

/* Draws a range or a size of a file, often in whole blocks. */
static bool choose_pages(struct worker *w, const struct model *m, struct op *op)
{
	uint32_t unit = draw(w, 2) ? 1 : BLOCK_PAGES;
	uint32_t units = NR_BLOCKS * BLOCK_PAGES / unit;

	op->first = draw(w, units) * unit;
	op->last = op->first + (1 + draw(w, units - op->first / unit)) * unit;
	if (op_writes_bytes(op))
		return op->b < NR_BLOCKS && op->b * BLOCK_PAGES < m->slots[op->a].pages &&
		       (op->kind == OP_STORE || op_changes_tables(m, op));
	if (op->kind == OP_PUNCH)
		return keep_first_page(op);
	return op->kind != OP_TRUNCATE || op->last != m->slots[op->a].pages;
}

/*
 * A memory error in a page that no store is going to touch. In each kernel a worker makes one
 * before the freeze, and one after it, where it must not matter that the pool is frozen.
 */
static bool choose_poison(struct worker *w, const struct model *m, struct op *op)
{
	bool frozen = __atomic_load_n(&w->common->frozen, __ATOMIC_SEQ_CST);
	const struct slot *a = &m->slots[op->a];

	op->first = draw(w, NR_BAD);
	return S_ISREG(a->mode) && op->b < NR_BLOCKS && w->journal->errors < 1U + frozen &&
	       w->journal->done[OP_POISON] < MAX_ERRORS &&
	       a->blocks[op->b].seed != SEED_HOLE && !(a->blocks[op->b].bad & 1U << op->first) &&
	       (frozen || !draw(w, 8));
}

static bool choose_op(struct worker *w, const struct model *m, struct op *op)
{
	const struct slot *a = &m->slots[op->a];

	switch (op->kind) {
	case OP_CREATE:
	case OP_MKDIR:
		return choose_new(w, m, op);
	case OP_REPLACE:
	case OP_EXCHANGE:
		return choose_pair(m, op);
	case OP_RMDIR:
		return is_dir(a) && !has_children(m, op->a);
	case OP_RENAME:
		return a->mode && choose_parent(w, m, is_dir(a), &op->parent);
	case OP_CHMOD:
		op->mode = (a->mode & S_IFMT) | 0600 | draw(w, 0200);
		return a->mode;
	case OP_POISON:
		return choose_poison(w, m, op);
	case OP_UNLINK:
		return S_ISREG(a->mode);
	case OP_SWAP:
		return S_ISREG(a->mode) && a->pages == NR_BLOCKS * BLOCK_PAGES;
	default:
		return S_ISREG(a->mode) && choose_pages(w, m, op);
	}
}

static void choose(struct worker *w, const struct model *m, struct op *op)
{
	struct journal *j = w->journal;

	do {
		*op = (struct op){
			.kind	= draw(w, NR_OPS + 4),
			.a	= draw(w, NR_SLOTS),
			.b	= draw(w, NR_SLOTS),
		};
		/* Faults and allocations are more frequent than other calls. */
		if (op->kind >= NR_OPS)
			op->kind = op->kind == NR_OPS ? OP_ALLOC : OP_STORE;
		op->name = j->serial + 1;
		op->seed = j->serial + 2;
	} while (!choose_op(w, m, op));
	j->serial++;
}

static void set_status(struct journal *j, uint64_t status)
{
	__atomic_store_n(&j->status, status, __ATOMIC_SEQ_CST);
}

static bool wrong(struct journal *j, int err, const char *why)
{
	snprintf(j->wrong, sizeof(j->wrong), "%s: %s (%s)", op_names[j->op.kind],
		 err ? strerror(-err) : "success", why);
	return false;
}

/* Compares the result of a call with the allowed results, and updates the journal. */
static bool told(struct worker *w, int err, bool frozen, bool changes)
{
	struct journal *j = w->journal;
	uint64_t model = j->status & STATUS_MODEL;

	if (!err) {
		set_status(j, !model);
		j->done[j->op.kind]++;
		j->late += frozen && !changes && j->op.kind != OP_POISON;
		j->late_errors += frozen && j->op.kind == OP_POISON;
		j->errors += j->op.kind == OP_POISON;
		return !frozen || !changes ||
		       wrong(j, err, "after another call, or a fault, had met the freeze");
	}
	set_status(j, model);
	if (err != -EBUSY || !changes || j->op.kind == OP_STORE)
		return wrong(j, err, frozen ? "after the freeze" : "before the freeze");
	j->frozen = 1;
	__atomic_store_n(&w->common->frozen, 1, __ATOMIC_SEQ_CST);
	j->busy[j->op.kind]++;
	return true;
}

static bool work(struct worker *w)
{
	struct journal *j = w->journal;
	uint64_t model = j->status & STATUS_MODEL;
	const struct model *m = &j->models[model];
	bool frozen, changes;
	int err;

	choose(w, m, &j->op);
	changes = op_changes_tables(m, &j->op);
	j->models[!model] = *m;
	op_apply(&j->models[!model], &j->op);
	frozen = __atomic_load_n(&w->common->frozen, __ATOMIC_SEQ_CST);
	j->frozen = frozen;
	set_status(j, model | STATUS_IN_FLIGHT);
	err = op_perform(&w->place, m, &j->op);
	return told(w, err, frozen, changes);
}

static void *worker(void *arg)
{
	struct worker *w = arg;

	for (unsigned int n = 0; work(w); n++)
		if (n == WARM)
			__atomic_add_fetch(&w->common->warm, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static struct common *common_of(void)
{
	return (void *)journal_of[0] + BLOCK_BYTES - sizeof(struct common);
}

static void map_journals(int flags)
{
	for (unsigned int i = 0; i < nr_workers; i++) {
		char path[PATH_BYTES];
		int fd;

		snprintf(path, sizeof(path), "%s/journal.%u", journals, i);
		fd = open(path, O_RDWR | flags, 0600);
		if (fd < 0 || (flags && fallocate(fd, 0, 0, BLOCK_BYTES)))
			err(1, "%s", path);
		journal_of[i] = mmap(NULL, BLOCK_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (journal_of[i] == MAP_FAILED)
			err(1, "mmap of %s", path);
		close(fd);
	}
}

static void run_workers(unsigned int first)
{
	struct worker w[THREADS];
	pthread_t threads[THREADS];

	/* fork() does not copy mappings of guestmemfs, so map the journals again. */
	map_journals(0);
	for (unsigned int i = 0; i < THREADS; i++) {
		w[i] = (struct worker){
			.place		= { dir, first + i, -1 },
			.journal	= journal_of[first + i],
			.common		= common_of(),
			.random		= __rdtsc() | 1,
		};
		if (pthread_create(&threads[i], NULL, worker, &w[i]))
			err(1, "pthread_create");
	}
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	/*
	 * A worker got a wrong result. Keep running: verify reports it from the journal after the
	 * kexec.
	 */
	for (;;)
		pause();
}

static int run(void)
{
	umask(0);
	catch_sigbus();
	for (unsigned int i = 0; i < nr_workers; i += THREADS) {
		pid_t pid = fork();

		if (pid < 0)
			err(1, "fork");
		if (!pid)
			run_workers(i);
	}
	while (__atomic_load_n(&common_of()->warm, __ATOMIC_SEQ_CST) < nr_workers)
		usleep(10000);
	puts("storming");
	fflush(stdout);
	for (;;)
		pause();
}

static int setup(void)
{
	for (int i = 0; i < NR_SHARED; i++) {
		char path[PATH_BYTES];

		snprintf(path, sizeof(path), "%s/d%d", dir, i);
		if (mkdir(path, 0700))
			err(1, "%s", path);
	}
	return 0;
}

static int verify(void)
{
	unsigned int bad = 0;

	for (unsigned int i = 0; i < nr_workers; i++) {
		struct place place = { dir, i, -1 };

		bad += !verify_worker(journal_of[i], &place);
	}
	bad += !verify_tree(dir, journal_of, nr_workers);
	*common_of() = (struct common){};
	return bad != 0;
}

/* A call that did not happen was not tested. */
static int seen(void)
{
	uint64_t busy = 0, late = 0, errors = 0, waits = 0, missing = 0;

	for (int op = 0; op < NR_OPS; op++) {
		uint64_t done = 0, refused = 0;

		for (unsigned int i = 0; i < nr_workers; i++) {
			done += journal_of[i]->done[op];
			refused += journal_of[i]->busy[op];
		}
		printf("%s: %lu done, %lu refused\n", op_names[op], done, refused);
		busy += refused;
		missing += !done;
	}
	for (unsigned int i = 0; i < nr_workers; i++) {
		late += journal_of[i]->late;
		errors += journal_of[i]->late_errors;
		waits += journal_of[i]->waits;
	}
	printf("after a freeze: %lu calls refused, %lu stores, %lu errors, %lu faults waited\n",
	       busy, late, errors, waits);
	return !busy || !late || !waits || missing;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(void);
		int flags;
	} commands[] = {
		{ "setup",	setup,	O_CREAT | O_EXCL },
		{ "run",	run,	0 },
		{ "verify",	verify,	0 },
		{ "seen",	seen,	0 },
	};

	for (int i = 0; argc == 5 && i < 4; i++) {
		if (strcmp(argv[1], commands[i].name))
			continue;
		dir = argv[2];
		journals = argv[3];
		nr_workers = atoi(argv[4]);
		if (!nr_workers || nr_workers > MAX_WORKERS || nr_workers % THREADS)
			errx(2, "%s: not an even number of workers up to %u", argv[4], MAX_WORKERS);
		map_journals(commands[i].flags);
		return commands[i].run();
	}
	errx(2, "usage: storm setup|run|verify|seen DIR JOURNALS WORKERS");
}
