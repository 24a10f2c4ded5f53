// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guest memory by address: the sizes of the second-stage entries, and how the guest follows changes
 * of the file.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <time.h>

#include "fixture.h"
#include "looks.h"
#include "userfault.h"

#define PUNCH		(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)

#define CODE_GPA	PAGE
#define FILE_GPA	GIB

/*
 * The guest's program, in 32-bit protected mode without paging: it loads or stores the word at ebx,
 * and halts. STORE_ONE stores a floating point number, which KVM's instruction emulator cannot do.
 */
#define LOAD		0
#define STORE		8
#define STORE_ONE	16
static const unsigned char code[] = {
	[LOAD]	= 0x8b, 0x03, 0xf4,	/* mov (%ebx),%eax; hlt */
	[STORE]	= 0x89, 0x03, 0xf4,	/* mov %eax,(%ebx); hlt */
	[STORE_ONE] = 0xd9, 0xe8, 0xdd, 0x1b, 0xf4,	/* fld1; fstpl (%ebx); hlt */
};

/**
 * struct machine - a virtual machine with one CPU
 * @kvm: /dev/kvm
 * @vm: the machine
 * @vcpu: its CPU
 * @run: the exit information of KVM_RUN
 */
struct machine {
	int kvm;
	int vm;
	int vcpu;
	struct kvm_run *run;
};

static int add_memory(const struct machine *m, int slot, uint64_t gpa, void *p, size_t len)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.guest_phys_addr = gpa,
		.memory_size = len,
		.userspace_addr = (uintptr_t)p,
	};

	return ERR(ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &region));
}

static int set_mode(const struct machine *m)
{
	struct kvm_segment flat = {
		.limit = 0xffffffff, .selector = 8, .type = 3,
		.present = 1, .db = 1, .s = 1, .g = 1,
	};
	struct kvm_sregs sregs;

	if (ioctl(m->vcpu, KVM_GET_SREGS, &sregs))
		return -1;
	sregs.ds = flat;
	sregs.es = flat;
	sregs.ss = flat;
	flat.type = 11;
	sregs.cs = flat;
	sregs.cr0 |= 1;
	return ioctl(m->vcpu, KVM_SET_SREGS, &sregs);
}

static bool machine_make(struct machine *m)
{
	unsigned char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				-1, 0);

	if (p == MAP_FAILED)
		return false;
	memcpy(p, code, sizeof(code));
	m->kvm = open("/dev/kvm", O_RDWR);
	m->vm = ioctl(m->kvm, KVM_CREATE_VM, 0);
	if (m->vm < 0 || add_memory(m, 0, CODE_GPA, p, PAGE))
		return false;
	m->vcpu = ioctl(m->vm, KVM_CREATE_VCPU, 0);
	if (m->vcpu < 0 || set_mode(m))
		return false;
	m->run = mmap(NULL, ioctl(m->kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE,
		      MAP_SHARED, m->vcpu, 0);
	return m->run != MAP_FAILED;
}

/* The guest loads or stores a word. Returns 0, an errno, or -1 for an unexpected exit. */
static int guest(const struct machine *m, int what, uint64_t gpa, uint32_t *word)
{
	struct kvm_regs regs = {
		.rip = CODE_GPA + what, .rax = *word, .rbx = gpa, .rflags = 2,
	};

	if (ioctl(m->vcpu, KVM_SET_REGS, &regs))
		return -1;
	if (ioctl(m->vcpu, KVM_RUN, NULL))
		return errno;
	if (m->run->exit_reason != KVM_EXIT_HLT || ioctl(m->vcpu, KVM_GET_REGS, &regs))
		return -1;
	*word = regs.rax;
	return 0;
}

/* Returns the word, or a negative errno. */
static int64_t load(const struct machine *m, uint64_t offset)
{
	uint32_t word = 0x5a5a5a5a;
	int err = guest(m, LOAD, FILE_GPA + offset, &word);

	return err ? -err : (int64_t)word;
}

static int store(const struct machine *m, uint64_t offset, uint32_t word)
{
	return guest(m, STORE, FILE_GPA + offset, &word);
}

/* Returns the number of second-stage entries of a size: "4k", "2m" or "1g". */
static long entries(const struct machine *m, const char *size)
{
	char path[128];
	long nr = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/kernel/debug/kvm/%d-%d/pages_%s", getpid(), m->vm, size);
	f = fopen(path, "r");
	if (!f || fscanf(f, "%ld", &nr) != 1)
		nr = -1;
	if (f)
		fclose(f);
	return nr;
}

