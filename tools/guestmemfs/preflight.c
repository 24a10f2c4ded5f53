// SPDX-License-Identifier: GPL-2.0-only
/*
 * Can a guest be saved: asked before anything is changed.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "guestmemctl.h"

/* A guest that does not answer in this time would not be saved in time either. */
#define LOOK_MS		5000
/* Room for the state of the devices on the disk. */
#define STATE_ROOM	(64ULL << 20)

static char *check_status(struct guest *guest, struct qmp *q, uint64_t deadline)
{
	char *status, *why = qmp_status(q, deadline, &status);

	if (why)
		return why;
	guest->running = !strcmp(status, "running");
	if (!strcmp(status, "postmigrate"))
		why = text("it was stopped by a save that did not end: %s lets it go on",
			   record_exists(guest, SAVED) ? "guestmemctl resume" :
			   "\"cont\" in its monitor");
	else if (!guest->running && strcmp(status, "paused"))
		why = text("its state is \"%s\", neither running nor paused", status);
	free(status);
	return why;
}

/* QEMU knows of devices that cannot be saved. */
static char *check_blockers(struct qmp *q, uint64_t deadline)
{
	const struct json *list;
	struct json *j;
	char *why = qmp_ask(q, &j, deadline, "query-migrate", NULL);

	if (why)
		return why;
	list = json_get(json_get(j, "return"), "blocked-reasons");
	if (list && list->child && list->child->string)
		why = text("QEMU says: %.*s", SAID_MAX, list->child->string);
	json_free(j);
	return why;
}

/* Asks for a property of a memory backend. */
static char *ask_property(struct qmp *q, uint64_t deadline, const char *object,
			  const char *property, struct json **j)
{
	char *arguments = text("{\"path\":\"/objects/%s\",\"property\":\"%s\"}", object, property);
	char *why = qmp_ask(q, j, deadline, "qom-get", arguments);

	free(arguments);
	return why;
}

static char *check_file(struct guest *guest, struct pools *pools, const char *path, uint64_t size)
{
	struct pool *pool = pools_of_path(pools, path);
	char *real = host_path(path), *why = NULL;
	struct stat st;

	if (!pool)
		why = text("its memory %s is in no pool that is mounted, and would be lost", path);
	else if (stat(real, &st))
		why = text("its memory %s is not there", path);
	else if (!S_ISREG(st.st_mode))
		/* In a directory QEMU makes a file, and removes its name at once. */
		why = text("its memory is a file without a name in %s, and would be lost", path);
	else if (size != UNKNOWN && (uint64_t)st.st_size < size)
		why = text("its memory %s is too small: another file has taken its place", path);
	else
		/* The file may be larger, and is recognised by its own size. */
		guest_add_memory(guest, path, pool->uuid ? pool->uuid : "", st.st_ino,
				 st.st_size);
	free(real);
	return why;
}

/* Memory that is not shared is a part of the state that QEMU writes to the disk. */
static char *check_backend(struct guest *guest, struct pools *pools, struct qmp *q,
			   uint64_t deadline, const char *name, uint64_t *copied)
{
	struct json *share = NULL, *size = NULL, *path = NULL;
	uint64_t bytes;
	char *why;

	if (strpbrk(name, "\"\\"))
		return text("a memory backend has the name %s", name);
	why = ask_property(q, deadline, name, "share", &share);
	if (!why)
		why = ask_property(q, deadline, name, "size", &size);
	if (why)
		goto out;
	bytes = json_get_number(size, "return");
	if (!json_get_bool(share, "return")) {
		*copied += bytes == UNKNOWN ? 0 : bytes;
		goto out;
	}
	free(ask_property(q, deadline, name, "mem-path", &path));
	if (path && json_get_string(path, "return"))
		why = check_file(guest, pools, json_get_string(path, "return"), bytes);
	else
		why = text("its memory \"%s\" is shared, in no file, and would be lost", name);
out:
	json_free(share);
	json_free(size);
	json_free(path);
	return why;
}

/*
 * libvirt makes a backend for the machine, also if the description of the domain names another one
 * by qemu:commandline. That one is not the memory of the guest.
 */
static bool is_unused(struct qmp *q, uint64_t deadline, const char *name)
{
	struct json *j = NULL;
	const char *used;
	bool yes;

	if (strcmp(name, "pc.ram"))
		return false;
	free(qmp_ask(q, &j, deadline, "qom-get",
		     "{\"path\":\"/machine\",\"property\":\"memory-backend\"}"));
	if (!j)
		return false;
	used = json_get_string(j, "return");
	yes = used && *used && strcmp(used, "/objects/pc.ram") && strcmp(used, "pc.ram");
	json_free(j);
	return yes;
}

static char *check_memory(struct guest *guest, struct pools *pools, struct qmp *q,
			  uint64_t deadline, uint64_t *copied)
{
	static const char backend[] = "child<memory-backend-";
	const struct json *object;
	struct json *j;
	char *why;

	guest_forget_memory(guest);
	why = qmp_ask(q, &j, deadline, "qom-list", "{\"path\":\"/objects\"}");
	if (why)
		return why;
	object = json_get(j, "return");
	for (object = object ? object->child : NULL; !why && object; object = object->next) {
		const char *type = json_get_string(object, "type");
		const char *name = json_get_string(object, "name");

		if (type && name && !strncmp(type, backend, sizeof(backend) - 1) &&
		    !is_unused(q, deadline, name))
			why = check_backend(guest, pools, q, deadline, name, copied);
	}
	json_free(j);
	return why;
}

