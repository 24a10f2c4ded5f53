// SPDX-License-Identifier: GPL-2.0-only
/*
 * guestmemfs-dump: prints the tables of a pool, or the handover blob, as text for people.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dump.h"

static const char usage[] =
	"usage: guestmemfs-dump [-b] FILE...\n"
	"\n"
	"Prints the metadata of a guestmemfs pool, or a handover blob: a file has the one or\n"
	"the other, as saved, or is /sys/kernel/debug/guestmemfs/nodeN/tables; - is the\n"
	"standard input.\n"
	"\n"
	"  -b  brief: no inodes and no extents\n"
	"\n"
	"The exit status is 0 if all is well formed, 1 if not, 2 if it cannot be read.\n";

struct bytes {
	unsigned char *data;
	size_t size;
	size_t room;
};

/* Reads a file to its end. The size that stat() tells is not used: for debugfs files it is 0. */
static bool read_all(FILE *file, struct bytes *b)
{
	do {
		if (b->size == b->room) {
			unsigned char *more;

			b->room = b->room ? 2 * b->room : 1 << 20;
			more = realloc(b->data, b->room);
			if (!more) {
				errno = ENOMEM;
				return false;
			}
			b->data = more;
		}
		b->size += fread(b->data + b->size, 1, b->room - b->size, file);
	} while (!feof(file) && !ferror(file));
	return !ferror(file);
}

static int dump_bytes(const struct bytes *b, bool brief)
{
	__le64 magic = 0;

	if (b->size >= sizeof(magic))
		memcpy(&magic, b->data, sizeof(magic));
	if (le64_to_cpu(magic) == GUESTMEMFS_HANDOVER_MAGIC)
		return !dump_handover(stdout, b->data, b->size);
	return !dump_tables(stdout, b->data, b->size, brief);
}

static int dump_file(const char *name, bool brief)
{
	FILE *file = strcmp(name, "-") ? fopen(name, "r") : stdin;
	struct bytes b = {};
	int status = 2;

	if (file && read_all(file, &b))
		status = dump_bytes(&b, brief);
	else
		fprintf(stderr, "guestmemfs-dump: cannot read %s: %s\n", name, strerror(errno));
	if (file)
		fclose(file);
	free(b.data);
	return status;
}

int main(int argc, char **argv)
{
	bool brief = false;
	int opt, status = 0;

	while ((opt = getopt(argc, argv, "b")) != -1) {
		if (opt != 'b') {
			fputs(usage, stderr);
			return 2;
		}
		brief = true;
	}
	if (optind == argc) {
		fputs(usage, stderr);
		return 2;
	}
	for (; optind < argc; optind++) {
		int one = dump_file(argv[optind], brief);

		status = one > status ? one : status;
	}
	if (fflush(stdout) || ferror(stdout)) {
		perror("guestmemfs-dump: cannot write");
		return 2;
	}
	return status;
}
