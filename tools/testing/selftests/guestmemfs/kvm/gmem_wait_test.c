// SPDX-License-Identifier: GPL-2.0-only
/*
 * A VMM can stop a virtual CPU during a fault that zeroes a gigabyte, without waiting for the rest
 * of the zeroing.
 */
#include <sys/stat.h>

#include "gmem_fixture.h"

static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000L + t.tv_nsec;
}

/* Binds a new gigabyte to the slot, by descriptor or by address. */
static int fresh_gigabyte(const struct pool *p, const struct vmm *v, uint32_t flags, bool by_fd)
{
	int fd, gmem;
	void *at;

	if (by_fd)
		return ram_make(p, v, flags, GIB, &gmem);
	fd = file_make(p, "ram", GIB);
	at = map_file(fd, 0, GIB);
	if (at == MAP_FAILED || vmm_add_memory(v, FILE_SLOT, FILE_GPA, at, GIB))
		return -1;
	return fd;
}

static void *touch_one(void *arg)
{
	return (void *)(long)guest_touch(arg, FILE_GPA + GIB - PAGE, 1, 0);
}

static void stop_while_zeroing(struct __test_metadata *_metadata, const struct pool *p,
			       const struct vmm *v, struct vcpu *cpu, uint32_t flags, bool by_fd)
{
	int fd = fresh_gigabyte(p, v, flags, by_fd);
	int64_t whole = now(), waited;
	pthread_t thread;
	void *end;

	ASSERT_GE(fd, 0);
	EXPECT_EQ(VCPU_DONE, guest_touch(cpu, FILE_GPA, 1, 0));
	whole = now() - whole;
	ASSERT_EQ(0, vmm_remove(v, FILE_SLOT));
	/* Free the blocks, so that the next file has to zero them again. */
	ASSERT_EQ(0, fallocate(fd, PUNCH, 0, GIB));
	ASSERT_EQ(0, unlink(pool_path(p, "ram")));
	fd = fresh_gigabyte(p, v, flags, by_fd);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, pthread_create(&thread, NULL, touch_one, cpu));
	while (file_sectors(fd) < GIB / 512)
		usleep(100);
	waited = now();
	vcpu_stop(cpu, thread);
	pthread_join(thread, &end);
	waited = now() - waited;
	printf("# %s: a gigabyte in %ld us, stopped after %ld us\n",
	       by_fd ? "by descriptor" : "by address", (long)whole / 1000, (long)waited / 1000);
	EXPECT_EQ(VCPU_STOPPED, (enum vcpu_end)(long)end);
	EXPECT_EQ(KVM_EXIT_INTR, cpu->run->exit_reason);
	EXPECT_LT(waited, whole / 2);
	/* The interrupted access is repeated, and the whole gigabyte is mapped. */
	EXPECT_EQ(VCPU_DONE, vcpu_go(cpu));
	EXPECT_EQ(VCPU_DONE, guest_touch(cpu, FILE_GPA, GIB / BLOCK, BLOCK));
	EXPECT_EQ(1, vmm_entries(v, "1g"));
	ASSERT_EQ(0, vmm_remove(v, FILE_SLOT));
	ASSERT_EQ(0, fallocate(fd, PUNCH, 0, GIB));
	ASSERT_EQ(0, unlink(pool_path(p, "ram")));
}

TEST_F(gmem, stopped)
{
	if (self->p.free_blocks < GIB / BLOCK)
		SKIP(return, "needs 1 GiB free");
	stop_while_zeroing(_metadata, &self->p, &self->vmm, &self->cpu, variant->flags, true);
	if (!variant->protected)
		stop_while_zeroing(_metadata, &self->p, &self->vmm, &self->cpu, 0, false);
}

TEST_HARNESS_MAIN
