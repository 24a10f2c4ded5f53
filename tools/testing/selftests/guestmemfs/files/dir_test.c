// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reading directories of guestmemfs: types and inode numbers of the entries, and positions, which
 * stay valid. name_test reads directories with many names, vm/tests/names with more.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "fixture.h"

#define NAMES	300

/* The entries that getdents64() has returned. */
struct listing {
	struct {
		char name[24];
		uint64_t ino;
		int64_t next;
		unsigned char type;
	} entry[NAMES + 2];
	int nr;
};

/* Adds the next entries: all of them, or one buffer full. */
static int read_more(int dir, struct listing *l, bool all)
{
	char buf[512];
	long len, at;

	while ((len = syscall(SYS_getdents64, dir, buf, sizeof(buf))) > 0) {
		for (at = 0; at < len; at += ((struct dirent64 *)(buf + at))->d_reclen) {
			struct dirent64 *d = (void *)(buf + at);

			if (l->nr == ARRAY_SIZE(l->entry))
				return -1;
			snprintf(l->entry[l->nr].name, sizeof(l->entry[0].name), "%.23s",
				 d->d_name);
			l->entry[l->nr].ino = d->d_ino;
			l->entry[l->nr].next = d->d_off;
			l->entry[l->nr++].type = d->d_type;
		}
		if (!all)
			return 0;
	}
	return len;
}

static int read_on(int dir, struct listing *l)
{
	l->nr = 0;
	return read_more(dir, l, true);
}

static int find(const struct listing *l, const char *name)
{
	int i;

	for (i = 0; i < l->nr; i++)
		if (!strcmp(l->entry[i].name, name))
			return i;
	return -1;
}

static int times_listed(const struct listing *l, uint64_t ino)
{
	int i, n = 0;

	for (i = 0; i < l->nr; i++)
		n += l->entry[i].ino == ino;
	return n;
}

static char *numbered(int i)
{
	static char name[16];

	snprintf(name, sizeof(name), "n%d", i);
	return name;
}

static void make_names(struct __test_metadata *_metadata, const struct pool *p)
{
	int i;

	for (i = 0; i < NAMES; i++) {
		const char *path = pool_path(p, numbered(i));

		ASSERT_EQ(0, i % 3 ? mknod(path, S_IFREG | 0600, 0) : mkdir(path, 0700));
	}
}

TEST_F(in_pool, kinds_and_numbers)
{
	int dir = open(self->p.dir, O_RDONLY | O_DIRECTORY), i, round;
	static struct listing l;
	struct stat st;

	make_names(_metadata, &self->p);
	for (round = 0; round < 2; round++) {
		ASSERT_EQ(0, read_on(dir, &l));
		ASSERT_EQ(NAMES + 2, l.nr);
		for (i = 0; i < NAMES; i++) {
			int at = find(&l, numbered(i));

			ASSERT_GE(at, 0)
				TH_LOG("%s is missing", numbered(i));
			ASSERT_EQ(0, stat(pool_path(&self->p, numbered(i)), &st));
			EXPECT_EQ(st.st_ino, l.entry[at].ino);
			EXPECT_EQ(i % 3 ? DT_REG : DT_DIR, l.entry[at].type);
		}
		ASSERT_EQ(0, stat(self->p.dir, &st));
		EXPECT_EQ(st.st_ino, l.entry[find(&l, ".")].ino);
		EXPECT_EQ(DT_DIR, l.entry[find(&l, ".")].type);
		ASSERT_EQ(0, stat(self->p.mnt, &st));
		EXPECT_EQ(st.st_ino, l.entry[find(&l, "..")].ino);
		close(dir);
		ASSERT_EQ(0, pool_remount(&self->p));
		dir = open(self->p.dir, O_RDONLY | O_DIRECTORY);
	}
	close(dir);
}

/*
 * Reading continues at a stored position, no matter which entries were added or removed before and
 * after it.
 */
