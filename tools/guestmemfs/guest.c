// SPDX-License-Identifier: GPL-2.0-only
/*
 * Descriptions of guests: a file NAME.conf for each, with lines KEY = VALUE.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "guestmemctl.h"

#define SUFFIX	".conf"

static char *trim(char *s)
{
	size_t n;

	while (isspace((unsigned char)*s))
		s++;
	n = strlen(s);
	while (n && isspace((unsigned char)s[n - 1]))
		s[--n] = 0;
	return s;
}

static bool good_name(const char *name, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (!isalnum((unsigned char)name[i]) && !strchr("_.-", name[i]))
			return false;
	return n && *name != '.';
}

static char *take_domain(struct guest *guest, const char *value)
{
	if (!good_name(value, strlen(value)) || *value == '-')
		return text("the domain \"%s\" has another name than of letters, digits and _.-",
			    value);
	if (guest->qmp)
		return xstrdup("a guest has either qmp or libvirt, once");
	guest->qmp = domain_qmp(value);
	return NULL;
}

static char *take_key(struct guest *guest, const char *key, const char *value)
{
	char **field;

	if (!strcmp(key, "timeout")) {
		if (number_of(value, &guest->timeout) && guest->timeout &&
		    guest->timeout <= 86400)
			return NULL;
		return text("timeout is no number of seconds from 1 to 86400");
	}
	if (!strcmp(key, "libvirt"))
		return take_domain(guest, value);
	field = !strcmp(key, "qmp") ? &guest->qmp : !strcmp(key, "state") ? &guest->state :
		!strcmp(key, "start") ? &guest->start : NULL;
	if (!field)
		return text("the key \"%s\" is none of qmp, libvirt, start, state, timeout", key);
	if (!*value)
		return text("%s has no value", key);
	if (field == &guest->qmp && guest->qmp && domain_of(guest->qmp))
		return xstrdup("a guest has either qmp or libvirt, once");
	if (field != &guest->start && *value != '/')
		return text("%s has to be an absolute path", key);
	/* QEMU takes what is after a comma as an offset. */
	if (field == &guest->state && strchr(value, ','))
		return text("there is a comma in the path of the state");
	free(*field);
	*field = xstrdup(value);
	return NULL;
}

static char *take_line(struct guest *guest, char *line)
{
	char *equals;

	line = trim(line);
	if (!*line || *line == '#')
		return NULL;
	equals = strchr(line, '=');
	if (!equals)
		return text("\"%s\" is no KEY = VALUE", line);
	*equals = 0;
	return take_key(guest, trim(line), trim(equals + 1));
}

/* Sets the values that the description leaves out, and refuses one that cannot be completed. */
static char *complete(struct guest *guest, const char *path)
{
	bool of_libvirt = guest->qmp && domain_of(guest->qmp);

	if (!guest->state)
		guest->state = text(STATE_DIR "/state/%s", guest->name);
	if (of_libvirt && guest->start)
		return text("%s: libvirt starts the guest, so that there is no start", path);
	if (of_libvirt && strchr(guest->state, '\''))
		return text("%s: there is a quote in the path of the state", path);
	if (of_libvirt)
		guest->start = domain_start(guest);
	if (!guest->qmp || !guest->start)
		return text("%s does not say %s", path, guest->qmp ? "start" : "qmp");
	return NULL;
}

static char *read_description(struct guest *guest, const char *path)
{
	char *all = host_read(path), *rest = all, *why = NULL;
	unsigned int n = 0;

	if (!all)
		return text("cannot read %s: %s", path, strerror(errno));
	while (!why && rest) {
		n++;
		why = take_line(guest, strsep(&rest, "\n"));
	}
	free(all);
	if (why) {
		char *longer = text("%s, line %u: %s", path, n, why);

		free(why);
		return longer;
	}
	return complete(guest, path);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct guest *)a)->name, ((const struct guest *)b)->name);
}

