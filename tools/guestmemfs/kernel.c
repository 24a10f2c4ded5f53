// SPDX-License-Identifier: GPL-2.0-only
/*
 * The next kernel: which one, with what command line; loaded and started by kexec.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guestmemctl.h"

#define VMLINUZ		"vmlinuz"

static bool is_file(const char *path)
{
	char *real = host_path(path);
	bool yes = !access(real, R_OK);

	free(real);
	return yes;
}

/* The file that a link leads to, without the root for tests. */
static char *resolve(const char *path)
{
	char *real = host_path(path), *root = host_path(""), *whole = realpath(real, NULL), *found;

	if (whole && !strncmp(whole, root, strlen(root)))
		found = xstrdup(whole + strlen(root));
	else
		found = xstrdup(path);
	free(whole);
	free(root);
	free(real);
	return found;
}

static bool takes_over(const char *image)
{
	char *said, *why;
	int status;

	why = kernel_check(image, &said, &status);
	free(said);
	free(why);
	return status == EXIT_YES;
}

/* The newest version comes first. */
static int by_version(const struct dirent **a, const struct dirent **b)
{
	return strverscmp((*b)->d_name, (*a)->d_name);
}

static int is_image(const struct dirent *e)
{
	return !strncmp(e->d_name, VMLINUZ "-", sizeof(VMLINUZ));
}

/*
 * The newest kernel in /boot that takes the pools over and is not older than this one: what the
 * boot loader would start, unless that has no guestmemfs.
 */
static char *newest_image(void)
{
	char *boot = host_path("/boot"), *this = host_read("/proc/sys/kernel/osrelease");
	char *found = NULL;
	struct dirent **list;
	int i, n = scandir(boot, &list, is_image, by_version);

	for (i = 0; i < n; i++) {
		char *path = text("/boot/%s", list[i]->d_name);

		if (!found && this && strverscmp(list[i]->d_name + sizeof(VMLINUZ), this) >= 0 &&
		    takes_over(path))
			found = path;
		else
			free(path);
		free(list[i]);
	}
	if (n >= 0)
		free(list);
	free(this);
	free(boot);
	return found;
}

/*
 * The kernel of the usual links, if it takes the pools over. Debian has them for its own kernels
 * only, which have no guestmemfs.
 */
static char *choose_image(struct kernel *k, const char *image)
{
	static const char *const usual[] = { "/vmlinuz", "/boot/vmlinuz" };
	char *newest;
	size_t i;

	if (image) {
		k->image = xstrdup(image);
		return is_file(image) ? NULL : text("cannot read %s: %s", image, strerror(errno));
	}
	for (i = 0; !k->image && i < ARRAY_SIZE(usual); i++)
		if (is_file(usual[i]))
			k->image = resolve(usual[i]);
	if (k->image && takes_over(k->image)) {
		k->checked = true;
		return NULL;
	}
	newest = newest_image();
	if (newest) {
		free(k->image);
		k->image = newest;
		k->checked = true;
	}
	/* The check tells what is wrong with the one of the links. */
	if (k->image)
		return NULL;
	return xstrdup("no kernel in /boot takes the pools over: use --kernel");
}

/* Debian's initrd.img-VERSION is beside vmlinuz-VERSION. */
static char *choose_initrd(const char *initrd, const char *image, char **chosen)
{
	const char *name = strrchr(image, '/');
	char *beside;

	*chosen = NULL;
	if (initrd && !strcmp(initrd, "none"))
		return NULL;
	if (initrd) {
		*chosen = xstrdup(initrd);
		return is_file(initrd) ? NULL : text("cannot read %s: %s", initrd, strerror(errno));
	}
	name = name ? name + 1 : image;
	if (strncmp(name, VMLINUZ, sizeof(VMLINUZ) - 1))
		return text("which initrd belongs to %s? Use --initrd, or --initrd none", image);
	beside = text("%.*sinitrd.img%s", (int)(name - image), image, name + sizeof(VMLINUZ) - 1);
	if (!is_file(beside)) {
		char *why = text("there is no %s: use --initrd, or --initrd none", beside);

		free(beside);
		return why;
	}
	*chosen = beside;
	return NULL;
}

/* Returns the value of the last word @name=... of a command line, or NULL. */
static char *value_of(const char *line, const char *name)
{
	char *copy = xstrdup(line), *rest = copy, *word, *value = NULL;
	size_t n = strlen(name);

	while ((word = strsep(&rest, " \t\n"))) {
		if (strncmp(word, name, n) || word[n] != '=')
			continue;
		free(value);
		value = xstrdup(word + n + 1);
	}
	free(copy);
	return value;
}