TEST_F(in_pool, positions)
{
	int dir = open(self->p.dir, O_RDONLY | O_DIRECTORY), other, i, at;
	static struct listing all, rest;

	make_names(_metadata, &self->p);
	ASSERT_EQ(0, read_on(dir, &all));
	ASSERT_EQ(NAMES + 2, all.nr);
	for (at = 0; at < all.nr; at += 37) {
		ASSERT_EQ(all.entry[at].next, lseek(dir, all.entry[at].next, SEEK_SET));
		ASSERT_EQ(0, read_on(dir, &rest));
		ASSERT_EQ(all.nr - at - 1, rest.nr);
		for (i = 0; i < rest.nr; i++)
			EXPECT_STREQ(all.entry[at + 1 + i].name, rest.entry[i].name);
	}
	/* A position is valid for each descriptor of the directory. */
	other = open(self->p.dir, O_RDONLY | O_DIRECTORY);
	ASSERT_EQ(all.entry[99].next, lseek(other, all.entry[99].next, SEEK_SET));
	ASSERT_EQ(0, read_on(other, &rest));
	EXPECT_EQ(all.nr - 100, rest.nr);
	EXPECT_STREQ(all.entry[100].name, rest.entry[0].name);
	close(other);
	/*
	 * Find two files in a row, at @at and @at + 1, and remove the second. Reading from the
	 * position of the first one continues with the entry after both.
	 */
	for (at = 2; !(all.entry[at].type == DT_REG && all.entry[at + 1].type == DT_REG); at++)
		;
	ASSERT_EQ(0, unlink(pool_path(&self->p, all.entry[at + 1].name)));
	close(file_make(&self->p, "new", 0));
	ASSERT_EQ(0, rename(pool_path(&self->p, "new"), pool_path(&self->p, "newer")));
	ASSERT_EQ(all.entry[at].next, lseek(dir, all.entry[at].next, SEEK_SET));
	ASSERT_EQ(0, read_on(dir, &rest));
	EXPECT_STREQ(all.entry[at + 2].name, rest.entry[0].name);
	EXPECT_EQ(-1, find(&rest, all.entry[at + 1].name));
	EXPECT_EQ(-1, find(&rest, all.entry[at].name));
	/* After a rewind, the new file is listed, once. */
	ASSERT_EQ(0, lseek(dir, 0, SEEK_SET));
	ASSERT_EQ(0, read_on(dir, &rest));
	EXPECT_EQ(all.nr, rest.nr);
	EXPECT_GE(find(&rest, "newer"), 0);
	EXPECT_EQ(-1, find(&rest, "new"));
	close(dir);
}

/* Removes the next entry, which is the last one. */
TEST_F(in_pool, last_one_goes)
{
	int dir = open(self->p.dir, O_RDONLY | O_DIRECTORY);
	static struct listing all, rest;
	const char *last;

	make_names(_metadata, &self->p);
	ASSERT_EQ(0, read_on(dir, &all));
	last = pool_path(&self->p, all.entry[all.nr - 1].name);
	ASSERT_EQ(0, all.entry[all.nr - 1].type == DT_DIR ? rmdir(last) : unlink(last));
	ASSERT_LE(0, lseek(dir, all.entry[all.nr - 2].next, SEEK_SET));
	ASSERT_EQ(0, read_on(dir, &rest));
	EXPECT_EQ(0, rest.nr);
	close(dir);
}

struct meanwhile {
	unsigned int flags;
	/* The files that are renamed: the nth one already read (n > 0) or not read yet (n < 0). */
	int from, to;
};

static const struct meanwhile meanwhiles[] = {
	{ RENAME_EXCHANGE,	1,	-1 },
	{ RENAME_EXCHANGE,	-1,	1 },
	{ RENAME_EXCHANGE,	1,	2 },
	{ RENAME_EXCHANGE,	-1,	-2 },
	{ 0,			1,	0 },	/* to 0: a new name */
	{ 0,			-1,	0 },
	{ 0,			1,	2 },
	{ 0,			-1,	-2 },
	{ 0,			1,	-1 },
	{ 0,			-1,	1 },
};

