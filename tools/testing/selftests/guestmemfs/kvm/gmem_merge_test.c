// SPDX-License-Identifier: GPL-2.0-only
/*
 * The cost of converting one page of a guest's memory and converting it back, again and again, as
 * for a bounce buffer: other memory stays mapped, and large entries are made again. The same for a
 * block that is punched and comes back.
 */
#include "gmem_fixture.h"

#define NR_BLOCKS	(GIB / BLOCK)
#define MIXED		(100 * BLOCK)
#define CONVERTED	(MIXED + 7 * PAGE)
#define ROUNDS		4
/*
 * The faults of a round are one for the page, one for its block if its entry cannot be split, and a
 * few that are repeated.
 */
#define FEW		8

/* Exchanges two blocks of the file with other ones, so that no gigabyte of it is contiguous. */
static bool scatter(const struct pool *p, int fd)
{
	int other = file_make(p, "other", p->free_blocks * BLOCK);
	uint64_t left = p->free_blocks - NR_BLOCKS;

	/* Fill the pool, and let the other file have a block of this one. */
	return other >= 0 && !fallocate(other, 0, 0, left * BLOCK) &&
	       !fallocate(fd, PUNCH, 300 * BLOCK, BLOCK) &&
	       !fallocate(other, 0, left * BLOCK, BLOCK) &&
	       !fallocate(other, PUNCH, 0, BLOCK) && !fallocate(fd, 0, 300 * BLOCK, BLOCK);
}

/* Reads the first word of each block. */
static enum vcpu_end touch_all(struct vcpu *cpu)
{
	return guest_touch(cpu, FILE_GPA, NR_BLOCKS, BLOCK);
}

/* Counts the faults from a conversion and back until all memory is mapped again. */
#define EXPECT_FEW_FAULTS(since, what) do {					\
	long _faults = vmm_stat(&self->vmm, "pf_fixed") - (since);		\
										\
	printf("# %s: %ld faults\n", what, _faults);				\
	EXPECT_GE(FEW, _faults);						\
	EXPECT_LE(1, _faults);							\
} while (0)

/*
 * Entries of pages in the block of a page that was converted. They stay mapped, or with shadow
 * paging, only those that the guest has touched since are there.
 */
static long beside(long touched)
{
	return has_tdp() ? BLOCK / PAGE - 1 : touched;
}

/*
 * Entries that are left when a larger entry replaces them. With shadow paging, KVM keeps the
 * replaced page table for later use; invalidations reach it there.
 */
static long kept(long entries)
{
	return has_tdp() ? 0 : entries;
}

/*
 * The blocks of the file are not a contiguous, aligned gigabyte, so no entry of 1 GiB can be made.
 */
TEST_F(gmem, scattered)
{
	int gmem, fd = ram_make(&self->p, &self->vmm, variant->flags, GIB, &gmem), i;
	long before;

	if (self->p.free_blocks < NR_BLOCKS + 2)
		SKIP(return, "needs more than 1 GiB free");
	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, fallocate(fd, 0, 0, GIB));
	ASSERT_TRUE(scatter(&self->p, fd));
	ASSERT_EQ(ORDER_2M, gmem_order(fd, 0));
	ASSERT_EQ(VCPU_DONE, touch_all(&self->cpu));
	EXPECT_ENTRIES(0, NR_BLOCKS, 0, "all blocks");
	for (i = 0; i < ROUNDS; i++) {
		before = vmm_stat(&self->vmm, "pf_fixed");
		ASSERT_EQ(0, gmem_convert(gmem, CONVERTED, PAGE, variant->other));
		EXPECT_ENTRIES(0, NR_BLOCKS - 1, beside(i ? kept(1) : 0), "a page converted");
		ASSERT_EQ(VCPU_DONE, touch_all(&self->cpu));
		EXPECT_ENTRIES(0, NR_BLOCKS - 1, beside(1), "and all touched");
		ASSERT_EQ(0, gmem_convert(gmem, CONVERTED, PAGE, variant->first));
		EXPECT_ENTRIES(0, NR_BLOCKS - 1, beside(1), "converted back");
		EXPECT_EQ(0, guest_load(&self->cpu, FILE_GPA + CONVERTED));
		ASSERT_EQ(VCPU_DONE, touch_all(&self->cpu));
		EXPECT_ENTRIES(0, NR_BLOCKS, kept(1), "and touched");
		EXPECT_FEW_FAULTS(before, "a round");
	}
}

