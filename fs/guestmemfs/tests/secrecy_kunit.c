// SPDX-License-Identifier: GPL-2.0-only
/*
 * The properties of the memory of this kernel's pools: no struct page, not in the direct map,
 * not System RAM, mapped write-back.
 */
#include <kunit/test.h>
#include <linux/guestmemfs.h>
#include <linux/io.h>
#include <linux/ioport.h>
#include <linux/mm.h>
#include <linux/sizes.h>
#include <linux/uaccess.h>

#include <asm/memtype.h>
#include <asm/pageless.h>

#include "../internal.h"

/* Number of pages of a range that are tested, including the first and the last one. */
#define GMFS_SPOTS	64

static int gmfs_secrecy_init(struct kunit *test)
{
	if (list_empty(&gmfs_pools))
		kunit_skip(test, "this machine has no pool: boot with guestmemfs=");
	return 0;
}

static u64 gmfs_spot(const struct gmfs_range *r, u32 spot)
{
	u64 pages = r->size >> PAGE_SHIFT;

	return r->base + (mul_u64_u32_div(pages - 1, spot, GMFS_SPOTS - 1) << PAGE_SHIFT);
}

static void gmfs_each_spot(struct kunit *test, void (*look)(struct kunit *test, u64 phys))
{
	struct gmfs_pool *pool;
	u32 range, spot;

	list_for_each_entry(pool, &gmfs_pools, list) {
		KUNIT_ASSERT_GT(test, pool->nr_ranges, 0);
		for (range = 0; range < pool->nr_ranges; range++)
			for (spot = 0; spot < GMFS_SPOTS; spot++)
				look(test, gmfs_spot(&pool->ranges[range], spot));
	}
}

static void look_for_struct_page(struct kunit *test, u64 phys)
{
	KUNIT_EXPECT_FALSE_MSG(test, pfn_valid(PHYS_PFN(phys)), "at %llx", phys);
}

static void data_has_no_struct_page(struct kunit *test)
{
	gmfs_each_spot(test, look_for_struct_page);
}

static void look_through_direct_map(struct kunit *test, u64 phys)
{
	u64 word;

	KUNIT_EXPECT_EQ_MSG(test, copy_from_kernel_nofault(&word, __va(phys), sizeof(word)),
			    -EFAULT, "at %llx", phys);
	KUNIT_EXPECT_EQ_MSG(test, copy_from_kernel_nofault(&word, __va(phys + PAGE_SIZE - 8),
							   sizeof(word)), -EFAULT, "at %llx", phys);
}

static void data_is_not_in_direct_map(struct kunit *test)
{
	u64 word = 1, copy = 0;

	/* Check that this can read mapped memory: otherwise the test could not fail. */
	KUNIT_ASSERT_EQ(test, copy_from_kernel_nofault(&copy, &word, sizeof(word)), 0);
	KUNIT_ASSERT_EQ(test, copy, 1);
	gmfs_each_spot(test, look_through_direct_map);
}

static void look_for_ram(struct kunit *test, u64 phys)
{
	KUNIT_EXPECT_EQ_MSG(test, page_is_ram(PHYS_PFN(phys)), 0, "at %llx", phys);
}

static void data_is_not_system_ram(struct kunit *test)
{
	struct gmfs_pool *pool;
	u32 i;

	list_for_each_entry(pool, &gmfs_pools, list)
		for (i = 0; i < pool->nr_ranges; i++)
			KUNIT_EXPECT_EQ(test, region_intersects(pool->ranges[i].base,
								pool->ranges[i].size,
								IORESOURCE_SYSTEM_RAM,
								IORES_DESC_NONE), REGION_DISJOINT);
	gmfs_each_spot(test, look_for_ram);
}

/* Neither drivers nor memory hotplug can claim the ranges. */
static void data_is_claimed(struct kunit *test)
{
	struct gmfs_pool *pool;
	u32 i;

	list_for_each_entry(pool, &gmfs_pools, list) {
		for (i = 0; i < pool->nr_ranges; i++) {
			const struct gmfs_range *r = &pool->ranges[i];
			struct resource *res = request_mem_region(r->base, r->size, "test");

			KUNIT_EXPECT_NULL(test, res);
			if (res)
				release_mem_region(r->base, r->size);
		}
	}
}

static void look_for_cache_mode(struct kunit *test, u64 phys)
{
	pgprot_t prot = pgprot_noncached(PAGE_SHARED);

	KUNIT_EXPECT_EQ(test, pfnmap_setup_cachemode(PHYS_PFN(phys), PAGE_SIZE, &prot), 0);
	KUNIT_EXPECT_EQ_MSG(test, pgprot2cachemode(prot), _PAGE_CACHE_MODE_WB, "at %llx", phys);
}

static void data_is_mapped_write_back(struct kunit *test)
{
	if (!pat_enabled())
		kunit_skip(test, "no page attribute table: everything is write-back");
	gmfs_each_spot(test, look_for_cache_mode);
}

