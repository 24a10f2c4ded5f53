// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ioctls of guestmemfs without a running guest: descriptors for virtual machines, conversions,
 * and states.
 */
#include <sys/resource.h>
#include <sys/stat.h>

#include "gmem_fixture.h"

/*
 * Calls an ioctl with an argument of @size bytes, of which @room are readable: @known bytes from
 * @arg, and then bytes of @others. Returns the errno.
 */
static int sized_ioctl(int fd, unsigned long cmd, const void *arg, size_t known, size_t room,
		       int others, uint32_t size)
{
	const size_t all = 3 * PAGE;
	/*
	 * Choose an address that is far from the end of the address space, so that a large size
	 * does not exceed it.
	 */
	char *area = mmap((void *)(1UL << 40), all, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *p = area + 2 * PAGE - room;
	int ret, err;

	if (area == MAP_FAILED || mprotect(area + 2 * PAGE, PAGE, PROT_NONE))
		return -1;
	memset(p, others, room);
	memcpy(p, arg, known < room ? known : room);
	memcpy(p, &size, sizeof(size));
	ret = ioctl(fd, cmd, p);
	err = ret < 0 ? errno : 0;
	if (cmd == GUESTMEMFS_IOC_CREATE_GMEM && ret >= 0)
		close(ret);
	munmap(area, all);
	return err;
}

struct size_case {
	long size;	/* size passed, minus the known size */
	long room;	/* readable bytes, minus the known size */
	int others;	/* value of the additional bytes */
	int err;
};

static const struct size_case size_cases[] = {
	{ 0,		0,	0,	0 },
	{ 1,		1,	0,	0 },
	{ 8,		8,	0,	0 },
	{ PAGE,		PAGE,	0,	E2BIG },
	{ 0,		8,	1,	0 },
	{ 1,		1,	1,	E2BIG },
	{ 8,		8,	0x80,	E2BIG },
	{ PAGE,		PAGE,	1,	E2BIG },
	{ -1,		0,	0,	EINVAL },
	{ -4,		0,	0,	EINVAL },
	{ -8,		0,	0,	EINVAL },
	{ 0,		-1,	0,	EFAULT },
	{ 0,		-8,	0,	EFAULT },
	{ 1,		0,	0,	EFAULT },
	{ PAGE,		8,	0,	E2BIG },
};

TEST_F(gmem, sizes_of_arguments)
{
	int fd = file_make(&self->p, "ram", BLOCK), i, j;
	int gmem = gmem_create(fd, self->vmm.vm, variant->flags);
	const struct guestmemfs_create_gmem create = {
		.flags = variant->flags, .vm_fd = self->vmm.vm,
	};
	const struct guestmemfs_get_state get = {};
	const struct {
		int fd;
		unsigned long cmd;
		const void *arg;
		size_t known;
	} all[] = {
		{ fd, GUESTMEMFS_IOC_CREATE_GMEM, &create, sizeof(create) },
		{ gmem, GUESTMEMFS_IOC_GET_STATE, &get, sizeof(get) },
		{ fd, GUESTMEMFS_IOC_GET_STATE, &get, sizeof(get) },
	};

	ASSERT_GE(gmem, 0);
	for (i = 0; i < ARRAY_SIZE(all); i++) {
		size_t known = all[i].known;
		uint32_t size;

		for (j = 0; j < ARRAY_SIZE(size_cases); j++) {
			const struct size_case *c = &size_cases[j];

			EXPECT_EQ(c->err, sized_ioctl(all[i].fd, all[i].cmd, all[i].arg, known,
						      known + c->room, c->others, known + c->size))
				TH_LOG("ioctl %d, case %d", i, j);
		}
		for (size = 0; size < known; size++)
			EXPECT_EQ(EINVAL, sized_ioctl(all[i].fd, all[i].cmd, all[i].arg, known,
						      known, 0, size));
		/* An argument may be at most a page, even if its additional bytes are all zero. */
		EXPECT_EQ(0, sized_ioctl(all[i].fd, all[i].cmd, all[i].arg, known, PAGE, 0, PAGE));
		EXPECT_EQ(E2BIG, sized_ioctl(all[i].fd, all[i].cmd, all[i].arg, known, PAGE + 1,
					     0, PAGE + 1));
		EXPECT_EQ(E2BIG, sized_ioctl(all[i].fd, all[i].cmd, all[i].arg, known, known + 8,
					     1, UINT32_MAX));
		EXPECT_EQ(EFAULT, ERR(ioctl(all[i].fd, all[i].cmd, NULL)));
		EXPECT_EQ(EFAULT, ERR(ioctl(all[i].fd, all[i].cmd, -PAGE)));
	}
}

TEST_F(gmem, no_such_ioctl)
{
	int fd = file_make(&self->p, "ram", BLOCK), dir = open(self->p.dir, O_RDONLY), i;
	int gmem = gmem_create(fd, self->vmm.vm, variant->flags);
	char arg[256] = {};

	ASSERT_GE(gmem, 0);
	for (i = 1; i < 256; i = i == 1 ? 7 : i + 1) {
		EXPECT_EQ(ENOTTY, ERR(ioctl(fd, _IOW(GUESTMEMFS_IOC_MAGIC, i, arg), arg)));
		EXPECT_EQ(ENOTTY, ERR(ioctl(gmem, _IOW(GUESTMEMFS_IOC_MAGIC, i, arg), arg)));
	}
	EXPECT_EQ(ENOTTY, ERR(ioctl(fd, _IOW(GUESTMEMFS_IOC_MAGIC - 1, 0, arg), arg)));
	EXPECT_EQ(ENOTTY, ERR(gmem_create(gmem, self->vmm.vm, variant->flags)));
	EXPECT_EQ(ENOTTY, ERR(gmem_convert(fd, 0, PAGE, GMEM_SHARED)));
	EXPECT_EQ(-ENOTTY, gmem_state(dir, 0));
	EXPECT_EQ(ENOTTY, ERR(gmem_create(dir, self->vmm.vm, variant->flags)));
	EXPECT_EQ(ENOTTY, ERR(ioctl(gmem, KVM_GET_API_VERSION, 0)));
	/* The numbers of both kinds of KVM_SET_MEMORY_ATTRIBUTES differ by their size. */
	EXPECT_EQ(ENOTTY, ERR(ioctl(gmem, KVM_SET_MEMORY_ATTRIBUTES, arg)));
	EXPECT_EQ(ENOTTY, ERR(ioctl(self->vmm.vm, KVM_SET_MEMORY_ATTRIBUTES2, arg)));
	/* The size in the ioctl number is ignored. */
	EXPECT_EQ(0, sized_ioctl(fd, _IOW(GUESTMEMFS_IOC_MAGIC, 2, char),
				 &(struct guestmemfs_get_state) {},
				 sizeof(struct guestmemfs_get_state),
				 sizeof(struct guestmemfs_get_state), 0,
				 sizeof(struct guestmemfs_get_state)));
}

/* Every combination of values of the fields. */
TEST_F(gmem, create_fields)
{
	static const uint32_t flags[] = { 0, 1, 2, 3, 4, 7, 1U << 31, UINT32_MAX };
	static const uint32_t reserved[] = { 0, 1, UINT32_MAX };
	int fd = file_make(&self->p, "ram", BLOCK), i, j, k, gmem;
	const int vms[] = {
		self->vmm.vm, self->vmm.kvm, self->cpu.fd, fd, open(self->p.dir, O_RDONLY),
		memfd_create("ram", 0), open(self->p.dir, O_PATH), -1, INT32_MIN, INT32_MAX, 9999,
	};

	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		for (j = 0; j < ARRAY_SIZE(reserved); j++) {
			for (k = 0; k < ARRAY_SIZE(vms); k++) {
				struct guestmemfs_create_gmem arg = {
					.size = sizeof(arg), .flags = flags[i], .vm_fd = vms[k],
					.reserved = reserved[j],
				};
				int err = k < 6 ? EINVAL : EBADF;

				if (flags[i] > 3 || reserved[j])
					err = EINVAL;
				else if (!k)
					err = (flags[i] ^ flags[0]) & INIT_SHARED ? EEXIST : 0;
				gmem = ioctl(fd, GUESTMEMFS_IOC_CREATE_GMEM, &arg);
				EXPECT_EQ(err, gmem < 0 ? errno : 0)
					TH_LOG("flags %#x, reserved %#x, vm %d", flags[i],
					       reserved[j], k);
				if (gmem >= 0)
					close(gmem);
			}
		}
	}
	EXPECT_EQ(0, file_sectors(fd));
}

