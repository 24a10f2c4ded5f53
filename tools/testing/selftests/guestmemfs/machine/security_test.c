// SPDX-License-Identifier: GPL-2.0-only
/*
 * Labels of a security module, tested with Smack on a kernel with lsm=smack: a file gets the label
 * of the process that makes it, a mount option gives labels to existing files, and labels decide
 * about access.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <linux/guestmemfs.h>

#include "harness.h"
#include "user.h"
#include "util.h"

#define SMACK	"/sys/fs/smackfs/load2"

FIXTURE(security)
{
	struct pool p;
	char options[64];
};

FIXTURE_SETUP(security)
{
	int nodes[MAX_POOLS];

	if (access(SMACK, F_OK))
		SKIP(return, "no Smack, or not mounted on /sys/fs/smackfs");
	if (!pool_nodes(nodes))
		SKIP(return, "no pool on this machine");
	ASSERT_TRUE(pool_setup(&self->p, nodes[0]));
	snprintf(self->options, sizeof(self->options),
		 "node=%d,smackfsdef=Pool,smackfsroot=Root", nodes[0]);
	ASSERT_EQ(0, umount(self->p.mnt));
	ASSERT_EQ(0, mount("x", self->p.mnt, "guestmemfs", 0, self->options));
}

FIXTURE_TEARDOWN_PARENT(security)
{
	if (self->p.base[0])
		EXPECT_STREQ("", pool_teardown(&self->p) ?: "");
}

static bool says(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	close(fd);
	return ok;
}

static bool i_am(const char *label)
{
	return says("/proc/self/attr/smack/current", label);
}

/* Sets a rule: the access of processes with one label to files with another, in Smack's letters. */
static bool may(const char *who, const char *what, const char *access)
{
	char rule[64];

	snprintf(rule, sizeof(rule), "%s %s %s", who, what, access);
	return says(SMACK, rule);
}

static const char *label_of(const char *path)
{
	static char label[32];
	ssize_t n = getxattr(path, "security.SMACK64", label, sizeof(label) - 1);

	label[n > 0 ? n : 0] = 0;
	return label;
}

TEST_F(security, labels)
{
	char tmpfile[64];
	int fd;

	EXPECT_STREQ("Root", label_of(self->p.mnt));
	/* The directory existed before the mount. */
	EXPECT_STREQ("Pool", label_of(self->p.dir));
	ASSERT_TRUE(i_am("Guest"));
	close(file_make(&self->p, "file", BLOCK));
	ASSERT_EQ(0, mkdir(pool_path(&self->p, "dir"), 0700));
	close(file_make(&self->p, "dir/file", BLOCK));
	fd = open(self->p.dir, O_TMPFILE | O_RDWR, 0600);
	ASSERT_GE(fd, 0);
	snprintf(tmpfile, sizeof(tmpfile), "/proc/self/fd/%d", fd);
	EXPECT_STREQ("Guest", label_of(tmpfile));
	EXPECT_STREQ("Guest", label_of(pool_path(&self->p, "file")));
	EXPECT_STREQ("Guest", label_of(pool_path(&self->p, "dir")));
	EXPECT_STREQ("Guest", label_of(pool_path(&self->p, "dir/file")));
	close(fd);
	/* Labels are not stored in the pool. */
	ASSERT_EQ(0, umount(self->p.mnt));
	ASSERT_EQ(0, mount("x", self->p.mnt, "guestmemfs", 0, self->options));
	EXPECT_STREQ("Root", label_of(self->p.mnt));
	EXPECT_STREQ("Pool", label_of(pool_path(&self->p, "file")));
	EXPECT_STREQ("Pool", label_of(pool_path(&self->p, "dir")));
	EXPECT_STREQ("Pool", label_of(pool_path(&self->p, "dir/file")));
}

static int open_err(const char *path, int flags)
{
	int fd = open(path, flags);

	return fd < 0 ? errno : ERR(close(fd));
}

struct rule {
	const char *access;
	int stat, read, write, truncate, ioctl;
};

/* The ioctl fails with EFAULT for a NULL argument if Smack allows it. */
static const struct rule rules[] = {
	{ "-",	EACCES,	EACCES,	EACCES,	EACCES,	EACCES },
	{ "r",	0,	0,	EACCES,	EACCES,	EACCES },
	{ "rw",	0,	0,	0,	0,	EFAULT },
};

/* The permission bits allow everything, so that only the labels decide. */
TEST_F(security, rules)
{
	struct stat st;
	unsigned int i;
	int fd;

	ASSERT_EQ(0, chdir(self->p.dir));
	ASSERT_EQ(0, chmod(".", 0777));
	ASSERT_TRUE(i_am("Guest"));
	fd = open("file", O_RDWR | O_CREAT | O_EXCL, 0600);
	ASSERT_EQ(0, fchmod(fd, 0666));
	ASSERT_TRUE(i_am("Other"));
	ASSERT_TRUE(may("Other", "Pool", "rwx"));
	for (i = 0; i < ARRAY_SIZE(rules); i++) {
		const struct rule *r = &rules[i];

		ASSERT_TRUE(as_root());
		ASSERT_TRUE(may("Other", "Guest", r->access));
		ASSERT_TRUE(as_user());
		EXPECT_EQ(r->stat, ERR(stat("file", &st)))
			TH_LOG("rule %s", r->access);
		EXPECT_EQ(r->read, open_err("file", O_RDONLY))
			TH_LOG("rule %s", r->access);
		EXPECT_EQ(r->write, open_err("file", O_RDWR))
			TH_LOG("rule %s", r->access);
		EXPECT_EQ(r->truncate, ERR(truncate("file", BLOCK)))
			TH_LOG("rule %s", r->access);
		EXPECT_EQ(r->ioctl, ERR(ioctl(fd, GUESTMEMFS_IOC_CREATE_GMEM, NULL)))
			TH_LOG("rule %s", r->access);
	}
	ASSERT_TRUE(as_root());
	close(fd);
}

TEST_HARNESS_MAIN
