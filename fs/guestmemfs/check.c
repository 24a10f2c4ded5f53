// SPDX-License-Identifier: GPL-2.0-only
/*
 * Are the tables of a pool well formed? They come from another kernel, so
 * that nothing in them is believed: every number is bounded before it is used
 * as an index, and all work is bounded by the tables' sizes.
 */
#include <linux/bitmap.h>
#include <linux/errno.h>
#include <linux/limits.h>
#include <linux/minmax.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/stat.h>
#include <linux/string.h>

#include "tables.h"

struct gmfs_checker {
	const struct gmfs_tables *t;
	struct gmfs_complaint *c;
	u32 used_inodes;
	u32 used_extents;
};

static int gmfs_bad(struct gmfs_checker *k, const char *table, u64 entry, const char *what)
{
	k->c->table = table;
	k->c->entry = entry;
	k->c->what = what;
	return -EUCLEAN;
}

static bool gmfs_is_dir(const struct guestmemfs_inode *di)
{
	return S_ISDIR(le32_to_cpu(di->mode));
}

static bool gmfs_is_orphan(const struct guestmemfs_inode *di)
{
	return le32_to_cpu(di->flags) & GUESTMEMFS_INODE_ORPHAN;
}

static int gmfs_check_live(struct gmfs_checker *k)
{
	const struct guestmemfs_super_live *live = &k->t->super->live;

	k->used_inodes = le32_to_cpu(live->used_inodes);
	k->used_extents = le32_to_cpu(live->used_extents);
	if (k->used_inodes <= GUESTMEMFS_ROOT_INO || k->used_inodes > k->t->nr_inodes)
		return gmfs_bad(k, "superblock", 0, "more inodes in use than there are, or none");
	if (k->used_extents > k->t->nr_extents)
		return gmfs_bad(k, "superblock", 0, "more extents in use than there are");
	/* Their users come with feature bits, which this kernel does not have. */
	if (live->used_maps || live->used_poison)
		return gmfs_bad(k, "superblock", 0, "tables in use that no feature announces");
	return 0;
}

static bool gmfs_name_valid(const struct guestmemfs_inode *di)
{
	u16 len = le16_to_cpu(di->name_len);

	if (!len || len > GUESTMEMFS_NAME_MAX)
		return false;
	if (memchr(di->name, '/', len) || memchr(di->name, '\0', len))
		return false;
	if (di->name[0] == '.' && (len == 1 || (len == 2 && di->name[1] == '.')))
		return false;
	return !memchr_inv(di->name + len, 0, sizeof(di->name) - len);
}

static bool gmfs_nsec_valid(const struct guestmemfs_inode *di)
{
	const u32 limit = 1000000000;

	return le32_to_cpu(di->atime_nsec) < limit && le32_to_cpu(di->mtime_nsec) < limit &&
	       le32_to_cpu(di->ctime_nsec) < limit && le32_to_cpu(di->btime_nsec) < limit;
}

/* Believed only if the hop is the right one, but to be read at any time. */
static bool gmfs_preserved_valid(const struct guestmemfs_inode *di)
{
	if (S_ISDIR(le32_to_cpu(di->mode)))
		return !di->preserved && !di->preserved_access && !di->preserved_pos;
	return !(le16_to_cpu(di->preserved_access) & ~GUESTMEMFS_PRESERVED_ACCESS) &&
	       le64_to_cpu(di->preserved_pos) <= S64_MAX;
}

/* What can be said of an inode without its parent. */
static const char *gmfs_inode_complaint(const struct guestmemfs_inode *di)
{
	u32 mode = le32_to_cpu(di->mode);
	u64 size = le64_to_cpu(di->size);

	if ((!S_ISREG(mode) && !S_ISDIR(mode)) || mode & ~(S_IFMT | 07777))
		return "mode is neither a file's nor a directory's";
	if (le32_to_cpu(di->flags) & ~GUESTMEMFS_INODE_ORPHAN)
		return "unknown flags";
	if (S_ISDIR(mode) ? size != 0 : size > GMFS_MAX_LOGICAL << GUESTMEMFS_BLOCK_SHIFT)
		return "impossible size";
	if (di->uid == cpu_to_le32(U32_MAX) || di->gid == cpu_to_le32(U32_MAX))
		return "owner is nobody";
	if (!gmfs_nsec_valid(di))
		return "impossible time";
	if (!gmfs_preserved_valid(di))
		return "impossible preservation";
	return NULL;
}

static const char *gmfs_place_complaint(struct gmfs_checker *k, u32 ino)
{
	const struct guestmemfs_inode *di = &k->t->inodes[ino], *dir;
	u32 parent = le32_to_cpu(di->parent);

	if (gmfs_is_orphan(di) || ino == GUESTMEMFS_ROOT_INO) {
		if (di->name_len || memchr_inv(di->name, 0, sizeof(di->name)))
			return "has a name but no directory";
		if (ino == GUESTMEMFS_ROOT_INO)
			return gmfs_is_dir(di) && !gmfs_is_orphan(di) && parent == ino ?
			       NULL : "is no root directory";
		return parent ? "is in a directory and is not" : NULL;
	}
	if (!gmfs_name_valid(di))
		return "impossible name";
	if (!parent || parent >= k->used_inodes)
		return "directory out of range";
	dir = &k->t->inodes[parent];
	if (!gmfs_is_dir(dir) || gmfs_is_orphan(dir))
		return "is in something that is no directory";
	return NULL;
}