/* The first descriptor chooses the initial state of a file, and no later one can change it. */
TEST_F(gmem, initial_state)
{
	int fd = file_make(&self->p, "ram", 2 * BLOCK);
	int other = file_make(&self->p, "other", BLOCK);
	int refused = file_make(&self->p, "refused", BLOCK), one, two;
	uint32_t not = variant->flags ^ INIT_SHARED;
	char *p = map_file(fd, 0, 2 * BLOCK);

	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, gmem_state(fd, 0));
	/* A call that fails has not chosen the initial state. */
	EXPECT_EQ(EINVAL, ERR(gmem_create(refused, self->vmm.kvm, not)));
	EXPECT_EQ(EBADF, ERR(gmem_create(refused, -1, not)));
	EXPECT_LE(0, gmem_create(refused, self->vmm.vm, variant->flags));
	/* Making the file private does not change its contents. */
	fill(p, BLOCK, 1);
	one = gmem_create(fd, self->vmm.vm, variant->flags);
	ASSERT_GE(one, 0);
	EXPECT_EQ(EEXIST, ERR(gmem_create(fd, self->vmm.vm, not)));
	EXPECT_EQ(EEXIST, ERR(gmem_create(fd, self->vmm.vm, not & ~CAN_MMAP)));
	two = gmem_create(fd, self->vmm.vm, variant->flags & ~CAN_MMAP);
	EXPECT_LE(0, two);
	EXPECT_EQ(variant->protected ? FAULT(SIGBUS) : 1, peek(p));
	EXPECT_EQ(variant->state | ALLOCATED, gmem_state(fd, 0));
	EXPECT_EQ(variant->state, gmem_state(two, BLOCK));
	ASSERT_EQ(0, vmm_bind(&self->vmm, FILE_SLOT, FILE_GPA, 2 * BLOCK, two, 0));
	EXPECT_EQ(VCPU_DONE, guest_check(&self->cpu, FILE_GPA, BLOCK, 1));
	/*
	 * The initial state stays after all pages were converted or truncated, and all descriptors
	 * closed.
	 */
	ASSERT_EQ(0, gmem_convert(one, 0, 2 * BLOCK, variant->other));
	EXPECT_EQ(EEXIST, ERR(gmem_create(fd, self->vmm.vm, not)));
	ASSERT_EQ(0, vmm_remove(&self->vmm, FILE_SLOT));
	close(one);
	close(two);
	ASSERT_EQ(0, ftruncate(fd, 0));
	EXPECT_EQ(EEXIST, ERR(gmem_create(fd, self->vmm.vm, not)));
	/* Each file has its own initial state. */
	EXPECT_LE(0, gmem_create(other, self->vmm.vm, not));
}

