// SPDX-License-Identifier: GPL-2.0
/*
 * For VM tests with a VMM that does not take persistent pins itself: "pintool pin FILE" takes
 * them on all memory of a file of guestmemfs, and "pintool unpin FILE" gives up all that the file
 * has.
 */
#include <err.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "pins.h"

int main(int argc, char **argv)
{
	int fd;

	if (argc != 3 || (strcmp(argv[1], "pin") && strcmp(argv[1], "unpin")))
		errx(2, "usage: pintool pin|unpin FILE");
	fd = open(argv[2], O_RDWR);
	if (fd < 0)
		err(1, "%s", argv[2]);
	errno = strcmp(argv[1], "pin") ? unpin_all(fd) : pin(fd, 0, lseek(fd, 0, SEEK_END));
	if (errno)
		err(1, "%s %s", argv[1], argv[2]);
	return 0;
}
