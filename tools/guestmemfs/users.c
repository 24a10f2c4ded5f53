// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which processes have a file of a pool open, or mapped.
 */
#include <ctype.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "guestmemctl.h"

static struct file *find_file(struct pools *pools, dev_t dev, uint64_t ino)
{
	size_t i, k;

	for (i = 0; i < pools->nr; i++) {
		struct pool *pool = &pools->pool[i];

		if (!pool->mount || pool->dev != dev)
			continue;
		for (k = 0; k < pool->nr_files; k++)
			if (pool->files[k].ino == ino)
				return &pool->files[k];
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
		struct stat st;

		/* Follows the link, to the file itself. */
		if (!isdigit((unsigned char)*e->d_name) || fstatat(dirfd(dir), e->d_name, &st, 0) ||
		    !is_of_pools(pools, st.st_dev))
			continue;
		file = find_file(pools, st.st_dev, st.st_ino);
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

	free(real);
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
