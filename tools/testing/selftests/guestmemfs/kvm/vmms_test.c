// SPDX-License-Identifier: GPL-2.0-only
/*
 * The system calls by which Cloud Hypervisor, crosvm, Firecracker and vhost-user devices open, map
 * and change a file with guest memory, in their order and with their flags; and what each of them
 * expects. Documentation/filesystems/guestmemfs.rst, "VMMs", has the table that this test is for.
 * The demo and VM tests run QEMU itself.
 *
 * The calls are those of these sources, read in November 2026:
 *
 * Cloud Hypervisor ae44c2971c83 (54.0-dev; v53.0 opens and maps in the same way)
 *	vmm/src/memory_manager.rs	memory_zone_get_align_size(), open_backing_file(),
 *					create_ram_region_raw(), create_userspace_mapping(),
 *					memory_range_table(), prepare_uffd()
 *	vmm/src/sparse.rs		next_data_extent(), write_region_sparse()
 *	virtio-devices/src/balloon.rs	release_memory_range(), process_queue()
 * vm-memory 0.18.0
 *	src/mmap/unix.rs		build(), from_file(): no look at the size of the file
 * vhost 4e217d992c57
 *	vhost/src/vhost_user/message.rs	mmap_region()
 * crosvm f1e797a68dad
 *	vm_memory/src/guest_memory.rs	new_with_options(), new_from_file(), snapshot(), restore()
 *	vm_memory/src/guest_memory/sys/linux.rs
 *					open(), remove_range(), set_memory_policy()
 *	base/src/sys/linux/mmap.rs	try_mmap_populate()
 *	base/src/sys/linux/file.rs	find_next_data()
 * Firecracker 81b38b9dad60 (1.17.0-dev)
 *	src/vmm/src/vstate/memory.rs	allocate_protected(), allocate(), snapshot_file(),
 *					memfd_backed()
 *	src/vmm/src/vstate/vm.rs	snapshot_memory_to_file()
 *	src/vmm/src/devices/virtio/pmem/device.rs
 *					new(), process_queue()
 *
 * Rust opens every file with O_CLOEXEC.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "harness.h"
#include "userfault.h"
#include "util.h"
#include "vmm.h"

#define PUNCH		(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define RW		(PROT_READ | PROT_WRITE)

/* Guest memory in two parts, as below and above the hole for devices below 4 GiB. */
#define LOW_SLOT	1
#define LOW_GPA		GIB
#define LOW_SIZE	(2 * BLOCK)
#define HIGH_SLOT	2
#define HIGH_GPA	(4 * GIB)
#define HIGH_SIZE	(4 * BLOCK)
#define RAM_SIZE	(LOW_SIZE + HIGH_SIZE)

FIXTURE(vmms)
{
	int nr;
	struct pool p;
	struct vmm vmm;
	struct vcpu cpu;
};

static int start_machine(struct vmm *vmm, struct vcpu *cpu)
{
	return vmm_make(vmm, KVM_X86_DEFAULT_VM) ? -1 : vcpu_make(vmm, cpu, 0);
}

static void end_machine(struct vmm *vmm, struct vcpu *cpu)
{
	vcpu_close(cpu);
	vmm_close(vmm);
}

FIXTURE_SETUP(vmms)
{
	int nodes[MAX_POOLS];

	self->nr = pool_nodes(nodes);
	if (!self->nr)
		SKIP(return, "no pool on this machine");
	ASSERT_TRUE(pool_setup(&self->p, nodes[0]));
	catch_faults();
	if (!vmm_has_type(KVM_X86_DEFAULT_VM))
		SKIP(return, "no /dev/kvm");
	ASSERT_EQ(0, start_machine(&self->vmm, &self->cpu));
}

FIXTURE_TEARDOWN_PARENT(vmms)
{
	if (self->nr)
		EXPECT_STREQ("", pool_teardown(&self->p) ?: "");
}

/* All three VMMs use the old ioctl for machines without private memory. */
static int add_slot(const struct vmm *v, int slot, uint32_t flags, uint64_t gpa, void *p,
		    size_t len)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = len,
		.userspace_addr = (uintptr_t)p,
	};

	return ERR(ioctl(v->vm, KVM_SET_USER_MEMORY_REGION, &region));
}

