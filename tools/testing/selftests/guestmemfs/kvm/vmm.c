// SPDX-License-Identifier: GPL-2.0-only
/*
 * A small virtual machine monitor for tests of guest memory, without devices and interrupts. A
 * guest gets a job and halts when it is done.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kselftest.h"
#include "util.h"
#include "vmm.h"

static const char * const commands[] = {
	[GUEST_FILL]	= vmm_guest_fill,
	[GUEST_CHECK]	= vmm_guest_check,
	[GUEST_TOUCH]	= vmm_guest_touch,
	[GUEST_COUNT]	= vmm_guest_count,
	[GUEST_NEST]	= vmm_guest_nest,
};

#define PROGRAM_GPA	(VMM_LOW_GPA + 2 * PAGE)

/*
 * Present, writable, user, accessed and dirty, so that the CPU does not write to the entry later.
 */
#define ENTRY_TABLE	0x27
#define ENTRY_GIGABYTE	0xe7

#define CR0_PE		0x1
#define CR0_MP		0x2
#define CR0_ET		0x10
#define CR0_NE		0x20
#define CR0_PG		0x80000000
#define CR4_PAE		0x20
#define CR4_OSFXSR	0x200
#define CR4_OSXMMEXCPT	0x400
#define EFER_LME	0x100
#define EFER_LMA	0x400

#define MSR_TSC			0x10
#define MSR_KERNEL_GS_BASE	0xc0000102

#define STOP_SIGNAL	SIGUSR1
#define MAX_CPUID	256

static const uint32_t saved_msrs[] = { MSR_KERNEL_GS_BASE, MSR_TSC };

#define NR_MSRS	ARRAY_SIZE(saved_msrs)

/* The signal only has to interrupt the system call. */
static void on_stop(int sig)
{
	(void)sig;
}

/* Is there KVM with this type of virtual machine? */
bool vmm_has_type(unsigned long type)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), types;

	if (kvm < 0)
		return false;
	types = ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_VM_TYPES);
	close(kvm);
	return types > 0 ? types & (1UL << type) : !type;
}

/* Makes an identity mapping by gigabytes, which needs only two pages of tables. */
static void fill_low(char *low)
{
	uint64_t *pml4 = (uint64_t *)low, *pdpt = (uint64_t *)(low + PAGE);
	unsigned int i;

	pml4[0] = (VMM_LOW_GPA + PAGE) | ENTRY_TABLE;
	for (i = 0; i < VMM_LIMIT / GIB; i++)
		pdpt[i] = i * GIB | ENTRY_GIGABYTE;
	memcpy(low + 2 * PAGE, vmm_guest, vmm_guest_end - vmm_guest);
}

