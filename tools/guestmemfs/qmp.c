// SPDX-License-Identifier: GPL-2.0-only
/*
 * QMP, the protocol of QEMU's monitor: a line of JSON for each command, answer and event.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "guestmemctl.h"

/* An answer of a monitor has less. */
#define LINE_MAX_BYTES	(1024 * 1024)
#define IGNORE_SHARED(state) \
	"{\"capabilities\":[{\"capability\":\"x-ignore-shared\",\"state\":" state "}]}"
#define POLL_MS		10
#define BUSY		"QEMU's monitor says nothing: another program may be using it"
/* For an answer that QEMU gives at once, near the end of the time. */
#define ANSWER_MS	1000

/*
 * The directory may belong to the user of a VMM, who must not lead this program to the monitor of
 * another one: links are refused. Returns a descriptor of the socket, or -1 with a reason.
 */
static int find_socket(const char *path, int *err, char **why)
{
	char *real = host_path(path);
	int at = open(real, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	*err = 0;
	free(real);
	if (at < 0 || fstat(at, &st)) {
		*err = errno;
		*why = text("cannot connect to %s: %s", path, strerror(*err));
	} else if (!S_ISSOCK(st.st_mode)) {
		*why = text("%s is no socket%s", path, S_ISLNK(st.st_mode) ? ", but a link" : "");
	} else {
		return at;
	}
	if (at >= 0)
		close(at);
	return -1;
}

/* Nothing here waits: a VMM may have stopped to accept connections, or to read. */
static char *open_socket(struct qmp *q, const char *path, int *err)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	char *why = NULL;
	int at = find_socket(path, err, &why);

	if (at < 0)
		return why;
	snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d", at);
	q->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (q->fd < 0 || connect(q->fd, (struct sockaddr *)&a, sizeof(a))) {
		*err = errno;
		qmp_close(q);
		why = *err == EAGAIN ? xstrdup(BUSY) :
		      text("cannot connect to %s: %s", path, strerror(*err));
	}
	close(at);
	return why;
}

void qmp_close(struct qmp *q)
{
	if (q->fd >= 0)
		close(q->fd);
	free(q->buf);
	q->fd = -1;
	q->buf = NULL;
	q->have = 0;
	q->room = 0;
}

/* Reads what there is. Returns 0 at the end of the connection, -1 at the deadline. */
static int fill(struct qmp *q, uint64_t deadline)
{
	struct pollfd p = { .fd = q->fd, .events = POLLIN };
	uint64_t now = mono_ms();
	ssize_t n;

	if (now >= deadline)
		return -1;
	if (poll(&p, 1, deadline - now < 1000 ? deadline - now : 1000) <= 0)
		return 1;
	if (q->room - q->have < 4096) {
		q->room = q->room ? 2 * q->room : 65536;
		q->buf = xrealloc(q->buf, q->room, 1);
	}
	n = read(q->fd, q->buf + q->have, q->room - q->have - 1);
	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? 1 : 0;
	q->have += n;
	return n > 0;
}

static char *has_ended(struct qmp *q)
{
	q->ended = true;
	return xstrdup("QEMU has ended, or closed its monitor");
}

static char *next_line(struct qmp *q, uint64_t deadline, char **line)
{
	char *end;

	for (;;) {
		end = q->have ? memchr(q->buf, '\n', q->have) : NULL;
		if (end || q->have > LINE_MAX_BYTES)
			break;
		switch (fill(q, deadline)) {
		case 0:
			return has_ended(q);
		case -1:
			return xstrdup("no answer from QEMU in time");
		}
	}
	if (!end)
		return xstrdup("what QEMU's monitor says is no QMP");
	*end = 0;
	*line = xstrdup(q->buf);
	q->have -= end + 1 - q->buf;
	memmove(q->buf, end + 1, q->have);
	return NULL;
}

static char *next_object(struct qmp *q, uint64_t deadline, struct json **j)
{
	char *line = NULL, *why = next_line(q, deadline, &line);

	if (why)
		return why;
	*j = json_parse(line);
	free(line);
	return *j ? NULL : xstrdup("what QEMU's monitor says is no QMP");
}

static char *send_line(struct qmp *q, const char *line, uint64_t deadline)
{
	struct pollfd p = { .fd = q->fd, .events = POLLOUT };
	size_t left = strlen(line);

	while (left) {
		ssize_t n = send(q->fd, line, left, MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN && mono_ms() >= deadline)
			return xstrdup("QEMU does not read what its monitor is asked");
		if (n < 0 && errno == EAGAIN)
			poll(&p, 1, 100);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
			return has_ended(q);
		if (n < 0)
			return text("QEMU's monitor: %s", strerror(errno));
		line += n;
		left -= n;
	}
	return NULL;
}

/* Turns an answer that is an error into the reason. Frees @j. */
static char *said_no(struct json *j)
{
	const char *desc = json_get_string(json_get(j, "error"), "desc");
	char *why = text("QEMU says: %.*s", SAID_MAX, desc ? desc : "an error");

	json_free(j);
	return why;
}

/* Waits for the answer of the last command. Events in between are of no interest. */
static char *take_answer(struct qmp *q, struct json **answer, uint64_t deadline)
{
	struct json *j;
	char *why;

	for (;;) {
		why = next_object(q, deadline, &j);
		if (why)
			return why;
		if (json_get(j, "error"))
			return said_no(j);
		if (json_get(j, "return"))
			break;
		json_free(j);
		/* There may be no end of events. */
		if (mono_ms() >= deadline)
			return xstrdup("no answer from QEMU in time");
	}
	if (answer)
		*answer = j;
	else
		json_free(j);
	return NULL;
}

