// SPDX-License-Identifier: GPL-2.0-only
/*
 * guestmemctl list: pools, files, and who has them open.
 */
#include <stdlib.h>
#include <string.h>

#include "guestmemctl.h"

static const char usage[] =
	"usage: guestmemctl list [--json] [--all] [POOL...]\n"
	"\n"
	"Lists pools of guestmemfs and the files in them. A POOL is node0, 0, or where it\n"
	"is mounted; without any, all pools are listed.\n"
	"\n"
	"  --json  for programs, with all numbers in bytes\n"
	"  --all   one column more for each: metadata, room, and so on\n"
	"\n"
	"Exit status: 0, 1 if a pool is refused or its files could not be read, 2 if\n"
	"nothing could be listed.\n";

static char *size_cell(uint64_t bytes)
{
	char buf[32];

	return xstrdup(show_size(buf, sizeof(buf), bytes));
}

static char *number_cell(uint64_t n)
{
	return n == UNKNOWN ? xstrdup("-") : text("%llu", (unsigned long long)n);
}

/* Bytes of a number of pages, which may be unknown. */
static uint64_t bytes_of(uint64_t pages)
{
	return pages == UNKNOWN ? UNKNOWN : pages << 12;
}

static void head(struct table *t, const char *const *names)
{
	for (t->columns = 0; *names; names++, t->columns++)
		table_cell(t, xstrdup(*names));
}

static void pools_text(const struct pools *p, bool all)
{
	static const char *const few[] = { "POOL", "SIZE", "FREE", "RESERVED", "LARGEST",
		"GIGABYTES", "PINNED", "POISONED", "LOST", "KEXECS", "STATE", NULL };
	static const char *const many[] = { "POOL", "SIZE", "FREE", "RESERVED", "LARGEST",
		"GIGABYTES", "PINNED", "POISONED", "LOST", "KEXECS", "METADATA", "ROOM",
		"UNZEROED", "DETACHED",
		"PERSISTENT", "UUID", "STATE", NULL };
	struct table t = { .right = all ? "lrrrrrrrrrrrrrrll" : "lrrrrrrrrrl" };
	size_t i;

	head(&t, all ? many : few);
	for (i = 0; i < p->nr; i++) {
		const struct pool *pool = &p->pool[i];

		table_cell(&t, xstrdup(pool->name));
		table_cell(&t, size_cell(pool->size));
		table_cell(&t, size_cell(pool->free));
		table_cell(&t, size_cell(pool->reserved));
		table_cell(&t, size_cell(pool->largest_free));
		table_cell(&t, number_cell(pool->free_gigabytes));
		table_cell(&t, size_cell(pool->pinned));
		table_cell(&t, size_cell(pool->poisoned));
		table_cell(&t, size_cell(pool->lost));
		table_cell(&t, number_cell(pool->kexecs));
		if (all) {
			table_cell(&t, size_cell(pool->metadata_size));
			table_cell(&t, size_cell(pool->room));
			table_cell(&t, size_cell(pool->unzeroed));
			table_cell(&t, size_cell(pool->detached));
			table_cell(&t, size_cell(pool->persistent));
			table_cell(&t, xstrdup(pool->uuid ? pool->uuid : "-"));
		}
		table_cell(&t, pool->refused ? text("refused: %s", pool->refused) :
			   pool->mount ? text("on %s", pool->mount) : xstrdup("not mounted"));
	}
	table_print(&t, stdout);
}

/* "qemu-system-x86 1234, vhost 99 (open)": mapped, unless it is said. */
static char *users_cell(const struct file *file)
{
	char *s = xstrdup(""), *longer, *name;
	size_t i;

	for (i = 0; i < file->nr_users; i++) {
		const struct user *user = &file->users[i];

		name = escaped(user->name);
		longer = text("%s%s%s %d%s", s, *s ? ", " : "", name, (int)user->pid,
			      user->mapped ? "" : " (open)");
		free(name);
		free(s);
		s = longer;
	}
	if (*s)
		return s;
	free(s);
	return xstrdup("-");
}

static char *path_cell(const struct pool *pool, const struct file *file)
{
	char *whole, *cell;

	if (!file->path)
		return text("(removed, inode %llu)", (unsigned long long)file->ino);
	whole = text("%s%s", pool->mount ? pool->mount : "", file->path);
	cell = escaped(whole);
	free(whole);
	return cell;
}

static void files_text(const struct pools *p, bool all)
{
	static const char *const few[] = { "POOL", "SIZE", "MEMORY", "MODE", "OWNER", "USED BY",
		"FILE", NULL };
	static const char *const many[] = { "POOL", "SIZE", "MEMORY", "MODE", "OWNER", "INODE",
		"PIECES", "GIGABYTES", "PRIVATE", "PINNED", "POISONED", "USED BY", "FILE", NULL };
	struct table t = { .right = all ? "lrrrrrrrrrrll" : "lrrrrll" };
	size_t i, k;

	head(&t, all ? many : few);
	for (i = 0; i < p->nr; i++) {
		for (k = 0; k < p->pool[i].nr_files; k++) {
			const struct file *f = &p->pool[i].files[k];

			table_cell(&t, xstrdup(p->pool[i].name));
			table_cell(&t, size_cell(f->size));
			table_cell(&t, size_cell(f->memory));
			table_cell(&t, text("%04o", f->mode));
			table_cell(&t, text("%u:%u", f->uid, f->gid));
			if (all) {
				table_cell(&t, number_cell(f->ino));
				table_cell(&t, number_cell(f->extents));
				table_cell(&t, number_cell(f->gigabytes));
				table_cell(&t, size_cell(bytes_of(f->private_pages)));
				table_cell(&t, size_cell(bytes_of(f->pinned_pages)));
				table_cell(&t, size_cell(bytes_of(f->bad_pages)));
			}
			table_cell(&t, users_cell(f));
			table_cell(&t, path_cell(&p->pool[i], f));
		}
	}
	if (t.nr > t.columns) {
		putchar('\n');
		table_print(&t, stdout);
	}
}

