// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memslots by descriptor: what can be bound where, and what keeps the memory alive.
 */
#include <sys/mount.h>
#include <sys/stat.h>

#include "gmem_fixture.h"

struct bind_case {
	uint64_t gpa;
	uint64_t len;
	uint64_t offset;
	int err;
};

/* The file has three blocks and half a page. */
static const struct bind_case bind_cases[] = {
	{ FILE_GPA,		3 * BLOCK,	0,			0 },
	{ FILE_GPA,		PAGE,		3 * BLOCK - PAGE,	0 },
	{ FILE_GPA + PAGE,	2 * BLOCK,	3 * PAGE,		0 },
	{ FILE_GPA,		PAGE,		3 * BLOCK,		EINVAL },
	{ FILE_GPA,		3 * BLOCK,	PAGE,			EINVAL },
	{ FILE_GPA,		4 * BLOCK,	0,			EINVAL },
	{ FILE_GPA,		PAGE,		4 * BLOCK,		EINVAL },
	{ FILE_GPA,		PAGE,		1,			EINVAL },
	{ FILE_GPA,		PAGE,		512,			EINVAL },
	{ FILE_GPA,		PAGE,		-PAGE,			EINVAL },
	{ FILE_GPA,		2 * PAGE,	-PAGE,			EINVAL },
	{ FILE_GPA,		PAGE,		1ULL << 63,		EINVAL },
	{ FILE_GPA,		1,		0,			EINVAL },
	{ FILE_GPA,		0,		0,			EINVAL },
	{ FILE_GPA + 1,		PAGE,		0,			EINVAL },
	{ -PAGE,		2 * PAGE,	0,			EINVAL },
	{ VMM_LOW_GPA,		PAGE,		0,			EEXIST },
};

TEST_F(gmem, bind)
{
	int fd = file_make(&self->p, "ram", 3 * BLOCK + PAGE / 2), i;
	int gmem = gmem_create(fd, self->vmm.vm, variant->flags);

	ASSERT_GE(gmem, 0);
	for (i = 0; i < ARRAY_SIZE(bind_cases); i++) {
		const struct bind_case *c = &bind_cases[i];

		EXPECT_EQ(c->err, ERR(vmm_bind(&self->vmm, FILE_SLOT, c->gpa, c->len, gmem,
					       c->offset)))
			TH_LOG("case %d", i);
		/* Only a successful call has made a slot. */
		EXPECT_EQ(c->err ? EINVAL : 0, ERR(vmm_remove(&self->vmm, FILE_SLOT)));
	}
	EXPECT_EQ(0, file_sectors(fd));
}

struct place {
	const char *what;
	uint64_t offset;
	uint64_t gpa;
	uint64_t len;
	long blocks;	/* entries of 2 MiB after an access to all pages */
	uint64_t off;	/* misalignment of userspace_addr */
};

/* In all cases but the last, userspace_addr would allow large entries. */
static const struct place places[] = {
	{ "alike",			0,		0,		3 * BLOCK,	3 },
	{ "by a page differently",	PAGE,		0,		2 * BLOCK,	0 },
	{ "by a page the other way",	0,		PAGE,		2 * BLOCK,	0 },
	{ "half a block off, both",	BLOCK / 2,	BLOCK / 2,	2 * BLOCK,	1 },
	{ "less than a block",		BLOCK,		BLOCK,		BLOCK - PAGE,	0 },
	{ "three blocks off",		0,		3 * BLOCK,	3 * BLOCK,	3 },
	{ "an address of its own",	0,		0,		3 * BLOCK,	3, PAGE },
};

/*
 * Entries are large only where slot, file and physical memory are aligned alike. userspace_addr
 * does not matter.
 */
