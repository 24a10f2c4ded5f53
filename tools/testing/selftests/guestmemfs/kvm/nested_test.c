// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest runs a nested guest, with the VMCB and all memory of both in a file. KVM reads and writes
 * the VMCB at each nested entry and exit, and must not use the page in between. The test uses SVM,
 * because QEMU can emulate it.
 */
#include <cpuid.h>
#include <stdio.h>
#include <time.h>

#include "ram_fixture.h"

#define RACE_SECONDS	6

/*
 * The pages that KVM writes to are in the first block of the file, and the memory of the nested
 * guest is in the last. The blocks between them can be removed.
 */
#define VMCB_OFFSET	(1 * PAGE)
#define HSAVE_OFFSET	(2 * PAGE)
#define REST_OFFSET	BLOCK
#define REST_SIZE	(2 * BLOCK)
#define CODE_OFFSET	(3 * BLOCK)
#define WORD_OFFSET	(3 * BLOCK + PAGE)

#define CPUID_SVM		0x4
#define EFER_SVME		0x1000
#define MSR_VM_HSAVE_PA		0xc0010117

/* Offsets in struct vmcb, and flags. */
#define VMCB_INTERCEPTS		0x0c
#define INTERCEPT_HLT		0x001000000ULL
#define INTERCEPT_SHUTDOWN	0x080000000ULL
#define INTERCEPT_VMRUN		0x100000000ULL
#define INTERCEPT_VMMCALL	0x200000000ULL
#define VMCB_ASID		0x58
#define VMCB_EXIT_CODE		0x70
#define VMCB_SEGMENTS		0x400
#define VMCB_EFER		0x4d0
#define VMCB_CR4		0x548
#define VMCB_CR3		0x550
#define VMCB_CR0		0x558
#define VMCB_DR7		0x560
#define VMCB_DR6		0x568
#define VMCB_RFLAGS		0x570
#define VMCB_RIP		0x578
#define VMCB_PAT		0x668

struct vmcb_segment {
	uint16_t selector;
	uint16_t attributes;
	uint32_t limit;
	uint64_t base;
};

static void put(char *vmcb, size_t offset, uint64_t value)
{
	memcpy(vmcb + offset, &value, sizeof(value));
}

static uint64_t get(const char *vmcb, size_t offset)
{
	uint64_t value;

	memcpy(&value, vmcb + offset, sizeof(value));
	return value;
}

/* Makes a VMCB with the state of the CPU that runs it, but another rip. */
static void make_vmcb(char *ram, const struct kvm_sregs *sregs)
{
	const struct vmcb_segment data = { 16, 0xc93, 0xffffffff }, code = { 8, 0xa9b, 0xffffffff };
	/* es, cs, ss, ds */
	const struct vmcb_segment segments[] = { data, code, data, data };
	char *vmcb = ram + VMCB_OFFSET;

	memset(vmcb, 0, PAGE);
	put(vmcb, VMCB_INTERCEPTS, INTERCEPT_HLT | INTERCEPT_SHUTDOWN | INTERCEPT_VMRUN |
	    INTERCEPT_VMMCALL);
	put(vmcb, VMCB_ASID, 1);
	memcpy(vmcb + VMCB_SEGMENTS, segments, sizeof(segments));
	put(vmcb, VMCB_EFER, sregs->efer);
	put(vmcb, VMCB_CR0, sregs->cr0);
	put(vmcb, VMCB_CR3, sregs->cr3);
	put(vmcb, VMCB_CR4, sregs->cr4);
	put(vmcb, VMCB_DR6, 0xffff0ff0);
	put(vmcb, VMCB_DR7, 0x400);
	put(vmcb, VMCB_RFLAGS, 2);
	put(vmcb, VMCB_RIP, RAM_GPA + CODE_OFFSET);
	put(vmcb, VMCB_PAT, 0x0007040600070406);
	memcpy(ram + CODE_OFFSET, vmm_nested, vmm_nested_end - vmm_nested);
	memset(ram + WORD_OFFSET, 0, PAGE);
}

static bool has_svm(void)
{
	unsigned int a, b, c, d;

	return __get_cpuid(0x80000001, &a, &b, &c, &d) && c & CPUID_SVM;
}

static int nest_setup(const struct vcpu *c, char *ram)
{
	struct kvm_sregs sregs;

	if (ioctl(c->fd, KVM_GET_SREGS, &sregs))
		return -1;
	sregs.efer |= EFER_SVME;
	if (ioctl(c->fd, KVM_SET_SREGS, &sregs))
		return -1;
	make_vmcb(ram, &sregs);
	return vcpu_set_msr(c, MSR_VM_HSAVE_PA, RAM_GPA + HSAVE_OFFSET);
}

