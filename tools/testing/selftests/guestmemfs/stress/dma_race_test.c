// SPDX-License-Identifier: GPL-2.0-only
/*
 * DMA pins race with operations that take memory away from files, for RACE_SECONDS. Each thread has
 * a file of its own, maps parts of it in an IO address space, writes a tag there as a device would,
 * and then lets the file lose the memory: as long as it is mapped, the tag must stay, i.e. no other
 * file may have got the memory. A file itself has nothing but zeroes and its own tags.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "fixture.h"
#include "ioas.h"

#define PUNCH		(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define SECONDS		"8"
#define MORE_SECONDS	200
#define NR_THREADS	3
#define BLOCKS		12UL
#define PAGES		(BLOCKS * BLOCK / PAGE)
/* Each thread has this much of the IO address space of all of them. */
#define IOVA_SIZE	(64 * MIB)
#define IOVA		(MOCK_APERTURE_START + 16 * MIB)

/**
 * struct dma_thread - a thread, and what it works on
 * @thread: the thread
 * @pool: the pool
 * @iommufd: descriptor of iommufd
 * @ioas: the IO address space
 * @access: a user in the kernel, which reads and writes at IO addresses
 * @iova: start of the thread's part of the address space
 * @nr: number of the thread
 * @seed: state of its random numbers
 * @fd: its file
 * @p: a mapping of the file
 * @rounds: how often it has mapped something
 * @refused: how often there was no memory for that
 * @wrong: a description of the first error, NULL if there was none
 */
struct dma_thread {
	pthread_t thread;
	const struct pool *pool;
	int iommufd;
	uint32_t ioas;
	int access;
	uint64_t iova;
	int nr;
	unsigned int seed;
	int fd;
	unsigned char *p;
	unsigned long rounds;
	unsigned long refused;
	const char *wrong;
};

static bool stop;

static void stop_all(void)
{
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
}

static bool stopped(void)
{
	return __atomic_load_n(&stop, __ATOMIC_RELAXED);
}

static void complain(struct dma_thread *t, const char *what)
{
	if (!t->wrong)
		t->wrong = what;
	stop_all();
}

static const char *dma_name(const struct dma_thread *t)
{
	static char names[NR_THREADS][16];

	snprintf(names[t->nr], sizeof(names[t->nr]), "dma%d", t->nr);
	return names[t->nr];
}

static bool dma_new_file(struct dma_thread *t)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", t->pool->dir, dma_name(t));
	t->fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (t->fd < 0 || ftruncate(t->fd, BLOCKS * BLOCK))
		return false;
	t->p = mmap(NULL, BLOCKS * BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
		    t->fd, 0);
	return t->p != MAP_FAILED;
}

static void dma_drop_file(struct dma_thread *t)
{
	char path[256];

	munmap(t->p, BLOCKS * BLOCK);
	close(t->fd);
	snprintf(path, sizeof(path), "%s/%s", t->pool->dir, dma_name(t));
	unlink(path);
}

/* Lets the file lose what is mapped, in one of several ways, or does something beside. */
static void dma_lose(struct dma_thread *t, size_t first, size_t pages)
{
	/* Whole blocks: a part of one stays in the file, and would be zeroed in place. */
	off_t start = first * PAGE & ~(BLOCK - 1);
	off_t end = ((first + pages) * PAGE + BLOCK - 1) & ~(BLOCK - 1);

	switch (rand_r(&t->seed) % 5) {
	case 0:
		fallocate(t->fd, PUNCH, start, end - start);
		break;
	case 1:
		if (ftruncate(t->fd, start) || ftruncate(t->fd, BLOCKS * BLOCK))
			complain(t, "truncating failed");
		break;
	case 2:
		dma_drop_file(t);
		if (!dma_new_file(t))
			complain(t, "no new file");
		break;
	case 3:
		fallocate(t->fd, 0, 0, BLOCKS * BLOCK);
		break;
	default:
		fallocate(t->fd, PUNCH, 0, BLOCKS * BLOCK);
		fallocate(t->fd, FALLOC_FL_KEEP_SIZE, 0, BLOCKS * BLOCK);
	}
}

/* A page of the file is all zeroes or all tags of this thread. */
static void dma_check_file(struct dma_thread *t)
{
	const unsigned char *page = t->p + rand_r(&t->seed) % PAGES * PAGE;
	int c = peek(page);
	size_t i;

	/* The pool may be full. */
	if (c == FAULT(SIGBUS))
		return;
	if (c && c % NR_THREADS != t->nr)
		complain(t, "a file has bytes of another one");
	for (i = 0; !t->wrong && i < PAGE; i += 512) {
		c = peek(page + i);
		if (c > 0 && c % NR_THREADS != t->nr)
			complain(t, "a page has bytes of another file");
	}
}

