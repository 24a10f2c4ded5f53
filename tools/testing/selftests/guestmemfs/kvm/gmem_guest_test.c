// SPDX-License-Identifier: GPL-2.0-only
/*
 * What guest and host can access in a file with private and shared parts, and the sizes of the
 * guest's second-stage entries.
 */
#include <sys/mount.h>
#include <sys/statfs.h>

#include "gmem_fixture.h"
#include "userfault.h"

/*
 * The guest has accessed private memory as shared, and KVM_RUN has ended with
 * KVM_EXIT_MEMORY_FAULT.
 */
#define EXPECT_MEMORY_FAULT(end, offset) do {					\
	enum vcpu_end _end = end;						\
	const struct kvm_run *_run = self->cpu.run;				\
										\
	EXPECT_EQ(VCPU_FAULT, _end);						\
	EXPECT_EQ(FILE_GPA + (offset), _run->memory_fault.gpa);			\
	EXPECT_EQ(PAGE, _run->memory_fault.size);				\
	EXPECT_EQ(0, _run->memory_fault.flags);					\
} while (0)

/* Reads the first word of every block but one. */
static enum vcpu_end touch_blocks_but(struct vcpu *cpu, unsigned int but)
{
	enum vcpu_end end = guest_touch(cpu, FILE_GPA, but, BLOCK);
	uint64_t after = but + 1;

	return end ?: guest_touch(cpu, FILE_GPA + after * BLOCK, GIB / BLOCK - after, BLOCK);
}

/* A gigabyte of one kind has one entry, and small entries only in a block of both kinds. */
TEST_F(gmem, gigabyte)
{
	const uint64_t mixed = 100 * BLOCK, page = mixed + 7 * PAGE;
	int gmem, fd = ram_make(&self->p, &self->vmm, variant->flags, GIB, &gmem);
	/* With shadow paging, the large entry goes as a whole. */
	const bool splits = has_tdp();

	if (self->p.free_blocks < GIB / BLOCK)
		SKIP(return, "needs 1 GiB free");
	ASSERT_GE(fd, 0);
	EXPECT_EQ(VCPU_DONE, guest_store(&self->cpu, FILE_GPA + GIB - 8, 1));
	EXPECT_ENTRIES(1, 0, 0, "1 GiB");
	EXPECT_EQ(ORDER_1G, gmem_order(gmem, page));
	EXPECT_EQ(VCPU_DONE, guest_store(&self->cpu, FILE_GPA + page, 2));
	EXPECT_ENTRIES(1, 0, 0, "1 GiB, written to");
	/*
	 * A conversion splits the large entry at once, and not only with the next fault. All pages
	 * but the converted one stay mapped.
	 */
	ASSERT_EQ(0, gmem_convert(gmem, page, PAGE, variant->other));
	EXPECT_ENTRIES(0, splits ? 511 : 0, splits ? 511 : 0, "when a page of it was converted");
	EXPECT_EQ(ORDER_4K, gmem_order(gmem, page));
	EXPECT_EQ(ORDER_4K, gmem_order(gmem, mixed));
	EXPECT_EQ(ORDER_2M, gmem_order(gmem, mixed - PAGE));
	EXPECT_EQ(ORDER_2M, gmem_order(gmem, mixed + BLOCK));
	EXPECT_EQ(VCPU_DONE, touch_blocks_but(&self->cpu, mixed / BLOCK));
	EXPECT_ENTRIES(0, 511, splits ? 511 : 0, "around its block");
	EXPECT_EQ(VCPU_DONE, guest_touch(&self->cpu, FILE_GPA + mixed, 7, PAGE));
	EXPECT_ENTRIES(0, 511, splits ? 511 : 7, "in its block");
	if (variant->protected) {
		EXPECT_EQ(2, guest_load(&self->cpu, FILE_GPA + page));
		EXPECT_ENTRIES(0, 511, splits ? 512 : 8, "the page itself");
	} else {
		EXPECT_MEMORY_FAULT(guest_touch(&self->cpu, FILE_GPA + page, 1, 0), page);
		EXPECT_ENTRIES(0, 511, splits ? 511 : 7, "but not the page itself");
	}
	/* The whole block is of the other kind, so one entry maps it. */
	ASSERT_EQ(0, gmem_convert(gmem, mixed, BLOCK, variant->other));
	EXPECT_EQ(ORDER_2M, gmem_order(gmem, page));
	if (variant->protected) {
		EXPECT_EQ(VCPU_DONE, guest_touch(&self->cpu, FILE_GPA, GIB / BLOCK, BLOCK));
		EXPECT_ENTRIES(0, 512, 0, "511 of one kind, and one of the other");
	}
	/*
	 * After conversions back in two steps, an entry of 1 GiB fits again without any further
	 * call.
	 */
	ASSERT_EQ(0, gmem_convert(gmem, mixed, BLOCK / 2, variant->first));
	ASSERT_EQ(0, gmem_convert(gmem, mixed + BLOCK / 2, BLOCK / 2, variant->first));
	EXPECT_EQ(ORDER_1G, gmem_order(gmem, page));
	/*
	 * Only a fault in the block that was converted makes the large entry. Until then, the other
	 * entries stay.
	 */
	EXPECT_EQ(1, guest_load(&self->cpu, FILE_GPA + GIB - 8));
	EXPECT_ENTRIES(0, 511, 0, "converted back");
	EXPECT_EQ(2, guest_load(&self->cpu, FILE_GPA + page));
	EXPECT_EQ(VCPU_DONE, guest_touch(&self->cpu, FILE_GPA + mixed + BLOCK - 8, 1, 0));
	/*
	 * With shadow paging, KVM keeps the page table that the large entry replaces, for later
	 * use.
	 */
	EXPECT_ENTRIES(1, has_tdp() ? 0 : 511, 0, "and touched");
	/* A gigabyte of the other kind has one entry, too. */
	ASSERT_EQ(0, gmem_convert(gmem, 0, GIB, variant->other));
	EXPECT_EQ(ORDER_1G, gmem_order(gmem, page));
	if (variant->protected) {
		EXPECT_EQ(2, guest_load(&self->cpu, FILE_GPA + page));
		EXPECT_ENTRIES(1, 0, 0, "all of it converted");
	}
	EXPECT_EQ(GIB / 512, file_sectors(fd));
}

