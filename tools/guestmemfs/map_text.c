// SPDX-License-Identifier: GPL-2.0-only
/*
 * The picture of a pool in the terminal. A character is a cell: a block of 2 MiB in a small pool,
 * a gigabyte in one of 4 TiB, so that the picture has at most some 64 lines.
 */
#include <stdlib.h>
#include <string.h>

#include "guestmemctl.h"

#define ROWS	64

static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

struct drawing {
	const struct map *m;
	char *letter;		/* of each file */
	size_t *order;		/* files, the largest first */
	uint64_t cell;		/* bytes */
	unsigned int width;
	bool colour;
};

struct cell {
	char letter;		/* ' ' if there is no memory */
	char mark;		/* ' ' if there is nothing to say */
};

static const struct file *sort_files;

static int by_memory(const void *a, const void *b)
{
	const struct file *x = &sort_files[*(const size_t *)a];
	const struct file *y = &sort_files[*(const size_t *)b];

	if (x->memory != y->memory)
		return x->memory < y->memory ? 1 : -1;
	return x < y ? -1 : x > y;
}

static void give_letters(struct drawing *d)
{
	size_t nr = d->m->pool->nr_files, i;

	d->letter = xcalloc(nr + 1, 1);
	d->order = xcalloc(nr, sizeof(*d->order));
	for (i = 0; i < nr; i++)
		d->order[i] = i;
	sort_files = d->m->pool->files;
	if (nr)
		qsort(d->order, nr, sizeof(*d->order), by_memory);
	for (i = 0; i < nr; i++)
		d->letter[d->order[i]] = i < sizeof(letters) - 1 ? letters[i] : '+';
}

/* Where the first unit of a range begins: units are aligned in physical memory. */
uint64_t range_start(const struct range *r, uint64_t unit)
{
	return r->base / unit * unit;
}

static uint64_t cells_of(const struct map *m, uint64_t cell)
{
	uint64_t n = 0;
	size_t i;

	for (i = 0; i < m->tables.nr_ranges; i++) {
		const struct range *r = &m->tables.ranges[i];

		n += (r->base + r->size - range_start(r, cell) + cell - 1) / cell;
	}
	return n;
}

static char letter_of(const struct drawing *d, uint32_t owner)
{
	if (owner == OWNER_DETACHED || owner == OWNER_ODD)
		return '?';
	return d->letter[owner - 1];
}

/* The file with most of the cell has it; '*' if none has more than half of what is in use. */
static char who_has(const struct drawing *d, uint64_t phys, uint64_t *there, uint64_t *used,
		    unsigned char *flags)
{
	uint64_t end = phys + d->cell, votes = 0, same = 0;
	uint32_t leader = OWNER_FREE;
	uint64_t at;

	for (at = phys; at < end; at += BLOCK_SIZE) {
		uint32_t b = layout_block(&d->m->tables, at), owner;

		if (b == UINT32_MAX)
			continue;
		(*there)++;
		*flags |= d->m->layout.flags[b];
		owner = d->m->layout.owner[b];
		if (owner == OWNER_FREE)
			continue;
		(*used)++;
		/* A majority, if there is one, is what is left (Boyer and Moore). */
		if (!votes)
			leader = owner;
		votes += owner == leader ? 1 : -1;
	}
	for (at = phys; at < end; at += BLOCK_SIZE) {
		uint32_t b = layout_block(&d->m->tables, at);

		same += b != UINT32_MAX && d->m->layout.owner[b] == leader;
	}
	if (!*used)
		return '.';
	return 2 * same > *used ? letter_of(d, leader) : '*';
}

static struct cell look(const struct drawing *d, uint64_t phys)
{
	struct cell c = { ' ', ' ' };
	uint64_t there = 0, used = 0;
	unsigned char flags = 0;
	char who = who_has(d, phys, &there, &used, &flags);

	if (!there)
		return c;
	c.letter = who;
	if (flags & BLOCK_BAD)
		c.mark = '!';
	else if (flags & BLOCK_PINNED)
		c.mark = '#';
	else if (flags & BLOCK_PRIVATE)
		c.mark = '-';
	else if (used && used < there)
		c.mark = '\'';
	return c;
}

static void put_letter(const struct drawing *d, char c)
{
	/* Neighbours have different colours; free memory has none. */
	if (d->colour && strchr(letters, c))
		printf("\033[%dm%c\033[0m", 31 + (int)(strchr(letters, c) - letters) % 6, c);
	else
		putchar(c);
}

/* Prints the line of a row, and below it a line of marks if there are any. */
static void put_row(const struct drawing *d, uint64_t phys, unsigned int n)
{
	struct cell *row = xcalloc(n, sizeof(*row));
	unsigned int i, marks = 0;

	for (i = 0; i < n; i++) {
		row[i] = look(d, phys + i * d->cell);
		if (row[i].mark != ' ')
			marks = i + 1;
	}
	while (n && row[n - 1].letter == ' ')
		n--;
	printf("0x%011llx  ", (unsigned long long)phys);
	for (i = 0; i < n; i++)
		put_letter(d, row[i].letter);
	putchar('\n');
	if (marks)
		printf("%15s", "");
	for (i = 0; i < marks; i++)
		putchar(row[i].mark);
	if (marks)
		putchar('\n');
	free(row);
}

