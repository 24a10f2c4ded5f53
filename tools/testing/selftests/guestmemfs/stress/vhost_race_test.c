// SPDX-License-Identifier: GPL-2.0-only
/*
 * A vhost-vsock device sends and receives in guest memory for RACE_SECONDS, while the file loses
 * the memory of its rings and buffers. The block goes to another file, which must not see a byte of
 * the device, nor the device a byte of it. The pool has no other free block.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "fixture.h"
#include "vsock.h"

#define PUNCH		(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define SECONDS		"8"
#define MORE_SECONDS	200
#define GPA		GIB
#define BLOCKS		3UL
/* Rings are in the first block. */
#define SENT		BLOCK
#define RECEIVED	(2 * BLOCK)
#define BUFFER		(8 * PAGE)
#define TRAFFIC_TAG	0x41
#define OTHER_TAG	0x99
#define WAIT_MS		50

/**
 * struct vhost_race - what the threads share
 * @v: the device
 * @mem: the guest's memory
 * @ram: its file
 * @other: the file that gets the blocks
 * @stop: the threads have to stop
 * @listener: the host's socket
 * @wrong: bytes that were at a wrong place
 * @to_host: bytes that the host has received
 * @to_guest: bytes that the guest has received
 * @exchanges: how often the other file had a block
 * @during: how often the device has used a buffer meanwhile, or failed to
 */
struct vhost_race {
	struct vsock v;
	char *mem;
	int ram;
	int other;
	bool stop;
	int listener;
	unsigned long wrong;
	unsigned long to_host;
	unsigned long to_guest;
	unsigned long exchanges;
	unsigned long during;
};

static struct vhost_race race;

static bool stopped(void)
{
	return __atomic_load_n(&race.stop, __ATOMIC_RELAXED);
}

static void is_wrong(const char *what, long detail)
{
	if (__atomic_add_fetch(&race.wrong, 1, __ATOMIC_RELAXED) < 10)
		printf("# wrong: %s, %#lx\n", what, detail);
}

/* Traffic is tags, or zeroes where a block was punched out before it was used. */
static void check_traffic(const char *what, const char *p, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (p[i] && p[i] != TRAFFIC_TAG) {
			is_wrong(what, (unsigned char)p[i]);
			return;
		}
}

/* The host's end of a connection: sends and receives what it can, until the device is closed. */
static void serve(int fd)
{
	static char in[BUFFER], out[BUFFER];
	ssize_t n = 1;

	memset(out, TRAFFIC_TAG, sizeof(out));
	while (!stopped() && n) {
		struct pollfd p = { .fd = fd, .events = POLLIN | POLLOUT };

		if (poll(&p, 1, WAIT_MS) != 1)
			continue;
		if (p.revents & (POLLERR | POLLHUP))
			break;
		if (p.revents & POLLIN) {
			n = recv(fd, in, sizeof(in), MSG_DONTWAIT);
			if (n > 0) {
				check_traffic("a byte that was sent", in, n);
				__atomic_add_fetch(&race.to_host, n, __ATOMIC_RELAXED);
			}
		}
		if (p.revents & POLLOUT)
			send(fd, out, sizeof(out), MSG_DONTWAIT | MSG_NOSIGNAL);
	}
}

/* Serves the newest connection, which vsock_connect() has accepted. */
static void *run_host(void *arg)
{
	int fd;

	while (!stopped()) {
		fd = __atomic_exchange_n((int *)arg, -1, __ATOMIC_ACQUIRE);
		if (fd < 0) {
			usleep(1000);
			continue;
		}
		serve(fd);
		close(fd);
	}
	return NULL;
}

static void offer_all(unsigned int *seed)
{
	int i;

	memset(race.mem + SENT, TRAFFIC_TAG, NR_SLOTS * BUFFER);
	for (i = 0; i < NR_SLOTS; i++) {
		guest_offer(&race.v, i, race.mem + RECEIVED + i * BUFFER, BUFFER);
		guest_send(&race.v, i, VIRTIO_VSOCK_OP_RW, race.mem + SENT + i * BUFFER, BUFFER);
	}
	usleep(rand_r(seed) % 400);
}

static void count(int queue)
{
	race.during += vq_failed(&race.v.q[queue], 0);
}