TEST_F(gmem, places)
{
	int fd = file_make(&self->p, "ram", 3 * BLOCK), i;
	int gmem = gmem_create(fd, self->vmm.vm, variant->flags);
	char *p = map_file(fd, 0, 3 * BLOCK);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, gmem_convert(gmem, 0, 3 * BLOCK, GMEM_SHARED));
	for (i = 0; i < ARRAY_SIZE(places); i++) {
		const struct place *place = &places[i];
		const struct kvm_userspace_memory_region2 region = {
			.slot = FILE_SLOT,
			.flags = KVM_MEM_GUEST_MEMFD,
			.guest_phys_addr = FILE_GPA + place->gpa,
			.memory_size = place->len,
			.userspace_addr = GIB + place->gpa + place->off,
			.guest_memfd = gmem,
			.guest_memfd_offset = place->offset,
		};

		fill(p + place->offset, place->len, i);
		ASSERT_EQ(0, vmm_set_region(&self->vmm, &region));
		EXPECT_EQ(VCPU_DONE, guest_check(&self->cpu, region.guest_phys_addr, place->len, i))
			TH_LOG("%s", place->what);
		EXPECT_ENTRIES(0, place->blocks, (place->len - place->blocks * BLOCK) / PAGE,
			       place->what);
		ASSERT_EQ(0, vmm_remove(&self->vmm, FILE_SLOT));
	}
}

/* Descriptors of other files cannot be bound. */
TEST_F(gmem, bind_something_else)
{
	int fd = file_make(&self->p, "ram", BLOCK), i;
	int gmem = gmem_create(fd, self->vmm.vm, variant->flags);
	const int wrong[] = {
		fd, open(pool_path(&self->p, "ram"), O_RDONLY), open(self->p.dir, O_RDONLY),
		self->vmm.kvm, self->vmm.vm, self->cpu.fd, memfd_create("ram", 0),
	};

	ASSERT_GE(gmem, 0);
	for (i = 0; i < ARRAY_SIZE(wrong); i++)
		EXPECT_EQ(EINVAL, ERR(vmm_bind(&self->vmm, FILE_SLOT, FILE_GPA, BLOCK, wrong[i],
					       0)))
			TH_LOG("descriptor %d", i);
	EXPECT_EQ(EBADF, ERR(vmm_bind(&self->vmm, FILE_SLOT, FILE_GPA, BLOCK, -1, 0)));
	EXPECT_EQ(EBADF, ERR(vmm_bind(&self->vmm, FILE_SLOT, FILE_GPA, BLOCK, 9999, 0)));
	close(gmem);
	EXPECT_EQ(EBADF, ERR(vmm_bind(&self->vmm, FILE_SLOT, FILE_GPA, BLOCK, gmem, 0)));
}

/*
 * A slot of a machine with private memory cannot have a dirty log or be read-only, as with
 * guest_memfd. Nothing else of a slot can be changed.
 */
TEST_F(gmem, flags_of_slots)
{
	const int refused = variant->protected ? EINVAL : 0;
	int fd = file_make(&self->p, "ram", 2 * BLOCK);
	struct kvm_userspace_memory_region2 region = {
		.slot = FILE_SLOT,
		.flags = KVM_MEM_GUEST_MEMFD,
		.guest_phys_addr = FILE_GPA,
		.memory_size = BLOCK,
	};
	struct kvm_dirty_log log = { .slot = FILE_SLOT };
	unsigned long bitmap[BLOCK / PAGE / 64];

	region.guest_memfd = gmem_create(fd, self->vmm.vm, variant->flags);
	region.flags |= KVM_MEM_LOG_DIRTY_PAGES;
	EXPECT_EQ(refused, ERR(vmm_set_region(&self->vmm, &region)));
	EXPECT_EQ(refused, ERR(vmm_remove(&self->vmm, FILE_SLOT)));
	region.flags = KVM_MEM_GUEST_MEMFD | KVM_MEM_READONLY;
	EXPECT_EQ(refused, ERR(vmm_set_region(&self->vmm, &region)));
	EXPECT_EQ(refused, ERR(vmm_remove(&self->vmm, FILE_SLOT)));
	region.flags = KVM_MEM_GUEST_MEMFD;
	ASSERT_EQ(0, vmm_set_region(&self->vmm, &region));
	EXPECT_EQ(VCPU_DONE, guest_store(&self->cpu, FILE_GPA, 5));
	/* The same once more is no change, also for a machine with private memory. */
	EXPECT_EQ(0, ERR(vmm_set_region(&self->vmm, &region)));
	region.guest_memfd_offset = BLOCK;
	EXPECT_EQ(EINVAL, ERR(vmm_set_region(&self->vmm, &region)));
	region.guest_memfd_offset = 0;
	region.guest_phys_addr += BLOCK;
	EXPECT_EQ(EINVAL, ERR(vmm_set_region(&self->vmm, &region)));
	region.guest_phys_addr -= BLOCK;
	region.flags = KVM_MEM_GUEST_MEMFD | KVM_MEM_LOG_DIRTY_PAGES;
	/* For the others, gmem_log_test has the log. */
	if (variant->protected)
		EXPECT_EQ(EINVAL, ERR(vmm_set_region(&self->vmm, &region)));
	region.flags = KVM_MEM_LOG_DIRTY_PAGES;
	EXPECT_EQ(EINVAL, ERR(vmm_set_region(&self->vmm, &region)));
	region.flags = 0;
	EXPECT_EQ(EINVAL, ERR(vmm_set_region(&self->vmm, &region)));
	log.dirty_bitmap = bitmap;
	EXPECT_EQ(ENOENT, ERR(ioctl(self->vmm.vm, KVM_GET_DIRTY_LOG, &log)));
	/* None of these calls has removed or split the guest's entry. */
	EXPECT_ENTRIES(0, 1, 0, "after calls that fail");
	EXPECT_EQ(5, guest_load(&self->cpu, FILE_GPA));
}

