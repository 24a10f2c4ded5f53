// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random persistent pins, compared with a model that has an entry for each frame.
 */
#include <stdlib.h>

#include "../../../fs/guestmemfs/tables/extmap.h"
#include "persist.h"
#include "states.h"

#define FILES	3U
#define BLOCKS	4U	/* of each file */
#define FRAMES	(FILES * BLOCKS * PAGES)
#define ROUNDS	3000
#define DEVICES	8

struct model {
	struct pool p;
	u64 seed;
	u64 base; /* the first frame */
	u32 pins[FRAMES]; /* of devices */
	u32 owner[FRAMES]; /* file + 1 */
	bool inherited[FRAMES];
	u64 device[DEVICES][2]; /* pages of a file that a device has pinned, as frames */
};

/* A range of frames of one block; a small one if there are to be many. */
static void range(struct model *m, u64 *first, u64 *last)
{
	u64 length = pool_random(&m->seed) % 4 ? 40 : FRAMES;

	*first = pool_random(&m->seed) % FRAMES;
	*last = min(*first + 1 + pool_random(&m->seed) % length, FRAMES);
}

static void add(struct model *m)
{
	u64 first, last, page, i;
	u32 file;

	range(m, &first, &last);
	file = first / (BLOCKS * PAGES);
	last = min(last, (file + 1) * BLOCKS * PAGES);
	page = first - file * BLOCKS * PAGES;
	CHECK_EQ(persist_pages(&m->p, file, page, page + (last - first)), 0);
	for (i = first; i < last; i++) {
		m->owner[i] = file + 1;
		m->inherited[i] = false;
	}
}

static void remove_some(struct model *m)
{
	u32 file = pool_random(&m->seed) % (FILES + 1);
	bool inherited = pool_random(&m->seed) & 1;
	u64 first, last, i;

	range(m, &first, &last);
	CHECK_EQ(persist_remove(&m->p, m->base + first, m->base + last,
				file ? m->p.ino[file - 1] : 0, inherited), 0);
	for (i = first; i < last; i++) {
		if ((file && m->owner[i] != file) || (inherited && !m->inherited[i]))
			continue;
		m->owner[i] = 0;
		m->inherited[i] = false;
	}
}

static void drop(struct model *m)
{
	u32 file = pool_random(&m->seed) % FILES;
	u64 i;

	persist_drop(&m->p, m->p.ino[file]);
	for (i = 0; i < FRAMES; i++) {
		if (m->owner[i] != file + 1)
			continue;
		m->owner[i] = 0;
		m->inherited[i] = false;
	}
}

static void device(struct model *m)
{
	u64 *d = m->device[pool_random(&m->seed) % DEVICES], i;

	if (d[1]) {
		pool_unpin_frames(&m->p, m->base + d[0], m->base + d[1]);
		for (i = d[0]; i < d[1]; i++)
			m->pins[i]--;
		d[1] = 0;
		return;
	}
	range(m, &d[0], &d[1]);
	CHECK_EQ(pool_pin_frames(&m->p, m->base + d[0], m->base + d[1]), 0);
	for (i = d[0]; i < d[1]; i++)
		m->pins[i]++;
}

static void next_kernel(struct model *m)
{
	u64 i;

	pool_kexec(&m->p);
	memset(m->device, 0, sizeof(m->device));
	for (i = 0; i < FRAMES; i++) {
		m->pins[i] = 0;
		m->inherited[i] = m->owner[i];
	}
}

static void compare(struct model *m)
{
	u64 i, first, last, frames = 0, inherited = 0, pinned = 0;
	u32 nr = 0;

	for (i = 0; i < FRAMES; i++) {
		u64 frame = m->base + i;

		CHECK_EQ(gmfs_persist_find(&m->p.persist, frame, frame + 1, &first, &last),
			 m->owner[i] != 0);
		CHECK_EQ(gmfs_pins_find(&m->p.pins, frame, frame + 1, &first, &last),
			 m->owner[i] || m->pins[i]);
		frames += m->owner[i] != 0;
		inherited += m->inherited[i];
		pinned += m->owner[i] || m->pins[i];
		nr += m->owner[i] && (!i || m->owner[i] != m->owner[i - 1] ||
				      m->inherited[i] != m->inherited[i - 1]);
	}
	CHECK_EQ(m->p.persist.frames, frames);
	CHECK_EQ(m->p.persist.inherited, inherited);
	CHECK_EQ(m->p.persist.nr, nr);
	CHECK_EQ(m->p.pins.frames, pinned);
}

static void persist_model(const void *arg)
{
	struct model *m = calloc(1, sizeof(*m));
	u32 i, file;

	CHECK(m);
	m->seed = *(const u64 *)arg;
	states_pool(&m->p, 1);
	for (i = 1; i < FILES; i++)
		pool_file(&m->p);
	for (file = 0; file < FILES; file++)
		CHECK_EQ(pool_fill(&m->p, file, 0, BLOCKS), 0);
	m->base = pool_frame(&m->p, 0, 0);
	CHECK_EQ(pool_frame(&m->p, FILES - 1, 0), m->base + (FILES - 1) * BLOCKS * PAGES);
	for (i = 0; i < ROUNDS; i++) {
		u32 what = pool_random(&m->seed) % 64;

		if (what < 30)
			add(m);
		else if (what < 45)
			remove_some(m);
		else if (what < 61)
			device(m);
		else if (what < 62)
			drop(m);
		else if (what < 63)
			next_kernel(m);
		if (what >= 61 || i % 8 == 0) {
			compare(m);
			pool_check(&m->p);
		}
	}
	pool_free(&m->p);
	free(m);
}

static const u64 persist_seeds[] = { 1, 20261129, 0x123456789abcdef };

void persist_random_tests(void)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(persist_seeds); i++)
		test_add(persist_model, &persist_seeds[i], "persist_model %#llx",
			 persist_seeds[i]);
}
