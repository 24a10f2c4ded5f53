// SPDX-License-Identifier: GPL-2.0-only
/*
 * The picture of a report as SVG: a bar for each guest, with its phases.
 */
#include <math.h>
#include <string.h>

#include "guestmemctl.h"

#define WIDTH		1000
#define MARGIN		16
/* About what a character and a digit of the font take. */
#define CHARACTER	7
#define NAME_MAX_CHARS	40
#define LEGEND_Y	42
#define LEGEND_STEP	84
#define TOP		76
#define ROW		30
#define BAR_H		20
/* For the sum beside the longest bar. */
#define SUM_W		90

struct bars {
	FILE *out;
	unsigned int x;		/* where bars begin */
	double scale;		/* pixels for a millisecond */
};

static unsigned int longest_name(const struct guests *g)
{
	unsigned int most = 0;
	size_t i;

	for (i = 0; i < g->nr; i++)
		if (strlen(g->guest[i].name) > most)
			most = strlen(g->guest[i].name);
	return most;
}

/* If a clock went back, the phases are longer than the standstill. */
static uint64_t longest_bar(const struct guests *g)
{
	uint64_t most = 0, sum;
	size_t i, k;

	for (i = 0; i < g->nr; i++) {
		for (sum = 0, k = 0; k < nr_phases; k++)
			sum += phase_ms(&g->guest[i], phases[k].to);
		if (sum > most)
			most = sum;
	}
	return most;
}

static void put_name(const struct bars *b, const char *name, unsigned int y)
{
	fprintf(b->out, "<text x=\"%u\" y=\"%u\" text-anchor=\"end\">", b->x - 10, y + 14);
	svg_text(b->out, name);
	fputs("</text>\n", b->out);
}

static void put_phase(const struct bars *b, const struct phase *phase, uint64_t ms, double x,
		      unsigned int y)
{
	double width = ms * b->scale;
	char number[24];

	fprintf(b->out, "<rect x=\"%.1f\" y=\"%u\" width=\"%.1f\" height=\"%d\" fill=\"%s\">\n"
		"<title>%s %llu ms</title></rect>\n", x, y, width, BAR_H, phase->colour,
		phase->name, (unsigned long long)ms);
	snprintf(number, sizeof(number), "%llu", (unsigned long long)ms);
	if (width > strlen(number) * CHARACTER + 6)
		fprintf(b->out,
			"<text x=\"%.1f\" y=\"%u\" text-anchor=\"middle\" fill=\"%s\">%s</text>\n",
			x + width / 2, y + 14, phase->ink, number);
}

static void put_bar(const struct bars *b, const struct guest *guest, unsigned int y)
{
	double x = b->x;
	size_t k;

	put_name(b, guest->name, y);
	for (k = 0; k < nr_phases; k++) {
		uint64_t ms = phase_ms(guest, phases[k].to);

		if (!ms)
			continue;
		put_phase(b, &phases[k], ms, x, y);
		x += ms * b->scale;
	}
	fprintf(b->out, "<text x=\"%.1f\" y=\"%u\" font-weight=\"bold\">%llu ms</text>\n", x + 8,
		y + 14, (unsigned long long)phase_ms(guest, NR_MOMENTS));
}

/* The guests of @g, which have no bar. */
static unsigned int put_others(const struct bars *b, const struct guests *g, const char *what,
			       unsigned int y)
{
	size_t i;

	for (i = 0; i < g->nr; i++, y += ROW) {
		put_name(b, g->guest[i].name, y);
		fprintf(b->out, "<text x=\"%u\" y=\"%u\" fill=\"#a00000\">%s</text>\n", b->x,
			y + 14, what);
	}
	return y;
}

/* Some five steps of 1, 2 or 5 times a power of ten. */
static double step_of(uint64_t longest)
{
	double unit = pow(10, floor(log10(longest ? longest : 1)));
	double n = longest / unit;

	return unit * (n > 5 ? 2 : n > 2 ? 1 : n > 1 ? 0.5 : 0.2);
}

static void put_axis(const struct bars *b, uint64_t longest, unsigned int bottom)
{
	double step = step_of(longest), at;

	for (at = 0; at <= longest; at += step) {
		double x = b->x + at * b->scale;

		fprintf(b->out, "<path d=\"M%.1f,%d V%u\" stroke=\"#dddddd\"/>\n"
			"<text x=\"%.1f\" y=\"%u\" text-anchor=\"middle\" fill=\"#666666\">", x,
			TOP - 6, bottom, x, bottom + 16);
		if (step < 100)
			fprintf(b->out, "%g ms</text>\n", at);
		else
			fprintf(b->out, "%g s</text>\n", at / 1000);
	}
}

static void put_legend(FILE *out)
{
	size_t k;

	for (k = 0; k < nr_phases; k++)
		fprintf(out, "<rect x=\"%zu\" y=\"%d\" width=\"14\" height=\"12\" fill=\"%s\"/>\n"
			"<text x=\"%zu\" y=\"%d\">%s</text>\n", MARGIN + LEGEND_STEP * k, LEGEND_Y,
			phases[k].colour, MARGIN + LEGEND_STEP * k + 20, LEGEND_Y + 11,
			phases[k].name);
}

static void put_picture(FILE *out, const struct guests *done, const struct guests *saved,
			const struct guests *lost)
{
	unsigned int name = longest_name(done), y = TOP, bottom;
	size_t i;
	uint64_t longest = longest_bar(done);
	struct bars b = { .out = out };

	if (longest_name(saved) > name)
		name = longest_name(saved);
	if (longest_name(lost) > name)
		name = longest_name(lost);
	if (name > NAME_MAX_CHARS)
		name = NAME_MAX_CHARS;
	b.x = MARGIN + 14 + name * CHARACTER;
	b.scale = longest ? (double)(WIDTH - SUM_W - b.x) / longest : 0;
	bottom = TOP + ROW * (done->nr + saved->nr + lost->nr) - (ROW - BAR_H) + 6;
	fprintf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%u\"\n"
		"font-family=\"sans-serif\" font-size=\"12\" fill=\"#222222\">\n"
		"<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n"
		"<text x=\"%d\" y=\"26\" font-size=\"14\" font-weight=\"bold\">\n"
		"For how long each guest stood still, in milliseconds by phase</text>\n", WIDTH,
		bottom + 30, MARGIN);
	put_legend(out);
	put_axis(&b, longest, bottom);
	for (i = 0; i < done->nr; i++, y += ROW)
		put_bar(&b, &done->guest[i], y);
	y = put_others(&b, saved, "saved, and has not gone on yet", y);
	put_others(&b, lost, "its memory was lost", y);
	fputs("</svg>\n", out);
}

char *report_svg(const struct guests *done, const struct guests *saved, const struct guests *lost,
		 const char *path)
{
	FILE *out = svg_open(path);

	if (out)
		put_picture(out, done, saved, lost);
	return svg_close(out, path);
}