static int make_low(struct vmm *v)
{
	v->low = mmap(NULL, VMM_LOW_PAGES * PAGE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (v->low == MAP_FAILED)
		return -1;
	/*
	 * NUMA balancing takes the mappings of pages away to see where they are used, which is one
	 * more fault of a guest, but not those of a range with a policy of its own. Without NUMA
	 * the kernel does not have the system call.
	 */
	syscall(SYS_mbind, v->low, VMM_LOW_PAGES * PAGE, MPOL_LOCAL, NULL, 0, 0);
	fill_low(v->low);
	return vmm_add_memory(v, VMM_LOW_SLOT, VMM_LOW_GPA, v->low, VMM_LOW_PAGES * PAGE);
}

/* Are the program and page tables unchanged? The guest never writes to them. */
bool vmm_is_intact(const struct vmm *v)
{
	uint64_t low[VMM_LOW_PAGES * PAGE / sizeof(uint64_t)] = {};

	fill_low((char *)low);
	return !memcmp(low, v->low, sizeof(low));
}

/* Makes a virtual machine of a type (KVM_X86_*_VM) that has only its program in memory. */
int vmm_make(struct vmm *v, unsigned long type)
{
	struct sigaction action = { .sa_handler = on_stop };

	sigaction(STOP_SIGNAL, &action, NULL);
	v->low = MAP_FAILED;
	v->vm = -1;
	v->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (v->kvm < 0)
		return -1;
	v->vm = ioctl(v->kvm, KVM_CREATE_VM, type);
	if (v->vm >= 0 && !make_low(v))
		return 0;
	vmm_close(v);
	return -1;
}

/* The virtual machine ends when its CPUs are closed, too. */
void vmm_close(struct vmm *v)
{
	int err = errno;

	if (v->vm >= 0)
		close(v->vm);
	close(v->kvm);
	if (v->low != MAP_FAILED)
		munmap(v->low, VMM_LOW_PAGES * PAGE);
	errno = err;
}

int vmm_set_region(const struct vmm *v, const struct kvm_userspace_memory_region2 *region)
{
	return ioctl(v->vm, KVM_SET_USER_MEMORY_REGION2, region);
}

/* Adds a slot by address. */
int vmm_add_memory(const struct vmm *v, int slot, uint64_t gpa, void *p, size_t len)
{
	const struct kvm_userspace_memory_region2 region = {
		.slot = slot,
		.guest_phys_addr = gpa,
		.memory_size = len,
		.userspace_addr = (uintptr_t)p,
	};

	return vmm_set_region(v, &region);
}

/* Adds or changes a slot by descriptor. @flags is KVM_MEM_* but for KVM_MEM_GUEST_MEMFD. */
int vmm_bind_as(const struct vmm *v, int slot, uint32_t flags, uint64_t gpa, size_t len, int fd,
		uint64_t offset)
{
	const struct kvm_userspace_memory_region2 region = {
		.slot = slot,
		.flags = KVM_MEM_GUEST_MEMFD | flags,
		.guest_phys_addr = gpa,
		.memory_size = len,
		.guest_memfd = fd,
		.guest_memfd_offset = offset,
	};

	return vmm_set_region(v, &region);
}

int vmm_bind(const struct vmm *v, int slot, uint64_t gpa, size_t len, int fd, uint64_t offset)
{
	return vmm_bind_as(v, slot, 0, gpa, len, fd, offset);
}

int vmm_remove(const struct vmm *v, int slot)
{
	const struct kvm_userspace_memory_region2 region = { .slot = slot };

	return vmm_set_region(v, &region);
}

/* Returns a statistic of the virtual machine and all of its CPUs, by its name in debugfs. */
long vmm_stat(const struct vmm *v, const char *name)
{
	char path[128];
	long nr = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/kernel/debug/kvm/%d-%d/%s", getpid(), v->vm, name);
	f = fopen(path, "r");
	if (!f || fscanf(f, "%ld", &nr) != 1)
		nr = -1;
	if (f)
		fclose(f);
	return nr;
}

/* Returns the number of second-stage entries of a size: "4k", "2m" or "1g". */
long vmm_entries(const struct vmm *v, const char *size)
{
	char name[16];

	snprintf(name, sizeof(name), "pages_%s", size);
	return vmm_stat(v, name);
}

static int set_cpuid(const struct vmm *v, const struct vcpu *c)
{
	struct kvm_cpuid2 *cpuid;
	int ret = -1;

	cpuid = calloc(1, sizeof(*cpuid) + MAX_CPUID * sizeof(cpuid->entries[0]));
	if (!cpuid)
		return -1;
	cpuid->nent = MAX_CPUID;
	if (!ioctl(v->kvm, KVM_GET_SUPPORTED_CPUID, cpuid))
		ret = ioctl(c->fd, KVM_SET_CPUID2, cpuid);
	free(cpuid);
	return ret;
}

static int set_long_mode(const struct vcpu *c)
{
	struct kvm_segment segment = {
		.limit = 0xffffffff, .selector = 16, .type = 3,
		.present = 1, .db = 1, .s = 1, .g = 1,
	};
	struct kvm_sregs sregs;

	if (ioctl(c->fd, KVM_GET_SREGS, &sregs))
		return -1;
	sregs.ds = segment;
	sregs.es = segment;
	sregs.ss = segment;
	segment.selector = 8;
	segment.type = 11;
	segment.db = 0;
	segment.l = 1;
	sregs.cs = segment;
	sregs.cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_PG;
	sregs.cr3 = VMM_LOW_GPA;
	sregs.cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
	sregs.efer = EFER_LME | EFER_LMA;
	return ioctl(c->fd, KVM_SET_SREGS, &sregs);
}

/* Makes a CPU in 64-bit mode, without a job. */
int vcpu_make(const struct vmm *v, struct vcpu *c, int id)
{
	int size = ioctl(v->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);

	c->run = MAP_FAILED;
	c->run_size = size;
	c->fd = ioctl(v->vm, KVM_CREATE_VCPU, id);
	if (c->fd < 0)
		return -1;
	if (!set_cpuid(v, c) && !set_long_mode(c)) {
		c->run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, c->fd, 0);
		if (c->run != MAP_FAILED)
			return 0;
	}
	vcpu_close(c);
	return -1;
}

void vcpu_close(struct vcpu *c)
{
	int err = errno;

	if (c->run != MAP_FAILED)
		munmap(c->run, c->run_size);
	close(c->fd);
	errno = err;
}

static enum vcpu_end halted(const struct vcpu *c)
{
	struct kvm_regs regs;

	if (ioctl(c->fd, KVM_GET_REGS, &regs))
		return VCPU_ASTRAY;
	return regs.rcx ? VCPU_BAD : VCPU_DONE;
}

/* Runs the guest until it stops, and returns the reason. */
enum vcpu_end vcpu_go(struct vcpu *c)
{
	struct kvm_regs regs = {};
	int err = ERR(ioctl(c->fd, KVM_RUN, NULL));