/* The only small entry maps the page of the guest's code. */
#define EXPECT_ENTRIES(m, gigabytes, blocks, what) do {				\
	const struct machine *_m = m;						\
	long _gigabytes = entries(_m, "1g"), _blocks = entries(_m, "2m");	\
	long _pages = entries(_m, "4k");					\
										\
	printf("# second stage: %s: %ld of 1 GiB, %ld of 2 MiB, %ld of 4 KiB\n",	\
	       what, _gigabytes, _blocks, _pages);				\
	EXPECT_EQ(gigabytes, _gigabytes);					\
	EXPECT_EQ(blocks, _blocks);						\
	EXPECT_EQ(1, _pages);							\
} while (0)

/* A gigabyte has one entry, but not while it has a hole. */
TEST_F(in_pool, gigabyte)
{
	int fd = file_make(&self->p, "ram", GIB);
	uint64_t hole = 100 * BLOCK;
	struct machine m;
	uint32_t *p;

	if (access("/dev/kvm", F_OK))
		SKIP(return, "no /dev/kvm");
	if (self->p.free_blocks < GIB / BLOCK)
		SKIP(return, "needs 1 GiB free");
	ASSERT_TRUE(machine_make(&m));
	p = map_file(fd, 0, GIB);
	ASSERT_NE(MAP_FAILED, (void *)p);
	ASSERT_EQ(0, add_memory(&m, 1, FILE_GPA, p, GIB));
	EXPECT_EQ(0, load(&m, 8));
	EXPECT_ENTRIES(&m, 1, 0, "1 GiB");
	EXPECT_EQ(0, store(&m, hole + 4, 0x1111));
	EXPECT_EQ(0, store(&m, hole - 4, 0x2222));
	EXPECT_EQ(0, store(&m, hole + BLOCK, 0x3333));
	EXPECT_EQ(0, store(&m, GIB - 4, 0x4444));
	EXPECT_ENTRIES(&m, 1, 0, "1 GiB, written to");
	EXPECT_EQ(0x1111, p[hole / 4 + 1]);
	EXPECT_EQ(0x4444, p[GIB / 4 - 1]);
	/* A hole in the file removes the guest's entry. */
	ASSERT_EQ(0, fallocate(fd, PUNCH, hole, BLOCK));
	EXPECT_EQ(0, entries(&m, "1g"));
	EXPECT_EQ(0x2222, load(&m, hole - 4));
	EXPECT_EQ(0x3333, load(&m, hole + BLOCK));
	EXPECT_ENTRIES(&m, 0, 2, "2 MiB on both sides of a hole");
	EXPECT_EQ((GIB - BLOCK) / 512, file_sectors(fd));
	EXPECT_EQ(0, load(&m, hole + 4));
	EXPECT_ENTRIES(&m, 1, 0, "with the hole filled again");
	EXPECT_EQ(0x2222, load(&m, hole - 4));
	EXPECT_EQ(GIB / 512, file_sectors(fd));
	EXPECT_EQ(0, store(&m, hole + 4, 0x5555));
	EXPECT_EQ(0x5555, p[hole / 4 + 1]);
	EXPECT_EQ(0x4444, load(&m, GIB - 4));
	/* An access after the end of the file ends KVM_RUN with EFAULT. */
	ASSERT_EQ(0, ftruncate(fd, hole));
	EXPECT_EQ(0x2222, load(&m, hole - 4));
	EXPECT_EQ(-EFAULT, load(&m, hole));
	EXPECT_EQ(EFAULT, store(&m, GIB - 4, 1));
	EXPECT_ENTRIES(&m, 0, 1, "the end of what is left");
	ASSERT_EQ(0, munmap(p, GIB));
	EXPECT_EQ(-EFAULT, load(&m, hole - 4));
	EXPECT_ENTRIES(&m, 0, 0, "not mapped any more");
}

