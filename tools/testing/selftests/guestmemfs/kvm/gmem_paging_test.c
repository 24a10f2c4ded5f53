// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest with small entries in its own page tables. With two-dimensional paging, KVM's entries do
 * not depend on the guest's. With shadow paging (kvm_amd.npt=0, kvm_intel.ept=0), an entry is not
 * larger than the guest's.
 */
#include "gmem_fixture.h"

#define NR_BLOCKS	4
#define SIZE		(NR_BLOCKS * BLOCK)
#define NR_ENTRIES	512

/* The guest's tables besides those in vmm.c. */
#define TABLES_SLOT	5
#define TABLES_GPA	0x20000UL
#define NR_TABLES	2

#define ENTRY_SMALL	0x67UL	/* present, writable, for all, accessed, dirty */
#define ENTRY_BLOCK	0xe7UL

/* The guest maps the pages of the first block in reverse order. */
static unsigned int turned(unsigned int page)
{
	return NR_ENTRIES - 1 - page;
}

/*
 * Makes the guest map the gigabyte at FILE_GPA by blocks, and the first block by pages. Call this
 * before the guest runs, because KVM does not notice changes of the guest's tables by the host.
 */
static int map_small(const struct vmm *v, uint64_t *tables)
{
	uint64_t *pdpt = (uint64_t *)(v->low + PAGE);
	unsigned long i;

	for (i = 0; i < NR_ENTRIES; i++) {
		tables[i] = (FILE_GPA + i * BLOCK) | ENTRY_BLOCK;
		tables[NR_ENTRIES + i] = (FILE_GPA + turned(i) * PAGE) | ENTRY_SMALL;
	}
	tables[0] = (TABLES_GPA + PAGE) | ENTRY_SMALL;
	pdpt[FILE_GPA / GIB] = TABLES_GPA | ENTRY_SMALL;
	return vmm_add_memory(v, TABLES_SLOT, TABLES_GPA, tables, NR_TABLES * PAGE);
}

/* Does the file have the pattern that the guest has written through its tables? */
static bool is_turned(const char *p, uint64_t seed)
{
	unsigned int page, word, words = PAGE / sizeof(uint64_t);

	for (page = 0; page < NR_ENTRIES; page++) {
		const uint64_t *at = (const uint64_t *)(p + turned(page) * PAGE);

		for (word = 0; word < words; word++)
			if (at[word] != (seed << 40) + page * words + word + 1)
				return false;
	}
	return true;
}

