// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests the handover blob, which a kernel leaves for the next one.
 */
#include <stdlib.h>

#include <linux/crc32c.h>

#include "tables_pool.h"

#define HEAD(field)	offsetof(struct guestmemfs_handover, field)
#define POOLS		3
#define RANGES		6

static const struct gmfs_range blob_ranges[RANGES] = {
	{ 4 * GIB, GIB, 0 },
	{ 8 * GIB, 2 * GIB, 0 }, { 16 * GIB, 128 * MIB, 1024 }, { 20 * GIB, 4 * GIB, 1536 },
	{ 64 * GIB, 16 * GIB, 0 }, { 96 * GIB, GIB, 8192 },
};

static const u32 blob_first[POOLS + 1] = { 0, 1, 4, 6 };

static void blob_uuid(u8 uuid[16], u32 pool)
{
	memset(uuid, 0x10 + pool, 16);
}

static struct guestmemfs_handover *blob_make(size_t *size)
{
	void *blob;
	u8 uuid[16];
	u32 i;

	*size = gmfs_handover_size(POOLS, RANGES);
	blob = malloc(*size);
	CHECK(blob);
	memset(blob, 0xa5, *size);
	gmfs_handover_begin(blob, POOLS, RANGES);
	for (i = 0; i < POOLS; i++) {
		blob_uuid(uuid, i);
		gmfs_handover_pool(blob, i, 10 + i, uuid, (i + 1) * 2 * MIB, (i + 1) * 4 * MIB,
				   blob_ranges + blob_first[i], blob_first[i + 1] - blob_first[i],
				   blob_first[i], 0, 100 + i);
	}
	gmfs_handover_end(blob);
	return blob;
}

static void blob_fix_crc(struct guestmemfs_handover *h, size_t size)
{
	h->crc = 0;
	h->crc = cpu_to_le32(crc32c(~0U, h, size));
}

static void expect_ranges(const void *blob)
{
	struct gmfs_range range;
	u32 i;

	for (i = 0; i < RANGES; i++) {
		memset(&range, 0xa5, sizeof(range));
		gmfs_handover_get_range(blob, i, &range);
		CHECK_EQ(range.base, blob_ranges[i].base);
		CHECK_EQ(range.size, blob_ranges[i].size);
		CHECK_EQ(range.first, blob_ranges[i].first);
	}
}

static void handover_there_and_back(const void *arg)
{
	struct guestmemfs_handover_pool pool;
	struct guestmemfs_handover *h;
	const char *why;
	size_t size;
	u8 uuid[16];
	u32 i;

	(void)arg;
	h = blob_make(&size);
	CHECK_EQ(size, 64 + POOLS * 64 + RANGES * 24);
	CHECK_EQ(gmfs_handover_check(h, size, &why), 0);
	CHECK(!why);
	for (i = 0; i < POOLS; i++) {
		CHECK_EQ(gmfs_handover_get_pool(h, i, &pool), 0);
		blob_uuid(uuid, i);
		CHECK(!memcmp(pool.uuid, uuid, 16));
		CHECK_EQ(le32_to_cpu(pool.node), 10 + i);
		CHECK_EQ(le64_to_cpu(pool.meta_base), (i + 1) * 2 * MIB);
		CHECK_EQ(le64_to_cpu(pool.meta_size), (i + 1) * 4 * MIB);
		CHECK_EQ(le32_to_cpu(pool.first_range), blob_first[i]);
		CHECK_EQ(le32_to_cpu(pool.nr_ranges), blob_first[i + 1] - blob_first[i]);
		CHECK_EQ(pool.flags, 0);
	}
	expect_ranges(h);
	free(h);
}