/*
 * Looks at the file system that has @dir. The directory for states is made when it is needed first,
 * so that one that exists above it counts.
 */
static bool look_at_room(const char *dir, struct statvfs *fs)
{
	bool ours = !strncmp(dir, STATE_DIR "/", strlen(STATE_DIR "/"));
	char *real = host_path(dir), *slash;
	bool there = !statvfs(real, fs);

	while (ours && !there) {
		slash = strrchr(real, '/');
		if (!slash || slash == real)
			break;
		*slash = 0;
		there = !statvfs(real, fs);
	}
	free(real);
	return there;
}

/* A state, and the record of a guest, have to survive the kexec. */
static char *check_disk(const char *path)
{
	static const char *const memory[] = { "tmpfs", "ramfs", "devtmpfs", "hugetlbfs",
					      "guestmemfs" };
	char *type = mount_type(path), *why = NULL;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(memory); i++)
		if (!strcmp(type, memory[i]))
			why = text("%s is on %s: what is there does not survive a kexec", path,
				   type);
	free(type);
	return why;
}

static char *check_room(const struct guest *guest, uint64_t copied)
{
	char *dir = xstrdup(guest->state), *why = NULL;
	struct statvfs fs;
	char want[32];

	*strrchr(dir, '/') = 0;
	if (!look_at_room(dir, &fs))
		why = text("the directory %s for its state is not there", dir);
	else if ((uint64_t)fs.f_bavail * fs.f_frsize < copied + STATE_ROOM)
		why = text("%s has too little room for its state: %s are needed", dir,
			   show_size(want, sizeof(want), copied + STATE_ROOM));
	free(dir);
	return why;
}

/* Returns why the guest cannot be saved, or NULL; @note is something that people should know. */
char *guest_look(struct guest *guest, struct pools *pools, struct qmp *q, uint64_t deadline,
		 char **note)
{
	uint64_t copied = 0;
	char *why, size[32];

	*note = NULL;
	why = check_status(guest, q, deadline);
	if (!why && q->domain)
		why = domain_look(q, deadline);
	if (!why)
		why = check_blockers(q, deadline);
	if (!why)
		why = check_memory(guest, pools, q, deadline, &copied);
	if (!why)
		why = check_disk(guest->state);
	if (!why)
		why = check_disk(SAVED_DIR);
	if (!why)
		why = check_room(guest, copied);
	if (!why && copied)
		*note = text("%s of its memory are in no pool, and are copied to the disk and back",
			     show_size(size, sizeof(size), copied));
	return why;
}

/* What was found out about a guest. */
struct finding {
	char *why;	/* it cannot be saved */
	char *note;
	bool absent;
	uint64_t bytes;
};

static void look(struct guest *guest, struct pools *pools, struct finding *f)
{
	/* A process for each question to libvirt takes its time. */
	uint64_t ms = domain_of(guest->qmp) ? guest->timeout * 1000 : LOOK_MS;
	uint64_t deadline = mono_ms() + ms;
	struct qmp q;
	size_t i;

	memset(f, 0, sizeof(*f));
	f->why = qmp_connect(&q, guest->qmp, deadline, &f->absent);
	if (f->why)
		return;
	f->why = guest_look(guest, pools, &q, deadline, &f->note);
	qmp_close(&q);
	for (i = 0; i < guest->nr_memory; i++)
		f->bytes += guest->memory[i].size;
}

static void tell(const struct guest *guest, const struct finding *f, bool quiet)
{
	char size[32];

	if (f->absent)
		progress("%s: %s", guest->name, record_exists(guest, SAVED) ?
			 "is saved already" : "does not run");
	else if (f->why)
		progress("%s: cannot be saved: %s", guest->name, f->why);
	else if (!quiet)
		progress("%s: can be saved: %s, %s in pools", guest->name,
			 guest->running ? "running" : "paused",
			 show_size(size, sizeof(size), f->bytes));
	if (f->note && !quiet)
		progress("%s: %s", guest->name, f->note);
}

static void tell_json(const struct guest *guest, const struct finding *f, struct json_out *j)
{
	json_open(j, NULL, '{');
	json_string(j, "name", guest->name);
	if (f->absent)
		json_string(j, "state", record_exists(guest, SAVED) ? "saved" : "absent");
	else if (f->why)
		json_string(j, "state", NULL);
	else
		json_string(j, "state", guest->running ? "running" : "paused");
	json_number(j, "memory", f->bytes);
	json_bool(j, "possible", f->absent || !f->why);
	json_string(j, "reason", f->absent ? NULL : f->why);
	json_string(j, "note", f->note);
	json_close(j, '}');
}

/*
 * Looks at all guests. Those that do not run, and those that are saved already, leave the list.
 * Returns the first reason for which one cannot be saved; the others have been told.
 */
char *guests_look(struct guests *g, struct pools *pools, bool quiet, struct json_out *j)
{
	char *first = NULL;
	struct finding f;
	size_t i = 0;

	while (i < g->nr) {
		struct guest *guest = &g->guest[i];

		look(guest, pools, &f);
		if (j)
			tell_json(guest, &f, j);
		else
			tell(guest, &f, quiet);
		if (f.why && !f.absent && !first)
			first = text("%s cannot be saved: %s", guest->name, f.why);
		if (f.absent)
			guests_drop(g, i);
		else
			i++;
		free(f.why);
		free(f.note);
	}
	return first;
}