/*
 * Writes to another slot, which is by address, are logged. Red if that splits the entries of the
 * slot by descriptor, or if the end of the log asks its file for the size of entries.
 */
TEST_F(gmem, log_of_another_slot)
{
	int gmem, fd = ram_make(&self->p, &self->vmm, variant->flags, 2 * BLOCK, &gmem);
	int other = file_make(&self->p, "other", 2 * BLOCK), i;
	/* With shadow paging, KVM splits an entry at the first write that is logged. */
	const long split = has_tdp() ? 2 : 0;
	struct kvm_userspace_memory_region2 region = {
		.slot = FILE_SLOT + 1,
		.guest_phys_addr = FILE_GPA + GIB,
		.memory_size = 2 * BLOCK,
		.userspace_addr = (uintptr_t)map_file(other, 0, 2 * BLOCK),
	};

	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, vmm_set_region(&self->vmm, &region));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(VCPU_DONE, guest_touch(&self->cpu, FILE_GPA, 2, BLOCK));
		ASSERT_EQ(VCPU_DONE, guest_touch(&self->cpu, FILE_GPA + GIB, 2, BLOCK));
		EXPECT_ENTRIES(0, 4, 0, "both slots");
		region.flags = KVM_MEM_LOG_DIRTY_PAGES;
		ASSERT_EQ(0, vmm_set_region(&self->vmm, &region));
		EXPECT_ENTRIES(0, 4 - split, split * BLOCK / PAGE, "one of them logged");
		EXPECT_EQ(VCPU_DONE, guest_store(&self->cpu, FILE_GPA + BLOCK, i + 1));
		region.flags = 0;
		ASSERT_EQ(0, vmm_set_region(&self->vmm, &region));
		EXPECT_ENTRIES(0, 4, 0, "logged no more");
		EXPECT_EQ(i + 1, guest_load(&self->cpu, FILE_GPA + BLOCK));
	}
}

