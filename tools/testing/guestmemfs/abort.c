// SPDX-License-Identifier: GPL-2.0-only
/*
 * How all programs except guestmemfs-test end when a check fails: by abort(), as the fuzzer
 * expects it.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "test.h"

void test_fail(const char *file, int line, const char *fmt, ...)
{
	va_list args;

	fprintf(stderr, "%s:%d: ", file, line);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, "\n");
	abort();
}
