// SPDX-License-Identifier: GPL-2.0-only
/*
 * The page of a guest's paravirtual clock: KVM writes it through a kernel mapping of its own,
 * which must go with the page, or the kernel has a mapping of the next guest's memory.
 */
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/kvm_para.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "ram_fixture.h"

#define RACE_SECONDS	6

/* Neither the first page of a block, which the filesystem maps when it zeroes it, nor the last. */
#define CLOCK_OFFSET	(3 * PAGE)

/* See struct pvclock_vcpu_time_info. */
struct guest_clock {
	uint32_t version;
	uint32_t pad;
	uint64_t tsc_timestamp;
	uint64_t system_time;
	uint32_t mul;
	int8_t shift;
	uint8_t flags[3];
};

/* The guest's address of its clock, or 0 to turn it off. */
static int set_clock(const struct vcpu *c, uint64_t gpa)
{
	return vcpu_set_msr(c, MSR_KVM_SYSTEM_TIME_NEW, gpa ? gpa | 1 : 0);
}

/* KVM writes the clock before the guest runs. The guest does not touch the file. */
static bool tick(struct vcpu *c)
{
	return !set_clock(c, RAM_GPA + CLOCK_OFFSET) && guest_load(c, VMM_LOW_GPA) >= 0;
}

static bool is_clock(const char *p)
{
	struct guest_clock c;

	memcpy(&c, p, sizeof(c));
	/* The time itself may be 0. */
	if (c.version && !(c.version & 1) && c.mul)
		return true;
	printf("# version %u, mul %u\n", c.version, c.mul);
	return false;
}

/* Of the file's first block, or 0. */
static uint64_t frame(int fd)
{
	struct {
		struct fiemap map;
		struct fiemap_extent extent;
	} f = {
		.map = { .fm_length = BLOCK, .fm_extent_count = 1 },
	};

	if (ioctl(fd, FS_IOC_FIEMAP, &f) || f.map.fm_mapped_extents != 1)
		return 0;
	return f.extent.fe_physical;
}

/* How many pages of a block the kernel has mapped, but for its first one; -1 if nobody tells. */
static int mapped(uint64_t block)
{
	FILE *f = fopen("/proc/vmallocinfo", "r");
	unsigned long phys;
	char line[512];
	int nr = 0;
	char *p;

	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		p = strstr(line, " phys=");
		if (!p || sscanf(p, " phys=%lx", &phys) != 1)
			continue;
		nr += phys > block && phys < block + BLOCK;
	}
	fclose(f);
	return nr;
}

#define START_CLOCK() ({							\
	uint64_t _frame;							\
										\
	ASSERT_TRUE(tick(&self->cpu));						\
	EXPECT_TRUE(is_clock(self->ram + CLOCK_OFFSET));			\
	_frame = frame(self->fd);						\
	ASSERT_NE(0, _frame);							\
	/* Or it could not be seen to go. */					\
	ASSERT_EQ(1, mapped(_frame));						\
	_frame;									\
})

/* The block may be another guest's then. */
TEST_F(ram, punched)
{
	uint64_t block = START_CLOCK();

	ASSERT_EQ(0, fallocate(self->fd, PUNCH, 0, BLOCK));
	EXPECT_EQ(0, mapped(block));
	EXPECT_TRUE(is_zero(self->ram, BLOCK));
	/* It goes on in the block that is there now, as often as one likes. */
	for (int i = 0; i < 3; i++) {
		ASSERT_TRUE(tick(&self->cpu));
		EXPECT_TRUE(is_clock(self->ram + CLOCK_OFFSET));
		block = frame(self->fd);
		EXPECT_EQ(1, mapped(block));
		ASSERT_EQ(0, fallocate(self->fd, PUNCH, 0, BLOCK));
		EXPECT_EQ(0, mapped(block));
	}
	/* Without its page KVM leaves the clock alone, and the guest runs. */
	ASSERT_EQ(0, ftruncate(self->fd, 0));
	EXPECT_TRUE(guest_load(&self->cpu, VMM_LOW_GPA) >= 0);
	EXPECT_EQ(0, mapped(block));
}

/* What else makes an end of it, and does not take the block. */
TEST_F(ram, unmapped)
{
	uint64_t block = START_CLOCK();

	ASSERT_EQ(0, set_clock(&self->cpu, 0));
	EXPECT_EQ(0, mapped(block));
	ASSERT_TRUE(tick(&self->cpu));
	EXPECT_EQ(1, mapped(block));
	/* To another page of the same block, and of another one. */
	ASSERT_EQ(0, set_clock(&self->cpu, RAM_GPA + 5 * PAGE));
	EXPECT_EQ(1, mapped(block));
	ASSERT_EQ(0, set_clock(&self->cpu, RAM_GPA + BLOCK + CLOCK_OFFSET));
	EXPECT_EQ(0, mapped(block));
	ASSERT_EQ(0, set_clock(&self->cpu, VMM_LOW_GPA));
	ASSERT_TRUE(tick(&self->cpu));
	EXPECT_EQ(1, mapped(block));
	/* Nothing of the clock's page is in the part that goes. */
	ASSERT_EQ(0, munmap(self->ram + BLOCK, BLOCK));
	EXPECT_EQ(1, mapped(block));
	ASSERT_EQ(0, munmap(self->ram, BLOCK));
	EXPECT_EQ(0, mapped(block));
	EXPECT_NE(0, frame(self->fd));
}

