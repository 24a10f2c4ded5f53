// SPDX-License-Identifier: GPL-2.0-only
/*
 * The host's page table entries for a file whose parts are converted to private and back: entries
 * are as large as fits, in each process that maps the file, without any call for it. Contents do
 * not change.
 */
#include <sys/prctl.h>
#include <sys/wait.h>

#include "gmem_fixture.h"
#include "leaves.h"

#define MIXED		(100 * BLOCK)
#define CONVERTED	(MIXED + 7 * PAGE)
#define SECONDS		5

/* Makes a file with shared pages and a descriptor. */
static int shared_file(const struct pool *p, const struct vmm *v, uint32_t flags, size_t size,
		       int *gmem)
{
	int fd = file_make(p, "ram", size);

	*gmem = gmem_create(fd, v->vm, flags);
	if (*gmem < 0 || gmem_convert(*gmem, 0, size, GMEM_SHARED))
		return -1;
	return fd;
}

/* Returns what a test with this many bytes lacks on this machine, or NULL. */
static const char *lacking(const struct pool *p, size_t size)
{
	if (access(LEAVES, R_OK))
		return "no " LEAVES;
	return p->free_blocks < size / BLOCK ? "too little is free" : NULL;
}

/* Reads each page of the mixed block, and a page of each other block. Returns how many failed. */
static int look_everywhere(const char *p)
{
	return look(p, MIXED, BLOCK) + look(p + MIXED, BLOCK, PAGE) +
	       look(p + MIXED + BLOCK, GIB - MIXED - BLOCK, BLOCK);
}

/* Converts one page of a gigabyte. */
TEST_F(gmem, page_of_a_gigabyte)
{
	const char *lacks = lacking(&self->p, GIB);
	int fd, gmem;
	char *p;

	if (lacks)
		SKIP(return, "%s", lacks);
	fd = shared_file(&self->p, &self->vmm, variant->flags, GIB, &gmem);
	p = map_file(fd, 0, GIB);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, poke(p + CONVERTED, 1));
	EXPECT_EQ(0, poke(p + GIB - 1, 2));
	EXPECT_LEAVES(p, GIB, 1, 0, 0, "1 GiB");
	ASSERT_EQ(0, gmem_convert(gmem, CONVERTED, PAGE, GMEM_PRIVATE));
	EXPECT_LEAVES(p, GIB, 0, 0, 0, "when a page of it was converted");
	EXPECT_EQ(1, look_everywhere(p));
	EXPECT_LEAVES(p, GIB, 0, 511, 511, "all but that page");
	ASSERT_EQ(0, gmem_convert(gmem, CONVERTED, PAGE, GMEM_SHARED));
	/* A smaller entry is only replaced by a larger one when the converted page is accessed. */
	EXPECT_EQ(2, peek(p + GIB - 1));
	EXPECT_LEAVES(p, GIB, 0, 511, 511, "converted back");
	EXPECT_EQ(1, peek(p + CONVERTED));
	EXPECT_LEAVES(p, GIB, 1, 0, 0, "and looked at");
	/* Convert in pieces, each of which leaves a mixed block; then all at once. */
	ASSERT_EQ(0, gmem_convert(gmem, MIXED, 2 * BLOCK, GMEM_PRIVATE));
	EXPECT_EQ(513, look_everywhere(p));
	EXPECT_LEAVES(p, GIB, 0, 510, 0, "two blocks converted");
	ASSERT_EQ(0, gmem_convert(gmem, MIXED + PAGE, BLOCK, GMEM_SHARED));
	EXPECT_EQ(1, look_everywhere(p));
	ASSERT_EQ(0, gmem_convert(gmem, MIXED + BLOCK + PAGE, BLOCK - PAGE, GMEM_SHARED));
	EXPECT_EQ(0, peek(p + MIXED + 2 * BLOCK - 1));
	EXPECT_EQ(1, look_everywhere(p));
	EXPECT_LEAVES(p, GIB, 0, 511, 511, "all but a page converted back");
	ASSERT_EQ(0, gmem_convert(gmem, 0, GIB, GMEM_SHARED));
	EXPECT_EQ(1, peek(p + CONVERTED));
	EXPECT_LEAVES(p, GIB, 1, 0, 0, "all of it converted back");
	EXPECT_EQ(GIB / 512, file_sectors(fd));
}

