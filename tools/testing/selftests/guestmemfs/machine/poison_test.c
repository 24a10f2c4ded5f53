// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory errors in one kernel: signals, the pages beside a bad one, and the memory that is lost.
 * poison_hop_test takes errors across kexecs. The VM test poison runs both, since the pool stays
 * smaller afterwards.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gmem.h"
#include "harness.h"
#include "leaves.h"
#include "move.h"
#include "pins.h"
#include "poison.h"
#include "userfault.h"
#include "vmm.h"

#define PUNCH		(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define ZERO		(FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE)
#define POISONED	(GUESTMEMFS_STATE_ALLOCATED | GUESTMEMFS_STATE_POISONED)
#define BAD		(5 * BLOCK + 77 * PAGE)
#define GPA		(4 * GIB)

FIXTURE(poison)
{
	struct pool p;
	struct poison_before before;
};

FIXTURE_SETUP(poison)
{
	int pools = poison_begin(&self->p, &self->before);

	if (!pools)
		SKIP(return, "no pool on this machine");
	ASSERT_EQ(1, pools);
}

FIXTURE_TEARDOWN_PARENT(poison)
{
	EXPECT_STREQ("", poison_end(&self->p, &self->before) ?: "");
}

/* A process that has not asked for more is told when it touches the page, with the address. */
TEST_F(poison, touched)
{
	int fd = file_make(&self->p, "ram", 8 * BLOCK);
	char *p = map_file(fd, 0, 8 * BLOCK);
	uint64_t phys;

	ASSERT_NE(MAP_FAILED, (void *)p);
	fill(p, 8 * BLOCK, 1);
	phys = file_phys(fd, BAD);
	ASSERT_EQ(0, poison_frame(phys));
	EXPECT_EQ(0, poison_signal.nr);
	EXPECT_EQ(self->before.poisoned + PAGE, pool_sysfs(&self->p, "poisoned"));
	EXPECT_TRUE(is_bad(p + BAD));
	EXPECT_TRUE(is_bad(p + BAD));
	/* All other bytes are there. */
	EXPECT_TRUE(is_filled(p, BAD, 1));
	EXPECT_EQ(((uint64_t *)(p + BAD + PAGE))[0], (1UL << 40) + (BAD + PAGE) / 8 + 1);
	EXPECT_EQ(((uint64_t *)(p + 8 * BLOCK))[-1], (1UL << 40) + BLOCK);
	EXPECT_TRUE(pages_have(fd, 0, BAD, NOT_PINNED));
	EXPECT_TRUE(pages_have(fd, BAD, BAD + PAGE, POISONED));
	EXPECT_TRUE(pages_have(fd, BAD + PAGE, 8 * BLOCK, NOT_PINNED));
	EXPECT_EQ(0, gmem_order(fd, BAD));
	EXPECT_EQ(0, gmem_order(fd, BAD + PAGE));
	EXPECT_EQ(9, gmem_order(fd, BAD + BLOCK));
	/* Reported again: known already. */
	EXPECT_EQ(EHWPOISON, poison_frame(phys));
	EXPECT_EQ(self->before.poisoned + PAGE, pool_sysfs(&self->p, "poisoned"));
	EXPECT_EQ(2, poison_signal.nr);
}

/* A gigabyte that is mapped by one entry loses a page: the rest stays as large as it can be. */
TEST_F(poison, rest_of_a_gigabyte)
{
	int fd = file_make(&self->p, "ram", GIB);
	char *p = reserve(GIB, GIB);
	size_t at;

	ASSERT_EQ(p, map_at(p, fd, 0, GIB));
	ASSERT_EQ(0, poke(p, 1));
	if (gmem_order(fd, 0) < 18)
		SKIP(return, "no whole gigabyte, or no entries of 1 GiB");
	for (at = 0; at < GIB; at += BLOCK)
		*(uint64_t *)(p + at) = at + 1;
	EXPECT_LEAVES(p, GIB, 1, 0, 0, "before");
	ASSERT_EQ(0, poison_frame(file_phys(fd, BAD)));
	EXPECT_LEAVES(p, GIB, 0, 0, 0, "after the error");
	for (at = 0; at < GIB; at += BLOCK)
		EXPECT_EQ(at + 1, *(uint64_t *)(p + at));
	for (at = 5 * BLOCK; at < 6 * BLOCK; at += PAGE)
		if (at != BAD)
			EXPECT_FALSE(poison_touch(p + at));
	EXPECT_TRUE(is_bad(p + BAD));
	EXPECT_LEAVES(p, GIB, 0, 511, 511, "touched again");
	EXPECT_EQ(9, gmem_order(fd, 0));
}