TEST_F(gmem, permissions)
{
	const char *path = pool_path(&self->p, "ram");
	int fd = file_make(&self->p, "ram", BLOCK), gmem, again;
	struct rlimit limit;

	ASSERT_GE(fd, 0);
	EXPECT_EQ(EACCES, ERR(gmem_create(open(path, O_RDONLY), self->vmm.vm, variant->flags)));
	EXPECT_EQ(EACCES, ERR(gmem_create(open(path, O_WRONLY), self->vmm.vm, variant->flags)));
	EXPECT_EQ(EBADF, ERR(gmem_create(open(path, O_PATH), self->vmm.vm, variant->flags)));
	ASSERT_EQ(0, fchmod(fd, 0));
	/* If no file descriptor is free, the call fails and has not chosen the initial state. */
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &limit));
	limit.rlim_cur = 3;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	EXPECT_EQ(EMFILE, ERR(gmem_create(fd, self->vmm.vm, variant->flags ^ INIT_SHARED)));
	limit.rlim_cur = limit.rlim_max;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	/* The file was opened for reading and writing, so its later mode does not matter. */
	gmem = gmem_create(fd, self->vmm.vm, variant->flags);
	ASSERT_GE(gmem, 0);
	EXPECT_EQ(FD_CLOEXEC, fcntl(gmem, F_GETFD));
	EXPECT_EQ(O_RDWR, fcntl(gmem, F_GETFL) & O_ACCMODE);
	/* The descriptor has no read() and write(), but a size and space like the file. */
	EXPECT_EQ(EINVAL, ERR(read(gmem, &limit, 1)));
	EXPECT_EQ(EINVAL, ERR(write(gmem, &limit, 1)));
	EXPECT_EQ(BLOCK, lseek(gmem, 0, SEEK_END));
	EXPECT_EQ(0, fallocate(gmem, 0, 0, 2 * BLOCK));
	EXPECT_EQ(2 * BLOCK_SECTORS, file_sectors(fd));
	/* Opening the file again by name gives a file, not a descriptor of its memory. */
	ASSERT_EQ(0, fchmod(fd, 0600));
	again = open(path, O_RDWR);
	EXPECT_EQ(ENOTTY, ERR(gmem_convert(again, 0, PAGE, GMEM_SHARED)));
	close(again);
}

