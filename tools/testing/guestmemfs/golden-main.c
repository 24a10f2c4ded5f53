// SPDX-License-Identifier: GPL-2.0-only
/*
 * guestmemfs-golden make			prints a golden image as text
 * guestmemfs-golden make-states		likewise, with converted offsets, detached
 *						blocks and persistent pins
 * guestmemfs-golden make-absent		likewise, with absent pages as well
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
	static const char * const makes[] = {
		[GOLDEN_PLAIN]	= "make",
		[GOLDEN_STATES]	= "make-states",
		[GOLDEN_ABSENT]	= "make-absent",
	};
	struct golden g;
	u32 kind = 0;

	while (argc == 2 && kind < ARRAY_SIZE(makes) && strcmp(argv[1], makes[kind]))
		kind++;
	if (argc == 2 && kind < ARRAY_SIZE(makes)) {
		golden_make(&g, kind);
		golden_print(&g, stdout);
	} else if (argc == 5 && !strcmp(argv[1], "unpack")) {
		golden_load(&g, argv[2]);
		write_file(argv[3], g.meta, g.meta_size);
		write_file(argv[4], g.blob, g.blob_size);
	} else {
		fprintf(stderr, "usage: %s %s | %s | %s | unpack FILE TABLES BLOB\n", argv[0],
			makes[0], makes[1], makes[2]);
		return 2;
	}
	golden_free(&g);
	return 0;
}