static void look_at_metadata(struct kunit *test, const struct gmfs_pool *pool)
{
	u64 magic = 0;

	KUNIT_ASSERT_EQ(test, copy_from_kernel_nofault(&magic, __va(pool->meta_base),
						       sizeof(magic)), 0);
	KUNIT_EXPECT_EQ(test, magic, GUESTMEMFS_SUPER_MAGIC);
	KUNIT_EXPECT_EQ(test, copy_from_kernel_nofault(&magic, __va(pool->meta_base +
								    pool->meta_size - 8),
						       sizeof(magic)), 0);
	KUNIT_EXPECT_EQ(test, region_intersects(pool->meta_base, pool->meta_size,
						IORESOURCE_SYSTEM_RAM, IORES_DESC_NONE),
			REGION_DISJOINT);
}

static void metadata_is_in_direct_map(struct kunit *test)
{
	struct gmfs_pool *pool;
	u32 seen = 0;

	list_for_each_entry(pool, &gmfs_pools, list) {
		if (pool->refused)
			continue;
		look_at_metadata(test, pool);
		seen++;
	}
	if (!seen)
		kunit_skip(test, "every pool was refused");
}

/* TDX needs all of it, by address, at boot. Turns red if a range is left out, or out of order. */
static void data_is_found_by_address(struct kunit *test)
{
	phys_addr_t base, end = 0;
	struct gmfs_pool *pool;
	u64 size = 0;
	int nid;
	u32 i;

	list_for_each_entry(pool, &gmfs_pools, list)
		for (i = 0; i < pool->nr_ranges; i++)
			size += pool->ranges[i].size;
	while (guestmemfs_next_range(end, &base, &end, &nid)) {
		KUNIT_ASSERT_LT(test, base, end);
		KUNIT_EXPECT_TRUE(test, guestmemfs_has_range(base, end - base));
		KUNIT_EXPECT_LE(test, end - base, size);
		size -= end - base;
	}
	KUNIT_EXPECT_EQ(test, size, 0);
}

#if defined(CONFIG_KVM_AMD_SEV) || defined(CONFIG_INTEL_TDX_HOST)
/* Writes to the first word of a frame, and returns what was there. Nothing is mounted yet. */
static u64 write_for_a_moment(struct kunit *test, u64 pfn, u64 value)
{
	u64 *va = pageless_map(pfn), old = *va, copy;

	*va = value;
	pageless_unmap(pfn, va);
	KUNIT_EXPECT_EQ(test, copy_from_kernel_nofault(&copy, va, sizeof(copy)), -EFAULT);
	return old;
}

static u64 read_by_window(struct kunit *test, u64 phys)
{
	struct gmfs_window *window = gmfs_window_open(phys, sizeof(u64));
	u64 value;

	KUNIT_ASSERT_NOT_NULL(test, window);
	value = *(u64 *)window->va;
	gmfs_window_close(window);
	return value;
}

static void look_for_a_moment(struct kunit *test, u64 phys)
{
	u64 pfn = PHYS_PFN(phys), old;

	KUNIT_EXPECT_TRUE(test, pageless_is_ram(pfn));
	old = write_for_a_moment(test, pfn, ~phys);
	KUNIT_EXPECT_EQ(test, read_by_window(test, phys), ~phys);
	pageless_clflush(pfn, 1);
	KUNIT_EXPECT_EQ(test, write_for_a_moment(test, pfn, old), ~phys);
}

/*
 * As SNP and TDX reach a frame. Turns red if a processor keeps the translation of the previous
 * frame (the loop goes through many on one address), or if the frame stays mapped.
 */
static void data_is_mapped_for_a_moment(struct kunit *test)
{
	struct page *page = alloc_page(GFP_KERNEL);
	void *va;

	gmfs_each_spot(test, look_for_a_moment);
	/* A frame of the kernel's own memory, and no memory at all: the local APIC. */
	KUNIT_ASSERT_NOT_NULL(test, page);
	KUNIT_EXPECT_FALSE(test, pageless_is_ram(page_to_pfn(page)));
	KUNIT_EXPECT_FALSE(test, pageless_is_ram(PHYS_PFN(0xfee00000)));
	va = pageless_map(page_to_pfn(page));
	KUNIT_EXPECT_PTR_EQ(test, va, page_address(page));
	pageless_unmap(page_to_pfn(page), va);
	__free_page(page);
}
#endif

static struct kunit_case gmfs_secrecy_cases[] = {
	KUNIT_CASE(data_has_no_struct_page),
	KUNIT_CASE(data_is_not_in_direct_map),
	KUNIT_CASE(data_is_not_system_ram),
	KUNIT_CASE(data_is_claimed),
	KUNIT_CASE(data_is_mapped_write_back),
	KUNIT_CASE(metadata_is_in_direct_map),
	KUNIT_CASE(data_is_found_by_address),
#if defined(CONFIG_KVM_AMD_SEV) || defined(CONFIG_INTEL_TDX_HOST)
	KUNIT_CASE(data_is_mapped_for_a_moment),
#endif
	{}
};

static struct kunit_suite gmfs_secrecy_suite = {
	.name		= "guestmemfs_secrecy",
	.init		= gmfs_secrecy_init,
	.test_cases	= gmfs_secrecy_cases,
};

kunit_test_suite(gmfs_secrecy_suite);
