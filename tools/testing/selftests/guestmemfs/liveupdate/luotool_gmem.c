// SPDX-License-Identifier: GPL-2.0-only
/*
 * Commands of luotool that make it a virtual machine monitor: descriptors for virtual machines, and
 * guests that count in their files. The names of virtual machines are separate from those of
 * descriptors.
 */
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "../kvm/counter.h"
#include "../kvm/gmem.h"
#include "luotool.h"

#define MAX_VMS	8

static struct {
	char name[32];
	struct counter c;
} vms[MAX_VMS];

static int vm_slot(const char *name)
{
	for (int i = 0; i < MAX_VMS; i++)
		if (!strcmp(vms[i].name, name))
			return i;
	return -1;
}

static struct counter *vm_of(const char *name)
{
	int slot = vm_slot(name);

	if (slot < 0)
		errx(2, "line %u: no virtual machine is called %s", line_nr, name);
	return &vms[slot].c;
}

/* vm NAME protected|ordinary */
static int make_vm(char **w)
{
	int slot = vm_slot("");

	if (slot < 0 || vm_slot(w[1]) >= 0)
		errx(2, "line %u: no room for a virtual machine %s", line_nr, w[1]);
	counter_make(&vms[slot].c, counter_type(w[2]));
	snprintf(vms[slot].name, sizeof(vms[slot].name), "%s", w[1]);
	return 0;
}

/* end VM: closes the virtual machine. */
static int end_vm(char **w)
{
	struct counter *c = vm_of(w[1]);

	vcpu_close(&c->cpu);
	vmm_close(&c->vmm);
	vms[vm_slot(w[1])].name[0] = '\0';
	return 0;
}

static uint64_t kind_of(const char *word)
{
	if (strcmp(word, "private") && strcmp(word, "shared"))
		errx(2, "line %u: %s is neither private nor shared", line_nr, word);
	return strcmp(word, "private") ? GMEM_SHARED : GMEM_PRIVATE;
}

/*
 * gmem NAME FILE VM private|shared map|nomap|missing: makes a descriptor of the file's memory, with
 * the initial state of the file. VM may be a descriptor, which is not a virtual machine. "missing"
 * is "map", and an access of the guest to a missing page fails.
 */
static int make_gmem(char **w)
{
	int vm = vm_slot(w[3]) < 0 ? fd_of(w[3]) : vm_of(w[3])->vmm.vm;
	uint32_t flags = kind_of(w[4]) == GMEM_SHARED ? GUESTMEMFS_GMEM_INIT_SHARED : 0;

	if (!strcmp(w[5], "map"))
		flags |= GUESTMEMFS_GMEM_MMAP;
	else if (!strcmp(w[5], "missing"))
		flags |= GUESTMEMFS_GMEM_MMAP | GUESTMEMFS_GMEM_EXIT_MISSING;
	else if (strcmp(w[5], "nomap"))
		errx(2, "line %u: %s is neither map, nomap nor missing", line_nr, w[5]);
	return named(w[1], gmem_create(fd_of(w[2]), vm, flags));
}

/* slot VM GMEM SIZE: binds the descriptor's memory to the guest. */
static int make_slot(char **w)
{
	return counter_bind(vm_of(w[1]), fd_of(w[2]), parse(w[3]));
}

/* begin VM: makes the guest ready to count. */
static int begin(char **w)
{
	counter_begin(vm_of(w[1]));
	return 0;
}

/* count VM ROUNDS: runs the guest for ROUNDS more. */
static int count(char **w)
{
	struct counter *c = vm_of(w[1]);

	counter_run(c, counter_rounds(c) + parse(w[2]));
	return 0;
}

/* save VM PATH */
static int save(char **w)
{
	counter_save(vm_of(w[1]), w[2]);
	return 0;
}

/* resume VM PATH: restores the guest and checks all of its memory. */
static int resume(char **w)
{
	counter_resume(vm_of(w[1]), w[2]);
	return 0;
}

/*
 * reach VM OFFSET: checks that the guest can access this byte of its file. The guest must not
 * count.
 */
static int reach(char **w)
{
	enum vcpu_end end = guest_touch(&vm_of(w[1])->cpu, COUNTER_GPA + parse(w[2]), 1, 0);

	if (end == VCPU_DONE)
		return 0;
	errno = end == VCPU_FAULT ? EFAULT : end == VCPU_NO_MEMORY ? ENOMEM : EBADE;
	return -1;
}

/* look FILE OFFSET: checks that the host can access the byte in a mapping of this descriptor. */
static int look(char **w)
{
	unsigned long offset = parse(w[2]);
	void *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd_of(w[1]),
		       offset / PAGE * PAGE);
	int value;

	if (p == MAP_FAILED)
		return -1;
	catch_faults();
	value = peek((char *)p + offset % PAGE);
	munmap(p, PAGE);
	errno = EFAULT;
	return value < 0 ? -1 : 0;
}

/* convert GMEM private|shared OFFSET LENGTH */
static int convert(char **w)
{
	return gmem_convert(fd_of(w[1]), parse(w[3]), parse(w[4]), kind_of(w[2]));
}

/* is FILE OFFSET private|shared */
static int is_kind(char **w)
{
	int64_t state = gmem_state(fd_of(w[1]), parse(w[2]));

	if (state < 0) {
		errno = -state;
		return -1;
	}
	return same("private", !!(state & GUESTMEMFS_STATE_PRIVATE),
		    kind_of(w[3]) == GMEM_PRIVATE);
}

const struct command gmem_commands[] = {
	{ "vm",		2, make_vm },
	{ "end",	1, end_vm },
	{ "gmem",	5, make_gmem },
	{ "slot",	3, make_slot },
	{ "begin",	1, begin },
	{ "count",	2, count },
	{ "save",	2, save },
	{ "resume",	2, resume },
	{ "reach",	2, reach },
	{ "look",	2, look },
	{ "convert",	4, convert },
	{ "is",		3, is_kind },
	{}
};
