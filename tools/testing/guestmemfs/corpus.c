// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reads a file with the first inputs of the fuzzer, as text.
 */
#include <stdio.h>
#include <stdlib.h>

#include "corpus.h"
#include "test.h"

static int hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *p = c ? strchr(digits, c) : NULL;

	return p ? p - digits : -1;
}

/* Returns false if the line has no input, that is, if it is empty or a comment. */
static bool corpus_line(const char *text, struct corpus_item *item)
{
	for (item->size = 0; hex_digit(text[0]) >= 0; text += 2) {
		if (hex_digit(text[1]) < 0 || item->size == FUZZ_MAX_SIZE)
			FAIL("corpus, line %u: half a byte, or too many", item->line);
		item->data[item->size++] = hex_digit(text[0]) << 4 | hex_digit(text[1]);
	}
	text += strspn(text, " \t\n");
	if (*text && *text != '#')
		FAIL("corpus, line %u: no hex digit: %s", item->line, text);
	return item->size;
}

struct corpus_item *corpus_load(const char *file, u32 *nr)
{
	struct corpus_item *items = NULL;
	FILE *in = fopen(file, "r");
	char *text = NULL;
	size_t room = 0;
	u32 line = 0;

	if (!in)
		FAIL("cannot read %s", file);
	for (*nr = 0; getline(&text, &room, in) > 0;) {
		items = realloc(items, (*nr + 1) * sizeof(*items));
		CHECK(items);
		items[*nr].line = ++line;
		*nr += corpus_line(text, &items[*nr]);
	}
	free(text);
	fclose(in);
	if (!*nr)
		FAIL("%s has no inputs", file);
	return items;
}
