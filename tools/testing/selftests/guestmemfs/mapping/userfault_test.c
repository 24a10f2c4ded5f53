// SPDX-License-Identifier: GPL-2.0-only
/*
 * userfaultfd on mappings of a file: MISSING, for holes and for pages that were punched out of a
 * block, and MINOR, for pages that are filled in another way.
 */
#include <linux/guestmemfs.h>
#include <sys/ioctl.h>

#include "userfault_fixture.h"

/* A fault in a hole fills one page. The other pages of the block are missing as well. */
TEST_F(in_pool, missing_in_a_hole)
{
	unsigned char *src = source(2 * BLOCK), *p;
	struct uffd u;
	int fd;

	p = registered(&self->p, &u, 2 * BLOCK, MISSING, &fd);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_TRUE(u.ioctls & (1 << _UFFDIO_COPY));
	EXPECT_TRUE(u.ioctls & (1 << _UFFDIO_ZEROPAGE));
	ASSERT_TRUE(uffd_serve(&u, p, src, PAGE));
	EXPECT_EQ(src[5 * PAGE], peek(p + 5 * PAGE));
	EXPECT_EQ(1, uffd_events(&u));
	EXPECT_EQ(BLOCK_SECTORS, file_sectors(fd));
	EXPECT_EQ(self->p.free_blocks - 1, pool_free_blocks(&self->p));
	EXPECT_EQ(src[5 * PAGE + 1], peek(p + 5 * PAGE + 1));
	EXPECT_EQ(1, uffd_events(&u));
	EXPECT_EQ(src[6 * PAGE], peek(p + 6 * PAGE));
	EXPECT_EQ(2, uffd_events(&u));
	EXPECT_EQ(0, poke(p + BLOCK, 3));
	EXPECT_EQ(3, uffd_events(&u));
	EXPECT_EQ(2 * BLOCK_SECTORS, file_sectors(fd));
	EXPECT_EQ(0, uffd_errors(&u));
	/* What was never filled reads as zeroes when nobody is asked any more. */
	EXPECT_EQ(0, uffd_unregister(&u, p, 2 * BLOCK));
	EXPECT_TRUE(is_zero(p, 5 * PAGE));
	EXPECT_TRUE(!memcmp(p + 5 * PAGE, src + 5 * PAGE, 2 * PAGE));
	EXPECT_TRUE(is_zero(p + 7 * PAGE, BLOCK - 7 * PAGE));
	EXPECT_EQ(3, uffd_events(&u));
	uffd_close(&u);
}

/* QEMU punches the pages that it will get again, before it registers, and gets these alone. */
TEST_F(in_pool, missing_after_a_punch)
{
	unsigned char *src = source(2 * BLOCK), *p;
	int fd = file_make(&self->p, "file", 2 * BLOCK);
	struct uffd u;

	p = map_file(fd, 0, 2 * BLOCK);
	ASSERT_NE(MAP_FAILED, p);
	fill(p, 2 * BLOCK, 1);
	ASSERT_EQ(0, madvise(p, 2 * BLOCK, MADV_NOHUGEPAGE));
	ASSERT_TRUE(punch(fd, 3 * PAGE, PAGE));
	EXPECT_EQ(0, ERR(madvise(p + 3 * PAGE, PAGE, MADV_DONTNEED)));
	ASSERT_TRUE(punch(fd, BLOCK - PAGE, 2 * PAGE));
	EXPECT_EQ(0, ERR(madvise(p + BLOCK - PAGE, 2 * PAGE, MADV_DONTNEED)));
	/* Parts of pages stay, with zeroes. */
	ASSERT_TRUE(punch(fd, 10 * PAGE + 8, 2 * PAGE - 16));
	ASSERT_TRUE(uffd_open(&u, 0));
	ASSERT_EQ(0, uffd_register(&u, p, 2 * BLOCK, MISSING));
	ASSERT_TRUE(uffd_serve(&u, p, src, PAGE));
	EXPECT_TRUE(is_filled(p, 3 * PAGE, 1));
	EXPECT_EQ(0, uffd_events(&u));
	EXPECT_EQ(0, memcmp(p + 3 * PAGE, src + 3 * PAGE, PAGE));
	EXPECT_EQ(1, uffd_events(&u));
	EXPECT_TRUE(is_zero(p + 10 * PAGE + 8, 2 * PAGE - 16));
	EXPECT_NE(0, p[10 * PAGE + 1] | p[10 * PAGE + 2]);
	EXPECT_EQ(1, uffd_events(&u));
	EXPECT_EQ(0, memcmp(p + BLOCK - PAGE, src + BLOCK - PAGE, 2 * PAGE));
	EXPECT_EQ(3, uffd_events(&u));
	look(p, 2 * BLOCK, PAGE);
	EXPECT_EQ(3, uffd_events(&u));
	/* A registered page that is punched is missing again. */
	ASSERT_TRUE(punch(fd, 3 * PAGE, PAGE));
	EXPECT_EQ(src[3 * PAGE + 9], peek(p + 3 * PAGE + 9));
	EXPECT_EQ(4, uffd_events(&u));
	EXPECT_EQ(0, uffd_errors(&u));
	uffd_close(&u);
}

