// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests the parser of the guestmemfs= parameter.
 */
#include <stdlib.h>

#include "tables_pool.h"

#define MAX_REQUESTS	4

struct parameter {
	const char *arg;
	int err;
	u32 nr;
	struct gmfs_request reqs[MAX_REQUESTS];
};

#define ALL	GMFS_ALL_NODES

static const struct parameter parameters[] = {
	{ "16G", 0, 1, { { ALL, 0, 16 * GIB } } },
	{ "16g", 0, 1, { { ALL, 0, 16 * GIB } } },
	{ "1T", 0, 1, { { ALL, 0, 1024 * GIB } } },
	{ "512M", 0, 1, { { ALL, 0, 512 * MIB } } },
	{ "4096k", 0, 1, { { ALL, 0, 4 * MIB } } },
	{ "134217728", 0, 1, { { ALL, 0, 128 * MIB } } },
	{ "1", 0, 1, { { ALL, 0, 1 } } },
	{ "90%", 0, 1, { { ALL, 90, 0 } } },
	{ "1%", 0, 1, { { ALL, 1, 0 } } },
	{ "100%", 0, 1, { { ALL, 100, 0 } } },
	{ "0:8G", 0, 1, { { 0, 0, 8 * GIB } } },
	{ "0:8G,1:4G", 0, 2, { { 0, 0, 8 * GIB }, { 1, 0, 4 * GIB } } },
	{ "1:8G,0:4G", 0, 2, { { 1, 0, 8 * GIB }, { 0, 0, 4 * GIB } } },
	{ "0:90%,1:75%", 0, 2, { { 0, 90, 0 }, { 1, 75, 0 } } },
	{ "0:90%,3:2G", 0, 2, { { 0, 90, 0 }, { 3, 0, 2 * GIB } } },
	{ "0:1G,1:1G,2:1G,3:1G", 0, 4,
	  { { 0, 0, GIB }, { 1, 0, GIB }, { 2, 0, GIB }, { 3, 0, GIB } } },
	{ "4294967294:1G", 0, 1, { { ALL - 1, 0, GIB } } },
	{ "0016G", 0, 1, { { ALL, 0, 16 * GIB } } },
	{ "18446744073709551615", 0, 1, { { ALL, 0, U64_MAX } } },
	{ "16777215T", 0, 1, { { ALL, 0, 16777215ULL << 40 } } },
	{ "8G+8G", 0, 1, { { ALL, 0, 8 * GIB, 0, 8 * GIB } } },
	{ "8G+90%", 0, 1, { { ALL, 0, 8 * GIB, 90, 0 } } },
	{ "10%+1T", 0, 1, { { ALL, 10, 0, 0, 1024 * GIB } } },
	{ "0+1G", 0, 1, { { ALL, 0, 0, 0, GIB } } },
	{ "0G+1G", 0, 1, { { ALL, 0, 0, 0, GIB } } },
	{ "0:0+1G,1:1G+50%", 0, 2, { { 0, 0, 0, 0, GIB }, { 1, 0, GIB, 50, 0 } } },
	{ "discard", 0, 1, { { ALL, 0, 0, 0, 0, true } } },
	{ "1:discard", 0, 1, { { 1, 0, 0, 0, 0, true } } },
	{ "0:discard,1:discard", 0, 2, { { 0, 0, 0, 0, 0, true }, { 1, 0, 0, 0, 0, true } } },
	{ "16G,discard", 0, 2, { { ALL, 0, 16 * GIB }, { ALL, 0, 0, 0, 0, true } } },
	{ "discard,90%", 0, 2, { { ALL, 0, 0, 0, 0, true }, { ALL, 90, 0 } } },
	{ "0:8G,1:4G,1:discard", 0, 3,
	  { { 0, 0, 8 * GIB }, { 1, 0, 4 * GIB }, { 1, 0, 0, 0, 0, true } } },

	{ "0:1G,1:1G,2:1G,3:1G,4:1G", -E2BIG },
	{ "0:1G,1:1G,2:1G,3:1G,discard", -E2BIG },
	{ "discard,discard", -EINVAL },
	{ "discard,0:discard", -EINVAL },
	{ "0:discard,discard", -EINVAL },
	{ "0:discard,0:discard", -EINVAL },
	{ "discard:0", -EINVAL },
	{ "discarded", -EINVAL },
	{ "discar", -EINVAL },
	{ "Discard", -EINVAL },
	{ "discard,", -EINVAL },
	{ "0:discard1G", -EINVAL },
	{ "1Gdiscard", -EINVAL },
	{ "discard1G", -EINVAL },
	{ "", -EINVAL },
	{ ",", -EINVAL },
	{ ":", -EINVAL },
	{ "%", -EINVAL },
	{ "G", -EINVAL },
	{ "nonsense", -EINVAL },
	{ "-1G", -EINVAL },
	{ "+1G", -EINVAL },
	{ " 1G", -EINVAL },
	{ "1G ", -EINVAL },
	{ "0x10G", -EINVAL },
	{ "1.5G", -EINVAL },
	{ "0", -EINVAL },
	{ "0G", -EINVAL },
	{ "0%", -EINVAL },
	{ "101%", -EINVAL },
	{ "18446744073709551616", -EINVAL },
	{ "18446744073709551617G", -EINVAL },
	{ "99999999999999999999999999", -EINVAL },
	{ "16777216T", -EINVAL },
	{ "17179869184G", -EINVAL },
	{ "16GB", -EINVAL },
	{ "16P", -EINVAL },
	{ "16G%", -EINVAL },
	{ "90%%", -EINVAL },
	{ "90%G", -EINVAL },
	{ "16G,", -EINVAL },
	{ ",16G", -EINVAL },
	{ "16G,,16G", -EINVAL },
	{ "16G;1:16G", -EINVAL },
	{ "0:", -EINVAL },
	{ ":8G", -EINVAL },
	{ "0:8G:1", -EINVAL },
	{ "0:8G,1", -EINVAL },
	{ "0:8G,1:", -EINVAL },
	{ "0:8G,0:4G", -EINVAL },
	{ "0:8G,1:4G,0:50%", -EINVAL },
	{ "16G,16G", -EINVAL },
	{ "16G,0:8G", -EINVAL },
	{ "0:8G,16G", -EINVAL },
	{ "0:8G,90%", -EINVAL },
	{ "4294967295:1G", -EINVAL },
	{ "4294967296:1G", -EINVAL },
	{ "1G+", -EINVAL },
	{ "1G+0", -EINVAL },
	{ "1G+1G+1G", -EINVAL },
	{ "1G+101%", -EINVAL },
	{ "0%+1G", -EINVAL },
	{ "1G +1G", -EINVAL },
	{ "discard+1G", -EINVAL },
	{ "16\xff", -EINVAL },
	{ "\xb2\xb3G", -EINVAL },
};

