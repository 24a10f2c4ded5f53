// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guests that are saved go on, each as soon as its pools are there.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guestmemctl.h"

static const struct pool *pool_by_uuid(const struct pools *p, const char *uuid)
{
	size_t i;

	for (i = 0; i < p->nr; i++)
		if (p->pool[i].uuid && !strcmp(p->pool[i].uuid, uuid))
			return &p->pool[i];
	return NULL;
}

/*
 * The kernel does not have a pool of the guest any more: a cold boot or "discard" made new ones. A
 * pool that is refused may have lost its identity, and another kernel may read it.
 */
static char *memory_lost(const struct guest *guest, const struct pools *p)
{
	size_t i;

	for (i = 0; i < p->nr; i++)
		if (p->pool[i].refused || !p->pool[i].uuid)
			return NULL;
	for (i = 0; i < guest->nr_memory; i++)
		if (!pool_by_uuid(p, guest->memory[i].pool))
			return text("its memory is lost: there is no pool %s with %s any more",
				    guest->memory[i].pool, guest->memory[i].path);
	return NULL;
}

/* Returns why the memory is not there yet, or cannot be used. */
static char *memory_missing(const struct guest *guest, const struct pools *p)
{
	size_t i;

	for (i = 0; i < guest->nr_memory; i++) {
		const struct memory *m = &guest->memory[i];
		const struct pool *pool = pool_by_uuid(p, m->pool);
		char *real = host_path(m->path), *why = NULL;
		struct stat st;

		if (pool && pool->refused)
			why = text("the pool %s is refused: %s", pool->name, pool->refused);
		else if (!pool)
			why = text("there is no pool %s with %s, but one that is refused",
				   m->pool, m->path);
		else if (!pool->mount)
			why = text("the pool with %s is not mounted", m->path);
		else if (stat(real, &st))
			why = text("%s: %s", m->path, strerror(errno));
		else if (st.st_ino != m->ino || (uint64_t)st.st_size != m->size)
			why = text("%s is another file than the one it was saved with", m->path);
		free(real);
		if (why)
			return why;
	}
	return NULL;
}

static char *wait_memory(const struct guest *guest, uint64_t deadline)
{
	char *why, *lost;
	struct pools p;

	for (;;) {
		why = pools_read(&p);
		if (why)
			return why;
		lost = memory_lost(guest, &p);
		why = lost ? NULL : memory_missing(guest, &p);
		pools_free(&p);
		if (lost || !why || mono_ms() >= deadline)
			return lost ? lost : why;
		free(why);
		sleep_ms(20);
	}
}

static char *log_path(const struct guest *guest)
{
	return text(RUN_DIR "/%s.log", guest->name);
}

/* The VMM goes on after this program, so it must not keep what this program was given. */
static void redirect(const struct guest *guest)
{
	char *path = log_path(guest), *real = host_path(path);
	int in = open("/dev/null", O_RDONLY), out;

	unlink(real);
	out = open(real, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
	if (out < 0)
		out = open("/dev/null", O_WRONLY);
	if (in >= 0)
		dup2(in, STDIN_FILENO);
	if (out >= 0) {
		dup2(out, STDOUT_FILENO);
		dup2(out, STDERR_FILENO);
	}
	free(real);
	free(path);
}

/* The last line that the command has said, or how it ended. */
static char *why_it_failed(const struct guest *guest, int status)
{
	char *path = log_path(guest), *all = host_read(path), *last, *why;

	free(path);
	last = all ? strrchr(all, '\n') : NULL;
	last = last ? last + 1 : all;
	if (!WIFEXITED(status))
		why = text("\"%s\" was ended by signal %d", guest->start, WTERMSIG(status));
	else
		why = text("\"%s\" failed with status %d: %s", guest->start, WEXITSTATUS(status),
			   last && *last ? last : "no reason");
	free(all);
	return why;
}

/* Runs the command that starts the VMM, in the background: some commands end with the VMM. */
static pid_t start_vmm(const struct guest *guest)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	setsid();
	redirect(guest);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	signal(SIGPIPE, SIG_DFL);
	setenv("GUESTMEMFS_INCOMING", INCOMING, 1);
	execl("/bin/sh", "sh", "-c", guest->start, NULL);
	_exit(127);
}

