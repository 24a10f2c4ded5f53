// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reads the tables of a pool, which the kernel shows in debugfs, as far as they are in use: of a
 * pool of 4 TiB that is far less than all of its metadata. The pool may change meanwhile, and a
 * saved file may be damaged: no number is trusted.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/kho/abi/guestmemfs.h>

#include "guestmemctl.h"

/* Of a longer path only the last names are shown. */
#define PATH_DEPTH	64
/* No physical address of x86 is beyond. */
#define PHYS_END	0x10000000000000ULL

struct reader {
	int fd;
	struct guestmemfs_super super;
	struct guestmemfs_inode *inodes;
	uint32_t nr_inodes;
	size_t *file_of;	/* by inode number: index in pool->files, or RUN_DETACHED */
	char *why;
};

static bool read_at(struct reader *r, void *buf, size_t size, uint64_t offset)
{
	while (size) {
		ssize_t n = pread(r->fd, buf, size, offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			r->why = n ? xstrdup(strerror(errno)) : xstrdup("it ends too early");
			return false;
		}
		buf = (char *)buf + n;
		size -= n;
		offset += n;
	}
	return true;
}

static bool bad(struct reader *r, const char *why)
{
	r->why = xstrdup(why);
	return false;
}

static bool read_super(struct reader *r)
{
	struct guestmemfs_super *s = &r->super;

	if (!read_at(r, s, sizeof(*s), 0))
		return false;
	if (le64toh(s->magic) != GUESTMEMFS_SUPER_MAGIC)
		return bad(r, "it has no pool");
	if (le32toh(s->version) != GUESTMEMFS_FORMAT_VERSION ||
	    le32toh(s->feature_incompat) & ~GUESTMEMFS_FEATURE_INCOMPAT_KNOWN)
		return bad(r, "the pool is of a newer kernel than this program");
	if (le32toh(s->block_shift) != BLOCK_SHIFT)
		return bad(r, "the superblock is damaged");
	return true;
}

/* Reads the first @used entries of a table. */
static void *read_table(struct reader *r, enum guestmemfs_table which, uint64_t used, size_t size)
{
	const struct guestmemfs_table_desc *d = &r->super.tables[which];
	uint64_t bytes = size ? used * size : (used + 7) / 8;
	void *table;

	if (used > le32toh(d->entries) || le32toh(d->entry_size) != size ||
	    le64toh(d->offset) > le64toh(r->super.meta_size) ||
	    bytes > le64toh(r->super.meta_size) - le64toh(d->offset)) {
		bad(r, "the list of tables is damaged");
		return NULL;
	}
	table = calloc(bytes ? bytes : 1, 1);
	if (!table) {
		bad(r, "out of memory");
		return NULL;
	}
	if (!bytes || read_at(r, table, bytes, le64toh(d->offset)))
		return table;
	free(table);
	return NULL;
}

static bool read_ranges(struct reader *r, struct tables *t)
{
	uint32_t nr = le32toh(r->super.nr_ranges), i;
	struct guestmemfs_range *ranges;

	ranges = read_table(r, GUESTMEMFS_TABLE_RANGES, nr, sizeof(*ranges));
	if (!ranges)
		return false;
	t->ranges = xcalloc(nr, sizeof(*t->ranges));
	for (i = 0; i < nr; i++) {
		struct range *range = &t->ranges[t->nr_ranges];

		range->base = le64toh(ranges[i].base);
		range->size = le64toh(ranges[i].size);
		range->first = le32toh(ranges[i].first_block);
		/* Leave a range out that no memory has, or that the bitmap does not reach. */
		if (range->base < PHYS_END && !((range->base | range->size) % BLOCK_SIZE) &&
		    range->first < t->nr_blocks &&
		    range->size >> BLOCK_SHIFT <= t->nr_blocks - range->first)
			t->nr_ranges++;
	}
	free(ranges);
	return true;
}

