// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guest memory has no struct page, so no page of it can be pinned. These tests do what would make
 * the kernel pin a page, and check the errors.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/if_xdp.h>
#include <linux/magic.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>

#include "fixture.h"

/* The size of the direct I/O in bytes. */
#define IO		(16 * PAGE)

/*
 * Makes a file with these bytes in the current directory, which is read and written without a copy.
 * Returns -1 if that is not possible. A tmpfs accepts O_DIRECT but copies.
 */
static int file_direct(const char *bytes, size_t len)
{
	char path[] = "guestmemfs-XXXXXX";
	struct statfs st;
	int fd;

	if (statfs(".", &st) || st.f_type == TMPFS_MAGIC || st.f_type == RAMFS_MAGIC)
		return -1;
	fd = mkostemp(path, O_DIRECT);
	if (fd < 0)
		return -1;
	/* This write, and the read later, show that direct I/O works with ordinary memory. */
	if (write(fd, bytes, len) != len) {
		close(fd);
		fd = -1;
	}
	unlink(path);
	return fd;
}

static char *host_memory(size_t len)
{
	return mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

TEST_F(in_pool, direct_io)
{
	char *host = host_memory(IO), *guest;
	struct iovec both[2] = { { host, PAGE } };
	int fd = file_make(&self->p, "file", 2 * BLOCK), direct;

	ASSERT_NE(MAP_FAILED, host);
	fill(host, IO, 1);
	direct = file_direct(host, IO);
	if (direct < 0)
		SKIP(return, "no direct I/O in the current directory");
	guest = map_file(fd, 0, 2 * BLOCK);
	ASSERT_NE(MAP_FAILED, guest);
	fill(guest, BLOCK, 2);
	EXPECT_EQ(EFAULT, ERR(pwrite(direct, guest, IO, 0)));
	EXPECT_EQ(EFAULT, ERR(pread(direct, guest, IO, 0)));
	EXPECT_EQ(EFAULT, ERR(pread(direct, guest + PAGE, PAGE, 0)));
	/* The same in a hole, for which a block would have to be allocated. */
	EXPECT_EQ(EFAULT, ERR(pread(direct, guest + BLOCK, IO, 0)));
	EXPECT_TRUE(is_zero(guest + BLOCK, BLOCK));
	/* Direct I/O may transfer the bytes of ordinary memory before guest memory, and no more. */
	both[1].iov_base = guest;
	both[1].iov_len = PAGE;
	EXPECT_GE((ssize_t)PAGE, pwritev(direct, both, 2, 0));
	EXPECT_GE((ssize_t)PAGE, preadv(direct, both, 2, 0));
	EXPECT_TRUE(is_filled(guest, BLOCK, 2));
	memset(host, 0, IO);
	ASSERT_EQ(IO, pread(direct, host, IO, 0));
	EXPECT_TRUE(is_filled(host, IO, 1));
	/* Nothing has pinned the memory: its blocks can be freed. */
	munmap(guest, 2 * BLOCK);
	ASSERT_EQ(0, ftruncate(fd, 0));
	EXPECT_EQ(self->p.free_blocks, pool_free_blocks(&self->p));
}

/* Do read() and write() without O_DIRECT bypass the page cache in the current directory? */
static bool is_uncached(void)
{
	char line[512], dir[256], type[32], options[256], here[256];
	FILE *mounts = fopen("/proc/mounts", "r");
	bool uncached = false;
	size_t found = 0;

	if (!mounts || !getcwd(here, sizeof(here)))
		return false;
	while (fgets(line, sizeof(line), mounts)) {
		size_t len;

		if (sscanf(line, "%*s %255s %31s %255s", dir, type, options) != 3)
			continue;
		len = strlen(dir);
		/*
		 * Use the mount with the longest matching path, and of several on one path the
		 * last.
		 */
		if (strncmp(here, dir, len) || len < found ||
		    (here[len] && here[len] != '/' && len > 1))
			continue;
		found = len;
		uncached = !strcmp(type, "9p") && !strstr(options, "cache=");
	}
	fclose(mounts);
	return uncached;
}

struct io_case {
	const char *what;
	ssize_t len;
	off_t from;	/* in guest memory: the second block is a hole */
	bool vector;
};

static const struct io_case io_cases[] = {
	{ "a page",				PAGE,	0,		false },
	{ "many pages",				IO,	0,		false },
	{ "less than a page",			100,	PAGE + 50,	false },
	{ "a hole",				IO,	BLOCK,		false },
	{ "a vector",				IO,	0,		true },
};

/* Reads or writes all of it. Returns 0 or an errno. */
static int io(int fd, bool write, char *p, const struct io_case *c)
{
	struct iovec v[2] = { { p, c->len / 2 }, { p + c->len / 2, c->len - c->len / 2 } };
	ssize_t n;

	if (c->vector)
		n = write ? pwritev(fd, v, 2, 0) : preadv(fd, v, 2, 0);
	else
		n = write ? pwrite(fd, p, c->len, 0) : pread(fd, p, c->len, 0);
	return n == c->len ? 0 : n < 0 ? errno : -1;
}

/*
 * Without O_DIRECT, read() and write() work on filesystems that copy, and fail on filesystems that
 * need the page.
 */
TEST_F(in_pool, plain_io)
{
	int uncached = open("plain", O_RDWR | O_CREAT | O_TRUNC, 0600), i, dir;
	int fd = file_make(&self->p, "file", 2 * BLOCK), cached = memfd_create("plain", 0);
	char *host = host_memory(IO), *guest = map_file(fd, 0, 2 * BLOCK);

	if (!is_uncached()) {
		unlink("plain");
		SKIP(return, "the current directory has a page cache");
	}
	ASSERT_NE(MAP_FAILED, host);
	ASSERT_NE(MAP_FAILED, guest);
	ASSERT_EQ(0, unlink("plain"));
	fill(host, IO, 1);
	ASSERT_EQ(IO, pwrite(cached, host, IO, 0));
	ASSERT_EQ(IO, pwrite(uncached, host, IO, 0));
	ASSERT_EQ(IO, pread(uncached, host, IO, 0));
	fill(guest, BLOCK, 2);
	for (i = 0; i < ARRAY_SIZE(io_cases); i++) {
		const struct io_case *c = &io_cases[i];

		for (dir = 0; dir < 2; dir++) {
			EXPECT_EQ(EFAULT, io(uncached, dir, guest + c->from, c))
				TH_LOG("%s", c->what);
			EXPECT_TRUE(is_filled(guest, BLOCK, 2));
		}
	}
	/* The failed writes have changed nothing in the file. */
	memset(host, 0, IO);
	ASSERT_EQ(IO, pread(uncached, host, IO, 0));
	EXPECT_TRUE(is_filled(host, IO, 1));
	for (i = 0; i < ARRAY_SIZE(io_cases); i++) {
		const struct io_case *c = &io_cases[i];

		for (dir = 0; dir < 2; dir++)
			EXPECT_EQ(0, io(cached, dir, guest + c->from, c))
				TH_LOG("%s", c->what);
	}
	EXPECT_EQ(2 * BLOCK_SECTORS, file_sectors(fd));
}

static long futex(uint32_t *word, int op, uint32_t value, const struct timespec *timeout)
{
	return syscall(SYS_futex, word, op, value, timeout, NULL, 0);
}

/*
 * The kernel identifies a futex that is shared between processes by its page, and guest memory has
 * none. It identifies a private futex by its address.
 */
TEST_F(in_pool, futex)
{
	const struct timespec soon = { .tv_nsec = 1000000 };
	int fd = file_make(&self->p, "file", 2 * BLOCK);
	uint32_t *guest = map_file(fd, 0, 2 * BLOCK), *hole = guest + BLOCK / sizeof(*guest);
	uint32_t *host = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			      -1, 0);

	ASSERT_NE(MAP_FAILED, (void *)guest);
	ASSERT_NE(MAP_FAILED, (void *)host);
	*guest = 0;
	EXPECT_EQ(0, futex(host, FUTEX_WAKE, 1, NULL));
	EXPECT_EQ(ETIMEDOUT, ERR(futex(host, FUTEX_WAIT, 0, &soon)));
	EXPECT_EQ(EFAULT, ERR(futex(guest, FUTEX_WAKE, 1, NULL)));
	EXPECT_EQ(EFAULT, ERR(futex(guest, FUTEX_WAIT, 0, &soon)));
	EXPECT_EQ(EFAULT, ERR(futex(guest, FUTEX_LOCK_PI, 0, &soon)));
	EXPECT_EQ(0, futex(guest, FUTEX_WAKE_PRIVATE, 1, NULL));
	EXPECT_EQ(ETIMEDOUT, ERR(futex(guest, FUTEX_WAIT_PRIVATE, 0, &soon)));
	EXPECT_EQ(EAGAIN, ERR(futex(guest, FUTEX_WAIT_PRIVATE, 1, &soon)));
	/* The kernel writes to the futex word, and allocates the block for that. */
	EXPECT_EQ(0, futex(hole, FUTEX_LOCK_PI_PRIVATE, 0, NULL));
	EXPECT_EQ(gettid(), *hole);
	EXPECT_EQ(0, futex(hole, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL));
	EXPECT_EQ(0, *hole);
}

