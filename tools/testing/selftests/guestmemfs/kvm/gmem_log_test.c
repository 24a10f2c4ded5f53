// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory by descriptor for machines that are migrated and have firmware: slots with a dirty log,
 * read-only slots, and changes of the flags while the guest runs. Machines with private memory
 * have neither, see gmem_slot_test.
 */
#include "gmem_fixture.h"

#define LOG		KVM_MEM_LOG_DIRTY_PAGES
#define READONLY	KVM_MEM_READONLY

#define NR_BLOCKS	4
#define SIZE		(NR_BLOCKS * BLOCK)
#define NR_PAGES	(SIZE / PAGE)

/* Returns the number of dirty pages of the slot, and fills in the first @most of them. */
static int dirty_pages(const struct vmm *v, int slot, unsigned int *pages, int most)
{
	static unsigned long bitmap[NR_PAGES / 64];
	struct kvm_dirty_log log = { .slot = slot, .dirty_bitmap = bitmap };
	unsigned int i;
	int nr = 0;

	if (ioctl(v->vm, KVM_GET_DIRTY_LOG, &log))
		return -1;
	for (i = 0; i < NR_PAGES; i++) {
		if (!(bitmap[i / 64] >> i % 64 & 1))
			continue;
		if (nr < most)
			pages[nr] = i;
		nr++;
	}
	return nr;
}

#define EXPECT_DIRTY(...) do {							\
	const unsigned int _expected[] = { __VA_ARGS__ };			\
	unsigned int _pages[ARRAY_SIZE(_expected) + 1] = {}, _i;		\
										\
	EXPECT_EQ(ARRAY_SIZE(_expected),					\
		  dirty_pages(&self->vmm, FILE_SLOT, _pages, ARRAY_SIZE(_expected)));	\
	for (_i = 0; _i < ARRAY_SIZE(_expected); _i++)				\
		EXPECT_EQ(_expected[_i], _pages[_i]);				\
} while (0)

#define EXPECT_CLEAN()	EXPECT_EQ(0, dirty_pages(&self->vmm, FILE_SLOT, NULL, 0))

static int make_slot(const struct vmm *v, uint32_t flags, int gmem)
{
	return vmm_bind_as(v, FILE_SLOT, flags, FILE_GPA, SIZE, gmem, 0);
}

static enum vcpu_end store_page(struct vcpu *cpu, unsigned int page, uint64_t word)
{
	return guest_store(cpu, FILE_GPA + page * PAGE, word);
}

/* A machine with private memory has neither, also if it has made all of its memory shared. */
static bool is_refused(const struct pool *p, const struct vmm *v, uint32_t flags)
{
	int gmem = gmem_create(file_make(p, "none", SIZE), v->vm, flags);

	return !gmem_convert(gmem, 0, SIZE, GMEM_SHARED) &&
	       ERR(make_slot(v, LOG, gmem)) == EINVAL &&
	       ERR(make_slot(v, READONLY, gmem)) == EINVAL;
}