/* Punching out a mixed part allows larger entries, like a conversion. */
TEST_F(gmem, punched)
{
	int gmem, fd = ram_make(&self->p, &self->vmm, variant->flags, 2 * BLOCK, &gmem);
	struct vcpu *cpu = &self->cpu;

	ASSERT_GE(fd, 0);
	ASSERT_EQ(VCPU_DONE, guest_fill(cpu, FILE_GPA, 2 * BLOCK, 1));
	EXPECT_ENTRIES(0, 2, 0, "two blocks");
	ASSERT_EQ(0, fallocate(fd, PUNCH, 0, BLOCK));
	EXPECT_ENTRIES(0, 1, 0, "one of them punched");
	EXPECT_EQ(BLOCK_SECTORS, file_sectors(fd));
	EXPECT_EQ(variant->state, gmem_state(fd, 0));
	EXPECT_EQ(variant->state | ALLOCATED, gmem_state(fd, BLOCK));
	/* The block is allocated again with the same kind, and is zero. */
	EXPECT_EQ(0, guest_load(cpu, FILE_GPA));
	EXPECT_EQ(0, guest_load(cpu, FILE_GPA + BLOCK - 8));
	EXPECT_ENTRIES(0, 2, 0, "and touched");
	EXPECT_EQ(variant->state | ALLOCATED, gmem_state(fd, 0));
	/*
	 * A hole smaller than a block zeroes it and frees nothing. Punch by the descriptor this
	 * time.
	 */
	ASSERT_EQ(0, fallocate(gmem, PUNCH, BLOCK + PAGE, PAGE));
	EXPECT_EQ(2 * BLOCK_SECTORS, file_sectors(fd));
	EXPECT_EQ(0, guest_load(cpu, FILE_GPA + BLOCK + PAGE));
	EXPECT_EQ(0, guest_load(cpu, FILE_GPA + BLOCK + 2 * PAGE - 8));
	EXPECT_EQ((1L << 40) + 1 + (BLOCK + PAGE) / 8 - 1,
		  guest_load(cpu, FILE_GPA + BLOCK + PAGE - 8));
	EXPECT_EQ((1L << 40) + 1 + (BLOCK + 2 * PAGE) / 8,
		  guest_load(cpu, FILE_GPA + BLOCK + 2 * PAGE));
	/* In a mixed block, each page keeps its kind. */
	ASSERT_EQ(0, gmem_convert(gmem, PAGE, PAGE, variant->other));
	ASSERT_EQ(0, fallocate(fd, PUNCH, 0, 2 * BLOCK));
	EXPECT_EQ(0, file_sectors(fd));
	EXPECT_EQ(variant->state, gmem_state(fd, 0));
	EXPECT_EQ(variant->state ^ PRIVATE, gmem_state(fd, PAGE));
	EXPECT_EQ(variant->state, gmem_state(fd, 2 * PAGE));
}

/*
 * Whole pages of a hole are unmapped, so that their use is noticed. Where only a part of a page is
 * zeroed, entries of shared memory stay. Those of private memory are removed, which must be made
 * inaccessible to the guest before the host writes to it.
 */
