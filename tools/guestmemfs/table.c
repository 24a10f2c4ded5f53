// SPDX-License-Identifier: GPL-2.0-only
/*
 * Columns of text. The last column is not padded.
 */
#include <stdlib.h>
#include <string.h>

#include "guestmemctl.h"

/* @cell belongs to the table from then on. */
void table_cell(struct table *t, char *cell)
{
	/* There is room for a power of two. */
	if (!(t->nr & (t->nr - 1)))
		t->cells = xrealloc(t->cells, t->nr ? 2 * t->nr : 1, sizeof(*t->cells));
	t->cells[t->nr++] = cell;
}

/* The number of characters, if the bytes are UTF-8. */
static unsigned int width_of(const char *s)
{
	unsigned int n = 0;

	for (; *s; s++)
		n += (*s & 0xc0) != 0x80;
	return n;
}

static void print_cell(const struct table *t, size_t i, const unsigned int *width, FILE *out)
{
	unsigned int c = i % t->columns, pad = width[c] - width_of(t->cells[i]);

	if (t->right[c] == 'r')
		fprintf(out, "%*s", (int)pad, "");
	fputs(t->cells[i], out);
	if (c + 1 == t->columns) {
		fputc('\n', out);
		return;
	}
	fprintf(out, "%*s", (int)(t->right[c] == 'r' ? 2 : pad + 2), "");
}

/* Prints the table and frees it. */
void table_print(struct table *t, FILE *out)
{
	unsigned int *width = xcalloc(t->columns, sizeof(*width));
	size_t i;

	for (i = 0; i < t->nr; i++) {
		unsigned int w = width_of(t->cells[i]);

		if (w > width[i % t->columns])
			width[i % t->columns] = w;
	}
	for (i = 0; i < t->nr; i++) {
		print_cell(t, i, width, out);
		free(t->cells[i]);
	}
	free(width);
	free(t->cells);
	t->cells = NULL;
	t->nr = 0;
}
