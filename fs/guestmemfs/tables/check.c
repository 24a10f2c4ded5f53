// SPDX-License-Identifier: GPL-2.0-only
/*
 * Check that the tables of a pool are well formed. Another kernel has written them, so
 * nothing in them is trusted: each number is checked before it is used as an index, and the
 * tables' sizes limit the amount of work.
 */
#include <linux/errno.h>
#include <linux/limits.h>
#include <linux/minmax.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/stat.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "check.h"

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
		return gmfs_fail(k, "superblock", 0, "more inodes in use than there are, or none");
	if (k->used_extents > k->t->nr_extents)
		return gmfs_fail(k, "superblock", 0, "more extents in use than there are");
	k->used_maps = le32_to_cpu(live->used_maps);
	k->used_poison = le32_to_cpu(live->used_poison);
	if ((k->used_maps && !k->t->has_states) || (k->used_poison && !k->t->has_poison))
		return gmfs_fail(k, "superblock", 0, "tables in use that no feature announces");
	if (k->used_poison > k->t->nr_poison)
		return gmfs_fail(k, "superblock", 0, "more poison records in use than there are");
	if (k->used_maps > k->t->nr_maps)
		return gmfs_fail(k, "superblock", 0, "more maps in use than there are");
	k->used_pins = le32_to_cpu(live->used_pins);
	if (k->used_pins && !k->t->has_pins)
		return gmfs_fail(k, "superblock", 0, "tables in use that no feature announces");
	if (k->used_pins > k->t->nr_pins)
		return gmfs_fail(k, "superblock", 0, "more pins in use than there are");
	k->nr_absent = gmfs_absent_records(k->t);
	if (k->nr_absent > gmfs_absent_room(k->t))
		return gmfs_fail(k, "superblock", 0, "more absent pages than there is room for");
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

/* The fields must be valid even if @preserved is the number of another kexec. */
static bool gmfs_preserved_valid(const struct guestmemfs_inode *di)
{
	u16 access = le16_to_cpu(di->preserved_access);

	if (S_ISDIR(le32_to_cpu(di->mode)))
		return !di->preserved && !di->preserved_access && !di->preserved_pos;
	if (le64_to_cpu(di->preserved_pos) > S64_MAX)
		return false;
	if (!(access & ~GUESTMEMFS_PRESERVED_ACCESS))
		return true;
	/* A descriptor for a hypervisor can read and write, and its file is CHOSEN. */
	return le32_to_cpu(di->flags) & GUESTMEMFS_INODE_CHOSEN &&
	       (access & ~GUESTMEMFS_PRESERVED_MMAP) ==
	       (GUESTMEMFS_PRESERVED_ACCESS | GUESTMEMFS_PRESERVED_GMEM);
}

static u32 gmfs_inode_flags(const struct gmfs_tables *t, const struct guestmemfs_inode *di)
{
	u32 flags = GUESTMEMFS_INODE_ORPHAN;

	if (gmfs_is_dir(di))
		return flags;
	if (t->has_states)
		flags |= GUESTMEMFS_INODE_PRIVATE | GUESTMEMFS_INODE_CHOSEN;
	if (t->has_pins)
		flags |= GUESTMEMFS_INODE_PINS;
	return flags;
}

/* Returns the error in fields of an inode other than name and parent as text, NULL if none. */
static const char *gmfs_inode_complaint(const struct gmfs_tables *t,
					const struct guestmemfs_inode *di)
{
	u32 mode = le32_to_cpu(di->mode);
	u64 size = le64_to_cpu(di->size);

	if ((!S_ISREG(mode) && !S_ISDIR(mode)) || mode & ~(S_IFMT | 07777))
		return "mode is neither a file's nor a directory's";
	if (le32_to_cpu(di->flags) & ~gmfs_inode_flags(t, di))
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
		return gmfs_fail(k, "inode table", GUESTMEMFS_ROOT_INO, "is no root directory");
	if (k->t->inodes[0].mode)
		return gmfs_fail(k, "inode table", 0, "is in use");
	for (ino = GUESTMEMFS_ROOT_INO; ino < k->used_inodes; ino++) {
		const struct guestmemfs_inode *di = &k->t->inodes[ino];
		const char *what;

		if (!di->mode)
			continue;
		what = gmfs_inode_complaint(k->t, di);
		if (!what)
			what = gmfs_place_complaint(k, ino);
		if (what)
			return gmfs_fail(k, "inode table", ino, what);
	}
	return 0;
}

/*
 * Follow the parents of each inode up to the root. An inode that was marked by the same
 * search is in a cycle, one that was marked by an earlier search leads to the root.
 */
static int gmfs_check_cycles(struct gmfs_checker *k)
{
	u32 *seen_from __free(kvfree) = gmfs_calloc(k->used_inodes, sizeof(u32));
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
			return gmfs_fail(k, "inode table", ino, "is in a directory below itself");
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
	u32 *inos __free(kvfree) = gmfs_calloc(k->used_inodes, sizeof(u32));
	u32 ino, nr = 0, i;

	if (!inos)
		return -ENOMEM;
	for (ino = GUESTMEMFS_ROOT_INO + 1; ino < k->used_inodes; ino++)
		if (k->t->inodes[ino].mode && !gmfs_is_orphan(&k->t->inodes[ino]))
			inos[nr++] = ino;
	sort_r(inos, nr, sizeof(u32), gmfs_cmp_names, NULL, k->t);
	for (i = 1; i < nr; i++)
		if (!gmfs_cmp_names(&inos[i - 1], &inos[i], k->t))
			return gmfs_fail(k, "inode table", inos[i], "has another one's name");
	return 0;
}

/**
 * gmfs_check - check that the tables of a pool are well formed
 * @t: tables that gmfs_format_open() has accepted
 * @index: on success: the used extents, sorted; free it with gmfs_index_free()
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
	index->slots = gmfs_calloc(max(k.used_extents, 1U), sizeof(u32));
	if (!index->slots)
		return -ENOMEM;
	err = gmfs_check_extents(&k, index);
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