/* KSM is a matter of the kernel's configuration. */
static bool is_advice_of_ksm(void *p, size_t len)
{
	int err = ERR(madvise(p, len, MADV_MERGEABLE));

	return !err || err == EINVAL;
}

/* Options of --memory-zone, besides shared=on. */
#define CH_RESERVE	1
#define CH_PREFAULT	2
#define CH_MERGEABLE	4

/*
 * Cloud Hypervisor opens the file once for each part, and gives no address. It would only warn of
 * an error of MADV_HUGEPAGE, MADV_DONTDUMP or MADV_MERGEABLE; any other error ends it.
 */
static char *ch_region(struct __test_metadata *_metadata, const struct vmm *v, const char *path,
		       off_t offset, int slot, uint64_t gpa, size_t len, int options)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	struct statfs fs;
	char *p;

	/* The size of parts, and the unit of a post-copy migration, come from f_bsize. */
	EXPECT_EQ(0, statfs(path, &fs));
	EXPECT_EQ(BLOCK, fs.f_bsize);
	ASSERT_GE(fd, 0);
	p = mmap(NULL, len, RW, MAP_SHARED | (options & CH_RESERVE ? 0 : MAP_NORESERVE), fd,
		 offset);
	ASSERT_NE(MAP_FAILED, p);
	/* The address allows entries as large as the file has. */
	EXPECT_EQ(0, ((uintptr_t)p - offset) % BLOCK);
	if (options & CH_PREFAULT)
		EXPECT_EQ(0, madvise(p, len, MADV_POPULATE_WRITE));
	EXPECT_EQ(0, madvise(p, len, MADV_HUGEPAGE));
	ASSERT_EQ(0, add_slot(v, slot, 0, gpa, p, len));
	EXPECT_EQ(0, madvise(p, len, MADV_DONTDUMP));
	if (options & CH_MERGEABLE)
		EXPECT_TRUE(is_advice_of_ksm(p, len));
	close(fd);
	return p;
}

static void ch_zone(struct __test_metadata *_metadata, const struct vmm *v, const char *path,
		    int options, char **low, char **high)
{
	*low = ch_region(_metadata, v, path, 0, LOW_SLOT, LOW_GPA, LOW_SIZE, options);
	*high = ch_region(_metadata, v, path, LOW_SIZE, HIGH_SLOT, HIGH_GPA, HIGH_SIZE, options);
}

/* Red if open flags, f_bsize, an advice or the second part of a file is refused. */
TEST_F(vmms, cloud_hypervisor_starts)
{
	int fd = file_make(&self->p, "zone", RAM_SIZE);
	const char *path = pool_path(&self->p, "zone");
	char *low, *high;

	ch_zone(_metadata, &self->vmm, path, CH_MERGEABLE, &low, &high);
	/* With MAP_NORESERVE it reserves nothing, and nothing is allocated yet. */
	EXPECT_EQ(0, pool_sysfs(&self->p, "reserved"));
	EXPECT_EQ(0, file_sectors(fd));
	EXPECT_EQ(VCPU_DONE, guest_fill(&self->cpu, LOW_GPA, LOW_SIZE, 1));
	EXPECT_EQ(VCPU_DONE, guest_fill(&self->cpu, HIGH_GPA, HIGH_SIZE, 2));
	EXPECT_TRUE(is_filled(low, LOW_SIZE, 1));
	EXPECT_TRUE(is_filled(high, HIGH_SIZE, 2));
}

