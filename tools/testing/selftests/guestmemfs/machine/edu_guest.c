// SPDX-License-Identifier: GPL-2.0
/*
 * For a guest that has QEMU's device edu: edu_guest N copies N pages by DMA from the guest's
 * memory to the device and from there to another page, and compares them. edu_guest N FILE does so
 * with the memory of a file of a tmpfs that has 2 * N pages: it copies the first half, as it finds
 * it, to the second one. It runs as root, without a driver: without an IOMMU of the guest, the
 * addresses for the device are physical ones. The VM tests passthrough and passthrough-hop put it
 * into the initramfs of their guest, so it is linked statically.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE		4096UL
#define WORDS		((int)(PAGE / sizeof(uint64_t)))
#define DEVICES		"/sys/bus/pci/devices"

/* QEMU's docs/specs/edu.rst */
#define EDU_SRC		0x80
#define EDU_DST		0x88
#define EDU_COUNT	0x90
#define EDU_CMD		0x98
#define EDU_START	1UL
#define EDU_TO_RAM	2UL
#define EDU_BUFFER	0x40000UL
#define EDU_SIZE	0x100000UL
#define EDU_ADDRESSES	0x10000000UL

/* Opens a file of the device's directory in sysfs. */
static int open_of(const char *name, const char *file, int flags)
{
	char path[512];

	snprintf(path, sizeof(path), DEVICES "/%s/%s", name, file);
	return open(path, flags);
}

static bool has_id(const char *name, const char *file, const char *id)
{
	int fd = open_of(name, file, O_RDONLY);
	char text[8] = "";

	if (fd < 0)
		return false;
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = 0;
	close(fd);
	return !strncmp(text, id, 6);
}

static const char *find_edu(void)
{
	DIR *dir = opendir(DEVICES);
	struct dirent *d;

	while (dir && (d = readdir(dir)))
		if (has_id(d->d_name, "vendor", "0x1234") && has_id(d->d_name, "device", "0x11e8"))
			return d->d_name;
	errx(1, "no device edu");
}

static uint8_t *open_edu(void)
{
	const uint16_t command = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	const char *name = find_edu();
	void *regs;
	int fd;

	fd = open_of(name, "enable", O_WRONLY);
	if (write(fd, "1", 1) != 1)
		err(1, "enable");
	close(fd);
	fd = open_of(name, "config", O_WRONLY);
	if (pwrite(fd, &command, sizeof(command), PCI_COMMAND) != sizeof(command))
		err(1, "config");
	close(fd);
	fd = open_of(name, "resource0", O_RDWR);
	regs = mmap(NULL, EDU_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (regs == MAP_FAILED)
		err(1, "resource0");
	return regs;
}

/* Returns the physical address of a page, which stays where it is, as it is locked. */
static uint64_t phys_of(const void *p)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	uint64_t entry = 0;

	if (pread(fd, &entry, sizeof(entry), (uintptr_t)p / PAGE * sizeof(entry)) != sizeof(entry))
		err(1, "pagemap");
	close(fd);
	entry = (entry & ((1UL << 55) - 1)) * PAGE;
	if (!entry || entry >= EDU_ADDRESSES)
		errx(1, "the page is at %#lx, where the device cannot reach it", entry);
	return entry;
}

static void set(uint8_t *regs, unsigned int reg, uint64_t value)
{
	__atomic_store_n((uint64_t *)(regs + reg), value, __ATOMIC_SEQ_CST);
}

static bool is_busy(const uint8_t *regs)
{
	return __atomic_load_n((const uint64_t *)(regs + EDU_CMD), __ATOMIC_SEQ_CST) & EDU_START;
}

static void copy(uint8_t *regs, uint64_t ram, bool to_ram)
{
	int tries;

	set(regs, EDU_SRC, to_ram ? EDU_BUFFER : ram);
	set(regs, EDU_DST, to_ram ? ram : EDU_BUFFER);
	set(regs, EDU_COUNT, PAGE);
	set(regs, EDU_CMD, EDU_START | (to_ram ? EDU_TO_RAM : 0));
	for (tries = 0; is_busy(regs); tries++) {
		if (tries == 10000)
			errx(1, "the device does not finish");
		usleep(1000);
	}
}

static uint64_t *map(int n, const char *path)
{
	int flags = path ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, fd = -1;
	void *p;

	if (path) {
		fd = open(path, O_RDWR);
		if (fd < 0 || lseek(fd, 0, SEEK_END) != (off_t)(2 * n * PAGE))
			err(1, "%s", path);
	}
	p = mmap(NULL, 2 * n * PAGE, PROT_READ | PROT_WRITE, flags | MAP_POPULATE | MAP_LOCKED, fd,
		 0);
	if (p == MAP_FAILED)
		err(1, "mmap");
	return p;
}

int main(int argc, char **argv)
{
	int n = argc == 2 || argc == 3 ? atoi(argv[1]) : 0, i, word;
	uint64_t *from, *to;
	uint8_t *regs;

	if (n <= 0)
		errx(2, "usage: edu_guest N [FILE]");
	from = map(n, argv[2]);
	to = from + n * WORDS;
	regs = open_edu();
	for (i = 0; i < n; i++, from += WORDS, to += WORDS) {
		for (word = 0; !argv[2] && word < WORDS; word++)
			from[word] = (i * 1000003UL + word) * 0x9e3779b97f4a7c15;
		memset(to, 0, PAGE);
		copy(regs, phys_of(from), false);
		copy(regs, phys_of(to), true);
		if (memcmp(from, to, PAGE))
			errx(1, "page %d is not what the device got", i);
	}
	return 0;
}
