// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest that counts in a file of guestmemfs, is saved, and continues in another virtual machine,
 * possibly after a kexec.
 */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "counter.h"

/*
 * The file has a word with the number of rounds, then the words that are counted, then one word in
 * each page.
 */
#define COUNTED		(8 * MIB)
#define COUNTED_WORDS	((COUNTED - PAGE) / 8)
#define SPARSE_VALUE	0x5eed0001

#define SAVED_MAGIC	0x6d766d656d67ULL

/**
 * struct saved - a guest that was saved
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

static const char * const ends[] = {
	[VCPU_DONE]	= "has come to an end",
	[VCPU_BAD]	= "has found something wrong",
	[VCPU_FAULT]	= "needs memory that it cannot have",
	[VCPU_NO_MEMORY] = "needs memory that is not there",
	[VCPU_STOPPED]	= "was stopped",
	[VCPU_ASTRAY]	= "went astray",
};

/* Returns the type of virtual machine by its name: protected or ordinary. */
uint64_t counter_type(const char *name)
{
	if (!strcmp(name, "ordinary"))
		return KVM_X86_DEFAULT_VM;
	if (strcmp(name, "protected"))
		errx(2, "%s: neither protected nor ordinary", name);
	return KVM_X86_SW_PROTECTED_VM;
}

/* Makes a virtual machine without a file. */
void counter_make(struct counter *c, uint64_t type)
{
	*c = (struct counter) { .type = type };
	if (vmm_make(&c->vmm, type) || vcpu_make(&c->vmm, &c->cpu, 0))
		err(1, "a virtual machine of type %lu", type);
}

/*
 * Binds the first bytes of the descriptor's file as guest memory. Returns -1 and errno on failure.
 */
int counter_bind(struct counter *c, int gmem, uint64_t size)
{
	if (size < COUNTER_MIN_SIZE || size % PAGE || COUNTER_GPA + size > VMM_LIMIT)
		errx(1, "a guest that counts has to have 16 MiB to 60 GiB, in whole pages");
	if (vmm_bind(&c->vmm, COUNTER_SLOT, COUNTER_GPA, size, gmem, 0))
		return -1;
	c->size = size;
	return 0;
}

/* Runs a command on one word in each page after the part that is counted. */
static void counter_sparse(struct counter *c, enum guest_command command)
{
	const struct guest_job job = {
		.command = command,
		.gpa = COUNTER_GPA + COUNTED,
		.words = (c->size - COUNTED) / PAGE,
		.stride = PAGE,
		.value = SPARSE_VALUE,
	};
	enum vcpu_end end = guest_do(&c->cpu, &job);

	if (end != VCPU_DONE)
		errx(1, "the guest %s in its pattern", ends[end]);
}

/* Starts a count in a file that is all zeroes. */
void counter_begin(struct counter *c)
{
	struct guest_job job = {
		.command = GUEST_FILL,
		.gpa = COUNTER_GPA + PAGE,
		.words = COUNTED_WORDS,
		.stride = 8,
		.counter = COUNTER_GPA,
	};

	counter_sparse(c, GUEST_FILL);
	if (guest_do(&c->cpu, &job) != VCPU_DONE)
		errx(1, "the guest cannot begin");
	job.command = GUEST_COUNT;
	if (guest_start(&c->cpu, &job))
		err(1, "registers");
}

static void *counter_thread(void *arg)
{
	struct counter *c = arg;

	c->end = vcpu_go(&c->cpu);
	return NULL;
}

uint64_t counter_rounds(const struct counter *c)
{
	struct kvm_regs regs;

	if (ioctl(c->cpu.fd, KVM_GET_REGS, &regs))
		err(1, "registers");
	return regs.rbx;
}

/* Runs the guest until it has counted this many rounds, and stops it at any instruction. */
void counter_run(struct counter *c, uint64_t rounds)
{
	pthread_t thread;

	do {
		if (pthread_create(&thread, NULL, counter_thread, c))
			err(1, "a thread");
		usleep(20000);
		vcpu_stop(&c->cpu, thread);
		pthread_join(thread, NULL);
		if (c->end != VCPU_STOPPED)
			errx(1, "the guest %s after %lu rounds, at %#llx", ends[c->end],
			     counter_rounds(c), c->end == VCPU_FAULT ?
			     c->cpu.run->memory_fault.gpa - COUNTER_GPA : 0);
	} while (counter_rounds(c) < rounds);
}

/* Saves the CPU of the guest. Its memory stays in the file. */
void counter_save(const struct counter *c, const char *path)
{
	struct saved saved = { .magic = SAVED_MAGIC, .type = c->type, .size = c->size };
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (vcpu_save(&c->cpu, &saved.cpu))
		err(1, "the state of the CPU");
	if (fd < 0 || write(fd, &saved, sizeof(saved)) != sizeof(saved) || fsync(fd))
		err(1, "%s", path);
	close(fd);
	printf("rounds %lu, entries: 1g %ld 2m %ld 4k %ld\n", counter_rounds(c),
	       vmm_entries(&c->vmm, "1g"), vmm_entries(&c->vmm, "2m"),
	       vmm_entries(&c->vmm, "4k"));
}

static void load_saved(const char *path, struct saved *saved)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		err(1, "%s", path);
	if (read(fd, saved, sizeof(*saved)) != sizeof(*saved) || saved->magic != SAVED_MAGIC)
		errx(1, "%s: no guest was saved in it", path);
	close(fd);
}

uint64_t counter_saved_type(const char *path)
{
	struct saved saved;

	load_saved(path, &saved);
	return saved.type;
}

/* Continues the guest in a new virtual machine with the same file, after a check of the file. */
void counter_resume(struct counter *c, const char *path)
{
	struct saved saved;

	load_saved(path, &saved);
	if (c->type != saved.type)
		errx(1, "%s: of another type of virtual machine", path);
	if (c->size != saved.size)
		errx(1, "%s: of another size than when the guest was saved", path);
	counter_sparse(c, GUEST_CHECK);
	if (vcpu_restore(&c->cpu, &saved.cpu))
		err(1, "the state of the CPU");
}
