/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_TEST_H
#define _GUESTMEMFS_TEST_H

#include <linux/string.h>
#include <linux/types.h>

typedef void (*test_fn)(const void *arg);

/* Adds a test. Each test runs in a process of its own, so that a crash fails only that test. */
void test_add(test_fn fn, const void *arg, const char *name, ...) __printf(3, 4);
void __noreturn test_fail(const char *file, int line, const char *fmt, ...) __printf(3, 4);

#define TEST(fn)	test_add(fn, NULL, "%s", #fn)

#define FAIL(fmt, ...)	test_fail(__FILE__, __LINE__, fmt, ##__VA_ARGS__)

#define CHECK(cond) \
	do { if (!(cond)) FAIL("not true: %s", #cond); } while (0)

#define CHECK_EQ(a, b)							\
	do {								\
		long long _a = (a), _b = (b);				\
									\
		if (_a != _b)						\
			FAIL("%s is %lld (%#llx), not %lld", #a, _a, _a, _b);	\
	} while (0)

#define CHECK_STR(a, b)							\
	do {								\
		const char *_a = (a), *_b = (b);			\
									\
		if (strcmp(_a, _b))					\
			FAIL("%s is \"%s\", not \"%s\"", #a, _a, _b);	\
	} while (0)

void absent_tests(void);
void alloc_tests(void);
void check_tests(void);
void check_states_tests(void);
void cmdline_tests(void);
void described_tests(void);
void early_tests(void);
void find_tests(void);
void format_tests(void);
void geometry_tests(void);
void golden_tests(void);
void golden_states_tests(void);
void groups_tests(void);
void handover_tests(void);
void ids_tests(void);
void limits_tests(void);
void map_tests(void);
void maple_tests(void);
void pins_tests(void);
void pins_random_tests(void);
void persist_tests(void);
void persist_random_tests(void);
void pins_reserve_tests(void);
void poison_tests(void);
void printed_tests(void);
void random_tests(void);
void replay_tests(void);
void reserve_tests(void);
void reserve_random_tests(void);
void resize_tests(void);
void resize_bad_tests(void);
void resize_files_tests(void);
void resize_random_tests(void);
void states_tests(void);
void states_blocks_tests(void);
void states_limits_tests(void);
void states_random_tests(void);
void move_tests(void);
void steps_tests(void);

/* Call @fn with each complaint that the tests of that file expect. */
void absent_complaints(void (*fn)(const char *what));
void check_complaints(void (*fn)(const char *what));
void check_states_complaints(void (*fn)(const char *what));
void format_complaints(void (*fn)(const char *what));
void handover_complaints(void (*fn)(const char *what));
void persist_complaints(void (*fn)(const char *what));
void poison_complaints(void (*fn)(const char *what));
void resize_complaints(void (*fn)(const char *what));

#endif /* _GUESTMEMFS_TEST_H */