/* Red if reserve=on reserves nothing, or prefault=on leaves memory to be allocated later. */
TEST_F(vmms, cloud_hypervisor_gets_its_memory)
{
	uint64_t size = (self->p.free_blocks + 1) * BLOCK;
	int fd = file_make(&self->p, "zone", RAM_SIZE), large = file_make(&self->p, "large", size);
	const char *path = pool_path(&self->p, "zone");
	char *low, *high;

	ch_zone(_metadata, &self->vmm, path, CH_RESERVE, &low, &high);
	EXPECT_EQ(RAM_SIZE, pool_sysfs(&self->p, "reserved"));
	EXPECT_EQ(0, file_sectors(fd));
	EXPECT_EQ(ENOMEM, ERR(mmap(NULL, size, RW, MAP_SHARED, large, 0)));
	EXPECT_EQ(0, vmm_remove(&self->vmm, LOW_SLOT));
	EXPECT_EQ(0, vmm_remove(&self->vmm, HIGH_SLOT));
	munmap(low, LOW_SIZE);
	munmap(high, HIGH_SIZE);
	EXPECT_EQ(0, pool_sysfs(&self->p, "reserved"));
	ch_zone(_metadata, &self->vmm, path, CH_PREFAULT, &low, &high);
	EXPECT_EQ(RAM_SIZE / BLOCK * BLOCK_SECTORS, file_sectors(fd));
}

/*
 * Cloud Hypervisor does not change the size of the file, nor look at it. Red if a file that is too
 * small does more than to end the guest that needs the rest of it.
 */
TEST_F(vmms, cloud_hypervisor_needs_a_sized_file)
{
	int fd = file_make(&self->p, "zone", 0);
	const char *path = pool_path(&self->p, "zone");
	char *low, *high;

	ch_zone(_metadata, &self->vmm, path, 0, &low, &high);
	EXPECT_EQ(VCPU_NO_MEMORY, guest_fill(&self->cpu, LOW_GPA, PAGE, 1));
	/* With prefault=on it does not start. */
	EXPECT_EQ(EFAULT, ERR(madvise(low, LOW_SIZE, MADV_POPULATE_WRITE)));
	ASSERT_EQ(0, ftruncate(fd, RAM_SIZE));
	EXPECT_EQ(VCPU_DONE, guest_fill(&self->cpu, HIGH_GPA, HIGH_SIZE, 1));
}

/* Without shared=on it does not start. Red if the guest would get a copy of the memory. */
TEST_F(vmms, cloud_hypervisor_needs_shared)
{
	int fd = file_make(&self->p, "zone", RAM_SIZE);

	close(fd);
	fd = open(pool_path(&self->p, "zone"), O_RDONLY | O_CLOEXEC);
	ASSERT_GE(fd, 0);
	EXPECT_EQ(EINVAL, ERR(mmap(NULL, LOW_SIZE, RW, MAP_PRIVATE | MAP_NORESERVE, fd, 0)));
}

/* Reads the extent that holds @offset, as a VMM does. Returns an errno, and the part. */
static int next_data(int fd, off_t offset, off_t *begin, off_t *end)
{
	*begin = lseek(fd, offset, SEEK_DATA);
	if (*begin < 0)
		return errno;
	*end = lseek(fd, *begin, SEEK_HOLE);
	return *end < 0 ? errno : 0;
}

/*
 * A snapshot leaves out a zone whose file has a name, and a restore maps the file again. Red if a
 * named file has no links, or if the guest does not find its memory again.
 */
TEST_F(vmms, cloud_hypervisor_snapshot)
{
	int fd = file_make(&self->p, "zone", RAM_SIZE);
	const char *path = pool_path(&self->p, "zone");
	char *low, *high, byte;
	struct stat st;

	ch_zone(_metadata, &self->vmm, path, 0, &low, &high);
	EXPECT_EQ(VCPU_DONE, guest_fill(&self->cpu, LOW_GPA, LOW_SIZE, 1));
	EXPECT_EQ(VCPU_DONE, guest_fill(&self->cpu, HIGH_GPA, HIGH_SIZE, 2));
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(1, st.st_nlink);
	end_machine(&self->vmm, &self->cpu);
	munmap(low, LOW_SIZE);
	munmap(high, HIGH_SIZE);
	ASSERT_EQ(0, start_machine(&self->vmm, &self->cpu));
	ch_zone(_metadata, &self->vmm, path, 0, &low, &high);
	EXPECT_EQ(VCPU_DONE, guest_check(&self->cpu, LOW_GPA, LOW_SIZE, 1));
	EXPECT_EQ(VCPU_DONE, guest_check(&self->cpu, HIGH_GPA, HIGH_SIZE, 2));
	/* Of a file without a name it reads the extents, and the snapshot fails. */
	ASSERT_EQ(0, unlink(path));
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(0, st.st_nlink);
	EXPECT_EQ(EINVAL, ERR(pread(fd, &byte, 1, 0)));
}

