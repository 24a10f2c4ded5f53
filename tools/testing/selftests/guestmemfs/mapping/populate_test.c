// SPDX-License-Identifier: GPL-2.0-only
/*
 * Populating guest memory in advance: it allocates all blocks with as few entries as faults would
 * make, or reports why it cannot.
 */
#include <fcntl.h>
#include <linux/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/statfs.h>

#include "fixture.h"

#define NR	16
#define LEN	(NR * BLOCK)
#define RW	(PROT_READ | PROT_WRITE)

enum way {
	WAY_NONE,
	WAY_MAP_POPULATE,
	WAY_MAP_LOCKED,
	WAY_POPULATE_READ,
	WAY_POPULATE_WRITE,
	WAY_MLOCK,
	WAY_MLOCK_ONFAULT,
};

struct way_case {
	const char *what;
	enum way way;
	int prot;
	int err;
	bool filled;
};

static const struct way_case way_cases[] = {
	{ "nothing", WAY_NONE, RW, 0, false },
	{ "MAP_POPULATE", WAY_MAP_POPULATE, RW, 0, true },
	{ "MAP_POPULATE, to read", WAY_MAP_POPULATE, PROT_READ, 0, true },
	{ "MAP_POPULATE, to write", WAY_MAP_POPULATE, PROT_WRITE, 0, true },
	{ "MAP_POPULATE, PROT_NONE", WAY_MAP_POPULATE, PROT_NONE, 0, false },
	{ "MAP_LOCKED", WAY_MAP_LOCKED, RW, 0, true },
	{ "MADV_POPULATE_READ", WAY_POPULATE_READ, RW, 0, true },
	{ "MADV_POPULATE_READ, to read", WAY_POPULATE_READ, PROT_READ, 0, true },
	{ "MADV_POPULATE_READ, PROT_NONE", WAY_POPULATE_READ, PROT_NONE, EINVAL, false },
	{ "MADV_POPULATE_WRITE", WAY_POPULATE_WRITE, RW, 0, true },
	{ "MADV_POPULATE_WRITE, to read", WAY_POPULATE_WRITE, PROT_READ, EINVAL, false },
	{ "MADV_POPULATE_WRITE, PROT_NONE", WAY_POPULATE_WRITE, PROT_NONE, EINVAL, false },
	{ "mlock", WAY_MLOCK, RW, 0, true },
	{ "mlock, PROT_NONE", WAY_MLOCK, PROT_NONE, ENOMEM, false },
	{ "mlock2, MLOCK_ONFAULT", WAY_MLOCK_ONFAULT, RW, 0, true },
};

static char *map_way(int fd, size_t len, enum way way, int prot)
{
	int flags = MAP_SHARED | MAP_NORESERVE;

	if (way == WAY_MAP_POPULATE)
		flags |= MAP_POPULATE;
	if (way == WAY_MAP_LOCKED)
		flags |= MAP_LOCKED;
	return mmap(NULL, len, prot, flags, fd, 0);
}

static int take_way(char *p, size_t len, enum way way)
{
	switch (way) {
	case WAY_POPULATE_READ:
		return ERR(madvise(p, len, MADV_POPULATE_READ));
	case WAY_POPULATE_WRITE:
		return ERR(madvise(p, len, MADV_POPULATE_WRITE));
	case WAY_MLOCK:
		return ERR(mlock(p, len));
	case WAY_MLOCK_ONFAULT:
		return ERR(mlock2(p, len, MLOCK_ONFAULT));
	default:
		return 0;
	}
}

/* Returns how much memory of this process is counted as locked, in KiB. */
static long locked_kib(void)
{
	FILE *status = fopen("/proc/self/status", "r");
	char line[256];
	long kib = -1;

	while (status && fgets(line, sizeof(line), status))
		if (sscanf(line, "VmLck: %ld kB", &kib) == 1)
			break;
	if (status)
		fclose(status);
	return kib;
}