/* Only those that map the page and have asked for it are told at once, and nobody is killed. */
TEST_F(poison, others)
{
	int fd = file_make(&self->p, "ram", 8 * BLOCK);
	struct watcher early, late, beside, part;

	ASSERT_TRUE(watch(&early, fd, 0, 8 * BLOCK, PR_MCE_KILL_EARLY, BAD));
	ASSERT_TRUE(watch(&late, fd, 0, 8 * BLOCK, PR_MCE_KILL_LATE, BAD));
	ASSERT_TRUE(watch(&beside, fd, 6 * BLOCK, 2 * BLOCK, PR_MCE_KILL_EARLY, BAD));
	ASSERT_TRUE(watch(&part, fd, BAD, PAGE, PR_MCE_KILL_EARLY, BAD));
	ASSERT_EQ(0, poison_frame(file_phys(fd, BAD)));
	EXPECT_EQ(101, watched(&early));
	EXPECT_EQ(100, watched(&late));
	EXPECT_EQ(0, watched(&beside));
	EXPECT_EQ(101, watched(&part));
}

/* A page that nobody maps, in a file that nobody has open. */
TEST_F(poison, closed_file)
{
	int fd = file_make(&self->p, "ram", 2 * BLOCK);
	uint64_t phys;
	char *p;

	ASSERT_EQ(0, fallocate(fd, 0, 0, 2 * BLOCK));
	phys = file_phys(fd, BLOCK + PAGE);
	close(fd);
	ASSERT_EQ(0, poison_frame(phys));
	fd = open(pool_path(&self->p, "ram"), O_RDWR);
	p = map_file(fd, 0, 2 * BLOCK);
	EXPECT_FALSE(poison_touch(p + BLOCK));
	EXPECT_TRUE(is_bad(p + BLOCK + PAGE));
}

/* A free block is lost at once. */
TEST_F(poison, free_memory)
{
	int fd = file_make(&self->p, "ram", 2 * BLOCK);
	uint64_t phys, free = pool_free_blocks(&self->p);

	ASSERT_EQ(0, fallocate(fd, 0, 0, 2 * BLOCK));
	phys = file_phys(fd, PAGE);
	ASSERT_EQ(0, ftruncate(fd, 0));
	EXPECT_EQ(free, pool_free_blocks(&self->p));
	ASSERT_EQ(0, poison_frame(phys));
	EXPECT_EQ(free - 1, pool_free_blocks(&self->p));
	EXPECT_EQ(self->before.lost + BLOCK, pool_sysfs(&self->p, "lost"));
	EXPECT_FALSE(frame_is_free(&self->p, phys));
	EXPECT_EQ(0, poison_signal.nr);
}

