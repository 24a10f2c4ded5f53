// SPDX-License-Identifier: GPL-2.0-only
/*
 * Code that the tests of all folders use: pools, files, mappings, faults.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util.h"

/* How often, and after how long, pool_teardown() looks again. */
#define LATE_TRIES	200
#define LATE_US		10000

/* Mounts the pool of a node. A negative node mounts without node=, for a machine with one pool. */
int pool_mount_at(int node, const char *path, unsigned long flags)
{
	char options[32] = "";

	if (node >= 0)
		snprintf(options, sizeof(options), "node=%d", node);
	return mount("guestmemfs", path, "guestmemfs", flags, options);
}

/* Stores the nodes that have a pool, in ascending order. Returns their number. */
int pool_nodes(int *nodes)
{
	char path[] = "/tmp/guestmemfs-XXXXXX";
	int nr = 0, node;

	if (!mkdtemp(path))
		return 0;
	for (node = 0; node < MAX_POOLS; node++) {
		char sysfs[64];

		/*
		 * Skip nodes that do not exist: the kernel logs each mount of a pool that is not
		 * there.
		 */
		snprintf(sysfs, sizeof(sysfs), "/sys/devices/system/node/node%d", node);
		if (access(sysfs, F_OK) || pool_mount_at(node, path, 0))
			continue;
		umount(path);
		nodes[nr++] = node;
	}
	rmdir(path);
	return nr;
}

uint64_t pool_free_blocks(const struct pool *p)
{
	struct statfs st;

	return statfs(p->mnt, &st) ? 0 : st.f_bfree;
}

uint64_t pool_sysfs(const struct pool *p, const char *name)
{
	uint64_t value = UINT64_MAX;
	char path[320];
	FILE *f;

	snprintf(path, sizeof(path), "/sys/fs/guestmemfs/node%d/%s", p->node, name);
	f = fopen(path, "r");
	if (!f)
		return UINT64_MAX;
	if (fscanf(f, "%lu", &value) != 1)
		value = UINT64_MAX;
	fclose(f);
	return value;
}

bool pool_setup(struct pool *p, int node)
{
	struct statfs st;

	p->node = node;
	snprintf(p->base, sizeof(p->base), "/tmp/guestmemfs-XXXXXX");
	if (!mkdtemp(p->base))
		return false;
	snprintf(p->mnt, sizeof(p->mnt), "%s/mnt", p->base);
	snprintf(p->dir, sizeof(p->dir), "%s/%s", p->mnt, strrchr(p->base, '/') + 1);
	if (mkdir(p->mnt, 0700) || pool_mount_at(node, p->mnt, 0) || statfs(p->mnt, &st))
		return false;
	p->free_blocks = st.f_bfree;
	p->reserved_blocks = st.f_bfree - st.f_bavail;
	p->free_inodes = st.f_ffree;
	return !mkdir(p->dir, 0755);
}

