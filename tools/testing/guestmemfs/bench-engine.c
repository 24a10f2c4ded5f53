// SPDX-License-Identifier: GPL-2.0-only
/*
 * The calls of fs/guestmemfs that bench.c measures. Only this file has to follow when the
 * functions of fs/guestmemfs change.
 */
#include "bench-engine.h"

bool engine_locked;

/* The operation in progress, and the step of it that is to be done under the lock next. */
static struct gmfs_fill fill;
static struct gmfs_edit ed;
static enum {
	NOTHING,
	FILL_BEGIN,
	FILL_STEP,
	FILL_UNCOVER,
	FILL_END,
	EDIT_BEGIN,
	EDIT_STEP,
} todo;

static void engine_edit_new(struct pool *p, u32 file, enum gmfs_op op, u64 first, u64 last)
{
	ed = pool_edit(p, file, op, first, last);
	todo = EDIT_BEGIN;
}

/* Does one step, for which the kernel would hold the lock. Returns whether there are more. */
static bool engine_edit(void)
{
	if (todo == EDIT_BEGIN) {
		CHECK_EQ(gmfs_edit_begin(&ed), 0);
		todo = EDIT_STEP;
		return true;
	}
	if (gmfs_edit_step(&ed))
		return true;
	gmfs_edit_end(&ed);
	todo = NOTHING;
	return false;
}

static int engine_fill_begin(struct pool *p, u32 file, u64 from, u64 end)
{
	fill = (struct gmfs_fill){
		.t	= &p->t,
		.map	= &p->map[file],
		.ino	= p->ino[file],
		.from	= from,
		.end	= end,
	};
	todo = FILL_BEGIN;
	engine_locked = false;
	return gmfs_fill_cover(&fill);
}

int engine_fill(struct pool *p, u32 file, u64 *at, u64 end)
{
	u64 from = *at;
	int err;

	engine_locked = true;
	if (end - from == 1 && todo == NOTHING) {
		*at = end;
		return gmfs_map_fill(&p->t, &p->map[file], p->ino[file], from, 1);
	}
	switch (todo) {
	case NOTHING:
		return engine_fill_begin(p, file, from, end);
	case FILL_BEGIN:
		todo = FILL_STEP;
		return gmfs_fill_begin(&fill);
	case FILL_STEP:
		err = gmfs_fill_step(&fill);
		if (err)
			return min(err, 0);
		todo = FILL_UNCOVER;
		break;
	case FILL_UNCOVER:
		engine_locked = false;
		gmfs_fill_uncover(&fill);
		todo = FILL_END;
		break;
	case FILL_END:
		gmfs_fill_end(&fill);
		if (fill.pending)
			engine_edit_new(p, file, GMFS_COMMIT, fill.from * GROUP, end * GROUP);
		else
			todo = NOTHING;
		break;
	default:
		engine_edit();
	}
	if (todo == NOTHING)
		*at = end;
	return 0;
}

/* Changes pages from *@at to before @end of the file. */
static int engine_change(struct pool *p, u32 file, enum gmfs_op op, u64 *at, u64 end,
			 bool converted)
{
	engine_locked = true;
	if (todo != NOTHING) {
		if (!engine_edit())
			*at = end;
		return 0;
	}
	engine_edit_new(p, file, op, *at, end);
	ed.converted = converted;
	if (end - *at <= GROUP) {
		todo = NOTHING;
		*at = end;
		return gmfs_edit_all(&ed);
	}
	engine_locked = false;
	gmfs_edit_count(&ed);
	return 0;
}

int engine_punch(struct pool *p, u32 file, u64 *at, u64 end)
{
	u64 page = *at * GROUP;
	int err = engine_change(p, file, GMFS_PUNCH, &page, end * GROUP, false);

	*at = page / GROUP;
	return err;
}

int engine_convert(struct pool *p, u32 file, u64 *at, u64 end, bool converted)
{
	return engine_change(p, file, GMFS_CONVERT, at, end, converted);
}

bool engine_clear(struct pool *p, u32 file)
{
	engine_locked = true;
	switch (todo) {
	case NOTHING:
		engine_edit_new(p, file, GMFS_CLEAR, 0, GMFS_MAX_PAGE);
		todo = EDIT_STEP;
		break;
	case EDIT_STEP:
		if (!engine_edit())
			todo = EDIT_BEGIN;
		break;
	default:
		engine_locked = false;
		gmfs_map_destroy(&p->map[file]);
		todo = NOTHING;
	}
	return todo != NOTHING;
}

u64 engine_blocks(const struct pool *p, u32 file)
{
	return p->map[file].blocks;
}

u64 engine_extents(const struct pool *p, u32 file)
{
	return pool_extents(p, file);
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

	/* Mark the entry as used, as all callers of gmfs_extent_slot() do. */
	t->extents[slot].ino = cpu_to_le32(GUESTMEMFS_ROOT_INO + 1);
	return slot;
}

void engine_extent_drop(struct gmfs_tables *t, u32 slot)
{
	gmfs_extent_drop(t, slot);
}
