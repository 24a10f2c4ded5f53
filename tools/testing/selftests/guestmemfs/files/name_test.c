// SPDX-License-Identifier: GPL-2.0-only
/*
 * Names in guestmemfs: renameat2() with its flags, long names, many names.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>

#include "harness.h"
#include "util.h"

#define MANY	2000

FIXTURE(name)
{
	int nr;
	struct pool p;
};

FIXTURE_SETUP(name)
{
	int nodes[MAX_POOLS];

	self->nr = pool_nodes(nodes);
	if (!self->nr)
		SKIP(return, "no pool on this machine");
	/* Use the pool of the last node, which has the fewest inodes on most test machines. */
	ASSERT_TRUE(pool_setup(&self->p, nodes[self->nr - 1]));
}

FIXTURE_TEARDOWN_PARENT(name)
{
	if (self->nr)
		EXPECT_STREQ("", pool_teardown(&self->p) ?: "");
}

static int do_rename(const struct pool *p, const char *from, const char *to, unsigned int flags)
{
	return syscall(SYS_renameat2, AT_FDCWD, pool_path(p, from), AT_FDCWD, pool_path(p, to),
		       flags);
}

/* Returns the size of a file, which identifies it; -1: no such name, -2: a directory. */
static long which(const struct pool *p, const char *name)
{
	struct stat st;

	if (stat(pool_path(p, name), &st))
		return -1;
	return S_ISDIR(st.st_mode) ? -2 : st.st_size;
}

struct rename_case {
	const char *from;
	const char *to;
	unsigned int flags;
	int err;
};

/* Run one after the other in this tree: f1, f2, empty/, full/{f3,sub/}. */
static const struct rename_case rename_cases[] = {
	{ "none",	"new",		0,			ENOENT },
	{ "f1",		"none/new",	0,			ENOENT },
	{ "f1",		"f2",		RENAME_NOREPLACE,	EEXIST },
	{ "f1",		"none",		RENAME_EXCHANGE,	ENOENT },
	{ "f1",		"new",		RENAME_WHITEOUT,	EINVAL },
	{ "f1",		"f2",		RENAME_EXCHANGE | RENAME_NOREPLACE, EINVAL },
	{ "f1",		"new",		1 << 10,		EINVAL },
	{ "f1",		"empty",	0,			EISDIR },
	{ "empty",	"f1",		0,			ENOTDIR },
	{ "empty",	"full",		0,			ENOTEMPTY },
	{ "full",	"full/sub/x",	0,			EINVAL },
	{ "full/sub",	"full",		0,			ENOTEMPTY },
	{ "full",	"full/sub",	RENAME_EXCHANGE,	EINVAL },
	{ "f1",		"f1",		0,			0 },
	{ "full",	"empty",	0,			0 },
	{ "empty",	"full",		RENAME_NOREPLACE,	0 },
	{ "f1",		"full/f1",	RENAME_NOREPLACE,	0 },
	{ "full/f1",	"full/f3",	RENAME_EXCHANGE,	0 },
	{ "full/f1",	"f1",		0,			0 },
	{ "f2",		"full/sub",	RENAME_EXCHANGE,	0 },
	{ "full/f3",	"f1",		0,			0 },
};

TEST_F(name, rename)
{
	struct stat st;
	int i;

	close(file_make(&self->p, "f1", 1));
	close(file_make(&self->p, "f2", 2));
	ASSERT_EQ(0, mkdir(pool_path(&self->p, "empty"), 0700));
	ASSERT_EQ(0, mkdir(pool_path(&self->p, "full"), 0700));
	ASSERT_EQ(0, mkdir(pool_path(&self->p, "full/sub"), 0700));
	close(file_make(&self->p, "full/f3", 3));
	for (i = 0; i < ARRAY_SIZE(rename_cases); i++) {
		const struct rename_case *c = &rename_cases[i];

		EXPECT_EQ(c->err, ERR(do_rename(&self->p, c->from, c->to, c->flags)))
			TH_LOG("case %d: %s to %s, flags %#x", i, c->from, c->to, c->flags);
	}
	/* Check the tree before and after a remount. */
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(1, which(&self->p, "f1"));
		EXPECT_EQ(2, which(&self->p, "full/sub"));
		EXPECT_EQ(-2, which(&self->p, "f2"));
		EXPECT_EQ(-1, which(&self->p, "empty"));
		EXPECT_EQ(-1, which(&self->p, "full/f1"));
		EXPECT_EQ(-1, which(&self->p, "full/f3"));
		ASSERT_EQ(0, stat(self->p.dir, &st));
		EXPECT_EQ(4, st.st_nlink);
		ASSERT_EQ(0, stat(pool_path(&self->p, "full"), &st));
		EXPECT_EQ(2, st.st_nlink);
		ASSERT_EQ(0, stat(pool_path(&self->p, "f2"), &st));
		EXPECT_EQ(2, st.st_nlink);
		ASSERT_EQ(0, pool_remount(&self->p));
	}
}