int pool_remount(const struct pool *p)
{
	return umount(p->mnt) ? -1 : pool_mount_at(p->node, p->mnt, 0);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

/* Unmounts all that a failed test has left mounted over the pool or beside it. */
static void unmount_rest(const struct pool *p)
{
	char line[4096], last[4096], dir[4096];

	do {
		FILE *mounts = fopen("/proc/self/mounts", "r");

		last[0] = 0;
		while (mounts && fgets(line, sizeof(line), mounts))
			if (sscanf(line, "%*s %4095s", dir) == 1 &&
			    !strncmp(dir, p->base, strlen(p->base)))
				memcpy(last, dir, sizeof(last));
		if (mounts)
			fclose(mounts);
	} while (last[0] && !umount2(last, MNT_DETACH));
}

/* Returns how the pool differs from what it was at the beginning of the test, or NULL. */
static const char *pool_differs(const struct pool *p)
{
	struct statfs st;

	if (statfs(p->mnt, &st))
		return "no statfs";
	if (st.f_bfree != p->free_blocks)
		return "blocks are lost";
	if (st.f_bfree - st.f_bavail != p->reserved_blocks)
		return "blocks stay reserved";
	return st.f_ffree != p->free_inodes ? "inodes are lost" : NULL;
}

/*
 * Removes all files that the test has made. Returns a description of what is wrong with the pool
 * after that, or NULL. A kernel thread that was the last user of the test's memory, as that of a
 * vDPA device, closes mapped files a little later, by a workqueue: wait for that.
 */
const char *pool_teardown(struct pool *p)
{
	const char *wrong;
	int i, busy;

	mount(NULL, p->mnt, NULL, MS_REMOUNT, NULL);
	nftw(p->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	for (i = 0; (wrong = pool_differs(p)) && i < LATE_TRIES; i++)
		usleep(LATE_US);
	while ((busy = umount(p->mnt)) && errno == EBUSY && i++ < LATE_TRIES)
		usleep(LATE_US);
	if (busy)
		wrong = "still in use";
	unmount_rest(p);
	nftw(p->base, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	return wrong;
}

/* Returns a path in the test's directory, valid until the second call after this one. */
const char *pool_path(const struct pool *p, const char *name)
{
	static char paths[2][4096];
	static int which;

	which = !which;
	snprintf(paths[which], sizeof(paths[which]), "%s/%s", p->dir, name);
	return paths[which];
}

/* Makes a directory beside the test's own mount, as a mount point. */
int pool_place(const struct pool *p, char *path, size_t room)
{
	snprintf(path, room, "%s/other", p->base);
	return mkdir(path, 0700);
}

/* Makes a new file of this size. */
int file_make(const struct pool *p, const char *name, off_t size)
{
	int fd = open(pool_path(p, name), O_RDWR | O_CREAT | O_EXCL, 0644);

	if (fd >= 0 && size && ftruncate(fd, size)) {
		close(fd);
		return -1;
	}
	return fd;
}

uint64_t file_sectors(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? UINT64_MAX : st.st_blocks;
}

/*
 * Allocates all blocks of a file and leaves most of them unzeroed, for files that are larger than
 * the memory of the machine's host. A fatal signal ends the zeroing and not the allocation.
 */
bool file_allocate_unzeroed(int fd, off_t size)
{
	pid_t child = fork();
	int i;

	if (child < 0)
		return false;
	if (!child) {
		fallocate(fd, 0, 0, size);
		_exit(0);
	}
	for (i = 0; i < 1000 && file_sectors(fd) != (uint64_t)size / 512; i++)
		usleep(1000);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	return file_sectors(fd) == (uint64_t)size / 512;
}

/* Returns the physical address of a page of a file, UINT64_MAX if it has no memory. */
uint64_t file_phys(int fd, uint64_t offset)
{
	struct {
		struct fiemap map;
		struct fiemap_extent extent;
	} f = {
		.map = { .fm_start = offset, .fm_length = PAGE, .fm_extent_count = 1 },
	};

	if (ioctl(fd, FS_IOC_FIEMAP, &f) || f.map.fm_mapped_extents != 1)
		return UINT64_MAX;
	return f.extent.fe_physical + (offset - f.extent.fe_logical);
}

/* Maps without a reservation: a fault takes free blocks, and a file may be larger than its pool. */
void *map_file(int fd, off_t offset, size_t len)
{
	return mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, offset);
}

/* Maps with a reservation of all blocks that the file may have in this range. */
void *map_reserved(int fd, off_t offset, size_t len)
{
	return mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);
}

/* Like map_file(), at this address, which the caller has reserved. */
void *map_at(void *addr, int fd, off_t offset, size_t len)
{
	return mmap(addr, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd,
		    offset);
}

/* Like map_reserved(), at this address, which the caller has reserved. */
void *map_reserved_at(void *addr, int fd, off_t offset, size_t len)
{
	return mmap(addr, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, offset);
}

/* Reserves an aligned area of address space, with @align unused bytes after it. */
void *reserve(size_t len, size_t align)
{
	char *p = mmap(NULL, len + 2 * align, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return p;
	return (void *)(((uintptr_t)p + align - 1) & ~(align - 1));
}

static __thread sigjmp_buf fault_jump;
static __thread int fault_expected;

static void expect_fault(int yes)
{
	/* The fences keep the compiler from moving the store across the access. */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	__atomic_store_n(&fault_expected, yes, __ATOMIC_SEQ_CST);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static void on_fault(int sig)
{
	if (__atomic_load_n(&fault_expected, __ATOMIC_SEQ_CST))
		siglongjmp(fault_jump, sig);
	/*
	 * No fault is expected here: with the default action the instruction faults again and ends
	 * the test.
	 */
	signal(sig, SIG_DFL);
}

/* Makes peek() and poke() of this process report faults from now on. */
void catch_faults(void)
{
	struct sigaction action = { .sa_handler = on_fault, .sa_flags = SA_NODEFER };

	sigaction(SIGBUS, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
}

/* Reads a byte. Returns the byte, or FAULT() of the signal that the read got. */
int peek(const void *p)
{
	int value, sig = sigsetjmp(fault_jump, 0);

	if (sig) {
		expect_fault(0);
		return FAULT(sig);
	}
	expect_fault(1);
	value = __atomic_load_n((const unsigned char *)p, __ATOMIC_RELAXED);
	expect_fault(0);
	return value;
}

/* Writes a byte. Returns 0, or FAULT() of the signal that the write got. */
int poke(void *p, unsigned char value)
{
	int sig = sigsetjmp(fault_jump, 0);

	if (sig) {
		expect_fault(0);
		return FAULT(sig);
	}
	expect_fault(1);
	__atomic_store_n((unsigned char *)p, value, __ATOMIC_RELAXED);
	expect_fault(0);
	return 0;
}

/* Returns the number of page faults that this process has had. */
long nr_faults(void)
{
	struct rusage usage;

	return getrusage(RUSAGE_SELF, &usage) ? -1 : usage.ru_minflt + usage.ru_majflt;
}

/* Returns how many faults it takes to read each block, -1 if a read gets a signal. */
long faults_of(const void *p, size_t len)
{
	long before;
	size_t i;

	/* Run this code once before the count begins, so that its own pages are present. */
	peek(p);
	nr_faults();
	before = nr_faults();
	for (i = 0; i < len; i += BLOCK)
		if (peek((const char *)p + i) < 0)
			return -1;
	return nr_faults() - before;
}

/* Fills a range with words that depend on their place, so that exchanged blocks are noticed. */
void fill(void *p, size_t len, uint64_t seed)
{
	uint64_t *word = p;
	size_t i;

	for (i = 0; i < len / sizeof(*word); i++)
		word[i] = (seed << 40) + i + 1;
}

bool is_filled(const void *p, size_t len, uint64_t seed)
{
	const uint64_t *word = p;
	size_t i;

	for (i = 0; i < len / sizeof(*word); i++)
		if (word[i] != (seed << 40) + i + 1)
			return false;
	return true;
}

bool is_zero(const void *p, size_t len)
{
	const unsigned char *byte = p;

	for (; len && (uintptr_t)byte % sizeof(uint64_t); len--)
		if (*byte++)
			return false;
	for (; len >= 8 * sizeof(uint64_t); len -= 8 * sizeof(uint64_t)) {
		const uint64_t *w = (const uint64_t *)byte;

		if (w[0] | w[1] | w[2] | w[3] | w[4] | w[5] | w[6] | w[7])
			return false;
		byte += 8 * sizeof(uint64_t);
	}
	for (; len; len--)
		if (*byte++)
			return false;
	return true;
}
