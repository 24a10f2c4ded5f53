// SPDX-License-Identifier: GPL-2.0-only
/*
 * The page of a guest's paravirtual clock. KVM writes to it through a kernel mapping of its own,
 * which must be removed when the page leaves the file: otherwise the kernel would keep a mapping of
 * memory that another guest may get. And the page of its wall clock, which KVM writes in
 * KVM_SET_MSRS, and waits for if it is missing.
 */
#include <linux/kvm_para.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "ram_fixture.h"
#include "userfault.h"

#define RACE_SECONDS	6

/*
 * Use neither the first page of a block, which the filesystem maps to zero the block, nor the last.
 */
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

/* Sets the guest physical address of the clock. 0 disables the clock. */
static int set_clock(const struct vcpu *c, uint64_t gpa)
{
	return vcpu_set_msr(c, MSR_KVM_SYSTEM_TIME_NEW, gpa ? gpa | 1 : 0);
}

/* Makes KVM write the clock, before the guest runs. The guest itself does not access the file. */
static bool tick(struct vcpu *c)
{
	return !set_clock(c, RAM_GPA + CLOCK_OFFSET) && guest_load(c, VMM_LOW_GPA) >= 0;
}

static bool is_clock(const char *p)
{
	struct guest_clock c;

	memcpy(&c, p, sizeof(c));
	/* Do not check the time, which may be 0. */
	if (c.version && !(c.version & 1) && c.mul)
		return true;
	printf("# version %u, mul %u\n", c.version, c.mul);
	return false;
}

/*
 * Returns how many pages of a block the kernel has mapped, without its first page, or -1 if
 * /proc/vmallocinfo cannot be read.
 */
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
	_frame = file_phys(self->fd, 0);						\
	ASSERT_NE(UINT64_MAX, _frame);						\
	/* The removal of the mapping is checked later. */			\
	ASSERT_EQ(1, mapped(_frame));						\
	_frame;									\
})

/* A punched block may belong to another guest afterwards. */
TEST_F(ram, punched)
{
	uint64_t block = START_CLOCK();

	ASSERT_EQ(0, fallocate(self->fd, PUNCH, 0, BLOCK));
	EXPECT_EQ(0, mapped(block));
	EXPECT_TRUE(is_zero(self->ram, BLOCK));
	/* The clock works in the block that is allocated next, any number of times. */
	for (int i = 0; i < 3; i++) {
		ASSERT_TRUE(tick(&self->cpu));
		EXPECT_TRUE(is_clock(self->ram + CLOCK_OFFSET));
		block = file_phys(self->fd, 0);
		EXPECT_EQ(1, mapped(block));
		ASSERT_EQ(0, fallocate(self->fd, PUNCH, 0, BLOCK));
		EXPECT_EQ(0, mapped(block));
	}
	/* If the page cannot be allocated, KVM does not update the clock, and the guest runs. */
	ASSERT_EQ(0, ftruncate(self->fd, 0));
	EXPECT_TRUE(guest_load(&self->cpu, VMM_LOW_GPA) >= 0);
	EXPECT_EQ(0, mapped(block));
}

/* Other events that end the kernel mapping, and do not free the block. */
TEST_F(ram, unmapped)
{
	uint64_t block = START_CLOCK();

	ASSERT_EQ(0, set_clock(&self->cpu, 0));
	EXPECT_EQ(0, mapped(block));
	ASSERT_TRUE(tick(&self->cpu));
	EXPECT_EQ(1, mapped(block));
	/* Move the clock to another page of the same block, then to another block. */
	ASSERT_EQ(0, set_clock(&self->cpu, RAM_GPA + 5 * PAGE));
	EXPECT_EQ(1, mapped(block));
	ASSERT_EQ(0, set_clock(&self->cpu, RAM_GPA + BLOCK + CLOCK_OFFSET));
	EXPECT_EQ(0, mapped(block));
	ASSERT_EQ(0, set_clock(&self->cpu, VMM_LOW_GPA));
	ASSERT_TRUE(tick(&self->cpu));
	EXPECT_EQ(1, mapped(block));
	/* The unmapped part does not contain the page of the clock. */
	ASSERT_EQ(0, munmap(self->ram + BLOCK, BLOCK));
	EXPECT_EQ(1, mapped(block));
	ASSERT_EQ(0, munmap(self->ram, BLOCK));
	EXPECT_EQ(0, mapped(block));
	EXPECT_NE(UINT64_MAX, file_phys(self->fd, 0));
}

/* KVM cannot access a private page. */
TEST_F(ram, converted)
{
	uint64_t block;

	/* A slot by address has no pages to convert. */
	if (!variant->descriptor)
		return;
	block = START_CLOCK();
	/* Converting another page does not affect the clock. */
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

/*
 * Forks a child with its own address space, but with the descriptors of the parent, which stay open
 * when the child ends.
 */
static pid_t fork_with_files(void)
{
	return syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL);
}

