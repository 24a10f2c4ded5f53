// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pools that grow and shrink, in one kernel. The VM test resize runs this, in a machine with
 * movable memory, and changes sizes across kexecs.
 */
#include <fcntl.h>
#include <linux/elf.h>
#include <linux/falloc.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "hostpage.h"
#include "leaves.h"
#include "poison.h"
#include "util.h"

#define PUNCH	(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define UNIT	(128 * MIB)

FIXTURE(resize)
{
	int nr;
	struct pool p;
	uint64_t size;
};

/* Writes to the file "size". Returns 0 or an errno. */
static int resize(const struct pool *p, const char *by)
{
	char path[64];
	int fd, err;

	snprintf(path, sizeof(path), "/sys/fs/guestmemfs/node%d/size", p->node);
	fd = open(path, O_WRONLY);
	if (fd < 0)
		return errno;
	err = ERR(write(fd, by, strlen(by)));
	close(fd);
	return err;
}

static int resize_to(const struct pool *p, uint64_t size)
{
	char text[32];

	snprintf(text, sizeof(text), "%lu\n", size);
	return resize(p, text);
}

/* Reads the file "resized": returns the bytes done, and in @has whether the text has @what. */
static long result(const struct pool *p, const char *what, bool *has)
{
	char path[64], line[256] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/sys/fs/guestmemfs/node%d/resized", p->node);
	f = fopen(path, "r");
	if (f && !fgets(line, sizeof(line), f))
		line[0] = 0;
	if (f)
		fclose(f);
	printf("# done: %s", line);
	*has = !what || strstr(line, what);
	return strtol(line, NULL, 10);
}

static uint64_t mem_total(void)
{
	unsigned long kib = 0;
	char line[128];
	FILE *f = fopen("/proc/meminfo", "r");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "MemTotal: %lu", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib * KIB;
}

/* The blocks of the pool, as statfs() counts them. */
static uint64_t pool_blocks(const struct pool *p)
{
	struct statfs st;

	return statfs(p->mnt, &st) ? 0 : st.f_blocks;
}

FIXTURE_SETUP(resize)
{
	int nodes[MAX_POOLS];

	self->nr = pool_nodes(nodes);
	if (!self->nr)
		SKIP(return, "no pool on this machine");
	ASSERT_TRUE(pool_setup(&self->p, nodes[0]));
	self->size = pool_sysfs(&self->p, "size");
	catch_faults();
}

/* All files of a test are named "ram" or "other". The pool gets its size back. */
FIXTURE_TEARDOWN_PARENT(resize)
{
	if (!self->nr)
		return;
	unlink(pool_path(&self->p, "ram"));
	unlink(pool_path(&self->p, "other"));
	EXPECT_EQ(0, resize_to(&self->p, self->size));
	EXPECT_STREQ("", pool_teardown(&self->p) ?: "");
}

/* Text that is no size is refused, and nothing changes. */
TEST_F(resize, bad_sizes)
{
	static const char * const bad[] = {
		"x", "1X", "+", "-", "++1G", "+-1G", "1G1G", "50%", "+1", "+1M", "+64M", "-64M",
		"-1", "+1G x", "-1T", "99999999999999999999", "+0x40000000", "+1.5G",
		"+18446744073709551615", "+9223372036854775808",
		"+00000000000000000000000000000000000001G",
	};
	bool has;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(EINVAL, resize(&self->p, bad[i]))
			TH_LOG("'%s'", bad[i]);
	}
	EXPECT_EQ(self->size, pool_sysfs(&self->p, "size"));
	/* No change is a change that succeeds. */
	EXPECT_EQ(0, resize(&self->p, "+0"));
	EXPECT_EQ(0, resize(&self->p, "-0\n"));
	EXPECT_EQ(0, resize_to(&self->p, self->size));
	EXPECT_EQ(0, result(&self->p, "0 of 0", &has));
	EXPECT_TRUE(has);
}

