// SPDX-License-Identifier: GPL-2.0-only
/*
 * A process for each guest, so that all of them are saved and restored at once, and one that hangs
 * holds up nobody. It reports lines: '.' for people, '=' a moment, '+' a success, '-' a failure.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guestmemctl.h"

atomic_bool interrupted;
uint64_t started;

/* Prints a line with the time since this program was started. */
void progress(const char *fmt, ...)
{
	uint64_t ms = mono_ms() - started;
	va_list args;

	printf("[%4llu.%02llu s] ", (unsigned long long)(ms / 1000),
	       (unsigned long long)(ms % 1000 / 10));
	va_start(args, fmt);
	put_message(stdout, fmt, args);
	va_end(args);
	fflush(stdout);
}

void report_progress(int out, const char *fmt, ...)
{
	va_list args;
	char *s;

	va_start(args, fmt);
	if (vasprintf(&s, fmt, args) < 0)
		_exit(EXIT_TROUBLE);
	va_end(args);
	dprintf(out, ".%s\n", s);
	free(s);
}

void report_moment(int out, struct guest *guest, enum moment m)
{
	guest->at[m] = now_ms();
	dprintf(out, "=%u %llu\n", m, (unsigned long long)guest->at[m]);
}

/* Frees @why; NULL: it is done. */
void report_end(int out, char *why)
{
	char *c;

	/* One line, whatever QEMU says, and nothing that a terminal would obey. */
	for (c = why; c && *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = ' ';
	dprintf(out, "%c%s\n", why ? '-' : '+', why ? why : "");
	free(why);
}

static void start(struct guests *g, size_t i, worker work)
{
	struct guest *guest = &g->guest[i];
	int reports[2], commands[2];
	size_t k;

	if (pipe2(reports, O_CLOEXEC) || pipe2(commands, O_CLOEXEC))
		die("cannot make a pipe: %s", strerror(errno));
	guest->pid = fork();
	if (guest->pid < 0)
		die("cannot fork: %s", strerror(errno));
	if (!guest->pid) {
		/* With the other ends open here, nobody would see that this program has ended. */
		for (k = 0; k < i; k++)
			close(g->guest[k].to);
		close(commands[1]);
		close(reports[0]);
		/* Ctrl-C reaches all processes: the one that commands decides. */
		signal(SIGINT, SIG_IGN);
		signal(SIGTERM, SIG_IGN);
		signal(SIGHUP, SIG_IGN);
		signal(SIGPIPE, SIG_IGN);
		work(guest, commands[0], reports[1]);
		_exit(0);
	}
	close(commands[0]);
	close(reports[1]);
	guest->from = reports[0];
	guest->to = commands[1];
	guest->finished = false;
	guest->ended = false;
}

void workers_start(struct guests *g, worker work)
{
	size_t i;

	fflush(stdout);
	for (i = 0; i < g->nr; i++)
		start(g, i, work);
}

void workers_tell(struct guests *g, char command)
{
	size_t i;

	for (i = 0; i < g->nr; i++) {
		g->guest[i].finished = false;
		if (write(g->guest[i].to, &command, 1) != 1)
			warn("%s: the process for it has ended", g->guest[i].name);
	}
}

static void take_line(struct guest *guest, const char *line)
{
	unsigned long long at;
	unsigned int m;

	switch (*line) {
	case '.':
		progress("%s: %s", guest->name, line + 1);
		break;
	case '=':
		if (sscanf(line + 1, "%u %llu", &m, &at) == 2 && m < NR_MOMENTS)
			guest->at[m] = at;
		break;
	case '+':
		guest->finished = true;
		break;
	case '-':
		free(guest->why);
		guest->why = xstrdup(line + 1);
		guest->finished = true;
		break;
	}
}

static void take_lines(struct guest *guest)
{
	char buf[4096], *end;
	ssize_t n = read(guest->from, buf, sizeof(buf));

	if (n < 0 && errno == EINTR)
		return;
	if (n <= 0) {
		guest->finished = true;
		guest->ended = true;
		if (!guest->why)
			guest->why = xstrdup("the process for it has ended");
		return;
	}
	guest->line = xrealloc(guest->line, guest->line_len + n, 1);
	memcpy(guest->line + guest->line_len, buf, n);
	guest->line_len += n;
	while ((end = memchr(guest->line, '\n', guest->line_len))) {
		*end = 0;
		take_line(guest, guest->line);
		guest->line_len -= end + 1 - guest->line;
		memmove(guest->line, end + 1, guest->line_len);
	}
}

size_t workers_wait(struct guests *g)
{
	struct pollfd *p = xcalloc(g->nr, sizeof(*p));
	size_t i, left, failed = 0;

	for (;;) {
		for (i = left = 0; i < g->nr; i++) {
			p[i].fd = g->guest[i].finished ? -1 : g->guest[i].from;
			p[i].events = POLLIN;
			left += !g->guest[i].finished;
		}
		if (!left || interrupted)
			break;
		if (poll(p, g->nr, -1) < 0)
			continue;
		for (i = 0; i < g->nr; i++)
			if (p[i].fd >= 0 && p[i].revents)
				take_lines(&g->guest[i]);
	}
	free(p);
	for (i = 0; i < g->nr; i++)
		failed += g->guest[i].why || !g->guest[i].finished;
	return failed;
}

/* Without a command the processes that still wait for one do what leaves their guests running. */
void workers_end(struct guests *g)
{
	size_t i;

	for (i = 0; i < g->nr; i++)
		close(g->guest[i].to);
	for (i = 0; i < g->nr; i++) {
		while (waitpid(g->guest[i].pid, NULL, 0) < 0 && errno == EINTR)
			;
		close(g->guest[i].from);
	}
}