/* What the guest writes is in the log, each page once, and nothing else. */
TEST_F(gmem, dirty_log)
{
	int fd = file_make(&self->p, "ram", SIZE), gmem, i;
	struct vcpu *cpu = &self->cpu;

	if (variant->protected) {
		EXPECT_TRUE(is_refused(&self->p, &self->vmm, variant->flags));
		return;
	}
	gmem = gmem_create(fd, self->vmm.vm, variant->flags);
	ASSERT_EQ(0, make_slot(&self->vmm, LOG, gmem));
	/* KVM takes a page that it maps for writing as dirty, even if the guest only reads. */
	EXPECT_EQ(VCPU_DONE, guest_touch(cpu, FILE_GPA, NR_PAGES, PAGE));
	EXPECT_EQ(NR_PAGES, dirty_pages(&self->vmm, FILE_SLOT, NULL, 0));
	EXPECT_CLEAN();
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(VCPU_DONE, store_page(cpu, 0, i + 1));
		EXPECT_EQ(VCPU_DONE, store_page(cpu, 0, i + 2));
		EXPECT_EQ(VCPU_DONE, store_page(cpu, 3, i + 3));
		EXPECT_EQ(VCPU_DONE, store_page(cpu, 512 + 5, i + 4));
		EXPECT_EQ(VCPU_DONE, store_page(cpu, NR_PAGES - 1, i + 5));
		EXPECT_DIRTY(0, 3, 512 + 5, NR_PAGES - 1);
		EXPECT_CLEAN();
	}
	/* Reading a page that is mapped does not make it dirty. */
	EXPECT_EQ(i + 1, guest_load(cpu, FILE_GPA));
	EXPECT_CLEAN();
	/* A page that was punched is mapped again, and is dirty again. */
	ASSERT_EQ(0, fallocate(fd, PUNCH, BLOCK, BLOCK));
	EXPECT_EQ(0, guest_load(cpu, FILE_GPA + BLOCK + 5 * PAGE));
	EXPECT_DIRTY(512 + 5);
	EXPECT_EQ(VCPU_DONE, store_page(cpu, 512 + 5, 7));
	EXPECT_DIRTY(512 + 5);
	if (has_tdp())
		EXPECT_EQ(0, vmm_entries(&self->vmm, "2m"));
}

/*
 * A log that has all pages at first keeps large entries, until it is cleared or a part is unmapped:
 * what is split then is in the log when the guest writes to it.
 */
TEST_F(gmem, split_while_logged)
{
	const struct vmm *v = &self->vmm;
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
		.args = { KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET },
	};
	static unsigned long bitmap[NR_PAGES / 64];
	struct kvm_clear_dirty_log clear = {
		.slot = FILE_SLOT, .num_pages = NR_PAGES, .dirty_bitmap = bitmap,
	};
	struct vcpu *cpu = &self->cpu;
	int gmem, fd;

	if (variant->protected) {
		EXPECT_TRUE(is_refused(&self->p, &self->vmm, variant->flags));
		return;
	}
	ASSERT_EQ(0, ioctl(v->vm, KVM_ENABLE_CAP, &cap));
	fd = ram_make(&self->p, v, variant->flags, SIZE, &gmem);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(VCPU_DONE, guest_fill(cpu, FILE_GPA, SIZE, 1));
	ASSERT_EQ(0, make_slot(v, LOG, gmem));
	if (has_tdp())
		EXPECT_ENTRIES(0, NR_BLOCKS, 0, "with a log that has all pages");
	EXPECT_EQ(NR_PAGES, dirty_pages(v, FILE_SLOT, NULL, 0));
	ASSERT_EQ(0, gmem_convert(gmem, BLOCK + 5 * PAGE, PAGE, GMEM_PRIVATE));
	ASSERT_EQ(0, gmem_convert(gmem, BLOCK + 5 * PAGE, PAGE, GMEM_SHARED));
	if (has_tdp())
		EXPECT_ENTRIES(0, NR_BLOCKS - 1, BLOCK / PAGE - 1, "a page of a block converted");
	memset(bitmap, 0xff, sizeof(bitmap));
	ASSERT_EQ(0, ioctl(v->vm, KVM_CLEAR_DIRTY_LOG, &clear));
	EXPECT_CLEAN();
	EXPECT_EQ(VCPU_DONE, store_page(cpu, 512 + 4, 2));
	EXPECT_EQ(VCPU_DONE, store_page(cpu, 512 + 6, 2));
	EXPECT_EQ(VCPU_DONE, store_page(cpu, 7, 2));
	EXPECT_DIRTY(7, 512 + 4, 512 + 6);
}

