// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guest memory by address: what removes large entries of the second stage, and what makes them
 * again. Holes and conversions of the file do, and KVM's log of dirty pages, for which KVM splits
 * entries and joins them by the size of the host's entries. gmem_merge_test.c has the same for
 * memory by descriptor, which has no log.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "entries.h"
#include "gmem.h"
#include "harness.h"
#include "leaves.h"
#include "util.h"

#define PUNCH		(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)

#define RAM_SLOT	1
#define RAM_GPA		(4 * GIB)
/* The block that is punched, or that has a page of the other kind. */
#define HOLE		BLOCK
#define CONVERTED	(HOLE + 7 * PAGE)
#define BLOCK_PAGES	((long)(BLOCK / PAGE))

/* A machine with one CPU, and all of a file in a slot by address. */
FIXTURE(ram)
{
	int nr;
	struct pool p;
	struct vmm vmm;
	struct vcpu cpu;
	int fd;
	char *ram;
	long nr_blocks;
};

/* How many entries of 1 GiB and of 2 MiB map the file. */
FIXTURE_VARIANT(ram)
{
	size_t size;
	long gigabytes;
	long blocks;
};

FIXTURE_VARIANT_ADD(ram, gigabyte)
{
	.size = GIB,
	.gigabytes = 1,
};

/* The file is too small for an entry of 1 GiB. */
FIXTURE_VARIANT_ADD(ram, blocks)
{
	.size = 4 * BLOCK,
	.blocks = 4,
};

static int set_slot(const struct vmm *v, char *ram, size_t size, uint32_t flags)
{
	const struct kvm_userspace_memory_region2 region = {
		.slot = RAM_SLOT,
		.flags = flags,
		.guest_phys_addr = RAM_GPA,
		.memory_size = size,
		.userspace_addr = (uintptr_t)ram,
	};

	return vmm_set_region(v, &region);
}

FIXTURE_SETUP(ram)
{
	int nodes[MAX_POOLS];

	self->nr = pool_nodes(nodes);
	if (!self->nr)
		SKIP(return, "no pool on this machine");
	ASSERT_TRUE(pool_setup(&self->p, nodes[0]));
	catch_faults();
	if (!vmm_has_type(KVM_X86_DEFAULT_VM))
		SKIP(return, "no /dev/kvm");
	if (self->p.free_blocks < variant->size / BLOCK)
		SKIP(return, "too little is free");
	if (access(LEAVES, R_OK))
		SKIP(return, "no " LEAVES);
	ASSERT_EQ(0, vmm_make(&self->vmm, KVM_X86_DEFAULT_VM));
	ASSERT_EQ(0, vcpu_make(&self->vmm, &self->cpu, 0));
	self->fd = file_make(&self->p, "ram", variant->size);
	self->ram = map_file(self->fd, 0, variant->size);
	ASSERT_NE(MAP_FAILED, (void *)self->ram);
	ASSERT_EQ(0, set_slot(&self->vmm, self->ram, variant->size, 0));
	self->nr_blocks = variant->size / BLOCK;
}

FIXTURE_TEARDOWN_PARENT(ram)
{
	if (self->nr)
		EXPECT_STREQ("", pool_teardown(&self->p) ?: "");
}

/* Stores or checks the first word of a number of blocks, the index of the block plus one. */
static enum vcpu_end each_block(struct vcpu *c, enum guest_command command, uint64_t from,
				uint64_t nr)
{
	const struct guest_job job = {
		.command = command,
		.gpa = RAM_GPA + from * BLOCK,
		.words = nr,
		.stride = BLOCK,
		.value = from + 1,
	};

	return guest_do(c, &job);
}

static enum vcpu_end mark(struct vcpu *c, long nr)
{
	return each_block(c, GUEST_FILL, 0, nr);
}

/* Reads all blocks but the hole. */
static enum vcpu_end check_others(struct vcpu *c, long nr)
{
	uint64_t hole = HOLE / BLOCK;

	return each_block(c, GUEST_CHECK, 0, hole) ?:
	       each_block(c, GUEST_CHECK, hole + 1, nr - hole - 1);
}

/* The guest's memory has entries as large as the host's, all of which are as large as fits. */
#define EXPECT_WHOLE(what) do {								\
	const char *_what = what;							\
											\
	EXPECT_ENTRIES(variant->gigabytes, variant->blocks, 0, _what);			\
	EXPECT_LEAVES(self->ram, variant->size, variant->gigabytes, variant->blocks, 0,	\
		      _what);								\
} while (0)