/* Connects to the new VMM; gives up early if the command that starts it has failed. */
static char *connect_vmm(const struct guest *guest, struct qmp *q, pid_t *pid, uint64_t deadline)
{
	for (;;) {
		bool absent = false;
		int status;
		char *why;

		/* This fails at once if no VMM listens. One that listens may need long to greet. */
		why = qmp_connect(q, guest->qmp, deadline, &absent);
		if (!why || !absent)
			return why;
		if (*pid > 0 && waitpid(*pid, &status, WNOHANG) == *pid) {
			*pid = 0;
			if (!WIFEXITED(status) || WEXITSTATUS(status)) {
				free(why);
				return why_it_failed(guest, status);
			}
		}
		if (mono_ms() >= deadline)
			return why;
		free(why);
		sleep_ms(10);
	}
}

/* libvirt passes no question on to a VMM that it is starting, and the command ends after that. */
static char *wait_for_libvirt(const struct guest *guest, pid_t pid, uint64_t deadline)
{
	int status;

	while (!waitpid(pid, &status, WNOHANG)) {
		if (mono_ms() >= deadline)
			return text("\"%s\" has not ended in time", guest->start);
		sleep_ms(10);
	}
	return WIFEXITED(status) && !WEXITSTATUS(status) ? NULL : why_it_failed(guest, status);
}

/* The VMM may have been started by its unit, or by an earlier try. */
static char *start_and_connect(const struct guest *guest, struct qmp *q, uint64_t deadline)
{
	bool absent = false;
	pid_t pid = 0;
	char *why;

	why = qmp_connect(q, guest->qmp, deadline, &absent);
	if (why && absent) {
		free(why);
		pid = start_vmm(guest);
		if (pid < 0)
			return text("cannot start \"%s\": %s", guest->start, strerror(errno));
		why = domain_of(guest->qmp) ? wait_for_libvirt(guest, pid, deadline) : NULL;
		if (!why)
			why = connect_vmm(guest, q, &pid, deadline);
	}
	return why;
}

/* A disk that somebody else has locked is an error here. */
static char *let_run(struct qmp *q, uint64_t deadline)
{
	char *longer, *why = qmp_ask(q, NULL, deadline, "cont", NULL);

	if (!why)
		return NULL;
	longer = text("it is restored, and paused: %s; \"cont\" in its monitor lets it go on", why);
	free(why);
	return longer;
}

static bool is_of_this_boot(const struct guest *guest)
{
	char *id = this_boot();
	bool yes = !strcmp(id, guest->boot);

	free(id);
	return yes;
}

static char *restore(struct guest *guest, struct qmp *q, uint64_t deadline)
{
	char *status, *real, *why = qmp_status(q, deadline, &status);

	if (why)
		return why;
	/* It is the VMM that it was saved with, and nothing has changed since. */
	if (!strcmp(status, "postmigrate") && is_of_this_boot(guest)) {
		free(status);
		return guest_go_on(guest, q);
	}
	if (strcmp(status, "inmigrate"))
		why = text("its VMM does not wait for a state, but is \"%s\": start it with \"%s\"",
			   status, INCOMING);
	free(status);
	if (!why)
		why = qmp_prepare(q, deadline);
	if (why)
		return why;
	real = host_path(guest->state);
	why = qmp_migrate(q, deadline, "migrate-incoming", real);
	free(real);
	if (why)
		return why;
	/*
	 * From now on the memory changes. The state must not meet it again, not even if this
	 * program ends here.
	 */
	why = record_remove(guest, SAVED);
	if (why)
		return why;
	guest_remove_state(guest);
	if (guest->running)
		why = let_run(q, deadline);
	/* The guest runs, and needs this for its next migration only. */
	if (!why)
		free(qmp_unprepare(q, deadline));
	return why;
}

/* When this kernel began, if that was after the guest was saved. */
static uint64_t boot_time(const struct guest *guest)
{
	char *uptime = host_read("/proc/uptime");
	uint64_t at = 0;

	if (uptime && !is_of_this_boot(guest))
		at = now_ms() - (uint64_t)(strtod(uptime, NULL) * 1000);
	free(uptime);
	return at;
}