/* The log begins and ends while the guest has large entries, which it gets again at the end. */
TEST_F(gmem, log_begins_and_ends)
{
	int gmem, fd = ram_make(&self->p, &self->vmm, variant->flags, GIB, &gmem), i;
	const struct vmm *v = &self->vmm;
	struct vcpu *cpu = &self->cpu;

	if (variant->protected) {
		EXPECT_TRUE(is_refused(&self->p, &self->vmm, variant->flags));
		return;
	}
	if (self->p.free_blocks < GIB / BLOCK)
		SKIP(return, "needs 1 GiB free");
	ASSERT_GE(fd, 0);
	ASSERT_EQ(VCPU_DONE, guest_fill(cpu, FILE_GPA, SIZE, 1));
	EXPECT_ENTRIES(1, 0, 0, "1 GiB");
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, vmm_bind_as(v, FILE_SLOT, LOG, FILE_GPA, GIB, gmem, 0));
		EXPECT_EQ(VCPU_DONE, store_page(cpu, 100000, i + 1));
		EXPECT_EQ(0, vmm_entries(v, "1g"));
		ASSERT_EQ(0, vmm_bind_as(v, FILE_SLOT, 0, FILE_GPA, GIB, gmem, 0));
		EXPECT_EQ(i + 1, guest_load(cpu, FILE_GPA + 100000 * PAGE));
		EXPECT_EQ(VCPU_DONE, guest_check(cpu, FILE_GPA, SIZE, 1));
		if (has_tdp())
			EXPECT_ENTRIES(1, 0, 0, "after the log");
	}
	EXPECT_EQ(GIB / 512, file_sectors(fd));
}

/* Changes of the file reach a guest whose slot has other flags than when it was bound. */
TEST_F(gmem, changes_of_the_file)
{
	int gmem, fd = ram_make(&self->p, &self->vmm, variant->flags, SIZE, &gmem), i;
	const struct vmm *v = &self->vmm;
	struct vcpu *cpu = &self->cpu;

	if (variant->protected) {
		EXPECT_TRUE(is_refused(&self->p, &self->vmm, variant->flags));
		return;
	}
	ASSERT_GE(fd, 0);
	for (i = 0; i < 4; i++) {
		ASSERT_EQ(0, make_slot(v, i % 2 ? 0 : LOG, gmem));
		ASSERT_EQ(VCPU_DONE, guest_fill(cpu, FILE_GPA, SIZE, 1));
		ASSERT_EQ(0, fallocate(fd, PUNCH, BLOCK, BLOCK));
		EXPECT_EQ(0, guest_load(cpu, FILE_GPA + BLOCK));
		ASSERT_EQ(0, gmem_convert(gmem, 5 * PAGE, PAGE, GMEM_PRIVATE));
		EXPECT_EQ(VCPU_FAULT, guest_touch(cpu, FILE_GPA + 5 * PAGE, 1, 0));
		ASSERT_EQ(0, gmem_convert(gmem, 5 * PAGE, PAGE, GMEM_SHARED));
		EXPECT_EQ(VCPU_DONE, vcpu_go(cpu));
		ASSERT_EQ(0, ftruncate(fd, 3 * BLOCK));
		EXPECT_EQ(VCPU_NO_MEMORY, guest_touch(cpu, FILE_GPA + 3 * BLOCK, 1, 0));
		ASSERT_EQ(0, ftruncate(fd, SIZE));
		EXPECT_EQ(VCPU_DONE, vcpu_go(cpu));
	}
	/* The slot can be removed, and made anew. */
	ASSERT_EQ(0, vmm_remove(v, FILE_SLOT));
	ASSERT_EQ(0, make_slot(v, LOG, gmem));
	EXPECT_EQ(0, guest_load(cpu, FILE_GPA + 3 * BLOCK));
}

