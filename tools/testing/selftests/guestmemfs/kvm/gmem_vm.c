// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tool of the VM tests for guests that count in files, which it saves and resumes. It also
 * converts files and prints their states.
 */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "counter.h"
#include "gmem.h"
#include "size.h"

static unsigned long parse(const char *text)
{
	unsigned long n;

	if (!parse_size(text, &n))
		errx(2, "%s: not a number", text);
	return n;
}

static int open_file(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);

	if (fd < 0)
		err(1, "%s", path);
	return fd;
}

/* Binds the file: private at first for a protected virtual machine, shared for an ordinary one. */
static void bind_file(struct counter *c, const char *path)
{
	uint32_t flags = c->type == KVM_X86_SW_PROTECTED_VM ? 0 : GUESTMEMFS_GMEM_INIT_SHARED;
	int fd = open_file(path, O_RDWR), gmem;
	struct stat st;

	if (fstat(fd, &st))
		err(1, "%s", path);
	gmem = gmem_create(fd, c->vmm.vm, flags);
	if (gmem < 0)
		err(1, "%s: a descriptor for a virtual machine", path);
	if (counter_bind(c, gmem, st.st_size))
		err(1, "%s: a memory slot", path);
	/* The slot keeps the file open. */
	close(gmem);
	close(fd);
}

/* save protected|ordinary FILE STATE ROUNDS */
static int save(char **argv)
{
	struct counter c;

	counter_make(&c, counter_type(argv[2]));
	bind_file(&c, argv[3]);
	counter_begin(&c);
	counter_run(&c, parse(argv[5]));
	counter_save(&c, argv[4]);
	return 0;
}

/* resume FILE STATE ROUNDS: runs the guest for ROUNDS more, and saves it again. */
static int resume(char **argv)
{
	struct counter c;

	counter_make(&c, counter_saved_type(argv[3]));
	bind_file(&c, argv[2]);
	counter_resume(&c, argv[3]);
	counter_run(&c, counter_rounds(&c) + parse(argv[4]));
	counter_save(&c, argv[3]);
	return 0;
}

/* convert FILE private|shared OFFSET LENGTH */
static int convert(char **argv)
{
	int fd = open_file(argv[2], O_RDWR), gmem;
	struct vmm v;

	if (strcmp(argv[3], "private") && strcmp(argv[3], "shared"))
		errx(2, "%s: neither private nor shared", argv[3]);
	if (vmm_make(&v, KVM_X86_DEFAULT_VM))
		err(1, "a virtual machine");
	/* The file was made with one of the two initial states. */
	gmem = gmem_create(fd, v.vm, GUESTMEMFS_GMEM_INIT_SHARED);
	if (gmem < 0 && errno == EEXIST)
		gmem = gmem_create(fd, v.vm, 0);
	if (gmem < 0)
		err(1, "%s: a descriptor for a virtual machine", argv[2]);
	if (gmem_convert(gmem, parse(argv[4]), parse(argv[5]),
			 strcmp(argv[3], "private") ? GMEM_SHARED : GMEM_PRIVATE))
		err(1, "%s: conversion", argv[2]);
	return 0;
}

static void print_state(uint64_t offset, uint64_t end, const struct guestmemfs_get_state *s)
{
	printf("%lu %lu %s %s%s order %u\n", offset, end - offset,
	       s->state & GUESTMEMFS_STATE_PRIVATE ? "private" : "shared",
	       s->state & GUESTMEMFS_STATE_ALLOCATED ? "allocated" : "hole",
	       s->state & GUESTMEMFS_STATE_PINNED ? " held" : "", s->order);
}

/*
 * state FILE: prints the states of the file, one line for each range with the same state and size
 * of entries.
 */
static int state(char **argv)
{
	struct guestmemfs_get_state s, last = {};
	uint64_t offset = 0, first = 0, size;
	int fd = open_file(argv[2], O_RDONLY);
	struct stat st;

	if (fstat(fd, &st))
		err(1, "%s", argv[2]);
	for (size = st.st_size; offset < size; last = s) {
		/* The size of entries can change at each 2 MiB. */
		uint64_t next = (offset / BLOCK + 1) * BLOCK;

		if (gmem_get_state(fd, offset, &s))
			err(1, "%s: what offset %lu is", argv[2], offset);
		if (offset && (s.state != last.state || s.order != last.order)) {
			print_state(first, offset, &last);
			first = offset;
		}
		offset = next < offset + s.length ? next : offset + s.length;
	}
	if (offset)
		print_state(first, offset, &last);
	return 0;
}

static const struct {
	const char *name;
	int nr_args;
	int (*run)(char **argv);
} commands[] = {
	{ "save",	4, save },
	{ "resume",	3, resume },
	{ "convert",	4, convert },
	{ "state",	1, state },
	{}
};

int main(int argc, char **argv)
{
	for (int i = 0; argc > 1 && commands[i].name; i++)
		if (!strcmp(argv[1], commands[i].name) && argc == commands[i].nr_args + 2)
			return commands[i].run(argv);
	errx(2, "unknown command, or not the arguments that it takes");
}