/* Replacing a file by rename() frees the blocks of that file. */
TEST_F(name, replace_frees)
{
	int one = file_make(&self->p, "one", 0), two = file_make(&self->p, "two", 0);

	ASSERT_EQ(0, fallocate(one, 0, 0, 3 * BLOCK));
	ASSERT_EQ(0, fallocate(two, 0, 0, 5 * BLOCK));
	ASSERT_EQ(0, do_rename(&self->p, "one", "two", 0));
	/* The replaced file is still open, and keeps its blocks. */
	EXPECT_EQ(self->p.free_blocks - 8, pool_free_blocks(&self->p));
	close(two);
	EXPECT_EQ(self->p.free_blocks - 3, pool_free_blocks(&self->p));
	close(one);
	EXPECT_EQ(3 * BLOCK, which(&self->p, "two"));
}

TEST_F(name, rmdir)
{
	struct stat st;

	ASSERT_EQ(0, mkdir(pool_path(&self->p, "a"), 0700));
	ASSERT_EQ(0, mkdir(pool_path(&self->p, "a/b"), 0700));
	close(file_make(&self->p, "f", 0));
	EXPECT_EQ(ENOTEMPTY, ERR(rmdir(pool_path(&self->p, "a"))));
	EXPECT_EQ(ENOTDIR, ERR(rmdir(pool_path(&self->p, "f"))));
	EXPECT_EQ(EISDIR, ERR(unlink(pool_path(&self->p, "a"))));
	EXPECT_EQ(ENOENT, ERR(rmdir(pool_path(&self->p, "none"))));
	EXPECT_EQ(EBUSY, ERR(rmdir(self->p.mnt)));
	EXPECT_EQ(0, rmdir(pool_path(&self->p, "a/b")));
	EXPECT_EQ(0, rmdir(pool_path(&self->p, "a")));
	ASSERT_EQ(0, stat(self->p.dir, &st));
	EXPECT_EQ(2, st.st_nlink);
}

/* Nothing can be created in a directory that was removed. */
TEST_F(name, directory_that_is_gone)
{
	int dir;

	ASSERT_EQ(0, mkdir(pool_path(&self->p, "a"), 0700));
	dir = open(pool_path(&self->p, "a"), O_RDONLY | O_DIRECTORY);
	ASSERT_GE(dir, 0);
	ASSERT_EQ(0, rmdir(pool_path(&self->p, "a")));
	EXPECT_EQ(ENOENT, ERR(openat(dir, "f", O_RDWR | O_CREAT, 0600)));
	EXPECT_EQ(ENOENT, ERR(mkdirat(dir, "d", 0700)));
	close(dir);
}

TEST_F(name, length)
{
	char name[258];
	struct stat st;

	memset(name, 'n', sizeof(name));
	name[256] = 0;
	EXPECT_EQ(ENAMETOOLONG, ERR(file_make(&self->p, name, 0)));
	EXPECT_EQ(ENAMETOOLONG, ERR(mkdir(pool_path(&self->p, name), 0700)));
	close(file_make(&self->p, "short", 7));
	EXPECT_EQ(ENAMETOOLONG, ERR(do_rename(&self->p, "short", name, 0)));
	name[255] = 0;
	ASSERT_EQ(0, do_rename(&self->p, "short", name, 0));
	/* Names that differ in byte 255 only are different names. */
	name[254] = 'o';
	close(file_make(&self->p, name, 9));
	/* Names may contain any byte but '/' and 0. */
	close(file_make(&self->p, "\n \x01\xff", 11));
	ASSERT_EQ(0, pool_remount(&self->p));
	EXPECT_EQ(9, which(&self->p, name));
	name[254] = 'n';
	EXPECT_EQ(7, which(&self->p, name));
	EXPECT_EQ(11, which(&self->p, "\n \x01\xff"));
	/* A rename from a long name to a short one leaves nothing of the long name. */
	ASSERT_EQ(0, do_rename(&self->p, name, "s", 0));
	ASSERT_EQ(0, pool_remount(&self->p));
	EXPECT_EQ(7, which(&self->p, "s"));
	EXPECT_EQ(-1, stat(pool_path(&self->p, name), &st));
}

TEST_F(name, deep)
{
	char path[4096] = "d";
	int i;

	for (i = 0; i < 200; i++) {
		ASSERT_EQ(0, mkdir(pool_path(&self->p, path), 0700));
		strcat(path, "/d");
	}
	close(file_make(&self->p, path, 123));
	ASSERT_EQ(0, pool_remount(&self->p));
	EXPECT_EQ(123, which(&self->p, path));
}

static void numbered(char *name, char kind, int i)
{
	sprintf(name, "%c%d", kind, i);
}

/* Reads a directory in small pieces, and calls @meanwhile after the first one. */
static int read_dir(int dir, unsigned char *seen, void (*meanwhile)(int dir))
{
	char buf[1024], kind;
	long len, at;
	int i, others = 0;

	lseek(dir, 0, SEEK_SET);
	while ((len = syscall(SYS_getdents64, dir, buf, sizeof(buf))) > 0) {
		for (at = 0; at < len; at += ((struct dirent64 *)(buf + at))->d_reclen) {
			struct dirent64 *d = (void *)(buf + at);

			if (sscanf(d->d_name, "%c%d", &kind, &i) == 2 && kind == 'k')
				seen[i]++;
			else
				others++;
		}
		if (meanwhile)
			meanwhile(dir);
		meanwhile = NULL;
	}
	return len < 0 ? -1 : others;
}