/* The blob of a kernel without resizing has shorter records of ranges, and no numbers. */
static void handover_short_ranges(const void *arg)
{
	const u32 head = 64 + POOLS * 64, old = GUESTMEMFS_HANDOVER_RANGE_MIN;
	const size_t size = head + RANGES * old;
	struct guestmemfs_handover_pool pool;
	struct gmfs_range ranges[RANGES];
	struct guestmemfs_handover *h;
	const char *why;
	size_t now;
	u8 *blob;
	u32 i;

	(void)arg;
	h = blob_make(&now);
	h->range_size = cpu_to_le32(old);
	h->total_size = cpu_to_le32(size);
	/* A heap copy of exact size: the address sanitizer sees reads behind its end. */
	blob = malloc(size);
	CHECK(blob);
	memcpy(blob, h, head);
	for (i = 0; i < RANGES; i++)
		memcpy(blob + head + i * old, (u8 *)h + head + i * 24, old);
	blob_fix_crc((void *)blob, size);
	CHECK_EQ(gmfs_handover_check(blob, size, &why), 0);
	for (i = 0; i < RANGES; i++) {
		gmfs_handover_get_range(blob, i, &ranges[i]);
		CHECK_EQ(ranges[i].base, blob_ranges[i].base);
		CHECK_EQ(ranges[i].size, blob_ranges[i].size);
		CHECK_EQ(ranges[i].first, GMFS_NO_BLOCK);
	}
	/* The numbers follow from the addresses then. */
	for (i = 0; i < POOLS; i++) {
		CHECK_EQ(gmfs_handover_get_pool(blob, i, &pool), 0);
		gmfs_ranges_number(ranges + le32_to_cpu(pool.first_range),
				   le32_to_cpu(pool.nr_ranges));
	}
	for (i = 0; i < RANGES; i++)
		CHECK_EQ(ranges[i].first, blob_ranges[i].first);
	free(h);
	free(blob);
}

/* The bytes of the blob's header are what the format defines. */
static void handover_is_frozen(const void *arg)
{
	static const u8 head[36] = {
		'G', 'M', 'F', 'S', 'H', 'A', 'N', 'D', 1, 0, 0, 0, 64, 0, 0, 0,
		64, 0, 0, 0, 24, 0, 0, 0, POOLS, 0, 0, 0, RANGES, 0, 0, 0, 0x90, 1, 0, 0,
	};
	struct guestmemfs_handover *h;
	size_t size;

	(void)arg;
	h = blob_make(&size);
	CHECK(!memcmp(h, head, sizeof(head)));
	CHECK_EQ(le32_to_cpu(h->crc), 0x47ed44f4);
	free(h);
}

/* A change of any bit is detected, by the checksum or by the checks of the header. */
static void handover_every_bit(const void *arg)
{
	struct guestmemfs_handover *h;
	const char *why;
	size_t size, at;
	u32 bit;
	u8 *blob;

	(void)arg;
	h = blob_make(&size);
	blob = (u8 *)h;
	for (at = 0; at < size; at++) {
		for (bit = 0; bit < 8; bit++) {
			int err;

			why = NULL;
			blob[at] ^= 1 << bit;
			err = gmfs_handover_check(blob, size, &why);
			CHECK(err == -EUCLEAN || err == -EINVAL);
			CHECK(why);
			blob[at] ^= 1 << bit;
		}
	}
	CHECK_EQ(gmfs_handover_check(blob, size, &why), 0);
	free(h);
}

static void handover_cut_short(const void *arg)
{
	struct guestmemfs_handover *h;
	const char *why;
	size_t size, cut;

	(void)arg;
	h = blob_make(&size);
	for (cut = 0; cut < size; cut++) {
		/* A heap copy of exact size: the address sanitizer sees reads behind its end. */
		void *copy = malloc(cut ? cut : 1);

		CHECK(copy);
		memcpy(copy, h, cut);
		CHECK_EQ(gmfs_handover_check(copy, cut, &why), -EINVAL);
		free(copy);
	}
	free(h);
}

#define NO_BLOB		"is too small or has no magic number"
#define NO_RECORDS	"has records that do not fit in it"
#define NO_VERSION	"is of another version"
#define NO_CHECKSUM	"has a broken checksum"

struct bad_head {
	const char *name;
	u32 offset;
	u32 value;
	int err;
	const char *why;
};

