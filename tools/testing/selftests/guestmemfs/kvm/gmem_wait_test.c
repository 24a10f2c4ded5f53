// SPDX-License-Identifier: GPL-2.0-only
/*
 * What has to wait while a virtual CPU or KVM_PRE_FAULT_MEMORY zeroes a gigabyte: a VMM that stops
 * the CPU, changes of memslots, conversions, and faults of other CPUs wait for a step of 32 MiB,
 * and not for the rest of the gigabyte.
 *
 * The measure is how much of the pool's memory is zeroed meanwhile, not the time, which depends on
 * what else the host does. The test itself may not run for a while at a bad moment: one of several
 * attempts has to be good.
 */
#include <sys/stat.h>

#include "gmem_fixture.h"

#define STEP		(32 * MIB)
#define ATTEMPTS	4
#define OTHER_SLOT	2
#define OTHER_GPA	(2 * GIB)

/**
 * struct waits - how long something has waited
 * @nr: how often
 * @least: the least number of bytes that were zeroed meanwhile
 * @most: the largest number
 * @longest: the longest time, in nanoseconds
 */
struct waits {
	int nr;
	uint64_t least;
	uint64_t most;
	int64_t longest;
};

static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000L + t.tv_nsec;
}

static uint64_t unzeroed(const struct pool *p)
{
	return pool_sysfs(p, "unzeroed");
}

static void waited(struct waits *w, uint64_t zeroed, int64_t time)
{
	w->least = w->nr && w->least < zeroed ? w->least : zeroed;
	w->most = w->most > zeroed ? w->most : zeroed;
	w->longest = w->longest > time ? w->longest : time;
	w->nr++;
}

static void show(const struct waits *w, const char *what)
{
	printf("# %s: %d waits, for %lu to %lu MiB; the longest took %ld us\n", what, w->nr,
	       (unsigned long)(w->least / MIB), (unsigned long)(w->most / MIB),
	       (long)w->longest / 1000);
}

/* A CPU and its helpers zero a step each. One more step may have begun before the wait. */
static uint64_t two_steps(const struct pool *p)
{
	return 2 * STEP * (1 + pool_sysfs(p, "zero_helpers"));
}

/* Binds a new file of a gigabyte and a block to the slot, by descriptor or by address. */
static int fresh(const struct pool *p, const struct vmm *v, uint32_t flags, bool by_fd, int *gmem)
{
	const size_t size = GIB + BLOCK;
	void *at;
	int fd;

	if (by_fd)
		return ram_make(p, v, flags, size, gmem);
	fd = file_make(p, "ram", size);
	at = map_file(fd, 0, size);
	if (at == MAP_FAILED || vmm_add_memory(v, FILE_SLOT, FILE_GPA, at, size))
		return -1;
	return fd;
}

/* Frees the memory, which is unzeroed then. */
static bool stale(const struct pool *p, const struct vmm *v, int fd)
{
	bool ok = !vmm_remove(v, FILE_SLOT) && !fallocate(fd, PUNCH, 0, GIB + BLOCK) &&
		  !unlink(pool_path(p, "ram"));

	close(fd);
	return ok;
}

static void *run(void *arg)
{
	return (void *)(long)vcpu_go(arg);
}

static void *prefault(void *arg)
{
	const struct vcpu *cpu = arg;
	struct kvm_pre_fault_memory range = { .gpa = FILE_GPA, .size = GIB };
	int err = ERR(ioctl(cpu->fd, KVM_PRE_FAULT_MEMORY, &range));

	if (err || range.size)
		printf("# KVM_PRE_FAULT_MEMORY: %s, %#llx bytes left\n", strerror(err),
		       range.size);
	return (void *)(long)(err || range.size ? VCPU_ASTRAY : VCPU_DONE);
}

/* Makes the CPU touch the gigabyte, in a thread, and waits until a part of it is zeroed. */
static bool begin(const struct pool *p, struct vcpu *cpu, bool by_prefault, pthread_t *thread)
{
	uint64_t before = unzeroed(p);
	int i;

	if (pthread_create(thread, NULL, by_prefault ? prefault : run, cpu))
		return false;
	for (i = 0; i < 1000000 && unzeroed(p) == before; i++)
		;
	return unzeroed(p) != before;
}

static int set_touch(const struct vcpu *cpu)
{
	const struct guest_job job = {
		.command = GUEST_TOUCH, .gpa = FILE_GPA + GIB - PAGE, .words = 1,
	};

	return guest_start(cpu, &job);
}

/* Stops the CPU. Returns how vcpu_go() has ended. */
static enum vcpu_end stop(const struct pool *p, struct vcpu *cpu, struct waits *w)
{
	pthread_t thread;
	uint64_t before;
	int64_t time;
	void *end;