/* The path of an inode; with damaged parents it begins with "...". */
static char *path_of(const struct reader *r, uint32_t ino)
{
	uint32_t way[PATH_DEPTH], nr = 0;
	char *path, *longer;

	while (nr < PATH_DEPTH && ino < r->nr_inodes && ino != GUESTMEMFS_ROOT_INO) {
		way[nr++] = ino;
		ino = le32toh(r->inodes[ino].parent);
	}
	path = xstrdup(ino == GUESTMEMFS_ROOT_INO ? "" : "...");
	while (nr) {
		const struct guestmemfs_inode *di = &r->inodes[way[--nr]];
		int n = le16toh(di->name_len) < 256 ? le16toh(di->name_len) : 255;

		longer = text("%s/%.*s", path, n, (const char *)di->name);
		free(path);
		path = longer;
	}
	return path;
}

static bool read_files(struct reader *r, struct pool *pool)
{
	uint32_t ino;

	r->nr_inodes = le32toh(r->super.live.used_inodes);
	r->inodes = read_table(r, GUESTMEMFS_TABLE_INODES, r->nr_inodes, sizeof(*r->inodes));
	if (!r->inodes)
		return false;
	r->file_of = xcalloc(r->nr_inodes, sizeof(*r->file_of));
	for (ino = 0; ino < r->nr_inodes; ino++) {
		const struct guestmemfs_inode *di = &r->inodes[ino];
		struct file *file;

		r->file_of[ino] = RUN_DETACHED;
		if (!S_ISREG(le32toh(di->mode)))
			continue;
		r->file_of[ino] = pool->nr_files;
		file = pool_add_file(pool);
		file->ino = ino;
		file->size = le64toh(di->size);
		file->mode = le32toh(di->mode) & 07777;
		file->uid = le32toh(di->uid);
		file->gid = le32toh(di->gid);
		if (!(le32toh(di->flags) & GUESTMEMFS_INODE_ORPHAN))
			file->path = path_of(r, ino);
	}
	return true;
}

static uint32_t count_bits(const unsigned char *bits, size_t bytes)
{
	uint32_t n = 0;

	while (bytes--)
		n += __builtin_popcount(*bits++);
	return n;
}

/* How many pages of each block of an extent are private. */
static uint32_t private_pages(const struct reader *r, const struct guestmemfs_extent *e,
			      const struct guestmemfs_map *maps, uint32_t nr_maps)
{
	uint32_t flags = le32toh(e->flags), ino = le32toh(e->ino), converted = 0;

	if (flags & GUESTMEMFS_EXTENT_CONVERTED)
		converted = BLOCK_PAGES;
	else if (flags & GUESTMEMFS_EXTENT_MIXED && le32toh(e->map) < nr_maps)
		converted = count_bits(maps[le32toh(e->map)].bits, sizeof(maps->bits));
	if (ino < r->nr_inodes && le32toh(r->inodes[ino].flags) & GUESTMEMFS_INODE_PRIVATE)
		return BLOCK_PAGES - converted;
	return converted;
}

static void take_extent(struct reader *r, struct tables *t, struct pool *pool,
			const struct guestmemfs_extent *e, uint32_t pages)
{
	uint32_t ino = le32toh(e->ino), flags = le32toh(e->flags);
	struct run *run = &t->runs[t->nr_runs];
	struct file *file;

	run->logical = le64toh(e->logical);
	run->block = le32toh(e->block);
	run->count = le32toh(e->count);
	run->private_pages = pages;
	run->file = RUN_DETACHED;
	if (run->block >= t->nr_blocks || run->count > t->nr_blocks - run->block)
		return;
	if (!(flags & GUESTMEMFS_EXTENT_DETACHED)) {
		if (ino >= r->nr_inodes || r->file_of[ino] == RUN_DETACHED)
			return;
		run->file = r->file_of[ino];
		file = &pool->files[run->file];
		file->extents++;
		file->memory += (uint64_t)run->count << BLOCK_SHIFT;
		file->private_pages += (uint64_t)run->count * pages;
	}
	t->nr_runs++;
}