/* Runs the nested guest @times, which counts as often. */
static enum vcpu_end nest(struct vcpu *c, uint64_t times)
{
	const struct guest_job job = {
		.command = GUEST_NEST,
		.gpa = RAM_GPA + VMCB_OFFSET,
		.words = times,
		.counter = RAM_GPA + WORD_OFFSET,
	};

	return guest_do(c, &job);
}

static uint64_t counted(const char *ram)
{
	return get(ram, WORD_OFFSET);
}

/* Works without the parameter allow_unsafe_mappings of the kvm module. */
TEST_F(ram, runs)
{
	FILE *f = fopen("/sys/module/kvm/parameters/allow_unsafe_mappings", "r");

	ASSERT_NE(NULL, f);
	EXPECT_EQ('N', getc(f));
	fclose(f);
	if (!has_svm())
		SKIP(return, "no SVM");
	ASSERT_EQ(0, nest_setup(&self->cpu, self->ram));
	EXPECT_EQ(VCPU_DONE, nest(&self->cpu, 1));
	EXPECT_EQ(1, counted(self->ram));
	EXPECT_EQ(VCPU_DONE, nest(&self->cpu, 500));
	EXPECT_EQ(501, counted(self->ram));
}

/* A nested exit writes the fields that it changes, and no other bytes of the page. */
TEST_F(ram, written_back)
{
	char before[PAGE];
	char *vmcb = self->ram + VMCB_OFFSET;
	int i;

	if (!has_svm())
		SKIP(return, "no SVM");
	ASSERT_EQ(0, nest_setup(&self->cpu, self->ram));
	memset(vmcb + PAGE - 1024, 0x5a, 1024);
	memcpy(before, vmcb, PAGE);
	EXPECT_EQ(VCPU_DONE, nest(&self->cpu, 3));
	EXPECT_EQ(0x81, get(vmcb, VMCB_EXIT_CODE));
	EXPECT_EQ(get(before, VMCB_RIP) + 3 + 3, get(vmcb, VMCB_RIP));
	for (i = 0; i < 1024 && vmcb[PAGE - 1024 + i] == 0x5a; i++)
		;
	EXPECT_EQ(1024, i);
}

/* The next VMRUN after a hole finds zeroes, which are not a valid VMCB. */
TEST_F(ram, punched)
{
	if (!has_svm())
		SKIP(return, "no SVM");
	ASSERT_EQ(0, nest_setup(&self->cpu, self->ram));
	ASSERT_EQ(VCPU_DONE, nest(&self->cpu, 10));
	ASSERT_EQ(0, fallocate(self->fd, PUNCH, 0, BLOCK));
	EXPECT_EQ(VCPU_BAD, nest(&self->cpu, 10));
	EXPECT_EQ(-1, (int)get(self->ram + VMCB_OFFSET, VMCB_EXIT_CODE));
	EXPECT_EQ(10, counted(self->ram));
	/* A new VMCB in a new block works. */
	ASSERT_EQ(0, nest_setup(&self->cpu, self->ram));
	EXPECT_EQ(VCPU_DONE, nest(&self->cpu, 10));
	EXPECT_EQ(10, counted(self->ram));
	/* If the page cannot be allocated, KVM_RUN reports it to the VMM. */
	ASSERT_EQ(0, ftruncate(self->fd, 0));
	EXPECT_EQ(VCPU_ASTRAY, nest(&self->cpu, 1));
	ASSERT_EQ(0, ftruncate(self->fd, RAM_SIZE));
	ASSERT_EQ(0, nest_setup(&self->cpu, self->ram));
	EXPECT_EQ(VCPU_DONE, nest(&self->cpu, 10));
}

/* KVM does not access a private page for a guest without private memory. */
TEST_F(ram, converted)
{
	char before[PAGE];

	/* A slot by address has no pages to convert. */
	if (!variant->descriptor)
		return;
	if (!has_svm())
		SKIP(return, "no SVM");
	ASSERT_EQ(0, nest_setup(&self->cpu, self->ram));
	ASSERT_EQ(VCPU_DONE, nest(&self->cpu, 10));
	memcpy(before, self->ram + VMCB_OFFSET, PAGE);
	ASSERT_EQ(0, gmem_convert(self->gmem, VMCB_OFFSET, PAGE, GMEM_PRIVATE));
	EXPECT_EQ(VCPU_ASTRAY, nest(&self->cpu, 10));
	ASSERT_EQ(0, gmem_convert(self->gmem, VMCB_OFFSET, PAGE, GMEM_SHARED));
	EXPECT_EQ(0, memcmp(before, self->ram + VMCB_OFFSET, PAGE));
	EXPECT_EQ(VCPU_DONE, nest(&self->cpu, 10));
	EXPECT_EQ(20, counted(self->ram));
}

