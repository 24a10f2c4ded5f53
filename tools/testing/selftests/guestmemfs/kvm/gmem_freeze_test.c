// SPDX-License-Identifier: GPL-2.0-only
/*
 * A virtual CPU touches a hole while a live update has frozen the pool, and is called off some
 * seconds later, and another CPU prefaults the hole. Both wait, and nothing else waits for them.
 * The VM test gmem-luo runs this, with a kernel that is loaded for a kexec.
 */
#include <linux/reboot.h>
#include <sys/syscall.h>

#include "gmem_fixture.h"
#include "luo.h"

#define DEBUG		"/sys/kernel/debug/guestmemfs_test/"
#define OTHER_SLOT	2
#define OTHER_GPA	(2 * GIB)
#define FROZEN_MS	4000

static bool kernel_is_loaded(void)
{
	FILE *f = fopen("/sys/kernel/kexec_loaded", "r");
	int loaded = 0;

	if (f && fscanf(f, "%d", &loaded) != 1)
		loaded = 0;
	if (f)
		fclose(f);
	return loaded;
}

/* A kexec that is refused at last. Until then the pool is frozen. */
static void *refused(void *arg)
{
	(void)arg;
	return (void *)ERR(syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2,
				   LINUX_REBOOT_CMD_KEXEC, NULL));
}

static bool is_frozen(int fd)
{
	return ERR(fallocate(fd, 0, 0, BLOCK)) == EBUSY;
}

static void *run(void *arg)
{
	return (void *)(long)vcpu_go(arg);
}

/**
 * struct prefault - a call of KVM_PRE_FAULT_MEMORY for the first page of the file
 * @cpu: whose second stage gets the entry
 * @other: a file of the same pool
 * @err: its error, positive
 * @frozen: the pool was frozen when it returned
 */
struct prefault {
	const struct vcpu *cpu;
	int other;
	int err;
	bool frozen;
};

static void *prefault(void *arg)
{
	struct kvm_pre_fault_memory range = { .gpa = FILE_GPA, .size = PAGE };
	struct prefault *p = arg;

	p->err = ERR(ioctl(p->cpu->fd, KVM_PRE_FAULT_MEMORY, &range));
	p->frozen = is_frozen(p->other);
	return NULL;
}

/* Milliseconds of a processor that this process has used. */
static long used_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int set_touch(const struct vcpu *cpu)
{
	const struct guest_job job = { .command = GUEST_TOUCH, .gpa = FILE_GPA, .words = 1 };

	return guest_start(cpu, &job);
}

static bool preserve(int session, int gmem)
{
	int refuse = open(DEBUG "refuse", O_RDONLY), ms = open(DEBUG "refuse_ms", O_WRONLY);
	bool ok = dprintf(ms, "%d", FROZEN_MS) > 0 && !luo_preserve_fd(session, 1, gmem) &&
		  !luo_preserve_fd(session, 2, refuse);

	close(ms);
	close(refuse);
	return ok;
}

/*
 * Turns red if the CPU waits for the end of the freeze with srcu held (the memslot does not change
 * before the end); if it does not wait, but faults again and again (it uses a processor); if it is
 * deaf to signals; or if it does not go on after the freeze. KVM_PRE_FAULT_MEMORY fails, so that a
 * VMM can do other work, but not before the end, so that a VMM that repeats it uses no processor.
 */
TEST_F(gmem, a_cpu_waits_alone)
{
	void *at = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int gmem, fd, other, luo, session, i;
	pthread_t reboot, cpu, prefaults;
	struct prefault p = {};
	struct vcpu second;
	void *end;
	long used;

	if (access("/dev/liveupdate", F_OK) || access(DEBUG "refuse_ms", F_OK))
		SKIP(return, "no liveupdate=on on the command line, or no KUnit tests");
	if (!kernel_is_loaded())
		SKIP(return, "no kernel is loaded");
	fd = ram_make(&self->p, &self->vmm, variant->flags, BLOCK, &gmem);
	ASSERT_GE(fd, 0);
	other = file_make(&self->p, "other", BLOCK);
	ASSERT_EQ(0, fallocate(other, 0, 0, BLOCK));
	ASSERT_EQ(VCPU_DONE, guest_touch(&self->cpu, VMM_LOW_GPA, 1, 0));
	ASSERT_EQ(0, vcpu_make(&self->vmm, &second, 1));
	p.cpu = &second;
	p.other = other;
	luo = luo_open();
	session = luo_create(luo, "freeze");
	ASSERT_GE(session, 0);
	ASSERT_TRUE(preserve(session, gmem));
	ASSERT_EQ(0, pthread_create(&reboot, NULL, refused, NULL));
	for (i = 0; i < 20000 && !is_frozen(other); i++)
		usleep(100);
	ASSERT_TRUE(is_frozen(other));

	ASSERT_EQ(0, set_touch(&self->cpu));
	ASSERT_EQ(0, pthread_create(&cpu, NULL, run, &self->cpu));
	ASSERT_EQ(0, pthread_create(&prefaults, NULL, prefault, &p));
	used = used_ms();
	usleep(1000000);
	used = used_ms() - used;
	printf("# a wait of 1000 ms uses the processor for %ld ms\n", used);
	EXPECT_GT(200, used);
	EXPECT_EQ(0, file_sectors(fd));
	EXPECT_EQ(0, vmm_add_memory(&self->vmm, OTHER_SLOT, OTHER_GPA, at, PAGE));
	EXPECT_EQ(0, vmm_remove(&self->vmm, OTHER_SLOT));
	EXPECT_TRUE(is_frozen(other));
	vcpu_stop(&self->cpu, cpu);
	pthread_join(cpu, &end);
	EXPECT_EQ(VCPU_STOPPED, (enum vcpu_end)(long)end);
	EXPECT_TRUE(is_frozen(other));

	EXPECT_EQ(VCPU_DONE, vcpu_go(&self->cpu));
	EXPECT_FALSE(is_frozen(other));
	EXPECT_EQ(BLOCK_SECTORS, file_sectors(fd));
	pthread_join(prefaults, NULL);
	EXPECT_EQ(EAGAIN, p.err);
	EXPECT_FALSE(p.frozen);
	prefault(&p);
	EXPECT_EQ(0, p.err);
	vcpu_close(&second);
	pthread_join(reboot, &end);
	EXPECT_EQ(EIO, (long)end);
	close(session);
	close(luo);
	ASSERT_EQ(0, unlink(pool_path(&self->p, "other")));
	ASSERT_EQ(0, unlink(pool_path(&self->p, "ram")));
}

TEST_HARNESS_MAIN
