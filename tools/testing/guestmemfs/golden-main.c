// SPDX-License-Identifier: GPL-2.0-only
/*
 * guestmemfs-golden make			prints a golden image as text
 * guestmemfs-golden make-states		likewise, with converted offsets, detached
 *						blocks and persistent pins
 * guestmemfs-golden unpack FILE TABLES BLOB	converts such a text to binary files
 */
#include <stdlib.h>

#include "golden.h"

static void write_file(const char *path, const u8 *data, size_t size)
{
	FILE *out = fopen(path, "w");

	if (!out || fwrite(data, 1, size, out) != size || fclose(out))
		FAIL("cannot write %s", path);
}

int main(int argc, char **argv)
{
	struct golden g;

	if (argc == 2 && (!strcmp(argv[1], "make") || !strcmp(argv[1], "make-states"))) {
		golden_make(&g, strcmp(argv[1], "make"));
		golden_print(&g, stdout);
	} else if (argc == 5 && !strcmp(argv[1], "unpack")) {
		golden_load(&g, argv[2]);
		write_file(argv[3], g.meta, g.meta_size);
		write_file(argv[4], g.blob, g.blob_size);
	} else {
		fprintf(stderr, "usage: %s make | make-states | unpack FILE TABLES BLOB\n",
			argv[0]);
		return 2;
	}
	golden_free(&g);
	return 0;
}
