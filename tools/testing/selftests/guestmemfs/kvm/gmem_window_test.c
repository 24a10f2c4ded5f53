// SPDX-License-Identifier: GPL-2.0-only
/*
 * A fault of the guest that has its frame, and has not entered it into the guest's page
 * tables yet, when the memory beside it changes: it must not map as one what is not one any
 * more. gmem_stop.h stops the fault there, and lets it go on in the middle of the change.
 */
#include "gmem_fixture.h"
#include "gmem_stop.h"

enum change {
	CONVERTED,
	PUNCHED,
	CUT_OFF,	/* the file ends at the offset */
};

/**
 * struct window - one fault and one change
 * @what: the change
 * @fault: an offset that the guest has not been at
 * @change: what happens when the fault is on its way
 * @offset: and where
 * @len: how much of it
 * @order: of the entry that the fault makes in the end
 */
struct window {
	const char *what;
	uint64_t fault;
	enum change change;
	uint64_t offset;
	uint64_t len;
	int order;
};

/* One after the other, in a file of one gigabyte in one piece. */
static const struct window windows[] = {
	{ "a page of its block converted",	PAGE, CONVERTED, 7 * PAGE, PAGE, ORDER_4K },
	{ "the page itself converted",		7 * PAGE, CONVERTED, 7 * PAGE, PAGE, ORDER_4K },
	{ "all of its block converted",		PAGE, CONVERTED, 0, BLOCK, ORDER_2M },
	{ "a page of another block converted",	0, CONVERTED, 300 * BLOCK + PAGE, PAGE, ORDER_2M },
	{ "the last page converted",		0, CONVERTED, GIB - PAGE, PAGE, ORDER_2M },
	{ "another block punched",		0, PUNCHED, 300 * BLOCK, BLOCK, ORDER_2M },
	{ "the file cut off in its block",	9 * BLOCK, CUT_OFF, 9 * BLOCK + PAGE, 0, ORDER_4K },
};

/* Somebody who makes the guest fault. */
struct faulter {
	struct vcpu *cpu;
	uint64_t gpa;
	bool prefault;	/* by KVM_PRE_FAULT_MEMORY */
	enum vcpu_end end;
};

static void *fault(void *arg)
{
	struct faulter *f = arg;
	struct kvm_pre_fault_memory range = { .gpa = f->gpa, .size = PAGE };
	int err;

	if (!f->prefault) {
		f->end = guest_touch(f->cpu, f->gpa, 1, 0);
		return NULL;
	}
	err = ERR(ioctl(f->cpu->fd, KVM_PRE_FAULT_MEMORY, &range));
	f->end = !err ? VCPU_DONE : err == EFAULT ? VCPU_FAULT : VCPU_ASTRAY;
	return NULL;
}

static int make_change(const struct window *w, int fd, int gmem, uint64_t other)
{
	switch (w->change) {
	case CONVERTED:
		return gmem_convert(gmem, w->offset, w->len, other);
	case PUNCHED:
		return fallocate(fd, PUNCH, w->offset, w->len);
	default:
		return ftruncate(fd, w->offset);
	}
}

/* A fault with a change in the middle of it. False if it did not come to that. */
static bool through_window(const struct window *w, struct faulter *f, int fd, int gmem,
			   uint64_t other)
{
	pthread_t thread;
	bool stopped;
	int err;

	if (!write_stop(NEXT_STOPS) || pthread_create(&thread, NULL, fault, f))
		return false;
	stopped = wait_for_stop();
	if (!stopped)
		write_stop(0);
	err = make_change(w, fd, gmem, other);
	pthread_join(thread, NULL);
	return stopped && !err && !read_stop();
}

static bool converts_it(const struct window *w)
{
	return w->change == CONVERTED && w->fault >= w->offset && w->fault < w->offset + w->len;
}

TEST_F(gmem, change_in_the_middle_of_a_fault)
{
	int gmem, fd = ram_make(&self->p, &self->vmm, variant->flags, GIB, &gmem), i;
	struct faulter f = { .cpu = &self->cpu };

	if (self->p.free_blocks < GIB / BLOCK)
		SKIP(return, "needs 1 GiB free");
	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, fallocate(fd, 0, 0, GIB));
	ASSERT_EQ(ORDER_1G, gmem_order(fd, 0));
	for (i = 0; i < 2 * (int)ARRAY_SIZE(windows); i++) {
		const struct window *w = &windows[i / 2];
		/* A guest to which all is shared cannot have what has become private. */
		bool lost = converts_it(w) && !variant->protected;
		int order = lost ? -1 : w->order;

		/* What cannot be undone is done once. */
		if (i % 2 && (w->change != CONVERTED || !has_tdp()))
			continue;
		f.prefault = i % 2;
		f.gpa = FILE_GPA + w->fault;
		f.end = VCPU_ASTRAY;
		ASSERT_TRUE(through_window(w, &f, fd, gmem, variant->other))
			TH_LOG("%s", w->what);
		/* What it asked for was of the other kind then. */
		if (converts_it(w) && variant->protected && f.end == VCPU_FAULT)
			fault(&f);
		EXPECT_EQ(lost ? VCPU_FAULT : VCPU_DONE, f.end)
			TH_LOG("%s", w->what);
		/* The small ones of the guest, too. */
		ASSERT_EQ(VCPU_DONE, guest_touch(&self->cpu, VMM_LOW_GPA, 1, 0));
		EXPECT_ENTRIES(0, order == ORDER_2M, order == ORDER_4K, w->what);
		/* Back to one piece, of which nothing is mapped. */
		if (w->change == CONVERTED)
			ASSERT_EQ(0, gmem_convert(gmem, w->offset, w->len, variant->first));
		ASSERT_EQ(0, vmm_remove(&self->vmm, FILE_SLOT));
		if (w->change != CUT_OFF)
			ASSERT_EQ(0, vmm_bind(&self->vmm, FILE_SLOT, FILE_GPA, GIB, gmem, 0));
	}
}

TEST_HARNESS_MAIN
