// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which users may change owner, mode and times of a file in guestmemfs, and which operations clear
 * the set-user-ID and set-group-ID bits. An operation that fails changes nothing, not even a time.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fixture.h"
#include "move.h"
#include "user.h"

#define PUNCH	(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define ZERO	FALLOC_FL_ZERO_RANGE

enum who {
	ROOT,
	OWNER,
	WRITER,		/* not the owner, may write */
	READER,
	NR_WHO,
};

static const char * const who_names[] = { "root", "owner", "writer", "reader" };

static bool is_now(enum who who)
{
	switch (who) {
	case OWNER:
		return as_user();
	case WRITER:
		return become(OTHER, SECOND, SECOND);
	case READER:
		return become(OTHER, OTHER, OTHER);
	default:
		return as_root();
	}
}

/*
 * Makes a file and a directory of USER and SECOND in the test's directory, which all users can
 * search.
 */
static void enter(struct __test_metadata *_metadata, const struct pool *p)
{
	ASSERT_EQ(0, chmod(p->base, 0755));
	ASSERT_EQ(0, chmod(p->dir, 0755));
	ASSERT_EQ(0, chdir(p->dir));
	ASSERT_EQ(0, mknod("f", S_IFREG | 0600, 0));
	ASSERT_EQ(0, mkdir("d", 0700));
}

static void leave(struct __test_metadata *_metadata)
{
	ASSERT_TRUE(as_root());
	ASSERT_EQ(0, chdir("/"));
}

/* Restores owner and mode, and waits until the clock has advanced beyond the change time. */
static bool reset(const char *name, mode_t mode, struct stat *st)
{
	bool done = as_root() && !chown(name, USER, SECOND) && !chmod(name, mode) &&
		    !stat(name, st);

	usleep(20000);
	return done;
}

static bool same(const char *name, const struct stat *before)
{
	struct stat st;

	return !stat(name, &st) && st.st_mode == before->st_mode && st.st_uid == before->st_uid &&
	       st.st_gid == before->st_gid && st.st_size == before->st_size &&
	       !memcmp(&st.st_atim, &before->st_atim, sizeof(st.st_atim)) &&
	       !memcmp(&st.st_mtim, &before->st_mtim, sizeof(st.st_mtim)) &&
	       !memcmp(&st.st_ctim, &before->st_ctim, sizeof(st.st_ctim));
}

struct give {
	uid_t uid;
	gid_t gid;
	int err[NR_WHO];
};

#define NONE	((uid_t)-1)

static const struct give gives[] = {
	/*			  root	owner	writer	reader */
	{ NONE,		NONE,	{ 0,	0,	0,	0 } },
	{ USER,		NONE,	{ 0,	0,	EPERM,	EPERM } },
	{ NONE,		SECOND,	{ 0,	0,	EPERM,	EPERM } },
	{ NONE,		GROUP,	{ 0,	0,	EPERM,	EPERM } },
	{ USER,		GROUP,	{ 0,	0,	EPERM,	EPERM } },
	{ NONE,		OTHER,	{ 0,	EPERM,	EPERM,	EPERM } },
	{ USER,		OTHER,	{ 0,	EPERM,	EPERM,	EPERM } },
	{ NONE,		0,	{ 0,	EPERM,	EPERM,	EPERM } },
	{ OTHER,	NONE,	{ 0,	EPERM,	EPERM,	EPERM } },
	{ OTHER,	GROUP,	{ 0,	EPERM,	EPERM,	EPERM } },
	{ 0,		NONE,	{ 0,	EPERM,	EPERM,	EPERM } },
	{ 0,		0,	{ 0,	EPERM,	EPERM,	EPERM } },
};