	if (!begin(p, cpu, false, &thread))
		return VCPU_ASTRAY;
	before = unzeroed(p);
	time = now();
	vcpu_stop(cpu, thread);
	pthread_join(thread, &end);
	time = now() - time;
	if ((enum vcpu_end)(long)end == VCPU_STOPPED)
		waited(w, before - unzeroed(p), time);
	/* The CPU may have been done before that. */
	__atomic_store_n(&cpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
	return (enum vcpu_end)(long)end;
}

/*
 * Stops the CPU again and again. Memory by descriptor is zeroed further each time, and mapped as a
 * whole in the end. Memory by address is mapped by a small entry if there is a signal.
 */
static void stop_while_zeroing(struct __test_metadata *_metadata, const struct pool *p,
			       const struct vmm *v, struct vcpu *cpu, uint32_t flags, bool by_fd,
			       struct waits *w)
{
	int gmem, fd = fresh(p, v, flags, by_fd, &gmem);
	uint64_t rest = unzeroed(p) - GIB;
	enum vcpu_end end;

	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, set_touch(cpu));
	do {
		end = stop(p, cpu, w);
		ASSERT_TRUE(end == VCPU_STOPPED || end == VCPU_DONE);
	} while (by_fd && end == VCPU_STOPPED && unzeroed(p) > rest);
	if (end == VCPU_STOPPED)
		EXPECT_EQ(VCPU_DONE, vcpu_go(cpu));
	EXPECT_EQ(VCPU_DONE, guest_touch(cpu, FILE_GPA, GIB / BLOCK, BLOCK));
	EXPECT_EQ(1, vmm_entries(v, "1g"));
	ASSERT_TRUE(stale(p, v, fd));
	if (by_fd)
		close(gmem);
}

/* Returns how often each of ATTEMPTS gigabytes was stopped, with something to show for it. */
static struct waits all_stops(struct __test_metadata *_metadata, const struct pool *p,
			      const struct vmm *v, struct vcpu *cpu, uint32_t flags, bool by_fd)
{
	struct waits w = {};
	int i;

	for (i = 0; i < ATTEMPTS; i++)
		stop_while_zeroing(_metadata, p, v, cpu, flags, by_fd, &w);
	show(&w, by_fd ? "stopped, by descriptor" : "stopped, by address");
	return w;
}

/* All blocks are unzeroed at first, as those of a file that was freed are. */
static bool make_stale(const struct pool *p, const struct vmm *v, struct vcpu *cpu, uint32_t flags)
{
	int gmem, fd = fresh(p, v, flags, true, &gmem);
	bool ok = fd >= 0 && !fallocate(fd, 0, 0, GIB + BLOCK) && stale(p, v, fd);

	close(gmem);
	return ok;
}

/*
 * Turns red if the zeroing does not end at a signal, or not before it has zeroed more than a step;
 * and if what is zeroed before a signal is lost, so that the CPU never gets on.
 */
TEST_F(gmem, stopped)
{
	uint64_t limit = two_steps(&self->p);
	struct waits w;

	if (self->p.free_blocks < GIB / BLOCK + 1)
		SKIP(return, "needs 1 GiB free");
	ASSERT_TRUE(make_stale(&self->p, &self->vmm, &self->cpu, variant->flags));
	w = all_stops(_metadata, &self->p, &self->vmm, &self->cpu, variant->flags, true);
	EXPECT_LT(0, w.nr);
	EXPECT_GE(limit, w.least);
	if (variant->protected)
		return;
	/* A fault of the host does not end at each step, but when it notices the signal. */
	w = all_stops(_metadata, &self->p, &self->vmm, &self->cpu, 0, false);
	EXPECT_LT(0, w.nr);
	EXPECT_GT(GIB / 2, w.least);
}

/* Adds a memslot, or removes it. Returns whether this has worked. */
static bool toggle(const struct vmm *v, void *at, bool add)
{
	return add ? !vmm_add_memory(v, OTHER_SLOT, OTHER_GPA, at, PAGE) :
		     !vmm_remove(v, OTHER_SLOT);
}

/* Changes another memslot until the CPU is done. Counts the changes that have ended before. */
static void change_while_zeroing(struct __test_metadata *_metadata, const struct pool *p,
				 const struct vmm *v, struct vcpu *cpu, uint32_t flags,
				 bool by_prefault, void *at, struct waits *w)
{
	int gmem, fd = fresh(p, v, flags, true, &gmem);
	uint64_t rest = unzeroed(p) - GIB, before, after;
	bool added = false;
	pthread_t thread;
	int64_t time;
	void *end;

	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, set_touch(cpu));
	ASSERT_TRUE(begin(p, cpu, by_prefault, &thread));
	for (before = unzeroed(p); before > rest; before = after) {
		time = now();
		ASSERT_TRUE(toggle(v, at, !added));
		time = now() - time;
		added = !added;
		after = unzeroed(p);
		if (after > rest)
			waited(w, before - after, time);
	}
	pthread_join(thread, &end);
	EXPECT_EQ(VCPU_DONE, (enum vcpu_end)(long)end);
	if (added)
		ASSERT_TRUE(toggle(v, at, false));
	EXPECT_EQ(VCPU_DONE, guest_touch(cpu, FILE_GPA, GIB / BLOCK, BLOCK));
	EXPECT_EQ(1, vmm_entries(v, "1g"));
	ASSERT_TRUE(stale(p, v, fd));
	close(gmem);
}