/* A punched page is missing, whether or not a mapping has asked for small pages before. */
TEST_F(in_pool, missing_without_asking)
{
	int fd = file_make(&self->p, "file", BLOCK);
	unsigned char *src = source(BLOCK), *p = map_file(fd, 0, BLOCK);
	struct uffd u;

	ASSERT_NE(MAP_FAILED, p);
	fill(p, BLOCK, 1);
	ASSERT_TRUE(punch(fd, PAGE, PAGE));
	ASSERT_TRUE(uffd_open(&u, 0));
	ASSERT_EQ(0, uffd_register(&u, p, BLOCK, MISSING));
	ASSERT_TRUE(uffd_serve(&u, p, src, PAGE));
	EXPECT_TRUE(is_filled(p, PAGE, 1));
	EXPECT_EQ(0, uffd_events(&u));
	EXPECT_EQ(0, memcmp(p + PAGE, src + PAGE, PAGE));
	EXPECT_EQ(1, uffd_events(&u));
	uffd_close(&u);
}

/* The last page that is punched frees the block. */
TEST_F(in_pool, freed_page_by_page)
{
	int fd = file_make(&self->p, "file", 3 * BLOCK), i;
	unsigned char *p = map_file(fd, 0, 3 * BLOCK);
	const int pages = BLOCK / PAGE;

	ASSERT_NE(MAP_FAILED, p);
	fill(p, 3 * BLOCK, 1);
	/* 5 and 512 have no common factor, so that this punches each page once. */
	for (i = 0; i < pages - 1; i++)
		ASSERT_TRUE(punch(fd, BLOCK + i * 5 % pages * PAGE, PAGE));
	EXPECT_EQ(3 * BLOCK_SECTORS, file_sectors(fd));
	/* A page that is used again does not count. */
	EXPECT_EQ(0, poke(p + BLOCK, 1));
	ASSERT_TRUE(punch(fd, BLOCK + i * 5 % pages * PAGE, PAGE));
	EXPECT_EQ(3 * BLOCK_SECTORS, file_sectors(fd));
	EXPECT_EQ(1, peek(p + BLOCK));
	ASSERT_TRUE(punch(fd, BLOCK, PAGE));
	EXPECT_EQ(2 * BLOCK_SECTORS, file_sectors(fd));
	EXPECT_EQ(self->p.free_blocks - 2, pool_free_blocks(&self->p));
	EXPECT_TRUE(is_filled(p, BLOCK, 1));
	EXPECT_TRUE(is_zero(p + BLOCK, BLOCK));
	EXPECT_EQ(3 * BLOCK_SECTORS, file_sectors(fd));
	/* A punch that leaves parts of two blocks, of which nothing is left then. */
	ASSERT_TRUE(punch(fd, 0, PAGE));
	ASSERT_TRUE(punch(fd, 2 * BLOCK + 4 * PAGE, BLOCK - 4 * PAGE));
	EXPECT_EQ(3 * BLOCK_SECTORS, file_sectors(fd));
	ASSERT_TRUE(punch(fd, PAGE, 2 * BLOCK + 3 * PAGE));
	EXPECT_EQ(0, file_sectors(fd));
	EXPECT_EQ(self->p.free_blocks, pool_free_blocks(&self->p));
}