/* Only a mounted pool changes: the tables of another one have not been checked. */
TEST_F(resize, not_mounted)
{
	ASSERT_EQ(0, umount(self->p.mnt));
	EXPECT_EQ(ENODEV, resize(&self->p, "+1G"));
	EXPECT_EQ(self->size, pool_sysfs(&self->p, "size"));
	ASSERT_EQ(0, pool_mount_at(self->p.node, self->p.mnt, 0));
}

/* A user who may not write the file cannot change the size. */
TEST_F(resize, permissions)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		if (setresuid(1000, 1000, 1000))
			_exit(1);
		_exit(resize(&self->p, "+1G") == EACCES ? 0 : 2);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

/* A gigabyte moves to the pool and back: the sum of both is the same. */
TEST_F(resize, there_and_back)
{
	uint64_t total = mem_total(), blocks = pool_blocks(&self->p);
	bool has;

	ASSERT_EQ(0, resize(&self->p, "+1G\n"));
	EXPECT_EQ((long)GIB, result(&self->p, "1073741824 of 1073741824\n", &has));
	EXPECT_TRUE(has);
	EXPECT_EQ(self->size + GIB, pool_sysfs(&self->p, "size"));
	EXPECT_EQ(blocks + GIB / BLOCK, pool_blocks(&self->p));
	EXPECT_EQ(self->p.free_blocks + GIB / BLOCK, pool_free_blocks(&self->p));
	/* The struct pages of the memory, 1/64 of it, may stay with the host. */
	EXPECT_LE(mem_total(), total - GIB + GIB / 64);
	EXPECT_GE(mem_total(), total - GIB - MIB);
	ASSERT_EQ(0, resize(&self->p, "-1G"));
	EXPECT_EQ(-(long)GIB, result(&self->p, "-1073741824 of -1073741824\n", &has));
	EXPECT_TRUE(has);
	EXPECT_EQ(self->size, pool_sysfs(&self->p, "size"));
	EXPECT_EQ(blocks, pool_blocks(&self->p));
	EXPECT_GE(mem_total(), total - GIB / 64);
	EXPECT_LE(mem_total(), total + GIB / 64);
}

/* New memory is zeroed before a process sees it, and is mapped by an entry of 1 GiB. */
TEST_F(resize, new_memory)
{
	uint64_t whole = pool_sysfs(&self->p, "free_gigabytes");
	char *p = reserve(GIB, GIB), *host;
	int fd;

	/* A process of the host has had something in the memory before. */
	host = mmap(NULL, 2 * GIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)host);
	memset(host, 0x5a, 2 * GIB);
	munmap(host, 2 * GIB);
	ASSERT_EQ(0, resize(&self->p, "+1G"));
	EXPECT_EQ(whole + 1, pool_sysfs(&self->p, "free_gigabytes"));
	/* A file that needs the new memory: all that was free, and a gigabyte. */
	fd = file_make(&self->p, "ram", self->p.free_blocks * BLOCK + GIB);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, fallocate(fd, 0, 0, self->p.free_blocks * BLOCK + GIB));
	EXPECT_EQ(0, pool_free_blocks(&self->p));
	/* Since the pool was full then, one of its gigabytes is the new one. */
	EXPECT_EQ(ENOSPC, resize(&self->p, "-1G"));
	ASSERT_EQ(p, map_at(p, fd, 0, GIB));
	EXPECT_TRUE(is_zero(p, GIB));
	fill(p, GIB, 7);
	EXPECT_TRUE(is_filled(p, GIB, 7));
	if (whole)
		EXPECT_LEAVES(p, GIB, 1, 0, 0, "mapped");
	munmap(p, GIB);
	close(fd);
}

