// SPDX-License-Identifier: GPL-2.0
/*
 * The tool of the VM tests for files on guestmemfs, which have no read() and no write() for a shell
 * to use. It fills files with a pattern and checks it, keeps them open, and describes them.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/elf.h>
#include <linux/falloc.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/guestmemfs.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <x86intrin.h>

#include "size.h"

#define BLOCK	(2UL << 20)
#define GROUP	(512 * BLOCK)
#define USER_END	0x800000000000

static unsigned long parse(const char *text)
{
	unsigned long n;

	if (!parse_size(text, &n))
		errx(2, "%s: not a number", text);
	return n;
}

/* Each word of a pattern depends on its index. Seed 0 is zeroes. */
static uint64_t word(uint64_t seed, uint64_t index)
{
	return seed ? (index + seed * 0x100000001b3) * 0x9e3779b97f4a7c15 : 0;
}

/* Opens a file for reading and writing, on a read-only mount for reading. */
static int open_file(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0 && errno == EROFS)
		fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		err(1, "%s", path);
	return fd;
}

static uint64_t *map_file(int fd, unsigned long offset, unsigned long len)
{
	int prot = (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR ? PROT_READ | PROT_WRITE : PROT_READ;
	void *p = mmap(NULL, len, prot, MAP_SHARED | MAP_NORESERVE, fd, offset);

	if (p == MAP_FAILED)
		err(1, "mmap of %lu bytes at %lu", len, offset);
	return p;
}

static void fill(uint64_t *p, uint64_t seed, unsigned long offset, unsigned long len)
{
	for (unsigned long i = 0; i < len / 8; i++)
		p[i] = word(seed, offset / 8 + i);
}

static bool matches(const uint64_t *p, uint64_t seed, unsigned long offset, unsigned long len)
{
	for (unsigned long i = 0; i < len / 8; i++) {
		if (p[i] == word(seed, offset / 8 + i))
			continue;
		printf("at byte %lu: %#lx instead of %#lx\n", offset + i * 8, p[i],
		       word(seed, offset / 8 + i));
		return false;
	}
	return true;
}

/* fill|check|hold FILE SEED OFFSET LENGTH */
static int pattern(char **argv)
{
	uint64_t seed = parse(argv[3]);
	unsigned long offset = parse(argv[4]), len = parse(argv[5]);
	uint64_t *p = map_file(open_file(argv[2]), offset, len);

	if (!strcmp(argv[1], "check"))
		return !matches(p, seed, offset, len);
	fill(p, seed, offset, len);
	if (!strcmp(argv[1], "fill"))
		return 0;
	puts("holding");
	fflush(stdout);
	/* "hold" writes the same bytes again and again, until the machine stops. */
	for (;;)
		fill(p, seed, offset, len);
}

/* alloc|punch FILE OFFSET LENGTH */
static int space(char **argv)
{
	int mode = strcmp(argv[1], "punch") ? 0 : FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

	if (fallocate(open_file(argv[2]), mode, parse(argv[3]), parse(argv[4])))
		err(1, "%s %s", argv[1], argv[2]);
	return 0;
}

/*
 * move FROM OFFSET TO OFFSET LENGTH [zero]: moves memory from one file to a hole of another one,
 * with its contents or zeroed. An error names the byte that is in the way.
 */
static int move_memory(char **argv)
{
	struct guestmemfs_move move = {
		.size		= sizeof(move),
		.from_fd	= open_file(argv[2]),
		.from_offset	= parse(argv[3]),
		.offset		= parse(argv[5]),
		.length		= parse(argv[6]),
	};
	int to = open_file(argv[4]);

	if (argv[7] && strcmp(argv[7], "zero"))
		errx(2, "%s: the last argument can only be zero", argv[7]);
	move.flags = argv[7] ? GUESTMEMFS_MOVE_ZERO : 0;
	if (!ioctl(to, GUESTMEMFS_IOC_MOVE, &move))
		return 0;
	if (errno == EAGAIN || errno == EEXIST)
		err(1, "%s: byte %llu %s",
		    argv[move.error_file == GUESTMEMFS_MOVE_TO ? 4 : 2], move.error_offset,
		    errno == EAGAIN ? "is pinned" : "has memory already");
	err(1, "move from %s to %s", argv[2], argv[4]);
}

/*
 * orphan FILE|DIRECTORY LENGTH: keeps an allocated file without a name open until the machine
 * stops. FILE is unlinked; in DIRECTORY the file is made with O_TMPFILE.
 */
static int orphan(char **argv)
{
	unsigned long len = parse(argv[3]);
	bool nameless = !access(argv[2], F_OK);
	int fd = open(argv[2], O_RDWR | (nameless ? O_TMPFILE : O_CREAT | O_EXCL), 0600);

	if (fd < 0 || ftruncate(fd, len) || fallocate(fd, 0, 0, len) ||
	    (!nameless && unlink(argv[2])))
		err(1, "%s", argv[2]);
	fill(map_file(fd, 0, len), 1, 0, len);
	puts("holding");
	fflush(stdout);
	for (;;)
		pause();
}

static void print_data(int fd)
{
	off_t data = 0, hole = 0;

	printf(" data");
	while ((data = lseek(fd, hole, SEEK_DATA)) >= 0) {
		hole = lseek(fd, data, SEEK_HOLE);
		if (hole < 0)
			err(1, "SEEK_HOLE");
		printf(" %ld-%ld", data, hole);
	}
	if (errno != ENXIO)
		err(1, "SEEK_DATA");
}

static void print_time(const char *name, const struct statx_timestamp *t)
{
	printf(" %s %lld.%09u", name, t->tv_sec, t->tv_nsec);
}

union handle {
	struct file_handle h;
	char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
};

/* Prints the handle of a file in hexadecimal digits. */
static void print_handle(const char *path)
{
	union handle handle = { .h.handle_bytes = MAX_HANDLE_SZ };
	int mount_id;

	if (name_to_handle_at(AT_FDCWD, path, &handle.h, &mount_id, 0))
		err(1, "handle of %s", path);
	printf("%x:", handle.h.handle_type);
	for (unsigned int i = 0; i < handle.h.handle_bytes; i++)
		printf("%02x", handle.h.f_handle[i]);
}

/* Prints on one line all attributes of a file that must be kept. */
static void describe(const char *path)
{
	struct statx s;

	if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME, &s))
		err(1, "%s", path);
	if (!(s.stx_mask & STATX_BTIME))
		errx(1, "%s has no time of birth", path);
	printf("%s ino %llu mode %o links %u owner %u:%u size %llu blocks %llu", path, s.stx_ino,
	       s.stx_mode, s.stx_nlink, s.stx_uid, s.stx_gid, s.stx_size, s.stx_blocks);
	print_time("mtime", &s.stx_mtime);
	print_time("ctime", &s.stx_ctime);
	print_time("btime", &s.stx_btime);
	printf(" handle ");
	print_handle(path);
	if (S_ISREG(s.stx_mode)) {
		int fd = open_file(path);

		print_data(fd);
		close(fd);
	}
	putchar('\n');
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int not_dots(const struct dirent *d)
{
	return strcmp(d->d_name, ".") && strcmp(d->d_name, "..");
}

