// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the kernel shows about pools and mounts: the lists of mounts, statmount(2), sysfs.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "fixture.h"

/*
 * The headers of the C library and of the kernel that declare mount() conflict, so use the system
 * call.
 */
static int mount_at(const char *source, const char *path, const char *options)
{
	return syscall(SYS_mount, source, path, "guestmemfs", 0, options);
}

static int unmount(const char *path)
{
	return syscall(SYS_umount2, path, 0);
}

/* Reads a small file, without its final newline. Returns "?" if it cannot be read. */
static const char *read_text(const char *path)
{
	static char text[512];
	int fd = open(path, O_RDONLY);
	ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	close(fd);
	if (len < 1 || text[len - 1] != '\n')
		return "?";
	text[len - 1] = 0;
	return text;
}

static const char *sysfs_path(const struct pool *p, const char *name)
{
	static char path[320];

	snprintf(path, sizeof(path), "/sys/fs/guestmemfs/node%d/%s", p->node, name);
	return path;
}

static const char *sysfs_text(const struct pool *p, const char *name)
{
	return read_text(sysfs_path(p, name));
}

static uint64_t sysfs_number(const struct pool *p, const char *name)
{
	const char *text = sysfs_text(p, name);
	uint64_t value;
	char *end;

	value = strtoull(text, &end, 10);
	return *text && !*end ? value : UINT64_MAX;
}

/*
 * Returns the source of a mount: the first word of the line, in mountinfo the word after the type.
 */
static const char *listed_source(const char *list, const char *dir)
{
	static char source[256];
	char line[4096], want[256];
	FILE *mounts = fopen(list, "r");
	const char *p;

	snprintf(want, sizeof(want), " %s ", dir);
	source[0] = 0;
	while (mounts && fgets(line, sizeof(line), mounts)) {
		if (!strstr(line, want))
			continue;
		p = strstr(line, " - guestmemfs ");
		if (sscanf(p ? p + strlen(" - guestmemfs ") : line, "%255s", source) != 1)
			source[0] = 0;
	}
	if (mounts)
		fclose(mounts);
	return source;
}

static struct statmount *statmount_of(const char *path, uint64_t mask)
{
	static union {
		struct statmount sm;
		char room[4096];
	} buf;
	struct mnt_id_req req = { .size = MNT_ID_REQ_SIZE_VER0, .param = mask };
	struct statx stx;

	if (syscall(SYS_statx, AT_FDCWD, path, 0, STATX_MNT_ID_UNIQUE, &stx))
		return NULL;
	req.mnt_id = stx.stx_mnt_id;
	return syscall(__NR_statmount, &req, &buf, sizeof(buf), 0) ? NULL : &buf.sm;
}

static const char *statmount_options(const char *path)
{
	struct statmount *sm = statmount_of(path, STATMOUNT_MNT_OPTS);

	return sm ? sm->str + sm->mnt_opts : "?";
}

struct source_case {
	const char *source;
	bool with_node;		/* with node= of the pool */
	int err;
};

static const struct source_case source_cases[] = {
	{ "none",		true,	0 },
	{ "guestmemfs",		true,	0 },
	{ "",			true,	0 },
	{ "/dev/null",		true,	0 },
	{ "node",		true,	0 },
	{ "nodes",		true,	0 },
	{ "node-1",		true,	0 },
	{ "node0x",		true,	0 },
	{ "Node9999",		true,	0 },
	{ "node99999999999",	true,	0 },
	{ "node9999",		true,	EINVAL },
	{ "node9999",		false,	ENXIO },
	{ "node4294967295",	false,	ENXIO },
	{ "node%d",		true,	0 },
	{ "node%d",		false,	0 },
};

