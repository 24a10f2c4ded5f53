// SPDX-License-Identifier: GPL-2.0-only
/*
 * Moving memory out of a running guest: to another guest, by address and by descriptor, and with
 * private pages. move_test does so without guests.
 */
#include "gmem_fixture.h"
#include "move.h"

#define OTHER_GPA	(8 * GIB)

/**
 * struct other - a second virtual machine, with a file of its own
 * @vmm: the machine
 * @cpu: its CPU
 * @fd: the file
 * @gmem: its descriptor, bound at %OTHER_GPA
 */
struct other {
	struct vmm vmm;
	struct vcpu cpu;
	int fd;
	int gmem;
};

static int other_make(struct other *o, const struct pool *p, unsigned long type, uint32_t flags,
		      size_t size)
{
	if (vmm_make(&o->vmm, type) || vcpu_make(&o->vmm, &o->cpu, 0))
		return -1;
	o->fd = file_make(p, "other", size);
	o->gmem = gmem_create(o->fd, o->vmm.vm, flags);
	if (o->gmem < 0)
		return -1;
	return vmm_bind(&o->vmm, FILE_SLOT, OTHER_GPA, size, o->gmem, 0);
}

/* One guest fills memory, the other one reads what is there, and the first one has a hole. */
TEST_F(gmem, to_another_guest)
{
	int gmem, fd = ram_make(&self->p, &self->vmm, variant->flags, 8 * BLOCK, &gmem);
	struct other o;
	uint64_t free;

	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, other_make(&o, &self->p, variant->type, variant->flags, 4 * BLOCK));
	ASSERT_EQ(0, gmem_convert(gmem, 0, 8 * BLOCK, GMEM_SHARED));
	ASSERT_EQ(0, gmem_convert(o.gmem, 0, 4 * BLOCK, GMEM_SHARED));
	ASSERT_EQ(VCPU_DONE, guest_fill(&self->cpu, FILE_GPA, 8 * BLOCK, 1));
	ASSERT_EQ(VCPU_DONE, guest_store(&o.cpu, OTHER_GPA + 3 * BLOCK, 7));
	free = pool_free_blocks(&self->p);
	/* By the descriptors; the memory of the other guest is not all a hole. */
	EXPECT_EQ(EEXIST, move(gmem, 2 * BLOCK, o.gmem, 0, 4 * BLOCK, 0));
	ASSERT_EQ(0, move(gmem, 2 * BLOCK, o.gmem, 0, 3 * BLOCK, 0));
	EXPECT_EQ(free, pool_free_blocks(&self->p));
	/* Nothing of it is mapped in the first guest any more. */
	EXPECT_ENTRIES(0, 5, 0, "moved");
	EXPECT_EQ((1L << 40) + 1 + 2 * BLOCK / 8, guest_load(&o.cpu, OTHER_GPA));
	EXPECT_EQ((1L << 40) + 1 + 5 * BLOCK / 8 - 1,
		  guest_load(&o.cpu, OTHER_GPA + 3 * BLOCK - 8));
	EXPECT_EQ(7, guest_load(&o.cpu, OTHER_GPA + 3 * BLOCK));
	EXPECT_EQ(VCPU_DONE, guest_check(&self->cpu, FILE_GPA, 2 * BLOCK, 1));
	EXPECT_EQ(free, pool_free_blocks(&self->p));
	EXPECT_EQ(0, guest_load(&self->cpu, FILE_GPA + 2 * BLOCK));
	EXPECT_EQ(free - 1, pool_free_blocks(&self->p));
	/* The first guest writes there, which the other one does not see. */
	EXPECT_EQ(VCPU_DONE, guest_fill(&self->cpu, FILE_GPA + 2 * BLOCK, 3 * BLOCK, 5));
	EXPECT_EQ((1L << 40) + 1 + 2 * BLOCK / 8, guest_load(&o.cpu, OTHER_GPA));
	/* And an exchange: both see at once what the other one has had. */
	ASSERT_EQ(0, move(fd, 2 * BLOCK, o.fd, 0, 3 * BLOCK, EXCHANGE));
	EXPECT_EQ(VCPU_DONE, guest_check(&self->cpu, FILE_GPA, 8 * BLOCK, 1));
	EXPECT_EQ(VCPU_DONE, guest_check(&o.cpu, OTHER_GPA, 3 * BLOCK, 5));
	EXPECT_TRUE(vmm_is_intact(&self->vmm) && vmm_is_intact(&o.vmm));
}