/* Calls @each for @dir and all files and directories below it, sorted by name. */
static void walk(const char *dir, void (*each)(const char *path))
{
	struct dirent **list;
	int n = scandir(dir, &list, not_dots, by_name);

	if (n < 0)
		err(1, "%s", dir);
	each(dir);
	for (int i = 0; i < n; i++) {
		char path[512];

		snprintf(path, sizeof(path), "%s/%s", dir, list[i]->d_name);
		if (list[i]->d_type == DT_DIR)
			walk(path, each);
		else
			each(path);
		free(list[i]);
	}
	free(list);
}

static unsigned long sectors, inodes;

static void count_sectors(const char *path)
{
	struct stat s;

	if (lstat(path, &s))
		err(1, "%s", path);
	sectors += s.st_blocks;
	inodes++;
}

/*
 * df DIR [LOST]: checks that free blocks, the blocks of all files, and the bytes that memory errors
 * have cost, are the whole pool.
 */
static int df(char **argv)
{
	unsigned long lost = argv[3] ? parse(argv[3]) : 0;
	struct statvfs s;

	if (statvfs(argv[2], &s))
		err(1, "%s", argv[2]);
	walk(argv[2], count_sectors);
	printf("blocks %lu free %lu in files %lu, inodes %lu free %lu with names %lu, id %lx\n",
	       s.f_blocks, s.f_bfree, sectors * 512 / s.f_bsize, s.f_files, s.f_ffree, inodes,
	       s.f_fsid);
	return s.f_bfree + (sectors * 512 + lost) / s.f_bsize != s.f_blocks ||
	       s.f_ffree + inodes != s.f_files;
}

/* handle FILE: prints the handle, as open_handle takes it. */
static int handle(char **argv)
{
	print_handle(argv[2]);
	putchar('\n');
	return 0;
}

/* open_handle DIR HANDLE: opens the file by its handle on the mount of DIR, and describes it. */
static int open_handle(char **argv)
{
	int dir = open(argv[2], O_RDONLY | O_DIRECTORY), fd, used;
	union handle handle = {};
	const char *p = argv[3];
	struct stat s;

	if (sscanf(p, "%x:%n", (unsigned int *)&handle.h.handle_type, &used) != 1)
		errx(2, "%s: not a handle", p);
	for (p += used; sscanf(p, "%2hhx", &handle.h.f_handle[handle.h.handle_bytes]) == 1; p += 2)
		if (++handle.h.handle_bytes == MAX_HANDLE_SZ)
			break;
	fd = open_by_handle_at(dir, &handle.h, O_RDONLY);
	if (fd < 0 || fstat(fd, &s))
		err(1, "%s", argv[3]);
	printf("ino %lu size %lu\n", s.st_ino, s.st_size);
	return 0;
}

