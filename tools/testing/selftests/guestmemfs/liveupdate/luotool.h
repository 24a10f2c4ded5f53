/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_LUOTOOL_H
#define _GUESTMEMFS_LUOTOOL_H

#include <stdint.h>

/**
 * struct command - a command of luotool
 * @name: its name, the first word of a line
 * @nr_args: number of arguments; at least that many, if negative
 * @run: runs the command with the words of the line; returns 0, or -1 and errno
 */
struct command {
	const char *name;
	int nr_args;
	int (*run)(char **w);
};

extern const struct command file_commands[];
extern const struct command gmem_commands[];

extern unsigned int line_nr;

unsigned long parse(const char *text);
int fd_of(const char *name);
int named(const char *name, int fd);
int same(const char *what, long is, long wanted);

struct stopwatch {
	uint64_t ns;
	uint64_t ticks;
};

void watch_start(struct stopwatch *s);
void watch_stop(const struct stopwatch *s, const char *what, unsigned long nr);

#endif /* _GUESTMEMFS_LUOTOOL_H */
