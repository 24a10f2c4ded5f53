// SPDX-License-Identifier: GPL-2.0-only
/*
 * How large page table entries are, counted in the page tables themselves.
 */
#include <string.h>

#include "leaves.h"
#include "util.h"

static void count_line(const char *line, unsigned long bytes, struct leaves *l)
{
	unsigned long nr;

	if (strstr(line, " pud\n"))
		l->pud += nr = bytes / GIB;
	else if (strstr(line, " pmd\n"))
		l->pmd += nr = bytes / BLOCK;
	else
		l->pte += nr = bytes / PAGE;
	if (strstr(line, "PWT ") || strstr(line, "PCD ") || strstr(line, "PAT "))
		l->uncached += nr;
	if (strstr(line, " ro "))
		l->read_only += nr;
}

/*
 * The kernel prints adjacent entries of the same kind as one line, so a line may count as several.
 */
bool count_leaves(const void *p, size_t len, struct leaves *l)
{
	unsigned long from = (uintptr_t)p, to = (from + len + PAGE - 1) & ~(PAGE - 1), start, end;
	FILE *tables = fopen(LEAVES, "r");
	char line[256];

	memset(l, 0, sizeof(*l));
	if (!tables)
		return false;
	while (fgets(line, sizeof(line), tables)) {
		if (sscanf(line, "0x%lx-0x%lx", &start, &end) != 2 || !strstr(line, " USR "))
			continue;
		start = start > from ? start : from;
		end = end < to ? end : to;
		if (start < end)
			count_line(line, end - start, l);
	}
	fclose(tables);
	return true;
}

/*
 * Writes a byte in each step, which makes all entries of that size or larger. Returns how many of
 * the writes got a signal.
 */
int touch(void *p, size_t len, size_t step)
{
	size_t i;
	int bad = 0;

	for (i = 0; i < len; i += step)
		bad += poke((char *)p + i, 1) != 0;
	return bad;
}

/* Like touch(), but reads the bytes. */
int look(const void *p, size_t len, size_t step)
{
	size_t i;
	int bad = 0;

	for (i = 0; i < len; i += step)
		bad += peek((const char *)p + i) < 0;
	return bad;
}