TEST_F(gmem, parts_of_a_gigabyte)
{
	int gmem, fd = ram_make(&self->p, &self->vmm, variant->flags, GIB, &gmem);
	/* Of private memory, what is not written to stays mapped where the entry can be split. */
	const long left = !variant->protected, around = variant->protected && has_tdp();
	struct vcpu *cpu = &self->cpu;

	if (self->p.free_blocks < GIB / BLOCK)
		SKIP(return, "needs 1 GiB free");
	ASSERT_GE(fd, 0);
	ASSERT_EQ(VCPU_DONE, guest_fill(cpu, FILE_GPA, 2 * BLOCK, 1));
	ASSERT_EQ(VCPU_DONE, guest_store(cpu, FILE_GPA + GIB - 8, 1));
	EXPECT_ENTRIES(1, 0, 0, "1 GiB");
	ASSERT_EQ(0, fallocate(fd, PUNCH, PAGE, PAGE));
	EXPECT_ENTRIES(0, has_tdp() * 511, has_tdp() * 511, "a hole of a page in it");
	EXPECT_EQ(0, guest_load(cpu, FILE_GPA + PAGE));
	EXPECT_EQ(0, guest_load(cpu, FILE_GPA + 2 * PAGE - 8));
	EXPECT_EQ((1L << 40) + PAGE / 8, guest_load(cpu, FILE_GPA + PAGE - 8));
	EXPECT_EQ((1L << 40) + 1 + 2 * PAGE / 8, guest_load(cpu, FILE_GPA + 2 * PAGE));
	ASSERT_EQ(0, fallocate(gmem, FALLOC_FL_ZERO_RANGE, BLOCK - 8, 16));
	EXPECT_ENTRIES(left, around * 510, around * 2 * 511, "zeroes where two blocks meet");
	EXPECT_EQ(0, guest_load(cpu, FILE_GPA + BLOCK - 8));
	EXPECT_EQ(0, guest_load(cpu, FILE_GPA + BLOCK));
	EXPECT_EQ((1L << 40) + BLOCK / 8 - 1, guest_load(cpu, FILE_GPA + BLOCK - 16));
	ASSERT_EQ(0, ftruncate(fd, GIB - 8));
	EXPECT_ENTRIES(left, around * 511, around * 511, "the file ends in its last page");
	EXPECT_EQ(0, guest_load(cpu, FILE_GPA + GIB - 8));
	ASSERT_EQ(0, ftruncate(fd, GIB - 8));
	EXPECT_ENTRIES(left, around * 511, around * 511, "and is given the size that it has");
	EXPECT_EQ(GIB / 512, file_sectors(fd));
}

/* Conversions are in place: guest and host find what the other one has written. */
TEST_F(gmem, contents)
{
	int gmem, fd = ram_make(&self->p, &self->vmm, variant->flags, 2 * BLOCK, &gmem);
	const uint64_t at[] = { 0, PAGE, BLOCK - PAGE, BLOCK, 2 * BLOCK - PAGE };
	char *p = map_file(fd, 0, 2 * BLOCK);
	int i;

	ASSERT_NE(MAP_FAILED, p);
	for (i = 0; i < ARRAY_SIZE(at); i++) {
		ASSERT_EQ(0, gmem_convert(gmem, 0, 2 * BLOCK,
					  variant->first));
		EXPECT_EQ(VCPU_DONE, guest_fill(&self->cpu, FILE_GPA + at[i], PAGE, 10 + i));
		ASSERT_EQ(0, gmem_convert(gmem, at[i], PAGE, GMEM_PRIVATE));
		EXPECT_EQ(FAULT(SIGBUS), peek(p + at[i]));
		ASSERT_EQ(0, gmem_convert(gmem, at[i], PAGE, GMEM_SHARED));
		EXPECT_TRUE(is_filled(p + at[i], PAGE, 10 + i));
		fill(p + at[i], PAGE, 20 + i);
		EXPECT_EQ(VCPU_DONE, guest_check(&self->cpu, FILE_GPA + at[i], PAGE, 20 + i));
		ASSERT_EQ(0, gmem_convert(gmem, at[i], PAGE, GMEM_PRIVATE));
		EXPECT_EQ(FAULT(SIGBUS), poke(p + at[i], 1));
		if (!variant->protected)
			ASSERT_EQ(0, gmem_convert(gmem, at[i], PAGE, GMEM_SHARED));
		EXPECT_EQ(VCPU_DONE, guest_check(&self->cpu, FILE_GPA + at[i], PAGE, 20 + i));
	}
	/* Convert the whole file at once. */
	ASSERT_EQ(0, gmem_convert(gmem, 0, 2 * BLOCK, GMEM_SHARED));
	for (i = 0; i < ARRAY_SIZE(at); i++)
		EXPECT_TRUE(is_filled(p + at[i], PAGE, 20 + i));
	fill(p, 2 * BLOCK, 30);
	ASSERT_EQ(0, gmem_convert(gmem, 0, 2 * BLOCK, GMEM_PRIVATE));
	ASSERT_EQ(0, gmem_convert(gmem, BLOCK - PAGE, 2 * PAGE, GMEM_SHARED));
	ASSERT_EQ(0, gmem_convert(gmem, 0, 2 * BLOCK, GMEM_SHARED));
	EXPECT_EQ(VCPU_DONE, guest_check(&self->cpu, FILE_GPA, 2 * BLOCK, 30));
	EXPECT_TRUE(is_filled(p, 2 * BLOCK, 30));
	/*
	 * A conversion that overlaps two blocks splits the entries of both in the guest, and
	 * removes them from the host.
	 */
	EXPECT_ENTRIES(0, 2, 0, "two blocks");
	ASSERT_EQ(0, gmem_convert(gmem, BLOCK / 2, BLOCK, GMEM_PRIVATE));
	EXPECT_ENTRIES(0, 0, has_tdp() ? BLOCK / PAGE : 0,
		       "the second half of one and the first of the other converted");
	EXPECT_EQ(FAULT(SIGBUS), peek(p + BLOCK / 2));
	EXPECT_EQ(FAULT(SIGBUS), peek(p + BLOCK + BLOCK / 2 - 1));
	EXPECT_TRUE(is_filled(p, BLOCK / 2, 30));
}

