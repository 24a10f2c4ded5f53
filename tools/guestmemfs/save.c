// SPDX-License-Identifier: GPL-2.0-only
/*
 * Saving guests. Each is stopped and the state of its devices is written to a file, but its VMM
 * stays until all guests are saved: if one cannot be, the others just go on.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guestmemctl.h"

#define QUIT_MS		10000
#define GO_ON_MS	10000

/* For the processes, which inherit them. */
static struct pools pools;

/* The state has to be on the disk: a kexec need not write anything back. */
static char *sync_state(const struct guest *guest)
{
	char *real = host_path(guest->state), *why = NULL;
	/* The directory may belong to the user of QEMU, who may have put anything there. */
	int fd = open(real, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		why = text("its state %s: %s", guest->state, strerror(errno));
	else if (!S_ISREG(st.st_mode))
		why = text("its state %s is no file", guest->state);
	else if (!st.st_size)
		why = text("its state %s is empty", guest->state);
	else if (fsync(fd))
		why = text("its state %s: %s", guest->state, strerror(errno));
	if (fd >= 0)
		close(fd);
	free(real);
	return why;
}

static char *save(struct guest *guest, struct qmp *q, int out)
{
	uint64_t deadline = mono_ms() + guest->timeout * 1000;
	char *note, *why, *real;

	why = guest_look(guest, &pools, q, deadline, &note);
	free(note);
	/* A record that is left over does not belong to the state that is written now. */
	if (!why)
		why = record_remove(guest, SAVED);
	if (why)
		return why;
	why = qmp_prepare(q, deadline);
	if (why) {
		free(qmp_unprepare(q, deadline + GO_ON_MS));
		return why;
	}
	guest_remove_state(guest);
	if (q->domain)
		why = domain_prepare(guest, q, deadline);
	if (why) {
		guest_remove_state(guest);
		free(qmp_unprepare(q, deadline + GO_ON_MS));
		return why;
	}
	report_moment(out, guest, AT_STOP);
	real = host_path(guest->state);
	why = qmp_migrate(q, deadline, "migrate", real);
	free(real);
	if (!why)
		why = sync_state(guest);
	if (why)
		return why;
	report_moment(out, guest, AT_SAVED);
	guest->boot = this_boot();
	why = record_write(guest, SAVED);
	/* If the unit of the guest is started under this kernel it must not start it anew. */
	return why ? why : env_write(guest);
}

/* While a migration is being cancelled QEMU is not ready to let the guest go on: ask again. */
static char *run_again(struct qmp *q, uint64_t deadline)
{
	char *status, *why = NULL;

	do {
		free(why);
		status = NULL;
		free(qmp_ask(q, NULL, deadline, "cont", NULL));
		why = qmp_status(q, deadline, &status);
		if (!why && strcmp(status, "running"))
			why = text("it does not go on: its state is \"%s\"", status);
		free(status);
		if (!why)
			return NULL;
		sleep_ms(50);
	} while (!q->ended && mono_ms() < deadline);
	return why;
}

/* The guest goes on even if its record cannot be removed, and that is reported. */
char *guest_go_on(struct guest *guest, struct qmp *q)
{
	uint64_t deadline = mono_ms() + GO_ON_MS;
	char *why = NULL, *left;

	/* It has not been stopped. */
	if (!guest->at[AT_STOP])
		return NULL;
	left = record_remove(guest, SAVED);
	env_remove(guest);
	/* Of a migration that is still on its way; otherwise it is an error and does no harm. */
	free(qmp_ask(q, NULL, deadline, "migrate_cancel", NULL));
	guest_remove_state(guest);
	if (guest->running)
		why = run_again(q, deadline);
	if (!why)
		why = qmp_unprepare(q, deadline);
	if (!why)
		return left;
	free(left);
	return why;
}

/* The process for a guest: saves it, then waits for what becomes of all of them. */
static void save_worker(struct guest *guest, int in, int out)
{
	char *why, command = 0;
	struct qmp q;

	why = qmp_connect(&q, guest->qmp, mono_ms() + guest->timeout * 1000, NULL);
	if (!why)
		why = save(guest, &q, out);
	if (!why)
		report_progress(out, "saved in %llu ms",
				(unsigned long long)(guest->at[AT_SAVED] - guest->at[AT_STOP]));
	report_end(out, why);
	if (read(in, &command, 1) != 1)
		command = 0;
	if (q.fd >= 0 && command == TO_QUIT)
		why = qmp_quit(&q, mono_ms() + QUIT_MS);
	else
		why = q.fd >= 0 ? guest_go_on(guest, &q) : NULL;
	report_end(out, why);
}

static char *first_failure(const struct guests *g)
{
	size_t i;

	for (i = 0; i < g->nr; i++)
		if (g->guest[i].why)
			return text("%s: %s", g->guest[i].name, g->guest[i].why);
	return xstrdup("interrupted");
}

/* Saves all guests at once. After a failure, guests_roll_back() has to be called. */
char *guests_save(struct guests *g)
{
	size_t i;
	char *why;

	why = host_make_dirs(SAVED_DIR);
	if (!why)
		why = host_make_dirs(STATE_DIR "/state");
	if (!why)
		why = pools_read(&pools);
	if (why)
		return why;
	/* A report is of one update. */
	records_forget(WENT_ON);
	records_forget(LOST);
	workers_start(g, save_worker);
	if (!workers_wait(g))
		return NULL;
	for (i = 0; i < g->nr; i++)
		if (g->guest[i].why)
			progress("%s: cannot be saved: %s", g->guest[i].name, g->guest[i].why);
	return first_failure(g);
}

/* The process for the guest was killed, and did not do it. */
static void go_on_without_worker(struct guest *guest)
{
	struct qmp q;
	char *why;

	if (!guest->at[AT_STOP])
		return;
	why = qmp_connect(&q, guest->qmp, mono_ms() + GO_ON_MS, NULL);
	if (!why)
		why = guest_go_on(guest, &q);
	qmp_close(&q);
	free(guest->why);
	guest->why = why;
}

/* Lets all guests go on. One that does not is a reason to look at it at once. */
void guests_roll_back(struct guests *g)
{
	size_t i;

	interrupted = false;
	for (i = 0; i < g->nr; i++) {
		free(g->guest[i].why);
		g->guest[i].why = NULL;
	}
	workers_tell(g, TO_GO_ON);
	workers_wait(g);
	for (i = 0; i < g->nr; i++) {
		if (g->guest[i].ended)
			go_on_without_worker(&g->guest[i]);
		if (g->guest[i].why)
			warn("%s: %s", g->guest[i].name, g->guest[i].why);
		else
			progress("%s: goes on here", g->guest[i].name);
	}
	workers_end(g);
}

/*
 * Ends the VMMs of guests that are all saved. A VMM that does not end is stopped by the kexec; its
 * guest does not run.
 */
char *guests_commit(struct guests *g)
{
	size_t i;

	/* A signal that came after the last guest was saved does not count any more. */
	interrupted = false;
	workers_tell(g, TO_QUIT);
	workers_wait(g);
	for (i = 0; i < g->nr; i++)
		if (g->guest[i].why)
			warn("%s: %s", g->guest[i].name, g->guest[i].why);
	workers_end(g);
	return kexec_time_write(now_ms());
}
