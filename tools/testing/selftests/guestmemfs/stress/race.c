// SPDX-License-Identifier: GPL-2.0-only
/*
 * The actions of race_test's threads, which run on one pool, or on two, at the same time.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "looks.h"
#include "move.h"
#include "race.h"
#include "userfault.h"

#define PUNCH	(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define ZERO	(FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE)

struct race race;

bool race_stopped(void)
{
	return __atomic_load_n(&race.stop, __ATOMIC_RELAXED);
}

static void note_wrong(bool wrong, int line)
{
	if (wrong && !__atomic_fetch_add(&race.wrong, 1, __ATOMIC_RELAXED))
		race.line = line;
}

#define wrong_if(wrong)	note_wrong(wrong, __LINE__)

/* xorshift, with a seed for each thread. */
unsigned int race_random(unsigned int *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

/* Prefers the small files: one file has 1 GiB entries, which take long to zero. */
static int random_file(unsigned int *state)
{
	return race_random(state) % 16 ? 1 + race_random(state) % (NR_FILES - 1) : 0;
}

off_t race_size(int file)
{
	return file ? SMALL_SIZE : BIG_SIZE;
}

/* Prefers offsets near the start, so that threads meet. */
static off_t random_offset(unsigned int *state, int file)
{
	off_t range = race_random(state) % 4 ? SMALL_SIZE : race_size(file);

	return ((off_t)race_random(state) << 12) % range;
}

/* Returns a random path out of the names that threads share. */
static void random_name(unsigned int *state, char *path, size_t room)
{
	snprintf(path, room, "%s/n%u", race.pool->dir, race_random(state) % NR_NAMES);
}

/* A byte that belongs to another file, or to an earlier one, must never be visible. */
static bool see(const char *p, int tag)
{
	int value = peek(p);

	wrong_if(value > 0 && value != tag);
	return value >= 0;
}

static bool map_and_touch(unsigned int *state, int file, size_t displaced)
{
	static __thread char *area;
	off_t size = race_size(file);
	bool seen = false;
	char *p;
	int i;

	if (!area)
		area = reserve(BIG_SIZE, GIB);
	/*
	 * Some mappings reserve their blocks, if there is room. The others get fewer blocks then.
	 */
	p = race_random(state) % 8 ? map_at(area + displaced, race.fds[file], 0, size) :
				     map_reserved_at(area + displaced, race.fds[file], 0, size);
	for (i = 0; p != MAP_FAILED && i < 100 && !race_stopped(); i++) {
		off_t at = random_offset(state, file);

		seen |= see(p + at, FILE_TAG(file));
		poke(p + at, FILE_TAG(file));
		if (at % (8 * PAGE) == 0)
			wrong_if(madvise(p + at, 1 + race_random(state) % (size - at),
					 MADV_DONTNEED));
		seen |= see(p + at, FILE_TAG(file));
	}
	/* Keep the area reserved. */
	mmap(area + displaced, size, PROT_NONE,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
	return seen;
}

static bool touch_1g(unsigned int *state)
{
	return map_and_touch(state, 0, 0);
}

static bool touch_2m(unsigned int *state)
{
	return map_and_touch(state, random_file(state), BLOCK);
}

static bool touch_4k(unsigned int *state)
{
	return map_and_touch(state, random_file(state), PAGE);
}

/* Reads the page tables of this thread's mapping, or of all mappings of the process. */
static bool look_around(unsigned int *state)
{
	const struct look *look = &looks[race_random(state) % NR_LOOKS];
	char *map = map_file(race.fds[0], 0, BIG_SIZE);
	bool seen;

	if (map == MAP_FAILED)
		return false;
	seen = see(map + random_offset(state, 0), FILE_TAG(0));
	wrong_if(!look->at(map, BIG_SIZE));
	munmap(map, BIG_SIZE);
	return seen;
}

static bool change_space(unsigned int *state, int mode)
{
	int file = random_file(state);
	off_t at = random_offset(state, file);
	int err = ERR(fallocate(race.fds[file], mode, at, 1 + race_random(state) % (3 * BLOCK)));

	wrong_if(err && err != ENOSPC);
	return !err;
}

static bool punch(unsigned int *state)
{
	return change_space(state, PUNCH);
}

static bool zero(unsigned int *state)
{
	return change_space(state, ZERO);
}

static bool allocate(unsigned int *state)
{
	return change_space(state, FALLOC_FL_KEEP_SIZE);
}

/*
 * Moves or exchanges blocks: within a file, or zeroed, because a byte of a file must not get the
 * tag of another one. Threads that truncate may have left too few bytes, and a block may be there.
 */
static bool move_some(unsigned int *state)
{
	int from = random_file(state), to = race_random(state) % 4 ? random_file(state) : from;
	off_t a = random_offset(state, from) & -BLOCK, b = random_offset(state, to) & -BLOCK;
	unsigned int flags = race_random(state) % 4 ? EXCHANGE : 0;
	int err;

	if (from != to || race_random(state) % 4 == 0)
		flags |= MOVE_ZERO;
	err = move(race.fds[from], a, race.fds[to], b, (1 + race_random(state) % 3) * BLOCK,
		   flags);
	wrong_if(err && err != EINVAL && err != EEXIST);
	return !err;
}

static bool resize(unsigned int *state)
{
	int file = random_file(state);
	bool failed = ftruncate(race.fds[file], random_offset(state, file)) ||
		      ftruncate(race.fds[file], race_size(file));

	wrong_if(failed);
	return !failed;
}

static bool change_names(unsigned int *state)
{
	unsigned int flags = race_random(state) % 2 ? RENAME_EXCHANGE : 0;
	char one[128], two[128];

	random_name(state, one, sizeof(one));
	random_name(state, two, sizeof(two));
	return !syscall(SYS_renameat2, AT_FDCWD, one, AT_FDCWD, two, flags);
}

/* Makes a file with blocks and unlinks it at once, by its name or while it is open. */
static bool make_and_unlink(unsigned int *state)
{
	bool seen = false;
	char name[128];
	int fd;

	random_name(state, name, sizeof(name));
	fd = open(name, O_RDWR | O_CREAT, 0600);
	if (fd < 0)
		return false;
	if (!ftruncate(fd, BLOCK)) {
		char *p = map_file(fd, 0, BLOCK);

		if (p != MAP_FAILED) {
			poke(p, NAME_TAG);
			/* Leave some files to the other threads, and to the check at the end. */
			if (race_random(state) % 4)
				unlink(name);
			poke(p + PAGE, NAME_TAG);
			seen = see(p, NAME_TAG);
			munmap(p, BLOCK);
		}
	}
	close(fd);
	return seen;
}

static const char *mount_point(char *path, size_t room, const char *name)
{
	snprintf(path, room, "%s/%s", race.pool->base, name);
	mkdir(path, 0700);
	return path;
}

/* Unmounting may fail with EBUSY only because another thread is in come_by(). */
static bool mount_and_unmount(unsigned int *state)
{
	char path[96];
	int err;

	mount_point(path, sizeof(path), "there");
	err = ERR(pool_mount_at(race.pool->node, path, 0));
	wrong_if(err);
	if (err)
		return false;
	usleep(race_random(state) % 4000);
	err = ERR(umount(path));
	wrong_if(err && err != EBUSY);
	if (err)
		wrong_if(umount2(path, MNT_DETACH));
	return true;
}

/* Uses a file through a mount that may be removed at any moment. */
static bool come_by(unsigned int *state)
{
	const char *sub = strrchr(race.pool->dir, '/');
	int file = 1 + race_random(state) % (NR_FILES - 1);
	bool seen = false;
	char path[224];
	int fd;

	snprintf(path, sizeof(path), "%s/there%s/file%d", race.pool->base, sub, file);
	fd = open(path, O_RDWR);
	if (fd >= 0) {
		char *p = map_file(fd, 0, SMALL_SIZE);

		if (p != MAP_FAILED) {
			seen = see(p + random_offset(state, file), FILE_TAG(file));
			munmap(p, SMALL_SIZE);
		}
		close(fd);
	}
	return seen;
}

/* A mapping of a file is the last user of a detached mount. */
static bool bind_and_detach(unsigned int *state)
{
	char path[96], name[160];
	bool seen = false;
	int fd, err;

	mount_point(path, sizeof(path), "bound");
	err = ERR(mount(race.pool->dir, path, NULL, MS_BIND, NULL));
	wrong_if(err);
	if (err)
		return false;
	snprintf(name, sizeof(name), "%s/file1", path);
	fd = open(name, O_RDWR);
	wrong_if(fd < 0);
	wrong_if(umount2(path, MNT_DETACH));
	if (fd >= 0) {
		char *p = map_file(fd, 0, SMALL_SIZE);

		close(fd);
		if (p != MAP_FAILED) {
			seen = see(p + random_offset(state, 1), FILE_TAG(1));
			munmap(p, SMALL_SIZE);
		}
	}
	return seen;
}

/*
 * If the other pool is a second one, only a second thread with this action mounts it, so that its
 * superblock is freed while that thread mounts it. Each thread has its own file, in which it must
 * find what it has left there, superblock after superblock.
 */
static bool come_and_go(unsigned int *state, const char *where, int *left)
{
	bool early = race_random(state) % 2, gone = race_random(state) % 4 == 0;
	char path[96], name[224], *p;
	int fd, err, value;

	mount_point(path, sizeof(path), where);
	err = ERR(pool_mount_at(race.other->node, path, 0));
	wrong_if(err);
	if (err)
		return false;
	snprintf(name, sizeof(name), "%s%s/%s", path, strrchr(race.other->dir, '/'), where);
	fd = open(name, O_RDWR | O_CREAT, 0600);
	err = fd < 0 || ftruncate(fd, BLOCK);
	p = map_file(fd, 0, BLOCK);
	if (gone)
		err |= unlink(name);
	if (early)
		err |= umount2(path, MNT_DETACH);
	value = p == MAP_FAILED ? -1 : peek(p);
	wrong_if(err || (value >= 0 && value != *left));
	if (value >= 0 && !poke(p, GUEST_TAG))
		*left = GUEST_TAG;
	if (gone)
		*left = 0;
	if (p != MAP_FAILED)
		munmap(p, BLOCK);
	close(fd);
	if (!early)
		wrong_if(umount(path));
	return value >= 0;
}

static bool come_and_go_one(unsigned int *state)
{
	static int left;

	return come_and_go(state, "g0", &left);
}

static bool come_and_go_two(unsigned int *state)
{
	static int left;

	return come_and_go(state, "g1", &left);
}

/* Punches single pages, which become absent, and uses some of them again. */
static bool punch_pages(unsigned int *state)
{
	int file = random_file(state), i;
	char *p = map_file(race.fds[file], 0, SMALL_SIZE);
	bool seen = false;

	if (p == MAP_FAILED)
		return false;
	if (race_random(state) % 2)
		wrong_if(madvise(p, SMALL_SIZE, MADV_NOHUGEPAGE));
	for (i = 0; i < 100 && !race_stopped(); i++) {
		off_t at = random_offset(state, 1) & -PAGE;
		int err = ERR(fallocate(race.fds[file], PUNCH, at, (1 + i % 3) * PAGE));

		wrong_if(err && err != ENOSPC);
		if (i % 2)
			seen |= see(p + at, FILE_TAG(file));
		if (i % 3)
			poke(p + at, FILE_TAG(file));
	}
	munmap(p, SMALL_SIZE);
	return seen;
}

/* Fills pages by userfaultfd, as a thread does that resolves faults, and reads what is there. */
static bool fill_pages(unsigned int *state)
{
	static __thread char tag[4 * PAGE];
	uint64_t mode = UFFDIO_REGISTER_MODE_MISSING;
	int file = random_file(state), i, err;
	bool filled = false;
	struct uffd u;
	char *p;

	p = map_file(race.fds[file], 0, SMALL_SIZE);
	if (p == MAP_FAILED)
		return false;
	memset(tag, FILE_TAG(file), sizeof(tag));
	if (race_random(state) % 2)
		mode |= UFFDIO_REGISTER_MODE_MINOR;
	wrong_if(!uffd_open(&u, 0));
	wrong_if(uffd_register(&u, p, SMALL_SIZE, mode));
	for (i = 0; i < 100 && !race_stopped(); i++) {
		off_t at = random_offset(state, 1) & -PAGE;
		size_t len = (1 + race_random(state) % 4) * PAGE;

		if (at + len > SMALL_SIZE)
			continue;
		if (i % 4 == 1)
			err = uffd_zero(&u, p + at, len, NULL);
		else if (i % 4 == 2 && mode & UFFDIO_REGISTER_MODE_MINOR)
			err = uffd_continue(&u, p + at, len, NULL);
		else
			err = uffd_copy(&u, p + at, tag, len, NULL);
		/* Beyond the end while another thread truncates, and a missing page to continue. */
		wrong_if(err && err != EEXIST && err != EAGAIN && err != ENOSPC && err != EFAULT);
		filled |= !err;
	}
	if (race_random(state) % 2)
		wrong_if(uffd_unregister(&u, p, SMALL_SIZE));
	uffd_close(&u);
	for (i = 0; i < 10; i++)
		see(p + (random_offset(state, 1) & -PAGE), FILE_TAG(file));
	munmap(p, SMALL_SIZE);
	return filled;
}

const struct race_action race_actions[NR_ACTIONS] = {
	{ "touch 1 GiB entries",	touch_1g },
	{ "touch 2 MiB entries",	touch_2m },
	{ "touch them as well",		touch_2m },
	{ "touch 4 KiB entries",	touch_4k },
	{ "look around",		look_around },
	{ "punch",			punch },
	{ "zero",			zero },
	{ "allocate",			allocate },
	{ "punch pages",		punch_pages },
	{ "fill pages",			fill_pages },
	{ "fill pages as well",		fill_pages },
	{ "truncate",			resize },
	{ "move",			move_some },
	{ "rename",			change_names },
	{ "make and unlink",		make_and_unlink },
	{ "mount and unmount",		mount_and_unmount },
	{ "come by there",		come_by },
	{ "bind and detach",		bind_and_detach },
	{ "the other pool",		come_and_go_one },
	{ "the other pool, too",	come_and_go_two },
};
