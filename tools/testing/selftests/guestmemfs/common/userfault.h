/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_USERFAULT_H
#define _GUESTMEMFS_USERFAULT_H

#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * struct uffd - a userfaultfd of this process, with a thread that resolves faults
 * @fd: the descriptor, -1 if this kernel has none
 * @ioctls: what the last registration allows, a bit for each ioctl
 * @base: start of the memory whose faults the thread resolves
 * @source: what it copies there, at the same distance from @base; NULL for UFFDIO_CONTINUE
 * @step: bytes that it resolves for a fault, around the address
 * @events: faults that it has read
 * @errors: ioctls that have failed, but for EEXIST
 * @stop: written to end the thread
 */
struct uffd {
	int fd;
	uint64_t ioctls;
	char *base;
	const char *source;
	size_t step;
	unsigned long events;
	unsigned long errors;
	int stop[2];
	pthread_t thread;
};

bool uffd_open(struct uffd *u, uint64_t features);
void uffd_close(struct uffd *u);
/* These return an errno, 0 on success. */
int uffd_register(struct uffd *u, void *p, size_t len, uint64_t mode);
int uffd_unregister(struct uffd *u, void *p, size_t len);
int uffd_wake(struct uffd *u, void *p, size_t len);
/* Likewise, and store in @done, if it is not NULL, how many bytes were resolved. */
int uffd_copy(struct uffd *u, void *p, const void *src, size_t len, int64_t *done);
int uffd_zero(struct uffd *u, void *p, size_t len, int64_t *done);
int uffd_continue(struct uffd *u, void *p, size_t len, int64_t *done);
int uffd_poison(struct uffd *u, void *p, size_t len, int64_t *done);
/* Resolve faults in a thread, from @base on. */
bool uffd_serve(struct uffd *u, void *base, const void *source, size_t step);
void uffd_stop(struct uffd *u);
unsigned long uffd_events(const struct uffd *u);
unsigned long uffd_errors(const struct uffd *u);
/* Waits until a fault is pending, and returns its address; NULL if none comes in time. */
char *uffd_fault(struct uffd *u);
/* Likewise, without waiting. */
char *uffd_pending(struct uffd *u);

#endif /* _GUESTMEMFS_USERFAULT_H */