/* The file is too small for an entry larger than 2 MiB. */
TEST_F(gmem, page_of_a_block)
{
	const char *lacks = lacking(&self->p, 3 * BLOCK);
	int fd, gmem;
	char *p;

	if (lacks)
		SKIP(return, "%s", lacks);
	fd = shared_file(&self->p, &self->vmm, variant->flags, 3 * BLOCK, &gmem);
	p = map_file(fd, 0, 3 * BLOCK);
	ASSERT_NE(MAP_FAILED, p);
	fill(p, 3 * BLOCK, 1);
	EXPECT_LEAVES(p, 3 * BLOCK, 0, 3, 0, "three blocks");
	ASSERT_EQ(0, gmem_convert(gmem, BLOCK, PAGE, GMEM_PRIVATE));
	EXPECT_EQ(1, look(p, 3 * BLOCK, PAGE));
	EXPECT_LEAVES(p, 3 * BLOCK, 0, 2, 511, "a page of the second converted");
	ASSERT_EQ(0, gmem_convert(gmem, BLOCK, PAGE, GMEM_SHARED));
	EXPECT_LE(0, peek(p + 2 * BLOCK - 1));
	EXPECT_LEAVES(p, 3 * BLOCK, 0, 2, 511, "converted back");
	EXPECT_LE(0, peek(p + BLOCK));
	EXPECT_LEAVES(p, 3 * BLOCK, 0, 3, 0, "and looked at");
	/*
	 * Convert the second half of one block and the first half of the next. Each can have one
	 * entry when its half is converted back.
	 */
	ASSERT_EQ(0, gmem_convert(gmem, BLOCK / 2, BLOCK, GMEM_PRIVATE));
	EXPECT_EQ(512, look(p, 3 * BLOCK, PAGE));
	EXPECT_LEAVES(p, 3 * BLOCK, 0, 1, 512, "halves of two converted");
	ASSERT_EQ(0, gmem_convert(gmem, BLOCK, BLOCK / 2, GMEM_SHARED));
	EXPECT_EQ(256, look(p, 3 * BLOCK, PAGE));
	EXPECT_LEAVES(p, 3 * BLOCK, 0, 2, 256, "the second converted back");
	ASSERT_EQ(0, gmem_convert(gmem, 0, 3 * BLOCK, GMEM_SHARED));
	EXPECT_TRUE(is_filled(p, 3 * BLOCK, 1));
	EXPECT_LEAVES(p, 3 * BLOCK, 0, 3, 0, "the first as well");
	/* A block that was punched while it was mixed can have one entry again, and is zero. */
	ASSERT_EQ(0, gmem_convert(gmem, BLOCK, PAGE, GMEM_PRIVATE));
	EXPECT_EQ(1, look(p, 3 * BLOCK, PAGE));
	ASSERT_EQ(0, fallocate(fd, PUNCH, BLOCK, BLOCK));
	ASSERT_EQ(0, gmem_convert(gmem, BLOCK, PAGE, GMEM_SHARED));
	EXPECT_EQ(2 * BLOCK_SECTORS, file_sectors(fd));
	EXPECT_EQ(0, peek(p + BLOCK + 5 * PAGE));
	EXPECT_LEAVES(p, 3 * BLOCK, 0, 3, 0, "punched, and touched");
	EXPECT_TRUE(is_zero(p + BLOCK, BLOCK));
}

/* A fault with SIGBUS leaves empty page tables, which must not prevent a large entry later. */
TEST_F(gmem, tables_of_nothing)
{
	const char *lacks = lacking(&self->p, GIB);
	int fd, gmem;
	char *p;

	if (lacks)
		SKIP(return, "%s", lacks);
	fd = shared_file(&self->p, &self->vmm, variant->flags, GIB, &gmem);
	p = map_file(fd, 0, GIB);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, gmem_convert(gmem, 0, GIB, GMEM_PRIVATE));
	EXPECT_EQ(FAULT(SIGBUS), peek(p + MIXED));
	EXPECT_EQ(FAULT(SIGBUS), poke(p + CONVERTED, 1));
	EXPECT_LEAVES(p, GIB, 0, 0, 0, "1 GiB, private");
	EXPECT_EQ(0, file_sectors(fd));
	ASSERT_EQ(0, gmem_convert(gmem, 0, GIB, GMEM_SHARED));
	EXPECT_EQ(0, poke(p + CONVERTED, 1));
	EXPECT_LEAVES(p, GIB, 1, 0, 0, "1 GiB, shared");
	EXPECT_EQ(GIB / 512, file_sectors(fd));
}

