// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tracepoints: each event is traced once, with the right values.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "harness.h"
#include "../liveupdate/luo.h"
#include "move.h"
#include "util.h"

#define TRACING		"/sys/kernel/tracing"
#define INSTANCE	TRACING "/instances/guestmemfs-test"
#define PUNCH		(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define RW		(PROT_READ | PROT_WRITE)
#define ZERO		(FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE)

static bool write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_TRUNC);
	bool done = fd >= 0 && write(fd, text, strlen(text)) == strlen(text);

	close(fd);
	return done;
}

FIXTURE(traced)
{
	int nr;
	struct pool p;
	int fd;
	int ino;
};

FIXTURE_SETUP(traced)
{
	int nodes[MAX_POOLS];
	struct stat st;

	self->nr = 0;
	if (access(TRACING "/events", F_OK))
		mount("tracefs", TRACING, "tracefs", 0, NULL);
	if (access(TRACING "/events/guestmemfs", F_OK))
		SKIP(return, "no tracepoints in this kernel");
	if (!pool_nodes(nodes))
		SKIP(return, "no pool on this machine");
	self->nr = 1;
	ASSERT_TRUE(pool_setup(&self->p, nodes[0]));
	catch_faults();
	rmdir(INSTANCE);
	ASSERT_EQ(0, mkdir(INSTANCE, 0700));
	self->fd = file_make(&self->p, "file", 8 * BLOCK);
	ASSERT_GE(self->fd, 0);
	ASSERT_EQ(0, fstat(self->fd, &st));
	self->ino = st.st_ino;
	ASSERT_TRUE(write_text(INSTANCE "/events/guestmemfs/enable", "1"));
}

FIXTURE_TEARDOWN_PARENT(traced)
{
	if (!self->nr)
		return;
	rmdir(INSTANCE);
	EXPECT_STREQ("", pool_teardown(&self->p) ?: "");
}

/* Returns how many events of this name contain the words. */
static int count_events(const char *event, const char *fmt, ...)
{
	FILE *trace = fopen(INSTANCE "/trace", "r");
	char line[1024], name[64], words[256];
	va_list args;
	int nr = 0;

	va_start(args, fmt);
	vsnprintf(words, sizeof(words), fmt, args);
	va_end(args);
	snprintf(name, sizeof(name), " guestmemfs_%s: ", event);
	while (trace && fgets(line, sizeof(line), trace))
		nr += strstr(line, name) && strstr(line, words);
	if (trace)
		fclose(trace);
	return nr;
}

static void forget_events(void)
{
	write_text(INSTANCE "/trace", "");
}

TEST_F(traced, allocate_and_free)
{
	unsigned long long before = pool_free_blocks(&self->p);

	ASSERT_EQ(0, fallocate(self->fd, 0, 0, 3 * BLOCK));
	EXPECT_EQ(1, count_events("allocate", "node=%d ino=%d blocks=3 free=%llu\n", self->p.node,
				  self->ino, before - 3));
	/* All blocks are allocated already, so this is not traced. */
	ASSERT_EQ(0, fallocate(self->fd, 0, 0, 3 * BLOCK));
	EXPECT_EQ(1, count_events("allocate", ""));
	EXPECT_EQ(0, count_events("free", ""));
	ASSERT_EQ(0, fallocate(self->fd, PUNCH, BLOCK, BLOCK));
	EXPECT_EQ(1, count_events("free", "node=%d ino=%d blocks=1 free=%llu\n", self->p.node,
				  self->ino, before - 2));
	/* fallocate() beyond the end allocates, and truncate() frees. */
	ASSERT_EQ(0, fallocate(self->fd, 0, 8 * BLOCK, 4 * BLOCK));
	EXPECT_EQ(1, count_events("allocate", "ino=%d blocks=4 ", self->ino));
	ASSERT_EQ(0, ftruncate(self->fd, BLOCK));
	EXPECT_EQ(1, count_events("free", "ino=%d blocks=5 ", self->ino));
	/* The last close of an unlinked file frees its blocks. */
	ASSERT_EQ(0, unlink(pool_path(&self->p, "file")));
	EXPECT_EQ(0, count_events("free", "ino=%d blocks=1 free=%llu\n", self->ino, before));
	close(self->fd);
	EXPECT_EQ(1, count_events("free", "ino=%d blocks=1 free=%llu\n", self->ino, before));
	EXPECT_EQ(2, count_events("allocate", ""));
	EXPECT_EQ(3, count_events("free", ""));
}

