/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the demo's guest keeps in its own RAM, for the guest that writes it and for ramtool.c,
 * which reads it in the file that backs that RAM while no VMM runs. The two are built for different
 * widths of a pointer: fields have the same size and place in both.
 */
#ifndef GUESTMEMFS_DEMO_GUEST_H
#define GUESTMEMFS_DEMO_GUEST_H

/*
 * Guest physical addresses. RAM below 2 GiB starts at offset 0 of the file, so that they are file
 * offsets too.
 */
#define GUEST_HEADER_ADDR	0x1ff000
#define GUEST_PATTERN_ADDR	0x200000
#define GUEST_PAGE_SIZE		4096

#define GUEST_MAGIC		0x6f6d6564736d6567ull	/* "gemsdemo" */

/* The guest fills magic last: a header that has it is complete. */
struct guest_header {
	unsigned long long magic;
	unsigned long long count;		/* pages verified: epoch * pages + page */
	unsigned long long lost;		/* words found with a wrong value */
	unsigned int pages;		/* that hold the pattern, from GUEST_PATTERN_ADDR on */
	unsigned int epoch;		/* passes finished */
	unsigned int page;		/* the next page of this pass */
	unsigned int beats;		/* reports sent */
};

/*
 * The value of a word: within an epoch no two addresses share one, nor do two epochs at an address,
 * and it is zero at one address at the most.
 */
static inline unsigned int guest_word(unsigned int addr, unsigned int epoch)
{
	return (addr * 0x9e3779b1u) ^ (epoch * 0x85ebca6bu + 1);
}

#endif
