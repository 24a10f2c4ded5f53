// SPDX-License-Identifier: GPL-2.0-only
/*
 * Only the processes that map guest memory can reach it: root cannot, and the kernel cannot on
 * behalf of another process.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <linux/elf.h>
#include <linux/io_uring.h>

#include "harness.h"
#include "util.h"

#define MAX_RANGES	256
/* Pools consist of whole memory sections, so that their part of the memory map can be left out. */
#define SECTION		(128 * MIB)

struct phys_range {
	uint64_t start;
	uint64_t end;
	char name[64];
	int depth;
};

FIXTURE(secrecy)
{
	int nr;
	struct pool p;
	int nr_ranges;
	struct phys_range ranges[MAX_RANGES];
	int nr_iomem;
	struct phys_range iomem[MAX_RANGES];
};

static int read_iomem(struct phys_range *ranges)
{
	FILE *iomem = fopen("/proc/iomem", "r");
	char line[256];
	int nr = 0;

	while (iomem && nr < MAX_RANGES && fgets(line, sizeof(line), iomem)) {
		struct phys_range *r = &ranges[nr];

		if (sscanf(line, " %lx-%lx : %63[^\n]", &r->start, &r->end, r->name) != 3)
			continue;
		r->end++;
		r->depth = strspn(line, " ");
		nr++;
	}
	if (iomem)
		fclose(iomem);
	return nr;
}

static bool overlap(const struct phys_range *r, uint64_t start, uint64_t end)
{
	return r->start < end && start < r->end;
}

/* Only the memory of files is checked: a pool's metadata is in ordinary memory. */
FIXTURE_SETUP(secrecy)
{
	int nodes[MAX_POOLS], i;

	self->nr = pool_nodes(nodes);
	if (!self->nr)
		SKIP(return, "no pool on this machine");
	ASSERT_TRUE(pool_setup(&self->p, nodes[0]));
	self->nr_iomem = read_iomem(self->iomem);
	for (i = 0; i < self->nr_iomem; i++) {
		const struct phys_range *r = &self->iomem[i];

		if (!strcmp(r->name, "guestmemfs") && r->end - r->start >= SECTION)
			self->ranges[self->nr_ranges++] = *r;
	}
	ASSERT_GT(self->nr_ranges, 0);
	catch_faults();
}

FIXTURE_TEARDOWN_PARENT(secrecy)
{
	if (self->nr)
		EXPECT_STREQ("", pool_teardown(&self->p) ?: "");
}

/* Makes the marker at run time, so that it is in memory only where it was written to. */
static void make_marker(char *marker, size_t len, unsigned char key)
{
	size_t i;

	for (i = 0; i < len; i++)
		marker[i] = (i * 37 + 11) ^ key;
}

static bool holds(const char *buf, size_t len, unsigned char key)
{
	char marker[32];
	bool found;

	make_marker(marker, sizeof(marker), key);
	found = memmem(buf, len, marker, sizeof(marker));
	/* The marker must not be on the stack when the core is dumped. */
	memset(marker, 0, sizeof(marker));
	return found;
}

#define GUEST_KEY	0x9d
#define HOST_KEY	0x4b

/* Maps a file of guest memory, with the marker at the start of each page. */
static char *guest_memory(const struct pool *p, size_t len)
{
	int fd = file_make(p, "guest", len);
	char *m = map_file(fd, 0, len);
	size_t i;

	if (m == MAP_FAILED)
		return NULL;
	for (i = 0; i < len; i += PAGE)
		make_marker(m + i, 32, GUEST_KEY);
	close(fd);
	return m;
}