/* Two slots of a machine cannot have the same part of a file, even by different descriptors. */
TEST_F(gmem, overlap)
{
	int fd = file_make(&self->p, "ram", 4 * BLOCK);
	int other_fd = file_make(&self->p, "other", BLOCK);
	int gmem = gmem_create(fd, self->vmm.vm, variant->flags);
	int again = gmem_create(fd, self->vmm.vm, variant->flags);
	int other = gmem_create(other_fd, self->vmm.vm, variant->flags);
	const struct vmm *v = &self->vmm;
	uint64_t gpa = FILE_GPA + GIB;

	ASSERT_EQ(0, vmm_bind(v, 1, FILE_GPA, 2 * BLOCK, gmem, BLOCK));
	EXPECT_EQ(EEXIST, ERR(vmm_bind(v, 2, gpa, 2 * BLOCK, gmem, BLOCK)));
	EXPECT_EQ(EEXIST, ERR(vmm_bind(v, 2, gpa, 4 * BLOCK, again, 0)));
	EXPECT_EQ(EEXIST, ERR(vmm_bind(v, 2, gpa, PAGE, gmem, BLOCK)));
	EXPECT_EQ(EEXIST, ERR(vmm_bind(v, 2, gpa, PAGE, again, 3 * BLOCK - PAGE)));
	EXPECT_EQ(EEXIST, ERR(vmm_bind(v, 2, gpa, BLOCK + PAGE, gmem, 0)));
	EXPECT_EQ(EEXIST, ERR(vmm_bind(v, 2, FILE_GPA + BLOCK, BLOCK, gmem, 0)));
	/* Parts that do not overlap can be bound in any order of guest addresses. */
	EXPECT_EQ(0, vmm_bind(v, 2, gpa + BLOCK, BLOCK, gmem, 0));
	EXPECT_EQ(0, vmm_bind(v, 3, gpa, BLOCK, again, 3 * BLOCK));
	EXPECT_EQ(0, vmm_bind(v, 4, gpa + 2 * BLOCK, BLOCK, other, 0));
	EXPECT_EQ(VCPU_DONE, guest_fill(&self->cpu, gpa, 3 * BLOCK, 1));
	EXPECT_EQ(VCPU_DONE, guest_fill(&self->cpu, FILE_GPA, 2 * BLOCK, 2));
	EXPECT_EQ(VCPU_DONE, guest_check(&self->cpu, gpa, 3 * BLOCK, 1));
	EXPECT_EQ(4 * BLOCK_SECTORS, file_sectors(fd));
	EXPECT_EQ(BLOCK_SECTORS, file_sectors(other_fd));
	/* The part of a slot that was removed can be bound again. */
	EXPECT_EQ(0, vmm_remove(v, 1));
	EXPECT_EQ(0, vmm_bind(v, 1, FILE_GPA, BLOCK, again, BLOCK));
	EXPECT_EQ(VCPU_DONE, guest_check(&self->cpu, FILE_GPA, BLOCK, 2));
}

/*
 * Each machine has its own descriptor of the file, and both have the shared memory.
 * gmem_machine_test.c tests private memory.
 */
TEST_F(gmem, two_machines)
{
	int fd = file_make(&self->p, "ram", 2 * BLOCK), mine, theirs;
	struct vcpu cpu;
	struct vmm vmm;

	ASSERT_EQ(0, vmm_make(&vmm, KVM_X86_DEFAULT_VM));
	ASSERT_EQ(0, vcpu_make(&vmm, &cpu, 0));
	mine = gmem_create(fd, self->vmm.vm, variant->flags);
	theirs = gmem_create(fd, vmm.vm, variant->flags);
	ASSERT_EQ(0, gmem_convert(mine, 0, 2 * BLOCK, GMEM_SHARED));
	EXPECT_EQ(EINVAL, ERR(vmm_bind(&vmm, FILE_SLOT, FILE_GPA, BLOCK, mine, 0)));
	EXPECT_EQ(EINVAL, ERR(vmm_bind(&self->vmm, FILE_SLOT, FILE_GPA, BLOCK, theirs, 0)));
	ASSERT_EQ(0, vmm_bind(&self->vmm, FILE_SLOT, FILE_GPA, 2 * BLOCK, mine, 0));
	ASSERT_EQ(0, vmm_bind(&vmm, FILE_SLOT, FILE_GPA + GIB, BLOCK, theirs, BLOCK));
	EXPECT_EQ(VCPU_DONE, guest_fill(&self->cpu, FILE_GPA + BLOCK, BLOCK, 3));
	EXPECT_EQ(VCPU_DONE, guest_check(&cpu, FILE_GPA + GIB, BLOCK, 3));
	EXPECT_EQ(1, vmm_entries(&vmm, "2m"));
	/* A conversion by either descriptor affects both machines. */
	ASSERT_EQ(0, gmem_convert(mine, BLOCK, PAGE, GMEM_PRIVATE));
	EXPECT_EQ(0, vmm_entries(&vmm, "2m"));
	ASSERT_EQ(0, gmem_convert(theirs, BLOCK, PAGE, GMEM_SHARED));
	EXPECT_EQ(VCPU_DONE, guest_fill(&cpu, FILE_GPA + GIB, BLOCK, 4));
	EXPECT_EQ(1, vmm_entries(&vmm, "2m"));
	/* The memory stays when the other machine ends. */
	vcpu_close(&cpu);
	vmm_close(&vmm);
	EXPECT_EQ(VCPU_DONE, guest_check(&self->cpu, FILE_GPA + BLOCK, BLOCK, 4));
	/* A third machine cannot use the descriptor of a machine that has ended. */
	ASSERT_EQ(0, vmm_make(&vmm, KVM_X86_DEFAULT_VM));
	EXPECT_EQ(EINVAL, ERR(vmm_bind(&vmm, FILE_SLOT, FILE_GPA, BLOCK, theirs, BLOCK)));
	vmm_close(&vmm);
}