static void change_names(int dir)
{
	char name[16], other[16];
	int i;

	for (i = 0; i < MANY; i += 2) {
		numbered(name, 'k', i);
		unlinkat(dir, name, 0);
	}
	for (i = 0; i < MANY / 4; i++) {
		numbered(name, 'n', i);
		close(openat(dir, name, O_RDWR | O_CREAT, 0600));
		/* A rename moves an entry without making a second one. */
		numbered(other, 'm', i);
		renameat(dir, name, dir, other);
	}
}

TEST_F(name, many_that_come_and_go)
{
	unsigned char seen[MANY];
	int dir = open(self->p.dir, O_RDONLY | O_DIRECTORY), i;
	int missed = 0, twice = 0;
	char name[16];

	ASSERT_GE(dir, 0);
	for (i = 0; i < MANY; i++) {
		int fd;

		numbered(name, 'k', i);
		fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL, 0600);
		ASSERT_GE(fd, 0);
		close(fd);
	}
	memset(seen, 0, sizeof(seen));
	EXPECT_EQ(2, read_dir(dir, seen, NULL));
	for (i = 0; i < MANY; i++)
		missed += seen[i] != 1;
	EXPECT_EQ(0, missed);
	/* Names that existed all the time are listed once. */
	memset(seen, 0, sizeof(seen));
	missed = 0;
	EXPECT_GE(read_dir(dir, seen, change_names), 2);
	for (i = 1; i < MANY; i += 2) {
		missed += !seen[i];
		twice += seen[i] > 1;
	}
	EXPECT_EQ(0, missed);
	EXPECT_EQ(0, twice);
	close(dir);
	ASSERT_EQ(0, pool_remount(&self->p));
	dir = open(self->p.dir, O_RDONLY | O_DIRECTORY);
	memset(seen, 0, sizeof(seen));
	EXPECT_EQ(2 + MANY / 4, read_dir(dir, seen, NULL));
	for (i = 0, missed = 0; i < MANY; i++)
		missed += seen[i] != i % 2;
	EXPECT_EQ(0, missed);
	close(dir);
}

/* Counts the names that are not listed exactly once, or not as a file. */
static int listed_wrong(int dir, unsigned char *seen, uint64_t names)
{
	static char buf[32 << 10];
	int wrong = 0;
	long len, at;
	uint64_t i;
	char kind;

	memset(seen, 0, names);
	while ((len = syscall(SYS_getdents64, dir, buf, sizeof(buf))) > 0) {
		for (at = 0; at < len; at += ((struct dirent64 *)(buf + at))->d_reclen) {
			struct dirent64 *d = (void *)(buf + at);

			if (sscanf(d->d_name, "%c%lu", &kind, &i) == 2 && kind == 'i' && i < names)
				seen[i] += d->d_type == DT_REG ? 1 : 2;
		}
	}
	for (i = 0; i < names; i++)
		wrong += seen[i] != 1;
	return len < 0 ? -1 : wrong;
}

/* The number of inodes is fixed, and the last one works like the first. */
TEST_F(name, all_inodes)
{
	unsigned char *seen;
	struct statfs st;
	char name[16];
	uint64_t i;
	int err, dir;

	ASSERT_EQ(0, statfs(self->p.mnt, &st));
	if (st.f_ffree > 100000)
		SKIP(return, "%lu inodes take too long", (unsigned long)st.f_ffree);
	TH_LOG("%lu inodes", (unsigned long)st.f_ffree);
	for (i = 0; i < st.f_ffree; i++) {
		int fd;

		numbered(name, 'i', i);
		fd = file_make(&self->p, name, 0);
		ASSERT_GE(fd, 0)
			TH_LOG("inode %lu of %lu", (unsigned long)i, (unsigned long)st.f_ffree);
		close(fd);
	}
	dir = open(self->p.dir, O_RDONLY | O_DIRECTORY);
	seen = malloc(st.f_ffree);
	ASSERT_NE(NULL, seen);
	EXPECT_EQ(0, listed_wrong(dir, seen, st.f_ffree));
	free(seen);
	close(dir);
	err = ERR(file_make(&self->p, "more", 0));
	EXPECT_EQ(ENOSPC, err);
	EXPECT_EQ(ENOSPC, ERR(mkdir(pool_path(&self->p, "more"), 0700)));
	EXPECT_EQ(-1, which(&self->p, "more"));
	EXPECT_EQ(0, do_rename(&self->p, "i1", "renamed", 0));
	EXPECT_EQ(0, unlink(pool_path(&self->p, "i0")));
	EXPECT_EQ(0, mkdir(pool_path(&self->p, "more"), 0700));
	ASSERT_EQ(0, statfs(self->p.mnt, &st));
	EXPECT_EQ(0, st.f_ffree);
}

TEST_HARNESS_MAIN