static bool read_extents(struct reader *r, struct tables *t, struct pool *pool)
{
	uint32_t nr = le32toh(r->super.live.used_extents), i;
	uint32_t nr_maps = le32toh(r->super.live.used_maps);
	struct guestmemfs_extent *extents;
	struct guestmemfs_map *maps;

	maps = read_table(r, GUESTMEMFS_TABLE_MAPS, nr_maps, sizeof(*maps));
	if (!maps)
		return false;
	extents = read_table(r, GUESTMEMFS_TABLE_EXTENTS, nr, sizeof(*extents));
	if (!extents) {
		free(maps);
		return false;
	}
	t->runs = xcalloc(nr, sizeof(*t->runs));
	for (i = 0; i < nr; i++)
		if (extents[i].ino && le32toh(extents[i].flags) & GUESTMEMFS_EXTENT_ALLOCATED)
			take_extent(r, t, pool, &extents[i],
				    private_pages(r, &extents[i], maps, nr_maps));
	free(extents);
	free(maps);
	return true;
}

static bool read_bad(struct reader *r, struct tables *t)
{
	uint32_t nr = le32toh(r->super.live.used_poison), i;
	struct guestmemfs_poison *poison;

	if (!nr)
		return true;
	poison = read_table(r, GUESTMEMFS_TABLE_POISON, nr, sizeof(*poison));
	if (!poison)
		return false;
	t->bad = xcalloc(nr, sizeof(*t->bad));
	for (i = 0; i < nr; i++) {
		uint64_t page = le64toh(poison[i].page);

		if (page / BLOCK_PAGES < t->nr_blocks)
			t->bad[t->nr_bad++] = page;
	}
	free(poison);
	return true;
}

/* While the pool is mounted this table is empty. */
static bool read_pins(struct reader *r, struct tables *t)
{
	uint32_t nr = le32toh(r->super.live.used_pins), i;
	struct guestmemfs_pin *pins;

	if (!nr)
		return true;
	pins = read_table(r, GUESTMEMFS_TABLE_PINS, nr, sizeof(*pins));
	if (!pins)
		return false;
	t->pins = xcalloc(nr, 2 * sizeof(*t->pins));
	for (i = 0; i < nr; i++) {
		uint64_t frame = le64toh(pins[i].frame), count = le64toh(pins[i].count);

		if (frame >= t->nr_blocks * BLOCK_PAGES ||
		    count > t->nr_blocks * BLOCK_PAGES - frame)
			continue;
		t->pins[2 * t->nr_pins] = frame;
		t->pins[2 * t->nr_pins++ + 1] = count;
	}
	free(pins);
	return true;
}

static bool read_all(struct reader *r, struct tables *t, struct pool *pool)
{
	if (!read_super(r))
		return false;
	t->nr_blocks = le32toh(r->super.nr_blocks);
	t->bitmap = read_table(r, GUESTMEMFS_TABLE_BITMAP, t->nr_blocks, 0);
	return t->bitmap && read_ranges(r, t) && read_files(r, pool) &&
	       read_extents(r, t, pool) && read_bad(r, t) && read_pins(r, t);
}

/* Reads the tables from the file @path, and adds the files that they list to @pool. */
char *tables_read(struct tables *t, struct pool *pool, const char *path)
{
	struct reader r = {};
	char *why = NULL;

	memset(t, 0, sizeof(*t));
	r.fd = open(path, O_RDONLY | O_CLOEXEC);
	if (r.fd < 0)
		return text("cannot read %s: %s", path, strerror(errno));
	if (!read_all(&r, t, pool)) {
		why = text("cannot read %s: %s", path, r.why);
		tables_free(t);
	}
	close(r.fd);
	free(r.inodes);
	free(r.file_of);
	free(r.why);
	return why;
}

void tables_free(struct tables *t)
{
	free(t->ranges);
	free(t->runs);
	free(t->bitmap);
	free(t->bad);
	free(t->pins);
	memset(t, 0, sizeof(*t));
}
