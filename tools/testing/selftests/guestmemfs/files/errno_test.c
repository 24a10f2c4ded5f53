// SPDX-License-Identifier: GPL-2.0-only
/*
 * Calls with a path and the errors of each, as POSIX and Linux define them, with nothing changed
 * afterwards. Errors of one call alone are in the other tests.
 */
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <limits.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "fixture.h"

static const char *valid;	/* a file that can be renamed */
static const char *fresh;

/* Closes the descriptor, if there is one. Returns the errno. */
static int opened(int fd)
{
	int err = ERR(fd);

	if (fd >= 0)
		close(fd);
	return err;
}

static int op_open(const char *p)	{ return opened(open(p, O_RDONLY)); }
static int op_write(const char *p)	{ return opened(open(p, O_WRONLY)); }
static int op_directory(const char *p)	{ return opened(open(p, O_RDONLY | O_DIRECTORY)); }
static int op_create(const char *p)	{ return opened(open(p, O_RDWR | O_CREAT, 0600)); }
static int op_new(const char *p)	{ return opened(open(p, O_RDWR | O_CREAT | O_EXCL, 0600)); }
static int op_tmpfile(const char *p)	{ return opened(open(p, O_RDWR | O_TMPFILE, 0600)); }
static int op_mkdir(const char *p)	{ return ERR(mkdir(p, 0700)); }
static int op_mknod(const char *p)	{ return ERR(mknod(p, S_IFREG | 0600, 0)); }
static int op_rmdir(const char *p)	{ return ERR(rmdir(p)); }
static int op_unlink(const char *p)	{ return ERR(unlink(p)); }
static int op_truncate(const char *p)	{ return ERR(truncate(p, 5)); }
static int op_chmod(const char *p)	{ return ERR(chmod(p, 0700)); }
static int op_chown(const char *p)	{ return ERR(chown(p, 1, 1)); }
static int op_touch(const char *p)	{ return ERR(utimensat(AT_FDCWD, p, NULL, 0)); }
static int op_access(const char *p)	{ return ERR(access(p, W_OK)); }
static int op_rename_from(const char *p)	{ return ERR(rename(p, fresh)); }
static int op_rename_to(const char *p)	{ return ERR(rename(valid, p)); }
static int op_link_from(const char *p)	{ return ERR(link(p, fresh)); }
static int op_link_to(const char *p)	{ return ERR(link(valid, p)); }
static int op_symlink(const char *p)	{ return ERR(symlink("x", p)); }

static int op_stat(const char *p)
{
	struct stat st;

	return ERR(stat(p, &st));
}

static int op_statfs(const char *p)
{
	struct statfs st;

	return ERR(statfs(p, &st));
}

static int op_readlink(const char *p)
{
	char buf[8];

	return ERR(readlink(p, buf, sizeof(buf)));
}

static int op_getxattr(const char *p)
{
	char buf[8];

	return ERR(getxattr(p, "user.x", buf, sizeof(buf)));
}

#define OK	0

/*
 * The errno of a call for a name that does not exist, for a file, an empty directory, a directory
 * with entries, a mount point, and for paths that end in "." and "..".
 */
struct op {
	const char *name;
	int (*run)(const char *path);
	int none, file, empty, full, mounted, dot, dotdot;
};

#define OP(name, ...)	{ #name, op_##name, __VA_ARGS__ }