/* Blocks of files and reserved ones stay: the rest goes, in pieces of a memory block. */
TEST_F(resize, files_stay)
{
	int fd = file_make(&self->p, "ram", 3 * BLOCK), other;
	uint64_t phys[3];
	bool has;
	char *p;
	long got;
	int i;

	ASSERT_EQ(0, resize(&self->p, "+1G"));
	p = map_file(fd, 0, 3 * BLOCK);
	ASSERT_NE(MAP_FAILED, (void *)p);
	fill(p, 3 * BLOCK, 3);
	for (i = 0; i < 3; i++)
		phys[i] = file_phys(fd, i * BLOCK);
	/* All but the memory block that has the file. */
	EXPECT_EQ(ENOSPC, resize_to(&self->p, 0));
	got = result(&self->p, "the rest has files, or is reserved for them", &has);
	EXPECT_TRUE(has);
	EXPECT_EQ((long)(self->size + GIB - UNIT), -got);
	EXPECT_EQ(UNIT, pool_sysfs(&self->p, "size"));
	EXPECT_EQ(UNIT / BLOCK - 3, pool_free_blocks(&self->p));
	EXPECT_TRUE(is_filled(p, 3 * BLOCK, 3));
	for (i = 0; i < 3; i++)
		EXPECT_EQ(phys[i], file_phys(fd, i * BLOCK));
	/* The file grows into what is left, and no further. */
	other = file_make(&self->p, "other", GIB);
	ASSERT_GE(other, 0);
	EXPECT_EQ(ENOSPC, ERR(fallocate(other, 0, 0, GIB)));
	EXPECT_EQ(0, fallocate(other, 0, 0, UNIT - 3 * BLOCK));
	EXPECT_EQ(0, ftruncate(other, 0));
	/* A reservation counts as a file. */
	ASSERT_EQ(0, resize(&self->p, "+1G"));
	ASSERT_EQ(0, ftruncate(other, GIB));
	ASSERT_NE(MAP_FAILED, map_reserved(other, 0, GIB));
	EXPECT_EQ(ENOSPC, resize(&self->p, "-1G"));
	EXPECT_EQ(UNIT + GIB, pool_sysfs(&self->p, "size"));
	EXPECT_TRUE(is_filled(p, 3 * BLOCK, 3));
	close(other);
	close(fd);
}

/*
 * A limit in percent follows the size, and another one stays as it is. A limit that is made once,
 * at the mount, or that is taken for percent, shows here.
 */
TEST_F(resize, limit)
{
	uint64_t blocks = self->size / BLOCK;

	ASSERT_EQ(0, mount("guestmemfs", self->p.mnt, NULL, MS_REMOUNT, "size=50%"));
	EXPECT_EQ(blocks / 2, pool_blocks(&self->p));
	ASSERT_EQ(0, resize(&self->p, "+1G"));
	EXPECT_EQ((blocks + GIB / BLOCK) / 2, pool_blocks(&self->p));
	ASSERT_EQ(0, resize(&self->p, "-1G"));
	EXPECT_EQ(blocks / 2, pool_blocks(&self->p));
	ASSERT_EQ(0, mount("guestmemfs", self->p.mnt, NULL, MS_REMOUNT, "size=128M"));
	EXPECT_EQ(128 * MIB / BLOCK, pool_blocks(&self->p));
	ASSERT_EQ(0, resize(&self->p, "+1G"));
	EXPECT_EQ(128 * MIB / BLOCK, pool_blocks(&self->p));
	ASSERT_EQ(0, resize(&self->p, "-1G"));
	EXPECT_EQ(128 * MIB / BLOCK, pool_blocks(&self->p));
	ASSERT_EQ(0, mount("guestmemfs", self->p.mnt, NULL, MS_REMOUNT, "size=0"));
	EXPECT_EQ(blocks, pool_blocks(&self->p));
}

/* Reads all headers of /proc/kcore, and finds the file offset of a physical address. */
static off_t kcore_offset(int kcore, uint64_t phys)
{
	struct elf64_hdr ehdr;
	struct elf64_phdr h;
	int i;

	if (pread(kcore, &ehdr, sizeof(ehdr), 0) != sizeof(ehdr))
		return 0;
	for (i = 0; i < ehdr.e_phnum; i++) {
		if (pread(kcore, &h, sizeof(h), ehdr.e_phoff + i * sizeof(h)) != sizeof(h))
			return 0;
		/* The kernel's text has a physical address, too. */
		if (h.p_type == PT_LOAD && h.p_vaddr < 0xffffffff80000000 && h.p_paddr <= phys &&
		    phys - h.p_paddr < h.p_memsz)
			return h.p_offset + (phys - h.p_paddr);
	}
	return 0;
}

