// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults of all sizes race with operations that remove memory, names and mounts, for RACE_SECONDS.
 * At the end, a byte of a file is zero or has the tag of that file, and each block of a pool is
 * free or belongs to one file, and is zero when it is allocated again.
 */
#include <fcntl.h>
#include <ftw.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <time.h>

#include "harness.h"
#include "race.h"

#define SECONDS		"8"
#define MORE_SECONDS	200

/* The most extents that FIEMAP returns for a file. */
#define NR_EXTENTS	64

/* A physical range that belongs to a file. */
struct piece {
	uint64_t phys;
	uint64_t len;
};

static struct piece *pieces;
static size_t nr_pieces, max_pieces;
static unsigned long bad;
static unsigned long done[NR_ACTIONS];

FIXTURE(race)
{
	int nr;
	struct pool p;
	struct pool other;
};

FIXTURE_SETUP(race)
{
	int nodes[MAX_POOLS];

	self->nr = pool_nodes(nodes);
	if (!self->nr)
		SKIP(return, "no pool on this machine");
	ASSERT_TRUE(pool_setup(&self->p, nodes[0]));
	race.pool = &self->p;
	race.other = &self->p;
	/* This pool is not mounted at the start. */
	if (self->nr > 1) {
		ASSERT_TRUE(pool_setup(&self->other, nodes[1]));
		ASSERT_EQ(0, umount(self->other.mnt));
		race.other = &self->other;
	}
	catch_faults();
}

FIXTURE_TEARDOWN_PARENT(race)
{
	if (self->nr)
		EXPECT_STREQ("", pool_teardown(&self->p) ?: "");
	if (self->nr > 1)
		EXPECT_STREQ("", pool_teardown(&self->other) ?: "");
}

static time_t seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

static void *run(void *arg)
{
	size_t i = (size_t)arg;
	unsigned int state = 2463534242U + i;

	while (!race_stopped()) {
		done[i] += race_actions[i].once(&state);
		/* There are fewer CPUs than threads: let the threads that fault run. */
		usleep(race_random(&state) % 1000);
	}
	return NULL;
}

/* Has each action been completed? */
static bool have_begun(void)
{
	size_t i;

	for (i = 0; i < NR_ACTIONS; i++)
		if (!__atomic_load_n(&done[i], __ATOMIC_RELAXED))
			return false;
	return true;
}

/* Adds the physical ranges of the file. Returns their total size. */
static uint64_t add_pieces(int fd)
{
	union {
		struct fiemap map;
		char room[sizeof(struct fiemap) + NR_EXTENTS * sizeof(struct fiemap_extent)];
	} e;
	uint64_t next = 0, sum = 0;
	unsigned int i;
	bool last;

	do {
		memset(&e, 0, sizeof(e));
		e.map.fm_start = next;
		e.map.fm_length = FIEMAP_MAX_OFFSET - next;
		e.map.fm_extent_count = NR_EXTENTS;
		if (ioctl(fd, FS_IOC_FIEMAP, &e.map)) {
			bad++;
			break;
		}
		last = !e.map.fm_mapped_extents;
		for (i = 0; i < e.map.fm_mapped_extents && nr_pieces < max_pieces; i++) {
			struct fiemap_extent *extent = &e.map.fm_extents[i];

			bad += !extent->fe_physical || extent->fe_flags & FIEMAP_EXTENT_UNKNOWN;
			pieces[nr_pieces++] = (struct piece){ extent->fe_physical,
							      extent->fe_length };
			next = extent->fe_logical + extent->fe_length;
			sum += extent->fe_length;
			last |= extent->fe_flags & FIEMAP_EXTENT_LAST;
		}
	} while (!last && nr_pieces < max_pieces);
	return sum;
}

static bool has_only(const unsigned char *page, unsigned char tag)
{
	size_t i;

	if (is_zero(page, PAGE))
		return true;
	for (i = 0; i < PAGE; i++)
		if (page[i] && page[i] != tag)
			return false;
	return true;
}

/* Checks all bytes that are not in holes. */
static bool is_tag_or_zero(int fd, unsigned char tag)
{
	off_t start, end = 0, at;
	bool right = true;

	while (right && (start = lseek(fd, end, SEEK_DATA)) >= 0) {
		char *p;

		end = lseek(fd, start, SEEK_HOLE);
		p = map_file(fd, start, end - start);
		if (p == MAP_FAILED)
			return false;
		for (at = 0; right && at < end - start; at += PAGE)
			right = has_only((unsigned char *)p + at, tag);
		munmap(p, end - start);
	}
	return right;
}

static int look_at(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	const char *name = path + ftw->base;
	unsigned char tag = GUEST_TAG;
	int fd;

	if (type != FTW_F)
		return 0;
	if (!strncmp(name, "file", 4))
		tag = FILE_TAG(name[4] - '0');
	else if (name[0] == 'n')
		tag = NAME_TAG;
	fd = open(path, O_RDWR);
	if (add_pieces(fd) != st->st_blocks * 512UL || !is_tag_or_zero(fd, tag)) {
		ksft_print_msg("%s is wrong\n", path);
		bad++;
	}
	close(fd);
	return 0;
}