/* A file loses a block with a bad page as any other, and the pool does not get it back. */
TEST_F(poison, punched)
{
	int fd = file_make(&self->p, "ram", 8 * BLOCK);
	char *p = map_file(fd, 0, 8 * BLOCK);
	uint64_t phys, free;

	ASSERT_NE(MAP_FAILED, (void *)p);
	fill(p, 8 * BLOCK, 1);
	free = pool_free_blocks(&self->p);
	phys = file_phys(fd, BAD);
	ASSERT_EQ(0, poison_frame(phys));
	/* The page alone, and a part of it: it stays bad. */
	EXPECT_EQ(0, fallocate(fd, PUNCH, BAD, PAGE));
	EXPECT_EQ(0, fallocate(fd, PUNCH, BAD - 100, PAGE));
	EXPECT_EQ(0, fallocate(fd, ZERO, BAD + 100, 2 * PAGE));
	EXPECT_TRUE(is_bad(p + BAD));
	EXPECT_TRUE(is_zero(p + BAD - 100, 100));
	EXPECT_TRUE(is_zero(p + BAD + PAGE, PAGE + 100));
	EXPECT_FALSE(is_zero(p + BAD + 2 * PAGE, PAGE));
	EXPECT_EQ(0, fallocate(fd, ZERO, 4 * BLOCK, 3 * BLOCK));
	EXPECT_TRUE(is_bad(p + BAD));
	EXPECT_TRUE(is_zero(p + 5 * BLOCK, BAD - 5 * BLOCK));
	EXPECT_EQ(self->before.lost, pool_sysfs(&self->p, "lost"));
	EXPECT_EQ(0, fallocate(fd, PUNCH, 4 * BLOCK, 3 * BLOCK));
	EXPECT_EQ(free + 2, pool_free_blocks(&self->p));
	EXPECT_EQ(self->before.lost + BLOCK, pool_sysfs(&self->p, "lost"));
	EXPECT_FALSE(frame_is_free(&self->p, phys));
	/* The page has other memory now. */
	EXPECT_FALSE(poison_touch(p + BAD));
	EXPECT_TRUE(is_zero(p + 5 * BLOCK, BLOCK));
	EXPECT_NE(phys, file_phys(fd, BAD));
}

/* Nothing else gets the page: no pin, and nothing that is to fill page tables. */
TEST_F(poison, refused)
{
	int fd = file_make(&self->p, "ram", 8 * BLOCK);
	char *p = map_file(fd, 0, 8 * BLOCK);

	ASSERT_NE(MAP_FAILED, (void *)p);
	ASSERT_EQ(0, fallocate(fd, 0, 0, 8 * BLOCK));
	/* A page that is pinned when the error comes stays pinned. */
	ASSERT_EQ(0, pin(fd, 0, BLOCK));
	ASSERT_EQ(0, poison_frame(file_phys(fd, PAGE)));
	EXPECT_EQ(0, unpin(fd, 0, BLOCK));
	EXPECT_EQ(EHWPOISON, pin(fd, 0, BLOCK));
	EXPECT_EQ(0, pin(fd, 2 * PAGE, BLOCK));
	EXPECT_EQ(0, unpin_all(fd));
	EXPECT_EQ(0, pool_sysfs(&self->p, "pinned"));
	EXPECT_EQ(EHWPOISON, ERR(madvise(p, BLOCK, MADV_POPULATE_READ)));
	EXPECT_EQ(EHWPOISON, ERR(madvise(p, BLOCK, MADV_POPULATE_WRITE)));
	EXPECT_EQ(0, ERR(madvise(p + BLOCK, 7 * BLOCK, MADV_POPULATE_WRITE)));
	EXPECT_EQ(0, fallocate(fd, 0, 0, 8 * BLOCK));
	EXPECT_EQ(0, poison_signal.nr);
}

#define MANY	409	/* four of five pages of a block */

/*
 * More errors than a file of sysfs has room for. Fails if the list is cut inside a line, or if it
 * does not say that it is cut.
 */
TEST_F(poison, many)
{
	int fd = file_make(&self->p, "ram", 2 * BLOCK), page, bad = 0, list;
	char *p = map_file(fd, 0, 2 * BLOCK), text[2 * PAGE + 1] = "", *line;
	const uint64_t *word = (uint64_t *)p;
	uint64_t phys, last = 0;
	ssize_t len;

	ASSERT_NE(MAP_FAILED, (void *)p);
	fill(p, 2 * BLOCK, 1);
	phys = file_phys(fd, 0);
	for (page = 0; bad < MANY; page += 1 + (page % 5 == 3), bad++)
		ASSERT_EQ(0, poison_frame(phys + page * PAGE));
	EXPECT_EQ(self->before.poisoned + MANY * PAGE, pool_sysfs(&self->p, "poisoned"));
	for (page = 0; page < 511; page++) {
		EXPECT_EQ(page % 5 != 4, poison_touch(p + page * PAGE));
		if (page % 5 == 4)
			EXPECT_EQ((1UL << 40) + page * 512 + 1, word[page * 512]);
	}
	list = open("/sys/fs/guestmemfs/node0/poisoned_frames", O_RDONLY);
	len = read(list, text, 2 * PAGE);
	ASSERT_LT(PAGE - 64, len);
	ASSERT_GE(PAGE, len);
	ASSERT_EQ(0, strcmp(text + len - 5, "\n...\n"));
	for (line = text; strcmp(line, "...\n"); line = strchr(line, '\n') + 1) {
		EXPECT_LT(last, strtoul(line, NULL, 16));
		last = strtoul(line, NULL, 16);
		EXPECT_EQ(0, last % PAGE);
	}
	EXPECT_EQ(0, fallocate(fd, PUNCH, 0, 2 * BLOCK));
	EXPECT_EQ(self->before.lost + BLOCK, pool_sysfs(&self->p, "lost"));
}