static void file_json(struct json_out *j, const struct file *f)
{
	size_t i;

	json_open(j, NULL, '{');
	json_string(j, "path", f->path);
	json_number(j, "inode", f->ino);
	json_number(j, "size", f->size);
	json_number(j, "memory", f->memory);
	json_number(j, "mode", f->mode);
	json_number(j, "uid", f->uid);
	json_number(j, "gid", f->gid);
	json_number(j, "pieces", f->extents);
	json_number(j, "whole_gigabytes", f->gigabytes);
	json_number(j, "private", bytes_of(f->private_pages));
	json_number(j, "pinned", bytes_of(f->pinned_pages));
	json_number(j, "poisoned", bytes_of(f->bad_pages));
	json_open(j, "users", '[');
	for (i = 0; i < f->nr_users; i++) {
		json_open(j, NULL, '{');
		json_number(j, "pid", f->users[i].pid);
		json_string(j, "name", f->users[i].name);
		json_bool(j, "open", f->users[i].open);
		json_bool(j, "mapped", f->users[i].mapped);
		json_close(j, '}');
	}
	json_close(j, ']');
	json_close(j, '}');
}

static void pool_json(struct json_out *j, const struct pool *pool)
{
	size_t i;

	json_open(j, NULL, '{');
	json_string(j, "name", pool->name);
	json_number(j, "node", pool->node);
	json_string(j, "uuid", pool->uuid);
	json_string(j, "refused", pool->refused);
	json_string(j, "mount", pool->mount);
	json_number(j, "size", pool->size);
	json_number(j, "metadata_size", pool->metadata_size);
	json_number(j, "kexecs", pool->kexecs);
	json_number(j, "free", pool->free);
	json_number(j, "reserved", pool->reserved);
	json_number(j, "largest_free", pool->largest_free);
	json_number(j, "free_gigabytes", pool->free_gigabytes);
	json_number(j, "unzeroed", pool->unzeroed);
	json_number(j, "room", pool->room);
	json_number(j, "detached", pool->detached);
	json_number(j, "lost", pool->lost);
	json_number(j, "pinned", pool->pinned);
	json_number(j, "persistent", pool->persistent);
	json_number(j, "poisoned", pool->poisoned);
	json_string(j, "files_from", pool->files_from);
	json_string(j, "files_error", pool->files_why);
	json_open(j, "files", '[');
	for (i = 0; i < pool->nr_files; i++)
		file_json(j, &pool->files[i]);
	json_close(j, ']');
	json_close(j, '}');
}

static void list_json(const struct pools *p)
{
	struct json_out j = { .file = stdout };
	size_t i;

	json_open(&j, NULL, '{');
	json_string(&j, "handover", p->handover);
	json_string(&j, "format", p->format);
	json_open(&j, "pools", '[');
	for (i = 0; i < p->nr; i++)
		pool_json(&j, &p->pool[i]);
	json_close(&j, ']');
	json_close(&j, '}');
}

static void list_text(const struct pools *p, bool all)
{
	printf("handover: %s\n", p->handover ? p->handover : "unknown");
	if (!p->nr) {
		puts("there are no pools");
		return;
	}
	putchar('\n');
	pools_text(p, all);
	files_text(p, all);
}

/* Drops all pools but those that are named. */
static void choose(struct pools *p, char **names, int nr)
{
	struct pool *chosen = xcalloc(nr, sizeof(*chosen));
	int i;

	for (i = 0; i < nr; i++) {
		struct pool *pool = pools_find(p, names[i]);

		if (!pool)
			die("there is no pool %s", names[i]);
		chosen[i] = *pool;
	}
	/* What the others have is still in use by the process, which is about to end. */
	p->pool = chosen;
	p->nr = nr;
}

int cmd_list(int argc, char **argv)
{
	bool json = false, all = false;
	int status = EXIT_YES, i;
	struct pools p;
	char *why;
	size_t k;

	usage_help(argc, argv, usage);
	for (i = 1; i < argc && *argv[i] == '-'; i++) {
		if (!strcmp(argv[i], "--json"))
			json = true;
		else if (!strcmp(argv[i], "--all"))
			all = true;
		else
			usage_error(usage);
	}
	why = pools_read(&p);
	if (why)
		die("%s", why);
	if (i < argc)
		choose(&p, argv + i, argc - i);
	for (k = 0; k < p.nr; k++) {
		if (p.pool[k].refused)
			status = EXIT_NO;
		else
			pool_files(&p.pool[k]);
		if (p.pool[k].files_why)
			status = EXIT_NO;
	}
	pool_users(&p);
	if (json)
		list_json(&p);
	else
		list_text(&p, all);
	for (k = 0; k < p.nr; k++)
		if (p.pool[k].files_why)
			warn("%s: %s", p.pool[k].name, p.pool[k].files_why);
	close_output();
	return status;
}
