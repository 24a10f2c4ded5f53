// SPDX-License-Identifier: GPL-2.0
/*
 * Gives a command to QEMU's monitor for people, which listens at a socket, and prints the answer:
 *
 *   hmp SOCKET COMMAND
 *
 * After "quit" there is no answer. Another end of the connection, or none in time, is an error.
 */
#include <err.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PROMPT		"\n(qemu) "
#define SECONDS		300

static char said[1 << 20];

static int connect_to(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	if (strlen(path) >= sizeof(a.sun_path))
		errx(2, "%s: the path is too long", path);
	strcpy(a.sun_path, path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)))
		err(1, "%s", path);
	return fd;
}

/* Reads up to the next prompt, without carriage returns. Returns false at the end. */
static bool read_answer(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	size_t n = 0, of = strlen(PROMPT);

	while (n < sizeof(said) - 1) {
		if (poll(&p, 1, SECONDS * 1000) != 1)
			errx(1, "the monitor does not answer");
		if (read(fd, said + n, 1) != 1)
			return false;
		n += said[n] != '\r';
		said[n] = 0;
		if (n >= of && !strcmp(said + n - of, PROMPT))
			return true;
	}
	errx(1, "the monitor does not stop");
}

int main(int argc, char **argv)
{
	char *answer;
	int fd;

	if (argc != 3)
		errx(2, "usage: hmp SOCKET COMMAND");
	fd = connect_to(argv[1]);
	if (!read_answer(fd))
		errx(1, "the monitor has not greeted");
	if (dprintf(fd, "%s\n", argv[2]) < 0)
		err(1, "%s", argv[1]);
	if (!read_answer(fd)) {
		if (!strcmp(argv[2], "quit"))
			return 0;
		errx(1, "QEMU has ended");
	}
	/* The first line is the monitor's echo of the command. */
	answer = strchr(said, '\n');
	answer[strlen(answer) - strlen(PROMPT)] = 0;
	if (*answer)
		puts(answer + 1);
	return 0;
}
