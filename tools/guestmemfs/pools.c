// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pools, as sysfs and the list of mounts show them.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "guestmemctl.h"

#define SYSFS	"/sys/fs/guestmemfs"

static char *pool_text(const struct pool *pool, const char *name)
{
	char *path = text(SYSFS "/%s/%s", pool->name, name);
	char *value = host_read(path);

	free(path);
	return value;
}

static uint64_t pool_number(const struct pool *pool, const char *name)
{
	char *path = text(SYSFS "/%s/%s", pool->name, name);
	uint64_t value = host_number(path);

	free(path);
	return value;
}

static void pool_read(struct pool *pool, unsigned int node)
{
	memset(pool, 0, sizeof(*pool));
	pool->node = node;
	pool->name = text("node%u", node);
	pool->uuid = pool_text(pool, "uuid");
	pool->refused = pool_text(pool, "refused");
	if (pool->refused && !strcmp(pool->refused, "no")) {
		free(pool->refused);
		pool->refused = NULL;
	}
	pool->size = pool_number(pool, "size");
	pool->metadata_size = pool_number(pool, "metadata_size");
	pool->kexecs = pool_number(pool, "kexecs");
	pool->pinned = pool_number(pool, "pinned");
	pool->persistent = pool_number(pool, "persistent");
	pool->poisoned = pool_number(pool, "poisoned");
	/* Only a mounted pool has these: the others are UNKNOWN. */
	pool->free = pool_number(pool, "free");
	pool->reserved = pool_number(pool, "reserved");
	pool->detached = pool_number(pool, "detached");
	pool->lost = pool_number(pool, "lost");
	pool->unzeroed = pool_number(pool, "unzeroed");
	pool->largest_free = pool_number(pool, "largest_free");
	pool->free_gigabytes = pool_number(pool, "free_gigabytes");
	pool->room = pool_number(pool, "room");
}

static int by_node(const void *a, const void *b)
{
	const struct pool *x = a, *y = b;

	return x->node < y->node ? -1 : x->node > y->node;
}

/* In /proc/self/mountinfo a blank is \040, and so on. */
static void unescape(char *s)
{
	char *out = s;

	while (*s) {
		unsigned int c;

		if (*s == '\\' && sscanf(s + 1, "%3o", &c) == 1) {
			*out++ = c;
			s += 4;
		} else {
			*out++ = *s++;
		}
	}
	*out = 0;
}

/*
 * One line of mountinfo: ID PARENT MAJOR:MINOR ROOT MOUNTPOINT OPTIONS [...] - TYPE SOURCE ...
 * Only a mount of the whole pool counts: of the others the root is a directory in it.
 */
static void take_mount(struct pools *p, char *line)
{
	char *tail = strstr(line, " - "), root[PATH_MAX], at[PATH_MAX], type[64], source[64];
	unsigned int major, minor;
	struct pool *pool;

	if (!tail || sscanf(tail, " - %63s %63s", type, source) != 2 || strcmp(type, "guestmemfs"))
		return;
	if (sscanf(line, "%*u %*u %u:%u %4095s %4095s", &major, &minor, root, at) != 4)
		return;
	pool = pools_find(p, source);
	if (!pool || pool->mount || strcmp(root, "/"))
		return;
	unescape(at);
	pool->mount = xstrdup(at);
	pool->dev = makedev(major, minor);
}

/* The path without links, as the host has it; if it does not exist, as much of it as does. */
static char *existing_part(const char *path)
{
	char *real = host_path(path), *root = host_path(""), *whole_root, *whole, *slash, *found;

	whole_root = *root ? realpath(root, NULL) : xstrdup("");
	while (!(whole = realpath(real, NULL))) {
		slash = strrchr(real, '/');
		if (!slash || slash == real)
			break;
		*slash = 0;
	}
	if (whole && whole_root && !strncmp(whole, whole_root, strlen(whole_root)))
		found = xstrdup(whole + strlen(whole_root));
	else
		found = xstrdup("/");
	free(whole_root);
	free(whole);
	free(root);
	free(real);
	return found;
}

static bool is_below(const char *path, const char *mount)
{
	size_t n = strlen(mount);

	if (!strcmp(mount, "/"))
		return true;
	return !strncmp(path, mount, n) && (!path[n] || path[n] == '/');
}