/*
 * The file is contiguous: the next access to the page makes the entry of 1 GiB, and no entry is
 * removed before that. Where entries can be split, a conversion and its opposite cost the guest a
 * fault each, that of the page itself.
 */
TEST_F(gmem, in_one_piece)
{
	int gmem, fd = ram_make(&self->p, &self->vmm, variant->flags, GIB, &gmem), i;
	long before;

	if (self->p.free_blocks < NR_BLOCKS)
		SKIP(return, "needs 1 GiB free");
	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, fallocate(fd, 0, 0, GIB));
	ASSERT_EQ(ORDER_1G, gmem_order(fd, 0));
	ASSERT_EQ(VCPU_DONE, touch_all(&self->cpu));
	EXPECT_ENTRIES(1, 0, 0, "1 GiB");
	for (i = 0; i < ROUNDS; i++) {
		before = vmm_stat(&self->vmm, "pf_fixed");
		ASSERT_EQ(0, gmem_convert(gmem, CONVERTED, PAGE, variant->other));
		ASSERT_EQ(VCPU_DONE, touch_all(&self->cpu));
		EXPECT_ENTRIES(0, NR_BLOCKS - 1, beside(1), "a page converted, and all touched");
		if (has_tdp()) {
			EXPECT_EQ(before, vmm_stat(&self->vmm, "pf_fixed"));
			if (variant->protected)
				EXPECT_EQ(0, guest_load(&self->cpu, FILE_GPA + CONVERTED));
			EXPECT_EQ(before + variant->protected, vmm_stat(&self->vmm, "pf_fixed"));
		}
		before = vmm_stat(&self->vmm, "pf_fixed");
		ASSERT_EQ(0, gmem_convert(gmem, CONVERTED, PAGE, variant->first));
		EXPECT_ENTRIES(0, NR_BLOCKS - 1, beside(1), "converted back");
		/* Without an access to the page there are no faults. */
		ASSERT_EQ(VCPU_DONE, touch_all(&self->cpu));
		EXPECT_ENTRIES(0, NR_BLOCKS - 1, beside(1), "and all touched but the page");
		EXPECT_EQ(before, vmm_stat(&self->vmm, "pf_fixed"));
		EXPECT_EQ(0, guest_load(&self->cpu, FILE_GPA + CONVERTED));
		EXPECT_ENTRIES(1, kept(NR_BLOCKS - 1), kept(1), "and the page touched");
		ASSERT_EQ(VCPU_DONE, touch_all(&self->cpu));
		EXPECT_FEW_FAULTS(before, "converted back");
		if (has_tdp())
			EXPECT_EQ(before + 1, vmm_stat(&self->vmm, "pf_fixed"));
	}
}

/*
 * A block of a contiguous file is punched, and comes back by fallocate() or by the guest. Red if
 * the hole leaves the guest the large entry, or if the next access to the block does not make it
 * again.
 */
