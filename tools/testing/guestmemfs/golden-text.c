// SPDX-License-Identifier: GPL-2.0-only
/*
 * Writes and reads golden images as text: sixteen bytes in each line; lines of zeroes are left out.
 */
#include <stdlib.h>

#include "golden.h"

#define ROW	16

static const char golden_head[] =
	"#\n"
	"# A pool of guestmemfs format version 1 as it is handed over: its metadata and the\n"
	"# handover blob, which names another pool too. Lines of zeroes are left out. Made by\n"
	"# guestmemfs-golden from the state that golden-make.c describes.\n"
	"#\n"
	"# This file never changes: pools like it are in the memory of machines that run. When\n"
	"# the format changes on purpose, keep it with its tests, and add another one.\n";

static const char golden_head_states[] =
	"#\n"
	"# The pool of golden-v1.txt after some of its pages were converted and some blocks\n"
	"# detached, with the feature that says so. It never changes either.\n";

static const char golden_head_absent[] =
	"#\n"
	"# The pool of golden-v1-states.txt after some pages were punched out of blocks that stay.\n"
	"# It never changes either.\n";

/* Writes to @text what the metadata has at this offset, as a comment for people. */
static void golden_where(const struct guestmemfs_super *s, size_t at, char *text, size_t size)
{
	static const char * const names[GUESTMEMFS_NR_TABLES] = {
		"range table", "bitmap", "unzeroed", "inode", "extent table", "maps", "poison",
		"pins",
	};
	int i;

	snprintf(text, size, "superblock");
	for (i = 0; i < GUESTMEMFS_NR_TABLES; i++) {
		size_t start = le64_to_cpu(s->tables[i].offset);

		if (at < start || !start)
			break;
		snprintf(text, size, "%s", names[i]);
		if (i == GUESTMEMFS_TABLE_INODES)
			snprintf(text, size, "%s %zu", names[i],
				 (at - start) / sizeof(struct guestmemfs_inode));
	}
}

static void golden_print_row(const u8 *row, size_t at, size_t len, FILE *out)
{
	size_t i;

	fprintf(out, "%08zx ", at);
	for (i = 0; i < len; i++)
		fprintf(out, " %02x", row[i]);
	fprintf(out, "  |");
	for (i = 0; i < len; i++)
		fputc(row[i] >= ' ' && row[i] <= '~' ? row[i] : '.', out);
	fprintf(out, "|\n");
}

static void golden_print_part(const char *name, const u8 *data, size_t size, bool tables, FILE *out)
{
	char last[32] = "", where[32] = "";
	size_t at, len;

	fprintf(out, "\n%s %zu\n", name, size);
	for (at = 0; at < size; at += len) {
		len = min((size_t)ROW, size - at);
		if (!memchr_inv(data + at, 0, len))
			continue;
		if (tables)
			golden_where((const void *)data, at, where, sizeof(where));
		if (strcmp(where, last))
			fprintf(out, "# %s\n", where);
		memcpy(last, where, sizeof(last));
		golden_print_row(data + at, at, len, out);
	}
}

void golden_print(const struct golden *g, FILE *out)
{
	const struct guestmemfs_super *s = (const void *)g->meta;

	/* In two parts, so that no tool takes it for the licence line of this source file. */
	fprintf(out, "# %s-License-Identifier: GPL-2.0\n%s", "SPDX",
		s->live.nr_absent ? golden_head_absent :
		s->feature_incompat ? golden_head_states : golden_head);
	golden_print_part("tables", g->meta, g->meta_size, true, out);
	golden_print_part("handover", g->blob, g->blob_size, false, out);
}

static u8 *golden_new(size_t size)
{
	u8 *p = aligned_alloc(GUESTMEMFS_TABLE_ALIGN, round_up(size, GUESTMEMFS_TABLE_ALIGN));

	CHECK(p);
	memset(p, 0, size);
	return p;
}

/* Reads a line: "tables SIZE", "handover SIZE", or a row of the part that was named last. */
static void golden_load_line(struct golden *g, const char *line, u8 **part, size_t *size)
{
	size_t at, i;
	int skip = 0;

	if (sscanf(line, "tables %zu", size) == 1) {
		g->meta_size = *size;
		*part = g->meta = golden_new(*size);
		return;
	}
	if (sscanf(line, "handover %zu", size) == 1) {
		g->blob_size = *size;
		*part = g->blob = golden_new(*size);
		return;
	}
	if (!*part || sscanf(line, "%zx %n", &at, &skip) != 1 || !skip)
		FAIL("golden image: %s", line);
	for (i = 0, line += skip; i < ROW && at + i < *size; i++, line += skip) {
		unsigned int byte;

		if (sscanf(line, "%2x %n", &byte, &skip) != 1)
			FAIL("golden image: %s", line);
		(*part)[at + i] = byte;
	}
	if (*line != '|')
		FAIL("golden image: %s", line);
}

void golden_load(struct golden *g, const char *file)
{
	FILE *in = fopen(file, "r");
	u8 *part = NULL;
	size_t room = 0, size = 0;
	char *line = NULL;

	if (!in)
		FAIL("cannot read %s", file);
	memset(g, 0, sizeof(*g));
	while (getline(&line, &room, in) > 0)
		if (*line != '#' && *line != '\n')
			golden_load_line(g, line, &part, &size);
	free(line);
	fclose(in);
	CHECK(g->meta && g->blob);
}

void golden_free(struct golden *g)
{
	free(g->meta);
	free(g->blob);
}
