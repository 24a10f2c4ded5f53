// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kinds of guest memory that the benchmarks compare, and the results.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <linux/memfd.h>
#include <linux/mempolicy.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gmem.h"
#include "systems.h"
#include "util.h"

#define MAX_SAMPLES	512

/**
 * struct measured - one measurement
 * @what: what was measured
 * @n: bytes or threads
 * @value: the result
 */
struct measured {
	const char *what;
	size_t n;
	long value;
};

const char *pool_dir;
int system_vm = -1;
static struct measured samples[MAX_SAMPLES];
static int nr_samples;

static int sized(int fd, size_t size)
{
	if (fd < 0 || !ftruncate(fd, size))
		return fd;
	close(fd);
	return -1;
}

static int make_guestmemfs(const struct system *s, size_t size)
{
	(void)s;
	return sized(open(pool_dir, O_TMPFILE | O_RDWR, 0600), size);
}

static int make_memfd(const struct system *s, size_t size)
{
	return sized(memfd_create(s->name, s->flags), size);
}

static int make_guest_memfd(const struct system *s, size_t size)
{
	struct kvm_create_guest_memfd make = {
		.size	= size,
		.flags	= GUEST_MEMFD_FLAG_MMAP | GUEST_MEMFD_FLAG_INIT_SHARED,
	};

	(void)s;
	if (system_vm < 0)
		system_vm = ioctl(open("/dev/kvm", O_RDWR), KVM_CREATE_VM, 0);
	return system_vm < 0 ? -1 : ioctl(system_vm, KVM_CREATE_GUEST_MEMFD, &make);
}

const struct system systems[] = {
	{ "guestmemfs-1g", GIB, 0, make_guestmemfs, 0, NULL },
	{ "guestmemfs-2m", BLOCK, BLOCK, make_guestmemfs, 0, NULL },
	{ "hugetlbfs-1g", GIB, 0, make_memfd, MFD_HUGETLB | MFD_HUGE_1GB, NULL },
	{ "hugetlbfs-2m", BLOCK, BLOCK, make_memfd, MFD_HUGETLB | MFD_HUGE_2MB, NULL },
	{ "memfd-2m", BLOCK, BLOCK, make_memfd, 0, "force" },
	{ "memfd-4k", PAGE, 0, make_memfd, 0, "deny" },
	{ "guest_memfd", PAGE, 0, make_guest_memfd, 0, NULL },
};

const int nr_systems = sizeof(systems) / sizeof(*systems);

static void write_to(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		err(1, "%s", path);
	close(fd);
}

static void set_huge_pages(const struct system *s, size_t nr)
{
	char path[128], text[32];

	if (!(s->flags & MFD_HUGETLB))
		return;
	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%zukB/nr_hugepages",
		 s->entry / KIB);
	snprintf(text, sizeof(text), "%zu", nr);
	write_to(path, text);
}

void system_begin(const struct system *s)
{
	set_huge_pages(s, GIB / s->entry);
	if (s->shmem)
		write_to("/sys/kernel/mm/transparent_hugepage/shmem_enabled", s->shmem);
}

void system_end(const struct system *s)
{
	set_huge_pages(s, 0);
}

/*
 * Takes the memory of ordinary pages from the second node, if there is one. The first node has free
 * pages in ranges of all sizes, different after each boot, and the cost of a page that is freed
 * depends on its neighbours.
 */
static void use_second_node(const struct system *s)
{
	const unsigned long mask = 1UL << 1;

	if (s->make == make_guestmemfs || s->flags & MFD_HUGETLB ||
	    access("/sys/devices/system/node/node1", F_OK))
		return;
	if (syscall(SYS_set_mempolicy, MPOL_BIND, &mask, 8 * sizeof(mask)))
		err(1, "%s: set_mempolicy", s->name);
}

static void in_child(const struct system *s, void (*measure)(const struct system *s))
{
	pid_t child = fork();
	int status;

	if (!child) {
		use_second_node(s);
		measure(s);
		_exit(0);
	}
	if (child < 0 || waitpid(child, &status, 0) != child || status)
		errx(1, "%s was not measured", s->name);
}

void systems_measure(void (*measure)(const struct system *s))
{
	int i;

	for (i = 0; i < nr_systems; i++) {
		system_begin(&systems[i]);
		in_child(&systems[i], measure);
		system_end(&systems[i]);
	}
}

int system_file(const struct system *s, size_t size)
{
	int fd = s->make(s, size);

	if (fd < 0)
		err(1, "%s: a file of %zu bytes", s->name, size);
	return fd;
}

int system_gmem(const struct system *s, int fd)
{
	const uint32_t flags = GUESTMEMFS_GMEM_INIT_SHARED | GUESTMEMFS_GMEM_MMAP;

	if (s->make == make_guest_memfd)
		return fd;
	if (s->make != make_guestmemfs)
		return -1;
	fd = gmem_create(fd, system_vm, flags);
	if (fd < 0)
		err(1, "%s: a descriptor", s->name);
	return fd;
}

char *system_map(const struct system *s, char *base, int fd, size_t offset, size_t size)
{
	char *p = map_reserved_at(base + s->shift, fd, offset, size);

	if (p == MAP_FAILED)
		err(1, "%s: mmap", s->name);
	return p;
}

bool wait_until_clean(const struct system *s)
{
	const struct pool pool = { .node = 0 };
	uint64_t left;

	if (s->make != make_guestmemfs)
		return true;
	/* There is no thread otherwise, so that none takes part in what is measured. */
	write_to("/sys/fs/guestmemfs/node0/zero_threads", "1");
	while ((left = pool_sysfs(&pool, "unzeroed")) && left != UINT64_MAX)
		usleep(10000);
	write_to("/sys/fs/guestmemfs/node0/zero_threads", "0");
	return !left;
}

void sample(const char *what, size_t n, long value)
{
	if (nr_samples == MAX_SAMPLES)
		errx(1, "too many samples");
	samples[nr_samples++] = (struct measured){ what, n, value };
}

static int compare(const void *a, const void *b)
{
	const struct measured *x = a, *y = b;

	if (strcmp(x->what, y->what))
		return strcmp(x->what, y->what);
	if (x->n != y->n)
		return x->n < y->n ? -1 : 1;
	return x->value < y->value ? -1 : x->value > y->value;
}

void samples_print(const struct system *s)
{
	const struct measured *m;
	int from, end;

	qsort(samples, nr_samples, sizeof(*samples), compare);
	for (from = 0; from < nr_samples; from = end) {
		for (end = from; end < nr_samples; end++)
			if (strcmp(samples[end].what, samples[from].what) ||
			    samples[end].n != samples[from].n)
				break;
		m = &samples[(from + end) / 2];
		printf("%s %s %zu %ld\n", s->name, m->what, m->n, m->value);
	}
	fflush(stdout);
	nr_samples = 0;
}