TEST_F(traced, fault)
{
	char *p = mmap(NULL, 8 * BLOCK, RW, MAP_SHARED, self->fd, 0);

	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, poke(p + BLOCK + 3 * PAGE, 1));
	EXPECT_EQ(1, count_events("fault",
				  "node=%d ino=%d address=%#lx pgoff=0x203 order=9 flags=WRITE",
				  self->p.node, self->ino, (long)p + BLOCK + 3 * PAGE));
	EXPECT_EQ(1, count_events("fault", "result=NOPAGE"));
	EXPECT_EQ(1, count_events("allocate", "ino=%d blocks=1 ", self->ino));
	forget_events();
	/* The block is allocated and mapped already. */
	EXPECT_EQ(0, peek(p + BLOCK));
	EXPECT_EQ(0, count_events("fault", ""));
	ASSERT_EQ(0, ftruncate(self->fd, PAGE));
	EXPECT_EQ(FAULT(SIGBUS), peek(p + 4 * BLOCK));
	EXPECT_EQ(1, count_events("fault", "pgoff=0x800 order=0 "));
	EXPECT_EQ(1, count_events("fault", "result=SIGBUS"));
	EXPECT_EQ(0, peek(p));
	EXPECT_EQ(1, count_events("fault", "pgoff=0 order=0 ") +
		     count_events("fault", "pgoff=0x0 order=0 "));
}

/* Populating is traced like a fault, for reading or for writing. */
TEST_F(traced, populate)
{
	char *p = mmap(NULL, 8 * BLOCK, RW, MAP_SHARED, self->fd, 0);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, madvise(p + BLOCK, BLOCK, MADV_POPULATE_WRITE));
	EXPECT_EQ(1, count_events("fault", "pgoff=0x200 order=9 flags=WRITE"));
	ASSERT_EQ(0, madvise(p + 3 * BLOCK, BLOCK, MADV_POPULATE_READ));
	EXPECT_EQ(1, count_events("fault", "pgoff=0x600 order=9 flags=ALLOW_RETRY"));
	EXPECT_EQ(2, count_events("fault", "result=NOPAGE"));
	EXPECT_EQ(2, count_events("allocate", "ino=%d blocks=1 ", self->ino));
}

TEST_F(traced, truncate)
{
	ASSERT_EQ(0, ftruncate(self->fd, 9 * BLOCK));
	EXPECT_EQ(0, count_events("truncate", ""));
	ASSERT_EQ(0, fallocate(self->fd, PUNCH, PAGE, BLOCK));
	EXPECT_EQ(1, count_events("truncate", "node=%d ino=%d start=0x1000 end=0x201000 err=0\n",
				  self->p.node, self->ino));
	ASSERT_EQ(0, fallocate(self->fd, ZERO, 2 * BLOCK, PAGE));
	EXPECT_EQ(1, count_events("truncate", "node=%d ino=%d start=0x400000 end=0x401000 err=0\n",
				  self->p.node, self->ino));
	ASSERT_EQ(0, ftruncate(self->fd, BLOCK));
	EXPECT_EQ(1, count_events("truncate", "ino=%d start=0x200000 end=0x1200000 err=0\n",
				  self->ino));
	EXPECT_EQ(3, count_events("truncate", ""));
}

TEST_F(traced, move)
{
	int to = file_make(&self->p, "to", 8 * BLOCK);
	struct stat st;

	ASSERT_EQ(0, fstat(to, &st));
	ASSERT_EQ(0, fallocate(self->fd, 0, 2 * BLOCK, 3 * BLOCK));
	forget_events();
	ASSERT_EQ(0, move(self->fd, BLOCK, to, 0, 4 * BLOCK, 0));
	EXPECT_EQ(1, count_events("move",
				  "node=%d from=%d from_block=1 to=%d to_block=0 blocks=4 exchange=0 err=0\n",
				  self->p.node, self->ino, (int)st.st_ino));
	ASSERT_EQ(EEXIST, move(self->fd, 0, to, 3 * BLOCK, BLOCK, 0));
	EXPECT_EQ(1, count_events("move", "blocks=1 exchange=0 err=%d\n", -EEXIST));
	ASSERT_EQ(0, move(self->fd, 0, to, 3 * BLOCK, BLOCK, EXCHANGE));
	EXPECT_EQ(1, count_events("move", "blocks=1 exchange=1 err=0\n"));
	EXPECT_EQ(0, count_events("allocate", "") + count_events("free", ""));
}

TEST_F(traced, preserve)
{
	int luo = luo_open(), session;

	if (luo < 0)
		SKIP(return, "no /dev/liveupdate");
	session = luo_create(luo, "guestmemfs-trace");
	ASSERT_GE(session, 0);
	if (luo_preserve_fd(session, 1, self->fd)) {
		close(session);
		SKIP(return, "pools are not handed over");
	}
	EXPECT_EQ(1, count_events("preserve", "node=%d ino=%d step=preserve err=0\n",
				  self->p.node, self->ino));
	EXPECT_EQ(EBUSY, ERR(ftruncate(self->fd, 0)));
	EXPECT_EQ(1, count_events("truncate", "ino=%d start=0 ", self->ino) +
		     count_events("truncate", "ino=%d start=0x0 ", self->ino));
	EXPECT_EQ(1, count_events("truncate", "err=-16\n"));
	close(session);
	EXPECT_EQ(1, count_events("preserve", "ino=%d step=unpreserve err=0\n", self->ino));
	EXPECT_EQ(2, count_events("preserve", ""));
	close(luo);
}

TEST_HARNESS_MAIN
