// SPDX-License-Identifier: GPL-2.0-only
/*
 * A userfaultfd, and a thread that resolves faults with it.
 */
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "userfault.h"
#include "util.h"

#define FAULT_MS	20000

bool uffd_open(struct uffd *u, uint64_t features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };

	memset(u, 0, sizeof(*u));
	u->stop[0] = -1;
	u->fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	return u->fd >= 0 && !ioctl(u->fd, UFFDIO_API, &api);
}

void uffd_close(struct uffd *u)
{
	if (u->stop[0] >= 0)
		uffd_stop(u);
	close(u->fd);
	u->fd = -1;
}

int uffd_register(struct uffd *u, void *p, size_t len, uint64_t mode)
{
	struct uffdio_register arg = { .range = { (uintptr_t)p, len }, .mode = mode };
	int err = ERR(ioctl(u->fd, UFFDIO_REGISTER, &arg));

	u->ioctls = arg.ioctls;
	return err;
}

int uffd_unregister(struct uffd *u, void *p, size_t len)
{
	struct uffdio_range arg = { (uintptr_t)p, len };

	return ERR(ioctl(u->fd, UFFDIO_UNREGISTER, &arg));
}

int uffd_wake(struct uffd *u, void *p, size_t len)
{
	struct uffdio_range arg = { (uintptr_t)p, len };

	return ERR(ioctl(u->fd, UFFDIO_WAKE, &arg));
}

int uffd_copy(struct uffd *u, void *p, const void *src, size_t len, int64_t *done)
{
	struct uffdio_copy arg = { .dst = (uintptr_t)p, .src = (uintptr_t)src, .len = len };
	int err = ERR(ioctl(u->fd, UFFDIO_COPY, &arg));

	if (done)
		*done = arg.copy;
	return err;
}

int uffd_zero(struct uffd *u, void *p, size_t len, int64_t *done)
{
	struct uffdio_zeropage arg = { .range = { (uintptr_t)p, len } };
	int err = ERR(ioctl(u->fd, UFFDIO_ZEROPAGE, &arg));

	if (done)
		*done = arg.zeropage;
	return err;
}

int uffd_continue(struct uffd *u, void *p, size_t len, int64_t *done)
{
	struct uffdio_continue arg = { .range = { (uintptr_t)p, len } };
	int err = ERR(ioctl(u->fd, UFFDIO_CONTINUE, &arg));

	if (done)
		*done = arg.mapped;
	return err;
}

int uffd_poison(struct uffd *u, void *p, size_t len, int64_t *done)
{
	struct uffdio_poison arg = { .range = { (uintptr_t)p, len } };
	int err = ERR(ioctl(u->fd, UFFDIO_POISON, &arg));

	if (done)
		*done = arg.updated;
	return err;
}

static char *fault_within(struct uffd *u, int ms)
{
	struct pollfd fds[] = { { u->fd, POLLIN }, { u->stop[0], POLLIN } };
	struct uffd_msg msg;

	while (poll(fds, 2, ms) > 0 && !fds[1].revents) {
		if (read(u->fd, &msg, sizeof(msg)) != sizeof(msg))
			continue;
		if (msg.event != UFFD_EVENT_PAGEFAULT)
			break;
		return (char *)(uintptr_t)msg.arg.pagefault.address;
	}
	return NULL;
}

char *uffd_fault(struct uffd *u)
{
	return fault_within(u, FAULT_MS);
}

char *uffd_pending(struct uffd *u)
{
	return fault_within(u, 0);
}

static void *serve(void *arg)
{
	struct uffd *u = arg;
	char *p;
	int err;

	while ((p = fault_within(u, -1))) {
		__atomic_add_fetch(&u->events, 1, __ATOMIC_RELAXED);
		p = u->base + (p - u->base) / u->step * u->step;
		err = u->source ? uffd_copy(u, p, u->source + (p - u->base), u->step, NULL) :
		      uffd_continue(u, p, u->step, NULL);
		/* Another fault, or another mapping, may have been faster. */
		if (err == EEXIST)
			err = uffd_wake(u, p, u->step);
		if (err)
			__atomic_add_fetch(&u->errors, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

bool uffd_serve(struct uffd *u, void *base, const void *source, size_t step)
{
	u->base = base;
	u->source = source;
	u->step = step;
	u->events = 0;
	u->errors = 0;
	if (pipe(u->stop))
		return false;
	return !pthread_create(&u->thread, NULL, serve, u);
}

unsigned long uffd_events(const struct uffd *u)
{
	return __atomic_load_n(&u->events, __ATOMIC_RELAXED);
}

unsigned long uffd_errors(const struct uffd *u)
{
	return __atomic_load_n(&u->errors, __ATOMIC_RELAXED);
}

void uffd_stop(struct uffd *u)
{
	if (write(u->stop[1], "", 1) != 1)
		u->errors++;
	pthread_join(u->thread, NULL);
	close(u->stop[0]);
	close(u->stop[1]);
	u->stop[0] = -1;
}