/* An access of the wrong kind ends KVM_RUN. After a conversion, vcpu_go() repeats the access. */
TEST_F(gmem, mismatch)
{
	int gmem, fd = ram_make(&self->p, &self->vmm, variant->flags, 2 * BLOCK, &gmem);
	struct vcpu *cpu = &self->cpu;
	char *p = map_file(fd, 0, 2 * BLOCK);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, gmem_convert(gmem, 0, 2 * BLOCK, GMEM_SHARED));
	fill(p, 2 * BLOCK, 1);
	ASSERT_EQ(0, gmem_convert(gmem, 5 * PAGE, PAGE, GMEM_PRIVATE));
	ASSERT_EQ(0, gmem_convert(gmem, BLOCK, BLOCK, GMEM_PRIVATE));
	if (variant->protected) {
		EXPECT_EQ(VCPU_DONE, guest_check(cpu, FILE_GPA, 2 * BLOCK, 1));
		return;
	}
	EXPECT_MEMORY_FAULT(guest_check(cpu, FILE_GPA, 2 * BLOCK, 1), 5 * PAGE);
	EXPECT_MEMORY_FAULT(vcpu_go(cpu), 5 * PAGE);
	ASSERT_EQ(0, gmem_convert(gmem, 5 * PAGE, PAGE, GMEM_SHARED));
	EXPECT_MEMORY_FAULT(vcpu_go(cpu), BLOCK);
	ASSERT_EQ(0, gmem_convert(gmem, BLOCK, PAGE, GMEM_SHARED));
	EXPECT_MEMORY_FAULT(vcpu_go(cpu), BLOCK + PAGE);
	ASSERT_EQ(0, gmem_convert(gmem, BLOCK, BLOCK, GMEM_SHARED));
	EXPECT_EQ(VCPU_DONE, vcpu_go(cpu));
	/* The conversion has removed the guest's entry. */
	ASSERT_EQ(0, gmem_convert(gmem, PAGE, PAGE, GMEM_PRIVATE));
	EXPECT_MEMORY_FAULT(guest_store(cpu, FILE_GPA + PAGE, 7), PAGE);
	ASSERT_EQ(0, gmem_convert(gmem, PAGE, PAGE, GMEM_SHARED));
	EXPECT_EQ(VCPU_DONE, vcpu_go(cpu));
	EXPECT_EQ(7, guest_load(cpu, FILE_GPA + PAGE));
	EXPECT_EQ(7, peek(p + PAGE));
	/* A fault on a private hole that host and guest cannot access allocates nothing. */
	ASSERT_EQ(0, fallocate(fd, PUNCH, BLOCK, BLOCK));
	ASSERT_EQ(0, gmem_convert(gmem, BLOCK, BLOCK, GMEM_PRIVATE));
	EXPECT_MEMORY_FAULT(guest_touch(cpu, FILE_GPA + BLOCK, 1, 0), BLOCK);
	EXPECT_EQ(FAULT(SIGBUS), peek(p + BLOCK));
	EXPECT_EQ(BLOCK_SECTORS, file_sectors(fd));
}

/* A slot by address, a mapping of the file and a mapping of the descriptor are the same memory. */
TEST_F(gmem, one_memory)
{
	int gmem, fd = ram_make(&self->p, &self->vmm, variant->flags, 2 * BLOCK, &gmem);
	char *by_file = map_file(fd, 0, 2 * BLOCK), *by_gmem = map_file(gmem, 0, 2 * BLOCK);

	ASSERT_NE(MAP_FAILED, by_file);
	ASSERT_NE(MAP_FAILED, by_gmem);
	ASSERT_EQ(0, gmem_convert(gmem, 0, BLOCK, GMEM_SHARED));
	ASSERT_EQ(0, gmem_convert(gmem, BLOCK, BLOCK, GMEM_PRIVATE));
	EXPECT_EQ(0, poke(by_file, 1));
	EXPECT_EQ(1, peek(by_gmem));
	EXPECT_EQ(1, guest_load(&self->cpu, FILE_GPA));
	EXPECT_EQ(VCPU_DONE, guest_store(&self->cpu, FILE_GPA, 2));
	EXPECT_EQ(2, peek(by_file));
	EXPECT_EQ(2, peek(by_gmem));
	EXPECT_EQ(FAULT(SIGBUS), poke(by_file + BLOCK, 1));
	EXPECT_EQ(FAULT(SIGBUS), peek(by_gmem + BLOCK));
	/* A slot by address in the same machine cannot access private memory. */
	ASSERT_EQ(0, vmm_add_memory(&self->vmm, 2, FILE_GPA + GIB, by_file, 2 * BLOCK));
	EXPECT_EQ(2, guest_load(&self->cpu, FILE_GPA + GIB));
	EXPECT_EQ(-VCPU_NO_MEMORY, guest_load(&self->cpu, FILE_GPA + GIB + BLOCK));
	ASSERT_EQ(0, gmem_convert(gmem, BLOCK, BLOCK, GMEM_SHARED));
	EXPECT_EQ(0, poke(by_file + BLOCK, 3));
	EXPECT_EQ(3, peek(by_gmem + BLOCK));
	EXPECT_EQ(3, guest_load(&self->cpu, FILE_GPA + BLOCK));
	EXPECT_EQ(3, guest_load(&self->cpu, FILE_GPA + GIB + BLOCK));
	ASSERT_EQ(0, gmem_convert(gmem, 0, PAGE, GMEM_PRIVATE));
	EXPECT_EQ(-VCPU_NO_MEMORY, guest_load(&self->cpu, FILE_GPA + GIB));
	EXPECT_EQ(FAULT(SIGBUS), peek(by_file));
	EXPECT_EQ(FAULT(SIGBUS), peek(by_gmem));
	EXPECT_EQ(0, peek(by_gmem + PAGE));
}