/* A bad page moves with its block. */
TEST_F(poison, moved)
{
	int fd = file_make(&self->p, "ram", 2 * BLOCK), other = file_make(&self->p, "other", BLOCK);
	char *p = map_file(fd, 0, 2 * BLOCK), *q = map_file(other, 0, BLOCK);

	ASSERT_EQ(0, fallocate(fd, 0, 0, 2 * BLOCK));
	ASSERT_EQ(0, poison_frame(file_phys(fd, BLOCK + PAGE)));
	ASSERT_EQ(0, move(fd, BLOCK, other, 0, BLOCK, MOVE_ZERO));
	EXPECT_TRUE(is_bad(q + PAGE));
	EXPECT_TRUE(is_zero(q, PAGE));
	EXPECT_FALSE(poison_touch(p + BLOCK + PAGE));
}

/* A bad page is bad for userfaultfd, too, and not missing: nobody could fill it. */
TEST_F(poison, userfault)
{
	int fd = file_make(&self->p, "ram", 2 * BLOCK);
	char *p = map_file(fd, 0, 2 * BLOCK), page[3 * PAGE] = {};
	struct uffd u;
	int64_t done;

	ASSERT_NE(MAP_FAILED, (void *)p);
	fill(p, 2 * BLOCK, 1);
	ASSERT_EQ(0, poison_frame(file_phys(fd, PAGE)));
	/* Absent pages: a bad one and a good one. */
	ASSERT_EQ(0, fallocate(fd, PUNCH, PAGE, 2 * PAGE));
	ASSERT_TRUE(uffd_open(&u, 0));
	ASSERT_EQ(0, uffd_register(&u, p, 2 * BLOCK, UFFDIO_REGISTER_MODE_MISSING));
	EXPECT_TRUE(is_bad(p + PAGE));
	EXPECT_EQ(NULL, uffd_pending(&u));
	EXPECT_EQ(EIO, uffd_copy(&u, p + PAGE, page, PAGE, NULL));
	EXPECT_EQ(EIO, uffd_zero(&u, p + PAGE, PAGE, NULL));
	EXPECT_EQ(0, uffd_copy(&u, p + 2 * PAGE, page, PAGE, NULL));
	EXPECT_FALSE(poison_touch(p + 2 * PAGE));
	/* A copy of three pages ends in front of the bad one. */
	ASSERT_EQ(0, poison_frame(file_phys(fd, 6 * PAGE)));
	ASSERT_EQ(0, fallocate(fd, PUNCH, 5 * PAGE, 3 * PAGE));
	EXPECT_EQ(EAGAIN, uffd_copy(&u, p + 5 * PAGE, page, 3 * PAGE, &done));
	EXPECT_EQ((int64_t)PAGE, done);
	EXPECT_TRUE(is_bad(p + 6 * PAGE));
	EXPECT_EQ(0, uffd_unregister(&u, p, 2 * BLOCK));
	uffd_close(&u);
	EXPECT_TRUE(is_bad(p + PAGE));
}

/* Soft offlining is refused: the page still works. */
TEST_F(poison, soft_offline)
{
	int fd = file_make(&self->p, "ram", BLOCK), file;
	char *p = map_file(fd, 0, BLOCK), text[32];

	ASSERT_EQ(0, poke(p, 1));
	file = open("/sys/devices/system/memory/soft_offline_page", O_WRONLY);
	ASSERT_GE(file, 0);
	snprintf(text, sizeof(text), "%#lx", (unsigned long)file_phys(fd, 0));
	EXPECT_EQ(ENXIO, ERR(write(file, text, strlen(text))));
	close(file);
	EXPECT_FALSE(poison_touch(p));
	EXPECT_EQ(self->before.poisoned, pool_sysfs(&self->p, "poisoned"));
}

