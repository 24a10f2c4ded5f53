// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which processes have a file of a pool open, or mapped.
 */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "guestmemctl.h"

static int by_inode(const void *a, const void *b)
{
	const struct file *x = *(struct file *const *)a, *y = *(struct file *const *)b;

	return x->ino < y->ino ? -1 : x->ino > y->ino;
}

/* A host may have 500,000 files, and thousands of mappings of them. */
static void sort_files(struct pool *pool)
{
	size_t i;

	pool->by_inode = xcalloc(pool->nr_files, sizeof(*pool->by_inode));
	for (i = 0; i < pool->nr_files; i++)
		pool->by_inode[i] = &pool->files[i];
	if (pool->nr_files)
		qsort(pool->by_inode, pool->nr_files, sizeof(*pool->by_inode), by_inode);
}

static struct file *find_file(struct pools *pools, dev_t dev, uint64_t ino)
{
	struct file key = { .ino = ino }, *wanted = &key, **found;
	size_t i;

	for (i = 0; i < pools->nr; i++) {
		struct pool *pool = &pools->pool[i];

		if (!pool->mount || pool->dev != dev || !pool->nr_files)
			continue;
		found = bsearch(&wanted, pool->by_inode, pool->nr_files, sizeof(*found), by_inode);
		if (found)
			return *found;
	}
	return NULL;
}

static bool is_of_pools(const struct pools *pools, dev_t dev)
{
	size_t i;

	for (i = 0; i < pools->nr; i++)
		if (pools->pool[i].mount && pools->pool[i].dev == dev)
			return true;
	return false;
}

static char *name_of(pid_t pid)
{
	char *path = text("/proc/%d/comm", pid), *name = host_read(path);

	free(path);
	return name ? name : xstrdup("?");
}

/* Processes are looked at one after another: the last user may be this one. */
static struct user *user_of(struct file *file, pid_t pid)
{
	struct user *user = file->nr_users ? &file->users[file->nr_users - 1] : NULL;

	if (user && user->pid == pid)
		return user;
	file->users = xrealloc(file->users, file->nr_users + 1, sizeof(*user));
	user = &file->users[file->nr_users++];
	memset(user, 0, sizeof(*user));
	user->pid = pid;
	user->name = name_of(pid);
	return user;
}

static void look_at_descriptors(struct pools *pools, pid_t pid)
{
	char *path = text("/proc/%d/fd", pid), *real = host_path(path);
	DIR *dir = opendir(real);
	struct dirent *e;

	while (dir && (e = readdir(dir))) {
		struct file *file;
		struct statx st;
		dev_t dev;

		/* Follows the link, to the file itself; a server that is down is not asked. */
		if (!isdigit((unsigned char)*e->d_name) ||
		    statx(dirfd(dir), e->d_name, AT_STATX_DONT_SYNC, STATX_INO, &st))
			continue;
		dev = makedev(st.stx_dev_major, st.stx_dev_minor);
		file = is_of_pools(pools, dev) ? find_file(pools, dev, st.stx_ino) : NULL;
		if (file)
			user_of(file, pid)->open = true;
	}
	if (dir)
		closedir(dir);
	free(real);
	free(path);
}

/* A line of maps is ADDRESSES PERMISSIONS OFFSET MAJOR:MINOR INODE PATH. */
static void look_at_mappings(struct pools *pools, pid_t pid)
{
	char *path = text("/proc/%d/maps", pid), *all = host_read(path), *rest = all;

	free(path);
	while (rest) {
		char *line = strsep(&rest, "\n");
		unsigned long long ino;
		unsigned int major, minor;
		struct file *file;

		if (sscanf(line, "%*s %*s %*s %x:%x %llu", &major, &minor, &ino) != 3 ||
		    !is_of_pools(pools, makedev(major, minor)))
			continue;
		file = find_file(pools, makedev(major, minor), ino);
		if (file)
			user_of(file, pid)->mapped = true;
	}
	free(all);
}

/* Finds the users of all files. Processes that may not be looked at are left out. */
void pool_users(struct pools *pools)
{
	char *real = host_path("/proc");
	DIR *dir = opendir(real);
	struct dirent *e;
	size_t i;

	free(real);
	for (i = 0; i < pools->nr; i++)
		sort_files(&pools->pool[i]);
	while (dir && (e = readdir(dir))) {
		uint64_t pid;

		if (!number_of(e->d_name, &pid))
			continue;
		look_at_descriptors(pools, pid);
		look_at_mappings(pools, pid);
	}
	if (dir)
		closedir(dir);
}