/* Gives memory back in the two steps of QEMU, and reads the page tables of the VMM. */
TEST_F(in_pool, given_back)
{
	int fd = file_make(&self->p, "ram", GIB), i;
	uint64_t hole = 100 * BLOCK;
	struct machine m;
	char *p;

	if (access("/dev/kvm", F_OK))
		SKIP(return, "no /dev/kvm");
	if (self->p.free_blocks < GIB / BLOCK)
		SKIP(return, "needs 1 GiB free");
	ASSERT_TRUE(machine_make(&m));
	p = map_file(fd, 0, GIB);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, add_memory(&m, 1, FILE_GPA, p, GIB));
	EXPECT_EQ(0, store(&m, hole, 0x1111));
	EXPECT_EQ(0, store(&m, GIB - 4, 0x2222));
	EXPECT_ENTRIES(&m, 1, 0, "1 GiB");
	for (i = 0; i < NR_LOOKS; i++) {
		EXPECT_EQ(0x1111, load(&m, hole));
		EXPECT_TRUE(looks[i].at(p, GIB));
		EXPECT_ENTRIES(&m, 1, 0, looks[i].name);
	}
	/* MADV_DONTNEED of a part of an entry keeps the entry. */
	ASSERT_EQ(0, madvise(p + hole, PAGE, MADV_DONTNEED));
	ASSERT_EQ(0, madvise(p + hole, BLOCK, MADV_DONTNEED));
	EXPECT_ENTRIES(&m, 1, 0, "a page and a block not needed");
	EXPECT_EQ(0x1111, load(&m, hole));
	ASSERT_EQ(0, madvise(p, GIB, MADV_DONTNEED));
	EXPECT_EQ(0, entries(&m, "1g"));
	EXPECT_EQ(0x1111, load(&m, hole));
	EXPECT_ENTRIES(&m, 1, 0, "nothing of it needed for a moment");
	ASSERT_EQ(0, fallocate(fd, PUNCH, hole, BLOCK));
	ASSERT_EQ(0, madvise(p + hole, BLOCK, MADV_DONTNEED));
	EXPECT_EQ((GIB - BLOCK) / 512, file_sectors(fd));
	EXPECT_EQ(0, load(&m, hole));
	EXPECT_EQ(0x2222, load(&m, GIB - 4));
	EXPECT_EQ(GIB / 512, file_sectors(fd));
	EXPECT_ENTRIES(&m, 1, 0, "1 GiB again");
}

/* Addresses of guest and file are aligned differently to a gigabyte. */
TEST_F(in_pool, displaced)
{
	int fd = file_make(&self->p, "ram", 4 * BLOCK);
	struct machine m;
	uint32_t *p;

	if (access("/dev/kvm", F_OK))
		SKIP(return, "no /dev/kvm");
	ASSERT_TRUE(machine_make(&m));
	p = map_file(fd, 0, 4 * BLOCK);
	ASSERT_NE(MAP_FAILED, (void *)p);
	ASSERT_EQ(0, add_memory(&m, 1, FILE_GPA + 7 * BLOCK, p, 4 * BLOCK));
	EXPECT_EQ(0, load(&m, 7 * BLOCK));
	EXPECT_EQ(0, store(&m, 8 * BLOCK, 1));
	EXPECT_ENTRIES(&m, 0, 2, "4 MiB, 14 MiB off");
	EXPECT_EQ(1, p[BLOCK / 4]);
	/* Map the same block a second time, with an alignment that needs small entries. */
	ASSERT_EQ(0, add_memory(&m, 2, FILE_GPA + 2 * GIB - PAGE, p, BLOCK));
	EXPECT_EQ(0, store(&m, 2 * GIB - PAGE + 4, 2));
	EXPECT_EQ(2, load(&m, 7 * BLOCK + 4));
	EXPECT_EQ(2, entries(&m, "4k"));
	/* Aligned for the guest but not for the host: entries are small, too. */
	ASSERT_EQ(0, add_memory(&m, 3, FILE_GPA + GIB, p + PAGE / 4, BLOCK));
	EXPECT_EQ(0, store(&m, GIB, 3));
	EXPECT_EQ(3, p[PAGE / 4]);
	EXPECT_EQ(3, entries(&m, "4k"));
	ASSERT_EQ(0, fallocate(fd, PUNCH, 0, BLOCK));
	EXPECT_EQ(1, entries(&m, "4k"));
	EXPECT_EQ(0, load(&m, 2 * GIB - PAGE + 4));
	EXPECT_EQ(0, load(&m, 7 * BLOCK + 4));
}

static bool begin_tracking(void)
{
	int fd = open("/proc/self/clear_refs", O_WRONLY);
	bool ret = fd >= 0 && write(fd, "4", 1) == 1;

	close(fd);
	return ret;
}

