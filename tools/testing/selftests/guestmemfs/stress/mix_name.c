// SPDX-License-Identifier: GPL-2.0-only
/*
 * The mixer's operations on names: making, removing and renaming files in two directories.
 */
#define _GNU_SOURCE
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "mix.h"

#define PATH_BYTES	256

static char *path_room(void)
{
	static char paths[4][PATH_BYTES];
	static unsigned int which;

	return paths[which++ % 4];
}

/* The result is valid until the fourth call of the functions that return a path. */
const char *dir_path(const struct mix *m, int dir)
{
	char *path = path_room();

	if (dir && m->nested)
		snprintf(path, PATH_BYTES, "%s/%c0/%c%d", m->pool.dir, m->letters[0],
			 m->letters[dir], dir);
	else
		snprintf(path, PATH_BYTES, "%s/%c%d", m->pool.dir, m->letters[dir], dir);
	return path;
}

static const char *name_path(const struct mix *m, int dir, int name)
{
	const char *in = dir_path(m, dir);
	char *path = path_room();

	snprintf(path, PATH_BYTES, "%.200s/n%d", in, name);
	return path;
}

const char *file_path(const struct mix *m, const struct mix_file *f)
{
	return name_path(m, f->dir, f->name);
}

bool names_init(struct mix *m)
{
	int i;

	for (i = 0; i < NR_FILES; i++) {
		m->files[i].fd = -1;
		m->files[i].name = -1;
	}
	for (i = 0; i < NR_DIRS; i++) {
		m->letters[i] = 'd';
		if (mkdir(dir_path(m, i), 0700))
			return false;
		m->used_inodes++;
	}
	return true;
}

static struct mix_file *named(struct mix *m, int dir, int name)
{
	int i;

	for (i = 0; i < NR_FILES; i++) {
		struct mix_file *f = &m->files[i];

		if (f->exists && f->name == name && f->dir == dir)
			return f;
	}
	return NULL;
}

/* Prefers the large file, if it does not exist. */
static struct mix_file *draw_absent(struct mix *m)
{
	struct mix_file *f = &m->files[draw(m, NR_FILES)];

	if (!m->files[BIG].exists)
		return &m->files[BIG];
	return f->exists ? NULL : f;
}

static struct mix_file *draw_named(struct mix *m)
{
	struct mix_file *f = draw_file(m);

	return f && f->name >= 0 ? f : NULL;
}

/* Updates the model after a file was made, or should have been. */
static enum mix_result made(struct mix *m, struct mix_file *f, int fd, int dir, int name)
{
	int want = model_inodes_left(m) ? 0 : ENOSPC, mount_id;
	struct stat st;

	if (want)
		m->seen[SEEN_NO_INODE]++;
	if (expect(m, ERR(fd), want) != MIX_DONE)
		return MIX_WRONG;
	if (want)
		return MIX_DONE;
	memset(&f->handle, 0, sizeof(f->handle));
	f->handle.h.handle_bytes = MAX_HANDLE_SZ;
	if (fstat(fd, &st) ||
	    name_to_handle_at(fd, "", &f->handle.h, &mount_id, AT_EMPTY_PATH))
		return wrong(m, "stat or handle: %m");
	f->ino = st.st_ino;
	model_new(m, f, fd, dir, name);
	return check_file(m, f);
}

enum mix_result do_create(struct mix *m)
{
	struct mix_file *f = draw_absent(m);
	int dir = draw(m, NR_DIRS), name = draw(m, NR_NAMES), fd;
	const bool taken = named(m, dir, name);

	if (!f)
		return MIX_SKIPPED;
	note(m, "create file %u: %s", nr_of(m, f), name_path(m, dir, name));
	fd = open(name_path(m, dir, name), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (taken)
		return expect(m, ERR(fd), EEXIST);
	return made(m, f, fd, dir, name);
}

enum mix_result do_tmpfile(struct mix *m)
{
	struct mix_file *f = draw_absent(m);
	int dir = draw(m, NR_DIRS);

	if (!f)
		return MIX_SKIPPED;
	note(m, "create file %u: without a name", nr_of(m, f));
	return made(m, f, open(dir_path(m, dir), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600), dir, -1);
}

/* Gives a name to a file. Only a file that was made without a name can get one, once. */
enum mix_result do_link(struct mix *m)
{
	struct mix_file *f = draw_open(m);
	int dir = draw(m, NR_DIRS), name = draw(m, NR_NAMES), want = 0;
	char from[32];

	if (!f || named(m, dir, name) || (m->standin && f->name >= 0))
		return MIX_SKIPPED;
	/* Mostly choose files that can get a name. */
	if (!f->may_link && draw(m, 4))
		return MIX_SKIPPED;
	if (!f->may_link)
		want = f->name >= 0 ? EPERM : ENOENT;
	note(m, "link file %u: to %s", nr_of(m, f), name_path(m, dir, name));
	snprintf(from, sizeof(from), "/proc/self/fd/%d", f->fd);
	if (expect(m, ERR(linkat(AT_FDCWD, from, AT_FDCWD, name_path(m, dir, name),
				 AT_SYMLINK_FOLLOW)), want) != MIX_DONE)
		return MIX_WRONG;
	if (!want) {
		f->may_link = false;
		f->dir = dir;
		f->name = name;
	}
	return check_file(m, f);
}

static void lose_name(struct mix *m, struct mix_file *f)
{
	f->name = -1;
	model_reap(m, f);
}

enum mix_result do_unlink(struct mix *m)
{
	struct mix_file *f = draw_named(m);

