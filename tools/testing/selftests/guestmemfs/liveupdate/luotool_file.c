// SPDX-License-Identifier: GPL-2.0-only
/*
 * Commands of luotool for files of guestmemfs and memfds, besides the calls of the Live Update
 * Orchestrator.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "luotool.h"

#define BLOCK	(2UL << 20)

/* open FILE PATH r|rw|dir|path */
static int open_path(char **w)
{
	static const struct {
		const char *mode;
		int flags;
	} modes[] = {
		{ "r", O_RDONLY },
		{ "rw", O_RDWR },
		{ "dir", O_RDONLY | O_DIRECTORY },
		{ "path", O_PATH },
	};

	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++)
		if (!strcmp(w[3], modes[i].mode))
			return named(w[1], open(w[2], modes[i].flags | O_CLOEXEC));
	errx(2, "line %u: %s is no way to open", line_nr, w[3]);
}

/* by_handle FILE DIR HANDLE: opens a handle of filetool on the mount of DIR. */
static int open_by_handle(char **w)
{
	union {
		struct file_handle h;
		char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	} u = {};
	int dir = open(w[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC), used, fd;
	const char *p = w[3];

	if (dir < 0 || sscanf(p, "%x:%n", (unsigned int *)&u.h.handle_type, &used) != 1)
		errx(2, "line %u: no directory, or no handle", line_nr);
	for (p += used; u.h.handle_bytes < MAX_HANDLE_SZ; p += 2) {
		if (sscanf(p, "%2hhx", &u.h.f_handle[u.h.handle_bytes]) != 1)
			break;
		u.h.handle_bytes++;
	}
	fd = open_by_handle_at(dir, &u.h, O_RDWR | O_CLOEXEC);
	close(dir);
	return named(w[1], fd);
}

/* make FILE PATH SIZE */
static int make(char **w)
{
	int fd = open(w[2], O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	return named(w[1], fd) ? -1 : ftruncate(fd, parse(w[3]));
}

/* memfd FILE SIZE */
static int memfd(char **w)
{
	int fd = memfd_create("luotool", MFD_CLOEXEC);

	return named(w[1], fd) ? -1 : ftruncate(fd, parse(w[2]));
}

static int unlink_path(char **w)
{
	return unlink(w[1]);
}

/* truncate FILE SIZE */
static int resize(char **w)
{
	return ftruncate(fd_of(w[1]), parse(w[2]));
}

/* alloc|punch FILE OFFSET LENGTH */
static int space(char **w)
{
	int mode = strcmp(w[0], "punch") ? 0 : FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

	return fallocate(fd_of(w[1]), mode, parse(w[2]), parse(w[3]));
}

static long allocated(int fd)
{
	struct stat st;

	if (fstat(fd, &st))
		err(1, "line %u: fstat", line_nr);
	return st.st_blocks * 512L;
}

/*
 * reserve FILE LENGTH: allocates blocks in an empty file without zeroing them. It kills a process
 * in fallocate(): the blocks stay allocated, and are zeroed when they are first used. An emulated
 * machine has too little memory to zero all of them.
 */
static int reserve(char **w)
{
	int fd = fd_of(w[1]), status;
	long len = parse(w[2]);
	pid_t child = fork();

	if (!child)
		_exit(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, len) ? errno : 0);
	if (child < 0)
		return -1;
	while (allocated(fd) < len && !waitpid(child, &status, WNOHANG))
		usleep(20);
	if (allocated(fd) == len) {
		kill(child, SIGKILL);
		waitpid(child, &status, 0);
		return 0;
	}
	errno = WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
	return -1;
}

/* perforate FILE COUNT: punches every second block, COUNT of them. */
static int perforate(char **w)
{
	int fd = fd_of(w[1]), mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	unsigned long count = parse(w[2]);

	for (unsigned long i = 0; i < count; i++)
		if (fallocate(fd, mode, i * 2 * BLOCK, BLOCK))
			return -1;
	return 0;
}

/*
 * mark|marked FILE STEP LENGTH: writes or checks a word at every STEP. With large steps it maps
 * single blocks, so that the blocks between them are not accessed.
 */
#define WINDOW	(512 * BLOCK)

static int mark(char **w)
{
	unsigned long step = parse(w[2]), len = parse(w[3]), end, base, at, bad = 0;
	unsigned long window = step < BLOCK ? WINDOW : BLOCK;
	bool write = !strcmp(w[0], "mark");
	int fd = fd_of(w[1]);
	uint64_t *p;

	for (base = 0; base < len; base += window < step ? step : window) {
		end = len - base < window ? len - base : window;
		p = mmap(NULL, end, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, base);
		if (p == MAP_FAILED)
			return -1;
		for (at = 0; at < end; at += step) {
			if (write)
				p[at / 8] = (base + at) ^ 0x5ca1ab1e;
			else
				bad += p[at / 8] != ((base + at) ^ 0x5ca1ab1e);
		}
		munmap(p, end);
	}
	return same("the number of wrong words", bad, 0);
}

/* pos FILE OFFSET: checks the file position. */
static int pos(char **w)
{
	return same("the position", lseek(fd_of(w[1]), 0, SEEK_CUR), parse(w[2]));
}

static int seek(char **w)
{
	return lseek(fd_of(w[1]), parse(w[2]), SEEK_SET) < 0 ? -1 : 0;
}

/* access FILE r|rw: checks the access mode of the descriptor. */
static int access_mode(char **w)
{
	int flags = fcntl(fd_of(w[1]), F_GETFL);

	return same("the access mode", flags & O_ACCMODE,
		    strcmp(w[2], "rw") ? O_RDONLY : O_RDWR);
}

/* stat FILE SIZE LINKS: checks size and number of links. */
static int stat_file(char **w)
{
	struct stat st;

	if (fstat(fd_of(w[1]), &st) || same("the size", st.st_size, parse(w[2])))
		return -1;
	return same("the number of links", st.st_nlink, parse(w[3]));
}

/* same FILE PATH: checks that PATH is this file. */
static int same_file(char **w)
{
	struct stat a, b;

	if (fstat(fd_of(w[1]), &a) || stat(w[2], &b))
		return -1;
	return same("the inode number", a.st_ino, b.st_ino) ? -1 :
	       same("the device", a.st_dev, b.st_dev);
}

/* mount NODE PATH: mounts the pool and prints how long that took. */
static int mount_pool(char **w)
{
	struct stopwatch watch;
	char options[32];
	int ret;

	snprintf(options, sizeof(options), "node=%lu", parse(w[1]));
	watch_start(&watch);
	ret = mount("guestmemfs", w[2], "guestmemfs", 0, options);
	if (!ret)
		watch_stop(&watch, "mount", parse(w[1]));
	return ret;
}

static const char *entry_at(unsigned long addr)
{
	static char line[512];
	FILE *dump = fopen("/sys/kernel/debug/page_tables/current_kernel", "r");
	const char *found = "none";
	unsigned long from, to;

	if (!dump)
		err(1, "the dump of the page tables");
	while (fgets(line, sizeof(line), dump)) {
		if (sscanf(line, "0x%lx-0x%lx", &from, &to) != 2 || addr < from || addr >= to)
			continue;
		found = strstr(line, " pud") ? "pud" : strstr(line, " pmd") ? "pmd" : "pte";
		break;
	}
	fclose(dump);
	return found;
}

/* The words that are read go here, so that the compiler keeps the reads. */
uint64_t touched;

/*
 * entry FILE pud|pmd|pte: checks the size of the entry of the first byte in a mapping of a
 * gigabyte.
 */
static int entry_is(char **w)
{
	uint64_t *p = mmap(NULL, WINDOW, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
			   fd_of(w[1]), 0);
	const char *is;

	if (p == MAP_FAILED)
		return -1;
	touched = *p;
	is = entry_at((unsigned long)p);
	munmap(p, WINDOW);
	if (!strcmp(is, w[2]))
		return 0;
	printf("line %u: mapped by a %s\n", line_nr, is);
	errno = EBADE;
	return -1;
}

const struct command file_commands[] = {
	{ "open",	3, open_path },
	{ "by_handle",	3, open_by_handle },
	{ "make",	3, make },
	{ "memfd",	2, memfd },
	{ "unlink",	1, unlink_path },
	{ "truncate",	2, resize },
	{ "alloc",	3, space },
	{ "punch",	3, space },
	{ "reserve",	2, reserve },
	{ "perforate",	2, perforate },
	{ "mark",	3, mark },
	{ "marked",	3, mark },
	{ "seek",	2, seek },
	{ "pos",	2, pos },
	{ "access",	2, access_mode },
	{ "stat",	3, stat_file },
	{ "same",	2, same_file },
	{ "mount",	2, mount_pool },
	{ "entry",	2, entry_is },
	{}
};