/* What a fill returns, and what it leaves alone. */
TEST_F(in_pool, fills)
{
	unsigned char *src = source(4 * BLOCK), *p;
	const size_t size = 4 * BLOCK + 2 * PAGE;
	struct uffd u;
	int64_t done;
	int fd;

	p = registered(&self->p, &u, size, MISSING, &fd);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, uffd_copy(&u, p + PAGE, src, 3 * PAGE, &done));
	EXPECT_EQ(3 * PAGE, done);
	EXPECT_EQ(EEXIST, uffd_copy(&u, p + 3 * PAGE, src + BLOCK, 2 * PAGE, &done));
	EXPECT_EQ(-EEXIST, done);
	EXPECT_EQ(EAGAIN, uffd_copy(&u, p, src, 2 * PAGE, &done));
	EXPECT_EQ(PAGE, done);
	EXPECT_EQ(0, memcmp(p, src, PAGE));
	EXPECT_EQ(0, memcmp(p + PAGE, src, 3 * PAGE));
	/* Blocks are not aligned in source and target, and the middle is larger than one piece. */
	EXPECT_EQ(0, uffd_copy(&u, p + BLOCK - 3 * PAGE, src + PAGE, 2 * BLOCK, &done));
	EXPECT_EQ(2 * BLOCK, done);
	EXPECT_EQ(0, memcmp(p + BLOCK - 3 * PAGE, src + PAGE, 2 * BLOCK));
	EXPECT_EQ(EEXIST, uffd_zero(&u, p, PAGE, &done));
	EXPECT_EQ(0, uffd_zero(&u, p + 3 * BLOCK, 2 * PAGE, &done));
	EXPECT_EQ(2 * PAGE, done);
	EXPECT_TRUE(is_zero(p + 3 * BLOCK, 2 * PAGE));
	/* A source that ends early. */
	ASSERT_EQ(0, mprotect(src + 2 * PAGE, PAGE, PROT_NONE));
	EXPECT_EQ(EAGAIN, uffd_copy(&u, p + 3 * BLOCK + 4 * PAGE, src, 4 * PAGE, &done));
	EXPECT_EQ(2 * PAGE, done);
	EXPECT_EQ(EFAULT, uffd_copy(&u, p + 3 * BLOCK + 6 * PAGE, src + 2 * PAGE, PAGE, &done));
	EXPECT_EQ(-EFAULT, done);
	/* What could not be filled is still missing. */
	EXPECT_EQ(0, uffd_copy(&u, p + 3 * BLOCK + 6 * PAGE, src, PAGE, &done));
	/* The end of the file. */
	ASSERT_EQ(0, ftruncate(fd, 4 * BLOCK + PAGE));
	EXPECT_EQ(EFAULT, uffd_copy(&u, p + size - PAGE, src, PAGE, &done));
	EXPECT_EQ(EAGAIN, uffd_copy(&u, p + size - 2 * PAGE, src, 2 * PAGE, &done));
	EXPECT_EQ(PAGE, done);
	EXPECT_EQ(FAULT(SIGBUS), peek(p + size - PAGE));
	uffd_close(&u);
}

/* A full pool, and a file that is not registered. */
TEST_F(in_pool, fills_that_fail)
{
	unsigned char *src = source(BLOCK), *p;
	int fd, rest = file_make(&self->p, "rest", 0);
	struct uffd u;
	int64_t done;

	p = registered(&self->p, &u, BLOCK, MISSING, &fd);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, fallocate(rest, 0, 0, self->p.free_blocks * BLOCK));
	EXPECT_EQ(ENOSPC, uffd_copy(&u, p, src, PAGE, &done));
	ASSERT_EQ(0, ftruncate(rest, (self->p.free_blocks - 1) * BLOCK));
	EXPECT_EQ(0, uffd_copy(&u, p, src, PAGE, &done));
	ASSERT_EQ(0, ftruncate(rest, 0));
	EXPECT_EQ(0, uffd_unregister(&u, p, BLOCK));
	EXPECT_EQ(ENOENT, uffd_copy(&u, p + PAGE, src, PAGE, &done));
	EXPECT_TRUE(is_zero(p + PAGE, BLOCK - PAGE));
	uffd_close(&u);
}