static void change_memslots(struct __test_metadata *_metadata, const struct pool *p,
			    const struct vmm *v, struct vcpu *cpu, uint32_t flags, bool by_prefault)
{
	void *at = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct waits w = {};
	int i;

	ASSERT_NE(MAP_FAILED, at);
	ASSERT_TRUE(make_stale(p, v, cpu, flags));
	for (i = 0; i < ATTEMPTS; i++)
		change_while_zeroing(_metadata, p, v, cpu, flags, by_prefault, at, &w);
	show(&w, by_prefault ? "a memslot, while KVM prefaults" : "a memslot");
	/* A change that waits for all of the gigabyte does not count. */
	EXPECT_LT(0, w.nr);
}

/*
 * A change of memslots waits for all CPUs that look one up (srcu). Turns red if a CPU that zeroes a
 * gigabyte does not let go before the end: nobody waits for the lock of the file here, and there is
 * no signal.
 */
TEST_F(gmem, memslots_change)
{
	if (self->p.free_blocks < GIB / BLOCK + 1)
		SKIP(return, "needs 1 GiB free");
	change_memslots(_metadata, &self->p, &self->vmm, &self->cpu, variant->flags, false);
}

/* The same for KVM_PRE_FAULT_MEMORY, which does not return to a guest between two steps. */
TEST_F(gmem, memslots_change_in_a_prefault)
{
	if (self->p.free_blocks < GIB / BLOCK + 1)
		SKIP(return, "needs 1 GiB free");
	if (!has_tdp())
		SKIP(return, "KVM shadows page tables");
	change_memslots(_metadata, &self->p, &self->vmm, &self->cpu, variant->flags, true);
}

/*
 * A page of the same file is converted again and again, and another CPU touches it after that.
 * Turns red if the lock of the file is held until the gigabyte is zeroed.
 */
static void convert_while_zeroing(struct __test_metadata *_metadata, const struct pool *p,
				  const struct vmm *v, struct vcpu *cpus, uint32_t flags,
				  uint64_t first, struct waits *w)
{
	const uint64_t other = first == GMEM_SHARED ? GMEM_PRIVATE : GMEM_SHARED;
	int gmem, fd = fresh(p, v, flags, true, &gmem);
	uint64_t rest, before, after;
	pthread_t thread;
	int64_t time;
	void *end;

	ASSERT_GE(fd, 0);
	ASSERT_EQ(VCPU_DONE, guest_touch(&cpus[1], FILE_GPA + GIB, 1, 0));
	rest = unzeroed(p) - GIB;
	ASSERT_EQ(0, set_touch(&cpus[0]));
	ASSERT_TRUE(begin(p, &cpus[0], false, &thread));
	for (before = unzeroed(p); before > rest; before = after) {
		time = now();
		ASSERT_EQ(0, gmem_convert(gmem, GIB, PAGE, other));
		ASSERT_EQ(0, gmem_convert(gmem, GIB, PAGE, first));
		ASSERT_EQ(VCPU_DONE, guest_touch(&cpus[1], FILE_GPA + GIB, 1, 0));
		time = now() - time;
		after = unzeroed(p);
		if (after > rest)
			waited(w, before - after, time);
	}
	pthread_join(thread, &end);
	EXPECT_EQ(VCPU_DONE, (enum vcpu_end)(long)end);
	EXPECT_EQ(VCPU_DONE, guest_touch(&cpus[0], FILE_GPA, GIB / BLOCK, BLOCK));
	EXPECT_EQ(1, vmm_entries(v, "1g"));
	ASSERT_TRUE(stale(p, v, fd));
	close(gmem);
}

TEST_F(gmem, conversions_and_faults)
{
	struct vcpu cpus[2] = { self->cpu };
	struct waits w = {};
	int i;

	if (self->p.free_blocks < GIB / BLOCK + 1)
		SKIP(return, "needs 1 GiB free");
	ASSERT_EQ(0, vcpu_make(&self->vmm, &cpus[1], 1));
	ASSERT_TRUE(make_stale(&self->p, &self->vmm, cpus, variant->flags));
	for (i = 0; i < ATTEMPTS; i++)
		convert_while_zeroing(_metadata, &self->p, &self->vmm, cpus, variant->flags,
				      variant->first, &w);
	show(&w, "two conversions and a fault");
	EXPECT_LT(0, w.nr);
	vcpu_close(&cpus[1]);
}

TEST_HARNESS_MAIN