static int register_umem(void *p, size_t len)
{
	struct xdp_umem_reg reg = { .addr = (uintptr_t)p, .len = len, .chunk_size = PAGE };
	int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	int err = fd < 0 ? EAFNOSUPPORT :
			   ERR(setsockopt(fd, SOL_XDP, XDP_UMEM_REG, &reg, sizeof(reg)));

	close(fd);
	return err;
}

/*
 * A umem of AF_XDP is pinned until the socket is closed. Fails if guest memory is accepted, as a
 * whole or after ordinary memory: packets would go to memory that the file may lose.
 */
TEST_F(in_pool, xdp)
{
	int fd = file_make(&self->p, "file", 2 * BLOCK);
	char *both = reserve(3 * BLOCK, BLOCK), *guest = both + BLOCK;

	ASSERT_EQ(both, mmap(both, BLOCK, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	ASSERT_EQ(guest, map_at(guest, fd, 0, 2 * BLOCK));
	fill(guest, BLOCK, 1);
	if (register_umem(both, BLOCK) == EAFNOSUPPORT)
		SKIP(return, "no AF_XDP");
	EXPECT_EQ(0, register_umem(both, BLOCK));
	EXPECT_EQ(EFAULT, register_umem(guest, BLOCK));
	/* A hole is not filled. */
	EXPECT_EQ(EFAULT, register_umem(guest + BLOCK, BLOCK));
	EXPECT_EQ(BLOCK_SECTORS, file_sectors(fd));
	/* Not all pages could be pinned. */
	EXPECT_EQ(ENOMEM, register_umem(both, 2 * BLOCK));
	EXPECT_TRUE(is_filled(guest, BLOCK, 1));
	munmap(guest, 2 * BLOCK);
	ASSERT_EQ(0, ftruncate(fd, 0));
	EXPECT_EQ(self->p.free_blocks, pool_free_blocks(&self->p));
}

/* Two ends of a TCP connection over the loopback device. */
static bool connect_loopback(int ends[2])
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
	socklen_t len = sizeof(addr);

	ends[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 || ioctl(listener, SIOCSIFFLAGS, &lo) ||
	    bind(listener, (struct sockaddr *)&addr, sizeof(addr)) || listen(listener, 1) ||
	    getsockname(listener, (struct sockaddr *)&addr, &len) ||
	    connect(ends[0], (struct sockaddr *)&addr, sizeof(addr)) ||
	    setsockopt(ends[0], SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)))
		return false;
	ends[1] = accept(listener, NULL, NULL);
	close(listener);
	return ends[1] >= 0;
}

