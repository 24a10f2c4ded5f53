// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests every rule of gmfs_check(), with tables that break the rule and with tables that just keep
 * it.
 */
#include "state.h"

#define LONG_NAME "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" \
	"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" \
	"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" \
	"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde"

#define NO_TYPE		"mode is neither a file's nor a directory's"
#define NO_PRESERVATION	"impossible preservation"
#define NO_DIRECTORY	"is in something that is no directory"
#define NO_STATE	"in a state that no feature announces"
#define NO_BLOCKS	"has blocks that do not exist"
#define NO_ROOT		"is no root directory"
#define TWO_OWNERS	"has blocks that another one has"
#define TWO_OFFSETS	"has offsets that another one has"
#define MAX_FILE	(GMFS_MAX_LOGICAL << GUESTMEMFS_BLOCK_SHIFT)

static const struct state states[] = {
	{ "nothing changed" },

	{ "no inodes in use", { LIVE(used_inodes, 0) },
	  SUPER_BAD("more inodes in use than there are, or none") },
	{ "no root in use", { LIVE(used_inodes, 1) },
	  SUPER_BAD("more inodes in use than there are, or none") },
	{ "too many inodes in use", { LIVE(used_inodes, 16385) },
	  SUPER_BAD("more inodes in use than there are, or none") },
	{ "most inodes in use", { LIVE(used_inodes, U32_MAX) },
	  SUPER_BAD("more inodes in use than there are, or none") },
	{ "too many extents in use", { LIVE(used_extents, 2049 + GMFS_SPARE_EXTENTS) },
	  SUPER_BAD("more extents in use than there are") },
	{ "most extents in use", { LIVE(used_extents, U32_MAX) },
	  SUPER_BAD("more extents in use than there are") },
	/* Extents behind those that were ever used have garbage, which is read with this count. */
	{ "all extents in use", { LIVE(used_extents, 2048) }, EXTENT_BAD(7, "is of no file") },
	{ "maps in use", { LIVE(used_maps, 1) },
	  SUPER_BAD("tables in use that no feature announces") },
	{ "poison in use", { LIVE(used_poison, 1) },
	  SUPER_BAD("tables in use that no feature announces") },
	{ "many hops", { LIVE(hops, U32_MAX) } },

	{ "root is free", { INODE(1, mode, 0) }, INODE_BAD(1, NO_ROOT) },
	{ "root is a file", { INODE(1, mode, S_IFREG) }, INODE_BAD(1, NO_ROOT) },
	{ "root is an orphan", { INODE(1, flags, GUESTMEMFS_INODE_ORPHAN) },
	  INODE_BAD(1, NO_ROOT) },
	{ "root is in a directory", { INODE(1, parent, DIR_A) }, INODE_BAD(1, NO_ROOT) },
	{ "root has a name", { NAME(1, "x") }, INODE_BAD(1, "has a name but no directory") },
	{ "root has letters", { INODE(1, name[255], 1) },
	  INODE_BAD(1, "has a name but no directory") },
	{ "inode 0", { INODE(0, mode, S_IFREG) }, INODE_BAD(0, "is in use") },

	{ "a symlink", { INODE(FILE0, mode, S_IFLNK | 0777) }, INODE_BAD(FILE0, NO_TYPE) },
	{ "a device", { INODE(FILE0, mode, S_IFCHR) }, INODE_BAD(FILE0, NO_TYPE) },
	{ "no type", { INODE(FILE0, mode, 0644) }, INODE_BAD(FILE0, NO_TYPE) },
	{ "mode of more bits", { INODE(FILE0, mode, 0200000 | S_IFREG) },
	  INODE_BAD(FILE0, NO_TYPE) },
	{ "all permissions", { INODE(FILE0, mode, S_IFREG | 07777) } },
	{ "private file", { INODE(FILE0, flags, GUESTMEMFS_INODE_PRIVATE) },
	  INODE_BAD(FILE0, "unknown flags") },
	{ "chosen file", { INODE(FILE0, flags, GUESTMEMFS_INODE_CHOSEN) },
	  INODE_BAD(FILE0, "unknown flags") },
	{ "unknown inode flag", { INODE(FILE0, flags, 1U << 31) },
	  INODE_BAD(FILE0, "unknown flags") },
	{ "directory with a size", { INODE(DIR_A, size, 1) },
	  INODE_BAD(DIR_A, "impossible size") },
	{ "largest file", { INODE(FILE0, size, MAX_FILE) } },
	{ "larger than the largest file", { INODE(FILE0, size, MAX_FILE + 1) },
	  INODE_BAD(FILE0, "impossible size") },
	{ "size below zero", { INODE(FILE0, size, U64_MAX) },
	  INODE_BAD(FILE0, "impossible size") },
	{ "no owner", { INODE(FILE0, uid, U32_MAX) }, INODE_BAD(FILE0, "owner is nobody") },
	{ "no group", { INODE(FILE0, gid, U32_MAX) }, INODE_BAD(FILE0, "owner is nobody") },
	{ "last owner", { INODE(FILE0, uid, U32_MAX - 1), INODE(FILE0, gid, U32_MAX - 1) } },
	{ "atime", { INODE(FILE0, atime_nsec, 1000000000) },
	  INODE_BAD(FILE0, "impossible time") },
	{ "mtime", { INODE(FILE0, mtime_nsec, 1000000000) },
	  INODE_BAD(FILE0, "impossible time") },
	{ "ctime", { INODE(FILE0, ctime_nsec, 1000000000) },
	  INODE_BAD(FILE0, "impossible time") },
	{ "btime", { INODE(FILE0, btime_nsec, 1000000000) },
	  INODE_BAD(FILE0, "impossible time") },
	{ "longest time", { INODE(FILE0, btime_nsec, U32_MAX) },
	  INODE_BAD(FILE0, "impossible time") },
	{ "last nanosecond", { INODE(FILE0, atime_nsec, 999999999),
	  INODE(FILE0, btime_nsec, 999999999) } },

	{ "preserved file", { INODE(FILE0, preserved, U32_MAX), INODE(FILE0, preserved_access, 3),
	  INODE(FILE0, preserved_pos, S64_MAX) } },
	{ "access of more bits", { INODE(FILE0, preserved_access, 4) },
	  INODE_BAD(FILE0, NO_PRESERVATION) },
	{ "position below zero", { INODE(FILE0, preserved_pos, 1ULL << 63) },
	  INODE_BAD(FILE0, NO_PRESERVATION) },
	{ "preserved directory", { INODE(DIR_A, preserved, 1) },
	  INODE_BAD(DIR_A, NO_PRESERVATION) },
	{ "directory with access", { INODE(DIR_A, preserved_access, 1) },
	  INODE_BAD(DIR_A, NO_PRESERVATION) },
	{ "directory with a position", { INODE(DIR_A, preserved_pos, 1) },
	  INODE_BAD(DIR_A, NO_PRESERVATION) },

	{ "no name", { NAME(FILE0, "") }, INODE_BAD(FILE0, "impossible name") },
	{ "name of 255", { NAME(FILE0, LONG_NAME) } },
	{ "name of 256", { NAME(FILE0, LONG_NAME "f") }, INODE_BAD(FILE0, "impossible name") },
	{ "longest name", { INODE(FILE0, name_len, U16_MAX) },
	  INODE_BAD(FILE0, "impossible name") },
	{ "name with a slash", { NAME(FILE0, "a/b") }, INODE_BAD(FILE0, "impossible name") },
	{ "slash at the end", { NAME(FILE0, "ab/") }, INODE_BAD(FILE0, "impossible name") },
	{ "name with a NUL", { NAME(FILE0, "a\0b") }, INODE_BAD(FILE0, "impossible name") },
	{ "NUL at the end", { NAME(FILE0, "a\0") }, INODE_BAD(FILE0, "impossible name") },
	{ "dot", { NAME(FILE0, ".") }, INODE_BAD(FILE0, "impossible name") },
	{ "dots", { NAME(FILE0, "..") }, INODE_BAD(FILE0, "impossible name") },
	{ "three dots", { NAME(FILE0, "...") } },
	{ "hidden", { NAME(FILE0, ".x") } },
	{ "letters behind the name", { INODE(FILE0, name[255], 'x') },
	  INODE_BAD(FILE0, "impossible name") },
	{ "no directory", { INODE(FILE0, parent, 0) },
	  INODE_BAD(FILE0, "directory out of range") },
	{ "directory never used", { INODE(FILE0, parent, INODES) },
	  INODE_BAD(FILE0, "directory out of range") },
	{ "directory far away", { INODE(FILE0, parent, U32_MAX) },
	  INODE_BAD(FILE0, "directory out of range") },
	{ "in a file", { INODE(FILE0, parent, FILE1) }, INODE_BAD(FILE0, NO_DIRECTORY) },
	{ "in a free inode", { INODE(FILE0, parent, FREED) }, INODE_BAD(FILE0, NO_DIRECTORY) },
	{ "in an orphan", { INODE(DIR_D, flags, GUESTMEMFS_INODE_ORPHAN), NAME(DIR_D, ""),
	  INODE(FILE0, parent, DIR_D) }, INODE_BAD(FILE0, NO_DIRECTORY) },
	{ "orphan with a name", { NAME(ORPHAN, "x") },
	  INODE_BAD(ORPHAN, "has a name but no directory") },
	{ "orphan with letters", { INODE(ORPHAN, name[0], 'x') },
	  INODE_BAD(ORPHAN, "has a name but no directory") },
	{ "orphan in a directory", { INODE(ORPHAN, parent, 1) },
	  INODE_BAD(ORPHAN, "is in a directory and is not") },
	{ "orphan directory", { INODE(DIR_D, flags, GUESTMEMFS_INODE_ORPHAN), NAME(DIR_D, ""),
	  INODE(DIR_D, parent, 0) } },
	{ "rubbish in a free inode", { INODE(FREED, parent, U32_MAX),
	  INODE(FREED, flags, U32_MAX), INODE(FREED, name_len, U16_MAX) } },

	{ "directory in itself", { INODE(DIR_D, parent, DIR_D) },
	  INODE_BAD(DIR_D, "is in a directory below itself") },
	{ "two in each other", { INODE(DIR_A, parent, DIR_B) },
	  INODE_BAD(DIR_A, "is in a directory below itself") },
	{ "three in a ring", { INODE(DIR_A, parent, DIR_D), INODE(DIR_D, parent, DIR_B) },
	  INODE_BAD(DIR_A, "is in a directory below itself") },
	{ "deeper, but no ring", { INODE(DIR_D, parent, DIR_B), INODE(FILE0, parent, DIR_D) } },

	{ "two of a name", { NAME(FILE1, "file0") },
	  INODE_BAD(FILE0, "has another one's name"), .or_entry = FILE1 },
	{ "file and directory of a name", { NAME(FILE1, "a") },
	  INODE_BAD(DIR_A, "has another one's name"), .or_entry = FILE1 },
	{ "one name in two directories", { NAME(FILE2, "file0") } },
	{ "names that begin alike", { NAME(FILE1, "file") } },

	{ "files never used", { LIVE(used_inodes, ORPHAN) },
	  EXTENT_BAD(4, "is of no file") },
	{ "of an inode never used", { EXTENT(0, ino, INODES) }, EXTENT_BAD(0, "is of no file") },
	{ "of an inode far away", { EXTENT(0, ino, U32_MAX) }, EXTENT_BAD(0, "is of no file") },
	{ "of a directory", { EXTENT(0, ino, DIR_A) }, EXTENT_BAD(0, "is of no file") },
	{ "of a free inode", { EXTENT(0, ino, FREED) }, EXTENT_BAD(0, "is of no file") },
	{ "not allocated", { EXTENT(0, flags, 0) }, EXTENT_BAD(0, NO_STATE) },
	{ "converted", { EXTENT(0, flags, GUESTMEMFS_EXTENT_ALLOCATED |
	  GUESTMEMFS_EXTENT_CONVERTED) }, EXTENT_BAD(0, NO_STATE) },
	{ "detached", { EXTENT(0, flags, GUESTMEMFS_EXTENT_ALLOCATED |
	  GUESTMEMFS_EXTENT_DETACHED), EXTENT(0, ino, GUESTMEMFS_DETACHED_INO),
	  EXTENT(0, logical, 448) }, EXTENT_BAD(0, NO_STATE) },
	{ "detached and of a file", { EXTENT(0, flags, GUESTMEMFS_EXTENT_ALLOCATED |
	  GUESTMEMFS_EXTENT_DETACHED) }, EXTENT_BAD(0, "is detached and of a file") },
	{ "of the root directory", { EXTENT(0, ino, GUESTMEMFS_ROOT_INO) },
	  EXTENT_BAD(0, "is of no file") },
	{ "unknown extent flag", { EXTENT(0, flags, GUESTMEMFS_EXTENT_ALLOCATED | 1U << 31) },
	  EXTENT_BAD(0, NO_STATE) },
	{ "with a map", { EXTENT(0, map, 1) }, EXTENT_BAD(0, NO_STATE) },
	{ "unknown field", { EXTENT(0, reserved, 1) }, EXTENT_BAD(0, NO_STATE) },
	{ "no blocks", { EXTENT(0, count, 0) }, EXTENT_BAD(0, "beyond the largest file") },
	{ "at the largest offset", { EXTENT(2, logical, GMFS_MAX_LOGICAL - 4) } },
	{ "over the largest offset", { EXTENT(2, logical, GMFS_MAX_LOGICAL - 3) },
	  EXTENT_BAD(2, "beyond the largest file") },
	{ "behind the largest offset", { EXTENT(2, logical, GMFS_MAX_LOGICAL) },
	  EXTENT_BAD(2, "beyond the largest file") },
	{ "offset below zero", { EXTENT(2, logical, U64_MAX) },
	  EXTENT_BAD(2, "beyond the largest file") },
	{ "blocks before the first range", { EXTENT(0, block, 0) }, EXTENT_BAD(0, NO_BLOCKS) },
	{ "just before the first range", { EXTENT(0, block, 447) }, EXTENT_BAD(0, NO_BLOCKS) },
	{ "blocks of a range not in use", { EXTENT(0, block, 0), RANGE(2, size, 128 * MIB) },
	  EXTENT_BAD(0, NO_BLOCKS) },
	{ "blocks behind the last range", { EXTENT(0, block, 1024) }, EXTENT_BAD(0, NO_BLOCKS) },
	{ "blocks far away", { EXTENT(0, block, U32_MAX) }, EXTENT_BAD(0, NO_BLOCKS) },
	{ "over the end of its range", { EXTENT(0, block, 509) }, EXTENT_BAD(0, NO_BLOCKS) },
	{ "over the end of the pool", { EXTENT(0, block, 1021) }, EXTENT_BAD(0, NO_BLOCKS) },
	{ "most blocks", { EXTENT(0, count, U32_MAX) }, EXTENT_BAD(0, NO_BLOCKS) },
	{ "sum of blocks overflows", { EXTENT(0, count, 0U - 448) }, EXTENT_BAD(0, NO_BLOCKS) },
	{ "a block of another file", { EXTENT(0, count, 5) }, EXTENT_BAD(3, TWO_OWNERS) },
	{ "blocks of another file", { EXTENT(3, block, 448) }, EXTENT_BAD(3, TWO_OWNERS) },
	{ "blocks of the same file", { EXTENT(1, block, 450) }, EXTENT_BAD(1, TWO_OWNERS) },
	{ "rubbish in a free extent", { EXTENT(5, block, U32_MAX), EXTENT(5, count, U32_MAX),
	  EXTENT(5, flags, U32_MAX) } },

	{ "owned and free", { BITMAP(448, 0) }, BITMAP_BAD(448, "is free but somebody's") },
	{ "taken by nobody", { BITMAP(1023, 1) }, BITMAP_BAD(1023, "is taken but nobody's") },
	{ "no block, but free", { BITMAP(0, 0) }, BITMAP_BAD(0, "is free but somebody's") },
	{ "last of no blocks, but free", { BITMAP(447, 0) },
	  BITMAP_BAD(447, "is free but somebody's") },
	{ "shorter than its blocks", { EXTENT(0, count, 3) },
	  BITMAP_BAD(451, "is taken but nobody's") },
	{ "longer than its blocks", { EXTENT(2, count, 5) },
	  BITMAP_BAD(472, "is free but somebody's") },
	{ "extents never used", { LIVE(used_extents, 6) },
	  BITMAP_BAD(456, "is taken but nobody's") },
	{ "freed extent, taken blocks", { EXTENT(1, ino, 0) },
	  BITMAP_BAD(458, "is taken but nobody's") },

	{ "an offset twice", { EXTENT(1, logical, 3) }, EXTENT_BAD(1, TWO_OFFSETS) },
	{ "all offsets twice", { EXTENT(2, logical, 10) },
	  EXTENT_BAD(1, TWO_OFFSETS), .or_entry = 2 },
	{ "offsets that touch", { EXTENT(1, logical, 4) } },
	{ "offsets in another order", { EXTENT(0, logical, 1000) } },
	{ "one offset in two files", { EXTENT(3, logical, 10) } },
};

