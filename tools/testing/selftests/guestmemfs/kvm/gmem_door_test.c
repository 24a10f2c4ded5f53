// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM_CREATE_GUEST_MEMFD with a mount or a file of guestmemfs as the resource: the descriptor that
 * it makes is one of GUESTMEMFS_IOC_CREATE_GMEM. Goes with the patch that adds
 * GUEST_MEMFD_FLAG_USE_RESOURCE to KVM.
 */
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>

#include "gmem_fixture.h"

#define NOBODY	65534

/* Of linux/mount.h, which cannot be included with sys/mount.h of all versions of the C library. */
#define FSCONFIG_SET_STRING	1
#define FSCONFIG_CMD_CREATE	6

/* Returns the descriptor, or -1 and errno. */
static int door(int vm, int resource, uint64_t size, uint64_t flags)
{
	struct kvm_create_guest_memfd arg = {
		.size = size,
		.flags = flags | GUEST_MEMFD_FLAG_USE_RESOURCE,
		.resource_fd = resource,
	};

	return ioctl(vm, KVM_CREATE_GUEST_MEMFD, &arg);
}

/* Returns a mount of the pool that is in no directory, or -1 and errno. */
static int mount_of(const struct pool *p)
{
	int fs = syscall(SYS_fsopen, "guestmemfs", 0), mnt = -1;
	char node[16];

	snprintf(node, sizeof(node), "%d", p->node);
	if (fs >= 0 && !syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "node", node, 0) &&
	    !syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		mnt = syscall(SYS_fsmount, fs, 0, 0);
	close(fs);
	return mnt;
}

static uint64_t free_inodes(const struct pool *p)
{
	struct statfs s;

	return statfs(p->dir, &s) ? 0 : s.f_ffree;
}

/*
 * Each kind of descriptor of a mount is a resource. The file is in that pool and has no name, the
 * guest uses it like that of any descriptor, and its memory is free when the last user is gone.
 */
TEST_F(gmem, of_a_mount)
{
	const int resources[] = {
		open(self->p.dir, O_RDONLY | O_DIRECTORY), open(self->p.dir, O_PATH),
		open(self->p.mnt, O_RDONLY), mount_of(&self->p),
	};
	const uint64_t inodes = free_inodes(&self->p), size = BLOCK + PAGE;
	struct stat st;
	char *p;
	int i;

	for (i = 0; i < ARRAY_SIZE(resources); i++) {
		int gmem = door(self->vmm.vm, resources[i], size, variant->flags);

		ASSERT_GE(gmem, 0)
			TH_LOG("resource %d: %s", i, strerror(errno));
		/* As without a resource: KVM's descriptors are not close-on-exec. */
		EXPECT_EQ(0, fcntl(gmem, F_GETFD));
		EXPECT_EQ(O_RDWR, fcntl(gmem, F_GETFL) & O_ACCMODE);
		ASSERT_EQ(0, fstat(gmem, &st));
		EXPECT_EQ(size, st.st_size);
		EXPECT_EQ(0600, st.st_mode & 07777);
		EXPECT_EQ(0, st.st_nlink);
		EXPECT_EQ(inodes - 1, free_inodes(&self->p));
		EXPECT_EQ(variant->state, gmem_state(gmem, 0));
		ASSERT_EQ(0, vmm_bind(&self->vmm, FILE_SLOT, FILE_GPA, size, gmem, 0));
		EXPECT_EQ(VCPU_DONE, guest_store(&self->cpu, FILE_GPA + BLOCK, 7));
		EXPECT_EQ(self->p.free_blocks - 1, pool_free_blocks(&self->p));
		/* It is converted by the same call as any other. */
		ASSERT_EQ(0, gmem_convert(gmem, 0, size, GMEM_SHARED));
		p = map_file(gmem, 0, size);
		ASSERT_NE(MAP_FAILED, p);
		EXPECT_EQ(7, peek(p + BLOCK));
		munmap(p, size);
		/* The slot keeps it. */
		close(gmem);
		EXPECT_EQ(7, guest_load(&self->cpu, FILE_GPA + BLOCK));
		ASSERT_EQ(0, vmm_remove(&self->vmm, FILE_SLOT));
		EXPECT_EQ(self->p.free_blocks, pool_free_blocks(&self->p));
		EXPECT_EQ(inodes, free_inodes(&self->p));
		close(resources[i]);
	}
}

