// SPDX-License-Identifier: GPL-2.0-only
/*
 * The mixer's calls that change the space of a file, and calls that return it.
 */
#define _GNU_SOURCE
#include <linux/falloc.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "mix.h"

#define KEEP	FALLOC_FL_KEEP_SIZE
#define PUNCH	(FALLOC_FL_PUNCH_HOLE | KEEP)
#define ZERO	FALLOC_FL_ZERO_RANGE

/*
 * tmpfs reports blocks that were allocated and not written as holes, so half of the stand-in's
 * files are never allocated in advance.
 */
static bool only_sought(const struct mix *m, const struct mix_file *f)
{
	return m->standin && nr_of(m, f) % 2;
}

enum mix_result check_file(struct mix *m, struct mix_file *f)
{
	nlink_t links = f->name < 0 ? 0 : 1;
	struct stat st;

	if (f->fd < 0 && f->name < 0)
		return MIX_DONE;
	if (f->fd < 0 ? stat(file_path(m, f), &st) : fstat(f->fd, &st))
		return wrong(m, "stat of file %u: %m", nr_of(m, f));
	if (st.st_size != (off_t)f->size)
		return wrong(m, "file %u: size %#lx instead of %#lx", nr_of(m, f), st.st_size,
			     f->size);
	if (st.st_blocks * 512UL != f->nr_blocks * m->block)
		return wrong(m, "file %u: %lu bytes allocated instead of %lu", nr_of(m, f),
			     st.st_blocks * 512UL, f->nr_blocks * m->block);
	if (st.st_ino != f->ino || st.st_nlink != links)
		return wrong(m, "file %u: inode %lu with %lu links instead of %lu with %lu",
			     nr_of(m, f), st.st_ino, st.st_nlink, f->ino, links);
	return MIX_DONE;
}

/* Compares the numbers of free blocks and inodes with the model. */
enum mix_result check_free(struct mix *m)
{
	struct statfs st;

	if (m->standin)
		return MIX_DONE;
	if (statfs(m->pool.mnt, &st))
		return wrong(m, "statfs: %m");
	if (st.f_bfree != model_left(m) || st.f_bavail != model_left(m))
		return wrong(m, "%lu blocks free, %lu available, instead of %lu", st.f_bfree,
			     st.f_bavail, model_left(m));
	if (st.f_ffree != model_inodes_left(m))
		return wrong(m, "%lu inodes free instead of %lu", st.f_ffree,
			     model_inodes_left(m));
	return MIX_DONE;
}

/* Checks a file after a change whose boundaries are at these bytes. */
static enum mix_result checked(struct mix *m, struct mix_file *f, uint64_t from, uint64_t to)
{
	if (check_file(m, f) != MIX_DONE || look_at(m, f, from) != MIX_DONE ||
	    look_at(m, f, to) != MIX_DONE)
		return MIX_WRONG;
	return check_free(m);
}

enum mix_result do_truncate(struct mix *m)
{
	struct mix_file *f = draw_file(m);
	uint64_t size = f ? draw_offset(m, f) : 0, old;
	int err;

	if (!f || (f->fd < 0 && f->name < 0))
		return MIX_SKIPPED;
	/* Sometimes use the largest size. */
	if (!draw(m, 16))
		size = f->max * m->block;
	note(m, "truncate file %u: %#lx -> %#lx, %s", nr_of(m, f), f->size, size,
	     f->fd < 0 ? "by name" : "open");
	err = ERR(f->fd < 0 ? truncate(file_path(m, f), size) : ftruncate(f->fd, size));
	old = f->size;
	model_resize(m, f, size);
	if (expect(m, err, 0) != MIX_DONE)
		return MIX_WRONG;
	return checked(m, f, size, old);
}

static void model_allocate(struct mix *m, struct mix_file *f, int mode, uint64_t from, uint64_t to)
{
	if (mode & FALLOC_FL_PUNCH_HOLE) {
		model_punch(m, f, from, to);
		return;
	}
	model_fill(m, f, from, to);
	if (mode & ZERO)
		model_zero(m, f, from, to);
	if (!(mode & KEEP) && to > f->size)
		model_resize(m, f, to);
}

enum mix_result do_allocate(struct mix *m)
{
	static const int modes[] = { PUNCH, 0, KEEP, PUNCH, ZERO, ZERO | KEEP };
	struct mix_file *f = draw_open(m);
	int mode = modes[draw(m, m->standin ? 4 : 6)], want = 0;
	uint64_t from, to, holes, cost;

