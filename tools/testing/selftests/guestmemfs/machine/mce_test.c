// SPDX-License-Identifier: GPL-2.0-only
/*
 * Machine checks: memory errors as the processor reports them. The emulator's monitor injects them
 * (scripts/monitor), so that this needs the VM test mce.
 */
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "harness.h"
#include "poison.h"

#define BAD	(5 * BLOCK + 77 * PAGE)

/*
 * Machine checks of a bank that is not used otherwise: its status, that of the processor, and what
 * the address is: physical, and of a page. Those with "in user:" come while a program runs.
 */
#define ACTION_REQUIRED	"in user: mce 0 9 0xbd80000000000134 0x7 %#lx 0x8c\n"
#define ACTION_OPTIONAL	"mce 0 9 0xbd000000000000c0 0x5 %#lx 0x8c\n"

FIXTURE(mce)
{
	struct pool p;
	struct poison_before before;
	int monitor;
	int fd;
	char *ram;
};

/* Does the file have this text, and a newline? */
static bool file_is(const char *path, const char *text)
{
	FILE *f = fopen(path, "r");
	char line[32] = "";

	if (!f)
		return false;
	if (fgets(line, sizeof(line), f))
		line[strcspn(line, "\n")] = 0;
	fclose(f);
	return !strcmp(line, text);
}

/* Opens the virtio port that leads to the emulator's monitor. */
static int open_monitor(void)
{
	char port[32], path[64];
	int fd = -1;
	glob_t g;
	size_t i;

	if (glob("/sys/class/virtio-ports/*/name", 0, NULL, &g))
		return -1;
	for (i = 0; i < g.gl_pathc && fd < 0; i++) {
		if (!file_is(g.gl_pathv[i], "monitor") ||
		    sscanf(g.gl_pathv[i], "/sys/class/virtio-ports/%31[^/]", port) != 1)
			continue;
		snprintf(path, sizeof(path), "/dev/%s", port);
		fd = open(path, O_RDWR);
	}
	globfree(&g);
	return fd;
}

/* Waits for the monitor's answer to a command, which is empty if all is well. */
static bool monitor_agrees(int monitor)
{
	char line[256] = "";
	size_t len = 0;

	while (len < sizeof(line) - 1 && read(monitor, line + len, 1) == 1 && line[len] != '\n')
		len++;
	if (!strcmp(line, "\n"))
		return true;
	printf("# the monitor says %s\n", line);
	return false;
}

FIXTURE_SETUP(mce)
{
	int pools;

	self->monitor = open_monitor();
	if (self->monitor < 0)
		SKIP(return, "no monitor of an emulator");
	pools = poison_begin(&self->p, &self->before);
	if (!pools)
		SKIP(return, "no pool on this machine");
	ASSERT_EQ(1, pools);
	self->fd = file_make(&self->p, "ram", 8 * BLOCK);
	self->ram = map_file(self->fd, 0, 8 * BLOCK);
	ASSERT_NE(MAP_FAILED, (void *)self->ram);
	fill(self->ram, 8 * BLOCK, 1);
}

FIXTURE_TEARDOWN_PARENT(mce)
{
	EXPECT_STREQ("", poison_end(&self->p, &self->before) ?: "");
}

/* All other pages have what they had. */
static bool others_are_kept(const char *p)
{
	uint64_t i;

	for (i = (BAD + PAGE) / 8; i < 8 * BLOCK / 8; i++)
		if (((const uint64_t *)p)[i] != (1UL << 40) + i + 1)
			return false;
	return is_filled(p, BAD, 1);
}

/*
 * The program reads a page all the time when the processor finds the error in what it has read: it
 * must not go on without the data. Others that map the page are told if they have asked for it.
 *
 * Fails if the kernel does not know whose frame it is (SIGBUS without an address, by which a VMM
 * cannot find the page), or kills one of the processes.
 */
TEST_F(mce, action_required)
{
	uint64_t phys = file_phys(self->fd, BAD);
	struct watcher early, late;
	char command[80];
	long took;

	ASSERT_TRUE(watch(&early, self->fd, 0, 8 * BLOCK, PR_MCE_KILL_EARLY, BAD));
	ASSERT_TRUE(watch(&late, self->fd, 0, 8 * BLOCK, PR_MCE_KILL_LATE, BAD));
	snprintf(command, sizeof(command), ACTION_REQUIRED, (long)phys);
	took = poison_wait(self->ram + BAD, 10, self->monitor, command);
	EXPECT_TRUE(monitor_agrees(self->monitor));
	ASSERT_LE(0, took);
	TH_LOG("%ld ns from the last read to the signal", took);
	EXPECT_EQ(1, poison_signal.nr);
	EXPECT_EQ(BUS_MCEERR_AR, poison_signal.code);
	EXPECT_EQ((void *)(self->ram + BAD), poison_signal.addr);
	EXPECT_EQ(12, poison_signal.lsb);
	/* The page is not mapped any more: this is answered by the fault handler. */
	EXPECT_TRUE(is_bad(self->ram + BAD));
	EXPECT_EQ(101, watched(&early));
	EXPECT_EQ(100, watched(&late));
	EXPECT_TRUE(others_are_kept(self->ram));
	EXPECT_EQ(self->before.poisoned + PAGE, pool_sysfs(&self->p, "poisoned"));
	EXPECT_TRUE(is_listed(self->p.node, phys));
}

/* Waits for the kernel's worker. A second report waits for the end of the first one. */
static int reported(const struct pool *p, uint64_t poisoned, uint64_t phys)
{
	int n;

	for (n = 0; n < 1000 && pool_sysfs(p, "poisoned") == poisoned; n++)
		usleep(10000);
	return poison_frame(phys);
}

/*
 * An error that the memory controller finds by itself, in a page that nothing reads just now. Only
 * processes that have asked for early notice are told, all others when they touch the page.
 */
TEST_F(mce, action_optional)
{
	uint64_t phys = file_phys(self->fd, BAD);
	struct watcher early, late;

	ASSERT_TRUE(watch(&early, self->fd, 0, 8 * BLOCK, PR_MCE_KILL_EARLY, BAD));
	ASSERT_TRUE(watch(&late, self->fd, 0, 8 * BLOCK, PR_MCE_KILL_LATE, BAD));
	ASSERT_LT(0, dprintf(self->monitor, ACTION_OPTIONAL, (long)phys));
	EXPECT_TRUE(monitor_agrees(self->monitor));
	EXPECT_EQ(EHWPOISON, reported(&self->p, self->before.poisoned, phys));
	EXPECT_EQ(0, poison_signal.nr);
	EXPECT_EQ(101, watched(&early));
	EXPECT_EQ(100, watched(&late));
	EXPECT_TRUE(is_bad(self->ram + BAD));
	EXPECT_TRUE(others_are_kept(self->ram));
	EXPECT_EQ(self->before.poisoned + PAGE, pool_sysfs(&self->p, "poisoned"));
	EXPECT_TRUE(is_listed(self->p.node, phys));
}

TEST_HARNESS_MAIN