static char *ask_domain(struct qmp *q, struct json **answer, uint64_t deadline, const char *line)
{
	struct json *j;
	char *why = domain_ask(q, line, deadline, &j);

	if (why)
		return why;
	if (!json_get(j, "return"))
		return said_no(j);
	if (answer)
		*answer = j;
	else
		json_free(j);
	return NULL;
}

char *qmp_ask(struct qmp *q, struct json **answer, uint64_t deadline, const char *command,
	      const char *arguments)
{
	char *line, *why;

	if (arguments)
		line = text("{\"execute\":\"%s\",\"arguments\":%s}\n", command, arguments);
	else
		line = text("{\"execute\":\"%s\"}\n", command);
	if (q->domain) {
		why = ask_domain(q, answer, deadline, line);
	} else {
		why = send_line(q, line, deadline);
		if (!why)
			why = take_answer(q, answer, deadline);
	}
	free(line);
	return why;
}

static char *greet(struct qmp *q, uint64_t deadline)
{
	struct json *j;
	char *why = next_object(q, deadline, &j);

	if (why && mono_ms() >= deadline) {
		/* QEMU lets others wait while it serves one. */
		free(why);
		return xstrdup(BUSY);
	}
	if (why)
		return why;
	if (!json_get(j, "QMP"))
		why = xstrdup("what answers is no QMP monitor");
	json_free(j);
	return why ? why : qmp_ask(q, NULL, deadline, "qmp_capabilities", NULL);
}

char *qmp_connect(struct qmp *q, const char *path, uint64_t deadline, bool *absent)
{
	char *why;
	int err;

	memset(q, 0, sizeof(*q));
	q->fd = -1;
	if (domain_of(path))
		return domain_connect(q, domain_of(path), deadline, absent);
	while ((why = open_socket(q, path, &err))) {
		bool nobody = err == ENOENT || err == ECONNREFUSED;

		if (absent)
			*absent = nobody;
		if ((!nobody && err != EAGAIN) || (nobody && absent) || mono_ms() >= deadline)
			return why;
		free(why);
		sleep_ms(POLL_MS);
	}
	why = greet(q, deadline);
	if (why)
		qmp_close(q);
	return why;
}

char *qmp_status(struct qmp *q, uint64_t deadline, char **status)
{
	struct json *j;
	char *why = qmp_ask(q, &j, deadline, "query-status", NULL);
	const char *s;

	if (why)
		return why;
	s = json_get_string(json_get(j, "return"), "status");
	*status = xstrdup(s ? s : "unknown");
	json_free(j);
	return NULL;
}

static char *qmp_set(struct qmp *q, uint64_t deadline, const char *mode, const char *capabilities)
{
	char *why = qmp_ask(q, NULL, deadline, "migrate-set-parameters", mode);

	return why ? why : qmp_ask(q, NULL, deadline, "migrate-set-capabilities", capabilities);
}

/*
 * With mode cpr-reboot QEMU lets a guest with a memory backend in a file be saved and restored on
 * the same host; with x-ignore-shared it does not write the RAM, which stays in that file.
 */
char *qmp_prepare(struct qmp *q, uint64_t deadline)
{
	return qmp_set(q, deadline, "{\"mode\":\"cpr-reboot\"}", IGNORE_SHARED("true"));
}

/* A later migration to another host has to copy the RAM. */
char *qmp_unprepare(struct qmp *q, uint64_t deadline)
{
	return qmp_set(q, deadline, "{\"mode\":\"normal\"}", IGNORE_SHARED("false"));
}

static char *wait_migration(struct qmp *q, uint64_t deadline)
{
	for (;;) {
		const char *status, *desc;
		char *why = NULL;
		struct json *j;
		bool done;

		if (mono_ms() >= deadline)
			return xstrdup("QEMU was not done in time");
		why = qmp_ask(q, &j, deadline + ANSWER_MS, "query-migrate", NULL);
		if (why)
			return why;
		status = json_get_string(json_get(j, "return"), "status");
		desc = json_get_string(json_get(j, "return"), "error-desc");
		done = status && !strcmp(status, "completed");
		if (status && (!strcmp(status, "failed") || !strcmp(status, "cancelled")))
			why = text("QEMU says: %s%s%.*s", status, desc ? ": " : "", SAID_MAX,
				   desc ? desc : "");
		json_free(j);
		if (done || why)
			return why;
		sleep_ms(POLL_MS);
	}
}

char *qmp_migrate(struct qmp *q, uint64_t deadline, const char *command, const char *file)
{
	char *uri = text("file:%s", file), *arguments = NULL, *why;
	size_t size;
	FILE *out = open_memstream(&arguments, &size);

	if (!out)
		die("out of memory");
	fputs("{\"uri\":", out);
	json_quote(out, uri, true);
	fputc('}', out);
	fclose(out);
	why = qmp_ask(q, NULL, deadline, command, arguments);
	free(arguments);
	free(uri);
	return why ? why : wait_migration(q, deadline);
}

/* QEMU answers, and ends: it has closed the connection then. */
char *qmp_quit(struct qmp *q, uint64_t deadline)
{
	struct json *j;
	char *why;

	if (q->domain)
		return domain_quit(q, deadline);
	why = qmp_ask(q, NULL, deadline, "quit", NULL);
	free(why);
	while (mono_ms() < deadline) {
		why = next_object(q, deadline, &j);
		if (why) {
			bool ended = q->fd >= 0 && mono_ms() < deadline;

			free(why);
			qmp_close(q);
			return ended ? NULL : xstrdup("QEMU does not quit");
		}
		json_free(j);
	}
	return xstrdup("QEMU does not quit");
}