	if (!f)
		return MIX_SKIPPED;
	draw_range(m, f, &from, &to);
	holes = model_holes(m, f, from, to);
	cost = holes;
	/* Zeroing costs time for allocated blocks, too. */
	if (mode & ZERO)
		cost = (to - 1) / m->block - from / m->block + 1;
	if (mode != PUNCH && holes > model_left(m))
		want = ENOSPC;
	else if (mode != PUNCH && (!affordable(m, cost) || only_sought(m, f)))
		return MIX_SKIPPED;
	note(m, "fallocate file %u: %s%s%s %#lx-%#lx, size %#lx, %lu holes", nr_of(m, f),
	     mode == PUNCH ? "PUNCH " : "", mode & ZERO ? "ZERO " : "",
	     mode & KEEP ? "KEEP" : "", from, to, f->size, holes);
	if (expect(m, ERR(fallocate(f->fd, mode, from, to - from)), want) != MIX_DONE)
		return MIX_WRONG;
	if (want)
		m->seen[SEEN_NO_BLOCK]++;
	else
		model_allocate(m, f, mode, from, to);
	/* model_fill() has already paid for the holes. */
	if (!want && mode & ZERO)
		m->budget -= (cost - holes) * 16;
	return checked(m, f, from, to - 1);
}

enum mix_result do_seek(struct mix *m)
{
	struct mix_file *f = draw_open(m);
	bool hole = draw(m, 2);
	uint64_t at, want;
	off_t got;

	if (!f || (m->standin && !only_sought(m, f)))
		return MIX_SKIPPED;
	at = draw_offset(m, f);
	want = model_seek(m, f, at, hole);
	note(m, "seek file %u: %s from %#lx, size %#lx", nr_of(m, f), hole ? "hole" : "data", at,
	     f->size);
	got = lseek(f->fd, at, hole ? SEEK_HOLE : SEEK_DATA);
	if (want == UINT64_MAX)
		return expect(m, ERR(got), ENXIO);
	if (got != (off_t)want)
		return wrong(m, "found at %#lx instead of %#lx", got, want);
	return MIX_DONE;
}

enum mix_result do_stat(struct mix *m)
{
	unsigned int i;

	note(m, "stat of all, statfs");
	for (i = 0; i < NR_FILES; i++)
		if (m->files[i].exists && check_file(m, &m->files[i]) != MIX_DONE)
			return MIX_WRONG;
	return check_free(m);
}

static union {
	struct fiemap map;
	char room[sizeof(struct fiemap) + (BIG_GROUP + NEAR) * sizeof(struct fiemap_extent)];
} extents;

/* Checks a block of an extent: it is allocated, and has the same address as before. */
static enum mix_result check_block(struct mix *m, struct mix_file *f, uint64_t i, uint64_t phys)
{
	struct mix_block *b = &f->blocks[i];

	if (i >= f->max || !b->there)
		return wrong(m, "file %u: block %lu is at %#lx instead of a hole", nr_of(m, f), i,
			     phys);
	if (!phys || phys % m->block || (b->phys && b->phys != phys))
		return wrong(m, "file %u: block %lu is at %#lx instead of %#lx", nr_of(m, f), i,
			     phys, b->phys);
	b->phys = phys;
	return MIX_DONE;
}

/* Checks that the extents are in order and have exactly the blocks of the file. */
enum mix_result check_extents(struct mix *m, struct mix_file *f, int fd)
{
	unsigned int i, nr;
	uint64_t at, seen = 0, end = 0;

	memset(&extents, 0, sizeof(extents));
	extents.map.fm_length = FIEMAP_MAX_OFFSET;
	extents.map.fm_extent_count = BIG_GROUP + NEAR;
	if (ioctl(fd, FS_IOC_FIEMAP, &extents.map))
		return wrong(m, "FIEMAP of file %u: %m", nr_of(m, f));
	nr = extents.map.fm_mapped_extents;
	for (i = 0; i < nr; i++) {
		const struct fiemap_extent *e = &extents.map.fm_extents[i];
		bool last = e->fe_flags == FIEMAP_EXTENT_LAST;

		if (e->fe_logical < end || !e->fe_length || (e->fe_flags && !last) ||
		    last != (i == nr - 1) || (e->fe_logical | e->fe_length) % m->block)
			return wrong(m, "file %u: extent %u of %u: %#llx, %#llx bytes, flags %#x",
				     nr_of(m, f), i, nr, e->fe_logical, e->fe_length,
				     e->fe_flags);
		for (at = 0; at < e->fe_length; at += m->block, seen++)
			if (check_block(m, f, (e->fe_logical + at) / m->block,
					e->fe_physical + at) != MIX_DONE)
				return MIX_WRONG;
		end = e->fe_logical + e->fe_length;
	}
	if (seen != f->nr_blocks)
		return wrong(m, "file %u: %lu blocks in extents instead of %lu", nr_of(m, f), seen,
			     f->nr_blocks);
	return MIX_DONE;
}

enum mix_result do_extents(struct mix *m)
{
	unsigned int i;

	if (m->standin)
		return MIX_SKIPPED;
	note(m, "extents of all that is open");
	for (i = 0; i < NR_FILES; i++) {
		struct mix_file *f = &m->files[i];

		if (f->fd >= 0 && check_extents(m, f, f->fd) != MIX_DONE)
			return MIX_WRONG;
	}
	return check_owners(m);
}
