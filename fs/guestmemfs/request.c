// SPDX-License-Identifier: GPL-2.0-only
/*
 * The requests of guestmemfs= on the kernel command line: carve.c makes pools for them, and
 * revive.c discards the contents of pools for them.
 */
#define pr_fmt(fmt) "guestmemfs: " fmt

#include <linux/init.h>
#include <linux/kexec_handover.h>
#include <linux/numa.h>

#include "boot.h"
#include "internal.h"

char *gmfs_cmdline __initdata;
/* At most one amount and one discard for each node. */
struct gmfs_request gmfs_requests[2 * MAX_NUMNODES] __initdata;
u32 gmfs_nr_requests __initdata;

static int __init gmfs_early_param(char *arg)
{
	gmfs_cmdline = arg ?: "";
	return 0;
}
early_param("guestmemfs", gmfs_early_param);

/**
 * gmfs_requests_parse - read guestmemfs= into gmfs_requests
 *
 * If the parameter cannot be parsed, there are no requests, and the log says so.
 *
 * Context: early boot, after early parameters have been parsed.
 */
void __init gmfs_requests_parse(void)
{
	if (!gmfs_cmdline || !gmfs_cmdline_parse(gmfs_cmdline, gmfs_requests,
						 ARRAY_SIZE(gmfs_requests), &gmfs_nr_requests))
		return;
	pr_err("cannot understand guestmemfs=%s, %s\n", gmfs_cmdline,
	       is_kho_boot() ? "ignored" : "no pools");
	gmfs_nr_requests = 0;
}
