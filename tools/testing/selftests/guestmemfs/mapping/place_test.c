// SPDX-License-Identifier: GPL-2.0-only
/*
 * The addresses at which VMMs map guest memory, the setting of transparent huge pages, which does
 * not affect guest memory, and seals, which only memfds have.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/mman.h>

#include "fixture.h"

#define RW	(PROT_READ | PROT_WRITE)

/*
 * Maps the file as QEMU does: at an aligned address in a reserved area, with a guard page after it.
 */
static char *map_as_qemu(int fd, size_t len, size_t align)
{
	size_t total = len + align;
	char *area = mmap(NULL, total, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
			  0);
	char *p = (char *)(((uintptr_t)area + align - 1) & ~(align - 1));

	if (area == MAP_FAILED || map_at(p, fd, 0, len) != p)
		return MAP_FAILED;
	if (p > area)
		munmap(area, p - area);
	if (area + total > p + len + PAGE)
		munmap(p + len + PAGE, area + total - p - len - PAGE);
	return p;
}

/* Entries are as large as at an address that the kernel chooses, if the VMM aligns the address. */
TEST_F(in_pool, as_vmms_map)
{
	int fd = file_make(&self->p, "file", GIB);
	char *p, *q;
	long best;

	if (self->p.free_blocks < GIB / BLOCK)
		SKIP(return, "the pool is too small");
	ASSERT_EQ(0, fallocate(fd, 0, 0, GIB));
	/* Cloud Hypervisor passes no address. */
	p = mmap(NULL, GIB, RW, MAP_SHARED | MAP_NORESERVE, fd, 0);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, (uintptr_t)p % BLOCK);
	p[GIB - 1] = 1;
	best = faults_of(p, GIB);
	q = map_as_qemu(fd, GIB, GIB);
	ASSERT_NE(MAP_FAILED, q);
	q[0] = 1;
	EXPECT_EQ(1, q[GIB - 1]);
	EXPECT_LE(faults_of(q, GIB), best + 4);
	EXPECT_EQ(FAULT(SIGSEGV), peek(q + GIB));
	munmap(q, GIB + PAGE);
	q = map_as_qemu(fd, GIB, BLOCK);
	ASSERT_NE(MAP_FAILED, q);
	EXPECT_LE(faults_of(q, GIB), GIB / BLOCK + 4);
	/* MAP_FIXED_NOREPLACE does not replace a mapping. */
	EXPECT_EQ(EEXIST, ERR(mmap(q, BLOCK, RW, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0)));
	EXPECT_EQ(1, q[GIB - 1]);
}

#define THP	"/sys/kernel/mm/transparent_hugepage/enabled"
#define NR	8

static bool write_setting(const char *text)
{
	int fd = open(THP, O_WRONLY);
	bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	close(fd);
	return done;
}

/* Reads the value in brackets. */
static bool read_setting(char *setting)
{
	FILE *file = fopen(THP, "r");
	bool done = file && fscanf(file, "%*[^[][%15[a-z]", setting) == 1;

	/*
	 * The first value has no text before its bracket, so that the format above does not match.
	 */
	if (file && !done) {
		rewind(file);
		done = fscanf(file, "[%15[a-z]", setting) == 1;
	}
	if (file)
		fclose(file);
	return done;
}

/* A block has one entry with each setting: guest memory does not depend on it. */
TEST_F(in_pool, host_without_huge_pages)
{
	static const char * const settings[] = { "never", "madvise", "always" };
	int fd = file_make(&self->p, "file", NR * BLOCK);
	unsigned int i, k;
	char before[16];
	long faults;
	char *p;

	ASSERT_GE(fd, 0);
	if (!read_setting(before))
		SKIP(return, "no " THP);
	for (i = 0; i < ARRAY_SIZE(settings); i++) {
		EXPECT_TRUE(write_setting(settings[i]));
		p = map_file(fd, 0, NR * BLOCK);
		EXPECT_NE(MAP_FAILED, p);
		for (k = 0; k < NR; k++)
			EXPECT_EQ(0, poke(p + k * BLOCK, 1));
		faults = faults_of(p + PAGE, (NR - 1) * BLOCK);
		EXPECT_GE(faults, 0);
		EXPECT_LT(faults, NR / 2)
			TH_LOG("%s: %ld faults", settings[i], faults);
		munmap(p, NR * BLOCK);
	}
	EXPECT_TRUE(write_setting(before));
	close(fd);
}

/* Only a memfd can be sealed. */
TEST_F(in_pool, seals)
{
	static const int seals[] = { F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE };
	int fd = file_make(&self->p, "file", BLOCK), i;

	ASSERT_GE(fd, 0);
	EXPECT_EQ(EINVAL, ERR(fcntl(fd, F_GET_SEALS)));
	for (i = 0; i < ARRAY_SIZE(seals); i++)
		EXPECT_EQ(EINVAL, ERR(fcntl(fd, F_ADD_SEALS, seals[i])));
	EXPECT_EQ(0, ftruncate(fd, 2 * BLOCK));
	EXPECT_EQ(0, ftruncate(fd, 0));
}

TEST_HARNESS_MAIN