/*
 * Accesses after the end of the file fail, whether it was private or shared. The file has the same
 * kind there when it grows again.
 */
TEST_F(gmem, resize)
{
	int gmem, fd = ram_make(&self->p, &self->vmm, variant->flags, 4 * BLOCK, &gmem);
	struct vcpu *cpu = &self->cpu;
	uint64_t end = 2 * BLOCK;

	ASSERT_GE(fd, 0);
	ASSERT_EQ(VCPU_DONE, guest_fill(cpu, FILE_GPA, 4 * BLOCK, 1));
	ASSERT_EQ(0, gmem_convert(gmem, 3 * BLOCK, PAGE, variant->other));
	ASSERT_EQ(0, ftruncate(fd, end));
	EXPECT_EQ(2 * BLOCK_SECTORS, file_sectors(fd));
	EXPECT_EQ(-ENXIO, gmem_state(fd, end));
	EXPECT_EQ(VCPU_DONE, guest_check(cpu, FILE_GPA, end, 1));
	EXPECT_EQ(VCPU_NO_MEMORY, guest_touch(cpu, FILE_GPA + end, 1, 0));
	ASSERT_EQ(0, ftruncate(fd, end + PAGE));
	EXPECT_EQ(VCPU_DONE, vcpu_go(cpu));
	EXPECT_EQ(0, guest_load(cpu, FILE_GPA + end + PAGE - 8));
	EXPECT_EQ(VCPU_NO_MEMORY, guest_store(cpu, FILE_GPA + end + PAGE, 1));
	/* The last block is only mapped up to the end of the file. */
	EXPECT_EQ(ORDER_4K, gmem_order(fd, end));
	ASSERT_EQ(0, ftruncate(fd, 4 * BLOCK));
	EXPECT_EQ(VCPU_DONE, vcpu_go(cpu));
	EXPECT_EQ(0, guest_load(cpu, FILE_GPA + 4 * BLOCK - 8));
	EXPECT_EQ(variant->state ^ PRIVATE, gmem_state(fd, 3 * BLOCK) & PRIVATE);
	EXPECT_EQ(variant->state, gmem_state(fd, 3 * BLOCK + PAGE) & PRIVATE);
	EXPECT_EQ(VCPU_DONE, guest_check(cpu, FILE_GPA, end, 1));
	/* Truncate in the middle of a block that one entry maps. */
	ASSERT_EQ(0, ftruncate(fd, BLOCK + PAGE));
	EXPECT_EQ(VCPU_NO_MEMORY, guest_touch(cpu, FILE_GPA + BLOCK + PAGE, 1, 0));
	EXPECT_EQ(VCPU_DONE, guest_check(cpu, FILE_GPA, BLOCK + PAGE, 1));
	EXPECT_ENTRIES(0, 1, 1, "one block and a page of the next");
}

static int prefault(const struct vcpu *c, uint64_t offset, uint64_t size, uint64_t *left)
{
	struct kvm_pre_fault_memory range = { .gpa = FILE_GPA + offset, .size = size };
	int err = ERR(ioctl(c->fd, KVM_PRE_FAULT_MEMORY, &range));

	*left = range.size;
	return err;
}