TEST_F(in_pool, chown)
{
	static const char * const names[] = { "f", "d" };
	struct stat before, st;
	unsigned int i, k, who;

	enter(_metadata, &self->p);
	for (i = 0; i < ARRAY_SIZE(gives); i++) {
		const struct give *c = &gives[i];

		for (k = 0; k < ARRAY_SIZE(names) * NR_WHO; k++) {
			const char *name = names[k / NR_WHO];

			who = k % NR_WHO;
			ASSERT_TRUE(reset(name, 0764, &before));
			ASSERT_TRUE(is_now(who));
			EXPECT_EQ(c->err[who], ERR(chown(name, c->uid, c->gid)))
				TH_LOG("%s, case %u, %s", name, i, who_names[who]);
			if (c->err[who]) {
				EXPECT_TRUE(same(name, &before))
					TH_LOG("%s, case %u, %s", name, i, who_names[who]);
				continue;
			}
			ASSERT_EQ(0, stat(name, &st));
			EXPECT_EQ(c->uid == NONE ? USER : c->uid, st.st_uid);
			EXPECT_EQ(c->gid == NONE ? SECOND : c->gid, st.st_gid);
			EXPECT_FALSE(same(name, &before))
				TH_LOG("%s, case %u, %s: no new change time", name, i,
				       who_names[who]);
		}
	}
	leave(_metadata);
}

struct mode {
	mode_t mode;
	gid_t gid;
	mode_t after[NR_WHO];	/* 1: EPERM */
};

/* The set-group-ID bit is cleared if the caller is not in the group of the file. */
static const struct mode modes[] = {
	/*		   root		owner	writer	reader */
	{ 0,	SECOND,	{ 0,		0,	1,	1 } },
	{ 0777,	SECOND,	{ 0777,		0777,	1,	1 } },
	{ 07777, SECOND, { 07777,	07777,	1,	1 } },
	{ 07777, GROUP,	{ 07777,	07777,	1,	1 } },
	{ 07777, OTHER,	{ 07777,	05777,	1,	1 } },
	{ 02755, OTHER,	{ 02755,	0755,	1,	1 } },
	{ 02644, OTHER,	{ 02644,	0644,	1,	1 } },
};

TEST_F(in_pool, chmod)
{
	static const char * const names[] = { "f", "d" };
	struct stat before, st;
	unsigned int i, k, who;

	enter(_metadata, &self->p);
	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		const struct mode *c = &modes[i];

		for (k = 0; k < ARRAY_SIZE(names) * NR_WHO; k++) {
			const char *name = names[k / NR_WHO];
			bool refused;

			who = k % NR_WHO;
			refused = c->after[who] == 1;
			ASSERT_EQ(0, chown(name, USER, c->gid));
			ASSERT_EQ(0, chmod(name, 0666));
			ASSERT_EQ(0, stat(name, &before));
			ASSERT_TRUE(is_now(who));
			EXPECT_EQ(refused ? EPERM : 0, ERR(chmod(name, c->mode)))
				TH_LOG("%s, case %u, %s", name, i, who_names[who]);
			ASSERT_TRUE(as_root());
			ASSERT_EQ(0, stat(name, &st));
			EXPECT_EQ(refused ? 0666 : c->after[who], st.st_mode & 07777)
				TH_LOG("%s, case %u, %s", name, i, who_names[who]);
			if (refused)
				EXPECT_TRUE(same(name, &before));
		}
	}
	leave(_metadata);
}

/* Times are in nanoseconds after the same second. */
struct touch {
	long atime;
	long mtime;
	int err[NR_WHO];
};

static const struct touch touches[] = {
	/*				  root	owner	writer	reader */
	{ UTIME_NOW,	UTIME_NOW,	{ 0,	0,	0,	EACCES } },
	{ UTIME_OMIT,	UTIME_OMIT,	{ 0,	0,	0,	0 } },
	{ UTIME_NOW,	UTIME_OMIT,	{ 0,	0,	EPERM,	EPERM } },
	{ UTIME_OMIT,	UTIME_NOW,	{ 0,	0,	EPERM,	EPERM } },
	{ 5,		UTIME_OMIT,	{ 0,	0,	EPERM,	EPERM } },
	{ UTIME_OMIT,	5,		{ 0,	0,	EPERM,	EPERM } },
	{ 5,		UTIME_NOW,	{ 0,	0,	EPERM,	EPERM } },
	{ UTIME_NOW,	5,		{ 0,	0,	EPERM,	EPERM } },
	{ 5,		6,		{ 0,	0,	EPERM,	EPERM } },
	{ 1000000000,	5,		{ EINVAL, EINVAL, EINVAL, EINVAL } },
	{ 5,		-1,		{ EINVAL, EINVAL, EINVAL, EINVAL } },
};