/* A descriptor of a mount can get a name, to stay when the VMM ends, and over a kexec. */
TEST_F(gmem, gets_a_name)
{
	int dir = open(self->p.dir, O_PATH), fd;
	int gmem = door(self->vmm.vm, dir, BLOCK, variant->flags);
	char path[32];

	ASSERT_GE(gmem, 0);
	ASSERT_EQ(0, vmm_bind(&self->vmm, FILE_SLOT, FILE_GPA, BLOCK, gmem, 0));
	ASSERT_EQ(VCPU_DONE, guest_store(&self->cpu, FILE_GPA, 7));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", gmem);
	ASSERT_EQ(0, ERR(linkat(AT_FDCWD, path, AT_FDCWD, pool_path(&self->p, "named"),
				AT_SYMLINK_FOLLOW)));
	close(gmem);
	ASSERT_EQ(0, vmm_remove(&self->vmm, FILE_SLOT));
	fd = open(pool_path(&self->p, "named"), O_RDWR);
	ASSERT_GE(fd, 0);
	EXPECT_EQ(ALLOCATED | variant->state, gmem_state(fd, 0));
	/* It is the same memory, by the other door. */
	gmem = door(self->vmm.vm, fd, BLOCK, variant->flags);
	ASSERT_GE(gmem, 0);
	ASSERT_EQ(0, vmm_bind(&self->vmm, FILE_SLOT, FILE_GPA, BLOCK, gmem, 0));
	EXPECT_EQ(7, guest_load(&self->cpu, FILE_GPA));
}

/* A file is a resource, with what it has. It must be open for reading and writing. */
TEST_F(gmem, of_a_file)
{
	const char *path = pool_path(&self->p, "ram");
	int fd = file_make(&self->p, "ram", 2 * BLOCK), gmem, same;
	char *p = map_file(fd, 0, 2 * BLOCK);
	const int vm = self->vmm.vm;

	ASSERT_NE(MAP_FAILED, p);
	fill(p, 2 * BLOCK, 1);
	EXPECT_EQ(EINVAL, ERR(door(vm, fd, BLOCK, variant->flags)));
	EXPECT_EQ(EINVAL, ERR(door(vm, fd, 2 * BLOCK + PAGE, variant->flags)));
	EXPECT_EQ(EACCES, ERR(door(vm, open(path, O_RDONLY), 2 * BLOCK, variant->flags)));
	EXPECT_EQ(EACCES, ERR(door(vm, open(path, O_WRONLY), 2 * BLOCK, variant->flags)));
	EXPECT_EQ(EBADF, ERR(door(vm, open(path, O_PATH), 2 * BLOCK, variant->flags)));
	/* None of these has set the initial character. */
	EXPECT_EQ(0, gmem_state(fd, 0) & PRIVATE);
	gmem = door(vm, fd, 2 * BLOCK, variant->flags);
	ASSERT_GE(gmem, 0);
	EXPECT_EQ(variant->state | ALLOCATED, gmem_state(fd, 0));
	EXPECT_EQ(EEXIST, ERR(door(vm, fd, 2 * BLOCK, variant->flags ^ INIT_SHARED)));
	/* Both doors lead to the same file. A descriptor is not a file. */
	same = gmem_create(fd, vm, variant->flags);
	EXPECT_LE(0, same);
	EXPECT_EQ(EINVAL, ERR(door(vm, gmem, 2 * BLOCK, variant->flags)));
	EXPECT_EQ(EINVAL, ERR(door(vm, same, 2 * BLOCK, variant->flags)));
	ASSERT_EQ(0, vmm_bind(&self->vmm, FILE_SLOT, FILE_GPA, 2 * BLOCK, gmem, 0));
	EXPECT_EQ(VCPU_DONE, guest_check(&self->cpu, FILE_GPA, 2 * BLOCK, 1));
	/* A size that is not a number of whole pages is not one that KVM takes. */
	ASSERT_EQ(0, ftruncate(fd, 2 * BLOCK + 1));
	EXPECT_EQ(EINVAL, ERR(door(vm, fd, 2 * BLOCK + 1, variant->flags)));
	EXPECT_EQ(EINVAL, ERR(door(vm, fd, 2 * BLOCK + PAGE, variant->flags)));
}