static void check_state(const void *arg)
{
	u32 nr = state_check(arg, state_make);

	if (nr)
		CHECK_EQ(nr, EXTENTS - 1);
}

/* The index is sorted by inode and offset, whatever the order of the extents in the table is. */
static void index_is_sorted(const void *arg)
{
	static const u32 want[] = { 2, 1, 0, 3, 6, 4 };
	struct gmfs_complaint c = {};
	struct gmfs_index index;
	struct pool p;
	u32 i;

	(void)arg;
	state_make(&p);
	p.t.extents[0].logical = cpu_to_le64(GMFS_MAX_LOGICAL - 4);
	p.t.extents[1].logical = cpu_to_le64(0x100);
	p.t.extents[2].logical = cpu_to_le64(0xff);
	p.t.extents[2].count = cpu_to_le32(1);
	bitmap_clear(p.t.bitmap, 469, 3);
	CHECK_EQ(gmfs_check(&p.t, &index, &c), 0);
	CHECK_EQ(index.nr, ARRAY_SIZE(want));
	for (i = 0; i < index.nr; i++)
		CHECK_EQ(index.slots[i], want[i]);
	gmfs_index_free(&index);
	pool_free(&p);
}

/* Entries behind those in use are ignored, even if they look valid. */
static void behind_what_is_in_use(const void *arg)
{
	struct pool p;

	(void)arg;
	state_make(&p);
	p.t.inodes[INODES] = p.t.inodes[FILE0];
	p.t.extents[EXTENTS] = p.t.extents[0];
	pool_check(&p);
	pool_free(&p);
}

