/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_VMM_H
#define _GUESTMEMFS_VMM_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A small virtual machine monitor: 64-bit guests whose memory is where the caller
 * puts it. Calls return what ioctl() does: -1 and errno on failure.
 */

/* Program and page tables, in ordinary memory. The guest touches all of them at once. */
#define VMM_LOW_GPA	0x10000UL
#define VMM_LOW_PAGES	3
#define VMM_LOW_SLOT	0
/* What guests can address. */
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
 * @run: what KVM tells of an exit
 * @run_size: bytes of @run
 */
struct vcpu {
	int fd;
	struct kvm_run *run;
	size_t run_size;
};

/**
 * enum vcpu_end - why a guest does not run any more
 * @VCPU_DONE: it has done what it was to do
 * @VCPU_BAD: it has found something wrong
 * @VCPU_FAULT: KVM_EXIT_MEMORY_FAULT: memory of the wrong kind; vcpu_go() tries again
 * @VCPU_NO_MEMORY: EFAULT without it: there is none; vcpu_go() tries again
 * @VCPU_STOPPED: by vcpu_stop(); vcpu_go() goes on
 * @VCPU_ASTRAY: anything else, told on standard output
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
 * enum guest_command - what a guest can do, see vmm_guest.S
 * @GUEST_FILL: fill words with a number and those that follow it
 * @GUEST_CHECK: are they there
 * @GUEST_TOUCH: read words
 * @GUEST_COUNT: count in words, for ever
 * @GUEST_NEST: run a guest of its own, AMD's way
 */
enum guest_command {
	GUEST_FILL,
	GUEST_CHECK,
	GUEST_TOUCH,
	GUEST_COUNT,
	GUEST_NEST,
};

/* The program, in vmm_guest.S. */
extern const char vmm_guest[], vmm_guest_end[];
extern const char vmm_guest_fill[], vmm_guest_check[], vmm_guest_touch[], vmm_guest_count[];
extern const char vmm_guest_nest[];
/* What it runs. */
extern const char vmm_nested[], vmm_nested_end[];

/**
 * struct guest_job - something for a guest to do
 * @command: what
 * @gpa: the first word; or the VMCB
 * @words: how many, at least one; or how often the VMCB is run
 * @stride: bytes from one to the next; of no use to GUEST_COUNT
 * @value: of the first word
 * @counter: where GUEST_COUNT has the word with its rounds, and the guest of GUEST_NEST its own
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
 * struct vcpu_state - all that makes one of our guests go on elsewhere
 * @regs: general registers
 * @sregs: segments and control registers
 * @events: what is pending
 * @msrs: MSRs, in the order of vmm.c
 * @xsave: floating point
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