/* KVM_PRE_FAULT_MEMORY makes the entries that an access by the guest would make. */
TEST_F(gmem, prefault)
{
	int gmem, fd = ram_make(&self->p, &self->vmm, variant->flags, GIB, &gmem);
	const uint64_t page = 3 * BLOCK + 5 * PAGE;
	uint64_t left;

	if (self->p.free_blocks < GIB / BLOCK)
		SKIP(return, "needs 1 GiB free");
	ASSERT_GE(fd, 0);
	ASSERT_EQ(VCPU_DONE, guest_touch(&self->cpu, VMM_LOW_GPA, 1, 0));
	EXPECT_ENTRIES(0, 0, 0, "nothing");
	if (!has_tdp()) {
		/* KVM cannot know the page tables that the guest will have. */
		EXPECT_EQ(EOPNOTSUPP, prefault(&self->cpu, 0, PAGE, &left));
		return;
	}
	EXPECT_EQ(0, prefault(&self->cpu, 0, PAGE, &left));
	EXPECT_EQ(0, left);
	EXPECT_ENTRIES(1, 0, 0, "a page asked for");
	EXPECT_EQ(GIB / 512, file_sectors(fd));
	EXPECT_EQ(0, prefault(&self->cpu, 0, GIB, &left));
	EXPECT_EQ(0, left);
	EXPECT_ENTRIES(1, 0, 0, "all asked for");
	ASSERT_EQ(0, gmem_convert(gmem, page, PAGE,
				  variant->other));
	EXPECT_EQ(0, prefault(&self->cpu, 0, GIB, &left));
	if (variant->protected) {
		EXPECT_EQ(0, left);
		EXPECT_ENTRIES(0, 511, 512, "with a page of the other kind");
	} else {
		/* Prefaulting stops at a page that the guest cannot access. */
		EXPECT_EQ(GIB - page, left);
		EXPECT_ENTRIES(0, 511, 511, "up to a page of the other kind");
		EXPECT_EQ(EFAULT, prefault(&self->cpu, page, PAGE, &left));
		EXPECT_EQ(0, prefault(&self->cpu, page + PAGE, 4 * BLOCK - page - PAGE, &left));
		EXPECT_ENTRIES(0, 511, 511, "and behind it");
	}
	EXPECT_EQ(ENOENT, prefault(&self->cpu, GIB, PAGE, &left));
	ASSERT_EQ(0, ftruncate(fd, GIB / 2));
	EXPECT_EQ(EFAULT, prefault(&self->cpu, GIB / 2, PAGE, &left));
}

static int set_attributes(const struct vmm *v, uint64_t gpa, uint64_t size, uint64_t attributes)
{
	struct kvm_memory_attributes arg = {
		.address = gpa,
		.size = size,
		.attributes = attributes,
	};

	return ERR(ioctl(v->vm, KVM_SET_MEMORY_ATTRIBUTES, &arg));
}

/*
 * KVM_SET_MEMORY_ATTRIBUTES is refused for the memory of a file, whose states KVM does not decide.
 */
TEST_F(gmem, attributes_of_the_machine)
{
	const uint64_t private = KVM_MEMORY_ATTRIBUTE_PRIVATE, end = FILE_GPA + 2 * BLOCK;
	int gmem, fd = ram_make(&self->p, &self->vmm, variant->flags, 2 * BLOCK, &gmem);
	const struct vmm *v = &self->vmm;

	ASSERT_GE(fd, 0);
	if (!variant->protected) {
		EXPECT_EQ(EINVAL, set_attributes(v, FILE_GPA + PAGE, BLOCK, private));
		return;
	}
	ASSERT_EQ(0, gmem_convert(gmem, 0, BLOCK, GMEM_SHARED));
	ASSERT_EQ(VCPU_DONE, guest_fill(&self->cpu, FILE_GPA, 2 * BLOCK, 1));
	EXPECT_EQ(EOPNOTSUPP, set_attributes(v, FILE_GPA + PAGE, BLOCK, private));
	EXPECT_EQ(EOPNOTSUPP, set_attributes(v, FILE_GPA, PAGE, 0));
	EXPECT_EQ(EOPNOTSUPP, set_attributes(v, FILE_GPA - PAGE, 2 * PAGE, private));
	EXPECT_EQ(EOPNOTSUPP, set_attributes(v, end - PAGE, 2 * PAGE, private));
	EXPECT_EQ(EOPNOTSUPP, set_attributes(v, 0, 2 * FILE_GPA, private));
	/* The attributes of other guest memory can be set. */
	EXPECT_EQ(0, set_attributes(v, FILE_GPA - PAGE, PAGE, private));
	EXPECT_EQ(0, set_attributes(v, end, PAGE, private));
	EXPECT_EQ(VCPU_DONE, guest_check(&self->cpu, FILE_GPA, 2 * BLOCK, 1));
	EXPECT_ENTRIES(0, 2, 0, "as large as the file has it");
	/* Attributes that were set before a slot exists do not affect the slot. */
	ASSERT_EQ(0, vmm_remove(v, FILE_SLOT));
	ASSERT_EQ(0, set_attributes(v, FILE_GPA + PAGE, BLOCK, private));
	ASSERT_EQ(0, vmm_bind(v, FILE_SLOT, FILE_GPA, 2 * BLOCK, gmem, 0));
	EXPECT_EQ(ALLOCATED, gmem_state(fd, PAGE));
	EXPECT_EQ(ALLOCATED | PRIVATE, gmem_state(fd, BLOCK + PAGE));
	EXPECT_EQ(VCPU_DONE, guest_check(&self->cpu, FILE_GPA, 2 * BLOCK, 1));
	EXPECT_ENTRIES(0, 2, 0, "the same, in a new slot");
}

