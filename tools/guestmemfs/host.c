// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files of the system. All of them are below $GUESTMEMCTL_ROOT, if that is set: the tests have
 * recorded trees there.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guestmemctl.h"

char *host_path(const char *path)
{
	const char *root = getenv("GUESTMEMCTL_ROOT");

	return text("%s%s", root ? root : "", path);
}

/* Reads a file to its end, without the last newline. Returns NULL and sets errno if it cannot. */
char *host_read(const char *path)
{
	char *real = host_path(path), *buf = NULL;
	size_t have = 0, room = 0;
	FILE *file = fopen(real, "re");
	int err = errno;

	free(real);
	if (!file) {
		errno = err;
		return NULL;
	}
	do {
		if (room - have < 2) {
			room = room ? 2 * room : 4096;
			buf = xrealloc(buf, room, 1);
		}
		have += fread(buf + have, 1, room - have - 1, file);
	} while (!feof(file) && !ferror(file));
	err = ferror(file) ? errno : 0;
	fclose(file);
	if (err) {
		free(buf);
		errno = err;
		return NULL;
	}
	if (have && buf[have - 1] == '\n')
		have--;
	buf[have] = 0;
	return buf;
}

uint64_t host_number(const char *path)
{
	char *s = host_read(path);
	uint64_t value;

	if (!s || !number_of(s, &value))
		value = UNKNOWN;
	free(s);
	return value;
}

/* Makes the directory @path, and those above it. */
char *host_make_dirs(const char *path)
{
	char *real = host_path(path), *slash, *why = NULL;

	for (slash = real + 1; !why && slash; ) {
		slash = strchr(slash, '/');
		if (slash)
			*slash = 0;
		if (mkdir(real, 0755) && errno != EEXIST)
			why = text("cannot make the directory %s: %s", real, strerror(errno));
		if (slash)
			*slash++ = '/';
	}
	free(real);
	return why;
}

static char *write_whole(int fd, const char *contents)
{
	size_t left = strlen(contents);

	while (left) {
		ssize_t n = write(fd, contents, left);

		if (n < 0)
			return xstrdup(strerror(errno));
		contents += n;
		left -= n;
	}
	return fsync(fd) ? xstrdup(strerror(errno)) : NULL;
}

static void sync_dir_of(const char *real)
{
	char *dir = xstrdup(real);
	int fd;

	*strrchr(dir, '/') = 0;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
	free(dir);
}

/* Removes a file, and waits until it is gone from the disk. It is no error if there is none. */
char *host_remove(const char *path)
{
	char *real = host_path(path), *why = NULL;

	if (!unlink(real))
		sync_dir_of(real);
	else if (errno != ENOENT && errno != ENOTDIR)
		why = text("cannot remove %s: %s", real, strerror(errno));
	free(real);
	return why;
}

char *host_rename(const char *from, const char *to)
{
	char *real = host_path(from), *other = host_path(to), *why = NULL;

	if (rename(real, other))
		why = text("cannot rename %s: %s", real, strerror(errno));
	else
		sync_dir_of(real);
	free(other);
	free(real);
	return why;
}

/* Replaces a file as a whole, and waits until it is on the disk. */
char *host_write(const char *path, const char *contents)
{
	char *real = host_path(path), *tmp = text("%s.new", real), *why, *reason = NULL;
	int fd;

	/* The directory may belong to the user of a VMM: no link is followed. */
	unlink(tmp);
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	why = fd < 0 ? xstrdup(strerror(errno)) : write_whole(fd, contents);
	if (fd >= 0)
		close(fd);
	if (!why && rename(tmp, real))
		why = xstrdup(strerror(errno));
	if (why)
		reason = text("cannot write %s: %s", real, why);
	else
		sync_dir_of(real);
	free(why);
	free(tmp);
	free(real);
	return reason;
}
