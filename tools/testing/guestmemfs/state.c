// SPDX-License-Identifier: GPL-2.0-only
/*
 * Changes of tables, as tables have them.
 */
#include "state.h"

static void *patch_entry(struct pool *p, const struct patch *patch)
{
	switch (patch->place) {
	case AT_SUPER:
		return p->t.super;
	case AT_TABLE:
		return &p->t.super->tables[patch->index];
	case AT_RANGE:
		return &p->t.ranges[patch->index];
	case AT_LIVE:
		return &p->t.super->live;
	case AT_INODE:
		return &p->t.inodes[patch->index];
	case AT_EXTENT:
		return &p->t.extents[patch->index];
	default:
		return NULL;
	}
}

void *patch_place(struct pool *p, const struct patch *patch)
{
	void *entry = patch_entry(p, patch);

	CHECK(entry);
	return (u8 *)entry + patch->field.offset;
}

static void patch_name(struct pool *p, const struct patch *patch)
{
	struct guestmemfs_inode *di = &p->t.inodes[patch->index];

	di->name_len = cpu_to_le16(patch->field.size);
	memset(di->name, 0, sizeof(di->name));
	memcpy(di->name, patch->text, patch->field.size);
}

static void patch_apply(struct pool *p, const struct patch *patch)
{
	__le64 value = cpu_to_le64(patch->value);

	switch (patch->place) {
	case AT_NOTHING:
		break;
	case AT_NAME:
		patch_name(p, patch);
		break;
	case AT_BITMAP:
		if (patch->value)
			set_bit(patch->index, p->t.bitmap);
		else
			clear_bit(patch->index, p->t.bitmap);
		break;
	default:
		CHECK(patch->field.size <= sizeof(value));
		memcpy(patch_place(p, patch), &value, patch->field.size);
	}
}

void state_apply(struct pool *p, const struct state *s)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(s->patch); i++)
		patch_apply(p, &s->patch[i]);
}

void state_expect(const struct state *s, int err, const struct gmfs_complaint *c)
{
	if (err && err != -EUCLEAN)
		FAIL("error %d", err);
	if (err && !s->table)
		FAIL("refused: %s %llu %s", c->table, c->entry, c->what);
	if (!err && s->table)
		FAIL("accepted");
	if (!err)
		return;
	CHECK_STR(c->table, s->table);
	CHECK_STR(c->what, s->what);
	if (!s->or_entry || c->entry != s->or_entry)
		CHECK_EQ(c->entry, s->entry);
}