/*
 * The host gets memory without a byte of a guest. Its free pages are not zeroed, so that all that
 * was in them can be seen in /proc/kcore.
 */
TEST_F(resize, no_byte_of_a_guest)
{
	const uint64_t secret = 0x7365637265742121;
	int kcore, fd;
	uint64_t *words, phys, at, found = 0, seen = 0;
	char *p;
	size_t i;

	ASSERT_EQ(0, resize(&self->p, "+1G"));
	/* Take all that was there before, so that what the file gets is new memory. */
	fd = file_make(&self->p, "ram", self->p.free_blocks * BLOCK + GIB);
	ASSERT_EQ(0, fallocate(fd, 0, 0, self->p.free_blocks * BLOCK + GIB));
	p = map_file(fd, 0, self->p.free_blocks * BLOCK + GIB);
	ASSERT_NE(MAP_FAILED, (void *)p);
	for (at = 0; at < self->p.free_blocks * BLOCK + GIB; at += PAGE)
		*(uint64_t *)(p + at) = secret;
	munmap(p, self->p.free_blocks * BLOCK + GIB);
	phys = file_phys(fd, self->p.free_blocks * BLOCK);
	close(fd);
	ASSERT_EQ(0, unlink(pool_path(&self->p, "ram")));
	/* /proc/kcore learns of new memory when it is opened. */
	kcore = open("/proc/kcore", O_RDONLY);
	ASSERT_GE(kcore, 0);
	EXPECT_EQ(0, kcore_offset(kcore, phys));
	close(kcore);
	/* All of the pool, to be sure that the memory of the file is among it. */
	ASSERT_EQ(0, resize_to(&self->p, 0));
	EXPECT_EQ(0, pool_blocks(&self->p));
	kcore = open("/proc/kcore", O_RDONLY);
	ASSERT_GE(kcore, 0);
	words = malloc(BLOCK);
	ASSERT_NE(NULL, words);
	ASSERT_NE(0, kcore_offset(kcore, phys));
	phys &= ~(BLOCK - 1);
	for (at = 0; at < 64 * BLOCK; at += BLOCK) {
		if (pread(kcore, words, BLOCK, kcore_offset(kcore, phys + at)) != BLOCK)
			continue;
		seen++;
		for (i = 0; i < BLOCK / 8; i += PAGE / 8)
			found += words[i] == secret;
	}
	EXPECT_GT(seen, 0);
	EXPECT_EQ(0, found);
	/* The file with all blocks gone had a name to be found: the empty pool keeps its files. */
	fd = file_make(&self->p, "other", BLOCK);
	EXPECT_GE(fd, 0);
	EXPECT_EQ(ENOSPC, ERR(fallocate(fd, 0, 0, BLOCK)));
	close(fd);
	EXPECT_EQ(0, resize_to(&self->p, self->size));
	free(words);
	close(kcore);
}

/* Stores where the resources of pools begin. Returns their number. */
static int pool_starts(uint64_t *starts, int max)
{
	FILE *f = fopen("/proc/iomem", "r");
	char line[128];
	int nr = 0;

	while (f && nr < max && fgets(line, sizeof(line), f))
		if (strstr(line, " : guestmemfs\n"))
			starts[nr++] = strtoull(line, NULL, 16);
	if (f)
		fclose(f);
	return nr;
}

static bool pool_begins_at(uint64_t start)
{
	uint64_t starts[64];
	int nr = pool_starts(starts, 64);

	while (nr-- > 0)
		if (starts[nr] == start)
			return true;
	return false;
}