TEST_F(in_pool, ways)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(way_cases); i++) {
		const struct way_case *c = &way_cases[i];
		int fd = file_make(&self->p, "file", LEN);
		long faults;
		char *p;

		ASSERT_GE(fd, 0);
		p = map_way(fd, LEN, c->way, c->prot);
		ASSERT_NE(MAP_FAILED, p);
		EXPECT_EQ(c->err, take_way(p, LEN, c->way))
			TH_LOG("%s", c->what);
		EXPECT_EQ(c->filled ? NR * BLOCK_SECTORS : 0, file_sectors(fd))
			TH_LOG("%s", c->what);
		EXPECT_EQ(0, locked_kib())
			TH_LOG("%s", c->what);
		/* On x86 a mapping that is writable is readable. */
		if (c->prot != PROT_NONE) {
			faults = faults_of(p, LEN);
			EXPECT_GE(faults, c->filled ? 0 : NR - 1)
				TH_LOG("%s: %ld faults", c->what, faults);
			if (c->filled) {
				EXPECT_LT(faults, NR / 2)
					TH_LOG("%s: %ld faults", c->what, faults);
			}
		}
		munmap(p, LEN);
		close(fd);
		ASSERT_EQ(0, unlink(pool_path(&self->p, "file")));
	}
}

/* Populating a gigabyte takes at most a fault for each block, and not one for each page. */
TEST_F(in_pool, by_entries)
{
	int fd = file_make(&self->p, "file", GIB);
	long before, populated, touched;
	char *p;

	if (self->p.free_blocks < GIB / BLOCK)
		SKIP(return, "the pool is too small");
	p = map_file(fd, 0, GIB);
	ASSERT_NE(MAP_FAILED, p);
	before = nr_faults();
	ASSERT_EQ(0, madvise(p, GIB, MADV_POPULATE_WRITE));
	populated = nr_faults() - before;
	touched = faults_of(p, GIB);
	printf("# populate: %ld faults for a gigabyte, %ld after that\n", populated, touched);
	EXPECT_GE(populated, 1);
	EXPECT_LE(populated, GIB / BLOCK + 8);
	EXPECT_GE(touched, 0);
	EXPECT_LT(touched, 8);
	EXPECT_EQ(GIB / 512, file_sectors(fd));
}

/* Existing small entries do not make populating use small entries after them. */
TEST_F(in_pool, by_larger_entries)
{
	int fd = file_make(&self->p, "file", LEN);
	char *p = map_file(fd, 0, LEN);
	long before;
	int i;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, madvise(p, LEN, MADV_NOHUGEPAGE));
	for (i = 0; i < NR; i++)
		EXPECT_EQ(0, poke(p + i * BLOCK, i + 1));
	ASSERT_EQ(0, madvise(p, LEN, MADV_HUGEPAGE));
	before = nr_faults();
	ASSERT_EQ(0, madvise(p, LEN, MADV_POPULATE_WRITE));
	EXPECT_LT(nr_faults() - before, 8 * NR);
	for (i = 0; i < NR; i++)
		EXPECT_EQ(i + 1, peek(p + i * BLOCK));
}

/* Populating does not write where a protection key forbids it. */
TEST_F(in_pool, protection_key)
{
	int fd = file_make(&self->p, "file", BLOCK), key = pkey_alloc(0, PKEY_DISABLE_WRITE);
	char *p = map_file(fd, 0, BLOCK);

	if (key < 0)
		SKIP(return, "no protection keys");
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, pkey_mprotect(p, BLOCK, RW, key));
	EXPECT_EQ(EINVAL, ERR(madvise(p, BLOCK, MADV_POPULATE_WRITE)));
	EXPECT_EQ(0, file_sectors(fd));
	EXPECT_EQ(0, madvise(p, BLOCK, MADV_POPULATE_READ));
	EXPECT_EQ(BLOCK_SECTORS, file_sectors(fd));
	ASSERT_EQ(0, pkey_set(key, PKEY_DISABLE_ACCESS));
	EXPECT_EQ(EINVAL, ERR(madvise(p, BLOCK, MADV_POPULATE_READ)));
	ASSERT_EQ(0, pkey_set(key, 0));
	EXPECT_EQ(0, madvise(p, BLOCK, MADV_POPULATE_WRITE));
	munmap(p, BLOCK);
	pkey_free(key);
}

