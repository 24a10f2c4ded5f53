// SPDX-License-Identifier: GPL-2.0-only
/*
 * Runs the fuzzer's corpus, and a fixed number of mutations of it, without the fuzzer.
 */
#include <stdlib.h>

#include "corpus.h"
#include "tables_pool.h"

#define MUTATIONS	40000

static struct corpus_item *items;
static u32 nr_items;

static void replay(const void *arg)
{
	const struct corpus_item *item = arg;
	u8 *copy = malloc(item->size);

	CHECK(copy);
	memcpy(copy, item->data, item->size);
	fuzz_init(NULL, NULL);
	fuzz_one(copy, item->size);
	fuzz_look();
	free(copy);
}

static u8 random_byte(u64 r)
{
	static const u8 bytes[] = { 0, 1, 2, 4, 0x10, 0x20, 0x40, 0x7f, 0x80, 0xff, '/' };

	return r & 1 ? r >> 8 : bytes[(r >> 8) % ARRAY_SIZE(bytes)];
}

/* Appends a piece of another input. */
static u32 mutate_join(u8 *data, u32 size, const struct corpus_item *other, u64 r)
{
	u32 from = r % other->size, len = min(other->size - from, FUZZ_MAX_SIZE - size);

	memcpy(data + size, other->data + from, len);
	return size + len;
}

static u32 mutate(u8 *data, u64 *seed)
{
	const struct corpus_item *item = &items[pool_random(seed) % nr_items];
	u32 size = item->size, times = 1 + pool_random(seed) % 4;

	memcpy(data, item->data, size);
	if (pool_random(seed) % 4 == 0)
		size = mutate_join(data, size, &items[pool_random(seed) % nr_items],
				   pool_random(seed));
	while (times--) {
		u64 r = pool_random(seed);

		data[(r >> 32) % size] = random_byte(r);
	}
	return size;
}

/* No mutation may crash the code, and a good part of the tables has to be accepted. */
static void mutations(const void *arg)
{
	u8 *data = malloc(FUZZ_MAX_SIZE);
	u64 seed = 1;
	u32 i;

	(void)arg;
	CHECK(data);
	fuzz_init(NULL, NULL);
	for (i = 0; i < MUTATIONS; i++)
		fuzz_one(data, mutate(data, &seed));
	fuzz_look();
	CHECK(fuzz_accepted > MUTATIONS / 10);
	CHECK(fuzz_accepted < MUTATIONS / 2);
	free(data);
}

void replay_tests(void)
{
	u32 i;

	items = corpus_load(TEST_DIR "/corpus.txt", &nr_items);
	for (i = 0; i < nr_items; i++)
		test_add(replay, &items[i], "fuzz: corpus, line %u", items[i].line);
	test_add(mutations, NULL, "fuzz: mutations of the corpus");
}