static bool as_asked(long nsec, struct timespec before, struct timespec after)
{
	if (nsec == UTIME_OMIT)
		return before.tv_sec == after.tv_sec && before.tv_nsec == after.tv_nsec;
	if (nsec == UTIME_NOW)
		return after.tv_sec > before.tv_sec ||
		       (after.tv_sec == before.tv_sec && after.tv_nsec > before.tv_nsec);
	return after.tv_sec == 7 && after.tv_nsec == nsec;
}

TEST_F(in_pool, utimensat)
{
	struct stat before, st;
	unsigned int i, who;

	enter(_metadata, &self->p);
	for (i = 0; i < ARRAY_SIZE(touches); i++) {
		const struct touch *c = &touches[i];
		const struct timespec times[2] = { { 7, c->atime }, { 7, c->mtime } };

		for (who = 0; who < NR_WHO; who++) {
			ASSERT_TRUE(reset("f", 0464, &before));
			ASSERT_EQ(0, utimensat(AT_FDCWD, "f", NULL, 0));
			ASSERT_EQ(0, stat("f", &before));
			usleep(20000);
			ASSERT_TRUE(is_now(who));
			EXPECT_EQ(c->err[who], ERR(utimensat(AT_FDCWD, "f", times, 0)))
				TH_LOG("case %u, %s", i, who_names[who]);
			/* A NULL argument means UTIME_NOW for both times. */
			if (!i)
				EXPECT_EQ(c->err[who], ERR(utimensat(AT_FDCWD, "f", NULL, 0)));
			ASSERT_TRUE(as_root());
			ASSERT_EQ(0, stat("f", &st));
			if (c->err[who]) {
				EXPECT_TRUE(same("f", &before))
					TH_LOG("case %u, %s", i, who_names[who]);
				continue;
			}
			EXPECT_TRUE(as_asked(c->atime, before.st_atim, st.st_atim))
				TH_LOG("case %u, %s", i, who_names[who]);
			EXPECT_TRUE(as_asked(c->mtime, before.st_mtim, st.st_mtim))
				TH_LOG("case %u, %s", i, who_names[who]);
		}
	}
	leave(_metadata);
}

/* The other file of a move. */
static int spare;

/* Gives a file its block, by a store through a mapping, which clears no bits. */
static bool touched(int fd)
{
	char *p = map_file(fd, 0, BLOCK);

	return p != MAP_FAILED && !poke(p, 1) && !munmap(p, BLOCK);
}

static int op_resize(int fd)	{ return ftruncate(fd, BLOCK + 1); }
static int op_keep_size(int fd)	{ return ftruncate(fd, BLOCK); }
static int op_shrink(int fd)	{ return truncate("f", 1); }
static int op_open_trunc(int fd) { return close(open("f", O_WRONLY | O_TRUNC)); }
static int op_fallocate(int fd)	{ return fallocate(fd, 0, 0, BLOCK); }
static int op_punch(int fd)	{ return fallocate(fd, PUNCH, 0, PAGE); }
static int op_zero(int fd)	{ return fallocate(fd, ZERO, 0, PAGE); }
static int op_chown(int fd)	{ return fchown(fd, USER, GROUP); }
static int op_chown_none(int fd) { return fchown(fd, -1, -1); }
static int op_utimes(int fd)	{ return futimens(fd, NULL); }
static int op_sync(int fd)	{ return fsync(fd); }

static int op_move_to(int fd)
{
	return touched(spare) ? move(spare, 0, fd, 0, BLOCK, 0) : -1;
}