static const struct op ops[] = {
	OP(open,	ENOENT,	OK,	OK,	OK,	OK,	OK,	OK),
	OP(write,	ENOENT,	OK,	EISDIR,	EISDIR,	EISDIR,	EISDIR,	EISDIR),
	OP(directory,	ENOENT,	ENOTDIR, OK,	OK,	OK,	OK,	OK),
	OP(create,	OK,	OK,	EISDIR,	EISDIR,	EISDIR,	EISDIR,	EISDIR),
	OP(new,		OK,	EEXIST,	EEXIST,	EEXIST,	EEXIST,	EEXIST,	EEXIST),
	OP(tmpfile,	ENOENT,	ENOTDIR, OK,	OK,	OK,	OK,	OK),
	OP(mkdir,	OK,	EEXIST,	EEXIST,	EEXIST,	EEXIST,	EEXIST,	EEXIST),
	OP(mknod,	OK,	EEXIST,	EEXIST,	EEXIST,	EEXIST,	EEXIST,	EEXIST),
	OP(rmdir,	ENOENT,	ENOTDIR, OK,	ENOTEMPTY, EBUSY, EINVAL, ENOTEMPTY),
	OP(unlink,	ENOENT,	OK,	EISDIR,	EISDIR,	EISDIR,	EISDIR,	EISDIR),
	OP(truncate,	ENOENT,	OK,	EISDIR,	EISDIR,	EISDIR,	EISDIR,	EISDIR),
	OP(chmod,	ENOENT,	OK,	OK,	OK,	OK,	OK,	OK),
	OP(chown,	ENOENT,	OK,	OK,	OK,	OK,	OK,	OK),
	OP(touch,	ENOENT,	OK,	OK,	OK,	OK,	OK,	OK),
	OP(access,	ENOENT,	OK,	OK,	OK,	OK,	OK,	OK),
	OP(stat,	ENOENT,	OK,	OK,	OK,	OK,	OK,	OK),
	OP(statfs,	ENOENT,	OK,	OK,	OK,	OK,	OK,	OK),
	OP(readlink,	ENOENT,	EINVAL,	EINVAL,	EINVAL,	EINVAL,	EINVAL,	EINVAL),
	OP(getxattr,	ENOENT,	EOPNOTSUPP, EOPNOTSUPP, EOPNOTSUPP, EOPNOTSUPP, EOPNOTSUPP,
	   EOPNOTSUPP),
	OP(rename_from,	ENOENT,	OK,	OK,	OK,	EBUSY,	EBUSY,	EBUSY),
	OP(rename_to,	OK,	OK,	EISDIR,	EISDIR,	EISDIR,	EBUSY,	EBUSY),
	OP(link_from,	ENOENT,	EPERM,	EPERM,	EPERM,	EXDEV,	EPERM,	EPERM),
	OP(link_to,	EPERM,	EEXIST,	EEXIST,	EEXIST,	EEXIST,	EEXIST,	EEXIST),
	OP(symlink,	EPERM,	EEXIST,	EEXIST,	EEXIST,	EEXIST,	EEXIST,	EEXIST),
};

/* The errno with a slash after the name, and on a read-only filesystem or mount. */
struct other {
	const char *name;
	int (*run)(const char *path);
	int slash[3];		/* for no such name, a file, an empty directory */
	int read_only[3];
};