/* A guest that reads a word again and again, with a count of the exits of KVM_RUN. */
struct reader {
	struct vcpu *cpu;
	bool stop;
	unsigned long faults;	/* KVM_EXIT_MEMORY_FAULT: memory of the wrong kind */
	unsigned long gaps;	/* KVM_EXIT_MMIO: no slot */
	unsigned long odd;
};

static void *read_on(void *arg)
{
	const struct guest_job job = {
		.command = GUEST_TOUCH, .gpa = FILE_GPA, .words = 1UL << 62,
	};
	struct reader *r = arg;
	int err;

	if (guest_start(r->cpu, &job))
		r->odd++;
	while (!__atomic_load_n(&r->stop, __ATOMIC_SEQ_CST) && !r->odd) {
		err = ERR(ioctl(r->cpu->fd, KVM_RUN, NULL));
		if (!err && r->cpu->run->exit_reason == KVM_EXIT_MMIO)
			r->gaps++;
		else if (err == EFAULT && r->cpu->run->exit_reason == KVM_EXIT_MEMORY_FAULT)
			r->faults++;
		else if (err != EINTR)
			r->odd++;
	}
	return NULL;
}

/*
 * While its slot is replaced, a guest that reads the page never gets KVM_EXIT_MEMORY_FAULT, which
 * would make the VMM convert it.
 */
TEST_F(gmem, replaced_while_it_is_read)
{
	int gmem, fd = ram_make(&self->p, &self->vmm, variant->flags, BLOCK, &gmem);
	struct reader r = { .cpu = &self->cpu };
	unsigned int state = 88172645U;
	unsigned long rounds = 0;
	pthread_t thread;
	time_t end;

	ASSERT_GE(fd, 0);
	ASSERT_GT(race_seconds(), 0);
	ASSERT_EQ(VCPU_DONE, guest_store(&self->cpu, FILE_GPA, 1));
	ASSERT_EQ(0, pthread_create(&thread, NULL, read_on, &r));
	for (end = seconds() + race_seconds(); seconds() < end; rounds++) {
		usleep(next_random(&state) % 500);
		ASSERT_EQ(0, vmm_remove(&self->vmm, FILE_SLOT));
		usleep(next_random(&state) % 500);
		ASSERT_EQ(0, vmm_bind(&self->vmm, FILE_SLOT, FILE_GPA, BLOCK, gmem, 0));
	}
	__atomic_store_n(&r.stop, true, __ATOMIC_SEQ_CST);
	vcpu_stop(&self->cpu, thread);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	TH_LOG("%lu rounds, %lu accesses without a slot", rounds, r.gaps);
	EXPECT_EQ(0, r.faults);
	EXPECT_EQ(0, r.odd);
	EXPECT_GT(r.gaps, 0);
}