/* A virtual machine that KVM has marked as dead. */
TEST_F(gmem, dead_machine)
{
	int fd = file_make(&self->p, "ram", BLOCK);
	int gmem = gmem_create(fd, self->vmm.vm, variant->flags);

	ASSERT_GE(gmem, 0);
	ASSERT_EQ(0, vmm_bind(&self->vmm, FILE_SLOT, FILE_GPA, BLOCK, gmem, 0));
	ASSERT_EQ(VCPU_DONE, guest_store(&self->cpu, FILE_GPA, 1));
	/*
	 * A protected machine has no memory for system management mode, which KVM does not expect.
	 */
	if (variant->protected)
		return;
	/*
	 * Entering system management mode fails, because KVM has no memory to save the state, and
	 * KVM marks the machine as dead.
	 */
	if (ioctl(self->cpu.fd, KVM_SMI))
		SKIP(return, "no SMM, and no other way to make a virtual machine die");
	printf("# the guest dies now\n");
	EXPECT_EQ(-VCPU_ASTRAY, guest_load(&self->cpu, FILE_GPA));
	EXPECT_EQ(EIO, ERR(ioctl(self->cpu.fd, KVM_RUN, NULL)));
	EXPECT_EQ(EIO, ERR(gmem_create(fd, self->vmm.vm, variant->flags)));
	/* The memory of a dead machine can still be converted and punched. */
	EXPECT_EQ(0, gmem_convert(gmem, 0, BLOCK, GMEM_PRIVATE));
	EXPECT_EQ(ALLOCATED | PRIVATE, gmem_state(gmem, 0));
	EXPECT_EQ(0, fallocate(gmem, PUNCH, 0, BLOCK));
	close(gmem);
	vcpu_close(&self->cpu);
	vmm_close(&self->vmm);
	EXPECT_EQ(EBADF, ERR(gmem_create(fd, self->vmm.vm, variant->flags)));
}