/* Entries of the blocks that a hole leaves: an entry of 1 GiB is removed as a whole. */
#define LEFT_BY_A_HOLE	(variant->gigabytes ? 0 : self->nr_blocks - 1)

/*
 * A block is punched, and comes back by fallocate(), by the guest, or by the host: red if the hole
 * leaves the guest an entry, or if it would take another call or a new slot to get the large entry.
 */
TEST_F(ram, hole)
{
	const char * const ways[] = { "fallocate()", "the guest", "the host" };
	struct vcpu *cpu = &self->cpu;
	int i;

	for (i = 0; i < ARRAY_SIZE(ways); i++) {
		ASSERT_EQ(VCPU_DONE, mark(cpu, self->nr_blocks));
		EXPECT_WHOLE("all");
		ASSERT_EQ(0, fallocate(self->fd, PUNCH, HOLE, BLOCK));
		EXPECT_ENTRIES(0, LEFT_BY_A_HOLE, 0, "a block punched");
		EXPECT_EQ(VCPU_DONE, check_others(cpu, self->nr_blocks));
		EXPECT_ENTRIES(0, self->nr_blocks - 1, 0, "and the others read");
		EXPECT_EQ((variant->size - BLOCK) / 512, file_sectors(self->fd));
		if (i == 0) {
			ASSERT_EQ(0, fallocate(self->fd, 0, HOLE, BLOCK));
			/* The guest's entries stay until it reads the block. */
			EXPECT_EQ(VCPU_DONE, check_others(cpu, self->nr_blocks));
			EXPECT_ENTRIES(0, self->nr_blocks - 1, 0, "filled, and not read");
		} else if (i == 2) {
			EXPECT_EQ(0, poke(self->ram + HOLE + PAGE, 0x11));
		}
		EXPECT_EQ(0, guest_load(cpu, RAM_GPA + HOLE));
		EXPECT_WHOLE(ways[i]);
		EXPECT_EQ(i == 2 ? 0x11 : 0, guest_load(cpu, RAM_GPA + HOLE + PAGE));
		EXPECT_EQ(VCPU_DONE, check_others(cpu, self->nr_blocks));
		EXPECT_EQ(variant->size / 512, file_sectors(self->fd));
	}
}

/*
 * The file has a descriptor, and the slot has its address. Red if the guest keeps an entry of a
 * page that became private, or if the page that is shared again leaves small entries for good.
 */
TEST_F(ram, conversion)
{
	int gmem = gmem_create(self->fd, self->vmm.vm,
			       GUESTMEMFS_GMEM_INIT_SHARED | GUESTMEMFS_GMEM_MMAP), i;
	struct vcpu *cpu = &self->cpu;

	ASSERT_GE(gmem, 0);
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(VCPU_DONE, mark(cpu, self->nr_blocks));
		EXPECT_WHOLE("all");
		ASSERT_EQ(0, gmem_convert(gmem, CONVERTED, PAGE, GMEM_PRIVATE));
		EXPECT_ENTRIES(0, LEFT_BY_A_HOLE, 0, "a page converted");
		EXPECT_EQ(VCPU_DONE, check_others(cpu, self->nr_blocks));
		EXPECT_EQ(VCPU_DONE, guest_touch(cpu, RAM_GPA + HOLE, 7, PAGE));
		EXPECT_EQ(VCPU_DONE, guest_touch(cpu, RAM_GPA + CONVERTED + PAGE, BLOCK_PAGES - 8,
						 PAGE));
		EXPECT_EQ(VCPU_NO_MEMORY, guest_touch(cpu, RAM_GPA + CONVERTED, 1, 0));
		EXPECT_ENTRIES(0, self->nr_blocks - 1, BLOCK_PAGES - 1, "all but that page");
		ASSERT_EQ(0, gmem_convert(gmem, CONVERTED, PAGE, GMEM_SHARED));
		EXPECT_EQ(VCPU_DONE, each_block(cpu, GUEST_CHECK, 0, self->nr_blocks));
		EXPECT_ENTRIES(0, self->nr_blocks - 1, BLOCK_PAGES - 1, "back, and not read");
		EXPECT_EQ(0, guest_load(cpu, RAM_GPA + CONVERTED));
		EXPECT_WHOLE("back, and read");
	}
	/* All of it. */
	ASSERT_EQ(0, gmem_convert(gmem, 0, variant->size, GMEM_PRIVATE));
	EXPECT_ENTRIES(0, 0, 0, "all converted");
	EXPECT_EQ(VCPU_NO_MEMORY, guest_touch(cpu, RAM_GPA, 1, 0));
	ASSERT_EQ(0, gmem_convert(gmem, 0, variant->size, GMEM_SHARED));
	EXPECT_EQ(VCPU_DONE, each_block(cpu, GUEST_CHECK, 0, self->nr_blocks));
	EXPECT_WHOLE("all converted back");
}