/* Passes a descriptor over a socket, as in a migration on one host and to vhost-user devices. */
static int pass(int fd)
{
	char byte = 0, control[CMSG_SPACE(sizeof(int))] = {};
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr m = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	int sockets[2], passed = -1;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets))
		return -1;
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	if (sendmsg(sockets[0], &m, 0) == 1 && recvmsg(sockets[1], &m, MSG_CMSG_CLOEXEC) == 1)
		memcpy(&passed, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(int));
	close(sockets[0]);
	close(sockets[1]);
	return passed;
}

/* Red if a migration cannot tell what to send, or the log lacks a page. */
TEST_F(vmms, cloud_hypervisor_migration)
{
	int fd = file_make(&self->p, "zone", RAM_SIZE);
	const char *path = pool_path(&self->p, "zone");
	uint64_t bits[HIGH_SIZE / PAGE / 64] = {};
	struct kvm_dirty_log log = { .slot = HIGH_SLOT, .dirty_bitmap = bits };
	char *low, *high, *again;
	off_t begin, end;
	int passed;

	ch_zone(_metadata, &self->vmm, path, 0, &low, &high);
	EXPECT_EQ(VCPU_DONE, guest_fill(&self->cpu, HIGH_GPA + BLOCK, BLOCK, 1));
	/* To another host it sends the extents of each part, and then the pages of the log. */
	EXPECT_EQ(0, next_data(fd, LOW_SIZE, &begin, &end));
	EXPECT_EQ(LOW_SIZE + BLOCK, begin);
	EXPECT_EQ(begin + BLOCK, end);
	EXPECT_EQ(ENXIO, next_data(fd, end, &begin, &end));
	EXPECT_EQ(0, add_slot(&self->vmm, HIGH_SLOT, KVM_MEM_LOG_DIRTY_PAGES, HIGH_GPA, high,
			      HIGH_SIZE));
	EXPECT_EQ(VCPU_DONE, guest_store(&self->cpu, HIGH_GPA + 3 * PAGE, 1));
	EXPECT_EQ(0, ioctl(self->vmm.vm, KVM_GET_DIRTY_LOG, &log));
	EXPECT_EQ(1UL << 3, bits[0]);
	/* On the same host it passes the descriptors. */
	passed = pass(fd);
	ASSERT_GE(passed, 0);
	again = mmap(NULL, HIGH_SIZE, RW, MAP_SHARED | MAP_NORESERVE, passed, LOW_SIZE);
	ASSERT_NE(MAP_FAILED, again);
	end_machine(&self->vmm, &self->cpu);
	ASSERT_EQ(0, start_machine(&self->vmm, &self->cpu));
	ASSERT_EQ(0, add_slot(&self->vmm, HIGH_SLOT, 0, HIGH_GPA, again, HIGH_SIZE));
	EXPECT_EQ(VCPU_DONE, guest_check(&self->cpu, HIGH_GPA + BLOCK, BLOCK, 1));
}

