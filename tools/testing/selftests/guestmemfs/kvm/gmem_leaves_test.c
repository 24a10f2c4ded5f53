// SPDX-License-Identifier: GPL-2.0-only
/*
 * How the host maps a file whose parts become private and shared again: in large
 * page table entries as soon as they fit, in every process that maps it, and
 * without anybody asking. What is in the file stays.
 */
#include <sys/prctl.h>
#include <sys/wait.h>

#include "gmem_fixture.h"
#include "leaves.h"

#define MIXED		(100 * BLOCK)
#define CONVERTED	(MIXED + 7 * PAGE)
#define SECONDS		5

/* A file whose pages all are shared, and its descriptor. */
static int shared_file(const struct pool *p, const struct vmm *v, uint32_t flags, size_t size,
		       int *gmem)
{
	int fd = file_make(p, "ram", size);

	*gmem = gmem_create(fd, v->vm, flags);
	if (*gmem < 0 || gmem_convert(*gmem, 0, size, GMEM_SHARED))
		return -1;
	return fd;
}

/* What a test that needs so many bytes does not have, or NULL. */
static const char *lacking(const struct pool *p, size_t size)
{
	if (access(LEAVES, R_OK))
		return "no " LEAVES;
	return p->free_blocks < size / BLOCK ? "too little is free" : NULL;
}

/* Every page of the mixed block, and one of every other one. Returns how many failed. */
static int look_everywhere(const char *p)
{
	return look(p, MIXED, BLOCK) + look(p + MIXED, BLOCK, PAGE) +
	       look(p + MIXED + BLOCK, GIB - MIXED - BLOCK, BLOCK);
}

/* One page of a gigabyte. */
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
	/* Nothing goes that can be seen, be it for a larger entry, until the page is used. */
	EXPECT_EQ(2, peek(p + GIB - 1));
	EXPECT_LEAVES(p, GIB, 0, 511, 511, "converted back");
	EXPECT_EQ(1, peek(p + CONVERTED));
	EXPECT_LEAVES(p, GIB, 1, 0, 0, "and looked at");
	/* By pieces, each of which leaves its block in parts; and all at once. */
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

/* A file that is too small for a larger entry than 2 MiB. */
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
	/* Over the end of a block: both are whole again when both halves are back. */
	ASSERT_EQ(0, gmem_convert(gmem, BLOCK / 2, BLOCK, GMEM_PRIVATE));
	EXPECT_EQ(512, look(p, 3 * BLOCK, PAGE));
	EXPECT_LEAVES(p, 3 * BLOCK, 0, 1, 512, "halves of two converted");
	ASSERT_EQ(0, gmem_convert(gmem, BLOCK, BLOCK / 2, GMEM_SHARED));
	EXPECT_EQ(256, look(p, 3 * BLOCK, PAGE));
	EXPECT_LEAVES(p, 3 * BLOCK, 0, 2, 256, "the second converted back");
	ASSERT_EQ(0, gmem_convert(gmem, 0, 3 * BLOCK, GMEM_SHARED));
	EXPECT_TRUE(is_filled(p, 3 * BLOCK, 1));
	EXPECT_LEAVES(p, 3 * BLOCK, 0, 3, 0, "the first as well");
	/* What was punched while it was in parts comes back as one, and zero. */
	ASSERT_EQ(0, gmem_convert(gmem, BLOCK, PAGE, GMEM_PRIVATE));
	EXPECT_EQ(1, look(p, 3 * BLOCK, PAGE));
	ASSERT_EQ(0, fallocate(fd, PUNCH, BLOCK, BLOCK));
	ASSERT_EQ(0, gmem_convert(gmem, BLOCK, PAGE, GMEM_SHARED));
	EXPECT_EQ(2 * BLOCK_SECTORS, file_sectors(fd));
	EXPECT_EQ(0, peek(p + BLOCK + 5 * PAGE));
	EXPECT_LEAVES(p, 3 * BLOCK, 0, 3, 0, "punched, and touched");
	EXPECT_TRUE(is_zero(p + BLOCK, BLOCK));
}

/* A fault that ends in SIGBUS leaves tables with nothing in them. */
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

/* Another process: for each byte that it gets it looks at all, and says what it has. */
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
	/* Each of them may be the first to look. */
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
 * Faults against conversions, with tables coming and going below them. The file
 * has a word in each of its blocks, which only conversions keep from its readers,
 * and a block that is punched and filled.
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

/* Close to what is converted and punched, and anywhere. */
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

/* Mappings that come, are cut, and go, while others take entries out of them. */
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

/* Whatever it is now, the page tables can be walked. Which keeps all others waiting. */
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

/* Another process with the same file, until it is killed. */
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
		/* Somebody who never came to anything has tested nothing. */
		EXPECT_GT(done[i], 0);
		TH_LOG("action %zu: %lu times", i, done[i]);
	}
	EXPECT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, wrong);
	for (i = 0; i < NR_BLOCKS; i++)
		if (i != LOST / BLOCK)
			EXPECT_EQ(i % 251 + 1, peek(map + WORD_AT(i)));
	/* Holes are filled where they were; and then it is one again, the first time. */
	ASSERT_EQ(0, fallocate(ram, PUNCH, LOST, BLOCK));
	EXPECT_EQ(0, peek(map + LOST));
	EXPECT_LEAVES(map, GIB, 1, 0, 0, "after the race");
	EXPECT_EQ(GIB / 512, file_sectors(ram));
}

TEST_HARNESS_MAIN