	if (!err && c->run->exit_reason == KVM_EXIT_HLT)
		return halted(c);
	if (err == EFAULT && c->run->exit_reason == KVM_EXIT_MEMORY_FAULT)
		return VCPU_FAULT;
	if (err == EFAULT && c->run->exit_reason == KVM_EXIT_UNKNOWN)
		return VCPU_NO_MEMORY;
	if (err == EINTR) {
		__atomic_store_n(&c->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
		return VCPU_STOPPED;
	}
	if (err != EIO)
		ioctl(c->fd, KVM_GET_REGS, &regs);
	printf("# the guest went astray: KVM_RUN %s, exit %u, rip %#llx, rcx %#llx, rdi %#llx\n",
	       strerror(err), c->run->exit_reason, regs.rip, regs.rcx, regs.rdi);
	errno = err;
	return VCPU_ASTRAY;
}

/* Stops the present or the next vcpu_go() of a thread. */
void vcpu_stop(struct vcpu *c, pthread_t thread)
{
	__atomic_store_n(&c->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	pthread_kill(thread, STOP_SIGNAL);
}

static int access_msrs(const struct vcpu *c, unsigned long request, uint64_t *values)
{
	char buffer[sizeof(struct kvm_msrs) + NR_MSRS * sizeof(struct kvm_msr_entry)] = {};
	struct kvm_msrs *msrs = (struct kvm_msrs *)buffer;
	unsigned int i;

	msrs->nmsrs = NR_MSRS;
	for (i = 0; i < NR_MSRS; i++) {
		msrs->entries[i].index = saved_msrs[i];
		msrs->entries[i].data = values[i];
	}
	if (ioctl(c->fd, request, msrs) != NR_MSRS)
		return -1;
	for (i = 0; i < NR_MSRS; i++)
		values[i] = msrs->entries[i].data;
	return 0;
}

/* Saves the CPU after VCPU_STOPPED or VCPU_DONE, when no exit is half handled. */
int vcpu_save(const struct vcpu *c, struct vcpu_state *s)
{
	memset(s, 0, sizeof(*s));
	if (ioctl(c->fd, KVM_GET_REGS, &s->regs) || ioctl(c->fd, KVM_GET_SREGS, &s->sregs) ||
	    ioctl(c->fd, KVM_GET_XSAVE, &s->xsave) ||
	    ioctl(c->fd, KVM_GET_VCPU_EVENTS, &s->events))
		return -1;
	return access_msrs(c, KVM_GET_MSRS, s->msrs);
}

/* Restores the state in a CPU of a machine of the same type. */
int vcpu_restore(const struct vcpu *c, struct vcpu_state *s)
{
	if (ioctl(c->fd, KVM_SET_SREGS, &s->sregs) || ioctl(c->fd, KVM_SET_XSAVE, &s->xsave) ||
	    ioctl(c->fd, KVM_SET_REGS, &s->regs) || access_msrs(c, KVM_SET_MSRS, s->msrs))
		return -1;
	return ioctl(c->fd, KVM_SET_VCPU_EVENTS, &s->events);
}

/* Sets the job that vcpu_go() runs. */
int guest_start(const struct vcpu *c, const struct guest_job *job)
{
	struct kvm_regs regs = {
		.rip = PROGRAM_GPA + (commands[job->command] - vmm_guest),
		.rflags = 2,
		.rax = job->value,
		.rcx = job->words,
		.rdx = job->stride,
		.rdi = job->gpa,
		.rsi = job->gpa,
		.r8 = job->words,
		.r9 = job->counter,
	};

	return ioctl(c->fd, KVM_SET_REGS, &regs);
}

enum vcpu_end guest_do(struct vcpu *c, const struct guest_job *job)
{
	return guest_start(c, job) ? VCPU_ASTRAY : vcpu_go(c);
}

/* Writes or checks the same pattern as fill() and is_filled() of util.c. */
static enum vcpu_end guest_pattern(struct vcpu *c, enum guest_command command, uint64_t gpa,
				   size_t len, uint64_t seed)
{
	const struct guest_job job = {
		.command = command,
		.gpa = gpa,
		.words = len / sizeof(uint64_t),
		.stride = sizeof(uint64_t),
		.value = (seed << 40) + 1,
	};

	return guest_do(c, &job);
}

enum vcpu_end guest_fill(struct vcpu *c, uint64_t gpa, size_t len, uint64_t seed)
{
	return guest_pattern(c, GUEST_FILL, gpa, len, seed);
}

enum vcpu_end guest_check(struct vcpu *c, uint64_t gpa, size_t len, uint64_t seed)
{
	return guest_pattern(c, GUEST_CHECK, gpa, len, seed);
}

enum vcpu_end guest_touch(struct vcpu *c, uint64_t gpa, uint64_t words, uint64_t stride)
{
	const struct guest_job job = {
		.command = GUEST_TOUCH, .gpa = gpa, .words = words, .stride = stride,
	};

	return guest_do(c, &job);
}

enum vcpu_end guest_store(struct vcpu *c, uint64_t gpa, uint64_t word)
{
	const struct guest_job job = {
		.command = GUEST_FILL, .gpa = gpa, .words = 1, .value = word,
	};

	return guest_do(c, &job);
}

/* Returns the word, or the negative enum vcpu_end. */
int64_t guest_load(struct vcpu *c, uint64_t gpa)
{
	enum vcpu_end end = guest_touch(c, gpa, 1, 0);
	struct kvm_regs regs;

	if (end != VCPU_DONE)
		return -(int64_t)end;
	return ioctl(c->fd, KVM_GET_REGS, &regs) ? -(int64_t)VCPU_ASTRAY : (int64_t)regs.rax;
}
