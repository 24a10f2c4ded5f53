// SPDX-License-Identifier: GPL-2.0-only
/*
 * Side effects of an operation in guestmemfs: the times and link counts of all files and
 * directories that are involved, before and after a remount. An operation that fails changes none
 * of them.
 */
#include <fcntl.h>
#include <ftw.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "fixture.h"

#define PUNCH	(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define KEEP	FALLOC_FL_KEEP_SIZE

/*
 * The files and directories that exist before each operation. They are checked by descriptor,
 * because names change.
 */
enum {
	DIR_D,
	DIR_E,
	FILE_F,		/* with one block */
	FILE_O,
	SUB,		/* with an entry */
	EMPTY,
	NR_ITEMS,
};

static const char * const items[NR_ITEMS] = {
	"d", "e", "d/file", "e/other", "d/sub", "e/empty",
};

static int fds[NR_ITEMS];

static int opened(int fd)
{
	int err = ERR(fd);

	if (fd >= 0)
		close(fd);
	return err;
}

static int do_rename(const char *from, const char *to, unsigned int flags)
{
	return ERR(syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, flags));
}

static int give_name(const char *to)
{
	int fd = open("d", O_RDWR | O_TMPFILE, 0600), err;
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	err = ERR(linkat(AT_FDCWD, path, AT_FDCWD, to, AT_SYMLINK_FOLLOW));
	close(fd);
	return err;
}

static int list(const char *name)
{
	int fd = open(name, O_RDONLY | O_DIRECTORY), err;
	char buf[256];

	err = ERR(syscall(SYS_getdents64, fd, buf, sizeof(buf)));
	close(fd);
	return err;
}

static int map(int prot)
{
	void *p = mmap(NULL, BLOCK, prot, MAP_SHARED, fds[FILE_F], 0);

	return p == MAP_FAILED ? errno : ERR(munmap(p, BLOCK));
}

static int resize(const char *name, off_t size)
{
	return ERR(truncate(name, size));
}

static int falloc(int mode, off_t from, off_t len)
{
	return ERR(fallocate(fds[FILE_F], mode, from, len));
}

static const struct timespec long_ago[2] = { { 1, 2 }, { 3, 4 } };

enum op {
	LOOK, LIST, MAP, MAP_NONE, OPEN, OPEN_CREAT, CREATE, CREATE_EXCL, MKDIR, MKDIR_EXIST,
	MKNOD, MKNOD_EXIST, FIFO, DEVICE, SYMLINK, LINK, LINK_DIR, TMPFILE, NAME, NAME_EXIST,
	UNLINK, UNLINK_NONE, UNLINK_DIR, RMDIR, RMDIR_FULL, RMDIR_FILE, RENAME, RENAME_SAME,
	MOVE, REPLACE, MOVE_DIR, REPLACE_DIR, RENAME_ITSELF, EXCHANGE, EXCHANGE_NEAR,
	EXCHANGE_DIR, EXCHANGE_BOTH, NOREPLACE, EXCHANGE_NONE, RENAME_FULL, RENAME_ON_DIR,
	RENAME_BELOW, RENAME_NONE,
	GROW, SHRINK, SAME_SIZE, FSAME_SIZE, OPEN_TRUNC, OPEN_TRUNC_EMPTY, TOO_LARGE, NEGATIVE,
	ALLOCATE, ALLOCATE_KEEP, HOLE, ALLOCATE_NONE, ALLOCATE_TOO_MUCH, COLLAPSE,
	CHMOD, CHMOD_DIR, CHOWN, CHOWN_NONE, TOUCH, SET_TIMES, SET_NONE, SET_WRONG, SYNC,
};

