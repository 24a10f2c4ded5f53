// SPDX-License-Identifier: GPL-2.0-only
/*
 * For LD_PRELOAD: GUESTMEMFS_IOC_GET_STATE on files of any filesystem, and unlink().
 * $GUESTMEMCTL_ROOT/states has lines NAME OFFSET LENGTH STATE, ascending for each file; what is
 * between them is a hole.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/guestmemfs.h>

static void name_of(int fd, char *name)
{
	char link[64], path[PATH_MAX];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	path[n > 0 ? n : 0] = 0;
	snprintf(name, NAME_MAX, "%.200s", strrchr(path, '/') ? strrchr(path, '/') + 1 : "");
}

static int get_state(int fd, struct guestmemfs_get_state *s)
{
	unsigned long long offset, length, state;
	char name[NAME_MAX], other[NAME_MAX], path[PATH_MAX];
	FILE *file;

	name_of(fd, name);
	snprintf(path, sizeof(path), "%s/states", getenv("GUESTMEMCTL_ROOT"));
	file = fopen(path, "r");
	if (!file) {
		errno = ENOTTY;
		return -1;
	}
	s->state = 0;
	s->length = ULLONG_MAX / 2;
	while (fscanf(file, "%200s %llu %llu %llu", other, &offset, &length, &state) == 4) {
		if (strcmp(name, other) || offset + length <= s->offset)
			continue;
		if (offset > s->offset) {
			s->length = offset - s->offset;
		} else {
			s->length = offset + length - s->offset;
			s->state = state;
		}
		break;
	}
	fclose(file);
	return 0;
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *arg;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	if (request == GUESTMEMFS_IOC_GET_STATE)
		return get_state(fd, arg);
	errno = ENOTTY;
	return -1;
}

/* With a file "read-only" in the tree, records are on a filesystem that has become so. */
int unlink(const char *path)
{
	char flag[PATH_MAX];
	size_t n = strlen(path);

	snprintf(flag, sizeof(flag), "%s/read-only", getenv("GUESTMEMCTL_ROOT"));
	if (n > 5 && !strcmp(path + n - 5, ".json") && !access(flag, F_OK)) {
		errno = EROFS;
		return -1;
	}
	return unlinkat(AT_FDCWD, path, 0);
}
