// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory errors, injected by the kernel's own interface for that, and the signals that follow.
 */
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

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

/* Returns the physical address of a page of a file, UINT64_MAX if it has no memory. */
uint64_t poison_phys(int fd, uint64_t offset)
{
	struct {
		struct fiemap map;
		struct fiemap_extent extent;
	} f = {
		.map = { .fm_start = offset, .fm_length = PAGE, .fm_extent_count = 1 },
	};

	if (ioctl(fd, FS_IOC_FIEMAP, &f) || f.map.fm_mapped_extents != 1)
		return UINT64_MAX;
	return f.extent.fe_physical + (offset - f.extent.fe_logical);
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
