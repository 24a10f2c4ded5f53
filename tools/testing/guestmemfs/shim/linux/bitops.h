/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _SHIM_LINUX_BITOPS_H
#define _SHIM_LINUX_BITOPS_H

#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/types.h>

#define BITS_PER_LONG		((unsigned long)(8 * sizeof(long)))
#define BITS_TO_LONGS(n)	DIV_ROUND_UP(n, BITS_PER_LONG)
#define BIT(n)			(1UL << (n))

static inline unsigned long *shim_word(const unsigned long *map, unsigned long nr)
{
	return (unsigned long *)&map[nr / BITS_PER_LONG];
}

static inline unsigned long shim_mask(unsigned long nr)
{
	return BIT(nr % BITS_PER_LONG);
}

static inline bool test_bit(unsigned long nr, const unsigned long *map)
{
	return *shim_word(map, nr) & shim_mask(nr);
}

static inline void set_bit(unsigned long nr, unsigned long *map)
{
	*shim_word(map, nr) |= shim_mask(nr);
}

static inline void clear_bit(unsigned long nr, unsigned long *map)
{
	*shim_word(map, nr) &= ~shim_mask(nr);
}

#define __set_bit(nr, map)	set_bit(nr, map)
#define __clear_bit(nr, map)	clear_bit(nr, map)

#define __ffs(word)		((unsigned long)__builtin_ctzl(word))
#define __fls(word)		(BITS_PER_LONG - 1 - __builtin_clzl(word))

/*
 * As in the kernel, whole words are read. If a table ends inside of a word, the address sanitizer
 * sees the read beyond its end.
 */
static inline unsigned long shim_find(const unsigned long *map, unsigned long size,
				      unsigned long start, unsigned long invert)
{
	while (start < size) {
		unsigned long word = (*shim_word(map, start) ^ invert) >> (start % BITS_PER_LONG);

		if (word)
			return min(start + __builtin_ctzl(word), size);
		start = round_down(start, BITS_PER_LONG) + BITS_PER_LONG;
	}
	return size;
}

static inline unsigned long find_next_bit(const unsigned long *map, unsigned long size,
					  unsigned long start)
{
	return shim_find(map, size, start, 0);
}

static inline unsigned long find_next_zero_bit(const unsigned long *map, unsigned long size,
					       unsigned long start)
{
	return shim_find(map, size, start, ~0UL);
}

/* Returns @size if no bit is set. */
static inline unsigned long find_last_bit(const unsigned long *map, unsigned long size)
{
	unsigned long at = size;

	while (at-- > 0) {
		unsigned long word = *shim_word(map, at);

		word &= ~0UL >> (BITS_PER_LONG - 1 - at % BITS_PER_LONG);
		if (word)
			return round_down(at, BITS_PER_LONG) + __fls(word);
		at = round_down(at, BITS_PER_LONG);
	}
	return size;
}

#define find_first_bit(map, size)	find_next_bit(map, size, 0)
#define find_first_zero_bit(map, size)	find_next_zero_bit(map, size, 0)

#endif /* _SHIM_LINUX_BITOPS_H */