static int set_logging(const struct vmm *v, char *ram, size_t size, bool on)
{
	return set_slot(v, ram, size, on ? KVM_MEM_LOG_DIRTY_PAGES : 0);
}

/* Gets the log, which is cleared if KVM clears it by itself. Returns how many pages are dirty. */
static long dirty_pages(const struct vmm *v, unsigned long *bitmap, size_t size)
{
	struct kvm_dirty_log log = { .slot = RAM_SLOT, .dirty_bitmap = bitmap };
	long nr = 0;
	size_t i;

	if (ioctl(v->vm, KVM_GET_DIRTY_LOG, &log))
		return -1;
	for (i = 0; i < size / PAGE / 64; i++)
		nr += __builtin_popcountl(bitmap[i]);
	return nr;
}

static bool is_dirty(const unsigned long *bitmap, uint64_t offset)
{
	return bitmap[offset / PAGE / 64] >> (offset / PAGE % 64) & 1;
}

/*
 * A VMM logs what its guest writes, for a migration that is given up. Red if a write is not in the
 * log, if the log needs smaller entries of the host, or if the guest does not get its large
 * entries back at once, without a fault.
 */
TEST_F(ram, log)
{
	const uint64_t stores[] = { 0, CONVERTED, variant->size - PAGE };
	unsigned long *bitmap = calloc(variant->size / PAGE / 64, sizeof(*bitmap));
	const long pages = variant->size / PAGE;
	const struct vmm *v = &self->vmm;
	struct vcpu *cpu = &self->cpu;
	long faults;
	int i, j;

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(VCPU_DONE, mark(cpu, self->nr_blocks));
		EXPECT_WHOLE("all");
		ASSERT_EQ(0, set_logging(v, self->ram, variant->size, true));
		EXPECT_ENTRIES(0, 0, pages, "while writes are logged");
		EXPECT_EQ(VCPU_DONE, each_block(cpu, GUEST_CHECK, 0, self->nr_blocks));
		EXPECT_EQ(0, dirty_pages(v, bitmap, variant->size));
		for (j = 0; j < ARRAY_SIZE(stores); j++)
			EXPECT_EQ(VCPU_DONE, guest_store(cpu, RAM_GPA + stores[j] + 8, i + 1));
		EXPECT_EQ(ARRAY_SIZE(stores), dirty_pages(v, bitmap, variant->size));
		for (j = 0; j < ARRAY_SIZE(stores); j++)
			EXPECT_TRUE(is_dirty(bitmap, stores[j]));
		/* What the guest writes once more is in the log once more. */
		EXPECT_EQ(VCPU_DONE, guest_store(cpu, RAM_GPA + CONVERTED + 16, 5));
		EXPECT_EQ(1, dirty_pages(v, bitmap, variant->size));
		EXPECT_TRUE(is_dirty(bitmap, CONVERTED));
		EXPECT_LEAVES(self->ram, variant->size, variant->gigabytes, variant->blocks, 0,
			      "while writes are logged");
		faults = vmm_stat(v, "pf_fixed");
		ASSERT_EQ(0, set_logging(v, self->ram, variant->size, false));
		EXPECT_WHOLE("logged no more");
		EXPECT_EQ(VCPU_DONE, each_block(cpu, GUEST_CHECK, 0, self->nr_blocks));
		EXPECT_EQ(i + 1, guest_load(cpu, RAM_GPA + CONVERTED + 8));
		EXPECT_EQ(faults, vmm_stat(v, "pf_fixed"));
		EXPECT_EQ(VCPU_DONE, guest_store(cpu, RAM_GPA + CONVERTED + 8, 9));
		EXPECT_EQ(9, self->ram[CONVERTED + 8]);
		EXPECT_WHOLE("and written to");
	}
}