#define RACE_BLOCKS	64
#define RACE_ERRORS	60
#define RACE_SECONDS	6

/**
 * struct race - a file, and what threads do with it while errors come
 * @fd: the file
 * @other: another one, which exchanges blocks with it
 * @p: the mapping of the file
 * @q: the mapping of the other one
 * @stop: threads end
 * @wrong: number of calls that have failed
 */
struct race {
	int fd;
	int other;
	char *p;
	char *q;
	bool stop;
	int wrong;
};

static bool race_stopped(struct race *r)
{
	return __atomic_load_n(&r->stop, __ATOMIC_RELAXED);
}

static void *race_touch(void *arg)
{
	struct race *r = arg;
	unsigned int seed = 1;

	while (!race_stopped(r)) {
		poison_touch(r->p + rand_r(&seed) % (RACE_BLOCKS * 512) * PAGE);
		poison_touch(r->q + rand_r(&seed) % (RACE_BLOCKS * 512) * PAGE);
	}
	return NULL;
}

static void *race_change(void *arg)
{
	struct race *r = arg;
	unsigned int seed = 2;
	uint64_t at, to;
	int err = 0;

	while (!race_stopped(r)) {
		at = rand_r(&seed) % RACE_BLOCKS * BLOCK;
		to = rand_r(&seed) % RACE_BLOCKS * BLOCK;
		switch (rand_r(&seed) % 5) {
		case 0:
			err = ERR(fallocate(r->fd, PUNCH, at, BLOCK));
			break;
		case 1:
			err = ERR(fallocate(r->fd, PUNCH, at + 3 * PAGE, 5 * PAGE));
			break;
		case 2:
			err = ERR(fallocate(r->fd, 0, at, BLOCK));
			break;
		case 3:
			err = move(r->fd, at, r->other, to, BLOCK, EXCHANGE);
			break;
		default:
			err = ERR(fallocate(r->other, ZERO, to, BLOCK));
		}
		if (err)
			r->wrong++;
	}
	return NULL;
}

/* Does a page answer by SIGBUS if and only if it is poisoned? */
static bool race_agrees(int fd, const char *p)
{
	uint64_t at;

	for (at = 0; at < RACE_BLOCKS * BLOCK; at += PAGE)
		if (poison_touch(p + at) != !!(gmem_state(fd, at) & GUESTMEMFS_STATE_POISONED))
			return false;
	return true;
}

/* Errors in pages that are touched, punched and moved meanwhile. */
TEST_F(poison, race)
{
	struct race r = {
		.fd = file_make(&self->p, "ram", RACE_BLOCKS * BLOCK),
		.other = file_make(&self->p, "other", RACE_BLOCKS * BLOCK),
	};
	pthread_t touch, change;
	unsigned int seed = 3;
	uint64_t phys;
	int i, errors = 0, err;

	r.p = map_file(r.fd, 0, RACE_BLOCKS * BLOCK);
	r.q = map_file(r.other, 0, RACE_BLOCKS * BLOCK);
	ASSERT_NE(MAP_FAILED, (void *)r.p);
	ASSERT_NE(MAP_FAILED, (void *)r.q);
	ASSERT_EQ(0, pthread_create(&touch, NULL, race_touch, &r));
	ASSERT_EQ(0, pthread_create(&change, NULL, race_change, &r));
	for (i = 0; i < RACE_ERRORS; i++) {
		usleep(RACE_SECONDS * 1000000 / RACE_ERRORS);
		phys = file_phys(r.fd, rand_r(&seed) % (RACE_BLOCKS * 512) * PAGE);
		if (phys == UINT64_MAX)
			continue;
		err = poison_frame(phys);
		if (err != EHWPOISON)
			EXPECT_EQ(0, err);
		errors += !err;
	}
	__atomic_store_n(&r.stop, true, __ATOMIC_RELAXED);
	pthread_join(touch, NULL);
	pthread_join(change, NULL);
	TH_LOG("%d errors", errors);
	EXPECT_EQ(0, r.wrong);
	EXPECT_LT(RACE_ERRORS / 4, errors);
	EXPECT_EQ(self->before.poisoned + errors * PAGE, pool_sysfs(&self->p, "poisoned"));
	EXPECT_TRUE(race_agrees(r.fd, r.p));
	EXPECT_TRUE(race_agrees(r.other, r.q));
}