/*
 * MSG_ZEROCOPY refers to the pages of the buffer until they are sent. Fails if guest memory is
 * accepted, or if copying it fails.
 */
TEST_F(in_pool, zero_copy)
{
	int fd = file_make(&self->p, "file", BLOCK), ends[2];
	char *guest = map_file(fd, 0, BLOCK), *host = host_memory(IO);

	ASSERT_NE(MAP_FAILED, guest);
	ASSERT_NE(MAP_FAILED, host);
	fill(guest, BLOCK, 1);
	fill(host, IO, 2);
	if (!connect_loopback(ends))
		SKIP(return, "no TCP");
	EXPECT_EQ(EFAULT, ERR(send(ends[0], guest, IO, MSG_ZEROCOPY)));
	EXPECT_EQ(IO, send(ends[0], host, IO, MSG_ZEROCOPY));
	EXPECT_EQ(IO, recv(ends[1], guest + BLOCK / 2, IO, MSG_WAITALL));
	EXPECT_TRUE(is_filled(guest + BLOCK / 2, IO, 2));
	EXPECT_EQ(IO, send(ends[0], guest, IO, 0));
	EXPECT_EQ(IO, recv(ends[1], host, IO, MSG_WAITALL));
	EXPECT_TRUE(is_filled(host, IO, 1));
}

TEST_HARNESS_MAIN
