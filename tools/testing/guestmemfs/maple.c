// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests the kernel's maple tree with our shim, since all other tests rely on it: random operations,
 * some with failing allocations, are compared with a model, which is an array.
 */
#include <stdlib.h>

#include <linux/errno.h>
#include <linux/maple_tree.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include "tables_pool.h"
#include "test.h"

#define MODEL_SIZE	8192
#define MODEL_STEPS	12000
/* Indices are large, as offsets in large files are. */
#define MODEL_BASE	0xfffff000UL

struct model {
	struct maple_tree mt;
	unsigned long value[MODEL_SIZE];
	unsigned long next;
	u64 seed;
	u32 nomem;
};

static void model_make(struct model *m, u64 seed, unsigned int flags)
{
	memset(m, 0, sizeof(*m));
	m->seed = seed;
	mt_init_flags(&m->mt, MT_FLAGS_LOCK_EXTERN | flags);
}

static void model_free(struct model *m)
{
	__mt_destroy(&m->mt);
	rcu_barrier();
	CHECK_EQ(shim_unfreed, 0);
	CHECK_EQ(shim_bytes, 0);
}

static u32 model_end(const struct model *m, u32 at)
{
	u32 end = at + 1;

	while (end < MODEL_SIZE && m->value[end] == m->value[at])
		end++;
	return end;
}

static u32 model_begin(const struct model *m, u32 at)
{
	while (at && m->value[at - 1] == m->value[at])
		at--;
	return at;
}

static void model_set(struct model *m, u32 from, u32 to, unsigned long value)
{
	while (from < to)
		m->value[from++] = value;
}

/* Compares all entries that mas_find() returns, from the first to the last, with the model. */
static void model_compare(struct model *m)
{
	MA_STATE(mas, &m->mt, 0, 0);
	void *entry;
	u32 at = 0;

	mas_for_each(&mas, entry, ULONG_MAX) {
		while (at < MODEL_SIZE && !m->value[at])
			at++;
		CHECK(at < MODEL_SIZE);
		CHECK_EQ(xa_to_value(entry), m->value[at]);
		CHECK_EQ(mas.index, MODEL_BASE + at);
		at = model_end(m, at);
		CHECK_EQ(mas.last, MODEL_BASE + at - 1);
	}
	while (at < MODEL_SIZE)
		CHECK_EQ(m->value[at++], 0);
}

/* Compares the next and the previous entry, also across holes, with the model. */
static void model_neighbours(struct model *m, u32 at)
{
	MA_STATE(mas, &m->mt, MODEL_BASE + at, MODEL_BASE + at);
	void *entry = mas_walk(&mas);
	u32 left = model_begin(m, at), right = model_end(m, at);

	if (entry) {
		CHECK_EQ(xa_to_value(entry), m->value[at]);
		CHECK_EQ(mas.index, MODEL_BASE + left);
		CHECK_EQ(mas.last, MODEL_BASE + right - 1);
	} else {
		CHECK_EQ(m->value[at], 0);
	}
	while (right < MODEL_SIZE && !m->value[right])
		right++;
	entry = mas_next(&mas, ULONG_MAX);
	CHECK_EQ(!!entry, right < MODEL_SIZE);
	if (entry) {
		CHECK_EQ(xa_to_value(entry), m->value[right]);
		CHECK_EQ(mas.index, MODEL_BASE + right);
	}
	mas_set(&mas, MODEL_BASE + left);
	entry = mas_prev(&mas, 0);
	while (left && !m->value[left - 1])
		left--;
	CHECK_EQ(!!entry, left > 0);
	if (entry) {
		CHECK_EQ(xa_to_value(entry), m->value[left - 1]);
		CHECK_EQ(mas.last, MODEL_BASE + left - 1);
	}
}

static int model_write(struct ma_state *mas, void *entry, bool prepared, bool given_up)
{
	int err;

	if (!prepared)
		return mas_store_gfp(mas, entry, GFP_KERNEL);
	err = mas_preallocate(mas, entry, GFP_KERNEL);
	if (err)
		return err;
	/* After mas_preallocate() no allocation may be needed. The tree has not changed yet. */
	shim_fail_from = 1;
	if (given_up) {
		mas_destroy(mas);
		return -ECANCELED;
	}
	mas_store_prealloc(mas, entry);
	return 0;
}

static void model_store(struct model *m, u32 from, u32 to, unsigned long value, u64 r)
{
	MA_STATE(mas, &m->mt, MODEL_BASE + from, MODEL_BASE + to - 1);
	void *entry = value ? xa_mk_value(value) : NULL;
	int unfreed = shim_unfreed, err;

	shim_allocations = 0;
	shim_fail_from = r % 4 ? 0 : 1 + r / 4 % 3;
	shim_fail_nowait = r / 16 % 2;
	err = model_write(&mas, entry, r / 32 % 2, r / 64 % 8 == 0);
	shim_fail_from = 0;
	shim_fail_nowait = false;
	if (!err) {
		model_set(m, from, to, value);
		return;
	}
	if (err != -ECANCELED)
		CHECK_EQ(err, -ENOMEM);
	m->nomem += err == -ENOMEM;
	CHECK_EQ(shim_unfreed, unfreed);
	model_compare(m);
}

