// SPDX-License-Identifier: GPL-2.0-only
/*
 * guestmemctl report: for how long each guest stood still in the last update, and why.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "guestmemctl.h"

static const char usage[] =
	"usage: guestmemctl report [--json | --svg FILE]\n"
	"\n"
	"Shows for how long each guest stood still in the last update, by phase:\n"
	"\n"
	"  save     it is stopped, and the state of its devices is written to the disk\n"
	"  wait     for other guests that are being saved, and until the VMMs have ended\n"
	"  down     the host shuts down, until the next kernel begins\n"
	"  boot     the kernel boots, until the pools of the guest are mounted\n"
	"  VMM      the VMM starts\n"
	"  restore  it reads the state of the devices\n"
	"\n"
	"  --json      for programs, in milliseconds\n"
	"  --svg FILE  a picture; - is the standard output\n"
	"\n"
	"Exit status: 0, 1 if a guest did not go on, 2 if nothing is known.\n";

static const struct phase {
	const char *name;
	const char *colour;
	enum moment to;
} phases[] = {
	{ "save", "#4e79a7", AT_SAVED },
	{ "wait", "#a0cbe8", AT_KEXEC },
	{ "down", "#f28e2b", AT_BOOT },
	{ "boot", "#e15759", AT_READY },
	{ "VMM", "#59a14f", AT_VMM },
	{ "restore", "#8cd17d", AT_RUNS },
};

/*
 * The length of the phase that ends at moment @to, in ms; of all of them for NR_MOMENTS. A moment
 * that there was not (no kexec) has no phase. Clocks may go back at a boot, by a second or so.
 */
uint64_t phase_ms(const struct guest *guest, enum moment to)
{
	uint64_t before = guest->at[AT_STOP], at = to < NR_MOMENTS ? guest->at[to] :
			  guest->at[AT_RUNS];
	int m;

	for (m = AT_STOP; to < NR_MOMENTS && m < (int)to; m++)
		if (guest->at[m])
			before = guest->at[m];
	return at > before ? at - before : 0;
}

static void table_text(const struct guests *g)
{
	struct table t = { .columns = ARRAY_SIZE(phases) + 2, .right = "lrrrrrrr" };
	size_t i, k;

	table_cell(&t, xstrdup("GUEST"));
	table_cell(&t, xstrdup("STANDSTILL"));
	for (k = 0; k < ARRAY_SIZE(phases); k++)
		table_cell(&t, xstrdup(phases[k].name));
	for (i = 0; i < g->nr; i++) {
		const struct guest *guest = &g->guest[i];

		table_cell(&t, xstrdup(guest->name));
		table_cell(&t, text("%llu ms", (unsigned long long)phase_ms(guest, NR_MOMENTS)));
		for (k = 0; k < ARRAY_SIZE(phases); k++)
			table_cell(&t, text("%llu",
					    (unsigned long long)phase_ms(guest, phases[k].to)));
	}
	table_print(&t, stdout);
}

static void names_text(const struct guests *g, const char *what)
{
	size_t i;

	for (i = 0; i < g->nr; i++)
		printf("%s: %s\n", g->guest[i].name, what);
}

static void guests_json(struct json_out *j, const char *key, const struct guests *g, bool times)
{
	size_t i, k;

	json_open(j, key, '[');
	for (i = 0; i < g->nr; i++) {
		json_open(j, NULL, '{');
		json_string(j, "name", g->guest[i].name);
		if (times)
			json_number(j, "standstill", phase_ms(&g->guest[i], NR_MOMENTS));
		for (k = 0; times && k < ARRAY_SIZE(phases); k++)
			json_number(j, phases[k].name, phase_ms(&g->guest[i], phases[k].to));
		json_close(j, '}');
	}
	json_close(j, ']');
}

static void report_json(const struct guests *done, const struct guests *saved,
			const struct guests *lost)
{
	struct json_out j = { .file = stdout };

	json_open(&j, NULL, '{');
	guests_json(&j, "guests", done, true);
	guests_json(&j, "saved", saved, false);
	guests_json(&j, "lost", lost, false);
	json_close(&j, '}');
}