/* The same calls succeed with ordinary memory, which shows that their arguments are right. */
TEST_F(secrecy, other_processes)
{
	char *guest = guest_memory(&self->p, BLOCK), host[32] = "host", buf[32] = "";
	struct iovec to = { buf, sizeof(buf) }, from = { host, sizeof(host) };
	int mem = open("/proc/self/mem", O_RDWR);

	ASSERT_NE(NULL, guest);
	ASSERT_GE(mem, 0);
	EXPECT_EQ(32, process_vm_readv(getpid(), &to, 1, &from, 1, 0));
	EXPECT_EQ(32, pread(mem, buf, 32, (uintptr_t)host));
	memset(buf, 0, sizeof(buf));
	from.iov_base = guest;
	EXPECT_EQ(EFAULT, ERR(process_vm_readv(getpid(), &to, 1, &from, 1, 0)));
	EXPECT_EQ(EFAULT, ERR(process_vm_writev(getpid(), &to, 1, &from, 1, 0)));
	EXPECT_EQ(EIO, ERR(pread(mem, buf, 32, (uintptr_t)guest)));
	EXPECT_EQ(EIO, ERR(pwrite(mem, buf, 32, (uintptr_t)guest)));
	EXPECT_TRUE(is_zero(buf, sizeof(buf)));
	EXPECT_TRUE(holds(guest, PAGE, GUEST_KEY));
}

TEST_F(secrecy, ptrace)
{
	static long host_word = 4711;
	long *guest;
	int status;
	pid_t pid;

	guest = reserve(BLOCK, BLOCK);
	ASSERT_NE(MAP_FAILED, (void *)guest);
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		int fd = file_make(&self->p, "file", BLOCK);

		if (map_at(guest, fd, 0, BLOCK) != guest || poke(guest, 1))
			_exit(1);
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		_exit(*guest == 1 ? 0 : 2);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFSTOPPED(status));
	errno = 0;
	EXPECT_EQ(4711, ptrace(PTRACE_PEEKDATA, pid, &host_word, NULL));
	EXPECT_EQ(0, errno);
	EXPECT_EQ(EIO, ERR(ptrace(PTRACE_PEEKDATA, pid, guest, NULL)));
	EXPECT_EQ(EIO, ERR(ptrace(PTRACE_POKEDATA, pid, guest, 5)));
	ptrace(PTRACE_CONT, pid, NULL, NULL);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFEXITED(status));
	EXPECT_EQ(0, WEXITSTATUS(status));
}

static int register_buffer(int ring, void *p, size_t len)
{
	struct iovec iov = { p, len };
	int err = ERR(syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS, &iov, 1));

	if (!err)
		syscall(SYS_io_uring_register, ring, IORING_UNREGISTER_BUFFERS, NULL, 0);
	return err;
}

/* No interface that pins pages accepts guest memory, neither short-term nor long-term pins. */
TEST_F(secrecy, pinning)
{
	char *guest = guest_memory(&self->p, BLOCK);
	char *host = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	struct iovec iov = { host, PAGE };
	struct io_uring_params params = {};
	int pipes[2], ring;

	ASSERT_NE(NULL, guest);
	ASSERT_NE(MAP_FAILED, host);
	host[0] = 1;
	host[PAGE] = 1;
	ASSERT_EQ(0, pipe(pipes));
	EXPECT_EQ(PAGE, vmsplice(pipes[1], &iov, 1, 0));
	iov.iov_base = guest;
	EXPECT_EQ(EFAULT, ERR(vmsplice(pipes[1], &iov, 1, SPLICE_F_NONBLOCK)));
	ring = syscall(SYS_io_uring_setup, 1, &params);
	if (ring < 0)
		SKIP(return, "no io_uring");
	/* Do not register the page in the pipe: it cannot be moved out of KHO's scratch areas. */
	EXPECT_EQ(0, register_buffer(ring, host + PAGE, PAGE));
	EXPECT_EQ(EFAULT, register_buffer(ring, guest, PAGE));
}

/* A process can copy guest memory through its own mapping. */
TEST_F(secrecy, copying_of_ones_own)
{
	char *guest = guest_memory(&self->p, BLOCK), buf[PAGE] = "";
	int pipes[2];

	ASSERT_NE(NULL, guest);
	ASSERT_EQ(0, pipe(pipes));
	EXPECT_EQ(PAGE, write(pipes[1], guest, PAGE));
	EXPECT_EQ(PAGE, read(pipes[0], guest + BLOCK / 2 + 64, PAGE));
	EXPECT_EQ(0, memcmp(guest, guest + BLOCK / 2 + 64, PAGE));
	EXPECT_TRUE(holds(guest + BLOCK / 2 + 64, PAGE, GUEST_KEY));
	EXPECT_FALSE(holds(buf, PAGE, GUEST_KEY));
}