/* A block is punched while writes are logged, and comes back before or after the end of the log. */
TEST_F(ram, hole_in_a_log)
{
	unsigned long *bitmap = calloc(variant->size / PAGE / 64, sizeof(*bitmap));
	const long left = LEFT_BY_A_HOLE * BLOCK_PAGES;
	const struct vmm *v = &self->vmm;
	struct vcpu *cpu = &self->cpu;
	long faults;
	int i;

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(VCPU_DONE, mark(cpu, self->nr_blocks));
		EXPECT_WHOLE("all");
		ASSERT_EQ(0, set_logging(v, self->ram, variant->size, true));
		ASSERT_EQ(0, fallocate(self->fd, PUNCH, HOLE, BLOCK));
		EXPECT_ENTRIES(0, 0, left, "a block punched while writes are logged");
		EXPECT_EQ(VCPU_DONE, check_others(cpu, self->nr_blocks));
		EXPECT_ENTRIES(0, 0, left ?: self->nr_blocks - 1, "and the others read");
		if (i) {
			EXPECT_EQ(0, guest_load(cpu, RAM_GPA + HOLE));
			EXPECT_EQ(VCPU_DONE, guest_store(cpu, RAM_GPA + CONVERTED, 1));
			EXPECT_LE(1, dirty_pages(v, bitmap, variant->size));
			EXPECT_TRUE(is_dirty(bitmap, CONVERTED));
			EXPECT_EQ(0, vmm_entries(v, "2m"));
		}
		faults = vmm_stat(v, "pf_fixed");
		ASSERT_EQ(0, set_logging(v, self->ram, variant->size, false));
		if (!i) {
			/* The host has an entry for each block, and so has the guest. */
			EXPECT_ENTRIES(0, self->nr_blocks - 1, 0, "logged no more, with the hole");
			EXPECT_EQ(VCPU_DONE, check_others(cpu, self->nr_blocks));
			EXPECT_EQ(faults, vmm_stat(v, "pf_fixed"));
			EXPECT_EQ(0, guest_load(cpu, RAM_GPA + HOLE));
		}
		EXPECT_WHOLE("all again");
		EXPECT_EQ(VCPU_DONE, check_others(cpu, self->nr_blocks));
		EXPECT_EQ(i, guest_load(cpu, RAM_GPA + CONVERTED));
	}
}

/*
 * As QEMU logs: all pages are dirty at first, and KVM splits an entry when the VMM takes a part of
 * it out of the log. Red if more is split than that, or if the parts are not joined at the end.
 */
TEST_F(ram, log_that_begins_full)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
		.args = { KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET },
	};
	unsigned long *bitmap = calloc(variant->size / PAGE / 64, sizeof(*bitmap));
	struct kvm_clear_dirty_log clear = {
		.slot = RAM_SLOT,
		.first_page = HOLE / PAGE,
		.num_pages = BLOCK_PAGES,
		.dirty_bitmap = bitmap + HOLE / PAGE / 64,
	};
	const long pages = variant->size / PAGE;
	const struct vmm *v = &self->vmm;
	struct vcpu *cpu = &self->cpu;
	int i;

	ASSERT_EQ(0, ioctl(v->vm, KVM_ENABLE_CAP, &cap));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(VCPU_DONE, mark(cpu, self->nr_blocks));
		EXPECT_WHOLE("all");
		ASSERT_EQ(0, set_logging(v, self->ram, variant->size, true));
		EXPECT_WHOLE("writes are logged, and all pages are dirty");
		EXPECT_EQ(pages, dirty_pages(v, bitmap, variant->size));
		ASSERT_EQ(0, ioctl(v->vm, KVM_CLEAR_DIRTY_LOG, &clear));
		EXPECT_ENTRIES(0, self->nr_blocks - 1, BLOCK_PAGES, "a block is clean");
		EXPECT_EQ(pages - BLOCK_PAGES, dirty_pages(v, bitmap, variant->size));
		EXPECT_EQ(VCPU_DONE, guest_store(cpu, RAM_GPA + CONVERTED, i + 1));
		EXPECT_EQ(pages - BLOCK_PAGES + 1, dirty_pages(v, bitmap, variant->size));
		EXPECT_TRUE(is_dirty(bitmap, CONVERTED));
		ASSERT_EQ(0, set_logging(v, self->ram, variant->size, false));
		EXPECT_WHOLE("logged no more");
		EXPECT_EQ(VCPU_DONE, each_block(cpu, GUEST_CHECK, 0, self->nr_blocks));
		EXPECT_EQ(i + 1, guest_load(cpu, RAM_GPA + CONVERTED));
	}
}

TEST_HARNESS_MAIN