/* The lists of mounts show the node of the pool as the source, whatever source was given. */
TEST_F(in_pool, source)
{
	char path[128], source[64], options[32], want[16];
	struct stat one, two;
	int i, err;

	snprintf(want, sizeof(want), "node%d", self->p.node);
	EXPECT_STREQ(want, listed_source("/proc/self/mounts", self->p.mnt));
	ASSERT_EQ(0, stat(self->p.mnt, &one));
	ASSERT_EQ(0, pool_place(&self->p, path, sizeof(path)));
	for (i = 0; i < ARRAY_SIZE(source_cases); i++) {
		const struct source_case *c = &source_cases[i];

		snprintf(source, sizeof(source), "%s", strchr(c->source, '%') ? want : c->source);
		snprintf(options, sizeof(options), "node=%d", self->p.node);
		err = ERR(mount_at(source, path, c->with_node ? options : NULL));
		EXPECT_EQ(c->err, err)
			TH_LOG("source '%s'", source);
		if (err)
			continue;
		EXPECT_STREQ(want, listed_source("/proc/self/mounts", path));
		EXPECT_STREQ(want, listed_source("/proc/self/mountinfo", path));
		/* statmount() shows the option node=, even if it was not given. */
		EXPECT_STREQ(options, statmount_options(path));
		ASSERT_EQ(0, stat(path, &two));
		EXPECT_EQ(one.st_dev, two.st_dev);
		EXPECT_EQ(0, unmount(path));
	}
}

/* With several pools, a mount without node= fails, and the message lists their nodes. */
TEST_F(in_pool, several_pools)
{
	char said[512] = "", want[512] = "node= is needed, there are pools on nodes ";
	int fd = syscall(SYS_fsopen, "guestmemfs", 0), i;

	if (self->nr < 2)
		SKIP(return, "one pool only");
	for (i = 0; i < self->nr; i++)
		sprintf(want + strlen(want), "%s%d", i ? "," : "", self->nodes[i]);
	ASSERT_GE(fd, 0);
	EXPECT_EQ(EINVAL, ERR(syscall(SYS_fsconfig, fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0)));
	ASSERT_GT(read(fd, said, sizeof(said) - 1), 0);
	EXPECT_NE(NULL, strstr(said, want))
		TH_LOG("said: %s", said);
	close(fd);
}

TEST_F(in_pool, statmount)
{
	const uint64_t mask = STATMOUNT_SB_BASIC | STATMOUNT_MNT_BASIC | STATMOUNT_FS_TYPE |
			      STATMOUNT_MNT_POINT | STATMOUNT_MNT_OPTS | STATMOUNT_SB_SOURCE |
			      STATMOUNT_OPT_ARRAY;
	struct statmount *sm = statmount_of(self->p.mnt, mask);
	char want[32];
	struct stat st;

	ASSERT_NE(NULL, sm);
	EXPECT_EQ(mask, sm->mask & mask);
	EXPECT_EQ(GUESTMEMFS_MAGIC, sm->sb_magic);
	EXPECT_EQ(0, sm->sb_flags & 1 /* SB_RDONLY */);
	ASSERT_EQ(0, stat(self->p.mnt, &st));
	EXPECT_EQ(st.st_dev, makedev(sm->sb_dev_major, sm->sb_dev_minor));
	EXPECT_STREQ("guestmemfs", sm->str + sm->fs_type);
	EXPECT_STREQ(self->p.mnt, sm->str + sm->mnt_point);
	snprintf(want, sizeof(want), "node%d", self->p.node);
	EXPECT_STREQ(want, sm->str + sm->sb_source);
	snprintf(want, sizeof(want), "node=%d", self->p.node);
	EXPECT_EQ(1, sm->opt_num);
	EXPECT_STREQ(want, sm->str + sm->opt_array);
	EXPECT_STREQ(want, sm->str + sm->mnt_opts);
}

static const char * const always[] = {
	"size", "metadata_size", "uuid", "kexecs", "refused", "pinned", "persistent", "inherited",
	"poisoned", "poisoned_frames", "resized", "zero_threads", "zero_rate", "zero_helpers",
};

static const char * const mounted[] = {
	"free", "reserved", "detached", "lost", "largest_free", "free_gigabytes", "inodes", "files",
	"room", "unzeroed",
};

/* root may write to these. */
static bool is_setting(const char *name)
{
	return !strcmp(name, "size") || !strncmp(name, "zero_", 5);
}

/*
 * Each pool has the documented files and no others. Each file but the settings is read-only, and
 * has one value and a newline, but for the list of poisoned frames, which is empty here.
 */
