// SPDX-License-Identifier: GPL-2.0-only
/*
 * Messages, memory, time, and sizes for people.
 */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "guestmemctl.h"

const char *program = "guestmemctl";

unsigned int utf8_char(const char *s)
{
	const unsigned char *c = (const unsigned char *)s;
	unsigned int n, i;

	if (*c < 0x80)
		return 1;
	n = *c < 0xc2 ? 0 : *c < 0xe0 ? 2 : *c < 0xf0 ? 3 : *c < 0xf5 ? 4 : 0;
	for (i = 1; i < n; i++)
		if ((c[i] & 0xc0) != 0x80)
			return 0;
	/* Too long for their character, surrogates, and what is beyond Unicode. */
	if ((*c == 0xe0 && c[1] < 0xa0) || (*c == 0xed && c[1] >= 0xa0) ||
	    (*c == 0xf0 && c[1] < 0x90) || (*c == 0xf4 && c[1] >= 0x90))
		return 0;
	return n;
}

/* Terminals obey those of one byte, and those of two (C1) as well. */
static bool is_control(const char *s)
{
	const unsigned char *c = (const unsigned char *)s;

	return *c < ' ' || *c == 0x7f || (*c == 0xc2 && c[1] < 0xa0);
}

/* Messages may have parts that come from a VMM or from names of files. */
void put_message(FILE *out, const char *fmt, va_list args)
{
	char *s, *c;
	unsigned int n;

	if (vasprintf(&s, fmt, args) < 0) {
		fputs("out of memory\n", out);
		return;
	}
	for (c = s; *c; c += n) {
		n = utf8_char(c);
		if (!n || is_control(c)) {
			memset(c, n ? ' ' : '?', n ? n : 1);
			n = 1;
		}
	}
	fprintf(out, "%s\n", s);
	free(s);
}

static void complain(const char *fmt, va_list args)
{
	fflush(stdout);
	fprintf(stderr, "%s: ", program);
	put_message(stderr, fmt, args);
}

void die(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	complain(fmt, args);
	va_end(args);
	exit(EXIT_TROUBLE);
}

void warn(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	complain(fmt, args);
	va_end(args);
}

void *xcalloc(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size);

	if (!p)
		die("out of memory");
	return p;
}

void *xrealloc(void *old, size_t n, size_t size)
{
	void *p = reallocarray(old, n ? n : 1, size);

	if (!p)
		die("out of memory");
	return p;
}

char *xstrdup(const char *s)
{
	char *copy = strdup(s);

	if (!copy)
		die("out of memory");
	return copy;
}

char *text(const char *fmt, ...)
{
	va_list args;
	char *s;
	int n;

	va_start(args, fmt);
	n = vasprintf(&s, fmt, args);
	va_end(args);
	if (n < 0)
		die("out of memory");
	return s;
}

/* Reads a decimal number and nothing else. */
bool number_of(const char *s, uint64_t *value)
{
	char *end;

	if (!isdigit((unsigned char)*s))
		return false;
	errno = 0;
	*value = strtoull(s, &end, 10);
	return !errno && !*end;
}

static uint64_t clock_ms(clockid_t which)
{
	struct timespec t;

	clock_gettime(which, &t);
	return t.tv_sec * 1000ULL + t.tv_nsec / 1000000;
}

/* Milliseconds since 1970, which go on across a kexec. */
uint64_t now_ms(void)
{
	return clock_ms(CLOCK_REALTIME);
}

uint64_t mono_ms(void)
{
	return clock_ms(CLOCK_MONOTONIC);
}

void sleep_ms(unsigned int ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L };

	nanosleep(&t, NULL);
}

/* A size as ls -h prints it, but exact if it has few digits: 512M, 1.5G, 64G. */
const char *show_size(char *buf, size_t size, uint64_t bytes)
{
	static const char units[] = "BKMGTPE";
	unsigned int u = 0;
	uint64_t rest = 0;

	if (bytes == UNKNOWN) {
		snprintf(buf, size, "-");
		return buf;
	}
	while (bytes >= 1024) {
		rest = bytes % 1024;
		bytes /= 1024;
		u++;
	}
	if (rest && bytes < 100)
		snprintf(buf, size, "%llu.%llu%c", (unsigned long long)bytes,
			 (unsigned long long)(rest * 10 / 1024), units[u]);
	else if (u)
		snprintf(buf, size, "%llu%c", (unsigned long long)bytes, units[u]);
	else
		snprintf(buf, size, "%llu", (unsigned long long)bytes);
	return buf;
}

/*
 * Names of files and processes may contain anything: a terminal gets no control characters. Returns
 * a copy of @s, for free().
 */
char *escaped(const char *s)
{
	char *copy = xcalloc(strlen(s) + 1, 4), *out = copy;
	unsigned int n, i;

	for (; *s; s += n) {
		bool good;

		n = utf8_char(s);
		good = n && !is_control(s) && *s != '\\';
		n = n ? n : 1;
		for (i = 0; i < n; i++)
			if (good)
				*out++ = s[i];
			else
				out += sprintf(out, "\\%03o", (unsigned char)s[i]);
	}
	return copy;
}

/* Not everything may have been written, to a full disk for instance. */
void close_output(void)
{
	if (fflush(stdout) || ferror(stdout))
		die("cannot write: %s", strerror(errno));
}

void usage_help(int argc, char **argv, const char *usage)
{
	if (argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
		fputs(usage, stdout);
		close_output();
		exit(EXIT_YES);
	}
}

void usage_error(const char *usage)
{
	fputs(usage, stderr);
	exit(EXIT_TROUBLE);
}
