// SPDX-License-Identifier: GPL-2.0-only
/*
 * The memory next to a fault changes after the fault has looked up its frame, and before it has
 * entered the frame into the second stage: the fault must not make an entry that is too large by
 * then. gmem_stop.h stops the fault there, and continues it in the middle of the change.
 */
#include "gmem_fixture.h"
#include "gmem_stop.h"

enum change {
	CONVERTED,
	PUNCHED,
	CUT_OFF,	/* truncate to the offset */
};

/**
 * struct window - a fault and a change during it
 * @what: the change
 * @fault: the offset of the fault, which the guest has not accessed before
 * @change: the kind of the change
 * @offset: the start of the change
 * @len: the length of the change
 * @order: the order of the entry that the fault makes
 */
struct window {
	const char *what;
	uint64_t fault;
	enum change change;
	uint64_t offset;
	uint64_t len;
	int order;
};

/* The cases run one after the other on a contiguous file of one gigabyte. */
static const struct window windows[] = {
	{ "a page of its block converted",	PAGE, CONVERTED, 7 * PAGE, PAGE, ORDER_4K },
	{ "the page itself converted",		7 * PAGE, CONVERTED, 7 * PAGE, PAGE, ORDER_4K },
	{ "all of its block converted",		PAGE, CONVERTED, 0, BLOCK, ORDER_2M },
	{ "a page of another block converted",	0, CONVERTED, 300 * BLOCK + PAGE, PAGE, ORDER_2M },
	{ "the last page converted",		0, CONVERTED, GIB - PAGE, PAGE, ORDER_2M },
	{ "another block punched",		0, PUNCHED, 300 * BLOCK, BLOCK, ORDER_2M },
	{ "the file cut off in its block",	9 * BLOCK, CUT_OFF, 9 * BLOCK + PAGE, 0, ORDER_4K },
};

/* A thread that causes a fault. */
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

/* Makes a fault with a change in the middle of it. Returns false if the fault was not stopped. */
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
		/* An ordinary guest cannot access a page that has become private. */
		bool lost = converts_it(w) && !variant->protected;
		int order = lost ? -1 : w->order;

		/*
		 * Changes that cannot be undone run once. Prefaulting needs two-dimensional paging.
		 */
		if (i % 2 && (w->change != CONVERTED || !has_tdp()))
			continue;
		f.prefault = i % 2;
		f.gpa = FILE_GPA + w->fault;
		f.end = VCPU_ASTRAY;
		ASSERT_TRUE(through_window(w, &f, fd, gmem, variant->other))
			TH_LOG("%s", w->what);
		/* The fault was for the kind that the page had before: repeat it. */
		if (converts_it(w) && variant->protected && f.end == VCPU_FAULT)
			fault(&f);
		EXPECT_EQ(lost ? VCPU_FAULT : VCPU_DONE, f.end)
			TH_LOG("%s", w->what);
		/* Map the pages of the guest's program, which EXPECT_ENTRIES() subtracts. */
		ASSERT_EQ(VCPU_DONE, guest_touch(&self->cpu, VMM_LOW_GPA, 1, 0));
		EXPECT_ENTRIES(0, order == ORDER_2M, order == ORDER_4K, w->what);
		/* Restore the contiguous file, with nothing mapped. */
		if (w->change == CONVERTED)
			ASSERT_EQ(0, gmem_convert(gmem, w->offset, w->len, variant->first));
		ASSERT_EQ(0, vmm_remove(&self->vmm, FILE_SLOT));
		if (w->change != CUT_OFF)
			ASSERT_EQ(0, vmm_bind(&self->vmm, FILE_SLOT, FILE_GPA, GIB, gmem, 0));
	}
}

TEST_HARNESS_MAIN