/* The flags are those of KVM, and mean the same for machines of all types. */
TEST_F(gmem, flags)
{
	static const uint64_t flags[] = {
		0, GUEST_MEMFD_FLAG_MMAP, GUEST_MEMFD_FLAG_INIT_SHARED,
		GUEST_MEMFD_FLAG_MMAP | GUEST_MEMFD_FLAG_INIT_SHARED,
	};
	int dir = open(self->p.dir, O_PATH), i;

	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		bool shared = flags[i] & GUEST_MEMFD_FLAG_INIT_SHARED;
		int gmem = door(self->vmm.vm, dir, PAGE, flags[i]);
		char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, gmem, 0);

		ASSERT_GE(gmem, 0);
		EXPECT_EQ(shared ? 0 : PRIVATE, gmem_state(gmem, 0));
		if (flags[i] & GUEST_MEMFD_FLAG_MMAP) {
			ASSERT_NE(MAP_FAILED, p);
			EXPECT_EQ(shared ? 0 : FAULT(SIGBUS), peek(p));
			munmap(p, PAGE);
		} else {
			EXPECT_EQ(MAP_FAILED, p);
		}
		close(gmem);
	}
}

/* What is refused leaves nothing behind: no file, no descriptor. */
TEST_F(gmem, refused)
{
	int dir = open(self->p.dir, O_PATH), fd = file_make(&self->p, "ram", BLOCK);
	struct kvm_create_guest_memfd own = { .size = PAGE };
	const struct {
		struct kvm_create_guest_memfd arg;
		int err;
	} cases[] = {
		{ { 0,		0,			dir },			EINVAL },
		{ { 1,		0,			dir },			EINVAL },
		{ { PAGE - 1,	0,			dir },			EINVAL },
		{ { PAGE + 1,	0,			dir },			EINVAL },
		{ { -PAGE,	0,			dir },			EINVAL },
		{ { 1ULL << 63,	0,			dir },			EINVAL },
		{ { 1ULL << 62,	0,			dir },			EFBIG },
		{ { PAGE,	1ULL << 3,		dir },			EINVAL },
		{ { PAGE,	GUESTMEMFS_GMEM_EXIT_MISSING, dir },		EINVAL },
		{ { PAGE,	1ULL << 32,		dir },			EINVAL },
		{ { PAGE,	1ULL << 63,		dir },			EINVAL },
		{ { PAGE,	0,			dir, 1 },		EINVAL },
		{ { PAGE,	0,			dir, 0, { 1 } },	EINVAL },
		{ { PAGE,	0,			dir, 0, { [4] = 1ULL << 63 } }, EINVAL },
		{ { PAGE,	0,			-1 },			EBADF },
		{ { PAGE,	0,			INT32_MAX },		EBADF },
		{ { PAGE,	0,			9999 },			EBADF },
		{ { PAGE,	0,			memfd_create("ram", 0) }, EINVAL },
		{ { PAGE,	0,			open("/dev/null", O_RDWR) }, EINVAL },
		{ { PAGE,	0,			open("/", O_PATH) },	EINVAL },
		{ { PAGE,	0,			open("/proc", O_RDONLY) }, EINVAL },
		{ { PAGE,	0,			self->vmm.vm },		EINVAL },
		{ { PAGE,	0,			self->vmm.kvm },	EINVAL },
		{ { PAGE,	0,			ioctl(self->vmm.vm, KVM_CREATE_GUEST_MEMFD,
							      &own) },		EINVAL },
	};
	const uint64_t inodes = free_inodes(&self->p);
	int next = dup(0), i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct kvm_create_guest_memfd arg = cases[i].arg;

		arg.flags |= GUEST_MEMFD_FLAG_USE_RESOURCE;
		EXPECT_EQ(cases[i].err, ERR(ioctl(self->vmm.vm, KVM_CREATE_GUEST_MEMFD, &arg)))
			TH_LOG("case %d", i);
		EXPECT_EQ(inodes, free_inodes(&self->p));
	}
	close(next);
	EXPECT_EQ(next, dup(0));
	EXPECT_EQ(0, gmem_state(fd, 0));
	/* Without the flag the field is reserved, and the memory KVM's own. */
	own.resource_fd = dir;
	i = ioctl(self->vmm.vm, KVM_CREATE_GUEST_MEMFD, &own);
	ASSERT_GE(i, 0);
	EXPECT_EQ(-ENOTTY, gmem_state(i, 0));
	EXPECT_EQ(inodes, free_inodes(&self->p));
}