/* The other file has the block: nobody else writes to it. */
static void use_other(void)
{
	char *p = map_file(race.other, 0, BLOCK);
	size_t i;
	int k;

	if (p == MAP_FAILED)
		return is_wrong("mmap", errno);
	if (!is_zero(p, BLOCK))
		is_wrong("a byte of a new block", 0);
	memset(p, OTHER_TAG, BLOCK);
	for (k = 0; k < 3; k++) {
		usleep(500);
		count(VSOCK_RX);
		count(VSOCK_TX);
		for (i = 0; i < BLOCK && (unsigned char)p[i] == OTHER_TAG; i++)
			;
		if (i < BLOCK)
			is_wrong("a byte of the other file", (unsigned char)p[i]);
	}
	munmap(p, BLOCK);
}

/* Moves a block to the other file and back. */
static void exchange(off_t victim)
{
	if (fallocate(race.ram, PUNCH, victim, BLOCK))
		return is_wrong("punching", errno);
	/* If this fails, the device was faster, and has filled the hole. */
	if (!fallocate(race.other, 0, 0, BLOCK)) {
		use_other();
		race.exchanges++;
		if (fallocate(race.other, PUNCH, 0, BLOCK))
			is_wrong("punching the other file", errno);
	}
	if (fallocate(race.ram, 0, victim, BLOCK))
		is_wrong("filling the hole", errno);
}

/* Takes what was received, as far as the rings still tell. */
static void collect(void)
{
	size_t len;
	int slot;

	while ((slot = guest_receive(&race.v, &len, 0)) >= 0 && slot < NR_SLOTS) {
		if (len > BUFFER)
			break;
		check_traffic("a byte that was received", race.v.payload[slot], len);
		race.to_guest += len;
	}
}

/*
 * Begins with a new device: one that could not write its answers into the guest's memory may count
 * them as queued for ever. Lets the host's thread have the connection.
 */
static bool begin(int *connection)
{
	uint32_t port = race.v.port;
	int fd, old;

	vsock_close(&race.v);
	if (vsock_open(&race.v, false))
		return false;
	/* The port of an earlier connection may be in use for some seconds. */
	race.v.port = port;
	race.v.parts[0] = (struct guest_part){ GPA, race.mem, BLOCKS * BLOCK };
	race.v.nr_parts = 1;
	if (vsock_memory(&race.v) || vsock_start(&race.v, race.mem))
		return false;
	fd = vsock_connect(&race.v, race.listener, race.mem + RECEIVED);
	if (fd < 0)
		return false;
	old = __atomic_exchange_n(connection, fd, __ATOMIC_ACQ_REL);
	if (old >= 0)
		close(old);
	return true;
}

static void run_guest(int seconds, int *connection)
{
	time_t end = time(NULL) + seconds;
	unsigned int seed = 1;

	while (!stopped() && time(NULL) < end) {
		off_t victim = rand_r(&seed) % BLOCKS * BLOCK;

		if (!begin(connection))
			return is_wrong("the device did not start", 0);
		offer_all(&seed);
		exchange(victim);
		/* The rings are empty if their block was punched. */
		if (victim)
			collect();
	}
}

TEST_F_TIMEOUT(in_pool, vhost_race, MORE_SECONDS)
{
	int seconds = atoi(getenv("RACE_SECONDS") ?: SECONDS), connection = -1, rest;
	pthread_t host;

	if (access("/dev/vhost-vsock", F_OK))
		SKIP(return, "no vhost-vsock");
	ASSERT_EQ(0, vsock_open(&race.v, false));
	race.listener = vsock_listen();
	ASSERT_GE(race.listener, 0);
	race.ram = file_make(&self->p, "ram", BLOCKS * BLOCK);
	race.other = file_make(&self->p, "other", BLOCK);
	rest = file_make(&self->p, "rest", 0);
	race.mem = map_file(race.ram, 0, BLOCKS * BLOCK);
	ASSERT_NE(MAP_FAILED, race.mem);
	ASSERT_EQ(0, fallocate(race.ram, 0, 0, BLOCKS * BLOCK));
	ASSERT_EQ(0, fallocate(rest, 0, 0, pool_free_blocks(&self->p) * BLOCK));
	ASSERT_EQ(0, pthread_create(&host, NULL, run_host, &connection));
	run_guest(seconds, &connection);
	__atomic_store_n(&race.stop, true, __ATOMIC_RELAXED);
	pthread_join(host, NULL);
	TH_LOG("%lu exchanges, %lu errors meanwhile, %lu bytes to the host, %lu to the guest",
	       race.exchanges, race.during, race.to_host, race.to_guest);
	EXPECT_EQ(0, race.wrong);
	EXPECT_GT(race.exchanges, 3);
	EXPECT_GT(race.during, 0);
	EXPECT_GT(race.to_host, 0);
	EXPECT_GT(race.to_guest, 0);
}

TEST_HARNESS_MAIN