/* The references to a file that are released, in any order. */
enum holder { THE_FILE, THE_DESCRIPTOR, THE_NAME, THE_MAPPING, THE_SLOT, NR_HOLDERS };

static int let_go(const struct pool *p, const struct vmm *v, enum holder who, int fd, int gmem,
		  void *map)
{
	switch (who) {
	case THE_FILE:
		return close(fd);
	case THE_DESCRIPTOR:
		return close(gmem);
	case THE_NAME:
		return unlink(pool_path(p, "ram"));
	case THE_MAPPING:
		return munmap(map, BLOCK);
	default:
		return vmm_remove(v, FILE_SLOT);
	}
}

/* Returns the nth permutation, from the digits of n in the factorial number system. */
static void nth_order(int n, enum holder *order)
{
	enum holder rest[NR_HOLDERS];
	int i, j;

	for (i = 0; i < NR_HOLDERS; i++)
		rest[i] = i;
	for (i = NR_HOLDERS; i > 0; i--) {
		order[NR_HOLDERS - i] = rest[n % i];
		for (j = n % i; j + 1 < i; j++)
			rest[j] = rest[j + 1];
		n /= i;
	}
}

/*
 * The guest works as long as its slot exists, and the block is allocated until the last reference
 * is released.
 */
TEST_F(gmem, all_orders_of_going)
{
	enum holder order[NR_HOLDERS];
	int n, i, fd, gmem;
	bool slot;
	void *map;

	for (n = 0; n < 120; n++) {
		slot = true;
		nth_order(n, order);
		fd = file_make(&self->p, "ram", BLOCK);
		gmem = gmem_create(fd, self->vmm.vm, variant->flags);
		map = map_file(fd, 0, BLOCK);
		ASSERT_NE(MAP_FAILED, map);
		ASSERT_EQ(0, vmm_bind(&self->vmm, FILE_SLOT, FILE_GPA, BLOCK, gmem, 0));
		ASSERT_EQ(VCPU_DONE, guest_store(&self->cpu, FILE_GPA + 8, n));
		for (i = 0; i < NR_HOLDERS; i++) {
			EXPECT_EQ(self->p.free_blocks - 1, pool_free_blocks(&self->p));
			ASSERT_EQ(0, let_go(&self->p, &self->vmm, order[i], fd, gmem, map));
			slot = slot && order[i] != THE_SLOT;
			if (slot)
				EXPECT_EQ(n, guest_load(&self->cpu, FILE_GPA + 8));
		}
		EXPECT_EQ(self->p.free_blocks, pool_free_blocks(&self->p))
			TH_LOG("order %d%d%d%d%d", order[0], order[1], order[2], order[3],
			       order[4]);
	}
}

/* A slot makes a mount busy. A lazy unmount is possible. */
TEST_F(gmem, umount)
{
	char path[128];
	int fd, gmem;

	ASSERT_EQ(0, pool_place(&self->p, path, sizeof(path)));
	ASSERT_EQ(0, pool_mount_at(self->p.node, path, 0));
	snprintf(path, sizeof(path), "%s/other/%s/ram", self->p.base,
		 strrchr(self->p.dir, '/') + 1);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
	ASSERT_EQ(0, ftruncate(fd, BLOCK));
	gmem = gmem_create(fd, self->vmm.vm, variant->flags);
	ASSERT_EQ(0, vmm_bind(&self->vmm, FILE_SLOT, FILE_GPA, BLOCK, gmem, 0));
	close(fd);
	close(gmem);
	snprintf(path, sizeof(path), "%s/other", self->p.base);
	EXPECT_EQ(EBUSY, ERR(umount(path)));
	EXPECT_EQ(VCPU_DONE, guest_store(&self->cpu, FILE_GPA, 6));
	EXPECT_EQ(0, umount2(path, MNT_DETACH));
	EXPECT_EQ(6, guest_load(&self->cpu, FILE_GPA));
	ASSERT_EQ(0, unlink(pool_path(&self->p, "ram")));
	EXPECT_EQ(self->p.free_blocks - 1, pool_free_blocks(&self->p));
}

TEST_HARNESS_MAIN
