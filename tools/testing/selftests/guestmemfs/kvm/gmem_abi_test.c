// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ABI of the ioctls: values that are the same as KVM's, layouts of structures, the result of a
 * conversion that cannot write its answer, and fallocate() where it is that of KVM's guest_memfd.
 */
#include <stddef.h>

#include "gmem_fixture.h"

/* VMMs for KVM's guest_memfd can pass the same flags and attributes. */
TEST_F(gmem, values_of_kvm)
{
	EXPECT_EQ(GUEST_MEMFD_FLAG_MMAP, GUESTMEMFS_GMEM_MMAP);
	EXPECT_EQ(GUEST_MEMFD_FLAG_INIT_SHARED, GUESTMEMFS_GMEM_INIT_SHARED);
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
	/* As posted for KVM (v8): a VMM that is written for it needs no other layout. */
	const struct kvm_memory_attributes2 set = {
		.offset = 1, .size = 2, .attributes = 3, .flags = 4, .error_offset = 5,
		.reserved = { 6, [10] = 7 },
	};
	const uint64_t set_words[16] = { 1, 2, 3, 4, 5, 6, [15] = 7 };
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
	EXPECT_EQ(0xc080aed2, KVM_SET_MEMORY_ATTRIBUTES2);
	EXPECT_EQ(&set.offset, &set.address);
	EXPECT_EQ(0xc028b902, GUESTMEMFS_IOC_GET_STATE);
}

/*
 * If a conversion fails with EFAULT, nothing was converted: a VMM would repeat it or give up. The
 * argument is written only if a conversion fails. Were it written on success, one in read-only
 * memory would be EFAULT after a conversion.
 */
TEST_F(gmem, answer_that_cannot_be_written)
{
	const size_t size = sizeof(struct kvm_memory_attributes2);
	int fd = file_make(&self->p, "ram", 2 * BLOCK);
	int gmem = gmem_create(fd, self->vmm.vm, variant->flags);
	char *area = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	struct kvm_memory_attributes2 *arg = (void *)(area + PAGE);
	struct guestmemfs_part pin = {
		.size = sizeof(pin), .offset = BLOCK, .length = PAGE,
	};
	size_t i;

	ASSERT_GE(gmem, 0);
	ASSERT_NE(MAP_FAILED, area);
	*arg = (struct kvm_memory_attributes2) {
		.offset = PAGE, .size = BLOCK, .attributes = variant->other,
	};
	/* Arguments of which a part cannot be read. */
	ASSERT_EQ(0, mprotect(area + 2 * PAGE, PAGE, PROT_NONE));
	for (i = 0; i < size; i += 8) {
		char *p = memcpy(area + 2 * PAGE - i, arg, i);

		EXPECT_EQ(EFAULT, ERR(ioctl(gmem, KVM_SET_MEMORY_ATTRIBUTES2, p)))
			TH_LOG("%zu bytes", i);
	}
	EXPECT_EQ(EFAULT, ERR(ioctl(gmem, KVM_SET_MEMORY_ATTRIBUTES2, NULL)));
	EXPECT_EQ(EFAULT, ERR(ioctl(gmem, KVM_SET_MEMORY_ATTRIBUTES2, -PAGE)));
	EXPECT_EQ(variant->state, gmem_state(gmem, PAGE));
	/* An argument that cannot be written. */
	ASSERT_EQ(0, mprotect(area + PAGE, PAGE, PROT_READ));
	EXPECT_EQ(0, ERR(ioctl(gmem, KVM_SET_MEMORY_ATTRIBUTES2, arg)));
	EXPECT_EQ(variant->state ^ PRIVATE, gmem_state(gmem, PAGE));
	EXPECT_EQ(variant->state ^ PRIVATE, gmem_state(gmem, BLOCK));
	ASSERT_EQ(0, mprotect(area + PAGE, PAGE, PROT_READ | PROT_WRITE));
	arg->size = 0;
	ASSERT_EQ(0, mprotect(area + PAGE, PAGE, PROT_READ));
	EXPECT_EQ(EINVAL, ERR(ioctl(gmem, KVM_SET_MEMORY_ATTRIBUTES2, arg)));
	ASSERT_EQ(0, mprotect(area + PAGE, PAGE, PROT_READ | PROT_WRITE));
	ASSERT_EQ(0, gmem_convert(gmem, 0, 2 * BLOCK, GMEM_SHARED));
	ASSERT_EQ(0, ERR(ioctl(fd, GUESTMEMFS_IOC_PIN, &pin)));
	*arg = (struct kvm_memory_attributes2) {
		.offset = PAGE, .size = BLOCK, .attributes = GMEM_PRIVATE,
	};
	ASSERT_EQ(0, mprotect(area + PAGE, PAGE, PROT_READ));
	EXPECT_EQ(EFAULT, ERR(ioctl(gmem, KVM_SET_MEMORY_ATTRIBUTES2, arg)));
	EXPECT_EQ(0, gmem_state(gmem, PAGE) & PRIVATE);
	ASSERT_EQ(0, mprotect(area + PAGE, PAGE, PROT_READ | PROT_WRITE));
	EXPECT_EQ(EAGAIN, ERR(ioctl(gmem, KVM_SET_MEMORY_ATTRIBUTES2, arg)));
	EXPECT_EQ(BLOCK, arg->error_offset);
	EXPECT_EQ(0, gmem_state(gmem, PAGE) & PRIVATE);
	ASSERT_EQ(0, ERR(ioctl(fd, GUESTMEMFS_IOC_UNPIN, &pin)));
	EXPECT_EQ(0, ERR(ioctl(gmem, KVM_SET_MEMORY_ATTRIBUTES2, arg)));
	EXPECT_EQ(PRIVATE, gmem_state(gmem, PAGE));
}

