// SPDX-License-Identifier: GPL-2.0-only
/*
 * Permissions in guestmemfs: the bits that an operation needs of the owner, the group and others,
 * sticky directories, and the owner of new files.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "fixture.h"
#include "user.h"

static int opened(int fd)
{
	int err = ERR(fd);

	if (fd >= 0)
		close(fd);
	return err;
}

/* Paths are relative to the test's directory, which all users can search: d/f, d/s/ and out/f. */
static int op_read(void)	{ return opened(open("d/f", O_RDONLY)); }
static int op_write(void)	{ return opened(open("d/f", O_WRONLY)); }
static int op_both(void)	{ return opened(open("d/f", O_RDWR)); }
static int op_read_trunc(void)	{ return opened(open("d/f", O_RDONLY | O_TRUNC)); }
static int op_create_there(void) { return opened(open("d/f", O_WRONLY | O_CREAT, 0600)); }
static int op_truncate(void)	{ return ERR(truncate("d/f", 3)); }
static int op_may_read(void)	{ return ERR(faccessat(AT_FDCWD, "d/f", R_OK, AT_EACCESS)); }
static int op_may_write(void)	{ return ERR(faccessat(AT_FDCWD, "d/f", W_OK, AT_EACCESS)); }
static int op_list(void)	{ return opened(open("d", O_RDONLY | O_DIRECTORY)); }
static int op_look_up(void)	{ return opened(open("d/f", O_PATH)); }
static int op_create(void)	{ return opened(open("d/new", O_RDWR | O_CREAT, 0600)); }
static int op_tmpfile(void)	{ return opened(open("d", O_RDWR | O_TMPFILE, 0600)); }
static int op_mkdir(void)	{ return ERR(mkdir("d/new", 0700)); }
static int op_mknod(void)	{ return ERR(mknod("d/new", S_IFREG | 0600, 0)); }
static int op_unlink(void)	{ return ERR(unlink("d/f")); }
static int op_rmdir(void)	{ return ERR(rmdir("d/s")); }
static int op_rename(void)	{ return ERR(rename("d/f", "d/new")); }
static int op_rename_dir(void)	{ return ERR(rename("d/s", "d/new")); }
static int op_rename_out(void)	{ return ERR(rename("d/f", "out/new")); }
static int op_rename_in(void)	{ return ERR(rename("out/f", "d/new")); }
static int op_rename_over(void)	{ return ERR(rename("out/f", "d/f")); }

static int op_exchange(void)
{
	return ERR(syscall(SYS_renameat2, AT_FDCWD, "d/f", AT_FDCWD, "out/f", RENAME_EXCHANGE));
}

static int op_exchanged(void)
{
	return ERR(syscall(SYS_renameat2, AT_FDCWD, "out/f", AT_FDCWD, "d/f", RENAME_EXCHANGE));
}

struct op {
	const char *name;
	int (*run)(void);
	unsigned int needs;	/* bits as in a mode: 4 read, 2 write, 1 search */
};

#define OP(name, needs)	{ #name, op_##name, needs }

static const struct op file_ops[] = {
	OP(read, 4), OP(write, 2), OP(both, 6), OP(read_trunc, 6), OP(create_there, 2),
	OP(truncate, 2), OP(may_read, 4), OP(may_write, 2),
};

static const struct op dir_ops[] = {
	OP(list, 4), OP(look_up, 1), OP(create, 3), OP(tmpfile, 3), OP(mkdir, 3),
	OP(mknod, 3), OP(unlink, 3), OP(rmdir, 3), OP(rename, 3), OP(rename_dir, 3),
	OP(rename_out, 3), OP(rename_in, 3), OP(rename_over, 3), OP(exchange, 3),
	OP(exchanged, 3),
};

/* The owner and group that a file gets, so that these bits apply to USER. */
struct class {
	uid_t uid;
	gid_t gid;
	int shift;
};

static const struct class classes[] = {
	{ USER, OTHER, 6 },
	{ OTHER, GROUP, 3 },
	{ OTHER, SECOND, 3 },
	{ OTHER, OTHER, 0 },
};