/* A long chain of directories is walked once, not once for each of them. */
static void deep_directories(const void *arg)
{
	struct gmfs_complaint c = {};
	struct gmfs_index index;
	struct pool p;
	u32 i, ino = GUESTMEMFS_ROOT_INO;

	(void)arg;
	pool_make_gib(&p, 1);
	for (i = 0; i < 16000; i++)
		ino = pool_dir(&p, ino, "d");
	pool_check(&p);
	/* Now make the last directory the parent of the first one, so that all are in a cycle. */
	p.t.inodes[GUESTMEMFS_ROOT_INO + 1].parent = cpu_to_le32(ino);
	CHECK_EQ(gmfs_check(&p.t, &index, &c), -EUCLEAN);
	CHECK_STR(c.what, "is in a directory below itself");
	pool_free(&p);
}

/*
 * The index of this many extents is too large for kvcalloc(), which would warn. gmfs_calloc() has
 * to allocate it in another way.
 */
static void most_extents(const void *arg)
{
	struct gmfs_complaint c = {};
	struct gmfs_index index;
	struct pool p;

	(void)arg;
	state_make(&p);
	p.t.nr_extents = 2 * GUESTMEMFS_MAX_BLOCKS;
	p.t.super->live.used_extents = cpu_to_le32(p.t.nr_extents);
	shim_allocations = 0;
	/* The third allocation is the index. Let it fail, since it would need 8 GiB. */
	shim_fail_from = 3;
	CHECK_EQ(gmfs_check(&p.t, &index, &c), -ENOMEM);
	CHECK_EQ(shim_allocations, 3);
	/* The limit of 2 GiB does not depend on the size of an entry. */
	CHECK(!gmfs_calloc(1 << 29, sizeof(u32)));
	CHECK(!gmfs_calloc((1 << 29) - 1, sizeof(u32)));
	CHECK(!gmfs_calloc(2ULL * GUESTMEMFS_MAX_BLOCKS + 1, sizeof(void *)));
	CHECK_EQ(shim_allocations, 6);
	shim_fail_from = 0;
	pool_free(&p);
}

void check_complaints(void (*fn)(const char *what))
{
	state_complaints(states, ARRAY_SIZE(states), fn);
}

void check_tests(void)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(states); i++)
		test_add(check_state, &states[i], "check: %s", states[i].name);
	TEST(index_is_sorted);
	TEST(behind_what_is_in_use);
	TEST(deep_directories);
	TEST(most_extents);
}
