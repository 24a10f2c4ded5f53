// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tool of the VM tests for the Live Update Orchestrator. It reads commands, one on each line,
 * and runs them in order, so that sessions and descriptors live as long as the script. A command
 * after !ERRNO has to fail with that errno. Descriptors have names; @NAME stands for a path that
 * opens the file of that descriptor again.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <linux/reboot.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <x86intrin.h>

#include "luo.h"
#include "luotool.h"
#include "size.h"

#define MAX_WORDS	16
#define MAX_NAMES	64

unsigned int line_nr;

static struct {
	char name[32];
	int fd;
} names[MAX_NAMES];

unsigned long parse(const char *text)
{
	unsigned long n;

	if (!parse_size(text, &n))
		errx(2, "line %u: %s is not a number", line_nr, text);
	return n;
}

static int slot_of(const char *name)
{
	for (int i = 0; i < MAX_NAMES; i++)
		if (!strcmp(names[i].name, name))
			return i;
	return -1;
}

int fd_of(const char *name)
{
	int slot = slot_of(name);

	if (slot < 0)
		errx(2, "line %u: nothing is called %s", line_nr, name);
	return names[slot].fd;
}

/* Gives a name to a descriptor, if it is valid. */
int named(const char *name, int fd)
{
	int slot = slot_of("");

	if (fd < 0)
		return -1;
	if (slot < 0 || slot_of(name) >= 0)
		errx(2, "line %u: no room for the name %s", line_nr, name);
	snprintf(names[slot].name, sizeof(names[slot].name), "%s", name);
	names[slot].fd = fd;
	return 0;
}

/* A wrong value fails with an errno that no test expects. */
int same(const char *what, long is, long wanted)
{
	if (is == wanted)
		return 0;
	printf("line %u: %s is %ld, not %ld\n", line_nr, what, is, wanted);
	errno = EBADE;
	return -1;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

void watch_start(struct stopwatch *s)
{
	s->ns = now_ns();
	s->ticks = __rdtsc();
}

void watch_stop(const struct stopwatch *s, const char *what, unsigned long nr)
{
	uint64_t ticks = __rdtsc() - s->ticks, ns = now_ns() - s->ns;

	printf("%s %lu ns %lu ticks %lu\n", what, nr, ns, ticks);
}

/* The device can be open only once at a time, so each command opens it. */
static int session(char **w)
{
	int luo = luo_open(), fd, saved;

	if (luo < 0)
		return -1;
	fd = strcmp(w[0], "create") ? luo_retrieve(luo, w[1]) : luo_create(luo, w[1]);
	saved = errno;
	close(luo);
	errno = saved;
	return named(w[1], fd);
}

/* preserve SESSION TOKEN FILE */
static int preserve(char **w)
{
	int s = fd_of(w[1]), fd = fd_of(w[3]);
	uint64_t token = parse(w[2]);
	struct stopwatch watch;
	int ret;

	watch_start(&watch);
	ret = luo_preserve_fd(s, token, fd);
	if (!ret)
		watch_stop(&watch, "preserve", token);
	return ret;
}

/* get SESSION TOKEN FILE */
static int get(char **w)
{
	uint64_t token = parse(w[2]);
	struct stopwatch watch;
	int s = fd_of(w[1]), fd;

	watch_start(&watch);
	fd = luo_retrieve_fd(s, token);
	if (fd >= 0)
		watch_stop(&watch, "retrieve", token);
	return named(w[3], fd);
}

static int finish(char **w)
{
	return luo_finish(fd_of(w[1]));
}

/* close NAME */
static int close_name(char **w)
{
	int fd = fd_of(w[1]);

	names[slot_of(w[1])].name[0] = '\0';
	return close(fd);
}

/* run PROGRAM ARGS...: the program has to exit with status 0. */
static int run(char **w)
{
	pid_t child = fork();
	int status;

	if (!child) {
		execvp(w[1], w + 1);
		_exit(127);
	}
	if (child < 0 || waitpid(child, &status, 0) < 0)
		return -1;
	return same("the exit status", status, 0);
}

/* kexec: like kexec -e, but without calls before it that could change the tables. */
static int kexec(char **w)
{
	return syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2,
		       LINUX_REBOOT_CMD_KEXEC, NULL);
}

/* hold: keeps all sessions and descriptors until the machine stops. */
static int hold(char **w)
{
	puts("holding");
	do
		pause();
	while (errno == EINTR);
	return -1;
}

static const struct command commands[] = {
	{ "create",	1, session },
	{ "retrieve",	1, session },
	{ "preserve",	3, preserve },
	{ "get",	3, get },
	{ "finish",	1, finish },
	{ "close",	1, close_name },
	{ "run",	-1, run },
	{ "kexec",	0, kexec },
	{ "hold",	0, hold },
	{}
};

static const struct command *command_of(const struct command *c, const char *name)
{
	while (c->name && strcmp(c->name, name))
		c++;
	return c->name ? c : NULL;
}

/* Replaces @NAME by a path to the descriptor, which works in other processes, too. */
static char *expand(char *word)
{
	char *path;

	if (*word != '@')
		return word;
	if (asprintf(&path, "/proc/%d/fd/%d", getpid(), fd_of(word + 1)) < 0)
		err(1, "asprintf");
	return path;
}

static int run_words(char **w, int nr)
{
	const struct command *c = command_of(commands, w[0]) ?:
				  command_of(file_commands, w[0]) ?:
				  command_of(gmem_commands, w[0]);

	if (!c || (c->nr_args < 0 ? nr - 1 < -c->nr_args : nr - 1 != c->nr_args))
		errx(2, "line %u: unknown command %s, or not the arguments that it takes",
		     line_nr, w[0]);
	return c->run(w);
}

static bool run_line(char *line)
{
	char *words[MAX_WORDS + 1] = {}, *word, *save;
	const char *wanted = NULL, *got;
	int nr = 0;

	for (word = strtok_r(line, " \t\n", &save); word; word = strtok_r(NULL, " \t\n", &save)) {
		if (!nr && !wanted && *word == '!')
			wanted = word + 1;
		else if (nr < MAX_WORDS)
			words[nr++] = expand(word);
		else
			errx(2, "line %u: too long", line_nr);
	}
	if (!nr || *words[0] == '#')
		return true;
	got = run_words(words, nr) ? strerrorname_np(errno) : NULL;
	if (!got == !wanted && (!got || !strcmp(got, wanted)))
		return true;
	printf("line %u: %s gives %s, not %s\n", line_nr, words[0], got ?: "no error",
	       wanted ?: "success");
	return false;
}

int main(int argc, char **argv)
{
	char line[512];

	if (argc > 1)
		errx(2, "takes no arguments; commands come from standard input");
	/*
	 * Flush each line, so that the output is in order with that of programs that this one runs.
	 */
	setvbuf(stdout, NULL, _IOLBF, 0);
	while (fgets(line, sizeof(line), stdin)) {
		line_nr++;
		if (!run_line(line))
			return 1;
	}
	return 0;
}
