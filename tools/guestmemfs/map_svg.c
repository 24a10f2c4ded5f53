// SPDX-License-Identifier: GPL-2.0-only
/*
 * The picture of a pool as SVG. A gigabyte is a tile of 32 by 16 blocks; a run of blocks of one
 * owner is a path. Pictures scale: a tile of a large pool is small, and can be enlarged.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "guestmemctl.h"

#define TILE_W		32
#define TILE_H		16
#define GAP		2
#define PICTURE_W	1024
#define LINE		18
#define KEYS		4

static const char * const colours[] = {
	"#4e79a7", "#f28e2b", "#59a14f", "#b07aa1", "#edc948", "#76b7b2", "#ff9da7", "#9c755f",
	"#1f77b4", "#d37295", "#8cd17d", "#fabfd2", "#499894", "#86bcb6", "#a0cbe8", "#d4a6c8",
};

struct svg {
	FILE *out;
	const struct map *m;
	unsigned int columns;
	double scale;
};

static const char *colour_of(uint32_t owner)
{
	if (owner == OWNER_FREE)
		return "#eeeeee";
	if (owner >= OWNER_ODD)
		return "#555555";
	return colours[(owner - 1) % ARRAY_SIZE(colours)];
}

FILE *svg_open(const char *path)
{
	return strcmp(path, "-") ? fopen(path, "we") : stdout;
}

char *svg_close(FILE *out, const char *path)
{
	char *why = NULL;

	if (!out || fflush(out) || ferror(out))
		why = text("cannot write %s: %s", path, strerror(errno));
	if (out && out != stdout)
		fclose(out);
	return why;
}

void svg_text(FILE *out, const char *s)
{
	unsigned int n;

	for (; *s; s += n) {
		unsigned char c = *s;

		n = utf8_char(s);
		if (n > 1) {
			fwrite(s, n, 1, out);
			continue;
		}
		n = 1;
		if (c == '<')
			fputs("&lt;", out);
		else if (c == '&')
			fputs("&amp;", out);
		else if (c == '"')
			fputs("&quot;", out);
		else if (c < ' ' || c >= 0x7f)
			fputc('?', out);
		else
			fputc(c, out);
	}
}

static void put_owner(const struct svg *s, uint32_t owner)
{
	if (owner == OWNER_FREE)
		fputs("free", s->out);
	else if (owner >= OWNER_ODD)
		fputs("has left its file", s->out);
	else if (s->m->pool->files[owner - 1].path)
		svg_text(s->out, s->m->pool->files[owner - 1].path);
	else
		fputs("a removed file", s->out);
}

/* The outline of the blocks @from to @end of a tile: up to three rectangles. */
static void put_outline(FILE *out, unsigned int from, unsigned int end)
{
	while (from < end) {
		unsigned int x = from % TILE_W, y = from / TILE_W, w = TILE_W - x, h = 1;

		if (w > end - from)
			w = end - from;
		else if (!x && end - from >= TILE_W)
			h = (end - from) / TILE_W;
		fprintf(out, "M%u,%uh%uv%uh-%uz", x, y, w, h, w);
		from += h > 1 || (!x && w == TILE_W) ? h * TILE_W : w;
	}
}

struct piece {
	uint32_t owner;
	unsigned char flags;
	bool there;
};

static struct piece piece_at(const struct map *m, uint64_t phys)
{
	uint32_t b = layout_block(&m->tables, phys);
	struct piece p = {};

	if (b == UINT32_MAX)
		return p;
	p.there = true;
	p.owner = m->layout.owner[b];
	p.flags = m->layout.flags[b];
	return p;
}

static void put_piece(const struct svg *s, uint64_t phys, const struct piece *p, unsigned int from,
		      unsigned int end)
{
	static const struct {
		unsigned char flag;
		const char *fill;
	} over[] = {
		{ BLOCK_PRIVATE, "url(#private)" },
		{ BLOCK_PINNED, "url(#pinned)" },
		{ BLOCK_BAD, "#e00000" },
	};
	unsigned int i;

	if (!p->there)
		return;
	fprintf(s->out, "<path fill=\"%s\" d=\"", colour_of(p->owner));
	put_outline(s->out, from, end);
	fprintf(s->out, "\"><title>%#llx: ",
		(unsigned long long)(phys + ((uint64_t)from << BLOCK_SHIFT)));
	put_owner(s, p->owner);
	fprintf(s->out, ", %u MiB</title></path>\n", 2 * (end - from));
	for (i = 0; i < ARRAY_SIZE(over); i++) {
		if (!(p->flags & over[i].flag))
			continue;
		fprintf(s->out, "<path fill=\"%s\" d=\"", over[i].fill);
		put_outline(s->out, from, end);
		fputs("\"/>\n", s->out);
	}
}

static void put_tile(const struct svg *s, uint64_t phys, unsigned int n)
{
	static const char * const frames[] = {
		[GIGABYTE_FREE]		= "#999999",
		[GIGABYTE_WHOLE]	= "#000000",
		[GIGABYTE_BROKEN]	= "#c00000",
	};
	struct piece last = piece_at(s->m, phys), next;
	unsigned int from = 0, i;
	enum gigabyte g;
	bool bad;

	fprintf(s->out, "<g transform=\"translate(%u %u)\">\n", n % s->columns * (TILE_W + GAP),
		n / s->columns * (TILE_H + GAP));
	for (i = 1; i < TILE_W * TILE_H; i++) {
		next = piece_at(s->m, phys + ((uint64_t)i << BLOCK_SHIFT));
		if (next.there == last.there && next.owner == last.owner &&
		    next.flags == last.flags)
			continue;
		put_piece(s, phys, &last, from, i);
		last = next;
		from = i;
	}
	put_piece(s, phys, &last, from, i);
	g = layout_gigabyte(&s->m->layout, &s->m->tables, phys, &bad);
	/* Lines are as wide in small tiles as in large ones. */
	fprintf(s->out, "<rect width=\"%d\" height=\"%d\" fill=\"none\" stroke=\"%s\"", TILE_W,
		TILE_H, frames[g]);
	fprintf(s->out, " stroke-width=\"%.3f\"", (g == GIGABYTE_FREE ? 1 : 1.5) / s->scale);
	if (g == GIGABYTE_BROKEN)
		fprintf(s->out, " stroke-dasharray=\"%.3f %.3f\"", 4 / s->scale, 3 / s->scale);
	fputs("/>\n</g>\n", s->out);
}

