// SPDX-License-Identifier: GPL-2.0-only
/*
 * guestmemctl live-update: a new kernel for the host, under the guests that run on it. guestmemctl
 * save: the part of it that deals with guests.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "guestmemctl.h"

static const char usage[] =
	"usage: guestmemctl live-update [OPTION...]\n"
	"\n"
	"Loads a kernel, checks that it takes the pools over, saves all guests, and starts the\n"
	"kernel by kexec. After the boot the guests go on (guestmemfs-resume.service). If a\n"
	"guest cannot be saved, or anything else is wrong, the update is called off, and all\n"
	"guests go on where they are.\n"
	"\n"
	"  --kernel IMAGE       the kernel (/vmlinuz or /boot/vmlinuz; if that does not take the\n"
	"                       pools over, the newest /boot/vmlinuz-* that does)\n"
	"  --initrd FILE        its initrd (initrd.img-* beside vmlinuz-*); none: without\n"
	"  --command-line TEXT  its command line (that of this kernel)\n"
	"  --append TEXT        more for its command line\n"
	"  --guests DIR         descriptions of the guests (" GUESTS_DIR ")\n"
	"  --dry-run            checks everything, and changes nothing\n"
	"  --json               with --dry-run: for programs\n"
	"\n"
	"Exit status: 0 if the kexec has begun (with --dry-run: if nothing speaks against it),\n"
	"1 if the update was called off, 2 if the command line or a description is wrong.\n";

static const char save_usage[] =
	"usage: guestmemctl save [--guests DIR] [--if-kexec] [GUEST...]\n"
	"\n"
	"Saves guests, and ends their VMMs. If one cannot be saved, all of them go on.\n"
	"\n"
	"  --guests DIR  descriptions of the guests (" GUESTS_DIR ")\n"
	"  --if-kexec    only if systemd is on the way to a kexec; if a guest cannot be saved,\n"
	"                that is called off as well\n"
	"\n"
	"Exit status: 0 if all are saved, 1 if not, 2 if the command line or a description is\n"
	"wrong.\n";

struct options {
	const char *image;
	const char *initrd;
	const char *command_line;
	const char *append;
	const char *guests;
	bool dry_run;
	bool json;
};

static void on_signal(int signal)
{
	(void)signal;
	interrupted = true;
}

static void catch_signals(void (*handler)(int))
{
	struct sigaction a = { .sa_handler = handler };

	sigaction(SIGINT, &a, NULL);
	sigaction(SIGTERM, &a, NULL);
	sigaction(SIGHUP, &a, NULL);
}

static int called_off(char *why)
{
	progress("called off: %s", why);
	free(why);
	close_output();
	return EXIT_NO;
}

static char *check_handover(const struct pools *p)
{
	if (!p->handover)
		return xstrdup("this kernel does not say whether it hands the pools over");
	if (strcmp(p->handover, "yes"))
		return text("this kernel does not hand the pools over: %s", p->handover);
	return NULL;
}

static char *check_kernel(struct kernel *k, const struct pools *p, const struct options *o)
{
	char *why = check_handover(p), *said = NULL;
	int status;

	if (!why)
		why = kernel_choose(k, o->image, o->initrd, o->command_line, o->append);
	if (!why && !k->checked)
		why = kernel_check(k->image, &said, &status);
	free(said);
	return why;
}

/* Everything that can be known before anything is changed. A dry run tells all that is wrong. */
static char *check(struct kernel *k, struct guests *g, struct pools *p, const struct options *o)
{
	char *why = check_kernel(k, p, o), *guests_why;
	size_t i;

	for (i = 0; i < p->nr; i++)
		if (p->pool[i].refused)
			progress("note: the pool %s is refused: %s", p->pool[i].name,
				 p->pool[i].refused);
	if (why && !o->dry_run)
		return why;
	if (why)
		progress("wrong: %s", why);
	else
		progress("%s takes the pools over", k->image);
	guests_why = guests_look(g, p, false, NULL);
	if (!why)
		return guests_why;
	free(guests_why);
	return why;
}

static int dry_run_json(struct guests *g, struct pools *p, const struct options *o)
{
	struct json_out j = { .file = stdout };
	struct kernel k = {};
	char *why = check_kernel(&k, p, o), *guests_why;

	json_open(&j, NULL, '{');
	json_string(&j, "kernel", k.image);
	json_string(&j, "initrd", k.initrd);
	json_string(&j, "command_line", k.command_line);
	json_string(&j, "kernel_reason", why);
	json_open(&j, "guests", '[');
	guests_why = guests_look(g, p, true, &j);
	json_close(&j, ']');
	json_bool(&j, "possible", !why && !guests_why);
	json_close(&j, '}');
	close_output();
	return why || guests_why ? EXIT_NO : EXIT_YES;
}

/* Guests that somebody has saved by "guestmemctl save" before stay as they are. */
static void keep_guests(struct guests *records, const struct guests *of)
{
	size_t i = 0, k;

	while (i < records->nr) {
		for (k = 0; k < of->nr; k++)
			if (!strcmp(records->guest[i].name, of->guest[k].name))
				break;
		if (k < of->nr)
			i++;
		else
			guests_drop(records, i);
	}
}

/* The guests are saved and their VMMs have ended, but this kernel stays. */
static int go_on_here(char *why, const struct guests *of)
{
	struct guests g;

	progress("the kexec has not begun: %s", why);
	free(why);
	why = records_read(&g, SAVED);
	if (why)
		warn("%s", why);
	free(why);
	keep_guests(&g, of);
	guests_resume(&g);
	kernel_unload();
	close_output();
	return EXIT_NO;
}