/* The command line of this kernel without what the boot loader has added. */
static char *same_command_line(void)
{
	char *line = host_read("/proc/cmdline"), *rest = line, *word, *kept = xstrdup(""), *longer;

	/* Without "root=" the next kernel would not get to its guests. */
	if (!line)
		die("cannot read /proc/cmdline: %s", strerror(errno));
	while ((word = strsep(&rest, " \t\n"))) {
		if (!*word || !strncmp(word, "BOOT_IMAGE=", 11) || !strncmp(word, "initrd=", 7))
			continue;
		longer = text("%s%s%s", kept, *kept ? " " : "", word);
		free(kept);
		kept = longer;
	}
	free(line);
	return kept;
}

/* With "discard" the next kernel would make empty pools of those that it gets. */
static bool discards(const char *pools)
{
	char *copy = xstrdup(pools), *rest = copy, *item;
	bool yes = false;

	while ((item = strsep(&rest, ","))) {
		size_t n = strlen(item);

		yes |= !strcmp(item, "discard") || (n > 8 && !strcmp(item + n - 8, ":discard"));
	}
	free(copy);
	return yes;
}

static bool is_on(const char *value)
{
	return value && (!strcmp(value, "on") || !strcmp(value, "1") || !strcmp(value, "y"));
}

static char *check_command_line(const char *next)
{
	char *this = host_read("/proc/cmdline"), *why = NULL;
	char *pools = value_of(next, "guestmemfs"), *kho = value_of(next, "kho");
	char *kho_now = this ? value_of(this, "kho") : NULL;

	if (pools && discards(pools))
		why = text("guestmemfs=%s for the next kernel discards the memory of all guests",
			   pools);
	else if (kho && !is_on(kho))
		why = text("with kho=%s the next kernel would take nothing over", kho);
	else if (!kho && is_on(kho_now))
		why = xstrdup("the command line of the next kernel lacks kho=on");
	free(kho_now);
	free(kho);
	free(pools);
	free(this);
	return why;
}

char *kernel_choose(struct kernel *k, const char *image, const char *initrd,
		    const char *command_line, const char *append)
{
	char *why, *base;

	memset(k, 0, sizeof(*k));
	why = choose_image(k, image);
	if (!why)
		why = choose_initrd(initrd, k->image, &k->initrd);
	if (why)
		return why;
	base = command_line ? xstrdup(command_line) : same_command_line();
	k->command_line = append ? text("%s%s%s", base, *base ? " " : "", append) : xstrdup(base);
	free(base);
	return check_command_line(k->command_line);
}

char *kernel_check(const char *image, char **said, int *status)
{
	char *real = host_path(image), *by = beside_me("guestmemfs-check-kernel");
	char *const argv[] = { by, real, NULL };
	static const char who[] = "guestmemfs-check-kernel: ";
	char *why = NULL;
	const char *s;

	*status = run_program(argv, said);
	s = strncmp(*said, who, sizeof(who) - 1) ? *said : *said + sizeof(who) - 1;
	if (*status != EXIT_YES && *status != EXIT_NO)
		*status = EXIT_TROUBLE;
	if (*status != EXIT_YES)
		why = xstrdup(strncmp(s, "no: ", 4) ? s : s + 4);
	free(by);
	free(real);
	return why;
}

/* Only kexec_file_load(2), which -s stands for, hands the pools over. */
char *kernel_load(const struct kernel *k)
{
	char *image = host_path(k->image), *line = text("--command-line=%s", k->command_line);
	char *real = k->initrd ? host_path(k->initrd) : NULL;
	char *initrd = real ? text("--initrd=%s", real) : NULL, *said, *why = NULL;
	char *const argv[] = { "kexec", "-s", "-l", image, line, initrd, NULL };
	int rc = run_program(argv, &said);

	if (rc)
		why = text("kexec cannot load %s: %s", k->image, *said ? said : "no reason");
	else if (host_number("/sys/kernel/kexec_loaded") != 1)
		why = text("kexec said nothing, but %s is not loaded", k->image);
	free(said);
	free(initrd);
	free(real);
	free(line);
	free(image);
	return why;
}

void kernel_unload(void)
{
	char *const argv[] = { "kexec", "-s", "-u", NULL };
	char *said;

	run_program(argv, &said);
	free(said);
}

/* Returns why the kexec did not begin. With systemd, the shutdown goes on after the return. */
char *kernel_start(void)
{
	bool systemd = is_file("/run/systemd/system");
	char *const argv[] = { systemd ? "systemctl" : "kexec", systemd ? "kexec" : "-e", NULL };
	char *said, *why = NULL;
	int rc = run_program(argv, &said);

	if (rc)
		why = text("%s %s failed: %s", argv[0], argv[1], *said ? said : "no reason");
	free(said);
	return why;
}