/* /proc/iomem lists all memory of the pools, none of it as System RAM. */
TEST_F(secrecy, iomem)
{
	uint64_t claimed = 0, wanted = 0;
	int nodes[MAX_POOLS], nr = pool_nodes(nodes), i, j;
	struct statfs st;
	char path[80];

	for (i = 0; i < self->nr_ranges; i++) {
		const struct phys_range *r = &self->ranges[i];

		claimed += r->end - r->start;
		EXPECT_EQ(0, r->start % SECTION);
		EXPECT_EQ(0, r->end % SECTION);
		for (j = 0; j < self->nr_iomem; j++)
			if (overlap(&self->iomem[j], r->start, r->end))
				EXPECT_EQ(NULL, strstr(self->iomem[j].name, "System RAM"));
	}
	ASSERT_EQ(0, pool_place(&self->p, path, sizeof(path)));
	for (i = 0; i < nr; i++) {
		ASSERT_EQ(0, pool_mount_at(nodes[i], path, 0));
		ASSERT_EQ(0, statfs(path, &st));
		wanted += st.f_blocks * BLOCK;
		ASSERT_EQ(0, umount(path));
	}
	EXPECT_EQ(wanted, claimed);
}

/* Returns the address of the nth block of all ranges, 0 after the last block. */
static uint64_t nth_block(const struct phys_range *r, int nr, uint64_t n)
{
	for (; nr > 0; nr--, r++) {
		uint64_t blocks = (r->end - r->start) / BLOCK;

		if (n < blocks)
			return r->start + n * BLOCK;
		n -= blocks;
	}
	return 0;
}

TEST_F(secrecy, dev_mem)
{
	char *guest = guest_memory(&self->p, 64 * BLOCK), buf[PAGE];
	int mem = open("/dev/mem", O_RDWR | O_SYNC), i;
	uint64_t at;
	int got = 0, mapped = 0, written = 0;

	ASSERT_NE(NULL, guest);
	if (mem < 0)
		SKIP(return, "no /dev/mem");
	/*
	 * The BIOS area can be read, so that a failed read below is a refusal and no general error.
	 */
	EXPECT_EQ(16, pread(mem, buf, 16, 0xffff0));
	for (i = 0; (at = nth_block(self->ranges, self->nr_ranges, i)); i++) {
		void *p;

		got += pread(mem, buf, PAGE, at) != -1;
		got += pread(mem, buf, 8, at + BLOCK - 8) != -1;
		written += pwrite(mem, buf, 8, at + BLOCK - 8) != -1;
		p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, mem, at);
		mapped += p != MAP_FAILED;
		if (p != MAP_FAILED)
			munmap(p, PAGE);
	}
	EXPECT_EQ(0, got);
	EXPECT_EQ(0, written);
	EXPECT_EQ(0, mapped);
	EXPECT_EQ(EPERM, ERR(pread(mem, buf, 8, self->ranges[0].start)));
	EXPECT_EQ(EPERM, ERR(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, mem, self->ranges[0].start)));
}

static bool is_ram(const struct elf64_phdr *h)
{
	return h->p_type == PT_LOAD && h->p_paddr && h->p_paddr != UINT64_MAX;
}

/*
 * Finds the direct map in /proc/kcore. Returns the offset from a physical to a virtual address in
 * it, 0 if it was not found.
 */