/*
 * The other process: for each byte that it receives, it reads all pages and sends the counts of its
 * entries.
 */
static void child(int fd, int in, int out)
{
	char *p = map_file(fd, 0, GIB), byte;
	struct leaves l;

	while (read(in, &byte, 1) == 1) {
		look_everywhere(p);
		if (!count_leaves(p, GIB, &l) || write(out, &l, sizeof(l)) != sizeof(l))
			break;
	}
	_exit(0);
}

#define EXPECT_CHILD(puds, pmds, ptes) do {					\
	struct leaves _theirs = {};						\
										\
	EXPECT_EQ(1, write(in[1], "", 1));					\
	EXPECT_EQ(sizeof(_theirs), read(out[0], &_theirs, sizeof(_theirs)));	\
	EXPECT_EQ(puds, _theirs.pud);						\
	EXPECT_EQ(pmds, _theirs.pmd);						\
	EXPECT_EQ(ptes, _theirs.pte);						\
} while (0)

TEST_F(gmem, two_processes)
{
	const char *lacks = lacking(&self->p, GIB);
	int fd, gmem, in[2], out[2], status, i;
	pid_t pid;
	char *p;

	if (lacks)
		SKIP(return, "%s", lacks);
	fd = shared_file(&self->p, &self->vmm, variant->flags, GIB, &gmem);
	p = map_file(fd, 0, GIB);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, pipe(in));
	ASSERT_EQ(0, pipe(out));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		close(in[1]);
		child(fd, in[0], out[1]);
	}
	close(out[1]);
	/* The processes take turns with the first access after a conversion. */
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(0, poke(p + CONVERTED, i + 1));
		EXPECT_CHILD(1, 0, 0);
		ASSERT_EQ(0, gmem_convert(gmem, CONVERTED, PAGE, GMEM_PRIVATE));
		if (i)
			EXPECT_CHILD(0, 511, 511);
		EXPECT_EQ(1, look_everywhere(p));
		EXPECT_LEAVES(p, GIB, 0, 511, 511, "a page of 1 GiB converted");
		if (!i)
			EXPECT_CHILD(0, 511, 511);
		ASSERT_EQ(0, gmem_convert(gmem, CONVERTED, PAGE, GMEM_SHARED));
		if (i)
			EXPECT_CHILD(1, 0, 0);
		EXPECT_EQ(i + 1, peek(p + CONVERTED));
		EXPECT_LEAVES(p, GIB, 1, 0, 0, "converted back");
		EXPECT_CHILD(1, 0, 0);
	}
	close(in[1]);
	EXPECT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

/*
 * Faults race with conversions, while page tables are made and freed. Each block of the file has a
 * word that readers must find, unless its page is private, and one block is punched and filled
 * again.
 */
#define LOST		(200 * BLOCK)
#define NR_BLOCKS	(GIB / BLOCK)
#define WORD_AT(i)	((i) * BLOCK + 5 * PAGE)

static int ram, gmem_fd;
static char *map;
static bool stop;
static unsigned long wrong;
static unsigned long done[8];

static void is_wrong(const char *what, long detail)
{
	if (__atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED) < 10)
		printf("# wrong: %s, %#lx\n", what, detail);
}

/* Prefers blocks close to the converted and the punched ones. */
static unsigned int random_block(unsigned int *state)
{
	unsigned int near = next_random(state) % 4;

	if (near < 2)
		return (near ? LOST : MIXED) / BLOCK + next_random(state) % 4;
	return next_random(state) % NR_BLOCKS;
}

static void look_at_a_word(const char *p, unsigned int *state)
{
	unsigned int i = random_block(state);
	int value = peek(p + WORD_AT(i));

	if (value == i % 251 + 1 || (value == FAULT(SIGBUS) && i == MIXED / BLOCK))
		return;
	if (i != LOST / BLOCK || value)
		is_wrong("what is in a block", value);
}

static void looks(unsigned int *state)
{
	look_at_a_word(map, state);
}