static int gmfs_check_inodes(struct gmfs_checker *k)
{
	u32 ino;

	if (!k->t->inodes[GUESTMEMFS_ROOT_INO].mode)
		return gmfs_bad(k, "inode table", GUESTMEMFS_ROOT_INO, "is no root directory");
	if (k->t->inodes[0].mode)
		return gmfs_bad(k, "inode table", 0, "is in use");
	for (ino = GUESTMEMFS_ROOT_INO; ino < k->used_inodes; ino++) {
		const struct guestmemfs_inode *di = &k->t->inodes[ino];
		const char *what;

		if (!di->mode)
			continue;
		what = gmfs_inode_complaint(di);
		if (!what)
			what = gmfs_place_complaint(k, ino);
		if (what)
			return gmfs_bad(k, "inode table", ino, what);
	}
	return 0;
}

/* Every directory leads to the root: no step is taken twice. */
static int gmfs_check_cycles(struct gmfs_checker *k)
{
	u32 *seen_from __free(kvfree) = kvcalloc(k->used_inodes, sizeof(u32), GFP_KERNEL);
	u32 ino, at;

	if (!seen_from)
		return -ENOMEM;
	seen_from[GUESTMEMFS_ROOT_INO] = GUESTMEMFS_ROOT_INO;
	for (ino = GUESTMEMFS_ROOT_INO + 1; ino < k->used_inodes; ino++) {
		if (!k->t->inodes[ino].mode || gmfs_is_orphan(&k->t->inodes[ino]))
			continue;
		for (at = ino; !seen_from[at]; at = le32_to_cpu(k->t->inodes[at].parent))
			seen_from[at] = ino;
		if (seen_from[at] == ino && at != GUESTMEMFS_ROOT_INO)
			return gmfs_bad(k, "inode table", ino, "is in a directory below itself");
	}
	return 0;
}

static int gmfs_cmp_names(const void *a, const void *b, const void *priv)
{
	const struct gmfs_tables *t = priv;
	const struct guestmemfs_inode *x = &t->inodes[*(const u32 *)a];
	const struct guestmemfs_inode *y = &t->inodes[*(const u32 *)b];

	if (x->parent != y->parent)
		return le32_to_cpu(x->parent) < le32_to_cpu(y->parent) ? -1 : 1;
	return memcmp(x->name, y->name, sizeof(x->name));
}

static int gmfs_check_duplicates(struct gmfs_checker *k)
{
	u32 *inos __free(kvfree) = kvcalloc(k->used_inodes, sizeof(u32), GFP_KERNEL);
	u32 ino, nr = 0, i;

	if (!inos)
		return -ENOMEM;
	for (ino = GUESTMEMFS_ROOT_INO + 1; ino < k->used_inodes; ino++)
		if (k->t->inodes[ino].mode && !gmfs_is_orphan(&k->t->inodes[ino]))
			inos[nr++] = ino;
	sort_r(inos, nr, sizeof(u32), gmfs_cmp_names, NULL, k->t);
	for (i = 1; i < nr; i++)
		if (!gmfs_cmp_names(&inos[i - 1], &inos[i], k->t))
			return gmfs_bad(k, "inode table", inos[i], "has another one's name");
	return 0;
}

static bool gmfs_blocks_exist(const struct gmfs_tables *t, u32 block, u32 count)
{
	u32 i;

	for (i = 0; i < t->nr_ranges; i++) {
		u32 first = le32_to_cpu(t->ranges[i].first_block);
		u64 nr = le64_to_cpu(t->ranges[i].size) >> GUESTMEMFS_BLOCK_SHIFT;

		if (block >= first && block - first < nr)
			return count <= nr - (block - first);
	}
	return false;
}

static const char *gmfs_extent_complaint(struct gmfs_checker *k, const struct guestmemfs_extent *e)
{
	u32 ino = le32_to_cpu(e->ino), count = le32_to_cpu(e->count);

	if (ino >= k->used_inodes || !S_ISREG(le32_to_cpu(k->t->inodes[ino].mode)))
		return "is of no file";
	if (le32_to_cpu(e->flags) != GUESTMEMFS_EXTENT_ALLOCATED || e->map || e->pins)
		return "in a state that no feature announces";
	if (!count || le64_to_cpu(e->logical) >= GMFS_MAX_LOGICAL ||
	    count > GMFS_MAX_LOGICAL - le64_to_cpu(e->logical))
		return "beyond the largest file";
	if (!gmfs_blocks_exist(k->t, le32_to_cpu(e->block), count))
		return "has blocks that do not exist";
	return NULL;
}