/* Calls put_tile() for each gigabyte, if @s has a file, and returns their number. */
static unsigned int each_tile(const struct svg *s)
{
	uint64_t last = UINT64_MAX, phys;
	unsigned int n = 0;
	size_t i;

	for (i = 0; i < s->m->tables.nr_ranges; i++) {
		const struct range *r = &s->m->tables.ranges[i];

		for (phys = range_start(r, GIB); phys < r->base + r->size; phys += GIB) {
			if (phys == last)
				continue;
			if (s->out)
				put_tile(s, phys, n);
			n++;
			last = phys;
		}
	}
	return n;
}

static void put_head(const struct svg *s, unsigned int height)
{
	fprintf(s->out,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%u\"\n"
		"font-family=\"sans-serif\" font-size=\"12\" fill=\"#222222\">\n"
		"<defs>\n"
		"<pattern id=\"private\" width=\"1\" height=\"1\" patternUnits=\"userSpaceOnUse\"\n"
		"patternTransform=\"rotate(45)\"><rect width=\"0.35\" height=\"1\"\n"
		"fill=\"#ffffff\"/></pattern>\n"
		"<pattern id=\"pinned\" width=\"1\" height=\"1\" patternUnits=\"userSpaceOnUse\">\n"
		"<circle cx=\"0.5\" cy=\"0.5\" r=\"0.3\" fill=\"#000000\"/></pattern>\n"
		"</defs>\n"
		"<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n",
		PICTURE_W + 20, height);
}

/* Keys are in columns, from line to line. */
static void put_key(const struct svg *s, unsigned int top, size_t n, const char *fill,
		    const char *over)
{
	size_t x = 10 + n % KEYS * (PICTURE_W / KEYS), y = top + n / KEYS * LINE;

	fprintf(s->out, "<rect x=\"%zu\" y=\"%zu\" width=\"24\" height=\"12\" fill=\"%s\"/>\n", x,
		y, fill);
	if (over)
		fprintf(s->out,
			"<g transform=\"translate(%zu %zu) scale(6)\"><rect width=\"4\" height=\"2\"\n"
			"fill=\"%s\"/></g>\n", x, y, over);
	fprintf(s->out, "<text x=\"%zu\" y=\"%zu\">", x + 32, y + 11);
}

static void put_keys(const struct svg *s, unsigned int top)
{
	static const struct {
		const char *text;
		const char *fill;
		const char *over;
	} fixed[] = {
		{ "free", "#eeeeee", NULL },
		{ "private", "#cccccc", "url(#private)" },
		{ "pinned", "#cccccc", "url(#pinned)" },
		{ "with a bad page", "#e00000", NULL },
		{ "has left its file", "#555555", NULL },
	};
	const struct pool *pool = s->m->pool;
	char buf[32];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(fixed); i++) {
		put_key(s, top, i, fixed[i].fill, fixed[i].over);
		fprintf(s->out, "%s</text>\n", fixed[i].text);
	}
	for (i = 0; i < pool->nr_files; i++) {
		put_key(s, top, ARRAY_SIZE(fixed) + i, colour_of(i + 1), NULL);
		put_owner(s, i + 1);
		fprintf(s->out, ", %s</text>\n",
			show_size(buf, sizeof(buf), pool->files[i].memory));
	}
}

static void put_picture(struct svg *s)
{
	unsigned int n, rows, top = 56, height;
	FILE *out = s->out;

	s->out = NULL;
	n = each_tile(s);
	s->out = out;
	/* About twice as wide as high: tiles are. */
	s->columns = n ? (unsigned int)ceil(sqrt(n)) : 1;
	if (s->columns < 2)
		s->columns = 2;
	rows = (n + s->columns - 1) / s->columns;
	s->scale = (double)PICTURE_W / (s->columns * (TILE_W + GAP));
	height = top + rows * (TILE_H + GAP) * s->scale + 20;
	put_head(s, height + LINE * ((5 + s->m->pool->nr_files) / KEYS + 2));
	fputs("<text x=\"10\" y=\"24\" font-size=\"14\" font-weight=\"bold\">", out);
	svg_text(out, s->m->pool->name);
	fputs("</text>\n<text x=\"10\" y=\"43\">", out);
	fputs("A tile is a gigabyte. Its frame is black if one page table entry can ", out);
	fputs("map it, dashed if not, and grey if it is free.</text>\n", out);
	fprintf(out,
		"<g transform=\"translate(10 %u) scale(%.4f)\" shape-rendering=\"crispEdges\">\n",
		top, s->scale);
	each_tile(s);
	fputs("</g>\n", out);
	put_keys(s, height);
	fputs("</svg>\n", out);
}

char *map_svg(const struct map *m, const char *path)
{
	struct svg s = { .out = svg_open(path), .m = m };

	if (s.out)
		put_picture(&s);
	return svg_close(s.out, path);
}
