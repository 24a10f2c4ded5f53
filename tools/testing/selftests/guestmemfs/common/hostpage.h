/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_HOSTPAGE_H
#define _GUESTMEMFS_HOSTPAGE_H

#include <stdbool.h>
#include <stdint.h>

/**
 * with_host_page - do something to a page of this process that is in a gigabyte
 * @node: the node of the gigabyte
 * @gigabyte: its physical address
 * @use: gets the page and its physical address; it is unmapped afterwards
 * @arg: for @use
 *
 * Return: what @use has returned, or false if no page could be had.
 */
bool with_host_page(int node, uint64_t gigabyte,
		    bool (*use)(char *page, uint64_t phys, void *arg), void *arg);

/* For with_host_page(): pins the page in a pipe; @arg is its two descriptors. */
bool pin_in_pipe(char *page, uint64_t phys, void *arg);

#endif /* _GUESTMEMFS_HOSTPAGE_H */