static int run(enum op op)
{
	const struct timespec none[2] = { { 0, UTIME_OMIT }, { 0, UTIME_OMIT } };
	const struct timespec wrong[2] = { { 0, 1000000000 }, { 0, 0 } };
	struct stat st;

	switch (op) {
	case LOOK:		return ERR(stat("d/file", &st)) || ERR(access("d/sub", R_OK));
	case LIST:		return list("d");
	case MAP:		return map(PROT_READ | PROT_WRITE);
	case MAP_NONE:		return map(PROT_NONE);
	case OPEN:		return opened(open("d/file", O_RDWR));
	case OPEN_CREAT:	return opened(open("d/file", O_RDWR | O_CREAT, 0600));
	case CREATE:		return opened(open("d/new", O_RDWR | O_CREAT, 0600));
	case CREATE_EXCL:	return opened(open("d/file", O_RDWR | O_CREAT | O_EXCL, 0600));
	case MKDIR:		return ERR(mkdir("d/new", 0700));
	case MKDIR_EXIST:	return ERR(mkdir("d/file", 0700));
	case MKNOD:		return ERR(mknod("d/new", S_IFREG | 0600, 0));
	case MKNOD_EXIST:	return ERR(mknod("d/sub", S_IFREG | 0600, 0));
	case FIFO:		return ERR(mknod("d/new", S_IFIFO | 0600, 0));
	case DEVICE:		return ERR(mknod("d/new", S_IFCHR | 0600, 0x103));
	case SYMLINK:		return ERR(symlink("file", "d/new"));
	case LINK:		return ERR(link("d/file", "d/new"));
	case LINK_DIR:		return ERR(link("d/sub", "d/new"));
	case TMPFILE:		return opened(open("d", O_RDWR | O_TMPFILE, 0600));
	case NAME:		return give_name("d/new");
	case NAME_EXIST:	return give_name("d/file");
	case UNLINK:		return ERR(unlink("d/file"));
	case UNLINK_NONE:	return ERR(unlink("d/none"));
	case UNLINK_DIR:	return ERR(unlink("d/sub"));
	case RMDIR:		return ERR(rmdir("e/empty"));
	case RMDIR_FULL:	return ERR(rmdir("d/sub"));
	case RMDIR_FILE:	return ERR(rmdir("d/file"));
	case RENAME:		return do_rename("d/file", "d/new", 0);
	case RENAME_SAME:	return do_rename("d/sub", "d/new", RENAME_NOREPLACE);
	case MOVE:		return do_rename("d/file", "e/new", 0);
	case REPLACE:		return do_rename("d/file", "e/other", 0);
	case MOVE_DIR:		return do_rename("d/sub", "e/new", 0);
	case REPLACE_DIR:	return do_rename("d/sub", "e/empty", 0);
	case RENAME_ITSELF:	return do_rename("d/file", "d/file", 0);
	case EXCHANGE:		return do_rename("d/file", "e/other", RENAME_EXCHANGE);
	case EXCHANGE_NEAR:	return do_rename("d/file", "d/sub", RENAME_EXCHANGE);
	case EXCHANGE_DIR:	return do_rename("d/sub", "e/other", RENAME_EXCHANGE);
	case EXCHANGE_BOTH:	return do_rename("d/sub", "e/empty", RENAME_EXCHANGE);
	case NOREPLACE:		return do_rename("d/file", "e/other", RENAME_NOREPLACE);
	case EXCHANGE_NONE:	return do_rename("d/file", "e/none", RENAME_EXCHANGE);
	case RENAME_FULL:	return do_rename("e/empty", "d/sub", 0);
	case RENAME_ON_DIR:	return do_rename("d/file", "e/empty", 0);
	case RENAME_BELOW:	return do_rename("d", "d/sub/d", 0);
	case RENAME_NONE:	return do_rename("d/none", "e/other", 0);
	case GROW:		return resize("d/file", BLOCK + 1);
	case SHRINK:		return resize("d/file", BLOCK - 1);
	case SAME_SIZE:		return resize("d/file", BLOCK);
	case FSAME_SIZE:	return ERR(ftruncate(fds[FILE_F], BLOCK));
	case OPEN_TRUNC:	return opened(open("d/file", O_WRONLY | O_TRUNC));
	case OPEN_TRUNC_EMPTY:	return opened(open("e/other", O_WRONLY | O_TRUNC));
	case TOO_LARGE:		return resize("d/file", INT64_MAX);
	case NEGATIVE:		return resize("d/file", -1);
	case ALLOCATE:		return falloc(0, 0, BLOCK + 1);
	case ALLOCATE_KEEP:	return falloc(KEEP, BLOCK, BLOCK);
	case HOLE:		return falloc(PUNCH, 0, BLOCK);
	case ALLOCATE_NONE:	return falloc(0, 0, 0);
	case ALLOCATE_TOO_MUCH:	return falloc(0, 0, 1L << 53);
	case COLLAPSE:		return falloc(FALLOC_FL_COLLAPSE_RANGE, 0, BLOCK);
	case CHMOD:		return ERR(chmod("d/file", 0600));
	case CHMOD_DIR:		return ERR(chmod("d", 0700));
	case CHOWN:		return ERR(chown("d/file", 0, 0));
	case CHOWN_NONE:	return ERR(chown("d/file", -1, -1));
	case TOUCH:		return ERR(utimensat(AT_FDCWD, "d/file", NULL, 0));
	case SET_TIMES:		return ERR(utimensat(AT_FDCWD, "d/sub", long_ago, 0));
	case SET_NONE:		return ERR(utimensat(AT_FDCWD, "d/file", none, 0));
	case SET_WRONG:		return ERR(utimensat(AT_FDCWD, "d/file", wrong, 0));
	case SYNC:		return ERR(fsync(fds[FILE_F])) || ERR(fsync(fds[DIR_D]));
	}
	return -1;
}