/* Faults are resolved in units of f_bsize. Red if a mapping is not registered like one of tmpfs. */
TEST_F(vmms, cloud_hypervisor_postcopy)
{
	const uint64_t missing = 1UL << _UFFDIO_WAKE | 1UL << _UFFDIO_COPY |
				 1UL << _UFFDIO_ZEROPAGE;
	int fd = file_make(&self->p, "zone", RAM_SIZE);
	const char *path = pool_path(&self->p, "zone");
	struct uffd u;
	char *source, *low, *high;

	if (!uffd_open(&u, UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MINOR_SHMEM))
		SKIP(return, "no userfaultfd");
	source = mmap(NULL, HIGH_SIZE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, source);
	fill(source, HIGH_SIZE, 1);
	ch_zone(_metadata, &self->vmm, path, 0, &low, &high);
	/* On the same host it waits for pages that the source writes to the file, too. */
	EXPECT_EQ(0, uffd_register(&u, low, LOW_SIZE, UFFDIO_REGISTER_MODE_MISSING |
						      UFFDIO_REGISTER_MODE_MINOR));
	EXPECT_TRUE(u.ioctls & 1UL << _UFFDIO_CONTINUE);
	EXPECT_EQ(0, uffd_register(&u, high, HIGH_SIZE, UFFDIO_REGISTER_MODE_MISSING));
	EXPECT_EQ(missing, u.ioctls & missing);
	ASSERT_TRUE(uffd_serve(&u, high, source, BLOCK));
	EXPECT_EQ(VCPU_DONE, guest_check(&self->cpu, HIGH_GPA, HIGH_SIZE, 1));
	uffd_stop(&u);
	EXPECT_EQ(0, uffd_errors(&u));
	EXPECT_EQ(HIGH_SIZE / BLOCK, uffd_events(&u));
	uffd_close(&u);
	EXPECT_EQ(HIGH_SIZE / BLOCK * BLOCK_SECTORS, file_sectors(fd));
}

/*
 * The balloon punches, and takes the pages out of the page tables as well. Red if one of the calls
 * fails, which would leave the memory with the guest, or if a block stays allocated.
 */
TEST_F(vmms, cloud_hypervisor_balloon)
{
	int fd = file_make(&self->p, "zone", RAM_SIZE);
	const char *path = pool_path(&self->p, "zone");
	char *low, *high;

	ch_zone(_metadata, &self->vmm, path, 0, &low, &high);
	EXPECT_EQ(VCPU_DONE, guest_fill(&self->cpu, HIGH_GPA, HIGH_SIZE, 1));
	/* A page of the balloon is zeroed, and frees nothing. */
	EXPECT_EQ(0, fallocate(fd, PUNCH, LOW_SIZE, PAGE));
	EXPECT_EQ(0, madvise(high, PAGE, MADV_DONTNEED));
	EXPECT_TRUE(is_zero(high, PAGE));
	EXPECT_EQ(HIGH_SIZE / BLOCK * BLOCK_SECTORS, file_sectors(fd));
	/* A block of free page reporting is free. */
	EXPECT_EQ(0, fallocate(fd, PUNCH, LOW_SIZE + BLOCK, BLOCK));
	EXPECT_EQ(0, madvise(high + BLOCK, BLOCK, MADV_DONTNEED));
	EXPECT_EQ((HIGH_SIZE / BLOCK - 1) * BLOCK_SECTORS, file_sectors(fd));
	/* The guest takes pages back. */
	EXPECT_EQ(0, madvise(high + BLOCK, PAGE, MADV_WILLNEED));
	EXPECT_EQ(0, guest_load(&self->cpu, HIGH_GPA + BLOCK));
	EXPECT_EQ(VCPU_DONE, guest_store(&self->cpu, HIGH_GPA + BLOCK, 5));
}

/* Devices in other processes: crosvm's reserve, rust-vmm's do not. Red if they see other bytes. */
TEST_F(vmms, vhost_user_devices)
{
	int fd = file_make(&self->p, "zone", RAM_SIZE), passed;
	const char *path = pool_path(&self->p, "zone");
	char *low, *high, *seen, *reserving;

	ch_zone(_metadata, &self->vmm, path, 0, &low, &high);
	passed = pass(fd);
	ASSERT_GE(passed, 0);
	seen = mmap(NULL, HIGH_SIZE, RW, MAP_NORESERVE | MAP_SHARED, passed, LOW_SIZE);
	ASSERT_NE(MAP_FAILED, seen);
	EXPECT_EQ(VCPU_DONE, guest_fill(&self->cpu, HIGH_GPA, HIGH_SIZE, 1));
	EXPECT_TRUE(is_filled(seen, HIGH_SIZE, 1));
	fill(seen, PAGE, 2);
	EXPECT_EQ(VCPU_DONE, guest_check(&self->cpu, HIGH_GPA, PAGE, 2));
	reserving = mmap(NULL, LOW_SIZE, RW, MAP_SHARED, passed, 0);
	ASSERT_NE(MAP_FAILED, reserving);
	EXPECT_EQ(LOW_SIZE, pool_sysfs(&self->p, "reserved"));
	EXPECT_EQ(0, madvise(reserving, LOW_SIZE, MADV_DONTFORK));
}