FIXTURE(guest)
{
	struct pool p;
	struct poison_before before;
	struct vmm vmm;
	struct vcpu cpu;
};

FIXTURE_VARIANT(guest)
{
	bool descriptor;
};

FIXTURE_VARIANT_ADD(guest, by_address)
{
};

FIXTURE_VARIANT_ADD(guest, by_descriptor)
{
	.descriptor = true,
};

FIXTURE_SETUP(guest)
{
	int pools = poison_begin(&self->p, &self->before);

	if (!pools)
		SKIP(return, "no pool on this machine");
	ASSERT_EQ(1, pools);
	ASSERT_EQ(0, vmm_make(&self->vmm, KVM_X86_DEFAULT_VM));
	ASSERT_EQ(0, vcpu_make(&self->vmm, &self->cpu, 0));
}

FIXTURE_TEARDOWN_PARENT(guest)
{
	EXPECT_STREQ("", poison_end(&self->p, &self->before) ?: "");
}

/* Lets the guest read a word of the bad page. Returns the errno of KVM_RUN. */
static int run_into(struct vcpu *c, uint64_t gpa)
{
	const struct guest_job job = { .command = GUEST_TOUCH, .gpa = gpa, .words = 1 };

	if (guest_start(c, &job))
		return -1;
	return ERR(ioctl(c->fd, KVM_RUN, NULL));
}

/*
 * The guest's access ends KVM_RUN: by SIGBUS with the address, or as an exit with EHWPOISON. The
 * guest uses all other pages as before.
 */
TEST_F(guest, access)
{
	int fd = file_make(&self->p, "ram", 8 * BLOCK), gmem, err;
	char *p = map_file(fd, 0, 8 * BLOCK);

	ASSERT_NE(MAP_FAILED, (void *)p);
	if (variant->descriptor) {
		gmem = gmem_create(fd, self->vmm.vm,
				   GUESTMEMFS_GMEM_INIT_SHARED | GUESTMEMFS_GMEM_MMAP);
		ASSERT_GE(gmem, 0);
		ASSERT_EQ(0, vmm_bind(&self->vmm, 1, GPA, 8 * BLOCK, gmem, 0));
	} else {
		ASSERT_EQ(0, vmm_add_memory(&self->vmm, 1, GPA, p, 8 * BLOCK));
	}
	ASSERT_EQ(VCPU_DONE, guest_fill(&self->cpu, GPA, 8 * BLOCK, 7));
	ASSERT_EQ(0, poison_frame(file_phys(fd, BAD)));
	EXPECT_EQ(0, poison_signal.nr);
	err = run_into(&self->cpu, GPA + BAD);
	if (variant->descriptor) {
		EXPECT_EQ(EHWPOISON, err);
		EXPECT_EQ(KVM_EXIT_MEMORY_FAULT, self->cpu.run->exit_reason);
		EXPECT_EQ(GPA + BAD, self->cpu.run->memory_fault.gpa);
		EXPECT_EQ(0, poison_signal.nr);
	} else {
		EXPECT_EQ(EINTR, err);
		EXPECT_EQ(1, poison_signal.nr);
		EXPECT_EQ(BUS_MCEERR_AR, poison_signal.code);
		EXPECT_EQ((void *)(p + BAD), poison_signal.addr);
		EXPECT_EQ(12, poison_signal.lsb);
	}
	EXPECT_EQ(VCPU_DONE, guest_fill(&self->cpu, GPA, BAD, 8));
	EXPECT_EQ(VCPU_DONE, guest_fill(&self->cpu, GPA + BAD + PAGE, 8 * BLOCK - BAD - PAGE, 9));
	EXPECT_EQ(VCPU_DONE, guest_check(&self->cpu, GPA, BAD, 8));
	EXPECT_EQ(VCPU_DONE,
		  guest_check(&self->cpu, GPA + BAD + PAGE, 8 * BLOCK - BAD - PAGE, 9));
}

TEST_HARNESS_MAIN
