// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests every rule of gmfs_check() for converted offsets and detached blocks, with tables that
 * break the rule and with tables that just keep it.
 */
#include "state.h"

#define ALLOCATED	GUESTMEMFS_EXTENT_ALLOCATED
#define CONVERTED	GUESTMEMFS_EXTENT_CONVERTED
#define MIXED		GUESTMEMFS_EXTENT_MIXED
#define DETACHED	GUESTMEMFS_EXTENT_DETACHED
#define PRIVATE		GUESTMEMFS_INODE_PRIVATE
#define CHOSEN		GUESTMEMFS_INODE_CHOSEN

#define NO_STATE	"in a state that no feature announces"
#define IMPOSSIBLE	"in a state that cannot be"
#define NO_ACCESS	"impossible preservation"
#define NO_MAP		"has a map that does not exist"
#define TWO_OFFSETS	"has offsets that another one has"
#define TOO_LARGE	"beyond the largest file"
#define ONE_KIND	"has pages of one kind only"
#define NOBODYS		"is taken but nobody's"
#define NO_FILE		"is of no file"
#define TOO_MANY	"is one too many without blocks"

static const struct state states[] = {
	{ "nothing changed" },

	{ "too many maps in use", { LIVE(used_maps, 1025) },
	  SUPER_BAD("more maps in use than there are") },
	{ "most maps in use", { LIVE(used_maps, U32_MAX) },
	  SUPER_BAD("more maps in use than there are") },
	/* Maps behind those that were ever used have garbage, which is read with this count. */
	{ "all maps in use", { LIVE(used_maps, 1024) }, MAP_BAD(3, NOBODYS) },
	{ "maps never used", { LIVE(used_maps, 2) }, EXTENT_BAD(8, NO_MAP) },
	{ "no maps in use", { LIVE(used_maps, 0) }, EXTENT_BAD(4, NO_MAP) },
	{ "poison in use", { LIVE(used_poison, 1) },
	  SUPER_BAD("tables in use that no feature announces") },

	{ "private file", { INODE(FILE0, flags, PRIVATE) } },
	{ "chosen file", { INODE(FILE0, flags, CHOSEN) } },
	{ "private and chosen orphan", { INODE(ORPHAN, flags,
	  GUESTMEMFS_INODE_ORPHAN | PRIVATE | CHOSEN) } },
	{ "private directory", { INODE(DIR_A, flags, PRIVATE) },
	  INODE_BAD(DIR_A, "unknown flags") },
	{ "chosen directory", { INODE(DIR_A, flags, CHOSEN) },
	  INODE_BAD(DIR_A, "unknown flags") },
	{ "unknown inode flag", { INODE(FILE0, flags, 8) }, INODE_BAD(FILE0, "unknown flags") },

	/*
	 * A preserved gmem descriptor (GUESTMEMFS_IOC_CREATE_GMEM): the file must have had one,
	 * and the descriptor must be for reading and writing.
	 */
	{ "preserved gmem", { INODE(FILE0, flags, CHOSEN), INODE(FILE0, preserved_access, 7) } },
	{ "preserved gmem to map",
	  { INODE(FILE0, flags, CHOSEN), INODE(FILE0, preserved_access, 15) } },
	{ "preserved gmem of no gmem file", { INODE(FILE0, preserved_access, 7) },
	  INODE_BAD(FILE0, NO_ACCESS) },
	{ "preserved gmem to read",
	  { INODE(FILE0, flags, CHOSEN), INODE(FILE0, preserved_access, 5) },
	  INODE_BAD(FILE0, NO_ACCESS) },
	{ "preserved map of no gmem",
	  { INODE(FILE0, flags, CHOSEN), INODE(FILE0, preserved_access, 11) },
	  INODE_BAD(FILE0, NO_ACCESS) },
	{ "preserved access of more bits",
	  { INODE(FILE0, flags, CHOSEN), INODE(FILE0, preserved_access, 23) },
	  INODE_BAD(FILE0, NO_ACCESS) },

	{ "unknown field", { EXTENT(1, reserved, 1) }, EXTENT_BAD(1, NO_STATE) },
	{ "unknown field without blocks", { EXTENT(7, reserved, 1) }, EXTENT_BAD(7, NO_STATE) },
	{ "unknown extent flag", { EXTENT(1, flags, ALLOCATED | 0x10) },
	  EXTENT_BAD(1, NO_STATE) },
	{ "last extent flag", { EXTENT(1, flags, ALLOCATED | 1U << 31) },
	  EXTENT_BAD(1, NO_STATE) },
	{ "no flags", { EXTENT(7, flags, 0) }, EXTENT_BAD(7, IMPOSSIBLE) },
	{ "no flags, but blocks", { EXTENT(0, flags, 0) }, EXTENT_BAD(0, IMPOSSIBLE) },
	{ "converted and mixed", { EXTENT(4, flags, ALLOCATED | CONVERTED | MIXED) },
	  EXTENT_BAD(4, IMPOSSIBLE) },
	{ "converted and mixed, no blocks", { EXTENT(8, flags, CONVERTED | MIXED) },
	  EXTENT_BAD(8, IMPOSSIBLE) },
	{ "detached and of a file", { EXTENT(7, flags, CONVERTED | DETACHED) },
	  EXTENT_BAD(7, "is detached and of a file") },
	{ "detached blocks of a file", { EXTENT(5, ino, FILE0) },
	  EXTENT_BAD(5, "is detached and of a file") },
	{ "of the root directory", { EXTENT(7, ino, GUESTMEMFS_ROOT_INO) },
	  EXTENT_BAD(7, NO_FILE) },
	{ "not detached", { EXTENT(5, flags, ALLOCATED) }, EXTENT_BAD(5, NO_FILE) },
	{ "detached alone", { EXTENT(5, flags, DETACHED) }, EXTENT_BAD(5, IMPOSSIBLE) },
	{ "detached without blocks", { EXTENT(5, flags, DETACHED), EXTENT(5, block, 0),
	  EXTENT(5, logical, 0) }, EXTENT_BAD(5, IMPOSSIBLE) },
	{ "detached and converted", { EXTENT(5, flags, ALLOCATED | DETACHED | CONVERTED) },
	  EXTENT_BAD(5, IMPOSSIBLE) },
	{ "detached and mixed", { EXTENT(5, flags, ALLOCATED | DETACHED | MIXED),
	  EXTENT(5, map, 1), EXTENT(5, count, 1) }, EXTENT_BAD(5, IMPOSSIBLE) },
	{ "detached with a map", { EXTENT(5, map, 2) }, EXTENT_BAD(5, IMPOSSIBLE) },
	{ "detached with an unknown field", { EXTENT(5, reserved, 1) }, EXTENT_BAD(5, NO_STATE) },
	{ "detached with an unknown flag", { EXTENT(5, flags, ALLOCATED | DETACHED | 0x10) },
	  EXTENT_BAD(5, NO_STATE) },
	{ "detached at another offset", { EXTENT(5, logical, 469) },
	  EXTENT_BAD(5, IMPOSSIBLE) },
	{ "detached at a far offset", { EXTENT(5, logical, (1ULL << 32) + 468) },
	  EXTENT_BAD(5, IMPOSSIBLE) },
	{ "detached of no blocks", { EXTENT(5, count, 0) }, EXTENT_BAD(5, TOO_LARGE) },
	{ "detached beyond all blocks", { EXTENT(5, block, U32_MAX),
	  EXTENT(5, logical, U32_MAX) }, EXTENT_BAD(5, TOO_LARGE) },
	{ "detached, and there is no block", { EXTENT(5, block, 1024),
	  EXTENT(5, logical, 1024) }, EXTENT_BAD(5, "has blocks that do not exist") },
	{ "detached over the end of the range", { EXTENT(5, count, 45) },
	  EXTENT_BAD(5, "has blocks that do not exist") },
	{ "detached and another file's", { EXTENT(5, block, 452), EXTENT(5, logical, 452) },
	  EXTENT_BAD(5, "has blocks that another one has") },
	{ "a file's and detached", { EXTENT(6, block, 470) },
	  EXTENT_BAD(6, "has blocks that another one has") },
	{ "block without blocks", { EXTENT(7, block, 600) }, EXTENT_BAD(7, IMPOSSIBLE) },
	{ "mixed without a map", { EXTENT(4, map, 0) }, EXTENT_BAD(4, IMPOSSIBLE) },
	{ "two mixed blocks", { EXTENT(8, count, 2) }, EXTENT_BAD(8, IMPOSSIBLE) },
	{ "no mixed block", { EXTENT(8, count, 0) }, EXTENT_BAD(8, IMPOSSIBLE) },
	{ "map and not mixed", { EXTENT(1, map, 1) }, EXTENT_BAD(1, IMPOSSIBLE) },
	{ "map never used", { EXTENT(4, map, 3) }, EXTENT_BAD(4, NO_MAP) },
	{ "map far away", { EXTENT(4, map, U32_MAX) }, EXTENT_BAD(4, NO_MAP) },
	{ "map of another file", { EXTENT(8, map, 1) },
	  EXTENT_BAD(8, "has a map that another one has") },

	{ "of no file", { EXTENT(7, ino, DIR_A) }, EXTENT_BAD(7, "is of no file") },
	{ "count of 0", { EXTENT(7, count, 0) }, EXTENT_BAD(7, TOO_LARGE) },
	{ "largest count", { EXTENT(7, ino, FILE2), EXTENT(7, logical, 1),
	  EXTENT(7, count, U32_MAX) } },
	{ "at the largest offset", { EXTENT(7, logical, GMFS_MAX_LOGICAL - 2) } },
	{ "over the largest offset", { EXTENT(7, logical, GMFS_MAX_LOGICAL - 1) },
	  EXTENT_BAD(7, TOO_LARGE) },
	{ "behind the largest offset", { EXTENT(7, logical, GMFS_MAX_LOGICAL) },
	  EXTENT_BAD(7, TOO_LARGE) },
	{ "offset below zero", { EXTENT(7, logical, U64_MAX) }, EXTENT_BAD(7, TOO_LARGE) },
	{ "offsets that have blocks", { EXTENT(7, logical, 2) }, EXTENT_BAD(7, TWO_OFFSETS) },
	{ "offsets without blocks twice", { EXTENT(7, logical, 299) },
	  EXTENT_BAD(8, TWO_OFFSETS) },
	{ "offset whose block is detached", { EXTENT(8, ino, FILE0), EXTENT(8, logical, 23) } },
	{ "neighbours that could be one", { EXTENT(8, flags, CONVERTED), EXTENT(8, map, 0),
	  MAP(2, 0, 0), EXTENT(8, logical, 202) } },
	{ "no blocks where it had some", { EXTENT(1, flags, CONVERTED), EXTENT(1, block, 0) },
	  BITMAP_BAD(458, NOBODYS) },
	{ "detached and free", { BITMAP(468, 0) }, BITMAP_BAD(468, "is free but somebody's") },
	{ "not detached any more, and taken", { EXTENT(5, ino, 0) }, BITMAP_BAD(468, NOBODYS) },
	{ "detached and not taken", { EXTENT(5, count, 5) },
	  BITMAP_BAD(472, "is free but somebody's") },

	{ "map of no pages", { MAP(1, 0, 0) }, MAP_BAD(1, ONE_KIND) },
	{ "last page of a map", { MAP(1, 63, 0x80), MAP(1, 0, 0) } },
	{ "map of nobody", { EXTENT(8, ino, 0) }, MAP_BAD(2, NOBODYS) },
	{ "page of nobody", { EXTENT(8, ino, 0), MAP(2, 0, 0), MAP(2, 63, 1) },
	  MAP_BAD(2, NOBODYS) },
	{ "freed map", { EXTENT(8, ino, 0), MAP(2, 0, 0) } },
	{ "map 0", { MAP(0, 63, 1) }, MAP_BAD(0, NOBODYS) },
};