static char *take_file(struct guests *g, const char *dir, const char *file)
{
	size_t n = strlen(file), suffix = strlen(SUFFIX);
	struct guest *guest;
	char *path, *why;

	if (n <= suffix || strcmp(file + n - suffix, SUFFIX))
		return NULL;
	if (!good_name(file, n - suffix))
		return text("%s/%s: a name has letters, digits and _.- only", dir, file);
	g->guest = xrealloc(g->guest, g->nr + 1, sizeof(*guest));
	guest = &g->guest[g->nr++];
	memset(guest, 0, sizeof(*guest));
	guest->name = text("%.*s", (int)(n - suffix), file);
	guest->timeout = 60;
	path = text("%s/%s", dir, file);
	why = read_description(guest, path);
	free(path);
	return why;
}

/* A description is often a copy of another one: two guests cannot share a monitor or a state. */
static char *check_pairs(const struct guests *g, const char *dir)
{
	size_t i, k;

	for (i = 1; i < g->nr; i++) {
		const struct guest *a = &g->guest[i];

		for (k = 0; k < i; k++) {
			const struct guest *b = &g->guest[k];
			const char *what = !strcmp(a->qmp, b->qmp) ? "qmp" :
					   !strcmp(a->state, b->state) ? "state" : NULL;

			if (what)
				return text("%s: %s.conf and %s.conf have the same %s", dir,
					    b->name, a->name, what);
		}
	}
	return NULL;
}

char *guests_read(struct guests *g, const char *dir)
{
	char *real = host_path(dir), *why = NULL;
	DIR *d = opendir(real);
	struct dirent *e;
	int err = errno;

	memset(g, 0, sizeof(*g));
	free(real);
	if (!d)
		return text("cannot read the directory %s: %s", dir, strerror(err));
	while (!why && (e = readdir(d)))
		why = take_file(g, dir, e->d_name);
	closedir(d);
	if (g->nr)
		qsort(g->guest, g->nr, sizeof(*g->guest), by_name);
	return why ? why : check_pairs(g, dir);
}

static bool is_chosen(const struct guest *chosen, size_t n, const char *name)
{
	while (n--)
		if (!strcmp(chosen[n].name, name))
			return true;
	return false;
}

/* Keeps the guests that are named; all of them if none is. */
char *guests_choose(struct guests *g, char **names, int nr)
{
	struct guest *chosen = xcalloc(nr, sizeof(*chosen));
	size_t k, n = 0;
	int i;

	if (!nr) {
		free(chosen);
		return NULL;
	}
	for (i = 0; i < nr; i++) {
		for (k = 0; k < g->nr && strcmp(g->guest[k].name, names[i]); k++)
			;
		if (k == g->nr)
			return text("there is no guest %s", names[i]);
		if (is_chosen(chosen, n, names[i]))
			return text("the guest %s is named twice", names[i]);
		chosen[n++] = g->guest[k];
	}
	g->guest = chosen;
	g->nr = n;
	return NULL;
}

void guests_drop(struct guests *g, size_t i)
{
	memmove(&g->guest[i], &g->guest[i + 1], (g->nr - i - 1) * sizeof(*g->guest));
	g->nr--;
}

void guest_add_memory(struct guest *guest, const char *path, const char *pool, uint64_t ino,
		      uint64_t size)
{
	struct memory *m;

	guest->memory = xrealloc(guest->memory, guest->nr_memory + 1, sizeof(*m));
	m = &guest->memory[guest->nr_memory++];
	m->path = xstrdup(path);
	m->pool = xstrdup(pool);
	m->ino = ino;
	m->size = size;
}

void guest_forget_memory(struct guest *guest)
{
	while (guest->nr_memory) {
		guest->nr_memory--;
		free(guest->memory[guest->nr_memory].path);
		free(guest->memory[guest->nr_memory].pool);
	}
}

void guest_remove_state(const struct guest *guest)
{
	remove_file(guest->state);
	domain_forget(guest);
}
