// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest that outlives the kernel below it: counts in a file of guestmemfs, is saved,
 * and goes on from there in another virtual machine, after a kexec if need be. And what
 * the VM tests need to convert such files, and to tell what has become of them.
 */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gmem.h"
#include "size.h"
#include "util.h"
#include "vmm.h"

#define FILE_SLOT	1
#define FILE_GPA	(4 * GIB)

/* The file: a word with the rounds, the words that are counted in, and then one a page. */
#define COUNTED		(8 * MIB)
#define COUNTED_WORDS	((COUNTED - PAGE) / 8)
#define SPARSE_VALUE	0x5eed0001
#define MIN_SIZE	(16 * MIB)

#define SAVED_MAGIC	0x6d766d656d67ULL

/**
 * struct saved - a guest that is not running
 * @magic: SAVED_MAGIC
 * @type: KVM_X86_*_VM
 * @size: bytes of its file
 * @cpu: its CPU
 */
struct saved {
	uint64_t magic;
	uint64_t type;
	uint64_t size;
	struct vcpu_state cpu;
};

/**
 * struct guest - a guest in a file
 * @type: KVM_X86_*_VM
 * @size: bytes of the file
 * @vmm: the virtual machine
 * @cpu: its CPU
 * @end: why it does not run
 */
struct guest {
	uint64_t type;
	uint64_t size;
	struct vmm vmm;
	struct vcpu cpu;
	enum vcpu_end end;
};

static const char * const ends[] = {
	[VCPU_DONE]	= "has come to an end",
	[VCPU_BAD]	= "has found something wrong",
	[VCPU_FAULT]	= "needs memory that it cannot have",
	[VCPU_STOPPED]	= "was stopped",
	[VCPU_ASTRAY]	= "went astray",
};

static unsigned long parse(const char *text)
{
	unsigned long n;

	if (!parse_size(text, &n))
		errx(2, "%s: not a number", text);
	return n;
}

static int open_file(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);

	if (fd < 0)
		err(1, "%s", path);
	return fd;
}

/* Private at first in a protected virtual machine, shared in an ordinary one. */
static void guest_make(struct guest *g, const char *path)
{
	uint32_t flags = g->type == KVM_X86_SW_PROTECTED_VM ? 0 : GUESTMEMFS_GMEM_INIT_SHARED;
	int fd = open_file(path, O_RDWR), gmem;
	struct stat st;

	if (fstat(fd, &st))
		err(1, "%s", path);
	g->size = st.st_size;
	if (g->size < MIN_SIZE || g->size % PAGE || FILE_GPA + g->size > VMM_LIMIT)
		errx(1, "%s: it has to have 16 MiB to 60 GiB, in whole pages", path);
	if (vmm_make(&g->vmm, g->type) || vcpu_make(&g->vmm, &g->cpu, 0))
		err(1, "a virtual machine of type %lu", g->type);
	gmem = gmem_create(fd, g->vmm.vm, flags);
	if (gmem < 0)
		err(1, "%s: a descriptor for a virtual machine", path);
	if (vmm_bind(&g->vmm, FILE_SLOT, FILE_GPA, g->size, gmem, 0))
		err(1, "%s: a memory slot", path);
	/* The slot is enough. */
	close(gmem);
	close(fd);
}

/* All of the file behind the part that is counted in, by its pages. */
static void guest_sparse(struct guest *g, enum guest_command command)
{
	const struct guest_job job = {
		.command = command,
		.gpa = FILE_GPA + COUNTED,
		.words = (g->size - COUNTED) / PAGE,
		.stride = PAGE,
		.value = SPARSE_VALUE,
	};
	enum vcpu_end end = guest_do(&g->cpu, &job);

	if (end != VCPU_DONE)
		errx(1, "the guest %s in its pattern", ends[end]);
}

static void *guest_thread(void *arg)
{
	struct guest *g = arg;

	g->end = vcpu_go(&g->cpu);
	return NULL;
}

static uint64_t guest_rounds(const struct guest *g)
{
	struct kvm_regs regs;

	if (ioctl(g->cpu.fd, KVM_GET_REGS, &regs))
		err(1, "registers");
	return regs.rbx;
}

/* Lets the guest run until it has made so many rounds, and stops it anywhere. */
static void guest_run(struct guest *g, uint64_t rounds)
{
	pthread_t thread;

	do {
		if (pthread_create(&thread, NULL, guest_thread, g))
			err(1, "a thread");
		usleep(20000);
		vcpu_stop(&g->cpu, thread);
		pthread_join(thread, NULL);
		if (g->end != VCPU_STOPPED)
			errx(1, "the guest %s after %lu rounds, at %#llx", ends[g->end],
			     guest_rounds(g), g->end == VCPU_FAULT ?
			     g->cpu.run->memory_fault.gpa - FILE_GPA : 0);
	} while (guest_rounds(g) < rounds);
}

static void guest_save(struct guest *g, const char *path)
{
	struct saved saved = { .magic = SAVED_MAGIC, .type = g->type, .size = g->size };
	int fd = open_file(path, O_WRONLY | O_CREAT | O_TRUNC);

	if (vcpu_save(&g->cpu, &saved.cpu))
		err(1, "the state of the CPU");
	if (write(fd, &saved, sizeof(saved)) != sizeof(saved) || fsync(fd))
		err(1, "%s", path);
	close(fd);
	printf("rounds %lu, entries: 1g %ld 2m %ld 4k %ld\n", guest_rounds(g),
	       vmm_entries(&g->vmm, "1g"), vmm_entries(&g->vmm, "2m"),
	       vmm_entries(&g->vmm, "4k"));
}

