// SPDX-License-Identifier: GPL-2.0-only
/*
 * Soft-dirty tracking ("4" written to clear_refs) of a process that maps guest memory does not
 * affect that mapping: it stays writable, its entries keep their size, and all of its pages are
 * reported as dirty.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "fixture.h"
#include "leaves.h"

#define SOFT_DIRTY	0x80000000000000UL /* bit 55 of an entry */

static bool begin_tracking(void)
{
	int fd = open("/proc/self/clear_refs", O_WRONLY);
	bool ret = fd >= 0 && write(fd, "4", 1) == 1;

	close(fd);
	return ret;
}

static bool is_soft_dirty(const void *p)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	uint64_t entry = 0;

	if (pread(fd, &entry, sizeof(entry), (uintptr_t)p / PAGE * sizeof(entry)) < 0)
		entry = 0;
	close(fd);
	return entry & SOFT_DIRTY;
}

/* Does this kernel track? Ordinary memory must be clean after the start, until a write. */
static bool tracks(void)
{
	char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool clean;

	if (p == MAP_FAILED)
		return false;
	*p = 1;
	if (!begin_tracking())
		return false;
	clean = !is_soft_dirty(p);
	*p = 2;
	return clean && is_soft_dirty(p);
}

/* Runs the function in a child process; an alarm ends it if it does not return. */
static int in_child(void (*run)(char *p, size_t len), char *p, size_t len)
{
	pid_t pid = fork();
	int status = -1;

	if (!pid) {
		alarm(20);
		run(p, len);
		_exit(0);
	}
	return waitpid(pid, &status, 0) == pid ? status : -1;
}

static int file;

static void store(char *p)
{
	__atomic_store_n(p, 1, __ATOMIC_RELAXED);
}

static void load(const char *p)
{
	__atomic_load_n(p, __ATOMIC_RELAXED);
}

static void store_to_fresh(char *p, size_t len)
{
	struct leaves l;
	int from_kernel;

	/* The child does not inherit the mapping, so it maps the file itself. */
	p = map_file(file, 0, len);
	if (p == MAP_FAILED || !begin_tracking())
		_exit(1);
	store(p);
	load(p + BLOCK);
	store(p + BLOCK);
	from_kernel = open("/dev/zero", O_RDONLY);
	if (read(from_kernel, p + 2 * BLOCK, 8) != 8)
		_exit(2);
	if (!count_leaves(p, len, &l) || l.pte || l.pmd != 3 || l.read_only)
		_exit(3);
	if (!is_soft_dirty(p) || !is_soft_dirty(p + BLOCK) || !is_soft_dirty(p + 2 * BLOCK))
		_exit(4);
}

/* Tracking begins before the blocks are allocated. */
TEST_F(in_pool, fresh)
{
	file = file_make(&self->p, "file", 3 * BLOCK);
	if (!tracks())
		SKIP(return, "no soft-dirty tracking");
	EXPECT_EQ(0, in_child(store_to_fresh, NULL, 3 * BLOCK));
}

static void store_to_gigabyte(char *p, size_t len)
{
	struct leaves l;
	size_t at;

	p = map_file(file, 0, len);
	if (p == MAP_FAILED)
		_exit(1);
	if (!begin_tracking())
		_exit(2);
	/* Read the page before anything is written. */
	load(p + PAGE);
	for (at = 0; at < len; at += BLOCK)
		store(p + at);
	if (!count_leaves(p, len, &l) || l.pte || l.pmd || l.pud != 1 || l.read_only)
		_exit(3);
}

TEST_F(in_pool, gigabyte)
{
	if (self->p.free_blocks < GIB / BLOCK)
		SKIP(return, "needs 1 GiB free");
	file = file_make(&self->p, "file", GIB);
	if (!tracks())
		SKIP(return, "no soft-dirty tracking");
	EXPECT_EQ(0, in_child(store_to_gigabyte, NULL, GIB));
}

TEST_HARNESS_MAIN
