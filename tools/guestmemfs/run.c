// SPDX-License-Identifier: GPL-2.0-only
/*
 * Other programs, and the lock that keeps two updates apart.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guestmemctl.h"

static void exec_child(char *const argv[], int out)
{
	signal(SIGPIPE, SIG_DFL);
	dup2(out, STDOUT_FILENO);
	dup2(out, STDERR_FILENO);
	execvp(argv[0], argv);
	dprintf(STDERR_FILENO, "cannot run %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

/* Reads to the end, and keeps the last line that is not empty. */
static char *last_line(int fd)
{
	FILE *in = fdopen(fd, "r");
	char *line = NULL, *last = xstrdup("");
	size_t room = 0;
	ssize_t n;

	if (!in)
		die("out of memory");
	while ((n = getline(&line, &room, in)) > 0) {
		while (n && (line[n - 1] == '\n' || line[n - 1] == '\r'))
			line[--n] = 0;
		if (!n)
			continue;
		free(last);
		last = xstrdup(line);
	}
	free(line);
	fclose(in);
	return last;
}

/* Reads to the end, without the newlines there. */
static char *all_lines(int fd)
{
	size_t have = 0, room = 4096;
	char *buf = xrealloc(NULL, room, 1);
	ssize_t n;

	while ((n = read(fd, buf + have, room - have - 1)) > 0 || (n < 0 && errno == EINTR)) {
		have += n > 0 ? n : 0;
		if (room - have < 2048) {
			room *= 2;
			buf = xrealloc(buf, room, 1);
		}
	}
	close(fd);
	while (have && buf[have - 1] == '\n')
		have--;
	buf[have] = 0;
	return buf;
}

static int run(char *const argv[], char **said, char *(*read_it)(int fd))
{
	int pipes[2], status;
	pid_t pid;

	fflush(stdout);
	if (pipe2(pipes, O_CLOEXEC))
		die("cannot make a pipe: %s", strerror(errno));
	pid = fork();
	if (pid < 0)
		die("cannot fork: %s", strerror(errno));
	if (!pid)
		exec_child(argv, pipes[1]);
	close(pipes[1]);
	*said = read_it(pipes[0]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int run_program(char *const argv[], char **said)
{
	return run(argv, said, last_line);
}

int run_program_all(char *const argv[], char **said)
{
	return run(argv, said, all_lines);
}

/* The program @name in the directory of this one, or else as found in PATH. */
char *beside_me(const char *name)
{
	char me[PATH_MAX], *path;
	ssize_t n = readlink("/proc/self/exe", me, sizeof(me) - 1);

	if (n <= 0)
		return xstrdup(name);
	me[n] = 0;
	*strrchr(me, '/') = 0;
	path = text("%s/%s", me, name);
	if (!access(path, X_OK))
		return path;
	free(path);
	return xstrdup(name);
}

/*
 * Takes the lock until this process ends. Returns the descriptor. What is done under the lock is
 * done to its end, even if nobody reads the output any more: the network may have failed.
 */
int lock_updates(bool wait)
{
	char *why = host_make_dirs(RUN_DIR), *path = host_path(RUN_DIR "/lock");
	int fd = why ? -1 : open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	signal(SIGPIPE, SIG_IGN);
	if (why)
		die("%s", why);
	if (fd < 0)
		die("cannot open %s: %s", path, strerror(errno));
	if (flock(fd, wait ? LOCK_EX : LOCK_EX | LOCK_NB))
		die("another guestmemctl saves or resumes guests at this moment");
	free(path);
	return fd;
}