/* Soft-dirty tracking of the VMM does not affect the guest. */
TEST_F(in_pool, soft_dirty)
{
	int fd = file_make(&self->p, "ram", 2 * BLOCK);
	uint32_t word = 0;
	struct machine m;
	double *p;

	if (access("/dev/kvm", F_OK))
		SKIP(return, "no /dev/kvm");
	ASSERT_TRUE(machine_make(&m));
	p = map_file(fd, 0, 2 * BLOCK);
	ASSERT_NE(MAP_FAILED, (void *)p);
	ASSERT_EQ(0, add_memory(&m, 1, FILE_GPA, p, 2 * BLOCK));
	if (!begin_tracking())
		SKIP(return, "no soft-dirty tracking");
	/* Store to a page that the guest has read, and to one that it has not accessed. */
	EXPECT_EQ(0, load(&m, PAGE));
	EXPECT_EQ(0, guest(&m, STORE_ONE, FILE_GPA + PAGE, &word));
	EXPECT_EQ(0, guest(&m, STORE_ONE, FILE_GPA + BLOCK, &word));
	EXPECT_EQ(0, store(&m, BLOCK + PAGE, 0x1111));
	EXPECT_EQ(1.0, p[PAGE / sizeof(*p)]);
	EXPECT_EQ(1.0, p[BLOCK / sizeof(*p)]);
	EXPECT_ENTRIES(&m, 0, 2, "soft-dirty tracking");
}

struct store_loop {
	struct machine m;
	bool stop;
	unsigned long stores;
	unsigned long errors;
	int err;
};

static void *keep_storing(void *arg)
{
	struct store_loop *l = arg;
	int err;

	while (!__atomic_load_n(&l->stop, __ATOMIC_RELAXED)) {
		err = store(&l->m, 4, 0x1234);
		l->stores++;
		if (err)
			l->err = err;
		l->errors += !!err;
	}
	return NULL;
}

/* Holes are punched while the guest stores to the block: each store succeeds. */
TEST_F(in_pool, punched_under_a_fault)
{
	int fd = file_make(&self->p, "ram", BLOCK);
	time_t end = time(NULL) + 8;
	struct store_loop l = {};
	unsigned long holes = 0;
	pthread_t thread;
	void *p;

	if (access("/dev/kvm", F_OK))
		SKIP(return, "no /dev/kvm");
	ASSERT_TRUE(machine_make(&l.m));
	p = map_file(fd, 0, BLOCK);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, add_memory(&l.m, 1, FILE_GPA, p, BLOCK));
	ASSERT_EQ(0, pthread_create(&thread, NULL, keep_storing, &l));
	for (; time(NULL) < end; holes++)
		ASSERT_EQ(0, fallocate(fd, PUNCH, 0, BLOCK));
	__atomic_store_n(&l.stop, true, __ATOMIC_RELAXED);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	printf("# %lu stores, %lu holes, %lu errors\n", l.stores, holes, l.errors);
	EXPECT_GT(l.stores, 10);
	EXPECT_GT(holes, 10);
	EXPECT_EQ(0, l.errors);
	EXPECT_EQ(0, l.err);
}

static siginfo_t signalled;

static void note_signal(int signal, siginfo_t *info, void *context)
{
	signalled = *info;
}

struct one_load {
	struct machine *m;
	uint64_t offset;
	int64_t got;
};

static void *load_once(void *arg)
{
	struct one_load *l = arg;

	l->got = load(l->m, l->offset);
	return NULL;
}

