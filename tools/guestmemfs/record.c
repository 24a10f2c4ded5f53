// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is recorded of a guest that is saved: how to start it, where its memory is, and when what
 * happened. A record is on the disk before its guest's VMM ends.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guestmemctl.h"

static const char * const moments[NR_MOMENTS] = {
	[AT_STOP] = "stop", [AT_SAVED] = "saved", [AT_KEXEC] = "kexec", [AT_BOOT] = "boot",
	[AT_READY] = "ready", [AT_VMM] = "vmm", [AT_RUNS] = "runs",
};

static char *record_path(const struct guest *guest, const char *suffix)
{
	return text(SAVED_DIR "/%s%s", guest->name, suffix);
}

char *env_write(const struct guest *guest)
{
	char *why = host_make_dirs(RUN_DIR), *path = text(RUN_DIR "/%s.env", guest->name);

	if (!why)
		why = host_write(path, "GUESTMEMFS_INCOMING=" INCOMING "\n");
	free(path);
	return why;
}

void env_remove(const struct guest *guest)
{
	char *path = text(RUN_DIR "/%s.env", guest->name);

	remove_file(path);
	free(path);
}

void remove_file(const char *path)
{
	char *real = host_path(path);

	unlink(real);
	free(real);
}

char *record_remove(const struct guest *guest, const char *suffix)
{
	char *path = record_path(guest, suffix), *why = host_remove(path);

	free(path);
	return why;
}

char *record_rename(const struct guest *guest, const char *from, const char *to)
{
	char *path = record_path(guest, from), *other = record_path(guest, to);
	char *why = host_rename(path, other);

	free(other);
	free(path);
	return why;
}

bool record_exists(const struct guest *guest, const char *suffix)
{
	char *path = record_path(guest, suffix), *real = host_path(path);
	bool yes = !access(real, F_OK);

	free(real);
	free(path);
	return yes;
}

char *this_boot(void)
{
	char *id = host_read("/proc/sys/kernel/random/boot_id");

	return id ? id : xstrdup("unknown");
}

static void put_record(FILE *out, const struct guest *guest)
{
	struct json_out j = { .file = out, .exact = true };
	size_t i;

	json_open(&j, NULL, '{');
	json_string(&j, "name", guest->name);
	json_string(&j, "qmp", guest->qmp);
	json_string(&j, "state", guest->state);
	json_string(&j, "start", guest->start);
	json_number(&j, "timeout", guest->timeout);
	json_string(&j, "boot", guest->boot);
	json_bool(&j, "running", guest->running);
	json_open(&j, "memory", '[');
	for (i = 0; i < guest->nr_memory; i++) {
		json_open(&j, NULL, '{');
		json_string(&j, "path", guest->memory[i].path);
		json_string(&j, "pool", guest->memory[i].pool);
		json_number(&j, "inode", guest->memory[i].ino);
		json_number(&j, "size", guest->memory[i].size);
		json_close(&j, '}');
	}
	json_close(&j, ']');
	json_open(&j, "at", '{');
	for (i = 0; i < NR_MOMENTS; i++)
		json_number(&j, moments[i], guest->at[i]);
	json_close(&j, '}');
	json_close(&j, '}');
}

char *record_write(const struct guest *guest, const char *suffix)
{
	char *path, *why = host_make_dirs(SAVED_DIR), *buf = NULL;
	size_t size;
	FILE *out;

	if (why)
		return why;
	out = open_memstream(&buf, &size);
	if (!out)
		die("out of memory");
	put_record(out, guest);
	fclose(out);
	path = record_path(guest, suffix);
	why = host_write(path, buf);
	free(path);
	free(buf);
	return why;
}

static bool take_string(const struct json *j, const char *key, char **value)
{
	const char *s = json_get_string(j, key);

	*value = xstrdup(s ? s : "");
	return s;
}

static bool take_record(struct guest *guest, const struct json *j)
{
	const struct json *m = json_get(j, "memory");
	bool good;
	size_t i;

	good = take_string(j, "name", &guest->name) & take_string(j, "qmp", &guest->qmp) &
	       take_string(j, "state", &guest->state) & take_string(j, "start", &guest->start) &
	       take_string(j, "boot", &guest->boot);
	guest->timeout = json_get_number(j, "timeout");
	guest->running = json_get_bool(j, "running");
	for (m = m ? m->child : NULL; m; m = m->next) {
		const char *path = json_get_string(m, "path"), *pool = json_get_string(m, "pool");

		if (!path || !pool)
			return false;
		guest_add_memory(guest, path, pool, json_get_number(m, "inode"),
				 json_get_number(m, "size"));
	}
	for (i = 0; i < NR_MOMENTS; i++) {
		guest->at[i] = json_get_number(json_get(j, "at"), moments[i]);
		if (guest->at[i] == UNKNOWN)
			guest->at[i] = 0;
	}
	return good && guest->timeout != UNKNOWN;
}

/* A copy of a record, by an administrator, would be a second guest with the same memory. */
static bool has_name(const struct guest *guest, const char *file, const char *suffix)
{
	size_t n = strlen(guest->name);

	return !strncmp(file, guest->name, n) && !strcmp(file + n, suffix);
}

static char *read_record(struct guests *g, const char *file, const char *suffix)
{
	char *path = text(SAVED_DIR "/%s", file), *all = host_read(path), *why = NULL;
	struct json *j = all ? json_parse(all) : NULL;
	struct guest *guest;

	g->guest = xrealloc(g->guest, g->nr + 1, sizeof(*guest));
	guest = &g->guest[g->nr];
	memset(guest, 0, sizeof(*guest));
	if (j && take_record(guest, j) && has_name(guest, file, suffix))
		g->nr++;
	else
		why = text("%s is no record of a guest", path);
	json_free(j);
	free(all);
	free(path);
	return why;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct guest *)a)->name, ((const struct guest *)b)->name);
}

static bool is_record(const char *file, const char *suffix)
{
	size_t n = strlen(file), s = strlen(suffix);

	return n > s && !strcmp(file + n - s, suffix) && *file != '.';
}

char *records_read(struct guests *g, const char *suffix)
{
	char *real = host_path(SAVED_DIR), *first = NULL, *why;
	DIR *d = opendir(real);
	struct dirent *e;

	if (!d && errno != ENOENT)
		first = text("cannot read " SAVED_DIR ": %s", strerror(errno));
	free(real);
	memset(g, 0, sizeof(*g));
	while (d && (e = readdir(d))) {
		if (!is_record(e->d_name, suffix))
			continue;
		why = read_record(g, e->d_name, suffix);
		if (first)
			free(why);
		else
			first = why;
	}
	if (d)
		closedir(d);
	if (g->nr)
		qsort(g->guest, g->nr, sizeof(*g->guest), by_name);
	return first;
}

/* Removes all records of that kind, damaged ones as well. */
void records_forget(const char *suffix)
{
	char *real = host_path(SAVED_DIR);
	DIR *d = opendir(real);
	struct dirent *e;

	free(real);
	while (d && (e = readdir(d)))
		if (is_record(e->d_name, suffix))
			unlinkat(dirfd(d), e->d_name, 0);
	if (d)
		closedir(d);
}

/* When all guests were saved: the same for all, and written once, while they stand still. */
char *kexec_time_write(uint64_t at)
{
	char *s = text("%llu\n", (unsigned long long)at);
	char *why = host_write(STATE_DIR "/kexec", s);

	free(s);
	return why;
}

uint64_t kexec_time_read(void)
{
	uint64_t at = host_number(STATE_DIR "/kexec");

	return at == UNKNOWN ? 0 : at;
}