/* No write protection, in no form. */
TEST_F(in_pool, modes)
{
	static const struct {
		uint64_t feature;
		uint64_t mode;
	} others[] = {
		{ UFFD_FEATURE_WP_ASYNC,	UFFDIO_REGISTER_MODE_WP },
		{ UFFD_FEATURE_RWP,		UFFDIO_REGISTER_MODE_RWP },
		{ UFFD_FEATURE_RWP_ASYNC,	UFFDIO_REGISTER_MODE_RWP | MISSING },
	};
	int fd = file_make(&self->p, "file", BLOCK);
	unsigned char *p = map_file(fd, 0, BLOCK);
	struct uffd u;
	size_t i;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_TRUE(uffd_open(&u, 0));
	EXPECT_EQ(EINVAL, uffd_register(&u, p, BLOCK, UFFDIO_REGISTER_MODE_WP));
	EXPECT_EQ(EINVAL, uffd_register(&u, p, BLOCK, UFFDIO_REGISTER_MODE_WP | MISSING));
	EXPECT_EQ(0, uffd_register(&u, p, BLOCK, MISSING | MINOR));
	EXPECT_TRUE(u.ioctls & (1 << _UFFDIO_CONTINUE));
	EXPECT_FALSE(u.ioctls & (1 << _UFFDIO_WRITEPROTECT));
	EXPECT_EQ(0, uffd_unregister(&u, p, BLOCK));
	uffd_close(&u);
	/* If the kernel has it for other memory. */
	for (i = 0; i < ARRAY_SIZE(others); i++) {
		if (uffd_open(&u, others[i].feature))
			EXPECT_EQ(EINVAL, uffd_register(&u, p, BLOCK, others[i].mode));
		uffd_close(&u);
	}
}

/* Pages that another mapping has filled are mapped by UFFDIO_CONTINUE, with the largest entries. */
TEST_F(in_pool, minor)
{
	int fd = file_make(&self->p, "file", GIB + 2 * BLOCK);
	unsigned char *a = map_file(fd, 0, GIB + 2 * BLOCK), *b = map_file(fd, 0, GIB + 2 * BLOCK);
	struct uffd u;
	int64_t done;

	if (self->p.free_blocks < GIB / BLOCK + 2)
		SKIP(return, "needs 1 GiB free");
	ASSERT_NE(MAP_FAILED, a);
	ASSERT_NE(MAP_FAILED, b);
	EXPECT_EQ(0, poke(a, 1));
	EXPECT_EQ(0, poke(a + GIB, 2));
	ASSERT_TRUE(uffd_open(&u, 0));
	ASSERT_EQ(0, uffd_register(&u, b, GIB + 2 * BLOCK, MINOR));
	ASSERT_TRUE(uffd_serve(&u, b, NULL, PAGE));
	EXPECT_EQ(1, peek(b));
	EXPECT_EQ(1, uffd_events(&u));
	EXPECT_EQ(0, peek(b + PAGE));
	EXPECT_EQ(2, uffd_events(&u));
	EXPECT_LEAVES(b, GIB, 0, 0, 2, "after two faults");
	/* There is a table now, so that the rest of the gigabyte has entries of 2 MiB at most. */
	EXPECT_EQ(EEXIST, uffd_continue(&u, b, BLOCK, &done));
	EXPECT_EQ(0, uffd_continue(&u, b + BLOCK, GIB - BLOCK, &done));
	EXPECT_EQ(GIB - BLOCK, done);
	EXPECT_LEAVES(b, GIB, 0, GIB / BLOCK - 1, 2, "continued");
	EXPECT_EQ(EEXIST, uffd_continue(&u, b + BLOCK + PAGE, PAGE, &done));
	EXPECT_EQ(2, peek(b + GIB));
	EXPECT_EQ(3, uffd_events(&u));
	/* A hole is filled by a fault, and nobody is asked. */
	EXPECT_EQ(EFAULT, uffd_continue(&u, b + GIB + BLOCK, PAGE, &done));
	EXPECT_EQ(0, peek(b + GIB + BLOCK));
	EXPECT_EQ(3, uffd_events(&u));
	EXPECT_EQ(0, uffd_errors(&u));
	uffd_stop(&u);
	/* As a whole: unmap the gigabyte first. */
	EXPECT_EQ(0, madvise(b, GIB, MADV_DONTNEED));
	ASSERT_EQ(0, munmap(b, GIB + 2 * BLOCK));
	b = map_file(fd, 0, GIB + 2 * BLOCK);
	ASSERT_NE(MAP_FAILED, b);
	ASSERT_EQ(0, uffd_register(&u, b, GIB + 2 * BLOCK, MINOR));
	EXPECT_EQ(0, uffd_continue(&u, b, GIB, &done));
	EXPECT_EQ(GIB, done);
	EXPECT_LEAVES(b, GIB, 1, 0, 0, "continued as a whole");
	EXPECT_EQ(EEXIST, uffd_continue(&u, b + 5 * PAGE, PAGE, &done));
	EXPECT_EQ(EEXIST, uffd_poison(&u, b + 5 * PAGE, PAGE, &done));
	EXPECT_EQ(1, peek(b));
	uffd_close(&u);
}