/* Firecracker allows vhost-user only with a memfd of its own, whose seals it sets. */

/*
 * crosvm maps a range of guest memory by --file-backed-mapping
 * path=...,addr=...,size=...,offset=...,rw,ram. F_GET_SEALS fails, and it takes the file as one
 * without seals.
 */
static char *crosvm_region(struct __test_metadata *_metadata, const struct vmm *v, int fd,
			   off_t offset, int slot, uint64_t gpa, size_t len)
{
	char *p;

	EXPECT_EQ(EINVAL, ERR(fcntl(fd, F_GET_SEALS)));
	p = mmap(NULL, len, RW, MAP_SHARED, fd, offset);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, ((uintptr_t)p - offset) % BLOCK);
	EXPECT_EQ(0, madvise(p, len, MADV_DONTDUMP));
	EXPECT_TRUE(is_advice_of_ksm(p, len));
	/* --hugepages, --lock-guest-memory and --unmap-guest-memory-on-fork */
	EXPECT_EQ(0, madvise(p, len, MADV_HUGEPAGE));
	EXPECT_EQ(0, mlock2(p, len, MLOCK_ONFAULT));
	EXPECT_EQ(0, madvise(p, len, MADV_DONTFORK));
	ASSERT_EQ(0, add_slot(v, slot, 0, gpa, p, len));
	return p;
}

/* Red if crosvm does not start, or if its balloon's two ways to free memory do not free it. */
TEST_F(vmms, crosvm)
{
	int fd = file_make(&self->p, "ram", RAM_SIZE);
	char *high;

	close(fd);
	/* With sync=true, O_SYNC. */
	fd = open(pool_path(&self->p, "ram"), O_RDWR | O_SYNC | O_CLOEXEC);
	ASSERT_GE(fd, 0);
	high = crosvm_region(_metadata, &self->vmm, fd, LOW_SIZE, HIGH_SLOT, HIGH_GPA, HIGH_SIZE);
	EXPECT_EQ(VCPU_DONE, guest_fill(&self->cpu, HIGH_GPA, HIGH_SIZE, 1));
	EXPECT_TRUE(is_filled(high, HIGH_SIZE, 1));
	EXPECT_EQ(0, madvise(high, BLOCK, MADV_REMOVE));
	EXPECT_EQ(0, fallocate(fd, PUNCH, LOW_SIZE + BLOCK, BLOCK));
	EXPECT_EQ((HIGH_SIZE / BLOCK - 2) * BLOCK_SECTORS, file_sectors(fd));
	/* They are the guest's all the same, since crosvm has reserved them. */
	EXPECT_EQ(2 * BLOCK, pool_sysfs(&self->p, "reserved"));
	EXPECT_EQ(0, guest_load(&self->cpu, HIGH_GPA));
}

/*
 * crosvm's snapshot has all of the memory, also that in files. Red if its extents, or what it
 * restores, are wrong.
 */
