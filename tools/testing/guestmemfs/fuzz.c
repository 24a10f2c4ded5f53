// SPDX-License-Identifier: GPL-2.0-only
/*
 * Entry point of libFuzzer. The first byte of an input says what the rest is:
 *
 * 0, 1  changes of a pool's tables, with a checksum that fits for 1. A byte
 *       with the number of operations, four bytes for each of them (see
 *       pool_use()), then any number of changes: a byte for the part of the
 *       image, a byte for the number of bytes, two for the offset, the bytes.
 * 2, 3  a handover blob, with a checksum that fits for 3
 * 4     a guestmemfs= parameter
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <linux/crc32c.h>

#include "fuzz.h"
#include "image.h"

#define MAX_OPS		16
#define KINDS		5

static struct image *image;

void test_fail(const char *file, int line, const char *fmt, ...)
{
	va_list args;

	fprintf(stderr, "%s:%d: ", file, line);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, "\n");
	abort();
}

int fuzz_init(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	image = image_make();
	return 0;
}

static void fuzz_change(u32 part, u32 offset, const u8 *data, size_t size)
{
	part %= NR_PARTS;
	offset %= image->size[part];
	size = min(size, (size_t)image->size[part] - offset);
	memcpy((u8 *)image->p.meta + image->offset[part] + offset, data, size);
}

static void fuzz_tables(const u8 *data, size_t size, bool fix)
{
	const u8 *ops;
	size_t nr;

	if (!size)
		return;
	nr = min((size_t)data[0] % (MAX_OPS + 1) * 4, size - 1);
	ops = data + 1;
	data += 1 + nr;
	size -= 1 + nr;
	while (size > 4) {
		size_t len = min((size_t)data[1], size - 4);

		fuzz_change(data[0], data[2] | data[3] << 8, data + 4, len);
		data += 4 + len;
		size -= 4 + len;
	}
	if (fix)
		pool_fix_crc(image->p.meta, image->p.meta_size);
	image_try(image, ops, nr);
	image_restore(image);
}

/* All that a kernel does with a blob that is not its own. */
static void fuzz_read_blob(const struct guestmemfs_handover *h)
{
	struct guestmemfs_handover_pool pool;
	struct gmfs_range range;
	u32 i, n;

	for (i = 0; i < le32_to_cpu(h->nr_pools); i++) {
		if (gmfs_handover_get_pool(h, i, &pool))
			continue;
		for (n = 0; n < le32_to_cpu(pool.nr_ranges); n++)
			gmfs_handover_get_range(h, le32_to_cpu(pool.first_range) + n, &range);
	}
}

static void fuzz_handover(const u8 *data, size_t size, bool fix)
{
	struct guestmemfs_handover *h = malloc(size ? size : 1);
	const char *why;
	int err;

	CHECK(h);
	memcpy(h, data, size);
	if (fix && size >= sizeof(*h)) {
		h->total_size = cpu_to_le32(size);
		h->crc = 0;
		h->crc = cpu_to_le32(crc32c(~0U, h, size));
	}
	err = gmfs_handover_check(h, size, &why);
	CHECK(!err || why);
	if (!err || err == -EUCLEAN)
		fuzz_read_blob(h);
	free(h);
}

static void fuzz_cmdline(const u8 *data, size_t size)
{
	struct gmfs_request reqs[4];
	char *arg = malloc(size + 1);
	u32 nr, i;

	CHECK(arg);
	memcpy(arg, data, size);
	arg[size] = 0;
	if (!gmfs_cmdline_parse(arg, reqs, ARRAY_SIZE(reqs), &nr)) {
		CHECK(nr && nr <= ARRAY_SIZE(reqs));
		for (i = 0; i < nr; i++)
			CHECK(reqs[i].percent <= 100 && !reqs[i].percent != !reqs[i].bytes);
	}
	free(arg);
}

int fuzz_one(const u8 *data, size_t size)
{
	u8 kind;

	if (!size)
		return 0;
	kind = data[0] % KINDS;
	data++;
	size--;
	if (kind < 2)
		fuzz_tables(data, size, kind & 1);
	else if (kind < 4)
		fuzz_handover(data, size, kind & 1);
	else
		fuzz_cmdline(data, size);
	return 0;
}
