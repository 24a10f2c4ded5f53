// SPDX-License-Identifier: GPL-2.0-only
/*
 * A pool whose tables are corrupted and restored, many times and fast.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "image.h"
#include "state.h"
#include "use.h"

/* Maps the image between inaccessible pages, so that a read beyond its ends is a fault. */
static u8 *image_map(int fd, u64 size, int prot)
{
	const u64 guard = GMFS_BLOCK_SIZE;
	u8 *all = mmap(NULL, size + 2 * guard, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(all != MAP_FAILED);
	CHECK(mmap(all + guard, size, prot, MAP_SHARED | MAP_FIXED, fd, 0) == all + guard);
	return all + guard;
}

static void image_unmap(u8 *map, u64 size)
{
	munmap(map - GMFS_BLOCK_SIZE, size + 2 * GMFS_BLOCK_SIZE);
}

struct image *image_make(void)
{
	struct image *m = calloc(1, sizeof(*m));
	struct gmfs_complaint c;
	struct pool p;
	int fd;

	CHECK(m);
	state_make(&p);
	m->size = p.meta_size;
	fd = memfd_create("image", 0);
	CHECK(fd >= 0 && !ftruncate(fd, m->size));
	m->meta = image_map(fd, m->size, PROT_READ | PROT_WRITE);
	m->shown = image_map(fd, m->size, PROT_READ);
	close(fd);
	memcpy(m->meta, p.meta, m->size);
	pool_free(&p);
	m->copy = malloc(m->size);
	CHECK(m->copy);
	memcpy(m->copy, m->meta, m->size);
	CHECK_EQ(gmfs_format_open(&m->t, m->meta, META_BASE, m->size, &c), 0);
	return m;
}

void image_free(struct image *m)
{
	image_unmap(m->meta, m->size);
	image_unmap(m->shown, m->size);
	free(m->copy);
	free(m);
}

void image_touch(struct image *m, const void *start, u64 size)
{
	u64 offset = (const u8 *)start - m->meta;

	CHECK(offset <= m->size && size <= m->size - offset && m->nr_spans < IMAGE_SPANS);
	m->spans[m->nr_spans].offset = offset;
	m->spans[m->nr_spans++].size = size;
}

void image_restore(struct image *m)
{
	while (m->nr_spans) {
		u64 offset = m->spans[--m->nr_spans].offset;

		memcpy(m->meta + offset, m->copy + offset, m->spans[m->nr_spans].size);
	}
}

bool image_is_whole(const struct image *m)
{
	return !memcmp(m->meta, m->copy, m->size);
}

/* Notes everything that use_tables() may have changed. */
static void image_touch_tables(struct image *m, const struct gmfs_tables *t)
{
	const struct guestmemfs_super_live *live = &t->super->live;
	u64 bytes = BITS_TO_LONGS(t->capacity) * sizeof(long);

	/* The whole superblock: setting a feature bit changes the checksum, too. */
	image_touch(m, t->super, sizeof(*t->super));
	image_touch(m, t->maps, le32_to_cpu(live->used_maps) * sizeof(*t->maps));
	image_touch(m, t->ranges, GUESTMEMFS_MAX_RANGES * sizeof(*t->ranges));
	image_touch(m, t->bitmap, bytes);
	image_touch(m, t->unzeroed, bytes);
	image_touch(m, t->inodes, le32_to_cpu(live->used_inodes) * sizeof(*t->inodes));
	image_touch(m, t->extents, le32_to_cpu(live->used_extents) * sizeof(*t->extents));
	image_touch(m, t->pin_records, min(le32_to_cpu(live->used_pins) + USE_MORE_PINS,
					   t->nr_pins) * sizeof(*t->pin_records));
	image_touch(m, t->poison, min(le32_to_cpu(live->used_poison) + USE_MORE_POISON,
				      t->nr_poison) * sizeof(*t->poison));
}

bool image_try(struct image *m, const u8 *ops, size_t nr, u32 fail_from)
{
	struct gmfs_complaint c = {};
	struct gmfs_index index;
	struct gmfs_tables t;
	int err;

	/* Check the read-only mapping: a write to an image that is not accepted yet is a fault. */
	err = gmfs_format_open(&t, m->shown, META_BASE, m->size, &c);
	if (!err) {
		shim_allocations = 0;
		shim_fail_from = fail_from;
		err = gmfs_check(&t, &index, &c);
		shim_fail_from = 0;
		CHECK(!err || !index.slots);
	}
	CHECK_EQ(shim_unfreed, !err);
	if (err) {
		CHECK(err == -EUCLEAN || (fail_from && err == -ENOMEM));
		CHECK(err != -EUCLEAN || (c.table && c.what));
		return false;
	}
	CHECK_EQ(gmfs_format_open(&t, m->meta, META_BASE, m->size, &c), 0);
	use_tables(&t, &index, ops, t.read_only ? 0 : nr);
	image_touch_tables(m, &t);
	gmfs_index_free(&index);
	CHECK_EQ(shim_unfreed, 0);
	return true;
}
