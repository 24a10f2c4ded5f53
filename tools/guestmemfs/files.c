// SPDX-License-Identifier: GPL-2.0-only
/*
 * The files of a pool: from its tables, which list all of them, also while it is not mounted; for
 * users that cannot read the tables, from a mount.
 */
#include <errno.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "guestmemctl.h"

struct file *pool_add_file(struct pool *pool)
{
	size_t nr = pool->nr_files;
	struct file *file;

	/* There is room for 16 files, then for powers of two. */
	if (!nr)
		pool->files = xrealloc(NULL, 16, sizeof(*file));
	else if (nr >= 16 && !(nr & (nr - 1)))
		pool->files = xrealloc(pool->files, 2 * nr, sizeof(*file));
	file = &pool->files[pool->nr_files++];
	memset(file, 0, sizeof(*file));
	return file;
}

static void forget_files(struct pool *pool)
{
	size_t i;

	for (i = 0; i < pool->nr_files; i++)
		free(pool->files[i].path);
	free(pool->files);
	pool->files = NULL;
	pool->nr_files = 0;
}

static void take_entry(struct pool *pool, const FTSENT *e, size_t prefix)
{
	const struct stat *st = e->fts_statp;
	struct file *file = pool_add_file(pool);

	file->ino = st->st_ino;
	file->path = xstrdup(e->fts_path + prefix);
	file->size = st->st_size;
	file->memory = st->st_blocks * 512ULL;
	file->mode = st->st_mode & 07777;
	file->uid = st->st_uid;
	file->gid = st->st_gid;
	file->private_pages = UNKNOWN;
	file->pinned_pages = UNKNOWN;
	file->bad_pages = UNKNOWN;
	file->extents = UNKNOWN;
	file->gigabytes = UNKNOWN;
}

/* Returns why not all files were found, or NULL. */
static char *walk_mount(struct pool *pool)
{
	char *real = host_path(pool->mount), *why = NULL;
	char *const dirs[] = { real, NULL };
	size_t prefix = strlen(real);
	FTS *walk = fts_open(dirs, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
	FTSENT *e;

	if (!walk) {
		free(real);
		return text("cannot read %s: %s", pool->mount, strerror(errno));
	}
	while ((e = fts_read(walk))) {
		if (e->fts_info == FTS_F)
			take_entry(pool, e, prefix);
		else if (!why && (e->fts_info == FTS_DNR || e->fts_info == FTS_ERR ||
				  e->fts_info == FTS_NS))
			why = text("cannot read %s: %s", e->fts_path + strlen(real) - prefix,
				   strerror(e->fts_errno));
	}
	fts_close(walk);
	free(real);
	return why;
}

static int by_path(const void *a, const void *b)
{
	const struct file *x = a, *y = b;

	if (!x->path || !y->path)
		return x->path ? -1 : y->path ? 1 : x->ino < y->ino ? -1 : x->ino > y->ino;
	return strcmp(x->path, y->path);
}

void pool_sort(struct pool *pool)
{
	if (pool->nr_files)
		qsort(pool->files, pool->nr_files, sizeof(*pool->files), by_path);
}

/* Finds the files of the pool, sorted by name. */
void pool_files(struct pool *pool)
{
	char *path = tables_path(pool), *why;
	struct tables t;

	why = tables_read(&t, pool, path);
	free(path);
	if (!why) {
		struct layout l;

		layout_make(&l, &t, pool);
		layout_pins(&l, &t, pool);
		layout_free(&l);
		tables_free(&t);
		pool->files_from = "tables";
		pool_sort(pool);
		return;
	}
	forget_files(pool);
	if (!pool->mount) {
		pool->files_why = text("not mounted, and %s", why);
		free(why);
		return;
	}
	free(why);
	pool->files_from = "mount";
	pool->files_why = walk_mount(pool);
	pool_sort(pool);
}
