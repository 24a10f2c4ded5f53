// SPDX-License-Identifier: GPL-2.0-only
/*
 * The process of a virtual machine is killed while its guest runs, and another process converts and
 * punches the file with its memory. The conversions and punches must not access page tables that
 * were freed, and the blocks of killed machines must become free.
 */
#include <sys/wait.h>

#include "gmem_fixture.h"

#define NR_BLOCKS	16U
#define SIZE		(NR_BLOCKS * BLOCK)
#define BLOCK_PAGES	512U
#define NR_PAGES	(NR_BLOCKS * BLOCK_PAGES)
/* Each slot is a binding of its own, so that unbinding all of them takes a while. */
#define SLOT_SIZE	BLOCK
#define NR_SLOTS	(SIZE / SLOT_SIZE)
/* With fewer deaths than this, the test has tested nothing, even on a slow machine. */
#define MIN_DEATHS	10

static int ram, gmem;
static bool stop;
static unsigned long changes[2];
static unsigned long wrong;

static bool stopped(void)
{
	return __atomic_load_n(&stop, __ATOMIC_RELAXED);
}

/* Converts some pages, up to all of the file. Returns an errno. */
static int convert_some(unsigned int *state)
{
	unsigned int first = next_random(state) % NR_PAGES;
	unsigned int nr = next_random(state) % 2 ? 1 : 1 + next_random(state) % (NR_PAGES - first);

	return ERR(gmem_convert(gmem, first * PAGE, nr * PAGE,
				next_random(state) % 2 ? GMEM_PRIVATE : GMEM_SHARED));
}

static int punch_some(unsigned int *state)
{
	unsigned int first = next_random(state) % NR_BLOCKS;
	unsigned int nr = 1 + next_random(state) % (NR_BLOCKS - first);

	return ERR(fallocate(ram, PUNCH, first * BLOCK, nr * BLOCK));
}

static int (*const changers[])(unsigned int *state) = { convert_some, punch_some };

static void *change(void *arg)
{
	size_t i = (size_t)arg;
	unsigned int state = 2463534242U + i;
	int err;

	while (!stopped()) {
		err = changers[i](&state);
		if (err && !__atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED))
			printf("# changer %zu: %s\n", i, strerror(err));
		changes[i]++;
		usleep(next_random(&state) % 200);
	}
	return NULL;
}

static bool bind_all(const struct vmm *v, int own)
{
	unsigned int i;

	for (i = 0; i < NR_SLOTS; i++)
		if (vmm_bind(v, FILE_SLOT + i, FILE_GPA + i * SLOT_SIZE, SLOT_SIZE, own,
			     i * SLOT_SIZE))
			return false;
	return true;
}

/*
 * The process that is killed: it writes to @ready when its guest has accessed memory, and never
 * returns.
 */
static void victim(unsigned long type, uint32_t flags, int ready)
{
	unsigned int state = 88172645U + getpid();
	struct vcpu cpu;
	struct vmm v;
	int own, i;

	if (vmm_make(&v, type) || vcpu_make(&v, &cpu, 0))
		_exit(1);
	own = gmem_create(ram, v.vm, flags);
	if (own < 0 || !bind_all(&v, own))
		_exit(2);
	for (i = 0; ; i++) {
		/* Ignore memory that the guest cannot access at the moment. */
		if (guest_store(&cpu, FILE_GPA + next_random(&state) % NR_PAGES * PAGE, i) ==
		    VCPU_ASTRAY)
			_exit(3);
		if (i == 20 && write(ready, "", 1) != 1)
			_exit(4);
	}
}

/* Returns the signal that has killed the child, or its negative exit status. */
static int life_and_death(unsigned long type, uint32_t flags, unsigned int *state)
{
	int ends[2], status;
	pid_t child;
	char byte;

	if (pipe(ends))
		return 0;
	child = fork();
	if (!child)
		victim(type, flags, ends[1]);
	close(ends[1]);
	/* The pipe is closed without a byte if the child has exited by itself. */
	if (child > 0 && read(ends[0], &byte, 1) == 1) {
		usleep(next_random(state) % 5000);
		kill(child, SIGKILL);
	}
	close(ends[0]);
	if (child < 0 || waitpid(child, &status, 0) != child)
		return 0;
	return WIFSIGNALED(status) ? WTERMSIG(status) : -WEXITSTATUS(status);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

TEST_F(gmem, killed_while_its_memory_changes)
{
	pthread_t threads[ARRAY_SIZE(changers)];
	unsigned int state = 362436069U;
	int deaths = 0;
	double end;
	size_t i;

	ASSERT_GT(race_seconds(), 0);
	ram = file_make(&self->p, "ram", SIZE);
	gmem = gmem_create(ram, self->vmm.vm, variant->flags);
	ASSERT_GE(gmem, 0);
	for (i = 0; i < ARRAY_SIZE(changers); i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, change, (void *)i));
	for (end = now() + race_seconds(); deaths < MIN_DEATHS || now() < end; deaths++)
		ASSERT_EQ(SIGKILL, life_and_death(variant->type, variant->flags, &state))
			TH_LOG("after %d deaths", deaths);
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (i = 0; i < ARRAY_SIZE(changers); i++) {
		ASSERT_EQ(0, pthread_join(threads[i], NULL));
		EXPECT_GT(changes[i], 0);
	}
	TH_LOG("%d deaths, %lu conversions, %lu holes", deaths, changes[0], changes[1]);
	EXPECT_EQ(0, wrong);
	/* The killed machines have left no block allocated. */
	ASSERT_EQ(0, fallocate(ram, PUNCH, 0, SIZE));
	EXPECT_EQ(0, file_sectors(ram));
	EXPECT_EQ(self->p.free_blocks, pool_free_blocks(&self->p));
	/* The machine of the fixture still works. */
	ASSERT_EQ(0, vmm_bind(&self->vmm, FILE_SLOT, FILE_GPA, SIZE, gmem, 0));
	ASSERT_EQ(0, gmem_convert(gmem, 0, SIZE, GMEM_SHARED));
	EXPECT_EQ(VCPU_DONE, guest_store(&self->cpu, FILE_GPA + SIZE - 8, 7));
	EXPECT_EQ(7, guest_load(&self->cpu, FILE_GPA + SIZE - 8));
}

TEST_HARNESS_MAIN
