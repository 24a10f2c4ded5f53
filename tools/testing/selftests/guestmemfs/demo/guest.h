/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The header in the RAM of the demo's guest. The guest writes it, and ramtool.c reads it in the
 * file with that RAM while no VMM runs. The two are built for pointers of different size: fields
 * have the same size and offset in both.
 */
#ifndef GUESTMEMFS_DEMO_GUEST_H
#define GUESTMEMFS_DEMO_GUEST_H

/*
 * Guest physical addresses. RAM below 2 GiB starts at offset 0 of the file, so addresses are also
 * file offsets.
 */
#define GUEST_HEADER_ADDR	0x1ff000
#define GUEST_PATTERN_ADDR	0x200000
#define GUEST_PAGE_SIZE		4096

#define GUEST_MAGIC		0x6f6d6564736d6567ull	/* "gemsdemo" */

/* The guest writes magic last, so that a header with it is complete. */
struct guest_header {
	unsigned long long magic;
	unsigned long long count;		/* pages verified: epoch * pages + page */
	unsigned long long lost;		/* words found with a wrong value */
	unsigned int pages;		/* with the pattern, from GUEST_PATTERN_ADDR on */
	unsigned int epoch;		/* passes finished */
	unsigned int page;		/* the next page of this pass */
	unsigned int beats;		/* reports sent */
};

/*
 * The value of a word. Within an epoch, no two addresses have the same value, and an address has a
 * different value in each epoch. At most one address has the value zero.
 */
static inline unsigned int guest_word(unsigned int addr, unsigned int epoch)
{
	return (addr * 0x9e3779b1u) ^ (epoch * 0x85ebca6bu + 1);
}

#endif
