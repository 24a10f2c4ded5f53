// SPDX-License-Identifier: GPL-2.0-only
/*
 * guestmemctl map: a picture of a pool.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guestmemctl.h"

static const char usage[] =
	"usage: guestmemctl map [OPTION...] POOL\n"
	"       guestmemctl map [OPTION...] --tables FILE\n"
	"\n"
	"Draws a picture of a pool: which file is where, which gigabytes are whole, what is\n"
	"private, pinned or bad. POOL is node0, 0, or where it is mounted. Needs root.\n"
	"\n"
	"  --svg FILE     write a picture to FILE instead; - is the standard output\n"
	"  --json         for programs: the ranges, and each piece of each file\n"
	"  --tables FILE  saved tables of a pool, from nodeN/tables in debugfs\n"
	"  --width N      N characters a line: a power of two from 16 to 1024 (64)\n"
	"  --color WHEN   always, never or auto\n"
	"\n"
	"Exit status: 0, or 2 if there is no such pool or it cannot be read.\n";

struct options {
	const char *svg;
	const char *tables;
	const char *color;
	const char *pool;
	bool json;
	uint64_t width;
};

static bool take_value(int argc, char **argv, int *i, const char *name, const char **value)
{
	if (strcmp(argv[*i], name))
		return false;
	if (*i + 1 == argc)
		usage_error(usage);
	*value = argv[++*i];
	return true;
}

static void parse(int argc, char **argv, struct options *o)
{
	const char *width = "64";
	int i;

	for (i = 1; i < argc; i++) {
		if (take_value(argc, argv, &i, "--svg", &o->svg) ||
		    take_value(argc, argv, &i, "--tables", &o->tables) ||
		    take_value(argc, argv, &i, "--width", &width) ||
		    take_value(argc, argv, &i, "--color", &o->color))
			continue;
		if (!strcmp(argv[i], "--json"))
			o->json = true;
		else if (*argv[i] == '-' || o->pool)
			usage_error(usage);
		else
			o->pool = argv[i];
	}
	if (!o->pool == !o->tables || (o->json && o->svg))
		usage_error(usage);
	if (!number_of(width, &o->width) || o->width < 16 || o->width > 1024 ||
	    o->width & (o->width - 1))
		die("--width %s is no power of two from 16 to 1024", width);
	if (strcmp(o->color, "auto") && strcmp(o->color, "always") && strcmp(o->color, "never"))
		die("--color %s is none of always, never and auto", o->color);
}

static bool coloured(const struct options *o)
{
	const char *no = getenv("NO_COLOR");

	if (!strcmp(o->color, "auto"))
		return isatty(STDOUT_FILENO) && !(no && *no);
	return !strcmp(o->color, "always");
}

static const char *owner_name(const struct map *m, const struct run *run)
{
	return run->file == RUN_DETACHED ? NULL : m->pool->files[run->file].path;
}

static void map_json(const struct map *m)
{
	struct json_out j = { .file = stdout };
	const struct tables *t = &m->tables;
	size_t i;

	json_open(&j, NULL, '{');
	json_string(&j, "pool", m->pool->name);
	json_open(&j, "ranges", '[');
	for (i = 0; i < t->nr_ranges; i++) {
		json_open(&j, NULL, '{');
		json_number(&j, "address", t->ranges[i].base);
		json_number(&j, "size", t->ranges[i].size);
		json_number(&j, "first_block", t->ranges[i].first);
		json_close(&j, '}');
	}
	json_close(&j, ']');
	json_open(&j, "pieces", '[');
	for (i = 0; i < t->nr_runs; i++) {
		const struct run *run = &t->runs[i];

		json_open(&j, NULL, '{');
		json_bool(&j, "detached", run->file == RUN_DETACHED);
		json_string(&j, "file", owner_name(m, run));
		json_number(&j, "inode", run->file == RUN_DETACHED ? UNKNOWN :
			    m->pool->files[run->file].ino);
		json_number(&j, "offset", run->logical << BLOCK_SHIFT);
		json_number(&j, "block", run->block);
		json_number(&j, "length", (uint64_t)run->count << BLOCK_SHIFT);
		json_number(&j, "private", ((uint64_t)run->count * run->private_pages) << 12);
		json_close(&j, '}');
	}
	json_close(&j, ']');
	json_open(&j, "bad_pages", '[');
	for (i = 0; i < t->nr_bad; i++)
		json_number(&j, NULL, t->bad[i]);
	json_close(&j, ']');
	json_close(&j, '}');
}

/* A pool that only its tables are known of. */
static struct pool *saved_pool(void)
{
	struct pool *pool = xcalloc(1, sizeof(*pool));

	pool->name = xstrdup("saved tables");
	pool->pinned = UNKNOWN;
	return pool;
}

static void find_pool(struct map *m, const struct options *o, struct pools *p)
{
	char *why, *path;

	if (o->tables) {
		m->pool = saved_pool();
		path = xstrdup(o->tables);
	} else {
		why = pools_read(p);
		if (why)
			die("%s", why);
		m->pool = pools_find(p, o->pool);
		if (!m->pool)
			die("there is no pool %s", o->pool);
		path = tables_path(m->pool);
	}
	why = tables_read(&m->tables, m->pool, path);
	if (why && !o->tables)
		die("%s (root can, if debugfs is mounted)", why);
	if (why)
		die("%s", why);
	free(path);
}

int cmd_map(int argc, char **argv)
{
	struct options o = { .color = "auto" };
	struct pools p = {};
	struct map m = {};
	char *why;

	usage_help(argc, argv, usage);
	parse(argc, argv, &o);
	find_pool(&m, &o, &p);
	layout_make(&m.layout, &m.tables, m.pool);
	layout_pins(&m.layout, &m.tables, m.pool);
	if (o.svg) {
		why = map_svg(&m, o.svg);
		if (why)
			die("%s", why);
	} else if (o.json) {
		map_json(&m);
	} else {
		map_text(&m, o.width, coloured(&o));
	}
	close_output();
	layout_free(&m.layout);
	tables_free(&m.tables);
	return EXIT_YES;
}
