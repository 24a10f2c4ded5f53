// SPDX-License-Identifier: GPL-2.0-only
/*
 * Converts and runs inputs of the fuzzer, without the fuzzer:
 *
 *   guestmemfs-corpus unpack FILE DIRECTORY	writes each input of a corpus file to a file
 *   guestmemfs-corpus pack FILE...		prints files as lines of a corpus file
 *   guestmemfs-corpus run FILE...		runs inputs, as the fuzzer would
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "corpus.h"
#include "test.h"

static void unpack(const char *file, const char *directory)
{
	struct corpus_item *items;
	u32 nr, i;

	items = corpus_load(file, &nr);
	for (i = 0; i < nr; i++) {
		char path[4096];
		FILE *out;

		snprintf(path, sizeof(path), "%s/line%04u", directory, items[i].line);
		out = fopen(path, "w");
		if (!out || fwrite(items[i].data, 1, items[i].size, out) != items[i].size ||
		    fclose(out))
			FAIL("cannot write %s", path);
	}
	free(items);
}

static u32 read_input(const char *path, u8 data[FUZZ_MAX_SIZE + 1])
{
	FILE *in = fopen(path, "r");
	size_t size;

	if (!in)
		FAIL("cannot read %s", path);
	size = fread(data, 1, FUZZ_MAX_SIZE + 1, in);
	if (size > FUZZ_MAX_SIZE || ferror(in))
		FAIL("%s is no input", path);
	fclose(in);
	return size;
}

static void pack(const char *path)
{
	u8 data[FUZZ_MAX_SIZE + 1];
	u32 size = read_input(path, data), i;

	for (i = 0; i < size; i++)
		printf("%02x", data[i]);
	if (size)
		printf("\n");
}

static void run(const char *path)
{
	u8 data[FUZZ_MAX_SIZE + 1];
	u32 size = read_input(path, data);

	printf("%s: %u bytes\n", path, size);
	fflush(stdout);
	fuzz_one(data, size);
	fuzz_look();
}

int main(int argc, char **argv)
{
	int i;

	if (argc == 4 && !strcmp(argv[1], "unpack")) {
		unpack(argv[2], argv[3]);
	} else if (argc > 2 && !strcmp(argv[1], "pack")) {
		for (i = 2; i < argc; i++)
			pack(argv[i]);
	} else if (argc > 2 && !strcmp(argv[1], "run")) {
		fuzz_init(&argc, &argv);
		for (i = 2; i < argc; i++)
			run(argv[i]);
	} else {
		fprintf(stderr, "usage: %s unpack FILE DIRECTORY | pack FILE... | run FILE...\n",
			argv[0]);
		return 2;
	}
	return 0;
}