/**
 * struct runner - a thread that runs the nested guest until it is told to stop
 * @cpu: its CPU
 * @ram: its memory
 * @stop: the thread has to stop
 * @rounds: jobs completed
 * @lost: runs that found no valid VMCB
 * @failed: KVM_RUN has failed
 */
struct runner {
	struct vcpu *cpu;
	char *ram;
	bool stop;
	unsigned long rounds;
	unsigned long lost;
	bool failed;
};

static void *keep_running(void *arg)
{
	struct runner *r = arg;
	enum vcpu_end how;

	while (!r->failed && !__atomic_load_n(&r->stop, __ATOMIC_RELAXED)) {
		how = nest(r->cpu, 20);
		if (how == VCPU_DONE) {
			r->rounds++;
			continue;
		}
		r->lost++;
		r->failed = how != VCPU_BAD || nest_setup(r->cpu, r->ram);
	}
	return NULL;
}

static void start(struct runner *r, struct vcpu *cpu, char *ram, pthread_t *thread)
{
	*r = (struct runner) { .cpu = cpu, .ram = ram };
	pthread_create(thread, NULL, keep_running, r);
}

static void finish(struct runner *r, pthread_t thread)
{
	__atomic_store_n(&r->stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	printf("# %lu rounds, %lu times without VMCB\n", r->rounds, r->lost);
}

/* Changes of other blocks do not affect the nested guest. */
TEST_F(ram, beside_changes)
{
	time_t end = time(NULL) + RACE_SECONDS;
	unsigned long wrong = 0, changes = 0;
	struct runner r;
	pthread_t thread;

	if (!has_svm())
		SKIP(return, "no SVM");
	ASSERT_EQ(0, nest_setup(&self->cpu, self->ram));
	start(&r, &self->cpu, self->ram, &thread);
	for (; time(NULL) < end; changes++) {
		memset(self->ram + REST_OFFSET, 0x11, PAGE);
		if (variant->descriptor) {
			wrong += gmem_convert(self->gmem, REST_OFFSET, BLOCK, GMEM_PRIVATE) != 0;
			wrong += gmem_convert(self->gmem, REST_OFFSET, BLOCK, GMEM_SHARED) != 0;
		}
		wrong += fallocate(self->fd, PUNCH, REST_OFFSET, REST_SIZE) != 0;
	}
	finish(&r, thread);
	EXPECT_EQ(0, wrong);
	EXPECT_GT(changes, 10);
	EXPECT_GT(r.rounds, 10);
	EXPECT_EQ(0, r.lost);
	EXPECT_FALSE(r.failed);
	EXPECT_EQ(20 * r.rounds, counted(self->ram));
}

/* The block with the VMCB is punched and given to another file: KVM must not write to it there. */
TEST_F(ram, block_is_another_files)
{
	int other = file_make(&self->p, "other", 8 * BLOCK);
	char *m = map_file(other, 0, 8 * BLOCK);
	time_t end = time(NULL) + RACE_SECONDS;
	unsigned long wrong = 0, dirty = 0, changes = 0;
	struct runner r;
	pthread_t thread;

	ASSERT_NE(MAP_FAILED, (void *)m);
	if (!has_svm())
		SKIP(return, "no SVM");
	ASSERT_EQ(0, nest_setup(&self->cpu, self->ram));
	start(&r, &self->cpu, self->ram, &thread);
	for (; time(NULL) < end; changes++) {
		wrong += fallocate(self->fd, PUNCH, 0, BLOCK) != 0;
		wrong += fallocate(other, 0, 0, 8 * BLOCK) != 0;
		for (int i = 0; i < 8; i++)
			dirty += !is_zero(m + i * BLOCK, HSAVE_OFFSET + PAGE);
		wrong += fallocate(other, PUNCH, 0, 8 * BLOCK) != 0;
	}
	finish(&r, thread);
	EXPECT_EQ(0, wrong);
	EXPECT_EQ(0, dirty);
	EXPECT_GT(changes, 10);
	EXPECT_FALSE(r.failed);
	EXPECT_GT(r.rounds, 0);
	EXPECT_GT(r.lost, 0);
}

TEST_HARNESS_MAIN
