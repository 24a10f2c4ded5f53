// SPDX-License-Identifier: GPL-2.0-only
/*
 * "hostpin NODE ADDRESS" pins a page of itself in the gigabyte of this node with this physical
 * address, says "pinned", and keeps the page until it is killed: a pool that takes this gigabyte
 * has to wait.
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "hostpage.h"

int main(int argc, char **argv)
{
	int fds[2];

	if (argc != 3)
		errx(2, "usage: hostpin NODE ADDRESS");
	if (pipe(fds))
		err(1, "pipe");
	if (!with_host_page(atoi(argv[1]), strtoull(argv[2], NULL, 16), pin_in_pipe, fds))
		errx(1, "no page could be had there");
	puts("pinned");
	fflush(stdout);
	for (;;)
		pause();
}