/* Returns the name of the nth file before or after the next entry. */
static const char *chosen(const struct listing *all, int next, int which)
{
	int step = which > 0 ? -1 : 1, at = next + step, n = abs(which);

	if (!which)
		return "fresh";
	while (all->entry[at].type != DT_REG || --n)
		at += step;
	return all->entry[at].name;
}

/*
 * Renames files between two reads, and then removes the next entry: each entry that was not changed
 * is listed once, although the order of the entries has changed.
 */
TEST_F(in_pool, renamed_while_read)
{
	static struct listing all, seen;
	int dir, next, i, k;

	make_names(_metadata, &self->p);
	for (k = 0; k < ARRAY_SIZE(meanwhiles); k++) {
		const struct meanwhile *m = &meanwhiles[k];
		const char *from, *to, *path;

		dir = open(self->p.dir, O_RDONLY | O_DIRECTORY);
		ASSERT_EQ(0, read_on(dir, &all));
		ASSERT_EQ(0, lseek(dir, 0, SEEK_SET));
		seen.nr = 0;
		for (i = 0; i < 5; i++)
			ASSERT_EQ(0, read_more(dir, &seen, false));
		next = seen.nr;
		from = chosen(&all, next, m->from);
		to = chosen(&all, next, m->to);
		ASSERT_EQ(0, syscall(SYS_renameat2, AT_FDCWD, pool_path(&self->p, from), AT_FDCWD,
				     pool_path(&self->p, to), m->flags));
		path = pool_path(&self->p, all.entry[next].name);
		ASSERT_EQ(0, all.entry[next].type == DT_DIR ? rmdir(path) : unlink(path));
		ASSERT_EQ(0, read_more(dir, &seen, true));
		for (i = 0; i < all.nr; i++) {
			if (i == next || !strcmp(all.entry[i].name, from) ||
			    !strcmp(all.entry[i].name, to))
				continue;
			EXPECT_EQ(1, times_listed(&seen, all.entry[i].ino))
				TH_LOG("case %d, entry %d of %d, %d were read", k, i, all.nr, next);
		}
		EXPECT_EQ(-1, find(&seen, all.entry[next].name));
		/* A file with a new name is listed under the old name or under the new one. */
		if (!m->to)
			EXPECT_NE(find(&seen, from) < 0, find(&seen, "fresh") < 0);
		unlink(pool_path(&self->p, "fresh"));
		close(dir);
	}
}

/* A loop that renames each entry that it reads, and renames it back, comes to an end. */
TEST_F(in_pool, renamed_as_read)
{
	int dir = open(self->p.dir, O_RDONLY | O_DIRECTORY), i, done = 0;
	static struct listing l;

	make_names(_metadata, &self->p);
	l.nr = 0;
	do {
		for (i = done; i < l.nr; i++) {
			const char *path = pool_path(&self->p, l.entry[i].name);

			if (l.entry[i].name[0] == '.')
				continue;
			ASSERT_EQ(0, rename(path, pool_path(&self->p, "fresh")));
			path = pool_path(&self->p, l.entry[i].name);
			ASSERT_EQ(0, rename(pool_path(&self->p, "fresh"), path));
		}
		done = l.nr;
		ASSERT_EQ(0, read_more(dir, &l, false));
	} while (l.nr > done);
	EXPECT_EQ(NAMES + 2, l.nr);
	close(dir);
}

/* As in other filesystems, a directory that was removed allows lseek(), and has no entries. */
TEST_F(in_pool, gone_while_read)
{
	static struct listing l;
	int dir;

	ASSERT_EQ(0, mkdir(pool_path(&self->p, "d"), 0700));
	dir = open(pool_path(&self->p, "d"), O_RDONLY | O_DIRECTORY);
	ASSERT_EQ(0, read_on(dir, &l));
	EXPECT_EQ(2, l.nr);
	ASSERT_EQ(0, rmdir(pool_path(&self->p, "d")));
	EXPECT_EQ(0, lseek(dir, 0, SEEK_SET));
	EXPECT_EQ(ENOENT, ERR(syscall(SYS_getdents64, dir, &l, sizeof(l))));
	close(dir);
}

TEST_HARNESS_MAIN