/* Populating does not change blocks that are allocated, and fills only the given range. */
TEST_F(in_pool, a_part)
{
	int fd = file_make(&self->p, "file", LEN);
	char *p = map_file(fd, 0, LEN);

	ASSERT_NE(MAP_FAILED, p);
	fill(p + 5 * BLOCK, BLOCK, 5);
	ASSERT_EQ(0, madvise(p + 4 * BLOCK + PAGE, 2 * BLOCK, MADV_POPULATE_WRITE));
	EXPECT_EQ(3 * BLOCK_SECTORS, file_sectors(fd));
	EXPECT_TRUE(is_filled(p + 5 * BLOCK, BLOCK, 5));
	EXPECT_TRUE(is_zero(p + 4 * BLOCK, BLOCK));
	EXPECT_EQ(BLOCK * 4, lseek(fd, 0, SEEK_DATA));
	EXPECT_EQ(BLOCK * 7, lseek(fd, BLOCK * 4, SEEK_HOLE));
}

/* One call populates ordinary memory, guest memory, and ordinary memory again. */
TEST_F(in_pool, several_mappings)
{
	int fd = file_make(&self->p, "file", 4 * BLOCK), two = file_make(&self->p, "two", BLOCK);
	char *area = mmap(NULL, 7 * BLOCK, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, area);
	ASSERT_EQ(area + BLOCK, map_at(area + BLOCK, fd, 0, 4 * BLOCK));
	ASSERT_EQ(area + 5 * BLOCK, map_at(area + 5 * BLOCK, two, 0, BLOCK));
	ASSERT_EQ(0, madvise(area, 7 * BLOCK, MADV_POPULATE_WRITE));
	EXPECT_EQ(4 * BLOCK_SECTORS, file_sectors(fd));
	EXPECT_EQ(BLOCK_SECTORS, file_sectors(two));
	EXPECT_LT(faults_of(area, 7 * BLOCK), 4);
	/* With an unmapped hole in the range, populating stops there. */
	ASSERT_EQ(0, ftruncate(fd, 0));
	ASSERT_EQ(0, ftruncate(fd, 4 * BLOCK));
	ASSERT_EQ(0, munmap(area + 3 * BLOCK, BLOCK));
	EXPECT_EQ(ENOMEM, ERR(madvise(area, 7 * BLOCK, MADV_POPULATE_WRITE)));
	EXPECT_EQ(2 * BLOCK_SECTORS, file_sectors(fd));
}

/*
 * Populating fails where an access would get SIGBUS, and keeps what it has populated before that.
 */
TEST_F(in_pool, beyond_the_end)
{
	int fd = file_make(&self->p, "file", 2 * BLOCK + PAGE);
	char *p = map_file(fd, 0, 4 * BLOCK), *q;

	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(EFAULT, ERR(madvise(p, 4 * BLOCK, MADV_POPULATE_READ)));
	EXPECT_EQ(EFAULT, ERR(madvise(p, 4 * BLOCK, MADV_POPULATE_WRITE)));
	EXPECT_EQ(EFAULT, ERR(madvise(p + 2 * BLOCK + PAGE, PAGE, MADV_POPULATE_WRITE)));
	EXPECT_EQ(0, madvise(p, 2 * BLOCK + PAGE, MADV_POPULATE_WRITE));
	EXPECT_EQ(3 * BLOCK_SECTORS, file_sectors(fd));
	EXPECT_EQ(ENOMEM, ERR(mlock(p, 4 * BLOCK)));
	/* mmap() with MAP_POPULATE does not report the error. */
	q = mmap(NULL, 4 * BLOCK, RW, MAP_SHARED | MAP_POPULATE, fd, 0);
	ASSERT_NE(MAP_FAILED, q);
	EXPECT_LT(faults_of(q, 2 * BLOCK), 2);
	EXPECT_EQ(FAULT(SIGBUS), peek(q + 3 * BLOCK));
}