static int by_address(const void *a, const void *b)
{
	const struct piece *x = a, *y = b;

	return x->phys < y->phys ? -1 : x->phys > y->phys;
}

/*
 * Makes a file with all free blocks: together with the other files, it has each block of the pool
 * once.
 */
static void verify_pool(struct __test_metadata *_metadata, const struct pool *p)
{
	uint64_t sum = 0;
	struct statfs st;
	size_t i, nr_free;
	char *map;
	int fd;

	ASSERT_EQ(0, statfs(p->mnt, &st));
	max_pieces = st.f_blocks + 1;
	nr_pieces = 0;
	bad = 0;
	pieces = calloc(max_pieces, sizeof(*pieces));
	ASSERT_NE(NULL, pieces);
	ASSERT_EQ(0, nftw(p->mnt, look_at, 16, FTW_PHYS | FTW_MOUNT));
	nr_free = st.f_bfree;
	fd = file_make(p, "rest", 0);
	ASSERT_EQ(0, fallocate(fd, 0, 0, nr_free * BLOCK));
	EXPECT_EQ(0, pool_free_blocks(p));
	EXPECT_EQ(nr_free * BLOCK, add_pieces(fd));
	EXPECT_GT(max_pieces, nr_pieces);
	qsort(pieces, nr_pieces, sizeof(*pieces), by_address);
	for (i = 0; i < nr_pieces; i++) {
		sum += pieces[i].len;
		bad += i && pieces[i - 1].phys + pieces[i - 1].len > pieces[i].phys;
	}
	EXPECT_EQ(0, bad);
	EXPECT_EQ(st.f_blocks * BLOCK, sum);
	map = map_file(fd, 0, nr_free * BLOCK);
	ASSERT_NE(MAP_FAILED, map);
	for (i = 0; i < nr_free; i++)
		bad += !is_zero(map + i * BLOCK, BLOCK);
	EXPECT_EQ(0, bad);
	ASSERT_EQ(0, munmap(map, nr_free * BLOCK));
	close(fd);
	EXPECT_EQ(0, unlink(pool_path(p, "rest")));
	EXPECT_EQ(nr_free, pool_free_blocks(p));
	free(pieces);
}

static void unlink_all(const struct pool *p, const char *format, int nr)
{
	char name[16];

	for (int i = 0; i < nr; i++) {
		snprintf(name, sizeof(name), format, i);
		unlink(pool_path(p, name));
	}
}

static void run_all(struct __test_metadata *_metadata)
{
	int length = atoi(getenv("RACE_SECONDS") ?: SECONDS);
	pthread_t threads[NR_ACTIONS];
	time_t last;
	size_t i;

	ASSERT_GT(length, 0);
	for (i = 0; i < NR_ACTIONS; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, run, (void *)i));
	sleep(length);
	/* Wait longer on a slow machine. */
	last = seconds() + MORE_SECONDS;
	while (!have_begun() && seconds() < last)
		sleep(1);
	__atomic_store_n(&race.stop, true, __ATOMIC_RELAXED);
	for (i = 0; i < NR_ACTIONS; i++) {
		ASSERT_EQ(0, pthread_join(threads[i], NULL));
		/* An action that was never completed has tested nothing. */
		EXPECT_GT(done[i], 0);
		TH_LOG("%s: %lu times", race_actions[i].name, done[i]);
	}
	EXPECT_EQ(0, race.wrong)
		TH_LOG("first at line %d of race.c", race.line);
}

TEST_F_TIMEOUT(race, all_against_all, 1200)
{
	char name[16];
	int i;

	for (i = 0; i < NR_FILES; i++) {
		snprintf(name, sizeof(name), "file%d", i);
		race.fds[i] = file_make(&self->p, name, race_size(i));
		ASSERT_GE(race.fds[i], 0);
	}
	run_all(_metadata);
	for (i = 0; i < NR_FILES; i++)
		close(race.fds[i]);
	/* A mount checks all tables. */
	ASSERT_EQ(0, pool_remount(&self->p));
	verify_pool(_metadata, &self->p);
	unlink_all(&self->p, "file%d", NR_FILES);
	unlink_all(&self->p, "n%d", NR_NAMES);
	unlink_all(&self->p, "g%d", NR_GUESTS);
	if (self->nr > 1) {
		ASSERT_EQ(0, pool_mount_at(self->other.node, self->other.mnt, 0));
		verify_pool(_metadata, &self->other);
	}
	EXPECT_EQ(self->p.free_blocks, pool_free_blocks(&self->p));
	ASSERT_EQ(0, pool_remount(&self->p));
	EXPECT_EQ(self->p.free_blocks, pool_free_blocks(&self->p));
	verify_pool(_metadata, &self->p);
}

TEST_HARNESS_MAIN
