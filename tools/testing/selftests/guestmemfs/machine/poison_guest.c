// SPDX-License-Identifier: GPL-2.0-only
/*
 * Runs in the guest of the VM test poison-guest, without libraries: shows which frame of the guest
 * a page has, and touches the page when the host has reported an error there.
 *
 *   hold      a process of its own has a page from now on; prints "frame: ADDRESS"
 *   touch     it touches the page, which has to be answered by SIGBUS, and ends
 *   spot      prints the frame of a page that is free when the program has ended
 *   mem ADDR  touches physical memory that Linux does not use, with the same answer
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE	4096UL
#define GO	"/tmp/go"
#define TOLD	"/tmp/told"

static sigjmp_buf jump;
static siginfo_t told;

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	told = *info;
	siglongjmp(jump, 1);
}

/* Writes what came of it to TOLD. Returns whether it is SIGBUS with the address. */
static int touched(const char *p)
{
	struct sigaction action = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO };
	FILE *f;

	sigaction(SIGBUS, &action, NULL);
	if (!sigsetjmp(jump, 1)) {
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
		__atomic_load_n(p, __ATOMIC_RELAXED);
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
	}
	f = fopen(TOLD ".new", "w");
	if (!f)
		err(1, TOLD);
	fprintf(f, "told: signal %d code %d lsb %d, %s\n", told.si_signo, told.si_code,
		told.si_addr_lsb, told.si_addr == p ? "the address" : "another address");
	fclose(f);
	if (rename(TOLD ".new", TOLD))
		err(1, TOLD);
	return told.si_signo == SIGBUS && told.si_code == BUS_MCEERR_AR && told.si_addr == p;
}

static char *make_page(void)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t entry;

	if (p == MAP_FAILED || mlock(p, PAGE))
		err(1, "mmap");
	memset(p, 7, PAGE);
	if (pread(fd, &entry, 8, (uintptr_t)p / PAGE * 8) != 8)
		err(1, "pagemap");
	printf("frame: %#lx\n", (unsigned long)(entry & ((1UL << 55) - 1)) * PAGE);
	fflush(stdout);
	close(fd);
	return p;
}

/* The page is not copied by a fork: it is made after that. */
static int hold(void)
{
	int ready[2];
	char *p, c;

	unlink(GO);
	unlink(TOLD);
	if (pipe(ready))
		err(1, "pipe");
	if (fork()) {
		/* The frame is printed before the command ends. */
		close(ready[1]);
		return read(ready[0], &c, 1) != 1;
	}
	p = make_page();
	if (write(ready[1], "r", 1) != 1)
		err(1, "write");
	while (access(GO, F_OK))
		usleep(100000);
	_exit(!touched(p));
}

static int show_told(void)
{
	char line[128] = "";
	int n = 600;
	FILE *f;

	while (access(TOLD, F_OK) && n--)
		usleep(100000);
	f = fopen(TOLD, "r");
	if (!f || !fgets(line, sizeof(line), f))
		errx(1, "nothing came of it");
	fputs(line, stdout);
	return strcmp(line, "told: signal 7 code 4 lsb 12, the address\n") != 0;
}

static int touch(void)
{
	int fd = open(GO, O_CREAT | O_WRONLY, 0600);

	if (fd < 0)
		err(1, GO);
	return show_told();
}

static int touch_memory(unsigned long addr)
{
	int fd = open("/dev/mem", O_RDWR);
	char *p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, addr);

	if (p == MAP_FAILED)
		err(1, "/dev/mem");
	touched(p);
	printf("told: signal %d code %d\n", told.si_signo, told.si_code);
	return told.si_signo != SIGBUS;
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "hold"))
		return hold();
	if (argc == 2 && !strcmp(argv[1], "touch"))
		return touch();
	if (argc == 2 && !strcmp(argv[1], "spot"))
		return !make_page();
	if (argc == 3 && !strcmp(argv[1], "mem"))
		return touch_memory(strtoul(argv[2], NULL, 0));
	errx(2, "usage: poison_guest hold|touch|spot|mem ADDRESS");
}