/* A poisoned page is SIGBUS, also after the end of the registration. */
TEST_F(in_pool, poison)
{
	unsigned char *src = source(BLOCK), *p;
	struct leaves l = {};
	struct uffd u;
	int64_t done;
	int fd, i;

	p = registered(&self->p, &u, 2 * BLOCK, MISSING, &fd);
	ASSERT_NE(MAP_FAILED, p);
	/* Memory that is punched is not poisoned any more. */
	EXPECT_EQ(0, uffd_poison(&u, p + BLOCK, PAGE, &done));
	EXPECT_EQ(FAULT(SIGBUS), peek(p + BLOCK));
	ASSERT_TRUE(punch(fd, BLOCK, BLOCK));
	EXPECT_EQ(0, uffd_poison(&u, p + PAGE, PAGE, &done));
	EXPECT_EQ(PAGE, done);
	EXPECT_EQ(FAULT(SIGBUS), peek(p + PAGE));
	EXPECT_EQ(EEXIST, uffd_copy(&u, p + PAGE, src, PAGE, &done));
	EXPECT_EQ(0, uffd_copy(&u, p, src, PAGE, &done));
	EXPECT_EQ(0, uffd_copy(&u, p + 2 * PAGE, src, BLOCK - 2 * PAGE, &done));
	EXPECT_EQ(0, uffd_copy(&u, p + BLOCK, src, BLOCK, &done));
	EXPECT_EQ(0, uffd_unregister(&u, p, 2 * BLOCK));
	uffd_close(&u);
	/* Wait until what has no such page is huge again. */
	for (i = 0; i < 100 && l.pmd != 1; i++) {
		usleep(100000);
		look(p + BLOCK, BLOCK, PAGE);
		ASSERT_TRUE(count_leaves(p + BLOCK, BLOCK, &l));
	}
	EXPECT_EQ(1, l.pmd);
	look(p, PAGE, PAGE);
	EXPECT_EQ(FAULT(SIGBUS), peek(p + PAGE));
	EXPECT_EQ(0, memcmp(p + 2 * PAGE, src, BLOCK - 2 * PAGE));
	/* What was written before the page was found poisoned has not come into the file. */
	munmap(p, 2 * BLOCK);
	p = map_file(fd, 0, 2 * BLOCK);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_TRUE(is_zero(p + PAGE, PAGE));
}

/* Absent pages that another mapping uses are present for all. */
TEST_F(in_pool, two_mappings)
{
	unsigned char *src = source(BLOCK), *p, *other;
	struct uffd u;
	int64_t done;
	int fd;

	p = registered(&self->p, &u, 2 * BLOCK, MISSING, &fd);
	ASSERT_NE(MAP_FAILED, p);
	other = map_file(fd, 0, 2 * BLOCK);
	ASSERT_NE(MAP_FAILED, other);
	ASSERT_EQ(0, uffd_copy(&u, p, src, PAGE, &done));
	/* The other mapping sees what was filled, and zeroes for the rest. */
	EXPECT_EQ(0, memcmp(other, src, PAGE));
	EXPECT_EQ(0, poke(other + 2 * PAGE, 5));
	EXPECT_EQ(EEXIST, uffd_copy(&u, p + 2 * PAGE, src, PAGE, &done));
	ASSERT_TRUE(uffd_serve(&u, p, src, PAGE));
	EXPECT_EQ(5, peek(p + 2 * PAGE));
	EXPECT_EQ(0, uffd_events(&u));
	EXPECT_EQ(src[3 * PAGE], peek(p + 3 * PAGE));
	EXPECT_EQ(1, uffd_events(&u));
	EXPECT_EQ(src[3 * PAGE + 1], peek(other + 3 * PAGE + 1));
	/* A hole that the other mapping fills is a whole block. */
	EXPECT_EQ(0, poke(other + BLOCK, 6));
	EXPECT_EQ(0, peek(p + 2 * BLOCK - 1));
	EXPECT_EQ(1, uffd_events(&u));
	EXPECT_EQ(0, uffd_errors(&u));
	uffd_close(&u);
}