/* The process of a virtual machine has ended, while its descriptors are open. */
TEST_F(ram, orphaned)
{
	struct { uint64_t block; int fd; bool good; } *shared;
	int status;
	pid_t pid;

	/* KVM looks up the page by address in both variants, so one of them is enough. */
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
			shared->block = file_phys(shared->fd, 0);
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
		/* Without its page, KVM ignores the clock or reports an error. */
		set_clock(racing, RAM_GPA + CLOCK_OFFSET);
		if (guest_load(racing, VMM_LOW_GPA) < 0)
			break;
		__atomic_fetch_add(&ticks, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* The kernel mapping is refreshed while the page is removed from the file. */
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
		block = file_phys(self->fd, 0);
		if (block == UINT64_MAX)
			block = poke(self->ram, 1) ? 0 : file_phys(self->fd, 0);
		found += mapped(block) == 1;
		/* The clock has no page until the file grows again. */
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

/* See struct pvclock_wall_clock. */
struct wall_clock {
	uint32_t version;
	uint32_t sec;
	uint32_t nsec;
};

/**
 * struct waiter - a thread that sets the wall clock, the page of which is missing
 * @cpu: a CPU of the guest
 * @done: KVM_SET_MSRS has returned
 * @err: its errno, 0 if it has set the MSR
 */
struct waiter {
	const struct vcpu *cpu;
	bool done;
	int err;
};

static void *set_wall_clock(void *arg)
{
	struct waiter *w = arg;

	w->err = ERR(vcpu_set_msr(w->cpu, MSR_KVM_WALL_CLOCK_NEW, RAM_GPA + CLOCK_OFFSET));
	__atomic_store_n(&w->done, true, __ATOMIC_RELEASE);
	return NULL;
}

/* Has the thread returned, or does it within a short time? */
static bool returns(const struct waiter *w)
{
	usleep(100000);
	return __atomic_load_n(&w->done, __ATOMIC_ACQUIRE);
}

static bool register_missing(struct uffd *u, char *ram)
{
	return uffd_open(u, 0) && !uffd_register(u, ram, RAM_SIZE, UFFDIO_REGISTER_MODE_MISSING);
}

/* KVM_SET_MSRS waits for a page, whatever signals arrive, and writes to the page then. */
TEST_F(ram, waits_for_a_page)
{
	struct waiter w = { .cpu = &self->cpu };
	struct wall_clock clock;
	pthread_t thread;
	struct uffd u;

	ASSERT_TRUE(register_missing(&u, self->ram));
	ASSERT_EQ(0, pthread_create(&thread, NULL, set_wall_clock, &w));
	ASSERT_EQ(self->ram + CLOCK_OFFSET, uffd_fault(&u));
	EXPECT_FALSE(returns(&w));
	/* A signal with a handler, see vmm_make(). */
	ASSERT_EQ(0, pthread_kill(thread, SIGUSR1));
	EXPECT_FALSE(returns(&w));
	ASSERT_EQ(0, uffd_zero(&u, self->ram + CLOCK_OFFSET, PAGE, NULL));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, w.err);
	memcpy(&clock, self->ram + CLOCK_OFFSET, sizeof(clock));
	EXPECT_EQ(2, clock.version);
	EXPECT_NE(0, clock.sec);
	uffd_close(&u);
}

/* A process with a guest of its own, which nobody gives the page. */
static void wait_for_ever(int fd, int told)
{
	char *ram = map_file(fd, 0, RAM_SIZE);
	struct vcpu cpu;
	struct waiter w = { .cpu = &cpu };
	pthread_t thread;
	struct vmm vmm;
	struct uffd u;

	if (ram == MAP_FAILED || vmm_make(&vmm, KVM_X86_DEFAULT_VM) || vcpu_make(&vmm, &cpu, 0) ||
	    ram_add(&vmm, ram, -1) || !register_missing(&u, ram) ||
	    pthread_create(&thread, NULL, set_wall_clock, &w) ||
	    uffd_fault(&u) != ram + CLOCK_OFFSET || write(told, "", 1) != 1)
		_exit(1);
	pthread_join(thread, NULL);
	_exit(2);
}

/* A process that waits for a page in KVM_SET_MSRS can be killed. */
TEST_F(ram, killed_in_a_wait)
{
	int status, told[2];
	char byte;
	pid_t pid;

	/* As for orphaned. */
	if (variant->descriptor)
		return;
	ASSERT_EQ(0, pipe(told));
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid)
		wait_for_ever(self->fd, told[1]);
	/* A child that has failed has told nothing. */
	close(told[1]);
	ASSERT_EQ(1, read(told[0], &byte, 1));
	usleep(100000);
	ASSERT_EQ(0, waitpid(pid, &status, WNOHANG));
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

TEST_HARNESS_MAIN