/* save protected|ordinary FILE STATE ROUNDS */
static int save(char **argv)
{
	struct guest_job job = {
		.command = GUEST_FILL, .gpa = FILE_GPA + PAGE, .words = COUNTED_WORDS, .stride = 8,
		.counter = FILE_GPA,
	};
	struct guest g = { .type = KVM_X86_SW_PROTECTED_VM };

	if (!strcmp(argv[2], "ordinary"))
		g.type = KVM_X86_DEFAULT_VM;
	else if (strcmp(argv[2], "protected"))
		errx(2, "%s: neither protected nor ordinary", argv[2]);
	guest_make(&g, argv[3]);
	guest_sparse(&g, GUEST_FILL);
	if (guest_do(&g.cpu, &job) != VCPU_DONE)
		errx(1, "the guest cannot begin");
	job.command = GUEST_COUNT;
	if (guest_start(&g.cpu, &job))
		err(1, "registers");
	guest_run(&g, parse(argv[5]));
	guest_save(&g, argv[4]);
	return 0;
}

/* resume FILE STATE ROUNDS: for so many rounds more, and saves it again. */
static int resume(char **argv)
{
	int fd = open_file(argv[3], O_RDONLY);
	struct guest g = {};
	struct saved saved;

	if (read(fd, &saved, sizeof(saved)) != sizeof(saved) || saved.magic != SAVED_MAGIC)
		errx(1, "%s: no guest was saved in it", argv[3]);
	close(fd);
	g.type = saved.type;
	guest_make(&g, argv[2]);
	if (g.size != saved.size)
		errx(1, "%s: of another size than when the guest was saved", argv[2]);
	guest_sparse(&g, GUEST_CHECK);
	if (vcpu_restore(&g.cpu, &saved.cpu))
		err(1, "the state of the CPU");
	guest_run(&g, saved.cpu.regs.rbx + parse(argv[4]));
	guest_save(&g, argv[3]);
	return 0;
}

/* convert FILE private|shared OFFSET LENGTH */
static int convert(char **argv)
{
	int fd = open_file(argv[2], O_RDWR), gmem;
	struct vmm v;

	if (strcmp(argv[3], "private") && strcmp(argv[3], "shared"))
		errx(2, "%s: neither private nor shared", argv[3]);
	if (vmm_make(&v, KVM_X86_DEFAULT_VM))
		err(1, "a virtual machine");
	/* One of the two is what the file was at first. */
	gmem = gmem_create(fd, v.vm, GUESTMEMFS_GMEM_INIT_SHARED);
	if (gmem < 0 && errno == EEXIST)
		gmem = gmem_create(fd, v.vm, 0);
	if (gmem < 0)
		err(1, "%s: a descriptor for a virtual machine", argv[2]);
	if (gmem_convert(gmem, parse(argv[4]), parse(argv[5]),
			 strcmp(argv[3], "private") ? GMEM_SHARED : GMEM_PRIVATE))
		err(1, "%s: conversion", argv[2]);
	return 0;
}

static void print_state(uint64_t offset, uint64_t end, const struct guestmemfs_get_state *s)
{
	printf("%lu %lu %s %s%s%s order %u\n", offset, end - offset,
	       s->state & GUESTMEMFS_STATE_PRIVATE ? "private" : "shared",
	       s->state & GUESTMEMFS_STATE_ALLOCATED ? "allocated" : "hole",
	       s->state & GUESTMEMFS_STATE_TRUNCATING ? " truncating" : "",
	       s->state & GUESTMEMFS_STATE_HELD ? " held" : "", s->order);
}

/* state FILE: what it is, a line for each part that is alike, entries included. */
static int state(char **argv)
{
	struct guestmemfs_get_state s, last = {};
	uint64_t offset = 0, first = 0, size;
	int fd = open_file(argv[2], O_RDONLY);
	struct stat st;

	if (fstat(fd, &st))
		err(1, "%s", argv[2]);
	for (size = st.st_size; offset < size; last = s) {
		/* The size of entries changes where one of 2 MiB ends. */
		uint64_t next = (offset / BLOCK + 1) * BLOCK;

		if (gmem_get_state(fd, offset, &s))
			err(1, "%s: what offset %lu is", argv[2], offset);
		if (offset && (s.state != last.state || s.order != last.order)) {
			print_state(first, offset, &last);
			first = offset;
		}
		offset = next < offset + s.length ? next : offset + s.length;
	}
	if (offset)
		print_state(first, offset, &last);
	return 0;
}

static const struct {
	const char *name;
	int nr_args;
	int (*run)(char **argv);
} commands[] = {
	{ "save",	4, save },
	{ "resume",	3, resume },
	{ "convert",	4, convert },
	{ "state",	1, state },
	{}
};

int main(int argc, char **argv)
{
	for (int i = 0; argc > 1 && commands[i].name; i++)
		if (!strcmp(argv[1], commands[i].name) && argc == commands[i].nr_args + 2)
			return commands[i].run(argv);
	errx(2, "unknown command, or not the arguments that it takes");
}