/* fallocate() makes pages present, and so does a pin. Pinned pages do not become absent. */
TEST_F(in_pool, present_in_other_ways)
{
	struct guestmemfs_part part = { sizeof(part), 0, 4 * PAGE, 2 * PAGE };
	unsigned char *src = source(BLOCK), *p;
	struct uffd u;
	int fd;

	p = registered(&self->p, &u, BLOCK, MISSING, &fd);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, uffd_copy(&u, p, src, PAGE, NULL));
	ASSERT_EQ(0, fallocate(fd, 0, PAGE, PAGE));
	ASSERT_EQ(0, fallocate(fd, FALLOC_FL_ZERO_RANGE, 2 * PAGE, PAGE));
	EXPECT_EQ(EEXIST, uffd_copy(&u, p + PAGE, src, PAGE, NULL));
	EXPECT_EQ(EEXIST, uffd_copy(&u, p + 2 * PAGE, src, PAGE, NULL));
	EXPECT_TRUE(is_zero(p + PAGE, 2 * PAGE));
	EXPECT_EQ(0, uffd_copy(&u, p + 3 * PAGE, src, PAGE, NULL));
	EXPECT_EQ(0, ERR(ioctl(fd, GUESTMEMFS_IOC_PIN, &part)));
	EXPECT_EQ(EEXIST, uffd_copy(&u, p + 4 * PAGE, src, PAGE, NULL));
	EXPECT_TRUE(is_zero(p + 4 * PAGE, 2 * PAGE));
	EXPECT_EQ(0, poke(p + 4 * PAGE, 1));
	ASSERT_TRUE(punch(fd, 4 * PAGE, PAGE));
	EXPECT_EQ(0, peek(p + 4 * PAGE));
	/* A block of which only pinned pages are left is not freed, nor is it detached. */
	ASSERT_TRUE(punch(fd, 0, 4 * PAGE));
	ASSERT_TRUE(punch(fd, 4 * PAGE, 2 * PAGE));
	EXPECT_EQ(BLOCK_SECTORS, file_sectors(fd));
	EXPECT_EQ(0, pool_sysfs(&self->p, "detached"));
	EXPECT_EQ(0, ERR(ioctl(fd, GUESTMEMFS_IOC_UNPIN, &part)));
	EXPECT_EQ(0, uffd_copy(&u, p + 6 * PAGE, src, PAGE, NULL));
	ASSERT_TRUE(punch(fd, 6 * PAGE, PAGE));
	EXPECT_EQ(BLOCK_SECTORS, file_sectors(fd));
	ASSERT_TRUE(punch(fd, 4 * PAGE, 2 * PAGE));
	EXPECT_EQ(0, file_sectors(fd));
	uffd_close(&u);
}

#define ROUNDS	300

struct racer {
	struct uffd *u;
	unsigned char *p;
	const unsigned char *src;
	int won;
	int lost;
	int other;
};

static void *race_copy(void *arg)
{
	struct racer *r = arg;
	int i, err;

	for (i = 0; i < ROUNDS; i++) {
		err = uffd_copy(r->u, r->p + i * PAGE, r->src + i * PAGE, PAGE, NULL);
		if (!err)
			r->won++;
		else if (err == EEXIST)
			r->lost++;
		else
			r->other++;
	}
	return NULL;
}