/* The guest's faults wait for userfaultfd, and a signal ends KVM_RUN meanwhile. */
TEST_F(in_pool, userfault)
{
	struct sigaction act = { .sa_sigaction = note_signal, .sa_flags = SA_SIGINFO };
	uint64_t mode = UFFDIO_REGISTER_MODE_MISSING;
	int fd = file_make(&self->p, "ram", 2 * BLOCK), i;
	struct machine m;
	struct one_load l = { &m, 9 * PAGE };
	uint32_t *p, *src;
	pthread_t thread;
	struct uffd u;

	if (access("/dev/kvm", F_OK))
		SKIP(return, "no /dev/kvm");
	ASSERT_EQ(0, sigaction(SIGUSR1, &act, NULL));
	ASSERT_EQ(0, sigaction(SIGBUS, &act, NULL));
	ASSERT_TRUE(machine_make(&m));
	p = map_file(fd, 0, 2 * BLOCK);
	src = mmap(NULL, 2 * BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)p);
	ASSERT_NE(MAP_FAILED, (void *)src);
	for (i = 0; i < 2 * BLOCK / PAGE; i++)
		src[i * PAGE / 4] = 0x1000 + i;
	ASSERT_EQ(0, add_memory(&m, 1, FILE_GPA, p, 2 * BLOCK));
	ASSERT_TRUE(uffd_open(&u, 0));
	ASSERT_EQ(0, uffd_register(&u, p, 2 * BLOCK, mode));
	ASSERT_TRUE(uffd_serve(&u, p, src, PAGE));
	EXPECT_EQ(0x1003, load(&m, 3 * PAGE));
	EXPECT_EQ(1, uffd_events(&u));
	EXPECT_EQ(0, store(&m, 4 * PAGE, 0x2222));
	EXPECT_EQ(2, uffd_events(&u));
	EXPECT_EQ(0x2222, p[PAGE]);
	EXPECT_EQ(0x2222, load(&m, 4 * PAGE));
	EXPECT_EQ(3, entries(&m, "4k"));
	EXPECT_EQ(0, entries(&m, "2m"));
	EXPECT_EQ(2, uffd_events(&u));
	uffd_stop(&u);
	/* Now this thread resolves faults. */
	ASSERT_EQ(0, pthread_create(&thread, NULL, load_once, &l));
	ASSERT_EQ((char *)p + l.offset, uffd_fault(&u));
	ASSERT_EQ(0, pthread_kill(thread, SIGUSR1));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(-EINTR, l.got);
	EXPECT_EQ(SIGUSR1, signalled.si_signo);
	ASSERT_EQ(0, uffd_copy(&u, (char *)p + l.offset, (char *)src + l.offset, PAGE, NULL));
	EXPECT_EQ(0x1009, load(&m, l.offset));
	/* A page that the source could not read: SIGBUS for the VMM, with the address. */
	ASSERT_EQ(0, uffd_poison(&u, (char *)p + 5 * PAGE, PAGE, NULL));
	EXPECT_EQ(-EINTR, load(&m, 5 * PAGE));
	EXPECT_EQ(SIGBUS, signalled.si_signo);
	EXPECT_EQ(BUS_MCEERR_AR, signalled.si_code);
	EXPECT_EQ((char *)p + 5 * PAGE, (char *)signalled.si_addr);
	uffd_close(&u);
	EXPECT_EQ(0x1009, load(&m, l.offset));
}

/* What was filled by pages while the guest ran is mapped huge when the registration ends. */
TEST_F(in_pool, huge_after_userfault)
{
	int fd = file_make(&self->p, "ram", 2 * BLOCK), i;
	struct machine m;
	struct uffd u;
	char *p, *src;

	if (access("/dev/kvm", F_OK))
		SKIP(return, "no /dev/kvm");
	ASSERT_TRUE(machine_make(&m));
	p = map_file(fd, 0, 2 * BLOCK);
	src = mmap(NULL, 2 * BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(MAP_FAILED, src);
	ASSERT_EQ(0, add_memory(&m, 1, FILE_GPA, p, 2 * BLOCK));
	ASSERT_TRUE(uffd_open(&u, 0));
	ASSERT_EQ(0, uffd_register(&u, p, 2 * BLOCK, UFFDIO_REGISTER_MODE_MISSING));
	for (i = 0; i < 2 * BLOCK / PAGE; i++) {
		ASSERT_EQ(0, uffd_copy(&u, p + i * PAGE, src + i * PAGE, PAGE, NULL));
		ASSERT_EQ(0, load(&m, i * PAGE));
	}
	EXPECT_EQ(2 * BLOCK / PAGE + 1, entries(&m, "4k"));
	ASSERT_EQ(0, uffd_unregister(&u, p, 2 * BLOCK));
	for (i = 0; i < 100 && entries(&m, "2m") != 2; i++) {
		usleep(100000);
		EXPECT_EQ(0, load(&m, 0));
		EXPECT_EQ(0, load(&m, BLOCK));
	}
	EXPECT_ENTRIES(&m, 0, 2, "after the end of the registration");
	uffd_close(&u);
}

TEST_HARNESS_MAIN