	if (!f)
		return MIX_SKIPPED;
	note(m, "unlink file %u: %s%s", nr_of(m, f), file_path(m, f), f->fd < 0 ? "" : ", open");
	if (unlink(file_path(m, f)))
		return wrong(m, "unlink: %m");
	lose_name(m, f);
	return check_free(m);
}

/*
 * Renames a file to a free name, or to that of another file: RENAME_NOREPLACE fails then, and other
 * renames replace the file.
 */
enum mix_result do_rename(struct mix *m)
{
	struct mix_file *f = draw_named(m), *victim;
	int dir = draw(m, NR_DIRS), name = draw(m, NR_NAMES), err;
	unsigned int flags = draw(m, 2) ? RENAME_NOREPLACE : 0;

	if (!f)
		return MIX_SKIPPED;
	victim = named(m, dir, name);
	if (victim == f)
		return MIX_SKIPPED;
	note(m, "rename file %u: %s -> %s%s", nr_of(m, f), file_path(m, f),
	     name_path(m, dir, name), flags ? ", if free" : "");
	err = ERR(syscall(SYS_renameat2, AT_FDCWD, file_path(m, f), AT_FDCWD,
			  name_path(m, dir, name), flags));
	if (victim && flags)
		return expect(m, err, EEXIST);
	if (victim)
		lose_name(m, victim);
	f->dir = dir;
	f->name = name;
	if (expect(m, err, 0) != MIX_DONE)
		return MIX_WRONG;
	return check_free(m);
}

enum mix_result do_exchange(struct mix *m)
{
	struct mix_file *f = draw_named(m), *g = draw_named(m);
	int dir, name;

	if (!f || !g || f == g)
		return MIX_SKIPPED;
	note(m, "exchange file %u, %s, and file %u, %s", nr_of(m, f), file_path(m, f), nr_of(m, g),
	     file_path(m, g));
	if (syscall(SYS_renameat2, AT_FDCWD, file_path(m, f), AT_FDCWD, file_path(m, g),
		    RENAME_EXCHANGE))
		return wrong(m, "rename: %m");
	dir = f->dir;
	name = f->name;
	f->dir = g->dir;
	f->name = g->name;
	g->dir = dir;
	g->name = name;
	return MIX_DONE;
}

/* Renames a directory. The second one may also move into or out of the first. */
enum mix_result do_rename_dir(struct mix *m)
{
	int dir = draw(m, NR_DIRS);
	const char *from = dir_path(m, dir), *to;

	m->letters[dir] ^= 'd' ^ 'e';
	if (dir && draw(m, 2))
		m->nested = !m->nested;
	to = dir_path(m, dir);
	note(m, "rename %s -> %s", from, to);
	return expect(m, ERR(rename(from, to)), 0);
}

enum mix_result do_close(struct mix *m)
{
	struct mix_file *f = draw_open(m);

	if (!f)
		return MIX_SKIPPED;
	note(m, "close file %u%s", nr_of(m, f), f->name < 0 ? ", without a name" : "");
	if (close(f->fd))
		return wrong(m, "close: %m");
	f->fd = -1;
	if (model_reap(m, f))
		m->seen[SEEN_ORPHAN]++;
	return check_free(m);
}

static int open_handle(struct mix *m, union mix_handle *handle)
{
	int dir = open(m->pool.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int fd = open_by_handle_at(dir, &handle->h, O_RDWR | O_CLOEXEC), err = errno;

	close(dir);
	errno = err;
	return fd;
}

/* Opens a file by name or by handle, and closes its old descriptor. */
enum mix_result do_open(struct mix *m)
{
	struct mix_file *f = draw_file(m);
	bool by_handle = draw(m, 2);
	int fd;

	if (!f || (f->name < 0 && (!by_handle || m->standin)))
		return MIX_SKIPPED;
	/* Mostly choose files that are not open. */
	if (f->fd >= 0 && draw(m, 4))
		return MIX_SKIPPED;
	note(m, "open file %u by %s", nr_of(m, f), by_handle ? "handle" : file_path(m, f));
	fd = by_handle ? open_handle(m, &f->handle) : open(file_path(m, f), O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return wrong(m, "open: %m");
	if (f->fd >= 0)
		close(f->fd);
	f->fd = fd;
	return check_file(m, f);
}

/* The handle of a freed file stays stale, even if its inode number is used again. */
enum mix_result do_stale(struct mix *m)
{
	if (!m->gone.h.handle_bytes)
		return MIX_SKIPPED;
	note(m, "open what is gone");
	return expect(m, ERR(open_handle(m, &m->gone)), ESTALE);
}