static int op_move_from(int fd)
{
	return fallocate(spare, PUNCH, 0, BLOCK) ?: move(fd, 0, spare, 0, BLOCK, 0);
}

struct set_id {
	const char *name;
	int (*run)(int fd);
	bool clears[NR_WHO];
};

#define OP(name, ...)	{ #name, op_##name, { __VA_ARGS__ } }

static const struct set_id set_ids[] = {
	/*		root	owner	writer */
	OP(resize,	false,	true,	true),
	OP(keep_size,	false,	true,	true),
	OP(shrink,	false,	true,	true),
	OP(open_trunc,	false,	true,	true),
	OP(fallocate,	false,	true,	true),
	OP(punch,	false,	true,	true),
	OP(zero,	false,	true,	true),
	OP(move_to,	false,	true,	true),
	OP(move_from,	false,	true,	true),
	OP(chown,	true,	true),
	OP(chown_none,	true,	true),
	OP(utimes,	false,	false,	false),
	OP(sync,	false,	false,	false),
};

struct set {
	mode_t mode;
	gid_t gid;
	mode_t left[READER];	/* of it, where bits are cleared */
};

static const struct set sets[] = {
	/*			  root		owner	writer */
	{ 06777,	SECOND,	{ 0777,		0777,	0777 } },
	{ 02777,	SECOND,	{ 0777,		0777,	0777 } },
	{ 04777,	SECOND,	{ 0777,		0777,	0777 } },
	/*
	 * Without execute permission for the group, the set-group-ID bit does not make the file run
	 * as that group. It stays, unless the caller is not in the group of the file.
	 */
	{ 02767,	SECOND,	{ 02767,	02767,	02767 } },
	{ 02767,	OTHER,	{ 02767,	0767,	0767 } },
};

/* Operations that change a file clear its set-user-ID and set-group-ID bits. */
TEST_F(in_pool, set_id_bits)
{
	unsigned int i, k, who;
	struct stat st;
	int fd;

	enter(_metadata, &self->p);
	fd = open("f", O_RDWR);
	ASSERT_GE(fd, 0);
	spare = file_make(&self->p, "spare", BLOCK);
	ASSERT_GE(spare, 0);
	for (i = 0; i < ARRAY_SIZE(set_ids); i++) {
		const struct set_id *c = &set_ids[i];

		for (k = 0; k < ARRAY_SIZE(sets) * READER; k++) {
			const struct set *s = &sets[k / READER];

			who = k % READER;
			/* Only the owner may call chown(), even if it changes nothing. */
			if (who == WRITER && (c->run == op_chown || c->run == op_chown_none))
				continue;
			ASSERT_TRUE(as_root());
			ASSERT_EQ(0, ftruncate(fd, 0));
			ASSERT_EQ(0, ftruncate(fd, BLOCK));
			/* Memory is moved to a hole. */
			if (c->run != op_move_to)
				ASSERT_TRUE(touched(fd));
			ASSERT_EQ(0, fchown(fd, USER, s->gid));
			ASSERT_EQ(0, fchmod(fd, s->mode));
			ASSERT_TRUE(is_now(who));
			EXPECT_EQ(0, c->run(fd))
				TH_LOG("%s, %s", c->name, who_names[who]);
			ASSERT_EQ(0, fstat(fd, &st));
			EXPECT_EQ(c->clears[who] ? s->left[who] : s->mode, st.st_mode & 07777)
				TH_LOG("%s of %o, %s", c->name, s->mode, who_names[who]);
		}
	}
	/* The bits have another meaning for a directory, and are not cleared there. */
	ASSERT_TRUE(as_root());
	ASSERT_EQ(0, chmod("d", 06777));
	ASSERT_EQ(0, chown("d", USER, GROUP));
	ASSERT_EQ(0, stat("d", &st));
	EXPECT_EQ(06777, st.st_mode & 07777);
	close(spare);
	close(fd);
	leave(_metadata);
}

TEST_HARNESS_MAIN
