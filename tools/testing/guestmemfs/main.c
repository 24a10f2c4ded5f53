// SPDX-License-Identifier: GPL-2.0-only
/*
 * Runs the tests and prints TAP. With an argument it runs only the tests whose name contains it, in
 * this process, for use with a debugger.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

/* Limit of processor time, so that a test does not fail because the machine is busy. */
#ifndef TEST_SECONDS
#define TEST_SECONDS	300
#endif
/* Limit of elapsed time, for a test that waits for ever and uses no processor time. */
#ifndef TEST_WAIT_SECONDS
#define TEST_WAIT_SECONDS	3600
#endif

struct test {
	test_fn fn;
	const void *arg;
	char *name;
};

static struct test *tests;
static unsigned int nr_tests;

void test_add(test_fn fn, const void *arg, const char *name, ...)
{
	struct test *test;
	va_list args;

	tests = realloc(tests, (nr_tests + 1) * sizeof(*tests));
	if (!tests)
		abort();
	test = &tests[nr_tests++];
	test->fn = fn;
	test->arg = arg;
	va_start(args, name);
	if (vasprintf(&test->name, name, args) < 0)
		abort();
	va_end(args);
}

void test_fail(const char *file, int line, const char *fmt, ...)
{
	va_list args;

	printf("# %s:%d: ", file, line);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
	/* _exit() skips the leak check: a test that fails does not free its memory. */
	_exit(1);
}

/* SIGXCPU or SIGALRM ends the process when it takes too long. */
static void test_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_CPU, &limit))
		limit.rlim_max = RLIM_INFINITY;
	limit.rlim_cur = limit.rlim_max < TEST_SECONDS ? limit.rlim_max : TEST_SECONDS;
	if (setrlimit(RLIMIT_CPU, &limit)) {
		perror("setrlimit");
		exit(2);
	}
	alarm(TEST_WAIT_SECONDS);
}

/* Runs a test in a process of its own. Returns the status of that process, 0 if it passed. */
static int test_run(const struct test *test)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0) {
		perror("fork");
		exit(2);
	}
	if (!pid) {
		test_limit();
		test->fn(test->arg);
		exit(0);
	}
	if (waitpid(pid, &status, 0) != pid) {
		perror("waitpid");
		exit(2);
	}
	return status;
}

static int test_run_all(void)
{
	unsigned int i;
	int failed = 0;

	printf("TAP version 13\n1..%u\n", nr_tests);
	for (i = 0; i < nr_tests; i++) {
		int status = test_run(&tests[i]);

		if (status && WIFSIGNALED(status))
			printf("# ended by signal %d\n", WTERMSIG(status));
		else if (status)
			printf("# ended with status %d\n", WEXITSTATUS(status));
		printf("%sok %u - %s\n", status ? "not " : "", i + 1, tests[i].name);
		failed |= !!status;
	}
	return failed;
}

static int test_run_some(const char *part)
{
	unsigned int i, found = 0;

	for (i = 0; i < nr_tests; i++) {
		if (!strstr(tests[i].name, part))
			continue;
		fprintf(stderr, "%s\n", tests[i].name);
		tests[i].fn(tests[i].arg);
		found++;
	}
	if (!found)
		fprintf(stderr, "no test has '%s' in its name\n", part);
	return !found;
}

int main(int argc, char **argv)
{
	int failed;

	geometry_tests();
	absent_tests();
	alloc_tests();
	find_tests();
	ids_tests();
	groups_tests();
	map_tests();
	maple_tests();
	random_tests();
	states_tests();
	states_blocks_tests();
	states_limits_tests();
	steps_tests();
	states_random_tests();
	move_tests();
	format_tests();
	check_tests();
	check_states_tests();
	cmdline_tests();
	limits_tests();
	reserve_tests();
	reserve_random_tests();
	pins_tests();
	pins_reserve_tests();
	persist_tests();
	poison_tests();
	persist_random_tests();
	pins_random_tests();
	resize_tests();
	resize_bad_tests();
	resize_files_tests();
	resize_random_tests();
	handover_tests();
	golden_tests();
	golden_states_tests();
	printed_tests();
	described_tests();
	early_tests();
	replay_tests();
	failed = argc > 1 ? test_run_some(argv[1]) : test_run_all();
	while (nr_tests)
		free(tests[--nr_tests].name);
	free(tests);
	return failed;
}
