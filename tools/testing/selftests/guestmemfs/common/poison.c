// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory errors, injected by the kernel's own interface for that, and the signals that follow.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cost.h"
#include "poison.h"

struct poison_signal poison_signal;
/* Of this thread. */
static __thread sigjmp_buf poison_jump;
static __thread bool poison_touching;

static void poison_handler(int sig, siginfo_t *info, void *context)
{
	poison_signal.nr++;
	poison_signal.code = info->si_code;
	poison_signal.addr = info->si_addr;
	poison_signal.lsb = info->si_addr_lsb;
	if (poison_touching)
		siglongjmp(poison_jump, sig);
	if (info->si_code == BUS_MCEERR_AO)
		return;
	/* Not expected: the repeated access ends the process. */
	signal(SIGBUS, SIG_DFL);
}

/*
 * Sets up the first pool, catches signals, and notes what errors there are. Returns 1, 0 if this
 * machine has no pool, or -1.
 */
int poison_begin(struct pool *p, struct poison_before *before)
{
	int nodes[MAX_POOLS];

	if (!pool_nodes(nodes))
		return 0;
	if (!pool_setup(p, nodes[0]))
		return -1;
	before->lost = pool_sysfs(p, "lost");
	before->poisoned = pool_sysfs(p, "poisoned");
	poison_catch();
	return 1;
}

/*
 * As pool_teardown(), but blocks that the test has lost are not missing. The test's files are named
 * "ram" or "other".
 */
const char *poison_end(struct pool *p, const struct poison_before *before)
{
	if (!*p->dir)
		return NULL;
	unlink(pool_path(p, "ram"));
	unlink(pool_path(p, "other"));
	p->free_blocks -= (pool_sysfs(p, "lost") - before->lost) / BLOCK;
	return pool_teardown(p);
}

/* Notes each SIGBUS of this process from now on. */
void poison_catch(void)
{
	struct sigaction action = {
		.sa_sigaction = poison_handler,
		.sa_flags = SA_SIGINFO | SA_NODEFER | SA_RESTART,
	};

	sigaction(SIGBUS, &action, NULL);
}

/* Reads a byte. Returns whether that has been answered by SIGBUS. */
bool poison_touch(const void *p)
{
	int sig = sigsetjmp(poison_jump, 0);

	if (!sig) {
		poison_touching = true;
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
		__atomic_load_n((const unsigned char *)p, __ATOMIC_RELAXED);
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
	}
	poison_touching = false;
	return sig;
}

/* Does the page answer by SIGBUS, with the address and the size of what is lost? */
bool is_bad(const char *p)
{
	int nr = poison_signal.nr;

	return poison_touch(p) && poison_signal.nr == nr + 1 &&
	       poison_signal.code == BUS_MCEERR_AR && poison_signal.addr == p &&
	       poison_signal.lsb == 12;
}

/*
 * Writes @command to @fd, and reads a byte again and again, until that is answered by SIGBUS. The
 * signal may also come before the first read. Returns the nanoseconds from the last time that it
 * has read the byte, or -1 if there was no signal in that many seconds.
 */
long poison_wait(const void *p, unsigned int seconds, int fd, const char *command)
{
	/* Changed after sigsetjmp(). */
	static long last;
	const long end = now() + seconds * 1000000000L;

	if (sigsetjmp(poison_jump, 0)) {
		poison_touching = false;
		return now() - last;
	}
	poison_touching = true;
	__atomic_store_n(&last, now(), __ATOMIC_RELAXED);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	/* The error may come before this returns. */
	if (write(fd, command, strlen(command)) < 0) {
		poison_touching = false;
		return -1;
	}
	do {
		__atomic_store_n(&last, now(), __ATOMIC_RELAXED);
		/* The handler reads what was stored. */
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
		__atomic_load_n((const unsigned char *)p, __ATOMIC_RELAXED);
	} while (last < end);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	poison_touching = false;
	return -1;
}

/* Reports a memory error in a frame to the kernel. Returns an errno. */
int poison_frame(uint64_t phys)
{
	int fd = open("/sys/devices/system/memory/hard_offline_page", O_WRONLY), err;
	char text[32];

	if (fd < 0)
		return errno;
	snprintf(text, sizeof(text), "%#lx", (unsigned long)phys);
	err = ERR(write(fd, text, strlen(text)));
	close(fd);
	return err;
}

/* Returns whether a file of all the free memory has got the frame. */
bool frame_is_free(const struct pool *p, uint64_t phys)
{
	int fd = file_make(p, "other", 0);
	struct statfs st;
	uint64_t at, len;
	bool got = false;

	if (fstatfs(fd, &st))
		return true;
	len = st.f_bavail * BLOCK;
	if (ftruncate(fd, len) || fallocate(fd, 0, 0, len))
		return true;
	for (at = 0; at < len; at += BLOCK)
		got |= phys / BLOCK == file_phys(fd, at) / BLOCK;
	close(fd);
	unlink(pool_path(p, "other"));
	return got;
}

/* Has the pool of the node this frame in its list of errors? */
bool is_listed(int node, uint64_t phys)
{
	unsigned long one;
	bool found = false;
	char path[64];
	FILE *in;

	snprintf(path, sizeof(path), "/sys/fs/guestmemfs/node%d/poisoned_frames", node);
	in = fopen(path, "r");
	while (in && fscanf(in, "%lx", &one) == 1)
		found |= one == phys / PAGE * PAGE;
	if (in)
		fclose(in);
	return found;
}

/* Waits for a byte of the other process. */
static bool wait_byte(int fd)
{
	char c;

	return read(fd, &c, 1) == 1;
}

/*
 * Starts a process that maps a part of the file. It ends with the number of signals of the kind
 * action optional that it gets, plus 100 if the page at @bad is answered by action required.
 */
bool watch(struct watcher *w, int fd, uint64_t offset, size_t len, int policy, uint64_t bad)
{
	char *p;
	int nr;

	if (pipe(w->ready) || pipe(w->go))
		return false;
	w->pid = fork();
	if (w->pid) {
		/* If the process ends, there is nothing to wait for. */
		close(w->ready[1]);
		return w->pid > 0 && wait_byte(w->ready[0]);
	}
	poison_signal.nr = 0;
	poison_catch();
	p = map_file(fd, offset, len);
	if (p == MAP_FAILED || madvise(p, len, MADV_POPULATE_READ) ||
	    prctl(PR_MCE_KILL, PR_MCE_KILL_SET, policy, 0, 0))
		_exit(255);
	if (write(w->ready[1], "r", 1) != 1 || !wait_byte(w->go[0]))
		_exit(254);
	nr = poison_signal.nr;
	if (nr && (poison_signal.code != BUS_MCEERR_AO || poison_signal.lsb != 12 ||
		   poison_signal.addr != p + (bad - offset)))
		_exit(253);
	if (bad >= offset && bad < offset + len && is_bad(p + (bad - offset)))
		nr += 100;
	_exit(nr);
}

/* Lets the process go on. Returns its result. */
int watched(const struct watcher *w)
{
	int status;

	if (write(w->go[1], "g", 1) != 1 || waitpid(w->pid, &status, 0) != w->pid)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}