/* Takes memory away from the file of another thread, at any time. */
static void *dma_disturb(void *arg)
{
	const struct pool *pool = arg;
	unsigned int seed = 99;
	char path[256];
	int fd, ret = 0;

	while (!stopped()) {
		snprintf(path, sizeof(path), "%s/dma%d", pool->dir, rand_r(&seed) % NR_THREADS);
		fd = open(path, O_RDWR);
		switch (rand_r(&seed) % 3) {
		case 0:
			fallocate(fd, PUNCH, rand_r(&seed) % BLOCKS * BLOCK, BLOCK);
			break;
		case 1:
			ret |= ftruncate(fd, rand_r(&seed) % BLOCKS * BLOCK);
			ret |= ftruncate(fd, BLOCKS * BLOCK);
			break;
		default:
			fallocate(fd, 0, rand_r(&seed) % BLOCKS * BLOCK, BLOCK);
		}
		close(fd);
	}
	return ret ? arg : NULL;
}

static void dma_round(struct dma_thread *t)
{
	static __thread unsigned char buf[PAGE], seen[PAGE];
	size_t first = rand_r(&t->seed) % PAGES, at;
	size_t pages = 1 + rand_r(&t->seed) % (PAGES - first);
	/* Not 0, and another one for each thread. */
	unsigned char tag = NR_THREADS * (1 + rand_r(&t->seed) % 80) + t->nr;
	int err = ioas_map_file(t->iommufd, t->ioas, t->fd, first * PAGE, pages * PAGE, t->iova);

	t->rounds++;
	/* EINVAL: dma_disturb() has made the file shorter for a moment. */
	if (err == ENOSPC || err == EINVAL) {
		t->refused++;
		fallocate(t->fd, PUNCH, 0, BLOCKS * BLOCK);
		return;
	}
	if (err)
		return complain(t, "mapping failed");
	memset(buf, tag, PAGE);
	at = rand_r(&t->seed) % pages;
	if (access_rw(t->iommufd, t->access, t->iova + at * PAGE, buf, PAGE,
		      MOCK_ACCESS_RW_WRITE))
		return complain(t, "the device could not write");
	dma_lose(t, first, pages);
	dma_check_file(t);
	sched_yield();
	if (access_rw(t->iommufd, t->access, t->iova + at * PAGE, seen, PAGE, 0))
		return complain(t, "the device could not read");
	if (memcmp(seen, buf, PAGE))
		complain(t, "what the device wrote has changed");
	if (ioas_unmap(t->iommufd, t->ioas, t->iova, pages * PAGE))
		complain(t, "unmapping failed");
}

static void *dma_run(void *arg)
{
	struct dma_thread *t = arg;

	while (!stopped())
		dma_round(t);
	return NULL;
}

TEST_F_TIMEOUT(in_pool, dma_race, MORE_SECONDS)
{
	int seconds = atoi(getenv("RACE_SECONDS") ?: SECONDS), iommufd, i, access;
	struct dma_thread threads[NR_THREADS] = {};
	pthread_t disturber;
	uint32_t ioas, hwpt;

	iommufd = open("/dev/iommu", O_RDWR);
	if (iommufd < 0 || ioas_alloc(iommufd, &ioas) || mock_attach(iommufd, ioas, &hwpt))
		SKIP(return, "no mock domains");
	access = access_open(iommufd, ioas);
	ASSERT_GE(access, 0);
	for (i = 0; i < NR_THREADS; i++) {
		threads[i] = (struct dma_thread){
			.pool = &self->p, .iommufd = iommufd, .ioas = ioas, .access = access,
			.iova = IOVA + i * IOVA_SIZE, .nr = i, .seed = i + 1,
		};
		ASSERT_TRUE(dma_new_file(&threads[i]));
		ASSERT_EQ(0, pthread_create(&threads[i].thread, NULL, dma_run, &threads[i]));
	}
	ASSERT_EQ(0, pthread_create(&disturber, NULL, dma_disturb, &self->p));
	for (i = 0; i < seconds && !stopped(); i++)
		sleep(1);
	stop_all();
	pthread_join(disturber, NULL);
	for (i = 0; i < NR_THREADS; i++) {
		pthread_join(threads[i].thread, NULL);
		TH_LOG("thread %d: %lu rounds, %lu without memory", i, threads[i].rounds,
		       threads[i].refused);
		EXPECT_STREQ("", threads[i].wrong ?: "");
		EXPECT_GE(threads[i].rounds, 3);
		dma_drop_file(&threads[i]);
	}
	close(access);
	close(iommufd);
	EXPECT_EQ(0, pool_sysfs(&self->p, "pinned"));
	EXPECT_EQ(0, pool_sysfs(&self->p, "detached"));
	EXPECT_EQ(self->p.free_blocks, pool_free_blocks(&self->p));
}

TEST_HARNESS_MAIN