#define OTHER(name, n, f, e, rn, rf, re)					\
	{ #name, op_##name, { n, f, e }, { rn, rf, re } }

static const struct other others[] = {
	OTHER(open,		ENOENT,  ENOTDIR, OK,      ENOENT,  OK,      OK),
	OTHER(write,		ENOENT,  ENOTDIR, EISDIR,  ENOENT,  EROFS,   EISDIR),
	OTHER(directory,	ENOENT,  ENOTDIR, OK,      ENOENT,  ENOTDIR, OK),
	OTHER(create,		EISDIR,  EISDIR,  EISDIR,  EROFS,   EROFS,   EISDIR),
	OTHER(new,		EISDIR,  EISDIR,  EISDIR,  EROFS,   EEXIST,  EEXIST),
	OTHER(tmpfile,		ENOENT,  ENOTDIR, OK,      ENOENT,  ENOTDIR, EROFS),
	OTHER(mkdir,		OK,      EEXIST,  EEXIST,  EROFS,   EEXIST,  EEXIST),
	OTHER(mknod,		ENOENT,  EEXIST,  EEXIST,  EROFS,   EEXIST,  EEXIST),
	OTHER(rmdir,		ENOENT,  ENOTDIR, OK,      EROFS,   EROFS,   EROFS),
	OTHER(unlink,		ENOENT,  ENOTDIR, EISDIR,  EROFS,   EROFS,   EROFS),
	OTHER(truncate,		ENOENT,  ENOTDIR, EISDIR,  ENOENT,  EROFS,   EISDIR),
	OTHER(chmod,		ENOENT,  ENOTDIR, OK,      ENOENT,  EROFS,   EROFS),
	OTHER(chown,		ENOENT,  ENOTDIR, OK,      ENOENT,  EROFS,   EROFS),
	OTHER(touch,		ENOENT,  ENOTDIR, OK,      ENOENT,  EROFS,   EROFS),
	OTHER(access,		ENOENT,  ENOTDIR, OK,      ENOENT,  EROFS,   EROFS),
	OTHER(stat,		ENOENT,  ENOTDIR, OK,      ENOENT,  OK,      OK),
	OTHER(statfs,		ENOENT,  ENOTDIR, OK,      ENOENT,  OK,      OK),
	OTHER(readlink,		ENOENT,  ENOTDIR, EINVAL,  ENOENT,  EINVAL,  EINVAL),
	OTHER(getxattr,		ENOENT,  ENOTDIR, EOPNOTSUPP, ENOENT,  EOPNOTSUPP, EOPNOTSUPP),
	OTHER(rename_from,	ENOENT,  ENOTDIR, OK,      EROFS,   EROFS,   EROFS),
	OTHER(rename_to,	ENOTDIR, ENOTDIR, ENOTDIR, EROFS,   EROFS,   EROFS),
	OTHER(link_from,	ENOENT,  ENOTDIR, EPERM,   ENOENT,  EROFS,   EROFS),
	OTHER(link_to,		ENOENT,  EEXIST,  EEXIST,  EROFS,   EEXIST,  EEXIST),
	OTHER(symlink,		ENOENT,  EEXIST,  EEXIST,  EROFS,   EEXIST,  EEXIST),
};

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

/* Removes what the calls have left, and makes the files and directories that they need. */
static bool set_up(const struct pool *p)
{
	static char names[2][160];

	umount2(pool_path(p, "t/mounted"), MNT_DETACH);
	nftw(pool_path(p, "t"), remove_one, 16, FTW_DEPTH | FTW_PHYS);
	nftw(pool_path(p, "fresh"), remove_one, 16, FTW_DEPTH | FTW_PHYS);
	snprintf(names[0], sizeof(names[0]), "%s/t/valid", p->dir);
	snprintf(names[1], sizeof(names[1]), "%s/fresh", p->dir);
	valid = names[0];
	fresh = names[1];
	if (mkdir(pool_path(p, "t"), 0755) || mkdir(pool_path(p, "t/empty"), 0755) ||
	    mkdir(pool_path(p, "t/full"), 0755) || mkdir(pool_path(p, "t/mounted"), 0755) ||
	    mknod(pool_path(p, "t/full/x"), S_IFREG | 0644, 0) ||
	    mknod(pool_path(p, "t/file"), S_IFREG | 0644, 0) || mknod(valid, S_IFREG | 0644, 0))
		return false;
	/* Do not mount the root of the pool: it would keep the changes of the calls below. */
	return !mount(pool_path(p, "t/full"), pool_path(p, "t/mounted"), NULL, MS_BIND, NULL);
}

TEST_F(in_pool, kinds)
{
	static const char * const names[] = { "none", "file", "empty", "full", "mounted",
					      "empty/.", "empty/.." };
	unsigned int i, k;

	for (i = 0; i < ARRAY_SIZE(ops); i++) {
		const int want[] = { ops[i].none, ops[i].file, ops[i].empty, ops[i].full,
				     ops[i].mounted, ops[i].dot, ops[i].dotdot };

		for (k = 0; k < ARRAY_SIZE(names); k++) {
			char path[160];

			ASSERT_TRUE(set_up(&self->p));
			snprintf(path, sizeof(path), "%s/t/%s", self->p.dir, names[k]);
			EXPECT_EQ(want[k], ops[i].run(path))
				TH_LOG("%s of '%s'", ops[i].name, names[k]);
		}
	}
	umount2(pool_path(&self->p, "t/mounted"), MNT_DETACH);
}

TEST_F(in_pool, slashes)
{
	static const char * const names[] = { "none/", "file/", "empty/" };
	unsigned int i, k;
	char path[160];

	for (i = 0; i < ARRAY_SIZE(others); i++) {
		for (k = 0; k < ARRAY_SIZE(names); k++) {
			ASSERT_TRUE(set_up(&self->p));
			snprintf(path, sizeof(path), "%s/t/%s", self->p.dir, names[k]);
			EXPECT_EQ(others[i].slash[k], others[i].run(path))
				TH_LOG("%s of '%s'", others[i].name, names[k]);
		}
	}
	umount2(pool_path(&self->p, "t/mounted"), MNT_DETACH);
}

/* The filesystem is read-only, or this mount alone. EEXIST of a name comes before EROFS. */
TEST_F(in_pool, read_only)
{
	static const char * const names[] = { "none", "file", "empty" };
	static const unsigned long flags[] = { MS_REMOUNT, MS_REMOUNT | MS_BIND };
	unsigned int i, k, f;
	struct stat st, before;
	char path[160];

	ASSERT_TRUE(set_up(&self->p));
	umount2(pool_path(&self->p, "t/mounted"), MNT_DETACH);
	ASSERT_EQ(0, stat(pool_path(&self->p, "t"), &before));
	for (f = 0; f < ARRAY_SIZE(flags); f++) {
		ASSERT_EQ(0, mount(NULL, self->p.mnt, NULL, flags[f] | MS_RDONLY, NULL));
		for (i = 0; i < ARRAY_SIZE(others); i++) {
			for (k = 0; k < ARRAY_SIZE(names); k++) {
				snprintf(path, sizeof(path), "%s/t/%s", self->p.dir, names[k]);
				EXPECT_EQ(others[i].read_only[k], others[i].run(path))
					TH_LOG("%s of '%s', flags %#lx", others[i].name, names[k],
					       flags[f]);
			}
		}
		ASSERT_EQ(0, mount(NULL, self->p.mnt, NULL, flags[f], NULL));
	}
	ASSERT_EQ(0, stat(pool_path(&self->p, "t"), &st));
	EXPECT_EQ(0, memcmp(&before.st_mtim, &st.st_mtim, sizeof(st.st_mtim)));
	EXPECT_EQ(0, memcmp(&before.st_ctim, &st.st_ctim, sizeof(st.st_ctim)));
}

/* Errors of the path itself are the same for all calls. */
TEST_F(in_pool, paths)
{
	char long_name[NAME_MAX + 2], long_path[PATH_MAX + 100], path[PATH_MAX];
	unsigned int i;

	ASSERT_TRUE(set_up(&self->p));
	memset(long_name, 'n', sizeof(long_name));
	long_name[NAME_MAX + 1] = 0;
	snprintf(long_path, sizeof(long_path), "%s", self->p.dir);
	while (strlen(long_path) <= PATH_MAX)
		strcat(long_path, "/.");
	for (i = 0; i < ARRAY_SIZE(ops); i++) {
		EXPECT_EQ(ENOENT, ops[i].run(""))
			TH_LOG("%s", ops[i].name);
		EXPECT_EQ(EFAULT, ops[i].run((void *)1))
			TH_LOG("%s", ops[i].name);
		snprintf(path, sizeof(path), "%s/none/x", self->p.dir);
		EXPECT_EQ(ENOENT, ops[i].run(path))
			TH_LOG("%s", ops[i].name);
		snprintf(path, sizeof(path), "%s/t/file/x", self->p.dir);
		EXPECT_EQ(ENOTDIR, ops[i].run(path))
			TH_LOG("%s", ops[i].name);
		snprintf(path, sizeof(path), "%s/t/%s", self->p.dir, long_name);
		EXPECT_EQ(ENAMETOOLONG, ops[i].run(path))
			TH_LOG("%s", ops[i].name);
		snprintf(path, sizeof(path), "%s/%s/x", self->p.dir, long_name);
		EXPECT_EQ(ENAMETOOLONG, ops[i].run(path))
			TH_LOG("%s", ops[i].name);
		EXPECT_EQ(ENAMETOOLONG, ops[i].run(long_path))
			TH_LOG("%s", ops[i].name);
	}
	EXPECT_EQ(0, access(valid, F_OK));
	EXPECT_EQ(ENOENT, ERR(access(fresh, F_OK)));
	umount2(pool_path(&self->p, "t/mounted"), MNT_DETACH);
}

/* All calls as another user, without search permission for a directory of the path. */
TEST_F(in_pool, no_way_to_it)
{
	unsigned int i;
	char path[160];
	int status;
	pid_t pid;

	ASSERT_TRUE(set_up(&self->p));
	umount2(pool_path(&self->p, "t/mounted"), MNT_DETACH);
	ASSERT_EQ(0, chmod(self->p.base, 0755));
	ASSERT_EQ(0, chmod(self->p.dir, 0777));
	ASSERT_EQ(0, chmod(pool_path(&self->p, "t"), 0777));
	ASSERT_EQ(0, chmod(pool_path(&self->p, "t/full"), 0666));
	ASSERT_EQ(0, chown(valid, 1000, 1000));
	snprintf(path, sizeof(path), "%s/t/full/x", self->p.dir);
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		if (setgroups(0, NULL) || setresgid(1000, 1000, 1000) ||
		    setresuid(1000, 1000, 1000))
			_exit(200);
		/* The user can reach "t": of the path only t/full has no search permission. */
		if (access(valid, W_OK))
			_exit(201);
		for (i = 0; i < ARRAY_SIZE(ops); i++)
			if (ops[i].run(path) != EACCES)
				_exit(i + 1);
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFEXITED(status));
	EXPECT_EQ(0, WEXITSTATUS(status))
		TH_LOG("%s", WEXITSTATUS(status) > ARRAY_SIZE(ops) ? "no way to it at all" :
		       ops[WEXITSTATUS(status) ? WEXITSTATUS(status) - 1 : 0].name);
	EXPECT_EQ(0, chmod(pool_path(&self->p, "t/full"), 0700));
}

TEST_F(in_pool, other_filesystem)
{
	char path[128];

	close(file_make(&self->p, "file", 0));
	snprintf(path, sizeof(path), "%s/outside", self->p.base);
	ASSERT_EQ(0, mknod(path, S_IFREG | 0600, 0));
	EXPECT_EQ(EXDEV, ERR(rename(path, pool_path(&self->p, "new"))));
	EXPECT_EQ(EXDEV, ERR(rename(pool_path(&self->p, "file"), path)));
	EXPECT_EQ(EXDEV, ERR(link(path, pool_path(&self->p, "new"))));
	EXPECT_EQ(0, access(pool_path(&self->p, "file"), F_OK));
}

TEST_HARNESS_MAIN