static void writes(unsigned int *state)
{
	unsigned int i = random_block(state);

	if (poke(map + WORD_AT(i), i % 251 + 1) && i != MIXED / BLOCK)
		is_wrong("a write to a block", i);
}

static void converts(unsigned int *state)
{
	uint64_t page = MIXED + next_random(state) % 16 * PAGE;

	if (gmem_convert(gmem_fd, page, PAGE, GMEM_PRIVATE) ||
	    gmem_convert(gmem_fd, page, PAGE, GMEM_SHARED))
		is_wrong("a conversion", errno);
}

static void punches(unsigned int *state)
{
	if (fallocate(ram, PUNCH, LOST, BLOCK) ||
	    (next_random(state) % 2 && fallocate(ram, 0, LOST, BLOCK)))
		is_wrong("a hole", errno);
}

/* Makes mappings, cuts them, and removes them, while other threads remove their entries. */
static void maps(unsigned int *state)
{
	char *p = map_file(ram, 0, GIB);
	int i;

	if (p == MAP_FAILED) {
		is_wrong("a mapping", errno);
		return;
	}
	for (i = 0; i < 8; i++)
		look_at_a_word(p, state);
	if (next_random(state) % 2 && mprotect(p + MIXED, PAGE, PROT_READ))
		is_wrong("mprotect", errno);
	for (i = 0; i < 8; i++)
		look_at_a_word(p, state);
	munmap(p, GIB);
}

/* Walks the page tables, which delays the other threads. */
static void counts(unsigned int *state)
{
	struct leaves l;

	(void)state;
	usleep(300000);
	if (!count_leaves(map, GIB, &l) || l.pud > 1 || l.pmd > 512 || l.uncached)
		is_wrong("page tables", l.pmd);
}

static void (*const actions[])(unsigned int *state) = {
	looks, writes, writes, converts, punches, maps, counts,
};

static void *run(void *arg)
{
	size_t i = (size_t)arg;
	unsigned int state = 2463534242U + i;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		actions[i](&state);
		done[i]++;
		usleep(next_random(&state) % 300);
	}
	return NULL;
}

/* Runs the same actions in another process, until it is killed. */
static pid_t other_process(void)
{
	pid_t pid = fork();
	unsigned int state = 1;

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	map = map_file(ram, 0, GIB);
	while (map != MAP_FAILED && !wrong) {
		looks(&state);
		usleep(next_random(&state) % 300);
	}
	_exit(1);
}

TEST_F(gmem, race)
{
	const char *lacks = lacking(&self->p, GIB);
	pthread_t threads[ARRAY_SIZE(actions)];
	int status;
	pid_t pid;
	size_t i;

	if (lacks)
		SKIP(return, "%s", lacks);
	ram = shared_file(&self->p, &self->vmm, variant->flags, GIB, &gmem_fd);
	map = map_file(ram, 0, GIB);
	ASSERT_NE(MAP_FAILED, map);
	for (i = 0; i < NR_BLOCKS; i++)
		map[WORD_AT(i)] = i % 251 + 1;
	pid = other_process();
	ASSERT_LT(0, pid);
	for (i = 0; i < ARRAY_SIZE(actions); i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, run, (void *)i));
	sleep(SECONDS);
	EXPECT_EQ(0, waitpid(pid, &status, WNOHANG));
	kill(pid, SIGKILL);
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (i = 0; i < ARRAY_SIZE(actions); i++) {
		ASSERT_EQ(0, pthread_join(threads[i], NULL));
		/* An action that was never completed has tested nothing. */
		EXPECT_GT(done[i], 0);
		TH_LOG("action %zu: %lu times", i, done[i]);
	}
	EXPECT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, wrong);
	for (i = 0; i < NR_BLOCKS; i++)
		if (i != LOST / BLOCK)
			EXPECT_EQ(i % 251 + 1, peek(map + WORD_AT(i)));
	/*
	 * The hole is filled with the same block, so the first access makes one entry for the
	 * gigabyte.
	 */
	ASSERT_EQ(0, fallocate(ram, PUNCH, LOST, BLOCK));
	EXPECT_EQ(0, peek(map + LOST));
	EXPECT_LEAVES(map, GIB, 1, 0, 0, "after the race");
	EXPECT_EQ(GIB / 512, file_sectors(ram));
}

TEST_HARNESS_MAIN
