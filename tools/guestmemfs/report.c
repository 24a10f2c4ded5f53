// SPDX-License-Identifier: GPL-2.0-only
/*
 * guestmemctl report: for how long each guest stood still in the last update, and why.
 */
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

const struct phase phases[] = {
	{ "save", "#2a6fb0", "#ffffff", AT_SAVED },
	{ "wait", "#a9c9e8", "#222222", AT_KEXEC },
	{ "down", "#e8a33d", "#222222", AT_BOOT },
	{ "boot", "#b5442e", "#ffffff", AT_READY },
	{ "VMM", "#3f7f4c", "#ffffff", AT_VMM },
	{ "restore", "#a3d39c", "#222222", AT_RUNS },
};

const size_t nr_phases = ARRAY_SIZE(phases);

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
		char *why = report_svg(&done, &saved, &lost, svg);

		if (why)
			die("%s", why);
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
