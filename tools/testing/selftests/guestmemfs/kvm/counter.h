/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_COUNTER_H
#define _GUESTMEMFS_COUNTER_H

#include <linux/kvm.h>
#include <stdint.h>

#include "util.h"
#include "vmm.h"

/*
 * A guest that counts in a file of guestmemfs. It can be stopped at any instruction, saved, and
 * continued in another virtual machine. Functions that return nothing end the program with a
 * message if they fail.
 */

#define COUNTER_SLOT		1
#define COUNTER_GPA		(4 * GIB)
#define COUNTER_MIN_SIZE	(16 * MIB)

/**
 * struct counter - a guest in a file
 * @type: KVM_X86_*_VM
 * @size: bytes of the file
 * @vmm: the virtual machine
 * @cpu: its CPU
 * @end: why it has stopped running
 */
struct counter {
	uint64_t type;
	uint64_t size;
	struct vmm vmm;
	struct vcpu cpu;
	enum vcpu_end end;
};

uint64_t counter_type(const char *name);
void counter_make(struct counter *c, uint64_t type);
int counter_bind(struct counter *c, int gmem, uint64_t size);
void counter_begin(struct counter *c);
void counter_run(struct counter *c, uint64_t rounds);
uint64_t counter_rounds(const struct counter *c);
void counter_save(const struct counter *c, const char *path);
uint64_t counter_saved_type(const char *path);
void counter_resume(struct counter *c, const char *path);

#endif /* _GUESTMEMFS_COUNTER_H */
