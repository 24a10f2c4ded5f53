// SPDX-License-Identifier: GPL-2.0-only
/*
 * The mixer's mount: limits, unmounting, and comparison of the whole pool with the model.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "mix.h"

/* No other process may use the pool from here on. */
bool mount_init(struct mix *m)
{
	struct statfs st;

	if (m->standin) {
		m->total_blocks = UINT32_MAX;
		m->total_inodes = UINT32_MAX;
		return true;
	}
	if (statfs(m->pool.mnt, &st))
		return false;
	m->total_blocks = st.f_blocks;
	m->total_inodes = st.f_files;
	m->other_blocks = st.f_blocks - st.f_bfree;
	m->other_inodes = st.f_files - st.f_ffree;
	return true;
}

/* Compares the bytes of allocated blocks only, because reading a hole would allocate it. */
static enum mix_result check_bytes(struct mix *m, struct mix_file *f, int fd)
{
	enum mix_result result = MIX_DONE;
	uint64_t i, at, len;

	for (i = 0; i < f->max && i * m->block < f->size && result == MIX_DONE; i++) {
		void *p;

		/* Check only some of the blocks that are all zero, because there are many. */
		if (!f->blocks[i].there || (!f->blocks[i].nr_pages && draw(m, 4)))
			continue;
		at = i * m->block;
		len = f->size - at < m->block ? (f->size - at + PAGE - 1) / PAGE * PAGE : m->block;
		p = mmap(NULL, len, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, at);
		if (p == MAP_FAILED)
			return wrong(m, "mmap: %m");
		result = touch_compare(m, f, at, p, len);
		munmap(p, len);
	}
	return result;
}

static enum mix_result check_whole_file(struct mix *m, struct mix_file *f)
{
	enum mix_result result = check_file(m, f);
	int fd = f->fd;

	if (result != MIX_DONE || (fd < 0 && f->name < 0))
		return result;
	if (fd < 0)
		fd = open(file_path(m, f), O_RDWR);
	if (fd < 0)
		return wrong(m, "%s: %m", file_path(m, f));
	if (!m->standin)
		result = check_extents(m, f, fd);
	if (result == MIX_DONE)
		result = check_bytes(m, f, fd);
	if (fd != f->fd)
		close(fd);
	return result;
}