#define BAR_X		120
#define BAR_W		800
#define BAR_STEP	26

static void put_bar(FILE *out, const struct guest *guest, unsigned int y, uint64_t longest)
{
	double x = BAR_X, scale = longest ? (double)BAR_W / longest : 0;
	size_t k;

	fprintf(out, "<text x=\"%d\" y=\"%u\" text-anchor=\"end\">%s</text>\n", BAR_X - 8, y + 14,
		guest->name);
	for (k = 0; k < ARRAY_SIZE(phases); k++) {
		uint64_t ms = phase_ms(guest, phases[k].to);

		if (!ms)
			continue;
		fprintf(out, "<rect x=\"%.1f\" y=\"%u\" width=\"%.1f\" height=\"18\" fill=\"%s\">\n"
			"<title>%s %llu ms</title></rect>\n", x, y, ms * scale, phases[k].colour,
			phases[k].name, (unsigned long long)ms);
		x += ms * scale;
	}
	fprintf(out, "<text x=\"%.1f\" y=\"%u\">%llu ms</text>\n", x + 6, y + 14,
		(unsigned long long)phase_ms(guest, NR_MOMENTS));
}

static void put_bars(FILE *out, const struct guests *g)
{
	uint64_t longest = 0;
	unsigned int y = 40;
	size_t i;

	for (i = 0; i < g->nr; i++)
		if (phase_ms(&g->guest[i], NR_MOMENTS) > longest)
			longest = phase_ms(&g->guest[i], NR_MOMENTS);
	fprintf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"1020\" height=\"%zu\"\n"
		"font-family=\"sans-serif\" font-size=\"12\">\n"
		"<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n",
		50 + BAR_STEP * g->nr);
	for (i = 0; i < ARRAY_SIZE(phases); i++)
		fprintf(out, "<rect x=\"%zu\" y=\"12\" width=\"12\" height=\"12\" fill=\"%s\"/>\n"
			"<text x=\"%zu\" y=\"23\">%s</text>\n", BAR_X + 100 * i, phases[i].colour,
			BAR_X + 100 * i + 18, phases[i].name);
	for (i = 0; i < g->nr; i++, y += BAR_STEP)
		put_bar(out, &g->guest[i], y, longest);
	fputs("</svg>\n", out);
}

static void report_svg(const struct guests *g, const char *path)
{
	bool here = !strcmp(path, "-");
	FILE *out = here ? stdout : fopen(path, "we");

	if (!out)
		die("cannot write %s: %s", path, strerror(errno));
	put_bars(out, g);
	if (fflush(out) || ferror(out))
		die("cannot write %s: %s", path, strerror(errno));
	if (!here)
		fclose(out);
}

/* The report is of the other guests then. */
static void read_kind(struct guests *g, const char *suffix)
{
	char *why = records_read(g, suffix);

	if (why)
		warn("%s", why);
	free(why);
}

static void read_all(struct guests *done, struct guests *saved, struct guests *lost)
{
	read_kind(done, WENT_ON);
	read_kind(saved, SAVED);
	read_kind(lost, LOST);
	if (!done->nr && !saved->nr && !lost->nr)
		die("no guest was saved yet");
}

int cmd_report(int argc, char **argv)
{
	struct guests done, saved, lost;
	const char *svg = NULL;
	bool json = false;
	int i;

	usage_help(argc, argv, usage);
	for (i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--json"))
			json = true;
		else if (!strcmp(argv[i], "--svg") && i + 1 < argc)
			svg = argv[++i];
		else
			usage_error(usage);
	}
	if (json && svg)
		usage_error(usage);
	read_all(&done, &saved, &lost);
	if (svg) {
		report_svg(&done, svg);
	} else if (json) {
		report_json(&done, &saved, &lost);
	} else {
		if (done.nr)
			table_text(&done);
		names_text(&saved, "saved, and has not gone on yet");
		names_text(&lost, "its memory was lost");
	}
	close_output();
	return saved.nr || lost.nr ? EXIT_NO : EXIT_YES;
}