static void check_state(const void *arg)
{
	state_check(arg, state_make_converted);
}

static void map_of_all_pages(const void *arg)
{
	static const struct state bad = { .table = "map table", .entry = 2, .what = ONE_KIND };
	struct gmfs_complaint c = {};
	struct gmfs_index index;
	struct pool p;

	(void)arg;
	state_make_converted(&p);
	memset(&p.t.maps[2], 0xff, sizeof(p.t.maps[2]));
	state_expect(&bad, gmfs_check(&p.t, &index, &c), &c);
	p.t.maps[2].bits[63] = 0x7f;
	CHECK_EQ(gmfs_check(&p.t, &index, &c), 0);
	gmfs_index_free(&index);
	pool_free(&p);
}

/* Two detached extents that could be one are accepted, like those of a file. */
static void two_detached(const void *arg)
{
	struct gmfs_complaint c = {};
	struct gmfs_index index;
	struct pool p;

	(void)arg;
	state_make_converted(&p);
	p.t.extents[2] = p.t.extents[5];
	p.t.extents[2].count = cpu_to_le32(1);
	p.t.extents[5].count = cpu_to_le32(3);
	p.t.extents[5].block = cpu_to_le32(469);
	p.t.extents[5].logical = cpu_to_le64(469);
	CHECK_EQ(gmfs_check(&p.t, &index, &c), 0);
	/* They have the lowest number of an inode. */
	CHECK_EQ(index.slots[0], 2);
	CHECK_EQ(index.slots[1], 5);
	gmfs_index_free(&index);
	pool_reopen(&p);
	CHECK_EQ(p.t.detached.blocks, 4);
	CHECK_EQ(p.t.free_blocks, GROUP + 64 - 4 - 4 - 3 - 1 - 1 - 4);
	pool_unpin_frames(&p, 468ULL * GUESTMEMFS_BLOCK_PAGES, 472ULL * GUESTMEMFS_BLOCK_PAGES);
	CHECK_EQ(p.t.detached.blocks, 0);
	CHECK_EQ(p.t.free_blocks, GROUP + 64 - 4 - 4 - 3 - 1 - 1);
	pool_check(&p);
	pool_free(&p);
}