/* Finds which gigabyte the pool takes next: takes it, and gives it back. Returns 0 for none. */
static uint64_t next_gigabyte(const struct pool *p)
{
	uint64_t before[64], after[64], found = 0;
	int nr = pool_starts(before, 64), now, i, j;

	if (resize(p, "+1G"))
		return 0;
	now = pool_starts(after, 64);
	for (i = 0; i < now; i++) {
		for (j = 0; j < nr && before[j] != after[i]; j++)
			;
		if (j == nr)
			found = after[i];
	}
	return resize(p, "-1G") ? 0 : found;
}

static bool poison_page(char *page, uint64_t phys, void *arg)
{
	(void)page;
	(void)arg;
	return !poison_frame(phys);
}

static void do_nothing(int signal)
{
	(void)signal;
}

/* Has the pool grow in another process, which stays alive at SIGTERM. */
static pid_t grow_in_child(const struct pool *p, const char *by)
{
	struct sigaction sa = { .sa_handler = do_nothing };
	pid_t pid = fork();

	if (pid)
		return pid;
	sigaction(SIGTERM, &sa, NULL);
	_exit(resize(p, by));
}

/* Sends the signal. Returns the errno of the change. */
static int interrupt(pid_t pid)
{
	int status;

	kill(pid, SIGTERM);
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* A page that somebody has pinned keeps the pool waiting, until a signal: then all is as before. */
TEST_F(resize, signal)
{
	uint64_t gigabyte = next_gigabyte(&self->p), total = mem_total();
	int fds[2], status;
	bool has;
	pid_t pid;

	ASSERT_NE(0, gigabyte);
	ASSERT_EQ(0, pipe(fds));
	ASSERT_TRUE(with_host_page(self->p.node, gigabyte, pin_in_pipe, fds));
	pid = grow_in_child(&self->p, "+1G");
	sleep(3);
	EXPECT_EQ(0, waitpid(pid, &status, WNOHANG));
	EXPECT_EQ(EINTR, interrupt(pid));
	EXPECT_EQ(0, result(&self->p, "a signal came", &has));
	EXPECT_TRUE(has);
	EXPECT_EQ(self->size, pool_sysfs(&self->p, "size"));
	EXPECT_EQ(total, mem_total());
	close(fds[0]);
	close(fds[1]);
	EXPECT_EQ(0, resize(&self->p, "+1G"));
	EXPECT_TRUE(pool_begins_at(gigabyte));
}

/*
 * The same if a gigabyte has come before: it stays with the pool. The file "resized" tells of it
 * while the other one is waited for. A signal that undoes all, or a sum that is written at the
 * end, shows.
 */
TEST_F(resize, signal_after_a_part)
{
	uint64_t first = next_gigabyte(&self->p), second;
	int fds[2], i;
	bool has;
	pid_t pid;

	ASSERT_NE(0, first);
	ASSERT_EQ(0, resize(&self->p, "+1G"));
	second = next_gigabyte(&self->p);
	ASSERT_NE(0, second);
	ASSERT_EQ(0, resize(&self->p, "-1G"));
	ASSERT_EQ(0, pipe(fds));
	ASSERT_TRUE(with_host_page(self->p.node, second, pin_in_pipe, fds));
	pid = grow_in_child(&self->p, "+2G");
	for (i = 0; i < 600 && result(&self->p, NULL, &has) < (long)GIB; i++)
		usleep(100000);
	EXPECT_EQ((long)GIB, result(&self->p, "1073741824 of 2147483648", &has));
	EXPECT_TRUE(has);
	sleep(1);
	EXPECT_EQ(EINTR, interrupt(pid));
	EXPECT_EQ((long)GIB, result(&self->p, "1073741824 of 2147483648: a signal came", &has));
	EXPECT_TRUE(has);
	EXPECT_EQ(self->size + GIB, pool_sysfs(&self->p, "size"));
	EXPECT_TRUE(pool_begins_at(first));
	EXPECT_FALSE(pool_begins_at(second));
	close(fds[0]);
	close(fds[1]);
}

struct busy {
	struct pool *p;
	bool stop;
	int wrong;
	long rounds;
};

/* Allocates, verifies and frees memory. */
static void *churn(void *arg)
{
	struct busy *b = arg;
	int fd = file_make(b->p, "ram", 64 * BLOCK);
	char *p = map_file(fd, 0, 64 * BLOCK);
	uint64_t seed = 1;
	int i;

	while (!__atomic_load_n(&b->stop, __ATOMIC_RELAXED)) {
		i = b->rounds++ % 60;
		if (!is_zero(p + i * BLOCK, 4 * BLOCK))
			b->wrong++;
		fill(p + i * BLOCK, 4 * BLOCK, ++seed);
		if (!is_filled(p + i * BLOCK, 4 * BLOCK, seed))
			b->wrong++;
		if (fallocate(fd, PUNCH, i * BLOCK, 4 * BLOCK))
			b->wrong++;
	}
	munmap(p, 64 * BLOCK);
	close(fd);
	return NULL;
}

/* Looks at all that shows the ranges and the size. */
static void *look_on(void *arg)
{
	struct busy *b = arg;
	int fd = file_make(b->p, "other", 8 * BLOCK);
	struct fiemap *map = calloc(1, sizeof(*map) + 8 * sizeof(struct fiemap_extent));
	uint64_t phys = 0;
	struct statfs st;

	if (fallocate(fd, 0, 0, 8 * BLOCK))
		b->wrong++;
	while (!__atomic_load_n(&b->stop, __ATOMIC_RELAXED)) {
		b->rounds++;
		memset(map, 0, sizeof(*map));
		map->fm_length = 8 * BLOCK;
		map->fm_extent_count = 8;
		if (ioctl(fd, FS_IOC_FIEMAP, map) || !map->fm_mapped_extents)
			b->wrong++;
		if (phys && map->fm_extents[0].fe_physical != phys)
			b->wrong++;
		phys = map->fm_extents[0].fe_physical;
		if (statfs(b->p->mnt, &st) || st.f_bfree > st.f_blocks)
			b->wrong++;
		if (pool_sysfs(b->p, "size") == UINT64_MAX ||
		    pool_sysfs(b->p, "largest_free") == UINT64_MAX)
			b->wrong++;
	}
	free(map);
	close(fd);
	return NULL;
}

/* Files are used while the size changes. */
TEST_F(resize, in_use)
{
	struct busy busy[2] = { { .p = &self->p }, { .p = &self->p } };
	pthread_t threads[2];
	int i;

	ASSERT_EQ(0, pthread_create(&threads[0], NULL, churn, &busy[0]));
	ASSERT_EQ(0, pthread_create(&threads[1], NULL, look_on, &busy[1]));
	for (i = 0; i < 4; i++) {
		EXPECT_EQ(0, resize(&self->p, "+1G"));
		EXPECT_EQ(0, resize(&self->p, "-1G"));
	}
	for (i = 0; i < 2; i++) {
		__atomic_store_n(&busy[i].stop, true, __ATOMIC_RELAXED);
		EXPECT_EQ(0, pthread_join(threads[i], NULL));
		EXPECT_EQ(0, busy[i].wrong);
		EXPECT_GT(busy[i].rounds, 2);
	}
}

/* As much memory as can be had, and all of it goes back. */
TEST_F(resize, all_there_is)
{
	uint64_t total = mem_total(), size;
	bool has;

	EXPECT_NE(0, resize(&self->p, "+1T"));
	EXPECT_LT(0, result(&self->p, NULL, &has));
	size = pool_sysfs(&self->p, "size");
	printf("# share: %lu of %lu MiB of the host\n", (size - self->size) / MIB, total / MIB);
	EXPECT_GT(size, self->size);
	EXPECT_EQ(0, resize_to(&self->p, self->size));
	EXPECT_GE(mem_total(), total - total / 64);
}

/* Writes to the files "state" of a gigabyte's memory blocks. Returns how many could be written. */
static int set_state(int node, uint64_t gigabyte, const char *state)
{
	char path[96];
	int nr = 0, fd;
	uint64_t at;

	for (at = gigabyte; at < gigabyte + GIB; at += UNIT) {
		snprintf(path, sizeof(path), "/sys/devices/system/node/node%d/memory%lu/state",
			 node, at / UNIT);
		fd = open(path, O_WRONLY);
		if (fd < 0)
			continue;
		nr += write(fd, state, strlen(state)) > 0;
		close(fd);
	}
	return nr;
}

/* Memory that somebody has taken offline is as good as any. */
TEST_F(resize, offline)
{
	uint64_t gigabyte = next_gigabyte(&self->p), total;

	ASSERT_NE(0, gigabyte);
	/* The state of all of it is the node's: the last blocks of a node can be found as well. */
	ASSERT_EQ(GIB / UNIT, set_state(self->p.node, gigabyte, "offline"));
	total = mem_total();
	/* Movable memory comes first, in the order of addresses: this gigabyte is the first. */
	EXPECT_EQ(0, resize(&self->p, "+1G"));
	EXPECT_EQ(total, mem_total());
	EXPECT_EQ(0, set_state(self->p.node, gigabyte, "online_movable"));
	EXPECT_EQ(0, resize(&self->p, "-1G"));
	EXPECT_EQ(total + GIB, mem_total());
	EXPECT_EQ(gigabyte, next_gigabyte(&self->p));
}

/*
 * The host's memory has an error: no guest gets it, and the kernel does not zero it. The error
 * stays for the tests after this one.
 */
TEST_F(resize, error_of_the_host)
{
	uint64_t gigabyte = next_gigabyte(&self->p);

	ASSERT_NE(0, gigabyte);
	ASSERT_TRUE(with_host_page(self->p.node, gigabyte, poison_page, NULL));
	EXPECT_EQ(0, resize(&self->p, "+1G"));
	EXPECT_FALSE(pool_begins_at(gigabyte));
	/*
	 * Nor while the memory is offline, when its pages do not tell of the error. The kernel does
	 * not put the memory block with the bad page online again.
	 */
	EXPECT_EQ(0, resize(&self->p, "-1G"));
	EXPECT_EQ(GIB / UNIT, set_state(self->p.node, gigabyte, "offline"));
	EXPECT_EQ(0, resize(&self->p, "+1G"));
	EXPECT_FALSE(pool_begins_at(gigabyte));
	EXPECT_EQ(GIB / UNIT - 1, set_state(self->p.node, gigabyte, "online_movable"));
}

/* A frame with a memory error does not go back, and neither does the rest of its memory block. */
TEST_F(resize, bad_frame)
{
	int fd = file_make(&self->p, "ram", BLOCK);
	uint64_t phys, blocks, lost = pool_sysfs(&self->p, "lost");

	ASSERT_EQ(0, resize(&self->p, "+1G"));
	/* The last blocks of the pool are in the new memory, or in the old. */
	ASSERT_EQ(0, fallocate(fd, 0, 0, BLOCK));
	phys = file_phys(fd, 0);
	close(fd);
	ASSERT_EQ(0, unlink(pool_path(&self->p, "ram")));
	ASSERT_EQ(0, poison_frame(phys));
	EXPECT_EQ(lost + BLOCK, pool_sysfs(&self->p, "lost"));
	EXPECT_EQ(ENOSPC, resize_to(&self->p, 0));
	EXPECT_EQ(UNIT, pool_sysfs(&self->p, "size"));
	blocks = pool_free_blocks(&self->p);
	EXPECT_EQ(UNIT / BLOCK - 1, blocks);
	EXPECT_EQ(0, resize_to(&self->p, UNIT + GIB));
	/* The bad frame keeps its number and its address. */
	EXPECT_EQ(EHWPOISON, poison_frame(phys));
	EXPECT_EQ(0, resize(&self->p, "-1G"));
	/* For the tests after this one, the pool has a block less, and a size that it can have. */
	self->size = UNIT + self->size / GIB * GIB;
	self->p.free_blocks = self->size / BLOCK - 1;
	EXPECT_EQ(0, resize_to(&self->p, self->size));
}

TEST_HARNESS_MAIN
