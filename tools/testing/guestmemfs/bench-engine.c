// SPDX-License-Identifier: GPL-2.0-only
/*
 * Between bench.c and the code that it measures: what changes when that does.
 */
#include "bench-engine.h"

int engine_fill(struct pool *p, u32 file, u64 *at, u64 end)
{
	u64 from = *at;

	*at = end;
	return gmfs_map_fill(&p->t, &p->map[file], p->ino[file], from, end - from);
}

int engine_punch(struct pool *p, u32 file, u64 *at, u64 end)
{
	u64 from = *at;

	*at = end;
	return gmfs_map_punch(&p->t, &p->map[file], from, end - from);
}

int engine_convert(struct pool *p, u32 file, u64 *at, u64 end, bool converted)
{
	u64 from = *at;

	*at = end;
	return gmfs_map_convert(&p->t, &p->map[file], p->ino[file], from, end, converted, NULL);
}

bool engine_clear(struct pool *p, u32 file)
{
	gmfs_map_clear(&p->t, &p->map[file]);
	return false;
}

u64 engine_blocks(const struct pool *p, u32 file)
{
	return gmfs_map_blocks(&p->t, &p->map[file]);
}

u64 engine_extents(const struct pool *p, u32 file)
{
	return p->map[file].nr;
}

u32 engine_inode_take(struct gmfs_tables *t)
{
	u32 ino;

	CHECK_EQ(gmfs_inode_alloc(t, S_IFREG | 0600, &ino), 0);
	return ino;
}

void engine_inode_drop(struct gmfs_tables *t, u32 ino)
{
	gmfs_inode_free(t, ino);
}

u32 engine_extent_take(struct gmfs_tables *t)
{
	u32 slot = gmfs_extent_slot(t);

	/* As whoever takes one does: the entry is in use. */
	t->extents[slot].ino = cpu_to_le32(GUESTMEMFS_ROOT_INO + 1);
	return slot;
}

void engine_extent_drop(struct gmfs_tables *t, u32 slot)
{
	gmfs_extent_drop(t, slot);
}