/* Private pages move zeroed, and stay private where they were, and where they come to be. */
TEST_F(gmem, private_pages)
{
	int gmem, fd = ram_make(&self->p, &self->vmm, variant->flags, 4 * BLOCK, &gmem);
	const uint64_t shared = ALLOCATED, private = ALLOCATED | PRIVATE;
	struct other o;

	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, other_make(&o, &self->p, variant->type, variant->flags, 4 * BLOCK));
	ASSERT_EQ(0, gmem_convert(gmem, 0, 4 * BLOCK, GMEM_SHARED));
	ASSERT_EQ(0, gmem_convert(o.gmem, 0, 4 * BLOCK, GMEM_SHARED));
	ASSERT_EQ(VCPU_DONE, guest_fill(&self->cpu, FILE_GPA, 4 * BLOCK, 1));
	/* A page that is private, whether it has memory or not. */
	ASSERT_EQ(0, gmem_convert(gmem, BLOCK + PAGE, PAGE, GMEM_PRIVATE));
	ASSERT_EQ(0, gmem_convert(o.gmem, 3 * BLOCK, BLOCK, GMEM_PRIVATE));
	EXPECT_EQ(EPERM, move(fd, BLOCK, o.fd, 0, BLOCK, 0));
	EXPECT_EQ(EPERM, move(fd, 0, o.fd, 3 * BLOCK, BLOCK, 0));
	EXPECT_EQ(EPERM, move(o.fd, 0, fd, BLOCK, BLOCK, EXCHANGE));
	EXPECT_EQ(0, move(fd, 0, o.fd, 0, BLOCK, 0));
	EXPECT_EQ(4 * BLOCK_SECTORS, file_sectors(fd) + file_sectors(o.fd));
	ASSERT_EQ(0, move(fd, BLOCK, o.fd, 1 * BLOCK, 3 * BLOCK, MOVE_ZERO));
	EXPECT_EQ(0, file_sectors(fd));
	EXPECT_EQ(0, gmem_state(fd, 0));
	EXPECT_EQ(PRIVATE, gmem_state(fd, BLOCK + PAGE));
	EXPECT_EQ(0, gmem_state(fd, BLOCK + 2 * PAGE));
	EXPECT_EQ(shared, gmem_state(o.fd, BLOCK + PAGE));
	EXPECT_EQ(private, gmem_state(o.fd, 3 * BLOCK));
	/*
	 * A guest with private memory uses both kinds; the other one's private memory is its own.
	 */
	EXPECT_EQ(0, guest_load(&o.cpu, OTHER_GPA + BLOCK + PAGE));
	EXPECT_EQ((1L << 40) + 1, guest_load(&o.cpu, OTHER_GPA));
	if (!variant->protected)
		return;
	EXPECT_EQ(0, guest_load(&o.cpu, OTHER_GPA + 3 * BLOCK));
	EXPECT_EQ(VCPU_DONE, guest_fill(&o.cpu, OTHER_GPA + 3 * BLOCK, BLOCK, 3));
	EXPECT_EQ(0, guest_load(&self->cpu, FILE_GPA + BLOCK + PAGE));
	/* And back, into the place of the private page. */
	ASSERT_EQ(0, fallocate(fd, PUNCH, 0, 4 * BLOCK));
	ASSERT_EQ(0, move(o.fd, 3 * BLOCK, fd, BLOCK, BLOCK, MOVE_ZERO));
	EXPECT_EQ(private, gmem_state(fd, BLOCK + PAGE));
	EXPECT_EQ(shared, gmem_state(fd, BLOCK));
	EXPECT_EQ(0, guest_load(&self->cpu, FILE_GPA + BLOCK + PAGE));
	EXPECT_EQ(0, guest_load(&self->cpu, FILE_GPA + BLOCK));
}

/* A gigabyte of the guest that is moved is mapped by one entry in the other guest, too. */
TEST_F(gmem, gigabyte)
{
	struct other o;
	int gmem, fd;

	if (self->p.free_blocks < 2 * GIB / BLOCK)
		SKIP(return, "needs 2 GiB free");
	fd = ram_make(&self->p, &self->vmm, variant->flags, 2 * GIB, &gmem);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, other_make(&o, &self->p, variant->type, variant->flags, GIB));
	EXPECT_EQ(VCPU_DONE, guest_touch(&self->cpu, FILE_GPA, 2, GIB));
	EXPECT_ENTRIES(2, 0, 0, "before");
	ASSERT_EQ(0, move(fd, GIB, o.fd, 0, GIB, MOVE_ZERO));
	EXPECT_ENTRIES(1, 0, 0, "one moved");
	EXPECT_EQ(VCPU_DONE, guest_touch(&o.cpu, OTHER_GPA, 1, 0));
	EXPECT_EQ(1, vmm_entries(&o.vmm, "1g"));
	EXPECT_EQ(ORDER_1G, gmem_order(o.gmem, 5 * PAGE));
}

