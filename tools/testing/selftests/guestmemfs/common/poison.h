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

void poison_catch(void);
bool poison_touch(const void *p);
uint64_t poison_phys(int fd, uint64_t offset);
int poison_frame(uint64_t phys);

#endif /* _GUESTMEMFS_POISON_H */
