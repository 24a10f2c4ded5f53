// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guests of libvirt. Their QEMU is asked by virsh, which passes a command of QMP on and prints its
 * answer, so that libvirt's own connection to the monitor is used. libvirt itself can neither save
 * a guest without its RAM nor restore it: "virsh save" has no way to set the capability before
 * QEMU of the restored guest reads the state. So QEMU writes the state on its own, the domain is
 * started anew from its description with "-incoming defer" in it, and libvirt learns from QEMU's
 * events what becomes of the guest.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guestmemctl.h"

#define URI		"qemu:///system"
#define PREFIX		"libvirt:"
#define END_OF_ARGS	"</qemu:commandline>"
#define INCOMING_ARG	"<qemu:arg value='-incoming'/>"
#define DESTROY_MS	30000
#define NO_ANSWER	124	/* of timeout(1), or that of a signal */

/* The domain, if @qmp stands for one, or NULL. */
const char *domain_of(const char *qmp)
{
	return strncmp(qmp, PREFIX, strlen(PREFIX)) ? NULL : qmp + strlen(PREFIX);
}

char *domain_qmp(const char *domain)
{
	return text(PREFIX "%s", domain);
}

/* All of what virsh says is in @said. */
static int virsh(char **said, uint64_t deadline, const char *command, const char *domain,
		 const char *more, const char *still_more)
{
	uint64_t now = mono_ms(), ms = deadline > now ? deadline - now : 0;
	char *seconds = text("%llu", (unsigned long long)ms / 1000 + 1);
	char *const argv[] = { "timeout", "-k", "1", seconds, "virsh", "-q", "-c", URI,
			       (char *)command, (char *)domain, (char *)more, (char *)still_more,
			       NULL };
	int rc;

	/* Callers compare the messages of virsh. */
	setenv("LC_ALL", "C", 1);
	rc = run_program_all(argv, said);
	free(seconds);
	return rc;
}

/* Frees @said. */
static char *refused(int rc, char *said)
{
	static const char error[] = "error: ";
	char *last = strrchr(said, '\n'), *why;

	last = last ? last + 1 : said;
	if (!strncmp(last, error, strlen(error)))
		last += strlen(error);
	if (rc == NO_ANSWER || rc > 128)
		why = xstrdup("no answer from libvirt in time");
	else
		why = text("libvirt says: %.*s", SAID_MAX, *last ? last : "an error");
	free(said);
	return why;
}

char *domain_connect(struct qmp *q, const char *domain, uint64_t deadline, bool *absent)
{
	char *said;
	int rc = virsh(&said, deadline, "domstate", domain, NULL, NULL);
	bool off = !rc && !strcmp(said, "shut off");

	if (absent)
		*absent = off || (rc && strstr(said, "failed to get domain"));
	if (rc)
		return refused(rc, said);
	free(said);
	if (off)
		return text("the domain %s does not run", domain);
	q->domain = domain;
	/* Callers tell a connection by its descriptor. */
	q->fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	return q->fd < 0 ? text("/dev/null: %s", strerror(errno)) : NULL;
}

/* Runs a command of QMP. @j is what QEMU answers. */
char *domain_ask(struct qmp *q, const char *line, uint64_t deadline, struct json **j)
{
	char *said;
	int rc = virsh(&said, deadline, "qemu-monitor-command", q->domain, line, NULL);

	if (rc) {
		q->ended = strstr(said, "not running");
		return refused(rc, said);
	}
	*j = json_parse(said);
	free(said);
	return *j ? NULL : xstrdup("what libvirt says is no QMP");
}

/* libvirt has more to do than to end QEMU. */
char *domain_quit(struct qmp *q, uint64_t deadline)
{
	char *said;
	int rc = virsh(&said, deadline + DESTROY_MS, "destroy", q->domain, NULL, NULL);

	qmp_close(q);
	if (rc)
		return refused(rc, said);
	free(said);
	return NULL;
}

/* At a boot libvirt would start it anew, before its state is read. */
char *domain_look(const struct qmp *q, uint64_t deadline)
{
	char *said, *line, word[16] = "";
	int rc = virsh(&said, deadline, "dominfo", q->domain, NULL, NULL);

	if (rc)
		return refused(rc, said);
	line = strstr(said, "Autostart:");
	if (line && sscanf(line, "Autostart: %15s", word) != 1)
		*word = 0;
	free(said);
	if (strcmp(word, "enable"))
		return NULL;
	return xstrdup("libvirt would start it anew at boot (autostart)");
}

static char *xml_path(const struct guest *guest)
{
	return text("%s.xml", guest->state);
}

/* The command that starts the domain so that it waits for its state. */
char *domain_start(const struct guest *guest)
{
	char *path = xml_path(guest), *real = host_path(path);
	char *command = text("exec virsh -q -c " URI " create --paused '%s'", real);

	free(real);
	free(path);
	return command;
}

/*
 * Writes down what the domain is now, with what was plugged in since it was started, and with
 * "-incoming defer" as QEMU's last arguments.
 */
static char *describe(const struct guest *guest, const struct qmp *q, uint64_t deadline)
{
	char *xml, *end, *whole, *path, *why;
	int rc = virsh(&xml, deadline, "dumpxml", q->domain, "--migratable", "--security-info");

	if (rc)
		return refused(rc, xml);
	end = strstr(xml, END_OF_ARGS);
	if (!end) {
		free(xml);
		return xstrdup("its domain has no qemu:commandline: see guestmemfs-guests(5)");
	}
	if (strstr(xml, INCOMING_ARG))
		whole = text("%s\n", xml);
	else
		whole = text("%.*s  " INCOMING_ARG "\n    <qemu:arg value='defer'/>\n  %s\n",
			     (int)(end - xml), xml, end);
	path = xml_path(guest);
	why = host_write(path, whole);
	free(path);
	free(whole);
	free(xml);
	return why;
}

/* QEMU does not run as root, and cannot make the file for the state in a directory of root. */
static char *make_state(const struct guest *guest, const struct qmp *q)
{
	char *path = text("/run/libvirt/qemu/%s.pid", q->domain), *pid = host_read(path);
	char *proc = text("/proc/%s", pid ? pid : "self"), *of = host_path(proc);
	char *real = host_path(guest->state), *why = NULL;
	struct stat st;
	int fd = -1;

	if (!pid || stat(of, &st))
		why = text("cannot find out who runs its QEMU: %s: %s", pid ? of : path,
			   strerror(errno));
	else
		fd = open(real, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (!why && (fd < 0 || fchown(fd, st.st_uid, st.st_gid)))
		why = text("its state %s: %s", guest->state, strerror(errno));
	if (fd >= 0)
		close(fd);
	free(real);
	free(of);
	free(proc);
	free(pid);
	free(path);
	return why;
}

/* All that is needed to start the domain again, before the guest is stopped. */
char *domain_prepare(const struct guest *guest, const struct qmp *q, uint64_t deadline)
{
	char *why = describe(guest, q, deadline);

	return why ? why : make_state(guest, q);
}

void domain_forget(const struct guest *guest)
{
	char *path = xml_path(guest);

	if (domain_of(guest->qmp))
		remove_file(path);
	free(path);
}
