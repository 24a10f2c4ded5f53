// SPDX-License-Identifier: GPL-2.0
/*
 * The demo's tool for files on guestmemfs while no VMM runs. These files have no read() and no
 * write(), so that cat, cp and dd cannot be used: this tool maps them.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest.h"

struct map {
	unsigned char *bytes;
	size_t size;
};

static void die(const char *path, const char *what)
{
	fprintf(stderr, "ramtool: %s: %s: %s\n", path, what, strerror(errno));
	exit(1);
}

static struct map map_open(const char *path, int flags, off_t resize)
{
	int prot = (flags & O_ACCMODE) == O_RDONLY ? PROT_READ : PROT_READ | PROT_WRITE;
	int fd = open(path, flags, 0600);
	struct map map;
	struct stat st;

	if (fd < 0)
		die(path, "open");
	if (resize >= 0 && ftruncate(fd, resize))
		die(path, "ftruncate");
	if (fstat(fd, &st))
		die(path, "fstat");
	map.size = st.st_size;
	if (!map.size) {
		errno = ENODATA;
		die(path, "empty file");
	}
	map.bytes = mmap(NULL, map.size, prot, MAP_SHARED, fd, 0);
	if (map.bytes == MAP_FAILED)
		die(path, "mmap");
	close(fd);
	return map;
}

static struct guest_header *find_header(const char *path, struct map *map)
{
	struct guest_header *hdr = (struct guest_header *)(map->bytes + GUEST_HEADER_ADDR);

	errno = EINVAL;
	if (map->size < GUEST_PATTERN_ADDR)
		die(path, "too small to be the guest's RAM");
	if (hdr->magic != GUEST_MAGIC)
		die(path, "the guest's header is not in its RAM");
	return hdr;
}

static int show(const char *path)
{
	struct map map = map_open(path, O_RDONLY, -1);
	struct guest_header *hdr = find_header(path, &map);

	printf("count=%llu pages=%u epoch=%u beats=%u lost=%llu\n",
	       hdr->count, hdr->pages, hdr->epoch, hdr->beats, hdr->lost);
	return 0;
}

static int copy(const char *from, const char *to)
{
	struct map src = map_open(from, O_RDONLY, -1);
	struct map dst = map_open(to, O_RDWR | O_CREAT | O_TRUNC, src.size);

	memcpy(dst.bytes, src.bytes, src.size);
	return 0;
}

/* Makes damage that the demo has to notice. The middle of a file has the pattern. */
static int damage(const char *path, const char *what)
{
	struct map map = map_open(path, O_RDWR, -1);
	unsigned char *middle = map.bytes + map.size / 2 / GUEST_PAGE_SIZE * GUEST_PAGE_SIZE;

	if (!strcmp(what, "count")) {
		find_header(path, &map)->count ^= 1 << 8;
	} else if (!strcmp(what, "pattern")) {
		*(unsigned int *)middle ^= 1 << 8;
	} else if (!strcmp(what, "page")) {
		memset(middle, 0, GUEST_PAGE_SIZE);
	} else {
		errno = EINVAL;
		die(what, "not one of count, pattern, page");
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "show"))
		return show(argv[2]);
	if (argc == 4 && !strcmp(argv[1], "copy"))
		return copy(argv[2], argv[3]);
	if (argc == 4 && !strcmp(argv[1], "plant"))
		return damage(argv[2], argv[3]);
	fprintf(stderr, "usage: ramtool show RAM | copy FROM TO | plant RAM count|pattern|page\n");
	return 2;
}
