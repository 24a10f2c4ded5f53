// SPDX-License-Identifier: GPL-2.0-only
/*
 * guestmemctl check-kernel: will a kernel take over what this one hands over.
 */
#include <string.h>
#include <stdlib.h>

#include "guestmemctl.h"

static const char usage[] =
	"usage: guestmemctl check-kernel [--json] IMAGE\n"
	"\n"
	"Tells whether the kernel IMAGE, a bzImage or vmlinux, will take over the pools of\n"
	"the kernel that runs.\n"
	"\n"
	"Exit status: 0 if it will, 1 if it will not, 2 if that could not be found out.\n";

int cmd_check_kernel(int argc, char **argv)
{
	struct json_out j = { .file = stdout };
	char *said = NULL, *why;
	bool json = false;
	int i, status;

	usage_help(argc, argv, usage);
	for (i = 1; i < argc && *argv[i] == '-'; i++) {
		if (strcmp(argv[i], "--json"))
			usage_error(usage);
		json = true;
	}
	if (argc - i != 1)
		usage_error(usage);
	why = kernel_check(argv[i], &said, &status);
	if (!json && status == EXIT_TROUBLE)
		die("%s", why);
	if (!json) {
		puts(said);
	} else {
		json_open(&j, NULL, '{');
		json_string(&j, "image", argv[i]);
		if (status == EXIT_TROUBLE)
			json_string(&j, "takes_over", NULL);
		else
			json_bool(&j, "takes_over", status == EXIT_YES);
		json_string(&j, "reason", status == EXIT_YES ? NULL : why);
		json_close(&j, '}');
	}
	close_output();
	free(said);
	free(why);
	return status;
}