/* The greatest number of extents without blocks that leaves one for each block, and one more. */
static void too_many_states(const void *arg)
{
	const struct gmfs_range range = { 896 * MIB, 128 * MIB };
	const u32 detached = *(const bool *)arg;
	struct state bad = { .table = "extent table", .entry = 960, .what = TOO_MANY };
	struct gmfs_complaint c = {};
	struct gmfs_index index;
	struct pool p;
	u32 i;

	pool_make(&p, &range, 1);
	pool_file(&p);
	gmfs_feature_states(&p.t);
	for (i = 0; i < 961 + detached; i++) {
		struct guestmemfs_extent *e = &p.t.extents[i];

		memset(e, 0, sizeof(*e));
		e->ino = cpu_to_le32(p.ino[0]);
		e->logical = cpu_to_le64(2 * i);
		e->count = cpu_to_le32(1);
		e->flags = cpu_to_le32(CONVERTED);
	}
	/* Extent 7 has the entry of its block. */
	if (detached) {
		p.t.extents[7].flags = cpu_to_le32(ALLOCATED | DETACHED);
		p.t.extents[7].ino = cpu_to_le32(GUESTMEMFS_DETACHED_INO);
		p.t.extents[7].block = cpu_to_le32(450);
		p.t.extents[7].logical = cpu_to_le64(450);
		set_bit(450, p.t.bitmap);
	}
	p.t.super->live.used_extents = cpu_to_le32(961 + detached);
	bad.entry += detached;
	state_expect(&bad, gmfs_check(&p.t, &index, &c), &c);
	p.t.super->live.used_extents = cpu_to_le32(960 + detached);
	CHECK_EQ(gmfs_check(&p.t, &index, &c), 0);
	gmfs_index_free(&index);
	pool_free(&p);
}

static const bool too_many_kinds[] = { false, true };

void check_states_complaints(void (*fn)(const char *what))
{
	state_complaints(states, ARRAY_SIZE(states), fn);
	fn(TOO_MANY);
}

void check_states_tests(void)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(states); i++)
		test_add(check_state, &states[i], "check, states: %s", states[i].name);
	TEST(map_of_all_pages);
	TEST(two_detached);
	for (i = 0; i < ARRAY_SIZE(too_many_kinds); i++)
		test_add(too_many_states, &too_many_kinds[i], "too_many_states%s",
			 too_many_kinds[i] ? ": detached" : "");
}