/* many DIR COUNT: makes COUNT files in DIR. */
static int many(char **argv)
{
	int dir = open(argv[2], O_RDONLY | O_DIRECTORY);

	for (unsigned long i = 0, n = parse(argv[3]); i < n; i++) {
		char name[32];

		snprintf(name, sizeof(name), "%lx", i * 0x9e3779b97f4a7c15);
		if (mknodat(dir, name, S_IFREG | 0600, 0))
			err(1, "file %lu of %lu", i, n);
	}
	return 0;
}

static int list(char **argv)
{
	walk(argv[2], describe);
	return 0;
}

/* The bytes that are read go here, so that the compiler keeps the reads. */
char touched;

/* leaves FILE: maps the file, touches it, and counts its page table entries by size. */
static int leaves(char **argv)
{
	int fd = open_file(argv[2]);
	unsigned long count[3] = {}, from, to, len;
	static const char * const names[] = { "pud", "pmd", "pte" };
	static const unsigned long sizes[] = { GROUP, BLOCK, 4096 };
	struct stat s;
	char line[512];
	const char *p;
	FILE *dump;

	if (fstat(fd, &s))
		err(1, "%s", argv[2]);
	len = s.st_size;
	p = (void *)map_file(fd, 0, len);
	for (unsigned long at = 0; at < len; at += 4096)
		touched += p[at];
	dump = fopen("/sys/kernel/debug/page_tables/current_kernel", "r");
	if (!dump)
		err(1, "the dump of the page tables");
	while (fgets(line, sizeof(line), dump)) {
		if (sscanf(line, "0x%lx-0x%lx", &from, &to) != 2)
			continue;
		if (from >= USER_END)
			break;
		if (from < (unsigned long)p || to > (unsigned long)p + len)
			continue;
		for (int i = 0; i < 3; i++)
			if (strstr(line, names[i]))
				count[i] += (to - from) / sizes[i];
	}
	printf("pud %lu pmd %lu pte %lu\n", count[0], count[1], count[2]);
	return 0;
}

/* frame FILE OFFSET: prints the physical address of a page that has memory. */
static int frame(char **argv)
{
	unsigned long offset = parse(argv[3]);
	struct {
		struct fiemap map;
		struct fiemap_extent extent;
	} f = {
		.map = { .fm_start = offset, .fm_length = 4096, .fm_extent_count = 1 },
	};

	if (ioctl(open_file(argv[2]), FS_IOC_FIEMAP, &f) || f.map.fm_mapped_extents != 1)
		errx(1, "%s: no memory at %lu", argv[2], offset);
	printf("%#llx\n", f.extent.fe_physical + (offset - f.extent.fe_logical));
	return 0;
}

/* core: prints the physical ranges that the crashed kernel has left in /proc/vmcore. */
static int core(char **argv)
{
	int fd = open("/proc/vmcore", O_RDONLY);
	struct elf64_hdr head;
	struct elf64_phdr ph;

	if (fd < 0 || pread(fd, &head, sizeof(head), 0) != sizeof(head))
		err(1, "/proc/vmcore");
	for (int i = 0; i < head.e_phnum; i++) {
		if (pread(fd, &ph, sizeof(ph), head.e_phoff + i * sizeof(ph)) != sizeof(ph))
			err(1, "program header %d", i);
		if (ph.p_type == PT_LOAD)
			printf("%#llx %#llx\n", ph.p_paddr, ph.p_paddr + ph.p_memsz);
	}
	return 0;
}

/* tsc: prints the time stamp counter, which continues across a kexec. */
static int tsc(char **argv)
{
	printf("%llu\n", __rdtsc());
	return 0;
}

static const struct {
	const char *name;
	int nr_args;
	int (*run)(char **argv);
} commands[] = {
	{ "fill",	4, pattern },
	{ "check",	4, pattern },
	{ "hold",	4, pattern },
	{ "alloc",	3, space },
	{ "punch",	3, space },
	{ "move",	5, move_memory },
	{ "move",	6, move_memory },
	{ "orphan",	2, orphan },
	{ "handle",	1, handle },
	{ "open_handle", 2, open_handle },
	{ "many",	2, many },
	{ "list",	1, list },
	{ "df",		1, df },
	{ "df",		2, df },
	{ "leaves",	1, leaves },
	{ "frame",	2, frame },
	{ "core",	0, core },
	{ "tsc",	0, tsc },
	{}
};

int main(int argc, char **argv)
{
	for (int i = 0; argc > 1 && commands[i].name; i++)
		if (!strcmp(argv[1], commands[i].name) && argc == commands[i].nr_args + 2)
			return commands[i].run(argv);
	errx(2, "unknown command, or not the arguments that it takes");
}
