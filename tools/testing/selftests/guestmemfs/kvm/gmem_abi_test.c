// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ABI of the ioctls: values that are the same as KVM's, layouts of structures, and the result
 * of a call that cannot write its answer.
 */
#include <stddef.h>

#include "gmem_fixture.h"

/* VMMs for KVM's guest_memfd can pass the same flags and attributes. */
TEST_F(gmem, values_of_kvm)
{
	EXPECT_EQ(GUEST_MEMFD_FLAG_MMAP, GUESTMEMFS_GMEM_MMAP);
	EXPECT_EQ(GUEST_MEMFD_FLAG_INIT_SHARED, GUESTMEMFS_GMEM_INIT_SHARED);
	EXPECT_EQ(KVM_MEMORY_ATTRIBUTE_PRIVATE, GUESTMEMFS_ATTRIBUTE_PRIVATE);
}

/* The flags have the same meaning as in KVM. */
TEST_F(gmem, flags_of_kvm)
{
	static const struct {
		uint32_t flags;
		int64_t state;
		bool can_map;
		int peek;
	} cases[] = {
		{ 0,							PRIVATE, false },
		{ GUEST_MEMFD_FLAG_MMAP,				PRIVATE, true,
		  FAULT(SIGBUS) },
		{ GUEST_MEMFD_FLAG_INIT_SHARED,				0,	 false },
		{ GUEST_MEMFD_FLAG_MMAP | GUEST_MEMFD_FLAG_INIT_SHARED,	0,	 true },
	};
	int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		int fd = file_make(&self->p, "ram", BLOCK);
		int gmem = gmem_create(fd, self->vmm.vm, cases[i].flags);
		char *p = mmap(NULL, BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED, gmem, 0);

		ASSERT_GE(gmem, 0);
		EXPECT_EQ(cases[i].state, gmem_state(gmem, 0))
			TH_LOG("case %d", i);
		EXPECT_EQ(cases[i].can_map, p != MAP_FAILED)
			TH_LOG("case %d", i);
		if (p != MAP_FAILED) {
			EXPECT_EQ(cases[i].peek, peek(p));
			munmap(p, BLOCK);
		}
		close(gmem);
		close(fd);
		ASSERT_EQ(0, unlink(pool_path(&self->p, "ram")));
	}
}

/* Checks the layouts word by word; they are the same for 32-bit programs. */
TEST_F(gmem, layouts)
{
	const struct guestmemfs_create_gmem create = {
		.size = 1, .flags = 2, .vm_fd = 3, .reserved = 4,
	};
	const uint32_t create_words[] = { 1, 2, 3, 4 };
	const struct guestmemfs_set_attributes set = {
		.size = 1, .flags = 2, .offset = 3, .length = 4, .attributes = 5,
		.error_offset = 6,
	};
	const uint32_t set_words[] = { 1, 2, 3, 0, 4, 0, 5, 0, 6, 0 };
	const struct guestmemfs_get_state get = {
		.size = 1, .flags = 2, .offset = 3, .length = 4, .state = 5, .order = 6,
		.reserved = 7,
	};
	const uint32_t get_words[] = { 1, 2, 3, 0, 4, 0, 5, 0, 6, 7 };

	EXPECT_EQ(sizeof(create_words), sizeof(create));
	EXPECT_EQ(0, memcmp(&create, create_words, sizeof(create)));
	EXPECT_EQ(sizeof(set_words), sizeof(set));
	EXPECT_EQ(0, memcmp(&set, set_words, sizeof(set)));
	EXPECT_EQ(sizeof(get_words), sizeof(get));
	EXPECT_EQ(0, memcmp(&get, get_words, sizeof(get)));
	EXPECT_EQ(0x4010b900, GUESTMEMFS_IOC_CREATE_GMEM);
	EXPECT_EQ(0xc028b901, GUESTMEMFS_IOC_SET_ATTRIBUTES);
	EXPECT_EQ(0xc028b902, GUESTMEMFS_IOC_GET_STATE);
}

/* If a conversion fails with EFAULT, nothing was converted: a VMM would repeat it or give up. */
TEST_F(gmem, answer_that_cannot_be_written)
{
	int fd = file_make(&self->p, "ram", 2 * BLOCK);
	int gmem = gmem_create(fd, self->vmm.vm, variant->flags);
	char *area = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	/* In the second variant, all of the argument but the answer is in writable memory. */
	const size_t places[] = {
		PAGE, PAGE - offsetof(struct guestmemfs_set_attributes, error_offset),
	};
	int i;

	ASSERT_GE(gmem, 0);
	ASSERT_NE(MAP_FAILED, area);
	for (i = 0; i < ARRAY_SIZE(places); i++) {
		struct guestmemfs_set_attributes *arg = (void *)(area + places[i]);

		*arg = (struct guestmemfs_set_attributes) {
			.size = sizeof(*arg), .offset = PAGE, .length = BLOCK,
			.attributes = variant->other,
		};
		ASSERT_EQ(0, mprotect(area + PAGE, PAGE, PROT_READ));
		EXPECT_EQ(EFAULT, ERR(ioctl(gmem, GUESTMEMFS_IOC_SET_ATTRIBUTES, arg)));
		EXPECT_EQ(variant->state, gmem_state(gmem, PAGE));
		EXPECT_EQ(variant->state, gmem_state(gmem, BLOCK));
		/* Errors of the argument are reported before EFAULT. */
		ASSERT_EQ(0, mprotect(area + PAGE, PAGE, PROT_READ | PROT_WRITE));
		arg->length = 0;
		ASSERT_EQ(0, mprotect(area + PAGE, PAGE, PROT_READ));
		EXPECT_EQ(EINVAL, ERR(ioctl(gmem, GUESTMEMFS_IOC_SET_ATTRIBUTES, arg)));
		ASSERT_EQ(0, mprotect(area + PAGE, PAGE, PROT_READ | PROT_WRITE));
		arg->length = BLOCK;
		arg->error_offset = 1;
		EXPECT_EQ(0, ERR(ioctl(gmem, GUESTMEMFS_IOC_SET_ATTRIBUTES, arg)));
		EXPECT_EQ(0, arg->error_offset);
		EXPECT_EQ(variant->state ^ PRIVATE, gmem_state(gmem, PAGE));
		ASSERT_EQ(0, gmem_convert(gmem, PAGE, BLOCK, variant->first));
	}
}

TEST_HARNESS_MAIN
