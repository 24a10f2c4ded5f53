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

/*
 * As in the kernel, whole words are read: a table that ends inside a word is a
 * fault that the address sanitizer sees here.
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

/* Calls of find_next_zero_bit(), to see how much is searched. */
extern unsigned long shim_searches;

static inline unsigned long find_next_zero_bit(const unsigned long *map, unsigned long size,
					       unsigned long start)
{
	shim_searches++;
	return shim_find(map, size, start, ~0UL);
}

#define find_first_bit(map, size)	find_next_bit(map, size, 0)
#define find_first_zero_bit(map, size)	find_next_zero_bit(map, size, 0)

struct shim_bitrange {
	const unsigned long *map;
	unsigned long size;
	unsigned long at;
};

/* The next range of clear bits, if there is one: from *start up to *end. */
static inline bool shim_clear_bitrange(struct shim_bitrange *r, u32 *start, u32 *end)
{
	*start = find_next_zero_bit(r->map, r->size, r->at);
	*end = find_next_bit(r->map, r->size, *start);
	r->at = *end;
	return *start < r->size;
}

#define for_each_clear_bitrange(start, end, map, size) \
	for (struct shim_bitrange _range = { map, size, 0 }; \
	     shim_clear_bitrange(&_range, &(start), &(end));)

#endif /* _SHIM_LINUX_BITOPS_H */