TEST_F(gmem, punched)
{
	int gmem, fd = ram_make(&self->p, &self->vmm, variant->flags, GIB, &gmem), i;
	const uint64_t after = FILE_GPA + MIXED + BLOCK;
	struct vcpu *cpu = &self->cpu;
	long before;

	if (self->p.free_blocks < NR_BLOCKS)
		SKIP(return, "needs 1 GiB free");
	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, fallocate(fd, 0, 0, GIB));
	for (i = 0; i < ROUNDS; i++) {
		ASSERT_EQ(VCPU_DONE, guest_store(cpu, FILE_GPA + CONVERTED, i + 1));
		EXPECT_EQ(1, vmm_entries(&self->vmm, "1g"));
		ASSERT_EQ(0, fallocate(i < 2 ? fd : gmem, PUNCH, MIXED, BLOCK));
		EXPECT_EQ(0, vmm_entries(&self->vmm, "1g"));
		ASSERT_EQ(VCPU_DONE, guest_touch(cpu, FILE_GPA, MIXED / BLOCK, BLOCK));
		ASSERT_EQ(VCPU_DONE, guest_touch(cpu, after, NR_BLOCKS - MIXED / BLOCK - 1, BLOCK));
		EXPECT_ENTRIES(0, NR_BLOCKS - 1, 0, "a block punched, and the others touched");
		EXPECT_EQ((GIB - BLOCK) / 512, file_sectors(fd));
		if (i % 2)
			ASSERT_EQ(0, fallocate(fd, 0, MIXED, BLOCK));
		before = vmm_stat(&self->vmm, "pf_fixed");
		EXPECT_EQ(0, guest_load(cpu, FILE_GPA + CONVERTED));
		EXPECT_ENTRIES(1, kept(NR_BLOCKS - 1), 0, "and the block, too");
		ASSERT_EQ(VCPU_DONE, touch_all(cpu));
		EXPECT_FEW_FAULTS(before, i % 2 ? "filled" : "filled by the guest");
		EXPECT_EQ(GIB / 512, file_sectors(fd));
	}
}

/*
 * A slot that is smaller than a gigabyte, or is aligned differently, cannot have an entry of 1 GiB.
 */
TEST_F(gmem, slot_without_room)
{
	int fd = file_make(&self->p, "ram", GIB), gmem, i;
	const struct {
		const char *what;
		uint64_t gpa;
		uint64_t len;
	} slots[] = {
		{ "smaller than a gigabyte",	0,	200 * BLOCK },
		{ "aligned by blocks alone",	BLOCK,	GIB },
	};
	long before;

	if (self->p.free_blocks < NR_BLOCKS)
		SKIP(return, "needs 1 GiB free");
	gmem = gmem_create(fd, self->vmm.vm, variant->flags);
	ASSERT_GE(gmem, 0);
	ASSERT_EQ(0, fallocate(fd, 0, 0, GIB));
	for (i = 0; i < ARRAY_SIZE(slots); i++) {
		uint64_t gpa = FILE_GPA + slots[i].gpa;
		long blocks = slots[i].len / BLOCK;

		ASSERT_EQ(0, vmm_bind(&self->vmm, FILE_SLOT, gpa, slots[i].len, gmem, 0));
		ASSERT_EQ(VCPU_DONE, guest_touch(&self->cpu, gpa, blocks, BLOCK));
		EXPECT_ENTRIES(0, blocks, 0, slots[i].what);
		before = vmm_stat(&self->vmm, "pf_fixed");
		ASSERT_EQ(0, gmem_convert(gmem, CONVERTED, PAGE, variant->other));
		ASSERT_EQ(0, gmem_convert(gmem, CONVERTED, PAGE, variant->first));
		EXPECT_ENTRIES(0, blocks - 1, beside(0), "a page converted and back");
		EXPECT_EQ(0, guest_load(&self->cpu, gpa + CONVERTED));
		ASSERT_EQ(VCPU_DONE, guest_touch(&self->cpu, gpa, blocks, BLOCK));
		EXPECT_ENTRIES(0, blocks, 0, "and all touched");
		EXPECT_FEW_FAULTS(before, slots[i].what);
		ASSERT_EQ(0, vmm_remove(&self->vmm, FILE_SLOT));
	}
}

TEST_HARNESS_MAIN