/* Of two that fill the same page, in two mappings, one loses and changes nothing. */
TEST_F(in_pool, one_winner)
{
	unsigned char *src = source(2 * BLOCK), *p, *other;
	struct racer r[2] = {};
	pthread_t threads[2];
	struct uffd u;
	int fd, i;

	p = registered(&self->p, &u, 2 * BLOCK, MISSING, &fd);
	ASSERT_NE(MAP_FAILED, p);
	other = map_file(fd, 0, 2 * BLOCK);
	ASSERT_NE(MAP_FAILED, other);
	ASSERT_EQ(0, uffd_register(&u, other, 2 * BLOCK, MISSING));
	for (i = 0; i < 2; i++) {
		r[i].u = &u;
		r[i].p = i ? other : p;
		r[i].src = src + i * BLOCK;
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, race_copy, &r[i]));
	}
	for (i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	EXPECT_EQ(ROUNDS, r[0].won + r[1].won);
	EXPECT_EQ(ROUNDS, r[0].lost + r[1].lost);
	EXPECT_EQ(0, r[0].other + r[1].other);
	for (i = 0; i < ROUNDS; i++)
		if (memcmp(p + i * PAGE, src + i * PAGE, PAGE) &&
		    memcmp(p + i * PAGE, src + BLOCK + i * PAGE, PAGE))
			break;
	EXPECT_EQ(ROUNDS, i);
	uffd_close(&u);
}

/* Looking at page tables, and mprotect(), raise no fault again that was resolved. */
TEST_F(in_pool, resolved_once)
{
	unsigned char *src = source(2 * BLOCK), *p;
	char line[256];
	struct uffd u;
	FILE *smaps;
	int fd;

	p = registered(&self->p, &u, 2 * BLOCK, MISSING, &fd);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_TRUE(uffd_serve(&u, p, src, PAGE));
	look(p, 2 * BLOCK, PAGE);
	EXPECT_EQ(2 * BLOCK / PAGE, uffd_events(&u));
	smaps = fopen("/proc/self/smaps", "r");
	ASSERT_NE(NULL, smaps);
	while (fgets(line, sizeof(line), smaps))
		;
	fclose(smaps);
	ASSERT_EQ(0, mprotect(p + PAGE, BLOCK, PROT_READ));
	ASSERT_EQ(0, mprotect(p + PAGE, BLOCK, PROT_READ | PROT_WRITE));
	ASSERT_EQ(0, madvise(p, 2 * BLOCK, MADV_DONTNEED));
	EXPECT_EQ(0, memcmp(p, src, 2 * BLOCK));
	EXPECT_EQ(2 * BLOCK / PAGE, uffd_events(&u));
	EXPECT_EQ(0, uffd_errors(&u));
	uffd_close(&u);
}

/* Registered for both, a missing page is an event as well, and cannot be continued. */
TEST_F(in_pool, missing_and_minor)
{
	unsigned char *src = source(BLOCK), *p, *other;
	struct uffd u;
	int fd;

	p = registered(&self->p, &u, BLOCK, MISSING | MINOR, &fd);
	ASSERT_NE(MAP_FAILED, p);
	other = map_file(fd, 0, BLOCK);
	ASSERT_NE(MAP_FAILED, other);
	ASSERT_TRUE(uffd_serve(&u, p, src, PAGE));
	EXPECT_EQ(src[2 * PAGE], peek(p + 2 * PAGE));
	EXPECT_EQ(1, uffd_events(&u));
	uffd_stop(&u);
	EXPECT_EQ(0, poke(other + PAGE, 5));
	/* Absent from its block. */
	EXPECT_EQ(EFAULT, uffd_continue(&u, p + 3 * PAGE, PAGE, NULL));
	EXPECT_EQ(0, uffd_continue(&u, p + PAGE, PAGE, NULL));
	EXPECT_EQ(5, peek(p + PAGE));
	uffd_close(&u);
}

/* All mappings of a block with an absent page have small entries, until none is absent. */
TEST_F(in_pool, small_for_all)
{
	int fd = file_make(&self->p, "file", BLOCK);
	unsigned char *p = map_file(fd, 0, BLOCK), *other = map_file(fd, 0, BLOCK);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(MAP_FAILED, other);
	look(other, BLOCK, BLOCK);
	EXPECT_LEAVES(other, BLOCK, 0, 1, 0, "before");
	ASSERT_TRUE(punch(fd, 7 * PAGE, PAGE));
	look(other, 7 * PAGE, PAGE);
	EXPECT_LEAVES(other, BLOCK, 0, 0, 7, "a page is absent");
	look(other + 7 * PAGE, 2 * PAGE, PAGE);
	EXPECT_LEAVES(other, BLOCK, 0, 1, 0, "none is");
}