/* Every combination of values of the fields. A call that fails changes nothing. */
TEST_F(gmem, set_fields)
{
	const uint64_t size = 2 * BLOCK, end = size + PAGE;
	const uint64_t offsets[] = {
		0, 1, 512, PAGE, size - PAGE, size, size + PAGE, size + BLOCK, 1ULL << 63,
		-PAGE, -1,
	};
	const uint64_t lengths[] = {
		0, 1, PAGE, size, size + PAGE, size + 2 * PAGE, 1ULL << 63, -PAGE, -1,
	};
	const uint64_t attributes[] = { GMEM_SHARED, GMEM_PRIVATE, 1, 4, 9, 1ULL << 63, -1 };
	/* Half of the last page is in the file; it can be converted like other pages. */
	int fd = file_make(&self->p, "ram", size + PAGE / 2), i, j, k, l;
	int gmem = gmem_create(fd, self->vmm.vm, variant->flags);

	ASSERT_GE(gmem, 0);
	for (i = 0; i < ARRAY_SIZE(offsets); i++) {
		for (j = 0; j < ARRAY_SIZE(lengths) * ARRAY_SIZE(attributes); j++) {
			uint64_t length = lengths[j % ARRAY_SIZE(lengths)];
			uint64_t attribute = attributes[j / ARRAY_SIZE(lengths)];
			bool valid = attribute == GMEM_SHARED || attribute == GMEM_PRIVATE;

			valid = valid && length && !((offsets[i] | length) % PAGE) &&
				offsets[i] < end && length <= end - offsets[i];
			for (k = 0; k < 5; k++) {
				struct kvm_memory_attributes2 arg = {
					.offset = offsets[i], .size = length,
					.attributes = attribute,
					.flags = k == 1 ? 1 : k == 2 ? 1ULL << 63 : 0,
					.reserved = { k == 3, [10] = k == 4 ? 1ULL << 63 : 0 },
					/* An output field is ignored as input. */
					.error_offset = 77,
				};
				bool done = valid && !k;
				int64_t before = gmem_state(fd, 0);

				EXPECT_EQ(done ? 0 : EINVAL,
					  ERR(ioctl(gmem, KVM_SET_MEMORY_ATTRIBUTES2, &arg)))
					TH_LOG("offset %#lx, length %#lx, attributes %#lx, %d",
					       offsets[i], length, attribute, k);
				/* Neither success nor an argument that is not valid changes it. */
				EXPECT_EQ(77, arg.error_offset);
				if (!done)
					EXPECT_EQ(before, gmem_state(fd, 0));
			}
		}
	}
	for (l = 0; l < 2; l++) {
		/* Converting pages to their present kind succeeds. */
		EXPECT_EQ(0, gmem_convert(gmem, 0, end, GMEM_PRIVATE));
		EXPECT_EQ(PRIVATE, gmem_state(fd, size));
	}
	EXPECT_EQ(0, file_sectors(fd));
}

TEST_F(gmem, get_fields)
{
	int fd = file_make(&self->p, "ram", BLOCK + 1), i;
	struct guestmemfs_get_state wrong[] = { { .flags = 1 }, { .flags = 1U << 31 } };
	/* Output fields are ignored as input. */
	struct guestmemfs_get_state right[] = {
		{ .length = 1 }, { .state = 1 }, { .order = 1 }, { .reserved = 1 },
		{ .state = 1ULL << 63 },
	};
	struct guestmemfs_get_state s;

	/*
	 * GET_STATE also works with files without a descriptor of their memory, and with files
	 * opened for reading.
	 */
	for (i = 0; i < ARRAY_SIZE(wrong); i++) {
		wrong[i].size = sizeof(wrong[i]);
		EXPECT_EQ(EINVAL, ERR(ioctl(fd, GUESTMEMFS_IOC_GET_STATE, &wrong[i])));
	}
	for (i = 0; i < ARRAY_SIZE(right); i++) {
		right[i].size = sizeof(right[i]);
		EXPECT_EQ(0, ERR(ioctl(fd, GUESTMEMFS_IOC_GET_STATE, &right[i])));
		EXPECT_EQ(BLOCK + PAGE, right[i].length);
		EXPECT_EQ(0, right[i].state | right[i].order | right[i].reserved);
	}
	EXPECT_EQ(0, gmem_get_state(open(pool_path(&self->p, "ram"), O_RDONLY), 0, &s));
	EXPECT_EQ(0, s.state | s.order | s.reserved | s.flags);
	EXPECT_EQ(BLOCK + PAGE, s.length);
	EXPECT_EQ(0, gmem_get_state(fd, BLOCK, &s));
	EXPECT_EQ(PAGE, s.length);
	EXPECT_EQ(0, gmem_get_state(fd, PAGE + 1, &s));
	EXPECT_EQ(BLOCK, s.length);
	EXPECT_EQ(-ENXIO, gmem_state(fd, BLOCK + 1));
	EXPECT_EQ(-ENXIO, gmem_state(fd, 1ULL << 63));
	EXPECT_EQ(-ENXIO, gmem_state(fd, -1));
	ASSERT_EQ(0, fallocate(fd, 0, 0, BLOCK));
	EXPECT_EQ(0, gmem_get_state(fd, 5 * PAGE, &s));
	EXPECT_EQ(ALLOCATED, s.state);
	EXPECT_EQ(ORDER_2M, s.order);
	EXPECT_EQ(BLOCK - 5 * PAGE, s.length);
	ASSERT_EQ(0, ftruncate(fd, 0));
	EXPECT_EQ(-ENXIO, gmem_state(fd, 0));
}

