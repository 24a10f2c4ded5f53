// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counts the instructions of a fault in the second stage, for tests and benchmarks. What a nested
 * guest does under an emulator is counted like all else: an exit is a few instructions of KVM.
 */
#include <stdlib.h>

#include "cost.h"
#include "stage2.h"
#include "util.h"

/* A slot is made ROUNDS times, each time with as many faults as it has entries. */
#define ROUNDS		33
#define MAX_FAULTS	256
#define MAX_RUNS	32

static int compare(const void *a, const void *b)
{
	return *(const long *)a < *(const long *)b ? -1 : *(const long *)a > *(const long *)b;
}

static long median(long *costs, int nr)
{
	qsort(costs, nr, sizeof(*costs), compare);
	return costs[nr / 2];
}

/* Returns the instructions of a run of the guest in which it stores a word, or -1. */
static long cost_of_run(struct vcpu *c, uint64_t gpa)
{
	const struct guest_job job = { .command = GUEST_FILL, .gpa = gpa, .words = 1 };
	enum vcpu_end end;
	long start;

	if (guest_start(c, &job))
		return -1;
	start = now();
	end = vcpu_go(c);
	return end == VCPU_DONE ? now() - start : -1;
}

/*
 * Makes the slot. The guest runs once, so that no later fault is in its program, or allocates the
 * upper page tables: when the slot was deleted, KVM removed all entries of the machine.
 */
static int make_slot(const struct vmm *v, struct vcpu *c,
		     const struct kvm_userspace_memory_region2 *ram)
{
	if (vmm_set_region(v, ram))
		return -1;
	return guest_touch(c, VMM_LOW_GPA, 1, 0) == VCPU_DONE ? 0 : -1;
}

/* Adds the cost of a fault for each entry of a new slot to those that are there, or returns -1. */
static int faults_of_a_slot(const struct vmm *v, struct vcpu *c,
			    const struct kvm_userspace_memory_region2 *ram, size_t entry,
			    long *costs, int nr)
{
	const char * const size = entry == GIB ? "1g" : entry == BLOCK ? "2m" : "4k";
	long faults, entries;
	uint64_t offset;
	int from = nr;

	if (make_slot(v, c, ram))
		return -1;
	faults = vmm_stat(v, "pf_fixed");
	entries = vmm_entries(v, size);
	for (offset = 0; offset < ram->memory_size && nr < MAX_FAULTS; offset += entry) {
		costs[nr] = cost_of_run(c, ram->guest_phys_addr + offset);
		if (costs[nr++] < 0)
			return -1;
	}
	if (vmm_stat(v, "pf_fixed") - faults != nr - from ||
	    vmm_entries(v, size) - entries != nr - from)
		return -1;
	return nr;
}

/*
 * The median of all faults, so that faults that allocate a page table or are interrupted do not
 * count, minus the cost of a run without a fault, which ends in the same way.
 */
long cost_of_guest_fault(const struct vmm *v, struct vcpu *c,
			 const struct kvm_userspace_memory_region2 *ram, size_t entry)
{
	long costs[MAX_FAULTS], runs[MAX_RUNS];
	int round, nr = 0, i;

	for (round = 0; round < ROUNDS && nr < MAX_FAULTS; round++) {
		if (round && vmm_remove(v, ram->slot))
			return 0;
		nr = faults_of_a_slot(v, c, ram, entry, costs, nr);
		if (nr < 0)
			return 0;
	}
	for (i = 0; i < MAX_RUNS; i++) {
		runs[i] = cost_of_run(c, ram->guest_phys_addr);
		if (runs[i] < 0)
			return 0;
	}
	return vmm_remove(v, ram->slot) ? 0 : median(costs, nr) - median(runs, MAX_RUNS);
}
