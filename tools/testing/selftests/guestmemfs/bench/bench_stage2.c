// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counts the instructions of a guest's fault on memory that is present, by which KVM makes an entry
 * of the second stage: bench_stage2 DIRECTORY-OF-A-POOL. A slot has the memory by address or by
 * descriptor. It needs a machine with one processor, whose clock advances by a nanosecond with each
 * instruction. See the VM test bench-stage2.
 */
#define _GNU_SOURCE
#include <err.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "stage2.h"
#include "systems.h"
#include "util.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE	23
#endif

#define RAM_GPA		(4 * GIB)

static void sample_fault(const char *what, const struct system *s, const struct vmm *v,
			 struct vcpu *c, const struct kvm_userspace_memory_region2 *ram)
{
	long cost = cost_of_guest_fault(v, c, ram, s->entry);

	if (cost <= 0)
		errx(1, "%s: %s was not measured", s->name, what);
	sample(what, s->entry, cost);
}

/*
 * The guest's address is as far from an aligned one as the mapping's, so that no entry is larger
 * than the system's.
 */
static void measure(const struct system *s)
{
	struct kvm_userspace_memory_region2 ram = {
		.slot = VMM_LOW_SLOT + 1,
		.guest_phys_addr = RAM_GPA + s->shift,
		.memory_size = GIB,
	};
	char *base = reserve(2 * GIB, GIB), *p;
	struct vmm v;
	struct vcpu c;
	int fd, gmem;

	if (base == MAP_FAILED || vmm_make(&v, KVM_X86_DEFAULT_VM) || vcpu_make(&v, &c, 0))
		err(1, "%s: a virtual machine", s->name);
	system_vm = v.vm;
	fd = system_file(s, GIB);
	p = system_map(s, base, fd, 0, GIB);
	if (madvise(p, GIB, MADV_POPULATE_WRITE))
		err(1, "%s: MADV_POPULATE_WRITE", s->name);
	gmem = system_gmem(s, fd);
	/* Memory of guest_memfd is by descriptor. */
	if (gmem != fd) {
		ram.userspace_addr = (uintptr_t)p;
		sample_fault("guest_fault_address", s, &v, &c, &ram);
	}
	if (gmem >= 0) {
		ram.flags = KVM_MEM_GUEST_MEMFD;
		ram.guest_memfd = gmem;
		sample_fault("guest_fault_descriptor", s, &v, &c, &ram);
	}
	samples_print(s);
}

int main(int argc, char **argv)
{
	if (argc != 2)
		errx(2, "usage: bench_stage2 DIRECTORY");
	pool_dir = argv[1];
	systems_measure(measure);
	return 0;
}
