// SPDX-License-Identifier: GPL-2.0-only
/*
 * For LD_PRELOAD: GUESTMEMFS_IOC_GET_STATE on files of any filesystem, and unlink(), statvfs() and
 * fsync() of a disk with an error. $GUESTMEMCTL_ROOT/states has lines NAME OFFSET LENGTH STATE,
 * ascending for each file; what is between them is a hole.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/guestmemfs.h>

static bool is_flagged(const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", getenv("GUESTMEMCTL_ROOT"), name);
	return !access(path, F_OK);
}

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
	size_t n = strlen(path);

	if (n > 5 && !strcmp(path + n - 5, ".json") && is_flagged("read-only")) {
		errno = EROFS;
		return -1;
	}
	return unlinkat(AT_FDCWD, path, 0);
}

/* With a file "full" in the tree, no disk has room. The name is that for files of any size. */
int statvfs64(const char *path, struct statvfs64 *fs)
{
	int fd = open(path, O_PATH | O_CLOEXEC), rc;

	if (fd < 0)
		return -1;
	rc = fstatvfs64(fd, fs);
	close(fd);
	if (is_flagged("full"))
		fs->f_bavail = 0;
	return rc;
}

/* With a file "lost.NAME" in the tree, what was written to a file of that name has no room. */
int fsync(int fd)
{
	char name[NAME_MAX], flag[NAME_MAX + 8];

	name_of(fd, name);
	snprintf(flag, sizeof(flag), "lost.%s", name);
	if (is_flagged(flag)) {
		errno = ENOSPC;
		return -1;
	}
	return syscall(SYS_fsync, fd);
}