TEST_F(in_pool, sysfs_files)
{
	DIR *dir = opendir(sysfs_path(&self->p, ""));
	struct dirent *d;
	int nr = 0, i;

	ASSERT_NE(NULL, dir);
	while ((d = readdir(dir))) {
		if (d->d_name[0] == '.')
			continue;
		nr++;
		if (strcmp(d->d_name, "poisoned_frames"))
			EXPECT_STRNE("?", sysfs_text(&self->p, d->d_name));
		EXPECT_EQ(NULL, strchr(sysfs_text(&self->p, d->d_name), '\n'));
		if (!is_setting(d->d_name))
			EXPECT_EQ(EACCES, ERR(open(sysfs_path(&self->p, d->d_name), O_WRONLY)));
	}
	closedir(dir);
	EXPECT_EQ(ARRAY_SIZE(always) + ARRAY_SIZE(mounted), nr);
	for (i = 0; i < ARRAY_SIZE(always); i++)
		EXPECT_EQ(0, access(sysfs_path(&self->p, always[i]), R_OK));
	ASSERT_EQ(0, unmount(self->p.mnt));
	for (i = 0; i < ARRAY_SIZE(always); i++)
		EXPECT_EQ(0, access(sysfs_path(&self->p, always[i]), R_OK));
	for (i = 0; i < ARRAY_SIZE(mounted); i++)
		EXPECT_EQ(ENOENT, ERR(access(sysfs_path(&self->p, mounted[i]), R_OK)));
	ASSERT_EQ(0, pool_mount_at(self->p.node, self->p.mnt, 0));
	for (i = 0; i < ARRAY_SIZE(mounted); i++)
		EXPECT_EQ(0, access(sysfs_path(&self->p, mounted[i]), R_OK));
}

static struct fsuuid2 uuid_of(const char *mnt)
{
	struct fsuuid2 uuid = {};
	int fd = open(mnt, O_RDONLY);

	if (ioctl(fd, FS_IOC_GETFSUUID, &uuid))
		uuid.len = 0;
	close(fd);
	return uuid;
}

/* Is this UUID the one whose two halves combined are the f_fsid of statfs()? */
static bool is_fsid(const struct fsuuid2 *uuid, const struct statfs *st)
{
	uint64_t half[2], id;

	memcpy(half, uuid->uuid, sizeof(half));
	id = half[0] ^ half[1];
	return (uint32_t)st->f_fsid.__val[0] == (uint32_t)id &&
	       (uint32_t)st->f_fsid.__val[1] == id >> 32;
}

static void uuid_text(const char *mnt, char *text)
{
	struct fsuuid2 uuid = uuid_of(mnt);
	int i;

	for (i = 0; i < uuid.len; i++)
		text += sprintf(text, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
				uuid.uuid[i]);
	*text = 0;
}

TEST_F(in_pool, sysfs_of_the_pool)
{
	struct fsuuid2 id = uuid_of(self->p.mnt);
	struct statfs st;
	char uuid[64];

	ASSERT_EQ(0, statfs(self->p.mnt, &st));
	EXPECT_EQ(st.f_blocks * BLOCK, sysfs_number(&self->p, "size"));
	EXPECT_EQ(0, sysfs_number(&self->p, "metadata_size") % BLOCK);
	EXPECT_GT(sysfs_number(&self->p, "metadata_size"), 0);
	uuid_text(self->p.mnt, uuid);
	EXPECT_EQ(36, strlen(uuid));
	EXPECT_STREQ(uuid, sysfs_text(&self->p, "uuid"));
	EXPECT_TRUE(is_fsid(&id, &st));
	EXPECT_NE(UINT64_MAX, sysfs_number(&self->p, "kexecs"));
	EXPECT_STREQ("no", sysfs_text(&self->p, "refused"));
}

