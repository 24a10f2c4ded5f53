/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_VMM_H
#define _GUESTMEMFS_VMM_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A small virtual machine monitor for 64-bit guests, whose memory the caller provides. Functions
 * return like ioctl(): -1 and errno on failure.
 */

/* Program and page tables, in ordinary memory. Each command accesses all of these pages. */
#define VMM_LOW_GPA	0x10000UL
#define VMM_LOW_PAGES	3
#define VMM_LOW_SLOT	0
/* The size of the guest physical address space that the page tables map. */
#define VMM_LIMIT	(64UL << 30)

/**
 * struct vmm - a virtual machine
 * @kvm: /dev/kvm
 * @vm: the machine
 * @low: its program and page tables
 */
struct vmm {
	int kvm;
	int vm;
	char *low;
};

/**
 * struct vcpu - a virtual CPU
 * @fd: its descriptor
 * @run: the exit information of KVM_RUN
 * @run_size: bytes of @run
 */
struct vcpu {
	int fd;
	struct kvm_run *run;
	size_t run_size;
};

/**
 * enum vcpu_end - why vcpu_go() has returned
 * @VCPU_DONE: the job is done
 * @VCPU_BAD: the guest has found a wrong value
 * @VCPU_FAULT: KVM_EXIT_MEMORY_FAULT, memory of the wrong kind; vcpu_go() repeats the access
 * @VCPU_NO_MEMORY: EFAULT without that exit, no memory; vcpu_go() repeats the access
 * @VCPU_STOPPED: vcpu_stop() was called; vcpu_go() continues
 * @VCPU_ASTRAY: any other exit, described on standard output
 */
enum vcpu_end {
	VCPU_DONE,
	VCPU_BAD,
	VCPU_FAULT,
	VCPU_NO_MEMORY,
	VCPU_STOPPED,
	VCPU_ASTRAY,
};

/**
 * enum guest_command - the jobs of a guest, see vmm_guest.S
 * @GUEST_FILL: fill words with a number and the following ones
 * @GUEST_CHECK: check the words of GUEST_FILL
 * @GUEST_TOUCH: read words
 * @GUEST_COUNT: increment words for ever
 * @GUEST_NEST: run a nested guest by SVM
 */
enum guest_command {
	GUEST_FILL,
	GUEST_CHECK,
	GUEST_TOUCH,
	GUEST_COUNT,
	GUEST_NEST,
};

/* The guest's program, in vmm_guest.S. */
extern const char vmm_guest[], vmm_guest_end[];
extern const char vmm_guest_fill[], vmm_guest_check[], vmm_guest_touch[], vmm_guest_count[];
extern const char vmm_guest_nest[];
/* The program of the nested guest. */
extern const char vmm_nested[], vmm_nested_end[];

/**
 * struct guest_job - a job for a guest
 * @command: the kind of job
 * @gpa: address of the first word, or of the VMCB
 * @words: number of words, at least one; or number of runs of the VMCB
 * @stride: bytes between words; not used by GUEST_COUNT
 * @value: value of the first word
 * @counter: address of the number of rounds of GUEST_COUNT, or of the nested guest's counter
 */
struct guest_job {
	enum guest_command command;
	uint64_t gpa;
	uint64_t words;
	uint64_t stride;
	uint64_t value;
	uint64_t counter;
};

/**
 * struct vcpu_state - the state of a CPU that a guest needs to continue on another one
 * @regs: general registers
 * @sregs: segments and control registers
 * @events: pending events
 * @msrs: MSRs, in the order of vmm.c
 * @xsave: floating point state
 */
struct vcpu_state {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_vcpu_events events;
	uint64_t msrs[2];
	struct kvm_xsave xsave;
};

bool vmm_has_type(unsigned long type);
int vmm_make(struct vmm *v, unsigned long type);
void vmm_close(struct vmm *v);
bool vmm_is_intact(const struct vmm *v);
int vmm_add_memory(const struct vmm *v, int slot, uint64_t gpa, void *p, size_t len);
int vmm_set_region(const struct vmm *v, const struct kvm_userspace_memory_region2 *region);
int vmm_bind(const struct vmm *v, int slot, uint64_t gpa, size_t len, int fd, uint64_t offset);
int vmm_bind_as(const struct vmm *v, int slot, uint32_t flags, uint64_t gpa, size_t len, int fd,
		uint64_t offset);
int vmm_remove(const struct vmm *v, int slot);
long vmm_stat(const struct vmm *v, const char *name);
long vmm_entries(const struct vmm *v, const char *size);

int vcpu_make(const struct vmm *v, struct vcpu *c, int id);
void vcpu_close(struct vcpu *c);
enum vcpu_end vcpu_go(struct vcpu *c);
void vcpu_stop(struct vcpu *c, pthread_t thread);
int vcpu_save(const struct vcpu *c, struct vcpu_state *s);
int vcpu_restore(const struct vcpu *c, struct vcpu_state *s);

int guest_start(const struct vcpu *c, const struct guest_job *job);
enum vcpu_end guest_do(struct vcpu *c, const struct guest_job *job);
enum vcpu_end guest_fill(struct vcpu *c, uint64_t gpa, size_t len, uint64_t seed);
enum vcpu_end guest_check(struct vcpu *c, uint64_t gpa, size_t len, uint64_t seed);
enum vcpu_end guest_touch(struct vcpu *c, uint64_t gpa, uint64_t words, uint64_t stride);
enum vcpu_end guest_store(struct vcpu *c, uint64_t gpa, uint64_t word);
int64_t guest_load(struct vcpu *c, uint64_t gpa);

#endif /* _GUESTMEMFS_VMM_H */