TEST_F(gmem, small_entries_of_the_guest)
{
	uint64_t *tables = mmap(NULL, NR_TABLES * PAGE, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int gmem, fd = ram_make(&self->p, &self->vmm, variant->flags, SIZE, &gmem);
	/*
	 * Shadow paging has no entries for the guest's tables, and no entry of 2 MiB for a block
	 * that the guest maps by pages.
	 */
	const long blocks = has_tdp() ? NR_BLOCKS : NR_BLOCKS - 1;
	const long pages = has_tdp() ? NR_TABLES : NR_ENTRIES;
	const unsigned int page = 5, seen = turned(page);
	struct vcpu *cpu = &self->cpu;
	char *p = map_file(fd, 0, SIZE);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(MAP_FAILED, tables);
	ASSERT_EQ(0, map_small(&self->vmm, tables));
	ASSERT_EQ(0, gmem_convert(gmem, 0, SIZE, GMEM_SHARED));
	ASSERT_EQ(VCPU_DONE, guest_fill(cpu, FILE_GPA, SIZE, 1));
	EXPECT_EQ(VCPU_DONE, guest_check(cpu, FILE_GPA, SIZE, 1));
	EXPECT_ENTRIES(0, blocks, pages, "all of one kind");
	/* Each page of the file has what the guest's tables map there. */
	EXPECT_TRUE(is_turned(p, 1));
	fill(p, BLOCK, 2);
	EXPECT_EQ((2L << 40) + 1, guest_load(cpu, FILE_GPA + turned(0) * PAGE));
	EXPECT_EQ((2L << 40) + 1 + page * PAGE / 8, guest_load(cpu, FILE_GPA + seen * PAGE));
	/* A mixed block needs small entries, which this guest has anyway. */
	ASSERT_EQ(0, gmem_convert(gmem, page * PAGE, PAGE, GMEM_PRIVATE));
	EXPECT_EQ(VCPU_DONE, guest_touch(cpu, FILE_GPA, seen, PAGE));
	EXPECT_EQ(VCPU_DONE, guest_touch(cpu, FILE_GPA + (seen + 1) * PAGE, page, PAGE));
	if (variant->protected) {
		EXPECT_EQ((2L << 40) + 1 + page * PAGE / 8,
			  guest_load(cpu, FILE_GPA + seen * PAGE));
	} else {
		EXPECT_EQ(VCPU_FAULT, guest_touch(cpu, FILE_GPA + seen * PAGE, 1, 0));
		EXPECT_EQ(FILE_GPA + page * PAGE, cpu->run->memory_fault.gpa);
	}
	EXPECT_EQ(FAULT(SIGBUS), peek(p + page * PAGE));
	ASSERT_EQ(0, gmem_convert(gmem, page * PAGE, PAGE, GMEM_SHARED));
	EXPECT_EQ(VCPU_DONE, guest_touch(cpu, FILE_GPA, SIZE / PAGE, PAGE));
	EXPECT_ENTRIES(0, blocks, pages, "all of one kind again");
	/* Convert a page of a block that the guest maps by one entry. */
	ASSERT_EQ(0, gmem_convert(gmem, BLOCK, PAGE, GMEM_PRIVATE));
	ASSERT_EQ(0, gmem_convert(gmem, BLOCK, PAGE, GMEM_SHARED));
	EXPECT_EQ(VCPU_DONE, guest_fill(cpu, FILE_GPA, SIZE, 3));
	EXPECT_ENTRIES(0, blocks, pages, "the guest's own block converted and back");
	EXPECT_TRUE(is_turned(p, 3));
	/* Punch the block that the guest maps by pages: it is zero afterwards. */
	ASSERT_EQ(0, fallocate(fd, PUNCH, 0, BLOCK));
	EXPECT_EQ(0, guest_load(cpu, FILE_GPA));
	EXPECT_EQ(0, guest_load(cpu, FILE_GPA + BLOCK - 8));
	EXPECT_EQ((3L << 40) + 1 + BLOCK / 8, guest_load(cpu, FILE_GPA + BLOCK));
}

/*
 * With shadow paging, KVM also maps pages next to a fault. They must be pages of the file, and not
 * of the mapping at the slot's userspace_addr.
 */
TEST_F(gmem, something_else_at_the_address)
{
	uint64_t *tables = mmap(NULL, NR_TABLES * PAGE, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *other = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = file_make(&self->p, "ram", SIZE);
	struct kvm_userspace_memory_region2 region = {
		.slot = FILE_SLOT,
		.flags = KVM_MEM_GUEST_MEMFD,
		.guest_phys_addr = FILE_GPA,
		.memory_size = SIZE,
		.userspace_addr = (uintptr_t)other,
		.guest_memfd = gmem_create(fd, self->vmm.vm, variant->flags),
	};
	char *p = map_file(fd, 0, SIZE);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(MAP_FAILED, other);
	fill(other, SIZE, 9);
	ASSERT_EQ(0, map_small(&self->vmm, tables));
	ASSERT_EQ(0, vmm_set_region(&self->vmm, &region));
	ASSERT_EQ(0, gmem_convert(region.guest_memfd, 0, SIZE, GMEM_SHARED));
	EXPECT_EQ(VCPU_DONE, guest_fill(&self->cpu, FILE_GPA, SIZE, 1));
	EXPECT_EQ(VCPU_DONE, guest_check(&self->cpu, FILE_GPA, SIZE, 1));
	EXPECT_TRUE(is_turned(p, 1));
	EXPECT_TRUE(is_filled(other, SIZE, 9));
}

TEST_HARNESS_MAIN