static void remove_tree(void)
{
	static const char * const names[] = {
		"d/f", "d/new", "d/s", "out/f", "out/new", "out/s", "d", "out",
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		remove(names[i]);
}

/* As root, makes the tree and gives the files and directories in it to @uid. */
static bool make_tree(uid_t uid)
{
	remove_tree();
	return !mkdir("d", 0777) && !mkdir("out", 0777) && !chmod("d", 0777) &&
	       !chmod("out", 0777) && !mknod("d/f", S_IFREG | 0644, 0) &&
	       !mknod("out/f", S_IFREG | 0644, 0) && !mkdir("d/s", 0777) &&
	       !chmod("d/s", 0777) && !chown("d/f", uid, uid) && !chown("d/s", uid, uid) &&
	       !chown("out/f", USER, GROUP);
}

static void enter(struct __test_metadata *_metadata, const struct pool *p)
{
	ASSERT_EQ(0, chmod(p->base, 0755));
	ASSERT_EQ(0, chmod(p->dir, 0755));
	ASSERT_EQ(0, chdir(p->dir));
	umask(022);
}

static void leave(struct __test_metadata *_metadata)
{
	ASSERT_TRUE(as_root());
	remove_tree();
	ASSERT_EQ(0, chdir("/"));
}

/*
 * Runs each operation with each value of the three bits of each class, and with all bits of the
 * other classes set.
 */
static void walk(struct __test_metadata *_metadata, const struct op *ops, unsigned int nr,
		 const char *name)
{
	unsigned int c, bits, i;

	for (c = 0; c < ARRAY_SIZE(classes); c++) {
		for (bits = 0; bits < 8; bits++) {
			mode_t mode = (0777 & ~(7 << classes[c].shift)) | bits << classes[c].shift;

			for (i = 0; i < nr; i++) {
				bool may = (bits & ops[i].needs) == ops[i].needs;

				ASSERT_TRUE(make_tree(USER));
				ASSERT_EQ(0, chown(name, classes[c].uid, classes[c].gid));
				ASSERT_EQ(0, chmod(name, mode));
				ASSERT_TRUE(as_user());
				EXPECT_EQ(may ? 0 : EACCES, ops[i].run())
					TH_LOG("%s, class %u, mode %o", ops[i].name, c, mode);
				ASSERT_TRUE(as_root());
			}
		}
	}
	/* Root may do each operation with no bits at all. */
	for (i = 0; i < nr; i++) {
		ASSERT_TRUE(make_tree(USER));
		ASSERT_EQ(0, chmod(name, 0));
		EXPECT_EQ(0, ops[i].run())
			TH_LOG("%s, as root", ops[i].name);
	}
}

TEST_F(in_pool, bits_of_a_file)
{
	enter(_metadata, &self->p);
	walk(_metadata, file_ops, ARRAY_SIZE(file_ops), "d/f");
	leave(_metadata);
}

TEST_F(in_pool, bits_of_a_directory)
{
	enter(_metadata, &self->p);
	walk(_metadata, dir_ops, ARRAY_SIZE(dir_ops), "d");
	leave(_metadata);
}

/* With any mode and for any user, files cannot be executed and directories can be searched. */
TEST_F(in_pool, execution)
{
	enter(_metadata, &self->p);
	ASSERT_TRUE(make_tree(USER));
	ASSERT_EQ(0, chmod("d/f", 0777));
	EXPECT_EQ(EACCES, ERR(access("d/f", X_OK)));
	EXPECT_EQ(0, access("d", X_OK));
	leave(_metadata);
}

struct sticky {
	mode_t mode;
	uid_t dir;
	uid_t file;
	int err;
};

static const struct sticky sticky_cases[] = {
	{ 0777,		OTHER,	OTHER,	0 },
	{ 01777,	OTHER,	OTHER,	EPERM },
	{ 01777,	OTHER,	USER,	0 },
	{ 01777,	USER,	OTHER,	0 },
	{ 01777,	0,	0,	EPERM },
	{ 01777,	0,	USER,	0 },
};

static const struct op sticky_ops[] = {
	OP(unlink, 0), OP(rmdir, 0), OP(rename, 0), OP(rename_dir, 0), OP(rename_out, 0),
	OP(rename_over, 0), OP(exchange, 0), OP(exchanged, 0),
};

/* In a sticky directory, only the owner of a file or of the directory can remove a name. */
TEST_F(in_pool, sticky)
{
	unsigned int i, k;

	enter(_metadata, &self->p);
	for (i = 0; i < ARRAY_SIZE(sticky_cases); i++) {
		const struct sticky *c = &sticky_cases[i];

		for (k = 0; k < ARRAY_SIZE(sticky_ops); k++) {
			ASSERT_TRUE(make_tree(c->file));
			ASSERT_EQ(0, chown("d", c->dir, 0));
			ASSERT_EQ(0, chmod("d", c->mode));
			ASSERT_TRUE(as_user());
			EXPECT_EQ(c->err, sticky_ops[k].run())
				TH_LOG("%s, case %u", sticky_ops[k].name, i);
			ASSERT_TRUE(as_root());
			if (c->err)
				EXPECT_EQ(0, sticky_ops[k].run())
					TH_LOG("%s, case %u, as root", sticky_ops[k].name, i);
		}
		/* All users may add names to it. */
		ASSERT_TRUE(make_tree(c->file));
		ASSERT_EQ(0, chmod("d", c->mode));
		ASSERT_TRUE(as_user());
		EXPECT_EQ(0, op_create());
		ASSERT_TRUE(as_root());
	}
	leave(_metadata);
}

struct move {
	const char *from;
	const char *to;
	unsigned int flags;
	int err;
};

/* Renames of entries that belong to another user and that only their owner may write to. */
static const struct move moves[] = {
	{ "d/s",	"d/new",	0,			0 },
	{ "d/s",	"out/new",	0,			EACCES },
	{ "d/s",	"out/f",	RENAME_EXCHANGE,	EACCES },
	{ "out/f",	"d/s",		RENAME_EXCHANGE,	EACCES },
	{ "d/f",	"out/new",	0,			0 },
	{ "d/f",	"out/f",	RENAME_EXCHANGE,	0 },
};

/*
 * The rename changes the ".." of a directory that gets another parent, so it needs write permission
 * for that directory.
 */
TEST_F(in_pool, another_parent)
{
	unsigned int i;

	enter(_metadata, &self->p);
	for (i = 0; i < ARRAY_SIZE(moves); i++) {
		const struct move *m = &moves[i];

		ASSERT_TRUE(make_tree(OTHER));
		ASSERT_EQ(0, chmod("d/s", 0755));
		ASSERT_TRUE(as_user());
		EXPECT_EQ(m->err, ERR(syscall(SYS_renameat2, AT_FDCWD, m->from, AT_FDCWD, m->to,
					      m->flags)))
			TH_LOG("case %u", i);
		ASSERT_TRUE(as_root());
		if (!m->err || m->flags)
			continue;
		EXPECT_EQ(0, rename(m->from, m->to));
	}
	leave(_metadata);
}

/* The effective user of the process owns new files. */
TEST_F(in_pool, owner_of_what_is_new)
{
	static const char * const names[] = { "d/file", "d/dir", "d/node", "d/linked" };
	char path[32];
	struct stat st;
	unsigned int i;
	int fd;

	enter(_metadata, &self->p);
	ASSERT_TRUE(make_tree(OTHER));
	ASSERT_TRUE(as_user());
	close(open(names[0], O_RDWR | O_CREAT, 0600));
	EXPECT_EQ(0, mkdir(names[1], 0700));
	EXPECT_EQ(0, mknod(names[2], S_IFREG | 0600, 0));
	fd = open("d", O_TMPFILE | O_RDWR, 0600);
	ASSERT_GE(fd, 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	EXPECT_EQ(0, linkat(AT_FDCWD, path, AT_FDCWD, names[3], AT_SYMLINK_FOLLOW));
	close(fd);
	ASSERT_TRUE(as_root());
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		EXPECT_EQ(0, stat(names[i], &st));
		EXPECT_EQ(USER, st.st_uid);
		EXPECT_EQ(GROUP, st.st_gid);
		remove(names[i]);
	}
	leave(_metadata);
}

TEST_HARNESS_MAIN