static char *resume(struct guest *guest, int out)
{
	uint64_t deadline = mono_ms() + guest->timeout * 1000;
	char *why = wait_memory(guest, deadline);
	struct qmp q;

	if (!why)
		why = env_write(guest);
	if (why)
		return why;
	report_moment(out, guest, AT_READY);
	why = start_and_connect(guest, &q, deadline);
	if (why)
		return why;
	report_moment(out, guest, AT_VMM);
	why = restore(guest, &q, deadline);
	qmp_close(&q);
	if (why)
		return why;
	report_moment(out, guest, AT_RUNS);
	env_remove(guest);
	why = record_write(guest, WENT_ON);
	/* The guest runs: only the report lacks it. */
	if (why)
		report_progress(out, "%s", why);
	free(why);
	return NULL;
}

static void resume_worker(struct guest *guest, int in, int out)
{
	char *why;

	(void)in;
	guest->at[AT_KEXEC] = kexec_time_read();
	guest->at[AT_BOOT] = boot_time(guest);
	why = resume(guest, out);
	if (!why)
		report_progress(out, "%s; it stood still for %llu ms",
				guest->running ? "goes on" : "is there again, paused as it was",
				(unsigned long long)phase_ms(guest, NR_MOMENTS));
	report_end(out, why);
}

/* Resumes all guests at once. Returns how many did not. */
size_t guests_resume(struct guests *g)
{
	size_t i, failed;

	workers_start(g, resume_worker);
	failed = workers_wait(g);
	for (i = 0; i < g->nr; i++)
		if (g->guest[i].why)
			progress("%s: does not go on: %s", g->guest[i].name, g->guest[i].why);
	workers_end(g);
	return failed;
}

static const char usage[] =
	"usage: guestmemctl resume [--prepare | --forget] [GUEST...]\n"
	"\n"
	"Lets guests go on that \"guestmemctl live-update\" or \"guestmemctl save\" has saved.\n"
	"\n"
	"  --prepare  only tells the units of these guests to wait for their state\n"
	"  --forget   forgets that the guests are saved: they start anew\n"
	"\n"
	"Exit status: 0 if all of them go on, 1 if one does not (what it was saved with is\n"
	"kept: try again), 2 if the command line or a record is wrong.\n";

static void forget(const struct guest *guest)
{
	char *why = record_remove(guest, SAVED);

	if (why)
		warn("%s: %s", guest->name, why);
	free(why);
	env_remove(guest);
	guest_remove_state(guest);
}

/* A guest whose memory is lost has to start anew: its record is put away. */
static void prepare(struct guests *g)
{
	struct pools p;
	char *why = pools_read(&p), *lost;
	size_t i;

	/* A kernel without pools, or without guestmemfs, has none of them. */
	free(why);
	for (i = 0; i < g->nr; i++) {
		struct guest *guest = &g->guest[i];

		lost = memory_lost(guest, &p);
		if (lost) {
			warn("%s: %s", guest->name, lost);
			/* By a rename, which a full disk does not keep from being done. */
			why = record_rename(guest, SAVED, LOST);
			if (why)
				warn("%s: %s", guest->name, why);
			free(why);
			forget(guest);
		} else {
			why = env_write(guest);
			if (why)
				warn("%s: %s", guest->name, why);
			free(why);
		}
		free(lost);
	}
	pools_free(&p);
}

int cmd_resume(int argc, char **argv)
{
	bool only_prepare = false, only_forget = false;
	struct guests g;
	size_t failed = 0, k;
	char *why, *damaged;
	int i;

	usage_help(argc, argv, usage);
	for (i = 1; i < argc && *argv[i] == '-'; i++) {
		if (!strcmp(argv[i], "--prepare"))
			only_prepare = true;
		else if (!strcmp(argv[i], "--forget"))
			only_forget = true;
		else
			usage_error(usage);
	}
	if (only_prepare && only_forget)
		usage_error(usage);
	/* Guests that wait for this at boot must not be left because of a dry run meanwhile. */
	lock_updates(true);
	damaged = records_read(&g, SAVED);
	if (damaged)
		warn("%s", damaged);
	why = guests_choose(&g, argv + i, argc - i);
	if (why)
		die("%s", why);
	if (only_prepare)
		prepare(&g);
	else if (!only_forget)
		failed = guests_resume(&g);
	for (k = 0; only_forget && k < g.nr; k++)
		forget(&g.guest[k]);
	if (!only_prepare && !only_forget && g.nr)
		printf("%zu of %zu guests go on\n", g.nr - failed, g.nr);
	close_output();
	if (damaged)
		return EXIT_TROUBLE;
	return failed ? EXIT_NO : EXIT_YES;
}