static int update(struct kernel *k, struct guests *g)
{
	char *why;

	/* From here on a signal calls the update off, and the kernel is unloaded. */
	catch_signals(on_signal);
	why = kernel_load(k);
	if (why)
		return called_off(why);
	progress("%s is loaded", k->image);
	why = guests_save(g);
	if (why) {
		guests_roll_back(g);
		kernel_unload();
		return called_off(why);
	}
	/* There is one way from here on: the records of the guests are on the disk. */
	catch_signals(SIG_IGN);
	why = guests_commit(g);
	if (why)
		warn("%s", why);
	free(why);
	progress("%zu guests are saved; kexec", g->nr);
	why = kernel_start();
	if (why)
		return go_on_here(why, g);
	close_output();
	return EXIT_YES;
}

static void parse(int argc, char **argv, struct options *o)
{
	const struct {
		const char *name;
		const char **value;
	} values[] = {
		{ "--kernel", &o->image },
		{ "--initrd", &o->initrd },
		{ "--command-line", &o->command_line },
		{ "--append", &o->append },
		{ "--guests", &o->guests },
	};
	size_t k;
	int i;

	for (i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--dry-run")) {
			o->dry_run = true;
			continue;
		}
		if (!strcmp(argv[i], "--json")) {
			o->json = true;
			continue;
		}
		for (k = 0; k < ARRAY_SIZE(values); k++)
			if (!strcmp(argv[i], values[k].name))
				break;
		if (k == ARRAY_SIZE(values) || i + 1 == argc)
			usage_error(usage);
		*values[k].value = argv[++i];
	}
	if (o->json && !o->dry_run)
		usage_error(usage);
}

int cmd_live_update(int argc, char **argv)
{
	struct options o = { .guests = GUESTS_DIR };
	struct kernel k = {};
	struct guests g;
	struct pools p;
	char *why;

	usage_help(argc, argv, usage);
	parse(argc, argv, &o);
	why = pools_read(&p);
	if (!why)
		why = guests_read(&g, o.guests);
	if (why)
		die("%s", why);
	lock_updates(false);
	if (o.json)
		return dry_run_json(&g, &p, &o);
	why = check(&k, &g, &p, &o);
	if (why)
		return called_off(why);
	if (!g.nr)
		progress("no guest runs");
	if (o.dry_run) {
		progress("command line: %s", k.command_line);
		progress("nothing speaks against it");
		close_output();
		return EXIT_YES;
	}
	return update(&k, &g);
}

/* Returns whether systemd is on the way to a kexec, and ends the program if that is not known. */
static bool kexec_is_queued(void)
{
	char *const argv[] = { "systemctl", "list-jobs", "--no-legend", "--plain", "kexec.target",
			       NULL };
	char *said;
	bool yes;

	if (run_program(argv, &said))
		die("cannot find out whether this is the way to a kexec: systemctl: %s", said);
	yes = strstr(said, "kexec.target");
	free(said);
	return yes;
}

static void cancel_jobs(void)
{
	char *const argv[] = { "systemctl", "cancel", NULL };
	char *said;

	if (run_program(argv, &said))
		warn("systemctl cancel: %s", said);
	free(said);
}

/*
 * The host stays under this kernel, so that guests that the update has saved before the shutdown
 * began have to go on here.
 */
static int call_off_kexec(char *why)
{
	char *id = this_boot(), *damaged;
	struct guests g;
	size_t i = 0;

	cancel_jobs();
	damaged = records_read(&g, SAVED);
	if (damaged)
		warn("%s", damaged);
	free(damaged);
	while (i < g.nr)
		if (strcmp(g.guest[i].boot, id))
			guests_drop(&g, i);
		else
			i++;
	free(id);
	guests_resume(&g);
	return called_off(why);
}

static int save(struct guests *g, bool if_kexec)
{
	struct pools p;
	char *no_pools = pools_read(&p), *why;

	why = guests_look(g, &p, true, NULL);
	if (!g->nr) {
		/* A kexec of a host without pools is of no interest either. */
		free(no_pools);
		puts("no guest runs");
		close_output();
		return EXIT_YES;
	}
	if (no_pools) {
		free(why);
		why = no_pools;
	}
	if (!why) {
		catch_signals(on_signal);
		why = guests_save(g);
		if (why)
			guests_roll_back(g);
	}
	if (why)
		return if_kexec ? call_off_kexec(why) : called_off(why);
	catch_signals(SIG_IGN);
	why = guests_commit(g);
	if (why)
		warn("%s", why);
	free(why);
	progress("%zu guests are saved", g->nr);
	close_output();
	return EXIT_YES;
}

int cmd_save(int argc, char **argv)
{
	const char *dir = GUESTS_DIR;
	bool if_kexec = false;
	struct guests g;
	char *why;
	int i;

	usage_help(argc, argv, save_usage);
	for (i = 1; i < argc && *argv[i] == '-'; i++) {
		if (!strcmp(argv[i], "--if-kexec"))
			if_kexec = true;
		else if (!strcmp(argv[i], "--guests") && i + 1 < argc)
			dir = argv[++i];
		else
			usage_error(save_usage);
	}
	if (if_kexec && !kexec_is_queued())
		return EXIT_YES;
	/* The update that has begun the shutdown may not have ended yet. */
	lock_updates(if_kexec);
	why = guests_read(&g, dir);
	if (!why)
		why = guests_choose(&g, argv + i, argc - i);
	/* With a description that is wrong a guest is not saved, and would be lost. */
	if (why && if_kexec)
		return call_off_kexec(why);
	if (why)
		die("%s", why);
	return save(&g, if_kexec);
}