static int by_address(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* No block belongs to two files, as far as the addresses of blocks are known. */
enum mix_result check_owners(struct mix *m)
{
	static uint64_t all[BIG_GROUP + NR_FILES * NEAR];
	unsigned int i, nr = 0;
	uint64_t n;

	for (i = 0; i < NR_FILES; i++)
		for (n = 0; m->files[i].exists && n < m->files[i].max; n++)
			if (m->files[i].blocks[n].phys)
				all[nr++] = m->files[i].blocks[n].phys;
	qsort(all, nr, sizeof(all[0]), by_address);
	for (i = 1; i < nr; i++)
		if (all[i] == all[i - 1])
			return wrong(m, "the block at %#lx is there twice", all[i]);
	return MIX_DONE;
}

/* The directory lists the files of the model and no others. */
static enum mix_result check_listing(struct mix *m, int dir)
{
	DIR *d = opendir(dir_path(m, dir));
	const struct dirent *e;
	int i, nr = 0, want = !dir && m->nested;

	for (i = 0; i < NR_FILES; i++)
		want += m->files[i].exists && m->files[i].name >= 0 && m->files[i].dir == dir;
	while (d && (e = readdir(d))) {
		nr += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
		for (i = 0; e->d_type == DT_REG && i < NR_FILES; i++) {
			const struct mix_file *f = &m->files[i];

			if (f->exists && f->dir == dir && f->name >= 0 && f->ino == e->d_ino &&
			    f->name == atoi(e->d_name + 1))
				break;
		}
		if (e->d_type == DT_REG && i == NR_FILES) {
			wrong(m, "%s/%s, inode %lu, is not to be there", dir_path(m, dir),
			      e->d_name, e->d_ino);
			closedir(d);
			return MIX_WRONG;
		}
	}
	if (d)
		closedir(d);
	return d && nr == want ? MIX_DONE : wrong(m, "%s: %d entries instead of %d",
						  dir_path(m, dir), nr, want);
}

enum mix_result check_all(struct mix *m)
{
	int i;

	for (i = 0; i < NR_FILES; i++)
		if (m->files[i].exists && check_whole_file(m, &m->files[i]) != MIX_DONE)
			return MIX_WRONG;
	for (i = 0; i < NR_DIRS; i++)
		if (check_listing(m, i) != MIX_DONE)
			return MIX_WRONG;
	if (check_owners(m) != MIX_DONE)
		return MIX_WRONG;
	return check_free(m);
}

/* Draws a limit: the amount in use, so that nothing is left, or a bit more, or no limit. */
static uint64_t draw_limit(struct mix *m, uint64_t used, unsigned int most)
{
	switch (draw(m, 3)) {
	case 0:
		return 0;
	case 1:
		return used + draw(m, 3);
	default:
		return used + draw(m, most);
	}
}

static int mount_with(struct mix *m, unsigned long flags, uint64_t blocks, uint64_t inodes)
{
	char options[96];

	snprintf(options, sizeof(options), "node=%d,size=%lu,nr_inodes=%lu", m->pool.node,
		 blocks * m->block, inodes);
	return mount("none", m->pool.mnt, "guestmemfs", flags, options);
}

bool mount_unlimit(struct mix *m)
{
	m->max_blocks = 0;
	m->max_inodes = 0;
	return m->standin || !mount_with(m, MS_REMOUNT, 0, 0);
}

enum mix_result do_limit(struct mix *m)
{
	uint64_t used = m->other_blocks + m->used_blocks, blocks = draw_limit(m, used, 40);
	uint64_t inodes = draw_limit(m, m->other_inodes + m->used_inodes, NR_FILES);
	int want = 0;

	if (m->standin)
		return MIX_SKIPPED;
	if (!draw(m, 8) && used > 1) {
		blocks = used - 1;
		want = EINVAL;
		m->seen[SEEN_LIMITED]++;
	}
	note(m, "remount with %lu blocks, %lu inodes, in use %lu, %lu", blocks, inodes, used,
	     m->other_inodes + m->used_inodes);
	if (expect(m, ERR(mount_with(m, MS_REMOUNT, blocks, inodes)), want) != MIX_DONE)
		return MIX_WRONG;
	if (!want) {
		m->max_blocks = blocks;
		m->max_inodes = inodes;
	}
	return check_free(m);
}

static bool in_use(const struct mix *m)
{
	int i;

	for (i = 0; i < NR_FILES; i++)
		if (m->files[i].fd >= 0)
			return true;
	for (i = 0; i < NR_PIECES; i++)
		if (m->pieces[i].file)
			return true;
	return false;
}

enum mix_result do_busy(struct mix *m)
{
	if (m->standin || !in_use(m))
		return MIX_SKIPPED;
	note(m, "unmount what is in use");
	return expect(m, ERR(umount(m->pool.mnt)), EBUSY);
}

/* Closes and unmaps everything. */
enum mix_result release_all(struct mix *m)
{
	int i;

	if (maps_drop(m) != MIX_DONE)
		return MIX_WRONG;
	for (i = 0; i < NR_FILES; i++) {
		struct mix_file *f = &m->files[i];

		if (f->fd >= 0)
			close(f->fd);
		f->fd = -1;
		model_reap(m, f);
	}
	return MIX_DONE;
}

/*
 * Mounts again: the kernel checks all tables then, and fails with EUCLEAN if they are inconsistent.
 */
enum mix_result do_mount(struct mix *m)
{
	if (release_all(m) != MIX_DONE)
		return MIX_WRONG;
	if (!m->standin) {
		m->max_blocks = draw_limit(m, m->other_blocks + m->used_blocks, 40);
		m->max_inodes = draw_limit(m, m->other_inodes + m->used_inodes, NR_FILES);
	}
	note(m, "unmount and mount with %lu blocks, %lu inodes; everything is compared",
	     m->max_blocks, m->max_inodes);
	if (m->standin)
		return check_all(m);
	if (umount(m->pool.mnt))
		return wrong(m, "umount: %m");
	if (mount_with(m, 0, m->max_blocks, m->max_inodes))
		return wrong(m, "mount: %m");
	return check_all(m);
}