static uint64_t find_direct_map(int kcore, struct elf64_phdr *ram)
{
	struct elf64_hdr ehdr;
	struct elf64_phdr h;
	int i;

	ram->p_filesz = 0;
	if (pread(kcore, &ehdr, sizeof(ehdr), 0) != sizeof(ehdr))
		return 0;
	for (i = 0; i < ehdr.e_phnum; i++) {
		if (pread(kcore, &h, sizeof(h), ehdr.e_phoff + i * sizeof(h)) != sizeof(h))
			return 0;
		/*
		 * The segment of the kernel's text has a physical address too, so skip it by its
		 * virtual address.
		 */
		if (is_ram(&h) && h.p_vaddr < 0xffffffff80000000 && h.p_memsz > ram->p_filesz)
			*ram = h;
	}
	return ram->p_filesz ? ram->p_vaddr - ram->p_paddr : 0;
}

TEST_F(secrecy, kcore)
{
	char *guest = guest_memory(&self->p, 64 * BLOCK), *buf = malloc(PAGE);
	int kcore = open("/proc/kcore", O_RDONLY), i, j, ram_headers = 0, found = 0;
	uint64_t direct, at;
	struct elf64_hdr ehdr;
	struct elf64_phdr h, ram = {};

	ASSERT_NE(NULL, guest);
	if (kcore < 0)
		SKIP(return, "no /proc/kcore");
	direct = find_direct_map(kcore, &ram);
	ASSERT_NE(0, direct);
	ASSERT_EQ(sizeof(ehdr), pread(kcore, &ehdr, sizeof(ehdr), 0));
	for (i = 0; i < ehdr.e_phnum; i++) {
		ASSERT_EQ(sizeof(h), pread(kcore, &h, sizeof(h), ehdr.e_phoff + i * sizeof(h)));
		if (h.p_type != PT_LOAD)
			continue;
		ram_headers += is_ram(&h);
		for (j = 0; j < self->nr_ranges; j++) {
			struct phys_range *r = &self->ranges[j];

			if (is_ram(&h))
				EXPECT_FALSE(overlap(r, h.p_paddr, h.p_paddr + h.p_memsz));
			EXPECT_FALSE(h.p_vaddr < r->end + direct &&
				     r->start + direct < h.p_vaddr + h.p_memsz);
		}
	}
	EXPECT_GT(ram_headers, 0);
	/* /proc/kcore serves addresses that none of its headers covers, so try those, too. */
	EXPECT_EQ(PAGE, pread(kcore, buf, PAGE, ram.p_offset));
	for (i = 0; (at = nth_block(self->ranges, self->nr_ranges, i)); i++) {
		ssize_t len = pread(kcore, buf, PAGE, ram.p_offset + (at - ram.p_paddr));

		found += len > 0 && !is_zero(buf, len);
	}
	EXPECT_EQ(0, found);
	free(buf);
}

/*
 * Frames of guest memory have no struct page, so /proc/kpageflags and /proc/kpagecount show
 * nothing.
 */
TEST_F(secrecy, no_struct_pages)
{
	int flags = open("/proc/kpageflags", O_RDONLY), count = open("/proc/kpagecount", O_RDONLY);
	uint64_t at, pfn, value;
	int i, pages = 0, counted = 0;

	if (flags < 0 || count < 0)
		SKIP(return, "no /proc/kpageflags");
	/* The kernel's code has struct pages, whose flags are shown: the file works. */
	for (i = 0; i < self->nr_iomem && strcmp(self->iomem[i].name, "Kernel code"); i++)
		;
	ASSERT_LT(i, self->nr_iomem);
	ASSERT_EQ(8, pread(flags, &value, 8, self->iomem[i].start / PAGE * 8));
	EXPECT_NE(0, value);
	for (i = 0; (at = nth_block(self->ranges, self->nr_ranges, i)); i++) {
		pfn = at / PAGE;
		/* After the last page of ordinary memory the file ends, and the read returns 0. */
		if (pread(flags, &value, 8, pfn * 8) == 8)
			pages += value != 0;
		if (pread(count, &value, 8, pfn * 8) == 8)
			counted += value != 0;
	}
	EXPECT_EQ(0, pages);
	EXPECT_EQ(0, counted);
}

/*
 * pagemap shows no frame numbers of guest memory, not even to root. FIEMAP alone shows where a file
 * is.
 */