TEST_F(in_pool, sysfs_of_its_contents)
{
	uint64_t largest, gigabytes = sysfs_number(&self->p, "free_gigabytes");
	struct statfs st;
	char *p;
	int fd;

	ASSERT_EQ(0, statfs(self->p.mnt, &st));
	EXPECT_EQ(st.f_bfree * BLOCK, sysfs_number(&self->p, "free"));
	EXPECT_EQ(st.f_files, sysfs_number(&self->p, "inodes"));
	EXPECT_EQ(st.f_files - st.f_ffree, sysfs_number(&self->p, "files"));
	largest = sysfs_number(&self->p, "largest_free");
	EXPECT_EQ(0, largest % BLOCK);
	EXPECT_GE(largest, gigabytes ? GIB : BLOCK);
	EXPECT_LE(largest, st.f_bfree * BLOCK);
	EXPECT_LE(gigabytes * GIB, st.f_bfree * BLOCK);
	fd = file_make(&self->p, "file", GIB);
	ASSERT_GE(fd, 0);
	EXPECT_EQ(st.f_files - st.f_ffree + 1, sysfs_number(&self->p, "files"));
	EXPECT_EQ(st.f_bfree * BLOCK, sysfs_number(&self->p, "free"));
	p = map_file(fd, 0, BLOCK);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, poke(p, 1));
	EXPECT_EQ((st.f_bfree - 1) * BLOCK, sysfs_number(&self->p, "free"));
	EXPECT_EQ(0, sysfs_number(&self->p, "reserved"));
	munmap(p, BLOCK);
	p = map_reserved(fd, 0, 3 * BLOCK);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(2 * BLOCK, sysfs_number(&self->p, "reserved"));
	EXPECT_EQ((st.f_bfree - 1) * BLOCK, sysfs_number(&self->p, "free"));
	munmap(p, 3 * BLOCK);
	EXPECT_EQ(0, sysfs_number(&self->p, "reserved"));
	ASSERT_EQ(0, ftruncate(fd, 0));
	EXPECT_EQ(gigabytes, sysfs_number(&self->p, "free_gigabytes"));
	EXPECT_EQ(largest, sysfs_number(&self->p, "largest_free"));
	if (!gigabytes)
		SKIP(return, "no gigabyte is free as a whole");
	ASSERT_EQ(0, fallocate(fd, 0, 0, GIB));
	EXPECT_EQ(gigabytes - 1, sysfs_number(&self->p, "free_gigabytes"));
	EXPECT_LE(sysfs_number(&self->p, "largest_free"), largest);
	/* The unlinked file is still in use, because it is open. */
	ASSERT_EQ(0, unlink(pool_path(&self->p, "file")));
	EXPECT_EQ(st.f_files - st.f_ffree + 1, sysfs_number(&self->p, "files"));
	EXPECT_EQ((st.f_bfree * BLOCK) - GIB, sysfs_number(&self->p, "free"));
	close(fd);
	EXPECT_EQ(st.f_files - st.f_ffree, sysfs_number(&self->p, "files"));
	EXPECT_EQ(gigabytes, sysfs_number(&self->p, "free_gigabytes"));
	EXPECT_EQ(largest, sysfs_number(&self->p, "largest_free"));
}

static int remount(const struct pool *p, const char *options)
{
	return syscall(SYS_mount, NULL, p->mnt, NULL, 32 /* MS_REMOUNT */, options);
}

/* sysfs shows the numbers of the pool, which do not depend on the limits of a mount. */
TEST_F(in_pool, sysfs_has_no_limits)
{
	char options[64];
	struct statfs st, now;

	ASSERT_EQ(0, statfs(self->p.mnt, &st));
	snprintf(options, sizeof(options), "size=%luk,nr_inodes=%lu",
		 (unsigned long)((st.f_blocks - st.f_bfree + 1) * (BLOCK / KIB)),
		 (unsigned long)(st.f_files - st.f_ffree + 1));
	ASSERT_EQ(0, remount(&self->p, options));
	ASSERT_EQ(0, statfs(self->p.mnt, &now));
	EXPECT_EQ(1, now.f_bfree);
	EXPECT_EQ(1, now.f_ffree);
	EXPECT_EQ(st.f_blocks * BLOCK, sysfs_number(&self->p, "size"));
	EXPECT_EQ(st.f_bfree * BLOCK, sysfs_number(&self->p, "free"));
	EXPECT_EQ(st.f_files, sysfs_number(&self->p, "inodes"));
	EXPECT_EQ(st.f_files - st.f_ffree, sysfs_number(&self->p, "files"));
	EXPECT_EQ(0, remount(&self->p, "size=0,nr_inodes=0"));
}

TEST_HARNESS_MAIN
