// SPDX-License-Identifier: GPL-2.0
/*
 * The guest of the demo: a bare multiboot program that fills its RAM with a pattern, and then goes
 * through it page by page for ever. It checks every word and writes the value for the next pass, so
 * that it finds a page that was lost or is one pass old, wherever it was stopped.
 *
 * It uses no interrupts and no descriptor tables of its own: those that multiboot leaves are
 * enough.
 */
#include "guest.h"

#define DEBUGCON	0xe9
#define BEAT_CYCLES	33554432	/* about 10 ms */
#define LOST_LINES	8		/* reported in full in each pass */

#define MULTIBOOT_BOOTED	0x2badb002
#define MULTIBOOT_INFO_MEMORY	1

struct multiboot_info {
	unsigned int flags;
	unsigned int mem_lower;
	unsigned int mem_upper;	/* KiB from 1 MiB up to the first hole */
};

static char line[160];
static unsigned int line_len;

static void put_char(char c)
{
	if (line_len < sizeof(line))
		line[line_len++] = c;
}

static void put_str(const char *s)
{
	while (*s)
		put_char(*s++);
}

static void put_hex(unsigned int v)
{
	int shift;

	put_str(" 0x");
	for (shift = 28; shift >= 0; shift -= 4)
		put_char("0123456789abcdef"[(v >> shift) & 15]);
}

/* Divides by ten in two steps of 32 bits, because there is no libgcc here. */
static unsigned int div_ten(unsigned long long *v)
{
	unsigned int hi = *v >> 32, lo = *v, rem = hi % 10;

	asm("divl %2" : "+a" (lo), "+d" (rem) : "r" (10));
	*v = ((unsigned long long)(hi / 10) << 32) | lo;
	return rem;
}

static void put_dec(const char *label, unsigned long long v)
{
	char digits[20];
	int n = 0;

	put_str(label);
	put_char(' ');
	do {
		digits[n++] = '0' + div_ten(&v);
	} while (v);
	while (n)
		put_char(digits[--n]);
}

/*
 * Sends a line by one string instruction: an exit for each character would take longer than the
 * work.
 */
static void send_line(void)
{
	const char *p = line;

	put_char('\n');
	asm volatile("rep outsb" : "+S" (p), "+c" (line_len) : "d" (DEBUGCON) : "memory");
	line_len = 0;
}

static unsigned int cycles(void)
{
	unsigned int lo, hi;

	asm volatile("rdtsc" : "=a" (lo), "=d" (hi));
	return lo;
}

/* The count has to be in RAM at any moment, because the guest can be stopped at any instruction. */
static void barrier(void)
{
	asm volatile("" : : : "memory");
}

static void send_beat(struct guest_header *hdr)
{
	hdr->beats++;
	put_dec("beat", hdr->beats);
	put_dec(" count", hdr->count);
	put_dec(" epoch", hdr->epoch);
	put_dec(" MiB", hdr->count / (1048576 / GUEST_PAGE_SIZE));
	put_dec(hdr->lost ? " LOST" : " lost", hdr->lost);
	send_line();
}

static void send_lost(struct guest_header *hdr, unsigned int addr, unsigned int want,
		      unsigned int found)
{
	static unsigned int epoch, lines;

	hdr->lost++;
	if (epoch != hdr->epoch) {
		epoch = hdr->epoch;
		lines = 0;
	}
	if (lines++ >= LOST_LINES)
		return;
	put_str("LOST word at");
	put_hex(addr);
	put_str(" expected");
	put_hex(want);
	put_str(" found");
	put_hex(found);
	send_line();
}

/* addr * K grows by 4 * K from word to word, so the loop needs no multiplication. */
static void check_page(struct guest_header *hdr, unsigned int addr)
{
	const unsigned int step = guest_word(4, 0) ^ guest_word(0, 0);
	unsigned int now = guest_word(0, hdr->epoch), next = guest_word(0, hdr->epoch + 1);
	unsigned int base = guest_word(addr, 0) ^ guest_word(0, 0);
	unsigned int *word = (unsigned int *)addr, *end = (unsigned int *)(addr + GUEST_PAGE_SIZE);

	for (; word < end; word++, base += step) {
		unsigned int found = *word;

		if (__builtin_expect(found != (base ^ now), 0))
			send_lost(hdr, (unsigned int)word, base ^ now, found);
		*word = base ^ next;
	}
}

static void fill(unsigned int pages)
{
	unsigned int addr;

	for (addr = GUEST_PATTERN_ADDR; pages--; addr += GUEST_PAGE_SIZE) {
		unsigned int *word = (unsigned int *)addr;
		unsigned int i;

		for (i = 0; i < GUEST_PAGE_SIZE / 4; i++)
			word[i] = guest_word(addr + 4 * i, 0);
	}
}

static void check_count(struct guest_header *hdr)
{
	unsigned long long want = (unsigned long long)hdr->epoch * hdr->pages + hdr->page;

	if (hdr->count == want)
		return;
	hdr->lost++;
	put_dec("LOST count expected", want);
	put_dec(" found", hdr->count);
	send_line();
	hdr->count = want;
}

static void run(struct guest_header *hdr)
{
	unsigned int last = cycles();

	for (;;) {
		check_count(hdr);
		check_page(hdr, GUEST_PATTERN_ADDR + hdr->page * GUEST_PAGE_SIZE);
		if (++hdr->page == hdr->pages) {
			hdr->page = 0;
			hdr->epoch++;
		}
		hdr->count++;
		barrier();
		if (cycles() - last > BEAT_CYCLES) {
			send_beat(hdr);
			last = cycles();
		}
	}
}

void guest_main(unsigned int magic, const struct multiboot_info *info)
{
	struct guest_header *hdr = (struct guest_header *)GUEST_HEADER_ADDR;
	unsigned int end = 0;

	if (magic == MULTIBOOT_BOOTED && (info->flags & MULTIBOOT_INFO_MEMORY))
		end = 1048576 + info->mem_upper * 1024;
	if (end <= GUEST_PATTERN_ADDR) {
		put_str("FAILED: the boot loader names no RAM above 2 MiB");
		send_line();
		return;
	}
	*hdr = (struct guest_header){ .pages = (end - GUEST_PATTERN_ADDR) / GUEST_PAGE_SIZE };
	put_dec("fill", hdr->pages / (1048576 / GUEST_PAGE_SIZE));
	put_str(" MiB");
	send_line();
	fill(hdr->pages);
	barrier();
	hdr->magic = GUEST_MAGIC;
	barrier();
	send_beat(hdr);
	run(hdr);
}