/* A private page is the guest's alone. */
TEST_F(ram, converted)
{
	uint64_t block;

	/* By address there is nothing to convert. */
	if (!variant->descriptor)
		return;
	block = START_CLOCK();
	/* Another page first. */
	ASSERT_EQ(0, gmem_convert(self->gmem, CLOCK_OFFSET + PAGE, PAGE, GMEM_PRIVATE));
	ASSERT_TRUE(tick(&self->cpu));
	EXPECT_EQ(1, mapped(block));
	ASSERT_EQ(0, gmem_convert(self->gmem, CLOCK_OFFSET, PAGE, GMEM_PRIVATE));
	EXPECT_EQ(0, mapped(block));
	set_clock(&self->cpu, RAM_GPA + CLOCK_OFFSET);
	EXPECT_TRUE(guest_load(&self->cpu, VMM_LOW_GPA) >= 0);
	EXPECT_EQ(0, mapped(block));
	ASSERT_EQ(0, gmem_convert(self->gmem, CLOCK_OFFSET, PAGE, GMEM_SHARED));
	ASSERT_TRUE(tick(&self->cpu));
	EXPECT_EQ(1, mapped(block));
	EXPECT_TRUE(is_clock(self->ram + CLOCK_OFFSET));
}

/* A process like a thread, but that its address space is its own: descriptors stay when it ends. */
static pid_t fork_with_files(void)
{
	return syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL);
}

/* A virtual machine whose process is dead, and whose descriptors are not closed. */
TEST_F(ram, orphaned)
{
	struct { uint64_t block; int fd; bool good; } *shared;
	int status;
	pid_t pid;

	/* KVM finds the page by address in either case. */
	if (variant->descriptor)
		return;
	shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)shared);
	pid = fork_with_files();
	ASSERT_GE(pid, 0);
	if (!pid) {
		struct vcpu cpu;
		struct vmm vmm;
		char *ram;

		shared->fd = file_make(&self->p, "orphan", RAM_SIZE);
		ram = map_file(shared->fd, 0, RAM_SIZE);
		if (ram != MAP_FAILED && !vmm_make(&vmm, KVM_X86_DEFAULT_VM) &&
		    !vcpu_make(&vmm, &cpu, 0) && !ram_add(&vmm, ram, -1) && tick(&cpu)) {
			shared->block = frame(shared->fd);
			shared->good = mapped(shared->block) == 1;
		}
		syscall(SYS_exit_group, 0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(shared->good);
	EXPECT_EQ(0, mapped(shared->block));
	ASSERT_EQ(0, ftruncate(shared->fd, 0));
	EXPECT_EQ(0, mapped(shared->block));
}

static struct vcpu *racing;
static bool stop;
static unsigned long ticks;

static void *keep_ticking(void *arg)
{
	(void)arg;
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		/* Without its page KVM says nothing, or that there is none. */
		set_clock(racing, RAM_GPA + CLOCK_OFFSET);
		if (guest_load(racing, VMM_LOW_GPA) < 0)
			break;
		__atomic_fetch_add(&ticks, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* Refreshes of the clock's mapping against what takes the page away, for good each time. */
TEST_F(ram, raced)
{
	time_t end = time(NULL) + RACE_SECONDS;
	unsigned long rounds = 0, found = 0, left = 0;
	pthread_t thread;
	uint64_t block;

	racing = &self->cpu;
	ASSERT_EQ(0, pthread_create(&thread, NULL, keep_ticking, NULL));
	while (time(NULL) < end) {
		ASSERT_EQ(0, ftruncate(self->fd, RAM_SIZE));
		for (int i = 0; i < 1 << (rounds % 8); i++)
			sched_yield();
		block = frame(self->fd);
		if (!block)
			block = poke(self->ram, 1) ? 0 : frame(self->fd);
		found += mapped(block) == 1;
		/* There is no page at the clock's address until the file grows again. */
		ASSERT_EQ(0, ftruncate(self->fd, 0));
		left += mapped(block) != 0;
		rounds++;
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	printf("# %lu rounds, %lu ticks, %lu times mapped\n", rounds, ticks, found);
	EXPECT_EQ(0, left);
	EXPECT_GT(found, 0);
	EXPECT_GT(ticks, 10);
}

TEST_HARNESS_MAIN