/* A directory has to be writable, as for O_TMPFILE, however its descriptor was opened. */
TEST_F(gmem, permission)
{
	int dir = open(self->p.dir, O_PATH), ro, gmem;
	const uint64_t inodes = free_inodes(&self->p);
	struct rlimit limit;
	struct stat st;

	ASSERT_EQ(0, chmod(self->p.dir, 0755));
	ASSERT_EQ(0, seteuid(NOBODY));
	EXPECT_EQ(EACCES, ERR(door(self->vmm.vm, dir, PAGE, variant->flags)));
	ASSERT_EQ(0, seteuid(0));
	ASSERT_EQ(0, chmod(self->p.dir, 0777));
	ASSERT_EQ(0, seteuid(NOBODY));
	gmem = door(self->vmm.vm, dir, PAGE, variant->flags);
	ASSERT_EQ(0, seteuid(0));
	ASSERT_GE(gmem, 0);
	ASSERT_EQ(0, fstat(gmem, &st));
	EXPECT_EQ(NOBODY, st.st_uid);
	close(gmem);
	/* No descriptor is free: nothing was made. */
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &limit));
	limit.rlim_cur = 3;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	EXPECT_EQ(EMFILE, ERR(door(self->vmm.vm, dir, PAGE, variant->flags)));
	limit.rlim_cur = limit.rlim_max;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	/* A mount that is read-only, of a filesystem that is not. */
	ASSERT_EQ(0, ERR(mount(self->p.dir, self->p.dir, NULL, MS_BIND, NULL)));
	EXPECT_EQ(0, ERR(mount(NULL, self->p.dir, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL)));
	ro = open(self->p.dir, O_PATH);
	EXPECT_EQ(EROFS, ERR(door(self->vmm.vm, ro, PAGE, variant->flags)));
	close(ro);
	EXPECT_EQ(0, ERR(umount(self->p.dir)));
	EXPECT_EQ(inodes, free_inodes(&self->p));
}

/* The descriptor is for the machine that made it. */
TEST_F(gmem, of_one_machine)
{
	int dir = open(self->p.dir, O_PATH), gmem, theirs;
	struct vmm other;

	ASSERT_EQ(0, vmm_make(&other, variant->type));
	gmem = door(self->vmm.vm, dir, BLOCK, variant->flags);
	theirs = door(other.vm, dir, BLOCK, variant->flags);
	ASSERT_GE(gmem, 0);
	ASSERT_GE(theirs, 0);
	EXPECT_EQ(EINVAL, ERR(vmm_bind(&other, FILE_SLOT, FILE_GPA, BLOCK, gmem, 0)));
	EXPECT_EQ(EINVAL, ERR(vmm_bind(&self->vmm, FILE_SLOT, FILE_GPA, BLOCK, theirs, 0)));
	EXPECT_EQ(0, ERR(vmm_bind(&self->vmm, FILE_SLOT, FILE_GPA, BLOCK, gmem, 0)));
	EXPECT_EQ(0, ERR(vmm_bind(&other, FILE_SLOT, FILE_GPA, BLOCK, theirs, 0)));
	vmm_close(&other);
}

TEST_HARNESS_MAIN