TEST_F(vmms, crosvm_snapshot)
{
	int fd = file_make(&self->p, "ram", HIGH_SIZE), disk;
	FILE *file = tmpfile();
	off_t begin, end;
	char *p;

	ASSERT_NE(NULL, file);
	disk = fileno(file);
	p = crosvm_region(_metadata, &self->vmm, fd, 0, HIGH_SLOT, HIGH_GPA, HIGH_SIZE);
	EXPECT_EQ(0, munlock(p, HIGH_SIZE));
	EXPECT_EQ(0, fallocate(fd, PUNCH, 0, HIGH_SIZE));
	EXPECT_EQ(VCPU_DONE, guest_fill(&self->cpu, HIGH_GPA + BLOCK, BLOCK, 1));
	EXPECT_EQ(0, next_data(fd, 0, &begin, &end));
	EXPECT_EQ(BLOCK, begin);
	EXPECT_EQ(2 * BLOCK, end);
	EXPECT_EQ(BLOCK, write(disk, p + begin, end - begin));
	EXPECT_EQ(ENXIO, next_data(fd, end, &begin, &end));
	/* The new machine's memory has something in it. */
	EXPECT_EQ(VCPU_DONE, guest_fill(&self->cpu, HIGH_GPA, HIGH_SIZE, 2));
	EXPECT_EQ(0, madvise(p, BLOCK, MADV_REMOVE));
	EXPECT_EQ(BLOCK, pread(disk, p + BLOCK, BLOCK, 0));
	EXPECT_EQ(0, madvise(p + 2 * BLOCK, HIGH_SIZE - 2 * BLOCK, MADV_REMOVE));
	EXPECT_EQ(VCPU_DONE, guest_check(&self->cpu, HIGH_GPA + BLOCK, BLOCK, 1));
	EXPECT_TRUE(is_zero(p, BLOCK));
	EXPECT_TRUE(is_zero(p + 2 * BLOCK, HIGH_SIZE - 2 * BLOCK));
	fclose(file);
}

/*
 * The memory of a Firecracker guest is anonymous or a memfd; the memory file of a snapshot is
 * mapped private, and written by write(). Red if a pool takes such a file, and the guest's changes
 * would then be in ordinary memory.
 */
TEST_F(vmms, firecracker_snapshot_is_refused)
{
	int fd = file_make(&self->p, "memory", RAM_SIZE);
	char *area;

	close(fd);
	fd = open(pool_path(&self->p, "memory"), O_RDONLY | O_CLOEXEC);
	ASSERT_GE(fd, 0);
	area = mmap(NULL, RAM_SIZE + BLOCK - PAGE, PROT_NONE,
		    MAP_PRIVATE | MAP_NORESERVE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, area);
	area = (char *)(((uintptr_t)area + BLOCK - 1) & ~(BLOCK - 1));
	EXPECT_EQ(EINVAL, ERR(mmap(area, RAM_SIZE, RW, MAP_PRIVATE | MAP_NORESERVE | MAP_FIXED, fd,
				   0)));
	close(fd);
	fd = open(pool_path(&self->p, "new"), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
	ASSERT_GE(fd, 0);
	EXPECT_EQ(0, ftruncate(fd, RAM_SIZE));
	EXPECT_EQ(EINVAL, ERR(write(fd, "", 1)));
}

/* A file as a virtio-pmem device. Red if the guest cannot use it, or if a flush of it fails. */
TEST_F(vmms, firecracker_pmem)
{
	int fd = file_make(&self->p, "pmem", HIGH_SIZE);
	struct stat st;
	char *p, *area;

	close(fd);
	fd = open(pool_path(&self->p, "pmem"), O_RDWR | O_CLOEXEC);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, fstat(fd, &st));
	ASSERT_EQ(HIGH_SIZE, st.st_size);
	p = mmap(NULL, HIGH_SIZE, RW, MAP_SHARED | MAP_NORESERVE, fd, 0);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, add_slot(&self->vmm, HIGH_SLOT, 0, HIGH_GPA, p, HIGH_SIZE));
	EXPECT_EQ(VCPU_DONE, guest_fill(&self->cpu, HIGH_GPA, HIGH_SIZE, 1));
	EXPECT_EQ(0, msync(p, HIGH_SIZE, MS_SYNC));
	/* A file whose size is no multiple of 2 MiB is mapped over ordinary memory. */
	ASSERT_EQ(0, ftruncate(fd, HIGH_SIZE - BLOCK + PAGE));
	area = mmap(NULL, HIGH_SIZE, RW, MAP_PRIVATE | MAP_NORESERVE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, area);
	EXPECT_EQ(area, mmap(area, HIGH_SIZE - BLOCK + PAGE, RW,
			     MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd, 0));
	EXPECT_TRUE(is_filled(area, HIGH_SIZE - BLOCK + PAGE, 1));
	EXPECT_TRUE(is_zero(area + HIGH_SIZE - BLOCK + PAGE, BLOCK - PAGE));
}

TEST_HARNESS_MAIN
