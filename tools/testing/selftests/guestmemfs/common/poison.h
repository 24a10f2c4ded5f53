/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_POISON_H
#define _GUESTMEMFS_POISON_H

#include <stdbool.h>
#include <stdint.h>

#include "util.h"

/**
 * struct poison_signal - the last SIGBUS of this process
 * @nr: number of them
 * @code: si_code, for instance BUS_MCEERR_AR
 * @addr: si_addr
 * @lsb: si_addr_lsb, log2 of the bytes that are lost
 */
struct poison_signal {
	int nr;
	int code;
	void *addr;
	int lsb;
};

extern struct poison_signal poison_signal;

/**
 * struct poison_before - what the errors of a pool were when a test began
 * @lost: bytes of blocks that are lost
 * @poisoned: bytes of poisoned frames
 */
struct poison_before {
	uint64_t lost;
	uint64_t poisoned;
};

/**
 * struct watcher - a process that has mapped a file
 * @pid: the process
 * @ready: it has mapped the file
 * @go: it may touch the page
 */
struct watcher {
	pid_t pid;
	int ready[2];
	int go[2];
};

int poison_begin(struct pool *p, struct poison_before *before);
const char *poison_end(struct pool *p, const struct poison_before *before);
void poison_catch(void);
bool poison_touch(const void *p);
bool is_bad(const char *p);
long poison_wait(const void *p, unsigned int seconds, int fd, const char *command);
int poison_frame(uint64_t phys);
bool frame_is_free(const struct pool *p, uint64_t phys);
bool is_listed(int node, uint64_t phys);
bool watch(struct watcher *w, int fd, uint64_t offset, size_t len, int policy, uint64_t bad);
int watched(const struct watcher *w);

#endif /* _GUESTMEMFS_POISON_H */