static void put_cells(const struct drawing *d)
{
	const struct tables *t = &d->m->tables;
	uint64_t row = d->cell * d->width, phys, end = 0;
	char buf[32];
	size_t i;

	printf("%s a character; . is free, * is several files, + is none of the %zu largest,\n"
	       "? is memory that has left its file. Below: ! bad, # pinned, - private, ' in part.\n\n",
	       show_size(buf, sizeof(buf), d->cell), sizeof(letters) - 1);
	for (i = 0; i < t->nr_ranges; i++) {
		const struct range *r = &t->ranges[i];

		phys = range_start(r, row);
		/* Two ranges may be in one row. */
		if (phys < end && i && r->base > t->ranges[i - 1].base)
			phys = end;
		else if (i && phys != end)
			putchar('\n');
		for (; phys < r->base + r->size; phys += row)
			put_row(d, phys, d->width);
		end = phys;
	}
}

static char gigabyte_char(const struct map *m, uint64_t phys, uint64_t *count)
{
	static const char chars[] = { '.', '=', '/' };
	enum gigabyte g;
	bool bad;

	g = layout_gigabyte(&m->layout, &m->tables, phys, &bad);
	count[g]++;
	return bad ? '!' : chars[g];
}

/* One character a gigabyte. */
static void put_gigabytes(const struct map *m, unsigned int width)
{
	uint64_t count[3] = {}, last = UINT64_MAX, phys;
	unsigned int n = 0;
	size_t i;

	puts("gigabytes: = whole, one entry maps it; . free; / broken; ! with a bad page\n");
	for (i = 0; i < m->tables.nr_ranges; i++) {
		const struct range *r = &m->tables.ranges[i];

		for (phys = range_start(r, GIB); phys < r->base + r->size; phys += GIB) {
			if (phys == last)
				continue;
			if (n && (n == width || phys != last + GIB)) {
				putchar('\n');
				n = 0;
			}
			if (!n++)
				printf("0x%011llx  ", (unsigned long long)phys);
			putchar(gigabyte_char(m, phys, count));
			last = phys;
		}
	}
	printf("%s\n%llu whole, %llu free, %llu broken\n\n", n ? "\n" : "",
	       (unsigned long long)count[GIGABYTE_WHOLE], (unsigned long long)count[GIGABYTE_FREE],
	       (unsigned long long)count[GIGABYTE_BROKEN]);
}

static char *sum_cell(uint64_t pages)
{
	char buf[32];

	return xstrdup(pages ? show_size(buf, sizeof(buf), pages << 12) : "-");
}

static void put_legend(const struct drawing *d)
{
	static const char *const names[] = { "", "MEMORY", "PIECES", "WHOLE GB", "PRIVATE",
		"PINNED", "BAD", "FILE" };
	struct table t = { .columns = ARRAY_SIZE(names), .right = "lrrrrrrl" };
	const struct pool *pool = d->m->pool;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		table_cell(&t, xstrdup(names[i]));
	for (i = 0; i < pool->nr_files; i++) {
		const struct file *f = &pool->files[d->order[i]];

		table_cell(&t, text("%c", d->letter[d->order[i]]));
		table_cell(&t, sum_cell(f->memory >> 12));
		table_cell(&t, text("%llu", (unsigned long long)f->extents));
		table_cell(&t, text("%llu", (unsigned long long)f->gigabytes));
		table_cell(&t, sum_cell(f->private_pages));
		table_cell(&t, sum_cell(f->pinned_pages));
		table_cell(&t, sum_cell(f->bad_pages));
		table_cell(&t, escaped(f->path ? f->path : "(removed)"));
	}
	putchar('\n');
	table_print(&t, stdout);
}

void map_text(const struct map *m, unsigned int width, bool colour)
{
	struct drawing d = { .m = m, .width = width, .colour = colour, .cell = BLOCK_SIZE };
	uint64_t size = 0;
	char buf[32];
	size_t i;

	for (i = 0; i < m->tables.nr_ranges; i++)
		size += m->tables.ranges[i].size;
	printf("%s: %s in %zu ranges, %zu files\n\n", m->pool->name,
	       show_size(buf, sizeof(buf), size), m->tables.nr_ranges, m->pool->nr_files);
	while (cells_of(m, d.cell) > (uint64_t)ROWS * width)
		d.cell *= 2;
	give_letters(&d);
	put_gigabytes(m, width);
	put_cells(&d);
	put_legend(&d);
	free(d.letter);
	free(d.order);
}