static void parameter(const void *arg)
{
	const struct parameter *p = arg;
	struct gmfs_request *reqs;
	u32 nr = 4711, i;
	char *copy;

	/* A heap copy of exact size: the address sanitizer sees reads behind its end. */
	copy = strdup(p->arg);
	reqs = malloc(MAX_REQUESTS * sizeof(*reqs));
	CHECK(copy && reqs);
	CHECK_EQ(gmfs_cmdline_parse(copy, reqs, MAX_REQUESTS, &nr), p->err);
	for (i = 0; !p->err && i < p->nr; i++) {
		CHECK_EQ(nr, p->nr);
		CHECK_EQ(reqs[i].node, p->reqs[i].node);
		CHECK_EQ(reqs[i].percent, p->reqs[i].percent);
		CHECK_EQ(reqs[i].bytes, p->reqs[i].bytes);
		CHECK_EQ(reqs[i].more_percent, p->reqs[i].more_percent);
		CHECK_EQ(reqs[i].more_bytes, p->reqs[i].more_bytes);
		CHECK_EQ(reqs[i].discard, p->reqs[i].discard);
	}
	free(copy);
	free(reqs);
}

void cmdline_tests(void)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(parameters); i++) {
		/* The name of a test must not have bytes that are not ASCII. */
		bool ascii = !strpbrk(parameters[i].arg, "\xff\xb2\xb3");

		test_add(parameter, &parameters[i], "parameter %u: '%s'", i,
			 ascii ? parameters[i].arg : "not ASCII");
	}
}