/*
 * Where KVM's guest_memfd has fallocate(), a descriptor refuses the same: a VMM finds its mistakes
 * on both. A file takes any bytes.
 */
TEST_F(gmem, allocation_of_kvm)
{
	static const struct {
		int mode;
		off_t offset, len;
		int err;
	} cases[] = {
		{ FALLOC_FL_KEEP_SIZE,	0,		BLOCK,		0 },
		{ FALLOC_FL_KEEP_SIZE,	BLOCK - PAGE,	PAGE,		0 },
		{ FALLOC_FL_KEEP_SIZE,	0,		BLOCK + PAGE,	EINVAL },
		{ FALLOC_FL_KEEP_SIZE,	BLOCK,		PAGE,		EINVAL },
		{ FALLOC_FL_KEEP_SIZE,	BLOCK + PAGE,	PAGE,		EINVAL },
		{ FALLOC_FL_KEEP_SIZE,	1,		PAGE,		EINVAL },
		{ FALLOC_FL_KEEP_SIZE,	PAGE,		PAGE - 1,	EINVAL },
		{ PUNCH,		PAGE,		PAGE,		0 },
		{ PUNCH,		PAGE - 1,	PAGE,		EINVAL },
		{ PUNCH,		0,		1,		EINVAL },
		{ PUNCH,		0,		PAGE + 1,	EINVAL },
		{ PUNCH,		BLOCK,		PAGE,		0 },
		{ PUNCH,		BLOCK + PAGE,	PAGE,		0 },
		{ 0,			1,		PAGE,		EINVAL },
	};
	int fd = file_make(&self->p, "ram", BLOCK), i;
	int gmem = gmem_create(fd, self->vmm.vm, variant->flags);

	ASSERT_GE(gmem, 0);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		EXPECT_EQ(cases[i].err,
			  ERR(fallocate(gmem, cases[i].mode, cases[i].offset, cases[i].len)))
			TH_LOG("case %d", i);
		EXPECT_EQ(0, ERR(fallocate(fd, cases[i].mode, cases[i].offset, cases[i].len)))
			TH_LOG("case %d", i);
		ASSERT_EQ(0, ftruncate(fd, BLOCK));
	}
}

TEST_HARNESS_MAIN