TEST_F(secrecy, pagemap)
{
	char *guest = guest_memory(&self->p, 2 * BLOCK), *host = malloc(2 * PAGE);
	int pagemap = open("/proc/self/pagemap", O_RDONLY);
	uint64_t value = 0;
	int i, told = 0;

	ASSERT_NE(NULL, guest);
	ASSERT_GE(pagemap, 0);
	host[PAGE] = 1;
	ASSERT_EQ(8, pread(pagemap, &value, 8, (uintptr_t)(host + PAGE) / PAGE * 8));
	EXPECT_EQ(1, value >> 63);
	for (i = 0; i < 2 * BLOCK / PAGE; i++) {
		ASSERT_EQ(8, pread(pagemap, &value, 8, ((uintptr_t)guest / PAGE + i) * 8));
		/*
		 * All pages of the mapping are reported as soft-dirty, if the kernel tracks that.
		 */
		told += (value & ~0x80000000000000UL) != 0;
	}
	EXPECT_EQ(0, told);
	free(host);
}

TEST_F(secrecy, mapping_flags)
{
	char *guest = guest_memory(&self->p, BLOCK), line[512], start[32];
	FILE *smaps = fopen("/proc/self/smaps", "r");
	bool in_guest = false, found = false;
	unsigned long rss = 1;

	ASSERT_NE(NULL, guest);
	ASSERT_NE(NULL, smaps);
	snprintf(start, sizeof(start), "%lx-", (unsigned long)guest);
	while (fgets(line, sizeof(line), smaps)) {
		if (strchr("0123456789abcdef", line[0]))
			in_guest = !strncmp(line, start, strlen(start));
		if (!in_guest)
			continue;
		if (sscanf(line, "Rss: %lu", &rss) == 1 || strncmp(line, "VmFlags:", 8))
			continue;
		found = true;
		/* The flags of VM_PFNMAP, VM_DONTCOPY, VM_DONTEXPAND and VM_DONTDUMP. */
		EXPECT_NE(NULL, strstr(line, " pf"));
		EXPECT_NE(NULL, strstr(line, " dc"));
		EXPECT_NE(NULL, strstr(line, " de"));
		EXPECT_NE(NULL, strstr(line, " dd"));
	}
	EXPECT_TRUE(found);
	EXPECT_EQ(0, rss);
	fclose(smaps);
}

static int write_line(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY), err;

	err = fd < 0 || write(fd, text, strlen(text)) < 0;
	close(fd);
	return err;
}

static int dump_core(const struct pool *p)
{
	const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	char *guest, *host;

	/* Include all kinds of memory in the core dump. */
	if (chdir(p->base) || setrlimit(RLIMIT_CORE, &unlimited) ||
	    write_line("/proc/self/coredump_filter", "0x1ff"))
		return 1;
	guest = guest_memory(p, BLOCK);
	host = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!guest || host == MAP_FAILED)
		return 2;
	make_marker(host, 32, HOST_KEY);
	signal(SIGABRT, SIG_DFL);
	abort();
}

TEST_F(secrecy, core_dump)
{
	char pattern[256] = "", path[128];
	struct stat st;
	char *core;
	int fd, status;
	pid_t pid;

	fd = open("/proc/sys/kernel/core_pattern", O_RDONLY);
	if (fd < 0 || read(fd, pattern, sizeof(pattern) - 1) < 0 || strcmp(pattern, "core\n"))
		SKIP(return, "core_pattern is not core");
	close(fd);
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid)
		_exit(dump_core(&self->p));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFSIGNALED(status));
	ASSERT_TRUE(WCOREDUMP(status));
	snprintf(path, sizeof(path), "%s/core", self->p.base);
	fd = open(path, O_RDONLY);
	if (fd < 0) {
		snprintf(path, sizeof(path), "%s/core.%d", self->p.base, pid);
		fd = open(path, O_RDONLY);
	}
	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, fstat(fd, &st));
	core = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	ASSERT_NE(MAP_FAILED, core);
	EXPECT_TRUE(holds(core, st.st_size, HOST_KEY));
	EXPECT_FALSE(holds(core, st.st_size, GUEST_KEY));
}

TEST_HARNESS_MAIN