/* Not if its new place has pages of both kinds, until they are of one kind. */
TEST_F(gmem, gigabyte_of_two_kinds)
{
	const uint64_t last = GIB - BLOCK;
	long blocks = GIB / BLOCK;
	struct other o;
	int gmem, fd;

	if (self->p.free_blocks < GIB / BLOCK)
		SKIP(return, "needs 1 GiB free");
	fd = ram_make(&self->p, &self->vmm, variant->flags, GIB, &gmem);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, other_make(&o, &self->p, variant->type, variant->flags, GIB));
	ASSERT_EQ(0, gmem_convert(o.gmem, last, BLOCK, variant->other));
	EXPECT_EQ(VCPU_DONE, guest_touch(&self->cpu, FILE_GPA, 1, 0));
	EXPECT_ENTRIES(1, 0, 0, "before");
	ASSERT_EQ(0, move(fd, 0, o.fd, 0, GIB, MOVE_ZERO));
	EXPECT_EQ(ORDER_2M, gmem_order(o.gmem, 5 * PAGE));
	EXPECT_EQ(ORDER_2M, gmem_order(o.gmem, last));
	/* The last block is private memory, which an ordinary guest cannot access. */
	if (!variant->protected) {
		EXPECT_EQ(VCPU_FAULT, guest_touch(&o.cpu, OTHER_GPA + last, 1, 0));
		blocks--;
	}
	EXPECT_EQ(VCPU_DONE, guest_touch(&o.cpu, OTHER_GPA, blocks, BLOCK));
	EXPECT_EQ(0, vmm_entries(&o.vmm, "1g"));
	EXPECT_EQ(blocks, vmm_entries(&o.vmm, "2m"));
	/* It is the same gigabyte, so that nothing else was in the way. */
	ASSERT_EQ(0, gmem_convert(o.gmem, last, BLOCK, variant->first));
	EXPECT_EQ(ORDER_1G, gmem_order(o.gmem, 5 * PAGE));
	EXPECT_EQ(VCPU_DONE, guest_touch(&o.cpu, OTHER_GPA + last, 1, 0));
	EXPECT_EQ(1, vmm_entries(&o.vmm, "1g"));
}

#define BY_ADDRESS_GPA	(16 * GIB)

/**
 * struct runner - a guest that writes to its memory all the time, by both ways to it
 * @cpu: its CPU
 * @stop: it is to end
 * @rounds: how often it has written all
 * @end: the first end of a round that is not VCPU_DONE
 */
struct runner {
	struct vcpu *cpu;
	bool stop;
	unsigned long rounds;
	enum vcpu_end end;
};

static void *run(void *arg)
{
	struct guest_job job = {
		.command = GUEST_FILL, .words = 4 * BLOCK / PAGE, .stride = PAGE,
	};
	struct runner *r = arg;

	while (!__atomic_load_n(&r->stop, __ATOMIC_RELAXED) && r->end == VCPU_DONE) {
		job.value = ++r->rounds;
		job.gpa = r->rounds % 2 ? FILE_GPA : BY_ADDRESS_GPA;
		r->end = guest_do(r->cpu, &job);
	}
	return NULL;
}

/* The memory of a guest that runs all the time goes back and forth. */
TEST_F(gmem, while_it_runs)
{
	int gmem, fd = ram_make(&self->p, &self->vmm, variant->flags, 4 * BLOCK, &gmem);
	int store = file_make(&self->p, "store", 4 * BLOCK), i, at, length;
	char *ram = map_file(fd, 0, 4 * BLOCK), *old = map_file(store, 0, 4 * BLOCK);
	struct runner runner = { .cpu = &self->cpu };
	unsigned int random = 5;
	pthread_t thread;

	ASSERT_GE(fd, 0);
	/* Memory by address is shared. */
	ASSERT_EQ(0, gmem_convert(gmem, 0, 4 * BLOCK, GMEM_SHARED));
	ASSERT_TRUE(ram != MAP_FAILED && old != MAP_FAILED);
	ASSERT_EQ(0, vmm_add_memory(&self->vmm, FILE_SLOT + 1, BY_ADDRESS_GPA, ram, 4 * BLOCK));
	ASSERT_EQ(0, pthread_create(&thread, NULL, run, &runner));
	for (i = 0; i < 200; i++) {
		at = next_random(&random) % 4;
		length = 1 + next_random(&random) % (4 - at);
		ASSERT_EQ(0, move(fd, at * BLOCK, store, at * BLOCK, length * BLOCK,
				  EXCHANGE | (i % 7 ? 0 : MOVE_ZERO)));
		/* What has left the guest does not change any more. */
		fill(old + at * BLOCK, length * BLOCK, i);
		usleep(300);
		EXPECT_TRUE(is_filled(old + at * BLOCK, length * BLOCK, i));
		if (i % 3 == 0)
			ASSERT_EQ(0, fallocate(store, PUNCH, at * BLOCK, length * BLOCK));
	}
	__atomic_store_n(&runner.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	printf("# %lu rounds\n", runner.rounds);
	EXPECT_EQ(VCPU_DONE, runner.end);
	EXPECT_LT(3, runner.rounds);
	/* Both ways lead to the same memory. */
	EXPECT_EQ(VCPU_DONE, guest_fill(&self->cpu, FILE_GPA, 4 * BLOCK, 3));
	EXPECT_EQ(VCPU_DONE, guest_check(&self->cpu, BY_ADDRESS_GPA, 4 * BLOCK, 3));
	EXPECT_TRUE(vmm_is_intact(&self->vmm));
}

TEST_HARNESS_MAIN