/* Mappings of a descriptor, if it allows them. */
TEST_F(gmem, mapping)
{
	int fd = file_make(&self->p, "ram", 2 * BLOCK);
	int no = gmem_create(fd, self->vmm.vm, variant->flags & ~CAN_MMAP);
	int gmem = gmem_create(fd, self->vmm.vm, variant->flags);
	const int rw = PROT_READ | PROT_WRITE;
	char *p, *q;

	EXPECT_EQ(ENODEV, ERR(mmap(NULL, BLOCK, PROT_READ, MAP_SHARED, no, 0)));
	EXPECT_EQ(ENODEV, ERR(mmap(NULL, BLOCK, rw, MAP_SHARED, no, BLOCK)));
	EXPECT_EQ(EINVAL, ERR(mmap(NULL, BLOCK, rw, MAP_PRIVATE, gmem, 0)));
	p = map_file(gmem, 0, 2 * BLOCK);
	q = map_file(fd, 0, 2 * BLOCK);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(MAP_FAILED, q);
	ASSERT_EQ(0, gmem_convert(no, 0, 2 * BLOCK, GMEM_PRIVATE));
	EXPECT_EQ(FAULT(SIGBUS), peek(p));
	EXPECT_EQ(FAULT(SIGBUS), poke(q + 2 * BLOCK - 1, 1));
	ASSERT_EQ(0, gmem_convert(no, PAGE, BLOCK, GMEM_SHARED));
	EXPECT_EQ(FAULT(SIGBUS), poke(p + PAGE - 1, 1));
	EXPECT_EQ(0, poke(p + PAGE, 2));
	EXPECT_EQ(0, poke(p + BLOCK + PAGE - 1, 3));
	EXPECT_EQ(FAULT(SIGBUS), poke(p + BLOCK + PAGE, 1));
	EXPECT_EQ(2, peek(q + PAGE));
	EXPECT_EQ(3, peek(q + BLOCK + PAGE - 1));
	/* A mapping stays when its descriptor is closed, and follows conversions. */
	close(gmem);
	EXPECT_EQ(2, peek(p + PAGE));
	ASSERT_EQ(0, gmem_convert(no, PAGE, PAGE, GMEM_PRIVATE));
	EXPECT_EQ(FAULT(SIGBUS), peek(p + PAGE));
	EXPECT_EQ(0, peek(p + 2 * PAGE));
	ASSERT_EQ(0, gmem_convert(no, 0, 2 * BLOCK, GMEM_SHARED));
	EXPECT_EQ(2, peek(p + PAGE));
	EXPECT_EQ(0, peek(p));
}

TEST_HARNESS_MAIN