/* mas_erase() must not fail, even if no allocation succeeds. */
static void model_erase(struct model *m, u32 at)
{
	MA_STATE(mas, &m->mt, MODEL_BASE + at, MODEL_BASE + at);
	void *entry;

	shim_allocations = 0;
	shim_fail_from = 1;
	entry = mas_erase(&mas);
	shim_fail_from = 0;
	if (!entry) {
		CHECK_EQ(m->value[at], 0);
		return;
	}
	CHECK_EQ(xa_to_value(entry), m->value[at]);
	model_set(m, model_begin(m, at), model_end(m, at), 0);
}

static void model_step(struct model *m)
{
	u64 r = pool_random(&m->seed);
	u32 from = r % MODEL_SIZE, what = (r >> 16) % 16;
	u32 size = (r >> 20) % 256 ? 4 : MODEL_SIZE / 2;
	u32 to = min(from + 1 + (u32)((r >> 32) % size), (u32)MODEL_SIZE);

	if (what < 9)
		model_store(m, from, to, ++m->next, r >> 44);
	else if (what < 12)
		model_store(m, from, to, 0, r >> 44);
	else if (what < 14)
		model_erase(m, from);
	else
		model_neighbours(m, from);
}

struct maple_case {
	const char *name;
	unsigned int flags;
};

/*
 * MT_FLAGS_USE_RCU without MT_FLAGS_ALLOC_RANGE is left out, since mt_destroy_walk() has a bug with
 * these flags: it takes the last pointer of a full node that it has marked as dead for metadata,
 * and clears 16 bits of it.
 */
static const struct maple_case maple_cases[] = {
	{ "without readers", 0 },
	{ "with gaps", MT_FLAGS_ALLOC_RANGE },
	{ "with gaps and readers", MT_FLAGS_ALLOC_RANGE | MT_FLAGS_USE_RCU },
};

static void maple_random(const void *arg)
{
	const struct maple_case *c = arg;
	struct model *m = malloc(sizeof(*m));
	u32 i;

	CHECK(m);
	model_make(m, 1 + c->flags, c->flags);
	for (i = 0; i < MODEL_STEPS; i++) {
		model_step(m);
		if (i % 16 == 0)
			model_compare(m);
	}
	CHECK(mt_height(&m->mt) >= 3);
	CHECK(m->nomem > 10);
	model_free(m);
	free(m);
}

/* An entry at every millionth index; then a single store replaces nearly all of them. */
static void maple_spans(const void *arg)
{
	const unsigned long nr = 50000, step = 1000000;
	struct maple_tree mt;
	unsigned long i;
	u32 fail;
	int err;

	(void)arg;
	mt_init_flags(&mt, MT_FLAGS_LOCK_EXTERN);
	for (i = 0; i < nr; i++) {
		MA_STATE(mas, &mt, i * step, i * step);

		CHECK_EQ(mas_store_gfp(&mas, xa_mk_value(i), GFP_KERNEL), 0);
	}
	for (fail = 1; ; fail++) {
		MA_STATE(mas, &mt, step, (nr - 2) * step);

		shim_allocations = 0;
		shim_fail_from = fail;
		err = mas_store_gfp(&mas, xa_mk_value(nr), GFP_KERNEL);
		shim_fail_from = 0;
		if (!err)
			break;
		CHECK_EQ(err, -ENOMEM);
		for (i = 0; i < nr; i += 97)
			CHECK_EQ(xa_to_value(mtree_load(&mt, i * step)), i);
	}
	CHECK(fail > 1);
	CHECK_EQ(xa_to_value(mtree_load(&mt, 0)), 0);
	CHECK_EQ(xa_to_value(mtree_load(&mt, nr * step / 2 + 1)), nr);
	CHECK_EQ(xa_to_value(mtree_load(&mt, (nr - 1) * step)), nr - 1);
	__mt_destroy(&mt);
	CHECK_EQ(shim_unfreed, 0);
}

struct maple_waiting {
	struct rcu_head rcu;
	int *calls;
};

static void maple_called(struct rcu_head *head)
{
	struct maple_waiting *w = container_of(head, struct maple_waiting, rcu);

	(*w->calls)++;
	kfree(w);
}

/*
 * Under rcu_read_lock() no memory that waits for a grace period is freed. After rcu_read_unlock()
 * it is freed at the next allocation.
 */
static void maple_grace_period(const void *arg)
{
	struct maple_waiting *w = kzalloc(sizeof(*w), GFP_KERNEL);
	struct maple_waiting *freed = kzalloc(sizeof(*w), GFP_KERNEL);
	int calls = 0;

	(void)arg;
	CHECK_EQ(shim_unfreed, 2);
	w->calls = &calls;
	rcu_read_lock();
	kfree_rcu(freed, rcu);
	call_rcu(&w->rcu, maple_called);
	CHECK_EQ(shim_unfreed, 1);
	kfree(kzalloc(1, GFP_KERNEL));
	CHECK_EQ(calls, 0);
	CHECK(!freed->calls);
	rcu_read_unlock();
	CHECK_EQ(calls, 0);
	kfree(kzalloc(1, GFP_KERNEL));
	CHECK_EQ(calls, 1);
	CHECK_EQ(shim_unfreed, 0);
	CHECK_EQ(shim_bytes, 0);
}

void maple_tests(void)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(maple_cases); i++)
		test_add(maple_random, &maple_cases[i], "maple tree %s", maple_cases[i].name);
	TEST(maple_spans);
	TEST(maple_grace_period);
}
