// SPDX-License-Identifier: GPL-2.0-only
/*
 * What it costs a guest when one page of its memory is converted and back, over and over, as a
 * bounce buffer is: neighbours stay mapped, and what can be one entry becomes one again.
 */
#include "gmem_fixture.h"

#define NR_BLOCKS	(GIB / BLOCK)
#define MIXED		(100 * BLOCK)
#define CONVERTED	(MIXED + 7 * PAGE)
#define ROUNDS		4
/* Faults of a round: one for the page, one for its block, and those that had to be tried again. */
#define FEW		8

/* Two blocks of the file change places with others, so that no gigabyte is one run. */
static bool scatter(const struct pool *p, int fd)
{
	int other = file_make(p, "other", p->free_blocks * BLOCK);
	uint64_t left = p->free_blocks - NR_BLOCKS;

	/* The pool is full, but for a block of this file, which the other one gets. */
	return other >= 0 && !fallocate(other, 0, 0, left * BLOCK) &&
	       !fallocate(fd, PUNCH, 300 * BLOCK, BLOCK) &&
	       !fallocate(other, 0, left * BLOCK, BLOCK) &&
	       !fallocate(other, PUNCH, 0, BLOCK) && !fallocate(fd, 0, 300 * BLOCK, BLOCK);
}

/* All blocks, by their first words. */
static enum vcpu_end touch_all(struct vcpu *cpu)
{
	return guest_touch(cpu, FILE_GPA, NR_BLOCKS, BLOCK);
}

/* Faults that a guest has, since a page was converted and back, until it has all again. */
#define EXPECT_FEW_FAULTS(since, what) do {					\
	long _faults = vmm_stat(&self->vmm, "pf_fixed") - (since);		\
										\
	printf("# %s: %ld faults\n", what, _faults);				\
	EXPECT_GE(FEW, _faults);						\
	EXPECT_LE(1, _faults);							\
} while (0)

/*
 * Entries that stay when a larger one takes their place: where KVM shadows the guest's page
 * tables, it keeps its table for when that is needed again. Invalidations reach it there.
 */
static long kept(long entries)
{
	return has_tdp() ? 0 : entries;
}

/* Of a file whose blocks are no aligned run of a gigabyte, there is no larger entry to hope for. */
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
		EXPECT_ENTRIES(0, NR_BLOCKS - 1, i ? kept(1) : 0, "a page converted");
		ASSERT_EQ(VCPU_DONE, touch_all(&self->cpu));
		EXPECT_ENTRIES(0, NR_BLOCKS - 1, 1, "and all touched");
		ASSERT_EQ(0, gmem_convert(gmem, CONVERTED, PAGE, variant->first));
		EXPECT_ENTRIES(0, NR_BLOCKS - 1, 1, "converted back");
		EXPECT_EQ(0, guest_load(&self->cpu, FILE_GPA + CONVERTED));
		ASSERT_EQ(VCPU_DONE, touch_all(&self->cpu));
		EXPECT_ENTRIES(0, NR_BLOCKS, kept(1), "and touched");
		EXPECT_FEW_FAULTS(before, "a round");
	}
}

/* Of one that is, the next access to the page brings the gigabyte back, and nothing goes before. */
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
		ASSERT_EQ(0, gmem_convert(gmem, CONVERTED, PAGE, variant->other));
		ASSERT_EQ(VCPU_DONE, touch_all(&self->cpu));
		EXPECT_ENTRIES(0, NR_BLOCKS - 1, 1, "a page converted, and all touched");
		before = vmm_stat(&self->vmm, "pf_fixed");
		ASSERT_EQ(0, gmem_convert(gmem, CONVERTED, PAGE, variant->first));
		EXPECT_ENTRIES(0, NR_BLOCKS - 1, 1, "converted back");
		/* Who does not use the page pays nothing. */
		ASSERT_EQ(VCPU_DONE, touch_all(&self->cpu));
		EXPECT_ENTRIES(0, NR_BLOCKS - 1, 1, "and all touched but the page");
		EXPECT_EQ(before, vmm_stat(&self->vmm, "pf_fixed"));
		EXPECT_EQ(0, guest_load(&self->cpu, FILE_GPA + CONVERTED));
		EXPECT_ENTRIES(1, kept(NR_BLOCKS - 1), kept(1), "and the page touched");
		ASSERT_EQ(VCPU_DONE, touch_all(&self->cpu));
		EXPECT_FEW_FAULTS(before, "converted back");
	}
}

/* Where the memslot has no room for a gigabyte, or is not aligned as the file is, neither. */
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
		EXPECT_ENTRIES(0, blocks - 1, 0, "a page converted and back");
		ASSERT_EQ(VCPU_DONE, guest_touch(&self->cpu, gpa, blocks, BLOCK));
		EXPECT_ENTRIES(0, blocks, 0, "and all touched");
		EXPECT_FEW_FAULTS(before, slots[i].what);
		ASSERT_EQ(0, vmm_remove(&self->vmm, FILE_SLOT));
	}
}

TEST_HARNESS_MAIN
