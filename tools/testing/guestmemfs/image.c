// SPDX-License-Identifier: GPL-2.0-only
/*
 * A pool whose tables are to be corrupted, many times and fast.
 */
#include <stdlib.h>

#include "image.h"

static void image_add(struct image *m, const void *start, size_t size)
{
	m->offset[m->nr] = (const u8 *)start - (const u8 *)m->p.meta;
	m->size[m->nr++] = size;
}

static void image_add_parts(struct image *m)
{
	struct gmfs_tables *t = &m->p.t;
	size_t bits = BITS_TO_LONGS(t->nr_blocks) * sizeof(long);

	image_add(m, t->super, offsetof(struct guestmemfs_super, reserved2));
	image_add(m, t->ranges, 4 * sizeof(*t->ranges));
	image_add(m, t->bitmap, bits);
	image_add(m, t->unzeroed, bits);
	image_add(m, t->inodes, 16 * sizeof(*t->inodes));
	/* All of it: those who use the pool may use any of it. */
	image_add(m, t->extents, t->nr_extents * sizeof(*t->extents));
}

struct image *image_make(void)
{
	const struct gmfs_range ranges[] = {
		{ 896 * MIB, 128 * MIB }, { 2 * GIB, GIB }, { 5 * GIB - 256 * MIB, 384 * MIB },
	};
	struct image *m = calloc(1, sizeof(*m));
	struct pool *p;
	u32 dir, i;

	CHECK(m);
	p = &m->p;
	pool_make(p, ranges, ARRAY_SIZE(ranges));
	dir = pool_dir(p, pool_dir(p, GUESTMEMFS_ROOT_INO, "a"), "b");
	for (i = 0; i < 3; i++) {
		CHECK_EQ(pool_fill(p, pool_file(p), 0, 100), 0);
		CHECK_EQ(pool_punch(p, i, 10 * i, 5), 0);
	}
	pool_name(p, p->ino[2], dir, "c");
	pool_check(p);
	image_add_parts(m);
	m->copy = malloc(p->meta_size);
	CHECK(m->copy);
	memcpy(m->copy, p->meta, p->meta_size);
	return m;
}

void image_free(struct image *m)
{
	pool_free(&m->p);
	free(m->copy);
	free(m);
}

void image_restore(struct image *m)
{
	u32 i;

	/* With another list of tables, anything may have been written to. */
	if (memcmp(m->p.meta, m->copy, offsetof(struct guestmemfs_super, live))) {
		memcpy(m->p.meta, m->copy, m->p.meta_size);
		return;
	}
	for (i = 0; i < m->nr; i++)
		memcpy((u8 *)m->p.meta + m->offset[i], m->copy + m->offset[i], m->size[i]);
}

bool image_try(struct image *m, const u8 *ops, size_t nr)
{
	struct gmfs_complaint c = {};
	struct gmfs_index index;
	struct gmfs_tables t;
	int err;

	err = gmfs_format_open(&t, m->p.meta, META_BASE, m->p.meta_size, &c);
	if (!err)
		err = gmfs_check(&t, &index, &c);
	if (err) {
		CHECK_EQ(err, -EUCLEAN);
		CHECK(c.table && c.what);
		return false;
	}
	pool_use(&t, &index, ops, nr);
	gmfs_index_free(&index);
	return true;
}