struct effect {
	const char *name;
	enum op op;
	int err;
	/* For each item, the times that change: access (a), modification (m), change (c). */
	const char *times[NR_ITEMS];
	nlink_t links[NR_ITEMS];
};

/* An operation that fails, or changes nothing. */
#define NOTHING(op, err)	{ #op, op, err, { "", "", "", "", "", "" }, { 3, 3, 1, 1, 2, 2 } }
#define EFFECT(op, d, e, f, o, s, m, ...)					\
	{ #op, op, 0, { d, e, f, o, s, m }, { __VA_ARGS__ } }

static const struct effect effects[] = {
	/*			d	e	file	other	sub	empty */
	EFFECT(LIST,		"a",	"",	"",	"",	"",	"",	3, 3, 1, 1, 2, 2),
	EFFECT(MAP,		"",	"",	"a",	"",	"",	"",	3, 3, 1, 1, 2, 2),
	EFFECT(MAP_NONE,	"",	"",	"a",	"",	"",	"",	3, 3, 1, 1, 2, 2),
	EFFECT(CREATE,		"mc",	"",	"",	"",	"",	"",	3, 3, 1, 1, 2, 2),
	EFFECT(MKDIR,		"mc",	"",	"",	"",	"",	"",	4, 3, 1, 1, 2, 2),
	EFFECT(MKNOD,		"mc",	"",	"",	"",	"",	"",	3, 3, 1, 1, 2, 2),
	EFFECT(NAME,		"mc",	"",	"",	"",	"",	"",	3, 3, 1, 1, 2, 2),
	EFFECT(UNLINK,		"mc",	"",	"c",	"",	"",	"",	3, 3, 0, 1, 2, 2),
	EFFECT(RMDIR,		"",	"mc",	"",	"",	"",	"c",	3, 2, 1, 1, 2, 0),
	EFFECT(RENAME,		"mc",	"",	"c",	"",	"",	"",	3, 3, 1, 1, 2, 2),
	EFFECT(RENAME_SAME,	"mc",	"",	"",	"",	"c",	"",	3, 3, 1, 1, 2, 2),
	EFFECT(MOVE,		"mc",	"mc",	"c",	"",	"",	"",	3, 3, 1, 1, 2, 2),
	EFFECT(REPLACE,		"mc",	"mc",	"c",	"c",	"",	"",	3, 3, 1, 0, 2, 2),
	EFFECT(MOVE_DIR,	"mc",	"mc",	"",	"",	"c",	"",	2, 4, 1, 1, 2, 2),
	EFFECT(REPLACE_DIR,	"mc",	"mc",	"",	"",	"c",	"c",	2, 3, 1, 1, 2, 0),
	EFFECT(EXCHANGE,	"mc",	"mc",	"c",	"c",	"",	"",	3, 3, 1, 1, 2, 2),
	EFFECT(EXCHANGE_NEAR,	"mc",	"",	"c",	"",	"c",	"",	3, 3, 1, 1, 2, 2),
	EFFECT(EXCHANGE_DIR,	"mc",	"mc",	"",	"c",	"c",	"",	2, 4, 1, 1, 2, 2),
	EFFECT(EXCHANGE_BOTH,	"mc",	"mc",	"",	"",	"c",	"c",	3, 3, 1, 1, 2, 2),
	EFFECT(GROW,		"",	"",	"mc",	"",	"",	"",	3, 3, 1, 1, 2, 2),
	EFFECT(SHRINK,		"",	"",	"mc",	"",	"",	"",	3, 3, 1, 1, 2, 2),
	EFFECT(FSAME_SIZE,	"",	"",	"mc",	"",	"",	"",	3, 3, 1, 1, 2, 2),
	EFFECT(OPEN_TRUNC,	"",	"",	"mc",	"",	"",	"",	3, 3, 1, 1, 2, 2),
	EFFECT(OPEN_TRUNC_EMPTY, "",	"",	"",	"mc",	"",	"",	3, 3, 1, 1, 2, 2),
	EFFECT(ALLOCATE,	"",	"",	"mc",	"",	"",	"",	3, 3, 1, 1, 2, 2),
	EFFECT(ALLOCATE_KEEP,	"",	"",	"mc",	"",	"",	"",	3, 3, 1, 1, 2, 2),
	EFFECT(HOLE,		"",	"",	"mc",	"",	"",	"",	3, 3, 1, 1, 2, 2),
	EFFECT(CHMOD,		"",	"",	"c",	"",	"",	"",	3, 3, 1, 1, 2, 2),
	EFFECT(CHMOD_DIR,	"c",	"",	"",	"",	"",	"",	3, 3, 1, 1, 2, 2),
	EFFECT(CHOWN,		"",	"",	"c",	"",	"",	"",	3, 3, 1, 1, 2, 2),
	EFFECT(CHOWN_NONE,	"",	"",	"c",	"",	"",	"",	3, 3, 1, 1, 2, 2),
	EFFECT(TOUCH,		"",	"",	"amc",	"",	"",	"",	3, 3, 1, 1, 2, 2),
	EFFECT(SET_TIMES,	"",	"",	"",	"",	"amc",	"",	3, 3, 1, 1, 2, 2),
	NOTHING(LOOK, 0),
	NOTHING(OPEN, 0),
	NOTHING(OPEN_CREAT, 0),
	NOTHING(TMPFILE, 0),
	NOTHING(RENAME_ITSELF, 0),
	NOTHING(SAME_SIZE, 0),
	NOTHING(SET_NONE, 0),
	NOTHING(SYNC, 0),
	NOTHING(CREATE_EXCL, EEXIST),
	NOTHING(MKDIR_EXIST, EEXIST),
	NOTHING(MKNOD_EXIST, EEXIST),
	NOTHING(FIFO, EPERM),
	NOTHING(DEVICE, EPERM),
	NOTHING(SYMLINK, EPERM),
	NOTHING(LINK, EPERM),
	NOTHING(LINK_DIR, EPERM),
	NOTHING(NAME_EXIST, EEXIST),
	NOTHING(UNLINK_NONE, ENOENT),
	NOTHING(UNLINK_DIR, EISDIR),
	NOTHING(RMDIR_FULL, ENOTEMPTY),
	NOTHING(RMDIR_FILE, ENOTDIR),
	NOTHING(NOREPLACE, EEXIST),
	NOTHING(EXCHANGE_NONE, ENOENT),
	NOTHING(RENAME_FULL, ENOTEMPTY),
	NOTHING(RENAME_ON_DIR, EISDIR),
	NOTHING(RENAME_BELOW, EINVAL),
	NOTHING(RENAME_NONE, ENOENT),
	NOTHING(TOO_LARGE, EFBIG),
	NOTHING(NEGATIVE, EINVAL),
	NOTHING(ALLOCATE_NONE, EINVAL),
	NOTHING(ALLOCATE_TOO_MUCH, ENOSPC),
	NOTHING(COLLAPSE, EOPNOTSUPP),
	NOTHING(SET_WRONG, EINVAL),
};

static struct stat before[NR_ITEMS], after[ARRAY_SIZE(effects)][NR_ITEMS];

static bool differ(struct timespec a, struct timespec b)
{
	return a.tv_sec != b.tv_sec || a.tv_nsec != b.tv_nsec;
}

static const char *changed(const struct stat *a, const struct stat *b)
{
	static char which[4];
	int n = 0;

	if (differ(a->st_atim, b->st_atim))
		which[n++] = 'a';
	if (differ(a->st_mtim, b->st_mtim))
		which[n++] = 'm';
	if (differ(a->st_ctim, b->st_ctim))
		which[n++] = 'c';
	which[n] = 0;
	return which;
}

static bool make_tree(const struct pool *p, unsigned int i)
{
	char name[16];

	snprintf(name, sizeof(name), "%u", i);
	return !mkdir(pool_path(p, name), 0700) && !chdir(pool_path(p, name)) &&
	       !mkdir("d", 0755) && !mkdir("e", 0755) && !mkdir("d/sub", 0755) &&
	       !mkdir("e/empty", 0755) && !mknod("d/sub/x", S_IFREG | 0600, 0) &&
	       !mknod("d/file", S_IFREG | 0644, 0) && !mknod("e/other", S_IFREG | 0644, 0) &&
	       !truncate("d/file", BLOCK);
}

static void run_one(struct __test_metadata *_metadata, const struct pool *p, unsigned int i)
{
	const struct effect *c = &effects[i];
	char name[16];
	int k;

	snprintf(name, sizeof(name), "%u", i);
	ASSERT_EQ(0, chdir(pool_path(p, name)));
	for (k = 0; k < NR_ITEMS; k++) {
		fds[k] = open(items[k], k == FILE_F ? O_RDWR : O_RDONLY);
		ASSERT_GE(fds[k], 0);
		ASSERT_EQ(0, fstat(fds[k], &before[k]));
	}
	EXPECT_EQ(c->err, run(c->op))
		TH_LOG("%s", c->name);
	for (k = 0; k < NR_ITEMS; k++) {
		ASSERT_EQ(0, fstat(fds[k], &after[i][k]));
		EXPECT_STREQ(c->times[k], changed(&before[k], &after[i][k]))
			TH_LOG("%s: %s", c->name, items[k]);
		EXPECT_EQ(c->links[k], after[i][k].st_nlink)
			TH_LOG("%s: %s", c->name, items[k]);
		EXPECT_EQ(before[k].st_ino, after[i][k].st_ino);
		close(fds[k]);
	}
}

static int nr_kept;

/*
 * Compares an inode after a remount with what it was, before the directory is read, which changes
 * times.
 */
static int look(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	unsigned int i, k;

	for (i = 0; i < ARRAY_SIZE(effects); i++) {
		for (k = 0; k < NR_ITEMS; k++) {
			const struct stat *was = &after[i][k];

			if (was->st_ino != st->st_ino || !was->st_nlink)
				continue;
			if (was->st_mode == st->st_mode && was->st_nlink == st->st_nlink &&
			    was->st_size == st->st_size && was->st_blocks == st->st_blocks &&
			    !changed(was, st)[0])
				nr_kept++;
			else
				printf("# %s: another one after %s: %s\n", path, effects[i].name,
				       changed(was, st));
		}
	}
	return 0;
}

TEST_F(in_pool, effects)
{
	unsigned int i, k;
	int nr = 0;

	umask(022);
	for (i = 0; i < ARRAY_SIZE(effects); i++)
		ASSERT_TRUE(make_tree(&self->p, i));
	/* Let the clock advance. */
	usleep(50000);
	for (i = 0; i < ARRAY_SIZE(effects); i++)
		run_one(_metadata, &self->p, i);
	ASSERT_EQ(0, chdir("/"));
	ASSERT_EQ(0, pool_remount(&self->p));
	for (i = 0; i < ARRAY_SIZE(effects); i++)
		for (k = 0; k < NR_ITEMS; k++)
			nr += after[i][k].st_nlink > 0;
	nftw(self->p.dir, look, 16, FTW_PHYS);
	EXPECT_EQ(nr, nr_kept);
}

TEST_HARNESS_MAIN
