// SPDX-License-Identifier: GPL-2.0-only
/*
 * guestmemctl: the commands.
 */
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "guestmemctl.h"

static const struct command commands[] = {
	{ "list", cmd_list, "pools, files, and who has them open" },
	{ "map", cmd_map, "a picture of a pool" },
	{ "check-kernel", cmd_check_kernel, "will a kernel take over the pools of this one" },
	{ "live-update", cmd_live_update, "a new kernel for the host, under its guests" },
	{ "save", cmd_save, "saves guests" },
	{ "resume", cmd_resume, "lets guests that were saved go on" },
	{ "report", cmd_report, "for how long each guest stood still" },
};

static void put_commands(FILE *out)
{
	size_t i;

	fputs("usage: guestmemctl COMMAND [ARGUMENT...]\n\n", out);
	for (i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(out, "  %-13s %s\n", commands[i].name, commands[i].summary);
	fputs("\nguestmemctl-COMMAND(8) tells more, and COMMAND with --help in short.\n", out);
}

int main(int argc, char **argv)
{
	size_t i;

	started = mono_ms();
	/* Whoever starts this program may ignore it, and waitpid() would find no child. */
	signal(SIGCHLD, SIG_DFL);
	setlocale(LC_CTYPE, "");
	if (argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") ||
			  !strcmp(argv[1], "help"))) {
		put_commands(stdout);
		close_output();
		return EXIT_YES;
	}
	if (argc == 2 && !strcmp(argv[1], "--version")) {
		puts("guestmemctl " VERSION);
		close_output();
		return EXIT_YES;
	}
	for (i = 0; argc > 1 && i < ARRAY_SIZE(commands); i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	if (argc > 1)
		warn("there is no command %s", argv[1]);
	put_commands(stderr);
	return EXIT_TROUBLE;
}