/* The flags change by the descriptor that the slot was made with, and for the same memory. */
TEST_F(gmem, only_the_same_memory)
{
	int gmem, fd = ram_make(&self->p, &self->vmm, variant->flags, SIZE, &gmem);
	int again = gmem_create(fd, self->vmm.vm, variant->flags);
	const struct vmm *v = &self->vmm;
	struct kvm_userspace_memory_region2 region = {
		.slot = FILE_SLOT,
		.flags = KVM_MEM_GUEST_MEMFD | LOG,
		.guest_phys_addr = FILE_GPA,
		.memory_size = SIZE,
		.guest_memfd = gmem,
		.userspace_addr = PAGE,
	};

	if (variant->protected) {
		EXPECT_TRUE(is_refused(&self->p, &self->vmm, variant->flags));
		return;
	}
	ASSERT_GE(again, 0);
	EXPECT_EQ(EINVAL, ERR(make_slot(v, LOG, again)));
	EXPECT_EQ(EINVAL, ERR(make_slot(v, LOG, fd)));
	EXPECT_EQ(EINVAL, ERR(make_slot(v, LOG, -1)));
	EXPECT_EQ(EINVAL, ERR(make_slot(v, READONLY, gmem)));
	EXPECT_EQ(EINVAL, ERR(vmm_bind_as(v, FILE_SLOT, LOG, FILE_GPA, SIZE, gmem, BLOCK)));
	EXPECT_EQ(EINVAL, ERR(vmm_bind_as(v, FILE_SLOT, LOG, FILE_GPA, BLOCK, gmem, 0)));
	EXPECT_EQ(EINVAL, ERR(vmm_bind_as(v, FILE_SLOT, LOG, FILE_GPA + BLOCK, SIZE, gmem, 0)));
	EXPECT_EQ(EINVAL, ERR(vmm_set_region(v, &region)));
	EXPECT_EQ(VCPU_DONE, store_page(&self->cpu, 0, 1));
	EXPECT_EQ(-1, dirty_pages(v, FILE_SLOT, NULL, 0));
	/* A descriptor that was copied is the same. */
	ASSERT_EQ(0, make_slot(v, LOG, dup(gmem)));
	EXPECT_EQ(VCPU_DONE, store_page(&self->cpu, 2, 1));
	EXPECT_DIRTY(2);
	EXPECT_EQ(0, make_slot(v, LOG, gmem));
	EXPECT_CLEAN();
}

/* A write to a read-only slot is MMIO, and takes no memory. Reading works. */
TEST_F(gmem, read_only)
{
	int fd = file_make(&self->p, "ram", SIZE), gmem;
	const struct kvm_run *run = self->cpu.run;
	struct vcpu *cpu = &self->cpu;
	char *p = map_file(fd, 0, SIZE);

	if (variant->protected) {
		EXPECT_TRUE(is_refused(&self->p, &self->vmm, variant->flags));
		return;
	}
	ASSERT_NE(MAP_FAILED, p);
	fill(p, BLOCK, 1);
	gmem = gmem_create(fd, self->vmm.vm, variant->flags);
	ASSERT_EQ(0, make_slot(&self->vmm, READONLY, gmem));
	EXPECT_EQ(VCPU_DONE, guest_check(cpu, FILE_GPA, BLOCK, 1));
	if (has_tdp())
		EXPECT_ENTRIES(0, 1, 0, "a block that is read");
	/* A page that is mapped, and one in a hole of the file. */
	for (uint64_t at = 0; at < 2 * BLOCK; at += BLOCK) {
		EXPECT_EQ(VCPU_ASTRAY, guest_store(cpu, FILE_GPA + at, 7));
		EXPECT_EQ(KVM_EXIT_MMIO, run->exit_reason);
		EXPECT_EQ(FILE_GPA + at, run->mmio.phys_addr);
		EXPECT_EQ(8, run->mmio.len);
		EXPECT_EQ(1, run->mmio.is_write);
		EXPECT_EQ(VCPU_DONE, vcpu_go(cpu));
	}
	EXPECT_EQ(BLOCK_SECTORS, file_sectors(fd));
	EXPECT_TRUE(is_filled(p, BLOCK, 1));
	/* The host writes, and the guest reads that. */
	fill(p, BLOCK, 2);
	EXPECT_EQ(VCPU_DONE, guest_check(cpu, FILE_GPA, BLOCK, 2));
	EXPECT_EQ(EINVAL, ERR(make_slot(&self->vmm, 0, gmem)));
	EXPECT_EQ(0, guest_load(cpu, FILE_GPA + 3 * BLOCK));
}

TEST_HARNESS_MAIN