TEST_F(in_pool, full)
{
	int hog = file_make(&self->p, "hog", 0), fd = file_make(&self->p, "file", LEN);
	char *p = map_file(fd, 0, LEN);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, fallocate(hog, 0, 0, (self->p.free_blocks - 3) * BLOCK));
	EXPECT_EQ(EFAULT, ERR(madvise(p, LEN, MADV_POPULATE_WRITE)));
	EXPECT_EQ(3 * BLOCK_SECTORS, file_sectors(fd));
	EXPECT_EQ(0, pool_free_blocks(&self->p));
	EXPECT_EQ(0, peek(p + 2 * BLOCK));
	EXPECT_EQ(FAULT(SIGBUS), peek(p + 3 * BLOCK));
}

/* The limit of the mount leaves fewer blocks than a gigabyte, although the pool has more. */
TEST_F(in_pool, full_by_the_mount)
{
	int fd = file_make(&self->p, "file", GIB);
	char options[64], *p = map_file(fd, 0, GIB);
	struct statfs st;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, statfs(self->p.mnt, &st));
	snprintf(options, sizeof(options), "size=%luk",
		 (unsigned long)((st.f_blocks - st.f_bfree + 3) * (BLOCK / KIB)));
	ASSERT_EQ(0, mount(NULL, self->p.mnt, NULL, MS_REMOUNT, options));
	EXPECT_EQ(EFAULT, ERR(madvise(p, GIB, MADV_POPULATE_WRITE)));
	EXPECT_EQ(3 * BLOCK_SECTORS, file_sectors(fd));
	EXPECT_EQ(0, peek(p + 2 * BLOCK));
	EXPECT_EQ(FAULT(SIGBUS), peek(p + 3 * BLOCK));
	EXPECT_EQ(0, mount(NULL, self->p.mnt, NULL, MS_REMOUNT, "size=0"));
	EXPECT_EQ(0, madvise(p, 4 * BLOCK, MADV_POPULATE_WRITE));
}

/* mlockall() with MCL_ONFAULT does not populate new mappings. */
TEST_F(in_pool, mlockall)
{
	int fd = file_make(&self->p, "file", LEN), status;
	pid_t pid = fork();

	ASSERT_GE(pid, 0);
	if (!pid) {
		char *p;

		if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT))
			_exit(1);
		p = mmap(NULL, LEN, RW, MAP_SHARED, fd, 0);
		if (p == MAP_FAILED || file_sectors(fd) || mlockall(MCL_CURRENT | MCL_ONFAULT |
								   MCL_FUTURE))
			_exit(2);
		if (file_sectors(fd) || madvise(p, BLOCK, MADV_POPULATE_WRITE) ||
		    file_sectors(fd) != BLOCK_SECTORS)
			_exit(3);
		if (mlockall(MCL_CURRENT) || file_sectors(fd) != NR * BLOCK_SECTORS)
			_exit(4);
		/*
		 * As with hugetlbfs, MCL_CURRENT populates existing mappings even with MCL_ONFAULT.
		 */
		if (ftruncate(fd, 0) || ftruncate(fd, LEN) || mlockall(MCL_CURRENT | MCL_ONFAULT))
			_exit(5);
		_exit(file_sectors(fd) == NR * BLOCK_SECTORS ? 0 : 6);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFEXITED(status));
	EXPECT_EQ(0, WEXITSTATUS(status));
}

/* A process cannot populate more with mlock() than it may lock. */
TEST_F(in_pool, limit)
{
	const struct rlimit limit = { BLOCK, BLOCK };
	int fd = file_make(&self->p, "file", LEN), status;
	pid_t pid = fork();

	ASSERT_GE(pid, 0);
	if (!pid) {
		char *p;

		if (setrlimit(RLIMIT_MEMLOCK, &limit) || setresuid(1000, 1000, 1000))
			_exit(1);
		p = map_file(fd, 0, LEN);
		if (p == MAP_FAILED || ERR(mlock(p, LEN)) != ENOMEM || file_sectors(fd))
			_exit(2);
		/*
		 * Guest memory is not counted as locked: the calls below lock more than the limit
		 * in sum.
		 */
		if (mlock(p, BLOCK) || mlock(p + BLOCK, BLOCK) || mlock(p + 2 * BLOCK, BLOCK))
			_exit(3);
		_exit(file_sectors(fd) == 3 * BLOCK_SECTORS ? 0 : 4);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFEXITED(status));
	EXPECT_EQ(0, WEXITSTATUS(status));
}

TEST_HARNESS_MAIN