/* A missing page is missing after a mount, too, and a page that was filled is not. */
TEST_F(in_pool, missing_after_a_mount)
{
	unsigned char *src = source(BLOCK), *p;
	struct uffd u;
	int fd;

	p = registered(&self->p, &u, BLOCK, MISSING, &fd);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, uffd_copy(&u, p, src, PAGE, NULL));
	uffd_close(&u);
	munmap(p, BLOCK);
	close(fd);
	ASSERT_EQ(0, pool_remount(&self->p));
	fd = open(pool_path(&self->p, "file"), O_RDWR);
	p = map_file(fd, 0, BLOCK);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_TRUE(uffd_open(&u, 0));
	ASSERT_EQ(0, uffd_register(&u, p, BLOCK, MISSING));
	EXPECT_EQ(EEXIST, uffd_copy(&u, p, src + PAGE, PAGE, NULL));
	EXPECT_EQ(0, uffd_copy(&u, p + PAGE, src + PAGE, PAGE, NULL));
	EXPECT_EQ(0, memcmp(p, src, 2 * PAGE));
	EXPECT_EQ(0, uffd_unregister(&u, p, BLOCK));
	EXPECT_TRUE(is_zero(p + 2 * PAGE, BLOCK - 2 * PAGE));
	uffd_close(&u);
}

/* A part of a punch that has a pinned page is zeroed, and stays present as a whole. */
TEST_F(in_pool, beside_a_pinned_page)
{
	struct guestmemfs_part part = { sizeof(part), 0, 4 * PAGE, PAGE };
	unsigned char *src = source(BLOCK), *p;
	struct uffd u;
	int fd;

	p = registered(&self->p, &u, BLOCK, MISSING, &fd);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, fallocate(fd, 0, 0, BLOCK));
	ASSERT_EQ(0, ERR(ioctl(fd, GUESTMEMFS_IOC_PIN, &part)));
	fill(p, BLOCK, 1);
	ASSERT_TRUE(punch(fd, 4 * PAGE, 2 * PAGE));
	EXPECT_EQ(EEXIST, uffd_copy(&u, p + 5 * PAGE, src, PAGE, NULL));
	EXPECT_TRUE(is_zero(p + 4 * PAGE, 2 * PAGE));
	EXPECT_EQ(0, ERR(ioctl(fd, GUESTMEMFS_IOC_UNPIN, &part)));
	uffd_close(&u);
}

/* A file that is open for reading only cannot be registered, as with other files. */
TEST_F(in_pool, read_only)
{
	int fd = file_make(&self->p, "file", BLOCK), ro;
	unsigned char *p;
	struct uffd u;

	ro = open(pool_path(&self->p, "file"), O_RDONLY);
	p = mmap(NULL, BLOCK, PROT_READ, MAP_SHARED, ro, 0);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_TRUE(uffd_open(&u, 0));
	EXPECT_EQ(EPERM, uffd_register(&u, p, BLOCK, MISSING));
	uffd_close(&u);
	close(fd);
}

static uint32_t state_order(int fd, uint64_t offset)
{
	struct guestmemfs_get_state state = { .size = sizeof(state), .offset = offset };

	if (ioctl(fd, GUESTMEMFS_IOC_GET_STATE, &state))
		return UINT32_MAX;
	return state.order;
}

/* GUESTMEMFS_IOC_GET_STATE knows that a block with a missing page is mapped by pages. */
TEST_F(in_pool, order_of_state)
{
	const unsigned int order = __builtin_ctzl(BLOCK / PAGE);
	int fd = file_make(&self->p, "file", 2 * BLOCK);
	unsigned char *p = map_file(fd, 0, 2 * BLOCK);

	ASSERT_NE(MAP_FAILED, p);
	fill(p, 2 * BLOCK, 1);
	EXPECT_EQ(order, state_order(fd, 0));
	ASSERT_TRUE(punch(fd, 7 * PAGE, PAGE));
	EXPECT_EQ(0, state_order(fd, 0));
	EXPECT_EQ(0, state_order(fd, 7 * PAGE));
	EXPECT_EQ(order, state_order(fd, BLOCK));
	EXPECT_EQ(0, peek(p + 7 * PAGE));
	EXPECT_EQ(order, state_order(fd, 0));
}

TEST_HARNESS_MAIN