/* Each extent by itself, and no block in two of them: @owned has a bit a block. */
static int gmfs_check_extents(struct gmfs_checker *k, unsigned long *owned,
			      struct gmfs_index *index)
{
	u32 slot;

	for (slot = 0; slot < k->used_extents; slot++) {
		const struct guestmemfs_extent *e = &k->t->extents[slot];
		u32 block = le32_to_cpu(e->block), count = le32_to_cpu(e->count);
		const char *what;

		if (!e->ino)
			continue;
		what = gmfs_extent_complaint(k, e);
		if (!what && find_next_bit(owned, block + count, block) < block + count)
			what = "has blocks that another one has";
		if (what)
			return gmfs_bad(k, "extent table", slot, what);
		bitmap_set(owned, block, count);
		index->slots[index->nr++] = slot;
	}
	return 0;
}

/* A block is taken if and only if it has an owner or does not exist. */
static int gmfs_check_bitmap(struct gmfs_checker *k, unsigned long *owned)
{
	u32 next = 0, i, block;

	for (i = 0; i < k->t->nr_ranges; i++) {
		u32 first = le32_to_cpu(k->t->ranges[i].first_block);

		bitmap_set(owned, next, first - next);
		next = first + (le64_to_cpu(k->t->ranges[i].size) >> GUESTMEMFS_BLOCK_SHIFT);
	}
	if (bitmap_equal(owned, k->t->bitmap, k->t->nr_blocks))
		return 0;
	bitmap_xor(owned, owned, k->t->bitmap, k->t->nr_blocks);
	block = find_first_bit(owned, k->t->nr_blocks);
	return gmfs_bad(k, "bitmap", block, test_bit(block, k->t->bitmap) ?
			"is taken but nobody's" : "is free but somebody's");
}

static int gmfs_cmp_extents(const void *a, const void *b, const void *priv)
{
	const struct gmfs_tables *t = priv;
	const struct guestmemfs_extent *x = &t->extents[*(const u32 *)a];
	const struct guestmemfs_extent *y = &t->extents[*(const u32 *)b];

	if (x->ino != y->ino)
		return le32_to_cpu(x->ino) < le32_to_cpu(y->ino) ? -1 : 1;
	if (x->logical != y->logical)
		return le64_to_cpu(x->logical) < le64_to_cpu(y->logical) ? -1 : 1;
	return 0;
}

/* No offset of a file is in two extents. */
static int gmfs_check_offsets(struct gmfs_checker *k, struct gmfs_index *index)
{
	u32 i;

	sort_r(index->slots, index->nr, sizeof(u32), gmfs_cmp_extents, NULL, k->t);
	for (i = 1; i < index->nr; i++) {
		const struct guestmemfs_extent *a = &k->t->extents[index->slots[i - 1]];
		const struct guestmemfs_extent *b = &k->t->extents[index->slots[i]];

		if (a->ino == b->ino &&
		    le64_to_cpu(a->logical) + le32_to_cpu(a->count) > le64_to_cpu(b->logical))
			return gmfs_bad(k, "extent table", index->slots[i],
					"has offsets that another one has");
	}
	return 0;
}

static int gmfs_check_space(struct gmfs_checker *k, struct gmfs_index *index)
{
	unsigned long *owned __free(kvfree) =
		kvcalloc(BITS_TO_LONGS(k->t->nr_blocks), sizeof(long), GFP_KERNEL);
	int err;

	if (!owned)
		return -ENOMEM;
	err = gmfs_check_extents(k, owned, index);
	if (err)
		return err;
	err = gmfs_check_bitmap(k, owned);
	if (err)
		return err;
	return gmfs_check_offsets(k, index);
}

/**
 * gmfs_check - are the tables of a pool well formed
 * @t: tables that gmfs_format_open() has accepted
 * @index: on success the used extents in order; gmfs_index_free() it
 * @c: filled in on -EUCLEAN
 *
 * Return: 0, -EUCLEAN or -ENOMEM.
 */
int gmfs_check(const struct gmfs_tables *t, struct gmfs_index *index, struct gmfs_complaint *c)
{
	struct gmfs_checker k = { .t = t, .c = c };
	int err;

	index->slots = NULL;
	index->nr = 0;
	err = gmfs_check_live(&k);
	if (err)
		return err;
	err = gmfs_check_inodes(&k);
	if (err)
		return err;
	err = gmfs_check_cycles(&k);
	if (err)
		return err;
	err = gmfs_check_duplicates(&k);
	if (err)
		return err;
	index->slots = kvcalloc(max(k.used_extents, 1U), sizeof(u32), GFP_KERNEL);
	if (!index->slots)
		return -ENOMEM;
	err = gmfs_check_space(&k, index);
	if (err)
		gmfs_index_free(index);
	return err;
}

/**
 * gmfs_index_free - free what gmfs_check() returned
 * @index: the index
 */
void gmfs_index_free(struct gmfs_index *index)
{
	kvfree(index->slots);
	index->slots = NULL;
	index->nr = 0;
}
