// SPDX-License-Identifier: GPL-2.0-only
/*
 * Prints the tables of a pool as text. The tables may be damaged: no number in them is trusted,
 * except the places of the tables, which gmfs_format_open() checks first.
 */
#include <stdlib.h>

#include <linux/errno.h>
#include <linux/limits.h>
#include <linux/stat.h>
#include <linux/string.h>

#include "dump.h"

/* Of a longer path only the last names are printed. */
#define DUMP_DEPTH	64

static void dump_uuid(FILE *out, const u8 uuid[16])
{
	u32 i;

	for (i = 0; i < 16; i++)
		fprintf(out, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", uuid[i]);
	fputc('\n', out);
}

static void dump_magic(FILE *out, const void *magic)
{
	const u8 *c = magic;
	u32 i;

	fprintf(out, "  magic     ");
	for (i = 0; i < 8; i++)
		fputc(c[i] >= ' ' && c[i] <= '~' ? c[i] : '?', out);
	fputc('\n', out);
}

static void dump_range(FILE *out, u64 base, u64 size)
{
	fprintf(out, "%#llx-%#llx (%llu MiB)", base, base + size - 1, size >> 20);
}

static void dump_super(FILE *out, const struct guestmemfs_super *s, u64 size)
{
	const struct guestmemfs_super_live *live = &s->live;

	fprintf(out, "superblock\n");
	dump_magic(out, &s->magic);
	fprintf(out, "  version   %u\n", le32_to_cpu(s->version));
	fprintf(out, "  checksum  0x%08x\n", le32_to_cpu(s->crc));
	fprintf(out, "  features  compat %#x, ro_compat %#x, incompat %#x\n",
		le32_to_cpu(s->feature_compat), le32_to_cpu(s->feature_ro_compat),
		le32_to_cpu(s->feature_incompat));
	fprintf(out, "  node      %u\n", le32_to_cpu(s->node));
	fprintf(out, "  uuid      ");
	dump_uuid(out, s->uuid);
	fprintf(out, "  metadata  %llu bytes at %#llx, %llu bytes read\n",
		le64_to_cpu(s->meta_size), le64_to_cpu(s->meta_base), size);
	fprintf(out, "  numbers   %u blocks of 2^%u bytes, %u ranges\n", le32_to_cpu(s->nr_blocks),
		le32_to_cpu(s->block_shift), le32_to_cpu(s->nr_ranges));
	fprintf(out, "  used      %u inodes, %u extents, %u maps, %u poison, %u pins\n",
		le32_to_cpu(live->used_inodes), le32_to_cpu(live->used_extents),
		le32_to_cpu(live->used_maps), le32_to_cpu(live->used_poison),
		le32_to_cpu(live->used_pins));
	fprintf(out, "  hops      %u\n", le32_to_cpu(live->hops));
	if (live->nr_absent || live->absent_hop)
		fprintf(out, "  absent    %u records, for hop %u\n", le32_to_cpu(live->nr_absent),
			le32_to_cpu(live->absent_hop));
}

static void dump_table_list(FILE *out, const struct guestmemfs_super *s)
{
	static const char * const names[GUESTMEMFS_NR_TABLES] = {
		"ranges", "bitmap", "unzeroed", "inodes", "extents", "maps", "poison", "pins",
	};
	u32 i;

	fprintf(out, "table list\n");
	for (i = 0; i < GUESTMEMFS_TABLE_SLOTS; i++) {
		const struct guestmemfs_table_desc *d = &s->tables[i];

		if (i >= GUESTMEMFS_TABLE_PINS && !d->offset && !d->entries && !d->entry_size)
			continue;
		fprintf(out, "  %-2u %-9s at %#llx, %u entries of %u bytes\n", i,
			i < GUESTMEMFS_NR_TABLES ? names[i] : "unknown",
			le64_to_cpu(d->offset), le32_to_cpu(d->entries),
			le32_to_cpu(d->entry_size));
	}
}

static void dump_ranges(FILE *out, const struct gmfs_tables *t)
{
	u32 i;

	fprintf(out, "range table%s\n", t->resized ? ", of a pool that was resized" : "");
	for (i = 0; i < t->nr_ranges; i++) {
		const struct guestmemfs_range *r = &t->ranges[i];
		u64 blocks = le64_to_cpu(r->size) >> GUESTMEMFS_BLOCK_SHIFT;

		fprintf(out, "  %-3u ", i);
		dump_range(out, le64_to_cpu(r->base), le64_to_cpu(r->size));
		fprintf(out, ", blocks %u-%llu\n", le32_to_cpu(r->first_block),
			le32_to_cpu(r->first_block) + blocks - 1);
	}
}

/* Sets *@phys to the address of a block. Returns false if the block is in no range. */
static bool dump_phys(const struct gmfs_tables *t, u32 block, u64 *phys)
{
	u32 i;

	for (i = 0; i < t->nr_ranges; i++) {
		u32 first = le32_to_cpu(t->ranges[i].first_block);

		if (block < first || block - first >=
		    le64_to_cpu(t->ranges[i].size) >> GUESTMEMFS_BLOCK_SHIFT)
			continue;
		*phys = le64_to_cpu(t->ranges[i].base) +
			((u64)(block - first) << GUESTMEMFS_BLOCK_SHIFT);
		return true;
	}
	return false;
}

struct dump_counts {
	u64 blocks;
	u64 taken;
	u64 unzeroed;
	u64 longest;
};

/* Counts the blocks of a range by the bitmaps; blocks that the bitmaps do not have are left out. */
static void dump_count(const struct gmfs_tables *t, const struct guestmemfs_range *r,
		       struct dump_counts *n)
{
	u64 block = le32_to_cpu(r->first_block), run = 0;
	u64 end = min(block + (le64_to_cpu(r->size) >> GUESTMEMFS_BLOCK_SHIFT), (u64)t->nr_blocks);

	for (; block < end; block++) {
		run = test_bit(block, t->bitmap) ? 0 : run + 1;
		n->longest = max(n->longest, run);
		n->taken += test_bit(block, t->bitmap);
		n->unzeroed += test_bit(block, t->unzeroed);
		n->blocks++;
	}
}

static void dump_bitmaps(FILE *out, const struct gmfs_tables *t)
{
	struct dump_counts n = {};
	u32 i;

	for (i = 0; i < t->nr_ranges; i++)
		dump_count(t, &t->ranges[i], &n);
	fprintf(out, "blocks\n");
	fprintf(out, "  %llu exist, %llu taken, %llu free, at most %llu free in a row\n",
		n.blocks, n.taken, n.blocks - n.taken, n.longest);
	fprintf(out, "  %llu are to be zeroed before use\n", n.unzeroed);
	if (t->resized || t->capacity > t->nr_blocks)
		fprintf(out, "  numbers below %u have been used, the tables have room for %u\n",
			t->nr_blocks, t->capacity);
}

static void dump_name(FILE *out, const struct guestmemfs_inode *di)
{
	u32 len = min_t(u32, le16_to_cpu(di->name_len), sizeof(di->name)), i;

	for (i = 0; i < len; i++) {
		u8 c = di->name[i];

		if (c > ' ' && c <= '~' && c != '\\' && c != '/')
			fputc(c, out);
		else
			fprintf(out, "\\%03o", c);
	}
}

/*
 * Prints the path of an inode, from the root if its parents lead there. In damaged tables they may
 * lead to any inode, or in a cycle.
 */
static void dump_path(FILE *out, const struct gmfs_tables *t, u32 used, u32 ino)
{
	u32 way[DUMP_DEPTH], nr = 0;

	if (le32_to_cpu(t->inodes[ino].flags) & GUESTMEMFS_INODE_ORPHAN) {
		fprintf(out, "(orphan)\n");
		return;
	}
	while (nr < DUMP_DEPTH && ino < used && ino != GUESTMEMFS_ROOT_INO) {
		way[nr++] = ino;
		ino = le32_to_cpu(t->inodes[ino].parent);
	}
	if (ino != GUESTMEMFS_ROOT_INO)
		fprintf(out, "...");
	else if (!nr)
		fputc('/', out);
	while (nr) {
		fputc('/', out);
		dump_name(out, &t->inodes[way[--nr]]);
	}
	fputc('\n', out);
}

static void dump_time(FILE *out, const char *name, __le64 sec, __le32 nsec, char behind)
{
	fprintf(out, "%s %lld.%09u%c", name, (s64)le64_to_cpu(sec), le32_to_cpu(nsec), behind);
}

static void dump_inode(FILE *out, const struct gmfs_tables *t, u32 used, u32 ino)
{
	const struct guestmemfs_inode *di = &t->inodes[ino];
	u32 mode = le32_to_cpu(di->mode);

	fprintf(out, "  %-3u %s %#o of %u:%u, size %llu, generation %u, flags %#x\n", ino,
		S_ISDIR(mode) ? "directory" : S_ISREG(mode) ? "file" : "neither", mode,
		le32_to_cpu(di->uid), le32_to_cpu(di->gid), le64_to_cpu(di->size),
		le32_to_cpu(di->generation), le32_to_cpu(di->flags));
	fprintf(out, "      ");
	dump_path(out, t, used, ino);
	fprintf(out, "      ");
	dump_time(out, "atime", di->atime, di->atime_nsec, ' ');
	dump_time(out, "mtime", di->mtime, di->mtime_nsec, ' ');
	dump_time(out, "ctime", di->ctime, di->ctime_nsec, ' ');
	dump_time(out, "btime", di->btime, di->btime_nsec, '\n');
	if (di->preserved)
		fprintf(out, "      preserved for hop %u, access %#x, position %llu\n",
			le32_to_cpu(di->preserved), le16_to_cpu(di->preserved_access),
			le64_to_cpu(di->preserved_pos));
}

static void dump_inodes(FILE *out, const struct gmfs_tables *t)
{
	u32 used = min(le32_to_cpu(t->super->live.used_inodes), t->nr_inodes), ino;

	fprintf(out, "inode table\n");
	for (ino = 0; ino < used; ino++)
		if (t->inodes[ino].mode)
			dump_inode(out, t, used, ino);
}

static void dump_place(FILE *out, const struct gmfs_tables *t, const struct guestmemfs_extent *e)
{
	u32 block = le32_to_cpu(e->block);
	u64 phys;

	if (!block && !(e->flags & cpu_to_le32(GUESTMEMFS_EXTENT_ALLOCATED)))
		fprintf(out, "that have none");
	else if (dump_phys(t, block, &phys))
		fprintf(out, "from %u, at %#llx", block, phys);
	else
		fprintf(out, "from %u, nowhere", block);
}

static void dump_owner(FILE *out, const struct guestmemfs_extent *e)
{
	if (le32_to_cpu(e->flags) & GUESTMEMFS_EXTENT_DETACHED &&
	    le32_to_cpu(e->ino) == GUESTMEMFS_DETACHED_INO &&
	    le64_to_cpu(e->logical) == le32_to_cpu(e->block))
		fprintf(out, "detached");
	else
		fprintf(out, "inode %u, from %llu", le32_to_cpu(e->ino), le64_to_cpu(e->logical));
}

static void dump_extents(FILE *out, const struct gmfs_tables *t)
{
	u32 used = min(le32_to_cpu(t->super->live.used_extents), t->nr_extents), slot;

	fprintf(out, "extent table\n");
	for (slot = 0; slot < used; slot++) {
		const struct guestmemfs_extent *e = &t->extents[slot];

		if (!e->ino)
			continue;
		fprintf(out, "  %-3u ", slot);
		dump_owner(out, e);
		fprintf(out, ": %u blocks ", le32_to_cpu(e->count));
		dump_place(out, t, e);
		fprintf(out, ", flags %#x", le32_to_cpu(e->flags));
		if (e->map)
			fprintf(out, ", map %u", le32_to_cpu(e->map));
		if (e->reserved)
			fprintf(out, ", reserved %#x", le32_to_cpu(e->reserved));
		fputc('\n', out);
	}
}

/* Prints the maps that have pages. If no map has any, which is usual, nothing is printed. */
static void dump_maps(FILE *out, const struct gmfs_tables *t)
{
	u32 used = min(le32_to_cpu(t->super->live.used_maps), t->nr_maps), i;

	if (!used)
		return;
	fprintf(out, "map table\n");
	for (i = 0; i < used; i++) {
		const unsigned long *bits = (const unsigned long *)t->maps[i].bits;
		u32 pages = bitmap_weight(bits, GUESTMEMFS_BLOCK_PAGES);

		if (pages)
			fprintf(out, "  %-3u %u pages, the first is %lu\n", i, pages,
				find_first_bit(bits, GUESTMEMFS_BLOCK_PAGES));
	}
}

/* Prints the records of absent pages that the next mount would read, if there are any. */
static void dump_absent(FILE *out, const struct gmfs_tables *t)
{
	u32 used = min(le32_to_cpu(t->super->live.used_maps), t->nr_maps), i, nr;
	const struct guestmemfs_absent *records = (const void *)&t->maps[used];

	nr = min_t(u64, gmfs_absent_records(t),
		   (u64)(t->nr_maps - used) * sizeof(*t->maps) / sizeof(*records));
	if (!nr)
		return;
	fprintf(out, "absent pages\n");
	for (i = 0; i < nr; i++) {
		const unsigned long *bits = (const unsigned long *)records[i].bits;

		fprintf(out, "  %-3u %u pages of block %u, the first is %lu, extent %u\n", i,
			bitmap_weight(bits, GUESTMEMFS_BLOCK_PAGES), le32_to_cpu(records[i].block),
			find_first_bit(bits, GUESTMEMFS_BLOCK_PAGES),
			le32_to_cpu(records[i].extent));
	}
}

/* Prints the persistent pins, if there are any. */
static void dump_pins(FILE *out, const struct gmfs_tables *t)
{
	u32 used = min(le32_to_cpu(t->super->live.used_pins), t->nr_pins), i;

	if (!used)
		return;
	fprintf(out, "pin table\n");
	for (i = 0; i < used; i++) {
		const struct guestmemfs_pin *pin = &t->pin_records[i];
		u64 frame = le64_to_cpu(pin->frame);

		fprintf(out, "  %-3u %llu frames from %llu of block %llu, of inode %u\n", i,
			le64_to_cpu(pin->count), frame % GUESTMEMFS_BLOCK_PAGES,
			frame / GUESTMEMFS_BLOCK_PAGES, le32_to_cpu(pin->ino));
	}
}

/* Prints the frames with memory errors, if there are any. */
static void dump_poison(FILE *out, const struct gmfs_tables *t)
{
	u32 used = min(le32_to_cpu(t->super->live.used_poison), t->nr_poison), i;

	if (!used)
		return;
	fprintf(out, "poison table\n");
	for (i = 0; i < used; i++) {
		u64 frame = le64_to_cpu(t->poison[i].page), block = frame / GUESTMEMFS_BLOCK_PAGES;
		u64 in_block = frame % GUESTMEMFS_BLOCK_PAGES, phys;

		fprintf(out, "  %-3u frame %llu of block %llu, ", i, in_block, block);
		if (block <= U32_MAX && dump_phys(t, block, &phys))
			fprintf(out, "at %#llx\n", phys + in_block * GMFS_FRAME_SIZE);
		else
			fprintf(out, "nowhere\n");
	}
}

static bool dump_verdict(FILE *out, int err, const struct gmfs_complaint *c)
{
	if (err == -EUCLEAN)
		fprintf(out, "not well formed: %s, entry %llu: %s\n", c->table, c->entry,
			c->what);
	else if (err)
		fprintf(out, "not checked: out of memory\n");
	else
		fprintf(out, "well formed\n");
	return !err;
}

bool dump_tables(FILE *out, const void *meta, u64 size, bool brief)
{
	const struct guestmemfs_super *s = meta;
	struct gmfs_complaint c = {};
	struct gmfs_index index = {};
	struct gmfs_tables t;
	int err;

	if (size < sizeof(*s)) {
		fprintf(out, "not well formed: %llu bytes are less than a superblock\n", size);
		return false;
	}
	dump_super(out, s, size);
	dump_table_list(out, s);
	/* The address that the metadata should have is not known here, so take the one it has. */
	err = gmfs_format_open(&t, (void *)meta, le64_to_cpu(s->meta_base), size, &c);
	/* gmfs_format_open() sets pointers in @t only to tables that are inside the metadata. */
	if (t.ranges) {
		dump_ranges(out, &t);
		dump_bitmaps(out, &t);
	}
	if (t.ranges && !brief) {
		dump_inodes(out, &t);
		dump_extents(out, &t);
		dump_maps(out, &t);
		dump_absent(out, &t);
		dump_pins(out, &t);
		dump_poison(out, &t);
	}
	if (!err)
		err = gmfs_check(&t, &index, &c);
	gmfs_index_free(&index);
	return dump_verdict(out, err, &c);
}

static void dump_handover_pool(FILE *out, const void *blob, u32 index)
{
	struct guestmemfs_handover_pool pool;
	struct gmfs_range r;
	u32 i;

	fprintf(out, "pool %u\n", index);
	if (gmfs_handover_get_pool(blob, index, &pool)) {
		fprintf(out, "  has no ranges in this blob\n");
		return;
	}
	fprintf(out, "  node      %u\n", le32_to_cpu(pool.node));
	fprintf(out, "  uuid      ");
	dump_uuid(out, pool.uuid);
	fprintf(out, "  metadata  %llu bytes at %#llx\n",
		le64_to_cpu(pool.meta_size), le64_to_cpu(pool.meta_base));
	fprintf(out, "  flags     %#x\n", le32_to_cpu(pool.flags));
	fprintf(out, "  hops      %u\n", le32_to_cpu(pool.hops));
	for (i = 0; i < le32_to_cpu(pool.nr_ranges); i++) {
		gmfs_handover_get_range(blob, le32_to_cpu(pool.first_range) + i, &r);
		fprintf(out, "  range     ");
		dump_range(out, r.base, r.size);
		/* Older kernels do not hand the number over. */
		if (r.first != GMFS_NO_BLOCK)
			fprintf(out, ", from block %u", r.first);
		fputc('\n', out);
	}
}

bool dump_handover(FILE *out, const void *blob, size_t size)
{
	const struct guestmemfs_handover *h = blob;
	const char *why;
	int err = gmfs_handover_check(blob, size, &why);
	u32 i;

	if (size >= sizeof(*h)) {
		fprintf(out, "handover\n");
		dump_magic(out, &h->magic);
		fprintf(out, "  version   %u\n", le32_to_cpu(h->version));
		fprintf(out, "  checksum  0x%08x\n", le32_to_cpu(h->crc));
		fprintf(out, "  sizes     head %u, pool %u, range %u, all %u, %zu bytes read\n",
			le32_to_cpu(h->header_size), le32_to_cpu(h->pool_size),
			le32_to_cpu(h->range_size), le32_to_cpu(h->total_size), size);
		fprintf(out, "  numbers   %u pools, %u ranges\n", le32_to_cpu(h->nr_pools),
			le32_to_cpu(h->nr_ranges));
	}
	for (i = 0; err != -EINVAL && i < le32_to_cpu(h->nr_pools); i++)
		dump_handover_pool(out, blob, i);
	if (err)
		fprintf(out, "not well formed: it %s\n", why);
	else
		fprintf(out, "well formed\n");
	return !err;
}