/* A fault that could allocate a gigabyte allocates a block, if size= leaves no gigabyte. */
TEST_F(gmem, limit_of_the_mount)
{
	int gmem, fd = ram_make(&self->p, &self->vmm, variant->flags, GIB, &gmem);
	char options[48];
	struct statfs st;
	uint64_t left;

	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, statfs(self->p.mnt, &st));
	snprintf(options, sizeof(options), "size=%luk",
		 (unsigned long)(st.f_blocks - st.f_bfree + 2) * (BLOCK / KIB));
	ASSERT_EQ(0, mount(NULL, self->p.mnt, NULL, MS_REMOUNT, options));
	EXPECT_EQ(VCPU_DONE, guest_store(&self->cpu, FILE_GPA, 1));
	EXPECT_EQ(BLOCK_SECTORS, file_sectors(fd));
	EXPECT_EQ(VCPU_DONE, guest_store(&self->cpu, FILE_GPA + 7 * BLOCK, 2));
	EXPECT_EQ(2 * BLOCK_SECTORS, file_sectors(fd));
	EXPECT_EQ(0, pool_free_blocks(&self->p));
	/*
	 * An access without a free block fails, and not as a request to convert memory. It works
	 * when blocks are free.
	 */
	EXPECT_EQ(VCPU_NO_MEMORY, guest_store(&self->cpu, FILE_GPA + 8 * BLOCK, 3));
	EXPECT_EQ(VCPU_NO_MEMORY, vcpu_go(&self->cpu));
	if (has_tdp())
		EXPECT_EQ(ENOSPC, prefault(&self->cpu, 8 * BLOCK, PAGE, &left));
	EXPECT_EQ(0, mount(NULL, self->p.mnt, NULL, MS_REMOUNT, "size=0"));
	EXPECT_EQ(VCPU_DONE, vcpu_go(&self->cpu));
	EXPECT_EQ(3, guest_load(&self->cpu, FILE_GPA + 8 * BLOCK));
}

/* The guest stops at each missing page, and goes on when the VMM has filled it. */
TEST_F(gmem, exits_at_what_is_missing)
{
	uint32_t flags = variant->flags | GUESTMEMFS_GMEM_EXIT_MISSING;
	char *src = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);
	struct uffd u;
	int fd, gmem;
	char *p;

	fd = ram_make(&self->p, &self->vmm, flags, 2 * BLOCK, &gmem);
	ASSERT_LE(0, fd);
	ASSERT_NE(MAP_FAILED, src);
	p = map_file(gmem, 0, 2 * BLOCK);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(VCPU_FAULT, guest_store(&self->cpu, FILE_GPA + PAGE, 1));
	EXPECT_EQ(FILE_GPA + PAGE, self->cpu.run->memory_fault.gpa);
	EXPECT_EQ(0, file_sectors(fd));
	/* A whole block, as a file has it whose memory is there. */
	ASSERT_EQ(0, fallocate(fd, 0, BLOCK, BLOCK));
	EXPECT_EQ(VCPU_DONE, guest_fill(&self->cpu, FILE_GPA + BLOCK, BLOCK, 1));
	EXPECT_EQ(VCPU_DONE, guest_check(&self->cpu, FILE_GPA + BLOCK, BLOCK, 1));
	/* Page by page. A private page is not filled by the host. */
	ASSERT_TRUE(uffd_open(&u, 0));
	ASSERT_EQ(0, uffd_register(&u, p, 2 * BLOCK, UFFDIO_REGISTER_MODE_MISSING));
	if (variant->protected) {
		EXPECT_EQ(EFAULT, uffd_copy(&u, p + PAGE, src, PAGE, NULL));
		ASSERT_EQ(0, gmem_convert(gmem, PAGE, PAGE, GMEM_SHARED));
	}
	*(uint64_t *)src = 0x1234;
	/* Not the private page that follows. */
	EXPECT_EQ(variant->protected ? EAGAIN : 0,
		  uffd_copy(&u, p + PAGE, src, variant->protected ? 2 * PAGE : PAGE, NULL));
	EXPECT_EQ(BLOCK_SECTORS * 2, file_sectors(fd));
	if (variant->protected) {
		/* The pages beside one that was converted back are still missing. */
		ASSERT_EQ(0, gmem_convert(gmem, PAGE, PAGE, GMEM_PRIVATE));
		EXPECT_EQ(0x1234, guest_load(&self->cpu, FILE_GPA + PAGE));
		EXPECT_EQ(VCPU_FAULT, guest_store(&self->cpu, FILE_GPA + 2 * PAGE, 1));
	} else {
		EXPECT_EQ(0x1234, guest_load(&self->cpu, FILE_GPA + PAGE));
		EXPECT_EQ(VCPU_DONE, guest_store(&self->cpu, FILE_GPA + PAGE + 8, 2));
		EXPECT_EQ(2, *(uint64_t *)(p + PAGE + 8));
		EXPECT_EQ(VCPU_FAULT, guest_store(&self->cpu, FILE_GPA + 2 * PAGE, 1));
		EXPECT_EQ(FILE_GPA + 2 * PAGE, self->cpu.run->memory_fault.gpa);
		ASSERT_EQ(0, uffd_zero(&u, p + 2 * PAGE, PAGE, NULL));
		EXPECT_EQ(VCPU_DONE, guest_store(&self->cpu, FILE_GPA + 2 * PAGE, 1));
		/* A page that is punched is missing again. */
		ASSERT_EQ(0, fallocate(fd, PUNCH, 2 * PAGE, PAGE));
		EXPECT_EQ(VCPU_FAULT, guest_store(&self->cpu, FILE_GPA + 2 * PAGE, 1));
		/* Filled, the same access goes on. */
		ASSERT_EQ(0, uffd_zero(&u, p + 2 * PAGE, PAGE, NULL));
		EXPECT_EQ(VCPU_DONE, vcpu_go(&self->cpu));
		EXPECT_EQ(1, *(uint64_t *)(p + 2 * PAGE));
	}
	uffd_close(&u);
}

