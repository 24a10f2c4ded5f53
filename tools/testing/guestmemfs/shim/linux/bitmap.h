/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _SHIM_LINUX_BITMAP_H
#define _SHIM_LINUX_BITMAP_H

#include <linux/bitops.h>
#include <linux/string.h>

static inline void shim_fill(unsigned long *map, unsigned int start, unsigned int nr, bool value)
{
	while (nr) {
		if (!(start % BITS_PER_LONG) && nr >= BITS_PER_LONG) {
			*shim_word(map, start) = value ? ~0UL : 0;
			start += BITS_PER_LONG;
			nr -= BITS_PER_LONG;
			continue;
		}
		if (value)
			set_bit(start, map);
		else
			clear_bit(start, map);
		start++;
		nr--;
	}
}

static inline void bitmap_set(unsigned long *map, unsigned int start, unsigned int nr)
{
	shim_fill(map, start, nr, true);
}

static inline void bitmap_clear(unsigned long *map, unsigned int start, unsigned int nr)
{
	shim_fill(map, start, nr, false);
}

static inline void bitmap_zero(unsigned long *map, unsigned int nr)
{
	memset(map, 0, BITS_TO_LONGS(nr) * sizeof(long));
}

static inline void bitmap_fill(unsigned long *map, unsigned int nr)
{
	memset(map, 0xff, BITS_TO_LONGS(nr) * sizeof(long));
}

static inline unsigned long shim_last(unsigned int nr)
{
	return nr % BITS_PER_LONG ? shim_mask(nr) - 1 : ~0UL;
}

static inline void bitmap_xor(unsigned long *dst, const unsigned long *a, const unsigned long *b,
			      unsigned int nr)
{
	unsigned long i;

	for (i = 0; i < BITS_TO_LONGS(nr); i++)
		dst[i] = a[i] ^ b[i];
}

static inline bool bitmap_equal(const unsigned long *a, const unsigned long *b, unsigned int nr)
{
	unsigned long i, words = BITS_TO_LONGS(nr);

	for (i = 0; i + 1 < words; i++)
		if (a[i] != b[i])
			return false;
	return !words || !((a[i] ^ b[i]) & shim_last(nr));
}

static inline unsigned int bitmap_weight(const unsigned long *map, unsigned int nr)
{
	unsigned int weight = 0, i;

	for (i = 0; i < nr; i++)
		weight += test_bit(i, map);
	return weight;
}

#endif /* _SHIM_LINUX_BITMAP_H */