/* Each is given a valid checksum; only that of the last one is not, since its size is wrong. */
static const struct bad_head bad_heads[] = {
	{ "magic", HEAD(magic), 0, -EINVAL, NO_BLOB },
	{ "small head", HEAD(header_size), 63, -EINVAL, NO_RECORDS },
	{ "large head", HEAD(header_size), 80, -EINVAL, NO_RECORDS },
	{ "largest head", HEAD(header_size), U32_MAX, -EINVAL, NO_RECORDS },
	{ "small pools", HEAD(pool_size), 63, -EINVAL, NO_RECORDS },
	{ "large pools", HEAD(pool_size), 65, -EINVAL, NO_RECORDS },
	{ "largest pools", HEAD(pool_size), U32_MAX, -EINVAL, NO_RECORDS },
	{ "small ranges", HEAD(range_size), 15, -EINVAL, NO_RECORDS },
	{ "large ranges", HEAD(range_size), 25, -EINVAL, NO_RECORDS },
	{ "largest ranges", HEAD(range_size), U32_MAX, -EINVAL, NO_RECORDS },
	{ "one pool more", HEAD(nr_pools), POOLS + 1, -EINVAL, NO_RECORDS },
	{ "too many pools", HEAD(nr_pools), 1025, -EINVAL, NO_RECORDS },
	{ "most pools", HEAD(nr_pools), U32_MAX, -EINVAL, NO_RECORDS },
	{ "one range more", HEAD(nr_ranges), RANGES + 1, -EINVAL, NO_RECORDS },
	{ "most ranges", HEAD(nr_ranges), U32_MAX, -EINVAL, NO_RECORDS },
	{ "version 0", HEAD(version), 0, -EUCLEAN, NO_VERSION },
	{ "version 2", HEAD(version), 2, -EUCLEAN, NO_VERSION },
	{ "another size", HEAD(total_size), 4096, -EUCLEAN, NO_CHECKSUM },
};

static void bad_head(const void *arg)
{
	const struct bad_head *bad = arg;
	__le32 value = cpu_to_le32(bad->value);
	struct guestmemfs_handover *h;
	const char *why;
	size_t size;

	h = blob_make(&size);
	memcpy((u8 *)h + bad->offset, &value, sizeof(value));
	blob_fix_crc(h, size);
	CHECK_EQ(gmfs_handover_check(h, size, &why), bad->err);
	CHECK_STR(why, bad->why);
	free(h);
}

static void handover_broken_checksum(const void *arg)
{
	struct guestmemfs_handover_pool pool;
	struct guestmemfs_handover *h;
	struct gmfs_range range;
	const char *why;
	size_t size;

	(void)arg;
	h = blob_make(&size);
	h->crc ^= cpu_to_le32(1);
	CHECK_EQ(gmfs_handover_check(h, size, &why), -EUCLEAN);
	CHECK_STR(why, NO_CHECKSUM);
	/* The records are still readable, so that the kernel can keep away from that memory. */
	CHECK_EQ(gmfs_handover_get_pool(h, POOLS - 1, &pool), 0);
	gmfs_handover_get_range(h, RANGES - 1, &range);
	CHECK_EQ(range.base, blob_ranges[RANGES - 1].base);
	free(h);
}

/* A later version may have larger records, even of odd size. */
static void handover_larger_records(const void *arg)
{
	const u32 pool_size = 64 + 13, range_size = 24 + 3, header_size = 64 + 5;
	const size_t size = header_size + POOLS * pool_size + RANGES * range_size;
	struct guestmemfs_handover *h;
	struct guestmemfs_handover_pool pool;
	const char *why;
	size_t old_size;
	u8 *blob, *old;
	u32 i;

	(void)arg;
	h = blob_make(&old_size);
	old = (u8 *)h;
	blob = malloc(size);
	CHECK(blob);
	memset(blob, 0xff, size);
	h->version = cpu_to_le32(2);
	h->header_size = cpu_to_le32(header_size);
	h->pool_size = cpu_to_le32(pool_size);
	h->range_size = cpu_to_le32(range_size);
	memcpy(blob, old, 64);
	for (i = 0; i < POOLS; i++)
		memcpy(blob + header_size + i * pool_size, old + 64 + i * 64, 64);
	for (i = 0; i < RANGES; i++)
		memcpy(blob + header_size + POOLS * pool_size + i * range_size,
		       old + 64 + POOLS * 64 + i * 24, 24);
	CHECK_EQ(gmfs_handover_check(blob, size, &why), -EUCLEAN);
	CHECK_STR(why, NO_VERSION);
	for (i = 0; i < POOLS; i++) {
		CHECK_EQ(gmfs_handover_get_pool(blob, i, &pool), 0);
		CHECK_EQ(le32_to_cpu(pool.node), 10 + i);
	}
	expect_ranges(blob);
	free(h);
	free(blob);
}

struct bad_pool {
	const char *name;
	u32 first;
	u32 nr;
	int err;
};

