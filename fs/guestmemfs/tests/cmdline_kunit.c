// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guestmemfs= parameter.
 */
#include <kunit/test.h>
#include <linux/sizes.h>

#include "../tables/tables.h"

struct gmfs_cmdline_case {
	const char *arg;
	int err;
	u32 nr;
	struct gmfs_request last;
};

static const struct gmfs_cmdline_case gmfs_cmdline_cases[] = {
	{ "16G", 0, 1, { GMFS_ALL_NODES, 0, 16ULL * SZ_1G } },
	{ "90%", 0, 1, { GMFS_ALL_NODES, 90, 0 } },
	{ "512m", 0, 1, { GMFS_ALL_NODES, 0, SZ_512M } },
	{ "0:8G,1:4G", 0, 2, { 1, 0, 4ULL * SZ_1G } },
	{ "0:8G,1:75%", 0, 2, { 1, 75, 0 } },
	{ "18446744073709551615", 0, 1, { GMFS_ALL_NODES, 0, U64_MAX } },
	{ "1G,0:discard", 0, 2, { 0, 0, 0, true } },
	{ "", -EINVAL },
	{ "discard,0:discard", -EINVAL },
	{ "nonsense", -EINVAL },
	{ "0", -EINVAL },
	{ "0%", -EINVAL },
	{ "101%", -EINVAL },
	{ "-1G", -EINVAL },
	{ "16GB", -EINVAL },
	{ "16G,", -EINVAL },
	{ "0:8G,0:4G", -EINVAL },
	{ "16G,1:8G", -EINVAL },
	{ "0:8G,", -EINVAL },
	{ "18446744073709551616", -EINVAL },
	{ "17179869184G", -EINVAL },
	{ "4294967295:1G", -EINVAL },
	{ "0:1G,1:1G,2:1G", -E2BIG },
};

static void gmfs_cmdline_describe(struct kunit *test, const void *param, char *desc)
{
	const struct gmfs_cmdline_case *c = param;

	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "'%s'", c->arg);
}

/* KUnit prints a KTAP plan only for parameters that are registered as an array. */
static int gmfs_cmdline_init_params(struct kunit *test)
{
	kunit_register_params_array(test, gmfs_cmdline_cases, ARRAY_SIZE(gmfs_cmdline_cases),
				    gmfs_cmdline_describe);
	return 0;
}

static void parse_parameter(struct kunit *test)
{
	const struct gmfs_cmdline_case *param = test->param_value;
	struct gmfs_request reqs[2];
	u32 nr;

	KUNIT_ASSERT_EQ(test, gmfs_cmdline_parse(param->arg, reqs, ARRAY_SIZE(reqs), &nr),
			param->err);
	if (param->err)
		return;
	KUNIT_ASSERT_EQ(test, nr, param->nr);
	KUNIT_EXPECT_EQ(test, reqs[nr - 1].node, param->last.node);
	KUNIT_EXPECT_EQ(test, reqs[nr - 1].percent, param->last.percent);
	KUNIT_EXPECT_EQ(test, reqs[nr - 1].bytes, param->last.bytes);
}

static struct kunit_case gmfs_cmdline_tests[] = {
	KUNIT_CASE_PARAM_WITH_INIT(parse_parameter, kunit_array_gen_params,
				   gmfs_cmdline_init_params, NULL),
	{}
};

static struct kunit_suite gmfs_cmdline_suite = {
	.name		= "guestmemfs_cmdline",
	.test_cases	= gmfs_cmdline_tests,
};

kunit_test_suite(gmfs_cmdline_suite);