char *mount_type(const char *path)
{
	char *all = host_read("/proc/self/mountinfo"), *line, *rest = all;
	char *type = xstrdup("unknown"), *whole = existing_part(path), at[PATH_MAX], name[64];
	size_t best = 0;

	while (rest) {
		char *tail;

		line = strsep(&rest, "\n");
		tail = strstr(line, " - ");
		if (!tail || sscanf(tail, " - %63s", name) != 1 ||
		    sscanf(line, "%*u %*u %*s %*s %4095s", at) != 1)
			continue;
		unescape(at);
		/* Of two mounts at one place the later one is on top. */
		if (!is_below(whole, at) || strlen(at) < best)
			continue;
		best = strlen(at);
		free(type);
		type = xstrdup(name);
	}
	free(whole);
	free(all);
	return type;
}

static void pools_mounts(struct pools *p)
{
	char *all = host_read("/proc/self/mountinfo"), *line, *rest = all;

	while (rest) {
		line = strsep(&rest, "\n");
		take_mount(p, line);
	}
	free(all);
}

char *pools_read(struct pools *p)
{
	char *real = host_path(SYSFS);
	struct dirent *e;
	DIR *dir = opendir(real);
	int err = errno;

	memset(p, 0, sizeof(*p));
	free(real);
	if (!dir && err == ENOENT)
		return text("there is no " SYSFS ": the running kernel has no guestmemfs");
	if (!dir)
		return text("cannot read " SYSFS ": %s", strerror(err));
	while ((e = readdir(dir))) {
		uint64_t node;

		if (strncmp(e->d_name, "node", 4) || !number_of(e->d_name + 4, &node) ||
		    node > INT_MAX)
			continue;
		p->pool = xrealloc(p->pool, p->nr + 1, sizeof(*p->pool));
		pool_read(&p->pool[p->nr++], node);
	}
	closedir(dir);
	if (p->nr)
		qsort(p->pool, p->nr, sizeof(*p->pool), by_node);
	p->handover = host_read(SYSFS "/handover");
	p->format = host_read(SYSFS "/format");
	pools_mounts(p);
	return NULL;
}

static void pool_free(struct pool *pool)
{
	size_t i, k;

	for (i = 0; i < pool->nr_files; i++) {
		for (k = 0; k < pool->files[i].nr_users; k++)
			free(pool->files[i].users[k].name);
		free(pool->files[i].users);
		free(pool->files[i].path);
	}
	free(pool->files);
	free(pool->by_inode);
	free(pool->files_why);
	free(pool->name);
	free(pool->uuid);
	free(pool->refused);
	free(pool->mount);
}

void pools_free(struct pools *p)
{
	size_t i;

	for (i = 0; i < p->nr; i++)
		pool_free(&p->pool[i]);
	free(p->pool);
	free(p->handover);
	free(p->format);
	memset(p, 0, sizeof(*p));
}

/* @name is "node0", "0", or where the pool is mounted. */
struct pool *pools_find(struct pools *p, const char *name)
{
	size_t i;

	for (i = 0; i < p->nr; i++) {
		struct pool *pool = &p->pool[i];

		if (!strcmp(pool->name, name) || !strcmp(pool->name + 4, name) ||
		    (pool->mount && !strcmp(pool->mount, name)))
			return pool;
	}
	return NULL;
}

/* Returns the length of the mount point that @path is below, or 0. */
static size_t below(const struct pool *pool, const char *path)
{
	size_t n = pool->mount ? strlen(pool->mount) : 0;

	if (!n || strncmp(path, pool->mount, n) || path[n] != '/')
		return 0;
	return n;
}

struct pool *pools_of_path(struct pools *p, const char *path)
{
	char *real = host_path(path), *root = host_path(""), *whole = realpath(real, NULL);
	char *whole_root = *root ? realpath(root, NULL) : xstrdup("");
	struct pool *found = NULL;
	size_t i, best = 0;

	for (i = 0; whole && whole_root && i < p->nr; i++) {
		size_t n = strlen(whole_root);

		n = strncmp(whole, whole_root, n) ? 0 : below(&p->pool[i], whole + n);
		if (n > best) {
			best = n;
			found = &p->pool[i];
		}
	}
	free(whole_root);
	free(whole);
	free(root);
	free(real);
	return found;
}

char *tables_path(const struct pool *pool)
{
	char *path = text("/sys/kernel/debug/guestmemfs/%s/tables", pool->name);
	char *real = host_path(path);

	free(path);
	return real;
}