static const struct bad_pool bad_pools[] = {
	{ "all of them", 0, RANGES, 0 },
	{ "the last", RANGES - 1, 1, 0 },
	{ "none", 0, 0, 0 },
	{ "one too many", 0, RANGES + 1, -EINVAL },
	{ "from the last", RANGES - 1, 2, -EINVAL },
	{ "behind the last", RANGES, 1, -EINVAL },
	{ "far away", U32_MAX, 1, -EINVAL },
	{ "where the sum overflows", U32_MAX - 1, 3, -EINVAL },
	{ "most", 0, U32_MAX, -EINVAL },
};

static void bad_pool(const void *arg)
{
	const struct bad_pool *bad = arg;
	struct guestmemfs_handover_pool *pools, pool;
	struct guestmemfs_handover *h;
	size_t size;

	h = blob_make(&size);
	pools = (void *)(h + 1);
	pools[1].first_range = cpu_to_le32(bad->first);
	pools[1].nr_ranges = cpu_to_le32(bad->nr);
	CHECK_EQ(gmfs_handover_get_pool(h, 1, &pool), bad->err);
	free(h);
}

/* Flags of a pool that change after the blob was made. */
static void handover_marked(const void *arg)
{
	struct guestmemfs_handover_pool pool;
	struct guestmemfs_handover *h;
	const char *why;
	size_t size;

	(void)arg;
	h = blob_make(&size);
	gmfs_handover_mark(h, 1, GUESTMEMFS_POOL_ERROR);
	CHECK_EQ(gmfs_handover_check(h, size, &why), 0);
	CHECK_EQ(gmfs_handover_get_pool(h, 1, &pool), 0);
	CHECK_EQ(le32_to_cpu(pool.flags), GUESTMEMFS_POOL_ERROR);
	CHECK_EQ(gmfs_handover_get_pool(h, 0, &pool), 0);
	CHECK(!(le32_to_cpu(pool.flags) & GUESTMEMFS_POOL_ERROR));
	free(h);
}

static void handover_most_ranges(const void *arg)
{
	const u32 nr = GUESTMEMFS_MAX_RANGES + 1;
	struct guestmemfs_handover *h = malloc(gmfs_handover_size(1, nr));
	struct guestmemfs_handover_pool *pools = (void *)(h + 1), pool;

	(void)arg;
	CHECK(h);
	gmfs_handover_begin(h, 1, nr);
	pools->nr_ranges = cpu_to_le32(nr);
	CHECK_EQ(gmfs_handover_get_pool(h, 0, &pool), -EINVAL);
	pools->nr_ranges = cpu_to_le32(nr - 1);
	CHECK_EQ(gmfs_handover_get_pool(h, 0, &pool), 0);
	free(h);
}

struct blob_size {
	u32 nr_pools;
	u32 nr_ranges;
};

static const struct blob_size blob_sizes[] = {
	{ 0, 0 }, { GUESTMEMFS_MAX_POOLS, GUESTMEMFS_MAX_POOLS * GUESTMEMFS_MAX_RANGES },
};

static void blob_of_size(const void *arg)
{
	const struct blob_size *nr = arg;
	size_t size = gmfs_handover_size(nr->nr_pools, nr->nr_ranges);
	struct guestmemfs_handover *h = malloc(size);
	const char *why;

	CHECK(h);
	gmfs_handover_begin(h, nr->nr_pools, nr->nr_ranges);
	gmfs_handover_end(h);
	CHECK_EQ(gmfs_handover_check(h, size, &why), 0);
	free(h);
}

void handover_complaints(void (*fn)(const char *what))
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(bad_heads); i++)
		fn(bad_heads[i].why);
}

void handover_tests(void)
{
	u32 i;

	TEST(handover_there_and_back);
	TEST(handover_is_frozen);
	TEST(handover_every_bit);
	TEST(handover_cut_short);
	for (i = 0; i < ARRAY_SIZE(bad_heads); i++)
		test_add(bad_head, &bad_heads[i], "handover: %s", bad_heads[i].name);
	TEST(handover_broken_checksum);
	TEST(handover_short_ranges);
	TEST(handover_larger_records);
	for (i = 0; i < ARRAY_SIZE(bad_pools); i++)
		test_add(bad_pool, &bad_pools[i], "handover, ranges: %s", bad_pools[i].name);
	TEST(handover_marked);
	TEST(handover_most_ranges);
	for (i = 0; i < ARRAY_SIZE(blob_sizes); i++)
		test_add(blob_of_size, &blob_sizes[i], "handover of %u pools, %u ranges",
			 blob_sizes[i].nr_pools, blob_sizes[i].nr_ranges);
}
