// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory errors across kexecs: the VM test poison runs this in each of its kernels, with the pool
 * of node 0 mounted on /mnt/node0. The first kernel makes errors, all later ones know of them.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "harness.h"
#include "pins.h"
#include "poison.h"

#define MNT		"/mnt/node0"
#define RAM		MNT "/ram"
#define BAD		(5 * BLOCK + 77 * PAGE)
#define POISONED	(GUESTMEMFS_STATE_ALLOCATED | GUESTMEMFS_STATE_POISONED)

static const struct pool pool = { .node = 0, .mnt = MNT };

/* The addresses of the bad frames: in a file, free, and free in a pool that was not mounted. */
#define FRAMES	3

static const char *state_file(void)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/frames", getenv("STATE") ?: "/tmp");
	return path;
}

static bool frames_keep(const uint64_t *frames)
{
	int fd = open(state_file(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
	bool done = write(fd, frames, FRAMES * sizeof(*frames)) == FRAMES * sizeof(*frames);

	return !close(fd) && done;
}

static bool frames_kept(uint64_t *frames)
{
	int fd = open(state_file(), O_RDONLY);
	bool done = read(fd, frames, FRAMES * sizeof(*frames)) == FRAMES * sizeof(*frames);

	close(fd);
	return done;
}

/* The addresses of two blocks that are free. */
static bool free_frames(uint64_t *first, uint64_t *second)
{
	int fd = open(MNT, O_RDWR | O_TMPFILE, 0600);
	bool done = !ftruncate(fd, 2 * BLOCK) && !fallocate(fd, 0, 0, 2 * BLOCK);

	*first = file_phys(fd, 3 * PAGE);
	*second = file_phys(fd, BLOCK + 4 * PAGE);
	return !close(fd) && done;
}

static void make(struct __test_metadata *_metadata)
{
	int fd = open(RAM, O_RDWR | O_CREAT, 0600);
	uint64_t frames[FRAMES];
	char *p;

	ASSERT_EQ(0, ftruncate(fd, 8 * BLOCK));
	p = map_file(fd, 0, 8 * BLOCK);
	ASSERT_NE(MAP_FAILED, (void *)p);
	fill(p, 8 * BLOCK, 1);
	frames[0] = file_phys(fd, BAD);
	ASSERT_TRUE(free_frames(&frames[1], &frames[2]));
	ASSERT_TRUE(frames_keep(frames));
	EXPECT_EQ(0, poison_frame(frames[0]));
	EXPECT_EQ(0, poison_frame(frames[1]));
	EXPECT_EQ(2 * PAGE, pool_sysfs(&pool, "poisoned"));
	EXPECT_EQ(BLOCK, pool_sysfs(&pool, "lost"));
}

/* All memory that is free goes to a file. None of it is bad. */
static void use_the_rest(struct __test_metadata *_metadata, const uint64_t *frames)
{
	int fd = open(MNT, O_RDWR | O_TMPFILE, 0600);
	struct statfs st;
	uint64_t at, phys;
	char *p;

	ASSERT_EQ(0, fstatfs(fd, &st));
	ASSERT_EQ(0, ftruncate(fd, st.f_bavail * BLOCK));
	ASSERT_EQ(0, fallocate(fd, 0, 0, st.f_bavail * BLOCK));
	p = map_file(fd, 0, st.f_bavail * BLOCK);
	ASSERT_NE(MAP_FAILED, (void *)p);
	for (at = 0; at < st.f_bavail * BLOCK; at += BLOCK) {
		phys = file_phys(fd, at) / BLOCK;
		EXPECT_NE(frames[0] / BLOCK, phys);
		EXPECT_NE(frames[1] / BLOCK, phys);
		EXPECT_NE(frames[2] / BLOCK, phys);
		EXPECT_EQ(0, poke(p + at, 1));
	}
	close(fd);
}

static void is_known(struct __test_metadata *_metadata, int fd)
{
	char *p = map_file(fd, 0, 8 * BLOCK);
	uint64_t frames[FRAMES];
	int i;

	ASSERT_NE(MAP_FAILED, (void *)p);
	ASSERT_TRUE(frames_kept(frames));
	EXPECT_EQ(3 * PAGE, pool_sysfs(&pool, "poisoned"));
	EXPECT_EQ(2 * BLOCK, pool_sysfs(&pool, "lost"));
	for (i = 0; i < FRAMES; i++) {
		EXPECT_TRUE(is_listed(pool.node, frames[i]));
		EXPECT_EQ(EHWPOISON, poison_frame(frames[i]));
	}
	EXPECT_EQ(frames[0], file_phys(fd, BAD));
	EXPECT_TRUE(pages_have(fd, BAD, BAD + PAGE, POISONED));
	EXPECT_TRUE(poison_touch(p + BAD));
	EXPECT_EQ(BUS_MCEERR_AR, poison_signal.code);
	EXPECT_EQ((void *)(p + BAD), poison_signal.addr);
	EXPECT_TRUE(is_filled(p, BAD, 1));
	EXPECT_EQ((1UL << 40) + (BAD + PAGE) / 8 + 1, *(uint64_t *)(p + BAD + PAGE));
	munmap(p, 8 * BLOCK);
	use_the_rest(_metadata, frames);
}

TEST(kernel)
{
	int fd = open(RAM, O_RDWR);

	poison_catch();
	if (fd < 0)
		make(_metadata);
	else
		is_known(_metadata, fd);
}

/* While the pool is not mounted: "poison_hop_test unmounted" in the first kernel. */
int main(int argc, char **argv)
{
	uint64_t frames[FRAMES];

	if (argc == 2 && !strcmp(argv[1], "unmounted"))
		return !frames_kept(frames) || poison_frame(frames[2]);
	return test_harness_run(argc, argv);
}