/*
 * Pages of both kinds add up, until the block is free. Red if the guest keeps an entry of a punched
 * page, whose use would not count then; or if only shared pages count.
 */
TEST_F(gmem, page_by_page)
{
	int gmem, fd = ram_make(&self->p, &self->vmm, variant->flags, 2 * BLOCK, &gmem);
	struct vcpu *cpu = &self->cpu;

	ASSERT_GE(fd, 0);
	ASSERT_EQ(VCPU_DONE, guest_fill(cpu, FILE_GPA, 2 * BLOCK, 1));
	EXPECT_ENTRIES(0, 2, 0, "two blocks");
	ASSERT_EQ(0, fallocate(fd, PUNCH, PAGE, PAGE));
	EXPECT_ENTRIES(0, 1, has_tdp() * 511, "a page punched");
	EXPECT_EQ(0, guest_load(cpu, FILE_GPA + PAGE));
	EXPECT_ENTRIES(0, 2, 0, "and used again");
	ASSERT_EQ(0, gmem_convert(gmem, 2 * PAGE, PAGE, variant->other));
	ASSERT_EQ(0, fallocate(gmem, PUNCH, 2 * PAGE, PAGE));
	ASSERT_EQ(0, fallocate(fd, PUNCH, 3 * PAGE, BLOCK - 3 * PAGE));
	ASSERT_EQ(0, fallocate(fd, PUNCH, 0, PAGE));
	EXPECT_EQ(2 * BLOCK_SECTORS, file_sectors(fd));
	ASSERT_EQ(0, fallocate(fd, PUNCH, PAGE, PAGE));
	EXPECT_EQ(BLOCK_SECTORS, file_sectors(fd));
	EXPECT_EQ(variant->state, gmem_state(fd, 0));
	EXPECT_EQ(variant->state ^ PRIVATE, gmem_state(fd, 2 * PAGE));
	EXPECT_EQ((1L << 40) + 1 + BLOCK / 8, guest_load(cpu, FILE_GPA + BLOCK));
	EXPECT_EQ((1L << 40) + 2 * BLOCK / 8, guest_load(cpu, FILE_GPA + 2 * BLOCK - 8));
	EXPECT_EQ(0, guest_load(cpu, FILE_GPA + PAGE));
	EXPECT_EQ(0, guest_load(cpu, FILE_GPA + BLOCK - 8));
	EXPECT_EQ(2 * BLOCK_SECTORS, file_sectors(fd));
}

/* The guest stops at a page that was punched out of a block, of whatever kind the page is. */
TEST_F(gmem, punched_pages_are_missing)
{
	uint32_t flags = variant->flags | GUESTMEMFS_GMEM_EXIT_MISSING;
	int gmem, fd = ram_make(&self->p, &self->vmm, flags, BLOCK, &gmem);

	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, fallocate(fd, 0, 0, BLOCK));
	EXPECT_EQ(VCPU_DONE, guest_store(&self->cpu, FILE_GPA + PAGE, 1));
	ASSERT_EQ(0, fallocate(fd, PUNCH, PAGE, PAGE));
	EXPECT_EQ(VCPU_DONE, guest_store(&self->cpu, FILE_GPA + 2 * PAGE, 1));
	EXPECT_EQ(VCPU_FAULT, guest_store(&self->cpu, FILE_GPA + PAGE, 2));
	EXPECT_EQ(FILE_GPA + PAGE, self->cpu.run->memory_fault.gpa);
	ASSERT_EQ(0, fallocate(fd, 0, PAGE, PAGE));
	EXPECT_EQ(VCPU_DONE, vcpu_go(&self->cpu));
	EXPECT_EQ(2, guest_load(&self->cpu, FILE_GPA + PAGE));
	EXPECT_EQ(0, guest_load(&self->cpu, FILE_GPA + PAGE + 8));
}

TEST_HARNESS_MAIN
